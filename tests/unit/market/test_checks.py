"""Planted faults are found, clean markets are quiet, and every finding is described in words."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.market import checks
from marketimpact.sources.protocol import price_table
from tests.conftest import ROOT
from tests.garch_market import clean

PRICES, FIRMS = clean(7, firms=4, first=date(2021, 1, 4), last=date(2023, 12, 29))
COLUMNS = ["symbol", "date", "finding", "severity", "value", "detail"]
LOUD = pl.col("severity") != "note"
AMERICAN, CHINESE = "XNAS.01", "XSHG.02"


def days_of(symbol: str, prices: pl.DataFrame = PRICES) -> list[date]:
    return prices.filter(pl.col("symbol") == symbol)["date"].to_list()


def at(symbol: str, first: date, last: date | None = None) -> pl.Expr:
    return (pl.col("symbol") == symbol) & pl.col("date").is_between(first, last or first)


def changed(where: pl.Expr, prices: pl.DataFrame = PRICES, **values: pl.Expr) -> pl.DataFrame:
    return prices.with_columns(
        pl.when(where).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )


def loud(prices: pl.DataFrame, firms: pl.DataFrame = FIRMS) -> list[tuple]:
    """``finding, symbol, date`` of every error and warning."""
    return checks.check_prices(prices, firms).filter(LOUD).select("finding", "symbol", "date").rows()


def found(prices: pl.DataFrame, name: str, firms: pl.DataFrame = FIRMS) -> list[tuple]:
    """``symbol, date, value`` of one kind."""
    frame = checks.check_prices(prices, firms).filter(pl.col("finding") == name)
    return frame.select("symbol", "date", "value").rows()


# --- no false alarms ------------------------------------------------------------------------------


def test_the_embedded_sample_is_clean():
    firms = mi.securities()
    symbols = {*firms["symbol"], *firms["benchmark"].drop_nulls(), *firms["sector_proxy"].drop_nulls()}
    findings = mi.check_prices(mi.SamplePrices().read(sorted(symbols)))
    assert findings.columns == COLUMNS
    assert findings.filter(LOUD).is_empty()
    # what the simulation did on purpose is reported
    suspended = findings.filter(pl.col("finding") == "suspension").select("symbol", "value").rows()
    assert ("688041.SS", 10.0) in suspended


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ten_years_of_sixty_clean_symbols_raise_no_alarm(seed):
    prices, firms = clean(seed)
    assert (prices["symbol"].n_unique(), prices.height > 150_000) == (64, True)
    findings = mi.check_prices(prices, firms)
    assert findings.filter(LOUD).is_empty()
    # moves far outside the usual range do happen with these tails, and are few enough to read
    assert findings.filter(pl.col("finding") == "large_move").height <= 15


def test_a_crash_of_the_whole_market_is_no_fault():
    day = days_of("^GSPC")[400]
    prices = changed(pl.col("symbol").str.contains("XNAS|GSPC") & (pl.col("date") >= day), close=pl.col("close") * 0.5)
    assert loud(prices) == []


def test_a_crash_that_goes_on_is_no_split():
    """A fall to half that is followed by days as wild is news, and only a note."""
    days = days_of(AMERICAN)
    wild = pl.col("close") * 0.5
    for n, factor in ((401, 0.75), (402, 1.3), (403, 0.8)):
        wild = pl.when(pl.col("date") >= days[n]).then(wild * factor).otherwise(wild)
    prices = changed(at(AMERICAN, days[400], days[-1]), close=wild.round(2))
    assert loud(prices) == []
    assert (AMERICAN, days[400]) in [row[:2] for row in found(prices, "large_move")]


# --- splits, limits, scale, spikes ----------------------------------------------------------------

WHOLE = [2, 2.5, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 50, 100]
RATIOS = [*WHOLE, *(1 / n for n in WHOLE)]


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_unadjusted_split_is_found_with_its_ratio(ratio):
    rng = np.random.default_rng(11)
    prices, planted = PRICES, []
    for symbol in FIRMS["symbol"]:
        days = days_of(symbol)
        day = days[int(rng.integers(30, len(days) - 30))]
        prices = changed((pl.col("symbol") == symbol) & (pl.col("date") < day), prices, close=pl.col("close") * ratio)
        planted.append((symbol, day, pytest.approx(ratio)))
    assert found(prices, "split_like_jump") == sorted(planted, key=lambda row: row[0])
    assert len(loud(prices)) == len(planted)


@pytest.mark.parametrize(
    ("ratio", "name"),
    [(4, "a 4-for-1 split"), (2.5, "a 5-for-2 split"), (1 / 8, "a 1-for-8 reverse split"), (1.5, "a 3-for-2 split")],
)
def test_a_split_is_named_by_its_terms(ratio, name):
    day = days_of("XNAS.00")[310]
    calm = PRICES.filter(pl.col("symbol").is_in(["XNAS.00", "^GSPC"])).with_columns(pl.col("close").pow(0.3))
    prices = changed((pl.col("symbol") == "XNAS.00") & (pl.col("date") < day), calm, close=pl.col("close") * ratio)
    (row,) = checks.check_prices(prices, FIRMS).filter(LOUD).rows(named=True)
    assert (row["finding"], row["date"], row["value"]) == ("split_like_jump", day, pytest.approx(ratio))
    assert f"as {name} would" in row["detail"]


@pytest.mark.parametrize("ratio", [3.4, 34.6, 1 / 3.4, 1 / 34.6])
def test_a_step_of_no_ratio_is_implausible(ratio):
    day = days_of(AMERICAN)[340]
    prices = changed((pl.col("symbol") == AMERICAN) & (pl.col("date") < day), close=pl.col("close") * ratio)
    assert loud(prices) == [("implausible_return", AMERICAN, day)]


def test_an_index_that_steps_is_implausible_and_its_securities_are_not():
    day = days_of("^GSPC")[340]
    prices = changed((pl.col("symbol") == "^GSPC") & (pl.col("date") < day), close=pl.col("close") * 8)
    assert loud(prices) == [("implausible_return", "^GSPC", day)]


def test_a_fall_by_a_third_of_a_lively_share_is_a_note():
    """With five times its usual volume, and with the volume of any day."""
    day = days_of(AMERICAN)[300]
    fallen = changed((pl.col("symbol") == AMERICAN) & (pl.col("date") >= day), close=pl.col("close") / 1.5)
    busy = changed(at(AMERICAN, day), fallen, volume=pl.col("volume") * 5)
    for prices in (busy, fallen.with_columns(pl.lit(None, pl.Float64).alias("volume"))):
        assert [row[:2] for row in found(prices, "large_move")] == [(AMERICAN, day)]
        assert loud(prices) == []


@pytest.mark.parametrize("adjusted", [True, False])
def test_a_split_that_the_source_states_and_did_not_adjust_for_is_an_error_in_an_adjusted_close(adjusted):
    day = days_of(AMERICAN)[300]
    stated = PRICES.with_columns(pl.when(at(AMERICAN, day)).then(4.0).alias("split"))
    assert loud(stated) == []
    raw = changed((pl.col("symbol") == AMERICAN) & (pl.col("date") < day), stated, close=pl.col("close") * 4)
    raw = raw.with_columns(pl.col("close").alias("adj_close")) if adjusted else raw
    severity = "error" if adjusted else "note"
    rows = checks.check_prices(raw, FIRMS).filter(pl.col("finding") == "unadjusted_split")
    assert rows.select("severity", "symbol", "date", "value").rows() == [(severity, AMERICAN, day, 4.0)]
    assert loud(raw) == ([("unadjusted_split", AMERICAN, day)] if adjusted else [])


def test_payouts_that_are_used_that_cannot_be_and_that_are_in_the_closes():
    days = days_of(AMERICAN)
    first = pl.when(at(AMERICAN, days[300]))
    assert found(PRICES.with_columns(first.then(0.5).alias("dividend")), "stated_dividend") == [
        (AMERICAN, days[300], 0.5)
    ]
    for amount in (-0.5, float("inf"), 1e6):
        rows = found(PRICES.with_columns(first.then(amount).alias("dividend")), "impossible_payout")
        assert rows == [(AMERICAN, days[300], amount)]
    assert found(PRICES.with_columns(first.then(4.0).alias("split")), "split_in_closes") == [(AMERICAN, days[300], 1.0)]
    large = PRICES.with_columns(first.then(pl.col("close") * 0.3).alias("dividend"))
    assert found(large, "dividend_in_closes") == [(AMERICAN, days[300], 1.0)]


@pytest.mark.parametrize("column", ["in the row", "of the security"])
def test_a_last_close_of_zero_is_a_total_loss_where_the_symbol_is_delisted(column):
    days = days_of(AMERICAN)
    ended = PRICES.filter(~((pl.col("symbol") == AMERICAN) & (pl.col("date") > days[700])))
    ended = changed(at(AMERICAN, days[700]), ended, close=pl.lit(0.0))
    assert loud(ended) == [("non_positive_price", AMERICAN, days[700])]
    is_it = (pl.col("symbol") == AMERICAN).alias("delisted")
    rows, firms = (ended.with_columns(is_it), FIRMS) if column == "in the row" else (ended, FIRMS.with_columns(is_it))
    assert found(rows, "total_loss", firms) == [(AMERICAN, days[700], 0.0)]
    assert loud(rows, firms) == []


@pytest.mark.parametrize("close", [5e-324, 1e-200, 1e200, float("inf")])
def test_a_close_whose_returns_are_not_finite_is_an_error(close):
    day = days_of(AMERICAN)[300]
    prices = changed(at(AMERICAN, day), close=pl.lit(close))
    assert loud(prices) == [("non_positive_price", AMERICAN, day)]
    with pytest.raises(mi.DataError, match=str(day)):
        mi.Market.load(FIRMS, mi.FilePrices(prices))


def test_a_bonus_issue_breaks_the_price_limit():
    """10 shares became 14.9, as those of 688256 did in May 2026."""
    day = days_of(CHINESE)[200]
    prices = changed((pl.col("symbol") == CHINESE) & (pl.col("date") < day), close=(pl.col("close") * 1.49).round(2))
    rows = checks.check_prices(prices, FIRMS).filter(LOUD)
    assert rows.select("finding", "symbol", "date").rows() == [("limit_breach", CHINESE, day)]
    bonus = float(re.search(r"a bonus issue of ([\d.]+) for 10", rows["detail"].item())[1])
    assert bonus == pytest.approx(4.9, abs=1.0)  # the day's own move is in it


def test_closes_with_dividends_taken_off_break_the_limit_a_little():
    days = days_of(CHINESE)
    up = 100 * np.cumprod(np.where(np.arange(len(days)) % 50 == 20, 1.10, 0.998))
    close = dict(zip(days, np.round(up - 15 + 15 * np.arange(len(days)) / len(days), 2), strict=True))
    own = pl.col("date").replace_strict(close, default=None, return_dtype=pl.Float64)
    prices = changed(pl.col("symbol") == CHINESE, close=own)
    kinds = {row[0] for row in loud(prices)}
    assert kinds == {"limit_overshoot"}
    assert [row[0] for row in found(prices, "limit_overshoot")] == [CHINESE]


def test_a_factor_of_a_hundred_and_back():
    days = days_of(AMERICAN)
    prices = changed(at(AMERICAN, days[100], days[109]), close=pl.col("close") * 100)
    assert loud(prices) == [("scale_step", AMERICAN, days[100]), ("scale_step", AMERICAN, days[110])]
    pence = changed(at(AMERICAN, days[200]), close=pl.col("close") / 100)
    assert loud(pence) == [("scale_step", AMERICAN, days[200]), ("scale_step", AMERICAN, days[201])]


@pytest.mark.parametrize("factor", [0.6, 0.75, 1.35])
def test_a_bad_print_of_one_day_is_one_finding(factor):
    days = days_of(AMERICAN)
    assert loud(changed(at(AMERICAN, days[250]), close=pl.col("close") * factor)) == [("spike", AMERICAN, days[250])]


# --- rows and days --------------------------------------------------------------------------------


def test_rows_of_one_date():
    days = days_of(AMERICAN)
    again = PRICES.filter(at(AMERICAN, days[5]) | at(CHINESE, days[7]))
    other = PRICES.filter(at(AMERICAN, days[9])).with_columns(pl.col("close") + 1)
    both = pl.concat([PRICES, again, other])
    assert loud(both) == [
        ("conflicting_rows", AMERICAN, days[9]),
        ("repeated_rows", AMERICAN, days[5]),
        ("repeated_rows", CHINESE, days[7]),
    ]


def test_prices_that_are_none(tmp_path):
    days = days_of(AMERICAN)
    broken = changed(at(AMERICAN, days[5]), close=pl.lit(-3.0))
    broken = changed(at(AMERICAN, days[6]), broken, close=pl.lit(0.0))
    broken = changed(at(AMERICAN, days[8]), broken, close=pl.lit(None))
    assert found(broken, "non_positive_price") == [(AMERICAN, days[5], -3.0), (AMERICAN, days[6], 0.0)]
    assert found(broken, "empty_price") == [(AMERICAN, days[8], 1.0)]
    text = changed(at(CHINESE, days[7]), broken.cast({"close": pl.String}), close=pl.lit("n.a."))
    text.write_csv(tmp_path / "prices.csv")
    findings = mi.check_prices(tmp_path / "prices.csv", FIRMS)
    unreadable = findings.filter(pl.col("finding") == "unreadable_value").row(0, named=True)
    assert (unreadable["symbol"], unreadable["date"]) == (CHINESE, days[7])
    assert "close 'n.a.'" in unreadable["detail"]


def test_a_suspension_and_a_missing_day_are_told_apart_with_their_lengths():
    days = days_of(CHINESE)
    gone = at(CHINESE, days[50], days[57]) | at(CHINESE, days[90]) | at(AMERICAN, days_of(AMERICAN)[33])
    prices = PRICES.filter(~gone)
    assert found(prices, "suspension") == [(CHINESE, days[50], 8.0)]
    assert found(prices, "missing_day") == [(AMERICAN, days_of(AMERICAN)[33], 1.0), (CHINESE, days[90], 1.0)]
    assert loud(prices) == []


def test_a_day_on_which_a_whole_exchange_has_no_price_is_no_gap():
    day = days_of(CHINESE)[60]
    mainland = pl.col("symbol").str.contains("XSHG|000300")
    assert found(PRICES.filter(~(mainland & (pl.col("date") == day))), "missing_day") == []


def test_one_piece_of_news_soon_after_does_not_hide_a_split():
    """As INTC's fall by 16% did, three days after a day on which a split was planted."""
    days = days_of(AMERICAN)
    split = changed((pl.col("symbol") == AMERICAN) & (pl.col("date") < days[400]), close=pl.col("close") * 2)
    both = changed((pl.col("symbol") == AMERICAN) & (pl.col("date") >= days[403]), split, close=pl.col("close") * 0.84)
    assert found(both, "split_like_jump") == [(AMERICAN, days[400], 2.0)]


def filled_forward(symbols: list[str], first: date, last: date) -> pl.DataFrame:
    """Closes and volumes of the session before `first` on all days to `last`."""
    there = pl.col("symbol").is_in(symbols) & pl.col("date").is_between(first, last)
    emptied = PRICES.with_columns(pl.when(~there).then(pl.col(c)).alias(c) for c in ("close", "volume"))
    return emptied.sort("symbol", "date").with_columns(pl.col("close", "volume").forward_fill().over("symbol"))


def test_rows_filled_forward_over_a_day_the_calendar_does_not_know_as_shut():
    """A typhoon day on which every symbol of an exchange has the row of the day before; and one symbol's three days."""
    days = days_of(CHINESE)
    everyone = [s for s in PRICES["symbol"].unique() if s.startswith("XSHG")]
    assert found(filled_forward(everyone, days[100], days[100]), "copied_row") == [
        (symbol, days[100], 1.0) for symbol in sorted(everyone)
    ]
    assert loud(filled_forward([CHINESE], days[100], days[102])) == [("copied_row", CHINESE, days[100])]
    assert found(filled_forward([CHINESE], days[100], days[102]), "copied_row") == [(CHINESE, days[100], 3.0)]


def test_a_day_that_no_symbol_of_an_exchange_has():
    day = days_of(CHINESE)[100]
    everyone = [*FIRMS.filter(pl.col("mic") == "XSHG")["symbol"], "000300.SS"]
    closed = PRICES.filter(~(pl.col("symbol").is_in(everyone) & (pl.col("date") == day)))
    assert found(closed, "unlisted_closure") == [(None, day, 5.0)]
    assert found(closed, "missing_day") == found(PRICES, "missing_day")
    lines = checks.sentences(checks.check_prices(closed, FIRMS), "note")
    assert "unlisted_closure: sessions of the calendar on which no symbol of the exchange has a price: 1" in lines
    one = PRICES.filter(~at(CHINESE, day))
    assert found(one, "unlisted_closure") == []


def test_days_that_the_calendar_does_not_list_and_days_beyond_it():
    saturday, monday = date(2022, 10, 8), date(2022, 10, 10)
    everyone = [*FIRMS.filter(pl.col("mic") == "XSHG")["symbol"], "000300.SS"]
    traded = PRICES.filter(pl.col("symbol").is_in(everyone), pl.col("date") == monday)
    extra = traded.with_columns(pl.lit(saturday).alias("date"), pl.col("close") * 1.001)
    open_day = pl.concat([PRICES, extra])
    assert found(open_day, "opened_session") == [(None, saturday, 4.0)]
    assert found(open_day, "closed_day_price") == []
    late = traded.filter(symbol=CHINESE).with_columns(pl.lit(date(2027, 1, 4)).alias("date"))
    assert found(pl.concat([PRICES, late]), "beyond_calendar") == [(None, date(2027, 1, 4), 1.0)]


def test_rows_filled_forward_on_holidays():
    """Every weekday has a row; a holiday repeats the session before."""
    own = PRICES.filter(pl.col("symbol") == CHINESE)
    first, last = own["date"].min(), own["date"].max()
    calendar = pl.DataFrame({"date": pl.date_range(first, last, eager=True)}).filter(pl.col("date").dt.weekday() < 6)
    filled = calendar.join(own, on="date", how="left").sort("date").select(own.columns).fill_null(strategy="forward")
    holidays = sorted(set(filled["date"]) - set(own["date"]))
    assert len(holidays) > 20
    rows = loud(pl.concat([PRICES.filter(pl.col("symbol") != CHINESE), filled]))
    assert [row for row in rows if row[0] == "closed_day_price"] == [("closed_day_price", CHINESE, d) for d in holidays]
    assert {row[0] for row in rows} == {"closed_day_price"}


def test_many_new_prices_on_a_closed_day_doubt_the_calendar():
    saturday = date(2022, 10, 8)
    extra = PRICES.filter(pl.col("symbol").str.starts_with("XSHG"), pl.col("date") == date(2022, 10, 10))
    extra = extra.with_columns(pl.lit(saturday).alias("date"), pl.col("close") * 1.001)
    findings = mi.check_prices(pl.concat([PRICES, extra]), FIRMS).filter(LOUD)
    assert set(findings["finding"]) == {"closed_day_price"}
    assert findings["detail"].str.contains("Saturday").all()
    assert findings["detail"].str.contains("4 symbols have a new close there that day, so the calendar may be").all()


def test_dates_a_day_early_show_as_sundays():
    """Two months of an exchange rate whose dates are a day early: Sundays, and no Fridays."""
    days = [date(2023, 1, 2) + timedelta(n) for n in range(180)]
    days = [day for day in days if day.weekday() < 5]
    early = [day - timedelta(1) if date(2023, 3, 1) <= day <= date(2023, 4, 30) else day for day in days]
    rng = np.random.default_rng(2)
    rate = pl.DataFrame(
        {"symbol": "USD_CNY", "date": early, "close": 6.9 * np.exp(np.cumsum(rng.normal(0, 0.002, len(days))))}
    )
    both = pl.concat([rate, PRICES.select("symbol", "date", "close")])
    shifted = found(both, "shifted_dates")
    months = [(symbol, day.month, value) for symbol, day, value in shifted]
    assert months == [("USD_CNY", 3, -1.0), ("USD_CNY", 4, -1.0)]
    assert all(day.weekday() == 6 for _, day, _ in found(both, "closed_day_price"))


def test_closes_filled_forward_and_backward():
    days = days_of(AMERICAN)
    flat = changed(at(AMERICAN, days[100], days[114]), close=pl.lit(50.0), volume=pl.lit(None, pl.Float64))
    flat = changed(at(CHINESE, days_of(CHINESE)[0], days_of(CHINESE)[11]), flat, close=pl.lit(80.0), volume=pl.lit(7.0))
    assert found(flat, "stale_run") == [(AMERICAN, days[100], 15.0), (CHINESE, days_of(CHINESE)[0], 12.0)]
    detail = mi.check_prices(flat, FIRMS).filter(pl.col("finding") == "stale_run")["detail"]
    assert ["filled backward" in text for text in detail] == [False, True]


def test_an_unchanged_close_that_was_traded_is_no_fill():
    days = days_of(AMERICAN)
    assert found(changed(at(AMERICAN, days[100], days[106]), close=pl.lit(50.0)), "stale_run") == []


def test_days_without_volume():
    days = days_of(AMERICAN)
    before = PRICES.filter(at(AMERICAN, days[99]))["close"].item()
    prices = changed(at(AMERICAN, days[100], days[102]), close=pl.lit(before), volume=pl.lit(0.0))
    prices = changed(at(AMERICAN, days[300]), prices, volume=pl.lit(0.0))
    assert found(prices, "copied_close") == [(AMERICAN, days[100], 3.0)]
    assert [row[:2] for row in found(prices, "zero_volume")] == [(AMERICAN, days[300])]


def test_an_unfinished_last_session():
    last = days_of(AMERICAN)[-1]
    assert loud(changed(at(AMERICAN, last), volume=pl.lit(50_000.0))) == [("partial_last_day", AMERICAN, last)]
    # New York closed early on 2023-11-24, and little volume is in order
    half = date(2023, 11, 24)
    short = changed(at(AMERICAN, half), volume=pl.lit(50_000.0)).filter(
        ~((pl.col("symbol") == AMERICAN) & (pl.col("date") > half))
    )
    assert loud(short) == []


# --- what the prices are of -----------------------------------------------------------------------


def test_another_currency_than_the_securities_say():
    prices = changed(pl.col("symbol") == AMERICAN, currency=pl.lit("EUR"))
    first = days_of(CHINESE)[0]
    prices = changed(at(CHINESE, first, days_of(CHINESE)[9]), prices, currency=pl.lit("HKD"))
    assert found(prices, "currency_mismatch") == [
        (AMERICAN, days_of(AMERICAN)[0], float(len(days_of(AMERICAN)))),
        (CHINESE, first, float(len(days_of(CHINESE)))),
    ]


def test_pence_are_pounds():
    london = FIRMS.with_columns(
        pl.when(pl.col("symbol") == AMERICAN).then(pl.lit("GBP")).otherwise("currency").alias("currency")
    )
    prices = changed(pl.col("symbol") == AMERICAN, currency=pl.lit("GBp"))
    assert loud(prices, london) == []
    assert [row[0] for row in found(prices, "minor_currency", london)] == [AMERICAN]


def adjusted(dividends: dict[date, float], symbol: str = AMERICAN) -> pl.DataFrame:
    """Prices with an adj_close that takes dividends (fractions of the price) off earlier closes."""
    factor = pl.lit(1.0)
    for day, share in dividends.items():
        factor = (
            pl.when((pl.col("symbol") == symbol) & (pl.col("date") < day)).then(factor * (1 - share)).otherwise(factor)
        )
    return PRICES.with_columns((pl.col("close") * factor).alias("adj_close"))


def test_adjustments_for_dividends_are_in_order():
    days = days_of(AMERICAN)
    assert loud(adjusted({days[100]: 0.012, days[160]: 0.05})) == []


def test_an_adjustment_that_falls_with_time_is_no_dividend():
    days = days_of(AMERICAN)
    prices = adjusted({days[100]: 0.012, days[200]: -0.03})
    assert loud(prices) == [("adjustment_step", AMERICAN, days[200])]


def test_an_adjustment_on_a_day_without_the_dividend_the_source_states():
    days = days_of(AMERICAN)
    paid = pl.when(at(AMERICAN, days[100])).then(0.5).alias("dividend")
    prices = adjusted({days[100]: 0.012, days[160]: 0.05}).with_columns(paid)
    assert loud(prices) == [("adjustment_step", AMERICAN, days[160])]


def test_a_source_s_table_with_both_closes_is_looked_at_too():
    days = days_of(AMERICAN)
    for shares, expected in (
        ({days[100]: 0.012}, []),
        ({days[200]: -0.03}, [("adjustment_step", AMERICAN, days[200])]),
    ):
        both = adjusted(shares).rename({"close": "unadjusted_close", "adj_close": "close"})
        table = price_table(both, requested=["XNAS.01"], source="a test")
        assert checks.check_prices(table, FIRMS).filter(LOUD).select("finding", "symbol", "date").rows() == expected


def test_adjusted_closes_on_a_part_of_a_symbol():
    days = days_of(AMERICAN)
    prices = changed(at(AMERICAN, days[150], days[-1]), adjusted({days[300]: 0.03}), adj_close=pl.lit(None, pl.Float64))
    (row,) = found(prices, "mixed_adjustment")
    assert row == (AMERICAN, days[150], pytest.approx(-0.03))
    # where both closes are the same the change is harmless, and only noted
    assert loud(changed(at(AMERICAN, days[150], days[-1]), adjusted({}), adj_close=pl.lit(None, pl.Float64))) == []


def test_a_history_stitched_on_another_basis():
    days = days_of(AMERICAN)
    label = pl.when(pl.col("date") < days[350]).then(pl.lit("vendor A")).otherwise(pl.lit("vendor B"))
    seamless = PRICES.with_columns(pl.when(pl.col("symbol") == AMERICAN).then(label).alias("source"))
    assert [row[:2] for row in found(seamless, "source_change")] == [(AMERICAN, days[350])]
    assert loud(seamless) == []
    jumping = changed(at(AMERICAN, days[0], days[349]), seamless, close=pl.col("close") * 1.37)
    assert loud(jumping) == [("basis_step", AMERICAN, days[350])]


def test_one_symbol_s_rows_under_another_s_name():
    whole = PRICES.filter(pl.col("symbol") == "XNAS.00").with_columns(pl.lit("XNAS.03").alias("symbol"))
    prices = pl.concat([PRICES.filter(pl.col("symbol") != "XNAS.03"), whole])
    days = days_of("XNAS.00")
    assert found(prices, "copied_series") == [("XNAS.00", days[1], float(len(days) - 1))]
    # on another basis, and for a part of the history only
    part = whole.filter(pl.col("date").is_between(days[200], days[299])).with_columns(pl.col("close") * 3.1)
    mixed = pl.concat([PRICES.filter(~at("XNAS.03", days[200], days[299])), part])
    ((symbol, day, count),) = found(mixed, "copied_series")
    assert (symbol, day) == ("XNAS.00", days[201])
    assert count == pytest.approx(99, abs=1)
    detail = mi.check_prices(mixed, FIRMS).filter(pl.col("finding") == "copied_series")["detail"].item()
    assert "are those of XNAS.03" in detail


# --- unknown symbols, and words -------------------------------------------------------------------


def test_unknown_symbols_are_checked_as_far_as_that_goes():
    strange = PRICES.with_columns(pl.col("symbol").str.replace("XNAS", "QQQQ"))
    days = days_of(AMERICAN)
    strange = changed(
        (pl.col("symbol") == "QQQQ.01") & (pl.col("date") < days[300]), strange, close=pl.col("close") * 10
    )
    findings = mi.check_prices(strange)
    assert findings.filter(LOUD).select("finding", "symbol", "date").row(0) == ("split_like_jump", "QQQQ.01", days[300])
    said = findings.filter(pl.col("finding") == "not_checked")["detail"].str.join(" ").item()
    assert "no exchange is known for QQQQ.00" in said
    assert "Price limits and currencies: the securities do not have" in said
    assert "prices alone cannot say" in said


def test_one_row_or_one_symbol_is_enough():
    assert mi.check_prices(PRICES.head(1), FIRMS).columns == COLUMNS
    assert mi.check_prices(PRICES.filter(pl.col("symbol") == AMERICAN), FIRMS).filter(LOUD).is_empty()


def test_the_order_of_rows_does_not_matter():
    days = days_of(AMERICAN)
    prices = changed(at(AMERICAN, days[250]), close=pl.col("close") * 0.6).filter(~at(CHINESE, days[50], days[57]))
    findings = mi.check_prices(prices, FIRMS)
    assert findings.equals(mi.check_prices(prices.sample(fraction=1.0, shuffle=True, seed=1), FIRMS))


def test_summary_is_short_and_worst_first():
    days = days_of(AMERICAN)
    many = pl.concat([PRICES, PRICES.filter(at(AMERICAN, days[10], days[29]))])
    many = changed(at(CHINESE, days_of(CHINESE)[4]), many, close=pl.lit(-1.0))
    short = checks.summary(mi.check_prices(many, FIRMS))
    assert short["severity"].to_list()[:2] == ["error", "warning"]
    row = short.row(1, named=True)
    assert (row["finding"], row["symbol"], row["rows"]) == ("repeated_rows", AMERICAN, 20)
    assert (row["first"], row["last"]) == (days[10], days[29])


def test_every_finding_has_its_section_and_its_test():
    page = (ROOT / "docs" / "data_checks.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### `(\w+)` \((\w+)\)$", page, flags=re.MULTILINE)
    assert sections == [(finding.name, finding.severity) for finding in mi.FINDINGS.values()]
    files = ("checks", "returns_checks", "open_checks")
    here = "".join(Path(__file__).with_name(f"test_{name}.py").read_text() for name in files)
    assert [name for name in mi.FINDINGS if f'"{name}"' not in here] == []


# --- real prices ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared) -> pl.DataFrame:
    return mi.check_prices(shared / "data" / "prices.parquet")


@pytest.mark.shared
def test_real_prices_have_the_faults_known_from_elsewhere(real):
    """../shared/data/PROVENANCE.md: suspensions and seams; Hong Kong's typhoon Nida; BIDU's snapshot of 2026-03-27."""
    gone = real.filter(pl.col("finding") == "suspension").select("symbol", "date", "value").rows()
    # 2025-09-01..09-08 and 2025-05-26..06-09, in sessions of Shanghai (2025-06-02 was a holiday); 2016-05
    assert {("688981.SS", date(2025, 9, 1), 6.0), ("688041.SS", date(2025, 5, 26), 10.0)} <= set(gone)
    assert ("002371.SZ", 2016, 5) in {(symbol, day.year, day.month) for symbol, day, _ in gone}
    seams = real.filter(pl.col("finding") == "source_change").select("symbol", "date").rows()
    assert ("688256.SS", date(2026, 1, 12)) in seams
    assert ("USDHKD", date(2024, 8, 21)) in seams
    nida = real.filter(pl.col("finding") == "closed_day_price", pl.col("date") == date(2016, 8, 2))
    assert {"0700.HK", "0981.HK"} <= set(nida["symbol"])
    # typhoon Saola and the black rain of 2023, sessions by the calendar
    shut = real.filter(pl.col("finding") == "unlisted_closure", pl.col("detail").str.starts_with("XHKG"))
    assert shut["date"].to_list() == [date(2023, 9, 1), date(2023, 9, 8)]
    partial = real.filter(pl.col("finding") == "partial_last_day").select("symbol", "date").rows()
    assert partial == [("BIDU", date(2026, 3, 26))]


@pytest.mark.shared
def test_real_crashes_are_no_splits_and_nothing_is_an_error(real):
    jumps = ["split_like_jump", "limit_breach", "scale_step", "spike", "basis_step", "unadjusted_split",
             "implausible_return"]  # fmt: skip
    assert real.filter(pl.col("finding").is_in(jumps)).is_empty()
    assert real.filter(pl.col("severity") == "error").is_empty()
    # closes adjusted by taking dividends off: the qfq files of one vendor, and none other
    over = set(real.filter(pl.col("finding") == "limit_overshoot")["symbol"])
    assert over == {"002049.SZ", "002371.SZ", "600584.SS", "603501.SS", "603986.SS"}
    assert checks.summary(real).filter(LOUD).height < 25


@pytest.mark.shared
@pytest.mark.parametrize(
    ("symbol", "day", "factor", "finding"),
    [
        ("KLAC", date(2026, 2, 12), 10.0, "split_like_jump"),
        ("NVDA", date(2024, 6, 10), 10.0, "split_like_jump"),
        ("SMCI", date(2024, 10, 1), 10.0, "split_like_jump"),
        ("0700.HK", date(2021, 3, 9), 5.0, "split_like_jump"),
        ("688256.SS", date(2026, 1, 12), 1.4915, "limit_breach"),
    ],
)
def test_real_prices_made_wrong_are_found(shared, symbol, day, factor, finding):
    """The step that KLAC had in a rejected file, real splits undone, and 688256 as it was before it was rescaled."""
    prices = pl.read_parquet(shared / "data" / "prices.parquet").with_columns(
        pl.when((pl.col("symbol") == symbol) & (pl.col("date") < day)).then(factor).otherwise(1.0).alias("f")
    )
    prices = prices.with_columns(pl.col("close", "adj_close") * pl.col("f")).drop("f")
    kept = prices.filter(pl.col("symbol").is_in([symbol, "^GSPC", "^HSI", "000300.SS"]))
    rows = checks.check_prices(kept).filter(pl.col("symbol") == symbol, LOUD)
    assert (finding, day) in rows.select("finding", "date").rows()


# --- thresholds from both sides --------------------------------------------------------------------


def moved(symbol: str, position: int, ret: float) -> pl.DataFrame:
    """Prices with one return of `symbol` replaced; all later closes move with it."""
    days = days_of(symbol)
    own = dict(PRICES.filter(pl.col("symbol") == symbol).select("date", "close").iter_rows())
    factor = (1 + ret) * own[days[position - 1]] / own[days[position]]
    later = (pl.col("symbol") == symbol) & (pl.col("date") >= days[position])
    return changed(later, close=pl.col("close") * factor)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(
    ("bands", "finding"),
    [(1.0, None), (1.05, "limit_overshoot"), (1.2, "limit_overshoot"), (1.29, "limit_overshoot"),
     (1.31, "limit_breach"), (1.5, "limit_breach")],
)  # fmt: skip
def test_a_move_of_more_than_a_third_beyond_the_limit_is_a_breach(bands, side, finding):
    prices = moved(CHINESE, 300, side * 0.1 * bands).filter(pl.col("symbol").is_in([CHINESE, "000300.SS"]))
    findings = checks.check_prices(prices, FIRMS)
    names = findings.filter(pl.col("finding").str.starts_with("limit"), pl.col("symbol") == CHINESE)
    day = days_of(CHINESE)[300]
    assert names.select("finding", "date").rows() == ([(finding, day)] if finding else [])


def copying(n_same: int, n_own: int) -> pl.DataFrame:
    """XNAS.03 moves as XNAS.00 on `n_same` days of a stretch that has `n_own` days more, spread among them."""
    days, span = days_of("XNAS.00"), n_same + n_own
    own = np.linspace(1, span - 2, n_own).astype(int) if n_own else np.array([], dtype=int)
    closes = {s: PRICES.filter(pl.col("symbol") == s)["close"].to_numpy() for s in ("XNAS.00", "XNAS.03")}
    growth = {s: np.append(1.0, c[1:] / c[:-1]) for s, c in closes.items()}
    same = np.zeros(len(days), dtype=bool)
    same[200 : 200 + span] = True
    same[200 + own] = False
    made = 50.0 * np.cumprod(np.where(same, growth["XNAS.00"], growth["XNAS.03"]))
    close = dict(zip(days, made.tolist(), strict=True))
    own_close = pl.col("date").replace_strict(close, default=None, return_dtype=pl.Float64)
    american = PRICES.filter(pl.col("symbol").is_in([*closes, "^GSPC"]))
    return changed(pl.col("symbol") == "XNAS.03", american, close=own_close)


@pytest.mark.parametrize(("same", "own", "told"), [(19, 0, False), (20, 0, True), (21, 0, True)])
def test_twenty_returns_that_agree_make_a_copy(same, own, told):
    rows = found(copying(same, own), "copied_series")
    assert [(row[0], row[2]) for row in rows] == ([("XNAS.00", float(same))] if told else [])


@pytest.mark.parametrize(("share", "told"), [(0.4, False), (0.6, False), (0.85, False), (0.95, True), (1.0, True)])
def test_two_series_of_which_a_part_agrees_are_no_copies(share, told):
    """Of 200 days in a row so many agree; nine tenths make a copy."""
    same = round(200 * share)
    assert bool(found(copying(same, 200 - same), "copied_series")) == told


@pytest.mark.parametrize(
    ("length", "finding"), [(1, "missing_day"), (2, "missing_day"), (3, "suspension"), (4, "suspension")]
)
def test_three_sessions_without_a_price_are_a_suspension(length, finding):
    days = days_of(CHINESE)
    prices = PRICES.filter(pl.col("symbol").is_in(["XSHG.00", CHINESE, "000300.SS"]))
    findings = checks.check_prices(prices.filter(~at(CHINESE, days[50], days[49 + length])), FIRMS)
    own = findings.filter(pl.col("finding").is_in(["missing_day", "suspension"]))
    assert own.select("finding", "symbol", "date", "value").rows() == [(finding, CHINESE, days[50], float(length))]


@pytest.mark.parametrize(
    ("weekend", "other_end", "told"),
    [(1, 0, False), (2, 0, True), (2, 1, False), (3, 1, True), (4, 1, True), (4, 2, False)],
)
@pytest.mark.parametrize(("day", "other", "value"), [(6, 4, -1.0), (5, 0, 1.0)])
def test_rows_on_the_weekend_in_place_of_the_other_end_are_a_shift(weekend, other_end, told, day, other, value):
    """So many rows on Sundays (or Saturdays) of a month, and so many on its Fridays (Mondays): at most a third."""
    month = [date(2023, 5, 1) + timedelta(days=n) for n in range(31)]
    kept = [d for d in month if d.weekday() not in (5, 6, other)]
    kept += [d for d in month if d.weekday() == day][:weekend] + [d for d in month if d.weekday() == other][:other_end]
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"symbol": "ODD", "date": sorted(kept), "close": 10 + rng.uniform(0, 0.1, len(kept))})
    shifted = mi.check_prices(frame).filter(pl.col("finding") == "shifted_dates")
    assert shifted["value"].to_list() == ([value] if told else [])


@pytest.mark.parametrize(("share", "told"), [(0.4, True), (0.49, True), (0.51, False), (0.9, False)])
def test_a_last_row_of_less_than_half_the_smallest_volume_is_unfinished(share, told):
    own = PRICES.filter(pl.col("symbol").is_in([AMERICAN, "^GSPC"]))
    last = days_of(AMERICAN)[-1]
    least = own.filter((pl.col("symbol") == AMERICAN) & (pl.col("date") < last))["volume"].tail(60).min()
    prices = changed(at(AMERICAN, last), own, volume=pl.lit(share * least))
    assert bool(found(prices, "partial_last_day")) == told


@pytest.mark.parametrize(
    ("length", "traded", "told"), [(4, False, False), (5, False, True), (19, True, False), (20, True, True)]
)
def test_five_closes_that_stay_are_stale_and_twenty_where_they_were_traded(length, traded, told):
    """Volumes that all differ say that there was trade; the close before the run is another one."""
    own = PRICES.filter(pl.col("symbol").is_in([AMERICAN, "^GSPC"]))
    days = days_of(AMERICAN)
    run = at(AMERICAN, days[100], days[99 + length])
    prices = changed(run, own, close=pl.lit(50.0), **({} if traded else {"volume": pl.lit(7.0)}))
    assert [row[2] for row in found(prices, "stale_run")] == ([float(length)] if told else [])
