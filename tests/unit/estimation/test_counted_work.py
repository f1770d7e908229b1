"""Work is counted, not timed: what a study does may not grow with events where it need not, on any machine."""

from __future__ import annotations

import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from benchmarks.bandwidth import by_kernel, watched
from benchmarks.simulated import ESTIMATION, WINDOW, Panel, panel
from marketimpact.core import limits, threads
from marketimpact.inference import DEFAULT_TESTS
from marketimpact.models import kernels

STUDY = mi.EventStudy(model=mi.MarketModel(), estimation_window=ESTIMATION, event_window=WINDOW)
#: Those that draw are bounded by their draws, not by events.
TESTS = [test.name for test in DEFAULT_TESTS if test.name != "wild_cluster"]
DAYS = ESTIMATION[1] - ESTIMATION[0] + 1
FEW, MANY = 6_000, 12_000  # both go through the kernels


@pytest.fixture(scope="module")
def whole() -> Panel:
    """Simulated: 12,000 events on 480 dates, 120 firms."""
    return panel(MANY, sessions=1000)


def study_of(whole: Panel, number: int) -> Callable[[], None]:
    """`run`, `car` and the default tests over the first events of every date."""
    returns, benchmark, events = whole.frames()
    market = mi.Market.from_returns(returns, benchmark)
    share = number * 25 // MANY
    some = events.filter(pl.col("date").cum_count().over("date") <= share)
    assert some.height == share * MANY // 25

    def ask() -> None:
        result = STUDY.run(some, market)
        result.car(0, 0)
        result.test(0, 0, tests=TESTS)

    ask()  # what is imported, compiled or cached once does not count
    return ask


def calls(ask: Callable[[], None]) -> int:
    """Python and C function calls, those of threads that are started meanwhile too."""
    counted = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    threading.setprofile(count)
    sys.setprofile(count)
    try:
        ask()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return counted


def peak(ask: Callable[[], None]) -> int:
    """Bytes that numpy and Python hold at most; polars allocates elsewhere."""
    tracemalloc.start()
    try:
        ask()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_calls_grow_with_chunks_not_with_events(whole: Panel) -> None:
    """The dates are the same: a call per event would be 6,000 more at least, a loop over pairs of events millions."""
    small, large = calls(study_of(whole, FEW)), calls(study_of(whole, MANY))
    assert small > 10_000
    assert large - small < (MANY - FEW) * 0.7  # a few per security, of which there are more


def test_every_window_is_read_a_few_times(whole: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimation windows by the fit, pairs, portfolios, sums, ranks and diagnostics, once each.

    And by the filter, of CARs, of their spread and of dates, each with the sessions before the event.
    """
    monkeypatch.setattr(limits, "LAZY_KEPT_VALUES", 0)  # as for a million events: residuals are not kept
    ask = study_of(whole, MANY)
    with watched(kernels) as seen:
        ask()
    read = {row["kernel"]: row["windows"] / MANY for row in by_kernel(seen)}
    layouts = len(np.unique(whole.session)) / MANY  # of each one event tells the days
    # pairs, sums, ranks, diagnostics, thrice the filter with the sessions before, and once the event window
    assert read.pop("residuals") == pytest.approx(11.0, abs=3 * layouts)
    assert read.pop("group_sums") == 2.0  # estimation and event window
    assert read == {"sums": 1.0, "present": 1.0, "window_sums": 1.0, "squares": 0.0}


def test_memory_grows_by_less_than_estimation_windows(whole: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the events may take what is kept of them, which is less than one array of events times estimation days."""
    monkeypatch.setattr(limits, "LAZY_KEPT_VALUES", 0)  # as for a million events: nothing of that size is kept
    monkeypatch.setattr(limits, "PATTERN_READS_KEPT", 1)
    monkeypatch.setattr(threads, "cores", lambda: 1)  # how many parts are held at once would depend on the machine
    small, large = peak(study_of(whole, FEW)), peak(study_of(whole, MANY))
    assert large - small < (MANY - FEW) * DAYS * 8
    assert large > MANY * 8


@pytest.mark.parametrize("heavy", ["statsmodels", "yfinance", "arch", "dask", "matplotlib", "numba", "altair"])
def test_import_leaves_the_heavy_ones_alone(heavy: str) -> None:
    code = f"import sys, marketimpact; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_estimation_days_do_not_make_a_day_pattern_of_every_event():
    """Pairs of day patterns are visited one by one: events of one day 0 with the same window count once."""
    returns, benchmark, events = panel(1_000, sessions=1000, missing=0.02).frames()
    market = mi.Market.from_returns(returns, benchmark, allow_missing_sessions=True)
    result = STUDY.run(events, market)
    sample = result.sample(0, 0)
    assert (sample.n_obs < DAYS).mean() > 0.9
    windows = {
        (day, tuple(row)) for day, row in zip(result.events["date"], result.estimation.present.tolist(), strict=True)
    }
    assert len(windows) < sample.n / 2
    assert len(sample.day_patterns.counts) <= len(windows)
