"""Say how a frame of another shape or type becomes what is needed, in code that keeps its meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

__all__ = ["Kind", "how_to_convert", "how_to_reshape", "value_at_fault"]

Kind = Literal["dates", "numbers", "text", "instants", "true or false"]
#: Patterns of dates written as text, and their format for polars.
DATE_FORMATS = (
    (r"^\d{4}-\d{1,2}-\d{1,2}$", "%Y-%m-%d"),
    (r"^\d{8}$", "%Y%m%d"),
    (r"^\d{4}/\d{1,2}/\d{1,2}$", "%Y/%m/%d"),
    (r"^\d{4}\.\d{1,2}\.\d{1,2}$", "%Y.%m.%d"),
    (r"^\d{1,2}\.\d{1,2}\.\d{4}$", "%d.%m.%Y"),
)
#: Numbers as half of Europe writes them.
DECIMAL_COMMA = r"^[+-]?\d+(,\d+)?$"
#: Numbers that read as dates, from 1789-01-01 to 2199-12-31.
COMPACT_DATES = (17890101, 21991231)


def how_to_convert(values: pl.Series, kind: Kind) -> str:
    """Write one sentence of advice; the code in it is tried by a test.

    Examples
    --------
    >>> how_to_convert(pl.Series("date", [20240603]), "dates")
    'Convert it: .with_columns(pl.col("date").cast(pl.String).str.to_date("%Y%m%d")).'
    """
    column = f'pl.col("{values.name}")'
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values, column = values.cast(pl.String), f"{column}.cast(pl.String)"
    first = values.drop_nulls().first()
    if kind == "dates":
        return _to_dates(values, first, column)
    if kind == "text" and values.dtype.is_numeric():
        return _to_text(values.name, column)
    if kind == "numbers" and values.dtype == pl.String:
        return _to_numbers(values, column)
    if kind == "instants":
        return (
            "A date has no time of day, and a text no zone: give instants with a zone, such as "
            f'.with_columns({column}.str.to_datetime(time_zone="UTC")) for texts that end in Z or an offset.'
        )
    return f"A column of type {values.dtype} cannot become {kind}; give {kind}."


def _to_text(name: str, column: str) -> str:
    advice = f"Convert it: .with_columns({column}.cast(pl.String))."
    if name != "symbol":
        return advice
    return (
        f"Symbols read as numbers have lost their leading zeros (000660 becomes 660): read the file again with "
        f'this column as text, such as pl.read_csv(..., schema_overrides={{"{name}": pl.String}}). '
        f"In a workbook, format the column as text and enter the symbols again. Where none had any, as PERMNO: {advice}"
    )


def _to_numbers(values: pl.Series, column: str) -> str:
    is_number = _castable(values)
    if not is_number.all() and values.drop_nulls().str.contains(DECIMAL_COMMA).all():
        return f'Convert it: .with_columns({column}.str.replace(",", ".", literal=True).cast(pl.Float64)).'
    others = "" if is_number.all() else f" Correct or empty the {(~is_number).sum()} cells that are no numbers first."
    return f"Convert it: .with_columns({column}.cast(pl.Float64)).{others}"


def value_at_fault(values: pl.Series, kind: Kind) -> str:
    """Return the first value that is not of the kind, or, where all are in a form that can be converted, the first.

    Examples
    --------
    >>> value_at_fault(pl.Series("close", ["1.5", "n/a"]), "numbers")
    "'n/a'"
    """
    given = values.drop_nulls()
    at_fault = given
    if values.dtype == pl.String and kind == "numbers":
        at_fault = given.filter(~_castable(given))
    elif values.dtype == pl.String and kind == "dates":
        at_fault = given.filter(~given.str.contains(DATE_FORMATS[0][0]))
    shown = (at_fault if len(at_fault) else given).first()
    return repr(str(shown)[:60])


def _castable(values: pl.Series) -> pl.Series:
    """Mark texts that are numbers, and empty cells."""
    return values.cast(pl.Float64, strict=False).is_not_null() | values.is_null()


def how_to_reshape(frame: pl.DataFrame, lacking: Sequence[str]) -> str:
    """Write how a matrix of one column per security becomes a long frame; empty for a frame that is none.

    Examples
    --------
    >>> wide = pl.DataFrame({"date": ["2024-01-02"], "NVDA": [48.2], "AMD": [138.6]})
    >>> how_to_reshape(wide, ["symbol", "close"])
    'One row per symbol and date: .unpivot(index="date", variable_name="symbol", value_name="close").'
    """
    values = [name for name in lacking if name not in ("symbol", "date")]
    others = [name for name in frame.columns if name != "date"]
    numeric = all(frame[name].dtype.is_numeric() or frame[name].dtype in (pl.String, pl.Null) for name in others)
    if "symbol" not in lacking or "date" in lacking or len(values) != 1 or len(others) < 2 or not numeric:
        return ""
    return f'One row per symbol and date: .unpivot(index="date", variable_name="symbol", value_name="{values[0]}").'


def _to_dates(values: pl.Series, first: object, column: str) -> str:
    if values.dtype.is_integer() and isinstance(first, int) and COMPACT_DATES[0] <= first <= COMPACT_DATES[1]:
        return f'Convert it: .with_columns({column}.cast(pl.String).str.to_date("%Y%m%d")).'
    if values.dtype.is_numeric():
        return "A number is read as days since 1970-01-01, most likely another date than meant: give dates."
    if isinstance(values.dtype, pl.Datetime):
        return (
            "Its values have a time of day, and the session depends on it: give the date of the session on the "
            "security's own exchange, or give announcements with their times to mi.align."
        )
    if isinstance(first, str):
        texts = values.drop_nulls()
        for pattern, written in DATE_FORMATS:
            if texts.str.contains(pattern).all():
                return f'Convert it: .with_columns({column}.str.to_date("{written}")).'
        return (
            f"Convert it with the format it is written in, such as .with_columns({column}.str.to_date("
            '"%d/%m/%Y")) for 31/01/2024.'
        )
    return f"A column of type {values.dtype} cannot become dates; give dates."
