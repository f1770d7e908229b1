"""Parts of one piece of work, shared by the processor's cores; what comes back is in the order of the parts."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import polars as pl

__all__ = ["cores", "map_in_threads"]

P = TypeVar("P")
R = TypeVar("R")

#: Parts that are under way or wait to be fetched, for each thread: so memory does not grow with their number.
AHEAD = 2


def map_in_threads(do: Callable[[P], R], parts: Iterable[P]) -> Iterator[R]:
    """What `do` makes of each part, in order; compiled loops and numpy let go of Python's lock meanwhile.

    A single part is done by the caller. An error is raised where its part's turn comes.
    """
    left = iter(parts)
    first = list(islice(left, 2))
    if len(first) < 2 or cores() < 2:
        yield from map(do, first)
        yield from map(do, left)
        return
    with ThreadPoolExecutor(cores()) as pool:
        waiting: deque[Future[R]] = deque(pool.submit(do, part) for part in first)
        try:
            for part in islice(left, AHEAD * cores() - 2):
                waiting.append(pool.submit(do, part))
            while waiting:
                result = waiting.popleft().result()
                for part in islice(left, 1):
                    waiting.append(pool.submit(do, part))
                yield result
        finally:
            for future in waiting:
                future.cancel()


def cores() -> int:
    """Cores that this process may use: as many as polars does, which ``POLARS_MAX_THREADS`` limits."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else pl.thread_pool_size()
    return min(allowed, pl.thread_pool_size())
