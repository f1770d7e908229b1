"""Say which session is day 0 of an event on a day without one."""

from __future__ import annotations

from typing import Literal, get_args

from marketimpact.errors import SpecificationError

__all__ = ["ClosedDay", "check_closed_day"]

#: The next session, or the previous one.
ClosedDay = Literal["next", "previous"]


def check_closed_day(closed_day: object) -> None:
    """Raise SpecificationError for anything but *next* and *previous*."""
    if closed_day not in get_args(ClosedDay):
        raise SpecificationError(
            f"closed_day={closed_day!r}: choose 'next' or 'previous', the session that is day 0 of an event on a day "
            "without one."
        )
