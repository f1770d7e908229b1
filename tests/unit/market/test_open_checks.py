"""Faults of opens planted in clean bars are found, named and kept out of legs; clean bars are quiet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.symbol_rows import sort_rows
from marketimpact.market.checks import unusable_opens
from tests.garch_market import clean

AMERICAN, CHINESE = "XNAS.01", "XSHG.02"
OPENS = [name for name in mi.FINDINGS if "open" in name and name != "opened_session"]
FIRST, LAST = date(2021, 1, 4), date(2023, 12, 29)


def with_bars(prices: pl.DataFrame, seed: int = 5) -> pl.DataFrame:
    """Split each close's move at the open, and put a range around both, by plain numpy."""
    rng = np.random.default_rng(seed)
    frame = sort_rows(prices)
    close, symbol = frame["close"].to_numpy(), frame["symbol"].to_numpy()
    before = np.where(np.concatenate([[True], symbol[1:] != symbol[:-1]]), close, np.roll(close, 1))
    share = 0.36 + 0.35 * rng.standard_normal(len(close))
    opens = np.round(before * (close / before) ** share, 2)
    high = np.round(np.maximum(opens, close) * (1 + 0.008 * np.abs(rng.standard_normal(len(close)))), 2)
    low = np.round(np.minimum(opens, close) / (1 + 0.008 * np.abs(rng.standard_normal(len(close)))), 2)
    return frame.with_columns(open=pl.Series(opens), high=pl.Series(high), low=pl.Series(low))


PRICES, FIRMS = clean(7, firms=4, first=FIRST, last=LAST)
BARS = with_bars(PRICES)
DAYS = BARS.filter(pl.col("symbol") == AMERICAN)["date"].to_list()
LOCAL = BARS.filter(pl.col("symbol") == CHINESE)["date"].to_list()


def changed(where: pl.Expr, prices: pl.DataFrame = BARS, **values: pl.Expr) -> pl.DataFrame:
    return prices.with_columns(pl.when(where).then(value).otherwise(name).alias(name) for name, value in values.items())


def span(symbol: str, days: list[date], first: int, last: int) -> pl.Expr:
    return (pl.col("symbol") == symbol) & pl.col("date").is_between(days[first], days[last])


def found(prices: pl.DataFrame) -> list[tuple]:
    """``finding, symbol, date, value`` of every finding about opens."""
    frame = mi.check_prices(prices, FIRMS).filter(pl.col("finding").is_in(OPENS))
    return frame.select("finding", "symbol", "date", "value").rows()


def unusable(prices: pl.DataFrame) -> list[tuple]:
    return unusable_opens(sort_rows(prices)).rows()


def test_prices_without_opens_have_no_finding_about_them():
    assert found(PRICES) == []
    assert found(PRICES.with_columns(open=pl.lit(None, pl.Float64))) == []


@pytest.mark.parametrize("columns", [("open", "high", "low"), ("open",)])
@pytest.mark.parametrize("seed", [0, 1])
def test_ten_years_of_clean_opens_raise_no_alarm(seed, columns):
    prices, firms = clean(seed)
    bars = with_bars(prices, seed).select(*prices.columns, *columns)
    findings = mi.check_prices(bars, firms)
    assert findings.filter(pl.col("severity") != "note").is_empty()
    assert unusable_opens(bars).is_empty()


def test_the_opens_of_the_sample_are_clean():
    firms = mi.securities()
    names = {symbol for name in ("symbol", "benchmark", "sector_proxy", "leg_benchmark") for symbol in firms[name]}
    table = mi.SamplePrices().read(sorted(names - {None}))
    findings = mi.check_prices(table)
    assert findings.filter(pl.col("severity") != "note").is_empty()
    assert "missing_open" not in findings["finding"].to_list()
    assert unusable_opens(table.frame).is_empty()


def test_missing_opens_are_counted_with_the_longest_run():
    gone = span(AMERICAN, DAYS, 50, 89) | span(AMERICAN, DAYS, 200, 200) | (pl.col("symbol") == CHINESE)
    bars = changed(gone, open=pl.lit(None))
    assert found(bars) == [
        ("missing_open", AMERICAN, DAYS[50], 41.0), ("missing_open", CHINESE, LOCAL[0], float(len(LOCAL)))
    ]  # fmt: skip
    detail = mi.check_prices(bars, FIRMS).filter(pl.col("finding") == "missing_open")["detail"][0]
    assert f"41 of {len(DAYS)} rows with a close; the longest run has 40, {DAYS[50]} to {DAYS[89]}" in detail
    assert unusable(bars) == []


def test_opens_that_are_not_above_zero():
    bars = changed(span(AMERICAN, DAYS, 10, 12), open=pl.lit(0.0))
    bars = changed(span(CHINESE, LOCAL, 100, 100), bars, open=-pl.col("open"))
    assert found(bars) == [
        ("non_positive_open", AMERICAN, DAYS[10], 3.0), ("non_positive_open", CHINESE, LOCAL[100], 1.0)
    ]  # fmt: skip
    assert unusable(bars) == [
        *((AMERICAN, day, "non_positive_open") for day in DAYS[10:13]), (CHINESE, LOCAL[100], "non_positive_open")
    ]  # fmt: skip


@pytest.mark.parametrize("which", ["before", "of the day"])
@pytest.mark.parametrize(("length", "told"), [(4, False), (30, True)])
def test_opens_that_repeat_a_close_in_a_run_are_copies(which, length, told):
    copy = pl.col("close").shift(1) if which == "before" else pl.col("close")
    bars = changed(span(AMERICAN, DAYS, 300, 299 + length), open=copy).drop("high", "low")
    assert found(bars) == ([("copied_open", AMERICAN, DAYS[300], float(length))] if told else [])
    assert len(unusable(bars)) == (length if told else 0)


def test_a_series_whose_opens_are_mostly_copies_has_no_opens():
    is_copy = pl.Series(np.random.default_rng(3).random(BARS.height) < 0.7)
    bars = changed((pl.col("symbol") == AMERICAN) & is_copy, open=pl.col("close").shift(1).over("symbol"))
    copied = {row[1] for row in unusable(bars)}
    chosen = set(bars.filter((pl.col("symbol") == AMERICAN) & is_copy)["date"]) - {DAYS[0]}
    assert chosen <= copied
    assert {name for name, *_ in found(bars)} <= {"copied_open", "missing_open"}


def test_an_open_outside_the_range_of_its_day():
    bars = changed(span(AMERICAN, DAYS, 40, 40), open=pl.col("high") * 1.002)
    bars = changed(span(CHINESE, LOCAL, 40, 41), bars, open=pl.col("low") * 0.998)
    bars = changed(span(AMERICAN, DAYS, 60, 60), bars, open=pl.col("high") * 1.0002)  # rounding
    assert found(bars) == [
        ("open_outside_range", AMERICAN, DAYS[40], 1.0), ("open_outside_range", CHINESE, LOCAL[40], 2.0)
    ]  # fmt: skip
    assert {row[2] for row in unusable(bars)} == {"open_outside_range"}


def test_a_range_that_has_not_even_the_close_says_nothing_about_the_open():
    assert found(changed(span(AMERICAN, DAYS, 40, 40), high=pl.col("low") * 0.99, low=pl.col("low") * 0.98)) == []


@pytest.mark.parametrize("drop", [(), ("high", "low")])
@pytest.mark.parametrize("ratio", [2.0, 10.0, 0.25])
def test_an_open_that_was_not_adjusted_on_the_day_of_a_split(ratio, drop):
    """Closes are adjusted, and the open of the day of the split, with its high, is not."""
    bars = changed(span(AMERICAN, DAYS, 400, 400), open=pl.col("open") * ratio).drop(drop)
    assert unusable(bars)[0][:2] == (AMERICAN, DAYS[400])
    (row,) = found(bars)
    assert row == ("open_on_other_basis", AMERICAN, DAYS[400], 1.0)


def test_an_open_on_the_day_of_a_stated_split_of_unadjusted_closes():
    """Raw closes fall to a quarter; the open of that day is as before the split."""
    before = (pl.col("symbol") == AMERICAN) & (pl.col("date") < DAYS[400])
    raw = changed(before, **{name: pl.col(name) * 4.0 for name in ("close", "open", "high", "low")})
    stated = pl.when(span(AMERICAN, DAYS, 400, 400)).then(4.0)
    raw = raw.with_columns(unadjusted_close="close", split=stated).with_columns(close=BARS["close"])
    assert unusable(raw) == []
    assert found(raw) == []
    broken = changed(span(AMERICAN, DAYS, 400, 400), raw, open=pl.col("open") * 4.0, high=pl.col("high") * 4.0)
    assert unusable(broken) == [(AMERICAN, DAYS[400], "open_on_other_basis")]


def dividends(prices: pl.DataFrame) -> pl.Expr:
    """Adjust for a dividend of 2% every 63 rows: the factor of each row, 1 at the end."""
    number = pl.int_range(pl.len()).over("symbol")
    paid = (number.max().over("symbol") - number) // 63
    return 0.98 ** paid.cast(pl.Float64)


@pytest.mark.parametrize("bars_are_adjusted", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
def test_opens_that_are_adjusted_while_closes_are_not_or_the_reverse(bars_are_adjusted, ranges):
    names = ["open", "high", "low"] if bars_are_adjusted else ["close"]
    bars = changed(pl.col("symbol") == AMERICAN, **{name: pl.col(name) * dividends(BARS) for name in names})
    bars = bars if ranges else bars.drop("high", "low")
    rows = [row for row in unusable(bars) if row[2] == "open_on_other_basis"]
    assert {symbol for symbol, *_ in rows} == {AMERICAN}
    # at 5 standard errors of 41 rows and from a factor of a few percent on: all but the last quarters
    assert len(rows) > 0.7 * len(DAYS)
    assert DAYS[1] in {day for _, day, _ in rows}
    kinds = {name for name, symbol, *_ in found(bars) if symbol == AMERICAN}
    assert "open_on_other_basis" in kinds


def test_both_closes_beside_opens_of_the_unadjusted_one_are_in_order():
    bars = BARS.with_columns(adj_close=pl.col("close") * dividends(BARS))
    assert found(bars) == []
    table = mi.FilePrices(bars).read([AMERICAN, CHINESE])
    assert unusable_opens(table.frame).is_empty()


def test_a_session_locked_at_its_limit_is_marked_and_stays():
    own = BARS.filter(pl.col("symbol") == CHINESE)["close"].to_list()
    limit = round(own[199] * 1.1 + 1e-9, 2)
    later = (pl.col("symbol") == CHINESE) & (pl.col("date") >= LOCAL[200])
    scaled = {name: (pl.col(name) * (limit / own[200])).round(2) for name in ("close", "open", "high", "low")}
    bars = changed(later, **scaled)
    locked = dict.fromkeys(("close", "open", "high", "low"), pl.lit(limit))
    bars = changed(span(CHINESE, LOCAL, 200, 200), bars, **locked)
    ((name, symbol, day, value),) = found(bars)
    assert (name, symbol, day) == ("locked_open", CHINESE, LOCAL[200])
    assert value == pytest.approx(0.1, abs=0.002)
    assert unusable(bars) == []
    traded = changed(span(CHINESE, LOCAL, 200, 200), bars, low=pl.lit(limit * 0.95))
    assert found(traded) == []


def test_rows_of_one_date_that_differ_in_their_opens_contradict_each_other():
    twice = BARS.filter(span(AMERICAN, DAYS, 5, 6))
    repeated = pl.concat([BARS, twice, changed(span(AMERICAN, DAYS, 5, 5), twice, open=pl.col("open") + 1.0)])
    kinds = mi.check_prices(repeated, FIRMS).filter(pl.col("finding").is_in(["conflicting_rows", "repeated_rows"]))
    assert kinds.select("finding", "date").rows() == [("conflicting_rows", DAYS[5]), ("repeated_rows", DAYS[6])]


@pytest.mark.parametrize(
    "broken",
    [
        lambda bars: bars.with_columns(open=pl.lit(0.0)),
        lambda bars: bars.with_columns(open="close"),
        lambda bars: bars.with_columns(high="low"),
        lambda bars: bars.head(3),
        lambda bars: bars.with_columns(open=pl.when(pl.col("date") == DAYS[-1]).then("open")),
    ],
)
def test_opens_of_no_use_at_all_stop_nothing(broken: Callable[[pl.DataFrame], pl.DataFrame]):
    findings = mi.check_prices(broken(BARS), FIRMS)
    assert findings.filter(pl.col("severity") == "error").is_empty()
    assert set(findings.columns) == {"symbol", "date", "finding", "severity", "value", "detail"}


@pytest.mark.shared
def test_real_opens_are_in_order_but_for_what_was_looked_up(shared):
    """Two opens outside the range in Hong Kong, and an exchange rate whose opens are its closes."""
    findings = mi.check_prices(shared / "data" / "prices.parquet").filter(pl.col("finding").is_in(OPENS))
    loud = findings.filter(pl.col("severity") == "warning")
    assert set(loud.select("finding", "symbol").rows()) == {
        ("open_outside_range", "1347.HK"), ("copied_open", "USDHKD")
    }  # fmt: skip
    # the listing of 300474 in 2016, the first session after the holidays of 2020, and others
    assert {"300474.SZ", "002049.SZ", "600584.SS"} <= set(findings.filter(pl.col("finding") == "locked_open")["symbol"])
    without = findings.filter(pl.col("finding") == "missing_open")["symbol"].to_list()
    assert {"BABA", "2330.TW", "KWEB", "AMAT"} <= set(without)
    assert not {"NVDA", "AMD", "SPY", "^GSPC"} & set(without)
