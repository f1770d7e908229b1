"""Pairs of events: how their residuals correlate, summed over all pairs of two layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np

from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.factorize import factorize, rows_by_code, split_at
from marketimpact.core.lazy_matrix import CHUNK, LazyMatrix
from marketimpact.core.threads import map_in_threads
from marketimpact.events.exchange_clocks import ExchangeClock, sessions_of_the_same_news
from marketimpact.inference.correlation.batches import PairSchedule
from marketimpact.inference.correlation.missing_days import IncompletePair, ResidualBlock
from marketimpact.inference.correlation.overlap import BY_DATE, OTHER_FIRST, Overlap, overlap_of
from marketimpact.inference.correlation.standardised import (
    MIN_COMMON_DAYS,
    DayPattern,
    StandardisedSums,
    in_order,
    places_of,
    products,
    sums_of,
)

__all__ = [
    "MIN_COMMON_DAYS",
    "Key",
    "MeanCorrelation",
    "PairCorrelations",
    "Rows",
    "Windows",
    "shared_pairs",
    "window_correlation",
]


#: So many layouts are summed by compiled loops, however few rows they have.
MANY = 1024
#: Layouts that are read at once, at most.
LAYOUTS = 256
#: Batches of residuals, or exchanges and days 0, that are held at once; windows overlap with neighbours in time.
BATCHES = 16
#: Two layouts and how their sessions are matched.
Key = tuple[int, int, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MeanCorrelation:
    """Average over pairs of events of residual correlation times window overlap.

    Attributes
    ----------
    value : float
        The average r; 0 when no two events share a day of the window.
    n_pairs : int
        Pairs that share a day of the window.
    n_used : int
        Those with at least `MIN_COMMON_DAYS` common estimation days.
    """

    value: float
    n_pairs: int
    n_used: int


class Estimated(Protocol):
    """Rows with an estimation window on the sessions of some exchange: events or portfolios."""

    @property
    def residuals(self) -> LazyMatrix: ...
    @property
    def residual_dates(self) -> LazyMatrix: ...
    @property
    def exchange(self) -> Ints: ...
    @property
    def clocks(self) -> tuple[ExchangeClock, ...]: ...


class Windows(Estimated, Protocol):
    """`Estimated` with a window."""

    @property
    def dates(self) -> Ints: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """`Estimated` and nothing else; see `Sample` for the shapes."""

    residuals: LazyMatrix
    residual_dates: LazyMatrix
    exchange: Ints
    clocks: tuple[ExchangeClock, ...]


@dataclass(frozen=True, eq=False)
class PairCorrelations:
    """Correlation of the residuals of pairs of rows, summed over the pairs of two layouts.

    Residuals are matched on the date; between exchanges that are hardly open together sessions are matched that
    hear the same news (`sessions_of_the_same_news`), apart for the two orders of closing. Sums are kept once they are
    asked for: they do not depend on the window.
    """

    rows: Estimated
    layout: Ints
    #: Number of each layout's exchange and day 0, (K,): layouts that differ in what is missing only share one.
    place: Ints | None = None
    #: Which layouts hold events that differ in the days missing, (K,).
    ragged: Bools | None = None
    _known: dict[Key, tuple[float, int]] = field(default_factory=dict, repr=False)
    _read: dict[int, dict[int, Floats]] = field(default_factory=dict, repr=False)
    _dates: dict[int, list[tuple[Ints, Ints]]] = field(default_factory=dict, repr=False)
    _placed: dict[int, ResidualBlock] = field(default_factory=dict, repr=False)

    @cached_property
    def members(self) -> list[Ints]:
        """Rows of each layout."""
        return rows_by_code(factorize(self.layout))

    def total(self, one: int, other: int, kind: int) -> tuple[float, int]:
        """Sum of the correlations of all pairs of rows of two layouts, and how many are usable."""
        key = (one, other, kind)
        self.learn([key])
        return self._known[key]

    def learn(self, keys: Iterable[Key]) -> None:
        """Take up the totals of many pairs of layouts, ``one <= other``: residuals are read once for all of them."""
        new = [key for key in keys if key not in self._known]
        self._learn_ragged([key for key in new if self._gaps[key[0]] or self._gaps[key[1]]])
        self._learn_whole([key for key in new if not (self._gaps[key[0]] or self._gaps[key[1]])])

    def _learn_whole(self, keys: Sequence[Key]) -> None:
        """Totals of pairs of layouts whose events have the same days, batch by batch of layouts."""
        if not keys:
            return
        compiled = self.rows.residuals.n >= CHUNK or len(self.members) >= MANY
        asked = PairSchedule.of(np.array(keys), self._batch)

        def summed(layouts: list[DayPattern]) -> StandardisedSums:
            rows = np.concatenate([layout.rows for layout in layouts])
            return sums_of(layouts, self.rows.residuals.rows(rows), compiled=compiled)

        parts = ([self._asked(*own) for own in asked.layouts(batch)] for batch in range(asked.n_batches))
        held: dict[int, StandardisedSums] = {}
        value, number = np.zeros(len(keys)), np.zeros((len(keys), 2), dtype=np.int64)
        for batch, sums in enumerate(map_in_threads(summed, parts)):
            held[batch] = sums
            for before, pairs, sets, sets_before in asked.closed(batch):
                value[pairs] = products(held[before], sets_before, sums, sets, compiled=compiled)
                number[pairs] = np.column_stack([held[before].number[sets_before], sums.number[sets]])
            for done in asked.done_with(batch):
                del held[done]
        one, other = number.T
        same = asked.same
        value = np.where(same, (value - one) / 2.0, value)
        used = np.where(same, one * (one - 1) // 2, one * other)
        self._known.update(zip(keys, zip(value.tolist(), used.tolist(), strict=True), strict=True))

    def _asked(self, layout: int, partners: list[int], kinds: list[int]) -> DayPattern:
        days, columns = self._dated(layout)
        theirs = [self._days(partner) for partner in partners]
        for k, kind in enumerate(kinds):
            if kind != BY_DATE:
                theirs[k] = self._linked(layout, partners[k], kind, days, theirs[k])[0]
        return DayPattern(self.members[layout], days, columns, theirs, [kind != BY_DATE for kind in kinds])

    @cached_property
    def _gaps(self) -> list[bool]:
        """Which layouts are at an exchange and day 0 where events differ in the days missing, and are read together."""
        if self.place is None or self.ragged is None:
            return [False] * len(self.members)
        several = np.bincount(self.place) > 1
        several[self.place[self.ragged]] = True
        gaps: list[bool] = several[self.place].tolist()
        return gaps

    @cached_property
    def _layouts_at(self) -> list[Ints]:
        assert self.place is not None  # the caller looked
        return rows_by_code(factorize(self.place))

    def _learn_ragged(self, keys: Sequence[Key]) -> None:
        """Every two rows on the days they share, for all layouts at the exchanges and days 0 of two layouts at once."""
        assert not keys or self.place is not None  # rows differ in the days missing only where places are known
        at = {} if self.place is None else {(int(self.place[a]), int(self.place[b]), kind): None for a, b, kind in keys}
        compiled = self.rows.residuals.n >= CHUNK

        def known(part: list[IncompletePair]) -> dict[Key, tuple[float, int]]:
            return {key: total for two in part for key, total in two.totals(compiled=compiled).items()}

        parts = ([self._two(*key) for key in part] for _, part in groupby(sorted(at), lambda key: key[0]))
        for totals in map_in_threads(known, parts):
            self._known.update(totals)

    def _two(self, place: int, other: int, kind: int) -> IncompletePair:
        ours, theirs = (self._kept(self._placed, number, self._at) for number in (place, other))
        linked = None
        if kind != BY_DATE:
            linked = self._linked(ours.layouts[0], theirs.layouts[0], kind, ours.days, theirs.days)
        return IncompletePair(ours, theirs, kind, linked)

    def _at(self, place: int) -> ResidualBlock:
        layouts = self._layouts_at[place].tolist()
        values = [self._residuals(number) for number in layouts]
        group = np.repeat(np.arange(len(values)), [len(own) for own in values])
        return ResidualBlock(layouts, self._days(layouts[0]), np.concatenate(values), group)

    def weighted(self, overlap: Overlap, layout: Ints) -> tuple[Floats, Ints]:
        """For every two that overlap: the sum of correlation times weight, and the number of pairs it is known for.

        `layout` are the layouts that the overlap numbers; (P,) and (P,) out.
        """
        pair, kind = np.nonzero(overlap.weight)
        one, other = layout[overlap.one[pair]], layout[overlap.other[pair]]
        keys = list(zip(one.tolist(), other.tolist(), kind.tolist(), strict=True))
        self.learn(keys)
        found = np.array([self._known[key] for key in keys]).reshape(-1, 2)
        used = np.full(len(overlap.one), np.iinfo(np.int64).max)
        np.minimum.at(used, pair, found[:, 1].astype(np.int64))
        value = np.bincount(pair, weights=overlap.weight[pair, kind] * found[:, 0], minlength=len(used))
        return np.where(used > 0, value, 0.0), used

    def _days(self, layout: int) -> Ints:
        """Dates of a layout that have a residual, increasing, (C,); all of the window where residuals have gaps."""
        return self._dated(layout)[0]

    def _residuals(self, layout: int) -> Floats:
        """Residuals of a layout on its `_days`, (n, C)."""
        batch = int(self._batch[layout])
        read = self._kept(self._read, batch, self._read_batch)
        return in_order(read[layout], self._dated(layout)[1])

    def _dated(self, layout: int) -> tuple[Ints, Ints]:
        """`_days` of a layout, and where they stand in the estimation window."""
        return self._kept(self._dates, layout // CHUNK, self._read_dates)[layout % CHUNK]

    def _read_batch(self, batch: int) -> dict[int, Floats]:
        return self._read_residuals(np.flatnonzero(self._batch == batch).tolist())

    def _read_residuals(self, layouts: list[int]) -> dict[int, Floats]:
        """Residuals of some layouts, (n, M) each, read at once."""
        members = [self.members[layout] for layout in layouts]
        values = self.rows.residuals.rows(np.concatenate(members))
        return dict(zip(layouts, split_at(values, np.cumsum([len(rows) for rows in members])), strict=True))

    def _read_dates(self, batch: int) -> list[tuple[Ints, Ints]]:
        first = self._first[batch * CHUNK : (batch + 1) * CHUNK]
        dates = self.rows.residual_dates.rows(first)
        order = np.argsort(dates, axis=1, kind="stable")
        gaps = np.array(self._gaps[batch * CHUNK : (batch + 1) * CHUNK])
        has = (gaps[:, None] | ~np.isnan(self.rows.residuals.rows(first))) & (dates != NO_DAY)
        columns = [own[held[own]] for own, held in zip(order, has, strict=True)]
        return [(own[column], column) for own, column in zip(dates, columns, strict=True)]

    @staticmethod
    def _kept(store: dict[int, T], batch: int, read: Callable[[int], T]) -> T:
        """What is read of a batch; of the batches read last `BATCHES` are kept."""
        if batch not in store:
            if len(store) >= BATCHES:
                del store[next(iter(store))]
            store[batch] = read(batch)
        return store[batch]

    @cached_property
    def _first(self) -> Ints:
        """The first row of each layout, (K,)."""
        return np.array([rows[0] for rows in self.members])

    @cached_property
    def _batch(self) -> Ints:
        """Number of the batch in which each layout's residuals are read, (K,)."""
        size = np.array([len(rows) for rows in self.members])
        share = size / CHUNK + 1.0 / LAYOUTS
        return np.floor(np.cumsum(share) - share).astype(np.int64)

    def _linked(self, one: int, other: int, kind: int, days: Ints, days_there: Ints) -> tuple[Ints, Ints]:
        """Places among days on the exchanges of two layouts of sessions that hear the same news."""
        here, there = (int(self.rows.exchange[self.members[number][0]]) for number in (one, other))
        if here > there:  # kinds are told from the exchange with the smaller number
            place_there, place = self._linked(other, one, kind, days_there, days)
            return place, place_there
        dates, dates_there = sessions_of_the_same_news(self.rows.clocks[here], self.rows.clocks[there])[
            kind - OTHER_FIRST
        ]
        place, found = places_of(days, dates)
        place_there, found_there = places_of(days_there, dates_there)
        both = found & found_there
        return place[both], place_there[both]


def shared_pairs(rows: Windows) -> tuple[Ints, Ints, Floats, Ints]:
    """Return the pairs of rows that share days, their `window_correlation`, and whether it is known, (P,) each.

    A row is not paired with itself.
    """
    n = len(rows.dates)
    overlap = overlap_of(rows.dates, rows.exchange, rows.clocks)
    value, used = PairCorrelations(rows, np.arange(n)).weighted(overlap, np.arange(n))
    two = overlap.one != overlap.other
    return overlap.one[two], overlap.other[two], value[two], used[two]


def window_correlation(rows: Windows) -> tuple[Floats, Bools]:
    """Correlation of the sums over the windows of every two rows, and where it is known.

    The correlation of residuals is weighted by the share of the window that two rows have in common,
    ``tau_ij / sqrt(L_i L_j)``. Between exchanges that are hardly open together: with r_k the correlation of linked
    sessions of order k, and n_k their number in the two windows, it is ``(n_1 r_1 + n_2 r_2) / sqrt(L_i L_j)``:
    lags are added up as far as the windows hold them.

    Parameters
    ----------
    rows : Windows
        Events or portfolios.

    Returns
    -------
    part, known : (N, N) arrays
        Pairs without a common day have the part 0 and are known; the diagonal is 0.
    """
    n = len(rows.dates)
    first, second, value, used = shared_pairs(rows)
    part, known = np.zeros((n, n)), np.ones((n, n), dtype=bool)
    for one, other in ((first, second), (second, first)):
        part[one, other], known[one, other] = value, used > 0
    return part, known
