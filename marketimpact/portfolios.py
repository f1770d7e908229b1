"""Equal-weighted portfolios of the events of one date, through the same regression as single events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from marketimpact.estimates import Estimates, autocorrelation, cumulate
from marketimpact.inference import Clock, Portfolios, apart
from marketimpact.market import Market
from marketimpact.models import Model, forecast
from marketimpact.windows import Floats, Ints, cut, estimation_cut, own_variance_of

__all__ = ["portfolios"]


def portfolios(
    estimates: Estimates,
    market: Market,
    model: Model,
    window: tuple[int, int],
    *,
    exchange: Ints,
    clocks: tuple[Clock, ...],
    groups: Sequence[Ints] | None = None,
) -> Portfolios:
    """Equal-weighted portfolios, through the same regression as single events.

    One per day-0 date, or one per group of rows of `estimates`.

    Where some of the exchanges are hardly open together, each has portfolios of its own. In the
    estimation window members are matched on the calendar date, and a date counts when at least half of them have
    a return; in the event window they are matched on tau.
    """
    used = np.unique(exchange)
    group = exchange if apart(clocks)[np.ix_(used, used)].any() else np.zeros_like(exchange)
    first, last = window
    y, x = estimation_cut(estimates.location, market, model, estimates.windows, instruments=True)
    y_event, x_event, _ = cut(estimates.location, market, model, window)
    columns = slice(first - estimates.windows.event[0], last - estimates.windows.event[0] + 1)
    if groups is None:
        day0 = estimates.events["date"].to_physical().to_numpy()
        keys = sorted(set(zip(day0, group, strict=True)))
        groups = [np.flatnonzero((day0 == day) & (group == g)) for day, g in keys]
    parts = [_by_date(y[rows], x[rows], estimates.estimation_dates[rows]) for rows in groups]
    width = max(len(days) for _, _, days in parts)
    n_regressors = x.shape[2]
    y_all, x_all = np.full((len(groups), width), np.nan), np.full((len(groups), width, n_regressors), np.nan)
    days_all = np.full((len(groups), width), -1, dtype=np.int64)
    for row, (y_mean, x_mean, days) in enumerate(parts):
        y_all[row, : len(days)], x_all[row, : len(days)], days_all[row, : len(days)] = y_mean, x_mean, days
    fitted = model.design.estimator(y_all, x_all, model.design)
    residuals = model.design.residuals(fitted, y_all, x_all)
    if estimates.windows.serial_correlation:
        fitted = replace(fitted, rho=autocorrelation(residuals))
    y_window = np.stack([_mean(y_event[rows]) for rows in groups])
    x_window = np.stack([_mean(x_event[rows]) for rows in groups])
    expected, loading = forecast(fitted, x_window)
    ar = y_window - expected
    present = ~np.isnan(ar)
    own = np.where(present, own_variance_of(fitted, x_window, model, estimates.windows, window), 0.0)
    car, variance = cumulate(ar, np.where(present[:, :, None], loading, 0.0), own, fitted)
    enough = (fitted.n_obs >= estimates.windows.min_observations) & ~fitted.singular & present.any(axis=1)
    dates = np.stack([estimates.dates[rows[0], columns] for rows in groups])
    return Portfolios(
        car=car,
        se=np.where(enough, np.sqrt(variance), np.nan),
        df=fitted.df,
        n_events=np.array([len(rows) for rows in groups], dtype=np.int64),
        residuals=residuals,
        residual_dates=days_all,
        dates=np.where(present, dates, -1),
        exchange=np.array([group[rows[0]] for rows in groups], dtype=np.int64),
        clocks=clocks,
    )


def _by_date(y: Floats, x: Floats, dates: Ints) -> tuple[Floats, Floats, Ints]:
    """Mean return and regressors of the members on each date that at least half of them have."""
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2)) & (dates >= 0)
    axis = np.unique(dates[present])
    column = np.searchsorted(axis, dates[present])
    count = np.bincount(column, minlength=len(axis))
    y_mean = np.bincount(column, weights=y[present], minlength=len(axis)) / count
    x_mean = np.empty((len(axis), x.shape[2]))
    for regressor in range(x.shape[2]):
        x_mean[:, regressor] = np.bincount(column, weights=x[:, :, regressor][present], minlength=len(axis)) / count
    kept = 2 * count >= len(y)
    return y_mean[kept], x_mean[kept], axis[kept]


def _mean(values: Floats) -> Floats:
    """Mean over members (axis 0) of what is present; NaN where nobody is."""
    present = ~np.isnan(values)
    count = present.sum(axis=0)
    total = np.where(present, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
