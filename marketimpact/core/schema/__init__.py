"""Check frames against their contracts.

`check` returns the caller's frame with its extra columns, or raises an error that counts every broken rule and shows
rows at fault. The contracts, such as ``schema.Events``, are imported on first use.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import polars as pl

from marketimpact.core import layouts
from marketimpact.core.day_table import are_midnights
from marketimpact.core.frames import to_polars
from marketimpact.core.layouts import Layout
from marketimpact.core.schema.vocabulary import ADVICE, MEANING, PRESENT, UTC
from marketimpact.core.text import closest_name, listed
from marketimpact.core.type_advice import Kind, how_to_convert, how_to_reshape, value_at_fault
from marketimpact.errors import DataError

if TYPE_CHECKING:
    import dataframely as dy

    from marketimpact.core.schema.contracts import (
        Announcements,
        Benchmark,
        CalendarOverrides,
        Campaigns,
        Events,
        Exposures,
        Found,
        PriceRows,
        Prices,
        ReturnRows,
        Returns,
        Securities,
        ShareCounts,
        SymbolDays,
        Symbols,
    )

__all__ = [
    "Announcements",
    "Benchmark",
    "CalendarOverrides",
    "Campaigns",
    "Events",
    "Exposures",
    "Found",
    "PriceRows",
    "Prices",
    "ReturnRows",
    "Returns",
    "Securities",
    "ShareCounts",
    "SymbolDays",
    "Symbols",
    "as_frame",
    "check",
    "contract_error",
    "known_zone",
]

#: Contract -> what an index or a matrix of pandas stands for.
LAYOUTS = {
    "Announcements": layouts.ANNOUNCEMENTS,
    "Benchmark": layouts.BENCHMARK,
    "CalendarOverrides": layouts.OVERRIDES,
    "Campaigns": layouts.CAMPAIGNS,
    "Events": layouts.EVENTS,
    "Exposures": layouts.EXPOSURES,
    "Found": layouts.FOUND,
    "PriceRows": layouts.PRICES,
    "Prices": layouts.PRICES,
    "ReturnRows": layouts.RETURNS,
    "Returns": layouts.RETURNS,
    "Securities": layouts.SECURITIES,
    "ShareCounts": layouts.SHARE_COUNTS,
    "SymbolDays": layouts.SYMBOL_DAYS,
    "Symbols": layouts.SYMBOLS,
}
#: Number of rows at fault that a message shows; all of them are in `DataError.rows`.
ROWS_SHOWN = 5
#: Number of columns of such a row that it shows.
COLUMNS_SHOWN = 4
#: Number of a frame's columns that a message lists.
COLUMNS_LISTED = 20


def __getattr__(name: str) -> Any:
    """Import a contract on first use: dataframely takes longer to import than this whole package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("marketimpact.core.schema.contracts"), name)


def check(schema: type[dy.Schema], frame: object, label: str, *, in_file: bool = False) -> pl.DataFrame:
    """Return `frame` with the schema's columns in the schema's types, or raise.

    Parameters
    ----------
    schema : type of dataframely.Schema
        The contract.
    frame : FrameLike
        Columns the schema does not name are kept as they are. Nullable columns may be left out, unless the
        contract marks them as present.
    label : str
        Name of the frame in messages: "prices", "securities", ...
    in_file : bool
        Whether the frame was read from a file, so that messages name its header instead of polars methods.

    Raises
    ------
    DataError
        With every broken rule counted and the rows at fault.
    """
    frame = as_frame(frame, label, LAYOUTS[schema.__name__])
    frame = _with_columns(schema, frame, label, in_file=in_file)
    names = schema.column_names()
    frame = frame.with_columns(_cast(schema, frame, name, label) for name in names)
    failure = schema.filter(frame.select(names)).failure
    zone_failures = _zone_rules(_with_row_numbers(frame, names)) if "time_zone" in names else {}
    counts = _counts(failure.counts(), schema) | {rule: rows.len() for rule, rows in zone_failures.items()}
    if counts:
        numbered = _with_row_numbers(frame, names)
        at_fault = [_rows_at_fault(schema, numbered, failure.details()), *zone_failures.values()]
        raise contract_error(label, counts, numbered.filter(pl.col("row").is_in(pl.concat(at_fault).implode())))
    return frame


def known_zone(name: str) -> bool:
    """Return whether `name` is an IANA time zone, such as ``Asia/Shanghai``."""
    if name not in _zone_names():
        return False
    try:
        pl.Series([None], dtype=pl.Datetime("us", UTC)).dt.convert_time_zone(name)
    except pl.exceptions.PolarsError:  # the table of polars is smaller
        return False
    return True


@cache
def _zone_names() -> frozenset[str]:
    """List the zones of this machine once: that reads the folders of the time zone database."""
    return frozenset(zoneinfo.available_timezones())


def contract_error(label: str, counts: dict[str, int], rows: pl.DataFrame) -> DataError:
    """Build the error for a frame that breaks rules: each rule with its count, then rows at fault.

    Parameters
    ----------
    label : str
        Name of the frame in the message.
    counts : dict of str to int
        Broken rule -> number of rows that break it.
    rows : polars.DataFrame
        The rows at fault; ``row`` is their number in the input, from 1.
    """
    lines = [f"{label} breaks {len(counts)} rule{'s' if len(counts) > 1 else ''}:"]
    for rule, count in counts.items():
        advice = f". {ADVICE[rule]}" if rule in ADVICE else ""
        lines.append(f"  - {_explain(rule)}: {count} row{'s' if count > 1 else ''}{advice}")
    columns = _columns_to_show(rows, counts)
    for row in rows.head(ROWS_SHOWN).iter_rows(named=True):
        lines.append(f"  row {row['row']}: " + ", ".join(f"{c}={row[c]!s}" for c in columns))
    if rows.height > ROWS_SHOWN:
        lines.append(f"  ... and {rows.height - ROWS_SHOWN} more, in the error's `rows`")
    return DataError("\n".join(lines), counts=counts, rows=rows)


def _columns_to_show(rows: pl.DataFrame, counts: dict[str, int]) -> list[str]:
    """Choose the key, which is the first column, then columns named by broken rules, then the next ones."""
    columns = [c for c in rows.columns if c != "row"]
    named = [c for c in columns[1:] if any(c in rule for rule in counts)]
    rest = [c for c in columns[1:] if c not in named]
    shown = [*columns[:1], *named, *rest][:COLUMNS_SHOWN]
    return [c for c in columns if c in shown]


def as_frame(frame: object, label: str, layout: Layout) -> pl.DataFrame:
    """Convert any frame to polars, as `to_polars` does; raise DataError for one without rows."""
    table = to_polars(frame, label, layout)
    if table.is_empty():
        raise DataError(f"{label} has no rows. Check the file, or the filter that made it.")
    return table


def _with_columns(schema: type[dy.Schema], frame: pl.DataFrame, label: str, *, in_file: bool) -> pl.DataFrame:
    """Add nullable columns of the schema that are absent; raise DataError for required ones."""
    columns = schema.columns()
    missing = [name for name in columns if name not in frame.columns]
    required = [name for name in missing if not columns[name].nullable or columns[name].metadata == PRESENT]
    if required:
        raise DataError(
            f"{label} lacks the column{'s' if len(required) > 1 else ''} {', '.join(map(repr, required))}; "
            f"it has {listed(frame.columns, limit=COLUMNS_LISTED)}. "
            f"{how_to_reshape(frame, required) or _how_to_rename(frame, required, in_file=in_file)}"
        )
    return frame.with_columns(pl.lit(None, dtype=columns[name].dtype).alias(name) for name in missing)


def _how_to_rename(frame: pl.DataFrame, required: Sequence[str], *, in_file: bool) -> str:
    """Name the columns that are most likely meant, by their spelling."""
    letters = {name.lower().replace("_", ""): name for name in frame.columns}
    close = {name: closest_name(name.replace("_", ""), letters, cutoff=0.8) for name in required}
    renames = {letters[match]: name for name, match in close.items() if match}
    if in_file:
        changes = [f"{old!r} to {new!r}" for old, new in renames.items()]
        added = [repr(name) for name in required if name not in renames.values()]
        steps = [f"rename {', '.join(changes)}"] * bool(changes) + [f"add {', '.join(added)}"] * bool(added)
        return f"In the file's header {' and '.join(steps)}."
    return f"Rename with .rename({renames})." if renames else "Add what is missing, or rename with .rename({...})."


def _cast(schema: type[dy.Schema], frame: pl.DataFrame, name: str, label: str) -> pl.Series:
    """Cast a column where its meaning cannot change; raise DataError otherwise."""
    series, dtype = frame[name], schema.columns()[name].dtype
    if series.dtype == dtype:
        return series
    if isinstance(series.dtype, pl.Datetime) and isinstance(dtype, pl.Datetime):
        if series.dtype.time_zone is None:
            raise DataError(
                f"{label}: {name!r} has timestamps without a time zone, such as {series.drop_nulls().first()!s}, so "
                "their session is unknown. Add the zone with "
                f'.with_columns(pl.col("{name}").dt.replace_time_zone("Asia/Shanghai").dt.convert_time_zone("UTC")).'
            )
        return series.dt.convert_time_zone(UTC).cast(dtype)
    if series.dtype == pl.Null or _is_lossless(series, dtype):
        # the date of a zoned midnight is the local one; a cast would take UTC's
        return series.dt.date() if isinstance(series.dtype, pl.Datetime) else series.cast(dtype)
    if dtype == pl.Int64 and series.dtype.is_float():
        broken = series.filter((series % 1 != 0).fill_null(value=False))
        raise DataError(f"{label}: column {name!r} must hold whole numbers, but has {broken[0]}. Correct or empty it.")
    raise DataError(
        f"{label}: column {name!r} has type {series.dtype}, must be {dtype}"
        f" (such as {value_at_fault(series, _kind(dtype))}). {how_to_convert(series, _kind(dtype))}"
    )


def _kind(dtype: pl.DataType) -> Kind:
    """Name what a column of the contract holds."""
    if isinstance(dtype, pl.Datetime):
        return "instants"
    names: dict[pl.DataType, Kind] = {pl.Date(): "dates", pl.String(): "text", pl.Boolean(): "true or false"}
    return names.get(dtype, "numbers")


def _is_lossless(series: pl.Series, dtype: pl.DataType) -> bool:
    """Return whether a cast to `dtype` keeps the meaning: a number, whole for an integer, a category, or midnights."""
    if dtype == pl.Float64:
        return series.dtype.is_numeric()
    if dtype == pl.Int64:
        whole = series.dtype.is_float() and bool((series.drop_nulls() % 1 == 0).all())
        return series.dtype.is_integer() or whole
    if dtype == pl.String:
        return isinstance(series.dtype, pl.Categorical | pl.Enum)
    if dtype == pl.Date and isinstance(series.dtype, pl.Datetime):
        return are_midnights(series)
    return False


def _counts(counts: dict[str, int], schema: type[dy.Schema]) -> dict[str, int]:
    """Sort the counts by rule, and add the key's columns to the rule that it must not repeat."""
    keys = " + ".join(schema.primary_key())
    return {(f"primary_key ({keys})" if rule == "primary_key" else rule): n for rule, n in sorted(counts.items())}


def _zone_rules(numbered: pl.DataFrame) -> dict[str, pl.Series]:
    """Check the rules that depend on each row's time zone: rule -> numbers of the rows that break it."""
    zone = pl.col("time_zone")
    known = [name for name in numbered["time_zone"].drop_nulls().unique(maintain_order=True) if known_zone(name)]
    broken = {"time_zone_known": numbered.filter(~zone.is_in(known))["row"]}
    clocks = [
        part.filter(~_is_start_of_day(pl.col("announced_at").dt.convert_time_zone(str(name))))["row"]
        for (name,), part in numbered.filter(
            pl.col("time_precision") == "day", zone.is_in(known), pl.col("announced_at").is_not_null()
        )
        .partition_by("time_zone", as_dict=True)
        .items()
    ]
    broken["day_has_no_clock"] = pl.concat([numbered["row"].head(0), *clocks])
    return {rule: rows for rule, rows in broken.items() if not rows.is_empty()}


def _is_start_of_day(local: pl.Expr) -> pl.Expr:
    """Compare with the microsecond before: where clocks go forward at midnight, the day starts at 01:00."""
    return (local - timedelta(microseconds=1)).dt.date() != local.dt.date()


def _with_row_numbers(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Select columns, and add `row`, the number of the row in the input from 1."""
    return frame.select(names).with_row_index("row", offset=1)


def _rows_at_fault(schema: type[dy.Schema], numbered: pl.DataFrame, details: pl.DataFrame) -> pl.Series:
    """Return the numbers of the rows that dataframely rejects."""
    if details.is_empty():
        return numbered["row"].head(0)
    names = schema.column_names()
    return numbered.join(details.select(names).unique(), on=names, how="semi", nulls_equal=True)["row"]


def _explain(rule: str) -> str:
    """Describe a rule in words for a message."""
    column, _, broken_rule = rule.rpartition("|")
    if column:
        return f"{column} {MEANING.get(broken_rule, broken_rule)}"
    if rule.startswith("primary_key"):
        return f"{MEANING['primary_key']} {rule.removeprefix('primary_key ')}"
    return MEANING.get(rule, rule)
