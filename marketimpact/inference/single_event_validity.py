"""Say for which single events the p-values of `StudyResult.single_tests` are valid, and why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.factorize import rows_by_code
from marketimpact.core.lazy_matrix import RowIndex, run_sums
from marketimpact.inference.protocol import SIGNIFICANCE_LEVEL
from marketimpact.inference.sample import Sample

__all__ = ["RecentVariance", "SingleEventValidity", "recent_variance", "single_event_validity"]

#: Sessions before day 0 whose variance is compared with that of the estimation window.
RECENT_SESSIONS = 30
#: The variance has changed when this ratio, or one over it, is passed ...
CHANGED_RATIO = 1.5
#: ... by this many standard errors from 1: the ratio of few days with fat tails is noisy.
CHANGED_ERRORS = 2.0
#: Windows that the estimation window must hold for placebo sums to vary as the window's.
MIN_WINDOWS = 20
#: Variance of a CAR over that of uncorrelated days above which residuals are too autocorrelated.
INFLATION = 1.25
#: Share of families with an error, at 5%, above which fat tails make adjusted p-values invalid.
FAMILY_RATE = 0.075


@dataclass(frozen=True, slots=True)
class SingleEventValidity:
    """For each event whether its p-values are valid, and a note.

    Attributes
    ----------
    t, adjusted, sq, romano_wolf : (N,) arrays of bool
        Student's t; Holm, Benjamini-Hochberg and Benjamini-Yekutieli; sample quantile; Romano and Wolf.
    notes : list of str or None
        Why not; None where all are valid.
    """

    t: Bools
    adjusted: Bools
    sq: Bools
    romano_wolf: Bools
    notes: list[str | None]


def single_event_validity(
    sample: Sample, n_before: int, *, changing_variance: bool = False, serial_correlation: bool = False
) -> SingleEventValidity:
    """Judge the p-values of single events by their residuals and the length of the window.

    Parameters
    ----------
    sample : Sample
        N events.
    n_before : int
        Sessions of the widest event window before day 0.
    changing_variance : bool
        Whether standard errors follow a variance that changes from day to day.
    serial_correlation : bool
        Whether standard errors allow for autocorrelated residuals.
    """
    ratio, changed = np.full(sample.n, np.nan), np.zeros(sample.n, dtype=bool)
    for rows in rows_by_code(sample.clusters):
        recent = recent_variance(sample, rows, n_before)
        changed[rows] = recent.changed | recent.mean_changed
        ratio[rows] = np.where(recent.changed, recent.ratio, recent.mean_ratio)
    rho, correlated = _autocorrelation(sample)
    correlated &= not serial_correlation
    too_long = sample.n_obs < MIN_WINDOWS * sample.length
    rate = _family_rate(sample)
    fat_tails = np.full(sample.n, rate > FAMILY_RATE)
    t = ~((changed & (not changing_variance)) | correlated)
    placebo = ~(changed | too_long)
    reasons: list[tuple[Bools, Callable[[int], str]]] = [
        (
            changed,
            lambda row: (
                f"the last {RECENT_SESSIONS} sessions vary {ratio[row]:.1f} times as much as the estimation "
                f"window ({'sq_p, p_romano_wolf' if changing_variance else 'every p'})"
            ),
        ),
        (
            correlated,
            lambda row: (
                f"residuals are autocorrelated ({rho[row]:.2f}), which EventStudy(serial_correlation=True) "
                "allows for (p and adjusted p)"
            ),
        ),
        (
            too_long,
            lambda row: (
                f"{sample.n_obs[row]} estimation sessions are fewer than {MIN_WINDOWS} windows of "
                f"{sample.length} (sq_p, p_romano_wolf)"
            ),
        ),
        (
            fat_tails,
            lambda _: f"fat tails: of families of {sample.n} events {rate:.0%} have an error at 5% (adjusted p)",
        ),
    ]
    texts = ["; ".join(text(row) for flag, text in reasons if flag[row]) for row in range(sample.n)]
    return SingleEventValidity(
        t=t,
        adjusted=t & ~fat_tails,
        sq=placebo,
        romano_wolf=placebo,
        notes=[f"not valid: {text}" if text else None for text in texts],
    )


@dataclass(frozen=True, slots=True)
class RecentVariance:
    """Variance of the last sessions before day 0 over the estimation window's, of n events of one announcement.

    Attributes
    ----------
    ratio, changed : (n,) arrays
        Of each event; whether it differs from 1.
    mean_ratio : float
        Mean over the events.
    mean_changed : bool
        Whether that differs from 1.
    """

    ratio: Floats
    changed: Bools
    mean_ratio: float
    mean_changed: bool


def recent_variance(sample: Sample, rows: Ints, n_before: int) -> RecentVariance:
    """Compare the variance of the last sessions before day 0 with the estimation window's.

    Parameters
    ----------
    sample : Sample
    rows : (n,) array
        Events of one announcement.
    n_before : int
        Sessions of the widest event window before day 0, the last ones known.
    """
    dates, window = sample.residual_dates.rows(rows), sample.window_dates.rows(rows)
    first_day = np.where(window == NO_DAY, np.iinfo(np.int64).max, window).min(axis=1)
    squares = (sample.residuals.rows(rows) / sample.sigma[rows, None]) ** 2
    # a model may be estimated over sessions after the event, too
    earlier = np.where((dates != NO_DAY) & (dates < first_day[:, None]), squares, np.nan)
    gap = (sample.event_ar.rows(rows)[:, : min(n_before, sample.columns.start)] / sample.sigma[rows, None]) ** 2
    known = np.concatenate([earlier[:, np.isfinite(earlier).any(axis=0)], gap], axis=1)[:, -RECENT_SESSIONS:]
    ratio, changed = _ratio(known, squares)
    mean_ratio, mean_changed = _ratio(_means(known), _means(squares))
    return RecentVariance(ratio, changed, float(mean_ratio[0]), bool(mean_changed[0]))


def _ratio(recent: Floats, squares: Floats) -> tuple[Floats, Bools]:
    """Divide mean squares of recent sessions by those of all, (n,), and say where they differ."""
    usual = _means(squares.T)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _means(recent.T)[0] / usual
        spread = np.sqrt(_means(((squares - usual[:, None]) ** 2).T)[0]) / usual
        distance = np.abs(ratio - 1.0) > CHANGED_ERRORS * spread / np.sqrt(np.isfinite(recent).sum(axis=1))
        return ratio, distance & ((ratio > CHANGED_RATIO) | (ratio < 1.0 / CHANGED_RATIO))


def _means(values: Floats) -> Floats:
    """Average over rows, (1, M), leaving out what is missing."""
    present = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(present, values, 0.0).sum(axis=0, keepdims=True) / present.sum(axis=0))


def _autocorrelation(sample: Sample) -> tuple[Floats, Bools]:
    """Compute autocorrelations of residuals, and say where they raise the variance of a CAR too far.

    Either of the event's own residuals or on average of the events of its announcement.
    """

    def products(_: RowIndex, residuals: Floats) -> Floats:
        x = np.nan_to_num(residuals)
        return np.column_stack([(x[:, 1:] * x[:, :-1]).sum(axis=1), (x**2).sum(axis=1)])

    lagged, squared = sample.residuals.map_rows(products).T
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.nan_to_num(lagged / squared)
    mean = (np.bincount(sample.clusters.codes, own) / sample.clusters.counts)[sample.clusters.codes]
    largest = np.maximum(own, mean)
    inflation = 1.0 + 2.0 * largest * (1.0 - 1.0 / sample.length)
    return largest, (inflation > INFLATION) & (largest > 2.0 / np.sqrt(sample.n_obs))


def _family_rate(sample: Sample) -> float:
    """Predict the share of families with a false rejection at 5% by Bonferroni, from the tails of placebo sums.

    The sums' excess kurtosis k, pooled over events, is that of Student's t on ``4 + 6 / k`` degrees of freedom.
    """

    def moments(_: RowIndex, residuals: Floats) -> Floats:
        sums = run_sums(residuals, sample.length)
        present = np.isfinite(sums)
        powers = [np.where(present, sums, 0.0) ** power for power in (2, 4)]
        return np.column_stack([*(power.sum(axis=1) for power in powers), present.sum(axis=1)])

    second, fourth, count = sample.residuals.map_rows(moments).T
    used = (count > 0) & (second > 0)
    if not used.any():
        return np.nan
    standardised = fourth[used] * (count[used] / second[used]) ** 2
    excess = max(float(standardised.sum() / count[used].sum()) - 3.0, 1e-9)
    df = 4.0 + 6.0 / excess
    critical = scipy.special.stdtrit(float(np.mean(sample.df)), 1.0 - SIGNIFICANCE_LEVEL / (2.0 * sample.n))
    return float(min(sample.n * 2.0 * scipy.special.stdtr(df, -critical * np.sqrt(df / (df - 2.0))), 1.0))
