"""The same sums as `marketimpact.models.linear`, straight from the market's columns: for many events at once.

Each window is copied into a small buffer, so that memory does not grow with events times days. Sums run in `LANES`
interleaved lanes, in the order of `linear.sum_days`: both ways give the same bits. Compiled once and kept on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from marketimpact.models.linear import LANES

__all__ = ["residuals", "squares", "sums"]

#: Events that one thread takes at a time.
BLOCK = 256


@njit(inline="always")
def _total(a):  # type: ignore[no-untyped-def]
    lanes = np.zeros(LANES)
    for start in range(0, len(a), LANES):
        for k in range(LANES):
            lanes[k] += a[start + k]
    total = lanes[0]
    for k in range(1, LANES):
        total += lanes[k]
    return total


@njit(inline="always")
def _product(a, b):  # type: ignore[no-untyped-def]
    lanes = np.zeros(LANES)
    for start in range(0, len(a), LANES):
        for k in range(LANES):
            lanes[k] += a[start + k] * b[start + k]
    total = lanes[0]
    for k in range(1, LANES):
        total += lanes[k]
    return total


@njit(inline="always")
def _copy(target, at, column, first, last, start, n_sessions, first_row):  # type: ignore[no-untyped-def]
    """Sessions `first` to `last` of one security into target, NaN where the calendar has none."""
    for d in range(last - first + 1):
        session = start + first + d
        target[at + d] = column[first_row + session] if 0 <= session < n_sessions else np.nan


@njit(inline="always")
def _fill(y, x, ok, event, columns, shifts, rf, minus_rf, spans, place, excluded):  # type: ignore[no-untyped-def]
    """One event's returns and regressors, zero on incomplete days, and which days are complete; their number."""
    first_row, n_sessions, day0 = place[event, 0], place[event, 1], place[event, 2]
    p, at = len(shifts), 0
    ok[:] = False
    for s in range(len(spans)):
        first, last = spans[s, 0], spans[s, 1]
        width = last - first + 1
        _copy(y, at, columns[0], first, last, day0, n_sessions, first_row)
        for j in range(p):
            _copy(x[j], at, columns[j + 1], first, last, day0 + shifts[j], n_sessions, first_row)
        if len(rf):
            for d in range(width):
                session = day0 + first + d
                y[at + d] -= rf[first_row + session] if 0 <= session < n_sessions else np.nan
            for j in range(p):
                if minus_rf[j]:
                    for d in range(width):
                        session = day0 + shifts[j] + first + d
                        x[j, at + d] -= rf[first_row + session] if 0 <= session < n_sessions else np.nan
        if len(excluded):
            for d in range(width):
                session = day0 + first + d
                if 0 <= session < n_sessions and excluded[first_row + session]:
                    y[at + d] = np.nan
        at += width
    for d in range(at):
        ok[d] = y[d] == y[d]
        for j in range(p):
            ok[d] &= x[j, d] == x[j, d]
    n_obs = 0
    for d in range(at):
        n_obs += ok[d]
    for d in range(at):
        y[d] = y[d] if ok[d] else 0.0
    for j in range(p):
        for d in range(at):
            x[j, d] = x[j, d] if ok[d] else 0.0
    return n_obs


@njit(inline="always")
def _padded(spans):  # type: ignore[no-untyped-def]
    width = 0
    for s in range(len(spans)):
        width += spans[s, 1] - spans[s, 0] + 1
    return (width + LANES - 1) // LANES * LANES


@njit(parallel=True, nogil=True, cache=True)
def sums(columns, shifts, rf, minus_rf, spans, place, excluded, centred):  # type: ignore[no-untyped-def]
    """`linear.Sums` of every event: n_obs, y_bar, x_bar, total, scale, x_scale, gram, moment."""
    n, p, width = len(place), len(shifts), _padded(spans)
    n_obs, y_bar, x_bar = np.zeros(n, np.int64), np.zeros(n), np.zeros((n, p))
    total, scale, x_scale = np.zeros(n), np.zeros(n), np.zeros((n, p))
    gram, moment = np.zeros((n, p, p)), np.zeros((n, p))
    for block in prange((n + BLOCK - 1) // BLOCK):
        y, x, ok = np.zeros(width), np.zeros((p, width)), np.zeros(width, np.bool_)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            n_obs[i] = _fill(y, x, ok, i, columns, shifts, rf, minus_rf, spans, place, excluded)
            count = float(max(n_obs[i], 1))
            scale[i] = _product(y, y)
            for j in range(p):
                x_scale[i, j] = _product(x[j], x[j])
            if centred:
                y_bar[i] = _total(y) / count
                for d in range(width):
                    y[d] = y[d] - y_bar[i] if ok[d] else 0.0
                for j in range(p):
                    x_bar[i, j] = _total(x[j]) / count
                    for d in range(width):
                        x[j, d] = x[j, d] - x_bar[i, j] if ok[d] else 0.0
            total[i] = _product(y, y)
            for j in range(p):
                moment[i, j] = _product(x[j], y)
                for k in range(j + 1):
                    gram[i, j, k] = gram[i, k, j] = _product(x[j], x[k])
    return n_obs, y_bar, x_bar, total, scale, x_scale, gram, moment


@njit(parallel=True, nogil=True, cache=True)
def squares(columns, shifts, rf, minus_rf, spans, place, excluded, y_bar, x_bar, slopes):  # type: ignore[no-untyped-def]
    """Sum of squared deviations that slopes leave, (N,)."""
    n, p, width = len(place), len(shifts), _padded(spans)
    left = np.zeros(n)
    for block in prange((n + BLOCK - 1) // BLOCK):
        y, x, ok, fitted = np.zeros(width), np.zeros((p, width)), np.zeros(width, np.bool_), np.zeros(width)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            _fill(y, x, ok, i, columns, shifts, rf, minus_rf, spans, place, excluded)
            fitted[:] = 0.0
            for j in range(p):
                for d in range(width):
                    fitted[d] += (x[j, d] - x_bar[i, j]) * slopes[i, j] if ok[d] else 0.0
            for d in range(width):
                y[d] = (y[d] - y_bar[i]) - fitted[d] if ok[d] else 0.0
            left[i] = _product(y, y)
    return left


@njit(parallel=True, nogil=True, cache=True)
def residuals(columns, shifts, rf, minus_rf, spans, place, excluded, alpha, slopes):  # type: ignore[no-untyped-def]
    """Return less expectation on complete days, NaN on the others, (N, M)."""
    n, p, padded = len(place), len(shifts), _padded(spans)
    width = 0
    for s in range(len(spans)):
        width += spans[s, 1] - spans[s, 0] + 1
    left = np.empty((n, width))
    for block in prange((n + BLOCK - 1) // BLOCK):
        y, x, ok, fitted = np.zeros(padded), np.zeros((p, padded)), np.zeros(padded, np.bool_), np.zeros(padded)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            _fill(y, x, ok, i, columns, shifts, rf, minus_rf, spans, place, excluded)
            fitted[:] = 0.0
            for j in range(p):
                for d in range(width):
                    fitted[d] += x[j, d] * slopes[i, j]
            for d in range(width):
                left[i, d] = (y[d] - alpha[i]) - fitted[d] if ok[d] else np.nan
    return left
