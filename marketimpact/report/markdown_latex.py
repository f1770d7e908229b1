"""A report as Markdown and as LaTeX with booktabs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from marketimpact.report.blocks import Cell, ReportTable, Row, Section

__all__ = ["SIMULATED", "Pages", "as_markdown", "as_tex"]

SIMULATED = (
    "SIMULATED PRICES. The symbols, calendars and announcements are real, the prices are not: these numbers say "
    "nothing about the firms."
)
_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "−": r"$-$", "–": "--", "“": "``", "”": "''", "‘": "`", "’": "'",
    "†": r"\dag{}", "‡": r"\ddag{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}", "[": "{[}", "]": "{]}",
}  # fmt: skip
#: Share of the line that all columns of a LaTeX table have together; the rest is space between them.
_ROOM = 0.86
#: Width of a letter as a share of the line, on paper across.
_LETTER = 0.006
#: Letters beyond which a text asks for no more room.
_MOST = 120


@dataclass(frozen=True, slots=True)
class Pages:
    """What every format tells: the same words and tables."""

    title: str
    question: str
    simulated: bool
    summary: list[tuple[str, list[str]]]
    caveats: list[str]
    sections: list[Section]


def as_markdown(pages: Pages) -> str:
    """GitHub-flavoured Markdown; text from outside stays text."""
    lines = [f"# {_md(pages.title)}", _md(pages.question), f"**{_md(SIMULATED)}**" if pages.simulated else ""]
    lines.append("## In short")
    for headline, sentences in pages.summary:
        lines += [f"### {_md(headline)}", "\n".join(f"- {_md(sentence)}" for sentence in sentences)]
    lines += [_md(caveat) for caveat in pages.caveats]
    for section in pages.sections:
        lines += [f"## {_md(section.title)}", *(_md(sentence) for sentence in section.words)]
        for heading, figures, sheets in section.blocks:
            lines.append(f"### {_md(heading)}" if heading else "")
            lines += [f"*Chart in the HTML and PDF report: {_md(figure.alt)}*" for figure in figures]
            for sheet in sheets:
                lines += [f"**{_md(sheet.caption)}**" if sheet.caption else "", _md_table(sheet), _md(sheet.note)]
    return "\n\n".join(line for line in lines if line) + "\n"


def _md(text: str) -> str:
    """Text without Markdown's own signs, on one line."""
    flat = " ".join(text.split())
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", flat)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _md_cell(cell: Cell) -> str:
    if cell.href is None:
        return _md(cell.text)
    address = re.sub(r"[\s<>()|]", lambda found: f"%{ord(found[0]):02X}", cell.href)
    return f"[{_md(cell.text)}]({address})"


def _md_table(sheet: ReportTable) -> str:
    if not sheet.rows:
        return ""
    rules = ["---:" if at in sheet.numeric else "---" for at in range(len(sheet.columns))]
    rows = [[_md(name) for name in sheet.columns], rules]
    rows += [[_md_cell(cell) for cell in row.cells] for row in sheet.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def as_tex(pages: Pages) -> str:
    """A LaTeX document of booktabs tables, for pdflatex; charts are named, not drawn."""
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
        rf"\textbf{{{_tex(SIMULATED)}}}" if pages.simulated else "",
        r"\section*{In short}",
    ]
    for headline, sentences in pages.summary:
        lines += [rf"\subsection*{{{_tex(headline)}}}", r"\begin{itemize}"]
        lines += [rf"\item {_tex(sentence)}" for sentence in sentences] + [r"\end{itemize}"]
    lines += [_tex(caveat) + r"\par" for caveat in pages.caveats]
    for section in pages.sections:
        lines += [rf"\section*{{{_tex(section.title)}}}", *(_tex(sentence) + r"\par" for sentence in section.words)]
        for heading, _, sheets in section.blocks:
            if sheets and heading:
                lines.append(rf"\subsection*{{{_tex(heading)}}}")
            for sheet in sheets:
                lines += _tex_table(sheet)
    return "\n".join(line for line in [*lines, r"\end{document}"] if line) + "\n"


def _tex(text: str) -> str:
    """Text without TeX's own signs; letters that pdflatex does not know become a question mark."""
    flat = " ".join(text.split())
    return "".join(_TEX.get(sign, sign if ord(sign) < 0x180 else "?") for sign in flat)


def _tex_table(sheet: ReportTable) -> list[str]:
    note = [rf"{{\footnotesize {_tex(sheet.note)}\par}}"] if sheet.note else []
    if not sheet.rows:
        return [*([rf"\textbf{{{_tex(sheet.caption)}}}\par"] if sheet.caption else []), *note]
    sides = [r"\raggedleft" if at in sheet.numeric else r"\raggedright" for at in range(len(sheet.columns))]
    kinds = "".join(
        rf">{{{side}\arraybackslash}}p{{{share:.3f}\linewidth}}"
        for side, share in zip(sides, _shares(sheet), strict=True)
    )
    head = " & ".join(_tex(name) for name in sheet.columns) + r" \\"
    rows = [_tex_row(row) for row in sheet.rows]
    # a caption inside the table is never left behind at the foot of a page
    across = rf"\multicolumn{{{len(sheet.columns)}}}{{@{{}}p{{0.95\linewidth}}}}"
    caption = rf"{across}{{\normalsize\bfseries {_tex(sheet.caption)}}} \\[2pt]"
    top = [caption, r"\toprule", head, r"\midrule", r"\endfirsthead"] if sheet.caption else []
    body = [*top, r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot", *rows]
    return [r"{\scriptsize", rf"\begin{{longtable}}{{{kinds}}}", *body, r"\end{longtable}}", *note]


def _tex_row(row: Row) -> str:
    cells = [_tex(cell.text) for cell in row.cells]
    return " & ".join(rf"\textit{{{cell}}}" if row.muted and cell else cell for cell in cells) + r" \\"


def _shares(sheet: ReportTable) -> list[float]:
    """Share of the line for each column: room for its longest number or word, and of the rest as its texts are long."""
    texts = [[name, *(row.cells[at].text for row in sheet.rows)] for at, name in enumerate(sheet.columns)]
    longest = [max(map(len, column)) for column in texts]
    words = [
        _LETTER * (longest[at] if at in sheet.numeric else max(len(word) for text in column for word in text.split()))
        for at, column in enumerate(texts)
    ]
    wants = [0 if at in sheet.numeric else min(_MOST, long) for at, long in enumerate(longest)]
    rest = max(0.0, _ROOM - sum(words)) / max(1, sum(wants))
    squeezed = min(1.0, _ROOM / sum(words))
    return [squeezed * word + rest * want for word, want in zip(words, wants, strict=True)]
