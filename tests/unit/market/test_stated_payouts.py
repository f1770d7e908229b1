"""Stated dividends and splits make total returns where there is no adjusted close, at every door; total losses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.sources.protocol import PriceTable, price_table
from tests.unit.market.test_checks import AMERICAN, CHINESE, FIRMS, PRICES, at, changed, days_of

DAYS = days_of(AMERICAN)
EX = DAYS[300]
CLOSES = dict(PRICES.filter(pl.col("symbol") == AMERICAN).select("date", "close").iter_rows())
BEFORE = CLOSES[DAYS[299]]
PAID = 0.15 * BEFORE
CUT = 0.85 * CLOSES[EX]
TOTAL = (CUT + PAID) / BEFORE - 1
IS_OWN = pl.col("symbol") == AMERICAN


def falls(on: date = EX, share: float = 0.15) -> pl.DataFrame:
    """Closes that fall by a share more from a day on."""
    return changed(IS_OWN & (pl.col("date") >= on), close=pl.col("close") * (1 - share))


def stating(prices: pl.DataFrame, **values: tuple[date, object]) -> pl.DataFrame:
    return prices.with_columns(
        pl.when(at(AMERICAN, day)).then(pl.lit(value)).alias(name) for name, (day, value) in values.items()
    )


def before(ratio: float, prices: pl.DataFrame = PRICES) -> pl.DataFrame:
    return changed(IS_OWN & (pl.col("date") < EX), prices, close=pl.col("close") * ratio)


class Own:
    """A source of one's own: what `price_table` takes, and no more."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame.drop("currency")

    def read(self, symbols, first=None, last=None) -> PriceTable:
        return price_table(self.frame.filter(pl.col("symbol").is_in(list(symbols))), requested=symbols, source="Own()")


def in_csv(frame: pl.DataFrame, folder: Path) -> mi.FilePrices:
    frame.write_csv(folder / "prices.csv")
    return mi.FilePrices(folder / "prices.csv")


def in_parquet(frame: pl.DataFrame, folder: Path) -> mi.FilePrices:
    frame.write_parquet(folder / "prices.parquet")
    return mi.FilePrices(folder / "prices.parquet")


def in_folder(frame: pl.DataFrame, folder: Path) -> mi.FolderPrices:
    for (symbol,), rows in frame.partition_by("symbol", as_dict=True, include_key=False).items():
        names = {"date": "Date", "close": "Close", "volume": "Volume", "dividend": "Dividends", "split": "Stock Splits"}
        kept = [name for name in names if name in rows.columns]
        rows.select(kept).rename({name: names[name] for name in kept}).write_csv(folder / f"{symbol}.csv")
    return mi.FolderPrices(folder)


DOORS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "frame": lambda frame, _: mi.FilePrices(frame),
    "csv": in_csv,
    "parquet": in_parquet,
    "folder": in_folder,
    "own": lambda frame, _: Own(frame),
}


@pytest.fixture(params=DOORS)
def load(request, tmp_path) -> Callable[..., mi.Market]:
    def read(frame: pl.DataFrame, firms: pl.DataFrame = FIRMS) -> mi.Market:
        return mi.Market.load(firms, DOORS[request.param](frame, tmp_path))

    return read


def returns(market: mi.Market, *days: date, column: str = "ret") -> list[float]:
    return market.panel.filter(IS_OWN, pl.col("date").is_in(days))[column].to_list()


def test_a_dividend_is_in_the_return_of_its_ex_day(load):
    market = load(stating(falls(), dividend=(EX, PAID)))
    assert returns(market, EX) == [pytest.approx(TOTAL, abs=1e-14)]
    others = [day for day in DAYS[1:] if day != EX]
    own = np.array([CLOSES[day] for day in DAYS])
    expected = (own[1:] / own[:-1] - 1)[np.array(DAYS[1:]) != EX]
    np.testing.assert_allclose(returns(market, *others), expected, atol=1e-12)
    after = BEFORE * CUT / (CUT + PAID)
    assert market.price_repairs.rows() == [(AMERICAN, DAYS[299], "dividends", BEFORE, pytest.approx(after))]
    told = market.findings.filter(pl.col("finding") == "stated_dividend").select("date", "value", "severity").rows()
    assert told == [(EX, pytest.approx(PAID), "note")]
    assert any(f"1 stated dividends of {AMERICAN} are in returns" in note for note in market.notes)
    traded = market.traded.filter(IS_OWN, pl.col("date").is_in([DAYS[299], EX]))["unadjusted_close"].to_list()
    assert traded == [BEFORE, pytest.approx(CUT)]


@pytest.mark.parametrize("ratio", [4.0, 2.5, 1.5, 1 / 8, 30.0])
def test_a_stated_split_adjusts_closes_that_step_by_it(load, ratio):
    market = load(stating(before(ratio), split=(EX, ratio)))
    assert returns(market, EX) == [pytest.approx(CLOSES[EX] / BEFORE - 1, abs=1e-12)]
    kept = market.price_repairs.filter(pl.col("what") == "splits").select("date", "before", "after").rows()
    assert kept == [(DAYS[299], pytest.approx(ratio * BEFORE), pytest.approx(BEFORE))]
    assert market.implausible.is_empty()


@pytest.mark.parametrize("days", [-3, -1, 2, 3])
@pytest.mark.parametrize("stated", [10.0, 0.1])
def test_a_split_is_matched_three_rows_away_and_the_wrong_way_round(days, stated):
    market = mi.Market.load(FIRMS, mi.FilePrices(stating(before(10), split=(DAYS[300 + days], stated))))
    assert returns(market, EX) == [pytest.approx(CLOSES[EX] / BEFORE - 1, abs=1e-12)]
    assert market.findings.filter(pl.col("finding") == "unadjusted_split")["value"].to_list() == [10.0]


def test_closes_adjusted_for_splits_already_stay(load):
    market = load(stating(PRICES, split=(EX, 4.0)))
    assert returns(market, EX) == [CLOSES[EX] / BEFORE - 1]
    assert market.price_repairs.is_empty()


def test_a_dividend_and_a_split_on_one_day():
    prices = stating(before(4, falls()), dividend=(EX, PAID), split=(EX, 4.0))
    market = mi.Market.load(FIRMS, mi.FilePrices(prices))
    assert returns(market, EX) == [pytest.approx(TOTAL, abs=1e-12)]
    assert market.price_repairs["what"].to_list() == ["dividends", "splits"]


def test_a_dividend_on_a_day_without_a_price_counts_on_the_next_row():
    saturday = EX - timedelta(days=2)  # EX is a Monday
    row = PRICES.filter(at(AMERICAN, EX)).with_columns(pl.lit(saturday).alias("date"), pl.lit(None).alias("close"))
    weekend = stating(pl.concat([falls(), row], how="vertical_relaxed"), dividend=(saturday, PAID))
    assert returns(mi.Market.load(FIRMS, mi.FilePrices(weekend)), EX) == [pytest.approx(TOTAL)]
    empty = stating(changed(at(AMERICAN, EX), falls(), close=pl.lit(None, pl.Float64)), dividend=(EX, PAID))
    market = mi.Market.load(FIRMS, mi.FilePrices(empty))
    gap = (0.85 * CLOSES[DAYS[301]] + PAID) / BEFORE - 1
    assert returns(market, EX, DAYS[301], column="ret_since_trade") == [None, pytest.approx(gap)]


def test_where_there_is_an_adjusted_close_nothing_changes():
    prices = stating(falls(), dividend=(EX, -7.0)).with_columns(pl.col("close").alias("adj_close"))
    market = mi.Market.load(FIRMS, mi.FilePrices(prices))
    assert returns(market, EX) == [pytest.approx(CUT / BEFORE - 1)]
    assert market.price_repairs.is_empty()
    both = stating(falls(), dividend=(EX, PAID)).with_columns(unadjusted_close="close")
    assert returns(mi.Market.load(FIRMS, Own(both)), EX) == [pytest.approx(CUT / BEFORE - 1)]


def test_a_table_of_a_source_in_a_file_has_adjusted_closes(tmp_path):
    """As `StoredPrices(...).read(...).frame` of Yahoo's prices has."""
    both = stating(PRICES, dividend=(EX, PAID)).with_columns(pl.col("close").alias("unadjusted_close"))
    for source in (mi.FilePrices(both), in_csv(both, tmp_path)):
        market = mi.Market.load(FIRMS, source)
        assert returns(market, EX) == [CLOSES[EX] / BEFORE - 1]
        assert "stated_dividend" not in market.findings["finding"]


@pytest.mark.parametrize("amount", [-1.0, float("inf"), 1.01 * BEFORE])
def test_a_dividend_that_cannot_be_is_an_error_with_advice(load, amount):
    with pytest.raises(mi.DataError, match=r"ex-date") as caught:
        load(stating(PRICES, dividend=(EX, amount)))
    assert str(EX) in str(caught.value)


def test_an_unreadable_dividend_is_an_error():
    with pytest.raises(mi.DataError, match=r"cannot be read: dividend 'n/a'"):
        mi.Market.load(FIRMS, mi.FilePrices(stating(PRICES, dividend=(EX, "n/a"))))


def test_zeros_are_no_event(load):
    zeros = PRICES.with_columns(pl.lit(0.0).alias("dividend"))
    assert load(zeros).price_repairs.is_empty()
    assert mi.Market.load(FIRMS, mi.FilePrices(zeros.with_columns(split=0.0))).price_repairs.is_empty()


def test_an_adjusted_history_of_yfinance_counts_its_dividends_once(tmp_path):
    small = stating(PRICES, dividend=(EX, 0.01 * BEFORE), split=(EX, 0.0))
    market = mi.Market.load(FIRMS, in_folder(small, tmp_path))
    assert returns(market, EX) == [CLOSES[EX] / BEFORE - 1]
    assert any("as in yfinance's adjusted histories" in note for note in market.notes)


def test_dividends_of_a_benchmark_are_in_its_return():
    fund = PRICES.with_columns(pl.col("symbol").replace("^GSPC", "SPY"))
    firms = FIRMS.with_columns(pl.col("benchmark").replace("^GSPC", "SPY"))
    closes = dict(fund.filter(pl.col("symbol") == "SPY").select("date", "close").iter_rows())
    paid = fund.with_columns(pl.when(at("SPY", EX)).then(10.0).alias("dividend"))
    market = mi.Market.load(firms, mi.FilePrices(paid))
    assert returns(market, EX, column="market") == [pytest.approx((closes[EX] + 10) / closes[DAYS[299]] - 1)]


def test_an_ex_day_is_no_limit_hit():
    days = days_of(CHINESE)
    own = dict(PRICES.filter(pl.col("symbol") == CHINESE).select("date", "close").iter_rows())
    later = (pl.col("symbol") == CHINESE) & (pl.col("date") >= days[300])
    paid = changed(later, close=pl.col("close") * 0.85).with_columns(
        pl.when(at(CHINESE, days[300])).then(0.15 * own[days[299]]).alias("dividend")
    )
    market = mi.Market.load(FIRMS, mi.FilePrices(paid))
    assert market.limit_hits.equals(mi.Market.load(FIRMS, mi.FilePrices(PRICES)).limit_hits)
    assert market.findings.filter(pl.col("severity") != "note").is_empty()


def test_a_limit_is_compared_with_prices_as_traded():
    """A close of 10% more is a hit; 9% of closes adjusted to cents a tick wide are none."""
    days = days_of(CHINESE)
    own = dict(PRICES.filter(pl.col("symbol") == CHINESE).select("date", "close").iter_rows())
    step = {400: 1.10, 402: 1.09}
    close = np.full(len(days), 20.0)
    for row, factor in step.items():
        close[row:] *= factor
    close[600:] *= 0.01
    values = dict(zip(days, np.round(close, 2).tolist(), strict=True))
    assert len(own) == len(values)
    prices = changed(pl.col("symbol") == CHINESE, close=pl.col("date").replace_strict(values, default=None))
    dividend = float(values[days[599]] - values[days[600]])
    paid = prices.with_columns(pl.when(at(CHINESE, days[600])).then(dividend).alias("dividend"))
    hits = mi.Market.load(FIRMS, mi.FilePrices(paid)).limit_hits.filter(pl.col("symbol") == CHINESE)
    assert hits["date"].to_list() == [days[400]]


# --- total losses ---------------------------------------------------------------------------------

LAST = DAYS[700]
ENDED = changed(at(AMERICAN, LAST), PRICES.filter(~(IS_OWN & (pl.col("date") > LAST))), close=pl.lit(0.0))
FLAG = IS_OWN.alias("delisted")


@pytest.mark.parametrize("way", ["rows", "text", "own source", "securities", "folder"])
def test_a_total_loss_is_in_the_car(way, tmp_path):
    by_security = way in ("securities", "folder")
    firms = FIRMS.with_columns(FLAG) if by_security else FIRMS
    rows = ENDED if by_security else ENDED.with_columns(FLAG)
    rows = rows.with_columns(pl.col("delisted").cast(pl.String)) if way == "text" else rows
    source = {"own source": Own(rows), "folder": mi.FilePrices(rows)}.get(way, mi.FilePrices(rows))
    source = in_folder(ENDED, tmp_path) if way == "folder" else source
    market = mi.Market.load(firms, source)
    assert returns(market, LAST) == [-1.0]
    assert market.implausible.is_empty()
    assert any("total_loss" in note for note in market.notes)
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": [AMERICAN, AMERICAN], "date": [LAST, DAYS[650]]})
    result = mi.EventStudy(estimation_window=(-250, -11), event_window=(0, 1)).run(events, market)
    own = market.panel.filter(IS_OWN, pl.col("date") <= LAST).select("ret", "market").to_numpy()
    y, x = own[-251:-11].T
    beta, alpha = np.polyfit(x, y, 1)
    assert result.car(0, 0).filter(pl.col("event_id") == "a")["car"].item() == pytest.approx(
        -1.0 - alpha - beta * own[-1, 1]
    )
    with pytest.raises(mi.DataError, match=rf"total loss \(return of -1\) has no log return: {AMERICAN} on {LAST}"):
        market.in_logs()


def test_a_close_of_zero_elsewhere_is_an_error_that_names_delisted():
    middle = changed(at(AMERICAN, EX), close=pl.lit(0.0)).with_columns(FLAG)
    for rows in (ENDED, middle):
        for source in (mi.FilePrices(rows), Own(rows)):
            with pytest.raises(mi.DataError, match=r"close must be above zero: 1 row.*delisted"):
                mi.Market.load(FIRMS, source)


def test_dividends_of_a_delisted_symbol_leave_its_returns_finite():
    prices = stating(ENDED.with_columns(FLAG), dividend=(EX, 1.0))
    market = mi.Market.load(FIRMS, mi.FilePrices(prices))
    assert returns(market, EX, LAST) == [pytest.approx((CLOSES[EX] + 1) / BEFORE - 1), -1.0]


@pytest.mark.parametrize("halted", [1, 3])
def test_a_total_loss_after_a_halt_is_in_the_car(halted):
    """The usual way a listing ends: no price for some sessions, then nothing is left."""
    gone = DAYS[700 - halted : 700]
    rows = ENDED.filter(~(IS_OWN & pl.col("date").is_in(gone))).with_columns(FLAG)
    market = mi.Market.load(FIRMS, mi.FilePrices(rows))
    assert returns(market, LAST) == [-1.0]
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": [AMERICAN] * 2, "date": [LAST, DAYS[650]]})
    result = mi.EventStudy(estimation_window=(-250, -11), event_window=(-3, 0)).run(events, market)
    assert result.car(-3, 0).filter(pl.col("event_id") == "a")["car"].item() < -0.9


def test_a_split_matched_with_another_day_or_inverted_is_a_warning():
    """It may be news of that day, in closes that are adjusted already."""
    for prices in (before(8.0), before(1 / 8)):
        for stated_on, split in ((EX, 8.0), (DAYS[302], 8.0), (EX, 1 / 8)):
            market = mi.Market.load(FIRMS, mi.FilePrices(stating(prices, split=(stated_on, split))))
            found = market.findings.filter(pl.col("finding") == "unadjusted_split")
            moves_as_stated = stated_on == EX and (split > 1) == (returns_of(prices) < 0)
            assert found["severity"].to_list() == ["note" if moves_as_stated else "warning"]


def returns_of(prices: pl.DataFrame) -> float:
    own = dict(prices.filter(IS_OWN).select("date", "close").iter_rows())
    return own[EX] / own[DAYS[299]] - 1


def test_bad_news_on_the_day_of_a_split_that_is_in_the_closes_stays():
    """A fall of 35% where 2 for 1 is stated: closes adjusted already, not a split and a rise."""
    market = mi.Market.load(FIRMS, mi.FilePrices(stating(falls(share=0.35), split=(EX, 2.0))))
    assert returns(market, EX)[0] == pytest.approx(0.65 * CLOSES[EX] / BEFORE - 1)


def test_a_folder_keeps_the_splits_of_closes_that_hold_the_dividends(tmp_path):
    split = stating(before(8.0), split=(EX, 8.0), dividend=(DAYS[100], 0.001))
    market = mi.Market.load(FIRMS, in_folder(split, tmp_path))
    assert returns(market, EX)[0] == pytest.approx(CLOSES[EX] / BEFORE - 1)
