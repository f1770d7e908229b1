"""Simulated bars of the embedded securities, on the sessions of their exchanges, with effects that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.text import did_you_mean, listed
from marketimpact.core.whole_numbers import is_whole
from marketimpact.errors import SpecificationError
from marketimpact.events import calendars, catalogue
from marketimpact.sources.bar_columns import UTC_TIME
from marketimpact.sources.bar_files import BarTable
from marketimpact.sources.protocol import check_symbols

__all__ = ["SampleBars", "u_shape"]

#: Standard deviation of a session's market return, of a firm's own, and of the move over a night, as fractions.
MARKET, OWN, NIGHT = 0.008, 0.015, 0.008
#: Daily persistence and standard deviation of the logarithm of volatility.
PERSISTENCE, ROUGHNESS = 0.9, 0.12
#: Jumps of a firm: a session, and their standard deviation.
JUMPS, JUMP_SIZE = 0.1, 0.01
BETA = 1.2
_MINUTE = 60_000_000
_TABLE: dict[str, Any] = {
    "symbol": pl.String, "clock": pl.Datetime("us"), "start": UTC_TIME, "open": pl.Float64, "high": pl.Float64,
    "low": pl.Float64, "close": pl.Float64, "volume": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SampleBars:
    """Simulated bars, never to be reported: U-shaped volatility, turbulent times, jumps, and effects as stated.

    Parameters
    ----------
    symbols : sequence of str
        Embedded securities and their benchmarks.
    first, last : datetime.date
        Sessions, both included.
    minutes : int
        Length of a bar.
    effects : mapping of (str, datetime.datetime) to float
        Symbol and instant with a zone -> the fraction by which the price moves in the first bar that ends after it.
    seed : int
        Of the random numbers; another seed is another market.

    Examples
    --------
    >>> import marketimpact as mi
    >>> bars = mi.Bars.load(mi.securities(), mi.SampleBars(["NVDA", "0981.HK"], date(2025, 3, 3), date(2025, 3, 7)))
    >>> bars.grid.select("symbol", "mic", "interval_minutes", "n_bars").rows()
    [('0981.HK', 'XHKG', 5.0, 330), ('NVDA', 'XNAS', 5.0, 390)]
    """

    symbols: Sequence[str]
    first: date = date(2025, 1, 2)
    last: date = date(2025, 9, 30)
    minutes: int = 5
    effects: Mapping[tuple[str, datetime], float] = field(default_factory=lambda: MappingProxyType({}))
    seed: int = 1

    def __post_init__(self) -> None:
        if not is_whole(self.minutes) or not 1 <= self.minutes <= 60 or 60 % self.minutes:
            raise SpecificationError(
                f"minutes={self.minutes!r} is no length of bars that divides an hour. Give 1 to 60."
            )
        object.__setattr__(self, "minutes", int(self.minutes))
        if self.first > self.last:
            raise SpecificationError(f"first {self.first} lies after last {self.last}. Swap them.")
        naive = [instant for _, instant in self.effects if instant.tzinfo is None]
        if naive:
            raise SpecificationError(f"The effect at {naive[0]} has no time zone. Give one, such as tzinfo=UTC.")
        known = _exchanges()
        for symbol in check_symbols(self.symbols):
            if symbol not in known:
                raise SpecificationError(
                    f"{symbol!r} is no security of mi.securities() or benchmark of one.{did_you_mean(symbol, known)}"
                )
        absent = [symbol for symbol, _ in self.effects if symbol not in self.symbols]
        if absent:
            raise SpecificationError(f"effects has {absent[0]!r}, which is not among {listed(list(self.symbols))}.")

    def __repr__(self) -> str:
        return f"SampleBars({listed(list(self.symbols))}, simulated)"

    def read_bars(self, symbols: Sequence[str]) -> BarTable:
        """Simulate the bars of those symbols among `symbols` that were named.

        Returns
        -------
        BarTable
            Marked as simulated.
        """
        exchanges = _exchanges()
        chosen = [symbol for symbol in self.symbols if symbol in set(check_symbols(symbols))]
        empty = pl.DataFrame(schema=_TABLE)
        frames = [self._simulate(symbol, exchanges[symbol]) for symbol in chosen]
        return BarTable(pl.concat([empty, *frames]).lazy(), repr(self), stamps="start", simulated=True)

    def _simulate(self, symbol: str, exchange: tuple[str, bool]) -> pl.DataFrame:
        mic, is_index = exchange
        starts, day, share = _grid(mic, self.first, self.last, self.minutes)
        market, night = _market(mic, day, share, self.seed)
        rng = np.random.default_rng([self.seed, *symbol.encode()])
        moves, gaps = market, night
        if not is_index:
            own = rng.normal(0, OWN, len(starts)) * _session_scale(day, share) * _turbulence(day, rng)
            hit = rng.random(len(starts)) < JUMPS * _share_of_session(day)
            moves = BETA * market + own + hit * rng.normal(0, JUMP_SIZE, len(starts))
            gaps = BETA * night + rng.normal(0, NIGHT, len(night))
        moves = moves + self._planted(symbol, starts)
        first_bar = np.concatenate([[True], np.diff(day) > 0])
        opened_by = np.where(first_bar, gaps[day], 0.0)
        close = 100.0 * np.exp(np.cumsum(moves + opened_by))
        opened = close / np.exp(moves)
        wick = np.exp(np.abs(rng.normal(0, 0.0003, (2, len(starts)))))
        volume = np.round(1e5 * _session_scale(day, share) * np.sqrt(len(share)) * rng.uniform(0.5, 1.5, len(starts)))
        stamps = pl.Series(starts, dtype=pl.Int64).cast(pl.Datetime("us"))
        return pl.DataFrame(
            {
                "symbol": [symbol] * len(starts), "clock": stamps, "start": stamps.dt.replace_time_zone("UTC"),
                "open": opened, "high": np.maximum(opened, close) * wick[0], "low": np.minimum(opened, close) / wick[1],
                "close": close, "volume": volume + 1.0,
            }
        )  # fmt: skip

    def _planted(self, symbol: str, starts: Ints) -> Floats:
        """Place each effect in the first bar that ends after its instant."""
        planted = np.zeros(len(starts))
        for (name, instant), size in self.effects.items():
            row = int(np.searchsorted(starts + self.minutes * _MINUTE, int(instant.timestamp() * 1e6), side="right"))
            if name == symbol and row < len(starts):
                planted[row] += np.log1p(size)
        return planted


def _exchanges() -> dict[str, tuple[str, bool]]:
    """Map each embedded security and benchmark to its exchange, and whether it is a benchmark."""
    rows = catalogue.securities().select("symbol", "mic", "benchmark")
    indices = {benchmark: (mic, True) for _, mic, benchmark in reversed(rows.rows()) if benchmark}
    return indices | {symbol: (mic, False) for symbol, mic, _ in rows.iter_rows()}


def _grid(mic: str, first: date, last: date, minutes: int) -> tuple[Ints, Ints, Floats]:
    """List the starts of bars (T,), the number of their session (T,), and how much of its time has passed (T,)."""
    sessions = calendars.sessions([mic], first, last, calendars.overrides_by_calendar())
    sessions = sessions.filter(pl.col("date").is_between(first, last))
    starts, day, share = [], [], []
    for k, row in enumerate(sessions.iter_rows(named=True)):
        spans = [(row["open"], row["break_start"]), (row["break_end"], row["close"])]
        own = [
            stamp for a, b in (spans if row["break_start"] else [(row["open"], row["close"])])
            for stamp in range(int(a.timestamp()), int(b.timestamp()), minutes * 60)
        ]  # fmt: skip
        starts += own
        day += [k] * len(own)
        share += list((np.arange(len(own)) + 0.5) / len(own))
    return np.array(starts, dtype=np.int64) * 1_000_000, np.array(day, dtype=np.int64), np.array(share)


def u_shape(share: Floats) -> Floats:
    """Volatility over the day, by the share of the session that has passed: high at both ends, mean square one."""
    raw = 0.6 + 2.0 * (2.0 * share - 1.0) ** 2 + 3.0 * np.exp(-12.0 * share)
    return np.asarray(np.sqrt(raw / raw.mean()))


def _share_of_session(day: Ints) -> Floats:
    return 1.0 / np.bincount(day)[day]


def _session_scale(day: Ints, share: Floats) -> Floats:
    """Scale the standard deviation of a session to each of its bars."""
    return u_shape(share) * np.sqrt(_share_of_session(day))


def _turbulence(day: Ints, rng: np.random.Generator) -> Floats:
    """Draw volatility of each session that changes slowly; median one."""
    shocks = rng.normal(0, ROUGHNESS, int(day[-1]) + 1)
    level = np.zeros(len(shocks))
    for k in range(1, len(shocks)):
        level[k] = PERSISTENCE * level[k - 1] + shocks[k]
    return np.asarray(np.exp(level)[day])


def _market(mic: str, day: Ints, share: Floats, seed: int) -> tuple[Floats, Floats]:
    """Draw the market of an exchange: a return for each bar, and for each night."""
    rng = np.random.default_rng([seed, *mic.encode()])
    moves = rng.normal(0, MARKET, len(day)) * _session_scale(day, share) * _turbulence(day, rng)
    return moves, rng.normal(0, NIGHT, int(day[-1]) + 1)
