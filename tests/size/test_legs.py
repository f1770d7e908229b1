"""Legs in simulation: what the samples are, how they are counted, and the published rates."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from tests.size import legs
from tests.size.legs import BETA, DAY0, EFFECT, GAP, MARKET_SD, MOST_STALE, NOMINAL, OWN_SD, SITUATIONS, TURBULENT

PUBLISHED = pl.read_csv(legs.RATES)


def drawn(situation: str, effect: float = 0.0, samples: int = 60) -> list[legs.Legs]:
    return [legs.draw(situation, effect, np.random.default_rng(seed)) for seed in range(samples)]


def test_legs_have_volatilities_of_their_own():
    samples = drawn("calm")
    own = np.concatenate([one.firms - BETA * one.fund[:, :, None] for one in samples], axis=1)
    np.testing.assert_allclose(own.std(axis=(1, 2)), OWN_SD, rtol=0.03)
    np.testing.assert_allclose(np.concatenate([one.fund for one in samples], axis=1).std(axis=1), MARKET_SD, rtol=0.05)


def test_the_index_opens_with_members_at_their_last_close():
    """Its night is a part of the fund's; the day has the rest, and the session is the same."""
    for one in drawn("gap", samples=5):
        share = one.index[0] / one.fund[0]
        assert share.min() >= 1 - MOST_STALE - 1e-12
        assert share.max() <= 1 + 1e-12
        np.testing.assert_allclose(np.prod(1 + one.index, axis=0), np.prod(1 + one.fund, axis=0), rtol=1e-12)
        assert one.fund[0, DAY0] == GAP


def test_nights_alone_are_turbulent_and_the_effect_is_overnight():
    calm, turbulent = legs.draw("calm", 0.0, np.random.default_rng(4)), legs.draw(
        "turbulent", EFFECT, np.random.default_rng(4)
    )  # fmt: skip
    last = slice(DAY0 - TURBULENT + 1, DAY0)
    np.testing.assert_allclose(turbulent.firms[0, last], 2 * calm.firms[0, last], rtol=1e-12)
    np.testing.assert_allclose(turbulent.firms[0, DAY0] - EFFECT, 2 * calm.firms[0, DAY0], rtol=1e-12)
    np.testing.assert_allclose(turbulent.firms[1], calm.firms[1], rtol=1e-12)


def test_rates_count_what_the_samples_say():
    """Against the p-values by plain Python; the error is that of means over samples."""
    frame = legs.rows("calm", 0.0, 0, 3)
    found = legs.counts(frame).filter(leg="overnight", benchmark="fund").rows_by_key("test", named=True, unique=True)
    for test in legs.TESTS:
        own = frame.filter(leg="overnight", benchmark="fund", test=test).to_dicts()
        by_sample = [
            np.mean([row["valid"] and row["p_value"] < NOMINAL for row in own if row["sample"] == sample])
            for sample in range(3)
        ]
        assert found[test]["rate"] == pytest.approx(np.mean(by_sample))
        assert found[test]["mc_error"] == pytest.approx(np.std(by_sample, ddof=1) / math.sqrt(3))
        assert found[test]["samples"] == 3


def test_published_rates_are_complete_and_calm_ones_near_the_level():
    """Against the fund, within four Monte-Carlo errors of what a 5% test of finite samples may have."""
    assert PUBLISHED.height == len(SITUATIONS) * 2 * len(legs.CELLS) * len(legs.TESTS)
    calm = PUBLISHED.filter(situation="calm", effect=0.0, benchmark="fund")
    assert calm.height == 9
    assert (calm["rate"] <= 0.07 + 4 * calm["mc_error"]).all()


def test_published_power_is_larger_overnight_than_over_the_session():
    moved = PUBLISHED.filter(situation="calm", effect=EFFECT, benchmark="fund")
    rates = {(row["leg"], row["test"]): row["rate"] for row in moved.to_dicts()}
    assert all(rates["overnight", test] > rates["session", test] > rates["day", test] for test in legs.TESTS)


@pytest.mark.slow
def test_rates_are_those_of_the_code():
    again = legs.run(40, ("calm",), workers=1).filter(effect=0.0)
    keys = ["situation", "effect", "leg", "benchmark", "test"]
    both = again.join(PUBLISHED, on=keys, suffix="_published", validate="1:1")
    error = (both["mc_error"] ** 2 + both["mc_error_published"] ** 2).sqrt() + 0.01
    assert both.height == 15
    assert ((both["rate"] - both["rate_published"]).abs() <= 4 * error).all()
