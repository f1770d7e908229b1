"""The charts of a report: frames of the result drawn, with words for those who cannot see them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from marketimpact.display import charts
from marketimpact.display import time_charts as timecharts
from marketimpact.display.formats import percent
from marketimpact.events.exchange_names import exchange, named
from marketimpact.report.blocks import Figure
from marketimpact.report.content import AnnouncementResult, GroupResult, ReportContent, firm_label
from marketimpact.study.result import StudyResult

__all__ = ["clock", "firms_drawn", "history", "path_figures"]

LEVEL = 0.05
#: Half a 95% interval of a normal variate, in standard deviations.
HALF = 1.959964
#: Calendar days of prices shown before the first and after the last announcement.
BEFORE, AFTER = timedelta(days=75), timedelta(days=35)
#: Hours of trading shown before and after the announcement.
EARLIER, LATER = timedelta(hours=30), timedelta(hours=54)
#: Lines of more groups or announcements cannot be told apart.
MOST_LINES = 7


def firms_drawn(frame: pl.DataFrame, story: ReportContent) -> Figure:
    """A dot and an interval per firm; signs say which p-values are below 5%."""
    keep = ["label", "group", "car", "low", "high", "mark"]
    keep += ["true_car"] if "true_car" in frame.columns else []
    title = f"CAR over {list(story.primary)} with 95% intervals"
    alone, family = pl.col("p") < LEVEL, pl.col("p_romano_wolf") < LEVEL
    signs = pl.when(family).then(pl.lit("‡")).when(alone).then(pl.lit("†")).otherwise(pl.lit(""))
    drawn = frame.with_columns(pl.Series("label", _labels(frame)), signs.alias("mark"))
    chart = charts.firm_effects(drawn.select(keep), title=title, simulated=story.result.market.simulated)
    top = frame.row(int(frame["car"].arg_max() or 0), named=True)
    bottom = frame.row(int(frame["car"].arg_min() or 0), named=True)
    marked = drawn.filter(pl.col("mark") == "‡")["label"].to_list()
    after = ", ".join(marked) or "none"
    alt = (
        f"{title}, events drawn: {frame.height}; from {percent(bottom['car'])} ({firm_label(bottom)}) to "
        f"{percent(top['car'])} ({firm_label(top)}). Below 5% after correction for all these firms: {after}. "
        "The table below has every number."
    )
    return Figure.of(chart, alt)


def _labels(frame: pl.DataFrame) -> list[str]:
    """A name per event: events of one firm get their date or id, since equal names would share a row."""
    rows = list(frame.iter_rows(named=True))
    labels = [firm_label(row) for row in rows]
    for tail in ("date", "event_id"):
        if len(set(labels)) < len(labels):
            labels = [f"{firm_label(row)} {row[tail]}" for row in rows]
    return labels


def path_figures(part: AnnouncementResult, story: ReportContent) -> tuple[list[Figure], set[str]]:
    """A path per group on one scale, and the names of the bands drawn."""
    paths = pl.concat([_path(group) for group in part.groups])
    if paths["caar"].drop_nulls().is_empty():
        return [], set()
    figures = []
    for name, chart in charts.caar_paths(paths, by="_group", simulated=story.result.market.simulated):
        end = paths.filter(pl.col("_group") == name).drop_nulls("caar").row(-1, named=True)
        alt = (
            f"CAAR of {name}, session by session: {percent(end['caar'])} at session {end['tau']:+d}, 95% interval "
            f"{percent(end['ci_low'])} to {percent(end['ci_high'])}."
        )
        figures.append(Figure.of(chart, alt))
    return figures, set(paths["band"]) - {"none"}


def _path(group: GroupResult) -> pl.DataFrame:
    sessions = pl.col("tau") - int(group.result.estimation.settings.event[0]) + 1
    noise = pl.lit(HALF * _noise(group.result)) * sessions.sqrt()
    return group.path.with_columns(pl.lit(group.name).alias("_group"), noise.fill_nan(None).alias("noise"))


def _noise(group: StudyResult) -> float:
    """Standard deviation of the group's mean residual, a fraction per session of the estimation window."""
    residuals = group.estimation.residuals
    held = (~np.isnan(residuals)).sum(axis=0)
    means = np.nansum(residuals, axis=0)[held > 0] / held[held > 0]
    return float(means.std(ddof=1)) if len(means) > 1 else np.nan


def clock(part: AnnouncementResult, story: ReportContent) -> Figure | None:
    """The trading hours of each exchange around the announcement; none where hours are not known."""
    facts, market = part.facts, story.result.market
    instant = facts.get("announced_at")
    if instant is None or market.sessions["close"].null_count():
        return None
    news = _when(facts)
    mics = part.result.events["mic"].unique()
    near = market.sessions.filter(
        pl.col("mic").is_in(mics.implode()),
        pl.col("close") > news[0] - EARLIER,
        pl.col("open") < news[1] + LATER,
    )
    first = part.result.events.select("mic", "date").unique().with_columns(pl.lit("day 0").alias("kind"))
    near = near.join(first, on=["mic", "date"], how="left", validate="m:1").with_columns(
        pl.col("kind").fill_null("other session")
    )
    if near.is_empty():
        return None
    whole = pl.col("break_start").is_null()
    stretches = pl.concat(
        [
            near.filter(whole).select("mic", pl.col("open").alias("start"), pl.col("close").alias("end"), "kind"),
            near.filter(~whole).select(
                "mic", pl.col("open").alias("start"), pl.col("break_start").alias("end"), "kind"
            ),
            near.filter(~whole).select("mic", pl.col("break_end").alias("start"), pl.col("close").alias("end"), "kind"),
        ]
    ).sort("mic", "start")
    stretches = stretches.with_columns(named("mic").alias("exchange"))
    title = "Trading hours (bars) and the announcement (orange)"
    chart = timecharts.session_clock(stretches, news, title=title)
    days = "; ".join(f"{exchange(r['mic'])} {r['date']}" for r in first.sort("mic", "date").iter_rows(named=True))
    return Figure.of(chart, f"{title}. Day 0: {days}. The table below says the same.")


def _when(facts: dict[str, Any]) -> tuple[datetime, datetime]:
    """First and last instant (UTC) that the announcement can have had."""
    instant = facts["announced_at"]
    if facts.get("time_precision") != "day":
        return instant, instant
    zone = ZoneInfo(facts.get("time_zone") or "UTC")
    start = instant.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return start.astimezone(ZoneInfo("UTC")), (start + timedelta(days=1)).astimezone(ZoneInfo("UTC"))


def history(story: ReportContent) -> Figure | None:
    """What the mean of each group did around the announcements; none where prices are no simple returns."""
    market, events = story.result.market, story.result.events
    named = _memberships(story)
    if market.unit != "simple" or events.is_empty() or named["group"].n_unique() > MOST_LINES:
        return None
    parts = [part for part in story.parts if part.facts.get("announced_at") is not None]
    days = [part.result.events["date"].min() for part in parts]
    if not parts or len(parts) > MOST_LINES:
        return None
    span = (min(days) - BEFORE, max(days) + AFTER)  # type: ignore[type-var, operator]
    held = market.select("symbol", "date", "ret").filter(pl.col("date").is_between(*span))
    levels = (
        held.join(named, on="symbol", how="inner", validate="m:m")
        .group_by("group", "_order", "date")
        .agg(pl.col("ret").sort_by("symbol").mean())
        .drop_nulls("ret")
        .sort("_order", "date")
        .select("date", "group", (100 * (1 + pl.col("ret")).cum_prod().over("group", order_by="date")).alias("level"))
    )
    headlines = [part.headline for part in parts]
    numbers = [str(at) for at in range(1, len(parts) + 1)]
    marks = pl.DataFrame({"date": days, "number": numbers, "headline": headlines})
    marks = marks.group_by("date", maintain_order=True).agg(
        pl.col("number").str.join(", "), pl.col("headline").str.join("; ")
    )
    title = "Prices around the announcements"
    chart = timecharts.timeline(levels, marks, title=title, simulated=market.simulated)
    listed = "; ".join(f"{at} {part.headline} ({days[at - 1]!s})" for at, part in enumerate(parts, 1))
    return Figure.of(chart, f"{title}: means of the groups' securities, not adjusted for the market. Lines: {listed}.")


def _memberships(story: ReportContent) -> pl.DataFrame:
    """Which security belongs to which group, groups in the report's order."""
    order: dict[str, int] = {}
    for part in story.parts:
        for each in part.groups:
            order.setdefault(each.name, len(order))
    group = pl.col(story.group).cast(pl.String).fill_null("without a group") if story.group else pl.lit("All firms")
    named = story.result.events.select("symbol", group.alias("group")).unique()
    return named.with_columns(pl.col("group").replace_strict(order, default=len(order)).alias("_order"))
