"""Measure speed and memory of a study, from a price file and from returns, beside loops and public packages.

    python -m benchmarks.speed --date YYYY-MM-DD [--quick]

Every size and every rival runs in a process of its own, one after another; `out/benchmarks.json` is for
`benchmarks.page`. No time is reported of a rival whose CARs differ by more than 1e-10.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import from_file
from benchmarks.ours import hand_over
from benchmarks.packages import EVEN, PACKAGES, measured
from benchmarks.processes import child, one, say, seconds_of
from benchmarks.simulated import WINDOW, Panel, panel

OUT = Path(__file__).parent.parent / "out" / "benchmarks.json"
SIZES, QUICK = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000)
#: Share of days without a return, and the largest size with so many.
MISSING = {0.0: 1_000_000, 0.01: 100_000}
#: Packages are run where there are so many events, and once with missing days, which they do not take.
FEWEST_FOR_PACKAGES, MISSING_FOR_PACKAGES = 10_000, (10_000, 0.01)
LOOPS, QUICK_LOOPS = 5_000, 1_000
#: Events of the study that is timed with and without compiled kernels on disk: the fewest that use them, about.
COMPILED = 5_000

#: The module that measures a study.
OURS = "benchmarks.ours"
COLD = (
    "import marketimpact as mi; from benchmarks.simulated import *; r, b, e = panel(50, sessions=400).frames();"
    "mi.EventStudy(estimation_window=ESTIMATION, event_window=WINDOW).run(e, mi.Market.from_returns(r, b)).car(0, 1)"
)


def cold(times: int) -> dict[str, Any]:
    """Time a study of 50 events from a cold interpreter, import and data included, and the import alone."""
    study, imports = (seconds_of(["-c", code], times) for code in (COLD, "import marketimpact"))
    return {
        "times": times,
        "study": statistics.median(study),
        "slowest": max(study),
        "import": statistics.median(imports),
    }


def compilation() -> dict[str, Any]:
    """Measure the compilation time of an installation's first study, and the loading time of a process's first."""
    with tempfile.TemporaryDirectory() as folder:
        compiled, loaded = (
            one(child(OURS, "first", str(COMPILED), environment={"NUMBA_CACHE_DIR": folder})) for _ in range(2)
        )
    return {
        "events": COMPILED,
        "compile": compiled["first"] - compiled["second"],
        "load": loaded["first"] - loaded["second"],
        "warm": loaded["second"],
    }


def of_size(number: int, missing: float, loops: int) -> list[dict[str, Any]]:
    """Measure one size: ours, the loops, the packages."""
    say(f"{number:,} events, {missing:.0%} of days missing")
    made = panel(number, missing=missing)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        hand_over(made, folder)
        rows = [{"kind": "ours", "measured": number} | row for row in child(OURS, "study", scratch)]
        if (folder / "cars.npz").exists():
            rows += [{"kind": "loop"} | row for row in child(OURS, "loops", scratch, str(loops))]
            if with_packages(number, missing):
                rows += packages(made, folder)
    return [row | {"events": number, "missing": missing} for row in rows]


def with_packages(number: int, missing: float) -> bool:
    return (number >= FEWEST_FOR_PACKAGES and not missing) or (number, missing) == MISSING_FOR_PACKAGES


def packages(made: Panel, folder: Path) -> list[dict[str, Any]]:
    with np.load(folder / "cars.npz") as found:
        cars = {WINDOW: found["whole"], EVEN: found["even"]}
    rows = []
    for package in PACKAGES:
        say(f"  {package.name}")
        rows.append({"kind": "package", **measured(package, made, cars)})
    return rows


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, memory, versions, load."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("polars", "numpy", "numba", "statsmodels", "pandas")},
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--date", required=True, help="the day of the run, YYYY-MM-DD; it stands on the page")
    parser.add_argument("--quick", action="store_true", help="1,000 and 10,000 events, files of 0.2 million rows")
    given = parser.parse_args()
    if not Path("/proc/self/clear_refs").exists():
        parser.error("peaks of memory are read from /proc, which Linux alone has; run it there")
    OUT.parent.mkdir(exist_ok=True)
    found: dict[str, Any] = {"date": given.date, "machine": machine()}
    say("cold start, compilation, memory")
    found |= {"cold": cold(3 if given.quick else 7), "compilation": compilation(), "memory": one(child(OURS, "memory"))}
    found["rows"] = []
    for missing, most in MISSING.items():
        for size in QUICK if given.quick else SIZES:
            if size <= most:
                found["rows"] += of_size(size, missing, QUICK_LOOPS if given.quick else LOOPS)
    found["files"] = from_file.of_all_sizes(OUT.parent, quick=given.quick)
    found["load_after"] = round(os.getloadavg()[0], 1)
    OUT.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
