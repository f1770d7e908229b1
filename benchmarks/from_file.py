"""Measure a study from a price file to the table of its tests, beside the plain pass and beside other programs.

    python -m benchmarks.from_file ROWS [--complete] [--events N] [--alone]   # one size, shown as a table
    python -m benchmarks.from_file plain FOLDER    # the plain pass, in this process
    python -m benchmarks.from_file study FOLDER [cars]    # from the files to the tests; `cars` keeps CARs
    python -m benchmarks.from_file once FOLDER     # the same once and unmeasured, for a fresh interpreter

FOLDER is what `price_file.hand_over` wrote. Every program runs in a process of its own, one after another.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import marketimpact as mi
from benchmarks.file_readers import FILE_READERS, measured
from benchmarks.ours import STUDY, in_order, print_row, reset_peak, resident
from benchmarks.packages import EVEN
from benchmarks.plain_pass import plain_pass
from benchmarks.price_file import BENCHMARK
from benchmarks.processes import child, say, seconds_of
from benchmarks.simulated import WINDOW

THIS = "benchmarks.from_file"
#: Rows of a file, and the events of its study: one for each hundred rows, and a million at the largest size.
SIZES = {200_000: 2_000, 2_000_000: 20_000, 4_000_000: 40_000, 25_000_000: 1_000_000}
QUICK = 200_000
#: The largest file that other programs get, and the one whose time is taken from a fresh interpreter.
MOST_FOR_OTHERS, COLD = 2_000_000, 200_000
#: A pass or a study is repeated so often, while that takes no more than so many seconds altogether.
TIMES, SECONDS = 3, 30.0
#: Seconds after which a process is ended.
PATIENCE = 1200
LOAD, STEPS = "Market.load", ("Market.load", "run", "car", "tests")


class Round:
    """Seconds and peak memory of the steps of a story told once, and the number of events it used."""

    def __init__(self, report: Callable[[str, dict[str, float]], None] = lambda part, step: None) -> None:
        self._report = report
        self.steps: dict[str, dict[str, float]] = {}
        self.used = 0
        self._begin()

    def _begin(self) -> None:
        reset_peak()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def done(self, part: str) -> None:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self.steps[part] = {"wall": wall, "cpu": cpu, "peak": resident("VmHWM"), "kept": resident("VmRSS")}
        self._report(part, self.steps[part])
        self._begin()

    @property
    def seconds(self) -> float:
        return sum(step["wall"] for step in self.steps.values())


def story(folder: Path, done: Callable[[str], None] = lambda part: None) -> mi.StudyResult:
    """Load a price file, run a study, compute CARs and the default tests; `done` is called after each step."""
    market = mi.Market.load(pl.read_parquet(folder / "securities.parquet"), mi.FilePrices(folder / "prices.parquet"))
    done(LOAD)
    result = STUDY.run(pl.read_parquet(folder / "events.parquet"), market)
    done("run")
    result.car(*WINDOW)
    done("car")
    result.test(*WINDOW)
    done("tests")
    return result


def repeated(tell: Callable[[], Round]) -> list[Round]:
    """Repeat a round until it was done often enough or another would take too long; at least once."""
    rounds = [tell()]
    while len(rounds) < TIMES and sum(each.seconds for each in rounds) + rounds[-1].seconds <= SECONDS:
        rounds.append(tell())
    return rounds


def print_rounds(first: Round, rounds: list[Round], before: int, **facts: Any) -> None:
    """Print each step: median seconds of the repetitions, memory of the first round less what the imports hold."""
    for part, step in first.steps.items():
        seconds = {name: statistics.median(each.steps[part][name] for each in rounds) for name in ("wall", "cpu")}
        memory = {name: step[name] - before for name in ("peak", "kept")}
        print_row(part=part, **seconds, times=len(rounds), first=step["wall"], **memory, before=before, **facts)


def plain(folder: Path) -> None:
    """Measure the plain pass: memory of the first, which also brings the file into the page cache, time of others."""
    file = folder / "prices.parquet"
    before = resident("VmRSS")

    def tell() -> Round:
        each = Round()
        frame = plain_pass(file, BENCHMARK)
        each.done("plain pass")
        del frame
        return each

    first = tell()
    print_rounds(first, repeated(tell), before)


def warm_up(file: Path) -> None:
    """Load the embedded sample, which loads calendars too, and bring the file into the page cache."""
    mi.Market.load(mi.securities(), mi.SamplePrices())
    with file.open("rb") as content:
        while content.read(1 << 22):
            pass


def study(folder: Path, *, cars: bool) -> None:
    """Measure the steps from the files to the tests; `cars` leaves CARs in the order of the events for others."""
    warm_up(folder / "prices.parquet")
    before = resident("VmRSS")

    def report(part: str, step: dict[str, float]) -> None:
        """Print a step at once, in case the process does not live to repeat it."""
        peak = step["peak"] - before
        print_row(part=part, wall=step["wall"], cpu=step["cpu"], peak=peak, before=before, provisional=True)

    def tell(*how: Callable[[str, dict[str, float]], None]) -> Round:
        each = Round(*how)
        each.used = story(folder, each.done).events.height
        return each

    first = tell(report)
    print_rounds(first, repeated(tell), before, used=first.used)
    if cars:
        result, events = story(folder), pl.read_parquet(folder / "events.parquet")
        windows = {"whole": WINDOW, "even": EVEN}
        np.savez(
            folder / "cars.npz", **{name: in_order(events, result.car(*window)) for name, window in windows.items()}
        )


def of_size(folder: Path, rows: int, dirty: bool, n_events: int, *, others: bool) -> list[dict[str, Any]]:
    """Measure one file: the plain pass, ours, and other programs where they are wanted."""
    say(f"price file of {rows:,} rows, {'dirty' if dirty else 'complete'}")
    (size,) = child(
        "benchmarks.price_file", str(folder), str(rows), *([] if dirty else ["--complete"]), "--events", str(n_events),
        patience=PATIENCE,
    )  # fmt: skip
    if "reason" in size:
        return [{"kind": "ours", "rows": rows, "dirty": dirty, "n_events": n_events, **size}]
    found = [{"kind": "plain"} | row for row in child(THIS, "plain", str(folder), patience=PATIENCE)]
    found += [
        {"kind": "ours"} | row
        for row in child(THIS, "study", str(folder), *(["cars"] if others else []), patience=PATIENCE)
    ]
    if others:
        for reader in FILE_READERS:
            say(f"  {reader.name}")
            found.append({"kind": "other", **measured(reader, folder)})
    return [row | {"rows": rows, "dirty": dirty} | size for row in final(found)]


def final(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out rows that were printed before the repetitions, where these were printed too."""
    repeated_parts = {row["part"] for row in rows if "wall" in row and not row.get("provisional")}
    return [row for row in rows if not (row.get("provisional") and row["part"] in repeated_parts)]


def cold(folder: Path, times: int) -> dict[str, Any]:
    """Time the plain pass and the whole story in fresh interpreters, imports and calendars included."""
    commands = {
        "plain": ["-m", "benchmarks.plain_pass", str(folder / "prices.parquet"), BENCHMARK],
        "story": ["-m", THIS, "once", str(folder)],
    }
    try:
        medians = {name: statistics.median(seconds_of(given, times)) for name, given in commands.items()}
    except subprocess.SubprocessError as failure:
        return {"reason": str(failure)}
    return {"times": times, **medians}


def of_all_sizes(scratch: Path, *, quick: bool) -> dict[str, Any]:
    """Measure all sizes, complete and dirty; files are written under `scratch` and removed."""
    found: dict[str, Any] = {"rows": []}
    for rows, n_events in SIZES.items():
        for dirty in (False, True):
            if quick and rows > QUICK:
                continue
            with tempfile.TemporaryDirectory(dir=scratch) as name:
                folder = Path(name)
                found["rows"] += of_size(folder, rows, dirty, n_events, others=rows <= MOST_FOR_OTHERS)
                if rows == COLD and dirty:
                    found["cold"] = cold(folder, 3 if quick else 5)
    return found


def main() -> None:
    match sys.argv[1:]:
        case ["plain", folder]:
            plain(Path(folder))
        case ["study", folder, *cars]:
            study(Path(folder), cars=cars == ["cars"])
        case ["once", folder]:
            story(Path(folder))
        case _:
            show_one()


def show_one() -> None:
    """Measure one size and print its table."""
    from benchmarks.from_file_page import tables  # noqa: PLC0415  # which the processes above do without

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, help="rows of the file")
    parser.add_argument("--complete", action="store_true", help="all firms trade on all days; a dirty file otherwise")
    parser.add_argument("--events", type=int, help="1%% of the rows by default")
    parser.add_argument("--alone", action="store_true", help="without other programs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        n_events = given.events or given.rows // 100
        rows = of_size(Path(name), given.rows, not given.complete, n_events, others=not given.alone)
    print(tables({"rows": rows}))


if __name__ == "__main__":
    main()
