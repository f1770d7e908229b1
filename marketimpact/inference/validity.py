"""Which tests hold for the events at hand: validity is data, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import scipy

from marketimpact.inference.detectable_effect import LEVEL, minimum_detectable_effect
from marketimpact.inference.families.correlation_adjusted import mean_correlation
from marketimpact.inference.protocol import Alternative, Level, Outcome, SignificanceTest, no_result, one_sided
from marketimpact.inference.sample import Sample

__all__ = ["ONE_DATE", "SampleStructure", "TestResult", "structure", "test_table", "verdicts"]

ONE_DATE = (
    "All events share one date: no test can tell a common effect of the announcement from another "
    "common shock of that day. Only more dates, or a factor that carries the shock, can."
)
#: Level at which a rise in variance is taken as seen.
VARIANCE_LEVEL = 0.05
#: Clusters are alike when their effective number is at least this share of their number.
ALIKE = 0.8

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
    """What about the events decides which tests hold.

    Attributes
    ----------
    n_events : int
        Events with an abnormal return in the window.
    n_clusters : int
        Announcements, or day-0 dates where events have no announcement.
    n_blocks : int
        Groups of events whose windows are chained by common days; one means a single date in
        effect.
    shares_days : bool
        Whether any two events have a day of the window in common.
    variance_ratio : float
        Cross-sectional variance of SCARs over the one expected without a change in variance; nan
        with fewer than three events.
    variance_p : float
        One-sided p-value of that ratio against 1, chi-squared; too small under fat tails.
    effective_clusters : float
        Clusters of equal size that would weigh events as unevenly.
    asynchronous : bool
        Whether events that hear the same news trade on exchanges that are hardly open at the same time.
    n_sessions : int
        Sessions of the window.
    clusters_overlap : bool
        Whether windows of different clusters have days in common.
    listed_twice : int
        Firms of which two listings are counted as events of days in common.
    clusters_are : str
        What clusters are, for notes.
    """

    n_events: int
    n_clusters: int
    n_blocks: int
    shares_days: bool
    variance_ratio: float
    variance_p: float
    effective_clusters: float
    asynchronous: bool
    n_sessions: int
    clusters_overlap: bool
    listed_twice: int
    clusters_are: str

    @property
    def clusters_differ(self) -> bool:
        """Whether clusters are of very unequal size."""
        return self.effective_clusters < ALIKE * self.n_clusters

    @property
    def variance_rose(self) -> bool:
        """Whether the events raised the variance, as far as the sample shows."""
        return self.variance_p < VARIANCE_LEVEL


def structure(sample: Sample) -> SampleStructure:
    """Describe how the events of a sample hang together."""
    ratio, p = _variance_ratio(sample)
    return SampleStructure(
        n_events=sample.n,
        n_clusters=sample.n_clusters,
        n_blocks=sample.n_blocks,
        shares_days=sample.shares_days,
        variance_ratio=ratio,
        variance_p=p,
        effective_clusters=sample.effective_clusters,
        asynchronous=sample.asynchronous,
        n_sessions=sample.length,
        clusters_overlap=sample.clusters_overlap,
        listed_twice=sample.listed_twice,
        clusters_are=sample.clusters_are,
    )


def _variance_ratio(sample: Sample) -> tuple[float, float]:
    """Event-variance ratio; a common shock does not show in it, so r is taken out of the divisor."""
    if sample.n < 3:
        return np.nan, np.nan
    r = mean_correlation(sample).value
    own_share = 1.0 - (r if np.isfinite(r) else 0.0)
    if own_share <= 0:
        return np.nan, np.nan
    ratio = float(sample.scar.var(ddof=1) / (sample.q.mean() * own_share))
    return ratio, float(scipy.special.chdtrc(sample.n - 1, (sample.n - 1) * ratio))


@dataclass(frozen=True, slots=True)
class TestResult:
    """What a test found, and whether to believe it.

    Attributes
    ----------
    test : SignificanceTest
    outcome : Outcome
    n_events : int
        Events the test looked at.
    why_not : str
        Why the test does not hold for these events, or found nothing; empty where it holds.
    note : str
        That, what the test itself notes, what it takes for granted, and caveats.
    """

    test: SignificanceTest
    outcome: Outcome
    n_events: int
    why_not: str
    note: str

    @property
    def valid(self) -> bool:
        """Whether the test spoke and keeps its size for these events."""
        return not self.why_not


def verdicts(
    tests: Sequence[SignificanceTest], sample: Sample, alternative: Alternative = "two-sided"
) -> list[TestResult]:
    """Run tests and judge whether they hold for these events, in the order asked."""
    if sample.n == 0:
        nothing = no_result("no event has a return in this window")
        return [TestResult(test, nothing, 0, nothing.note, nothing.note) for test in tests]
    facts = structure(sample)
    return [_judged(test, test.run(sample), sample.n, facts, alternative) for test in tests]


def _judged(
    test: SignificanceTest, outcome: Outcome, n: int, facts: SampleStructure, alternative: Alternative
) -> TestResult:
    outcome = replace(outcome, p_value=one_sided(test, outcome, alternative))
    level = test.holds.level(shared=facts.shares_days, variance=facts.variance_rose)
    why_not = _why_not(test, facts, level) or (outcome.doubt and f"does not hold: {outcome.doubt}")
    sideless = alternative != "two-sided" and test.sides == "none"
    notes = (
        "has no direction, so no one-sided p" if sideless else "",
        outcome.note,
        why_not or _assumed(test, facts, level),
        *_caveats(facts),
    )
    if np.isnan(outcome.statistic):
        why_not = outcome.note or "gave no statistic"
    n_events = n if outcome.n_events is None else outcome.n_events
    return TestResult(test, outcome, n_events, why_not, "; ".join(note for note in notes if note))


def test_table(
    tests: Sequence[SignificanceTest], sample: Sample, alternative: Alternative = "two-sided"
) -> pl.DataFrame:
    """One row per test, those that hold for these events first.

    Returns
    -------
    polars.DataFrame
        ``test, null, estimate, se, statistic, df, p_value, mde, n_events, valid, note``.
    """
    # a test of one direction spends its whole level there
    level = LEVEL if alternative == "two-sided" else 2.0 * LEVEL
    rows = [_row(verdict, level) for verdict in verdicts(tests, sample, alternative)]
    frame = pl.DataFrame(rows, schema=_COLUMNS, orient="row")
    return frame.sort("valid", descending=True, maintain_order=True)


def _row(verdict: TestResult, level: float) -> tuple[object, ...]:
    def number(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    test, outcome = verdict.test, verdict.outcome
    return (
        test.name,
        test.null,
        number(outcome.estimate),
        number(outcome.se),
        float(outcome.statistic),
        number(outcome.df),
        float(outcome.p_value),
        number(_detectable(test, outcome, level)),
        verdict.n_events,
        verdict.valid,
        verdict.note,
    )


def _detectable(test: SignificanceTest, outcome: Outcome, level: float) -> float:
    """Smallest effect, in the unit of the estimate, that a t or normal test finds in 80 of 100 samples."""
    known = test.sides == "symmetric" and np.isfinite(outcome.se) and outcome.se > 0 and np.isfinite(outcome.estimate)
    if not known or test.distribution[0] not in "tN":
        return np.nan
    return float(minimum_detectable_effect(outcome.se, np.inf if np.isnan(outcome.df) else outcome.df, level=level))


def _why_not(test: SignificanceTest, facts: SampleStructure, level: Level) -> str:
    """Why a test does not hold for these events; empty where it does."""
    holds = test.holds
    if facts.n_clusters < holds.min_clusters:
        return f"does not hold: needs at least {holds.min_clusters} {facts.clusters_are}, here are {facts.n_clusters}"
    if facts.n_events < holds.min_events:
        return f"does not hold: needs at least {holds.min_events} events, here are {facts.n_events}"
    if holds.clusters_apart and facts.clusters_overlap:
        return (
            f"does not hold: windows of different {facts.clusters_are} have days in common, so the "
            f"{facts.clusters_are} are not separate draws"
        )
    if holds.clusters_alike and facts.clusters_differ:
        return (
            f"does not hold: the {facts.n_clusters} {facts.clusters_are} are of very unequal size and weigh like "
            f"{facts.effective_clusters:.1f} equal ones"
        )
    too_often = _across_exchanges(test, facts)
    if too_often or level != "no":
        return too_often
    reasons = []
    if facts.shares_days and holds.shared_date == "no":
        reasons.append("takes events as independent, but they share days and so a common shock")
    if facts.variance_rose and holds.event_variance == "no":
        reasons.append(f"assumes unchanged variance, but SCARs vary {facts.variance_ratio:.1f} times as much")
    return "does not hold: " + (holds.because or "; ".join(reasons) or "not for events like these")


def _across_exchanges(test: SignificanceTest, facts: SampleStructure) -> str:
    """Why a test does not hold for exchanges that are hardly open together; empty where it does."""
    apart = test.holds.exchanges_apart
    if not facts.asynchronous or apart == "yes" or (apart == "one session" and facts.n_sessions == 1):
        return ""
    several = " over several sessions" if apart == "one session" else ""
    return f"does not hold: rejects too often across exchanges that are hardly open together{several}"


def _assumed(test: SignificanceTest, facts: SampleStructure, level: Level) -> str:
    """What a test that holds takes for granted."""
    if level == "nearly":
        return "slightly liberal when " + (
            "events share days" if facts.shares_days else "the event raises the variance"
        )
    if not facts.variance_rose and test.holds.level(shared=facts.shares_days, variance=True) == "no":
        return "assumes that the event did not raise the variance; no rise is seen"
    return ""


def _caveats(facts: SampleStructure) -> list[str]:
    caveats = []
    if facts.n_blocks == 1 and facts.n_events > 1:
        caveats.append("one date: a common effect cannot be told from a common shock")
    if facts.listed_twice:
        firms = "1 firm" if facts.listed_twice == 1 else f"{facts.listed_twice} firms"
        caveats.append(f"two listings of {firms} count as separate events: see marketimpact.one_listing")
    return caveats
