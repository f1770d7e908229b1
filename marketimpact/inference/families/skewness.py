"""Skewness-adjusted t tests of the mean CAR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marketimpact.inference.families.parametric import TOO_FEW, normal_p
from marketimpact.inference.protocol import Holds, Outcome, SignificanceTest, no_result
from marketimpact.inference.resampled_moments import DRAWS
from marketimpact.inference.sample import Floats, Sample
from marketimpact.inference.seed import SEED

__all__ = ["SKEW_HALL", "SKEW_HALL_BOOTSTRAP", "SKEW_JOHNSON", "SKEW_JOHNSON_BOOTSTRAP"]

#: From mean over standard deviation, skewness and number of values to the transformed t.
Transform = Callable[[Floats, Floats, int], Floats]


def skew_johnson(sample: Sample) -> Outcome:
    """Apply Johnson's transformation to the cross-sectional t."""
    return _adjusted(sample, _johnson)


def skew_hall(sample: Sample) -> Outcome:
    """Apply Hall's monotone transformation to the cross-sectional t."""
    return _adjusted(sample, _hall)


def _johnson(s: Floats, g: Floats, n: int) -> Floats:
    return np.asarray(np.sqrt(n) * (s + g * s**2 / 3.0 + g / (6.0 * n)))


def _hall(s: Floats, g: Floats, n: int) -> Floats:
    return np.asarray(np.sqrt(n) * (s + g * s**2 / 3.0 + g**2 * s**3 / 27.0 + g / (6.0 * n)))


def _bootstrapped(sample: Sample, transform: Transform) -> Outcome:
    """Compare the transformed t with its distribution over resamples of the events, centred on their mean."""
    plain = _adjusted(sample, transform)
    if np.isnan(plain.statistic):
        return plain
    with np.errstate(invalid="ignore"):
        z = transform(*sample.resampled_moments)
    # a resample of one event repeated has no spread: it counts on both sides
    below, above = int((~(z > plain.statistic)).sum()), int((~(z < plain.statistic)).sum())
    p = min(1.0, 2.0 * (1 + min(below, above)) / (1 + DRAWS))
    note = f"{plain.note}; {DRAWS} resamples of {sample.resampled_moments.size} events, seed {SEED}"
    p_greater, p_less = (1 + above) / (1 + DRAWS), (1 + below) / (1 + DRAWS)
    return Outcome(plain.estimate, plain.statistic, p, note=note, p_greater=p_greater, p_less=p_less)


def skew_johnson_bootstrap(sample: Sample) -> Outcome:
    """Take the p-value of Johnson's statistic from resampled events."""
    return _bootstrapped(sample, _johnson)


def skew_hall_bootstrap(sample: Sample) -> Outcome:
    """Take the p-value of Hall's statistic from resampled events."""
    return _bootstrapped(sample, _hall)


def _adjusted(sample: Sample, transform: Transform) -> Outcome:
    """Compute the transformed t with its normal p-value."""
    mean = float(sample.car.mean())
    if sample.n < 3:
        return no_result(TOO_FEW.replace("2", "3"), mean)
    spread = sample.car.std(ddof=1)
    if spread == 0:
        return no_result("every event has the same CAR, so there is no spread to compare with", mean)
    g = ((sample.car - mean) ** 3).mean() / spread**3
    z = float(transform(mean / spread, g, sample.n))
    return Outcome(mean, z, normal_p(z), note=f"skewness {g:.3f}")


SKEW_JOHNSON = SignificanceTest(
    "skew_johnson", "mean CAR = 0", "CAAR", "N(0,1)",
    "Johnson (1978); Lyon, Barber and Tsai (1999)", Holds("yes", "yes", "no", "no", min_events=50), skew_johnson,
)  # fmt: skip
SKEW_HALL = SignificanceTest(
    "skew_hall", "mean CAR = 0", "CAAR", "N(0,1)",
    "Hall (1992)", Holds("yes", "yes", "no", "no", min_events=50), skew_hall,
)  # fmt: skip
SKEW_JOHNSON_BOOTSTRAP = SignificanceTest(
    "skew_johnson_bootstrap", "mean CAR = 0", "CAAR", "resampled events",
    "Johnson (1978); Lyon, Barber and Tsai (1999)", Holds("yes", "yes", "no", "no", min_events=20),
    skew_johnson_bootstrap, sides="own",
)  # fmt: skip
SKEW_HALL_BOOTSTRAP = SignificanceTest(
    "skew_hall_bootstrap", "mean CAR = 0", "CAAR", "resampled events",
    "Hall (1992); Lyon, Barber and Tsai (1999)", Holds("yes", "yes", "no", "no", min_events=20), skew_hall_bootstrap,
    sides="own",
)  # fmt: skip
