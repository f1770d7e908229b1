"""Choose the primary test from the structure of the events, by one rule that does not look at their abnormal returns.

The rule, its reasons and its rates are in docs/primary_test.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from marketimpact.inference.reasons import (
    LEAST_RECENT_VARIANCE,
    MOST_RECENT_VARIANCE,
    has_common_estimation_errors,
    is_skewed,
    why_not_over_dates,
)
from marketimpact.inference.structure import SampleStructure

__all__ = ["ROBUSTNESS_TESTS", "RULE_VERSION", "PrimaryTest", "Role", "primary_test", "role_of"]

Role = Literal["primary", "robustness", "other"]

#: Version of the rule, which registrations of studies name; raise it when a line of the rule or a threshold changes.
RULE_VERSION = 1

#: Tests beside the primary one, each with another assumption.
ROBUSTNESS_TESTS = (
    "bmp_kp", "portfolio_regression", "filtered_placebo_t", "date_means_t", "wild_cluster", "grank_t", "placebo_caar",
)  # fmt: skip
#: Fewest events whose spread is a usable standard error.
LEAST_FIRMS = 5
#: Fewest windows that the estimation window must hold for the filtered test: fewer leave it few degrees of freedom.
LEAST_WINDOWS = 10


@dataclass(frozen=True, slots=True)
class PrimaryTest:
    """The primary test for some events.

    Attributes
    ----------
    name : str
        Its name in `marketimpact.TESTS`.
    because : str
        Which line of the rule chose it.
    """

    name: str
    because: str


def primary_test(facts: SampleStructure) -> PrimaryTest:
    """Choose the primary test by the first line of the rule that applies.

    Parameters
    ----------
    facts : SampleStructure
        Of the events; dates, firms, windows, estimation windows and the sessions before the events are used, abnormal
        returns of events are not.
    """
    if facts.n_day0 == 1 or facts.n_clusters == 1:
        dates = "one date" if facts.n_day0 == 1 else f"one cluster of {facts.n_day0} dates"
        return _over_events(facts, "one event" if facts.n_events == 1 else dates)
    if facts.clusters_overlap and not has_common_estimation_errors(facts):
        return _over_events(facts, f"windows of different {facts.cluster_label} overlap")
    if why_not := why_not_over_dates(facts):
        return _over_estimation_days(facts, why_not, always=False)
    return PrimaryTest("date_means_t", f"separate {facts.cluster_label}")


def _over_events(facts: SampleStructure, dates: str) -> PrimaryTest:
    """Choose between the spread over events and that over estimation days, where dates are no draws."""
    if why_not := _why_not_over_events(facts):
        because = dates if facts.n_events == 1 else f"{dates}, {why_not}"
        return _over_estimation_days(facts, because, always=_holds_enough_windows(facts))
    common = facts.diagnostics.recent_common_share.ratio
    if facts.filter_is_usable and common > MOST_RECENT_VARIANCE and _holds_enough_windows(facts):
        return PrimaryTest(
            "filtered_placebo_t", f"{dates}, variance of the common shock {common:.2f} times as large relative to own"
        )
    return PrimaryTest("bmp_kp", f"{dates}, {LEAST_FIRMS} events or more")


def _holds_enough_windows(facts: SampleStructure) -> bool:
    return facts.n_estimation_days >= LEAST_WINDOWS * facts.n_sessions


def _why_not_over_events(facts: SampleStructure) -> str:
    """Explain why the spread over events is no measure of the error of their mean; empty where it is."""
    if facts.n_events < LEAST_FIRMS:
        return f"fewer than {LEAST_FIRMS} events"
    if np.isnan(facts.inflation):
        return "correlation of the events unknown"
    if not facts.one_direction:
        return "firms that move in opposite directions"
    skewness = facts.diagnostics.event_moments.skewness_of_sum(facts.n_sessions)
    return "few events and skewed abnormal returns" if is_skewed(skewness, facts.n_events_of_mean) else ""


def _over_estimation_days(facts: SampleStructure, because: str, *, always: bool) -> PrimaryTest:
    """Choose the variance known the evening before, `always` or where it has changed, if it is known."""
    ratio = facts.sample.filtered_mean.variance_ratio
    changed = not LEAST_RECENT_VARIANCE <= ratio <= MOST_RECENT_VARIANCE
    if facts.filter_is_usable and (always or changed):
        return PrimaryTest("filtered_placebo_t", because)
    return PrimaryTest("portfolio_regression", because)


def role_of(test: str, primary: PrimaryTest) -> Role:
    """Return the role of a test beside the primary one."""
    if test == primary.name:
        return "primary"
    return "robustness" if test in ROBUSTNESS_TESTS else "other"
