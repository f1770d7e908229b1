"""Time 200 announcements in a year of minutes of 100 symbols: 10 million bars, simulated.

python -m benchmarks.minute_bars [symbols] [layouts: symbols, time, csv]

The bars are in one Parquet file, symbol by symbol ("symbols") or stamp by stamp ("time"), or in a folder with one CSV
per symbol ("csv"). Each layout is read by a process of its own, so that its peak of memory is its own. Ratios are to
one reading of all rows and columns of the first file.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

import marketimpact as mi
from marketimpact.events import calendars

ANNOUNCEMENTS, PER_DAY = 200, 390


def write_bars(path: Path, symbols: list[str]) -> int:
    """Write a year of one-minute bars of regular hours, symbol by symbol; return their number."""
    opens = calendars.sessions(["XNYS"], date(2025, 1, 2), date(2025, 12, 31)).sort("open")
    opens = opens.filter(pl.col("date").dt.year() == 2025)["open"].to_physical().to_numpy()
    start = (opens[:, None] + 60_000_000 * np.arange(PER_DAY)).ravel()
    stamps, rows, writer = pl.Series(start).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), 0, None
    market = np.random.default_rng(0).normal(0, 5e-4, len(start))
    for k, symbol in enumerate(symbols):
        rng = np.random.default_rng([1, k])
        close = 100.0 * np.exp(np.cumsum(market + (k > 0) * rng.normal(0, 1e-3, len(start))))
        opened = np.concatenate([[100.0], close[:-1]])
        table = pl.DataFrame({
            "symbol": symbol, "start": stamps, "open": opened, "high": np.maximum(opened, close),
            "low": np.minimum(opened, close), "close": close, "volume": rng.integers(100, 10_000, len(start)) * 1.0,
        }).to_arrow()  # fmt: skip
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        rows += len(start)
    if writer is not None:
        writer.close()
    return rows


def lay_out(path: Path, layout: str) -> Path:
    """Write the bars of a Parquet file in another layout, and return its path."""
    if layout == "symbols":
        return path
    if layout == "time":
        other = path.with_name("time.parquet")
        pl.scan_parquet(path).sort("start", "symbol").sink_parquet(other)
        return other
    folder = path.with_name("csv")
    folder.mkdir()
    for (symbol,), part in pl.read_parquet(path).partition_by("symbol", as_dict=True).items():
        part.drop("symbol").write_csv(folder / f"{symbol}.csv")
    return folder


@contextmanager
def timed(what: str, unit: float) -> Iterator[None]:
    began, worked = time.perf_counter(), time.process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took, worked = time.perf_counter() - began, time.process_time() - worked
    print(
        f"  {what}: {took:.1f} s, of processors {worked:.1f} s ({worked / unit:.1f} readings), highest memory so far "
        f"{peak:,.0f} MB",
        flush=True,
    )


def one_reading(path: Path) -> float:
    """Processor seconds of one reading of all rows and columns: the smallest of three."""
    taken = []
    for _ in range(3):
        worked = time.process_time()
        pl.scan_parquet(path).select(pl.all().max()).collect(engine="streaming")
        taken.append(time.process_time() - worked)
    return min(taken)


def draw_announcements() -> pl.DataFrame:
    days = calendars.sessions(["XNYS"], date(2025, 3, 3), date(2025, 12, 30))["open"].to_list()[20:-20]
    rng = np.random.default_rng(2)
    chosen = [days[k] for k in rng.integers(0, len(days), ANNOUNCEMENTS)]
    minutes = rng.integers(-600, 389, ANNOUNCEMENTS)
    return pl.DataFrame({
        "announcement_id": [f"a{k:03d}" for k in range(ANNOUNCEMENTS)], "stance": "mixed", "headline": "Simulated",
        "announced_at": chosen, "minute": minutes,
    }).with_columns(pl.col("announced_at") + pl.duration(minutes="minute")).drop("minute")  # fmt: skip


def measure(path: Path, n_symbols: int, unit: float) -> None:
    """Load, move and test."""
    symbols = [f"S{k:03d}" for k in range(n_symbols)]
    listings = pl.DataFrame({"symbol": symbols, "mic": "XNYS", "benchmark": [None, *["S000"] * (n_symbols - 1)]})
    news = draw_announcements()
    with timed("all three", unit):
        with timed("Bars.load, with every check", unit):
            bars = mi.Bars.load(listings, mi.BarFiles(path))
        with timed(f"bar_moves of {ANNOUNCEMENTS} announcements", unit):
            moves = mi.bar_moves(news, bars)
        with timed(f"bar_tests of {ANNOUNCEMENTS} announcements, 120 past days", unit):
            tests = mi.bar_tests(news, bars)
    print(f"  {moves.height:,} moves, {tests['rank_p'].count():,} tests", flush=True)


def main(n_symbols: int, layouts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.parquet"
        rows = write_bars(path, [f"S{k:03d}" for k in range(n_symbols)])
        unit = one_reading(path)
        print(f"{rows:,} bars, {path.stat().st_size / 1e6:,.0f} MB; one reading takes {unit:.2f} s of processors")
        for layout in layouts:
            print(f"{layout}:", flush=True)
            one = [sys.executable, "-m", "benchmarks.minute_bars", "--measure", lay_out(path, layout), n_symbols, unit]
            subprocess.run([str(part) for part in one], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, sys.argv[2:] or ["symbols"])
