"""Repair prices: each repair is requested by name, and each changed price is recorded as a row."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.events import calendars
from marketimpact.market import checks
from marketimpact.market.traded_sessions import TradedSessions, traded_sessions
from marketimpact.market.trading_rules import undo_fills
from marketimpact.sources.protocol import PriceTable

__all__ = [
    "DEFAULT",
    "REPAIRED",
    "REPAIRS",
    "check_repairs",
    "check_rows",
    "empty_copied_closes",
    "find_duplicates",
    "record_repairs",
    "refuse_closed_days",
    "repair_notes",
    "rescale_splits",
    "settle_sessions",
]

#: Repair -> what it does.
REPAIRS = {
    "copied_closes": "a close without volume that repeats the one before is emptied",
    "closed_days": "a price on a day its exchange was shut is left out; without this it is an error",
    "splits": "closes before a split they were not adjusted for are rescaled by its ratio",
    "duplicates": "of identical rows one is kept; without this they are an error",
}
#: Repairs of `Market.load` by default.
DEFAULT = ("copied_closes", "closed_days")
#: Columns of the record of repairs: the close before and after, null where it was removed.
REPAIRED = {"symbol": pl.String, "date": pl.Date, "what": pl.String, "before": pl.Float64, "after": pl.Float64}
#: Repair -> findings that it settles.
SETTLES = {
    "splits": ("unadjusted_split", "split_like_jump"),
    "duplicates": ("repeated_rows",),
}


def check_repairs(repair: Collection[str]) -> tuple[str, ...]:
    """Check names of repairs and sort them.

    Raises
    ------
    SpecificationError
        For a name that does not exist, or a bare text.
    """
    names = {repair} if isinstance(repair, str) else set(repair)
    if isinstance(repair, str) or not names <= set(REPAIRS):
        unknown = ", ".join(repr(name) for name in sorted(names - set(REPAIRS))) or repr(repair)
        raise SpecificationError(
            f"repair cannot be {unknown}. Give a tuple of any of {', '.join(REPAIRS)}, "
            f"such as repair={DEFAULT!r}, or ()."
        )
    return tuple(sorted(names))


def empty_copied_closes(frame: pl.DataFrame, repair: Collection[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Empty closes copied from the session before, if requested; return prices and the copies."""
    quotes = frame.select("symbol", "date", "close", "volume")
    if "copied_closes" not in repair:
        return quotes.sort("symbol", "date"), quotes.clear().select("symbol", "date", "close")
    return undo_fills(quotes)


def settle_sessions(
    securities: pl.DataFrame, table: PriceTable, quotes: pl.DataFrame, calendar_overrides: pl.DataFrame | None
) -> tuple[pl.DataFrame, TradedSessions]:
    """Return the securities that have prices, and the sessions of their exchanges.

    Raises
    ------
    DataError
        When there is no price of any security, or for an exchange without a calendar.
    """
    closes = quotes.drop_nulls("close")
    if closes.is_empty():
        raise DataError(f"{table.source} has no prices, only empty closes.")
    priced = securities.join(closes.select("symbol").unique(), on="symbol", how="semi")
    if priced.is_empty():
        raise DataError(
            f"{table.source} has prices of no security, only of benchmarks: {listed(table.missing, quoted=False)}."
        )
    calendars.check_exchanges(priced["mic"].unique().sort().to_list())
    return priced, traded_sessions(closes, priced, calendar_overrides)


def check_rows(
    rows: pl.DataFrame, securities: pl.DataFrame, traded: TradedSessions, source: str, repair: Collection[str]
) -> pl.DataFrame:
    """Find what is wrong, mark what a requested repair settles, and stop at the errors that are left.

    Raises
    ------
    DataError
        When a price is certainly wrong.
    """
    findings = checks.find_problems(rows, securities, traded)
    is_repaired = pl.col("finding").is_in([name for what in repair for name in SETTLES.get(what, ())])
    kept_copy = (pl.col("finding") == "copied_close") & pl.lit("copied_closes" not in repair)
    severity = pl.when(is_repaired).then(pl.lit(checks.NOTE)).when(kept_copy).then(pl.lit(checks.WARNING))
    detail = pl.when(is_repaired).then(pl.format("{} Repaired.", "detail")).otherwise("detail")
    findings = findings.with_columns(severity.otherwise("severity").alias("severity"), detail.alias("detail"))
    checks.raise_errors(findings, source)
    return findings


def rescale_splits(
    quotes: pl.DataFrame, findings: pl.DataFrame, repair: Collection[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rescale closes before splits they were not adjusted for, if requested; record the last close before each."""
    splits = findings.filter(pl.col("finding").is_in(SETTLES["splits"])).select(
        "symbol", pl.col("date").alias("day"), pl.col("value").alias("ratio")
    )
    if "splits" not in repair or splits.is_empty():
        return quotes, pl.DataFrame(schema=REPAIRED)
    earlier = quotes.join(splits, on="symbol", how="inner").filter(pl.col("date") < pl.col("day"))
    factors = earlier.group_by("symbol", "date").agg(pl.col("ratio").product().alias("factor"))
    scaled = quotes.join(factors, on=["symbol", "date"], how="left", validate="1:1", maintain_order="left")
    after = pl.col("close") / pl.col("factor").fill_null(1.0)
    last_before = earlier.drop_nulls("close").sort("date").group_by("symbol", "day").agg(pl.col("date").last())
    changed = _record(scaled.join(last_before, on=["symbol", "date"], how="semi"), "splits", after)
    return scaled.with_columns(after.alias("close")).drop("factor"), changed


def find_duplicates(frame: pl.DataFrame, findings: pl.DataFrame, repair: Collection[str]) -> pl.DataFrame:
    """Record dates whose row was there more than once, if the repair is requested; the close is unchanged."""
    if "duplicates" not in repair:
        return pl.DataFrame(schema=REPAIRED)
    repeated = findings.filter(pl.col("finding") == "repeated_rows")
    return _record(frame.join(repeated, on=["symbol", "date"], how="semi"), "duplicates", pl.col("close"))


def refuse_closed_days(on_closed_days: pl.DataFrame, source: str, repair: Collection[str]) -> None:
    """Stop at prices on days without a session, unless the repair is requested: no return uses them.

    Raises
    ------
    DataError
        With these prices as `rows`.
    """
    if on_closed_days.is_empty() or "closed_days" in repair:
        return
    row = on_closed_days.row(0, named=True)
    raise DataError(
        f"{source} has {on_closed_days.height} prices on days without a session, the first of {row['symbol']} on "
        f"{row['date']}: the {row['why']}. Drop these rows, or leave them out with repair=('closed_days', ...).",
        counts={"closed_day_price": on_closed_days.height},
        rows=on_closed_days,
    )


def record_repairs(
    fills: pl.DataFrame, splits: pl.DataFrame, duplicates: pl.DataFrame, on_closed_days: pl.DataFrame
) -> pl.DataFrame:
    """Record every close that a repair changed or removed, in the columns of `REPAIRED`."""
    removed = pl.lit(None, pl.Float64)
    changes = [
        _record(fills, "copied_closes", removed),
        splits,
        duplicates,
        _record(on_closed_days, "closed_days", removed),
    ]
    return pl.concat(changes).sort("symbol", "date", "what")


def _record(frame: pl.DataFrame, repair: str, after: pl.Expr) -> pl.DataFrame:
    """Write changed closes as rows in the columns of `REPAIRED`."""
    return frame.select(
        "symbol", "date", pl.lit(repair).alias("what"), pl.col("close").alias("before"), after.alias("after")
    )


def repair_notes(fills: pl.DataFrame, splits: pl.DataFrame) -> list[str]:
    """Describe emptied copies and rescaled closes for readers of results."""
    notes = []
    if fills.height:
        count, symbols = fills.height, fills["symbol"].n_unique()
        notes.append(f"{count} closes of {symbols} symbols without volume were copies and are not used")
    for row in splits.iter_rows(named=True):
        notes.append(
            f"closes of {row['symbol']} to {row['date']} were divided by {row['before'] / row['after']:g}: a split "
            "they were not adjusted for"
        )
    return notes
