"""Measure one size of our own study in a process of its own; print every row as JSON as soon as it is measured.

    python -m benchmarks.ours study FOLDER     # parts of a study, their peaks, the share of memory's speed
    python -m benchmarks.ours loops FOLDER N   # the loops of `rivals` on the first N events
    python -m benchmarks.ours first EVENTS     # a study the first and the second time: compilation or loading
    python -m benchmarks.ours memory           # how fast memory is read and copied

FOLDER is what `hand_over` wrote.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import marketimpact as mi
from benchmarks.packages import EVEN, UnavailableError, compared
from benchmarks.simulated import ESTIMATION, WINDOW, Panel, panel
from marketimpact.inference import DEFAULT_TESTS, ON_REQUEST, TESTS, structure

#: Tests that resample: their time depends on the number of draws.
RESAMPLING = (
    "wild_cluster",
    "wild_cluster_webb",
    "sign_flip_date",
    "residual_bootstrap",
    "mvrm_joint_bootstrap",
    "skew_johnson_bootstrap",
    "skew_hall_bootstrap",
)
NO_RANKS = [test.name for test in DEFAULT_TESTS if test.name not in ("grank_t", *RESAMPLING)]
EVERY = [name for name in TESTS if name not in RESAMPLING and TESTS[name] not in ON_REQUEST]
#: Events up to which every test is run.
MOST_FOR_EVERY = 100_000
#: Parts of a study: the methods of a result called after `run`. Each begins with a `run` of its own.
PARTS: dict[str, Callable[[mi.StudyResult], object]] = {
    "run": lambda result: None,
    "run + car": lambda result: result.car(*WINDOW),
    "run + car + default tests without ranks": lambda result: (
        result.car(*WINDOW),
        result.test(*WINDOW, tests=NO_RANKS),
    ),
    "run + car + default tests with GRANK-T": lambda result: (
        result.car(*WINDOW),
        result.test(*WINDOW, tests=[*NO_RANKS, "grank_t"]),
    ),
    "run + car + all tests but resampling": lambda result: (result.car(*WINDOW), result.test(*WINDOW, tests=EVERY)),
}
STUDY = mi.EventStudy(model=mi.MarketModel(), estimation_window=ESTIMATION, event_window=WINDOW)
#: A part is repeated until it was done so often or took so long altogether.
TIMES, SECONDS = 5, 4.0
#: Events of the study that loads the kernels before anything is timed.
WARM = 5_000


def hand_over(made: Panel, folder: Path) -> None:
    """Write a panel for the processes that measure: the frames of a user, and the arrays of the loops."""
    for name, frame in zip(("returns", "benchmark", "events"), made.frames(), strict=True):
        frame.write_ipc(folder / f"{name}.arrow")
    made.save(folder / "panel.npz")


def print_row(**row: Any) -> None:
    print(json.dumps(row), flush=True)


def resident(what: str) -> int:
    """Return the bytes of this process in memory: VmRSS now, VmHWM the peak (``ru_maxrss`` counts the parent's)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise LookupError(what)


def reset_peak() -> None:
    """Reset the peak VmHWM to what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def timed(call: Callable[[], object]) -> dict[str, Any]:
    """Return median seconds of some repetitions, wall and CPU of all threads."""
    walls: list[float] = []
    cpus: list[float] = []
    while len(walls) < TIMES and sum(walls) < SECONDS:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"wall": statistics.median(walls), "cpu": statistics.median(cpus), "times": len(walls)}


def size_of(result: mi.StudyResult) -> int:
    """Count the bytes of the arrays and events of a result, without the market."""
    values = result.estimation
    arrays = [values.present, *(getattr(values.fit, part.name) for part in fields(values.fit))]
    # days of the event window are computed when needed, and then kept
    arrays += list(values.event_window.arrays()) if "event_window" in values.__dict__ else []
    return sum(array.nbytes for array in arrays) + int(values.events.estimated_size())


def study(folder: Path) -> None:
    """Measure the parts of a study: once in a row for their peaks of memory, then repeatedly for their times."""
    warm = panel(WARM, sessions=1000).frames()
    STUDY.run(warm[2], mi.Market.from_returns(*warm[:2], allow_missing_sessions=True)).test(*WINDOW, tests=EVERY)
    before, files = resident("VmRSS"), [folder / f"{name}.arrow" for name in ("returns", "benchmark", "events")]
    returns, benchmark, events = (pl.read_ipc(file) for file in files)
    reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    market = mi.Market.from_returns(returns, benchmark, allow_missing_sessions=True)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    # as Arrow lays them out: polars counts the letters of short symbols, not the 16 bytes that each takes
    peaks(folder, market, events, {"before": before, "input_bytes": sum(file.stat().st_size for file in files)})
    print_row(part="Market.from_returns", wall=wall, cpu=cpu, times=1)
    for name, ask in PARTS.items():
        if name != "run + car + all tests but resampling" or events.height <= MOST_FOR_EVERY:
            print_row(part=name, **timed(lambda ask=ask: ask(STUDY.run(events, market))))
    steps(market, events)
    of_kernels(market, events)


def steps(market: mi.Market, events: pl.DataFrame) -> None:
    """Measure the time of a study step by step; a step uses the results of those before it."""

    def step(name: str, call: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        answer = call()
        print_row(kind="step", part=name, wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)
        return answer

    result = step("run", lambda: STUDY.run(events, market))
    step("car", lambda: result.car(*WINDOW))
    sample = step("sample", lambda: result.sample(*WINDOW))
    step("structure of the sample", lambda: structure(sample))
    for name in [*NO_RANKS, "grank_t"]:
        step(name, lambda name=name: TESTS[name].run(sample))


def peaks(folder: Path, market: mi.Market, events: pl.DataFrame, facts: dict[str, int]) -> None:
    """Measure peak memory of each step of a study done once, from the returns on; return CARs for the others."""

    def reached(step: str, outputs: int) -> None:
        print_row(kind="peak", part=step, peak=resident("VmHWM"), output_bytes=outputs, **facts)
        reset_peak()

    reached("Market.from_returns", 0)
    result = STUDY.run(events, market)
    outputs = size_of(result)
    reached("run", outputs)
    cars = result.car(*WINDOW)
    outputs += int(cars.estimated_size())
    reached("car", outputs)
    np.savez(folder / "cars.npz", whole=in_order(events, cars), even=in_order(events, result.car(*EVEN)))
    result.test(*WINDOW, tests=NO_RANKS)
    reached("default tests without ranks", outputs)
    result.test(*WINDOW, tests=["grank_t"])
    reached("GRANK-T", outputs)
    if events.height <= MOST_FOR_EVERY:
        result.test(*WINDOW, tests=EVERY)
        reached("all tests but resampling", outputs)


def in_order(events: pl.DataFrame, cars: pl.DataFrame) -> Any:
    """Return CARs in the order of the events, NaN for those without one."""
    own = cars.select("event_id", "car")
    joined = events.join(own, on="event_id", how="left", maintain_order="left", validate="1:1")
    return joined["car"].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def of_kernels(market: mi.Market, events: pl.DataFrame) -> None:
    """Measure what the window kernels read in a run and a test of estimation residuals, and how fast."""
    from benchmarks.bandwidth import by_kernel, watched  # noqa: PLC0415  # numba, which small sizes do without
    from marketimpact.models import kernels  # noqa: PLC0415

    passes: list[list[dict[str, Any]]] = []

    def once() -> None:
        with watched(kernels) as calls:
            STUDY.run(events, market).test(*WINDOW, tests=["bmp_kp"])
        passes.append(by_kernel(calls))

    timed(once)
    for same in zip(*passes, strict=True):
        print_row(kind="kernel", **min(same, key=lambda row: row["wall"]))


def loops(folder: Path, number: int) -> None:
    """Run one regression per event on the first events; give no time where CARs differ."""
    from benchmarks.rivals import RIVALS  # noqa: PLC0415  # pandas and statsmodels

    with np.load(folder / "panel.npz") as data:
        made = Panel(*(data[part.name] for part in fields(Panel)))
    with np.load(folder / "cars.npz") as found:
        ours = found["whole"][:number]
    for name, rival in RIVALS.items():
        row: dict[str, Any] = {"part": name, "measured": len(ours)}
        theirs = rival(made, len(ours))
        try:
            row["difference"] = compared(theirs, ours)
        except UnavailableError as reason:
            print_row(**row, reason=str(reason))
            continue
        print_row(**row, **timed(lambda rival=rival: rival(made, len(ours))))


def first(number: int) -> None:
    """Time a study the first time in this process and later; the difference is compilation or loading."""
    returns, benchmark, events = panel(number, sessions=1000).frames()
    market = mi.Market.from_returns(returns, benchmark, allow_missing_sessions=True)

    def ask() -> float:
        start = time.perf_counter()
        STUDY.run(events, market).test(*WINDOW, tests=["bmp_kp"])
        return time.perf_counter() - start

    print_row(first=ask(), second=min(ask() for _ in range(3)))


def main() -> None:
    match sys.argv[1:]:
        case ["study", folder]:
            study(Path(folder))
        case ["loops", folder, number]:
            loops(Path(folder), int(number))
        case ["first", number]:
            first(int(number))
        case ["memory"]:
            from benchmarks.bandwidth import speeds  # noqa: PLC0415  # numba

            print_row(**speeds())
        case given:
            sys.exit(f"benchmarks.ours {' '.join(given)}: {__doc__}")


if __name__ == "__main__":
    main()
