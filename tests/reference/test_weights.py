"""Weighted means of CARs: expected values from plain numpy and statsmodels."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

import marketimpact as mi
from marketimpact.inference.weighted_mean import effective_number, weighted_spread

N_SESSIONS, N_FIRMS, DAY0 = 420, 12, 300
WINDOW = {"estimation_window": (-200, -11), "event_window": (-5, 5)}
#: Tests of the mean CAR that take weights; at equal weights each has the number that it has without.
WEIGHTED = (
    "bmp_kp", "patell_kp", "portfolio_regression", "filtered_placebo_t", "filtered_placebo_rank", "cluster_t",
    "wild_cluster", "wild_cluster_webb", "sign_flip_date", "cross_sectional_t", "portfolio_independent", "patell_scar",
    "bmp",
)  # fmt: skip


@pytest.fixture(scope="module")
def market() -> mi.Market:
    rng = np.random.default_rng(20)
    days = [date(2019, 1, 1) + timedelta(i) for i in range(2 * N_SESSIONS)]
    days = [day for day in days if day.weekday() < 5][:N_SESSIONS]
    index = rng.standard_t(5, N_SESSIONS) * 0.008
    own = 0.01 * rng.standard_t(4, (N_SESSIONS, N_FIRMS)) + 0.006 * rng.standard_normal((N_SESSIONS, 1))
    returns = 0.0002 + index[:, None] * rng.uniform(0.5, 1.5, N_FIRMS) + own
    symbols = [f"S{number:02d}" for number in range(N_FIRMS)]
    long = pl.DataFrame(
        {"date": [day for day in days for _ in symbols], "symbol": symbols * N_SESSIONS, "ret": returns.ravel()}
    )
    return mi.Market.from_returns(long, pl.DataFrame({"date": days, "ret": index}))


def events_on(market: mi.Market, offsets: list[int], firms: int = N_FIRMS) -> pl.DataFrame:
    """Build an event of each of some firms on each of some sessions, with weights that differ a hundredfold."""
    days = market.session_numbers["date"].to_list()
    rows = [(f"e{o}-{f:02d}", f"S{f:02d}", days[o]) for o in offsets for f in range(firms)]
    frame = pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")
    weights = np.random.default_rng(3).lognormal(0.0, 1.5, frame.height)
    return frame.with_columns(pl.Series("cap", weights), alike=pl.lit(7))


def study(market: mi.Market, offsets: list[int], firms: int = N_FIRMS):
    return mi.EventStudy(**WINDOW).run(events_on(market, offsets, firms), market)


def test_the_path_is_the_weighted_mean_of_the_events(market):
    result = study(market, [DAY0, DAY0 + 30])
    path = result.caar(-2, 3, weights="cap")
    daily = result.abnormal_returns.join(result.events.select("event_id", "cap"), on="event_id")
    for tau, aar, caar, n, n_effective in path.select("tau", "aar", "caar", "n_events", "n_effective").iter_rows():
        day, cars = daily.filter(pl.col("tau") == tau), result.car(-2, tau)
        assert aar == pytest.approx(np.average(day["ar"], weights=day["cap"]), rel=1e-12)
        assert caar == pytest.approx(np.average(cars["car"], weights=cars["cap"]), rel=1e-12)
        assert (n, n_effective) == (24, pytest.approx(cars["cap"].sum() ** 2 / (cars["cap"] ** 2).sum(), rel=1e-12))


def test_one_date_has_the_forecast_error_of_the_weighted_portfolio(market):
    result = study(market, [DAY0])
    panel = market.panel.pivot("symbol", index="session", values="ret").sort("session")
    caps = dict(result.events.select("symbol", "cap").iter_rows())
    own = np.average(panel.select(list(caps)).to_numpy(), axis=1, weights=list(caps.values()))
    index = market.panel.filter(pl.col("symbol") == "S00").sort("session")["market"].to_numpy()
    days = slice(DAY0 - 200, DAY0 - 10)
    regression = sm.OLS(own[days], sm.add_constant(index[days])).fit()
    forecast = regression.get_prediction([[1.0, index[DAY0]]])
    ar = own[DAY0] - forecast.predicted_mean[0]
    row = result.test(0, 0, tests=["portfolio_regression"], weights="cap").row(0, named=True)
    assert row["effect"] == pytest.approx(ar, rel=1e-10)
    assert row["se"] == pytest.approx(forecast.se_obs[0], rel=1e-10)
    assert row["df"] == regression.df_resid
    # the band is as wide, times the spread of SCARs over that expected
    band = result.caar(0, 0, weights="cap").row(0, named=True)
    sample = result.sample(0, 0)
    correlation = np.corrcoef(result.estimation.residuals)
    r = correlation[np.triu_indices(N_FIRMS, 1)].mean()
    spread = (sample.car / sample.se).std(ddof=1) / np.sqrt(1.0 - r)
    assert band["se"] == pytest.approx(forecast.se_obs[0] * spread, rel=1e-9)


def test_separate_dates_have_the_spread_of_their_weighted_means(market):
    result = study(market, [215, 260, 305, 350], firms=6)
    cars = result.car(0, 1)
    dates = cars.group_by("date", maintain_order=True).agg(
        mean=(pl.col("car") * pl.col("cap")).sum() / pl.col("cap").sum(), weight=pl.col("cap").sum()
    )
    mean, share = dates["mean"].to_numpy(), (dates["weight"] / dates["weight"].sum()).to_numpy()
    n = len(mean)
    hat = np.ones((n, 1)) @ share[None, :]
    left = np.eye(n) - hat
    errors, variances = left @ mean, np.diag(left @ left.T)
    row = result.test(0, 1, tests=["date_means_t"], weights="cap").row(0, named=True)
    assert row["estimate"] == pytest.approx(np.average(cars["car"], weights=cars["cap"]), rel=1e-12)
    assert row["se"] == pytest.approx(np.sqrt((share**2 * errors**2 / variances).sum()), rel=1e-12)
    form = left.T @ np.diag(share**2 / variances) @ left
    assert row["df"] == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form), rel=1e-9)
    # without weights dates count alike: the mean of date means
    plain = result.test(0, 1, tests=["date_means_t"]).row(0, named=True)
    assert plain["se"] == pytest.approx(cars.group_by("date").agg(pl.col("car").mean())["car"].std() / n**0.5)


def test_independent_events_have_the_sum_of_squared_weights_times_variances(market):
    result = study(market, [DAY0])
    cars = result.car(0, 1)
    share = (cars["cap"] / cars["cap"].sum()).to_numpy()
    row = result.test(0, 1, tests=["portfolio_independent"], weights="cap").row(0, named=True)
    assert row["se"] == pytest.approx(np.sqrt((share**2 * cars["se"].to_numpy() ** 2).sum()), rel=1e-12)


def test_tests_of_scars_count_each_pair_by_its_weights(market):
    result = study(market, [DAY0])
    sample, cap = result.sample(0, 1), result.events["cap"].to_numpy()
    share, scar = cap / cap.sum(), sample.car / sample.se
    correlation = np.corrcoef(result.estimation.residuals)
    ours = result.test(0, 1, tests=["bmp_kp", "patell_kp"], weights="cap").sort("test")
    spread = scar.std(ddof=1) / np.sqrt(1.0 - correlation[np.triu_indices(N_FIRMS, 1)].mean())
    q = sample.df / (sample.df - 2.0)
    assert ours["estimate"].to_list() == pytest.approx([share @ scar] * 2, rel=1e-10)
    root = np.sqrt(share @ correlation @ share)
    assert ours["se"].to_list() == pytest.approx([spread * root, np.sqrt(q[0]) * root], rel=1e-9)


def test_the_cluster_t_is_that_of_a_weighted_regression_on_a_constant(market):
    result = study(market, [215, 260, 305, 350], firms=6)
    cars = result.car(0, 1)
    fit = sm.WLS(cars["car"].to_numpy(), np.ones(cars.height), weights=cars["cap"].to_numpy()).fit(
        cov_type="cluster", cov_kwds={"groups": cars["date"].to_physical().to_numpy()}
    )
    row = result.test(0, 1, tests=["cluster_t"], weights="cap").row(0, named=True)
    assert row["estimate"] == pytest.approx(fit.params[0], rel=1e-10)
    assert row["se"] == pytest.approx(fit.bse[0], rel=1e-10)


@pytest.mark.parametrize("offsets", [[DAY0], [230, 290, 350]])
def test_equal_weights_change_no_number(market, offsets):
    result = study(market, offsets)
    assert result.caar(-1, 2, weights="alike").drop("n_effective").equals(result.caar(-1, 2).select(pl.all()))
    assert result.test(0, 1, weights="alike", tests="all").equals(result.test(0, 1, tests="all"))


@pytest.mark.parametrize("offsets", [[DAY0], [230, 290, 350]])
def test_nearly_equal_weights_give_nearly_the_same_numbers(market, offsets):
    events = events_on(market, offsets).with_columns(near=1.0 + 1e-11 * pl.col("cap"))
    result = mi.EventStudy(**WINDOW).run(events, market)
    plain, near = (result.test(0, 1, tests=WEIGHTED, **options).sort("test") for options in ({}, {"weights": "near"}))
    for name in ("estimate", "se", "statistic", "df", "p_value", "effect", "ci_low", "effect_mde"):
        np.testing.assert_allclose(near[name].to_numpy(), plain[name].to_numpy(), rtol=1e-8, err_msg=name)
    np.testing.assert_allclose(result.caar(0, 1, weights="near")["se"], result.caar(0, 1)["se"], rtol=1e-8)


def test_events_of_weight_zero_are_left_out(market):
    events = events_on(market, [DAY0]).with_columns(cap=pl.when(pl.col("symbol") < "S05").then(0.0).otherwise("cap"))
    result = mi.EventStudy(**WINDOW).run(events, market)
    rest = result.where(pl.col("cap") > 0)
    assert result.caar(0, 2, weights="cap").equals(rest.caar(0, 2, weights="cap"))
    assert result.caar(0, 2, weights="cap")["n_events"].to_list() == [7, 7, 7]


def test_missing_returns_leave_the_weights_of_the_others(market):
    panel = market.panel.select("date", "symbol", "ret")
    days = market.session_numbers["date"].to_list()
    gaps = pl.when((pl.col("symbol") == "S01") & (pl.col("date") == days[DAY0])).then(None).otherwise("ret")
    index = market.panel.filter(pl.col("symbol") == "S00").select("date", ret="market").drop_nulls()
    with_gap = mi.Market.from_returns(panel.with_columns(ret=gaps), index)
    result = study(with_gap, [DAY0])
    row = result.caar(0, 0, weights="cap").row(0, named=True)
    others = result.car(0, 0).drop_nulls("car")
    assert (row["n_events"], others.height) == (11, 11)
    expected = np.average(others["car"], weights=others["cap"])
    assert (row["caar"], row["aar"]) == pytest.approx((expected, expected), rel=1e-10)
    assert np.isfinite(row["se"])


def test_groups_are_weighted_each_by_itself(market):
    events = events_on(market, [DAY0]).with_columns(side=pl.col("symbol") > "S05")
    result = mi.EventStudy(**WINDOW).run(events, market)
    grouped = result.by("side").caar(0, 1, weights="cap")
    for side in (False, True):
        own = result.where(pl.col("side") == side).caar(0, 1, weights="cap")
        assert grouped.filter(pl.col("side") == side).drop("side").equals(own)


@pytest.mark.parametrize(
    ("bad", "described"), [(None, "empty"), (-1.0, "-1.0"), (float("nan"), "nan"), (float("inf"), "inf")]
)
def test_a_weight_that_is_none_is_an_error_with_the_event(market, bad, described):
    cap = pl.when(pl.col("symbol") == "S03").then(pl.lit(bad, pl.Float64)).otherwise("cap")
    result = mi.EventStudy(**WINDOW).run(events_on(market, [DAY0]).with_columns(cap=cap), market)
    with pytest.raises(mi.DataError, match=rf"1 of 12 events .*e300-03 \({described}\)") as error:
        result.caar(0, 1, weights="cap")
    assert error.value.rows["event_id"].to_list() == ["e300-03"]


def test_weights_that_are_all_zero_or_no_numbers_are_errors(market):
    events = events_on(market, [DAY0]).with_columns(cap=pl.lit(0.0), label=pl.lit("a"))
    result = mi.EventStudy(**WINDOW).run(events, market)
    with pytest.raises(mi.DataError, match=r"'cap' is zero for every event \(e300-00"):
        result.test(0, 1, weights="cap")
    with pytest.raises(mi.SpecificationError, match="weights='label' has type String"):
        result.caar(0, 1, weights="label")
    with pytest.raises(mi.SpecificationError, match=r"weights='capp' is no column of the events.*Did you mean 'cap'"):
        result.by("symbol").caar(0, 1, weights="capp")


def test_a_test_without_weights_says_so(market):
    tests = study(market, [DAY0]).test(0, 1, tests="all", weights="cap")
    without = tests.filter(~pl.col("test").is_in([*WEIGHTED, "date_means_t"]))
    assert without["statistic"].is_nan().all()
    assert not without["valid"].any()
    assert without["note"].str.starts_with("takes no weights").all()
    assert set(WEIGHTED) <= set(tests.filter(~pl.col("note").str.starts_with("takes no weights"))["test"])
    assert tests["note"].str.contains(r"weighted by cap: effective number of events \d").all()


def test_one_dominating_firm_is_shown_and_is_its_own_return(market):
    cap = pl.when(pl.col("symbol") == "S04").then(1e9).otherwise(1.0)
    result = mi.EventStudy(**WINDOW).run(events_on(market, [DAY0]).with_columns(cap=cap), market)
    row = result.caar(0, 0, weights="cap").row(0, named=True)
    assert row["n_effective"] == pytest.approx(1.0, abs=1e-6)
    assert row["caar"] == pytest.approx(result.car(0, 0).filter(pl.col("symbol") == "S04")["car"].item(), rel=1e-6)


@pytest.mark.parametrize("n", [2, 5, 30])
def test_the_squared_standard_error_has_no_bias_where_values_vary_alike(n):
    weights = np.random.default_rng(n).lognormal(0.0, 1.5, n)
    share = weights / weights.sum()
    # se^2 is a quadratic form: its mean under unit variance is the sum over unit vectors, since it has no linear part
    squares = sum(weighted_spread(unit, weights)[1] ** 2 for unit in np.eye(n))
    assert squares == pytest.approx((share**2).sum(), rel=1e-10)
    assert effective_number(weights) == pytest.approx(1.0 / (share**2).sum(), rel=1e-12)


@pytest.mark.parametrize(("spread", "least"), [(0.5, 0.02), (1.5, 0.0)])
def test_a_true_null_is_rejected_in_at_most_about_five_of_a_hundred_samples(spread, least):
    """Fat tails; with weights of which one dominates the few degrees of freedom make it conservative."""
    rng, draws, n = np.random.default_rng(8), 4000, 10
    weights, rejected = rng.lognormal(0.0, spread, n), 0
    for values in rng.standard_t(4, (draws, n)):
        mean, se, df = weighted_spread(values, weights)
        rejected += abs(mean / se) > stats.t.ppf(0.975, df)
    assert least <= rejected / draws < 0.06  # its standard error is 0.0034


def test_tables_and_charts_name_the_weights(market):
    result = study(market, [DAY0])
    assert result.show.caar(0, 1, weights="cap").title == "Mean path, weighted by cap, over [0, 1] with its 95% band"
    assert result.show.caar(0, 1).title == "Mean path over [0, 1] with its 95% band"
    shown = result.show.test(0, 1, weights="cap")
    assert shown.title == "Is the mean abnormal return, weighted by cap, over [0, 1] zero?"
    assert shown.frame.equals(result.test(0, 1, weights="cap"))
    assert "weighted by cap" in str(result.plot.path(0, 1, weights="cap").to_dict()["title"])
