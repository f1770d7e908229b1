"""Prices with opens whose legs are known: two exchanges, an index and a traded fund on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

import marketimpact as mi
from marketimpact.events import calendars
from marketimpact.sources.protocol import PriceTable

FIRST, LAST = date(2024, 1, 2), date(2025, 3, 31)
FIRMS = pl.DataFrame(
    {
        "symbol": ["600001.SS", "600002.SS", "NYA", "NYB", "NYC"],
        "mic": ["XSHG", "XSHG", "XNYS", "XNYS", "XNYS"],
        "currency": ["CNY", "CNY", "USD", "USD", "USD"],
        "benchmark": ["^SH", "^SH", "^NY", "^NY", "^NY"],
        "leg_benchmark": ["FUND.SS", "FUND.SS", "FUND", "FUND", "FUND"],
        "price_limit": [0.1, 0.1, None, None, None],
    }
)
SERIES = [*FIRMS.select("symbol", "mic").iter_rows(), ("^SH", "XSHG"), ("FUND.SS", "XSHG"), ("^NY", "XNYS"),
          ("FUND", "XNYS")]  # fmt: skip


@dataclass(frozen=True)
class Bars:
    """A source over a frame of prices."""

    frame: pl.DataFrame

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        frame = self.frame.filter(pl.col("symbol").is_in(list(symbols))).sort("symbol", "date")
        held = set(frame["symbol"])
        return PriceTable(frame, "Bars", simulated=False, missing=tuple(s for s in symbols if s not in held), notes=())


def drawn(seed: int = 7, *, night: float = 0.01, day: float = 0.02) -> pl.DataFrame:
    """Draw ``symbol, date, open, close, volume`` with overnight and day legs of these standard deviations."""
    rng = np.random.default_rng(seed)
    sessions = calendars.sessions(["XSHG", "XNYS"], FIRST, LAST)
    frames = []
    for symbol, mic in SERIES:
        days = sessions.filter(pl.col("mic") == mic, pl.col("date").is_between(FIRST, LAST))["date"].sort()
        # within the price limit of Shanghai
        overnight = np.clip(rng.normal(0, night, len(days)), -0.03, 0.03)
        within = np.clip(rng.normal(0, day, len(days)), -0.05, 0.05)
        close = 100.0 * np.cumprod((1 + overnight) * (1 + within))
        frames.append(
            pl.DataFrame({"symbol": symbol, "date": days, "open": close / (1 + within), "close": close, "volume": 1e6})
        )
    return pl.concat(frames)


def load(frame: pl.DataFrame, **options: object) -> mi.Market:
    """Load a market of `FIRMS` from such prices."""
    return mi.Market.load(FIRMS, Bars(frame), **options)
