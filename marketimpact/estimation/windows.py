"""Windows of sessions around day 0, cut from the market's panel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from marketimpact.errors import SpecificationError
from marketimpact.models import Model

__all__ = [
    "EstimationSettings",
    "check_window",
    "estimation_spans",
]


@dataclass(frozen=True, slots=True)
class EstimationSettings:
    """What of each event is looked at, in sessions relative to day 0 (tau), ends included."""

    estimation: tuple[int, int]
    event: tuple[int, int]
    min_observations: int
    #: Whether a window with a missing return gives no CAR.
    strict: bool = False
    #: Whether abnormal returns of neighbouring days are taken as correlated, AR(1).
    serial_correlation: bool = False
    #: Rows of the market's panel that estimation takes as missing; None where there are none.
    excluded: NDArray[np.bool_] | None = field(default=None, repr=False, compare=False)


def check_window(window: object, name: str) -> tuple[int, int]:
    """A window as two whole numbers in order, or the reason why it is none."""
    if not isinstance(window, tuple | list) or len(window) != 2:
        raise SpecificationError(f"{name}={window!r}: give two sessions, first and last, such as (-1, 1).")
    first, last = window
    if not all(isinstance(end, int) and not isinstance(end, bool) for end in (first, last)):
        raise SpecificationError(f"{name}={window!r}: sessions are whole numbers, such as (-1, 1).")
    if first > last:
        raise SpecificationError(f"{name}={window!r} is reversed; write ({last}, {first}).")
    return int(first), int(last)


def estimation_spans(model: Model, windows: EstimationSettings) -> list[tuple[int, int]]:
    """The stretches of sessions that the model is estimated on."""
    after = model.design.after
    return [windows.estimation] if after is None else [windows.estimation, after]
