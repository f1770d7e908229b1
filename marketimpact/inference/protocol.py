"""Significance tests: a name, a null hypothesis, when the test is valid, and a pure function of a sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Literal

from marketimpact.inference.sample import Sample

__all__ = [
    "ESTIMATION_VARIANCE",
    "SIGNIFICANCE_LEVEL",
    "SPREAD_OF_DATES",
    "SPREAD_OF_EVENTS",
    "Alternative",
    "Assumption",
    "Holds",
    "Level",
    "Outcome",
    "SignificanceTest",
    "no_result",
    "one_sided",
    "return_per_unit",
]

#: Level of a test: at a lower p-value an effect is called significant.
SIGNIFICANCE_LEVEL = 0.05

Level = Literal["yes", "nearly", "no"]
#: What a test assumes beyond the levels of `Holds`; `marketimpact.inference.reasons` checks each for the events.
Assumption = Literal[
    "recent variance", "usual common shock", "proportional shocks", "one direction", "little skewness", "symmetry",
    "windows apart", "many blocks", "no autocorrelation", "no lead or lag", "own estimation errors",
    "usual date variance",
]  # fmt: skip
#: Of tests that take the variance from the estimation window.
ESTIMATION_VARIANCE: frozenset[Assumption] = frozenset(
    {"recent variance", "usual common shock", "no autocorrelation", "own estimation errors"}
)
#: Of tests that take it from the spread over events, corrected for the correlation of the estimation window.
SPREAD_OF_EVENTS: frozenset[Assumption] = frozenset(
    {"proportional shocks", "one direction", "little skewness", "no lead or lag", "own estimation errors"}
)
#: Of tests that take it from the spread over dates.
SPREAD_OF_DATES: frozenset[Assumption] = frozenset({"little skewness", "own estimation errors"})
Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True, slots=True)
class Holds:
    """Conditions under which a test keeps its size, from the simulations of docs/size_and_power.md.

    Attributes
    ----------
    separate : Level
        Events on separate dates, variance unchanged.
    event_variance : Level
        Separate dates, the event raises each security's own variance.
    shared_date : Level
        Events share dates and so a common shock, variance unchanged.
    both : Level
        Shared dates and raised idiosyncratic variance.
    min_events : int
        Fewest events with which it keeps its size; below, the simulated size at nominal 5% is above 8%.
    min_clusters : int
        Fewest dates with which it keeps its size, or with which it can reject at 5% at all.
    clusters_apart : bool
        Whether windows of different clusters must not have days in common.
    clusters_alike : bool
        Whether clusters must be of similar size.
    exchanges_apart : {"yes", "one session", "no"}
        Whether it keeps its size when the events' exchanges are hardly open together: for any window, for a window
        of one session, or not at all; see docs/procedures/cross_market.md.
    windows_alike : bool
        Whether all events must be estimated over the same sessions relative to day 0, since it compares the mean of the
        events on these.
    assumes : frozenset of str
        Further assumptions, each of which is checked for the events.
    because : str
        Why a test is not valid where the reason is neither shared days nor a raised variance.
    """

    separate: Level
    event_variance: Level
    shared_date: Level
    both: Level
    min_events: int = 1
    min_clusters: int = 1
    clusters_apart: bool = False
    clusters_alike: bool = False
    exchanges_apart: Literal["yes", "one session", "no"] = "yes"
    windows_alike: bool = False
    assumes: frozenset[Assumption] = frozenset()
    because: str = ""

    def level(self, *, shared: bool, variance: bool) -> Level:
        """Look up how well the test keeps its size for events that share days, or raise the variance."""
        if shared:
            return self.both if variance else self.shared_date
        return self.event_variance if variance else self.separate


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a test; an undefined test has ``statistic = nan`` and a note.

    `n_events` is given only by tests that use other events than those with a return in the window.
    `unreliable_because` says why the p-value is not reliable for these data, whatever `Holds` says.
    `p_greater` and `p_less` are given by tests whose null distribution need not be symmetric.
    `ci_low` and `ci_high` are a two-sided 95% interval in the unit of the estimate, given by tests that do not get it
    from a standard error.
    """

    estimate: float
    statistic: float
    p_value: float
    df: float = nan
    se: float = nan
    note: str = ""
    n_events: int | None = None
    unreliable_because: str = ""
    p_greater: float = nan
    p_less: float = nan
    ci_low: float = nan
    ci_high: float = nan


@dataclass(frozen=True, slots=True)
class SignificanceTest:
    """A test of no abnormal return.

    Attributes
    ----------
    name : str
        Name in the registry.
    null : str
        The null hypothesis.
    estimate : str
        What `Outcome.estimate` measures.
    distribution : str
        Of the statistic under the null.
    source : str
        Where the statistic comes from.
    holds : Holds
        When it keeps its size.
    run : callable
        From a `Sample` to an `Outcome`.
    sides : {"symmetric", "own", "none"}
        How to get a one-sided p-value: half the two-sided one, since the statistic is symmetric under
        the null; from the outcome, which has both; or not at all, since the statistic has no sign.
    refits : bool
        Whether it estimates from returns again instead of using abnormal returns.
    filters : bool
        Whether it takes the variance to be that known the evening before instead of that of the estimation window.
    weighted : bool
        Whether it can take the weights of a sample.
    unit : {"return", "scar", "none"}
        Unit of an estimate that has a standard error or an interval: a return, or a SCAR, which `return_per_unit`
        converts.
    """

    name: str
    null: str
    estimate: str
    distribution: str
    source: str
    holds: Holds
    run: Callable[[Sample], Outcome]
    sides: Literal["symmetric", "own", "none"] = "symmetric"
    refits: bool = False
    filters: bool = False
    weighted: bool = False
    unit: Literal["return", "scar", "none"] = "none"


def return_per_unit(test: SignificanceTest, sample: Sample) -> float:
    """Return the abnormal return that one unit of a test's estimate stands for; nan where it has no such unit.

    A common effect c moves the mean SCAR by c times the mean of ``1 / se``: the effect behind a mean SCAR is the mean
    CAR weighted by ``1 / se``.
    """
    if test.unit == "scar":
        return 1.0 / sample.mean(1.0 / sample.se)
    return 1.0 if test.unit == "return" else nan


def one_sided(test: SignificanceTest, outcome: Outcome, alternative: Alternative) -> float:
    """Compute the p-value against the alternative; nan for a test whose statistic has no sign."""
    if alternative == "two-sided":
        return outcome.p_value
    if test.sides == "none":
        return nan
    if test.sides == "own":
        return outcome.p_greater if alternative == "greater" else outcome.p_less
    towards = outcome.statistic > 0 if alternative == "greater" else outcome.statistic < 0
    half = outcome.p_value / 2.0
    return half if towards else 1.0 - half


def no_result(note: str, estimate: float = nan) -> Outcome:
    """Return the outcome of a test that is undefined for the sample, with the reason."""
    return Outcome(estimate, nan, nan, note=note)
