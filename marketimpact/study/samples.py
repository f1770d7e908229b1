"""What the tests look at: the events of a result with an abnormal return in a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import NO_DAY
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.estimation.estimates import Estimates, panel
from marketimpact.events.exchange_clocks import hardly_overlapping
from marketimpact.inference import EventResiduals, PairCorrelations, Pool, Sample, day_patterns
from marketimpact.market.market import Market
from marketimpact.models import Model
from marketimpact.study.event_groups import clusters, exchanges, firm_numbers
from marketimpact.study.portfolios import portfolios

__all__ = ["pairs_of", "sample_of"]


def sample_of(
    values: Estimates,
    market: Market,
    model: Model,
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
    pool = part if values.windows.strict else values
    sums, present, dates = part.summed(columns), part.present[:, columns], part.dates_of
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
        event_se=part.day_rows("se"),
        pool=Pool(
            placebo.take(held) if values.windows.strict else placebo,
            pool.ar_rows,
            pool.day_rows("se"),
            pool.fit.sigma,
        ),
        columns=columns,
        cluster=clusters(part.events, clustered_by),
        exchange=exchange[held],
        clocks=clocks,
        symbol=part.location.security,
        firm=firm_numbers(part.location.security, market),
        intercept=model.design.intercept,
        n_day0=part.events["date"].n_unique(),
        panel=lambda: panel(part, market, model, window),
        portfolios=lambda: portfolios(
            pool, market, model, window, exchange=exchange[held] if values.windows.strict else exchange, clocks=clocks
        ),
        pairs=pairs,
        pattern=pairs.patterns.codes[held],
        cluster_label="dates" if clustered_by is None else f"clusters ({clustered_by})",
    )


def pairs_of(values: Estimates, market: Market) -> PairCorrelations:
    """What the correlation of residuals of pairs of events needs; the same for all windows."""
    exchange, clocks = exchanges(values.location.security, market)
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
