"""Ridge correction and conformal p-values of synthetic controls: against plain numpy, loops and a general optimiser."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import marketimpact as mi
from marketimpact.analyses.counterfactual_conformal import conformal_p, shifted_means
from marketimpact.analyses.counterfactual_ridge import PENALTIES, choose_penalty, corrected_weights, ridge_weights
from marketimpact.analyses.counterfactual_weights import simplex_weights

DAYS = [day for n in range(420) if (day := date(2023, 1, 2) + timedelta(n)).weekday() < 5]
DONORS = ["P", "Q", "R", "S"]
WINDOWS = {"estimation_window": (-150, -11), "event_window": (-1, 2)}
#: A firm outside the span of its donors, twice a date, and a date with two firms.
DATED = [("A", 200), ("B", 200), ("A", 250)]


@pytest.fixture(scope="module")
def market() -> mi.Market:
    """Firms that move twice as much as the donors, so that no portfolio with weights in [0, 1] follows them."""
    rng = np.random.default_rng(31)
    index, sector = rng.normal(0, 0.01, (2, len(DAYS)))
    loads = {"A": (2.0, 0.0), "B": (1.8, 0.5), "P": (1.0, 0.4), "Q": (0.9, -0.3), "R": (0.6, 0.1), "S": (0.3, 0.0)}
    rows = []
    for symbol, (beta, load) in loads.items():
        own = beta * index + load * sector + rng.normal(0, 0.004, len(DAYS))
        rows += [(symbol, day, ret) for day, ret in zip(DAYS, own.tolist(), strict=True)]
    returns = pl.DataFrame(rows, schema=["symbol", "date", "ret"], orient="row")
    return mi.Market.from_returns(returns, pl.DataFrame({"date": DAYS, "ret": index}))


def events() -> pl.DataFrame:
    rows = [(f"{symbol} {day}", symbol, DAYS[day]) for symbol, day in DATED]
    return pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")


def plain_panel(market, symbol, day0):
    """Returns of the firm and the donors over both windows, (T, 5), by date."""
    found = {(own, day): ret for own, day, ret in market.panel.select("symbol", "date", "ret").iter_rows()}
    spans = (range(day0 - 150, day0 - 10), range(day0 - 1, day0 + 3))
    return [np.array([[found[own, DAYS[t]] for own in (symbol, *DONORS)] for t in span]) for span in spans]


# --- ridge ----------------------------------------------------------------------------------------


def bias_corrected(before, during, simplex, penalty):
    """Formula (9) of Ben-Michael, Feller and Rothstein, day by day.

    Each event day's donor returns are regressed on their estimation returns, both less the donors' mean of the day, by
    ridge regression in the dimension of days; its slopes times the imbalance correct the portfolio's return.
    """
    imbalance = before[:, 0] - before[:, 1:] @ simplex
    past = before[:, 1:] - before[:, 1:].mean(axis=1, keepdims=True)
    returns = []
    for day in during:
        slopes = np.linalg.solve(past @ past.T + penalty * np.eye(len(past)), past @ (day[1:] - day[1:].mean()))
        returns.append(day[1:] @ simplex + imbalance @ slopes)
    return np.array(returns)


def loop_penalty(y, x, shares):
    """Squared forecast errors of days left out in tenths, dealt in order of the donors' mean; the largest of equals."""
    order = sorted(range(len(y)), key=lambda t: (sum(x[t]) / x.shape[1], t))
    errors = []
    for share in shares:
        error = 0.0
        for part in range(10):
            out = [t for place, t in enumerate(order) if place % 10 == part]
            kept = [t for place, t in enumerate(order) if place % 10 != part]
            own, others = y[kept], x[kept]
            simplex = simplex_weights(own, others)
            if share < np.inf:
                centred = others - others.mean(axis=1, keepdims=True)
                penalty = share * np.linalg.norm(centred, 2) ** 2
                matrix = centred.T @ centred + penalty * np.eye(x.shape[1])
                simplex = simplex + np.linalg.solve(matrix, centred.T @ (own - others @ simplex))
            error += sum(float(y[t] - x[t] @ simplex) ** 2 for t in out)
        errors.append(error)
    return max(share for share, error in zip(shares, errors, strict=True) if error <= min(errors) * (1 + 1e-9))


@pytest.mark.parametrize("dated", DATED)
def test_ridge_expectations_are_those_of_the_bias_corrected_estimator(market, dated):
    found = mi.synthetic_control(events(), market, DONORS, penalty="ridge", **WINDOWS)
    before, during = plain_panel(market, *dated)
    own = pl.col("event_id") == f"{dated[0]} {dated[1]}"
    share = loop_penalty(before[:, 0], before[:, 1:], PENALTIES)
    assert found.table.filter(own)["penalty"].item() == share
    penalty = share * np.linalg.norm(before[:, 1:] - before[:, 1:].mean(axis=1, keepdims=True), 2) ** 2
    theirs = bias_corrected(before, during, simplex_weights(before[:, 0], before[:, 1:]), penalty)
    np.testing.assert_allclose(found.gaps.filter(own)["expected"], theirs, rtol=1e-9, atol=1e-12)
    weights = found.weights.filter(own)["weight"].to_numpy()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights.min() < 0
    plain = mi.synthetic_control(events(), market, DONORS, **WINDOWS)
    assert found.table.filter(own)["pre_rmse"].item() < plain.table.filter(own)["pre_rmse"].item()


def test_corrected_weights_are_those_of_a_general_optimiser():
    rng = np.random.default_rng(5)
    x = rng.normal(0, 0.02, (90, 5)) + rng.normal(0, 0.01, (90, 1))
    y = 2 * x[:, 0] - x[:, 1] + rng.normal(0, 0.01, 90)
    simplex = simplex_weights(y, x)
    centred = x - x.mean(axis=1, keepdims=True)
    for share, ours in zip((0.01, 0.3), corrected_weights(y, x, simplex, (0.01, 0.3)), strict=True):
        penalty = share * np.linalg.norm(centred, 2) ** 2

        def loss(w, penalty=penalty):
            return 1e4 * (((y - x @ w) ** 2).sum() + penalty * ((w - simplex) ** 2).sum())

        theirs = minimize(
            loss, simplex, method="SLSQP", constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        ).x  # fmt: skip
        # SLSQP stops at about the root of its tolerance
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_donors_that_follow_the_security_need_no_correction():
    """A portfolio of the donors and noise: whatever the correction adds is noise, and most samples choose little."""
    rng = np.random.default_rng(6)
    chosen = []
    for _ in range(40):
        x = rng.normal(0, 0.02, (100, 6))
        y = x @ np.array([0.4, 0.3, 0.3, 0, 0, 0]) + rng.normal(0, 0.02, 100)
        chosen.append(choose_penalty(y, x))
    assert np.median(chosen) >= 0.3


def test_an_infinite_penalty_is_no_correction_and_a_small_one_is_least_squares():
    rng = np.random.default_rng(7)
    x, y = rng.normal(0, 0.02, (80, 4)), rng.normal(0, 0.02, 80)
    simplex = simplex_weights(y, x)
    none, least = corrected_weights(y, x, simplex, (np.inf, 1e-14))
    np.testing.assert_array_equal(none, simplex)
    # least squares with sum 1: the last donor carries what the others leave
    free = np.linalg.lstsq(x[:, :-1] - x[:, -1:], y - x[:, -1], rcond=None)[0]
    np.testing.assert_allclose(least, np.append(free, 1 - free.sum()), atol=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90))
def test_ridge_weights_do_not_depend_on_the_order_of_days(seed, n_donors):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 0.02, (61, n_donors)), rng.normal(0, 0.02, 61)
    weights, share = ridge_weights(y, x)
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    mixed = rng.permutation(61)
    again, same = ridge_weights(y[mixed], x[mixed])
    assert same == share
    np.testing.assert_allclose(x @ again, x @ weights, atol=1e-10)


def test_one_donor_and_donors_that_never_differ_have_nothing_to_correct():
    rng = np.random.default_rng(8)
    y, one = rng.normal(0, 0.02, 70), rng.normal(0, 0.02, (70, 1))
    assert ridge_weights(y, one) == ([1.0], np.inf)
    weights, share = ridge_weights(y, np.repeat(one, 3, axis=1))
    assert share == np.inf
    assert weights.sum() == pytest.approx(1.0)


def test_the_placebos_of_a_ridge_control_are_ridge_controls(market):
    found = mi.synthetic_control(events(), market, DONORS, penalty="ridge", **WINDOWS)
    before, during = plain_panel(market, "A", 250)
    row = found.table.row(by_predicate=pl.col("event_id") == "A 250", named=True)
    larger = 0
    for j in range(1, 5):
        rest = [k for k in range(1, 5) if k != j]
        w = ridge_weights(before[:, j], before[:, rest])[0]
        pre, post = (np.sqrt(((part[:, j] - part[:, rest] @ w) ** 2).mean()) for part in (before, during))
        larger += post / pre >= row["ratio"]
    assert row["p_value"] == pytest.approx((1 + larger) / 5)
    assert row["smallest_p"] == pytest.approx(1 / 5)


# --- conformal ------------------------------------------------------------------------------------


def loop_p(panel, n_last, weigh):
    """Rotate the residuals one day at a time, and count."""
    w = weigh(panel[:, 0], panel[:, 1:])
    u = [abs(float(row[0] - row[1:] @ w)) for row in panel]
    own = sum(u[-n_last:])
    count = 0
    for _ in range(len(u)):
        count += sum(u[-n_last:]) >= own - 1e-15
        u = [*u[1:], u[0]]
    return count / len(u)


@pytest.mark.parametrize("penalty", [None, "ridge"])
@pytest.mark.parametrize("dated", DATED)
def test_conformal_p_equals_a_loop_over_rotations_with_weights_of_all_days(market, dated, penalty):
    found = mi.synthetic_control(events(), market, DONORS, penalty=penalty, inference="conformal", **WINDOWS)
    before, during = plain_panel(market, *dated)
    weigh = simplex_weights if penalty is None else (lambda y, x: ridge_weights(y, x)[0])
    row = found.table.row(by_predicate=pl.col("event_id") == f"{dated[0]} {dated[1]}", named=True)
    assert row["p_value"] == pytest.approx(loop_p(np.vstack([before, during]), 4, weigh), abs=1e-12)
    assert row["smallest_p"] == pytest.approx(1 / 144)
    # estimates stay those of the estimation window
    plain = mi.synthetic_control(events(), market, DONORS, penalty=penalty, **WINDOWS)
    assert found.weights.equals(plain.weights)
    assert found.table.drop("p_value", "smallest_p").equals(plain.table.drop("p_value", "smallest_p"))


def test_a_large_effect_has_the_smallest_p_and_one_donor_is_enough(market):
    moved = market.panel.select("symbol", "date", "ret").with_columns(
        ret=pl.col("ret") + pl.when((pl.col("symbol") == "A") & (pl.col("date") == DAYS[200])).then(0.2).otherwise(0.0)
    )
    benchmark = market.panel.filter(pl.col("symbol") == "A").select("date", ret="market")
    hit = mi.Market.from_returns(moved, benchmark)
    windows = WINDOWS | {"event_window": (0, 0)}
    found = mi.synthetic_control(events(), hit, ["P"], inference="conformal", **windows)
    first = found.table.row(by_predicate=pl.col("event_id") == "A 200", named=True)
    assert first["p_value"] == first["smallest_p"] == pytest.approx(1 / 141)


def test_shifts_are_moving_blocks_on_a_circle():
    assert shifted_means(np.array([1.0, 2.0, 3.0, 6.0]), 2).tolist() == [4.5, 3.5, 1.5, 2.5]


def test_a_perfect_fit_has_no_conformal_p():
    rng = np.random.default_rng(9)
    x = rng.normal(0, 0.02, (80, 3))
    both = np.column_stack([x @ [0.5, 0.25, 0.25], x])
    assert conformal_p(both[:79], both[79:], simplex_weights) is None


def test_an_event_without_a_return_on_a_window_day_is_compared_over_the_others(market):
    lacking = market.panel.select("symbol", "date", "ret").with_columns(
        ret=pl.when((pl.col("symbol") == "A") & (pl.col("date") == DAYS[201])).then(None).otherwise(pl.col("ret"))
    )
    benchmark = market.panel.filter(pl.col("symbol") == "A").select("date", ret="market")
    found = mi.synthetic_control(
        events(), mi.Market.from_returns(lacking, benchmark), DONORS, inference="conformal", **WINDOWS
    )
    before, during = plain_panel(market, "A", 200)
    row = found.table.row(by_predicate=pl.col("event_id") == "A 200", named=True)
    panel = np.vstack([before, np.delete(during, 2, axis=0)])
    assert (row["n_days"], row["smallest_p"]) == (3, pytest.approx(1 / 143))
    assert row["p_value"] == pytest.approx(loop_p(panel, 3, simplex_weights), abs=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": "rigde"}, r"penalty='rigde': choose from None, 'ridge'\. Did you mean 'ridge'\?"),
        ({"penalty": 0.5}, r"penalty=0\.5: choose from None, 'ridge'\.$"),
        ({"penalty": ["ridge"]}, r"penalty=\['ridge'\]: choose from"),
        ({"inference": "conformel"}, r"choose from 'placebo', 'conformal'\. Did you mean 'conformal'\?"),
        ({"inference": None}, r"inference=None: choose from 'placebo', 'conformal'\.$"),
    ],
)
def test_unknown_words_are_refused(market, options, message):
    with pytest.raises(mi.SpecificationError, match=message):
        mi.synthetic_control(events(), market, DONORS, **WINDOWS, **options)
