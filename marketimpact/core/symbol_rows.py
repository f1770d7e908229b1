"""Sort rows by symbol and date, and read neighbouring rows of a symbol: cheaper than a window function or a join."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core.arrays import Ints

__all__ = ["codes", "is_repeated_key", "keep_rows", "neighbour", "of_symbols", "owners", "sort_rows"]

#: More days than between any two dates.
DAYS = 1 << 32


def sort_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by symbol and date, empty ones first; rows that tie keep their order.

    Symbols are compared as integers, which takes a fifth of the time that their text would.
    """
    if _is_sorted(frame):
        return frame
    names = frame["symbol"].unique().drop_nulls().cast(pl.String).sort()
    code = frame["symbol"].cast(pl.Enum(names)).to_physical().cast(pl.Int64) + 1
    day = frame["date"].to_physical().cast(pl.Int64) + DAYS // 2
    key = code.fill_null(0) * DAYS + day.fill_null(0)
    return frame.sort(key, maintain_order=True)


def _is_sorted(frame: pl.DataFrame) -> bool:
    """Return whether rows without an empty symbol or date are sorted."""
    symbol, day = (frame[name].cast(pl.String) if name == "symbol" else frame[name] for name in ("symbol", "date"))
    if frame.height < 2 or symbol.null_count() or day.null_count():  # a pair
        return False
    before, after = symbol.slice(0, frame.height - 1), symbol.slice(1)
    in_order = (after > before) | ((after == before) & (day.slice(1) >= day.slice(0, frame.height - 1)))
    return bool(in_order.all())


def is_repeated_key() -> pl.Expr:
    """Mark sorted rows with the symbol and the date of the row before."""
    symbol, day = pl.col("symbol"), pl.col("date")
    return ((symbol == symbol.shift(1)) & (day == day.shift(1))).fill_null(value=False)


def neighbour(value: str | pl.Expr, distance: int = -1) -> pl.Expr:
    """Return the value of the symbol's row before (-1), or so many rows away, in sorted rows; null where none is."""
    column = pl.col(value) if isinstance(value, str) else value
    is_same = pl.col("symbol") == pl.col("symbol").shift(-distance)
    return pl.when(is_same).then(column.shift(-distance))


def keep_rows(frame: pl.DataFrame, *conditions: pl.Expr) -> pl.DataFrame:
    """Filter rows; where all of them stay, the frame itself is returned and nothing is copied."""
    kept = frame.select(pl.all_horizontal(conditions).fill_null(value=False)).to_series()
    return frame if kept.all() else frame.filter(kept)


def of_symbols(frame: pl.DataFrame, symbols: pl.Series) -> pl.DataFrame:
    """Keep the rows of some symbols, which may repeat."""
    names = symbols.unique()
    return frame.clear() if names.is_empty() else frame.filter(pl.col("symbol").is_in(names.implode()))


def owners(symbols: pl.Series) -> Ints:
    """Return, for each row, the number of its symbol; symbols of sorted rows count from 0."""
    return symbols.rle_id().to_numpy().astype(np.int64)


def codes(values: pl.Series, names: pl.Series) -> Ints:
    """Return the position of each value among distinct names, -1 where it is none of them."""
    numbers = {name: number for number, name in enumerate(names)}
    return values.replace_strict(numbers, default=-1, return_dtype=pl.Int64).fill_null(-1).to_numpy()
