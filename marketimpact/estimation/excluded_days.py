"""Days that estimation windows leave out, by security."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import schema
from marketimpact.core.fingerprint import fingerprint
from marketimpact.core.frames import FrameLike, to_polars
from marketimpact.core.layouts import SYMBOL_DAYS
from marketimpact.errors import MarketImpactWarning
from marketimpact.market.market import Market

__all__ = ["ExcludedDays"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ExcludedDays:
    """Symbol-days that estimation windows take as missing; equal where the days are.

    Attributes
    ----------
    frame : polars.DataFrame
        ``symbol, date``, each pair once, sorted.
    fingerprint : str
        sha256 of the pairs.
    """

    frame: pl.DataFrame
    fingerprint: str

    @classmethod
    def of(cls, days: FrameLike) -> ExcludedDays:
        """Build from a frame with ``symbol`` and ``date``; a frame without rows excludes nothing.

        Raises
        ------
        DataError
            For a frame that lacks one of the two, or has an empty cell.
        """
        days = to_polars(days, "exclude", SYMBOL_DAYS)
        if not (days.is_empty() and {"symbol", "date"} <= set(days.columns)):
            days = schema.check(schema.SymbolDays, days, "exclude")
        pairs = days.select(pl.col("symbol").cast(pl.String), pl.col("date").cast(pl.Date)).unique()
        pairs = pairs.sort("symbol", "date")
        return cls(pairs, fingerprint(pairs))

    def rows(self, market: Market) -> NDArray[np.bool_]:
        """Mark the excluded rows of the market's panel, (n_rows,).

        Warns
        -----
        MarketImpactWarning
            When there are days to exclude, and the panel has none of them.
        """
        marked = market.select("symbol", "date").join(
            self.frame.with_columns(pl.lit(value=True).alias("_excluded")),
            on=["symbol", "date"],
            how="left",
            validate="m:1",
            maintain_order="left",
        )
        mask = marked["_excluded"].fill_null(value=False).to_numpy()
        if self.frame.height and not mask.any():
            warnings.warn(
                f"exclude names {self.frame.height} symbol-days, none of which is a session in this market; "
                "nothing was excluded. Compare its symbols and dates with market.panel.",
                MarketImpactWarning,
                stacklevel=3,
            )
        return np.asarray(mask)

    def __eq__(self, other: object) -> bool:
        """Return whether the same days are excluded."""
        return isinstance(other, ExcludedDays) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        """Describe the days by number and hash, for the record of a run."""
        return f"ExcludedDays({self.frame.height} symbol-days, sha256={self.fingerprint})"
