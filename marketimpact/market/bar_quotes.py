"""The last quotes of windows in intraday bars: where trading stopped, how old they are, and jumps like splits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Ints
from marketimpact.market.bar_checks import split_rows
from marketimpact.market.bar_stamps import Hours
from marketimpact.market.bars import BarSeries

__all__ = [
    "LONGEST_PAUSE",
    "STOPS",
    "early_closes",
    "has_split",
    "quote_ages",
    "split_note",
    "splits_of",
    "trading_until",
    "usual_end",
]

#: Outside the sessions a symbol trades at an instant if the bars around it lie no further apart than this.
LONGEST_PAUSE = 60 * 60 * 1_000_000
#: Why trading stopped before a window ended, by its code; 0 where it went on.
STOPS = ("", "the session closed", "the break began", "extended hours ended")
#: Days before one from which the usual end of its extended hours is taken.
_USUAL_DAYS = 20
_HALF_DAY = 12 * 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def trading_until(series: BarSeries, until: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Find where trading stopped at or before instants, and why: a row of `STOPS`.

    It stops at the close or a break, and after a close that later bars follow where extended hours usually end.

    Parameters
    ----------
    series : BarSeries
        Bars of one symbol.
    until : (N,) array
        Instants.
    last : (N,) array
        Row of the last bar that ended at or before each.
    """
    quoted, stop = series.end[last], series.hours.last_trading(until)
    reason = np.where(stop < until, np.where(series.hours.in_break(until), 2, 1), 0)
    extended = (reason > 0) & (quoted > stop)
    stop, reason = np.where(extended, until, stop), np.where(extended, 0, reason)
    if not extended.any():
        return stop, reason
    ahead = np.minimum(last + 1, len(series.start) - 1)
    pauses = (ahead == last) | (series.start[ahead] - quoted > LONGEST_PAUSE)
    usual = usual_end(series, quoted)
    ended = extended & pauses & (quoted <= usual) & (usual < until)
    return np.where(ended, usual, stop), np.where(ended, 3, reason)


def usual_end(series: BarSeries, instants: Ints) -> Ints:
    """Find when the symbol usually trades last on the day of each instant, after the close too.

    As long after the close of the day as the last bars of up to 20 days before, by the median; as its own where none is
    before.
    """
    noons, closes = series.hours.noons, series.hours.closes
    row = np.searchsorted(noons, series.end - _HALF_DAY)
    days, first = np.unique(row, return_index=True)
    lasts = series.end[np.append(first[1:], len(row)) - 1]
    known = days < len(noons)
    days, lasts = days[known], lasts[known]
    own = np.minimum(np.searchsorted(noons, instants - _HALF_DAY), len(noons) - 1)
    if not len(days):
        return np.asarray(noons[own] + _HALF_DAY)
    after = lasts - closes[days]
    chosen, place = np.unique(np.searchsorted(days, own), return_inverse=True)
    usual = [np.median(after[max(k - _USUAL_DAYS, 0) : max(k, 1)]) for k in chosen]
    return np.asarray(closes[own] + np.array(usual, dtype=np.int64)[place])


def early_closes(series: BarSeries, start: Ints, after: int | Ints) -> Ints:
    """Find how long after their start windows meet a close that is earlier than on the session before; -1 for none."""
    hours = series.hours
    row = np.minimum(np.searchsorted(hours.closes, start, side="right"), len(hours.closes) - 1)
    clock = hours.closes - hours.noons
    is_early = clock[row] < clock[np.maximum(row - 1, 0)]
    until = hours.closes[row] - start
    return np.asarray(np.where(hours.inside(start) & is_early & (until < after), until, -1))


def quote_ages(series: BarSeries, instants: Ints, last: Ints) -> Ints:
    """Measure how old the last quotes are, in microseconds of trading; 0 where no bar is missing.

    A bar is missing where the one after the last could have ended by the instant: it has the usual length, or ends at
    the close or a break. Nights and breaks do not count.

    Parameters
    ----------
    series : BarSeries
        Bars of one symbol.
    instants : (N,) array
        When trading is on, or stopped: of `trading_until`.
    last : (N,) array
        Row of the last bar that ended at or before each.
    """
    hours, quoted = series.hours, series.end[last]
    later = np.searchsorted(hours.opens, quoted, side="right")
    is_session_between = np.searchsorted(hours.opens, instants, side="left") > later
    outside = ~hours.inside(quoted) & ~is_session_between & ~hours.inside(instants)
    passed = np.where(outside, instants - quoted, _traded(hours, instants) - _traded(hours, quoted))
    is_trading = hours.inside(quoted) & ~hours.in_break(quoted)
    length = np.where(is_trading, np.minimum(series.interval, _next_stop(hours, quoted) - quoted), series.interval)
    return np.asarray(np.where(passed >= length, np.maximum(passed, 0), 0))


def _traded(hours: Hours, instants: Ints) -> Ints:
    """Count the microseconds of regular trading up to instants, without nights and breaks."""
    since = np.sort(np.concatenate([hours.opens, hours.break_ends]))
    lengths = np.sort(np.concatenate([hours.closes, hours.break_starts])) - since
    total = np.concatenate([[0], np.cumsum(lengths)])
    row = np.searchsorted(since, instants, side="right") - 1
    part = np.minimum(instants - since[np.maximum(row, 0)], lengths[np.maximum(row, 0)])
    return np.asarray(np.where(row < 0, 0, total[np.maximum(row, 0)] + part))


def _next_stop(hours: Hours, instants: Ints) -> Ints:
    """Find the next close or start of a break after instants in a session."""
    stops = np.sort(np.concatenate([hours.closes, hours.break_starts]))
    return np.asarray(stops[np.minimum(np.searchsorted(stops, instants, side="right"), len(stops) - 1)])


def splits_of(series: BarSeries) -> Ints:
    """Find the rows of bars that open after a jump like that of a split, as `split_like_jump` of the findings."""
    return split_rows(series.start, series.open, series.close)


def has_split(splits: Ints, first: Ints, last: Ints) -> NDArray[np.bool_]:
    """Mark windows, from the close of row `first` to that of row `last`, with a jump like a split between."""
    return np.asarray(np.searchsorted(splits, last, side="right") > np.searchsorted(splits, first, side="right"))


def split_note(series: BarSeries, splits: Ints, first: int, last: int) -> str:
    """Say where a jump like a split lies between the closes of two rows; empty where there is none."""
    row = np.searchsorted(splits, first, side="right")
    if row == len(splits) or splits[row] > last:
        return ""
    at = _EPOCH + timedelta(microseconds=int(series.start[splits[row]]))
    return f"{series.symbol} jumps like a split at {at:%Y-%m-%d %H:%M} UTC: if it is one, use adjusted bars"
