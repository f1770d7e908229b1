"""A model fitted to the estimation windows of many events, in memory that does not grow with events times days."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketimpact import models
from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.core.threads import map_in_threads
from marketimpact.estimation.design_matrix import cut, dates_between, estimation_cut, own_variance_of
from marketimpact.estimation.positions import EventPositions
from marketimpact.estimation.windows import EstimationSettings, estimation_spans
from marketimpact.market.market import Market
from marketimpact.models import Fit, Model

__all__ = [
    "CHUNK",
    "DAYS",
    "EventWindow",
    "abnormal_returns",
    "chunks",
    "fit_model",
    "group_sums",
    "residuals_of",
    "window_sums",
]

#: Events whose windows are held side by side at a time.
CHUNK = 2048
#: Events of one part where parts are shared out.
PART = 8192
#: From so many events on the compiled kernels win, whose loading takes a third of a second ...
MANY = 4096
#: ... and once they are loaded, from so many on.
SOME = 64
KERNELS = "marketimpact.models.kernels"
FIT = tuple(part.name for part in fields(Fit))


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
        v, the variance of each day's own shock in units of ``sigma^2``: 1 unless the model says
        otherwise; 0 on days without a return.
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

    def take(self, rows: Ints | slice) -> EventWindow:
        """The same of some of the events."""
        return EventWindow(*(getattr(self, name)[rows] for name in DAYS))

    def between(self, columns: slice) -> EventWindow:
        """The same of some of the days."""
        return EventWindow(*(getattr(self, name)[:, columns] for name in DAYS))


DAYS = tuple(part.name for part in fields(EventWindow))


def chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Slices of at most `size` rows that cover n; one empty slice for none."""
    return (slice(start, min(start + size, n)) for start in range(0, max(n, 1), size))


def fit_model(places: EventPositions, market: Market, model: Model, windows: EstimationSettings) -> tuple[Fit, Bools]:
    """The model's regression for every event, and which days of its event window have an abnormal return, (N, L).

    Ready-made sums for least squares, the model's own estimator otherwise; both ways give the same bits for least
    squares.
    """

    def compiled(part: EventPositions, _: Ints) -> tuple[NDArray[Any], ...]:
        fit = _fit_compiled(part, market, model, windows)
        present = _kernels().present(*_kernel_inputs(part, market, model, windows, span=windows.event))
        return (*(getattr(fit, name) for name in FIT), present)

    if model.design.estimator is models.fit and _compiled(places):
        *fit, present = _run_in_memory_order(places, compiled, _order(places, market, model))
        return Fit(*fit), present
    parts = [_fit(places.take(part), market, model, windows) for part in chunks(len(places))]
    days = [cut(places.take(part), market, model, windows.event) for part in chunks(len(places))]
    return models.concat_fits(parts), np.concatenate([~(np.isnan(y) | np.isnan(x).any(axis=2)) for y, x, _ in days])


def _fit(places: EventPositions, market: Market, model: Model, windows: EstimationSettings) -> Fit:
    y, x = estimation_cut(places, market, model, windows, instruments=True)
    return model.design.estimator(y, x, model.design)


def abnormal_returns(
    fit: Fit, places: EventPositions, market: Market, model: Model, windows: EstimationSettings
) -> EventWindow:
    """Return, expectation, abnormal return and its errors on every day of the event window."""
    if _compiled(places) and _forecast_compiled(places, model):
        panel = _kernel_inputs(places, market, model, windows, span=windows.event)
        dates, begins = market.dates
        return EventWindow(*_kernels().event_days(*panel, dates, begins[places.security], _errors(fit)))
    parts = [
        _abnormal_returns(fit.take(part), places.take(part), market, model, windows) for part in chunks(len(places))
    ]
    return EventWindow(*(np.concatenate(days) for days in zip(*parts, strict=True)))


def _abnormal_returns(
    fit: Fit, places: EventPositions, market: Market, model: Model, windows: EstimationSettings
) -> tuple[Any, ...]:
    y, x, rf = cut(places, market, model, windows.event)
    expected, loading = models.forecast(fit, x)
    ar = y - expected
    missing = np.isnan(ar)
    loading = np.where(missing[:, :, None], 0.0, loading)
    own_variance = np.where(missing, 0.0, own_variance_of(fit, x, model, windows))
    error = models.dot(loading, loading)
    se = np.where(missing, np.nan, fit.sigma[:, None] * np.sqrt(own_variance + error))
    return y + rf, expected + rf, ar, se, loading, own_variance, dates_between(places, market, windows.event)


def window_sums(  # noqa: PLR0917  # as the others, and a window
    fit: Fit, places: EventPositions, market: Market, model: Model, windows: EstimationSettings, window: tuple[int, int]
) -> tuple[NDArray[Any], ...] | None:
    """CAR of many events over a window, its variance, and what one unit grew to and was expected to; None for few."""
    if not _compiled(places) or not _forecast_compiled(places, model) or windows.serial_correlation:
        return None
    errors = _errors(fit)

    def compiled(part: EventPositions, rows: Ints) -> tuple[NDArray[Any], ...]:
        panel = _kernel_inputs(part, market, model, windows, span=window)
        sums: tuple[NDArray[Any], ...] = _kernels().window_sums(*panel, tuple(values[rows] for values in errors))
        return sums

    return _run_in_memory_order(places, compiled, places.in_memory)


def residuals_of(
    fit: Fit,
    places: EventPositions,
    market: Market,
    model: Model,
    windows: EstimationSettings,
    *,
    span: tuple[int, int] | None = None,
) -> Floats:
    """Abnormal returns of the estimation window, (N, M), NaN on days that are not estimated from; or of a `span`."""
    design = model.design
    straight = span is not None or design.residuals is models.residuals
    if straight and _compiled(places) and (places.sign > 0).all():
        panel = _kernel_inputs(places, market, model, windows, span=span)
        return np.asarray(_kernels().residuals(*panel, fit.alpha, fit.slopes))
    if span is not None:
        y, x, _ = cut(places, market, model, span)
        return models.residuals(fit, y, x)
    y, x = estimation_cut(places, market, model, windows, instruments=True)
    return design.residuals(fit, y, x)


def group_sums(
    groups: Sequence[Ints],
    places: EventPositions,
    market: Market,
    model: Model,
    windows: EstimationSettings,
    *,
    span: tuple[int, int] | None = None,
) -> tuple[Floats, Ints]:
    """Sums over groups of events of return and regressors, and how many are present.

    Parameters
    ----------
    groups : sequence of (K,) arrays
        Rows of `places`.
    span : (int, int), optional
        Sessions to sum; by default those that are estimated from, instruments too, on days that have them all.

    Returns
    -------
    total, count : (G, p + 1, D) arrays
    """
    rows, ends = np.concatenate(groups), np.cumsum([len(group) for group in groups])
    part = places.take(rows)
    if _compiled(places):
        panel = _kernel_inputs(part, market, model, windows, span=span)
        total, count = _kernels().group_sums(*panel, part.sign, ends, span is None)
        return total, count
    if span is None:
        y, x = estimation_cut(part, market, model, windows, instruments=True)
    else:
        y, x, _ = cut(part, market, model, span)
    values = np.concatenate([y[:, None, :], np.moveaxis(x, 2, 1)], axis=1)
    present = ~np.isnan(values)
    if span is None:
        present = np.broadcast_to(present.all(axis=1, keepdims=True), values.shape)
    filled = np.where(present, values, 0.0)
    own = [slice(end - len(group), end) for end, group in zip(ends.tolist(), groups, strict=True)]
    return np.stack([filled[k].sum(axis=0) for k in own]), np.stack([present[k].sum(axis=0) for k in own])


def _fit_compiled(places: EventPositions, market: Market, model: Model, windows: EstimationSettings) -> Fit:
    kernels, panel, design = _kernels(), _kernel_inputs(places, market, model, windows), model.design
    *columns, where, excluded = panel
    found = models.CrossProducts(*kernels.sums(*panel, design.centred))
    bar = np.column_stack([found.y_bar, found.x_bar])

    def squares(slopes: Floats, rows: Ints) -> Floats:
        return np.asarray(kernels.squares(*columns, where[rows], excluded, bar[rows], slopes[rows]))

    return models.fit_from_products(found, squares, design)


def _compiled(places: EventPositions) -> bool:
    """Whether the kernels are worth their loading; their numbers are the same."""
    return len(places) >= (SOME if KERNELS in sys.modules else MANY)


def _forecast_compiled(places: EventPositions, model: Model) -> bool:
    """Whether the kernels know how the model forecasts."""
    return model.design.own_variance is None and bool((places.sign > 0).all())


def _kernels() -> Any:
    from marketimpact.models import kernels  # noqa: PLC0415  # numba is slow to load, and small studies do not need it

    return kernels


def _errors(fit: Fit) -> tuple[NDArray[Any], ...]:
    """What forecasts and their errors are made of."""
    return fit.alpha, fit.slopes, fit.sigma, fit.centre, fit.leverage_root, fit.mean_leverage


def _order(places: EventPositions, market: Market, model: Model) -> Ints:
    """In which order events are estimated: that of memory, or of several regressors those that share them together."""
    regressors = model.design.regressors
    if len(regressors) < 2:
        return places.in_memory
    begin = market.series(regressors[0].column)[1][places.security]
    return np.lexsort((places.security, places.day0, begin))


def _run_in_memory_order(
    places: EventPositions, do: Callable[[EventPositions, Ints], tuple[NDArray[Any], ...]], order: Ints
) -> tuple[NDArray[Any], ...]:
    """What `do` finds for every event, part by part in some order.

    A part writes one event after the other: scattered writes would take longer than all the rest.
    """
    first, *parts = (order[part] for part in chunks(len(places), PART))

    def written(rows: Ints, arrays: tuple[NDArray[Any], ...]) -> None:
        for whole, values in zip(found, arrays, strict=True):
            whole[rows] = values

    start = do(places.take(first), first)  # tells what there is to write
    found = tuple(np.empty((len(places), *values.shape[1:]), values.dtype) for values in start)
    written(first, start)
    for _ in map_in_threads(lambda rows: written(rows, do(places.take(rows), rows)), parts):
        pass
    return found


def _kernel_inputs(
    places: EventPositions,
    market: Market,
    model: Model,
    windows: EstimationSettings,
    *,
    span: tuple[int, int] | None = None,
) -> tuple[Any, ...]:
    """What the kernels read: columns of the market, and where each event's windows lie in them.

    Without a span the days that are estimated from, with instruments and without what is excluded.
    """
    design = model.design
    used = design.regressors if span else (*design.regressors, *design.instruments)
    series = [market.series(term.column) for term in used]
    free, begin = market.series("rf") if design.excess else (np.empty(0), np.zeros(market.first_rows.height, np.int64))
    begins = [own[places.security] for own in (*(begins for _, begins in series), begin)]
    return (
        tuple(_readonly(column) for column in (market.column(design.response), *(values for values, _ in series))),
        np.array([0, *(term.shift for term in used)], dtype=np.int64),
        _readonly(free),
        np.array([design.excess, *(design.excess and term.column == "market" for term in used)], dtype=np.bool_),
        np.array([span] if span else estimation_spans(model, windows), dtype=np.int64),
        np.column_stack([places.n_sessions, places.day0, places.first_row, *begins]),
        np.empty(0, dtype=np.bool_) if span or windows.excluded is None else windows.excluded,
    )


def _readonly(column: Floats) -> Floats:
    """The same numbers, of one kind for the compiler whether polars or numpy owns them."""
    seen = column.view()
    seen.flags.writeable = False
    return seen
