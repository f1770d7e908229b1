"""Fit least squares for many events with compiled loops; equal to `estimation.fit` bit for bit.

Kernels read windows directly from the panel's columns. They run in one thread; parts of the events are given to
threads in the order of the panel's rows, so that neighbours in time and security are read together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketimpact import models
from marketimpact.core import limits
from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.core.chunks import chunks
from marketimpact.core.threads import map_in_threads
from marketimpact.estimation.problem import EstimationProblem
from marketimpact.models import Fit
from marketimpact.models.kernel_inputs import ForecastInputs, KernelInputs

__all__ = [
    "abnormal_returns",
    "can_forecast",
    "fit_and_presence",
    "group_sums",
    "residuals",
    "window_sums",
    "worth_compiling",
]

KERNELS = "marketimpact.models.kernels"
FIT_FIELDS = tuple(part.name for part in fields(Fit))
Arrays = tuple[NDArray[Any], ...]


def worth_compiling(problem: EstimationProblem) -> bool:
    """Return whether the kernels can read the model, and there are enough events to repay the time of loading numba."""
    if problem.donors is not None:
        return False
    loaded = KERNELS in sys.modules
    return len(problem) >= (limits.COMPILED_FIT_EVENTS_ONCE_LOADED if loaded else limits.COMPILED_FIT_EVENTS)


def can_forecast(problem: EstimationProblem) -> bool:
    """Return whether the kernels can forecast with the model, and no event has the sign -1."""
    return problem.model.design.own_variance is None and bool((problem.positions.sign > 0).all())


def fit_and_presence(problem: EstimationProblem) -> tuple[Fit, Bools]:
    """Fit least squares, and mark the days of the event window that have an abnormal return."""

    def part(some: EstimationProblem, _: Ints) -> Arrays:
        fit = _fit(some)
        present = _kernels().present(_kernel_inputs(some, some.settings.event))
        return (*(getattr(fit, name) for name in FIT_FIELDS), present)

    *fit, present = _run_in_order(problem, part, _fit_order(problem))
    return Fit(*fit), present


def _fit(problem: EstimationProblem) -> Fit:
    kernels, inputs, design = _kernels(), _kernel_inputs(problem), problem.model.design
    products = models.CrossProducts(*kernels.sums(inputs, design.centred))
    means = np.column_stack([products.y_bar, products.x_bar])

    def squares(slopes: Floats, rows: Ints) -> Floats:
        of_rows = inputs._replace(
            n_sessions=inputs.n_sessions[rows],
            day0=inputs.day0[rows],
            begins=inputs.begins[rows],
            own_spans=inputs.own_spans[rows] if len(inputs.own_spans) else inputs.own_spans,
        )
        return np.asarray(kernels.squares(of_rows, means[rows], slopes[rows]))

    return models.fit_from_products(products, squares, design)


def abnormal_returns(problem: EstimationProblem, fit: Fit) -> Arrays:
    """Return the arrays of an `EventWindow`."""
    inputs = _kernel_inputs(problem, problem.settings.event)
    dates, begins = problem.market.dates
    arrays: Arrays = _kernels().abnormal_returns(
        inputs, dates, begins[problem.positions.security], _forecast_inputs(fit)
    )
    return arrays


def window_sums(problem: EstimationProblem, fit: Fit, window: tuple[int, int]) -> Arrays:
    """Return the arrays of `CarSums` over one window."""
    forecast = _forecast_inputs(fit)

    def part(some: EstimationProblem, rows: Ints) -> Arrays:
        sums: Arrays = _kernels().window_sums(
            _kernel_inputs(some, window), ForecastInputs(*(values[rows] for values in forecast))
        )
        return sums

    return _run_in_order(problem, part, problem.positions.memory_order)


def residuals(problem: EstimationProblem, fit: Fit, span: tuple[int, int] | None) -> Floats:
    """Return abnormal returns of the estimation days, or of a span."""
    return np.asarray(_kernels().residuals(_kernel_inputs(problem, span), fit.alpha, fit.slopes))


def group_sums(problem: EstimationProblem, groups: Sequence[Ints], span: tuple[int, int] | None) -> tuple[Floats, Ints]:
    """Sum return and regressors over groups of events, day by day; see `marketimpact.estimation.fit.group_sums`."""
    members = problem.take(np.concatenate(groups))
    ends = np.cumsum([len(group) for group in groups])
    total, count = _kernels().group_sums(_kernel_inputs(members, span), members.positions.sign, ends, span is None)
    return total, count


def _kernels() -> Any:
    from marketimpact.models import kernels  # noqa: PLC0415  # numba is slow to load, and small studies do not need it

    return kernels


def _forecast_inputs(fit: Fit) -> ForecastInputs:
    return ForecastInputs(*(getattr(fit, name) for name in ForecastInputs._fields))


def _fit_order(problem: EstimationProblem) -> Ints:
    """Order events for the fit: as in memory, or events that share several regressors one after the other."""
    regressors, positions = problem.model.design.regressors, problem.positions
    if len(regressors) < 2:
        return positions.memory_order
    begins = problem.market.series(regressors[0].column)[1][positions.security]
    return np.lexsort((positions.security, positions.day0, begins))


def _run_in_order(
    problem: EstimationProblem, compute: Callable[[EstimationProblem, Ints], Arrays], order: Ints
) -> Arrays:
    """Compute arrays for all events, parts of them in threads; rows come back in the order of the events.

    `compute` gets the problem of some events, and their rows.
    """
    first, *others = (order[part] for part in chunks(len(order), limits.THREAD_PART_EVENTS))
    start = compute(problem.take(first), first)  # shapes and types are the same for all events
    whole = tuple(np.empty((len(problem), *values.shape[1:]), values.dtype) for values in start)

    def write(rows: Ints, arrays: Arrays) -> None:
        for target, values in zip(whole, arrays, strict=True):
            target[rows] = values

    write(first, start)
    for _ in map_in_threads(lambda rows: write(rows, compute(problem.take(rows), rows)), others):
        pass
    return whole


def _kernel_inputs(problem: EstimationProblem, span: tuple[int, int] | None = None) -> KernelInputs:
    """Collect the columns, and where each event's windows lie in them.

    Without a span: the estimation days, with instruments and without excluded days.
    """
    design, positions, market = problem.model.design, problem.positions, problem.market
    terms = design.regressors if span else (*design.regressors, *design.instruments)
    series = [market.series(term.column) for term in terms]
    rf, rf_begins = (
        market.series("rf") if design.excess else (np.empty(0), np.zeros(market.panel_securities.height, np.int64))
    )
    begins = [each[positions.security] for each in (*(begins for _, begins in series), rf_begins)]
    excluded = problem.settings.excluded
    return KernelInputs(
        columns=tuple(
            _readonly(column) for column in (market.column(design.response), *(values for values, _ in series))
        ),
        shifts=np.array([0, *(term.shift for term in terms)], dtype=np.int64),
        rf=_readonly(rf),
        minus_rf=np.array(
            [design.excess, *(design.excess and term.column == "market" for term in terms)], dtype=np.bool_
        ),
        spans=np.array([span] if span else problem.spans, dtype=np.int64),
        n_sessions=positions.n_sessions,
        day0=positions.day0,
        begins=np.column_stack([positions.first_row, *begins]),
        excluded=np.empty(0, dtype=np.bool_) if span or excluded is None else excluded,
        own_spans=np.empty((0, 2), dtype=np.int64) if span or positions.estimation is None else positions.estimation,
    )


def _readonly(column: Floats) -> Floats:
    """Return a read-only view: one type for the compiler whether polars or numpy owns the numbers."""
    view = column.view()
    view.flags.writeable = False
    return view
