"""Align residuals over exchanges, so that a column is one placebo announcement for all events of an announcement."""

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
    """Align the residuals of the estimation window over exchanges by closing times.

    Counting sessions back from day 0 drifts apart between exchanges with other holidays. A placebo
    announcement just before a close of the exchange whose day 0 closes first meets the session of
    every other exchange that closes next, as the announcement itself did.

    Parameters
    ----------
    residuals, dates : LazyMatrix (N, M)
        Residuals in event time, and the dates of their sessions, `NO_DAY` outside the calendar.
    day0, announcement, exchange : (N,) arrays
        Date of day 0, code of the announcement and of the exchange.
    clocks : tuple of ExchangeClock
        Sessions of the exchanges.

    Returns
    -------
    LazyMatrix (N, M)
        Events of announcements within one calendar stay in event time, and so does an event
        whose day 0 is not the session that closes next. NaN where a session falls outside the
        estimation window or meets a second placebo announcement.
    """
    arrangement, columns = _columns(dates, day0=day0, announcement=announcement, exchange=exchange, clocks=clocks)
    if not len(columns):
        return residuals

    def read(rows: Ints | slice) -> Floats:
        values = residuals.rows(rows).copy()
        own = arrangement[rows]
        rearranged = np.flatnonzero(own >= 0)
        column = columns[own[rearranged]]
        values[rearranged] = np.where(column >= 0, np.take_along_axis(values[rearranged], column, axis=1), np.nan)
        return values

    return LazyMatrix(residuals.n, residuals.width, read)


def _columns(
    dates: LazyMatrix, *, day0: Ints, announcement: Ints, exchange: Ints, clocks: tuple[ExchangeClock, ...]
) -> tuple[Ints, Ints]:
    """Find the arrangement of each event's columns, (N,), -1 for event time, and the K arrangements.

    An arrangement lists a column of the estimation window for each placebo day, (K, M), -1 for none.
    """
    arrangement = np.full(dates.n, -1, dtype=np.int64)
    arrangements: list[Ints] = []
    if (exchange == exchange[:1]).all():
        return arrangement, np.empty((0, dates.width), dtype=np.int64)
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
                arrangement[own] = len(arrangements)
                arrangements.append(_columns_of(dates.rows(own[:1])[0], _next(clocks[k], placebo)))
    return arrangement, np.array(arrangements, dtype=np.int64).reshape(len(arrangements), dates.width)


def _close(clock: ExchangeClock, day: int) -> float:
    """Look up the closing instant of a session; nan outside the calendar."""
    return float(clock.closes[np.searchsorted(clock.dates, day)]) if day != NO_DAY else np.nan


def _next(clock: ExchangeClock, instants: Floats | float) -> Ints:
    """Find the dates of the first sessions that close at or after some instants; `NO_DAY` where there is none."""
    where = np.searchsorted(clock.closes, instants, side="left")
    padded = np.append(clock.dates, NO_DAY)
    return np.asarray(np.where(np.isnan(instants), NO_DAY, padded[where]))


def _columns_of(dates: Ints, requested: Ints) -> Ints:
    """Find the columns of requested dates, -1 where there is none; a date requested twice counts the last time only."""
    order = np.argsort(dates, kind="stable")
    where = np.minimum(np.searchsorted(dates, requested, sorter=order), len(dates) - 1)
    column = order[where]
    is_last = np.append(requested[1:] != requested[:-1], True)
    is_there = (dates[column] == requested) & (requested != NO_DAY) & is_last
    return np.where(is_there, column, -1)
