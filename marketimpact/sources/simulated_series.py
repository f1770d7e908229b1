"""Simulate return paths and prices of benchmarks, sector funds and firms.

Time runs over the closing instants of the exchanges. A factor is realised on its home exchange, and another exchange
reflects what was realised up to its own close: a close in Shanghai follows the previous close in New York. Returns
are those of a market model with an omitted sector factor,

    R = alpha + beta * benchmark + k * sector + noise + abnormal return,

and every random part is GARCH(1,1) with standardised t5 shocks.
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
    "index_closes",
    "price_rows",
    "proxy_prices",
    "random_stream",
    "round_to_cents",
    "trading_sessions",
]

Floats = npt.NDArray[np.float64]
Instants = npt.NDArray[np.datetime64]

#: Sessions without a price limit, from the first day of trading.
FREE_SESSIONS = 5
#: Daily mean and standard deviations of the factors and of sector funds' own part.
MARKET_SD, MARKET_MEAN, SECTOR_SD, PROXY_SD = 0.011, 0.0005, 0.013, 0.003
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
class ReturnPath:
    """Returns of one series, shape (n,) each; `closes` are the instants at which they are realised."""

    dates: pl.Series
    closes: Instants
    returns: Floats

    def between(self, closes: Instants) -> Floats:
        """Sum the returns realised between neighbouring `closes`: shape (len(closes),), the first zero."""
        level = np.concatenate([[0.0], np.cumsum(self.returns)])
        known = level[np.searchsorted(self.closes, closes, side="right")]
        return np.diff(known, prepend=known[:1])


@dataclass(frozen=True, slots=True)
class SimulatedWorld:
    """Seed, sessions and factors that all series share."""

    seed: int
    noise: float
    sessions: Mapping[str, pl.DataFrame]
    market: ReturnPath
    semiconductors: ReturnPath
    chinese_chips: ReturnPath

    def sector(self, mic: str, closes: Instants) -> Floats:
        """Return the sector factor as an exchange sees it, shape (len(closes),)."""
        world = self.semiconductors.between(closes)
        if mic not in CHINA:
            return world
        return SECTOR_GLOBAL_IN_CHINA * world + self.chinese_chips.between(closes)


def build_world(securities: pl.DataFrame, span: pl.DataFrame, seed: int, noise: float) -> SimulatedWorld:
    """Draw the factors; raise DataError for an exchange without sessions."""
    by_mic = {str(mic): frame for (mic,), frame in span.partition_by("mic", as_dict=True).items()}
    needed = set(securities["mic"]) | set(exchange_by_symbol(securities, "benchmark", "sector_proxy").values())
    new_york = next((by_mic[mic] for mic in NEW_YORK if mic in by_mic), None)
    missing = sorted(needed - set(by_mic)) or list(NEW_YORK[:1])
    if needed - set(by_mic) or new_york is None:
        raise DataError(
            f"No sessions of {', '.join(missing)} in the span. Give those of every exchange of the "
            f"securities, their benchmarks and proxies, and of {NEW_YORK[0]}, where the factors are realised."
        )
    mainland = next((by_mic[mic] for mic in MAINLAND if mic in by_mic), new_york)

    def factor(name: str, sessions: pl.DataFrame, sd: float, mean: float = 0.0) -> ReturnPath:
        returns = noise * (mean + garch_shocks(seed, name, sessions.height, sd))
        return ReturnPath(sessions["date"], sessions["close"].to_numpy(), returns)

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


def benchmark_path(world: SimulatedWorld, symbol: str, mic: str) -> ReturnPath:
    """Draw the returns of a benchmark: the market of New York, or a loading on it and an own part."""
    sessions = world.sessions[mic]
    closes = sessions["close"].to_numpy()
    returns = world.market.between(closes)
    if mic not in NEW_YORK:
        loading = random_stream(world.seed, f"{symbol}:loading").uniform(0.35, 0.45)
        own_part = world.noise * garch_shocks(world.seed, symbol, len(closes), BENCHMARK_SD)
        returns = loading * returns + own_part
    return ReturnPath(sessions["date"], closes, returns)


def proxy_prices(
    world: SimulatedWorld, symbol: str, mic: str, securities: pl.DataFrame, benchmarks: Mapping[str, ReturnPath]
) -> pl.DataFrame:
    """Simulate a sector fund or index: the benchmark of the first firm that has it, plus the sector."""
    sessions = world.sessions[mic]
    closes = sessions["close"].to_numpy()
    benchmark = securities.filter(pl.col("sector_proxy") == symbol)["benchmark"][0]
    own_part = world.noise * garch_shocks(world.seed, symbol, len(closes), PROXY_SD)
    returns = benchmarks.get(benchmark, world.market).between(closes) + world.sector(mic, closes) + own_part
    volume = None if symbol.startswith("^") else _volumes(world, symbol, returns)
    return price_rows(symbol, sessions["date"], index_closes(world, symbol, returns), volume)


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
    symbol, dates = firm["symbol"], trading_sessions(world, firm)
    closes = dates["close"].to_numpy()
    stream = random_stream(world.seed, f"{symbol}:character")
    alpha, beta = stream.uniform(0.0, 0.0004), stream.uniform(0.7, 1.5)
    k, sd = stream.uniform(0.5, 1.2), stream.uniform(0.012, 0.028)
    start = 20.0 * 25.0 ** stream.uniform() * PRICE_LEVEL.get(firm["currency"], 1.0)
    own_part = world.noise * (alpha + garch_shocks(world.seed, symbol, len(closes), sd))
    returns = beta * benchmark.between(closes) + k * world.sector(firm["mic"], closes) + own_part
    effects = true_effects.group_by("date").agg(pl.col("abnormal_return").sum())
    joined = dates.join(effects, on="date", how="left", validate="1:1", maintain_order="left")
    returns = returns + joined["abnormal_return"].fill_null(0.0).to_numpy()
    suspended = suspensions.get(symbol)
    traded = np.ones(len(closes), bool) if suspended is None else ~dates["date"].is_between(*suspended).to_numpy()
    first_session = world.sessions[firm["mic"]]["date"][0]
    free = FREE_SESSIONS if (firm["listed_on"] or date.min) >= first_session else 0
    prices = _apply_price_limit(_cumulate(start, returns), firm["price_limit"], free, traded)
    volume = _volumes(world, symbol, returns)
    return price_rows(symbol, dates["date"].filter(traded), prices[traded], volume[traded])


def index_closes(world: SimulatedWorld, symbol: str, returns: Floats) -> Floats:
    """Simulate closes of an index or fund from its returns, shape (n,)."""
    return round_to_cents(_cumulate(random_stream(world.seed, f"{symbol}:start").uniform(200.0, 5000.0), returns))


def _cumulate(start: float, returns: Floats) -> Floats:
    """Compound returns from a starting price, shape (n,); the first return is not used."""
    growth = 1.0 + returns
    growth[:1] = 1.0
    return np.asarray(start * np.cumprod(growth), dtype=np.float64)


def _apply_price_limit(values: Floats, limit: float | None, free: int, traded: npt.NDArray[np.bool_]) -> Floats:
    """Limit closes to a range around the previous close, shape (n,).

    The value moves on while the close is limited, so the rest of a move follows in the next sessions.
    """
    closes = round_to_cents(values)
    if limit is None:
        return closes
    previous: float | None = None
    for i in np.flatnonzero(traded):
        if previous is not None and i >= free:
            low, high = round_to_cents(np.array([1.0 - limit, 1.0 + limit]) * previous)
            closes[i] = min(max(closes[i], low), high)
        previous = float(closes[i])
    return closes


def round_to_cents(prices: Floats) -> Floats:
    """Round half up to 0.01, as exchanges round price limits; the epsilon corrects binary fractions."""
    return np.floor(prices * 100.0 + 0.5 + 1e-6) / 100.0


def _volumes(world: SimulatedWorld, symbol: str, returns: Floats) -> Floats:
    """Draw lognormal volumes that increase with the absolute return: shape (n,), whole shares."""
    stream = random_stream(world.seed, f"{symbol}:volume")
    level = stream.uniform(14.0, 17.5)
    return np.rint(np.exp(level + 0.3 * stream.standard_normal(len(returns)) + 8.0 * np.abs(returns)))


def price_rows(symbol: str, dates: pl.Series, closes: Floats, volume: Floats | None) -> pl.DataFrame:
    """Build rows of prices of one symbol."""
    quantity = pl.Series("volume", [None] * len(closes) if volume is None else volume, pl.Float64)
    return pl.DataFrame({"date": dates, "close": closes, "volume": quantity}).select(
        pl.lit(symbol).alias("symbol"), "date", "close", "volume"
    )
