"""The summary of a report in sentences, generated from the numbers."""

from __future__ import annotations

import polars as pl

from marketimpact.display.formats import is_missing, p_value, percent
from marketimpact.inference import ONE_DATE, SIGNIFICANCE_LEVEL, structure
from marketimpact.report.content import (
    AnnouncementResult,
    GroupResult,
    ReportContent,
    Window,
    firm_label,
    first_valid,
    limit_hits,
    test_label,
)
from marketimpact.report.data_quality import doubtful_symbols
from marketimpact.report.nearby_events import nearby_announcements
from marketimpact.report.specification_section import curve_sentence
from marketimpact.study.result import StudyResult

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
    first_tests = [
        first_valid(group.test(content.primary))
        for announcement in content.announcements
        for group in announcement.groups
    ]
    p_values = [row["p_value"] for row in first_tests if row is not None and not is_missing(row["p_value"])]
    n_significant = sum(p < SIGNIFICANCE_LEVEL for p in p_values)
    window = list(content.primary)
    sentences = []
    if p_values:
        sentences.append(
            f"{n_significant} of {len(p_values)} mean{'s' if len(p_values) > 1 else ''} of groups in {window} "
            f"{'is' if n_significant == 1 else 'are'} statistically distinguishable from zero at 5%, each by the first "
            f"valid test; were there no effect at all, {SIGNIFICANCE_LEVEL * len(p_values):.2g} would be expected by "
            "chance."
        )
    single_tests = [(announcement, content.single_tests[announcement.key]) for announcement in content.announcements]
    n_tested = sum(frame["p_romano_wolf"].is_not_nan().sum() for _, frame in single_tests)
    significant = [
        firm_label(row)
        for announcement, frame in single_tests
        for row in announcement.result.events.join(
            frame.filter(pl.col("p_romano_wolf") < SIGNIFICANCE_LEVEL).select("event_id"), on="event_id", how="semi"
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
    same_day = [_shares_one_date(announcement.result, content.primary) for announcement in content.announcements]
    if any(same_day):
        # worded so that it does not read as if all announcements had one date
        within = f"Within {_which_announcements(same_day)}: {ONE_DATE[0].lower()}{ONE_DATE[1:]}"
        sentences.append(ONE_DATE if len(same_day) == 1 else within)
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
    name, path = group.name, group.mean(window)
    if not path["n_events"]:
        return f"{name}: no return in {list(window)}."
    if path["n_events"] == 1:
        firm = firm_label(group.result.events.row(0, named=True))
        effect = f"{firm}: {percent(path['caar'])}"
        effect = effect if name.lower() in firm.lower() else f"{name}: {effect}"
    else:
        effect = f"{name}: {percent(path['caar'])} on average over {_event_count(path['n_events'])}"
    interval = f"95% interval {percent(path['ci_low'])} to {percent(path['ci_high'])}"
    return f"{effect} in {list(window)} ({interval}); {_test_text(group, window)}{_true_effect_text(group, window)}."


def _test_text(group: GroupResult, window: Window) -> str:
    tests = group.test(window)
    first_test = first_valid(tests)
    if first_test is None:
        return "no test here is valid for these events"
    valid = tests.filter("valid")
    rejecting = valid.filter(pl.col("p_value") < SIGNIFICANCE_LEVEL).height
    verdict = (
        "statistically distinguishable from zero" if first_test["p_value"] < SIGNIFICANCE_LEVEL else "no clear effect"
    )
    count = f"; {rejecting} of {valid.height} valid tests reject zero at 5%" if valid.height > 1 else ""
    return f"{verdict} ({test_label(first_test['test'])}, p = {p_value(first_test['p_value'])}{count})".replace(
        "= <", "< "
    )


def _true_effect_text(group: GroupResult, window: Window) -> str:
    car = group.result.car(*window).drop_nulls("car")
    if "true_car" not in car.columns:
        return ""
    return f". Put into the simulated prices: {percent(car['true_car'].to_numpy().mean())}"


def _nearby_count(announcement: AnnouncementResult, content: ReportContent) -> int:
    return nearby_announcements(announcement, content).filter("in_primary").height if has_chronology(content) else 0


def _shares_one_date(result: StudyResult, window: Window) -> bool:
    sample = result.sample(*window)
    return sample.n > 1 and structure(sample).n_independent_groups == 1


def _which_announcements(same_day: list[bool]) -> str:
    return "each announcement" if all(same_day) else f"{sum(same_day)} of {len(same_day)} announcements"


def _event_count(n: int) -> str:
    return f"{n} event{'s' if n != 1 else ''}"
