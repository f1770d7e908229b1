"""Regressions across events against statsmodels, refitted for every sign pattern where signs are drawn."""

import itertools
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
