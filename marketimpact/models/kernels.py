"""The same sums as `marketimpact.models.linear`, straight from the market's columns: for many events at once.

Each window is copied into a small buffer, so that memory does not grow with events times days. Sums keep the order of
`linear.sum_days`: both ways give the same bits. Events are taken in the order of their rows, which lie side by side in
memory. Compiled once and kept on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

__all__ = ["event_days", "group_sums", "present", "residuals", "squares", "sums"]

#: Events that one thread takes at a time.
BLOCK = 256


@njit(nogil=True, cache=True)
def _halved(a):  # type: ignore[no-untyped-def]
    """Sum, the back half added to the front until one is left; overwrites them."""
    n = len(a)
    while n > 1:
        half = (n + 1) // 2
        back = a[half:n]
        for d in range(len(back)):
            a[d] += back[d]
        n = half
    return a[0]


@njit(nogil=True, cache=True)
def _total(a, space):  # type: ignore[no-untyped-def]
    half = (len(a) + 1) // 2
    back = a[half:]
    for d in range(len(back)):
        space[d] = a[d] + back[d]
    if len(back) < half:
        space[half - 1] = a[half - 1]
    return _halved(space[:half])


@njit(nogil=True, cache=True)
def _product(a, a_bar, b, b_bar, space):  # type: ignore[no-untyped-def]
    """Sum of products of deviations."""
    half = (len(a) + 1) // 2
    a_back, b_back = a[half:], b[half:]
    for d in range(len(a_back)):
        space[d] = (a[d] - a_bar) * (b[d] - b_bar) + (a_back[d] - a_bar) * (b_back[d] - b_bar)
    if len(a_back) < half:
        space[half - 1] = (a[half - 1] - a_bar) * (b[half - 1] - b_bar)
    return _halved(space[:half])


@njit(nogil=True, cache=True)
def _held(column, first, width, n_sessions, first_row):  # type: ignore[no-untyped-def]
    """Which of `width` sessions from `first` on a security's calendar has, from and to, and the column on these."""
    low = min(max(-first, 0), width)
    high = max(min(width, n_sessions - first), low)
    start = first_row + first
    return low, high, column[start + low : start + high]


@njit(nogil=True, cache=True)
def _copy(target, column, first, n_sessions, first_row):  # type: ignore[no-untyped-def]
    """Sessions of one security from `first` on, NaN where the calendar has none."""
    low, high, source = _held(column, first, len(target), n_sessions, first_row)
    inner = target[low:high]
    for d in range(len(inner)):
        inner[d] = source[d]
    target[:low] = np.nan
    target[high:] = np.nan


@njit(nogil=True, cache=True)
def _subtract(target, column, first, n_sessions, first_row):  # type: ignore[no-untyped-def]
    """Take the same sessions of another column away from what `_copy` left."""
    low, high, source = _held(column, first, len(target), n_sessions, first_row)
    inner = target[low:high]
    for d in range(len(inner)):
        inner[d] -= source[d]


@njit(nogil=True, cache=True)
def _leave_out(target, excluded, first, n_sessions, first_row):  # type: ignore[no-untyped-def]
    """NaN on excluded sessions."""
    low, high, flags = _held(excluded, first, len(target), n_sessions, first_row)
    _set_absent_in(target[low:high], ~flags, np.nan)


@njit(nogil=True, cache=True)
def _load(window, columns, shifts, rf, minus_rf, spans, place, excluded):  # type: ignore[no-untyped-def]
    """The return, row 0, and the regressors of one event, NaN where missing."""
    first_row, n_sessions, day0, at = place[0], place[1], place[2], 0
    for s in range(len(spans)):
        first, end = day0 + spans[s, 0], at + spans[s, 1] - spans[s, 0] + 1
        for j in range(len(window)):
            target = window[j, at:end]
            _copy(target, columns[j], first + shifts[j], n_sessions, first_row)
            if minus_rf[j]:
                _subtract(target, rf, first + shifts[j], n_sessions, first_row)
        if len(excluded):
            _leave_out(window[0, at:end], excluded, first, n_sessions, first_row)
        at = end


@njit(nogil=True, cache=True)
def _totals(window, totals, space):  # type: ignore[no-untyped-def]
    """Sums of the return and of every regressor; whether no day is missing."""
    complete = True
    for j in range(len(window)):
        totals[j] = _total(window[j], space)
        if totals[j] != totals[j]:
            complete = False
    return complete


@njit(nogil=True, cache=True)
def _complete_days(window, ok):  # type: ignore[no-untyped-def]
    """Which days have the return and every regressor; the number of them."""
    n_obs = 0
    for d in range(len(ok)):
        ok[d] = True
        for j in range(len(window)):
            if window[j, d] != window[j, d]:
                ok[d] = False
        n_obs += ok[d]
    return n_obs


@njit(nogil=True, cache=True)
def _set_absent(window, ok, values):  # type: ignore[no-untyped-def]
    """Put a value into days that do not count: a mean there has no deviation."""
    for j in range(len(window)):
        _set_absent_in(window[j], ok, values[j])


@njit(nogil=True, cache=True)
def _set_absent_in(values, ok, value):  # type: ignore[no-untyped-def]
    for d in range(len(ok)):
        if not ok[d]:
            values[d] = value


@njit(parallel=True, nogil=True, cache=True)
def sums(columns, shifts, rf, minus_rf, spans, places, order, excluded, centred):  # type: ignore[no-untyped-def]
    """`linear.Sums` of every event: n_obs, y_bar, x_bar, total, gram, moment."""
    n, p, width = len(order), len(shifts) - 1, _width(spans)
    n_obs, bar = np.zeros(n, np.int64), np.zeros((n, p + 1))
    total, gram, moment = np.zeros(n), np.zeros((n, p, p)), np.zeros((n, p))
    for block in prange((n + BLOCK - 1) // BLOCK):
        window, ok, space = np.zeros((p + 1, width)), np.zeros(width, np.bool_), np.zeros(width)
        totals, zeros = np.zeros(p + 1), np.zeros(p + 1)
        for position in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            i = order[position]
            _load(window, columns, shifts, rf, minus_rf, spans, places[i], excluded)
            n_obs[i] = width
            complete = _totals(window, totals, space)
            if not complete:
                n_obs[i] = _complete_days(window, ok)
                _set_absent(window, ok, zeros)
                _totals(window, totals, space)
            if centred:
                for j in range(p + 1):
                    bar[i, j] = totals[j] / max(n_obs[i], 1)
                if not complete:
                    _set_absent(window, ok, bar[i])
            total[i] = _product(window[0], bar[i, 0], window[0], bar[i, 0], space)
            for j in range(p):
                moment[i, j] = _product(window[j + 1], bar[i, j + 1], window[0], bar[i, 0], space)
                for k in range(j + 1):
                    gram[i, j, k] = _product(window[j + 1], bar[i, j + 1], window[k + 1], bar[i, k + 1], space)
                    gram[i, k, j] = gram[i, j, k]
    return n_obs, bar[:, 0].copy(), bar[:, 1:].copy(), total, gram, moment


@njit(nogil=True, cache=True)
def squares(columns, shifts, rf, minus_rf, spans, places, rows, excluded, bar, slopes):  # type: ignore[no-untyped-def]
    """Sum of squared deviations that slopes leave for some of the events, one by one."""
    p, width = len(shifts) - 1, _width(spans)
    window, ok, space, fitted = np.zeros((p + 1, width)), np.zeros(width, np.bool_), np.zeros(width), np.zeros(width)
    left = np.zeros(len(rows))
    for position in range(len(rows)):
        i = rows[position]
        _load(window, columns, shifts, rf, minus_rf, spans, places[i], excluded)
        _complete_days(window, ok)
        _set_absent(window, ok, bar[i])
        _clear(fitted)
        for j in range(p):
            _add_fitted(fitted, window[j + 1], bar[i, j + 1], slopes[i, j])
        y, y_bar = window[0], bar[i, 0]
        for d in range(width):
            fitted[d] = (y[d] - y_bar) - fitted[d]
        left[position] = _product(fitted, 0.0, fitted, 0.0, space)
    return left


@njit(parallel=True, nogil=True, cache=True)
def residuals(columns, shifts, rf, minus_rf, spans, places, order, excluded, alpha, slopes):  # type: ignore[no-untyped-def]
    """Return less expectation on complete days, NaN on the others, (N, M)."""
    n, p, width = len(order), len(shifts) - 1, _width(spans)
    left = np.empty((n, width))
    for block in prange((n + BLOCK - 1) // BLOCK):
        window, fitted = np.zeros((p + 1, width)), np.zeros(width)
        for position in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            i = order[position]
            _load(window, columns, shifts, rf, minus_rf, spans, places[i], excluded)
            _clear(fitted)
            for j in range(p):
                _add_fitted(fitted, window[j + 1], 0.0, slopes[i, j])
            own, normal, y = left[i], alpha[i], window[0]
            for d in range(width):
                own[d] = (y[d] - normal) - fitted[d]
    return left


@njit(parallel=True, nogil=True, cache=True)
def event_days(columns, shifts, rf, minus_rf, spans, places, order, days, alpha, slopes, sigma, centre, whitener, base):  # type: ignore[no-untyped-def]
    """`fitting.EventDays` of every event."""
    n, p, width = len(order), len(shifts) - 1, _width(spans)
    ret, expected, ar, se = np.empty((n, width)), np.empty((n, width)), np.empty((n, width)), np.empty((n, width))
    loading, own, dates = np.zeros((n, width, p + 1)), np.empty((n, width)), np.empty((n, width), np.int64)
    for block in prange((n + BLOCK - 1) // BLOCK):
        window, fitted, free = np.zeros((p + 1, width)), np.zeros(width), np.zeros(width)
        for position in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            i = order[position]
            first_row, n_sessions, first = places[i, 0], places[i, 1], places[i, 2] + spans[0, 0]
            _load(window, columns, shifts, rf, minus_rf, spans, places[i], np.empty(0, np.bool_))
            if minus_rf[0]:
                _copy(free, rf, first, n_sessions, first_row)
            low, high, known = _held(days, first, width, n_sessions, first_row)
            dates[i, :low], dates[i, low:high], dates[i, high:] = -1, known, -1
            _clear(fitted)
            for j in range(p):
                _add_fitted(fitted, window[j + 1], 0.0, slopes[i, j])
            _abnormal(window[0], fitted, free, alpha[i], ret[i], expected[i], ar[i])
            load = loading[i]
            load[:, 0] = np.sqrt(base[i])
            for row in range(p):
                for j in range(p):
                    _add_distance(load[:, row + 1], window[j + 1], centre[i, j], whitener[i, row, j])
            _forecast_error(ar[i], load, sigma[i], own[i], se[i])
    return ret, expected, ar, se, loading, own, dates


@njit(nogil=True, cache=True)
def _abnormal(y, fitted, free, alpha, ret, expected, ar):  # type: ignore[no-untyped-def]
    for d in range(len(y)):
        normal = alpha + fitted[d]
        ar[d] = y[d] - normal
        ret[d], expected[d] = y[d] + free[d], normal + free[d]


@njit(nogil=True, cache=True)
def _add_distance(load, x, x_bar, weight):  # type: ignore[no-untyped-def]
    for d in range(len(load)):
        load[d] += (x[d] - x_bar) * weight


@njit(nogil=True, cache=True)
def _forecast_error(ar, load, sigma, own, se):  # type: ignore[no-untyped-def]
    """Variances of days that have an abnormal return; no loading on the others."""
    for d in range(len(ar)):
        if ar[d] != ar[d]:
            se[d], own[d], load[d, :] = np.nan, 0.0, 0.0
        else:
            error = 0.0
            for row in range(load.shape[1]):
                error += load[d, row] * load[d, row]
            se[d], own[d] = sigma * np.sqrt(1.0 + error), 1.0


@njit(parallel=True, nogil=True, cache=True)
def present(columns, shifts, rf, minus_rf, spans, places, order, excluded):  # type: ignore[no-untyped-def]
    """Which days have the return and every regressor, (N, M)."""
    n, p, width = len(order), len(shifts) - 1, _width(spans)
    found = np.empty((n, width), np.bool_)
    for block in prange((n + BLOCK - 1) // BLOCK):
        window = np.zeros((p + 1, width))
        for position in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            i = order[position]
            _load(window, columns, shifts, rf, minus_rf, spans, places[i], excluded)
            _complete_days(window, found[i])
    return found


@njit(parallel=True, nogil=True, cache=True)
def group_sums(columns, shifts, rf, minus_rf, spans, places, excluded, sign, ends, together):  # type: ignore[no-untyped-def]
    """Sums over the events of each group, day by day, of return and regressors, (G, p + 1, M), and how many are there.

    Groups are events up to `ends`. Where `together`, a day counts that has them all.
    """
    n_groups, p, width = len(ends), len(shifts) - 1, _width(spans)
    total, count = np.zeros((n_groups, p + 1, width)), np.zeros((n_groups, p + 1, width), np.int64)
    for g in prange(n_groups):
        window, ok = np.zeros((p + 1, width)), np.zeros(width, np.bool_)
        for i in range(ends[g - 1] if g else 0, ends[g]):
            _load(window, columns, shifts, rf, minus_rf, spans, places[i], excluded)
            if sign[i] < 0:
                window[0] *= sign[i]
            if together:
                _complete_days(window, ok)
                for j in range(p + 1):
                    _set_absent_in(window[j], ok, np.nan)
            for j in range(p + 1):
                _add_present(window[j], total[g, j], count[g, j])
    return total, count


@njit(nogil=True, cache=True)
def _add_present(values, total, count):  # type: ignore[no-untyped-def]
    for d in range(len(values)):
        there = values[d] == values[d]
        total[d] += values[d] if there else 0.0
        count[d] += there


@njit(nogil=True, cache=True)
def _clear(values):  # type: ignore[no-untyped-def]
    for d in range(len(values)):
        values[d] = 0.0


@njit(nogil=True, cache=True)
def _add_fitted(fitted, x, x_bar, slope):  # type: ignore[no-untyped-def]
    for d in range(len(fitted)):
        fitted[d] += (x[d] - x_bar) * slope


@njit(nogil=True, cache=True)
def _width(spans):  # type: ignore[no-untyped-def]
    width = 0
    for s in range(len(spans)):
        width += spans[s, 1] - spans[s, 0] + 1
    return width
