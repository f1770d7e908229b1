"""What a design can see: the effect that is found with a given power, and the power against an effect."""

from __future__ import annotations

import numpy as np
import scipy

from marketimpact.inference.sample import Floats

__all__ = ["LEVEL", "POWER", "minimum_detectable_effect", "power_of"]

#: What a minimum detectable effect means where nothing else is said.
LEVEL, POWER = 0.05, 0.80


def minimum_detectable_effect(
    se: Floats | float, df: Floats | float, *, level: float = LEVEL, power: float = POWER
) -> Floats:
    """Effect that a two-sided t test finds with a given power: ``se`` times a noncentrality.

    Parameters
    ----------
    se : (N,) array or float
        Standard errors.
    df : (N,) array or float
        Degrees of freedom; infinite for a normal statistic.
    level, power : float
        Of the test, and the share of samples in which it is to reject.

    Returns
    -------
    (N,) array
        In the unit of `se`: ``d se`` with ``P(T(df, d) > t_crit) = power``, T noncentral t. Rejections on the
        wrong side are left out; at a power of 0.8 they do not show.
    """
    se, df = np.broadcast_arrays(np.asarray(se, dtype=np.float64), np.asarray(df, dtype=np.float64))
    kinds, place = np.unique(df, return_inverse=True)  # noncentral quantiles are slow, and few are asked for
    normal = ~np.isfinite(kinds)
    few = np.where(normal, 1.0, kinds)
    tail = 1.0 - level / 2.0
    shift = scipy.special.nctdtrinc(few, 1.0 - power, scipy.special.stdtrit(few, tail))
    return np.asarray(
        se * np.where(normal, scipy.special.ndtri(tail) + scipy.special.ndtri(power), shift)[place.reshape(df.shape)]
    )


def power_of(effect: Floats | float, se: float, df: float, *, level: float = LEVEL) -> Floats:
    """Share of samples in which a two-sided t test rejects when the effect is there, both sides counted."""
    shift = np.asarray(effect, dtype=np.float64) / se
    if not np.isfinite(df):
        critical = scipy.special.ndtri(1.0 - level / 2.0)
        return np.asarray(scipy.special.ndtr(shift - critical) + scipy.special.ndtr(-shift - critical))
    critical = scipy.special.stdtrit(df, 1.0 - level / 2.0)
    # the lower tail of T(df, d) is the upper tail of T(df, -d)
    return np.asarray(
        1.0 - scipy.special.nctdtr(df, shift, critical) + 1.0 - scipy.special.nctdtr(df, -shift, critical)
    )
