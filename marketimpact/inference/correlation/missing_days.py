"""Sum correlations of events that miss different days: every two events on the days that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.inference.compiled import kernels
from marketimpact.inference.correlation.by_pairs import MIN_COMMON_DAYS
from marketimpact.inference.correlation.standardised import NOISE, in_order, positions_of

__all__ = ["GroupedRows", "ResidualBlock", "sum_correlations"]


@dataclass(frozen=True, slots=True)
class ResidualBlock:
    """Residuals of all day patterns of one exchange and day 0.

    Attributes
    ----------
    patterns : list of int
        Numbers of the day patterns.
    days : (C,) array
        Dates of the estimation window, increasing.
    values : (n, C) array
        Residuals of the events, NaN where missing.
    group : (n,) array
        Position of each event's day pattern in `patterns`.
    """

    patterns: list[int]
    days: Ints
    values: Floats
    group: Ints


class GroupedRows(NamedTuple):
    """Residuals of events on the days of two blocks, (n, C), and which of `n_groups` day patterns each is of, (n,)."""

    values: Floats
    group: Ints
    n_groups: int


def sum_correlations(
    one: ResidualBlock, other: ResidualBlock, matched: tuple[Ints, Ints] | None, *, compiled: bool
) -> dict[tuple[int, int], tuple[float, int]]:
    """Sum the correlations of all pairs of events of two day patterns, for any two of two blocks.

    Parameters
    ----------
    one, other : ResidualBlock
        The same block for pairs of events within it.
    matched : tuple of two (K,) arrays or None
        Positions of matching sessions among the days of both; None where sessions of the same date match.

    Returns
    -------
    dict
        From the numbers of two day patterns to the sum and the number of usable pairs; every pair counts once.
    """
    within = one.patterns == other.patterns
    here, there = matched or (_common(one.days, other.days), _common(other.days, one.days))
    x = GroupedRows(in_order(one.values, here), one.group, len(one.patterns))
    y = GroupedRows(in_order(other.values, there), other.group, len(other.patterns))
    sum_groups = kernels().sum_correlations if compiled else _sum_by_group
    total, used = sum_groups(x, y, within, MIN_COMMON_DAYS, NOISE)
    if within:  # pairs within a day pattern were counted from both ends
        own = np.arange(len(one.patterns))
        total[own, own], used[own, own] = total[own, own] / 2.0, used[own, own] // 2
    return {
        (a, b): (float(total[i, j]), int(used[i, j]))
        for i, a in enumerate(one.patterns)
        for j, b in enumerate(other.patterns)
    }


def _common(days: Ints, other_days: Ints) -> Ints:
    """Find the positions of days, increasing, that are among other days."""
    return np.flatnonzero(positions_of(other_days, days)[1])


def _sum_by_group(x: GroupedRows, y: GroupedRows, within: bool, min_days: int, noise: float) -> tuple[Floats, Ints]:
    """Sum the correlations of every row of x with every row of y by their groups, (A, B), and count the usable ones.

    `within`: the rows of x and y are the same, and none is paired with itself.
    """
    shape = x.n_groups, y.n_groups
    total, used = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    to_groups = np.zeros((len(y.group), y.n_groups))
    to_groups[np.arange(len(y.group)), y.group] = 1.0
    for start in range(0, len(x.group), limits.CORRELATION_BLOCK_ROWS):
        rows = slice(start, start + limits.CORRELATION_BLOCK_ROWS)
        correlation, usable = _correlations(x.values[rows], y.values, min_days, noise)
        if within:
            own = np.arange(len(correlation))
            correlation[own, start + own], usable[own, start + own] = 0.0, False
        np.add.at(total, x.group[rows], correlation @ to_groups)
        np.add.at(used, x.group[rows], (usable @ to_groups).astype(np.int64))
    return total, used


def _correlations(x: Floats, y: Floats, min_days: int, noise: float) -> tuple[Floats, Bools]:
    """Correlate every two rows on the days both have, 0 where that is not usable; moments by matrix products."""
    has_x, has_y = (~np.isnan(x)).astype(np.float64), (~np.isnan(y)).astype(np.float64)
    a, b = np.where(has_x > 0, x, 0.0), np.where(has_y > 0, y, 0.0)
    n = np.maximum(has_x @ has_y.T, 1.0)
    sum_a, sum_b = a @ has_y.T, has_x @ b.T
    square_a, square_b = (a * a) @ has_y.T, has_x @ (b * b).T
    var_a, var_b = square_a - sum_a * sum_a / n, square_b - sum_b * sum_b / n
    usable = (n >= min_days) & (var_a > noise * square_a) & (var_b > noise * square_b)
    covariance = a @ b.T - sum_a * sum_b / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(usable, covariance / np.sqrt(var_a * var_b), 0.0), usable
