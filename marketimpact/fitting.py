"""A model fitted to the estimation windows of many events, in memory that does not grow with events times days."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl

from marketimpact import models
from marketimpact.market import Market
from marketimpact.models import Fit, Model
from marketimpact.windows import (
    Bools,
    Floats,
    Ints,
    Windows,
    cut,
    dates_between,
    estimation_cut,
    own_variance_of,
    sign_of,
    spans,
)

__all__ = ["CHUNK", "DAYS", "EventDays", "chunks", "event_days", "fitted", "group_sums", "present_days", "residuals_of"]

#: Events whose windows are held side by side at a time.
CHUNK = 2048
#: From so many events on the compiled kernels win, whose loading takes a third of a second ...
MANY = 4096
#: ... and once they are loaded, from so many on.
SOME = 64
KERNELS = "marketimpact.models.kernels"


@dataclass(frozen=True, slots=True)
class EventDays:
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
        Days since 1970-01-01; -1 outside the calendar.
    """

    ret: Floats
    expected: Floats
    ar: Floats
    se: Floats
    loading: Floats
    own_variance: Floats
    dates: Ints

    def take(self, rows: Ints | slice) -> EventDays:
        """The same of some of the events."""
        return EventDays(*(getattr(self, name)[rows] for name in DAYS))

    def between(self, columns: slice) -> EventDays:
        """The same of some of the days."""
        return EventDays(*(getattr(self, name)[:, columns] for name in DAYS))


DAYS = tuple(part.name for part in fields(EventDays))


def chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Slices of at most `size` rows that cover n; one empty slice for none."""
    return (slice(start, min(start + size, n)) for start in range(0, max(n, 1), size))


def fitted(placed: pl.DataFrame, market: Market, model: Model, windows: Windows) -> Fit:
    """The model's regression for every event; ready-made sums for least squares, the model's own estimator otherwise.

    Both ways give the same bits for least squares.
    """
    design = model.design
    if design.estimator is models.fit and _compiled(placed):
        return _fit_compiled(placed, market, model, windows)
    parts = []
    for part in chunks(placed.height):
        y, x = estimation_cut(placed[part], market, model, windows, instruments=True)
        parts.append(design.estimator(y, x, design))
    return parts[0] if len(parts) == 1 else models.stacked(parts)


def event_days(fit: Fit, placed: pl.DataFrame, market: Market, model: Model, windows: Windows) -> EventDays:
    """Return, expectation, abnormal return and its errors on every day of the event window."""
    if model.design.own_variance is None and _compiled(placed):
        *panel, _ = _panel(placed, market, model, windows, span=windows.event)
        errors = (fit.alpha, fit.slopes, fit.sigma, fit.centre, fit.whitener, fit.base)
        return EventDays(*_kernels().event_days(*panel, market.days, *errors))
    parts = [_event_days(fit.take(part), placed[part], market, model, windows) for part in chunks(placed.height)]
    return EventDays(*(np.concatenate(days) for days in zip(*parts, strict=True)))


def _event_days(fit: Fit, placed: pl.DataFrame, market: Market, model: Model, windows: Windows) -> tuple[Any, ...]:
    y, x, rf = cut(placed, market, model, windows.event)
    expected, loading = models.forecast(fit, x)
    ar = y - expected
    missing = np.isnan(ar)
    loading = np.where(missing[:, :, None], 0.0, loading)
    own_variance = np.where(missing, 0.0, own_variance_of(fit, x, model, windows))
    error = models.dot(loading, loading)
    se = np.where(missing, np.nan, fit.sigma[:, None] * np.sqrt(own_variance + error))
    return y + rf, expected + rf, ar, se, loading, own_variance, dates_between(placed, market, windows.event)


def present_days(placed: pl.DataFrame, market: Market, model: Model, windows: Windows) -> Bools:
    """Which days of the event window have an abnormal return, (N, L)."""
    if _compiled(placed):
        return np.asarray(_kernels().present(*_panel(placed, market, model, windows, span=windows.event)))
    parts = [cut(placed[part], market, model, windows.event) for part in chunks(placed.height)]
    return np.concatenate([~(np.isnan(y) | np.isnan(x).any(axis=2)) for y, x, _ in parts])


def residuals_of(fit: Fit, placed: pl.DataFrame, market: Market, model: Model, windows: Windows) -> Floats:
    """Abnormal returns of the estimation window, (N, M), NaN on days that are not estimated from."""
    design = model.design
    if design.residuals is models.residuals and _compiled(placed) and (sign_of(placed) > 0).all():
        return np.asarray(_kernels().residuals(*_panel(placed, market, model, windows), fit.alpha, fit.slopes))
    y, x = estimation_cut(placed, market, model, windows, instruments=True)
    return design.residuals(fit, y, x)


def group_sums(
    groups: Sequence[Ints],
    placed: pl.DataFrame,
    market: Market,
    model: Model,
    windows: Windows,
    *,
    span: tuple[int, int] | None = None,
) -> tuple[Floats, Ints]:
    """Sums over groups of events of return and regressors, and how many are present.

    Parameters
    ----------
    groups : sequence of (K,) arrays
        Rows of `placed`.
    span : (int, int), optional
        Sessions to sum; by default those that are estimated from, instruments too, on days that have them all.

    Returns
    -------
    total, count : (G, p + 1, D) arrays
    """
    rows, ends = np.concatenate(groups), np.cumsum([len(group) for group in groups])
    part = placed[rows]
    if _compiled(placed):
        *columns, _, excluded = _panel(part, market, model, windows, span=span)
        total, count = _kernels().group_sums(*columns, excluded, sign_of(part), ends, span is None)
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


def _fit_compiled(placed: pl.DataFrame, market: Market, model: Model, windows: Windows) -> Fit:
    kernels, panel, design = _kernels(), _panel(placed, market, model, windows), model.design
    found = models.Sums(*kernels.sums(*panel, design.centred))
    bar = np.column_stack([found.y_bar, found.x_bar])
    *columns, _, excluded = panel
    return models.fit_of(
        found, lambda slopes, rows: np.asarray(kernels.squares(*columns, rows, excluded, bar, slopes)), design
    )


def _compiled(placed: pl.DataFrame) -> bool:
    """Whether the kernels are worth their loading; their numbers are the same."""
    return placed.height >= (SOME if KERNELS in sys.modules else MANY)


def _kernels() -> Any:
    from marketimpact.models import kernels  # noqa: PLC0415  # numba is slow to load, and small studies do not need it

    return kernels


def _panel(
    placed: pl.DataFrame, market: Market, model: Model, windows: Windows, *, span: tuple[int, int] | None = None
) -> tuple[Any, ...]:
    """What the kernels read: columns of the market, and where each event's windows lie in them.

    Without a span the days that are estimated from, with instruments and without what is excluded.
    """
    design = model.design
    used = design.regressors if span else (*design.regressors, *design.instruments)
    columns = tuple(_readonly(market.column(name)) for name in (design.response, *(term.column for term in used)))
    place = np.column_stack([placed[name].to_numpy() for name in ("first_row", "n_sessions", "day0")]).astype(np.int64)
    return (
        columns,
        np.array([0, *(term.shift for term in used)], dtype=np.int64),
        _readonly(market.column("rf") if design.excess else np.empty(0)),
        np.array([design.excess, *(design.excess and term.column == "market" for term in used)], dtype=np.bool_),
        np.array([span] if span else spans(model, windows), dtype=np.int64),
        place,
        _order(place),
        np.empty(0, dtype=np.bool_) if span or windows.excluded is None else windows.excluded,
    )


def _order(place: Ints) -> Ints:
    """Rows in the order of the market's; of few events there are few of one security, which lie side by side anyway."""
    if len(place) <= CHUNK:
        return np.arange(len(place))
    return np.argsort(place[:, 0] + place[:, 2], kind="stable")


def _readonly(column: Floats) -> Floats:
    """The same numbers, of one kind for the compiler whether polars or numpy owns them."""
    seen = column.view()
    seen.flags.writeable = False
    return seen
