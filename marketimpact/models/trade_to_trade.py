"""Trade-to-trade returns: a return that spans sessions without trade counts as many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats
from marketimpact.models.linear import Design, Fit, fit, residuals

__all__ = ["by_session", "gap_length", "trade_to_trade"]


def trade_to_trade(y: Floats, x: Floats, design: Design) -> Fit:
    """Weighted least squares, weights one over the length of the gap.

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
        `sigma` is that of one session.
    """
    root = np.sqrt(x[:, :, 0])
    return replace(fit(y / root, x / root[:, :, None], design), mean_leverage=np.zeros(len(y)))


def by_session(estimates: Fit, y: Floats, x: Floats) -> Floats:
    """Residuals divided by the root of the gap's length."""
    root = np.sqrt(x[:, :, 0])
    return residuals(estimates, y / root, x / root[:, :, None])


def gap_length(_: Fit, x: Floats, __: NDArray[np.int64]) -> Floats:
    """Variance of a return over n sessions: n times that of one."""
    return x[:, :, 0]
