"""Diagnose what tests assume about abnormal returns, from the estimation windows and the sessions before the events.

Nothing here looks at the event window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import Floats
from marketimpact.core.chunks import chunks
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.inference.date_means import DateMeans
from marketimpact.inference.sample import Sample

__all__ = ["Diagnostics", "RecentVariance", "SeriesMoments", "diagnose", "recent_variance"]

#: Weight of a session in the recent variance, relative to that of the session after it: it halves in five. A check
#: needs less noise than the filter of `marketimpact.inference.volatility_filter`, which has a shorter memory.
DECAY = 0.5 ** (1.0 / 5.0)


@dataclass(frozen=True, slots=True)
class RecentVariance:
    """Variance of the sessions before the window, relative to that of the estimation window.

    Attributes
    ----------
    ratio : float
        Squared ratio of the mean absolute abnormal returns, recent sessions weighted by `DECAY`; nan without any.
    z : float
        Distance of its root from 1 in standard errors, estimated from the estimation window.
    """

    ratio: float
    z: float

    def rose(self, least: float, critical: float) -> bool:
        """Check whether the ratio exceeds `least` by more than chance explains."""
        return self.ratio > least and self.z > critical

    def fell(self, most: float, critical: float) -> bool:
        """Check whether the ratio lies below `most` by more than chance explains."""
        return self.ratio < most and self.z < -critical


@dataclass(frozen=True, slots=True)
class SeriesMoments:
    """Moments of G series of standardised abnormal returns, pooled over the series.

    Attributes
    ----------
    skewness : float
        Third moment over the 1.5th power of the variance; per session.
    excess_kurtosis : float
        Fourth moment over the squared variance, less 3; per session.
    autocorrelation : float
        Of neighbouring sessions.
    """

    skewness: float
    excess_kurtosis: float
    autocorrelation: float

    def skewness_of_sum(self, length: int) -> float:
        """Compute the skewness of a sum over sessions, taken as independent."""
        return float(self.skewness / length**0.5)

    def variance_inflation(self, length: int) -> float:
        """Compute the variance of a sum over sessions, relative to that of independent sessions, under AR(1)."""
        lags = np.arange(1, length)
        return float(1.0 + 2.0 * ((1.0 - lags / length) * self.autocorrelation**lags).sum())


@dataclass(frozen=True, slots=True)
class Series:
    """Pooled moments and daily sizes of several series of standardised abnormal returns.

    Attributes
    ----------
    moments : SeriesMoments
        Of the estimation window.
    size, recent_size : (M,) and (K,) arrays
        Mean absolute value by session of the estimation window and of the recent sessions, each series scaled to a mean
        of 1 in the estimation window.
    """

    moments: SeriesMoments
    size: Floats
    recent_size: Floats


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics of standardised abnormal returns before the events.

    Attributes
    ----------
    events, dates : Series
        Of single events, and of the means over the events of each date.
    single : bool
        Whether every date has one event.
    """

    events: Series
    dates: Series
    single: bool

    @property
    def event_moments(self) -> SeriesMoments:
        """Moments of the series of single events."""
        return self.events.moments

    @property
    def date_moments(self) -> SeriesMoments:
        """Moments of the series of date means."""
        return self.dates.moments

    @cached_property
    def recent_variance_of_dates(self) -> RecentVariance:
        """Recent variance of the date means, which a common shock dominates."""
        return _recent(self.dates.size, self.dates.recent_size)

    @cached_property
    def recent_variance_of_events(self) -> RecentVariance:
        """Recent variance of single events, averaged by session."""
        return _recent(self.events.size, self.events.recent_size)

    @cached_property
    def recent_common_share(self) -> RecentVariance:
        """Recent variance of date means over that of single events: whether the common part rose more."""
        if self.single:
            return RecentVariance(1.0, 0.0)
        ratio = self.recent_variance_of_dates.ratio / self.recent_variance_of_events.ratio
        difference = _recent(
            1.0 + self.dates.size - self.events.size, 1.0 + self.dates.recent_size - self.events.recent_size
        )
        return RecentVariance(ratio, difference.z)


def diagnose(sample: Sample) -> Diagnostics:
    """Summarise abnormal returns before the events; of the events of some dates where there are very many dates."""
    dates = factorize(sample.day0)
    members = rows_by_code(dates)
    step = -(-len(members) // limits.DIAGNOSED_DATES)
    rows = np.sort(np.concatenate(members[::step]))
    code = factorize(dates.codes[rows]).codes
    counts = np.bincount(code)
    means = DateMeans(counts, sample.placebo.width), DateMeans(counts, sample.recent_ar.width)
    parts = []
    for part in chunks(len(rows), limits.LAZY_CHUNK_ROWS):
        scale = sample.sigma[rows[part], None]
        values, recent = (source.rows(rows[part]) / scale for source in (sample.placebo, sample.recent_ar))
        means[0].add(values, code[part])
        means[1].add(recent, code[part])
        parts.append(_sums(values, recent))
    return Diagnostics(
        events=_pooled(parts),
        dates=_pooled([_sums(means[0].values, means[1].values)]),
        single=len(counts) == len(rows),
    )


def _sums(values: Floats, recent: Floats) -> tuple[Floats, Floats, Floats]:
    """Sum powers and lagged products, (5,), and absolute values in scale by session with their number, (2, M), (2, K).

    `values` and `recent` are the series of the estimation window and of the recent sessions, (N, M) and (N, K).
    """
    filled = np.nan_to_num(values)
    powers = [float((filled**power).sum()) for power in (2, 3, 4)]
    lagged = float((filled[:, 1:] * filled[:, :-1]).sum())
    size, recent_size = _in_scale(values, recent)
    sums = np.array([float((~np.isnan(values)).sum()), *powers, lagged])
    return sums, _day_sums(size), _day_sums(recent_size)


def _pooled(parts: Sequence[tuple[Floats, Floats, Floats]]) -> Series:
    """Pool the sums of several parts of the series."""
    (n, second, third, fourth, lagged), size, recent_size = (sum(some) for some in zip(*parts, strict=True))
    moments = SeriesMoments(0.0, 0.0, 0.0)
    if second > 0:
        variance = second / n
        moments = SeriesMoments(
            skewness=float(third / n / variance**1.5),
            excess_kurtosis=float(fourth / n / variance**2 - 3.0),
            autocorrelation=float(lagged / second),
        )
    return Series(moments, _quotient(size), _quotient(recent_size))


def _in_scale(values: Floats, recent: Floats) -> tuple[Floats, Floats]:
    """Divide absolute values by their mean in the estimation window, series by series, (N, M) and (N, K)."""
    size = np.abs(values)
    n = (~np.isnan(size)).sum(axis=1, keepdims=True)
    mean = np.nansum(size, axis=1, keepdims=True) / np.maximum(n, 1)
    mean = np.where(mean > 0, mean, np.nan)
    return size / mean, np.abs(recent) / mean


def _day_sums(values: Floats) -> Floats:
    """Sum the values present on each session and count them, (2, D)."""
    present = ~np.isnan(values)
    return np.stack([np.where(present, values, 0.0).sum(axis=0), present.sum(axis=0)])


def _quotient(sums: Floats) -> Floats:
    return np.where(sums[1] > 0, sums[0] / np.maximum(sums[1], 1.0), np.nan)


def recent_variance(events: Floats, recent: Floats) -> RecentVariance:
    """Compare the recent variance with that of the estimation window, averaged over events by session.

    Parameters
    ----------
    events, recent : (N, M) and (N, K) arrays
        Abnormal returns of the estimation window and of the sessions before the event window.
    """
    size, recent_size = _in_scale(events, recent)
    return _recent(_quotient(_day_sums(size)), _quotient(_day_sums(recent_size)))


def _recent(values: Floats, recent: Floats) -> RecentVariance:
    """Compare the weighted mean of recent values, (K,), with the mean of 1 of the others, (M,)."""
    weight = DECAY ** np.arange(len(recent))[::-1] * ~np.isnan(recent)
    values = values[~np.isnan(values)]
    if not weight.sum() > 0 or len(values) < 2:
        return RecentVariance(np.nan, np.nan)
    weight /= weight.sum()
    root = float((weight * np.nan_to_num(recent)).sum())
    error = float(values.std(ddof=1) * np.sqrt((weight**2).sum() + 1.0 / len(values)))
    return RecentVariance(root**2, (root - 1.0) / error if error > 0 else np.nan)
