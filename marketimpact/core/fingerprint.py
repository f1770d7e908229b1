"""SHA-256 of a frame's content."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import polars as pl

from marketimpact.errors import DataError

__all__ = ["fingerprint"]


def _parts(column: pl.Series) -> tuple[bytes, ...]:
    if column.dtype != pl.String:
        return (column.to_numpy().astype("<i8").tobytes(),)
    lengths = column.str.len_bytes().to_numpy().astype("<i8").tobytes()
    return lengths, column.str.join().item().encode()


def _bits(values: pl.Series) -> pl.Series:
    numbers = values.cast(pl.Float64).fill_null(0.0).to_numpy().astype(np.float64, copy=True)
    numbers[np.isnan(numbers)] = np.nan  # NaN has many bit patterns; they mean the same
    return pl.Series(values.name, numbers.view(np.int64))


def _plain(values: pl.Series) -> tuple[str, pl.Series]:
    """A column's kind, and its values as Int64 or String without loss."""
    dtype = values.dtype
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return "text", values.cast(pl.String)
    if dtype.is_integer():
        return "integer", values.cast(pl.Int64)
    if dtype.is_float():
        return "float", _bits(values)
    if dtype in (pl.Boolean, pl.Null):
        return str(dtype), values.cast(pl.Int64)
    if dtype.is_temporal():
        return str(dtype), values.to_physical().cast(pl.Int64)
    if isinstance(dtype, pl.List) and (dtype.inner == pl.String or dtype.inner.is_numeric()):
        texts = [None if row is None else json.dumps(row) for row in values.to_list()]
        return str(dtype), pl.Series(values.name, texts, dtype=pl.String)
    raise DataError(f"Column {values.name!r} has type {dtype}, which has no fingerprint. Drop it, or cast it to text.")


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 of a frame's content, in hex.

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
    >>> one = pl.DataFrame({"symbol": ["AMD", "NVDA"], "close": [100.0, 120.5]})
    >>> fingerprint(one) == fingerprint(one.reverse().select("close", "symbol"))
    True
    """
    kinds, plain = {}, {}
    for name in sorted(frame.columns):
        kinds[name], values = _plain(frame[name])
        # The emptiness of a value is kept beside it, so that no value can stand for it.
        plain[f"{name}\0empty"] = frame[name].is_null().cast(pl.Int64)
        plain[name] = values.fill_null("" if values.dtype == pl.String else 0)
    digest = hashlib.sha256(json.dumps([sorted(kinds.items()), frame.height]).encode())
    ordered = pl.DataFrame(plain)
    if plain:
        # Every value is an integer or a text here, so rows that tie are the same to the last bit.
        # nothing is sorted by marks of emptiness that no row has
        ordered = ordered.sort([name for name in plain if not name.endswith("\0empty") or ordered[name].max()])
    for column in ordered.iter_columns():
        for part in _parts(column):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()
