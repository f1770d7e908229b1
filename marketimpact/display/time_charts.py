"""Charts over time: trading hours around an announcement, and prices over the calendar."""

from __future__ import annotations

from collections.abc import Sequence
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
    altair_chart,
    head,
    look,
    pick_list,
    selection_test,
    vega_lite_schema,
)
from marketimpact.display.formats import short_label, whole_percent
from marketimpact.display.scales import round_ticks, spread

__all__ = ["session_clock", "timeline"]

#: Dashes distinguish lines where colours cannot.
DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [10, 4], [1, 4])
#: Level of every line on the first day.
BASE = 100.0
#: Pixels from label to label, and from the end of a line to its label.
LABEL_HEIGHT, LEADER = 13, 14
#: Pixels of labels beside a plot, at least.
BESIDE = 60
_UTC = {"type": "utc"}


def session_clock(
    sessions: pl.DataFrame,
    news: tuple[datetime, datetime],
    *,
    title: str,
    subtitle: str = "",
    width: int = 620,
) -> Any:
    """Draw a row per exchange with its trading hours, and the announcement across them.

    Parameters
    ----------
    sessions : polars.DataFrame
        ``exchange, mic, start, end, kind``: stretches of trading (UTC); `exchange` is its name, `kind` "day 0" or
        "other session".
    news : (datetime, datetime)
        Earliest and latest instant of the announcement (UTC); equal where the time of day is known.
    title : str
        The finding.
    subtitle : str
        What is drawn.
    width : int
        Of the plot, in pixels.
    """
    axis = {"format": "%a %H:%M", "labelOverlap": True, "tickCount": max(3, width // 80)}
    x = {"field": "start", "type": "temporal", "scale": _UTC, "title": "time, UTC", "axis": axis}
    end = {"field": "end", "type": "temporal", "scale": _UTC}
    y = {"field": "exchange", "type": "nominal", "title": None, "axis": {"ticks": False, "domain": False}}
    colours = {"domain": ["day 0", "other session"], "range": [BLUE, PALE]}
    rows = _iso_dates(sessions.with_columns(pl.col("start").alias("opens"), pl.col("end").alias("closes")))
    tooltip = [{"field": name, "type": "nominal"} for name in ("exchange", "mic", "kind")]
    tooltip += [{"field": c, "type": "temporal", "format": "%a %d %b %H:%M UTC"} for c in ("opens", "closes")]
    # right of the close, where the announcement line cannot be: day 0 is the first session that closes after it
    last = sessions.filter(pl.col("kind") == "day 0").group_by("exchange").agg(pl.col("end").max()).sort("exchange")
    announced = [{"start": f"{news[0]:%Y-%m-%dT%H:%M:%SZ}", "end": f"{news[1]:%Y-%m-%dT%H:%M:%SZ}"}]
    known = news[0] == news[1]
    line = {"type": "rule", "strokeWidth": 2.5} if known else {"type": "rect", "opacity": 0.18}
    text = {"type": "text", "align": "left", "fontSize": 10}
    layers = [
        _layer(rows.to_dicts(), {"type": "bar", "height": 15, "stroke": EDGE}, x=x, x2={"field": "end"}, y=y,
               color={"field": "kind", "type": "nominal", "scale": colours, "legend": None}, tooltip=tooltip),
        _layer(announced, line | {"color": ORANGE}, x=x, **({} if known else {"x2": {"field": "end"}})),
        _layer(announced, text | {"baseline": "bottom", "dx": 2, "dy": -2, "color": ORANGE, "text": "announcement"},
               x=x, y={"value": 0}),
        _layer(_iso_dates(last).to_dicts(), text | {"dx": 4, "color": INK}, x=end, y=y, text={"value": "day 0"}),
    ]  # fmt: skip
    size = {"width": width, "height": 30 * sessions["mic"].n_unique()}
    heading = head(title, [subtitle], simulated=False, width=width + BESIDE)  # calendars and announcements are real
    return _chart({"layer": layers, **size, **look(heading)})


def timeline(
    levels: pl.DataFrame,
    announcements: pl.DataFrame,
    *,
    title: str,
    subtitle: str = "",
    simulated: bool,
    width: int = 700,
    compact: bool = False,
) -> Any:
    """Draw the levels of groups over the calendar, named at their ends, with a numbered line for every announcement.

    Parameters
    ----------
    levels : polars.DataFrame
        ``date, group, level``, 100 on the first day.
    announcements : polars.DataFrame
        ``date, number, headline``.
    title : str
        The finding.
    subtitle : str
        The measure and its unit.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    width : int
        Of the plot, in pixels.
    compact : bool
        Whether the change stands before the name at the end of a line, for narrow screens.
    """
    groups = levels["group"].unique(maintain_order=True).to_list()
    height, ends = 260, levels.group_by("group", maintain_order=True).last()
    low, high = min(BASE, float(levels["level"].min())), max(BASE, float(levels["level"].max()))  # type: ignore[arg-type]
    low, high = low - 0.04 * (high - low) - 0.1, high + 0.04 * (high - low) + 0.1
    axis = {"format": "%b %Y" if compact else "%d %b %Y", "labelOverlap": True, "tickCount": 3 if compact else 8}
    x = {"field": "date", "type": "temporal", "scale": _UTC, "title": None, "axis": axis}
    y = {"field": "level", "type": "quantitative", "title": None, "scale": {"domain": [low, high], "nice": False},
         "axis": {"values": round_ticks((low, high), BASE)}}  # fmt: skip
    coloured = {
        "color": _nominal(groups, PALETTE),
        "strokeDash": _nominal(groups, DASHES),
        "opacity": {"condition": {"test": selection_test("kin", fields=("group",)), "value": 1}, "value": 0.12},
        "tooltip": [
            {"field": "group", "type": "nominal"},
            {"field": "date", "type": "temporal", "format": "%Y-%m-%d"},
            {"field": "level", "type": "quantitative", "format": ".1f"},
        ],
    }
    labels = _end_labels(ends, (low, high), height, compact=compact)
    leader = {"x": {"value": width}, "x2": {"value": width + LEADER}, "y": y, "y2": {"field": "label_level"}}
    name = {"type": "text", "align": "left", "fontSize": 11, "color": INK, "dx": 3}
    marks = _iso_dates(announcements).to_dicts()
    told = [{"field": "date", "type": "temporal", "format": "%Y-%m-%d"}, {"field": "headline", "type": "nominal"}]
    number = {"type": "text", "dx": 3, "align": "left", "fontWeight": "bold", "fontSize": 12, "color": BLACK}
    lines = _layer(_iso_dates(levels).to_dicts(), {"type": "line", "strokeWidth": 1.8}, x=x, y=y, **coloured)
    layers = [
        _layer([{"level": BASE}], {"type": "rule", "color": GREY}, y=y),
        _layer(marks, {"type": "rule", "color": GREY, "strokeDash": [4, 3]}, x=x, tooltip=told),
        lines | {"name": "lines"},
        _layer(labels, {"type": "rule", "strokeWidth": 1.2}, **leader, color=coloured["color"]),
        _layer(labels, name, x={"value": width + LEADER}, y=y | {"field": "label_level"},
               text={"field": "text", "type": "nominal"}),
        # numbers of announcements a few days apart are drawn at three heights
        *(
            _layer(marks[offset::3], number, x=x, y={"value": 6 + 13 * offset},
                   text={"field": "number", "type": "nominal"}, tooltip=told)
            for offset in range(min(3, len(marks)))
        ),
    ]  # fmt: skip
    heading = head(title, [subtitle], simulated=simulated, width=width + BESIDE)
    kin = {"name": "kin", "select": {"type": "point", "fields": ["group"]}, "views": ["lines"]}
    spec = {"params": [kin, pick_list(groups)], "layer": layers, "width": width, "height": height, **look(heading)}
    return _chart(spec)


def _end_labels(ends: pl.DataFrame, domain: tuple[float, float], height: int, *, compact: bool) -> list[dict[str, Any]]:
    """Place the name of each line and its change near its end, so that no two overlap."""
    low, high = domain
    pixels = [height * (high - level) / (high - low) for level in ends["level"]]
    rows = []
    for (group, level), pixel in zip(
        ends.select("group", "level").iter_rows(), spread(pixels, LABEL_HEIGHT, height), strict=True
    ):
        change = whole_percent(level / BASE - 1)
        text = f"{change} {short_label(group)}" if compact else f"{group} {change}"
        label_level = high - pixel * (high - low) / height
        rows.append({"group": group, "level": level, "label_level": label_level, "text": text})
    return rows


def _nominal(values: Sequence[str], marks: Sequence[Any]) -> dict[str, Any]:
    """Give each group a colour or dash, without a legend: its name stands at its line."""
    scale = {"domain": list(values), "range": [marks[n % len(marks)] for n in range(len(values))]}
    return {"field": "group", "type": "nominal", "scale": scale, "legend": None}


def _layer(rows: list[dict[str, Any]], mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}


def _chart(spec: dict[str, Any]) -> Any:
    return altair_chart({"$schema": vega_lite_schema(), **spec})


def _iso_dates(frame: pl.DataFrame) -> pl.DataFrame:
    """Write instants and days as ISO text in UTC, which every browser reads in the same way."""
    kinds = frame.schema.items()
    days = [pl.col(c).dt.strftime("%Y-%m-%dT00:00:00Z") for c, kind in kinds if kind == pl.Date]
    instants = [pl.col(c).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for c, kind in kinds if isinstance(kind, pl.Datetime)]
    return frame.with_columns(*days, *instants)
