"""Weights of a portfolio of donors, the synthetic control, that follows a security as closely as possible."""

from __future__ import annotations

import numpy as np

from marketimpact.core.arrays import Floats

__all__ = ["is_perfect", "simplex_weights"]

#: Donors of the first fit. Of 450 donors on 239 days about 30 get a weight: 1 ms a fit, 5 ms with all of them at once.
FIRST_DONORS = 64
#: Share of the sum of squared gaps by which it may exceed its minimum.
TOLERANCE = 1e-13
#: The same as a share of the squared gaps of the nearest donor, where the fit is perfect but for rounding.
ROUNDING = 10 * np.finfo(np.float64).eps
#: Gaps that are rounding noise, as a share of the largest return.
PERFECT = 1e-12


def simplex_weights(y: Floats, x: Floats) -> Floats:
    """Find weights w >= 0 with sum 1 that minimise ``|y - x w|``; (T,) and (T, J) in, (J,) out.

    Few of many donors get a weight. The first fit is over the `FIRST_DONORS` that would lower the squared gaps of equal
    weights most, each next one also over those that would lower the squared gaps of the last fit (over all donors where
    these are many). When no donor would, the weights are optimal among all donors, since the problem is convex.
    """
    gaps = np.ascontiguousarray(x.T) - y
    chosen = np.sort(np.argsort(gaps @ gaps.mean(axis=0), kind="stable")[:FIRST_DONORS])
    rounding = ROUNDING * (gaps**2).sum(axis=1).min()
    while True:
        weights = _fit(gaps[chosen])
        gap = weights @ gaps[chosen]
        # half the derivative of the squared gap as weight moves from the portfolio to a donor
        slope = gaps @ gap - gap @ gap
        slope[chosen] = 0.0
        added = np.flatnonzero(2 * slope < -(TOLERANCE * (gap @ gap) + rounding))
        if not len(added):
            break
        few = len(added) <= FIRST_DONORS
        chosen = np.sort(np.concatenate([chosen, added])) if few else np.arange(len(gaps))
    result = np.zeros(len(gaps))
    result[chosen] = weights
    return result


def _fit(gaps: Floats) -> Floats:
    """Find weights w >= 0 with sum 1 that minimise ``|w gaps|``, (J, T), over all of these donors.

    The problem is homogeneous: non-negative least squares with one more row that pulls the sum of the weights to a
    constant has the same direction whatever the constant.
    """
    from scipy.optimize import nnls  # noqa: PLC0415

    pull = np.sqrt((gaps**2).sum(axis=1).mean()) or 1.0
    solution, _ = nnls(np.vstack([gaps.T, np.full(len(gaps), pull)]), np.append(np.zeros(gaps.shape[1]), pull))
    return np.asarray(solution / solution.sum())


def is_perfect(gap: float, returns: Floats) -> bool:
    """Check whether a gap is rounding noise beside the security's returns, so that nothing can be compared with it."""
    return gap <= PERFECT * float(np.abs(returns).max())
