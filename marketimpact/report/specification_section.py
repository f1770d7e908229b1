"""The specification curve in a report: chart, estimates by choice, and the joint test against placebo days."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.analyses.specification_curve.curve import CHOICES, SpecificationCurve
from marketimpact.analyses.specification_curve.joint_test import JointTest
from marketimpact.display.formats import number, p_value, percent
from marketimpact.inference import SIGNIFICANCE_LEVEL
from marketimpact.report.blocks import Figure, ReportTable, Section
from marketimpact.study.headline import p_text

__all__ = ["TITLE", "curve_sentence", "specification_section"]

TITLE = "Robustness: how much the result depends on specification choices"
#: Headlines and groups named in a sentence.
MOST_NAMES_LISTED = 3
CHOICE_NOTE = (
    "CAAR: cumulative average abnormal return, in percent; median, lowest and highest over the specifications that "
    "made this choice. “p < 5%” counts, among the specifications whose test is valid for these events, those that "
    "reject a mean of zero (two-sided, each by itself)."
)
JOINT_NOTE = (
    "Null: {null} “By chance” is the middle 95% of the placebo curves. p: share of placebo curves at least as far out, "
    "twice the smaller tail for the median and the mean z, the upper tail for the share. Placebo curves: {draws} (seed "
    "{seed})."
)


def curve_sentence(curve: SpecificationCurve, joint: JointTest | None) -> str:
    """Write one sentence about the curve for the summary, with its joint test where there is one."""
    ran = curve.frame.drop_nulls("estimate")
    if ran.is_empty():
        return f"None of {curve.frame.height:,} specifications could be run: see “{TITLE}”."
    low, _, high = _estimate_range(ran)
    told = _significance_text(ran)
    if joint is not None:
        name, observed, ends, verdict = _joint_parts(joint)
        told = f"the {name} is {observed}, on placebo days {ends} ({verdict})"
    return (
        f"Across {ran.height:,} specifications, the mean CAR of {events_text(curve)} lies between {low} and {high}; "
        f"{told}: see “{TITLE}”."
    )


def _estimate_range(ran: pl.DataFrame) -> tuple[str, str, str]:
    """Write the lowest, median and highest estimate."""
    values = ran["estimate"].to_numpy()
    return percent(values.min()), percent(np.median(values)), percent(values.max())


def events_text(curve: SpecificationCurve) -> str:
    """Name the events that the curve is about."""
    firms = _names_text(curve.events, "group") or f"{curve.events.height} events"
    headlines = _names_text(curve.events, "headline")
    return f"{firms} ({headlines})" if headlines else firms


def _names_text(events: pl.DataFrame, column: str) -> str:
    if column not in events.columns:
        return ""
    names = events[column].cast(pl.String).drop_nulls().unique(maintain_order=True).to_list()
    more = len(names) - MOST_NAMES_LISTED
    return "; ".join(names[:MOST_NAMES_LISTED]) + (f" and {more} more" if more > 0 else "")


def _significance_text(ran: pl.DataFrame) -> str:
    """Count the significant specifications among those with a valid test."""
    valid = ran.filter("valid")
    if valid.is_empty():
        return "none of their tests is valid for these events"
    above, below = (valid.filter(_significant(), side).height for side in (pl.col("z") > 0, pl.col("z") < 0))
    sides = "" if not above + below else f", {above:,} above and {below:,} below"
    scope = "" if valid.height == ran.height else " with a valid test"
    return f"{above + below:,} of {valid.height:,}{scope} are significant at 5%{sides}"


def _significant() -> pl.Expr:
    return (pl.col("p_value") < SIGNIFICANCE_LEVEL).fill_null(value=False)


def specification_section(curve: SpecificationCurve | None, joint: JointTest | None) -> Section | None:
    """Make the section on the curve; None where no curve was computed."""
    if curve is None:
        return None
    varied = [name for name in CHOICES if curve.frame[name].n_unique() > 1]
    ran = curve.frame.drop_nulls("estimate")
    words = [
        f"One question, {curve.frame.height:,} specifications: the mean CAR of {events_text(curve)}, for every "
        f"combination of {_choice_counts(curve.frame, varied)}.",
        *_range_sentences(curve.frame, ran),
        *([_joint_sentence(joint)] if joint is not None else []),
        "Specifications share their data, so that agreement among them is not independent evidence: the curve says "
        "which choices the result depends on, and only its comparison with placebo days says how rare it is."
        if joint is not None
        else "Specifications share their data, so that agreement among them is not independent evidence. The curve was "
        "not compared with placebo days, so nothing is said about how rare it is.",
        *([f"{'. '.join(_capitalised(note) for note in joint.notes)}."] if joint is not None and joint.notes else []),
    ]
    figures = (_figure(curve, ran, varied),) if ran.height else ()
    tables = [
        _choices_table(curve.frame, varied),
        *([_joint_table(joint)] if joint is not None else []),
        *_reasons_tables(curve),
    ]
    return Section("curve", TITLE, tuple(words), (("", figures, tuple(tables)),))


def _joint_sentence(joint: JointTest) -> str:
    """Quote the primary joint test of the curve: its median against placebo curves."""
    name, observed, ends, verdict = _joint_parts(joint)
    return (
        f"Joint test of the whole curve: its {name} is {observed}; 95% of curves on placebo days: {ends} ({verdict})."
    )


def _joint_parts(joint: JointTest) -> tuple[str, str, str, str]:
    """Write the name, value, placebo range and verdict of the primary statistic of the whole curve."""
    name, observed, _, low, high, p = joint.frame.row(0)
    verdict = "significant at 5%" if p < SIGNIFICANCE_LEVEL else "not significant"
    ends = f"{_statistic_text(name, low)} to {_statistic_text(name, high)}"
    return name, _statistic_text(name, observed), ends, f"{p_text(p)}, {verdict}"


def _choice_counts(frame: pl.DataFrame, varied: list[str]) -> str:
    counts = [f"{frame[name].n_unique()} {name.replace('_', ' ')}s" for name in varied]
    return " and ".join([", ".join(counts[:-1]), counts[-1]] if len(counts) > 1 else counts) or "one choice each"


def _range_sentences(frame: pl.DataFrame, ran: pl.DataFrame) -> list[str]:
    if ran.is_empty():
        return [f"None of the {frame.height:,} could be run; the table says why."]
    positive = ran.filter(pl.col("estimate") > 0).height
    failed = frame.height - ran.height
    low, middle, high = _estimate_range(ran)
    summary = (
        f"The CAAR lies between {low} and {high}, with a median of {middle}; it is above zero in {positive:,} of "
        f"{ran.height:,}. Each by its own test, {_significance_text(ran)}."
    )
    numbers = ["event_window", "filter", "test", "estimate", "se", "statistic", "p_value", "n_events"]
    repeated = ran.height - ran.unique(numbers).height
    repeat_sentence = (
        f"{repeated:,} of them have the very numbers of another: there a choice changed nothing, such as the benchmark "
    )
    repeat_sentence += "of a model that has none."
    return [
        summary,
        *([repeat_sentence] if repeated else []),
        *([f"{failed:,} could not be run, and say nothing: {_failures_text(frame)}."] if failed else []),
    ]


def _failures_text(frame: pl.DataFrame) -> str:
    """List why specifications could not be run, the commonest reason first, each with its number."""
    counted = frame.filter(pl.col("estimate").is_null())["reason"].value_counts(name="n")
    rows = counted.sort("n", "reason", descending=[True, False]).head(MOST_NAMES_LISTED)
    return "; ".join(f"{n:,} × {reason}" for reason, n in rows.select("reason", "n").iter_rows())


def _capitalised(note: str) -> str:
    return note[:1].upper() + note[1:].rstrip(".")


def _figure(curve: SpecificationCurve, ran: pl.DataFrame, varied: list[str]) -> Figure:
    low, _, high = _estimate_range(ran)
    medians_text = ""
    if varied:
        medians = ran.group_by(varied[0], maintain_order=True).agg(pl.col("estimate").median())
        listed = ", ".join(f"{name} {percent(median)}" for name, median in medians.iter_rows())
        medians_text = f" Medians by {varied[0].replace('_', ' ')}: {listed}."
    alt = (
        f"Specification curve: {ran.height:,} estimates of the CAAR in order of size, from {low} to {high}, with 95% "
        f"intervals, and beneath them the choices of each.{medians_text} The table below has every choice's medians."
    )
    return Figure.of(curve.plot(), alt, curve.plot(compact=True))


def _choices_table(frame: pl.DataFrame, varied: list[str]) -> ReportTable:
    is_valid = pl.col("valid") & pl.col("estimate").is_not_null()
    rows: list[list[object]] = []
    for name in varied or ["model"]:
        summary = (
            frame.sort("specification")
            .group_by(name, maintain_order=True)
            .agg(
                pl.col("estimate").count().alias("n"),
                pl.col("estimate").median().alias("median"),
                pl.col("estimate").min().alias("low"),
                pl.col("estimate").max().alias("high"),
                is_valid.sum().alias("valid"),
                (is_valid & _significant()).sum().alias("significant"),
            )
        )
        for position, (value, n, median, low, high, holding, rejecting) in enumerate(summary.iter_rows()):
            cells = [value, n, percent(median), percent(low), percent(high), f"{rejecting:,} of {holding:,}"]
            rows.append([name.replace("_", " ") if not position else "", *cells])
    columns = ["choice", "value", "specifications", "median CAAR", "lowest", "highest", "p < 5%"]
    return ReportTable.of(
        columns, rows, numeric=[2, 3, 4, 5, 6], caption="What each choice does", note=CHOICE_NOTE, folded=True
    )


def _joint_table(joint: JointTest) -> ReportTable:
    rows = []
    for name, observed, _, low, high, p in joint.frame.iter_rows():
        cells = [_statistic_text(name, value) for value in (observed, low, high)]
        rows.append([name, cells[0], f"{cells[1]} to {cells[2]}", p_value(p)])
    note = JOINT_NOTE.format(null=joint.null, draws=f"{joint.draws:,}", seed=joint.seed)
    columns = ["of the whole curve", "observed", "by chance", "p"]
    return ReportTable.of(
        columns, rows, numeric=[1, 2, 3], caption="The curve against placebo days", note=note, folded=True
    )


def _statistic_text(statistic: str, value: float) -> str:
    """Write a statistic of the whole curve: an effect with its sign, a share without, a z as a number."""
    if statistic == "mean z":
        return number(value)
    return percent(value).lstrip("+") if statistic.startswith("share") else percent(value)


def _reasons_tables(curve: SpecificationCurve) -> list[ReportTable]:
    rows = [[row["status"], row["test"], row["n"], row["reason"]] for row in curve.reasons().iter_rows(named=True)]
    if not rows:
        return []
    columns = ["status", "test", "specifications", "why"]
    note = "A test that is not valid for these events still has an estimate and an interval, but its p is no evidence."
    return [
        ReportTable.of(columns, rows, numeric=[2], caption="Could not be run, or is not valid", note=note, folded=True)
    ]
