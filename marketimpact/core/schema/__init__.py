"""The frames that flow between floors, and their only door.

`check` refuses a frame with every broken rule counted and the rows shown, and gives back the caller's
frame, extra columns and all. The contracts, such as ``schema.Events``, are read when one is first asked for.
"""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import polars as pl

from marketimpact.core.schema.vocabulary import MEANING, PRESENT, UTC
from marketimpact.errors import DataError

if TYPE_CHECKING:
    import dataframely as dy

    from marketimpact.core.schema.contracts import (
        Announcements,
        Benchmark,
        Campaigns,
        Events,
        Prices,
        ReturnRows,
        Returns,
        Securities,
        SymbolDays,
    )

__all__ = [
    "Announcements",
    "Benchmark",
    "Campaigns",
    "Events",
    "Prices",
    "ReturnRows",
    "Returns",
    "Securities",
    "SymbolDays",
    "check",
    "known_zone",
    "refusal",
]

#: How many rows at fault an error message prints; all of them are in `DataError.rows`.
ROWS_SHOWN = 5
#: How many columns of such a row it prints.
COLUMNS_SHOWN = 4


def __getattr__(name: str) -> Any:
    """A contract: dataframely takes longer to import than all of this package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("marketimpact.core.schema.contracts"), name)


def check(schema: type[dy.Schema], frame: object, what: str) -> pl.DataFrame:
    """Give back `frame` with the schema's columns in its types, or refuse it.

    Parameters
    ----------
    schema : type of dataframely.Schema
        The contract.
    frame : polars.DataFrame or polars.LazyFrame
        What the caller handed in. Columns the schema does not name are kept as they are.
        Columns that may be empty may be left out, but for those that make the frame what it is.
    what : str
        What the frame is, for the message: "prices", "securities", ...

    Raises
    ------
    DataError
        With every broken rule counted and the rows at fault.
    """
    frame = _as_frame(frame, what)
    frame = _with_columns(schema, frame, what)
    names = schema.column_names()
    frame = frame.with_columns(_cast(schema, frame, name, what) for name in names)
    failure = schema.filter(frame.select(names)).failure
    zones = _zone_rules(_numbered(frame, names)) if "time_zone" in names else {}
    counts = _counts(failure.counts(), schema) | {rule: rows.len() for rule, rows in zones.items()}
    if counts:
        numbered = _numbered(frame, names)
        at_fault = [_rows_at_fault(schema, numbered, failure.details()), *zones.values()]
        raise refusal(what, counts, numbered.filter(pl.col("row").is_in(pl.concat(at_fault).implode())))
    return frame


def known_zone(name: str) -> bool:
    """Whether `name` is an IANA time zone, such as ``Asia/Shanghai``."""
    if name not in zoneinfo.available_timezones():
        return False
    try:
        pl.Series([None], dtype=pl.Datetime("us", UTC)).dt.convert_time_zone(name)
    except pl.exceptions.PolarsError:  # polars brings its own, smaller table
        return False
    return True


def refusal(what: str, counts: dict[str, int], rows: pl.DataFrame) -> DataError:
    """The error for a frame that breaks rules: each rule with its count, then the rows at fault.

    Parameters
    ----------
    what : str
        What the frame is, for the message.
    counts : dict of str to int
        Broken rule -> number of rows that break it.
    rows : polars.DataFrame
        The rows at fault; ``row`` is their number in the input, from 1.
    """
    lines = [f"{what} breaks {len(counts)} rule{'s' if len(counts) > 1 else ''}:"]
    for rule, count in counts.items():
        lines.append(f"  - {_explain(rule)}: {count} row{'s' if count > 1 else ''}")
    columns = _columns_to_show(rows, counts)
    for row in rows.head(ROWS_SHOWN).iter_rows(named=True):
        lines.append(f"  row {row['row']}: " + ", ".join(f"{c}={row[c]!s}" for c in columns))
    if rows.height > ROWS_SHOWN:
        lines.append(f"  ... and {rows.height - ROWS_SHOWN} more rows in this error's `rows`")
    return DataError("\n".join(lines), counts=counts, rows=rows)


def _columns_to_show(rows: pl.DataFrame, counts: dict[str, int]) -> list[str]:
    """The first column, which is the key, then those that the broken rules name, then the next ones."""
    columns = [c for c in rows.columns if c != "row"]
    named = [c for c in columns[1:] if any(c in rule for rule in counts)]
    rest = [c for c in columns[1:] if c not in named]
    shown = [*columns[:1], *named, *rest][:COLUMNS_SHOWN]
    return [c for c in columns if c in shown]


def _as_frame(frame: object, what: str) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect(engine="in-memory")
    if not isinstance(frame, pl.DataFrame):
        raise DataError(
            f"{what} must be a polars frame, not {type(frame).__name__}."
            + (" Convert it with pl.from_pandas(...)." if type(frame).__module__.startswith("pandas") else "")
        )
    if frame.is_empty():
        raise DataError(f"{what} has no rows. Check the file, or the filter that made it.")
    return frame


def _with_columns(schema: type[dy.Schema], frame: pl.DataFrame, what: str) -> pl.DataFrame:
    columns = schema.columns()
    missing = [name for name in columns if name not in frame.columns]
    required = [name for name in missing if not columns[name].nullable or columns[name].metadata == PRESENT]
    if required:
        raise DataError(
            f"{what} lacks the column{'s' if len(required) > 1 else ''} {', '.join(map(repr, required))}; "
            f"it has {', '.join(map(repr, frame.columns))}. Rename with .rename({{...}})."
        )
    return frame.with_columns(pl.lit(None, dtype=columns[name].dtype).alias(name) for name in missing)


def _cast(schema: type[dy.Schema], frame: pl.DataFrame, name: str, what: str) -> pl.Series:
    """Cast a column only where the meaning cannot change; refuse it otherwise."""
    series, wanted = frame[name], schema.columns()[name].dtype
    if series.dtype == wanted:
        return series
    if isinstance(series.dtype, pl.Datetime) and isinstance(wanted, pl.Datetime):
        if series.dtype.time_zone is None:
            raise DataError(
                f"{what}: {name!r} holds naive timestamps, such as {series.drop_nulls().first()!s}: without "
                "a time zone nobody can tell which session they belong to. Say which with "
                f'.with_columns(pl.col("{name}").dt.replace_time_zone("Asia/Shanghai").dt.convert_time_zone("UTC")).'
            )
        return series.dt.convert_time_zone(UTC).cast(wanted)
    if series.dtype == pl.Null or _widens(series, wanted):
        # the date of a zoned midnight is the local one; a cast would take UTC's
        return series.dt.date() if isinstance(series.dtype, pl.Datetime) else series.cast(wanted)
    raise DataError(
        f"{what}: column {name!r} has type {series.dtype}, must be {wanted}"
        f" (first value: {series.drop_nulls().first()!r}). Cast it before handing it in."
    )


def _widens(series: pl.Series, wanted: pl.DataType) -> bool:
    if wanted == pl.Float64:
        return series.dtype.is_numeric()
    if wanted == pl.String:
        return isinstance(series.dtype, pl.Categorical | pl.Enum)
    if wanted == pl.Date and isinstance(series.dtype, pl.Datetime):
        return bool((series.dt.truncate("1d") == series).all())
    return False


def _counts(counts: dict[str, int], schema: type[dy.Schema]) -> dict[str, int]:
    keys = " + ".join(schema.primary_key())
    return {(f"primary_key ({keys})" if rule == "primary_key" else rule): n for rule, n in sorted(counts.items())}


def _zone_rules(numbered: pl.DataFrame) -> dict[str, pl.Series]:
    """Rules that need each row's own zone -> numbers of the rows that break them."""
    zone = pl.col("time_zone")
    known = [name for name in numbered["time_zone"].drop_nulls().unique(maintain_order=True) if known_zone(name)]
    broken = {"time_zone_known": numbered.filter(~zone.is_in(known))["row"]}
    clocks = [
        part.filter(~_begins_its_day(pl.col("announced_at").dt.convert_time_zone(str(name))))["row"]
        for (name,), part in numbered.filter(
            pl.col("time_precision") == "day", zone.is_in(known), pl.col("announced_at").is_not_null()
        )
        .partition_by("time_zone", as_dict=True)
        .items()
    ]
    broken["day_has_no_clock"] = pl.concat([numbered["row"].head(0), *clocks])
    return {rule: rows for rule, rows in broken.items() if not rows.is_empty()}


def _begins_its_day(local: pl.Expr) -> pl.Expr:
    # not "is it 00:00": where the clocks go forward at midnight, the day begins at 01:00
    return (local - timedelta(microseconds=1)).dt.date() != local.dt.date()


def _numbered(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return frame.select(names).with_row_index("row", offset=1)


def _rows_at_fault(schema: type[dy.Schema], numbered: pl.DataFrame, details: pl.DataFrame) -> pl.Series:
    if details.is_empty():
        return numbered["row"].head(0)
    names = schema.column_names()
    return numbered.join(details.select(names).unique(), on=names, how="semi", nulls_equal=True)["row"]


def _explain(rule: str) -> str:
    column, _, kind = rule.rpartition("|")
    if column:
        return f"{column} {MEANING.get(kind, kind)}"
    if rule.startswith("primary_key"):
        return f"{MEANING['primary_key']} {rule.removeprefix('primary_key ')}"
    return MEANING.get(rule, rule)
