"""Rates of the placebo of the median SCAR where one firm is an outlier, and of the conformal test over long windows.

Samples are those of tests/size/situations.py. A rate of 5% has a Monte Carlo standard error of 0.011 at 400 samples;
bounds are 3 of them. The figures of the two pages, docs/tests/placebo_median_scar.md and conformal_blocks.md:

    POLARS_MAX_THREADS=1 python -m tests.size.test_outliers_and_long_windows 2000
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.size import situations
from tests.size.situations import SITUATIONS, Parts, Process, Situation

pytestmark = pytest.mark.slow

SAMPLES, ERROR = 400, 0.011
MEDIAN, CONFORMAL = "placebo_median_scar", "conformal_blocks"


def own_variance_x3(parts: Parts, rng: np.random.Generator) -> np.ndarray:
    parts.own[parts.firm, parts.day] *= np.sqrt(3.0)
    return parts.returns()


def spread_evenly(effect: float, length: int) -> Process:
    """Add an effect to the CAR of every event, the same on each day of the window."""

    def process(parts: Parts, rng: np.random.Generator) -> np.ndarray:
        returns = parts.returns()
        for firm, day in zip(parts.firm, parts.day, strict=True):
            returns[firm, day : day + length] += effect / length
        return returns

    return process


def with_outlier(firms: int) -> Situation:
    return Situation("", f"{firms} firms, one of them moves by 20%", (firms,), situations.outlier)


LONG = {
    "21 of 60": replace(SITUATIONS["8a"], title="12 firms, one date, 21 days on 60"),
    "62 of 240": SITUATIONS["8b"],
    "21 of 240": replace(SITUATIONS["8b"], title="12 firms, one date, 21 days on 240", window=(0, 20)),
}


def rates(situation: Situation, tests: Sequence[str], samples: int = SAMPLES, effect: float = 0.0) -> pl.DataFrame:
    """``test, rate, valid, rate_valid``: rejections at 5%, share valid, rejections where valid."""
    rows = []
    for sample in range(samples):
        drawn = situation.with_effect(effect).draw(np.random.default_rng([20251129, sample]))
        rows.append(drawn.study.run(drawn.events, drawn.market).test(*drawn.window, tests=tests))
    rejected = pl.col("p_value") < 0.05
    return (
        pl.concat(rows)
        .group_by("test")
        .agg(
            rejected.mean().alias("rate"),
            pl.col("valid").mean(),
            rejected.filter("valid").mean().alias("rate_valid"),
        )
        .sort("test")
    )


def rates_of(situation: Situation, test: str, effect: float = 0.0) -> dict[str, float]:
    return rates(situation, [test], effect=effect).row(0, named=True)


@pytest.mark.parametrize("firms", [6, 8])
def test_the_median_placebo_keeps_its_size_and_power_with_an_outlier(firms):
    size, power = (rates_of(with_outlier(firms), MEDIAN, effect) for effect in (0.0, 0.04))
    assert size["valid"] > 0.6
    assert size["rate_valid"] < 0.065 + 3 * ERROR
    assert power["rate"] > 0.75
    assert rates_of(with_outlier(firms), "bmp_kp", 0.04)["rate"] < 0.1


def test_a_variance_that_all_firms_raise_is_often_seen():
    raised = rates_of(replace(SITUATIONS["calm_one_date_8"], process=own_variance_x3), MEDIAN)
    assert raised["valid"] < 0.7
    assert raised["rate_valid"] < 0.09 + 3 * ERROR


@pytest.mark.parametrize("key", LONG)
def test_the_conformal_test_keeps_its_size_where_placebo_blocks_do_not(key):
    found = {row["test"]: row["rate"] for row in rates(LONG[key], [CONFORMAL, "placebo_caar"]).to_dicts()}
    assert abs(found[CONFORMAL] - 0.05) < 3 * ERROR
    assert found["placebo_caar"] > found[CONFORMAL]


def main(samples: int) -> None:
    """Print rates."""
    for firms in (4, 5, 6, 8):
        for effect in (0.0, 0.04):
            print(firms, "outlier", effect, rates(with_outlier(firms), [MEDIAN, "bmp_kp"], samples, effect).rows())
    for firms in (6, 8, 12, 24):
        raised = Situation("", f"{firms} firms, own variance x3", (firms,), own_variance_x3)
        print(firms, "own variance x3", rates(raised, [MEDIAN, "portfolio_regression"], samples).rows())
    for key, situation in LONG.items():
        moved = replace(situation, process=spread_evenly(0.15, situation.window[1] + 1))
        for title, each in (("no effect", situation), ("15% spread evenly", moved)):
            print(key, title, rates(each, [CONFORMAL, "bmp_kp", "portfolio_regression"], samples).rows())
        print(key, "15% on day 0", rates(situation, [CONFORMAL, "bmp_kp"], samples, 0.15).rows())


if __name__ == "__main__":
    main(int(sys.argv[1]))
