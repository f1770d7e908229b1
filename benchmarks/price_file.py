"""Simulate a price file as CRSP has it: firms listed and delisted, days missing, one benchmark; invented prices."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from marketimpact.events import calendars

#: Index of the simulated market, and the exchange of every firm.
BENCHMARK, MIC = "^MARKET", "XNYS"
#: First and last day of the panel; sessions are counted back from the last one.
LAST_DAY, EARLIEST = date(2024, 12, 31), date(1985, 1, 2)
#: Sessions of a life, at least.
SHORTEST_LIFE = 300


def trading_days(number: int) -> pl.Series:
    """Return the last sessions of the exchange up to `LAST_DAY`."""
    days = calendars.sessions([MIC], EARLIEST, LAST_DAY)["date"]
    return days.tail(number)


def write_prices(
    file: Path, rows: int, *, dirty: bool = True, sessions: int = 2500, order: str = "symbol", seed: int = 24
) -> int:
    """Write about so many rows of ``symbol, date, close, volume`` to a Parquet file; return their number.

    A clean panel is complete; a dirty one has firms that are listed and delisted, and 1% of days missing.
    """
    rng = np.random.default_rng(seed)
    days = trading_days(sessions)
    share = 0.64 if dirty else 1.0
    firms = max(2, round(rows / sessions / share))
    market = rng.normal(0.0003, 0.01, len(days))
    level = 1000 * np.exp(np.cumsum(market))
    parts = [pl.DataFrame({"symbol": [BENCHMARK] * len(days), "date": days, "close": level})]
    for firm in range(firms):
        first, last = 0, len(days)
        if dirty:
            first = int(rng.integers(0, max(1, len(days) - SHORTEST_LIFE)) * (rng.random() < 0.6))
            last = len(days) if rng.random() < 0.5 else int(rng.integers(first + SHORTEST_LIFE, len(days) + 1))
        length = last - first
        own = rng.normal(0.0, 0.02, length) + rng.uniform(0.5, 1.5) * market[first:last]
        close = np.round(rng.uniform(5, 200) * np.exp(np.cumsum(own - 0.00025)), 4)
        volume = np.round(rng.lognormal(12, 0.6, length))
        frame = pl.DataFrame(
            {
                "symbol": [f"F{firm:05d}"] * length,
                "date": days.slice(first, length),
                "close": np.maximum(close, 0.01),
                "volume": volume,
            }
        )
        parts.append(frame.filter(rng.random(length) >= 0.01) if dirty else frame)
    prices = pl.concat(parts, how="diagonal", rechunk=True)
    if order == "date":
        prices = prices.sort("date", "symbol")
    prices.write_parquet(file)
    return prices.height


def securities(file: Path) -> pl.DataFrame:
    """Return the securities of a file of `write_prices`."""
    symbols = pl.scan_parquet(file).select(pl.col("symbol").unique().sort()).collect()["symbol"]
    firms = symbols.filter(symbols != BENCHMARK)
    return pl.DataFrame({"symbol": firms}).with_columns(
        mic=pl.lit(MIC), currency=pl.lit("USD"), benchmark=pl.lit(BENCHMARK)
    )
