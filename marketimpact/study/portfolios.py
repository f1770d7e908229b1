"""Equal-weighted portfolios of the events of one date, through the same regression as single events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from marketimpact.core.arrays import NO_DAY, Floats, Ints
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.core.threads import map_in_threads
from marketimpact.estimation.design_matrix import estimation_cut, own_variance_of
from marketimpact.estimation.estimates import Estimates, autocorrelation, cumulate
from marketimpact.estimation.fit import CHUNK, group_sums
from marketimpact.events.exchange_clocks import ExchangeClock, hardly_overlapping
from marketimpact.inference import Portfolios
from marketimpact.market.market import Market
from marketimpact.models import Model, forecast

__all__ = ["portfolios"]


def portfolios(
    estimates: Estimates,
    market: Market,
    model: Model,
    window: tuple[int, int],
    *,
    exchange: Ints,
    clocks: tuple[ExchangeClock, ...],
    groups: Sequence[Ints] | None = None,
) -> Portfolios:
    """Equal-weighted portfolios, through the same regression as single events.

    One per day-0 date, or one per group of rows of `estimates`.

    Where some of the exchanges are hardly open together, each has portfolios of its own. In the
    estimation window members are matched on the calendar date, and a date counts when at least half of them have
    a return; in the event window they are matched on tau.
    """
    used = factorize(exchange).values
    group = exchange if hardly_overlapping(clocks)[np.ix_(used, used)].any() else np.zeros_like(exchange)
    first, last = window
    columns = slice(first - estimates.windows.event[0], last - estimates.windows.event[0] + 1)
    day0 = estimates.events["date"].to_physical().to_numpy().astype(np.int64)
    if groups is None:
        groups = rows_by_code(factorize(day0 * len(clocks) + group))
    members = _averages(estimates, market, model, window, groups=groups, calendar=day0 * len(clocks) + exchange)
    parts = [estimation for estimation, _ in members]
    width = max(len(days) for _, _, days in parts)
    n_regressors = parts[0][1].shape[1]
    y_all, x_all = np.full((len(groups), width), np.nan), np.full((len(groups), width, n_regressors), np.nan)
    days_all = np.full((len(groups), width), NO_DAY, dtype=np.int64)
    for row, (y_mean, x_mean, days) in enumerate(parts):
        y_all[row, : len(days)], x_all[row, : len(days)], days_all[row, : len(days)] = y_mean, x_mean, days
    fitted = model.design.estimator(y_all, x_all, model.design)
    residuals = model.design.residuals(fitted, y_all, x_all)
    if estimates.windows.serial_correlation:
        fitted = replace(fitted, rho=autocorrelation(residuals))
    y_window = np.stack([y for _, (y, _) in members])
    x_window = np.stack([x for _, (_, x) in members])
    expected, loading = forecast(fitted, x_window)
    ar = y_window - expected
    present = ~np.isnan(ar)
    own = np.where(present, own_variance_of(fitted, x_window, model, estimates.windows, window), 0.0)
    car, variance = cumulate(ar, np.where(present[:, :, None], loading, 0.0), own, fitted)
    enough = (fitted.n_obs >= estimates.windows.min_observations) & ~fitted.singular & present.any(axis=1)
    dates = estimates.dates_of(np.array([rows[0] for rows in groups]))[:, columns]
    return Portfolios(
        car=car,
        se=np.where(enough, np.sqrt(variance), np.nan),
        df=fitted.df,
        n_events=np.array([len(rows) for rows in groups], dtype=np.int64),
        residuals=LazyMatrix.of(residuals),
        residual_dates=LazyMatrix.of(days_all),
        dates=np.where(present, dates, NO_DAY),
        exchange=np.array([group[rows[0]] for rows in groups], dtype=np.int64),
        clocks=clocks,
    )


def _averages(
    estimates: Estimates,
    market: Market,
    model: Model,
    window: tuple[int, int],
    *,
    groups: Sequence[Ints],
    calendar: Ints,
) -> list[tuple[tuple[Floats, Floats, Ints], tuple[Floats, Floats]]]:
    """Means over each group's members: of the estimation window by date, of the event window by tau.

    Events of one `calendar`, (N,), have their sessions on the same dates.
    """
    places, windows = estimates.location, estimates.windows

    def averaged(some: Sequence[Ints]) -> list[tuple[tuple[Floats, Floats, Ints], tuple[Floats, Floats]]]:
        found = []
        total, count = group_sums(some, places, market, model, windows, span=window)
        event = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        total, count = group_sums(some, places, market, model, windows)
        first = estimates.date_rows.rows(np.array([rows[0] for rows in some]))
        for k, rows in enumerate(some):
            if (calendar[rows] == calendar[rows[0]]).all():  # one exchange and one day 0: nothing to match
                means = _on_days(total[k], count[k, 0], first[k], len(rows))
            else:
                y, x = estimation_cut(places.take(rows), market, model, windows, instruments=True)
                means = _by_date(y, x, estimates.date_rows.rows(rows))
            found.append((means, (event[k, 0], event[k, 1:].T)))
        return found

    return [each for part in map_in_threads(averaged, _batches(groups)) for each in part]


def _batches(groups: Sequence[Ints]) -> Iterator[Sequence[Ints]]:
    """Groups of `CHUNK` members or a few more: many are small, and read together."""
    ends = np.cumsum([len(rows) for rows in groups])
    number = (ends - [len(rows) for rows in groups]) // CHUNK
    for part in np.split(np.arange(len(groups)), np.flatnonzero(np.diff(number)) + 1):
        yield [groups[k] for k in part.tolist()]


def _on_days(total: Floats, count: Ints, dates: Ints, n: int) -> tuple[Floats, Floats, Ints]:
    """Mean return and regressors, (p + 1, M) sums given, on each date that at least half of n members have."""
    order = np.argsort(dates, kind="stable")
    order = order[(dates[order] != NO_DAY) & (2 * count[order] >= n)]
    mean = total[:, order] / count[order]
    return mean[0], mean[1:].T, dates[order]


def _by_date(y: Floats, x: Floats, dates: Ints) -> tuple[Floats, Floats, Ints]:
    """The same of members whose sessions are matched by date; (n, M), (n, M, p) and (n, M) in."""
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2)) & (dates != NO_DAY)
    axis = np.unique(dates[present])
    column = np.searchsorted(axis, dates[present])
    count = np.bincount(column, minlength=len(axis))
    y_mean = np.bincount(column, weights=y[present], minlength=len(axis)) / count
    x_mean = np.empty((len(axis), x.shape[2]))
    for regressor in range(x.shape[2]):
        x_mean[:, regressor] = np.bincount(column, weights=x[:, :, regressor][present], minlength=len(axis)) / count
    kept = 2 * count >= len(y)
    return y_mean[kept], x_mean[kept], axis[kept]
