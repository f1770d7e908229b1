"""Small tables that a user hands in as a frame or as a file: share counts, exchange rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from marketimpact.errors import DataError
from marketimpact.sources.files.single_file import load_file

__all__ = ["read_table"]


def read_table(
    given: pl.DataFrame | str | Path, what: str, needed: Mapping[str, pl.DataType], keys: Sequence[str]
) -> pl.DataFrame:
    """A frame or file with the columns of `needed` in their types; of `keys`, those that are there are unique."""
    frame = load_file(Path(given).expanduser()) if isinstance(given, str | Path) else given
    if not isinstance(frame, pl.DataFrame):
        raise DataError(
            f"{what} is a {type(frame).__name__}. Give a polars frame, or the path of a CSV or Parquet file."
        )
    lacking = [name for name in needed if name not in frame.columns]
    if lacking:
        raise DataError(f"{what} lacks {', '.join(lacking)}; it has {', '.join(frame.columns) or 'no columns'}.")
    kinds = dict(needed) | ({"date": pl.Date()} if "date" in frame.columns else {})
    typed = frame.with_columns(_parse_column(frame[name], kind, what) for name, kind in kinds.items())
    present = [name for name in keys if name in frame.columns]
    if typed.select(present).is_duplicated().any():
        raise DataError(f"{what} has more than one row for the same {' and '.join(present)}. Keep one.")
    return typed


def _parse_column(column: pl.Series, kind: pl.DataType, what: str) -> pl.Series:
    """The column in its type, from text too; what cannot be read is an error, not empty."""
    empty = column.is_null() | (column == "") if column.dtype == pl.String else column.is_null()
    try:
        if column.dtype == pl.String and kind == pl.Date:
            read = column.str.to_date("%Y-%m-%d", strict=False)
        else:
            read = column.cast(kind, strict=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{what}: {column.name} is {column.dtype}, not {kind}.") from error
    wrong = column.filter(read.is_null() & ~empty)
    if len(wrong):
        wanted = "a date written YYYY-MM-DD" if kind == pl.Date else f"a {'number' if kind.is_numeric() else 'text'}"
        raise DataError(f"{what}: {column.name} {wrong[0]!r} is not {wanted}. {len(wrong)} rows are so.")
    return read
