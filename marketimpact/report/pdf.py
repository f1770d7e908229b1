"""A report as PDF, typeset by Typst: no network, no browser, the same bytes every time."""

from __future__ import annotations

import json
from typing import Any

from marketimpact.display.formats import SIMULATED_REPORT
from marketimpact.errors import SpecificationError
from marketimpact.report.blocks import Cell, ReportTable
from marketimpact.report.markdown_latex import Pages

__all__ = ["as_pdf"]

#: Sentences of a section that are kept on the page of what follows them, at most.
MOST_STICKY = 4
_HEAD = """#set document(title: {title}, date: none)
#set page(paper: "a4", margin: (x: 14mm, y: 16mm), numbering: "1")
#set text(size: 9pt, lang: "en")
#set par(justify: false)
#set table(stroke: (x, y) => (bottom: if y == 0 {{ 0.6pt }} else {{ 0.2pt + luma(200) }}), inset: 3pt)
#show heading: set block(above: 1.3em, below: 0.6em)
#show figure: set block(breakable: true)
#show link: set text(fill: rgb("#0b5c8f"))
"""


def as_pdf(pages: Pages) -> bytes:
    """Write the report as PDF.

    Raises
    ------
    SpecificationError
        Where Typst is not installed.
    """
    typst = typst_compiler()
    files: dict[str, bytes] = {}
    files["main.typ"] = _source(pages, files).encode()
    return bytes(typst.compile(files, format="pdf", ignore_system_fonts=True, timestamp=0))


def typst_compiler() -> Any:
    """Import the package typst, or raise an error that says how to install it."""
    try:
        import typst  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise SpecificationError(
            "A report as PDF needs the package typst, which is not installed: pip install 'marketimpact[pdf]'. "
            "Or print the HTML report from a browser."
        ) from error
    return typst


def _source(pages: Pages, files: dict[str, bytes]) -> str:
    """Write the source for Typst, with every text as a string literal; charts are added to `files`."""
    lines = [_HEAD.format(title=_literal(pages.title)), f"#text(size: 18pt, weight: 700, {_literal(pages.title)})"]
    lines.append(f"#text({_literal(pages.question)})")
    if pages.simulated:
        lines.append(f"#block(stroke: 1pt, inset: 6pt, text(weight: 700, {_literal(SIMULATED_REPORT)}))")
    for section in pages.sections:
        lines.append(f"#heading({_literal(section.title)})")
        # a few sentences stay with what they introduce
        sticky = "true" if section.blocks and len(section.words) <= MOST_STICKY else "false"
        lines += [f"#block(sticky: {sticky}, text(fill: luma(70), {_literal(sentence)}))" for sentence in section.words]
        for heading, figures, tables in section.blocks:
            lines += [f"#heading(level: 2, {_literal(heading)})"] if heading else []
            images = []
            for figure in figures:
                name = f"chart{len(files)}.svg"
                files[name] = figure.svg.encode()
                images.append(f"image({_literal(name)}, alt: {_literal(figure.alt)}, width: 100%)")
            if images:
                n_columns = min(3, len(images))
                lines.append(f"#grid(columns: {n_columns}, gutter: 4pt, {', '.join(images)})")
            for table in tables:
                lines += _table(table)
    return "\n\n".join(lines)


def _literal(text: str) -> str:
    """Write a text as a string literal of Typst."""
    return json.dumps("".join(sign if sign.isprintable() else " " for sign in text), ensure_ascii=False)


def _cell(cell: Cell) -> str:
    return f"link({_literal(cell.href)}, {_literal(cell.text)})" if cell.href else f"text({_literal(cell.text)})"


def _table(table: ReportTable) -> list[str]:
    caption = (
        [f"#block(above: 1em, sticky: true, text(weight: 700, {_literal(table.caption)}))"] if table.caption else []
    )
    note = [f"#text(size: 7.5pt, fill: luma(70), {_literal(table.note)})"] if table.note else []
    if not table.rows:
        return [*caption, *note]
    columns = range(len(table.columns))
    longest = [max(len(row.cells[position].text) for row in table.rows) for position in columns]
    # numbers keep their width, texts share the rest in proportion to their lengths
    widths = ", ".join(
        "auto" if position in table.numeric or longest[position] <= 12 else f"{min(longest[position], 60)}fr"
        for position in columns
    )
    alignments = ", ".join("right" if position in table.numeric else "left" for position in columns)
    head = ", ".join(f"text(weight: 700, {_literal(name)})" for name in table.columns)
    style = {False: "normal", True: "italic"}
    cells = ",\n".join(f'text(style: "{style[row.muted]}", {_cell(cell)})' for row in table.rows for cell in row.cells)
    source = f"table(columns: ({widths},), align: ({alignments},), table.header({head}),\n{cells})"
    return [*caption, f"#text(size: 7pt, {source})", *note]
