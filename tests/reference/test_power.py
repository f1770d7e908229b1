"""Detectable effects and power, against scipy's noncentral t and against simulated markets."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

import marketimpact as mi
from marketimpact.inference import minimum_detectable_effect, power_of
from tests.conftest import golden

DAYS = [date(2024, 1, 1) + timedelta(days=i) for i in range(400)]


@pytest.mark.parametrize("df", [5, 23, 188])
def test_the_detectable_effect_has_the_power_it_says(df):
    shift = float(minimum_detectable_effect(1.0, df))
    critical = stats.t.ppf(0.975, df)
    assert stats.nct.sf(critical, df, shift) == pytest.approx(0.80, abs=1e-8)
    both = stats.nct.sf(critical, df, 1.3) + stats.nct.cdf(-critical, df, 1.3)
    assert float(power_of(1.3, 1.0, df)) == pytest.approx(both, abs=1e-8)
    assert float(power_of(0.0, 2.0, df)) == pytest.approx(0.05, abs=1e-8)


def test_the_normal_case_is_the_textbook_one():
    assert float(minimum_detectable_effect(0.01, np.inf)) == pytest.approx(0.01 * (1.959963985 + 0.841621234), rel=1e-8)
    assert float(power_of(0.0196, 0.01, np.inf, level=0.1)) == pytest.approx(
        stats.norm.sf(1.6448536 - 1.96) + stats.norm.sf(1.6448536 + 1.96), abs=1e-7
    )
    np.testing.assert_allclose(
        minimum_detectable_effect(np.array([1.0, 2.0]), np.array([np.inf, np.inf])), [2.80158522, 5.60317044]
    )


def test_every_estimate_with_a_standard_error_has_one_beside_it(golden_market, golden_study):
    result = golden_study.run(pl.concat([golden("events_mixed"), golden("events_clustered")]), golden_market)
    car = result.car(-1, 1).drop_nulls("car")
    expected = [
        row["se"] * stats.t.ppf(0.975, row["df"]) for row in car.iter_rows(named=True)
    ]  # an effect of the critical value is found in about half of the samples
    assert (car["mde"].to_numpy() > np.array(expected)).all()
    rows = {r["test"]: r for r in result.test(-1, 1).iter_rows(named=True)}
    for name in ("bmp_kp", "cross_sectional_t", "patell_scar", "portfolio_regression"):
        df = rows[name]["df"] or np.inf
        assert rows[name]["mde"] == pytest.approx(float(minimum_detectable_effect(rows[name]["se"], df)), rel=1e-12)
    assert rows["placebo_caar"]["mde"] is None
    primary = result.test(0, 0).filter(role="primary").row(0, named=True)
    assert primary["valid"]
    assert f"{primary['effect_mde']:.2%}" in result.show.test(0, 0)._repr_html_()
    path = result.caar(-1, 1).row(-1, named=True)
    assert path["mde"] > path["se"] * 1.96


def simulated(seed, effect):
    """Twelve firms on one date with a common shock; `effect` on day 0."""
    rng = np.random.default_rng(seed)
    market, common = rng.normal(0, 0.01, len(DAYS)), rng.normal(0, 0.005, len(DAYS))
    frames = []
    for i in range(12):
        ret = market + common + rng.normal(0, 0.015, len(DAYS))
        ret[300] += effect
        frames.append(pl.DataFrame({"date": DAYS, "symbol": f"F{i}", "ret": ret}))
    returns = mi.Market.from_returns(pl.concat(frames), pl.DataFrame({"date": DAYS, "ret": market}))
    events = pl.DataFrame(
        {"event_id": [f"F{i}" for i in range(12)], "symbol": [f"F{i}" for i in range(12)], "date": DAYS[300]}
    )
    return mi.EventStudy(estimation_window=(-200, -11), event_window=(-1, 1)).run(events, returns)


@pytest.mark.parametrize("markets", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_an_effect_of_the_detectable_size_is_found_in_eighty_of_a_hundred(markets):
    """Markets with the effect that the true variances call for: a firm's own t, the portfolio regression."""
    forecast = np.sqrt(1 + 1 / 190)
    firm = float(minimum_detectable_effect(np.sqrt(0.005**2 + 0.015**2) * forecast, 188))
    mean = float(minimum_detectable_effect(np.sqrt(0.005**2 + 0.015**2 / 12) * forecast, 188))
    found = np.zeros(2)
    for seed in range(1, markets + 1):
        found[0] += simulated(seed, firm).car(0, 0)["p"][0] < 0.05
        found[1] += simulated(seed, mean).test(0, 0, tests=["portfolio_regression"])["p_value"].item() < 0.05
    assert (np.abs(found / markets - 0.80) < 3 * np.sqrt(0.8 * 0.2 / markets)).all()


def test_power_of_a_design():
    result = simulated(5, 0.0)
    table = mi.power(result, 0, 0)
    assert table["power"].is_sorted()
    assert table["power"][3] == pytest.approx(0.80, abs=1e-3)
    assert (table["power"] - table["power_placebo"]).abs().max() < 0.12
    none = mi.power(result, 0, 0, effects=[0.0]).row(0, named=True)
    assert none["power"] == pytest.approx(0.05, abs=1e-6)
    assert none["power_placebo"] < 0.12
    assert none["n_blocks"] == 190
    with pytest.raises(mi.SpecificationError, match="level=5"):
        mi.power(result, 0, 0, level=5)
    with pytest.raises(mi.SpecificationError, match="power is undefined"):
        mi.power(result.where(pl.lit(value=False)), 0, 0)


def test_power_among_placebo_blocks_is_two_sided():
    """Blocks of the residuals one by one: the effect is added to each block's mean, and either sign may reject."""
    result = simulated(6, 0.0)
    residuals = result.estimation.residuals
    effects = [-0.03, -0.015, -0.005, 0.0, 0.005, 0.015, 0.03]
    table = mi.power(result, -1, 1, effects=effects)
    se = result.caar(-1, 1).row(-1, named=True)["se"]
    assert "scaled by the spread of SCARs" in table["band"][0]
    critical = stats.t.ppf(0.975, 11)
    blocks = [residuals[:, start : start + 3].sum(axis=1).mean() for start in range(residuals.shape[1] - 2)]
    shares = [np.mean([abs(block + effect) / se > critical for block in blocks]) for effect in effects]
    assert table["power_placebo"].to_list() == pytest.approx(shares, abs=1e-12)
    assert table["n_blocks"].to_list() == [len(blocks)] * 7
    # an effect of one sign is found as well as one of the other, up to the blocks' own asymmetry
    assert table["power_placebo"][0] > 0.5
    assert table["power_placebo"][-1] > 0.5


@pytest.mark.parametrize("n_blocks", [49, 50, 51])
def test_fewer_than_fifty_placebo_blocks_say_nothing(n_blocks):
    result = simulated(7, 0.0)
    # of one event the volatility before a block is known from the seventh session on
    study = mi.EventStudy(estimation_window=(-17 - n_blocks, -11), event_window=(-1, 1), min_observations=40)
    short = study.run(result.events.select("event_id", "symbol", "date").head(1), result.market)
    table = mi.power(short, 0, 1, effects=[0.01])
    assert table["band"].item() == "volatility known the evening before"
    assert table["n_blocks"].item() == n_blocks
    assert (table["power_placebo"].item() is None) == (n_blocks < 50)
