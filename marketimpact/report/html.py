"""A report as one HTML page that fetches nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import polars as pl

from marketimpact.display import charts
from marketimpact.report.brief import Brief
from marketimpact.report.downloads import downloads
from marketimpact.report.markdown_latex import Pages
from marketimpact.report.templates import template

__all__ = ["as_html"]

#: Blocks of a folded section beneath each other; of more, each has a fold of its own.
MOST_OPEN = 4
#: Replaces each picture by an interactive chart; where that fails the picture stays.
LIVE_CHARTS = """
for (const figure of document.querySelectorAll("figure")) {
  const [still, live] = [figure.querySelector(".still"), figure.querySelector(".live")];
  const spec = JSON.parse(figure.querySelector("script").textContent);
  vegaEmbed(live, spec, {renderer: "svg", actions: false, ast: true}).then(() => {
    live.setAttribute("aria-label", still.getAttribute("aria-label")); // instead of Vega's own, which says nothing
    live.hidden = false;
    still.style.display = "none";
  });
}
"""


def as_html(pages: Pages, tables: Mapping[str, pl.DataFrame], brief: Brief | None = None) -> str:
    """Render the page with the brief in place of the first section.

    Charts are interactive where scripts run, and pictures elsewhere.
    """
    first, *others = pages.sections
    has_figures = any(figures for section in pages.sections for _, figures, _ in section.blocks)
    scripts = (charts.vega_script(), LIVE_CHARTS) if has_figures else ()
    return template("template.html.j2").render(
        pages=pages,
        first=first,
        sections=others,
        most_open=MOST_OPEN,
        fragment=None if brief is None else brief.html(live=True),
        downloads=downloads(tables),
        scripts=scripts,
        dark_colours=list(charts.DARK.items()),
        # only these scripts run, so that no text of the data can add another
        allowed=" ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'",
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
