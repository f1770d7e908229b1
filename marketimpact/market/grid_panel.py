"""Hold returns of securities that share their sessions as an array by symbol and date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats, Ints
from marketimpact.market.panel import first_rows

__all__ = ["GridPanel"]


@dataclass(frozen=True, eq=False)
class GridPanel:
    """The return panel of S securities that share T sessions: a row per security and session, S T in all.

    Benchmark and factors are stored once; columns of S T rows are made when they are first read.

    Attributes
    ----------
    symbols : polars.Series
        Symbols of the securities, sorted; (S,).
    days : polars.DataFrame
        ``date, ret`` (of the benchmark) and one column per factor, by date; T rows.
    ret : (S, T) array
        Simple returns (fraction per session); NaN where missing.
    mic : str
        Stands for the exchange.
    """

    symbols: pl.Series
    days: pl.DataFrame
    ret: NDArray[np.float64]
    mic: str

    on_disk = False
    limit_hits = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return ("symbol", "mic", "session", "date", "ret", "market", *self.days.columns[2:])

    @cached_property
    def securities(self) -> pl.DataFrame:
        """One row per security; see `ReturnPanel.securities`."""
        n_sessions = pl.lit(self.days.height, dtype=pl.Int64)
        has_benchmark = self.days["ret"].null_count() < self.days.height
        return self.symbols.to_frame().select(
            "symbol",
            pl.lit(self.mic).alias("mic"),
            (pl.int_range(pl.len(), dtype=pl.Int64) * n_sessions).alias("first_row"),
            pl.lit(0, dtype=pl.Int64).alias("first_session"),
            n_sessions.alias("n_sessions"),
            pl.lit(has_benchmark).alias("has_benchmark"),
            pl.lit(0, dtype=pl.Int64).alias("series_of_benchmark"),
            pl.lit(0, dtype=pl.Int64).alias("series_of_factors"),
        )

    @property
    def sessions(self) -> pl.DataFrame:
        """``mic, session, date``."""
        session = pl.int_range(pl.len(), dtype=pl.Int64).alias("session")
        return self.days.select(pl.lit(self.mic).alias("mic"), session, "date")

    def values(self, column: str) -> Floats:
        """Return a column row by row, (S T,); NaN where missing."""
        return self.ret.ravel() if column == "ret" else self._column(column).cast(pl.Float64).to_numpy()

    def series(self, column: str) -> tuple[Floats, Ints]:
        """Return a benchmark or factor once, (T,), and 0 as its begin for each security; see `ReturnPanel.series`."""
        if column == "ret":
            return self.values(column), first_rows(self.securities)
        return self._of_date(column).cast(pl.Float64).to_numpy(), self._zeros()

    def dates(self) -> tuple[Ints, Ints]:
        """Return session dates as days since 1970-01-01, (T,), and 0 as their begin for each security."""
        return self.days["date"].to_physical().to_numpy().astype(np.int64), self._zeros()

    def take(self, securities: Ints, columns: Sequence[str]) -> GridPanel:
        """Return the panel of some securities with at least some columns of numbers."""
        factors = [name for name in self.days.columns[2:] if name in columns]
        days = self.days.select("date", "ret", *factors)
        return GridPanel(self.symbols.gather(securities), days, self.ret[securities], self.mic)

    def load(self) -> GridPanel:
        """Return the panel itself: it is in memory."""
        return self

    def to_frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return some or all columns as a frame."""
        names = self.columns if columns is None else columns
        # a literal beside a column takes no memory until it is read
        series = [self._column(name) for name in names if name != "mic"] or [self._column("ret")]
        return pl.DataFrame(series).with_columns(pl.lit(self.mic).alias("mic")).select(names)

    def _zeros(self) -> Ints:
        return np.zeros(len(self.symbols), dtype=np.int64)

    def _of_date(self, column: str) -> pl.Series:
        """Return a column that depends on the date alone, (T,)."""
        return self.days["ret" if column == "market" else column]

    @cached_property
    def _columns(self) -> dict[str, pl.Series]:
        return {}

    def _column(self, name: str) -> pl.Series:
        """Return a column of S T rows, made at most once."""
        if name not in self._columns:
            self._columns[name] = self._make_column(name).alias(name)
        return self._columns[name]

    def _make_column(self, name: str) -> pl.Series:
        n_symbols, n_sessions = self.ret.shape
        if name == "ret":
            ret = pl.Series(self.ret.ravel())
            return ret.fill_nan(None) if ret.is_nan().any() else ret
        if name == "symbol":
            return self.symbols.gather(np.repeat(np.arange(n_symbols, dtype=np.uint32), n_sessions)).set_sorted()
        if name == "session":
            return pl.Series(np.tile(np.arange(n_sessions), n_symbols))
        values = self._of_date(name)
        if values.null_count():
            return values.gather(np.tile(np.arange(n_sessions, dtype=np.uint32), n_symbols))
        return pl.Series(np.tile(values.to_physical().to_numpy(), n_symbols)).cast(values.dtype)
