"""Describe the properties of the events on which the validity of tests depends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from marketimpact.core.arrays import NO_DAY, Floats
from marketimpact.core.factorize import factorize
from marketimpact.inference.diagnostics import Diagnostics, diagnose
from marketimpact.inference.families.correlation_adjusted import mean_correlation
from marketimpact.inference.sample import Sample

__all__ = ["VARIANCE_LEVEL", "SampleStructure", "structure"]

#: Significance level of the test for a rise in variance.
VARIANCE_LEVEL = 0.05
#: With fewer events a rise in variance is judged at a level of its own: fat tails look like one more often.
FEW_EVENTS, FEW_EVENTS_LEVEL = 5, 0.005
#: A rise by less is not material, however significant: the standard error is less than a tenth too small.
MATERIAL_RISE = 1.2
#: ``1 + (N-1) r`` below which securities move in opposite directions; its standard error is about 0.09 when r is 0.
LEAST_INFLATION = 0.7
#: Clusters count as equal in size when their effective number is at least this share of their number.
EQUAL_SIZE_SHARE = 0.8


@dataclass(frozen=True)
class SampleStructure:
    """Properties of the events on which the validity of tests depends, each computed when it is first read.

    Attributes
    ----------
    sample : Sample
        The events.
    """

    sample: Sample

    @property
    def n_events(self) -> int:
        """Events with an abnormal return in the window."""
        return self.sample.n

    @property
    def n_clusters(self) -> int:
        """Announcements, or day-0 dates where events have no announcement."""
        return self.sample.n_clusters

    @property
    def n_independent_groups(self) -> int:
        """Groups of events whose windows are connected by common days; one means a single date in effect."""
        return self.sample.n_independent_groups

    @property
    def n_day0(self) -> int:
        """Number of day-0 dates."""
        return self.sample.n_day0

    @property
    def shares_days(self) -> bool:
        """Whether any two events have a day of the window in common."""
        return self.sample.shares_days

    @property
    def effective_clusters(self) -> float:
        """Effective number of clusters: their number where all have equal size, less where sizes differ."""
        return self.sample.effective_clusters

    @property
    def n_events_of_mean(self) -> float:
        """Events that a mean of CARs is taken over: their effective number where they are weighted."""
        return self.sample.n_effective

    @property
    def n_clusters_of_mean(self) -> float:
        """Clusters that a mean of CARs is taken over: their effective number where events are weighted."""
        return self.n_clusters if self.sample.weights is None else self.effective_clusters

    @property
    def asynchronous(self) -> bool:
        """Whether events of the same news trade on exchanges that are hardly open at the same time."""
        return self.sample.asynchronous

    @property
    def n_sessions(self) -> int:
        """Sessions of the window."""
        return self.sample.length

    @property
    def clusters_overlap(self) -> bool:
        """Whether windows of different clusters have days in common."""
        return self.sample.clusters_overlap

    @property
    def n_dual_listed(self) -> int:
        """Firms of which two listings count as events with days in common."""
        return self.sample.n_dual_listed

    @property
    def cluster_label(self) -> str:
        """Plural name of the clusters, for notes."""
        return self.sample.cluster_label

    @property
    def clusters_differ(self) -> bool:
        """Whether clusters are of very unequal size."""
        return self.effective_clusters < EQUAL_SIZE_SHARE * self.n_clusters

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """Series of the estimation windows and of the sessions before the events."""
        return diagnose(self.sample)

    @property
    def estimation_inflation(self) -> float:
        """Variance of the mean CAR relative to what it is if dates share no errors of estimation."""
        return self.sample.estimation_inflation

    @cached_property
    def n_estimation_days(self) -> float:
        """Median number of estimation days."""
        return float(np.median(self.sample.n_obs))

    @cached_property
    def windows_staggered(self) -> bool:
        """Whether one date is different sessions of two events' windows on the same exchange."""
        if self.n_sessions == 1 or self.sample.n_day0 == 1:
            return False
        first = self.sample.day_patterns.first_rows
        dates = self.sample.window_dates.rows(first)
        row, session = np.nonzero(dates != NO_DAY)
        place = np.column_stack([self.sample.exchange[first][row], dates[row, session]])
        return len(np.unique(np.column_stack([place, session]), axis=0)) > len(np.unique(place, axis=0))

    # --- variance at the events: across events, and across dates

    @property
    def filter_is_usable(self) -> bool:
        """Whether the volatility known the evening before gives a standard error."""
        return bool(np.isfinite(self.sample.filtered_mean.se))

    @cached_property
    def variance_ratio(self) -> float:
        """Cross-sectional variance of SCARs over the one expected without a change; nan with fewer than two events."""
        return self._ratio_to_usual(self.sample.scar / np.sqrt(self.sample.q.mean()))

    @cached_property
    def filtered_variance_ratio(self) -> float:
        """The same of CARs over their standard errors from the volatility known the evening before; nan if unknown."""
        return self._ratio_to_usual(self.sample.car / self.sample.filtered_errors.se)

    def _ratio_to_usual(self, standardised: Floats) -> float:
        """Divide the variance over events by the one without a common shock, which the spread leaves out."""
        if self.n_events < 2:
            return np.nan
        r = mean_correlation(self.sample).value
        own_share = 1.0 - (r if np.isfinite(r) else 0.0)
        return float(standardised.var(ddof=1) / own_share) if own_share > 0 else np.nan

    @cached_property
    def variance_p(self) -> float:
        """One-sided p-value of `variance_ratio` against 1; nan with one event, or of opposite directions."""
        return self._p_of_rise(self.variance_ratio)

    def _p_of_rise(self, ratio: float) -> float:
        """Compute the one-sided p-value of a variance over events, relative to the one expected.

        Chi-squared with the degrees of freedom that the kurtosis of the estimation windows leaves: the spread of n
        values of excess kurtosis k has the variance ``2 / (n-1) + k / n`` relative to its square (Cramer 1946).
        """
        n = self.n_events
        if n < 2 or not self.one_direction:
            return np.nan
        kurtosis = self.diagnostics.event_moments.excess_kurtosis / self.n_sessions
        df = 2.0 / (2.0 / (n - 1) + max(kurtosis, 0.0) / n)
        return float(scipy.special.chdtrc(df, df * ratio))

    @property
    def variance_rose(self) -> bool:
        """Whether the variance rose significantly at the events, from that of the estimation windows."""
        return self._rose(self.variance_ratio)

    @cached_property
    def filtered_variance_rose(self) -> bool:
        """Whether the variance rose significantly at the events, from that known the evening before."""
        return self._rose(self.filtered_variance_ratio)

    def _rose(self, ratio: float) -> bool:
        level = VARIANCE_LEVEL if self.n_events >= FEW_EVENTS else FEW_EVENTS_LEVEL
        return self._p_of_rise(ratio) < level and ratio > MATERIAL_RISE

    @cached_property
    def inflation(self) -> float:
        """Variance of the mean SCAR relative to that of independent events, ``1 + (N-1) r``; nan where unknown."""
        return 1.0 + (self.n_events - 1) * mean_correlation(self.sample).value

    @property
    def one_direction(self) -> bool:
        """Whether securities do not move in opposite directions: `inflation` is not well below 1."""
        return not self.inflation < LEAST_INFLATION

    @cached_property
    def date_scatter(self) -> float:
        """Variance of date means over the one that estimation windows imply; nan with fewer than two dates."""
        g, n, means = self.n_clusters, self.sample.clusters.counts.astype(float), self._cluster_means
        if g < 2:
            return np.nan
        weight = n / (self.sample.q.mean() * (1.0 + (n - 1.0) * self._correlation_within_dates))
        centre = float(weight @ means / weight.sum())
        return float(weight @ (means - centre) ** 2) / (g - 1)

    @cached_property
    def _cluster_means(self) -> Floats:
        """Mean SCAR of each cluster, (G,)."""
        clusters = self.sample.clusters
        return np.asarray(np.bincount(clusters.codes, weights=self.sample.scar) / clusters.counts)

    @cached_property
    def _correlation_within_dates(self) -> float:
        """Average correlation of the pairs of events that share days."""
        average = mean_correlation(self.sample)
        pairs = self.n_events * (self.n_events - 1) / 2.0
        within = average.value * pairs / average.n_pairs if average.n_pairs else 0.0
        return float(np.clip(np.nan_to_num(within), 0.0, 1.0))

    @cached_property
    def dates_scatter_more(self) -> bool:
        """Whether date means scatter significantly more than estimation windows imply."""
        return self._scatter_more(self.date_scatter, self.n_clusters)

    @cached_property
    def filtered_date_scatter(self) -> float:
        """Variance of date means over the one known the evening before; nan with fewer than two dates."""
        dates, se = factorize(self.sample.day0), self.sample.filtered_mean.date_se
        if len(dates.counts) < 2:
            return np.nan
        sums, size = self.sample.sums_by(dates.codes, self.sample.car), self.sample.sizes_by(dates.codes)
        weight, means = 1.0 / se**2, sums / size
        centre = float(weight @ means / weight.sum())
        return float(weight @ (means - centre) ** 2) / (len(means) - 1)

    @cached_property
    def filtered_dates_scatter_more(self) -> bool:
        """Whether date means scatter significantly more than was known the evening before."""
        return self._scatter_more(self.filtered_date_scatter, self.n_day0)

    def _scatter_more(self, scatter: float, n_dates: int) -> bool:
        df = n_dates - 1
        return df > 0 and scatter > MATERIAL_RISE and float(scipy.special.chdtrc(df, df * scatter)) < VARIANCE_LEVEL

    @cached_property
    def dates_scatter_more_than_events(self) -> bool:
        """Whether the variance of date means rose significantly more than that of events within dates."""
        df, within = self.n_clusters - 1, self.n_events - self.n_clusters
        own_share = 1.0 - self._correlation_within_dates
        if df < 1 or within < 1 or not own_share > 0:
            return False
        squares = float(((self.sample.scar - self._cluster_means[self.sample.clusters.codes]) ** 2).sum())
        own_ratio = squares / (within * self.sample.q.mean() * own_share)
        return own_ratio > 0 and float(scipy.special.fdtrc(df, within, self.date_scatter / own_ratio)) < VARIANCE_LEVEL


def structure(sample: Sample) -> SampleStructure:
    """Describe the events of a sample."""
    return SampleStructure(sample)
