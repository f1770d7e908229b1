"""Describe the properties of the events on which the validity of tests depends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from marketimpact.inference.families.correlation_adjusted import mean_correlation
from marketimpact.inference.sample import Sample

__all__ = ["VARIANCE_LEVEL", "SampleStructure", "structure"]

#: Significance level of the test for a rise in variance.
VARIANCE_LEVEL = 0.05
#: Clusters count as equal in size when their effective number is at least this share of their number.
EQUAL_SIZE_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class SampleStructure:
    """Properties of the events on which the validity of tests depends.

    Attributes
    ----------
    n_events : int
        Events with an abnormal return in the window.
    n_clusters : int
        Announcements, or day-0 dates where events have no announcement.
    n_independent_groups : int
        Groups of events whose windows are connected by common days; one means a single date in
        effect.
    shares_days : bool
        Whether any two events have a day of the window in common.
    variance_ratio : float
        Cross-sectional variance of SCARs over the one expected without a change in variance; nan
        with fewer than three events.
    variance_p : float
        One-sided p-value of that ratio against 1, chi-squared; too small under fat tails.
    effective_clusters : float
        Effective number of clusters: their number where all have equal size, less where sizes differ.
    asynchronous : bool
        Whether events of the same news trade on exchanges that are hardly open at the same time.
    n_sessions : int
        Sessions of the window.
    clusters_overlap : bool
        Whether windows of different clusters have days in common.
    n_dual_listed : int
        Firms of which two listings count as events with days in common.
    cluster_label : str
        What clusters are, in the plural, for notes.
    """

    n_events: int
    n_clusters: int
    n_independent_groups: int
    shares_days: bool
    variance_ratio: float
    variance_p: float
    effective_clusters: float
    asynchronous: bool
    n_sessions: int
    clusters_overlap: bool
    n_dual_listed: int
    cluster_label: str

    @property
    def clusters_differ(self) -> bool:
        """Whether clusters are of very unequal size."""
        return self.effective_clusters < EQUAL_SIZE_SHARE * self.n_clusters

    @property
    def variance_rose(self) -> bool:
        """Whether the variance rose significantly at the events."""
        return self.variance_p < VARIANCE_LEVEL


def structure(sample: Sample) -> SampleStructure:
    """Describe the clusters, common days and variance of the events of a sample."""
    ratio, p = _variance_ratio(sample)
    return SampleStructure(
        n_events=sample.n,
        n_clusters=sample.n_clusters,
        n_independent_groups=sample.n_independent_groups,
        shares_days=sample.shares_days,
        variance_ratio=ratio,
        variance_p=p,
        effective_clusters=sample.effective_clusters,
        asynchronous=sample.asynchronous,
        n_sessions=sample.length,
        clusters_overlap=sample.clusters_overlap,
        n_dual_listed=sample.n_dual_listed,
        cluster_label=sample.cluster_label,
    )


def _variance_ratio(sample: Sample) -> tuple[float, float]:
    """Estimate the event-variance ratio; the spread leaves out a common shock, so the divisor does too."""
    if sample.n < 3:
        return np.nan, np.nan
    r = mean_correlation(sample).value
    own_share = 1.0 - (r if np.isfinite(r) else 0.0)
    if own_share <= 0:
        return np.nan, np.nan
    ratio = float(sample.scar.var(ddof=1) / (sample.q.mean() * own_share))
    return ratio, float(scipy.special.chdtrc(sample.n - 1, (sample.n - 1) * ratio))
