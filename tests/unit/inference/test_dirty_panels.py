"""Securities listed and delisted, days missing: each thing is computed once, and chunks give the numbers of loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from benchmarks.simulated import ESTIMATION, WINDOW, panel
from marketimpact.core import limits
from marketimpact.core.arrays import NO_DAY
from marketimpact.inference import kernels, resampled_moments, shared_estimation
from marketimpact.inference.correlation import pairs
from marketimpact.inference.date_means import DateMeans

STUDY = mi.EventStudy(model=mi.MarketModel(), estimation_window=ESTIMATION, event_window=WINDOW)
EVENTS = 5_000


@pytest.fixture(scope="module")
def dirty() -> tuple[pl.DataFrame, mi.Market]:
    """Simulated: 5,000 events on 200 dates, 50 firms, a third listed late or delisted early, 1% of days missing."""
    made = panel(EVENTS, sessions=2500, missing=0.01)
    returns = made.returns.copy()
    rng = np.random.default_rng(8)
    for firm in range(0, returns.shape[1], 3):
        life = slice(int(rng.integers(100, 1200)), None) if firm % 2 else slice(0, int(rng.integers(1300, 2400)))
        returned = returns[life, firm].copy()
        returns[:, firm] = np.nan
        returns[life, firm] = returned
    frame, benchmark, events = replace(made, returns=returns).frames()
    events = events.with_columns((pl.int_range(pl.len()) % 2).alias("half"))
    return events, mi.Market.from_returns(frame, benchmark, allow_missing_sessions=True)


@pytest.fixture
def result(dirty) -> mi.StudyResult:
    events, market = dirty
    result = STUDY.run(events, market)
    assert result.events["symbol"].n_unique() < result.events.height
    assert result.attrition.height > 100
    return result


@pytest.fixture
def calls(monkeypatch) -> Callable[[Any, str], list[tuple[Any, ...]]]:
    """Watch a function: its calls are listed."""

    def watch(module: Any, name: str) -> list[tuple[Any, ...]]:
        seen: list[tuple[Any, ...]] = []
        original = getattr(module, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            seen.append(arguments)
            return original(*arguments, **named)

        monkeypatch.setattr(module, name, watched)
        return seen

    return watch


def pairs_summed(seen: list[tuple[Any, ...]]) -> list[tuple[bytes, bytes]]:
    """Every two blocks of events that were correlated, by their residuals."""
    return [
        (
            request.one.values[request.one.row_ends[request.block]].tobytes(),
            request.other.values[request.other.row_ends[other]].tobytes(),
        )
        for (request,) in seen
        for other in request.blocks.tolist()
    ]


def test_a_path_correlates_every_two_dates_once(result, calls):
    """11 windows, and the primary test of the longest one."""
    seen = calls(pairs, "sum_correlations")
    dates = result.events["date"].unique().sort().head(20)
    result = result.where(pl.col("date").is_in(dates.implode()))
    path = result.caar(*WINDOW)
    assert path.height == 11
    assert path["band"].unique().to_list() == ["forecast error of portfolios, scaled by the spread of SCARs"]
    assert path["n_events"].n_unique() > 1  # on some days fewer have a return
    correlated = pairs_summed(seen)
    assert len(correlated) == len(set(correlated)) > 20
    again = len(seen)
    result.caar(*WINDOW)
    result.test(-1, 1)
    assert len(seen) == again


def test_a_path_reads_the_estimation_days_once(result, calls, monkeypatch):
    monkeypatch.setattr(limits, "LAZY_KEPT_VALUES", 0)  # as for a million events: residuals are not kept
    seen = calls(shared_estimation, "_span")
    read = []
    dates = type(result.estimation.problem).dates

    def watched(problem: Any, span: tuple[int, int] | None = None) -> Any:
        read.append(len(problem) if span is None else 0)
        return dates(problem, span)

    monkeypatch.setattr(type(result.estimation.problem), "dates", watched)
    result.caar(*WINDOW)
    assert len(seen) == 11  # a variance of common errors for every window
    # of each date one event is read for all windows, and one of each firm for every window
    n_dates, n_firms = result.events["date"].n_unique(), result.events["symbol"].n_unique()
    assert sum(read) <= 11 * n_firms + 6 * n_dates


def test_groups_are_made_once(result, monkeypatch):
    made = []
    where = mi.StudyResult.where
    monkeypatch.setattr(mi.StudyResult, "where", lambda self, some: made.append(some) or where(self, some))
    frame = result.by("half").test(-1, 1, tests=["cross_sectional_t"])
    assert frame["half"].to_list() == [0, 1]
    assert len(made) == 2


@pytest.mark.parametrize("values_at_once", [1, 10_000, 10**9])
def test_resamples_are_drawn_in_chunks_once_for_both_tests(result, calls, monkeypatch, values_at_once):
    sample = result.sample(-1, 1)
    size = sample.n // 4
    monkeypatch.setattr(limits, "SKEWNESS_VALUES_AT_ONCE", values_at_once)
    monkeypatch.setattr(resampled_moments, "DRAWS", 99)
    seen = calls(kernels, "moments_of_rows")
    result.sample(-1, 1)  # another one, nothing is drawn for it
    moments = sample.resampled_moments
    assert moments is sample.resampled_moments
    at_once = min(99, max(1, values_at_once // size))
    assert [drawn.shape for _, drawn in seen][:-1] == [(at_once, size)] * (-(-99 // at_once) - 1)
    # one after the other, as numpy has it
    rng = np.random.default_rng(20250812)
    centred = sample.car - sample.car.mean()
    for k in range(99):
        own = centred[rng.integers(0, sample.n, size)]
        spread = own.std(ddof=1)
        assert moments.standardised[k] == pytest.approx(own.mean() / spread, rel=1e-10, abs=1e-14)
        assert moments.skewness[k] == pytest.approx(((own - own.mean()) ** 3).mean() / spread**3, rel=1e-10, abs=1e-12)


def test_both_bootstraps_of_skewness_share_their_resamples(result, calls):
    seen = calls(resampled_moments, "_drawn")
    result.test(-1, 1, tests=["skew_johnson_bootstrap", "skew_hall_bootstrap"])
    assert len(seen) == 1


def test_compiled_moments_are_those_of_arrays():
    rng = np.random.default_rng(2)
    values, drawn = rng.standard_t(4, 500), rng.integers(0, 500, (40, 125))
    plain = resampled_moments._moments_of_rows(values, drawn)
    np.testing.assert_allclose(kernels.moments_of_rows(values, drawn), plain, rtol=1e-10, atol=1e-14)
    same = np.full((1, 4), 7)  # one event again and again: no spread
    for moments in (resampled_moments._moments_of_rows, kernels.moments_of_rows):
        assert not np.isfinite(moments(values, same)).any()


@pytest.mark.parametrize("compiled_from", [0, 10**9])
def test_date_means_are_those_of_polars_to_the_last_bit(monkeypatch, compiled_from):
    monkeypatch.setattr(limits, "COMPILED_FROM_ROWS", compiled_from)
    rng = np.random.default_rng(5)
    values, code = rng.normal(size=(300, 7)), rng.integers(0, 9, 300)
    values[rng.random(values.shape) < 0.3] = np.nan
    members = np.bincount(code, minlength=9)
    means = DateMeans(members, 7)
    for start in (0, 100, 200):
        means.add(values[start : start + 100], code[start : start + 100])
    total, count = np.zeros((9, 7)), np.zeros((9, 7))
    for row, own in zip(values, code, strict=True):
        total[own] += np.nan_to_num(row)
        count[own] += ~np.isnan(row)
    np.testing.assert_array_equal(means.total, total)
    np.testing.assert_array_equal(means.count, count)


@pytest.mark.parametrize(("compiled_from", "rows_at_once"), [(0, 2048), (10**9, 2048), (0, 40), (10**9, 40)])
def test_common_errors_in_chunks_are_those_of_one_table(result, monkeypatch, compiled_from, rows_at_once):
    """Loads of every firm on every day in one table; compiled or not, few rows at a time or many."""
    sample = result.sample(-5, 1)
    weight, used = sample.sigma / sample.n, sample.n_days / sample.n_obs
    assert len(np.unique(used)) > 20  # no window and no estimation window is like all others
    window, dates = sample.window_dates.to_array(), sample.residual_dates.to_array()
    residuals = sample.residuals.to_array()
    firms, row = np.unique(sample.symbol, return_inverse=True)
    lowest = dates[dates != NO_DAY].min()
    table = np.zeros((2, len(firms), max(window.max(), dates.max()) - lowest + 1))
    for i in range(sample.n):
        on = window[i][window[i] != NO_DAY] - lowest
        table[:, row[i], on] += weight[i]
        estimated = dates[i][~np.isnan(residuals[i]) & (dates[i] != NO_DAY)] - lowest
        table[0, row[i], estimated] -= weight[i] * used[i]
    expected = [0.7 * (load**2).sum() + 0.3 * (load.sum(axis=0) ** 2).sum() for load in table]
    monkeypatch.setattr(limits, "COMPILED_FROM_ROWS", compiled_from)
    monkeypatch.setattr(limits, "LAZY_CHUNK_ROWS", rows_at_once)
    assert shared_estimation._variances(sample, weight, used, 0.3) == pytest.approx(expected, rel=1e-12)


def test_few_rows_at_a_time_give_the_same_path(dirty, monkeypatch):
    events, market = dirty
    plain = STUDY.run(events, market).caar(*WINDOW)
    for name, size in (("LAZY_CHUNK_ROWS", 300), ("PATTERNS_PER_READ", 7), ("PATTERN_READS_KEPT", 1)):
        monkeypatch.setattr(limits, name, size)
    chunked = STUDY.run(events, market).caar(*WINDOW)
    assert chunked["band"].to_list() == plain["band"].to_list()
    for name in ("caar", "se", "mde"):
        np.testing.assert_allclose(chunked[name].to_numpy(), plain[name].to_numpy(), rtol=1e-12)
