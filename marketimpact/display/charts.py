"""Charts of mean abnormal returns, drawn from frames with altair and vl-convert; what all charts share."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import polars as pl

from marketimpact.display.formats import SIMULATED_CHART, short_percent, whole_percent
from marketimpact.display.renderer import svg_and_spec, to_svg, vega_script
from marketimpact.display.scales import line_domain, percent_axis
from marketimpact.errors import SpecificationError

__all__ = [
    "DARK",
    "altair_chart",
    "caar_grid",
    "caar_path",
    "caar_paths",
    "head",
    "look",
    "pick_list",
    "selection_test",
    "svg_and_spec",
    "to_svg",
    "vega_lite_schema",
    "vega_script",
]

BLUE, ORANGE, GREY, INK, SOFT, BLACK = "#0072B2", "#B34A00", "#5f6b76", "#333333", "#222222", "#000000"
GRID, AXIS, DEEP, PALE, EDGE, PAPER = "#e7ebef", "#7d8894", "#003a5c", "#dbe4ec", "#33506a", "#ffffff"
#: Each has a contrast of at least 3:1 with white; shapes and dashes repeat the distinction for colour-blind readers.
PALETTE = (BLUE, "#D55E00", "#00805D", "#B0447F", "#511D63", "#7A5C00", BLACK)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "stroke")
#: Colour of a chart -> its counterpart on a dark page.
DARK = {
    **dict(zip(PALETTE, ("#56B4E9", "#FF8A3D", "#2CC295", "#F27BB5", "#B9A7FF", "#F0D060", "#ffffff"), strict=True)),
    ORANGE: "#FF9E5E", GREY: "#9aa7b3", INK: "#d5dbe1", SOFT: "#c9d1d9", "#000": "#ffffff",
    GRID: "#2b343d", AXIS: "#7d8894", DEEP: "#cfe8fb", PALE: "#33414e", EDGE: "#8fa6bb", PAPER: "#14191f",
}  # fmt: skip
#: Pixels of the axis and the label beside a path.
BESIDE = 80
#: Groups of `caar_grid`, at most.
MOST_PATHS = 12
_TOOLTIP_TITLES = {"caar": "CAAR", "ci_low": "95% from", "ci_high": "95% to"}
#: Pixels of a letter of titles, and of the lines under them, at most.
_LETTER, _SMALL_LETTER = 8, 6
_FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"


def caar_path(
    path: pl.DataFrame,
    *,
    title: str,
    subtitle: str = "",
    simulated: bool,
    domain: tuple[float, float] | None = None,
    width: int = 460,
    height: int = 240,
) -> Any:
    """Draw the CAAR session by session with its confidence band.

    Parameters
    ----------
    path : polars.DataFrame
        ``tau, caar, ci_low, ci_high`` as `StudyResult.caar` gives them; an optional column ``noise`` is drawn as a
        dashed line above and below zero.
    title : str
        Title of the chart; line breaks are kept.
    subtitle : str
        The measure and its unit.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    domain : tuple of float, optional
        Limits of the vertical axis, so that several charts can share them; by default those of the path. A band
        beyond them ends at the frame with an arrow, and the subtitle says how far it extends.
    width, height : int
        In pixels.
    """
    chosen = domain or line_domain(path["caar"].drop_nulls())
    spec = _path_spec(
        path, title=title, subtitle=subtitle, simulated=simulated, domain=chosen, width=width, height=height
    )
    return altair_chart(spec)


def _path_spec(
    path: pl.DataFrame,
    *,
    title: str,
    subtitle: str,
    simulated: bool,
    domain: tuple[float, float],
    width: int,
    height: int,
) -> dict[str, Any]:
    """Write the Vega-Lite of `caar_path`: Altair builds it for longer than it is drawn, and reports have hundreds."""
    x = _quantity("tau", title="sessions from day 0", axis={"format": "d", "tickMinStep": 1})
    scale = {"scale": {"domain": list(domain), "nice": False}}
    y = _quantity("caar", title=None, axis=percent_axis(domain)) | scale
    # clipped here and not by the renderer, whose clipping refers to ids that all charts of a page share
    shown = path.select("tau", pl.col("ci_low", "ci_high").clip(*domain)).to_dicts()
    ends = {"y": _quantity("ci_low") | scale, "y2": {"field": "ci_high"}}
    edge = {"stroke": BLUE, "strokeWidth": 0.8, "strokeOpacity": 0.8}
    band = {"type": "area", "fill": BLUE, "fillOpacity": 0.18, **edge, "tooltip": None}
    tooltip = [
        _quantity("tau", title="session"),
        *(_quantity(name, title=words, format="+.2%") for name, words in _TOOLTIP_TITLES.items()),
    ]
    line = {"type": "line", "color": BLUE, "strokeWidth": 2, "point": {"size": 22, "filled": True, "color": BLUE}}
    rows = path.select("tau", "caar", "ci_low", "ci_high").to_dicts()
    arrows, clipped = _clipped_ends(path, domain)
    layers = [
        _layer(shown, band, x=x, **ends),
        *_noise_layers(path, x, domain),
        _layer([{"y": 0}], {"type": "rule", "color": GREY, "strokeWidth": 1}, y=_quantity("y")),
        _layer([{"x": 0}], {"type": "rule", "color": GREY, "strokeDash": [4, 3]}, x=_quantity("x")),
        *_end_label(path, x, y),
        _layer(rows, line, x=x, y=y, tooltip=tooltip),
        *arrows,
    ]
    heading = head(title, [subtitle, clipped], simulated=simulated, width=width + BESIDE)
    return _with_datasets({"layer": layers, "width": width, "height": height, **look(heading)})


def _end_label(path: pl.DataFrame, x: dict[str, Any], y: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the last value of a path beside its end."""
    last = path.drop_nulls("caar").tail(1)
    rows = [{"tau": tau, "caar": caar, "text": short_percent(caar)} for tau, caar in last["tau", "caar"].iter_rows()]
    mark = {"type": "text", "align": "left", "dx": 6, "fontSize": 11, "fontWeight": "bold", "color": BLACK}
    return [_layer(rows, mark, x=x, y=y, text={"field": "text", "type": "nominal"})]


def _quantity(field: str, **more: Any) -> dict[str, Any]:
    """Encode a number of each row."""
    return {"field": field, "type": "quantitative", **more}


def _layer(rows: list[dict[str, Any]], mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
    """Write a layer of a chart with its own rows."""
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}


def _with_datasets(spec: dict[str, Any]) -> dict[str, Any]:
    """Move the rows of each layer to the end of a chart as Altair does, so that layers share equal ones."""
    datasets = {}
    for layer in spec["layer"]:
        rows = layer["data"]["values"]
        digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
        layer["data"] = {"name": f"data-{digest[:32]}"}
        datasets[layer["data"]["name"]] = rows
    return {"$schema": vega_lite_schema(), **spec, "datasets": datasets}


def vega_lite_schema() -> str:
    """Return the address of the Vega-Lite version that charts are written in, which nothing fetches."""
    import altair as alt  # noqa: PLC0415  # a second of import that most runs do not need

    return str(alt.SCHEMA_URL)


def _noise_layers(path: pl.DataFrame, x: dict[str, Any], domain: tuple[float, float]) -> list[dict[str, Any]]:
    """Draw how far ordinary noise reaches above and below zero, where the frame has it and inside the domain."""
    if "noise" not in path.columns:
        return []
    line = {"type": "line", "color": GREY, "strokeDash": [2, 3], "strokeWidth": 1}
    sides = [path.select("tau", (sign * pl.col("noise")).alias("noise")) for sign in (1, -1)]
    inside = pl.col("noise").is_between(*domain)
    return [_layer(side.filter(inside).to_dicts(), line, x=x, y=_quantity("noise")) for side in sides]


def _clipped_ends(path: pl.DataFrame, domain: tuple[float, float]) -> tuple[list[dict[str, Any]], str]:
    """Mark with arrows where a band leaves the frame, and say in words how far it extends; else nothing."""
    layers: list[dict[str, Any]] = []
    ends = []
    sides = (("ci_low", domain[0], -1, "triangle-down"), ("ci_high", domain[1], 1, "triangle-up"))
    for name, edge, sign, shape in sides:
        beyond = path.filter(sign * pl.col(name) > sign * edge)
        if beyond.is_empty():
            continue
        furthest = sign * (sign * beyond[name].to_numpy()).max()
        ends.append(short_percent(furthest) if abs(furthest) < 0.1 else whole_percent(furthest))
        rows = beyond.select("tau", pl.lit(edge).alias("edge")).to_dicts()
        arrow = {"type": "point", "shape": shape, "size": 26, "filled": True, "color": BLUE, "opacity": 1}
        layers.append(_layer(rows, arrow, x=_quantity("tau"), y=_quantity("edge")))
    return layers, f"the band runs on to {' and '.join(ends)}" if ends else ""


def caar_paths(
    paths: pl.DataFrame,
    *,
    by: str,
    simulated: bool,
    titles: Mapping[str, str] | None = None,
    subtitle: str = "",
    width: int = 236,
    height: int = 160,
) -> list[tuple[str, dict[str, Any]]]:
    """Draw one chart per group as Vega-Lite, all on the same vertical scale, which is that of the paths.

    A band that is wider than the scale is clipped at the frame, and its subtitle says how far it extends.

    Parameters
    ----------
    paths : polars.DataFrame
        As `Grouped.caar` gives them.
    by : str
        Column that names the groups.
    titles : mapping of str to str, optional
        Title of each group; by default its name.
    subtitle : str
        The measure and its unit.
    """
    drawable = paths.drop_nulls("caar")
    domain = line_domain(drawable["caar"])
    return [
        (
            str(name),
            _path_spec(
                part,
                title=(titles or {}).get(str(name), str(name)),
                subtitle=subtitle,
                simulated=simulated,
                domain=domain,
                width=width,
                height=height,
            ),
        )
        for (name,), part in drawable.partition_by(by, as_dict=True, maintain_order=True).items()
    ]


def caar_grid(paths: pl.DataFrame, *, by: str, simulated: bool, subtitle: str = "", columns: int = 3) -> Any:
    """Draw the charts of `caar_paths` beside each other; of more than `MOST_PATHS` groups those with most events.

    Raises
    ------
    SpecificationError
        Where no group has a path.
    """
    sizes = paths.drop_nulls("caar").group_by(by, maintain_order=True).agg(pl.col("n_events").max().alias("n"))
    if sizes.is_empty():
        raise SpecificationError("No event of these groups has a return in the window, so there is nothing to draw.")
    kept = sizes.filter(pl.col("n").rank("ordinal", descending=True) <= MOST_PATHS)[by]
    shown = paths.drop_nulls("caar").filter(pl.col(by).is_in(kept.implode()))
    drawn = caar_paths(shown, by=by, simulated=simulated)
    note = f"{len(kept)} of {sizes.height} groups: those with most events" if len(kept) < sizes.height else ""
    ends = shown.group_by(by, maintain_order=True).agg(pl.col("caar").last()).sort("caar", descending=True)
    named = [f"{name} {short_percent(caar)}" for name, caar in ends.select(by, "caar").iter_rows()]
    title = ", ".join(dict.fromkeys([named[0], named[-1]]))
    heading = head(title, [subtitle, note], simulated=simulated, width=columns * 300)
    page = drawn[0][1]
    panels = [{"title": chart["title"], **{k: chart[k] for k in ("layer", "width", "height")}} for _, chart in drawn]
    datasets = {name: rows for _, chart in drawn for name, rows in chart["datasets"].items()}
    look_of_page = {name: page[name] for name in ("$schema", "background", "padding", "config")}
    grid = {"concat": panels, "columns": columns, "datasets": datasets, "title": heading, **look_of_page}
    return altair_chart(grid)


def pick_list(names: Sequence[str]) -> dict[str, Any]:
    """Make a list under the chart to select a name from, for use with a keyboard."""
    options = list(dict.fromkeys(names))
    labels = ["everything", *options]
    return {"name": "pick", "bind": {"input": "select", "options": [None, *options], "labels": labels,
                                     "name": "Pick out: "}}  # fmt: skip


def selection_test(*selections: str, fields: Sequence[str]) -> dict[str, Any]:
    """Write the condition that a mark is selected by clicks and from the list."""
    in_list = " || ".join(["!pick", *(f"pick === datum.{name}" for name in fields)])
    return {"and": [*({"param": name} for name in selections), in_list]}


def altair_chart(spec: dict[str, Any]) -> Any:
    """Make an Altair chart of Vega-Lite, which is displayed as SVG and can be changed with Altair's methods."""
    import altair as alt  # noqa: PLC0415  # a second of import that most runs do not need

    parts = {name: value for name, value in spec.items() if name != "params"}
    kind = next(kind for key, kind in _KINDS.items() if key in parts)
    chart = _offline_class(kind).from_dict(parts, validate=False)
    # added later: while it reads them, Altair lifts parameters out of layers that it has put there itself
    chart.params = [
        (alt.TopLevelSelectionParameter if "select" in param else alt.TopLevelParameter).from_dict(
            param, validate=False
        )
        for param in spec.get("params", [])
    ] or alt.Undefined
    return chart


_KINDS = {"layer": "LayerChart", "vconcat": "VConcatChart", "concat": "ConcatChart"}


@cache
def _offline_class(kind: str) -> type[Any]:
    """Derive a layered or stacked Altair chart class that is displayed as SVG.

    Altair's own display loads scripts from the network: its Vega-Lite is newer than JupyterLab's.
    """
    import altair as alt  # noqa: PLC0415

    def _repr_mimebundle_(self: Any, *_: Any, **__: Any) -> dict[str, str]:
        return {"image/svg+xml": to_svg(self), "text/plain": "Altair chart; .save('chart.html') keeps it"}

    return type("OfflineChart", (getattr(alt, kind),), {"_repr_mimebundle_": _repr_mimebundle_})


def head(title: str, lines: Sequence[str], *, simulated: bool, width: int) -> dict[str, Any]:
    """Write the title of a chart and the lines under it, wrapped to its width in pixels.

    The first line is the measure and its unit; the next says where prices are simulated.
    """
    measure, *notes = lines
    written = (measure, SIMULATED_CHART if simulated else "", *notes)
    subtitle = [part for line in written for part in textwrap.wrap(line, width // _SMALL_LETTER)]
    return {
        "text": [part for line in title.split("\n") for part in textwrap.wrap(line, width // _LETTER)] or "",
        "subtitle": subtitle or "", "anchor": "start", "fontSize": 13,
        "subtitleColor": ORANGE if simulated else INK, "subtitlePadding": 4,
    }  # fmt: skip


def look(head: Any) -> dict[str, Any]:
    """Write the theme of this package and a title."""
    axis = {"gridColor": GRID, "domainColor": AXIS, "tickColor": AXIS, "labelColor": INK, "titleColor": INK}
    config = {
        "font": _FONT,
        "view": {"continuousWidth": 300, "continuousHeight": 300, "stroke": None},
        "axis": axis,
        "axisY": {"titleFontWeight": "normal"},
        "axisX": {"titleFontWeight": "normal", "grid": False},
    }
    padding = {"left": 28, "right": 26, "top": 8, "bottom": 8}
    return {"title": head, "background": PAPER, "padding": padding, "config": config}
