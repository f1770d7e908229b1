"""Bad moments of the tests over events: nan and a note that names the need, never an exception or a warning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.inference import DEFAULT_TESTS, ON_REQUEST, TESTS, mean_correlation
from tests.conftest import golden


@pytest.fixture(scope="module")
def mixed(golden_market, golden_study) -> mi.StudyResult:
    return golden_study.run(golden("events_mixed"), golden_market)


@pytest.fixture(scope="module")
def clustered(golden_market, golden_study) -> mi.StudyResult:
    return golden_study.run(golden("events_clustered"), golden_market)


def test_what_is_asked_by_default_and_with_all(mixed):
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
    found = TESTS[name].run(alike)
    assert np.isnan(found.statistic) == np.isnan(found.p_value)
    if np.isnan(found.statistic):
        assert found.note


def test_negative_correlation_that_leaves_no_variance_is_refused(clustered):
    sample = clustered.sample(0, 0)
    wave = np.sin(np.arange(sample.residuals.shape[1]))
    # two firms that move against each other: r = -1, so 1 + (N-1) r = 0
    pair = replace(
        sample,
        **{
            name: getattr(sample, name)[:2]
            for name in (
                "car", "se", "sigma", "df", "n_days", "residual_dates", "dates", "event_ar", "event_se",
                "cluster", "hours",
            )
        },
        residuals=np.vstack([wave, -wave]),
    )  # fmt: skip
    pair = replace(pair, residual_dates=np.vstack([pair.residual_dates[0]] * 2))
    assert mean_correlation(pair).value == pytest.approx(-1.0)
    for name in ("bmp_kp", "patell_kp"):
        found = TESTS[name].run(pair)
        assert np.isnan(found.statistic)
        assert "1+(N-1)r <= 0" in found.note


def test_a_window_longer_than_the_estimation_window_silences_placebo_tests(golden_market):
    study = mi.EventStudy(estimation_window=(-20, -11), event_window=(-10, 10), min_observations=8)
    result = study.run(golden("events_clustered"), golden_market)
    rows = {r["test"]: r for r in result.test(-10, 10, tests="all").iter_rows(named=True)}
    for name in ("placebo_caar", "placebo_bmp", "cav", "rank_blocks", "residual_bootstrap"):
        assert np.isnan(rows[name]["statistic"]), name
        assert "needs" in rows[name]["note"]
    assert result.single_tests(-10, 10).select("sq_p", "p_romano_wolf").null_count().row(0) == (24, 24)


def test_more_firms_than_days_silence_the_multivariate_tests(golden_market):
    study = mi.EventStudy(estimation_window=(-25, -11), event_window=(0, 1), min_observations=10)
    row = study.run(golden("events_clustered"), golden_market).test(0, 1, tests=["mvrm_joint_F"]).row(0, named=True)
    assert np.isnan(row["statistic"])
    assert "fewer firms or a longer estimation window" in row["note"]
