"""Settings of an estimation: windows of sessions around day 0, and treatment of missing days."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.closed_day import ClosedDay
from marketimpact.core.whole_numbers import is_whole
from marketimpact.errors import SpecificationError

__all__ = [
    "EstimationSettings",
    "check_window",
]


@dataclass(frozen=True, slots=True)
class EstimationSettings:
    """Windows in sessions relative to day 0 (tau), ends included, and treatment of missing days."""

    estimation: tuple[int, int]
    event: tuple[int, int]
    min_observations: int
    #: Whether a window with a missing return gives no CAR.
    strict: bool = False
    #: Whether variances of CARs allow for AR(1) abnormal returns.
    serial_correlation: bool = False
    #: Second stretch of estimation sessions, after the event window; None where the model's own holds, if it has one.
    after: tuple[int, int] | None = None
    #: Rows of the return panel that estimation takes as missing; None where there are none.
    excluded: NDArray[np.bool_] | None = field(default=None, repr=False, compare=False)
    #: Day 0 of an event whose date is no session.
    closed_day: ClosedDay = "next"


def check_window(window: object, name: str) -> tuple[int, int]:
    """Return a window as two whole numbers in order.

    Raises
    ------
    SpecificationError
        For anything else, with the argument's `name`.
    """
    if not isinstance(window, tuple | list) or len(window) != 2:
        raise SpecificationError(f"{name}={window!r}: give two sessions, first and last, such as (-1, 1).")
    first, last = window
    if not (is_whole(first) and is_whole(last)):
        raise SpecificationError(f"{name}={window!r}: sessions are whole numbers, such as (-1, 1).")
    if first > last:
        raise SpecificationError(f"{name}={window!r} is reversed; write ({last}, {first}).")
    return int(first), int(last)
