"""Findings of the price checks, as a short table and for a sentence."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core.arrays import NO_DAY, Ints
from marketimpact.core.chunks import chunks
from marketimpact.market import checks
from marketimpact.report.blocks import ReportTable
from marketimpact.study.result import StudyResult

__all__ = ["doubtful_symbols", "findings_table", "findings_used", "notes_used", "repairs_used"]

#: Rows of the table; the others are counted.
MOST_ROWS = 25
#: Events whose days are read at a time.
CHUNK = 4096
#: Symbols named in a sentence.
MOST_SYMBOLS_NAMED = 6


def doubtful_symbols(result: StudyResult) -> str:
    """List, for a sentence, the securities with an error or warning on days that this result uses, or lost to one."""
    findings = findings_used(result).filter(pl.col("severity") != checks.NOTE)
    symbols = sorted(
        {*_implausible_symbols(result), *set(findings["symbol"].drop_nulls()) & set(result.events["symbol"])}
    )
    more = len(symbols) - MOST_SYMBOLS_NAMED
    return ", ".join(symbols[:MOST_SYMBOLS_NAMED]) + (f" and {more} more" if more > 0 else "")


def findings_used(result: StudyResult) -> pl.DataFrame:
    """Keep the findings on days within the windows of an event of the security, or of one measured against it.

    Of findings without a security those on days within any window are kept, and all that have no day.
    """
    findings = result.market.findings.with_row_index("_row")
    spans = window_spans(result)
    own = [spans.select(pl.col(name).alias("symbol"), "first", "last") for name in ("symbol", "benchmark")]
    any_window = spans.select(pl.lit(None, pl.String).alias("symbol"), "first", "last").unique()
    used = findings.join(
        pl.concat([*own, any_window]).unique(), on="symbol", how="inner", nulls_equal=True, validate="m:m"
    )
    rows = used.filter(pl.col("date").is_between("first", "last"))["_row"].unique()
    dateless = pl.col("date").is_null()
    return findings.filter(pl.col("_row").is_in(rows.implode()) | dateless).drop("_row")


def repairs_used(result: StudyResult) -> pl.DataFrame:
    """Keep the repairs of calendars on days within the windows of an event of the exchange."""
    repairs = result.market.repairs.with_row_index("_row")
    used = repairs.join(
        window_spans(result).select("mic", "first", "last").unique(), on="mic", how="inner", validate="m:m"
    )
    rows = used.filter(pl.col("date").is_between("first", "last"))["_row"].unique()
    return repairs.filter(pl.col("_row").is_in(rows.implode())).drop("_row")


def notes_used(result: StudyResult) -> list[str]:
    """List the market's notes; those on findings only for the days used."""
    market = result.market
    on_findings = set(checks.market_notes(market.findings))
    others = [note for note in market.notes if note not in on_findings]
    return [*others, *checks.market_notes(findings_used(result))]


def window_spans(result: StudyResult) -> pl.DataFrame:
    """List ``symbol, benchmark, mic, first, last``: securities of events with the days from first to last window."""
    values, events = result.estimation, result.events
    ends = [_first_and_last(values.date_rows.rows(rows), values.dates[rows]) for rows in chunks(events.height, CHUNK)]
    days = pl.from_numpy(np.vstack(ends), schema={"first": pl.Int32, "last": pl.Int32})
    known = pl.col("first") <= pl.col("last")
    frame = events.select("symbol").hstack(days).filter(known).with_columns(pl.col("first", "last").cast(pl.Date))
    known_securities = result.market.securities
    columns = [name for name in ("benchmark", "mic") if name in known_securities.columns]
    frame = frame.unique().join(
        known_securities.select("symbol", *columns), on="symbol", how="left", validate="m:1", maintain_order="left"
    )
    absent = [pl.lit(None, pl.String).alias(name) for name in ("benchmark", "mic") if name not in columns]
    return frame.with_columns(absent)


def _first_and_last(estimation: Ints, event: Ints) -> Ints:
    """Find the first and the last day of the windows of some events, (K, 2); the first is later where there is none."""
    days = np.hstack([estimation, event])
    none = np.iinfo(np.int32).max
    first = np.where(days == NO_DAY, none, days).min(axis=1, initial=none)
    return np.column_stack([first, days.max(axis=1, initial=NO_DAY)]).astype(np.int32)


def _implausible_symbols(result: StudyResult) -> list[str]:
    """List the symbols whose implausible returns took events out of this result."""
    lost = result.attrition.filter(pl.col("reason") == "implausible_return")["detail"]
    symbols = result.market.implausible["symbol"].unique().sort()
    return [symbol for symbol in symbols if lost.str.starts_with(f"{symbol} has a return of ").any()]


def findings_table(result: StudyResult) -> ReportTable | None:
    """Tabulate errors and warnings about the days used, one row per symbol and kind; securities with an event first.

    Findings without a day, and those of implausible returns that took events out, are kept; the others are counted.
    """
    serious = pl.col("severity") != checks.NOTE
    all_findings = result.market.findings.filter(serious)
    lost = all_findings.filter(pl.col("symbol").is_in(_implausible_symbols(result)))
    findings = pl.concat([findings_used(result).filter(serious), lost]).unique(maintain_order=True)
    if findings.is_empty():
        return None
    elsewhere = all_findings.unique().height - findings.height
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
    note += f" {elsewhere} more are of days outside the windows of these events." if elsewhere else ""
    columns = ["symbol", "finding", "rows", "dates", "what was seen, and what to do"]
    return ReportTable.of(columns, rows, numeric=[2], note=note)
