"""Some securities of a market, small enough to be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from marketimpact.core.arrays import Ints
from marketimpact.core.factorize import factorize
from marketimpact.estimation.positions import EventPositions
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.market.market import Market
from marketimpact.market.panel import ReturnPanel, first_rows
from marketimpact.market.session_returns import SINCE_TRADE
from marketimpact.models import Model

__all__ = ["PIECE_BYTES", "MarketSubset", "bytes_per_row", "chunks_by_security", "columns_of", "subset_for"]

#: Largest number of bytes of returns in one subset by default: what Dask sends without a warning.
PIECE_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class MarketSubset:
    """Returns of some securities of a market, with the columns that a model reads.

    Attributes
    ----------
    panel : ReturnPanel
        In memory, or on disk and read in the worker.
    factors : tuple of str
        Names of the factor columns in it.
    unit : str
        Unit of the returns; see `Market`.
    """

    panel: ReturnPanel
    factors: tuple[str, ...]
    unit: str

    @property
    def size(self) -> int:
        """Bytes to send, about."""
        return self.panel.nbytes

    def market(self) -> Market:
        """Build a market of these securities in memory; clocks, findings and repairs stay behind."""
        return Market(
            return_panel=self.panel.load(),
            factors=self.factors,
            source="some securities of a market",
            simulated=False,
            fingerprint="",
            unit=self.unit,  # type: ignore[arg-type]  # a market's own
        )


def subset_for(
    positions: EventPositions, market: Market, model: Model, settings: EstimationSettings
) -> tuple[MarketSubset, EventPositions, EstimationSettings]:
    """Cut out the securities that some events need; return positions and settings in the rows of the subset."""
    used, security, *_ = factorize(positions.security)
    columns = columns_of(market, model)
    factors = tuple(name for name in market.factors if name in columns)
    panel = market.return_panel.take(used, columns)
    moved = replace(positions, first_row=first_rows(panel.securities)[security], security=security)
    if settings.excluded is not None:
        settings = replace(settings, excluded=settings.excluded[_rows_of(market.first_rows[used])])
    return MarketSubset(panel, factors, market.unit), moved, settings


def columns_of(market: Market, model: Model) -> tuple[str, ...]:
    """Name the columns of the panel that the model's numbers rest on."""
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


def _rows_of(securities: pl.DataFrame) -> Ints:
    """List the rows of the whole panel that belong to some securities, one security after another."""
    firsts, lengths = first_rows(securities), securities["n_sessions"].to_numpy()
    start = np.repeat(firsts - (np.cumsum(lengths) - lengths), lengths)
    return np.asarray(start + np.arange(lengths.sum()))
