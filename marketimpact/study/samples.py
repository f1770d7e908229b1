"""What the tests look at: the events of a result with an abnormal return in a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import NO_DAY, Floats
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.estimation.estimates import Estimates
from marketimpact.events.exchange_clocks import hardly_overlapping
from marketimpact.inference import PairCorrelations, Pool, Rows, Sample, layouts
from marketimpact.study.event_groups import clusters, exchanges, firm_numbers
from marketimpact.study.portfolios import portfolios

__all__ = ["pairs_of", "sample_of"]


def sample_of(
    values: Estimates,
    *,
    window: tuple[int, int],
    columns: slice,
    held: NDArray[np.int64],
    placebo: LazyMatrix,
    pairs: PairCorrelations,
    clustered_by: str | None,
) -> Sample:
    """The sample of a `window`, the `columns` of `values`, from the events `held` there; see `StudyResult.sample`."""
    part = values if len(held) == values.events.height else values.take(held)
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
        residuals=values.residual_rows.take(held),
        residual_dates=values.date_rows.take(held),
        placebo=placebo.take(held),
        window_dates=LazyMatrix(
            len(held), present.shape[1], lambda rows: np.where(present[rows], dates(rows)[:, columns], NO_DAY)
        ),
        event_ar=part.ar_rows,
        event_se=part.se_rows,
        pool=Pool(
            placebo.take(held) if values.settings.strict else placebo,
            pool.ar_rows,
            pool.se_rows,
            pool.fit.sigma,
        ),
        columns=columns,
        cluster=clusters(part.events, clustered_by),
        exchange=exchange[held],
        clocks=clocks,
        symbol=part.positions.security,
        firm=firm_numbers(part.positions.security, part.market),
        intercept=part.model.design.intercept,
        n_day0=part.events["date"].n_unique(),
        panel=lambda: _panel(part, window),
        portfolios=lambda: portfolios(
            pool, window, exchange=exchange[held] if values.settings.strict else exchange, clocks=clocks
        ),
        pairs=pairs,
        layout=pairs.layout[held],
        clusters_are="dates" if clustered_by is None else f"clusters ({clustered_by})",
    )


def pairs_of(values: Estimates) -> PairCorrelations:
    """What the correlation of residuals of pairs of events needs; the same for all windows."""
    exchange, clocks = exchanges(values.positions.security, values.market)
    rows = Rows(values.residual_rows, values.date_rows, exchange, clocks)
    day0 = values.events["date"].to_physical().to_numpy().astype(np.int64)
    found = layouts(
        values.residual_rows,
        values.fit.n_obs,
        day0=day0,
        exchange=exchange,
        held=values.present,
        by_gaps=bool(
            hardly_overlapping(clocks).any()
        ),  # a pair counts there only if both orders of closing have enough sessions
    )
    return PairCorrelations(rows, found.of, found.place, found.ragged)


def _panel(part: Estimates, window: tuple[int, int]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return response and regressors of the estimation days and of a window, as the model reads them."""
    y, x, _ = part.problem.design()
    y_event, x_event, _ = part.problem.design(window)
    return y, x, y_event, x_event
