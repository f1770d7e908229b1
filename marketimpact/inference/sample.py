"""What the tests look at: one window of the usable events, each derived quantity computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ints", "Portfolios", "Sample", "common_days"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Portfolios:
    """Equal-weighted portfolios, one per day-0 date, as G events of their own.

    Attributes
    ----------
    car, se : (G,) arrays
        CAR of the portfolio (fraction) and its exact forecast standard error.
    df, n_events : (G,) arrays
        Degrees of freedom; number of members.
    residuals, residual_dates : (G, M) arrays
        As in `Sample`.
    dates : (G, L) array
        Dates of the window, -1 where no member has a return.
    """

    car: Floats
    se: Floats
    df: Ints
    n_events: Ints
    residuals: Floats
    residual_dates: Ints
    dates: Ints


def common_days(dates: Ints) -> Floats:
    """(N, N): days two windows have in common, ``tau_ij / sqrt(L_i L_j)``; dates -1 do not count."""
    days = np.unique(dates[dates >= 0])
    held = np.zeros((len(dates), len(days)))
    event, column = np.nonzero(dates >= 0)
    held[event, np.searchsorted(days, dates[event, column])] = 1.0
    length = np.sqrt(held.sum(axis=1))
    return np.asarray((held @ held.T) / (length[:, None] * length[None, :]))


@dataclass(frozen=True)
class Sample:
    """One window of N events that have at least one abnormal return in it.

    Attributes
    ----------
    car, se : (N,) arrays
        Cumulative abnormal return (fraction) and its exact forecast standard error.
    sigma, df : (N,) arrays
        Residual standard deviation and degrees of freedom of the estimation window.
    n_days : (N,) array
        Days of the window with an abnormal return.
    residuals : (N, M) array
        Abnormal returns of the estimation window, NaN where missing.
    residual_dates : (N, M) array
        Their dates as days since 1970-01-01, -1 outside the calendar.
    dates : (N, L) array
        Dates of the window, -1 where there is no abnormal return.
    hours : (N, 2) array
        Usual open and close of each event's exchange, UTC hours after its date's midnight; NaN where
        sessions have no clock.
    portfolios : callable
        Gives `Portfolios`; only tests that need them pay for them.
    """

    car: Floats
    se: Floats
    sigma: Floats
    df: Ints
    n_days: Ints
    residuals: Floats
    residual_dates: Ints
    dates: Ints
    hours: Floats
    portfolios: Callable[[], Portfolios] = field(repr=False)

    @property
    def n(self) -> int:
        """Number of events."""
        return len(self.car)

    @cached_property
    def scar(self) -> Floats:
        """Standardised cumulative abnormal return, (N,), t(df) under normality."""
        return self.car / self.se

    @cached_property
    def q(self) -> Floats:
        """Variance of each SCAR under normality, ``df / (df - 2)``."""
        return self.df / (self.df - 2.0)

    @cached_property
    def common_days(self) -> Floats:
        """(N, N): share of the window two events have in common, ``tau_ij / sqrt(L_i L_j)``."""
        return common_days(self.dates)

    @cached_property
    def n_blocks(self) -> int:
        """Groups of events whose windows are chained by common calendar days."""
        return _components(self.common_days > 0)

    @cached_property
    def shares_days(self) -> bool:
        """Whether any two events have a day of the window in common."""
        return self.n_blocks < self.n

    @cached_property
    def asynchronous(self) -> bool:
        """Whether events with common days trade on exchanges that are hardly open at the same time."""
        opens, closes = self.hours[:, 0], self.hours[:, 1]
        together = np.minimum(closes[:, None], closes[None, :]) - np.maximum(opens[:, None], opens[None, :])
        shorter = np.minimum((closes - opens)[:, None], (closes - opens)[None, :])
        return bool(((together < shorter / 2) & (self.common_days > 0)).any())


def _components(linked: NDArray[np.bool_]) -> int:
    from scipy.sparse import csr_array  # noqa: PLC0415  # scipy.sparse costs import time
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    return int(connected_components(csr_array(linked), directed=False)[0])
