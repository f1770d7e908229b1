"""Adjust the p-values of a family of tests declared beforehand (multiple testing)."""

from __future__ import annotations

import numpy as np

from marketimpact.errors import SpecificationError
from marketimpact.inference.sample import Floats

__all__ = ["ADJUSTMENTS", "adjust", "romano_wolf"]


def holm(p: Floats) -> Floats:
    """Adjust as Holm (1979): strong control of the family-wise error under any dependence."""
    order = np.argsort(p, kind="stable")
    n = len(p)
    stepped = np.maximum.accumulate((n - np.arange(n)) * p[order])
    return _unsort(np.minimum(stepped, 1.0), order)


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjust as Benjamini and Hochberg (1995): false discovery rate under independence or positive dependence."""
    return _step_up(p, 1.0)


def benjamini_yekutieli(p: Floats) -> Floats:
    """Adjust as Benjamini and Yekutieli (2001): false discovery rate under any dependence."""
    return _step_up(p, float((1.0 / np.arange(1, len(p) + 1)).sum()))


def romano_wolf(observed: Floats, draws: Floats) -> Floats:
    """Compute step-down p-values from joint draws of all statistics (Romano and Wolf 2005, 2016).

    Parameters
    ----------
    observed : (K,) array
        Statistics; tests are two-sided.
    draws : (B, K) array
        The same statistics under the null, drawn jointly (the same placebo date or resampled days for
        all), so that their correlation is used.

    Returns
    -------
    (K,) array
        Adjusted p-values, in the order given; NaN without any draw.
    """
    if draws.ndim != 2 or draws.shape[1] != len(observed):
        raise SpecificationError(f"draws has shape {draws.shape}; it must be (number of draws, {len(observed)}).")
    if not len(draws):
        return np.full(len(observed), np.nan)
    size = np.abs(observed)
    order = np.argsort(-size, kind="stable")
    drawn = np.abs(draws)[:, order]
    # the largest statistic among those not yet rejected, for every draw
    largest = np.maximum.accumulate(drawn[:, ::-1], axis=1)[:, ::-1]
    p = (1 + (largest >= size[order][None, :]).sum(axis=0)) / (1.0 + len(draws))
    return _unsort(np.maximum.accumulate(p), order)


#: Name -> adjustment of p-values.
ADJUSTMENTS = {"holm": holm, "bh": benjamini_hochberg, "by": benjamini_yekutieli}


def adjust(p: Floats, method: str) -> Floats:
    """Adjust p-values; missing ones stay missing and do not count.

    Parameters
    ----------
    p : (K,) array
        The whole family.
    method : {"holm", "bh", "by"}
        Which adjustment.
    """
    if method not in ADJUSTMENTS:
        raise SpecificationError(f"No adjustment called {method!r}. There are: {', '.join(ADJUSTMENTS)}.")
    values = np.asarray(p, dtype=np.float64)
    has_value = ~np.isnan(values)
    adjusted = np.full(len(values), np.nan)
    adjusted[has_value] = ADJUSTMENTS[method](values[has_value])
    return adjusted


def _step_up(p: Floats, factor: float) -> Floats:
    """Step up from the largest p-value."""
    n = len(p)
    order = np.argsort(-p, kind="stable")
    stepped = np.minimum.accumulate(factor * n / (n - np.arange(n)) * p[order])
    return _unsort(np.minimum(stepped, 1.0), order)


def _unsort(values: Floats, order: np.ndarray) -> Floats:
    """Undo a sort."""
    result = np.empty(len(values))
    result[order] = values
    return result
