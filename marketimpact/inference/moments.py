"""Tests built on means and variances of (standardised) cumulative abnormal returns."""

from __future__ import annotations

import numpy as np
from scipy import special

from marketimpact.inference.protocol import Holds, Outcome, SignificanceTest, silent
from marketimpact.inference.sample import Sample

__all__ = ["BMP", "CROSS_SECTIONAL_T", "PATELL_SCAR", "normal_p", "student_p"]

TOO_FEW = "needs at least 2 events"


def normal_p(z: float) -> float:
    """Two-sided p-value of a standard normal."""
    return float(2.0 * special.ndtr(-abs(z)))


def student_p(t: float, df: float) -> float:
    """Two-sided p-value of Student's t."""
    return float(2.0 * special.stdtr(df, -abs(t)))


def cross_sectional_t(sample: Sample) -> Outcome:
    """Mean CAR over its cross-sectional standard error."""
    return _mean_over_spread(sample.car)


def bmp(sample: Sample) -> Outcome:
    """Mean SCAR over its cross-sectional standard error."""
    return _mean_over_spread(sample.scar)


def patell_scar(sample: Sample) -> Outcome:
    """Sum of SCARs over the square root of the sum of their variances."""
    mean = float(sample.scar.mean())
    se = float(np.sqrt(sample.q.sum()) / sample.n)
    z = mean / se
    return Outcome(mean, z, normal_p(z), se=se)


def _mean_over_spread(values: np.ndarray) -> Outcome:
    n, mean = len(values), float(values.mean())
    if n < 2:
        return silent(TOO_FEW, mean)
    se = float(values.std(ddof=1) / np.sqrt(n))
    if se == 0:
        return silent("every event has the same value, so there is no spread to compare with", mean)
    t = mean / se
    return Outcome(mean, t, student_p(t, n - 1), df=n - 1, se=se)


CROSS_SECTIONAL_T = SignificanceTest(
    "cross_sectional_t", "mean CAR = 0", "CAAR", "t(N-1)",
    "Charest (1978); Penman (1982)", Holds("yes", "yes", "no", "no"), cross_sectional_t,
)  # fmt: skip
PATELL_SCAR = SignificanceTest(
    "patell_scar", "mean SCAR = 0", "mean SCAR", "N(0,1)",
    "Patell (1976), with the exact variance of the CAR", Holds("yes", "no", "no", "no"), patell_scar,
)  # fmt: skip
BMP = SignificanceTest(
    "bmp", "mean SCAR = 0", "mean SCAR", "t(N-1)",
    "Boehmer, Musumeci and Poulsen (1991)", Holds("yes", "yes", "no", "no"), bmp,
)  # fmt: skip
