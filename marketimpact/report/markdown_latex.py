"""A report as Markdown and as LaTeX with booktabs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from marketimpact.display.formats import SIMULATED_REPORT, clean_text
from marketimpact.display.latex import escape
from marketimpact.display.renderer import svg_to_png
from marketimpact.report.blocks import Cell, Figure, ReportTable, Row, Section

__all__ = ["Pages", "as_markdown", "as_tex"]

#: Share of the line for all columns of a LaTeX table together; the rest is space between them.
_TEXT_SHARE = 0.86
#: Width of a letter as a share of the line, on landscape paper.
_LETTER_WIDTH = 0.006
#: Letters beyond which a text gets no more width.
_MOST_LETTERS = 120


@dataclass(frozen=True, slots=True)
class Pages:
    """Text, tables and charts of a report, the same in every format."""

    title: str
    question: str
    simulated: bool
    sections: list[Section]


def as_markdown(pages: Pages) -> str:
    """Write GitHub-flavoured Markdown, with all text escaped."""
    lines = [f"# {_md(pages.title)}", _md(pages.question), f"**{_md(SIMULATED_REPORT)}**" if pages.simulated else ""]
    for section in pages.sections:
        lines += [f"## {_md(section.title)}", *(_md(sentence) for sentence in section.words)]
        for heading, figures, tables in section.blocks:
            lines.append(f"### {_md(heading)}" if heading else "")
            lines += [f"*Chart in the HTML, PDF and LaTeX report: {_md(figure.alt)}*" for figure in figures]
            for table in tables:
                lines += [f"**{_md(table.caption)}**" if table.caption else "", _md_table(table), _md(table.note)]
    return "\n\n".join(line for line in lines if line) + "\n"


def _md(text: str) -> str:
    """Escape text for Markdown, on one line."""
    flat = " ".join(clean_text(text).split())
    # a window in brackets is no link unless an address or another bracket follows
    escaped = re.sub(r"(\[-?\d+, -?\d+\](?![(\[:]))|([\\`*_\[\]|~#])", lambda sign: sign[1] or f"\\{sign[2]}", flat)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _md_cell(cell: Cell) -> str:
    if cell.href is None:
        return _md(cell.text)
    address = re.sub(r"[\s<>()|]", lambda match: f"%{ord(match[0]):02X}", cell.href)
    return f"[{_md(cell.text)}]({address})"


def _md_table(table: ReportTable) -> str:
    if not table.rows:
        return ""
    alignments = ["---:" if position in table.numeric else "---" for position in range(len(table.columns))]
    rows = [[_md(name) for name in table.columns], alignments]
    rows += [[_md_cell(cell) for cell in row.cells] for row in table.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def as_tex(pages: Pages, folder: str) -> tuple[str, dict[str, bytes]]:
    """Write a LaTeX document of charts and booktabs tables, for pdflatex.

    Parameters
    ----------
    pages : Pages
        The report.
    folder : str
        Folder of the charts, beside the document.

    Returns
    -------
    (str, dict of str to bytes)
        The document, and the charts as PNG by their names in the folder.
    """
    lines = [
        r"\documentclass[a4paper,10pt]{article}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage{graphicx,booktabs,longtable,array}",
        r"\usepackage[landscape,margin=15mm]{geometry}",
        r"\setlength{\parindent}{0pt}\setlength{\parskip}{4pt}\setlength{\tabcolsep}{3pt}\sloppy",
        r"\begin{document}",
        rf"{{\LARGE {escape(pages.title)}\par}}",
        escape(pages.question),
        rf"\textbf{{{escape(SIMULATED_REPORT)}}}" if pages.simulated else "",
    ]
    charts: dict[str, bytes] = {}
    for section in pages.sections:
        lines += [rf"\section*{{{escape(section.title)}}}", *(escape(sentence) + r"\par" for sentence in section.words)]
        for heading, figures, tables in section.blocks:
            if heading and (figures or tables):
                lines.append(rf"\subsection*{{{escape(heading)}}}")
            share = 1.0 if any(figure.phone for figure in figures) else 0.32  # a chart for phones: this one is wide
            for figure in figures:
                name = f"chart{len(charts) + 1}.png"
                charts[name] = svg_to_png(figure.svg)
                lines += _tex_figure(figure, f"{folder}/{name}", share)
            lines += [r"\par"] if figures else []
            for table in tables:
                lines += _tex_table(table)
    return "\n".join(line for line in [*lines, r"\end{document}"] if line) + "\n", charts


def _tex_figure(figure: Figure, path: str, share: float) -> list[str]:
    """Write a chart with a share of the line and its description beneath; small ones stand side by side."""
    return [
        rf"\begin{{minipage}}[t]{{{share:.2f}\linewidth}}\raggedright",
        rf"\includegraphics[width=\linewidth,height=0.75\textheight,keepaspectratio]{{{path}}}\par",
        rf"{{\scriptsize {escape(figure.alt)}\par}}",
        r"\end{minipage}\hspace{0.013\linewidth}",
    ]


def _tex_table(table: ReportTable) -> list[str]:
    note = [rf"{{\footnotesize {escape(table.note)}\par}}"] if table.note else []
    if not table.rows:
        return [*([rf"\textbf{{{escape(table.caption)}}}\par"] if table.caption else []), *note]
    alignments = [
        r"\raggedleft" if position in table.numeric else r"\raggedright" for position in range(len(table.columns))
    ]
    columns = "".join(
        rf">{{{alignment}\arraybackslash}}p{{{share:.3f}\linewidth}}"
        for alignment, share in zip(alignments, _shares(table), strict=True)
    )
    head = " & ".join(escape(name) for name in table.columns) + r" \\"
    rows = [_tex_row(row) for row in table.rows]
    # a caption inside the table is never left behind at the foot of a page
    full_width = rf"\multicolumn{{{len(table.columns)}}}{{@{{}}p{{0.95\linewidth}}}}"
    caption = rf"{full_width}{{\normalsize\bfseries {escape(table.caption)}}} \\[2pt]"
    top = [caption, r"\toprule", head, r"\midrule", r"\endfirsthead"] if table.caption else []
    body = [*top, r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot", *rows]
    return [r"{\scriptsize", rf"\begin{{longtable}}{{{columns}}}", *body, r"\end{longtable}}", *note]


def _tex_row(row: Row) -> str:
    cells = [escape(cell.text) for cell in row.cells]
    return " & ".join(rf"\textit{{{cell}}}" if row.muted and cell else cell for cell in cells) + r" \\"


def _shares(table: ReportTable) -> list[float]:
    """Compute each column's share of the line: its longest number or word, and more in proportion to its texts."""
    texts = [[name, *(row.cells[position].text for row in table.rows)] for position, name in enumerate(table.columns)]
    longest = [max(map(len, column)) for column in texts]
    words = [
        _LETTER_WIDTH
        * (
            longest[position]
            if position in table.numeric
            else max(len(word) for text in column for word in text.split())
        )
        for position, column in enumerate(texts)
    ]
    extra = [0 if position in table.numeric else min(_MOST_LETTERS, length) for position, length in enumerate(longest)]
    rest = max(0.0, _TEXT_SHARE - sum(words)) / max(1, sum(extra))
    squeezed = min(1.0, _TEXT_SHARE / sum(words))
    return [squeezed * word + rest * want for word, want in zip(words, extra, strict=True)]
