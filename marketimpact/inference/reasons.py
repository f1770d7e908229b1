"""Check, for the events at hand, what a test assumes: one function per assumption, which returns the reason or nothing.

Rates and thresholds are from the situations of docs/size_and_power.md.
"""

from __future__ import annotations

from collections.abc import Callable

from marketimpact.inference.protocol import Alternative, Assumption
from marketimpact.inference.structure import SampleStructure

__all__ = [
    "BLOCKS_APART",
    "LEAST_DATES",
    "LEAST_RECENT_VARIANCE",
    "MOST_RECENT_VARIANCE",
    "has_common_estimation_errors",
    "is_skewed",
    "violated",
    "why_not_over_dates",
]

#: Dates from which their scatter shows whether the common shock was larger than usual: a shock twice as large is seen
#: in 19 of 20 samples of 30 dates, in nine of ten of 20, in three of four of 10.
LEAST_DATES = 30
#: Recent variance over that of the estimation window, between which a variance taken from there is right.
MOST_RECENT_VARIANCE, LEAST_RECENT_VARIANCE = 1.5, 2.0 / 3.0
#: Standard errors by which the recent variance must differ: of date means, and of events, which are more numerous.
CRITICAL_DATES, CRITICAL_EVENTS = 1.8, 3.0
#: Squared skewness over the number of observations, above which a t test rejects too often; less for one side.
MOST_SKEWNESS, MOST_SKEWNESS_ONE_SIDED = 0.15, 0.1
#: Skewness up to this is what fat tails give by chance.
CHANCE_SKEWNESS, CHANCE_SKEWNESS_ONE_SIDED = 1.0, 0.75
#: Skewness times the root of the number of events, above which symmetry is not tenable.
MOST_ASYMMETRY = 4.0
#: Variance of a window's sum over that of independent sessions.
MOST_SERIAL_INFLATION, MOST_LEAD_LAG_INFLATION = 1.2, 1.25
#: Placebo blocks of L sessions need this many times L estimation days.
BLOCKS_APART = 20
#: Variance of the mean CAR with common errors of estimation, over that without: above, tests reject too often; below,
#: they miss effects.
MOST_ESTIMATION_INFLATION, LEAST_ESTIMATION_INFLATION = 1.1, 0.8

Assumptions = frozenset[Assumption]
Check = Callable[[Assumptions, SampleStructure, Alternative], str]


def violated(assumes: Assumptions, facts: SampleStructure, alternative: Alternative = "two-sided") -> list[str]:
    """List the reasons why assumptions of a test do not hold for these events."""
    reasons = (_CHECKS[name](assumes, facts, alternative) for name in _CHECKS if name in assumes)
    return [reason for reason in reasons if reason]


def is_skewed(skewness: float, n: float, alternative: Alternative = "two-sided") -> bool:
    """Check whether n observations of this skewness are too few for a t test."""
    most, chance = (MOST_SKEWNESS, CHANCE_SKEWNESS)
    if alternative != "two-sided":
        most, chance = (MOST_SKEWNESS_ONE_SIDED, CHANCE_SKEWNESS_ONE_SIDED)
    return abs(skewness) > chance and skewness**2 / n > most


def _recent_variance(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    if facts.sample.knows_recent_variance:
        return ""
    dates, events = facts.diagnostics.recent_variance_of_dates, facts.diagnostics.recent_variance_of_events
    # where firms move in opposite directions, their moves cancel in the mean
    series = [(dates, CRITICAL_DATES)] + [(events, CRITICAL_EVENTS)] * facts.one_direction
    for recent, critical in series:
        if recent.rose(MOST_RECENT_VARIANCE, critical):
            return (
                f"recent variance is {recent.ratio:.1f} times that of the estimation window, which it takes to be "
                "unchanged"
            )
        if recent.fell(LEAST_RECENT_VARIANCE, critical):
            return (
                f"recent variance is only {recent.ratio:.2f} of that of the estimation window, which it takes to be "
                "unchanged, so effects are missed"
            )
    return ""


def _usual_common_shock(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    if not facts.shares_days:
        return ""
    if few_dates := _few_dates(facts):
        return few_dates
    if facts.dates_scatter_more:
        return (
            f"{facts.cluster_label} differ more than it assumes: the variance of their means is "
            f"{facts.date_scatter:.1f} times that of the estimation windows"
        )
    return ""


def why_not_over_dates(facts: SampleStructure) -> str:
    """Explain why the means of dates are not independent draws that a t test can use; empty where they are."""
    label = facts.cluster_label
    if facts.clusters_overlap:
        return f"windows of different {label} overlap"
    if is_skewed(facts.diagnostics.date_moments.skewness_of_sum(facts.n_sessions), facts.n_clusters_of_mean):
        return f"few {label} and skewed abnormal returns"
    return f"{label} share errors of estimation" if has_common_estimation_errors(facts) else ""


def has_common_estimation_errors(facts: SampleStructure) -> bool:
    """Check whether errors of estimation that dates share change the variance of the mean noticeably."""
    return not LEAST_ESTIMATION_INFLATION <= facts.estimation_inflation <= MOST_ESTIMATION_INFLATION


def _few_dates(facts: SampleStructure) -> str:
    """Explain that dates are too few to show a larger shock, where they could be draws themselves; else empty.

    They could not where all windows are connected: that is one date in effect.
    """
    if facts.n_independent_groups == 1 or facts.n_day0 >= LEAST_DATES:
        return ""
    other_clusters = facts.clusters_overlap or facts.n_clusters == 1
    if not other_clusters and why_not_over_dates(facts):
        return ""
    advice = (
        ": cluster events so that windows of different clusters do not overlap, result.clustered(...), or take a "
        "shorter window"
    )
    return (
        f"takes the shock that firms share on a date to be as large as in the estimation windows, which "
        f"{facts.n_day0} dates cannot show (needs {LEAST_DATES}){advice if other_clusters else ''}"
    )


def _proportional_shocks(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    if not facts.shares_days:
        return ""
    if few_dates := _few_dates(facts):
        return few_dates
    if facts.dates_scatter_more_than_events:
        return f"the shock that firms share varies more between {facts.cluster_label} than their own returns explain"
    if facts.diagnostics.recent_common_share.rose(MOST_RECENT_VARIANCE, CRITICAL_DATES):
        ratio = facts.diagnostics.recent_common_share.ratio
        return f"the variance of the shock that firms share rose {ratio:.1f} times as much as their own lately"
    return ""


def _one_direction(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    if facts.one_direction:
        return ""
    return (
        f"firms move in opposite directions on one factor (1 + (N-1) r = {facts.inflation:.2f}), which the spread "
        "over events then measures"
    )


def _little_skewness(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    over_dates = "proportional shocks" not in assumes and facts.shares_days
    moments = facts.diagnostics.date_moments if over_dates else facts.diagnostics.event_moments
    n, unit = (facts.n_clusters_of_mean, facts.cluster_label) if over_dates else (facts.n_events_of_mean, "events")
    skewness = moments.skewness_of_sum(facts.n_sessions)
    if not is_skewed(skewness, n, alternative):
        return ""
    side = "" if alternative == "two-sided" else " for a one-sided test"
    return f"abnormal returns are skewed ({skewness:+.1f}) and {n:.3g} {unit} are too few for a t test of them{side}"


def _symmetry(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    skewness = facts.diagnostics.event_moments.skewness_of_sum(facts.n_sessions)
    if abs(skewness) * facts.n_events**0.5 <= MOST_ASYMMETRY:
        return ""
    return f"assumes symmetric abnormal returns, but they are skewed ({skewness:+.1f})"


def _windows_apart(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    if not facts.windows_staggered:
        return ""
    return (
        f"scales a daily variance by {facts.n_sessions} sessions, but days enter the windows of different dates at "
        "different sessions"
    )


def _many_blocks(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    length, days = facts.n_sessions, facts.n_estimation_days
    if days >= BLOCKS_APART * length:
        return ""
    return (
        f"compares with blocks of {length} sessions, for which {days:.0f} estimation days are too few "
        f"(needs {BLOCKS_APART * length})"
    )


def _no_autocorrelation(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    if facts.n_sessions == 1 or (facts.sample.serial_correlation and "windows apart" not in assumes):
        return ""
    moments = facts.diagnostics.date_moments
    inflation = moments.variance_inflation(facts.n_sessions)
    if inflation <= MOST_SERIAL_INFLATION:
        return ""
    return (
        f"abnormal returns of neighbouring sessions are correlated ({moments.autocorrelation:+.2f}), which makes the "
        f"variance of the window {inflation:.1f} times as large (serial_correlation=True allows for it)"
    )


def _no_lead_or_lag(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    if facts.n_sessions == 1 or not facts.shares_days:
        return ""
    moments = facts.diagnostics.date_moments, facts.diagnostics.event_moments
    dates, events = (each.variance_inflation(facts.n_sessions) for each in moments)
    if dates <= MOST_LEAD_LAG_INFLATION * events:
        return ""
    return (
        "some firms respond a session later than others, so daily correlations understate that of the window (one "
        "session, or portfolio_regression with serial_correlation=True, avoids this)"
    )


def _own_estimation_errors(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    if facts.estimation_inflation <= MOST_ESTIMATION_INFLATION:
        return ""
    return (
        f"{facts.cluster_label} share estimation days, so that errors of estimation make the variance of the mean "
        f"{facts.estimation_inflation:.1f} times as large"
    )


def _usual_date_variance(assumes: Assumptions, facts: SampleStructure, alternative: Alternative) -> str:
    if facts.shares_days and (few_dates := _few_dates(facts)):
        return few_dates
    if facts.filtered_dates_scatter_more:
        return (
            "dates differ more than it assumes: the variance of their means is "
            f"{facts.filtered_date_scatter:.1f} times that known the evening before"
        )
    return ""


#: In this order reasons are given.
_CHECKS: dict[Assumption, Check] = {
    "one direction": _one_direction,
    "windows apart": _windows_apart,
    "many blocks": _many_blocks,
    "usual common shock": _usual_common_shock,
    "proportional shocks": _proportional_shocks,
    "recent variance": _recent_variance,
    "usual date variance": _usual_date_variance,
    "little skewness": _little_skewness,
    "symmetry": _symmetry,
    "no autocorrelation": _no_autocorrelation,
    "no lead or lag": _no_lead_or_lag,
    "own estimation errors": _own_estimation_errors,
}
