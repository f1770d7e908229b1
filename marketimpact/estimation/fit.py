"""Fit the model to every estimation window and subtract it, with array code, a chunk of events at a time.

Many events are fitted by the compiled loops of `marketimpact.estimation.compiled_fit`, which give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from marketimpact import models
from marketimpact.core import limits
from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.core.chunks import chunks
from marketimpact.estimation import compiled_fit as compiled
from marketimpact.estimation.problem import EstimationProblem
from marketimpact.models import Fit

__all__ = [
    "EventWindow",
    "FittedChunk",
    "abnormal_returns",
    "assemble",
    "autocorrelation",
    "fit_model",
    "fit_problem",
    "group_sums",
    "residuals_of",
    "window_sums",
]

#: Bound of the autocorrelation; the variance of the innovations nears zero beyond it.
MAX_RHO = 0.95
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EventWindow:
    """Every day of the event window of N events, L days, p regressors; NaN on days without a return.

    Attributes
    ----------
    ret, expected, ar, se : (N, L) arrays
        Return, expectation, abnormal return (fraction per session) and the abnormal return's forecast standard
        error.
    loading : (N, L, p + 1) array
        z in ``Cov(AR_s, AR_t) = sigma^2 (v_t 1{s=t} + z_s'z_t)``; 0 on days without a return.
    own_variance : (N, L) array
        v, the variance of each day's own shock in units of ``sigma^2``: 1 unless the model
        sets it; 0 on days without a return.
    dates : (N, L) array of int
        Days since 1970-01-01; `NO_DAY` outside the calendar.
    """

    ret: Floats
    expected: Floats
    ar: Floats
    se: Floats
    loading: Floats
    own_variance: Floats
    dates: Ints

    def arrays(self) -> Iterator[NDArray[Any]]:
        """Yield the arrays in the order of their names above."""
        return (getattr(self, part.name) for part in fields(self))

    def take(self, rows: Ints | slice) -> EventWindow:
        """Return some of the events."""
        return EventWindow(*(values[rows] for values in self.arrays()))

    def between(self, columns: slice) -> EventWindow:
        """Return some of the days."""
        return EventWindow(*(values[:, columns] for values in self.arrays()))


@dataclass(frozen=True, slots=True)
class FittedChunk:
    """Fit of N events, as `fit_problem` returns it.

    Attributes
    ----------
    fit : Fit
        The regressions.
    present : (N, L) array of bool
        Days of the event window that have an abnormal return.
    n_before : (N,) array of int
        Days before the event that it is estimated from.
    event_window : EventWindow or None
        Present where a worker computed it; otherwise it is computed when needed.
    """

    fit: Fit
    present: Bools
    n_before: Ints
    event_window: EventWindow | None = None


def fit_problem(problem: EstimationProblem, *, with_event_window: bool = False) -> FittedChunk:
    """Fit the model for every event of a problem, in this process or in a worker.

    An event's numbers do not depend on which others are estimated with it.
    """
    problem = problem.in_memory()
    fit, present = fit_model(problem)
    if problem.settings.serial_correlation:
        fit = replace(fit, rho=autocorrelation(residuals_of(problem, fit)))
    n_before = fit.n_obs
    if problem.after is not None:
        # sessions after the event do not replace missing ones before it
        first, last = problem.settings.estimation
        n_before = (~np.isnan(residuals_of(problem, fit)[:, : last - first + 1])).sum(axis=1)
    return FittedChunk(fit, present, n_before, abnormal_returns(problem, fit) if with_event_window else None)


def assemble(chunks_by_rows: Iterable[tuple[Ints, FittedChunk]], n: int) -> FittedChunk:
    """Put chunks of n events together, each in the rows of its events."""
    whole: FittedChunk | None = None
    for rows, chunk in chunks_by_rows:
        whole = whole or _empty_like(chunk, n)
        _write(whole, rows, chunk)
    if whole is None:
        raise ValueError("There is no chunk to put together.")
    return whole


def _empty_like(part: T, n: int) -> T:
    """Allocate the arrays of a chunk for n events."""
    if part is None:
        return part
    if isinstance(part, np.ndarray):
        return np.empty((n, *part.shape[1:]), part.dtype)  # type: ignore[return-value]
    return type(part)(*(_empty_like(getattr(part, each.name), n) for each in fields(part)))  # type: ignore[arg-type]


def _write(whole: Any, rows: Ints, part: Any) -> None:
    """Write the arrays of a chunk into the rows of its events."""
    for each in fields(part):
        source, target = getattr(part, each.name), getattr(whole, each.name)
        if isinstance(source, np.ndarray):
            target[rows] = source
        elif source is not None:
            _write(target, rows, source)


def fit_model(problem: EstimationProblem) -> tuple[Fit, Bools]:
    """Estimate the model for every event, and mark the event days with an abnormal return, (N, L)."""
    if problem.model.design.estimator is models.fit and compiled.worth_compiling(problem):
        fit, present = compiled.fit_and_presence(problem)
    else:
        fits, parts = zip(*((_fit(part), _has_abnormal_return(part)) for part in _parts(problem)), strict=True)
        fit, present = models.concat_fits(list(fits)), np.concatenate(parts)
    if problem.model.design.excess and _may_have_constant_benchmark(problem):
        constant = np.concatenate([_has_constant_benchmark(part) for part in _parts(problem)])
        fit = replace(fit, singular=fit.singular | constant)
    return fit, present


def _may_have_constant_benchmark(problem: EstimationProblem) -> bool:
    """Return whether the model reads a benchmark that has the same return on two sessions in a row."""
    if models.Term("market") not in problem.model.design.regressors:
        return False
    market, _ = problem.market.series("market")
    steps = np.abs(np.diff(market[~np.isnan(market)]))
    return bool((steps <= models.ROUNDING).any())


def _has_constant_benchmark(problem: EstimationProblem) -> Bools:
    """Mark events whose benchmark is constant in the estimation window: in excess of rf it varies as rf does, (N,)."""
    y, x, rf = problem.design()
    column = problem.model.design.regressors.index(models.Term("market"))
    free = rf * problem.positions.sign[:, None]
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2))
    market = np.where(present, x[:, :, column] + free, 0.0)
    n_obs = present.sum(axis=1)
    mean = market.sum(axis=1) / np.maximum(n_obs, 1)
    deviations = np.where(present, market - mean[:, None], 0.0)
    return models.is_constant((deviations**2).sum(axis=1), (market**2).sum(axis=1), n_obs)


def _fit(problem: EstimationProblem) -> Fit:
    design = problem.model.design
    y, x, _ = problem.design(instruments=True)
    fit = design.estimator(y, x, design)
    if design.through_gap is None or problem.gap is None:
        return fit
    return design.through_gap(fit, residuals_of(problem, fit, span=problem.gap))


def _has_abnormal_return(problem: EstimationProblem) -> Bools:
    y, x, _ = problem.design(problem.settings.event)
    return np.asarray(~(np.isnan(y) | np.isnan(x).any(axis=2)))


def abnormal_returns(problem: EstimationProblem, fit: Fit) -> EventWindow:
    """Subtract the expectation on every day of the event window, with the forecast error of each."""
    if compiled.worth_compiling(problem) and compiled.can_forecast(problem):
        return EventWindow(*compiled.abnormal_returns(problem, fit))
    slices = chunks(len(problem), limits.FIT_CHUNK_EVENTS)
    parts = [_abnormal_returns(problem.take(rows), fit.take(rows)) for rows in slices]
    return EventWindow(*(np.concatenate(arrays) for arrays in zip(*(part.arrays() for part in parts), strict=True)))


def _abnormal_returns(problem: EstimationProblem, fit: Fit) -> EventWindow:
    y, x, rf = problem.design(problem.settings.event)
    expected, loading = models.forecast(fit, x)
    ar = y - expected
    missing = np.isnan(ar)
    loading = np.where(missing[:, :, None], 0.0, loading)
    own_variance = np.where(missing, 0.0, problem.own_variance(fit, x))
    error = models.dot(loading, loading)
    se = np.where(missing, np.nan, fit.sigma[:, None] * np.sqrt(own_variance + error))
    return EventWindow(y + rf, expected + rf, ar, se, loading, own_variance, problem.dates(problem.settings.event))


def window_sums(problem: EstimationProblem, fit: Fit, window: tuple[int, int]) -> tuple[NDArray[Any], ...] | None:
    """Sum abnormal returns over a window without keeping its days; None where the sums need the days.

    Returns
    -------
    car, variance, grown, expected : (N,) arrays
        See `marketimpact.estimation.estimates.CarSums`.
    """
    if not compiled.worth_compiling(problem) or not compiled.can_forecast(problem):
        return None
    return None if problem.settings.serial_correlation else compiled.window_sums(problem, fit, window)


def residuals_of(problem: EstimationProblem, fit: Fit, *, span: tuple[int, int] | None = None) -> Floats:
    """Compute abnormal returns of the estimation days, (N, M), NaN on days not estimated from; or of a `span`."""
    design = problem.model.design
    own_residuals = span is None and design.residuals is not models.residuals
    if not own_residuals and compiled.worth_compiling(problem) and (problem.positions.sign > 0).all():
        return compiled.residuals(problem, fit, span)
    if span is not None:
        y, x, _ = problem.design(span)
        return models.residuals(fit, y, x)
    y, x, _ = problem.design(instruments=True)
    return design.residuals(fit, y, x)


def group_sums(
    problem: EstimationProblem,
    groups: Sequence[Ints],
    *,
    span: tuple[int, int] | None = None,
    weights: Floats | None = None,
) -> tuple[Floats, Floats | Ints]:
    """Sum return and regressors over groups of events, day by day, and count what is present.

    Parameters
    ----------
    problem : EstimationProblem
        N events.
    groups : sequence of (K,) arrays
        Rows of the events of each of G groups.
    span : (int, int), optional
        Sessions to sum; by default the estimation days, with instruments, where a day counts that has all of them.
    weights : (N,) array, optional
        Weight of each event: sums are weighted, and weights are summed in place of counts.

    Returns
    -------
    total, count : (G, p + 1, D) arrays
    """
    if weights is None and compiled.worth_compiling(problem):
        return compiled.group_sums(problem, groups, span)
    members = problem.take(np.concatenate(groups))
    y, x, _ = members.design(instruments=True) if span is None else members.design(span)
    values = np.concatenate([y[:, None, :], np.moveaxis(x, 2, 1)], axis=1)
    present = ~np.isnan(values)
    if span is None:
        present = np.broadcast_to(present.all(axis=1, keepdims=True), values.shape)
    filled = np.where(present, values, 0.0)
    if weights is not None:
        own = weights[np.concatenate(groups)][:, None, None]
        filled, present = filled * own, present * own
    ends = np.cumsum([len(group) for group in groups]).tolist()
    rows = [slice(end - len(group), end) for end, group in zip(ends, groups, strict=True)]
    return np.stack([filled[each].sum(axis=0) for each in rows]), np.stack([present[each].sum(axis=0) for each in rows])


def autocorrelation(residuals: Floats) -> Floats:
    """Estimate the first-order autocorrelation of each event's residuals over neighbouring days, (N, M) to (N,)."""
    e = np.where(np.isnan(residuals), 0.0, residuals)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = (e[:, 1:] * e[:, :-1]).sum(axis=1) / (e**2).sum(axis=1)
    return np.asarray(np.clip(np.nan_to_num(rho), -MAX_RHO, MAX_RHO))


def _parts(problem: EstimationProblem) -> Iterator[EstimationProblem]:
    """Yield the problem in chunks whose arrays stay small."""
    return (problem.take(rows) for rows in chunks(len(problem), limits.FIT_CHUNK_EVENTS))
