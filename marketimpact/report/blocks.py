"""What a report is built of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from marketimpact.display import charts
from marketimpact.display.formats import text

__all__ = ["Section"]


@dataclass(frozen=True, slots=True)
class Section:
    """One block of a report: a heading, then words, charts and tables; the hint is for screens only."""

    id: str
    title: str
    words: tuple[str, ...] = ()
    blocks: tuple[tuple[str, tuple[Figure, ...], tuple[ReportTable, ...]], ...] = field(default_factory=tuple)
    hint: str = ""


#: Pixels of a chart that still reads when it is as wide as a phone.
PHONE = 480


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart as SVG, what it shows for those who cannot see it, and its Vega-Lite for browsers with scripts."""

    svg: str
    alt: str
    spec: str

    @property
    def wide(self) -> bool:
        """Whether a phone must scroll it sideways, since shrunk to its width no label can be read."""
        found = re.match(r'<svg[^>]* width="([\d.]+)"', self.svg)
        return found is not None and float(found[1]) > PHONE

    @classmethod
    def of(cls, chart: Any, alt: str) -> Figure:
        """Draw a chart."""
        svg, spec = charts.drawn(chart)
        return cls(svg, alt, spec)


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
class ReportTable:
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
    ) -> ReportTable:
        """Make a sheet of plain values."""
        backs = muted if muted is not None else [False] * len(rows)
        made = tuple(
            Row(tuple(value if isinstance(value, Cell) else Cell(text(value)) for value in row), muted=back)
            for row, back in zip(rows, backs, strict=True)
        )
        return cls(tuple(columns), made, frozenset(numeric), caption, note, folded)
