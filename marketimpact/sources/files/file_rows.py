"""Parse the rows of a price file: symbols, dates, closes, and what the checks of prices read beside them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import polars as pl

from marketimpact.core.schema.vocabulary import FIRST_DAY, HIGHEST_PRICE, LAST_DAY, LOWEST_PRICE
from marketimpact.core.symbol_rows import keep_rows
from marketimpact.core.text import listed
from marketimpact.sources.files.file_columns import KNOWN, NUMBERS, ORIGINS, PAYOUTS, TEXTS, UNADJUSTED, similar_column
from marketimpact.sources.files.price_rows import (
    cast_value,
    first_unreadable,
    is_castable,
    is_true,
    n_rows_text,
    parse_value,
    type_error,
)
from marketimpact.sources.protocol import BARS

__all__ = ["add_further_columns", "basis_notes", "check_types", "open_notes", "parse_prices", "rows_in_doubt"]

#: Largest finite number.
LARGEST = sys.float_info.max
#: Numbers that the contract allows of columns that are no close.
RANGES = {"volume": (0.0, LARGEST), **dict.fromkeys(BARS, (-LARGEST, LARGEST))}


def check_types(rows: pl.LazyFrame, source: str) -> None:
    """Raise DataError for a column of prices whose type holds no dates, numbers or text."""
    types = rows.collect_schema()
    names = [name for name in KNOWN if name in types and name != "delisted"]
    if all(types[name] == pl.String for name in names):
        return
    for name in names[1:]:
        if not is_castable(name, types[name]):
            cast_value(_column(rows, name), source)  # raises
    if not isinstance(types["symbol"], pl.String | pl.Categorical | pl.Enum):
        raise type_error(_column(rows, "symbol"), "text", source)


def _column(rows: pl.LazyFrame, name: str) -> pl.Series:
    return rows.select(name).collect(engine="in-memory")[name]


def parse_prices(raw: pl.DataFrame, source: str, delisted: Sequence[str] = ()) -> pl.DataFrame:
    """Parse the columns of prices, and choose the close that returns are computed from.

    Adds `from_adjusted` (whether the row has an adjusted close), `unreadable`: the first value of the row that is
    no date or number, as "column 'text'", else null; and `delisted` where the file or `delisted` says so.
    """
    frame = raw.select(name for name in KNOWN if name in raw.columns)
    if "delisted" in frame.columns:
        frame = frame.with_columns(is_true("delisted"))
    columns = [name for name in frame.columns if name != "delisted"]
    is_text = all(frame[name].dtype == pl.String for name in columns)
    values = frame.select(
        pl.col("symbol").cast(pl.String),
        *((parse_value(name) if is_text else cast_value(frame[name], source)).alias(name) for name in columns[1:]),
    )
    frame = frame.with_columns(values).with_columns(first_unreadable(frame, values))
    has_delisted = "delisted" in frame.columns
    frame = _choose_close(frame)
    if not delisted and not has_delisted:
        return frame
    stated = pl.col("delisted") if has_delisted else pl.lit(value=False)
    return frame.with_columns((stated | pl.col("symbol").is_in(list(delisted))).alias("delisted"))


def _choose_close(frame: pl.DataFrame) -> pl.DataFrame:
    """Take the adjusted close where there is one, and keep the other as `unadjusted_close`."""
    if "adj_close" not in frame.columns:
        return frame.with_columns(from_adjusted=pl.lit(None, dtype=pl.Boolean))
    adj_close = pl.col("adj_close")
    close = pl.coalesce("adj_close", "close") if "close" in frame.columns else adj_close
    if "close" in frame.columns:
        frame = frame.with_columns(unadjusted_close=pl.col("close"))
    return frame.with_columns(from_adjusted=adj_close.is_not_null(), close=close).drop("adj_close")


def add_further_columns(frame: pl.DataFrame, raw: pl.DataFrame) -> pl.DataFrame:
    """Add to parsed rows the columns that only the checks use; see `FilePrices.rows`."""
    texts = [c for c in TEXTS if c in raw.columns]
    further = [pl.col(name).cast(pl.String).str.strip_chars().replace("", None) for name in texts]
    numbers = [c for c in (*PAYOUTS, *UNADJUSTED) if c in raw.columns and c not in frame.columns]
    further += [_number(raw[name]) for name in numbers]
    unreadable = [_unreadable_number(raw[name]) for name in PAYOUTS if name in numbers]
    further.append((pl.coalesce(unreadable) if unreadable else pl.lit(None, pl.String)).alias("_payout"))
    if origins := [pl.col(c).cast(pl.String) for c in ORIGINS if c in raw.columns]:
        further.append(pl.concat_str(origins, separator=", ", ignore_nulls=True).alias("origin"))
    names = [*texts, *numbers, "_payout", *(["origin"] if origins else [])]
    frame = frame.with_columns(raw.with_columns(further).select(names))
    return _with_basis(frame, states_both="unadjusted_close" in numbers)


def _with_basis(frame: pl.DataFrame, *, states_both: bool) -> pl.DataFrame:
    """Mark closes with an unadjusted one beside them as adjusted, and unreadable payouts of symbols without any."""
    if states_both:
        both = pl.col("unadjusted_close").is_not_null().any().over("symbol")
        frame = frame.with_columns(pl.when(both).then(pl.lit(value=True)).alias("from_adjusted"))
    if not frame["_payout"].count():
        return frame.drop("_payout")
    adjusted = pl.col("from_adjusted").fill_null(value=False).any().over("symbol")
    cell = pl.coalesce("unreadable", pl.when(~adjusted).then("_payout"))
    return frame.with_columns(cell.alias("unreadable")).drop("_payout")


def _number(values: pl.Series) -> pl.Expr:
    """Cast a column to float, null where it is no number."""
    if values.dtype == pl.String:
        return parse_value(values.name)
    return pl.col(values.name).cast(pl.Float64, strict=False)


def _unreadable_number(values: pl.Series) -> pl.Expr:
    """Name a cell that is no number, as "column 'text'"; null for others and for blanks."""
    text = pl.col(values.name).cast(pl.String).str.strip_chars()
    return pl.when(_number(values).is_null() & (text != "")).then(pl.format("{} '{}'", pl.lit(values.name), text))


def basis_notes(chosen: pl.DataFrame, present: Sequence[str]) -> list[str]:
    """Note rows on which `close` replaces the adjusted close, and symbols that have both."""
    priced = keep_rows(chosen, pl.col("close").is_not_null())
    if priced.is_empty():
        return []
    adjusted = priced["from_adjusted"]
    if adjusted.null_count():
        if set(PAYOUTS) & set(present) and "unadjusted_close" not in present:
            return ["There is no adj_close: close makes the returns, with the dividends and splits stated beside it."]
        match = similar_column("adj_close", present)
        hint = f" If column {match!r} is one, rename it to 'adj_close'." if match else ""
        return [f"There is no adj_close: close is used as given, adjusted or not.{hint}"]
    if adjusted.all():
        return []
    notes = [f"adj_close is empty on {n_rows_text(priced.height - int(adjusted.sum()))}: close is used there."]
    bases = priced.group_by("symbol").agg(pl.col("from_adjusted").n_unique().alias("bases"))
    mixed = bases.filter(pl.col("bases") > 1)["symbol"].sort().to_list()
    if mixed:
        notes.append(
            f"adj_close and close are mixed within {listed(mixed)}: a return from one to the other is wrong "
            "by the adjustment. Fill in adj_close, or leave close empty there."
        )
    return notes


def open_notes(present: Sequence[str]) -> list[str]:
    """Note a column that is likely the open under another name."""
    match = None if "open" in present else similar_column("open", present)
    return [f"There is no open. If column {match!r} is one, rename it to 'open'."] if match else []


def rows_in_doubt(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Leave out symbols none of whose rows can break the contract of prices, where the types of the columns show it."""
    types = rows.collect_schema()
    numbers = [name for name in NUMBERS if name in types]
    if types["date"] != pl.Date or not all(types[name].is_numeric() for name in numbers):
        return rows
    doubts = [pl.col("date").is_null(), ~pl.col("date").is_between(FIRST_DAY, LAST_DAY), pl.col("symbol") == ""]
    for name in numbers:
        doubts.append(~pl.col(name).cast(pl.Float64).is_between(*RANGES.get(name, (LOWEST_PRICE, HIGHEST_PRICE))))
    has_doubt = pl.any_horizontal(doubts).fill_null(value=False).any() | (pl.len() != pl.col("date").n_unique())
    symbols = rows.group_by("symbol").agg(has_doubt.alias("doubt")).filter("doubt").select("symbol")
    return rows.join(symbols, on="symbol", how="semi", nulls_equal=True)
