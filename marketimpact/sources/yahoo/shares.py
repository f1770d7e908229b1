"""Convert Yahoo's counts of shares outstanding to the basis of its closes, that of today's splits."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from marketimpact.sources.protocol import within
from marketimpact.sources.yahoo.bars import Bars, YahooFailure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COUNTS", "parse_share_counts"]

COUNTS = {"symbol": pl.String, "date": pl.Date, "shares": pl.Float64, "reported": pl.Float64, "note": pl.String}


def parse_share_counts(bars: Bars, counts: pd.Series | None, first: date, last: date | None) -> Bars:
    """Convert reported counts to counts by date; those that do not show a split yet become null.

    Parameters
    ----------
    bars : Bars
        Daily bars with splits, from before the first count to this day.
    counts : pandas.Series or None
        Result of `yfinance.Ticker.get_shares_full`: reported counts by the exchange's time.
    first, last : datetime.date
        Bounds, both included.

    Raises
    ------
    YahooFailure
        If there is no count between the bounds.
    """
    symbol = str(bars.frame.item(0, "symbol"))
    if counts is None or counts.empty:
        raise YahooFailure("Yahoo has no share counts")
    # yfinance labels UTC instants with the exchange's zone without a conversion
    days = counts.index.tz_localize(None).tz_localize("UTC").tz_convert(bars.time_zone).date
    reported = pl.DataFrame(
        {"symbol": symbol, "date": list(days), "reported": counts.to_numpy(dtype=float)},
        schema={"symbol": pl.String, "date": pl.Date, "reported": pl.Float64},
    ).filter(pl.col("reported").is_finite() & (pl.col("reported") > 0.0))
    # the last count of a day holds at its end
    frame = within(reported, first, last).unique("date", keep="last", maintain_order=True).sort("date")
    if frame.is_empty():
        raise YahooFailure("Yahoo has no share counts (none above zero between the dates)")
    frame = frame.with_columns(pl.col("reported").alias("shares"), pl.lit(None, dtype=pl.String).alias("note"))
    for day, ratio in bars.frame.select("date", "split").drop_nulls().sort("date").iter_rows():
        frame = _adjust_for_split(frame, day, ratio)
    return Bars(frame.select(list(COUNTS)), bars.currency, bars.time_zone, bars.notes)


def _adjust_for_split(frame: pl.DataFrame, day: date, ratio: float) -> pl.DataFrame:
    """Multiply counts before the split by its ratio; set those after it to null until one shows the split."""
    before = frame.filter(pl.col("date") < day)["reported"]
    later = (pl.col("date") >= day).fill_null(value=False)
    if len(before):
        # the split shows where log(count / count before) is more than half of log(ratio)
        has_split = (pl.col("reported") / before[-1]).log() / pl.lit(ratio).log() > 0.5
        stale = later & ~((has_split & later).cast(pl.Int32).cum_sum() > 0)
        note = f"still the count before the split of {day}"
        frame = frame.with_columns(
            pl.when(~stale).then("shares").alias("shares"),
            pl.when(stale).then(pl.lit(note)).otherwise("note").alias("note"),
        )
    return frame.with_columns(pl.when(later).then("shares").otherwise(pl.col("shares") * ratio).alias("shares"))
