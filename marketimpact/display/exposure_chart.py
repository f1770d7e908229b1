"""Charts of exposure slopes: firms against their exposure, the slope by session, and slopes by announcement."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from marketimpact.display.charts import BLUE, GREY, INK, altair_chart, head, look, vega_lite_schema
from marketimpact.display.formats import clean_text
from marketimpact.display.scales import interval_domain, line_domain, percent_axis, round_ticks

__all__ = ["exposure_slope", "slopes_by_date"]

WIDTH, HEIGHT, ROW_HEIGHT = 320, 240, 18
#: Firms whose symbols are written beside their dots.
MOST_NAMED = 40
#: Pixels of both panels with their axes.
PAGE = 2 * WIDTH + 120


def exposure_slope(
    firms: pl.DataFrame,
    path: pl.DataFrame,
    *,
    slope: float,
    exposure: str,
    title: str,
    measure: str,
    simulated: bool,
) -> Any:
    """Draw returns against the exposure with the slope, and beside it the summed slope by session with its band.

    Parameters
    ----------
    firms : polars.DataFrame
        ``symbol, ret, exposure``.
    path : polars.DataFrame
        ``tau, cumulative, cumulative_low, cumulative_high``.
    slope : float
        Return per unit of the exposure.
    exposure : str
        Its name, for the axis.
    title, measure : str
        The finding; what returns are.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    """
    lines = [
        f"left: {measure}, and the slope; right: slope summed by session with its 95% band, per unit of {exposure}"
    ]
    heading = head(title, lines, simulated=simulated, width=PAGE)
    panels = [_scatter(firms, slope, exposure), _path(path)]
    return altair_chart({"$schema": vega_lite_schema(), "concat": panels, "columns": 2, "spacing": 30, **look(heading)})


def _scatter(firms: pl.DataFrame, slope: float, exposure: str) -> dict[str, Any]:
    """Draw a dot per firm and the line of the slope through their means."""
    ret, values = firms["ret"].to_numpy(), firms["exposure"].to_numpy()
    ends = np.array([values.min(), values.max()])
    line = [{"exposure": x, "ret": y} for x, y in zip(ends, ret.mean() + slope * (ends - values.mean()), strict=True)]
    domain = line_domain([*ret, *(row["ret"] for row in line)])
    margin = 0.08 * float(ends[1] - ends[0])
    span = (float(ends[0]) - margin, float(ends[1]) + margin)
    axis = {"values": round_ticks(span), "format": "~g"}
    x = _quantity("exposure", span, title=clean_text(exposure), axis=axis)
    y = _quantity("ret", domain, title=None, axis=percent_axis(domain))
    tooltip = [{"field": "symbol", "type": "nominal"}, {"field": "exposure", "type": "quantitative", "format": ".3~g"},
               {"field": "ret", "type": "quantitative", "title": "return", "format": "+.2%"}]  # fmt: skip
    rows = firms.with_columns(pl.col("symbol").map_elements(clean_text, return_dtype=pl.String)).to_dicts()
    dot = {"type": "point", "filled": True, "size": 46, "color": BLUE, "opacity": 0.8}
    layers = [
        _layer([{"ret": 0.0}], {"type": "rule", "color": GREY}, y=y),
        _layer(line, {"type": "line", "color": BLUE, "strokeWidth": 2}, x=x, y=y),
        _layer(rows, dot, x=x, y=y, tooltip=tooltip),
    ]
    if firms.height <= MOST_NAMED:
        mark = {"type": "text", "align": "left", "dx": 6, "fontSize": 9, "color": INK}
        layers.append(_layer(rows, mark, x=x, y=y, text={"field": "symbol", "type": "nominal"}))
    return {"layer": layers, "width": WIDTH, "height": HEIGHT}


def _path(path: pl.DataFrame) -> dict[str, Any]:
    """Draw the summed slope with its band; what the band has beyond the frame is not drawn."""
    known = path.drop_nulls("cumulative")
    domain = line_domain(
        [*known["cumulative"], *known["cumulative_low"].drop_nulls(), *known["cumulative_high"].drop_nulls()]
    )
    x = {
        "field": "tau",
        "type": "quantitative",
        "title": "sessions from day 0",
        "axis": {"format": "d", "tickMinStep": 1},
    }
    y = _quantity("cumulative", domain, title=None, axis=percent_axis(domain))
    ends = {
        "y": _quantity("cumulative_low", domain, title=None, axis=percent_axis(domain)),
        "y2": {"field": "cumulative_high"},
    }
    rows = known.to_dicts()
    tooltip = [{"field": "tau", "type": "quantitative", "title": "session"},
               *({"field": name, "type": "quantitative", "title": words, "format": "+.2%"}
                 for name, words in (("slope", "slope"), ("cumulative", "summed"), ("cumulative_low", "95% from"),
                                     ("cumulative_high", "95% to")))]  # fmt: skip
    line = {"type": "line", "color": BLUE, "strokeWidth": 2, "point": {"size": 22, "filled": True, "color": BLUE}}
    layers = [
        _layer(rows, {"type": "area", "fill": BLUE, "fillOpacity": 0.18}, x=x, **ends),
        _layer([{"cumulative": 0.0}], {"type": "rule", "color": GREY}, y=y),
        _layer([{"tau": 0}], {"type": "rule", "color": GREY, "strokeDash": [4, 3]}, x=x),
        _layer(rows, line, x=x, y=y, tooltip=tooltip),
    ]
    return {"layer": layers, "width": WIDTH, "height": HEIGHT}


def slopes_by_date(slopes: pl.DataFrame, *, mean: float, title: str, measure: str, simulated: bool) -> Any:
    """Draw the slope of every announcement with its interval, and their mean as a line.

    Parameters
    ----------
    slopes : polars.DataFrame
        ``announcement_id, slope, low, high``.
    mean : float
        Mean slope.
    title, measure : str
        The finding; what the slopes are.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    """
    domain = interval_domain(slopes.rename({"slope": "car"}))
    rows = slopes.with_columns(
        pl.col("announcement_id").map_elements(clean_text, return_dtype=pl.String), pl.col("low", "high").clip(*domain)
    ).to_dicts()
    axis = percent_axis(domain, WIDTH) | {"grid": True}
    names = {"field": "announcement_id", "type": "nominal", "title": None, "sort": None, "axis": {"labelLimit": 320}}
    x = _quantity("slope", domain, title=None, axis=axis)
    tooltip = [{"field": "announcement_id", "type": "nominal", "title": "announcement"},
               *({"field": name, "type": "quantitative", "title": words, "format": "+.2%"}
                 for name, words in (("slope", "slope"), ("low", "95% from"), ("high", "95% to")))]  # fmt: skip
    low = _quantity("low", domain, title=None, axis=axis)
    dot = {"type": "point", "filled": True, "size": 46, "color": BLUE, "opacity": 1}
    layers = [
        _layer([{"slope": 0.0}], {"type": "rule", "color": GREY}, x=x),
        _layer([{"slope": mean}], {"type": "rule", "color": BLUE, "strokeDash": [4, 3]}, x=x),
        _layer(rows, {"type": "rule", "color": BLUE, "opacity": 0.7}, x=low, x2={"field": "high"}, y=names),
        _layer(rows, dot, x=x, y=names, tooltip=tooltip),
    ]
    heading = head(title, [measure, "dashed: mean"], simulated=simulated, width=WIDTH + 320)
    size = {"width": WIDTH, "height": ROW_HEIGHT * max(3, slopes.height)}
    return altair_chart({"$schema": vega_lite_schema(), "layer": layers, **size, **look(heading)})


def _quantity(field: str, domain: tuple[float, float], **more: Any) -> dict[str, Any]:
    """Encode a number on a scale."""
    return {"field": field, "type": "quantitative", "scale": {"domain": list(domain), "nice": False}, **more}


def _layer(rows: list[dict[str, Any]], mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
    """Write a layer of a chart with its own rows."""
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}
