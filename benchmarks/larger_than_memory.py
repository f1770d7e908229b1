"""Run a study of a dataset four times as large as its memory limit.

    .venv/bin/python -m benchmarks.larger_than_memory [LIMIT_MB] [FOLDER]

Writes simulated returns by symbol, then runs a study in a process of its own under a hard limit on its data
(``RLIMIT_DATA``: all private memory that can be written, so heap, stacks and anonymous maps, whether touched or
only reserved; code and files mapped to be read do not count). What estimation reads of the panel, 20 bytes a row, is
four times the limit. Prints what the kernel says of the process in the end.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

import marketimpact as mi

SESSIONS = 5_000
#: A date, a return and the benchmark's return.
ROW = 20
TIMES = 4
GROUP = 500
EVENTS_PER_SECURITY = 2
STUDY = mi.EventStudy(estimation_window=(-250, -11), event_window=(-5, 5))


def written(folder: Path, n_securities: int) -> pl.DataFrame:
    """Write simulated returns with betas around one, some securities at a time, and return the events."""
    rng = np.random.default_rng(20)
    days = pl.date_range(date(2000, 1, 1), date(2040, 1, 1), eager=True)[:SESSIONS]
    market = rng.normal(0, 0.01, SESSIONS)
    benchmark = pl.DataFrame({"date": days, "ret": market})
    for first in range(0, n_securities, GROUP):
        names = [f"S{number:06d}" for number in range(first, min(first + GROUP, n_securities))]
        own = rng.normal(0, 0.02, (len(names), SESSIONS)) + rng.normal(1, 0.3, (len(names), 1)) * market
        returns = pl.DataFrame(
            {
                "symbol": pl.Series(names).gather(np.repeat(np.arange(len(names)), SESSIONS)),
                "date": pl.concat([days] * len(names)),
                "ret": own.ravel(),
            }
        )
        mi.Market.from_returns(returns, benchmark).to_dataset(folder, append=first > 0)
    owner = np.repeat(np.arange(n_securities), EVENTS_PER_SECURITY)
    return pl.DataFrame(
        {
            "event_id": [f"e{number:07d}" for number in range(len(owner))],
            "symbol": [f"S{number:06d}" for number in owner],
            "date": days.gather(rng.integers(300, SESSIONS - 10, len(owner))),
        }
    )


def study(folder: Path, limit: int) -> None:
    """Run under the limit, and print time and memory."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    began = time.perf_counter()
    market = mi.Market.scan(folder)
    rows = int(market.panel_securities["n_sessions"].sum())
    result = STUDY.run(pl.read_parquet(folder / "_events.parquet"), market)
    car = result.car(-1, 1)
    t = car["car"].mean() / (car["car"].std() / car.height**0.5)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(f"limit {limit / 2**20:.0f} MB, panel {rows / 1e6:.0f} M rows, {rows * ROW / 2**20:.0f} MB as read")
    print(
        f"{result.events.height} events, cross-sectional t of CAR[-1, 1] {t:.2f}, {time.perf_counter() - began:.0f} s"
    )
    print(f"peak resident {int(status['VmHWM'].split()[0]) / 1024:.0f} MB, data now {status['VmData'].strip()}")


def whole(folder: Path, limit: int) -> None:
    """Run the same with the panel in memory, which the limit must stop."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    print(mi.Market.scan(folder).panel.height)


def main() -> None:
    match sys.argv[1:]:
        case ["study", folder, limit]:
            study(Path(folder), int(limit))
        case ["whole", folder, limit]:
            whole(Path(folder), int(limit))
        case arguments:
            limit = int(arguments[0] if arguments else 640) * 2**20
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(arguments[1] if len(arguments) > 1 else scratch) / "returns"
                events = written(folder, -(-TIMES * limit // (ROW * SESSIONS)))
                events.write_parquet(folder / "_events.parquet")
                again = [sys.executable, "-m", "benchmarks.larger_than_memory"]
                subprocess.run([*again, "study", str(folder), str(limit)], check=True)
                stopped = subprocess.run([*again, "whole", str(folder), str(limit)], check=False, capture_output=True)
                print(f"the panel in memory under the same limit: exit code {stopped.returncode}")


if __name__ == "__main__":
    main()
