"""Tests corrected for the average cross-correlation of events (Kolari and Pynnönen 2010)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from marketimpact.core import limits
from marketimpact.inference.correlation.by_pairs import MIN_COMMON_DAYS, MeanCorrelation
from marketimpact.inference.correlation.overlap import BY_DATE
from marketimpact.inference.correlation.pairs import PatternPair
from marketimpact.inference.families.parametric import TOO_FEW, bmp, normal_p, patell_scar, student_p
from marketimpact.inference.protocol import (
    ESTIMATION_VARIANCE,
    SPREAD_OF_EVENTS,
    Holds,
    Outcome,
    SignificanceTest,
    no_result,
)
from marketimpact.inference.sample import Sample

__all__ = [
    "BMP_KP",
    "BMP_KP_ALLPAIRS",
    "PATELL_KP",
    "PATELL_KP_ALLPAIRS",
    "all_pairs_correlation",
    "mean_correlation",
]

#: ``1 + (N-1) r`` up to this counts as zero: it is rounding noise.
MIN_INFLATION = 1e-8


def all_pairs_correlation(sample: Sample) -> MeanCorrelation:
    """Average the correlation of estimation-window residuals over all pairs, matched on the date.

    For events on separate dates it counts correlation that cannot occur; `mean_correlation` does not.
    """
    total, n_used = 0.0, 0
    for pairs in _in_blocks(sample.day_patterns.values.tolist()):
        for value, used in sample.pairs.compute(pairs):
            total, n_used = total + value, n_used + used
    return MeanCorrelation(total / n_used if n_used else np.nan, sample.n * (sample.n - 1) // 2, n_used)


def _in_blocks(patterns: Sequence[int]) -> Iterator[list[PatternPair]]:
    """Pair every two day patterns, in lists of pairs of few day patterns."""
    size = limits.ALL_PAIRS_BLOCK_PATTERNS
    starts = range(0, len(patterns), size)
    for start in starts:
        for begin in starts[start // size :]:
            both = product(patterns[start : start + size], patterns[begin : begin + size])
            yield [(one, other, BY_DATE) for one, other in both if one <= other]


def mean_correlation(sample: Sample) -> MeanCorrelation:
    """Average the correlation of estimation-window residuals over all pairs, weighted by the overlap of windows.

    Residuals are matched on the calendar date; each pair is weighted by the share of the window the
    two events have in common, so that events far apart in time count with zero. Kolari and Pynnönen
    (2010); for partial overlap the weights are the exact covariance of SCARs under serial
    independence. Between exchanges that are hardly open together sessions that price the same news are
    matched instead: see `marketimpact.inference.correlation.pairs.window_correlation`.
    """
    return sample.mean_correlation


def patell_kp(sample: Sample) -> Outcome:
    """Divide Patell's z by the root of ``1 + (N-1) r``, r weighted by overlap."""
    return _patell_adjusted(sample, mean_correlation(sample))


def patell_kp_allpairs(sample: Sample) -> Outcome:
    """Divide Patell's z by the root of ``1 + (N-1) r``, r over all pairs."""
    return _patell_adjusted(sample, all_pairs_correlation(sample))


def _patell_adjusted(sample: Sample, average: MeanCorrelation) -> Outcome:
    plain = patell_scar(sample)
    factor = _inflation(sample, average)
    if isinstance(factor, Outcome):
        return factor
    inflation, _, note = factor
    z = plain.statistic / np.sqrt(inflation)
    return Outcome(plain.estimate, float(z), normal_p(z), se=plain.se * float(np.sqrt(inflation)), note=note)


def bmp_kp(sample: Sample) -> Outcome:
    """Multiply the BMP t by the root of ``(1-r) / (1 + (N-1) r)``, r weighted by overlap."""
    return _bmp_adjusted(sample, mean_correlation(sample))


def bmp_kp_allpairs(sample: Sample) -> Outcome:
    """Multiply the BMP t by the root of ``(1-r) / (1 + (N-1) r)``, r over all pairs."""
    return _bmp_adjusted(sample, all_pairs_correlation(sample))


def _bmp_adjusted(sample: Sample, average: MeanCorrelation) -> Outcome:
    plain = bmp(sample)
    if np.isnan(plain.statistic):
        return plain
    factor = _inflation(sample, average)
    if isinstance(factor, Outcome):
        return factor
    inflation, r, note = factor
    if r >= 1.0:
        return no_result("the events' returns are the same, so their spread is no error", plain.estimate)
    scale = float(np.sqrt(inflation / (1.0 - r)))
    t = plain.statistic / scale
    return Outcome(plain.estimate, t, student_p(t, plain.df), df=plain.df, se=plain.se * scale, note=note)


def _inflation(sample: Sample, average: MeanCorrelation) -> tuple[float, float, str] | Outcome:
    """Compute ``1 + (N-1) r``, and return it with r and a note; or the reason why it is undefined.

    With weights N is the effective number of events, and r counts every pair by the product of its weights.
    """
    mean = sample.mean(sample.scar)
    if sample.n < 2 and np.isnan(average.value):
        return no_result(TOO_FEW, mean)
    if np.isnan(average.value):
        return no_result(
            f"none of the {average.n_pairs} pairs of events that share days has {MIN_COMMON_DAYS} "
            "common estimation days, so their correlation is unknown", mean,
        )  # fmt: skip
    of_mean = average.value if sample.weights is None else sample.weighted_correlation.value
    inflation = 1.0 + (sample.n_effective - 1) * of_mean
    if not inflation > MIN_INFLATION:
        return no_result(f"average correlation {of_mean:.3f} gives 1+(N-1)r <= 0", mean)
    note = f"average correlation {average.value:.3f}"
    if sample.weights is not None:
        note += f", {of_mean:.3f} with the weights"
    if average.n_used < average.n_pairs:
        note += f" from {average.n_used} of {average.n_pairs} pairs (others have too few common days)"
    return inflation, average.value, note


PATELL_KP = SignificanceTest(
    "patell_kp", "mean SCAR = 0", "mean SCAR", "N(0,1)",
    "Kolari and Pynnönen (2010), adjusted Patell",
    Holds("yes", "no", "yes", "no", assumes=ESTIMATION_VARIANCE),
    patell_kp, unit="scar", weighted=True,
)  # fmt: skip
BMP_KP = SignificanceTest(
    "bmp_kp", "mean SCAR = 0", "mean SCAR", "t(N-1)",
    "Kolari and Pynnönen (2010), adjusted BMP",
    Holds("yes", "yes", "yes", "yes", min_events=5, assumes=SPREAD_OF_EVENTS),
    bmp_kp, unit="scar", weighted=True,
)  # fmt: skip
PATELL_KP_ALLPAIRS = SignificanceTest(
    "patell_kp_allpairs", "mean SCAR = 0", "mean SCAR", "N(0,1)",
    "Kolari and Pynnönen (2010), every pair counted in full",
    Holds("no", "no", "yes", "no", because="counts correlation that cannot occur between dates apart"),
    patell_kp_allpairs, unit="scar",
)  # fmt: skip
BMP_KP_ALLPAIRS = SignificanceTest(
    "bmp_kp_allpairs", "mean SCAR = 0", "mean SCAR", "t(N-1)",
    "Kolari and Pynnönen (2010), every pair counted in full",
    Holds("no", "no", "yes", "yes", because="counts correlation that cannot occur between dates apart"),
    bmp_kp_allpairs, unit="scar",
)  # fmt: skip
