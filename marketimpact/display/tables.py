"""Frames as they are read: rounded, aligned, with their units and what to know beneath. Knows great-tables."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from marketimpact.display.formats import NOTHING, missing, number, p_value, percent, text

__all__ = ["Table", "lines_to_html"]

#: Rows that are shown; a table says so where there are more.
MOST_ROWS = 60
#: Columns that hold fractions of a price (log points or other units where returns are not simple).
FRACTIONS = {
    "alpha", "aar", "ar", "bhar", "caar", "car", "ci_high", "ci_low", "expected", "highest", "lowest", "mean_car",
    "median", "ret", "sigma", "true_car",
}  # fmt: skip
#: Sizes without a sign, in the unit of what they belong to.
SIZES = {"mde", "se", "sigma"}
#: Columns whose numbers bear no unit of their own, and the unit that goes into the heading.
UNITS = {
    "tau": "sessions", "n_days": "sessions", "n_obs": "sessions", "sar": "sd", "scar": "sd", "last": "tau",
    "first": "tau",
}  # fmt: skip
#: Width of a printed table that does not go to a terminal.
WIDTH = 200
GREY = "#5f6b76"


def lines_to_html(lines: Sequence[str]) -> str:
    """Lines for a notebook, with the indentation they have on a terminal."""
    said = escape("\n".join(lines))
    return f'<div style="white-space: pre-wrap; font-size: 13px; line-height: 1.4">{said}</div>'


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A frame with what a reader needs; a notebook shows it as a table, a terminal as text.

    Attributes
    ----------
    frame : polars.DataFrame
        The numbers, unrounded, every row and column.
    title : str
        What is shown.
    notes : tuple of str
        What stands beneath: units, what was assumed, what was left out.
    columns : tuple of str
        The columns that are shown, all where it is empty.
    muted : str
        A column of truth values; rows in which it is false are set back.
    footnotes : str
        A column of notes: numbers stand in the cells, and each clause is written once beneath.
    unit : str
        What returns are, as `Market.unit` names it.
    """

    frame: pl.DataFrame
    title: str = ""
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    muted: str = ""
    footnotes: str = ""
    unit: str = "simple"

    def gt(self) -> Any:
        """The table as great-tables' ``GT``, for a style of your own, or ``.as_latex()``."""
        from great_tables import GT, html, loc, style  # noqa: PLC0415  # a fifth of a second that most runs do not need

        headings, cells = self._headings(), self._cells()
        plain = [f"c{position}" for position in range(len(headings))]
        shown = pl.DataFrame(dict(zip(plain, cells, strict=True)), schema=dict.fromkeys(plain, pl.String))
        # a name made from what is shown: great-tables would draw one, and the same notebook would differ every time
        told = repr((self.title, headings, cells, self._beneath()))
        table = GT(shown, id="t" + hashlib.sha256(told.encode()).hexdigest()[:10])
        # a heading in double braces would be read as a unit, and not escaped
        table = table.cols_label(
            {name: html(escape(said).replace("{", "&#123;")) for name, said in zip(plain, headings, strict=True)}
        )
        for name, right in zip(plain, self._right(), strict=True):
            table = table.cols_align("right" if right else "left", columns=[name])
        table = table.tab_style(style.css("font-variant-numeric: tabular-nums; vertical-align: top;"), loc.body())
        if back := self._set_back():
            table = table.tab_style(style.text(color=GREY, style="italic"), loc.body(rows=back))
        if self.title:
            table = table.tab_header(title=self.title)
        for note in self._beneath():
            table = table.tab_source_note(note)
        return table.tab_options(
            table_font_size="13px", table_margin_left="0", heading_align="left", heading_title_font_size="14px",
            heading_title_font_weight="bold", column_labels_font_weight="bold", data_row_padding="3px",
            source_notes_padding="1px",
        )  # fmt: skip

    def _repr_html_(self) -> str:
        return str(self.gt().as_raw_html())

    def __repr__(self) -> str:
        """The table as text, nothing cut."""
        from rich import box  # noqa: PLC0415  # a table is not always printed
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table as Grid  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        console = Console(color_system=None, force_jupyter=False)
        if not console.is_terminal:
            console = Console(width=WIDTH, color_system=None, force_jupyter=False)
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading, right in zip(self._headings(), self._right(), strict=True):
            grid.add_column(Text(heading), justify="right" if right else "left", overflow="fold", no_wrap=right)
        for row in zip(*self._cells(), strict=True):
            grid.add_row(*map(Text, row))
        with console.capture() as captured:
            if self.title:
                console.print(Text(self.title))
            console.print(grid)
            for note in self._beneath():
                console.print(Text(note))
        return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())

    def _names(self) -> list[str]:
        return list(self.columns) or self.frame.columns

    def _headings(self) -> list[str]:
        return [f"{name} ({UNITS[name]})" if name in UNITS else name for name in self._names()]

    def _right(self) -> list[bool]:
        return [self.frame.schema[name].is_numeric() for name in self._names()]

    def _set_back(self) -> list[int]:
        return [n for n, holds in enumerate(self.frame[self.muted].head(MOST_ROWS)) if not holds] if self.muted else []

    def _cells(self) -> list[list[str]]:
        """Text of every column that is shown."""
        rows = self.frame.head(MOST_ROWS)
        return [
            list(self._footnotes()[0])
            if name == self.footnotes
            else list(map(_way(rows[name], self._fraction(name)), rows[name].to_list()))
            for name in self._names()
        ]

    def _footnotes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Numbers for the cells, and what they stand for: each clause of a note once, what holds for all rows last."""
        if self.footnotes not in self._names():
            return (), ()
        notes = [_clauses(note) for note in self.frame[self.footnotes].head(MOST_ROWS)]
        everywhere = [clause for clause in notes[0] if all(clause in each for each in notes)] if len(notes) > 1 else []
        said: dict[str, int] = {}
        marks = [sorted(said.setdefault(c, len(said) + 1) for c in each if c not in everywhere) for each in notes]
        cells = tuple(", ".join(map(str, numbers)) for numbers in marks)
        return cells, (*(f"{mark}: {clause}" for clause, mark in said.items()), *(f"all: {c}" for c in everywhere))

    def _fraction(self, name: str) -> bool:
        """Whether a column holds fractions: `se` and `mde` do beside abnormal returns, not beside statistics."""
        owner = self.frame.columns if name in ("se", "mde") else [name]
        return self.unit == "simple" and not FRACTIONS.isdisjoint(owner)

    def _beneath(self) -> tuple[str, ...]:
        cut = self.frame.height - MOST_ROWS
        more = f"{MOST_ROWS} rows of {self.frame.height:,} are shown; .frame holds them all." if cut > 0 else ""
        hidden = len(self.frame.columns) - len(self._names())
        columns = f"{hidden} more column{'s' if hidden > 1 else ''} in .frame." if hidden else ""
        odd = f"Returns are {self.unit}s, not fractions." if self.unit != "simple" else ""
        return tuple(
            note for note in (*self._footnotes()[1], *self.notes, odd, " ".join(filter(None, (more, columns)))) if note
        )


def _way(column: pl.Series, fraction: bool) -> Callable[[Any], str]:
    """How a column is written."""
    name = column.name
    if name in ("p", "p_value") or name.startswith("p_") or name.endswith("_p"):
        return p_value
    share = name.startswith(("share", "significant_")) and column.dtype.is_float()
    if fraction or share:
        return _size if share or name in SIZES else percent
    if column.dtype.is_integer():
        return lambda value: NOTHING if value is None else f"{value:,}".replace("-", "−")
    if column.dtype.is_numeric():
        decimals = _decimals(column)
        return lambda value: number(value, decimals)
    if isinstance(column.dtype, pl.List):
        return lambda value: NOTHING if missing(value) else ", ".join(map(text, value))
    return text


def _size(value: float | None) -> str:
    return percent(value).lstrip("+")


def _decimals(column: pl.Series) -> int:
    """As many that a value of usual size keeps three digits; none for whole numbers."""
    sizes = column.cast(pl.Float64).abs().fill_nan(None).drop_nulls()
    if (sizes == sizes.round()).all():
        return 0
    usual = sizes.filter(sizes.is_finite() & (sizes > 0)).median()
    return 2 if usual is None else min(max(2 - math.floor(math.log10(float(usual))), 0), 9)  # type: ignore[arg-type]


def _clauses(note: str | None) -> list[str]:
    return [clause.strip() for clause in (note or "").split(";") if clause.strip()]
