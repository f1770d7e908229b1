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
