"""Group events into day patterns: one exchange, one day 0, and the same days of the window present."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Bools, Ints
from marketimpact.core.factorize import factorize
from marketimpact.inference.estimation_days import EstimationDays

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


def day_patterns(days: EstimationDays, *, day0: Ints, present: Bools, by_gaps: bool) -> DayPatterns:
    """Put events of one exchange and day 0 whose windows have the same days into one day pattern.

    Parameters
    ----------
    days : EstimationDays
        Of N events.
    day0 : (N,) array
        Date of day 0.
    present : (N, W) array of bool
        Days of the event window with a return.
    by_gaps : bool
        Whether events that miss different estimation days are of different patterns too.
    """
    codes = _pair_codes(days.exchange_day, _codes_of_bits(np.packbits(~present, axis=1)))
    groups = factorize(_pair_codes(codes, _codes_of_bits(days.missing)) if by_gaps else codes)
    order = np.lexsort((groups.first_rows, day0[groups.first_rows]))
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    first, codes = groups.first_rows[order], number[groups.codes]
    unlike_first = (days.missing != days.missing[first[codes]]).any(axis=1)
    gaps_differ = np.bincount(codes[unlike_first], minlength=len(first)) > 0
    return DayPatterns(codes, days.exchange_day[first], gaps_differ)


def _codes_of_bits(bits: NDArray[np.uint8]) -> Ints:
    """Assign a code to every distinct row of bits, (N, B), 0 to one without any, (N,)."""
    codes = np.zeros(len(bits), dtype=np.int64)
    rows = np.flatnonzero(bits.any(axis=1))
    words = np.pad(bits[rows], ((0, 0), (0, -bits.shape[1] % 8))).view(np.int64)
    code = np.zeros(len(rows), dtype=np.int64)
    for word in words.T:
        code = _pair_codes(code, factorize(word).codes)
    codes[rows] = code + 1
    return codes


def _pair_codes(one: Ints, other: Ints) -> Ints:
    """Assign a code to every distinct pair of two codes, in their order."""
    return factorize(one * (int(other.max(initial=0)) + 1) + other).codes
