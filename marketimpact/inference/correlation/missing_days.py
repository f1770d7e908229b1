"""Sum correlations of events that miss different days: every two events on the days that both have."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.inference.compiled import kernels
from marketimpact.inference.correlation.by_pairs import MIN_COMMON_DAYS
from marketimpact.inference.correlation.standardised import NOISE, in_order, positions_of

__all__ = ["BY_DATE_ALONE", "BlockRequest", "GroupedRows", "Matches", "ResidualBlocks", "sum_correlations"]


class ResidualBlocks(NamedTuple):
    """Residuals of some blocks, each of all day patterns of one exchange and day 0, one after the other.

    ``*_ends`` say where each block begins and the last one ends: ``row_ends`` among n events, ``day_ends`` among days.

    Attributes
    ----------
    values : (n, M) array
        Residuals of the events, NaN where missing.
    group : (n,) array
        Position of each event's day pattern among those of its block.
    row_ends : (K + 1,) array
    days, columns : (C,) arrays
        Dates of the estimation window, increasing within a block, and their columns in `values`.
    day_ends : (K + 1,) array
    n_groups : (K,) array
        Day patterns of each block.
    """

    values: Floats
    group: Ints
    row_ends: Ints
    days: Ints
    columns: Ints
    day_ends: Ints
    n_groups: Ints

    def days_of(self, block: int) -> Ints:
        """Return the dates of a block."""
        return self.days[self.day_ends[block] : self.day_ends[block + 1]]

    def on(self, block: int, positions: Ints) -> GroupedRows:
        """Return the residuals of a block on some of its days."""
        rows = slice(self.row_ends[block], self.row_ends[block + 1])
        columns = self.columns[self.day_ends[block] : self.day_ends[block + 1]][positions]
        return GroupedRows(in_order(self.values[rows], columns), self.group[rows], int(self.n_groups[block]))


class GroupedRows(NamedTuple):
    """Residuals of events on the days of two blocks, (n, C), and which of `n_groups` day patterns each is of, (n,)."""

    values: Floats
    group: Ints
    n_groups: int


class Matches(NamedTuple):
    """Positions of matching sessions among the days of a block and of others, other k from ``ends[k]`` on."""

    here: Ints
    there: Ints
    ends: Ints


#: Sessions of the same date match.
BY_DATE_ALONE = Matches(*np.zeros((3, 0), dtype=np.int64))
#: No other block has the rows of the first one.
NO_BLOCK = -1


class BlockRequest(NamedTuple):
    """A block, and others whose day patterns are to be paired with its own.

    Attributes
    ----------
    one, other : ResidualBlocks
        The same ones for pairs of events within a block.
    block : int
        Block of `one`.
    blocks : (K,) array
        Blocks of `other`.
    matches : Matches
        Matching sessions, or `BY_DATE_ALONE`.
    """

    one: ResidualBlocks
    block: int
    other: ResidualBlocks
    blocks: Ints
    matches: Matches


def sum_correlations(request: BlockRequest, *, compiled: bool) -> tuple[Floats, Ints]:
    """Sum the correlations of all pairs of events of two day patterns, for a block and each of some other blocks.

    Returns
    -------
    total, used : (T,) arrays
        Sum and number of the usable pairs of every day pattern of the block, A, with every one of each other block, B:
        K arrays (A, B) in row-major order, one after the other. Every pair counts once.
    """
    sum_blocks = kernels().sum_blocks if compiled else _sum_blocks
    own = request.block if request.one is request.other else NO_BLOCK
    sums: tuple[Floats, Ints] = sum_blocks(request, own, MIN_COMMON_DAYS, NOISE)
    return sums


def _sum_blocks(request: BlockRequest, own: int, min_days: int, noise: float) -> tuple[Floats, Ints]:
    """Sum correlations by array code; `own` is the other block whose rows are those of the first block."""
    one, block, other, blocks, matches = request
    totals, numbers = [], []
    for k, partner in enumerate(blocks.tolist()):
        if not len(matches.ends):
            days, other_days = one.days_of(block), other.days_of(partner)
            here, there = _common(days, other_days), _common(other_days, days)
        else:
            part = slice(matches.ends[k], matches.ends[k + 1])
            here, there = matches.here[part], matches.there[part]
        within = partner == own
        total, used = _sum_by_group(one.on(block, here), other.on(partner, there), within, min_days, noise)
        if within:  # pairs within a day pattern were counted from both ends
            each = np.arange(len(total))
            total[each, each], used[each, each] = total[each, each] / 2.0, used[each, each] // 2
        totals.append(total.ravel())
        numbers.append(used.ravel())
    return np.concatenate(totals), np.concatenate(numbers)


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
