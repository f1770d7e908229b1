"""Tests keep their size, and r is right, for one announcement in New York, Shanghai and Taipei."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.size.crossmarket import AFTER_ASIA, IN_ASIA, estimators, rates, true_correlation

LEVEL = 0.05
#: Rejection rates of the tests that are valid on one date of one exchange (docs/size_and_power.md).
ONE_DATE = 0.07


def most(samples: int, size: float) -> float:
    """Rate that a test of this size exceeds in one of a thousand studies."""
    return float(stats.binom.ppf(0.999, samples, size)) / samples


@pytest.mark.parametrize(("hour", "length"), [(AFTER_ASIA, 1), (IN_ASIA, 2)])
def test_linked_sessions_recover_the_correlation_of_the_sums_and_dates_do_not(hour, length):
    truth = true_correlation(length, hour)
    found = {name: values.mean() - truth for name, values in estimators(60, length, hour, seed=5).items()}
    assert abs(found["linked"]) < 0.025
    assert found["date"] < -0.06


def test_one_announcement_on_three_exchanges_small():
    names = ["bmp_kp", "placebo_bmp"]
    found = rates(60, names, (0, 0), AFTER_ASIA, seed=7)
    for name, rate, valid, samples in found.rows():
        assert rate <= most(samples, ONE_DATE), name
        assert valid >= 0.9, name


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 2, 5, 11])
@pytest.mark.parametrize("hour", [AFTER_ASIA, IN_ASIA])
def test_linked_sessions_are_unbiased_in_every_window(hour, length):
    found = estimators(1000, length, hour, seed=11)["linked"]
    assert abs(found.mean() - true_correlation(length, hour)) < 0.005 + 4 * found.std() / np.sqrt(len(found))


@pytest.mark.slow
@pytest.mark.parametrize("window", [(0, 0), (0, 1), (-1, 3)])
@pytest.mark.parametrize("hour", [AFTER_ASIA, IN_ASIA])
def test_one_announcement_on_three_exchanges(hour, window):
    names = ["bmp_kp", "patell_kp", "portfolio_regression", "placebo_caar", "placebo_bmp", "gsign_t", "corrado_rank"]
    for name, rate, _, samples in rates(1000, names, window, hour, seed=7).rows():
        assert rate <= most(samples, ONE_DATE), name


@pytest.mark.slow
@pytest.mark.parametrize("window", [(0, 0), (0, 1)])
def test_eight_announcements_on_three_exchanges(window):
    names = ["date_means_t", "wild_cluster", "wild_cluster_webb", "cluster_t", "sign_flip_date", "bmp_kp"]
    found = rates(600, names, window, AFTER_ASIA, seed=3, per_exchange=3, announcements=8)
    for name, rate, valid, samples in found.rows():
        assert rate <= most(samples, LEVEL if name != "bmp_kp" else ONE_DATE), name
        # eight announcements cannot show whether the common shock was larger than usual; over two sessions the Lunar New
        # Year joins two announcements in some samples, and the result says so
        assert valid == 0.0 if name == "bmp_kp" else valid >= (0.9 if window == (0, 0) else 0.5), name
