"""The summary of a report in sentences, generated from the numbers."""

from __future__ import annotations

import polars as pl

from marketimpact.display.formats import interval, percent
from marketimpact.inference import CONNECTED_WINDOWS, ONE_DATE, SIGNIFICANCE_LEVEL
from marketimpact.report.content import (
    AnnouncementResult,
    GroupResult,
    ReportContent,
    Window,
    firm_label,
    limit_hits,
    test_label,
)
from marketimpact.report.data_quality import doubtful_symbols
from marketimpact.report.nearby_events import nearby_announcements
from marketimpact.report.specification_section import curve_sentence
from marketimpact.study.headline import WHY_FEW_DATES, date_caveat, measure, p_text

__all__ = ["caveats", "has_chronology", "summary"]

#: Firms named in a sentence.
MOST_FIRMS_NAMED = 6


def summary(content: ReportContent) -> list[tuple[str, list[str]]]:
    """Write, per announcement, its headline and a sentence per group and per caveat."""
    announcements = [
        (announcement.headline, _announcement_sentences(announcement, content))
        for announcement in content.announcements
    ]
    return [("All in all", _overall(content)), *announcements] if announcements else []


def _overall(content: ReportContent) -> list[str]:
    """Count the significant group means and single firms, beside the number expected by chance."""
    told = [
        group.primary_test(content.primary) for announcement in content.announcements for group in announcement.groups
    ]
    valid = [one for one in told if one is not None and one.valid]
    n_significant = sum(one.rejects for one in valid)
    n_not_valid = sum(one is not None and not one.valid for one in told)
    window, what = list(content.primary), "group" if content.group else "announcement"
    sentences = []
    if valid:
        sentences.append(
            f"{n_significant} of {len(valid)} mean{'s' if len(valid) > 1 else ''} of {what}s in {window} "
            f"{'is' if n_significant == 1 else 'are'} statistically distinguishable from zero at 5%, each by its "
            f"primary test; were there no effect at all, {SIGNIFICANCE_LEVEL * len(valid):.2g} would be expected by "
            "chance."
        )
    if n_not_valid:
        sentences.append(
            f"The primary test is not valid for {n_not_valid} {what}{'s' if n_not_valid > 1 else ''} in {window}, so "
            "no p-value is given there."
        )
    single_tests = [(announcement, content.single_tests[announcement.key]) for announcement in content.announcements]
    n_tested = sum(frame["p_romano_wolf_filtered"].is_not_null().sum() for _, frame in single_tests)
    below = pl.col("p_romano_wolf_filtered") < SIGNIFICANCE_LEVEL
    significant = [
        firm_label(row)
        for announcement, frame in single_tests
        for row in announcement.result.events.join(
            frame.filter(below).select("event_id"), on="event_id", how="semi"
        ).iter_rows(named=True)
    ]
    if n_tested:
        more = len(significant) - MOST_FIRMS_NAMED
        names = ", ".join(significant[:MOST_FIRMS_NAMED]) + (f" and {more} more" if more > 0 else "")
        sentences.append(
            f"Of {n_tested} single moves of firms, {len(significant) or 'none'} "
            f"{'is' if len(significant) < 2 else 'are'} statistically distinguishable from zero after correction for "
            f"all firms of the announcement{': ' + names if significant else ''}."
        )
    if content.curve is not None:
        sentences.append(curve_sentence(content.curve))
    return sentences


def has_chronology(content: ReportContent) -> bool:
    """Check whether other announcements can be searched: that needs a chronology, and sessions with times of day."""
    return content.chronology is not None and not content.result.market.sessions["close"].null_count()


def caveats(content: ReportContent) -> list[str]:
    """List the caveats of the whole report."""
    sentences = [
        "Windows count sessions of each security's own exchange: [0, 1] is day 0 and the session after it.",
        "“No clear effect” (not statistically distinguishable from zero at 5%) does not mean that there was no effect: "
        "the interval says which effects remain possible.",
        "P-values are two-sided, and not corrected for the number of groups, announcements and windows looked at.",
    ]
    sentences += _date_caveats(content)
    if symbols := doubtful_symbols(content.result):
        sentences.append(f"The prices of {symbols} are doubtful: see “Data quality” before quoting.")
    if content.result.attrition.height:
        sentences.append(f"{_event_count(content.result.attrition.height)} could not be used: see “What was left out”.")
    return sentences


def _announcement_sentences(announcement: AnnouncementResult, content: ReportContent) -> list[str]:
    sentences = [_group_sentence(group, content.primary) for group in announcement.groups]
    hits = limit_hits(announcement.result)
    if hits.height:
        firms = hits.join(announcement.result.events, on="event_id", how="left", validate="1:1", maintain_order="left")
        names = [f"{firm_label(row)} at {percent(row['ret'])}" for row in firms.iter_rows(named=True)]
        sentences.append(
            f"At the daily price limit on day 0: {', '.join(names)}. A capped return is a lower bound of the "
            "size of the move."
        )
    n_nearby = _nearby_count(announcement, content)
    recorded = ", and the announcement's own record names more" if announcement.facts.get("confounders") else ""
    if n_nearby:
        sentences.append(
            f"{n_nearby} other announcement{'s' if n_nearby > 1 else ''} of the chronology "
            f"{'fall' if n_nearby > 1 else 'falls'} into the primary window{recorded}: see “What else happened”."
        )
    elif recorded:
        sentences.append("The announcement's own record names other news of the same days: see “What else happened”.")
    return sentences


def _group_sentence(group: GroupResult, window: Window) -> str:
    cars, effect = group.cars(window), percent(group.caar(window))
    if cars.is_empty():
        return f"{group.name}: no return in {list(window)}."
    if cars.height > 1:
        subject, effect = group.name, f"{effect} on average over {_event_count(cars.height)}"
    else:
        firm = firm_label(cars.row(0, named=True))
        is_named = group.value is None or group.name.lower() in firm.lower()
        subject = firm if is_named else f"{group.name}: {firm}"
    return f"{subject}: {effect} in {list(window)}; {_test_text(group, window)}{_true_effect_text(group, window)}."


def _test_text(group: GroupResult, window: Window) -> str:
    """Write the verdict of the primary test with its interval and p, and which robustness tests disagree."""
    told = group.primary_test(window)
    if told is None:
        return "no test is defined"
    # agreement is the usual case, and in the tables
    robustness = f"; {told.robustness}" if told.disagreement or (told.robustness and not told.valid) else ""
    if not told.valid:
        return f"not tested, since {test_label(told.test)} is not valid here: {told.why_not}{robustness}"
    verdict = "statistically distinguishable from zero" if told.rejects else "no clear effect"
    effect = percent(told.effect)
    weighted = f"{measure(told.test)} {effect}, " if effect != percent(group.caar(window)) else ""
    ends = f"95% interval {interval(told.low, told.high)}, " if told.low is not None else ""
    return f"{verdict} ({test_label(told.test)}: {weighted}{ends}{p_text(told.p)}{robustness})"


def _true_effect_text(group: GroupResult, window: Window) -> str:
    cars = group.cars(window)
    if "true_car" not in cars.columns:
        return ""
    return f". Put into the simulated prices: {percent(cars['true_car'].to_numpy().mean())}"


def _nearby_count(announcement: AnnouncementResult, content: ReportContent) -> int:
    return nearby_announcements(announcement, content).filter("in_primary").height if has_chronology(content) else 0


def _date_caveats(content: ReportContent) -> list[str]:
    """Write what tests cannot do within announcements of one date, and of two to four."""
    found = [date_caveat(announcement.result.sample(*content.primary)) for announcement in content.announcements]
    if len(found) == 1:
        return [caveat for caveat in found if caveat]
    sentences = []
    # worded so that it does not read as if all announcements had one date
    for caveat in (ONE_DATE, CONNECTED_WINDOWS):
        if caveat in found:
            which = _which_announcements([one == caveat for one in found])
            sentences.append(f"Within {which}: {caveat[0].lower()}{caveat[1:]}")
    few_dates = [bool(caveat) and caveat not in (ONE_DATE, CONNECTED_WINDOWS) for caveat in found]
    if any(few_dates):
        which = _which_announcements(few_dates)
        sentences.append(f"Within {which} events have two to four separate dates: {WHY_FEW_DATES}")
    return sentences


def _which_announcements(chosen: list[bool]) -> str:
    return "each announcement" if all(chosen) else f"{sum(chosen)} of {len(chosen)} announcements"


def _event_count(n: int) -> str:
    return f"{n} event{'s' if n != 1 else ''}"
