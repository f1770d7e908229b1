"""What a report is built of."""

from __future__ import annotations

from dataclasses import dataclass, field

from marketimpact.report.figures import Figure
from marketimpact.report.tables import Sheet

__all__ = ["Section"]


@dataclass(frozen=True, slots=True)
class Section:
    """One block of a report: a heading, then words, charts and tables; the hint is for screens only."""

    id: str
    title: str
    words: tuple[str, ...] = ()
    blocks: tuple[tuple[str, tuple[Figure, ...], tuple[Sheet, ...]], ...] = field(default_factory=tuple)
    hint: str = ""
