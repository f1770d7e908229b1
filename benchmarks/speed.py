"""Speed and memory of a study beside one regression per event: python -m benchmarks.speed --date YYYY-MM-DD [--quick].

Every size runs in a fresh process. No time is reported of a rival whose CARs differ by more than 1e-10.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import marketimpact as mi
from benchmarks.rivals import RIVALS
from benchmarks.simulated import ESTIMATION, WINDOW, panel
from marketimpact.inference import DEFAULT_TESTS

OUT = Path(__file__).parent.parent / "out" / "benchmarks.csv"
#: The default tests, but for the one of ranks, timed by itself, and the one that draws.
NO_RANKS = [test.name for test in DEFAULT_TESTS if test.name not in ("grank_t", "wild_cluster")]
TOLERANCE = 1e-10


def timed(rows: list[dict[str, Any]], part: str, call: Callable[[], Any]) -> Any:
    """Time a part the second time it is done: nobody pays for imports and compilation in these figures."""
    call()
    wall, cpu = time.perf_counter(), time.process_time()
    answer = call()
    rows.append({"part": part, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})
    return answer


def bandwidth() -> float:
    """Bytes per second of a numpy copy, read and write counted, the best of three."""
    source = np.ones(20_000_000)
    target = np.empty_like(source)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


def measure(number: int, missing: float, sample: int) -> list[dict[str, Any]]:
    """Rows of one size: our parts first, with the peak memory so far, then the rivals on `sample` events."""
    made = panel(number, missing=missing)
    returns, benchmark, events = made.frames()
    rows: list[dict[str, Any]] = []
    study = mi.EventStudy(model=mi.MarketModel(), estimation_window=ESTIMATION, event_window=WINDOW)
    market = timed(rows, "Market.from_returns", lambda: mi.Market.from_returns(returns, benchmark))
    timed(rows, "run", lambda: study.run(events, market))
    cars = timed(rows, "run and car", lambda: study.run(events, market).car(*WINDOW))
    # a new result each time: it keeps what its tests share
    fresh = [study.run(events, market) for _ in range(4)]
    timed(rows, "tests without ranks", lambda: fresh.pop().test(*WINDOW, tests=NO_RANKS))
    timed(rows, "grank_t", lambda: fresh.pop().test(*WINDOW, tests=["grank_t"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for row in rows:
        row |= {"measured": number, "peak_bytes": peak, "input_bytes": returns.estimated_size()}
    own = events.join(cars.select("event_id", "car"), on="event_id", how="left", maintain_order="left", validate="1:1")
    for name, rival in RIVALS.items():
        few = min(sample, number)
        theirs = timed(rows, name, lambda rival=rival, few=few: rival(made, few))
        ours = own["car"].head(few).cast(pl.Float64).to_numpy()
        compared = int(np.isfinite(ours).sum())
        alike = np.array_equal(np.isnan(ours), np.isnan(theirs))  # an event that only one of the two has differs
        worst = float(np.nanmax(np.abs(ours - theirs))) if compared and alike else np.inf
        rows[-1] |= {"measured": few, "compared": compared, "difference": worst}
        if worst > TOLERANCE:
            rows[-1] |= {"wall": None, "cpu": None}
    speed = bandwidth()
    return [row | {"events": number, "missing": missing, "copy_bytes_per_s": speed} for row in rows]


def child(*arguments: str) -> list[dict[str, Any]]:
    """The rows that a fresh interpreter measured; one row with the reason where it died."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", "--one", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return [{"part": "failed", "events": int(arguments[0]), "missing": float(arguments[1]), "reason": reason}]
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def cold() -> dict[str, Any]:
    """A 50-event study from a fresh interpreter, import and data included."""
    code = (
        "import marketimpact as mi; from benchmarks.simulated import *; r, b, e = panel(50, sessions=400).frames();"
        "mi.EventStudy(estimation_window=ESTIMATION, event_window=WINDOW)"
        ".run(e, mi.Market.from_returns(r, b)).car(0, 1)"
    )
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return {"part": "cold start", "events": 50, "missing": 0.0, "measured": 50, "wall": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", help="the day of the run, written into the page")
    parser.add_argument("--quick", action="store_true", help="1,000 and 10,000 events only")
    parser.add_argument("--one", nargs=3, metavar=("EVENTS", "MISSING", "SAMPLE"), help="one size, as JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(int(given.one[0]), float(given.one[1]), int(given.one[2]))))
        return
    if not given.date:
        parser.error("--date is missing: give the day of the run, such as --date 2026-01-31")
    sizes = [1_000, 10_000] if given.quick else [1_000, 10_000, 100_000, 1_000_000]
    rows = [cold()]
    for missing in (0.0, 0.01):
        for size in sizes:
            rows += child(str(size), str(missing), "1000" if given.quick else "5000")
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, polars {pl.__version__}"
    )
    OUT.parent.mkdir(exist_ok=True)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame.with_columns(pl.lit(given.date).alias("date"), pl.lit(machine).alias("machine")).write_csv(OUT)


if __name__ == "__main__":
    main()
