"""Residuals side by side, so that a column is one placebo announcement for every event of an announcement."""

from __future__ import annotations

import numpy as np

from marketimpact.core.arrays import NO_DAY
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.events.exchange_clocks import ExchangeClock
from marketimpact.inference.sample import Floats, Ints

__all__ = ["align_placebo_days"]


def align_placebo_days(
    residuals: LazyMatrix,
    dates: LazyMatrix,
    *,
    day0: Ints,
    announcement: Ints,
    exchange: Ints,
    clocks: tuple[ExchangeClock, ...],
) -> LazyMatrix:
    """Residuals of the estimation window, matched over exchanges by the clock.

    Counting sessions back from day 0 drifts apart between exchanges with other holidays. A placebo
    announcement just before a close of the exchange whose day 0 closes first meets the session of
    every other exchange that closes next, as the announcement itself did.

    Parameters
    ----------
    residuals, dates : Rowwise (N, M)
        Residuals in event time, and the dates of their sessions, `NO_DAY` outside the calendar.
    day0, announcement, exchange : (N,) arrays
        Date of day 0, number of the announcement and of the exchange.
    clocks : tuple of Clock
        The exchanges' sessions.

    Returns
    -------
    Rowwise (N, M)
        Events of announcements that one calendar sees are as they were, in event time, and so is an event
        whose day 0 is not the session that closes next. NaN where a session falls outside the
        estimation window or meets a second placebo announcement.
    """
    kind, columns = _columns(dates, day0=day0, announcement=announcement, exchange=exchange, clocks=clocks)
    if not len(columns):
        return residuals

    def read(rows: Ints | slice) -> Floats:
        values = residuals.rows(rows).copy()
        own = kind[rows]
        moved = np.flatnonzero(own >= 0)
        column = columns[own[moved]]
        values[moved] = np.where(column >= 0, np.take_along_axis(values[moved], column, axis=1), np.nan)
        return values

    return LazyMatrix(residuals.n, residuals.width, read)


def _columns(
    dates: LazyMatrix, *, day0: Ints, announcement: Ints, exchange: Ints, clocks: tuple[ExchangeClock, ...]
) -> tuple[Ints, Ints]:
    """Which of the rearrangements each event has, (N,), -1 for none, and these, (K, M): columns, -1 for none."""
    kind = np.full(dates.n, -1, dtype=np.int64)
    found: list[Ints] = []
    if (exchange == exchange[:1]).all():
        return kind, np.empty((0, dates.width), dtype=np.int64)
    for rows in rows_by_code(factorize(announcement)):
        used = np.unique(exchange[rows])
        if len(used) < 2 or all(np.array_equal(clocks[used[0]].closes, clocks[k].closes) for k in used[1:]):
            continue
        closes = np.array([_close(clocks[exchange[row]], day0[row]) for row in rows])
        if np.isnan(closes).any():
            continue
        first = rows[closes.argmin()]
        reference = clocks[exchange[first]]
        placebo = np.array([_close(reference, day) for day in dates.rows(np.array([first]))[0]])
        for k in used[used != exchange[first]]:
            own = rows[exchange[rows] == k]
            own = own[[_next(clocks[k], closes.min()) == day0[row] for row in own]]
            if len(own):
                kind[own] = len(found)
                found.append(_gathered(dates.rows(own[:1])[0], _next(clocks[k], placebo)))
    return kind, np.array(found, dtype=np.int64).reshape(len(found), dates.width)


def _close(clock: ExchangeClock, day: int) -> float:
    """Closing instant of a session; nan outside the calendar."""
    return float(clock.closes[np.searchsorted(clock.dates, day)]) if day != NO_DAY else np.nan


def _next(clock: ExchangeClock, instants: Floats | float) -> Ints:
    """Dates of the first sessions that close at or after some instants; `NO_DAY` where there is none."""
    where = np.searchsorted(clock.closes, instants, side="left")
    padded = np.append(clock.dates, NO_DAY)
    return np.asarray(np.where(np.isnan(instants), NO_DAY, padded[where]))


def _gathered(dates: Ints, wanted: Ints) -> Ints:
    """Columns of the wanted dates; of a date that is wanted more than once only the last time, -1 otherwise."""
    order = np.argsort(dates, kind="stable")
    where = np.minimum(np.searchsorted(dates, wanted, sorter=order), len(dates) - 1)
    column = order[where]
    last = np.append(wanted[1:] != wanted[:-1], True)
    found = (dates[column] == wanted) & (wanted != NO_DAY) & last
    return np.where(found, column, -1)
