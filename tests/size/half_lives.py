"""Rejection rates of the filtered placebo t of one security by the half-life of its weights, in plain numpy.

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

from tests.size.situations import gjr, t5

Floats = NDArray[np.float64]
SEED = 20261129
ESTIMATION, GAP = 240, 10
SESSIONS = ESTIMATION + GAP + 1
EFFECT = 2.8
HALF_LIVES = (3, 5, 7, 11, 23)
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


def draw(situation: str, samples: int) -> Floats:
    """Draw returns of a situation, (samples, SESSIONS)."""
    rng = np.random.default_rng([SEED, sum(map(ord, situation))])
    if situation != TURBULENT:
        return t5(rng, (samples, SESSIONS)) * CHANGES[situation]
    rows = []
    while len(rows) < samples:
        x, h = gjr(rng)
        high = np.flatnonzero(h[SESSIONS:] >= np.quantile(h, 0.9)) + SESSIONS
        rows += [x[day - SESSIONS + 1 : day + 1] for day in rng.choice(high, 10)]
    return np.array(rows[:samples])


def p_values(returns: Floats, half_life: int | None) -> Floats:
    """Test the last session of each row; by Student's t without a half-life."""
    e = returns - returns[:, :ESTIMATION].mean(axis=1, keepdims=True)
    window, last = e[:, :ESTIMATION], e[:, -1]
    usual = window.var(axis=1, ddof=1)
    if half_life is None:
        return np.asarray(2.0 * stats.t.sf(np.abs(last) / np.sqrt(usual * (1 + 1 / ESTIMATION)), ESTIMATION - 1))
    decay = 0.5 ** (1.0 / half_life)
    known = np.full(e.shape, np.nan)
    total = weight = np.zeros(len(e))
    for day in range(SESSIONS):
        if day >= 2 * half_life:
            known[:, day] = total / weight
        total, weight = total * decay + np.abs(e[:, day]), weight * decay + 1.0
    z = window / known[:, :ESTIMATION]
    n = np.isfinite(z[0]).sum()
    variance = known[:, -1] ** 2 * np.nansum(z**2, axis=1) / n / (1 - 1 / ESTIMATION) + usual / ESTIMATION
    return np.asarray(2.0 * stats.t.sf(np.abs(last) / np.sqrt(variance), n - 1))


def table(samples: int) -> str:
    """Write size and power by half-life and situation."""
    situations = [*CHANGES, TURBULENT]
    lines = ["| half-life | " + " | ".join(situations) + " |", "|" + " --- |" * (len(situations) + 1)]
    drawn = {situation: draw(situation, samples) for situation in situations}
    for half_life in (None, *HALF_LIVES):
        cells = []
        for returns in drawn.values():
            moved = returns.copy()
            moved[:, -1] += EFFECT
            size, power = ((p_values(each, half_life) < 0.05).mean() for each in (returns, moved))
            cells.append(f"{size:.3f} / {power:.2f}")
        name = "Student's t" if half_life is None else f"{half_life} sessions"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    n = int(sys.argv[1])
    text = f"{n:,} samples each, Monte-Carlo error {np.sqrt(0.05 * 0.95 / n):.3f} at 5%.\n\n{table(n)}"
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        re.sub(r"(?s)(<!-- half-lives -->\n).*?(<!-- end -->)", rf"\g<1>{text}\n\g<2>", page), encoding="utf-8"
    )
