"""Arrays that the compiled kernels of the models take, by name."""

from __future__ import annotations

from typing import NamedTuple

from marketimpact.core.arrays import Bools, Floats, Ints

__all__ = ["ForecastInputs", "KernelInputs"]


class KernelInputs(NamedTuple):
    """Columns of the return panel, and where the windows of N events lie in them.

    Attributes
    ----------
    columns : tuple of (R,) arrays
        The response, then the regressors.
    shifts : (p + 1,) array of int
        By how many sessions each column is read later.
    rf : (R,) array
        Risk-free rate; empty for models without one.
    minus_rf : (p + 1,) array of bool
        From which columns it is subtracted.
    spans : (S, 2) array of int
        First and last session, relative to day 0, of every stretch that is read.
    n_sessions, day0 : (N,) arrays of int
        Sessions of the event's security, and the session of day 0 among them.
    begins : (N, p + 2) array of int
        Row at which the event's security begins in every column and, last, in `rf`.
    excluded : (R,) array of bool
        Rows that are taken as missing; empty where there are none.
    own_spans : (N, 2) array of int
        First and last session of the first stretch that each event reads; (0, 2) where all read the whole of it.
    """

    columns: tuple[Floats, ...]
    shifts: Ints
    rf: Floats
    minus_rf: Bools
    spans: Ints
    n_sessions: Ints
    day0: Ints
    begins: Ints
    excluded: Bools
    own_spans: Ints


class ForecastInputs(NamedTuple):
    """What expectations and their errors are made of, for N events; see `marketimpact.models.linear.Fit`."""

    alpha: Floats
    slopes: Floats
    sigma: Floats
    centre: Floats
    leverage_root: Floats
    mean_leverage: Floats
