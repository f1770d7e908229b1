"""Format percentages, numbers and p-values for reports, notebooks and terminals."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

__all__ = [
    "MISSING_TEXT",
    "SHORT",
    "SIMULATED_CHART",
    "SIMULATED_REPORT",
    "SIMULATED_TABLE",
    "clean_text",
    "count",
    "interval",
    "is_missing",
    "number",
    "ordinal",
    "p_value",
    "percent",
    "short_label",
    "short_percent",
    "text",
    "whole_percent",
    "window_name",
]

MISSING_TEXT = "–"
#: Characters of a label where room is short.
SHORT = 26
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
#: Control characters, line and paragraph separators, halves of surrogate pairs, and two that XML does not have.
NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
#: Notices of simulated prices: on charts, under tables and on reports.
SIMULATED_CHART = "simulated prices"
SIMULATED_TABLE = "SIMULATED PRICES: invented returns with known effects; nothing here is about the firms."
SIMULATED_REPORT = (
    "SIMULATED PRICES. The symbols, calendars and announcements are real, the prices are not: these numbers say "
    "nothing about the firms."
)


def clean_text(text: str) -> str:
    r"""Put a space in the place of every character that cannot be printed, such as a vertical tab.

    Examples
    --------
    >>> clean_text("Yangtze\u000bMemory")
    'Yangtze Memory'
    """
    return NOT_PRINTED.sub(" ", text)


def is_missing(value: Any) -> bool:
    """Check for None and NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(value: float | None) -> str:
    """Write a fraction as a signed percentage with two decimals."""
    if is_missing(value):
        return MISSING_TEXT
    written = f"{value:+.2%}".replace("-", "−")
    return "0.00%" if written[1:] == "0.00%" else written


def short_percent(value: float | None) -> str:
    """Write a fraction as a signed percentage with one decimal, for running text.

    Examples
    --------
    >>> short_percent(-0.0341), short_percent(0.0)
    ('−3.4%', '0.0%')
    """
    if is_missing(value):
        return MISSING_TEXT
    written = f"{value:+.1%}".replace("-", "−")
    return "0.0%" if written[1:] == "0.0%" else written


def whole_percent(value: float) -> str:
    """Write a fraction as a signed percentage without decimals, for labels of charts.

    Examples
    --------
    >>> whole_percent(-0.034), whole_percent(0.001)
    ('−3%', '0%')
    """
    written = f"{value:+.0%}".replace("-", "−")
    return "0%" if written[1:] == "0%" else written


def short_label(label: str, most: int = SHORT) -> str:
    """Shorten a label in its middle, so that what tells two listings apart stays.

    Examples
    --------
    >>> short_label("NVIDIA"), short_label("Semiconductor Manufacturing (A)")
    ('NVIDIA', 'Semiconductor Manufac… (A)')
    """
    if len(label) <= most:
        return label
    start, bracket, end = label.rpartition(" (")
    tail = f" ({end}" if bracket and len(end) < most // 2 else ""
    kept = (start if tail else label)[: most - 1 - len(tail)].rstrip()
    return f"{kept}…{tail}"


def window_name(window: tuple[int, int]) -> str:
    """Name an event window.

    Examples
    --------
    >>> window_name((0, 0)), window_name((0, 1))
    ('day 0', '[0, 1]')
    """
    return "day 0" if window == (0, 0) else str(list(window))


def count(n: int, noun: str) -> str:
    """Write a number of things with its noun.

    Examples
    --------
    >>> count(1, "event"), count(1200, "event")
    ('1 event', '1,200 events')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def ordinal(n: int) -> str:
    """Write a rank in words up to ten, else in digits.

    Examples
    --------
    >>> ordinal(3), ordinal(11), ordinal(42)
    ('third', '11th', '42nd')
    """
    if 1 <= n <= len(_ORDINALS):
        return _ORDINALS[n - 1]
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def interval(low: float | None, high: float | None, write: Callable[[float | None], str] = percent) -> str:
    """Write an interval; one end is missing for a one-sided test, both where a test has no interval.

    An end that would round to zero keeps its first digit, so that the text shows on which side of zero it lies.
    """
    ends = [_signed_end(end) if write is percent else write(end) for end in (low, high)]
    if is_missing(low) and is_missing(high):
        return MISSING_TEXT
    if is_missing(low):
        return f"up to {ends[1]}"
    return f"{ends[0]} or more" if is_missing(high) else f"{ends[0]} to {ends[1]}"


def _signed_end(value: float | None) -> str:
    """Write one end as a percentage, with more than two decimals where two are all zero."""
    written = (f"{value:+.{decimals}%}" for decimals in range(2, 8))
    shown = percent(value) if is_missing(value) else next((text for text in written if text.strip("+-0.%")), "0.00%")
    return shown.replace("-", "−")


def number(value: float | None, decimals: int = 2) -> str:
    """Write a number with fixed decimals."""
    return MISSING_TEXT if is_missing(value) else f"{value:.{decimals}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """Write a p-value with three decimals, and with more where rounding would lift it to 5%."""
    if value is None or is_missing(value):
        return MISSING_TEXT
    if 0.0495 <= value < 0.05:
        return next((t for t in (f"{value:.{d}f}" for d in (3, 4, 5, 6)) if float(t) < 0.05), "<0.05")
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def text(value: object) -> str:
    """Write any other value: yes or no, ISO dates, a dash where it is missing."""
    if is_missing(value):
        return MISSING_TEXT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date):
        return value.isoformat()
    return clean_text(str(value))
