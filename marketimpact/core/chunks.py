"""Cut rows into slices of bounded size, so that memory does not grow with events times days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from marketimpact.core.arrays import Ints

__all__ = ["batches", "chunks"]


def chunks(n: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` rows that cover n; one empty slice for none."""
    return (slice(start, min(start + size, n)) for start in range(0, max(n, 1), size))


def batches(groups: Sequence[Ints], size: int) -> Iterator[Sequence[Ints]]:
    """Yield batches of groups of rows with `size` rows in all, or a few more: most groups are small."""
    ends = np.cumsum([len(rows) for rows in groups])
    number = (ends - [len(rows) for rows in groups]) // size
    for part in np.split(np.arange(len(groups)), np.flatnonzero(np.diff(number)) + 1):
        yield [groups[k] for k in part.tolist()]
