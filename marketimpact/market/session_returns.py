"""Compute returns on each exchange's own sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.day_table import DayTable, day_numbers
from marketimpact.core.symbol_rows import codes, keep_rows, neighbour

__all__ = ["SINCE_TRADE", "SessionGrid", "extent", "since_trade", "spans"]

#: Columns that refer to the last session with a trade.
SINCE_TRADE = ("ret_since_trade", "sessions_since_trade", "market_since_trade")


def extent(prices: pl.DataFrame) -> tuple[date, date]:
    """Return the first and last date."""
    row = prices.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    return row[0], row[1]


def spans(frame: pl.DataFrame) -> pl.DataFrame:
    """Return ``symbol, first, last``: each symbol's first and last date."""
    return (
        frame.group_by("symbol")
        .agg(pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))
        .sort("symbol")
    )


@dataclass(frozen=True, eq=False)
class SessionGrid:
    """The rows of N series, one row per session of a series' exchange, one series after another; R in all.

    Attributes
    ----------
    symbols : polars.Series
        Symbol of each series, each once.
    mics : polars.Series
        Exchange of each series.
    sessions : polars.DataFrame
        ``mic, date``, sorted.
    """

    symbols: pl.Series
    mics: pl.Series
    sessions: pl.DataFrame

    @cached_property
    def exchanges(self) -> pl.DataFrame:
        """``mic, first, length``: where the sessions of each exchange begin, and how many there are."""
        counts = self.sessions.group_by("mic", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("length"))
        return counts.with_columns((pl.col("length").cum_sum() - pl.col("length")).alias("first"))

    @cached_property
    def _exchange(self) -> Ints:
        return codes(self.mics, self.exchanges["mic"])

    @cached_property
    def lengths(self) -> Ints:
        """Number of sessions of each series, (N,)."""
        return np.append(self.exchanges["length"].to_numpy(), 0)[self._exchange]

    @cached_property
    def begins(self) -> Ints:
        """First row of each series, (N,)."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def _session_numbers(self) -> DayTable:
        lengths = self.exchanges["length"].to_numpy()
        number = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
        exchange = np.repeat(np.arange(len(lengths)), lengths)
        return DayTable.of(exchange, day_numbers(self.sessions["date"]), number, n_series=len(lengths), missing=-1)

    def session(self, series: Ints, dates: pl.Series) -> NDArray[np.int32]:
        """Return the number of the session of each pair of series and date; -1 where it is none."""
        return self._session_numbers.at(self._exchange[series], day_numbers(dates))

    def of_sessions(self, values: pl.Series) -> pl.Series:
        """Repeat values of `sessions` for every series: R values."""
        first = np.append(self.exchanges["first"].to_numpy(), 0)[self._exchange]
        parts = [values.slice(start, length) for start, length in zip(first, self.lengths, strict=True)]
        return pl.concat([values.clear(), *parts], rechunk=True)

    def on_sessions(self, prices: pl.DataFrame) -> pl.DataFrame:
        """Add ``session`` and ``row``, the row of the grid, to prices of the series; other symbols and days go.

        Parameters
        ----------
        prices : polars.DataFrame
            ``symbol, date``, sorted by both, and any columns.
        """
        runs = prices["symbol"].rle().struct.unnest()
        series = np.repeat(codes(runs["value"], self.symbols), runs["len"].to_numpy())
        session = self.session(series, prices["date"])
        rows = prices.with_columns(session=pl.Series(session), row=pl.Series(self.begins[series] + session))
        return keep_rows(rows, pl.lit(pl.Series(series >= 0)), pl.col("session") >= 0)

    def place(self, rows: pl.DataFrame, values: pl.Series) -> Floats:
        """Place a value for each row of `on_sessions`, (R,); NaN where there is none."""
        placed = np.full(int(self.lengths.sum()), np.nan)
        placed[rows["row"].to_numpy()] = values.to_numpy()
        return placed

    def place_returns(self, rows: pl.DataFrame) -> tuple[Floats, Floats]:
        """Compute simple returns between neighbouring sessions, and since the last close, (R,) each.

        A gap in closes is a gap in the first. A close of zero, a total loss, is a return of -1 after a gap too:
        whatever the price was, nothing is left.

        Parameters
        ----------
        rows : polars.DataFrame
            Closes as `on_sessions` returns them; empty ones are left out.
        """
        priced = keep_rows(rows, pl.col("close").is_not_null())
        before, distance = neighbour("close"), pl.col("session") - neighbour("session")
        is_loss = ((pl.col("close") == 0) & (before > 0)).fill_null(value=False)
        changes = priced.select(
            "row", change=pl.col("close") / before - 1.0, is_next=(distance == 1).fill_null(value=False) | is_loss
        )
        neighbours = keep_rows(changes, pl.col("is_next"))
        return self.place(neighbours, neighbours["change"]), self.place(changes, changes["change"])


def since_trade(panel: pl.DataFrame) -> pl.DataFrame:
    """Compute trade-to-trade returns, row for row beside `panel`; see `Market.since_trade`."""
    has_trade = pl.col("ret_since_trade").is_not_null()
    frame = panel
    if "ret_since_trade" not in panel.columns:
        frame = panel.with_columns(pl.col("ret").alias("ret_since_trade"))
    last_trade = pl.when(has_trade).then(pl.col("session")).forward_fill().shift(1).over("symbol")
    frame = frame.with_columns(
        pl.when(has_trade).then((pl.col("session") - last_trade).fill_null(1)).alias("sessions_since_trade"),
        pl.when(has_trade).then(pl.col("session")).backward_fill().over("symbol").alias("_gap"),
    )
    # the sum over a gap is unknown when one of its benchmark returns is
    is_complete = pl.col("market").is_not_null().all().over("symbol", "_gap")
    total = pl.when(is_complete).then(pl.col("market").sum().over("symbol", "_gap"))
    is_next = pl.col("sessions_since_trade") == 1
    return frame.select(
        "ret_since_trade",
        "sessions_since_trade",
        pl.when(has_trade).then(pl.when(is_next).then(pl.col("market")).otherwise(total)).alias("market_since_trade"),
    )
