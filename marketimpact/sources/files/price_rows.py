"""Parse columns of text or other types to rows of prices, and report unreadable values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any

import polars as pl

from marketimpact.core.text import closest_name, listed
from marketimpact.core.type_advice import Kind, how_to_convert, value_at_fault
from marketimpact.errors import DataError, SourceError
from marketimpact.sources.protocol import BARS

__all__ = [
    "adjustment_notes",
    "cast_value",
    "delisted",
    "drop_counted_payouts",
    "first_unreadable",
    "is_castable",
    "is_true",
    "n_rows_text",
    "no_symbols_error",
    "parse_rows",
    "parse_value",
    "require_columns",
    "require_readable",
    "type_error",
    "use_adjusted_close",
]

NUMBERS = ("close", "adj_close", "unadjusted_close", "volume", "dividend", "split", *BARS)
#: Columns in which vendors write zero on days without such an event.
EVENTS = ("dividend", "split")
#: Closes are not adjusted for dividends from this log likelihood ratio on.
UNADJUSTED = 3.0
#: The median of an absolute normal is this many standard deviations.
MEDIAN_OF_NORMAL = 0.6745
#: Text that means true.
TRUE = ("true", "1", "1.0", "yes")
#: Midnight after a date, with or without an offset, as pandas writes it.
MIDNIGHT = r"[T ]00:00(:00(\.0+)?)?(Z|[+-]\d\d:?\d\d)?$"
#: Prices of some indices go back to 1789; years such as 24 or 20240 are errors.
ISO = r"^[12]\d{3}-\d{2}-\d{2}$"
COMPACT = r"^([12]\d{3})(\d{2})(\d{2})$"


def parse_value(name: str, *, compact: bool = False) -> pl.Expr:
    """Parse a text column to dates (`date`) or numbers (any other), null where unreadable.

    With `compact`, a date may also be written 20240131.
    """
    text = pl.col(name).str.strip_chars()
    if name != "date":
        return text.cast(pl.Float64, strict=False)
    text = text.str.replace(MIDNIGHT, "")
    if compact:
        text = text.str.replace(COMPACT, "$1-$2-$3")
    # checked by the pattern first: the parser alone accepts +2024-01-08, 24-1-8 and negative years
    return pl.when(text.str.contains(ISO)).then(text).str.to_date("%Y-%m-%d", strict=False)


def cast_value(values: pl.Series, source: str) -> pl.Expr:
    """Cast a column to dates or numbers, or raise DataError."""
    name, dtype = values.name, values.dtype
    if not is_castable(name, dtype):
        raise type_error(values, "dates" if name == "date" else "numbers", source)
    if name != "date":
        return pl.col(name).cast(pl.Float64)
    if isinstance(dtype, pl.Datetime):
        # the local date of a local midnight; a cast would give the date in UTC
        return pl.when(pl.col(name).dt.time() == time(0)).then(pl.col(name).dt.date())
    return pl.col(name)


def is_castable(name: str, dtype: pl.DataType) -> bool:
    """Return whether `cast_value` takes a column of this type: dates or timestamps for `date`, numbers for others."""
    if name == "date":
        return isinstance(dtype, pl.Date | pl.Datetime)
    return dtype.is_numeric() or dtype == pl.Null


def is_true(name: str) -> pl.Expr:
    """Mark rows whose cell means true: a boolean, the number 1, or text."""
    return pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase().is_in(TRUE).fill_null(value=False)


def delisted(securities: pl.DataFrame) -> list[str]:
    """List the securities with a true `delisted`; none without such a column."""
    if "delisted" not in securities.columns:
        return []
    return securities.filter(is_true("delisted"))["symbol"].to_list()


def type_error(values: pl.Series, expected: Kind, source: str) -> DataError:
    """Build the error for a column whose type is not `expected`, such as "dates"."""
    return DataError(
        f"{source}: column {values.name!r} has type {values.dtype}, must hold {expected} "
        f"(such as {value_at_fault(values, expected)}). {how_to_convert(values, expected)}"
    )


def require_columns(frame: pl.DataFrame, source: str) -> None:
    """Raise DataError for a frame without `symbol`, `date`, or any close."""
    lacking = [name for name in ("symbol", "date") if name not in frame.columns]
    if not {"close", "adj_close"} & set(frame.columns):
        lacking.append("close (or adj_close)")
    if lacking:
        raise DataError(
            f"{source} lacks {', '.join(lacking)}; it has {', '.join(map(repr, frame.columns)) or 'no columns'}. "
            "Rename the columns."
        )


def parse_rows(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """Select and parse the columns of prices, and add `unreadable`, the first unreadable cell of a row.

    Text is parsed as dates (ISO or 20240131) and numbers; other types are cast.
    """
    require_columns(frame, source)
    if not isinstance(frame["symbol"].dtype, pl.String | pl.Categorical | pl.Enum):
        raise type_error(frame["symbol"], "text", source)
    values = {
        name: parse_value(name, compact=True) if frame[name].dtype == pl.String else cast_value(frame[name], source)
        for name in ("date", *NUMBERS)
        if name in frame.columns
    }
    parsed = frame.select(value.alias(name) for name, value in values.items())
    blank = frame.with_columns(pl.col(pl.String).replace("", None))
    unreadable = first_unreadable(blank, parsed)
    rows = parsed.select(frame["symbol"].cast(pl.String), pl.all(), unreadable)
    # zero means no event on that day; NaN and negative values stay, so that the contract's check reports them
    return rows.with_columns(pl.when(pl.col(name) != 0.0).then(pl.col(name)) for name in EVENTS if name in values)


def first_unreadable(cells: pl.DataFrame, values: pl.DataFrame) -> pl.Expr | pl.Series:
    """Name the first cell of each row that was not parsed to a value, as "column 'text'"; null for other rows."""
    unread = [name for name in values.columns if values[name].null_count() > cells[name].null_count()]
    if not unread:
        return pl.lit(None, pl.String).alias("unreadable")
    texts = [
        pl.when(values[name].is_null() & cells[name].is_not_null()).then(
            pl.format("{} '{}'", pl.lit(name), cells[name].cast(pl.String))
        )
        for name in unread
    ]
    return cells.select(pl.coalesce(texts).alias("unreadable")).to_series()


def use_adjusted_close(frame: pl.DataFrame) -> pl.DataFrame:
    """Make the adjusted close `close`, and the other `unadjusted_close`; neither replaces the other."""
    if "adj_close" not in frame.columns:
        return frame
    if "close" in frame.columns and "unadjusted_close" not in frame.columns:
        frame = frame.rename({"close": "unadjusted_close"})
    return frame.with_columns(close=pl.col("adj_close")).drop("adj_close")


def adjustment_notes(typed_rows: pl.DataFrame) -> list[str]:
    """Return notes on rows of `parse_rows` without an adjusted close."""
    if "adj_close" not in typed_rows.columns and any(
        typed_rows[name].count() for name in EVENTS if name in typed_rows.columns
    ):
        return ["There is no adjusted close: close makes the returns, with the dividends and splits stated beside it."]
    if "adj_close" not in typed_rows.columns:
        return ["There is no adjusted close: close is used as given, adjusted or not."]
    if "close" not in typed_rows.columns:
        return []
    n_lost = typed_rows.filter(pl.col("adj_close").is_null() & pl.col("close").is_not_null()).height
    return (
        [f"The adjusted close is empty on {n_rows_text(n_lost)} with a close: no price is used there."]
        if n_lost
        else []
    )


def drop_counted_payouts(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Drop dividends of yfinance's adjusted histories, which are in their closes already, with a note.

    Such a file has both columns and no adjusted close, as has one of unadjusted closes: then they fall by the
    dividends.
    """
    if "adj_close" in rows.columns or not set(EVENTS) <= set(rows.columns) or not rows["dividend"].count():
        return rows, []
    moves = rows.drop_nulls("close").sort("date").with_columns(pl.col("close").log().diff().alias("move"))
    due = (1.0 - pl.col("dividend") / pl.col("close").shift(1)).clip(lower_bound=1e-6).log()
    usual = pl.col("move").abs().median() / MEDIAN_OF_NORMAL
    gain = ((pl.col("move") ** 2 - (pl.col("move") - due) ** 2) / (2.0 * usual**2)).sum()
    if (moves.select(gain).item() or 0.0) > UNADJUSTED:
        return rows, []
    # stated splits stay: a split that is in the closes shows no step, and changes nothing
    emptied = rows.with_columns(pl.lit(None, pl.Float64).alias("dividend"))
    return emptied, ["The closes do not fall by the dividends, as in yfinance's adjusted histories: they are not added"]


def require_readable(rows: pl.DataFrame, source: str) -> None:
    """Raise DataError for rows with an `unreadable` cell."""
    unreadable = rows.filter(pl.col("unreadable").is_not_null())
    if unreadable.is_empty():
        return
    shown = "; ".join(f"{_name_of(row)}: {row['unreadable']}" for row in unreadable.head(5).iter_rows(named=True))
    raise DataError(
        f"{source} has {n_rows_text(unreadable.height)} with a value that is no date or number, such as {shown}. "
        "Write dates 2024-01-31, without time of day, and numbers 1234.5; leave a missing value empty.",
        counts={"unreadable": unreadable.height},
        rows=unreadable,
    )


def _name_of(row: Mapping[str, Any]) -> str:
    return f"{row['symbol']} on {row['date']}" if row["date"] is not None else str(row["symbol"])


def no_symbols_error(known: Sequence[str], requested: Sequence[str], source: str) -> SourceError:
    """Build the error for a source with none of the requested symbols, with similar ones."""
    known = sorted(set(known))
    upper = {name.upper(): name for name in reversed(known)}
    matches = (closest_name(name.upper(), upper, cutoff=0.75) for name in requested)
    similar = list(dict.fromkeys(upper[match] for match in matches if match))
    return SourceError(
        f"{source} has none of the requested symbols: {listed(requested)}. It has {len(known)}: {listed(known)}."
        + (f" Did you mean {listed(similar)}?" if similar else " Check their spelling."),
        source=source,
        symbols=requested,
        retryable=False,
    )


def n_rows_text(count: int) -> str:
    """Return a number of rows in words, such as "1 row"."""
    return f"{count} row{'' if count == 1 else 's'}"
