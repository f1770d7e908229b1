"""A report as PDF by Typst: no network, no browser, the same bytes every time."""

from __future__ import annotations

import json
from typing import Any

from marketimpact.errors import SpecificationError
from marketimpact.report.blocks import Cell, ReportTable
from marketimpact.report.markdown_latex import SIMULATED, Pages

__all__ = ["as_pdf"]

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
    """The report as PDF.

    Raises
    ------
    SpecificationError
        Where Typst is not installed.
    """
    typst = compiler()
    files: dict[str, bytes] = {}
    files["main.typ"] = _source(pages, files).encode()
    return bytes(typst.compile(files, format="pdf", ignore_system_fonts=True, timestamp=0))


def compiler() -> Any:
    """The package typst, or an error that says how to have it."""
    try:
        import typst  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise SpecificationError(
            "A report as PDF is set by the package typst, which is not installed: pip install 'marketimpact[pdf]'. "
            "Or print the HTML report from a browser."
        ) from error
    return typst


def _source(pages: Pages, files: dict[str, bytes]) -> str:
    """Typst's source; every text is a string literal, so that none is read as code. Charts are put into `files`."""
    lines = [_HEAD.format(title=_said(pages.title)), f"#text(size: 18pt, weight: 700, {_said(pages.title)})"]
    lines.append(f"#text({_said(pages.question)})")
    if pages.simulated:
        lines.append(f"#block(stroke: 1pt, inset: 6pt, text(weight: 700, {_said(SIMULATED)}))")
    lines.append('#heading("In short")')
    for headline, sentences in pages.summary:
        lines.append(f"#heading(level: 2, {_said(headline)})")
        lines.append(f"#list({', '.join(f'text({_said(sentence)})' for sentence in sentences)})")
    lines += [f"#par(text({_said(caveat)}))" for caveat in pages.caveats]
    for section in pages.sections:
        lines.append(f"#heading({_said(section.title)})")
        lines += [f"#par(text(fill: luma(70), {_said(sentence)}))" for sentence in section.words]
        for heading, figures, sheets in section.blocks:
            lines += [f"#heading(level: 2, {_said(heading)})"] if heading else []
            drawn = []
            for figure in figures:
                name = f"chart{len(files)}.svg"
                files[name] = figure.svg.encode()
                drawn.append(f"image({_said(name)}, alt: {_said(figure.alt)}, width: 100%)")
            if drawn:
                across = min(3, len(drawn))
                lines.append(f"#grid(columns: {across}, gutter: 4pt, {', '.join(drawn)})")
            for sheet in sheets:
                lines += _table(sheet)
    return "\n\n".join(lines)


def _said(text: str) -> str:
    """A text as a literal of Typst's."""
    return json.dumps("".join(sign if sign.isprintable() else " " for sign in text), ensure_ascii=False)


def _cell(cell: Cell) -> str:
    return f"link({_said(cell.href)}, {_said(cell.text)})" if cell.href else f"text({_said(cell.text)})"


def _table(sheet: ReportTable) -> list[str]:
    caption = [f"#block(above: 1em, sticky: true, text(weight: 700, {_said(sheet.caption)}))"] if sheet.caption else []
    note = [f"#text(size: 7.5pt, fill: luma(70), {_said(sheet.note)})"] if sheet.note else []
    if not sheet.rows:
        return [*caption, *note]
    columns = range(len(sheet.columns))
    longest = [max(len(row.cells[at].text) for row in sheet.rows) for at in columns]
    # numbers keep their width, texts share the rest as they are long
    widths = ", ".join(
        "auto" if at in sheet.numeric or longest[at] <= 12 else f"{min(longest[at], 60)}fr" for at in columns
    )
    sides = ", ".join("right" if at in sheet.numeric else "left" for at in columns)
    head = ", ".join(f"text(weight: 700, {_said(name)})" for name in sheet.columns)
    style = {False: "normal", True: "italic"}
    cells = ",\n".join(f'text(style: "{style[row.muted]}", {_cell(cell)})' for row in sheet.rows for cell in row.cells)
    table = f"table(columns: ({widths},), align: ({sides},), table.header({head}),\n{cells})"
    return [*caption, f"#text(size: 7pt, {table})", *note]
