"""Charts of mean abnormal returns and of firms, drawn from frames with altair and vl-convert."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec

import numpy as np
import polars as pl

from marketimpact.display.formats import SIMULATED_CHART
from marketimpact.display.renderer import svg_and_spec, to_svg, vega_script
from marketimpact.errors import SpecificationError

__all__ = [
    "DARK",
    "caar_grid",
    "caar_path",
    "caar_paths",
    "dropdown",
    "firm_effects",
    "inline_data",
    "largest_effects",
    "look",
    "selection_opacity",
    "svg_and_spec",
    "to_svg",
    "unchecked",
    "vega_script",
    "with_theme",
    "with_title",
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
#: Rows of a chart of firms, at most: with more it cannot be read.
MOST_FIRMS = 300
#: Groups of `caar_grid`, at most.
MOST_PATHS = 12
#: A band wider than this many times the median band is clipped at the frame.
OUTLIER_RATIO = 1.5
P = ParamSpec("P")
_TOOLTIP_TITLES = {"caar": "CAAR", "ci_low": "95% from", "ci_high": "95% to"}
_FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"


def unchecked(draw: Callable[P, Any]) -> Callable[P, Any]:
    """Let a function build an Altair chart without a check of each of its parts: tests check the whole charts."""

    @wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> Any:
        from altair.utils.schemapi import debug_mode  # noqa: PLC0415  # a second of import that most runs do not need

        with debug_mode(False):
            return draw(*args, **options)

    return drawn


def caar_path(
    path: pl.DataFrame,
    *,
    title: str,
    simulated: bool,
    domain: tuple[float, float] | None = None,
    width: int = 460,
    height: int = 240,
) -> Any:
    """Draw the CAAR session by session with its confidence band.

    Parameters
    ----------
    path : polars.DataFrame
        ``tau, caar, ci_low, ci_high`` as `StudyResult.caar` gives them; an optional column ``noise`` is the
        half-width of a grey band around zero.
    title : str
        Title of the chart.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    domain : tuple of float, optional
        Limits of the vertical axis, so that several charts can share them. A band beyond them ends at the
        frame with an arrow, and the subtitle says how far it extends.
    width, height : int
        In pixels.
    """
    return _offline_chart("LayerChart").from_dict(
        _path_spec(path, title=title, simulated=simulated, domain=domain, width=width, height=height), validate=False
    )


def _path_spec(
    path: pl.DataFrame,
    *,
    title: str,
    simulated: bool,
    domain: tuple[float, float] | None,
    width: int,
    height: int,
) -> dict[str, Any]:
    """Write the Vega-Lite of `caar_path`: Altair builds it for longer than it is drawn, and reports have hundreds."""
    x = _quantity("tau", title="sessions from day 0", axis={"format": "d", "tickMinStep": 1})
    scale = {"scale": {"domain": list(domain), "nice": False} if domain else {}}
    y = _quantity("caar", title="CAAR", axis={"format": "+.0%"}) | scale
    # clipped here and not by the renderer, whose clipping refers to ids that all charts of a page share
    low, high = domain or (-math.inf, math.inf)
    shown = path.select("tau", pl.col("ci_low", "ci_high").clip(low, high)).to_dicts()
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
        *_noise_layers(path, x),
        _layer(shown, band, x=x, **ends),
        _layer([{"y": 0}], {"type": "rule", "color": GREY, "strokeWidth": 1}, y=_quantity("y")),
        _layer([{"x": 0}], {"type": "rule", "color": GREY, "strokeDash": [4, 3]}, x=_quantity("x")),
        _layer(rows, line, x=x, y=y, tooltip=tooltip),
        *arrows,
    ]
    size = {"width": width, "height": height}
    return _with_datasets({"layer": layers, **size, **look(_head(title, simulated=simulated, note=clipped))})


def _quantity(field: str, **more: Any) -> dict[str, Any]:
    """Encode a number of each row."""
    return {"field": field, "type": "quantitative", **more}


def _layer(rows: list[dict[str, Any]], mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
    """Write a layer of a chart with its own rows."""
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}


def _with_datasets(spec: dict[str, Any]) -> dict[str, Any]:
    """Move the rows of each layer to the end of a chart as Altair does, so that layers share equal ones."""
    import altair as alt  # noqa: PLC0415  # a second of import that most runs do not need

    datasets = {}
    for layer in spec["layer"]:
        rows = layer["data"]["values"]
        digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
        layer["data"] = {"name": f"data-{digest[:32]}"}
        datasets[layer["data"]["name"]] = rows
    return {"$schema": alt.SCHEMA_URL, **spec, "datasets": datasets}


def _noise_layers(path: pl.DataFrame, x: dict[str, Any]) -> list[dict[str, Any]]:
    """Draw the grey band of ordinary noise around zero, where the frame has it."""
    if "noise" not in path.columns:
        return []
    rows = path.select("tau", "noise", (-pl.col("noise")).alias("minus")).to_dicts()
    edge = {"type": "line", "color": GREY, "strokeDash": [2, 3], "strokeWidth": 1}
    area = {"type": "area", "opacity": 0.16, "color": GREY}
    return [
        _layer(rows, area, x=x, y=_quantity("minus"), y2={"field": "noise"}),
        _layer(rows, edge, x=x, y=_quantity("minus")),
        _layer(rows, edge, x=x, y=_quantity("noise")),
    ]


def _clipped_ends(path: pl.DataFrame, domain: tuple[float, float] | None) -> tuple[list[dict[str, Any]], str]:
    """Mark with arrows where a band leaves the frame, and say in words how far it extends; else nothing."""
    layers: list[dict[str, Any]] = []
    ends = []
    sides = (
        () if domain is None else (("ci_low", domain[0], -1, "triangle-down"), ("ci_high", domain[1], 1, "triangle-up"))
    )
    for name, edge, sign, shape in sides:
        beyond = path.filter(sign * pl.col(name) > sign * edge)
        if beyond.is_empty():
            continue
        furthest = sign * (sign * beyond[name].to_numpy()).max()
        ends.append(f"{furthest:+.0%}".replace("-", "−"))
        rows = beyond.select("tau", pl.lit(edge).alias("edge")).to_dicts()
        arrow = {"type": "point", "shape": shape, "size": 26, "filled": True, "color": BLUE, "opacity": 1}
        layers.append(_layer(rows, arrow, x=_quantity("tau"), y=_quantity("edge")))
    return layers, f"the band runs on to {' and '.join(ends)}" if ends else ""


def caar_paths(
    paths: pl.DataFrame, *, by: str, simulated: bool, width: int = 236, height: int = 160
) -> list[tuple[str, dict[str, Any]]]:
    """Draw one chart per group as Vega-Lite, all on the same vertical scale.

    The scale covers every path, noise band and confidence band, except for bands much wider than the others, which
    would flatten all paths: these are clipped at the frame, and their subtitles say so.

    Parameters
    ----------
    paths : polars.DataFrame
        As `Grouped.caar` gives them.
    by : str
        Column that names the groups.
    """
    drawable = paths.drop_nulls("caar")
    low, high = _shared_scale(drawable, by)
    margin = 0.05 * (high - low) or 0.01
    return [
        (
            str(name),
            _path_spec(
                part,
                title=str(name),
                simulated=simulated,
                domain=(low - margin, high + margin),
                width=width,
                height=height,
            ),
        )
        for (name,), part in drawable.partition_by(by, as_dict=True, maintain_order=True).items()
    ]


def caar_grid(paths: pl.DataFrame, *, by: str, simulated: bool, columns: int = 3) -> Any:
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
    drawn = caar_paths(paths.filter(pl.col(by).is_in(kept.implode())), by=by, simulated=simulated)
    note = f"{len(kept)} of {sizes.height} groups: those with most events" if len(kept) < sizes.height else ""
    head = _head(f"CAAR by {by}" if by != "_group" else "CAAR by group", simulated=simulated, note=note)
    page = drawn[0][1]
    panels = [{"title": chart["title"], **{k: chart[k] for k in ("layer", "width", "height")}} for _, chart in drawn]
    datasets = {name: rows for _, chart in drawn for name, rows in chart["datasets"].items()}
    look_of_page = {name: page[name] for name in ("$schema", "background", "padding", "config")}
    grid = {"concat": panels, "columns": columns, "datasets": datasets, "title": head, **look_of_page}
    return _offline_chart("ConcatChart").from_dict(grid, validate=False)


def _shared_scale(paths: pl.DataFrame, by: str) -> tuple[float, float]:
    """Choose the lowest and highest value of the vertical axis that several charts share."""
    values = {name: paths[name].drop_nulls().to_numpy() for name in ("caar", "ci_low", "ci_high")}
    noise = paths["noise"].drop_nulls().to_numpy() if "noise" in paths.columns else np.empty(0)
    always_shown = np.concatenate([[0.0], values["caar"], noise, -noise])
    low, high = always_shown.min(), always_shown.max()
    extent = pl.max_horizontal(pl.col("ci_low").abs(), pl.col("ci_high").abs()).max()
    median = paths.group_by(by).agg(extent.alias("extent"))["extent"].quantile(0.5, "higher")
    if median is not None:
        low = min(low, max(values["ci_low"].min(), -OUTLIER_RATIO * median))
        high = max(high, min(values["ci_high"].max(), OUTLIER_RATIO * median))
    return float(low), float(high)


@unchecked
def firm_effects(frame: pl.DataFrame, *, title: str, simulated: bool, width: int = 460) -> Any:
    """Draw a dot and an interval per firm, with a colour and a shape per group; a click or a list selects.

    Parameters
    ----------
    frame : polars.DataFrame
        ``label, group, car, low, high`` in the order to be drawn; optional ``true_car``, the effect added to
        simulated prices, and ``mark``, a sign beside the interval. Of more than `MOST_FIRMS` rows those with the
        largest `car` of either sign are drawn, and the subtitle says so.
    """
    import altair as alt  # noqa: PLC0415

    n_rows, frame = frame.height, largest_effects(frame)
    note = f"{frame.height} of {n_rows:,} drawn: the largest of either sign" if frame.height < n_rows else ""
    groups = frame["group"].cast(pl.String).unique(maintain_order=True).to_list()
    rows = frame.with_columns(pl.col("group").cast(pl.String)).to_dicts()
    base = alt.Chart(inline_data(rows))
    y = alt.Y(
        "label:N",
        sort=None,  # that of the data; a list of a thousand names overflows the stack of the renderer
        title=None,
        axis=alt.Axis(labelLimit=260, ticks=False, domain=False),
    )
    zero = alt.Chart(inline_data([{"x": 0}])).mark_rule(color=GREY).encode(x=alt.X("x:Q"))
    opacity = selection_opacity(1, 0.15, "firm", "kin", fields=("label", "group"))
    layers: list[Any] = [zero, *_firm_marks(base, y, groups, opacity, with_signs="mark" in frame.columns)]
    if "true_car" in frame.columns:
        layers.append(
            base.mark_tick(thickness=3, size=13, color=BLACK).encode(x=alt.X("true_car:Q"), y=y, opacity=opacity)
        )
        title = f"{title} (upright tick: the effect that was put in)"
    chart = alt.layer(*layers, width=width, height=max(60, 22 * frame.height))
    return with_title(chart.add_params(dropdown([*groups, *frame["label"].to_list()])), title, simulated, note)


def largest_effects(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the `MOST_FIRMS` rows with the largest ``car`` of either sign, in their order."""
    return frame.filter(pl.col("car").abs().rank("ordinal", descending=True) <= MOST_FIRMS)


def _firm_marks(base: Any, y: Any, groups: Sequence[str], opacity: Any, *, with_signs: bool) -> list[Any]:
    """Draw the interval, the sign and the dot of each firm; dots and legend react to clicks."""
    import altair as alt  # noqa: PLC0415

    colour = alt.Color(
        "group:N",
        scale=alt.Scale(domain=groups, range=[PALETTE[i % len(PALETTE)] for i in range(len(groups))]),
        legend=alt.Legend(orient="top", title=None, columns=2, labelLimit=260),
    )
    shape = alt.Shape(
        "group:N", scale=alt.Scale(domain=groups, range=[SHAPES[i % len(SHAPES)] for i in range(len(groups))])
    )
    tooltip = [
        alt.Tooltip("label:N", title="firm"),
        alt.Tooltip("group:N", title="group"),
        *(
            alt.Tooltip(f"{name}:Q", title=words, format="+.2%")
            for name, words in (("car", "CAR"), ("low", "95% from"), ("high", "95% to"))
        ),
    ]
    interval = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="cumulative abnormal return"), x2=alt.X2("high:Q"), y=y, color=colour, tooltip=tooltip,
        opacity=selection_opacity(0.85, 0.1, "firm", "kin", fields=("label", "group")),
    )  # fmt: skip
    x = alt.X("car:Q", title="cumulative abnormal return", axis=alt.Axis(format="+.0%"))
    # named, since Altair would number parameters and views, which then differ from run to run
    firm = alt.selection_point(name="firm", fields=["label"])
    kin = alt.selection_point(name="kin", fields=["group"], bind="legend")
    dots = base.mark_point(filled=True, size=70, cursor="pointer").encode(
        x=x, y=y, color=colour, shape=shape, tooltip=tooltip,
        opacity=opacity,
    )  # fmt: skip
    dots = dots.properties(name="dots").add_params(firm, kin)
    signs = base.mark_text(align="left", dx=5, fontSize=13, fontWeight="bold", color=BLACK)
    signs = signs.encode(x=alt.X("high:Q"), y=y, text=alt.Text("mark:N"), opacity=opacity)
    return [interval, *([signs] if with_signs else []), dots]


def dropdown(names: Sequence[str]) -> Any:
    """Make a list under the chart to select a name from, for use with a keyboard."""
    import altair as alt  # noqa: PLC0415

    options = list(dict.fromkeys(names))
    bound = alt.binding_select(options=[None, *options], labels=["everything", *options], name="Pick out: ")
    return alt.param(name="pick", bind=bound)


def selection_opacity(full: float, faint: float, *selections: str, fields: Sequence[str]) -> Any:
    """Choose the opacity of marks selected by a click or from the list, and of the others."""
    import altair as alt  # noqa: PLC0415

    in_dropdown = " || ".join(["!pick", *(f"pick === datum.{name}" for name in fields)])
    test = {"and": [*({"param": name} for name in selections), in_dropdown]}
    return alt.OpacityValue(faint, condition={"test": test, "value": full})


def inline_data(rows: list[dict[str, Any]]) -> Any:
    """Store rows inside the chart, so that it needs no file."""
    return _shared_rows()(values=rows)


@cache
def _shared_rows() -> type[Any]:
    """Derive a class of inline data that copies of a chart share: altair copies charts with every row, many times."""
    import altair as alt  # noqa: PLC0415

    def __deepcopy__(self: Any, _: Any) -> Any:  # noqa: N807
        return self

    return type("SharedRows", (alt.InlineData,), {"__deepcopy__": __deepcopy__})


@cache
def _offline_chart(kind: str) -> type[Any]:
    """Derive a layered or stacked Altair chart class that is displayed as SVG.

    Altair's own display loads scripts from the network: its Vega-Lite is newer than JupyterLab's.
    """
    import altair as alt  # noqa: PLC0415

    def _repr_mimebundle_(self: Any, *_: Any, **__: Any) -> dict[str, str]:
        return {"image/svg+xml": to_svg(self), "text/plain": "Altair chart; .save('chart.html') keeps it"}

    return type("OfflineChart", (getattr(alt, kind),), {"_repr_mimebundle_": _repr_mimebundle_})


def with_title(chart: Any, title: str, simulated: bool, note: str = "") -> Any:
    """Add the title and the theme to a chart, in place; the subtitle says where prices are simulated."""
    return with_theme(chart, _head(title, simulated=simulated, note=note))


def with_theme(chart: Any, head: Any) -> Any:
    """Add the theme of this package and a title to a chart, in place: Altair's own methods copy it each time."""
    for name, value in look(head).items():
        chart[name] = value
    # change the class of the object: building a second chart would validate every part of it again, which takes three
    # times as long as everything else
    object.__setattr__(chart, "__class__", _offline_chart(type(chart).__name__))
    return chart


def _head(title: str, *, simulated: bool, note: str) -> dict[str, Any]:
    """Write the title of a chart and what stands under it."""
    subtitle = [SIMULATED_CHART] * simulated + [note] * bool(note)
    colour = ORANGE if simulated else INK
    return {"text": title, "subtitle": subtitle or "", "anchor": "start", "fontSize": 13, "subtitleColor": colour}


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
    padding = {"left": 28, "right": 14, "top": 8, "bottom": 8}
    return {"title": head, "background": PAPER, "padding": padding, "config": config}
