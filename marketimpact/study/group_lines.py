"""Lines of 80 columns: the mean abnormal return of every announcement and group, with its primary test."""

from __future__ import annotations

from typing import Any

import polars as pl

from marketimpact.display.formats import MISSING_TEXT, interval, p_value, short_percent, window_name
from marketimpact.display.tables import cut
from marketimpact.study.headline import measure

__all__ = ["group_lines"]

#: Columns of a line: group, events, day 0, primary window, interval, p.
NAME, EVENTS, EFFECT, INTERVAL, P = 28, 7, 9, 19, 8
WIDTH = 80
#: Announcements shown.
MOST_ANNOUNCEMENTS = 12
KEY = (
    "Interval and p are of the primary test; if its mean is another, a line says so.",
    "* significant at 5% by the primary test; – no valid test",
)


def group_lines(groups: pl.DataFrame, windows: tuple[tuple[int, int], ...]) -> list[str]:
    """Write one line per announcement and group.

    Parameters
    ----------
    groups : polars.DataFrame
        ``announcement, headline, date, group, first, last, n_events, caar, test, effect, low, high, p, significant``:
        a row per announcement, group and window. Interval and p are null where the primary test is not valid.
    windows : tuple of (int, int)
        Windows beside each other; interval and p are of the last, the primary one.
    """
    if groups.is_empty():
        return []
    heads = "".join(f"{window_name(window):>{EFFECT}}" for window in windows)
    lines = [f"{'mean abnormal return':<{NAME}}{'events':>{EVENTS}}{heads}{'95% interval':>{INTERVAL}}{'p':>{P}}"]
    parts = groups.partition_by("announcement", maintain_order=True)
    for n, part in enumerate(parts[:MOST_ANNOUNCEMENTS], 1):
        headline = part["headline"][0]
        if len(parts) > 1 or headline != "All events":
            lead = f"{n}. " if len(parts) > 1 else ""
            lines.append(cut(f"{lead}{part['date'][0]} {headline}", WIDTH))
        for (group,), rows in part.partition_by("group", as_dict=True, maintain_order=True).items():
            by_window = {(row["first"], row["last"]): row for row in rows.iter_rows(named=True)}
            lines += _lines(str(group), [by_window[window] for window in windows])
    more = len(parts) - MOST_ANNOUNCEMENTS
    return [*lines, *([f"… and {more} more announcements"] if more > 0 else []), *KEY]


def _lines(group: str, rows: list[dict[str, Any]]) -> list[str]:
    """Write the line of a group, and one more where the interval is of another mean than the one in the line."""
    primary = rows[-1]
    effects = "".join(f"{_effect(row):>{EFFECT}}" for row in rows)
    ends = interval(primary["low"], primary["high"], short_percent)
    p = p_value(primary["p"])
    name = cut(f"  {group}", NAME - 1)
    line = f"{name:<{NAME}}{primary['n_events']:>{EVENTS}}{effects}{ends:>{INTERVAL}}{p:>{P}}"
    effect = short_percent(primary["effect"])
    if ends == MISSING_TEXT or effect in (MISSING_TEXT, short_percent(primary["caar"])):
        return [line]
    return [line, f"    interval and p of the {measure(primary['test'])}: {effect}"]


def _effect(row: dict[str, Any]) -> str:
    text = short_percent(row["caar"])
    return text if text == MISSING_TEXT else text + ("*" if row["significant"] else " ")
