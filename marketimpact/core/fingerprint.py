"""Compute the SHA-256 of a frame's content."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import polars as pl

from marketimpact.errors import DataError

#: Rows that are converted at a time.
SLICE_ROWS = 1 << 20
__all__ = ["fingerprint", "fingerprint_in_order"]


def _byte_parts(column: pl.Series) -> tuple[bytes, ...]:
    """Return an integer column as one part of bytes, a text column as its lengths and its text."""
    if column.dtype != pl.String:
        return (column.to_numpy().astype("<i8").tobytes(),)
    lengths = column.str.len_bytes().to_numpy().astype("<i8").tobytes()
    return lengths, column.str.join().item().encode()


def _float_bits(values: pl.Series) -> pl.Series:
    """Reinterpret floats as the integers with the same bits; null becomes 0."""
    numbers = values.cast(pl.Float64).fill_null(0.0).to_numpy()
    if np.isnan(numbers).any():  # NaN has many bit patterns with one meaning
        numbers = np.where(np.isnan(numbers), np.nan, numbers)
    return pl.Series(values.name, numbers.view(np.int64))


def _integers_or_text(values: pl.Series) -> tuple[str, pl.Series]:
    """Return a column's type name, and its values as Int64 or String without loss."""
    dtype = values.dtype
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return "text", values.cast(pl.String)
    if dtype.is_integer():
        return "integer", values.cast(pl.Int64)
    if dtype.is_float():
        return "float", _float_bits(values)
    if dtype in (pl.Boolean, pl.Null):
        return str(dtype), values.cast(pl.Int64)
    if dtype.is_temporal():
        return str(dtype), values.to_physical().cast(pl.Int64)
    if isinstance(dtype, pl.List) and (dtype.inner == pl.String or dtype.inner.is_numeric()):
        texts = [None if row is None else json.dumps(row) for row in values.to_list()]
        return str(dtype), pl.Series(values.name, texts, dtype=pl.String)
    raise DataError(f"Column {values.name!r} has type {dtype}, which has no fingerprint. Drop it, or cast it to text.")


def fingerprint(frame: pl.DataFrame) -> str:
    """Compute the SHA-256 of a frame's content, in hex.

    The same rows give the same fingerprint whatever the order of rows and columns, the chunks, the
    file they came from or the machine. Numbers count to the last bit; the width of an integer or a
    float type does not. Integers must fit 64 signed bits.

    Parameters
    ----------
    frame : polars.DataFrame
        Text, categories, booleans, integers, floats, dates, timestamps, durations, and lists of text
        or numbers; any of them may be empty.

    Raises
    ------
    DataError
        For a column of another type.

    Examples
    --------
    >>> prices = pl.DataFrame({"symbol": ["AMD", "NVDA"], "close": [100.0, 120.5]})
    >>> fingerprint(prices) == fingerprint(prices.reverse().select("close", "symbol"))
    True
    """
    types, columns = {}, {}
    for name in sorted(frame.columns):
        types[name], values = _integers_or_text(frame[name])
        # null has a column of its own, so that no value is mistaken for it
        columns[f"{name}\0empty"] = frame[name].is_null().cast(pl.Int64)
        columns[name] = values.fill_null("" if values.dtype == pl.String else 0)
    digest = hashlib.sha256(json.dumps([sorted(types.items()), frame.height]).encode())
    ordered = pl.DataFrame(columns)
    if columns:
        # values are integers or text, so rows that tie are equal to the last bit; null columns without a null
        # need no sorting
        ordered = ordered.sort([name for name in columns if not name.endswith("\0empty") or ordered[name].max()])
    for column in ordered.iter_columns():
        for part in _byte_parts(column):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()


def fingerprint_in_order(frame: pl.DataFrame) -> str:
    """Compute the SHA-256 of a frame's content and the order of its rows, in hex, in one pass over its columns.

    For rows whose order follows from their content, such as those sorted by a key. As with `fingerprint` neither
    the order of columns, the chunks nor the width of a number counts.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns as for `fingerprint`. Text is hashed by runs of equal values: meant for columns that are sorted.

    Examples
    --------
    >>> prices = pl.DataFrame({"symbol": ["AMD", "AMD"], "close": [100.0, 120.5]})
    >>> fingerprint_in_order(prices) == fingerprint_in_order(prices.reverse())
    False
    """
    digest = hashlib.sha256(str(frame.height).encode())
    for name in sorted(frame.columns):
        for column in frame[name].to_frame().iter_slices(SLICE_ROWS):
            kind, values = _integers_or_text(column[name])
            digest.update(f"{name}\0{kind}\0".encode())
            for part in (_empty_cells(column[name]), *_parts_in_order(values)):
                digest.update(len(part).to_bytes(8, "little"))
                digest.update(part)
    return digest.hexdigest()


def _empty_cells(column: pl.Series) -> bytes:
    """Return which values are empty; nothing where none is."""
    return column.is_null().cast(pl.UInt8).to_numpy().tobytes() if column.null_count() else b""


def _parts_in_order(values: pl.Series) -> tuple[bytes, ...]:
    """Return values of `_integers_or_text` as bytes, text by runs."""
    if values.dtype != pl.String:
        return _byte_parts(values.fill_null(0))
    runs = values.fill_null("").rle().struct.unnest()
    return runs["len"].to_numpy().astype("<i8").tobytes(), *_byte_parts(runs["value"])
