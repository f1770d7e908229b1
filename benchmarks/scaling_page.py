"""Write what `benchmarks.scaling` found into docs/scaling.md, between its marks: python -m benchmarks.scaling_page."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.page import pick, short, table
from benchmarks.simulated import WINDOW

OUT = Path(__file__).parent.parent / "out" / "scaling.json"
PAGE = Path(__file__).parent.parent / "docs" / "scaling.md"
MARKETS = ("arrays sent", "read by path")
#: What the arithmetic is about: 10,000 securities of 20 years of minutes, each a task of its own.
SECURITIES_OF_MINUTES, EVENTS, WORKERS = 10_000, 1_000_000, 100
#: A date, a return and the benchmark's return as they are read; and as read, in a panel and as numbers, all at once.
READ_ROW, LAID_OUT_ROW = 20, 104
#: Numbers that a result holds of an event of eleven days.
NUMBERS = 110
#: Bytes a second of a shared file system.
DISK = 2e9
Row = dict[str, Any]


def one(found: Row, what: str, market: str, workers: int = 1) -> Row:
    return pick(found["rows"], what=what, market=market, n_workers=workers)[0]


def a_task(found: Row, market: str) -> Row:
    """Compute the seconds that one more task costs, with one worker."""
    few, many = (one(found, what, market) for what in ("few tasks", "many tasks"))
    return {part: (many[part] - few[part]) / (many["tasks"] - few["tasks"]) for part in ("wall", "driver", "workers")}


def an_event(found: Row) -> float:
    """Compute the CPU seconds of a worker per event of the market model, read by path."""
    took = one(found, "market model", "read by path")
    return float(took["workers"] / took["events"])


def dearer(found: Row, events: int) -> float:
    """Divide the CPU of a task read by path by that of its events alone."""
    task, alone = a_task(found, "read by path"), events * an_event(found)
    return float((task["driver"] + task["workers"] + alone) / alone)


def measured(found: Row) -> str:
    """Write what was measured of tasks and of a second worker."""
    machine, versions = found["machine"], found["machine"]["versions"]
    lines = [
        f"On {machine['cores']} cores of an {machine['processor']}, {found['date']}, with Python {machine['python']}, "
        f"polars {versions['polars']} and Dask {found['dask']}, by `make scaling`: {found['securities']} simulated "
        "securities of 5,000 sessions, estimation over 240 sessions, event window of 11; one thread in every process. "
        f"The quickest of {found['times']} runs ({found['times_of_garch']} of GARCH). The driver's CPU seconds include "
        "Dask's scheduler, which runs in its process."
    ]
    if machine["load"] > machine["cores"] / 4:
        lines.append(f"**The machine was busy with other work (load {machine['load']}): do not rely on wall time.**")
    lines += [walls(found), tasks(found)]
    alone, event = found["alone"], an_event(found)
    both = one(found, "market model", "read by path", 2)["wall"]
    lines.append(
        f"Without an executor, on one thread, the study of the market model took {short(alone)} s, on two workers that "
        f"read by path {short(both)} s{': try one process first' if alone <= both else ''}. A worker spent "
        f"{event * 1e6:.0f} microseconds of CPU on an event. With what it costs to send, driver and worker together, a "
        f"task of 100 events costs {dearer(found, 100):.2f} times its events alone, one of 2,000 "
        f"{dearer(found, 2000):.2f} times."
    )
    return "\n\n".join(lines)


def walls(found: Row) -> str:
    """Write wall seconds with one worker and two, and the bound for more of them."""
    lines = []
    for what in ("market model", "GARCH"):
        for market in MARKETS:
            first, second = (one(found, what, market, workers) for workers in (1, 2))
            limit = (first["driver"] + first["workers"]) / first["driver"]
            lines.append(
                [
                    f"{first['events']:,} events, {what}, {first['tasks']} tasks, {market}",
                    *(short(row["wall"]) for row in (first, second)),
                    f"{first['wall'] / second['wall']:.2f}",
                    *(short(first[part]) for part in ("driver", "workers")),
                    f"{limit:.1f}",
                ]
            )
    names = ["", "wall s, 1 worker", "wall s, 2 workers", "times as fast", "CPU s, driver", "CPU s, worker"]
    text = (
        "No worker can do the driver's part: the last column divides the CPU seconds of driver and worker by the "
        "driver's, which bounds the speed-up of any number of workers."
    )
    return f"{table([*names, 'at most'], lines)}\n\n{text}"


def tasks(found: Row) -> str:
    parts = ("wall", "driver", "workers")
    costs = [(market, a_task(found, market)) for market in MARKETS]
    lines = [[market, *(f"{cost[part] * 1e3:.1f}" for part in parts)] for market, cost in costs]
    return table(["one task more", "wall ms", "CPU ms, driver", "CPU ms, worker"], lines)


def arithmetic(found: Row) -> str:
    """Extrapolate from what was measured to minute bars."""
    big, driver = found["large"], a_task(found, "read by path")["driver"]
    rows, on_disk = big["rows"] * SECURITIES_OF_MINUTES, big["bytes_on_disk"] / big["rows"]
    reading, estimation = big["seconds"] * SECURITIES_OF_MINUTES, an_event(found) * EVENTS
    driving, disk = driver * SECURITIES_OF_MINUTES, rows * on_disk / DISK
    each = big["rows"]
    lines = [
        ["rows", f"{each / 1e6:.2f} million", f"{rows / 1e9:.1f} billion", "20 x 252 x 390"],
        [
            "Parquet on disk, returns and benchmark as random doubles",
            f"{each * on_disk / 1e6:.0f} MB",
            f"{rows * on_disk / 1e9:.0f} GB",
            f"measured, {on_disk:.0f} bytes a row",
        ],
        ["as read", f"{each * READ_ROW / 1e6:.0f} MB", f"{rows * READ_ROW / 1e9:.0f} GB", f"{READ_ROW} bytes a row"],
        [
            "in a worker: as read, as a panel, as numbers",
            f"{each * LAID_OUT_ROW / 1e6:.0f} MB",
            "one security at a time",
            f"{LAID_OUT_ROW} bytes a row",
        ],
        ["reading and laying out, one core", f"{short(big['seconds'])} s", f"{reading:,.0f} s", "measured"],
        [
            f"estimation of {EVENTS:,} market-model events",
            "",
            f"{estimation:,.0f} s",
            f"{estimation / EVENTS * 1e6:.0f} microseconds each",
        ],
        [
            f"the driver's part of {SECURITIES_OF_MINUTES:,} tasks",
            "",
            f"{driving:,.0f} s",
            f"{driver * 1e3:.1f} ms each",
        ],
        [
            f"arrays of the result in the driver, event window of {WINDOW[1] - WINDOW[0] + 1}",
            "",
            f"{EVENTS * NUMBERS * 8 / 1e9:.1f} GB",
            f"{NUMBERS} numbers an event",
        ],
    ]
    parts = {
        "the workers": (reading + estimation) / WORKERS,
        "the driver": driving,
        "the disk": disk,
    }
    slowest = max(parts, key=lambda name: parts[name])
    text = (
        f"One security is more than 8 MB, so each is a task of its own. On {WORKERS} workers reading and estimation "
        f"take {parts['the workers']:,.0f} s, the driver {driving:,.0f} s, and a file system that gives "
        f"{DISK / 1e9:.0f} GB/s {disk:,.0f} s: {slowest} decides. On {found['machine']['cores']} cores like these it "
        f"would be {(reading + estimation + driving) / found['machine']['cores'] / 60:,.0f} minutes, if the disk "
        "keeps up."
    )
    return f"{table(['', 'a security', 'all', 'by'], lines)}\n\n{text}"


def put(page: str, name: str, text: str) -> str:
    """Replace the text between the marks of `name`."""
    begin, end = f"<!-- {name}: written by benchmarks.scaling_page -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise LookupError(f"{PAGE.name} has no part between '{begin}' and '{end}'.")
    return pattern.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", page)


def main() -> None:
    found = json.loads((Path(sys.argv[1]) if len(sys.argv) > 1 else OUT).read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    for name, text in {"measured": measured(found), "arithmetic": arithmetic(found)}.items():
        page = put(page, name, text)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
