"""Handle firms with shares listed on two exchanges."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import FrameLike
from marketimpact.core.layouts import SECURITIES
from marketimpact.errors import DataError, SpecificationError

__all__ = ["firms", "one_listing"]

#: Columns that say why an event has no day 0.
REASONS = ("align_reason", "align_detail")
#: Reason, in `attrition`, of an event left out in favour of the firm's other listing.
OTHER_LISTING = "other_listing"


def firms(securities: pl.DataFrame) -> dict[str, str]:
    """Map every security with a `dual_listing` to its firm, named by the first of the two symbols."""
    if "dual_listing" not in securities.columns:
        return {}
    pairs = securities.select("symbol", "dual_listing").drop_nulls()
    return {symbol: min(symbol, other) for symbol, other in pairs.rows()}


def one_listing(events: FrameLike, securities: FrameLike, *, prefer: Sequence[str]) -> pl.DataFrame:
    """Keep one listing of each firm for each announcement.

    Parameters
    ----------
    events : FrameLike
        What `align` returns, or ``event_id, symbol, date`` with an ``announcement_id``.
    securities : FrameLike
        ``symbol, mic, dual_listing``: `dual_listing` names the firm's other listing.
    prefer : sequence of str
        Exchanges (MICs) or symbols in order of preference: ``["XHKG", "XTAI"]``.

    Returns
    -------
    polars.DataFrame
        The same rows. Where both listings have a day 0, ``date`` of the one not kept is null and its
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
    securities = schema.as_frame(securities, "securities", SECURITIES)
    _check_inputs(events, securities, prefer)
    securities = schema.check(schema.Securities, securities, "securities")
    rank_of = {name: rank for rank, name in enumerate(prefer)}
    listings = securities.filter(pl.col("symbol").is_in(list(firms(securities)))).select(
        "symbol",
        pl.col("symbol").replace(firms(securities)).alias("_firm"),
        pl.min_horizontal(
            pl.col(c).replace_strict(rank_of, default=len(rank_of), return_dtype=pl.Int64) for c in ("symbol", "mic")
        ).alias("rank"),
    )
    both = (
        events.filter(pl.col("date").is_not_null())
        .select("event_id", "announcement_id", "symbol")
        .join(listings, on="symbol", how="inner", validate="m:1")
        .filter(pl.col("symbol").n_unique().over("announcement_id", "_firm") > 1)
        .sort("announcement_id", "_firm", "rank")
        .with_columns(pl.col("symbol", "rank").first().over("announcement_id", "_firm").name.prefix("kept_"))
    )
    tied = both.filter((pl.col("rank") == pl.col("kept_rank")) & (pl.col("symbol") != pl.col("kept_symbol")))
    if tied.height:
        one, other = tied.select("kept_symbol", "symbol").row(0)
        raise SpecificationError(
            f"prefer={list(prefer)!r} does not decide between {one} and {other}, listings of one firm. Name the "
            "exchange (MIC) or the symbol to keep."
        )
    dropped = both.filter(pl.col("symbol") != pl.col("kept_symbol")).select(
        "event_id", pl.format("{} of the same firm is kept", "kept_symbol").alias("_detail")
    )
    return _with_reasons(events, dropped)


def _with_reasons(events: pl.DataFrame, dropped: pl.DataFrame) -> pl.DataFrame:
    """Set the date of dropped events to null, with the reason and its detail."""
    reasons = [c for c in REASONS if c not in events.columns]
    is_dropped = pl.col("_detail").is_not_null()
    typed = events.with_columns(pl.col(c).cast(pl.String) for c in REASONS if c in events.columns)
    return (
        typed.with_columns(pl.lit(None, pl.String).alias(c) for c in reasons)
        .join(dropped, on="event_id", how="left", validate="1:1", maintain_order="left")
        .with_columns(
            pl.when(is_dropped).then(None).otherwise("date").alias("date"),
            pl.when(is_dropped).then(pl.lit(OTHER_LISTING)).otherwise("align_reason").alias("align_reason"),
            pl.when(is_dropped).then("_detail").otherwise("align_detail").alias("align_detail"),
        )
        .drop("_detail")
    )


def _check_inputs(events: pl.DataFrame, securities: pl.DataFrame, prefer: Sequence[str]) -> None:
    """Raise for text instead of a list, or a column that is absent."""
    if isinstance(prefer, str):
        raise SpecificationError(f'prefer={prefer!r}: give a list, such as ["{prefer}"].')
    if events.schema.get("announcement_id") not in (pl.String, pl.Categorical):
        raise DataError(
            "events has no announcement_id of type text, so a firm's two listings cannot be matched. Use align(...)."
        )
    if "dual_listing" not in securities.columns:
        raise DataError("securities has no dual_listing, so firms with two listings are unknown. Add that column.")
    odd = [c for c in REASONS if events.schema.get(c, pl.String) not in (pl.String, pl.Null)]
    if odd:
        raise DataError(f"events: {odd[0]!r} has type {events.schema[odd[0]]}, must hold text. Drop it, or use align.")
