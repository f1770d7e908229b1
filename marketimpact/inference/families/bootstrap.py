"""Residual bootstrap that resamples whole days, and so keeps the correlation between events."""

from __future__ import annotations

from functools import partial

import numpy as np

from marketimpact.core.lazy_matrix import RowIndex, sum_by_day
from marketimpact.inference.protocol import ESTIMATION_VARIANCE, Holds, Outcome, SignificanceTest, no_result
from marketimpact.inference.sample import Floats, Sample
from marketimpact.inference.seed import SEED

__all__ = ["RESIDUAL_BOOTSTRAP", "residual_bootstrap"]

DRAWS = 99_999
#: Fewest days to draw from; with fewer the distribution has too few values.
MIN_DAYS = 30


def residual_bootstrap(sample: Sample) -> Outcome:
    """Compare the CAAR with sums of L resampled estimation days, the same days for all events.

    Residuals are matched in event time and rescaled by ``sqrt(M / nu)``; only days on which every
    event has a residual are drawn, and an event that misses a day of the window misses it in every draw.
    """
    observed = float(sample.car.mean())
    daily = _contributions(sample)
    if len(daily) < MIN_DAYS:
        return no_result(f"needs {MIN_DAYS} days on which every event has a residual, here are {len(daily)}", observed)
    rng = np.random.default_rng(SEED)
    days = rng.integers(0, len(daily), (DRAWS, sample.length))
    drawn = np.ascontiguousarray(daily[days, np.arange(sample.length)]).sum(axis=1)
    p = float((1 + (np.abs(drawn) >= abs(observed)).sum()) / (1 + DRAWS))
    error = float(np.sqrt(p * (1.0 - p) / DRAWS))
    note = f"{DRAWS} draws, seed {SEED}; Monte Carlo standard error of p {error:.4f}"
    p_greater, p_less = (float((1 + extreme.sum()) / (1 + DRAWS)) for extreme in (drawn >= observed, drawn <= observed))
    return Outcome(observed, observed, p, note=note, p_greater=p_greater, p_less=p_less)


def _weighted(weight: Floats, rows: RowIndex, values: Floats) -> Floats:
    return values * weight[rows, None]


def _contributions(sample: Sample) -> Floats:
    """Compute what estimation days on which all events have residuals add to the CAAR of each window day, (D, L)."""
    scale = np.sqrt(sample.n_obs / sample.df)
    has_return = ~np.isnan(sample.ar)
    columns = []
    for day in range(sample.length):
        own = np.where(has_return[:, day], scale, 0.0)
        total, count = sum_by_day(sample.placebo, partial(_weighted, own))
        columns.append(total[count == sample.n] / sample.n)
    return np.column_stack(columns)


RESIDUAL_BOOTSTRAP = SignificanceTest(
    "residual_bootstrap", "mean CAR = 0", "CAAR", "resampled days of the estimation window",
    "Hein and Westfall (2004); Chou (2004)",
    Holds("yes", "no", "yes", "no", exchanges_apart="one session", assumes=ESTIMATION_VARIANCE | {"windows apart"}),
    residual_bootstrap,
    sides="own",
)  # fmt: skip
