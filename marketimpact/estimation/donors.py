"""Read the returns of donors around each event's day 0, and fill the missing ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Bools, Floats, Ints

__all__ = ["DonorReturns", "filled"]

#: Relative change of filled returns at which iterations stop, and their largest number.
TOLERANCE, MOST_ITERATIONS = 1e-8, 500


@dataclass(frozen=True, slots=True, eq=False)
class DonorReturns:
    """Returns of J donors on the sessions of the exchanges of N events, and which donors each event uses.

    Attributes
    ----------
    symbols : tuple of str
        The donors.
    returns : tuple of (S, J) arrays
        By exchange, on its sessions; NaN where a donor has no return of that date, or trades at other hours.
    exchange : (N,) array of int
        Each event's place in `returns`.
    day0 : (N,) array of int
        Row of each event's day 0 there.
    estimation : (int, int)
        First and last session, relative to day 0, from which missing returns are filled.
    reasons : (N, J) array of str
        Why an event does not use a donor; empty where it does.
    """

    symbols: tuple[str, ...]
    returns: tuple[Floats, ...]
    exchange: Ints
    day0: Ints
    estimation: tuple[int, int]
    reasons: NDArray[Any]

    @property
    def used(self) -> Bools:
        """Mark the donors that each event uses, (N, J)."""
        return np.asarray(self.reasons == "", dtype=bool)

    def take(self, rows: Ints | slice) -> DonorReturns:
        """Return the donors of some of the events."""
        return replace(self, exchange=self.exchange[rows], day0=self.day0[rows], reasons=self.reasons[rows])

    def window(self, span: tuple[int, int]) -> Floats:
        """Read returns of a span of sessions, (N, D, J): NaN where no used donor has one, 0 for donors not used.

        Other missing returns are filled by what the first principal component of the estimation window says.
        """
        used = self.used
        values = np.where(used[:, None, :], self.read(span), 0.0)
        for row in np.flatnonzero(np.isnan(values).any(axis=(1, 2))):
            own = np.flatnonzero(used[row])
            history = self.take(slice(row, row + 1)).read(self.estimation)[0][:, own]
            values[row][:, own] = filled(values[row][:, own], history)
        return values

    def read(self, span: tuple[int, int]) -> Floats:
        """Read all returns of a span of sessions as they are, (N, D, J)."""
        offsets = np.arange(span[0], span[1] + 1)
        values = np.full((len(self.day0), len(offsets), len(self.symbols)), np.nan)
        for code, returns in enumerate(self.returns):
            events = np.flatnonzero(self.exchange == code)
            rows = self.day0[events, None] + offsets
            inside = (rows >= 0) & (rows < len(returns))
            values[events] = np.where(inside[:, :, None], returns[np.where(inside, rows, 0)], np.nan)
        return values


def filled(values: Floats, history: Floats) -> Floats:
    """Fill the missing returns of a window, (D, K), by the first principal component of K donors' history, (M, K)."""
    mean, spread = np.nanmean(history, axis=0), np.nanstd(history, axis=0)
    loadings = _first_component((history - mean) / spread)
    scaled = (values - mean) / spread
    present = ~np.isnan(scaled)
    weight = (present * loadings**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = np.where(present, scaled * loadings, 0.0).sum(axis=1) / weight
    expected = mean + spread * scores[:, None] * loadings
    return np.where(present | ~present.any(axis=1, keepdims=True), values, expected)


def _first_component(scaled: Floats) -> Floats:
    """Estimate the loadings of the first principal component, (K,); missing values are iterated to its fit."""
    missing = np.isnan(scaled)
    whole = np.where(missing, 0.0, scaled)
    loadings = np.ones(scaled.shape[1])
    for _ in range(MOST_ITERATIONS):
        _, _, directions = np.linalg.svd(whole, full_matrices=False)
        loadings = directions[0]
        fitted = np.where(missing, np.outer(whole @ loadings, loadings), whole)
        change = np.abs(fitted - whole).max()
        whole = fitted
        if change < TOLERANCE:
            break
    return loadings
