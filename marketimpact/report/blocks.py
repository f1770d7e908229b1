"""Building blocks of a report: sections, figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from marketimpact.display import charts
from marketimpact.display.formats import text

__all__ = ["Section"]


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a report: heading, paragraphs, blocks of charts and tables.

    The hint is shown on screens only. Where `fold` has a text, a click on it opens the blocks.
    """

    id: str
    title: str
    words: tuple[str, ...] = ()
    blocks: tuple[tuple[str, tuple[Figure, ...], tuple[ReportTable, ...]], ...] = field(default_factory=tuple)
    hint: str = ""
    fold: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart as SVG, its alternative text, its Vega-Lite for browsers with scripts, and its SVG for narrow screens.

    A chart that is narrow itself has none of its own for narrow screens.
    """

    svg: str
    alt: str
    spec: str
    phone: str = ""

    @classmethod
    def of(cls, chart: Any, alt: str, phone: Any = None) -> Figure:
        """Draw a chart, and another of the same numbers for narrow screens."""
        svg, spec = charts.svg_and_spec(chart)
        return cls(svg, alt, spec, charts.to_svg(phone) if phone is not None else "")


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
    """A table: columns, positions of the numeric ones, rows, caption and note; a folded one opens on a click.

    `kind` tells tables of one section apart.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    numeric: frozenset[int] = field(default_factory=frozenset)
    caption: str = ""
    note: str = ""
    folded: bool = False
    kind: str = ""

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
        kind: str = "",
    ) -> ReportTable:
        """Make a table of plain values."""
        is_muted = muted if muted is not None else [False] * len(rows)
        table_rows = tuple(
            Row(tuple(value if isinstance(value, Cell) else Cell(text(value)) for value in row), muted=mute)
            for row, mute in zip(rows, is_muted, strict=True)
        )
        return cls(tuple(columns), table_rows, frozenset(numeric), caption, note, folded, kind)
