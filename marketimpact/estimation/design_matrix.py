"""Locate the rows of the return panel that a window around day 0 covers; response and regressors of a window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.estimation.positions import EventPositions

__all__ = ["DesignMatrix", "window_rows"]


class DesignMatrix(NamedTuple):
    """Response and regressors of a window of D sessions for N events; NaN where missing.

    Attributes
    ----------
    y : (N, D) array
        Return, less the risk-free rate where the model explains excess returns; fractions per session.
    x : (N, D, p) array
        Regressors, without the constant.
    rf : (N, D) array
        Risk-free rate that was subtracted; 0 for models without one.
    """

    y: Floats
    x: Floats
    rf: Floats


def window_rows(positions: EventPositions, window: tuple[int, int], begins: Ints) -> tuple[Ints, Bools]:
    """Locate the sessions of a window in a column of the panel.

    Parameters
    ----------
    positions : EventPositions
        N events.
    window : tuple of int
        First and last session relative to day 0.
    begins : (N,) array
        Row of the column at which the event's security begins.

    Returns
    -------
    rows : (N, D) array of int
        0 outside the calendar.
    inside : (N, D) array of bool
        Whether the exchange's calendar has the session.
    """
    session = positions.day0[:, None] + np.arange(window[0], window[1] + 1)[None, :]
    inside = (session >= 0) & (session < positions.n_sessions[:, None])
    return np.where(inside, begins[:, None] + session, 0), inside
