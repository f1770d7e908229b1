"""Array types, conversion of days since 1970-01-01 to dates, parts of large arrays, and runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import limits

__all__ = ["NO_DAY", "Bools", "Floats", "Ints", "as_dates", "row_parts", "runs"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Marks a missing day among days since 1970-01-01; it sorts before all others.
NO_DAY = -(2**31) + 1


def as_dates(days: Ints) -> pl.Series:
    """Convert days since 1970-01-01, of any shape, to a flat series of dates in row-major order."""
    return pl.Series("date", days.ravel().astype(np.int32)).cast(pl.Date)


def row_parts(ret: Floats) -> Iterator[tuple[int, Floats]]:
    """Yield the rows of returns, (S, T), some at a time, with the number of the first."""
    step = max(limits.RETURN_CHUNK_ROWS // max(ret.shape[1], 1), 1)
    for start in range(0, len(ret), step):
        yield start, ret[start : start + step]


def runs(flags: Bools) -> tuple[Ints, Ints]:
    """Return where each run of True, in flags of shape (T,), begins, and where it ends (exclusive)."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
