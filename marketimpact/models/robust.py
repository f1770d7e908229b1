"""Estimate the market model by robust regression, with the ordinary residual variance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from marketimpact.core.arrays import Floats
from marketimpact.models.linear import Design, Fit, fit

__all__ = ["huber", "theil_sen"]

#: Tuning constant of Huber's psi: 95% efficient under normal errors.
HUBER_C = 1.345
#: Tolerance of convergence, relative to the coefficients.
TOLERANCE = 1e-10


def huber(y: Floats, x: Floats, design: Design) -> Fit:
    """Compute Huber's M-estimate by iteratively reweighted least squares, scale ``median|e| / 0.6745`` at each step."""
    return _with_lines(y, x, design, _huber_line)


def theil_sen(y: Floats, x: Floats, design: Design) -> Fit:
    """Compute the median of pairwise slopes; the intercept is ``median(y) - slope median(x)``."""
    return _with_lines(y, x, design, _theil_sen_line)


def _with_lines(y: Floats, x: Floats, design: Design, line: Callable[[Floats, Floats], tuple[float, float]]) -> Fit:
    """Replace the least-squares line of every event; leverage stays that of least squares."""
    plain = fit(y, x, design)
    alpha, slopes, sigma = plain.alpha.copy(), plain.slopes.copy(), plain.sigma.copy()
    present = ~(np.isnan(y) | np.isnan(x[:, :, 0]))
    for row in np.flatnonzero((plain.n_obs > design.n_parameters) & ~plain.singular & (plain.sigma > 0)):
        days = present[row]
        a, b = line(y[row, days], x[row, days, 0])
        alpha[row], slopes[row, 0] = a, b
        errors = y[row, days] - a - b * x[row, days, 0]
        sigma[row] = np.sqrt((errors**2).sum() / plain.df[row])
    return replace(plain, alpha=alpha, slopes=slopes, sigma=sigma)


def _huber_line(y: Floats, x: Floats) -> tuple[float, float]:
    import statsmodels.api as sm  # noqa: PLC0415  # two seconds of import that most runs do not need

    model = sm.RLM(y, np.column_stack([np.ones(len(x)), x]), M=sm.robust.norms.HuberT(t=HUBER_C))
    alpha, beta = model.fit(tol=TOLERANCE, maxiter=200, conv="coefs").params
    return float(alpha), float(beta)


def _theil_sen_line(y: Floats, x: Floats) -> tuple[float, float]:
    from scipy.stats import theilslopes  # noqa: PLC0415

    line = theilslopes(y, x, method="separate")
    return float(line.intercept), float(line.slope)
