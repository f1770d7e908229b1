"""Tell exchanges whose sessions of a date price the same news: they open and close together."""

from __future__ import annotations

from collections.abc import Mapping

from marketimpact.events.calendars import EXCHANGES
from marketimpact.events.exchange_clocks import ExchangeClock

__all__ = ["same_hours"]


def same_hours(clocks: Mapping[str, ExchangeClock], one: str, other: str) -> bool:
    """Check whether two exchanges (MICs) keep one calendar, or have the same usual hours by the clocks of a market."""
    if EXCHANGES.get(one, one) == EXCHANGES.get(other, other):
        return True
    hours = [(clock.opens_at, clock.closes_at) for clock in (clocks.get(one), clocks.get(other)) if clock]
    return len(hours) == 2 and hours[0] == hours[1]
