"""Reports of a result as HTML, PDF, Markdown or LaTeX, and the tables behind them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from marketimpact.analyses.specification_curve.curve import SpecificationCurve
from marketimpact.analyses.specification_curve.joint_test import JointTest
from marketimpact.core.arguments import require
from marketimpact.core.outputs import write_together
from marketimpact.display.renderer import require_renderer
from marketimpact.report.blocks import Section
from marketimpact.report.brief import Brief, brief, brief_of, has_brief, opening
from marketimpact.report.brief_frames import brief_windows
from marketimpact.report.content import ReportContent, report_content
from marketimpact.report.downloads import DESCRIPTIONS as TABLE_DESCRIPTIONS
from marketimpact.report.html import as_html
from marketimpact.report.markdown_latex import Pages, as_markdown, as_tex
from marketimpact.report.pdf import as_pdf, typst_compiler
from marketimpact.report.registration_status import RegisteredAnalysis
from marketimpact.report.sections import sections
from marketimpact.study.grouped import role_kept
from marketimpact.study.result import StudyResult

__all__ = [
    "TABLE_DESCRIPTIONS",
    "Brief",
    "RegisteredAnalysis",
    "brief",
    "brief_of",
    "has_brief",
    "report_content",
    "report_tables",
    "require_programs",
    "tables",
    "write_report",
    "write_reports",
]


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
    warnings: Sequence[str] = (),
    legs: Literal["leg_benchmark", "benchmark", "none"] = "leg_benchmark",
) -> Path:
    """Write a report: one self-contained HTML file, or Markdown, LaTeX or PDF.

    Parameters
    ----------
    result : StudyResult
        What to report.
    path : str or Path
        The file; missing folders are made. It is replaced in one step, never half-written. The suffixes ``.md``,
        ``.tex`` and ``.pdf`` choose the format; any other name gives HTML. The charts of ``report.tex`` are PNG files
        in the folder ``report-charts`` beside it.
    title, question : str, optional
        Head of the report.
    windows : sequence of (int, int), optional
        Windows to report, within the study's event window; the first is the primary one. ``(0, 1)``
        and ``(0, 0)`` by default.
    group : str, optional
        Column of the events that names the groups, such as "role"; "group" where there is one, else all firms
        are one group.
    chronology : polars.DataFrame, optional
        Announcements among which to look for others in the same windows.
    curve : SpecificationCurve, optional
        From `specification_curve`, for a section on how much the result depends on specification choices.
    joint : JointTest, optional
        From the curve's `joint_test`.
    warnings : sequence of str
        Warnings of the run, which the report repeats.
    legs : {"leg_benchmark", "benchmark", "none"}
        Benchmark of overnight and day legs, as in `Market.legs`; *none* leaves them out. Without opens, factors of
        whole sessions, and more than 5,000 events there are none in any case.

    Returns
    -------
    Path
        The file written. The same result gives the same bytes.

    Raises
    ------
    SpecificationError
        For a group or window that is not there, a PDF without the extra ``pdf``, or an address space too small for
        the engine that draws charts (``ulimit -v``).
    DataError
        Where the file cannot be written.
    """
    require_programs([Path(path)])
    require(result, "StudyResult", "result")
    content = report_content(
        result,
        title=title,
        question=question,
        windows=windows,
        group=group,
        chronology=chronology,
        curve=curve,
        joint=joint,
        warnings=warnings,
        legs=legs,
    )
    return write_reports(content, [Path(path)])[0]


def write_reports(content: ReportContent, paths: Sequence[Path], made: Brief | None = None) -> list[Path]:
    """Write one report to several files, such as HTML and PDF, computing its content once.

    Parameters
    ----------
    content : ReportContent
        From `report_content`.
    paths : sequence of Path
        As for `write_report`.
    made : Brief, optional
        The brief of the content, where it was made before.
    """
    require_programs(paths)
    if made is None and has_brief(content):
        made = brief_of(content)
    pages = Pages(
        title=content.title,
        question=content.question,
        simulated=content.result.market.simulated,
        sections=_marked([opening(content, made), *sections(content)], content),
    )
    for target in paths:
        charts: dict[str, bytes] = {}
        if target.suffix == ".pdf":
            data = as_pdf(pages)
        elif target.suffix == ".md":
            data = as_markdown(pages).encode()
        elif target.suffix == ".tex":
            text, charts = as_tex(pages, _charts_folder(target))
            data = text.encode()
        else:
            data = as_html(pages, report_tables(content), made).encode()
        with write_together(target.parent) as folder:
            (folder / target.name).write_bytes(data)
            for name, chart in charts.items():
                place = folder / _charts_folder(target) / name
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(chart)
    return list(paths)


def _marked(all_sections: list[Section], content: ReportContent) -> list[Section]:
    """Mark the tables as registered or exploratory, where the study is registered."""
    if content.registration is None:
        return all_sections
    return content.registration.mark_sections(all_sections, brief_windows(content))


def _charts_folder(target: Path) -> str:
    """Name the folder of the charts of a LaTeX report, without signs that mean something to TeX."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", f"{target.stem}-charts")


def require_programs(paths: Sequence[Path]) -> None:
    """Check, before minutes of work, that what draws charts and typesets PDF is there."""
    require_renderer()
    if any(target.suffix == ".pdf" for target in paths):
        typst_compiler()


def tables(
    result: StudyResult, *, windows: Sequence[tuple[int, int]] | None = None, group: str | None = None
) -> dict[str, pl.DataFrame]:
    """Compute every table of a result, for Parquet and CSV.

    Returns
    -------
    dict of str to polars.DataFrame
        ``events, estimates, abnormal_returns, car, caar, tests, attrition, findings, price_repairs``; `car`
        and `tests` have one block per window, `caar` and `tests` one per announcement and group; the last two
        are the market's.
    """
    return report_tables(report_content(result, windows=windows, group=group))


def report_tables(content: ReportContent) -> dict[str, pl.DataFrame]:
    """Compute every table of a report's content; what the report has computed already is reused.

    A model with donors adds ``donors``, as `StudyResult.donors`; opens ``car_by_leg``, a row per event and leg of day
    0; a specification curve ``specifications``, and its joint test ``specifications_joint``. Of a registered study each
    has the column ``registration_status``.
    """
    result = content.result

    def labelled(frame: pl.DataFrame, window: tuple[int, int]) -> pl.DataFrame:
        return frame.select(pl.lit(window[0]).alias("first"), pl.lit(window[1]).alias("last"), pl.all())

    def tested(window: tuple[int, int]) -> pl.DataFrame:
        groups = (content.group,)
        return labelled(content.concat_groups(lambda group: role_kept(group.test(window), groups)), window)

    frames = {
        "events": result.events,
        "estimates": result.estimates,
        "abnormal_returns": result.abnormal_returns,
        "car": pl.concat([labelled(content.every_car.over(window), window) for window in content.windows]),
        "caar": content.concat_groups(lambda group: group.path),
        "tests": pl.concat([tested(window) for window in content.windows]),
        "attrition": result.attrition,
        "findings": result.market.findings,
        "price_repairs": result.market.price_repairs,
    }
    frames |= {"donors": result.donors} if result.model.design.donors else {}
    frames |= {} if content.legs is None else {"car_by_leg": content.legs[0].frame}
    frames |= {} if content.curve is None else {"specifications": content.curve.frame}
    frames |= {} if content.joint is None else {"specifications_joint": content.joint.frame}
    return frames if content.registration is None else content.registration.mark_tables(frames, content.group)
