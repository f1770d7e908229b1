"""The summary in words, generated from the numbers and never saying more than they do."""

from __future__ import annotations

import polars as pl

from marketimpact.core.text import listed
from marketimpact.display.formats import missing, p_value, percent
from marketimpact.inference import ONE_DATE, structure
from marketimpact.report.content import (
    AnnouncementResult,
    GroupResult,
    ReportContent,
    Window,
    firm_label,
    first_valid,
    limit_hits,
    readable,
)
from marketimpact.report.data_quality import doubted
from marketimpact.report.nearby_events import around
from marketimpact.report.specification_section import in_short
from marketimpact.study.result import StudyResult

__all__ = ["caveats", "searched", "summary"]

LEVEL = 0.05
#: Firms that a sentence names.
NAMED = 6


def summary(story: ReportContent) -> list[tuple[str, list[str]]]:
    """Per announcement: its headline, and a sentence per group and per thing to know."""
    parts = [(part.headline, _of_part(part, story)) for part in story.parts]
    return [("All in all", _in_all(story)), *parts] if parts else []


def _in_all(story: ReportContent) -> list[str]:
    """How many group means and single firms can be told from zero, against what chance alone would give."""
    best = [first_valid(group.test(story.primary)) for part in story.parts for group in part.groups]
    asked = [row["p_value"] for row in best if row is not None and not missing(row["p_value"])]
    found = sum(p < LEVEL for p in asked)
    window = list(story.primary)
    said = []
    if asked:
        said.append(
            f"{found} of {len(asked)} mean{'s' if len(asked) > 1 else ''} of groups in {window} can be told from zero "
            f"at 5%, each by the first test that holds; were there no effect at all, {LEVEL * len(asked):.2g} would "
            "be expected by chance."
        )
    singles = [(part, story.singles[part.key]) for part in story.parts]
    tested = sum(frame["p_romano_wolf"].is_not_nan().sum() for _, frame in singles)
    kept = [
        firm_label(row)
        for part, frame in singles
        for row in part.result.events.join(
            frame.filter(pl.col("p_romano_wolf") < LEVEL).select("event_id"), on="event_id", how="semi"
        ).iter_rows(named=True)
    ]
    if tested:
        named = listed(kept, limit=NAMED, quoted=False)
        said.append(
            f"Of {tested} single moves of firms, {len(kept) or 'none'} can be told from zero once all firms of the "
            f"announcement are allowed for{': ' + named if kept else ''}."
        )
    if story.curve is not None:
        said.append(in_short(story.curve))
    return said


def searched(story: ReportContent) -> bool:
    """Whether other announcements were looked for: that takes a chronology, and sessions with clocks."""
    return story.chronology is not None and not story.result.market.sessions["close"].null_count()


def caveats(story: ReportContent) -> list[str]:
    """What holds for the whole report."""
    said = [
        "Windows count sessions of each security's own exchange: [0, 1] is day 0 and the session after it.",
        "“Cannot be told from zero” does not mean that there was no effect: the interval says which effects "
        "remain possible.",
        "P-values are two-sided, and not corrected for the number of groups, announcements and windows looked at.",
    ]
    shared = [_one_date(part.result, story.primary) for part in story.parts]
    if any(shared):
        # said once, it must not read as if all announcements had one date
        said.append(ONE_DATE if len(shared) == 1 else f"Within {_which(shared)}: {ONE_DATE[0].lower()}{ONE_DATE[1:]}")
    if symbols := doubted(story.result):
        said.append(f"The prices of {symbols} are doubtful: see “What is doubtful about the prices” before quoting.")
    if story.result.attrition.height:
        said.append(f"{_events(story.result.attrition.height)} could not be used: see “What was left out”.")
    return said


def _of_part(part: AnnouncementResult, story: ReportContent) -> list[str]:
    said = [_of_group(group, story.primary) for group in part.groups]
    hits = limit_hits(part.result)
    if hits.height:
        firms = hits.join(part.result.events, on="event_id", how="left", validate="1:1", maintain_order="left")
        names = [f"{firm_label(row)} at {percent(row['ret'])}" for row in firms.iter_rows(named=True)]
        said.append(
            f"At the daily price limit on day 0: {', '.join(names)}. A capped return is a lower bound of the "
            "size of the move."
        )
    others = _others(part, story)
    beside = ", and the announcement's own record names more" if part.facts.get("confounders") else ""
    if others:
        said.append(
            f"{others} other announcement{'s' if others > 1 else ''} of the chronology "
            f"{'fall' if others > 1 else 'falls'} into the primary window{beside}: see “What else happened”."
        )
    elif beside:
        said.append("The announcement's own record names other news of the same days: see “What else happened”.")
    return said


def _of_group(group: GroupResult, window: Window) -> str:
    name, path = group.name, group.mean(window)
    if not path["n_events"]:
        return f"{name}: no return in {list(window)}."
    if path["n_events"] == 1:
        who = firm_label(group.result.events.row(0, named=True))
        lead = f"{who}: {percent(path['caar'])}"
        lead = lead if name.lower() in who.lower() else f"{name}: {lead}"
    else:
        lead = f"{name}: {percent(path['caar'])} on average over {_events(path['n_events'])}"
    band = f"95% interval {percent(path['ci_low'])} to {percent(path['ci_high'])}"
    return f"{lead} in {list(window)} ({band}); {_verdict(group, window)}{_truth(group, window)}."


def _verdict(group: GroupResult, window: Window) -> str:
    tests = group.test(window)
    best = first_valid(tests)
    if best is None:
        return "no test here holds for these events"
    held = tests.filter("valid")
    rejecting = held.filter(pl.col("p_value") < LEVEL).height
    told = "can be told from zero" if best["p_value"] < LEVEL else "cannot be told from zero"
    count = f"; {rejecting} of {held.height} tests that hold reject zero at 5%" if held.height > 1 else ""
    return f"{told} ({readable(best['test'])}, p = {p_value(best['p_value'])}{count})".replace("= <", "< ")


def _truth(group: GroupResult, window: Window) -> str:
    car = group.result.car(*window).drop_nulls("car")
    if "true_car" not in car.columns:
        return ""
    return f". Put into the simulated prices: {percent(car['true_car'].to_numpy().mean())}"


def _others(part: AnnouncementResult, story: ReportContent) -> int:
    return around(part, story).filter("in_primary").height if searched(story) else 0


def _one_date(result: StudyResult, window: Window) -> bool:
    sample = result.sample(*window)
    return sample.n > 1 and structure(sample).n_blocks == 1


def _which(shared: list[bool]) -> str:
    return "each announcement" if all(shared) else f"{sum(shared)} of {len(shared)} announcements"


def _events(n: int) -> str:
    return f"{n} event{'s' if n != 1 else ''}"
