"""A result as a self-contained HTML report, and as the tables behind it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from marketimpact.report.page import as_html
from marketimpact.report.plain import Pages, as_markdown, as_tex
from marketimpact.report.sections import sections
from marketimpact.report.story import group_column, report_windows, story
from marketimpact.report.typeset import as_pdf, compiler
from marketimpact.report.words import caveats, summary
from marketimpact.result import StudyResult

__all__ = ["tables", "write_report", "write_reports"]

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

    Returns
    -------
    Path
        The file written. The same result gives the same bytes.

    Raises
    ------
    SpecificationError
        For a group or window that is not there, or a PDF without the extra ``pdf``.
    """
    asked = {"title": title, "question": question, "windows": windows, "group": group, "chronology": chronology}
    return write_reports(result, [path], **asked)[0]  # type: ignore[arg-type]


def write_reports(
    result: StudyResult,
    paths: Sequence[str | Path],
    *,
    title: str | None = None,
    question: str | None = None,
    windows: Sequence[tuple[int, int]] | None = None,
    group: str | None = None,
    chronology: pl.DataFrame | None = None,
) -> list[Path]:
    """Write one report to several files, such as HTML and PDF, with the work done once; see `write_report`."""
    targets = [Path(path) for path in paths]
    if any(target.suffix == ".pdf" for target in targets):
        compiler()  # before minutes of work
    told = story(result, title=title, question=question, windows=windows, group=group, chronology=chronology)
    pages = Pages(
        title=told.title,
        question=told.question,
        simulated=result.market.simulated,
        summary=summary(told),
        caveats=caveats(told),
        sections=sections(told),
    )
    for target in targets:
        if target.suffix == ".pdf":
            written = as_pdf(pages)
        elif target.suffix in _TEXTS:
            written = _TEXTS[target.suffix](pages).encode()
        else:
            written = as_html(pages, tables(result, windows=windows, group=group)).encode()
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        draft.write_bytes(written)
        draft.replace(target)
    return targets


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
    by = [c for c in ("announcement_id", group_column(result, group)) if c and c in result.events.columns]
    asked = report_windows(result, windows)

    def labelled(frame: pl.DataFrame, window: tuple[int, int]) -> pl.DataFrame:
        return frame.select(pl.lit(window[0]).alias("first"), pl.lit(window[1]).alias("last"), pl.all())

    grouped = result.by(*by) if by and result.events.height else result
    return {
        "events": result.events,
        "estimates": result.estimates,
        "abnormal_returns": result.abnormal_returns,
        "car": pl.concat([labelled(result.car(*window), window) for window in asked]),
        "caar": grouped.caar(),
        "tests": pl.concat([labelled(grouped.test(*window), window) for window in asked]),
        "attrition": result.attrition,
        "findings": result.market.findings,
        "price_repairs": result.market.price_repairs,
    }
