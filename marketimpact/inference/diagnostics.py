"""Diagnose what tests assume about abnormal returns, from the estimation windows and the sessions before the events.

Nothing here looks at the event window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.inference.sample import Sample

__all__ = ["Diagnostics", "RecentVariance", "SeriesMoments", "diagnose", "recent_variance"]

#: Weight of a session in the recent variance, relative to that of the session after it: half-life 6.6 sessions.
DECAY = 0.90


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

    def variance_inflation(self, length: int) -> float:
        """Compute the variance of a sum over sessions, relative to that of independent sessions, under AR(1)."""
        lags = np.arange(1, length)
        return float(1.0 + 2.0 * ((1.0 - lags / length) * self.autocorrelation**lags).sum())


@dataclass(frozen=True)
class Diagnostics:
    """Standardised abnormal returns of events and of their date's mean, and what can be seen in them.

    Attributes
    ----------
    events, recent_events : (N, M) and (N, K) arrays
        Abnormal returns of the estimation window and of the recent sessions, over `Sample.sigma`.
    dates, recent_dates : (G, M) and (G, K) arrays
        Their means over the events of each date.
    """

    events: Floats
    recent_events: Floats
    dates: Floats
    recent_dates: Floats

    @cached_property
    def event_moments(self) -> SeriesMoments:
        """Moments of the series of single events."""
        return _moments(self.events)

    @cached_property
    def date_moments(self) -> SeriesMoments:
        """Moments of the series of date means."""
        return _moments(self.dates)

    @cached_property
    def recent_variance_of_dates(self) -> RecentVariance:
        """Recent variance of the date means, which a common shock dominates."""
        return _recent(*self._dates_in_scale)

    @cached_property
    def recent_variance_of_events(self) -> RecentVariance:
        """Recent variance of single events, averaged by session."""
        return _recent(*self._events_in_scale)

    @cached_property
    def recent_common_share(self) -> RecentVariance:
        """Recent variance of date means over that of single events: whether the common part rose more."""
        dates, recent_dates = self._dates_in_scale
        events, recent_events = self._events_in_scale
        if self.dates.shape == self.events.shape:
            return RecentVariance(1.0, 0.0)  # one event on each date
        ratio = _recent(dates, recent_dates).ratio / _recent(events, recent_events).ratio
        difference = _recent(1.0 + dates - events, 1.0 + recent_dates - recent_events)
        return RecentVariance(ratio, difference.z)

    @cached_property
    def _dates_in_scale(self) -> tuple[Floats, Floats]:
        return _in_scale(self.dates, self.recent_dates)

    @cached_property
    def _events_in_scale(self) -> tuple[Floats, Floats]:
        return _in_scale(self.events, self.recent_events)


def diagnose(sample: Sample) -> Diagnostics:
    """Compute the series behind the diagnostics; of the events of some dates where there are very many dates."""
    dates = factorize(sample.day0)
    members = rows_by_code(dates)
    step = -(-len(members) // limits.DIAGNOSED_DATES)
    rows = np.sort(np.concatenate(members[::step]))
    scale = sample.sigma[rows, None]
    events, recent = sample.placebo.rows(rows) / scale, sample.recent_ar.rows(rows) / scale
    code = factorize(dates.codes[rows]).codes
    return Diagnostics(events, recent, _means(events, code), _means(recent, code))


def _means(values: Floats, code: Ints) -> Floats:
    """Average the values present over the rows of each code, (N, D) to (G, D)."""
    present = ~np.isnan(values)
    total = np.zeros((int(code.max()) + 1, values.shape[1]))
    count = np.zeros_like(total)
    np.add.at(total, code, np.where(present, values, 0.0))
    np.add.at(count, code, present)
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _moments(values: Floats) -> SeriesMoments:
    filled = np.nan_to_num(values)
    n, squares = int((~np.isnan(values)).sum()), float((filled**2).sum())
    if not squares > 0:
        return SeriesMoments(0.0, 0.0, 0.0)
    variance = squares / n
    return SeriesMoments(
        skewness=float((filled**3).sum()) / n / variance**1.5,
        excess_kurtosis=float((filled**4).sum()) / n / variance**2 - 3.0,
        autocorrelation=float((filled[:, 1:] * filled[:, :-1]).sum()) / squares,
    )


def _in_scale(values: Floats, recent: Floats) -> tuple[Floats, Floats]:
    """Average absolute values over series by session, each series scaled to a mean of 1, (M,) and (K,)."""
    size = np.abs(values)
    n = (~np.isnan(size)).sum(axis=1, keepdims=True)
    mean = np.nansum(size, axis=1, keepdims=True) / np.maximum(n, 1)
    mean = np.where(mean > 0, mean, np.nan)
    return _day_means(size / mean), _day_means(np.abs(recent) / mean)


def _day_means(values: Floats) -> Floats:
    present = ~np.isnan(values)
    n = present.sum(axis=0)
    return np.where(n > 0, np.where(present, values, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)


def recent_variance(events: Floats, recent: Floats) -> RecentVariance:
    """Compare the recent variance with that of the estimation window, averaged over events by session.

    Parameters
    ----------
    events, recent : (N, M) and (N, K) arrays
        Abnormal returns of the estimation window and of the sessions before the event window.
    """
    return _recent(*_in_scale(events, recent))


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
