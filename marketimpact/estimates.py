"""What one run computes, and sums of abnormal returns with their exact variance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact import slices
from marketimpact.fitting import DAYS, residuals_of
from marketimpact.inference import Rowwise
from marketimpact.market import Market
from marketimpact.models import Fit, Model
from marketimpact.windows import Floats, Ints, Windows, cut, dates_between, estimation_cut, sign_of, spans

__all__ = ["Estimates", "autocorrelation", "cumulate", "held_events", "panel"]

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
    ret, expected, ar, se : (N, L) arrays
        Return, expectation, abnormal return (fraction per session) and the abnormal return's
        forecast standard error; NaN on days without a return.
    loading : (N, L, p + 1) array
        z in ``Cov(AR_s, AR_t) = sigma^2 (v_t 1{s=t} + z_s'z_t)``; 0 on days without a return.
    own_variance : (N, L) array
        v, the variance of each day's own shock in units of ``sigma^2``: 1 unless the model says
        otherwise; 0 on days without a return.
    dates : (N, L) array of int
        Days since 1970-01-01; -1 outside the calendar.
    location : polars.DataFrame
        Where each event's day 0 sits in the market's panel.
    market, model : Market, Model
        Where the estimation windows are looked up when they are asked for: all of them together are far larger
        than everything else.
    """

    windows: Windows
    events: pl.DataFrame
    fit: Fit
    ret: Floats
    expected: Floats
    ar: Floats
    se: Floats
    loading: Floats
    own_variance: Floats
    dates: Ints
    location: pl.DataFrame
    market: Market = field(repr=False)
    model: Model = field(repr=False)

    @property
    def taus(self) -> Ints:
        """Sessions of the event window, (L,)."""
        first, last = self.windows.event
        return np.arange(first, last + 1)

    @cached_property
    def residual_rows(self) -> Rowwise:
        """Abnormal returns of the estimation window, (N, M), NaN on days that are not estimated from."""

        def ask(fit: Fit, placed: pl.DataFrame, market: Market, windows: Windows) -> Floats:
            return residuals_of(fit, placed, market, self.model, windows)

        return Rowwise(self.events.height, self._width, lambda rows: self._looked_up(rows, ask))

    @cached_property
    def date_rows(self) -> Rowwise:
        """Dates of the estimation window's sessions, (N, M): days since 1970-01-01, -1 outside the calendar."""

        def ask(_: Fit, placed: pl.DataFrame, market: Market, windows: Windows) -> Ints:
            parts = [dates_between(placed, market, span) for span in spans(self.model, windows)]
            return np.concatenate(parts, axis=1)

        return Rowwise(self.events.height, self._width, lambda rows: self._looked_up(rows, ask))

    @property
    def residuals(self) -> Floats:
        """`residual_rows` at once."""
        return self.residual_rows.whole

    @property
    def estimation_dates(self) -> Ints:
        """`date_rows` at once."""
        return self.date_rows.whole

    @property
    def _width(self) -> int:
        return sum(last - first + 1 for first, last in spans(self.model, self.windows))

    def _looked_up(
        self, rows: Ints | slice, ask: Callable[[Fit, pl.DataFrame, Market, Windows], NDArray[Any]]
    ) -> NDArray[Any]:
        """What `ask` finds for some events, (K, M); of a dataset few securities' returns are in memory at a time."""
        fit, placed = self.fit.take(rows), self.location[rows]
        if self.market.dataset is None:
            return ask(fit, placed, self.market, self.windows)
        first_row, n_sessions = placed["first_row"].to_numpy(), placed["n_sessions"].to_numpy()
        row = slices.bytes_per_row(slices.columns_of(self.market, self.model))
        found = np.empty((0, 0))
        for some in slices.cuts(first_row, n_sessions, row, slices.PIECE_BYTES, PIECE_EVENTS):
            part, moved, windows = slices.piece(placed[some], self.market, self.model, self.windows)
            answer = ask(fit.take(some), moved, part.market(), windows)
            if not found.size:
                found = np.empty((len(first_row), *answer.shape[1:]), answer.dtype)
            found[some] = answer
        return found

    @property
    def sign(self) -> Floats:
        """+1, or -1 for an event whose returns are counted the other way round, (N,)."""
        return sign_of(self.location)

    def turned(self, sign: Floats) -> Estimates:
        """The same with the returns of some events counted the other way round, as if sold short."""
        column = sign[:, None]
        return replace(
            self,
            fit=replace(
                self.fit,
                alpha=self.fit.alpha * sign,
                slopes=self.fit.slopes * column,
            ),
            ret=self.ret * column,
            expected=self.expected * column,
            ar=self.ar * column,
            location=self.location.with_columns(pl.Series("sign", self.sign * sign)),
        )

    def take(self, rows: NDArray[np.int64]) -> Estimates:
        """The same for some of the events."""
        return replace(
            self,
            events=self.events[rows],
            location=self.location[rows],
            fit=self.fit.take(rows),
            **{name: getattr(self, name)[rows] for name in DAYS},
        )


def panel(
    estimates: Estimates, market: Market, model: Model, window: tuple[int, int]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Returns and regressors of the estimation window and of a window, as the model takes them."""
    y, x = estimation_cut(estimates.location, market, model, estimates.windows)
    y_event, x_event, _ = cut(estimates.location, market, model, window)
    return y, x, y_event, x_event


def held_events(ar: Floats, length: Ints | int, windows: Windows) -> NDArray[np.bool_]:
    """Which events have a CAR: those with a return in the window, or with all of them where that is asked."""
    n_days = (~np.isnan(ar)).sum(axis=1)
    return np.asarray(n_days == length if windows.strict else n_days > 0)


def autocorrelation(residuals: Floats) -> Floats:
    """First-order autocorrelation of each event's residuals over neighbouring days, (N, M) in, (N,) out."""
    e = np.where(np.isnan(residuals), 0.0, residuals)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = (e[:, 1:] * e[:, :-1]).sum(axis=1) / (e**2).sum(axis=1)
    return np.asarray(np.clip(np.nan_to_num(rho), -MAX_RHO, MAX_RHO))


def cumulate(ar: Floats, loading: Floats, own_variance: Floats, fitted: Fit) -> tuple[Floats, Floats]:
    """CAR and its exact variance over the days that have an abnormal return.

    ``Var(CAR) = sigma^2 (sum of own variances + |sum of loadings|^2)``; (N, L), (N, L, p+1) and
    (N, L) in, (N,) out. An event without any such day has CAR and variance NaN. With residuals that
    are AR(1) the own part is ``sum_st rho^|s-t| sqrt(v_s v_t)``.
    """
    present = ~np.isnan(ar)
    n_days = present.sum(axis=1)
    total = np.where(n_days > 0, np.where(present, ar, 0.0).sum(axis=1), np.nan)
    load = np.ascontiguousarray(np.moveaxis(loading, 1, 2)).sum(axis=2)
    own = own_variance.sum(axis=1)
    if fitted.rho.any():
        root = np.sqrt(own_variance)
        for lag in range(1, root.shape[1]):
            own = own + 2.0 * fitted.rho**lag * (root[:, lag:] * root[:, :-lag]).sum(axis=1)
    variance = fitted.sigma**2 * (own + (load**2).sum(axis=1))
    return total, np.where(n_days > 0, variance, np.nan)
