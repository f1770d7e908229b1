"""What the checks of the prices found, as a short table."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core.text import listed
from marketimpact.market import checks
from marketimpact.report.blocks import ReportTable
from marketimpact.study.result import StudyResult

__all__ = ["doubted", "doubts"]

#: A table of more rows is not read; the others are counted.
ROWS = 25
#: Symbols that a sentence names.
NAMED = 6


def doubted(result: StudyResult) -> str:
    """Securities whose prices have an error or warning on the days this result is made of, for a sentence."""
    values = result.estimation
    used = np.concatenate([values.estimation_dates.ravel(), values.dates.ravel()])
    if not (used >= 0).any():
        return ""
    days = pl.Series([used[used >= 0].min(), used.max()], dtype=pl.Int32).cast(pl.Date)
    found = result.market.findings.filter(
        pl.col("severity") != checks.NOTE, pl.col("date").is_between(days[0], days[1])
    )
    symbols = sorted(set(found["symbol"].drop_nulls()) & set(result.events["symbol"]))
    return listed(symbols, limit=NAMED, quoted=False)


def doubts(result: StudyResult) -> ReportTable | None:
    """Errors and warnings about the prices, one row per symbol and kind; securities with an event first."""
    found = result.market.findings.filter(pl.col("severity") != checks.NOTE)
    if found.is_empty():
        return None
    studied = result.events["symbol"].unique().to_list()
    frame = checks.summary(found).with_columns(pl.col("symbol").is_in(studied).alias("_studied"))
    frame = frame.sort("_studied", descending=True, maintain_order=True)
    rows = [
        [
            row["symbol"],
            row["finding"].replace("_", " "),
            row["rows"],
            row["first"] if row["first"] == row["last"] else f"{row['first']} to {row['last']}",
            row["detail"] if row["rows"] == 1 else f"{row['detail']} One of {row['rows']}.",
        ]
        for row in frame.head(ROWS).iter_rows(named=True)
    ]
    more = frame.height - len(rows)
    note = f"And {more} more: see the table `findings`." if more else "Every finding is in the table `findings`."
    columns = ["symbol", "finding", "rows", "dates", "what was seen, and what to do"]
    return ReportTable.of(columns, rows, numeric=[2], note=note)
