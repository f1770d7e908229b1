"""Compiled sums by day over many rows; the array code of `lazy_matrix` gives the same bits for few rows."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["row_block_sums", "sum_blocks"]


@njit(nogil=True, cache=True)
def _add_present(values, total, count):  # type: ignore[no-untyped-def]
    """Add the values present, day by day; return the number of positive days."""
    positive = 0
    for d in range(len(values)):
        present = values[d] == values[d]
        total[d] += values[d] if present else 0.0
        count[d] += present
        positive += values[d] > 0.0
    return positive


@njit(nogil=True, cache=True)
def _add(values, total):  # type: ignore[no-untyped-def]
    """Add the values of a row without a missing day; return the number of positive days."""
    positive = 0
    for d in range(len(values)):
        total[d] += values[d]
        positive += values[d] > 0.0
    return positive


@njit(nogil=True, cache=True)
def _is_complete(values):  # type: ignore[no-untyped-def]
    n_missing = 0
    for d in range(len(values)):
        n_missing += values[d] != values[d]
    return n_missing == 0


@njit(nogil=True, cache=True)
def row_block_sums(values, length, block):  # type: ignore[no-untyped-def]
    """Compute `lazy_matrix._row_block_sums` of K rows, (K, M): `block` rows are added up at a time."""
    n, width = values.shape
    n_runs, n_blocks = max(width - length + 1, 0), (n + block - 1) // block
    total, count = np.zeros((n_blocks, width)), np.zeros((n_blocks, width), np.int64)
    run_total, run_count = np.zeros((n_blocks, n_runs)), np.zeros((n_blocks, n_runs), np.int64)
    positive, runs, doubled = np.zeros(n, np.int64), np.zeros(n_runs), np.zeros(width)
    for b in range(n_blocks):
        n_complete, complete = 0, np.zeros(width)
        for row in range(b * block, min(n, (b + 1) * block)):
            own = values[row]
            if _is_complete(own):  # the usual case: the sum of their runs equals the run of their sum
                n_complete += 1
                positive[row] = _add(own, complete)
            else:
                positive[row] = _add_present(own, total[b], count[b])
                _runs(own, length, doubled, runs)
                _add_present(runs, run_total[b], run_count[b])
        _runs(complete, length, doubled, runs)
        _add(complete, total[b])
        _add(runs, run_total[b])
        count[b] += n_complete
        run_count[b] += n_complete
    return total, count, run_total, run_count, positive


@njit(nogil=True, cache=True)
def _runs(values, length, doubled, runs):  # type: ignore[no-untyped-def]
    """Compute `lazy_matrix.run_sums` of one row."""
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
def sum_blocks(values, block):  # type: ignore[no-untyped-def]
    """Sum and count the values present, day by day, of every `block` rows, (B, D)."""
    n, width = values.shape
    n_blocks = (n + block - 1) // block
    total, count = np.zeros((n_blocks, width)), np.zeros((n_blocks, width), np.int64)
    for b in range(n_blocks):
        for row in range(b * block, min(n, (b + 1) * block)):
            _add_present(values[row], total[b], count[b])
    return total, count
