"""Array types, and conversion of days since 1970-01-01 to dates."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["NO_DAY", "Bools", "Floats", "Ints", "as_dates"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Marks a missing day among days since 1970-01-01; it sorts before all others.
NO_DAY = -(2**31) + 1


def as_dates(days: Ints) -> pl.Series:
    """Convert days since 1970-01-01, of any shape, to a flat series of dates in row-major order."""
    return pl.Series("date", days.ravel().astype(np.int32)).cast(pl.Date)
