"""Work is counted, not timed: what a study does may not grow with events where it need not, on any machine."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import pytest

import marketimpact as mi
from benchmarks.simulated import ESTIMATION, WINDOW, panel

STUDY = mi.EventStudy(model=mi.MarketModel(), estimation_window=ESTIMATION, event_window=WINDOW)
TESTS = ["bmp", "patell_scar", "cross_sectional_t", "date_means_t"]


def calls(number: int) -> int:
    """Python and C function calls of run, car and four tests over `number` events, after a first run that imports."""
    returns, benchmark, events = panel(number, sessions=600).frames()
    market = mi.Market.from_returns(returns, benchmark)

    def whole() -> None:
        result = STUDY.run(events, market)
        result.car(*WINDOW)
        result.test(*WINDOW, tests=TESTS)

    whole()
    counted = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        whole()
    finally:
        sys.setprofile(before)
    return counted


def test_calls_grow_by_a_few_per_event() -> None:
    # 14 per event when this was written (500 to 2,000 events, 20 to 80 dates, 50 firms): 20 leaves room for versions
    # of the libraries; a regression per event in Python costs hundreds, a loop over pairs of events thousands
    small, large = calls(500), calls(2000)
    assert small > 0
    assert large - small < 20 * 1500


def test_python_allocations_per_event_are_bounded() -> None:
    # numpy and Python allocate through tracemalloc, polars does not. The core held 8.2 arrays of events x 240 days at
    # once when this was written; 10 stops another two. Lower the bound when the core holds less.
    returns, benchmark, events = panel(2000, sessions=600).frames()
    market = mi.Market.from_returns(returns, benchmark)
    STUDY.run(events, market).car(*WINDOW)
    tracemalloc.start()
    try:
        STUDY.run(events, market).car(*WINDOW)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2000 * 240 * 8


@pytest.mark.parametrize("heavy", ["statsmodels", "yfinance", "arch", "dask", "matplotlib"])
def test_import_leaves_the_heavy_ones_alone(heavy: str) -> None:
    code = f"import sys, marketimpact; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
