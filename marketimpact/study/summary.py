"""Summary of a result in a few lines, for terminals and notebooks."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from marketimpact.core import limits
from marketimpact.display.formats import count, interval, percent
from marketimpact.inference import DEFAULT_TESTS, Sample, primary_test, select_tests, structure, tests_frame
from marketimpact.study.donors import donor_news_text
from marketimpact.study.group_lines import MOST_ANNOUNCEMENTS, WIDTH, group_lines
from marketimpact.study.headline import Headline, date_caveat, effect_writer, headline, measure, p_text
from marketimpact.study.questions import Questions

__all__ = [
    "as_lines",
    "few_donors_text",
    "headline_window",
    "is_one_sample",
    "path_base",
    "path_measure",
    "peers_text",
    "reasons",
    "shown_windows",
    "title",
]

#: Donors from which on intervals cover in simulations with a factor far out on day 0 (docs/findings/peers.md).
ENOUGH_DONORS = 10
#: The numbers of that page of the mean of the peers, statistical factors and ridge, the lowest to the highest.
FEW_DONORS = (
    f"with fewer than {ENOUGH_DONORS} donors intervals are too narrow where a factor moves far on day 0: 95% intervals "
    "covered 86% to 89% with 5 donors and 82% to 84% with 3 in simulations, by model"
)


def as_lines(result: Questions) -> list[str]:
    """Summarise a result in lines of 80 columns: mean abnormal returns by announcement and group first."""
    values, events = result.estimation, result.events
    lines = [f"StudyResult: {title(result)}" + ("   [SIMULATED PRICES]" if result.market.simulated else "")]
    if events.height:
        lines += _effects(result)
    counts = [count(events.height, "event")]
    counts += [_securities_text(events["symbol"].n_unique()), count(events["date"].n_unique(), "day-0 date")]
    lines.append(", ".join(counts) + f"; event window {list(values.settings.event)}")
    if result.selected_from is not None:
        n, undecided = result.selected_from
        lines.append(f"selected by where: {events.height} of {count(n, 'event')}{_undecided_text(undecided)}")
    if result.model.design.donors:
        peers = "; ".join(filter(None, (peers_text(result), few_donors_text(result), "see .donors")))
        lines += _wrapped(peers) + _wrapped(donor_news_text(result))
    if result.attrition.height:
        lines += _wrapped(f"not used: {result.attrition.height} ({reasons(result.attrition)}); see .attrition")
    return lines


def peers_text(result: Questions) -> str:
    """Write that effects are relative to the peers, and how many donors an event uses."""
    used = result.estimates["n_donors"].to_list() if result.events.height else [0]
    low, high = min(used), max(used)
    number = f"{low}" if low == high else f"{low} to {high}"
    donors = count(len(result.model.design.donors), "donor")
    return f"effects are relative to the peers: {number} of {donors} used by each event"


def few_donors_text(result: Questions) -> str:
    """Write what few donors mean for the intervals; empty where no event uses few."""
    if not result.model.design.donors or result.events.is_empty():
        return ""
    return FEW_DONORS if min(result.estimates["n_donors"]) < ENOUGH_DONORS else ""


def _securities_text(n: int) -> str:
    return "1 security" if n == 1 else f"{n:,} securities"


def _undecided_text(n: int) -> str:
    return f"; the condition is empty for {count(n, 'event')}" if n else ""


def _effects(result: Questions) -> list[str]:
    """Write the mean abnormal return of each announcement and group; of one sample its primary test as well."""
    windows = shown_windows(result, headline_window(result))
    first, last = windows[-1]
    sample = result.sample(first, last)
    if sample.n == 0:
        return [f"no event has a return in [{first}, {last}]"]
    unit = result.market.unit
    if sample.n > limits.EVENTS_TESTED_IN_REPR or unit.startswith("log "):
        write = effect_writer(unit)
        points = f" log points ({unit})" if unit.startswith("log ") else ""
        mean = f"CAAR [{first}, {last}] {write(float(sample.car.mean()))}{points} over {count(sample.n, 'event')}"
        return [mean, *_wrapped(f"tests: see .test({first}, {last})")]
    parts, pooled = _parts(result)
    rows = [row for part in parts for row in _rows(part, windows)]
    lines = group_lines(pl.DataFrame(rows, infer_schema_length=None), windows)
    if pooled:
        lines += _wrapped(f"{pooled} announcements are pooled: result.by('announcement_id') takes them apart")
    if len(parts) == 1:
        lines += [line for told in _told(sample) for line in _wrapped(told)]
    # of several announcements no pooled test is shown, which the caveat would be about
    caveat = date_caveat(sample) if len({part.announcement for part in parts}) == 1 else ""
    return [*lines, *_wrapped(caveat)]


@dataclass(frozen=True, slots=True)
class _Part:
    """One line of the summary: number, day and headline of its announcement, its group, and the events of both."""

    announcement: int
    headline: str
    group: str
    result: Questions


def _parts(result: Questions) -> tuple[list[_Part], int]:
    """Divide a result by announcement and group; more than `MOST_ANNOUNCEMENTS` are pooled, and counted."""
    columns = result.events.columns
    n = result.events["announcement_id"].n_unique() if "announcement_id" in columns else 1
    if "announcement_id" not in columns or n > MOST_ANNOUNCEMENTS:
        return [_Part(1, "All events", name, part) for name, part in _groups(result)], n if n > 1 else 0
    order = ["announced_at", "announcement_id"] if "announced_at" in columns else ["announcement_id"]
    parts = []
    for k, row in enumerate(result.events.unique("announcement_id").sort(order).iter_rows(named=True), 1):
        own = result.where(pl.col("announcement_id") == row["announcement_id"])
        headline = str(row.get("headline") or row["announcement_id"])
        parts += [_Part(k, headline, name, part) for name, part in _groups(own)]
    return parts, 0


def is_one_sample(result: Questions) -> bool:
    """Check whether the summary shows the result as one sample, and so its tests make sense below it."""
    return result.events.height > 0 and len(_parts(result)[0]) == 1


def _groups(result: Questions) -> list[tuple[str, Questions]]:
    """Divide a result by its column ``group``, where it has one."""
    if "group" not in result.events.columns:
        return [("All firms", result)]
    values = result.events["group"].unique().sort(nulls_last=True)
    name = pl.col("group")
    same = [name.eq_missing(pl.lit(value, dtype=values.dtype)) for value in values]
    return [
        ("without a group" if value is None else str(value), result.where(condition))
        for value, condition in zip(values, same, strict=True)
    ]


def _rows(part: _Part, windows: tuple[tuple[int, int], ...]) -> list[dict[str, Any]]:
    """Compute a row per window as `group_lines` takes them, with the primary test alone."""
    rows = []
    for first, last in windows:
        sample = part.result.sample(first, last)
        told = None
        if sample.n:
            told = headline(tests_frame(select_tests([primary_test(structure(sample)).name]), sample))
        rows.append(
            {
                "announcement": part.announcement,
                "headline": part.headline,
                "date": part.result.events["date"].min(),
                "group": part.group,
                "first": first,
                "last": last,
                "n_events": sample.n,
                "caar": float(sample.car.mean()) if sample.n else None,
                "test": told.test if told else None,
                "effect": told.effect if told else None,
                "low": told.low if told else None,
                "high": told.high if told else None,
                "p": told.p if told else None,
                "significant": told.rejects if told and told.valid else None,
            }
        )
    return rows


def _told(sample: Sample) -> list[str]:
    """Write the primary test of one sample, its detectable effect, and whether robustness tests agree."""
    told = headline(tests_frame(DEFAULT_TESTS, sample))
    return [] if told is None else _test_lines(told, percent(float(sample.car.mean())), percent)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


def shown_windows(result: Questions, primary: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Choose the windows shown side by side: day 0, where the event window has it, and the primary window."""
    first, last = result.estimation.settings.event
    return tuple(dict.fromkeys([*([(0, 0)] if first <= 0 <= last else []), primary]))


def _test_lines(told: Headline, caar: str, write: Callable[[float | None], str]) -> list[str]:
    """Write the primary test with its interval and detectable effect, and whether the robustness tests agree."""
    if told.valid:
        effect = write(told.effect)
        parts = [f"{measure(told.test)} {effect}"] if effect != caar and told.effect is not None else []
        parts += [f"95% interval {interval(told.low, told.high, write)}"] if told.low is not None else []
        lines = [f"primary test {told.test}: {', '.join([*parts, p_text(told.p)])}"]
        if told.mde is not None:
            lines.append(f"minimum detectable effect {write(told.mde).lstrip('+')} (80% power, 5% level)")
    else:
        lines = [f"primary test {told.test} is not valid: {told.why_not}"]
    return [*lines, told.robustness] if told.robustness else lines


def reasons(attrition: pl.DataFrame) -> str:
    """List each reason with its number of events, the commonest first."""
    counted = attrition["reason"].value_counts(sort=True, name="n").sort("n", "reason", descending=[True, False])
    return ", ".join(f"{row['reason']} {row['n']}" for row in counted.iter_rows(named=True))


def headline_window(result: Questions) -> tuple[int, int]:
    """Return the primary window of a result for which none was declared, as in a report.

    It is day 0 and the session after it, as far as the event window reaches, or the whole event window.
    """
    first, last = result.estimation.settings.event
    return (0, min(1, last)) if first <= 0 <= last else (first, last)


def path_base(result: Questions, first: int | None = None, last: int | None = None) -> int | None:
    """Choose the session at which a drawn path is 0: the one before day 0, where the path begins before it."""
    event_first, event_last = result.estimation.settings.event
    first, last = event_first if first is None else first, event_last if last is None else last
    return -1 if first < -1 <= last else None


def path_measure(base: int | None) -> str:
    """Name what a drawn path shows."""
    return "mean CAR, 95% band" if base is None else f"mean CAR since session {base}, 95% band".replace("-", "−")


def title(result: Questions) -> str:
    """Name the model and the estimation window, and a stretch after the event that the study adds."""
    settings = result.estimation.settings
    windows = [settings.estimation, *([settings.after] if settings.after else [])]
    own = "windows of their own within " if result.estimation.positions.estimation_differs else ""
    leg = f" on {result.market.leg} legs" if result.market.leg else ""
    return f"{result.model.name}{leg}, estimated over {own}{' and '.join(str(list(window)) for window in windows)}"
