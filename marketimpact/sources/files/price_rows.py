"""Columns of any origin as rows of prices: their types, their basis, and what cannot be read."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import time

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, SourceError

__all__ = [
    "adjustment_notes",
    "cast_value",
    "n_rows_text",
    "no_symbols_error",
    "parse_rows",
    "parse_value",
    "require_columns",
    "require_readable",
    "type_error",
    "use_adjusted_close",
]

NUMBERS = ("close", "adj_close", "unadjusted_close", "volume", "dividend", "split")
#: Columns that a vendor fills with zero on the days on which nothing of the kind happens.
EVENTS = ("dividend", "split")
# A date that pandas wrote with its midnight, with or without an offset, is still that date.
MIDNIGHT = r"[T ]00:00(:00(\.0+)?)?(Z|[+-]\d\d:?\d\d)?$"
#: Prices of some indices go back to 1789; a year 24 or 20240 is a slip.
ISO = r"^[12]\d{3}-\d{2}-\d{2}$"
COMPACT = r"^([12]\d{3})(\d{2})(\d{2})$"


def parse_value(name: str, *, compact: bool = False) -> pl.Expr:
    """A column of text as dates (`date`) or numbers (any other); null where it cannot be read.

    With `compact`, a date may also be written 20240131.
    """
    text = pl.col(name).str.strip_chars()
    if name != "date":
        return text.cast(pl.Float64, strict=False)
    text = text.str.replace(MIDNIGHT, "")
    if compact:
        text = text.str.replace(COMPACT, "$1-$2-$3")
    # The pattern first: the parser alone takes +2024-01-08, 24-1-8 and years below zero.
    return pl.when(text.str.contains(ISO)).then(text).str.to_date("%Y-%m-%d", strict=False)


def cast_value(values: pl.Series, source: str) -> pl.Expr:
    """A column of dates or numbers in the type that prices have; other types are refused."""
    name, dtype = values.name, values.dtype
    if name != "date":
        if dtype.is_numeric() or dtype == pl.Null:
            return pl.col(name).cast(pl.Float64)
        raise type_error(values, "numbers", source)
    if isinstance(dtype, pl.Datetime):
        # The local date of a local midnight; a cast would take the date it was in Greenwich.
        return pl.when(pl.col(name).dt.time() == time(0)).then(pl.col(name).dt.date())
    if dtype != pl.Date:
        raise type_error(values, "dates", source)
    return pl.col(name)


def type_error(values: pl.Series, wanted: str, source: str) -> DataError:
    """The error for a column of a type that cannot be taken for `wanted`."""
    return DataError(
        f"{source}: column {values.name!r} has type {values.dtype}, must hold {wanted} "
        f"(first value: {values.drop_nulls().first()!r}). Cast it before handing it in."
    )


def require_columns(frame: pl.DataFrame, source: str) -> None:
    """Refuse a frame without `symbol`, `date`, or any close."""
    lacking = [name for name in ("symbol", "date") if name not in frame.columns]
    if not {"close", "adj_close"} & set(frame.columns):
        lacking.append("close (or adj_close)")
    if lacking:
        raise DataError(
            f"{source} lacks {', '.join(lacking)}; it has {', '.join(map(repr, frame.columns)) or 'no columns'}. "
            "Give the columns these names."
        )


def parse_rows(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """The columns that prices know, in their types, and `unreadable`: what of a row cannot be read.

    Text is read as dates (ISO or 20240131) and numbers; other types are taken as they are.
    """
    require_columns(frame, source)
    if not isinstance(frame["symbol"].dtype, pl.String | pl.Categorical | pl.Enum):
        raise type_error(frame["symbol"], "text", source)
    values = {
        name: parse_value(name, compact=True) if frame[name].dtype == pl.String else cast_value(frame[name], source)
        for name in ("date", *NUMBERS)
        if name in frame.columns
    }
    lost = [
        pl.when(value.is_null() & pl.col(name).is_not_null() & (pl.col(name).cast(pl.String) != "")).then(
            pl.format("{} '{}'", pl.lit(name), pl.col(name).cast(pl.String))
        )
        for name, value in values.items()
    ]
    rows = frame.select(
        pl.col("symbol").cast(pl.String),
        *(value.alias(name) for name, value in values.items()),
        unreadable=pl.coalesce(lost),
    )
    # Zero stands for "none on this day"; NaN and a negative one are kept for the check to refuse.
    return rows.with_columns(pl.when(pl.col(name) != 0.0).then(pl.col(name)) for name in EVENTS if name in values)


def use_adjusted_close(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows with the adjusted close as `close`, and the other as `unadjusted_close`; never one for the other."""
    if "adj_close" not in frame.columns:
        return frame
    if "close" in frame.columns and "unadjusted_close" not in frame.columns:
        frame = frame.rename({"close": "unadjusted_close"})
    return frame.with_columns(close=pl.col("adj_close")).drop("adj_close")


def adjustment_notes(typed_rows: pl.DataFrame) -> list[str]:
    """What a reader must know where rows of `parse_rows` have no adjusted close."""
    if "adj_close" not in typed_rows.columns:
        return ["There is no adjusted close: close is used as given, adjusted or not."]
    if "close" not in typed_rows.columns:
        return []
    lost = typed_rows.filter(pl.col("adj_close").is_null() & pl.col("close").is_not_null()).height
    return [f"The adjusted close is empty on {n_rows_text(lost)} with a close: no price is used there."] if lost else []


def require_readable(ours: pl.DataFrame, source: str) -> None:
    """Refuse rows whose `unreadable` says what cannot be read."""
    wrong = ours.filter(pl.col("unreadable").is_not_null())
    if wrong.is_empty():
        return
    shown = "; ".join(f"{row['symbol']}: {row['unreadable']}" for row in wrong.head(5).iter_rows(named=True))
    raise DataError(
        f"{source} has {n_rows_text(wrong.height)} with a value that cannot be read, such as {shown}. Dates are "
        "written 2024-01-31 and have no time of day, numbers 1234.5; leave a missing value empty.",
        counts={"unreadable": wrong.height},
        rows=wrong,
    )


def no_symbols_error(known: Sequence[str], asked: Sequence[str], source: str) -> SourceError:
    """The error where a source has none of the symbols asked for, with those likely meant."""
    known = sorted(set(known))
    upper = {name.upper(): name for name in reversed(known)}
    near = (difflib.get_close_matches(name.upper(), upper, n=1, cutoff=0.75) for name in asked)
    meant = list(dict.fromkeys(upper[match] for matches in near for match in matches))
    return SourceError(
        f"{source} has none of the symbols asked for: {listed(asked)}. It has {len(known)}: {listed(known)}."
        + (f" Did you mean {listed(meant)}?" if meant else " Check how they are spelt there."),
        source=source,
        symbols=asked,
        retryable=False,
    )


def n_rows_text(count: int) -> str:
    """A number of rows in words."""
    return f"{count} row{'' if count == 1 else 's'}"
