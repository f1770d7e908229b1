"""Compiled loop of `marketimpact.inference.volatility_filter`, which has the plain version.

`StudyResult.car` needs it for every event: at 50,000 events the array code takes most of the time of a study.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["block_moments"]


@njit(nogil=True, cache=True)
def block_moments(residuals, recent, length, lag, decay, least_weight):  # type: ignore[no-untyped-def]
    """Summarise K series, (K, M) and (K, R), as the plain version does, (K, 6)."""
    n, width = residuals.shape
    out, known = np.empty((n, 6)), np.empty(width + lag)
    for row in range(n):
        own = residuals[row]
        total, weight, least, size, squares, n_obs = 0.0, 0.0, np.inf, 0.0, 0.0, 0
        for day in range(width):
            known[day + lag] = total / weight if total > 0.0 and weight * (1.0 - decay) >= least_weight else np.nan
            total, weight = total * decay, weight * decay
            if not np.isnan(own[day]):
                absolute = abs(own[day])
                total, weight = total + absolute, weight + 1.0
                size, squares, n_obs = size + absolute, squares + own[day] ** 2, n_obs + 1
        known[:lag] = np.nan
        moment, n_blocks = 0.0, 0
        for day in range(width):
            if not np.isnan(known[day]):
                least = min(least, known[day])
            if day + length > width or not known[day] > 0.0:
                continue
            block = 0.0
            for session in range(day, day + length):
                block += own[session]
            if not np.isnan(block):
                moment, n_blocks = moment + (block / known[day]) ** 2 / length, n_blocks + 1
        total, weight = 0.0, 0.0
        for day in range(recent.shape[1]):
            total, weight = total * decay, weight * decay
            if not np.isnan(recent[row, day]):
                total, weight = total + abs(recent[row, day]), weight + 1.0
        now = total / weight if total > 0.0 and weight * (1.0 - decay) >= least_weight else np.nan
        ratio = (now * n_obs / size) ** 2 if n_obs and size > 0.0 else np.nan
        volatility = max(now, least) if not np.isnan(now) and least < np.inf else np.nan
        out[row, 0], out[row, 1], out[row, 2] = ratio, volatility, moment
        out[row, 3], out[row, 4], out[row, 5] = n_blocks, squares, n_obs
    return out
