"""Means over the events of each date, session by session, from some events at a time."""

from __future__ import annotations

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import Floats, Ints
from marketimpact.inference.compiled import kernels

__all__ = ["DateMeans"]


class DateMeans:
    """Means over the events of each of G dates, (G, D), from some events at a time.

    Parameters
    ----------
    members : (G,) array of int
        Events of each date.
    width : int
        D, sessions.
    """

    def __init__(self, members: Ints, width: int) -> None:
        self.members, shape = members, (len(members), width)
        self.total, self.count = np.zeros(shape), np.zeros(shape)

    def add(self, values: Floats, code: Ints) -> None:
        """Add events, (n, D), of the dates of these codes, (n,)."""
        add = kernels().add_to_groups if len(values) >= limits.COMPILED_FROM_ROWS else _add_to_groups
        add(values, code, self.total, self.count)

    @property
    def values(self) -> Floats:
        """Means, (G, D); NaN where less than half of a date's events have a value: it varies with their number."""
        enough = 2.0 * self.count >= np.maximum(self.members, 1)[:, None]
        return np.where(enough, self.total / np.maximum(self.count, 1.0), np.nan)


def _add_to_groups(values: Floats, group: Ints, total: Floats, count: Floats) -> None:
    """Add the values present in rows, (n, D), to the sums of their groups, (G, D), and count them, row by row."""
    present = ~np.isnan(values)
    np.add.at(total, group, np.where(present, values, 0.0))
    np.add.at(count, group, present)
