"""Average cross-correlation of events, and the tests that correct for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from marketimpact.inference.clocks import links
from marketimpact.inference.moments import TOO_FEW, bmp, normal_p, patell_scar, student_p
from marketimpact.inference.protocol import Holds, Outcome, SignificanceTest, silent
from marketimpact.inference.sample import (
    Floats,
    Ints,
    Sample,
    Windows,
    common_days,
    exchange_pairs,
    on_axis,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "BMP_KP",
    "BMP_KP_ALLPAIRS",
    "MIN_COMMON_DAYS",
    "PATELL_KP",
    "PATELL_KP_ALLPAIRS",
    "MeanCorrelation",
    "all_pairs_correlation",
    "mean_correlation",
    "pairwise",
    "shared_part",
]

#: A pair with fewer common days than this has no usable correlation.
MIN_COMMON_DAYS = 30
#: ``1 + (N-1) r`` below this is zero but for rounding.
ROUNDING = 1e-8


@dataclass(frozen=True, slots=True)
class MeanCorrelation:
    """Average over pairs of events of residual correlation times window overlap.

    Attributes
    ----------
    value : float
        The average r; 0 when no two events share a day of the window.
    n_pairs : int
        Pairs that share a day of the window.
    n_used : int
        Those with at least `MIN_COMMON_DAYS` common estimation days.
    """

    value: float
    n_pairs: int
    n_used: int


def all_pairs_correlation(sample: Sample) -> MeanCorrelation:
    """Plain average correlation of estimation-window residuals over all pairs, matched on the date.

    For events on separate dates it counts correlation that cannot occur; `mean_correlation` does not.
    """
    correlation, common = pairwise(sample.residuals, sample.residual_dates)
    usable = (common >= MIN_COMMON_DAYS) & np.isfinite(correlation)
    np.fill_diagonal(usable, val=False)
    n_pairs, n_used = sample.n * (sample.n - 1) // 2, int(usable.sum() // 2)
    value = float(correlation[usable].mean()) if n_used else np.nan
    return MeanCorrelation(value, n_pairs, n_used)


def mean_correlation(sample: Sample) -> MeanCorrelation:
    """Overlap-weighted average correlation of estimation-window residuals.

    Residuals are matched on the calendar date; each pair is weighted by the share of the window the
    two events have in common, so that events far apart in time count with zero. Kolari and Pynnonen
    (2010); for partial overlap the weights are the exact covariance of SCARs under serial
    independence. Between exchanges that are hardly open together sessions that hear the same news are
    matched instead: see `shared_part`.
    """
    overlapping = sample.common_days > 0
    np.fill_diagonal(overlapping, val=False)
    n_pairs = int(overlapping.sum() // 2)
    if not n_pairs:
        return MeanCorrelation(0.0, 0, 0)
    part, usable = shared_part(sample, sample.common_days)
    np.fill_diagonal(usable, val=False)
    n_used = int((usable & overlapping).sum() // 2)
    if not n_used:
        return MeanCorrelation(np.nan, n_pairs, 0)
    # pairs without overlap count as zero, so only overlapping pairs need a usable correlation
    counted = int((usable | ~overlapping).sum()) - int((~overlapping).diagonal().sum())
    return MeanCorrelation(float(np.where(usable, part, 0.0).sum()) / counted, n_pairs, n_used)


def shared_part(rows: Windows, common: Floats | None = None) -> tuple[Floats, NDArray[np.bool_]]:
    """Correlation of the sums over the windows of every two rows, and where it is known.

    Residuals of the estimation window are matched on the date, and their correlation is weighted by the
    share of the window that two rows have in common, ``tau_ij / sqrt(L_i L_j)``. Between exchanges that are
    hardly open together sessions are matched that hear the same news (`links`), apart for the two
    orders of closing: with r_k the correlation of linked sessions of order k, and n_k their number in the
    two windows, the correlation is ``(n_1 r_1 + n_2 r_2) / sqrt(L_i L_j)``: lags are added up as far as
    the windows hold them.

    Parameters
    ----------
    rows : Windows
        Events or portfolios.
    common : (N, N) array, optional
        `common_days` of the rows, where it is at hand.

    Returns
    -------
    part, known : (N, N) arrays
    """
    correlation, days = pairwise(rows.residuals, rows.residual_dates)
    known = (days >= MIN_COMMON_DAYS) & np.isfinite(correlation)
    part = (common_days(rows) if common is None else common) * np.where(known, correlation, 0.0)
    for here, there, far in exchange_pairs(rows):
        if not far:
            continue
        block, block_known = _across(rows, here, there)
        part[np.ix_(here, there)], part[np.ix_(there, here)] = block, block.T
        known[np.ix_(here, there)], known[np.ix_(there, here)] = block_known, block_known.T
    return part, known


def _across(rows: Windows, here: Ints, there: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """`shared_part` of the rows of two exchanges that are hardly open together."""
    one, other = rows.clocks[rows.exchange[here[0]]], rows.clocks[rows.exchange[there[0]]]
    x, x_held = _on_sessions(rows, here, one.dates)
    y, y_held = _on_sessions(rows, there, other.dates)
    window, others = on_axis(rows.dates[here], one.dates), on_axis(rows.dates[there], other.dates)
    total = np.zeros((len(here), len(there)))
    known = np.ones(total.shape, dtype=bool)
    for link in links(one, other):
        count = (link.T @ window.T).T @ others.T
        if not count.any():
            continue
        correlation, common = _correlation(x, x_held, y, y_held, link)
        enough = (common >= MIN_COMMON_DAYS) & np.isfinite(correlation)
        total += np.where(enough, count * correlation, 0.0)
        known &= enough | (count == 0)
    length = np.sqrt(window.sum(axis=1)[:, None] * others.sum(axis=1)[None, :])
    return total / length, known


def _on_sessions(rows: Windows, which: Ints, axis: Ints) -> tuple[Floats, Floats]:
    """Centred residuals on an exchange's sessions, 0 where missing, and 1 where present, (n, S) each."""
    values, days = rows.residuals[which], rows.residual_dates[which]
    present = ~np.isnan(values) & (days >= 0)
    held = on_axis(np.where(present, days, -1), axis)
    matrix = np.zeros_like(held)
    event, column = np.nonzero(present)
    centred = values - np.nanmean(values, axis=1, keepdims=True)
    matrix[event, np.searchsorted(axis, days[event, column])] = centred[event, column]
    return matrix, held


def _correlation(x: Floats, x_held: Floats, y: Floats, y_held: Floats, link: csr_array[Any]) -> tuple[Floats, Floats]:
    """Correlation over linked sessions of every row of x with every row of y, and how many links."""

    def over_links(left: Floats, right: Floats) -> Floats:
        return np.asarray((link.T @ left.T).T @ right.T)

    common = over_links(x_held, y_held)
    with np.errstate(invalid="ignore", divide="ignore"):
        x_mean, y_mean = over_links(x, y_held) / common, over_links(x_held, y) / common
        x_square = over_links(x**2, y_held) - common * x_mean**2
        y_square = over_links(x_held, y**2) - common * y_mean**2
        cross = over_links(x, y) - common * x_mean * y_mean
        return cross / np.sqrt(x_square * y_square), common


def pairwise(values: Floats, days: Ints) -> tuple[Floats, Floats]:
    """Correlation and number of common days of every pair of rows, on the dates both have.

    Parameters
    ----------
    values : (N, M) array
        NaN where missing.
    days : (N, M) array
        The dates of the values.

    Returns
    -------
    correlation, common : (N, N) arrays
    """
    present = ~np.isnan(values) & (days >= 0)
    axis = np.unique(days[present])
    matrix = np.zeros((len(values), len(axis)))
    held = np.zeros_like(matrix)
    event, column = np.nonzero(present)
    where = np.searchsorted(axis, days[event, column])
    centred = values - np.nanmean(values, axis=1, keepdims=True)
    matrix[event, where] = centred[event, column]
    held[event, where] = 1.0
    common = held @ held.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_i = (matrix @ held.T) / common
        square_i = (matrix**2) @ held.T - common * mean_i**2
        cross = matrix @ matrix.T - common * mean_i * mean_i.T
        return cross / np.sqrt(square_i * square_i.T), common


def patell_kp(sample: Sample) -> Outcome:
    """Patell's z divided by the root of ``1 + (N-1) r``, r weighted by overlap."""
    return _patell_adjusted(sample, mean_correlation(sample))


def patell_kp_allpairs(sample: Sample) -> Outcome:
    """Patell's z divided by the root of ``1 + (N-1) r``, r over all pairs."""
    return _patell_adjusted(sample, all_pairs_correlation(sample))


def _patell_adjusted(sample: Sample, average: MeanCorrelation) -> Outcome:
    plain = patell_scar(sample)
    factor = _inflation(sample, average)
    if isinstance(factor, Outcome):
        return factor
    inflation, _, note = factor
    z = plain.statistic / np.sqrt(inflation)
    return Outcome(plain.estimate, float(z), normal_p(z), se=plain.se * float(np.sqrt(inflation)), note=note)


def bmp_kp(sample: Sample) -> Outcome:
    """The BMP t times the root of ``(1-r) / (1 + (N-1) r)``, r weighted by overlap."""
    return _bmp_adjusted(sample, mean_correlation(sample))


def bmp_kp_allpairs(sample: Sample) -> Outcome:
    """The BMP t times the root of ``(1-r) / (1 + (N-1) r)``, r over all pairs."""
    return _bmp_adjusted(sample, all_pairs_correlation(sample))


def _bmp_adjusted(sample: Sample, average: MeanCorrelation) -> Outcome:
    plain = bmp(sample)
    if np.isnan(plain.statistic):
        return plain
    factor = _inflation(sample, average)
    if isinstance(factor, Outcome):
        return factor
    inflation, r, note = factor
    scale = float(np.sqrt(inflation / (1.0 - r)))
    t = plain.statistic / scale
    return Outcome(plain.estimate, t, student_p(t, plain.df), df=plain.df, se=plain.se * scale, note=note)


def _inflation(sample: Sample, average: MeanCorrelation) -> tuple[float, float, str] | Outcome:
    """``1 + (N-1) r`` and r, or the reason why there is none."""
    mean = float(sample.scar.mean())
    if sample.n < 2 and np.isnan(average.value):
        return silent(TOO_FEW, mean)
    if np.isnan(average.value):
        return silent(
            f"none of the {average.n_pairs} pairs of events that share days has {MIN_COMMON_DAYS} "
            "common estimation days, so their correlation is unknown", mean,
        )  # fmt: skip
    inflation = 1.0 + (sample.n - 1) * average.value
    if inflation <= ROUNDING:
        return silent(f"average correlation {average.value:.3f} gives 1+(N-1)r <= 0", mean)
    note = f"average correlation {average.value:.3f}"
    if average.n_used < average.n_pairs:
        note += f" from {average.n_used} of {average.n_pairs} pairs (others have too few common days)"
    return inflation, average.value, note


PATELL_KP = SignificanceTest(
    "patell_kp", "mean SCAR = 0", "mean SCAR", "N(0,1)",
    "Kolari and Pynnonen (2010), adjusted Patell", Holds("yes", "no", "yes", "no"), patell_kp,
)  # fmt: skip
BMP_KP = SignificanceTest(
    "bmp_kp", "mean SCAR = 0", "mean SCAR", "t(N-1)",
    "Kolari and Pynnonen (2010), adjusted BMP", Holds("yes", "yes", "yes", "yes"), bmp_kp,
)  # fmt: skip
PATELL_KP_ALLPAIRS = SignificanceTest(
    "patell_kp_allpairs", "mean SCAR = 0", "mean SCAR", "N(0,1)",
    "Kolari and Pynnonen (2010), every pair counted in full",
    Holds("no", "no", "yes", "no", because="counts correlation that cannot occur between dates apart"),
    patell_kp_allpairs,
)  # fmt: skip
BMP_KP_ALLPAIRS = SignificanceTest(
    "bmp_kp_allpairs", "mean SCAR = 0", "mean SCAR", "t(N-1)",
    "Kolari and Pynnonen (2010), every pair counted in full",
    Holds("no", "no", "yes", "yes", because="counts correlation that cannot occur between dates apart"),
    bmp_kp_allpairs,
)  # fmt: skip
