"""The usual range around some rows equals that of a rolling median over all of them."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from marketimpact.market.checks.jumps import ROUNDING
from marketimpact.market.checks.usual_range import least_range, usual_range, window_medians


def moves(seed: int, lengths: list[int], missing: float) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    parts = [
        pl.DataFrame({"symbol": [f"S{k}"] * n, "own": rng.standard_t(3, n) * rng.choice([0.0001, 0.02])})
        for k, n in enumerate(lengths)
    ]
    frame = pl.concat(parts)
    return frame.with_columns(pl.when(pl.Series(rng.random(frame.height) >= missing)).then("own"))


def by_rolling_median(frame: pl.DataFrame) -> np.ndarray:
    """Compute the range of every row, as the definition says: 121 rows around it, at least half the symbol's median."""
    size = pl.col("own").abs()
    local = size.rolling_median(121, min_samples=20, center=True).over("symbol")
    step = pl.when(size.count().over("symbol") >= 20).then(size.median().over("symbol"))
    usual = pl.max_horizontal(pl.max_horizontal(local, step / 2) / 0.6745, pl.lit(0.003))
    return frame.select(pl.when(step.is_null()).then(0.03).otherwise(usual)).to_series().to_numpy()


@settings(deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(1, 300), min_size=1, max_size=4), st.sampled_from([0.0, 0.3, 0.9]))
def test_the_range_of_rows_is_that_of_a_rolling_median(seed, lengths, missing):
    frame = moves(seed, lengths, missing)
    positions = np.unique(np.random.default_rng(seed).integers(0, frame.height, 40))
    expected = by_rolling_median(frame)
    np.testing.assert_array_equal(usual_range(frame, positions), expected[positions])
    least = frame.join(least_range(frame), on="symbol", how="left", maintain_order="left")["least_range"].to_numpy()
    assert (least * (1 - ROUNDING) <= expected).all()


def test_windows_may_lie_on_one_side_and_end_with_the_symbol():
    symbols = pl.Series(["A"] * 5 + ["B"] * 3)
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 7.0, 8.0, 9.0])
    before = window_medians(values, symbols, np.arange(8), (-2, -1), least=1)
    np.testing.assert_array_equal(before, [np.nan, 1.0, 1.5, 2.0, 4.0, np.nan, 7.0, 7.5])
    after = window_medians(values, symbols, np.array([0, 3, 4, 7]), (1, 3), least=2)
    np.testing.assert_array_equal(after, [3.0, np.nan, np.nan, np.nan])
