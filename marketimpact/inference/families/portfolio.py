"""Tests of the portfolio of the events of one date, whose own variance includes the common shock."""

from __future__ import annotations

import numpy as np

from marketimpact.core.lazy_matrix import sum_by_day
from marketimpact.inference.correlation.pairs import shared_pairs
from marketimpact.inference.families.parametric import normal_p, student_p
from marketimpact.inference.protocol import ESTIMATION_VARIANCE, Holds, Outcome, SignificanceTest, no_result
from marketimpact.inference.sample import Floats, Portfolios, Sample

__all__ = ["CRUDE_DEPENDENCE", "PORTFOLIO_REGRESSION", "crude_dependence", "portfolio_regression"]


#: Change of the variance by common errors of estimation from which the note gives it.
SHARED_ERRORS_NOTED = 0.05


def portfolio_regression(sample: Sample) -> Outcome:
    """Divide the CAR of the portfolio of each date, equal-weighted or weighted, by its forecast standard error.

    With several dates the portfolios are weighted by their number of events, or by the sum of their weights; the
    covariance of portfolios whose windows overlap comes from the correlation of their residuals, and the variance
    allows for errors of estimation that dates share (`marketimpact.inference.shared_estimation`).
    """
    portfolios, n_without = _with_returns(sample.portfolios())
    if not len(portfolios.car):
        return no_result("no date's portfolio has a return in the window")
    n_events = int(portfolios.n_events.sum())
    weight = portfolios.weight / portfolios.weight.sum()
    estimate = float((weight * portfolios.car).sum())
    if not np.all(portfolios.se > 0):
        return no_result("a date's portfolio has too few estimation days for a regression of its own", estimate)
    if len(weight) == 1:
        df = int(portfolios.df[0])
        se = float(portfolios.se[0])
        return Outcome(estimate, estimate / se, student_p(estimate / se, df), df=df, se=se, n_events=n_events)
    variance = _variance(portfolios, weight) * sample.estimation_inflation
    if not variance > 0:
        return no_result("the covariance of overlapping portfolios leaves no positive variance", estimate)
    se = float(np.sqrt(variance))
    note = f"{len(weight)} portfolios, one per date" + (" and exchange" if portfolios.exchange.any() else "")
    if abs(sample.estimation_inflation - 1.0) >= SHARED_ERRORS_NOTED:
        note += f"; common errors of estimation make the variance {sample.estimation_inflation:.2f} times as large"
    if n_without:
        note += f"; {n_without} more without a return in the window left out"
    return Outcome(estimate, estimate / se, normal_p(estimate / se), se=se, note=note, n_events=n_events)


def _with_returns(portfolios: Portfolios) -> tuple[Portfolios, int]:
    """Select the portfolios with a return in the window, and count the others."""
    has_return = ~np.isnan(portfolios.car)
    return portfolios.take(np.flatnonzero(has_return)), int((~has_return).sum())


def crude_dependence(sample: Sample) -> Outcome:
    """Divide the sum of AARs by the time-series standard deviation of estimation-window AARs.

    Brown and Warner's crude dependence adjustment: no forecast error, so slightly liberal.
    """
    sums = sample.pool.placebo.day_sums(sample.length)
    daily, counts = sums.total / np.maximum(sums.count, 1), sums.count
    total, present = sum_by_day(sample.pool.event_ar, lambda _, part: part[:, sample.columns])
    window = total / np.maximum(present, 1)
    days = int((counts > 0).sum())
    estimate = float(window[present > 0].sum())
    if days < 2:
        return no_result("needs at least 2 estimation days", estimate)
    se = float(daily[counts > 0].std(ddof=1) * np.sqrt((present > 0).sum()))
    if not se > 0:
        return no_result("average residuals do not vary", estimate)
    return Outcome(estimate, estimate / se, student_p(estimate / se, days - 1), df=days - 1, se=se)


def _variance(portfolios: Portfolios, weight: Floats) -> float:
    """Compute the variance of the weighted sum of portfolios, of which few have days in common."""
    one, other, shared, _ = shared_pairs(portfolios, portfolios.pairs, portfolios.pattern)
    own = weight * portfolios.se
    return float((own**2).sum() + 2.0 * (shared * own[one] * own[other]).sum())


PORTFOLIO_REGRESSION = SignificanceTest(
    "portfolio_regression", "CAR of the portfolio = 0", "CAR of the portfolio",
    "t(nu) for one date, else N(0,1)", "Jaffe (1974); Mandelker (1974); exact forecast error",
    Holds("yes", "no", "yes", "no", assumes=ESTIMATION_VARIANCE - {"own estimation errors"}),
    portfolio_regression, refits=True, unit="return", weighted=True,
)  # fmt: skip
CRUDE_DEPENDENCE = SignificanceTest(
    "crude_dependence", "sum of AARs = 0", "sum of AARs", "t(T-1)",
    "Brown and Warner (1980, 1985)",
    Holds("yes", "no", "yes", "no", windows_alike=True, exchanges_apart="one session",
          assumes=ESTIMATION_VARIANCE | {"windows apart"}),
    crude_dependence, unit="return",
)  # fmt: skip
