"""Pairs of events: the days they share, and how their residuals correlate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MIN_COMMON_DAYS",
    "MeanCorrelation",
    "common_days",
    "components",
    "linked_pairs",
    "overlap_mean",
    "pairwise",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: A pair with fewer common days than this has no usable correlation.
MIN_COMMON_DAYS = 30


@dataclass(frozen=True, slots=True)
class MeanCorrelation:
    """Average over pairs of events of residual correlation times window overlap.

    Attributes
    ----------
    value : float
        The average r; 0 when no two events share a day of the window.
    n_pairs : int
        Pairs that share a day of the window.
    n_used : int
        Those with at least `MIN_COMMON_DAYS` common estimation days.
    """

    value: float
    n_pairs: int
    n_used: int


def common_days(dates: Ints) -> Floats:
    """(N, N): days two windows have in common, ``tau_ij / sqrt(L_i L_j)``; dates -1 do not count."""
    from scipy.sparse import csr_array  # noqa: PLC0415  # scipy.sparse costs import time

    event, place = np.nonzero(dates >= 0)
    days, column = np.unique(dates[event, place], return_inverse=True)
    held = csr_array((np.ones(len(event)), (event, column)), shape=(len(dates), len(days)))
    length = np.sqrt((dates >= 0).sum(axis=1))
    return np.asarray((held @ held.T).toarray() / (length[:, None] * length[None, :]))


def components(linked: Bools) -> tuple[int, Ints]:
    """Number of groups of rows chained by links, and the group of each row; (N, N) in."""
    from scipy.sparse import csr_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    number, group = connected_components(csr_array(linked), directed=False)
    return int(number), np.asarray(group, dtype=np.int64)


def pairwise(values: Floats, days: Ints) -> tuple[Floats, Floats]:
    """Correlation and number of common days of every pair of rows, on the dates both have.

    Parameters
    ----------
    values : (N, M) array
        NaN where missing.
    days : (N, M) array
        The dates of the values.

    Returns
    -------
    correlation, common : (N, N) arrays
    """
    present = ~np.isnan(values) & (days >= 0)
    axis = np.unique(days[present])
    matrix = np.zeros((len(values), len(axis)))
    held = np.zeros_like(matrix)
    event, column = np.nonzero(present)
    where = np.searchsorted(axis, days[event, column])
    centred = values - np.nanmean(values, axis=1, keepdims=True)
    matrix[event, where] = centred[event, column]
    held[event, where] = 1.0
    common = held @ held.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_i = (matrix @ held.T) / common
        square_i = (matrix**2) @ held.T - common * mean_i**2
        cross = matrix @ matrix.T - common * mean_i * mean_i.T
        return cross / np.sqrt(square_i * square_i.T), common


def linked_pairs(values: Floats, days: Ints, dates: Ints) -> tuple[Floats, Floats]:
    """`pairwise` of the rows whose windows are chained by common days; NaN and 0 for other pairs.

    Parameters
    ----------
    values, days : (N, M) arrays
        As for `pairwise`.
    dates : (N, L) array
        Dates of each row's window, -1 where there is none.
    """
    n = len(values)
    correlation, common = np.full((n, n), np.nan), np.zeros((n, n))
    number, group = components(common_days(dates) > 0)
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.searchsorted(group[order], np.arange(1, number))):
        correlation[np.ix_(rows, rows)], common[np.ix_(rows, rows)] = pairwise(values[rows], days[rows])
    return correlation, common


def overlap_mean(overlap: Floats, correlation: Floats, common: Floats) -> MeanCorrelation:
    """Average correlation of pairs, each weighted by the share of the window both have; (N, N) in."""
    weight = overlap.copy()
    np.fill_diagonal(weight, 0.0)
    overlapping = weight > 0
    n_pairs = int(overlapping.sum() // 2)
    if not n_pairs:
        return MeanCorrelation(0.0, 0, 0)
    usable = overlapping & (common >= MIN_COMMON_DAYS) & np.isfinite(correlation)
    n_used = int(usable.sum() // 2)
    if not n_used:
        return MeanCorrelation(np.nan, n_pairs, 0)
    # pairs without overlap count as zero, so only overlapping pairs need a usable correlation
    counted = len(weight) * (len(weight) - 1) - 2 * (n_pairs - n_used)
    total = float((weight[usable] * correlation[usable]).sum())
    return MeanCorrelation(total / counted, n_pairs, n_used)
