"""Compiled loops over the days of many events.

Without them the default tests of 5,000 events take 3 times as long on separate dates, and 11 times as long on five
dates with days missing. The array code is for few events: loading numba takes longer than all of their tests.
Ranks have the same bits either way; correlations differ in last bits, so the way depends on the size of the data alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "add_to_groups",
    "dot_products",
    "moments_of_rows",
    "ranks",
    "sort_keys",
    "standardised_sums",
    "sum_blocks",
    "sum_loads",
]

LARGEST = 0x7FFFFFFFFFFFFFFF


@njit(nogil=True, cache=True)
def sort_keys(values, low):  # type: ignore[no-untyped-def]
    """Map values to integers of the same order, (K, D), NaN last, whose `low` last bits are the day's number."""
    n, width = values.shape
    keys, bits = np.empty((n, width), np.int64), values.view(np.int64)
    for row in range(n):
        own, own_bits, key = values[row], bits[row], keys[row]
        for d in range(width):
            # among negative numbers larger bits are a smaller number, and -0.0 equals 0.0
            number = own_bits[d] ^ ((own_bits[d] >> 63) & LARGEST) if own[d] == own[d] else LARGEST
            number = 0 if own[d] == 0.0 else number
            key[d] = ((number >> low) << low) | d
    return keys


@njit(nogil=True, cache=True)
def ranks(ordered, low, scored):  # type: ignore[no-untyped-def]
    """Rank days from sorted `sort_keys`, (K, D), NaN for days without a value, and count the days with one, (K,).

    Where `scored`, ranks are divided by one more than the number of days, and 0.5 is subtracted. Also flags the rows in
    which the values of two days are too close to order by their keys, (K,).
    """
    n, width = ordered.shape
    ranked, n_days, has_close = np.empty((n, width)), np.zeros(n), np.zeros(n, np.bool_)
    last, missing = (1 << low) - 1, LARGEST >> low
    for row in range(n):
        key, rank, n_present = ordered[row], ranked[row], width
        while n_present and (key[n_present - 1] >> low) == missing:
            n_present -= 1
        for position in range(n_present):
            place = position + 1.0
            rank[key[position] & last] = place / (n_present + 1.0) - 0.5 if scored else place
        for position in range(n_present, width):
            rank[key[position] & last] = np.nan
        n_close = 0
        for position in range(n_present - 1):
            n_close += (key[position] >> low) == (key[position + 1] >> low)
        n_days[row], has_close[row] = n_present, n_close > 0
    return ranked, n_days, has_close


@njit(nogil=True, cache=True)
def add_to_groups(values, group, total, count):  # type: ignore[no-untyped-def]
    """Do as `date_means._add_to_groups`, with the same bits."""
    for row in range(len(values)):
        own, sums, numbers = values[row], total[group[row]], count[group[row]]
        for day in range(len(own)):
            if own[day] == own[day]:
                sums[day] += own[day]
                numbers[day] += 1.0


@njit(nogil=True, cache=True)
def dot_products(one, other, lengths):  # type: ignore[no-untyped-def]
    """Multiply K pairs of `Segments` of two arrays, (K,)."""
    products = np.empty(len(lengths))
    for k in range(len(lengths)):
        start, other_start = one.starts[k], other.starts[k]
        products[k] = _dot(one.values[start : start + lengths[k]], other.values[other_start : other_start + lengths[k]])
    return products


@njit(nogil=True, cache=True)
def _common_positions(days, other_days, positions):  # type: ignore[no-untyped-def]
    """Write the positions of those sorted `days` that are among the sorted other days too; return their number."""
    position, n = 0, 0
    for day in other_days:
        while position < len(days) and days[position] < day:
            position += 1
        if position < len(days) and days[position] == day:
            positions[n] = position
            n += 1
    return n


@njit(nogil=True, cache=True)
def _select(values, columns):  # type: ignore[no-untyped-def]
    """Select columns into contiguous rows."""
    selected = np.empty((len(values), len(columns)))
    for row in range(len(values)):
        for at in range(len(columns)):
            selected[row, at] = values[row, columns[at]]
    return selected


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _moments(values):  # type: ignore[no-untyped-def]
    """Sum and sum of squares, added in any order: saves a third of the time and changes last bits."""
    total = squares = 0.0
    for d in range(len(values)):
        total += values[d]
        squares += values[d] * values[d]
    return total, squares


@njit(nogil=True, cache=True)
def _fewest_days(count):  # type: ignore[no-untyped-def]
    """Choose the days to visit for sums over a set that has each day `count` times.

    Either the days whose count is not 1, with ``count - 1`` to add to the sum over all days, or, where these are fewer,
    the days of the set, with their counts. Returns days, weights, and whether the sum over all days is to be added to.
    """
    days = np.flatnonzero(count != 1.0)
    if 2 * len(days) <= len(count):
        return days, count[days] - 1.0, True
    days = np.flatnonzero(count != 0.0)
    return days, count[days], False


class DaySets(NamedTuple):
    """Sets of days of one day pattern: set k has ``positions[ends[k]:ends[k + 1]]``."""

    positions: NDArray[np.int64]
    ends: NDArray[np.int64]


@njit(nogil=True, cache=True)
def standardised_sums(values, patterns, min_days, noise):  # type: ignore[no-untyped-def]
    """Compute `standardised.StandardisedSums` of the rows of `PatternArrays`."""
    set_ends, day_ends, set_day_ends = patterns.set_ends, patterns.day_ends, patterns.set_day_ends
    n_sets, n_days = len(set_day_ends) - 1, len(patterns.set_days)
    flat, ends, n_events = np.zeros(n_days), np.zeros(n_sets + 1, np.int64), np.zeros(n_sets, np.int64)
    positions = np.zeros(n_days, np.int64)
    for p in range(len(patterns.row_ends) - 1):
        rows, days = slice(patterns.row_ends[p], patterns.row_ends[p + 1]), slice(day_ends[p], day_ends[p + 1])
        first, last = set_ends[p], set_ends[p + 1]
        for k in range(first, last):
            requested, space = patterns.set_days[set_day_ends[k] : set_day_ends[k + 1]], positions[ends[k] :]
            if patterns.is_positions[k]:
                space[: len(requested)] = requested
                ends[k + 1] = ends[k] + len(requested)
            else:
                ends[k + 1] = ends[k] + _common_positions(patterns.days[days], requested, space)
        sets = DaySets(positions, ends[first : last + 1])
        _sum_pattern(_select(values[rows], patterns.columns[days]), sets, min_days, noise, flat, n_events[first:last])
    return flat[: ends[-1]], ends, n_events


@njit(nogil=True, cache=True)
def _sum_pattern(values, sets, min_days, noise, flat, n_events):  # type: ignore[no-untyped-def]
    """Scale rows to mean 0 and length 1 on `DaySets` and sum them into `flat`; count the rows that vary."""
    positions, ends = sets.positions, sets.ends
    n_sets, width = len(ends) - 1, values.shape[1]
    count, summed = np.zeros((n_sets, width)), np.zeros((n_sets, width))
    for k in range(n_sets):
        for position in positions[ends[k] : ends[k + 1]]:
            count[k, position] += 1.0
    visits = [_fewest_days(count[k]) for k in range(n_sets)]
    scales, shift = np.zeros((n_sets, len(values))), np.zeros(n_sets)
    for row in range(len(values)):
        value = values[row]
        all_total, all_squares = _moments(value)
        for k in range(n_sets):
            n_days = ends[k + 1] - ends[k]
            if n_days < min_days:
                continue
            days, weight, from_all = visits[k]
            total, squares = (all_total, all_squares) if from_all else (0.0, 0.0)
            for at in range(len(days)):
                weighted = weight[at] * value[days[at]]
                total += weighted
                squares += weighted * value[days[at]]
            variation = squares - total * total / n_days
            if variation > noise * squares:
                scales[k, row] = 1.0 / np.sqrt(variation)
                shift[k] += scales[k, row] * total / n_days
                n_events[k] += 1
    for k in range(n_sets):
        _add_scaled(values, scales[k], summed[k])
        for at in range(ends[k], ends[k + 1]):
            flat[at] = summed[k, positions[at]] - shift[k]


@njit(nogil=True, cache=True)
def _add_scaled(values, scale, total):  # type: ignore[no-untyped-def]
    """Add rows times their scales, four at a time, so that the sums are read and written less often."""
    n, width = len(values), len(total)
    for row in range(0, n - n % 4, 4):
        one, two, three, four = values[row], values[row + 1], values[row + 2], values[row + 3]
        a, b, c, d = scale[row], scale[row + 1], scale[row + 2], scale[row + 3]
        for day in range(width):
            total[day] += (a * one[day] + b * two[day]) + (c * three[day] + d * four[day])
    for row in range(n - n % 4, n):
        value, own = values[row], scale[row]
        for day in range(width):
            total[day] += own * value[day]


class FilledRows(NamedTuple):
    """Rows with 0 for missing days, (n, D), their sums and sums of squares, (n, 2), and the days each row misses."""

    values: NDArray[np.float64]
    moments: NDArray[np.float64]
    missing_ends: NDArray[np.int64]
    missing: NDArray[np.int64]


@njit(nogil=True, cache=True)
def sum_blocks(request, own, min_days, noise):  # type: ignore[no-untyped-def]
    """Compute `missing_days._sum_blocks`."""
    one, block, other, blocks, matches = request
    n_groups, n = one.n_groups[block], 0
    for partner in blocks:
        n += n_groups * other.n_groups[partner]
    total, used, at = np.zeros(n), np.zeros(n, np.int64), 0
    days = one.days[one.day_ends[block] : one.day_ends[block + 1]]
    here_space, there_space = np.empty(len(days), np.int64), np.empty(len(days), np.int64)
    for k in range(len(blocks)):
        partner = blocks[k]
        if len(matches.ends):
            part = slice(matches.ends[k], matches.ends[k + 1])
            here, there = matches.here[part], matches.there[part]
        else:
            other_days = other.days[other.day_ends[partner] : other.day_ends[partner + 1]]
            here = here_space[: _common_positions(days, other_days, here_space)]
            there = there_space[: _common_positions(other_days, days, there_space)]
        shape = n_groups, other.n_groups[partner]
        end = at + shape[0] * shape[1]
        sums, numbers = total[at:end].reshape(shape), used[at:end].reshape(shape)
        x = _rows_on(one, block, here)
        _add_correlations(
            x, x if partner == own else _rows_on(other, partner, there), partner == own, min_days, noise, sums, numbers
        )
        if partner == own:  # pairs within a day pattern were counted from both ends
            for group in range(n_groups):
                sums[group, group] /= 2.0
                numbers[group, group] //= 2
        at = end
    return total, used


class BlockRows(NamedTuple):
    """Residuals of a block on some days, (n, C), and the group of each row, (n,)."""

    values: NDArray[np.float64]
    group: NDArray[np.int64]


@njit(nogil=True, cache=True)
def _rows_on(blocks, block, positions):  # type: ignore[no-untyped-def]
    """Do as `missing_days.ResidualBlocks.on`."""
    rows = slice(blocks.row_ends[block], blocks.row_ends[block + 1])
    columns = blocks.columns[blocks.day_ends[block] : blocks.day_ends[block + 1]]
    return BlockRows(_select(blocks.values[rows], columns[positions]), blocks.group[rows])


@njit(nogil=True, cache=True)
def _add_correlations(x, y, within, min_days, noise, total, used):  # type: ignore[no-untyped-def]
    """Compute `missing_days._sum_by_group`: moments of all days less those of the few that the other row misses."""
    a = _filled(x.values)
    b = a if within else _filled(y.values)
    for i in range(len(x.group)):
        missing = a.missing[a.missing_ends[i] : a.missing_ends[i + 1]]
        for j in range(i + 1 if within else 0, len(y.group)):
            other_missing = b.missing[b.missing_ends[j] : b.missing_ends[j + 1]]
            sum_a, square_a, n_both = _without(a.values[i], x.values[i], other_missing, a.moments[i])
            sum_b, square_b, _ = _without(b.values[j], y.values[j], missing, b.moments[j])
            n = x.values.shape[1] - len(missing) - len(other_missing) + n_both
            if n < min_days:
                continue
            var_a, var_b = square_a - sum_a * sum_a / n, square_b - sum_b * sum_b / n
            if var_a > noise * square_a and var_b > noise * square_b:
                correlation = (_dot(a.values[i], b.values[j]) - sum_a * sum_b / n) / np.sqrt(var_a * var_b)
                total[x.group[i], y.group[j]] += correlation
                used[x.group[i], y.group[j]] += 1
                if within:
                    total[x.group[j], y.group[i]] += correlation
                    used[x.group[j], y.group[i]] += 1


@njit(nogil=True, cache=True)
def _filled(values):  # type: ignore[no-untyped-def]
    """Fill missing days with 0."""
    n, width = values.shape
    filled, moments, ends = np.zeros((n, width)), np.zeros((n, 2)), np.zeros(n + 1, np.int64)
    missing = np.empty(np.isnan(values).sum(), np.int64)
    for row in range(n):
        ends[row + 1] = ends[row]
        for day in range(width):
            if values[row, day] == values[row, day]:
                filled[row, day] = values[row, day]
            else:
                missing[ends[row + 1]] = day
                ends[row + 1] += 1
        moments[row, 0], moments[row, 1] = _moments(filled[row])
    return FilledRows(filled, moments, ends, missing)


@njit(nogil=True, cache=True)
def _without(filled, values, days, moments):  # type: ignore[no-untyped-def]
    """Sum and sum of squares of a row without some days, and how many of these days the row misses itself."""
    total, squares, n_missing = moments[0], moments[1], 0
    for day in days:
        total -= filled[day]
        squares -= filled[day] * filled[day]
        n_missing += values[day] != values[day]
    return total, squares, n_missing


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _dot(a, b):  # type: ignore[no-untyped-def]
    """Compute a dot product, added in any order."""
    total = 0.0
    for d in range(len(a)):
        total += a[d] * b[d]
    return total


@njit(nogil=True, cache=True)
def sum_loads(loadings, ends, width):  # type: ignore[no-untyped-def]
    """Compute `shared_estimation._sum_loads`."""
    squares, total = np.zeros(2), np.zeros((2, width))
    for security in range(len(ends) - 1):
        on_windows, errors = np.zeros(width), np.zeros(width)
        for i in range(ends[security], ends[security + 1]):
            for day in loadings.window[i]:
                if day >= 0:
                    on_windows[day] += loadings.weight[i]
            days, missing = loadings.estimation[loadings.exchange_day[i]], loadings.missing[i]
            for m in range(len(days)):
                if days[m] >= 0 and not (missing[m >> 3] >> (7 - (m & 7))) & 1:
                    errors[days[m]] += loadings.error[i]
        own, own_windows = 0.0, 0.0
        for day in range(width):
            load = on_windows[day] - errors[day]
            own += load * load
            own_windows += on_windows[day] * on_windows[day]
            total[0, day] += load
            total[1, day] += on_windows[day]
        squares[0] += own
        squares[1] += own_windows
    return squares, total


@njit(nogil=True, cache=True, error_model="numpy")
def moments_of_rows(values, drawn):  # type: ignore[no-untyped-def]
    """Compute `resampled_moments._moments_of_rows`; last bits differ."""
    n, size = drawn.shape
    moments = np.empty((2, n))
    for row in range(n):
        positions, total, squares, cubes = drawn[row], 0.0, 0.0, 0.0
        for at in range(size):
            total += values[positions[at]]
        mean = total / size
        for at in range(size):
            deviation = values[positions[at]] - mean
            squares += deviation * deviation
            cubes += deviation * deviation * deviation
        spread = np.sqrt(squares / (size - 1.0))
        moments[0, row], moments[1, row] = mean / spread, cubes / size / spread**3
    return moments
