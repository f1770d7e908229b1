"""Findings of the price checks, as a short table and for a sentence."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.market import checks
from marketimpact.report.blocks import ReportTable
from marketimpact.study.result import StudyResult

__all__ = ["doubtful_symbols", "findings_table"]

#: Rows of the table; the others are counted.
MOST_ROWS = 25
#: Symbols named in a sentence.
MOST_SYMBOLS_NAMED = 6


def doubtful_symbols(result: StudyResult) -> str:
    """List, for a sentence, the securities with an error or warning on days that this result uses, or lost to one."""
    findings = result.market.findings.filter(pl.col("severity") != checks.NOTE, _in_days_used(result))
    symbols = sorted(
        {*_implausible_symbols(result), *set(findings["symbol"].drop_nulls()) & set(result.events["symbol"])}
    )
    more = len(symbols) - MOST_SYMBOLS_NAMED
    return ", ".join(symbols[:MOST_SYMBOLS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _in_days_used(result: StudyResult) -> pl.Expr:
    """Keep findings between the first and the last day of all estimation and event windows."""
    values = result.estimation
    used = np.concatenate([values.estimation_dates.ravel(), values.dates.ravel()])
    used = used[used >= 0]
    days = pl.Series([used.min(), used.max()] if len(used) else [None, None], dtype=pl.Int32).cast(pl.Date)
    return pl.col("date").is_between(days[0], days[1])


def _implausible_symbols(result: StudyResult) -> list[str]:
    """List the symbols whose implausible returns took events out of this result."""
    lost = result.attrition.filter(pl.col("reason") == "implausible_return")["detail"]
    symbols = result.market.implausible["symbol"].unique().sort()
    return [symbol for symbol in symbols if lost.str.starts_with(f"{symbol} has a return of ").any()]


def findings_table(result: StudyResult) -> ReportTable | None:
    """Tabulate errors and warnings about the days used, one row per symbol and kind; securities with an event first.

    Findings without a day, and those of implausible returns that took events out, are kept; the others are counted.
    """
    all_findings = result.market.findings.filter(pl.col("severity") != checks.NOTE)
    lost = pl.col("symbol").is_in(_implausible_symbols(result))
    findings = all_findings.filter((_in_days_used(result) | pl.col("date").is_null() | lost).fill_null(value=False))
    if findings.is_empty():
        return None
    elsewhere = all_findings.height - findings.height
    studied = [*result.events["symbol"].unique(), *_implausible_symbols(result)]
    frame = checks.summary(findings).with_columns(pl.col("symbol").is_in(studied).alias("_studied"))
    frame = frame.sort("_studied", descending=True, maintain_order=True)
    rows = [
        [
            row["symbol"],
            row["finding"].replace("_", " "),
            row["rows"],
            row["first"] if row["first"] == row["last"] else f"{row['first']} to {row['last']}",
            row["detail"] if row["rows"] == 1 else f"{row['detail']} One of {row['rows']}.",
        ]
        for row in frame.head(MOST_ROWS).iter_rows(named=True)
    ]
    more = frame.height - len(rows)
    note = f"And {more} more: see the table `findings`." if more else "Every finding is in the table `findings`."
    note += f" {elsewhere} more are of days outside all windows." if elsewhere else ""
    columns = ["symbol", "finding", "rows", "dates", "what was seen, and what to do"]
    return ReportTable.of(columns, rows, numeric=[2], note=note)
