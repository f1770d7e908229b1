"""Sums of correlations over all pairs of events of two day patterns, each computed once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, pairwise, product
from typing import Protocol, TypeVar

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.core.threads import map_in_threads
from marketimpact.events.exchange_clocks import ExchangeClock, sessions_of_the_same_news
from marketimpact.inference.correlation.day_patterns import DayPatterns
from marketimpact.inference.correlation.missing_days import (
    BY_DATE_ALONE,
    BlockRequest,
    Matches,
    ResidualBlocks,
    sum_correlations,
)
from marketimpact.inference.correlation.overlap import BY_DATE, OTHER_FIRST, Overlap, overlap_of
from marketimpact.inference.correlation.standardised import (
    PatternSums,
    StandardisedSums,
    dot_products,
    positions_of,
    standardised_sums,
)

__all__ = [
    "EventResiduals",
    "PairCorrelations",
    "PatternPair",
    "WindowedResiduals",
    "shared_pairs",
    "window_correlation",
]


#: Two day patterns, ``one <= other``, and how their sessions are matched (`BY_DATE`, `OTHER_FIRST`, `OTHER_LATER`).
PatternPair = tuple[int, int, int]
T = TypeVar("T")


class Residuals(Protocol):
    """Estimation-window residuals of events or portfolios, and their exchanges; see `Sample` for the shapes."""

    @property
    def residuals(self) -> LazyMatrix: ...
    @property
    def residual_dates(self) -> LazyMatrix: ...
    @property
    def exchange(self) -> Ints: ...
    @property
    def clocks(self) -> tuple[ExchangeClock, ...]: ...


class WindowedResiduals(Residuals, Protocol):
    """`Residuals` and the dates of an event window, (N, L)."""

    @property
    def dates(self) -> Ints: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class EventResiduals:
    """The fields of `Residuals` and nothing else."""

    residuals: LazyMatrix
    residual_dates: LazyMatrix
    exchange: Ints
    clocks: tuple[ExchangeClock, ...]


@dataclass(frozen=True, eq=False)
class PairCorrelations:
    """Correlations of residuals, summed over all pairs of events of two day patterns.

    Residuals are matched on the date; between exchanges that are hardly open together sessions are matched that
    price the same news (`sessions_of_the_same_news`), separately for the two orders of closing. Sums do not depend on
    the event window and are kept.

    Attributes
    ----------
    rows : Residuals
        Of N events or portfolios.
    patterns : DayPatterns
        Their day patterns.
    """

    rows: Residuals
    patterns: DayPatterns
    _totals: dict[PatternPair, tuple[float, int]] = field(default_factory=dict, repr=False)
    _dates: dict[int, list[tuple[Ints, Ints]]] = field(default_factory=dict, repr=False)
    _blocks: dict[int, ResidualBlocks] = field(default_factory=dict, repr=False)

    def compute(self, pairs: Sequence[PatternPair]) -> list[tuple[float, int]]:
        """Sum the correlations of all pairs of events of two day patterns and count the usable ones, for many such two.

        Residuals are read once for all of them.
        """
        new = [pair for pair in pairs if pair not in self._totals]
        miss_days = [self._misses_days[one] or self._misses_days[other] for one, other, _ in new]
        self._compute_on_shared_days([pair for pair, gaps in zip(new, miss_days, strict=True) if gaps])
        self._compute_by_sums([pair for pair, gaps in zip(new, miss_days, strict=True) if not gaps])
        return [self._totals[pair] for pair in pairs]

    def weighted(self, overlap: Overlap, patterns: Ints) -> tuple[Floats, Ints]:
        """Weight the totals of day patterns by the overlap of their windows.

        Parameters
        ----------
        overlap : Overlap
            P pairs of rows.
        patterns : (K,) array
            Day pattern of each row of the overlap, increasing.

        Returns
        -------
        value, used : (P,) arrays
            Sum of correlation times weight, and the number of pairs of events whose correlation is usable.
        """
        pair, matching = np.nonzero(overlap.weight)
        one, other = patterns[overlap.one[pair]], patterns[overlap.other[pair]]
        keys = list(zip(one.tolist(), other.tolist(), matching.tolist(), strict=True))
        totals = np.array(self.compute(keys)).reshape(-1, 2)
        used = np.full(len(overlap.one), np.iinfo(np.int64).max)
        np.minimum.at(used, pair, totals[:, 1].astype(np.int64))
        value = np.bincount(pair, weights=overlap.weight[pair, matching] * totals[:, 0], minlength=len(used))
        return np.where(used > 0, value, 0.0), used

    # --- events of a day pattern have the same days: products of sums

    def _compute_by_sums(self, pairs: Sequence[PatternPair]) -> None:
        """Compute totals as products of sums of standardised residuals, day patterns in the order of their dates.

        A pair has two ends: each day pattern, summed on the days that it shares with the other. Sums are dropped
        once all pairs of their day patterns are closed, so that memory holds neighbours in time only: 62 MB for 40,000
        events on separate dates and a window of 11 sessions, against 381 MB and more time without batches.
        """
        if not pairs:
            return
        compiled = self._is_large or len(self._members) >= limits.COMPILED_FROM_PATTERNS
        ends, first, last = _ends_of(np.array(pairs))
        batch = factorize(self._batch[ends[:, 0]]).codes
        begin = np.searchsorted(batch, np.arange(batch[-1] + 2))
        last_use = np.arange(batch[-1] + 1)
        np.maximum.at(last_use, batch[first], batch[last])

        def summed(requests: list[PatternSums]) -> StandardisedSums:
            rows = np.concatenate([request.rows for request in requests])
            return standardised_sums(requests, self.rows.residuals.rows(rows), compiled=compiled)

        requests = (list(self._requests(ends[low:high])) for low, high in pairwise(begin.tolist()))
        closing = np.argsort(batch[last], kind="stable")
        closing_at = np.searchsorted(batch[last][closing], np.arange(batch[-1] + 2))
        sums: dict[int, StandardisedSums] = {}
        value, n_events = np.zeros(len(pairs)), np.zeros((len(pairs), 2), dtype=np.int64)
        for now, sums[now] in enumerate(map_in_threads(summed, requests)):
            closed = closing[closing_at[now] : closing_at[now + 1]]
            for before in np.unique(batch[first[closed]]).tolist():
                own = closed[batch[first[closed]] == before]
                sets, other_sets = first[own] - begin[before], last[own] - begin[now]
                value[own] = dot_products(sums[before], sets, sums[now], other_sets, compiled=compiled)
                n_events[own, 0], n_events[own, 1] = sums[before].n_events[sets], sums[now].n_events[other_sets]
            for done in [number for number in sums if last_use[number] <= now]:
                del sums[done]
        one, other = n_events.T
        within = first == last
        value = np.where(within, (value - one) / 2.0, value)
        used = np.where(within, one * (one - 1) // 2, one * other)
        self._totals.update(zip(pairs, zip(value.tolist(), used.tolist(), strict=True), strict=True))

    def _requests(self, ends: Ints) -> Iterator[PatternSums]:
        """Request the sums of every day pattern among the ends of pairs, (E, 3), sorted by day pattern."""
        for own in np.split(ends, np.flatnonzero(np.diff(ends[:, 0])) + 1):
            pattern, partners, matchings = int(own[0, 0]), own[:, 1].tolist(), own[:, 2].tolist()
            days, columns = self._days(pattern)
            day_sets = [self._days(partner)[0] for partner in partners]
            for k, matching in enumerate(matchings):
                if matching != BY_DATE:
                    day_sets[k] = self._matched(pattern, partners[k], matching, days, day_sets[k])[0]
            by_news = [matching != BY_DATE for matching in matchings]
            yield PatternSums(self._members[pattern], days, columns, day_sets, by_news)

    # --- events miss different days: every pair on the days that both have

    def _compute_on_shared_days(self, pairs: Sequence[PatternPair]) -> None:
        """Correlate every two events on the days they share, for all day patterns of two exchanges and days 0."""
        number = self.patterns.exchange_day
        if not pairs or number is None:
            return
        one, other, matching = np.array(pairs).T
        blocks = np.unique(np.column_stack([number[one], matching, number[other]]), axis=0)

        def totals(requests: list[BlockRequest]) -> list[tuple[Floats, Ints]]:
            return [sum_correlations(request, compiled=self._is_large) for request in requests]

        parts = self._parts(blocks)
        sums = map_in_threads(totals, (self._block_requests(part) for part in parts))
        for part, found in zip(parts, sums, strict=True):
            total, used = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
            keys = chain.from_iterable(
                product(self._patterns_at[one].tolist(), self._patterns_at[other].tolist(), (matching,))
                for one, matching, other in part.tolist()
            )
            self._totals.update(zip(keys, zip(total.tolist(), used.tolist(), strict=True), strict=True))

    @staticmethod
    def _parts(blocks: Ints) -> list[Ints]:
        """Divide requests of two blocks, sorted, into those of each first block, (P, 3)."""
        return np.split(blocks, np.flatnonzero(np.diff(blocks[:, 0])) + 1)

    def _block_requests(self, part: Ints) -> list[BlockRequest]:
        """Prepare the sums of one block with others, some that are read together and matched in one way at a time."""
        batch = self._block_batch[part[:, 2]]
        starts = np.flatnonzero(np.diff(part[:, 1]) | np.diff(batch)) + 1
        requests: list[BlockRequest] = []
        for some in np.split(part, starts):
            others = some[:, 2]
            (one, block), (other, first) = self._block(int(some[0, 0])), self._block(int(others[0]))
            request = BlockRequest(one, block, other, first + others - others[0], BY_DATE_ALONE)
            if some[0, 1] != BY_DATE:
                request = request._replace(matches=self._matches(request, some))
            requests.append(request)
        return requests

    def _matches(self, request: BlockRequest, part: Ints) -> Matches:
        """Match the sessions of a block and of each other that price the same news."""
        days, matched = request.one.days_of(request.block), []
        for (number, matching, other), position in zip(part.tolist(), request.blocks.tolist(), strict=True):
            one, another = (int(self._patterns_at[each][0]) for each in (number, other))
            matched.append(self._matched(one, another, matching, days, request.other.days_of(position)))
        here, there = zip(*matched, strict=True)
        return Matches(np.concatenate(here), np.concatenate(there), np.cumsum([0, *map(len, here)]))

    def _block(self, exchange_day: int) -> tuple[ResidualBlocks, int]:
        """Return the blocks that are read with that of an exchange and day 0, and its position among them."""
        batch = int(self._block_batch[exchange_day])
        first = int(np.searchsorted(self._block_batch, batch))
        return self._keep(self._blocks, batch, self._read_blocks), exchange_day - first

    def _read_blocks(self, batch: int) -> ResidualBlocks:
        """Read the blocks of a batch of exchanges and days 0 at once, which takes a fifth less time than one by one."""
        numbers = np.flatnonzero(self._block_batch == batch).tolist()
        members = [[self._members[pattern] for pattern in self._patterns_at[number].tolist()] for number in numbers]
        days, columns = zip(*(self._days(int(self._patterns_at[number][0])) for number in numbers), strict=True)
        rows = [np.concatenate(own) for own in members]
        return ResidualBlocks(
            values=self.rows.residuals.rows(np.concatenate(rows)),
            group=np.concatenate([np.repeat(np.arange(len(own)), [len(each) for each in own]) for own in members]),
            row_ends=np.cumsum([0, *map(len, rows)]),
            days=np.concatenate(days),
            columns=np.concatenate(columns),
            day_ends=np.cumsum([0, *map(len, days)]),
            n_groups=np.array([len(own) for own in members]),
        )

    @cached_property
    def _block_batch(self) -> Ints:
        """Number of the batch in which each exchange and day 0 is read."""
        size = [sum(len(self._members[pattern]) for pattern in own.tolist()) for own in self._patterns_at]
        return _batches(np.array(size))

    @cached_property
    def _patterns_at(self) -> list[Ints]:
        """Day patterns of each exchange and day 0."""
        assert self.patterns.exchange_day is not None  # else no pattern misses days
        return rows_by_code(factorize(self.patterns.exchange_day))

    @cached_property
    def _misses_days(self) -> list[bool]:
        """Whether each day pattern is of an exchange and day 0 where events miss different days."""
        number, gaps_differ = self.patterns.exchange_day, self.patterns.gaps_differ
        if number is None or gaps_differ is None:
            return [False] * len(self._members)
        several = np.bincount(number) > 1
        several[number[gaps_differ]] = True
        answer: list[bool] = several[number].tolist()
        return answer

    # --- events and days of the day patterns

    @property
    def _is_large(self) -> bool:
        return self.rows.residuals.n >= limits.COMPILED_FROM_ROWS

    @cached_property
    def _members(self) -> list[Ints]:
        """Events of each day pattern."""
        return rows_by_code(factorize(self.patterns.codes))

    @cached_property
    def _first(self) -> Ints:
        """First event of each day pattern, (K,)."""
        return np.array([rows[0] for rows in self._members])

    @cached_property
    def _batch(self) -> Ints:
        """Number of the batch in which each day pattern's residuals are read, (K,), increasing."""
        return _batches(np.array([len(rows) for rows in self._members]))

    def _days(self, pattern: int) -> tuple[Ints, Ints]:
        """Find the dates with a residual, increasing, (C,), or all where days are missing; and their columns."""
        step = limits.LAZY_CHUNK_ROWS
        return self._keep(self._dates, pattern // step, self._read_days)[pattern % step]

    def _read_days(self, chunk: int) -> list[tuple[Ints, Ints]]:
        chunked = slice(chunk * limits.LAZY_CHUNK_ROWS, (chunk + 1) * limits.LAZY_CHUNK_ROWS)
        first = self._first[chunked]
        dates = self.rows.residual_dates.rows(first)
        order = np.argsort(dates, axis=1, kind="stable")
        gaps = np.array(self._misses_days[chunked])
        is_usable = (gaps[:, None] | ~np.isnan(self.rows.residuals.rows(first))) & (dates != NO_DAY)
        columns = [own[usable[own]] for own, usable in zip(order, is_usable, strict=True)]
        return [(own[column], column) for own, column in zip(dates, columns, strict=True)]

    @staticmethod
    def _keep(store: dict[int, T], number: int, read: Callable[[int], T]) -> T:
        """Return a part that was read, or read it and drop the oldest of those kept."""
        if number not in store:
            if len(store) >= limits.PATTERN_READS_KEPT:
                del store[next(iter(store))]
            store[number] = read(number)
        return store[number]

    def _matched(self, one: int, other: int, matching: int, days: Ints, other_days: Ints) -> tuple[Ints, Ints]:
        """Find the positions, among days of two day patterns, of sessions that price the same news."""
        exchange, other_exchange = (int(self.rows.exchange[self._first[pattern]]) for pattern in (one, other))
        if exchange > other_exchange:  # `matching` is seen from the exchange with the smaller number
            there, here = self._matched(other, one, matching, other_days, days)
            return here, there
        clocks = self.rows.clocks[exchange], self.rows.clocks[other_exchange]
        dates, other_dates = sessions_of_the_same_news(*clocks)[matching - OTHER_FIRST]
        here, is_here = positions_of(days, dates)
        there, is_there = positions_of(other_days, other_dates)
        return here[is_here & is_there], there[is_here & is_there]


def _batches(size: Ints) -> Ints:
    """Divide neighbours into batches, (K,): at most about `LAZY_CHUNK_ROWS` rows and `PATTERNS_PER_READ` parts each."""
    share = size / limits.LAZY_CHUNK_ROWS + 1.0 / limits.PATTERNS_PER_READ
    return np.floor(np.cumsum(share) - share).astype(np.int64)


def _ends_of(pairs: Ints) -> tuple[Ints, Ints, Ints]:
    """Sort the ends of K pairs (pattern, partner, matching) by pattern.

    Returns the ends, (E, 3), and the positions of each pair's two ends among them, (K,) each; a pair of a day pattern
    with itself has one end.
    """
    is_two = np.flatnonzero(pairs[:, 0] != pairs[:, 1])
    ends = np.concatenate([pairs, pairs[is_two][:, [1, 0, 2]]])
    order = np.argsort(ends[:, 0], kind="stable")
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    first, last = position[: len(pairs)], position[: len(pairs)].copy()
    last[is_two] = position[len(pairs) :]
    return ends[order], first, last


def shared_pairs(rows: WindowedResiduals, pairs: PairCorrelations, patterns: Ints) -> tuple[Ints, Ints, Floats, Ints]:
    """Find the pairs of rows that share days, their `window_correlation`, and whether it is known, (P,) each.

    A row is not paired with itself; `patterns`, (N,), are their codes in `pairs`, increasing.
    """
    overlap = overlap_of(rows.dates, rows.exchange, rows.clocks)
    value, used = pairs.weighted(overlap, patterns)
    two = overlap.one != overlap.other
    return overlap.one[two], overlap.other[two], value[two], used[two]


def window_correlation(rows: WindowedResiduals) -> tuple[Floats, Bools]:
    """Correlate the sums over the event windows of every two rows.

    The correlation of residuals is weighted by the share of the window that two rows have in common,
    ``tau_ij / sqrt(L_i L_j)``. Between exchanges that are hardly open together: with r_k the correlation of matched
    sessions of order k, and n_k their number in the two windows, it is ``(n_1 r_1 + n_2 r_2) / sqrt(L_i L_j)``.

    Parameters
    ----------
    rows : Windows
        N events or portfolios.

    Returns
    -------
    correlation, known : (N, N) arrays
        Pairs without a common day have the correlation 0 and are known; the diagonal is 0.
    """
    n = len(rows.dates)
    own = np.arange(n)
    first, second, value, used = shared_pairs(rows, PairCorrelations(rows, DayPatterns(own)), own)
    correlation, known = np.zeros((n, n)), np.ones((n, n), dtype=bool)
    for one, other in ((first, second), (second, first)):
        correlation[one, other], known[one, other] = value, used > 0
    return correlation, known
