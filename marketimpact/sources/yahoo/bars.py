"""Convert Yahoo's bars, a pandas frame and the JSON it came from, to rows of prices or of intraday bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from marketimpact.core.schema.vocabulary import HIGHEST_PRICE, LOWEST_PRICE
from marketimpact.sources.protocol import BARS, within

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INTRADAY", "Bars", "YahooFailure", "parse_bars", "parse_intraday"]

#: Column of a price table -> column of yfinance.
COLUMNS = {
    "close": "Adj Close",
    "volume": "Volume",
    "unadjusted_close": "Close",
    "dividend": "Dividends",
    "split": "Stock Splits",
    "open": "Open",
    "high": "High",
    "low": "Low",
}
#: Columns in which values not above zero, or beyond any price, mean no value.
POSITIVE = ("close", "unadjusted_close", "dividend", "split", *BARS)

#: Columns of intraday bars; `clock` is the exchange's local time.
INTRADAY: Mapping[str, Any] = {
    "symbol": pl.String, "clock": pl.Datetime("us"), "start": pl.Datetime("us", "UTC"), "open": pl.Float64,
    "high": pl.Float64, "low": pl.Float64, "close": pl.Float64, "volume": pl.Float64,
}  # fmt: skip
#: Longest delay of Yahoo's quotes: a bar that ended later than this before now may still change.
LATEST_MINUTES = 30

#: Seconds from 1970 to 1900, before any price.
EARLIEST_STAMP = -2_208_988_800
#: Seconds from now after which a bar cannot have begun anywhere.
FUTURE_SECONDS = 2 * 86_400


class YahooFailure(Exception):  # noqa: N818  # internal; users get a note or a SourceError
    """Failure to fetch one symbol.

    Attributes
    ----------
    cause : str
        Description, without the symbol.
    retryable : bool
        Whether a later request may succeed; False where Yahoo answered that it has nothing.
    limited : bool
        Whether Yahoo limited the rate of requests.
    unreachable : bool
        Whether there was no answer from the network.
    """

    def __init__(
        self, cause: str, *, retryable: bool = False, limited: bool = False, unreachable: bool = False
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.retryable = retryable
        self.limited = limited
        self.unreachable = unreachable


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Rows of one symbol, with currency and time zone of its listing."""

    frame: pl.DataFrame
    currency: str | None
    time_zone: str | None
    notes: Mapping[str, str] = field(default_factory=dict)  # note -> symbol with its detail


def parse_bars(symbol: str, bars: pd.DataFrame, chart: Mapping[str, Any], first: date, last: date | None) -> Bars:
    """Convert a frame of bars to rows with the exchange's dates.

    Parameters
    ----------
    symbol : str
        The requested symbol.
    bars : pandas.DataFrame
        Result of `yfinance.Ticker.history` with actions and without its adjustment.
    chart : mapping
        The ``chart.result[0]`` of Yahoo's answer.
    first, last : datetime.date
        Bounds, both included.

    Raises
    ------
    YahooFailure
        If no bar of a past day has a close, or the dates have no time zone.
    """
    if bars.empty:
        raise YahooFailure("Yahoo has no prices (no bars between the dates)")
    if bars.index.tz is None:
        raise YahooFailure("the answer could not be read (dates without a time zone)", retryable=True)
    frame = _without_invalid(within(_rows(symbol, bars), first, last))
    today = _now().astimezone(bars.index.tz).date()
    past = frame.filter(pl.col("date") < today)
    notes = {}
    if past.height < frame.height:
        notes["The bar of the current day is left out, its session may be open"] = symbol
    _note_impossible_days(symbol, chart, notes)
    meta = chart["meta"]
    past = _without_foreign_dividends(_without_conflicts(past, chart, notes), chart, notes)
    _note_moved_events(past, chart, notes)
    if "adjclose" not in chart["indicators"]:
        notes["Yahoo gave no adjusted close: close is adjusted for splits only"] = symbol
    if n_empty := past["close"].null_count():
        notes["No close, or none above zero: left empty"] = f"{symbol} ({n_empty})"
    if past["close"].count() == 0:
        raise YahooFailure("Yahoo has no prices (no bar of a past day has a close)")
    currency, zone = (meta.get(name) for name in ("currency", "exchangeTimezoneName"))
    return Bars(past, currency if isinstance(currency, str) else None, zone if isinstance(zone, str) else None, notes)


def _rows(symbol: str, bars: pd.DataFrame) -> pl.DataFrame:
    """Convert a pandas frame of bars to polars."""
    numbers = {name: bars[column].to_numpy(dtype=np.float64) for name, column in COLUMNS.items()}
    schema = {"symbol": pl.String, "date": pl.Date} | dict.fromkeys(numbers, pl.Float64)
    return pl.DataFrame({"symbol": [symbol] * len(bars), "date": list(bars.index.date)} | numbers, schema=schema)


def _without_invalid(frame: pl.DataFrame) -> pl.DataFrame:
    """Replace NaN, infinity and zero, which mean no value, and what no price can be by null."""
    frame = frame.with_columns(
        pl.when(pl.col(name).is_between(LOWEST_PRICE, HIGHEST_PRICE)).then(pl.col(name)) for name in POSITIVE
    )
    # yfinance turns an unknown volume into zero; on a day without a close it is unknown
    traded = pl.col("close").is_not_null() | pl.col("unadjusted_close").is_not_null()
    known = pl.col("volume").is_finite() & (pl.col("volume") >= 0.0) & traded
    return frame.with_columns(volume=pl.when(known).then(pl.col("volume")))


def _note_impossible_days(symbol: str, chart: Mapping[str, Any], notes: dict[str, str]) -> None:
    """Note bars, dividends and splits before any price or in the future, which yfinance leaves out."""
    latest = _now().timestamp() + FUTURE_SECONDS
    n_impossible = sum(not EARLIEST_STAMP <= stamp <= latest for stamp in [*chart["timestamp"], *_event_stamps(chart)])
    if n_impossible:
        notes["Bars, dividends or splits before 1900 or in the future: left out"] = f"{symbol} ({n_impossible})"


def _event_stamps(chart: Mapping[str, Any]) -> list[Any]:
    """Return the instants of dividends and splits."""
    events = chart.get("events", {})
    return [event["date"] for kind in ("dividends", "splits") for event in events.get(kind, {}).values()]


def _without_conflicts(frame: pl.DataFrame, chart: Mapping[str, Any], notes: dict[str, str]) -> pl.DataFrame:
    """Set to null closes of days that Yahoo gave twice and differently; yfinance silently keeps one."""
    quote, stamps = chart["indicators"]["quote"][0], chart["timestamp"]
    closes = quote["close"]
    adjusted = chart["indicators"].get("adjclose", [{"adjclose": closes}])[0]["adjclose"]
    quotes = pl.DataFrame(
        {"stamp": stamps, "close": closes, "adjusted": adjusted},
        schema={"stamp": pl.Int64, "close": pl.Float64, "adjusted": pl.Float64},
        strict=False,
    )
    local = (
        pl.from_epoch("stamp").dt.replace_time_zone("UTC").dt.convert_time_zone(chart["meta"]["exchangeTimezoneName"])
    )
    repeated = (
        quotes.group_by(local.dt.date().alias("date"))
        .agg(rows=pl.len(), variants=pl.struct("close", "adjusted").n_unique())
        .filter(pl.col("rows") > 1)
        .filter(pl.col("date").is_in(frame["date"].implode()))
    )
    differing = repeated.filter(pl.col("variants") > 1)["date"]
    symbol = frame.item(0, "symbol") if frame.height else ""
    if n_equal := repeated.height - len(differing):
        notes["Days that Yahoo gave twice with the same close, kept once"] = f"{symbol} ({n_equal})"
    if differing.is_empty():
        return frame
    notes["Days that Yahoo gave twice with different closes: left empty"] = f"{symbol} ({len(differing)})"
    is_unique = ~pl.col("date").is_in(differing.implode())
    return frame.with_columns(
        pl.when(is_unique).then(pl.col(name)) for name in ("close", "unadjusted_close", "volume", *BARS)
    )


def _note_moved_events(frame: pl.DataFrame, chart: Mapping[str, Any], notes: dict[str, str]) -> None:
    """Note dividends and splits that yfinance moved from a day without a bar to the bar before."""
    days = pl.DataFrame({"stamp": _event_stamps(chart)}, schema={"stamp": pl.Int64}).select(_local_date(chart))["stamp"]
    moved = days.filter(
        days.is_between(frame["date"].min(), frame["date"].max()) & ~days.is_in(frame["date"].implode())
    )
    if len(moved):
        detail = f"{frame.item(0, 'symbol')} ({', '.join(str(day) for day in moved.unique().sort())})"
        notes["A dividend or split on a day without a bar stands on the bar before"] = detail


def _local_date(chart: Mapping[str, Any]) -> pl.Expr:
    """Convert `stamp`, in seconds since 1970, to the exchange's date."""
    zone = chart["meta"]["exchangeTimezoneName"]
    return pl.from_epoch("stamp").dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.date()


def _without_foreign_dividends(frame: pl.DataFrame, chart: Mapping[str, Any], notes: dict[str, str]) -> pl.DataFrame:
    """Set dividends to null if one is in another currency than the prices."""
    dividends = chart.get("events", {}).get("dividends", {}).values()
    foreign = {event.get("currency") for event in dividends} - {None, "", chart["meta"].get("currency")}
    if not foreign or frame.is_empty():
        return frame
    detail = f"{frame.item(0, 'symbol')} ({', '.join(sorted(foreign))})"
    notes["Dividends in another currency than the prices: left empty"] = detail
    return frame.with_columns(dividend=pl.lit(None, dtype=pl.Float64))


def _now() -> datetime:
    return datetime.now(UTC)


def parse_intraday(symbol: str, bars: pd.DataFrame, chart: Mapping[str, Any], minutes: int) -> Bars:
    """Convert a frame of intraday bars to rows with instants; bars without a price, or under way, are left out.

    Parameters
    ----------
    symbol : str
        The requested symbol.
    bars : pandas.DataFrame
        Result of `yfinance.Ticker.history` without its adjustment.
    chart : mapping
        The ``chart.result[0]`` of Yahoo's answer.
    minutes : int
        Length of a bar.

    Raises
    ------
    YahooFailure
        If the stamps have no time zone.
    """
    if bars.empty:
        return Bars(pl.DataFrame(schema=INTRADAY), None, None)
    if bars.index.tz is None:
        raise YahooFailure("the answer could not be read (stamps without a time zone)", retryable=True)
    zone = chart["meta"]["exchangeTimezoneName"]
    numbers = {
        name.lower(): bars[name].to_numpy(dtype=np.float64) for name in ("Open", "High", "Low", "Close", "Volume")
    }
    stamps = pl.Series(bars.index.tz_convert("UTC").as_unit("us").asi8).cast(pl.Datetime("us"))
    frame = pl.DataFrame({"start": stamps.dt.replace_time_zone("UTC"), **numbers}).with_columns(
        pl.when(pl.col(name).is_finite() if name == "volume" else pl.col(name).is_between(LOWEST_PRICE, HIGHEST_PRICE))
        .then(pl.col(name))
        .alias(name)
        for name in numbers
    )
    local = pl.col("start").dt.convert_time_zone(zone).dt.replace_time_zone(None)
    frame = frame.with_columns(symbol=pl.lit(symbol), clock=local).select(
        pl.col(name).cast(dtype) for name, dtype in INTRADAY.items()
    )
    until = _now() - timedelta(minutes=minutes + LATEST_MINUTES)
    finished = frame.filter(pl.col("start") <= until)
    priced = finished.drop_nulls(["open", "high", "low", "close"])
    notes = {}
    if n_late := frame.height - finished.height:
        notes[f"Bars that ended in the last {LATEST_MINUTES} minutes may change: left out"] = f"{symbol} ({n_late})"
    if n_empty := finished.height - priced.height:
        notes["Bars without a price: left out"] = f"{symbol} ({n_empty})"
    given = chart.get("timestamp", [])
    if n_repeated := len(given) - len(set(given)):
        notes["Stamps that Yahoo gave twice, of which yfinance keeps one"] = f"{symbol} ({n_repeated})"
    return Bars(priced, chart["meta"].get("currency"), zone, notes)
