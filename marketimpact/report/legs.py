"""Run the study of a result on each leg of day 0, for its report."""

from __future__ import annotations

import warnings

import polars as pl

from marketimpact.analyses.legs import CERTAINTY, DAY0_LEG, CarByLeg, car_by_leg, has_legs
from marketimpact.core import limits
from marketimpact.errors import MarketImpactWarning
from marketimpact.study.event_study import EventStudy
from marketimpact.study.result import StudyResult

__all__ = ["LEG_CHOICES", "cars_by_leg"]

#: Column that names the benchmark of legs, or no legs at all.
LEG_CHOICES = ("leg_benchmark", "benchmark", "none")


def cars_by_leg(result: StudyResult, benchmark: str) -> tuple[CarByLeg, list[str]] | None:
    """Run the study of a result on each leg of day 0, with what there was to warn of; None where there are no legs.

    There are none without opens, for another unit than simple returns, without `day0_leg`, where the event window
    leaves out day 0, for trade-to-trade returns, and for more than `limits.LEG_EVENTS` events.
    """
    if not has_legs(result):
        return None
    if not 0 < result.events.height <= limits.LEG_EVENTS or result.market.factors:
        return None
    names = ("event_id", "symbol", "date", DAY0_LEG, CERTAINTY, "estimation_first", "estimation_last")
    events = result.events.select(name for name in names if name in result.events.columns)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cars = car_by_leg(_study(result), events, result.market, (0, 0), benchmark=benchmark)  # type: ignore[arg-type]
    messages = [str(one.message) for one in caught if issubclass(one.category, MarketImpactWarning)]
    return cars, [message for message in dict.fromkeys(messages) if "opens" in message]


def _study(result: StudyResult) -> EventStudy:
    """Write the settings of a result as a study."""
    settings = result.estimation.settings
    excluded = None
    if settings.excluded is not None:
        excluded = result.market.select("symbol", "date").filter(pl.Series(settings.excluded))
    return EventStudy(
        model=result.model,
        estimation_window=settings.estimation,
        event_window=settings.event,
        min_observations=settings.min_observations,
        missing="strict" if settings.strict else "available",
        serial_correlation=settings.serial_correlation,
        exclude=excluded,
        closed_day=settings.closed_day,
        estimation_after=settings.after,
    )
