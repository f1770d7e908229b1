"""Measure how donors themselves moved on day 0: a donor with news of its own moves every effect measured against it."""

from __future__ import annotations

import numpy as np

from marketimpact.core.arrays import Floats
from marketimpact.estimation.problem import EstimationProblem

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
    span, n_own = problem.settings.estimation, len(problem.model.design.regressors)
    before, day0 = problem.design(span).x, problem.design((0, 0)).x[:, 0]
    ar = np.full((len(problem), len(donors.symbols)), np.nan)
    sar = ar.copy()
    for row, used in enumerate(donors.used):
        complete = ~np.isnan(before[row]).any(axis=1)
        market, returns = before[row, complete, 0], before[row][complete][:, n_own:][:, used]
        if len(market) > 2 and used.any():
            forecast, se = _forecasts(market, returns, float(day0[row, 0]))
            ar[row, used] = day0[row, n_own:][used] - forecast
            sar[row, used] = ar[row, used] / se
    return ar, sar


def _forecasts(market: Floats, returns: Floats, market_day0: float) -> tuple[Floats, Floats]:
    """Regress returns (M, K) on the market (M,): forecasts of a further day and their standard errors, (K,)."""
    centred, means = market - market.mean(), returns.mean(axis=0)
    squares, ahead = centred @ centred, market_day0 - market.mean()
    slopes = centred @ (returns - means) / squares
    residuals = returns - means - centred[:, None] * slopes
    variance = (residuals**2).sum(axis=0) / (len(market) - 2)
    return means + slopes * ahead, np.sqrt(variance * (1.0 + 1.0 / len(market) + ahead**2 / squares))
