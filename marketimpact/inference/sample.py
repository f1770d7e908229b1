"""What the tests look at: one window of the usable events, each derived quantity computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from marketimpact.inference.clocks import Clock, apart, links

__all__ = [
    "Floats", "Ints", "Pool", "Portfolios", "Sample", "Windows", "apart_of", "common_days", "exchange_pairs", "on_axis",
]  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Windows(Protocol):
    """Rows with a window and an estimation window on the sessions of some exchange: events or portfolios."""

    @property
    def residuals(self) -> Floats: ...  # noqa: D102
    @property
    def residual_dates(self) -> Ints: ...  # noqa: D102
    @property
    def dates(self) -> Ints: ...  # noqa: D102
    @property
    def exchange(self) -> Ints: ...  # noqa: D102
    @property
    def clocks(self) -> tuple[Clock, ...]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Portfolios:
    """Equal-weighted portfolios as G events of their own.

    One per day-0 date, and per exchange where some of these are hardly open together.

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
    exchange : (G,) array
        Number of each portfolio's exchange; 0 where portfolios hold several.
    clocks : tuple of Clock
        The exchanges' sessions.
    """

    car: Floats
    se: Floats
    df: Ints
    n_events: Ints
    residuals: Floats
    residual_dates: Ints
    dates: Ints
    exchange: Ints
    clocks: tuple[Clock, ...]

    def take(self, rows: NDArray[np.bool_]) -> Portfolios:
        """Some of the portfolios."""
        names = [name for name in self.__dataclass_fields__ if name != "clocks"]
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def on_axis(dates: Ints, axis: Ints) -> Floats:
    """(N, D): 1 where a row has a day of the axis; dates -1 do not count."""
    held = np.zeros((len(dates), len(axis)))
    event, column = np.nonzero(dates >= 0)
    held[event, np.searchsorted(axis, dates[event, column])] = 1.0
    return held


def apart_of(rows: Windows) -> NDArray[np.bool_]:
    """(N, N): pairs of rows on exchanges that are hardly open together."""
    return np.asarray(apart(rows.clocks)[rows.exchange[:, None], rows.exchange[None, :]])


def common_days(rows: Windows) -> Floats:
    """(N, N): days two windows have in common, ``tau_ij / sqrt(L_i L_j)``.

    A session after a holiday has the days in common that it makes up for. Between exchanges that are hardly
    open together dates say little, and pairs of sessions that hear the same news count instead.
    """
    held = on_axis(rows.dates, np.unique(rows.dates[rows.dates >= 0]))
    length = np.sqrt(held.sum(axis=1))
    counts = held @ held.T
    for here, there, far in exchange_pairs(rows):
        one, other = rows.clocks[rows.exchange[here[0]]], rows.clocks[rows.exchange[there[0]]]
        window, others = on_axis(rows.dates[here], one.dates), on_axis(rows.dates[there], other.dates)
        linked = sum((link.T @ window.T).T @ others.T for link in links(one, other, by_date=not far))
        counts[np.ix_(here, there)], counts[np.ix_(there, here)] = linked, np.transpose(linked)
    return np.asarray(counts / (length[:, None] * length[None, :]))


def exchange_pairs(rows: Windows) -> list[tuple[Ints, Ints, bool]]:
    """Rows of either exchange and whether they are hardly open together, for every two with other sessions."""
    members = {number: np.flatnonzero(rows.exchange == number) for number in np.unique(rows.exchange).tolist()}
    far = apart(rows.clocks)
    pairs = [(a, b) for a in members for b in members if a < b]
    return [
        (members[a], members[b], bool(far[a, b]))
        for a, b in pairs
        if far[a, b] or not np.array_equal(rows.clocks[a].dates, rows.clocks[b].dates)
    ]


@dataclass(frozen=True, slots=True)
class Pool:
    """Abnormal returns of every usable event, those without a return in the window too.

    Attributes
    ----------
    placebo : (P, M) array
    event_ar, event_se : (P, W) arrays
    sigma : (P,) array
        As in `Sample`.
    """

    placebo: Floats
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
    placebo : (N, M) array
        The residuals in event time, and for announcements that exchanges with other holidays hear put side by
        side by the clock, so that a column is one placebo announcement: see `side_by_side`.
    dates : (N, L) array
        Dates of the window, -1 where there is no abnormal return.
    event_ar, event_se : (N, W) arrays
        Abnormal returns of the whole event window and their forecast standard errors, NaN where missing.
    pool : Pool
        The same of every usable event; tests of daily averages use them all.
    columns : slice
        The window within the event window.
    cluster : (N,) array
        Number of each event's announcement, of its day 0 where events have no announcement, or of
        what else the user clusters by.
    exchange : (N,) array
        Number of each event's exchange.
    clocks : tuple of Clock
        The exchanges' sessions.
    symbol, firm : (N,) arrays
        Number of each event's security, and of its firm; listings of one firm share it.
    intercept : bool
        Whether the model estimates a constant.
    n_day0 : int
        Number of day-0 dates.
    panel : callable
        Gives returns and regressors of both windows: ``y (N, M), x (N, M, p), y (N, L), x (N, L, p)``.
    portfolios : callable
        Gives `Portfolios`; only tests that need them pay for them.
    clusters_are : str
        What clusters are, for notes.
    """

    car: Floats
    se: Floats
    sigma: Floats
    df: Ints
    n_days: Ints
    residuals: Floats
    residual_dates: Ints
    placebo: Floats
    dates: Ints
    event_ar: Floats
    event_se: Floats
    pool: Pool
    columns: slice
    cluster: Ints
    exchange: Ints
    clocks: tuple[Clock, ...]
    symbol: Ints
    firm: Ints
    intercept: bool
    n_day0: int
    panel: Callable[[], tuple[Floats, Floats, Floats, Floats]] = field(repr=False)
    portfolios: Callable[[], Portfolios] = field(repr=False)
    clusters_are: str = "dates"

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
        """(N, N): share of the window two events have in common, ``tau_ij / sqrt(L_i L_j)``.

        Across exchanges apart, pairs of sessions that hear the same news count in place of days.
        """
        return common_days(self)

    @cached_property
    def n_blocks(self) -> int:
        """Groups of events whose windows are chained by common days."""
        return _components(self.common_days > 0)

    @cached_property
    def shares_days(self) -> bool:
        """Whether any two events have a day of the window in common."""
        return self.n_blocks < self.n

    @cached_property
    def asynchronous(self) -> bool:
        """Whether events that hear the same news trade on exchanges that are hardly open at the same time."""
        return bool((apart_of(self) & (self.common_days > 0)).any())

    @cached_property
    def clusters_overlap(self) -> bool:
        """Whether windows of different clusters have days in common."""
        differ = self.cluster[:, None] != self.cluster[None, :]
        return bool((differ & (self.common_days > 0)).any())

    @cached_property
    def listed_twice(self) -> int:
        """Firms of which two listings are counted as events of days in common."""
        same = (self.firm[:, None] == self.firm[None, :]) & (self.common_days > 0)
        return len(np.unique(self.firm[(same & (self.symbol[:, None] != self.symbol[None, :])).any(axis=1)]))


def _components(linked: NDArray[np.bool_]) -> int:
    from scipy.sparse import csr_array  # noqa: PLC0415  # scipy.sparse costs import time
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    return int(connected_components(csr_array(linked), directed=False)[0])
