"""Fit chunks of events here or over an executor; chunking changes no number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_start_method
from queue import SimpleQueue

import numpy as np
import polars as pl

from marketimpact.core import limits, memory, progress
from marketimpact.core.arrays import Ints
from marketimpact.core.whole_numbers import is_whole
from marketimpact.errors import DataError, MarketImpactError, SpecificationError
from marketimpact.estimation.fit import EventWindow, FittedChunk, assemble, fit_problem
from marketimpact.estimation.market_subset import bytes_per_row, chunks_by_security, columns_of
from marketimpact.estimation.problem import EstimationProblem

__all__ = ["ExecutionOptions", "run_chunks"]


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """Where chunks are fitted, and their size.

    Attributes
    ----------
    executor : Executor or None
        Executor of the chunks; None: this process.
    chunk : int or None
        Events of one chunk; None: as many as `memory` allows.
    memory : int, str or None
        Bytes that a chunk, or all chunks sent and not yet returned, may take; None: half of the free memory.
    progress : bool or None
        Whether to show a progress bar; None: in a notebook or on a terminal.
    """

    executor: Executor | None = None
    chunk: int | None = None
    memory: int | str | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        _check_executor(self.executor)
        chunk = self.chunk
        if chunk is not None and (not is_whole(chunk) or chunk < 1):
            raise SpecificationError(f"chunk={chunk!r} must be a whole number of events, at least 1.")


def run_chunks(problem: EstimationProblem, events: pl.DataFrame, options: ExecutionOptions) -> FittedChunk:
    """Fit a problem chunk by chunk; the numbers are the same, bit for bit, with any chunks and executor.

    Parameters
    ----------
    problem : EstimationProblem
        N events.
    events : polars.DataFrame
        Events of the problem, row by row; an error of a chunk names them.
    options : ExecutionOptions

    Raises
    ------
    DataError
        When a chunk fails or the executor loses its workers, with the events in `rows`.
    """
    budget = memory.memory_budget(options.memory)
    chunks = _plan_chunks(problem, options, budget)
    on_disk = problem.market.return_panel.on_disk
    if not len(problem) or (len(chunks) < 2 and options.executor is None and not on_disk):
        return fit_problem(problem)
    fitted: Iterator[tuple[Ints, FittedChunk]]
    if options.executor is not None:
        fitted = _submit(problem, events, chunks, options.executor, budget)
    elif on_disk:
        fitted = ((rows, fit_problem(problem.subset(rows), with_event_window=True)) for rows in chunks)
    else:
        fitted = ((rows, fit_problem(problem.take(rows))) for rows in chunks)
    patience = progress.PATIENCE if options.executor is None else 0.0
    with progress.progress_bar(options.progress, "Events in chunks", len(chunks), patience=patience) as done:

        def counted() -> Iterator[tuple[Ints, FittedChunk]]:
            for rows, chunk in fitted:
                yield rows, chunk
                done()

        return assemble(counted(), len(problem))


def _submit(
    problem: EstimationProblem, events: pl.DataFrame, chunks: Sequence[Ints], executor: Executor, budget: int
) -> Iterator[tuple[Ints, FittedChunk]]:
    """Send chunks within the memory budget, yield fitted ones as they return, stop at the first failure."""
    pending: dict[Future[FittedChunk], tuple[Ints, int]] = {}
    finished: SimpleQueue[Future[FittedChunk]] = SimpleQueue()
    bytes_pending = 0
    work = partial(fit_problem, with_event_window=True)  # the returns stay with the worker
    try:
        for rows in chunks:
            size = _task_bytes(problem.take(rows))
            while pending and bytes_pending + size > budget:
                done, done_size, chunk = _next_chunk(events, pending, finished)
                bytes_pending -= done_size
                yield done, chunk
            try:
                future = executor.submit(work, problem.subset(rows))
            except BrokenExecutor as error:
                raise _lost(events, [rows, *(others for others, _ in pending.values())]) from error
            pending[future] = rows, size
            bytes_pending += size
            future.add_done_callback(finished.put)
        while pending:
            done, _, chunk = _next_chunk(events, pending, finished)
            yield done, chunk
    finally:
        for future in pending:
            future.cancel()


def _next_chunk(
    events: pl.DataFrame,
    pending: dict[Future[FittedChunk], tuple[Ints, int]],
    finished: SimpleQueue[Future[FittedChunk]],
) -> tuple[Ints, int, FittedChunk]:
    """Wait for the next chunk that a worker returns: its rows, its bytes, and its outcome."""
    future = finished.get()
    error = CancelledError() if future.cancelled() else future.exception()
    if isinstance(error, BrokenExecutor | CancelledError):
        raise _lost(events, [rows for rows, _ in pending.values()]) from error
    rows, size = pending.pop(future)
    if error is not None:
        raise _failed(events[rows], error) from error
    return rows, size, future.result()


def _event_bytes(problem: EstimationProblem) -> int:
    """Return the bytes of one event's window: its days, with the loadings of every regressor."""
    first, last = problem.settings.event
    n_regressors = len(problem.model.design.regressors) + len(problem.model.design.donors)
    return (last - first + 1) * (len(fields(EventWindow)) + n_regressors + 1) * 8


def _task_bytes(problem: EstimationProblem) -> int:
    """Estimate the bytes that some events take on the way to a worker and back."""
    positions, returns = problem.positions, 0
    if not problem.market.return_panel.on_disk:
        _, first = np.unique(positions.security, return_index=True)
        returns = int(positions.n_sessions[first].sum()) * bytes_per_row(columns_of(problem.market, problem.model))
    return returns + len(problem) * (_event_bytes(problem) + 8 * len(fields(type(positions))))


def _plan_chunks(problem: EstimationProblem, options: ExecutionOptions, budget: int) -> list[Ints]:
    """Choose the rows of each chunk: events of one security side by side, so that each chunk needs few securities."""
    positions, on_disk = problem.positions, problem.market.return_panel.on_disk
    row_bytes = bytes_per_row(columns_of(problem.market, problem.model))
    by_security = partial(chunks_by_security, positions.first_row, positions.n_sessions, row_bytes)
    if options.chunk is not None:
        return by_security(np.inf, options.chunk)
    event_bytes = _event_bytes(problem) * limits.EVENT_WINDOW_COPIES
    if options.executor is not None:
        enough_chunks = max(-(-len(problem) // limits.EXECUTOR_CHUNKS), limits.EXECUTOR_CHUNK_EVENTS)
        return by_security(limits.TASK_RETURNS_BYTES, min(max(budget // event_bytes, 1), enough_chunks))
    if on_disk:
        return by_security(budget / 2 / limits.PARQUET_COPIES, max(budget // 2 // event_bytes, 1))
    most = max(budget // event_bytes, 1)
    if len(problem) <= most:
        return [np.arange(len(problem))]  # the usual case, in which no order is needed
    return by_security(np.inf, most)


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
    """Build the error for a chunk that failed, with its events."""
    which = _named(events["event_id"])
    if isinstance(error, MarketImpactError):
        error.add_note(f"In the chunk of {which}.")
        return error
    return DataError(
        f"The chunk of {which} failed with {type(error).__name__}: {error} It is not tried again. Its events are in "
        "this error's rows; run them alone, without executor=, to see why, or leave them out.",
        rows=events.select("event_id", "symbol", "date"),
    )


def _lost(events: pl.DataFrame, rows: Sequence[Ints]) -> DataError:
    lost = events[np.sort(np.concatenate(rows))]
    return DataError(
        f"The executor lost a worker process and takes no more work. {_named(lost['event_id'])} were being estimated "
        f"in {len(rows)} chunks and are in this error's rows. Most often a worker ran out of memory: make a new "
        "executor with fewer workers, or set a smaller chunk=. Dask goes on without a worker that died.",
        rows=lost.select("event_id", "symbol", "date"),
    )


def _named(ids: pl.Series) -> str:
    count = f"{len(ids)} event{'s' if len(ids) != 1 else ''}"
    return f"{count} ({', '.join(ids.head(3))}{', ...' if len(ids) > 3 else ''})"
