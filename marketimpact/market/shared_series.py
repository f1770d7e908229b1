"""Securities of which a column holds the same numbers, as those of one benchmark do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Ints

__all__ = ["first_alike"]


#: Different series of one length that a security is compared with: exchanges have few benchmarks.
MOST = 16
#: Numbers that are looked at before all of them are.
FEW = 8


def first_alike(column: NDArray[np.float64], first_row: Ints, n_sessions: Ints) -> Ints:
    """Row at which each security's numbers stand for the first time, (S,); its own where nobody before has them.

    Whoever reads the first ones instead finds them in the processor's cache.
    """
    bits = np.ascontiguousarray(column).view(np.int64)
    known: dict[int, list[int]] = {}
    found = first_row.copy()
    for security, (row, length) in enumerate(zip(first_row.tolist(), n_sessions.tolist(), strict=True)):
        others = known.setdefault(length, [])
        for other in others:
            if all(np.array_equal(bits[row : row + n], bits[other : other + n]) for n in (min(length, FEW), length)):
                found[security] = other
                break
        else:
            if len(others) < MOST:
                others.append(row)
    return found
