"""Hold the return panel: returns by security and session, with the benchmark and factors that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats, Ints

__all__ = ["FramePanel", "ReturnPanel", "first_rows", "renumber_rows", "series_begins"]

#: Columns with numbers of the security's own; `market` belongs to a benchmark, every other column is a factor.
OWN_COLUMNS = ("ret", "ret_day", "ret_since_trade", "close", "volume")
#: Columns that follow from `ReturnPanel.securities`.
KEY_COLUMNS = ("symbol", "mic", "session")


class ReturnPanel(Protocol):
    """Rows by security and session of its exchange, sorted by (symbol, session); columns as in `Market.panel`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def securities(self) -> pl.DataFrame:
        """One row per security, in the order of the rows.

        ``symbol, mic``; ``first_row, first_session, n_sessions``: where its rows begin, the session of the first
        one, and how many there are; ``has_benchmark``: whether any benchmark return is known;
        ``series_of_benchmark, series_of_factors``: securities with equal numbers have equal benchmark returns, or
        factors, on all of their sessions.
        """

    @property
    def sessions(self) -> pl.DataFrame:
        """``mic, session, date`` of every exchange, sorted by date."""

    @property
    def on_disk(self) -> bool:
        """Whether the numbers are read from disk each time they are needed."""

    @property
    def limit_hits(self) -> pl.DataFrame | None:
        """`Market.limit_hits` where they are kept with the panel; None where they are found in its closes."""

    def values(self, column: str) -> Floats:
        """Return a column row by row; NaN where missing."""

    def series(self, column: str) -> tuple[Floats, Ints]:
        """Return the numbers of a column, and where among them those of each security begin.

        Securities that share a benchmark or factors share one copy: it stays in the processor's cache.
        """

    def dates(self) -> tuple[Ints, Ints]:
        """Return session dates as days since 1970-01-01, and where among them those of each security begin."""

    def take(self, securities: Ints, columns: Sequence[str]) -> ReturnPanel:
        """Return the panel of some securities (rows of `securities`) with at least these columns of numbers."""

    def load(self) -> ReturnPanel:
        """Return the panel in memory."""

    def to_frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return some or all columns as a frame."""


@dataclass(frozen=True, eq=False)
class FramePanel:
    """A return panel in memory.

    Attributes
    ----------
    frame : polars.DataFrame
        Columns of the panel. ``symbol, mic, session`` may be left out: they follow from `securities`.
    securities : polars.DataFrame
        See `ReturnPanel.securities`.
    limit_hits : polars.DataFrame or None
        See `ReturnPanel.limit_hits`.
    """

    frame: pl.DataFrame
    securities: pl.DataFrame
    limit_hits: pl.DataFrame | None = None

    on_disk = False

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, benchmarks: pl.DataFrame | None = None) -> FramePanel:
        """Index a frame sorted by (symbol, session).

        Parameters
        ----------
        frame : polars.DataFrame
            Columns of `Market.panel`. Factors are those of the session's date on the exchange.
        benchmarks : polars.DataFrame, optional
            ``symbol, benchmark``: securities of one exchange with equal values, whatever these are, have the same
            benchmark returns. By default every security has its own.
        """
        securities = frame.with_row_index("_row").group_by("symbol", maintain_order=True).agg(
            pl.col("mic").first(),
            pl.col("_row").first().cast(pl.Int64).alias("first_row"),
            pl.col("session").first().alias("first_session"),
            pl.len().cast(pl.Int64).alias("n_sessions"),
            pl.col("market").is_not_null().any().alias("has_benchmark"),
        )  # fmt: skip
        if benchmarks is None:
            benchmarks = securities.select("symbol", benchmark="symbol")
        securities = securities.join(benchmarks, on="symbol", how="left", validate="1:1", maintain_order="left")
        sessions = ["mic", "first_session", "n_sessions"]
        securities = securities.with_columns(
            pl.col("first_row").first().over("benchmark", *sessions).alias("series_of_benchmark"),
            pl.col("first_row").first().over(sessions).alias("series_of_factors"),
        )
        return cls(frame, securities.drop("benchmark"))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (*(key for key in KEY_COLUMNS if key not in self.frame.columns), *self.frame.columns)

    @cached_property
    def sessions(self) -> pl.DataFrame:
        """``mic, session, date`` of every exchange, sorted by date."""
        spans = self.securities.unique(["mic", "first_session", "n_sessions"], maintain_order=True)
        dates = [self.frame["date"].slice(*row) for row in spans.select("first_row", "n_sessions").iter_rows()]
        numbers = spans.select("mic", pl.int_ranges("first_session", pl.col("first_session") + pl.col("n_sessions")))
        frame = numbers.explode("first_session").rename({"first_session": "session"})
        return frame.with_columns(pl.concat(dates).alias("date")).unique().sort("date", "mic")

    def values(self, column: str) -> Floats:
        """Return a column row by row; NaN where missing."""
        return self.frame[column].cast(pl.Float64).to_numpy()

    def series(self, column: str) -> tuple[Floats, Ints]:
        """Return a column, and at which of its rows each security reads it; see `ReturnPanel.series`."""
        return self.values(column), series_begins(self.securities, column)

    def dates(self) -> tuple[Ints, Ints]:
        """Return the date of every row as days since 1970-01-01, and where each security begins."""
        return self.frame["date"].to_physical().to_numpy().astype(np.int64), first_rows(self.securities)

    def take(self, securities: Ints, columns: Sequence[str]) -> FramePanel:
        """Return the panel of some securities with some columns of numbers."""
        index = self.securities[securities]
        numbers = self.frame.select(columns)
        rows = [numbers.slice(*row) for row in index.select("first_row", "n_sessions").iter_rows()]
        return FramePanel(pl.concat(rows, rechunk=True), renumber_rows(index))

    def load(self) -> FramePanel:
        """Return the panel itself: it is in memory."""
        return self

    def to_frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return some or all columns as a frame."""
        names = self.columns if columns is None else columns
        keys = [self._key(name) for name in names if name not in self.frame.columns]
        return self.frame.with_columns(keys).select(names) if keys else self.frame.select(names)

    @cached_property
    def _keys(self) -> dict[str, pl.Series]:
        return {}

    def _key(self, name: str) -> pl.Series:
        """Return a key column, made at most once."""
        if name not in self._keys:
            self._keys[name] = self._make_key(name)
        return self._keys[name]

    def _make_key(self, name: str) -> pl.Series:
        """Repeat a key column of `securities` on each row, or number the sessions."""
        lengths = self.securities["n_sessions"].to_numpy()
        owner = np.repeat(np.arange(len(lengths)), lengths)
        if name != "session":
            return self.securities[name].gather(owner)
        offset = self.securities["first_session"].to_numpy() - first_rows(self.securities)
        return pl.Series(name, np.arange(len(owner)) + offset[owner])


def first_rows(securities: pl.DataFrame) -> Ints:
    """Return the row at which each security begins."""
    return securities["first_row"].to_numpy()


def series_begins(securities: pl.DataFrame, column: str) -> Ints:
    """Return the row at which each security reads a column: that of the first security with the same series."""
    if column in OWN_COLUMNS:
        return first_rows(securities)
    series = "series_of_benchmark" if column == "market" else "series_of_factors"
    return securities.select(pl.col("first_row").first().over(series)).to_series().to_numpy()


def renumber_rows(securities: pl.DataFrame) -> pl.DataFrame:
    """Set `first_row` for securities whose rows stand one after another."""
    lengths = pl.col("n_sessions")
    return securities.with_columns((lengths.cum_sum() - lengths).alias("first_row"))
