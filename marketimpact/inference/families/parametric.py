"""Parametric tests: means and variances of (standardised) cumulative abnormal returns."""

from __future__ import annotations

import numpy as np
import scipy

from marketimpact.inference.protocol import (
    ESTIMATION_VARIANCE,
    SPREAD_OF_DATES,
    SPREAD_OF_EVENTS,
    Holds,
    Outcome,
    SignificanceTest,
    no_result,
)
from marketimpact.inference.sample import Floats, Sample
from marketimpact.inference.weighted_mean import weighted_spread

__all__ = [
    "BMP",
    "CROSS_SECTIONAL_T",
    "EVENT_VARIANCE_RATIO",
    "JACKKNIFE_WEIGHTED",
    "PATELL",
    "PATELL_PERFIRM",
    "PATELL_SCAR",
    "PORTFOLIO_INDEPENDENT",
    "mean_over_spread",
    "normal_p",
    "student_p",
]

TOO_FEW = "needs at least 2 events"


def normal_p(z: float) -> float:
    """Compute the two-sided p-value of a standard normal statistic."""
    return float(2.0 * scipy.special.ndtr(-abs(z)))


def student_p(t: float, df: float) -> float:
    """Compute the two-sided p-value of Student's t."""
    return float(2.0 * scipy.special.stdtr(df, -abs(t)))


def cross_sectional_t(sample: Sample) -> Outcome:
    """Divide the mean CAR by its cross-sectional standard error."""
    return mean_over_spread(sample.car, sample.weights)


def bmp(sample: Sample) -> Outcome:
    """Divide the mean SCAR by its cross-sectional standard error.

    With weights the spread of SCARs, which have one variance, is that of all events alike.
    """
    plain = mean_over_spread(sample.scar)
    if sample.weights is None or np.isnan(plain.statistic):
        return plain
    mean, se = sample.mean(sample.scar), plain.se * float(np.sqrt(sample.n / sample.n_effective))
    return Outcome(mean, mean / se, student_p(mean / se, plain.df), df=plain.df, se=se)


def patell_scar(sample: Sample) -> Outcome:
    """Divide the sum of SCARs by the root of the sum of their variances."""
    mean = sample.mean(sample.scar)
    variances = sample.q if sample.shares is None else sample.q * (sample.shares * sample.n) ** 2
    se = float(np.sqrt(variances.sum()) / sample.n)
    z = mean / se
    return Outcome(mean, z, normal_p(z), se=se)


def portfolio_independent(sample: Sample) -> Outcome:
    """Divide the sum of CARs by the root of the sum of their forecast variances."""
    mean = sample.mean(sample.car)
    own = sample.se if sample.shares is None else sample.se * (sample.shares * sample.n)
    se = float(np.sqrt((own**2).sum()) / sample.n)
    return Outcome(mean, mean / se, normal_p(mean / se), se=se)


def patell(sample: Sample) -> Outcome:
    """Divide the sum of cumulated SARs by the root of the sum of ``L_i Q_i``: Patell's own form."""
    csar = np.nansum(sample.sar, axis=1)
    se = float(np.sqrt((sample.n_days * sample.q).sum()) / sample.n)
    mean = float(csar.mean())
    return Outcome(mean, mean / se, normal_p(mean / se), se=se)


def patell_perfirm(sample: Sample) -> Outcome:
    """Average each event's cumulated SAR over its own ``sqrt(L_i Q_i)``, times root N."""
    z = float((np.nansum(sample.sar, axis=1) / np.sqrt(sample.n_days * sample.q)).sum() / np.sqrt(sample.n))
    return Outcome(np.nan, z, normal_p(z))


def jackknife_weighted(sample: Sample) -> Outcome:
    """Jackknife the precision-weighted mean CAR."""
    n = sample.n
    if n < 2:
        return no_result(TOO_FEW)
    weight = 1.0 / sample.se**2
    total, mass = float((weight * sample.car).sum()), float(weight.sum())
    without = (total - weight * sample.car) / (mass - weight)
    return mean_over_spread(n * total / mass - (n - 1) * without)


def event_variance_ratio(sample: Sample) -> Outcome:
    """Divide the cross-sectional variance of SCARs by the one expected without a change; one-sided."""
    if sample.n < 2:
        return no_result(TOO_FEW)
    ratio = float(sample.scar.var(ddof=1) / sample.q.mean())
    df = sample.n - 1
    return Outcome(ratio, df * ratio, float(scipy.special.chdtrc(df, df * ratio)), df=df)


def mean_over_spread(values: Floats, weights: Floats | None = None) -> Outcome:
    """Divide the mean of N values by its cross-sectional standard error, t(N-1); weighted as `weighted_spread` does."""
    n, mean, df = len(values), float(values.mean()), len(values) - 1.0
    if n < 2:
        return no_result(TOO_FEW, mean)
    se = float(values.std(ddof=1) / np.sqrt(n))
    if weights is not None:
        mean, se, df = weighted_spread(values, weights)
    if se == 0:
        return no_result("every event has the same value, so there is no spread to compare with", mean)
    t = mean / se
    return Outcome(mean, t, student_p(t, df), df=df, se=se)


CROSS_SECTIONAL_T = SignificanceTest(
    "cross_sectional_t", "mean CAR = 0", "CAAR", "t(N-1)",
    "Charest (1978); Penman (1982)",
    Holds("yes", "yes", "no", "no", assumes=SPREAD_OF_DATES),
    cross_sectional_t, unit="return", weighted=True,
)  # fmt: skip
PATELL_SCAR = SignificanceTest(
    "patell_scar", "mean SCAR = 0", "mean SCAR", "N(0,1)",
    "Patell (1976), with the exact variance of the CAR",
    Holds("yes", "no", "no", "no", assumes=ESTIMATION_VARIANCE),
    patell_scar, unit="scar", weighted=True,
)  # fmt: skip
BMP = SignificanceTest(
    "bmp", "mean SCAR = 0", "mean SCAR", "t(N-1)",
    "Boehmer, Musumeci and Poulsen (1991)",
    Holds("yes", "yes", "no", "no", min_events=5, assumes=SPREAD_OF_EVENTS), bmp, unit="scar", weighted=True,
)  # fmt: skip
PORTFOLIO_INDEPENDENT = SignificanceTest(
    "portfolio_independent", "mean CAR = 0", "CAAR", "N(0,1)",
    "MacKinlay (1997); Campbell, Lo and MacKinlay (1997), J1",
    Holds("yes", "no", "no", "no", assumes=ESTIMATION_VARIANCE),
    portfolio_independent,
    unit="return", weighted=True,
)  # fmt: skip
PATELL = SignificanceTest(
    "patell", "mean cumulated SAR = 0", "mean cumulated SAR", "N(0,1)",
    "Patell (1976)", Holds("yes", "no", "no", "no", assumes=ESTIMATION_VARIANCE), patell,
)  # fmt: skip
PATELL_PERFIRM = SignificanceTest(
    "patell_perfirm", "mean cumulated SAR = 0", "none", "N(0,1)",
    "Patell (1976), each event scaled by its own window",
    Holds("yes", "no", "no", "no", assumes=ESTIMATION_VARIANCE),
    patell_perfirm,
)  # fmt: skip
JACKKNIFE_WEIGHTED = SignificanceTest(
    "jackknife_weighted", "precision-weighted mean CAR = 0", "mean pseudo-value", "t(N-1)",
    "After Giaccotto and Sfiridis (1996); specified here",
    Holds("yes", "yes", "no", "no", assumes=SPREAD_OF_DATES),
    jackknife_weighted,
    unit="return",
)  # fmt: skip
EVENT_VARIANCE_RATIO = SignificanceTest(
    "event_variance_ratio", "the event left the variance of SCARs unchanged", "variance ratio", "chi2(N-1), one-sided",
    "Boehmer, Musumeci and Poulsen (1991), as a test",
    Holds("no", "no", "no", "no", because="rejects a true null in 13 of 100 samples with fat tails"),
    event_variance_ratio, sides="none",
)  # fmt: skip
