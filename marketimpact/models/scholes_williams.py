"""Estimate the market model of Scholes and Williams (1977) by instrumental variables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats
from marketimpact.models.linear import NO_VARIATION, Design, Fit, is_constant

__all__ = ["scholes_williams", "scholes_williams_residuals"]


def scholes_williams(y: Floats, x: Floats, design: Design) -> Fit:
    """Instrument the market return by the sum of its lag, itself and its lead.

    Parameters
    ----------
    y : (N, M) array
    x : (N, M, 3) array
        Market return, its lag and its lead. The window's first and last session are left out.
    design : Design

    Returns
    -------
    Fit
        ``beta = cov(R, z) / cov(Rm, z)``; the forecast variance uses the instrumental-variables
        sandwich ``(Z'X)^-1 Z'Z (X'Z)^-1``.
    """
    present = _complete(y, x)
    n_obs = present.sum(axis=1)
    count = np.maximum(n_obs, 1).astype(np.float64)
    df = np.maximum(n_obs - design.n_parameters, 1)
    market = np.where(present, x[:, :, 0], 0.0)
    z = np.where(present, x.sum(axis=2), 0.0)
    returns = np.where(present, y, 0.0)
    m_bar, z_bar, y_bar = (values.sum(axis=1) / count for values in (market, z, returns))
    dz = np.where(present, z - z_bar[:, None], 0.0)
    dm = np.where(present, market - m_bar[:, None], 0.0)
    dy = np.where(present, returns - y_bar[:, None], 0.0)
    szm, szz, smm = (dz * dm).sum(axis=1), (dz * dz).sum(axis=1), (dm * dm).sum(axis=1)
    constant = is_constant(smm, (market**2).sum(axis=1), n_obs) | is_constant(szz, (z**2).sum(axis=1), n_obs)
    singular = constant | (np.abs(szm) <= np.sqrt(NO_VARIATION * szz * smm))
    safe = np.where(singular, 1.0, szm)
    beta = (dz * dy).sum(axis=1) / safe
    alpha = y_bar - beta * m_bar
    errors = np.where(present, y - alpha[:, None] - beta[:, None] * x[:, :, 0], 0.0)
    squares, scale = (errors**2).sum(axis=1), (returns**2).sum(axis=1)
    sigma = np.where(squares > NO_VARIATION * scale, np.sqrt(squares / df), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = 1.0 - squares / (dy * dy).sum(axis=1)
    # in deviations from means the sandwich is 1/n for the constant and szz / szm^2 for the slope
    slope = np.sqrt(szz) / np.abs(safe)
    return Fit(
        alpha=alpha,
        slopes=beta[:, None],
        sigma=sigma,
        n_obs=n_obs,
        df=df,
        r2=r2,
        centre=m_bar[:, None],
        leverage_root=slope[:, None, None],
        mean_leverage=1.0 / count,
        singular=singular,
        state=np.empty((len(y), 0)),
        rho=np.zeros(len(y)),
    )


def scholes_williams_residuals(estimates: Fit, y: Floats, x: Floats) -> Floats:
    """Compute residuals on the days of the estimation, NaN on the others."""
    errors = y - estimates.alpha[:, None] - estimates.slopes * x[:, :, 0]
    return np.where(_complete(y, x), errors, np.nan)


def _complete(y: Floats, x: Floats) -> NDArray[np.bool_]:
    """Mark days with a return and all three market returns, except the window's first and last."""
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2))
    present[:, [0, -1]] = False
    return np.asarray(present)
