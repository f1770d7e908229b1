"""Some securities of a market, as small as they can be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact import panels
from marketimpact.market import Market
from marketimpact.models import Model

__all__ = ["Slice", "bytes_per_row", "columns_of", "of"]


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of some securities: dates and the numbers a model reads; what repeats is told once.

    Attributes
    ----------
    index : polars.DataFrame
        ``symbol, mic, n_sessions``: whose rows stand one after another.
    values : polars.DataFrame
        ``date``, ``ret``, ``market`` and the model's columns.
    factors : tuple of str
        Which of these are factors.
    unit : str
        What returns are.
    """

    index: pl.DataFrame
    values: pl.DataFrame
    factors: tuple[str, ...]
    unit: str

    def market(self) -> Market:
        """A market of these securities with what estimation reads, and nothing else."""
        n_sessions = self.index["n_sessions"].to_numpy()
        owner = np.repeat(np.arange(self.index.height), n_sessions)
        start = np.repeat(np.cumsum(n_sessions) - n_sessions, n_sessions)
        panel = self.index.select("symbol", "mic")[owner].with_columns(
            pl.Series("session", np.arange(len(owner)) - start), *self.values
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


def of(market: Market, homes: pl.DataFrame, columns: tuple[str, ...]) -> Slice:
    """Slice the rows of `homes` (``symbol, mic, first_row, n_sessions``) out of a market."""
    spans = homes.select("first_row", "n_sessions").iter_rows()
    values = pl.concat([market.panel.select(columns).slice(first, length) for first, length in spans], rechunk=True)
    factors = tuple(name for name in market.factors if name in columns)
    return Slice(homes.select("symbol", "mic", "n_sessions"), values, factors, market.unit)


def columns_of(market: Market, model: Model) -> tuple[str, ...]:
    """Columns of the panel that the model's numbers rest on."""
    design = model.design
    names = ["date", "ret", "market", *design.columns, design.response]
    if set(names).intersection(panels.SINCE_TRADE):
        names.append("ret_since_trade")
    return tuple(dict.fromkeys(name for name in names if name in market.panel.columns))


def bytes_per_row(columns: tuple[str, ...]) -> int:
    """What a row of a slice weighs: a date, and numbers."""
    return 4 + 8 * (len(columns) - 1)


def rows_of(homes: pl.DataFrame) -> NDArray[np.int64]:
    """Rows of the whole panel that a slice of `homes` holds, in its order."""
    firsts, lengths = homes["first_row"].to_numpy(), homes["n_sessions"].to_numpy()
    start = np.repeat(firsts - (np.cumsum(lengths) - lengths), lengths)
    return np.asarray(start + np.arange(lengths.sum()))
