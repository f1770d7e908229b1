"""The table of the brief: mean abnormal returns by group and announcement, shaded by size."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from marketimpact.display.formats import short_percent, window_name
from marketimpact.report.blocks import ReportTable
from marketimpact.report.content import ALL_EVENTS, Window

__all__ = ["SizeTable", "size_table"]

#: Opacity of the largest value's shade: text keeps its contrast.
DARKEST = 0.5
#: With more announcements than this they become rows, and groups columns.
MOST_COLUMNS = 4
#: Rows, and groups that are columns, at most: those with the largest means are kept.
MOST_ROWS, MOST_GROUPS = 12, 4


@dataclass(frozen=True, slots=True)
class SizeCell:
    """A number with its mark, and the shade behind it: a sign and an opacity."""

    text: str
    mark: str
    sign: int
    opacity: float


@dataclass(frozen=True, slots=True)
class SizeTable:
    """Cells by row; a column per announcement (or group) and window.

    Attributes
    ----------
    corner : str
        Heading of the first column.
    heads : tuple of (str, int)
        Heading over the windows of each announcement, and how many columns it spans.
    windows : tuple of str
        Headings of the columns.
    rows : tuple of (str, tuple of SizeCell)
        Name and cells.
    note : str
        What the marks mean, and what is not shown.
    """

    corner: str
    heads: tuple[tuple[str, int], ...]
    windows: tuple[str, ...]
    rows: tuple[tuple[str, tuple[SizeCell, ...]], ...]
    note: str

    def plain(self) -> ReportTable:
        """Write the same without shades, for Markdown, LaTeX and PDF."""
        spans = [head for head, n in self.heads for _ in range(n)]
        columns = [self.corner, *(f"{head}: {window}" for head, window in zip(spans, self.windows, strict=True))]
        rows = [[name, *(f"{cell.text}{cell.mark}" for cell in cells)] for name, cells in self.rows]
        return ReportTable.of(columns, rows, numeric=range(1, len(columns)), note=self.note)


def size_table(groups: pl.DataFrame, windows: tuple[Window, ...]) -> SizeTable:
    """Arrange the means of `groups_frame` as a table."""
    names = [window_name(window) for window in windows]
    if groups.is_empty():
        return SizeTable("group", (), (), (), "")
    announcements = groups["announcement"].unique(maintain_order=True).to_list()
    turned = len(announcements) > MOST_COLUMNS
    date = {n: str(day) for n, day in groups.select("announcement", "date").iter_rows()}
    label = {n: f"{n}. {date[n]}" if len(announcements) > 1 else date[n] for n in announcements}
    if groups["headline"][0] == ALL_EVENTS:  # of many dates
        label = dict.fromkeys(announcements, ALL_EVENTS)
    across, down = ("group", "announcement") if turned else ("announcement", "group")
    columns = _largest(groups, across, MOST_GROUPS if turned else MOST_COLUMNS)
    rows = _largest(groups, down, MOST_ROWS)
    cells = {
        (row["announcement"], row["group"], (row["first"], row["last"])): row for row in groups.iter_rows(named=True)
    }
    largest = max((abs(value) for value in groups["caar"].drop_nulls()), default=0.0) or 1.0
    table = []
    for name in rows:
        keys = [(n, name, w) if not turned else (name, n, w) for n in columns for w in windows]
        table.append((label[name] if turned else str(name), tuple(_cell(cells.get(key), largest) for key in keys)))
    heads = tuple((str(n) if turned else label[n], len(windows)) for n in columns)
    hidden = [f"{len(rows)} of {groups[down].n_unique()} {down}s"] if len(rows) < groups[down].n_unique() else []
    hidden += [f"{len(columns)} of {groups[across].n_unique()} {across}s"] * (len(columns) < groups[across].n_unique())
    note = "Mean abnormal return in percent. * significant at 5% by the primary test; ° no valid test."
    note += f" Shown: {' and '.join(hidden)}, those with the largest means." if hidden else ""
    return SizeTable(down, heads, tuple(names * len(columns)), tuple(table), note)


def _largest(groups: pl.DataFrame, column: str, n: int) -> list[object]:
    """Keep the `n` values of a column with the largest mean of either sign, in their order."""
    size = groups.group_by(column, maintain_order=True).agg(pl.col("caar").abs().max().fill_null(-1.0).alias("size"))
    return size.filter(pl.col("size").rank("ordinal", descending=True) <= n)[column].to_list()


def _cell(row: dict[str, object] | None, largest: float) -> SizeCell:
    value = None if row is None else row["caar"]
    if row is None or not isinstance(value, float):
        return SizeCell("–", "", 0, 0.0)
    mark = "°" if row["significant"] is None else "*" if row["significant"] else ""
    sign = 1 if value > 0 else -1
    text = short_percent(value).removesuffix("%")
    return SizeCell(text, mark, sign, round(DARKEST * abs(value) / largest, 2) if text != "0.0" else 0.0)
