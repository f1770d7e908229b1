"""Which way each event counts, where reactions of both signs are pooled."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from marketimpact.errors import SpecificationError

__all__ = ["signs"]


def signs(events: pl.DataFrame, directions: Mapping[str, int], by: str) -> pl.Series:
    """1 or -1 for each event, (N,), by its value in the column `by`; see `StudyResult.signed`."""
    if not isinstance(directions, Mapping):
        raise SpecificationError(
            f"signed() was given {_said(directions)}; it needs a direction, 1 or -1, for every value of a column: "
            'signed({"restrictive": 1, "permissive": -1}, by="stance"). For a condition of your own make a column of '
            "the events first and name it in by=."
        )
    if not isinstance(by, str) or by not in events.columns:
        raise SpecificationError(f"by={by!r} is no column of the events: {', '.join(events.columns)}.")
    wrong = {value: sign for value, sign in directions.items() if sign not in (1, -1)}
    if wrong:
        raise SpecificationError(f"directions has {wrong}; a direction is 1 or -1.")
    unsaid = events.filter(~pl.col(by).is_in(list(directions)).fill_null(value=False))
    if unsaid.height:
        values = ", ".join(map(repr, unsaid[by].unique().sort().to_list()))
        raise SpecificationError(
            f"{unsaid.height} events have {by} {values}, of which directions says nothing. Give it a direction, or "
            f"leave them out: result.where(pl.col({by!r}).is_in({sorted(directions)})).signed(...)."
        )
    return events[by].replace_strict(dict(directions), return_dtype=pl.Int64)


def _said(value: object) -> str:
    """What was given, without printing a frame."""
    return f"the expression {value}" if isinstance(value, pl.Expr) else f"a value of type {type(value).__name__}"
