"""Other announcements within the event windows of a study."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from marketimpact.events.alignment import align
from marketimpact.events.catalogue import announcements
from marketimpact.events.exchange_names import named
from marketimpact.report.content import AnnouncementResult, ReportContent

__all__ = ["has_chronology", "headlines", "nearby_announcements"]

#: Calendar days around the event window within which an announcement's day 0 can fall into it.
SEARCH_MARGIN = timedelta(days=12)
_SCHEMA: dict[str, Any] = {
    "announced_at": pl.Datetime("us", "UTC"),
    "headline": pl.String,
    "is_confounder": pl.Boolean,
    "day0": pl.String,
    "in_primary": pl.Boolean,
}


def has_chronology(content: ReportContent) -> bool:
    """Check whether other announcements can be searched: that needs a chronology, and sessions with times of day."""
    return content.chronology is not None and not content.result.market.sessions["close"].null_count()


def headlines(content: ReportContent) -> dict[str, str]:
    """Return the headline of every announcement by its id: of the embedded chronology where there is no other."""
    chronology = announcements(recalled=True) if content.chronology is None else content.chronology
    return dict(chronology.select("announcement_id", "headline").iter_rows())


def nearby_announcements(announcement: AnnouncementResult, content: ReportContent) -> pl.DataFrame:
    """Find announcements of the chronology whose day 0 falls into the event window on some exchange.

    ``day0`` lists it per exchange, ``in_primary`` says whether it falls into the primary window on any.
    A date-only announcement counts when a session that its date allows does.
    """
    if announcement.key not in content.nearby:
        content.nearby[announcement.key] = _search(announcement, content)
    return content.nearby[announcement.key]


def _search(announcement: AnnouncementResult, content: ReportContent) -> pl.DataFrame:
    market, events = content.result.market, announcement.result.events
    if content.chronology is None or not events.height or "mic" not in events.columns:
        return pl.DataFrame(schema=_SCHEMA)
    event_spans = _spans(announcement, content.result.estimation.settings.event, "first", "last")
    spans = event_spans.join(
        _spans(announcement, content.primary, "inner_first", "inner_last"), on="mic", how="left", validate="1:1"
    )
    day = pl.col("announced_at").dt.date()
    candidates = content.chronology.filter(
        day.is_between(event_spans["first"].min() - SEARCH_MARGIN, event_spans["last"].max() + SEARCH_MARGIN)  # type: ignore[operator]
        & (pl.col("announcement_id") != announcement.key)
    )
    if candidates.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    one_symbol_each = events.group_by("mic").agg(pl.col("symbol").min())["symbol"].to_list()
    aligned = (
        align(candidates, market, symbols=one_symbol_each)
        .drop_nulls("date")
        .join(spans, on="mic", how="left", validate="m:1")
    )
    hits = aligned.filter((pl.col("day0_latest") >= pl.col("first")) & (pl.col("day0_earliest") <= pl.col("last")))
    in_primary = (pl.col("day0_latest") >= pl.col("inner_first")) & (pl.col("day0_earliest") <= pl.col("inner_last"))
    summary = (
        hits.sort("mic")
        .group_by("announcement_id", "date")
        .agg(in_primary.any().alias("_inner"), named("mic").str.join(", ").alias("_exchanges"))
        .sort("announcement_id", "date")
        .group_by("announcement_id", maintain_order=True)
        .agg(
            pl.col("_inner").any().alias("in_primary"),
            pl.format("{} ({})", "date", "_exchanges").str.join("; ").alias("day0"),
        )
    )
    return candidates.join(summary, on="announcement_id", how="inner", validate="1:1").sort(
        "announced_at", "announcement_id"
    )


def _spans(announcement: AnnouncementResult, window: tuple[int, int], first: str, last: str) -> pl.DataFrame:
    """Find the first and last date of a window on each exchange."""
    sessions = announcement.result.abnormal_returns.filter(pl.col("tau").is_between(*window))
    mics = announcement.result.events.select("event_id", "mic")
    return (
        sessions.join(mics, on="event_id", how="left", validate="m:1")
        .group_by("mic")
        .agg(pl.col("date").min().alias(first), pl.col("date").max().alias(last))
        .sort("mic")
    )
