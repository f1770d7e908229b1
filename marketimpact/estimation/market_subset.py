"""Select the securities and columns that a chunk of events needs."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core.arrays import Ints
from marketimpact.market.market import Market
from marketimpact.market.panel import first_rows
from marketimpact.market.session_returns import SINCE_TRADE
from marketimpact.models import Model

__all__ = ["bytes_per_row", "chunks_by_security", "columns_of", "rows_of_securities"]


def columns_of(market: Market, model: Model) -> tuple[str, ...]:
    """List the columns of the panel that the model reads."""
    design = model.design
    names = ["date", "ret", "market", *design.columns, design.response]
    if set(names).intersection(SINCE_TRADE):
        names.append("ret_since_trade")
    return tuple(dict.fromkeys(name for name in names if name in market.panel_columns))


def chunks_by_security(
    first_row: Ints, n_sessions: Ints, row_bytes: int, most_bytes: float, most_events: int
) -> list[Ints]:
    """Split events into chunks that hold few securities, few bytes of their returns and few events.

    A security's returns count once per chunk, however many of its events are in it.
    """
    order = np.argsort(first_row, kind="stable")
    is_new = np.diff(first_row[order], prepend=-1) != 0
    weight = np.where(is_new, n_sessions[order], 0) * row_bytes / most_bytes + 1.0 / most_events
    chunk = np.floor(np.cumsum(weight) - weight / 2).astype(np.int64)
    return np.split(order, np.flatnonzero(np.diff(chunk)) + 1)


def bytes_per_row(columns: tuple[str, ...]) -> int:
    """Count the bytes of one row of a subset: a date, and numbers."""
    return 4 + 8 * (len(columns) - 1)


def rows_of_securities(securities: pl.DataFrame) -> Ints:
    """List the rows of the whole panel that belong to some securities, one security after another."""
    firsts, lengths = first_rows(securities), securities["n_sessions"].to_numpy()
    start = np.repeat(firsts - (np.cumsum(lengths) - lengths), lengths)
    return np.asarray(start + np.arange(lengths.sum()))
