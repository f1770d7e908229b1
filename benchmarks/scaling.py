"""Measure the cost of a task on Dask, the gain of a second worker, and a large security: for docs/scaling.md.

    python -m benchmarks.scaling --date YYYY-MM-DD

Returns are simulated. Leaves `out/scaling.json` for `benchmarks.scaling_page`. Wall time needs a machine where nobody
else works. CPU seconds of the driver (scheduler included) and of the workers stand beside it: what the driver does, no
worker can take off it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import polars as pl

import marketimpact as mi
from benchmarks.larger_than_memory import STUDY, written
from benchmarks.scaling_page import OUT
from benchmarks.speed import machine

SECURITIES = 500
COPIES = 20
FEW, MANY = 20, 400
EVENTS_OF_GARCH = 400
#: One thread of each library in each process, so that one worker is one core.
THREADS = ("POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
#: Repetitions of which the quickest counts.
TIMES, TIMES_OF_GARCH = 3, 2
#: 20 years of 252 sessions of 390 minutes. There are no minute bars; as many dates stand for them.
LARGE = 20 * 252 * 390


@dataclass(frozen=True)
class Took:
    """Wall and CPU seconds of a run."""

    wall: float
    driver: float
    workers: float


def best(client: distributed.Client, run: Callable[[], object], times: int) -> Took:
    """Return the quickest of some runs."""
    return min((_once(client, run) for _ in range(times)), key=lambda took: took.wall)


def _once(client: distributed.Client, run: Callable[[], object]) -> Took:
    workers = sum(client.run(time.process_time).values())
    driver, wall = time.process_time(), time.perf_counter()
    run()
    wall, driver = time.perf_counter() - wall, time.process_time() - driver
    return Took(wall, driver, sum(client.run(time.process_time).values()) - workers)


def measured(
    client: distributed.Client, market: mi.Market, events: pl.DataFrame, every: pl.DataFrame
) -> dict[str, Any]:
    """Time a study in few tasks and in many, a study of many events, and a costly model."""
    executor = client.get_executor()

    def run(which: pl.DataFrame, tasks: int, study: mi.EventStudy = STUDY, times: int = TIMES) -> dict[str, Any]:
        chunk = -(-which.height // tasks)
        took = best(client, lambda: study.run(which, market, executor=executor, chunk=chunk), times)
        return {"events": which.height, "tasks": tasks, **asdict(took)}

    STUDY.run(events, market, executor=executor)  # imports
    return {
        "few tasks": run(events, FEW),
        "many tasks": run(events, MANY),
        "market model": run(every, 2 * FEW),
        "GARCH": run(events.head(EVENTS_OF_GARCH), FEW, STUDY.but(model=mi.Garch()), TIMES_OF_GARCH),
    }


def in_memory(market: mi.Market) -> mi.Market:
    """Read the panel of a market on disk into memory."""
    return replace(market, return_panel=market.return_panel.load())


def clusters(folder: Path, events: pl.DataFrame, every: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows for one worker and two, with the market in the driver's memory and on disk."""
    scanned = mi.Market.scan(folder)
    markets = {"arrays sent": in_memory(scanned), "read by path": scanned}
    rows = []
    for workers in (1, 2):
        with (
            distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
            distributed.Client(cluster) as client,
        ):
            for name, market in markets.items():
                print(f"{workers} workers, {name}", file=sys.stderr)
                for what, took in measured(client, market, events, every).items():
                    rows.append({"n_workers": workers, "market": name, "what": what, **took})
    return rows


def alone(folder: Path, every: pl.DataFrame) -> float:
    """Seconds of the same study of many events in this process, without an executor, on one thread."""
    market = in_memory(mi.Market.scan(folder))
    seconds = []
    for _ in range(TIMES + 1):  # the first loads the kernels
        start = time.perf_counter()
        STUDY.run(every, market)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def large(folder: Path, rows: int) -> dict[str, Any]:
    """Measure the bytes on disk of one security of many sessions, and CPU seconds of reading it into a panel."""
    rng = np.random.default_rng(21)
    days = pl.Series("date", np.arange(rows).astype(np.int32)).cast(pl.Date)
    benchmark = pl.DataFrame({"date": days, "ret": rng.normal(0, 0.01, rows)})
    returns = pl.DataFrame({"symbol": "S", "date": days, "ret": rng.normal(0, 0.02, rows)})
    market = mi.Market.from_returns(returns, benchmark).to_dataset(folder)
    size = sum(file.stat().st_size for file in folder.glob("symbol=*/*"))
    event = pl.DataFrame({"event_id": "e", "symbol": "S", "date": date(1971, 6, 1)}, schema_overrides={"date": pl.Date})
    seconds = []
    for _ in range(TIMES):
        start = time.process_time()
        STUDY.run(event, market)
        seconds.append(time.process_time() - start)
    return {"rows": rows, "bytes_on_disk": size, "seconds": min(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--date", required=True, help="the day of the run, YYYY-MM-DD; it stands on the page")
    given = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in THREADS):  # libraries read them when they are loaded
        again = [sys.executable, "-m", "benchmarks.scaling", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | dict.fromkeys(THREADS, "1"))
    found: dict[str, Any] = {"date": given.date, "machine": machine(), "dask": distributed.__version__}
    found |= {"securities": SECURITIES, "times": TIMES, "times_of_garch": TIMES_OF_GARCH}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "returns"
        events = written(folder, SECURITIES)
        every = pl.concat([events.with_columns(pl.format("{}-{}", "event_id", pl.lit(k))) for k in range(COPIES)])
        found |= {"alone": alone(folder, every), "rows": clusters(folder, events, every)}
        found["large"] = large(Path(scratch) / "large", LARGE)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
