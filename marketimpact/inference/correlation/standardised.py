"""Sum the standardised residuals of the events of a day pattern: products of two sums are sums of correlations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.core.factorize import split_at
from marketimpact.inference.compiled import kernels
from marketimpact.inference.correlation.by_pairs import MIN_COMMON_DAYS

__all__ = ["NOISE", "PatternSums", "StandardisedSums", "dot_products", "in_order", "positions_of", "standardised_sums"]


#: Variance on common days, relative to the sum of squares, below which it is rounding noise.
NOISE = 1e-12


@dataclass(frozen=True, slots=True)
class PatternSums:
    """A day pattern and the sets of days on which the standardised residuals of its events are to be summed.

    Attributes
    ----------
    rows : (n,) array
        Numbers of its events.
    days : (C,) array
        Dates with a residual, increasing.
    columns : (C,) array
        Columns of these dates in the estimation window.
    day_sets : list of arrays
        For each set the dates of another day pattern, increasing: the set is the dates that both have ...
    is_positions : list of bool
        ... or, where this is true, positions among `days`, which may repeat.
    """

    rows: Ints
    days: Ints
    columns: Ints
    day_sets: list[Ints]
    is_positions: list[bool]


class StandardisedSums(NamedTuple):
    """Sums of standardised residuals on S sets of days, set k from ``ends[k]`` to ``ends[k + 1]`` of `flat`.

    Attributes
    ----------
    flat : (D,) array
        Sum over events on every day of every set, each event scaled to mean 0 and length 1 on the days of the set.
    ends : (S + 1,) array
    n_events : (S,) array
        Events summed: those whose residuals vary on the days of the set; none where the set has too few days.
    """

    flat: Floats
    ends: Ints
    n_events: Ints


class PatternArrays(NamedTuple):
    """The fields of several `PatternSums`, one after the other, as compiled loops read them.

    ``*_ends`` say where each part begins and the last one ends: rows, days, sets by day pattern; days of sets by set.
    """

    row_ends: Ints
    days: Ints
    columns: Ints
    day_ends: Ints
    set_days: Ints
    set_day_ends: Ints
    is_positions: Bools
    set_ends: Ints


class Segments(NamedTuple):
    """Segments of an array, by where they start."""

    values: Floats
    starts: Ints


def standardised_sums(patterns: Sequence[PatternSums], residuals: Floats, *, compiled: bool) -> StandardisedSums:
    """Sum the standardised residuals of several day patterns on all of their sets of days.

    `residuals`, (n, M), hold the rows of the day patterns one after the other.
    """
    if compiled:
        arrays = _pattern_arrays(patterns)
        return StandardisedSums(*kernels().standardised_sums(residuals, arrays, MIN_COMMON_DAYS, NOISE))
    rows = split_at(residuals, np.cumsum([len(pattern.rows) for pattern in patterns]))
    sums = [each for pattern, own in zip(patterns, rows, strict=True) for each in _sums(pattern, own)]
    ends = _ends(total for total, _ in sums)
    return StandardisedSums(np.concatenate([total for total, _ in sums]), ends, np.array([n for _, n in sums]))


def _pattern_arrays(patterns: Sequence[PatternSums]) -> PatternArrays:
    day_sets = [days for pattern in patterns for days in pattern.day_sets]
    return PatternArrays(
        row_ends=_ends(pattern.rows for pattern in patterns),
        days=np.concatenate([pattern.days for pattern in patterns]),
        columns=np.concatenate([pattern.columns for pattern in patterns]),
        day_ends=_ends(pattern.days for pattern in patterns),
        set_days=np.concatenate(day_sets),
        set_day_ends=_ends(day_sets),
        is_positions=np.array([flag for pattern in patterns for flag in pattern.is_positions]),
        set_ends=_ends(pattern.day_sets for pattern in patterns),
    )


def _ends(parts: Iterable[Sized]) -> Ints:
    """Find where each of several parts begins and the last one ends."""
    return np.cumsum([0, *map(len, parts)])


def _sums(pattern: PatternSums, residuals: Floats) -> list[tuple[Floats, int]]:
    """Sum one day pattern on each set of days by itself, so that no bit depends on the other sets; count the events."""
    values, sums = in_order(residuals, pattern.columns), []
    for days, is_positions in zip(pattern.day_sets, pattern.is_positions, strict=True):
        positions = days
        if not is_positions:
            position, is_common = positions_of(pattern.days, days)
            positions = position[is_common]
        if len(positions) < MIN_COMMON_DAYS:
            sums.append((np.zeros(len(positions)), 0))
            continue
        own = values[:, positions]
        total, squares = own.sum(axis=1), (own**2).sum(axis=1)
        variation = squares - total**2 / len(positions)
        varies = variation > NOISE * squares
        scale = np.where(varies, 1.0 / np.sqrt(np.where(varies, variation, 1.0)), 0.0)
        sums.append((scale @ own - (scale * total).sum() / len(positions), int(varies.sum())))
    return sums


def in_order(values: Floats, columns: Ints) -> Floats:
    """Select columns into contiguous rows; without a copy where they are all columns."""
    is_all = len(columns) == values.shape[1] and bool((np.diff(columns) == 1).all())
    return values if is_all else np.ascontiguousarray(values[:, columns])


def positions_of(days: Ints, requested: Ints) -> tuple[Ints, Bools]:
    """Find the positions of requested days among sorted days, and which of them are there."""
    if not len(days):
        return np.zeros(len(requested), dtype=np.int64), np.zeros(len(requested), dtype=bool)
    position = np.minimum(np.searchsorted(days, requested), len(days) - 1)
    return position, days[position] == requested


def dot_products(
    one: StandardisedSums, sets: Ints, other: StandardisedSums, other_sets: Ints, *, compiled: bool
) -> Floats:
    """Multiply the sums on K sets of days with the other sums on the same days, (K,)."""
    start, other_start = one.ends[sets], other.ends[other_sets]
    length = one.ends[sets + 1] - start
    if compiled:
        segments, other_segments = Segments(one.flat, start), Segments(other.flat, other_start)
        return np.asarray(kernels().dot_products(segments, other_segments, length))
    segments_of_both = zip(start.tolist(), other_start.tolist(), length.tolist(), strict=True)
    return np.array([one.flat[a : a + n] @ other.flat[b : b + n] for a, b, n in segments_of_both])
