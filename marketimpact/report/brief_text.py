"""Sentences of the brief, written from its frames."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from marketimpact.display.formats import count, interval, is_missing, ordinal, short_percent
from marketimpact.display.tables import cut
from marketimpact.inference import CONNECTED_WINDOWS, ONE_DATE, SIGNIFICANCE_LEVEL
from marketimpact.report.benchmarks import model_text
from marketimpact.report.content import ReportContent, Window
from marketimpact.report.data_quality import doubtful_symbols
from marketimpact.report.specification_section import curve_sentence
from marketimpact.study.headline import WHY_FEW_DATES, date_caveat, p_text

__all__ = ["announcement_sentence", "conclusions", "nearby_sentences", "non_conclusions", "source_text"]

#: Other announcements named per announcement.
MOST_NEARBY = 2
#: Groups without a valid test that are named.
MOST_UNTESTED = 3
#: Characters of a headline of another announcement.
MOST_LETTERS = 110


def announcement_sentence(firms: pl.DataFrame, windows: tuple[Window, ...]) -> str:
    """Write the sentence on one announcement: its largest mover, raw return first.

    Parameters
    ----------
    firms : polars.DataFrame
        Rows of one announcement, from `firms_frame`.
    windows : tuple of (int, int)
        From `brief_windows`; the last is the primary one.
    """
    movers = firms.filter("largest")
    if movers.is_empty():
        return "No firm has a return on day 0 or in the primary window."
    row, primary = movers.row(0, named=True), list(windows[-1])
    has_day0 = row.get("ret_day0") is not None
    raw = row["ret_day0"] if has_day0 else row["ret"]
    when = f"on day 0 ({row['date']})" if has_day0 or primary == [0, 0] else f"over {primary}"
    abnormal = f"abnormal return {short_percent(row['car_day0'])} that day and " if has_day0 else "abnormal return "
    of_window = "" if primary == [0, 0] else f" over {primary}"
    ends = interval(row["low"], row["high"], short_percent)
    uncertainty = f"95% interval {ends}, {p_text(row['p'])}" if not is_missing(row["p"]) else "no valid test"
    car = "missing" if row["car"] is None else f"{short_percent(row['car'])}{of_window} ({uncertainty})"
    return f"{row['firm']} {_moved(raw)} {when}{_rank_text(row, raw)}: {abnormal}{car}, {_verdict(row, primary)}."


def _moved(value: float) -> str:
    size = f"{abs(value):.1%}"
    return "did not move" if size == "0.0%" else f"{'rose' if value > 0 else 'fell'} {size}"


def _rank_text(row: dict[str, Any], raw: float) -> str:
    """Write how large the move is among those of the last sessions, and whether a price limit cut it."""
    limit = " and at its daily price limit, so a lower bound" if row["at_limit"] else ""
    if row["rank"] is None or f"{abs(raw):.1%}" == "0.0%":
        return f",{limit[4:]}" if limit else ""
    position = "largest" if row["rank"] == 1 else f"{ordinal(row['rank'])} largest"
    return f", the {position} {'rise' if raw > 0 else 'fall'} of its last {row['n_sessions']} sessions{limit}"


def _verdict(row: dict[str, Any], primary: list[int]) -> str:
    """Write whether the firm's own primary test rejects, in each window and after correction."""
    over = _rejects(row["p"])
    day0 = _rejects(row.get("p_day0")) if "p_day0" in row else over
    if over is None:
        return "not tested"
    if not over:
        return f"significant at 5% on day 0 but not over {primary}" if day0 else "not significant"
    told = f"significant at 5% over {primary} but not on day 0" if day0 is False else "significant at 5%"
    if row["n_firms"] < 2 or is_missing(row["p_family"]):
        return told
    still = "also" if _rejects(row["p_family"]) else "but not"
    return f"{told}, {still} after correction for all {row['n_firms']:,} firms ({p_text(row['p_family'])})"


def _rejects(p: float | None) -> bool | None:
    return None if p is None or is_missing(p) else p < SIGNIFICANCE_LEVEL


def nearby_sentences(nearby: pl.DataFrame, n_announcements: int) -> list[str]:
    """Write, per announcement, what else happened in its primary window."""
    sentences = []
    for (position,), part in nearby.partition_by("announcement", as_dict=True, maintain_order=True).items():
        items = [
            cut(other.rstrip("."), MOST_LETTERS) + _days(day0) for other, day0 in part[["other", "day0"]].iter_rows()
        ]
        more = len(items) - MOST_NEARBY
        text = "; ".join(items[:MOST_NEARBY]) + (f"; and {more} more" if more > 0 else "")
        sentences.append(f"{position}. {text}." if n_announcements > 1 else f"{text}.")
    return sentences


def _days(day0: str | None) -> str:
    """Keep the days of a text of days and exchanges."""
    days = sorted(set(re.findall(r"\d{4}-\d{2}-\d{2}", day0 or "")))
    return f" ({' or '.join(days)})" if days else ""


def conclusions(content: ReportContent, firms: pl.DataFrame, groups: pl.DataFrame) -> list[str]:
    """Write what may be said."""
    primary = list(content.primary)
    sentences = [
        f"These shares moved by these amounts; the abnormal return is what {model_text(content.result)}, leaves "
        "unexplained."
    ]
    tested = groups.filter(pl.col("first") == primary[0], pl.col("last") == primary[1])
    tested = tested.drop_nulls("significant")
    if tested.height > 1:
        n, expected = int(tested["significant"].sum()), SIGNIFICANCE_LEVEL * tested.height
        sentences.append(
            f"{n} of {count(tested.height, 'group mean')} over {primary} {'is' if n == 1 else 'are'} significant at "
            f"5%, each by its primary test; without any effect about {expected:.1f} would be."
        )
    if content.curve is not None:
        sentences.append(curve_sentence(content.curve, content.joint))
    if "true_car" in firms.columns:
        known = firms.drop_nulls(["true_car", "low"]).filter(pl.col("low").is_not_nan())
        inside = known.filter(pl.col("true_car").is_between("low", "high")).height
        sentences.append(f"{inside} of {count(known.height, 'interval')} contain the effect put into simulated prices.")
    return sentences


def non_conclusions(content: ReportContent, groups: pl.DataFrame, nearby: pl.DataFrame) -> list[str]:
    """Write what may not be said."""
    sentences = []
    if content.result.market.simulated:
        sentences.append("Anything about these firms: the prices are simulated.")
    others, n = nearby["announcement"].n_unique(), len(content.announcements)
    also = ", and other news fell into the same days" if others else ""
    also += f" at {others} of {n} announcements" if others and n > 1 else ""
    sentences.append(
        f"That the announcement caused the move: a return responds to everything known in its window{also}."
    )
    sentences.append("That “not significant” is no effect: the interval says which effects remain possible.")
    sentences += _untested(content, groups)
    sentences += _date_caveats(content)
    if symbols := doubtful_symbols(content.result):
        sentences.append(f"That every price is right: those of {symbols} are doubtful, see “Data quality”.")
    if n := content.result.attrition.height:
        sentences.append(f"That all events are here: {count(n, 'event')} could not be used.")
    return sentences


def _untested(content: ReportContent, groups: pl.DataFrame) -> list[str]:
    """Name the groups whose primary test is not valid in the primary window, with the reasons."""
    if groups.is_empty():
        return []
    first, last = content.primary
    rows = groups.filter(pl.col("first") == first, pl.col("last") == last, pl.col("why_not") != "")
    where = (
        "{group} (announcement {announcement}): {why_not}" if len(content.announcements) > 1 else "{group}: {why_not}"
    )
    named = [where.format(**row) for row in rows.head(MOST_UNTESTED).iter_rows(named=True)]
    more = f"; and {rows.height - MOST_UNTESTED} more" if rows.height > MOST_UNTESTED else ""
    if not named:
        return []
    return [f"Whether these means are significant, since their primary test is not valid: {'; '.join(named)}{more}."]


def source_text(content: ReportContent) -> str:
    """Write the line under every export: where the numbers come from."""
    result = content.result
    record = result.record
    first = "SIMULATED PRICES, nothing here is about the firms. " if result.market.simulated else ""
    return (
        f"{first}Source: {result.market.source}; marketimpact {record.get('marketimpact', '')}; "
        f"{model_text(result)}; primary window {list(content.primary)}."
    )


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
