"""Tables as text: columns that fit a width, texts wrapped, numbers never broken."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Column", "column_widths", "fitting", "heading_lines", "text_lines"]

#: Narrowest and first width of a column of text; more only where the line has room.
NARROW, FIRST = 10, 24
GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, heading, cells, and whether it holds numbers, which are aligned right and never broken."""

    name: str
    heading: str
    cells: list[str]
    numeric: bool

    @property
    def _natural(self) -> int:
        return max((len(cell) for cell in self.cells), default=0)

    @property
    def least(self) -> int:
        """Smallest width in which the column can be read."""
        heading = max(map(len, _pieces(self.heading)), default=0)
        return max(self._natural, heading) if self.numeric else max(heading, min(self._natural, NARROW))

    @property
    def most(self) -> int:
        """Width in which nothing is wrapped."""
        return max(self.least, self._natural)


def fitting(columns: Sequence[Column], width: int, *, first_dropped: Sequence[str] = ()) -> list[Column]:
    """Drop columns until the others fit: those named, then from the end; two always stay."""
    kept = list(columns)
    order = [*first_dropped, *(column.name for column in reversed(columns) if column.name not in first_dropped)]
    for name in order:
        if len(kept) <= 2 or sum(column.least + GAP for column in kept) - GAP <= width:
            break
        kept = [column for column in kept if column.name != name]
    return kept


def text_lines(columns: Sequence[Column], width: int) -> list[str]:
    """Write columns as lines: headings, a rule, and the rows."""
    if not columns:
        return []
    widths = column_widths(columns, width)
    heads = [heading_lines(column.heading, size) for column, size in zip(columns, widths, strict=True)]
    lines = _rows(heads, columns, widths, bottom=True)
    lines.append("─" * min(width, sum(widths) + GAP * (len(widths) - 1)))
    for row in zip(*(column.cells for column in columns), strict=True):
        wrapped = [
            [cell] if column.numeric else textwrap.wrap(cell, size) or [""]
            for cell, column, size in zip(row, columns, widths, strict=True)
        ]
        lines += _rows(wrapped, columns, widths, bottom=False)
    return lines


def column_widths(columns: Sequence[Column], width: int) -> list[int]:
    """Compute the width of every column: columns of text share what numbers leave of the line.

    A column of text gets up to `FIRST` characters at first, then up to its longest cell.
    """
    widths = [column.least for column in columns]
    for limit in (FIRST, width):
        for n, column in enumerate(columns):
            left = width - sum(widths) - GAP * (len(widths) - 1)
            widths[n] += max(0, min(left, min(limit, column.most) - widths[n]))
    return widths


def _rows(cells: Sequence[list[str]], columns: Sequence[Column], widths: Sequence[int], *, bottom: bool) -> list[str]:
    height = max(map(len, cells))
    padded = [
        [""] * (height - len(lines)) + lines if bottom else lines + [""] * (height - len(lines)) for lines in cells
    ]
    return [
        (" " * GAP)
        .join(
            f"{text:>{size}}" if column.numeric else f"{text:<{size}}"
            for text, column, size in zip(parts, columns, widths, strict=True)
        )
        .rstrip()
        for parts in zip(*padded, strict=True)
    ]


def _pieces(heading: str) -> list[str]:
    """Divide a heading where it may be broken: at spaces and after underscores."""
    return [piece for piece in re.split(r" |(?<=_)", heading) if piece]


def heading_lines(heading: str, width: int) -> list[str]:
    """Break a heading into lines of a width, at spaces and after underscores."""
    lines = [""]
    for word in heading.split():
        for n, piece in enumerate(_pieces(word)):
            joined = f"{lines[-1]} {piece}" if n == 0 and lines[-1] else f"{lines[-1]}{piece}"
            if len(joined) <= width or not lines[-1]:
                lines[-1] = joined
            else:
                lines.append(piece)
    return lines
