"""Rejection rates and power of exposure slopes where a factor loads on the exposure.

    python -m tests.size.exposure_slopes 1000        prints a table in Markdown; three minutes of one core

Firms share a market and a factor that loads on the exposure; shocks are Student's t with five degrees of freedom. The
own p-values of the cross-section (HC1) take that factor for evidence; the slopes of the past have it in their spread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import polars as pl

from marketimpact.analyses.exposure_frames import slope_frame
from marketimpact.analyses.exposure_inputs import UNUSED, Announcement
from marketimpact.analyses.exposure_past import CrossSection, SlopeDesign
from marketimpact.analyses.exposure_sections import Cut
from marketimpact.analyses.exposure_tests import past_of

SEED, NOMINAL = 20261130, 0.05
#: p-values studied, and what they are called.
P_VALUES = {"hc1_p": "HC1", "p_value": "z", "p_rank": "rank", "p_filtered": "filtered"}
BURN, SESSIONS = 200, 530
#: Day 0: of a turbulent situation it comes after a session whose variance lies in this upper share.
TOP = 0.10


@dataclass(frozen=True)
class Situation:
    """Twelve or thirty firms, the factor that loads on their exposure, and what happens to its volatility."""

    title: str
    n: int = 12
    dummy: bool = True
    factor: float = 0.012
    own: float = 0.015
    garch: bool = False
    turbulent: bool = False
    window: tuple[int, int] = (0, 1)
    method: str = "ols"


SITUATIONS = {
    "none": Situation("12 firms, four of them exposed, no factor on the exposure", factor=0.0),
    "factor": Situation("the same, a factor on the exposure"),
    "factor_5": Situation("the same, window of five sessions", window=(0, 4)),
    "garch": Situation("the same, its volatility by GARCH, any day", garch=True),
    "turbulent": Situation("the same, day 0 after a variance in the top tenth", garch=True, turbulent=True),
    "thirty": Situation("30 firms, exposures from 0 to 1, a factor on the exposure", n=30, dummy=False),
    "gls": Situation("12 firms, a factor on the exposure, GLS", method="gls"),
}


def shocks(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_t(5, shape) / np.sqrt(5 / 3)


def volatility(rng: np.random.Generator, sessions: int) -> tuple[np.ndarray, np.ndarray]:
    """GARCH(1, 1) of persistence 0.97: standard deviations known the evening before, mean variance one, and shocks."""
    variance, shock = np.ones(sessions), shocks(rng, sessions)
    for t in range(1, sessions):
        variance[t] = 0.03 + (0.12 * shock[t - 1] ** 2 + 0.85) * variance[t - 1]
    return np.sqrt(variance), shock


def draw(situation: Situation, seed: int) -> CrossSection:
    """Draw firms and their returns around day 0."""
    rng = np.random.default_rng(seed)
    n, last = situation.n, max(situation.window[1], 0)
    length = BURN + SESSIONS + last + 1 + (250 if situation.turbulent else 0)
    scale, shock = volatility(rng, length) if situation.garch else (np.ones(length), shocks(rng, length))
    day = BURN + SESSIONS
    if situation.turbulent:  # among the sessions of a year, one after which the variance is in the top tenth
        span = np.arange(day, day + 250)
        day = int(rng.choice(span[scale[span] >= np.quantile(scale[span], 1 - TOP)]))
    cut = slice(day - SESSIONS, day + last + 1)
    width = SESSIONS + last + 1
    exposed = (np.arange(n) < n // 3).astype(float) if situation.dummy else np.linspace(0, 1, n)
    factor, market = situation.factor * (scale * shock)[cut], 0.011 * shocks(rng, width)
    betas, own = rng.uniform(0.8, 1.6, n), situation.own * rng.uniform(0.6, 1.4, (n, 1)) * shocks(rng, n, width)
    ret = np.outer(betas, market) + np.outer(exposed, factor) + own
    x = np.column_stack([np.ones(n), exposed])
    return CrossSection(tuple(map(str, range(n))), x, None, -SESSIONS, ret, np.tile(market, (n, 1)))


def tests_of(situation: Situation, section: CrossSection) -> pl.DataFrame:
    design = SlopeDesign(situation.window, 250, 10, situation.method, abnormal=False, estimation=250)
    cut = Cut(Announcement("simulated", pl.DataFrame(), ("x",)), section, pl.DataFrame(schema=UNUSED), ())
    return slope_frame(cut, design, past_of(section, design))


def outcomes(key: str, samples: int) -> Iterator[dict[str, float | bool]]:
    """Yield p-values of each sample without an effect, and filtered and z with a slope of the detectable size."""
    situation = SITUATIONS[key]
    for sample in range(samples):
        section = draw(situation, SEED + crc32(key.encode()) % 10**6 + sample)
        row = tests_of(situation, section).row(0, named=True)
        found: dict[str, float | bool] = {name: row[name] for name in P_VALUES} | {"valid": row["valid"]}
        for name, mde in (("p_value", "mde"), ("p_filtered", "mde_filtered")):
            first = situation.window[0] - section.first
            moved = section.ret.copy()
            moved[:, first] += row[mde] * section.x[:, 1]
            hit = CrossSection(section.symbols, section.x, None, section.first, moved, section.market)
            found[f"power_{name}"] = tests_of(situation, hit)[name][0] < NOMINAL
        yield found


def rates(key: str, samples: int) -> pl.DataFrame:
    """Count rejections of each test: ``test, rate, error``, and power at the detectable slope."""
    frame = pl.DataFrame(list(outcomes(key, samples)))
    rows = [(title, float((frame[name] < NOMINAL).mean())) for name, title in P_VALUES.items()]
    valid = frame.filter("valid")
    rows.append(("z where valid", float((valid["p_value"] < NOMINAL).mean()) if valid.height else np.nan))
    rows += [(f"{P_VALUES[name]} finds its detectable slope", float(frame[f"power_{name}"].mean()))
             for name in ("p_value", "p_filtered")]  # fmt: skip
    return pl.DataFrame(rows, schema=["test", "rate"], orient="row").with_columns(
        error=(pl.col("rate") * (1 - pl.col("rate")) / samples).sqrt()
    )


def main(samples: int) -> None:
    for number, key in enumerate(SITUATIONS):
        found = rates(key, samples if SITUATIONS[key].method == "ols" else max(samples // 4, 1))
        if not number:
            print("| situation | " + " | ".join(found["test"]) + " |")
            print("|" + " --- |" * (found.height + 1))
        print(f"| {SITUATIONS[key].title} | " + " | ".join(f"{rate:.3f}" for rate in found["rate"]) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
