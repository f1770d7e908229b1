"""Skewness-adjusted t tests of the mean CAR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marketimpact.core import limits
from marketimpact.inference.families.parametric import TOO_FEW, normal_p
from marketimpact.inference.protocol import SEED, Holds, Outcome, SignificanceTest, no_result
from marketimpact.inference.sample import Floats, Sample

__all__ = ["SKEW_HALL", "SKEW_HALL_BOOTSTRAP", "SKEW_JOHNSON", "SKEW_JOHNSON_BOOTSTRAP"]

Transform = Callable[[Floats, Floats], Floats]
DRAWS = 9999
#: From this many events on resamples have a quarter of them, as Lyon, Barber and Tsai do; below, all.
QUARTER = 100


def skew_johnson(sample: Sample) -> Outcome:
    """Apply Johnson's transformation to the cross-sectional t."""
    return _adjusted(sample, _johnson)


def skew_hall(sample: Sample) -> Outcome:
    """Apply Hall's monotone transformation to the cross-sectional t."""
    return _adjusted(sample, _hall)


def _johnson(values: Floats, spread: Floats) -> Floats:
    s, g, n = _parts(values, spread)
    return np.asarray(np.sqrt(n) * (s + g * s**2 / 3.0 + g / (6.0 * n)))


def _hall(values: Floats, spread: Floats) -> Floats:
    s, g, n = _parts(values, spread)
    return np.asarray(np.sqrt(n) * (s + g * s**2 / 3.0 + g**2 * s**3 / 27.0 + g / (6.0 * n)))


def _parts(values: Floats, spread: Floats) -> tuple[Floats, Floats, int]:
    """Compute mean over sd, skewness with divisor N s^3, and N, along the last axis."""
    mean = values.mean(axis=-1, keepdims=True)
    g = ((values - mean) ** 3).mean(axis=-1) / spread[..., 0] ** 3
    return mean[..., 0] / spread[..., 0], g, values.shape[-1]


def _bootstrapped(sample: Sample, transform: Transform) -> Outcome:
    """Compare the transformed t with its distribution over resamples of the events, centred on their mean."""
    plain = _adjusted(sample, transform)
    if np.isnan(plain.statistic):
        return plain
    n, size = sample.n, sample.n if sample.n < QUARTER else sample.n // 4
    rng = np.random.default_rng(SEED)
    centred = sample.car - sample.car.mean()
    below = above = drawn = 0
    while drawn < DRAWS:
        batch = min(DRAWS - drawn, max(1, limits.SKEWNESS_VALUES_AT_ONCE // size))
        values = centred[rng.integers(0, n, (batch, size))]
        spread = values.std(axis=1, ddof=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = transform(values, spread)
        # a resample of one event repeated has no spread: it counts on both sides
        below += int((~(z > plain.statistic)).sum())
        above += int((~(z < plain.statistic)).sum())
        drawn += batch
    p = min(1.0, 2.0 * (1 + min(below, above)) / (1 + DRAWS))
    note = f"{plain.note}; {DRAWS} resamples of {size} events, seed {SEED}"
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
    values, scale = sample.car[None, :], np.array([[spread]])
    _, g, _ = _parts(values, scale)
    z = float(transform(values, scale)[0])
    return Outcome(mean, z, normal_p(z), note=f"skewness {g[0]:.3f}")


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
