"""A step beyond a factor of three reaches no analysis in silence: events go to attrition, donors are left out."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi

DAYS = [day for n in range(600) if (day := date(2023, 1, 2) + timedelta(n)).weekday() < 5]
STEP = 330


@pytest.fixture(scope="module")
def market() -> mi.Market:
    """Six firms, of which B splits 8 for 1 and is not adjusted; firms and dates of events repeat."""
    rng = np.random.default_rng(0)
    index = rng.normal(0, 0.01, len(DAYS))
    own = {name: index + rng.normal(0, 0.01, len(DAYS)) for name in "ABCDEF"}
    own["B"][STEP] = 1 / 8 - 1
    rows = pl.concat([pl.DataFrame({"symbol": name, "date": DAYS, "ret": ret}) for name, ret in own.items()])
    return mi.Market.from_returns(rows, pl.DataFrame({"date": DAYS, "ret": index}))


def events(*days: int) -> pl.DataFrame:
    rows = [(f"{name} {day}", name, DAYS[day]) for name in "AB" for day in days]
    return pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")


def test_a_donor_with_a_step_is_left_out_and_its_own_events_are_attrition(market):
    found = mi.synthetic_control(events(STEP + 2), market, ["B", "C", "D", "E"], event_window=(-3, 3))
    assert found.left_out.filter(pl.col("donor") == "B")["event_id"].to_list() == [f"A {STEP + 2}", f"B {STEP + 2}"]
    assert found.attrition.select("event_id", "reason").rows() == [(f"B {STEP + 2}", "implausible_return")]
    assert found.table["event_id"].to_list() == [f"A {STEP + 2}"]
    assert abs(found.table["car"].item()) < 0.3
    facts = pl.DataFrame({"symbol": list("ABCDEF"), "size": [1.0, 1.1, 3.0, 4.0, 5.0, 6.0]})
    matched = mi.matched_controls(events(STEP + 2), market, ["B", "C", "D"], facts, event_window=(-3, 3))
    assert "B" not in matched.weights["donor"]


def test_a_portfolio_in_calendar_time_leaves_the_event_out(market):
    found = mi.calendar_time(events(STEP - 2, STEP + 20), market, (0, 10))
    assert found.attrition.select("event_id", "reason").rows() == [(f"B {STEP - 2}", "implausible_return")]
    assert abs(found.alpha) < 0.01


def test_abnormal_volatility_of_the_events_that_are_left(market):
    study = mi.EventStudy(estimation_window=(-120, -11), event_window=(-1, 1))
    result = study.run(events(STEP - 40, STEP + 2), market)
    assert result.attrition["event_id"].to_list() == [f"B {STEP + 2}"]
    assert mi.abnormal_volatility(result).events.height == 3
