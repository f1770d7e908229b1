"""Samples in calm and in turbulent times, drawn through nothing but numpy.

    R_it = 0.0002 + b_i m_t + k_i S_t + e_it                     per session, i one of N firms

m is the benchmark (sd 1.1%), S a sector factor that the market model omits (sd 1.3%), e the firm's own noise
(sd 1.2% to 2.8%), b from 0.7 to 1.5, k from 0.5 to 1.2; all shocks are independent standardised t5. The omitted
sector gives residuals of different firms an average correlation of about 0.24. All firms share one calendar.
Estimation uses 240 sessions and a gap of 10; different dates are 30 sessions apart. Each situation changes one of
these facts. No event has an effect, unless `Situation.effect` is set.

    from tests.size.situations import SITUATIONS
    drawn = SITUATIONS["2"].draw(np.random.default_rng(1))
    table = drawn.study.run(drawn.events, drawn.market).test(*drawn.window)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

import marketimpact as mi

Floats = NDArray[np.float64]

ESTIMATION = (-250, -11)
#: Sessions before the first day 0.
BEFORE = 250
APART = 30
FIRST = date(1990, 1, 1)
MARKET_SD, SECTOR_SD = 0.011, 0.013
#: GJR-GARCH: reaction to a shock, further reaction to a fall, persistence.
SHOCK, FALL, PERSISTENCE = 0.03, 0.12, 0.89
#: Sessions of a path from which a turbulent day is chosen.
PATH, BURN_IN = 2500, 500


@dataclass(slots=True)
class Parts:
    """What the returns of a sample are made of; a situation changes some of it.

    `firm` and `day` have one entry per event: row of the firm and column of its day 0.
    """

    firm: NDArray[np.int64]
    day: NDArray[np.int64]
    market: Floats
    sector: Floats
    beta: Floats
    loading: Floats
    sd: Floats
    own: Floats

    @property
    def dates(self) -> NDArray[np.int64]:
        """Column of each date's day 0."""
        return np.unique(self.day)

    @property
    def shape(self) -> tuple[int, int]:
        """Firms, sessions."""
        firms, sessions = self.own.shape
        return firms, sessions

    def returns(self) -> Floats:
        """Add the parts up, (firms, sessions)."""
        return 0.0002 + self.beta * self.market + self.loading * self.sector + self.sd * self.own

    def scale(self, factor: float, sessions: slice) -> None:
        """Multiply the volatility of all parts in these sessions."""
        self.market[sessions] *= factor
        self.sector[sessions] *= factor
        self.own[:, sessions] *= factor


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sample, and how it is studied."""

    market: mi.Market
    events: pl.DataFrame
    study: mi.EventStudy
    window: tuple[int, int]


Process = Callable[[Parts, np.random.Generator], Floats]


def unchanged(parts: Parts, rng: np.random.Generator) -> Floats:
    return parts.returns()


@dataclass(frozen=True, slots=True)
class Situation:
    """A process, the events in it, and how they are studied.

    `sizes` are the firms of each date, `offsets` the sessions from the first date to each (30 apart by default);
    firms differ between dates unless `same_firms`. `row` is the row of the design paper, or ``calm`` or ``own``.
    `calm` says that the assumptions of the primary test hold, so that it should nearly always be valid.
    """

    row: str
    title: str
    sizes: tuple[int, ...] = (24,)
    process: Process = unchanged
    calm: bool = False
    window: tuple[int, int] = (0, 0)
    offsets: tuple[int, ...] = ()
    same_firms: bool = False
    estimation: tuple[int, int] = ESTIMATION
    exclude: bool = False
    effect: float = 0.0

    def with_effect(self, effect: float) -> Situation:
        """Add an effect to the return of every event on its day 0."""
        return replace(self, effect=effect)

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Draw one sample."""
        parts = self._parts(rng)
        returns = self.process(parts, rng)
        returns[parts.firm, parts.day] += self.effect
        firms, sessions = parts.shape
        # fat tails lose more than everything once in some ten million draws
        returns = np.maximum(returns, -0.95)
        calendar = pl.Series("date", [FIRST + timedelta(day) for day in range(sessions)])
        symbols = np.array([f"S{i:02d}" for i in range(firms)])
        frame = pl.DataFrame({
            "symbol": np.repeat(symbols, sessions),
            "date": calendar[np.tile(np.arange(sessions), firms)],
            "ret": returns.ravel(),
        })  # fmt: skip
        events = pl.DataFrame({"symbol": symbols[parts.firm], "date": calendar[parts.day]})
        events = events.select(pl.format("{} {}", "symbol", "date").alias("event_id"), "symbol", "date")
        market = mi.Market.from_returns(frame, pl.DataFrame({"date": calendar, "ret": parts.market}))
        return Drawn(market, events, self._study(events), self.window)

    def _parts(self, rng: np.random.Generator) -> Parts:
        """Draw the parts as they are in calm times."""
        starts = self.offsets or tuple(APART * date for date in range(len(self.sizes)))
        day = BEFORE + np.repeat(starts, self.sizes)
        firm = np.concatenate([np.arange(size) for size in self.sizes]) if self.same_firms else np.arange(len(day))
        firms, sessions = firm.max() + 1, day.max() + self.window[1] + 1
        return Parts(
            firm,
            day,
            market=MARKET_SD * t5(rng, sessions),
            sector=SECTOR_SD * t5(rng, sessions),
            beta=rng.uniform(0.7, 1.5, (firms, 1)),
            loading=rng.uniform(0.5, 1.2, (firms, 1)),
            sd=rng.uniform(0.012, 0.028, (firms, 1)),
            own=t5(rng, (firms, sessions)),
        )

    def _study(self, events: pl.DataFrame) -> mi.EventStudy:
        first, last = self.window
        days = events.select("symbol", pl.date_ranges(
            pl.col("date").dt.offset_by(f"{first}d"), pl.col("date").dt.offset_by(f"{last}d")
        ).alias("date")).explode("date")  # fmt: skip
        return mi.EventStudy(
            estimation_window=self.estimation,
            event_window=self.window,
            min_observations=min(60, self.estimation[1] - self.estimation[0] + 1),
            exclude=days if self.exclude else None,
        )


def t5(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
    """Student's t with five degrees of freedom, standardised."""
    return rng.standard_t(5, size=shape) * np.sqrt(3.0 / 5.0)


def skewed(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
    """Draw a standardised lognormal, of skewness 6.2."""
    mean, variance = np.exp(0.5), (np.e - 1.0) * np.e
    return (rng.lognormal(size=shape) - mean) / np.sqrt(variance)


def gjr(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw a GJR-GARCH path with unit variance, and its variance as known the evening before, (PATH,) each."""
    z = t5(rng, BURN_IN + PATH)
    x, h = np.empty_like(z), np.empty_like(z)
    variance = 1.0
    for at, shock in enumerate(z.tolist()):
        value = variance**0.5 * shock
        x[at], h[at] = value, variance
        reaction = SHOCK + FALL * (value < 0)
        variance = (1.0 - SHOCK - FALL / 2 - PERSISTENCE) + reaction * value**2 + PERSISTENCE * variance
    return x[BURN_IN:], h[BURN_IN:]


def garch(rng: np.random.Generator, paths: int, sessions: int) -> Floats:
    """Draw GARCH(1,1) paths (0.08, 0.88) with unit variance, (paths, sessions)."""
    z = t5(rng, (paths, BURN_IN + sessions))
    x, variance = np.empty_like(z), np.ones(paths)
    for at in range(z.shape[1]):
        x[:, at] = np.sqrt(variance) * z[:, at]
        variance = 0.04 + 0.08 * x[:, at] ** 2 + 0.88 * variance
    return x[:, BURN_IN:]


def turbulent_sector(parts: Parts, rng: np.random.Generator, top: float = 0.1) -> None:
    """Give the sector GJR-GARCH volatility, each date's conditional variance in the `top` share of its path."""
    for day in parts.dates:
        x, h = gjr(rng)
        chosen = rng.choice(np.flatnonzero(h[BEFORE:] >= np.quantile(h, 1.0 - top))) + BEFORE
        parts.sector[day - BEFORE : day + 1] = SECTOR_SD * x[chosen - BEFORE : chosen + 1]


def turbulent(parts: Parts, rng: np.random.Generator) -> Floats:
    turbulent_sector(parts, rng)
    return parts.returns()


def garch_everywhere(parts: Parts, rng: np.random.Generator) -> Floats:
    turbulent_sector(parts, rng, top=1.0 / 3.0)
    parts.own = garch(rng, *parts.shape)
    return parts.returns()


def since(sessions: int, factor: float) -> Process:
    """All volatility times `factor` from so many sessions before the only day 0."""

    def process(parts: Parts, rng: np.random.Generator) -> Floats:
        parts.scale(factor, slice(parts.day[0] - sessions, None))
        return parts.returns()

    return process


def since_and_own(sessions: int, factor: float) -> Process:
    """As `since`, and the event makes each firm's own variance three times as large."""

    def process(parts: Parts, rng: np.random.Generator) -> Floats:
        parts.own[parts.firm, parts.day] *= np.sqrt(3.0)
        return since(sessions, factor)(parts, rng)

    return process


def larger_sector_on_day0(parts: Parts, rng: np.random.Generator) -> Floats:
    parts.sector[parts.dates] *= 2.0
    return parts.returns()


def skewed_own(parts: Parts, rng: np.random.Generator) -> Floats:
    parts.own = skewed(rng, parts.shape)
    return parts.returns()


def skewed_sector(parts: Parts, rng: np.random.Generator) -> Floats:
    parts.sector = SECTOR_SD * skewed(rng, parts.shape[1])
    return parts.returns()


def half_respond_late(parts: Parts, rng: np.random.Generator) -> Floats:
    firms, sessions = parts.shape
    at = np.arange(sessions) - (np.arange(firms) % 2)[:, None]
    market, sector = parts.market[np.maximum(at, 0)], parts.sector[np.maximum(at, 0)]
    return 0.0002 + parts.beta * market + parts.loading * sector + parts.sd * parts.own


def higher_beta(parts: Parts, rng: np.random.Generator) -> Floats:
    parts.beta = parts.beta + 0.7 * (np.arange(parts.shape[1]) >= parts.day[0])
    return parts.returns()


def autocorrelated(parts: Parts, rng: np.random.Generator) -> Floats:
    for at in range(1, parts.shape[1]):
        parts.sector[at] = 0.2 * parts.sector[at - 1] + np.sqrt(1 - 0.2**2) * parts.sector[at]
        parts.own[:, at] = 0.2 * parts.own[:, at - 1] + np.sqrt(1 - 0.2**2) * parts.own[:, at]
    return parts.returns()


def some_own_variances(parts: Parts, rng: np.random.Generator) -> Floats:
    """15% of events have 25 times their own variance on day 0."""
    parts.own[parts.firm, parts.day] *= np.where(rng.random(len(parts.day)) < 0.15, 5.0, 1.0)
    return parts.returns()


def own_variances_differ(parts: Parts, rng: np.random.Generator) -> Floats:
    """Multiply each event's own variance on day 0 by a lognormal of sigma 1."""
    parts.own[parts.firm, parts.day] *= np.exp(rng.normal(size=len(parts.day)) / 2)
    return parts.returns()


def volatility_differs_by_date(parts: Parts, rng: np.random.Generator) -> Floats:
    """Multiply the volatility of all parts on each day 0 by a lognormal of sigma 0.5."""
    for day in parts.dates:
        parts.scale(np.exp(rng.normal() / 2), slice(day, day + 1))
    return parts.returns()


def stale(parts: Parts, rng: np.random.Generator) -> Floats:
    """Let a firm trade in 70% of the sessions; the next trade's return holds those of sessions without."""
    trades = rng.random(parts.shape) < 0.7
    trades[:, 0] = True
    level = np.cumsum(parts.returns(), axis=1)
    last = np.maximum.accumulate(np.where(trades, np.arange(parts.shape[1]), 0), axis=1)
    return np.diff(np.take_along_axis(level, last, axis=1), axis=1, prepend=0.0)


def very_different_volatility(parts: Parts, rng: np.random.Generator) -> Floats:
    parts.sd = np.geomspace(0.006, 0.06, parts.shape[0])[:, None]
    return parts.returns()


def winners_and_losers(own_sd: float) -> Process:
    """Loadings of both signs on a factor of 2% a day."""

    def process(parts: Parts, rng: np.random.Generator) -> Floats:
        firms = parts.shape[0]
        parts.loading = (np.where(np.arange(firms) % 2, -1.0, 1.0) + rng.normal(0.0, 0.25, firms))[:, None]
        parts.sector = parts.sector * (0.02 / SECTOR_SD)
        parts.sd = np.full((firms, 1), own_sd)
        return parts.returns()

    return process


def outlier(parts: Parts, rng: np.random.Generator) -> Floats:
    returns = parts.returns()
    returns[parts.firm[0], parts.day[0]] += 0.2 * rng.choice([-1.0, 1.0])
    return returns


def _every(sessions: int, dates: int) -> tuple[int, ...]:
    return tuple(range(0, sessions * dates, sessions))


def _calm() -> dict[str, Situation]:
    calm = {
        "calm_1": Situation("calm", "one firm", (1,)),
        "calm_one_date_24": Situation("calm", "24 firms, one date", (24,)),
        "calm_one_date_8": Situation("calm", "8 firms, one date", (8,)),
        "calm_one_date_4": Situation("calm", "4 firms, one date", (4,)),
        "calm_2x12": Situation("calm", "2 dates of 12 firms", (12,) * 2),
        "calm_3x8": Situation("calm", "3 dates of 8 firms", (8,) * 3),
        "calm_4x6": Situation("calm", "4 dates of 6 firms", (6,) * 4),
        "calm_6x4": Situation("calm", "6 dates of 4 firms", (4,) * 6),
        "calm_10x5": Situation("calm", "10 dates of 5 firms", (5,) * 10),
        "calm_24_dates": Situation("calm", "24 dates of one firm", (1,) * 24),
        "calm_same_firms": Situation("calm", "8 dates of the same 4 firms", (4,) * 8, same_firms=True),
    }
    five_days = ("calm_1", "calm_one_date_24", "calm_4x6", "calm_6x4", "calm_24_dates")
    calm |= {f"{key}_L5": replace(calm[key], window=(0, 4)) for key in five_days}
    return {key: replace(situation, calm=True) for key, situation in calm.items()}


def _larger_sector() -> dict[str, Situation]:
    shapes = {
        "2x12": (12,) * 2, "3x8": (8,) * 3, "6x4": (4,) * 6, "10x5": (5,) * 10, "20x5": (5,) * 20,
        "50+5x1": (50, 1, 1, 1, 1, 1),
    }  # fmt: skip
    return {
        f"6_{name}": Situation("6", f"sector sd x2 on each day 0, {name}", sizes, larger_sector_on_day0)
        for name, sizes in shapes.items()
    }


def _regimes() -> dict[str, Situation]:
    """Volatility that changed before the event, or wanders: one firm, four and twelve."""
    doubled, month = "volatility x2 since", (0, 20)
    one = {
        f"one_x2_{sessions}": Situation(
            "regime", f"one firm, {doubled} {sessions} sessions", (1,), since(sessions, 2.0)
        )
        for sessions in (3, 20, 70)
    }
    ten = Situation("regime", f"one firm, {doubled} 10 sessions", (1,), since(10, 2.0))
    return one | {
        "one_half_40": Situation("regime", "one firm, volatility halved since 40 sessions", (1,), since(40, 0.5)),
        "one_gjr": Situation("regime", "one firm in a turbulent sector (GJR-GARCH)", (1,), turbulent),
        "one_x2_10_L5": replace(ten, window=(0, 4)),
        "one_x2_10_L21": replace(ten, window=month),
        "calm_1_L21": Situation("regime", "one firm, calm", (1,), window=month),
        "four_x2_10": replace(ten, title=f"4 firms, one date, {doubled} 10 sessions", sizes=(4,)),
        "four_gjr": Situation("regime", "4 firms, one date in a turbulent sector", (4,), turbulent),
        "12_x2_70": Situation("regime", f"12 firms, one date, {doubled} 70 sessions", (12,), since(70, 2.0)),
        "12_x2_10_own": Situation("regime", f"12 firms, one date, {doubled} 10 sessions, own variance x3", (12,),
                                  since_and_own(10, 2.0)),
    }  # fmt: skip


SITUATIONS: dict[str, Situation] = {
    **_calm(),
    "2": Situation("2", "one firm, volatility x2 since 10 sessions", (1,), since(10, 2.0)),
    "4": Situation("4", "24 firms, one date in a turbulent sector (GJR-GARCH)", (24,), turbulent),
    "5": Situation("5", "4 dates of 6 firms in a turbulent sector", (6,) * 4, turbulent, offsets=_every(262, 4)),
    **_larger_sector(),
    "7": Situation("7", "campaign: 12 firms on days 0, 1, 3, 5", (3,) * 4, window=(-1, 3), offsets=(0, 1, 3, 5)),
    "8a": Situation("8", "12 firms, one date, 21 days on 60", (12,), window=(0, 20), estimation=(-70, -11)),
    "8b": Situation("8", "12 firms, one date, 62 days on 240", (12,), window=(0, 61)),
    "8c": Situation("8", "12 dates of one firm, 62 days on 240", (1,) * 12, window=(0, 61), offsets=_every(70, 12)),
    "9": Situation("9", "same 3 firms, 12 dates 22 apart, event windows excluded", (3,) * 12, window=(-5, 5),
                   offsets=_every(22, 12), same_firms=True, exclude=True),
    "9b": Situation("9b", "same 3 firms, 10 dates 65 apart, 62 days", (3,) * 10, window=(-1, 60),
                    offsets=_every(65, 10), same_firms=True),
    "10_one_date": Situation("10", "skewed own noise, 5 firms on one date", (5,), skewed_own),
    "10_separate": Situation("10", "skewed own noise, 5 dates of one firm", (1,) * 5, skewed_own),
    "10c": Situation("10c", "skewed own noise, 24 dates of one firm", (1,) * 24, skewed_own),
    "11": Situation("11", "half of 24 firms respond a session late", (24,), half_respond_late, window=(0, 1)),
    "12": Situation("12", "24 firms, one date, beta +0.7 from day 0", (24,), higher_beta),
    "13": Situation("13", "12 firms, one date, AR(1) residuals of 0.2", (12,), autocorrelated, window=(-10, 10)),
    "14": Situation("14", "24 firms, one date, volatility x2 since 10 sessions", (24,), since(10, 2.0)),
    "15": Situation("15", "24 dates, own variance x25 in 15% of events", (1,) * 24, some_own_variances),
    "16": Situation("16", "24 firms, one date, 30 days of estimation", (24,), estimation=(-40, -11)),
    "17": Situation("17", "24 firms, one date, 30% of prices stale", (24,), stale, window=(0, 1)),
    "18": Situation("18", "12 firms, one date, volatility differs by factor 10", (12,), very_different_volatility),
    "24_04": Situation("24", "winners and losers, own noise 0.4%", (20,), winners_and_losers(0.004)),
    "24_10": Situation("24", "winners and losers, own noise 1%", (20,), winners_and_losers(0.01)),
    "24_20": Situation("24", "winners and losers, own noise 2%", (20,), winners_and_losers(0.02)),
    "out_4": Situation("power", "4 firms, one date, one of them moves by 20%", (4,), outlier),
    "own_1": Situation("own", "12 firms, one date, GARCH, sector variance in its upper third", (12,), garch_everywhere),
    "own_2": Situation("own", "12 firms, one date, volatility halved since 40 sessions", (12,), since(40, 0.5)),
    "own_3": Situation("own", "12 firms, one date, own variances x lognormal", (12,), own_variances_differ),
    "own_4": Situation("own", "8 dates of 3 firms, volatility x lognormal", (3,) * 8, volatility_differs_by_date),
    "own_5": Situation("own", "5 dates of 4 firms, skewed sector", (4,) * 5, skewed_sector),
    "own_6": Situation("own", "3 dates of 20, 2, 2 firms", (20, 2, 2)),
    **_regimes(),
}  # fmt: skip
