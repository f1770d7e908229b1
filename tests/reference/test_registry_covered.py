"""Every registered model and test has a second opinion in the suite, and this is where it is."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import marketimpact as mi
from marketimpact.inference import TESTS

HERE = Path(__file__).parent
LEAST_SQUARES = "test_models_second.py::test_least_squares_models_equal_statsmodels"
ROBUST = "test_models_second.py::test_robust_lines_by_plain_loops"
FORMULA = "second_formulas.py", "test_tests_second.py::test_equals_the_formula"
DATES = "second_formulas.py", "test_tests_second.py::test_over_dates_equals_the_formula"
FILTERED = "test_filtered_placebo.py::test_the_mean_of_several_dates_is_that_of_a_plain_loop"
WILKS = "test_tests_second.py::test_mvrm_equals_wilks"

#: Name -> test function that compares it; before it, where the name stands if not in the same file.
COVERED: dict[str, str | tuple[str, str]] = {
    "mean_adjusted": LEAST_SQUARES,
    "comparison_period_mean": LEAST_SQUARES,
    "market_adjusted": "test_models_second.py::test_market_adjusted_is_the_difference_on_a_constant",
    "market_model": LEAST_SQUARES,
    "capm": LEAST_SQUARES,
    "capm_restricted": LEAST_SQUARES,
    "ff3": LEAST_SQUARES,
    "carhart": LEAST_SQUARES,
    "ff5": LEAST_SQUARES,
    "factor_model": LEAST_SQUARES,
    "market_plus_sox": LEAST_SQUARES,
    "peer_mean": "test_peer_models.py::test_peer_mean_equals_statsmodels",
    "statistical_factors": "test_peer_models.py::test_statistical_factors_by_a_singular_value_decomposition",
    "ridge_peers": "test_peer_models.py::test_ridge_peers_by_augmented_least_squares",
    "scholes_williams": "test_models_second.py::test_scholes_williams_equals_linearmodels",
    "dimson_lag1": LEAST_SQUARES,
    "dimson_1_1": LEAST_SQUARES,
    "huber": ROBUST,
    "theil_sen": ROBUST,
    "trade_to_trade": "test_changing_variance.py::test_trade_to_trade_is_weighted_least_squares",
    "garch11": "test_changing_variance.py::test_garch_likelihood_by_an_optimiser_of_our_own",
    "egarch11": "test_changing_variance.py::test_egarch_likelihood_is_the_textbook_one",
    "wild_cluster_webb": "test_resampling_second.py::test_webb_weights_against_all_patterns",
    "skew_johnson_bootstrap": "test_resampling_second.py::test_skewness_bootstrap_against_all_resamples",
    "skew_hall_bootstrap": "test_resampling_second.py::test_skewness_bootstrap_against_all_resamples",
    "mvrm_joint_bootstrap": "test_resampling_second.py::"
    "test_the_joint_bootstrap_is_the_exact_f_when_returns_are_normal",
    "bmp_kp": FORMULA,
    "date_means_t": DATES,
    "wild_cluster": DATES,
    "portfolio_regression": FORMULA,
    "filtered_placebo_t": FILTERED,
    "filtered_placebo_rank": FILTERED,
    "patell_kp": FORMULA,
    "crude_dependence": FORMULA,
    "placebo_caar": FORMULA,
    "grank_t": FORMULA,
    "bmp": FORMULA,
    "patell_scar": FORMULA,
    "cross_sectional_t": FORMULA,
    "generalized_sign": FORMULA,
    "placebo_scaar": FORMULA,
    "placebo_bmp": FORMULA,
    "placebo_median_scar": FORMULA,
    "conformal_blocks": FORMULA,
    "residual_bootstrap": "test_tests_second.py::test_residual_bootstrap_is_near_its_exact_distribution",
    "cluster_t": DATES,
    "sign_flip_date": DATES,
    "grank_t_r": FORMULA,
    "gsign_t": FORMULA,
    "corrado_rank": FORMULA,
    "corrado_zivney": FORMULA,
    "corrado_zivney_adj": FORMULA,
    "rank_blocks": FORMULA,
    "grank_z": FORMULA,
    "mvrm_average_F": WILKS,
    "mvrm_joint_F": WILKS,
    "mvrm_equal_F": WILKS,
    "portfolio_independent": FORMULA,
    "patell": FORMULA,
    "patell_perfirm": FORMULA,
    "jackknife_weighted": FORMULA,
    "skew_johnson": FORMULA,
    "skew_hall": FORMULA,
    "sign": FORMULA,
    "wilcoxon": FORMULA,
    "event_variance_ratio": FORMULA,
    "cav": FORMULA,
    "patell_kp_allpairs": FORMULA,
    "bmp_kp_allpairs": FORMULA,
    "mvrm_joint_wald": "test_tests_second.py::test_mvrm_wald_equals_linearmodels_sur",
}


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((HERE / file).read_text(encoding="utf-8"))


def functions(file: str) -> set[str]:
    return {node.name for node in tree(file).body if isinstance(node, ast.FunctionDef)}


def strings(file: str) -> set[str]:
    return {
        word
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for word in (node.value, *re.findall(r"``(\w+)``", node.value))
    }


@pytest.mark.parametrize("name", [*mi.MODELS, *TESTS])
def test_a_registered_name_has_a_second_opinion(name):
    assert name in COVERED, f"{name} is registered; write a second opinion in tests/reference and name it here"
    where = COVERED[name]
    spelled, test = where if isinstance(where, tuple) else (where.split("::")[0], where)
    file, function = test.split("::")
    assert function in functions(file), f"{file} has no function {function}"
    assert name in strings(spelled), f"{spelled} does not speak of {name}"


def test_nothing_is_covered_that_is_not_registered():
    assert set(COVERED) == {*mi.MODELS, *TESTS}
