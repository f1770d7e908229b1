"""Frames behind the brief: firms and groups of every announcement on day 0 and over the primary window."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats
from marketimpact.report.content import (
    AnnouncementResult,
    GroupResult,
    ReportContent,
    Window,
    firm_label,
    limit_hits,
)
from marketimpact.report.nearby_events import has_chronology, headlines, nearby_announcements
from marketimpact.study.filtered_columns import single_intervals
from marketimpact.study.result import StudyResult
from marketimpact.study.summary import shown_windows

__all__ = ["RANKED_SESSIONS", "brief_windows", "firms_frame", "groups_frame", "nearby_frame", "returns_as_traded"]

#: Sessions among which the return of day 0 is ranked, day 0 included.
RANKED_SESSIONS = 250
#: Part of the session that returns cover; those of legs have columns of their own.
LEG = "close to close"
DAY0: Window = (0, 0)
_NEARBY: dict[str, Any] = {
    "announcement": pl.Int64,
    "announcement_id": pl.String,
    "other": pl.String,
    "day0": pl.String,
}


def brief_windows(content: ReportContent) -> tuple[Window, ...]:
    """Choose the windows shown side by side: day 0, where the event window has it, and the primary window."""
    return shown_windows(content.result, content.primary)


def firms_frame(content: ReportContent) -> pl.DataFrame:
    """Compute one row per event: returns, abnormal returns, their intervals and p-values, and the rank of day 0.

    Columns ending in ``_day0`` are of day 0; `ret`, `car`, `low`, `high`, `p` of the primary window; `p_family` is
    corrected for all firms of the announcement (Romano and Wolf). `rank` is that of the return of day 0 among the
    returns of the same sign of the last `n_sessions`, 1 for the largest; `largest` marks the firm with the largest
    return on day 0, or over the primary window where there is no day 0. Returns are as traded, also in a result of
    `StudyResult.signed`, whose abnormal returns have their sign reversed.
    """
    parts = [_announcement_firms(n, one, content) for n, one in enumerate(content.announcements, 1)]
    return pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()


def _announcement_firms(position: int, announcement: AnnouncementResult, content: ReportContent) -> pl.DataFrame:
    result, events = announcement.result, announcement.result.events
    order = {group.name: n for n, group in enumerate(announcement.groups)}
    frame = events.select(
        pl.lit(position).alias("announcement"),
        pl.lit(announcement.key).alias("announcement_id"),
        group_names(content, events).alias("group"),
        "event_id",
        "symbol",
        pl.Series("firm", [firm_label(row) for row in events.iter_rows(named=True)], pl.String),
        "date",
        pl.lit(LEG).alias("leg"),
    )
    for window in reversed(brief_windows(content)):
        own = _window_columns(content, result, window)
        if window != content.primary:
            own = own.rename({name: f"{name}_day0" for name in own.columns if name != "event_id"})
        frame = frame.join(own, on="event_id", how="left", validate="1:1", maintain_order="left")
    families = content.single_tests[announcement.key]
    family = families.select("event_id", pl.col("p_romano_wolf_filtered").alias("p_family"))
    frame = frame.join(family, on="event_id", how="left", validate="1:1", maintain_order="left")
    hits = limit_hits(result)["event_id"]
    frame = frame.with_columns(
        pl.lit(events.height).alias("n_firms"),
        pl.col("event_id").is_in(hits.implode()).alias("at_limit"),
        *_ranks(result),
    )
    mover = pl.col("ret_day0" if "ret_day0" in frame.columns else "ret").abs()
    return frame.with_columns(
        (mover.is_not_null() & (mover.rank("ordinal", descending=True) == 1)).fill_null(value=False).alias("largest"),
        pl.col("group").replace_strict(order, default=len(order)).alias("_order"),
    ).sort("_order", "car", "symbol", descending=[False, True, False], nulls_last=True)


def group_names(content: ReportContent, events: pl.DataFrame) -> pl.Series:
    """Name the group of each event as the report does."""
    column = content.group
    name = pl.col(column).cast(pl.String).fill_null("without a group") if column else pl.lit("All firms")
    return events.select("event_id", name.alias("group"))["group"]


def _window_columns(content: ReportContent, result: StudyResult, window: Window) -> pl.DataFrame:
    """Compute ``event_id, ret, car, low, high, p`` over a window, for events with a return in it."""
    cars = content.every_car.of(result, window).drop_nulls("car")
    cars = cars.select("event_id", "car", *(["true_car"] if "true_car" in cars.columns else []))
    own = single_intervals(result.sample(*window)).rename({"p_primary": "p"})
    returns = returns_as_traded(result, window)
    joined = cars.hstack(own).join(returns, on="event_id", how="left", validate="1:1", maintain_order="left")
    return joined.select("event_id", "ret", "car", "low", "high", "p", *cars.columns[2:])


def returns_as_traded(result: StudyResult, window: Window) -> pl.DataFrame:
    """Compute the simple return of every event over the sessions of a window that have one: ``event_id, ret``."""
    sign = result.events.select("event_id", pl.Series("_sign", result.estimation.sign))
    return (
        result.abnormal_returns.filter(pl.col("tau").is_between(*window))
        .drop_nulls("ar")
        .join(sign, on="event_id", how="left", validate="m:1", maintain_order="left")
        .group_by("event_id", maintain_order=True)
        .agg(_compounded(pl.col("ret") * pl.col("_sign"), result.market.unit).alias("ret"))
    )


def _compounded(returns: pl.Expr, unit: str) -> pl.Expr:
    """Compound the returns of a window to one simple return."""
    return returns.sum().exp() - 1.0 if unit == "log" else (1.0 + returns).product() - 1.0


def _ranks(result: StudyResult) -> tuple[pl.Series, pl.Series]:
    """Rank each event's return on day 0 among those of the same sign of its security's last sessions."""
    symbols = result.events["symbol"].unique().to_list()
    market = result.market.select("symbol", "date", "ret").filter(pl.col("symbol").is_in(symbols)).drop_nulls("ret")
    series = {
        str(symbol): (part["date"].to_numpy(), part["ret"].to_numpy())
        for (symbol,), part in market.partition_by("symbol", as_dict=True).items()
    }
    ranks: list[int | None] = []
    counts: list[int | None] = []
    for symbol, day0 in result.events.select("symbol", "date").iter_rows():
        rank, n = _rank_of_last(*series[symbol], np.datetime64(day0)) if symbol in series else (None, None)
        ranks.append(rank)
        counts.append(n)
    return pl.Series("rank", ranks, pl.Int64), pl.Series("n_sessions", counts, pl.Int64)


def _rank_of_last(dates: Any, returns: Floats, day0: np.datetime64) -> tuple[int | None, int | None]:
    end = int(np.searchsorted(dates, day0, side="right"))
    if not end or dates[end - 1] != day0 or not returns[end - 1]:
        return None, None
    last = returns[max(0, end - RANKED_SESSIONS) : end]
    sign = np.sign(last[-1])
    return int(1 + (sign * last[:-1] > sign * last[-1]).sum()), len(last)


def groups_frame(content: ReportContent, firms: pl.DataFrame) -> pl.DataFrame:
    """Compute one row per announcement, group and window: mean return of `firms_frame`, CAAR, and the primary test.

    `effect` with its interval `low` to `high` and `p` are of the primary test, null where it is not valid; `why_not`
    says why. `significant` is null there too.
    """
    rows = [
        _group_row(n, announcement, group, window, firms)
        for n, announcement in enumerate(content.announcements, 1)
        for group in announcement.groups
        for window in brief_windows(content)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _group_row(
    position: int, announcement: AnnouncementResult, group: GroupResult, window: Window, firms: pl.DataFrame
) -> dict[str, Any]:
    told, cars = group.primary_test(window), group.cars(window)
    row: dict[str, Any] = {
        "announcement": position,
        "announcement_id": announcement.key,
        "headline": announcement.headline,
        "date": group.result.events["date"].min(),
        "group": group.name,
        "leg": LEG,
        "first": window[0],
        "last": window[1],
        "n_events": cars.height,
        "ret": None,
        "caar": group.caar(window),
        "test": None,
        "why_not": "no return in the window",
        **dict.fromkeys(("effect", "low", "high", "p", "mde")),
        "significant": None,
    }
    if cars.height:
        returns = "ret_day0" if window == DAY0 and "ret_day0" in firms.columns else "ret"
        own = firms.filter(pl.col("announcement") == position, pl.col("group") == group.name)
        row["ret"] = own[returns].mean()
    if told is None:
        return row
    valid = {"low": told.low, "high": told.high, "p": told.p, "mde": told.mde, "significant": told.rejects}
    return row | {"test": told.test, "why_not": told.why_not, "effect": told.effect} | (valid if told.valid else {})


def nearby_frame(content: ReportContent) -> pl.DataFrame:
    """List the other announcements in each primary window, and what the announcement's own record names."""
    rows: list[tuple[int, str, str, str | None]] = []
    names = headlines(content)
    for n, announcement in enumerate(content.announcements, 1):
        found = nearby_announcements(announcement, content).filter("in_primary") if has_chronology(content) else None
        listed = [] if found is None else list(found.select("headline", "day0").iter_rows())
        recorded = [part.strip() for part in (announcement.facts.get("confounders") or "").split(";") if part.strip()]
        listed += [(names.get(part, part), None) for part in recorded]
        first_named: dict[str, str | None] = {}
        for headline, day0 in listed:
            first_named.setdefault(headline, day0)
        rows += [(n, announcement.key, headline, day0) for headline, day0 in first_named.items()]
    return pl.DataFrame(rows, schema=_NEARBY, orient="row")
