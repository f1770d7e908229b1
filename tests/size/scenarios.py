"""Samples under a known truth: semiconductor-like returns, drawn through nothing but numpy.

    R_it = 0.0002 + b_i m_t + k_i S_t + e_it                     per session, i one of N firms

m is the benchmark (sd 1.1%), S a sector factor that the market model omits (sd 1.3%), e the firm's own
noise (sd 1.2% to 2.8%). Shocks are normal, or GARCH(1,1) (0.08, 0.88) with standardised t5. The omitted
sector gives residuals an average correlation of about 0.24 when firms share dates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

import marketimpact as mi

ESTIMATION = (-210, -11)
#: Sessions of one sample: 200 of estimation, 10 of gap, 5 from day 0.
SESSIONS = 215
DAY0 = 210
N_EVENTS = 24
ARCH, GARCH = 0.08, 0.88
BURN_IN = 100
FIRST = date(1990, 1, 1)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of facts about how the events come about."""

    number: int
    title: str
    dates: tuple[int, ...] = (1,) * N_EVENTS
    fat_tails: bool = False
    own_variance: float = 1.0
    sector_variance: float = 1.0
    effect: float = 0.0

    @property
    def n(self) -> int:
        return sum(self.dates)


ONE_DATE = (N_EVENTS,)
SCENARIOS = (
    Scenario(1, "separate dates"),
    Scenario(2, "separate dates, GARCH-t5", fat_tails=True),
    Scenario(3, "2 and own event variance x3", fat_tails=True, own_variance=3.0),
    Scenario(4, "one date", ONE_DATE),
    Scenario(5, "one date, GARCH-t5", ONE_DATE, fat_tails=True),
    Scenario(6, "5 and own event variance x3", ONE_DATE, fat_tails=True, own_variance=3.0),
    Scenario(7, "5 and sector variance x4", ONE_DATE, fat_tails=True, sector_variance=4.0),
    Scenario(8, "power: 2 with an effect of 1%", fat_tails=True, effect=0.01),
    Scenario(9, "power: 5 with an effect of 2%", ONE_DATE, fat_tails=True, effect=0.02),
    Scenario(10, "five dates of 2, 3, 5, 10, 20 firms, GARCH-t5", (2, 3, 5, 10, 20), fat_tails=True),
)


def shocks(rng: np.random.Generator, paths: int, *, fat_tails: bool) -> np.ndarray:
    """Unit-variance shocks, (paths, SESSIONS)."""
    if not fat_tails:
        return rng.normal(size=(paths, SESSIONS))
    z = rng.standard_t(5, size=(paths, BURN_IN + SESSIONS)) * np.sqrt(3.0 / 5.0)
    e, h = np.empty_like(z), np.ones(paths)
    for day in range(z.shape[1]):
        e[:, day] = np.sqrt(h) * z[:, day]
        h = (1.0 - ARCH - GARCH) + ARCH * e[:, day] ** 2 + GARCH * h
    return e[:, BURN_IN:]


def draw(scenario: Scenario, rng: np.random.Generator) -> tuple[mi.Market, pl.DataFrame]:
    """One sample: the market, and its events. Each date has a stretch of the calendar to itself."""
    groups, n = len(scenario.dates), scenario.n
    market = 0.011 * shocks(rng, groups, fat_tails=scenario.fat_tails)
    sector = 0.013 * shocks(rng, groups, fat_tails=scenario.fat_tails)
    sector[:, DAY0:] *= np.sqrt(scenario.sector_variance)
    beta, loading = rng.uniform(0.7, 1.5, (n, 1)), rng.uniform(0.5, 1.2, (n, 1))
    sd = rng.uniform(0.012, 0.028, (n, 1))
    group = np.repeat(np.arange(groups), scenario.dates)
    own = sd * shocks(rng, n, fat_tails=scenario.fat_tails)
    own[:, DAY0] += np.sqrt(scenario.own_variance - 1.0) * sd[:, 0] * rng.normal(size=n)
    returns = 0.0002 + beta * market[group] + loading * sector[group] + own
    returns[:, DAY0] += scenario.effect
    # fat tails lose more than everything once in some ten million draws
    returns = np.maximum(returns, -0.95)
    calendar = pl.Series([FIRST + timedelta(day) for day in range(groups * SESSIONS)])
    rows = (group[:, None] * SESSIONS + np.arange(SESSIONS)).ravel()
    symbols = [f"S{i:02d}" for i in range(n)]
    frame = pl.DataFrame({"symbol": np.repeat(symbols, SESSIONS), "date": calendar[rows], "ret": returns.ravel()})
    events = pl.DataFrame({"event_id": symbols, "symbol": symbols, "date": calendar[group * SESSIONS + DAY0]})
    benchmark = pl.DataFrame({"date": calendar, "ret": market.ravel()})
    return mi.Market.from_returns(frame, benchmark), events
