"""Compiled loops over rows of days, for many events, beside the array code that few events take.

Sums by day and ranks have the same bits either way; correlations of pairs do not, and which way is taken hangs on the
data alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["dots", "keys", "ranks", "summed_correlations", "unit_sums"]

LARGEST = 0x7FFFFFFFFFFFFFFF


@njit(nogil=True, cache=True)
def keys(values, low):  # type: ignore[no-untyped-def]
    """Whole numbers in the order of the values, (K, D), NaN last, their `low` last bits the day's number."""
    n, width = values.shape
    found, bits = np.empty((n, width), np.int64), values.view(np.int64)
    for row in range(n):
        own, own_bits, key = values[row], bits[row], found[row]
        for d in range(width):
            # of negative numbers the larger bits are the smaller number, and -0.0 is 0.0
            number = own_bits[d] ^ ((own_bits[d] >> 63) & LARGEST) if own[d] == own[d] else LARGEST
            number = 0 if own[d] == 0.0 else number
            key[d] = ((number >> low) << low) | d
    return found


@njit(nogil=True, cache=True)
def ranks(ordered, low, scored):  # type: ignore[no-untyped-def]
    """Ranks of days from sorted `keys`, (K, D), NaN for days without a value, and the number of days with one, (K,).

    Where `scored`, ranks over one more than the number of days, about 0. With the rows of which two days are too close
    to tell.
    """
    n, width = ordered.shape
    found, n_days, close = np.empty((n, width)), np.zeros(n), np.zeros(n, np.bool_)
    last, missing = (1 << low) - 1, LARGEST >> low
    for row in range(n):
        key, rank, n_there = ordered[row], found[row], width
        while n_there and (key[n_there - 1] >> low) == missing:
            n_there -= 1
        for position in range(n_there):
            place = position + 1.0
            rank[key[position] & last] = place / (n_there + 1.0) - 0.5 if scored else place
        for position in range(n_there, width):
            rank[key[position] & last] = np.nan
        n_close = 0
        for position in range(n_there - 1):
            n_close += (key[position] >> low) == (key[position + 1] >> low)
        n_days[row], close[row] = n_there, n_close > 0
    return found, n_days, close


@njit(nogil=True, cache=True)
def dots(a, starts, b, starts_there, lengths):  # type: ignore[no-untyped-def]
    """Sums of products of stretches of a and b."""
    found = np.empty(len(lengths))
    for k in range(len(lengths)):
        start, there = starts[k], starts_there[k]
        found[k] = _dot(a[start : start + lengths[k]], b[there : there + lengths[k]])
    return found


@njit(nogil=True, cache=True)
def _places_in(days, theirs, places):  # type: ignore[no-untyped-def]
    """Write the places among sorted `days` of those that sorted `theirs` has too; their number."""
    place, n = 0, 0
    for day in theirs:
        while place < len(days) and days[place] < day:
            place += 1
        if place < len(days) and days[place] == day:
            places[n] = place
            n += 1
    return n


@njit(nogil=True, cache=True)
def _put_in_order(values, columns):  # type: ignore[no-untyped-def]
    """Write some columns of every row to its front."""
    in_order = True
    for at in range(len(columns)):
        in_order &= columns[at] == at
    if not in_order:
        space = np.empty(len(columns))
        for row in range(len(values)):
            value = values[row]
            for at in range(len(columns)):
                space[at] = value[columns[at]]
            value[: len(columns)] = space


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _moments(values):  # type: ignore[no-untyped-def]
    """Sum and sum of squares, in any order: a few last bits are not worth a third of the speed."""
    total = squares = 0.0
    for d in range(len(values)):
        total += values[d]
        squares += values[d] * values[d]
    return total, squares


@njit(nogil=True, cache=True)
def _less_often(often):  # type: ignore[no-untyped-def]
    """Days that do not count once, and by how much less: all of them, or those that count where these are fewer."""
    wanted = np.flatnonzero(often != 1.0)
    if 2 * len(wanted) <= len(often):
        return wanted, often[wanted] - 1.0, True
    wanted = np.flatnonzero(often != 0.0)
    return wanted, often[wanted], False


@njit(nogil=True, cache=True)
def unit_sums(values, row_ends, days, columns, day_ends, theirs, ends, linked, set_ends, least, nothing):  # type: ignore[no-untyped-def]
    """`units.sums_of`: layouts one after the other; `values` are put in another order.

    What ends with b: rows of a layout with `row_ends`, days and columns with `day_ends`, sets with `set_ends`. What
    ends with a set: `theirs` with `ends`.
    """
    flat, kept, number = np.zeros(len(theirs)), np.zeros(len(ends), np.int64), np.zeros(len(ends) - 1, np.int64)
    places = np.zeros(len(theirs), np.int64)
    for b in range(len(row_ends) - 1):
        rows, own = values[row_ends[b] : row_ends[b + 1]], days[day_ends[b] : day_ends[b + 1]]
        _put_in_order(rows, columns[day_ends[b] : day_ends[b + 1]])
        first, last = set_ends[b], set_ends[b + 1]
        for k in range(first, last):
            asked, space = theirs[ends[k] : ends[k + 1]], places[kept[k] :]
            if linked[k]:
                space[: len(asked)] = asked
            kept[k + 1] = kept[k] + (len(asked) if linked[k] else _places_in(own, asked, space))
        _layout_sums(rows, len(own), places, kept[first : last + 1], least, nothing, flat, number[first:last])
    return flat[: kept[-1]], kept, number


@njit(nogil=True, cache=True)
def _layout_sums(values, width, places, ends, least, nothing, flat, number):  # type: ignore[no-untyped-def]
    """Rows scaled to mean 0 and length 1 on sets of days, summed, at the places of the days, and how many rows vary."""
    n_sets = len(ends) - 1
    often, summed = np.zeros((n_sets, width)), np.zeros((n_sets, width))
    for k in range(n_sets):
        for place in places[ends[k] : ends[k + 1]]:
            often[k, place] += 1.0
    apart = [_less_often(often[k]) for k in range(n_sets)]
    scales, shift = np.zeros((n_sets, len(values))), np.zeros(n_sets)
    for row in range(len(values)):
        value = values[row][:width]
        whole, whole_squares = _moments(value)
        for k in range(n_sets):
            days = ends[k + 1] - ends[k]
            if days < least:
                continue
            where, weight, from_whole = apart[k]
            total, squares = (whole, whole_squares) if from_whole else (0.0, 0.0)
            for at in range(len(where)):
                share = weight[at] * value[where[at]]
                total += share
                squares += share * value[where[at]]
            variation = squares - total * total / days
            if variation > nothing * squares:
                scales[k, row] = 1.0 / np.sqrt(variation)
                shift[k] += scales[k, row] * total / days
                number[k] += 1
    for k in range(n_sets):
        _add_scaled(values, scales[k], summed[k])
        for at in range(ends[k], ends[k + 1]):
            flat[at] = summed[k, places[at]] - shift[k]


@njit(nogil=True, cache=True)
def _add_scaled(values, scale, total):  # type: ignore[no-untyped-def]
    """Add rows times their scales, four at a time: the sums are read and written less often."""
    n, width = len(values), len(total)
    for row in range(0, n - n % 4, 4):
        one, two = values[row][:width], values[row + 1][:width]
        three, four = values[row + 2][:width], values[row + 3][:width]
        a, b, c, d = scale[row], scale[row + 1], scale[row + 2], scale[row + 3]
        for day in range(width):
            total[day] += (a * one[day] + b * two[day]) + (c * three[day] + d * four[day])
    for row in range(n - n % 4, n):
        value, own = values[row][:width], scale[row]
        for day in range(width):
            total[day] += own * value[day]


@njit(nogil=True, cache=True)
def summed_correlations(x, y, x_group, y_group, shape, min_days, nothing, same):  # type: ignore[no-untyped-def]
    """`incomplete.summed_correlations`: moments of all days less those of the few that the other row misses."""
    total, used = np.zeros(shape), np.zeros(shape, np.int64)
    a, a_moments, a_ends, a_gone = _filled(x)
    b, b_moments, b_ends, b_gone = _filled(y)
    for i in range(len(x)):
        gone = a_gone[a_ends[i] : a_ends[i + 1]]
        for j in range(i + 1 if same else 0, len(y)):
            gone_there = b_gone[b_ends[j] : b_ends[j + 1]]
            sum_a, square_a, both = _less(a[i], x[i], gone_there, a_moments[i])
            sum_b, square_b, _ = _less(b[j], y[j], gone, b_moments[j])
            n = x.shape[1] - len(gone) - len(gone_there) + both
            if n < min_days:
                continue
            var_a, var_b = square_a - sum_a * sum_a / n, square_b - sum_b * sum_b / n
            if var_a > nothing * square_a and var_b > nothing * square_b:
                correlation = (_dot(a[i], b[j]) - sum_a * sum_b / n) / np.sqrt(var_a * var_b)
                total[x_group[i], y_group[j]] += correlation
                used[x_group[i], y_group[j]] += 1
                if same:
                    total[x_group[j], y_group[i]] += correlation
                    used[x_group[j], y_group[i]] += 1
    return total, used


@njit(nogil=True, cache=True)
def _filled(values):  # type: ignore[no-untyped-def]
    """Rows with 0 where they miss a day, their sums and sums of squares, and which days they miss, row after row."""
    n, width = values.shape
    filled, moments, ends = np.zeros((n, width)), np.zeros((n, 2)), np.zeros(n + 1, np.int64)
    gone = np.empty(np.isnan(values).sum(), np.int64)
    for row in range(n):
        ends[row + 1] = ends[row]
        for day in range(width):
            if values[row, day] == values[row, day]:
                filled[row, day] = values[row, day]
            else:
                gone[ends[row + 1]] = day
                ends[row + 1] += 1
        moments[row, 0], moments[row, 1] = _moments(filled[row])
    return filled, moments, ends, gone


@njit(nogil=True, cache=True)
def _less(filled, values, gone, moments):  # type: ignore[no-untyped-def]
    """Sum and sum of squares without some days, and how many of these the row misses itself."""
    total, squares, both = moments[0], moments[1], 0
    for day in gone:
        total -= filled[day]
        squares -= filled[day] * filled[day]
        both += values[day] != values[day]
    return total, squares, both


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for d in range(len(a)):
        total += a[d] * b[d]
    return total
