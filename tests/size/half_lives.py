"""Rejection rates of the filtered placebo t of one security by half-life and long-run part, in plain numpy.

    python -m tests.size.half_lives 10000        writes the table of docs/size_and_power.md

Standardised t5 returns, 240 estimation sessions, a gap of 10, one session tested; an effect of 2.8 calm standard
deviations, which Student's t finds in about 80 of 100 calm samples.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tests.size.situations import garch, gjr, t5

Floats = NDArray[np.float64]
SEED = 20261129
ESTIMATION, GAP = 240, 10
SESSIONS = ESTIMATION + GAP + 1
EFFECT = 2.8
#: Half-life in sessions, and the long-run part where the last sessions were calmer than usual.
FILTERS = ((3, 0.0), (3, 1 / 3), (5, 0.0), (5, 1 / 3), (11, 1 / 3), (23, 1 / 3))
#: The warm-up of the package: sessions before the first block.
WARM_UP = 6
PAGE = Path(__file__).parents[2] / "docs" / "size_and_power.md"


def since(sessions: int, factor: float) -> Floats:
    """Volatility by session: 1, then `factor` from so many sessions before the event."""
    return np.where(np.arange(SESSIONS) >= SESSIONS - 1 - sessions, factor, 1.0)


#: Situation -> volatility by session.
CHANGES: dict[str, Floats] = {
    "calm": since(0, 1.0),
    "x2 since 3 sessions": since(3, 2.0),
    "x2 since 10": since(10, 2.0),
    "x2 since 20": since(20, 2.0),
    "x2 since 70": since(70, 2.0),
    "halved since 40": since(40, 0.5),
}
TURBULENT = "GJR-GARCH, top tenth"
#: GARCH(1,1), any session, and those before which volatility was low.
GARCH, CALM_GARCH = "GARCH", "GARCH, variance ratio below 0.5"


def draw(situation: str, samples: int) -> Floats:
    """Draw returns of a situation, (samples, SESSIONS)."""
    rng = np.random.default_rng([SEED, sum(map(ord, situation))])
    if situation == GARCH:
        return garch(rng, samples, SESSIONS)
    if situation != TURBULENT:
        return t5(rng, (samples, SESSIONS)) * CHANGES[situation]
    rows = []
    while len(rows) < samples:
        x, h = gjr(rng)
        high = np.flatnonzero(h[SESSIONS:] >= np.quantile(h, 0.9)) + SESSIONS
        rows += [x[day - SESSIONS + 1 : day + 1] for day in rng.choice(high, 10)]
    return np.array(rows[:samples])


def p_values(returns: Floats, settings: tuple[int, float] | None) -> tuple[Floats, Floats]:
    """Test the last session of each row, by Student's t without settings; p-values and variance ratios."""
    e = returns - returns[:, :ESTIMATION].mean(axis=1, keepdims=True)
    window, last = e[:, :ESTIMATION], e[:, -1]
    variance, usual = window.var(axis=1, ddof=1), np.abs(window).mean(axis=1, keepdims=True)
    half_life, long_run = settings or FILTERS[1]
    recent = known_before(e, half_life) / usual
    ratio = recent[:, -1] ** 2
    if settings is None:
        t = np.abs(last) / np.sqrt(variance * (1 + 1 / ESTIMATION))
        return np.asarray(2.0 * stats.t.sf(t, ESTIMATION - 1)), ratio
    known = usual * np.where(recent < 1.0, (1.0 - long_run) * recent + long_run, recent)
    z = window / known[:, :ESTIMATION]
    n = np.isfinite(z[0]).sum()
    own = known[:, -1] ** 2 * np.nansum(z**2, axis=1) / n / (1 - 1 / ESTIMATION)
    return np.asarray(2.0 * stats.t.sf(np.abs(last) / np.sqrt(own + variance / ESTIMATION), n - 1)), ratio


def known_before(e: Floats, half_life: int) -> Floats:
    """Average the absolute values before each session, weights halving every `half_life`."""
    decay, known = 0.5 ** (1.0 / half_life), np.full(e.shape, np.nan)
    total = weight = np.zeros(len(e))
    for day in range(SESSIONS):
        if day >= WARM_UP:
            known[:, day] = total / weight
        total, weight = total * decay + np.abs(e[:, day]), weight * decay + 1.0
    return known


def table(samples: int) -> str:
    """Write size and power by filter and situation."""
    situations = [*CHANGES, TURBULENT, GARCH, CALM_GARCH]
    lines = ["| half-life, long-run part | " + " | ".join(situations) + " |", "|" + " --- |" * (len(situations) + 1)]
    drawn = {situation: draw(situation, samples) for situation in situations[:-1]}
    for settings in (None, *FILTERS):
        cells = []
        for situation in situations:
            returns = drawn[GARCH if situation == CALM_GARCH else situation]
            moved = returns.copy()
            moved[:, -1] += EFFECT
            rates = []
            for each in (returns, moved):
                p, ratio = p_values(each, settings)
                rates.append((p[ratio < 0.5] if situation == CALM_GARCH else p) < 0.05)
            cells.append(f"{rates[0].mean():.3f} / {rates[1].mean():.2f}")
        name = "Student's t" if settings is None else f"{settings[0]} sessions, {settings[1]:.2g}"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    n = int(sys.argv[1])
    text = f"{n:,} samples each, Monte-Carlo error {np.sqrt(0.05 * 0.95 / n):.3f} at 5%.\n\n{table(n)}"
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        re.sub(r"(?s)(<!-- half-lives -->\n).*?(<!-- end -->)", rf"\g<1>{text}\n\g<2>", page), encoding="utf-8"
    )
