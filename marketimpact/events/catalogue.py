"""The embedded chronology and universe, and a researcher's own files of the same shape.

Reading is strict and complete: every cell that cannot be read and every rule that is broken ends up
in one `DataError`, counted, with the rows at fault as they were written.
"""

from __future__ import annotations

import difflib
import io
import os
import warnings
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from marketimpact.core import csv_reader, schema
from marketimpact.core.resources import resource
from marketimpact.errors import DataError, MarketImpactWarning

if TYPE_CHECKING:
    import dataframely as dy

__all__ = ["announcements", "campaigns", "securities"]

_DATE = r"(19|20)\d{2}-\d{2}-\d{2}"
_CLOCK = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
_OFFSET = r"(Z|[+-]\d{2}:?\d{2})"
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def announcements(path: str | Path | pl.DataFrame | None = None) -> pl.DataFrame:
    """The chronology of policy announcements.

    Parameters
    ----------
    path : str, pathlib.Path or polars.DataFrame, optional
        A CSV or Parquet file, or a frame, of the same shape as the embedded chronology, which is
        used by default. ``announcement_id``, ``announced_at``, ``stance`` and ``headline`` are
        needed; other columns may be left out, and further ones are kept. In text, ``announced_at``
        is ISO 8601 with an offset or ``Z``, or a plain date, which stands for the whole of that
        day in ``time_zone``; ``targets`` are separated by ``;``. Without ``time_precision`` a plain
        date is known to the day and anything else to the minute.

    Returns
    -------
    polars.DataFrame
        One row per announcement, sorted by (announced_at, announcement_id). ``announced_at`` is an
        instant in UTC; where ``time_precision`` is *day* it is the instant at which the date
        begins in ``time_zone`` and says nothing about the clock.

    Raises
    ------
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> h20.select("time_precision", "stance", "campaign_id").row(0)
    ('hour', 'restrictive', '2025-08-h20-deal-and-discouragement')
    """
    raw, what = _load(path, "announcements")
    return (
        _read(schema.Announcements, _with_precision(raw), what)
        .with_columns(pl.col("is_confounder").fill_null(value=False))
        .sort("announced_at", "announcement_id")
    )


def securities(path: str | Path | pl.DataFrame | None = None) -> pl.DataFrame:
    """The securities that announcements may hit, with their exchange, benchmark and price limit.

    Parameters
    ----------
    path : str, pathlib.Path or polars.DataFrame, optional
        A CSV or Parquet file, or a frame; the embedded universe by default. ``symbol`` and ``mic``
        are needed, further columns are kept.

    Returns
    -------
    polars.DataFrame
        One row per symbol, in the file's order. ``price_limit`` is a fraction of the previous
        close, empty where the exchange has no limit in percent. ``policy_group`` is what the firm is in the
        trade in chips with China, by role and country, and ``business`` the same without regard to the
        country (``data/policy_groups.csv``), where the file does not say so itself.

    Raises
    ------
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> cambricon = mi.securities().filter(pl.col("symbol") == "688256.SS")
    >>> cambricon.select("mic", "board", "benchmark", "price_limit").row(0)
    ('XSHG', 'STAR', '000300.SS', 0.2)
    """
    raw, what = _load(path, "securities")
    return _with_policy_group(_read(schema.Securities, raw, what))


def _with_policy_group(firms: pl.DataFrame) -> pl.DataFrame:
    """Groups declared before looking, so that nobody chooses them by the returns."""
    if {"policy_group", "business"} & set(firms.columns) or not {"role", "country"} <= set(firms.columns):
        return firms
    if firms["role"].null_count() == firms.height:
        return firms
    groups, _ = _load(None, "policy_groups")
    at_home = pl.when(pl.col("country").is_not_null()).then(
        pl.when(pl.col("country") == "CN").then("in_china").otherwise("abroad")
    )
    joined = firms.join(groups, on="role", how="left", validate="m:1", maintain_order="left")
    return joined.with_columns(at_home.alias("policy_group")).drop("in_china", "abroad")


def campaigns(path: str | Path | pl.DataFrame | None = None) -> pl.DataFrame:
    """Campaigns: announcements so close in time and matter that they are not separate events.

    Parameters
    ----------
    path : str, pathlib.Path or polars.DataFrame, optional
        A CSV or Parquet file, or a frame; the embedded campaigns by default.

    Returns
    -------
    polars.DataFrame
        One row per ``campaign_id``, sorted by (first, campaign_id): its title, first and last day
        and a summary. Announcements name theirs in ``campaign_id``.

    Raises
    ------
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Examples
    --------
    >>> import marketimpact as mi
    >>> mi.campaigns()["campaign_id"].head(2).to_list()
    ['2019-05-huawei-listing', '2025-08-h20-deal-and-discouragement']
    """
    raw, what = _load(path, "campaigns")
    return _read(schema.Campaigns, raw, what).sort("first", "campaign_id")


def _load(path: object, name: str) -> tuple[pl.DataFrame, str]:
    """The frame as it was written, and what to call it in a message."""
    if path is None:
        return _from_csv(resource("data", f"{name}.csv"), name), name
    if isinstance(path, pl.DataFrame):
        return path, name
    if not isinstance(path, str | os.PathLike):
        raise DataError(
            f"{name}: give the path of a CSV or Parquet file, or a DataFrame, not {type(path).__name__}."
            + (" Collect it first." if isinstance(path, pl.LazyFrame) else "")
            + (" Convert it with pl.from_pandas(...)." if type(path).__module__.startswith("pandas") else "")
        )
    file = Path(path)
    what = f"{name} in {file}"
    kind = file.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise DataError(f"{what}: {kind or 'no'} extension. Only .csv and .parquet are read; convert or rename it.")
    # exists() itself raises on a name with a NUL in it
    if "\0" in str(file) or not file.exists():
        raise DataError(f"{what}: there is no such file. Check the path; relative ones start at {Path.cwd()}.")
    if file.is_dir():
        raise DataError(f"{what}: that is a folder. Name the file inside it.")
    return (_from_csv(file, what) if kind == ".csv" else _from_parquet(file, what)), what


def _from_parquet(file: Path, what: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(file.read_bytes()))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # damaged files make polars panic as often as raise
        raise DataError(f"{what}: not a readable Parquet file ({_first_line(error)}). Write it anew.") from error
    except OSError as error:
        raise DataError(f"{what}: cannot be opened ({error.strerror or error}).") from error


def _from_csv(file: Path, what: str) -> pl.DataFrame:
    """Every cell as text, an empty one as null; every row as long as the header."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise DataError(f"{what}: cannot be opened ({error.strerror or error}).") from error
    return csv_reader.parse_table(csv_reader.decode_text(raw, what), what)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]


def _with_precision(raw: pl.DataFrame) -> pl.DataFrame:
    """Say how well each instant is known where the file does not: a plain date to the day."""
    if "announced_at" not in raw.columns:
        return raw
    if raw["announced_at"].dtype == pl.Date:
        raw = raw.with_columns(pl.col("announced_at").dt.to_string("%Y-%m-%d"))
    if "time_precision" in raw.columns:
        return raw
    if raw["announced_at"].dtype != pl.String:
        return raw.with_columns(pl.lit("minute").alias("time_precision"))
    plain = _matches(pl.col("announced_at").str.strip_chars(), _DATE)
    return raw.with_columns(pl.when(plain).then(pl.lit("day")).otherwise(pl.lit("minute")).alias("time_precision"))


def _read(contract: type[dy.Schema], raw: pl.DataFrame, what: str) -> pl.DataFrame:
    """Turn text into the contract's types and check it; refuse all problems at once."""
    _warn_of_misspelt(contract, raw, what)
    text = [name for name in contract.column_names() if raw.schema.get(name) == pl.String]
    trimmed = raw.with_columns(pl.col(text).str.strip_chars().replace("", None))
    columns = contract.columns()
    typed = trimmed.with_columns(
        _parsed(trimmed, name, columns[name].dtype) for name in text if columns[name].dtype != pl.String
    )
    unreadable = {
        rule: rows
        for name in text
        for rule, rows in _unreadable(trimmed, typed, name, columns[name].dtype).items()
        if not rows.is_empty()
    }
    try:
        checked = schema.check(contract, typed, what)
    except DataError as error:
        if not unreadable or not error.counts or error.rows is None:
            raise
        raise _all_problems(raw, what, unreadable, error) from None
    if unreadable:
        raise _all_problems(raw, what, unreadable, DataError(""))
    return checked


def _warn_of_misspelt(contract: type[dy.Schema], raw: pl.DataFrame, what: str) -> None:
    """Say where a further column looks like one that may be left out, and then would not be used."""
    absent = [name for name in contract.column_names() if name not in raw.columns]
    for name in raw.columns:
        near = difflib.get_close_matches(name.strip().lower().replace(" ", "_"), absent, n=1, cutoff=0.85)
        if near and name not in contract.column_names():
            warnings.warn(
                f"{what}: column {name!r} is kept, but not used. Write {near[0]!r} if that is meant.",
                MarketImpactWarning,
                stacklevel=4,
            )


def _all_problems(raw: pl.DataFrame, what: str, unreadable: dict[str, pl.Series], broken: DataError) -> DataError:
    """One error for cells that cannot be read and rules that are broken; the rows as written."""
    counts = {rule: rows.len() for rule, rows in unreadable.items()}
    for rule, count in broken.counts.items():
        # a cell that could not be read is not also "empty"
        column, _, kind = rule.rpartition("|")
        blamed = sum(n for known, n in counts.items() if known.startswith(f"{column}|"))
        left = count - (blamed if kind == "nullability" else 0)
        if left > 0:
            counts[rule] = left
    rows = list(unreadable.values())
    if broken.rows is not None:
        rows.append(broken.rows["row"])
    numbered = raw.drop("row", strict=False).with_row_index("row", offset=1)
    return schema.contract_error(what, counts, numbered.filter(pl.col("row").is_in(pl.concat(rows).implode())))


def _parsed(frame: pl.DataFrame, name: str, wanted: pl.DataType) -> pl.Expr:
    """The text column in the type the contract wants; null where it cannot be read."""
    cell = pl.col(name)
    if wanted == pl.Date:
        return pl.when(_matches(cell, _DATE)).then(cell.str.to_date("%Y-%m-%d", strict=False)).alias(name)
    if wanted == pl.Boolean:
        return cell.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    if wanted == pl.Float64:
        return cell.cast(pl.Float64, strict=False)
    if wanted == pl.List(pl.String):
        return cell.str.split(";").list.eval(_entries())
    instant = pl.when(_matches(cell, _DATE + _CLOCK + _OFFSET)).then(_instant(cell))
    if name != "announced_at":
        return instant.alias(name)
    return instant.when(_matches(cell, _DATE)).then(_day_begins(frame, cell)).alias(name)


def _unreadable(trimmed: pl.DataFrame, typed: pl.DataFrame, name: str, wanted: pl.DataType) -> dict[str, pl.Series]:
    """Rule -> numbers of the rows whose cell in column `name` cannot be read."""
    row = pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).alias("row")
    says_precision = name == "announced_at" and trimmed.schema.get("time_precision") == pl.String
    cells = trimmed.select(
        row,
        pl.col(name).alias("text"),
        typed[name].is_null().alias("lost"),
        (pl.col("time_precision") if says_precision else pl.lit(None, pl.String)).alias("precision"),
    )
    lost = pl.col("lost") & pl.col("text").is_not_null()
    if not isinstance(wanted, pl.Datetime):
        kind = "date" if wanted == pl.Date else "truth" if wanted == pl.Boolean else "number"
        return {f"{name}|unreadable_{kind}": cells.filter(lost)["row"]}
    naive = _matches(pl.col("text"), _DATE + _CLOCK)
    dated = _matches(pl.col("text"), _DATE) & ~pl.col("lost")
    return {
        f"{name}|no_offset": cells.filter(lost, naive)["row"],
        f"{name}|unreadable_instant": cells.filter(lost, ~naive)["row"],
        f"{name}|no_clock": cells.filter(dated, pl.col("precision") != "day")["row"],
    }


def _matches(cell: pl.Expr, pattern: str) -> pl.Expr:
    return cell.str.contains(f"^{pattern}$")


def _entries() -> pl.Expr:
    entry = pl.element().str.strip_chars()
    return entry.filter(entry != "")


def _instant(cell: pl.Expr) -> pl.Expr:
    whole = (
        cell.str.replace(" ", "T", literal=True)
        .str.replace("Z", "+00:00", literal=True)
        .str.replace(r"T(\d{2}:\d{2})([+-])", "T${1}:00${2}")
    )
    return whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False)


def _day_begins(frame: pl.DataFrame, cell: pl.Expr) -> pl.Expr:
    """The instant at which a plain date begins in the row's time zone."""
    midnight = cell.str.to_datetime("%Y-%m-%d", time_unit="us", strict=False)
    # without a usable zone the row is refused for that; UTC only keeps the date from counting as unreadable
    begins = midnight.dt.replace_time_zone("UTC")
    zone = pl.col("time_zone")
    if frame.schema.get("time_zone") != pl.String:
        return begins
    for name in filter(schema.known_zone, frame["time_zone"].drop_nulls().unique()):
        begins = pl.when(zone == name).then(_local(midnight, name)).otherwise(begins)
    return begins


def _local(midnight: pl.Expr, zone: str) -> pl.Expr:
    # where the clocks go forward at midnight the day begins at 01:00
    first, second = (
        clock.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
        for clock in (midnight, midnight + timedelta(hours=1))
    )
    return pl.coalesce(first, second)
