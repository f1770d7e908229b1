"""Format percentages, numbers and p-values for reports, notebooks and terminals."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

__all__ = [
    "MISSING_TEXT",
    "SIMULATED_CHART",
    "SIMULATED_REPORT",
    "SIMULATED_TABLE",
    "is_missing",
    "number",
    "p_value",
    "percent",
    "text",
]

MISSING_TEXT = "–"
#: Notices of simulated prices: on charts, under tables and on reports.
SIMULATED_CHART = "simulated prices"
SIMULATED_TABLE = "SIMULATED PRICES: invented returns with known effects; nothing here is about the firms."
SIMULATED_REPORT = (
    "SIMULATED PRICES. The symbols, calendars and announcements are real, the prices are not: these numbers say "
    "nothing about the firms."
)


def is_missing(value: Any) -> bool:
    """Check for None and NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(value: float | None) -> str:
    """Write a fraction as a signed percentage with two decimals."""
    if is_missing(value):
        return MISSING_TEXT
    written = f"{value:+.2%}".replace("-", "−")
    return "0.00%" if written[1:] == "0.00%" else written


def number(value: float | None, decimals: int = 2) -> str:
    """Write a number with fixed decimals."""
    return MISSING_TEXT if is_missing(value) else f"{value:.{decimals}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """Write a p-value with three decimals."""
    if is_missing(value):
        return MISSING_TEXT
    return "<0.001" if value < 0.001 else f"{value:.3f}"  # type: ignore[operator]


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
    return str(value)
