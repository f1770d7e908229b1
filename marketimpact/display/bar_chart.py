"""Charts of paths in intraday bars: what is not explained by the benchmark, and the band of past days."""

from __future__ import annotations

from typing import Any

import polars as pl

from marketimpact.display.charts import BLUE, GREY, INK, ORANGE, altair_chart, head, look, vega_lite_schema
from marketimpact.display.formats import clean_text, short_percent
from marketimpact.display.scales import line_domain, percent_axis

__all__ = ["LEFT_BAND", "bar_paths"]

#: Points after the instant that lie outside the band.
LEFT_BAND = (pl.col("minute") > 0) & ((pl.col("ar") > pl.col("band_high")) | (pl.col("ar") < pl.col("band_low")))
#: Width and height of a plot alone, of one beside others, and of one on a narrow screen, in pixels.
ALONE, BESIDE_OTHERS, COMPACT = (520, 260), (250, 170), (250, 200)
#: Plots in a row.
COLUMNS = 2
#: Pixels of the axis and the label beside a plot.
LABELS = 80
#: Steps between the ticks of minutes, and ticks at most.
STEPS, MOST_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440), 6


def bar_paths(
    paths: pl.DataFrame, *, title: str, subtitle: str, note: str = "", simulated: bool, compact: bool = False
) -> Any:
    """Draw the abnormal return of each security around one announcement, with the band of past days.

    Parameters
    ----------
    paths : polars.DataFrame
        ``symbol, starts_at, minute, at, ret, ar, band_low, band_high``, as `BarPath.frame` has them; the securities in
        the order in which they are drawn, on one scale. Points without `ar` are not drawn.
    title : str
        The finding.
    subtitle : str
        The measure, its unit and the band.
    note : str
        A last line under the title, such as the announcement.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    compact : bool
        Whether plots are narrow and stand below each other, for phones.
    """
    drawn = paths.drop_nulls("ar")
    parts = drawn.partition_by("symbol", maintain_order=True)
    domain = line_domain([*drawn["ar"], *drawn["band_low"], *drawn["band_high"]])
    columns = 1 if compact else min(COLUMNS, len(parts))
    size = COMPACT if compact else (ALONE if len(parts) == 1 else BESIDE_OTHERS)
    plots = [_plot(part, domain, size) for part in parts]
    heading = head(title, [subtitle, note], simulated=simulated, width=columns * (size[0] + LABELS))
    page = {"$schema": vega_lite_schema(), **look(heading)}
    if len(plots) == 1:
        return altair_chart({**page, **plots[0]})
    named = [
        {**plot, "title": {"text": clean_text(part["symbol"][0]), "anchor": "start", "fontSize": 12}}
        for part, plot in zip(parts, plots, strict=True)
    ]
    return altair_chart({**page, "concat": named, "columns": columns})


def _plot(path: pl.DataFrame, domain: tuple[float, float], size: tuple[int, int]) -> dict[str, Any]:
    """Draw one security: bands, zero, the instant, the path, where it first leaves the band, and its end."""
    width, height = size
    start = path["starts_at"][0]
    ticks = {"values": _ticks(path), "format": "d", "grid": False, "labelOverlap": True}
    x = {"field": "minute", "type": "quantitative", "title": f"minutes from {start:%Y-%m-%d %H:%M} UTC", "axis": ticks}
    scale = {"scale": {"domain": list(domain), "nice": False}, "title": None, "axis": percent_axis(domain)}
    y = {"field": "ar", "type": "quantitative", **scale}
    ends = {"y": {"field": "band_low", "type": "quantitative", **scale}, "y2": {"field": "band_high"}}
    written = path.with_columns(at=pl.col("at").dt.strftime("%Y-%m-%d %H:%M UTC"))
    rows = written.select("minute", "at", "ret", "ar", "band_low", "band_high").to_dicts()
    tooltip = [{"field": "minute", "type": "quantitative"}, {"field": "at", "type": "nominal", "title": "time"}]
    words = {"ar": "abnormal return", "ret": "return", "band_low": "band from", "band_high": "band to"}
    tooltip += [{"field": k, "type": "quantitative", "title": v, "format": "+.2%"} for k, v in words.items()]
    line = {"type": "line", "color": BLUE, "strokeWidth": 2, "point": {"size": 22, "filled": True, "color": BLUE}}
    band = {"type": "area", "fill": GREY, "fillOpacity": 0.2, "stroke": GREY, "strokeWidth": 0.8, "tooltip": None}
    layers = [
        *(_layer(side, band, x=x, **ends) for side in _sides(path)),
        _layer([{"ar": 0.0}], {"type": "rule", "color": GREY}, y=y),
        _layer([{"minute": 0}], {"type": "rule", "color": GREY, "strokeDash": [4, 3]}, x=x),
        _layer(rows, line, x=x, y=y, tooltip=tooltip),
        *_first_outside(path, x, y),
        _end_label(path, x, y),
    ]
    return {"layer": layers, "width": width, "height": height}


def _sides(path: pl.DataFrame) -> list[list[dict[str, float]]]:
    """Split the band at the instant, where every path is zero: before and after have a band each."""
    columns = ["minute", "band_low", "band_high"]
    before = path.filter(pl.col("minute") <= 0).select(columns)
    zero = pl.DataFrame({name: [0.0] for name in columns})
    after = pl.concat([zero, path.filter(pl.col("minute") > 0).select(columns)])
    return [side.to_dicts() for side in (before, after) if side.height > 1]


def _first_outside(path: pl.DataFrame, x: dict[str, Any], y: dict[str, Any]) -> list[dict[str, Any]]:
    """Mark the first point after the instant at which the path lies outside the band, with its minute."""
    first = path.filter(LEFT_BAND).head(1)
    if first.is_empty():
        return []
    rows = [{"minute": m, "ar": ar, "text": f"after {m:g} min"} for m, ar in first.select("minute", "ar").iter_rows()]
    up = rows[0]["ar"] > 0
    dot = {"type": "point", "filled": True, "size": 80, "color": ORANGE, "opacity": 1, "shape": "diamond"}
    # on the far side of zero from the band, so that neither band nor line runs through it
    text = {"type": "text", "color": ORANGE, "align": "left", "dx": 2, "dy": -14 if up else 20, "fontSize": 11}
    return [_layer(rows, dot, x=x, y=y), _layer(rows, text, x=x, y=y, text={"field": "text", "type": "nominal"})]


def _end_label(path: pl.DataFrame, x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    """Write the last value of a path beside its end."""
    last = path.select("minute", "ar").tail(1)
    rows = [{"minute": m, "ar": ar, "text": short_percent(ar)} for m, ar in last.iter_rows()]
    mark = {"type": "text", "align": "left", "dx": 6, "fontSize": 11, "fontWeight": "bold", "color": INK}
    return _layer(rows, mark, x=x, y=y, text={"field": "text", "type": "nominal"})


def _ticks(path: pl.DataFrame) -> list[int]:
    """Choose round minutes, zero among them."""
    low, high = float(path["minute"][0]), float(path["minute"][-1])
    step = next((step for step in STEPS if (high - low) / step <= MOST_TICKS), STEPS[-1])
    return [n * step for n in range(-int(-low // step), int(high // step) + 1)]


def _layer(rows: list[dict[str, Any]], mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}
