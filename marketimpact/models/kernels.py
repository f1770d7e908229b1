"""Compute the sums of `marketimpact.models.linear` straight from the columns of the panel, for many events at once.

Windows are read where they lie or copied into a small buffer, so that memory does not grow with events times days.
Sums keep the order of `linear.sum_days`: both ways give the same bits. Every loop runs in one thread and without
Python's lock: callers share events out. Compiled once and kept on disk.

Every kernel takes a `KernelInputs` first; those that forecast take a `ForecastInputs`, too (see
`marketimpact.models.kernel_inputs`).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from marketimpact.core.arrays import NO_DAY

__all__ = ["abnormal_returns", "group_sums", "present", "residuals", "squares", "sums", "window_sums"]


@njit(nogil=True, cache=True)
def _halved(a):  # type: ignore[no-untyped-def]
    """Sum by adding the back half to the front until one is left; overwrite the numbers."""
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
    """Sum products of deviations."""
    half = (len(a) + 1) // 2
    a_back, b_back = a[half:], b[half:]
    for d in range(len(a_back)):
        space[d] = (a[d] - a_bar) * (b[d] - b_bar) + (a_back[d] - a_bar) * (b_back[d] - b_bar)
    if len(a_back) < half:
        space[half - 1] = (a[half - 1] - a_bar) * (b[half - 1] - b_bar)
    return _halved(space[:half])


@njit(nogil=True, cache=True)
def _on_calendar(column, first, width, n_sessions, first_row):  # type: ignore[no-untyped-def]
    """Locate the sessions, of `width` from `first` on, that a security's calendar has, and read the column there."""
    low = min(max(-first, 0), width)
    high = max(min(width, n_sessions - first), low)
    start = first_row + first
    return low, high, column[start + low : start + high]


@njit(nogil=True, cache=True)
def _copy(target, column, first, n_sessions, first_row):  # type: ignore[no-untyped-def]
    """Copy sessions of one security from `first` on, NaN where the calendar has none."""
    low, high, source = _on_calendar(column, first, len(target), n_sessions, first_row)
    inner = target[low:high]
    for d in range(len(inner)):
        inner[d] = source[d]
    target[:low] = np.nan
    target[high:] = np.nan


@njit(nogil=True, cache=True)
def _subtract(target, column, first, n_sessions, first_row):  # type: ignore[no-untyped-def]
    """Subtract the same sessions of another column."""
    low, high, source = _on_calendar(column, first, len(target), n_sessions, first_row)
    inner = target[low:high]
    for d in range(len(inner)):
        inner[d] -= source[d]


@njit(nogil=True, cache=True)
def _leave_out(target, excluded, first, n_sessions, first_row):  # type: ignore[no-untyped-def]
    """Set excluded sessions to NaN."""
    low, high, flags = _on_calendar(excluded, first, len(target), n_sessions, first_row)
    _set_absent_in(target[low:high], ~flags, np.nan)


@njit(nogil=True, cache=True)
def _leave_outside(target, first, own):  # type: ignore[no-untyped-def]
    """Set sessions, from `first` relative to day 0 on, outside an event's own window to NaN."""
    low = min(max(own[0] - first, 0), len(target))
    high = max(min(own[1] - first + 1, len(target)), low)
    target[:low] = np.nan
    target[high:] = np.nan


@njit(nogil=True, cache=True)
def _load(window, inputs, row):  # type: ignore[no-untyped-def]
    """Read the return, into row 0, and the regressors of one event, NaN where missing."""
    columns, shifts, rf, minus_rf = inputs.columns, inputs.shifts, inputs.rf, inputs.minus_rf
    spans, excluded = inputs.spans, inputs.excluded
    n_sessions, day0, begins, at = inputs.n_sessions[row], inputs.day0[row], inputs.begins[row], 0
    for s in range(len(spans)):
        first, end = day0 + spans[s, 0], at + spans[s, 1] - spans[s, 0] + 1
        for j in range(len(window)):
            target = window[j, at:end]
            _copy(target, columns[j], first + shifts[j], n_sessions, begins[j])
            if minus_rf[j]:
                _subtract(target, rf, first + shifts[j], n_sessions, begins[-1])
        if len(excluded):
            _leave_out(window[0, at:end], excluded, first, n_sessions, begins[0])
        if s == 0 and len(inputs.own_spans):
            _leave_outside(window[0, at:end], spans[0, 0], inputs.own_spans[row])
        at = end


@njit(nogil=True, cache=True)
def _totals(window, totals, space):  # type: ignore[no-untyped-def]
    """Sum the return and every regressor; return whether no day is missing."""
    complete = True
    for j in range(len(window)):
        totals[j] = _total(window[j], space)
        if totals[j] != totals[j]:
            complete = False
    return complete


@njit(nogil=True, cache=True)
def _complete_days(window, ok):  # type: ignore[no-untyped-def]
    """Mark the days that have the return and every regressor, and count them."""
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
    """Write a value into days that do not count: a mean there has no deviation."""
    for j in range(len(window)):
        _set_absent_in(window[j], ok, values[j])


@njit(nogil=True, cache=True)
def _set_absent_in(values, ok, value):  # type: ignore[no-untyped-def]
    for d in range(len(ok)):
        if not ok[d]:
            values[d] = value


@njit(nogil=True, cache=True)
def sums(inputs, centred):  # type: ignore[no-untyped-def]
    """Compute the arrays of `CrossProducts` for every event: n_obs, y_bar, x_bar, total, gram, moment.

    Events one after the other that share all regressors, as the firms of one day do, have these products once.
    """
    shifts, spans = inputs.shifts, inputs.spans
    n, p, width = len(inputs.day0), len(shifts) - 1, _width(spans)
    n_obs, bar = np.zeros(n, np.int64), np.zeros((n, p + 1))
    total, gram, moment = np.zeros(n), np.zeros((n, p, p)), np.zeros((n, p))
    window, ok, space = np.zeros((p + 1, width)), np.zeros(width, np.bool_), np.zeros(width)
    totals, zeros, complete = np.zeros(p + 1), np.zeros(p + 1), False
    for i in range(n):
        n_obs[i] = width
        if complete and _same_regressors(inputs, i, i - 1):
            _load(window[:1], inputs, i)
            totals[0] = _total(window[0], space)
            if totals[0] == totals[0]:
                bar[i], gram[i] = bar[i - 1], gram[i - 1]
                if centred:
                    bar[i, 0] = totals[0] / max(width, 1)
                total[i] = _product(window[0], bar[i, 0], window[0], bar[i, 0], space)
                for j in range(p):
                    moment[i, j] = _product(window[j + 1], bar[i, j + 1], window[0], bar[i, 0], space)
                continue
        _load(window, inputs, i)
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
def _same_regressors(inputs, one, other):  # type: ignore[no-untyped-def]
    """Return whether two events have the same sessions and regressors; their returns may begin elsewhere."""
    if inputs.n_sessions[one] != inputs.n_sessions[other] or inputs.day0[one] != inputs.day0[other]:
        return False
    begins, others = inputs.begins[one], inputs.begins[other]
    for k in range(1, len(begins)):  # noqa: SIM110  # compiled
        if begins[k] != others[k]:
            return False
    return True


@njit(nogil=True, cache=True)
def squares(inputs, bar, slopes):  # type: ignore[no-untyped-def]
    """Sum squared deviations that slopes leave, `bar` the means of return and regressors."""
    shifts, spans = inputs.shifts, inputs.spans
    p, width = len(shifts) - 1, _width(spans)
    window, ok, space, fitted = np.zeros((p + 1, width)), np.zeros(width, np.bool_), np.zeros(width), np.zeros(width)
    left = np.zeros(len(inputs.day0))
    for i in range(len(inputs.day0)):
        _load(window, inputs, i)
        _complete_days(window, ok)
        _set_absent(window, ok, bar[i])
        _fill(fitted, 0.0)
        for j in range(p):
            _add_fitted(fitted, window[j + 1], bar[i, j + 1], slopes[i, j])
        y, y_bar = window[0], bar[i, 0]
        for d in range(width):
            fitted[d] = (y[d] - y_bar) - fitted[d]
        left[i] = _product(fitted, 0.0, fitted, 0.0, space)
    return left


@njit(nogil=True, cache=True)
def residuals(inputs, alpha, slopes):  # type: ignore[no-untyped-def]
    """Subtract the expectation from the return on complete days, NaN on the others, (N, M)."""
    columns, shifts, minus_rf = inputs.columns, inputs.shifts, inputs.minus_rf
    spans, excluded = inputs.spans, inputs.excluded
    n_sessions, day0, begins = inputs.n_sessions, inputs.day0, inputs.begins
    n, p, width = len(inputs.day0), len(shifts) - 1, _width(spans)
    left, window, fitted = np.empty((n, width)), np.zeros((p + 1, width)), np.zeros(width)
    as_they_are = len(spans) == 1 and not len(excluded) and not len(inputs.own_spans) and not minus_rf.any()
    for i in range(n):
        own, first = left[i], day0[i] + spans[0, 0]
        if as_they_are and _inside(first, width, shifts, n_sessions[i]):
            _fill(own, 0.0)
            for j in range(slopes.shape[1]):
                _add_fitted(own, _days(columns, j + 1, first, width, shifts, begins[i]), 0.0, slopes[i, j])
            y, normal = _days(columns, 0, first, width, shifts, begins[i]), alpha[i]
            for d in range(width):
                own[d] = y[d] - (normal + own[d])
        else:
            _load(window, inputs, i)
            _expect(fitted, window, alpha[i], slopes[i])
            y = window[0]
            for d in range(width):
                own[d] = y[d] - fitted[d]
    return left


@njit(nogil=True, cache=True)
def _inside(first, width, shifts, n_sessions):  # type: ignore[no-untyped-def]
    """Return whether the calendar has all days of a window, so that they can be read where they lie."""
    return first + shifts.min() >= 0 and first + width + shifts.max() <= n_sessions


@njit(nogil=True, cache=True)
def _days(columns, j, first, width, shifts, begins):  # type: ignore[no-untyped-def]
    start = begins[j] + first + shifts[j]
    return columns[j][start : start + width]


@njit(nogil=True, cache=True)
def _expect(fitted, window, alpha, slopes):  # type: ignore[no-untyped-def]
    _fill(fitted, 0.0)
    for j in range(len(slopes)):
        _add_fitted(fitted, window[j + 1], 0.0, slopes[j])
    for d in range(len(fitted)):
        fitted[d] = alpha + fitted[d]


@njit(nogil=True, cache=True)
def abnormal_returns(inputs, days, day_begins, forecast):  # type: ignore[no-untyped-def]
    """Compute the arrays of `EventWindow` for every event."""
    shifts, rf, minus_rf, spans = inputs.shifts, inputs.rf, inputs.minus_rf, inputs.spans
    n_sessions, day0, begins = inputs.n_sessions, inputs.day0, inputs.begins
    alpha, slopes, sigma = forecast.alpha, forecast.slopes, forecast.sigma
    centre, root, mean = forecast.centre, forecast.leverage_root, forecast.mean_leverage
    n, p, width = len(inputs.day0), len(shifts) - 1, _width(spans)
    ret, expected, ar, se = np.empty((n, width)), np.empty((n, width)), np.empty((n, width)), np.empty((n, width))
    loading, own, dates = np.zeros((n, width, p + 1)), np.empty((n, width)), np.empty((n, width), np.int64)
    window, fitted, free, load = np.zeros((p + 1, width)), np.zeros(width), np.zeros(width), np.zeros((p + 1, width))
    for i in range(n):
        first = day0[i] + spans[0, 0]
        _load(window, inputs, i)
        if minus_rf[0]:
            _copy(free, rf, first, n_sessions[i], begins[i, -1])
        low, high, known = _on_calendar(days, first, width, n_sessions[i], day_begins[i])
        dates[i, :low], dates[i, low:high], dates[i, high:] = NO_DAY, known, NO_DAY
        _expect(fitted, window, alpha[i], slopes[i])
        for d in range(width):
            ar[i, d] = window[0, d] - fitted[d]
            ret[i, d], expected[i, d] = window[0, d] + free[d], fitted[d] + free[d]
        _load_errors(load, window, centre[i], root[i], mean[i])
        _forecast_error(ar[i], load, sigma[i], own[i], se[i])
        loading[i] = load.T
    return ret, expected, ar, se, loading, own, dates


@njit(nogil=True, cache=True)
def window_sums(inputs, forecast):  # type: ignore[no-untyped-def]
    """Compute the arrays of `CarSums` over the one stretch of `spans` for every event."""
    shifts, rf, minus_rf, spans = inputs.shifts, inputs.rf, inputs.minus_rf, inputs.spans
    n_sessions, day0, begins = inputs.n_sessions, inputs.day0, inputs.begins
    alpha, slopes, sigma = forecast.alpha, forecast.slopes, forecast.sigma
    centre, root, mean = forecast.centre, forecast.leverage_root, forecast.mean_leverage
    n, p, width = len(inputs.day0), len(shifts) - 1, _width(spans)
    car, variance, grown, expected = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    window, fitted, free, load = np.zeros((p + 1, width)), np.zeros(width), np.zeros(width), np.zeros((p + 1, width))
    ar, space, ok = np.zeros(width), np.zeros(width), np.zeros(width, np.bool_)
    for i in range(n):
        _load(window, inputs, i)
        if minus_rf[0]:
            _copy(free, rf, day0[i] + spans[0, 0], n_sessions[i], begins[i, -1])
        _expect(fitted, window, alpha[i], slopes[i])
        for d in range(width):
            ar[d] = window[0, d] - fitted[d]
        grown[i], expected[i], n_days = 1.0, 1.0, 0
        for d in range(width):
            ok[d] = ar[d] == ar[d]
            n_days += ok[d]
            grown[i] *= 1.0 + (window[0, d] + free[d]) if ok[d] else 1.0
            expected[i] *= 1.0 + (fitted[d] + free[d]) if ok[d] else 1.0
        _load_errors(load, window, centre[i], root[i], mean[i])
        if n_days < width:
            _set_absent_in(ar, ok, 0.0)
        error = 0.0
        for row in range(p + 1):
            if n_days < width:
                _set_absent_in(load[row], ok, 0.0)
            total = _total(load[row], space)
            error += total * total
        car[i] = _total(ar, space) if n_days else np.nan
        variance[i] = sigma[i] * sigma[i] * (n_days + error) if n_days else np.nan
    return car, variance, grown, expected


@njit(nogil=True, cache=True)
def _load_errors(load, window, centre, leverage_root, mean_leverage):  # type: ignore[no-untyped-def]
    """Compute the loadings of forecast errors, (p + 1, L)."""
    _fill(load[0], np.sqrt(mean_leverage))
    for row in range(len(centre)):
        _fill(load[row + 1], 0.0)
        for j in range(len(centre)):
            _add_distance(load[row + 1], window[j + 1], centre[j], leverage_root[row, j])


@njit(nogil=True, cache=True)
def _add_distance(load, x, x_bar, weight):  # type: ignore[no-untyped-def]
    for d in range(len(load)):
        load[d] += (x[d] - x_bar) * weight


@njit(nogil=True, cache=True)
def _forecast_error(ar, load, sigma, own, se):  # type: ignore[no-untyped-def]
    """Compute variances of days that have an abnormal return; others have no loading."""
    for d in range(len(ar)):
        if ar[d] != ar[d]:
            se[d], own[d], load[:, d] = np.nan, 0.0, 0.0
        else:
            error = 0.0
            for row in range(len(load)):
                error += load[row, d] * load[row, d]
            se[d], own[d] = sigma * np.sqrt(1.0 + error), 1.0


@njit(nogil=True, cache=True)
def present(inputs):  # type: ignore[no-untyped-def]
    """Mark the days that have the return and every regressor, (N, M)."""
    shifts, spans = inputs.shifts, inputs.spans
    n, p, width = len(inputs.day0), len(shifts) - 1, _width(spans)
    present_days, window = np.empty((n, width), np.bool_), np.zeros((p + 1, width))
    for i in range(n):
        _load(window, inputs, i)
        _complete_days(window, present_days[i])
    return present_days


@njit(nogil=True, cache=True)
def group_sums(inputs, sign, ends, together):  # type: ignore[no-untyped-def]
    """Sum return and regressors over the events of each group, day by day, (G, p + 1, M), and count what is present.

    Groups are events up to `ends`. Where `together`, a day counts that has them all.
    """
    columns, shifts, minus_rf = inputs.columns, inputs.shifts, inputs.minus_rf
    spans, excluded = inputs.spans, inputs.excluded
    n_sessions, day0, begins = inputs.n_sessions, inputs.day0, inputs.begins
    n_groups, p, width = len(ends), len(shifts) - 1, _width(spans)
    total, count = np.zeros((n_groups, p + 1, width)), np.zeros((n_groups, p + 1, width), np.int64)
    window, ok, complete = np.zeros((p + 1, width)), np.zeros(width, np.bool_), 0
    as_they_are = len(spans) == 1 and not len(excluded) and not len(inputs.own_spans) and not minus_rf.any()
    for g in range(n_groups):
        complete = 0
        for i in range(ends[g - 1] if g else 0, ends[g]):
            first = day0[i] + spans[0, 0]
            if as_they_are and sign[i] > 0 and _inside(first, width, shifts, n_sessions[i]):
                absent = 0
                for j in range(p + 1):
                    absent += _n_absent(_days(columns, j, first, width, shifts, begins[i]))
                if not absent:  # as nearly always
                    complete += 1
                    for j in range(p + 1):
                        _add(_days(columns, j, first, width, shifts, begins[i]), total[g, j])
                    continue
            _load(window, inputs, i)
            if sign[i] < 0:
                window[0] *= sign[i]
            if together:
                _complete_days(window, ok)
                for j in range(p + 1):
                    _set_absent_in(window[j], ok, np.nan)
            for j in range(p + 1):
                _add_present(window[j], total[g, j], count[g, j])
        count[g] += complete
    return total, count


@njit(nogil=True, cache=True)
def _n_absent(values):  # type: ignore[no-untyped-def]
    absent = 0
    for d in range(len(values)):
        absent += values[d] != values[d]
    return absent


@njit(nogil=True, cache=True)
def _add(values, total):  # type: ignore[no-untyped-def]
    for d in range(len(values)):
        total[d] += values[d]


@njit(nogil=True, cache=True)
def _add_present(values, total, count):  # type: ignore[no-untyped-def]
    for d in range(len(values)):
        there = values[d] == values[d]
        total[d] += values[d] if there else 0.0
        count[d] += there


@njit(nogil=True, cache=True)
def _fill(values, value):  # type: ignore[no-untyped-def]
    for d in range(len(values)):
        values[d] = value


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
