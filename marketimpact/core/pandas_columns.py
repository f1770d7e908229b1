"""Convert columns and indexes of pandas to polars, without pyarrow and without an import of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from marketimpact.core.day_table import are_midnights
from marketimpact.core.python_columns import python_column

__all__ = ["is_of_pandas", "pandas_column"]

#: How missing cells of pandas are written; its own check fails for a signalling NaN.
MISSING = ("nan", "NaN", "sNaN", "NaT", "<NA>", "None")


def is_of_pandas(value: object, *names: str) -> bool:
    """Return whether this is an object of one of these classes of pandas, such as ``"DataFrame"``, or of a subclass."""
    return any(f"{base.__module__}.".startswith("pandas.") and base.__name__ in names for base in type(value).__mro__)


def pandas_column(name: str, values: Any) -> pl.Series:
    """Convert a pandas Series; missing cells of any kind become null.

    Numbers, booleans and times keep their type, categories become their values. pandas has no type for dates, so times
    without a zone that are all midnights become dates. Lists stay lists. A column that mixes types becomes text.
    """
    dtype, kind = values.dtype, values.dtype.kind
    if isinstance(dtype, np.dtype) and kind in "biufmM":
        return _array(name, values.to_numpy())
    if is_of_pandas(dtype, "CategoricalDtype"):
        return _by_codes(pandas_column(name, values.cat.categories.to_series()), values.cat.codes.to_numpy())
    if is_of_pandas(dtype, "StringDtype"):
        codes, texts = values.factorize()
        return _by_codes(python_column(name, list(texts)).cast(pl.String), codes)
    if is_of_pandas(dtype, "PeriodDtype") and str(dtype) in ("period[D]", "period[B]"):
        return _array(name, values.dt.to_timestamp().to_numpy())
    return _extension(name, values)


def _extension(name: str, values: Any) -> pl.Series:
    """Convert times with a zone, numbers that may be missing, and cells of any type."""
    if is_of_pandas(values.dtype, "DatetimeTZDtype"):
        return _zoned(name, values)
    if values.dtype.kind in "biuf" and hasattr(values.dtype, "numpy_dtype"):
        return _masked(name, values)
    texts = _texts(name, values) if values.dtype == object else None
    return _objects(name, values.astype(object).tolist()) if texts is None else texts


def _texts(name: str, values: Any) -> pl.Series | None:
    """Convert objects that are text or missing; None for others."""
    try:
        codes, distinct = values.factorize()
    except TypeError:  # a cell that cannot be hashed, such as a list
        return None
    if not all(isinstance(value, str) for value in distinct):
        return None
    return _by_codes(python_column(name, list(distinct)), codes)


def _array(name: str, values: Any) -> pl.Series:
    """Copy numbers, booleans or times, since callers may change their frame; NaN and NaT are missing."""
    if values.dtype.kind in "mM":
        return _dates_of_midnights(pl.Series(name, _known_unit(values)))
    column = pl.Series(name, values.copy())
    return column.fill_nan(None) if column.dtype.is_float() else column


def _known_unit(values: Any) -> Any:
    """Write seconds as milliseconds, since polars has no seconds."""
    return values.astype(f"{values.dtype.kind}8[ms]") if np.datetime_data(values.dtype)[0] == "s" else values


def _dates_of_midnights(times: pl.Series) -> pl.Series:
    """Make dates of times that are all midnights."""
    return times.dt.date() if are_midnights(times) and times.count() else times


def _zoned(name: str, values: Any) -> pl.Series:
    """Convert times with a zone; those of a fixed offset, which polars does not know, to UTC."""
    times = pl.Series(name, _known_unit(values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()))
    times = times.dt.replace_time_zone("UTC")
    try:
        return times.dt.convert_time_zone(str(values.dt.tz))
    except pl.exceptions.PolarsError:
        return times


def _masked(name: str, values: Any) -> pl.Series:
    """Convert numbers and booleans that may be missing, such as pandas' Int64."""
    column = pl.Series(name, values.to_numpy(dtype=values.dtype.numpy_dtype, na_value=0))
    missing = pl.Series(values.isna().to_numpy(dtype=bool))
    if column.dtype.is_float():
        missing = missing | column.is_nan()
    return pl.select(pl.when(~missing).then(column).alias(name)).to_series()


def _by_codes(values: pl.Series, codes: Any) -> pl.Series:
    """Take values by their positions; -1 is missing."""
    positions = pl.Series(codes, dtype=pl.Int64)
    return values.gather(pl.select(pl.when(positions >= 0).then(positions)).to_series())


def _objects(name: str, cells: Sequence[Any]) -> pl.Series:
    """Convert cells of any type."""
    lists = [list(cell) if isinstance(cell, list | tuple | np.ndarray) else cell for cell in cells]
    values = [None if not isinstance(cell, str | list) and str(cell) in MISSING else cell for cell in lists]
    present = [cell for cell in values if cell is not None]
    if present and all(isinstance(cell, list) and all(isinstance(entry, str) for entry in cell) for cell in present):
        return pl.Series(name, values, dtype=pl.List(pl.String))
    return _dates_of_midnights(python_column(name, values))
