"""Replace values by integer codes, as pandas and polars do, and group rows by code."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import limits
from marketimpact.core.arrays import Ints

__all__ = ["Factorized", "factorize", "rows_by_code", "split_at", "stable_argsort"]

S = TypeVar("S", bound=np.generic)


class Factorized(NamedTuple):
    """Distinct values, and the code of each row's value among them.

    Attributes
    ----------
    values : (K,) array
        Distinct values, increasing.
    codes : (N,) array
        Index of each row's value in `values`.
    counts : (K,) array
        Number of rows with each value.
    first_rows : (K,) array
        First row with each value.
    """

    values: Ints
    codes: Ints
    counts: Ints
    first_rows: Ints


def factorize(values: Ints | pl.Series) -> Factorized:
    """Code each value by its rank among the distinct values, without a sort where integers lie close together.

    Parameters
    ----------
    values : (N,) array of int or polars.Series
        A column may be of any type; its `Factorized.values` are then integers in the order of the column's
        values, with null below all others.

    Examples
    --------
    >>> factorize(np.array([7, 5, 7])).codes.tolist()
    [1, 0, 1]
    """
    if isinstance(values, pl.Series):
        values = _ordered_integers(values)
    n = len(values)
    low, high = (int(values.min()), int(values.max())) if n else (0, -1)
    if high - low > max(n, limits.COUNTING_TABLE_VALUES):
        distinct, first, codes, counts = np.unique(values, return_index=True, return_inverse=True, return_counts=True)
        return Factorized(distinct, codes.astype(np.int64), counts.astype(np.int64), first.astype(np.int64))
    offset = values - low
    count = np.bincount(offset, minlength=high - low + 1)
    distinct = np.flatnonzero(count)
    code_of_offset = np.cumsum(count > 0) - 1
    codes = code_of_offset[offset]
    first_rows = np.empty(len(distinct), dtype=np.int64)
    first_rows[codes[::-1]] = np.arange(n)[::-1]  # the last assignment to a code wins: that of its first row
    return Factorized(distinct + low, codes, count[distinct], first_rows)


def _ordered_integers(values: pl.Series) -> Ints:
    """Map a column to integers in the order of its values, null below all others."""
    if values.dtype in (pl.Categorical, pl.Enum):  # their physical codes may be in order of appearance
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        values = values.cast(pl.Enum(values.unique().drop_nulls().sort()))
    elif values.dtype != pl.Date and (values.dtype == pl.UInt64 or not values.dtype.is_integer()):
        values = values.rank("dense")
    numbers = values.to_physical().cast(pl.Int64)
    lowest = numbers.min()
    return numbers.fill_null(lowest - 1 if isinstance(lowest, int) else 0).to_numpy()


def rows_by_code(factorized: Factorized) -> list[Ints]:
    """Return the rows of each code, increasing."""
    return split_at(stable_argsort(factorized.codes), np.cumsum(factorized.counts))


def stable_argsort(codes: Ints) -> Ints:
    """Return the stable sorting permutation of codes from 0 on, by radix where they fit 16 bits."""
    fits = int(codes.max(initial=0)) < limits.RADIX_SORT_CODES
    return np.argsort(codes.astype(np.uint16) if fits else codes, kind="stable")


def split_at(values: NDArray[S], ends: Ints) -> list[NDArray[S]]:
    """Split values at increasing `ends`, the last being their number; faster than `numpy.split` for many parts."""
    return [values[start:end] for start, end in pairwise([0, *ends.tolist()])]
