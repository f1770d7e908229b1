"""Check exchange rates: for returns in one currency, and for dollar effects."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from marketimpact.core.frames import FrameLike
from marketimpact.core.layouts import RATES
from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.market.plausibility import LARGEST_FACTOR, warn_of
from marketimpact.sources.files.tables import read_table

__all__ = ["RATE_AGE", "check_rates", "rate_doubts"]

#: Oldest exchange rate that is used; currency markets have holidays of their own.
RATE_AGE = "5d"
#: Change between neighbouring quotes that no devaluation has: Argentina's of 2023 was 2.2, Nigeria's 1.7.
STEP_LIMIT = 3.0
#: Change from which it is doubtful.
STEP_DOUBT = 1.5
#: Days between two quotes up to which the limits above hold ...
STEP_DAYS = 31
#: ... and the limit over longer gaps: a hundred for one is another unit.
STEP_LIMIT_OVER_GAPS = 30.0
#: Deviation of a currency's rate to itself from one that is rounding.
OWN_RATE_TOLERANCE = 1e-9


def check_rates(rates: FrameLike | str | Path, currency: str) -> pl.DataFrame:
    """Check exchange rates to one currency, and warn of doubtful steps.

    Parameters
    ----------
    rates : FrameLike, str or pathlib.Path
        ``date, currency, rate``: units of `currency` for one unit of the row's; a frame, or a CSV, Parquet or
        Excel file.
    currency : str
        Currency of the result.

    Returns
    -------
    polars.DataFrame
        ``date, currency, rate`` without empty rates, sorted by date.

    Raises
    ------
    DataError
        For a column that is absent or unreadable, two rates of one currency and day, a rate that is not above zero
        and finite, one of `currency` to itself that is not 1, or a step that no devaluation explains.
    """
    if not isinstance(currency, str) or not currency.strip():
        raise SpecificationError(f"currency={currency!r} is no currency. Give its code, such as 'USD'.")
    types = {"date": pl.Date(), "currency": pl.String(), "rate": pl.Float64()}
    table = read_table(rates, "rates", types, ["date", "currency"], RATES).select(*types)
    if table.is_empty():
        raise DataError(f"rates has no rows. Give units of {currency} for one unit of each other currency, by date.")
    quoted = table.filter(pl.col("rate").is_not_null())
    _refuse(quoted, pl.any_horizontal(pl.col("date", "currency").is_null()), "has no date or no currency", "Add them")
    usable = pl.col("rate").is_between(1.0 / LARGEST_FACTOR, LARGEST_FACTOR)
    advice = "Leave the cell empty where there is no rate"
    _refuse(quoted, ~usable, "is not a number above zero, or has no possible size", advice)
    own = (pl.col("currency") == currency) & ((pl.col("rate") - 1.0).abs() > OWN_RATE_TOLERANCE)
    advice = f"Rates are units of {currency} for one unit of the row's currency: look for rates to another currency"
    _refuse(quoted, own, f"is of {currency} to itself and not 1", advice)
    steps = _steps(quoted)
    _refuse(
        steps,
        pl.col("step") > pl.when(pl.col("days") <= STEP_DAYS).then(STEP_LIMIT).otherwise(STEP_LIMIT_OVER_GAPS),
        "is more than three times the one before, or less than a third of it, which no devaluation explains",
        "Look for hundredths of the unit, a new unit or a misplaced decimal point, and rescale one part",
    )
    warn_of(rate_doubts(quoted), stacklevel=4)
    return quoted.sort("date", "currency")


def rate_doubts(rates: pl.DataFrame) -> tuple[str, ...]:
    """Write what is doubtful about checked rates, for warnings and notes."""
    large = _steps(rates).filter(pl.col("step") > STEP_DOUBT, pl.col("days") <= STEP_DAYS)
    if large.is_empty():
        return ()
    shown = listed([f"{name} on {day}" for day, name in large.select("date", "currency").iter_rows()], quoted=False)
    return (
        f"rates step by more than half from one quote to the next: {shown}. A devaluation moves returns in the common "
        "currency by as much; if there was none, correct the rate.",
    )


def _steps(quoted: pl.DataFrame) -> pl.DataFrame:
    """Add the factor, above 1, between each quote and the one before, and the days between them; null for the first."""
    log_rate = pl.col("rate").log()
    return quoted.sort("currency", "date").with_columns(
        (log_rate - log_rate.shift(1)).abs().exp().over("currency").alias("step"),
        (pl.col("date") - pl.col("date").shift(1)).dt.total_days().over("currency").alias("days"),
    )


def _refuse(rates: pl.DataFrame, is_wrong: pl.Expr, reason: str, advice: str) -> None:
    """Stop at rows of `rates` that are wrong; null counts as right."""
    wrong = rates.filter(is_wrong.fill_null(value=False)).select("date", "currency", "rate")
    if wrong.height:
        shown = "; ".join(f"{name} on {day}: {rate}" for day, name, rate in wrong.head(5).iter_rows())
        more = f" and {wrong.height - 5} more" if wrong.height > 5 else ""
        raise DataError(f"rates: {shown}{more}. Such a rate {reason}. {advice}.", rows=wrong)
