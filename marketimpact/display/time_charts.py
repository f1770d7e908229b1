"""Charts over time: trading hours around an announcement, and prices over the calendar."""

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
    dropdown,
    inline_data,
    selection_opacity,
    unchecked,
    with_title,
)

__all__ = ["session_clock", "timeline"]

#: Dashes distinguish lines where colours cannot.
DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [10, 4], [1, 4])


@unchecked
def session_clock(sessions: pl.DataFrame, news: tuple[datetime, datetime], *, title: str, width: int = 620) -> Any:
    """Draw a row per exchange with its trading hours, and the announcement across them.

    Parameters
    ----------
    sessions : polars.DataFrame
        ``exchange, mic, start, end, kind``: stretches of trading (UTC); `exchange` is its name, `kind` "day 0" or
        "other session".
    news : (datetime, datetime)
        Earliest and latest instant of the announcement (UTC); equal where the time of day is known.
    title : str
        Title of the chart.
    width : int
        In pixels.
    """
    import altair as alt  # noqa: PLC0415

    utc = alt.Scale(type="utc")
    x = alt.X("start:T", scale=utc, title="time, UTC", axis=alt.Axis(format="%a %H:%M", labelOverlap=True))
    y = alt.Y("exchange:N", title=None, axis=alt.Axis(ticks=False, domain=False))
    kinds = ["day 0", "other session"]
    tooltip: list[Any] = [alt.Tooltip(f"{name}:N") for name in ("exchange", "mic", "kind")]
    tooltip += [alt.Tooltip(f"{c}:T", format="%a %d %b %H:%M UTC") for c in ("opens", "closes")]
    rows = sessions.with_columns(pl.col("start").alias("opens"), pl.col("end").alias("closes"))
    base = alt.Chart(inline_data(_iso_dates(rows).to_dicts()))
    bars = base.mark_bar(height=15, stroke=EDGE).encode(
        x=x, x2=alt.X2("end:T"), y=y, tooltip=tooltip,
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=kinds, range=[BLUE, PALE]),
            legend=alt.Legend(orient="top", title=None),
        ),
    )  # fmt: skip
    # right of the close, where the announcement line cannot be: day 0 is the first session that closes after it
    last = rows.filter(pl.col("kind") == "day 0").group_by("exchange").agg(pl.col("end").max()).sort("exchange")
    day0_label = alt.Chart(inline_data(_iso_dates(last).to_dicts())).mark_text(
        align="left", dx=4, fontSize=10, color=INK
    )
    day0_label = day0_label.encode(x=alt.X("end:T", scale=utc), y=y, text=alt.value("day 0"))
    announcement = alt.Chart(
        inline_data([{"start": f"{news[0]:%Y-%m-%dT%H:%M:%SZ}", "end": f"{news[1]:%Y-%m-%dT%H:%M:%SZ}"}])
    )
    start = alt.X("start:T", scale=utc)
    mark = (
        announcement.mark_rule(color=ORANGE, strokeWidth=2.5).encode(x=start)
        if news[0] == news[1]
        else announcement.mark_rect(color=ORANGE, opacity=0.18).encode(x=start, x2=alt.X2("end:T"))
    )
    announcement_label = announcement.mark_text(align="left", baseline="bottom", dx=2, dy=-2, fontSize=10, color=ORANGE)
    announcement_label = announcement_label.encode(x=start, y=alt.value(0), text=alt.value("announcement"))
    layers, height = (bars, mark, announcement_label, day0_label), 30 * sessions["mic"].n_unique()
    chart = alt.layer(*layers, width=width, height=height)
    return with_title(chart, title, simulated=False)  # calendars and announcements are real


@unchecked
def timeline(
    levels: pl.DataFrame, announcements: pl.DataFrame, *, title: str, simulated: bool, width: int = 700
) -> Any:
    """Draw the levels of groups over the calendar, with a numbered line for every announcement.

    Parameters
    ----------
    levels : polars.DataFrame
        ``date, group, level``, 100 on the first day.
    announcements : polars.DataFrame
        ``date, number, headline``.
    title : str
        Title of the chart.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    width : int
        In pixels.
    """
    import altair as alt  # noqa: PLC0415

    groups = levels["group"].unique(maintain_order=True).to_list()
    kin = alt.selection_point(name="kin", fields=["group"], bind="legend")
    utc = alt.Scale(type="utc")
    dated = alt.Tooltip("date:T", format="%Y-%m-%d")
    x = alt.X("date:T", scale=utc, title=None, axis=alt.Axis(format="%d %b %Y", labelOverlap=True, tickCount=8))
    legend = alt.Legend(orient="top", title=None, columns=3, labelLimit=260, symbolSize=300, symbolStrokeWidth=2)
    hues = [PALETTE[i % len(PALETTE)] for i in range(len(groups))]
    dashes = [DASHES[i % len(DASHES)] for i in range(len(groups))]
    lines = alt.Chart(inline_data(_iso_dates(levels).to_dicts())).mark_line(strokeWidth=1.8).encode(
        x=x,
        y=alt.Y("level:Q", title="mean of the group, first day = 100", scale=alt.Scale(zero=False)),
        color=alt.Color("group:N", scale=alt.Scale(domain=groups, range=hues), legend=legend),
        strokeDash=alt.StrokeDash("group:N", scale=alt.Scale(domain=groups, range=dashes)),
        opacity=selection_opacity(1, 0.12, "kin", fields=("group",)),
        tooltip=[alt.Tooltip("group:N"), dated, alt.Tooltip("level:Q", format=".1f")],
    )  # fmt: skip
    lines = lines.properties(name="lines").add_params(kin)
    news = alt.Chart(inline_data(_iso_dates(announcements).to_dicts()))
    tooltip = [dated, alt.Tooltip("headline:N")]
    rules = news.mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.X("date:T", scale=utc), tooltip=tooltip)
    marks = _iso_dates(announcements).to_dicts()
    # numbers of announcements a few days apart are drawn at three heights
    numbers = [
        alt.Chart(inline_data(marks[offset::3]))
        .mark_text(dx=3, align="left", fontWeight="bold", fontSize=12, color=BLACK)
        .encode(x=alt.X("date:T", scale=utc), y=alt.value(6 + 13 * offset), text=alt.Text("number:N"), tooltip=tooltip)
        for offset in range(min(3, len(marks)))
    ]
    chart = alt.layer(rules, lines, *numbers, width=width, height=260)
    return with_title(chart.add_params(dropdown(groups)), title, simulated)


def _iso_dates(frame: pl.DataFrame) -> pl.DataFrame:
    """Write instants and days as ISO text in UTC, which every browser reads in the same way."""
    kinds = frame.schema.items()
    days = [pl.col(c).dt.strftime("%Y-%m-%dT00:00:00Z") for c, kind in kinds if kind == pl.Date]
    instants = [pl.col(c).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for c, kind in kinds if isinstance(kind, pl.Datetime)]
    return frame.with_columns(*days, *instants)
