"""Input to the tests over events: one event window, one row per event, each derived quantity computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.factorize import Factorized, factorize
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.events.exchange_clocks import ExchangeClock
from marketimpact.inference.correlation.by_pairs import MeanCorrelation
from marketimpact.inference.correlation.overlap import Overlap, connected_groups, overlap_of
from marketimpact.inference.correlation.pairs import PairCorrelations, window_correlation
from marketimpact.inference.estimation_days import EstimationDays
from marketimpact.inference.resampled_moments import ResampledMoments, resampled_moments
from marketimpact.inference.shared_estimation import estimation_inflation
from marketimpact.inference.volatility_filter import (
    FilteredDates,
    FilteredErrors,
    FilteredMean,
    filtered_dates,
    filtered_errors_of,
    filtered_mean,
)
from marketimpact.inference.weighted_mean import effective_number

__all__ = ["RECENT_SESSIONS", "Floats", "Ints", "Pool", "Portfolios", "Sample"]


#: Sessions before the window whose variance is compared with that of the estimation window.
RECENT_SESSIONS = 40


@dataclass(frozen=True, slots=True)
class Portfolios:
    """G portfolios of events, equal-weighted or with the weights of a `Sample`, to be tested like events.

    One per day-0 date, and per exchange where some of these are hardly open together.

    Attributes
    ----------
    car, se : (G,) arrays
        CAR of the portfolio (fraction) and its exact forecast standard error.
    df, n_events : (G,) arrays
        Degrees of freedom; number of members.
    residuals : LazyMatrix (G, M)
        Residuals of the estimation window (fraction per session), NaN where missing.
    residual_dates : LazyMatrix (G, M)
        Their dates as days since 1970-01-01, `NO_DAY` where there is none.
    weight : (G,) array
        Weight of the portfolio among portfolios: its number of members, or the sum of their weights.
    dates : (G, L) array
        Dates of the window, `NO_DAY` where no member has a return.
    exchange : (G,) array
        Code of each portfolio's exchange, its position in `clocks`; 0 where portfolios hold several.
    clocks : tuple of ExchangeClock
        Sessions of the exchanges.
    pairs : PairCorrelations
        Correlations of residuals, kept for all windows.
    pattern : (G,) array
        Code of each portfolio in `pairs`.
    """

    car: Floats
    se: Floats
    df: Ints
    n_events: Ints
    weight: Floats
    residuals: LazyMatrix
    residual_dates: LazyMatrix
    dates: Ints
    exchange: Ints
    clocks: tuple[ExchangeClock, ...]
    pairs: PairCorrelations
    pattern: Ints

    def take(self, rows: Ints) -> Portfolios:
        """Select portfolios."""
        names = ("car", "se", "df", "n_events", "weight", "dates", "exchange", "pattern")
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in names},
            residuals=self.residuals.take(rows),
            residual_dates=self.residual_dates.take(rows),
        )


@dataclass(frozen=True, slots=True)
class Pool:
    """Abnormal returns of all P usable events, also of those without a return in the window.

    Attributes
    ----------
    placebo : LazyMatrix (P, M)
    event_ar, event_se : LazyMatrix (P, W)
    sigma : (P,) array
        As in `Sample`.
    """

    placebo: LazyMatrix
    event_ar: LazyMatrix
    event_se: LazyMatrix
    sigma: Floats


@dataclass(frozen=True)
class Sample:
    """N events that have at least one abnormal return in an event window of L sessions.

    M is the number of sessions of the estimation window, W of the widest event window kept. Returns, abnormal returns
    and standard errors are fractions, dates are days since 1970-01-01.

    Attributes
    ----------
    car, se : (N,) arrays
        Cumulative abnormal return and its exact forecast standard error.
    sigma : (N,) array
        Residual standard deviation of the estimation window, per session.
    df : (N,) array
        Degrees of freedom of the estimation.
    n_days, n_obs : (N,) arrays
        Sessions with an abnormal return in the window; usable sessions of the estimation window.
    residuals, residual_dates : LazyMatrix (N, M)
        Abnormal returns of the estimation window, NaN where missing; their dates, `NO_DAY` outside the calendar.
    estimation_days : EstimationDays
        Which days each event has residuals on.
    placebo : LazyMatrix (N, M)
        The residuals, aligned so that a column is one placebo announcement for all events of an announcement, also
        across exchanges with other holidays: see `align_placebo_days`.
    window_dates : LazyMatrix (N, L)
        Dates of the window, `NO_DAY` where there is no abnormal return.
    event_ar, event_se : LazyMatrix (N, W)
        Abnormal returns of the widest event window and their forecast standard errors, NaN where missing.
    columns : slice
        The window's sessions among the W.
    recent_ar : LazyMatrix (N, K)
        Abnormal returns of the `RECENT_SESSIONS` sessions before the window and day 0; NaN where the return is missing,
        excluded or zero, since a price that did not move says nothing of volatility.
    n_before : int
        Sessions of the estimation window that lie before the event; fewer than M where the model has some after it.
    own_days : (N,) array
        Days of the window in variances of one session: `n_days`, or more where a return spans sessions without a trade.
    lag : int
        Sessions from day 0 to the first of the window; 0 for a window that begins earlier.
    pool : Pool
        Abnormal returns of all usable events, for tests of daily averages.
    cluster : (N,) array
        Code of each event's announcement, of its day 0 where events have no announcement, or of its value in another
        column that the user clusters by.
    joins_clusters : bool
        Whether clusters whose windows have days in common are one: announcements, not what the user clusters by.
    cluster_label : str
        What clusters are, in the plural, for notes.
    exchange : (N,) array
        Code of each event's exchange: its position in `clocks`.
    clocks : tuple of ExchangeClock
        Sessions of the exchanges.
    symbol, firm : (N,) arrays
        Codes of each event's security and of its firm; listings of one firm share it.
    sign : (N,) array
        -1 for an event whose returns are multiplied by -1, else 1.
    day0 : (N,) array
        Date of day 0.
    pattern : (N,) array
        Code of each event's day pattern in `pairs`.
    pairs : PairCorrelations
        Correlations of residuals, kept for all windows and groups of one result.
    announcement : (N,) array
        Code of each event's announcement, or of its day 0 where events have no announcement.
    intercept : bool
        Whether the model estimates a constant.
    least_squares : bool
        Whether the model is estimated by ordinary least squares.
    serial_correlation : bool
        Whether `se` allows for autocorrelated abnormal returns.
    changing_variance : bool
        Whether `se` follows a variance that changes from day to day.
    knows_recent_variance : bool
        Whether that variance is carried to the last session before the event window.
    panel : callable
        Returns ``y (N, M), x (N, M, p), y (N, L), x (N, L, p)``: returns and regressors of both windows, of all
        events or of the rows it is given.
    portfolios : callable
        Returns `Portfolios`; they are estimated only for tests that need them.
    windows_differ : bool
        Whether some events are estimated over other sessions, relative to day 0, than others.
    weights : (N,) array or None
        Weight of each event in means of CARs, above zero on any scale; None: all alike.
    weighted_by : str
        Column of the events that the weights are from.
    """

    car: Floats
    se: Floats
    sigma: Floats
    df: Ints
    n_days: Ints
    n_obs: Ints

    residuals: LazyMatrix
    residual_dates: LazyMatrix
    estimation_days: EstimationDays
    placebo: LazyMatrix
    window_dates: LazyMatrix
    event_ar: LazyMatrix
    event_se: LazyMatrix
    columns: slice
    recent_ar: LazyMatrix
    n_before: int
    own_days: Floats
    lag: int
    pool: Pool

    cluster: Ints
    exchange: Ints
    clocks: tuple[ExchangeClock, ...]
    symbol: Ints
    firm: Ints
    sign: Floats
    day0: Ints

    pattern: Ints = field(repr=False)
    pairs: PairCorrelations = field(repr=False)

    announcement: Ints
    intercept: bool
    least_squares: bool
    serial_correlation: bool
    changing_variance: bool
    knows_recent_variance: bool
    panel: Callable[..., tuple[Floats, Floats, Floats, Floats]] = field(repr=False)
    portfolios: Callable[[], Portfolios] = field(repr=False)
    cluster_label: str = "dates"
    joins_clusters: bool = False
    windows_differ: bool = False
    weights: Floats | None = field(default=None, repr=False)
    weighted_by: str = ""

    @property
    def n(self) -> int:
        """Number of events, N."""
        return len(self.car)

    @cached_property
    def shares(self) -> Floats | None:
        """Weights that sum to one, (N,); None where events count alike."""
        return None if self.weights is None else self.weights / self.weights.sum()

    @cached_property
    def n_effective(self) -> float:
        """Effective number of events, ``1 / sum of squared shares``: N where they count alike."""
        return self.n if self.weights is None else effective_number(self.weights)

    def mean(self, values: Floats) -> float:
        """Average one value per event, (N,), with the weights of the sample."""
        return float(values.mean()) if self.shares is None else float(self.shares @ values)

    def sums_by(self, codes: Ints, values: Floats) -> Floats:
        """Sum values, (N,), over the events of each code; weighted, with weights whose mean is one."""
        own = values if self.shares is None else values * (self.shares * self.n)
        return np.bincount(codes, weights=own).astype(np.float64)

    def sizes_by(self, codes: Ints) -> Floats:
        """Count the events of each code, or sum their weights, whose mean is one."""
        return self.sums_by(codes, np.ones(self.n))

    @cached_property
    def scar(self) -> Floats:
        """Standardised cumulative abnormal return, (N,), t(df) under normality."""
        return self.car / self.se

    @cached_property
    def q(self) -> Floats:
        """Variance of each SCAR under normality, ``df / (df - 2)``."""
        return self.df / (self.df - 2.0)

    @cached_property
    def n_day0(self) -> int:
        """Number of day-0 dates."""
        return len(factorize(self.day0).counts)

    @property
    def length(self) -> int:
        """Sessions of the window, L."""
        return int(self.columns.stop - self.columns.start)

    @property
    def dates(self) -> Ints:
        """Dates of the window, (N, L), `NO_DAY` where there is no abnormal return."""
        return self.window_dates.to_array()

    @cached_property
    def ar(self) -> Floats:
        """Abnormal returns of the window, (N, L), NaN where missing."""
        return np.asarray(self.event_ar.to_array()[:, self.columns])

    @cached_property
    def sar(self) -> Floats:
        """Standardised abnormal returns of the window, (N, L)."""
        return np.asarray(self.ar / self.event_se.to_array()[:, self.columns])

    @cached_property
    def joined_cluster(self) -> Ints:
        """Code of each event's cluster, (N,): one for clusters whose windows have days in common, where these join."""
        if not self.joins_clusters:
            return self.cluster
        patterns = self.day_patterns
        _, window = connected_groups(len(patterns.counts), self.overlap.one, self.overlap.other)
        own, day = factorize(self.cluster).codes, window[patterns.codes]
        n = int(own.max(initial=-1)) + 1
        _, joined = connected_groups(n + int(day.max(initial=-1)) + 1, own, n + day)
        return factorize(joined[own]).codes

    @cached_property
    def clusters(self) -> Factorized:
        """Code of each event's cluster, and the sizes of the clusters."""
        return factorize(self.joined_cluster)

    @cached_property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.clusters.counts)

    @cached_property
    def effective_clusters(self) -> float:
        """Effective number of clusters, ``(sum n)^2 / sum n^2``: their number where all have equal size, or weight."""
        sizes = self.sizes_by(self.clusters.codes)
        return float(sizes.sum() ** 2 / (sizes**2).sum())

    @cached_property
    def day_patterns(self) -> Factorized:
        """Day patterns of these events: code of each event's pattern, the patterns' sizes and first events."""
        return factorize(self.pattern)

    @cached_property
    def overlap(self) -> Overlap:
        """Pairs of day patterns, numbered as in `day_patterns`, that share days of the window."""
        first = self.day_patterns.first_rows
        return overlap_of(self.window_dates.rows(first), self.exchange[first], self.clocks)

    @cached_property
    def mean_correlation(self) -> MeanCorrelation:
        """Overlap-weighted average correlation of estimation-window residuals."""
        patterns, size = self.day_patterns.values, self.day_patterns.counts
        one, other = size[self.overlap.one], size[self.overlap.other]
        number = np.where(self.overlap.one == self.overlap.other, one * (one - 1) // 2, one * other)
        value, used = self.pairs.weighted(self.overlap, patterns)
        total, n_pairs, n_used = float(value[number > 0].sum()), int(number.sum()), int(used[number > 0].sum())
        if not n_pairs:
            return MeanCorrelation(0.0, 0, 0)
        if not n_used:
            return MeanCorrelation(np.nan, n_pairs, 0)
        # pairs without overlap count as zero, so only overlapping pairs need a usable correlation
        counted = self.n * (self.n - 1) // 2 - (n_pairs - n_used)
        return MeanCorrelation(total / counted, n_pairs, n_used)

    @cached_property
    def weighted_correlation(self) -> MeanCorrelation:
        """`mean_correlation` with each pair counted by the product of its weights; of very many events all alike."""
        average = self.mean_correlation
        if self.shares is None or self.n > limits.WEIGHTED_PAIRS_EVENTS:
            return average
        correlation, known = window_correlation(self)
        counted = np.where(known, np.outer(self.shares, self.shares), 0.0)
        np.fill_diagonal(counted, 0.0)
        total = float(counted.sum())
        value = float((counted * correlation).sum()) / total if total > 0 else np.nan
        return MeanCorrelation(value, average.n_pairs, average.n_used)

    @cached_property
    def n_independent_groups(self) -> int:
        """Number of groups of events whose windows are connected by common days."""
        return connected_groups(len(self.day_patterns.counts), self.overlap.one, self.overlap.other)[0]

    @cached_property
    def shares_days(self) -> bool:
        """Whether any two events have a day of the window in common."""
        return self.n_independent_groups < self.n

    @cached_property
    def asynchronous(self) -> bool:
        """Whether events of the same news trade on exchanges that are hardly open at the same time."""
        return bool(self.overlap.asynchronous.any())

    @cached_property
    def clusters_overlap(self) -> bool:
        """Whether windows of different clusters have days in common."""
        codes, n = self.day_patterns.codes, len(self.day_patterns.counts)
        low, high = np.full(n, np.iinfo(np.int64).max), np.full(n, -1)
        np.minimum.at(low, codes, self.joined_cluster)
        np.maximum.at(high, codes, self.joined_cluster)
        one, other = self.overlap.one, self.overlap.other
        return bool((np.minimum(low[one], low[other]) < np.maximum(high[one], high[other])).any())

    @cached_property
    def estimation_inflation(self) -> float:
        """Variance of the mean CAR relative to what it is if dates share no errors of estimation."""
        return estimation_inflation(self) if self.intercept else 1.0

    @cached_property
    def filtered_dates(self) -> FilteredDates:
        """Estimation windows of the dates, filtered by the volatility known before each of their sessions."""
        return filtered_dates(self)

    @cached_property
    def filtered_mean(self) -> FilteredMean:
        """Mean CAR over blocks of estimation days, at the volatility known before the events."""
        return filtered_mean(self)

    @cached_property
    def filtered_errors(self) -> FilteredErrors:
        """Standard errors of the CARs from the volatility known the evening before."""
        return filtered_errors_of(self)

    @cached_property
    def resampled_moments(self) -> ResampledMoments:
        """Moments of the CARs of resampled events."""
        return resampled_moments(self.car)

    @cached_property
    def n_dual_listed(self) -> int:
        """Number of firms of which two listings count as events with days in common."""
        firm, codes = factorize(self.firm).codes, self.day_patterns.codes
        low, high = np.full(self.n, np.iinfo(np.int64).max), np.full(self.n, -1)
        np.minimum.at(low, firm, self.symbol)
        np.maximum.at(high, firm, self.symbol)
        sharing, number = set(self.overlap.pairs()) if (low < high).any() else set(), 0
        for dual_listed in np.flatnonzero(low < high).tolist():
            rows = np.flatnonzero(firm == dual_listed)
            number += any(
                (min(codes[i], codes[j]), max(codes[i], codes[j])) in sharing
                for i in rows
                for j in rows
                if self.symbol[i] < self.symbol[j]
            )
        return number

    def with_abnormal_returns(self, car: Floats, event_ar: Floats, pool_ar: Floats, recent_ar: Floats) -> Sample:
        """Replace the abnormal returns of the event window, as if day 0 had been on other dates.

        Parameters
        ----------
        car : (N,) array
        event_ar, pool_ar : (N, W) and (P, W) arrays
        recent_ar : (N, K) array

        Notes
        -----
        What depends on dates and residuals alone is kept instead of being computed again. `panel` and `portfolios`
        still return those of the true dates.
        """
        other = object.__new__(Sample)  # `replace` sets every field by itself, which takes longer than a test
        other.__dict__.update(
            {name: getattr(self, name) for name in _KEPT},
            car=car,
            event_ar=LazyMatrix.of(event_ar),
            recent_ar=LazyMatrix.of(recent_ar),
            pool=replace(self.pool, event_ar=LazyMatrix.of(pool_ar)),
        )
        return other


#: Fields of a sample, and its properties that depend on dates and residuals alone.
_KEPT = (
    *(part.name for part in fields(Sample)), "q", "joined_cluster",
    "clusters", "n_clusters", "effective_clusters", "day_patterns", "overlap", "mean_correlation",
    "n_independent_groups", "shares_days", "asynchronous", "clusters_overlap", "n_dual_listed", "estimation_inflation",
    "filtered_dates",
)  # fmt: skip
