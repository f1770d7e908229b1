"""Variance of a mean CAR when dates share estimation days, and so errors of estimation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from marketimpact.core import limits
from marketimpact.core.arrays import NO_DAY, Floats, Ints
from marketimpact.core.chunks import batches
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.core.threads import map_in_threads
from marketimpact.inference.compiled import kernels
from marketimpact.inference.estimation_days import EstimationDays

__all__ = ["estimation_inflation", "same_day_correlation"]


class EstimatedEvents(Protocol):
    """Estimation windows and windows of N events; see `Sample` for the shapes."""

    @property
    def symbol(self) -> Ints: ...
    @property
    def day0(self) -> Ints: ...
    @property
    def sign(self) -> Floats: ...
    @property
    def sigma(self) -> Floats: ...
    @property
    def shares(self) -> Floats | None: ...
    @property
    def n_days(self) -> Ints: ...
    @property
    def n_obs(self) -> Ints: ...
    @property
    def window_dates(self) -> LazyMatrix: ...
    @property
    def residuals(self) -> LazyMatrix: ...
    @property
    def residual_dates(self) -> LazyMatrix: ...
    @property
    def estimation_days(self) -> EstimationDays: ...


def estimation_inflation(sample: EstimatedEvents) -> float:
    """Compute the variance of the mean CAR relative to what it is if dates are taken to share no error of estimation.

    Notes
    -----
    The estimated constant of event i moves its CAR by ``-L_i / T_i`` times the residual of each of its T_i estimation
    days. Two events of one security have ``Cov = L^2 sigma^2 (c - 1) / T`` where the window of the earlier lies inside
    the estimation window of the later, ``L^2 sigma^2 c / T`` where it was excluded from it; c is the share of
    estimation days in common. Securities share errors as far as their residuals are correlated: here alike for all
    pairs (`same_day_correlation`). Errors of slopes are left out, since they add ``L / T`` where the constant adds
    ``L^2 / T``. One date gives 1.
    """
    day = factorize(sample.day0).codes
    if not day.any():
        return 1.0
    r = same_day_correlation(sample)
    security = factorize(sample.symbol)
    # the shocks of a security are signed as those of its first event
    relative = sample.sign * sample.sign[security.first_rows][security.codes]
    load, used = relative * sample.sigma, sample.n_days / sample.n_obs
    weight = load / len(day) if sample.shares is None else load * sample.shares
    everything, on_windows = _variances(sample, weight, used, r)
    own = (weight**2 * sample.n_days * used, weight * np.sqrt(sample.n_days * used))
    squares, roots = (np.bincount(day, weights=values) for values in own)
    apart = on_windows + float(((1.0 - r) * squares + r * roots**2).sum())
    return everything / apart if apart > 0 and everything > 0 else 1.0


def same_day_correlation(sample: EstimatedEvents) -> float:
    """Average the correlation of residuals of two securities on the same date, from one event of each security."""
    rows = factorize(sample.symbol).first_rows
    dates, z = sample.residual_dates.rows(rows), sample.residuals.rows(rows) / sample.sigma[rows, None]
    present = ~np.isnan(z) & (dates != NO_DAY)
    code, values = factorize(dates[present]).codes, z[present]
    n = np.bincount(code)
    products = float((np.bincount(code, weights=values) ** 2).sum() - (values**2).sum())
    pairs = float((n * (n - 1.0)).sum())
    return float(np.clip(products / pairs, 0.0, 1.0)) if pairs > 0 else 0.0


class Loadings(NamedTuple):
    """Days of n events, as positions in the calendar, and what the events load with on them.

    Attributes
    ----------
    window : (n, L) array
        Days of the window; negative for none.
    weight, error : (n,) arrays
        Loading on each day of the window, and on each estimation day.
    exchange_day, missing : (n,) and (n, B) arrays
        As in `EstimationDays`.
    estimation : (G, M) array
        Days of the estimation window of each exchange and day 0; negative for none.
    """

    window: Ints
    weight: Floats
    error: Floats
    exchange_day: Ints
    missing: NDArray[np.uint8]
    estimation: Ints


def _variances(sample: EstimatedEvents, weight: Floats, used: Floats, r: float) -> tuple[float, float]:
    """Compute the variance of the mean CAR with errors of estimation, and that of the windows' shocks alone.

    Shocks have variance 1 and the correlation `r` between two securities on one date. Each event loads with `weight`
    on those of its window and with ``-weight used`` on those of its estimation days, (N,) both.
    """
    first, last = _span(sample)
    sum_loads = kernels().sum_loads if len(weight) >= limits.COMPILED_FROM_ROWS else _sum_loads
    days, error = sample.estimation_days, weight * used

    def loads(securities: Sequence[Ints]) -> tuple[Floats, Floats]:
        rows = np.concatenate(securities)
        window = sample.window_dates.rows(rows) - first
        loadings = Loadings(
            window, weight[rows], error[rows], days.exchange_day[rows], days.missing[rows], days.dates - first
        )
        sums: tuple[Floats, Floats] = sum_loads(loadings, np.cumsum([0, *map(len, securities)]), last - first + 1)
        return sums

    own, common = np.zeros(2), np.zeros((2, last - first + 1))
    parts = batches(rows_by_code(factorize(sample.symbol)), limits.LAZY_CHUNK_ROWS)
    for squares, load in map_in_threads(loads, parts):
        own += squares
        common += load
    everything, on_windows = (1.0 - r) * own + r * (common**2).sum(axis=1)
    return float(everything), float(on_windows)


def _span(sample: EstimatedEvents) -> tuple[int, int]:
    """Find the first and the last date of all windows."""
    days, ends = sample.estimation_days, []
    of_events = days.dates[factorize(days.exchange_day).values]
    for part in (of_events, *sample.window_dates.map_chunks(lambda _, part: part)):
        present = part[part != NO_DAY]
        ends += [int(present.min()), int(present.max())] if len(present) else []
    return min(ends), max(ends)


def _sum_loads(loadings: Loadings, ends: Ints, width: int) -> tuple[Floats, Floats]:
    """Sum what the events of each security load with on each of `width` days.

    Parameters
    ----------
    loadings : Loadings
        Of events sorted by security.
    ends : (S + 1,) array
        Where the events of each security begin, and the last end.

    Returns
    -------
    squares : (2,) array
        Sum over securities of the squared loads: of windows and estimation days, and of windows alone.
    total : (2, width) array
        Sum over securities of the loads.
    """
    estimation = loadings.estimation[loadings.exchange_day]
    estimated = np.unpackbits(loadings.missing, axis=1, count=estimation.shape[1]) == 0
    squares, total = np.zeros(2), np.zeros((2, width))
    for start, end in pairwise(ends.tolist()):
        part = slice(start, end)
        on_windows = _loads(loadings.window[part], loadings.weight[part], width)
        days = np.where(estimated[part], estimation[part], -1)
        load = np.stack([on_windows - _loads(days, loadings.error[part], width), on_windows])
        squares += (load**2).sum(axis=1)
        total += load
    return squares, total


def _loads(days: Ints, loading: Floats, width: int) -> Floats:
    """Sum the loadings of events, (n,), on each of `width` days; `days`, (n, D), are negative for none."""
    counts = days >= 0
    weights = np.repeat(loading, counts.sum(axis=1))
    return np.bincount(days[counts], weights=weights, minlength=width).astype(np.float64)
