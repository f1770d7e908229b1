"""Windows of one clock against statsmodels, and against fits without each day in turn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm

from marketimpact.inference.same_clock import path_band, same_clock


def drawn(seed: int, n: int = 61) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(0, 0.4, n))
    other = rng.standard_t(4, n) * scale
    return 0.1 + 1.3 * other + rng.standard_t(4, n) * scale, other, scale


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("has_benchmark", [True, False])
def test_the_statistic_is_that_of_statsmodels(seed, has_benchmark):
    returns, other, scale = drawn(seed)
    found = same_clock(returns, other if has_benchmark else None, scale)
    design = sm.add_constant(other) if has_benchmark else np.ones((len(other), 1))
    past = sm.WLS(returns[1:], design[1:], weights=scale[1:] ** -2).fit()
    forecast = float(design[0] @ past.params)
    se = np.sqrt(past.scale * scale[0] ** 2 + design[0] @ past.cov_params() @ design[0])
    assert found.ar == pytest.approx(returns[0] - forecast, rel=1e-9)
    assert found.se == pytest.approx(se, rel=1e-9)
    assert found.df == past.df_resid
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(abs((returns[0] - forecast) / se), past.df_resid))
    if has_benchmark:
        assert found.beta == pytest.approx(past.params[1], rel=1e-9)
    weighted = sm.OLS(returns / scale, design / scale[:, None]).fit().get_influence()
    assert found.studentised / found.studentised[0] == pytest.approx(
        weighted.resid_studentized_internal / weighted.resid_studentized_internal[0], rel=1e-9
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_rank_is_that_of_forecasts_without_each_day_in_turn(seed):
    returns, other, scale = drawn(seed, 41)
    design = sm.add_constant(other) / scale[:, None]
    external = []
    for day in range(41):
        rest = np.arange(41) != day
        fit = sm.OLS((returns / scale)[rest], design[rest]).fit()
        error = (returns / scale)[day] - design[day] @ fit.params
        external.append(abs(error) / np.sqrt(fit.scale + design[day] @ fit.cov_params() @ design[day]))
    assert same_clock(returns, other, scale).rank_p == np.mean(np.array(external) >= external[0])


def test_a_factor_of_the_scale_and_the_order_of_days_do_not_matter():
    returns, other, scale = drawn(9)
    found, order = same_clock(returns, other, scale), np.r_[0, np.random.default_rng(1).permutation(60) + 1]
    same = same_clock(returns[order], other[order], 7.0 * scale[order])
    assert same.ar == pytest.approx(found.ar, rel=1e-9)
    assert same.statistic == pytest.approx(found.statistic, rel=1e-9)
    assert same.rank_p == found.rank_p


def test_the_rank_rejects_as_often_as_its_level_under_heavy_tails():
    """Exact where days are exchangeable: 2 of 41 ranks lie at or below 2 / 41."""
    ranks = [same_clock(*drawn(1000 + seed, 41)).rank_p for seed in range(2000)]
    nominal = 2 / 41
    assert np.mean(np.array(ranks) <= nominal + 1e-9) == pytest.approx(nominal, abs=2 * np.sqrt(nominal / 2000))


def test_the_band_of_whole_paths_is_left_by_its_share_of_them():
    rng, left = np.random.default_rng(3), []
    for _ in range(1000):
        paths = np.cumsum(rng.standard_t(4, (60, 12)), axis=1)
        band = path_band(paths, None, np.ones(60), 0.05)
        outside = bool((np.abs(band.ar) > band.half_width).any())
        assert outside == (band.p_value < 0.05 + 1e-9)
        left.append(outside)
    assert np.mean(left) == pytest.approx(3 / 60, abs=2.5 * np.sqrt(0.05 * 0.95 / 1000))


def test_a_path_that_never_moves_stays_inside():
    paths = np.random.default_rng(1).normal(size=(30, 5))
    paths[:, 2] = 0.0
    band = path_band(paths, None, np.ones(30))
    assert band.ar[2] == 0.0
    assert band.half_width[2] == 0.0
