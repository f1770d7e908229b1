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

#: Puts a chart that answers to the pointer in the place of each picture; a chart that fails leaves the picture.
LIVE = """
for (const figure of document.querySelectorAll("figure")) {
  const [still, live] = [figure.querySelector(".still"), figure.querySelector(".live")];
  const drawn = JSON.parse(figure.querySelector("script").textContent);
  vegaEmbed(live, drawn, {renderer: "svg", actions: false}).then(() => {
    live.setAttribute("aria-label", still.getAttribute("aria-label")); // instead of Vega's own, which says nothing
    live.hidden = false;
    still.style.display = "none";
  });
}
"""


def as_html(pages: Pages, tables: Mapping[str, pl.DataFrame]) -> str:
    """The page; charts answer to the pointer where scripts run, and are pictures where not."""
    drawn = any(figures for section in pages.sections for _, figures, _ in section.blocks)
    scripts = (charts.runtime(), LIVE) if drawn else ()
    return _template().render(
        pages=pages,
        downloads=downloads(tables),
        scripts=scripts,
        twins=list(charts.DARK.items()),
        # only these scripts run, whatever a name from outside says
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
