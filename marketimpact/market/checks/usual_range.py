"""Estimate how far a symbol usually moves around a row: only rows that a check asks about are measured."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.symbol_rows import of_symbols

__all__ = ["least_range", "usual_range", "window_medians"]

#: Sessions before and after a row among which its symbol's usual range is measured.
RANGE_ROWS = 60
#: Fewest returns for a symbol's own usual range, the range of symbols with fewer, and the smallest plausible range.
MIN_RETURNS_FOR_RANGE, RANGE_OF_OTHERS, SMALLEST_RANGE = 20, 0.03, 0.003
#: The median of an absolute normal is this many standard deviations.
MEDIAN_OF_NORMAL = 0.6745
#: Windows that are sorted at a time.
CHUNK_ROWS = 1 << 16


def usual_range(rows: pl.DataFrame, positions: Ints) -> Floats:
    """Estimate the standard deviation around some rows from the median absolute return, as of a normal.

    Parameters
    ----------
    rows : polars.DataFrame
        ``symbol, own``, sorted by symbol and date.
    positions : (K,) array of int
        Numbers of the rows that are asked about.
    """
    size = np.abs(rows["own"].to_numpy())
    local = window_medians(size, rows["symbol"], positions, (-RANGE_ROWS, RANGE_ROWS), least=MIN_RETURNS_FOR_RANGE)
    frame = rows.select("symbol")[positions].with_columns(pl.Series("local", local, nan_to_null=True))
    own = of_symbols(rows.select("symbol", "own"), frame["symbol"])
    return (
        frame.join(_median_steps(own), on="symbol", how="left", validate="m:1", maintain_order="left")
        .select(_range(pl.col("local"), pl.col("median_step")))
        .to_series()
        .to_numpy()
    )


def least_range(rows: pl.DataFrame) -> pl.DataFrame:
    """Return ``symbol, least_range``: what `usual_range` of no row ``symbol, own`` of the symbol is below."""
    no_local = pl.lit(None, pl.Float64)
    return _median_steps(rows).select("symbol", _range(no_local, pl.col("median_step")).alias("least_range"))


def _range(local: pl.Expr, median_step: pl.Expr) -> pl.Expr:
    usual = pl.max_horizontal(local, median_step / 2) / MEDIAN_OF_NORMAL
    known = pl.max_horizontal(usual, pl.lit(SMALLEST_RANGE))
    return pl.when(median_step.is_null()).then(RANGE_OF_OTHERS).otherwise(known)


def _median_steps(rows: pl.DataFrame) -> pl.DataFrame:
    """Return ``symbol, median_step``, the median absolute return; null for symbols with too few."""
    size = pl.col("own").abs()
    enough = size.count() >= MIN_RETURNS_FOR_RANGE
    return rows.group_by("symbol").agg(pl.when(enough).then(size.median()).alias("median_step"))


def window_medians(
    values: Floats, symbols: pl.Series, positions: Ints, window: tuple[int, int], *, least: int
) -> Floats:
    """Return the median of the values in a window of rows of the same symbol; NaN where there are too few.

    Parameters
    ----------
    values : (R,) array
        NaN where missing.
    symbols : polars.Series
        Symbol of each row; equal ones are neighbours.
    positions : (K,) array of int
        Rows that the windows belong to.
    window : (int, int)
        First and last row of the window, relative to its row.
    least : int
        Fewest values for a median.
    """
    lengths = symbols.rle().struct.field("len").to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    offsets, medians = np.arange(window[0], window[1] + 1), np.full(len(positions), np.nan)
    for start in range(0, len(positions), CHUNK_ROWS):
        part = positions[start : start + CHUNK_ROWS]
        owner = np.searchsorted(ends, part, side="right")
        index = part[:, None] + offsets
        inside = (index >= (ends - lengths)[owner][:, None]) & (index < ends[owner][:, None])
        ordered = np.sort(np.where(inside, values[np.clip(index, 0, len(values) - 1)], np.nan), axis=1)
        count = (~np.isnan(ordered)).sum(axis=1)
        row = np.arange(len(part))
        middle = (ordered[row, np.maximum(count - 1, 0) // 2] + ordered[row, count // 2]) / 2
        medians[start : start + CHUNK_ROWS] = np.where(count >= least, middle, np.nan)
    return medians
