"""Charts from frames, never from results. The only room that knows altair and vl-convert."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl

__all__ = [
    "caar_path",
    "caar_paths",
    "dressed",
    "firm_effects",
    "inline",
    "runtime",
    "specification_curve",
    "to_spec",
    "to_svg",
]

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#5f6b76"
#: Okabe and Ito's colours, told apart with any colour vision; shapes repeat the distinction.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "stroke")
SIMULATED = "simulated prices"
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
        Limits of the vertical axis, so that several charts can share them.
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
    band = base.mark_area(opacity=0.18, color=BLUE).encode(x=x, y=alt.Y("ci_low:Q", scale=scale), y2="ci_high:Q")
    line = base.mark_line(color=BLUE, strokeWidth=2, point=alt.OverlayMarkDef(size=22, filled=True)).encode(
        x=x, y=y, tooltip=told
    )
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
    chart = alt.layer(*layers).properties(width=width, height=height)
    return dressed(chart, title, simulated)


def caar_paths(
    paths: pl.DataFrame, *, by: str, simulated: bool, width: int = 236, height: int = 160
) -> list[tuple[str, Any]]:
    """One chart per group, all on the same vertical scale.

    Parameters
    ----------
    paths : polars.DataFrame
        As `Grouped.caar` gives them.
    by : str
        Column that names the groups.
    """
    drawn = paths.drop_nulls("caar")
    limits = drawn.select(
        pl.min_horizontal(pl.col("ci_low", "caar").min()), pl.max_horizontal(pl.col("ci_high", "caar").max())
    ).row(0)
    low, high = (min(limits[0] or 0.0, 0.0), max(limits[1] or 0.0, 0.0))
    if "noise" in drawn.columns and drawn["noise"].count():
        widest = float(drawn["noise"].max())  # type: ignore[arg-type]
        low, high = min(low, -widest), max(high, widest)
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


def firm_effects(frame: pl.DataFrame, *, title: str, simulated: bool, width: int = 460) -> Any:
    """A dot and an interval per firm, groups told apart by colour and shape; a click picks a firm or a group.

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
    told = ["label:N", "group:N", *(alt.Tooltip(f"{name}:Q", format="+.2%") for name in ("car", "low", "high"))]
    interval = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="cumulative abnormal return"), x2="high:Q", y=y, color=colour, tooltip=told,
        opacity=alt.when(firm & kin).then(alt.value(0.55)).otherwise(alt.value(0.1)),
    )  # fmt: skip
    dots = base.mark_point(filled=True, size=70, cursor="pointer").encode(
        x=x, y=y, color=colour, shape=shape, tooltip=told,
        opacity=alt.when(firm & kin).then(alt.value(1)).otherwise(alt.value(0.15)),
    )  # fmt: skip
    dots = dots.properties(name="dots").add_params(firm, kin)
    layers: list[Any] = [zero, interval]
    if "mark" in frame.columns:
        signs = base.mark_text(align="left", dx=5, fontSize=13, fontWeight="bold", color="#000000")
        layers.append(signs.encode(x="high:Q", y=y, text="mark:N"))
    layers.append(dots)
    if "true_car" in frame.columns:
        layers.append(base.mark_tick(thickness=3, size=13, color="#000000").encode(x="true_car:Q", y=y))
        title = f"{title} (upright tick: the effect that was put in)"
    chart = alt.layer(*layers).properties(width=width, height=max(60, 22 * frame.height))
    return dressed(chart, title, simulated)


def specification_curve(
    frame: pl.DataFrame, choices: Sequence[str], *, title: str, simulated: bool, width: int = 720
) -> Any:
    """Estimates in order of size with their bands, and beneath them which choices each specification made.

    Parameters
    ----------
    frame : polars.DataFrame
        One row per specification: ``specification, estimate, ci_low, ci_high, p_value, valid`` and the columns
        `choices`; those without an estimate are counted under the title.
    choices : sequence of str
        Columns of text. Those with one value only are named under the title.
    title : str
        Over the chart.
    simulated : bool
        Says so under the title.
    width : int
        Of the curve, in pixels.
    """
    import altair as alt  # noqa: PLC0415

    drawn = frame.drop_nulls("estimate").sort("estimate", maintain_order=True).with_row_index("rank", offset=1)
    order = frame.sort("specification")
    rows = [("result", _marked(drawn), ["p < 5%"] + ["test does not hold"] * bool((~drawn["valid"]).any()))]
    for choice in choices:
        labels = order[choice].unique(maintain_order=True).to_list()
        if len(labels) > 1:
            rows.append(
                (choice.replace("_", " "), drawn.select("rank", "estimate", pl.col(choice).alias("label")), labels)
            )
    room = width / max(drawn.height, 1)
    scale = alt.Scale(domain=[0.5, max(drawn.height, 1) + 0.5], nice=False)
    longest = 6 * max(len(label) for _, _, labels in rows for label in labels)
    panels = [_curve(drawn, choices, scale, width, room)]
    stroke = max(0.5, min(3.0, 0.7 * room))
    panels += [_barcode(*row, scale, width, stroke=stroke, left=min(180, longest)) for row in rows]
    head = alt.TitleParams(
        text=title, subtitle=_under(frame, choices, simulated), anchor="start", fontSize=13,
        subtitleColor=ORANGE if simulated else "#333", subtitlePadding=4,
    )  # fmt: skip
    return _finished(alt.vconcat(*panels, spacing=8).resolve_scale(x="shared"), head)


def _marked(drawn: pl.DataFrame) -> pl.DataFrame:
    """Specifications that are significant, and those whose test does not hold."""
    marks = (("p < 5%", pl.col("p_value") < 0.05), ("test does not hold", ~pl.col("valid")))
    return pl.concat(
        drawn.filter(mark).select("rank", "estimate", pl.lit(label).alias("label")) for label, mark in marks
    )


def _under(frame: pl.DataFrame, choices: Sequence[str], simulated: bool) -> list[str]:
    """Lines under the title of a specification curve."""
    failed = frame["estimate"].null_count()
    same = [f"{choice.replace('_', ' ')} {frame[choice][0]}" for choice in choices if frame[choice].n_unique() == 1]
    lines = [SIMULATED] if simulated else []
    lines += [f"{failed:,} of them could not be run and are not drawn"] if failed else []
    return lines + (["in all: " + ", ".join(same)] if same else [])


def _curve(drawn: pl.DataFrame, choices: Sequence[str], scale: Any, width: int, room: float) -> Any:
    """Sorted estimates and their bands; bands much wider than the others run out of the frame."""
    import altair as alt  # noqa: PLC0415

    reach = drawn.select(
        pl.min_horizontal(pl.col("ci_low").quantile(0.03), pl.col("estimate").min()).fill_null(0.0),
        pl.max_horizontal(pl.col("ci_high").quantile(0.97), pl.col("estimate").max()).fill_null(0.0),
    ).row(0)
    domain = [min(reach[0], 0.0), max(reach[1], 0.0)]
    kept = drawn.select("rank", "estimate", "ci_low", "ci_high", "p_value", "valid", *choices)
    told = [
        alt.Tooltip("estimate:Q", title="CAAR", format="+.2%"),
        *(alt.Tooltip(f"{name}:Q", title=_SAID[name], format="+.2%") for name in ("ci_low", "ci_high")),
        alt.Tooltip("p_value:Q", title="p", format=".3f"),
        alt.Tooltip("valid:N", title="test holds"),
        *(alt.Tooltip(f"{name}:N", title=name.replace("_", " ")) for name in choices),
    ]
    base = alt.Chart(inline(kept.to_dicts()))
    x = alt.X("rank:Q", scale=scale, axis=None)
    cut = ((drawn["ci_low"] < domain[0]) | (drawn["ci_high"] > domain[1])).sum()
    name = f"CAAR and its band ({cut:,} run out of the frame)" if cut else "CAAR and its band"
    y = alt.Y("ci_low:Q", title=name, axis=alt.Axis(format="+.1~%"), scale=alt.Scale(domain=domain))
    bands = base.mark_rule(color=BLUE, opacity=0.4, strokeWidth=max(0.5, min(1.5, 0.75 * room)), clip=True)
    zero = alt.Chart(inline([{"y": 0}])).mark_rule(color=GREY, strokeWidth=1).encode(y="y:Q")
    dots = base.mark_point(filled=True, size=min(30.0, max(4.0, 4.0 * room)), color="#003a5c", opacity=1, clip=True)
    head = alt.Chart(inline([{"text": "median (number)"}])).mark_text(align="left", fontSize=10, color="#333")
    return alt.layer(
        bands.encode(x=x, y=y, y2="ci_high:Q", tooltip=told),
        zero,
        dots.encode(x=x, y="estimate:Q", tooltip=told),
        head.encode(x=alt.value(width + 8), y=alt.value(224), text="text:N"),
    ).properties(width=width, height=230)


def _barcode(
    name: str, part: pl.DataFrame, labels: list[str], scale: Any, width: int, *, stroke: float, left: float
) -> Any:
    """A row per choice with a stroke for every specification that made it, and their median on the right."""
    import altair as alt  # noqa: PLC0415

    axis = alt.Axis(
        ticks=False, domain=False, labelLimit=180, titleAngle=0, titleAlign="right", titleX=-left - 16, grid=True
    )
    y = alt.Y("label:N", sort=labels, title=name, scale=alt.Scale(domain=labels), axis=axis)
    strokes = alt.Chart(inline(part.select("rank", "label").to_dicts())).mark_tick(
        color="#222", thickness=stroke, height=11
    )
    told = [{"label": label, "text": _median(part.filter(pl.col("label") == label)["estimate"])} for label in labels]
    text = alt.Chart(inline(told)).mark_text(align="left", fontSize=10, color="#333")
    return alt.layer(
        strokes.encode(x=alt.X("rank:Q", scale=scale, axis=None), y=y),
        text.encode(x=alt.value(width + 8), y=y, text="text:N"),
    ).properties(width=width, height=15 * len(labels))


def _median(estimates: pl.Series) -> str:
    """Median and number, such as ``−0.40% (12)``, with a minus sign instead of a hyphen."""
    if not len(estimates):
        return "(0)"
    return f"{float(np.median(estimates.to_numpy())):+.2%} ({len(estimates):,})".replace("-", "−")


def to_svg(chart: Any) -> str:
    """SVG of a chart, the same bytes every time, without references to anything outside."""
    import vl_convert  # noqa: PLC0415

    return str(vl_convert.vegalite_to_svg(chart.to_dict(validate=False)))


def to_spec(chart: Any) -> str:
    """Vega-Lite of a chart as JSON that may stand inside a script element: no text in it ends the element."""
    text = json.dumps(chart.to_dict(validate=False), ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


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


def dressed(chart: Any, title: str, simulated: bool) -> Any:
    """A chart with its title and this house's looks, which says so where prices are simulated."""
    import altair as alt  # noqa: PLC0415

    head = alt.TitleParams(
        text=title, subtitle=SIMULATED if simulated else "", anchor="start", fontSize=13, subtitleColor=ORANGE
    )
    return _finished(chart, head)


def _finished(chart: Any, head: Any) -> Any:
    dressed = (
        chart.properties(title=head, background="white", padding={"left": 28, "right": 14, "top": 8, "bottom": 8})
        .configure(font=_FONT)
        .configure_view(stroke=None)
        .configure_axis(gridColor="#e7ebef", domainColor="#9aa5b1", labelColor="#333", titleColor="#333")
        .configure_axisY(titleFontWeight="normal")
        .configure_axisX(titleFontWeight="normal", grid=False)
    )
    # the same object with another display: to build a second one checks every part of it again, and takes three times
    # as long as all the rest
    object.__setattr__(dressed, "__class__", _offline_chart(type(chart).__name__))
    return dressed
