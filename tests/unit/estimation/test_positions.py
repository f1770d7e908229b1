"""Day 0 of events against a plain search in the calendar of each exchange."""

from bisect import bisect_left
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import marketimpact as mi
from marketimpact.estimation.positions import locate_day0

SYMBOLS = ["NVDA", "0981.HK", "688981.SS", "2330.TW", "AMD", "NOBODY"]


@pytest.fixture(scope="module")
def market(sample_market) -> mi.Market:
    """The embedded sample: simulated prices of several exchanges with holidays of their own."""
    return sample_market


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(SYMBOLS), st.none() | st.dates(date(2021, 12, 1), date(2027, 1, 1))), min_size=1
    ),
    st.sampled_from(["next", "previous"]),
)
def test_day_0_is_the_session_of_the_own_exchange(market, wanted, closed_day):
    events = pl.DataFrame(
        [(f"e{n:02d}", symbol, day) for n, (symbol, day) in enumerate(wanted)],
        schema={"event_id": pl.String, "symbol": pl.String, "date": pl.Date},
        orient="row",
    )
    located, positions, attrition = locate_day0(events.reverse(), market, closed_day)
    placed = located.with_columns(_day0=pl.Series(positions.day0), _security=pl.Series(positions.security))
    home = dict(market.panel_securities.select("symbol", "mic").iter_rows())
    spans = {
        symbol: (first, last) for symbol, first, last in market.spans.select("symbol", "first", "last").iter_rows()
    }
    rows = {row["event_id"]: row for row in placed.iter_rows(named=True)}
    reasons = dict(attrition.select("event_id", "reason").iter_rows())
    assert rows.keys() | reasons.keys() == set(events["event_id"])
    for event, symbol, told in events.iter_rows():
        if symbol not in home or told is None:
            assert reasons[event] == ("no_date" if symbol in home else "unknown_symbol")
            continue
        sessions = market.session_numbers.filter(mic=home[symbol]).sort("date")
        days = sessions["date"].to_list()
        at, (first, last) = bisect_left(days, told), spans[symbol]
        if closed_day == "previous" and 0 < at < len(days) and days[at] != told:
            at -= 1
        if told < first:
            assert reasons[event] == "before_data"
        elif at == len(days) or days[at] > last:
            assert reasons[event] == "after_data"
        else:
            row = rows[event]
            assert (row["date"], row["date_given"], row["_day0"]) == (days[at], told, sessions["session"][at])
            assert market.panel_securities["symbol"][row["_security"]] == symbol


def test_days_before_1970_are_days_like_others():
    days = [date(1969, 12, 20) + timedelta(n) for n in range(30)]
    flat = pl.DataFrame({"date": days, "ret": [0.01 * (n % 3) for n in range(30)]})
    returns = pl.concat([flat.with_columns(pl.lit(symbol).alias("symbol")) for symbol in ("A", "B")])
    events = pl.DataFrame({"event_id": ["x", "y"], "symbol": ["A", "B"], "date": [date(1969, 12, 31)] * 2})
    placed, positions, attrition = locate_day0(events, mi.Market.from_returns(returns, flat))
    assert attrition.is_empty()
    assert placed["date"].to_list() == [date(1969, 12, 31)] * 2
    assert positions.day0.tolist() == [11, 11]


def test_columns_of_any_name_are_kept(market):
    """What a market or `car` calls its own columns may be a user's too."""
    names = ["first", "last", "first_row", "n_sessions", "day0", "first_session", "security_row", "row", "session"]
    events = pl.DataFrame(
        {"event_id": ["a", "b"], "symbol": ["NVDA", "AMD"], "date": [date(2025, 8, 12)] * 2}
        | {name: ["x", None] for name in names}
    )
    study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-3, 3))
    result = study.run(events, market)
    assert result.events.select(names).equals(events.select(names))
    plain = study.run(events.select("event_id", "symbol", "date"), market)
    assert result.car(0, 1).select(plain.car(0, 1).columns).equals(plain.car(0, 1))
    assert result.test(0, 1).equals(plain.test(0, 1))


def test_a_security_without_any_return_says_so():
    days = [date(2024, 1, 1) + timedelta(n) for n in range(200)]
    flat = pl.DataFrame({"date": days, "ret": [0.01 * (n % 3) for n in range(200)]})
    none = pl.lit(None, dtype=pl.Float64).alias("ret")
    returns = pl.concat([flat.with_columns(symbol=pl.lit("A")), flat.with_columns(none, symbol=pl.lit("B"))])
    events = pl.DataFrame({"event_id": ["x", "y"], "symbol": ["A", "B"], "date": [days[180]] * 2})
    market = mi.Market.from_returns(returns.select("symbol", "date", "ret"), flat)
    _, positions, attrition = locate_day0(events, market)
    assert attrition.is_empty()
    assert positions.day0.tolist() == [180, 180]
    told = mi.EventStudy(estimation_window=(-150, -11), event_window=(-3, 3)).run(events, market).attrition
    assert ("y", "too_few_observations") in told.select("event_id", "reason").rows()
    assert told["detail"].null_count() == 0
