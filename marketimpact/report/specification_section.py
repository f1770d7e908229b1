"""The specification curve in a report: the chart, what each choice does, and the curve against chance."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.analyses.specification_curve.curve import CHOICES, SpecificationCurve
from marketimpact.analyses.specification_curve.joint_test import JointTest
from marketimpact.core.text import listed
from marketimpact.display.formats import number, p_value, percent
from marketimpact.report.blocks import Figure, ReportTable, Section

__all__ = ["TITLE", "in_short", "robust"]

TITLE = "Does it hang on one choice?"
LEVEL = 0.05
#: Headlines and groups that a sentence names.
NAMED = 3
CHOICE_NOTE = (
    "CAAR: cumulative average abnormal return, in percent; median, lowest and highest over the specifications that "
    "made this choice. “p < 5%” counts, among the specifications whose test holds for these events, those that reject "
    "a mean of zero (two-sided, each by itself)."
)
JOINT_NOTE = (
    "Null: {null} “By chance” is the middle 95% of the placebo curves. p: share of placebo curves at least as far out, "
    "twice the smaller tail for the median and the mean z, the upper tail for the share. Placebo curves: {draws} (seed "
    "{seed})."
)


def in_short(curve: SpecificationCurve) -> str:
    """One sentence for the summary."""
    ran = curve.frame.drop_nulls("estimate")
    if ran.is_empty():
        return f"None of {curve.frame.height:,} specifications could be run: see “{TITLE}”."
    low, _, high = _extent(ran)
    return (
        f"Asked in {ran.height:,} ways, the mean CAR of {about(curve)} lies between {low} and {high}; {_held(ran)}: "
        f"see “{TITLE}”."
    )


def _extent(ran: pl.DataFrame) -> tuple[str, str, str]:
    """Lowest, median and highest estimate."""
    values = ran["estimate"].to_numpy()
    return percent(values.min()), percent(np.median(values)), percent(values.max())


def about(curve: SpecificationCurve) -> str:
    """Which events the curve is about."""
    events = next((result.events for result in curve.results_ if result is not None), pl.DataFrame())
    firms = _distinct(events, "group") or f"{events.height} events"
    news = _distinct(events, "headline")
    return f"{firms} ({news})" if news else firms


def _distinct(events: pl.DataFrame, column: str) -> str:
    if column not in events.columns:
        return ""
    names = events[column].cast(pl.String).drop_nulls().unique(maintain_order=True).to_list()
    return listed(names, limit=NAMED, quoted=False, separator="; ")


def _held(ran: pl.DataFrame) -> str:
    """What the specifications with a test that holds say."""
    held = ran.filter("valid")
    if held.is_empty():
        return "none of their tests holds for these events"
    above, below = (held.filter(_significant(), side).height for side in (pl.col("z") > 0, pl.col("z") < 0))
    sides = "" if not above + below else f", {above:,} above and {below:,} below"
    whose = "" if held.height == ran.height else " whose test holds"
    return f"{above + below:,} of {held.height:,}{whose} can be told from zero at 5%{sides}"


def _significant() -> pl.Expr:
    return (pl.col("p_value") < LEVEL).fill_null(value=False)


def robust(curve: SpecificationCurve | None, joint: JointTest | None) -> Section | None:
    """The section on the curve; none where no curve was computed."""
    if curve is None:
        return None
    varied = [name for name in CHOICES if curve.frame[name].n_unique() > 1]
    ran = curve.frame.drop_nulls("estimate")
    words = [
        f"One question, {curve.frame.height:,} specifications: the mean CAR of {about(curve)}, for every combination "
        f"of {_enumerated(curve.frame, varied)}.",
        *_found(curve.frame, ran),
        "Specifications share their data, so that agreement among them is not independent evidence: the curve says "
        "what the finding hangs on, and only its comparison with placebo days says how rare it is."
        if joint is not None
        else "Specifications share their data, so that agreement among them is not independent evidence. The curve was "
        "not compared with placebo days, so nothing is said about how rare it is.",
        *([f"{'. '.join(_sentence(note) for note in joint.notes)}."] if joint is not None and joint.notes else []),
    ]
    figures = (_figure(curve, ran, varied),) if ran.height else ()
    sheets = [_choices(curve.frame, varied), *([_joint(joint)] if joint is not None else []), *_reasons(curve)]
    return Section("curve", TITLE, tuple(words), (("", figures, tuple(sheets)),))


def _enumerated(frame: pl.DataFrame, varied: list[str]) -> str:
    counts = [f"{frame[name].n_unique()} {name.replace('_', ' ')}s" for name in varied]
    return " and ".join([", ".join(counts[:-1]), counts[-1]] if len(counts) > 1 else counts) or "one choice each"


def _found(frame: pl.DataFrame, ran: pl.DataFrame) -> list[str]:
    if ran.is_empty():
        return [f"None of the {frame.height:,} could be run; the table says why."]
    positive = ran.filter(pl.col("estimate") > 0).height
    failed = frame.height - ran.height
    low, middle, high = _extent(ran)
    said = (
        f"The CAAR lies between {low} and {high}, with a median of {middle}; it is above zero in {positive:,} of "
        f"{ran.height:,}. Each by its own test, {_held(ran)}."
    )
    numbers = ["event_window", "filter", "test", "estimate", "se", "statistic", "p_value", "n_events"]
    again = ran.height - ran.unique(numbers).height
    repeats = (
        f"{again:,} of them have the very numbers of another: there a choice changed nothing, such as the benchmark "
    )
    repeats += "of a model that has none."
    return [
        said,
        *([repeats] if again else []),
        *([f"{failed:,} could not be run; the last table says why."] if failed else []),
    ]


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:].rstrip(".")


def _figure(curve: SpecificationCurve, ran: pl.DataFrame, varied: list[str]) -> Figure:
    low, _, high = _extent(ran)
    told = ""
    if varied:
        medians = ran.group_by(varied[0], maintain_order=True).agg(pl.col("estimate").median())
        listed = ", ".join(f"{name} {percent(median)}" for name, median in medians.iter_rows())
        told = f" Medians by {varied[0].replace('_', ' ')}: {listed}."
    alt = (
        f"Specification curve: {ran.height:,} estimates of the CAAR in order of size, from {low} to {high}, with 95% "
        f"intervals, and beneath them which choices each made.{told} The table below has the medians of every choice."
    )
    return Figure.of(curve.plot(), alt)


def _choices(frame: pl.DataFrame, varied: list[str]) -> ReportTable:
    held = pl.col("valid") & pl.col("estimate").is_not_null()
    rows: list[list[object]] = []
    for name in varied or ["model"]:
        found = (
            frame.sort("specification")
            .group_by(name, maintain_order=True)
            .agg(
                pl.col("estimate").count().alias("n"),
                pl.col("estimate").median().alias("median"),
                pl.col("estimate").min().alias("low"),
                pl.col("estimate").max().alias("high"),
                held.sum().alias("held"),
                (held & _significant()).sum().alias("found"),
            )
        )
        for at, (value, n, median, low, high, holding, rejecting) in enumerate(found.iter_rows()):
            told = [value, n, percent(median), percent(low), percent(high), f"{rejecting:,} of {holding:,}"]
            rows.append([name.replace("_", " ") if not at else "", *told])
    columns = ["choice", "value", "specifications", "median CAAR", "lowest", "highest", "p < 5%"]
    return ReportTable.of(columns, rows, numeric=[2, 3, 4, 5, 6], caption="What each choice does", note=CHOICE_NOTE)


def _joint(joint: JointTest) -> ReportTable:
    rows = []
    for name, observed, _, low, high, p in joint.frame.iter_rows():
        told = [_written(name, value) for value in (observed, low, high)]
        rows.append([name, told[0], f"{told[1]} to {told[2]}", p_value(p)])
    note = JOINT_NOTE.format(null=joint.null, draws=f"{joint.draws:,}", seed=joint.seed)
    columns = ["of the whole curve", "observed", "by chance", "p"]
    return ReportTable.of(columns, rows, numeric=[1, 2, 3], caption="The curve against placebo days", note=note)


def _written(statistic: str, value: float) -> str:
    """A statistic of the whole curve: an effect with its sign, a share without, a z as a number."""
    if statistic == "mean z":
        return number(value)
    return percent(value).lstrip("+") if statistic.startswith("share") else percent(value)


def _reasons(curve: SpecificationCurve) -> list[ReportTable]:
    rows = [[row["status"], row["test"], row["n"], row["reason"]] for row in curve.reasons().iter_rows(named=True)]
    if not rows:
        return []
    columns = ["status", "test", "specifications", "why"]
    note = "A test that does not hold for these events still has an estimate and an interval, but its p is no evidence."
    return [ReportTable.of(columns, rows, numeric=[2], caption="Could not be run, or does not hold", note=note)]
