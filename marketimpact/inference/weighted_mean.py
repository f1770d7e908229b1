"""Weighted means over events or dates, with the standard error that their spread gives."""

from __future__ import annotations

import numpy as np

from marketimpact.core.arrays import Floats

__all__ = ["effective_number", "weighted_spread"]


def effective_number(weights: Floats) -> float:
    """Compute how many equal weights would leave a mean as uncertain: ``(sum w)^2 / sum w^2`` of N weights, (N,).

    Examples
    --------
    >>> import numpy as np
    >>> round(effective_number(np.array([2.0, 1.0, 1.0])), 3)
    2.667
    """
    shares = weights / weights.sum()
    return float(1.0 / (shares**2).sum())


def weighted_spread(values: Floats, weights: Floats) -> tuple[float, float, float]:
    """Estimate the standard error of a weighted mean of independent values from their spread.

    ``se^2 = sum w_i^2 e_i^2 / (1 - 2 w_i + sum w^2)`` with weights that sum to one and e the deviations from the
    weighted mean: the estimator CR2 of Bell and McCaffrey (2002), unbiased where the values vary alike and consistent
    where they do not. The degrees of freedom are theirs (Satterthwaite): N - 1 for equal weights, near 1 where one
    value has nearly all of the weight. For a weighted regression on a constant it is the one that Pustejovsky and
    Tipton (2018) call CR2 with an identity working model.

    Parameters
    ----------
    values, weights : (N,) arrays
        N of at least 2; weights above zero.

    Returns
    -------
    mean, se, df : float
    """
    shares = weights / weights.sum()
    squares = float((shares**2).sum())
    mean = float(shares @ values)
    scale = shares**2 / (1.0 - 2.0 * shares + squares)
    se = float(np.sqrt((scale * (values - mean) ** 2).sum()))
    return mean, se, _degrees_of_freedom(shares, scale)


def _degrees_of_freedom(shares: Floats, scale: Floats) -> float:
    """Compute ``tr(B)^2 / tr(B^2)`` of ``B = (I - 1 w')' diag(scale) (I - 1 w')`` without its N rows and columns."""
    total, cross, squares = float(scale.sum()), float(scale @ shares), float((shares**2).sum())
    # B = D - a w' - w a' + total w w', with D = diag(scale) and a = scale
    trace = total - 2.0 * cross + total * squares
    of_squares = (
        float((scale**2).sum())
        - 4.0 * float((scale**2) @ shares)
        + 2.0 * total * float(scale @ shares**2)
        + 2.0 * cross**2
        + 2.0 * float((scale**2).sum()) * squares
        - 4.0 * total * cross * squares
        + total**2 * squares**2
    )
    return float(np.clip(trace**2 / of_squares, 1.0, len(shares) - 1.0))  # bounds that rounding may pass
