"""Prepare rows of a source for the checks: exchange, sessions, returns, usual range."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from marketimpact.core.schema.vocabulary import HIGHEST_PRICE, LOWEST_PRICE
from marketimpact.events import calendars
from marketimpact.events.calendars import EXCHANGES
from marketimpact.market.checks.stated_payouts import (
    adjusted_close,
    dividends_by_row,
    match_splits,
    stated_payouts,
)
from marketimpact.market.session_returns import close_empty_sessions, extent
from marketimpact.market.trading_rules import undo_fills
from marketimpact.sources.files.price_rows import delisted

__all__ = ["OPTIONAL", "CheckedPrices", "prepare_rows"]

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
#: Sessions of the window in which a symbol's usual range is measured.
RANGE_WINDOW = 121
#: Fewest returns for a symbol's own usual range, the range of symbols with fewer, and the smallest plausible range.
MIN_RETURNS_FOR_RANGE, RANGE_OF_OTHERS, SMALLEST_RANGE = 20, 0.03, 0.003
#: The median of an absolute normal is this many standard deviations.
MEDIAN_OF_NORMAL = 0.6745
#: Fewest symbols of an exchange whose median return stands for its market.
MIN_SYMBOLS_FOR_MEDIAN = 5


@dataclass(frozen=True, slots=True)
class CheckedPrices:
    """Input to the checks.

    Attributes
    ----------
    raw : polars.DataFrame
        Every row as given: ``symbol, date, close`` and `OPTIONAL`, and ``total_loss``, the last close of zero of
        a delisted symbol.
    priced : polars.DataFrame
        One row per symbol and date with a positive close, sorted, with facts about the symbol:
        ``calendar, known, copied, on_session`` and `FACTS` (the expected currency as ``expected``).
    traded : polars.DataFrame
        Those that are neither copies nor on closed days, with ``session, gap`` (sessions skipped since the row
        before), ``last_close``, ``reference`` (the same less the dividend and after the split of the day), ``ret``
        (log return, stated dividends and splits in it), ``market`` (log return of the benchmark or, without one,
        the exchange's median), ``own`` (their difference) and ``scale`` (its usual standard deviation).
    sessions : polars.DataFrame
        ``mic, date, session, short``: sessions of every calendar, after closures that prices show; `mic` is the
        calendar's name, `short` whether it closed early.
    shut : polars.DataFrame
        ``mic, date, due``: sessions left out because none of the `due` symbols has a price.
    stated : polars.DataFrame
        ``symbol, date, dividend, split``: as the source states them, of symbols without an adjusted close.
    payouts : polars.DataFrame
        ``symbol, date, payout, ratio, stated_on``: the dividends and splits in returns, on the rows that show them.
    """

    raw: pl.DataFrame
    priced: pl.DataFrame
    traded: pl.DataFrame
    sessions: pl.DataFrame
    shut: pl.DataFrame
    stated: pl.DataFrame
    payouts: pl.DataFrame


def prepare_rows(raw: pl.DataFrame, securities: pl.DataFrame, listed: pl.DataFrame | None = None) -> CheckedPrices:
    """Prepare rows for the checks.

    Parameters
    ----------
    raw : polars.DataFrame
        ``symbol, date, close`` and any of `OPTIONAL`.
    securities : polars.DataFrame
        ``symbol, mic`` and any of `FACTS`.
    listed : polars.DataFrame, optional
        Sessions of the securities' exchanges, as `calendars.sessions` gives them; looked up by default.
    """
    absent = [pl.lit(None, kind).alias(name) for name, kind in OPTIONAL.items() if name not in raw.columns]
    raw = raw.with_columns(*absent).sort("symbol", "date", maintain_order=True)
    raw = raw.with_columns(pl.col("delisted").fill_null(value=False) | pl.col("symbol").is_in(delisted(securities)))
    is_last = pl.col("date") == pl.col("date").filter(pl.col("close").is_not_null()).max().over("symbol")
    raw = raw.with_columns(((pl.col("close") == 0) & "delisted" & is_last).fill_null(value=False).alias("total_loss"))
    valid = raw.filter(pl.col("close").is_between(LOWEST_PRICE, HIGHEST_PRICE), pl.col("date").is_not_null())
    unique = valid.unique(["symbol", "date"], keep="first", maintain_order=True)
    _, fills = undo_fills(unique.select("symbol", "date", "close", "volume"))
    known = _facts(securities)
    priced = unique.join(known, on="symbol", how="left", validate="m:1", maintain_order="left").join(
        fills.select("symbol", "date", copied=pl.lit(value=True)),
        on=["symbol", "date"], how="left", validate="1:1", maintain_order="left",
    ).with_columns(pl.col("copied", "known").fill_null(value=False))  # fmt: skip
    open_days = _listed_sessions(priced, listed)
    priced = _mark_sessions(priced, open_days)
    own = priced.filter(~pl.col("copied"), pl.col("on_session").fill_null(value=True))
    sessions, shut = _close_sessions(open_days, own)
    stated = stated_payouts(raw)
    payouts = _payouts(own, sessions, stated)
    return CheckedPrices(raw, priced, _with_returns(own, sessions, payouts), sessions, shut, stated, payouts)


def _payouts(own: pl.DataFrame, sessions: pl.DataFrame, stated: pl.DataFrame) -> pl.DataFrame:
    """Place stated dividends and splits on the rows whose returns they are in; see `CheckedPrices`."""
    none = pl.DataFrame(schema=PAYOUTS)
    if stated.is_empty():
        return none
    dividends = dividends_by_row(stated, own)
    traded = _with_returns(own, sessions, pl.concat([none, dividends], how="diagonal"))
    splits = match_splits(stated, traded)
    return dividends.join(splits, on=["symbol", "date"], how="full", coalesce=True).select(
        "symbol", "date", pl.col("payout").fill_null(0.0), pl.col("ratio").fill_null(1.0), "stated_on"
    )


def _facts(securities: pl.DataFrame) -> pl.DataFrame:
    """Collect facts about each symbol; benchmarks follow the calendar of their securities where that is one."""
    lacking = [pl.lit(None, kind).alias(name) for name, kind in FACTS.items() if name not in securities.columns]
    firms = securities.with_columns(*lacking).select(
        "symbol",
        *[name for name in FACTS if name != "currency"],
        pl.col("currency").alias("expected"),
        pl.col("mic").replace_strict(EXCHANGES, default=None, return_dtype=pl.String).alias("calendar"),
        pl.lit(value=True).alias("known"),
    )
    named = [c for c in ("benchmark", "sector_proxy") if c in securities.columns]
    others = pl.concat(
        [securities.select(pl.col(c).alias("symbol"), "mic") for c in named] or [securities.select("symbol", "mic")]
    )
    others = (
        others.with_columns(
            pl.col("mic").replace_strict(EXCHANGES, default=None, return_dtype=pl.String).alias("calendar")
        )
        .drop_nulls()
        .group_by("symbol")
        .agg(pl.col("calendar").unique())
        .filter(pl.col("calendar").list.len() == 1)
        .with_columns(pl.col("calendar").list.first())
        .join(firms, on="symbol", how="anti")
    )
    return pl.concat([firms, others], how="diagonal")


def _listed_sessions(priced: pl.DataFrame, listed: pl.DataFrame | None) -> pl.DataFrame:
    """List the sessions of every calendar that the symbols follow."""
    names = priced["calendar"].drop_nulls().unique().sort().to_list()
    if listed is None:
        if not names:
            listed = pl.DataFrame(
                schema={"mic": pl.String, "date": pl.Date, **dict.fromkeys(("open", "close"), pl.Datetime("us", "UTC"))}
            )
        else:
            listed = calendars.sessions(names, *extent(priced.filter(pl.col("calendar").is_not_null())))
    renamed = listed.with_columns(pl.col("mic").replace_strict(EXCHANGES, default=None, return_dtype=pl.String))
    hours = pl.col("close") - pl.col("open")
    return (
        renamed.unique(["mic", "date"], keep="first")
        .sort("mic", "date")
        .select("mic", "date", (hours < hours.median().over("mic")).fill_null(value=False).alias("short"))
    )


def _mark_sessions(priced: pl.DataFrame, open_days: pl.DataFrame) -> pl.DataFrame:
    """Mark rows on sessions; a benchmark whose days do not fit follows another, unknown calendar."""
    marked = priced.join(
        open_days.select(pl.col("mic").alias("calendar"), "date", on_session=pl.lit(value=True)),
        on=["calendar", "date"],
        how="left",
        validate="m:1",
        maintain_order="left",
    ).with_columns(pl.when(pl.col("calendar").is_not_null()).then(pl.col("on_session").fill_null(value=False)))
    has_other_calendar = ~pl.col("known") & ((~pl.col("on_session")).mean().over("symbol") > MAX_SHARE_OFF_CALENDAR)
    return marked.with_columns(
        pl.when(~has_other_calendar.fill_null(value=False)).then(pl.col("calendar", "on_session"))
    )


def _close_sessions(open_days: pl.DataFrame, own: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Remove sessions on which no symbol of the exchange has a price, and return those too."""
    mics = own.select("symbol", pl.col("calendar").alias("mic")).unique().drop_nulls()
    kept, _ = close_empty_sessions(open_days, mics, own.select("symbol", "date", "close"))
    due = mics.group_by("mic").agg(pl.len().alias("due"))
    shut = open_days.join(kept, on=["mic", "date"], how="anti").join(due, on="mic", how="left", validate="m:1")
    return kept.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over("mic").alias("session")), shut


def _with_returns(own: pl.DataFrame, sessions: pl.DataFrame, payouts: pl.DataFrame) -> pl.DataFrame:
    """Add sessions, gaps, log returns of symbol and benchmark, and the usual range; see `CheckedPrices`."""
    own = own.join(
        payouts.drop("stated_on"), on=["symbol", "date"], how="left", validate="m:1", maintain_order="left"
    ).with_columns(pl.col("payout").fill_null(0.0), pl.col("ratio").fill_null(1.0))
    own = own.with_columns(adjusted_close().alias("total"))
    frame = own.join(
        sessions.select(pl.col("mic").alias("calendar"), "date", "session", "short"),
        on=["calendar", "date"],
        how="left",
        validate="m:1",
        maintain_order="left",
    ).join(
        own.select(pl.col("symbol").alias("benchmark"), "date", pl.col("total").alias("level")),
        on=["benchmark", "date"],
        how="left",
        validate="m:1",
        maintain_order="left",
    )
    frame = frame.with_columns(
        (pl.col("session").diff().over("symbol") - 1).alias("gap"),
        pl.col("close").shift(1).over("symbol").alias("last_close"),
        ((pl.col("close").shift(1).over("symbol") - pl.col("payout")) / pl.col("ratio")).alias("reference"),
        pl.col("date").shift(1).over("symbol").alias("last_date"),
        pl.col("total").log().diff().over("symbol").alias("ret"),
        pl.col("level").log().diff().over("symbol").alias("market"),
    )
    peers = pl.when(pl.col("gap") == 0).then(pl.col("ret"))
    typical = pl.when(peers.count().over("calendar", "date") >= MIN_SYMBOLS_FOR_MEDIAN).then(
        peers.median().over("calendar", "date")
    )
    frame = frame.with_columns(pl.coalesce("market", pl.when(pl.col("calendar").is_not_null()).then(typical)))
    frame = frame.with_columns((pl.col("ret") - pl.col("market").fill_null(0.0)).alias("own"))
    return frame.with_columns(_usual_range().alias("scale")).drop("level", "total", "payout", "ratio")


def _usual_range() -> pl.Expr:
    """Estimate the standard deviation around each row from the median absolute return, as of a normal."""
    size = pl.col("own").abs()
    local = size.rolling_median(RANGE_WINDOW, min_samples=MIN_RETURNS_FOR_RANGE, center=True).over("symbol")
    median_step = pl.when(size.count().over("symbol") >= MIN_RETURNS_FOR_RANGE).then(size.median().over("symbol"))
    usual = pl.max_horizontal(local, median_step / 2) / MEDIAN_OF_NORMAL
    return (
        pl.when(median_step.is_null()).then(RANGE_OF_OTHERS).otherwise(pl.max_horizontal(usual, pl.lit(SMALLEST_RANGE)))
    )
