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
    size : (G,) array
        Number of each date's events, or the sum of their weights.
    width : int
        D, sessions.
    """

    def __init__(self, size: Floats | Ints, width: int) -> None:
        self.size, shape = size, (len(size), width)
        self.total, self.count = np.zeros(shape), np.zeros(shape)

    def add(self, values: Floats, code: Ints, weights: Floats | None = None) -> None:
        """Add events, (n, D), of the dates of these codes, (n,), with `weights`, (n,), or all alike."""
        add = kernels().add_to_groups if len(values) >= limits.COMPILED_FROM_ROWS else _add_to_groups
        if weights is None:
            add(values, code, self.total, self.count)
            return
        weight, ignored = weights[:, None], np.zeros_like(self.count)
        add(values * weight, code, self.total, ignored)
        add(np.where(np.isnan(values), np.nan, weight), code, self.count, ignored)

    @property
    def values(self) -> Floats:
        """Means, (G, D); NaN where less than half of a date's events have a value: it varies with their number."""
        enough = (2.0 * self.count >= self.size[:, None]) & (self.count > 0)
        return np.where(enough, self.total / np.where(self.count > 0, self.count, 1.0), np.nan)


def _add_to_groups(values: Floats, group: Ints, total: Floats, count: Floats) -> None:
    """Add the values present in rows, (n, D), to the sums of their groups, (G, D), and count them, row by row."""
    present = ~np.isnan(values)
    np.add.at(total, group, np.where(present, values, 0.0))
    np.add.at(count, group, present)
