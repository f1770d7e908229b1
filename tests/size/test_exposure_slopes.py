"""Slopes keep their size where a factor loads on the exposure, and find what is said to be detectable.

A rate of 5% has a Monte Carlo standard error of 0.011 at 400 samples; bounds are 3 of them. docs/procedures/
exposure_slope.md has the rates of `python -m tests.size.exposure_slopes 500`.
"""

from __future__ import annotations

import pytest

from tests.size.exposure_slopes import rates

pytestmark = pytest.mark.slow

SAMPLES, ERROR = 400, 0.011


def found(key: str, samples: int = SAMPLES) -> dict[str, float]:
    return dict(rates(key, samples).select("test", "rate").rows())


@pytest.mark.parametrize("key", ["none", "factor", "factor_5", "garch", "thirty"])
def test_the_past_gives_the_size_and_the_power(key):
    rate = found(key)
    assert all(rate[test] < 0.05 + 3 * ERROR for test in ("z", "rank", "filtered", "z where valid"))
    assert all(
        rate[f"{test} finds its detectable slope"] == pytest.approx(0.80, abs=0.07) for test in ("z", "filtered")
    )
    assert (rate["HC1"] > 0.12) == (key != "none")


def test_after_turbulent_days_only_the_filter_keeps_its_size():
    rate = found("turbulent")
    assert rate["filtered"] < 0.05 + 3 * ERROR
    assert rate["z where valid"] < 0.05 + 3 * 2 * ERROR  # in fewer than half of the samples
    assert rate["z"] > 0.09


def test_gls_keeps_its_size():
    rate = found("gls", 150)
    assert all(rate[test] < 0.05 + 3 * 0.018 for test in ("z", "rank", "filtered"))
