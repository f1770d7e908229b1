"""Residuals of one layout scaled to mean 0 and length 1, summed over its rows: what correlations add up from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marketimpact.inference.rowwise import kernels
from marketimpact.numbering import pieces

__all__ = ["MIN_COMMON_DAYS", "NOTHING", "Asked", "in_order", "places_of", "unit_sums"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: A pair with fewer common days than this has no usable correlation.
MIN_COMMON_DAYS = 30
#: Variance on common days, relative to the squares, that is rounding noise.
NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class Asked:
    """One layout and the sets of days on which its sums are asked for.

    Attributes
    ----------
    layout : int
    days : (C,) array
        Dates with a residual, increasing.
    columns : (C,) array
        Where they stand in the estimation window.
    others : list of arrays
        For each set the dates of another layout: the days are those the two have in common ...
    linked : dict of int to array
        ... but for these sets places among `days`, which may come twice.
    """

    layout: int
    days: Ints
    columns: Ints
    others: list[Ints]
    linked: dict[int, Ints]

    def sums(self, residuals: Floats, *, compiled: bool) -> list[tuple[Floats, int]]:
        """Sums over the layout's rows, (n, M) `residuals`, on each set of days in its order, and how many rows vary.

        Each row is scaled to mean 0 and length 1 on the set's days before; rows that do not vary there are left out,
        and of a set with too few days all of them.
        """
        values = in_order(residuals, self.columns)
        places = self._places(compiled=compiled)
        if not compiled:
            return unit_sums(values, places)
        ends = np.cumsum([0, *map(len, places)])
        flat, number = kernels().unit_sums(values, np.concatenate(places), ends, MIN_COMMON_DAYS, NOTHING)
        return list(zip(pieces(flat, ends[1:]), number.tolist(), strict=True))

    def _places(self, *, compiled: bool) -> list[Ints]:
        theirs, ends = np.concatenate(self.others), np.cumsum([0, *map(len, self.others)])
        if compiled:
            place, kept = kernels().common(self.days, theirs, ends)
            found = pieces(place, kept[1:])
        else:
            place, same = places_of(self.days, theirs)
            found = [own[there] for own, there in zip(pieces(place, ends[1:]), pieces(same, ends[1:]), strict=True)]
        return [self.linked.get(k, own) for k, own in enumerate(found)]


def in_order(values: Floats, columns: Ints) -> Floats:
    """Some columns, row by row in memory; without a copy where they are all of them."""
    whole = len(columns) == values.shape[1] and bool((np.diff(columns) == 1).all())
    return values if whole else np.ascontiguousarray(values[:, columns])


def unit_sums(values: Floats, places: Sequence[Ints]) -> list[tuple[Floats, int]]:
    """`kernels.unit_sums`, one set of days after the other: no bit depends on what else is asked."""
    found = []
    for place in places:
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


def places_of(days: Ints, wanted: Ints) -> tuple[Ints, Bools]:
    """Where wanted days stand among sorted days, and whether they do."""
    if not len(days):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    place = np.minimum(np.searchsorted(days, wanted), len(days) - 1)
    return place, days[place] == wanted
