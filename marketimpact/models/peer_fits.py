"""Estimate models that explain a security by donors: every one is linear in the benchmark and the donors' returns.

The regressors of an event are its benchmark and the returns of its donors, ``x = (m, d)``. A model turns them into
factors ``g = T x``, the first of which is the benchmark, and regresses the return on a constant and these factors. With
an estimated T, or shrunk coefficients, the residuals of the estimation window are too small; sigma is then the root
mean square of cross-validated forecast errors, each over the root of one plus its leverage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.models.linear import COLLINEAR, NO_VARIATION, Design, Fit, has_own_variation

__all__ = ["FOLDS", "MOST_COMPONENTS", "components_text", "peer_mean", "ridge_peers", "statistical_factors"]

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


@dataclass(frozen=True, slots=True)
class _Regression:
    """A regression on a constant and factors, as far as it depends on the regressors alone.

    Attributes
    ----------
    transform : (k, 1 + J) array
    centre : (1 + J,) array, means of the regressors
    factors : (M, k) array, about their means
    inverse : (k, k) array, of their cross products and penalties
    leverage_root : (k, 1 + J) array; see `Fit`
    lost : float, degrees of freedom that the coefficients take
    """

    transform: Floats
    centre: Floats
    factors: Floats
    inverse: Floats
    leverage_root: Floats
    lost: float

    def line(self, y: Floats) -> _Line:
        """Estimate the coefficients of one event from its returns, (M,)."""
        y_bar = y.mean()
        coefficients = self.inverse @ (self.factors.T @ (y - y_bar))
        slopes = self.transform.T @ coefficients
        alpha = float(y_bar - self.centre @ slopes)
        return _Line(alpha, slopes, self.centre, self.leverage_root, 1.0 / len(y), len(y) - self.lost)


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


def components_text(y: Floats, x: Floats, *, components: int | None) -> str:
    """Say where the donors of one event have too few components; empty where they do not.

    Parameters
    ----------
    y, x : (M,) and (M, 1 + J) arrays
    components : int or None
        How many are needed; None: one.
    """
    own = x[~(np.isnan(y) | np.isnan(x).any(axis=1))]
    own = own[:, _used(own)]
    if len(own) <= FOLDS or own.shape[1] == 1 or not has_own_variation(own[:, :1], own[:, :1]).all():
        return ""
    fewest = min(_loadings(own[kept])[0].shape[1] for _, kept in _folds(len(own)))
    needed = components or 1
    if fewest >= needed:
        return ""
    return (
        f"the donors have only {fewest} component{'s' * (fewest != 1)} in the days of a fold ({FOLDS - 1} of {FOLDS} "
        f"estimation days), {needed} needed"
    )


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
        spread = _spread(own, residuals)
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
    varies = bool(has_own_variation(x[:, :1], x[:, :1]).all())
    slopes = market @ donors / (market @ market) if varies else np.zeros(donors.shape[1])
    return donors - market[:, None] * slopes, slopes


def _spread(x: Floats, residuals: Floats) -> Floats:
    """Compute the standard deviation of each donor's residuals; 1 where they are rounding noise in these days."""
    return np.where(has_own_variation(x[:, 1:], residuals), np.sqrt((residuals**2).mean(axis=0)), 1.0)


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
    spread = _spread(x, residuals)
    correlation = (residuals / spread).T @ (residuals / spread) / len(x)
    values, vectors = np.linalg.eigh(correlation)
    kept = values[::-1] > COLLINEAR
    vectors = vectors[:, ::-1][:, kept]
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)  # an eigenvector has no sign of its own
    return vectors / spread[:, None], slopes


def _fit_events(y: Floats, x: Floats, design: Design, make: MakeFactors, *, cross_validated: bool) -> Fit:
    """Estimate every event on its complete days: (N, M) and (N, M, 1 + J) in.

    A donor whose column is zero throughout is not used by the event. Events with the same days and regressors, such as
    those of one announcement, share what depends on these alone; an event's numbers do not depend on the others.
    """
    n, _, p = x.shape
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2))
    fit = _empty(n, p, present, design)
    for rows in _with_equal_regressors(x, present):
        own_x = x[rows[0], present[rows[0]]]
        ys = y[rows][:, present[rows[0]]]
        used = _used(own_x)
        of_used = own_x[:, used]
        if used.sum() - 1 < design.fewest_donors or not _identified(of_used, design):
            continue
        chosen = _choose(ys, of_used, make) if cross_validated else [(0, None)] * len(rows)
        factors = make(of_used)
        regressions = {best: _regression(of_used, factors[best]) for best, _ in chosen if best is not None}
        for row, own_y, (best, variance) in zip(rows, ys, chosen, strict=True):
            regression = None if best is None else regressions[best]
            if regression is not None:
                _write(fit, row, _with_unused(regression.line(own_y), used), (own_y, own_x), variance)
    return fit


def _used(x: Floats) -> Bools:
    """Mark the benchmark and the donors that an event uses, (1 + J,): the column of another is zero throughout."""
    return np.append(True, (x[:, 1:] != 0.0).any(axis=0))


def _folds(n: int) -> Iterator[tuple[Ints, Bools]]:
    """Yield the days that are left out in turn, and a mask of the others, (n,)."""
    for fold in np.array_split(np.arange(n), FOLDS):
        kept = np.ones(n, dtype=bool)
        kept[fold] = False
        yield fold, kept


def _with_equal_regressors(x: Floats, present: Bools) -> list[list[int]]:
    """Group the events whose complete days and regressors are the same: rows of each group, in order."""
    groups: dict[bytes, list[int]] = {}
    for row, (own_x, own_days) in enumerate(zip(x, present, strict=True)):
        digest = sha256(own_days.tobytes() + own_x[own_days].tobytes()).digest()
        groups.setdefault(digest, []).append(row)
    return list(groups.values())


def _identified(x: Floats, design: Design) -> bool:
    """Return whether there are enough days, and benchmark and donors vary."""
    if len(x) <= max(design.n_parameters + 1, 2 * FOLDS):
        return False
    market = x[:, :1]
    return bool(has_own_variation(market, market).all() and has_own_variation(x[:, 1:], _residuals(x)[0]).all())


def _regression(x: Floats, factors: Factors) -> _Regression | None:
    """Prepare the regression on a constant and the factors of (M, 1 + J); None where they do not identify it."""
    if not has_own_variation(x[:, :1], x[:, :1]).all():
        return None
    centre = x.mean(axis=0)
    g = (x - centre) @ factors.transform.T
    gram = g.T @ g
    scale = np.sqrt(np.diagonal(gram) + factors.penalty)
    if not (scale > 0).all():
        return None
    whole = (gram + np.diag(factors.penalty)) / (scale[:, None] * scale)
    if np.linalg.eigvalsh(whole)[0] < COLLINEAR:
        return None
    inverse = np.linalg.inv(whole) / (scale[:, None] * scale)
    # the coefficients' variance is sigma^2 V'V, with the factors' cross products R'R and V = R times the inverse
    root = np.linalg.qr(g, mode="r") @ inverse @ factors.transform
    return _Regression(factors.transform, centre, g, inverse, root, 1.0 + float(np.trace(inverse @ gram)))


def _choose(ys: Floats, x: Floats, make: MakeFactors) -> list[tuple[int | None, float]]:
    """Choose for each event the candidate with the smallest cross-validated forecast errors.

    Parameters
    ----------
    ys : (E, M) array
        Returns of events with the same days and regressors.
    x : (M, 1 + J) array

    Returns
    -------
    list of (int or None, float)
        The candidate, and its variance net of the leverage; None where no candidate is identified in every fold.
    """
    errors: list[Floats] = []
    for fold, kept in _folds(len(x)):
        parts = [_squared_errors(_regression(x[kept], each), ys, x, fold, kept) for each in make(x[kept])]
        errors.append(np.array(parts).reshape(len(parts), len(ys), 2))
    shared = min(len(make(x)), *(len(part) for part in errors))
    # (candidates, events): of the plain errors, and of those over their leverage
    totals, scaled = np.moveaxis(np.array([part[:shared] for part in errors]).sum(axis=0), 2, 0)
    if not shared:  # the donors of some fold have too few components
        return [(None, np.nan)] * len(ys)
    chosen: list[tuple[int | None, float]] = []
    for event in range(len(ys)):
        best = int(np.argmin(totals[:, event])) if np.isfinite(totals[:, event]).any() else None
        chosen.append((best, np.nan if best is None else float(scaled[best, event]) / len(x)))
    return chosen


def _squared_errors(regression: _Regression | None, ys: Floats, x: Floats, fold: Ints, kept: Bools) -> Floats:
    """Sum each event's squared forecast errors of some days, and the same each over one plus its leverage, (E, 2)."""
    if regression is None:
        return np.full((len(ys), 2), np.inf)
    days = x[fold]
    leverage = 1.0 / kept.sum() + (((days - regression.centre) @ regression.leverage_root.T) ** 2).sum(axis=1)
    sums = np.empty((len(ys), 2))
    for event, y in enumerate(ys):
        line = regression.line(y[kept])
        squared = (y[fold] - line.alpha - days @ line.slopes) ** 2
        sums[event] = squared.sum(), (squared / (1.0 + leverage)).sum()
    return sums


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
