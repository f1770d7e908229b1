"""Means over the events of each date, session by session, from some events at a time."""

from __future__ import annotations

import numpy as np

from marketimpact.core.arrays import Floats, Ints

__all__ = ["DateMeans"]


class DateMeans:
    """Means over the events of each of G dates, (G, D), from some events at a time."""

    def __init__(self, n_dates: int, width: int) -> None:
        self.total, self.count = np.zeros((n_dates, width)), np.zeros((n_dates, width))

    def add(self, values: Floats, code: Ints) -> None:
        """Add events, (n, D), of the dates of these codes, (n,)."""
        present = ~np.isnan(values)
        np.add.at(self.total, code, np.where(present, values, 0.0))
        np.add.at(self.count, code, present)

    @property
    def values(self) -> Floats:
        """Means, (G, D); NaN where no event has a value."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1.0), np.nan)
