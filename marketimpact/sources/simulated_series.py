"""Simulate return paths and prices of benchmarks, sector funds and firms.

Time runs over the closing instants of the exchanges. A factor is realised on its home exchange, and another exchange
reflects what was realised up to its own close: a close in Shanghai follows the previous close in New York. Returns
are those of a market model with an omitted sector factor,

    R = alpha + beta * benchmark + k * sector + noise + abnormal return,

and every random part is GARCH(1,1) with standardised t5 shocks.

Every random part is split at the open, by a stream of its own, so that opens change no close: its overnight part has
`OVERNIGHT_SD` of the session's standard deviation and is independent of the day's. What other exchanges realised since
the previous close is overnight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from marketimpact.errors import DataError

__all__ = [
    "ReturnPath",
    "SimulatedWorld",
    "benchmark_path",
    "build_world",
    "exchange_by_symbol",
    "firm_prices",
    "fund_prices",
    "index_prices",
    "random_stream",
    "round_to_cents",
    "trading_sessions",
]

Floats = npt.NDArray[np.float64]
Instants = npt.NDArray[np.datetime64]

#: Sessions without a price limit, from the first day of trading.
FREE_SESSIONS = 5
#: Daily mean and standard deviations of the factors and of the own part of funds: of the sector, and of a benchmark.
MARKET_SD, MARKET_MEAN, SECTOR_SD, PROXY_SD, TRACKING_SD = 0.011, 0.0005, 0.013, 0.003, 0.0003
#: Standard deviation of the overnight part of a random part, as a share of the session's. Nvidia's was 0.62.
OVERNIGHT_SD = 0.6
#: Daily standard deviation of a benchmark's own part, outside New York.
BENCHMARK_SD = 0.010
#: Loading of the Chinese sector on that of New York; the rest is local.
SECTOR_GLOBAL_IN_CHINA = 0.5
#: Parameters of the random parts: GARCH(1,1) and degrees of freedom of Student's t.
ARCH, GARCH, SHOCK_DF = 0.08, 0.88, 5

#: Exchanges of the United States, mainland China, and China.
NEW_YORK = ("XNYS", "XNAS", "XASE", "ARCX", "BATS")
MAINLAND = ("XSHG", "XSHE")
CHINA = (*MAINLAND, "XHKG")
#: Ending of a symbol -> its exchange, for benchmarks and sector proxies.
SUFFIXES = {
    "SS": "XSHG", "SZ": "XSHE", "HK": "XHKG", "TW": "XTAI", "TWO": "ROCO", "KS": "XKRX",
    "T": "XTKS", "AS": "XAMS", "PA": "XPAR", "DE": "XETR",
}  # fmt: skip
#: Currency -> factor on a starting price of 20 to 500.
PRICE_LEVEL = {"KRW": 500.0, "JPY": 20.0, "TWD": 2.0}


@dataclass(frozen=True, slots=True)
class Hours:
    """Sessions of an exchange, shape (n,) each: dates, and the instants of opens and closes."""

    dates: pl.Series
    opens: Instants
    closes: Instants

    @classmethod
    def of(cls, sessions: pl.DataFrame) -> Hours:
        """Take the hours of sessions ``date, open, close``."""
        return cls(sessions["date"], sessions["open"].to_numpy(), sessions["close"].to_numpy())


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """Returns of one series, realised at the opens and closes of its hours.

    `moves` has the returns of the sessions and of their overnight parts: shape (2, n).
    """

    hours: Hours
    moves: Floats

    def between(self, hours: Hours) -> Floats:
        """Sum the returns realised since the previous close, up to each close and up to each open of `hours`.

        Returns
        -------
        numpy.ndarray
            Shape (2, n): sessions, and their overnight parts. The first session has none.
        """
        level = np.concatenate([[0.0], np.cumsum(self.moves[0])])
        known = level[np.searchsorted(self.hours.closes, hours.closes, side="right")]
        latest = np.searchsorted(self.hours.closes, hours.opens, side="right")
        has_opened = np.append(self.hours.opens, self.hours.opens[-1:])[latest] <= hours.opens
        opened = level[latest] + np.where(has_opened, np.append(self.moves[1], 0.0)[latest], 0.0)
        overnight = opened - np.concatenate([opened[:1], known[:-1]])
        return np.stack([np.diff(known, prepend=known[:1]), overnight])


@dataclass(frozen=True, slots=True)
class SimulatedWorld:
    """Seed, sessions and factors that all series share."""

    seed: int
    noise: float
    sessions: Mapping[str, pl.DataFrame]
    market: ReturnPath
    semiconductors: ReturnPath
    chinese_chips: ReturnPath

    def sector(self, mic: str, hours: Hours) -> Floats:
        """Return the sector factor as an exchange sees it: sessions and overnight parts, shape (2, n)."""
        world = self.semiconductors.between(hours)
        if mic not in CHINA:
            return world
        return SECTOR_GLOBAL_IN_CHINA * world + self.chinese_chips.between(hours)


def build_world(securities: pl.DataFrame, span: pl.DataFrame, seed: int, noise: float) -> SimulatedWorld:
    """Draw the factors; raise DataError for an exchange without sessions."""
    by_mic = {str(mic): frame for (mic,), frame in span.partition_by("mic", as_dict=True).items()}
    named = exchange_by_symbol(securities, "benchmark", "sector_proxy", "leg_benchmark")
    needed = set(securities["mic"]) | set(named.values())
    new_york = next((by_mic[mic] for mic in NEW_YORK if mic in by_mic), None)
    missing = sorted(needed - set(by_mic)) or list(NEW_YORK[:1])
    if needed - set(by_mic) or new_york is None:
        raise DataError(
            f"No sessions of {', '.join(missing)} in the span. Give those of every exchange of the "
            f"securities, their benchmarks and proxies, and of {NEW_YORK[0]}, where the factors are realised."
        )
    mainland = next((by_mic[mic] for mic in MAINLAND if mic in by_mic), new_york)

    def factor(name: str, sessions: pl.DataFrame, sd: float, mean: float = 0.0) -> ReturnPath:
        return ReturnPath(Hours.of(sessions), draw_moves((seed, noise, name), sessions.height, sd, mean))

    local = SECTOR_SD * float(np.sqrt(1.0 - SECTOR_GLOBAL_IN_CHINA**2))
    return SimulatedWorld(
        seed=seed,
        noise=noise,
        sessions=by_mic,
        market=factor("factor:market", new_york, MARKET_SD, MARKET_MEAN),
        semiconductors=factor("factor:semiconductors", new_york, SECTOR_SD),
        chinese_chips=factor("factor:chinese-chips", mainland, local),
    )


def exchange_by_symbol(securities: pl.DataFrame, *columns: str) -> dict[str, str]:
    """Map benchmarks or proxies to exchanges: by the symbol's ending, else the exchange of a firm that has it."""
    exchanges: dict[str, str] = {}
    for column in columns:
        pairs = securities.select(column, "mic").drop_nulls().unique().sort(column, "mic")
        for symbol, mic in pairs.rows():
            exchanges.setdefault(symbol, SUFFIXES.get(symbol.rpartition(".")[2], mic))
    return exchanges


def random_stream(seed: int, name: str) -> np.random.Generator:
    """Build the random stream of one name, independent of all others."""
    entropy = int.from_bytes(sha256(name.encode()).digest(), "big")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, entropy])))


def garch_shocks(seed: int, name: str, n: int, sd: float) -> Floats:
    """Draw GARCH(1,1) shocks from standardised t5, with unconditional standard deviation `sd`: shape (n,)."""
    z = random_stream(seed, name).standard_t(SHOCK_DF, size=n) * np.sqrt((SHOCK_DF - 2) / SHOCK_DF)
    shocks, variance = np.empty(n), 1.0
    for i in range(n):
        shocks[i] = np.sqrt(variance) * z[i]
        variance = (1.0 - ARCH - GARCH) + ARCH * shocks[i] ** 2 + GARCH * variance
    return sd * shocks


def draw_moves(stream: tuple[int, float, str], n: int, sd: float, mean: float = 0.0) -> Floats:
    """Draw a random part of returns: sessions and their overnight parts, shape (2, n).

    `stream` is the seed, the scale of all noise, and the name of the part. Given the session, the overnight part is
    what it is for two independent normal parts that sum to it.
    """
    seed, noise, name = stream
    returns = noise * (mean + garch_shocks(seed, name, n, sd))
    share = OVERNIGHT_SD**2
    rest = noise * sd * np.sqrt(share * (1.0 - share)) * random_stream(seed, f"{name}:open").standard_normal(n)
    return np.stack([returns, share * returns + rest])


def benchmark_path(world: SimulatedWorld, symbol: str, mic: str) -> ReturnPath:
    """Draw the returns of a benchmark: the market of New York, or a loading on it and an own part.

    Its open is that of its return path, as if all of its members had traded at the open.
    """
    hours = Hours.of(world.sessions[mic])
    moves = world.market.between(hours)
    if mic not in NEW_YORK:
        loading = random_stream(world.seed, f"{symbol}:loading").uniform(0.35, 0.45)
        moves = loading * moves + draw_moves((world.seed, world.noise, symbol), len(hours.dates), BENCHMARK_SD)
    return ReturnPath(hours, moves)


def fund_prices(
    world: SimulatedWorld, symbol: str, mic: str, benchmark: ReturnPath, *, of_sector: bool
) -> pl.DataFrame:
    """Simulate a fund, or an index, that follows a benchmark, and of the sector also the sector."""
    hours = Hours.of(world.sessions[mic])
    moves = benchmark.between(hours)
    if of_sector:
        moves = moves + world.sector(mic, hours)
    sd = PROXY_SD if of_sector else TRACKING_SD
    moves = moves + draw_moves((world.seed, world.noise, symbol), len(hours.dates), sd)
    return index_prices(world, symbol, hours, moves, has_volume=not symbol.startswith("^"))


def trading_sessions(world: SimulatedWorld, firm: Mapping[str, Any]) -> pl.DataFrame:
    """Return the sessions of a firm's exchange since its listing."""
    sessions = world.sessions[firm["mic"]]
    return sessions if firm["listed_on"] is None else sessions.filter(pl.col("date") >= firm["listed_on"])


def firm_prices(
    world: SimulatedWorld,
    firm: Mapping[str, Any],
    benchmark: ReturnPath,
    true_effects: pl.DataFrame,
    suspensions: Mapping[str, tuple[date, date]],
) -> pl.DataFrame:
    """Simulate the prices of one firm, with its true effects, suspension and price limit."""
    symbol, sessions = firm["symbol"], trading_sessions(world, firm)
    hours = Hours.of(sessions)
    stream = random_stream(world.seed, f"{symbol}:character")
    alpha, beta = stream.uniform(0.0, 0.0004), stream.uniform(0.7, 1.5)
    k, sd = stream.uniform(0.5, 1.2), stream.uniform(0.012, 0.028)
    start = 20.0 * 25.0 ** stream.uniform() * PRICE_LEVEL.get(firm["currency"], 1.0)
    own_part = draw_moves((world.seed, world.noise, symbol), len(hours.dates), sd, alpha)
    moves = beta * benchmark.between(hours) + k * world.sector(firm["mic"], hours) + own_part
    effects = true_effects.group_by("date").agg(pl.col("abnormal_return", "abnormal_overnight").sum())
    joined = sessions.join(effects, on="date", how="left", validate="1:1", maintain_order="left")
    moves = moves + joined.select(pl.col("abnormal_return", "abnormal_overnight").fill_null(0.0)).to_numpy().T
    suspended = suspensions.get(symbol)
    traded = np.ones(len(hours.dates), bool) if suspended is None else ~hours.dates.is_between(*suspended).to_numpy()
    first_session = world.sessions[firm["mic"]]["date"][0]
    free = FREE_SESSIONS if (firm["listed_on"] or date.min) >= first_session else 0
    values = _cumulate(start, moves[0])
    bounds = _price_limits(values, firm["price_limit"], free, traded)
    return _price_rows(world, symbol, hours, values, moves, bounds=bounds).filter(pl.Series(traded))


def index_prices(
    world: SimulatedWorld, symbol: str, hours: Hours, moves: Floats, *, has_volume: bool = False
) -> pl.DataFrame:
    """Simulate prices of an index or fund from its returns and their overnight parts, shape (2, n)."""
    values = _cumulate(random_stream(world.seed, f"{symbol}:start").uniform(200.0, 5000.0), moves[0])
    return _price_rows(world, symbol, hours, values, moves, has_volume=has_volume)


def _cumulate(start: float, returns: Floats) -> Floats:
    """Compound returns from a starting price, shape (n,); the first return is not used."""
    growth = 1.0 + returns
    growth[:1] = 1.0
    return np.asarray(start * np.cumprod(growth), dtype=np.float64)


def _price_limits(values: Floats, limit: float | None, free: int, traded: npt.NDArray[np.bool_]) -> Floats:
    """Compute the lowest and highest price of each session, a range around the previous close: shape (2, n).

    The value moves on while the close is limited, so the rest of a move follows in the next sessions.
    """
    bounds = np.stack([np.zeros(len(values)), np.full(len(values), np.inf)])
    if limit is None:
        return bounds
    closes = round_to_cents(values)
    previous: float | None = None
    for i in np.flatnonzero(traded):
        if previous is not None and i >= free:
            bounds[:, i] = round_to_cents(np.array([1.0 - limit, 1.0 + limit]) * previous)
            closes[i] = min(max(closes[i], bounds[0, i]), bounds[1, i])
        previous = float(closes[i])
    return bounds


def round_to_cents(prices: Floats) -> Floats:
    """Round half up to 0.01, as exchanges round price limits; the epsilon corrects binary fractions."""
    return np.floor(prices * 100.0 + 0.5 + 1e-6) / 100.0


def _volumes(world: SimulatedWorld, symbol: str, returns: Floats) -> Floats:
    """Draw lognormal volumes that increase with the absolute return: shape (n,), whole shares."""
    stream = random_stream(world.seed, f"{symbol}:volume")
    level = stream.uniform(14.0, 17.5)
    return np.rint(np.exp(level + 0.3 * stream.standard_normal(len(returns)) + 8.0 * np.abs(returns)))


def _price_rows(
    world: SimulatedWorld,
    symbol: str,
    hours: Hours,
    values: Floats,
    moves: Floats,
    *,
    bounds: Floats | tuple[float, float] = (0.0, np.inf),
    has_volume: bool = True,
) -> pl.DataFrame:
    """Build rows of prices of one symbol from its value at each close, shape (n,), within `bounds`, shape (2, n)."""
    n = len(values)
    close = np.clip(round_to_cents(values), *bounds)
    open_ = np.clip(round_to_cents(values * (1.0 + moves[1]) / (1.0 + moves[0])), *bounds)
    volume = _volumes(world, symbol, moves[0]) if has_volume else [None] * n
    columns = {"close": close, "volume": volume, "open": open_}
    return pl.DataFrame(
        {"symbol": [symbol] * n, "date": hours.dates} | columns, schema_overrides={"volume": pl.Float64}
    )
