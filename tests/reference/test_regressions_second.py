"""Regressions across events against statsmodels, refitted for every sign pattern where signs are drawn."""

import itertools
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

import marketimpact as mi
from tests.conftest import golden

FORMULA = "car ~ size + bank"


@pytest.fixture
def result(golden_market, golden_study):
    """The mixed golden events (firms and dates repeat) with two characteristics of their own."""
    rng = np.random.default_rng(5)
    events = pl.concat([golden("events_mixed"), golden("events_clustered")])
    frame = events.with_columns(
        pl.Series("size", rng.normal(size=events.height)), pl.Series("bank", rng.integers(0, 2, events.height))
    )
    return golden_study.run(frame, golden_market)


def regressed(result, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mi.MarketImpactWarning)
        return result.regress(FORMULA, (0, 1), **options)


def by_hand(result):
    return pd.DataFrame(
        result.car(0, 1)
        .drop_nulls("car")
        .select("car", "se", "size", "bank", "symbol", "date")
        .to_dict(as_series=False)
    )


def test_weights_are_one_over_the_squared_standard_error(result):
    data = by_hand(result)
    expected = smf.wls(FORMULA, data, weights=1 / data["se"] ** 2).fit(
        cov_type="cluster", cov_kwds={"groups": data["date"].rank(method="dense")}, use_t=True
    )
    fitted = regressed(result, cluster="date", weights="precision")
    np.testing.assert_allclose(fitted.params, expected.params, rtol=1e-10)
    np.testing.assert_allclose(fitted.bse, expected.bse, rtol=1e-10)
    np.testing.assert_allclose(fitted.pvalues, expected.pvalues, rtol=1e-9)


def test_two_way_covariance_is_the_sum_less_the_intersection(result):
    data = by_hand(result)
    exog = np.column_stack([np.ones(len(data)), data["size"], data["bank"]])

    def meat(labels):
        groups = pd.factorize(labels)[0]
        scores = np.zeros((groups.max() + 1, 3))
        residual = sm.OLS(data["car"].to_numpy(), exog).fit().resid
        np.add.at(scores, groups, exog * residual[:, None])
        n, g, k = len(data), groups.max() + 1, 3
        return g / (g - 1) * (n - 1) / (n - k) * scores.T @ scores

    bread = np.linalg.inv(exog.T @ exog)
    both = data["date"].astype(str) + data["symbol"]
    covariance = bread @ (meat(data["date"]) + meat(data["symbol"]) - meat(both)) @ bread
    fitted = regressed(result, cluster=("date", "symbol"))
    np.testing.assert_allclose(fitted.cov_params().to_numpy(), covariance, rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("weights", [None, "precision"])
def test_wild_p_equals_refitting_every_sign_pattern(result, weights):
    part = result.where(pl.col("date").rank("dense") <= 5)
    fitted = regressed(part, cluster="date", weights=weights)
    data = by_hand(part)
    groups = pd.factorize(data["date"])[0]
    assert groups.max() == 4
    weight = np.ones(len(data)) if weights is None else 1 / data["se"].to_numpy() ** 2
    exog, endog = np.asarray(fitted.model.exog), data["car"].to_numpy()

    def t_of(y, column):
        again = sm.WLS(y, exog, weights=weight).fit(cov_type="cluster", cov_kwds={"groups": groups})
        return abs(again.tvalues[column])

    expected = []
    for column in range(3):
        null = sm.WLS(endog, np.delete(exog, column, axis=1), weights=weight).fit()
        observed = t_of(endog, column)
        drawn = [
            t_of(null.fittedvalues + null.resid * np.array(signs)[groups], column)
            for signs in itertools.product([1.0, -1.0], repeat=5)
        ]
        expected.append(np.mean(np.array(drawn) >= observed * (1 - 1e-9)))
    table = mi.wild_cluster_bootstrap(fitted)
    assert table["n_draws"].to_list() == [32, 32, 32]
    assert table["p_wild"].to_list() == pytest.approx(expected, abs=1e-12)
    assert table["term"].to_list() == ["Intercept", "size", "bank"]


def test_random_patterns_come_near_all_of_them(result):
    part = result.where(pl.col("symbol").rank("dense") <= 11)
    fitted = regressed(part, cluster="symbol")
    assert len(set(fitted.cov_kwds["groups"])) == 11
    every = mi.wild_cluster_bootstrap(fitted, draws=2**11)["p_wild"].to_numpy()
    some = mi.wild_cluster_bootstrap(fitted, draws=2000, seed=3)["p_wild"].to_numpy()
    assert (np.abs(every - some) < 4 * np.sqrt(every * (1 - every) / 2000) + 1 / 2000).all()


def test_a_few_clusters_keep_the_size_only_with_the_bootstrap():
    """Six announcements of twelve firms with a common shock each: the t test rejects too often, the bootstrap not."""
    rng = np.random.default_rng(11)
    exog = np.column_stack([np.ones(72), np.repeat(rng.normal(size=6), 12)])
    groups = np.repeat(np.arange(6), 12)
    wild, plain = 0, 0
    for _ in range(400):
        y = np.repeat(rng.normal(size=6), 12) + rng.normal(size=72)
        fitted = sm.OLS(y, exog).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
        row = mi.wild_cluster_bootstrap(fitted).row(1, named=True)
        wild, plain = wild + (row["p_wild"] <= 0.05), plain + (row["p_cluster"] <= 0.05)
    assert plain / 400 > 0.08
    assert wild / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def one_kind(treated, clusters, firms=12, seed=1):
    """`firms` events in each of the clusters, the first `treated` of another kind, without an effect."""
    group = np.repeat(np.arange(clusters), firms)
    y = np.random.default_rng(seed).normal(size=clusters)[group] + np.random.default_rng(seed + 1).normal(
        size=len(group)
    )
    return y, np.column_stack([np.ones(len(group)), group < treated]).astype(float), group


@pytest.mark.parametrize(("treated", "clusters"), [(1, 6), (2, 20), (2, 10), (10, 20), (5, 20)])
def test_the_effective_number_of_clusters_is_that_of_their_shares(treated, clusters):
    """A dummy of G1 of G equal clusters leaves (1 - G1/G)^2 in the treated ones and (G1/G)^2 in the others."""
    y, x, group = one_kind(treated, clusters)
    fitted = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": group}, use_t=True)
    left = np.array([(1 - treated / clusters) ** 2] * treated + [(treated / clusters) ** 2] * (clusters - treated))
    share = left / left.sum()
    table = mi.wild_cluster_bootstrap(fitted, draws=99)
    assert table.columns[-1] == "n_varying_clusters"
    assert table["n_varying_clusters"][1] == pytest.approx(1 / (share**2).sum(), rel=1e-9)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_a_regressor_within_clusters_varies_in_all_of_them():
    """Residuals of statsmodels' regression on the others, weights included; a collinear regressor has no number."""
    rng = np.random.default_rng(2)
    y, x, group = one_kind(3, 8)
    x, weight = np.column_stack([x, rng.normal(size=len(y)), 2 * x[:, 1]]), rng.uniform(1, 3, len(y))
    fitted = sm.WLS(y, x, weights=weight).fit(cov_type="cluster", cov_kwds={"groups": group}, use_t=True)
    table = mi.wild_cluster_bootstrap(fitted, draws=99)
    left = sm.WLS(x[:, 2], x[:, :2], weights=weight).fit().resid ** 2 * weight
    share = np.bincount(group, left) / left.sum()
    assert table["n_varying_clusters"][2] == pytest.approx(1 / (share**2).sum(), rel=1e-9)
    assert np.isnan(table["n_varying_clusters"].to_numpy()[[1, 3]]).all()


@pytest.mark.parametrize(
    ("treated", "clusters", "has", "lacks"),
    [
        (2, 20, r"Few of the 20 clusters of 'wave' identify kind \(2\.5\).*report kind without", "Only 20|Take p"),
        (5, 20, r"identify kind \(8\.6\).*Take p-values from marketimpact", "Only 20|report kind"),
        (1, 6, r"Only 6 clusters of 'wave'.*identify kind \(1\.4\).*report kind without", "Take p"),
    ],
)
def test_few_clusters_of_a_kind_are_named(golden_market, golden_study, treated, clusters, has, lacks):
    used = golden_study.run(golden("events_clustered"), golden_market).car(0, 0).drop_nulls("car")
    used = used["event_id"].head(clusters).to_list()
    kind = pl.col("event_id").is_in(used[:treated]).cast(pl.Int64).alias("kind")
    events = golden("events_clustered").filter(pl.col("event_id").is_in(used))
    result = golden_study.run(events.with_columns(pl.col("event_id").alias("wave"), kind), golden_market)
    with pytest.warns(mi.MarketImpactWarning, match=has) as caught:
        result.regress("car ~ kind", (0, 0), cluster="wave")
    assert len(caught) == 1
    assert not re.search(lacks, str(caught[0].message))


def test_enough_clusters_of_a_kind_are_not_warned_of(golden_market, golden_study):
    events = golden("events_clustered").with_columns(pl.col("symbol").alias("wave"))
    kind = (pl.col("symbol").rank("dense") % 2).cast(pl.Int64).alias("kind")
    result = golden_study.run(events.with_columns(kind), golden_market)
    assert result.events["wave"].n_unique() >= 20
    result.regress("car ~ kind", (0, 0), cluster="wave")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("treated", "clusters", "t_rate", "wild_rate"),
    [(1, 6, (0.25, 0.55), (0, 0.02)), (2, 20, (0.12, 0.32), (0, 0.02)), (2, 10, (0.08, 0.25), (0, 0.04)),
     (4, 20, (0.04, 0.16), (0.02, 0.08)), (8, 20, (0.02, 0.087), (0.02, 0.087))],
)  # fmt: skip
def test_rates_by_the_number_of_treated_clusters(treated, clusters, t_rate, wild_rate):
    """400 samples, no effect: the robust t and the bootstrap, by clusters of the scarce kind."""
    rejected = np.zeros(2)
    for seed in range(400):
        y, x, group = one_kind(treated, clusters, seed=10 * seed)
        fitted = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": group}, use_t=True)
        row = mi.wild_cluster_bootstrap(fitted, draws=499).row(1, named=True)
        rejected += np.array([row["p_cluster"] <= 0.05, row["p_wild"] <= 0.05])
    assert t_rate[0] <= rejected[0] / 400 <= t_rate[1]
    assert wild_rate[0] <= rejected[1] / 400 <= wild_rate[1]


def test_invalid_regressions_are_refused(result):
    with pytest.raises(mi.SpecificationError, match="two for two-way"):
        regressed(result, cluster=("date", "symbol", "bank"))
    with pytest.raises(mi.SpecificationError, match="choose None, or 'precision'"):
        regressed(result, cluster="date", weights="size")
    with pytest.raises(mi.SpecificationError, match="clustered in one way"):
        mi.wild_cluster_bootstrap(regressed(result, cluster=("date", "symbol")))
    with pytest.raises(mi.SpecificationError, match="clustered in one way"):
        mi.wild_cluster_bootstrap(sm.OLS([1.0, 2.0, 4.0], [1.0, 1.0, 1.0]).fit())
    with pytest.warns(mi.MarketImpactWarning, match="Only 2 clusters of 'bank'"):
        result.regress("car ~ size", (0, 1), cluster="bank")


def test_an_empty_value_is_reported(result):
    first = result.events["event_id"][0]
    frame = result.events.with_columns(pl.when(pl.col("event_id") != first).then("size").alias("size"))
    again = mi.EventStudy(estimation_window=result.estimation.settings.estimation, event_window=(0, 1)).run(
        frame.select("event_id", "symbol", "date", "size", "bank"), result.market
    )
    with pytest.warns(mi.MarketImpactWarning, match="1 events have an empty value"):
        again.regress("car ~ size", (0, 1), cluster="symbol")


def test_a_condition_that_is_always_true_keeps_every_event(result):
    assert result.where(pl.lit(value=True)).events.equals(result.events)
    assert result.where(pl.lit(value=False)).events.is_empty()
