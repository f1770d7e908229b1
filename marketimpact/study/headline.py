"""The primary test of a mean abnormal return, told alike in every view: repr, notebook, report and command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from marketimpact.display.formats import MISSING_TEXT, is_missing, p_value, percent
from marketimpact.inference import (
    CONNECTED_WINDOWS,
    ONE_DATE,
    SIGNIFICANCE_LEVEL,
    TESTS,
    Sample,
    primary_test,
    structure,
)

__all__ = [
    "NOT_VALID",
    "WHY_FEW_DATES",
    "Headline",
    "clauses_of",
    "date_caveat",
    "effect_writer",
    "headline",
    "measure",
    "p_text",
    "reason_of",
]

#: With fewer separate dates than this a spread over dates finds large effects only.
FEW_DATES = 5
WHY_FEW_DATES = "a test over so few dates finds only large effects: see its minimum detectable effect."
#: What the reason begins with in the note of a test that is not valid.
NOT_VALID = "not valid: "


@dataclass(frozen=True, slots=True)
class Headline:
    """The primary test of one window. Where it is not valid, `p`, interval and detectable effect are None.

    Attributes
    ----------
    test : str
        Its name in `marketimpact.TESTS`.
    n_events : int
        Events that it used.
    effect : float or None
        Abnormal return that it estimates (a fraction); the CAAR, or a mean with other weights.
    low, high, p, mde : float or None
        Its 95% interval, p-value and minimum detectable effect; one end is None for a one-sided test.
    why_not : str
        Why it is not valid for these events; empty where it is.
    robustness : str
        How many of the valid robustness tests agree, without a full stop; empty where there are none.
    agreement : str
        The same in three or four words, such as *1 of 2 agree*; where the primary test is not valid, how many reject.
    disagreement : bool
        Whether a valid robustness test disagrees with a valid primary test.
    """

    test: str
    n_events: int
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    mde: float | None
    why_not: str
    robustness: str
    agreement: str
    disagreement: bool

    @property
    def valid(self) -> bool:
        """Whether the test keeps its size for these events."""
        return not self.why_not

    @property
    def rejects(self) -> bool:
        """Whether it is valid and rejects at 5%."""
        return self.p is not None and self.p < SIGNIFICANCE_LEVEL


def headline(tests: pl.DataFrame, label: Callable[[str], str] = str) -> Headline | None:
    """Read the primary test and its agreement with the robustness tests from a frame of `StudyResult.test`.

    None where the primary test is not among them, or no event has a return. `label` writes names of tests.
    """
    primary = tests.filter(pl.col("role") == "primary")
    if primary.is_empty():
        return None
    row = primary.row(0, named=True)
    why_not = reason_of(row)
    numbers = [row[name] if not why_not else None for name in ("ci_low", "ci_high", "p_value", "effect_mde")]
    low, high, p, mde = (None if is_missing(value) else value for value in numbers)
    agreement = _robustness(tests, p, label)
    return Headline(row["test"], row["n_events"], row["effect"], low, high, p, mde, why_not, *agreement)


def reason_of(row: dict[str, Any]) -> str:
    """Write why a row of `StudyResult.test` is not valid, without its prefix; empty where it is."""
    if row["valid"]:
        return ""
    clauses = clauses_of(row["note"])
    reasons = [clause.removeprefix(NOT_VALID) for clause in clauses if clause.startswith(NOT_VALID)]
    # an undefined test says first why it has no statistic
    if clauses and (math.isnan(row["statistic"]) or not reasons):
        return clauses[0]
    return "; ".join(reasons) or "it gave no statistic"


def clauses_of(note: str | None) -> list[str]:
    """Split the note of a test into its clauses."""
    return [clause.strip() for clause in (note or "").split(";") if clause.strip()]


def p_text(value: float | None) -> str:
    """Write a p-value after its letter: ``p = 0.034``, ``p < 0.001``."""
    written = p_value(value)
    return f"p < {written[1:]}" if written.startswith("<") else f"p = {written}"


def effect_writer(unit: str) -> Callable[[float | None], str]:
    """Choose how effects are written: fractions as percentages, log volumes and variances as signed numbers."""

    def signed(value: float | None) -> str:
        return MISSING_TEXT if value is None else f"{value:+.3f}".replace("-", "−")

    return signed if unit.startswith("log ") else percent


def measure(test: str) -> str:
    """Name the mean that a test estimates, as an abnormal return."""
    return "mean CAR weighted by 1/se" if TESTS[test].unit == "scar" else TESTS[test].estimate


def date_caveat(sample: Sample) -> str:
    """Write what no test can do for events of one date, and what a test over two to four dates can; else nothing."""
    if sample.n < 2:
        return ""
    facts = structure(sample)
    if facts.n_day0 == 1:
        return ONE_DATE
    if facts.n_independent_groups == 1:
        return CONNECTED_WINDOWS
    if facts.n_clusters < FEW_DATES and primary_test(facts).name == "date_means_t":
        if facts.n_clusters < facts.n_day0:
            return (
                f"{facts.n_day0} day-0 dates, of which some are days of one window: they count as {facts.n_clusters} "
                f"separate dates, and {WHY_FEW_DATES}"
            )
        return f"Events of {facts.n_clusters} separate {facts.cluster_label}: {WHY_FEW_DATES}"
    return ""


def _robustness(tests: pl.DataFrame, p: float | None, label: Callable[[str], str]) -> tuple[str, str, bool]:
    """Count the valid robustness tests that reject, in a sentence and in a few words; name those against `p`."""
    valid = tests.filter(pl.col("role") == "robustness", "valid", pl.col("p_value").is_not_nan())
    if valid.is_empty():
        return "", "", False
    rejects = pl.col("p_value") < SIGNIFICANCE_LEVEL
    of_all = f"of {valid.height} valid robustness test{'s' if valid.height > 1 else ''}"
    primary_rejects = p is not None and p < SIGNIFICANCE_LEVEL
    against = valid.filter(~rejects if primary_rejects else rejects)
    n = valid.filter(rejects).height
    few = f"{n} of {valid.height} reject" if p is None else f"{valid.height - against.height} of {valid.height} agree"
    if p is not None and against.height:
        named = ", ".join(f"{label(test)} {p_text(own)}" for test, own in against.select("test", "p_value").iter_rows())
        verbs = ("does not reject", "do not reject") if primary_rejects else ("rejects", "reject")
        return f"{against.height} {of_all} {verbs[against.height > 1]}: {named}", few, True
    verb = "rejects" if 1 in (n, valid.height) else "reject"
    return f"{n} {of_all} {'also ' if primary_rejects else ''}{verb} at 5%", few, False
