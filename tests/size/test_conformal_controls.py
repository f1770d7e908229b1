"""Size of the conformal p of a synthetic control, simulated at nominal 5%.

One factor, donors with loadings from 0.5 to 1.5, own noise normal or AR(1). Rates have a Monte-Carlo standard error of
0.003 at 4,000 samples. The table of docs/procedures/synthetic_control.md:
python -m tests.size.test_conformal_controls 4000
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
import pytest

from marketimpact.analyses.counterfactual_conformal import conformal_p, shifted_means
from marketimpact.analyses.counterfactual_ridge import ridge_weights
from marketimpact.analyses.counterfactual_weights import simplex_weights

pytestmark = pytest.mark.slow

NOMINAL = 0.05
#: Volatility of the factor and of each security's own noise, fractions a day.
FACTOR_SD, OWN_SD = 0.012, 0.018


class Situation(NamedTuple):
    """Estimation days, donors, days of the window, autocorrelation of own noise, effect on day 0 (a fraction)."""

    days: int
    donors: int
    window: int
    rho: float
    effect: float = 0.0


SITUATIONS = [
    Situation(days, donors, window, rho)
    for days, donors in ((60, 10), (60, 30), (240, 30))
    for window in (1, 5)
    for rho in (0.0, 0.3, 0.6)
]


def ridge(y, x):
    return ridge_weights(y, x)[0]


def without_refit(before, during):
    """Residuals of weights that have seen the estimation days but not the window: p is too small."""
    w = simplex_weights(before[:, 0], before[:, 1:])
    both = np.vstack([before, during])
    means = shifted_means(np.abs(both[:, 0] - both[:, 1:] @ w), len(during))
    return float((means >= means[0]).mean())


WAYS = {
    "refit under the null": lambda before, during: conformal_p(before, during, simplex_weights),
    "weights of estimation days alone": without_refit,
    "ridge, refit under the null": lambda before, during: conformal_p(before, during, ridge),
}


def draw(situation: Situation, rng: np.random.Generator):
    """Draw returns of the security and its donors before and during the event; the null is true without an effect."""
    n = situation.days + situation.window
    own = rng.normal(0, OWN_SD, (n + 50, 1 + situation.donors))
    for day in range(1, len(own)):
        own[day] = situation.rho * own[day - 1] + np.sqrt(1 - situation.rho**2) * own[day]
    loadings = np.append(1.0, rng.uniform(0.5, 1.5, situation.donors))
    both = rng.normal(0, FACTOR_SD, (n, 1)) * loadings + own[50:]
    both[situation.days, 0] += situation.effect
    return both[: situation.days], both[situation.days :]


def rates(situation: Situation, samples: int, ways: tuple[str, ...]) -> dict[str, float]:
    rng = np.random.default_rng([20211116, *map(ord, str(situation))])
    drawn = [draw(situation, rng) for _ in range(samples)]
    return {way: float(np.mean([WAYS[way](*one) <= NOMINAL for one in drawn])) for way in ways}


@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.parametrize(("days", "donors"), [(60, 10), (60, 30), (240, 30)])
def test_size_is_exact_for_exchangeable_days(days, donors, window):
    """The exact size is the largest multiple of 1 / (days + window) up to 5% for single days; 3 errors of 2,000."""
    found = rates(Situation(days, donors, window, 0.0), 2000, ("refit under the null",))["refit under the null"]
    largest = np.floor(NOMINAL * (days + window)) / (days + window)
    assert found == pytest.approx(largest, abs=3 * np.sqrt(NOMINAL * (1 - NOMINAL) / 2000) + 1 / (days + window))


def test_weights_that_have_not_seen_the_window_reject_too_often():
    found = rates(Situation(60, 30, 1, 0.0), 2000, ("refit under the null", "weights of estimation days alone"))
    assert found["weights of estimation days alone"] > found["refit under the null"] + 0.015


if __name__ == "__main__":
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    print("days donors window rho |", " | ".join(WAYS))
    for one in SITUATIONS:
        small = one.days == 60 and one.donors == 10
        found = rates(one, samples, tuple(WAYS) if small else tuple(WAYS)[:2])
        print(*one[:4], "|", " | ".join(f"{way} {rate:.3f}" for way, rate in found.items()), flush=True)
    for one in (Situation(240, 30, window, 0.0, effect) for window in (1, 5) for effect in (0.04, 0.08)):
        print(
            *one, "power", f"{rates(one, samples, ('refit under the null',))['refit under the null']:.3f}", flush=True
        )
