"""Tests of a slope on one date against the slopes of the past, and of the mean slope over several dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from marketimpact.analyses.exposure_past import CrossSection, SlopeDesign, return_sums, slopes
from marketimpact.core.arrays import Floats
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.inference import (
    RECENT_SESSIONS,
    FilteredErrors,
    filtered_errors,
    minimum_detectable_effect,
)

__all__ = ["Past", "against_past", "filtered", "hc1_p_values", "past_of", "rank_p_values"]

#: Two distances from the mean that differ by less than this share are the same.
TIE_SHARE = 1e-10


@dataclass(frozen=True, eq=False)
class Past:
    """Slopes of one announcement and of its past, without the constant; K exposures.

    Attributes
    ----------
    slope : (K,) array
        Slopes of the event window.
    past : (L, K) array
        Slopes of the windows of the past, in order of time; NaN where undefined.
    daily : (M, K) array
        Slopes of every session of the past.
    recent : (R, K) array
        Slopes of the last sessions before the event window and day 0.
    """

    slope: Floats
    past: Floats
    daily: Floats
    recent: Floats


def past_of(section: CrossSection, design: SlopeDesign) -> Past:
    """Estimate the slopes of the event window, of the windows of the past, and of single sessions."""
    first = design.window[0]
    sessions = np.arange(first - design.gap - design.past, first - design.gap)
    evening = min(first, 0)
    parts = (
        (np.array([first]), design.length),
        (design.past_starts(), design.length),
        (sessions, 1),
        (np.arange(evening - RECENT_SESSIONS, evening), 1),
    )
    event, past, daily, recent = (slopes(section, design, starts, length)[:, 1:] for starts, length in parts)
    return Past(event[0], past, daily, recent)


def against_past(slope: Floats, past: Floats) -> dict[str, Floats]:
    """Compare slopes, (K,), with their past, (L, K).

    ``z = (b - mean) / (sd sqrt(1 + 1 / L))`` from t(L - 1); and the rank of ``|b - mean|`` among the past and itself.
    """
    count = (~np.isnan(past)).sum(axis=0).astype(np.float64)
    mean, sd = np.nanmean(past, axis=0), np.nanstd(past, axis=0, ddof=1)
    se, df = sd * np.sqrt(1.0 + 1.0 / count), count - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(se > 0, (slope - mean) / se, np.nan)
    return {
        "past_mean": mean,
        "se": se,
        "z": z,
        "df": df,
        "p_value": np.asarray(2.0 * scipy.special.stdtr(df, -np.abs(z))),
        "p_rank": rank_p_values(slope, past),
        "mde": minimum_detectable_effect(se, df),
        "n_past": count,
    }


def rank_p_values(slope: Floats, past: Floats) -> Floats:
    """Rank the distance of slopes, (K,), from the mean of the past, (L, K), among those of the past and itself.

    The share of the L + 1 distances that are at least as large; ties, up to rounding, count as large.
    """
    mean = np.nanmean(past, axis=0)
    distance = np.abs(past - mean)
    own = np.abs(slope - mean)
    beyond = distance >= own * (1.0 - TIE_SHARE)
    return np.asarray((1.0 + beyond.sum(axis=0)) / (1.0 + (~np.isnan(past)).sum(axis=0)))


def filtered(found: Past, design: SlopeDesign) -> FilteredErrors:
    """Compute the standard errors of slopes from the volatility of the slope known the evening before, (K,).

    Daily slopes less their mean are the returns of a portfolio, and filtered as abnormal returns are.
    """
    mean = np.nanmean(found.daily, axis=0)
    daily, recent = ((part - mean).T for part in (found.daily, found.recent))
    k, days = len(mean), (~np.isnan(daily)).sum(axis=1)
    return filtered_errors(
        LazyMatrix.of(daily),
        LazyMatrix.of(recent),
        length=design.length,
        lag=max(design.window[0], 0),
        n_before=daily.shape[1],
        own_days=np.full(k, float(design.length)),
        relative_error=design.length / days,
    )


def hc1_p_values(section: CrossSection, design: SlopeDesign) -> Floats:
    """Compute the p-values that the event's cross-section alone gives, (K,): White's errors (HC1), t(N - k)."""
    import statsmodels.api as sm  # noqa: PLC0415  # a second of import that most runs do not need

    y = return_sums(section, design, np.array([design.window[0]]), design.length)[:, 0]
    model: Any = sm.OLS(y, section.x) if section.weights is None else sm.WLS(y, section.x, weights=section.weights)
    return np.asarray(model.fit(cov_type="HC1", use_t=True).pvalues[1:], dtype=np.float64)
