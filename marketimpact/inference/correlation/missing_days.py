"""Correlations of many rows with days missing here and there, every two on the days they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.inference.compiled import kernels
from marketimpact.inference.correlation.standardised import MIN_COMMON_DAYS, NOTHING, in_order, places_of

__all__ = ["IncompletePair", "ResidualBlock", "summed_correlations"]


#: Rows whose correlations with all others are held at once.
ROWS = 512


@dataclass(frozen=True, slots=True)
class ResidualBlock:
    """Residuals of all layouts at one exchange and day 0.

    Attributes
    ----------
    layouts : list of int
        Their numbers.
    days : (C,) array
        Dates, increasing.
    values : (n, C) array
        Residuals, NaN where missing.
    group : (n,) array
        Place of each row's layout among `layouts`.
    """

    layouts: list[int]
    days: Ints
    values: Floats
    group: Ints


@dataclass(frozen=True, slots=True)
class IncompletePair:
    """Two exchanges and days 0 whose rows are matched two by two, each two on the days that both have.

    Attributes
    ----------
    ours, theirs : Placed
        The same where rows of one exchange and day 0 are matched with each other.
    kind : int
        How sessions are matched.
    linked : tuple of two arrays or None
        Places of the sessions that are matched; None: those of the same date.
    """

    ours: ResidualBlock
    theirs: ResidualBlock
    kind: int
    linked: tuple[Ints, Ints] | None

    def totals(self, *, compiled: bool) -> dict[tuple[int, int, int], tuple[float, int]]:
        """Sum of correlations of all pairs of two layouts, and how many are usable."""
        ours, theirs = self.ours, self.theirs
        same = ours.layouts == theirs.layouts
        here, there = self.linked or (_also_in(ours.days, theirs.days), _also_in(theirs.days, ours.days))
        x, y = in_order(ours.values, here), in_order(theirs.values, there)
        if compiled:
            shape = len(ours.layouts), len(theirs.layouts)
            total, used = kernels().summed_correlations(
                x, y, ours.group, theirs.group, shape, MIN_COMMON_DAYS, NOTHING, same
            )
        else:
            total, used = summed_correlations(x, y, ours.group, theirs.group, min_days=MIN_COMMON_DAYS, same=same)
        if same:  # within a layout each pair was counted from both ends
            own = np.arange(len(ours.layouts))
            total[own, own], used[own, own] = total[own, own] / 2.0, used[own, own] // 2
        return {
            (a, b, self.kind): (float(total[i, j]), int(used[i, j]))
            for i, a in enumerate(ours.layouts)
            for j, b in enumerate(theirs.layouts)
        }


def _also_in(days: Ints, others: Ints) -> Ints:
    """Places of the days that others have too, both increasing."""
    return np.flatnonzero(places_of(others, days)[1])


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
