"""Build the input of the significance tests: one row per event with an abnormal return in the window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from marketimpact.core.arrays import NO_DAY, Floats, Ints
from marketimpact.core.factorize import factorize
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.estimation.estimates import Estimates
from marketimpact.estimation.fit import residuals_of
from marketimpact.estimation.problem import EstimationProblem
from marketimpact.events.exchange_clocks import hardly_overlapping
from marketimpact.inference import (
    RECENT_SESSIONS,
    EstimationDays,
    EventResiduals,
    PairCorrelations,
    Pool,
    Portfolios,
    Sample,
    day_patterns,
    estimation_days,
    own_days_of,
)
from marketimpact.study.event_groups import exchanges
from marketimpact.study.portfolios import PortfolioEstimates, portfolios, portfolios_over

__all__ = ["estimation_days_of", "pairs_of", "recent_abnormal_returns", "sample_of"]


def sample_of(
    estimates: Estimates,
    window: tuple[int, int],
    *,
    rows: Ints,
    days: EstimationDays,
    placebo: LazyMatrix,
    pairs: PairCorrelations,
    firm: Ints,
    portfolio_estimates: Callable[[], PortfolioEstimates],
    announcement: Ints,
    cluster: Ints,
    clustered_by: str | None,
    weights: Floats | None = None,
    weighted_by: str = "",
) -> Sample:
    """Build the input of the significance tests for one window; see `StudyResult.sample`.

    Parameters
    ----------
    estimates : Estimates
        N events.
    window : tuple of int
        First and last session, inside the event window.
    rows : (n,) array of int
        Events with a CAR over the window.
    days : EstimationDays
        Estimation days of all N events.
    placebo : LazyMatrix
        Residuals of all N events, aligned by placebo announcement.
    pairs : PairCorrelations
        Correlations of residuals of pairs of all N events.
    firm : (N,) array of int
        Code of each event's firm.
    portfolio_estimates : callable
        Returns the regressions of the portfolios of all N events.
    announcement, cluster : (N,) arrays of int
        Codes of each event's announcement and cluster, from `clusters`.
    clustered_by : str or None
        Column of the events whose values are the clusters; announcements by default.
    weights : (N,) array, optional
        Weight of each event, above zero; all alike by default. `portfolio_estimates` has the same.
    weighted_by : str
        Column of the events that the weights are from.
    """
    part = estimates if len(rows) == estimates.events.height else estimates.take(rows)
    strict, columns = estimates.settings.strict, estimates.columns_of(window)
    sums, exchange, clocks = part.car_sums(columns), pairs.rows.exchange, pairs.rows.clocks
    # where a missing return leaves an event out, it is left out of the pool that ranks are taken from, too
    pool, pool_placebo = (part, placebo.take(rows)) if strict else (estimates, placebo)

    def date_portfolios() -> Portfolios:
        if strict:
            return portfolios(part, window, exchange=exchange[rows], clocks=clocks, weights=own_weights)
        return portfolios_over(estimates, window, portfolio_estimates(), clocks=clocks)

    own_weights = None if weights is None else weights[rows]
    n_days, span = part.present[:, columns].sum(axis=1), estimates.settings.estimation
    by_announcement = clustered_by is None and "announcement_id" in part.events.columns
    return Sample(
        car=sums.car,
        se=np.sqrt(sums.variance),
        sigma=part.fit.sigma,
        df=part.fit.df,
        n_days=n_days,
        n_obs=part.fit.n_obs,
        residuals=estimates.residual_rows.take(rows),
        residual_dates=estimates.date_rows.take(rows),
        estimation_days=days.take(rows),
        placebo=placebo.take(rows),
        window_dates=_window_dates(part, columns),
        event_ar=part.ar_rows,
        event_se=part.se_rows,
        pool=Pool(pool_placebo, pool.ar_rows, pool.se_rows, pool.fit.sigma),
        columns=columns,
        # no session from day 0 on: it has the effect
        recent_ar=recent_abnormal_returns(part, min(window[0], 0)),
        n_before=span[1] - span[0] + 1,
        own_days=own_days_of(sums.variance, part.fit.sigma, n_days, by_trade=part.model.design.variance_by_trade),
        lag=max(window[0], 0),
        cluster=factorize(cluster[rows]).codes,
        joins_clusters=by_announcement,
        exchange=exchange[rows],
        clocks=clocks,
        symbol=part.positions.security,
        firm=firm[rows],
        announcement=factorize(announcement[rows]).codes,
        intercept=part.model.design.intercept,
        least_squares=part.model.design.least_squares,
        serial_correlation=estimates.settings.serial_correlation,
        changing_variance=bool(part.model.design.state),
        knows_recent_variance=_knows_recent_variance(part, window),
        sign=part.sign,
        day0=_day0(part),
        panel=partial(_panel, part.problem, window),
        portfolios=date_portfolios,
        pairs=pairs,
        pattern=pairs.patterns.codes[rows],
        cluster_label="dates" if clustered_by is None else f"clusters ({clustered_by})",
        windows_differ=part.positions.estimation_differs,
        weights=own_weights,
        weighted_by=weighted_by,
    )


def _knows_recent_variance(estimates: Estimates, window: tuple[int, int]) -> bool:
    """Check whether the model carries its variance to the last session before the window and day 0."""
    return estimates.model.design.through_gap is not None and estimates.settings.event[0] >= min(window[0], 0)


def _window_dates(estimates: Estimates, columns: slice) -> LazyMatrix:
    """Read the dates of a window's sessions with an abnormal return, `NO_DAY` for the others, event by event."""
    present = estimates.present[:, columns]

    def read(rows: Ints | slice) -> Ints:
        return np.where(present[rows], estimates.dates_of(rows)[:, columns], NO_DAY)

    return LazyMatrix(len(present), present.shape[1], read)


def recent_abnormal_returns(estimates: Estimates, first: int) -> LazyMatrix:
    """Read the abnormal returns of the last sessions before session `first`, event by event.

    NaN where the return is missing, excluded or zero.
    """
    span = first - RECENT_SESSIONS, first - 1

    def read(rows: Ints | slice) -> Floats:
        problem = estimates.problem.take(rows)
        return np.where(problem.moves(span), residuals_of(problem, estimates.fit.take(rows), span=span), np.nan)

    return LazyMatrix(estimates.events.height, RECENT_SESSIONS, read)


def estimation_days_of(estimates: Estimates) -> EstimationDays:
    """Read which days the events are estimated on, the same for all windows."""
    return estimation_days(
        estimates.residual_rows,
        estimates.date_rows,
        estimates.fit.n_obs,
        day0=_day0(estimates),
        exchange=exchanges(estimates.positions.security, estimates.market)[0],
    )


def pairs_of(estimates: Estimates, days: EstimationDays) -> PairCorrelations:
    """Prepare the correlations of residuals of pairs of events, which are the same for all windows."""
    exchange, clocks = exchanges(estimates.positions.security, estimates.market)
    rows = EventResiduals(estimates.residual_rows, estimates.date_rows, exchange, clocks)
    # between such exchanges a pair counts only if both orders of closing have enough sessions
    by_gaps = bool(hardly_overlapping(clocks).any())
    return PairCorrelations(rows, day_patterns(days, day0=_day0(estimates), present=estimates.present, by_gaps=by_gaps))


def _day0(estimates: Estimates) -> Ints:
    return estimates.events["date"].to_physical().to_numpy().astype(np.int64)


def _panel(
    problem: EstimationProblem, window: tuple[int, int], rows: Ints | None = None
) -> tuple[Floats, Floats, Floats, Floats]:
    """Read response and regressors of the model, of the estimation days and of a window; donors as their mean."""
    part = problem if rows is None else problem.take(rows)
    y, x, _ = part.design()
    y_event, x_event, _ = part.design(window)
    return y, part.peer_returns(x), y_event, part.peer_returns(x_event)
