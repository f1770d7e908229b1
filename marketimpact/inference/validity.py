"""Run tests and say for each of them whether it is valid for the events at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import scipy

from marketimpact.inference.detectable_effect import minimum_detectable_effect
from marketimpact.inference.families.correlation_adjusted import mean_correlation
from marketimpact.inference.protocol import (
    SIGNIFICANCE_LEVEL,
    Alternative,
    Level,
    Outcome,
    SignificanceTest,
    no_result,
    one_sided,
)
from marketimpact.inference.sample import Sample

__all__ = ["ONE_DATE", "VARIANCE_LEVEL", "JudgedOutcome", "SampleStructure", "run_tests", "structure", "tests_frame"]

ONE_DATE = (
    "All events share one date: no test can distinguish a common effect of the announcement from another "
    "common shock of that day. Only more dates, or a factor that captures the shock, can."
)
#: Significance level of the test for a rise in variance.
VARIANCE_LEVEL = 0.05
#: Clusters count as equal in size when their effective number is at least this share of their number.
EQUAL_SIZE_SHARE = 0.8

_COLUMNS = {
    "test": pl.String,
    "null": pl.String,
    "estimate": pl.Float64,
    "se": pl.Float64,
    "statistic": pl.Float64,
    "df": pl.Float64,
    "p_value": pl.Float64,
    "mde": pl.Float64,
    "n_events": pl.Int64,
    "valid": pl.Boolean,
    "note": pl.String,
}


@dataclass(frozen=True, slots=True)
class SampleStructure:
    """Properties of the events on which the validity of tests depends.

    Attributes
    ----------
    n_events : int
        Events with an abnormal return in the window.
    n_clusters : int
        Announcements, or day-0 dates where events have no announcement.
    n_independent_groups : int
        Groups of events whose windows are connected by common days; one means a single date in
        effect.
    shares_days : bool
        Whether any two events have a day of the window in common.
    variance_ratio : float
        Cross-sectional variance of SCARs over the one expected without a change in variance; nan
        with fewer than three events.
    variance_p : float
        One-sided p-value of that ratio against 1, chi-squared; too small under fat tails.
    effective_clusters : float
        Effective number of clusters: their number where all have equal size, less where sizes differ.
    asynchronous : bool
        Whether events of the same news trade on exchanges that are hardly open at the same time.
    n_sessions : int
        Sessions of the window.
    clusters_overlap : bool
        Whether windows of different clusters have days in common.
    n_dual_listed : int
        Firms of which two listings count as events with days in common.
    cluster_label : str
        What clusters are, in the plural, for notes.
    """

    n_events: int
    n_clusters: int
    n_independent_groups: int
    shares_days: bool
    variance_ratio: float
    variance_p: float
    effective_clusters: float
    asynchronous: bool
    n_sessions: int
    clusters_overlap: bool
    n_dual_listed: int
    cluster_label: str

    @property
    def clusters_differ(self) -> bool:
        """Whether clusters are of very unequal size."""
        return self.effective_clusters < EQUAL_SIZE_SHARE * self.n_clusters

    @property
    def variance_rose(self) -> bool:
        """Whether the variance rose significantly at the events."""
        return self.variance_p < VARIANCE_LEVEL


def structure(sample: Sample) -> SampleStructure:
    """Describe the clusters, common days and variance of the events of a sample."""
    ratio, p = _variance_ratio(sample)
    return SampleStructure(
        n_events=sample.n,
        n_clusters=sample.n_clusters,
        n_independent_groups=sample.n_independent_groups,
        shares_days=sample.shares_days,
        variance_ratio=ratio,
        variance_p=p,
        effective_clusters=sample.effective_clusters,
        asynchronous=sample.asynchronous,
        n_sessions=sample.length,
        clusters_overlap=sample.clusters_overlap,
        n_dual_listed=sample.n_dual_listed,
        cluster_label=sample.cluster_label,
    )


def _variance_ratio(sample: Sample) -> tuple[float, float]:
    """Estimate the event-variance ratio; the spread leaves out a common shock, so the divisor does too."""
    if sample.n < 3:
        return np.nan, np.nan
    r = mean_correlation(sample).value
    own_share = 1.0 - (r if np.isfinite(r) else 0.0)
    if own_share <= 0:
        return np.nan, np.nan
    ratio = float(sample.scar.var(ddof=1) / (sample.q.mean() * own_share))
    return ratio, float(scipy.special.chdtrc(sample.n - 1, (sample.n - 1) * ratio))


@dataclass(frozen=True, slots=True)
class JudgedOutcome:
    """Outcome of a test, and whether the test is valid for the events.

    Attributes
    ----------
    test : SignificanceTest
    outcome : Outcome
    n_events : int
        Events that the test used.
    why_not : str
        Why the test is not valid for these events, or has no statistic; empty where it is valid.
    note : str
        That, the note of the test itself, its assumptions, and caveats.
    """

    test: SignificanceTest
    outcome: Outcome
    n_events: int
    why_not: str
    note: str

    @property
    def valid(self) -> bool:
        """Whether the test has a statistic and keeps its size for these events."""
        return not self.why_not


def run_tests(
    tests: Sequence[SignificanceTest], sample: Sample, alternative: Alternative = "two-sided"
) -> list[JudgedOutcome]:
    """Run tests and judge whether they are valid for these events, in the order given."""
    if sample.n == 0:
        nothing = no_result("no event has a return in this window")
        return [JudgedOutcome(test, nothing, 0, nothing.note, nothing.note) for test in tests]
    facts = structure(sample)
    return [_judged(test, test.run(sample), sample.n, facts, alternative) for test in tests]


def _judged(
    test: SignificanceTest, outcome: Outcome, n: int, facts: SampleStructure, alternative: Alternative
) -> JudgedOutcome:
    """Decide whether a test is valid from the structure of the sample, and collect its notes."""
    outcome = replace(outcome, p_value=one_sided(test, outcome, alternative))
    level = test.holds.level(shared=facts.shares_days, variance=facts.variance_rose)
    why_not = _why_not(test, facts, level) or (
        outcome.unreliable_because and f"not valid: {outcome.unreliable_because}"
    )
    has_no_direction = alternative != "two-sided" and test.sides == "none"
    notes = (
        "has no direction, so no one-sided p" if has_no_direction else "",
        outcome.note,
        why_not or _assumed(test, facts, level),
        *_caveats(facts),
    )
    if np.isnan(outcome.statistic):
        why_not = outcome.note or "gave no statistic"
    n_events = n if outcome.n_events is None else outcome.n_events
    return JudgedOutcome(test, outcome, n_events, why_not, "; ".join(note for note in notes if note))


def tests_frame(
    tests: Sequence[SignificanceTest], sample: Sample, alternative: Alternative = "two-sided"
) -> pl.DataFrame:
    """Run tests and return one row per test, valid ones first.

    Returns
    -------
    polars.DataFrame
        ``test, null, estimate, se, statistic, df, p_value, mde, n_events, valid, note``.
    """
    # a one-sided test has its whole level on one side
    level = SIGNIFICANCE_LEVEL if alternative == "two-sided" else 2.0 * SIGNIFICANCE_LEVEL
    rows = [_row(judged, level) for judged in run_tests(tests, sample, alternative)]
    frame = pl.DataFrame(rows, schema=_COLUMNS, orient="row")
    return frame.sort("valid", descending=True, maintain_order=True)


def _row(judged: JudgedOutcome, level: float) -> tuple[object, ...]:
    def number(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    test, outcome = judged.test, judged.outcome
    return (
        test.name,
        test.null,
        number(outcome.estimate),
        number(outcome.se),
        float(outcome.statistic),
        number(outcome.df),
        float(outcome.p_value),
        number(_detectable(test, outcome, level)),
        judged.n_events,
        judged.valid,
        judged.note,
    )


def _detectable(test: SignificanceTest, outcome: Outcome, level: float) -> float:
    """Compute the smallest effect, in the unit of the estimate, that a t or normal test detects with 80% power."""
    has_se = test.sides == "symmetric" and np.isfinite(outcome.se) and outcome.se > 0 and np.isfinite(outcome.estimate)
    if not has_se or test.distribution[0] not in "tN":
        return np.nan
    return float(minimum_detectable_effect(outcome.se, np.inf if np.isnan(outcome.df) else outcome.df, level=level))


def _why_not(test: SignificanceTest, facts: SampleStructure, level: Level) -> str:
    """Explain why a test is not valid for these events; empty where it is."""
    holds = test.holds
    if facts.n_clusters < holds.min_clusters:
        return f"not valid: needs at least {holds.min_clusters} {facts.cluster_label}, here are {facts.n_clusters}"
    if facts.n_events < holds.min_events:
        return f"not valid: needs at least {holds.min_events} events, here are {facts.n_events}"
    if holds.clusters_apart and facts.clusters_overlap:
        return (
            f"not valid: windows of different {facts.cluster_label} have days in common, so the "
            f"{facts.cluster_label} are not independent draws"
        )
    if holds.clusters_alike and facts.clusters_differ:
        return (
            f"not valid: the {facts.n_clusters} {facts.cluster_label} are of very unequal size "
            f"(their effective number is {facts.effective_clusters:.1f})"
        )
    rejects_too_often = _across_exchanges(test, facts)
    if rejects_too_often or level != "no":
        return rejects_too_often
    reasons = []
    if facts.shares_days and holds.shared_date == "no":
        reasons.append("takes events as independent, but they share days and so a common shock")
    if facts.variance_rose and holds.event_variance == "no":
        reasons.append(f"assumes unchanged variance, but SCARs vary {facts.variance_ratio:.1f} times as much")
    return "not valid: " + (holds.because or "; ".join(reasons) or "does not keep its size for events like these")


def _across_exchanges(test: SignificanceTest, facts: SampleStructure) -> str:
    """Explain why a test is not valid across exchanges that are hardly open together; empty where it is."""
    apart = test.holds.exchanges_apart
    if not facts.asynchronous or apart == "yes" or (apart == "one session" and facts.n_sessions == 1):
        return ""
    several = " over several sessions" if apart == "one session" else ""
    return f"not valid: rejects too often across exchanges that are hardly open together{several}"


def _assumed(test: SignificanceTest, facts: SampleStructure, level: Level) -> str:
    """State what a valid test assumes."""
    if level == "nearly":
        return "slightly liberal when " + (
            "events share days" if facts.shares_days else "the event raises the variance"
        )
    if not facts.variance_rose and test.holds.level(shared=facts.shares_days, variance=True) == "no":
        return "assumes that the event did not raise the variance; no rise is seen"
    return ""


def _caveats(facts: SampleStructure) -> list[str]:
    """Collect caveats that concern every test of these events."""
    caveats = []
    if facts.n_independent_groups == 1 and facts.n_events > 1:
        caveats.append("one date: a common effect cannot be distinguished from a common shock")
    if facts.n_dual_listed:
        firms = "1 firm" if facts.n_dual_listed == 1 else f"{facts.n_dual_listed} firms"
        caveats.append(f"two listings of {firms} count as separate events: see marketimpact.one_listing")
    return caveats
