"""Recognise the columns of a file of bars, and parse its stamps to clocks and instants."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources.files.price_rows import is_castable, type_error

__all__ = ["BAR_COLUMNS", "PRICES", "UTC_TIME", "check_columns", "find_columns", "parse_bars"]

PRICES = ("open", "high", "low", "close")
BAR_COLUMNS = ("symbol", "start", *PRICES, "volume")
UTC_TIME = pl.Datetime("us", "UTC")
#: Names of these columns elsewhere, in lower case and letters only.
_SYNONYMS = {
    "symbol": "symbol symbols ticker tickers code stockcode instrument ric",
    "start": "start timestamp datetime date time tradedate tradetime datetimeutc dateutc ts t index",
    "open": "open openprice o",
    "high": "high highprice h",
    "low": "low lowprice l",
    "close": "close closeprice last c",
    "volume": "volume vol v",
}
_BY_NAME = {name: column for column, names in _SYNONYMS.items() for name in names.split()}
_ZONE = r"\s*(?:Z|UTC|([+-])(\d\d):?(\d\d))$"
_SHANGHAI = r"^(\d{6})\.SH$"
#: Digits of an epoch number -> how many of its units are a second.
_EPOCHS = {10: 1, 13: 10**3, 16: 10**6, 19: 10**9}


def check_columns(columns: object) -> None:
    """Raise SpecificationError unless `columns` maps names of a file to columns of bars, or names them in order."""
    if columns is None or (isinstance(columns, Sequence) and not isinstance(columns, str)):
        return
    if not isinstance(columns, Mapping):
        raise SpecificationError(
            f"columns={columns!r} is no mapping. Give {{name in the file: column}}, such as {{'bar_time': 'start'}}, "
            "or the list of names of a file without a header."
        )
    wrong = [name for name in columns.values() if name not in BAR_COLUMNS]
    if wrong:
        raise SpecificationError(
            f"columns maps to {wrong[0]!r}, which is no column of bars.{did_you_mean(str(wrong[0]), BAR_COLUMNS)} "
            f"They are {listed(BAR_COLUMNS, limit=10, quoted=False)}."
        )


def find_columns(present: Sequence[str], columns: Mapping[str, str], label: str, *, has_symbol: bool) -> dict[str, str]:
    """Find the column of the file for each column of bars.

    Raises
    ------
    DataError
        For a stated column that is absent, two columns that could be one, or none for a stamp or a price.
    """
    absent = [name for name in columns if name not in present]
    if absent:
        raise DataError(
            f"{label} has no column {absent[0]!r}, which columns= names.{did_you_mean(absent[0], present)} It has "
            f"{listed(present, limit=20)}."
        )
    found = {own: name for name, own in columns.items()}
    for own in BAR_COLUMNS:
        if own in found:
            continue
        exact = [own] if own in present and own == "start" else []
        names = exact or [c for c in present if c not in columns and _BY_NAME.get(_letters(c)) == own]
        if len(names) > 1:
            raise DataError(
                f"{label} has several columns that could be {own!r}: {listed(names)}. "
                f"Say which one: columns={{{names[-1]!r}: {own!r}}}."
            )
        if names:
            found[own] = names[0]
    lacking = [name for name in BAR_COLUMNS if name not in found and name != "volume"]
    if has_symbol and "symbol" in lacking:
        lacking.remove("symbol")
    if lacking:
        raise _lacking_error(lacking, present, label)
    return found


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())


def _lacking_error(lacking: Sequence[str], present: Sequence[str], label: str) -> DataError:
    """Build the error for absent columns; a header that holds numbers is a row."""
    if sum(bool(re.match(r"[\d.:+\s-]+$", name)) for name in present) > 1:
        return DataError(
            f"{label} begins with a row of values ({listed(present, limit=3)}), not with names of columns. "
            "Name them in order: columns=['start', 'open', 'high', 'low', 'close', 'volume']."
        )
    advice = "Say which columns they are: columns={name in the file: column}."
    if list(lacking) == ["symbol"]:
        advice = "Say whose bars they are, such as BarFiles(path, symbol='NVDA'), or give the file the symbol's name."
    return DataError(f"{label} lacks {listed(lacking)}; it has {listed(present, limit=20)}. {advice}")


def parse_bars(rows: pl.LazyFrame, found: Mapping[str, str], symbol: str | None, label: str) -> pl.LazyFrame:
    """Parse the columns of a file to ``symbol, clock, start, open, high, low, close, volume``.

    `clock` is the stamp as it is written, without its zone; `start` (UTC) the instant where the file states a zone,
    else null. Text is parsed at once, and typed columns only when they are read.

    Raises
    ------
    DataError
        For values that are no stamps or numbers, counted, and for stamps without a time of day.
    """
    types = rows.collect_schema()
    _check_types(rows, found, label)
    name = pl.lit(symbol) if symbol is not None else _symbols(rows, found["symbol"])
    clock, start = _stamps(rows, found["start"], label)
    volume = _number(found["volume"], types) if "volume" in found else pl.lit(None, pl.Float64)
    parsed = rows.select(
        name.alias("symbol"),
        clock.cast(pl.Datetime("us")).alias("clock"),
        start.cast(UTC_TIME).alias("start"),
        *(_number(found[price], types).alias(price) for price in PRICES),
        volume.alias("volume"),
    )
    if pl.String not in [types[found[c]] for c in found if c != "symbol"]:
        return parsed
    values = parsed.collect(engine="in-memory")
    _require_readable(rows.collect(engine="in-memory"), values, found, label)
    return values.lazy()


def _check_types(rows: pl.LazyFrame, found: Mapping[str, str], label: str) -> None:
    """Raise DataError for a column whose type holds no text, or no numbers."""
    types = rows.collect_schema()
    for own, name in found.items():
        dtype = types[name]
        if own == "symbol" and not isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
            raise type_error(rows.select(name).collect(engine="in-memory")[name], "text", label)
        if own not in ("symbol", "start") and dtype != pl.String and not is_castable(own, dtype):
            raise type_error(rows.select(name).collect(engine="in-memory")[name], "numbers", label)


def _symbols(rows: pl.LazyFrame, name: str) -> pl.Expr:
    """Name the column of symbols; only where it has Shanghai's suffix of Chinese vendors, with Yahoo's in its place.

    A filter on the column itself lets Parquet skip row groups of other symbols, one on an expression reads them all.
    """
    own = pl.col(name) if rows.collect_schema()[name] == pl.String else pl.col(name).cast(pl.String)
    has_suffix = rows.select(own.unique().str.contains(_SHANGHAI).any()).collect(engine="streaming").item()
    return own.str.replace(_SHANGHAI, "$1.SS") if has_suffix else own


def _number(name: str, types: pl.Schema) -> pl.Expr:
    value = pl.col(name).str.strip_chars() if types[name] == pl.String else pl.col(name)
    return value.cast(pl.Float64, strict=types[name] != pl.String).fill_nan(None)


def _stamps(rows: pl.LazyFrame, name: str, label: str) -> tuple[pl.Expr, pl.Expr]:
    """Return expressions of the written clock and of the instant, null where no zone is stated."""
    dtype, value = rows.collect_schema()[name], pl.col(name)
    if dtype == pl.String:
        return _parsed_text(value)
    if isinstance(dtype, pl.Datetime):
        zone = dtype.time_zone
        naive = value.dt.replace_time_zone(None) if zone else value
        return naive, value.dt.convert_time_zone("UTC") if zone else pl.lit(None, UTC_TIME)
    if dtype.is_integer() or dtype.is_float():
        first = rows.select(value.drop_nulls().first()).collect(engine="in-memory").item()
        digits = len(str(int(first))) if first is not None else 0
        if digits in _EPOCHS:
            clock = pl.from_epoch((value * (10**6 / _EPOCHS[digits])).cast(pl.Int64), time_unit="us")
            return clock, clock.dt.replace_time_zone("UTC")
    kind = "dates without a time of day" if dtype == pl.Date else f"of type {dtype}"
    raise DataError(
        f"{label}: the stamps in {name!r} are {kind}. Bars need timestamps, text such as 2025-05-07 15:40:00-04:00, or "
        "seconds since 1970."
    )


def _parsed_text(value: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    text = value.str.strip_chars()
    sign = pl.when(text.str.extract(_ZONE, 1) == "-").then(-1).otherwise(1)
    minutes = [text.str.extract(_ZONE, group).cast(pl.Int64).fill_null(0) for group in (2, 3)]
    bare = text.str.replace(_ZONE, "").str.replace("T", " ", literal=True)
    forms = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y%m%d %H:%M:%S")
    clock = pl.coalesce(bare.str.to_datetime(form, strict=False, time_unit="us") for form in forms)
    is_epoch = text.str.contains(r"^\d{10}(\d{3}){0,3}$")
    number = pl.when(is_epoch).then(text).cast(pl.Float64)
    scale = text.str.len_chars().replace_strict({d: 10**6 / n for d, n in _EPOCHS.items()}, default=None)
    epoch = pl.from_epoch((number * scale).cast(pl.Int64), time_unit="us")
    offset = pl.duration(minutes=sign * (60 * minutes[0] + minutes[1]))
    start = pl.when(text.str.contains(_ZONE)).then(clock - offset).otherwise(epoch)
    return pl.coalesce(epoch, clock), start.dt.replace_time_zone("UTC")


def _require_readable(raw: pl.DataFrame, values: pl.DataFrame, found: Mapping[str, str], label: str) -> None:
    """Raise DataError where a cell was no stamp or number."""
    own = {"clock": found["start"], **{c: found[c] for c in (*PRICES, "volume") if c in found}}
    for column, name in own.items():
        cells = raw[name].cast(pl.String).str.strip_chars().replace("", None)
        unread = raw.filter(values[column].is_null() & cells.is_not_null())
        if unread.is_empty():
            continue
        cell = unread[name][0]
        kind = "stamp with a time of day, such as 2025-05-07 15:40:00-04:00" if column == "clock" else "number"
        raise DataError(
            f"{label}: {name} {cell!r} is not a {kind}. {unread.height} of {raw.height} rows are so. Correct them, or "
            "leave missing prices empty.",
            counts={"unreadable": unread.height},
            rows=unread,
        )
