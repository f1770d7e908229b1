"""Charts from frames, never from results. The only room that knows altair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import altair as alt

__all__ = ["caar_path"]


def caar_path(path: pl.DataFrame, *, title: str, simulated: bool) -> alt.LayerChart:
    """Placeholder replaced below."""
    raise NotImplementedError
