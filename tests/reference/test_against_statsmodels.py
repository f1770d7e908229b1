"""A second opinion on models and tests: statsmodels and scipy, one event at a time.

Tolerance 1e-10 relative: both sides solve the same well-conditioned least squares in double
precision, by different factorisations.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

import marketimpact as mi
from tests.conftest import golden

RTOL = 1e-10
REGRESSORS = {
    "market_model": (mi.MarketModel(), ["market"], False),
    "mean_adjusted": (mi.MeanAdjusted(), [], False),
    "ff3": (mi.FamaFrench3(), ["mktrf", "smb", "hml"], True),
    "market_plus_sox": (mi.FactorModel(("market", "sox")), ["market", "sox"], False),
    "capm": (mi.Capm(), ["market_excess"], True),
    "carhart": (mi.Carhart(), ["mktrf", "smb", "hml", "mom"], True),
    "ff5": (mi.FamaFrench5(), ["mktrf", "smb", "hml", "rmw", "cma"], True),
    "dimson_2_lags": (mi.Dimson(lags=2), ["market_lag2", "market_lag1", "market"], False),
    "dimson_1_1": (mi.Dimson(1, 1, leads_into_event=True), ["market_lag1", "market", "market_lead1"], False),
}


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return pl.concat([golden("events_mixed"), golden("events_clustered")])


def windows_of(event: dict, columns: list[str], excess: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimation and event window of one event, cut by hand from the golden files."""
    base = golden("market").rename({"ret": "market"}).join(golden("factors"), on="date")
    own = golden("returns").filter(pl.col("symbol") == event["symbol"]).select("date", "ret")
    frame = base.join(own, on="date", how="left").sort("date")
    frame = frame.with_columns(
        (pl.col("market") - pl.col("rf")).alias("market_excess"),
        pl.col("market").shift(1).alias("market_lag1"),
        pl.col("market").shift(2).alias("market_lag2"),
        pl.col("market").shift(-1).alias("market_lead1"),
    )
    day0 = frame["date"].search_sorted(event["date"])
    table = pd.DataFrame(frame.to_dict(as_series=False))
    table["y"] = table["ret"] - (table["rf"] if excess else 0.0)
    used = ["y", *columns]
    return table.loc[day0 - 200 : day0 - 11, used], table.loc[day0 - 5 : day0 + 5, used]


@pytest.mark.parametrize("name", list(REGRESSORS))
def test_forecast_errors_equal_get_prediction(golden_market, golden_study, events, name):
    model, columns, excess = REGRESSORS[name]
    result = golden_study.but(model=model).run(events, golden_market)
    ours = result.abnormal_returns
    for event in result.events.iter_rows(named=True):
        before, during = windows_of(event, columns, excess)
        before = before.dropna()
        fit = sm.OLS(before["y"], sm.add_constant(before[columns], has_constant="add")).fit()
        x = sm.add_constant(during[columns], has_constant="add")
        forecast = fit.get_prediction(x)
        mine = ours.filter(pl.col("event_id") == event["event_id"]).sort("tau")
        held = during["y"].notna().to_numpy()
        ar = (during["y"] - forecast.predicted_mean).to_numpy()[held]
        np.testing.assert_allclose(mine["ar"].drop_nulls(), ar, rtol=RTOL, atol=1e-14)
        np.testing.assert_allclose(mine["se"].drop_nulls(), forecast.se_obs[held], rtol=RTOL)


@pytest.mark.parametrize("window", [(0, 0), (-1, 1), (-5, 5)])
def test_car_equals_the_regression_with_event_dummies(golden_market, golden_study, events, window):
    """Karafiath (1988): one dummy per event day gives the ARs; their sum's standard error is the CAR's."""
    result = golden_study.run(events, golden_market)
    car = result.car(*window)
    for row in car.filter(pl.col("n_days") == window[1] - window[0] + 1).iter_rows(named=True):
        before, during = windows_of(row, ["market"], excess=False)
        during = during.iloc[window[0] + 5 : window[1] + 6]
        both = pd.concat([before.dropna(), during])
        x = sm.add_constant(both[["market"]])
        for day in during.index:
            x[f"d{day}"] = (x.index == day).astype(float)
        fit = sm.OLS(both["y"], x).fit()
        total = fit.t_test(np.r_[0, 0, np.ones(len(during))])
        assert fit.df_resid == row["df"]
        np.testing.assert_allclose(row["car"], total.effect[0], rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(row["se"], np.ravel(total.sd)[0], rtol=1e-9)
        np.testing.assert_allclose(row["p"], float(np.ravel(total.pvalue)[0]), rtol=1e-8)


def test_inspect_is_the_same_regression(golden_market, golden_study, events):
    result = golden_study.but(model=mi.FamaFrench3()).run(events, golden_market)
    row = result.estimates.row(3, named=True)
    fit = result.inspect(row["event_id"])
    assert fit.nobs == row["n_obs"]
    np.testing.assert_allclose(fit.params["const"], row["alpha"], rtol=1e-9)
    np.testing.assert_allclose(fit.params["smb"], row["beta_smb"], rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(fit.mse_resid), row["sigma"], rtol=RTOL)
    np.testing.assert_allclose(fit.rsquared, row["r2"], rtol=1e-9)


def test_inspect_of_an_imposed_model_shows_the_difference(golden_market, golden_study, events):
    result = golden_study.but(model=mi.MarketAdjusted()).run(events, golden_market)
    row = result.estimates.row(0, named=True)
    fit = result.inspect(row["event_id"])
    np.testing.assert_allclose(np.sqrt(fit.mse_resid), row["sigma"], rtol=RTOL)


@pytest.mark.parametrize("window", [(0, 0), (-1, 1)])
def test_mean_tests_equal_scipy(golden_market, golden_study, events, window):
    result = golden_study.run(events, golden_market)
    sample = result.sample(*window)
    tests = {row["test"]: row for row in result.test(*window).iter_rows(named=True)}
    for name, values in (("cross_sectional_t", sample.car), ("bmp", sample.scar)):
        theirs = stats.ttest_1samp(values, 0.0)
        np.testing.assert_allclose(tests[name]["statistic"], theirs.statistic, rtol=RTOL)
        np.testing.assert_allclose(tests[name]["p_value"], theirs.pvalue, rtol=1e-9)


def test_portfolio_regression_equals_statsmodels_on_the_mean_return(golden_market, golden_study):
    events = golden("events_clustered")
    result = golden_study.run(events, golden_market)
    ours = result.test(-1, 1, tests=["portfolio_regression"]).row(0, named=True)
    members = result.events["symbol"].to_list()
    mean = golden("returns").filter(pl.col("symbol").is_in(members)).group_by("date").agg(pl.col("ret").mean())
    frame = golden("market").rename({"ret": "market"}).join(mean, on="date").sort("date")
    table = pd.DataFrame(frame.to_dict(as_series=False))
    day0 = frame["date"].search_sorted(result.events["date"][0])
    used = pd.concat([table.loc[day0 - 200 : day0 - 11], table.loc[day0 - 1 : day0 + 1]])
    x = sm.add_constant(used[["market"]])
    for day in range(day0 - 1, day0 + 2):
        x[f"d{day}"] = (x.index == day).astype(float)
    total = sm.OLS(used["ret"], x).fit().t_test(np.r_[0, 0, 1, 1, 1])
    np.testing.assert_allclose(ours["estimate"], total.effect[0], rtol=1e-9)
    np.testing.assert_allclose(ours["statistic"], np.ravel(total.tvalue)[0], rtol=1e-9)
    np.testing.assert_allclose(ours["p_value"], float(np.ravel(total.pvalue)[0]), rtol=1e-8)


def test_regress_equals_statsmodels_with_clustered_errors(golden_market, golden_study, events):
    wave = events.with_columns(pl.col("event_id").str.slice(0, 2).alias("wave"))
    result = golden_study.run(wave, golden_market)
    with pytest.warns(mi.MarketImpactWarning, match="clusters"):
        ours = result.regress("car ~ n_days + scar", (-1, 1), cluster="wave")
    car = result.car(-1, 1).drop_nulls("car")
    x = sm.add_constant(np.column_stack([car["n_days"].to_numpy(), car["scar"].to_numpy()]))
    theirs = sm.OLS(car["car"].to_numpy(), x).fit(
        cov_type="cluster", cov_kwds={"groups": car["wave"].rank("dense").to_numpy()}, use_t=True
    )
    np.testing.assert_allclose(ours.params.to_numpy(), theirs.params, rtol=1e-9)
    np.testing.assert_allclose(ours.bse.to_numpy(), theirs.bse, rtol=1e-9)


def estimation(event: dict) -> pd.DataFrame:
    """Complete estimation days of one event with the market's lag and lead."""
    before, _ = windows_of(event, ["market_lag1", "market", "market_lead1"], excess=False)
    return before


def test_scholes_williams_is_two_stage_least_squares(golden_market, golden_study, events):
    """Instrument z = lag + same + lead: (Z'X)^-1 Z'y by matrices, sandwich (Z'X)^-1 Z'Z (X'Z)^-1."""
    result = golden_study.but(model=mi.ScholesWilliams()).run(events, golden_market)
    estimates = {row["event_id"]: row for row in result.estimates.iter_rows(named=True)}
    for event in result.events.iter_rows(named=True):
        days = estimation(event).iloc[1:-1].dropna()
        x = np.column_stack([np.ones(len(days)), days["market"]])
        z = np.column_stack([np.ones(len(days)), days[["market_lag1", "market", "market_lead1"]].sum(axis=1)])
        zx = np.linalg.inv(z.T @ x)
        beta = zx @ z.T @ days["y"].to_numpy()
        ours = estimates[event["event_id"]]
        np.testing.assert_allclose([ours["alpha"], ours["beta"]], beta, rtol=1e-9, atol=1e-14)
        sandwich = zx @ z.T @ z @ zx.T
        _, during = windows_of(event, ["market"], excess=False)
        new = np.column_stack([np.ones(len(during)), during["market"]])
        se = ours["sigma"] * np.sqrt(1 + np.einsum("ti,ij,tj->t", new, sandwich, new))
        mine = result.abnormal_returns.filter(pl.col("event_id") == event["event_id"]).sort("tau")
        held = during["y"].notna().to_numpy()
        np.testing.assert_allclose(mine["se"].drop_nulls(), se[held], rtol=1e-9)


@pytest.mark.parametrize("model", [mi.Huber(), mi.TheilSen()])
def test_robust_lines_solve_their_own_equations(golden_market, golden_study, events, model):
    """Huber: the weighted normal equations vanish. Theil-Sen: half of the pairwise slopes lie on each side."""
    result = golden_study.but(model=model).run(events.head(8), golden_market)
    for event, row in zip(result.events.iter_rows(named=True), result.estimates.iter_rows(named=True), strict=True):
        days = estimation(event)[["y", "market"]].dropna()
        x, y = days["market"].to_numpy(), days["y"].to_numpy()
        residual = y - row["alpha"] - row["beta"] * x
        np.testing.assert_allclose(row["sigma"], np.sqrt((residual**2).sum() / (len(y) - 2)), rtol=1e-9)
        if model.name == "huber":
            scale = np.median(np.abs(residual)) / stats.norm.ppf(0.75)
            psi = np.clip(residual / scale, -1.345, 1.345)
            assert abs(psi.sum()) < 1e-4
            assert abs((psi * x).sum()) < 1e-6
        else:
            i, j = np.triu_indices(len(x), 1)
            slopes = ((y[j] - y[i]) / (x[j] - x[i]))[x[j] != x[i]]
            np.testing.assert_allclose(row["beta"], np.median(slopes), rtol=1e-12)
            np.testing.assert_allclose(row["alpha"], np.median(y) - row["beta"] * np.median(x), rtol=1e-9)


def test_comparison_period_mean_is_the_mean_of_both_stretches(golden_market, golden_study, events):
    result = golden_study.but(model=mi.ComparisonPeriodMean((21, 60))).run(events, golden_market)
    row, event = result.estimates.row(0, named=True), result.events.row(0, named=True)
    own = golden("returns").filter(pl.col("symbol") == event["symbol"]).select("date", "ret")
    frame = golden("market").select("date").join(own, on="date", how="left").sort("date")
    day0 = frame["date"].search_sorted(event["date"])
    used = pl.concat([frame["ret"][day0 - 200 : day0 - 10], frame["ret"][day0 + 21 : day0 + 61]]).drop_nulls()
    assert row["n_obs"] == len(used)
    np.testing.assert_allclose(row["alpha"], used.mean(), rtol=1e-10)
    np.testing.assert_allclose(row["sigma"], used.std(), rtol=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mi.Dimson(leads=1), "may contain the reaction"),
        (lambda: mi.Dimson(lags=0), "at least one"),
        (lambda: mi.Dimson(lags=-1), "none negative"),
        (lambda: mi.ComparisonPeriodMean((60, 21)), "in order"),
        (lambda: mi.EventStudy(model=mi.ComparisonPeriodMean((5, 60))), "reaches into event_window"),
    ],
)
def test_models_that_cannot_be_are_refused(make, message):
    with pytest.raises(mi.SpecificationError, match=message):
        make()


def test_inspect_refuses_what_is_not_least_squares(golden_market, golden_study, events):
    result = golden_study.but(model=mi.Huber()).run(events.head(2), golden_market)
    with pytest.raises(mi.SpecificationError, match="estimated otherwise"):
        result.inspect(result.events["event_id"][0])


def test_the_summed_beta_is_shown(golden_market, golden_study, events):
    frame = golden_study.but(model=mi.Dimson(lags=2)).run(events, golden_market).estimates
    total = frame["beta"] + frame["beta_market_lag1"] + frame["beta_market_lag2"]
    np.testing.assert_allclose(frame["beta_dimson"], total, rtol=1e-12)
