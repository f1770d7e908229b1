"""Days that events are estimated on: a row of dates for each exchange and day 0, and a bit for each day of an event."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from marketimpact.core import limits
from marketimpact.core.arrays import Ints
from marketimpact.core.factorize import factorize
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.core.threads import map_in_threads

__all__ = ["EstimationDays", "estimation_days"]


@dataclass(frozen=True, slots=True, eq=False)
class EstimationDays:
    """Days of the estimation window of N events, of G exchanges and days 0; the same for all event windows.

    Attributes
    ----------
    exchange_day : (N,) array
        Code of each event's exchange and day 0, 0 to G - 1.
    dates : (G, M) array
        Dates of the estimation window, `NO_DAY` outside the calendar.
    missing : (N, B) array of uint8
        A bit for each of the M days, 1 where the event has no residual, as `numpy.packbits` writes them.
    """

    exchange_day: Ints
    dates: Ints
    missing: NDArray[np.uint8]

    def take(self, rows: Ints) -> EstimationDays:
        """Select events."""
        return replace(self, exchange_day=self.exchange_day[rows], missing=self.missing[rows])


def estimation_days(
    residuals: LazyMatrix, residual_dates: LazyMatrix, n_obs: Ints, *, day0: Ints, exchange: Ints
) -> EstimationDays:
    """Read which days events are estimated on; of events with all days nothing is read.

    Parameters
    ----------
    residuals, residual_dates : LazyMatrix (N, M)
        Residuals of the estimation window, NaN where missing, and their dates.
    n_obs : (N,) array
        Number of residuals.
    day0, exchange : (N,) arrays
        Date of day 0, code of the exchange.
    """
    groups = factorize(day0 * (int(exchange.max(initial=0)) + 1) + exchange)
    missing = np.zeros((len(n_obs), -(-residuals.width // 8)), dtype=np.uint8)
    rows = np.flatnonzero(n_obs < residuals.width)
    step = limits.LAZY_CHUNK_ROWS
    parts = [rows[start : start + step] for start in range(0, len(rows), step)]
    packed = map_in_threads(lambda part: np.packbits(np.isnan(residuals.rows(part)), axis=1), parts)
    for part, bits in zip(parts, packed, strict=True):
        missing[part] = bits
    return EstimationDays(groups.codes, residual_dates.rows(groups.first_rows), missing)
