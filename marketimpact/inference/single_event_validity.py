"""Say for which single events the p-values of `StudyResult.single_tests` are valid, and why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from marketimpact.core.arrays import Bools, Floats
from marketimpact.core.factorize import rows_by_code
from marketimpact.core.lazy_matrix import RowIndex, run_sums
from marketimpact.inference.diagnostics import RecentVariance, recent_variance
from marketimpact.inference.protocol import SIGNIFICANCE_LEVEL
from marketimpact.inference.sample import Sample

__all__ = ["SingleEventValidity", "changed_lately", "single_event_validity"]

#: Recent variance over the estimation window's above which, and under one over which, it has changed ...
CHANGED_RATIO = 1.5
#: ... if its root is this many standard errors from 1, since a ratio of few days with fat tails is noisy.
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


def single_event_validity(sample: Sample, *, changing_variance: bool = False) -> SingleEventValidity:
    """Judge the p-values of single events by their residuals and the length of the window.

    Parameters
    ----------
    sample : Sample
        N events.
    changing_variance : bool
        Whether standard errors follow a variance that changes from day to day.
    """
    ratio, changed = _recent_variance(sample)
    rho, correlated = _autocorrelation(sample)
    correlated &= not sample.serial_correlation
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


def changed_lately(recent: RecentVariance) -> bool:
    """Check whether the recent variance differs from that of the estimation window by more than chance explains."""
    return recent.rose(CHANGED_RATIO, CHANGED_ERRORS) or recent.fell(1.0 / CHANGED_RATIO, CHANGED_ERRORS)


def _recent_variance(sample: Sample) -> tuple[Floats, Bools]:
    """Compute recent variances, and say which have changed: an event's own, or the mean over its announcement."""
    ratio, changed = np.full(sample.n, np.nan), np.zeros(sample.n, dtype=bool)
    for rows in rows_by_code(sample.clusters):
        residuals, recent = sample.residuals.rows(rows), sample.recent_ar.rows(rows)
        mean = recent_variance(residuals, recent)
        for k, row in enumerate(rows.tolist()):
            own = recent_variance(residuals[k : k + 1], recent[k : k + 1]) if len(rows) > 1 else mean
            changed[row] = changed_lately(own) or changed_lately(mean)
            ratio[row] = own.ratio if changed_lately(own) else mean.ratio
    return ratio, changed


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
