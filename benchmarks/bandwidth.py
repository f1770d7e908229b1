"""Measure how fast this machine reads and copies memory, and the share of that speed the window kernels reach."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange

from marketimpact.core.threads import cores
from marketimpact.models.kernel_inputs import KernelInputs

#: Doubles of the arrays that are read and copied: ten times a cache of 32 MB and more.
LENGTH = 50_000_000
TIMES = 5


@njit(parallel=True, fastmath=True, cache=True)
def _read(source, parts):  # type: ignore[no-untyped-def]
    """Sum every double, in several sums side by side so that the additions do not limit the speed."""
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
    """Measure bytes per second that all threads together read, and copy (reads and writes counted)."""
    source, target, parts = np.ones(length), np.empty(length), get_num_threads()
    return {
        "threads": parts,
        "read_bytes_per_s": source.nbytes / _best(lambda: _read(source, parts)),
        "copy_bytes_per_s": 2 * source.nbytes / _best(lambda: _copy(target, source, parts)),
    }


def _best(call: Callable[[], object]) -> float:
    """Return the seconds of the quickest run, without the first, which compiles and touches the pages."""
    call()
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@contextmanager
def watched(kernels: Any) -> Iterator[list[dict[str, Any]]]:
    """Record the time of every call of a window kernel, and the bytes it read and wrote.

    Each has ``kernel, windows, seconds`` of the thread that made it, and bytes. ``window_bytes`` counts every window
    as it is read, again for each event, and what is written; windows overlap, so that most of it comes from cache.
    ``memory_bytes`` counts every row that lies in some window of the call once, and what is written.
    """
    calls: list[dict[str, Any]] = []
    originals = {name: getattr(kernels, name) for name in kernels.__all__}

    def watch(name: str, original: Any) -> Callable[..., Any]:
        names = list(inspect.signature(original.py_func).parameters)

        def call(*given: Any) -> Any:
            start = time.perf_counter()
            answer = original(*given)
            seconds = time.perf_counter() - start
            calls.append({"kernel": name, "seconds": seconds, **_touched(dict(zip(names, given, strict=True)), answer)})
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
    """Count the windows of a call, and the bytes that it read and wrote."""
    inputs: KernelInputs = given["inputs"]
    spans, n_events = inputs.spans, len(inputs.day0)
    begins = [(column, inputs.begins[:, j]) for j, column in enumerate(inputs.columns)]
    begins += [(inputs.excluded, inputs.begins[:, 0])] if len(inputs.excluded) else []
    begins += [(given["days"], given["day_begins"])] if "days" in given else []
    begins += [(inputs.rf, inputs.begins[:, -1])] if len(inputs.rf) else []
    width = int((spans[:, 1] - spans[:, 0] + 1).sum())
    parts = answer if isinstance(answer, tuple) else (answer,)
    written = sum(part.nbytes for part in parts)
    return {
        "windows": n_events,
        "window_bytes": written + n_events * width * sum(column.itemsize for column, _ in begins),
        "memory_bytes": written + sum(covered(inputs, begin) * column.itemsize for column, begin in begins),
    }


def covered(inputs: KernelInputs, begin: Any) -> int:
    """Count the rows of a column that lie in the window of any event, given where each security begins."""
    n_sessions, day0, spans = inputs.n_sessions, inputs.day0, inputs.spans
    starts = np.concatenate([begin + np.clip(day0 + first, 0, n_sessions) for first, _ in spans])
    stops = np.concatenate([begin + np.clip(day0 + last + 1, 0, n_sessions) for _, last in spans])
    order = np.argsort(starts)
    reached = np.maximum.accumulate(stops[order])
    fresh = np.maximum(starts[order][1:], reached[:-1])
    return int((stops - starts)[order][:1].sum() + np.maximum(stops[order][1:] - fresh, 0).sum())


def by_kernel(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per kernel, its calls added up; ``wall`` is the time of all threads together."""
    rows: dict[str, dict[str, Any]] = {}
    for call in calls:
        row = rows.setdefault(call["kernel"], {"kernel": call["kernel"], "calls": 0, "wall": 0.0})
        row["calls"] += 1
        row["wall"] += call["seconds"] / cores()
        for name in ("windows", "window_bytes", "memory_bytes"):
            row[name] = row.get(name, 0) + call[name]
    return list(rows.values())
