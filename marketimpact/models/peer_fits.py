"""Estimate models that explain a security by donors: every one is linear in the benchmark and the donors' returns.

The regressors of an event are its benchmark and the returns of its donors, ``x = (m, d)``. A model turns them into
factors ``g = T x``, the first of which is the benchmark, and regresses the return on a constant and these factors. With
an estimated T, or shrunk coefficients, the residuals of the estimation window are too small; sigma is then the root
mean square of cross-validated forecast errors, each over the root of one plus its leverage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from marketimpact.core.arrays import Bools, Floats
from marketimpact.models.linear import COLLINEAR, NO_VARIATION, Design, Fit, is_constant

__all__ = ["MOST_COMPONENTS", "peer_mean", "ridge_peers", "statistical_factors"]

#: Components that cross-validation chooses among, at most: more were never chosen with 20 donors of one factor.
MOST_COMPONENTS = 8
#: Blocks of days that are left out in turn.
FOLDS = 5
#: Penalties that cross-validation chooses among, in units of estimation days.
PENALTIES = tuple(float(each) for each in np.geomspace(0.01, 10.0, 10))


@dataclass(frozen=True, slots=True)
class Factors:
    """Factors of one event: ``g = T x``, with the penalty of each coefficient.

    Attributes
    ----------
    transform : (k, 1 + J) array, T
    penalty : (k,) array, added to the factors' sums of squares
    """

    transform: Floats
    penalty: Floats


#: From the regressors (M, 1 + J) of complete days to the factors of each candidate, the simplest first.
MakeFactors = Callable[[Floats], Sequence[Factors]]


@dataclass(frozen=True, slots=True)
class _Line:
    """One event's estimates; see `Fit`."""

    alpha: float
    slopes: Floats
    centre: Floats
    leverage_root: Floats
    mean_leverage: float
    df: float


def peer_mean(y: Floats, x: Floats, design: Design) -> Fit:
    """Regress on the benchmark and the mean return of the donors; see `Design.estimator`."""

    def make(own: Floats) -> Sequence[Factors]:
        transform = np.zeros((2, own.shape[1]))
        transform[0, 0], transform[1, 1:] = 1.0, 1.0 / (own.shape[1] - 1)
        return [Factors(transform, np.zeros(2))]

    return _fit_events(y, x, design, make, cross_validated=False)


def statistical_factors(y: Floats, x: Floats, design: Design, *, components: int | None) -> Fit:
    """Regress on the benchmark and principal components of the donors' residual returns.

    Parameters
    ----------
    components : int or None
        How many; None: as many as forecast left-out days best.
    """

    def make(own: Floats) -> Sequence[Factors]:
        loadings, slopes = _loadings(own)
        most = loadings.shape[1]
        counts = (
            range(1, min(most, MOST_COMPONENTS) + 1) if components is None else (components,) * (components <= most)
        )
        found = []
        for count in counts:
            transform = np.zeros((1 + count, own.shape[1]))
            transform[0, 0] = 1.0
            transform[1:, 1:] = loadings[:, :count].T
            transform[1:, 0] = -loadings[:, :count].T @ slopes
            found.append(Factors(transform, np.zeros(1 + count)))
        return found

    return _fit_events(y, x, design, make, cross_validated=True)


def ridge_peers(y: Floats, x: Floats, design: Design, *, penalty: float | None) -> Fit:
    """Regress on the benchmark and every donor's residual return, with coefficients shrunk to zero.

    Parameters
    ----------
    penalty : float or None
        In units of estimation days: the added sum of squares over the number of days, of returns with variance one.
        None: the one that forecasts left-out days best.
    """

    def make(own: Floats) -> Sequence[Factors]:
        residuals, slopes = _residuals(own)
        spread = _spread(residuals)
        transform = np.zeros((own.shape[1], own.shape[1]))
        transform[0, 0] = 1.0
        transform[1:, 1:] = np.diag(1.0 / spread)
        transform[1:, 0] = -slopes / spread
        # the simplest candidate is the most shrunk one
        penalties = PENALTIES[::-1] if penalty is None else (penalty,)
        return [Factors(transform, np.append(0.0, np.full(own.shape[1] - 1, each * len(own)))) for each in penalties]

    return _fit_events(y, x, design, make, cross_validated=True)


def _residuals(x: Floats) -> tuple[Floats, Floats]:
    """Subtract from each donor what the benchmark explains: residuals (M, J) and slopes (J,)."""
    centred = x - x.mean(axis=0)
    market, donors = centred[:, 0], centred[:, 1:]
    slopes = market @ donors / (market @ market)
    return donors - market[:, None] * slopes, slopes


def _spread(residuals: Floats) -> Floats:
    """Compute the standard deviation of each donor's residuals; 1 where they do not vary in these days."""
    spread = np.sqrt((residuals**2).mean(axis=0))
    return np.where(spread > 0, spread, 1.0)


def _loadings(x: Floats) -> tuple[Floats, Floats]:
    """Compute weights of the donors in each principal component of their residuals, scaled to variance one.

    Returns
    -------
    loadings : (J, K) array
        K the number of components that vary.
    slopes : (J,) array
        Of each donor on the benchmark.
    """
    residuals, slopes = _residuals(x)
    spread = _spread(residuals)
    correlation = (residuals / spread).T @ (residuals / spread) / len(x)
    values, vectors = np.linalg.eigh(correlation)
    kept = values[::-1] > COLLINEAR
    vectors = vectors[:, ::-1][:, kept]
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)  # an eigenvector has no sign of its own
    return vectors / spread[:, None], slopes


def _fit_events(y: Floats, x: Floats, design: Design, make: MakeFactors, *, cross_validated: bool) -> Fit:
    """Estimate every event on its complete days: (N, M) and (N, M, 1 + J) in.

    A donor whose column is zero throughout is not used by the event.
    """
    n, _, p = x.shape
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2))
    fit = _empty(n, p, present, design)
    for row in range(n):
        own_y, own_x = y[row, present[row]], x[row, present[row]]
        used = np.append(True, (own_x[:, 1:] != 0.0).any(axis=0))
        of_used = own_x[:, used]
        if used.sum() - 1 < design.fewest_donors or not _identified(of_used, design):
            continue
        best, variance = _choose(own_y, of_used, make) if cross_validated else (0, None)
        line = None if best is None else _line(own_y, of_used, make(of_used)[best])
        if line is not None:
            _write(fit, row, _with_unused(line, used), (own_y, own_x), variance)
    return fit


def _identified(x: Floats, design: Design) -> bool:
    """Return whether there are enough days, and benchmark and donors vary."""
    if len(x) <= max(design.n_parameters + 1, 2 * FOLDS):
        return False
    centred = x - x.mean(axis=0)
    deviations, squares = (centred**2).sum(axis=0), (x**2).sum(axis=0)
    if is_constant(deviations, squares, np.full(x.shape[1], len(x))).any():
        return False
    residuals, _ = _residuals(x)
    return bool(((residuals**2).sum(axis=0) > COLLINEAR * deviations[1:]).all())


def _line(y: Floats, x: Floats, factors: Factors) -> _Line | None:
    """Regress (M,) on a constant and the factors of (M, 1 + J); None where they do not identify the coefficients."""
    centre, y_bar = x.mean(axis=0), y.mean()
    g = (x - centre) @ factors.transform.T
    gram = g.T @ g
    scale = np.sqrt(np.diagonal(gram) + factors.penalty)
    if not (scale > 0).all():
        return None
    whole = (gram + np.diag(factors.penalty)) / (scale[:, None] * scale)
    if np.linalg.eigvalsh(whole)[0] < COLLINEAR:
        return None
    inverse = np.linalg.inv(whole) / (scale[:, None] * scale)
    coefficients = inverse @ (g.T @ (y - y_bar))
    # the coefficients' variance is sigma^2 V'V, with the factors' cross products R'R and V = R times the inverse
    root = np.linalg.qr(g, mode="r") @ inverse @ factors.transform
    slopes = factors.transform.T @ coefficients
    lost = 1.0 + float(np.trace(inverse @ gram))
    return _Line(float(y_bar - centre @ slopes), slopes, centre, root, 1.0 / len(y), len(y) - lost)


def _choose(y: Floats, x: Floats, make: MakeFactors) -> tuple[int | None, float]:
    """Choose the candidate with the smallest cross-validated forecast errors; its variance, net of the leverage.

    None where no candidate is identified in every fold.
    """
    errors: list[list[float]] = []
    scaled: list[list[float]] = []
    for fold in np.array_split(np.arange(len(y)), FOLDS):
        kept = np.ones(len(y), dtype=bool)
        kept[fold] = False
        parts = [_squared_errors(_line(y[kept], x[kept], each), y[fold], x[fold]) for each in make(x[kept])]
        errors.append([plain for plain, _ in parts])
        scaled.append([over_leverage for _, over_leverage in parts])
    shared = min(len(make(x)), *(len(part) for part in errors))
    totals = np.array([part[:shared] for part in errors]).sum(axis=0)
    if not np.isfinite(totals).any():
        return None, np.nan
    best = int(np.argmin(totals))
    return best, sum(part[best] for part in scaled) / len(y)


def _squared_errors(line: _Line | None, y: Floats, x: Floats) -> tuple[float, float]:
    """Sum the squared forecast errors of some days, and the same each over one plus its leverage."""
    if line is None:
        return np.inf, np.inf
    squared = (y - line.alpha - x @ line.slopes) ** 2
    leverage = line.mean_leverage + (((x - line.centre) @ line.leverage_root.T) ** 2).sum(axis=1)
    return float(squared.sum()), float((squared / (1.0 + leverage)).sum())


def _empty(n: int, p: int, present: Bools, design: Design) -> Fit:
    """Return a fit in which no event is identified."""
    n_obs = present.sum(axis=1)
    return Fit(
        alpha=np.zeros(n),
        slopes=np.zeros((n, p)),
        sigma=np.zeros(n),
        n_obs=n_obs,
        df=np.maximum(n_obs - design.n_parameters, 1),
        r2=np.full(n, np.nan),
        centre=np.zeros((n, p)),
        leverage_root=np.zeros((n, p, p)),
        mean_leverage=1.0 / np.maximum(n_obs, 1),
        singular=np.ones(n, dtype=bool),
        state=np.empty((n, 0)),
        rho=np.zeros(n),
    )


def _with_unused(line: _Line, used: Bools) -> _Line:
    """Add zeros in the places of the donors that are not used, (1 + J,)."""
    slopes, centre, root = np.zeros(len(used)), np.zeros(len(used)), np.zeros((len(line.leverage_root), len(used)))
    slopes[used], centre[used], root[:, used] = line.slopes, line.centre, line.leverage_root
    return replace(line, slopes=slopes, centre=centre, leverage_root=root)


def _write(fit: Fit, row: int, line: _Line, days: tuple[Floats, Floats], variance: float | None) -> None:
    """Write one event's estimates into its row.

    Parameters
    ----------
    days : (M,) and (M, K) arrays
        Returns and regressors that the line was fitted to.
    variance : float or None
        Cross-validated variance; None: that of the residuals.
    """
    y, x = days
    fit.alpha[row], fit.singular[row] = line.alpha, False
    fit.slopes[row], fit.centre[row] = line.slopes, line.centre
    fit.leverage_root[row, : len(line.leverage_root)] = line.leverage_root
    fit.df[row] = max(int(line.df + 1e-6), 1)  # a whole number may fall short by rounding
    squares, total = float(((y - line.alpha - x @ line.slopes) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    fit.r2[row] = 1.0 - squares / total if total > 0 else np.nan
    if variance is None:
        variance = squares / fit.df[row]
    fit.sigma[row] = np.sqrt(variance) if squares > NO_VARIATION * float((y**2).sum()) else 0.0
