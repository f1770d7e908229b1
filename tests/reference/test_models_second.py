"""A second opinion on every registered model: statsmodels, linearmodels and plain loops on a panel with gaps.

Tolerance 1e-9 relative unless said: both sides solve the same well-conditioned equations in double
precision, by different factorisations.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

from tests.reference.second_data import ESTIMATION, EVENT, SETS, agree, around, dummy_car, run

WINDOWS = [(0, 0), (-1, 1), (-5, 5)]
#: Model -> its options, regressors, whether returns are in excess of rf, whether there is a constant.
LINEAR = {
    "mean_adjusted": ({}, [], False, True),
    "comparison_period_mean": ({"after": (8, 20)}, [], False, True),
    "market_model": ({}, ["market"], False, True),
    "capm": ({}, ["market_rf"], True, True),
    "capm_restricted": ({}, ["market_rf"], True, False),
    "ff3": ({}, ["mktrf", "smb", "hml"], True, True),
    "carhart": ({}, ["mktrf", "smb", "hml", "mom"], True, True),
    "ff5": ({}, ["mktrf", "smb", "hml", "rmw", "cma"], True, True),
    "factor_model": ({"factors": ("market", "smb", "sox"), "excess": True}, ["market_rf", "smb", "sox"], True, True),
    "market_plus_sox": ({}, ["market", "sox"], False, True),
    "dimson_lag1": ({}, ["market_lag1", "market"], False, True),
    "dimson_1_1": ({}, ["market_lag1", "market", "market_lead1"], False, True),
}
SLOPES = {"market": "beta", "market_rf": "beta"}


def cut(which: str, k: int, columns: list[str], *, excess: bool, constant: bool) -> tuple[pd.Series, pd.DataFrame]:
    """Return and design of event k on its complete days."""
    frame = around(which, k)
    y = frame["ret"] - (frame["rf"] if excess else 0.0)
    x = frame[columns]
    if constant:
        x = pd.concat([pd.Series(1.0, index=frame.index, name="const"), x], axis=1)
    held = (y.notna() & x.notna().all(axis=1)).to_numpy()
    return y[held], x[held]


def span(index: pd.Index, *windows: tuple[int, int]) -> list[int]:
    return [tau for tau in index if any(first <= tau <= last for first, last in windows)]


def ours_of(result, k: int) -> tuple[dict, pl.DataFrame]:
    """The package's estimates and abnormal returns of event k."""
    event = f"e{k:02d}"
    days = result.abnormal_returns.filter(pl.col("event_id") == event).drop_nulls("ar")
    return result.estimates.row(by_predicate=pl.col("event_id") == event, named=True), days


def car_of(result, k: int, window: tuple[int, int]) -> dict:
    return result.car(*window).row(by_predicate=pl.col("event_id") == f"e{k:02d}", named=True)


def check_car(name: str, row: dict, expected: tuple[float, float, float], n_days: int) -> None:
    car, se, df = expected
    assert (row["n_days"], row["df"]) == (n_days, df)
    agree(name, [row["car"], row["se"], row["scar"]], [car, se, car / se])
    agree(name, row["p"], 2 * stats.t.sf(abs(car / se), df))


@pytest.mark.parametrize("which", list(SETS))
@pytest.mark.parametrize("name", list(LINEAR))
def test_least_squares_models_equal_statsmodels(name, which):
    """Coefficients, AR and `se_obs` of the prediction, CAR by event-day dummies, BHAR by a loop."""
    options, columns, excess, constant = LINEAR[name]
    result = run(which, name, **options)
    for k in range(len(SETS[which])):
        y, x = cut(which, k, columns, excess=excess, constant=constant)
        before = span(y.index, ESTIMATION, options.get("after", ESTIMATION))
        days = span(y.index, EVENT)
        fit = sm.OLS(y.loc[before], x.loc[before]).fit()
        row, mine = ours_of(result, k)
        assert (row["n_obs"], row["df"]) == (fit.nobs, fit.df_resid)
        named = {"const": "alpha", **SLOPES}
        agree(name, [row[named.get(c, f"beta_{c}")] for c in x.columns], fit.params)
        agree(name, row["sigma"], np.sqrt(fit.mse_resid))
        if columns:
            agree(name, row["r2"], fit.rsquared)
        assert mine["tau"].to_list() == days
        if days:
            forecast = fit.get_prediction(x.loc[days])
            agree(name, mine["ar"], y.loc[days] - forecast.predicted_mean)
            agree(name, mine["se"], forecast.se_obs)
        for window in WINDOWS:
            held, got = span(pd.Index(days), window), car_of(result, k, window)
            if not held:
                assert got["car"] is None
                continue
            check_car(name, got, dummy_car(y, x, before, held), len(held))
            table = around(which, k).loc[held]
            normal = x.loc[held] @ fit.params + (table["rf"] if excess else 0.0)
            agree(name, got["bhar"], (1 + table["ret"]).prod() - (1 + normal).prod())


@pytest.mark.parametrize("which", list(SETS))
def test_market_adjusted_is_the_difference_on_a_constant(which):
    """AR = R - Rm; centred variance on M - 1; no estimation error, so Var(CAR) = L s^2."""
    name, result = "market_adjusted", run(which, "market_adjusted")
    for k in range(len(SETS[which])):
        y, x = cut(which, k, ["market"], excess=False, constant=True)
        gap = y - x["market"]
        before = span(y.index, ESTIMATION)
        fit = sm.OLS(gap.loc[before], x.loc[before, ["const"]]).fit()
        row, mine = ours_of(result, k)
        sigma = float(np.sqrt(fit.mse_resid))
        assert (row["n_obs"], row["df"]) == (fit.nobs, fit.df_resid)
        agree(name, row["sigma"], sigma)
        agree(name, mine["ar"], gap.loc[mine["tau"].to_list()])
        agree(name, mine["se"], np.full(mine.height, sigma))
        for window in WINDOWS:
            held = span(mine["tau"], window)
            if held:
                expected = gap.loc[held].sum(), sigma * np.sqrt(len(held)), fit.df_resid
                check_car(name, car_of(result, k, window), expected, len(held))


def check_line(
    name: str, which: str, k: int, line: tuple[float, float], sigma: float, a: np.ndarray, rtol: float = 1e-9
) -> None:
    """Everything that follows from a market line whose sampling error is sigma^2 A: formula (V).

    A line's own error enters an AR in proportion to the returns, not to the AR, hence the floor at rtol sigma.
    """
    result, frame = run(which, name), around(which, k)
    row, mine = ours_of(result, k)
    agree(name, row["beta"], line[1], rtol)
    np.testing.assert_allclose(row["alpha"], line[0], rtol=rtol, atol=rtol * sigma)
    agree(name, row["sigma"], sigma, rtol)
    days = mine["tau"].to_list()
    assert days == span(frame.index[frame["ret"].notna()], EVENT)
    x = np.column_stack([np.ones(len(days)), frame.loc[days, "market"]])
    ar = frame.loc[days, "ret"].to_numpy() - x @ np.asarray(line)
    np.testing.assert_allclose(mine["ar"], ar, rtol=rtol, atol=rtol * sigma)
    agree(name, mine["se"], [sigma * np.sqrt(1 + new @ a @ new) for new in x], rtol)
    for first, last in WINDOWS:
        held = np.array([first <= day <= last for day in days])
        if held.any():
            got, total = car_of(result, k, (first, last)), x[held].sum(axis=0)
            agree(name, got["se"], sigma * np.sqrt(held.sum() + total @ a @ total), rtol)
            np.testing.assert_allclose(got["car"], ar[held].sum(), rtol=rtol, atol=rtol * sigma)


@pytest.mark.parametrize("which", list(SETS))
def test_scholes_williams_equals_linearmodels(which):
    """IV2SLS with z = lag + same + lead, on the window without its ends; its covariance is s^2 A."""
    iv = pytest.importorskip("linearmodels.iv")
    name, shifts = "scholes_williams", ["market_lag1", "market", "market_lead1"]
    for k in range(len(SETS[which])):
        frame = around(which, k).loc[ESTIMATION[0] + 1 : ESTIMATION[1] - 1]
        used = frame[["ret", *shifts]].dropna()
        z = used[shifts].sum(axis=1).rename("z")
        constant = pd.Series(1.0, index=used.index, name="const")
        fit = iv.IV2SLS(used["ret"], constant, used[["market"]], z).fit(cov_type="unadjusted", debiased=True)
        row, _ = ours_of(run(which, name), k)
        assert (row["n_obs"], row["df"]) == (fit.nobs, fit.df_resid)
        agree(name, row["r2"], fit.rsquared)
        check_line(name, which, k, (fit.params["const"], fit.params["market"]), np.sqrt(fit.s2), fit.cov / fit.s2)


@pytest.mark.parametrize("name", ["huber", "theil_sen"])
@pytest.mark.parametrize("which", list(SETS))
def test_robust_lines_by_plain_loops(name, which):
    """Huber by reweighted WLS run to its fixed point; Theil-Sen by every pair of days.

    Both tests use the ordinary residual variance on M - 2 and the A of least squares. Huber's tolerance
    is 1e-7, since the package stops when a step changes the coefficients by less than 1e-10 and the
    iteration contracts slowly; Theil-Sen has no iteration.
    """
    for k in range(len(SETS[which])):
        y, x = cut(which, k, ["market"], excess=False, constant=True)
        before = span(y.index, ESTIMATION)
        y, x = y.loc[before].to_numpy(), x.loc[before].to_numpy()
        line = huber(y, x) if name == "huber" else theil_sen(y, x[:, 1])
        sigma = float(np.sqrt(((y - x @ line) ** 2).sum() / (len(y) - 2)))
        plain = sm.OLS(y, x).fit()
        check_line(name, which, k, tuple(line), sigma, plain.normalized_cov_params, 1e-7 if name == "huber" else 1e-9)


def huber(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """c = 1.345, scale median|e| / 0.6745 at each step (0.6745 is the normal's upper quartile)."""
    line, before = sm.OLS(y, x).fit().params, np.full(2, np.inf)
    for _ in range(2000):
        if np.abs(line - before).max() < 1e-15:
            break
        error, before = np.abs(y - x @ line), line
        limit = 1.345 * np.median(error) / stats.norm.ppf(0.75)
        line = sm.WLS(y, x, weights=[1.0 if e <= limit else limit / e for e in error]).fit().params
    return line


def theil_sen(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Median of pairwise slopes; median(y) - slope median(x)."""
    pairs = itertools.combinations(range(len(y)), 2)
    slope = np.median([(y[j] - y[i]) / (x[j] - x[i]) for i, j in pairs if x[i] != x[j]])
    return np.array([np.median(y) - slope * np.median(x), slope])
