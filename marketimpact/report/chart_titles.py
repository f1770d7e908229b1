"""Titles of charts: what each one shows, in words and numbers of its frame."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from marketimpact.display.formats import count, is_missing, short_percent, whole_percent
from marketimpact.inference import SIGNIFICANCE_LEVEL
from marketimpact.report.content import GroupResult, Window

__all__ = ["firms_finding", "hours_finding", "path_finding", "prices_finding", "short_name"]

#: Names in a list before the others are counted.
MOST_NAMES = 2
#: Keeps a number and its unit on one line.
NO_BREAK = "\u00a0"


def short_name(firm: str) -> str:
    """Drop the symbol in brackets from the label of a firm that has a name."""
    return firm.rsplit(" (", 1)[0]


def firms_finding(firms: pl.DataFrame) -> str:
    """Write which firm moved most, whether significantly, and between what the others lie.

    Parameters
    ----------
    firms : polars.DataFrame
        ``firm, car, p, p_family, at_limit``, and ``ret_day0`` where the event window has day 0; `car` without nulls.
    """
    ordered = firms.sort(pl.col("car").abs(), descending=True, maintain_order=True)
    top, others = ordered.row(0, named=True), ordered.slice(1)
    moved = f"{short_name(top['firm'])} {short_percent(top['car'])}"
    if top["at_limit"] and not is_missing(top.get("ret_day0")):
        moved = f"{short_name(top['firm'])} hit its {abs(top['ret_day0']):.0%} limit"
    if is_missing(top["p"]):
        lead = moved
    elif top["p"] >= SIGNIFICANCE_LEVEL:
        lead = f"{moved}, not significant"
    elif firms.height > 1 and not is_missing(top["p_family"]) and top["p_family"] >= SIGNIFICANCE_LEVEL:
        lead = f"{moved}, significant only by itself"
    else:
        lead = f"{moved}, significant"
    if others.is_empty():
        return lead
    if others.height == 1:
        return f"{lead}; {short_name(others['firm'][0])} {short_percent(others['car'][0])}"
    low, high = (
        short_percent(value) for value in others.select(low=pl.col("car").min(), high=pl.col("car").max()).row(0)
    )
    return f"{lead}; {others.height:,} others {low} to {high}"


def path_finding(group: GroupResult, window: Window) -> str:
    """Write a group's mean over a window and the verdict of its primary test, under its name."""
    told, caar = group.primary_test(window), group.caar(window)
    if told is None or caar is None:
        return f"{group.name}\nno return over {list(window)}"
    verdict = "no valid test" if not told.valid else "significant" if told.rejects else "not significant"
    return f"{group.name}\n{short_percent(caar)} over {list(window)}, {verdict}"


def hours_finding(stretches: pl.DataFrame, news: tuple[datetime, datetime], days: pl.Series) -> str:
    """Write which exchange could trade on the announcement first, and which last.

    Parameters
    ----------
    stretches : polars.DataFrame
        ``exchange, start, end``: stretches of trading (UTC).
    news : (datetime, datetime)
        Earliest and latest instant of the announcement (UTC).
    days : polars.Series
        Day 0 of every exchange.
    """
    if news[0] != news[1]:
        dates = " or ".join(str(day) for day in days.unique().sort())
        return f"Time of day not known: day 0 is {dates}"
    waits = (
        stretches.filter(pl.col("end") > news[0])
        .group_by("exchange")
        .agg((pl.col("start").min() - news[0]).alias("wait"))
        .with_columns(pl.max_horizontal("wait", pl.lit(timedelta(0))))
        .sort("wait", "exchange")
    )
    if waits.is_empty():
        return "No exchange traded soon after the announcement"
    first, *last = [
        f"{_names(waits.filter(wait=wait)['exchange'].to_list())} {_wait_text(wait)}"
        for wait in dict.fromkeys([waits["wait"][0], waits["wait"][-1]])
    ]
    return f"First to trade: {first}; last: {last[0]}" if last else f"First to trade: {first}"


def _names(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    if more > 0:
        return f"{', '.join(names[:MOST_NAMES])} and {count(more, 'other')}"
    return " and ".join(names)


def _wait_text(wait: timedelta) -> str:
    minutes = round(wait.total_seconds() / 60)
    if minutes == 0:
        return "at once"
    hours, rest = divmod(minutes, 60)
    parts = [*([f"{hours} h"] if hours else []), *([f"{rest} min"] if rest else [])]
    return "after " + " ".join(parts).replace(" ", NO_BREAK)


def prices_finding(levels: pl.DataFrame) -> str:
    """Write which group's prices rose most and least since the first day (100)."""
    ends = levels.group_by("group", maintain_order=True).agg(pl.col("level").last()).sort("level", descending=True)
    named = [f"{group} {whole_percent(level / 100 - 1)}" for group, level in ends.iter_rows()]
    return f"{', '.join(dict.fromkeys([named[0], named[-1]]))} since {levels['date'].sort()[0]}"
