"""The placebo of the median SCAR: interval against shifted returns, outliers, a raised variance of all firms."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core import limits
from marketimpact.core.lazy_matrix import run_sums
from marketimpact.inference.families.placebo import _median_scars
from tests.conftest import golden
from tests.size.situations import SITUATIONS, Drawn, Parts, Situation, outlier

NAME = "placebo_median_scar"
SEVEN, EIGHT = Situation("", "7 firms, one date", (7,)), SITUATIONS["calm_one_date_8"]


@cache
def drawn_of(situation: Situation, seed: int = 1) -> Drawn:
    return situation.draw(np.random.default_rng(seed))


def row_of(situation: Situation, seed: int = 1, **options) -> dict:
    drawn = drawn_of(situation, seed)
    result = drawn.study.run(drawn.events, drawn.market)
    return result.test(*drawn.window, tests=[NAME], **options).row(0, named=True)


def all_vary_more(parts: Parts, rng: np.random.Generator) -> np.ndarray:
    parts.own[parts.firm, parts.day] *= 4.0
    return parts.returns()


@pytest.mark.parametrize("situation", [SEVEN, EIGHT], ids=["7", "8"])
def test_the_interval_holds_the_effects_that_the_test_would_not_reject(situation):
    """Take an effect out of every return of day 0 and test again: the p-value crosses 5% at the ends."""
    row = row_of(situation)
    for end, outwards in ((row["ci_low"], -1e-7), (row["ci_high"], 1e-7)):
        assert row_of(situation.with_effect(-(end - outwards)))["p_value"] >= 0.05
        assert row_of(situation.with_effect(-(end + outwards)))["p_value"] < 0.05
    at_estimate = row_of(situation.with_effect(-row["effect"]))
    assert at_estimate["statistic"] == pytest.approx(0.0, abs=1e-9)
    assert at_estimate["p_value"] == 1.0


def test_the_effect_of_an_odd_number_of_events_is_the_median_car():
    drawn = drawn_of(SEVEN)
    car = drawn.study.run(drawn.events, drawn.market).car(0, 0)["car"].to_numpy()
    assert row_of(SEVEN)["effect"] == pytest.approx(np.median(car), rel=1e-9)


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_one_sided_p_values_count_blocks_on_one_side(alternative):
    drawn = drawn_of(EIGHT)
    sample = drawn.study.run(drawn.events, drawn.market).sample(0, 0)
    residuals, days = sample.residuals.to_array(), sample.n_obs[:, None]
    medians = np.median(residuals / (sample.sigma[:, None] * np.sqrt(1 - 1 / days)), axis=0)
    observed = np.median(sample.car / sample.se)
    beyond = medians >= observed if alternative == "greater" else medians <= observed
    row = row_of(EIGHT, alternative=alternative)
    assert row["statistic"] == pytest.approx(observed, rel=1e-9)
    assert row["p_value"] == pytest.approx((1 + beyond.sum()) / (1 + len(medians)), rel=1e-12)
    assert (row["ci_low"], row["ci_high"]) == (None, None)


def test_blocks_without_an_estimated_constant_keep_their_variance():
    drawn = drawn_of(replace(EIGHT, window=(0, 4)))
    study = mi.EventStudy(model=mi.MarketAdjusted(), estimation_window=(-250, -11), event_window=(0, 4))
    sample = study.run(drawn.events, drawn.market).sample(0, 4)
    residuals = sample.residuals.to_array()
    sums = np.array([residuals[:, start : start + 5].sum(axis=1) for start in range(236)])
    medians = np.median(sums / (sample.sigma * np.sqrt(5)), axis=1)
    p = (1 + (np.abs(medians) >= abs(np.median(sample.car / sample.se))).sum()) / 237
    row = study.run(drawn.events, drawn.market).test(0, 4, tests=[NAME]).row(0, named=True)
    assert row["p_value"] == pytest.approx(p, rel=1e-12)


def test_one_firm_at_20_percent_leaves_it_valid_and_a_variance_that_all_firms_raise_does_not():
    one, every = (replace(EIGHT, process=process) for process in (outlier, all_vary_more))
    valid = [[row_of(situation, seed)["valid"] for seed in range(20)] for situation in (one, every)]
    assert np.mean(valid[0]) > 0.6 > 0.4 > np.mean(valid[1])
    drawn = drawn_of(one)
    others = drawn.study.run(drawn.events, drawn.market).test(0, 0, tests=["placebo_scaar", "portfolio_regression"])
    assert not others["valid"].any()
    notes = [row_of(every, seed)["note"] for seed in range(20)]
    assert any("the median deviation of SCARs is" in note and note.count("not valid: ") == 1 for note in notes)


def test_fewer_than_six_events_are_not_valid():
    row = row_of(SITUATIONS["calm_one_date_4"])
    assert np.isfinite(row["p_value"])
    assert "not valid: needs at least 6 events, here are 4" in row["note"]


def test_too_few_blocks_have_no_p_value_and_no_interval():
    drawn = drawn_of(replace(EIGHT, window=(0, 4)))
    study = mi.EventStudy(estimation_window=(-33, -11), event_window=(0, 4), min_observations=20)
    row = study.run(drawn.events, drawn.market).test(0, 4, tests=[NAME]).row(0, named=True)
    assert np.isnan(row["statistic"])
    assert "needs at least 20 placebo blocks, here are 19" in row["note"]
    assert (row["ci_low"], row["ci_high"]) == (None, None)


def test_blocks_are_medians_of_the_events_that_have_all_of_their_days():
    drawn = drawn_of(EIGHT)
    panel = drawn.market.select("symbol", "date", "ret", "market")
    day0 = drawn.events["date"][0]
    early = pl.col("date") < day0 - pl.duration(days=120)
    firms = [f"S{i:02d}" for i in range(7)]
    part = panel.drop("market").filter(~(early & pl.col("symbol").is_in(firms)))
    market = mi.Market.from_returns(part, panel.select("date", ret="market").unique("date").sort("date"))
    result = drawn.study.run(drawn.events, market)
    sample = result.sample(0, 0)
    shrunk = sample.sigma[:, None] * np.sqrt(1 - 1 / sample.n_obs[:, None])
    medians = np.nanmedian(sample.residuals.to_array() / shrunk, axis=0)
    p = (1 + (np.abs(medians) >= abs(np.median(sample.scar))).sum()) / (1 + len(medians))
    assert result.test(0, 0, tests=[NAME])["p_value"].item() == pytest.approx(p, rel=1e-12)


def test_reading_in_parts_gives_the_same_numbers(monkeypatch):
    whole = row_of(EIGHT)
    monkeypatch.setattr(limits, "LAZY_KEPT_VALUES", 8 * 50)
    monkeypatch.setattr(limits, "LAZY_CHUNK_ROWS", 3)
    assert row_of(EIGHT) == whole


def test_blocks_with_one_of_two_events_say_nothing_of_their_deviation(golden_market):
    """Of many placebo dates only one event has the days: the deviation of a single SCAR is not 0, but unknown."""
    study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))
    events = pl.concat([golden("events_clustered"), golden("events_unclustered")])
    result = study.run(events.filter(pl.col("event_id").is_in(["C02", "U13"])), golden_market)
    row = result.test(0, 1, tests=[NAME]).row(0, named=True)
    assert 0 < row["p_value"] <= 1
    drawn, deviations = _median_scars(result.sample(0, 1))
    present = np.array(
        [np.isfinite(run_sums(one[None, :], 2)[0]) for one in result.sample(0, 1).placebo.to_array()]
    ).sum(axis=0)
    assert (present == 1).any()
    np.testing.assert_array_equal(np.isfinite(deviations), present > 1)
    np.testing.assert_array_equal(np.isfinite(drawn), present > 0)
