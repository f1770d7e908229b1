"""Which sessions of different exchanges hear the same news: by their closes, not by their dates."""

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
    """Sessions of one exchange.

    Attributes
    ----------
    dates : (S,) array
        Session dates as days since 1970-01-01, increasing.
    closes : (S,) array
        When they close, UTC hours since 1970-01-01; NaN where sessions have no clock.
    opens_at, closes_at : float
        Usual open and close, UTC hours after its date's midnight; nan where sessions have no clock.
    """

    dates: Ints
    closes: Floats
    opens_at: float
    closes_at: float


def hardly_overlapping(clocks: Sequence[ExchangeClock]) -> NDArray[np.bool_]:
    """(E, E): which exchanges are open together for less than half of the shorter day."""
    opens = np.array([clock.opens_at for clock in clocks])
    closes = np.array([clock.closes_at for clock in clocks])
    together = np.minimum(closes[:, None], closes[None, :]) - np.maximum(opens[:, None], opens[None, :])
    shorter = np.minimum((closes - opens)[:, None], (closes - opens)[None, :])
    return np.asarray(together < shorter / 2)


@lru_cache(maxsize=256)
def sessions_of_the_same_news(one: ExchangeClock, other: ExchangeClock, *, by_date: bool = False) -> tuple[Link, Link]:
    """Dates of sessions that hear the same news, as two arrays each: the other closes first, the other closes later.

    A session prices the news since the close before. Two sessions are linked when these spans of time
    have a part in common; the first session of a clock has no close before it and no link. With
    `by_date` all sessions close at the end of their date: those of one date are linked, and after a
    holiday those of the dates that the session makes up for.
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
