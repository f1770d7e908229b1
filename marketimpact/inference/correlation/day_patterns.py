"""Group events into day patterns: one exchange, one day 0, and the same days of the window present."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import Bools, Ints
from marketimpact.core.factorize import factorize
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.core.threads import map_in_threads

__all__ = ["DayPatterns", "day_patterns"]


@dataclass(frozen=True, slots=True, eq=False)
class DayPatterns:
    """Day pattern of each of N events, and what the K day patterns have in common.

    Attributes
    ----------
    codes : (N,) array
        Code of each event's day pattern, 0 to K - 1: by date of day 0, then by first event.
    exchange_day : (K,) array or None
        Code of each pattern's exchange and day 0; None where every pattern has its own.
    gaps_differ : (K,) array of bool or None
        Whether events of a pattern miss different days of the estimation window; None where none do.
    """

    codes: Ints
    exchange_day: Ints | None = None
    gaps_differ: Bools | None = None


def day_patterns(
    residuals: LazyMatrix, n_obs: Ints, *, day0: Ints, exchange: Ints, present: Bools, by_gaps: bool
) -> DayPatterns:
    """Put events of one exchange and day 0 whose windows have the same days into one day pattern.

    Parameters
    ----------
    residuals : LazyMatrix (N, M)
        Residuals of the estimation window, NaN where missing.
    n_obs : (N,) array
        Number of residuals.
    day0, exchange : (N,) arrays
        Date of day 0, number of the exchange.
    present : (N, W) array of bool
        Days of the event window with a return.
    by_gaps : bool
        Whether events that miss different estimation days are of different patterns too.
    """
    exchange_day = factorize(day0 * (int(exchange.max(initial=0)) + 1) + exchange).codes
    gaps = _gap_codes(n_obs < residuals.width, lambda rows: np.isnan(residuals.rows(rows)))
    window = _gap_codes(np.asarray(~present.all(axis=1)), lambda rows: present[rows])
    groups = factorize(
        _pair_codes(_pair_codes(exchange_day, window), gaps) if by_gaps else _pair_codes(exchange_day, window)
    )
    order = np.lexsort((groups.first_rows, day0[groups.first_rows]))
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    first, codes = groups.first_rows[order], number[groups.codes]
    unlike_first = codes[gaps != gaps[first][codes]]
    return DayPatterns(codes, exchange_day[first], np.bincount(unlike_first, minlength=len(first)) > 0)


def _gap_codes(has_gaps: Bools, read: Callable[[Ints], Bools]) -> Ints:
    """Assign a code to every pattern of missing days, (N,), 0 for none; `read` returns days of some rows, (K, D)."""
    rows = np.flatnonzero(has_gaps)
    step = limits.LAZY_CHUNK_ROWS
    chunks = (rows[start : start + step] for start in range(0, len(rows), step))
    packed = list(map_in_threads(lambda chunk: np.packbits(read(chunk), axis=1), chunks))
    codes = np.zeros(len(has_gaps), dtype=np.int64)
    if packed:
        bits = np.concatenate(packed)
        words = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8))).view(np.int64)
        code = np.zeros(len(rows), dtype=np.int64)
        for word in words.T:
            code = _pair_codes(code, factorize(word).codes)
        codes[rows] = code + 1
    return codes


def _pair_codes(one: Ints, other: Ints) -> Ints:
    """Assign a code to every distinct pair of two codes, in their order."""
    return factorize(one * (int(other.max(initial=0)) + 1) + other).codes
