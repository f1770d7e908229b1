"""Minimum detectable effect of a t test, and its power against an effect."""

from __future__ import annotations

import numpy as np
import scipy

from marketimpact.inference.protocol import SIGNIFICANCE_LEVEL
from marketimpact.inference.sample import Floats

__all__ = ["POWER", "minimum_detectable_effect", "power_of"]

#: Power of a minimum detectable effect by default.
POWER = 0.80


def minimum_detectable_effect(
    se: Floats | float, df: Floats | float, *, level: float = SIGNIFICANCE_LEVEL, power: float = POWER
) -> Floats:
    """Compute the effect that a two-sided t test detects with a given power: ``se`` times a noncentrality.

    Parameters
    ----------
    se : (N,) array or float
        Standard errors.
    df : (N,) array or float
        Degrees of freedom; infinite for a normal statistic.
    level, power : float
        Level of the test, and the share of samples in which it rejects.

    Returns
    -------
    (N,) array
        In the unit of `se`: ``d se`` with ``P(T(df, d) > t_crit) = power``, T noncentral t. Rejections on the
        wrong side are left out; at a power of 0.8 they are negligible.
    """
    se, df = np.broadcast_arrays(np.asarray(se, dtype=np.float64), np.asarray(df, dtype=np.float64))
    distinct, code = np.unique(df, return_inverse=True)  # noncentral quantiles are slow, distinct values are few
    normal = ~np.isfinite(distinct)
    finite = np.where(normal, 1.0, distinct)
    tail = 1.0 - level / 2.0
    shift = scipy.special.nctdtrinc(finite, 1.0 - power, scipy.special.stdtrit(finite, tail))
    return np.asarray(
        se * np.where(normal, scipy.special.ndtri(tail) + scipy.special.ndtri(power), shift)[code.reshape(df.shape)]
    )


def power_of(effect: Floats | float, se: float, df: float, *, level: float = SIGNIFICANCE_LEVEL) -> Floats:
    """Compute the power of a two-sided t test against an effect: the share of samples in which it rejects."""
    shift = np.asarray(effect, dtype=np.float64) / se
    if not np.isfinite(df):
        critical = scipy.special.ndtri(1.0 - level / 2.0)
        return np.asarray(scipy.special.ndtr(shift - critical) + scipy.special.ndtr(-shift - critical))
    critical = scipy.special.stdtrit(df, 1.0 - level / 2.0)
    # the lower tail of T(df, d) is the upper tail of T(df, -d)
    return np.asarray(
        1.0 - scipy.special.nctdtr(df, shift, critical) + 1.0 - scipy.special.nctdtr(df, -shift, critical)
    )
