"""Values as text: one way to write a percentage, a number, a p-value, for reports, notebooks and terminals."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

__all__ = ["NOTHING", "missing", "number", "p_value", "percent", "text"]

NOTHING = "–"


def missing(value: Any) -> bool:
    """Whether there is nothing to write."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(value: float | None) -> str:
    """A fraction as a signed percentage with two decimals."""
    if missing(value):
        return NOTHING
    written = f"{value:+.2%}".replace("-", "−")
    return "0.00%" if written[1:] == "0.00%" else written


def number(value: float | None, decimals: int = 2) -> str:
    """A number with fixed decimals."""
    return NOTHING if missing(value) else f"{value:.{decimals}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value with three decimals."""
    if missing(value):
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"  # type: ignore[operator]


def text(value: object) -> str:
    """Any other value."""
    if missing(value):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
