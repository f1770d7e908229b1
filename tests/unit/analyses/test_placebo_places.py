"""Placebo windows and donors: which places are free, and how many returns make a window."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.analyses.specification_curve.placebo_days import draw_shifts
from tests.conftest import golden

DAYS = [date(2023, 1, 2) + timedelta(days=n) for n in range(260)]


@pytest.mark.parametrize("event_window", [(-5, 5), (-2, 1)])
def test_a_placebo_window_has_returns_on_half_of_its_days(event_window):
    """A firm with gaps of every size: it moves with its announcement only where at least half of the days are there."""
    length = event_window[1] - event_window[0] + 1
    rng = np.random.default_rng(4)
    returns = rng.normal(0, 0.01, (4, len(DAYS)))
    day0 = 240
    # stretches with and without returns, of lengths about that of the window
    for start in range(day0 - 200, day0 - 20, 2 * length - 1):
        returns[3, start : start + length - 1] = np.nan
    frame = pl.DataFrame({"symbol": np.repeat(list("ABCD"), len(DAYS)), "date": DAYS * 4, "ret": returns.ravel()})
    market = mi.Market.from_returns(
        frame.with_columns(pl.col("ret").fill_nan(None)),
        pl.DataFrame({"date": DAYS, "ret": rng.normal(0, 0.01, len(DAYS))}),
    )
    events = pl.DataFrame({"event_id": list("abcd"), "symbol": list("ABCD"), "date": [DAYS[day0]] * 4})
    study = mi.EventStudy(estimation_window=(-200, -11), event_window=event_window, min_observations=40)
    values = study.run(events, market).estimation
    places = draw_shifts([values], np.unique(market.days), 150, 3)
    first = (DAYS[0] - date(1970, 1, 1)).days
    column = places.day0 - first  # sessions are days
    there = ~np.isnan(returns)

    def held(firm: int, at: int) -> int:
        return int(there[firm, at + event_window[0] : at + event_window[1] + 1].sum())

    chain, own = column[:, 0], column[:, 3]
    np.testing.assert_array_equal(column[:, :3], chain[:, None].repeat(3, axis=1))
    enough = np.array([2 * held(3, at) >= length for at in chain])
    # where the announcement's place has enough returns the firm goes there, and only there
    np.testing.assert_array_equal(own[enough], chain[enough])
    assert all(2 * held(3, at) >= length for at in own)
    assert places.moved_alone == pytest.approx((~enough).sum() / column.size)
    # the window at the boundary was among the draws
    counts = {held(3, at) for at in chain}
    assert {(length + 1) // 2 - 1, (length + 1) // 2} <= counts


@pytest.mark.parametrize(("apart", "treated"), [(10, True), (11, False), (-10, True), (-11, False)])
def test_a_donor_with_a_day_in_common_is_treated_itself(golden_market, apart, treated):
    """Windows of eleven sessions: ten sessions apart they share one day, eleven apart none."""
    days = golden("market")["date"].to_list()
    events = pl.DataFrame({"event_id": ["a", "d"], "symbol": ["US01", "CN11"], "date": [days[300], days[300 + apart]]})
    donors = ["CN11", "CN12", "CN06", "CN08"]
    found = mi.synthetic_control(events, golden_market, donors, estimation_window=(-200, -11), event_window=(-5, 5))
    own = found.left_out.filter((pl.col("event_id") == "a") & (pl.col("donor") == "CN11"))
    assert own.height == treated
    if treated:
        assert own["reason"].item() == "has an event of its own whose window overlaps the event's"
    weights = found.weights.filter(pl.col("event_id") == "a")["donor"].to_list()
    assert ("CN11" in weights) != treated


def test_placebo_places_are_those_that_touch_no_event_of_the_security():
    """Every place of a window that lies inside the common stretch, two windows of one firm never on one day."""
    rng = np.random.default_rng(5)
    returns = rng.normal(0, 0.01, (3, len(DAYS)))
    frame = pl.DataFrame({"symbol": np.repeat(list("ABC"), len(DAYS)), "date": DAYS * 3, "ret": returns.ravel()})
    benchmark = pl.DataFrame({"date": DAYS, "ret": rng.normal(0, 0.01, len(DAYS))})
    market = mi.Market.from_returns(frame, benchmark)
    dated = [("a", "A", 240), ("b", "B", 240), ("c", "A", 170), ("d", "C", 170)]
    rows = [(name, symbol, DAYS[day]) for name, symbol, day in dated]
    events = pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")
    study = mi.EventStudy(estimation_window=(-120, -11), event_window=(-2, 3), min_observations=40)
    places = draw_shifts([study.run(events, market).estimation], np.unique(market.days), 4000, 3)
    first = (DAYS[0] - date(1970, 1, 1)).days
    wanted = {}
    for chain, day0 in (("ab", 240), ("cd", 170)):
        inside = [at for at in range(day0 - 120, day0 - 10) if at - 2 >= day0 - 120 and at + 3 <= day0 - 11]
        own = [d for _, symbol, d in dated if symbol in {s for name, s, _ in dated if name in chain}]
        others = [170, 240] if "A" in {s for name, s, _ in dated if name in chain} else own
        wanted[chain] = {at for at in inside if all(abs(at - d) > 5 for d in others)}
    drawn = places.day0 - first
    assert set(drawn[:, 0].tolist()) == set(drawn[:, 1].tolist()) == wanted["ab"]
    assert set(drawn[:, 2].tolist()) == set(drawn[:, 3].tolist()) == wanted["cd"]
    assert sorted(places.n_positions.tolist()) == sorted(len(found) for found in wanted.values())
    assert (places.overlapping, places.n_chains) == (0.0, 2)


@pytest.mark.parametrize(("length", "positions"), [(35, 30), (36, 20), (37, 21)])
def test_twenty_positions_clear_of_other_events_are_enough(length, positions):
    """An event window of 6 days has `length - 5` positions, 11 of which meet the firm's other event at 210.

    Where 20 or more are clear only these are used; where 19 are, all of them.
    """
    rng = np.random.default_rng(6)
    frame = pl.DataFrame({"symbol": ["A"] * len(DAYS), "date": DAYS, "ret": rng.normal(0, 0.01, len(DAYS))})
    market = mi.Market.from_returns(frame, frame.select("date", pl.col("ret").reverse()))
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["A", "A"], "date": [DAYS[240], DAYS[210]]})
    study = mi.EventStudy(estimation_window=(-10 - length, -11), event_window=(-2, 3), min_observations=30)
    places = draw_shifts([study.run(events, market).estimation], np.unique(market.days), 100, 3)
    # the event at 210 meets none in its own stretch, which ends at 199
    assert sorted(places.n_positions.tolist()) == sorted([positions, length - 5])


@pytest.mark.parametrize(("n", "used"), [(59, False), (60, True), (61, True)])
def test_weights_need_sixty_complete_sessions(golden_market, n, used):
    events = golden("events_clustered").filter(pl.col("symbol") == "US01")
    found = mi.synthetic_control(
        events, golden_market, ["CN11", "CN12"], estimation_window=(-10 - n, -11), event_window=(-5, 5)
    )
    assert found.table.height == used
    if used:
        assert found.table["n_obs"].item() == n
    else:
        assert found.attrition["reason"].to_list() == ["too_few_observations"]
