"""Table of tests to read: the primary test, valid robustness tests, and why the others are not shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from marketimpact.display.formats import MISSING_TEXT, interval, p_value
from marketimpact.study.headline import effect_writer, headline, reason_of

__all__ = ["NUMBERS", "columns_shown", "notes_below", "parts_of", "rows_shown"]

#: Robustness tests shown, at most.
MOST_ROBUSTNESS = 5
#: Columns of the table that hold numbers written as text.
NUMBERS = ("effect", "95% interval", "p", "minimum detectable effect")
WHAT_NUMBERS_ARE = (
    "effect: abnormal return that the test estimates; a test of SCARs weighs CARs by 1/se, so its effect can differ "
    "from the CAAR. Interval, p and minimum detectable effect (80% power, 5% level) of a row are of one test."
)


Parts = Sequence[tuple[pl.DataFrame, pl.DataFrame]]


def columns_shown(groups: Sequence[str], *, invalid: bool) -> list[str]:
    """List the columns of the table."""
    return [*groups, "test", *NUMBERS, "events", *(["valid"] if invalid else []), "note"]


def parts_of(frame: pl.DataFrame, groups: Sequence[str]) -> Parts:
    """Divide a frame of tests into groups: the columns that name each, and its tests as `StudyResult.test` gives them.

    A group column called ``role`` leaves the role of the tests as ``test_role``.
    """
    pieces = frame.partition_by(*groups, maintain_order=True) if groups else [frame]
    return [
        (piece.select(*groups), piece.drop(*groups).rename({"test_role": "role"}, strict=False)) for piece in pieces
    ]


def rows_shown(parts: Parts, *, every_row: bool, invalid: bool, unit: str) -> pl.DataFrame:
    """Select the rows to show and write their cells as text.

    Parameters
    ----------
    parts : sequence of (polars.DataFrame, polars.DataFrame)
        From `parts_of`.
    every_row : bool
        Whether every row is shown: the tests were named.
    invalid : bool
        Whether every row is shown, with the numbers of tests that are not valid.
    unit : str
        Unit of returns, as in `Market.unit`.
    """
    write = effect_writer(unit)
    frames = []
    for names, tests in parts:
        is_shown = pl.repeat(value=True, n=tests.height, eager=True) if every_row or invalid else _is_shown(tests)
        rows = tests.filter(is_shown)
        cells = [_cells(row, write, show=invalid or row["valid"]) for row in rows.iter_rows(named=True)]
        written = pl.DataFrame(cells, schema=dict.fromkeys(["test", *NUMBERS], pl.String), orient="row")
        rest = rows.select(pl.col("n_events").alias("events"), "valid", "note")
        group = [names.filter(is_shown)] if names.width else []
        frames.append(pl.concat([*group, written, rest], how="horizontal"))
    return pl.concat(frames)


def _is_shown(tests: pl.DataFrame) -> pl.Series:
    """Mark the primary test and the first valid robustness tests."""
    robust = (pl.col("role") == "robustness") & pl.col("valid")
    return tests.select((pl.col("role") == "primary") | (robust & (robust.cum_sum() <= MOST_ROBUSTNESS))).to_series()


def _cells(row: dict[str, Any], write: Callable[[float | None], str], *, show: bool) -> tuple[str, ...]:
    """Write test, effect, interval, p and minimum detectable effect of a row."""
    name = f"{row['test']} (primary)" if row["role"] == "primary" else row["test"]
    if not show:
        return name, write(row["effect"]), MISSING_TEXT, MISSING_TEXT, MISSING_TEXT
    ends = interval(row["ci_low"], row["ci_high"], write)
    return name, write(row["effect"]), ends, p_value(row["p_value"]), write(row["effect_mde"]).lstrip("+")


def notes_below(parts: Parts, *, every_row: bool, invalid: bool) -> list[str]:
    """Write whether valid tests disagree, which tests are not valid and why, and what the numbers are."""
    grouped = any(names.width for names, _ in parts)
    notes = _disagreements(parts) if grouped else [_agreement(tests) for _, tests in parts]
    if not every_row and not invalid:
        folded = _not_valid_in_groups(parts) if grouped else "".join(_not_valid(tests) for _, tests in parts)
        notes.append(f"Not valid here: {folded}. show.test(..., invalid=True) shows them." if folded else "")
    return [*filter(None, notes), WHAT_NUMBERS_ARE]


def _agreement(tests: pl.DataFrame) -> str:
    told = headline(tests)
    return f"{told.robustness}." if told is not None and told.robustness else ""


def _disagreements(parts: Parts) -> list[str]:
    """Name the groups in which a valid robustness test disagrees with the primary one."""
    told = [(names.row(0), headline(tests)) for names, tests in parts]
    return [
        f"{', '.join(map(str, values))}: {one.robustness}."
        for values, one in told
        if one is not None and one.disagreement
    ]


def _not_valid(tests: pl.DataFrame) -> str:
    """Name the folded tests that are not valid, with their reasons."""
    by_reason: dict[str, list[str]] = {}
    for row in tests.filter(pl.col("role") != "primary", ~pl.col("valid")).iter_rows(named=True):
        by_reason.setdefault(reason_of(row), []).append(row["test"])
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())


def _not_valid_in_groups(parts: Parts) -> str:
    """Name the folded tests that are not valid in every group, or in some; reasons differ between groups."""
    tests = pl.concat(tests for _, tests in parts).filter(pl.col("role") != "primary")
    by_test = tests.group_by("test", maintain_order=True).agg(
        pl.col("valid").any().alias("somewhere"), pl.col("valid").all().alias("everywhere")
    )
    nowhere = by_test.filter(~pl.col("somewhere"))["test"].to_list()
    not_everywhere = by_test.filter("somewhere", ~pl.col("everywhere"))["test"].to_list()
    lists = ((nowhere, "every group"), (not_everywhere, "some groups"))
    return "; ".join(f"{', '.join(names)} (in {where})" for names, where in lists if names)
