"""Write text and tables as LaTeX that pdflatex compiles with its default fonts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from marketimpact.display.formats import clean_text
from marketimpact.display.text_table import GAP, Column, column_widths, heading_lines

__all__ = ["LatexTable", "escape", "line_width", "lost_letters"]

#: Characters of \footnotesize on a line of the article class, gaps between columns included.
WIDTH = 76
#: Characters that the stars of a column take.
STARS_WIDTH = 3
#: Rows that fit a page; longer tables are broken over pages.
MOST_ROWS_ON_A_PAGE = 45
#: Space on both sides of a column, and after a column with stars.
COLUMN_SPACE, STAR_SPACE = "4pt", "18pt"
_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", '"': "''",
    "−": "$-$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "²": "$^2$", "°": r"$^\circ$", "…": r"\dots{}",
    "–": "--", "“": "``", "”": "''", "«": "``", "»": "''", "„": ",,", "‘": "`", "’": "'",
    "†": r"\dag{}", "‡": r"\ddag{}",
    "Ð": "D", "ð": "d", "Đ": "D", "đ": "d", "Þ": "Th", "þ": "th", "Ħ": "H", "ħ": "h", "ĸ": "k", "Ŋ": "N", "ŋ": "n",
    "Ŧ": "T", "ŧ": "t",
}  # fmt: skip
#: Letters below U+0180 that the default fonts lack, and that are written without their accents.
_WITHOUT_ACCENT = "ĄąĘęĮįŲųĿŀŉſ"


def escape(text: str) -> str:
    r"""Escape text for TeX, on one line; a letter that pdflatex lacks loses its accent, or becomes a question mark.

    Examples
    --------
    >>> escape("−5% of p_wild & Ceňtrum 中")
    '$-$5\\% of p\\_wild \\& Ceňtrum ?'
    """
    flat = " ".join(clean_text(text).split())
    return "".join(_sign(sign) for sign in flat)


def _sign(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    if ord(sign) < 0x180 and sign not in _WITHOUT_ACCENT:
        return sign
    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return "".join(_SIGNS.get(letter, letter) for letter in plain) or "?"


def lost_letters(texts: Iterable[str]) -> str:
    """Return the letters of texts that `escape` makes question marks, each once, sorted."""
    return "".join(sorted({sign for text in texts for sign in clean_text(text) if sign != "?" and _sign(sign) == "?"}))


def line_width(n_starred: int) -> int:
    """Count the characters on a line of a table, of which some columns have stars."""
    return WIDTH - STARS_WIDTH * n_starred


@dataclass(frozen=True, slots=True)
class LatexTable:
    """A table as text, to be written as LaTeX.

    Attributes
    ----------
    columns : sequence of Column
        The columns, with all cells as text.
    caption, label : str
        Caption, and the name by which the text refers to it.
    notes : sequence of str
        Notes beneath.
    stars : mapping of str to sequence of str
        Column -> the stars of each of its cells, for columns that have any.
    rules : sequence of int
        Rows above which a line is drawn.
    muted : sequence of int
        Rows in italics.
    """

    columns: Sequence[Column]
    caption: str = ""
    label: str = ""
    notes: Sequence[str] = ()
    stars: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rules: Sequence[int] = ()
    muted: Sequence[int] = ()

    def source(self) -> str:
        """Write the source: a floating table, or one that is broken over pages where it is long."""
        rows = self._rows()
        text = self._paged(rows) if len(rows) > MOST_ROWS_ON_A_PAGE else self._floating(rows)
        return "\n".join(line for line in text if line) + "\n"

    def _floating(self, rows: list[str]) -> list[str]:
        return [
            f"% needs {_packages('booktabs', *self._array())}",
            r"\begin{table}[tbp]",
            r"\centering",
            self._caption(),
            rf"\footnotesize\setlength{{\tabcolsep}}{{{COLUMN_SPACE}}}",
            rf"\begin{{tabular}}{{{self._specification()}}}",
            r"\toprule",
            *self._head(),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            *self._notes(),
            r"\end{table}",
        ]

    def _paged(self, rows: list[str]) -> list[str]:
        caption = self._caption()
        return [
            f"% needs {_packages('booktabs', 'longtable', *self._array())}",
            rf"{{\footnotesize\setlength{{\tabcolsep}}{{{COLUMN_SPACE}}}",
            rf"\begin{{longtable}}{{{self._specification()}}}",
            *([caption + r" \\"] if caption else []),
            r"\toprule",
            *self._head(),
            r"\midrule\endfirsthead",
            r"\toprule",
            *self._head(),
            r"\midrule\endhead",
            r"\bottomrule\endfoot",
            *rows,
            r"\end{longtable}",
            *self._notes(),
            "}",
        ]

    def _caption(self) -> str:
        label = rf"\label{{{self.label}}}" if self.label else ""
        return rf"\caption{{{escape(self.caption)}}}{label}" if self.caption or label else ""

    def _array(self) -> list[str]:
        return ["array"] if any(self._wrapped()) else []

    def _widths(self) -> list[int]:
        return column_widths(self.columns, line_width(len(self.stars)))

    def _wrapped(self) -> list[int]:
        """Compute the width in characters of every column whose cells are broken over lines, 0 of the others."""
        widths = self._widths()
        longest = [max(map(len, column.cells), default=0) for column in self.columns]
        return [
            0 if column.numeric or length <= width else width
            for column, width, length in zip(self.columns, widths, longest, strict=True)
        ]

    def _specification(self) -> str:
        """Write the alignment of every column; text that is broken over lines has a share of the line."""
        parts = []
        for column, width in zip(self.columns, self._wrapped(), strict=True):
            space = rf"@{{\hspace{{{STAR_SPACE}}}}}" if column.name in self.stars else ""
            paragraph = rf">{{\raggedright\arraybackslash}}p{{{width / (WIDTH + GAP):.3f}\linewidth}}"
            parts.append(("r" if column.numeric else paragraph if width else "l") + space)
        return "".join(parts)

    def _head(self) -> list[str]:
        """Write the headings, broken over rows where they do not all fit one, the last row full."""
        widths = self._widths()
        whole = [max(width, len(column.heading)) for column, width in zip(self.columns, widths, strict=True)]
        fits = sum(whole) + GAP * (len(whole) - 1) <= line_width(len(self.stars))
        limits = whole if fits else widths
        lines = [heading_lines(column.heading, limit) for column, limit in zip(self.columns, limits, strict=True)]
        height = max(map(len, lines), default=0)
        padded = [[""] * (height - len(each)) + each for each in lines]
        return [_row([escape(line) for line in row]) for row in zip(*padded, strict=True)]

    def _rows(self) -> list[str]:
        cells = [self._cells(column, width > 0) for column, width in zip(self.columns, self._wrapped(), strict=True)]
        rows = []
        for number, row in enumerate(zip(*cells, strict=True)):
            shown = [rf"\textit{{{cell}}}" if cell else "" for cell in row] if number in self.muted else list(row)
            rows.append((r"\midrule" + "\n" if number in self.rules else "") + _row(shown))
        return rows

    def _cells(self, column: Column, is_wrapped: bool) -> list[str]:
        """Escape the cells of a column; stars and closing brackets stand to the right of the aligned digits.

        Where cells are broken over lines, names with underscores may be broken too.
        """
        cells = [escape(cell) for cell in column.cells]
        if is_wrapped:
            cells = [cell.replace(r"\_", r"\_\allowbreak{}") for cell in cells]
        if column.numeric:
            cells = [re.sub(r"^((?:\(|\{\[\}).*)(\)|\{\]\})$", r"\1\\rlap{\2}", cell) for cell in cells]
        stars = self.stars.get(column.name)
        if stars is None:
            return cells
        return [rf"{cell}\rlap{{$^{{{star}}}$}}" if star else cell for cell, star in zip(cells, stars, strict=True)]

    def _notes(self) -> list[str]:
        if not self.notes:
            return []
        return [
            r"\par\smallskip\noindent",
            r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
            r"\emph{Notes:} " + "\n".join(escape(note) for note in self.notes),
            r"\end{minipage}",
        ]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _packages(*names: str) -> str:
    return rf"\usepackage{{{','.join(names)}}}"
