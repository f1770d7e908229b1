"""What the tests look at: one window of the usable events, each derived quantity computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from marketimpact.inference.pairs import MeanCorrelation, common_days, components, overlap_mean

__all__ = ["Floats", "Ints", "Pool", "Portfolios", "Sample"]

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


@dataclass(frozen=True, slots=True)
class Pool:
    """Abnormal returns of every usable event, those without a return in the window too.

    Attributes
    ----------
    residuals : (P, M) array
    event_ar, event_se : (P, W) arrays
    sigma : (P,) array
        As in `Sample`.
    """

    residuals: Floats
    event_ar: Floats
    event_se: Floats
    sigma: Floats


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
    event_ar, event_se : (N, W) arrays
        Abnormal returns of the whole event window and their forecast standard errors, NaN where missing.
    pool : Pool
        The same of every usable event; tests of daily averages use them all.
    columns : slice
        The window within the event window.
    cluster : (N,) array
        Number of each event's announcement, or of its day 0 where events have no announcement.
    hours : (N, 2) array
        Usual open and close of each event's exchange, UTC hours after its date's midnight; NaN where
        sessions have no clock.
    intercept : bool
        Whether the model estimates a constant.
    n_day0 : int
        Number of day-0 dates.
    panel : callable
        Gives returns and regressors of both windows: ``y (N, M), x (N, M, p), y (N, L), x (N, L, p)``.
    portfolios : callable
        Gives `Portfolios`; only tests that need them pay for them.
    pairs : callable
        Gives correlation and number of common estimation days of every pair of events that share a day of
        the window, (N, N) each.
    """

    car: Floats
    se: Floats
    sigma: Floats
    df: Ints
    n_days: Ints
    residuals: Floats
    residual_dates: Ints
    dates: Ints
    event_ar: Floats
    event_se: Floats
    pool: Pool
    columns: slice
    cluster: Ints
    hours: Floats
    intercept: bool
    n_day0: int
    panel: Callable[[], tuple[Floats, Floats, Floats, Floats]] = field(repr=False)
    portfolios: Callable[[], Portfolios] = field(repr=False)
    pairs: Callable[[], tuple[Floats, Floats]] = field(repr=False)

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

    @property
    def length(self) -> int:
        """Days of the window."""
        return int(self.columns.stop - self.columns.start)

    @cached_property
    def ar(self) -> Floats:
        """Abnormal returns of the window, (N, L), NaN where missing."""
        return self.event_ar[:, self.columns]

    @cached_property
    def sar(self) -> Floats:
        """Standardised abnormal returns of the window, (N, L)."""
        return self.ar / self.event_se[:, self.columns]

    @cached_property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(np.unique(self.cluster))

    @cached_property
    def effective_clusters(self) -> float:
        """Clusters of equal size that would weigh events as unevenly: ``(sum n)^2 / sum n^2``."""
        sizes = np.unique(self.cluster, return_counts=True)[1].astype(np.float64)
        return float(sizes.sum() ** 2 / (sizes**2).sum())

    @cached_property
    def common_days(self) -> Floats:
        """(N, N): share of the window two events have in common, ``tau_ij / sqrt(L_i L_j)``."""
        return common_days(self.dates)

    @cached_property
    def mean_correlation(self) -> MeanCorrelation:
        """Overlap-weighted average correlation of estimation-window residuals."""
        return overlap_mean(self.common_days, *self.pairs())

    @cached_property
    def n_blocks(self) -> int:
        """Groups of events whose windows are chained by common calendar days."""
        return components(self.common_days > 0)[0]

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

    def moved(self, car: Floats, event_ar: Floats, pool_ar: Floats) -> Sample:
        """The same events and days with other abnormal returns, as if day 0 had been elsewhere.

        Parameters
        ----------
        car : (N,) array
        event_ar, pool_ar : (N, W) and (P, W) arrays

        Notes
        -----
        What depends on dates and residuals only is handed on instead of being computed again.
        `panel` and `portfolios` still ask the market about the true days.
        """
        other = replace(self, car=car, event_ar=event_ar, pool=replace(self.pool, event_ar=pool_ar))
        for name in _OF_DAYS:
            other.__dict__[name] = getattr(self, name)
        return other


#: What a sample derives from dates and residuals alone.
_OF_DAYS = (
    "q", "n_clusters", "effective_clusters", "common_days", "mean_correlation", "n_blocks", "shares_days",
    "asynchronous",
)  # fmt: skip
