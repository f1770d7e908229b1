"""What a task costs on Dask and on processes, and what a second worker brings.

    .venv/bin/python -m benchmarks.scaling

Returns are simulated. Each figure is the best of three; the machine's load is printed beside them, since on a busy
machine a second worker brings nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import distributed
import polars as pl

import marketimpact as mi
from benchmarks.larger_than_memory import STUDY, written

SECURITIES = 500
FEW, MANY = 20, 400


def best(run: Callable[[], object]) -> float:
    """Seconds, the best of three."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


@contextmanager
def dask(workers: int) -> Iterator[Executor]:
    cluster = distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        yield client.get_executor()


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def main() -> None:
    # one thread of BLAS and of polars in each worker, so that one worker is one core
    os.environ |= {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "returns"
        events = written(folder, SECURITIES)
        every = pl.concat([events.with_columns(pl.format("{}-{}", "event_id", pl.lit(k))) for k in range(20)])
        scanned = mi.Market.scan(folder)
        markets = {"arrays sent": mi.Market(**{**vars(scanned), "panel": scanned.panel}), "read by path": scanned}
        print(f"{events.height} events for overhead, {every.height} for scaling, {SECURITIES} securities")
        for kind in (dask, processes):
            for name, market in markets.items():
                measured(kind, name, market, events, every)


def measured(kind: Callable, name: str, market: mi.Market, events: pl.DataFrame, every: pl.DataFrame) -> None:
    """Print one row: milliseconds per task, and the work done by one and two workers."""
    took = {}
    for workers in (1, 2):
        with kind(workers) as executor:
            STUDY.run(events, market, executor=executor)  # imports
            took[workers] = best(lambda: STUDY.run(every, market, executor=executor))
            if workers == 1:
                few, many = (in_tasks(STUDY, events, market, executor, number) for number in (FEW, MANY))
    overhead = (many - few) / (MANY - FEW) * 1e3
    print(f"{kind.__name__:10} {name:13} {overhead:6.2f} ms a task; 1 worker {took[1]:6.2f} s,", end=" ")
    print(f"2 workers {took[2]:6.2f} s, {took[1] / took[2]:.2f} times; load {os.getloadavg()[0]:.1f}", flush=True)


def in_tasks(study: mi.EventStudy, events: pl.DataFrame, market: mi.Market, executor: Executor, number: int) -> float:
    """Seconds for the same events in so many tasks."""
    return best(lambda: study.run(events, market, executor=executor, chunk=-(-events.height // number)))


if __name__ == "__main__":
    main()
