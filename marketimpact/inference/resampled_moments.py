"""Moments of resamples of the events, drawn once for all tests that compare a statistic with its resamples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.threads import map_in_threads
from marketimpact.inference.compiled import kernels
from marketimpact.inference.seed import SEED

__all__ = ["DRAWS", "ResampledMoments", "resampled_moments"]

DRAWS = 9999
#: From this many events on resamples have a quarter of them, as Lyon, Barber and Tsai do; below, all.
QUARTER = 100


class ResampledMoments(NamedTuple):
    """Moments of resamples of `size` values, centred on the mean of all values.

    Attributes
    ----------
    standardised : (B,) array
        Mean over standard deviation.
    skewness : (B,) array
        With divisor ``n s^3``.
    size : int
    """

    standardised: Floats
    skewness: Floats
    size: int


def resampled_moments(values: Floats) -> ResampledMoments:
    """Draw resamples of N values, (N,), with a seed, some at a time, and compute their moments.

    A resample of one value repeated has no spread; its moments are NaN.
    """
    n, size = len(values), len(values) if len(values) < QUARTER else len(values) // 4
    centred = values - values.mean()
    moments = kernels().moments_of_rows if n >= limits.COMPILED_FROM_ROWS else _moments_of_rows
    parts = map_in_threads(lambda drawn: moments(centred, drawn), _drawn(n, size))
    standardised, skewness = np.concatenate(list(parts), axis=1)
    return ResampledMoments(standardised, skewness, size)


def _moments_of_rows(values: Floats, drawn: Ints) -> Floats:
    """Compute mean over standard deviation and skewness of the values at the positions in each row, (b, n), (2, b)."""
    resampled = values[drawn]
    mean = resampled.mean(axis=1)
    deviation = resampled - mean[:, None]
    square = deviation * deviation
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(square.sum(axis=1) / (drawn.shape[1] - 1.0))
        return np.stack([mean / spread, (square * deviation).mean(axis=1) / spread**3])


def _drawn(n: int, size: int) -> Iterator[Ints]:
    """Draw the positions of resamples, some at a time, (b, size)."""
    rng = np.random.default_rng(SEED)
    step = max(1, limits.SKEWNESS_VALUES_AT_ONCE // size)
    return (rng.integers(0, n, (min(step, DRAWS - start), size)) for start in range(0, DRAWS, step))
