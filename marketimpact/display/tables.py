"""Tables for readers: rounded, aligned, with units and notes; made with great-tables."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from marketimpact.display import latex
from marketimpact.display.formats import MISSING_TEXT, is_missing, number, p_value, percent, text
from marketimpact.display.headings import heading, note_for_readers
from marketimpact.display.text_table import Column, fitting, text_lines
from marketimpact.errors import MarketImpactWarning, SpecificationError

__all__ = ["Table", "cut", "decimals", "lines_to_html"]

#: Rows shown; a note counts the others.
MOST_ROWS = 60
#: Columns that hold fractions of a price (log points or other units where returns are not simple).
FRACTIONS = {
    "alpha", "aar", "ar", "bhar", "caar", "car", "ci_high", "ci_high_filtered", "ci_low", "ci_low_filtered", "expected",
    "highest", "lowest", "mean_car", "median", "past_mean", "raw", "ret", "sigma", "slope", "true_car",
}  # fmt: skip
#: Columns without a sign, in the unit of the estimate they belong to.
SIZES = {"effect_mde", "mde", "mde_filtered", "se", "se_filtered", "sigma"}
#: Columns whose numbers show no unit, and the unit that goes into the heading.
UNITS = {
    "tau": "sessions", "n_days": "sessions", "n_obs": "sessions", "sar": "sd", "scar": "sd", "last": "tau",
    "first": "tau",
}  # fmt: skip
#: Columns of estimates, of their p-values, and of whether these are valid, for the stars of a LaTeX table.
P_VALUES = (
    ("car", "p_filtered", "valid_filtered"), ("car", "p", "valid_t"), ("effect", "p_value", "valid"),
    ("coef", "p_wild", ""), ("coef", "p_cluster", ""),
)  # fmt: skip
#: Levels of one, two and three stars.
STAR_LEVELS = (0.10, 0.05, 0.01)
#: A text longer than this that is the same in all rows of a LaTeX table becomes a note.
LONG_TEXT = 24
#: Width of a printed table that does not go to a terminal.
WIDTH = 80
GREY = "#5f6b76"


def cut(text: str, width: int) -> str:
    """Shorten a text to a number of characters, with an ellipsis where something is lost."""
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def lines_to_html(lines: Sequence[str]) -> str:
    """Convert lines of text to HTML for a notebook, keeping their indentation."""
    escaped = escape("\n".join(lines))
    style = "white-space: pre; overflow-x: auto; font: 12.5px/1.4 ui-monospace, Menlo, Consolas, monospace"
    return f'<div style="{style}">{escaped}</div>'


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A frame formatted for reading: an HTML table in a notebook, text on a terminal, LaTeX for a paper.

    Attributes
    ----------
    frame : polars.DataFrame
        The numbers, unrounded, every row and column.
    title : str
        Title of the table.
    notes : tuple of str
        Notes beneath: units, assumptions, rows left out.
    columns : tuple of str
        The columns shown, all where it is empty.
    muted : str
        A boolean column; rows in which it is false are muted.
    footnotes : str
        A column of notes: cells show numbers, and each clause is written once beneath.
    unit : str
        Unit of returns, as in `Market.unit`.
    shown : polars.DataFrame, optional
        Rows to show in place of the frame's, such as a selection with cells written as text.
    right : tuple of str
        Columns of text that are aligned to the right, as numbers are.
    dropped_first : tuple of str
        Columns that a narrow terminal or page does without, the first of them first.
    hints : tuple of str
        Notes on how to see more, which LaTeX leaves out.
    p_columns : tuple of (str, str, str)
        Columns shown, the columns of their p-values and of whether these are valid ("" for none), for stars; those
        that are known by name are found.
    rules : tuple of int
        Rows above which a line is drawn.
    """

    frame: pl.DataFrame
    title: str = ""
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    muted: str = ""
    footnotes: str = ""
    unit: str = "simple"
    shown: pl.DataFrame | None = None
    right: tuple[str, ...] = ()
    dropped_first: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    p_columns: tuple[tuple[str, str, str], ...] = ()
    rules: tuple[int, ...] = ()

    def gt(self) -> Any:
        """Convert to a ``GT`` of great-tables, for a style of your own."""
        from great_tables import GT, html, loc, style  # noqa: PLC0415  # a fifth of a second that most runs do not need

        headings, cells = self._headings(), self._cells()
        plain = [f"c{position}" for position in range(len(headings))]
        shown = pl.DataFrame(dict(zip(plain, cells, strict=True)), schema=dict.fromkeys(plain, pl.String))
        # an id hashed from the content: a random one would make the same notebook differ every time
        content = repr((self.title, headings, cells, self._notes_below()))
        table = GT(shown, id="t" + hashlib.sha256(content.encode()).hexdigest()[:10])
        # a heading in double braces would be read as a unit, and not escaped
        table = table.cols_label(
            {name: html(escape(words).replace("{", "&#123;")) for name, words in zip(plain, headings, strict=True)}
        )
        for name, right in zip(plain, self._right_aligned(), strict=True):
            table = table.cols_align("right" if right else "left", columns=[name])
        table = table.tab_style(style.css("font-variant-numeric: tabular-nums; vertical-align: top;"), loc.body())
        if muted := self._muted_rows():
            table = table.tab_style(style.text(color=GREY, style="italic"), loc.body(rows=muted))
        if self.rules:
            line = style.borders(sides="top", color=GREY, weight="1px")
            table = table.tab_style(line, loc.body(rows=list(self.rules)))
        if self.title:
            table = table.tab_header(title=self.title)
        for note in self._notes_below():
            table = table.tab_source_note(note)
        return table.tab_options(
            table_font_size="13px", table_margin_left="0", heading_align="left", heading_title_font_size="14px",
            heading_title_font_weight="bold", column_labels_font_weight="bold", data_row_padding="3px",
            source_notes_padding="1px",
        )  # fmt: skip

    def to_latex(
        self,
        *,
        caption: str | None = None,
        label: str = "",
        stars: bool = False,
        headings: Mapping[str, str] | None = None,
    ) -> str:
        r"""Write the table as LaTeX for a paper, which pdflatex compiles with its default fonts.

        Parameters
        ----------
        caption : str, optional
            In place of the title.
        label : str
            Name for ``\ref``, such as "tab:car".
        stars : bool
            Whether estimates with a p-value below 0.10, 0.05 and 0.01 have one, two and three stars; a note says so.
            None where the test is not valid.
        headings : dict of str to str, optional
            Column -> heading, where another one than that of the package is wanted.

        Returns
        -------
        str
            A ``table`` with booktabs and its notes, or a ``longtable`` over several pages where it has more than 45
            rows. A comment in the first line names the packages that it needs.

        Raises
        ------
        SpecificationError
            For stars where no column of p-values is known, a heading of a column that is not shown, and a label with
            signs that mean something to TeX.

        Warns
        -----
        MarketImpactWarning
            For columns that do not fit the page and are left out: about 76 characters in ``\footnotesize``; and for
            letters that pdflatex's default fonts lack, such as Chinese ones, which become question marks.
        """
        if not re.fullmatch(r"[\w:.-]*", label, flags=re.ASCII):
            raise SpecificationError(f"label={label!r}: write it with letters, digits and : . _ - alone, as 'tab:car'.")
        columns, repeated = _without_repeated_text(self._latex_columns(headings or {}))
        starred = self._p_values() if stars else []
        if stars and not starred:
            raise SpecificationError(
                "stars=True: no column of this table has p-values that are known to belong to it. Leave the stars out, "
                "or name the columns: dataclasses.replace(table, p_columns=((estimate, p, ''),))."
            )
        kept = fitting(columns, latex.line_width(len(starred)), first_dropped=self.dropped_first)
        shown = {column.name for column in kept}
        missing = [column.name for column in columns if column.name not in shown]
        if missing:
            warnings.warn(
                f"to_latex: left out {', '.join(missing)}, which do not fit the page. Choose columns with "
                "result.show(frame, columns=[...]), or give shorter headings={...}.",
                MarketImpactWarning,
                stacklevel=2,
            )
        starred = [each for each in starred if each[0] in shown]
        notes = [*repeated, *self._on_columns_shown(self._notes_for_readers(None), missing)]
        head = self.title if caption is None else caption
        notes = [*(note_for_readers(note, shown) for note in notes), *_stars_note(starred)]
        texts = [head, *notes, *(text for column in kept for text in (column.heading, *column.cells))]
        if lost := latex.lost_letters(texts):
            warnings.warn(
                f"to_latex: the default fonts of pdflatex lack {lost}, written as question marks. Write these words in "
                "Latin letters, or set the paper with xelatex and a font that has them.",
                MarketImpactWarning,
                stacklevel=2,
            )
        return latex.LatexTable(
            kept,
            head,
            label,
            notes=notes,
            stars={name: self._stars(p, valid) for name, p, valid in starred},
            rules=self.rules,
            muted=self._muted_rows(None),
        ).source()

    def _latex_columns(self, headings: Mapping[str, str]) -> list[Column]:
        """Format every column and all rows, with headings in words."""
        names = self._column_names()
        if unknown := [name for name in headings if name not in names]:
            raise SpecificationError(f"headings={unknown}: the table shows {', '.join(names)}.")
        words = [headings.get(name, heading(name)) for name in names]
        return [Column(*parts) for parts in zip(names, words, self._cells(None), self._right_aligned(), strict=True)]

    def _repr_html_(self) -> str:
        return str(self.gt().as_raw_html())

    def __repr__(self) -> str:
        """Show the table as text that fits the terminal, or 80 columns where there is none."""
        width = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
        names, cells, right = self._column_names(), self._cells(), self._right_aligned()
        columns = [Column(*parts) for parts in zip(names, self._headings(), cells, right, strict=True)]
        kept = fitting(columns, width, first_dropped=self.dropped_first)
        lines = textwrap.wrap(self.title, width) + ([""] if self.title else [])
        lines += text_lines(kept, width)
        missing = [name for name in names if name not in {column.name for column in kept}]
        source = ".frame" if self.shown is None else ".shown"
        notes = [f"Too wide for {width} columns, in {source}: {', '.join(missing)}."] if missing else []
        below = self._on_columns_shown(self._notes_below(), missing)
        return "\n".join([*lines, "", *(line for note in [*below, *notes] for line in textwrap.wrap(note, width))])

    def _column_names(self) -> list[str]:
        return list(self.columns) or self._rows.columns

    @property
    def _rows(self) -> pl.DataFrame:
        return self.frame if self.shown is None else self.shown

    def _headings(self) -> list[str]:
        return [f"{name} ({UNITS[name]})" if name in UNITS else name for name in self._column_names()]

    def _right_aligned(self) -> list[bool]:
        return [self._rows.schema[name].is_numeric() or name in self.right for name in self._column_names()]

    def _muted_rows(self, limit: int | None = MOST_ROWS) -> list[int]:
        return [n for n, valid in enumerate(self._rows[self.muted][:limit]) if not valid] if self.muted else []

    def _cells(self, limit: int | None = MOST_ROWS) -> list[list[str]]:
        """Format every column shown as text, up to a number of rows."""
        rows = self._rows[:limit]
        return [
            list(self._footnotes(limit)[0])
            if name == self.footnotes
            else list(map(_formatter(rows[name], self._fraction(name)), rows[name].to_list()))
            for name in self._column_names()
        ]

    def _footnotes(self, limit: int | None = MOST_ROWS) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Assign a number to each clause of the notes; give the numbers of the cells, and the clauses."""
        if self.footnotes not in self._column_names():
            return (), ()
        notes = [_clauses(note) for note in self._rows[self.footnotes][:limit]]
        everywhere = [clause for clause in notes[0] if all(clause in each for each in notes)] if len(notes) > 1 else []
        marks: dict[str, int] = {}
        numbers = [sorted(marks.setdefault(c, len(marks) + 1) for c in each if c not in everywhere) for each in notes]
        cells = tuple(", ".join(map(str, row)) for row in numbers)
        return cells, (*(f"{mark}: {clause}" for clause, mark in marks.items()), *(f"all: {c}" for c in everywhere))

    def _fraction(self, name: str) -> bool:
        """Check whether a column holds fractions: `se` and `mde` do beside abnormal returns, not beside statistics."""
        columns = self._rows.columns
        of_tests = "effect_mde" in columns  # `estimate`, `se` and `mde` are then in the unit of each test
        if name in ("effect", "effect_mde"):
            return self.unit == "simple" and of_tests
        beside = columns if name in ("se", "se_filtered", "mde", "mde_filtered") and not of_tests else [name]
        return self.unit == "simple" and not FRACTIONS.isdisjoint(beside)

    def _notes_below(self) -> tuple[str, ...]:
        cut = self._rows.height - MOST_ROWS
        more = f"{MOST_ROWS} rows of {self._rows.height:,} are shown; .frame holds them all." if cut > 0 else ""
        hidden = len(self.frame.columns) - len(self._column_names())
        columns = f"{hidden} more column{'s' if hidden > 1 else ''} in .frame." if hidden > 0 else ""
        if self.shown is not None:
            more = f"{cut} of {self._rows.height:,} rows are not shown; .shown has them all." if cut > 0 else ""
            columns = f".frame has all {self.frame.height} rows and {len(self.frame.columns)} columns."
        rest = " ".join(filter(None, (more, columns)))
        return (*self._notes_for_readers(), *self.hints, *([rest] if rest else []))

    def _notes_for_readers(self, limit: int | None = MOST_ROWS) -> tuple[str, ...]:
        """Return footnotes, notes and the unit of returns: what explains the numbers."""
        unit = f"Returns are {self.unit}s, not fractions." if self.unit != "simple" else ""
        return tuple(filter(None, (*self._footnotes(limit)[1], *self.notes, unit)))

    @staticmethod
    def _on_columns_shown(notes: Sequence[str], missing: Sequence[str]) -> list[str]:
        """Drop notes that begin with the name of a column that is not shown, and so explain nothing."""
        return [note for note in notes if note.partition(":")[0].split(", ")[0] not in missing]

    def _p_values(self) -> list[tuple[str, str, str]]:
        """Find columns shown that have p-values: the column, that of its p, and of whether p is valid, or ""."""
        names, rows = self._column_names(), self._rows.columns
        found = {each[0]: each for each in self.p_columns}
        for estimate, p, valid in P_VALUES:
            if estimate in names and p in rows:
                found.setdefault(estimate, (estimate, p, valid if valid in rows else ""))
        return list(found.values())

    def _stars(self, p: str, valid: str) -> list[str]:
        """Write the stars of every row; none where a p-value is missing or not valid."""
        is_valid = self._rows[valid] if valid else pl.repeat(value=True, n=self._rows.height, eager=True)
        return [
            "*" * sum(value < level for level in STAR_LEVELS) if keeps and not is_missing(value) else ""
            for value, keeps in zip(self._rows[p], is_valid, strict=True)
        ]


def _without_repeated_text(columns: Sequence[Column]) -> tuple[list[Column], list[str]]:
    """Turn columns with one long text in all rows into notes, and leave out those without any text."""
    kept, notes = [], []
    for column in columns:
        texts = set(column.cells)
        text = next(iter(texts)) if len(texts) == 1 and len(column.cells) > 1 and not column.numeric else None
        if text is None or 0 < len(text) <= LONG_TEXT:
            kept.append(column)
        elif text:
            notes.append(f"{column.heading}: {text}")
    return kept, notes


def _stars_note(starred: Sequence[tuple[str, str, str]]) -> list[str]:
    """Write the levels of the stars, of which p-values they are, and where there are none."""
    if not starred:
        return []
    known = {p for _, p, _ in P_VALUES}
    names = " or ".join(dict.fromkeys(heading(p) if p in known else "p" for _, p, _ in starred))
    levels = ", ".join(f"{'*' * (n + 1)} {names} < {level:.2f}" for n, level in enumerate(STAR_LEVELS))
    return [f"{levels}{', where p is valid' if any(valid for *_, valid in starred) else ''}."]


def _formatter(column: pl.Series, fraction: bool) -> Callable[[Any], str]:
    """Choose the function that formats a column's values."""
    name = column.name
    is_p = name in ("p", "p_value") or name.startswith("p_") or name.endswith("_p")
    if is_p and column.dtype.is_numeric():
        return p_value
    share = name.startswith(("share", "significant_")) and column.dtype.is_float()
    if fraction or share:
        return _unsigned_percent if share or name in SIZES else percent
    if column.dtype.is_integer():
        return lambda value: MISSING_TEXT if value is None else f"{value:,}".replace("-", "−")
    if column.dtype.is_numeric():
        places = decimals(column)
        return lambda value: number(value, places)
    if isinstance(column.dtype, pl.List):
        return lambda value: MISSING_TEXT if is_missing(value) else ", ".join(map(text, value))
    return text


def _unsigned_percent(value: float | None) -> str:
    return percent(value).lstrip("+")


def decimals(column: pl.Series) -> int:
    """Choose the decimals with which the median size shows three digits; 0 for whole numbers."""
    sizes = column.cast(pl.Float64).abs().fill_nan(None).drop_nulls()
    if (sizes == sizes.round()).all():
        return 0
    median = sizes.filter(sizes.is_finite() & (sizes > 0)).median()
    return 2 if median is None else min(max(2 - math.floor(math.log10(float(median))), 0), 9)  # type: ignore[arg-type]


def _clauses(note: str | None) -> list[str]:
    return [clause.strip() for clause in (note or "").split(";") if clause.strip()]
