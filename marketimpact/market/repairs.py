"""Repair prices: each repair is requested by name, and each changed price is recorded as a row."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.events import calendars
from marketimpact.market import checks
from marketimpact.market.implausible import mark_accepted
from marketimpact.market.traded_sessions import TradedSessions, traded_sessions
from marketimpact.market.trading_rules import undo_fills
from marketimpact.sources.protocol import PriceTable

__all__ = [
    "DEFAULT",
    "REPAIRED",
    "REPAIRS",
    "adjust_closes",
    "check_repairs",
    "check_rows",
    "empty_copied_closes",
    "find_duplicates",
    "record_repairs",
    "refuse_closed_days",
    "repair_notes",
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
#: End of the detail of a finding that a repair settles.
REPAIRED_NOW = " Repaired."
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
        return quotes, quotes.clear().select("symbol", "date", "close")
    return undo_fills(quotes)


def settle_sessions(
    securities: pl.DataFrame,
    table: PriceTable,
    kept: pl.DataFrame,
    with_close: pl.Series,
    calendar_overrides: pl.DataFrame | None,
) -> tuple[pl.DataFrame, TradedSessions]:
    """Return the securities that have prices, and the sessions of their exchanges.

    `kept` are the rows with a close, `with_close` their symbols.

    Raises
    ------
    DataError
        When there is no price of any security, or for an exchange without a calendar.
    """
    if kept.is_empty():
        raise DataError(f"{table.source} has no prices, only empty closes.")
    priced = securities.filter(pl.col("symbol").is_in(with_close.implode()))
    if priced.is_empty():
        raise DataError(
            f"{table.source} has prices of no security, only of benchmarks: {listed(table.missing, quoted=False)}."
        )
    calendars.check_exchanges(priced["mic"].unique().sort().to_list())
    return priced, traded_sessions(kept, priced, calendar_overrides)


def check_rows(
    rows: pl.DataFrame,
    securities: pl.DataFrame,
    traded: TradedSessions,
    source: str,
    *,
    repair: Collection[str],
    accepted: pl.DataFrame,
) -> pl.DataFrame:
    """Find what is wrong, mark what is accepted or a requested repair settles, and stop at the errors that are left.

    Raises
    ------
    DataError
        When a price is certainly wrong.
    """
    findings = mark_accepted(checks.find_problems(rows, securities, traded), accepted)
    settled = [name for what in repair for name in SETTLES.get(what, ())]
    is_repaired = pl.col("finding").is_in(settled) & (pl.col("severity") != checks.NOTE)
    kept_copy = (pl.col("finding") == "copied_close") & pl.lit("copied_closes" not in repair)
    severity = pl.when(is_repaired).then(pl.lit(checks.NOTE)).when(kept_copy).then(pl.lit(checks.WARNING))
    detail = pl.when(is_repaired).then(pl.col("detail") + REPAIRED_NOW).otherwise("detail")
    findings = findings.with_columns(severity.otherwise("severity").alias("severity"), detail.alias("detail"))
    checks.raise_errors(findings, source)
    return findings


def adjust_closes(quotes: pl.DataFrame, findings: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Adjust closes for stated dividends and splits, and for splits whose repair is requested.

    Returns
    -------
    quotes : polars.DataFrame
        With closes whose returns are total ones; see `checks.adjusted_close`.
    changes : polars.DataFrame
        The last close before each dividend and split, in the columns of `REPAIRED`, and ``ratio`` of a split.
    """
    amount, split = pl.col("finding") == "stated_dividend", pl.col("finding") == "unadjusted_split"
    repaired = (pl.col("finding") == "split_like_jump") & pl.col("detail").str.ends_with(REPAIRED_NOW)
    steps = findings.filter(amount | split | repaired).select(
        "symbol",
        "date",
        pl.when(amount).then("value").alias("payout"),
        pl.when(~amount).then("value").alias("ratio"),
    )
    if steps.is_empty():
        return quotes, pl.DataFrame(schema={**REPAIRED, "ratio": pl.Float64})
    daily = steps.group_by("symbol", "date").agg(pl.col("payout").sum(), pl.col("ratio").product())
    scaled = quotes.join(daily, on=["symbol", "date"], how="left", validate="1:1", maintain_order="left").with_columns(
        pl.col("payout").fill_null(0.0), pl.col("ratio").fill_null(1.0)
    )
    after = scaled.with_columns(checks.adjusted_close().alias("after"))
    adjusted = after.with_columns(pl.col("after").alias("close")).select(quotes.columns)
    return adjusted, _changes(after)


def _changes(after: pl.DataFrame) -> pl.DataFrame:
    """Record the last close before each dividend and split; see `adjust_closes`."""
    priced = after.drop_nulls("close").with_columns(
        pl.col("payout", "ratio").shift(-1).over("symbol").name.prefix("next_")
    )
    paid, split = priced.filter(pl.col("next_payout") > 0), priced.filter(pl.col("next_ratio") != 1.0)
    return pl.concat(
        [
            _record(paid, "dividends", pl.col("after")).with_columns(ratio=pl.lit(None, pl.Float64)),
            _record(split, "splits", pl.col("after")).with_columns(split["next_ratio"].alias("ratio")),
        ]
    )


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
    fills: pl.DataFrame, adjustments: pl.DataFrame, duplicates: pl.DataFrame, on_closed_days: pl.DataFrame
) -> pl.DataFrame:
    """Record every close that a repair changed or removed, in the columns of `REPAIRED`."""
    removed = pl.lit(None, pl.Float64)
    changes = [
        _record(fills, "copied_closes", removed),
        adjustments.drop("ratio"),
        duplicates,
        _record(on_closed_days, "closed_days", removed),
    ]
    return pl.concat(changes).sort("symbol", "date", "what")


def _record(frame: pl.DataFrame, repair: str, after: pl.Expr) -> pl.DataFrame:
    """Write changed closes as rows in the columns of `REPAIRED`."""
    return frame.select(
        "symbol", "date", pl.lit(repair).alias("what"), pl.col("close").alias("before"), after.alias("after")
    )


def repair_notes(fills: pl.DataFrame, adjustments: pl.DataFrame, findings: pl.DataFrame) -> list[str]:
    """Describe emptied copies, dividends in returns and rescaled closes for readers of results."""
    notes = []
    if fills.height:
        count, symbols = fills.height, fills["symbol"].n_unique()
        notes.append(f"{count} closes of {symbols} symbols without volume were copies and are not used")
    paid = findings.filter(pl.col("finding") == "stated_dividend")
    if paid.height:
        payers = listed(paid["symbol"].unique().sort().to_list(), quoted=False)
        notes.append(f"{paid.height} stated dividends of {payers} are in returns, since there is no adjusted close")
    splits = adjustments.filter(pl.col("what") == "splits").select("symbol", "date", "ratio")
    return notes + [
        f"closes of {symbol} to {day} were divided by {ratio:g}: a split they were not adjusted for"
        for symbol, day, ratio in splits.iter_rows()
    ]
