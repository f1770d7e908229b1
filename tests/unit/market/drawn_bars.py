"""Bars drawn for tests: regular hours of New York or Shanghai, every symbol on every day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

NEW_YORK, SHANGHAI = ZoneInfo("America/New_York"), ZoneInfo("Asia/Shanghai")
LISTINGS = pl.DataFrame(
    {
        "symbol": ["NVDA", "AMD", "SPY", "688981.SS"],
        "mic": ["XNAS", "XNAS", "XNYS", "XSHG"],
        "benchmark": ["SPY", "SPY", None, None],
    }
)
#: Across the change to daylight saving time on 9 March 2025; every day a session in New York and in Shanghai.
DAYS = [date(2025, 3, day) for day in (3, 4, 5, 6, 7, 10, 11, 12, 13, 14)]


def stamps_of(day: date, minutes: int, zone: ZoneInfo = NEW_YORK) -> list[datetime]:
    """Starts of the regular bars of one day, UTC."""
    spans = [((9, 30), 390)] if zone is NEW_YORK else [((9, 30), 120), ((13, 0), 120)]
    starts = []
    for (hour, minute), length in spans:
        first = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(ZoneInfo("UTC"))
        starts += [first + timedelta(minutes=k) for k in range(0, length, minutes)]
    return starts


def draw_bars(symbol: str, days: list[date] = DAYS, minutes: int = 5, *, seed: int = 1) -> pl.DataFrame:
    """Bars of one symbol from a random walk; the volume of a day is highest at its opening."""
    zone = SHANGHAI if symbol.endswith(".SS") else NEW_YORK
    starts = [start for day in days for start in stamps_of(day, minutes, zone)]
    rng = np.random.default_rng([seed, *symbol.encode()])
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, len(starts))))
    opened = np.concatenate([[100.0], close[:-1]])
    per_day = len(starts) // len(days)
    volume = np.tile(np.linspace(5e5, 1e5, per_day), len(days)) * rng.uniform(0.9, 1.1, len(starts))
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(starts),
            "start": pl.Series(starts, dtype=pl.Datetime("us", "UTC")),
            "open": opened,
            "high": np.maximum(opened, close) * 1.0002,
            "low": np.minimum(opened, close) / 1.0002,
            "close": close,
            "volume": volume.round(),
        }
    )


def draw_market(days: list[date] = DAYS, minutes: int = 5) -> pl.DataFrame:
    """Bars of every symbol."""
    return pl.concat([draw_bars(symbol, days, minutes) for symbol in LISTINGS["symbol"]])
