"""The chart of a specification curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from marketimpact.display.charts import BLUE, DEEP, GREY, INK, SOFT, altair_chart, head, look, vega_lite_schema
from marketimpact.display.scales import line_domain, percent_axis

__all__ = ["COMPACT", "WIDTH", "specification_curve"]

#: Width of the curve in pixels, and on narrow screens.
WIDTH, COMPACT = 720, 200
#: Pixels of labels and medians beside the curve.
BESIDE = 110

_TOOLTIP_TITLES = {"estimate": "CAAR", "ci_low": "95% from", "ci_high": "95% to"}
_NO_AXIS = {"axis": None, "title": None}


def specification_curve(
    frame: pl.DataFrame,
    choices: Sequence[str],
    *,
    title: str,
    subtitle: str = "",
    simulated: bool,
    width: int = WIDTH,
) -> Any:
    """Draw the estimates in order of size with their bands, and beneath them the choices of each specification.

    The scale is that of the estimates; bands that are wider end at the frame.

    Parameters
    ----------
    frame : polars.DataFrame
        One row per specification: ``specification, estimate, ci_low, ci_high, p_value, valid`` and the columns
        `choices`; those without an estimate are counted under the title.
    choices : sequence of str
        Columns of text. Those with one value only are named under the title.
    title : str
        The finding.
    subtitle : str
        The measure and its unit.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    width : int
        Width of the curve, in pixels.
    """
    estimated = frame.drop_nulls("estimate").sort("estimate", maintain_order=True).with_row_index("rank", offset=1)
    order = frame.sort("specification")
    labels = ["p < 5%"] + ["test not valid"] * bool((~estimated["valid"]).any())
    rows = [("result", _significance_marks(estimated), labels)]
    for choice in choices:
        labels = order[choice].unique(maintain_order=True).to_list()
        if len(labels) > 1:
            part = estimated.select("rank", "estimate", pl.col(choice).alias("label"))
            rows.append((choice.replace("_", " "), part, labels))
    room = width / max(estimated.height, 1)
    scale = {"domain": [0.5, max(estimated.height, 1) + 0.5], "nice": False}
    longest = 6 * max(len(label) for _, _, labels in rows for label in labels)
    domain = line_domain(estimated["estimate"])
    panels = [_estimates_panel(estimated, choices, scale, domain, width=width, room=room)]
    stroke = max(0.5, min(3.0, 0.7 * room))
    panels += [_choice_panel(*row, scale, width, stroke=stroke, left=min(180, longest)) for row in rows]
    heading = head(title, [subtitle, *_notes(frame, choices, domain)], simulated=simulated, width=width + BESIDE)
    spec = {"$schema": vega_lite_schema(), "vconcat": panels, "spacing": 8, **look(heading)}
    return altair_chart(spec | {"resolve": {"scale": {"x": "shared"}}})


def _significance_marks(estimated: pl.DataFrame) -> pl.DataFrame:
    """List the specifications that are significant by a valid test, and those whose test is not valid."""
    marks = (("p < 5%", pl.col("valid") & (pl.col("p_value") < 0.05)), ("test not valid", ~pl.col("valid")))
    return pl.concat(
        estimated.filter(mark).select("rank", "estimate", pl.lit(label).alias("label")) for label, mark in marks
    )


def _notes(frame: pl.DataFrame, choices: Sequence[str], domain: tuple[float, float]) -> list[str]:
    """List what stands under the title: failed specifications, clipped bands, and choices that are the same in all."""
    failed = frame["estimate"].null_count()
    clipped = frame.filter((pl.col("ci_low") < domain[0]) | (pl.col("ci_high") > domain[1])).height
    constant = [f"{choice.replace('_', ' ')} {frame[choice][0]}" for choice in choices if frame[choice].n_unique() == 1]
    counts = [f"could not be run: {failed:,} of {frame.height:,} specifications"] if failed else []
    counts += [f"intervals wider than the frame: {clipped:,}"] if clipped else []
    return ["; ".join(counts), "in all: " + ", ".join(constant) if constant else ""]


def _estimates_panel(
    estimated: pl.DataFrame,
    choices: Sequence[str],
    scale: dict[str, Any],
    domain: tuple[float, float],
    *,
    width: int,
    room: float,
) -> dict[str, Any]:
    """Draw the sorted estimates and their bands, which are clipped at the frame."""
    # bands are clipped here and not by the renderer, whose clipping refers to ids that all charts of a page share
    ends = [pl.col("ci_low").clip(*domain).alias("shown_low"), pl.col("ci_high").clip(*domain).alias("shown_high")]
    rows = estimated.select("rank", "estimate", "ci_low", "ci_high", "p_value", "valid", *choices, *ends).to_dicts()
    tooltip = [
        *({"field": name, "type": "quantitative", "title": words, "format": "+.2%"}
          for name, words in _TOOLTIP_TITLES.items()),
        {"field": "p_value", "type": "quantitative", "title": "p", "format": ".3f"},
        {"field": "valid", "type": "nominal", "title": "test valid"},
        *({"field": name, "type": "nominal", "title": name.replace("_", " ")} for name in choices),
    ]  # fmt: skip
    x = {"field": "rank", "type": "quantitative", "scale": scale, **_NO_AXIS}
    y = {"type": "quantitative", "title": None, "axis": percent_axis(domain),
         "scale": {"domain": list(domain), "nice": False}}  # fmt: skip
    bands = {"type": "rule", "color": BLUE, "opacity": 0.75, "strokeWidth": max(0.5, min(1.5, 0.75 * room))}
    dots = {"type": "point", "filled": True, "size": min(30.0, max(4.0, 4.0 * room)), "color": DEEP, "opacity": 1}
    heading = {"type": "text", "align": "left", "fontSize": 10, "color": INK, "text": "median (number)"}
    layers = [
        _layer(rows, bands, x=x, y=y | {"field": "shown_low"}, y2={"field": "shown_high"}, tooltip=tooltip),
        _layer([{"y": 0}], {"type": "rule", "color": GREY, "strokeWidth": 1}, y=y | {"field": "y"}),
        _layer(rows, dots, x=x, y=y | {"field": "estimate"}, tooltip=tooltip),
        _layer([{}], heading, x={"value": width + 8}, y={"value": 224}),
    ]
    return {"layer": layers, "width": width, "height": 230}


def _choice_panel(
    name: str,
    part: pl.DataFrame,
    labels: list[str],
    scale: dict[str, Any],
    width: int,
    *,
    stroke: float,
    left: float,
) -> dict[str, Any]:
    """Draw a row per choice with a stroke for every specification that made it, and their median on the right."""
    axis = {
        "ticks": False, "domain": False, "labelLimit": 180, "titleAngle": 0, "titleAlign": "right",
        "titleX": -left - 16, "grid": True,
    }  # fmt: skip
    y = {"field": "label", "type": "nominal", "sort": labels, "title": name, "scale": {"domain": labels}, "axis": axis}
    medians = [
        {"label": label, "text": _median_label(part.filter(pl.col("label") == label)["estimate"])} for label in labels
    ]
    x = {"field": "rank", "type": "quantitative", "scale": scale, **_NO_AXIS}
    tick = {"type": "tick", "color": SOFT, "thickness": stroke, "height": 11, "orient": "vertical"}
    text = {"type": "text", "align": "left", "fontSize": 10, "color": INK}
    layers = [
        _layer(part.select("rank", "label").to_dicts(), tick, x=x, y=y),
        _layer(medians, text, x={"value": width + 8}, y=y, text={"field": "text", "type": "nominal"}),
    ]
    return {"layer": layers, "width": width, "height": 15 * len(labels)}


def _layer(rows: list[dict[str, Any]], mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}


def _median_label(estimates: pl.Series) -> str:
    """Write the median and the number of estimates, such as ``−0.40% (12)``, with a minus sign."""
    if not len(estimates):
        return "(0)"
    return f"{float(np.median(estimates.to_numpy())):+.2%} ({len(estimates):,})".replace("-", "−")
