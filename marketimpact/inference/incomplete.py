"""Correlations of many rows with days missing here and there, every two on the days they share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marketimpact.inference.units import NOTHING

__all__ = ["summed_correlations"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Rows whose correlations with all others are held at once.
ROWS = 512


def summed_correlations(
    x: Floats, y: Floats, x_group: Ints, y_group: Ints, *, min_days: int, same: bool
) -> tuple[Floats, Ints]:
    """Sums of the correlations of every row of x with every row of y, group by group, and how many are usable.

    Parameters
    ----------
    x, y : (N, C) and (K, C) arrays
        Values on the same C days, NaN where missing; the same rows where `same`.
    x_group, y_group : (N,) and (K,) arrays
        Number of each row's group, from 0 on without gaps.
    min_days : int
        Common days below which a pair has no usable correlation.
    same : bool
        Whether a row is not to be paired with itself; each pair within a group then counts twice.

    Returns
    -------
    total, used : (A, B) arrays
        By groups of x and of y.
    """
    shape = int(x_group.max()) + 1, int(y_group.max()) + 1
    total, used = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    to_groups = np.zeros((len(y), shape[1]))
    to_groups[np.arange(len(y)), y_group] = 1.0
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        correlation, usable = _correlations(x[rows], y, min_days)
        if same:
            own = np.arange(len(correlation))
            correlation[own, start + own], usable[own, start + own] = 0.0, False
        np.add.at(total, x_group[rows], correlation @ to_groups)
        np.add.at(used, x_group[rows], (usable @ to_groups).astype(np.int64))
    return total, used


def _correlations(x: Floats, y: Floats, min_days: int) -> tuple[Floats, Bools]:
    """Correlation of every two rows on the days both have, 0 where it is not usable; moments by matrix products."""
    there, there_y = (~np.isnan(x)).astype(np.float64), (~np.isnan(y)).astype(np.float64)
    a, b = np.where(there > 0, x, 0.0), np.where(there_y > 0, y, 0.0)
    n = np.maximum(there @ there_y.T, 1.0)
    sum_a, sum_b = a @ there_y.T, there @ b.T
    square_a, square_b = (a * a) @ there_y.T, there @ (b * b).T
    var_a, var_b = square_a - sum_a * sum_a / n, square_b - sum_b * sum_b / n
    usable = (n >= min_days) & (var_a > NOTHING * square_a) & (var_b > NOTHING * square_b)
    covariance = a @ b.T - sum_a * sum_b / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(usable, covariance / np.sqrt(var_a * var_b), 0.0), usable
