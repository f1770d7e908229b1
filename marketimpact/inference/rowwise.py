"""A matrix with a row per event that is read some rows at a time: events times days need not be held at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rowwise", "by_day"]

#: Rows read at a time.
CHUNK = 2048
#: Numbers that are few enough to be kept once they are read.
KEPT = 2**23


@dataclass(frozen=True, eq=False)
class Rowwise:
    """N rows of M days.

    Attributes
    ----------
    n, width : int
    read : callable
        From row numbers (K,), or a slice of them, to the rows (K, M).
    """

    n: int
    width: int
    read: Callable[[NDArray[np.int64] | slice], NDArray[Any]] = field(repr=False)

    @classmethod
    def of(cls, values: NDArray[Any]) -> Rowwise:
        """Of what is held already."""
        n, width = values.shape
        return cls(n, width, lambda rows: values[rows])

    @cached_property
    def whole(self) -> NDArray[Any]:
        """All rows, (N, M)."""
        return self.read(slice(0, self.n))

    def rows(self, numbers: NDArray[np.int64] | slice) -> NDArray[Any]:
        """Some rows, (K, M)."""
        return self.whole[numbers] if self.n * self.width <= KEPT else self.read(numbers)

    def chunks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Which rows, and these rows, until all have been read."""
        for start in range(0, self.n, CHUNK):
            part = slice(start, min(start + CHUNK, self.n))
            yield part, self.rows(part)

    def take(self, numbers: NDArray[np.int64]) -> Rowwise:
        """Some of the rows."""
        if np.array_equal(numbers, np.arange(self.n)):
            return self
        return Rowwise(len(numbers), self.width, lambda asked: self.rows(numbers[asked]))


def by_day(parts: Iterable[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum over events of what is present on each day, and how many are; chunks of (K, D) in, (D,) out."""
    total: Any = 0.0
    count: Any = 0
    for values in parts:
        present = ~np.isnan(values)
        total = total + np.where(present, values, 0.0).sum(axis=0)
        count = count + present.sum(axis=0)
    return total, count
