"""Weights of events in a mean, from a column of the events."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats
from marketimpact.core.own_columns import unknown_column
from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError

__all__ = ["event_weights", "unequal_weights"]


def event_weights(events: pl.DataFrame, column: str) -> Floats:
    """Read the weight of each event, (N,), from a column of numbers of zero or more.

    The largest is one, so that sums of market values of any currency stay in range.

    Raises
    ------
    SpecificationError
        For a column that the events do not have, or that holds no numbers.
    DataError
        For events whose weight is empty, negative or not finite, and where every weight is zero.
    """
    if not isinstance(column, str) or column not in events.columns:
        raise unknown_column(f"weights={column!r}", str(column), events.columns)
    kind = events.schema[column]
    if not kind.is_numeric():
        raise SpecificationError(
            f"weights={column!r} has type {kind}, and weights are numbers. Cast the column before the study is run, "
            f"such as pl.col({column!r}).cast(pl.Float64)."
        )
    values = events[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        named = [f"{events['event_id'][int(row)]} ({_described(events[column][int(row)])})" for row in wrong]
        raise DataError(
            f"weights={column!r}: {len(wrong)} of {len(values)} events have no weight that is a finite number of zero "
            f"or more: {listed(named, quoted=False)}. Correct the column, or leave these events out with "
            "result.where(...).",
            rows=events[wrong].select("event_id", "symbol", "date", column),
        )
    if len(values) and not values.any():
        raise DataError(
            f"weights={column!r} is zero for every event ({listed(events['event_id'].to_list(), quoted=False)}), so "
            "there is no weighted mean. Give at least one event a weight above zero.",
            rows=events.select("event_id", "symbol", "date", column),
        )
    largest = float(values.max(initial=0.0))
    return np.asarray(values / largest) if largest else values


def unequal_weights(events: pl.DataFrame, column: str | None) -> Floats | None:
    """Read the weight of each event, (N,); None without a column, and where all are equal: these are no weights."""
    weights = None if column is None else event_weights(events, column)
    return None if weights is None or (weights == weights[:1]).all() else weights


def _described(weight: object) -> str:
    return "empty" if weight is None else str(weight)
