"""Loading a file reads and copies its rows a bounded number of times; the work is counted, not timed."""

from __future__ import annotations

from collections import Counter
from datetime import date

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.events import calendars

SYMBOLS = [f"F{n:02d}" for n in range(12)]
BENCHMARK, MIC = "^MARKET", "XNYS"
SECURITIES = pl.DataFrame({"symbol": SYMBOLS}).with_columns(
    mic=pl.lit(MIC), currency=pl.lit("USD"), benchmark=pl.lit(BENCHMARK)
)
#: Operations that make a frame with rows of their own; others share the columns they do not change.
MAKES_ROWS = ("filter", "join", "sort", "unique", "drop_nulls")
READS = (*MAKES_ROWS, "select", "group_by", "with_columns")
#: Most frames of all rows that loading may make, and most operations that read all rows.
MOST_FRAMES, MOST_READS = 5, 120


def prices() -> pl.DataFrame:
    """Simulate firms that are listed and delisted, with 1% of days missing, and their benchmark."""
    rng = np.random.default_rng(3)
    days = calendars.sessions([MIC], date(2020, 1, 2), date(2022, 12, 30))["date"]
    parts = []
    for number, symbol in enumerate([BENCHMARK, *SYMBOLS]):
        life = days.slice(0 if number < 6 else 40 * number, len(days) - (90 if number % 3 == 1 else 0))
        frame = pl.DataFrame(
            {
                "symbol": [symbol] * len(life),
                "date": life,
                "close": 50 * np.exp(np.cumsum(rng.normal(0, 0.02, len(life)))),
                "volume": rng.lognormal(12, 0.5, len(life)).round(),
            }
        )
        parts.append(frame.filter(pl.Series(rng.random(len(life)) >= (0.01 if number else 0.0))))
    return pl.concat(parts)


@pytest.fixture
def counted(monkeypatch):
    """Count operations on frames with nine tenths of the file's rows or more, and such frames that were made."""
    counts: Counter[str] = Counter()
    least = int(0.9 * prices().height)

    def watch(name: str) -> None:
        original = getattr(pl.DataFrame, name)

        def watching(frame, *args, **kwargs):
            made = original(frame, *args, **kwargs)
            if frame.height >= least:
                counts["reads"] += 1
                counts["frames"] += name in MAKES_ROWS and made.height >= least
                counts[name] += 1
            return made

        monkeypatch.setattr(pl.DataFrame, name, watching)

    for name in READS:
        watch(name)
    return counts


def test_rows_are_sorted_once(counted, tmp_path):
    shuffled = prices().sample(fraction=1.0, shuffle=True, seed=1)
    shuffled.write_parquet(tmp_path / "prices.parquet")
    counted.clear()
    mi.Market.load(SECURITIES, mi.FilePrices(tmp_path / "prices.parquet"))
    assert counted["sort"] == 1


def test_rows_in_order_are_not_sorted(counted, tmp_path):
    prices().sort("symbol", "date").write_parquet(tmp_path / "prices.parquet")
    counted.clear()
    mi.Market.load(SECURITIES, mi.FilePrices(tmp_path / "prices.parquet"))
    assert counted["sort"] == 0


def test_frames_of_all_rows_and_passes_over_them_stay_few(counted):
    frame = prices().sample(fraction=1.0, shuffle=True, seed=1)
    counted.clear()
    market = mi.Market.load(SECURITIES, mi.FilePrices(frame))
    assert market.findings.filter(pl.col("finding") == "missing_day").height > 50
    assert counted["frames"] <= MOST_FRAMES
    assert counted["reads"] <= MOST_READS


def test_only_the_columns_symbols_and_days_that_are_needed_are_read(monkeypatch, tmp_path):
    frame = prices().with_columns(note=pl.lit("x" * 50), sector=pl.lit(7))
    frame.write_parquet(tmp_path / "prices.parquet")
    collected = []
    original = pl.LazyFrame.collect

    def watching(query, *args, **kwargs):
        made = original(query, *args, **kwargs)
        collected.append(made)
        return made

    monkeypatch.setattr(pl.LazyFrame, "collect", watching)
    wanted, first, last = SYMBOLS[:2], date(2021, 3, 1), date(2021, 6, 30)
    mi.FilePrices(tmp_path / "prices.parquet").read(wanted, first, last)
    rows = frame.filter(pl.col("symbol").is_in(wanted), pl.col("date").is_between(first, last)).height
    read = [made for made in collected if "close" in made.columns and made.height > 1]
    assert all("note" not in made.columns and "sector" not in made.columns for made in read)
    assert max(made.height for made in read) == rows
