"""Simulate a market in which the abnormal returns are known.

`simulate` takes real symbols, announcements and sessions, and simulates every price (`simulated_series`). The true
abnormal returns are in `SimulatedMarket.truth`; the prices say nothing about the firms. It makes the embedded sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from marketimpact.core import schema
from marketimpact.errors import SpecificationError
from marketimpact.sources.simulated_series import (
    SimulatedWorld,
    benchmark_path,
    build_world,
    exchange_by_symbol,
    firm_prices,
    fund_prices,
    index_prices,
    random_stream,
    trading_sessions,
)

__all__ = ["CLOSURES", "EFFECTS", "SEED", "SUSPENSIONS", "SimulatedMarket", "role_class", "simulate"]


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
#: (jurisdiction, stance, role class) -> total abnormal return, as a fraction; 0 where absent. A permission has half
#: the effect of a restriction, with the other sign. Jurisdictions other than China have the effects of the US.
EFFECTS: Mapping[tuple[str, str, str], float] = {
    (jurisdiction, stance, role): scale * effect
    for (jurisdiction, role), effect in _RESTRICTION.items()
    for stance, scale in (("restrictive", 1.0), ("permissive", -0.5))
}
_H20 = "2025-08-12-beijing-discourages-h20"
#: (announcement, symbol or role class) -> abnormal return on day 0. A symbol takes precedence over its role class,
#: and both over `EFFECTS`.
SPECIAL_EFFECTS: Mapping[tuple[str, str], float] = {
    (_H20, "688256.SS"): 0.220,
    (_H20, "substitute"): 0.060,
    (_H20, "foundry"): 0.030,
    (_H20, "buyer"): -0.005,
    (_H20, "foreign_seller"): -0.010,
}
#: Sessions of a calendar on which the exchange was closed because of a typhoon or rainstorm.
CLOSURES: Mapping[str, Sequence[date]] = {
    "XHKG": (date(2023, 9, 1), date(2023, 9, 8)),
    "XTAI": (date(2024, 10, 31),),
    "ROCO": (date(2024, 10, 31),),
}

#: Symbol -> first and last day without trading. The first two are real; the third is invented, and covers day 0 of
#: the news of Nexperia's seizure.
SUSPENSIONS: Mapping[str, tuple[date, date]] = {
    "688041.SS": (date(2025, 5, 26), date(2025, 6, 9)),
    "688347.SS": (date(2025, 8, 18), date(2025, 8, 29)),
    "600745.SS": (date(2025, 10, 13), date(2025, 10, 17)),
}

FOUNDRIES = frozenset({"foundry", "memory_foundry", "idm_power"})
BYSTANDERS = frozenset({"hyperscaler", "neocloud", "consumer_device", "investor"})  # abroad; buyers in China
BUYERS = BYSTANDERS | {"server", "telecom_equipment", "ai_software"}
#: Shares of a policy effect on day 0 and on the next session.
DRIFT = (0.7, 0.3)
#: Standard deviation of a confounder's effect on day 0.
JUMP_SD = 0.03


_TRUTH = ("symbol", "date", "announcement_id", "abnormal_return", "abnormal_overnight")


@dataclass(frozen=True, slots=True)
class SimulatedMarket:
    """Simulated prices, and the abnormal returns in them.

    Attributes
    ----------
    prices : polars.DataFrame
        ``symbol, date, close, volume, open``, sorted by (symbol, date): securities, benchmarks, sector
        proxies and the funds in ``leg_benchmark``. Prices are rounded to 0.01; an index has no volume. Days without
        trade have no row.
    truth : polars.DataFrame
        ``symbol, date, announcement_id, abnormal_return, abnormal_overnight``, sorted by (symbol, date,
        announcement_id): the true abnormal return, a fraction, before price limits, and the part of it before the
        open. On a day of suspension its effect on the price comes when trading resumes.
    """

    prices: pl.DataFrame
    truth: pl.DataFrame


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
    """Simulate a market in which the abnormal returns are known.

    Parameters
    ----------
    securities : polars.DataFrame
        As `schema.Securities`. Their benchmarks, sector proxies and ``leg_benchmark`` are simulated as well.
    announcements : polars.DataFrame
        As `schema.Announcements`; if empty, there are no abnormal returns.
    sessions : polars.DataFrame
        ``mic, date, open, close`` (UTC) of every exchange, and always of New York, where the factors are
        realised; the Chinese factor is realised on the mainland if its sessions are given.
    first, last : datetime.date
        Inclusive span of the prices.
    seed : int
        Every series draws from `seed` and its own name, so that a further security or a later
        `last` changes no other series (a proxy of several benchmarks follows the first).
    effects : mapping
        (jurisdiction, stance, role class) -> abnormal return, a fraction: see `EFFECTS`.
    closures : mapping
        MIC -> sessions that did not take place.
    suspensions : mapping
        Symbol -> first and last day without trading.
    noise : float
        Scale of all returns but the true effects, alpha and drift included; 0 leaves only the
        true effects.

    Returns
    -------
    SimulatedMarket

    Notes
    -----
    A policy announcement moves each of its targets by 70% of the effect on day 0 and by 30% on
    the next session; a confounder (company results and the like) by a mean-zero jump with an sd
    of 3% on day 0. Of several announcements on one day the effects add up. The first session of
    a series only sets its price, and so carries no effect. The effect on day 0 is overnight where the
    announcement came at or before the open, else in the day; that on the next session is in the day.

    A price limit bounds the close by the previous close times (1 +- limit), rounded to 0.01, and
    the rest of the move follows in the next sessions; the first five sessions after listing have no limit.

    The random streams are numpy's, which may change between versions; the sample is then made again.

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
    is_closed = pl.concat_str("mic", "date", separator=" ").is_in(
        [f"{mic} {day}" for mic in closures for day in closures[mic]]
    )
    if lacking := [name for name in ("mic", "date", "open", "close") if name not in sessions.columns]:
        raise SpecificationError(
            f"sessions lacks {', '.join(lacking)}. Give those of marketimpact.events.calendars.sessions."
        )
    sessions = sessions.select("mic", "date", "open", "close").filter(~is_closed).sort("mic", "date")
    world = build_world(securities, sessions.filter(pl.col("date").is_between(first, last)), seed, noise)
    indices = exchange_by_symbol(securities, "benchmark")
    # a symbol in both columns is a sector proxy
    funds = exchange_by_symbol(securities, "sector_proxy", "leg_benchmark")
    firms = securities.filter(~pl.col("symbol").is_in([*indices, *funds]))
    truth = _truth(announcements, firms, sessions, world, effects)
    benchmarks = {symbol: benchmark_path(world, symbol, mic) for symbol, mic in indices.items()}
    frames = [index_prices(world, symbol, path.hours, path.moves) for symbol, path in benchmarks.items()]
    for symbol in sorted(funds.keys() - indices.keys()):
        column = "sector_proxy" if symbol in securities["sector_proxy"] else "leg_benchmark"
        benchmark = securities.filter(pl.col(column) == symbol)["benchmark"][0]
        followed = benchmarks.get(benchmark, world.market)
        frames.append(fund_prices(world, symbol, funds[symbol], followed, of_sector=column == "sector_proxy"))
    for firm in firms.iter_rows(named=True):
        true_effects = truth.filter(pl.col("symbol") == firm["symbol"])
        benchmark = benchmarks.get(firm["benchmark"], world.market)
        frames.append(firm_prices(world, firm, benchmark, true_effects, suspensions))
    return SimulatedMarket(pl.concat(frames).sort("symbol", "date"), truth)


def role_class(role: str | None, country: str | None) -> str:
    """Return the class of a firm in `EFFECTS`, from its role and country.

    A Chinese firm is a ``foundry``, a ``buyer`` (clouds, servers, telecoms) or a ``substitute``
    (designers, tools, memory, ...); any other firm is a ``foreign_seller``, except clouds and device
    makers abroad, which are ``other``.

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
    world: SimulatedWorld,
    effects: Mapping[tuple[str, str, str], float],
) -> pl.DataFrame:
    """Compute the true effects, one row per (symbol, date, announcement_id) on which a firm has a return."""
    moves = [
        (hit["targets"], hit["mic"], _instant(hit), lag, hit["announcement_id"], abnormal)
        for hit in _hits(announcements, firms)
        for lag, abnormal in enumerate(_true_effects(hit, world.seed, effects))
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
    trading = {firm["symbol"]: trading_sessions(world, firm).slice(1) for firm in firms.rows(named=True)}
    days = pl.concat(
        sessions_of_firm.with_columns(symbol=pl.lit(symbol)) for symbol, sessions_of_firm in trading.items()
    )
    dated = _on_sessions(frame, sessions).join(days, on=["symbol", "date"], how="semi")
    return dated.select(_TRUTH).sort("symbol", "date", "announcement_id")


def _hits(announcements: pl.DataFrame, firms: pl.DataFrame) -> list[dict[str, Any]]:
    """Pair every announcement that moves prices with each of its targets."""
    if announcements.is_empty():
        return []
    announcements = schema.check(schema.Announcements, announcements, "announcements")
    moves_prices = (pl.col("stance") != "none") | pl.col("is_confounder").fill_null(value=False)
    targeted = announcements.filter(moves_prices).explode("targets").unique(["announcement_id", "targets"])
    firm_of_target = firms.select("mic", "role", "country", targets="symbol")
    return targeted.join(firm_of_target, on="targets", validate="m:1").rows(named=True)


def _instant(hit: Mapping[str, Any]) -> datetime:
    """Return the instant of the news; a date without time counts as noon in its time zone.

    Where the hour is unknown, day 0 is uncertain by a session; the simulation has to choose one.
    """
    announced: datetime = hit["announced_at"]
    if hit["time_precision"] != "day":
        return announced
    zone = ZoneInfo(hit["time_zone"])
    return datetime.combine(announced.astimezone(zone).date(), time(12), zone).astimezone(UTC)


def _true_effects(
    hit: Mapping[str, Any], seed: int, effects: Mapping[tuple[str, str, str], float]
) -> tuple[float, ...]:
    """Return the abnormal returns of one security from day 0 on."""
    announcement, symbol = hit["announcement_id"], hit["targets"]
    if hit["is_confounder"]:
        return (float(random_stream(seed, f"{announcement}:{symbol}").normal(0.0, JUMP_SD)),)
    role = role_class(hit["role"], hit["country"])
    for key in ((announcement, symbol), (announcement, role)):
        if key in SPECIAL_EFFECTS:
            return (SPECIAL_EFFECTS[key],)
    jurisdiction = "CN" if hit["jurisdiction"] == "CN" else "US"
    effect = effects.get((jurisdiction, hit["stance"], role), 0.0)
    return tuple(share * effect for share in DRIFT)


def _on_sessions(moves: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Date every move: `lag` sessions after the first session whose close is strictly after `instant`.

    Add ``abnormal_overnight``: the move where it is of lag 0 and came at or before the open, else 0.
    """
    numbered = sessions.with_columns(pl.int_range(pl.len()).over("mic").alias("session"))
    day0 = moves.sort("instant").join_asof(
        numbered.select("mic", "open", "close", "session").sort("close"),
        left_on="instant",
        right_on="close",
        by="mic",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    is_overnight = (pl.col("instant") <= pl.col("open")) & (pl.col("lag") == 0)
    later = day0.with_columns(
        pl.col("session") + pl.col("lag"),
        pl.when(is_overnight).then("abnormal_return").otherwise(0.0).alias("abnormal_overnight"),
    )
    return later.join(numbered.select("mic", "session", "date"), on=["mic", "session"], validate="m:1")
