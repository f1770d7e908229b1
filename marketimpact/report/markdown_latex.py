"""A report as Markdown and as LaTeX with booktabs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from marketimpact.display.formats import SIMULATED_REPORT, clean_text
from marketimpact.report.blocks import Cell, ReportTable, Row, Section

__all__ = ["Pages", "as_markdown", "as_tex"]

_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "−": r"$-$", "–": "--", "“": "``", "”": "''", "‘": "`", "’": "'",
    "†": r"\dag{}", "‡": r"\ddag{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}", "[": "{[}", "]": "{]}",
}  # fmt: skip
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
            lines += [f"*Chart in the HTML and PDF report: {_md(figure.alt)}*" for figure in figures]
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


def as_tex(pages: Pages) -> str:
    """Write a LaTeX document of booktabs tables, for pdflatex, without the charts."""
    lines = [
        r"\documentclass[a4paper,10pt]{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage{textcomp,booktabs,longtable,array}",
        r"\usepackage[landscape,margin=15mm]{geometry}",
        r"\setlength{\parindent}{0pt}\setlength{\parskip}{4pt}\setlength{\tabcolsep}{3pt}\sloppy",
        r"\begin{document}",
        rf"{{\LARGE {_tex(pages.title)}\par}}",
        _tex(pages.question),
        rf"\textbf{{{_tex(SIMULATED_REPORT)}}}" if pages.simulated else "",
    ]
    for section in pages.sections:
        lines += [rf"\section*{{{_tex(section.title)}}}", *(_tex(sentence) + r"\par" for sentence in section.words)]
        for heading, _, tables in section.blocks:
            if tables and heading:
                lines.append(rf"\subsection*{{{_tex(heading)}}}")
            for table in tables:
                lines += _tex_table(table)
    return "\n".join(line for line in [*lines, r"\end{document}"] if line) + "\n"


def _tex(text: str) -> str:
    """Escape text for TeX; letters that pdflatex lacks become a question mark."""
    flat = " ".join(clean_text(text).split())
    return "".join(_TEX.get(sign, sign if ord(sign) < 0x180 else "?") for sign in flat)


def _tex_table(table: ReportTable) -> list[str]:
    note = [rf"{{\footnotesize {_tex(table.note)}\par}}"] if table.note else []
    if not table.rows:
        return [*([rf"\textbf{{{_tex(table.caption)}}}\par"] if table.caption else []), *note]
    alignments = [
        r"\raggedleft" if position in table.numeric else r"\raggedright" for position in range(len(table.columns))
    ]
    columns = "".join(
        rf">{{{alignment}\arraybackslash}}p{{{share:.3f}\linewidth}}"
        for alignment, share in zip(alignments, _shares(table), strict=True)
    )
    head = " & ".join(_tex(name) for name in table.columns) + r" \\"
    rows = [_tex_row(row) for row in table.rows]
    # a caption inside the table is never left behind at the foot of a page
    full_width = rf"\multicolumn{{{len(table.columns)}}}{{@{{}}p{{0.95\linewidth}}}}"
    caption = rf"{full_width}{{\normalsize\bfseries {_tex(table.caption)}}} \\[2pt]"
    top = [caption, r"\toprule", head, r"\midrule", r"\endfirsthead"] if table.caption else []
    body = [*top, r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot", *rows]
    return [r"{\scriptsize", rf"\begin{{longtable}}{{{columns}}}", *body, r"\end{longtable}}", *note]


def _tex_row(row: Row) -> str:
    cells = [_tex(cell.text) for cell in row.cells]
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
