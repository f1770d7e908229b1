"""Read JSON files of bars: a list of records, or the answer of Alpha Vantage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError

__all__ = ["parse_json"]

#: Names of Alpha Vantage's columns begin with their number: "1. open".
_NUMBER = re.compile(r"^\d+\.\s*")
#: Zones of Alpha Vantage's stamps by its names -> IANA.
_ZONES = {"US/Eastern": "America/New_York"}


def parse_json(content: bytes, label: str) -> pl.DataFrame:
    """Parse JSON to a table of bars, as text where cells are text.

    Parameters
    ----------
    content : bytes
        A list of records such as ``[{"t": "2025-05-07T13:30:00Z", "o": 1.0, ...}]``, or Alpha Vantage's answer with
        ``"Meta Data"`` and ``"Time Series (5min)"``.
    label : str
        Name of the file in messages.

    Raises
    ------
    DataError
        For anything else.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{label} is no JSON ({error}). Check that the download is whole.") from error
    if isinstance(found, list) and found and all(isinstance(row, Mapping) for row in found):
        return _table(found, label)
    if isinstance(found, Mapping) and (series := [key for key in found if str(key).startswith("Time Series")]):
        return _alpha_vantage(found, series[0], label)
    keys = f" Its keys are {listed([str(key) for key in found])}." if isinstance(found, Mapping) else ""
    raise DataError(
        f"{label} is neither a list of records nor an answer of Alpha Vantage.{keys} Give its bars as a frame."
    )


def _alpha_vantage(found: Mapping[str, Any], series: str, label: str) -> pl.DataFrame:
    """Lay out Alpha Vantage's answer: symbol and zone from its facts, one row per stamp."""
    facts = found.get("Meta Data")
    facts = {_NUMBER.sub("", str(k)): v for k, v in facts.items()} if isinstance(facts, Mapping) else {}
    bars = found[series]
    if not isinstance(bars, Mapping) or not all(isinstance(bar, Mapping) for bar in bars.values()):
        raise DataError(f"{label}: {series!r} is not one record per stamp. Check that the download is whole.")
    rows = [{"start": stamp, **{_NUMBER.sub("", k): v for k, v in bar.items()}} for stamp, bar in bars.items()]
    table = _table(rows, label)
    zone = _ZONES.get(str(facts.get("Time Zone")))
    clock = pl.col("start").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    if zone and table.select(clock.is_not_null().all()).item():
        # as text with its offset: each hour that an autumn night has twice is taken for the first
        local = clock.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        table = table.with_columns(local.dt.strftime("%Y-%m-%d %H:%M:%S%z").fill_null(pl.col("start")).alias("start"))
    symbol = facts.get("Symbol")
    return table.with_columns(symbol=pl.lit(symbol)) if isinstance(symbol, str) else table


def _table(rows: list[Any], label: str) -> pl.DataFrame:
    try:
        return pl.DataFrame(rows, infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{label} has records that make no table ({error}). Give its bars as a frame.") from error
