"""Filtered placebo tests: the mean CAR among those of estimation days, each over the volatility known before it."""

from __future__ import annotations

import numpy as np

from marketimpact.core.arrays import Floats
from marketimpact.inference.families.parametric import student_p
from marketimpact.inference.protocol import (
    SIGNIFICANCE_LEVEL,
    Assumption,
    Holds,
    Outcome,
    SignificanceTest,
    no_result,
)
from marketimpact.inference.sample import Sample
from marketimpact.inference.volatility_filter import FilteredMean

__all__ = ["FILTERED_PLACEBO_RANK", "FILTERED_PLACEBO_T", "filtered_placebo_rank", "filtered_placebo_t"]


def filtered_placebo_t(sample: Sample) -> Outcome:
    """Divide the mean CAR by its standard deviation over blocks of estimation days at today's volatility."""
    mean, estimate = sample.filtered_mean, sample.mean(sample.car)
    if not mean.se > 0:
        return no_result(mean.why_undefined or "abnormal returns do not vary", estimate)
    t = estimate / mean.se
    return Outcome(estimate, t, student_p(t, mean.df), df=mean.df, se=mean.se, note=_note(mean))


def filtered_placebo_rank(sample: Sample) -> Outcome:
    """Rank the mean CAR among those of blocks of estimation days at today's volatility."""
    mean, estimate = sample.filtered_mean, sample.mean(sample.car)
    if not mean.se > 0:
        return no_result(mean.why_undefined or "abnormal returns do not vary", estimate)
    drawn = mean.widened_blocks
    p, p_greater, p_less = (
        float((1 + beyond.sum()) / (1 + len(drawn)))
        for beyond in (np.abs(drawn) >= abs(estimate), drawn >= estimate, drawn <= estimate)
    )
    note = f"{_note(mean)}; the smallest possible p is {1 / (1 + len(drawn)):.3f}"
    half = _accepted(np.abs(drawn))
    return Outcome(
        estimate,
        estimate,
        p,
        note=note,
        p_greater=p_greater,
        p_less=p_less,
        ci_low=estimate - half,
        ci_high=estimate + half,
    )


def _accepted(size: Floats) -> float:
    """Find the largest distance from the estimate that is not rejected among blocks of these sizes, (B,)."""
    n_larger = int(np.ceil(SIGNIFICANCE_LEVEL * (1 + len(size)) - 1.0))
    return float(np.sort(size)[-n_larger]) if n_larger > 0 else np.inf


def _note(mean: FilteredMean) -> str:
    return (
        f"variance known the evening before is {mean.variance_ratio:.2f} times that of the estimation window; "
        f"{len(mean.blocks)} blocks"
    )


FILTERED: frozenset[Assumption] = frozenset({"usual date variance"})
NULL = "CAAR is as in any other block of days, at the volatility known before each"
SOURCE = "Filtered historical simulation: Barone-Adesi, Giannopoulos and Vosper (1999)"

FILTERED_PLACEBO_T = SignificanceTest(
    "filtered_placebo_t", NULL, "CAAR", "t(3LB / (2L^2 + 1) - 1), B blocks of L sessions", SOURCE,
    Holds("yes", "no", "yes", "no", assumes=FILTERED), filtered_placebo_t, filters=True, unit="return", weighted=True,
)  # fmt: skip
FILTERED_PLACEBO_RANK = SignificanceTest(
    "filtered_placebo_rank", NULL, "CAAR", "placebo blocks of the estimation window", SOURCE,
    Holds("yes", "no", "yes", "no", assumes=FILTERED | {"many blocks"}), filtered_placebo_rank, sides="own",
    filters=True, unit="return", weighted=True,
)  # fmt: skip
