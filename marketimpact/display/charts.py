"""Charts from frames, never from results. The only room that knows altair and vl-convert."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl

__all__ = [
    "DARK",
    "caar_path",
    "caar_paths",
    "drawn",
    "dressed",
    "finished",
    "firm_effects",
    "inline",
    "pick",
    "picked",
    "runtime",
    "to_svg",
]

BLUE, ORANGE, GREY, INK, SOFT, BLACK = "#0072B2", "#B34A00", "#5f6b76", "#333333", "#222222", "#000000"
GRID, AXIS, DEEP, PALE, EDGE, PAPER = "#e7ebef", "#7d8894", "#003a5c", "#dbe4ec", "#33506a", "#ffffff"
#: Each stands out from white by 3 to 1 and more; shapes and dashes repeat the distinction for those who see fewer hues.
PALETTE = (BLUE, "#D55E00", "#00805D", "#B0447F", "#511D63", "#7A5C00", BLACK)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "stroke")
#: Colour of a chart -> its twin on a dark page.
DARK = {
    **dict(zip(PALETTE, ("#56B4E9", "#FF8A3D", "#2CC295", "#F27BB5", "#B9A7FF", "#F0D060", "#ffffff"), strict=True)),
    ORANGE: "#FF9E5E", GREY: "#9aa7b3", INK: "#d5dbe1", SOFT: "#c9d1d9", "#000": "#ffffff",
    GRID: "#2b343d", AXIS: "#7d8894", DEEP: "#cfe8fb", PALE: "#33414e", EDGE: "#8fa6bb", PAPER: "#14191f",
}  # fmt: skip
SIMULATED = "simulated prices"
#: A band that reaches further than this many times what is usual among its neighbours runs out of the frame.
OUTLYING = 1.5
_SAID = {"caar": "CAAR", "ci_low": "95% from", "ci_high": "95% to"}
_FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"


def caar_path(
    path: pl.DataFrame,
    *,
    title: str,
    simulated: bool,
    domain: tuple[float, float] | None = None,
    width: int = 460,
    height: int = 240,
) -> Any:
    """CAAR session by session with its band.

    Parameters
    ----------
    path : polars.DataFrame
        ``tau, caar, ci_low, ci_high`` as `StudyResult.caar` gives them; where there is a column ``noise``, plus
        and minus as much is shaded around zero.
    title : str
        Over the chart.
    simulated : bool
        Says so under the title.
    domain : tuple of float, optional
        Limits of the vertical axis, so that several charts can share them. A band that runs out of them ends at the
        frame with an arrow, and a line under the title says how far it goes.
    width, height : int
        In pixels.
    """
    import altair as alt  # noqa: PLC0415  # a second of import that most runs do not need

    scale = alt.Scale(domain=list(domain), nice=False) if domain else alt.Scale()
    y = alt.Y("caar:Q", title="CAAR", axis=alt.Axis(format="+.0%"), scale=scale)
    x = alt.X("tau:Q", title="sessions from day 0", axis=alt.Axis(format="d", tickMinStep=1))
    base = alt.Chart(inline(path.select("tau", "caar", "ci_low", "ci_high").to_dicts()))
    told = [
        alt.Tooltip("tau:Q", title="session"),
        *(alt.Tooltip(f"{name}:Q", title=said, format="+.2%") for name, said in _SAID.items()),
    ]
    zero = alt.Chart(inline([{"y": 0}])).mark_rule(color=GREY, strokeWidth=1).encode(y="y:Q")
    day0 = alt.Chart(inline([{"x": 0}])).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x="x:Q")
    # cut here and not by the renderer, whose clipping refers to ids that all charts of a page share
    low, high = domain or (-math.inf, math.inf)
    shown = path.select("tau", pl.col("ci_low", "ci_high").clip(low, high)).to_dicts()
    band = alt.Chart(inline(shown)).mark_area(
        fill=BLUE, fillOpacity=0.18, stroke=BLUE, strokeWidth=0.8, strokeOpacity=0.8, tooltip=None
    )
    band = band.encode(x=x, y=alt.Y("ci_low:Q", scale=scale), y2="ci_high:Q")
    dot = alt.OverlayMarkDef(size=22, filled=True, color=BLUE)
    line = base.mark_line(color=BLUE, strokeWidth=2, point=dot).encode(x=x, y=y, tooltip=told)
    layers = [band, zero, day0, line]
    if "noise" in path.columns:
        noise = alt.Chart(inline(path.select("tau", "noise", (-pl.col("noise")).alias("minus")).to_dicts()))
        edge = noise.mark_line(color=GREY, strokeDash=[2, 3], strokeWidth=1)
        layers = [
            noise.mark_area(opacity=0.16, color=GREY).encode(x=x, y="minus:Q", y2="noise:Q"),
            edge.encode(x=x, y="minus:Q"),
            edge.encode(x=x, y="noise:Q"),
            *layers,
        ]
    arrows, further = _beyond(path, domain)
    chart = alt.layer(*layers, *arrows).properties(width=width, height=height)
    return dressed(chart, title, simulated, further)


def _beyond(path: pl.DataFrame, domain: tuple[float, float] | None) -> tuple[list[Any], str]:
    """Arrows where a band leaves the frame, and words on how far it goes; nothing where it does not."""
    import altair as alt  # noqa: PLC0415

    layers: list[Any] = []
    ends = []
    sides = (
        () if domain is None else (("ci_low", domain[0], -1, "triangle-down"), ("ci_high", domain[1], 1, "triangle-up"))
    )
    for name, edge, sign, shape in sides:
        gone = path.filter(sign * pl.col(name) > sign * edge)
        if gone.is_empty():
            continue
        furthest = sign * (sign * gone[name].to_numpy()).max()
        ends.append(f"{furthest:+.0%}".replace("-", "−"))
        rows = gone.select("tau", pl.lit(edge).alias("edge")).to_dicts()
        arrows = alt.Chart(inline(rows)).mark_point(shape=shape, size=26, filled=True, color=BLUE, opacity=1)
        layers.append(arrows.encode(x="tau:Q", y="edge:Q"))
    return layers, f"the band runs on to {' and '.join(ends)}" if ends else ""


def caar_paths(
    paths: pl.DataFrame, *, by: str, simulated: bool, width: int = 236, height: int = 160
) -> list[tuple[str, Any]]:
    """One chart per group, all on the same vertical scale.

    The scale holds every path, every noise and every band, but for bands much wider than the others, which would
    flatten all paths: these run out of the frame, and their charts say so.

    Parameters
    ----------
    paths : polars.DataFrame
        As `Grouped.caar` gives them.
    by : str
        Column that names the groups.
    """
    drawn = paths.drop_nulls("caar")
    low, high = _shared_scale(drawn, by)
    margin = 0.05 * (high - low) or 0.01
    return [
        (
            str(name),
            caar_path(
                part,
                title=str(name),
                simulated=simulated,
                domain=(low - margin, high + margin),
                width=width,
                height=height,
            ),
        )
        for (name,), part in drawn.partition_by(by, as_dict=True, maintain_order=True).items()
    ]


def _shared_scale(drawn: pl.DataFrame, by: str) -> tuple[float, float]:
    """Lowest and highest value that charts of several groups have room for."""
    held = {name: drawn[name].drop_nulls().to_numpy() for name in ("caar", "ci_low", "ci_high")}
    noise = drawn["noise"].drop_nulls().to_numpy() if "noise" in drawn.columns else np.empty(0)
    core = np.concatenate([[0.0], held["caar"], noise, -noise])
    low, high = core.min(), core.max()
    reach = pl.max_horizontal(pl.col("ci_low").abs(), pl.col("ci_high").abs()).max()
    usual = drawn.group_by(by).agg(reach.alias("reach"))["reach"].quantile(0.5, "higher")
    if usual is not None:
        low = min(low, max(held["ci_low"].min(), -OUTLYING * usual))
        high = max(high, min(held["ci_high"].max(), OUTLYING * usual))
    return float(low), float(high)


def firm_effects(frame: pl.DataFrame, *, title: str, simulated: bool, width: int = 460) -> Any:
    """A dot and an interval per firm, groups told apart by colour and shape; a click or a list picks a firm or a group.

    Parameters
    ----------
    frame : polars.DataFrame
        ``label, group, car, low, high`` in the order to be drawn, ``true_car`` where prices are simulated, and
        ``mark``, a sign beside the interval, where there are such.
    """
    import altair as alt  # noqa: PLC0415

    groups = frame["group"].cast(pl.String).unique(maintain_order=True).to_list()
    rows = frame.with_columns(pl.col("group").cast(pl.String)).to_dicts()
    base = alt.Chart(inline(rows))
    y = alt.Y(
        "label:N",
        sort=frame["label"].to_list(),
        title=None,
        axis=alt.Axis(labelLimit=260, ticks=False, domain=False),
    )
    x = alt.X("car:Q", title="cumulative abnormal return", axis=alt.Axis(format="+.0%"))
    colour = alt.Color(
        "group:N",
        scale=alt.Scale(domain=groups, range=[PALETTE[i % len(PALETTE)] for i in range(len(groups))]),
        legend=alt.Legend(orient="top", title=None, columns=2, labelLimit=260),
    )
    shape = alt.Shape(
        "group:N", scale=alt.Scale(domain=groups, range=[SHAPES[i % len(SHAPES)] for i in range(len(groups))])
    )
    zero = alt.Chart(inline([{"x": 0}])).mark_rule(color=GREY).encode(x="x:Q")
    # names of parameters and views would otherwise be counted up, and differ from run to run
    firm = alt.selection_point(name="firm", fields=["label"])
    kin = alt.selection_point(name="kin", fields=["group"], bind="legend")
    said = {"car": "CAR", "low": "95% from", "high": "95% to"}
    told = [
        alt.Tooltip("label:N", title="firm"),
        alt.Tooltip("group:N", title="group"),
        *(alt.Tooltip(f"{name}:Q", title=words, format="+.2%") for name, words in said.items()),
    ]
    shown = picked(1, 0.15, "firm", "kin", fields=("label", "group"))
    interval = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="cumulative abnormal return"), x2="high:Q", y=y, color=colour, tooltip=told,
        opacity=picked(0.85, 0.1, "firm", "kin", fields=("label", "group")),
    )  # fmt: skip
    dots = base.mark_point(filled=True, size=70, cursor="pointer").encode(
        x=x, y=y, color=colour, shape=shape, tooltip=told,
        opacity=shown,
    )  # fmt: skip
    dots = dots.properties(name="dots").add_params(firm, kin)
    layers: list[Any] = [zero, interval]
    if "mark" in frame.columns:
        signs = base.mark_text(align="left", dx=5, fontSize=13, fontWeight="bold", color=BLACK)
        layers.append(signs.encode(x="high:Q", y=y, text="mark:N", opacity=shown))
    layers.append(dots)
    if "true_car" in frame.columns:
        layers.append(base.mark_tick(thickness=3, size=13, color=BLACK).encode(x="true_car:Q", y=y, opacity=shown))
        title = f"{title} (upright tick: the effect that was put in)"
    chart = alt.layer(*layers).properties(width=width, height=max(60, 22 * frame.height))
    return dressed(chart.add_params(pick([*groups, *frame["label"].to_list()])), title, simulated)


def pick(names: Sequence[str]) -> Any:
    """A list under the chart to pick a name from, which a keyboard reaches where a click on the chart needs a mouse."""
    import altair as alt  # noqa: PLC0415

    options = list(dict.fromkeys(names))
    bound = alt.binding_select(options=[None, *options], labels=["everything", *options], name="Pick out: ")
    return alt.param(name="pick", bind=bound)


def picked(full: float, faint: float, *selections: str, fields: Sequence[str]) -> Any:
    """Opacity of what is picked, by a click or from the list, and of the rest."""
    import altair as alt  # noqa: PLC0415

    chosen = " || ".join(["!pick", *(f"pick === datum.{name}" for name in fields)])
    test = {"and": [*({"param": name} for name in selections), chosen]}
    return alt.OpacityValue(faint, condition={"test": test, "value": full})


def to_svg(chart: Any) -> str:
    """SVG of a chart, the same bytes every time, without references to anything outside."""
    return _svg(chart.to_dict(validate=False))


def drawn(chart: Any) -> tuple[str, str]:
    """SVG of a chart, and its Vega-Lite as JSON that may stand inside a script element: no text in it ends that."""
    whole = chart.to_dict(validate=False)
    text = json.dumps(whole, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return _svg(whole), text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _svg(whole: dict[str, Any]) -> str:
    import vl_convert  # noqa: PLC0415

    return str(vl_convert.vegalite_to_svg(whole))


@cache
def runtime() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that defines ``vegaEmbed`` and fetches nothing."""
    import vl_convert  # noqa: PLC0415

    return str(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # the stub is wrong


def inline(rows: list[dict[str, Any]]) -> Any:
    """Rows inside the chart, so that it needs no file."""
    import altair as alt  # noqa: PLC0415

    return alt.InlineData(values=rows)


@cache
def _offline_chart(kind: str) -> type[Any]:
    """A layered or stacked Altair chart that shows itself as SVG.

    Altair's own display loads scripts from the network: its Vega-Lite is newer than JupyterLab's.
    """
    import altair as alt  # noqa: PLC0415

    def _repr_mimebundle_(self: Any, *_: Any, **__: Any) -> dict[str, str]:
        return {"image/svg+xml": to_svg(self), "text/plain": "Altair chart; .save('chart.html') keeps it"}

    return type("OfflineChart", (getattr(alt, kind),), {"_repr_mimebundle_": _repr_mimebundle_})


def dressed(chart: Any, title: str, simulated: bool, further: str = "") -> Any:
    """A chart with its title and this house's looks, which says so where prices are simulated."""
    import altair as alt  # noqa: PLC0415

    under = [SIMULATED] * simulated + [further] * bool(further)
    head = alt.TitleParams(
        text=title, subtitle=under or "", anchor="start", fontSize=13, subtitleColor=ORANGE if simulated else INK
    )
    return finished(chart, head)


def finished(chart: Any, head: Any) -> Any:
    """A chart under its head in this house's looks."""
    axis = {"gridColor": GRID, "domainColor": AXIS, "tickColor": AXIS, "labelColor": INK, "titleColor": INK}
    looks = {
        "font": _FONT,
        "view": {"stroke": None},
        "axis": axis,
        "axisY": {"titleFontWeight": "normal"},
        "axisX": {"titleFontWeight": "normal", "grid": False},
    }
    # in one step, since each makes a copy of the whole chart
    padding = {"left": 28, "right": 14, "top": 8, "bottom": 8}
    dressed = chart.properties(title=head, background=PAPER, padding=padding, config=looks)
    # the same object with another display: to build a second one checks every part of it again, and takes three times
    # as long as all the rest
    object.__setattr__(dressed, "__class__", _offline_chart(type(chart).__name__))
    return dressed
