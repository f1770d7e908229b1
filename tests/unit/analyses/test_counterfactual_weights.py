"""Weights of a synthetic control: optimal among all donors, by the conditions of Karush, Kuhn and Tucker."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from marketimpact.analyses import counterfactual_weights
from marketimpact.analyses.counterfactual_weights import FIRST_DONORS, simplex_weights

DAYS, DONORS = 239, 450
KINDS = ("independent", "whole numbers", "repeated donors", "two factors", "constant donors", "unlike scales")


def fit_of_all(y, x):
    """Weights by one fit over all donors: the sum is pulled to one by a row that weighs as much as the data."""
    gap = x - y[:, None]
    pull = np.sqrt((gap**2).sum(axis=0).mean())
    solution, _ = nnls(np.vstack([gap, np.full(x.shape[1], pull)]), np.append(np.zeros(len(y)), pull))
    return solution / solution.sum()


def squared_gaps(y, x, w):
    return ((y - x @ w) ** 2).sum()


def distance_to_optimum(y, x, w):
    """Upper bound of the squared gaps above their minimum: they are convex, and no donor is further downhill."""
    gap = x @ w - y
    return 2 * (gap @ (x @ w) - (x.T @ gap).min())


def assert_optimal(y, x, w, relative=1e-9):
    assert (w >= 0).all()
    assert w.sum() == pytest.approx(1.0, abs=1e-12)
    # where the fit is perfect the gap is the rounding of weights times the returns of their donors
    size, sizes = np.linalg.norm(y), np.linalg.norm(x, axis=0)
    rounding = 1e-14 * (size + sizes[w > 0].max()) * (size + sizes.max())
    nearest = ((x - y[:, None]) ** 2).sum(axis=0).min()
    assert distance_to_optimum(y, x, w) <= relative * squared_gaps(y, x, w) + 1e-12 * nearest + rounding


def returns_of(kind, rng, n_days, n_donors):
    x = rng.normal(0, 0.02, (n_days, n_donors))
    if kind == "whole numbers":
        x = rng.integers(-2, 3, (n_days, n_donors)).astype(float)
    if kind == "repeated donors":
        x = x[:, rng.integers(0, n_donors, n_donors)]
    if kind == "two factors":
        x = rng.normal(0, 0.02, (n_days, 2)) @ rng.normal(size=(2, n_donors))
    if kind == "constant donors":
        x = np.tile(rng.normal(0, 0.02, n_donors), (n_days, 1))
    return x * 10.0 ** rng.uniform(-2, 2, n_donors) if kind == "unlike scales" else x


@pytest.fixture(scope="module")
def market():
    """Returns of 450 donors with a common factor and sectors; more donors than days."""
    rng = np.random.default_rng(11)
    sectors = rng.normal(0, 0.008, (DAYS, 9)) @ rng.uniform(0, 1.2, (9, DONORS + 1))
    return sectors + rng.normal(0, 1, (DAYS, DONORS + 1)) * rng.uniform(0.006, 0.025, DONORS + 1)


@pytest.fixture
def fitted(monkeypatch):
    """The number of donors of every call of the solver."""
    columns = []

    def counting(matrix, target):
        columns.append(matrix.shape[1])
        return nnls(matrix, target)

    monkeypatch.setattr(scipy.optimize, "nnls", counting)
    return columns


def test_few_of_many_donors_are_fitted_and_none_of_the_others_would_lower_the_gaps(market, fitted):
    y, x = market[:, 0], market[:, 1:]
    ours, theirs = simplex_weights(y, x), fit_of_all(y, x)
    assert sum(fitted) < DONORS / 2
    assert fitted[0] == FIRST_DONORS
    assert_optimal(y, x, ours, relative=1e-12)
    assert squared_gaps(y, x, ours) <= squared_gaps(y, x, theirs) * (1 + 1e-12)
    np.testing.assert_allclose(x @ ours, x @ theirs, atol=1e-12)
    np.testing.assert_allclose(ours, theirs, atol=1e-10)
    assert 5 < (ours > 0).sum() < FIRST_DONORS


def test_a_portfolio_of_most_donors_is_found_too(market, fitted):
    """The mean of 300 donors with a little noise: more get a weight than the first fit has donors."""
    x = market[:, 1:]
    y = x[:, :300].mean(axis=1) + np.random.default_rng(2).normal(0, 0.001, DAYS)
    ours, theirs = simplex_weights(y, x), fit_of_all(y, x)
    assert_optimal(y, x, ours)
    assert squared_gaps(y, x, ours) == pytest.approx(squared_gaps(y, x, theirs), rel=1e-11)
    np.testing.assert_allclose(x @ ours, x @ theirs, atol=1e-10)
    assert (ours > 0).sum() > 2 * FIRST_DONORS
    assert fitted == [FIRST_DONORS, DONORS]


def test_up_to_64_donors_are_one_fit(market, fitted):
    y, x = market[:, 0], market[:, 1 : FIRST_DONORS + 1]
    np.testing.assert_allclose(simplex_weights(y, x), fit_of_all(y, x), atol=1e-13)
    assert fitted == [FIRST_DONORS]


def test_a_mix_of_donors_is_found_again(market):
    x = market[:, 1:]
    mix = np.zeros(DONORS)
    mix[:80] = np.random.default_rng(3).dirichlet(np.ones(80))
    ours = simplex_weights(x @ mix, x)
    np.testing.assert_allclose(x @ ours, x @ mix, atol=1e-13)


@given(
    st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 70), st.integers(1, 12),
    st.sampled_from(["noise", "mix", "donor"]),
)  # fmt: skip
def test_weights_are_optimal_whatever_the_donors(kind, seed, n_days, n_donors, first, target):
    rng = np.random.default_rng(seed)
    x = returns_of(kind, rng, n_days, n_donors)
    y = {"noise": rng.normal(0, 0.02, n_days), "mix": x @ rng.dirichlet(np.ones(n_donors)), "donor": x[:, 0]}[target]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counterfactual_weights, "FIRST_DONORS", first)
        w = simplex_weights(y, x)
        # powers of two scale without rounding
        np.testing.assert_array_equal(simplex_weights(y * 8, x * 8), w)
    assert_optimal(y, x, w)
    if (x != y[:, None]).any():
        theirs = squared_gaps(y, x, fit_of_all(y, x))
        assert squared_gaps(y, x, w) <= theirs * (1 + 1e-9) + 1e-28 * (x**2).sum(axis=0).max()


@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_a_repeated_donor_or_another_unit_leaves_the_portfolio(seed, n_donors):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 0.02, (60, n_donors)), rng.normal(0, 0.02, 60)
    path = x @ simplex_weights(y, x)
    twice = np.hstack([x, x])
    np.testing.assert_allclose(twice @ simplex_weights(y, twice), path, atol=1e-12)
    np.testing.assert_allclose(simplex_weights(100 * y, 100 * x), simplex_weights(y, x), atol=1e-10)


def test_one_donor_has_all_the_weight():
    rng = np.random.default_rng(4)
    assert simplex_weights(rng.normal(size=60), rng.normal(size=(60, 1))).tolist() == [1.0]


@pytest.mark.parametrize("n_donors", [1, 3, 70])
def test_donors_that_are_the_security_itself_fit_perfectly(n_donors):
    y = np.random.default_rng(5).normal(0, 0.02, 60)
    w = simplex_weights(y, np.repeat(y[:, None], n_donors, axis=1))
    assert (w >= 0).all()
    assert w.sum() == pytest.approx(1.0, abs=1e-12)
