"""Confidence band of a mean CAR, with the standard error that the events' structure asks for."""

from __future__ import annotations

import numpy as np
from scipy import special

from marketimpact.inference.correlation import mean_correlation
from marketimpact.inference.sample import Sample

__all__ = ["band_of"]


def band_of(sample: Sample, level: float) -> tuple[float, float, str]:
    """Standard error of the CAAR, the quantile that goes with it, and its name."""
    tail = 0.5 + level / 2.0
    if sample.n == 1:
        return float(sample.se[0]), float(special.stdtrit(sample.df[0], tail)), "forecast error"
    if not sample.shares_days:
        se = float(sample.car.std(ddof=1) / np.sqrt(sample.n))
        return se, float(special.stdtrit(sample.n - 1, tail)), "cross-sectional"
    inflation = 1.0 + (sample.n - 1) * mean_correlation(sample).value
    independent = float(np.sqrt((sample.se**2).sum()) / sample.n)
    se = independent * float(np.sqrt(inflation)) if inflation > 0 else np.nan
    return se, float(special.ndtri(tail)), "forecast error with cross-correlation"
