"""The chart of the brief: firms with intervals, one panel per announcement on one scale."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from marketimpact.display.charts import (
    AXIS,
    BLACK,
    GREY,
    GRID,
    INK,
    ORANGE,
    PALETTE,
    PAPER,
    SHAPES,
    look,
    vega_lite_schema,
)
from marketimpact.display.formats import SIMULATED_CHART
from marketimpact.display.scales import percent_axis

__all__ = ["brief_chart", "brief_panel", "group_colours", "single_panel"]

ROW_HEIGHT = 14
#: Characters of a line of a panel's title.
TITLE_WIDTH = 40


def brief_panel(
    frame: pl.DataFrame,
    *,
    title: str,
    subtitle: str,
    groups: Sequence[str],
    domain: tuple[float, float],
    simulated: bool,
    width: int = 170,
) -> dict[str, Any]:
    """Write the Vega-Lite of one panel: a row per firm, its CAR with its interval, and its abnormal return of day 0.

    Parameters
    ----------
    frame : polars.DataFrame
        ``label, group, car, low, high`` and, optionally, ``car_day0``, in the order to be drawn.
    title, subtitle : str
        The finding; the measure and its unit.
    groups : sequence of str
        All groups, so that each has the same colour and shape in every panel.
    domain : (float, float)
        From `scales.interval_domain`.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    width : int
        Of the plot, in pixels.
    """
    rows = frame.with_columns(pl.col("low", "high").clip(*domain)).to_dicts()
    x = {
        "type": "quantitative",
        "title": None,
        "scale": {"domain": list(domain), "nice": False},
        "axis": percent_axis(domain, width) | {"grid": True},
    }
    y = {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": _FIRM_AXIS}
    colour, shape = _scale(groups, PALETTE), _scale(groups, SHAPES)
    tooltip = [
        {"field": "label", "type": "nominal", "title": "firm"},
        {"field": "group", "type": "nominal"},
        *(
            {"field": name, "type": "quantitative", "title": words, "format": "+.2%"}
            for name, words in (("car", "CAR"), ("low", "95% from"), ("high", "95% to"), ("car_day0", "AR day 0"))
            if name in frame.columns
        ),
    ]
    coloured = {"color": {"field": "group", "type": "nominal", "scale": colour, "legend": None}, "tooltip": tooltip}
    day0 = {"type": "point", "size": 26, "filled": False, "strokeWidth": 1.2, "opacity": 1, "color": INK}
    layers: list[dict[str, Any]] = [
        _layer([{"x": 0}], {"type": "rule", "color": GREY, "strokeWidth": 1.2}, x=x | {"field": "x"}),
        _layer(rows, {"type": "rule", "strokeWidth": 2}, x=x | {"field": "low"}, x2={"field": "high"}, y=y, **coloured),
        _layer(
            rows,
            {"type": "point", "filled": True, "size": 50, "opacity": 1},
            x=x | {"field": "car"},
            y=y,
            shape={"field": "group", "type": "nominal", "scale": shape, "legend": None},
            **coloured,
        ),
    ]
    if "car_day0" in frame.columns:
        with_day0 = frame.drop_nulls("car_day0").to_dicts()
        layers.append(_layer(with_day0, day0, x=x | {"field": "car_day0"}, y=y, tooltip=tooltip))
    height = max(4, frame.height) * ROW_HEIGHT
    head = _head(title, [subtitle, *([SIMULATED_CHART] if simulated else [])], simulated=simulated)
    return {"layer": layers, "width": width, "height": height, "title": head}


_FIRM_AXIS = {"labelLimit": 190, "ticks": False, "domain": False, "labelFontSize": 10, "labelPadding": 4}


def group_colours(groups: Sequence[str]) -> dict[str, str]:
    """Give the colour of each group, the same in every panel."""
    return {group: PALETTE[n % len(PALETTE)] for n, group in enumerate(groups)}


def _scale(groups: Sequence[str], values: Sequence[str]) -> Mapping[str, Any]:
    return {"domain": list(groups), "range": [values[n % len(values)] for n in range(len(groups))]}


def _layer(rows: list[dict[str, Any]], mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}


def _head(title: str, subtitle: list[str], *, simulated: bool) -> dict[str, Any]:
    return {
        "text": textwrap.wrap(title, TITLE_WIDTH), "subtitle": subtitle, "anchor": "start", "frame": "bounds",
        "fontSize": 12, "limit": 330, "subtitleFontSize": 10.5,
        "subtitleColor": ORANGE if simulated else INK, "color": BLACK,
    }  # fmt: skip


def brief_chart(
    panels: Sequence[dict[str, Any]], *, title: str, groups: Sequence[str], source: Sequence[str], columns: int = 3
) -> dict[str, Any]:
    """Arrange panels beside each other, with a legend of the groups above and the source below."""
    legend = _legend(groups) if len(groups) > 1 else []
    return {
        "$schema": vega_lite_schema(),
        "title": {"text": title, "anchor": "start", "fontSize": 15, "color": BLACK, "offset": 12},
        "vconcat": [*legend, {"concat": list(panels), "columns": columns, "spacing": 24}, _note(source)],
        "spacing": 14,
        **_config(),
        "padding": {"left": 26, "right": 16, "top": 8, "bottom": 8},
    }


def single_panel(panel: dict[str, Any]) -> dict[str, Any]:
    """Complete one panel to a chart of its own."""
    return {"$schema": vega_lite_schema(), **panel, **_config()}


def _legend(groups: Sequence[str]) -> list[dict[str, Any]]:
    """Draw a key of the groups: a mark and its name each, in a column."""
    rows = [{"group": group, "x": 0} for group in groups]
    y = {"field": "group", "type": "nominal", "sort": None, "axis": None}
    nominal = {"field": "group", "type": "nominal", "legend": None}
    dot = {"type": "point", "filled": True, "size": 60, "opacity": 1, "x": 6}
    marks = _layer(rows, dot, y=y, color=nominal | {"scale": _scale(groups, PALETTE)},
                   shape=nominal | {"scale": _scale(groups, SHAPES)})  # fmt: skip
    names = _layer(rows, {"type": "text", "align": "left", "x": 16, "fontSize": 11, "color": INK}, y=y,
                   text={"field": "group", "type": "nominal"})  # fmt: skip
    return [{"layer": [marks, names], "width": 300, "height": 15 * len(groups), "view": {"stroke": None}}]


def _note(lines: Sequence[str]) -> dict[str, Any]:
    mark = {"type": "text", "align": "left", "baseline": "top", "x": 0, "y": 0, "fontSize": 10, "color": GREY}
    data: dict[str, Any] = {"values": [{}]}
    return {"data": data, "mark": mark | {"text": list(lines)}, "width": 360, "height": 13 * len(lines)}


def _config() -> dict[str, Any]:
    config = look("")
    config.pop("title")
    config["padding"] = {"left": 14, "right": 8, "top": 6, "bottom": 4}
    config["config"]["axisX"] = {"titleFontWeight": "normal", "gridColor": GRID, "labelFontSize": 10}
    config["config"]["axis"] = config["config"]["axis"] | {"domainColor": AXIS}
    return config | {"background": PAPER}
