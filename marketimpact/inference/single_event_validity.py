"""Say for which single events the p-values of `StudyResult.single_tests` are valid, and why not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from marketimpact.core.arrays import Bools, Floats
from marketimpact.core.factorize import rows_by_code
from marketimpact.core.lazy_matrix import RowIndex, run_sums
from marketimpact.inference.diagnostics import RecentVariance, recent_variance
from marketimpact.inference.protocol import SIGNIFICANCE_LEVEL
from marketimpact.inference.reasons import BLOCKS_APART, MOST_RECENT_VARIANCE
from marketimpact.inference.sample import Sample
from marketimpact.inference.volatility_filter import why_undefined

__all__ = ["SingleEventValidity", "changed_lately", "single_event_validity"]

#: Standard errors by which the recent variance must differ, since a ratio of few days with fat tails is noisy.
CHANGED_ERRORS = 2.0
#: Variance of a CAR over that of uncorrelated days above which residuals are too autocorrelated.
INFLATION = 1.25
#: Columns that a change of the recent variance concerns.
WHICH = "(all but the filtered p)"
#: Why joint draws are not valid where events have estimation windows of their own.
DIFFER = "estimation windows of the events differ, so that blocks are not drawn jointly (Romano-Wolf)"
#: Share of families with an error, at 5%, above which fat tails make adjusted p-values invalid.
FAMILY_RATE = 0.075


@dataclass(frozen=True, slots=True)
class SingleEventValidity:
    """For each event whether its p-values are valid, and a note.

    Attributes
    ----------
    t, adjusted, sq, romano_wolf, filtered, romano_wolf_filtered : (N,) arrays of bool
        Student's t; Holm, Benjamini-Hochberg and Benjamini-Yekutieli; sample quantile; Romano and Wolf; filtered, by
        itself and by Romano and Wolf.
    notes : list of str or None
        Why not; None where all are valid.
    """

    t: Bools
    adjusted: Bools
    sq: Bools
    romano_wolf: Bools
    filtered: Bools
    romano_wolf_filtered: Bools
    notes: list[str | None]


def single_event_validity(sample: Sample) -> SingleEventValidity:
    """Judge the p-values of single events by their residuals and the length of the window.

    Parameters
    ----------
    sample : Sample
        N events.
    """
    lately, tails = _recent_variance(sample), _fat_tails(sample)
    correlated, few_blocks = _autocorrelation(sample), _few_blocks(sample)
    reasons_t = correlated if sample.knows_recent_variance else [*map("".join, zip(lately, correlated, strict=True))]
    t = np.array([not reason for reason in reasons_t])
    placebo = np.array([not any(reasons) for reasons in zip(lately, few_blocks, strict=True)])
    filtered, differ = np.isfinite(sample.filtered_errors.se), DIFFER if sample.windows_differ else ""
    per_event = zip(
        lately, correlated, few_blocks, [tails] * sample.n, _undefined(sample), [differ] * sample.n, strict=True
    )
    notes = ["; ".join(filter(None, reasons)) for reasons in per_event]
    return SingleEventValidity(
        t=t,
        adjusted=t & (not tails),
        sq=placebo,
        romano_wolf=placebo & (not differ),
        filtered=filtered,
        romano_wolf_filtered=filtered & np.array([not reason for reason in few_blocks]) & (not differ),
        notes=[f"not valid: {note}" if note else None for note in notes],
    )


def changed_lately(recent: RecentVariance) -> bool:
    """Check whether the recent variance differs from that of the estimation window by more than chance explains."""
    return recent.rose(MOST_RECENT_VARIANCE, CHANGED_ERRORS) or recent.fell(1.0 / MOST_RECENT_VARIANCE, CHANGED_ERRORS)


def _recent_variance(sample: Sample) -> list[str]:
    """Name events whose recent variance has changed: their own, or the mean over their announcement."""
    reasons = [""] * sample.n
    for rows in rows_by_code(sample.clusters):
        residuals, recent = sample.residuals.rows(rows), sample.recent_ar.rows(rows)
        mean = recent_variance(residuals, recent)
        for k, row in enumerate(rows.tolist()):
            own = recent_variance(residuals[k : k + 1], recent[k : k + 1]) if len(rows) > 1 else mean
            if changed_lately(own):
                reasons[row] = f"recent variance is {own.ratio:.2f} times that of the estimation window {WHICH}"
            elif changed_lately(mean):
                reasons[row] = (
                    f"recent variance of these events is {mean.ratio:.2f} times that of estimation windows {WHICH}"
                )
    return reasons


def _undefined(sample: Sample) -> list[str]:
    """Say why events have no standard error from the volatility known the evening before."""
    errors = sample.filtered_errors
    return [
        f"{reason} (p_filtered)" if (reason := why_undefined(errors, row, sample.length)) else ""
        for row in range(sample.n)
    ]


def _few_blocks(sample: Sample) -> list[str]:
    """Name events whose estimation window holds too few windows for placebo sums."""
    return [
        f"{n} estimation sessions are fewer than {BLOCKS_APART} windows of {sample.length} (sq_p, Romano-Wolf)"
        if n < BLOCKS_APART * sample.length
        else ""
        for n in sample.n_obs.tolist()
    ]


def _autocorrelation(sample: Sample) -> list[str]:
    """Name events whose autocorrelated residuals raise the variance of a CAR: their own, or on average."""
    if sample.serial_correlation or sample.length == 1:
        return [""] * sample.n

    def products(_: RowIndex, residuals: Floats) -> Floats:
        x = np.nan_to_num(residuals)
        return np.column_stack([(x[:, 1:] * x[:, :-1]).sum(axis=1), (x**2).sum(axis=1)])

    lagged, squared = sample.residuals.map_rows(products).T
    own = np.where(squared > 0, lagged / np.where(squared > 0, squared, 1.0), 0.0)
    mean = (np.bincount(sample.clusters.codes, own) / sample.clusters.counts)[sample.clusters.codes]
    rho = np.maximum(own, mean)
    inflation = 1.0 + 2.0 * rho * (1.0 - 1.0 / sample.length)
    too_large = (inflation > INFLATION) & (rho > 2.0 / np.sqrt(sample.n_obs))
    return [
        f"residuals are autocorrelated ({r:+.2f}), which serial_correlation=True allows for (p, p_holm, p_bh, p_by)"
        if large
        else ""
        for r, large in zip(rho.tolist(), too_large.tolist(), strict=True)
    ]


def _fat_tails(sample: Sample) -> str:
    """Say whether the tails of placebo sums give too many families with a false rejection at 5% by Bonferroni.

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
        return ""
    standardised = fourth[used] * (count[used] / second[used]) ** 2
    excess = max(float(standardised.sum() / count[used].sum()) - 3.0, 1e-9)
    df = 4.0 + 6.0 / excess
    critical = scipy.special.stdtrit(float(np.mean(sample.df)), 1.0 - SIGNIFICANCE_LEVEL / (2.0 * sample.n))
    rate = float(2.0 * sample.n * scipy.special.stdtr(df, -critical * np.sqrt(df / (df - 2.0))))
    if rate <= FAMILY_RATE:
        return ""
    return f"fat tails: about {min(rate, 1.0):.0%} of families of {sample.n} err at 5% (p_holm, p_bh, p_by)"
