"""Least squares for many events at once, missing days left out, forecast errors kept exact.

Shapes: N events, M days of the estimation window, L days of the event window, p regressors.
Every sum runs along the days of one event, so an event's numbers do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Design", "Fit", "Term", "fit", "forecast", "terms"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Smallest eigenvalue of the regressors' correlation matrix below which they are called collinear.
COLLINEAR = 1e-10
#: Residual variance, relative to the mean square of the returns, that is rounding noise.
NO_VARIATION = 1e-24


@dataclass(frozen=True, slots=True)
class Term:
    """One regressor: a column of the market's panel, `shift` sessions later (negative: earlier).

    ``"market"`` is the security's own benchmark, any other name a factor.
    """

    column: str
    shift: int = 0

    @property
    def name(self) -> str:
        """``market``, ``market_lag1``, ``market_lead1``."""
        if not self.shift:
            return self.column
        return f"{self.column}_{'lead' if self.shift > 0 else 'lag'}{abs(self.shift)}"


def terms(*columns: str) -> tuple[Term, ...]:
    """Regressors on the same session."""
    return tuple(Term(column) for column in columns)


@dataclass(frozen=True, slots=True)
class Design:
    """What a model regresses on what, and how.

    Attributes
    ----------
    regressors : tuple of Term
        What enters the expectation.
    instruments : tuple of Term
        What the estimator needs besides.
    intercept : bool
        Whether a constant is estimated.
    excess : bool
        Whether the return, and the benchmark's where it is a regressor, is taken in excess of the
        column ``rf``.
    imposed : bool
        Whether every slope is set to one instead of being estimated; the variance is then that of
        the centred difference, on M - 1 degrees of freedom, and there is no estimation error.
    after : tuple of (int, int) or None
        A second stretch of estimation sessions, after the event.
    response : str
        Column of the market that is explained.
    estimator : callable
        From returns (N, M), regressors and instruments (N, M, p + i) and the design to a `Fit`.
    state : tuple of str
        Names of the columns of `Fit.state`.
    own_variance : callable or None
        From the fit, the event window's regressors (N, L, p) and the number of sessions (L,) since
        the estimation window ended to the variance of each day's own shock in units of ``sigma^2``,
        (N, L); None: it is the same every day.
    """

    regressors: tuple[Term, ...]
    intercept: bool = True
    excess: bool = False
    imposed: bool = False
    instruments: tuple[Term, ...] = ()
    after: tuple[int, int] | None = None
    response: str = "ret"
    estimator: Callable[[Floats, Floats, Design], Fit] = field(default_factory=lambda: fit)
    state: tuple[str, ...] = ()
    own_variance: Callable[[Fit, Floats, NDArray[np.int64]], Floats] | None = None

    @property
    def n_parameters(self) -> int:
        """Degrees of freedom that the estimation window loses."""
        return 1 if self.imposed else len(self.regressors) + self.intercept

    @property
    def columns(self) -> tuple[str, ...]:
        """Panel columns the model reads."""
        used = (*(term.column for term in (*self.regressors, *self.instruments)), *(("rf",) if self.excess else ()))
        return tuple(dict.fromkeys(used))


@dataclass(frozen=True, slots=True)
class Fit:
    """Estimates of N events.

    Attributes
    ----------
    alpha : (N,) array, fraction per session; 0 where no constant is estimated
    slopes : (N, p) array
    sigma : (N,) array, residual standard deviation on `df` degrees of freedom
    n_obs, df : (N,) arrays, usable sessions and degrees of freedom
    r2 : (N,) array, about the mean where there is a constant, else about zero
    residuals : (N, M) array, NaN on days without a complete observation
    centre : (N, p) array, what the regressors are measured from in a forecast
    whitener : (N, p, p) array W; the forecast leverage of x is ``base + |W (x - centre)|^2``
    base : (N,) array, leverage of the constant
    singular : (N,) array, True where the regressors do not identify the coefficients
    state : (N, s) array, what a model with changing variance starts its forecast from; s = 0 otherwise
    rho : (N,) array, autocorrelation of neighbouring abnormal returns; 0 unless the study asks for it
    """

    alpha: Floats
    slopes: Floats
    sigma: Floats
    n_obs: NDArray[np.int64]
    df: NDArray[np.int64]
    r2: Floats
    residuals: Floats
    centre: Floats
    whitener: Floats
    base: Floats
    singular: Bools
    state: Floats
    rho: Floats


def fit(y: Floats, x: Floats, design: Design) -> Fit:
    """Estimate one regression per event on its complete days.

    Parameters
    ----------
    y : (N, M) array
        Returns (in excess of the risk-free rate where the design says so), NaN where missing.
    x : (N, M, p) array
        Regressors, NaN where missing.
    design : Design
        Constant, imposed slopes.

    Returns
    -------
    Fit
    """
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2))
    n_obs = present.sum(axis=1)
    count = np.maximum(n_obs, 1).astype(np.float64)
    df = np.maximum(n_obs - design.n_parameters, 1)
    y0, x0 = np.where(present, y, 0.0), np.where(present[:, :, None], x, 0.0)
    centred = design.intercept or design.imposed
    y_bar = y0.sum(axis=1) / count if centred else np.zeros(len(y))
    x_bar = _sum_days(x0) / count[:, None] if centred else np.zeros((len(y), x.shape[2]))
    dy = np.where(present, y - y_bar[:, None], 0.0)
    dx = np.where(present[:, :, None], x - x_bar[:, None, :], 0.0)
    if design.imposed:
        slopes, whitener = np.ones_like(x_bar), np.zeros((len(y), x.shape[2], x.shape[2]))
        singular = np.zeros(len(y), dtype=bool)
    else:
        slopes, whitener, singular = _solve(dy, dx, _sum_days(x0**2))
    alpha = y_bar - _dot(x_bar, slopes) if design.intercept else np.zeros(len(y))
    deviations = dy - _dot(dx, slopes[:, None, :])
    squares, total = (deviations**2).sum(axis=1), (dy**2).sum(axis=1)
    scale = (y0**2).sum(axis=1)
    sigma = np.where(squares > NO_VARIATION * scale, np.sqrt(squares / df), 0.0)
    residuals = np.where(present, y - alpha[:, None] - _dot(x0, slopes[:, None, :]), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = 1.0 - squares / total
    base = 1.0 / count if design.intercept else np.zeros(len(y))
    state, rho = np.empty((len(y), 0)), np.zeros(len(y))
    return Fit(alpha, slopes, sigma, n_obs, df, r2, residuals, x_bar, whitener, base, singular, state, rho)


def forecast(estimates: Fit, x: Floats) -> tuple[Floats, Floats]:
    """Expected return and forecast-error loading of every event day.

    Parameters
    ----------
    estimates : Fit
        Of N events.
    x : (N, L, p) array
        Regressors of the event window, NaN where missing.

    Returns
    -------
    expected : (N, L) array
        Fraction per session (in excess of the risk-free rate for excess-return models).
    loading : (N, L, p + 1) array
        z with ``Cov(AR_s, AR_t) = sigma^2 (1{s=t} + z_s'z_t)``: Campbell, Lo and MacKinlay (1997,
        ch. 4.4).
    """
    expected = estimates.alpha[:, None] + _dot(x, estimates.slopes[:, None, :])
    distance = x - estimates.centre[:, None, :]
    whitened = (
        np.stack([_dot(distance, estimates.whitener[:, None, row, :]) for row in range(x.shape[2])], axis=2)
        if x.shape[2]
        else distance
    )
    constant = np.broadcast_to(np.sqrt(estimates.base)[:, None, None], (*x.shape[:2], 1))
    return expected, np.concatenate([constant, whitened], axis=2)


def _sum_days(x: Floats) -> Floats:
    """Sum (N, M, p) over days with the days contiguous, so that the order of adding is fixed."""
    return np.asarray(np.ascontiguousarray(np.moveaxis(x, 1, 2)).sum(axis=2))


def _dot(a: Floats, b: Floats) -> Floats:
    """Sum of products over the last axis, added from the left whatever the shape."""
    total = np.zeros(np.broadcast_shapes(a.shape, b.shape)[:-1])
    for column in range(a.shape[-1]):
        total = total + a[..., column] * b[..., column]
    return total


def _solve(dy: Floats, dx: Floats, squares: Floats) -> tuple[Floats, Floats, Bools]:
    """Slopes and whitener from cross products scaled to correlations.

    `squares` are the regressors' sums of squares about zero: what is constant varies about its mean
    by rounding noise only.
    """
    n, _, p = dx.shape
    if p == 0:
        return np.zeros((n, 0)), np.zeros((n, 0, 0)), np.zeros(n, dtype=bool)
    gram = np.empty((n, p, p))
    moment = np.empty((n, p))
    for i in range(p):
        moment[:, i] = (dx[:, :, i] * dy).sum(axis=1)
        for j in range(i + 1):
            gram[:, i, j] = gram[:, j, i] = (dx[:, :, i] * dx[:, :, j]).sum(axis=1)
    scale = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    constant = (scale**2 <= NO_VARIATION * squares).any(axis=1)
    scale = np.where(scale > 0, scale, 1.0)
    correlation = gram / (scale[:, :, None] * scale[:, None, :])
    singular = constant | (np.linalg.eigvalsh(correlation)[:, 0] < COLLINEAR)
    correlation[singular] = np.eye(p)
    whitener = np.linalg.inv(np.linalg.cholesky(correlation)) / scale[:, None, :]
    z = np.stack([_dot(whitener[:, row, :], moment) for row in range(p)], axis=1)
    slopes = np.stack([_dot(whitener[:, :, column], z) for column in range(p)], axis=1)
    return slopes, whitener, singular
