"""Abnormal volatility: an event study of the log of the squared standardised abnormal return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import polars as pl

from marketimpact.core.arguments import require
from marketimpact.core.arrays import NO_DAY, as_dates
from marketimpact.core.own_columns import keep_own_columns
from marketimpact.errors import SpecificationError
from marketimpact.estimation.pipeline import estimate
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.market.market import Market
from marketimpact.market.panel import FramePanel
from marketimpact.models import Design
from marketimpact.study.result import StudyResult

__all__ = ["AbnormalVolatility", "abnormal_volatility"]


@dataclass(frozen=True, slots=True)
class AbnormalVolatility:
    """Model of the normal log variance: its mean in the estimation window."""

    name: ClassVar[str] = "abnormal_volatility"
    design: ClassVar[Design] = Design(())


def abnormal_volatility(result: StudyResult) -> StudyResult:
    """Study the abnormal volatility (AVAR) of the same events, as a result of its own.

    Parameters
    ----------
    result : StudyResult
        A result of abnormal returns.

    Returns
    -------
    StudyResult
        Its `ret` is ``v_t = ln(e_t^2 / Var(e_t))``, e the residual of an estimation session (variance
        sigma^2) or the abnormal return of an event session (forecast variance ``sigma^2 (1 + x'Ax)``); its
        `ar` is v less its mean in the estimation window, in log points: 0.69 means a doubled variance.
        Every method and test of a result works on it. Each event is its own security;
        ``security`` keeps the symbol.

    Notes
    -----
    Beaver (1968) used ``U = AR^2 / var``; the log is far closer to normal, though still skewed to the left: a
    return near zero has a log near minus infinity. A residual or abnormal return of exactly zero is
    missing. Null: the event left the variance as it was. Firms that share a day share its volatility:
    read the rows of `test` that are `valid`. Landsman, Maydew and Thornock (2012).
    """
    require(result, "StudyResult", "result")
    values = result.estimation
    if result.model.name == AbnormalVolatility.name:
        raise SpecificationError("This result is of abnormal volatility already.")
    if values.residuals.shape[1] != values.settings.estimation[1] - values.settings.estimation[0] + 1:
        raise SpecificationError("abnormal_volatility needs one estimation window; this study has two.")
    market = _market_of_events(result)
    settings = EstimationSettings(values.settings.estimation, values.settings.event, values.settings.min_observations)
    own = keep_own_columns(result.events, ("security",), "events")
    events = own.rename({"symbol": "security"}).with_columns(pl.col("event_id").alias("symbol"))
    events = events.drop(c for c in ("mic", "date_given", "align_reason", "align_detail") if c in events.columns)
    estimates, attrition = estimate(events, market, AbnormalVolatility(), settings)
    return StudyResult(
        estimation=estimates,
        attrition=pl.concat([result.attrition, attrition]).sort("event_id"),
        unused=pl.concat(
            [result.unused, result.events.join(attrition, on="event_id", how="semi")], how="diagonal_relaxed"
        ),
        recorded=partial(_record, result.recorded),
    )


def _record(of_source: Callable[[], Mapping[str, str]]) -> dict[str, str]:
    return {**of_source(), "derived": "abnormal volatility"}


def _market_of_events(result: StudyResult) -> Market:
    """Make a market in which every event is a security on an exchange of its own."""
    panel = _log_variance_panel(result)
    mics = result.market.panel_securities.select(pl.col("symbol").alias("security"), "mic")
    events = result.events.select(pl.col("event_id").alias("event"), pl.col("symbol").alias("security"))
    sessions = events.join(mics, on="security", how="left", validate="m:1").join(
        result.market.sessions, on="mic", how="left"
    )
    spans = panel.drop_nulls("ret").group_by("symbol")
    return replace(
        result.market,
        return_panel=FramePanel.from_frame(panel),
        securities=result.events.select(pl.col("event_id").alias("symbol"), pl.col("event_id").alias("mic")),
        sessions=sessions.with_columns(pl.col("event").alias("mic")).select(result.market.sessions.columns),
        repairs=result.market.repairs.clear(),
        spans=spans.agg(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).sort("symbol"),
        missing=(),
        factors=(),
        notes=(*result.market.notes, "log squared standardised abnormal returns"),
        truth=None,
        fills=result.market.fills.clear(),
        implausible=result.market.implausible.clear(),  # events that they touch are no events of the result
        unit="log variance",
    )


def _log_variance_panel(result: StudyResult) -> pl.DataFrame:
    """Compute log variances from the first session of the estimation window to the last of the event window."""
    values = result.estimation
    residual = values.residuals / values.fit.sigma[:, None]
    gap = np.full((len(residual), values.settings.event[0] - values.settings.estimation[1] - 1), np.nan)
    with np.errstate(divide="ignore"):
        log_square = np.log(np.column_stack([residual, gap, values.ar / values.se]) ** 2)
    days = values.problem.dates((values.settings.estimation[0], values.settings.event[1]))
    n, width = days.shape
    ids = result.events["event_id"].gather(np.repeat(np.arange(n), width))
    # sessions outside the calendar lie at the ends only, so the others are numbered without a gap
    frame = pl.DataFrame(
        {
            "symbol": ids,
            "mic": ids,
            "date": as_dates(days),
            "ret": pl.Series(np.where(np.isfinite(log_square), log_square, np.nan).ravel()).fill_nan(None),
        }
    ).filter(pl.Series(days.ravel() != NO_DAY))
    session = pl.int_range(pl.len(), dtype=pl.Int64).over("symbol").alias("session")
    return frame.select("symbol", "mic", session, "date", "ret", pl.lit(None, pl.Float64).alias("market"))
