"""Some securities of a market, as small as they can be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from marketimpact.core.arrays import Ints
from marketimpact.core.factorize import factorize
from marketimpact.estimation.positions import EventPositions
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.market import parquet_panel as datasets
from marketimpact.market import session_returns as panels
from marketimpact.market.market import Market
from marketimpact.models import Model

__all__ = ["PIECE_BYTES", "MarketSubset", "bytes_per_row", "chunks_by_security", "columns_of", "subset_for"]

#: Bytes of returns in one slice at most where nobody says otherwise: what Dask sends without a warning.
PIECE_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class MarketSubset:
    """Rows of some securities: dates and the numbers a model reads; what repeats is told once.

    Attributes
    ----------
    index : polars.DataFrame
        ``symbol, mic, n_sessions``: whose rows stand one after another.
    columns : tuple of str
        ``date``, ``ret``, ``market`` and the model's columns.
    values : polars.DataFrame or pathlib.Path
        These columns, or the folder of the dataset to read them from.
    factors : tuple of str
        Which of these are factors.
    unit : str
        What returns are.
    """

    index: pl.DataFrame
    columns: tuple[str, ...]
    values: pl.DataFrame | Path
    factors: tuple[str, ...]
    unit: str

    @property
    def size(self) -> int:
        """Bytes to send, about."""
        return 0 if isinstance(self.values, Path) else int(self.values.estimated_size())

    def market(self) -> Market:
        """A market of these securities with what estimation reads, and nothing else."""
        n_sessions = self.index["n_sessions"].to_numpy()
        owner = np.repeat(np.arange(self.index.height), n_sessions)
        start = np.repeat(np.cumsum(n_sessions) - n_sessions, n_sessions)
        values = self.values
        if isinstance(values, Path):
            values = datasets.read(values, self.index["symbol"].to_list(), self.columns)
        panel = self.index.select("symbol", "mic")[owner].with_columns(
            pl.Series("session", np.arange(len(owner)) - start), *values
        )
        empty = pl.DataFrame()
        return Market(
            panel=panel,
            securities=empty,
            sessions=empty,
            repairs=empty,
            spans=empty,
            missing=(),
            factors=self.factors,
            source="a slice of a market",
            simulated=False,
            fingerprint="",
            unit=self.unit,  # type: ignore[arg-type]  # a market's own
        )


def subset_for(
    places: EventPositions, market: Market, model: Model, windows: EstimationSettings
) -> tuple[MarketSubset, EventPositions, EstimationSettings]:
    """The slice that some events need, and their places and windows in its rows instead of the market's."""
    securities, codes, *_ = factorize(places.security)
    homes = market.first_rows[securities]
    columns = columns_of(market, model)
    factors = tuple(name for name in market.factors if name in columns)
    values = _values(market, homes, columns) if market.dataset is None else market.dataset.folder
    part = MarketSubset(homes.select("symbol", "mic", "n_sessions"), columns, values, factors, market.unit)
    lengths = homes["n_sessions"].to_numpy()
    moved = replace(places, first_row=(np.cumsum(lengths) - lengths)[codes], security=codes)
    if windows.excluded is not None:
        windows = replace(windows, excluded=windows.excluded[_rows(homes)])
    return part, moved, windows


def columns_of(market: Market, model: Model) -> tuple[str, ...]:
    """Columns of the panel that the model's numbers rest on."""
    design = model.design
    names = ["date", "ret", "market", *design.columns, design.response]
    if set(names).intersection(panels.SINCE_TRADE):
        names.append("ret_since_trade")
    return tuple(dict.fromkeys(name for name in names if name in market.panel_columns))


def chunks_by_security(
    first_row: Ints, n_sessions: Ints, row_bytes: int, most_bytes: float, most_events: int
) -> list[Ints]:
    """Rows of events in chunks that hold few securities, few bytes of their returns and few events.

    A security's returns count once per chunk, however many of its events are in it.
    """
    order = np.argsort(first_row, kind="stable")
    fresh = np.diff(first_row[order], prepend=-1) != 0
    weight = np.where(fresh, n_sessions[order], 0) * row_bytes / most_bytes + 1.0 / most_events
    number = np.floor(np.cumsum(weight) - weight / 2).astype(np.int64)
    return np.split(order, np.flatnonzero(np.diff(number)) + 1)


def bytes_per_row(columns: tuple[str, ...]) -> int:
    """What a row of a slice weighs: a date, and numbers."""
    return 4 + 8 * (len(columns) - 1)


def _values(market: Market, homes: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    spans = homes.select("first_row", "n_sessions").iter_rows()
    frame = market.select(*columns)
    return pl.concat([frame.slice(first, length) for first, length in spans], rechunk=True)


def _rows(homes: pl.DataFrame) -> Ints:
    """Rows of the whole panel that a slice of `homes` holds, in its order."""
    firsts, lengths = homes["first_row"].to_numpy(), homes["n_sessions"].to_numpy()
    start = np.repeat(firsts - (np.cumsum(lengths) - lengths), lengths)
    return np.asarray(start + np.arange(lengths.sum()))
