"""Rejection rates of weighted means under a true null: one date, weights that differ a hundredfold, fat tails."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi

pytestmark = pytest.mark.slow

DRAWS, N_FIRMS, N_SESSIONS, DAY0 = 300, 24, 262, 240
DAYS = [day for day in (date(2019, 1, 1) + timedelta(i) for i in range(500)) if day.weekday() < 5][:N_SESSIONS]
SYMBOLS = [f"S{number:02d}" for number in range(N_FIRMS)]
STUDY = mi.EventStudy(estimation_window=(-210, -11), event_window=(-5, 5))
TESTS = ("bmp_kp", "portfolio_regression", "filtered_placebo_t")
#: Three standard errors above 5%.
MOST = 0.05 + 3.0 * (0.05 * 0.95 / DRAWS) ** 0.5


def drawn(rng: np.random.Generator, heavy: int) -> mi.StudyResult:
    """Draw a market whose firms share a shock; the `heavy` first ones have another one and 20 times the weight."""
    index = 0.008 * rng.standard_t(5, N_SESSIONS)
    shared = 0.004 * rng.standard_t(4, (N_SESSIONS, 1)) * rng.uniform(0.5, 1.5, N_FIRMS)
    own = rng.standard_t(4, (N_SESSIONS, N_FIRMS)) * rng.uniform(0.006, 0.014, N_FIRMS)
    returns = index[:, None] * rng.uniform(0.5, 1.5, N_FIRMS) + shared + own
    returns[:, :heavy] += 0.014 * rng.standard_t(4, (N_SESSIONS, 1))
    weights = rng.lognormal(0.0, 1.0, N_FIRMS)
    weights[:heavy] *= 20.0
    long = {"date": [day for day in DAYS for _ in SYMBOLS], "symbol": SYMBOLS * N_SESSIONS, "ret": returns.ravel()}
    market = mi.Market.from_returns(pl.DataFrame(long), pl.DataFrame({"date": DAYS, "ret": index}))
    events = {"event_id": SYMBOLS, "symbol": SYMBOLS, "date": [DAYS[DAY0]] * N_FIRMS, "cap": weights}
    return STUDY.run(pl.DataFrame(events), market)


@pytest.mark.parametrize("heavy", [0, 1, 3])
def test_weighted_means_reject_a_true_null_in_about_five_of_a_hundred_samples(heavy):
    rng, rejected = np.random.default_rng(70 + heavy), dict.fromkeys([*TESTS, "band"], 0)
    for _ in range(DRAWS):
        result = drawn(rng, heavy)
        band = result.caar(0, 0, weights="cap").row(0, named=True)
        rejected["band"] += not band["ci_low"] <= 0.0 <= band["ci_high"]
        for name, p in result.test(0, 0, tests=TESTS, weights="cap").select("test", "p_value").iter_rows():
            rejected[name] += p < 0.05
    assert max(rejected.values()) / DRAWS < MOST, rejected
    assert min(rejected.values()) / DRAWS > 0.01, rejected
