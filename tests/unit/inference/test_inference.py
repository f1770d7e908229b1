"""Tests over events that are undefined give nan and a note that names the need, never an exception or a warning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.inference import (
    DEFAULT_TESTS,
    ON_REQUEST,
    TESTS,
    DayPatterns,
    Outcome,
    PairCorrelations,
    SignificanceTest,
    mean_correlation,
)
from tests.conftest import golden


@pytest.fixture(scope="module")
def mixed(golden_market, golden_study) -> mi.StudyResult:
    return golden_study.run(golden("events_mixed"), golden_market)


@pytest.fixture(scope="module")
def clustered(golden_market, golden_study) -> mi.StudyResult:
    return golden_study.run(golden("events_clustered"), golden_market)


def test_tests_by_default_and_with_all(mixed):
    assert mixed.test(0, 0).height == len(DEFAULT_TESTS)
    assert mixed.test(0, 0, tests="all").height == len(TESTS) - len(ON_REQUEST)
    assert DEFAULT_TESTS[0].name == "bmp_kp"


def test_clusters_are_announcements_where_there_are(golden_market, golden_study):
    events = golden("events_mixed").with_columns(pl.lit("one").alias("announcement_id"))
    assert golden_study.run(events, golden_market).sample(0, 0).n_clusters == 1


def test_few_dates_cannot_reject_and_are_not_valid(mixed):
    row = mixed.test(0, 0, tests=["wild_cluster"]).row(0, named=True)
    assert row["statistic"] == row["statistic"]
    assert not row["valid"]
    assert "needs at least 6 dates, here are 5" in row["note"]
    assert "smallest possible p is 0.0625" in row["note"]


@pytest.mark.parametrize("name", list(TESTS))
def test_events_that_are_all_alike_raise_nothing(clustered, name):
    sample = clustered.sample(0, 0)
    alike = replace(sample, car=np.full(sample.n, 0.01), se=np.full(sample.n, 0.02))
    outcome = TESTS[name].run(alike)
    assert np.isnan(outcome.statistic) == np.isnan(outcome.p_value)
    if np.isnan(outcome.statistic):
        assert outcome.note


def test_negative_correlation_that_leaves_no_variance_is_refused(clustered):
    sample = clustered.sample(0, 0)
    wave = np.sin(np.arange(sample.residuals.width))
    # two firms that move against each other: r = -1, so 1 + (N-1) r = 0
    pair = replace(
        sample,
        **{
            name: getattr(sample, name)[:2]
            for name in (
                "car", "se", "sigma", "df", "n_days", "cluster", "exchange", "symbol", "firm",
            )
        },
        **{name: getattr(sample, name).take(np.arange(2)) for name in ("window_dates", "event_ar", "event_se")},
        residuals=LazyMatrix.of(np.vstack([wave, -wave])),
    )  # fmt: skip
    days = np.vstack([sample.residual_dates.to_array()[0]] * 2)
    pair = replace(pair, residual_dates=LazyMatrix.of(days))
    one_pattern = np.zeros(2, dtype=int)
    pair = replace(pair, pairs=PairCorrelations(pair, DayPatterns(one_pattern)), pattern=one_pattern)
    assert mean_correlation(pair).value == pytest.approx(-1.0)
    for name in ("bmp_kp", "patell_kp"):
        outcome = TESTS[name].run(pair)
        assert np.isnan(outcome.statistic)
        assert "1+(N-1)r <= 0" in outcome.note


def test_placebo_tests_are_undefined_for_a_window_longer_than_the_estimation_window(golden_market):
    study = mi.EventStudy(estimation_window=(-20, -11), event_window=(-10, 10), min_observations=8)
    result = study.run(golden("events_clustered"), golden_market)
    rows = {r["test"]: r for r in result.test(-10, 10, tests="all").iter_rows(named=True)}
    for name in ("placebo_caar", "placebo_bmp", "cav", "rank_blocks", "residual_bootstrap"):
        assert np.isnan(rows[name]["statistic"]), name
        assert "needs" in rows[name]["note"]
    assert result.single_tests(-10, 10).select("sq_p", "p_romano_wolf").null_count().row(0) == (24, 24)


def test_multivariate_tests_are_undefined_with_more_firms_than_days(golden_market):
    study = mi.EventStudy(estimation_window=(-25, -11), event_window=(0, 1), min_observations=10)
    row = study.run(golden("events_clustered"), golden_market).test(0, 1, tests=["mvrm_joint_F"]).row(0, named=True)
    assert np.isnan(row["statistic"])
    assert "fewer firms or a longer estimation window" in row["note"]


def dates_apart(sessions: list[int], firms: list[int]) -> mi.StudyResult:
    """Events of several dates: firms[k] of them on session sessions[k] of the golden calendar."""
    days = golden("market")["date"].to_list()
    complete = [s for s in golden("returns")["symbol"].unique().sort() if s.startswith("US") and s != "US06"]
    rows = [
        (f"{day}-{n}", complete[n % len(complete)], days[day])
        for day, count in zip(sessions, firms, strict=True)
        for n in range(count)
    ]
    events = pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")
    market = mi.Market.from_returns(golden("returns"), golden("market"))
    return mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5)).run(events, market)


OVER_DATES = ["cluster_t", "date_means_t", "wild_cluster_webb"]


def test_dates_whose_windows_overlap_are_not_independent():
    result = dates_apart([230, 250, 270, 290, 292], [3, 3, 3, 3, 3])
    day, week = (result.test(*window, tests=OVER_DATES) for window in ((0, 0), (-2, 2)))
    assert day["valid"].all()
    assert not week["valid"].any()
    assert all("have days in common" in note for note in week["note"])


def test_dates_of_very_unequal_size_invalidate_the_cluster_t_alone():
    table = dates_apart([230, 250, 270, 290, 310], [1, 1, 1, 2, 8]).test(0, 0, tests=OVER_DATES)
    unequal = dict(table.select("test", pl.col("note").str.contains("of very unequal size")).iter_rows())
    assert unequal == {"cluster_t": True, "date_means_t": False, "wild_cluster_webb": False}
    note = table.filter(pl.col("test") == "cluster_t")["note"].item()
    assert "effective number is 2.4" in note  # 13^2 / (1 + 1 + 1 + 4 + 64)


def test_rank_blocks_is_not_valid_with_few_blocks():
    result = dates_apart([230, 250, 270, 290, 310], [3, 3, 3, 3, 3])
    few, many = (result.test(*window, tests=["rank_blocks"]).row(0, named=True) for window in ((-5, 5), (0, 4)))
    assert few["valid"] is False
    assert "189 estimation days are too few (needs 220)" in few["note"]
    assert "too few (needs" not in many["note"]


def test_a_test_that_never_holds_says_why():
    result = dates_apart([230, 250, 270, 290, 310], [3, 3, 3, 3, 3])
    table = result.test(0, 0, tests=["cav", "event_variance_ratio"])
    assert not table["valid"].any()
    assert all("with fat tails" in note for note in table["note"])
    assert table["statistic"].is_not_nan().all()


def test_one_cluster_and_one_event_are_notes_not_numbers():
    one = dates_apart([250], [4])
    for name in (*OVER_DATES, "wild_cluster"):
        row = one.test(0, 0, tests=[name]).row(0, named=True)
        assert np.isnan(row["statistic"])
        assert "at least 2 dates" in row["note"] or "at least" in row["note"]
    single = dates_apart([250], [1])
    table = single.test(0, 0, tests="all")
    undefined = table.filter(pl.col("statistic").is_nan())
    assert {"bmp", "cross_sectional_t", "grank_t", "skew_johnson_bootstrap", "cluster_t"} <= set(undefined["test"])
    assert undefined["note"].str.len_chars().min() > 0
    assert not undefined["valid"].any()


def with_own_interval(low: float, high: float) -> SignificanceTest:
    """Give a placebo test, whose statistic has no standard error, an interval."""

    def run(sample) -> Outcome:
        return Outcome(0.01, 0.01, 0.03, p_greater=0.02, p_less=0.98, ci_low=low, ci_high=high)

    return replace(TESTS["placebo_caar"], name="own_interval", unit="return", run=run)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_an_interval_of_the_test_itself_is_two_sided(clustered, alternative):
    table = clustered.test(0, 0, tests=[with_own_interval(0.002, 0.019)], alternative=alternative)
    ends = (0.002, 0.019) if alternative == "two-sided" else (None, None)
    assert table.select("effect", "ci_low", "ci_high", "effect_mde").row(0) == (0.01, *ends, None)


@pytest.mark.parametrize("ends", [(np.nan, 0.02), (0.01, np.inf)])
def test_an_interval_without_an_end_is_none(clustered, ends):
    table = clustered.test(0, 0, tests=[with_own_interval(*ends)])
    assert table.select("effect", "ci_low", "ci_high").row(0) == (0.01, None, None)


@pytest.mark.parametrize(("level", "has_own"), [(0.95, True), (0.9, False)])
def test_a_specification_curve_has_the_interval_of_the_test_itself(golden_market, level, has_own):
    curve = mi.specification_curve(
        golden("events_clustered"), golden_market, estimation_windows=[(-200, -11)], event_windows=[(0, 0)],
        tests=[with_own_interval(0.002, 0.019)], level=level,
    )  # fmt: skip
    row = curve.frame.row(0, named=True)
    assert ((row["ci_low"], row["ci_high"]) == (0.002, 0.019)) is has_own
    assert ("no interval" in row["note"]) is not has_own
    assert (row["se"] is None, row["mde"] is None) == (has_own, has_own)
