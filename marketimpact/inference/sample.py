"""What the tests look at: one window of the usable events, each derived quantity computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.factorize import Factorized, factorize
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.events.exchange_clocks import ExchangeClock
from marketimpact.inference.correlation.overlap import Overlap, connected_groups, overlap_of
from marketimpact.inference.correlation.pairs import MeanCorrelation, PairCorrelations

__all__ = ["Floats", "Ints", "Pool", "Portfolios", "Sample"]


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
    residuals, residual_dates : Rowwise (G, M)
        Residuals, and their dates as days since 1970-01-01, `NO_DAY` where there is none.
    dates : (G, L) array
        Dates of the window, `NO_DAY` where no member has a return.
    exchange : (G,) array
        Number of each portfolio's exchange; 0 where portfolios hold several.
    clocks : tuple of Clock
        The exchanges' sessions.
    """

    car: Floats
    se: Floats
    df: Ints
    n_events: Ints
    residuals: LazyMatrix
    residual_dates: LazyMatrix
    dates: Ints
    exchange: Ints
    clocks: tuple[ExchangeClock, ...]

    def take(self, rows: Ints) -> Portfolios:
        """Some of the portfolios."""
        names = ("car", "se", "df", "n_events", "dates", "exchange")
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in names},
            residuals=self.residuals.take(rows),
            residual_dates=self.residual_dates.take(rows),
        )


@dataclass(frozen=True, slots=True)
class Pool:
    """Abnormal returns of every usable event, those without a return in the window too.

    Attributes
    ----------
    placebo : Rowwise (P, M)
    event_ar, event_se : Rowwise (P, W)
    sigma : (P,) array
        As in `Sample`.
    """

    placebo: LazyMatrix
    event_ar: LazyMatrix
    event_se: LazyMatrix
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
    n_obs : (N,) array
        Usable days of the estimation window.
    residuals : Rowwise (N, M)
        Abnormal returns of the estimation window, NaN where missing.
    residual_dates : Rowwise (N, M)
        Their dates as days since 1970-01-01, `NO_DAY` outside the calendar.
    placebo : Rowwise (N, M)
        The residuals in event time, and for announcements that exchanges with other holidays hear put side by
        side by the clock, so that a column is one placebo announcement: see `side_by_side`.
    window_dates : Rowwise (N, L)
        Dates of the window, `NO_DAY` where there is no abnormal return.
    event_ar, event_se : Rowwise (N, W)
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
    pairs : Pairs
        Correlations of residuals, kept for all windows and groups of one result.
    layout : (N,) array
        Number of each event's layout in `pairs`.
    clusters_are : str
        What clusters are, for notes.
    """

    car: Floats
    se: Floats
    sigma: Floats
    df: Ints
    n_days: Ints
    n_obs: Ints
    residuals: LazyMatrix
    residual_dates: LazyMatrix
    placebo: LazyMatrix
    window_dates: LazyMatrix
    event_ar: LazyMatrix
    event_se: LazyMatrix
    pool: Pool
    columns: slice
    cluster: Ints
    exchange: Ints
    clocks: tuple[ExchangeClock, ...]
    symbol: Ints
    firm: Ints
    intercept: bool
    n_day0: int
    panel: Callable[[], tuple[Floats, Floats, Floats, Floats]] = field(repr=False)
    portfolios: Callable[[], Portfolios] = field(repr=False)
    pairs: PairCorrelations = field(repr=False)
    layout: Ints = field(repr=False)
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

    @property
    def dates(self) -> Ints:
        """Dates of the window, (N, L), `NO_DAY` where there is no abnormal return."""
        return self.window_dates.whole

    @cached_property
    def ar(self) -> Floats:
        """Abnormal returns of the window, (N, L), NaN where missing."""
        return np.asarray(self.event_ar.whole[:, self.columns])

    @cached_property
    def sar(self) -> Floats:
        """Standardised abnormal returns of the window, (N, L)."""
        return np.asarray(self.ar / self.event_se.whole[:, self.columns])

    @cached_property
    def groups(self) -> Factorized:
        """The clusters: which of them each event is in, and their sizes."""
        return factorize(self.cluster)

    @cached_property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.groups.counts)

    @cached_property
    def effective_clusters(self) -> float:
        """Clusters of equal size that would weigh events as unevenly: ``(sum n)^2 / sum n^2``."""
        sizes = self.groups.counts.astype(np.float64)
        return float(sizes.sum() ** 2 / (sizes**2).sum())

    @cached_property
    def kinds(self) -> Factorized:
        """The layouts of these events: which of them each event is of, their sizes and first events."""
        return factorize(self.layout)

    @cached_property
    def overlap(self) -> Overlap:
        """Pairs of layouts, by their places in `day_patterns`, that share days of the window."""
        first = self.kinds.first_rows
        return overlap_of(self.window_dates.rows(first), self.exchange[first], self.clocks)

    @cached_property
    def mean_correlation(self) -> MeanCorrelation:
        """Overlap-weighted average correlation of estimation-window residuals."""
        layouts, counts = self.kinds.values, self.kinds.counts
        one, other = counts[self.overlap.one], counts[self.overlap.other]
        number = np.where(self.overlap.one == self.overlap.other, one * (one - 1) // 2, one * other)
        value, used = self.pairs.weighted(self.overlap, layouts)
        total, n_pairs, n_used = float(value[number > 0].sum()), int(number.sum()), int(used[number > 0].sum())
        if not n_pairs:
            return MeanCorrelation(0.0, 0, 0)
        if not n_used:
            return MeanCorrelation(np.nan, n_pairs, 0)
        # pairs without overlap count as zero, so only overlapping pairs need a usable correlation
        counted = self.n * (self.n - 1) // 2 - (n_pairs - n_used)
        return MeanCorrelation(total / counted, n_pairs, n_used)

    @cached_property
    def n_blocks(self) -> int:
        """Groups of events whose windows are chained by common days."""
        return connected_groups(len(self.kinds.counts), self.overlap.one, self.overlap.other)[0]

    @cached_property
    def shares_days(self) -> bool:
        """Whether any two events have a day of the window in common."""
        return self.n_blocks < self.n

    @cached_property
    def asynchronous(self) -> bool:
        """Whether events that hear the same news trade on exchanges that are hardly open at the same time."""
        return bool(self.overlap.far.any())

    @cached_property
    def clusters_overlap(self) -> bool:
        """Whether windows of different clusters have days in common."""
        n, codes = len(self.kinds.values), self.kinds.codes
        low, high = np.full(n, np.iinfo(np.int64).max), np.full(n, -1)
        np.minimum.at(low, codes, self.cluster)
        np.maximum.at(high, codes, self.cluster)
        one, other = self.overlap.one, self.overlap.other
        return bool((np.minimum(low[one], low[other]) < np.maximum(high[one], high[other])).any())

    @cached_property
    def listed_twice(self) -> int:
        """Firms of which two listings are counted as events of days in common."""
        firm, layout = factorize(self.firm).codes, self.kinds.codes
        low, high = np.full(self.n, np.iinfo(np.int64).max), np.full(self.n, -1)
        np.minimum.at(low, firm, self.symbol)
        np.maximum.at(high, firm, self.symbol)
        met, number = set(self.overlap.pairs()) if (low < high).any() else set(), 0
        for both in np.flatnonzero(low < high).tolist():
            rows = np.flatnonzero(firm == both)
            number += any(
                (min(layout[i], layout[j]), max(layout[i], layout[j])) in met
                for i in rows
                for j in rows
                if self.symbol[i] < self.symbol[j]
            )
        return number

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
        pool = replace(self.pool, event_ar=LazyMatrix.of(pool_ar))
        other = replace(self, car=car, event_ar=LazyMatrix.of(event_ar), pool=pool)
        for name in _OF_DAYS:
            other.__dict__[name] = getattr(self, name)
        return other


#: What a sample derives from dates and residuals alone.
_OF_DAYS = (
    "q", "groups", "n_clusters", "effective_clusters", "kinds", "overlap", "mean_correlation", "n_blocks",
    "shares_days", "asynchronous", "clusters_overlap", "listed_twice",
)  # fmt: skip
