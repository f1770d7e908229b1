"""Chunks of events, by security, over any `concurrent.futures.Executor`; together they are the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from multiprocessing import get_start_method
from queue import SimpleQueue
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import memory, progress
from marketimpact.core.arrays import Ints
from marketimpact.errors import DataError, MarketImpactError, SpecificationError
from marketimpact.estimation import market_subset as slices
from marketimpact.estimation.estimates import Estimates
from marketimpact.estimation.fit import DAYS, EventWindow
from marketimpact.estimation.positions import LOCATION, EventPositions
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.market.market import Market
from marketimpact.models import Fit, Model

__all__ = ["ExecutionOptions", "Job", "Work", "run_chunks"]

#: Estimates of placed events and the days before each that it is estimated from: what a worker does.
Work = Callable[[pl.DataFrame, Market, Model, EstimationSettings], tuple[Estimates, Ints]]
Arrays = dict[str, NDArray[Any]]

#: Chunks a study falls into at least where others do the work, so that some of them stay busy to the end ...
CHUNKS = 64
#: ... unless they would hold fewer events than these, which cost less than sending them.
FEWEST = 50
#: Copies of an event window that are alive at once while it is computed and put together, at most; estimation windows
#: are read some events at a time, whatever the chunk.
COPIES = 4
#: Copies of a slice of a dataset that are alive at once: as read, side by side, with its keys, as numbers.
SLICE_COPIES = 6


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How the work is shared out.

    Attributes
    ----------
    executor : Executor or None
        Who does it; None: this process, one chunk after another.
    chunk : int or None
        Events of one chunk; None: what the memory allows.
    memory : int, str or None
        Bytes a chunk, or all that is under way, may take; None: half of what is free.
    progress : bool or None
        Whether a bar is shown; None: where stderr is a terminal.
    """

    executor: Executor | None = None
    chunk: int | None = None
    memory: int | str | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        _check_executor(self.executor)
        chunk = self.chunk
        if chunk is not None and (not isinstance(chunk, int) or isinstance(chunk, bool) or chunk < 1):
            raise SpecificationError(f"chunk={chunk!r} must be a whole number of events, at least 1.")


@dataclass(frozen=True, slots=True)
class Job:
    """Placed events to be estimated over a market, and the function that does it."""

    placed: pl.DataFrame
    market: Market
    model: Model
    windows: EstimationSettings
    work: Work

    def done(self) -> tuple[Estimates, Ints]:
        """Do it, here and now."""
        return self.work(self.placed, self.market, self.model, self.windows)


@dataclass(frozen=True, slots=True)
class Task:
    """One chunk as it is sent: its events, their securities' returns, and what to do."""

    placed: pl.DataFrame
    part: slices.MarketSubset
    model: Model
    windows: EstimationSettings
    work: Work

    @property
    def size(self) -> int:
        """Bytes to send and to get back, about."""
        first, last = self.windows.event
        answer = self.placed.height * (last - first + 1) * 8 * (len(DAYS) + len(self.model.design.regressors) + 1)
        return int(self.placed.estimated_size()) + self.part.size + answer


def run_chunks(job: Job, sharing: ExecutionOptions) -> tuple[Estimates, Ints]:
    """Do a job chunk by chunk; the same bytes as in one go, whoever does it.

    Raises
    ------
    DataError
        When a chunk fails or the executor loses its workers, with the events in `rows`.
    """
    budget = memory.memory_budget(sharing.memory)
    chunks = _chunks(job, sharing, budget)
    if job.placed.is_empty() or (len(chunks) < 2 and sharing.executor is None and job.market.dataset is None):
        return job.done()
    parts: Iterator[tuple[Ints, Arrays]]
    if sharing.executor is None:
        parts = ((rows, _here(replace(job, placed=job.placed[rows]))) for rows in chunks)
    else:
        parts = _sent(job, chunks, sharing.executor, budget)
    store: Arrays = {}
    patience = progress.PATIENCE if sharing.executor is None else 0.0
    with progress.progress_bar(sharing.progress, "Events in chunks", len(chunks), patience=patience) as done:
        for rows, arrays in parts:
            for name, values in arrays.items():
                if name not in store:
                    store[name] = np.empty((job.placed.height, *values.shape[1:]), values.dtype)
                store[name][rows] = values
            done()
    return _together(store, job)


def _sent(job: Job, chunks: Sequence[Ints], executor: Executor, budget: int) -> Iterator[tuple[Ints, Arrays]]:
    """Send chunks as far as the memory budget goes, hand on what comes back, stop at the first failure."""
    waiting: dict[Future[Arrays], tuple[Ints, int]] = {}
    back: SimpleQueue[Future[Arrays]] = SimpleQueue()
    under_way = 0
    try:
        for rows in chunks:
            task = _task(replace(job, placed=job.placed[rows]))
            while waiting and under_way + task.size > budget:
                done, size, arrays = _next(job.placed, waiting, back)
                under_way -= size
                yield done, arrays
            try:
                future = executor.submit(run, task)
            except BrokenExecutor as error:
                raise _lost(job.placed, [rows, *(others for others, _ in waiting.values())]) from error
            waiting[future] = rows, task.size
            under_way += task.size
            future.add_done_callback(back.put)
        while waiting:
            done, _, arrays = _next(job.placed, waiting, back)
            yield done, arrays
    finally:
        for future in waiting:
            future.cancel()


def _next(
    placed: pl.DataFrame, waiting: dict[Future[Arrays], tuple[Ints, int]], back: SimpleQueue[Future[Arrays]]
) -> tuple[Ints, int, Arrays]:
    """Rows, bytes and answer of the next chunk that comes back."""
    future = back.get()
    error = CancelledError() if future.cancelled() else future.exception()
    if isinstance(error, BrokenExecutor | CancelledError):
        raise _lost(placed, [rows for rows, _ in waiting.values()]) from error
    rows, size = waiting.pop(future)
    if error is not None:
        raise _failed(placed[rows], error) from error
    return rows, size, future.result()


def _here(job: Job) -> Arrays:
    return run(_task(job)) if job.market.dataset is not None else _flat(*job.done())


def run(task: Task) -> Arrays:
    """What a worker does with a task."""
    estimates, before = task.work(task.placed, task.part.market(), task.model, task.windows)
    days = {name: getattr(estimates.days, name) for name in DAYS}  # the returns stay with the worker
    return {**_flat(estimates, before), **days}


def _task(job: Job) -> Task:
    sent = job.placed.select("event_id", "symbol", "date", *LOCATION)
    part, moved, windows = slices.subset_for(EventPositions.of(sent), job.market, job.model, job.windows)
    sent = sent.with_columns(pl.Series("_first_row", moved.first_row), pl.Series("_security", moved.security))
    return Task(sent, part, job.model, windows, job.work)


def _chunks(job: Job, sharing: ExecutionOptions, budget: int) -> list[Ints]:
    """Rows of each chunk: events of one security side by side, so that each chunk needs few securities."""
    first_row, n_sessions = job.placed["_first_row"].to_numpy(), job.placed["_n_sessions"].to_numpy()
    row = slices.bytes_per_row(slices.columns_of(job.market, job.model))
    if sharing.chunk is not None:
        return slices.chunks_by_security(first_row, n_sessions, row, np.inf, sharing.chunk)
    design = job.model.design
    first, last = job.windows.event
    events = (last - first + 1) * (len(DAYS) + len(design.regressors) + 1) * 8 * COPIES
    if sharing.executor is None and job.market.dataset is None:
        most = max(budget // events, 1)
        whole = [np.arange(len(first_row))]  # as a rule, and then nothing need be put in order
        return whole if len(first_row) <= most else slices.chunks_by_security(first_row, n_sessions, row, np.inf, most)
    if sharing.executor is None:
        return slices.chunks_by_security(
            first_row, n_sessions, row, budget / 2 / SLICE_COPIES, max(budget // 2 // events, 1)
        )
    most = min(max(budget // events, 1), max(-(-len(first_row) // CHUNKS), FEWEST))
    return slices.chunks_by_security(first_row, n_sessions, row, slices.PIECE_BYTES, most)


def _flat(estimates: Estimates, before: Ints) -> Arrays:
    """The arrays of some events under their names: what a worker sends back."""
    fitted = {f"fit.{part.name}": getattr(estimates.fit, part.name) for part in fields(Fit)}
    return {**fitted, "present": estimates.present, "before": before}


def _together(store: Arrays, job: Job) -> tuple[Estimates, Ints]:
    estimates = Estimates(
        windows=job.windows,
        events=job.placed.drop(*LOCATION),
        fit=Fit(**{part.name: store[f"fit.{part.name}"] for part in fields(Fit)}),
        present=store["present"],
        kept=EventWindow(*(store[name] for name in DAYS)) if "ar" in store else None,
        location=EventPositions.of(job.placed),
        market=job.market,
        model=job.model,
    )
    return estimates, store["before"]


def _check_executor(executor: object) -> None:
    if executor is None:
        return
    if not isinstance(executor, Executor):
        hint = "client.get_executor()" if hasattr(executor, "get_executor") else "a ProcessPoolExecutor"
        raise SpecificationError(
            f"executor={type(executor).__name__} is no concurrent.futures.Executor; give it {hint}."
        )
    if isinstance(executor, ProcessPoolExecutor):
        context = getattr(executor, "_mp_context", None)
        method = get_start_method() if context is None else context.get_start_method()
        if method == "fork":
            raise SpecificationError(
                "executor: this ProcessPoolExecutor forks, and a forked process hangs in polars, whose threads it "
                "does not have. Write ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))."
            )


def _failed(events: pl.DataFrame, error: BaseException) -> BaseException:
    """The error to raise for a chunk that failed: with its events."""
    which = _named(events["event_id"])
    if isinstance(error, MarketImpactError):
        error.add_note(f"In the chunk of {which}.")
        return error
    return DataError(
        f"The chunk of {which} failed with {type(error).__name__}: {error} It is not tried again. Its events are in "
        "this error's rows; run them alone, without executor=, to see why, or leave them out.",
        rows=events.select("event_id", "symbol", "date"),
    )


def _lost(placed: pl.DataFrame, rows: Sequence[Ints]) -> DataError:
    events = placed[np.sort(np.concatenate(rows))]
    return DataError(
        f"The executor lost a worker process and takes no more work. {_named(events['event_id'])} were under way in "
        f"{len(rows)} chunks and are in this error's rows. Most often a worker ran out of memory: make a new executor "
        "with fewer workers, or set a smaller chunk=. Dask goes on without a worker that died.",
        rows=events.select("event_id", "symbol", "date"),
    )


def _named(ids: pl.Series) -> str:
    count = f"{len(ids)} event{'s' if len(ids) != 1 else ''}"
    return f"{count} ({', '.join(ids.head(3))}{', ...' if len(ids) > 3 else ''})"
