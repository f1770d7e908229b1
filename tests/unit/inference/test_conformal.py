"""The conformal test: intervals against refits on a grid, exchanges, missing days, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core import limits
from tests.size import crossmarket
from tests.size.situations import SITUATIONS, Drawn

NAME = "conformal_blocks"
#: 12 firms, 21 of 60 days; 12 dates, 62 of 240 days; one firm, one day and five days.
KEYS = ["8a", "8c", "calm_1", "calm_1_L5"]


@cache
def drawn_of(key: str, seed: int = 1) -> Drawn:
    return SITUATIONS[key].draw(np.random.default_rng(seed))


def row_of(drawn: Drawn, **options) -> dict:
    result = drawn.study.run(drawn.events, drawn.market)
    return result.test(*drawn.window, tests=[NAME], **options).row(0, named=True)


def changed(drawn: Drawn, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Drawn:
    """The same sample with other returns of the firms."""
    panel = drawn.market.select("symbol", "date", "ret", "market")
    benchmark = panel.select("date", ret="market").unique("date").sort("date")
    market = mi.Market.from_returns(change(panel.drop("market")), benchmark)
    return Drawn(market, drawn.events, drawn.study, drawn.window)


def without(drawn: Drawn, gone: pl.Expr) -> Drawn:
    return changed(drawn, lambda panel: panel.filter(~gone))


def mean_residuals(sample: mi.inference.Sample, effect: float = 0.0) -> np.ndarray:
    """Residuals of each event's regression on estimation days and window under the null, averaged by session."""
    y, x, y_window, x_window = sample.panel()
    under_null = y_window - effect / sample.length
    rows = [regression_residuals(np.r_[y[i], under_null[i]], np.r_[x[i], x_window[i]]) for i in range(sample.n)]
    return np.nanmean(rows, axis=0)


def regression_residuals(response: np.ndarray, regressors: np.ndarray) -> np.ndarray:
    design = np.column_stack([np.ones(len(response)), regressors])
    held = ~np.isnan(response)
    residual = np.full(len(response), np.nan)
    beta = np.linalg.lstsq(design[held], response[held], rcond=None)[0]
    residual[held] = response[held] - design[held] @ beta
    return residual


def block_sums(values: np.ndarray, length: int) -> np.ndarray:
    """Sums of all blocks; the window's comes first."""
    return np.array([np.roll(values, length - shift)[:length].sum() for shift in range(len(values))])


def p_of(sample: mi.inference.Sample, effect: float) -> float:
    sums = block_sums(mean_residuals(sample, effect), sample.length)
    assert sums[0] == pytest.approx(mean_residuals(sample, effect)[-sample.length :].sum(), abs=1e-15)
    return float((np.abs(sums) >= abs(sums[0])).mean())


@pytest.mark.parametrize("key", KEYS)
def test_the_interval_holds_the_effects_that_a_refit_under_each_does_not_reject(key):
    drawn = drawn_of(key)
    sample = drawn.study.run(drawn.events, drawn.market).sample(*drawn.window)
    row = row_of(drawn)
    low, high, estimate = row["ci_low"], row["ci_high"], row["effect"]
    grid = np.linspace(low - 0.6 * (high - low), high + 0.6 * (high - low), 44)
    p = np.array([p_of(sample, effect) for effect in grid])
    assert np.array_equal(p >= 0.05, (low <= grid) & (grid <= high))
    # p falls with the distance from the estimate, on either side
    assert (np.diff(p[grid <= estimate]) >= -1e-12).all()
    assert (np.diff(p[grid >= estimate]) <= 1e-12).all()
    assert p_of(sample, estimate) == 1.0
    for end in (low, high):
        assert p_of(sample, end * (1 - 1e-6) + estimate * 1e-6) >= 0.05 > p_of(sample, end + (end - estimate) * 1e-6)


@pytest.mark.parametrize("key", KEYS)
def test_one_sided_p_values_count_blocks_on_one_side(key):
    drawn = drawn_of(key, 2)
    sample = drawn.study.run(drawn.events, drawn.market).sample(*drawn.window)
    sums = block_sums(mean_residuals(sample), sample.length)
    assert row_of(drawn, alternative="greater")["p_value"] == pytest.approx((sums >= sums[0]).mean(), rel=1e-12)
    assert row_of(drawn, alternative="less")["p_value"] == pytest.approx((sums <= sums[0]).mean(), rel=1e-12)
    assert row_of(drawn, alternative="less")["ci_low"] is None


def test_the_interval_excludes_zero_where_p_is_below_five_percent():
    seen = set()
    for seed in range(12):
        drawn = SITUATIONS["calm_1_L5"].with_effect(0.15 * (seed % 2)).draw(np.random.default_rng(seed))
        row = row_of(drawn)
        rejects = not row["ci_low"] <= 0 <= row["ci_high"]
        assert rejects == (row["p_value"] < 0.05)
        seen.add(rejects)
    assert seen == {True, False}


def test_an_effect_of_every_day_moves_the_estimate_by_their_sum():
    plain = drawn_of("8a")
    day0 = plain.events["date"][0]
    moved = changed(plain, lambda panel: panel.with_columns(pl.col("ret") + 0.15 / 21 * (pl.col("date") >= day0)))
    one, other = row_of(plain), row_of(moved)
    for column in ("effect", "ci_low", "ci_high"):
        assert other[column] == pytest.approx(one[column] + 0.15, rel=1e-9)


def test_events_without_every_session_of_the_window_are_left_out():
    drawn = drawn_of("8a")
    day0 = drawn.events["date"][0]
    suspended = pl.col("symbol").is_in(["S00", "S03"]) & (pl.col("date") == day0 + pl.duration(days=4))
    row = row_of(without(drawn, suspended))
    kept = Drawn(drawn.market, drawn.events.filter(~pl.col("symbol").is_in(["S00", "S03"])), drawn.study, drawn.window)
    assert "2 of 12 events without every session of the window are left out" in row["note"]
    assert row["n_events"] == 10
    assert (row["effect"], row["p_value"]) == pytest.approx((row_of(kept)["effect"], row_of(kept)["p_value"]), rel=1e-9)
    every = row_of(without(drawn, pl.col("date") == day0 + pl.duration(days=4)))
    assert np.isnan(every["statistic"])
    assert "no event has every day of the window" in every["note"]


def test_an_estimation_day_counts_if_half_of_the_events_have_it():
    drawn = drawn_of("8b")
    day = drawn.events["date"][0] - pl.duration(days=30)
    of_six, of_seven = ([f"S{i:02d}" for i in range(n)] for n in (6, 7))
    for gone, blocks in ((of_six, 302), (of_seven, 301)):
        row = row_of(without(drawn, pl.col("symbol").is_in(gone) & (pl.col("date") == day)))
        assert f"{blocks} blocks" in row["note"]


OTHER_ESTIMATORS = [mi.Garch(), mi.Huber(), mi.MarketAdjusted(), mi.ScholesWilliams(), mi.TradeToTrade()]


@pytest.mark.filterwarnings("ignore:The variance model of")
@pytest.mark.parametrize("model", OTHER_ESTIMATORS, ids=lambda model: model.name)
def test_models_not_estimated_by_least_squares_are_refused(model):
    drawn = drawn_of("calm_1_L5")
    study = mi.EventStudy(model=model, estimation_window=(-240, -11), event_window=(0, 4))
    row = study.run(drawn.events, drawn.market).test(0, 4, tests=[NAME]).row(0, named=True)
    assert np.isnan(row["statistic"])
    assert "a model estimated by least squares" in row["note"]
    assert (row["effect"], row["ci_low"], row["valid"]) == (None, None, False)


def test_a_window_longer_than_half_of_the_estimation_window_is_refused():
    drawn = drawn_of("8a")
    study = mi.EventStudy(estimation_window=(-51, -11), event_window=(0, 20), min_observations=20)
    row = study.run(drawn.events, drawn.market).test(0, 20, tests=[NAME]).row(0, named=True)
    assert np.isnan(row["statistic"])
    assert "needs at least 42 estimation days for a window of 21 sessions, here are 41" in row["note"]


def test_returns_that_cancel_are_refused():
    """The same firm counted as hit and as helped: the mean of its two residuals is zero on every day."""
    drawn = drawn_of("calm_1_L5")
    sides = pl.concat(
        drawn.events.with_columns(pl.lit(side).alias("side"), pl.col("event_id") + side) for side in ("hit", "helped")
    )
    result = drawn.study.run(sides, drawn.market).signed({"hit": 1, "helped": -1}, by="side")
    row = result.test(0, 4, tests=[NAME]).row(0, named=True)
    assert np.isnan(row["statistic"])
    assert "do not vary" in row["note"]


def test_reading_in_chunks_gives_the_same_numbers(monkeypatch):
    drawn = drawn_of("8c")
    whole = row_of(drawn)
    monkeypatch.setattr(limits, "LAZY_KEPT_VALUES", 100)
    assert row_of(drawn) == whole
    monkeypatch.setattr(limits, "LAZY_CHUNK_ROWS", 5)
    for column in ("effect", "statistic", "p_value", "ci_low", "ci_high"):
        assert row_of(drawn)[column] == pytest.approx(whole[column], rel=1e-12)


def test_days_of_exchanges_are_matched_by_their_closes():
    """A column is one New York close; the other exchanges' session is the first that closes at it or later."""
    market, events = crossmarket.world(1, 3, crossmarket.IN_ASIA, 5)
    study = mi.EventStudy(estimation_window=(-150, -11), event_window=(0, 4))
    result = study.run(events, market)
    sample = result.sample(0, 4)
    y, x, y_window, x_window = sample.panel()
    dates, width = sample.residual_dates.to_array(), sample.residuals.width
    first = min(range(sample.n), key=lambda i: close_of(sample, i, sample.day0[i]))
    placebo = [close_of(sample, first, day) for day in dates[first]]
    columns = [{} for _ in range(width)]
    window = []
    for i in range(sample.n):
        residual = regression_residuals(np.r_[y[i], y_window[i]], np.r_[x[i], x_window[i]])
        window.append(residual[width:])
        by_date = dict(zip(dates[i].tolist(), residual[:width].tolist(), strict=True))
        met = [next_session(sample, i, close) for close in placebo]
        for column, day in enumerate(met):
            # a session that two New York closes meet counts for the later one
            if day in by_date and day not in met[column + 1 :] and not np.isnan(by_date[day]):
                columns[column][i] = by_date[day]
    means = [np.mean(list(c.values())) for c in columns if 2 * len(c) >= sample.n]
    sums = block_sums(np.r_[means, np.mean(window, axis=0)], 5)
    row = result.test(0, 4, tests=[NAME]).row(0, named=True)
    assert len(set(sample.exchange.tolist())) == 3
    assert row["statistic"] == pytest.approx(sums[0], rel=1e-9)
    assert row["p_value"] == pytest.approx((np.abs(sums) >= abs(sums[0])).mean(), rel=1e-12)


def close_of(sample: mi.inference.Sample, event: int, day: int) -> float:
    clock = sample.clocks[sample.exchange[event]]
    return float(clock.closes[clock.dates.tolist().index(day)])


def next_session(sample: mi.inference.Sample, event: int, instant: float) -> int:
    clock = sample.clocks[sample.exchange[event]]
    return int(min(day for day, close in zip(clock.dates, clock.closes, strict=True) if close >= instant))


def test_clusters_that_the_user_names_are_not_announcements():
    drawn = drawn_of("8c")
    result = drawn.study.run(drawn.events, drawn.market)
    named = result.clustered("symbol").sample(*drawn.window)
    assert named.announcement.tolist() == result.sample(*drawn.window).cluster.tolist()
