"""Charts with a clock or a calendar: when the news met each exchange, and what prices did around it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from marketimpact.display.charts import (
    BLACK,
    BLUE,
    EDGE,
    GREY,
    INK,
    ORANGE,
    PALE,
    PALETTE,
    dressed,
    inline,
    pick,
    picked,
)

__all__ = ["session_clock", "timeline"]

#: Dashes tell lines apart where colours do not.
DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [10, 4], [1, 4])


def session_clock(sessions: pl.DataFrame, news: tuple[datetime, datetime], *, title: str, width: int = 620) -> Any:
    """A row per exchange with its trading hours, and the announcement across them.

    Parameters
    ----------
    sessions : polars.DataFrame
        ``exchange, mic, start, end, kind``: stretches of trading (UTC); `exchange` is its name, `kind` "day 0" or
        "other session".
    news : (datetime, datetime)
        Earliest and latest instant of the announcement (UTC); equal where the clock is known.
    title : str
        Over the chart.
    width : int
        In pixels.
    """
    import altair as alt  # noqa: PLC0415

    clock = alt.Scale(type="utc")
    x = alt.X("start:T", scale=clock, title="time, UTC", axis=alt.Axis(format="%a %H:%M", labelOverlap=True))
    y = alt.Y("exchange:N", title=None, axis=alt.Axis(ticks=False, domain=False))
    kinds = ["day 0", "other session"]
    told: list[Any] = ["exchange:N", "mic:N", "kind:N"]
    told += [alt.Tooltip(f"{c}:T", format="%a %d %b %H:%M UTC") for c in ("opens", "closes")]
    rows = sessions.with_columns(pl.col("start").alias("opens"), pl.col("end").alias("closes"))
    base = alt.Chart(inline(_written(rows).to_dicts()))
    bars = base.mark_bar(height=15, stroke=EDGE).encode(
        x=x, x2="end:T", y=y, tooltip=told,
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=kinds, range=[BLUE, PALE]),
            legend=alt.Legend(orient="top", title=None),
        ),
    )  # fmt: skip
    # behind the close, where no announcement can be: day 0 is the first session that closes after it
    last = rows.filter(pl.col("kind") == "day 0").group_by("exchange").agg(pl.col("end").max()).sort("exchange")
    label = alt.Chart(inline(_written(last).to_dicts())).mark_text(align="left", dx=4, fontSize=10, color=INK)
    label = label.encode(x=alt.X("end:T", scale=clock), y=y, text=alt.value("day 0"))
    at = alt.Chart(inline([{"start": f"{news[0]:%Y-%m-%dT%H:%M:%SZ}", "end": f"{news[1]:%Y-%m-%dT%H:%M:%SZ}"}]))
    when = alt.X("start:T", scale=clock)
    mark = (
        at.mark_rule(color=ORANGE, strokeWidth=2.5).encode(x=when)
        if news[0] == news[1]
        else at.mark_rect(color=ORANGE, opacity=0.18).encode(x=when, x2="end:T")
    )
    said = at.mark_text(align="left", baseline="bottom", dx=2, dy=-2, fontSize=10, color=ORANGE)
    said = said.encode(x=when, y=alt.value(0), text=alt.value("announcement"))
    chart = alt.layer(bars, mark, said, label).properties(width=width, height=30 * sessions["mic"].n_unique())
    return dressed(chart, title, simulated=False)  # calendars and announcements are real


def timeline(
    levels: pl.DataFrame, announcements: pl.DataFrame, *, title: str, simulated: bool, width: int = 700
) -> Any:
    """Levels of groups over the calendar, with a numbered line for every announcement.

    Parameters
    ----------
    levels : polars.DataFrame
        ``date, group, level``, 100 on the first day.
    announcements : polars.DataFrame
        ``date, number, headline``.
    title : str
        Over the chart.
    simulated : bool
        Says so under the title.
    width : int
        In pixels.
    """
    import altair as alt  # noqa: PLC0415

    groups = levels["group"].unique(maintain_order=True).to_list()
    kin = alt.selection_point(name="kin", fields=["group"], bind="legend")
    day = alt.Scale(type="utc")
    x = alt.X("date:T", scale=day, title=None, axis=alt.Axis(format="%d %b %Y", labelOverlap=True, tickCount=8))
    legend = alt.Legend(orient="top", title=None, columns=3, labelLimit=260, symbolSize=300, symbolStrokeWidth=2)
    hues = [PALETTE[i % len(PALETTE)] for i in range(len(groups))]
    dashes = [DASHES[i % len(DASHES)] for i in range(len(groups))]
    lines = alt.Chart(inline(_written(levels).to_dicts())).mark_line(strokeWidth=1.8).encode(
        x=x,
        y=alt.Y("level:Q", title="mean of the group, first day = 100", scale=alt.Scale(zero=False)),
        color=alt.Color("group:N", scale=alt.Scale(domain=groups, range=hues), legend=legend),
        strokeDash=alt.StrokeDash("group:N", scale=alt.Scale(domain=groups, range=dashes)),
        opacity=picked(1, 0.12, "kin", fields=("group",)),
        tooltip=["group:N", alt.Tooltip("date:T", format="%Y-%m-%d"), alt.Tooltip("level:Q", format=".1f")],
    )  # fmt: skip
    lines = lines.properties(name="lines").add_params(kin)
    news = alt.Chart(inline(_written(announcements).to_dicts()))
    told = [alt.Tooltip("date:T", format="%Y-%m-%d"), "headline:N"]
    rules = news.mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.X("date:T", scale=day), tooltip=told)
    marks = _written(announcements).to_dicts()
    # neighbours a few days apart stand on three heights
    numbers = [
        alt.Chart(inline(marks[at::3]))
        .mark_text(dx=3, align="left", fontWeight="bold", fontSize=12, color=BLACK)
        .encode(x=alt.X("date:T", scale=day), y=alt.value(6 + 13 * at), text="number:N", tooltip=told)
        for at in range(min(3, len(marks)))
    ]
    chart = alt.layer(rules, lines, *numbers).properties(width=width, height=260)
    return dressed(chart.add_params(pick(groups)), title, simulated)


def _written(frame: pl.DataFrame) -> pl.DataFrame:
    """Instants and days as ISO text in UTC, which every browser reads alike."""
    kinds = frame.schema.items()
    days = [pl.col(c).dt.strftime("%Y-%m-%dT00:00:00Z") for c, kind in kinds if kind == pl.Date]
    instants = [pl.col(c).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for c, kind in kinds if isinstance(kind, pl.Datetime)]
    return frame.with_columns(*days, *instants)
