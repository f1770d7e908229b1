"""Find where bars end, and which bars overlap others: no close may count before it was traded."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats, Ints
from marketimpact.market.bar_stamps import Hours, is_among

__all__ = ["bar_ends", "bar_starts", "length_by_prices", "overlapping_bars"]

#: Stamps this share of an interval too close together are inexact; bars closer than that overlap.
INEXACT = 0.1
#: Bars at one distance from an edge of the sessions run over it as a rule if more than this share of them do.
RUNS_OVER = 0.1
#: Bars are this many of their distances long at most, by prices of at least so many pairs of bars; the opens after
#: that length differ from the closes by less than half of what those after one distance do.
LONGEST, FEWEST_PAIRS, CLOSER = 12, 20, 0.5
#: Bars whose prices are compared so, evenly spread.
BARS_COMPARED = 4_000
_HALF_DAY = 12 * 3_600_000_000
Marks = NDArray[np.bool_]


def bar_ends(start: Ints, hours: Hours, interval: int) -> Ints:
    """Find where bars end.

    A bar ends one interval after its start, or earlier: at the close or the break that it runs into, at the opening
    where another bar begins there, and, for a short bar from the opening or the close on, where the bars of the grid
    of that session, or after it, begin. Bars that run over an edge of the sessions as a rule, with trades from both
    sides of it, are not cut there.

    Parameters
    ----------
    start : (T,) array
        Microseconds since 1970, UTC, increasing.
    hours : Hours
        Of the exchange.
    interval : int
        Usual microseconds of a bar.
    """
    end = _cut(start, start + interval, hours.closes)
    end = _until(end, start, hours.break_starts)
    if (np.diff(start) >= interval).all():
        return end
    for edges in (hours.opens, hours.break_ends):
        end = _cut(start, end, edges, before_another=True)
    on_grid = _on_grid(start, hours, interval)
    end = np.where(is_among(start, _edges(hours)) & ~on_grid, _until(end, start, start[on_grid]), end)
    return np.maximum.accumulate(end)


def bar_starts(end: Ints, hours: Hours, interval: int) -> Ints:
    """Find where bars begin, whose ends are known: as `bar_ends` in mirrored time, but not before the end of another.

    Parameters
    ----------
    end : (T,) array
        Microseconds since 1970, UTC, increasing.
    hours, interval
        As for `bar_ends`.
    """
    start = -bar_ends(-end[::-1], hours.mirrored(), interval)[::-1]
    start[1:] = np.maximum(start[1:], end[:-1])
    return start


def overlapping_bars(start: Ints, hours: Hours, interval: int) -> Marks:
    """Mark bars that begin before another one has ended: those off the grid of their session, else the later ones.

    Parameters
    ----------
    start, hours, interval
        As for `bar_ends`. For stamps of ends give them in `mirrored` time.
    """
    end = bar_ends(start, hours, interval)
    end = np.maximum(end - round(INEXACT * interval), start)
    if not (start[1:] < end[:-1]).any():
        return np.zeros(len(start), dtype=np.bool_)
    on_grid = _on_grid(start, hours, interval)
    grid_start, grid_end = start[on_grid], end[on_grid]
    before = np.searchsorted(grid_start, start, side="right") - 1
    after = np.searchsorted(grid_start, start)
    overlaps = (before >= 0) & (grid_end[np.maximum(before, 0)] > start)
    overlaps |= (after < len(grid_start)) & (grid_start[np.minimum(after, len(grid_start) - 1)] < end)
    left_out = ~on_grid & overlaps
    ended = int(start[0])
    for row in np.flatnonzero(~left_out):
        if start[row] < ended:
            left_out[row] = True
        else:
            ended = int(end[row])
    return left_out


def length_by_prices(stamps: Ints, opened: Floats, close: Floats, hours: Hours, interval: int) -> int:
    """Find after how many intervals the opens of later bars are closest to the closes: bars are as long as that.

    It is one, but for two series of longer bars in one file, or windows that move by less than their length: in these
    each close is a later price than the stamps say.

    Parameters
    ----------
    stamps : (T,) array
        Microseconds since 1970, UTC, increasing; of starts or of ends.
    opened, close : (T,) arrays
        Prices.
    hours : Hours
        Of the exchange; pairs of bars lie in one session.
    interval : int
        Most frequent distance of the stamps, microseconds.
    """
    session = np.where(hours.inside(stamps), np.searchsorted(hours.opens, stamps, side="right"), -1)
    bars = np.arange(0, len(stamps), 1 + len(stamps) // BARS_COMPARED)
    gaps = []
    for length in range(1, LONGEST + 1):
        later = stamps[bars] + length * interval
        row = np.minimum(np.searchsorted(stamps, later), len(stamps) - 1)
        paired = (stamps[row] == later) & (session[bars] >= 0) & (session[row] == session[bars])
        gap = np.abs(np.log(opened[row[paired]] / close[bars[paired]]))
        gaps.append(float(np.median(gap)) if paired.sum() >= FEWEST_PAIRS else np.inf)
    best = int(np.argmin(gaps))
    return best + 1 if gaps[best] < CLOSER * gaps[0] < np.inf else 1


def _edges(hours: Hours) -> Ints:
    """List openings, closes, and starts and ends of breaks."""
    return np.sort(np.concatenate([hours.opens, hours.closes, hours.break_starts, hours.break_ends]))


def _cut(start: Ints, end: Ints, edges: Ints, *, before_another: bool = False) -> Ints:
    """End bars at the edge that they run into, unless those at the same distance from it run over it as a rule.

    With `before_another` only where another bar begins at the edge.
    """
    edge = _next(start, edges)
    into = (edge > start) & (edge < end)
    if not into.any():
        return end
    another = into & is_among(edge, start)
    over = into & ~another & is_among(end, start)
    bars = pl.DataFrame({"distance": edge - start, "into": into, "another": another, "over": over})
    counted = bars.select(pl.col("into", "another", "over").sum().over("distance"))
    n, n_another, n_over = (counted[name].to_numpy() for name in counted.columns)
    as_a_rule = n_over > np.maximum(n_another, RUNS_OVER * n)
    is_cut = (another if before_another else into & ~over) & ~as_a_rule
    return np.where(is_cut, edge, end)


def _until(end: Ints, start: Ints, stops: Ints) -> Ints:
    """End bars at the next of some instants, where they run into it."""
    stop = _next(start, stops)
    return np.where((stop > start) & (stop < end), stop, end)


def _next(start: Ints, edges: Ints) -> Ints:
    """Find the first edge after each start; the start itself where there is none."""
    row = np.searchsorted(edges, start, side="right")
    if not len(edges):
        return start
    return np.where(row < len(edges), edges[np.minimum(row, len(edges) - 1)], start)


def _on_grid(start: Ints, hours: Hours, interval: int) -> Marks:
    """Mark bars on the grid of their session, or of the time before or after it: the most frequent one there.

    Of equally frequent grids it is the one that is more frequent in all bars.
    """
    edges = np.sort(np.append(_edges(hours), hours.noons + _HALF_DAY))
    bars = pl.DataFrame({"part": np.searchsorted(edges, start, side="right"), "phase": start % interval})
    counts = bars.group_by("part", "phase").agg(n=pl.len()).with_columns(total=pl.col("n").sum().over("phase"))
    usual = counts.sort("n", "total", "phase").group_by("part").agg(usual=pl.col("phase").last())
    marked = bars.join(usual, on="part", how="left", validate="m:1", maintain_order="left")
    return (marked["phase"] == marked["usual"]).to_numpy()
