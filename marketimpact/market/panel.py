"""What a market holds of its panel: a frame, a grid of returns or a folder on disk, asked in one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.market import session_returns as panels
from marketimpact.market.grid_panel import GridPanel
from marketimpact.market.parquet_panel import ParquetPanel
from marketimpact.market.shared_series import first_alike

__all__ = ["FramePanel", "HoldsPanel", "Panel", "Rows", "rows_of"]


@dataclass(frozen=True, eq=False)
class FramePanel:
    """A panel in memory, sorted by (symbol, session)."""

    frame: pl.DataFrame

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the panel."""
        return tuple(self.frame.columns)

    @property
    def numbered(self) -> pl.DataFrame:
        """``mic, session, date``: the sessions in it, by date."""
        return self.frame.select("mic", "session", "date").unique().sort("date")

    @property
    def unpriced(self) -> pl.DataFrame:
        """``symbol, empty``: whether the security's benchmark has no returns at all."""
        return self.frame.group_by("symbol").agg(pl.col("market").is_null().all().alias("empty"))

    @property
    def first_rows(self) -> pl.DataFrame:
        """``symbol, mic, first_row, first_session, n_sessions``: where each security starts."""
        return (
            self.frame.with_row_index("row")
            .group_by("symbol", maintain_order=True)
            .agg(
                pl.col("mic").first(),
                pl.col("row").first().cast(pl.Int64).alias("first_row"),
                pl.col("session").first().alias("first_session"),
                pl.len().cast(pl.Int64).alias("n_sessions"),
            )
        )

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of it."""
        return self.frame.select(columns)


Rows = FramePanel | GridPanel | ParquetPanel


class Panel:
    """The panel as a frame to everyone who asks, whatever is held; that of a dataset is read anew each time."""

    def __get__(self, market: Any, owner: type | None = None) -> pl.DataFrame:
        if market is None:
            raise AttributeError("panel")  # so that the field has no default
        rows = rows_of(market)
        return rows.frame if isinstance(rows, FramePanel) else rows.read(rows.columns)

    def __set__(self, market: Any, value: pl.DataFrame | GridPanel | ParquetPanel) -> None:
        market.__dict__["panel"] = value


def rows_of(market: Any) -> Rows:
    """The rows of a market's panel."""
    held: pl.DataFrame | GridPanel | ParquetPanel = market.__dict__["panel"]
    return FramePanel(held) if isinstance(held, pl.DataFrame) else held


class HoldsPanel:
    """What is asked of a market's panel: columns, numbers, sessions, where securities begin."""

    @property
    def dataset(self) -> ParquetPanel | None:
        """Where the panel lies on disk; None where it is held."""
        rows = rows_of(self)
        return rows if isinstance(rows, ParquetPanel) else None

    @property
    def panel_columns(self) -> tuple[str, ...]:
        """Names of the panel's columns."""
        return rows_of(self).columns

    def select(self, *columns: str) -> pl.DataFrame:
        """Some columns of `panel`; no others are made or read."""
        return rows_of(self).read(columns)

    @cached_property
    def numbered(self) -> pl.DataFrame:
        """``mic, session, date``: the sessions in `panel`, by date."""
        return rows_of(self).numbered

    @cached_property
    def unpriced(self) -> pl.DataFrame:
        """``symbol, empty``: whether the security's benchmark has no returns at all."""
        return rows_of(self).unpriced

    @cached_property
    def first_rows(self) -> pl.DataFrame:
        """``symbol, mic, first_row, first_session, n_sessions``: where a security starts in `panel`."""
        return rows_of(self).first_rows

    @cached_property
    def _columns(self) -> dict[str, NDArray[np.float64]]:
        return {}

    def column(self, name: str) -> NDArray[np.float64]:
        """A column of `panel`, or of `since_trade`, as numbers; NaN where missing."""
        if name not in self._columns:
            rows = rows_of(self)
            if isinstance(rows, GridPanel) and name in rows.columns:
                self._columns[name] = rows.numbers(name)
            else:
                frame = rows.read([name]) if name in rows.columns else self.since_trade
                self._columns[name] = frame[name].cast(pl.Float64).to_numpy()
        return self._columns[name]

    def series(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Numbers of a benchmark or factor, and where among them those of each security of `first_rows` begin.

        Securities whose numbers are the same share them: whoever reads them finds them in the processor's cache.
        """
        if name not in self._series:
            rows, firsts = rows_of(self), self.first_rows
            if isinstance(rows, GridPanel) and name in rows.columns and name != "ret":
                self._series[name] = rows.series(name), np.zeros(firsts.height, dtype=np.int64)
            else:
                column, starts = self.column(name), firsts["first_row"].to_numpy()
                self._series[name] = column, first_alike(column, starts, firsts["n_sessions"].to_numpy())
        return self._series[name]

    @cached_property
    def dates(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sessions as days since 1970-01-01, and where among them those of each security of `first_rows` begin."""
        rows = rows_of(self)
        if isinstance(rows, GridPanel):
            return rows.session_dates, np.zeros(self.first_rows.height, dtype=np.int64)
        return self.days, self.first_rows["first_row"].to_numpy()

    @cached_property
    def _series(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]:
        return {}

    @cached_property
    def days(self) -> NDArray[np.int64]:
        """Date of every row of `panel` as days since 1970-01-01."""
        rows = rows_of(self)
        if isinstance(rows, GridPanel):
            return rows.dates
        return rows.read(["date"])["date"].to_physical().to_numpy().astype(np.int64)

    @cached_property
    def since_trade(self) -> pl.DataFrame:
        """``ret_since_trade, sessions_since_trade, market_since_trade``: trade-to-trade returns.

        Row for row beside `panel`; null on sessions without a trade. The first return of a security
        counts one session; `market_since_trade` is the sum of the benchmark's returns over the gap.
        """
        needed = ("symbol", "session", "ret", "market", "ret_since_trade")
        return panels.since_trade(self.select(*(name for name in needed if name in self.panel_columns)))
