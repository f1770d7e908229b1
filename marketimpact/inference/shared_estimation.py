"""Variance of a mean CAR when dates share estimation days, and so errors of estimation."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.chunks import batches
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.core.lazy_matrix import LazyMatrix

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
    def n_days(self) -> Ints: ...
    @property
    def n_obs(self) -> Ints: ...
    @property
    def window_dates(self) -> LazyMatrix: ...
    @property
    def residuals(self) -> LazyMatrix: ...
    @property
    def residual_dates(self) -> LazyMatrix: ...


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
    weight, used = relative * sample.sigma / len(day), sample.n_days / sample.n_obs
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


def _variances(sample: EstimatedEvents, weight: Floats, used: Floats, r: float) -> tuple[float, float]:
    """Compute the variance of the mean CAR with errors of estimation, and that of the windows' shocks alone.

    Shocks have variance 1 and the correlation `r` between two securities on one date. Each event loads with `weight`
    on those of its window and with ``-weight used`` on those of its estimation days, (N,) both.
    """
    first, last = _span(sample)
    common, own = np.zeros((2, last - first + 1)), np.zeros(2)
    for rows in batches(rows_by_code(factorize(sample.symbol)), limits.LAZY_CHUNK_ROWS):
        order = np.concatenate(rows)
        window, dates = sample.window_dates.rows(order), sample.residual_dates.rows(order)
        estimated = ~np.isnan(sample.residuals.rows(order)) & (dates != NO_DAY)
        ends = np.cumsum([0, *map(len, rows)])
        for start, end, events in zip(ends[:-1].tolist(), ends[1:].tolist(), rows, strict=True):
            part = slice(start, end)
            on_windows = _loads(window[part], window[part] != NO_DAY, weight[events], first, common.shape[1])
            errors = _loads(dates[part], estimated[part], (weight * used)[events], first, common.shape[1])
            load = np.stack([on_windows - errors, on_windows])
            own += (load**2).sum(axis=1)
            common += load
    everything, on_windows_alone = (1.0 - r) * own + r * (common**2).sum(axis=1)
    return float(everything), float(on_windows_alone)


def _span(sample: EstimatedEvents) -> tuple[int, int]:
    """Find the first and the last date of all windows."""
    ends = []
    for dates in (sample.window_dates, sample.residual_dates):
        for present in dates.map_chunks(lambda _, part: part[part != NO_DAY]):
            ends += [int(present.min()), int(present.max())] if len(present) else []
    return min(ends), max(ends)


def _loads(dates: Ints, counts: Bools, loading: Floats, first: int, width: int) -> Floats:
    """Sum the loadings of events, (n,), on each of `width` days from `first` on; `counts` marks their days, (n, D)."""
    day = dates[counts] - first
    sums: Floats = np.bincount(day, weights=np.repeat(loading, counts.sum(axis=1)), minlength=width).astype(np.float64)
    return sums
