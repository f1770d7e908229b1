"""Exceptions and warnings of the package.

A wrong specification raises `SpecificationError` when it is built; a wrong frame raises `DataError` when it is
checked; an event that cannot be used becomes a row of `attrition`; a test that does not apply gets a `note`.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DataError", "MarketImpactError", "MarketImpactWarning", "SourceError", "SpecificationError"]

#: Parts of paths of this package's and other installed packages' files.
_PACKAGE_PATHS = (str(Path(__file__).parent), "site-packages")


class MarketImpactError(Exception):
    """Base class of every error that marketimpact raises on purpose.

    A notebook shows the message and the last line of the user's own code; ``%debug`` gives the full traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Render, for IPython, the user's own line and the message instead of a long traceback."""
        steps = traceback.extract_tb(self.__traceback__)
        own = [step for step in steps if step.line and not any(part in step.filename for part in _PACKAGE_PATHS)]
        where = [f"  line {own[-1].lineno}: {own[-1].line}"] if own else []
        return [f"{type(self).__name__}: {self}", *where]


class SpecificationError(MarketImpactError, ValueError):
    """A study, model, test or window that is not possible."""


class DataError(MarketImpactError, ValueError):
    """A frame or file that breaks its contract.

    Attributes
    ----------
    counts : dict of str to int
        Broken rule -> number of rows that break it.
    rows : polars.DataFrame or None
        The rows at fault, with `row`, their number in the input, where it is known.
    """

    def __init__(
        self, message: str, *, counts: Mapping[str, int] | None = None, rows: pl.DataFrame | None = None
    ) -> None:
        super().__init__(message)
        self.counts = dict(counts or {})
        self.rows = rows


class SourceError(MarketImpactError):
    """A price source returned nothing.

    Attributes
    ----------
    source : str
        Name of the source.
    symbols : tuple of str
        Requested symbols that the source did not return.
    retryable : bool
        Whether the same call may succeed later.
    """

    def __init__(self, message: str, *, source: str, symbols: Sequence[str], retryable: bool) -> None:
        super().__init__(message)
        self.source = source
        self.symbols = tuple(symbols)
        self.retryable = retryable


class MarketImpactWarning(UserWarning):
    """Something to know when reading the results; the results are still valid."""
