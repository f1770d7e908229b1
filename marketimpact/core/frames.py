"""Turn the frames people have into polars: pandas, pyarrow, polars eager or lazy, and whatever exports Arrow data.

Nothing else in the package sees another kind. A polars frame passes as it is. Neither pandas nor pyarrow is imported
here, except by `to_pandas`.
"""

from __future__ import annotations

import os
from typing import Any, Protocol, TypeAlias, runtime_checkable

import polars as pl

from marketimpact.core.layouts import Layout
from marketimpact.core.pandas_columns import is_of_pandas
from marketimpact.core.pandas_frames import PandasFrame
from marketimpact.core.text import first_line
from marketimpact.errors import DataError

__all__ = ["ArrowStream", "FrameLike", "is_frame", "to_pandas", "to_polars"]


@runtime_checkable
class ArrowStream(Protocol):
    """A table that exports Arrow data, such as those of pyarrow, pandas and duckdb."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the rows; see the Arrow PyCapsule interface."""


#: What every parameter for a frame takes: polars (eager or lazy), pandas, pyarrow and others that export Arrow data.
FrameLike: TypeAlias = pl.DataFrame | pl.LazyFrame | ArrowStream


#: Label of a frame -> the function that reads it from a file.
READERS = {"events": "mi.read_events", "announcements": "mi.announcements", "securities": "mi.securities"}


def is_frame(value: object) -> bool:
    """Return whether `to_polars` takes a value of this type, whatever its columns.

    Examples
    --------
    >>> is_frame(pl.DataFrame({"a": [1]})), is_frame("prices.csv"), is_frame({"a": [1]})
    (True, False, False)
    """
    if isinstance(value, pl.Series):
        return False
    return (
        isinstance(value, pl.DataFrame | pl.LazyFrame | ArrowStream)
        or is_of_pandas(value, "DataFrame", "Series")
        or hasattr(value, "__arrow_c_array__")
    )


def to_polars(frame: object, label: str, layout: Layout) -> pl.DataFrame:
    """Convert any frame to polars; a polars frame is returned as it is, a lazy one collected.

    Of pandas an index with a name becomes a column, as does one of dates (`Layout.dates`) or of text (`Layout.names`).
    Row numbers, an index of integers without a name, are left out. A matrix, with dates as index and one column per
    security, becomes one row per date and security, its empty cells too, and so do columns of two levels, fields and
    tickers, as ``yfinance.download`` gives them. Missing cells become null.

    Parameters
    ----------
    frame : object
        What the caller was given.
    label : str
        Name of the frame in messages: "prices", "securities", ...
    layout : Layout
        Columns that the frame must have.

    Raises
    ------
    DataError
        For another object, and for a pandas frame that lacks columns: what was given, why it cannot be read, and what
        to do.

    Examples
    --------
    >>> import pandas as pd
    >>> from marketimpact.core.layouts import PRICES
    >>> closes = pd.DataFrame({"AMD": [138.6, 135.3]}, index=pd.to_datetime(["2024-01-02", "2024-01-03"]))
    >>> to_polars(closes, "prices", PRICES).rows()
    [(datetime.date(2024, 1, 2), 'AMD', 138.6), (datetime.date(2024, 1, 3), 'AMD', 135.3)]
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect(engine="in-memory")
    if is_of_pandas(frame, "DataFrame", "Series"):
        return PandasFrame.of(frame, label, layout).to_polars()
    if not is_frame(frame):
        raise DataError(
            f"{label} must be a frame of polars, pandas or pyarrow, not {_type_name(frame)}."
            f"{_how_to_make(frame, label)}"
        )
    try:
        return pl.DataFrame(frame)  # type: ignore[arg-type]  # is_frame has seen its export
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError) as error:
        raise DataError(
            f"{label}: a {_type_name(frame)} of {type(frame).__module__} cannot be read as a table "
            f"({first_line(error)}). Give a table with named columns, such as a pyarrow.Table."
        ) from error


def to_pandas(frame: pl.DataFrame) -> Any:
    """Convert a frame of results to pandas, without pyarrow, which `polars.DataFrame.to_pandas` needs.

    Dates become midnights, since pandas has no type for dates; lists stay lists.

    Examples
    --------
    >>> to_pandas(pl.DataFrame({"event_id": ["a"], "car": [0.01]})).to_dict("records")
    [{'event_id': 'a', 'car': 0.01}]
    """
    import pandas as pd  # noqa: PLC0415  # costs half a second, and only who asks for pandas needs it

    return pd.DataFrame({name: _pandas_values(frame[name], pd) for name in frame.columns})


def _pandas_values(column: pl.Series, pd: Any) -> Any:
    """Convert one column: numbers and times as arrays, a null as pandas' missing value, everything else as objects."""
    kind = column.dtype
    if kind.is_float():
        return column.to_numpy()
    if kind == pl.Date:
        return pd.Series(column.cast(pl.Datetime("ms")).to_numpy())
    if isinstance(kind, pl.Datetime):
        times = pd.Series(column.dt.replace_time_zone(None).to_numpy() if kind.time_zone is None else _utc(column))
        return times if kind.time_zone is None else times.dt.tz_localize("UTC").dt.tz_convert(kind.time_zone)
    if kind.is_integer() or kind == pl.Boolean:
        name = "boolean" if kind == pl.Boolean else str(kind)
        return column.to_numpy() if not column.null_count() else pd.array(column.to_list(), dtype=name)
    # the type of text is that of the installed pandas
    return pd.Series(column.to_list(), dtype=None if kind == pl.String else object)


def _utc(column: pl.Series) -> Any:
    return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy()


def _type_name(value: object) -> str:
    return "polars Series" if isinstance(value, pl.Series) else type(value).__name__


def _how_to_make(value: object, label: str) -> str:
    """Say how an object becomes a frame, with a leading space; empty for objects that cannot."""
    if isinstance(value, str | os.PathLike):
        reader = READERS.get(label, "pl.read_csv or pl.read_parquet")
        return f" If it is the path of a file, read it first, with {reader}."
    if isinstance(value, pl.Series):
        return " Make a frame of it, such as series.to_frame() with the other columns beside it."
    if isinstance(value, dict | list):
        return " Make a frame of it: pl.DataFrame(...)."
    if hasattr(value, "compute"):
        return " Give frame.compute()."
    if hasattr(value, "to_pandas"):
        return " Give frame.to_pandas()."
    return ""
