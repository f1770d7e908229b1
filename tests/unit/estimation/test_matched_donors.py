"""Donors of exchanges with other hours: matched by the clock, against `Market.with_factor` and by hand."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.estimation.donor_choice import find_donors
from marketimpact.market.market import Market

SHORT = mi.EventStudy(estimation_window=(-120, -11), event_window=(-1, 1))
#: A firm that repeats, a date that repeats, in New York and Shanghai.
EVENTS = pl.DataFrame({
    "event_id": ["a", "b", "c", "d"], "symbol": ["NVDA", "688041.SS", "NVDA", "AMD"],
    "date": [date(2025, 8, 12), date(2025, 8, 12), date(2025, 5, 20), date(2025, 5, 20)],
})  # fmt: skip
DONORS = ("DELL", "005930.KS", "2330.TW")


@pytest.fixture(scope="module")
def market() -> Market:
    names = ["NVDA", "AMD", "688041.SS", *DONORS, "0700.HK"]
    return Market.load(mi.securities().filter(pl.col("symbol").is_in(names)), mi.SamplePrices())


def read(market: Market, events: pl.DataFrame, donors=DONORS, study=SHORT, **options):
    """Donors of the events, and their returns over both windows, (N, D, J)."""
    result = study.but(model=mi.PeerMean(donors, **options)).run(events, market)
    found = find_donors(events, result.events, result.estimation.problem, {})
    return result, found.read((-120, 1))


def test_returns_are_those_of_the_factor_matched_by_the_clocks(market):
    result, returns = read(market, EVENTS, match_sessions=True)
    assert result.donors["used"].all()
    for column, donor in enumerate(DONORS):
        known = market.with_factor("abroad", donor).panel
        for row, event in enumerate(result.events.iter_rows(named=True)):
            own = known.filter(pl.col("symbol") == event["symbol"]).sort("session")
            day0 = own.with_row_index().filter(pl.col("date") == event["date"])["index"].item()
            theirs = own["abroad"].to_numpy()[day0 - 120 : day0 + 2]
            ours = returns[row, :, column]
            # the factor is 0 where the other exchange was closed, a donor has no return there
            np.testing.assert_allclose(np.where(np.isnan(ours), 0.0, ours), theirs, atol=1e-14)
            assert np.isnan(ours).sum() <= 15
            assert (theirs[np.isnan(ours)] == 0).all()


def test_new_york_meets_seoul_of_the_same_date_and_shanghai_meets_new_york_of_the_day_before(market):
    ret = {(symbol, day): value for symbol, day, value in market.panel.select("symbol", "date", "ret").iter_rows()}
    _, returns = read(market, EVENTS, match_sessions=True)
    assert returns[0, 120, 1] == pytest.approx(ret["005930.KS", date(2025, 8, 12)], abs=1e-15)
    assert returns[1, 120, 0] == pytest.approx(ret["DELL", date(2025, 8, 11)], abs=1e-15)


def test_after_a_holiday_at_home_the_sessions_missed_are_compounded(market):
    ret = {(symbol, day): value for symbol, day, value in market.panel.select("symbol", "date", "ret").iter_rows()}
    # New York was closed on Monday 26 May 2025, Seoul was not
    events = pl.DataFrame({"event_id": ["a"], "symbol": ["NVDA"], "date": [date(2025, 5, 27)]})
    _, returns = read(market, events, match_sessions=True)
    missed = [ret["005930.KS", date(2025, 5, day)] for day in (26, 27)]
    assert returns[0, 120, 1] == pytest.approx((1 + missed[0]) * (1 + missed[1]) - 1, abs=1e-15)


def test_a_donor_whose_exchange_was_closed_has_no_return_that_day(market):
    # Seoul was closed on 6 June 2025, New York was not
    events = pl.DataFrame({"event_id": ["a"], "symbol": ["NVDA"], "date": [date(2025, 6, 6)]})
    result, returns = read(market, events, ("DELL", "005930.KS"), match_sessions=True)
    assert np.isnan(returns[0, 120, 1])
    assert result.donors.select("donor", "reason").rows() == [("DELL", None), ("005930.KS", "has no return on day 0")]


def test_donors_of_the_same_hours_are_as_before(market):
    plain, one = read(market, EVENTS, ("DELL",))
    matched, two = read(market, EVENTS, ("DELL",), match_sessions=True)
    ids = plain.events["event_id"].to_list()
    assert ids == ["a", "c", "d"]
    np.testing.assert_array_equal(one, two[[matched.events["event_id"].to_list().index(name) for name in ids]])
    same = matched.where(pl.col("event_id").is_in(ids)).car(0, 1)["car"]
    assert plain.car(0, 1)["car"].to_list() == same.to_list()


def test_a_matched_donor_with_an_event_the_day_before_is_treated(market):
    """Its session of the evening before is in the first day of the event window in Shanghai."""
    window = SHORT.but(event_window=(0, 1))
    other = pl.DataFrame({"event_id": ["x"], "symbol": ["DELL"], "date": [date(2025, 8, 11)]})
    own = EVENTS.filter(pl.col("event_id") == "b")
    result, _ = read(market, pl.concat([own, other]), ("DELL", "005930.KS"), study=window, match_sessions=True)
    reasons = dict(result.donors.filter(pl.col("event_id") == "b").select("donor", "reason").iter_rows())
    assert reasons["DELL"] == "has an event of its own whose window overlaps the event's"
    assert reasons["005930.KS"] is None


def test_a_market_without_clocks_has_nothing_to_match_by():
    days = [date(2024, 1, 1) + timedelta(n) for n in range(200)]
    rng = np.random.default_rng(1)
    rows = [(s, m, d, float(rng.normal(0, 0.01))) for s, m in (("A", "XNYS"), ("B", "XTAI")) for d in days]
    returns = pl.DataFrame(rows, schema=["symbol", "mic", "date", "ret"], orient="row")
    benchmark = returns.group_by("mic", "date", maintain_order=True).agg(ret=pl.col("ret").mean() / 2)
    known = mi.Market.from_returns(returns, benchmark)
    events = pl.DataFrame({"event_id": ["a"], "symbol": ["A"], "date": [days[150]]})
    result = SHORT.but(model=mi.PeerMean(("B",), match_sessions=True)).run(events, known)
    assert set(result.attrition["reason"]) == {"no_donors"}
    assert "or hours that are not known (1)" in result.attrition["detail"].item()


def test_the_option_is_true_or_false():
    with pytest.raises(mi.SpecificationError, match="match_sessions='yes' must be True or False"):
        mi.PeerMean(("DELL",), match_sessions="yes")
