"""Estimation days before and after the event, and windows of each event's own: against statsmodels, one at a time."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm

import marketimpact as mi
from marketimpact.core import limits
from tests.conftest import golden

AFTER = (21, 80)


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return golden("events_clustered")


def table_of(event: dict, columns: list[str]) -> tuple[pd.DataFrame, int]:
    """Return and regressors of an event's security on all sessions, and the row of its day 0."""
    base = golden("market").rename({"ret": "market"}).join(golden("factors"), on="date")
    own = golden("returns").filter(pl.col("symbol") == event["symbol"]).select("date", y="ret")
    frame = base.join(own, on="date", how="left").sort("date")
    table = pd.DataFrame(frame.select("y", *columns).to_dict(as_series=False))
    return table, int(frame["date"].search_sorted(event["date"]))


def session(market: mi.Market, event: pl.DataFrame, tau: int) -> date:
    """Date of a session relative to day 0 of a frame's one event."""
    days = market.panel.filter(pl.col("symbol") == event["symbol"].item())["date"]
    return days[int(days.search_sorted(event["date"].item())) + tau]


def assert_regression(result: mi.StudyResult, event: dict, columns: list[str], days: list[int]) -> int:
    """Compare an event's estimates, abnormal returns and forecast errors with statsmodels; count the days compared."""
    table, day0 = table_of(event, columns)
    used = table.iloc[[day0 + day for day in days if 0 <= day0 + day < len(table)]].dropna()
    fit = sm.OLS(used["y"], sm.add_constant(used[columns], has_constant="add")).fit()
    row = result.estimates.row(by_predicate=pl.col("event_id") == event["event_id"], named=True)
    assert (row["n_obs"], row["df"]) == (len(used), fit.df_resid)
    assert row["alpha"] == pytest.approx(fit.params.iloc[0], rel=1e-9, abs=1e-13)
    assert row["sigma"] == pytest.approx(np.sqrt(fit.scale), rel=1e-9)
    window = table.iloc[day0 - 5 : day0 + 6].dropna()
    forecast = fit.get_prediction(sm.add_constant(window[columns], has_constant="add"))
    own = result.abnormal_returns.filter(pl.col("event_id") == event["event_id"]).drop_nulls("ar")
    assert own["tau"].to_list() == (window.index - day0).tolist()
    np.testing.assert_allclose(own["ar"], window["y"] - forecast.predicted_mean, rtol=1e-8, atol=1e-13)
    np.testing.assert_allclose(own["se"], forecast.se_obs, rtol=1e-9)
    return len(own)


@pytest.mark.parametrize(
    ("model", "columns"),
    [(mi.MarketModel(), ["market"]), (mi.MeanAdjusted(), []), (mi.FactorModel(("market", "sox")), ["market", "sox"])],
)
def test_days_before_and_after_are_one_regression(golden_market, golden_study, events, model, columns):
    result = golden_study.but(model=model, estimation_after=AFTER).run(events, golden_market)
    days = [*range(-200, -10), *range(AFTER[0], AFTER[1] + 1)]
    compared = [assert_regression(result, event, columns, days) for event in result.events.iter_rows(named=True)]
    assert len(compared) > 10
    assert sum(compared) > 100


def test_the_mean_model_with_days_after_is_the_comparison_period_mean(golden_market, golden_study, events):
    one = golden_study.but(model=mi.MeanAdjusted(), estimation_after=AFTER).run(events, golden_market)
    other = golden_study.but(model=mi.ComparisonPeriodMean(AFTER)).run(events, golden_market)
    assert one.estimates.equals(other.estimates)
    assert one.caar(-1, 1).equals(other.caar(-1, 1))
    assert one.test(-1, 1, tests="all").equals(other.test(-1, 1, tests="all"))


def test_days_after_do_not_make_up_for_missing_days_before(golden_market, golden_study, events):
    study = golden_study.but(estimation_window=(-40, -11), min_observations=30, estimation_after=AFTER)
    one = events.head(1)
    days = pl.DataFrame({"symbol": one["symbol"], "date": [session(golden_market, one, -20)]})
    attrition = study.but(exclude=days).run(one, golden_market).attrition
    assert attrition["reason"].to_list() == ["too_few_observations"]


def test_contaminated_days_after_the_event_are_left_out(golden_market, golden_study, events):
    one = events.head(1)
    day = session(golden_market, one, 40)
    result = golden_study.but(estimation_after=AFTER).run(one, golden_market)
    left = golden_study.but(estimation_after=AFTER, exclude=pl.DataFrame({"symbol": one["symbol"], "date": [day]})).run(
        one, golden_market
    )
    assert left.estimates["n_obs"].item() == result.estimates["n_obs"].item() - 1


def test_the_compiled_fit_agrees_bit_for_bit_with_days_after(golden_market, golden_study, events, monkeypatch):
    study = golden_study.but(estimation_after=AFTER)
    plain = study.run(events, golden_market)
    monkeypatch.setattr(limits, "COMPILED_FIT_EVENTS", 1)
    monkeypatch.setattr(limits, "COMPILED_FIT_EVENTS_ONCE_LOADED", 1)
    compiled = study.run(events, golden_market)
    assert compiled.estimates.equals(plain.estimates)
    assert compiled.abnormal_returns.equals(plain.abnormal_returns)
    assert compiled.test(0, 1).equals(plain.test(0, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimation_after": (5, 60)}, "reaches into event_window"),
        ({"estimation_after": (60, 21)}, "reversed"),
        ({"estimation_after": (21, 60), "model": mi.ComparisonPeriodMean()}, "second stretch of its own"),
        ({"estimation_after": (21, 60), "model": mi.Garch()}, "one stretch of sessions"),
        ({"estimation_after": (21, 60), "model": mi.ScholesWilliams()}, "one stretch of sessions"),
    ],
)
def test_a_second_stretch_that_cannot_be_is_an_error(options, message):
    with pytest.raises(mi.SpecificationError, match=message):
        mi.EventStudy(**options)


#: Windows of their own for some events; the others have the study's.
OWN = ((-180, -41), (-250, -101), (None, None), (-120, -11))


@pytest.fixture(scope="module")
def own_events(events) -> pl.DataFrame:
    windows = [OWN[row % len(OWN)] for row in range(events.height)]
    own = pl.DataFrame(windows, schema={"estimation_first": pl.Int64, "estimation_last": pl.Int64}, orient="row")
    return pl.concat([events, own], how="horizontal")


@pytest.mark.parametrize(
    ("model", "columns"),
    [(mi.MarketModel(), ["market"]), (mi.MeanAdjusted(), []), (mi.FactorModel(("market", "sox")), ["market", "sox"])],
)
@pytest.mark.parametrize("after", [None, AFTER])
def test_each_event_is_estimated_over_its_own_window(golden_market, golden_study, own_events, model, columns, after):
    result = golden_study.but(model=model, estimation_after=after).run(own_events, golden_market)
    later = [] if after is None else range(after[0], after[1] + 1)
    compared = 0
    for event in result.events.iter_rows(named=True):
        first, last = event["estimation_first"], event["estimation_last"]
        days = [*range(-200 if first is None else first, -10 if last is None else last + 1), *later]
        compared += assert_regression(result, event, columns, days)
    assert result.events.height > 15
    assert compared > 100


def test_one_window_for_all_in_the_columns_is_that_of_a_study(golden_market, golden_study, events):
    given = events.with_columns(estimation_first=-150, estimation_last=-21.0)  # pandas makes decimals of empty cells
    own = golden_study.run(given, golden_market)
    study = golden_study.but(estimation_window=(-150, -21)).run(events, golden_market)
    assert own.estimates.equals(study.estimates)
    assert own.test(0, 1, tests="all").equals(study.test(0, 1, tests="all"))
    assert own.caar(-1, 1).equals(study.caar(-1, 1))


def test_empty_columns_are_none(golden_market, golden_study, events):
    empty = events.with_columns(estimation_first=pl.lit(None), estimation_last=pl.lit(None))
    assert golden_study.run(empty, golden_market).test(0, 1).equals(golden_study.run(events, golden_market).test(0, 1))


@pytest.mark.parametrize("after", [None, AFTER])
def test_the_compiled_fit_agrees_bit_for_bit_with_own_windows(
    golden_market, golden_study, own_events, monkeypatch, after
):
    study = golden_study.but(estimation_after=after)
    plain = study.run(own_events, golden_market)
    expected = plain.estimates, plain.abnormal_returns, plain.car(0, 2), plain.test(0, 1), plain.caar(0, 1)
    monkeypatch.setattr(limits, "COMPILED_FIT_EVENTS", 1)
    monkeypatch.setattr(limits, "COMPILED_FIT_EVENTS_ONCE_LOADED", 1)
    compiled = study.run(own_events, golden_market)
    ours = compiled.estimates, compiled.abnormal_returns, compiled.car(0, 2), compiled.test(0, 1), compiled.caar(0, 1)
    assert all(one.equals(other) for one, other in zip(ours, expected, strict=True))
    chunked = study.run(own_events, golden_market, chunk=5)
    assert chunked.estimates.equals(expected[0])


def test_windows_travel_with_a_market_on_disk(golden_market, golden_study, own_events, tmp_path):
    on_disk = golden_market.to_dataset(tmp_path / "market")
    study = golden_study.but(estimation_after=AFTER)
    one, other = study.run(own_events, golden_market), study.run(own_events, on_disk)
    assert other.estimates.equals(one.estimates)
    assert other.test(0, 1).equals(one.test(0, 1))


def test_a_portfolio_counts_the_days_that_half_of_its_members_are_estimated_on(golden_market, golden_study, own_events):
    result = golden_study.run(own_events, golden_market)
    day0 = result.events["date"][0]
    assert result.events["date"].n_unique() == 1
    tables, days = [], []
    for event in result.events.iter_rows(named=True):
        table, row = table_of({**event, "date": day0}, ["market"])
        first, last = event["estimation_first"] or -200, event["estimation_last"] or -11
        tables.append(table)
        days.append(table.index.isin(range(row + first, row + last + 1)))
    y, market = np.array([table["y"] for table in tables]), tables[0]["market"].to_numpy()
    estimated = np.where(np.array(days), y, np.nan)
    counts = 2 * (~np.isnan(estimated)).sum(axis=0) >= len(y)
    fit = sm.OLS(np.nanmean(estimated[:, counts], axis=0), sm.add_constant(market[counts])).fit()
    forecast = fit.get_prediction([[1.0, market[row]]])
    ours = result.test(0, 0, tests=["portfolio_regression"]).row(0, named=True)
    assert ours["se"] == pytest.approx(forecast.se_obs[0], rel=1e-9)
    assert ours["df"] == fit.df_resid


def test_correlations_are_of_the_days_that_two_events_share(golden_market, golden_study, own_events):
    result = golden_study.run(own_events, golden_market)
    sample = result.sample(0, 0)
    residuals, values = sample.residuals.to_array(), []
    for i in range(len(residuals)):
        for j in range(i):
            both = ~np.isnan(residuals[i]) & ~np.isnan(residuals[j])
            if both.sum() >= 30:
                values.append(np.corrcoef(residuals[i][both], residuals[j][both])[0, 1])
    average = sample.mean_correlation
    assert average.n_used == len(values)
    assert average.n_used < average.n_pairs  # two of the windows share too few days
    assert average.value == pytest.approx(np.mean(values), rel=1e-9)


def test_tests_of_means_over_estimation_days_say_that_windows_differ(golden_market, golden_study, own_events):
    result = golden_study.run(own_events, golden_market)
    tests = result.test(0, 0, tests="all")
    told = tests.filter(pl.col("note").str.contains("on days of their estimation windows, which are not the same"))
    assert {"corrado_rank", "gsign_t", "placebo_caar", "crude_dependence", "conformal_blocks"} <= set(told["test"])
    need_one = [name for name, test in mi.TESTS.items() if test.holds.windows_alike]
    assert not tests.filter(pl.col("test").is_in(need_one))["valid"].any()
    assert set(told["test"]).isdisjoint({"bmp_kp", "portfolio_regression", "filtered_placebo_t", "residual_bootstrap"})
    single = result.single_tests(0, 0)
    assert not single["valid_romano_wolf"].any()
    assert single["note"].str.contains("windows of the events differ").all()
    assert single["valid_sq"].any()
    alike = result.where(pl.col("estimation_first") == -120)
    assert not alike.test(0, 0, tests="all")["note"].str.contains("not the same for all").any()


def test_windows_that_do_not_fit_are_attrition_with_the_reason(golden_market, golden_study, events):
    rows = [(-150, None), (-20, -150), (-150, -5), (-60, -11), (-150, -11)]
    schema = {"estimation_first": pl.Int64, "estimation_last": pl.Int64}
    bad = pl.concat([events.head(5), pl.DataFrame(rows, schema=schema, orient="row")], how="horizontal")
    result = golden_study.run(bad, golden_market)
    reasons, details = result.attrition["reason"].to_list(), result.attrition["detail"].to_list()
    assert reasons == ["estimation_window"] * 3 + ["too_few_observations"]
    assert details[:3] == [
        "one of estimation_first and estimation_last is empty: give both or neither",
        "its estimation window [-20, -150] is reversed",
        "its estimation window [-150, -5] reaches into the event window [-5, 5]",
    ]
    assert "in [-60, -11], min_observations is 60" in details[3]
    assert result.events.height == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"estimation_first": -100}, "has 'estimation_first' and no 'estimation_last'"),
        ({"estimation_first": -100.5, "estimation_last": -11}, "must hold whole numbers .* -100.5"),
        ({"estimation_first": pl.lit("long ago"), "estimation_last": -11}, "must hold whole numbers .* 'long ago'"),
    ],
)
def test_columns_that_hold_no_windows_are_an_error(golden_market, golden_study, events, columns, message):
    with pytest.raises(mi.DataError, match=message):
        golden_study.run(events.with_columns(**columns), golden_market)


def test_a_model_of_one_stretch_refuses_windows_that_differ(golden_market, golden_study, own_events):
    with pytest.raises(mi.SpecificationError, match="differ between events, and scholes_williams"):
        golden_study.but(model=mi.ScholesWilliams()).run(own_events, golden_market)


def test_an_implausible_return_touches_the_events_that_read_it(golden_market, golden_study, events):
    one = events.head(1)
    far = session(golden_market, one, -150)
    panel = golden_market.panel.select("date", "symbol", "ret")
    spoilt = pl.when((pl.col("symbol") == one["symbol"].item()) & (pl.col("date") == far)).then(3.5).otherwise("ret")
    index = golden("market").select("date", "ret")
    market = mi.Market.from_returns(panel.with_columns(ret=spoilt), index, allow_missing_sessions=True)
    two = pl.concat([one.with_columns(event_id=pl.lit("long")), one.with_columns(event_id=pl.lit("short"))])
    two = two.with_columns(estimation_first=pl.Series([-200, -100]), estimation_last=-11)
    attrition = golden_study.run(two, market).attrition
    assert attrition.select("event_id", "reason").rows() == [("long", "implausible_return")]


def test_a_specification_curve_says_that_it_cannot_vary_own_windows(golden_market, own_events):
    with pytest.raises(mi.SpecificationError, match="which the choice would not change"):
        mi.specification_curve(own_events, golden_market, estimation_windows=[(-200, -11), (-120, -11)])
    curve = mi.specification_curve(
        own_events, golden_market, estimation_windows=[(-200, -11)], event_windows=[(0, 1)], tests=["bmp_kp"]
    )
    assert np.isfinite(curve.frame["estimate"].to_numpy()).all()
    with pytest.raises(mi.SpecificationError, match="placebo days are taken from sessions that all share"):
        curve.joint_test(draws=19)
