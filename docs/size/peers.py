"""Simulate how often 95% intervals of models with donors cover the return without an effect; prints a table.

Run from the repository: ``python -m docs.size.peers [SAMPLES]``. Every sample is one security and 20 donors over 240
estimation days and day 0, which share the market and one unnamed factor.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import scipy

import marketimpact as mi
from docs.findings.cells import table
from marketimpact.core.arrays import Floats
from marketimpact.models import forecast

DAYS, DONORS, SEED = 240, 20, 29
NAMES = tuple(f"D{number}" for number in range(DONORS))
MODELS = (mi.MarketModel(), mi.PeerMean(NAMES), mi.StatisticalFactors(NAMES), mi.RidgePeers(NAMES))
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]
#: Process -> shocks with variance one, the factor's share of own risk, and how far out the factor is on day 0.
PROCESSES: dict[str, tuple[Draw, float, float | None]] = {
    "normal shocks": (lambda rng, size: rng.standard_normal(size), 0.7, None),
    "Student t(5) shocks": (lambda rng, size: rng.standard_t(5, size) / np.sqrt(5 / 3), 0.7, None),
    "weak factor": (lambda rng, size: rng.standard_normal(size), 0.15, None),
    "factor 4 standard deviations out on day 0": (lambda rng, size: rng.standard_normal(size), 0.7, 4.0),
}


def draw(rng: np.random.Generator, samples: int, process: str) -> tuple[Floats, Floats]:
    """Draw returns of securities (N, T) and their benchmark and donors (N, T, 1 + J), day 0 last."""
    shocks, share, out = PROCESSES[process]
    market, factor = rng.normal(0, 0.01, (samples, DAYS + 1)), rng.standard_normal((samples, DAYS + 1))
    if out is not None:
        factor[:, -1] = out
    loads = rng.uniform(0.5, 1.5, (samples, 1 + DONORS)) * np.sqrt(share) * 0.015
    own = shocks(rng, (samples, DAYS + 1, 1 + DONORS)) * 0.015
    betas = rng.uniform(0.6, 1.6, (samples, 1 + DONORS))
    ret = market[:, :, None] * betas[:, None, :] + factor[:, :, None] * loads[:, None, :] + own
    return ret[:, :, 0], np.concatenate([market[:, :, None], ret[:, :, 1:]], axis=2)


def coverage(model: mi.models.Model, y: Floats, x: Floats) -> tuple[float, float]:
    """Return the share of 95% forecast intervals that cover day 0, and their median half width."""
    regressors = x if model.design.donors else x[:, :, :1]
    fit = model.design.estimator(y[:, :-1], regressors[:, :-1], model.design)
    expected, loading = forecast(fit, regressors[:, -1:])
    se = fit.sigma * np.sqrt(1.0 + (loading[:, 0] ** 2).sum(axis=1))
    half = scipy.stats.t.ppf(0.975, fit.df) * se
    return float((np.abs(y[:, -1] - expected[:, 0]) <= half).mean()), float(np.median(half))


def coverage_table(samples: int) -> str:
    """Tabulate coverage and median half width by process and model."""
    rows = []
    for process in PROCESSES:
        y, x = draw(np.random.default_rng(SEED), samples, process)
        found = [coverage(model, y, x) for model in MODELS]
        rows.append([process, *(f"{share:.3f} ({half:.2%})" for share, half in found)])
    return table(["process", "market model", "peer mean", "statistical factors", "ridge"], rows)


if __name__ == "__main__":
    print(coverage_table(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000))
