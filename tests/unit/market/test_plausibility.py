"""Units and sizes of returns at every door: percent, levels, annual rates, infinite and enormous numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from tests.unit.market.drawn_returns import (
    DAYS,
    N_DAYS,
    NAMES,
    at,
    factors,
    firm_returns,
    index_returns,
    rows,
    series,
    weekdays,
)

INDEX = index_returns()
RETURNS, BENCHMARK, FACTORS = rows(firm_returns(INDEX)), series(INDEX), factors()


def prices() -> pl.DataFrame:
    path = 100.0 * np.cumprod(1.0 + np.vstack([firm_returns(INDEX), INDEX]), axis=1)
    return rows(path, names=[*NAMES, "^X"]).rename({"ret": "close"})


def by_returns(frame: pl.DataFrame) -> mi.Market:
    return mi.Market.from_returns(RETURNS, BENCHMARK, frame)


def by_prices(frame: pl.DataFrame) -> mi.Market:
    firms = pl.DataFrame({"symbol": NAMES, "mic": "XTAI", "benchmark": "^X"})
    own = mi.FilePrices(prices().filter(pl.col("date").is_in(sessions().implode())))
    return mi.Market.load(firms, own, factors=frame)


def sessions() -> pl.Series:
    from marketimpact.events import calendars  # noqa: PLC0415

    return calendars.sessions(["XTAI"], DAYS[0], DAYS[-1])["date"]


DOORS = [by_returns, by_prices]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e308, -1e308])
def test_no_infinite_or_enormous_factor_passes(door: Callable, value: float) -> None:
    with pytest.raises(mi.DataError, match=f"smb is .* on {DAYS[250]}") as caught:
        door(at(FACTORS, 250, "smb", value))
    assert caught.value.rows.rows() == [(DAYS[250], value)]


@pytest.mark.parametrize("door", DOORS)
def test_missing_factors_stay_missing(door: Callable) -> None:
    for value in (None, float("nan")):
        panel = door(at(FACTORS, 250, "smb", value)).panel.filter(pl.col("date") == DAYS[250])
        assert panel["smb"].null_count() == panel.height > 0


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("days", [pl.col("date").cast(pl.String), pl.col("date").shift(1)])
def test_factors_without_dates_are_refused(door: Callable, days: pl.Expr) -> None:
    with pytest.raises(mi.DataError, match=r"must hold dates|'date' is empty"):
        door(FACTORS.with_columns(days.alias("date")))


@pytest.mark.parametrize("door", DOORS)
def test_factors_in_percent_are_warned_about_and_noted_with_an_empty_cell_and_a_wild_day(door: Callable) -> None:
    percent = FACTORS.with_columns(pl.col("hml") * 100)
    for frame in (
        percent,
        at(percent, 5, "hml", None),
        at(percent, 5, "hml", float("nan")),
        at(percent, 5, "hml", 1e3),
    ):
        with pytest.warns(mi.MarketImpactWarning, match="hml.*in percent"):
            market = door(frame)
        assert any("hml" in note and "in percent" in note for note in market.notes)


def test_a_code_for_missing_among_decimals_is_warned_about() -> None:
    for code in (-9.999, -0.9999):
        with pytest.warns(mi.MarketImpactWarning, match=r"smb has 1 values above 200% or below -67%.*-99\.99"):
            market = by_returns(at(FACTORS, 9, "smb", code))
        assert market.implausible.select("symbol", "ret").rows() == [("smb", code)]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("rate", [0.04, 4.0, 0.016, -0.03])
def test_an_annual_rate_and_one_in_percent_are_refused(door: Callable, rate: float) -> None:
    for frame in (FACTORS.with_columns(pl.lit(rate).alias("rf")), FACTORS.with_columns(pl.col("rf") * 0 + rate)):
        with pytest.raises(mi.DataError, match=r"rf has a median absolute value of .*an annual rate by 252"):
            door(at(frame, 3, "rf", None))


def test_a_doubtful_rate_is_warned_about_and_those_of_the_world_are_not_refused() -> None:
    low = FACTORS.with_columns(pl.lit(0.0015).alias("rf"))  # 0.15% a year, as a decimal
    with pytest.warns(mi.MarketImpactWarning, match="rf has a median of 0.0015 per session, 38% a year"):
        assert "38% a year" in by_returns(low).notes[0]
    for annual in (0.5, 1.0, 1.33):  # Turkey, Argentina: high, but rates per session
        with pytest.warns(mi.MarketImpactWarning, match="annual rate"):
            by_returns(FACTORS.with_columns(pl.lit(annual / 252).alias("rf")))
    for annual in (0.0, 0.001, 0.05, 0.15):
        assert by_returns(FACTORS.with_columns(pl.lit(annual / 252).alias("rf"))).notes == ()


LEVEL = 4500.0 * np.cumprod(1.0 + INDEX)
WRONG_BENCHMARKS = {
    "percent": (100.0 * INDEX, "must be above -1.*percent: divide by 100"),
    "calm percent": (20.0 * INDEX, "median absolute value of .*Divide percent by 100"),
    "levels": (LEVEL, "never falls.*pct_change"),
    "growth factors": (1.0 + INDEX, "never falls.*subtract 1"),
    "log of levels": (np.log(LEVEL), "never falls"),
    "a few levels": (np.where(np.arange(N_DAYS) < 3, LEVEL, np.nan), "never falls"),
    "infinite": (np.where(np.arange(N_DAYS) == 7, np.inf, INDEX), "must be finite"),
    "enormous": (np.where(np.arange(N_DAYS) == 7, 1e308, INDEX), "must not be above"),
    "below -1": (np.where(np.arange(N_DAYS) == 7, -1.5, INDEX), "must be above -1"),
}


@pytest.mark.parametrize(("ret", "message"), WRONG_BENCHMARKS.values(), ids=WRONG_BENCHMARKS)
def test_a_benchmark_in_another_unit_is_refused_at_both_doors(sample_market, ret: np.ndarray, message: str) -> None:
    frame = series(ret).with_columns(pl.col("ret").fill_nan(None))
    with pytest.raises(mi.DataError, match=f"(?s){message}"):
        mi.Market.from_returns(RETURNS, frame)
    with pytest.raises(mi.DataError, match=f"(?s){message}"):
        mi.Market.from_returns(RETURNS, frame.with_columns(symbol=pl.lit("^X"), mic=pl.lit("XTAI")))
    with pytest.raises(mi.DataError, match=f"(?s){message}"):
        sample_market.with_factor("abroad", frame, mic="XTAI")


def test_an_empty_cell_and_a_wild_day_hide_no_wrong_unit() -> None:
    percent = series(15.0 * np.clip(INDEX, -0.03, None))
    for frame in (percent, at(percent, 4, "ret", None), at(percent, 4, "ret", 900.0)):
        with pytest.raises(mi.DataError, match="Divide percent by 100"):
            mi.Market.from_returns(RETURNS, frame)


def test_returns_of_some_securities_in_another_unit_are_refused_by_name() -> None:
    ret = firm_returns(INDEX)
    percent, levels, growth = ret.copy(), ret.copy(), ret.copy()
    percent[3] *= 100.0
    levels[3] = 50.0 * np.cumprod(1.0 + ret[3])
    growth[3] += 1.0
    calm = ret.copy()
    calm[3] = np.clip(20.0 * ret[3], -0.99, None)
    for wrong, message in (
        (percent, "(?s)must be above -1.*symbol=F03"),
        (levels, r"returns of F03 .*pct_change"),
        (growth, r"returns of F03 .*pct_change"),
        (calm, r"returns of F03 .*leave nothing of a price.*Divide percent by 100"),
    ):
        with pytest.raises(mi.DataError, match=message):
            mi.Market.from_returns(rows(wrong), BENCHMARK)
        with pytest.raises(mi.DataError, match=message):
            mi.Market.from_returns(rows(wrong).sort("date", "symbol"), BENCHMARK)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300, -1.5])
def test_no_infinite_or_enormous_return_passes(value: float) -> None:
    with pytest.raises(mi.DataError, match=r"must be finite|must not be above|must be above -1") as caught:
        mi.Market.from_returns(at(RETURNS, 17, "ret", value), BENCHMARK)
    assert caught.value.rows["row"].to_list() == [18]


def bound_by_ticks(days: int) -> np.ndarray:
    """Prices of one to four ticks: returns of a half, a third, double."""
    steps = np.random.default_rng(4).choice([-1, 0, 0, 0, 1], days + 1).cumsum()
    path = 2.0 + np.abs((steps % 6) - 3)
    return path[1:] / path[:-1] - 1.0


REAL = {
    "coins": lambda n: np.expm1(np.random.default_rng(1).standard_t(4, n) * 0.05),
    "penny shares": lambda n: np.expm1(np.random.default_rng(2).normal(-0.01, 0.12, n)),
    "volatility": lambda n: np.expm1(np.random.default_rng(3).standard_t(4, n) * 0.06),
    "money market": lambda n: np.full(n, 0.0002),
    "hyperinflation": lambda n: np.random.default_rng(5).uniform(0.001, 0.02, n),
    "pegged": lambda n: np.random.default_rng(6).normal(0.0, 1e-6, n),
    "zeros": np.zeros,
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("n", [3, 20, 60, 250])
def test_real_kinds_of_series_pass_without_a_warning(name: str, n: int) -> None:
    ret, days = REAL[name](n), weekdays(n)
    market = mi.Market.from_returns(rows(ret[None, :], days), series(ret if name != "penny shares" else ret / 10, days))
    assert market.panel.height == n


@pytest.mark.filterwarnings("ignore:returns of F00")
def test_shares_bound_by_their_ticks_pass(n: int = 250) -> None:
    days = weekdays(n)
    assert mi.Market.from_returns(rows(bound_by_ticks(n)[None, :], days), series(INDEX[:n], days)).panel.height == n


def test_a_doubtful_benchmark_is_warned_about_and_noted(sample_market) -> None:
    with pytest.warns(mi.MarketImpactWarning, match=r"benchmark has a median absolute value of 0\.09.*in percent"):
        market = mi.Market.from_returns(RETURNS, series(np.clip(13.5 * INDEX, -0.9, None)))
    assert "in percent" in market.notes[0]
    days = sample_market.sessions.filter(pl.col("mic") == "XTAI")["date"].sort().head(N_DAYS).to_list()
    with pytest.warns(mi.MarketImpactWarning, match="the factor has"):
        noted = sample_market.with_factor("abroad", series(np.clip(13.5 * INDEX, -0.9, None), days), mic="XTAI")
    assert any("the factor has" in note for note in noted.notes)


@pytest.mark.filterwarnings("ignore:factors mktrf")
def test_french_factors_pass_the_same_check(tmp_path) -> None:
    days = [date(2023, 8, d) for d in (28, 29, 30, 31)]
    path = tmp_path / "F-F_Research_Data_Factors_daily.csv"
    lines = "\n".join(f"{day:%Y%m%d}, 1.0, 0.5, -0.25, 5.0" for day in days)
    path.write_text(f"made for a test\n\n,Mkt-RF,SMB,HML,RF\n{lines}\n\nCopyright\n", encoding="utf-8")
    with pytest.raises(mi.DataError, match=r"rf has a median absolute value of 0\.05"):  # an annual rate in percent
        mi.Market.load(
            mi.securities().filter(pl.col("symbol") == "NVDA"), mi.SamplePrices(), factors=mi.FrenchFactors(path=path)
        )


@pytest.mark.shared
def test_no_real_series_is_refused_or_doubted(shared) -> None:
    table = pl.read_parquet(shared / "data" / "prices.parquet").sort("symbol", "date")
    close = pl.coalesce("adj_close", "close")
    table = table.with_columns(ret=close / close.shift(1).over("symbol") - 1.0).drop_nulls("ret")
    for part in table.partition_by("symbol"):
        own = part.select("symbol", "date", "ret")
        mi.Market.from_returns(own, own.select("date", "ret"))
    for name in ("ff3_daily", "ff5_mom_daily"):
        frame = pl.read_parquet(shared / "data" / f"{name}.parquet")
        days = frame.select("date", ret=0.001 * (1 + pl.int_range(pl.len()) % 7))
        assert mi.Market.from_returns(days.with_columns(symbol=pl.lit("A")), days, frame).notes == ()


@pytest.mark.parametrize("value", [-999.0, -99.99, 4.5, 0.05])
def test_one_wild_rate_is_refused(value):
    """A code for missing, or an annual rate in a part of the rows; the median does not see it."""
    days = [date(2023, 1, 2) + timedelta(days=k) for k in range(300)]
    rf = [0.0001] * 299 + [value]
    returns = pl.DataFrame({"date": days * 2, "symbol": ["A"] * 300 + ["B"] * 300, "ret": [0.01, -0.01] * 300})
    benchmark = pl.DataFrame({"date": days, "ret": [0.01, -0.02, 0.005] * 100})
    with pytest.raises(mi.DataError, match=rf"rf (is|has 1 values such as) {value:g}"):
        mi.Market.from_returns(returns, benchmark, pl.DataFrame({"date": days, "rf": rf}))
    with pytest.raises(mi.DataError, match=rf"rf (is|has 1 values such as) {value:g}"):
        mi.Market.load(mi.securities(), mi.SamplePrices(), factors=pl.DataFrame({"date": days, "rf": rf}))


def test_a_code_among_factors_is_refused():
    days = [date(2023, 1, 2) + timedelta(days=k) for k in range(300)]
    factors = pl.DataFrame({"date": days, "smb": [0.004, -0.005, -999.0] + [0.003, -0.002, 0.001] * 99})
    with pytest.raises(mi.DataError, match="-999 among usual ones"):
        mi.Market.load(mi.securities(), mi.SamplePrices(), factors=factors)
