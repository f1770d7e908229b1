"""The chart of firms: an estimate and an interval a row, under the name of its group."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from marketimpact.display.charts import (
    BLACK,
    BLUE,
    GREY,
    GRID,
    INK,
    PALETTE,
    SHAPES,
    altair_chart,
    head,
    look,
    pick_list,
    selection_test,
    vega_lite_schema,
)
from marketimpact.display.formats import clean_text, short_label, short_percent
from marketimpact.display.scales import interval_domain, percent_axis

__all__ = ["EXTREMES", "MOST_FIRMS", "extremes", "firm_effects"]

#: Of more firms than `MOST_FIRMS`, this many of the largest and of the smallest estimates are drawn.
MOST_FIRMS, EXTREMES = 60, 15
ROW_HEIGHT = 18
#: A click on a dot selects its firm.
FIRM = {"name": "firm", "select": {"type": "point", "fields": ["label"]}, "views": ["dots"]}
#: Pixels of labels beside the plot.
BESIDE = 140
#: Bars of the distribution.
N_BINS = 60


def firm_effects(
    frame: pl.DataFrame,
    *,
    title: str,
    subtitle: str = "",
    simulated: bool,
    domain: tuple[float, float] | None = None,
    width: int = 460,
    compact: bool = False,
) -> Any:
    """Draw a dot, an interval and its value per firm, under the name of its group; a click or a list selects.

    Parameters
    ----------
    frame : polars.DataFrame
        ``label, group, car, low, high`` in the order to be drawn; optional ``true_car``, the effect added to
        simulated prices, and ``mark``, a sign beside the value. Of more than `MOST_FIRMS` rows the `EXTREMES` largest
        and smallest are drawn, and the distribution of all beneath them.
    title : str
        The finding.
    subtitle : str
        The measure and its unit.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    domain : (float, float), optional
        Scale of the estimates, such as `scales.interval_domain` of all charts of a section; by default of this one.
        Intervals that are wider end at the frame with an arrow.
    width : int
        Of the plot, in pixels.
    compact : bool
        Whether values stand before short labels, for narrow screens.
    """
    chosen = domain or interval_domain(frame)
    drawn = extremes(frame)
    rows, order = _rows(drawn, chosen, compact=compact)
    panel = _panel(rows, order, chosen, width=width, compact=compact)
    n_cut = sum(row["cut_low"] + row["cut_high"] for row in rows if "car" in row)
    known = "true_car" in frame.columns
    notes = [
        "upright tick: the effect that was put in" if known else "",
        f"{n_cut} ends lie outside the frame (◄ ►)" if n_cut else "",
    ]
    heading = head(title, [subtitle, "; ".join(filter(None, notes))], simulated=simulated, width=width + BESIDE)
    names = [*dict.fromkeys(row["group"] for row in rows), *drawn["label"].to_list()]
    whole: dict[str, Any] = {
        "$schema": vega_lite_schema(), "params": [FIRM, pick_list(names)], "datasets": {"rows": rows}, **look(heading),
    }  # fmt: skip
    if drawn.height == frame.height:
        return altair_chart(whole | panel)
    parts = [panel, _distribution(frame["car"], chosen, width)]
    return altair_chart(whole | {"vconcat": parts, "spacing": 10})


def extremes(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep every row, or of more than `MOST_FIRMS` the largest and the smallest ``car``, each as a group."""
    if frame.height <= MOST_FIRMS:
        return frame
    ordered = frame.drop_nulls("car").sort("car", descending=True, maintain_order=True)
    return pl.concat(
        [
            ordered.head(EXTREMES).with_columns(pl.lit(f"{EXTREMES} largest").alias("group")),
            ordered.tail(EXTREMES).with_columns(pl.lit(f"{EXTREMES} smallest").alias("group")),
        ]
    )


def _rows(
    frame: pl.DataFrame, domain: tuple[float, float], *, compact: bool
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """List the rows drawn, and the label of each row of the axis, those of groups included, by its key."""
    groups = [str(name) for name in frame["group"].cast(pl.String).unique(maintain_order=True)]
    order: dict[str, str] = {}
    rows = []
    for group in groups:
        if len(groups) > 1:
            order[f"g{len(order)}"] = group
        for row in frame.filter(pl.col("group").cast(pl.String) == group).iter_rows(named=True):
            key = f"f{len(order)}"
            value = f"{short_percent(row['car'])} {row.get('mark') or ''}".rstrip()
            name = short_label(row["label"].rsplit(" (", 1)[0]) if compact else row["label"]
            order[key] = f"{value} {name}" if compact else name
            ends = {name: row[name] for name in ("low", "high")}
            low, high = (_inside(ends[name], domain) for name in ("low", "high"))
            cut = {
                "cut_low": low is not None and low > ends["low"],
                "cut_high": high is not None and high < ends["high"],
            }
            shown = {"key": key, "value": value, "shown_low": low, "shown_high": high, **cut}
            rows.append(row | shown | {"group": group})
    return rows, order


def _inside(value: float | None, domain: tuple[float, float]) -> float | None:
    """Move an end of an interval to the frame where it lies beyond it; None where there is none."""
    return None if value is None or np.isnan(value) else float(np.clip(value, *domain))


def _panel(
    rows: list[dict[str, Any]], order: dict[str, str], domain: tuple[float, float], *, width: int, compact: bool
) -> dict[str, Any]:
    """Write the layers: zero, intervals with their arrows, the true effects, dots, and values on the right."""
    x = {
        "type": "quantitative",
        "title": None,
        "scale": {"domain": list(domain), "nice": False},
        "axis": percent_axis(domain, width) | {"grid": True},
    }
    y = {"field": "key", "type": "nominal", "title": None, "scale": {"domain": list(order)}, "axis": _labels(order)}
    groups = list(dict.fromkeys(row["group"] for row in rows))
    marked: dict[str, Any] = {
        "color": _nominal("group", groups, PALETTE),
        "tooltip": [
            {"field": "label", "type": "nominal", "title": "firm"},
            {"field": "group", "type": "nominal"},
            *(
                {"field": name, "type": "quantitative", "title": words, "format": "+.2%"}
                for name, words in (("car", "CAR"), ("low", "95% from"), ("high", "95% to"))
            ),
        ],
    }
    selected = selection_test("firm", fields=("label", "group"))
    faded: dict[str, Any] = {"opacity": {"condition": {"test": selected, "value": 1}, "value": 0.15}}
    pale: dict[str, Any] = {"opacity": {"condition": {"test": selected, "value": 0.85}, "value": 0.1}}
    text = {"type": "text", "align": "left", "fontSize": 11, "color": INK}
    zero = {"x": x | {"field": "x"}}
    layers = [
        {"data": {"values": [{"x": 0}]}, "mark": {"type": "rule", "color": GREY}, "encoding": zero},
        _drawn({"type": "rule", "strokeWidth": 2}, x | {"field": "shown_low"}, y, x2={"field": "shown_high"}, **marked,
               **pale),
        *(
            _drawn(text | {"text": sign, "fontSize": 8, "align": side}, {"value": at}, y, cut)
            for cut, sign, side, at in (("cut_low", "◄", "left", 0), ("cut_high", "►", "right", width))
        ),
    ]  # fmt: skip
    if rows and "true_car" in rows[0]:
        tick = {"type": "tick", "thickness": 3, "size": 12, "color": BLACK}
        layers.append(_drawn(tick, x | {"field": "true_car"}, y, **faded))
    dot = {"type": "point", "filled": True, "size": 64, "cursor": "pointer"}
    dots = _drawn(dot, x | {"field": "car"}, y, shape=_nominal("group", groups, SHAPES), **marked, **faded)
    layers.append(
        dots | {"name": "dots", "params": [{"name": "firm", "select": {"type": "point", "fields": ["label"]}}]}
    )
    if not compact:
        layers.append(_drawn(text, {"value": width + 8}, y, text={"field": "value", "type": "nominal"}, **faded))
    return {"layer": layers, "width": width, "height": ROW_HEIGHT * max(3, len(order))}


def _drawn(
    mark: dict[str, Any], x: dict[str, Any], y: dict[str, Any], where: str | None = None, **more: Any
) -> dict[str, Any]:
    """Write a layer of the rows, or of those for which the column `where` is true."""
    chosen = [{"filter": f"datum.{where}"}] if where else []
    return {"data": {"name": "rows"}, "transform": chosen, "mark": mark, "encoding": {"x": x, "y": y, **more}}


def _nominal(field: str, values: Sequence[str], marks: Sequence[str]) -> dict[str, Any]:
    """Give each group a colour or shape, without a legend: its name stands above its rows."""
    scale = {"domain": list(values), "range": [marks[n % len(marks)] for n in range(len(values))]}
    return {"field": field, "type": "nominal", "scale": scale, "legend": None}


def _labels(order: dict[str, str]) -> dict[str, Any]:
    """Write the axis of rows: labels by key, names of groups in bold."""
    # cleaned before they are escaped: an escaped control character would reach the renderer
    names = json.dumps({key: clean_text(name) for key, name in order.items()}, ensure_ascii=False)
    bold = {"condition": {"test": "substring(datum.value, 0, 1) === 'g'", "value": "bold"}, "value": "normal"}
    return {
        "labelExpr": f"({names})[datum.value]", "labelFontWeight": bold, "labelLimit": 260, "ticks": False,
        "domain": False,
    }  # fmt: skip


def _distribution(values: pl.Series, domain: tuple[float, float], width: int) -> dict[str, Any]:
    """Draw how often CARs of each size occur, on the scale of the firms above."""
    known = values.drop_nulls().to_numpy()
    counts, edges = np.histogram(known, bins=N_BINS, range=domain)
    rows = [
        {"from": low, "to": high, "n": n}
        for low, high, n in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
        if n
    ]
    middle = [short_percent(value) for value in np.quantile(known, (0.05, 0.5, 0.95))]
    x = {"field": "from", "type": "quantitative", "bin": "binned", "title": None, "axis": percent_axis(domain, width),
         "scale": {"domain": list(domain), "nice": False}}  # fmt: skip
    y = {"field": "n", "type": "quantitative", "title": None, "axis": {"tickCount": 3, "gridColor": GRID}}
    tooltip = [
        *({"field": name, "type": "quantitative", "format": "+.1%"} for name in ("from", "to")),
        {"field": "n", "type": "quantitative", "title": "events", "format": ","},
    ]
    text = f"All {len(known):,} events by size: median {middle[1]}, 90% between {middle[0]} and {middle[2]}"
    return {
        "data": {"values": rows},
        "mark": {"type": "bar", "color": BLUE},
        "encoding": {"x": x, "x2": {"field": "to"}, "y": y, "tooltip": tooltip},
        "title": {
            "text": textwrap.wrap(text, (width + BESIDE) // 8),
            "anchor": "start",
            "fontSize": 11,
            "fontWeight": "normal",
            "color": BLACK,
        },
        "width": width,
        "height": 90,
    }
