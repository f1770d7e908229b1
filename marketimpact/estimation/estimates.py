"""What one run computes, and sums of abnormal returns with their exact variance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Bools, Floats, Ints, as_dates
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.estimation import market_subset as slices
from marketimpact.estimation.design_matrix import cut, dates_between, estimation_cut
from marketimpact.estimation.fit import EventWindow, abnormal_returns, chunks, residuals_of, window_sums
from marketimpact.estimation.positions import EventPositions
from marketimpact.estimation.windows import EstimationSettings, estimation_spans
from marketimpact.market.market import Market
from marketimpact.models import Fit, Model, dot, sum_days

__all__ = ["CarSums", "Estimates", "autocorrelation", "by_session", "cumulate", "has_car", "panel", "summed"]

#: Event windows that are read at a time ...
CHUNK = 8192
#: ... unless all of them hold fewer numbers than these.
KEPT = 2**20
#: Events whose estimation windows are looked up at once in a dataset, at most.
PIECE_EVENTS = 5_000
#: Autocorrelation beyond this leaves no variance to speak of.
MAX_RHO = 0.95


@dataclass(frozen=True)
class Estimates:
    """Everything one run computes: arrays over N events, M estimation days, L event days, p regressors.

    Attributes
    ----------
    events : polars.DataFrame
        The N usable events, sorted by `event_id`; row i belongs to row i of every array.
    fit : Fit
        The regressions.
    present : (N, L) array of bool
        Days of the event window that have an abnormal return.
    location : Places
        Where each event's day 0 sits in the market's panel.
    market, model : Market, Model
        Where days are looked up when they are asked for: all of them together are far larger than everything else.
    kept : EventDays or None
        The days of the event window, where a worker sent them.
    """

    windows: EstimationSettings
    events: pl.DataFrame
    fit: Fit
    present: Bools
    location: EventPositions
    market: Market = field(repr=False)
    model: Model = field(repr=False)
    kept: EventWindow | None = field(default=None, repr=False)
    _summed: dict[tuple[int, int], CarSums] = field(default_factory=dict, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """What it is made of, without what was looked up since: readers of residuals cannot be pickled."""
        return {part.name: self.__dict__[part.name] for part in fields(self)}

    @property
    def taus(self) -> Ints:
        """Sessions of the event window, (L,)."""
        first, last = self.windows.event
        return np.arange(first, last + 1)

    @cached_property
    def days(self) -> EventWindow:
        """The event window of all events."""
        return self.days_of(slice(0, self.events.height))

    @property
    def ret(self) -> Floats:
        """Returns of the event window, (N, L), fractions per session; NaN where missing, as in the next three."""
        return self.days.ret

    @property
    def expected(self) -> Floats:
        """Expected returns, (N, L)."""
        return self.days.expected

    @property
    def ar(self) -> Floats:
        """Abnormal returns, (N, L)."""
        return self.days.ar

    @property
    def se(self) -> Floats:
        """Forecast standard errors of the abnormal returns, (N, L)."""
        return self.days.se

    @property
    def dates(self) -> Ints:
        """Dates of the event window, (N, L): days since 1970-01-01, `NO_DAY` outside the calendar."""
        return self.days.dates

    @property
    def _held(self) -> EventWindow | None:
        """`days` where they need not be looked up."""
        return self.kept or self.__dict__.get("days")

    def days_of(self, rows: Ints | slice) -> EventWindow:
        """The event window of some events."""
        if self._held is not None:
            return self._held.take(rows)
        return abnormal_returns(self.fit.take(rows), self.location.take(rows), self.market, self.model, self.windows)

    def day_chunks(self) -> Iterator[tuple[slice, EventWindow]]:
        """Which events, and their event window, until all have been read; few are kept when they are read."""
        n, length = self.present.shape
        if n * length <= KEPT:
            yield slice(0, n), self.days
            return
        for rows in chunks(n, CHUNK):
            yield rows, self.days_of(rows)

    def dates_of(self, rows: Ints | slice) -> Ints:
        """`dates` of some events."""
        if self._held is not None:
            return self._held.dates[rows]
        return dates_between(self.location.take(rows), self.market, self.windows.event)

    def day_rows(self, name: str) -> LazyMatrix:
        """One of the arrays of the event window, (N, L), event by event."""
        n, length = self.present.shape
        return LazyMatrix(n, length, lambda rows: getattr(self.days_of(rows), name))

    @property
    def ar_rows(self) -> LazyMatrix:
        """`ar`, event by event."""

        def read(rows: Ints | slice) -> Floats:
            fit, places = self.fit.take(rows), self.location.take(rows)
            return residuals_of(fit, places, self.market, self.model, self.windows, span=self.windows.event)

        n, length = self.present.shape
        return self.day_rows("ar") if self._held is not None else LazyMatrix(n, length, read)

    def summed(self, columns: slice) -> CarSums:
        """Sums over a window of every event; those of the window asked for last are kept."""
        window = columns.start, columns.stop
        if window not in self._summed:
            sums = self._sums(columns)
            self._summed.clear()
            self._summed[window] = sums
        return self._summed[window]

    def _sums(self, columns: slice) -> CarSums:
        if self._held is None and self.market.dataset is None:
            zero = self.windows.event[0]
            window = zero + columns.start, zero + columns.stop - 1
            found = window_sums(self.fit, self.location, self.market, self.model, self.windows, window)
            if found is not None:
                return CarSums(*found)
        parts = [summed(days.between(columns), self.fit.take(rows)) for rows, days in self.day_chunks()]
        return CarSums(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    @cached_property
    def residual_rows(self) -> LazyMatrix:
        """Abnormal returns of the estimation window, (N, M), NaN on days that are not estimated from."""

        def ask(fit: Fit, placed: EventPositions, market: Market, windows: EstimationSettings) -> Floats:
            return residuals_of(fit, placed, market, self.model, windows)

        return LazyMatrix(self.events.height, self._width, lambda rows: self._looked_up(rows, ask))

    @cached_property
    def date_rows(self) -> LazyMatrix:
        """Dates of the estimation window's sessions, (N, M): days since 1970-01-01, `NO_DAY` outside the calendar."""

        def ask(_: Fit, placed: EventPositions, market: Market, windows: EstimationSettings) -> Ints:
            parts = [dates_between(placed, market, span) for span in estimation_spans(self.model, windows)]
            return np.concatenate(parts, axis=1)

        return LazyMatrix(self.events.height, self._width, lambda rows: self._looked_up(rows, ask))

    @property
    def residuals(self) -> Floats:
        """`residual_rows` at once."""
        return self.residual_rows.to_array()

    @property
    def estimation_dates(self) -> Ints:
        """`date_rows` at once."""
        return self.date_rows.to_array()

    @property
    def _width(self) -> int:
        return sum(last - first + 1 for first, last in estimation_spans(self.model, self.windows))

    def _looked_up(
        self, rows: Ints | slice, ask: Callable[[Fit, EventPositions, Market, EstimationSettings], NDArray[Any]]
    ) -> NDArray[Any]:
        """What `ask` finds for some events, (K, M); of a dataset few securities' returns are in memory at a time."""
        fit, placed = self.fit.take(rows), self.location.take(rows)
        if self.market.dataset is None:
            return ask(fit, placed, self.market, self.windows)
        row = slices.bytes_per_row(slices.columns_of(self.market, self.model))
        found = np.empty((0, 0))
        for some in slices.chunks_by_security(
            placed.first_row, placed.n_sessions, row, slices.PIECE_BYTES, PIECE_EVENTS
        ):
            part, moved, windows = slices.subset_for(placed.take(some), self.market, self.model, self.windows)
            answer = ask(fit.take(some), moved, part.market(), windows)
            if not found.size:
                found = np.empty((len(placed), *answer.shape[1:]), answer.dtype)
            found[some] = answer
        return found

    @property
    def sign(self) -> Floats:
        """+1, or -1 for an event whose returns are counted the other way round, (N,)."""
        return self.location.sign

    def turned(self, sign: Floats) -> Estimates:
        """The same with the returns of some events counted the other way round, as if sold short."""
        column, days = sign[:, None], self.days
        return replace(
            self,
            fit=replace(
                self.fit,
                alpha=self.fit.alpha * sign,
                slopes=self.fit.slopes * column,
            ),
            kept=replace(days, ret=days.ret * column, expected=days.expected * column, ar=days.ar * column),
            location=replace(self.location, sign=self.sign * sign),
        )

    def take(self, rows: NDArray[np.int64]) -> Estimates:
        """The same for some of the events."""
        return replace(
            self,
            events=self.events[rows],
            location=self.location.take(rows),
            fit=self.fit.take(rows),
            present=self.present[rows],
            kept=None if self._held is None else self._held.take(rows),
        )


def panel(
    estimates: Estimates, market: Market, model: Model, window: tuple[int, int]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Returns and regressors of the estimation window and of a window, as the model takes them."""
    y, x = estimation_cut(estimates.location, market, model, estimates.windows)
    y_event, x_event, _ = cut(estimates.location, market, model, window)
    return y, x, y_event, x_event


def by_session(events: pl.DataFrame, dates: Ints) -> pl.DataFrame:
    """``event_id, symbol, date``: a row for each event and session, event by event; (N, D) days since 1970-01-01 in."""
    owner = np.repeat(np.arange(len(dates)), dates.shape[1])
    return events.select(pl.col("event_id", "symbol").gather(owner)).with_columns(as_dates(dates))


def has_car(n_days: Ints, length: Ints | int, windows: EstimationSettings) -> Bools:
    """Which events have a CAR: those with a return in the window, or with all of them where that is asked."""
    return np.asarray(n_days == length if windows.strict else n_days > 0)


def autocorrelation(residuals: Floats) -> Floats:
    """First-order autocorrelation of each event's residuals over neighbouring days, (N, M) in, (N,) out."""
    e = np.where(np.isnan(residuals), 0.0, residuals)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = (e[:, 1:] * e[:, :-1]).sum(axis=1) / (e**2).sum(axis=1)
    return np.asarray(np.clip(np.nan_to_num(rho), -MAX_RHO, MAX_RHO))


class CarSums(NamedTuple):
    """Sums over the days of a window that have an abnormal return, N events.

    Attributes
    ----------
    car, variance : (N,) arrays
        See `cumulate`.
    grown, expected : (N,) arrays
        One unit after the window, invested at the returns and at the expected returns.
    """

    car: Floats
    variance: Floats
    grown: Floats
    expected: Floats


def summed(days: EventWindow, fitted: Fit) -> CarSums:
    """Sums over all of some days."""
    present = ~np.isnan(days.ar)
    return CarSums(
        *cumulate(days.ar, days.loading, days.own_variance, fitted),
        np.where(present, 1.0 + days.ret, 1.0).prod(axis=1),
        np.where(present, 1.0 + days.expected, 1.0).prod(axis=1),
    )


def cumulate(ar: Floats, loading: Floats, own_variance: Floats, fitted: Fit) -> tuple[Floats, Floats]:
    """CAR and its exact variance over the days that have an abnormal return.

    ``Var(CAR) = sigma^2 (sum of own variances + |sum of loadings|^2)``; (N, L), (N, L, p+1) and
    (N, L) in, (N,) out. An event without any such day has CAR and variance NaN. With residuals that
    are AR(1) the own part is ``sum_st rho^|s-t| sqrt(v_s v_t)``.
    """
    present = ~np.isnan(ar)
    n_days = present.sum(axis=1)
    total = np.where(n_days > 0, sum_days(np.where(present, ar, 0.0)), np.nan)
    load, own = sum_days(loading), sum_days(own_variance)
    if fitted.rho.any():
        root = np.sqrt(own_variance)
        for lag in range(1, root.shape[1]):
            own = own + 2.0 * fitted.rho**lag * (root[:, lag:] * root[:, :-lag]).sum(axis=1)
    variance = fitted.sigma**2 * (own + dot(load, load))
    return total, np.where(n_days > 0, variance, np.nan)
