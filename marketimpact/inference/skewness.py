"""Skewness-adjusted t tests of the mean CAR."""

from __future__ import annotations

import numpy as np

from marketimpact.inference.moments import TOO_FEW, normal_p
from marketimpact.inference.protocol import Holds, Outcome, SignificanceTest, silent
from marketimpact.inference.sample import Floats, Sample

__all__ = ["SKEW_HALL", "SKEW_JOHNSON"]


def skew_johnson(sample: Sample) -> Outcome:
    """Johnson's transformation of the cross-sectional t."""
    return _adjusted(sample, _johnson)


def skew_hall(sample: Sample) -> Outcome:
    """Hall's monotone transformation of the cross-sectional t."""
    return _adjusted(sample, _hall)


def _johnson(values: Floats, spread: Floats) -> Floats:
    s, g, n = _parts(values, spread)
    return np.asarray(np.sqrt(n) * (s + g * s**2 / 3.0 + g / (6.0 * n)))


def _hall(values: Floats, spread: Floats) -> Floats:
    s, g, n = _parts(values, spread)
    return np.asarray(np.sqrt(n) * (s + g * s**2 / 3.0 + g**2 * s**3 / 27.0 + g / (6.0 * n)))


def _parts(values: Floats, spread: Floats) -> tuple[Floats, Floats, int]:
    """Mean over sd, skewness with divisor N s^3, and N, along the last axis."""
    mean = values.mean(axis=-1, keepdims=True)
    g = ((values - mean) ** 3).mean(axis=-1) / spread[..., 0] ** 3
    return mean[..., 0] / spread[..., 0], g, values.shape[-1]


def _adjusted(sample: Sample, transform: object) -> Outcome:
    mean = float(sample.car.mean())
    if sample.n < 3:
        return silent(TOO_FEW.replace("2", "3"), mean)
    spread = sample.car.std(ddof=1)
    if spread == 0:
        return silent("every event has the same CAR, so there is no spread to compare with", mean)
    values, scale = sample.car[None, :], np.array([[spread]])
    _, g, _ = _parts(values, scale)
    z = float(transform(values, scale)[0])  # type: ignore[operator]
    return Outcome(mean, z, normal_p(z), note=f"skewness {g[0]:.3f}")


SKEW_JOHNSON = SignificanceTest(
    "skew_johnson", "mean CAR = 0", "CAAR", "N(0,1)",
    "Johnson (1978); Lyon, Barber and Tsai (1999)", Holds("yes", "yes", "no", "no", min_events=50), skew_johnson,
)  # fmt: skip
SKEW_HALL = SignificanceTest(
    "skew_hall", "mean CAR = 0", "CAAR", "N(0,1)",
    "Hall (1992)", Holds("yes", "yes", "no", "no", min_events=50), skew_hall,
)  # fmt: skip
