"""Factor frames at the door of a market."""

from __future__ import annotations

import warnings
from datetime import date

import polars as pl

from marketimpact.errors import DataError, MarketImpactWarning
from marketimpact.market import session_returns as panels
from marketimpact.sources.french.factors import FrenchFactors, wrong_market

__all__ = ["check_factors", "read_french"]

#: A daily factor that moves by more than this is most likely in percent.
PERCENT_SD = 0.15


def check_factors(factors: pl.DataFrame | None) -> pl.DataFrame | None:
    """Dates once each, numbers in every column, decimal as far as one can tell; sorted by date."""
    if factors is None:
        return None
    if not isinstance(factors, pl.DataFrame) or "date" not in factors.columns or factors.is_empty():
        raise DataError("factors must be a polars frame with a 'date' column, one column per factor, and rows.")
    taken = {"symbol", "mic", "session", "ret", "market", "close", "volume", *panels.SINCE_TRADE}.intersection(
        factors.columns
    )
    words = [c for c in factors.columns if c != "date" and not factors[c].dtype.is_numeric()]
    if taken or words:
        raise DataError(
            f"factors: columns {sorted(taken)} have names the panel needs; rename them."
            if taken
            else f"factors: columns {words} are not numbers; cast or drop them."
        )
    if factors["date"].n_unique() < factors.height:
        raise DataError(f"factors repeats {factors.height - factors['date'].n_unique()} dates; keep one row each.")
    names = [c for c in factors.columns if c != "date"]
    checked = factors.with_columns(pl.col(names).cast(pl.Float64).fill_nan(None))
    large = [c for c in names if c != "rf" and float(checked[c].to_numpy().std()) > PERCENT_SD]
    if large:
        warnings.warn(
            f"factors {', '.join(large)} have a daily standard deviation above {PERCENT_SD:.0%}: "
            "are they in percent? marketimpact wants decimals (0.01 for 1%).",
            MarketImpactWarning,
            stacklevel=4,
        )
    return checked.select("date", *names).sort("date")


def read_french(
    factors: FrenchFactors, securities: pl.DataFrame, first: date | None, last: date | None
) -> pl.DataFrame:
    """Read the factors, and say when they are those of another market."""
    doubt = wrong_market(securities["mic"].unique().sort().to_list(), factors.region)
    if doubt:
        warnings.warn(doubt, MarketImpactWarning, stacklevel=3)
    return factors.read(first, last)
