"""Tables of a report: cells are text that the template escapes, numbers are written once, here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

__all__ = ["Cell", "Row", "Sheet", "number", "p_value", "percent", "text"]

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, and a link where there is one."""

    text: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row; a muted row is set back, and says why in a cell of its own."""

    cells: tuple[Cell, ...]
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table with its columns, the positions of numeric ones, and a note under it; a folded one opens on a click."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    numeric: frozenset[int] = field(default_factory=frozenset)
    caption: str = ""
    note: str = ""
    folded: bool = False

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        numeric: Sequence[int] = (),
        muted: Sequence[bool] | None = None,
        caption: str = "",
        note: str = "",
        folded: bool = False,
    ) -> Sheet:
        """Make a sheet of plain values."""
        backs = muted if muted is not None else [False] * len(rows)
        made = tuple(
            Row(tuple(value if isinstance(value, Cell) else Cell(text(value)) for value in row), muted=back)
            for row, back in zip(rows, backs, strict=True)
        )
        return cls(tuple(columns), made, frozenset(numeric), caption, note, folded)


def missing(value: Any) -> bool:
    """Whether there is nothing to write."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(value: float | None) -> str:
    """A fraction as a signed percentage with two decimals."""
    if missing(value):
        return NOTHING
    written = f"{value:+.2%}".replace("-", "−")
    return "0.00%" if written[1:] == "0.00%" else written


def number(value: float | None, decimals: int = 2) -> str:
    """A number with fixed decimals."""
    return NOTHING if missing(value) else f"{value:.{decimals}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value with three decimals."""
    if missing(value):
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"  # type: ignore[operator]


def text(value: object) -> str:
    """Any other value."""
    if missing(value):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
