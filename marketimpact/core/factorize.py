"""Values numbered in their order, without sorting them where whole numbers lie close together."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Ints

__all__ = ["Factorized", "factorize", "rows_by_code", "split_at", "stable_argsort"]

S = TypeVar("S", bound=np.generic)

#: A table of this many numbers is always small enough; larger ones are so for as many values.
SPREAD = 2**20
#: Numbers below are short.
SHORT = 2**16


class Factorized(NamedTuple):
    """Distinct values and which of them each value is.

    Attributes
    ----------
    kinds : (K,) array, increasing
    place : (N,) array
    size, first : (K,) arrays, how often each occurs, and where for the first time
    """

    kinds: Ints
    place: Ints
    size: Ints
    first: Ints


def factorize(values: Ints | pl.Series) -> Factorized:
    """Number whole numbers, or a column of any type (whose kinds are then numbers too), in their order."""
    if isinstance(values, pl.Series):
        values = _whole(values)
    n = len(values)
    low, high = (int(values.min()), int(values.max())) if n else (0, -1)
    if high - low > max(n, SPREAD):
        kinds, first, place, size = np.unique(values, return_index=True, return_inverse=True, return_counts=True)
        return Factorized(kinds, place.astype(np.int64), size.astype(np.int64), first.astype(np.int64))
    offset = values - low
    count = np.bincount(offset, minlength=high - low + 1)
    kinds = np.flatnonzero(count)
    number = np.cumsum(count > 0) - 1
    place = number[offset]
    first = np.empty(len(kinds), dtype=np.int64)
    first[place[::-1]] = np.arange(n)[::-1]  # of the rows of one kind the last that is written is the first of them
    return Factorized(kinds + low, place, count[kinds], first)


def _whole(values: pl.Series) -> Ints:
    """Whole numbers in the order of the values; empty values, all alike, are below all others."""
    if values.dtype in (pl.Categorical, pl.Enum):  # whose own numbers may be in the order of their registration
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        values = values.cast(pl.Enum(values.unique().drop_nulls().sort()))
    elif values.dtype != pl.Date and (values.dtype == pl.UInt64 or not values.dtype.is_integer()):
        values = values.rank("dense")
    numbers = values.to_physical().cast(pl.Int64)
    lowest = numbers.min()
    return numbers.fill_null(lowest - 1 if isinstance(lowest, int) else 0).to_numpy()


def rows_by_code(found: Factorized) -> list[Ints]:
    """Where each kind occurs, increasing."""
    return split_at(stable_argsort(found.place), np.cumsum(found.size))


def stable_argsort(numbers: Ints) -> Ints:
    """Where numbers from 0 on stand in their order, equal ones as they came; short ones are not even compared."""
    short = int(numbers.max(initial=0)) < SHORT
    return np.argsort(numbers.astype(np.uint16) if short else numbers, kind="stable")


def split_at(values: NDArray[S], ends: Ints) -> list[NDArray[S]]:
    """Values cut at `ends`, the last of which is their number; `numpy.split` takes far longer for many pieces."""
    return [values[start:end] for start, end in pairwise([0, *ends.tolist()])]
