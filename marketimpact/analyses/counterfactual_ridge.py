"""Weights of a synthetic control with a ridge correction of the imbalance that is left."""

from __future__ import annotations

import numpy as np

from marketimpact.analyses.counterfactual_weights import simplex_weights
from marketimpact.core.arrays import Floats

__all__ = ["PENALTIES", "choose_penalty", "corrected_weights", "ridge_weights"]

#: Penalties compared, as shares of the largest eigenvalue of the donors' cross-products; inf: no correction.
PENALTIES = (*(float(share) for share in np.logspace(-4, 1, 11)), float("inf"))
#: Parts of the days, each left out once.
FOLDS = 10
#: Share of the forecast errors by which equal ones may differ.
EQUAL = 1e-9
#: Share of the largest eigenvalue up to which another one is rounding.
ROUNDING = 1e-12


def ridge_weights(y: Floats, x: Floats) -> tuple[Floats, float]:
    """Find weights with sum 1 that may be negative, and the penalty, chosen by cross-validation.

    Parameters
    ----------
    y, x : (T,) and (T, J) arrays
        Returns of the security and the donors (fractions).

    Returns
    -------
    (J,) array and float
        Weights, and the penalty as a share of the largest eigenvalue of the donors' cross-products; inf where no
        correction forecasts best, so that the weights are those of `simplex_weights`.
    """
    share = choose_penalty(y, x)
    return corrected_weights(y, x, simplex_weights(y, x), (share,))[0], share


def choose_penalty(y: Floats, x: Floats) -> float:
    """Choose the penalty that forecasts left-out tenths of the days best, of equal ones the largest.

    The days, in order of the donors' mean return, are dealt to the tenths in turn: the choice does not depend on the
    order of the days, which a conformal p-value needs.
    """
    fold = np.empty(len(y), dtype=np.int64)
    fold[np.argsort(x.mean(axis=1), kind="stable")] = np.arange(len(y)) % FOLDS
    errors = np.zeros(len(PENALTIES))
    for part in range(min(FOLDS, len(y))):
        out = fold == part
        weights = corrected_weights(y[~out], x[~out], simplex_weights(y[~out], x[~out]), PENALTIES)
        errors += ((y[out] - weights @ x[out].T) ** 2).sum(axis=1)
    return PENALTIES[int(np.flatnonzero(errors <= errors.min() * (1 + EQUAL))[-1])]


def corrected_weights(y: Floats, x: Floats, simplex: Floats, shares: tuple[float, ...]) -> Floats:
    """Correct weights for the imbalance that they leave, (P, J), one row for each of the P penalties.

    Among weights w with sum 1 these minimise ``|y - x w|^2 + penalty * |w - simplex|^2``.
    """
    centred = x - x.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    varies = values > ROUNDING * max(values[-1], 0.0)
    if not varies.any():
        return np.tile(simplex, (len(shares), 1))
    values, vectors = values[varies], vectors[:, varies]
    projected = vectors.T @ (centred.T @ (y - x @ simplex))
    penalties = np.array(shares)[:, None] * values[-1]
    return np.asarray(simplex + (projected / (values + penalties)) @ vectors.T)
