"""Estimates of a run, and sums of abnormal returns with their exact variance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import limits
from marketimpact.core.arrays import Bools, Floats, Ints, as_dates
from marketimpact.core.chunks import chunks
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.estimation.fit import EventWindow, abnormal_returns, residuals_of, window_sums
from marketimpact.estimation.market_subset import bytes_per_row, chunks_by_security, columns_of
from marketimpact.estimation.positions import EventPositions
from marketimpact.estimation.problem import EstimationProblem
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.market.market import Market
from marketimpact.models import Fit, Model, dot, sum_days

__all__ = ["CarSums", "Estimates", "by_session", "cumulate", "has_car", "sum_window"]


@dataclass(frozen=True)
class Estimates:
    """Estimates of one run: arrays over N events, M estimation days, L event days, p regressors.

    Attributes
    ----------
    events : polars.DataFrame
        The N usable events, sorted by `event_id`; row i belongs to row i of every array.
    problem : EstimationProblem
        Positions of the events, market, model and settings. Daily values are computed from its market when needed.
    fit : Fit
        The regressions.
    present : (N, L) array of bool
        Days of the event window that have an abnormal return.
    stored_event_window : EventWindow or None
        The days of the event window, where a worker computed them.
    """

    events: pl.DataFrame
    problem: EstimationProblem = field(repr=False)
    fit: Fit
    present: Bools
    stored_event_window: EventWindow | None = field(default=None, repr=False)
    _last_sums: dict[tuple[int, int], CarSums] = field(default_factory=dict, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without cached values: the functions in a `LazyMatrix` cannot be pickled."""
        return {part.name: self.__dict__[part.name] for part in fields(self)} | {"_last_sums": {}}

    @property
    def market(self) -> Market:
        """Market that the model was estimated on."""
        return self.problem.market

    @property
    def model(self) -> Model:
        """Model of the normal return."""
        return self.problem.model

    @property
    def settings(self) -> EstimationSettings:
        """Windows and treatment of missing days."""
        return self.problem.settings

    @property
    def positions(self) -> EventPositions:
        """Position of each event's day 0 in the market's return panel."""
        return self.problem.positions

    @property
    def sign(self) -> Floats:
        """+1, or -1 for an event whose returns are multiplied by -1, (N,)."""
        return self.positions.sign

    @property
    def taus(self) -> Ints:
        """Sessions of the event window, (L,)."""
        first, last = self.settings.event
        return np.arange(first, last + 1)

    def columns_of(self, window: tuple[int, int]) -> slice:
        """Return the columns of the event window that a window of sessions covers."""
        offset = self.settings.event[0]
        return slice(window[0] - offset, window[1] - offset + 1)

    def rows_with_car(self, columns: slice) -> Ints:
        """Find the events that have a CAR over some columns of the event window."""
        n_days = self.present[:, columns].sum(axis=1)
        return np.flatnonzero(has_car(n_days, columns.stop - columns.start, self.settings))

    def rows_where(self, predicate: pl.Expr) -> Ints:
        """Find the events that meet a condition on the events' columns."""
        # filtered, not selected: a condition that is one literal holds for every event
        return self.events.with_row_index("_row").filter(predicate)["_row"].to_numpy().astype(np.int64)

    @cached_property
    def event_window(self) -> EventWindow:
        """The event window of all events."""
        return self.event_window_of(slice(0, self.events.height))

    @property
    def ret(self) -> Floats:
        """Returns of the event window, (N, L), fractions per session; NaN where missing, as in the next three."""
        return self.event_window.ret

    @property
    def expected(self) -> Floats:
        """Expected returns, (N, L)."""
        return self.event_window.expected

    @property
    def ar(self) -> Floats:
        """Abnormal returns, (N, L)."""
        return self.event_window.ar

    @property
    def se(self) -> Floats:
        """Forecast standard errors of the abnormal returns, (N, L)."""
        return self.event_window.se

    @property
    def dates(self) -> Ints:
        """Dates of the event window, (N, L): days since 1970-01-01, `NO_DAY` outside the calendar."""
        return self.event_window.dates

    @property
    def _computed_event_window(self) -> EventWindow | None:
        """The event window of all events, if it is computed already."""
        return self.stored_event_window or self.__dict__.get("event_window")

    def event_window_of(self, rows: Ints | slice) -> EventWindow:
        """Return the event window of some events."""
        if self._computed_event_window is not None:
            return self._computed_event_window.take(rows)
        return abnormal_returns(self.problem.take(rows), self.fit.take(rows))

    def event_window_chunks(self) -> Iterator[tuple[slice, EventWindow]]:
        """Yield rows of events and their event window until all have been read; small ones are kept."""
        n, length = self.present.shape
        if n * length <= limits.EVENT_WINDOW_KEPT_NUMBERS:
            yield slice(0, n), self.event_window
            return
        for rows in chunks(n, limits.EVENT_WINDOW_CHUNK_EVENTS):
            yield rows, self.event_window_of(rows)

    def dates_of(self, rows: Ints | slice) -> Ints:
        """Return `dates` of some events."""
        if self._computed_event_window is not None:
            return self._computed_event_window.dates[rows]
        return self.problem.take(rows).dates(self.settings.event)

    @property
    def ar_rows(self) -> LazyMatrix:
        """`ar`, read event by event."""
        if self._computed_event_window is not None:
            return self._event_window_rows("ar")
        n, length = self.present.shape
        span = self.settings.event
        return LazyMatrix(n, length, lambda rows: residuals_of(self.problem.take(rows), self.fit.take(rows), span=span))

    @property
    def se_rows(self) -> LazyMatrix:
        """`se`, read event by event."""
        return self._event_window_rows("se")

    def _event_window_rows(self, name: str) -> LazyMatrix:
        n, length = self.present.shape
        return LazyMatrix(n, length, lambda rows: getattr(self.event_window_of(rows), name))

    def car_sums(self, columns: slice) -> CarSums:
        """Sum over some columns of the event window for every event; the last sums computed are kept."""
        window = columns.start, columns.stop
        if window not in self._last_sums:
            sums = self._car_sums(columns)
            self._last_sums.clear()
            self._last_sums[window] = sums
        return self._last_sums[window]

    def _car_sums(self, columns: slice) -> CarSums:
        if self._computed_event_window is None and not self.market.return_panel.on_disk:
            first = self.settings.event[0]
            sums = window_sums(self.problem, self.fit, (first + columns.start, first + columns.stop - 1))
            if sums is not None:
                return CarSums(*sums)
        parts = [sum_window(days.between(columns), self.fit.take(rows)) for rows, days in self.event_window_chunks()]
        return CarSums(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    @cached_property
    def residual_rows(self) -> LazyMatrix:
        """Abnormal returns of the estimation window, (N, M), NaN on days that are not estimated from."""
        return self._estimation_rows(residuals_of)

    @cached_property
    def date_rows(self) -> LazyMatrix:
        """Dates of the estimation window's sessions, (N, M): days since 1970-01-01, `NO_DAY` outside the calendar."""
        return self._estimation_rows(lambda problem, _: problem.dates())

    @property
    def residuals(self) -> Floats:
        """`residual_rows` as one array."""
        return self.residual_rows.to_array()

    @property
    def estimation_dates(self) -> Ints:
        """`date_rows` as one array."""
        return self.date_rows.to_array()

    def _estimation_rows(self, read: Callable[[EstimationProblem, Fit], NDArray[Any]]) -> LazyMatrix:
        """Read arrays of estimation days, (K, M), for some events; from disk, a few securities at a time."""

        def read_rows(rows: Ints | slice) -> NDArray[Any]:
            problem, fit = self.problem.take(rows), self.fit.take(rows)
            if not self.market.return_panel.on_disk:
                return read(problem, fit)
            positions, row_bytes = problem.positions, bytes_per_row(columns_of(self.market, self.model))
            whole = np.empty((0, 0))
            for some in chunks_by_security(
                positions.first_row,
                positions.n_sessions,
                row_bytes,
                limits.TASK_RETURNS_BYTES,
                limits.PARQUET_CHUNK_EVENTS,
            ):
                values = read(problem.subset(some).in_memory(), fit.take(some))
                if not whole.size:
                    whole = np.empty((len(problem), *values.shape[1:]), values.dtype)
                whole[some] = values
            return whole

        return LazyMatrix(self.events.height, self.problem.n_estimation_days, read_rows)

    def with_signs(self, sign: Floats) -> Estimates:
        """Multiply the returns of each event by +1 or -1, (N,), as if those with -1 were sold short."""
        column, days = sign[:, None], self.event_window
        positions = replace(self.positions, sign=self.sign * sign)
        return replace(
            self,
            problem=replace(self.problem, positions=positions),
            fit=replace(self.fit, alpha=self.fit.alpha * sign, slopes=self.fit.slopes * column),
            stored_event_window=replace(
                days, ret=days.ret * column, expected=days.expected * column, ar=days.ar * column
            ),
        )

    def take(self, rows: Ints) -> Estimates:
        """Return the estimates of some of the events."""
        window = self._computed_event_window
        return replace(
            self,
            events=self.events[rows],
            problem=self.problem.take(rows),
            fit=self.fit.take(rows),
            present=self.present[rows],
            stored_event_window=None if window is None else window.take(rows),
        )


def by_session(events: pl.DataFrame, dates: Ints) -> pl.DataFrame:
    """Build a frame ``event_id, symbol, date`` with a row for each event and session from dates, (N, D)."""
    event_row = np.repeat(np.arange(len(dates)), dates.shape[1])
    return events.select(pl.col("event_id", "symbol").gather(event_row)).with_columns(as_dates(dates))


def has_car(n_days: Ints, length: Ints | int, settings: EstimationSettings) -> Bools:
    """Mark events with a CAR: those with a return in the window, or with all returns where settings are strict."""
    return np.asarray(n_days == length if settings.strict else n_days > 0)


class CarSums(NamedTuple):
    """Sums for N events over the days of a window that have an abnormal return.

    Attributes
    ----------
    car, variance : (N,) arrays
        See `cumulate`.
    grown, expected : (N,) arrays
        Value after the window of one unit invested at the returns and at the expected returns.
    """

    car: Floats
    variance: Floats
    grown: Floats
    expected: Floats


def sum_window(days: EventWindow, fit: Fit) -> CarSums:
    """Sum over all days of an event window."""
    present = ~np.isnan(days.ar)
    return CarSums(
        *cumulate(days.ar, days.loading, days.own_variance, fit),
        np.where(present, 1.0 + days.ret, 1.0).prod(axis=1),
        np.where(present, 1.0 + days.expected, 1.0).prod(axis=1),
    )


def cumulate(ar: Floats, loading: Floats, own_variance: Floats, fit: Fit) -> tuple[Floats, Floats]:
    """Compute the CAR and its exact variance over the days that have an abnormal return.

    ``Var(CAR) = sigma^2 (sum of own variances + |sum of loadings|^2)``; (N, L), (N, L, p+1) and
    (N, L) in, (N,) out. An event without any such day has CAR and variance NaN. With residuals that
    are AR(1) the own part is ``sum_st rho^|s-t| sqrt(v_s v_t)``, and the variance of the estimated coefficients, of
    which the constant matters most, is ``(1 + rho) / (1 - rho)`` times as large.
    """
    present = ~np.isnan(ar)
    n_days = present.sum(axis=1)
    total = np.where(n_days > 0, sum_days(np.where(present, ar, 0.0)), np.nan)
    load, own = sum_days(loading), sum_days(own_variance)
    estimated = dot(load, load)
    if fit.rho.any():
        estimated = estimated * (1.0 + fit.rho) / (1.0 - fit.rho)
        root = np.sqrt(own_variance)
        for lag in range(1, root.shape[1]):
            own = own + 2.0 * fit.rho**lag * (root[:, lag:] * root[:, :-lag]).sum(axis=1)
    variance = fit.sigma**2 * (own + estimated)
    return total, np.where(n_days > 0, variance, np.nan)
