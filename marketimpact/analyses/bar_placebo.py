"""Past days at the same clock: the windows that a window around an announcement is compared with."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats, Ints
from marketimpact.market.bar_moves import Pair, PairSplits
from marketimpact.market.bar_quotes import early_closes
from marketimpact.market.bar_windows import BarWindows, returns_of, synchronous_returns, window_note, windows_at
from marketimpact.market.bars import BarSeries

__all__ = ["PastDays", "Volatility", "past_days", "past_instants", "spans_of"]

#: Sessions over which the recent volatility is averaged, beside the last one: half the weight each.
WEEK = 5
#: Rows of `STOPS`: the close, and the last of those at a time that is known before, the close and the break.
AT_CLOSE, SCHEDULED = 1, 2
#: The quote before a placebo window may be this old, where the event's was not older.
LONGEST_AGE = 60 * 60 * 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class PastDays:
    """One window and the same clock window on K past sessions, the event's first.

    Attributes
    ----------
    windows : BarWindows
        K + 1 windows.
    returns, benchmark, volatility : (K + 1,) arrays
        Returns of the security and of its benchmark, fractions, and the mean absolute return of a bar known before
        the window; NaN where unknown.
    usable : (K + 1,) array
        Whether a window can be compared.
    note : str
        Why the event's window has no return, or what weakens it; empty for nothing.
    """

    windows: BarWindows
    returns: Floats
    benchmark: Floats
    volatility: Floats
    usable: NDArray[np.bool_]
    note: str


class Volatility:
    """Mean absolute return of a bar before each row: half over the last session's bars, half over five sessions'.

    As many bars as a session has cover every clock once, so that the time of day cancels. Returns are those from open
    to close of a bar: the jump over the night is in none.
    """

    def __init__(self, series: BarSeries) -> None:
        size = np.abs(np.log(series.close / series.open))
        self.total = np.concatenate([[0.0], np.cumsum(size)])
        day = np.searchsorted(series.hours.closes, series.start, side="right")
        self.first_rows = np.unique(day, return_index=True)[1]
        self.counts = np.diff(self.first_rows)

    def session_bars(self, rows: Ints) -> Ints:
        """Count the bars of a usual session before each row: the median over all whole days before its day.

        Where there is none, the bars up to the row.
        """
        day, place = np.unique(np.searchsorted(self.first_rows, rows, side="right") - 1, return_inverse=True)
        usual = np.array([round(float(np.median(self.counts[:k]))) if k > 0 else 0 for k in day], dtype=np.int64)[place]
        return np.asarray(np.maximum(np.where(usual > 0, usual, rows + 1), 1))

    def before(self, rows: Ints, session_bars: int | Ints) -> Floats:
        """Return the volatility known at the close of bars; NaN with less than half a session before.

        A session has `session_bars`, the same for an event and its past days: of the event's row, so that no later bar
        counts.
        """
        upto = rows + 1
        means = []
        for length in (session_bars, np.multiply(session_bars, WEEK)):
            count = np.minimum(upto, length)
            means.append((self.total[upto] - self.total[upto - count]) / np.maximum(count, 1))
        known = (upto >= np.divide(session_bars, 2)) & (means[0] + means[1] > 0)
        return np.where(known, (means[0] + means[1]) / 2.0, np.nan)


def past_instants(series: BarSeries, instant: int, days: int) -> Ints:
    """Return the same local clock on up to `days` sessions before the day of `instant`, the latest first.

    Counted from noon: clocks change in the hours before, if at all on the day of a session.
    """
    local = (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(series.hours.zone))
    noon = local.replace(hour=12, minute=0, second=0, microsecond=0)
    of_day = round((local.replace(tzinfo=None) - noon.replace(tzinfo=None)) / timedelta(microseconds=1))
    before = round((noon - _EPOCH) / timedelta(microseconds=1)) - 43_200_000_000
    noons = series.hours.noons
    past = noons[(noons < before) & (noons >= series.start[0] - 86_400_000_000)]
    return np.asarray(past[::-1][:days] + of_day, dtype=np.int64)


def spans_of(instants: pl.DataFrame) -> tuple[Ints, Ints]:
    """Return from when to when each announcement can have come, of ``earliest, latest``: sorted by the first."""
    ordered = instants.sort("earliest", "latest")
    return ordered["earliest"].to_numpy(), ordered["latest"].to_numpy()


def past_days(
    pair: Pair,
    volatility: Volatility,
    instants: Ints,
    lengths: tuple[int, int],
    *,
    days: int,
    news: tuple[Ints, Ints],
) -> list[PastDays]:
    """Find the windows of announcements, and for each the same clock window on past sessions.

    Where the security did not trade at an instant, its past windows start at the clock of the bar that met the news,
    and have the gap before it too: the night from the last quote on, or the break and `before` it. Where trading
    stopped in the event's window, its past windows end at the same clock; so too at an early close, also where later
    bars follow. Past windows are left out that have no return, an older quote before them, an earlier close or break, a
    jump like a split, or another announcement of `news` (its spans, sorted) in them. All windows are computed at once:
    a thousand calls of numpy for a few rows each cost more than the rows.
    """
    before, after = lengths
    events, open_for = _events(pair.own, instants, before, after)
    groups = [
        np.concatenate([[instant], past_instants(pair.own, int(start), days)])
        for instant, start in zip(instants, events.start, strict=True)
    ]
    if not groups:
        return []
    sizes = np.array([len(group) for group in groups])
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    event_of = np.repeat(first, sizes)  # row of the event's own window
    is_past = np.arange(len(event_of)) > event_of
    gap = is_past & np.repeat(events.waits, sizes)
    reach = np.where(gap, np.repeat(_break_before(pair.own, events, before), sizes), before)
    windows = windows_at(pair.own, np.concatenate(groups), reach, np.repeat(open_for, sizes))
    ret = returns_of(pair.own, windows)
    other = np.full(len(ret), np.nan)
    if pair.benchmark is not None:
        other = synchronous_returns(pair.benchmark, pair.own, windows)
    known = volatility.before(windows.first, np.repeat(volatility.session_bars(events.first), sizes))
    splits = PairSplits.of(pair)
    is_unlike = windows.waits | _has_news(pair.own, windows, news) | splits.between(windows)
    is_unlike |= (windows.stop > 0) & (windows.stop <= SCHEDULED)
    is_unlike |= early_closes(pair.own, windows.start, np.repeat(open_for, sizes)) >= 0
    usable = np.isfinite(ret) & np.isfinite(known) & ~(is_unlike & is_past)
    usable &= ~_is_stale(pair.own, windows, before, event_of)
    usable &= np.isfinite(other) | ~np.isfinite(other)[event_of]
    closed, stop = windows.closed.copy(), windows.stop.copy()
    closed[first], stop[first] = events.closed, events.stop  # windows of events now end where trading stopped
    windows = replace(windows, closed=closed, stop=stop)
    parts = [slice(start, start + size) for start, size in zip(first, sizes, strict=True)]
    return [
        PastDays(
            _part(windows, part), ret[part], other[part], known[part], usable[part],
            _event_note(events, splits, after, k),
        )
        for k, part in enumerate(parts)
    ]  # fmt: skip


def _events(series: BarSeries, instants: Ints, before: int, after: int) -> tuple[BarWindows, Ints]:
    """Find the windows of announcements, and how long after their start trading went on as on other days."""
    events = windows_at(series, instants, before, after)
    early = early_closes(series, events.start, after)
    if (early >= 0).any():  # in extended hours on a half day other days are in session: the window ends at the close
        cut = windows_at(series, instants, before, np.where(early >= 0, early, after))
        events = replace(cut, closed=np.maximum(early, cut.closed), stop=np.where(early >= 0, AT_CLOSE, cut.stop))
    return events, np.where(events.stop > 0, events.closed, after)


def _event_note(events: BarWindows, splits: PairSplits, after: int, row: int) -> str:
    """Say why an event's window has no return, or what weakens it."""
    jump = "" if events.status[row] else splits.note(events, row)
    return "; ".join(filter(None, (window_note(events, after, row), jump)))


def _part(windows: BarWindows, rows: slice) -> BarWindows:
    return BarWindows(*(getattr(windows, field.name)[rows] for field in fields(windows)))


def _break_before(series: BarSeries, events: BarWindows, before: int) -> Ints:
    """Return how long before the end of a break the window of news in it begins; 0 for other windows."""
    hours = series.hours
    same = np.searchsorted(hours.opens, events.instant, side="right") == np.searchsorted(
        hours.opens, events.start, side="right"
    )
    return np.where(same & hours.in_break(events.instant), events.start - events.instant + before, 0)


def _is_stale(series: BarSeries, windows: BarWindows, before: int, event_of: Ints) -> NDArray[np.bool_]:
    """Mark past windows whose quote before is older than the event's, and than an hour or two bars."""
    age = windows.instant - before - series.end[windows.first]
    return np.asarray(
        (age > np.maximum(age[event_of], max(LONGEST_AGE, 2 * series.interval))) & ~windows.waits[event_of]
    )


def _has_news(series: BarSeries, windows: BarWindows, news: tuple[Ints, Ints]) -> NDArray[np.bool_]:
    """Mark windows between whose quotes an announcement can have come: with a span that reaches into them."""
    earliest, latest = news
    begun = np.searchsorted(earliest, series.end[windows.last], side="right")
    latest_yet = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(latest)])
    return np.asarray(latest_yet[begun] >= series.end[windows.first])
