"""A result as a self-contained HTML report, and as the tables behind it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from marketimpact.analyses.specification_curve.curve import SpecificationCurve
from marketimpact.analyses.specification_curve.joint_test import JointTest
from marketimpact.report.content import GroupResult, ReportContent, story
from marketimpact.report.html import as_html
from marketimpact.report.markdown_latex import Pages, as_markdown, as_tex
from marketimpact.report.pdf import as_pdf, compiler
from marketimpact.report.sections import sections
from marketimpact.report.summary_text import caveats, summary
from marketimpact.study.result import StudyResult

__all__ = ["story", "tables", "tables_of", "write_report", "write_reports"]

_TEXTS = {".md": as_markdown, ".tex": as_tex}


def write_report(
    result: StudyResult,
    path: str | Path,
    *,
    title: str | None = None,
    question: str | None = None,
    windows: Sequence[tuple[int, int]] | None = None,
    group: str | None = None,
    chronology: pl.DataFrame | None = None,
    curve: SpecificationCurve | None = None,
    joint: JointTest | None = None,
) -> Path:
    """Write a report: one self-contained HTML file, or Markdown, LaTeX or PDF.

    Parameters
    ----------
    result : StudyResult
        What to report.
    path : str or Path
        The file; missing folders are made. It is replaced at once, never half-written. ``.md``, ``.tex`` and
        ``.pdf`` say the format; any other name is HTML.
    title, question : str, optional
        Head of the report.
    windows : sequence of (int, int), optional
        Windows to report, within the study's event window; the first is the primary one. ``(0, 1)``
        and ``(0, 0)`` by default.
    group : str, optional
        Column of the events that names the groups; "group", else "role", else one group of all.
    chronology : polars.DataFrame, optional
        Announcements among which to look for others in the same windows.
    curve : SpecificationCurve, optional
        What `specification_curve` gave, for a section on whether the finding hangs on one choice.
    joint : JointTest, optional
        What its `joint_test` gave.

    Returns
    -------
    Path
        The file written. The same result gives the same bytes.

    Raises
    ------
    SpecificationError
        For a group or window that is not there, or a PDF without the extra ``pdf``.
    """
    told = story(
        result,
        title=title,
        question=question,
        windows=windows,
        group=group,
        chronology=chronology,
        curve=curve,
        joint=joint,
    )
    return write_reports(told, [Path(path)])[0]


def write_reports(told: ReportContent, paths: Sequence[Path]) -> list[Path]:
    """Write one report to several files, such as HTML and PDF, with the work done once.

    Parameters
    ----------
    told : Story
        What `story` makes of a result.
    paths : sequence of Path
        As for `write_report`.
    """
    if any(target.suffix == ".pdf" for target in paths):
        compiler()  # before minutes of work
    pages = Pages(
        title=told.title,
        question=told.question,
        simulated=told.result.market.simulated,
        summary=summary(told),
        caveats=caveats(told),
        sections=sections(told),
    )
    for target in paths:
        if target.suffix == ".pdf":
            written = as_pdf(pages)
        elif target.suffix in _TEXTS:
            written = _TEXTS[target.suffix](pages).encode()
        else:
            written = as_html(pages, tables_of(told)).encode()
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        draft.write_bytes(written)
        draft.replace(target)
    return list(paths)


def tables(
    result: StudyResult, *, windows: Sequence[tuple[int, int]] | None = None, group: str | None = None
) -> dict[str, pl.DataFrame]:
    """Every table of a result, for Parquet and CSV.

    Returns
    -------
    dict of str to polars.DataFrame
        ``events, estimates, abnormal_returns, car, caar, tests, attrition, findings, price_repairs``; `car`
        and `tests` have one block per window, `caar` and `tests` one per announcement and group; the last two
        are the market's.
    """
    return tables_of(story(result, windows=windows, group=group))


def tables_of(told: ReportContent) -> dict[str, pl.DataFrame]:
    """The same of a story that a report was written from: what was asked once is not asked again.

    A specification curve adds ``specifications``, and its joint test ``specifications_joint``.
    """
    result = told.result

    def labelled(frame: pl.DataFrame, window: tuple[int, int]) -> pl.DataFrame:
        return frame.select(pl.lit(window[0]).alias("first"), pl.lit(window[1]).alias("last"), pl.all())

    def tested(window: tuple[int, int]) -> pl.DataFrame:
        return labelled(told.stacked(lambda group: group.test(window)), window)

    found = {
        "events": result.events,
        "estimates": result.estimates,
        "abnormal_returns": result.abnormal_returns,
        "car": pl.concat([labelled(result.car(*window), window) for window in told.windows]),
        "caar": told.stacked(_path),
        "tests": pl.concat([tested(window) for window in told.windows]),
        "attrition": result.attrition,
        "findings": result.market.findings,
        "price_repairs": result.market.price_repairs,
    }
    found |= {} if told.curve is None else {"specifications": told.curve.frame}
    return found | ({} if told.joint is None else {"specifications_joint": told.joint.frame})


def _path(group: GroupResult) -> pl.DataFrame:
    return group.path
