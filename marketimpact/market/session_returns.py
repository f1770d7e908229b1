"""Frames of prices become frames of returns on each exchange's own sessions."""

from __future__ import annotations

from datetime import date

import polars as pl

__all__ = [
    "SINCE_TRADE",
    "benchmark_returns",
    "close_empty_sessions",
    "extent",
    "number_sessions",
    "returns_on_sessions",
    "since_trade",
    "spans",
]

#: A closure is believed when at least this many securities of the exchange should have had a price.
SEVERAL = 2
#: Columns that refer to the last session with a trade.
SINCE_TRADE = ("ret_since_trade", "sessions_since_trade", "market_since_trade")


def extent(prices: pl.DataFrame) -> tuple[date, date]:
    """First and last date."""
    row = prices.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    return row[0], row[1]


def number_sessions(sessions: pl.DataFrame) -> pl.DataFrame:
    """``mic, session, date``: every exchange's sessions counted from 0."""
    return sessions.select("mic", pl.int_range(pl.len(), dtype=pl.Int64).over("mic").alias("session"), "date")


def returns_on_sessions(grid: pl.DataFrame, prices: pl.DataFrame, by: str) -> pl.DataFrame:
    """Simple returns between neighbouring sessions; a gap in prices is a gap in returns."""
    keys = [c for c in grid.columns if c not in ("session", "date")]
    renamed = prices.rename({"symbol": by})
    return (
        grid.join(renamed, on=[by, "date"], how="left", validate="m:1")
        .sort(*keys, "session", nulls_last=True)
        .with_columns(
            (pl.col("close") / pl.col("close").shift(1).over(keys) - 1.0).alias("return"),
            (pl.col("close") / pl.col("close").forward_fill().shift(1).over(keys) - 1.0).alias("ret_since_trade"),
        )
        .drop("close")
    )


def benchmark_returns(
    securities: pl.DataFrame, numbered: pl.DataFrame, prices: pl.DataFrame, benchmark: str
) -> pl.DataFrame:
    """Benchmark returns on the sessions of the exchange that uses it."""
    pairs = securities.select("mic", benchmark).unique().drop_nulls()
    grid = pairs.join(numbered, on="mic", how="inner")
    return returns_on_sessions(grid, prices, benchmark).select(
        "mic", benchmark, "date", pl.col("return").alias("market")
    )


def close_empty_sessions(
    listed: pl.DataFrame, securities: pl.DataFrame, prices: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Close listed sessions on which a whole exchange has no price; note prices on closed days."""
    own = prices.join(securities.select("symbol", "mic"), on="symbol", how="inner", validate="m:1")
    alive = spans(own).join(securities.select("symbol", "mic"), on="symbol", how="inner", validate="1:1")
    due = (
        listed.select("mic", "date")
        .join(alive, on="mic", how="inner")
        .filter(pl.col("date").is_between(pl.col("first"), pl.col("last")))
        .group_by("mic", "date")
        .agg(pl.len().alias("due"))
    )
    shut = due.filter(pl.col("due") >= SEVERAL).join(own, on=["mic", "date"], how="anti")
    stray = (
        own.join(listed, on=["mic", "date"], how="anti")
        .group_by("mic", "date")
        .agg(pl.col("symbol").sort().alias("symbols"))
    )
    repairs = pl.concat(
        [
            shut.select(
                "mic",
                "date",
                pl.lit("closed").alias("action"),
                pl.format("calendar lists a session; none of the {} securities has a price", "due").alias("detail"),
            ),
            stray.select(
                "mic",
                "date",
                pl.lit("ignored_prices").alias("action"),
                pl.format("calendar has no session; prices of {} ignored", pl.col("symbols").list.join(", ")).alias(
                    "detail"
                ),
            ),
        ]
    ).sort("mic", "date", "action")
    return listed.join(shut, on=["mic", "date"], how="anti", maintain_order="left"), repairs


def spans(frame: pl.DataFrame) -> pl.DataFrame:
    """``symbol, first, last`` of what is there."""
    return (
        frame.group_by("symbol")
        .agg(pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))
        .sort("symbol")
    )


def since_trade(panel: pl.DataFrame) -> pl.DataFrame:
    """Trade-to-trade returns, row for row beside `panel`; see `Market.since_trade`."""
    traded = pl.col("ret_since_trade").is_not_null()
    frame = panel if "ret_since_trade" in panel.columns else panel.with_columns(
        pl.col("ret").alias("ret_since_trade")
    )  # fmt: skip
    last = pl.when(traded).then(pl.col("session")).forward_fill().shift(1).over("symbol")
    frame = frame.with_columns(
        pl.when(traded).then((pl.col("session") - last).fill_null(1)).alias("sessions_since_trade"),
        pl.when(traded).then(pl.col("session")).backward_fill().over("symbol").alias("_gap"),
    )
    # a gap with an unknown benchmark return has an unknown sum
    whole = pl.col("market").is_not_null().all().over("symbol", "_gap")
    total = pl.when(whole).then(pl.col("market").sum().over("symbol", "_gap"))
    one = pl.col("sessions_since_trade") == 1
    return frame.select(
        "ret_since_trade",
        "sessions_since_trade",
        pl.when(traded).then(pl.when(one).then(pl.col("market")).otherwise(total)).alias("market_since_trade"),
    )
