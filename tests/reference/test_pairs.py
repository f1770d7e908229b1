"""Average correlation of events against plain loops over all pairs of events."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.arrays import NO_DAY
from marketimpact.inference import Sample, mean_correlation, window_correlation
from marketimpact.inference.correlation.by_pairs import average_correlation_by_pairs
from tests.conftest import golden

MIN_COMMON_DAYS = 30
LONGEST_HOLIDAY = 20


def residuals_by_date(sample: Sample) -> np.ndarray:
    """Residuals in columns that are dates, (N, D), NaN where an event has none."""
    dates, residuals = sample.residual_dates.to_array(), sample.residuals.to_array()
    columns = np.unique(dates[dates != NO_DAY])
    table = np.full((sample.n, len(columns)), np.nan)
    for row, own in enumerate(dates):
        table[row, np.searchsorted(columns, own[own != NO_DAY])] = residuals[row, own != NO_DAY]
    return table


def shares_of_window(sample: Sample) -> np.ndarray:
    """Common days of the windows over the root of the product of their lengths, (N, N)."""
    days = [set(row[row != NO_DAY].tolist()) for row in sample.dates]
    return np.array([[len(a & b) / np.sqrt(len(a) * len(b)) for b in days] for a in days])


def test_the_definition_is_that_of_pandas():
    """Twelve rows with days missing, one of them with too few days for most others."""
    rng = np.random.default_rng(4)
    residuals = rng.normal(size=(12, 60)) + rng.normal(size=60)
    residuals[rng.random(residuals.shape) < 0.1] = np.nan
    residuals[5, :32] = np.nan
    overlap = rng.choice([0.0, 0.5, 1.0], (12, 12))
    correlations = pd.DataFrame(residuals.T).corr(min_periods=MIN_COMMON_DAYS).to_numpy()
    above = np.triu_indices(12, 1)
    weight, usable = overlap[above], ~np.isnan(correlations[above])
    answer = average_correlation_by_pairs(residuals, overlap)
    assert answer.n_pairs == (weight > 0).sum()
    assert answer.n_used == (usable & (weight > 0)).sum() < answer.n_pairs
    total = (weight * correlations[above])[usable].sum()
    assert answer.value == pytest.approx(total / (usable | (weight == 0)).sum(), rel=1e-12)


def spans(ends: np.ndarray) -> list[tuple[float, float]]:
    """The time whose news each session prices: from the close before to its own; none for the first."""
    return [(np.inf, -np.inf), *pairwise(ends)]


def linked(one, other, *, by_date: bool, since: int) -> list[tuple[int, int, bool]]:
    """Dates of sessions whose spans meet, and whether the other closes no later."""
    ends, others = (one.dates, other.dates) if by_date else (one.closes, other.closes)
    links = []
    other_spans = spans(others)
    for s, (a, b) in enumerate(spans(ends)):
        if one.dates[s] < since:
            continue
        near = np.flatnonzero(np.abs(other.dates - one.dates[s]) <= LONGEST_HOLIDAY)
        met = [t for t in near if max(a, other_spans[t][0]) < min(b, other_spans[t][1])]
        links += [(int(one.dates[s]), int(other.dates[t]), bool(others[t] <= ends[s])) for t in met]
    return links


def by_loops(sample: Sample) -> tuple[float, int, int]:
    """methods.md 7.2 written out: r of each pair on matched sessions, weighted by common days of the window."""
    known: dict[tuple[int, int], list[tuple[int, int, bool]]] = {}
    residual_dates = sample.residual_dates.to_array()
    first = min(residual_dates[residual_dates >= 0].min(), sample.dates[sample.dates >= 0].min())
    total, n_pairs, n_used = 0.0, 0, 0
    for i, j in combinations(range(sample.n), 2):
        a, b = sample.exchange[i], sample.exchange[j]
        clocks = sample.clocks[a], sample.clocks[b]
        hours = [(clock.opens_at, clock.closes_at) for clock in clocks]
        together = min(h[1] for h in hours) - max(h[0] for h in hours)
        far = a != b and together < min(h[1] - h[0] for h in hours) / 2
        days = [{int(d) for d in row if d >= 0} for row in (sample.dates[i], sample.dates[j])]
        value = [
            {int(d): e for d, e in zip(dates, residuals, strict=True) if d >= 0 and not np.isnan(e)}
            for dates, residuals in zip(residual_dates[[i, j]], sample.residuals.to_array()[[i, j]], strict=True)
        ]
        same = a == b or np.array_equal(clocks[0].dates, clocks[1].dates)
        if same and not far:
            counts = {True: len(days[0] & days[1])}
        else:
            links = known.setdefault((a, b, far), linked(*clocks, by_date=not far, since=first))
            met = [order for s, t, order in links if s in days[0] and t in days[1]]
            counts = {order: met.count(order) for order in (True, False)} if far else {True: len(met)}
        if not sum(counts.values()):
            continue
        n_pairs += 1
        part, usable = 0.0, True
        for order, count in counts.items():
            if not count:
                continue
            if far:
                matched = [(s, t) for s, t, o in known[a, b, far] if o == order and s in value[0] and t in value[1]]
            else:
                matched = [(d, d) for d in sorted(value[0].keys() & value[1].keys())]
            usable &= len(matched) >= MIN_COMMON_DAYS
            if usable:
                x, y = [value[0][s] for s, _ in matched], [value[1][t] for _, t in matched]
                part += count * np.corrcoef(x, y)[0, 1]
        if usable:
            n_used += 1
            total += part / np.sqrt(len(days[0]) * len(days[1]))
    counted = sample.n * (sample.n - 1) // 2 - (n_pairs - n_used)
    return total / counted, n_pairs, n_used


@pytest.mark.parametrize("events", ["clustered", "mixed", "unclustered"])
@pytest.mark.parametrize("window", [(0, 0), (-1, 1), (-5, 5)])
def test_one_exchange_with_missing_returns(golden_market, events, window):
    study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))
    sample = study.run(golden(f"events_{events}"), golden_market).sample(*window)
    expected = average_correlation_by_pairs(residuals_by_date(sample), shares_of_window(sample))
    average = mean_correlation(sample)
    assert average.value == pytest.approx(expected.value, rel=1e-11, abs=1e-15)
    assert (average.n_pairs, average.n_used) == (expected.n_pairs, expected.n_used)


@pytest.fixture(scope="module")
def world(sample_market) -> mi.StudyResult:
    """Four months of announcements, on exchanges that are and are not open together and keep other holidays."""
    market = sample_market
    some = pl.col("symbol").is_in(["NVDA", "TSM", "2330.TW", "0981.HK", "688256.SS", "ASML.AS", "8035.T", "000660.KS"])
    events = mi.align(mi.announcements(), market).filter(some)
    events = events.filter(pl.col("date").is_between(pl.date(2025, 7, 1), pl.date(2025, 10, 31)))
    return mi.EventStudy(estimation_window=(-120, -11), event_window=(-5, 5)).run(events, market)


@pytest.mark.parametrize("window", [(0, 0), (0, 2)])
def test_exchanges_that_are_hardly_open_together(world, window):
    sample = world.sample(*window)
    assert sample.asynchronous
    assert len(np.unique(sample.exchange)) >= 4
    expected = by_loops(sample)
    average = mean_correlation(sample)
    assert average.value == pytest.approx(expected[0], rel=1e-11)
    assert (average.n_pairs, average.n_used) == expected[1:]


def test_the_sum_over_day_patterns_is_the_sum_over_pairs(world):
    sample = world.sample(-1, 1)
    part, known = window_correlation(sample)
    assert known.all()
    assert mean_correlation(sample).value == pytest.approx(part.sum() / (sample.n * (sample.n - 1)), rel=1e-11)


def test_windows_in_another_order_give_the_same_bits(world):
    first, again = world.where(pl.lit(value=True)), world.where(pl.lit(value=True))
    forth = [mean_correlation(first.sample(*w)) for w in ((0, 0), (0, 2), (-5, 5))]
    back = [mean_correlation(again.sample(*w)) for w in ((-5, 5), (0, 2), (0, 0))]
    assert forth == back[::-1]
