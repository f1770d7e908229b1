"""The events of one date as one portfolio: the common shock is inside its own variance."""

from __future__ import annotations

import numpy as np

from marketimpact.inference.correlation import MIN_COMMON_DAYS, pairwise
from marketimpact.inference.moments import normal_p, student_p
from marketimpact.inference.protocol import Holds, Outcome, SignificanceTest, silent
from marketimpact.inference.sample import Portfolios, Sample, common_days

__all__ = ["PORTFOLIO_REGRESSION", "portfolio_regression"]


def portfolio_regression(sample: Sample) -> Outcome:
    """CAR of the equal-weighted portfolio of each date over its forecast standard error.

    With several dates the portfolios are weighted by their number of events; the covariance of
    portfolios whose windows overlap comes from the correlation of their residuals.
    """
    portfolios = sample.portfolios()
    n_events = int(portfolios.n_events.sum())
    weight = portfolios.n_events / n_events
    estimate = float((weight * portfolios.car).sum())
    if not np.all(portfolios.se > 0):
        return silent("a date's portfolio has too few estimation days for a regression of its own", estimate)
    if len(weight) == 1:
        df = int(portfolios.df[0])
        se = float(portfolios.se[0])
        return Outcome(estimate, estimate / se, student_p(estimate / se, df), df=df, se=se, n_events=n_events)
    covariance = _covariance(portfolios)
    variance = float(weight @ covariance @ weight)
    if not variance > 0:
        return silent("the covariance of overlapping portfolios leaves no positive variance", estimate)
    se = float(np.sqrt(variance))
    note = f"{len(weight)} portfolios, one per date"
    return Outcome(estimate, estimate / se, normal_p(estimate / se), se=se, note=note, n_events=n_events)


def _covariance(portfolios: Portfolios) -> np.ndarray:
    overlap = common_days(portfolios.dates)
    correlation, common = pairwise(portfolios.residuals, portfolios.residual_dates)
    shared = np.where((common >= MIN_COMMON_DAYS) & np.isfinite(correlation), correlation, 0.0) * overlap
    np.fill_diagonal(shared, 1.0)
    return np.asarray(shared * portfolios.se[:, None] * portfolios.se[None, :])


PORTFOLIO_REGRESSION = SignificanceTest(
    "portfolio_regression", "CAR of the portfolio = 0", "CAR of the portfolio",
    "t(nu) for one date, else N(0,1)", "Jaffe (1974); Mandelker (1974); exact forecast error",
    Holds("yes", "no", "yes", "no"), portfolio_regression,
)  # fmt: skip
