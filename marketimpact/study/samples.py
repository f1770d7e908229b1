"""Build the input of the significance tests: one row per event with an abnormal return in the window."""

from __future__ import annotations

import numpy as np

from marketimpact.core.arrays import NO_DAY, Floats, Ints
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.estimation.estimates import Estimates
from marketimpact.events.exchange_clocks import hardly_overlapping
from marketimpact.inference import EventResiduals, PairCorrelations, Pool, Sample, day_patterns
from marketimpact.study.event_groups import clusters, exchanges, firm_numbers
from marketimpact.study.portfolios import portfolios

__all__ = ["pairs_of", "sample_of"]


def sample_of(
    values: Estimates,
    *,
    window: tuple[int, int],
    columns: slice,
    rows: Ints,
    placebo: LazyMatrix,
    pairs: PairCorrelations,
    clustered_by: str | None,
) -> Sample:
    """Build the input of the significance tests for one window; see `StudyResult.sample`.

    Parameters
    ----------
    values : Estimates
        N events.
    window : tuple of int
        First and last session.
    columns : slice
        Columns of the event window with these sessions.
    rows : (n,) array of int
        Events with a CAR over the window.
    placebo : LazyMatrix
        Residuals of all N events, aligned by placebo announcement.
    pairs : PairCorrelations
        Correlations of residuals of pairs of all N events.
    clustered_by : str or None
        Column of the events whose values are the clusters; announcements by default.
    """
    part = values if len(rows) == values.events.height else values.take(rows)
    pool = part if values.settings.strict else values
    sums, present, dates = part.car_sums(columns), part.present[:, columns], part.dates_of
    exchange, clocks = pairs.rows.exchange, pairs.rows.clocks
    return Sample(
        car=sums.car,
        se=np.sqrt(sums.variance),
        sigma=part.fit.sigma,
        df=part.fit.df,
        n_days=present.sum(axis=1),
        n_obs=part.fit.n_obs,
        residuals=values.residual_rows.take(rows),
        residual_dates=values.date_rows.take(rows),
        placebo=placebo.take(rows),
        window_dates=LazyMatrix(
            len(rows), present.shape[1], lambda some: np.where(present[some], dates(some)[:, columns], NO_DAY)
        ),
        event_ar=part.ar_rows,
        event_se=part.se_rows,
        pool=Pool(
            placebo.take(rows) if values.settings.strict else placebo,
            pool.ar_rows,
            pool.se_rows,
            pool.fit.sigma,
        ),
        columns=columns,
        cluster=clusters(part.events, clustered_by),
        exchange=exchange[rows],
        clocks=clocks,
        symbol=part.positions.security,
        firm=firm_numbers(part.positions.security, part.market),
        intercept=part.model.design.intercept,
        n_day0=part.events["date"].n_unique(),
        panel=lambda: _panel(part, window),
        portfolios=lambda: portfolios(
            pool, window, exchange=exchange[rows] if values.settings.strict else exchange, clocks=clocks
        ),
        pairs=pairs,
        pattern=pairs.patterns.codes[rows],
        cluster_label="dates" if clustered_by is None else f"clusters ({clustered_by})",
    )


def pairs_of(values: Estimates) -> PairCorrelations:
    """Prepare the correlations of residuals of pairs of events, which are the same for all windows."""
    exchange, clocks = exchanges(values.positions.security, values.market)
    rows = EventResiduals(values.residual_rows, values.date_rows, exchange, clocks)
    day0 = values.events["date"].to_physical().to_numpy().astype(np.int64)
    patterns = day_patterns(
        values.residual_rows,
        values.fit.n_obs,
        day0=day0,
        exchange=exchange,
        present=values.present,
        by_gaps=bool(
            hardly_overlapping(clocks).any()
        ),  # a pair counts there only if both orders of closing have enough sessions
    )
    return PairCorrelations(rows, patterns)


def _panel(part: Estimates, window: tuple[int, int]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return response and regressors of the model, of the estimation days and of a window."""
    y, x, _ = part.problem.design()
    y_event, x_event, _ = part.problem.design(window)
    return y, x, y_event, x_event
