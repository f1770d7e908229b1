"""Compare the tables of a page with those made anew, and find the prose that quotes what changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: A block of a page that is written by the code, by name.
BLOCK = re.compile(r"(<!-- table: (.+?) -->\n)(.*?)(<!-- end -->)", flags=re.DOTALL)
NUMBER = re.compile(r"(?<![\w.,-])[-+−]?(\d[\d,]*(?:\.\d+)?%?)(?![\d-])")
SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+")
#: Smallest whole number that counts as quoted: smaller ones are everywhere.
LEAST_COUNT = 10
#: The nominal level is no result.
LEVELS = ("0.05", "5%", "95%")
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """A cell, row, column or other line that changed.

    Attributes
    ----------
    place : str
        Row and column of a cell; what a row or column that is new or gone is.
    old, new : str or None
        What stood and stands there; None where a row or column is new or gone.
    """

    place: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        if self.old is None or self.new is None:
            return f"{self.place}: {self.old or self.new}"
        return f"{self.place}: {self.old or '(empty)'} -> {self.new or '(empty)'}"


def changes(old: str, new: str) -> list[Change]:
    """List the cells, rows, columns and other lines in which two versions of a block differ."""
    if old == new:
        return []
    before, after, others = _rows(old), _rows(new), (_other_lines(old), _other_lines(new))
    n_key = _key_length(before, after)
    old_rows, new_rows = ({", ".join([*row.values()][:n_key]): row for row in rows} for rows in (before, after))
    found = [Change("row removed", _line(row), None) for key, row in old_rows.items() if key not in new_rows]
    found += [Change("row added", None, _line(row)) for key, row in new_rows.items() if key not in old_rows]
    if before and after:
        found += [Change("column added", None, name) for name in after[0] if name not in before[0]]
    for key, row in old_rows.items():
        fresh = new_rows.get(key, {})
        found += [Change(f"{key}, {c}", row[c], fresh[c]) for c in row if c in fresh and row[c] != fresh[c]]
        found += [Change(f"{key}, {c}, column removed", row[c], None) for c in row if fresh and c not in fresh]
    if others[0] != others[1]:
        found.append(Change("text", *others))
    return found


def outdated(page: str, found: list[Change]) -> Iterator[str]:
    """Write each sentence outside the blocks that quotes a figure which changed, with its line and the figures.

    A figure is quoted where rounding it gives a number of the sentence. Words such as *four of ten* and whole
    percentages are not recognised.
    """
    stale = [number for change in found for number in _gone(change)]
    prose = BLOCK.sub(lambda block: "\n" * block[0].count("\n"), page)
    for n, line in enumerate(prose.splitlines(), start=1):
        for sentence in SENTENCE_END.split(line):
            quoted = [text for text in NUMBER.findall(sentence) if any(_is_quoted(text, old) for old in stale)]
            if quoted:
                yield f"line {n} ({', '.join(dict.fromkeys(quoted))}): {sentence}"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _rows(block: str) -> list[Row]:
    """Read the rows of the table of a block, each by column."""
    lines = [_cells(line) for line in block.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], row, strict=True)) for row in lines[2:]]


def _other_lines(block: str) -> str:
    return " ".join(line for line in block.splitlines() if line.strip() and not line.startswith("|"))


def _line(row: Row) -> str:
    return " | ".join(row.values())


def _key_length(*tables: list[Row]) -> int:
    """Find how many of the first cells tell the rows of every table apart."""
    widths = [len(row) for rows in tables for row in rows]
    for n in range(1, max(widths, default=1)):
        if all(len({tuple([*row.values()][:n]) for row in rows}) == len(rows) for rows in tables):
            return n
    return max(widths, default=1)


def _gone(change: Change) -> list[str]:
    """List the numbers that no longer stand where they stood."""
    fresh = NUMBER.findall(change.new or "")
    return [number for number in NUMBER.findall(change.old or "") if number not in fresh]


def _is_quoted(text: str, old: str) -> bool:
    """Check whether a number of a sentence is `old`, perhaps rounded; percentages are also written as points."""
    if text in LEVELS or (text.endswith("%") and not old.endswith("%")):
        return False
    (number, decimals), (exact, more) = _read(text), _read(old)
    if not decimals:
        return number == exact and not more and exact >= LEAST_COUNT
    return decimals <= more and abs(number - exact) <= 0.5 * 10.0**-decimals + 1e-12


def _read(text: str) -> tuple[float, int]:
    """Read a number and how many decimals it has."""
    digits = text.rstrip("%").replace(",", "")
    return float(digits), len(digits.partition(".")[2])
