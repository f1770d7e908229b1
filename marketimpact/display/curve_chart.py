"""The chart of a specification curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from marketimpact.display.charts import BLUE, DEEP, GREY, INK, ORANGE, SOFT, inline_data, unchecked, with_theme
from marketimpact.display.formats import SIMULATED_CHART

__all__ = ["specification_curve"]

_TOOLTIP_TITLES = {"ci_low": "95% from", "ci_high": "95% to"}


@unchecked
def specification_curve(
    frame: pl.DataFrame, choices: Sequence[str], *, title: str, simulated: bool, width: int = 720
) -> Any:
    """Draw the estimates in order of size with their bands, and beneath them the choices of each specification.

    Parameters
    ----------
    frame : polars.DataFrame
        One row per specification: ``specification, estimate, ci_low, ci_high, p_value, valid`` and the columns
        `choices`; those without an estimate are counted under the title.
    choices : sequence of str
        Columns of text. Those with one value only are named under the title.
    title : str
        Title of the chart.
    simulated : bool
        Whether the subtitle says that prices are simulated.
    width : int
        Width of the curve, in pixels.
    """
    import altair as alt  # noqa: PLC0415

    estimated = frame.drop_nulls("estimate").sort("estimate", maintain_order=True).with_row_index("rank", offset=1)
    order = frame.sort("specification")
    rows = [
        (
            "result",
            _significance_marks(estimated),
            ["p < 5%"] + ["test not valid"] * bool((~estimated["valid"]).any()),
        )
    ]
    for choice in choices:
        labels = order[choice].unique(maintain_order=True).to_list()
        if len(labels) > 1:
            rows.append(
                (choice.replace("_", " "), estimated.select("rank", "estimate", pl.col(choice).alias("label")), labels)
            )
    room = width / max(estimated.height, 1)
    scale = alt.Scale(domain=[0.5, max(estimated.height, 1) + 0.5], nice=False)
    longest = 6 * max(len(label) for _, _, labels in rows for label in labels)
    panels = [_estimates_panel(estimated, choices, scale, width, room)]
    stroke = max(0.5, min(3.0, 0.7 * room))
    panels += [_choice_panel(*row, scale, width, stroke=stroke, left=min(180, longest)) for row in rows]
    head = alt.TitleParams(
        text=title, subtitle=_subtitle(frame, choices, simulated), anchor="start", fontSize=13,
        subtitleColor=ORANGE if simulated else INK, subtitlePadding=4,
    )  # fmt: skip
    return with_theme(alt.vconcat(*panels, spacing=8).resolve_scale(x="shared"), head)


def _significance_marks(estimated: pl.DataFrame) -> pl.DataFrame:
    """List the significant specifications, and those whose test is not valid."""
    marks = (("p < 5%", pl.col("p_value") < 0.05), ("test not valid", ~pl.col("valid")))
    return pl.concat(
        estimated.filter(mark).select("rank", "estimate", pl.lit(label).alias("label")) for label, mark in marks
    )


def _subtitle(frame: pl.DataFrame, choices: Sequence[str], simulated: bool) -> list[str]:
    """List the lines under the title of a specification curve."""
    failed = frame["estimate"].null_count()
    constant = [f"{choice.replace('_', ' ')} {frame[choice][0]}" for choice in choices if frame[choice].n_unique() == 1]
    lines = [SIMULATED_CHART] if simulated else []
    lines += [f"{failed:,} of them could not be run and are not drawn"] if failed else []
    return lines + (["in all: " + ", ".join(constant)] if constant else [])


def _estimates_panel(estimated: pl.DataFrame, choices: Sequence[str], scale: Any, width: int, room: float) -> Any:
    """Draw the sorted estimates and their bands; bands much wider than the others are clipped at the frame."""
    import altair as alt  # noqa: PLC0415

    bounds = estimated.select(
        pl.min_horizontal(pl.col("ci_low").quantile(0.03), pl.col("estimate").min()).fill_null(0.0),
        pl.max_horizontal(pl.col("ci_high").quantile(0.97), pl.col("estimate").max()).fill_null(0.0),
    ).row(0)
    domain = [min(bounds[0], 0.0), max(bounds[1], 0.0)]
    # bands are clipped here and not by the renderer, whose clipping refers to ids that all charts of a page share
    ends = [pl.col("ci_low").clip(*domain).alias("shown_low"), pl.col("ci_high").clip(*domain).alias("shown_high")]
    rows = estimated.select("rank", "estimate", "ci_low", "ci_high", "p_value", "valid", *choices, *ends)
    tooltip = [
        alt.Tooltip("estimate:Q", title="CAAR", format="+.2%"),
        *(alt.Tooltip(f"{name}:Q", title=_TOOLTIP_TITLES[name], format="+.2%") for name in ("ci_low", "ci_high")),
        alt.Tooltip("p_value:Q", title="p", format=".3f"),
        alt.Tooltip("valid:N", title="test valid"),
        *(alt.Tooltip(f"{name}:N", title=name.replace("_", " ")) for name in choices),
    ]
    base = alt.Chart(inline_data(rows.to_dicts()))
    x = alt.X("rank:Q", scale=scale, axis=None)
    n_clipped = ((estimated["ci_low"] < domain[0]) | (estimated["ci_high"] > domain[1])).sum()
    name = f"CAAR and its band ({n_clipped:,} run out of the frame)" if n_clipped else "CAAR and its band"
    y = alt.Y("shown_low:Q", title=name, axis=alt.Axis(format="+.1~%"), scale=alt.Scale(domain=domain))
    bands = base.mark_rule(color=BLUE, opacity=0.75, strokeWidth=max(0.5, min(1.5, 0.75 * room)))
    zero = alt.Chart(inline_data([{"y": 0}])).mark_rule(color=GREY, strokeWidth=1).encode(y=alt.Y("y:Q"))
    dots = base.mark_point(filled=True, size=min(30.0, max(4.0, 4.0 * room)), color=DEEP, opacity=1)
    head = alt.Chart(inline_data([{"text": "median (number)"}])).mark_text(align="left", fontSize=10, color=INK)
    return alt.layer(
        bands.encode(x=x, y=y, y2=alt.Y2("shown_high:Q"), tooltip=tooltip),
        zero,
        dots.encode(x=x, y=alt.Y("estimate:Q"), tooltip=tooltip),
        head.encode(x=alt.value(width + 8), y=alt.value(224), text=alt.Text("text:N")),
        width=width,
        height=230,
    )


def _choice_panel(
    name: str, part: pl.DataFrame, labels: list[str], scale: Any, width: int, *, stroke: float, left: float
) -> Any:
    """Draw a row per choice with a stroke for every specification that made it, and their median on the right."""
    import altair as alt  # noqa: PLC0415

    axis = alt.Axis(
        ticks=False, domain=False, labelLimit=180, titleAngle=0, titleAlign="right", titleX=-left - 16, grid=True
    )
    y = alt.Y("label:N", sort=labels, title=name, scale=alt.Scale(domain=labels), axis=axis)
    strokes = alt.Chart(inline_data(part.select("rank", "label").to_dicts())).mark_tick(
        color=SOFT, thickness=stroke, height=11
    )
    medians = [
        {"label": label, "text": _median_label(part.filter(pl.col("label") == label)["estimate"])} for label in labels
    ]
    text = alt.Chart(inline_data(medians)).mark_text(align="left", fontSize=10, color=INK)
    return alt.layer(
        strokes.encode(x=alt.X("rank:Q", scale=scale, axis=None), y=y),
        text.encode(x=alt.value(width + 8), y=y, text=alt.Text("text:N")),
        width=width,
        height=15 * len(labels),
    )


def _median_label(estimates: pl.Series) -> str:
    """Write the median and the number of estimates, such as ``−0.40% (12)``, with a minus sign."""
    if not len(estimates):
        return "(0)"
    return f"{float(np.median(estimates.to_numpy())):+.2%} ({len(estimates):,})".replace("-", "−")
