"""Compiled sums by day over many rows, beside the array code that few rows take; both give the same bits."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["by_day", "sweep"]


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
def _add(values, total):  # type: ignore[no-untyped-def]
    """Add all of some days; the number of positive ones."""
    positive = 0
    for d in range(len(values)):
        total[d] += values[d]
        positive += values[d] > 0.0
    return positive


@njit(nogil=True, cache=True)
def _complete(values):  # type: ignore[no-untyped-def]
    absent = 0
    for d in range(len(values)):
        absent += values[d] != values[d]
    return absent == 0


@njit(nogil=True, cache=True)
def sweep(values, length, block):  # type: ignore[no-untyped-def]
    """`rowwise.Sweep` of some rows, (K, M), `block` of them added up at a time."""
    n, width = values.shape
    n_runs, n_blocks = max(width - length + 1, 0), (n + block - 1) // block
    total, count = np.zeros((n_blocks, width)), np.zeros((n_blocks, width), np.int64)
    run_total, run_count = np.zeros((n_blocks, n_runs)), np.zeros((n_blocks, n_runs), np.int64)
    positive, runs, doubled = np.zeros(n, np.int64), np.zeros(n_runs), np.zeros(width)
    for b in range(n_blocks):
        complete, whole = 0, np.zeros(width)
        for row in range(b * block, min(n, (b + 1) * block)):
            own = values[row]
            if _complete(own):  # as nearly all are: sums of their runs are runs of their sum
                complete += 1
                positive[row] = _add(own, whole)
            else:
                positive[row] = _add_present(own, total[b], count[b])
                _runs(own, length, doubled, runs)
                _add_present(runs, run_total[b], run_count[b])
        _runs(whole, length, doubled, runs)
        _add(whole, total[b])
        _add(runs, run_total[b])
        count[b] += complete
        run_count[b] += complete
    return total, count, run_total, run_count, positive


@njit(nogil=True, cache=True)
def _runs(values, length, doubled, runs):  # type: ignore[no-untyped-def]
    """`rowwise.run_sums` of one row."""
    doubled[:], size, at, started = values, 1, 0, False
    while True:
        if length & size:
            part = doubled[at:]
            for start in range(len(runs)):
                runs[start] = runs[start] + part[start] if started else part[start]
            started, at = True, at + size
        if at == length:
            return
        later = doubled[size:]
        for day in range(len(doubled) - 2 * size + 1):
            doubled[day] += later[day]
        size *= 2


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
