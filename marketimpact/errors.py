"""Every exception and warning of the package.

Four places a thing can be wrong have four answers: a wrong specification raises
`SpecificationError` when it is built, a wrong frame raises `DataError` once at the door, a wrong
event becomes a row of `attrition`, a wrong moment for a test becomes a `note`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DataError", "MarketImpactError", "MarketImpactWarning", "SourceError", "SpecificationError"]


class MarketImpactError(Exception):
    """Root of every error that marketimpact raises on purpose."""


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
