"""A market with known truth: the sample prices, and what size and power studies draw from.

`simulate` takes real symbols, real announcements and real sessions, and makes up every price.
What it puts in on purpose is in `SimulatedMarket.truth`; nothing can be learnt about the firms.

Time runs over the closing instants of the exchanges. A factor is realised on its home exchange,
and another exchange sees what was realised up to its own close: a close in Shanghai follows the
previous close in New York. The returns are those of a market model with an omitted sector factor,

    R = alpha + beta * benchmark + k * sector + noise + abnormal return put in,

every random part GARCH(1,1) with standardized t5 shocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from marketimpact.core import schema
from marketimpact.errors import DataError, SpecificationError

__all__ = ["CLOSURES", "EFFECTS", "SEED", "SUSPENSIONS", "SimulatedMarket", "role_class", "simulate"]

Floats = npt.NDArray[np.float64]
Instants = npt.NDArray[np.datetime64]

SEED = 20250812

_RESTRICTION = {
    ("US", "foreign_seller"): -0.020,
    ("US", "foundry"): -0.025,
    ("US", "substitute"): 0.020,
    ("US", "buyer"): -0.010,
    ("CN", "foreign_seller"): -0.010,
    ("CN", "foundry"): 0.030,
    ("CN", "substitute"): 0.040,
    ("CN", "buyer"): -0.010,
}
#: (jurisdiction, stance, role class) -> abnormal return put in, in total, as a fraction. Permission
#: does half of what restriction does, with the other sign; what is not listed does nothing. A
#: jurisdiction other than China acts like the United States.
EFFECTS: Mapping[tuple[str, str, str], float] = {
    (who, stance, role): scale * effect
    for (who, role), effect in _RESTRICTION.items()
    for stance, scale in (("restrictive", 1.0), ("permissive", -0.5))
}
_H20 = "2025-08-12-beijing-discourages-h20"
#: (announcement, symbol or role class) -> abnormal return put in, all of it on day 0. A symbol
#: goes before its role class; both go before `EFFECTS`.
SPECIAL_EFFECTS: Mapping[tuple[str, str], float] = {
    (_H20, "688256.SS"): 0.220,
    (_H20, "substitute"): 0.060,
    (_H20, "foundry"): 0.030,
    (_H20, "buyer"): -0.005,
    (_H20, "foreign_seller"): -0.010,
}
#: Sessions a calendar lists on which the exchange was in fact shut: typhoons and black rain.
CLOSURES: Mapping[str, Sequence[date]] = {
    "XHKG": (date(2023, 9, 1), date(2023, 9, 8)),
    "XTAI": (date(2024, 10, 31),),
    "ROCO": (date(2024, 10, 31),),
}

#: Symbol -> first and last day without trading. The first two happened; the third is invented,
#: and covers day 0 of the seizure of Nexperia becoming public.
SUSPENSIONS: Mapping[str, tuple[date, date]] = {
    "688041.SS": (date(2025, 5, 26), date(2025, 6, 9)),
    "688347.SS": (date(2025, 8, 18), date(2025, 8, 29)),
    "600745.SS": (date(2025, 10, 13), date(2025, 10, 17)),
}

FOUNDRIES = frozenset({"foundry", "memory_foundry", "idm_power"})
BYSTANDERS = frozenset({"hyperscaler", "neocloud", "consumer_device", "investor"})  # abroad; buyers in China
BUYERS = BYSTANDERS | {"server", "telecom_equipment", "ai_software"}
DRIFT = (0.7, 0.3)  # shares of a policy effect on day 0 and on the next session
JUMP_SD = 0.03  # of a confounder, on day 0
FREE_SESSIONS = 5  # without a price limit, from the first day of trading

MARKET_SD, MARKET_MEAN, SECTOR_SD, PROXY_SD = 0.011, 0.0005, 0.013, 0.003  # daily
BENCHMARK_SD = 0.010  # of the part that is not New York's
SECTOR_GLOBAL_IN_CHINA = 0.5  # loading of the Chinese sector on New York's; the rest is local
ARCH, GARCH, SHOCK_DF = 0.08, 0.88, 5

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
_TRUTH = ("symbol", "date", "announcement_id", "abnormal_return")


@dataclass(frozen=True, slots=True)
class SimulatedMarket:
    """Prices, and what was put into them.

    Attributes
    ----------
    prices : polars.DataFrame
        ``symbol, date, close, volume``, sorted by (symbol, date): securities, benchmarks and
        sector proxies. Closes are rounded to 0.01; an index has no volume. No row, no trade.
    truth : polars.DataFrame
        ``symbol, date, announcement_id, abnormal_return``, sorted by (symbol, date,
        announcement_id): the abnormal return put in, a fraction, before price limits. A row may
        fall on a day of suspension; the move then shows when trading resumes.
    """

    prices: pl.DataFrame
    truth: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Path:
    """Returns as they are realised: shape (n,) each, `closes` the instants they are known at."""

    dates: pl.Series
    closes: Instants
    returns: Floats

    def seen(self, closes: Instants) -> Floats:
        """What was realised since the previous of `closes`: shape (len(closes),), the first zero."""
        level = np.concatenate([[0.0], np.cumsum(self.returns)])
        known = level[np.searchsorted(self.closes, closes, side="right")]
        return np.diff(known, prepend=known[:1])


@dataclass(frozen=True, slots=True)
class _World:
    """What every series shares."""

    seed: int
    noise: float
    sessions: Mapping[str, pl.DataFrame]
    market: _Path
    semiconductors: _Path
    chinese_chips: _Path

    def sector(self, mic: str, closes: Instants) -> Floats:
        world = self.semiconductors.seen(closes)
        if mic not in CHINA:
            return world
        return SECTOR_GLOBAL_IN_CHINA * world + self.chinese_chips.seen(closes)


def simulate(
    securities: pl.DataFrame,
    announcements: pl.DataFrame,
    sessions: pl.DataFrame,
    first: date,
    last: date,
    *,
    seed: int = SEED,
    effects: Mapping[tuple[str, str, str], float] = EFFECTS,
    closures: Mapping[str, Sequence[date]] = CLOSURES,
    suspensions: Mapping[str, tuple[date, date]] = SUSPENSIONS,
    noise: float = 1.0,
) -> SimulatedMarket:
    """Make up a market in which the abnormal returns are known.

    Parameters
    ----------
    securities : polars.DataFrame
        As `schema.Securities`. Their benchmarks and sector proxies are made up as well.
    announcements : polars.DataFrame
        As `schema.Announcements`; may be empty, and then nothing abnormal is put in.
    sessions : polars.DataFrame
        ``mic, date, close`` (UTC) of every exchange, and always of New York, where the factors are
        realised; the Chinese one on the mainland, if its sessions are given.
    first, last : datetime.date
        Inclusive span of the prices.
    seed : int
        Every series draws from `seed` and its own name, so that one more security or a later
        `last` changes no other series (of several benchmarks behind one proxy the first counts).
    effects : mapping
        (jurisdiction, stance, role class) -> abnormal return, a fraction: see `EFFECTS`.
    closures : mapping
        MIC -> sessions that did not take place.
    suspensions : mapping
        Symbol -> first and last day without trading.
    noise : float
        Scale of everything that is not put in on purpose, alpha and drift included: 0 leaves
        the truth alone.

    Returns
    -------
    SimulatedMarket

    Notes
    -----
    A policy announcement moves each of its targets by 70% of the effect on day 0 and by 30% on
    the next session; a confounder (company results and the like) by a mean-zero jump with an sd
    of 3% on day 0. Of several announcements on one day the effects add up. The first session of
    a series only sets its price, and so carries no effect.

    A price limit caps the close at the previous close times (1 +- limit), rounded to 0.01, and
    the rest carries over to the next sessions; the first five sessions after listing are free.

    Streams are numpy's, which it may change between versions: a new numpy may ask for a new sample.

    Examples
    --------
    >>> from datetime import date
    >>> import polars as pl
    >>> from marketimpact.events.calendars import sessions
    >>> from marketimpact.sources.simulation import simulate
    >>> first, last = date(2025, 1, 2), date(2025, 6, 30)
    >>> firms = pl.DataFrame({"symbol": ["NVDA"], "mic": ["XNAS"], "benchmark": ["^GSPC"]})
    >>> simulate(firms, pl.DataFrame(), sessions(["XNAS"], first, last), first, last).prices.height
    244
    """
    if first > last or seed < 0 or noise < 0.0:
        raise SpecificationError(
            f"Cannot simulate from {first} to {last} with seed={seed}, noise={noise}: "
            "the span must run forward, and seed and noise must not be negative."
        )
    securities = schema.check(schema.Securities, securities, "securities").sort("symbol")
    shut = pl.concat_str("mic", "date", separator=" ").is_in(
        [f"{mic} {day}" for mic in closures for day in closures[mic]]
    )
    sessions = sessions.select("mic", "date", "close").filter(~shut).sort("mic", "date")
    world = _world(securities, sessions.filter(pl.col("date").is_between(first, last)), seed, noise)
    indices, proxies = _named(securities, "benchmark"), _named(securities, "sector_proxy")
    firms = securities.filter(~pl.col("symbol").is_in([*indices, *proxies]))
    truth = _truth(announcements, firms, sessions, world, effects)
    benchmarks = {symbol: _benchmark(world, symbol, mic) for symbol, mic in indices.items()}
    frames = [
        _quotes(symbol, path.dates, _level(world, symbol, path.returns), None) for symbol, path in benchmarks.items()
    ]
    for symbol in sorted(proxies.keys() - indices.keys()):
        frames.append(_proxy(world, symbol, proxies[symbol], securities, benchmarks))
    for firm in firms.iter_rows(named=True):
        put_in = truth.filter(pl.col("symbol") == firm["symbol"])
        base = benchmarks.get(firm["benchmark"], world.market)
        frames.append(_firm(world, firm, base, put_in, suspensions))
    return SimulatedMarket(pl.concat(frames).sort("symbol", "date"), truth)


def role_class(role: str | None, country: str | None) -> str:
    """Class of a firm in `EFFECTS`, from its role and country.

    A Chinese firm is a ``foundry``, a ``buyer`` (clouds, servers, telecoms) or a ``substitute``
    (designers, tools, memory, ...); any other firm a ``foreign_seller``, save for the clouds and
    device makers abroad, which are ``other``.

    Examples
    --------
    >>> role_class("gpu_designer", "US"), role_class("gpu_designer", "CN")
    ('foreign_seller', 'substitute')
    """
    if country != "CN":
        return "other" if role in BYSTANDERS else "foreign_seller"
    if role in FOUNDRIES:
        return "foundry"
    return "buyer" if role in BUYERS else "substitute"


def _truth(
    announcements: pl.DataFrame,
    firms: pl.DataFrame,
    sessions: pl.DataFrame,
    world: _World,
    effects: Mapping[tuple[str, str, str], float],
) -> pl.DataFrame:
    """What is put in, one row per (symbol, date, announcement_id), where a firm has a return."""
    moves = [
        (hit["targets"], hit["mic"], _instant(hit), lag, hit["announcement_id"], abnormal)
        for hit in _hits(announcements, firms)
        for lag, abnormal in enumerate(_put_in(hit, world.seed, effects))
    ]
    text, utc = pl.String(), pl.Datetime("us", "UTC")
    types: list[tuple[str, pl.DataType]] = [
        ("symbol", text),
        ("mic", text),
        ("instant", utc),
        ("lag", pl.Int64()),
    ]
    types += [("announcement_id", text), ("abnormal_return", pl.Float64())]
    frame = pl.DataFrame(moves, schema=types, orient="row")
    trading = {firm["symbol"]: _trading(world, firm).slice(1) for firm in firms.rows(named=True)}
    days = pl.concat(home.with_columns(symbol=pl.lit(symbol)) for symbol, home in trading.items())
    dated = _on_sessions(frame, sessions).join(days, on=["symbol", "date"], how="semi")
    return dated.select(_TRUTH).sort("symbol", "date", "announcement_id")


def _hits(announcements: pl.DataFrame, firms: pl.DataFrame) -> list[dict[str, Any]]:
    """Every announcement with every security it aims at."""
    if announcements.is_empty():
        return []
    announcements = schema.check(schema.Announcements, announcements, "announcements")
    moving = (pl.col("stance") != "none") | pl.col("is_confounder").fill_null(value=False)
    aimed = announcements.filter(moving).explode("targets").unique(["announcement_id", "targets"])
    who = firms.select("mic", "role", "country", targets="symbol")
    return aimed.join(who, on="targets", validate="m:1").rows(named=True)


def _instant(hit: Mapping[str, Any]) -> datetime:
    """When the news is out. A date without a time counts as noon where it was issued.

    Where the hour is unknown day 0 is uncertain by a session; here the truth has to be one of them.
    """
    announced: datetime = hit["announced_at"]
    if hit["time_precision"] != "day":
        return announced
    zone = ZoneInfo(hit["time_zone"])
    return datetime.combine(announced.astimezone(zone).date(), time(12), zone).astimezone(UTC)


def _put_in(hit: Mapping[str, Any], seed: int, effects: Mapping[tuple[str, str, str], float]) -> tuple[float, ...]:
    """Abnormal returns of one security from day 0 on."""
    announcement, symbol = hit["announcement_id"], hit["targets"]
    if hit["is_confounder"]:
        return (float(_rng(seed, f"{announcement}:{symbol}").normal(0.0, JUMP_SD)),)
    role = role_class(hit["role"], hit["country"])
    for who in (symbol, role):
        if (announcement, who) in SPECIAL_EFFECTS:
            return (SPECIAL_EFFECTS[announcement, who],)
    jurisdiction = "CN" if hit["jurisdiction"] == "CN" else "US"
    effect = effects.get((jurisdiction, hit["stance"], role), 0.0)
    return tuple(share * effect for share in DRIFT)


def _on_sessions(moves: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Date every move: `lag` sessions after the first session whose close lies strictly after `instant`."""
    numbered = sessions.with_columns(pl.int_range(pl.len()).over("mic").alias("session"))
    day0 = moves.sort("instant").join_asof(
        numbered.select("mic", "close", "session").sort("close"),
        left_on="instant",
        right_on="close",
        by="mic",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    later = day0.with_columns(pl.col("session") + pl.col("lag"))
    return later.join(numbered.select("mic", "session", "date"), on=["mic", "session"], validate="m:1")


def _world(securities: pl.DataFrame, span: pl.DataFrame, seed: int, noise: float) -> _World:
    by_mic = {str(mic): frame for (mic,), frame in span.partition_by("mic", as_dict=True).items()}
    needed = set(securities["mic"]) | set(_named(securities, "benchmark", "sector_proxy").values())
    new_york = next((by_mic[mic] for mic in NEW_YORK if mic in by_mic), None)
    missing = sorted(needed - set(by_mic)) or list(NEW_YORK[:1])
    if needed - set(by_mic) or new_york is None:
        raise DataError(
            f"No sessions of {', '.join(missing)} in the span. Hand in those of every exchange of the "
            f"securities, their benchmarks and proxies, and of {NEW_YORK[0]}, where the factors are realised."
        )
    mainland = next((by_mic[mic] for mic in MAINLAND if mic in by_mic), new_york)

    def realised(name: str, home: pl.DataFrame, sd: float, mean: float = 0.0) -> _Path:
        returns = noise * (mean + _shocks(seed, name, home.height, sd))
        return _Path(home["date"], home["close"].to_numpy(), returns)

    local = SECTOR_SD * float(np.sqrt(1.0 - SECTOR_GLOBAL_IN_CHINA**2))
    return _World(
        seed=seed,
        noise=noise,
        sessions=by_mic,
        market=realised("factor:market", new_york, MARKET_SD, MARKET_MEAN),
        semiconductors=realised("factor:semiconductors", new_york, SECTOR_SD),
        chinese_chips=realised("factor:chinese-chips", mainland, local),
    )


def _named(securities: pl.DataFrame, *columns: str) -> dict[str, str]:
    """Benchmarks or proxies and their exchanges: by the symbol's ending, else of a firm that names it."""
    named: dict[str, str] = {}
    for column in columns:
        pairs = securities.select(column, "mic").drop_nulls().unique().sort(column, "mic")
        for symbol, mic in pairs.rows():
            named.setdefault(symbol, SUFFIXES.get(symbol.rpartition(".")[2], mic))
    return named


def _rng(seed: int, name: str) -> np.random.Generator:
    """Build the stream of one name, independent of all others."""
    entropy = int.from_bytes(sha256(name.encode()).digest(), "big")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, entropy])))


def _shocks(seed: int, name: str, n: int, sd: float) -> Floats:
    """GARCH(1,1) with standardized t5 shocks, unconditional standard deviation `sd`: shape (n,)."""
    z = _rng(seed, name).standard_t(SHOCK_DF, size=n) * np.sqrt((SHOCK_DF - 2) / SHOCK_DF)
    shocks, variance = np.empty(n), 1.0
    for i in range(n):
        shocks[i] = np.sqrt(variance) * z[i]
        variance = (1.0 - ARCH - GARCH) + ARCH * shocks[i] ** 2 + GARCH * variance
    return sd * shocks


def _benchmark(world: _World, symbol: str, mic: str) -> _Path:
    home = world.sessions[mic]
    closes = home["close"].to_numpy()
    returns = world.market.seen(closes)
    if mic not in NEW_YORK:
        loading = _rng(world.seed, f"{symbol}:loading").uniform(0.35, 0.45)
        own = world.noise * _shocks(world.seed, symbol, len(closes), BENCHMARK_SD)
        returns = loading * returns + own
    return _Path(home["date"], closes, returns)


def _proxy(
    world: _World, symbol: str, mic: str, securities: pl.DataFrame, benchmarks: Mapping[str, _Path]
) -> pl.DataFrame:
    """Sector fund or index: the benchmark of the first firm that names it, plus the sector."""
    home = world.sessions[mic]
    closes = home["close"].to_numpy()
    base = securities.filter(pl.col("sector_proxy") == symbol)["benchmark"][0]
    own = world.noise * _shocks(world.seed, symbol, len(closes), PROXY_SD)
    returns = benchmarks.get(base, world.market).seen(closes) + world.sector(mic, closes) + own
    volume = None if symbol.startswith("^") else _volume(world, symbol, returns)
    return _quotes(symbol, home["date"], _level(world, symbol, returns), volume)


def _trading(world: _World, firm: Mapping[str, Any]) -> pl.DataFrame:
    """Sessions of a firm's exchange since its listing."""
    home = world.sessions[firm["mic"]]
    return home if firm["listed_on"] is None else home.filter(pl.col("date") >= firm["listed_on"])


def _firm(
    world: _World,
    firm: Mapping[str, Any],
    benchmark: _Path,
    put_in: pl.DataFrame,
    suspensions: Mapping[str, tuple[date, date]],
) -> pl.DataFrame:
    symbol, dates = firm["symbol"], _trading(world, firm)
    closes = dates["close"].to_numpy()
    character = _rng(world.seed, f"{symbol}:character")
    alpha, beta = character.uniform(0.0, 0.0004), character.uniform(0.7, 1.5)
    k, sd = character.uniform(0.5, 1.2), character.uniform(0.012, 0.028)
    start = 20.0 * 25.0 ** character.uniform() * PRICE_LEVEL.get(firm["currency"], 1.0)
    own = world.noise * (alpha + _shocks(world.seed, symbol, len(closes), sd))
    returns = beta * benchmark.seen(closes) + k * world.sector(firm["mic"], closes) + own
    moves = put_in.group_by("date").agg(pl.col("abnormal_return").sum())
    joined = dates.join(moves, on="date", how="left", validate="1:1", maintain_order="left")
    returns = returns + joined["abnormal_return"].fill_null(0.0).to_numpy()
    halted = suspensions.get(symbol)
    traded = np.ones(len(closes), bool) if halted is None else ~dates["date"].is_between(*halted).to_numpy()
    start_of_span = world.sessions[firm["mic"]]["date"][0]
    free = FREE_SESSIONS if (firm["listed_on"] or date.min) >= start_of_span else 0
    prices = _capped(_values(start, returns), firm["price_limit"], free, traded)
    volume = _volume(world, symbol, returns)
    return _quotes(symbol, dates["date"].filter(traded), prices[traded], volume[traded])


def _level(world: _World, symbol: str, returns: Floats) -> Floats:
    """Closes of an index or fund, shape (n,)."""
    return _cents(_values(_rng(world.seed, f"{symbol}:start").uniform(200.0, 5000.0), returns))


def _values(start: float, returns: Floats) -> Floats:
    """Value path, shape (n,). The first price is given, so the first return is not seen."""
    growth = 1.0 + returns
    growth[:1] = 1.0
    return np.asarray(start * np.cumprod(growth), dtype=np.float64)


def _capped(values: Floats, limit: float | None, free: int, traded: npt.NDArray[np.bool_]) -> Floats:
    """Closes, shape (n,): the value, kept within the limit around the previous close.

    The value runs on while the close is held back, so the rest of a move comes the next sessions.
    """
    closes = _cents(values)
    if limit is None:
        return closes
    previous: float | None = None
    for i in np.flatnonzero(traded):
        if previous is not None and i >= free:
            low, high = _cents(np.array([1.0 - limit, 1.0 + limit]) * previous)
            closes[i] = min(max(closes[i], low), high)
        previous = float(closes[i])
    return closes


def _cents(prices: Floats) -> Floats:
    """Round half up to 0.01, as exchanges round their limits; the epsilon undoes binary fractions."""
    return np.floor(prices * 100.0 + 0.5 + 1e-6) / 100.0


def _volume(world: _World, symbol: str, returns: Floats) -> Floats:
    """Lognormal volume that rises with the size of the day's move: shape (n,), whole shares."""
    stream = _rng(world.seed, f"{symbol}:volume")
    level = stream.uniform(14.0, 17.5)
    return np.rint(np.exp(level + 0.3 * stream.standard_normal(len(returns)) + 8.0 * np.abs(returns)))


def _quotes(symbol: str, dates: pl.Series, closes: Floats, volume: Floats | None) -> pl.DataFrame:
    quantity = pl.Series("volume", [None] * len(closes) if volume is None else volume, pl.Float64)
    return pl.DataFrame({"date": dates, "close": closes, "volume": quantity}).select(
        pl.lit(symbol).alias("symbol"), "date", "close", "volume"
    )
