"""Measure how donors themselves moved on day 0: a donor with news of its own moves every effect measured against it."""

from __future__ import annotations

import numpy as np

from marketimpact.core.arrays import Floats
from marketimpact.estimation.problem import EstimationProblem
from marketimpact.models import MarketModel
from marketimpact.models.linear import fit, forecast

__all__ = ["donor_moves"]


def donor_moves(problem: EstimationProblem) -> tuple[Floats, Floats]:
    """Estimate the abnormal return of every donor on day 0 by the market model of the event's own estimation window.

    Parameters
    ----------
    problem : EstimationProblem
        N events of a model with J donors.

    Returns
    -------
    ar, sar : (N, J) arrays
        Fractions, and the same over the standard error of the forecast. NaN for donors that an event does not use, and
        where the benchmark has no return on day 0.
    """
    donors = problem.donors
    assert donors is not None
    design, n_own = MarketModel().design, len(problem.model.design.regressors)
    before, day0 = problem.design(problem.settings.estimation).x, problem.design((0, 0)).x
    ar = np.full((len(problem), len(donors.symbols)), np.nan)
    sar = ar.copy()
    for row, used in enumerate(donors.used):
        returns, n = before[row, :, n_own:][:, used].T, int(used.sum())
        fitted = fit(returns, np.repeat(before[row : row + 1, :, :1], n, axis=0), design)
        expected, loading = forecast(fitted, np.repeat(day0[row : row + 1, :, :1], n, axis=0))
        ar[row, used] = day0[row, 0, n_own:][used] - expected[:, 0]
        sar[row, used] = ar[row, used] / (fitted.sigma * np.sqrt(1.0 + (loading[:, 0] ** 2).sum(axis=1)))
    return ar, sar
