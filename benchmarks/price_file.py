"""Simulate a price file as CRSP has it: firms listed and delisted, days missing, one benchmark; invented prices.

python -m benchmarks.price_file FOLDER ROWS [--complete] [--events N]     # prices, securities and events as Parquet
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.simulated import FIRST_EVENT
from marketimpact.events import calendars

#: Index of the simulated market, and the exchange of every firm.
BENCHMARK, MIC = "^MARKET", "XNYS"
#: First and last day of the panel; sessions are counted back from the last one.
LAST_DAY, EARLIEST = date(2024, 12, 31), date(1985, 1, 2)
#: Sessions of a life, at least.
SHORTEST_LIFE = 300
#: Share of a firm's days that are missing in a dirty file, and share of the cells of a full panel that it fills.
MISSING, FILLED = 0.01, 0.64
#: Firms whose rows are written at once.
TOGETHER = 500
#: An event has at least so many firms beside it on its date, of those that trade, and so many sessions after it.
FIRMS_A_DATE, AFTER = 25, 6


def trading_days(number: int) -> pl.Series:
    """Return the last sessions of the exchange up to `LAST_DAY`."""
    days = calendars.sessions([MIC], EARLIEST, LAST_DAY)["date"]
    return days.tail(number)


def write_prices(
    file: Path, rows: int, *, dirty: bool = True, sessions: int = 2500, order: str = "symbol", seed: int = 24
) -> int:
    """Write about so many rows of ``symbol, date, close, volume`` to a Parquet file; return their number.

    A clean panel is complete; a dirty one has firms that are listed and delisted, and 1% of days missing. Rows are
    simulated and written some firms at a time; `order` "date" sorts them by date and symbol.
    """
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        parts = []
        for number, frame in enumerate(_firms_together(rows, dirty, trading_days(sessions), seed)):
            parts.append(Path(scratch) / f"{number:05d}.parquet")
            frame.write_parquet(parts[-1])
        prices = pl.scan_parquet(parts)
        if order == "date":
            prices = prices.sort("date", "symbol")
        prices.sink_parquet(file)
    return int(pl.scan_parquet(file).select(pl.len()).collect().item())


def _firms_together(rows: int, dirty: bool, days: pl.Series, seed: int) -> Iterator[pl.DataFrame]:
    """Simulate the benchmark and its firms; each frame has all rows of `TOGETHER` firms."""
    rng = np.random.default_rng(seed)
    firms = max(2, round(rows / len(days) / (FILLED if dirty else 1.0)))
    market = rng.normal(0.0003, 0.01, len(days))
    level = 1000 * np.exp(np.cumsum(market))
    frames = [_rows(BENCHMARK, days, level, None)]
    for firm in range(firms):
        frame = _firm(f"F{firm:05d}", days, market, dirty, rng)
        frames.append(frame)
        if len(frames) >= TOGETHER or firm == firms - 1:
            yield pl.concat(frames, rechunk=True)
            frames = []


def _firm(symbol: str, days: pl.Series, market: Any, dirty: bool, rng: np.random.Generator) -> pl.DataFrame:
    """Simulate the life of a firm: all sessions, or some of them with days missing."""
    first, last = 0, len(days)
    if dirty:
        first = int(rng.integers(0, max(1, len(days) - SHORTEST_LIFE)) * (rng.random() < 0.6))
        last = len(days) if rng.random() < 0.5 else int(rng.integers(first + SHORTEST_LIFE, len(days) + 1))
    length = last - first
    own = rng.normal(0.0, 0.02, length) + rng.uniform(0.5, 1.5) * market[first:last]
    close = np.round(rng.uniform(5, 200) * np.exp(np.cumsum(own - 0.00025)), 4)
    volume = np.round(rng.lognormal(12, 0.6, length))
    frame = _rows(symbol, days.slice(first, length), np.maximum(close, 0.01), volume)
    return frame.filter(rng.random(length) >= MISSING) if dirty else frame


def _rows(symbol: str, days: pl.Series, close: Any, volume: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {"symbol": pl.repeat(symbol, len(days), eager=True), "date": days, "close": close, "volume": volume},
        schema_overrides={"close": pl.Float64, "volume": pl.Float64},
    )


def lives(file: Path) -> pl.DataFrame:
    """Return ``symbol, first, last`` of the firms of a file: positions among the benchmark's days."""
    prices = pl.scan_parquet(file)
    spans = prices.group_by("symbol").agg(first=pl.col("date").min(), last=pl.col("date").max()).collect()
    days = _days(file)
    firms = spans.filter(pl.col("symbol") != BENCHMARK).sort("symbol")
    return firms.with_columns(pl.Series(name, days.search_sorted(firms[name])) for name in ("first", "last"))


def _days(file: Path) -> pl.Series:
    of_benchmark = pl.scan_parquet(file).filter(pl.col("symbol") == BENCHMARK)
    return of_benchmark.select(pl.col("date").sort()).collect()["date"]


def securities(file: Path) -> pl.DataFrame:
    """Return the securities of a file of `write_prices`."""
    return (
        lives(file).select("symbol").with_columns(mic=pl.lit(MIC), currency=pl.lit("USD"), benchmark=pl.lit(BENCHMARK))
    )


def events(file: Path, number: int, *, seed: int = 7) -> pl.DataFrame:
    """Draw events inside the lives of the firms of a file, date by date; firms and dates repeat.

    Fewer than `number` where the file has too few sessions for them.
    """
    rng = np.random.default_rng(seed)
    firms, days = lives(file), _days(file)
    begins, ends = firms["first"].to_numpy() + FIRST_EVENT, firms["last"].to_numpy().astype(np.int64) - AFTER
    each = max(FIRMS_A_DATE, number // 2000)
    drawn: list[tuple[Any, int]] = []
    missing = number
    for day in rng.permutation(np.arange(FIRST_EVENT, len(days) - AFTER)):
        trading = np.flatnonzero((begins <= day) & (day <= ends))
        if missing > 0 and len(trading) >= FIRMS_A_DATE:
            chosen = rng.permutation(trading)[: min(each, missing)]
            drawn.append((chosen, int(day)))
            missing -= len(chosen)
    firm = np.concatenate([chosen for chosen, _ in drawn])
    return pl.DataFrame(
        {
            "event_id": [f"e{n:07d}" for n in range(len(firm))],
            "symbol": firms["symbol"].gather(firm),
            "date": days.gather(np.repeat([day for _, day in drawn], [len(chosen) for chosen, _ in drawn])),
        }
    )


def hand_over(folder: Path, rows: int, *, dirty: bool, n_events: int, sessions: int = 2500) -> dict[str, int]:
    """Write ``prices, securities, events`` of a size as Parquet files; return their numbers of rows."""
    file = folder / "prices.parquet"
    written = write_prices(file, rows, dirty=dirty, sessions=sessions)
    securities(file).write_parquet(folder / "securities.parquet")
    drawn = events(file, n_events)
    drawn.write_parquet(folder / "events.parquet")
    return {"written": written, "n_events": drawn.height}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("--complete", action="store_true", help="all firms trade on all days")
    parser.add_argument("--events", type=int, help="1%% of the rows by default")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    n_events = given.events or given.rows // 100
    print(json.dumps(hand_over(given.folder, given.rows, dirty=not given.complete, n_events=n_events)))


if __name__ == "__main__":
    main()
