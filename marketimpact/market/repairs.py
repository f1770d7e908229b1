"""Repair prices: each repair is requested by name, and each changed price is recorded as a row."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.events import calendars
from marketimpact.market import checks
from marketimpact.market.session_returns import extent
from marketimpact.market.trading_rules import undo_fills
from marketimpact.sources.protocol import PriceTable

__all__ = ["DEFAULT", "REPAIRED", "REPAIRS", "RepairedPrices", "check_repairs", "repair_prices"]

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


@dataclass(frozen=True, eq=False)
class RepairedPrices:
    """Prices after checks and repairs.

    Attributes
    ----------
    securities : polars.DataFrame
        The securities that have prices.
    quotes : polars.DataFrame
        ``symbol, date, close, volume`` of securities and benchmarks.
    listed : polars.DataFrame
        Sessions that the exchanges' calendars list, as `calendars.sessions` gives them.
    findings : polars.DataFrame
        As of `check_prices`, those that a repair corrected, as notes.
    fills : polars.DataFrame
        ``symbol, date, close``: copied closes that were emptied.
    repairs : polars.DataFrame
        Every change, in the columns of `REPAIRED`.
    notes : tuple of str
        One sentence per kind of change, for readers of results.
    """

    securities: pl.DataFrame
    quotes: pl.DataFrame
    listed: pl.DataFrame
    findings: pl.DataFrame
    fills: pl.DataFrame
    repairs: pl.DataFrame
    notes: tuple[str, ...]

    @cached_property
    def closes(self) -> pl.DataFrame:
        """``symbol, date, close``, without empty closes."""
        return self.quotes.select("symbol", "date", "close").drop_nulls("close")


def repair_prices(
    securities: pl.DataFrame, table: PriceTable, rows: pl.DataFrame, repair: Collection[str]
) -> RepairedPrices:
    """Check prices, stop at errors, and make the requested repairs.

    Parameters
    ----------
    securities : polars.DataFrame
        Sorted by symbol.
    table : PriceTable
        Prices from a source.
    rows : polars.DataFrame
        The same with all that the source states; see `checks.source_rows`.
    repair : collection of str
        Names of `REPAIRS`.

    Raises
    ------
    DataError
        When there is no price of any security, or a price is certainly wrong.
    """
    quotes, fills = _empty_copied_closes(table.frame, repair)
    priced, listed = _listed_sessions(securities, table, quotes)
    findings = _check(rows, securities, listed, table.source, repair)
    quotes, splits = _rescale_splits(quotes, findings, repair)
    changes = [
        _record(fills, "copied_closes", pl.lit(None, pl.Float64)),
        splits,
        _duplicates(table.frame, findings, repair),
        _closed_days(priced, quotes.drop_nulls("close"), listed, table.source, repair),
    ]
    recorded = pl.concat(changes).sort("symbol", "date", "what")
    return RepairedPrices(priced, quotes, listed, findings, fills, recorded, tuple(_notes(fills, splits)))


def _empty_copied_closes(frame: pl.DataFrame, repair: Collection[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Empty closes copied from the session before, if requested; return prices and the copies."""
    quotes = frame.select("symbol", "date", "close", "volume")
    if "copied_closes" not in repair:
        return quotes.sort("symbol", "date"), quotes.clear().select("symbol", "date", "close")
    return undo_fills(quotes)


def _listed_sessions(
    securities: pl.DataFrame, table: PriceTable, quotes: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the securities that have prices, and the sessions that their exchanges' calendars list."""
    closes = quotes.drop_nulls("close")
    if closes.is_empty():
        raise DataError(f"{table.source} has no prices, only empty closes.")
    priced = securities.join(closes.select("symbol").unique(), on="symbol", how="semi")
    if priced.is_empty():
        raise DataError(
            f"{table.source} has prices of no security, only of benchmarks: {listed(table.missing, quoted=False)}."
        )
    return priced, calendars.sessions(priced["mic"].unique(), *extent(closes))


def _check(
    rows: pl.DataFrame, securities: pl.DataFrame, listed: pl.DataFrame, source: str, repair: Collection[str]
) -> pl.DataFrame:
    """Find what is wrong, mark what a requested repair settles, and stop at the errors that are left."""
    findings = checks.find_problems(rows, securities, listed)
    is_repaired = pl.col("finding").is_in([name for what in repair for name in SETTLES.get(what, ())])
    kept_copy = (pl.col("finding") == "copied_close") & pl.lit("copied_closes" not in repair)
    severity = pl.when(is_repaired).then(pl.lit(checks.NOTE)).when(kept_copy).then(pl.lit(checks.WARNING))
    detail = pl.when(is_repaired).then(pl.format("{} Repaired.", "detail")).otherwise("detail")
    findings = findings.with_columns(severity.otherwise("severity").alias("severity"), detail.alias("detail"))
    checks.raise_errors(findings, source)
    return findings


def _rescale_splits(
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


def _duplicates(frame: pl.DataFrame, findings: pl.DataFrame, repair: Collection[str]) -> pl.DataFrame:
    """Record dates whose row was there more than once; the close is unchanged."""
    if "duplicates" not in repair:
        return pl.DataFrame(schema=REPAIRED)
    repeated = findings.filter(pl.col("finding") == "repeated_rows")
    return _record(frame.join(repeated, on=["symbol", "date"], how="semi"), "duplicates", pl.col("close"))


def _closed_days(
    securities: pl.DataFrame, closes: pl.DataFrame, listed: pl.DataFrame, source: str, repair: Collection[str]
) -> pl.DataFrame:
    """Record prices of securities on days their exchange was shut, which no return uses.

    Raises
    ------
    DataError
        When there are some and the repair is not requested.
    """
    own = closes.join(securities.select("symbol", "mic"), on="symbol", how="inner", validate="m:1")
    stray = own.join(listed, on=["mic", "date"], how="anti").select("symbol", "date", "close", "mic")
    stray = stray.sort("symbol", "date")
    if stray.height and "closed_days" not in repair:
        row = stray.row(0, named=True)
        raise DataError(
            f"{source} has {stray.height} prices on days the exchange was shut, the first of {row['symbol']} on "
            f"{row['date']}. Drop these rows, or leave them out with repair=('closed_days', ...).",
            counts={"closed_day_price": stray.height},
            rows=stray,
        )
    return _record(stray, "closed_days", pl.lit(None, pl.Float64))


def _record(frame: pl.DataFrame, repair: str, after: pl.Expr) -> pl.DataFrame:
    """Write changed closes as rows in the columns of `REPAIRED`."""
    return frame.select(
        "symbol", "date", pl.lit(repair).alias("what"), pl.col("close").alias("before"), after.alias("after")
    )


def _notes(fills: pl.DataFrame, splits: pl.DataFrame) -> list[str]:
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
