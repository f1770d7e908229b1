"""Confidence band of a mean CAR (CAAR)."""

from __future__ import annotations

import numpy as np
import scipy

from marketimpact.inference.families.correlation_adjusted import mean_correlation
from marketimpact.inference.sample import Sample

__all__ = ["band_of", "quantile_of"]


def band_of(sample: Sample, *, variance_rose: bool) -> tuple[float, float, str]:
    """Choose the standard error of the mean CAR; return it, its degrees of freedom (infinite: normal), and its name.

    It is that of the tests that are valid for these events:

    * one event: its forecast error, Student's t on its degrees of freedom;
    * no common days: the cross-sectional standard error, Student's t on N - 1;
    * common days: the forecast errors times the root of ``1 + (N-1) r``, normal; and where the events
      raised the variance (`variance_rose`), the cross-sectional standard error times the root of
      ``(1 + (N-1) r) / (1 - r)``, Student's t on N - 1, which adds the part that the spread
      across events misses (Kolari and Pynnonen 2010, in units of return).
    """
    if sample.n == 1:
        return float(sample.se[0]), float(sample.df[0]), "forecast error"
    spread = float(sample.car.std(ddof=1) / np.sqrt(sample.n))
    df = float(sample.n - 1)
    if not sample.shares_days:
        return spread, df, "cross-sectional"
    r = mean_correlation(sample).value
    inflation = 1.0 + (sample.n - 1) * r
    root = float(np.sqrt(inflation)) if inflation > 0 else np.nan
    if variance_rose:
        return spread * root / float(np.sqrt(1.0 - r)), df, "cross-sectional, correlation-adjusted"
    forecast = float(np.sqrt((sample.se**2).sum()) / sample.n)
    return forecast * root, np.inf, "forecast error, correlation-adjusted"


def quantile_of(df: float, level: float) -> float:
    """Compute the half-width of a two-sided band of this level in standard errors; infinite `df` is normal."""
    tail = 0.5 + level / 2.0
    return float(scipy.special.stdtrit(df, tail) if np.isfinite(df) else scipy.special.ndtri(tail))
