"""Portfolios of a date against plain least squares on the mean return: which days count."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from scipy import stats

import marketimpact as mi
from marketimpact.events import calendars
from tests.reference.test_contrasts import DAYS, STUDY

DAY0 = 300


def by_hand(y: np.ndarray, x: np.ndarray, y_event: np.ndarray, x_event: np.ndarray) -> tuple[float, float, int]:
    """CAR, its exact forecast standard error and degrees of freedom of one regression."""
    design = np.column_stack([np.ones(len(x)), x])
    coefficients, _, _, _ = np.linalg.lstsq(design, y, rcond=None)
    residuals = y - design @ coefficients
    df = len(y) - 2
    load = np.array([len(x_event), x_event.sum()])
    car = (y_event - coefficients[0] - coefficients[1] * x_event).sum()
    variance = residuals @ residuals / df * (len(x_event) + load @ np.linalg.inv(design.T @ design) @ load)
    return car, np.sqrt(variance), df


def assert_portfolio(result: mi.StudyResult, want: tuple[float, float, int]) -> None:
    row = result.test(0, 1, tests=["portfolio_regression"]).row(0, named=True)
    car, se, df = want
    assert row["df"] == df
    assert (row["estimate"], row["se"]) == pytest.approx((car, se), rel=1e-9)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(car / se), df), rel=1e-8)


@pytest.mark.parametrize("n", [4, 5])
def test_a_day_counts_when_half_of_the_members_have_it(n):
    """Estimation days on which one firm, two, three or all have a return."""
    rng = np.random.default_rng(n)
    index = rng.normal(0, 0.01, len(DAYS))
    returns = index + rng.normal(0, 0.015, (n, len(DAYS)))
    for k in range(1, n):
        returns[k, DAY0 - 190 : DAY0 - 190 + 20 * k] = np.nan
    names = [f"F{k}" for k in range(n)]
    frame = pl.DataFrame({"symbol": np.repeat(names, len(DAYS)), "date": DAYS * n, "ret": returns.ravel()})
    market = mi.Market.from_returns(
        frame.with_columns(pl.col("ret").fill_nan(None)), pl.DataFrame({"date": DAYS, "ret": index})
    )
    events = pl.DataFrame({"event_id": names, "symbol": names, "date": [DAYS[DAY0]] * n})
    days = np.arange(DAY0 - 200, DAY0 - 10)
    there = (~np.isnan(returns[:, days])).sum(axis=0)
    assert {n // 2, (n + 1) // 2} <= set(there.tolist())
    days = days[2 * there >= n]
    event = slice(DAY0, DAY0 + 2)
    want = by_hand(np.nanmean(returns[:, days], axis=0), index[days], returns[:, event].mean(axis=0), index[event])
    assert_portfolio(STUDY.run(events, market), want)


def test_members_on_two_exchanges_are_matched_by_date():
    """Hong Kong and Shanghai: where one of them is shut the other two of four firms are half, and the day counts."""
    rng = np.random.default_rng(2)
    home = {"H0": "XHKG", "H1": "XHKG", "S0": "XSHG", "S1": "XSHG", "^H": "XHKG", "^S": "XSHG"}
    listed = calendars.sessions(["XHKG", "XSHG"], date(2024, 1, 2), date(2024, 12, 31))
    frames, path = [], {}
    for symbol, mic in home.items():
        days = listed.filter(pl.col("mic") == mic)["date"].to_list()
        closes = 100 * np.cumprod(1 + rng.normal(0, 0.01, len(days)))
        frames.append(pl.DataFrame({"symbol": symbol, "date": days, "close": closes}))
        path[symbol] = dict(zip(days[1:], closes[1:] / closes[:-1] - 1, strict=True))
    firms = [symbol for symbol in home if not symbol.startswith("^")]
    securities = pl.DataFrame(
        {"symbol": firms, "mic": [home[s] for s in firms], "benchmark": [f"^{s[0]}" for s in firms]}
    )
    market = mi.Market.load(securities, mi.FilePrices(pl.concat(frames)))
    day0 = date(2024, 11, 12)
    events = pl.DataFrame({"event_id": firms, "symbol": firms, "date": [day0] * 4})
    result = mi.EventStudy(estimation_window=(-120, -11), event_window=(-2, 2)).run(events, market)
    windows = {}
    for symbol in firms:
        days = sorted(path[symbol])
        at = days.index(day0)
        windows[symbol] = days[at - 120 : at - 10], days[at : at + 2]
    dates = sorted(set().union(*(estimation for estimation, _ in windows.values())))
    members = {day: [s for s in firms if day in windows[s][0]] for day in dates}
    assert {len(own) for own in members.values()} == {2, 4}
    y = np.array([np.mean([path[s][day] for s in members[day]]) for day in dates])
    x = np.array([np.mean([path[f"^{s[0]}"][day] for s in members[day]]) for day in dates])
    y_event = np.array([np.mean([path[s][windows[s][1][k]] for s in firms]) for k in range(2)])
    x_event = np.array([np.mean([path[f"^{s[0]}"][windows[s][1][k]] for s in firms]) for k in range(2)])
    assert_portfolio(result, by_hand(y, x, y_event, x_event))


def garch_path(rng: np.random.Generator, sd: float) -> np.ndarray:
    """Normal shocks whose variance follows GARCH(1,1) with 0.2 and 0.7."""
    path, variance = np.empty(len(DAYS)), sd**2
    for day in range(len(DAYS)):
        path[day] = np.sqrt(variance) * rng.normal()
        variance = 0.1 * sd**2 + 0.2 * path[day] ** 2 + 0.7 * variance
    return path


def test_a_portfolio_s_variance_is_carried_through_the_gap_as_arch_does():
    """The gap is sessions -10 to -3; on the last three of five firms have no return, on session -5 two."""
    univariate = pytest.importorskip("arch").univariate
    rng = np.random.default_rng(8)
    index = rng.normal(0, 0.01, len(DAYS))
    returns = index + garch_path(rng, 0.02) + rng.normal(0, 0.004, (5, len(DAYS)))
    returns[:3, DAY0 - 3] = np.nan
    returns[3:, DAY0 - 5] = np.nan
    names = [f"F{k}" for k in range(5)]
    frame = pl.DataFrame({"symbol": np.repeat(names, len(DAYS)), "date": DAYS * 5, "ret": returns.ravel()})
    market = mi.Market.from_returns(
        frame.with_columns(pl.col("ret").fill_nan(None)), pl.DataFrame({"date": DAYS, "ret": index})
    )
    events = pl.DataFrame({"event_id": names, "symbol": names, "date": [DAYS[DAY0]] * 5})
    mean, estimation = np.nanmean(returns, axis=0), slice(DAY0 - 200, DAY0 - 10)
    gap = [day for day in range(DAY0 - 10, DAY0 - 2) if day != DAY0 - 3]

    slope, constant = np.polyfit(index[estimation], mean[estimation], 1)
    h0 = 1e4 * ((mean - constant - slope * index)[estimation] ** 2).mean()
    volatility = univariate.GARCH(p=1, o=0, q=1)
    fitted = univariate.LS(
        100 * mean[estimation], 100 * index[estimation], volatility=volatility, rescale=False
    ).fit(disp="off", backcast=h0, options={"ftol": 1e-13, "maxiter": 1000})  # fmt: skip
    alpha, beta, *parameters = fitted.params
    residuals = 100 * mean - alpha - beta * 100 * index
    known = np.concatenate([residuals[estimation], residuals[gap]])
    ahead = volatility.forecast(np.array(parameters), known, h0, volatility.variance_bounds(known), horizon=4)
    # sessions -2 to 1 are one to four steps ahead
    variance = ahead.forecasts[-1, 2:].sum() / 1e4

    study = STUDY.but(model=mi.Garch(forecast_from="event_window_start"))
    row = study.run(events, market).test(0, 1, tests=["portfolio_regression"]).row(0, named=True)
    assert row["estimate"] == pytest.approx(residuals[DAY0 : DAY0 + 2].sum() / 100, rel=1e-4)
    assert row["se"] == pytest.approx(np.sqrt(variance), rel=1e-4)
