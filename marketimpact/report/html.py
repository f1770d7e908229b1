"""A report as one HTML page that fetches nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from marketimpact.display import charts
from marketimpact.report.downloads import downloads
from marketimpact.report.markdown_latex import Pages

if TYPE_CHECKING:
    import jinja2

__all__ = ["as_html"]

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


def as_html(pages: Pages, tables: Mapping[str, pl.DataFrame]) -> str:
    """Render the page; charts are interactive where scripts run, and pictures elsewhere."""
    has_figures = any(figures for section in pages.sections for _, figures, _ in section.blocks)
    scripts = (charts.vega_script(), LIVE_CHARTS) if has_figures else ()
    return _template().render(
        pages=pages,
        downloads=downloads(tables),
        scripts=scripts,
        dark_colours=list(charts.DARK.items()),
        # only these scripts run, so that no text of the data can add another
        allowed=" ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'",
    )


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
