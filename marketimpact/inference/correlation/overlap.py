"""Layouts: events with the same days; and which layouts have days of the window in common.

Events with the same days (one exchange, one day 0, nothing missing or the same missing) form a layout. Sums
over all pairs of two layouts need each event once and never a matrix of events by events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.factorize import factorize
from marketimpact.core.lazy_matrix import CHUNK, LazyMatrix
from marketimpact.core.threads import map_in_threads
from marketimpact.events.exchange_clocks import ExchangeClock, hardly_overlapping, sessions_of_the_same_news

__all__ = ["BY_DATE", "OTHER_FIRST", "OTHER_LATER", "Layouts", "Overlap", "connected_groups", "layouts", "overlap_of"]


#: How sessions are matched: on the date, or by the news they hear, the other closing first or later.
BY_DATE, OTHER_FIRST, OTHER_LATER = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class Layouts:
    """Which layout each of N events is of, and what is known of the K layouts.

    Attributes
    ----------
    of : (N,) array
        Number of each event's layout: by date of day 0, then by first event.
    place : (K,) array
        Number of its exchange and day 0.
    ragged : (K,) array of bool
        Whether its events differ in the days missing from their estimation windows.
    """

    of: Ints
    place: Ints
    ragged: Bools


def layouts(residuals: LazyMatrix, n_obs: Ints, *, day0: Ints, exchange: Ints, held: Bools, by_gaps: bool) -> Layouts:
    """Events of one exchange and day 0 that have the same days of their window, `held`, (N, W), are of one layout.

    `by_gaps` makes layouts of those too that differ in the days missing before, `n_obs` of them there.
    """
    where = factorize(day0 * (int(exchange.max(initial=0)) + 1) + exchange).codes
    gap = _patterns(n_obs < residuals.width, lambda rows: np.isnan(residuals.rows(rows)))
    window = _patterns(np.asarray(~held.all(axis=1)), lambda rows: held[rows])
    patterns = factorize(_both(_both(where, window), gap) if by_gaps else _both(where, window))
    order = np.lexsort((patterns.first_rows, day0[patterns.first_rows]))
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    first, layout = patterns.first_rows[order], number[patterns.codes]
    unlike = layout[gap != gap[first][layout]]
    return Layouts(layout, where[first], np.bincount(unlike, minlength=len(first)) > 0)


def _patterns(rows: Bools, read: Callable[[Ints], Bools]) -> Ints:
    """A number for each pattern of days that `read` tells of some rows, (N,); 0 for the other rows, all alike."""
    asked = np.flatnonzero(rows)
    parts = (asked[start : start + CHUNK] for start in range(0, len(asked), CHUNK))
    packed = list(map_in_threads(lambda part: np.packbits(read(part), axis=1), parts))
    found = np.zeros(len(rows), dtype=np.int64)
    if packed:
        bits = np.concatenate(packed)
        padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8))).view(np.int64)
        code = np.zeros(len(asked), dtype=np.int64)
        for word in padded.T:
            code = _both(code, factorize(word).codes)
        found[asked] = code + 1
    return found


def _both(one: Ints, other: Ints) -> Ints:
    """A number for each pair of numbers, in their order."""
    return factorize(one * (int(other.max(initial=0)) + 1) + other).codes


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Pairs of layouts whose windows have days in common, ``one <= other``.

    A session after a holiday has the days in common that it makes up for. Between exchanges that are hardly
    open together dates say little, and pairs of sessions that hear the same news count instead.

    Attributes
    ----------
    one, other : (P,) arrays
        Numbers of layouts.
    weight : (P, 3) array
        Common days over ``sqrt(L_i L_j)`` by how sessions are matched: on the date, or by the news they
        hear, where of two exchanges the one with the larger number closes first, or later.
    far : (P,) array
        Whether they are on exchanges that are hardly open together.
    """

    one: Ints
    other: Ints
    weight: Floats
    far: Bools

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Numbers of every pair."""
        return zip(self.one.tolist(), self.other.tolist(), strict=True)


def overlap_of(dates: Ints, exchange: Ints, clocks: Sequence[ExchangeClock]) -> Overlap:
    """Pairs of rows with days in common; (K, L) dates, `NO_DAY` where there is none."""
    row, column = np.nonzero(dates != NO_DAY)
    day = dates[row, column]
    entries = {a: (row[exchange[row] == a], day[exchange[row] == a]) for a in np.unique(exchange).tolist()}
    hardly = hardly_overlapping(clocks)
    found: list[tuple[Ints, int, bool]] = [(np.zeros(0, dtype=np.int64), BY_DATE, False)]
    for a, (here, days) in entries.items():
        for b, (there, days_there) in entries.items():
            if a <= b:
                far = bool(hardly[a, b])
                for kind, i, j in _met(days, days_there, clocks[a], clocks[b], far=far):
                    one, other = here[i], there[j]
                    kept = (one <= other) if a == b else np.ones(len(one), dtype=bool)
                    pair = np.minimum(one, other)[kept] * len(dates) + np.maximum(one, other)[kept]
                    found.append((pair, kind, far))
    pair, place = np.unique(np.concatenate([part[0] for part in found]), return_inverse=True)
    ends = np.cumsum([len(part[0]) for part in found])
    weight, is_far = np.zeros((len(pair), 3)), np.zeros(len(pair), dtype=bool)
    for (_, kind, far), at in zip(found, np.split(place, ends[:-1]), strict=True):
        weight[:, kind] += np.bincount(at, minlength=len(pair))
        is_far[at] = far
    one, other = np.divmod(pair, max(len(dates), 1))
    length = (dates != NO_DAY).sum(axis=1)
    return Overlap(one, other, weight / np.sqrt(length[one] * length[other])[:, None], is_far)


def _met(
    days: Ints, others: Ints, clock: ExchangeClock, clock_of_others: ExchangeClock, *, far: bool
) -> list[tuple[int, Ints, Ints]]:
    """Places of days of two exchanges that count as common, by how sessions are matched."""
    if not far and np.array_equal(clock.dates, clock_of_others.dates):
        return [(BY_DATE, *_equal(days, others))]
    found = []
    for kind, (dates, dates_there) in zip(
        (OTHER_FIRST, OTHER_LATER) if far else (BY_DATE, BY_DATE),
        sessions_of_the_same_news(clock, clock_of_others, by_date=not far),
        strict=True,
    ):
        i, link = _equal(days, dates)
        k, j = _equal(dates_there[link], others)
        found.append((kind, i[k], j))
    return found


def _equal(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Places of every two equal values, one left and one right."""
    order = np.argsort(right, kind="stable")
    first = np.searchsorted(right, left, side="left", sorter=order)
    count = np.searchsorted(right, left, side="right", sorter=order) - first
    i = np.repeat(np.arange(len(left)), count)
    step = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count)
    return i, order[np.repeat(first, count) + step]


def connected_groups(n: int, one: Ints, other: Ints) -> tuple[int, Ints]:
    """Number of groups of n rows chained by links, and the group of each row, (n,)."""
    from scipy.sparse import csr_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    number, group = connected_components(csr_array((np.ones(len(one)), (one, other)), shape=(n, n)), directed=False)
    return int(number), np.asarray(group, dtype=np.int64)
