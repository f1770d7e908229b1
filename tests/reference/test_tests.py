"""A second opinion on the tests over events: scipy, statsmodels and plain loops.

Tolerance 1e-9 relative unless said: both sides do the same sums in double precision, in another order.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy import stats
from statsmodels.multivariate.multivariate_ols import _MultivariateOLS
from statsmodels.stats.multitest import multipletests

import marketimpact as mi
from marketimpact.inference import TESTS, adjust, romano_wolf, sq_test
from tests.conftest import golden

RTOL = 1e-9


@pytest.fixture(scope="module")
def mixed(golden_market, golden_study) -> mi.StudyResult:
    return golden_study.run(golden("events_mixed"), golden_market)


@pytest.fixture(scope="module")
def clustered(golden_market, golden_study) -> mi.StudyResult:
    return golden_study.run(golden("events_clustered"), golden_market)


def outcome(result: mi.StudyResult, name: str, window: tuple[int, int] = (-1, 1)):
    return TESTS[name].run(result.sample(*window))


def test_wilcoxon_equals_scipy(mixed):
    car = mixed.sample(-1, 1).car
    ours = outcome(mixed, "wilcoxon")
    theirs = stats.wilcoxon(car, method="asymptotic", correction=False)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=RTOL)
    assert f"exact p {stats.wilcoxon(car, method='exact').pvalue:.4g}" == ours.note


def test_sign_equals_the_binomial(mixed):
    car = mixed.sample(-1, 1).car
    exact = stats.binomtest(int((car > 0).sum()), len(car)).pvalue
    assert outcome(mixed, "sign").note == f"exact binomial p {exact:.4g}"


def test_cluster_t_equals_statsmodels(mixed):
    sample = mixed.sample(-1, 1)
    fit = sm.OLS(sample.car, np.ones(sample.n)).fit(cov_type="cluster", cov_kwds={"groups": sample.cluster}, use_t=True)
    ours = outcome(mixed, "cluster_t")
    assert ours.statistic == pytest.approx(fit.tvalues[0], rel=RTOL)
    assert ours.p_value == pytest.approx(fit.pvalues[0], rel=RTOL)


def test_date_means_t_equals_scipy(mixed):
    sample = mixed.sample(-1, 1)
    means = pd.Series(sample.car).groupby(sample.cluster).mean()
    assert outcome(mixed, "date_means_t").p_value == pytest.approx(stats.ttest_1samp(means, 0).pvalue, rel=RTOL)


@pytest.mark.parametrize("name", ["wild_cluster", "sign_flip_date"])
def test_sign_patterns_are_enumerated(mixed, name):
    """The share of all 2^G patterns, counted one by one; always a multiple of 2^(1-G)."""
    sample = mixed.sample(-1, 1)
    groups = np.unique(sample.cluster)

    def statistic(values):
        if name == "sign_flip_date":
            return abs(values.mean())
        fit = sm.OLS(values, np.ones(sample.n)).fit(cov_type="cluster", cov_kwds={"groups": sample.cluster})
        return abs(fit.tvalues[0])

    observed = statistic(sample.car)
    patterns = list(itertools.product([1.0, -1.0], repeat=len(groups)))
    extreme = sum(
        statistic(sample.car * np.array(p)[np.searchsorted(groups, sample.cluster)]) >= observed * (1 - 1e-9)
        for p in patterns
    )
    ours = outcome(mixed, name)
    assert ours.p_value == pytest.approx(extreme / len(patterns), rel=RTOL)
    assert (ours.p_value * 2 ** (len(groups) - 1)) % 1 == 0


def test_many_dates_draw_patterns_close_to_the_t(golden_market, golden_study):
    """Twenty-three dates: the drawn p lies within four Monte Carlo errors and the t's own error of it."""
    result = golden_study.run(golden("events_unclustered"), golden_market)
    ours = outcome(result, "wild_cluster")
    assert ours.p_value == pytest.approx(outcome(result, "cluster_t").p_value, abs=0.05)
    assert "drawn sign patterns" in ours.note


def test_skewness_follows_scipy(mixed):
    car = mixed.sample(-1, 1).car
    n, s = len(car), car.mean() / car.std(ddof=1)
    g = stats.skew(car) * ((n - 1) / n) ** 1.5  # scipy divides by the N-denominator sd cubed
    assert outcome(mixed, "skew_johnson").statistic == pytest.approx(
        math.sqrt(n) * (s + g * s**2 / 3 + g / (6 * n)), rel=RTOL
    )
    assert outcome(mixed, "skew_hall").statistic == pytest.approx(
        math.sqrt(n) * (s + g * s**2 / 3 + g**2 * s**3 / 27 + g / (6 * n)), rel=RTOL
    )


def test_jackknife_of_the_plain_mean_is_the_t(mixed):
    """With equal standard errors the weighted mean is the plain one."""
    sample = replace(mixed.sample(-1, 1), se=np.full(mixed.sample(-1, 1).n, 0.02))
    jackknife = TESTS["jackknife_weighted"].run(sample)
    assert jackknife.statistic == pytest.approx(TESTS["cross_sectional_t"].run(sample).statistic, rel=RTOL)


def test_event_variance_ratio_equals_scipy(mixed):
    sample = mixed.sample(-1, 1)
    ratio = np.var(sample.scar, ddof=1) / np.mean(sample.df / (sample.df - 2))
    ours = outcome(mixed, "event_variance_ratio")
    assert ours.p_value == pytest.approx(stats.chi2.sf((sample.n - 1) * ratio, sample.n - 1), rel=RTOL)


def test_bmp_is_invariant_to_proportional_event_variance(mixed):
    sample = mixed.sample(-1, 1)
    louder = replace(sample, car=sample.car * 3.0)
    assert TESTS["bmp"].run(louder).statistic == pytest.approx(TESTS["bmp"].run(sample).statistic, rel=RTOL)


def test_corrado_rank_by_hand(mixed):
    """One event at a time with pandas' ranks."""
    sample = mixed.sample(-1, 1)
    pool = sample.pool
    table = pd.DataFrame(np.column_stack([pool.placebo.to_array(), pool.event_ar.to_array()])).T
    excess = table.rank() - (table.notna().sum() + 1) / 2
    daily = excess.mean(axis=1)
    spread = math.sqrt((daily**2).mean())
    start = pool.placebo.width + sample.columns.start
    z = daily.iloc[start : start + 3].sum() / (math.sqrt(3) * spread)
    assert outcome(mixed, "corrado_rank").statistic == pytest.approx(z, rel=RTOL)


def test_grank_z_has_the_variance_of_independent_uniform_ranks(mixed):
    sample = mixed.sample(0, 0)
    days = sample.residuals.width + 1
    ours = outcome(mixed, "grank_z", (0, 0))
    assert ours.statistic == pytest.approx(ours.estimate * math.sqrt(12 * sample.n * (days + 1) / (days - 1)), rel=RTOL)


@pytest.mark.parametrize(("name", "pick"), [("placebo_caar", "car"), ("placebo_bmp", "bmp")])
def test_placebo_blocks_one_by_one(clustered, name, pick):
    sample = clustered.sample(-1, 1)
    drawn = []
    for start in range(sample.residuals.width - 2):
        block = sample.residuals.to_array()[:, start : start + 3]
        whole = ~np.isnan(block).any(axis=1)
        car = block[whole].sum(axis=1)
        scar = car / (sample.sigma[whole] * math.sqrt(3))
        drawn.append(car.mean() if pick == "car" else stats.ttest_1samp(scar, 0).statistic)
    ours = TESTS[name].run(sample)
    p = (1 + sum(abs(d) >= abs(ours.statistic) for d in drawn)) / (1 + len(drawn))
    assert ours.p_value == pytest.approx(p, rel=RTOL)


def balanced(result: mi.StudyResult) -> mi.StudyResult:
    """Events without a missing day, so that every program sees the same panel."""
    whole = ~np.isnan(result.estimation.residuals).any(axis=1) & ~np.isnan(result.estimation.ar).any(axis=1)
    return result.where(pl.col("event_id").is_in(result.events["event_id"].filter(whole).to_list()))


def test_mvrm_equals_statsmodels_wilks(clustered):
    """Wilks' lambda of the sum of the event dummies over all equations: exact F for one restriction."""
    result = balanced(clustered)
    sample = result.sample(-1, 1)
    y, x, y_event, x_event = sample.panel()
    both = np.vstack([y.T, y_event.T])
    days = len(y.T)
    dummies = np.vstack([np.zeros((days, 3)), np.eye(3)])
    design = np.column_stack([np.ones(days + 3), np.concatenate([x[0, :, 0], x_event[0, :, 0]]), dummies])
    fit = _MultivariateOLS(both, design).fit()
    contrast = np.array([[0.0, 0.0, 1.0, 1.0, 1.0]])
    wilks = fit.mv_test([("sum", contrast)]).results["sum"]["stat"].loc["Wilks' lambda"]
    ours = TESTS["mvrm_joint_F"].run(sample)
    assert ours.n_events == sample.n > 5
    assert ours.statistic == pytest.approx(float(wilks["F Value"]), rel=1e-8)
    assert ours.p_value == pytest.approx(float(wilks["Pr > F"]), rel=1e-7)
    m = np.full((sample.n, 1), 1.0 / sample.n)
    average = fit.mv_test([("average", contrast, m)]).results["average"]["stat"].loc["Wilks' lambda"]
    assert TESTS["mvrm_average_F"].run(sample).statistic == pytest.approx(float(average["F Value"]), rel=1e-8)


def test_mvrm_average_is_the_square_of_the_portfolio_t(clustered):
    result = balanced(clustered)
    for window in ((0, 0), (-1, 1), (-5, 5)):
        f = outcome(result, "mvrm_average_F", window)
        t = outcome(result, "portfolio_regression", window)
        assert f.statistic == pytest.approx(t.statistic**2, rel=1e-8)
        assert f.p_value == pytest.approx(t.p_value, rel=1e-8)


@pytest.mark.parametrize(("ours", "theirs"), [("holm", "holm"), ("bh", "fdr_bh"), ("by", "fdr_by")])
@settings(max_examples=50, deadline=None)
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjustments_equal_statsmodels(ours, theirs, p):
    np.testing.assert_allclose(adjust(np.array(p), ours), multipletests(p, method=theirs)[1], rtol=1e-12, atol=1e-300)


def test_romano_wolf_by_definition():
    """Step down by hand: the largest statistic among those left, over joint draws."""
    rng = np.random.default_rng(3)
    observed, draws = np.array([2.5, -0.3, 1.1, -3.0]), rng.normal(size=(500, 4))
    order = np.argsort(-np.abs(observed))
    expected, previous = np.empty(4), 0.0
    for position, k in enumerate(order):
        left = order[position:]
        previous = max(previous, (1 + (np.abs(draws[:, left]).max(axis=1) >= abs(observed[k])).sum()) / 501)
        expected[k] = previous
    np.testing.assert_allclose(romano_wolf(observed, draws), expected, rtol=0)
    with pytest.raises(mi.SpecificationError, match="draws has shape"):
        romano_wolf(observed, draws[:, :3])
    with pytest.raises(mi.SpecificationError, match="No adjustment called"):
        adjust(observed, "sidak")


def test_sq_equals_the_empirical_distribution(clustered):
    sample = clustered.sample(0, 0)
    share, p, n_blocks = sq_test(sample)
    for row in range(sample.n):
        residuals = sample.residuals.to_array()[row]
        residuals = residuals[~np.isnan(residuals)]
        below = stats.percentileofscore(residuals, sample.car[row], kind="weak") / 100 * len(residuals)
        assert n_blocks[row] == len(residuals)
        assert share[row] == pytest.approx((1 + below) / (len(residuals) + 1))
        assert 0 < p[row] <= 1


def test_single_tests_are_one_family(clustered):
    frame = clustered.single_tests(-1, 1)
    assert frame.height == clustered.sample(-1, 1).n
    np.testing.assert_allclose(frame["p_holm"], multipletests(frame["p"], method="holm")[1], rtol=1e-12)
    assert (frame["p_romano_wolf"] > 0).all()
    assert clustered.where(pl.col("symbol") == "none").single_tests(0, 0).height == 0


def test_single_tests_of_groups_are_families_of_their_own(mixed):
    several = mixed.events.filter(pl.len().over("symbol") > 1)["symbol"].unique(maintain_order=True).head(6)
    few = mixed.where(pl.col("symbol").is_in(several.to_list()))
    grouped = few.by("symbol").single_tests(-1, 1)
    assert grouped.height == few.events.height > len(several) > 3
    for symbol in several:
        family = grouped.filter(pl.col("symbol") == symbol)
        assert_frame_equal(family, few.where(pl.col("symbol") == symbol).single_tests(-1, 1), check_column_order=False)
        np.testing.assert_allclose(family["p_holm"], multipletests(family["p"], method="holm")[1], rtol=1e-12)


def test_a_test_that_cannot_speak_says_why(golden_market, golden_study):
    """One event, then a handful on one date: nan and a note that names the need, never an exception."""
    one = golden_study.run(golden("events_mixed").head(1), golden_market).test(0, 0, tests=list(TESTS))
    silent = one.filter(pl.col("statistic").is_nan())
    assert silent.height > 15
    assert not silent["valid"].any()
    assert silent["note"].str.contains("needs|same").all()
    few = golden_study.run(golden("events_clustered").head(4), golden_market).test(-1, 1, tests=list(TESTS))
    dates = few.filter(pl.col("test").is_in(["cluster_t", "date_means_t", "wild_cluster"]))
    assert dates["statistic"].is_nan().all()
    assert dates["note"].str.contains("at least 2 dates").all()


def test_several_dates_silence_the_multivariate_tests(mixed):
    ours = outcome(mixed, "mvrm_joint_F")
    assert math.isnan(ours.statistic)
    assert "one date" in ours.note


def test_the_same_firm_twice_on_one_date_has_no_joint_test(golden_market, golden_study):
    """Its residuals have a singular covariance: nan with the reason, where only the average can be tested."""
    events = golden("events_clustered").head(3)
    again = events.head(1).with_columns(pl.lit("again").alias("event_id"))
    table = golden_study.run(pl.concat([events, again]), golden_market).test(-1, 1, tests=list(TESTS))
    names = ["mvrm_joint_F", "mvrm_equal_F", "mvrm_joint_wald", "mvrm_joint_bootstrap"]
    singular = table.filter(pl.col("test").is_in(names))
    assert singular.height == len(names)
    assert singular["statistic"].is_nan().all()
    assert not singular["valid"].any()
    assert singular["note"].str.contains("residual covariance is singular", literal=True).all()
    average = table.filter(pl.col("test") == "mvrm_average_F")
    assert math.isfinite(average["statistic"].item())
