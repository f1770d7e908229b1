"""Confidence band of a mean CAR."""

from __future__ import annotations

import numpy as np
from scipy import special

from marketimpact.inference.correlation import mean_correlation
from marketimpact.inference.sample import Sample

__all__ = ["band_of"]


def band_of(sample: Sample, level: float) -> tuple[float, float, str]:
    """Standard error of the mean CAR, the quantile that goes with it, and its name.

    With several events the standard error is the cross-sectional one, which follows the variance of
    the event days, times the root of ``(1 + (N-1) r) / (1 - r)``, which puts back the common part
    that the spread across events misses: the correction of Kolari and Pynnonen (2010) in units of
    return. Without common days r is 0 and nothing is corrected. A single event has its forecast
    error. The quantile is Student's t, on N - 1 or the estimation window's degrees of freedom.
    """
    tail = 0.5 + level / 2.0
    if sample.n == 1:
        return float(sample.se[0]), float(special.stdtrit(sample.df[0], tail)), "forecast error"
    r = mean_correlation(sample).value if sample.shares_days else 0.0
    inflation = (1.0 + (sample.n - 1) * r) / (1.0 - r)
    se = float(sample.car.std(ddof=1) / np.sqrt(sample.n))
    se = se * float(np.sqrt(inflation)) if inflation > 0 else np.nan
    name = "cross-sectional, correlation-adjusted" if sample.shares_days else "cross-sectional"
    return se, float(special.stdtrit(sample.n - 1, tail)), name
