"""Size of the joint placebo test: how often it rejects at 5% when no announcement did anything.

Returns follow docs' generator (market, omitted sector, firm noise). All firms share one calendar and meet
announcements on common dates, so that events of one date are correlated by about 0.24.
The table of docs/procedures/specification_curve.md: python -m tests.size.test_specification_curve 400
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi

SEED = 20261124
DRAWS = 99
STATISTICS = ("median effect", "share significant", "mean z")
ESTIMATION = [(-150, -11), (-110, -11)]
WINDOWS = [(0, 0), (-1, 1), (0, 4)]


@dataclass(frozen=True)
class Design:
    """Sessions of the announcements, firms per announcement, tails, and what an announcement does."""

    title: str
    sessions: tuple[int, ...]
    firms: int = 6
    fat_tails: bool = False
    effect: float = 0.0
    own_variance: float = 1.0


APART = Design("ten dates apart", tuple(range(160, 560, 40)))
DESIGNS = {
    "apart": APART,
    "apart, t4": Design("ten dates apart, t4 shocks", APART.sessions, fat_tails=True),
    "dense": Design("twenty dates, four to nine sessions apart", tuple(160 + int(6.3 * n) for n in range(20))),
    "one date": Design("one date, 24 firms", (160,), firms=24),
    "variance": Design("ten dates apart, own variance raised threefold on day 0", APART.sessions, own_variance=3.0),
    "effect": Design("ten dates apart, effect of 2% on day 0", APART.sessions, effect=0.02),
}


def draw(design: Design, rng: np.random.Generator) -> tuple[mi.Market, pl.DataFrame]:
    """A market of 24 firms, and each announcement on some of them."""
    n, length = 24, max(design.sessions) + 12
    days = [date(2015, 1, 1) + timedelta(k) for k in range(length)]

    def shocks(*shape: int) -> np.ndarray:
        return rng.standard_t(4, shape) / np.sqrt(2.0) if design.fat_tails else rng.normal(size=shape)

    market, sector = 0.011 * shocks(length), 0.013 * shocks(length)
    beta, loading, sd = rng.uniform(0.7, 1.5, (n, 1)), rng.uniform(0.5, 1.2, (n, 1)), rng.uniform(0.012, 0.028, (n, 1))
    own = sd * shocks(n, length)
    hit = [(k, s, rng.permutation(n)[: design.firms]) for k, s in enumerate(design.sessions)]
    returns = 0.0002 + beta * market + loading * sector
    for _, session, firms in hit:
        own[firms, session] *= np.sqrt(design.own_variance)
        returns[firms, session] += design.effect
    returns = np.maximum(returns + own, -0.95)
    symbols = [f"S{i:02d}" for i in range(n)]
    frame = pl.DataFrame({"symbol": np.repeat(symbols, length), "date": days * n, "ret": returns.ravel()})
    events = pl.DataFrame(
        [
            (f"{k:02d}:{symbols[i]}", f"{k:02d}", symbols[i], days[s], bool(i % 2 == 0))
            for k, s, firms in hit
            for i in firms
        ],
        schema=["event_id", "announcement_id", "symbol", "date", "even"],
        orient="row",
    )
    return mi.Market.from_returns(frame, pl.DataFrame({"date": days, "ret": market})), events


def curve(market: mi.Market, events: pl.DataFrame) -> mi.SpecificationCurve:
    """24 specifications."""
    return mi.specification_curve(
        events,
        market,
        models=[mi.MarketModel(), mi.MarketAdjusted()],
        estimation_windows=ESTIMATION,
        event_windows=WINDOWS,
        filters={"all": pl.lit(value=True), "even": pl.col("even")},
        tests=["bmp_kp"],
    )


def rejections(name: str, first: int, last: int) -> Counter[str]:
    """Count p < 5% of each statistic; every replication has a seed of its own."""
    found: Counter[str] = Counter()
    for replication in range(first, last):
        rng = np.random.default_rng([SEED, list(DESIGNS).index(name), replication])
        p = curve(*draw(DESIGNS[name], rng)).joint_test(draws=DRAWS, seed=replication).frame["p_value"]
        found.update(label for label, value in zip(STATISTICS, p, strict=True) if value <= 0.05)
    return found


def rates(name: str, replications: int) -> dict[str, float]:
    starts = range(0, replications, 25)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        ends = [min(start + 25, replications) for start in starts]
        total = sum(pool.map(rejections, [name] * len(starts), starts, ends), Counter())
    return {label: total[label] / replications for label in STATISTICS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["apart", "apart, t4"])
def test_the_joint_test_rejects_five_of_a_hundred_true_nulls(name):
    error = (0.05 * 0.95 / 400) ** 0.5
    for label, rate in rates(name, 400).items():
        assert abs(rate - 0.05) < 3 * error, (label, rate)


def test_the_joint_test_seldom_rejects_a_true_null():
    # more than 5 of 12 has a probability below 1 in 10,000 at a size of 5%
    found = rejections("apart", 0, 12)
    assert all(found[label] <= 5 for label in STATISTICS)


def test_a_planted_effect_is_found_by_median_and_joint_test():
    rng = np.random.default_rng(SEED)
    made = curve(*draw(DESIGNS["effect"], rng))
    # 60 events with a sd of the CAR near 3%, correlated in groups of six: a standard error near 0.6%
    assert made.summary()["median"][0] == pytest.approx(0.02, abs=0.015)
    assert (made.joint_test(draws=DRAWS, seed=1).frame["p_value"] <= 0.05).all()


if __name__ == "__main__":
    for name, design in DESIGNS.items():
        found = rates(name, int(sys.argv[1]))
        print(f"| {design.title} | " + " | ".join(f"{found[label]:.3f}" for label in STATISTICS) + " |", flush=True)
