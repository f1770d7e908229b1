"""Identities between tests, and what holds of every test on any subset of events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import marketimpact as mi
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.inference import Sample
from marketimpact.inference.families.clustered import sign_flip_date, wild_cluster
from marketimpact.inference.families.parametric import (
    bmp,
    cross_sectional_t,
    jackknife_weighted,
    patell,
    patell_perfirm,
    patell_scar,
)
from marketimpact.inference.families.portfolio import crude_dependence
from marketimpact.inference.families.ranks import grank_t, grank_t_r
from tests.conftest import golden

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MODELS = (mi.MarketModel(), mi.MarketAdjusted(), mi.MeanAdjusted(), mi.FamaFrench3())
SETS = ("clustered", "unclustered", "mixed")
window = st.tuples(st.integers(-5, 5), st.integers(-5, 5)).map(sorted).map(tuple)
#: Identities of the same few sums in another order.
RTOL = 1e-10


@pytest.fixture(scope="module")
def results(golden_market, golden_study):
    events = pl.concat([golden(f"events_{name}") for name in SETS])
    return [golden_study.but(model=model).run(events, golden_market) for model in MODELS]


@pytest.fixture(scope="module")
def mixed(golden_market, golden_study) -> mi.StudyResult:
    return golden_study.run(golden("events_mixed"), golden_market)


def with_values(sample: Sample, **changes) -> Sample:
    """A copy; cached properties start afresh."""
    return replace(sample, **changes)


@few
@given(data=st.data(), window=window)
def test_every_test_is_defined_or_says_why(results, data, window):
    result = data.draw(st.sampled_from(results))
    ids = result.events["event_id"].to_list()
    chosen = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=12, unique=True))
    part = result.where(pl.col("event_id").is_in(chosen))
    for row in part.test(*window, tests="all").iter_rows(named=True):
        if np.isnan(row["statistic"]):
            assert np.isnan(row["p_value"]), row
            assert row["note"], row
            assert not row["valid"], row
        else:
            assert 0 <= row["p_value"] <= 1, row
            assert np.isfinite(row["statistic"]), row


@few
@given(data=st.data())
def test_resampling_is_deterministic_and_ignores_the_other_events(results, data):
    result = results[0]
    ids = result.events["event_id"].to_list()
    chosen = data.draw(st.lists(st.sampled_from(ids), min_size=2, max_size=20, unique=True))
    one = result.where(pl.col("event_id").is_in(chosen)).test(0, 1, tests="all")
    other = result.where(pl.col("event_id").is_in(chosen[::-1])).test(0, 1, tests="all")
    assert one.equals(other, null_equal=True)


def test_jackknife_of_the_plain_mean_is_the_cross_sectional_t(mixed):
    sample = mixed.sample(-1, 1)
    ours, plain = jackknife_weighted(with_values(sample, se=np.ones(sample.n))), cross_sectional_t(sample)
    for name in ("estimate", "se", "statistic", "p_value"):
        assert getattr(ours, name) == pytest.approx(getattr(plain, name), rel=RTOL)


@pytest.mark.parametrize("n_clusters", [2, 3, 5, 8, 12])
def test_p_of_all_sign_patterns_is_a_multiple_of_the_smallest(mixed, n_clusters):
    sample = mixed.sample(0, 1)
    clusters = np.arange(sample.n) % n_clusters
    smallest = 2.0 ** (1 - n_clusters)
    for run in (wild_cluster, sign_flip_date):
        p = run(with_values(sample, cluster=clusters)).p_value
        assert p >= smallest
        assert p / smallest == round(p / smallest)


def test_patterns_of_one_sign_reach_the_smallest_p(mixed):
    sample = mixed.sample(0, 0)
    car = np.abs(sample.car) + 0.01
    for run in (wild_cluster, sign_flip_date):
        assert run(with_values(sample, car=car)).p_value == 2.0 ** (1 - sample.n_clusters)


def test_drawn_patterns_agree_with_all_patterns(mixed):
    """Thirteen announcements are drawn, twelve tried out; a thirteenth of zero changes nothing else."""
    sample = mixed.sample(-1, 1)
    clusters = np.arange(sample.n) % 12
    car = np.append(sample.car[:-1], 0.0)
    every = sign_flip_date(with_values(sample, car=car, cluster=clusters))
    drawn = sign_flip_date(with_values(sample, car=car, cluster=np.append(clusters[:-1], 12)))
    assert "drawn sign patterns" in drawn.note
    assert abs(drawn.p_value - every.p_value) < 4 * np.sqrt(every.p_value * (1 - every.p_value) / 9999)


@few
@given(power=st.integers(-6, 6))
def test_bmp_is_unchanged_by_a_proportional_rise_of_the_event_variance(mixed, power):
    sample = mixed.sample(-1, 1)
    louder = with_values(sample, car=sample.car * 2.0**power)
    assert bmp(louder).statistic == bmp(sample).statistic
    assert bmp(louder).p_value == bmp(sample).p_value
    assert patell_scar(louder).statistic == pytest.approx(2.0**power * patell_scar(sample).statistic)


def test_the_three_patells_agree_on_one_day_when_windows_are_equally_long(mixed):
    sample = mixed.sample(0, 0)
    assert patell(sample).statistic == pytest.approx(patell_scar(sample).statistic, rel=RTOL)
    assert patell_perfirm(sample).statistic == pytest.approx(patell_scar(sample).statistic, rel=0.02)


def test_turning_every_sign_turns_symmetric_statistics(mixed):
    sample = mixed.sample(-1, 1)
    turned_rows = {name: LazyMatrix.of(-getattr(sample, name).to_array()) for name in ("residuals", "placebo")}
    pool = replace(
        sample.pool,
        placebo=LazyMatrix.of(-sample.pool.placebo.to_array()),
        event_ar=LazyMatrix.of(-sample.pool.event_ar.to_array()),
    )
    turned_rows["event_ar"] = LazyMatrix.of(-sample.event_ar.to_array())
    turned = with_values(sample, car=-sample.car, **turned_rows, pool=pool)
    symmetric = [
        n for n, test in mi.TESTS.items() if not test.refits and n not in ("cav", "event_variance_ratio")
    ]  # fmt: skip
    for name in symmetric:
        one, other = mi.TESTS[name].run(sample), mi.TESTS[name].run(turned)
        assert other.statistic == pytest.approx(-one.statistic, rel=1e-9), name
        if name != "residual_bootstrap":
            assert other.p_value == pytest.approx(one.p_value, rel=1e-9), name


def test_mvrm_average_f_is_the_square_of_the_portfolio_t_for_a_balanced_panel(golden_market, golden_study):
    result = golden_study.run(golden("events_clustered"), golden_market)
    complete = result.estimates.filter(pl.col("n_obs") == 190)["event_id"].to_list()
    assert len(complete) >= 3
    for first, last in ((0, 0), (-1, 1), (0, 5)):
        part = result.where(pl.col("event_id").is_in(complete))
        rows = {
            r["test"]: r
            for r in part.test(first, last, tests=["mvrm_average_F", "portfolio_regression"]).iter_rows(named=True)
        }
        t, f = rows["portfolio_regression"], rows["mvrm_average_F"]
        assert f["n_events"] == len(complete)
        assert f["df"] == t["df"]
        assert f["statistic"] == pytest.approx(t["statistic"] ** 2, rel=1e-9)
        assert f["p_value"] == pytest.approx(t["p_value"], rel=1e-9)


def test_grank_t_r_is_grank_t_when_no_days_are_shared(golden_market, golden_study):
    sample = golden_study.run(golden("events_unclustered"), golden_market).sample(0, 0)
    assert not sample.shares_days
    assert grank_t_r(sample).statistic == grank_t(sample).statistic


def test_crude_dependence_of_one_event_is_its_abnormal_return_over_its_spread(golden_market, golden_study):
    result = golden_study.run(golden("events_clustered").tail(1), golden_market)
    sample = result.sample(2, 2)
    residuals = sample.residuals.to_array()
    present = residuals[~np.isnan(residuals)]
    assert crude_dependence(sample).statistic == pytest.approx(sample.car[0] / present.std(ddof=1), rel=RTOL)
