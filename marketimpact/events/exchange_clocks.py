"""Match sessions of different exchanges by the news they price: by closing times, not by dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats, Ints

__all__ = ["ExchangeClock", "hardly_overlapping", "sessions_of_the_same_news"]

Link = tuple[Ints, Ints]


@dataclass(frozen=True, slots=True, eq=False)
class ExchangeClock:
    """Sessions of one exchange and their closing times.

    Attributes
    ----------
    dates : (S,) array
        Session dates as days since 1970-01-01, increasing.
    closes : (S,) array
        Closing times, UTC hours since 1970-01-01; NaN where sessions have no times.
    opens_at, closes_at : float
        Usual opening and closing time, UTC hours after midnight of the date; nan where sessions have no times.
    """

    dates: Ints
    closes: Floats
    opens_at: float
    closes_at: float


def hardly_overlapping(clocks: Sequence[ExchangeClock]) -> NDArray[np.bool_]:
    """Find pairs of exchanges that are open together for less than half of the shorter day, (E, E)."""
    opens = np.array([clock.opens_at for clock in clocks])
    closes = np.array([clock.closes_at for clock in clocks])
    together = np.minimum(closes[:, None], closes[None, :]) - np.maximum(opens[:, None], opens[None, :])
    shorter = np.minimum((closes - opens)[:, None], (closes - opens)[None, :])
    return np.asarray(together < shorter / 2)


@lru_cache(maxsize=256)
def sessions_of_the_same_news(one: ExchangeClock, other: ExchangeClock, *, by_date: bool = False) -> tuple[Link, Link]:
    """Match the sessions of two exchanges that price the same news.

    A session prices the news since the close before it. Two sessions match when these spans of time overlap; the
    first session of an exchange has no close before it and no match.

    Parameters
    ----------
    one, other : ExchangeClock
    by_date : bool
        Take every session to close at the end of its date: sessions of one date match, and a session after a
        holiday matches those of the dates of the holiday.

    Returns
    -------
    other_first, other_later : pairs of (K,) arrays
        Dates of the sessions of `one` and of the sessions of `other` that match them: pairs of which the session of
        `other` closes first or at the same time, and pairs of which it closes later.
    """
    ends, others = (one.dates, other.dates) if by_date else (one.closes, other.closes)
    first = np.searchsorted(others, ends[:-1], side="right")
    last = np.searchsorted(others, ends[1:], side="left")
    first, last = np.maximum(first, 1), np.minimum(last, len(others) - 1)
    count = np.maximum(last - first + 1, 0)
    row = np.repeat(np.arange(1, len(ends)), count)
    start = np.repeat(np.cumsum(count) - count, count)
    column = np.arange(len(row)) - start + np.repeat(first, count)
    earlier = others[column] <= ends[row]
    dates, dates_of_other = one.dates[row], other.dates[column]
    return (dates[earlier], dates_of_other[earlier]), (dates[~earlier], dates_of_other[~earlier])
