"""Compare two chronologies cell by cell."""

from __future__ import annotations

import polars as pl

from marketimpact.core.csv_writer import flat_frame

__all__ = ["CLOCKS", "compare", "transitions"]

#: Columns that say when an announcement was made.
CLOCKS = ("announced_at", "time_precision", "time_zone", "not_before", "not_after")


def compare(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """List the rows that were added or removed, and the cells that changed.

    Parameters
    ----------
    before, after : polars.DataFrame
        As `marketimpact.announcements` returns them.

    Returns
    -------
    polars.DataFrame
        ``announcement_id, change, field, before, after``, all text: of a row that was *added* or *removed* the field
        is ``headline``; of one that *changed* there is a row per field. Sorted by identifier, then as the columns are.
    """
    fields = list(dict.fromkeys([*before.columns, *after.columns]))
    cells = _cells(before, fields, "before").join(
        _cells(after, fields, "after"), on=["announcement_id", "field"], how="full", coalesce=True, validate="1:1"
    )
    old, new = (pl.col("announcement_id").is_in(each["announcement_id"].implode()) for each in (before, after))
    change = pl.when(~old).then(pl.lit("added")).when(~new).then(pl.lit("removed")).otherwise(pl.lit("changed"))
    differs = pl.col("before").ne_missing(pl.col("after"))
    position = pl.col("field").replace_strict({name: n for n, name in enumerate(fields)}, return_dtype=pl.Int64)
    return (
        cells.with_columns(change.alias("change"))
        .filter(pl.when(old & new).then(differs).otherwise(pl.col("field") == "headline"))
        .sort("announcement_id", position)
        .select("announcement_id", "change", "field", "before", "after")
    )


def transitions(changes: pl.DataFrame, field: str) -> list[tuple[str, str, int]]:
    """Count the changes of one field from each value to each other: before, after, number of rows."""
    moved = changes.filter(pl.col("change") == "changed", pl.col("field") == field).fill_null("empty")
    return (
        moved.group_by("before", "after").len().sort("len", "before", "after", descending=[True, False, False]).rows()
    )


def _cells(announcements: pl.DataFrame, fields: list[str], side_name: str) -> pl.DataFrame:
    """Give one row per announcement and field, with its value as text; a column that is absent is empty."""
    absent = [pl.lit(None, pl.String).alias(name) for name in fields if name not in announcements.columns]
    instants = pl.selectors.datetime(time_zone="*").dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
    text = flat_frame(announcements.with_columns(instants, *absent)).select(pl.col(fields).cast(pl.String))
    return text.unpivot(index="announcement_id", variable_name="field", value_name=side_name)
