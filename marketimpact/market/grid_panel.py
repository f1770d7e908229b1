"""A panel of returns that stand by symbol and date: what repeats is told once, and columns are made when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["GridPanel"]


@dataclass(frozen=True, eq=False)
class GridPanel:
    """The panel of a market whose S securities share T sessions: a row per security and session, S T in all.

    Attributes
    ----------
    symbols : polars.Series
        Of the securities, sorted; (S,).
    days : polars.DataFrame
        ``date, ret`` (of the benchmark) and one column per factor, by date; T rows.
    ret : (S, T) array
        Simple returns (fraction per session); NaN where there is none.
    mic : str
        What stands for the exchange.
    """

    symbols: pl.Series
    days: pl.DataFrame
    ret: NDArray[np.float64]
    mic: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the panel."""
        return ("symbol", "mic", "session", "date", "ret", "market", *self.days.columns[2:])

    @property
    def numbered(self) -> pl.DataFrame:
        """``mic, session, date``."""
        session = pl.int_range(pl.len(), dtype=pl.Int64).alias("session")
        return self.days.select(pl.lit(self.mic).alias("mic"), session, "date")

    @property
    def unpriced(self) -> pl.DataFrame:
        """``symbol, empty``: whether the security's benchmark has no returns at all."""
        empty = self.days["ret"].null_count() == self.days.height
        return self.symbols.to_frame().with_columns(pl.lit(empty).alias("empty"))

    @property
    def first_rows(self) -> pl.DataFrame:
        """``symbol, mic, first_row, first_session, n_sessions``: where each security starts in the panel."""
        length = pl.lit(self.days.height, dtype=pl.Int64)
        return self.symbols.to_frame().select(
            "symbol",
            pl.lit(self.mic).alias("mic"),
            (pl.int_range(pl.len(), dtype=pl.Int64) * length).alias("first_row"),
            pl.lit(0, dtype=pl.Int64).alias("first_session"),
            length.alias("n_sessions"),
        )

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of the panel."""
        # a literal beside a column takes no memory until somebody looks into it
        made = {name: self._series(name) for name in columns if name != "mic"} or {"ret": self._series("ret")}
        return pl.DataFrame(made).with_columns(pl.lit(self.mic).alias("mic")).select(columns)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of returns or factors, (S T,); NaN where missing."""
        return self.ret.ravel() if name == "ret" else self._series(name).to_numpy()

    def series(self, name: str) -> NDArray[np.float64]:
        """What all securities share of a benchmark or factor, (T,); NaN where missing."""
        return self.days["ret" if name == "market" else name].cast(pl.Float64).to_numpy()

    @cached_property
    def dates(self) -> NDArray[np.int64]:
        """Date of every row as days since 1970-01-01, (S T,)."""
        return np.tile(self.session_dates, len(self.symbols))

    @property
    def session_dates(self) -> NDArray[np.int64]:
        """Date of every session as days since 1970-01-01, (T,)."""
        return self.days["date"].to_physical().to_numpy().astype(np.int64)

    @cached_property
    def _made(self) -> dict[str, pl.Series]:
        return {}

    def _series(self, name: str) -> pl.Series:
        if name not in self._made:
            self._made[name] = self._of(name).alias(name)
        return self._made[name]

    def _of(self, name: str) -> pl.Series:
        height = self.days.height
        if name == "ret":
            ret = pl.Series(self.ret.ravel())
            return ret.fill_nan(None) if ret.is_nan().any() else ret
        if name == "symbol":
            owner = np.repeat(np.arange(len(self.symbols), dtype=np.uint32), height)
            return self.symbols.gather(owner).set_sorted()
        if name == "session":
            return pl.Series(np.tile(np.arange(height), len(self.symbols)))
        values = self.days["ret" if name == "market" else name]
        if values.null_count():
            return values.gather(np.tile(np.arange(height, dtype=np.uint32), len(self.symbols)))
        return pl.Series(np.tile(values.to_physical().to_numpy(), len(self.symbols))).cast(values.dtype)
