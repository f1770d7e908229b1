"""Other announcements on the sessions a study looks at."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from marketimpact.events.alignment import align
from marketimpact.events.exchange_names import named
from marketimpact.report.content import AnnouncementResult, ReportContent

__all__ = ["around"]

#: Calendar days around the event window within which an announcement's day 0 can fall into it.
REACH = timedelta(days=12)
_EMPTY: dict[str, Any] = {
    "announced_at": pl.Datetime("us", "UTC"),
    "headline": pl.String,
    "is_confounder": pl.Boolean,
    "day0": pl.String,
    "in_primary": pl.Boolean,
}


def around(part: AnnouncementResult, story: ReportContent) -> pl.DataFrame:
    """Announcements of the chronology whose day 0 falls into the event window on some exchange.

    ``day0`` lists it per exchange, ``in_primary`` says whether it falls into the primary window on any.
    A date-only announcement counts when a session that its date allows does.
    """
    market, events = story.result.market, part.result.events
    if story.chronology is None or not events.height or "mic" not in events.columns:
        return pl.DataFrame(schema=_EMPTY)
    wide = _spans(part, story.result.estimation.settings.event, "first", "last")
    spans = wide.join(_spans(part, story.primary, "inner_first", "inner_last"), on="mic", how="left", validate="1:1")
    day = pl.col("announced_at").dt.date()
    near = story.chronology.filter(
        day.is_between(wide["first"].min() - REACH, wide["last"].max() + REACH)  # type: ignore[operator]
        & (pl.col("announcement_id") != part.key)
    )
    if near.is_empty():
        return pl.DataFrame(schema=_EMPTY)
    one_each = events.group_by("mic").agg(pl.col("symbol").min())["symbol"].to_list()
    placed = align(near, market, symbols=one_each).drop_nulls("date").join(spans, on="mic", how="left", validate="m:1")
    hits = placed.filter((pl.col("day0_latest") >= pl.col("first")) & (pl.col("day0_earliest") <= pl.col("last")))
    inner = (pl.col("day0_latest") >= pl.col("inner_first")) & (pl.col("day0_earliest") <= pl.col("inner_last"))
    found = (
        hits.sort("mic")
        .group_by("announcement_id", "date")
        .agg(inner.any().alias("_inner"), named("mic").str.join(", ").alias("_exchanges"))
        .sort("announcement_id", "date")
        .group_by("announcement_id", maintain_order=True)
        .agg(
            pl.col("_inner").any().alias("in_primary"),
            pl.format("{} ({})", "date", "_exchanges").str.join("; ").alias("day0"),
        )
    )
    return near.join(found, on="announcement_id", how="inner", validate="1:1").sort("announced_at", "announcement_id")


def _spans(part: AnnouncementResult, window: tuple[int, int], first: str, last: str) -> pl.DataFrame:
    """First and last date of a window on each exchange."""
    sessions = part.result.abnormal_returns.filter(pl.col("tau").is_between(*window))
    mics = part.result.events.select("event_id", "mic")
    return (
        sessions.join(mics, on="event_id", how="left", validate="m:1")
        .group_by("mic")
        .agg(pl.col("date").min().alias(first), pl.col("date").max().alias(last))
        .sort("mic")
    )
