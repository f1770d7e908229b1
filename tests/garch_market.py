"""A simulated market with GARCH(1,1) variance and t5 shocks: ten years, four exchanges."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import polars as pl

from marketimpact.events import calendars

#: Exchange, benchmark, currency, daily limit.
EXCHANGES = (
    ("XNAS", "^GSPC", "USD", None),
    ("XSHG", "000300.SS", "CNY", 0.10),
    ("XHKG", "^HSI", "HKD", None),
    ("XTKS", "^N225", "JPY", None),
)


def _garch(rng: np.random.Generator, days: int, sd: float, width: int) -> np.ndarray:
    shocks = rng.standard_t(5, (days, width)) / np.sqrt(5 / 3)
    variance, moves = np.full(width, sd**2), np.empty((days, width))
    for day in range(days):
        moves[day] = np.sqrt(variance) * shocks[day]
        variance = 0.04 * sd**2 + 0.08 * moves[day] ** 2 + 0.88 * variance
    return moves


@cache
def clean(
    seed: int, firms: int = 15, first: date = date(2015, 1, 2), last: date = date(2024, 12, 31)
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Prices (``symbol, date, close, volume, currency``) and securities: `firms` on each exchange, and its index."""
    rng = np.random.default_rng(seed)
    quotes, securities = [], []
    for mic, benchmark, currency, limit in EXCHANGES:
        days = calendars.sessions([mic], first, last).filter(pl.col("date").is_between(first, last))["date"]
        market = _garch(rng, len(days), 0.01, 1)
        returns = np.hstack([market, 1.1 * market + _garch(rng, len(days), 0.02, firms)])
        if limit is not None:
            returns = np.clip(returns, -limit, limit)
        start = np.concatenate([[3000.0], rng.uniform(20, 300, firms)])
        # without drift beyond the mean of logs, or a price could sink below its tick
        closes = np.round(start * np.exp(np.cumsum(np.log1p(returns) - np.log1p(returns).mean(axis=0), axis=0)), 2)
        volumes = np.round(1e6 * np.exp(0.4 * rng.standard_normal(closes.shape)))
        names = [benchmark, *(f"{mic}.{n:02d}" for n in range(firms))]
        for column, symbol in enumerate(names):
            quotes.append(
                pl.DataFrame(
                    {"symbol": symbol, "date": days, "close": closes[:, column], "volume": volumes[:, column],
                     "currency": currency}
                )
            )  # fmt: skip
        securities += [(symbol, mic, currency, benchmark, limit) for symbol in names[1:]]
    columns = ["symbol", "mic", "currency", "benchmark", "price_limit"]
    return pl.concat(quotes), pl.DataFrame(securities, schema=columns, orient="row")
