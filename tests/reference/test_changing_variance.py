"""Models whose variance changes: trade-to-trade against statsmodels, GARCH against likelihoods of our own."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize

import marketimpact as mi
from tests.conftest import golden

STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))


def test_trade_to_trade_is_weighted_least_squares(golden_market):
    """``trade_to_trade`` with gaps counted by a loop; rounding apart the same to ten digits."""
    result = STUDY.but(model=mi.TradeToTrade()).run(golden("events_clustered"), golden_market)
    compared = gaps = 0
    for position, row in enumerate(result.estimates.iter_rows(named=True)):
        own = golden_market.panel.filter(pl.col("symbol") == row["symbol"])
        ret, market = own["ret"].to_list(), own["market"].to_list()
        day0 = own["date"].to_list().index(result.events["date"][position])
        y, x, n, last = [], [], [], None
        for session, value in enumerate(ret):
            if value is None:
                continue
            gap = 1 if last is None else session - last
            if day0 - 200 <= session <= day0 - 11:
                y.append(value)
                x.append([gap, sum(market[session - gap + 1 : session + 1])])
                n.append(gap)
            last = session
        wls = sm.WLS(y, np.array(x), weights=1.0 / np.array(n)).fit()
        for name, theirs in zip(("alpha", "beta", "sigma"), (*wls.params, math.sqrt(wls.scale)), strict=True):
            assert row[name] == pytest.approx(theirs, rel=1e-10, abs=1e-14)
        assert row["n_obs"] == len(y)
        # the forecast: a one-session return on day 5
        ahead = wls.get_prediction(np.array([[1.0, market[day0 + 5]]]))
        day = result.abnormal_returns.filter((pl.col("event_id") == row["event_id"]) & (pl.col("tau") == 5))
        if ret[day0 + 5] is not None and ret[day0 + 4] is not None:
            assert day["ar"].item() == pytest.approx(ret[day0 + 5] - ahead.predicted_mean[0], rel=1e-9)
            assert day["se"].item() == pytest.approx(math.sqrt(ahead.var_pred_mean[0] + wls.scale), rel=1e-9)
            compared += 1
        gaps += sum(gap > 1 for gap in n)
    assert compared > 20
    assert gaps >= 2


def test_garch_likelihood_by_an_optimiser_of_our_own(golden_market):
    """``garch11``: scipy on the textbook likelihood; the forecast starts where the window ends."""
    pytest.importorskip("arch")
    events = golden("events_clustered").filter(pl.col("event_id").is_in(["C01", "C02"]))
    result = STUDY.but(model=mi.Garch()).run(events, golden_market)
    plain = STUDY.run(events, golden_market)
    panel = golden_market.panel
    for position, row in enumerate(result.estimates.iter_rows(named=True)):
        own = panel.filter(pl.col("symbol") == row["symbol"])
        day0 = own.filter(pl.col("date") == result.events["date"][position])["session"].item()
        part = own.filter(pl.col("session").is_between(day0 - 200, day0 - 11)).drop_nulls("ret")
        y, x = 100 * part["ret"].to_numpy(), 100 * part["market"].to_numpy()
        h0 = 1e4 * float(np.nanmean(plain.estimation.residuals[position] ** 2))

        def path(theta, y=y, x=x, h0=h0):
            a, b, w, p, q = theta
            e = y - a - b * x
            h = np.empty(len(e) + 1)
            h[0] = w + (p + q) * h0
            for t in range(len(e)):
                h[t + 1] = w + p * e[t] ** 2 + q * h[t]
            return e, h

        def nll(theta):
            e, h = path(theta)
            if (h <= 0).any():
                return 1e10
            return 0.5 * float((np.log(2 * np.pi) + np.log(h[:-1]) + e**2 / h[:-1]).sum())

        ours = [100 * row["alpha"], row["beta"], 1e4 * row["omega"], row["arch"], row["garch"]]
        assert nll(ours) == pytest.approx(row["nll"], rel=1e-9)
        start = [0.0, 1.0, 0.1 * h0, 0.1, 0.8]
        bounds = [(None, None), (None, None), (1e-6, None), (0, 1), (0, 0.9999)]
        theirs = minimize(nll, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13, "maxiter": 2000})
        assert row["nll"] <= theirs.fun * (1 + 1e-6)
        h = path(ours)[1][-1] / 1e4
        assert row["h_next"] == pytest.approx(h, rel=1e-9)
        for _ in range(5):  # sessions -9 to -5: the gap is steps
            h = row["omega"] + (row["arch"] + row["garch"]) * h
        se = result.abnormal_returns.filter((pl.col("event_id") == row["event_id"]) & (pl.col("tau") == -5))[
            "se"
        ].item()
        assert se**2 == pytest.approx(h, rel=1e-9)


def test_egarch_likelihood_is_the_textbook_one(golden_market):
    """``egarch11``: the likelihood at our estimates by a loop, and no better one near them."""
    pytest.importorskip("arch")
    events = golden("events_clustered").filter(pl.col("event_id").is_in(["C02", "C06"]))
    result = STUDY.but(model=mi.Egarch()).run(events, golden_market)
    plain = STUDY.run(events, golden_market)
    for position, row in enumerate(result.estimates.iter_rows(named=True)):
        own = golden_market.panel.filter(pl.col("symbol") == row["symbol"])
        day0 = own["date"].to_list().index(result.events["date"][position])
        part = own[day0 - 200 : day0 - 10].drop_nulls("ret")
        y, x = part["ret"].to_numpy(), part["market"].to_numpy()
        h0 = float(np.nanmean(plain.estimation.residuals[position] ** 2))

        def nll(theta, y=y, x=x, h0=h0):
            """Of 100 R; before the sample |z| and z are at their means and ln h at ln h0."""
            a, b, w, p, g, q = theta
            e = y - a - b * x
            log_h = np.empty(len(e))
            previous, news = math.log(h0), 0.0
            for t, shock in enumerate(e):
                log_h[t] = w + news + q * previous
                z = shock / math.exp(log_h[t] / 2)
                news = p * (abs(z) - math.sqrt(2 / math.pi)) + g * z
                previous = log_h[t]
            return 0.5 * float((math.log(2 * math.pi) + log_h + e**2 / np.exp(log_h)).sum()) + len(e) * math.log(100)

        ours = np.array([row[c] for c in ("alpha", "beta", "omega", "arch", "leverage", "garch")])
        assert nll(ours) == pytest.approx(row["nll"], rel=1e-9)
        better = minimize(nll, ours, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-9, "maxiter": 4000})
        assert row["nll"] <= better.fun * (1 + 1e-7)


@pytest.mark.filterwarnings("ignore:EGARCH's persistence is negative:marketimpact.MarketImpactWarning")
@pytest.mark.parametrize("name", ["garch11", "egarch11"])
def test_a_forecast_from_the_event_window_is_archs_of_the_longer_series(golden_market, name):
    """Variance of every event day: arch's recursion, parameters fixed, over estimation window and gap.

    C02 has no return on the first and the last session of the gap; EGARCH's persistence is negative for C03.
    """
    univariate = pytest.importorskip("arch").univariate
    events = golden("events_clustered").filter(pl.col("event_id").is_in(["C01", "C02", "C03"]))
    day0 = {row["event_id"]: row["session"] for row in _day0_sessions(events, golden_market)}
    dates = golden("market")["date"]
    gone = pl.col("date").is_in([dates[day0["C02"] + tau] for tau in (-10, -6)]) & (
        pl.col("symbol") == events["symbol"][1]
    )
    returns = golden("returns").with_columns(pl.when(gone).then(None).otherwise("ret").alias("ret"))
    market = mi.Market.from_returns(returns, golden("market"), golden("factors"))
    model = {"garch11": mi.Garch, "egarch11": mi.Egarch}[name](forecast_from="event_window_start")
    result, plain = STUDY.but(model=model).run(events, market), STUDY.run(events, market)
    of_the_end = STUDY.but(model=type(model)()).run(events, market).estimates
    for position, row in enumerate(result.estimates.iter_rows(named=True)):
        own = market.panel.filter(pl.col("symbol") == row["symbol"])
        at = day0[row["event_id"]]
        part = own.filter(pl.col("session").is_between(at - 200, at - 6)).drop_nulls("ret")
        assert part.height == row["n_obs"] + (3 if row["event_id"] == "C02" else 5)
        resids = 100 * (part["ret"] - row["alpha"] - row["beta"] * part["market"]).to_numpy()
        if name == "garch11":
            volatility, horizon = univariate.GARCH(p=1, o=0, q=1), 11
            parameters = [1e4 * row["omega"], row["arch"], row["garch"]]
        else:
            volatility, horizon = univariate.EGARCH(p=1, o=1, q=1), 1  # arch has no analytic forecast further ahead
            omega = row["omega"] + (1 - row["garch"]) * math.log(1e4)
            parameters = [omega, row["arch"], row["leverage"], row["garch"]]
        backcast = volatility.backcast_transform(1e4 * float(np.nanmean(plain.estimation.residuals[position] ** 2)))
        bounds = volatility.variance_bounds(resids)
        h = volatility.forecast(np.array(parameters), resids, backcast, bounds, horizon=horizon).forecasts[-1].tolist()
        while len(h) < 11:
            h.append(math.exp(parameters[0] + parameters[3] * math.log(h[-1])))
        assert 1e4 * row["h_next"] == pytest.approx(h[0], rel=1e-9)
        days = result.abnormal_returns.filter(pl.col("event_id") == row["event_id"])
        compared = days.drop_nulls("se")
        assert compared.height > 8
        want = [math.sqrt(h[tau + 5]) / 100 for tau in compared["tau"]]
        assert compared["se"].to_list() == pytest.approx(want, rel=1e-9)
        assert row["h_next"] != pytest.approx(of_the_end["h_next"][position], rel=0.01)
        # all but h_next is what the estimation window says
        assert of_the_end.drop("h_next").row(position) == result.estimates.drop("h_next").row(position)


def _day0_sessions(events, market):
    panel = market.panel.select("symbol", "date", "session")
    return events.join(panel, on="symbol").filter(pl.col("date_right") >= pl.col("date")).group_by("event_id").agg(
        pl.col("session").min()
    ).rows(named=True)  # fmt: skip


def test_egarch_warns_of_negative_persistence(golden_market):
    """``garch.csv`` has -0.765 for C03 and 0.583 for C02."""
    pytest.importorskip("arch")
    events = golden("events_clustered").filter(pl.col("event_id").is_in(["C02", "C03"]))
    with pytest.warns(mi.MarketImpactWarning, match="persistence is negative in 1 of 2 regressions"):
        result = STUDY.but(model=mi.Egarch()).run(events, golden_market)
    assert [q < 0 for q in result.estimates["garch"]] == [False, True]


@pytest.mark.parametrize("model", [mi.Garch, mi.Egarch])
def test_an_unknown_start_of_the_forecast_is_refused(model):
    with pytest.raises(mi.SpecificationError, match="forecast_from='day0': choose 'estimation_end' or 'event_window"):
        model(forecast_from="day0")


def test_a_lagged_foreign_factor_is_that_of_the_session_before(golden_market):
    """Local benchmark on the day, foreign factor the day before: statsmodels on columns shifted by hand."""
    model = mi.FactorModel(("market",), lagged=("sox",))
    assert model.name == "factor_model(market sox_lag1)"
    events = golden("events_clustered").filter(pl.col("symbol").str.starts_with("TW"))
    result = STUDY.but(model=model).run(events, golden_market)
    for position, row in enumerate(result.estimates.iter_rows(named=True)):
        own = golden_market.panel.filter(pl.col("symbol") == row["symbol"])
        day0 = own["date"].to_list().index(result.events["date"][position])
        own = own.with_columns(pl.col("sox").shift(1).alias("before"))
        part = own[day0 - 200 : day0 - 10].drop_nulls(["ret", "market", "before"])
        x = sm.add_constant(part.select("market", "before").to_numpy())
        ols = sm.OLS(part["ret"].to_numpy(), x).fit()
        for name, theirs in zip(("alpha", "beta", "beta_sox_lag1"), ols.params, strict=True):
            assert row[name] == pytest.approx(theirs, rel=1e-9)
    assert result.estimates.height >= 3
