"""Settle what the times of announcements mean before they are parsed: local times, plain dates, words."""

from __future__ import annotations

import warnings
from datetime import time

import polars as pl

from marketimpact.core.day_table import are_midnights
from marketimpact.errors import MarketImpactWarning
from marketimpact.events.contract_files import DATE, MIDNIGHT, WORD, by_zone, matches
from marketimpact.events.session_words import resolve_session_words

__all__ = ["settle_times"]

#: Headings of a column of clock times, which is no column of announcements.
CLOCK_COLUMNS = ("time", "clock", "hour", "time_of_day", "announcement_time")
#: Names of zones that keep one offset all year -> the zone of the place.
FIXED_ZONES = {"EST": "America/New_York", "MST": "America/Denver"}
#: Columns of announcements that hold instants.
_INSTANTS = ("announced_at", "not_before", "not_after", "first_reported_at")
#: Columns that hold dates or instants as text.
_DATES_OR_INSTANTS = ("official_at", "effective_at")
#: Types that are text, or hold nothing.
_TEXT = (pl.Categorical, pl.Enum, pl.Null)


def settle_times(raw: pl.DataFrame, label: str) -> pl.DataFrame:
    """Rewrite `announced_at` and its bounds where they are local times or words, and fill `time_precision`.

    Parameters
    ----------
    raw : polars.DataFrame
        Announcements as written; see `marketimpact.announcements`.
    label : str
        Name of the frame in messages.
    """
    labels = [name for name in ("time_zone", "time_precision") if name in raw.columns]
    raw = raw.with_columns(pl.col(name).cast(pl.String) for name in labels if raw.schema[name] in _TEXT)
    if any(raw.schema[name] != pl.String for name in labels):
        return raw  # no text, which the contract refuses
    _warn_about_times(raw, label)
    raw = _dates_as_text(raw)
    if "announced_at" not in raw.columns:
        return raw
    if "time_precision" not in raw.columns:
        raw = raw.with_columns(pl.lit(None, pl.String).alias("time_precision"))
    if "time_zone" in raw.columns:
        raw = _with_session_words(_midnights_as_dates(_local_times_as_text(raw)))
    return _with_precision(raw)


def _dates_as_text(raw: pl.DataFrame) -> pl.DataFrame:
    """Write dates, midnights without a zone and instants of official steps as text in ISO 8601."""
    for name in _DATES_OR_INSTANTS:
        kind = raw.schema.get(name)
        if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
            raw = raw.with_columns(pl.col(name).dt.convert_time_zone("UTC").dt.to_string("%Y-%m-%dT%H:%M:%SZ"))
        elif kind == pl.Date or (isinstance(kind, pl.Datetime) and are_midnights(raw[name])):
            raw = raw.with_columns(pl.col(name).dt.to_string("%Y-%m-%d"))
    return raw


def _warn_about_times(raw: pl.DataFrame, label: str) -> None:
    """Warn of a column of clock times that is not used, and of zones that know no daylight saving time."""
    clocks = [name for name in raw.columns if name.strip().lower() in CLOCK_COLUMNS]
    if clocks and "announced_at" in raw.columns:
        warnings.warn(
            f"{label}: column {clocks[0]!r} is kept, but not used. Write date and time together in 'announced_at', "
            "such as 2025-08-12 12:45.",
            MarketImpactWarning,
            stacklevel=4,
        )
    zones: list[str | None] = raw["time_zone"].to_list() if "time_zone" in raw.columns else []
    for zone in sorted(FIXED_ZONES.keys() & set(zones)):
        warnings.warn(
            f"{label}: time_zone {zone} has no daylight saving time. Most likely {FIXED_ZONES[zone]} is meant, whose "
            "clocks change in March and November.",
            MarketImpactWarning,
            stacklevel=4,
        )


def _local_times_as_text(raw: pl.DataFrame) -> pl.DataFrame:
    """Write datetimes without a zone as text, to be read in each row's `time_zone`.

    Where another column has a zone, these are no local times but instants that lost theirs, and are refused.
    """
    times = raw.select(name for name in _INSTANTS if isinstance(raw.schema.get(name), pl.Datetime))
    if any(kind.time_zone for kind in times.dtypes):  # type: ignore[attr-defined]
        return raw
    return raw.with_columns(clock.dt.to_string("%Y-%m-%d %H:%M:%S%.6f") for clock in times)


def _midnights_as_dates(raw: pl.DataFrame) -> pl.DataFrame:
    """Take a local midnight for a plain date where no precision is given: workbooks and pandas write dates so."""
    is_free, clock = pl.col("time_precision").is_null(), raw["announced_at"]
    if clock.dtype == pl.String:
        text = pl.col("announced_at").str.strip_chars()
        date = pl.when(is_free & matches(text, DATE + MIDNIGHT)).then(text.str.slice(0, 10))
        return raw.with_columns(date.otherwise("announced_at").alias("announced_at"))
    if not isinstance(clock.dtype, pl.Datetime) or clock.dtype.time_zone is None:
        return raw
    is_midnight = by_zone(
        raw, lambda zone: pl.col("announced_at").dt.convert_time_zone(zone).dt.time() == time(), pl.lit(value=False)
    )
    precision = pl.when(is_free & is_midnight).then(pl.lit("day"))
    return raw.with_columns(precision.otherwise("time_precision").alias("time_precision"))


def _with_session_words(raw: pl.DataFrame) -> pl.DataFrame:
    """Read dates with *BMO* or *AMC* as instants where there are any."""
    if raw["announced_at"].dtype != pl.String:
        return raw
    if not raw.select(matches(pl.col("announced_at").str.strip_chars(), DATE + WORD).any()).item():
        return raw
    return resolve_session_words(raw.with_columns(pl.col("announced_at").str.strip_chars()))


def _with_precision(raw: pl.DataFrame) -> pl.DataFrame:
    """Fill `time_precision` where it is empty: *day* for a plain date, else *minute*."""
    if raw["announced_at"].dtype == pl.Date:
        raw = raw.with_columns(pl.col("announced_at").dt.to_string("%Y-%m-%d"))
    precision = pl.lit("minute")
    if raw["announced_at"].dtype == pl.String:
        plain = matches(pl.col("announced_at").str.strip_chars(), DATE)
        precision = pl.when(plain).then(pl.lit("day")).otherwise(precision)
    return raw.with_columns(pl.coalesce("time_precision", precision).alias("time_precision"))
