"""Map a function over parts in threads, results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import polars as pl

from marketimpact.core import limits

__all__ = ["cores", "map_in_threads"]

P = TypeVar("P")
R = TypeVar("R")


def map_in_threads(function: Callable[[P], R], parts: Iterable[P]) -> Iterator[R]:
    """Apply `function` to each part in threads and yield the results in order.

    It pays for compiled loops and numpy, which release Python's global lock. A single part is computed in the
    calling thread. An error is raised when its part's result is due.
    """
    remaining = iter(parts)
    first_two = list(islice(remaining, 2))
    if len(first_two) < 2 or cores() < 2:
        yield from map(function, first_two)
        yield from map(function, remaining)
        return
    with ThreadPoolExecutor(cores()) as pool:
        waiting: deque[Future[R]] = deque(pool.submit(function, part) for part in first_two)
        try:
            for part in islice(remaining, limits.PARTS_PER_THREAD * cores() - 2):
                waiting.append(pool.submit(function, part))
            while waiting:
                result = waiting.popleft().result()
                for part in islice(remaining, 1):
                    waiting.append(pool.submit(function, part))
                yield result
        finally:
            for future in waiting:
                future.cancel()


def cores() -> int:
    """Return the number of cores this process may use: that of polars, which ``POLARS_MAX_THREADS`` limits."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else pl.thread_pool_size()
    return min(allowed, pl.thread_pool_size())
