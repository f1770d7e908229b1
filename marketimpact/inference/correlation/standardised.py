"""Residuals of one layout scaled to mean 0 and length 1, summed over its rows: what correlations add up from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.core.factorize import split_at
from marketimpact.inference.compiled import kernels

__all__ = [
    "MIN_COMMON_DAYS",
    "NOTHING",
    "DayPattern",
    "StandardisedSums",
    "in_order",
    "places_of",
    "products",
    "sums_of",
]


#: A pair with fewer common days than this has no usable correlation.
MIN_COMMON_DAYS = 30
#: Variance on common days, relative to the squares, that is rounding noise.
NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class DayPattern:
    """Events with the same days, and the sets of days on which their sums are asked for.

    Attributes
    ----------
    rows : (n,) array
        Which rows it holds.
    days : (C,) array
        Dates with a residual, increasing.
    columns : (C,) array
        Where they stand in the estimation window.
    theirs : list of arrays
        For each set either the dates of another layout, increasing: the days are those the two have in common ...
    linked : list of bool
        ... or, where this says so, places among `days`, some of them twice perhaps.
    """

    rows: Ints
    days: Ints
    columns: Ints
    theirs: list[Ints]
    linked: list[bool]


class StandardisedSums(NamedTuple):
    """Sums over the rows of layouts on sets of days: set k from ``ends[k]`` to ``ends[k + 1]`` of `flat`.

    Attributes
    ----------
    flat : (D,) array
        Of every day of every set, each row scaled to mean 0 and length 1 on the set's days before.
    ends : (K + 1,) array
    number : (K,) array
        Rows that vary on the set's days; the others are left out, and of a set with too few days all of them.
    """

    flat: Floats
    ends: Ints
    number: Ints


def sums_of(layouts: Sequence[DayPattern], residuals: Floats, *, compiled: bool) -> StandardisedSums:
    """Sums of several layouts, whose rows stand in `residuals`, (n, M), one layout after the other."""
    if not compiled:
        rows = split_at(residuals, np.cumsum([len(one.rows) for one in layouts]))
        found = [each for one, own in zip(layouts, rows, strict=True) for each in _sums(one, own)]
        ends = _edges(summed for summed, _ in found)
        return StandardisedSums(np.concatenate([summed for summed, _ in found]), ends, np.array([n for _, n in found]))
    theirs = [days for one in layouts for days in one.theirs]
    return StandardisedSums(
        *kernels().unit_sums(
            residuals,
            _edges(one.rows for one in layouts),
            np.concatenate([one.days for one in layouts]),
            np.concatenate([one.columns for one in layouts]),
            _edges(one.days for one in layouts),
            np.concatenate(theirs),
            _edges(theirs),
            np.array([flag for one in layouts for flag in one.linked]),
            _edges(one.theirs for one in layouts),
            MIN_COMMON_DAYS,
            NOTHING,
        )
    )


def _edges(parts: Iterable[Sized]) -> Ints:
    """Where each of several parts begins and the last one ends."""
    return np.cumsum([0, *map(len, parts)])


def _sums(layout: DayPattern, residuals: Floats) -> list[tuple[Floats, int]]:
    """Sums and number of rows of each set of days, one set after the other: no bit depends on what else is asked."""
    values, found = in_order(residuals, layout.columns), []
    for days, linked in zip(layout.theirs, layout.linked, strict=True):
        place = days
        if not linked:
            where, same = places_of(layout.days, days)
            place = where[same]
        if len(place) < MIN_COMMON_DAYS:
            found.append((np.zeros(len(place)), 0))
            continue
        own = values[:, place]
        total, squares = own.sum(axis=1), (own**2).sum(axis=1)
        variation = squares - total**2 / len(place)
        varies = variation > NOTHING * squares
        scale = np.where(varies, 1.0 / np.sqrt(np.where(varies, variation, 1.0)), 0.0)
        found.append((scale @ own - (scale * total).sum() / len(place), int(varies.sum())))
    return found


def in_order(values: Floats, columns: Ints) -> Floats:
    """Some columns, row by row in memory; without a copy where they are all of them."""
    whole = len(columns) == values.shape[1] and bool((np.diff(columns) == 1).all())
    return values if whole else np.ascontiguousarray(values[:, columns])


def places_of(days: Ints, wanted: Ints) -> tuple[Ints, Bools]:
    """Where wanted days stand among sorted days, and whether they do."""
    if not len(days):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    place = np.minimum(np.searchsorted(days, wanted), len(days) - 1)
    return place, days[place] == wanted


def products(one: StandardisedSums, sets: Ints, other: StandardisedSums, sets_there: Ints, *, compiled: bool) -> Floats:
    """Sum of products of sets of one and sets of the other, on the same days, (K,)."""
    start, there = one.ends[sets], other.ends[sets_there]
    length = one.ends[sets + 1] - start
    if compiled:
        return np.asarray(kernels().dots(one.flat, start, other.flat, there, length))
    stretches = zip(start.tolist(), there.tolist(), length.tolist(), strict=True)
    return np.array([one.flat[a : a + n] @ other.flat[b : b + n] for a, b, n in stretches])
