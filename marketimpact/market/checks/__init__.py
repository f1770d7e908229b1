"""Check prices and report findings; nothing is changed here.

`check_prices` is the public function. Findings are rows; `FINDINGS` lists every kind, docs/data_checks.md explains
each. A check that lacks its data (an exchange, a benchmark, volume) is reported as a finding too, `not_checked`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl

from marketimpact.core.frames import FrameLike
from marketimpact.errors import DataError
from marketimpact.events import catalogue, session_overrides
from marketimpact.market.checks import days, jumps, opens, series
from marketimpact.market.checks.findings import (
    ACCEPTED,
    ERROR,
    FINDINGS,
    NOTE,
    WARNING,
    Finding,
    finding_rows,
    market_notes,
    no_findings,
    sentences,
    sort_findings,
    summary,
)
from marketimpact.market.checks.jumps import SPLITS
from marketimpact.market.checks.opens import unusable_opens
from marketimpact.market.checks.prepare import prepare_rows
from marketimpact.market.checks.returns import check_returns
from marketimpact.market.checks.stated_payouts import adjusted_close
from marketimpact.market.traded_sessions import TradedSessions
from marketimpact.sources.files.single_file import FilePrices
from marketimpact.sources.protocol import PriceTable

__all__ = [
    "ACCEPTED",
    "ERROR",
    "FINDINGS",
    "NOTE",
    "SPLITS",
    "WARNING",
    "Finding",
    "adjusted_close",
    "check_prices",
    "check_returns",
    "find_problems",
    "finding_rows",
    "market_notes",
    "no_findings",
    "raise_errors",
    "sentences",
    "sort_findings",
    "source_rows",
    "summary",
    "unusable_opens",
]

#: Threads that run the checks; each check is mostly one thread's work inside polars.
WORKERS = 2

_CHECKS = (
    days.repeated_rows,
    days.broken_rows,
    days.closed_days,
    days.shifted_dates,
    days.gaps,
    days.unlisted_closures,
    days.opened_sessions,
    days.beyond_calendars,
    days.copies,
    days.copied_rows,
    days.stale_runs,
    days.last_rows,
    jumps.jumps,
    jumps.seams,
    series.currencies,
    series.adjustments,
    series.payouts,
    series.copied_series,
    opens.opens,
    opens.missing_opens,
    opens.locked_opens,
    series.unchecked,
)


def check_prices(
    prices: str | Path | FrameLike | PriceTable,
    securities: FrameLike | None = None,
    *,
    first: date | None = None,
    last: date | None = None,
    calendar_overrides: FrameLike | None = None,
) -> pl.DataFrame:
    """Look for problems in prices. Nothing is changed and nothing is refused.

    Parameters
    ----------
    prices : str, pathlib.Path, FrameLike or PriceTable
        A Parquet or CSV file or a frame as `FilePrices` takes it, or the result of a source's `read`.
        Columns beyond those of `FilePrices` are used where they are there: `currency`, `dividend`, `split`,
        `adjustment` and `source`.
    securities : FrameLike, optional
        Exchange, currency, benchmark and price limit of the symbols; `marketimpact.securities()` by
        default. Checks that need these are reported as `not_checked` for other symbols.
    first, last : datetime.date, optional
        Bounds, both included.
    calendar_overrides : FrameLike, optional
        Sessions, closures and trading hours of your own, as in `Market.load`.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, finding, severity, value, detail``, worst first. `severity` is *error* (certainly wrong:
        `Market.load` stops), *warning* or *note*; `value` is the size of the problem, in the unit of the kind
        of finding (docs/data_checks.md); `detail` describes it and what to do. `symbol` and `date` are
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
    overrides = None if calendar_overrides is None else session_overrides.calendar_overrides(calendar_overrides)
    rows = source_rows(prices, first=first, last=last)
    return find_problems(rows, catalogue.securities(securities), calendar_overrides=overrides)


def source_rows(
    prices: str | Path | FrameLike | PriceTable | FilePrices,
    symbols: list[str] | None = None,
    first: date | None = None,
    last: date | None = None,
) -> pl.DataFrame:
    """Read rows as the source has them, in the columns that the checks use."""
    if isinstance(prices, PriceTable):
        frame = prices.frame
        if "unadjusted_close" in frame.columns:
            both = pl.col("unadjusted_close").is_not_null().any().over("symbol")
            frame = frame.with_columns(pl.when(both).then(pl.lit(value=True)).alias("from_adjusted"))
        if prices.listings is not None and "currency" in prices.listings.columns:
            stated = prices.listings.select("symbol", "currency").unique("symbol")
            frame = frame.join(stated, on="symbol", how="left", validate="m:1")
        return frame
    source = prices if isinstance(prices, FilePrices) else FilePrices(prices)
    return source.rows(symbols, first, last)


def find_problems(
    rows: pl.DataFrame,
    securities: pl.DataFrame,
    traded: TradedSessions | None = None,
    calendar_overrides: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Run every check over rows of `source_rows`; `traded` are the exchanges' sessions, settled here by default."""
    prices = prepare_rows(rows, securities, traded, calendar_overrides)
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda check: list(check(prices)), _CHECKS)
        return sort_findings(pl.concat([frame for frames in found for frame in frames]))


def raise_errors(findings: pl.DataFrame, source: str) -> None:
    """Raise an error for findings of severity *error*.

    Raises
    ------
    DataError
        With the number of errors of each kind, and their findings as `rows`.
    """
    errors = findings.filter(pl.col("severity") == ERROR)
    if errors.is_empty():
        return
    counts = dict(errors.group_by("finding", maintain_order=True).agg(pl.len()).iter_rows())
    kinds = [f"  - {line}" for line in sentences(errors, ERROR)]
    examples = [f"  {row['symbol']} {row['date']}: {row['detail']}" for row in errors.head(5).iter_rows(named=True)]
    more = [f"  ... and {errors.height - 5} more in this error's `rows`"] if errors.height > 5 else []
    lines = [f"{source} has prices that are certainly wrong:", *kinds, *examples, *more]
    raise DataError("\n".join(lines), counts=counts, rows=errors)
