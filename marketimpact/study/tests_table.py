"""Tables of tests to read: the primary and the valid robustness tests, or the primary test of every group."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from marketimpact.display.formats import MISSING_TEXT, interval, p_value
from marketimpact.study.headline import NOT_VALID, Headline, clauses_of, effect_writer, headline, reason_of

__all__ = ["TestsView", "group_lines", "parts_of", "tests_view"]

#: Robustness tests shown, at most.
MOST_ROBUSTNESS = 5
#: Footnotes under a table of groups, and groups named in a sentence, at most.
MOST_FOOTNOTES = 5
#: Letters of a reason that stands in place of an interval.
REASON_WIDTH = 60
#: Columns that hold numbers written as text.
NUMBERS = ("effect", "95% interval", "p", "minimum detectable effect")
#: What the clauses of a note begin with that say what a valid test assumes. The others are details, or caveats of every
#: test of the events.
ASSUMPTIONS = ("assumes ", "slightly liberal ", "has no direction")
#: Columns that a narrow terminal does without.
DROPPED_FIRST = ("minimum detectable effect", "robustness", "events")
WHAT_NUMBERS_ARE = (
    "effect: abnormal return that the test estimates; a test of SCARs weighs CARs by 1/se, so its effect can differ "
    "from the CAAR. Interval, p and minimum detectable effect (80% power, 5% level) of a row are of one test."
)
WHAT_GROUPS_ARE = (
    "One row per group: its primary test. robustness: how many of the valid tests with other assumptions agree at 5%."
)
ALL_OF_GROUPS = "show.test(..., invalid=True) shows every test of every group."
ALL_TESTS = "show.test(..., invalid=True) shows those that are not valid."

Parts = Sequence[tuple[pl.DataFrame, pl.DataFrame]]
Write = Callable[[float | None], str]


@dataclass(frozen=True, slots=True)
class TestsView:
    """A table of tests for readers: rows with cells as text, the columns shown, those to align right, and notes.

    The column ``p_value`` of the rows is not shown; `hints` say how to see more.
    """

    rows: pl.DataFrame
    columns: tuple[str, ...]
    right: tuple[str, ...]
    notes: tuple[str, ...]
    hints: tuple[str, ...] = ()


def parts_of(frame: pl.DataFrame, groups: Sequence[str]) -> Parts:
    """Divide a frame of tests into groups: the columns that name each, and its tests as `StudyResult.test` gives them.

    A group column called ``role`` leaves the role of the tests as ``test_role``.
    """
    pieces = frame.partition_by(*groups, maintain_order=True) if groups else [frame]
    return [
        (piece.select(*groups), piece.drop(*groups).rename({"test_role": "role"}, strict=False)) for piece in pieces
    ]


def tests_view(parts: Parts, *, every_row: bool, invalid: bool, unit: str) -> TestsView:
    """Select the tests to show, a row for each.

    Parameters
    ----------
    parts : sequence of (polars.DataFrame, polars.DataFrame)
        From `parts_of`.
    every_row : bool
        Whether every row is shown: the tests were named.
    invalid : bool
        Whether every row is shown, with the numbers of tests that are not valid and the whole notes.
    unit : str
        Unit of returns, as in `Market.unit`.
    """
    write, grouped = effect_writer(unit), bool(parts[0][0].width)
    frames = []
    for names, tests in parts:
        is_shown = pl.repeat(value=True, n=tests.height, eager=True) if every_row or invalid else _is_shown(tests)
        caveats = _caveats(tests) if grouped else []
        rows = tests.filter(is_shown)
        if not invalid:
            notes = ["; ".join([*_reason(row), *_assumptions(row), *caveats]) for row in rows.iter_rows(named=True)]
            rows = rows.with_columns(pl.Series("note", notes, pl.String))
        cells = [_cells(row, write, show=invalid or row["valid"]) for row in rows.iter_rows(named=True)]
        written = pl.DataFrame(cells, schema=dict.fromkeys(["test", *NUMBERS], pl.String), orient="row")
        rest = rows.select(pl.col("n_events").alias("events"), "valid", "note", "p_value")
        group = [names.filter(is_shown)] if grouped else []
        frames.append(pl.concat([*group, written, rest], how="horizontal"))
    shown = pl.concat(frames)
    columns = [*parts[0][0].columns, "test", *NUMBERS, "events", *(["valid"] if invalid else []), *_note_column(shown)]
    notes = [] if grouped else _notes_below(parts[0][1], every_row=every_row, invalid=invalid)
    is_folded = not (grouped or invalid or every_row) and bool(_not_valid(parts[0][1]))
    hints = (ALL_TESTS,) if is_folded else ()
    return TestsView(shown, tuple(columns), NUMBERS, (*notes, WHAT_NUMBERS_ARE), hints)


def _is_shown(tests: pl.DataFrame) -> pl.Series:
    """Mark the primary test and the first valid robustness tests."""
    robust = (pl.col("role") == "robustness") & pl.col("valid")
    return tests.select((pl.col("role") == "primary") | (robust & (robust.cum_sum() <= MOST_ROBUSTNESS))).to_series()


def _cells(row: dict[str, Any], write: Write, *, show: bool) -> tuple[str, ...]:
    """Write test, effect, interval, p and minimum detectable effect of a row."""
    name = f"{row['test']} (primary)" if row["role"] == "primary" else row["test"]
    if not show:
        return name, write(row["effect"]), MISSING_TEXT, MISSING_TEXT, MISSING_TEXT
    ends = interval(row["ci_low"], row["ci_high"], write)
    return name, write(row["effect"]), ends, p_value(row["p_value"]), write(row["effect_mde"]).lstrip("+")


def _reason(row: dict[str, Any]) -> list[str]:
    """Write why a test is not valid, as one clause."""
    return [] if row["valid"] else [NOT_VALID + reason_of(row).replace("; ", ", and ")]


def _assumptions(row: dict[str, Any]) -> list[str]:
    return [clause for clause in clauses_of(row["note"]) if clause.startswith(ASSUMPTIONS)]


def _caveats(tests: pl.DataFrame) -> list[str]:
    """List the clauses that the notes of all tests have in common: they concern the events."""
    first, *others = [clauses_of(note) for note in tests["note"]]
    shared = [clause for clause in first if all(clause in other for other in others)]
    return [clause for clause in shared if others and not clause.startswith((NOT_VALID, *ASSUMPTIONS))]


def _note_column(rows: pl.DataFrame) -> list[str]:
    """Name the column of notes where a row has one."""
    return ["note"] if (rows["note"] != "").any() else []


def _notes_below(tests: pl.DataFrame, *, every_row: bool, invalid: bool) -> list[str]:
    """Write whether valid tests agree, what concerns every test, and which tests are not valid and why."""
    told = headline(tests)
    notes = [f"{told.robustness}." if told is not None and told.robustness else ""]
    if not invalid:
        notes += [f"{caveat[0].upper()}{caveat[1:]}." for caveat in _caveats(tests)]
    if not invalid and not every_row and (folded := _not_valid(tests)):
        notes.append(f"Not valid here: {folded}.")
    return list(filter(None, notes))


def _not_valid(tests: pl.DataFrame) -> str:
    """Name the folded tests that are not valid, with their reasons."""
    by_reason: dict[str, list[str]] = {}
    for row in tests.filter(pl.col("role") != "primary", ~pl.col("valid")).iter_rows(named=True):
        by_reason.setdefault(reason_of(row), []).append(row["test"])
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())


def group_lines(parts: Parts, unit: str) -> TestsView:
    """Write one row per group: its primary test, and how many robustness tests agree."""
    write = effect_writer(unit)
    told = [headline(tests) for _, tests in parts]
    lines = [_group_line(one, tests, write) for one, (_, tests) in zip(told, parts, strict=True)]
    names = pl.concat(names.head(1) for names, _ in parts)
    rows = pl.concat([names, pl.DataFrame(lines)], how="horizontal").with_columns(_commonest_notes(lines))
    has_reason = rows["95% interval"].str.contains("[a-z]{4}").any()
    right = tuple(name for name in NUMBERS if not (has_reason and name == "95% interval"))
    columns = [*names.columns, "primary test", *NUMBERS, "events", "robustness", *_note_column(rows)]
    notes = (*_disagreements(names, told), WHAT_GROUPS_ARE, WHAT_NUMBERS_ARE)
    return TestsView(rows, tuple(columns), right, notes, (ALL_OF_GROUPS,))


def _group_line(told: Headline | None, tests: pl.DataFrame, write: Write) -> dict[str, Any]:
    numbers = {"primary test": MISSING_TEXT, **dict.fromkeys(NUMBERS, MISSING_TEXT)}
    if told is None:
        reason = tests["note"][0] or "no primary test"
        return numbers | {
            "95% interval": reason, "events": tests["n_events"][0], "robustness": MISSING_TEXT, "valid": False,
            "note": [], "p_value": None,
        }  # fmt: skip
    numbers |= {"primary test": told.test, "effect": write(told.effect)}
    if told.valid:
        ends = interval(told.low, told.high, write)
        numbers |= dict(zip(NUMBERS[1:], (ends, p_value(told.p), write(told.mde).lstrip("+")), strict=True))
    else:
        numbers["95% interval"] = textwrap.shorten(NOT_VALID + told.why_not, REASON_WIDTH, placeholder=" …")
    row = tests.row(tests["role"].index_of("primary") or 0, named=True)
    # the number of firms differs between groups, what it means does not
    caveats = [re.sub(r"two listings of \d+ firms?", "two listings of a firm", caveat) for caveat in _caveats(tests)]
    return numbers | {
        "events": told.n_events, "robustness": told.agreement or "none valid", "valid": told.valid,
        "note": [*_assumptions(row), *caveats], "p_value": told.p,
    }  # fmt: skip


def _commonest_notes(lines: Sequence[dict[str, Any]]) -> pl.Series:
    """Join the clauses of each line's note; only the commonest of all clauses are kept, for few footnotes."""
    counts = Counter(clause for line in lines for clause in line["note"])
    kept = {clause for clause, _ in counts.most_common(MOST_FOOTNOTES)}
    notes = ["; ".join(clause for clause in line["note"] if clause in kept) for line in lines]
    return pl.Series("note", notes, pl.String)


def _disagreements(names: pl.DataFrame, told: Sequence[Headline | None]) -> list[str]:
    """Name the groups in which a valid robustness test disagrees with the primary one."""
    named = [
        f"{', '.join(map(str, values))}: {one.robustness}."
        for values, one in zip(names.iter_rows(), told, strict=True)
        if one is not None and one.disagreement
    ]
    more = len(named) - MOST_FOOTNOTES
    return [*named[:MOST_FOOTNOTES], *([f"Robustness tests disagree in {more} more groups."] if more > 0 else [])]
