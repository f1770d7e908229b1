"""Resampling tests against their exact distributions, every draw enumerated, within five Monte Carlo errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from tests.conftest import golden

STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))
DRAWS = 9999


def near(p: float, exact: float, draws: int = DRAWS) -> bool:
    return abs(p - exact) <= 5 * math.sqrt(max(exact * (1 - exact), 1e-4) / draws) + 1 / draws


@pytest.mark.parametrize("window", [(0, 0), (-1, 1), (0, 5)])
def test_webb_weights_against_all_patterns(golden_market, window):
    """``wild_cluster_webb`` on five dates: 6^5 patterns of six weights, one by one."""
    result = STUDY.run(golden("events_mixed"), golden_market)
    car = result.car(*window).drop_nulls("car")
    groups = [g["car"].to_numpy() for g in car.sort("date").partition_by("date")]
    sums, sizes = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    n, count = sizes.sum(), len(groups)

    def t_of(values):
        mean = values.sum() / n
        return mean / math.sqrt(count / (count - 1) * ((values - sizes * mean) ** 2).sum()) * n

    weights = [sign * math.sqrt(v) for v in (0.5, 1.0, 1.5) for sign in (-1, 1)]
    observed = abs(t_of(sums))
    patterns = [abs(t_of(sums * np.array(w))) for w in itertools.product(weights, repeat=count)]
    exact = float(np.mean(np.array(patterns) >= observed * (1 - 1e-10)))
    row = result.test(*window, tests=["wild_cluster_webb"]).row(0, named=True)
    assert row["statistic"] == pytest.approx(t_of(sums), rel=1e-9)
    assert near(row["p_value"], exact)


@pytest.mark.parametrize("name", ["skew_johnson_bootstrap", "skew_hall_bootstrap"])
def test_skewness_bootstrap_against_all_resamples(golden_market, name):
    """Six events: 6^6 resamples, one by one; the smaller tail doubled."""
    events = golden("events_unclustered").filter(pl.col("event_id").is_in([f"U{n:02d}" for n in (1, 2, 3, 4, 5, 9)]))
    result = STUDY.run(events, golden_market)
    car = result.car(0, 0)["car"].to_numpy()
    assert len(car) == 6

    def statistic(x, centre=0.0):
        s = x.std(axis=-1, ddof=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            big = (x.mean(axis=-1) - centre) / s
            g = ((x - x.mean(axis=-1, keepdims=True)) ** 3).mean(axis=-1) / s**3
            more = g**2 * big**3 / 27 if name == "skew_hall_bootstrap" else 0.0
            return math.sqrt(6) * (big + g * big**2 / 3 + more + g / 36)

    observed = float(statistic(car))
    drawn = statistic(car[np.array(list(itertools.product(range(6), repeat=6)))], car.mean())
    tails = [np.mean(~(drawn > observed)), np.mean(~(drawn < observed))]
    row = result.test(0, 0, tests=[name]).row(0, named=True)
    assert row["statistic"] == pytest.approx(observed, rel=1e-9)
    assert abs(row["p_value"] - min(1.0, 2 * min(tails))) <= 10 * math.sqrt(0.25 / DRAWS)


def test_the_joint_bootstrap_is_the_exact_f_when_returns_are_normal():
    """``mvrm_joint_bootstrap``: five firms of normal returns; the resampled p is near that of F."""
    rng = np.random.default_rng(3)
    market, symbols = golden("market"), [f"S{i}" for i in range(5)]
    days = market["date"].to_list()
    returns = market["ret"].to_numpy() + rng.normal(0, 0.02, (5, len(days))) + rng.normal(0, 0.01, len(days))
    frame = pl.DataFrame({"date": days * 5, "symbol": np.repeat(symbols, len(days)), "ret": returns.ravel()})
    prices = mi.Market.from_returns(frame, market)
    apart = 0.0
    for position in range(300, 340, 4):
        events = pl.DataFrame({"event_id": symbols, "symbol": symbols, "date": [days[position]] * 5})
        table = STUDY.run(events, prices).test(0, 1, tests=["mvrm_joint_F", "mvrm_joint_bootstrap"])
        p = dict(table.select("test", "p_value").iter_rows())
        apart = max(apart, abs(p["mvrm_joint_F"] - p["mvrm_joint_bootstrap"]))
    # 999 draws have an error of 0.016, and 190 days are not quite normal
    assert apart < 0.08
