"""Compute log returns of prices and of their benchmarks for the checks."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core.arrays import Ints
from marketimpact.core.day_table import DayTable, day_numbers
from marketimpact.core.symbol_rows import codes, neighbour, of_symbols, owners
from marketimpact.market.checks.stated_payouts import adjusted_close

__all__ = ["with_returns"]

#: Fewest symbols of an exchange whose median return stands for its market.
MIN_SYMBOLS_FOR_MEDIAN = 5


def with_returns(own: pl.DataFrame, facts: pl.DataFrame, payouts: pl.DataFrame) -> pl.DataFrame:
    """Add ``gap, reference, ret, market, own`` to rows that have a session; see `CheckedPrices`.

    Parameters
    ----------
    own : polars.DataFrame
        ``symbol, date, close, session``, sorted by symbol and date.
    facts : polars.DataFrame
        ``symbol, calendar, benchmark`` of their symbols.
    payouts : polars.DataFrame
        ``symbol, date, payout, ratio`` of some of the rows.
    """
    frame = _with_total(own, payouts)
    owner, known = owners(own["symbol"]), of_symbols(facts, own["symbol"])
    benchmarks, calendars = (facts[name].drop_nulls().unique().sort() for name in ("benchmark", "calendar"))
    calendar = codes(known["calendar"], calendars)[owner]
    frame = frame.with_columns(
        (pl.col("session") - neighbour("session") - 1).cast(pl.Int64).alias("gap"),
        pl.col("total").log().alias("ret"),
        _levels(frame, benchmarks, codes(known["benchmark"], benchmarks)[owner]).log().alias("market"),
    ).with_columns(pl.col(name) - neighbour(name) for name in ("ret", "market"))
    frame = _with_medians(frame, calendar)
    return frame.with_columns((pl.col("ret") - pl.col("market").fill_null(0.0)).alias("own")).drop("total")


def _with_total(own: pl.DataFrame, payouts: pl.DataFrame) -> pl.DataFrame:
    """Add ``total``, closes adjusted for payouts, and ``reference``, the close before in terms of the day."""
    before = neighbour("close")
    if payouts.is_empty():
        return own.with_columns(before.alias("reference"), pl.col("close").alias("total"))
    keys = ["symbol", "date"]
    frame = own.join(
        payouts.drop("stated_on", strict=False), on=keys, how="left", validate="m:1", maintain_order="left"
    )
    frame = frame.with_columns(pl.col("payout").fill_null(0.0), pl.col("ratio").fill_null(1.0))
    return frame.with_columns(
        ((before - pl.col("payout")) / pl.col("ratio")).alias("reference"), adjusted_close().alias("total")
    ).drop("payout", "ratio")


def _levels(frame: pl.DataFrame, names: pl.Series, benchmark: Ints) -> pl.Series:
    """Return the price of the benchmark, a number among the names, on each row's day; null where it has none."""
    rows = of_symbols(frame.select("symbol", "date", "total"), names)
    days = day_numbers(rows["date"])
    table = DayTable.of(
        codes(rows["symbol"], names), days, rows["total"].to_numpy(), n_series=len(names), missing=np.nan
    )
    return pl.Series("market", table.at(benchmark, day_numbers(frame["date"])), nan_to_null=True)


def _with_medians(frame: pl.DataFrame, calendar: Ints) -> pl.DataFrame:
    """Put the median return of the exchange in place of a benchmark return that is missing."""
    counts = frame.group_by("symbol").agg(pl.col("market").count(), pl.len().alias("rows"))
    # the first return of a symbol is missing in any case, unless it has no other
    gaps = counts.filter(pl.col("market") < pl.col("rows") - 1)["symbol"]
    alone = counts.filter(pl.col("market") == 0)["symbol"]
    is_gap = pl.col("ret").is_not_null() & pl.col("symbol").is_in(gaps.implode())
    needed = frame.select(
        pl.col("market").is_null() & pl.Series(calendar >= 0) & (is_gap | pl.col("symbol").is_in(alone.implode()))
    ).to_series()
    if not needed.any():
        return frame
    day = day_numbers(frame["date"]) * np.int64(calendar.max() + 1) + calendar
    dated = frame.select("ret", "gap").with_columns(day=pl.Series(day)).with_row_index("row")
    rows, ret = dated.filter(needed), pl.col("ret")
    peers = dated.filter(pl.col("gap") == 0, pl.col("day").is_in(rows["day"].unique().implode()))
    medians = peers.group_by("day").agg(
        pl.when(ret.count() >= MIN_SYMBOLS_FOR_MEDIAN).then(ret.median()).alias("median")
    )
    found = rows.join(medians, on="day", how="left", validate="m:1", maintain_order="left")
    market = frame["market"].scatter(found["row"], found["median"])
    return frame.with_columns(market)
