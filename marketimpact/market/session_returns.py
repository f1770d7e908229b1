"""Compute returns of securities and benchmarks on each exchange's own sessions."""

from __future__ import annotations

from datetime import date

import polars as pl

__all__ = [
    "SINCE_TRADE",
    "extent",
    "returns_with_benchmarks",
    "since_trade",
    "spans",
]

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


def returns_with_benchmarks(
    securities: pl.DataFrame, sessions: pl.DataFrame, prices: pl.DataFrame, benchmark: str
) -> pl.DataFrame:
    """Compute simple returns of securities and of their benchmarks, one row per security and session.

    Parameters
    ----------
    securities : polars.DataFrame
        ``symbol, mic`` and the column `benchmark`.
    sessions : polars.DataFrame
        ``mic, date``, sorted.
    prices : polars.DataFrame
        ``symbol, date, close`` of securities and benchmarks, without empty closes.
    benchmark : str
        Column of `securities` that names the benchmark.

    Returns
    -------
    polars.DataFrame
        ``symbol, mic, session, date, ret, ret_since_trade, market``; `session` counts the exchange's sessions.
    """
    number = pl.int_range(pl.len(), dtype=pl.Int64).over("mic").alias("session")
    numbered = sessions.select("mic", number, "date")
    keys = securities.select("symbol", "mic", benchmark)
    own = _returns(keys.join(numbered, on="mic", how="inner"), prices, "symbol").rename({"return": "ret"})
    pairs = securities.select("mic", benchmark).unique().drop_nulls()
    market = _returns(pairs.join(numbered, on="mic", how="inner"), prices, benchmark)
    return own.join(
        market.select("mic", benchmark, "date", pl.col("return").alias("market")),
        on=["mic", benchmark, "date"],
        how="left",
        validate="m:1",
        nulls_equal=True,
    ).drop(benchmark)


def _returns(rows: pl.DataFrame, prices: pl.DataFrame, symbol: str) -> pl.DataFrame:
    """Compute simple returns between neighbouring sessions; a gap in prices is a gap in returns.

    A close of zero, a total loss, is a return of -1 after a gap too: whatever the price was, nothing is left.
    """
    keys = [c for c in rows.columns if c not in ("session", "date")]
    return (
        rows.join(prices.rename({"symbol": symbol}), on=[symbol, "date"], how="left", validate="m:1")
        .sort(*keys, "session", nulls_last=True)
        .with_columns(
            pl.coalesce(
                pl.col("close") / pl.col("close").shift(1).over(keys) - 1.0,
                pl.when((pl.col("close") == 0) & (pl.col("close").forward_fill().shift(1).over(keys) > 0)).then(-1.0),
            ).alias("return"),
            (pl.col("close") / pl.col("close").forward_fill().shift(1).over(keys) - 1.0).alias("ret_since_trade"),
        )
        .drop("close")
    )


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
