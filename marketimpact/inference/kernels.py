"""Compiled loops over rows of days, for many events: the same bits as the array code beside which each is used."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["by_day", "keys", "ranks", "sweep", "unit_sums"]

LARGEST = 0x7FFFFFFFFFFFFFFF


@njit(nogil=True, cache=True)
def _add_present(values, total, count):  # type: ignore[no-untyped-def]
    """Add what is present, day by day; the number of positive days."""
    positive = 0
    for d in range(len(values)):
        there = values[d] == values[d]
        total[d] += values[d] if there else 0.0
        count[d] += there
        positive += values[d] > 0.0
    return positive


@njit(nogil=True, cache=True)
def sweep(values, length, block):  # type: ignore[no-untyped-def]
    """`rowwise.Sweep` of some rows, (K, M), `block` of them added up at a time."""
    n, width = values.shape
    n_runs, n_blocks = max(width - length + 1, 0), (n + block - 1) // block
    total, count = np.zeros((n_blocks, width)), np.zeros((n_blocks, width), np.int64)
    run_total, run_count = np.zeros((n_blocks, n_runs)), np.zeros((n_blocks, n_runs), np.int64)
    positive = np.zeros(n, np.int64)
    for b in range(n_blocks):
        runs = np.zeros(n_runs)
        for row in range(b * block, min(n, (b + 1) * block)):
            own = values[row]
            positive[row] = _add_present(own, total[b], count[b])
            runs[:] = own[:n_runs]
            for day in range(1, length):
                later = own[day:]
                for start in range(len(runs)):
                    runs[start] += later[start]
            _add_present(runs, run_total[b], run_count[b])
    return total, count, run_total, run_count, positive


@njit(nogil=True, cache=True)
def keys(values, low):  # type: ignore[no-untyped-def]
    """Whole numbers in the order of the values, (K, D), NaN last, their `low` last bits the day's number."""
    n, width = values.shape
    found, bits = np.empty((n, width), np.int64), values.view(np.int64)
    for row in range(n):
        own, own_bits, key = values[row], bits[row], found[row]
        for d in range(width):
            # of negative numbers the larger bits are the smaller number
            number = own_bits[d] ^ ((own_bits[d] >> 63) & LARGEST) if own[d] == own[d] else LARGEST
            key[d] = ((number >> low) << low) | d
    return found


@njit(nogil=True, cache=True)
def ranks(ordered, low):  # type: ignore[no-untyped-def]
    """Ranks of days from sorted `keys`, (K, D), and in which rows two of these are too close to tell."""
    n, width = ordered.shape
    found, close = np.empty((n, width)), np.zeros(n, np.bool_)
    for row in range(n):
        key, rank = ordered[row], found[row]
        last, n_close = (1 << low) - 1, 0
        for position in range(width):
            rank[key[position] & last] = position + 1.0
        for position in range(width - 1):
            number = key[position] >> low
            n_close += number == (key[position + 1] >> low) and number != LARGEST >> low
        close[row] = n_close > 0
    return found, close


@njit(nogil=True, cache=True)
def by_day(values, block):  # type: ignore[no-untyped-def]
    """Sums of what is present and counts, day by day, of every `block` rows, (B, D)."""
    n, width = values.shape
    n_blocks = (n + block - 1) // block
    total, count = np.zeros((n_blocks, width)), np.zeros((n_blocks, width), np.int64)
    for b in range(n_blocks):
        for row in range(b * block, min(n, (b + 1) * block)):
            _add_present(values[row], total[b], count[b])
    return total, count


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _moments(values, times):  # type: ignore[no-untyped-def]
    """Sum and sum of squares of some days, in any order: a few last bits are not worth a third of the speed."""
    total = squares = 0.0
    for d in range(len(values)):
        share = times[d] * values[d]
        total += share
        squares += share * values[d]
    return total, squares


@njit(nogil=True, cache=True)
def unit_sums(values, times, least, nothing):  # type: ignore[no-untyped-def]
    """Rows scaled to mean 0 and length 1 on some days, summed, (K, C), and how many rows vary there, (K,).

    `times`, (K, C), says how often each day counts; of fewer than `least` days in all nothing is summed.
    """
    n_sets, width = times.shape
    summed, number = np.zeros((n_sets, width)), np.zeros(n_sets, np.int64)
    for k in range(n_sets):
        own, often = summed[k], times[k]
        days = often.sum()
        if days < least:
            continue
        shift = 0.0
        for row in range(len(values)):
            value = values[row]
            total, squares = _moments(value, often)
            variation = squares - total * total / days
            if variation > nothing * squares:
                scale = 1.0 / np.sqrt(variation)
                for d in range(width):
                    own[d] += scale * value[d]
                shift += scale * total / days
                number[k] += 1
        own -= shift
    return summed, number
