"""Define the kinds of findings: name, severity and advice of each; sort, count and summarise them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from marketimpact.core.text import listed

__all__ = [
    "ACCEPTED",
    "ERROR",
    "FINDINGS",
    "NOTE",
    "SCHEMA",
    "WARNING",
    "Finding",
    "finding_rows",
    "market_notes",
    "no_findings",
    "sentences",
    "sort_findings",
    "summary",
]

Severity = Literal["error", "warning", "note"]
ERROR: Severity = "error"
WARNING: Severity = "warning"
NOTE: Severity = "note"
SCHEMA = {
    "symbol": pl.String,
    "date": pl.Date,
    "finding": pl.String,
    "severity": pl.String,
    "value": pl.Float64,
    "detail": pl.String,
}
#: Notes that `Market.notes` has too: they change how a return is computed or read.
NOTED = ("total_loss",)
#: End of the detail of a finding that is accepted.
ACCEPTED = " Accepted as real."
_RANK = {ERROR: 0, WARNING: 1, NOTE: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of finding.

    Attributes
    ----------
    name : str
        Stable name, the value of the column `finding`.
    severity : {"error", "warning", "note"}
        *error*: certainly wrong, `Market.load` stops. *warning*: probably wrong, unless other knowledge
        explains it. *note*: worth knowing.
    counted : str
        Description of its rows, in the plural, before their number.
    advice : str
        What to do; the end of every `detail`.
    """

    name: str
    severity: Severity
    counted: str
    advice: str


FINDINGS: dict[str, Finding] = {
    finding.name: finding
    for finding in (
        Finding("conflicting_rows", ERROR, "dates with rows that contradict each other",
                "Find out which row is right and drop the others."),
        Finding("unreadable_value", ERROR, "values that are no date or number",
                "Write dates 2024-01-31 and numbers 1234.5, or leave the cell empty."),
        Finding("non_positive_price", ERROR, "prices that are zero, negative or out of range",
                "Leave the cell empty, or read a better source; a total loss is a last close of 0 with delisted true."),
        Finding("currency_mismatch", ERROR, "symbols in a currency other than the securities say",
                "Correct the currency of the securities, or read the right listing."),
        Finding("unadjusted_split", ERROR, "splits that the source states and its closes were not adjusted for",
                "Use adjusted closes, or repair=('splits',)."),
        Finding("impossible_payout", ERROR, "stated dividends or splits that cannot be",
                "Write dividends per share in the currency of the close, on the ex-date, and splits as new shares for "
                "one; leave the cell empty on other days."),
        Finding("split_like_jump", WARNING, "jumps that look like a split the closes were not adjusted for",
                "Compare with the issuer's splits; use adjusted closes, or repair=('splits',)."),
        Finding("implausible_return", WARNING, "returns that no share makes in a day",
                "Compare with another source. Correct the prices, or accept=[(symbol, date)] if it is real."),
        Finding("limit_breach", WARNING, "closes beyond the exchange's daily price limit",
                "Look for a distribution or split that the closes were not adjusted for, or another day's price."),
        Finding("limit_overshoot", WARNING, "symbols with closes a little beyond the daily price limit",
                "Closes adjusted by taking dividends off (some qfq data) overstate returns the more the older they "
                "are: use closes adjusted by a factor."),
        Finding("scale_step", WARNING, "steps by a factor of 100 or 1000",
                "Look for cents among whole units (pence, sen), and rescale them."),
        Finding("spike", WARNING, "jumps of one row that the next takes back",
                "Compare that close with another source."),
        Finding("copied_series", WARNING, "series whose returns are those of another symbol",
                "One series contains the other's rows: check the tickers at the source."),
        Finding("mixed_adjustment", WARNING, "changes between adjusted and unadjusted closes within a symbol",
                "Fill in adj_close, or leave close empty there."),
        Finding("adjustment_step", WARNING, "adjustments that change without a dividend",
                "adj_close and close are not of one source: read both anew."),
        Finding("basis_step", WARNING, "jumps where a symbol passes from one source or adjustment to another",
                "Rescale one side to the other on days that both have."),
        Finding("dividend_in_closes", WARNING, "symbols whose closes do not fall by the dividends stated",
                "If the closes are adjusted already, name them adj_close, or leave the dividends out."),
        Finding("closed_day_price", WARNING, "prices on days their exchange was shut",
                "Such prices are in no return. Look for rows filled forward, or dates of another time zone."),
        Finding("beyond_calendar", WARNING, "exchanges with prices beyond the ends of their calendar",
                "Upgrade exchange_calendars, or name the sessions in calendar_overrides."),
        Finding("shifted_dates", WARNING, "months whose dates lie a day off",
                "Move the dates of that part by one day."),
        Finding("stale_run", WARNING, "long runs of one and the same close",
                "Look for closes filled forward or backward; leave days without a trade empty."),
        Finding("copied_row", WARNING, "rows with the close and the volume of the row before",
                "Close and volume do not repeat exactly by chance: the row was probably filled forward. Remove it."),
        Finding("repeated_rows", WARNING, "dates with the same row more than once",
                "Drop the repeats, or repair=('duplicates',)."),
        Finding("non_positive_open", WARNING, "runs of opens that are zero or negative",
                "No leg uses them. Leave these cells empty."),
        Finding("copied_open", WARNING, "runs of opens that repeat the close before or of the day",
                "No leg uses them. Opens were probably filled in: read a source that has them."),
        Finding("open_outside_range", WARNING, "runs of opens outside the day's lowest and highest price",
                "No leg uses them. Compare with another source."),
        Finding("open_on_other_basis", WARNING, "runs of opens on another basis than the close",
                "No leg uses them. Opens belong to the unadjusted close where there is one, else to the close: adjust "
                "both alike, or name the adjusted close adj_close."),
        Finding("partial_last_day", WARNING, "last rows that look like an unfinished session",
                "Drop the last row, or fetch it again after the close."),
        Finding("zero_returns", WARNING, "securities with many returns of exactly zero, or a run of them",
                "Zeros in place of missing returns pull beta towards zero: leave these cells empty. A share that does "
                "not trade needs TradeToTrade."),
        Finding("zero_day", WARNING, "days on which no security moves",
                "A holiday filled with zeros, as a rule: drop the day."),
        Finding("benchmark_of_sample", WARNING, "benchmarks made of the securities themselves",
                "Their abnormal returns add up to zero whatever happened: take an index in which they weigh little."),
        Finding("after_total_loss", WARNING, "securities with returns after a total loss",
                "A return of -1 leaves nothing to earn a return on: correct it, or leave later cells empty."),
        Finding("stated_dividend", NOTE, "stated dividends that returns count, without an adjusted close",
                "Market.load adds it to the return of that day."),
        Finding("split_in_closes", NOTE, "symbols with stated splits by which the closes do not step",
                "Closes adjusted for splits already, as Yahoo's, are in order."),
        Finding("total_loss", NOTE, "last closes of zero of delisted symbols", "The return of that day is -100%."),
        Finding("missing_day", NOTE, "single sessions without a price",
                "A return needs both neighbours: see `quality`."),
        Finding("suspension", NOTE, "gaps of several sessions", "A suspension, or rows the source has lost."),
        Finding("unlisted_closure", NOTE, "sessions of the calendar on which no symbol of the exchange has a price",
                "Taken for a closure, such as a typhoon day. If the source lost the day, find its prices."),
        Finding("opened_session", NOTE, "days that the calendar does not list and on which the exchange traded",
                "Taken for a session of the usual hours. State other hours in calendar_overrides."),
        Finding("copied_close", NOTE, "closes without volume that repeat the one before",
                "repair=('copied_closes',), the default, takes them out."),
        Finding("zero_volume", NOTE, "new closes without volume", "A quote or a settlement price rather than a trade."),
        Finding("large_move", NOTE, "moves far outside the symbol's usual range", "Look for the news of that day."),
        Finding("missing_open", NOTE, "symbols with rows without an open, where the source has opens",
                "Such sessions have no legs."),
        Finding("locked_open", NOTE, "sessions that opened and closed at the price limit",
                "The price is real, and legs use it; a larger move may follow in the next sessions."),
        Finding("source_change", NOTE, "places where a symbol passes from one source or adjustment to another",
                "No action needed unless an event is near; then compare with another source."),
        Finding("empty_price", NOTE, "rows without a price", "No action needed: such a row is a day without a price."),
        Finding("minor_currency", NOTE, "symbols in a hundredth of the securities' currency",
                "Returns are unaffected; price levels differ by a factor of 100."),
        Finding("not_checked", NOTE, "checks that could not be made", "See docs/data_checks.md."),
    )
}  # fmt: skip


def finding_rows(
    frame: pl.DataFrame, name: str, value: pl.Expr, detail: pl.Expr, *, severity: Severity | None = None
) -> pl.DataFrame:
    """Turn rows (symbol, date, ...) into findings: `detail` is the sentence, to which the advice is added."""
    if frame.is_empty():
        return no_findings()
    finding = FINDINGS[name]
    return frame.select(
        "symbol",
        "date",
        pl.lit(name).alias("finding"),
        pl.lit(severity or finding.severity).alias("severity"),
        value.cast(pl.Float64).alias("value"),
        pl.concat_str(detail, pl.lit(f". {finding.advice}")).alias("detail"),
    )


def no_findings() -> pl.DataFrame:
    """Return an empty frame of findings."""
    return pl.DataFrame(schema=SCHEMA)


def sort_findings(findings: pl.DataFrame) -> pl.DataFrame:
    """Sort findings worst first, then in the order of the registry, by symbol and date."""
    order = {name: position for position, name in enumerate(FINDINGS)}
    return findings.sort(
        pl.col("severity").replace_strict(_RANK, return_dtype=pl.Int64),
        pl.col("finding").replace_strict(order, return_dtype=pl.Int64),
        "symbol",
        "date",
        "value",
        nulls_last=True,
    )


def summary(findings: pl.DataFrame) -> pl.DataFrame:
    """Summarise findings in one row per symbol and kind, worst first.

    Returns
    -------
    polars.DataFrame
        ``severity, finding, symbol, rows, first, last, value, detail``: `value` and `detail` are of the row
        with the largest value.
    """
    rows = sort_findings(findings)
    extreme = pl.col("value").abs().fill_null(0.0).arg_max()
    # findings about no symbol are of different things: each keeps its row
    alone = pl.when(pl.col("symbol").is_null()).then(pl.col("detail")).alias("_alone")
    grouped = rows.group_by("severity", "finding", "symbol", alone, maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("rows"),
        pl.col("date").min().alias("first"),
        pl.col("date").max().alias("last"),
        pl.col("value").get(extreme),
        pl.col("detail").get(extreme),
    )
    return grouped.drop("_alone")


def sentences(findings: pl.DataFrame, *severities: Severity) -> list[str]:
    """Write one sentence per kind of finding: how many, and of which symbols."""
    counts = (
        sort_findings(findings)
        .filter(pl.col("severity").is_in(severities))
        .group_by("finding", maintain_order=True)
        .agg(pl.len().alias("rows"), pl.col("symbol").drop_nulls().unique().sort())
    )
    return [
        f"{row['finding']}: {FINDINGS[row['finding']].counted}: {row['rows']}"
        + (f" ({listed(row['symbol'], quoted=False)})" if row["symbol"] else "")
        for row in counts.iter_rows(named=True)
    ]


def market_notes(findings: pl.DataFrame) -> list[str]:
    """Write the notes of a market on its findings: one sentence per kind of warning, and per note worth one."""
    told = findings.filter((pl.col("severity") == WARNING) | pl.col("finding").is_in(NOTED))
    accepted = findings.filter(pl.col("severity") == NOTE, pl.col("detail").str.ends_with(ACCEPTED))
    steps = [f"{row['symbol']} on {row['date']}" for row in accepted.iter_rows(named=True)]
    return [
        *sentences(told, WARNING, NOTE),
        *([f"accepted as real: {listed(steps, quoted=False)}"] if steps else []),
    ]
