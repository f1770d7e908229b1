"""Building blocks of a report: sections, figures and tables."""

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
    """A section of a report: heading, paragraphs, blocks of charts and tables.

    The hint is shown on screens only; blocks of a folded section open on a click.
    """

    id: str
    title: str
    words: tuple[str, ...] = ()
    blocks: tuple[tuple[str, tuple[Figure, ...], tuple[ReportTable, ...]], ...] = field(default_factory=tuple)
    hint: str = ""
    folded: bool = False


#: Widest chart, in pixels, whose labels can be read on a phone.
PHONE_WIDTH = 480


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart as SVG, its alternative text, and its Vega-Lite for browsers with scripts."""

    svg: str
    alt: str
    spec: str

    @property
    def wide(self) -> bool:
        """Check whether the chart is too wide for a phone, which then scrolls it sideways."""
        width = re.match(r'<svg[^>]* width="([\d.]+)"', self.svg)
        return width is not None and float(width[1]) > PHONE_WIDTH

    @classmethod
    def of(cls, chart: Any, alt: str) -> Figure:
        """Draw a chart."""
        svg, spec = charts.svg_and_spec(chart)
        return cls(svg, alt, spec)


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell: its text, and an optional link."""

    text: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A table row; a muted row is grey, and a cell of it says why."""

    cells: tuple[Cell, ...]
    muted: bool = False


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table: columns, positions of the numeric ones, rows, caption and note; a folded one opens on a click."""

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
        """Make a table of plain values."""
        is_muted = muted if muted is not None else [False] * len(rows)
        table_rows = tuple(
            Row(tuple(value if isinstance(value, Cell) else Cell(text(value)) for value in row), muted=mute)
            for row, mute in zip(rows, is_muted, strict=True)
        )
        return cls(tuple(columns), table_rows, frozenset(numeric), caption, note, folded)
