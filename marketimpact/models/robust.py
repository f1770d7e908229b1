"""Robust regressions of the market model: the line is robust, the residual variance the ordinary one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from marketimpact.core.arrays import Floats
from marketimpact.models.linear import Design, Fit, fit

__all__ = ["huber", "theil_sen"]

#: Tuning constant of Huber's psi: 95% efficient under normal errors.
HUBER_C = 1.345
#: Convergence of the iteration, relative to the coefficients.
TOLERANCE = 1e-10


def huber(y: Floats, x: Floats, design: Design) -> Fit:
    """Huber's M-estimate by iteratively reweighted least squares, scale ``median|e| / 0.6745`` at each step."""
    return _with_lines(y, x, design, _huber_line)


def theil_sen(y: Floats, x: Floats, design: Design) -> Fit:
    """Median of pairwise slopes; intercept ``median(y) - slope median(x)``."""
    return _with_lines(y, x, design, _theil_sen_line)


def _with_lines(y: Floats, x: Floats, design: Design, line: object) -> Fit:
    """Replace the least-squares line of every event; leverage stays that of least squares."""
    plain = fit(y, x, design)
    alpha, slopes, sigma = plain.alpha.copy(), plain.slopes.copy(), plain.sigma.copy()
    present = ~(np.isnan(y) | np.isnan(x[:, :, 0]))
    for row in np.flatnonzero((plain.n_obs > design.n_parameters) & ~plain.singular & (plain.sigma > 0)):
        held = present[row]
        a, b = line(y[row, held], x[row, held, 0])  # type: ignore[operator]
        alpha[row], slopes[row, 0] = a, b
        left = y[row, held] - a - b * x[row, held, 0]
        sigma[row] = np.sqrt((left**2).sum() / plain.df[row])
    return replace(plain, alpha=alpha, slopes=slopes, sigma=sigma)


def _huber_line(y: Floats, x: Floats) -> tuple[float, float]:
    import statsmodels.api as sm  # noqa: PLC0415  # two seconds of import that most runs do not need

    model = sm.RLM(y, np.column_stack([np.ones(len(x)), x]), M=sm.robust.norms.HuberT(t=HUBER_C))
    found = model.fit(tol=TOLERANCE, maxiter=200, conv="coefs").params
    return float(found[0]), float(found[1])


def _theil_sen_line(y: Floats, x: Floats) -> tuple[float, float]:
    from scipy.stats import theilslopes  # noqa: PLC0415

    found = theilslopes(y, x, method="separate")
    return float(found.intercept), float(found.slope)
