"""The chart of a specification curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from marketimpact.display.charts import BLUE, DEEP, GREY, INK, ORANGE, SIMULATED, SOFT, finished, inline

__all__ = ["specification_curve"]

_SAID = {"ci_low": "95% from", "ci_high": "95% to"}


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
        subtitleColor=ORANGE if simulated else INK, subtitlePadding=4,
    )  # fmt: skip
    return finished(alt.vconcat(*panels, spacing=8).resolve_scale(x="shared"), head)


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
    # bands are cut here and not by the renderer, whose clipping refers to ids that all charts of a page share
    ends = [pl.col("ci_low").clip(*domain).alias("shown_low"), pl.col("ci_high").clip(*domain).alias("shown_high")]
    kept = drawn.select("rank", "estimate", "ci_low", "ci_high", "p_value", "valid", *choices, *ends)
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
    y = alt.Y("shown_low:Q", title=name, axis=alt.Axis(format="+.1~%"), scale=alt.Scale(domain=domain))
    bands = base.mark_rule(color=BLUE, opacity=0.75, strokeWidth=max(0.5, min(1.5, 0.75 * room)))
    zero = alt.Chart(inline([{"y": 0}])).mark_rule(color=GREY, strokeWidth=1).encode(y="y:Q")
    dots = base.mark_point(filled=True, size=min(30.0, max(4.0, 4.0 * room)), color=DEEP, opacity=1)
    head = alt.Chart(inline([{"text": "median (number)"}])).mark_text(align="left", fontSize=10, color=INK)
    return alt.layer(
        bands.encode(x=x, y=y, y2="shown_high:Q", tooltip=told),
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
        color=SOFT, thickness=stroke, height=11
    )
    told = [{"label": label, "text": _median(part.filter(pl.col("label") == label)["estimate"])} for label in labels]
    text = alt.Chart(inline(told)).mark_text(align="left", fontSize=10, color=INK)
    return alt.layer(
        strokes.encode(x=alt.X("rank:Q", scale=scale, axis=None), y=y),
        text.encode(x=alt.value(width + 8), y=y, text="text:N"),
    ).properties(width=width, height=15 * len(labels))


def _median(estimates: pl.Series) -> str:
    """Median and number, such as ``−0.40% (12)``, with a minus sign instead of a hyphen."""
    if not len(estimates):
        return "(0)"
    return f"{float(np.median(estimates.to_numpy())):+.2%} ({len(estimates):,})".replace("-", "−")
