"""Variance of a mean CAR when dates share estimation days, and so errors of estimation."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.core.lazy_matrix import LazyMatrix

__all__ = ["estimation_inflation", "same_day_correlation"]


class EstimatedEvents(Protocol):
    """Estimation windows and windows of N events; see `Sample` for the shapes."""

    @property
    def symbol(self) -> Ints: ...
    @property
    def day0(self) -> Ints: ...
    @property
    def sigma(self) -> Floats: ...
    @property
    def n_days(self) -> Ints: ...
    @property
    def n_obs(self) -> Ints: ...
    @property
    def window_dates(self) -> LazyMatrix: ...
    @property
    def residuals(self) -> LazyMatrix: ...
    @property
    def residual_dates(self) -> LazyMatrix: ...


def estimation_inflation(sample: EstimatedEvents) -> float:
    """Compute the variance of the mean CAR relative to what it is if dates are taken to share no error of estimation.

    Notes
    -----
    The estimated constant of event i moves its CAR by ``-L_i / T_i`` times the residual of each of its T_i estimation
    days. Two events of one security have ``Cov = L^2 sigma^2 (c - 1) / T`` where the window of the earlier lies inside
    the estimation window of the later, ``L^2 sigma^2 c / T`` where it was excluded from it; c is the share of
    estimation days in common. Securities share errors as far as their residuals are correlated: here alike for all
    pairs (`same_day_correlation`). Errors of slopes are left out, since they add ``L / T`` where the constant adds
    ``L^2 / T``. One date gives 1.
    """
    day = factorize(sample.day0).codes
    if not day.any():
        return 1.0
    r = same_day_correlation(sample)
    weight, used = sample.sigma / len(day), sample.n_days / sample.n_obs
    window, dates = sample.window_dates.to_array(), sample.residual_dates.to_array()
    estimated = ~np.isnan(sample.residuals.to_array()) & (dates != NO_DAY)
    on_window = _variance(sample.symbol, [(window, window != NO_DAY, weight)], r)
    everything = _variance(sample.symbol, [(window, window != NO_DAY, weight), (dates, estimated, -weight * used)], r)
    own = (weight**2 * sample.n_days * used, weight * np.sqrt(sample.n_days * used))
    squares, roots = (np.bincount(day, weights=values) for values in own)
    apart = on_window + float(((1.0 - r) * squares + r * roots**2).sum())
    return everything / apart if apart > 0 and everything > 0 else 1.0


def same_day_correlation(sample: EstimatedEvents) -> float:
    """Average the correlation of residuals of two securities on the same date, from one event of each security."""
    rows = factorize(sample.symbol).first_rows
    dates, z = sample.residual_dates.rows(rows), sample.residuals.rows(rows) / sample.sigma[rows, None]
    present = ~np.isnan(z) & (dates != NO_DAY)
    code, values = factorize(dates[present]).codes, z[present]
    n = np.bincount(code)
    products = float((np.bincount(code, weights=values) ** 2).sum() - (values**2).sum())
    pairs = float((n * (n - 1.0)).sum())
    return float(np.clip(products / pairs, 0.0, 1.0)) if pairs > 0 else 0.0


def _variance(security: Ints, loads: list[tuple[Ints, Bools, Floats]], r: float) -> float:
    """Compute the variance of a sum of shocks, each of variance 1 and with the correlation `r` between securities.

    `loads` are dates (N, D), which of them count, and the loading of each event on their shocks, (N,).
    """
    first = min(int(dates[counts].min(initial=np.iinfo(np.int64).max)) for dates, counts, _ in loads)
    last = max(int(dates[counts].max(initial=-np.iinfo(np.int64).max)) for dates, counts, _ in loads)
    width = max(last - first + 1, 0)
    common, own = np.zeros(width), 0.0
    for rows in rows_by_code(factorize(security)):
        day = np.zeros(width)
        for dates, counts, loading in loads:
            for row in rows.tolist():  # no date twice in a row
                day[dates[row][counts[row]] - first] += loading[row]
        own += float(day @ day)
        common += day
    return (1.0 - r) * own + r * float(common @ common)
