"""Firms with two listings: one share, two exchanges, one piece of news."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from marketimpact.core import schema
from marketimpact.errors import DataError, SpecificationError

__all__ = ["firms", "one_listing"]

#: Reason, in `attrition`, of an event left out in favour of the firm's other listing.
OTHER_LISTING = "other_listing"


def firms(securities: pl.DataFrame) -> dict[str, str]:
    """Symbol -> symbol that stands for its firm, for every security with a `dual_listing`."""
    if "dual_listing" not in securities.columns:
        return {}
    pairs = securities.select("symbol", "dual_listing").drop_nulls()
    return {symbol: min(symbol, other) for symbol, other in pairs.rows()}


def one_listing(events: pl.DataFrame, securities: pl.DataFrame, *, prefer: Sequence[str]) -> pl.DataFrame:
    """Keep one listing of each firm for each announcement.

    Parameters
    ----------
    events : polars.DataFrame
        What `align` returns, or ``event_id, symbol, date`` with an ``announcement_id``.
    securities : polars.DataFrame
        ``symbol, mic, dual_listing``: `dual_listing` names the firm's other listing.
    prefer : sequence of str
        Exchanges (MICs) or symbols, the first that fits wins: ``["XHKG", "XTAI"]``.

    Returns
    -------
    polars.DataFrame
        The same rows. Where both listings have a day 0, the other one's ``date`` is now null, with
        ``align_reason`` *other_listing*: `EventStudy.run` moves it to attrition.

    Raises
    ------
    SpecificationError
        When `prefer` names neither listing of a firm that has both among the events.
    DataError
        For events without an announcement, or securities without `dual_listing`.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> events = mi.one_listing(mi.align(h20, market), market.securities, prefer=["XSHG", "XSHE", "XTAI"])
    >>> events.filter(pl.col("align_reason") == "other_listing").select("symbol", "align_detail").row(0)
    ('0981.HK', '688981.SS of the same firm is kept')
    """
    events = schema.check(schema.Events, events, "events")
    _check(events, securities, prefer)
    order = {name: place for place, name in enumerate(prefer)}
    last = len(order)
    listings = securities.filter(pl.col("symbol").is_in(list(firms(securities)))).select(
        "symbol",
        pl.col("symbol").replace(firms(securities)).alias("_firm"),
        pl.min_horizontal(
            pl.col(c).replace_strict(order, default=last, return_dtype=pl.Int64) for c in ("symbol", "mic")
        ).alias("_place"),
    )
    both = (
        events.filter(pl.col("date").is_not_null())
        .select("event_id", "announcement_id", "symbol")
        .join(listings, on="symbol", how="inner", validate="m:1")
        .filter(pl.col("symbol").n_unique().over("announcement_id", "_firm") > 1)
        .sort("announcement_id", "_firm", "_place")
        .with_columns(pl.col("symbol", "_place").first().over("announcement_id", "_firm").name.prefix("kept"))
    )
    tied = both.filter((pl.col("_place") == pl.col("kept_place")) & (pl.col("symbol") != pl.col("keptsymbol")))
    if tied.height:
        one, other = tied.select("keptsymbol", "symbol").row(0)
        raise SpecificationError(
            f"prefer={list(prefer)!r} does not decide between {one} and {other}, listings of one firm. Name the "
            "exchange (MIC) or the symbol to keep."
        )
    out = both.filter(pl.col("symbol") != pl.col("keptsymbol")).select(
        "event_id", pl.format("{} of the same firm is kept", "keptsymbol").alias("_kept")
    )
    return _without(events, out)


def _without(events: pl.DataFrame, out: pl.DataFrame) -> pl.DataFrame:
    """Take the date of some events away, and say why."""
    reasons = [c for c in ("align_reason", "align_detail") if c not in events.columns]
    gone = pl.col("_kept").is_not_null()
    return (
        events.with_columns(pl.lit(None, pl.String).alias(c) for c in reasons)
        .join(out, on="event_id", how="left", validate="1:1", maintain_order="left")
        .with_columns(
            pl.when(gone).then(None).otherwise("date").alias("date"),
            pl.when(gone).then(pl.lit(OTHER_LISTING)).otherwise("align_reason").alias("align_reason"),
            pl.when(gone).then("_kept").otherwise("align_detail").alias("align_detail"),
        )
        .drop("_kept")
    )


def _check(events: pl.DataFrame, securities: pl.DataFrame, prefer: Sequence[str]) -> None:
    if isinstance(prefer, str):
        raise SpecificationError(f'prefer={prefer!r}: give a list, such as ["{prefer}"].')
    if "announcement_id" not in events.columns:
        raise DataError("events has no announcement_id, so nobody can tell which of them are one firm's one event.")
    if "dual_listing" not in securities.columns:
        raise DataError("securities has no dual_listing, which names a firm's other listing.")
