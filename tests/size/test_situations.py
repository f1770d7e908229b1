"""What the samples of tests/size/situations.py are: each fact that a situation states, checked with numpy."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tests.size import situations
from tests.size.situations import BEFORE, SITUATIONS, Parts


def returns_of(key: str, seed: int = 1) -> tuple[np.ndarray, np.ndarray, pl.DataFrame]:
    """Returns (firms, sessions), the benchmark's, and the events of one sample."""
    drawn = SITUATIONS[key].draw(np.random.default_rng(seed))
    panel = drawn.market.select("symbol", "date", "ret", "market").sort("symbol", "date")
    firms = panel["symbol"].n_unique()
    ret, market = (panel[name].to_numpy().reshape(firms, -1) for name in ("ret", "market"))
    return ret, market[0], drawn.events


def parts_of(key: str, seed: int = 1) -> Parts:
    return SITUATIONS[key]._parts(np.random.default_rng(seed))


def residuals(ret: np.ndarray, market: np.ndarray) -> np.ndarray:
    x = np.column_stack([np.ones_like(market), market])
    return ret - (x @ np.linalg.lstsq(x, ret.T, rcond=None)[0]).T


@pytest.mark.parametrize("key", SITUATIONS)
def test_every_event_of_every_situation_is_usable(key):
    situation = SITUATIONS[key]
    drawn = situation.draw(np.random.default_rng(1))
    result = drawn.study.run(drawn.events, drawn.market)
    assert result.attrition.is_empty()
    assert result.events.height == sum(situation.sizes)
    assert result.events["date"].n_unique() == len(situation.sizes)
    assert result.car(*drawn.window)["car"].is_finite().all()


def test_residuals_correlate_by_a_quarter_and_are_as_volatile_as_stated():
    found, sd = [], []
    for seed in range(20):
        ret, market, _ = returns_of("calm_one_date_24", seed)
        e = residuals(ret, market)
        r = np.corrcoef(e)
        found.append(r[np.triu_indices_from(r, 1)].mean())
        sd.append(e.std(axis=1).mean())
    assert np.mean(found) == pytest.approx(0.24, abs=0.03)
    # own noise of 1.2% to 2.8% and a sector of 0.85 x 1.3%
    assert np.mean(sd) == pytest.approx(np.hypot(0.0205, 0.0111), rel=0.05)


def test_shocks_have_mean_zero_and_variance_one():
    rng = np.random.default_rng(2)
    # the fourth moment of t5 is 9 and of the lognormal 114
    for shocks, fourth in ((situations.t5(rng, 200_000), 9.0), (situations.skewed(rng, 200_000), 114.0)):
        assert shocks.mean() == pytest.approx(0.0, abs=0.01)
        assert shocks.var() == pytest.approx(1.0, abs=4 * np.sqrt(fourth / 200_000))
    assert (situations.skewed(rng, 200_000) ** 3).mean() > 3.0
    paths = np.array([situations.gjr(rng)[1] for _ in range(60)])
    assert paths.mean() == pytest.approx(1.0, abs=0.2)


def test_a_turbulent_day_follows_a_day_of_high_variance():
    """The sector's shock on day 0 has about three times its usual variance."""
    day0 = []
    for seed in range(150):
        parts = parts_of("4", seed)
        situations.turbulent(parts, np.random.default_rng(seed))
        day0.append(parts.sector[BEFORE] / situations.SECTOR_SD)
    assert 1.6 < np.mean(np.square(day0)) < 6.0


def test_volatility_doubles_ten_sessions_before_day0():
    before, after = parts_of("2"), parts_of("2")
    SITUATIONS["2"].process(after, np.random.default_rng(1))
    doubled = after.own / before.own
    assert (doubled[:, : BEFORE - 10] == 1.0).all()
    assert (doubled[:, BEFORE - 10 :] == 2.0).all()
    assert (after.market / before.market)[BEFORE - 10 :] == pytest.approx(2.0)


def test_the_sector_doubles_on_each_day0_alone():
    before, after = parts_of("6_6x4"), parts_of("6_6x4")
    SITUATIONS["6_6x4"].process(after, np.random.default_rng(1))
    changed = np.flatnonzero(after.sector != before.sector)
    assert changed.tolist() == [250, 280, 310, 340, 370, 400]


def test_a_firm_that_does_not_trade_catches_up():
    fresh, shown = parts_of("17"), parts_of("17")
    stale = SITUATIONS["17"].process(shown, np.random.default_rng(1))
    assert (stale == 0.0).mean() == pytest.approx(0.3, abs=0.03)
    traded = stale[:, -1] != 0.0
    assert traded.any()
    # from one trade to another the same price change, the first session's apart
    whole = fresh.returns()[traded, 1:].sum(axis=1)
    assert stale[traded, 1:].sum(axis=1) == pytest.approx(whole)


def test_half_of_the_firms_respond_a_session_late():
    ret, market, _ = returns_of("11")
    late = np.arange(len(ret)) % 2 == 1
    same_day = np.array([np.corrcoef(firm[1:], market[1:])[0, 1] for firm in ret])
    next_day = np.array([np.corrcoef(firm[1:], market[:-1])[0, 1] for firm in ret])
    assert same_day[~late].min() > 0.2 > same_day[late].max()
    assert next_day[late].min() > 0.2 > next_day[~late].max()


def test_residuals_follow_themselves_by_a_fifth():
    found = []
    for seed in range(10):
        ret, market, _ = returns_of("13", seed)
        e = residuals(ret, market)
        found.append(np.mean([np.corrcoef(firm[1:], firm[:-1])[0, 1] for firm in e]))
    assert np.mean(found) == pytest.approx(0.2, abs=0.05)


def test_winners_and_losers_have_loadings_of_both_signs():
    ret, market, _ = returns_of("24_04")
    r = np.corrcoef(residuals(ret, market))
    assert r[0, 2] > 0.9
    assert r[0, 1] < -0.9


def test_excluded_days_are_the_event_windows_of_the_same_firms():
    drawn = SITUATIONS["9"].draw(np.random.default_rng(1))
    days = drawn.study.exclude.frame
    assert days.height == 3 * 12 * 11
    offset = (days["date"] - days["date"].min()).dt.total_days()
    assert (offset % 22 <= 10).all()


def test_an_effect_is_added_on_every_day0_alone():
    plain, _, events = returns_of("7")
    drawn = SITUATIONS["7"].with_effect(0.03).draw(np.random.default_rng(1))
    panel = drawn.market.select("symbol", "date", "ret").sort("symbol", "date")
    moved = panel["ret"].to_numpy() - plain.ravel()
    hit = panel.join(events, on=["symbol", "date"], how="left", validate="1:1", maintain_order="left")
    expected = np.where(hit["event_id"].is_not_null(), 0.03, 0.0)
    assert moved == pytest.approx(expected, abs=1e-12)
