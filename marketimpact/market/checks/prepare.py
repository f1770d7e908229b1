"""Prepare rows of a source for the checks: exchange, sessions, returns, usual range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Bools, Ints
from marketimpact.core.day_table import DayTable, day_numbers
from marketimpact.core.schema.vocabulary import FIRST_DAY, HIGHEST_PRICE, LAST_DAY, LOWEST_PRICE
from marketimpact.core.symbol_rows import codes, is_repeated_key, keep_rows, owners, sort_rows
from marketimpact.events.calendars import EXCHANGES
from marketimpact.market.checks.log_returns import with_returns
from marketimpact.market.checks.stated_payouts import dividends_by_row, match_splits, stated_payouts
from marketimpact.market.traded_sessions import TradedSessions, calendars_of_symbols, traded_sessions
from marketimpact.market.trading_rules import undo_fills
from marketimpact.sources.files.price_rows import delisted

__all__ = ["OPTIONAL", "CheckedPrices", "is_placed", "prepare_rows"]

#: Optional columns of rows, and their types.
OPTIONAL = {
    "volume": pl.Float64,
    "unadjusted_close": pl.Float64,
    "dividend": pl.Float64,
    "split": pl.Float64,
    "currency": pl.String,
    "origin": pl.String,
    "from_adjusted": pl.Boolean,
    "unreadable": pl.String,
    "delisted": pl.Boolean,
}
PAYOUTS = {"symbol": pl.String, "date": pl.Date, "payout": pl.Float64, "ratio": pl.Float64, "stated_on": pl.Date}
FACTS = {"mic": pl.String, "currency": pl.String, "benchmark": pl.String, "price_limit": pl.Float64,
         "board": pl.String, "listed_on": pl.Date}  # fmt: skip
#: A benchmark follows its securities' calendar when at most this share of its days is not in it.
MAX_SHARE_OFF_CALENDAR = 0.02


@dataclass(frozen=True, slots=True)
class CheckedPrices:
    """Input to the checks. Every frame of rows is sorted by symbol and date.

    Attributes
    ----------
    raw : polars.DataFrame
        Every row as given: ``symbol, date, close`` and `OPTIONAL`, and ``total_loss``, the last close of zero of
        a delisted symbol.
    given : frozenset of str
        The columns of `OPTIONAL` that hold any value.
    facts : polars.DataFrame
        One row per symbol with a price: ``symbol, calendar, known`` and `FACTS` (the expected currency as
        ``expected``).
    priced : polars.DataFrame
        One row per symbol and date with a positive close: the columns of `raw`, ``copied``, ``on_session`` (null where
        no calendar is known) and ``beyond`` (after the calendar's end or before its beginning).
    traded : polars.DataFrame
        Those that are neither copies nor on closed days, with ``session, gap`` (sessions skipped since the row
        before), ``reference`` (the close before less the dividend and after the split of the day), ``ret``
        (log return, stated dividends and splits in it), ``market`` (log return of the benchmark or, without one,
        the exchange's median) and ``own`` (their difference).
    sessions : polars.DataFrame
        ``mic, date, session, short``: sessions of every calendar, after what prices show; `mic` is the
        calendar's name, `short` whether it closed early.
    changes, bounds : polars.DataFrame
        As in `TradedSessions`.
    stated : polars.DataFrame
        ``symbol, date, dividend, split``: as the source states them, of symbols without an adjusted close.
    payouts : polars.DataFrame
        ``symbol, date, payout, ratio, stated_on``: the dividends and splits in returns, on the rows that show them.
    """

    raw: pl.DataFrame
    given: frozenset[str]
    facts: pl.DataFrame
    priced: pl.DataFrame
    traded: pl.DataFrame
    sessions: pl.DataFrame
    changes: pl.DataFrame
    bounds: pl.DataFrame
    stated: pl.DataFrame
    payouts: pl.DataFrame

    def with_facts(self, rows: pl.DataFrame, *names: str) -> pl.DataFrame:
        """Add facts about the symbol to some rows."""
        return rows.join(self.facts.select("symbol", *names), on="symbol", how="left", validate="m:1",
                         maintain_order="left")  # fmt: skip


def is_placed() -> pl.Expr:
    """Mark rows that have a symbol and a date on which there were prices."""
    return pl.col("symbol").is_not_null() & pl.col("date").is_between(FIRST_DAY, LAST_DAY)


def prepare_rows(
    raw: pl.DataFrame,
    securities: pl.DataFrame,
    traded: TradedSessions | None = None,
    calendar_overrides: pl.DataFrame | None = None,
) -> CheckedPrices:
    """Prepare rows for the checks.

    Parameters
    ----------
    raw : polars.DataFrame
        ``symbol, date, close`` and any of `OPTIONAL`.
    securities : polars.DataFrame
        ``symbol, mic`` and any of `FACTS`.
    traded : TradedSessions, optional
        Sessions of the securities' exchanges; settled from these rows by default.
    calendar_overrides : polars.DataFrame, optional
        As in `Market.load`; used where `traded` is absent.
    """
    given = frozenset(name for name in OPTIONAL if name in raw.columns and raw[name].count())
    raw = _with_total_losses(raw, delisted(securities))
    valid = keep_rows(raw, pl.col("close").is_between(LOWEST_PRICE, HIGHEST_PRICE), is_placed())
    unique = keep_rows(valid, ~is_repeated_key())
    _, fills = undo_fills(unique.select("symbol", "date", "close", "volume"))
    priced = _with_mark(unique, fills, "copied")
    if traded is None:
        traded = traded_sessions(keep_rows(priced, ~pl.col("copied")), securities, calendar_overrides)
    sessions = _numbered(traded.sessions)
    facts, priced = _mark_sessions(_facts(priced, securities), priced, sessions, traded)
    own = keep_rows(priced, ~pl.col("copied"), pl.col("on_session").fill_null(value=True))
    stated = stated_payouts(raw if given & {"dividend", "split"} else raw.clear())
    payouts = _payouts(own, facts, stated)
    return CheckedPrices(
        raw=raw, given=given, facts=facts, priced=priced, traded=with_returns(own, facts, payouts), sessions=sessions,
        changes=traded.changes, bounds=traded.bounds, stated=stated, payouts=payouts,
    )  # fmt: skip


def _with_total_losses(raw: pl.DataFrame, delisted_symbols: list[str]) -> pl.DataFrame:
    """Add the columns of `OPTIONAL` that are absent, and mark last closes of zero of delisted symbols; sort."""
    absent = [pl.lit(None, kind).alias(name) for name, kind in OPTIONAL.items() if name not in raw.columns]
    raw = sort_rows(raw.with_columns(absent))
    if delisted_symbols or raw["delisted"].count():
        is_delisted = pl.col("delisted").fill_null(value=False) | pl.col("symbol").is_in(delisted_symbols)
        raw = raw.with_columns(is_delisted.alias("delisted"))
    else:
        raw = raw.with_columns(pl.lit(value=False).alias("delisted"))
    zeros = raw.filter(pl.col("close") == 0, "delisted")
    if zeros.is_empty():
        return raw.with_columns(pl.lit(value=False).alias("total_loss"))
    is_last = pl.col("date") == pl.col("date").filter(pl.col("close").is_not_null()).max().over("symbol")
    return raw.with_columns(((pl.col("close") == 0) & "delisted" & is_last).fill_null(value=False).alias("total_loss"))


def _with_mark(rows: pl.DataFrame, marked: pl.DataFrame, name: str) -> pl.DataFrame:
    """Add a column that is true on the rows ``symbol, date`` of `marked`."""
    if marked.is_empty():
        return rows.with_columns(pl.lit(value=False).alias(name))
    keys = marked.select("symbol", "date", pl.lit(value=True).alias(name))
    joined = rows.join(keys, on=["symbol", "date"], how="left", validate="1:1", maintain_order="left")
    return joined.with_columns(pl.col(name).fill_null(value=False))


def _payouts(own: pl.DataFrame, facts: pl.DataFrame, stated: pl.DataFrame) -> pl.DataFrame:
    """Place stated dividends and splits on the rows whose returns they are in; see `CheckedPrices`."""
    none = pl.DataFrame(schema=PAYOUTS)
    if stated.is_empty():
        return none
    dividends = dividends_by_row(stated, own)
    splits = none.select("symbol", "date", "ratio", "stated_on")
    if stated["split"].count():
        splits = match_splits(stated, with_returns(own, facts, pl.concat([none, dividends], how="diagonal")))
    return dividends.join(splits, on=["symbol", "date"], how="full", coalesce=True).select(
        "symbol", "date", pl.col("payout").fill_null(0.0), pl.col("ratio").fill_null(1.0), "stated_on"
    )


def _facts(priced: pl.DataFrame, securities: pl.DataFrame) -> pl.DataFrame:
    """Collect facts about each symbol; benchmarks follow the calendar of their securities where that is one."""
    lacking = [pl.lit(None, kind).alias(name) for name, kind in FACTS.items() if name not in securities.columns]
    firms = securities.with_columns(*lacking).select(
        "symbol",
        *[name for name in FACTS if name != "currency"],
        pl.col("currency").alias("expected"),
        pl.col("mic").replace_strict(EXCHANGES, default=None, return_dtype=pl.String).alias("calendar"),
        pl.lit(value=True).alias("known"),
    )
    others = calendars_of_symbols(securities).filter(~pl.col("is_security")).select("symbol", "calendar")
    return (
        priced.select(pl.col("symbol").unique(maintain_order=True))
        .join(
            pl.concat([firms, others], how="diagonal"), on="symbol", how="left", validate="1:1", maintain_order="left"
        )
        .with_columns(pl.col("known").fill_null(value=False))
    )


def _numbered(sessions: pl.DataFrame) -> pl.DataFrame:
    """Add each session's number in its calendar, and whether it was shorter than most."""
    hours = pl.col("close") - pl.col("open")
    return sessions.select(
        "mic",
        "date",
        pl.int_range(pl.len(), dtype=pl.Int64).over("mic").alias("session"),
        (hours < hours.median().over("mic")).fill_null(value=False).alias("short"),
    )


def _mark_sessions(
    facts: pl.DataFrame, priced: pl.DataFrame, sessions: pl.DataFrame, traded: TradedSessions
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add ``session, on_session, beyond`` to rows, and forget the calendar of benchmarks whose days do not fit it."""
    names = pl.concat([sessions["mic"], traded.bounds["mic"], traded.changes["mic"]]).unique().sort()
    calendar, owner, days = codes(facts["calendar"], names), owners(priced["symbol"]), day_numbers(priced["date"])
    number = _by_day(sessions, names, sessions["session"].cast(pl.Int32).to_numpy(), -1).at(calendar[owner], days)
    on_session = number >= 0
    closures = traded.changes.filter(pl.col("action") == "closed")
    if closures.height and priced["copied"].any():
        # a copy on a day when all were copied is reported as a copy
        shut = _by_day(closures, names, True, False).at(calendar[owner], days)
        on_session |= shut & priced["copied"].to_numpy()
    beyond = _beyond(traded.bounds, names, calendar[owner], days)
    share = np.bincount(owner, ~on_session & ~beyond) / np.bincount(owner)
    strays = ~facts["known"].to_numpy() & (calendar >= 0) & (share > MAX_SHARE_OFF_CALENDAR)
    facts = facts.with_columns(pl.when(pl.Series(~strays)).then("calendar"))
    has_calendar = ((calendar >= 0) & ~strays)[owner]
    marks = pl.DataFrame({"session": number, "on_session": on_session, "beyond": beyond, "has": has_calendar})
    marks = marks.select(
        pl.when(pl.col("session") >= 0, "has").then("session"), pl.when("has").then("on_session"), "beyond"
    )
    return facts, priced.with_columns(marks)


def _by_day(days: pl.DataFrame, names: pl.Series, values: Any, missing: Any) -> DayTable:
    """Tabulate values of days ``mic, date`` of the calendars `names`."""
    numbers = day_numbers(days["date"])
    return DayTable.of(codes(days["mic"], names), numbers, values, n_series=len(names), missing=missing)


def _beyond(bounds: pl.DataFrame, names: pl.Series, calendar: Ints, days: NDArray[np.int32]) -> Bools:
    """Mark days after a calendar's end or before its beginning."""
    limits = np.iinfo(np.int32)
    first, last = (np.full(len(names) + 1, end, dtype=np.int32) for end in (limits.min, limits.max))
    rows = codes(bounds["mic"], names)
    first[rows] = bounds["first"].to_physical().fill_null(limits.min).to_numpy()
    last[rows] = bounds["last"].to_physical().fill_null(limits.max).to_numpy()
    if not len(days) or (days.min() >= first.max() and days.max() <= last.min()):
        return np.zeros(len(days), dtype=bool)
    return (days > last[calendar]) | (days < first[calendar])
