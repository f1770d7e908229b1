"""Estimate least-squares regressions of many events at once, with exact forecast errors.

Shapes: N events, M days of the estimation window, L days of the event window, p regressors. Days with a missing
value are left out. Every sum runs along the days of one event, so an event's numbers do not depend on the other
events. Sums take days in the order of `sum_days`, as the compiled kernels do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Bools, Floats

__all__ = [
    "CrossProducts",
    "Design",
    "Fit",
    "Term",
    "concat_fits",
    "dot",
    "fit",
    "fit_from_products",
    "forecast",
    "has_own_variation",
    "is_constant",
    "residuals",
    "sum_days",
    "terms",
]


#: Smallest eigenvalue of the regressors' correlation matrix below which they count as collinear.
COLLINEAR = 1e-10
#: Residual share of the sum of squares below which residual squares are summed directly, not by subtraction.
CLOSE_FIT = 1e-3
#: Variance, relative to the mean square of the values, that counts as rounding noise.
NO_VARIATION = 1e-24
#: Standard deviation of a regressor that counts as rounding noise: 1e-7 in returns of prices in single precision.
ROUNDING = 5e-7


@dataclass(frozen=True, slots=True)
class Term:
    """One regressor: a column of the market's panel, `shift` sessions later (negative: earlier).

    ``"market"`` is the security's own benchmark, any other name a factor.
    """

    column: str
    shift: int = 0

    @property
    def name(self) -> str:
        """Return ``market``, ``market_lag1`` or ``market_lead1``, with the column's name."""
        if not self.shift:
            return self.column
        return f"{self.column}_{'lead' if self.shift > 0 else 'lag'}{abs(self.shift)}"


def terms(*columns: str) -> tuple[Term, ...]:
    """Return regressors without shift, one per column."""
    return tuple(Term(column) for column in columns)


@dataclass(frozen=True, slots=True)
class Design:
    """Specification of a model's regression: response, regressors and estimator.

    Attributes
    ----------
    regressors : tuple of Term
        Terms of the expected return.
    instruments : tuple of Term
        Further terms that the estimator reads.
    intercept : bool
        Whether a constant is estimated.
    excess : bool
        Whether the return, and the benchmark where it is a regressor, is in excess of the column ``rf``.
    imposed : bool
        Whether every slope is set to one instead of being estimated; the variance is then that of
        the centred difference, on M - 1 degrees of freedom, and there is no estimation error.
    after : tuple of (int, int) or None
        Second range of estimation sessions, after the event.
    response : str
        Column of the market that is the dependent variable.
    estimator : callable
        From returns (N, M), regressors and instruments (N, M, p + i) and the design to a `Fit`.
    residuals : callable
        From a fit and the estimator's returns and regressors to the residuals (N, M).
    state : tuple of str
        Names of the columns of `Fit.state`.
    own_variance : callable or None
        From the fit, the event window's regressors (N, L, p) and the number of sessions (L,) since
        the last one that the fit knows to the variance of each day's own shock in units of ``sigma^2``,
        (N, L); None: it is the same every day. That session ends the estimation window, or with
        `through_gap` is the one before the event window.
    variance_by_trade : bool
        Whether that variance is the sessions since the last trade.
    through_gap : callable or None
        From the fit and the abnormal returns of the sessions between the estimation and the event window
        (N, G) to the fit whose `state` knows them too; None: these sessions are not used.
    donors : tuple of str
        Securities whose returns, (J of them), are regressors after the others; 0 for an event that does not use them.
    allowed_donors : tuple of str
        Donors that an event uses even when it treats them.
    donor_parameters : int
        Degrees of freedom that the donors take, at least.
    fewest_donors : int
        Donors that an event needs.
    match_sessions : bool
        Whether donors of other hours are used, matched by the clock.
    folds : int
        Blocks of estimation days that are left out in turn; 0 where the estimator leaves out none.
    explain : callable or None
        From returns (M,) and regressors (M, p) of an event that the estimator cannot use to the reason, empty where it
        has none of its own.
    """

    regressors: tuple[Term, ...]
    intercept: bool = True
    excess: bool = False
    imposed: bool = False
    instruments: tuple[Term, ...] = ()
    after: tuple[int, int] | None = None
    response: str = "ret"
    estimator: Callable[[Floats, Floats, Design], Fit] = field(default_factory=lambda: fit)
    residuals: Callable[[Fit, Floats, Floats], Floats] = field(default_factory=lambda: residuals)
    state: tuple[str, ...] = ()
    own_variance: Callable[[Fit, Floats, NDArray[np.int64]], Floats] | None = None
    variance_by_trade: bool = False
    through_gap: Callable[[Fit, Floats], Fit] | None = None
    donors: tuple[str, ...] = ()
    allowed_donors: tuple[str, ...] = ()
    donor_parameters: int = 0
    fewest_donors: int = 1
    match_sessions: bool = False
    folds: int = 0
    explain: Callable[[Floats, Floats], str] | None = None

    @property
    def centred(self) -> bool:
        """Return whether sums are of deviations from means."""
        return self.intercept or self.imposed

    @property
    def follows_sessions(self) -> bool:
        """Return whether the estimator needs one stretch of sessions, each after the one before."""
        return bool(self.state or self.instruments)

    @property
    def least_squares(self) -> bool:
        """Return whether the coefficients are estimated by ordinary least squares."""
        return self.estimator is fit and not self.imposed

    @property
    def n_parameters(self) -> int:
        """Return the number of degrees of freedom that the estimates use."""
        return 1 if self.imposed else len(self.regressors) + self.donor_parameters + self.intercept

    def days_needed(self, spare: int) -> int:
        """Return the estimation days that leave `spare` beyond the parameters, with any block of days left out."""
        days = self.n_parameters + spare
        return -(-days * self.folds // (self.folds - 1)) if self.folds else days

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the panel columns that the model reads."""
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
    centre : (N, p) array, means of the regressors (0 without a constant), the origin of forecast distances
    leverage_root : (N, p, p) array W; the forecast leverage of x is ``mean_leverage + |W (x - centre)|^2``
    mean_leverage : (N,) array, leverage at the centre: that of the constant
    singular : (N,) array, True where the regressors do not identify the coefficients
    state : (N, s) array, parameters from which a variance model forecasts; s = 0 otherwise
    rho : (N,) array, autocorrelation of neighbouring abnormal returns; 0 unless the study estimates it
    """

    alpha: Floats
    slopes: Floats
    sigma: Floats
    n_obs: NDArray[np.int64]
    df: NDArray[np.int64]
    r2: Floats
    centre: Floats
    leverage_root: Floats
    mean_leverage: Floats
    singular: Bools
    state: Floats
    rho: Floats

    def take(self, rows: slice | NDArray[np.int64]) -> Fit:
        """Return the estimates of some of the events."""
        return Fit(*(getattr(self, name)[rows] for name in Fit.__dataclass_fields__))


def concat_fits(parts: Sequence[Fit]) -> Fit:
    """Concatenate the estimates of several groups of events."""
    return Fit(*(np.concatenate([getattr(part, name) for part in parts]) for name in Fit.__dataclass_fields__))


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
    y0, x0 = np.where(present, y, 0.0), np.where(present[:, :, None], x, 0.0)
    y_bar, x_bar = sum_days(y0) / count, sum_days(x0) / count[:, None]
    if not design.centred:
        y_bar, x_bar = np.zeros_like(y_bar), np.zeros_like(x_bar)
    dy = np.where(present, y - y_bar[:, None], 0.0)
    dx = np.where(present[:, :, None], x - x_bar[:, None, :], 0.0)
    gram, moment = _products(dy, dx)
    sums = CrossProducts(n_obs, y_bar, x_bar, sum_days(dy**2), gram, moment)

    def squares(slopes: Floats, rows: NDArray[np.int64]) -> Floats:
        return sum_days((dy[rows] - dot(dx[rows], slopes[rows, None, :])) ** 2)

    return fit_from_products(sums, squares, design)


@dataclass(frozen=True, slots=True)
class CrossProducts:
    """Sums over the complete days of each event's estimation window.

    Attributes
    ----------
    n_obs : (N,) array
    y_bar, x_bar : (N,) and (N, p) arrays, what the deviations are from: means, or 0 without a constant
    total : (N,) array, squared deviations of the return
    gram, moment : (N, p, p) and (N, p) arrays, products of deviations
    """

    n_obs: NDArray[np.int64]
    y_bar: Floats
    x_bar: Floats
    total: Floats
    gram: Floats
    moment: Floats


def fit_from_products(
    sums: CrossProducts, squares: Callable[[Floats, NDArray[np.int64]], Floats], design: Design
) -> Fit:
    """Compute least squares from cross products.

    Parameters
    ----------
    sums : CrossProducts
        Of N events.
    squares : callable
        From slopes (N, p) and event rows to the sums of squared residuals of these rows, used for close fits.
    design : Design
        Constant, imposed slopes.
    """
    n, p = sums.x_bar.shape
    # squares about zero: a constant varies about its mean by rounding noise only
    scale = sums.total + sums.n_obs * sums.y_bar**2
    x_scale = np.diagonal(sums.gram, axis1=1, axis2=2) + sums.n_obs[:, None] * sums.x_bar**2
    if design.imposed:
        slopes, leverage_root = np.ones((n, p)), np.zeros((n, p, p))
        singular = np.zeros(n, dtype=bool)
    else:
        centred = np.diagonal(sums.gram, axis1=1, axis2=2)
        constant = np.asarray(is_constant(centred, x_scale, sums.n_obs[:, None]).any(axis=1))
        slopes, leverage_root, singular = _solve(sums.gram, sums.moment, constant)
    residual_squares = sums.total - 2.0 * dot(sums.moment, slopes) + dot(dot(sums.gram, slopes[:, None, :]), slopes)
    close = np.flatnonzero(residual_squares <= CLOSE_FIT * sums.total)
    residual_squares[close] = squares(slopes, close)
    df = np.maximum(sums.n_obs - design.n_parameters, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = 1.0 - residual_squares / sums.total
    return Fit(
        alpha=sums.y_bar - dot(sums.x_bar, slopes) if design.intercept else np.zeros(n),
        slopes=slopes,
        sigma=np.where(residual_squares > NO_VARIATION * scale, np.sqrt(residual_squares / df), 0.0),
        n_obs=sums.n_obs,
        df=df,
        r2=r2,
        centre=sums.x_bar,
        leverage_root=leverage_root,
        mean_leverage=1.0 / np.maximum(sums.n_obs, 1) if design.intercept else np.zeros(n),
        singular=singular,
        state=np.empty((n, 0)),
        rho=np.zeros(n),
    )


def residuals(estimates: Fit, y: Floats, x: Floats) -> Floats:
    """Compute return minus expectation, NaN on incomplete days: returns (N, M) and regressors (N, M, p) to (N, M)."""
    return np.asarray(y - (estimates.alpha[:, None] + dot(x, estimates.slopes[:, None, :])))


def forecast(estimates: Fit, x: Floats) -> tuple[Floats, Floats]:
    """Compute the expected return and the forecast-error loading of every event day.

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
    expected = estimates.alpha[:, None] + dot(x, estimates.slopes[:, None, :])
    distance = x - estimates.centre[:, None, :]
    whitened = np.empty(distance.shape)
    zero = None  # models of donors have as many rows as donors, of which few are not zero
    for row in range(x.shape[2]):
        weights = estimates.leverage_root[:, row, :]
        if weights.any():
            whitened[:, :, row] = dot(distance, weights[:, None, :])
        else:
            zero = dot(distance, weights[:, None, :]) if zero is None else zero  # NaN on days with missing regressors
            whitened[:, :, row] = zero
    constant = np.broadcast_to(np.sqrt(estimates.mean_leverage)[:, None, None], (*x.shape[:2], 1))
    return expected, np.concatenate([constant, whitened], axis=2)


def is_constant(deviations: Floats, squares: Floats, n_obs: NDArray[np.int64]) -> Bools:
    """Return where a regressor varies by rounding noise only, for any shape.

    Parameters
    ----------
    deviations, squares : arrays
        Sums of squares about the mean and about zero.
    n_obs : array of int
        Number of days in them.
    """
    return np.asarray(deviations <= NO_VARIATION * squares + n_obs * ROUNDING**2)


def has_own_variation(x: Floats, residuals: Floats) -> Bools:
    """Return which series vary by more than rounding, and not only with what explains them, (K,).

    Parameters
    ----------
    x, residuals : (M, K) arrays
        Series, and what others leave unexplained of them.
    """
    deviations = ((x - x.mean(axis=0)) ** 2).sum(axis=0)
    constant = is_constant(deviations, (x**2).sum(axis=0), np.full(x.shape[1], len(x)))
    return np.asarray(~constant & ((residuals**2).sum(axis=0) > COLLINEAR * deviations))


def sum_days(values: Floats) -> Floats:
    """Sum (N, M, ...) over days in pairs, the second half onto the first until one is left: rounding stays small."""
    n = values.shape[1]
    while n > 1:
        half = (n + 1) // 2
        middle = values[:, n - half : half]  # the middle day of an odd number
        values = np.concatenate([values[:, : n - half] + values[:, half:n], middle], axis=1)
        n = half
    return values[:, 0] if n else np.zeros((len(values), *values.shape[2:]))


def dot(a: Floats, b: Floats) -> Floats:
    """Sum products over the last axis from the left, for any shape."""
    total = np.zeros(np.broadcast_shapes(a.shape, b.shape)[:-1])
    for column in range(a.shape[-1]):
        total = total + a[..., column] * b[..., column]
    return total


def _products(dy: Floats, dx: Floats) -> tuple[Floats, Floats]:
    """Compute the regressors' products with each other, (N, p, p), and with the return, (N, p)."""
    n, _, p = dx.shape
    gram, moment = np.empty((n, p, p)), np.empty((n, p))
    for i in range(p):
        moment[:, i] = sum_days(dx[:, :, i] * dy)
        for j in range(i + 1):
            gram[:, i, j] = gram[:, j, i] = sum_days(dx[:, :, i] * dx[:, :, j])
    return gram, moment


def _solve(gram: Floats, moment: Floats, constant: Bools) -> tuple[Floats, Floats, Bools]:
    """Solve for slopes and `leverage_root` by a Cholesky decomposition of the regressors' correlations.

    `constant`, (N,), marks events with a constant regressor. The third array marks singular events, these among them.
    """
    n, p = moment.shape
    if p == 0:
        return np.zeros((n, 0)), np.zeros((n, 0, 0)), np.zeros(n, dtype=bool)
    scale = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    scale = np.where(scale > 0, scale, 1.0)
    if p == 1:  # a correlation matrix of one regressor is 1
        leverage_root = (1.0 / scale)[:, :, None]
        return leverage_root[:, :, 0] * (leverage_root[:, :, 0] * moment), leverage_root, constant
    # neighbouring events with equal regressors share the decomposition
    is_new = np.append(True, (gram[1:] != gram[:-1]).any(axis=(1, 2)) | (constant[1:] != constant[:-1]))[:n]
    first = np.flatnonzero(is_new)
    correlation = gram[first] / (scale[first, :, None] * scale[first, None, :])
    singular = constant[first] | (np.linalg.eigvalsh(correlation)[:, 0] < COLLINEAR)
    correlation[singular] = np.eye(p)
    row_of = np.cumsum(is_new) - 1
    leverage_root = (np.linalg.inv(np.linalg.cholesky(correlation)) / scale[first, None, :])[row_of]
    singular = singular[row_of]
    z = np.stack([dot(leverage_root[:, row, :], moment) for row in range(p)], axis=1)
    slopes = np.stack([dot(leverage_root[:, :, column], z) for column in range(p)], axis=1)
    return slopes, leverage_root, singular
