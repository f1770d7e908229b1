"""Estimation windows of single events, from columns of the events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from marketimpact.errors import DataError, SpecificationError
from marketimpact.estimation.attrition import ATTRITION
from marketimpact.estimation.positions import EventPositions
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.models import Model

__all__ = ["FIRST", "LAST", "has_own_windows", "set_own_windows"]

#: Columns of the events that hold first and last session of the estimation window, relative to day 0.
FIRST, LAST = "estimation_first", "estimation_last"


def has_own_windows(events: pl.DataFrame) -> bool:
    """Return whether any event has an estimation window of its own."""
    return any(name in events.columns and events[name].null_count() < events.height for name in (FIRST, LAST))


def set_own_windows(
    events: pl.DataFrame, positions: EventPositions, settings: EstimationSettings, model: Model
) -> tuple[pl.DataFrame, EventPositions, EstimationSettings, pl.DataFrame]:
    """Give each event the estimation window of its own columns, and that of the settings where they are empty.

    Parameters
    ----------
    events : polars.DataFrame
        N events with a day 0; without both columns nothing changes.
    positions : EventPositions
        Their positions.
    settings : EstimationSettings
        Of the study.
    model : Model
        Model of the normal return.

    Returns
    -------
    events, positions, settings
        Of the events whose window fits. The estimation window of `settings` spans all of them; where they differ,
        `positions` has each.
    attrition : polars.DataFrame
        ``event_id, reason, detail`` of the others.

    Raises
    ------
    DataError
        For one of the columns without the other, and for values that are no whole numbers.
    SpecificationError
        For windows that differ, and a model that follows its variance from session to session.
    """
    nobody = pl.DataFrame(schema=ATTRITION)
    if not has_own_windows(events):
        return events, positions, settings, nobody
    first, last = _sessions(events, FIRST), _sessions(events, LAST)
    details = _misfits(first, last, settings)
    fits = details.is_null()
    misfits = events.select("event_id", pl.lit("estimation_window").alias("reason"), details.alias("detail"))
    rows = fits.arg_true().to_numpy().astype(np.int64)
    windows = np.column_stack(
        [
            ends.fill_null(default)[rows].to_numpy()
            for ends, default in zip((first, last), settings.estimation, strict=True)
        ]
    )
    events, positions = events[rows], positions.take(rows)
    if len(rows):
        settings = replace(settings, estimation=(int(windows[:, 0].min()), int(windows[:, 1].max())))
    if (windows != windows[:1]).any():
        _check_model(model)
        positions = replace(positions, estimation=windows)
    return events, positions, settings, misfits.filter(~fits).cast(ATTRITION)  # type: ignore[arg-type]


def _sessions(events: pl.DataFrame, name: str) -> pl.Series:
    """Read a column of whole numbers, which may be empty or, as pandas has it with empty cells, of decimals."""
    other = LAST if name == FIRST else FIRST
    if name not in events.columns:
        raise DataError(
            f"events: has {other!r} and no {name!r}. Give the first and the last session of each event's estimation "
            "window, relative to day 0, or neither."
        )
    column = events[name].fill_nan(None) if events.schema[name].is_float() else events[name]
    is_number = column.dtype.is_numeric() or column.dtype == pl.Null
    sessions = column.cast(pl.Int64, strict=False) if is_number else column
    wrong = (column.is_not_null() & (sessions.is_null() | (sessions != column))) if is_number else column.is_not_null()
    if wrong.any():
        rows = events.filter(wrong).select("event_id", "symbol", "date", name)
        raise DataError(
            f"events: {name!r} must hold whole numbers of sessions relative to day 0, such as -250; {rows.height} "
            f"events have something else, the first {rows['event_id'][0]!r} {rows[name][0]!r}. Correct them, or rename "
            "the column if it means something else.",
            rows=rows,
        )
    return sessions.cast(pl.Int64) if is_number else pl.Series(name, [None] * events.height, dtype=pl.Int64)


def _misfits(first: pl.Series, last: pl.Series, settings: EstimationSettings) -> pl.Series:
    """Describe why each event's own window does not fit; null where it does."""
    start, end = pl.col(FIRST), pl.col(LAST)
    window = pl.format("[{}, {}]", start, end)
    reason = (
        pl.when(start.is_null() != end.is_null())
        .then(pl.lit(f"one of {FIRST} and {LAST} is empty: give both or neither"))
        .when(start > end)
        .then(pl.format("its estimation window {} is reversed", window))
        .when(end >= settings.event[0])
        .then(pl.format(f"its estimation window {{}} reaches into the event window {list(settings.event)}", window))
    )
    return pl.DataFrame([first, last]).select(reason.alias("detail")).to_series()


def _check_model(model: Model) -> None:
    if model.design.follows_sessions:
        raise SpecificationError(
            f"events: {FIRST} and {LAST} differ between events, and {model.name} is estimated on one stretch of "
            "sessions of the same length for all. Use another model, such as mi.MarketModel(), or one window for all."
        )
