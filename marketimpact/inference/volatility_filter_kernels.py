"""Compiled loop of `marketimpact.inference.volatility_filter`, which has the plain version.

`StudyResult.car` needs it for every event: at 50,000 events the array code takes most of the time of a study.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["block_moments"]


@njit(nogil=True, cache=True)
def block_moments(residuals, recent, length, lag, decay, least_weight, long_run):  # type: ignore[no-untyped-def]
    """Summarise K series, (K, M) and (K, R), as the plain version does, (K, 6)."""
    n, width = residuals.shape
    out, known = np.empty((n, 6)), np.empty(width + lag)
    for row in range(n):
        own = residuals[row]
        size, squares, n_obs = 0.0, 0.0, 0
        for day in range(width):
            if not np.isnan(own[day]):
                size, squares, n_obs = size + abs(own[day]), squares + own[day] ** 2, n_obs + 1
        usual = size / n_obs if size > 0.0 else np.nan
        total, weight = 0.0, 0.0
        known[:lag] = np.nan
        for day in range(width):
            known[day + lag] = _known(total, weight, usual, decay, least_weight, long_run)
            total, weight = _add(own[day], total, weight, decay)
        moment, n_blocks = 0.0, 0
        for day in range(width - length + 1):
            if np.isnan(known[day]):
                continue
            block = 0.0
            for session in range(day, day + length):
                block += own[session]
            if not np.isnan(block):
                moment, n_blocks = moment + (block / known[day]) ** 2 / length, n_blocks + 1
        total, weight = 0.0, 0.0
        for day in range(recent.shape[1]):
            total, weight = _add(recent[row, day], total, weight, decay)
        unmoved = _known(total, weight, usual, decay, least_weight, 0.0)
        out[row, 0], out[row, 1] = (unmoved / usual) ** 2, _known(total, weight, usual, decay, least_weight, long_run)
        out[row, 2], out[row, 3], out[row, 4], out[row, 5] = moment, n_blocks, squares, n_obs
    return out


@njit(nogil=True, cache=True, inline="always")
def _add(value, total, weight, decay):  # type: ignore[no-untyped-def]
    """Add an abnormal return to the weighted sum of absolute values and to the sum of weights."""
    total, weight = total * decay, weight * decay
    if not np.isnan(value):
        total, weight = total + abs(value), weight + 1.0
    return total, weight


@njit(nogil=True, cache=True, inline="always")
def _known(total, weight, usual, decay, least_weight, long_run):  # type: ignore[no-untyped-def]
    """Average the absolute values, with the long-run part; NaN where too few have a weight or nothing has moved."""
    if not (total > 0.0 and weight * (1.0 - decay) >= least_weight) or np.isnan(usual):
        return np.nan
    mean = total / weight
    return (1.0 - long_run) * mean + long_run * usual if mean < usual else mean
