"""Run tests and say for each of them whether it is valid for the events at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from marketimpact.inference.confidence_band import quantile_of
from marketimpact.inference.detectable_effect import minimum_detectable_effect
from marketimpact.inference.primary import Role, primary_test, role_of
from marketimpact.inference.protocol import (
    SIGNIFICANCE_LEVEL,
    Alternative,
    Level,
    Outcome,
    SignificanceTest,
    no_result,
    one_sided,
    return_per_unit,
)
from marketimpact.inference.reasons import violated
from marketimpact.inference.sample import Sample
from marketimpact.inference.structure import FEW_EVENTS, SampleStructure, structure

__all__ = ["CONNECTED_WINDOWS", "ONE_DATE", "JudgedOutcome", "interval", "run_tests", "tests_frame"]

_COMMON_SHOCK = (
    "no test can distinguish a common effect of the announcement from another common shock of that day. Only more "
    "dates, or a factor that captures the shock, can."
)
ONE_DATE = f"All events share one date: {_COMMON_SHOCK}"
CONNECTED_WINDOWS = f"The windows of all events are connected by common days: {_COMMON_SHOCK}"

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
    "role": pl.String,
    "effect": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "effect_mde": pl.Float64,
}
#: Rows in this order: the primary test, then valid tests, then the others.
_ORDER = (pl.col("role") != "primary", ~pl.col("valid"))


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
    role : {"primary", "robustness", "other"}
        See `marketimpact.inference.primary`.
    per_unit : float
        Abnormal return that one unit of the estimate stands for; nan where there is none.
    """

    test: SignificanceTest
    outcome: Outcome
    n_events: int
    why_not: str
    note: str
    role: Role = "other"
    per_unit: float = np.nan

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
    primary = primary_test(facts)
    return [
        replace(
            _judged(test, _run(test, sample), sample.n, facts, alternative),
            role=role_of(test.name, primary),
            per_unit=return_per_unit(test, sample),
        )
        for test in tests
    ]


def _run(test: SignificanceTest, sample: Sample) -> Outcome:
    """Run a test; one that cannot weight events is undefined where they are weighted."""
    if sample.weights is None or test.weighted:
        return test.run(sample)
    return no_result(f"takes no weights: it has no form in which events count by {sample.weighted_by}")


def _judged(
    test: SignificanceTest, outcome: Outcome, n: int, facts: SampleStructure, alternative: Alternative
) -> JudgedOutcome:
    """Decide whether a test is valid from the structure of the sample, and collect its notes."""
    outcome = replace(outcome, p_value=one_sided(test, outcome, alternative))
    level = test.holds.level(shared=facts.shares_days, variance=_variance_rose(test, facts))
    why_not = _why_not(test, facts, level) or _violated(test, facts, alternative)
    why_not = why_not or (outcome.unreliable_because and f"not valid: {outcome.unreliable_because}")
    has_no_direction = alternative != "two-sided" and test.sides == "none"
    if undefined := bool(np.isnan(outcome.statistic)):
        why_not = outcome.note or why_not or "gave no statistic"
    notes = (
        "has no direction, so no one-sided p" if has_no_direction else "",
        outcome.note,
        "" if undefined and outcome.note else why_not or _assumed(test, facts, level),
        *_caveats(facts),
    )
    n_events = n if outcome.n_events is None else outcome.n_events
    return JudgedOutcome(test, outcome, n_events, why_not, "; ".join(note for note in notes if note))


def tests_frame(
    tests: Sequence[SignificanceTest], sample: Sample, alternative: Alternative = "two-sided"
) -> pl.DataFrame:
    """Run tests and return one row per test: the primary one, then valid ones, then the others.

    Returns
    -------
    polars.DataFrame
        ``test, null, estimate, se, statistic, df, p_value, mde, n_events, valid, note, role, effect, ci_low, ci_high,
        effect_mde``; see `StudyResult.test`.
    """
    rows = [_row(judged, alternative) for judged in run_tests(tests, sample, alternative)]
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row").sort(_ORDER, maintain_order=True)


def _row(judged: JudgedOutcome, alternative: Alternative) -> tuple[object, ...]:
    def number(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    test, outcome = judged.test, judged.outcome
    mde = _detectable(test, outcome, alternative)
    return (
        test.name,
        test.null,
        number(outcome.estimate),
        number(outcome.se),
        float(outcome.statistic),
        number(outcome.df),
        float(outcome.p_value),
        number(mde),
        judged.n_events,
        judged.valid,
        judged.note,
        judged.role,
        number(outcome.estimate * judged.per_unit),
        *(number(end * judged.per_unit) for end in interval(test, outcome, alternative)),
        number(mde * judged.per_unit),
    )


def _has_t_form(test: SignificanceTest, outcome: Outcome) -> bool:
    """Check whether a test divides an estimate by its standard error, and compares that with t or N(0,1)."""
    has_se = np.isfinite(outcome.se) and outcome.se > 0 and np.isfinite(outcome.estimate)
    return test.sides == "symmetric" and bool(has_se) and test.distribution[0] in "tN"


def _detectable(test: SignificanceTest, outcome: Outcome, alternative: Alternative) -> float:
    """Compute the smallest effect, in the unit of the estimate, that a t or normal test detects with 80% power."""
    if not _has_t_form(test, outcome):
        return np.nan
    # a one-sided test has its whole level on one side
    level = SIGNIFICANCE_LEVEL if alternative == "two-sided" else 2.0 * SIGNIFICANCE_LEVEL
    return float(minimum_detectable_effect(outcome.se, np.inf if np.isnan(outcome.df) else outcome.df, level=level))


def interval(
    test: SignificanceTest, outcome: Outcome, alternative: Alternative = "two-sided", level: float = 0.95
) -> tuple[float, float]:
    """Compute the confidence interval that belongs to a test, in the unit of its estimate; nan where it has none.

    It contains zero exactly where the p-value is at least ``1 - level``. A one-sided test leaves one end open (nan).
    An interval that the test itself gives is two-sided and at 95%; it has no other.
    """
    if np.isfinite(outcome.ci_low) and np.isfinite(outcome.ci_high):
        own = outcome.ci_low, outcome.ci_high
        return own if alternative == "two-sided" and level == 1.0 - SIGNIFICANCE_LEVEL else (np.nan, np.nan)
    if not _has_t_form(test, outcome):
        return np.nan, np.nan
    tail = (1.0 + level) / 2.0 if alternative == "two-sided" else level
    df = np.inf if np.isnan(outcome.df) else outcome.df
    half = outcome.se * quantile_of(df, 2.0 * tail - 1.0)
    low = outcome.estimate - half if alternative != "less" else np.nan
    high = outcome.estimate + half if alternative != "greater" else np.nan
    return low, high


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
    if _variance_rose(test, facts) and holds.event_variance == "no":
        reasons.append(f"assumes unchanged variance, but {_spread(test, facts)}")
    return "not valid: " + (holds.because or ", and ".join(reasons) or "does not keep its size for events like these")


def _variance_rose(test: SignificanceTest, facts: SampleStructure) -> bool:
    """Check whether the event raised the variance from what the test takes it to be."""
    return facts.filtered_variance_rose if test.filters else facts.variance_rose


def _spread(test: SignificanceTest, facts: SampleStructure) -> str:
    if test.filters:
        return f"CARs vary {facts.filtered_variance_ratio:.1f} times as much as was known the evening before"
    return f"SCARs vary {facts.variance_ratio:.1f} times as much"


def _violated(test: SignificanceTest, facts: SampleStructure, alternative: Alternative) -> str:
    """Name the assumptions of a test that do not hold for these events; empty where all do."""
    reasons = violated(test.holds.assumes, facts, alternative)
    if test.holds.windows_alike and facts.sample.windows_differ:
        reasons = ["averages events on days of their estimation windows, which are not the same for all", *reasons]
    return f"not valid: {', and '.join(reasons)}" if reasons else ""


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
    if not _variance_rose(test, facts) and test.holds.level(shared=facts.shares_days, variance=True) == "no":
        unseen = "" if facts.n_events >= FEW_EVENTS and facts.one_direction else ", which so few events hardly show"
        return f"assumes that the event did not raise the variance{unseen}"
    return ""


def _caveats(facts: SampleStructure) -> list[str]:
    """Collect caveats that concern every test of these events."""
    caveats = []
    if facts.sample.weights is not None:
        caveats.append(
            f"weighted by {facts.sample.weighted_by}: effective number of events {facts.sample.n_effective:.1f} of "
            f"{facts.n_events}"
        )
    if facts.n_independent_groups == 1 and facts.n_events > 1:
        dates = "one date" if facts.n_day0 == 1 else "windows connected by common days"
        caveats.append(f"{dates}: a common effect cannot be distinguished from a common shock")
    if facts.n_dual_listed:
        firms = "1 firm" if facts.n_dual_listed == 1 else f"{facts.n_dual_listed} firms"
        caveats.append(f"two listings of {firms} count as separate events: see marketimpact.one_listing")
    return caveats
