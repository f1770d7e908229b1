"""Every exception and warning of the package.

Four places a thing can be wrong have four answers: a wrong specification raises
`SpecificationError` when it is built, a wrong frame raises `DataError` once at the door, a wrong
event becomes a row of `attrition`, a wrong moment for a test becomes a `note`.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DataError", "MarketImpactError", "MarketImpactWarning", "SourceError", "SpecificationError"]

#: Files with these in their name are ours, or an installed package's.
_NOT_YOURS = (str(Path(__file__).parent), "site-packages")


class MarketImpactError(Exception):
    """Root of every error that marketimpact raises on purpose.

    A notebook shows its message and the line of yours that led to it; ``%debug`` has the whole way there.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the message says what to do, our own lines would bury it."""
        steps = traceback.extract_tb(self.__traceback__)
        yours = [step for step in steps if step.line and not any(part in step.filename for part in _NOT_YOURS)]
        where = [f"  line {yours[-1].lineno}: {yours[-1].line}"] if yours else []
        return [f"{type(self).__name__}: {self}", *where]


class SpecificationError(MarketImpactError, ValueError):
    """A study, model, test or window that cannot be."""


class DataError(MarketImpactError, ValueError):
    """A frame or file that breaks its contract.

    Attributes
    ----------
    counts : dict of str to int
        Broken rule -> number of rows that break it.
    rows : polars.DataFrame or None
        The rows at fault, with their row number in the input where it is known.
    """

    def __init__(
        self, message: str, *, counts: Mapping[str, int] | None = None, rows: pl.DataFrame | None = None
    ) -> None:
        super().__init__(message)
        self.counts = dict(counts or {})
        self.rows = rows


class SourceError(MarketImpactError):
    """A price source gave nothing.

    Attributes
    ----------
    source : str
        Name of the source.
    symbols : tuple of str
        What was asked for and not had.
    retryable : bool
        Whether the same call may go through later.
    """

    def __init__(self, message: str, *, source: str, symbols: Sequence[str], retryable: bool) -> None:
        super().__init__(message)
        self.source = source
        self.symbols = tuple(symbols)
        self.retryable = retryable


class MarketImpactWarning(UserWarning):
    """Something a reader of the numbers should know; the numbers stand."""
