"""Confidence band of a mean CAR (CAAR), with the variance of the primary test."""

from __future__ import annotations

import numpy as np
import scipy

from marketimpact.core.arrays import Floats
from marketimpact.inference.families.clustered import date_means_t
from marketimpact.inference.families.correlation_adjusted import mean_correlation
from marketimpact.inference.families.portfolio import portfolio_regression
from marketimpact.inference.sample import Sample

__all__ = ["band_of", "quantile_of", "single_event_errors"]


def band_of(sample: Sample, primary: str) -> tuple[float, float, str]:
    """Return the standard error of the mean CAR, its degrees of freedom (infinite: normal), and its name.

    The variance is that of the primary test:

    * *portfolio_regression*: the forecast error of the portfolio of each date, which includes the covariance of every
      two events, ``sum_ij rho_ij se_i se_j / N^2``; Student's t for one date, else normal;
    * *bmp_kp*: the same, times the variance of SCARs over the one expected, ``s^2 / (1 - r)``; t on N - 1;
    * *date_means_t*: the spread of the means of dates; t on their number less 1;
    * *filtered_placebo_t*: the spread of the mean CAR over estimation days at the volatility known the evening before.
    """
    if primary == "filtered_placebo_t":
        mean = sample.filtered_mean
        return mean.se, mean.df, "volatility known the evening before"
    if primary == "date_means_t":
        return _spread_over_dates(sample)
    if sample.n == 1:
        return float(sample.se[0]), float(sample.df[0]), "forecast error"
    portfolio = portfolio_regression(sample)
    if not np.isfinite(portfolio.se):
        return np.nan, np.inf, f"none: {portfolio.note}"
    if primary != "bmp_kp":
        df = np.inf if np.isnan(portfolio.df) else portfolio.df
        return portfolio.se, df, "forecast error of portfolios"
    r = mean_correlation(sample).value
    scale = float(sample.scar.std(ddof=1) / np.sqrt(1.0 - r)) if r < 1.0 else np.nan
    return portfolio.se * scale, float(sample.n - 1), "forecast error of portfolios, scaled by the spread of SCARs"


def single_event_errors(sample: Sample) -> tuple[Floats, Floats]:
    """Return the standard error and the degrees of freedom of each event's own primary test, (N,) each.

    From the volatility known the evening before; from the estimation window where that is unknown.
    """
    filtered = sample.filtered_errors
    known = np.isfinite(filtered.se)
    return np.where(known, filtered.se, sample.se), np.where(known, filtered.df, sample.df)


def _spread_over_dates(sample: Sample) -> tuple[float, float, str]:
    """Return the standard error of the mean of date means, as `date_means_t` has it."""
    outcome = date_means_t(sample)
    if not np.isfinite(outcome.se):
        return np.nan, np.inf, f"none: {outcome.note}"
    return outcome.se, outcome.df, "spread over dates"


def quantile_of(df: float, level: float) -> float:
    """Compute the half-width of a two-sided band of this level in standard errors; infinite `df` is normal."""
    tail = 0.5 + level / 2.0
    return float(scipy.special.stdtrit(df, tail) if np.isfinite(df) else scipy.special.ndtri(tail))
