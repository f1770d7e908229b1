"""A second opinion on every registered test, through the public API; formulas in `second_formulas`.

Tolerance 1e-9 relative: the same sums in double precision, in another order and from another
factorisation. p-values that are shares of counts are equal but for that rounding.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.multivariate.multivariate_ols import _MultivariateOLS

from tests.reference.second_data import ESTIMATION, SESSIONS, SETS, agree, run, wide
from tests.reference.second_formulas import EVERYWHERE, OVER_DATES, Answer, student, world

WINDOWS = [(0, 0), (-1, 1), (0, 4)]


def check(name: str, which: str, window: tuple[int, int], theirs: Answer) -> dict:
    row = run(which).test(*window, tests=[name]).row(0, named=True)
    # errors of estimation within a date are taken as if its firms missed the same days
    rtol = 2e-4 if name == "portfolio_regression" and which != "clustered" else 1e-9
    agree(name, row["statistic"], theirs[1], rtol)
    agree(name, row["p_value"], theirs[2], 5 * rtol)
    assert (row["estimate"] is None) == (theirs[0] is None)
    if theirs[0] is not None:
        agree(name, row["estimate"], theirs[0])
    return row


@pytest.mark.parametrize(("name", "which", "window"), list(itertools.product(EVERYWHERE, SETS, WINDOWS)))
def test_equals_the_formula(name, which, window):
    check(name, which, window, EVERYWHERE[name](world(which, window)))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("which", ["separate", "mixed"])
@pytest.mark.parametrize("name", list(OVER_DATES))
def test_over_dates_equals_the_formula(name, which, window):
    """A single date has one draw, hence no shared-date set here; up to 12 dates every sign pattern is counted."""
    check(name, which, window, OVER_DATES[name](world(which, window)))


@pytest.mark.parametrize("window", [(0, 0), (-1, 1)])
@pytest.mark.parametrize("which", list(SETS))
def test_residual_bootstrap_is_near_its_exact_distribution(which, window):
    """Every L-tuple of days counted once; 99 999 seeded draws must lie within five Monte Carlo errors."""
    w = world(which, window)
    scaled = [{tau: e * np.sqrt(len(p.residuals) / p.df) for tau, e in p.residuals.items()} for p in w.pieces]
    days = sorted(set.intersection(*(set(row) for row in scaled)))
    total = np.zeros(1)
    for tau in range(window[0], window[1] + 1):
        held = [row for p, row in zip(w.pieces, scaled, strict=True) if tau in p.ar]
        total = np.add.outer(total, [sum(row[day] for row in held) / w.n for day in days]).ravel()
    exact = np.mean(np.abs(total) >= abs(w.car.mean()))
    row = run(which).test(*window, tests=["residual_bootstrap"]).row(0, named=True)
    agree("residual_bootstrap", [row["estimate"], row["statistic"]], [w.car.mean()] * 2)
    assert 0 < exact < 1
    assert abs(row["p_value"] - exact) < 5 * np.sqrt(exact * (1 - exact) / 99_999) + 1e-5


def system(window: tuple[int, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns of the firms with every window day and nine tenths of the estimation days; design with dummies."""
    taus = list(range(window[0], window[1] + 1))
    enough = 0.9 * (ESTIMATION[1] - ESTIMATION[0] + 1)
    chosen = [p for p in world("shared", window).pieces if p.window(*window) == taus and len(p.residuals) >= enough]
    y = pd.concat([p.y for p in chosen], axis=1, keys=[f"f{k}" for k in range(len(chosen))]).sort_index()
    y = y[y.index.isin([*range(ESTIMATION[0], ESTIMATION[1] + 1), *taus])].dropna()
    market = pd.Series(wide()["market"].to_numpy(), index=np.arange(SESSIONS) - SETS["shared"][0][1])
    x = sm.add_constant(pd.DataFrame({"market": market.loc[y.index]}))
    return y, x.assign(**{f"d{tau}": (x.index == tau).astype(float) for tau in taus})


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", ["mvrm_joint_F", "mvrm_average_F", "mvrm_equal_F"])
def test_mvrm_equals_wilks(name, window):
    """statsmodels' Wilks lambda of the summed event dummies: an exact F for one row of restrictions."""
    y, x = system(window)
    m = y.shape[1]
    across = {
        "mvrm_joint_F": np.eye(m),
        "mvrm_average_F": np.full((m, 1), 1 / m),
        "mvrm_equal_F": np.vstack([np.eye(m - 1), -np.ones(m - 1)]),
    }[name]
    fit = _MultivariateOLS(y.to_numpy(), x.to_numpy()).fit()
    summed = np.r_[0.0, 0.0, np.ones(x.shape[1] - 2)][None, :]
    found = fit.mv_test([("cars", summed, across)]).results["cars"]["stat"].loc["Wilks' lambda"]
    car = (summed @ sm.OLS(y.to_numpy(), x.to_numpy()).fit().params).mean()
    row = check(name, "shared", window, (car, float(found["F Value"]), float(found["Pr > F"])))
    assert row["n_events"] == m


@pytest.mark.parametrize("window", WINDOWS)
def test_mvrm_wald_equals_linearmodels_sur(window):
    """Wald form of the summed dummies in SUR's maximum likelihood covariance (divisor T)."""
    system_of = pytest.importorskip("linearmodels.system")
    y, x = system(window)
    fit = system_of.SUR.multivariate_ls(y, x).fit(method="ols", cov_type="unadjusted", debiased=False)
    restrict = np.kron(np.eye(y.shape[1]), np.r_[0.0, 0.0, np.ones(x.shape[1] - 2)])
    car = restrict @ fit.params.to_numpy()
    wald = float(car @ np.linalg.solve(restrict @ fit.cov.to_numpy() @ restrict.T, car))
    check("mvrm_joint_wald", "shared", window, (car.mean(), wald, stats.chi2.sf(wald, y.shape[1])))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("which", list(SETS))
def test_single_tests_by_scipy_and_loops(which, window):
    """p of t(df), SQ by counting, BH and BY by scipy, Holm and Romano-Wolf by their definitions.

    Romano-Wolf draws joint placebo blocks; an event that misses a day of a block has a zero there.
    """
    w, frame = world(which, window), run(which).single_tests(*window)
    p = np.array([student(None, z, piece_.df)[2] for z, piece_ in zip(w.scar, w.pieces, strict=True)])
    agree("single p", frame["p"], p)
    agree("single bh", frame["p_bh"], stats.false_discovery_control(p, method="bh"))
    agree("single by", frame["p_by"], stats.false_discovery_control(p, method="by"))
    order = np.argsort(p)
    holm = np.maximum.accumulate([(w.n - k) * p[i] for k, i in enumerate(order)])
    agree("single holm", frame["p_holm"].to_numpy()[order], np.minimum(holm, 1))
    runs = [range(s, s + w.length) for s in range(ESTIMATION[0], ESTIMATION[1] - w.length + 2)]
    placebo = [[sum(p.residuals.get(d, np.nan) for d in days) for days in runs] for p in w.pieces]
    for k, drawn in enumerate(placebo):
        sums = [s for s in drawn if not np.isnan(s)]
        below, above = sum(s <= w.car[k] for s in sums), sum(s >= w.car[k] for s in sums)
        assert frame["n_blocks"][k] == len(sums)
        agree("single sq", frame["sq_p"][k], min(1, 2 * (1 + min(below, above)) / (len(sums) + 1)))
    scale = [piece_.sigma * np.sqrt(w.length) for piece_ in w.pieces]
    draws = np.abs(np.nan_to_num(np.array(placebo))) / np.array(scale)[:, None]
    before, order = 0.0, sorted(range(w.n), key=lambda i: -abs(w.scar[i]))
    for position, i in enumerate(order):
        largest = [max(draws[j, b] for j in order[position:]) for b in range(len(runs))]
        before = max(before, (1 + sum(value >= abs(w.scar[i]) for value in largest)) / (len(runs) + 1))
        agree("single romano_wolf", frame["p_romano_wolf"][i], before)
