"""Find the rows (day patterns or portfolios) whose event windows have days in common, and count these days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.events.exchange_clocks import ExchangeClock, hardly_overlapping, sessions_of_the_same_news

__all__ = ["BY_DATE", "OTHER_FIRST", "OTHER_LATER", "Overlap", "connected_groups", "overlap_of"]


#: How sessions of two exchanges are matched: on the date, or by the news they price, the other closing first or later.
BY_DATE, OTHER_FIRST, OTHER_LATER = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Pairs of rows whose windows have days in common, ``one <= other``.

    A session after a holiday shares the days of the holiday. Between exchanges that are hardly open together, dates
    do not say which sessions price the same news, and pairs of sessions that price the same news count instead.

    Attributes
    ----------
    one, other : (P,) arrays
        Row numbers of the pairs.
    weight : (P, 3) array
        Common days over ``sqrt(L_i L_j)`` by how sessions are matched: `BY_DATE`, `OTHER_FIRST` and `OTHER_LATER`,
        where "other" is the exchange with the larger number.
    asynchronous : (P,) array
        Whether the two are on exchanges that are hardly open together.
    """

    one: Ints
    other: Ints
    weight: Floats
    asynchronous: Bools

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Iterate over the numbers of every pair."""
        return zip(self.one.tolist(), self.other.tolist(), strict=True)


def overlap_of(dates: Ints, exchange: Ints, clocks: Sequence[ExchangeClock]) -> Overlap:
    """Find pairs of rows with days in common.

    Parameters
    ----------
    dates : (K, L) array
        Dates of each row's window, `NO_DAY` where there is none.
    exchange : (K,) array
        Code of each row's exchange: its position in `clocks`.
    """
    row, column = np.nonzero(dates != NO_DAY)
    day = dates[row, column]
    by_exchange = {a: (row[exchange[row] == a], day[exchange[row] == a]) for a in np.unique(exchange).tolist()}
    hardly = hardly_overlapping(clocks)
    parts: list[tuple[Ints, int, bool]] = [(np.zeros(0, dtype=np.int64), BY_DATE, False)]
    for a, (rows, days) in by_exchange.items():
        for b, (other_rows, other_days) in by_exchange.items():
            if a <= b:
                asynchronous = bool(hardly[a, b])
                for matching, i, j in _common_days(days, other_days, clocks[a], clocks[b], asynchronous=asynchronous):
                    one, other = rows[i], other_rows[j]
                    once = (one <= other) if a == b else np.ones(len(one), dtype=bool)
                    pair = np.minimum(one, other)[once] * len(dates) + np.maximum(one, other)[once]
                    parts.append((pair, matching, asynchronous))
    pair, code = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    ends = np.cumsum([len(part[0]) for part in parts])
    weight, is_asynchronous = np.zeros((len(pair), 3)), np.zeros(len(pair), dtype=bool)
    for (_, matching, asynchronous), codes in zip(parts, np.split(code, ends[:-1]), strict=True):
        weight[:, matching] += np.bincount(codes, minlength=len(pair))
        is_asynchronous[codes] = asynchronous
    one, other = np.divmod(pair, max(len(dates), 1))
    length = (dates != NO_DAY).sum(axis=1)
    return Overlap(one, other, weight / np.sqrt(length[one] * length[other])[:, None], is_asynchronous)


def _common_days(
    days: Ints, other_days: Ints, clock: ExchangeClock, other_clock: ExchangeClock, *, asynchronous: bool
) -> list[tuple[int, Ints, Ints]]:
    """Match days of two exchanges: how sessions are matched, and the positions of matching days in both arrays."""
    if not asynchronous and np.array_equal(clock.dates, other_clock.dates):
        return [(BY_DATE, *_equal(days, other_days))]
    matches = []
    for matching, (dates, other_dates) in zip(
        (OTHER_FIRST, OTHER_LATER) if asynchronous else (BY_DATE, BY_DATE),
        sessions_of_the_same_news(clock, other_clock, by_date=not asynchronous),
        strict=True,
    ):
        i, link = _equal(days, dates)
        k, j = _equal(other_dates[link], other_days)
        matches.append((matching, i[k], j))
    return matches


def _equal(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Find the positions of every pair of equal values, one left and one right."""
    order = np.argsort(right, kind="stable")
    first = np.searchsorted(right, left, side="left", sorter=order)
    count = np.searchsorted(right, left, side="right", sorter=order) - first
    i = np.repeat(np.arange(len(left)), count)
    step = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count)
    return i, order[np.repeat(first, count) + step]


def connected_groups(n: int, one: Ints, other: Ints) -> tuple[int, Ints]:
    """Count the connected groups of n rows linked by pairs, and number the group of each row, (n,)."""
    from scipy.sparse import csr_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    number, group = connected_components(csr_array((np.ones(len(one)), (one, other)), shape=(n, n)), directed=False)
    return int(number), np.asarray(group, dtype=np.int64)
