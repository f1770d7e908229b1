"""Array types, and days as whole numbers since 1970-01-01."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["NO_DAY", "Bools", "Floats", "Ints", "as_dates"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Stands for a day that is not there, among days since 1970-01-01: earlier than all others.
NO_DAY = -(2**31) + 1


def as_dates(days: Ints) -> pl.Series:
    """Days since 1970-01-01 of any shape as dates, one after the other."""
    return pl.Series("date", days.ravel().astype(np.int32)).cast(pl.Date)
