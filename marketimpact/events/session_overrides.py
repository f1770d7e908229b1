"""Sessions, closures and trading hours that the library of calendars lacks: embedded ones, or a user's."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import FrameLike
from marketimpact.events.contract_files import load_table, parse_table

__all__ = ["calendar_overrides"]


def calendar_overrides(path: str | Path | FrameLike | None = None) -> pl.DataFrame:
    """Load sessions, closures and trading hours that exchange_calendars lacks.

    Parameters
    ----------
    path : str, pathlib.Path or FrameLike, optional
        A CSV, Parquet or Excel file, or a frame, with ``mic``, ``date`` and, as needed, ``is_session``, ``open``,
        ``close`` and ``source``; the embedded rows by default.

    Returns
    -------
    polars.DataFrame
        One row per (mic, date), sorted. ``is_session`` is false where the exchange was shut that day, and true where
        the cell or the column is absent. ``open`` and ``close`` are local times (``09:00``, or `datetime.time`);
        empty: the usual ones. A row holds for every exchange of the same calendar, such as XTAI and ROCO.

    Raises
    ------
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> exam_days = mi.calendar_overrides().filter(pl.col("mic") == "XKRX", pl.col("is_session"))
    >>> exam_day = exam_days.row(-1, named=True)
    >>> exam_day["open"].isoformat(), exam_day["close"].isoformat()
    ('10:00:00', '16:30:00')
    """
    raw, label = load_table(path, "calendar_overrides")
    return (
        parse_table(schema.CalendarOverrides, raw, label)
        .with_columns(pl.col("is_session").fill_null(value=True))
        .sort("mic", "date")
    )
