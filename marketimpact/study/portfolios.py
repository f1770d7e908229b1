"""Form portfolios of the events of one date, equal-weighted or weighted, and estimate them as single events are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.chunks import batches
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.core.threads import map_in_threads
from marketimpact.estimation.estimates import Estimates, cumulate
from marketimpact.estimation.fit import autocorrelation, group_sums
from marketimpact.events.exchange_clocks import ExchangeClock, hardly_overlapping
from marketimpact.inference import DayPatterns, EventResiduals, PairCorrelations, Portfolios
from marketimpact.models import Fit, forecast

__all__ = ["PortfolioEstimates", "estimate_portfolios", "portfolios", "portfolios_over", "separate_exchanges"]

#: Mean return (D,), mean regressors (D, p) and dates (D,) of a portfolio's estimation days.
EstimationMeans = tuple[Floats, Floats, Ints]
#: Mean return (L,) and mean regressors (L, p) of the sessions of a window.
WindowMeans = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class PortfolioEstimates:
    """Regressions of G portfolios of N events on their estimation days, which serve every window.

    Attributes
    ----------
    groups : sequence of (K,) arrays
        Rows of each portfolio's events.
    exchange : (G,) array
        Code of each portfolio's exchange; 0 where portfolios hold several.
    fit : Fit
    pairs : PairCorrelations
        Of their residuals, (G, M).
    weights : (N,) array or None
        Weight of each event; None: all alike.
    """

    groups: Sequence[Ints]
    exchange: Ints
    fit: Fit
    pairs: PairCorrelations
    weights: Floats | None = None


def portfolios(
    estimates: Estimates,
    window: tuple[int, int],
    *,
    exchange: Ints,
    clocks: tuple[ExchangeClock, ...],
    groups: Sequence[Ints] | None = None,
    weights: Floats | None = None,
) -> Portfolios:
    """Form portfolios, equal-weighted or with `weights`, (N,), and estimate them as single events are estimated.

    One per day-0 date, or one per group of rows of `estimates`.
    """
    estimated = estimate_portfolios(estimates, exchange=exchange, clocks=clocks, groups=groups, weights=weights)
    return portfolios_over(estimates, window, estimated, clocks=clocks)


def estimate_portfolios(
    estimates: Estimates,
    *,
    exchange: Ints,
    clocks: tuple[ExchangeClock, ...],
    groups: Sequence[Ints] | None = None,
    weights: Floats | None = None,
) -> PortfolioEstimates:
    """Estimate the portfolio of each day-0 date, or of each group of rows of `estimates`.

    Where some of the exchanges are hardly open together, each has portfolios of its own. Members are matched on the
    calendar date, and a date counts when at least half of them, by number or by weight, have a return.
    """
    day0 = estimates.events["date"].to_physical().to_numpy().astype(np.int64)
    exchange_group = separate_exchanges(exchange, clocks)
    if groups is None:
        groups = rows_by_code(factorize(day0 * len(clocks) + exchange_group))
    means = _estimation_means(estimates, groups, day0 * len(clocks) + exchange, weights)
    first_members = np.array([rows[0] for rows in groups])
    fit, residuals, dates = _fit_portfolios(estimates, means)
    fit = _through_gap(estimates, fit, groups, weights)
    of_portfolios = exchange_group[first_members]
    rows = EventResiduals(LazyMatrix.of(residuals), LazyMatrix.of(dates), of_portfolios, clocks)
    pairs = PairCorrelations(rows, DayPatterns(np.arange(len(groups))))
    return PortfolioEstimates(groups, of_portfolios, fit, pairs, weights)


def portfolios_over(
    estimates: Estimates,
    window: tuple[int, int],
    estimated: PortfolioEstimates,
    *,
    clocks: tuple[ExchangeClock, ...],
) -> Portfolios:
    """Cumulate the abnormal returns of estimated portfolios over a window, members matched on tau."""
    groups, fit, weights = estimated.groups, estimated.fit, estimated.weights
    means = _window_means(estimates, window, groups, weights)
    car, variance, present = _portfolio_cars(estimates, fit, means, window)
    enough = (fit.n_obs >= estimates.settings.min_observations) & ~fit.singular & present.any(axis=1)
    first_members = np.array([rows[0] for rows in groups])
    dates = estimates.dates_of(first_members)[:, estimates.columns_of(window)]
    return Portfolios(
        car=car,
        se=np.where(enough, np.sqrt(variance), np.nan),
        df=fit.df,
        n_events=np.array([len(rows) for rows in groups], dtype=np.int64),
        weight=_sizes(groups, weights),
        residuals=estimated.pairs.rows.residuals,
        residual_dates=estimated.pairs.rows.residual_dates,
        dates=np.where(present, dates, NO_DAY),
        exchange=estimated.exchange,
        clocks=clocks,
        pairs=estimated.pairs,
        pattern=np.arange(len(groups)),
    )


def separate_exchanges(exchange: Ints, clocks: tuple[ExchangeClock, ...]) -> Ints:
    """Assign exchanges to groups: each its own where some are hardly open together, else one for all, (N,)."""
    codes = factorize(exchange).values
    return exchange if hardly_overlapping(clocks)[np.ix_(codes, codes)].any() else np.zeros_like(exchange)


def _fit_portfolios(estimates: Estimates, means: Sequence[EstimationMeans]) -> tuple[Fit, Floats, Ints]:
    """Fit the model to each portfolio's mean returns: the fit, residuals (G, M) and their dates (G, M)."""
    design, n, width = estimates.model.design, len(means), max(len(dates) for _, _, dates in means)
    y, x = np.full((n, width), np.nan), np.full((n, width, means[0][1].shape[1]), np.nan)
    dates = np.full((n, width), NO_DAY, dtype=np.int64)
    for row, (y_mean, x_mean, own_dates) in enumerate(means):
        days = len(own_dates)
        y[row, :days], x[row, :days], dates[row, :days] = y_mean, x_mean, own_dates
    fit = design.estimator(y, x, design)
    residuals = design.residuals(fit, y, x)
    if estimates.settings.serial_correlation:
        fit = replace(fit, rho=autocorrelation(residuals))
    return fit, residuals, dates


def _sizes(groups: Sequence[Ints], weights: Floats | None) -> Floats:
    """Count the members of each group, or sum their weights, (G,)."""
    return np.array([len(rows) if weights is None else weights[rows].sum() for rows in groups], dtype=np.float64)


def _through_gap(estimates: Estimates, fit: Fit, groups: Sequence[Ints], weights: Floats | None) -> Fit:
    """Carry a variance model through the gap, on sessions of which at least half of the members have a return."""
    through_gap, gap = estimates.model.design.through_gap, estimates.problem.gap
    if through_gap is None or gap is None:
        return fit
    means = _window_means(estimates, gap, groups, weights, least_share=0.5)
    expected, _ = forecast(fit, np.stack([x for _, x in means]))
    return through_gap(fit, np.stack([y for y, _ in means]) - expected)


def _portfolio_cars(
    estimates: Estimates, fit: Fit, means: Sequence[WindowMeans], window: tuple[int, int]
) -> tuple[Floats, Floats, Bools]:
    """Sum each portfolio's abnormal returns: CAR and variance, (G,), and the days with a return, (G, L)."""
    y, x = np.stack([y for y, _ in means]), np.stack([x for _, x in means])
    expected, loading = forecast(fit, x)
    ar = y - expected
    present = ~np.isnan(ar)
    own_variance = np.where(present, estimates.problem.own_variance(fit, x, window), 0.0)
    return *cumulate(ar, np.where(present[:, :, None], loading, 0.0), own_variance, fit), present


def _estimation_means(
    estimates: Estimates, groups: Sequence[Ints], calendar: Ints, weights: Floats | None
) -> list[EstimationMeans]:
    """Average each group's members on the dates of the estimation window.

    Events of one `calendar`, (N,), have their sessions on the same dates.
    """
    problem = estimates.problem

    def averaged(some: Sequence[Ints]) -> list[EstimationMeans]:
        total, count = group_sums(problem, some, weights=weights)
        size = _sizes(some, weights)
        first = estimates.date_rows.rows(np.array([rows[0] for rows in some]))
        means = []
        for k, rows in enumerate(some):
            if (calendar[rows] == calendar[rows[0]]).all():  # one exchange and one day 0: no dates to match
                means.append(_on_days(total[k], count[k, 0], first[k], size[k]))
            else:
                y, x, _ = problem.take(rows).design(instruments=True)
                own = np.ones(len(rows)) if weights is None else weights[rows]
                means.append(_by_date(y, x, estimates.date_rows.rows(rows), own))
        return means

    return [each for part in map_in_threads(averaged, batches(groups, limits.FIT_CHUNK_EVENTS)) for each in part]


def _window_means(
    estimates: Estimates,
    window: tuple[int, int],
    groups: Sequence[Ints],
    weights: Floats | None,
    *,
    least_share: float = 0.0,
) -> list[WindowMeans]:
    """Average each group's members on the sessions of a window, where at least a share of them has a return."""

    def averaged(some: Sequence[Ints]) -> list[WindowMeans]:
        total, count = group_sums(estimates.problem, some, span=window, weights=weights)
        mean = np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)
        enough = count[:, 0] >= least_share * _sizes(some, weights)[:, None]
        return [(np.where(days, each[0], np.nan), each[1:].T) for each, days in zip(mean, enough, strict=True)]

    return [each for part in map_in_threads(averaged, batches(groups, limits.FIT_CHUNK_EVENTS)) for each in part]


def _on_days(total: Floats, count: Floats | Ints, dates: Ints, size: float) -> EstimationMeans:
    """Divide sums of return and regressors, (p + 1, M), by counts, on dates with at least half of a group's size."""
    order = np.argsort(dates, kind="stable")
    order = order[(dates[order] != NO_DAY) & (2 * count[order] >= size)]
    mean = total[:, order] / count[order]
    return mean[0], mean[1:].T, dates[order]


def _by_date(y: Floats, x: Floats, dates: Ints, weights: Floats) -> EstimationMeans:
    """Average members whose sessions are matched by date; (n, M), (n, M, p), (n, M) and (n,) in."""
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2)) & (dates != NO_DAY)
    axis = np.unique(dates[present])
    column = np.searchsorted(axis, dates[present])
    own = np.broadcast_to(weights[:, None], y.shape)[present]
    count = np.bincount(column, weights=own, minlength=len(axis))
    y_mean = np.bincount(column, weights=own * y[present], minlength=len(axis)) / count
    x_mean = np.empty((len(axis), x.shape[2]))
    for regressor in range(x.shape[2]):
        values = own * x[:, :, regressor][present]
        x_mean[:, regressor] = np.bincount(column, weights=values, minlength=len(axis)) / count
    enough = 2 * count >= weights.sum()
    return y_mean[enough], x_mean[enough], axis[enough]
