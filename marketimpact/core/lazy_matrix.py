"""Read a matrix with a row per event in chunks of rows, so that events times days need not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from marketimpact.core import limits
from marketimpact.core.chunks import chunks
from marketimpact.core.threads import map_in_threads

__all__ = ["DaySums", "LazyMatrix", "RowIndex", "run_sums", "sum_by_day"]

R = TypeVar("R")
#: Numbers of rows, or a slice of them.
RowIndex = NDArray[np.int64] | slice


@dataclass(frozen=True, slots=True)
class DaySums:
    """Sums over the N rows of a matrix of M days, from one reading of it.

    Attributes
    ----------
    total, count : (M,) arrays
        Sum over the rows of the values present on each day, and their number.
    run_total, run_count : (M - length + 1,) arrays
        Sum and number of the sums over every run of `length` days, of the rows that have all of these days.
    positive : (N,) array
        Number of each row's days with a positive value.
    """

    total: NDArray[np.float64]
    count: NDArray[np.int64]
    run_total: NDArray[np.float64]
    run_count: NDArray[np.int64]
    positive: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LazyMatrix:
    """Matrix of N rows (events) and M columns (days) whose rows are computed when they are read.

    Attributes
    ----------
    n, width : int
        Number of rows and of columns.
    read : callable
        Returns the rows (K, M) of row numbers (K,), or of a slice of them.

    Examples
    --------
    >>> import numpy as np
    >>> squares = LazyMatrix(3, 2, lambda rows: np.array([[0, 0], [1, 1], [4, 16]])[rows])
    >>> squares.rows(np.array([2, 1])).tolist()
    [[4, 16], [1, 1]]
    """

    n: int
    width: int
    read: Callable[[RowIndex], NDArray[Any]] = field(repr=False)
    _day_sums: dict[int, DaySums] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, values: NDArray[Any]) -> LazyMatrix:
        """Wrap an array that is in memory already."""
        n, width = values.shape
        return cls(n, width, lambda rows: values[rows])

    def to_array(self) -> NDArray[Any]:
        """Read all rows, (N, M); they are kept."""
        return self._array

    @cached_property
    def _array(self) -> NDArray[Any]:
        return self.read(slice(0, self.n))

    @property
    def _is_kept(self) -> bool:
        return self.n * self.width <= limits.LAZY_KEPT_VALUES

    def rows(self, numbers: RowIndex) -> NDArray[Any]:
        """Read some rows, (K, M)."""
        return self._array[numbers] if self._is_kept else self.read(numbers)

    def map_chunks(self, function: Callable[[RowIndex, NDArray[Any]], R]) -> Iterator[R]:
        """Call a function with the numbers and the values of each chunk of rows, in threads; results in order."""
        if self._is_kept:
            _ = self._array  # read once, before the threads use it
        parts = chunks(self.n, limits.LAZY_CHUNK_ROWS) if self.n else ()
        return map_in_threads(lambda rows: function(rows, self.rows(rows)), parts)

    def map_rows(self, function: Callable[[RowIndex, NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
        """Map every row: `function` returns (K, ...) for the numbers and values of K rows; (N, ...) in all."""
        return np.concatenate(list(self.map_chunks(function)) or [np.empty((0, 0))])

    def day_sums(self, length: int) -> DaySums:
        """Sum over the rows, by day and by run of `length` days; read once and kept."""
        if length not in self._day_sums:
            parts = list(self.map_chunks(lambda _, values: _row_block_sums(values, length)))
            parts = parts or [_row_block_sums(np.empty((0, self.width)), length)]
            total, count, run_total, run_count, positive = zip(*parts, strict=True)
            self._day_sums[length] = DaySums(
                _sum_in_order(total),
                _sum_in_order(count),
                _sum_in_order(run_total),
                _sum_in_order(run_count),
                np.concatenate(positive),
            )
        return self._day_sums[length]

    def take(self, numbers: NDArray[np.int64]) -> LazyMatrix:
        """Select rows, without reading them."""
        if np.array_equal(numbers, np.arange(self.n)):
            return self
        return LazyMatrix(len(numbers), self.width, lambda some: self.rows(numbers[some]))


def run_sums(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Sum every run of `length` days, (N, M - length + 1); NaN where any day is missing.

    Sums of runs of 2, 4, 8 ... days are combined, so that no rounding error is carried from one run to the next.
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


def sum_by_day(
    source: LazyMatrix, function: Callable[[RowIndex, NDArray[Any]], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum over rows, day by day, the values present in what `function` returns for each chunk, and count them, (D,)."""
    total, count = zip(*source.map_chunks(lambda rows, values: _sum_blocks(function(rows, values))), strict=True)
    return _sum_in_order(total), _sum_in_order(count)


def _sum_blocks(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum and count the values present on each day, for every block of `LAZY_BLOCK_ROWS` rows, (B, D)."""
    if len(values) >= limits.COMPILED_FROM_ROWS:
        blocks: tuple[NDArray[np.float64], NDArray[np.int64]] = _kernels().sum_blocks(values, limits.LAZY_BLOCK_ROWS)
        return blocks
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    return _add_blocks(filled), _add_blocks(present)


def _add_blocks(values: NDArray[Any]) -> NDArray[Any]:
    block = limits.LAZY_BLOCK_ROWS
    return np.stack([values[start : start + block].sum(axis=0) for start in range(0, max(len(values), 1), block)])


def _row_block_sums(values: NDArray[np.float64], length: int) -> tuple[NDArray[Any], ...]:
    """Compute sums and counts of blocks of rows, (B, M) and (B, M - length + 1), and the positive days of every row."""
    if len(values) >= limits.COMPILED_FROM_ROWS:
        sums: tuple[NDArray[Any], ...] = _kernels().row_block_sums(values, length, limits.LAZY_BLOCK_ROWS)
        return sums
    has_gaps = np.isnan(values).any(axis=1, keepdims=True)
    with_gaps = np.where(has_gaps, values, np.nan)
    complete, n = _sum_blocks(np.where(has_gaps, np.nan, values))
    total, count = _sum_blocks(with_gaps)
    run_total, run_count = _sum_blocks(run_sums(with_gaps, length))
    # for rows without a missing day the sum of their runs equals the run of their sum
    n_complete = n.max(axis=1, keepdims=True, initial=0)
    return (
        total + complete,
        count + n_complete,
        run_total + run_sums(complete, length),
        run_count + n_complete,
        (values > 0).sum(axis=1),
    )


def _sum_in_order(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Sum the rows of all parts, one after the other."""
    total: Any = 0
    for part in parts:
        for row in part:
            total = total + row
    return np.asarray(total)


def _kernels() -> Any:
    """Import the compiled loops: numba is slow to load, and small studies do not need it."""
    from marketimpact.core import lazy_matrix_kernels  # noqa: PLC0415

    return lazy_matrix_kernels
