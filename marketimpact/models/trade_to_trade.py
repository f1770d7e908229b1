"""Estimate the market model of returns from one trade to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats
from marketimpact.models.linear import Design, Fit, fit, residuals

__all__ = ["gap_length", "residuals_by_session", "trade_to_trade"]


def trade_to_trade(y: Floats, x: Floats, design: Design) -> Fit:
    """Estimate weighted least squares with weights 1 / (sessions since the last trade).

    Parameters
    ----------
    y : (N, M) array
        Returns since the last trade.
    x : (N, M, 2) array
        Sessions since the last trade, and the benchmark's return summed over them.
    design : Design

    Returns
    -------
    Fit
        `sigma` is per session.
    """
    root = np.sqrt(x[:, :, 0])
    return replace(fit(y / root, x / root[:, :, None], design), mean_leverage=np.zeros(len(y)))


def residuals_by_session(estimates: Fit, y: Floats, x: Floats) -> Floats:
    """Compute residuals per session: divided by the root of the sessions since the last trade."""
    root = np.sqrt(x[:, :, 0])
    return residuals(estimates, y / root, x / root[:, :, None])


def gap_length(_: Fit, x: Floats, __: NDArray[np.int64]) -> Floats:
    """Return the variance of each return in units of one session's: the sessions since the last trade."""
    return x[:, :, 0]
