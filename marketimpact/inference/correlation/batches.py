"""Both ends of pairs of layouts, in the order in which layouts are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from marketimpact.core.arrays import Bools, Ints
from marketimpact.core.factorize import factorize

__all__ = ["PairSchedule"]


@dataclass(frozen=True, eq=False)
class PairSchedule:
    """Ends of K pairs by layout, and by the batch in which a layout is read; a pair with itself has one end.

    Attributes
    ----------
    layout, partner, kind : (E,) arrays
        By layout.
    batch : (E,) array
        Number of the batch, from 0 on without gaps.
    first, last : (K,) arrays
        Places of a pair's two ends, the same of a pair with itself.
    """

    layout: Ints
    partner: Ints
    kind: Ints
    batch: Ints
    first: Ints
    last: Ints

    @classmethod
    def of(cls, pairs: Ints, batch_of: Ints) -> PairSchedule:
        """Of pairs, (K, 3): two layouts and how their sessions are matched; `batch_of` each layout, increasing."""
        one, other, kind = pairs.T
        two = np.flatnonzero(one != other)
        layout, partner = np.concatenate([one, other[two]]), np.concatenate([other, one[two]])
        order = np.argsort(layout, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        first, last = place[: len(pairs)].copy(), place[: len(pairs)].copy()
        last[two] = place[len(pairs) :]
        first, last = np.minimum(first, last), np.maximum(first, last)
        kinds = np.concatenate([kind, kind[two]])[order]
        return cls(layout[order], partner[order], kinds, factorize(batch_of[layout[order]]).codes, first, last)

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return int(self.batch[-1]) + 1

    @property
    def same(self) -> Bools:
        """Which are pairs of a layout with itself, (K,)."""
        return np.asarray(self.first == self.last)

    def layouts(self, batch: int) -> Iterator[tuple[int, list[int], list[int]]]:
        """Every layout of a batch, its partners, and how sessions are matched with each."""
        start, end = self._begin[batch : batch + 2].tolist()
        cuts = np.flatnonzero(np.diff(self.layout[start:end])) + 1 + start
        for low, high in pairwise([start, *cuts.tolist(), end]):
            yield int(self.layout[low]), self.partner[low:high].tolist(), self.kind[low:high].tolist()

    def closed(self, batch: int) -> Iterator[tuple[int, Ints, Ints, Ints]]:
        """Pairs whose last end is of a batch, by the batch of the first: that, which pairs, and places within both."""
        order, edges = self._by_last
        own = order[edges[batch] : edges[batch + 1]]
        before = self.batch[self.first[own]]
        for other in factorize(before).values.tolist():
            pairs = own[before == other]
            yield other, pairs, self.last[pairs] - self._begin[batch], self.first[pairs] - self._begin[other]

    def done_with(self, batch: int) -> list[int]:
        """Batches of which nothing is asked for any more after a batch."""
        return np.flatnonzero(self._until == batch).tolist()

    @cached_property
    def _begin(self) -> Ints:
        return np.searchsorted(self.batch, np.arange(self.n_batches + 1))

    @cached_property
    def _by_last(self) -> tuple[Ints, Ints]:
        """Pairs by the batch of their last end, and where each batch begins among them."""
        batch = self.batch[self.last]
        order = np.argsort(batch, kind="stable")
        return order, np.searchsorted(batch[order], np.arange(self.n_batches + 1))

    @cached_property
    def _until(self) -> Ints:
        """The last batch that asks for each batch."""
        until = np.arange(self.n_batches)
        np.maximum.at(until, self.batch[self.first], self.batch[self.last])
        return until
