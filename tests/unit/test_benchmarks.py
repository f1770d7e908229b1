"""The benchmark's own code at tiny sizes: the panel is what it says, rivals and the package agree."""

from __future__ import annotations

import numpy as np
import pytest

import marketimpact as mi
from benchmarks.rivals import RIVALS
from benchmarks.simulated import ESTIMATION, WINDOW, panel


def test_firms_and_dates_repeat() -> None:
    made = panel(200, sessions=400)
    assert len(made.firm) == 200
    assert len(set(made.session)) == 8
    assert len(set(made.firm)) <= 50


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_rivals_agree_with_the_package(name: str, missing: float) -> None:
    made = panel(60, sessions=400, missing=missing)
    returns, benchmark, events = made.frames()
    study = mi.EventStudy(estimation_window=ESTIMATION, event_window=WINDOW)
    cars = study.run(events, mi.Market.from_returns(returns, benchmark)).car(*WINDOW).sort("event_id")
    own = events.join(cars.select("event_id", "car"), on="event_id", how="left", maintain_order="left", validate="1:1")
    difference = np.abs(own["car"].to_numpy() - RIVALS[name](made, 60))
    assert np.isfinite(difference).sum() > 30
    assert np.nanmax(difference) < 1e-10
