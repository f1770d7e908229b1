"""Charts of a report, drawn from frames of the result, with alternative texts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from marketimpact.display import charts, firm_chart
from marketimpact.display import time_charts as timecharts
from marketimpact.display.formats import percent
from marketimpact.events.exchange_names import exchange, named
from marketimpact.inference import SIGNIFICANCE_LEVEL
from marketimpact.report.blocks import Figure
from marketimpact.report.chart_titles import firms_finding, hours_finding, path_finding, prices_finding
from marketimpact.report.content import AnnouncementResult, GroupResult, ReportContent, firm_label
from marketimpact.study.result import StudyResult
from marketimpact.study.summary import path_base, path_measure

__all__ = ["MOST_PATHS", "firm_figure", "path_figures", "price_history_figure", "trading_hours_figure"]

#: 97.5% quantile of the standard normal distribution.
NORMAL_QUANTILE = 1.959964
#: Calendar days of prices shown before the first and after the last announcement.
DAYS_BEFORE, DAYS_AFTER = timedelta(days=75), timedelta(days=35)
#: Hours of trading shown before and after the announcement.
HOURS_BEFORE, HOURS_AFTER = timedelta(hours=30), timedelta(hours=54)
#: With more groups or announcements than this, lines can no longer be distinguished.
MOST_LINES = 7
#: Widths of plots in pixels: of firms, trading hours and prices, each on screens and on phones.
FIRMS_WIDTH, HOURS_WIDTH, PRICES_WIDTH = 460, 620, 660
PHONE_FIRMS, PHONE_HOURS, PHONE_PRICES = 120, 220, 130
#: Paths drawn per announcement, at most: those of the groups with most events.
MOST_PATHS = 12


def firm_figure(frame: pl.DataFrame, content: ReportContent, domain: tuple[float, float]) -> Figure:
    """Draw a dot and an interval per firm; signs mark p-values below 5%.

    Parameters
    ----------
    frame : polars.DataFrame
        Events of one announcement with a CAR: ``car, low, high, p, p_family, group, name, symbol, at_limit``.
    content : ReportContent
        The report's.
    domain : (float, float)
        Scale that all charts of the section share.
    """
    columns = ["label", "group", "car", "low", "high", "mark"]
    columns += ["true_car"] if "true_car" in frame.columns else []
    below_5, below_5_family = (pl.col(p) < SIGNIFICANCE_LEVEL for p in ("p", "p_family"))
    signs = pl.when(below_5_family).then(pl.lit("‡")).when(below_5).then(pl.lit("†")).otherwise(pl.lit(""))
    firm = pl.Series("firm", [firm_label(row) for row in frame.iter_rows(named=True)], pl.String)
    labelled = frame.with_columns(firm, pl.Series("label", _event_labels(frame)), signs.alias("mark"))
    title, measure = firms_finding(labelled), f"CAR over {list(content.primary)}, 95% interval"
    wide, narrow = (
        firm_chart.firm_effects(
            labelled.select(columns),
            title=title,
            subtitle=measure,
            simulated=content.result.market.simulated,
            domain=domain,
            width=width,
            compact=compact,
        )
        for width, compact in ((FIRMS_WIDTH, False), (PHONE_FIRMS, True))
    )
    marked = labelled.filter(pl.col("mark") == "‡")["label"].to_list()
    n_drawn = firm_chart.extremes(labelled).height
    alt = (
        f"{title}. {measure}, events drawn: {n_drawn}. Below 5% after correction for all these firms: "
        f"{', '.join(marked) or 'none'}. The table below has every number."
    )
    return Figure.of(wide, alt, narrow)


def _event_labels(frame: pl.DataFrame) -> list[str]:
    """Name every event; events of one firm get their date or id, since equal names would share a row."""
    rows = list(frame.iter_rows(named=True))
    labels = [firm_label(row) for row in rows]
    for tail in ("date", "event_id"):
        if len(set(labels)) < len(labels):
            labels = [f"{firm_label(row)} {row[tail]}" for row in rows]
    return labels


def path_figures(announcement: AnnouncementResult, content: ReportContent) -> tuple[list[Figure], set[str]]:
    """Draw a CAAR path per group on one scale; give the figures and the names of the bands.

    Of more than `MOST_PATHS` groups those with most events are drawn, in the order of the report.
    """
    largest = sorted(announcement.groups, key=lambda group: -group.result.events.height)[:MOST_PATHS]
    drawn = [group for group in announcement.groups if group in largest]
    base = path_base(content.result)
    paths = pl.concat([_path_with_noise(group, base) for group in drawn])
    if paths["caar"].drop_nulls().is_empty():
        return [], set()
    figures = []
    titles = {group.name: path_finding(group, content.primary) for group in drawn}
    made = charts.caar_paths(
        paths,
        by="_group",
        titles=titles,
        subtitle=path_measure(base),
        simulated=content.result.market.simulated,
        width=190,
        height=130,
    )
    for name, chart in made:
        end = paths.filter(pl.col("_group") == name).drop_nulls("caar").row(-1, named=True)
        alt = (
            f"CAAR of {name}, session by session: {percent(end['caar'])} at session {end['tau']:+d}, 95% interval "
            f"{percent(end['ci_low'])} to {percent(end['ci_high'])}."
        )
        figures.append(Figure.of(chart, alt))
    return figures, set(paths["band"]) - {"none"}


def _path_with_noise(group: GroupResult, base: int | None) -> pl.DataFrame:
    """Add how far the group's mean wanders in ordinary sessions (95%) as long as those cumulated."""
    path = group.result.caar(base=base)
    start = int(group.result.estimation.settings.event[0]) - 1 if base is None else base
    noise = pl.lit(NORMAL_QUANTILE * _noise(group.result)) * (pl.col("tau") - start).abs().sqrt()
    return path.with_columns(pl.lit(group.name).alias("_group"), noise.fill_nan(None).alias("noise"))


def _noise(group: StudyResult) -> float:
    """Estimate the standard deviation of the group's mean residual, a fraction per session of the estimation window."""
    residuals = group.estimation.residuals
    n_present = (~np.isnan(residuals)).sum(axis=0)
    means = np.nansum(residuals, axis=0)[n_present > 0] / n_present[n_present > 0]
    return float(means.std(ddof=1)) if len(means) > 1 else np.nan


def trading_hours_figure(announcement: AnnouncementResult, content: ReportContent) -> Figure | None:
    """Draw the trading hours of each exchange around the announcement; None where hours are not known."""
    facts, market = announcement.facts, content.result.market
    instant = facts.get("announced_at")
    if instant is None or market.sessions["close"].null_count():
        return None
    news = _announcement_bounds(facts)
    mics = announcement.result.events["mic"].unique()
    sessions = market.sessions.filter(
        pl.col("mic").is_in(mics.implode()),
        pl.col("close") > news[0] - HOURS_BEFORE,
        pl.col("open") < news[1] + HOURS_AFTER,
    )
    day0_sessions = (
        announcement.result.events.select("mic", "date").unique().with_columns(pl.lit("day 0").alias("kind"))
    )
    sessions = sessions.join(day0_sessions, on=["mic", "date"], how="left", validate="m:1").with_columns(
        pl.col("kind").fill_null("other session")
    )
    if sessions.is_empty():
        return None
    stretches = _trading_stretches(sessions)
    title = hours_finding(stretches, news, day0_sessions["date"])
    drawn = "trading hours (bars) and the announcement (orange)"
    wide, narrow = (
        timecharts.session_clock(stretches, news, title=title, subtitle=drawn, width=width)
        for width in (HOURS_WIDTH, PHONE_HOURS)
    )
    days = "; ".join(
        f"{exchange(r['mic'])} {r['date']}" for r in day0_sessions.sort("mic", "date").iter_rows(named=True)
    )
    alt = f"{title}: {drawn}. Day 0: {days}. The table below says the same."
    return Figure.of(wide, alt, narrow)


def _trading_stretches(sessions: pl.DataFrame) -> pl.DataFrame:
    """Divide sessions at their breaks into stretches of trading: ``mic, start, end, kind, exchange``."""
    has_break = pl.col("break_start").is_not_null()
    stretches = [
        sessions.filter(condition).select("mic", pl.col(start).alias("start"), pl.col(end).alias("end"), "kind")
        for condition, start, end in (
            (~has_break, "open", "close"),
            (has_break, "open", "break_start"),
            (has_break, "break_end", "close"),
        )
    ]
    return pl.concat(stretches).sort("mic", "start").with_columns(named("mic").alias("exchange"))


def _announcement_bounds(facts: dict[str, Any]) -> tuple[datetime, datetime]:
    """Find the first and last possible instant (UTC) of the announcement."""
    instant = facts["announced_at"]
    if facts.get("time_precision") != "day":
        return instant, instant
    zone = ZoneInfo(facts.get("time_zone") or "UTC")
    start = instant.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return start.astimezone(ZoneInfo("UTC")), (start + timedelta(days=1)).astimezone(ZoneInfo("UTC"))


def price_history_figure(content: ReportContent) -> Figure | None:
    """Draw the mean price of each group around the announcements; None where returns are not simple."""
    market, events = content.result.market, content.result.events
    memberships = _memberships(content)
    if market.unit != "simple" or events.is_empty() or memberships["group"].n_unique() > MOST_LINES:
        return None
    timed = [
        announcement for announcement in content.announcements if announcement.facts.get("announced_at") is not None
    ]
    days = [announcement.result.events["date"].min() for announcement in timed]
    if not timed or len(timed) > MOST_LINES:
        return None
    span = (min(days) - DAYS_BEFORE, max(days) + DAYS_AFTER)  # type: ignore[type-var, operator]
    returns = market.select("symbol", "date", "ret").filter(pl.col("date").is_between(*span))
    levels = (
        returns.join(memberships, on="symbol", how="inner", validate="m:m")
        .group_by("group", "_order", "date")
        .agg(pl.col("ret").sort_by("symbol").mean())
        .drop_nulls("ret")
        .sort("_order", "date")
        .with_columns((1 + pl.col("ret")).cum_prod().over("group", order_by="date").alias("level"))
        .with_columns((pl.col("level") / pl.col("level").first().over("group", order_by="date") * 100).alias("level"))
        .select("date", "group", "level")
    )
    headlines = [announcement.headline for announcement in timed]
    numbers = [str(number) for number in range(1, len(timed) + 1)]
    news = pl.DataFrame({"date": days, "number": numbers, "headline": headlines})
    news = news.group_by("date", maintain_order=True).agg(
        pl.col("number").str.join(", "), pl.col("headline").str.join("; ")
    )
    title, measure = prices_finding(levels), "mean price of each group, first day = 100, not adjusted for the market"
    wide, narrow = (
        timecharts.timeline(
            levels, news, title=title, subtitle=measure, simulated=market.simulated, width=width, compact=compact
        )
        for width, compact in ((PRICES_WIDTH, False), (PHONE_PRICES, True))
    )
    numbered = "; ".join(
        f"{number} {announcement.headline} ({days[number - 1]!s})" for number, announcement in enumerate(timed, 1)
    )
    return Figure.of(wide, f"{title}: {measure}. Lines: {numbered}.", narrow)


def _memberships(content: ReportContent) -> pl.DataFrame:
    """List which security belongs to which group, groups in the report's order."""
    order: dict[str, int] = {}
    for announcement in content.announcements:
        for group_result in announcement.groups:
            order.setdefault(group_result.name, len(order))
    group = pl.col(content.group).cast(pl.String).fill_null("without a group") if content.group else pl.lit("All firms")
    memberships = content.result.events.select("symbol", group.alias("group")).unique()
    return memberships.with_columns(pl.col("group").replace_strict(order, default=len(order)).alias("_order"))
