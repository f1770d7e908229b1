"""Read a table against its contract: a CSV, Parquet or Excel file, a frame, or the embedded file.

Reading is strict: one `DataError` counts every unreadable cell and every broken rule, with the rows at fault as
written.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from marketimpact.core import csv_reader, layouts, schema
from marketimpact.core.frames import is_frame, to_polars
from marketimpact.core.resources import resource
from marketimpact.core.text import closest_name, first_line
from marketimpact.core.workbooks import read_workbook
from marketimpact.errors import DataError, MarketImpactWarning

if TYPE_CHECKING:
    import dataframely as dy

__all__ = ["DATE", "MIDNIGHT", "WORD", "by_zone", "load_table", "matches", "parse_table", "start_in_zone"]

#: Name of a table -> what an index of pandas stands for.
LAYOUTS = {
    "announcements": layouts.ANNOUNCEMENTS,
    "calendar_overrides": layouts.OVERRIDES,
    "campaigns": layouts.CAMPAIGNS,
    "events": replace(layouts.EVENTS, reads_text=True),
    "exposures": layouts.EXPOSURES,
    "securities": layouts.SECURITIES,
    "shares": layouts.SHARE_COUNTS,
}
#: Patterns of a date, and of a time of day, midnight and words after it.
DATE = r"(19|20)\d{2}-\d{2}-\d{2}"
CLOCK = r"[T ]\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
MIDNIGHT = r"[T ]0{1,2}:00(:00(\.0{1,6})?)?"
WORD = r"[T ,]*[A-Za-z][A-Za-z ]+"
_TIME = r"\d{1,2}:\d{2}(:\d{2})?"
_OFFSET = r"(Z|[+-]\d{2}:?\d{2})"
#: Type of a column -> what a cell that cannot be read is not.
_KINDS: dict[object, str] = {pl.Date: "date", pl.Boolean: "truth", pl.Time: "time"}
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def load_table(path: object, name: str) -> tuple[pl.DataFrame, str]:
    """Load the frame as written, and its name for messages."""
    if path is None:
        return _from_csv(_read_bytes(resource("data", f"{name}.csv"), name), name), name
    if is_frame(path):
        return to_polars(path, name, LAYOUTS[name]), name
    if not isinstance(path, str | os.PathLike):
        raise DataError(
            f"{name}: give the path of a CSV, Parquet or Excel file, or a frame, not {type(path).__name__}."
        )
    file = Path(path)
    label = f"{name} in {file}"
    suffix = file.suffix.lower()
    if suffix not in (".csv", ".parquet", ".xlsx"):
        raise DataError(
            f"{label}: {suffix or 'no'} extension. Only .csv, .parquet and .xlsx are read; convert or rename it."
        )
    # exists() itself raises on a name with a NUL in it
    if "\0" in str(file) or not file.exists():
        raise DataError(f"{label}: there is no such file. Check the path; relative paths start at {Path.cwd()}.")
    if file.is_dir():
        raise DataError(f"{label}: this is a folder. Give the path of a file in it.")
    raw = _read_bytes(file, label)
    if suffix == ".xlsx":
        return read_workbook(raw, label, name), label
    return (_from_csv(raw, label) if suffix == ".csv" else _from_parquet(raw, label)), label


def _read_bytes(file: Path, label: str) -> bytes:
    """Read a file; raise DataError if it cannot be opened."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{label}: cannot be opened ({error.strerror or error}).") from error


def _from_parquet(raw: bytes, label: str) -> pl.DataFrame:
    """Read a Parquet file; raise DataError if it is damaged."""
    try:
        return pl.read_parquet(io.BytesIO(raw))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # damaged files make polars panic as often as raise
        raise DataError(f"{label}: not a readable Parquet file ({first_line(error)[:200]}). Write it again.") from error


def _from_csv(raw: bytes, label: str) -> pl.DataFrame:
    """Read a CSV file as text columns, empty cells as null."""
    return csv_reader.parse_table(csv_reader.decode_text(raw, label), label)


def parse_table(contract: type[dy.Schema], raw: pl.DataFrame, label: str) -> pl.DataFrame:
    """Parse text into the contract's types and check it; raise one DataError for all problems."""
    text = [name for name in contract.column_names() if raw.schema.get(name) == pl.String]
    trimmed = raw.with_columns(pl.col(text).str.strip_chars().replace("", None))
    columns = contract.columns()
    typed = trimmed.with_columns(
        _parse_column(trimmed, name, columns[name].dtype) for name in text if columns[name].dtype != pl.String
    )
    unreadable = {
        rule: rows
        for name in text
        for rule, rows in _unreadable_cells(trimmed, typed, name, columns[name].dtype).items()
        if not rows.is_empty()
    }
    try:
        checked = schema.check(contract, typed, label, in_file=" in " in label)
    except DataError as error:
        if not unreadable or not error.counts or error.rows is None:
            raise
        raise _combined_error(raw, label, unreadable, error) from None
    if unreadable:
        raise _combined_error(raw, label, unreadable, DataError(""))
    _warn_about_similar_names(contract, raw, label)
    return checked


def _warn_about_similar_names(contract: type[dy.Schema], raw: pl.DataFrame, label: str) -> None:
    """Warn of an extra column whose name is close to that of an optional column that is absent."""
    absent = [name for name in contract.column_names() if name not in raw.columns]
    for name in raw.columns:
        match = closest_name(name.strip().lower().replace(" ", "_"), absent, cutoff=0.85)
        if match and name not in contract.column_names():
            warnings.warn(
                f"{label}: column {name!r} is kept, but not used. Rename it to {match!r} if that is meant.",
                MarketImpactWarning,
                stacklevel=4,
            )


def _combined_error(raw: pl.DataFrame, label: str, unreadable: dict[str, pl.Series], broken: DataError) -> DataError:
    """Combine unreadable cells and broken rules into one error, with the rows as written."""
    counts = {rule: rows.len() for rule, rows in unreadable.items()}
    for rule, count in broken.counts.items():
        # an unreadable cell was parsed to null, and is not counted as empty too
        column, _, kind = rule.rpartition("|")
        n_unreadable = sum(n for known, n in counts.items() if known.startswith(f"{column}|"))
        n_broken = count - (n_unreadable if kind == "nullability" else 0)
        if n_broken > 0:
            counts[rule] = n_broken
    rows = list(unreadable.values())
    if broken.rows is not None:
        rows.append(broken.rows["row"])
    numbered = raw.drop("row", strict=False).with_row_index("row", offset=1)
    return schema.contract_error(label, counts, numbered.filter(pl.col("row").is_in(pl.concat(rows).implode())))


def _parse_column(frame: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Expr:
    """Parse a text column into the contract's type, null where it is unreadable."""
    cell = pl.col(name)
    parsed = {
        pl.Date: pl.when(matches(cell, DATE)).then(cell.str.to_date("%Y-%m-%d", strict=False)).alias(name),
        pl.Boolean: cell.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean),
        pl.Float64: cell.cast(pl.Float64, strict=False),
        pl.Int64: cell.cast(pl.Int64, strict=False),
        pl.Time: pl.when(matches(cell, _TIME)).then(_time_of_day(cell)).alias(name),
        pl.List(pl.String): cell.str.replace_all(r"[,\r\n]", ";").str.split(";").list.eval(_stripped_entries()),
    }
    if dtype in parsed:
        return parsed[dtype]
    instant = (
        pl.when(matches(cell, DATE + CLOCK + _OFFSET))
        .then(_instant(cell))
        .when(matches(cell, DATE + CLOCK))
        .then(_local_instant(frame, cell))
    )
    if name != "announced_at":
        return instant.alias(name)
    return instant.when(matches(cell, DATE)).then(_start_of_day(frame, cell)).alias(name)


def _unreadable_cells(
    trimmed: pl.DataFrame, typed: pl.DataFrame, name: str, dtype: pl.DataType
) -> dict[str, pl.Series]:
    """Find unreadable cells of column `name`: rule -> numbers of the rows that break it."""
    lost = (typed[name].is_null() & trimmed[name].is_not_null()).alias("lost")
    if not isinstance(dtype, pl.Datetime):
        return {f"{name}|unreadable_{_KINDS.get(dtype, 'number')}": (lost.arg_true() + 1).cast(pl.UInt32)}
    has_precision = name == "announced_at" and trimmed.schema.get("time_precision") == pl.String
    cells = trimmed.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).alias("row"),
        pl.col(name).alias("text"),
        lost,
        by_zone(trimmed, lambda _: pl.lit(value=True), pl.lit(value=False)).alias("has_zone"),
        (pl.col("time_precision") if has_precision else pl.lit(None, pl.String)).alias("precision"),
    )
    unparsed = pl.col("lost")
    naive = matches(pl.col("text"), DATE + CLOCK) & (~pl.col("has_zone") | _local_clock(pl.col("text")).is_not_null())
    word = matches(pl.col("text"), DATE + WORD) if name == "announced_at" else pl.lit(value=False)
    date_only = matches(pl.col("text"), DATE) & ~pl.col("lost")
    return {
        f"{name}|no_offset": cells.filter(unparsed, naive, ~pl.col("has_zone"))["row"],
        f"{name}|clock_change": cells.filter(unparsed, naive, pl.col("has_zone"))["row"],
        f"{name}|no_session_of_word": cells.filter(unparsed, word)["row"],
        f"{name}|unreadable_instant": cells.filter(unparsed, ~naive, ~word)["row"],
        f"{name}|no_clock": cells.filter(date_only, pl.col("precision") != "day")["row"],
    }


def matches(cell: pl.Expr, pattern: str) -> pl.Expr:
    """Mark texts that match a pattern as a whole."""
    return cell.str.contains(f"^{pattern}$")


def _stripped_entries() -> pl.Expr:
    """Strip the entries of a list, without empty ones."""
    entry = pl.element().str.strip_chars()
    return entry.filter(entry != "")


def _time_of_day(cell: pl.Expr) -> pl.Expr:
    """Parse a local time, such as 9:00 or 15:30:00."""
    with_seconds = pl.when(cell.str.count_matches(":", literal=True) == 1).then(cell + ":00").otherwise(cell)
    return with_seconds.str.to_time("%H:%M:%S", strict=False)


def _instant(cell: pl.Expr) -> pl.Expr:
    """Parse ISO 8601 with an offset, seconds optional."""
    with_seconds = (
        cell.str.replace(" ", "T", literal=True)
        .str.replace("Z", "+00:00", literal=True)
        .str.replace(r"T(\d{2}:\d{2})([+-])", "T${1}:00${2}")
    )
    return with_seconds.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False)


def _local_clock(cell: pl.Expr) -> pl.Expr:
    """Parse a local date and time without a zone, seconds optional."""
    with_seconds = cell.str.replace(" ", "T", literal=True).str.replace(r"T(\d{1,2}:\d{2})$", "T${1}:00")
    return with_seconds.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)


def _local_instant(frame: pl.DataFrame, cell: pl.Expr) -> pl.Expr:
    """Parse a local time of the row's time zone; null where clocks show it twice or never."""

    def instant(zone: str) -> pl.Expr:
        local = _local_clock(cell).dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
        return local.dt.convert_time_zone("UTC")

    return by_zone(frame, instant, pl.lit(None, pl.Datetime("us", "UTC")))


def _start_of_day(frame: pl.DataFrame, cell: pl.Expr) -> pl.Expr:
    """Parse a plain date as the instant at which it starts in the row's time zone."""
    midnight = cell.str.to_datetime("%Y-%m-%d", time_unit="us", strict=False)
    # a row without a known zone is refused by that rule; UTC keeps its date from counting as unreadable
    return by_zone(frame, lambda zone: start_in_zone(midnight, zone), midnight.dt.replace_time_zone("UTC"))


def by_zone(frame: pl.DataFrame, value: Callable[[str], pl.Expr], otherwise: pl.Expr) -> pl.Expr:
    """Choose each row's value by its time zone; rows without a known zone have `otherwise`."""
    has_zones = frame.schema.get("time_zone") == pl.String
    for zone in filter(schema.known_zone, frame["time_zone"].drop_nulls().unique() if has_zones else ()):
        otherwise = pl.when(pl.col("time_zone") == zone).then(value(zone)).otherwise(otherwise)
    return otherwise


def start_in_zone(midnight: pl.Expr, zone: str) -> pl.Expr:
    """Convert local midnights to instants; where clocks go forward at midnight, the day starts at 01:00."""
    first, second = (
        clock.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
        for clock in (midnight, midnight + timedelta(hours=1))
    )
    return pl.coalesce(first, second)
