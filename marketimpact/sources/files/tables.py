"""Read small tables, such as share counts and exchange rates, from a frame or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from marketimpact.core.day_table import are_midnights
from marketimpact.core.frames import FrameLike, to_polars
from marketimpact.core.layouts import Layout
from marketimpact.core.type_advice import Kind
from marketimpact.errors import DataError
from marketimpact.sources.files.opened_file import load_file
from marketimpact.sources.files.price_rows import type_error

__all__ = ["read_table"]


def read_table(
    source: FrameLike | str | Path, label: str, types: Mapping[str, pl.DataType], keys: Sequence[str], layout: Layout
) -> pl.DataFrame:
    """Read a table and check its columns, types and keys.

    Parameters
    ----------
    source : FrameLike, str or pathlib.Path
        The table, or a CSV, Parquet or Excel file.
    label : str
        Name of the table in messages.
    types : mapping of str to polars data type
        Required columns.
    keys : sequence of str
        Columns that together must not repeat; absent ones are left out.
    layout : Layout
        What an index or a matrix of pandas stands for.

    Raises
    ------
    DataError
        For a column that is absent or unreadable, or a repeated key.
    """
    is_path = isinstance(source, str | Path)
    frame = load_file(Path(str(source)).expanduser(), label) if is_path else to_polars(source, label, layout)
    lacking = [name for name in types if name not in frame.columns]
    if lacking:
        raise DataError(
            f"{label} lacks {', '.join(lacking)}; it has {', '.join(frame.columns) or 'no columns'}. Add them."
        )
    dtypes = dict(types) | ({"date": pl.Date()} if "date" in frame.columns else {})
    typed = frame.with_columns(_parse_column(frame[name], dtype, label) for name, dtype in dtypes.items())
    present = [name for name in keys if name in frame.columns]
    if typed.select(present).is_duplicated().any():
        raise DataError(f"{label} has more than one row for the same {' and '.join(present)}. Keep one.")
    return typed


def _parse_column(column: pl.Series, dtype: pl.DataType, label: str) -> pl.Series:
    """Cast or parse a column to its type; raise DataError for an unreadable cell."""
    empty = column.is_null() | (column == "") if column.dtype == pl.String else column.is_null()
    kind: Kind = "dates" if dtype == pl.Date else "numbers" if dtype.is_numeric() else "text"
    is_cast = (
        column.dtype in (dtype, pl.String, pl.Null)
        or (kind == "numbers" and column.dtype.is_numeric())
        or (kind == "text" and isinstance(column.dtype, pl.Categorical | pl.Enum))
        or (kind == "dates" and are_midnights(column))
    )
    if not is_cast:
        raise type_error(column, kind, label)
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.date()
    if column.dtype == pl.String and kind == "dates":
        parsed = column.str.to_date("%Y-%m-%d", strict=False)
    else:
        parsed = column.cast(dtype, strict=False)
    unreadable = column.filter(parsed.is_null() & ~empty)
    if len(unreadable):
        expected = (
            "a date written YYYY-MM-DD" if dtype == pl.Date else f"a {'number' if dtype.is_numeric() else 'text'}"
        )
        raise DataError(f"{label}: {column.name} {unreadable[0]!r} is not {expected}. {len(unreadable)} rows are so.")
    return parsed
