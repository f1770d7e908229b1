"""Which events are used and which have a CAR: one below, at and one above every threshold."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi

DAYS = [date(2023, 1, 2) + timedelta(days=n) for n in range(200)]
EARLY, LATE = 150, 170


def market_of(missing: dict[str, list[int]] | None = None, last: int = len(DAYS)) -> mi.Market:
    """Two firms; `missing` returns by session, none from session `last` on."""
    rng = np.random.default_rng(6)
    index = rng.normal(0, 0.01, len(DAYS))
    returns = {name: index + rng.normal(0, 0.01, len(DAYS)) for name in ("A", "B")}
    for name, gone in (missing or {}).items():
        returns[name][gone] = np.nan
    frame = pl.concat(
        pl.DataFrame({"symbol": name, "date": DAYS, "ret": ret}).head(last) for name, ret in returns.items()
    )
    return mi.Market.from_returns(
        frame.with_columns(pl.col("ret").fill_nan(None)), pl.DataFrame({"date": DAYS, "ret": index})
    )


def events_on(*days: int) -> pl.DataFrame:
    """Both firms on every one of the days."""
    rows = [(f"{day}:{name}", name, DAYS[day]) for day in days for name in ("A", "B")]
    return pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")


STUDY = mi.EventStudy(estimation_window=(-110, -11), event_window=(-3, 3), min_observations=60)


@pytest.mark.parametrize(("n_obs", "used"), [(59, False), (60, True), (61, True)])
def test_as_many_returns_as_are_required_are_enough(n_obs, used):
    gone = list(range(EARLY - 110, EARLY - 10))[: 100 - n_obs]
    result = STUDY.run(events_on(EARLY, LATE), market_of({"A": gone}))
    reasons = dict(result.attrition.select("event_id", "reason").iter_rows())
    assert reasons.get(f"{EARLY}:A") == (None if used else "too_few_observations")
    if used:
        own = result.estimates.filter(pl.col("event_id") == f"{EARLY}:A")
        assert own["n_obs"].item() == n_obs
    else:
        detail = result.attrition.filter(pl.col("event_id") == f"{EARLY}:A")["detail"].item()
        assert f"{n_obs} estimation returns" in detail
        assert "min_observations is 60" in detail


@pytest.mark.parametrize("n_gone", [0, 1, 2, 4, 5])
def test_strict_wants_every_return_of_the_window(n_gone):
    """The window of five days with none, one, two, all but one or all of its returns missing."""
    gone = list(range(EARLY - 1, EARLY - 1 + n_gone))
    market, events = market_of({"A": gone}), events_on(EARLY, LATE)
    for missing in ("strict", "available"):
        car = STUDY.but(missing=missing).run(events, market).car(-1, 3)
        row = car.row(by_predicate=pl.col("event_id") == f"{EARLY}:A", named=True)
        assert row["n_days"] == 5 - n_gone
        assert (row["car"] is not None) == (n_gone == 0 if missing == "strict" else n_gone < 5)
        whole = car.filter(pl.col("event_id") == f"{EARLY}:B")
        assert whole["n_days"].item() == 5
        assert whole["car"].null_count() == 0


def test_the_last_day_with_a_price_is_a_day_0_and_the_one_after_is_not():
    """Prices end on session 170, sessions go on."""
    result = STUDY.run(events_on(LATE - 1, LATE, LATE + 1), market_of(last=LATE + 1))
    assert result.events["date"].unique().sort().to_list() == [DAYS[LATE - 1], DAYS[LATE]]
    assert result.attrition["reason"].to_list() == ["after_data"] * 2
    assert set(result.attrition["event_id"]) == {f"{LATE + 1}:A", f"{LATE + 1}:B"}


def test_the_first_day_with_a_return_is_a_day_0_and_the_one_before_is_not():
    market = market_of({"A": list(range(5)), "B": list(range(5))})
    rows = market.panel.filter(pl.col("ret").is_not_null()).select("symbol", "date", "ret")
    benchmark = pl.DataFrame({"date": DAYS, "ret": market.panel.filter(pl.col("symbol") == "A")["market"]})
    late = mi.Market.from_returns(rows, benchmark)
    reasons = dict(STUDY.run(events_on(4, 5, LATE), late).attrition.select("event_id", "reason").iter_rows())
    assert reasons == {
        "4:A": "before_data", "4:B": "before_data", "5:A": "too_few_observations", "5:B": "too_few_observations"
    }  # fmt: skip


def test_trade_free_days_at_both_ends_of_the_event_window_are_outside():
    """With the calendar's last session as day 0 only the days up to it count, with the first only those from it on."""
    result = STUDY.run(events_on(len(DAYS) - 1, LATE), market_of())
    last = result.car(-3, 3).filter(pl.col("event_id").str.starts_with(f"{len(DAYS) - 1}:"))
    assert last["n_days"].to_list() == [4, 4]
    assert result.car(1, 3).filter(pl.col("event_id").str.starts_with(f"{len(DAYS) - 1}:"))["car"].null_count() == 2
