"""Rejections given that a test is called valid, in calm and turbulent times: the harness, and the published counts."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.size import turbulent
from tests.size.situations import SITUATIONS
from tests.size.turbulent import (
    COUNTS,
    DEFAULTS,
    NOT_CLAIMED,
    ONE_SIDED,
    PRIMARY,
    PRIMARY_ONLY,
    power_effect,
    samples_of,
)

#: Of the samples in which a test is called valid, at most so many may reject; Monte-Carlo errors come on top.
LIMIT = 0.075
PUBLISHED = pl.read_csv(turbulent.RATES)
SLOW_SAMPLES = 300
FEW = ("calm_1", "calm_one_date_8", "calm_6x4", "9", "10_separate")


def limit(n: int, errors: float) -> float:
    return LIMIT + errors * math.sqrt(LIMIT * (1 - LIMIT) / n)


def claimed(counted: pl.DataFrame, least: int) -> pl.DataFrame:
    """Keep rows without an effect in claimed situations, of tests called valid in at least so many samples."""
    return counted.filter(
        pl.col("effect") == 0,
        ~pl.col("situation").is_in(NOT_CLAIMED),
        ~pl.col("situation").is_in(PRIMARY_ONLY) | (pl.col("test") == PRIMARY),
        pl.col("called_valid") >= least,
    )


def test_a_study_counts_what_the_samples_say():
    """Counts against the p-values of the same samples, by plain Python."""
    study = turbulent.study(20, FEW, workers=1)
    again = turbulent.run(FEW, 20, tests=DEFAULTS, workers=1)
    assert study.filter(pl.col("effect") == 0, pl.col("alternative") == "two-sided").height == len(FEW) * (
        len(DEFAULTS) + 1
    )
    for row in study.filter(pl.col("effect") == 0, pl.col("alternative") == "two-sided").iter_rows(named=True):
        test = pl.col("role") == "primary" if row["test"] == PRIMARY else pl.col("test") == row["test"]
        found = again.filter(pl.col("situation") == row["situation"], test).to_dicts()
        rejected = [one["p_value"] < 0.05 for one in found]
        valid = [one["valid"] for one in found]
        assert row["samples"] == len(found) == 20
        assert row["is_primary"] == sum(one["role"] == "primary" for one in found)
        assert row["called_valid"] == sum(valid)
        assert row["rejected"] == sum(rejected)
        assert row["rejected_valid"] == sum(a and b for a, b in zip(rejected, valid, strict=True))
    assert study.filter(pl.col("alternative") == "less")["situation"].unique().to_list() == ["10_separate"]
    power = study.filter(pl.col("effect") > 0)
    assert dict(power.select("situation", "samples").rows()) == {key: samples_of(SITUATIONS[key], 20)[1] for key in FEW}
    assert power.group_by("situation").agg(pl.col("effect").unique().len())["effect"].max() == 1


def test_samples_do_not_depend_on_what_else_is_drawn():
    whole = turbulent.rows("calm_6x4", 0, 4, 0.0, "two-sided", ("bmp_kp",))
    part = turbulent.rows("calm_6x4", 2, 4, 0.0, "two-sided", ("bmp_kp",))
    assert_frame_equal(whole.filter(pl.col("replication") >= 2), part)
    assert whole["p_value"].n_unique() == 4


def test_an_effect_moves_the_estimate_by_itself():
    """The effect comes on top of the same sample; its mean is the estimate of a mean abnormal return."""
    plain = turbulent.run(["calm_one_date_8"], 4, tests=["portfolio_regression"], workers=1)
    moved = turbulent.run(["calm_one_date_8"], 4, effect=0.03, tests=["portfolio_regression"], workers=1)
    assert (moved["estimate"] - plain["estimate"]).to_numpy() == pytest.approx(0.03, abs=1e-12)
    assert (moved["p_value"] != plain["p_value"]).all()


def test_one_sided_p_values_are_half_of_two_sided_ones_or_the_rest():
    both = turbulent.run(["calm_1"], 6, tests=["portfolio_regression"], workers=1)
    less = turbulent.run(["calm_1"], 6, alternative="less", tests=["portfolio_regression"], workers=1)
    half = both["p_value"].to_numpy() / 2
    assert less["p_value"].to_numpy() == pytest.approx(np.where(both["estimate"].to_numpy() < 0, half, 1 - half))


def test_rates_and_their_errors():
    frame = pl.DataFrame({
        "situation": ["x"] * 4, "effect": [0.0] * 4, "alternative": ["two-sided"] * 4, "test": ["a"] * 4,
        "p_value": [0.01, 0.2, 0.01, math.nan], "valid": [True, True, False, False], "role": ["primary"] * 4,
    })  # fmt: skip
    for row in turbulent.summary(frame).iter_rows(named=True):
        assert row["share_valid"] == row["rate_valid"] == row["rate"] == 0.5
        assert row["mc_error"] == pytest.approx(math.sqrt(0.5 * 0.5 / 2))


def test_every_situation_is_published():
    keys = ["situation", "first", "last", "effect", "alternative", "test"]
    assert PUBLISHED.select(keys).is_unique().all()
    expected = {(key, 0.0, "two-sided") for key in SITUATIONS}
    expected |= {(key, power_effect(situation), "two-sided") for key, situation in SITUATIONS.items()}
    expected |= {(key, 0.0, "less") for key in ONE_SIDED}
    assert set(PUBLISHED.select("situation", "effect", "alternative").unique().rows()) == expected
    for (key, first, last), part in PUBLISHED.group_by("situation", "first", "last"):
        assert (first, last) == SITUATIONS[str(key)].window
        assert set(part["test"]) == {PRIMARY, *DEFAULTS}
    assert PUBLISHED.select(pl.col(COUNTS).ge(0).all()).row(0) == (True,) * len(COUNTS)


def test_published_rates_of_valid_tests_are_within_the_limit():
    """Two Monte-Carlo errors are allowed, 0.087 where a test is valid in all of 2,000 samples."""
    for row in claimed(PUBLISHED, 200).iter_rows(named=True):
        assert row["rejected_valid"] / row["called_valid"] <= limit(row["called_valid"], 2), row


def test_the_primary_test_is_nearly_always_valid_in_calm_times():
    calm = [key for key, situation in SITUATIONS.items() if situation.calm]
    part = PUBLISHED.filter(pl.col("situation").is_in(calm), pl.col("effect") == 0, pl.col("test") == PRIMARY)
    assert part.height == len(calm)
    for row in part.iter_rows(named=True):
        share, n = row["called_valid"] / row["samples"], row["samples"]
        assert share >= 0.9 - 3 * math.sqrt(0.9 * 0.1 / n), row


@pytest.mark.slow
def test_valid_tests_keep_their_size():
    """Three Monte-Carlo errors are allowed."""
    work = [task for key in SITUATIONS for task in turbulent.tasks(key, SLOW_SAMPLES, 0.0, "two-sided", DEFAULTS)]
    work += [task for key in ONE_SIDED for task in turbulent.tasks(key, SLOW_SAMPLES, 0.0, "less", DEFAULTS)]
    parts = pl.concat(turbulent.counts(frame) for frame in turbulent.frames_of(work, 2))
    counted = parts.group_by(*turbulent.IDENTITY, "test").agg(pl.col(COUNTS).sum())
    over = [
        row
        for row in claimed(counted, 30).iter_rows(named=True)
        if row["rejected_valid"] / row["called_valid"] > limit(row["called_valid"], 3)
    ]
    assert not over
