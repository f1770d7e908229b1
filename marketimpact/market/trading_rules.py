"""Measure how freely a security traded: closes filled by vendors, stale prices, daily price limits."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from marketimpact.core.symbol_rows import neighbour

__all__ = ["EARLIER_BANDS", "HAS_VOLUME", "limit_hits", "no_limit_hits", "price_bands", "quality", "undo_fills"]

#: Least share of rows with positive volume of a symbol whose volume is usable (that of many indices is not).
HAS_VOLUME = 0.5
#: Above this share of sessions without a trade, trade-to-trade returns are the better choice.
THIN = 0.2
#: Sessions after a listing without a price limit, on the boards that have this rule.
FREE_SESSIONS = 5
FREE_BOARDS = ("STAR", "ChiNext")
#: (exchange or board, band before, date of the change). Bands since then are the securities' own.
EARLIER_BANDS: tuple[tuple[str, float, date], ...] = (
    ("ChiNext", 0.10, date(2020, 8, 24)),
    ("XTAI", 0.07, date(2015, 6, 1)),
    ("ROCO", 0.07, date(2015, 6, 1)),
    ("XKRX", 0.15, date(2015, 6, 15)),
    ("XKOS", 0.15, date(2015, 6, 15)),
)
#: Exchange -> (price from which, tick), ascending. Where an exchange is not listed the tick is 0.01.
TICKS: dict[str, tuple[tuple[float, float], ...]] = {
    "XTAI": ((0.0, 0.01), (10.0, 0.05), (50.0, 0.1), (100.0, 0.5), (500.0, 1.0), (1000.0, 5.0)),
    "XKRX": ((0.0, 1.0), (2e3, 5.0), (5e3, 10.0), (2e4, 50.0), (5e4, 100.0), (2e5, 500.0), (5e5, 1000.0)),
}
TICKS |= {"ROCO": TICKS["XTAI"], "XKOS": TICKS["XKRX"]}


def undo_fills(prices: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Empty closes that a vendor copied from the session before.

    Parameters
    ----------
    prices : polars.DataFrame
        ``symbol, date, close, volume``, sorted by symbol and date.

    Returns
    -------
    prices : polars.DataFrame
        The close is empty where volume is zero and the close is that of the row before.
    fills : polars.DataFrame
        ``symbol, date, close`` of those rows. A symbol whose volume is mostly zero or empty has none:
        its volume is not informative.
    """
    doubtful = prices.filter(pl.col("volume") == 0)["symbol"].unique()
    own = prices.select("symbol", "date", "close", "volume").with_row_index("row").filter(
        pl.col("symbol").is_in(doubtful.implode())
    )  # fmt: skip
    has_volume = ((pl.col("volume") > 0).fill_null(value=False).mean() >= HAS_VOLUME).over("symbol")
    is_same = (pl.col("close") == neighbour(pl.col("close").forward_fill().over("symbol"))).fill_null(value=False)
    fills = own.filter(has_volume, is_same, pl.col("volume") == 0)
    if fills.is_empty():
        return prices, fills.select("symbol", "date", "close")
    is_fill = np.zeros(prices.height, dtype=bool)
    is_fill[fills["row"].to_numpy()] = True
    emptied = prices.with_columns(pl.when(pl.Series(~is_fill)).then(pl.col("close")).alias("close"))
    return emptied, fills.select("symbol", "date", "close")


def quality(panel: pl.DataFrame, spans: pl.DataFrame, fills: pl.DataFrame) -> pl.DataFrame:
    """Count sessions without trade of each security; see `Market.quality`."""
    listed = panel.join(spans, on="symbol", how="left", validate="m:1").filter(
        pl.col("date").is_between(pl.col("first"), pl.col("last"))
    )
    run = (pl.col("close") != pl.col("close").shift(1)).fill_null(value=True).cum_sum().over("symbol")
    priced = listed.filter(pl.col("close").is_not_null()).with_columns(run.alias("_run"))
    stale = priced.group_by("symbol", "_run").agg(pl.len().alias("n")).group_by("symbol").agg(pl.col("n").max())
    table = listed.group_by("symbol", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("sessions"),
        pl.col("close").is_null().sum().cast(pl.Int64).alias("untraded"),
        ((pl.col("volume") == 0) & pl.col("close").is_not_null()).sum().cast(pl.Int64).alias("zero_volume"),
    )
    filled = fills.group_by("symbol").agg(pl.len().cast(pl.Int64).alias("filled"))
    return (
        table.join(filled, on="symbol", how="left", validate="1:1")
        .join(stale.rename({"n": "longest_unchanged"}), on="symbol", how="left", validate="1:1")
        .with_columns(pl.col("filled").fill_null(0), (pl.col("untraded") / pl.col("sessions")).alias("untraded_share"))
        .with_columns((pl.col("untraded_share") > THIN).alias("thin"))
        .sort("untraded_share", "symbol", descending=[True, False])
    )


def no_limit_hits() -> pl.DataFrame:
    """Return an empty frame of closes at the limit."""
    return pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date, "side": pl.String, "band": pl.Float64})


def limit_hits(
    panel: pl.DataFrame,
    securities: pl.DataFrame,
    spans: pl.DataFrame,
    traded: pl.DataFrame | None = None,
    *,
    at_open: bool = False,
) -> pl.DataFrame:
    """Find closes at the daily price limit; see `Market.limit_hits`. With `at_open` find opens at the limit.

    The limit is the last close times one plus or minus the band, rounded to a tick: prices are compared,
    one tick allowed, not returns. Where `traded` (``symbol, date, unadjusted_close``) has the close as it was traded,
    that is compared, with the last close less the dividend of the day. An open is ``close / (1 + ret_day)``.
    """
    prices = _as_traded(panel, traded)
    frame = price_bands(_with_opens(prices) if at_open else prices, securities, spans).filter(pl.col("close") > 0)
    upper = pl.col("close") >= pl.col("last_close") * (1 + pl.col("band")) - pl.col("tick")
    lower = pl.col("close") <= pl.col("last_close") * (1 - pl.col("band")) + pl.col("tick")
    side = pl.when(upper).then(pl.lit("upper")).when(lower).then(pl.lit("lower"))
    return frame.with_columns(side.alias("side")).drop_nulls("side").select("symbol", "date", "side", "band")


def _as_traded(panel: pl.DataFrame, traded: pl.DataFrame | None) -> pl.DataFrame:
    """Put closes as they were traded in place of adjusted ones, and the adjusted last close in units of the day."""
    if traded is None or traded.is_empty():
        return panel
    joined = panel.join(traded, on=["symbol", "date"], how="left", validate="1:1", maintain_order="left")
    last = pl.col("close").forward_fill().shift(1).over("symbol")
    own = pl.col("unadjusted_close")
    return joined.with_columns(
        pl.coalesce(own, "close").alias("close"), (last * own / pl.col("close")).alias("reference")
    ).drop("unadjusted_close")


def _with_opens(panel: pl.DataFrame) -> pl.DataFrame:
    """Put the open in place of the close; the price before is still the last close."""
    reference = [pl.col("reference")] if "reference" in panel.columns else []
    last_close = pl.coalesce(*reference, pl.col("close").forward_fill().shift(1).over("symbol"))
    opens = pl.when(pl.col("ret_day") > -1.0).then(pl.col("close") / (1.0 + pl.col("ret_day")))
    return panel.with_columns(last_close.alias("reference"), opens.alias("close"))


def price_bands(panel: pl.DataFrame, securities: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Add each session's daily price band, the last close from which it is measured, and the tick.

    Parameters
    ----------
    panel : polars.DataFrame
        ``symbol, mic, session, date, close``, sorted by (symbol, session), and perhaps ``reference``, which replaces
        the last close where it is not null.
    securities : polars.DataFrame
        ``symbol, price_limit`` and, where known, ``board, listed_on``.
    spans : polars.DataFrame
        ``symbol, first``: the first date with a price.

    Returns
    -------
    polars.DataFrame
        The panel with ``last_close, band`` (fraction, null where there is no limit) and ``tick``.
    """
    known = [c for c in ("board", "price_limit") if c in securities.columns]
    frame = panel.join(securities.select("symbol", *known), on="symbol", how="left", validate="m:1")
    if "board" not in known:
        frame = frame.with_columns(pl.lit(None, pl.String).alias("board"))
    reference = [pl.col("reference")] if "reference" in panel.columns else []
    last_close = pl.coalesce(*reference, pl.col("close").forward_fill().shift(1).over("symbol"))
    frame = frame.with_columns(last_close.alias("last_close"))
    frame = frame.join(spans.select("symbol", "first"), on="symbol", how="left", validate="m:1")
    since_listing = pl.col("session") - pl.col("session").filter(pl.col("date") == pl.col("first")).first().over(
        "symbol"
    )
    # prices may begin long after the listing: then the first sessions have a limit too
    free = pl.col("board").is_in(FREE_BOARDS) & (since_listing < FREE_SESSIONS) & _begins_with_listing(securities)
    band = pl.col("price_limit")
    for where, earlier, changed in EARLIER_BANDS:
        applies = (pl.col("mic") == where) | (pl.col("board") == where).fill_null(value=False)
        band = pl.when(applies & (pl.col("date") < changed) & band.is_not_null()).then(earlier).otherwise(band)
    return frame.with_columns(pl.when(~free.fill_null(value=False)).then(band).alias("band"), _tick().alias("tick"))


def _begins_with_listing(securities: pl.DataFrame) -> pl.Expr:
    """Mark rows of securities whose first price lies at their listing."""
    if "listed_on" not in securities.columns:
        return pl.lit(value=False)
    days = dict(securities.select("symbol", "listed_on").drop_nulls().iter_rows())
    listing = pl.col("symbol").replace_strict(days, default=None, return_dtype=pl.Date)
    return ((pl.col("first") - listing).dt.total_days().abs() <= FREE_SESSIONS).fill_null(value=False)


def _tick() -> pl.Expr:
    """Return the smallest step of a price at the last close."""
    tick = pl.lit(0.01)
    for mic, steps in TICKS.items():
        for above, step in steps:
            tick = pl.when((pl.col("mic") == mic) & (pl.col("last_close") >= above)).then(step).otherwise(tick)
    return tick
