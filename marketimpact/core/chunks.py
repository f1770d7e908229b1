"""Cut rows into slices of bounded size, so that memory does not grow with events times days."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["chunks"]


def chunks(n: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` rows that cover n; one empty slice for none."""
    return (slice(start, min(start + size, n)) for start in range(0, max(n, 1), size))
