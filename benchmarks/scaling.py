"""What a task costs on Dask, and what a second worker brings.

    .venv/bin/python -m benchmarks.scaling

Returns are simulated. Wall time is the best of three; on a machine where others work it says little, so CPU seconds
of the driver (scheduler included) and of the workers stand beside it: what the driver does, no worker can take off it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import distributed
import polars as pl

import marketimpact as mi
from benchmarks.larger_than_memory import STUDY, written

SECURITIES = 500
COPIES = 20
FEW, MANY = 20, 400
EVENTS_OF_GARCH = 400


@dataclass(frozen=True)
class Took:
    """Seconds."""

    wall: float
    driver: float
    workers: float


def best(client: distributed.Client, run: Callable[[], object]) -> Took:
    """The quickest of three runs."""
    return min((_once(client, run) for _ in range(3)), key=lambda took: took.wall)


def _once(client: distributed.Client, run: Callable[[], object]) -> Took:
    workers = sum(client.run(time.process_time).values())
    driver, wall = time.process_time(), time.perf_counter()
    run()
    wall, driver = time.perf_counter() - wall, time.process_time() - driver
    return Took(wall, driver, sum(client.run(time.process_time).values()) - workers)


def main() -> None:
    # one thread of BLAS and of polars in each worker, so that one worker is one core
    os.environ |= {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "returns"
        events = written(folder, SECURITIES)
        every = pl.concat([events.with_columns(pl.format("{}-{}", "event_id", pl.lit(k))) for k in range(COPIES)])
        scanned = mi.Market.scan(folder)
        markets = {"arrays sent": mi.Market(**{**vars(scanned), "panel": scanned.panel}), "read by path": scanned}
        for workers in (1, 2):
            with (
                distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
                distributed.Client(cluster) as client,
            ):
                for name, market in markets.items():
                    print(f"{workers} workers, {name}; load {os.getloadavg()[0]:.1f}")
                    measured(client, market, events, every)


def measured(client: distributed.Client, market: mi.Market, events: pl.DataFrame, every: pl.DataFrame) -> None:
    """Print what one more task costs, and a study of many events."""
    executor = client.get_executor()

    def run(which: pl.DataFrame, tasks: int) -> Took:
        return best(client, lambda: STUDY.run(which, market, executor=executor, chunk=-(-which.height // tasks)))

    STUDY.run(events, market, executor=executor)  # imports
    few, many = run(events, FEW), run(events, MANY)
    for part in ("wall", "driver", "workers"):
        print(f"  a task more: {(getattr(many, part) - getattr(few, part)) / (MANY - FEW) * 1e3:.2f} ms {part}")
    took = run(every, 2 * FEW)
    print(f"  {every.height} events in {2 * FEW} tasks: {took}")
    heavy, few_events = STUDY.but(model=mi.Garch()), events.head(EVENTS_OF_GARCH)
    took = _once(client, lambda: heavy.run(few_events, market, executor=executor, chunk=EVENTS_OF_GARCH // FEW))
    print(f"  {few_events.height} events of a GARCH model in {FEW} tasks: {took}", flush=True)


if __name__ == "__main__":
    main()
