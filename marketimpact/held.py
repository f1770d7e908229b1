"""What a market holds of its panel: a frame, a grid of returns or a folder on disk, asked in one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.datasets import Dataset
from marketimpact.grids import Grid

__all__ = ["Held", "Panel", "Rows", "dates_of", "days_of", "numbers_of", "rows_of", "series_of"]


@dataclass(frozen=True, eq=False)
class Held:
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


Rows = Held | Grid | Dataset


class Panel:
    """The panel as a frame to everyone who asks, whatever is held; that of a dataset is read anew each time."""

    def __get__(self, market: Any, owner: type | None = None) -> pl.DataFrame:
        if market is None:
            raise AttributeError("panel")  # so that the field has no default
        rows = rows_of(market)
        return rows.frame if isinstance(rows, Held) else rows.read(rows.columns)

    def __set__(self, market: Any, value: pl.DataFrame | Grid | Dataset) -> None:
        market.__dict__["panel"] = value


def rows_of(market: Any) -> Rows:
    """The rows of a market's panel."""
    held: pl.DataFrame | Grid | Dataset = market.__dict__["panel"]
    return Held(held) if isinstance(held, pl.DataFrame) else held


def numbers_of(rows: Rows, name: str) -> NDArray[np.float64]:
    """A column as numbers; NaN where missing."""
    if isinstance(rows, Grid):
        return rows.numbers(name)
    return rows.read([name])[name].cast(pl.Float64).to_numpy()


def series_of(rows: Rows, name: str) -> NDArray[np.float64] | None:
    """Numbers of a column that are the same for every security, (T,); None where they may differ."""
    return rows.series(name) if isinstance(rows, Grid) and name in rows.columns and name != "ret" else None


def dates_of(rows: Rows) -> NDArray[np.int64] | None:
    """Dates of the sessions that all securities share, (T,); None where calendars differ."""
    return rows.days["date"].to_physical().to_numpy().astype(np.int64) if isinstance(rows, Grid) else None


def days_of(rows: Rows) -> NDArray[np.int64]:
    """Date of every row as days since 1970-01-01."""
    if isinstance(rows, Grid):
        return rows.dates
    return rows.read(["date"])["date"].to_physical().to_numpy().astype(np.int64)
