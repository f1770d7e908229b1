"""Tables of a report: cells are text that the template escapes, numbers are written once, here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from marketimpact.display.formats import missing, number, p_value, percent, text

__all__ = ["Cell", "Row", "Sheet", "missing", "number", "p_value", "percent", "text"]


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
