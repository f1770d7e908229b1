"""The figures of docs/scaling.md come from what was measured: checked on round numbers that nobody measured."""

from __future__ import annotations

import pytest

from benchmarks import scaling_page
from benchmarks.scaling_page import MARKETS, PAGE, arithmetic, measured, put


def found(load: float = 0.1) -> dict:
    """One task costs 5 ms of the driver and 10 ms in all, an event 100 microseconds; two workers take half."""
    rows = []
    for market in MARKETS:
        for n_workers in (1, 2):
            took = {
                "few tasks": (1000, 20, 1.0, 0.5, 0.4),
                "many tasks": (1000, 400, 1.0 + 3.8, 0.5 + 1.9, 0.4 + 1.9),
                "market model": (20_000, 40, 4.0, 1.0, 2.0),
                "GARCH": (400, 20, 10.0, 0.5, 9.5),
            }
            for what, (events, tasks, wall, driver, workers) in took.items():
                row = {"what": what, "market": market, "n_workers": n_workers, "events": events, "tasks": tasks}
                rows.append({**row, "wall": wall / n_workers, "driver": driver, "workers": workers})
    machine = {"processor": "abacus", "cores": 2, "python": "3.11", "versions": {"polars": "2"}, "load": load}
    large = {"rows": 1_965_600, "bytes_on_disk": 1_965_600 * 20, "seconds": 0.2}
    facts = {"date": "2030-01-31", "dask": "2030.1", "securities": 500, "times": 3, "times_of_garch": 2}
    return {**facts, "machine": machine, "rows": rows, "large": large, "alone": 1.5}


def test_tasks_and_workers() -> None:
    told = measured(found())
    assert "On 2 cores of an abacus, 2030-01-31" in told
    assert "busy" not in told
    assert "| read by path | 10.0 | 5.0 | 5.0 |" in told
    # driver and worker 3 s of CPU, of which 1 is the driver's; GARCH 10, of which half a second
    assert "| 20,000 events, market model, 40 tasks, read by path | 4 | 2 | 2.00 | 1 | 2 | 3.0 |" in told
    assert "| 400 events, GARCH, 20 tasks, arrays sent | 10 | 5 | 2.00 | 0.5 | 9.5 | 20.0 |" in told
    assert "100 microseconds" in told
    # 5 ms of each, besides 10 ms or 200 ms
    assert "a task of 100 events costs 2.00 times its events alone, one of 2,000 1.05 times" in told
    assert "took 1.5 s, on two workers that read by path 2 s: try one process first" in told
    assert "The machine was busy" in measured(found(load=8.0))


def test_the_arithmetic_to_minute_bars() -> None:
    told = arithmetic(found())
    assert "| rows | 1.97 million | 19.7 billion | 20 x 252 x 390 |" in told
    assert "| 39 MB | 393 GB | measured, 20 bytes a row |" in told  # 19.656 billion rows of 20 bytes
    assert "| 204 MB | one security at a time | 104 bytes a row |" in told
    assert "| 0.2 s | 2,000 s | measured |" in told
    assert "| 100 s | 100 microseconds each |" in told
    assert "| 50 s | 5.0 ms each |" in told
    assert "| 0.9 GB | 110 numbers an event |" in told
    # 2,100 s of work on 100 workers; 393 GB at 2 GB/s; 2,150 s on two cores
    assert "take 21 s, the driver 50 s, and a file system that gives 2 GB/s 197 s: the disk decides" in told
    assert "it would be 18 minutes" in told


def test_the_page_has_room_for_both() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in ("measured", "arithmetic"):
        once = put(page, name, "NEW \\1 TEXT")
        assert once.count("NEW \\1 TEXT") == 1
        assert put(once, name, "NEW \\1 TEXT") == once
        assert "**Memory.**" in once
    with pytest.raises(LookupError, match=r"scaling\.md has no part between"):
        put("a page without marks", "measured", "text")
    assert scaling_page.OUT.name == "scaling.json"
