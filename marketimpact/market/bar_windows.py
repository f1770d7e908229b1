"""Windows around instants in the bars of one symbol: where they begin, and the last quotes at their two ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats, Ints
from marketimpact.errors import SpecificationError
from marketimpact.market.bar_quotes import LONGEST_PAUSE, STOPS, quote_ages, trading_until, usual_end
from marketimpact.market.bars import BarSeries
from marketimpact.sources.bar_columns import UTC_TIME

__all__ = [
    "STALE",
    "STATUS",
    "UTC_TIME",
    "BarWindows",
    "microseconds",
    "quotes_at",
    "returns_of",
    "synchronous_returns",
    "window_note",
    "windows_at",
]

#: Why a window has no return, by its code; 0 is a window with one.
STATUS = (
    "", "no bar before", "no bar in the window", "no bar after", "a session without bars",
    "the bars end before the window does", "the last quote is older than half the window after",
)  # fmt: skip
#: Status of a window whose last quote is too old.
STALE = len(STATUS) - 1
#: A quote that is older than this share of the window after gives no return, and one older than that a note.
OLDEST, OLD = 0.5, 0.1
#: A window is no longer than a leap year, either way.
LONGEST = 366 * 24 * 3_600_000_000
_UNITS = {"ms": 1_000, "s": 1_000_000, "min": 60_000_000, "m": 60_000_000, "h": 3_600_000_000}


@dataclass(frozen=True, slots=True, eq=False)
class BarWindows:
    """Windows of one symbol around N instants.

    Attributes
    ----------
    instant : (N,) array
        Microseconds since 1970, UTC.
    start : (N,) array
        When the clock of the window starts: the instant, or the start of the first bar that trades.
    first, last : (N,) arrays
        Rows of the bars whose closes are the quotes before and after.
    waits : (N,) array
        Whether the symbol did not trade at the instant.
    status : (N,) array
        Row of `STATUS`.
    closed : (N,) array
        Microseconds after `start` at which trading stopped; -1 where it went on.
    stop : (N,) array
        Row of `STOPS`: why it did.
    age : (N,) array
        Microseconds of trading from the last quote to the end of the window, or to where trading stopped; 0 where no
        bar is missing there.
    """

    instant: Ints
    start: Ints
    first: Ints
    last: Ints
    waits: NDArray[np.bool_]
    status: Ints
    closed: Ints
    stop: Ints
    age: Ints


def microseconds(name: str, length: object, *, least: int = 0) -> int:
    """Read a length of time: "10min", "90s", "1h" or a timedelta.

    Raises
    ------
    SpecificationError
        For anything else, less than `least` microseconds, or more than 366 days.

    Examples
    --------
    >>> microseconds("after", "20min") == microseconds("after", timedelta(minutes=20)) == 1_200_000_000
    True
    """
    found: Any = None
    if isinstance(length, timedelta):
        found = length // timedelta(microseconds=1)
    elif isinstance(length, str):
        digits = length.strip().rstrip("abcdefghijklmnopqrstuvwxyz").strip()
        unit = length.strip()[len(digits) :].strip()
        if digits.lstrip("-").isdigit() and unit in _UNITS:
            found = int(digits) * _UNITS[unit]
    if found is None:
        raise SpecificationError(f"{name}={length!r} is no length of time. Write '10min', '90s' or '1h'.")
    if found < least:
        enough = "more than 0" if least == 1 else f"{least / 60e6:g} minutes or more"
        raise SpecificationError(f"{name}={length!r} is too short. Give {enough}.")
    if found > LONGEST:
        raise SpecificationError(f"{name}={length!r} is too long. Give 366 days at most.")
    return int(found)


def windows_at(series: BarSeries, instants: Ints, before: int | Ints, after: int | Ints) -> BarWindows:
    """Find the windows from `before` to `after` microseconds around instants; both may differ from one to another.

    The quote before is the close of the last bar that ended at or before ``instant - before``; the quote after that of
    the last bar that ended at or before ``start + after``. A symbol trades at an instant in a session of its exchange,
    and outside of one where the bars around it are at most an hour apart; not in a break of a session. Else the window
    starts with the next bar. A window whose last quote is older than half of it, while trading was on, has no return.
    """
    n = len(series.start)
    behind = np.searchsorted(series.end, instants, side="right") - 1
    ahead = np.minimum(behind + 1, n - 1)
    pause = series.start[ahead] - series.end[np.maximum(behind, 0)]
    trades = (series.hours.inside(instants) | (pause <= LONGEST_PAUSE)) & ~series.hours.in_break(instants)
    waits = ~(trades | (series.start[ahead] <= instants))
    start = np.where(waits, np.maximum(series.start[ahead], instants), instants)
    until = np.asarray(start + after, dtype=np.int64)
    first = np.searchsorted(series.end, instants - before, side="right") - 1
    last = np.searchsorted(series.end, until, side="right") - 1
    reach, stop = trading_until(series, until, np.maximum(last, 0))
    reach, stop = np.where(reach > start, reach, until), np.where(reach > start, stop, 0)
    age = quote_ages(series, reach, np.maximum(last, 0))
    status = np.zeros(len(instants), dtype=np.int64)
    status[age > OLDEST * (reach - start)] = STALE
    status[_lost_session(series, series.end[np.maximum(first, 0)], start)] = 4
    status[_is_cut(series, start, until, waits)] = 5
    status[last <= np.maximum(behind, first)] = 2
    status[behind + 1 >= n] = 3
    status[first < 0] = 1
    first, last = np.maximum(first, 0), np.maximum(last, 0)
    closed = np.where(stop > 0, reach - start, -1)
    return BarWindows(instants, start, first, last, waits, status, closed, stop, age)


def _is_cut(series: BarSeries, start: Ints, until: Ints, waits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find windows in which at least one bar after the last one of the symbol is missing, while it may have traded."""
    if not len(until) or until.max() < series.end[-1] + series.interval:
        return np.zeros(len(until), dtype=np.bool_)
    extended = ~series.hours.inside(start) & ~waits
    needed = series.hours.last_trading(until)
    if extended.any():
        needed = np.where(extended, np.minimum(until, usual_end(series, start)), needed)
    return np.asarray(series.end[-1] + series.interval <= needed)


def window_note(windows: BarWindows, length: int, row: int = 0) -> str:
    """Say why a window of `length` microseconds after has no return, or what shortens one that has; else empty."""
    status, age = int(windows.status[row]), int(windows.age[row])
    old = f"the last quote is {age / 60e6:.0f} minutes older than the end of the window"
    if status:
        return f"{old}, more than half of it: a halt, a hole or few trades" if status == STALE else STATUS[status]
    notes = []
    if windows.stop[row]:
        length = int(windows.closed[row])
        notes.append(f"{STOPS[windows.stop[row]]} after {length / 60e6:.0f} minutes")
        old = f"the last quote is {age / 60e6:.0f} minutes older than that"
    if age > OLD * length:
        notes.append(f"{old}: a halt, a hole or few trades")
    return ", ".join(notes)


def _lost_session(series: BarSeries, since: Ints, until: Ints) -> NDArray[np.bool_]:
    """Find windows with a whole session between the quote before and their start."""
    opened = np.searchsorted(series.hours.opens, since, side="left")
    closed = np.searchsorted(series.hours.closes, until, side="right")
    return np.asarray(closed > opened)


def returns_of(series: BarSeries, windows: BarWindows) -> Floats:
    """Compute the return of each window, a fraction; NaN where it has none."""
    ret = series.close[windows.last] / series.close[windows.first] - 1.0
    return np.where(windows.status == 0, ret, np.nan)


def synchronous_returns(benchmark: BarSeries, series: BarSeries, windows: BarWindows) -> Floats:
    """Compute the benchmark's return between the two quotes of each window; NaN where it has no bar in between.

    So too where the benchmark's bars end before the quote after, or its own is older than half the window after.
    """
    before, after = series.end[windows.first], series.end[windows.last]
    first, last = quotes_at(benchmark, before), quotes_at(benchmark, after)
    ret = benchmark.close[np.maximum(last, 0)] / benchmark.close[np.maximum(first, 0)] - 1.0
    reach, _ = trading_until(benchmark, after, np.maximum(last, 0))
    is_old = quote_ages(benchmark, reach, np.maximum(last, 0)) > OLDEST * (after - windows.start)
    known = (windows.status == 0) & (first >= 0) & (last > first) & ~is_old
    return np.where(known & (benchmark.end[-1] + benchmark.interval > after), ret, np.nan)


def quotes_at(series: BarSeries, instants: Ints) -> Ints:
    """Find the row of the last bar that ended at or before each instant; -1 for none."""
    return np.asarray(np.searchsorted(series.end, instants, side="right") - 1)


def instants_of(column: pl.Series) -> Ints:
    """Return instants as microseconds since 1970."""
    return np.asarray(column.dt.cast_time_unit("us").to_physical().to_numpy(), dtype=np.int64)
