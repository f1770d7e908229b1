"""Test of one event: the quantile of its CAR among sums of its own estimation residuals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.lazy_matrix import RowIndex
from marketimpact.inference.families.placebo import day_block_sums
from marketimpact.inference.sample import Floats, Ints, Sample

__all__ = ["sq_test"]


def sq_test(sample: Sample) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Run the sample-quantile test of every event (Gelbach, Helland and Klick 2013).

    The null is that the CAR is exchangeable with the sums of residuals over every run of as many days
    of the event's own estimation window; no normality is assumed. For one day it is exact if the
    days are exchangeable; runs of several days overlap, so only M / L of them are independent.

    Returns
    -------
    share : (N,) array
        Position of the CAR among the placebo sums, ``(1 + #<=) / (B + 1)``.
    p : (N,) array
        Two-sided, ``2 min((1 + #<=) / (B + 1), (1 + #>=) / (B + 1))``, at most 1.
    n_blocks : (N,) array
        Number of placebo sums B; without any the other two are NaN.
    """

    def count_sums(rows: RowIndex, residuals: Floats) -> Ints:
        sums, counts = day_block_sums(residuals, sample.length)
        complete, car = counts == sample.length, sample.car[rows, None]
        below, above = complete & (sums <= car), complete & (sums >= car)
        return np.column_stack([below.sum(axis=1), above.sum(axis=1), complete.sum(axis=1)])

    below, above, n_blocks = sample.residuals.map_rows(count_sums).T
    p = 2.0 * np.minimum(1 + below, 1 + above) / (n_blocks + 1.0)
    known = n_blocks > 0
    share = np.where(known, (1 + below) / (n_blocks + 1.0), np.nan)
    return share, np.where(known, np.minimum(p, 1.0), np.nan), n_blocks
