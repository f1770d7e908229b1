"""A result as a self-contained HTML report, and as the tables behind it."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from marketimpact import charts
from marketimpact.report.downloads import downloads
from marketimpact.report.sections import sections
from marketimpact.report.story import group_column, report_windows, story
from marketimpact.report.words import caveats, summary
from marketimpact.result import StudyResult

if TYPE_CHECKING:
    import jinja2

__all__ = ["tables", "write_report"]

#: Puts a chart that answers to the pointer in the place of each picture; a chart that fails leaves the picture.
LIVE = """
for (const figure of document.querySelectorAll("figure")) {
  const [still, live] = [figure.querySelector(".still"), figure.querySelector(".live")];
  const drawn = JSON.parse(figure.querySelector("script").textContent);
  vegaEmbed(live, drawn, {renderer: "svg", actions: false}).then(() => {
    live.hidden = false;
    still.style.display = "none";
  });
}
"""


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
    """Write one self-contained HTML file.

    Parameters
    ----------
    result : StudyResult
        What to report.
    path : str or Path
        The file; missing folders are made. It is replaced at once, never half-written.
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
    """
    told = story(result, title=title, question=question, windows=windows, group=group, chronology=chronology)
    scripts = (charts.runtime(), LIVE)
    page = _template().render(
        story=told,
        summary=summary(told),
        caveats=caveats(told),
        sections=sections(told),
        simulated=result.market.simulated,
        downloads=downloads(tables(result, windows=windows, group=group)),
        scripts=scripts,
        # only these scripts run, whatever a name from outside says
        allowed=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
    )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_text(page, encoding="utf-8")
    draft.replace(target)
    return target


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


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _template() -> jinja2.Template:
    import jinja2  # noqa: PLC0415  # only a report needs it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("template.html.j2")
