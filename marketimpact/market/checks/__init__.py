"""What is wrong with prices, found and told; nothing is mended here.

`check_prices` is the public question. Findings are rows; `FINDINGS` lists every kind, docs/data_checks.md explains
each. What a check needs and does not have (an exchange, a benchmark, volume) is itself a finding, `not_checked`.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from marketimpact.errors import DataError
from marketimpact.events import catalogue
from marketimpact.market.checks import days, jumps
from marketimpact.market.checks import series as bases
from marketimpact.market.checks.findings import (
    ERROR,
    FINDINGS,
    NOTE,
    WARNING,
    Finding,
    no_findings,
    sentences,
    sort_findings,
    summary,
)
from marketimpact.market.checks.jumps import SPLITS
from marketimpact.market.checks.prepare import prepare_rows
from marketimpact.sources.files.single_file import FilePrices
from marketimpact.sources.protocol import PriceTable

__all__ = [
    "ERROR",
    "FINDINGS",
    "NOTE",
    "SPLITS",
    "WARNING",
    "Finding",
    "check_prices",
    "find_problems",
    "no_findings",
    "raise_errors",
    "sentences",
    "source_rows",
    "summary",
]

_CHECKS = (
    days.repeated_rows,
    days.broken_rows,
    days.closed_days,
    days.shifted_dates,
    days.gaps,
    days.unlisted_closures,
    days.copies,
    days.copied_rows,
    days.stale_runs,
    days.last_rows,
    jumps.jumps,
    jumps.seams,
    bases.currencies,
    bases.adjustments,
    bases.copied_series,
    bases.unchecked,
)


def check_prices(
    prices: str | Path | pl.DataFrame | PriceTable,
    securities: pl.DataFrame | None = None,
    *,
    first: date | None = None,
    last: date | None = None,
) -> pl.DataFrame:
    """Look for what may be wrong with prices. Nothing is changed and nothing is refused.

    Parameters
    ----------
    prices : str, pathlib.Path, polars.DataFrame or PriceTable
        A Parquet or CSV file or a frame as `FilePrices` takes it, or what a source's `read` gave.
        Columns beyond those of `FilePrices` are used where they are there: `currency`, `dividend`, `split`,
        `adjustment` and `source`.
    securities : polars.DataFrame, optional
        What the symbols are: exchange, currency, benchmark, price limit; `marketimpact.securities()` by
        default. A symbol it lacks is checked as far as that goes, which a finding says.
    first, last : datetime.date, optional
        Bounds, both included.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, finding, severity, value, detail``, worst first. `severity` is *error* (certainly wrong:
        `Market.load` stops), *warning* or *note*; `value` is the size of what was seen, in the unit of the kind
        of finding (docs/data_checks.md); `detail` says what was seen and what to do. `symbol` and `date` are
        empty where a finding is about the whole table.

    Raises
    ------
    DataError
        For a file that cannot be read or lacks a column.

    Examples
    --------
    >>> from datetime import date
    >>> days = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 3)]
    >>> prices = pl.DataFrame({"symbol": ["NVDA"] * 3, "date": days, "close": [48.2, 47.6, 48.0]})
    >>> check_prices(prices).filter(pl.col("severity") == "error").select("date", "finding", "value").row(0)
    (datetime.date(2024, 1, 3), 'conflicting_rows', 2.0)
    """
    return find_problems(source_rows(prices, first=first, last=last), catalogue.securities(securities))


def source_rows(
    prices: str | Path | pl.DataFrame | PriceTable | FilePrices,
    symbols: list[str] | None = None,
    first: date | None = None,
    last: date | None = None,
) -> pl.DataFrame:
    """Rows as a source has them, in the columns that the checks know."""
    if isinstance(prices, PriceTable):
        frame = prices.frame
        if "unadjusted_close" in frame.columns:
            frame = frame.with_columns(pl.lit(value=True).alias("from_adjusted"))
        if prices.listings is not None and "currency" in prices.listings.columns:
            stated = prices.listings.select("symbol", "currency").unique("symbol")
            frame = frame.join(stated, on="symbol", how="left", validate="m:1")
        return frame
    source = prices if isinstance(prices, FilePrices) else FilePrices(prices)
    return source.rows(symbols, first, last)


def find_problems(rows: pl.DataFrame, securities: pl.DataFrame, listed: pl.DataFrame | None = None) -> pl.DataFrame:
    """Findings in rows as `source_rows` gives them; `listed` are the exchanges' sessions, if they are at hand."""
    ready = prepare_rows(rows, securities, listed)
    return sort_findings(pl.concat([frame for check in _CHECKS for frame in check(ready)]))


def raise_errors(findings: pl.DataFrame, source: str) -> None:
    """Stop at errors.

    Raises
    ------
    DataError
        With the number of errors of each kind, and their findings as `rows`.
    """
    errors = findings.filter(pl.col("severity") == ERROR)
    if errors.is_empty():
        return
    counts = dict(errors.group_by("finding", maintain_order=True).agg(pl.len()).iter_rows())
    told = [f"  - {line}" for line in sentences(errors, ERROR)]
    shown = [f"  {row['symbol']} {row['date']}: {row['detail']}" for row in errors.head(5).iter_rows(named=True)]
    more = [f"  ... and {errors.height - 5} more in this error's `rows`"] if errors.height > 5 else []
    raise DataError("\n".join([f"{source} is certainly wrong:", *told, *shown, *more]), counts=counts, rows=errors)
