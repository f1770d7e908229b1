"""Extracts of CRSP and Compustat: identifiers, missing codes, delisting returns, quotes and factors; all made up."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.frames import to_pandas

DAYS = [20240102, 20240103, 20240104, 20240105]
DATES = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4), date(2024, 1, 5)]
#: Three securities as WRDS writes them to CSV: one that lives, one that is lost, one with codes and quotes.
EXTRACT = pl.DataFrame(
    {
        "PERMNO": [10107] * 4 + [14593] * 3 + [90319] * 4,
        "date": DAYS + DAYS[:3] + DAYS,
        "RET": ["C", "0.01", "-0.02", "0.005", "0.00", "-0.50", "-0.40", "-66.0", "B", "-0.01", "0.03"],
        "DLRET": [None, None, None, "A", None, None, "-1.0", None, None, None, "S"],
        "DLSTCD": [100] * 4 + [574] * 3 + [100] * 4,
        "PRC": [10.0, 10.1, 9.898, 9.94749, -4.0, 2.0, -1.2, 30.0, 0.0, -29.7, 30.591],
        "VOL": [100, 200, -99, 400, 10, 20, 30, 1, 2, 3, 4],
        "vwretd": [0.001, 0.002, -0.003, 0.004, 0.001, 0.002, -0.003, 0.001, 0.002, -0.003, 0.004],
    }
)
KINDS = {
    "polars": lambda frame, _: frame,
    "pandas": lambda frame, _: to_pandas(frame),
    "index of dates": lambda frame, _: to_pandas(frame).set_index("date"),
    "lower case": lambda frame, _: frame.rename(str.lower),
    "text": lambda frame, _: frame.cast(pl.String),
    "csv": lambda frame, folder: written(frame, folder / "dsf.csv"),
    "parquet": lambda frame, folder: written(frame, folder / "dsf.parquet"),
    "date of SAS": lambda frame, _: frame.with_columns(days(frame).dt.to_string("%d%b%Y").str.to_uppercase()),
    "dates": lambda frame, _: frame.with_columns(days(frame)),
    "missing of SAS": lambda frame, _: frame.with_columns(pl.col("RET").replace({"C": ".C", "B": ".B"})),
}


def days(frame: pl.DataFrame) -> pl.Series:
    return frame["date"].cast(pl.String).str.to_date("%Y%m%d")


def written(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_returns_have_codes_delisting_returns_and_absolute_prices(kind: str, tmp_path: Path) -> None:
    rows = mi.crsp_returns(KINDS[kind](EXTRACT, tmp_path))
    assert rows.select("symbol", "date").rows() == [
        *(("10107", day) for day in DATES), *(("14593", day) for day in DATES[:3]), *(("90319", day) for day in DATES),
    ]  # fmt: skip
    # on the last row of the second one (1 - 0.4)(1 - 1) - 1
    assert rows["ret"].to_list() == [None, 0.01, -0.02, 0.005, 0.0, -0.5, -1.0, None, None, -0.01, 0.03]
    assert rows["ret_code"].to_list() == ["C", *[None] * 6, "-66", "B", None, None]
    assert rows["dlret_code"].to_list() == [None, None, None, "A", *[None] * 6, "S"]
    assert rows["close"].to_list() == [10.0, 10.1, 9.898, 9.94749, 4.0, 2.0, 1.2, 30.0, None, 29.7, 30.591]
    assert rows["is_quote"].to_list() == [False] * 4 + [True, False, True, False, False, True, False]
    assert mi.crsp_benchmark(KINDS[kind](EXTRACT, tmp_path)).rows() == list(
        zip(DATES, [0.001, 0.002, -0.003, 0.004], strict=True)
    )


@pytest.mark.parametrize("code", ["A", "B", "C", "D", "E", ".B", "-44.0", "-55", "-66.0", "-77.0", "-88.00", "-99.0"])
def test_every_missing_return_code_is_missing_and_kept(code: str) -> None:
    rows = mi.crsp_returns(EXTRACT.with_columns(pl.lit(code).alias("RET")).filter(pl.col("PERMNO") == 10107))
    assert rows["ret"].null_count() == rows.height
    assert set(rows["ret_code"]) == {code.strip(".").partition(".")[0] if code[0] == "-" else code[-1]}


@pytest.mark.parametrize(
    ("ret", "dlret", "expected"),
    [
        ("-0.40", "-0.90", 0.6 * 0.1 - 1.0), ("-0.40", "0.05", 0.6 * 1.05 - 1.0), ("C", "-0.30", -0.3),
        (None, "-1.0", -1.0), ("-0.40", "P", -0.4), ("-0.40", None, -0.4), ("B", "-99.0", None),
    ],
)  # fmt: skip
def test_the_delisting_return_compounds_with_the_last_return(
    ret: str | None, dlret: str | None, expected: float | None
) -> None:
    last = pl.int_range(pl.len()) == 3
    extract = EXTRACT.head(4).with_columns(
        pl.when(last).then(pl.lit(ret)).otherwise("RET").alias("RET"), pl.when(last).then(pl.lit(dlret)).alias("DLRET")
    )
    assert mi.crsp_returns(extract)["ret"][3] == (None if expected is None else pytest.approx(expected, rel=1e-15))


def test_a_delisting_return_on_a_row_of_its_own_is_a_return() -> None:
    own = pl.DataFrame({"PERMNO": [10107], "date": [20240108], "DLRET": ["-0.8"]})
    rows = mi.crsp_returns(pl.concat([EXTRACT.head(4).drop("DLRET"), own], how="diagonal_relaxed"))
    assert rows.row(-1, named=True)["ret"] == -0.8


def test_the_newer_format_has_its_delisting_returns_in_the_returns() -> None:
    extract = pl.DataFrame(
        {
            "PERMNO": [10107] * 2,
            "DlyCalDt": DATES[:2],
            "DlyRet": [0.01, -1.0],
            "DlyPrc": [9.9, None],
            "DlyDelFlg": ["N", "Y"],
        }
    )
    rows = mi.crsp_returns(extract)
    assert rows.select("symbol", "date", "ret").rows() == [("10107", DATES[0], 0.01), ("10107", DATES[1], -1.0)]
    assert rows["dlydelflg"].to_list() == ["N", "Y"]


WRONG = {
    "no returns": (EXTRACT.drop("RET"), "lacks the column 'ret'; it has 'permno', 'date', 'dlret'"),
    "no rows": (EXTRACT.head(0), "has no rows"),
    "twice in two cases": (EXTRACT.with_columns(ret=pl.lit(0.0)), "more than one column 'ret'"),
    "rows twice": (pl.concat([EXTRACT, EXTRACT.head(1)]), "the key must not repeat"),
    "unknown code": (EXTRACT.with_columns(RET=pl.lit("Z")), r"ret is no number or a code \(A, B, C, D, E\) in 11 rows"),
    "percent": (EXTRACT.with_columns(RET=pl.lit("-40.0")), "must be above -1, or -1 for a total loss"),
    "both formats": (
        EXTRACT.rename({"RET": "DlyRet"}).with_columns(DlyCalDt="date").drop("date"),
        "both DlyRet, .* would count twice",
    ),
    "no permno": (EXTRACT.with_columns(PERMNO=pl.lit(None, pl.Int64)), "permno is no whole number in 11 rows"),
    "half a permno": (EXTRACT.with_columns(PERMNO=pl.lit(1.5)), "permno is no whole number in 11 rows, the first 1.5"),
    "ambiguous dates": (EXTRACT.with_columns(date=pl.lit("01/02/2024")), r"date is no date in 11 rows, .* month"),
    "joined by permno": (
        EXTRACT.with_columns(DLRET=pl.lit("-0.3")),
        r"a DLRET on 8 rows that are not the last of their PERMNO, such as 10107 on 2024-01-02: .* Join the",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("extract", "message"), WRONG.values(), ids=WRONG)
def test_an_extract_that_cannot_be_read_says_why(extract: pl.DataFrame, message: str) -> None:
    with pytest.raises(mi.DataError, match=message):
        mi.crsp_returns(extract)


def test_two_returns_of_an_index_on_a_day_are_refused() -> None:
    extract = EXTRACT.with_columns(pl.when(pl.int_range(pl.len()) == 4).then(0.5).otherwise("vwretd").alias("vwretd"))
    with pytest.raises(mi.DataError, match="more than one vwretd on 1 dates, the first 2024-01-02"):
        mi.crsp_benchmark(extract)


def test_a_delisting_for_performance_without_a_return_is_a_warning() -> None:
    extract = EXTRACT.with_columns(pl.lit(None, pl.String).alias("DLRET"))
    with pytest.warns(mi.MarketImpactWarning, match="1 securities were delisted for performance .*: 14593"):
        mi.crsp_returns(extract)


def test_prices_have_the_returns_of_the_extract() -> None:
    rows = mi.crsp_prices(EXTRACT)
    returns = mi.crsp_returns(EXTRACT)
    assert rows.columns == ["symbol", "date", "close", "adj_close", "volume", "delisted"]
    growth = rows.select((pl.col("adj_close") / pl.col("adj_close").shift(1) - 1.0).over("symbol")).to_series()
    both = growth.is_not_null() & returns["ret"].is_not_null()
    assert growth.filter(both).to_numpy() == pytest.approx(returns["ret"].filter(both).to_numpy(), abs=1e-14)
    # no price on the day before it, or no return on the day itself
    assert growth.is_null().to_list() == [True, *[False] * 3, True, False, False, True, True, True, False]
    assert rows["delisted"].to_list() == [False] * 4 + [True] * 3 + [False] * 4
    assert rows["volume"].to_list() == [100, 200, None, 400, 10, 20, 30, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "names", [("OPENPRC", "ASKHI", "BIDLO"), ("DlyOpen", "DlyHigh", "DlyLow"), ("openprc", "askhi", "bidlo")]
)
def test_opens_highs_and_lows_are_as_traded(names: tuple[str, str, str]) -> None:
    close = EXTRACT["PRC"].abs()
    opens = close.to_list()
    opens[1], opens[9] = 0.0, None  # the vendor's ways of writing none
    extract = EXTRACT.with_columns(
        pl.Series(names[0], opens), (close * 1.01).alias(names[1]), (close * 0.99).alias(names[2])
    )
    rows = mi.crsp_prices(extract)
    assert rows.columns == ["symbol", "date", "close", "adj_close", "volume", "delisted", "open", "high", "low"]
    is_quote = (EXTRACT["PRC"] < 0).to_list()
    none = [quote or price == 0 for quote, price in zip(is_quote, close, strict=True)]
    assert rows["open"].to_list() == [
        None if k in (1, 9) or none[k] else value for k, value in enumerate(close.to_list())
    ]
    assert rows["high"].to_list() == [None if none[k] else value * 1.01 for k, value in enumerate(close.to_list())]
    assert rows["low"].to_list() == [None if none[k] else value * 0.99 for k, value in enumerate(close.to_list())]
    table = mi.FilePrices(rows).read(["10107"])
    assert (table.frame["open"] - table.frame["unadjusted_close"]).drop_nulls().to_list() == [0.0] * 3
    assert mi.crsp_prices(extract.select(pl.exclude(names[1:]))).columns[-1] == "open"


def test_a_missing_return_beside_a_price_makes_no_return_up() -> None:
    extract = EXTRACT.head(4).with_columns(pl.Series("RET", ["C", "0.01", "B", "0.005"]))
    rows = mi.crsp_prices(extract)
    assert rows["adj_close"].is_null().to_list() == [False, False, True, False]
    assert rows["close"].is_null().to_list() == [False, False, True, False]


@pytest.fixture(scope="module")
def long_extract() -> pl.DataFrame:
    """400 sessions of four made-up securities, two of them lost on the same day: one wholly, one by 63%."""
    rng = np.random.default_rng(5)
    sessions = mi.Market.load(mi.securities().filter(pl.col("symbol") == "NVDA"), mi.SamplePrices()).panel["date"]
    dates = sessions.tail(400).to_list()
    index = rng.normal(0.0004, 0.01, 400)
    parts = []
    for permno, dlret, end in ((10001, None, 400), (10002, "-1.0", 350), (10003, "-0.63", 350), (10004, None, 400)):
        ret = 1.1 * index + rng.normal(0.0, 0.015, 400)
        price = 20.0 * np.cumprod(1.0 + ret) * rng.choice([-1.0, 1.0], 400)
        parts.append(
            pl.DataFrame(
                {
                    "PERMNO": permno, "date": dates[:end], "RET": [f"{value:.6f}" for value in ret[:end]],
                    "DLRET": [None] * (end - 1) + [dlret], "PRC": price[:end], "VWRETD": index[:end],
                },
                schema_overrides={"DLRET": pl.String},
            )
        )  # fmt: skip
    return pl.concat(parts)


def test_a_total_loss_enters_the_study(long_extract: pl.DataFrame) -> None:
    returns, benchmark = mi.crsp_returns(long_extract), mi.crsp_benchmark(long_extract)
    market = mi.Market.from_returns(returns, benchmark)
    last = benchmark["date"][349]
    events = pl.DataFrame({"event_id": ["a", "b", "c"], "symbol": ["10002", "10003", "10001"], "date": [last] * 3})
    result = mi.EventStudy(event_window=(-1, 1)).run(events, market)
    assert result.attrition.is_empty()
    losses = result.abnormal_returns.filter(pl.col("tau") == 0).sort("event_id")
    raw = long_extract.filter(pl.col("date") == last).sort("PERMNO")["RET"].cast(pl.Float64)
    assert losses["ret"].to_list() == pytest.approx([-1.0, (1.0 + raw[2]) * 0.37 - 1.0, raw[0]], rel=1e-12)


def test_prices_make_the_market_of_the_returns(long_extract: pl.DataFrame) -> None:
    symbols = ["10001", "10002", "10003", "10004"]
    securities = pl.DataFrame({"symbol": symbols, "mic": ["XNYS"] * 4, "benchmark": ["index"] * 4})
    benchmark = mi.crsp_benchmark(long_extract)
    index = benchmark.select(
        pl.lit("index").alias("symbol"), "date", (100.0 * (1.0 + pl.col("ret")).cum_prod()).alias("adj_close")
    )
    prices = pl.concat([mi.crsp_prices(long_extract), index], how="diagonal")
    market = mi.Market.load(securities, mi.FilePrices(prices), accept=[("10003", benchmark["date"][349])])
    expected = mi.crsp_returns(long_extract).select("symbol", "date", "ret")
    both = market.panel.join(expected, on=["symbol", "date"], how="inner", suffix="_crsp").drop_nulls("ret")
    assert both.height == expected.height - len(symbols)  # the first session has no close before it
    assert both["ret"].to_numpy() == pytest.approx(both["ret_crsp"].to_numpy(), abs=1e-12)
    assert market.findings.filter(pl.col("finding") == "total_loss")["symbol"].to_list() == ["10002"]


SECD = pl.DataFrame(
    {
        "GVKEY": [1690] * 3 + [12141] * 3,
        "iid": ["01"] * 3 + ["90"] * 3,
        "datadate": [20240102, 20240103, 20240104] * 2,
        "prccd": [200.0, 202.0, 50.5, 30.0, 31.5, 31.5],
        "ajexdi": [4.0, 4.0, 1.0, 1.0, 1.0, 1.0],
        "trfd": [1.0, 1.01, 1.01, None, None, None],
        "cshtrd": [10.0, 11.0, 44.0, 5.0, 6.0, 7.0],
        "curcdd": ["USD"] * 6,
    }
)


class TestCompustat:
    @pytest.mark.parametrize("kind", [SECD, to_pandas(SECD), SECD.cast(pl.String), SECD.rename(str.lower)])
    def test_prices_are_adjusted_for_splits_and_dividends(self, kind: object) -> None:
        rows = mi.compustat_prices(kind)
        assert rows["symbol"].to_list() == ["001690.01"] * 3 + ["012141.90"] * 3
        assert rows["adj_close"].to_list() == pytest.approx([50.0, 51.005, 51.005, 30.0, 31.5, 31.5], rel=1e-14)
        assert rows["close"].to_list() == SECD["prccd"].to_list()
        assert rows.select("volume", "currency").row(0) == (10.0, "USD")
        table = mi.FilePrices(rows).read(["001690.01"])
        assert table.frame["close"].to_list() == pytest.approx([50.0, 51.005, 51.005], rel=1e-14)

    def test_opens_are_as_traded(self) -> None:
        prices = {"prcod": [198.0, 203.0, 51.0, 30.0, None, 31.0], "prchd": SECD["prccd"] * 1.02, "prcld": [1.0] * 6}
        rows = mi.compustat_prices(SECD.with_columns(**{k: pl.Series(v, strict=False) for k, v in prices.items()}))
        assert rows["open"].to_list() == prices["prcod"]
        assert rows["high"].to_list() == prices["prchd"].to_list()
        assert not {"prcod", "prchd", "prcld"} & set(rows.columns)
        table = mi.FilePrices(rows).read(["001690.01"]).frame
        # four for one on the third day: the open is on the basis of the price as traded
        assert table.select("unadjusted_close", "open").rows() == [(200.0, 198.0), (202.0, 203.0), (50.5, 51.0)]

    @pytest.mark.parametrize(
        ("extract", "message"),
        [
            (SECD.drop("ajexdi"), "lacks the column 'ajexdi'"),
            (SECD.with_columns(trfd=pl.Series([1.0, None, 1.0] + [None] * 3)), "trfd is empty on some rows"),
            (SECD.with_columns(ajexdi=0.0), "ajexdi or trfd is empty or not above zero: 6 rows of '0016"),
            (SECD.with_columns(GVKEY=pl.lit("A1")), "gvkey is no whole number in 6 rows, the first 'A1'"),
            (pl.concat([SECD, SECD]), "the key must not repeat"),
            (SECD.with_columns(prccd=-1.0), "close must be above zero"),
        ],
    )  # fmt: skip
    def test_an_extract_that_cannot_be_read_says_why(self, extract: pl.DataFrame, message: str) -> None:
        with pytest.raises(mi.DataError, match=message):
            mi.compustat_prices(extract)
