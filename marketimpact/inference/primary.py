"""Choose the primary test from the structure of the events, by one rule that does not look at their abnormal returns.

The rule and its rates are in docs/primary_test.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from marketimpact.inference.structure import SampleStructure

__all__ = ["ROBUSTNESS_TESTS", "PrimaryTest", "Role", "primary_test", "role_of"]

Role = Literal["primary", "robustness", "other"]

#: Tests beside the primary one, each with another assumption.
ROBUSTNESS_TESTS = ("bmp_kp", "portfolio_regression", "date_means_t", "wild_cluster", "grank_t", "placebo_caar")


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
    """Choose the primary test from dates, firms, overlap and estimation windows; the first line that applies.

    Parameters
    ----------
    facts : SampleStructure
        Of the events.
    """
    if facts.n_events < 2:
        return PrimaryTest("portfolio_regression", "one event")
    if facts.n_clusters == 1 or facts.n_independent_groups == 1:
        if facts.n_events >= 5:
            return PrimaryTest("bmp_kp", "one date with at least 5 firms")
        return PrimaryTest("portfolio_regression", "one date with fewer than 5 firms")
    if facts.clusters_overlap:
        return PrimaryTest("portfolio_regression", "windows of several dates overlap")
    return PrimaryTest("date_means_t", "several separate dates")


def role_of(test: str, primary: PrimaryTest) -> Role:
    """Return the role of a test beside the primary one."""
    if test == primary.name:
        return "primary"
    return "robustness" if test in ROBUSTNESS_TESTS else "other"
