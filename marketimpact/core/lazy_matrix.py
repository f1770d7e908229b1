"""A matrix with a row per event that is read some rows at a time: events times days need not be held at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.threads import map_in_threads

__all__ = ["DaySums", "LazyMatrix", "Rows", "by_day", "run_sums"]

R = TypeVar("R")
#: Which rows.
Rows = NDArray[np.int64] | slice

#: Rows read at a time; where there are so many, the compiled loops win, whose loading takes a third of a second.
CHUNK = 2048
#: Numbers that are few enough to be kept once they are read.
KEPT = 2**23
#: Rows that are added up before they are added to the others.
BLOCK = 256


@dataclass(frozen=True, slots=True)
class DaySums:
    """What one reading of N rows of M days gives to all who need no more than sums.

    Attributes
    ----------
    total, count : (M,) arrays
        Sum over rows of what is present on each day, and how many are.
    run_total, run_count : (M - length + 1,) arrays
        The same of the sums over every run of `length` days, of rows that have all of these.
    positive : (N,) array
        Number of each row's positive days.
    """

    total: NDArray[np.float64]
    count: NDArray[np.int64]
    run_total: NDArray[np.float64]
    run_count: NDArray[np.int64]
    positive: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LazyMatrix:
    """N rows of M days.

    Attributes
    ----------
    n, width : int
    read : callable
        From row numbers (K,), or a slice of them, to the rows (K, M).
    """

    n: int
    width: int
    read: Callable[[Rows], NDArray[Any]] = field(repr=False)
    _swept: dict[int, DaySums] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, values: NDArray[Any]) -> LazyMatrix:
        """Of what is held already."""
        n, width = values.shape
        return cls(n, width, lambda rows: values[rows])

    @cached_property
    def whole(self) -> NDArray[Any]:
        """All rows, (N, M)."""
        return self.read(slice(0, self.n))

    def rows(self, numbers: Rows) -> NDArray[Any]:
        """Some rows, (K, M)."""
        return self.whole[numbers] if self.n * self.width <= KEPT else self.read(numbers)

    def each(self, do: Callable[[Rows, NDArray[Any]], R]) -> Iterator[R]:
        """What `do` makes of some rows, told which and read, until all have been read: several at once, in order."""
        if self.n * self.width <= KEPT:
            _ = self.whole  # read once, before threads ask for it
        parts = (slice(start, min(start + CHUNK, self.n)) for start in range(0, self.n, CHUNK))
        return map_in_threads(lambda part: do(part, self.rows(part)), parts)

    def every(self, do: Callable[[Rows, NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
        """What `do` makes of each row, (N, ...), of some rows (K, ...)."""
        return np.concatenate(list(self.each(do)) or [np.empty((0, 0))])

    def swept(self, length: int) -> DaySums:
        """Sums over the rows, by day and by run of `length` days; read once and kept."""
        if length not in self._swept:
            parts = list(self.each(lambda _, values: _sweep(values, length)))
            parts = parts or [_sweep(np.empty((0, self.width)), length)]
            total, count, run_total, run_count, positive = zip(*parts, strict=True)
            self._swept[length] = DaySums(
                _added(total), _added(count), _added(run_total), _added(run_count), np.concatenate(positive)
            )
        return self._swept[length]

    def take(self, numbers: NDArray[np.int64]) -> LazyMatrix:
        """Some of the rows."""
        if np.array_equal(numbers, np.arange(self.n)):
            return self
        return LazyMatrix(len(numbers), self.width, lambda asked: self.rows(numbers[asked]))


def run_sums(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Sum of every run of `length` days, (N, M - length + 1); NaN where any is.

    Runs of 2, 4, 8 ... days are put together, so that no rounding travels from one run to the next.
    """
    n_runs = max(values.shape[1] - length + 1, 0)
    sums, doubled, size, at = np.empty((len(values), 0)), values, 1, 0
    while True:
        if length & size:
            part = doubled[:, at : at + n_runs]
            sums, at = (sums + part if at else part.copy()), at + size
        if at == length:
            return sums
        doubled = doubled[:, :-size] + doubled[:, size:]
        size *= 2


def by_day(
    source: LazyMatrix, do: Callable[[Rows, NDArray[Any]], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum over rows of what is present on each day, and how many are, (D,); `do` makes (K, D) of some rows."""
    total, count = zip(*source.each(lambda rows, values: _summed(do(rows, values))), strict=True)
    return _added(total), _added(count)


def _summed(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum of what is present on each day and how much is, of every `BLOCK` rows, (B, D)."""
    if len(values) >= CHUNK:
        blocks: tuple[NDArray[np.float64], NDArray[np.int64]] = _kernels().by_day(values, BLOCK)
        return blocks
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    return _sums_of_blocks(filled), _sums_of_blocks(present)


def _sums_of_blocks(values: NDArray[Any]) -> NDArray[Any]:
    return np.stack([values[start : start + BLOCK].sum(axis=0) for start in range(0, max(len(values), 1), BLOCK)])


def _sweep(values: NDArray[np.float64], length: int) -> tuple[NDArray[Any], ...]:
    """Sums and counts of blocks of rows, (B, M) and (B, M - length + 1), and positive days of every row."""
    if len(values) >= CHUNK:
        swept: tuple[NDArray[Any], ...] = _kernels().sweep(values, length, BLOCK)
        return swept
    ragged = np.isnan(values).any(axis=1, keepdims=True)
    partly = np.where(ragged, values, np.nan)
    whole, n = _summed(np.where(ragged, np.nan, values))
    total, count = _summed(partly)
    run_total, run_count = _summed(run_sums(partly, length))
    # of rows with every day the sums of runs are runs of their sum
    complete = n.max(axis=1, keepdims=True, initial=0)
    sums = (total + whole, count + complete, run_total + run_sums(whole, length), run_count + complete)
    return (*sums, (values > 0).sum(axis=1))


def _added(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Sum of the rows of all parts, one after the other."""
    total: Any = 0
    for part in parts:
        for row in part:
            total = total + row
    return np.asarray(total)


def _kernels() -> Any:
    """The compiled loops: numba is slow to load, and small studies do not need it."""
    from marketimpact.core import lazy_matrix_kernels  # noqa: PLC0415

    return lazy_matrix_kernels
