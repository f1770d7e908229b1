"""Conformal p-values of a synthetic control: the weights are fitted under the null, to all days."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marketimpact.analyses.counterfactual_weights import is_perfect
from marketimpact.core.arrays import Floats

__all__ = ["conformal_p", "shifted_means"]


def conformal_p(before: Floats, during: Floats, weigh: Callable[[Floats, Floats], Floats]) -> float | None:
    """Compare the residuals of the event window with those of all cyclic shifts of the days.

    Parameters
    ----------
    before, during : (M, 1 + J) and (L, 1 + J) arrays
        Returns of the security, first, and its donors on the estimation days and in the event window.
    weigh : callable
        Returns (T,) and (T, J) to weights (J,).

    Returns
    -------
    float or None
        Share of the M + L shifts whose mean absolute residual in the last L places is at least as large, the one
        without a shift among them; None where the fit is perfect.
    """
    both = np.vstack([before, during])
    y, x = both[:, 0], both[:, 1:]
    sizes = np.abs(y - x @ weigh(y, x))
    if is_perfect(float(sizes.max()), y):
        return None
    means = shifted_means(sizes, len(during))
    return float((means >= means[0]).mean())


def shifted_means(values: Floats, n_last: int) -> Floats:
    """Average the last places of every cyclic shift of values, (T,); that of the values as they are comes first."""
    n = len(values)
    places = (np.arange(n)[:, None] + np.arange(n - n_last, n)) % n
    return np.asarray(values[places].mean(axis=1))
