"""Tables for readers: rounded, aligned, with units and notes; made with great-tables."""

from __future__ import annotations

import hashlib
import math
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from marketimpact.display.formats import MISSING_TEXT, is_missing, number, p_value, percent, text
from marketimpact.display.text_table import Column, fitting, text_lines

__all__ = ["Table", "cut", "lines_to_html"]

#: Rows shown; a note counts the others.
MOST_ROWS = 60
#: Columns that hold fractions of a price (log points or other units where returns are not simple).
FRACTIONS = {
    "alpha", "aar", "ar", "bhar", "caar", "car", "ci_high", "ci_high_filtered", "ci_low", "ci_low_filtered", "expected",
    "highest", "lowest", "mean_car", "median", "ret", "sigma", "true_car",
}  # fmt: skip
#: Columns without a sign, in the unit of the estimate they belong to.
SIZES = {"effect_mde", "mde", "se", "se_filtered", "sigma"}
#: Columns whose numbers show no unit, and the unit that goes into the heading.
UNITS = {
    "tau": "sessions", "n_days": "sessions", "n_obs": "sessions", "sar": "sd", "scar": "sd", "last": "tau",
    "first": "tau",
}  # fmt: skip
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
    """A frame formatted for reading: an HTML table in a notebook, text on a terminal.

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

    def gt(self) -> Any:
        """Convert to a ``GT`` of great-tables, for a style of your own, or ``.as_latex()``."""
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
        if self.title:
            table = table.tab_header(title=self.title)
        for note in self._notes_below():
            table = table.tab_source_note(note)
        return table.tab_options(
            table_font_size="13px", table_margin_left="0", heading_align="left", heading_title_font_size="14px",
            heading_title_font_weight="bold", column_labels_font_weight="bold", data_row_padding="3px",
            source_notes_padding="1px",
        )  # fmt: skip

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
        # a note on columns that are not shown would explain nothing
        below = [note for note in self._notes_below() if note.partition(":")[0].split(", ")[0] not in missing]
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

    def _muted_rows(self) -> list[int]:
        return [n for n, valid in enumerate(self._rows[self.muted].head(MOST_ROWS)) if not valid] if self.muted else []

    def _cells(self) -> list[list[str]]:
        """Format every column shown as text."""
        rows = self._rows.head(MOST_ROWS)
        return [
            list(self._footnotes()[0])
            if name == self.footnotes
            else list(map(_formatter(rows[name], self._fraction(name)), rows[name].to_list()))
            for name in self._column_names()
        ]

    def _footnotes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Assign a number to each clause of the notes; give the numbers of the cells, and the clauses."""
        if self.footnotes not in self._column_names():
            return (), ()
        notes = [_clauses(note) for note in self._rows[self.footnotes].head(MOST_ROWS)]
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
        beside = columns if name in ("se", "se_filtered", "mde") and not of_tests else [name]
        return self.unit == "simple" and not FRACTIONS.isdisjoint(beside)

    def _notes_below(self) -> tuple[str, ...]:
        cut = self._rows.height - MOST_ROWS
        more = f"{MOST_ROWS} rows of {self._rows.height:,} are shown; .frame holds them all." if cut > 0 else ""
        hidden = len(self.frame.columns) - len(self._column_names())
        columns = f"{hidden} more column{'s' if hidden > 1 else ''} in .frame." if hidden > 0 else ""
        if self.shown is not None:
            more = f"{cut} of {self._rows.height:,} rows are not shown; .shown has them all." if cut > 0 else ""
            columns = f".frame has all {self.frame.height} rows and {len(self.frame.columns)} columns."
        unit = f"Returns are {self.unit}s, not fractions." if self.unit != "simple" else ""
        return tuple(
            note for note in (*self._footnotes()[1], *self.notes, unit, " ".join(filter(None, (more, columns)))) if note
        )


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
        decimals = _decimals(column)
        return lambda value: number(value, decimals)
    if isinstance(column.dtype, pl.List):
        return lambda value: MISSING_TEXT if is_missing(value) else ", ".join(map(text, value))
    return text


def _unsigned_percent(value: float | None) -> str:
    return percent(value).lstrip("+")


def _decimals(column: pl.Series) -> int:
    """Choose the decimals with which the median size shows three digits; 0 for whole numbers."""
    sizes = column.cast(pl.Float64).abs().fill_nan(None).drop_nulls()
    if (sizes == sizes.round()).all():
        return 0
    median = sizes.filter(sizes.is_finite() & (sizes > 0)).median()
    return 2 if median is None else min(max(2 - math.floor(math.log10(float(median))), 0), 9)  # type: ignore[arg-type]


def _clauses(note: str | None) -> list[str]:
    return [clause.strip() for clause in (note or "").split(";") if clause.strip()]
