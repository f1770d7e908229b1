"""How fast this machine reads and copies memory, and what share of that the window kernels reach."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange

#: Doubles of the arrays that are read and copied: ten times a cache of 32 MB and more.
LENGTH = 50_000_000
TIMES = 5


@njit(parallel=True, fastmath=True, cache=True)
def _read(source, parts):  # type: ignore[no-untyped-def]
    """Sum, so that every double is looked at; several sums side by side, so that adding does not hold it up."""
    totals, size = np.zeros(parts), len(source) // parts
    for part in prange(parts):
        total = 0.0
        for at in range(part * size, (part + 1) * size):
            total += source[at]
        totals[part] = total
    return totals.sum()


@njit(parallel=True, cache=True)
def _copy(target, source, parts):  # type: ignore[no-untyped-def]
    size = len(source) // parts
    for part in prange(parts):
        for at in range(part * size, (part + 1) * size):
            target[at] = source[at]


def speeds(length: int = LENGTH) -> dict[str, float]:
    """Bytes a second that all threads together read, and copy (what is read and what is written counted)."""
    source, target, parts = np.ones(length), np.empty(length), get_num_threads()
    return {
        "threads": parts,
        "read_bytes_per_s": source.nbytes / _best(lambda: _read(source, parts)),
        "copy_bytes_per_s": 2 * source.nbytes / _best(lambda: _copy(target, source, parts)),
    }


def _best(call: Callable[[], object]) -> float:
    """Seconds of the quickest of some; the first is not counted, it compiles and touches the pages."""
    call()
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@contextmanager
def watched(kernels: Any) -> Iterator[list[dict[str, Any]]]:
    """Note of every call of a window kernel how long it took and what it touched.

    Each has ``kernel, windows, wall`` and bytes. ``window_bytes`` counts every window as it is read, again for each
    event, and what is written; windows overlap, so that most of it comes from cache. ``memory_bytes`` counts every
    row of the market that lies in some window once, and what is written: at least that much must come from memory.
    """
    calls: list[dict[str, Any]] = []
    originals = {name: getattr(kernels, name) for name in kernels.__all__}

    def watch(name: str, original: Any) -> Callable[..., Any]:
        names = list(inspect.signature(original.py_func).parameters)

        def call(*given: Any) -> Any:
            start = time.perf_counter()
            answer = original(*given)
            wall = time.perf_counter() - start
            calls.append({"kernel": name, "wall": wall, **_touched(dict(zip(names, given, strict=True)), answer)})
            return answer

        return call

    try:
        for name, original in originals.items():
            setattr(kernels, name, watch(name, original))
        yield calls
    finally:
        for name, original in originals.items():
            setattr(kernels, name, original)


def _touched(given: dict[str, Any], answer: Any) -> dict[str, int]:
    """Windows of a call, and the bytes that it read and wrote."""
    which = given.get("rows", given.get("order", np.arange(len(given["places"]))))
    by_row = [*given["columns"], *(given[name] for name in ("rf", "excluded", "days") if len(given.get(name, ())))]
    row = sum(column.itemsize for column in by_row)
    spans, places = given["spans"], given["places"][which]
    width = int((spans[:, 1] - spans[:, 0] + 1).sum())
    parts = answer if isinstance(answer, tuple) else (answer,)
    written = sum(part.nbytes for part in parts)
    return {
        "windows": len(which),
        "window_bytes": len(which) * width * row + written,
        "memory_bytes": covered(places, spans, len(by_row[0])) * row + written,
    }


def covered(places: Any, spans: Any, n_rows: int) -> int:
    """Rows of the market that lie in the window of some event."""
    edges = np.zeros(n_rows + 1, np.int64)
    first_row, n_sessions, day0 = places[:, 0], places[:, 1], places[:, 2]
    for first, last in spans:
        start = first_row + np.clip(day0 + first, 0, n_sessions)
        stop = first_row + np.clip(day0 + last + 1, 0, n_sessions)
        np.add.at(edges, start, 1)
        np.add.at(edges, stop, -1)
    return int((np.cumsum(edges[:-1]) > 0).sum())


def by_kernel(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per kernel: its calls added up."""
    rows: dict[str, dict[str, Any]] = {}
    for call in calls:
        row = rows.setdefault(call["kernel"], {"kernel": call["kernel"], "calls": 0})
        row["calls"] += 1
        for name in ("windows", "wall", "window_bytes", "memory_bytes"):
            row[name] = row.get(name, 0) + call[name]
    return list(rows.values())
