"""Build polars columns from values of Python, as drivers of databases and pandas give them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import Any

import polars as pl

__all__ = ["python_column"]


def python_column(name: str, values: Sequence[Any]) -> pl.Series:
    """Build a column: numbers as Float64, dates, times and texts as they are, everything else as text.

    A column that mixes these becomes text too, and so does one with a value that its type cannot hold, so that
    whoever parses it reports the value.
    """
    name = _text(name)
    present = [value for value in values if value is not None]
    if all(isinstance(value, Real | Decimal) and not isinstance(value, bool) for value in present):
        numbers = [_number(value) for value in values]
        if numbers.count(None) == len(values) - len(present):
            return pl.Series(name, numbers, dtype=pl.Float64 if present else pl.Null)
    if len({type(value) for value in present}) == 1 and isinstance(present[0], date | bool):
        with suppress(
            pl.exceptions.PolarsError, TypeError, ValueError, OverflowError
        ):  # such as times of several zones
            column = pl.Series(name, values)
            _ = column.min(), column.max()  # raise where UTC is before the year 1 or after 9999
            return column
    return pl.Series(name, [None if value is None else _text(value) for value in values], dtype=pl.String)


def _number(value: Any) -> float | None:
    """Convert a number, or return None where a Float64 cannot hold it."""
    try:
        return None if value is None else float(value)
    except (OverflowError, ValueError):  # an integer beyond 1e308, a signalling NaN
        return None


def _text(value: object) -> str:
    """Convert to text; halves of characters, which polars cannot hold, are written as escapes."""
    return str(value).encode("utf-8", "backslashreplace").decode()
