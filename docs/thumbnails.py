"""Small pictures at the top of a page, one per section with a chart, that lead to these sections."""

from __future__ import annotations

import html
import re

from markdown.extensions.toc import slugify

#: A heading of a section, or a chart as `executed.shown` writes it.
PART = re.compile(r"^## (?P<heading>.+)$|^!\[.*\]\((?P<picture>\S+)\)\{\.drawn\}$", flags=re.MULTILINE)


def with_thumbnails(markdown: str) -> str:
    """A page with the first chart of each section, small, below its title and its first paragraph."""
    title, opening, rest = markdown.split("\n\n", 2)
    small = [
        f'<a href="#{slugify(heading, "-")}"><img src="{picture}" alt="" loading="lazy">{html.escape(heading)}</a>'
        for heading, picture in first_charts(rest).items()
    ]
    return "\n\n".join([title, opening, "\n".join(['<div class="thumbnails">', *small, "</div>"]), rest])


def first_charts(markdown: str) -> dict[str, str]:
    """Heading of each section that has a chart -> the name of the first."""
    found: dict[str, str] = {}
    heading = ""
    for part in PART.finditer(markdown):
        if part["heading"]:
            heading = part["heading"]
        elif heading:
            found.setdefault(heading, part["picture"])
    return found
