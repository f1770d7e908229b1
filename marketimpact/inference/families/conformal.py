"""Conformal test of long windows: the model fitted with the null imposed, the window among moving blocks of days."""

from __future__ import annotations

import numpy as np

from marketimpact.core.lazy_matrix import LazyMatrix, RowIndex, run_sums, sum_by_day
from marketimpact.inference.placebo_alignment import align_placebo_days
from marketimpact.inference.protocol import (
    SIGNIFICANCE_LEVEL,
    Assumption,
    Holds,
    Outcome,
    SignificanceTest,
    no_result,
)
from marketimpact.inference.sample import Floats, Ints, Sample

__all__ = ["CONFORMAL_BLOCKS"]

#: Fewest days, estimation and window together: with fewer no p-value falls below 5%.
LEAST_DAYS = 21
#: Fewest estimation days, in windows.
LEAST_WINDOWS = 2
#: Share of the events that must have a return on an estimation day for it to count, as in portfolios.
LEAST_PRESENT = 0.5
#: Share below which it is rounding: of an effect, what the window's sum responds to it; of sigma, a mean residual.
NEGLIGIBLE = 1e-9


def conformal_blocks(sample: Sample) -> Outcome:
    """Compare the window's mean residual sum with that of every moving block of days, the model fitted under the null.

    Notes
    -----
    An effect c adds ``c / L`` to every return of the window. Residuals are linear in c, so that block k sums to
    ``a_k - c b_k``, the window to ``a - c b``, and the set of c for which block k is at least as extreme as the window
    is the interval between ``(a - a_k) / (b - b_k)`` and ``(a + a_k) / (b + b_k)``. All of these contain the estimate
    ``a / b``: p falls with the distance from it, and the ends of the interval are order statistics of theirs.
    """
    if not sample.least_squares:
        return no_result("fits the model anew with the null imposed, which needs a model estimated by least squares")
    complete = np.flatnonzero(sample.n_days == sample.length)
    if not len(complete):
        return no_result("no event has every day of the window")
    residuals = _mean_residuals(sample, complete, effect=0.0)
    response = residuals - _mean_residuals(sample, complete, effect=1.0)
    if too_few := _too_few(len(residuals), sample.length):
        return no_result(too_few)
    sums, responses = (_cyclic_sums(each, sample.length) for each in (residuals, response))
    if responses[-1] < NEGLIGIBLE or np.abs(residuals).max() < NEGLIGIBLE * sample.sigma[complete].max():
        return no_result("mean abnormal returns do not vary, or the regressors explain any effect")
    left_out = sample.n - len(complete)
    without = f"; {left_out} of {sample.n} events without every session of the window are left out" if left_out else ""
    low, high = _interval(sums, responses)
    return Outcome(
        float(sums[-1] / responses[-1]),
        float(sums[-1]),
        float((np.abs(sums) >= abs(sums[-1])).mean()),
        note=f"{len(sums)} blocks; the smallest possible p is {1 / len(sums):.3f}{without}",
        n_events=len(complete),
        p_greater=float((sums >= sums[-1]).mean()),
        p_less=float((sums <= sums[-1]).mean()),
        ci_low=low,
        ci_high=high,
    )


def _too_few(days: int, length: int) -> str:
    """Explain that estimation and window have too few days together; empty where they have enough."""
    needed = max(LEAST_DAYS - length, LEAST_WINDOWS * length)
    if days - length >= needed:
        return ""
    return f"needs at least {needed} estimation days for a window of {length} sessions, here are {days - length}"


def _mean_residuals(sample: Sample, events: Ints, *, effect: float) -> Floats:
    """Average residuals over events by session, estimation days first, the window of L sessions last, (D,).

    The model of each event is fitted to estimation days and window together, after a constant effect a day that adds up
    to `effect` has been taken out of the window's returns.
    """
    length = sample.length
    width = sample.residuals.width

    def read(rows: RowIndex) -> Floats:
        return _residuals(sample, events[rows], effect)

    every = LazyMatrix(len(events), width + length, read)
    estimation = align_placebo_days(
        LazyMatrix(every.n, width, lambda rows: every.rows(rows)[:, :width]),
        sample.residual_dates.take(events),
        day0=sample.day0[events],
        announcement=sample.announcement[events],
        exchange=sample.exchange[events],
        clocks=sample.clocks,
    )
    total, n = sum_by_day(estimation, lambda _, values: values)
    window, _ = sum_by_day(every, lambda _, values: values[:, width:])
    counts = n >= max(LEAST_PRESENT * len(events), 1)
    return np.concatenate([total[counts] / n[counts], window / len(events)])


def _residuals(sample: Sample, events: Ints, effect: float) -> Floats:
    """Fit every event's model to estimation days and window under the null, (K, M + L); NaN where missing."""
    y, x, y_window, x_window = sample.panel(events)
    y = np.concatenate([y, y_window - effect / sample.length], axis=1)
    x = np.concatenate([x, x_window], axis=1)
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2))
    constant = np.ones((*y.shape, int(sample.intercept)))
    design = np.where(present[:, :, None], np.concatenate([constant, x], axis=2), 0.0)
    basis = np.linalg.qr(design).Q
    y = np.where(present, y, 0.0)[:, :, None]
    residuals = y - basis @ (basis.transpose(0, 2, 1) @ y)
    return np.asarray(np.where(present, residuals[:, :, 0], np.nan))


def _cyclic_sums(values: Floats, length: int) -> Floats:
    """Sum every block of `length` days, (D,), first days following last ones; the window, the last days, comes last."""
    ring = np.concatenate([values[len(values) - length + 1 :], values])
    return np.asarray(run_sums(ring[None, :], length)[0])


def _interval(sums: Floats, responses: Floats) -> tuple[float, float]:
    """Invert the test: the effects that a two-sided test at 5% does not reject, infinite where it rejects none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (sums[-1] - sums) / (responses[-1] - responses)
        other = (sums[-1] + sums) / (responses[-1] + responses)
    # the window itself is never less extreme; nor are, far from the estimate, blocks that respond more than it does
    bounded = np.abs(responses) < responses[-1]
    low = np.sort(np.where(bounded, np.minimum(one, other), -np.inf))
    high = np.sort(np.where(bounded, np.maximum(one, other), np.inf))
    fewest = int(np.ceil(SIGNIFICANCE_LEVEL * len(sums) - 1e-9))
    return float(low[fewest - 1]), float(high[-fewest])


#: Mean residuals of the window among those of the estimation days.
DAYS_ALIKE: frozenset[Assumption] = frozenset({"recent variance", "usual common shock", "own estimation errors"})

CONFORMAL_BLOCKS = SignificanceTest(
    "conformal_blocks", "a constant effect a day of 0 in the window", "CAAR of a constant effect a day",
    "all moving blocks of estimation days and window",
    "Chernozhukov, Wüthrich and Zhu (2021)",
    Holds("yes", "no", "yes", "no", windows_alike=True, assumes=DAYS_ALIKE),
    conformal_blocks, sides="own", refits=True, unit="return",
)  # fmt: skip
