"""Recognise the numbers that options take: Python's and numpy's."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TypeGuard

__all__ = ["is_number", "is_whole"]


def is_whole(value: object) -> TypeGuard[int]:
    """Check whether a value is a whole number of Python or numpy, and no True or False.

    Examples
    --------
    >>> import numpy as np
    >>> is_whole(np.int64(2)), is_whole(2.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Check whether a value is a real number of Python or numpy, and no True or False.

    Examples
    --------
    >>> import numpy as np
    >>> is_number(np.float32(0.5)), is_number(2), is_number("2")
    (True, True, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)
