"""Prices to returns on exchange sessions, repairs of the calendar, and frames that are refused."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

import marketimpact as mi
from tests.conftest import golden

FIRMS = pl.DataFrame(
    {
        "symbol": ["0700.HK", "0981.HK", "NVDA"],
        "mic": ["XHKG", "XHKG", "XNAS"],
        "benchmark": ["^HSI", "^HSI", "^GSPC"],
    }
)


def weekdays(first: date, last: date) -> list[date]:
    days = [first + timedelta(n) for n in range((last - first).days + 1)]
    return [day for day in days if day.weekday() < 5]


def prices(first: date = date(2023, 8, 28), last: date = date(2023, 9, 15), skip: dict | None = None) -> pl.DataFrame:
    """Closes that grow by 1% a weekday, so that a return over n sessions is 1.01**n - 1."""
    skip = skip or {}
    rows = [
        (symbol, day, 100.0 * 1.01**position)
        for symbol in ("0700.HK", "0981.HK", "NVDA", "^HSI", "^GSPC")
        for position, day in enumerate(weekdays(first, last))
        if day not in skip.get(symbol, ())
    ]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date, "close": pl.Float64}, orient="row")


BLACK_RAIN = date(2023, 9, 8)
TYPHOON = date(2023, 9, 1)
LABOR_DAY = date(2023, 9, 4)
SHUT = dict.fromkeys(("0700.HK", "0981.HK", "^HSI"), (TYPHOON, BLACK_RAIN))
SHUT |= dict.fromkeys(("NVDA", "^GSPC"), (LABOR_DAY,))


def load(frame: pl.DataFrame, firms: pl.DataFrame = FIRMS) -> mi.Market:
    return mi.Market.load(firms, mi.FilePrices(frame))


def returns_of(market: mi.Market, symbol: str) -> dict[date, float | None]:
    part = market.panel.filter(pl.col("symbol") == symbol)
    return dict(part.select("date", "ret").iter_rows())


def test_returns_are_simple_and_between_neighbouring_sessions():
    market = load(prices(skip=SHUT))
    hong_kong = returns_of(market, "0700.HK")
    assert hong_kong[date(2023, 8, 31)] == pytest.approx(0.01)
    # shut on the Friday: Monday's neighbour is Thursday, two weekdays back
    assert hong_kong[date(2023, 9, 4)] == pytest.approx(1.01**2 - 1)
    # New York was shut on Labor Day and says so itself
    assert LABOR_DAY not in returns_of(market, "NVDA")


def test_a_session_without_any_price_of_the_exchange_is_closed_and_logged():
    market = load(prices(skip=SHUT))
    closed = market.repairs.filter(pl.col("action") == "closed")
    assert closed.select("mic", "date").rows() == [("XHKG", TYPHOON), ("XHKG", BLACK_RAIN)]
    assert TYPHOON not in market.sessions.filter(pl.col("mic") == "XHKG")["date"].to_list()
    assert "calendar repairs: 2" in repr(market)


def test_one_suspended_security_closes_nothing():
    market = load(prices(skip=SHUT | {"0981.HK": (TYPHOON, BLACK_RAIN, date(2023, 9, 12))}))
    assert date(2023, 9, 12) not in market.repairs["date"].to_list()
    smic = returns_of(market, "0981.HK")
    # no price on the day, and none the session before on the next: both returns are missing, none is spread
    assert smic[date(2023, 9, 12)] is None
    assert smic[date(2023, 9, 13)] is None
    assert smic[date(2023, 9, 14)] == pytest.approx(0.01)


def test_prices_on_a_closed_day_are_ignored_and_logged():
    frame = prices(skip={k: v for k, v in SHUT.items() if k not in ("NVDA",)})
    market = load(frame)
    ignored = market.repairs.filter(pl.col("action") == "ignored_prices")
    assert ignored.select("mic", "date").rows() == [("XNAS", LABOR_DAY)]
    assert "NVDA" in ignored["detail"].item()


def test_a_benchmark_missing_on_some_sessions_leaves_those_days_out():
    gap = date(2023, 9, 13)
    market = load(prices(skip=SHUT | {"^HSI": (*SHUT["^HSI"], gap)}))
    part = market.panel.filter((pl.col("symbol") == "0700.HK") & (pl.col("date") == gap))
    assert part["market"].item() is None
    assert part["ret"].item() == pytest.approx(0.01)


def test_a_benchmark_without_prices_is_warned_about_and_its_events_explained():
    frame = prices(skip=SHUT).filter(pl.col("symbol") != "^HSI")
    with pytest.warns(mi.MarketImpactWarning, match=r"No prices of the benchmark \^HSI"):
        market = load(frame)
    events = pl.DataFrame({"event_id": ["a"], "symbol": ["0700.HK"], "date": [date(2023, 9, 14)]})
    study = mi.EventStudy(estimation_window=(-9, -2), event_window=(-1, 1), min_observations=7)
    result = study.run(events, market)
    assert result.attrition["reason"].to_list() == ["no_benchmark"]
    # a model without a market needs none
    assert study.but(model=mi.MeanAdjusted()).run(events, market).attrition["reason"].to_list() != ["no_benchmark"]


def test_securities_without_prices_are_named():
    firms = pl.concat([FIRMS, pl.DataFrame({"symbol": ["GONE"], "mic": ["XNAS"], "benchmark": ["^GSPC"]})])
    market = load(prices(skip=SHUT), firms)
    assert market.missing == ("GONE",)
    assert "GONE" in repr(market)


def test_unknown_exchange_is_refused():
    firms = FIRMS.with_columns(pl.lit("XMOON").alias("mic"))
    with pytest.raises(mi.DataError, match="No calendar for the exchange XMOON"):
        load(prices(), firms)


def test_a_price_file_without_any_of_the_securities_is_refused():
    firms = pl.DataFrame({"symbol": ["AAA"], "mic": ["XNAS"], "benchmark": ["BBB"]})
    with pytest.raises(mi.SourceError, match="AAA"):
        load(prices(), firms)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit(-1.0).alias("close"), "must be above zero"),
        (pl.lit(0.0).alias("close"), "must be above zero"),
        (pl.lit(float("nan")).alias("close"), "must not be NaN"),
        (pl.lit(float("inf")).alias("close"), "must be finite"),
        (pl.lit(date(2023, 9, 1)).alias("date"), "must not repeat"),
        (pl.lit("many").alias("close"), "close"),
    ],
)
def test_broken_prices_are_refused_with_counts(change, message):
    with pytest.raises(mi.DataError, match=message):
        load(prices().with_columns(change))


def test_broken_returns_are_refused():
    market = golden("market")
    returns = golden("returns")
    for frame, message in (
        (pl.concat([returns, returns.head(2)]), "must not repeat"),
        (returns.rename({"ret": "r"}), "lacks the column 'ret'"),
        (returns.with_columns(pl.lit(-2.0).alias("ret")), "must be above -1"),
        (returns.head(0), "has no rows"),
        (returns.with_columns(pl.lit("x").alias("ret")), "must be Float64"),
    ):
        with pytest.raises(mi.DataError, match=message):
            mi.Market.from_returns(frame, market)
    with pytest.raises(mi.DataError, match="must be a frame of polars, pandas or pyarrow, not dict"):
        mi.Market.from_returns({"date": []}, market)


def test_returns_on_dates_the_benchmark_lacks_are_refused_with_the_rows():
    short = golden("market").head(100)
    with pytest.raises(mi.DataError, match="dates that the benchmark lacks") as caught:
        mi.Market.from_returns(golden("returns"), short)
    assert caught.value.rows.height > 1000


def test_broken_factors_are_refused():
    market, returns, factors = golden("market"), golden("returns"), golden("factors")
    with pytest.raises(mi.DataError, match="repeats 1 dates"):
        mi.Market.from_returns(returns, market, pl.concat([factors, factors.head(1)]))
    with pytest.raises(mi.DataError, match="are not numbers"):
        mi.Market.from_returns(returns, market, factors.with_columns(pl.lit("x").alias("smb")))
    with pytest.raises(mi.DataError, match="need"):
        mi.Market.from_returns(returns, market, factors.rename({"smb": "market"}))
    with pytest.warns(mi.MarketImpactWarning, match="in percent"):
        mi.Market.from_returns(returns, market, factors.with_columns(pl.col("mktrf") * 100))


FRENCH = """This file was made for a test

,Mkt-RF,SMB,HML,RF
20230829,   1.00,   0.50,  -0.25,   0.02
20230830,  -2.00, -99.99,   0.25,   0.02

Copyright 2023 Eugene F. Fama and Kenneth R. French
"""


def test_french_factors_of_another_market_are_warned_about(tmp_path):
    path = tmp_path / "F-F_Research_Data_Factors_daily.csv"
    path.write_text(FRENCH, encoding="utf-8")
    source = mi.FilePrices(prices(skip=SHUT))
    with pytest.warns(mi.MarketImpactWarning, match="XHKG"):
        market = mi.Market.load(FIRMS, source, factors=mi.FrenchFactors(path=path))
    assert market.factors == ("mktrf", "smb", "hml", "rf")
    day = market.panel.filter((pl.col("symbol") == "NVDA") & (pl.col("date") == date(2023, 8, 30))).row(0, named=True)
    assert (day["mktrf"], day["smb"], day["rf"]) == (pytest.approx(-0.02), None, pytest.approx(0.0002))
    # American securities alone: nothing to warn about
    american = mi.Market.load(FIRMS.filter(pl.col("mic") == "XNAS"), source, factors=mi.FrenchFactors(path=path))
    assert american.factors == market.factors


@pytest.mark.shared
def test_real_prices_agree_with_published_moves(shared):
    """../shared/data/papers.md: NVDA 2025-01-27 -16.97%; 2025-08-12 +0.60%; Cambricon at its 20% limit."""
    firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "688256.SS", "0700.HK", "0981.HK"]))
    market = mi.Market.load(firms, mi.FilePrices(shared / "data" / "prices.parquet"))
    nvidia, cambricon = returns_of(market, "NVDA"), returns_of(market, "688256.SS")
    assert nvidia[date(2025, 1, 27)] == pytest.approx(-0.1697, abs=5e-5)
    assert nvidia[date(2025, 8, 12)] == pytest.approx(0.0060, abs=5e-5)
    assert cambricon[date(2025, 8, 12)] == pytest.approx(0.20, abs=5e-5)
    assert {TYPHOON, BLACK_RAIN} <= set(market.repairs.filter(pl.col("action") == "closed")["date"])


@pytest.mark.parametrize("name", [pl.col("ret"), "rett", 3, ["symbol", "ret"]])
def test_what_is_no_column_of_the_panel_is_refused(name):
    market = load(prices())
    assert market.select("symbol", "ret").equals(market.panel.select("symbol", "ret"))
    with pytest.raises(mi.SpecificationError, match=r"is no name of a column .* use market.panel.select\(\)"):
        market.select("symbol", name)
