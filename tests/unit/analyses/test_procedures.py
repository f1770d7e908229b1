"""Calendar-time portfolios, synthetic and matched controls, abnormal volatility, GARCH: behaviour and refusals."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize

import marketimpact as mi
from marketimpact.analyses.counterfactual_weights import simplex_weights
from tests.conftest import golden

STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))
EVENTS = golden("events_clustered").filter(pl.col("symbol").is_in(["US01", "US02", "TW02", "CN05"]))
DONORS = ["CN11", "CN12", "CN06", "CN08"]


# --- calendar time --------------------------------------------------------------------------------


def test_a_firm_with_two_events_is_held_once(golden_market):
    day = EVENTS["date"][0]
    twice = pl.DataFrame({"event_id": ["a", "b", "c"], "symbol": ["US01", "US01", "US02"], "date": [day] * 3})
    once = twice.filter(pl.col("event_id") != "b")
    both, single = (mi.calendar_time(events, golden_market, (0, 20)) for events in (twice, once))
    assert both.portfolio.equals(single.portfolio)
    assert both.portfolio["n_firms"].to_list() == [2] * 21


def test_calendar_time_keeps_account_of_every_event(golden_market):
    day = EVENTS["date"][0]
    events = pl.DataFrame(
        {
            "event_id": ["a", "gone", "late"],
            "symbol": ["US01", "ZZZ", "US01"],
            "date": [day, day, day.replace(year=2050)],
        }
    )
    found = mi.calendar_time(events, golden_market, (0, 20))
    assert found.attrition.select("event_id", "reason").rows() == [("gone", "unknown_symbol"), ("late", "after_data")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": ("nope",)}, "missing: \\['nope'\\]"),
        ({"factors": "mktrf"}, "give a tuple of names"),
        ({"errors": "white"}, "choose 'ols', 'wls_robust'"),
        ({"lags": -1}, "lags from 0 on"),
        ({"min_firms": 0}, "firms from 1 on"),
    ],
)
def test_wrong_calendar_time_options_are_refused(golden_market, options, message):
    with pytest.raises(mi.SpecificationError, match=message):
        mi.calendar_time(EVENTS, golden_market, (0, 20), **options)


def test_too_short_a_calendar_time_window_is_refused(golden_market):
    with pytest.raises(mi.DataError, match=r"2 sessions have a portfolio of at least 1 firms.*Widen"):
        mi.calendar_time(EVENTS, golden_market, (0, 1))


# --- synthetic control and matched controls --------------------------------------------------------


def test_simplex_weights_are_those_of_a_general_optimiser():
    rng = np.random.default_rng(8)
    x = rng.normal(0, 0.02, (190, 6)) + rng.normal(0, 0.01, (190, 1))
    y = x @ np.array([0.5, 0.3, 0.2, 0, 0, 0]) + rng.normal(0, 0.01, 190)
    ours = simplex_weights(y, x)
    theirs = minimize(
        lambda w: 1e4 * ((y - x @ w) ** 2).sum(), np.full(6, 1 / 6), method="SLSQP", bounds=[(0, 1)] * 6,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-14, "maxiter": 500},
    ).x  # fmt: skip
    assert ours.sum() == pytest.approx(1.0, abs=1e-12)
    assert (ours >= 0).all()
    # SLSQP stops at about the root of its tolerance
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_placebo_in_space_counts_the_donors_with_as_large_a_ratio(golden_market):
    found = mi.synthetic_control(
        EVENTS.filter(pl.col("symbol") == "US02"), golden_market, DONORS, estimation_window=(-200, -11)
    )
    row = found.table.row(0, named=True)
    panel = golden_market.panel.filter(pl.col("symbol").is_in(DONORS)).pivot("symbol", index="session", values="ret")
    day0 = golden_market.panel.filter((pl.col("symbol") == "US02") & (pl.col("date") == row["date"]))["session"].item()
    before = panel.filter(pl.col("session").is_between(day0 - 200, day0 - 11)).select(DONORS).to_numpy()
    during = panel.filter(pl.col("session") == day0).select(DONORS).to_numpy()[0]
    larger = 0
    for j in range(4):
        rest = [k for k in range(4) if k != j]
        w = simplex_weights(before[:, j], before[:, rest])
        pre = math.sqrt(((before[:, j] - before[:, rest] @ w) ** 2).mean())
        larger += abs(during[j] - during[rest] @ w) / pre >= row["ratio"]
    assert row["p_value"] == pytest.approx((1 + larger) / 5)
    assert found.weights["weight"].sum() == pytest.approx(1.0)


def test_donors_that_cannot_serve_are_named(golden_market):
    found = mi.synthetic_control(
        EVENTS, golden_market, [*DONORS, "US06", "CN05", "US01"],
        estimation_window=(-200, -11), event_window=(-1, 1), coverage=0.9,
    )  # fmt: skip
    said = {(row["event_id"], row["donor"]): row["reason"] for row in found.left_out.iter_rows(named=True)}
    first = EVENTS.filter(pl.col("symbol") == "US02")["event_id"].item()
    assert said[first, "US06"] == "lacks 1 sessions of the event window"
    assert said[first, "CN05"] == said[first, "US01"] == "has an event of its own whose window overlaps the event's"
    assert set(found.table["event_id"]) | set(found.attrition["event_id"]) == set(EVENTS["event_id"])


def test_without_a_donor_an_event_is_attrition(golden_market):
    found = mi.synthetic_control(EVENTS, golden_market, ["US06"], estimation_window=(-200, -11))
    assert found.table.is_empty()
    assert set(found.attrition["reason"]) == {"no_donors"}
    assert found.attrition.height == EVENTS.height


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"donors": ["ZZZ"]}, "no returns of the donors 'ZZZ'"),
        ({"donors": []}, "donors is empty"),
        ({"coverage": 0.0}, "a share above 0"),
        ({"event_window": (-20, 0)}, "reaches into event_window"),
    ],
)
def test_wrong_donors_are_refused(golden_market, options, message):
    given = {"donors": DONORS, "estimation_window": (-200, -11), **options}
    with pytest.raises(mi.SpecificationError, match=message):
        mi.synthetic_control(EVENTS, golden_market, **given)


def test_matched_controls_take_the_nearest(golden_market):
    size = pl.DataFrame({"symbol": [*EVENTS["symbol"], *DONORS], "log_size": [1.0, 2.0, 3.0, 4.0, 1.1, 2.4, 3.3, 9.0]})
    found = mi.matched_controls(EVENTS, golden_market, DONORS, size, estimation_window=(-200, -11))
    used = dict(found.weights.filter(pl.col("weight") > 0).select("event_id", "donor").iter_rows())
    symbol = dict(EVENTS.select("event_id", "symbol").iter_rows())
    assert {symbol[e]: d for e, d in used.items()}["US01"] == "CN11"
    two = mi.matched_controls(EVENTS, golden_market, DONORS, size, n_matches=2, estimation_window=(-200, -11))
    first = EVENTS["event_id"][0]
    day = two.gaps.filter(pl.col("event_id") == first).row(0, named=True)
    nearest = golden_market.panel.filter(pl.col("symbol").is_in(["CN11", "CN12"]) & (pl.col("date") == day["date"]))
    assert day["expected"] == pytest.approx(nearest["ret"].mean(), rel=1e-12)
    with pytest.raises(mi.DataError, match="no complete row for \\['CN08'\\]"):
        mi.matched_controls(EVENTS, golden_market, DONORS, size.head(7))


# --- abnormal volatility ---------------------------------------------------------------------------


def test_abnormal_volatility_is_the_log_square_against_its_mean(golden_market):
    result = STUDY.run(golden("events_mixed"), golden_market)
    volatility = mi.abnormal_volatility(result)
    assert volatility.events["event_id"].to_list() == result.events["event_id"].to_list()
    index = result.events["event_id"].index_of("M1_01")
    standardised = result.estimation.residuals[index] / result.estimation.fit.sigma[index]
    usual = np.nanmean(np.log(standardised**2))
    sar = result.abnormal_returns.filter((pl.col("event_id") == "M1_01") & (pl.col("tau") == 0))["sar"].item()
    found = volatility.car(0, 0).filter(pl.col("event_id") == "M1_01").row(0, named=True)
    assert found["car"] == pytest.approx(math.log(sar**2) - usual, rel=1e-10)
    assert found["security"] == "US01"
    assert volatility.test(0, 0, tests="all").height > 30
    with pytest.raises(mi.SpecificationError, match="already"):
        mi.abnormal_volatility(volatility)


def test_a_doubled_variance_is_seen_as_log_two():
    """Events whose day-0 shock has four times the variance: mean abnormal volatility near ln 4."""
    rng = np.random.default_rng(4)
    days = golden("market")["date"].to_list()
    symbols = [f"S{i:03d}" for i in range(150)]
    returns = rng.normal(0, 0.02, (150, len(days)))
    returns[:, 300] *= 2.0
    frame = pl.DataFrame({"date": days * 150, "symbol": np.repeat(symbols, len(days)), "ret": returns.ravel()})
    market = mi.Market.from_returns(frame, golden("market"))
    events = pl.DataFrame({"event_id": symbols, "symbol": symbols, "date": [days[300]] * 150})
    volatility = mi.abnormal_volatility(STUDY.run(events, market))
    mean = volatility.car(0, 0)["car"].mean()
    # the log of a chi-squared(1) has variance pi^2 / 2
    assert abs(mean - math.log(4)) < 4 * math.sqrt(math.pi**2 / 2 / 150)


# --- GARCH --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forecast_from", ["estimation_end", "event_window_start"])
def test_garch_that_does_not_converge_is_least_squares_and_says_so(forecast_from):
    pytest.importorskip("arch")
    rng = np.random.default_rng(1)
    days = golden("market")["date"].to_list()
    # a standard deviation that grows without end has no mean to return to
    scale = 0.0002 * np.exp(0.018 * np.arange(len(days)))
    rows = [(s, d, float(r)) for s in "AB" for d, r in zip(days, rng.normal(0, 1, len(days)) * scale, strict=True)]
    frame = pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date, "ret": pl.Float64}, orient="row")
    market = mi.Market.from_returns(frame, golden("market"))
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["A", "B"], "date": [days[300]] * 2})
    with pytest.warns(mi.MarketImpactWarning, match="least squares is used"):
        result = STUDY.but(model=mi.Garch(forecast_from)).run(events, market)
    fallen = result.estimates["omega"].is_null()
    assert fallen.any()
    plain = STUDY.run(events, market)
    for column in ("ar", "se"):
        ours, theirs = result.abnormal_returns, plain.abnormal_returns
        same = ours["event_id"].is_in(result.estimates.filter(fallen)["event_id"].to_list())
        assert ours.filter(same)[column].to_list() == theirs.filter(same)[column].to_list()
