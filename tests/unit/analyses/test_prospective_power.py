"""Power before the events: against statsmodels and scipy, on prices that end before them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import scipy
import statsmodels.api as sm

import marketimpact as mi
from marketimpact.analyses.prospective_power import last_date_before_events, prospective_power

FIRMS = ["AMD", "AVGO", "QCOM", "MU", "NVDA"]
IDS = ["2025-07-14-h20-resumption", "2025-08-12-beijing-discourages-h20"]
#: Before the tenth session before 2025-07-15.
LAST = date(2025, 6, 29)


@pytest.fixture(scope="module")
def market() -> mi.Market:
    known = mi.securities().filter(pl.col("symbol").is_in(FIRMS))
    return mi.Market.load(known, mi.SamplePrices(), last=LAST)


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    """Five firms at two announcements: firms and dates repeat."""
    known = mi.securities().filter(pl.col("symbol").is_in(FIRMS))
    news = mi.announcements().filter(pl.col("announcement_id").is_in(IDS))
    aligned = mi.align(news, mi.Market.load(known, mi.SamplePrices()), symbols=FIRMS)
    return aligned.with_columns(
        pl.when(pl.col("symbol") == "NVDA").then(pl.lit("Nvidia")).otherwise(pl.lit("Designers")).alias("group")
    )


def test_the_standard_error_is_the_forecast_error_of_the_portfolio(events, market):
    """The mean of four firms on their benchmark by statsmodels; the sum of two forecasts, with its estimation error."""
    frame = prospective_power(mi.EventStudy(), events, market, (0, 1), smallest_effect=0.02)
    row = frame.filter(pl.col("group") == "Designers", pl.col("announcement_id") == IDS[0]).row(0, named=True)
    panel = market.panel.filter(pl.col("symbol").is_in(FIRMS[:4])).drop_nulls(["ret", "market"])
    daily = panel.group_by("date").agg(pl.col("ret").mean(), pl.col("market").first(), pl.len()).sort("date")
    assert daily.tail(300)["len"].unique().to_list() == [4]
    y, x = daily["ret"].to_numpy(), daily["market"].to_numpy()
    # day 0 is moved back by whole weeks from 2025-07-15; ten sessions with prices follow it
    weeks = next(n for n in range(20) if (daily["date"] > date(2025, 7, 15) - timedelta(weeks=n)).sum() >= 10)
    day0 = int((daily["date"] < date(2025, 7, 15) - timedelta(weeks=weeks)).sum())
    rows = slice(day0 - 250, day0 - 10)
    fit = sm.OLS(y[rows], sm.add_constant(x[rows])).fit()
    new = np.array([2.0, x[day0] + x[day0 + 1]])
    se = float(np.sqrt(2 * fit.scale + new @ fit.cov_params() @ new))
    assert row["se"] == pytest.approx(se, rel=1e-9)
    assert (row["n_events"], row["n_used"]) == (4, 4)


def power_by_scipy(effect: float, se: float, df: float) -> float:
    critical = scipy.stats.t.ppf(0.975, df)
    law = scipy.stats.nct(df, effect / se)
    return float(law.sf(critical) + law.cdf(-critical))


def test_the_power_is_that_of_the_primary_test_over_five_firms(events, market):
    """`bmp_kp` has 4 degrees of freedom with five firms; with those of the forecast error power would be too high."""
    together = events.drop("group")
    frame = prospective_power(mi.EventStudy(), together, market, (0, 1), smallest_effect=0.03)
    row = frame.filter(pl.col("announcement_id") == IDS[0]).row(0, named=True)
    assert (row["n_used"], row["primary_test"], row["df"]) == (5, "bmp_kp", 4.0)
    assert row["power"] == pytest.approx(power_by_scipy(0.03, row["se"], 4), abs=1e-6)
    assert power_by_scipy(row["detectable_effect"], row["se"], 4) == pytest.approx(0.8, abs=1e-4)
    # an effect that 238 degrees of freedom detect with 80% has 56%
    effect = (scipy.stats.norm.ppf(0.975) + scipy.stats.norm.ppf(0.8)) * row["se"]
    assert power_by_scipy(effect, row["se"], 238) == pytest.approx(0.8, abs=0.005)
    assert power_by_scipy(effect, row["se"], 4) == pytest.approx(0.564, abs=0.001)


def test_the_test_named_is_the_one_that_a_run_at_these_dates_calls_primary(events):
    """At dates so long before the end of prices that no announcement is moved, `result.test` has the role."""
    known = mi.securities().filter(pl.col("symbol").is_in(FIRMS))
    whole = mi.Market.load(known, mi.SamplePrices())
    for grouped in (events, events.drop("group")):
        result = mi.EventStudy().run(grouped, whole)
        frame = prospective_power(mi.EventStudy(), grouped, whole, (0, 1), smallest_effect=0.03)
        for row in frame.iter_rows(named=True):
            part = result.where(pl.col("announcement_id") == row["announcement_id"])
            if "group" in grouped.columns:
                part = part.where(pl.col("group") == row["group"])
            primary = part.test(0, 1).filter(pl.col("role") == "primary").row(0, named=True)
            assert (row["primary_test"], row["df"]) == (primary["test"], pytest.approx(primary["df"]))


def test_the_detectable_effect_has_a_power_of_80_percent_by_the_noncentral_t(events, market):
    effects = {"Nvidia": 0.05, "Designers": 0.03}
    frame = prospective_power(mi.EventStudy(), events, market, (0, 1), smallest_effect=effects)
    assert frame.height == 4

    for row in frame.iter_rows(named=True):
        assert row["smallest_effect"] == effects[row["group"]]
        assert row["power"] == pytest.approx(power_by_scipy(row["smallest_effect"], row["se"], row["df"]), abs=1e-6)
        assert power_by_scipy(row["detectable_effect"], row["se"], row["df"]) == pytest.approx(0.8, abs=1e-4)


def test_firms_without_prices_before_the_events_are_counted_not_used(events, market):
    young = events.with_columns(symbol=pl.col("symbol").replace({"AVGO": "LISTED.LATER"}))
    frame = prospective_power(mi.EventStudy(), young, market, (0, 1), smallest_effect=0.02)
    used = {row["group"]: (row["n_used"], row["n_events"]) for row in frame.iter_rows(named=True)}
    assert used == {"Designers": (3, 4), "Nvidia": (1, 1)}
    alone = young.filter(pl.col("symbol") == "LISTED.LATER")
    frame = prospective_power(mi.EventStudy(), alone, market, (0, 1), smallest_effect=0.02)
    assert frame["n_used"].to_list() == [0, 0]
    assert frame["power"].null_count() == 2


def test_the_last_date_lies_before_every_event_window(events):
    sessions = pl.DataFrame(
        {
            "mic": ["XNAS"] * 30 + ["XSHG"] * 30,
            "date": [date(2025, 7, 1) + timedelta(days=n) for n in range(30)] * 2,
        }
    )
    two = pl.DataFrame(
        {
            "mic": ["XNAS", "XSHG", "XSHG"],
            "date": [date(2025, 7, 20), date(2025, 7, 25), date(2025, 7, 25)],
            "day0_earliest": [date(2025, 7, 20), date(2025, 7, 19), None],
        }
    )
    # ten sessions, here days, before the earliest admissible day 0, 19 July; the day before the first of these
    assert last_date_before_events(two, sessions, -11) == date(2025, 7, 8)
    assert last_date_before_events(two, sessions, -1) == date(2025, 7, 18)
    assert last_date_before_events(two.clear(), sessions, -11) is None
