"""Settle each exchange's sessions from its calendar and from the prices: one rule for `Market.load` and the checks.

Exchanges of one calendar (XNYS and XNAS, XTAI and ROCO) are settled together. A benchmark is evidence where it trades
on their exchange: all securities that name it, here and in the embedded universe, keep the calendar, and its dates
agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

import numpy as np
import polars as pl

from marketimpact.core import text
from marketimpact.core.day_table import day_numbers
from marketimpact.core.symbol_rows import neighbour
from marketimpact.events import calendars, catalogue
from marketimpact.events.calendars import EXCHANGES
from marketimpact.market.session_returns import extent
from marketimpact.market.trading_rules import HAS_VOLUME

__all__ = [
    "TradedSessions",
    "calendar_notes",
    "calendar_repairs",
    "calendars_of_symbols",
    "is_beyond",
    "prices_on_closed_days",
    "traded_sessions",
]

#: Fewest symbols that had to have a price, securities or benchmarks, on a session that is taken for a closure.
MIN_SYMBOLS_FOR_CLOSURE = 2
#: Fewest securities with a new close, beside that of a benchmark, on a day that is taken for a session.
MIN_SECURITIES_FOR_SESSION = 2
#: Friday, as polars counts weekdays.
LAST_WEEKDAY = 5
#: A security counts for such a day if it traded on every listed session this many days before and after: one whose
#: dates are a day off did not.
COMPLETE_DAYS = timedelta(days=7)
#: A benchmark trades elsewhere when more of its days than these, and than this share, differ from the exchange's.
MAX_OTHER_DAYS, MAX_SHARE_OF_OTHER_DAYS = 2, 0.02
#: Columns of `TradedSessions.changes`.
CHANGES = {"mic": pl.String, "date": pl.Date, "action": pl.String, "detail": pl.String, "symbols": pl.Int64,
           "beyond": pl.Boolean}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TradedSessions:
    """Sessions of calendars after what the prices show; `mic` is a calendar's name in every frame.

    Attributes
    ----------
    sessions : polars.DataFrame
        As `calendars.sessions` returns them.
    changes : polars.DataFrame
        ``mic, date, action, detail, symbols, beyond``: days on which they differ from the calendar of the library,
        *closed* or *opened*, with the number of symbols that show it; `beyond` where the calendar has ended or not
        begun.
    unpriced : polars.DataFrame
        ``mic, date``: days that the calendar or the embedded overrides list, on which securities should have had a
        price, none has a new one, and that are not among the changes.
    bounds : polars.DataFrame
        ``mic, first, last``: where the calendars begin and end.
    """

    sessions: pl.DataFrame
    changes: pl.DataFrame
    unpriced: pl.DataFrame
    bounds: pl.DataFrame

    def by_exchange(self, name: str, securities: pl.DataFrame) -> pl.DataFrame:
        """Return the frame `name` with the MICs of the securities' exchanges in place of calendars' names."""
        mics = securities.select(pl.col("mic").unique()).with_columns(
            pl.col("mic").replace_strict(EXCHANGES, return_dtype=pl.String).alias("_calendar")
        )
        frame: pl.DataFrame = getattr(self, name)
        joined = frame.rename({"mic": "_calendar"}).join(mics, on="_calendar", how="inner")
        return joined.select(frame.columns).sort(frame.columns[:2])


def calendars_of_symbols(securities: pl.DataFrame) -> pl.DataFrame:
    """Return ``symbol, calendar, is_security`` of securities on known exchanges, and of benchmarks of one calendar."""
    firms = securities.select("symbol", _calendar(), pl.lit(value=True).alias("is_security"))
    named = pl.concat([_named(securities), _embedded_benchmarks()]).join(firms, on="symbol", how="anti")
    others = named.group_by("symbol").agg(pl.col("calendar").unique())
    alone = others.filter(pl.col("calendar").list.len() == 1).select(
        "symbol", pl.col("calendar").list.first(), pl.lit(value=False).alias("is_security")
    )
    return pl.concat([firms.drop_nulls("calendar"), alone])


def _calendar() -> pl.Expr:
    return pl.col("mic").replace_strict(EXCHANGES, default=None, return_dtype=pl.String).alias("calendar")


def _named(securities: pl.DataFrame) -> pl.DataFrame:
    """Return ``symbol, calendar`` of every benchmark and sector proxy, once for each security that names it."""
    columns = [c for c in ("benchmark", "sector_proxy") if c in securities.columns]
    empty = pl.DataFrame(schema={"symbol": pl.String, "calendar": pl.String})
    return pl.concat([empty, *(securities.select(pl.col(c).alias("symbol"), _calendar()) for c in columns)]).drop_nulls(
        "symbol"
    )


@lru_cache(maxsize=1)
def _embedded_benchmarks() -> pl.DataFrame:
    return _named(catalogue.securities())


def traded_sessions(
    prices: pl.DataFrame, securities: pl.DataFrame, calendar_overrides: pl.DataFrame | None = None
) -> TradedSessions:
    """Settle the sessions of the securities' exchanges.

    A listed session is closed when no security of the exchange has a price, no benchmark has a new one, and two
    symbols at least should have had one. A day that is not listed is opened when two securities and a benchmark have
    new closes. Embedded overrides hold where the prices do not contradict them; days that the user's own overrides
    name stay as they say.

    Parameters
    ----------
    prices : polars.DataFrame
        ``symbol, date, close, volume``, one row per symbol and date, sorted, without empty and copied closes.
    securities : polars.DataFrame
        ``symbol, mic`` and the columns that name benchmarks.
    calendar_overrides : polars.DataFrame, optional
        As in `Market.load`.
    """
    followed = calendars_of_symbols(securities).rename({"calendar": "mic"})
    rows = _marked(prices).join(followed, on="symbol", how="inner", validate="m:1")
    names = rows["mic"].unique().sort().to_list()
    if not names:
        return _no_sessions()
    overrides = calendars.overrides_by_calendar(calendar_overrides)
    # closures that are embedded are weighed against the prices
    applied = overrides.filter(pl.col("is_own") | pl.col("is_session"))
    listed = calendars.sessions(names, *extent(rows), applied, as_far_as_known=True)
    bounds = calendars.bounds(names)
    days = _traded_days(rows)
    foreign = _foreign_benchmarks(rows.filter(~pl.col("is_security")), days, listed)
    if len(foreign):
        rows = rows.filter(~pl.col("symbol").is_in(foreign.implode()))
        days = _traded_days(rows)
    evidence = _evidence(rows, days, listed, _stated(overrides, calendars.days_in_library(names, *extent(rows))))
    kept, closed = evidence.filter(~_is_closed()), evidence.filter(_is_closed())
    opened = _before_doubt(_opened(rows, days, listed, bounds, overrides), rows, listed, bounds)
    sessions = pl.concat(
        [listed.join(closed, on=["mic", "date"], how="anti"), calendars.usual_sessions(opened, listed)]
    ).sort("mic", "date")
    changes = [_closures(closed), _openings(opened, bounds), _stated_sessions(kept), _contradicted(kept)]
    empty = pl.concat([kept.filter(pl.col("due") > 0, pl.col("priced") == 0), closed.filter("added")])
    return TradedSessions(sessions, pl.concat(changes).sort("mic", "date"), empty.select("mic", "date"), bounds)


def _no_sessions() -> TradedSessions:
    """Return the value without any exchange."""
    days = {"mic": pl.String, "date": pl.Date}
    instants = dict.fromkeys(("open", "break_start", "break_end", "close"), pl.Datetime("us", "UTC"))
    return TradedSessions(
        pl.DataFrame(schema={**days, **instants, "exchange_time_zone": pl.String}),
        pl.DataFrame(schema=CHANGES),
        pl.DataFrame(schema=days),
        pl.DataFrame(schema={"mic": pl.String, "first": pl.Date, "last": pl.Date}),
    )


def _marked(prices: pl.DataFrame) -> pl.DataFrame:
    """Return ``symbol, date, is_traded``: a close other than that of the row before, or another positive volume."""
    volume = pl.col("volume")
    has_volume = ((volume > 0).fill_null(value=False).mean() >= HAS_VOLUME).over("symbol")
    new_close = (pl.col("close") != neighbour("close")).fill_null(value=True)
    new_volume = ((volume > 0) & (volume != neighbour("volume"))).fill_null(value=False)
    is_quote = (volume == 0).fill_null(value=False)
    if prices.select(is_quote.any()).item():
        is_quote &= has_volume
    return prices.select("symbol", "date", ((new_close & ~is_quote) | new_volume).alias("is_traded"))


def _traded_days(rows: pl.DataFrame) -> pl.DataFrame:
    """Count, for each day with a price, securities with one and with a new one, and benchmarks with a new one."""
    firm = pl.col("is_security")
    return rows.group_by("mic", "date").agg(
        _count(firm).alias("priced"),
        _count(firm & pl.col("is_traded")).alias("new"),
        _count(~firm & pl.col("is_traded")).alias("traded_benchmarks"),
    )


def _foreign_benchmarks(benchmarks: pl.DataFrame, priced: pl.DataFrame, listed: pl.DataFrame) -> pl.Series:
    """Find benchmarks whose days are not those of the exchange: they trade elsewhere."""
    days = listed.select("mic", "date")
    inside = benchmarks.join(_first_and_last(days, "mic"), on="mic", how="inner", validate="m:1")
    inside = inside.filter(pl.col("date").is_between("first", "last"), pl.col("is_traded"))
    extra = inside.join(days, on=["mic", "date"], how="anti").group_by("symbol").agg(pl.len().alias("extra"))
    open_days = priced.filter(pl.col("priced") > 0).select("mic", "date").join(days, on=["mic", "date"], how="semi")
    spans = _first_and_last(benchmarks, "symbol").join(
        benchmarks.select("symbol", "mic").unique(), on="symbol", how="inner", validate="1:1"
    )
    due = spans.join(open_days, on="mic", how="inner").filter(pl.col("date").is_between("first", "last"))
    lacking = due.join(benchmarks, on=["symbol", "date"], how="anti").group_by("symbol").agg(pl.len().alias("lacking"))
    counts = (
        due.group_by("symbol")
        .agg(pl.len().alias("n"))
        .join(extra, on="symbol", how="left", validate="1:1")
        .join(lacking, on="symbol", how="left", validate="1:1")
    )
    others = pl.col("extra").fill_null(0) + pl.col("lacking").fill_null(0)
    return counts.filter(others > MAX_OTHER_DAYS, others > MAX_SHARE_OF_OTHER_DAYS * pl.col("n"))["symbol"]


def _first_and_last(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return the first and last date of each value of `key`."""
    return rows.group_by(key).agg(pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))


def _stated(overrides: pl.DataFrame, library: pl.DataFrame) -> pl.DataFrame:
    """Return ``mic, date, occasion, is_own, added, shut``: what overrides say of days.

    `added` and `shut` are sessions and closures of embedded overrides that the library lacks.
    """
    known = library.with_columns(pl.lit(value=True).alias("in_library"))
    joined = overrides.join(known, on=["mic", "date"], how="left", validate="1:1")
    is_new = pl.col("is_session") != pl.col("in_library").fill_null(value=False)
    occasion = pl.col("source").str.extract("^([^;]*)").fill_null("embedded").alias("occasion")
    return joined.select(
        "mic", "date", occasion, "is_own",
        (~pl.col("is_own") & is_new & pl.col("is_session")).alias("added"),
        (~pl.col("is_own") & is_new & ~pl.col("is_session")).alias("shut"),
    )  # fmt: skip


def _evidence(rows: pl.DataFrame, traded: pl.DataFrame, listed: pl.DataFrame, stated: pl.DataFrame) -> pl.DataFrame:
    """Count, for every listed session, the symbols that should have a price and those that have one.

    Returns
    -------
    polars.DataFrame
        ``mic, date, due, due_benchmarks, priced, new, traded_benchmarks`` and the columns of `_stated`: securities and
        benchmarks whose span holds the day, securities with a price and with a new one, and benchmarks with a new one.
    """
    spans = rows.group_by("symbol").agg(
        pl.col("mic", "is_security").first(), pl.col("date").min().alias("first"), pl.col("date").max().alias("last")
    )
    firm, keys = pl.col("is_security"), ["mic", "date"]
    due = listed.select(keys).with_columns(
        _due(listed, spans.filter(firm)).alias("due"), _due(listed, spans.filter(~firm)).alias("due_benchmarks")
    )
    return (
        due.filter(pl.col("due") + pl.col("due_benchmarks") > 0)
        .join(traded, on=keys, how="left", validate="1:1")
        .join(stated, on=keys, how="left", validate="1:1")
        .with_columns(
            pl.col("priced", "new", "traded_benchmarks").fill_null(0),
            pl.col("is_own", "added", "shut").fill_null(value=False),
        )
        .sort(keys)
    )


def _due(listed: pl.DataFrame, spans: pl.DataFrame) -> pl.Series:
    """Count, for every session, the spans ``mic, first, last`` that hold it: those begun less those ended before."""
    counts = np.zeros(listed.height, dtype=np.int64)
    mics, days = listed["mic"], day_numbers(listed["date"])
    for (mic,), own in spans.partition_by("mic", as_dict=True).items():
        here = (mics == mic).to_numpy()
        first, last = (np.sort(day_numbers(own[name])) for name in ("first", "last"))
        begun, ended = np.searchsorted(first, days[here], "right"), np.searchsorted(last, days[here], "left")
        counts[here] = begun - ended
    return pl.Series(counts)


def _count(which: pl.Expr) -> pl.Expr:
    return which.sum().cast(pl.Int64)


def _is_closed() -> pl.Expr:
    """Take a session for a closure, by the prices or by embedded overrides that they do not contradict."""
    no_benchmark = pl.col("traded_benchmarks") == 0
    empty = (pl.col("due") > 0) & (pl.col("priced") == 0) & no_benchmark
    one_alone = (pl.col("new") == 1) & (pl.col("due_benchmarks") > 0)
    shut = pl.col("shut") & no_benchmark & ((pl.col("new") == 0) | one_alone)
    added = pl.col("added") & (pl.col("new") == 0)
    return (_is_empty_exchange(empty) | shut | added) & ~pl.col("is_own")


def _is_empty_exchange(empty: pl.Expr) -> pl.Expr:
    """Demand that two symbols at least should have had a price."""
    return empty & (pl.col("due") + pl.col("due_benchmarks") >= MIN_SYMBOLS_FOR_CLOSURE)


def _opened(
    rows: pl.DataFrame, traded: pl.DataFrame, listed: pl.DataFrame, bounds: pl.DataFrame, overrides: pl.DataFrame
) -> pl.DataFrame:
    """Find days that are not listed and on which the exchange traded: ``mic, date, symbols, beyond``."""
    keys = ["mic", "date"]
    named = overrides.filter("is_own")
    outside = traded.join(listed, on=keys, how="anti").select(keys)
    candidates = (
        rows.filter("is_traded", pl.col("date").is_in(outside["date"].unique().implode()))
        .join(outside, on=keys, how="semi")
        .join(named, on=keys, how="anti")
        .join(bounds, on="mic", how="left", validate="m:1")
        .with_columns(is_beyond().alias("beyond"))
    )
    # within the calendar any day can be special; beyond it only the usual days of the week can be sessions
    weekdays = listed.group_by("mic", pl.col("date").dt.weekday().alias("weekday")).agg(pl.len().alias("n"))
    weekdays = weekdays.filter(pl.col("n") > pl.col("n").max().over("mic") / 2)  # special Saturdays are few
    usual = candidates.with_columns(pl.col("date").dt.weekday().alias("weekday")).join(
        weekdays, on=["mic", "weekday"], how="semi"
    )
    candidates = pl.concat([candidates.filter(~pl.col("beyond")), usual.filter("beyond").drop("weekday")])
    firms = _complete(candidates.filter("is_security"), rows, listed)
    benchmarks = candidates.filter(~pl.col("is_security"))
    return (
        firms.group_by(*keys, "beyond")
        .agg(pl.len().cast(pl.Int64).alias("symbols"))
        .filter(pl.col("symbols") >= MIN_SECURITIES_FOR_SESSION)
        .join(benchmarks, on=keys, how="semi")
        .sort(keys)
    )


def _before_doubt(opened: pl.DataFrame, rows: pl.DataFrame, listed: pl.DataFrame, bounds: pl.DataFrame) -> pl.DataFrame:
    """Keep sessions beyond the calendar's end up to the first weekday with prices that is none, as returns span it."""
    keys = ["mic", "date"]
    if opened.is_empty():
        return opened
    priced = rows.filter("is_security", "is_traded").join(bounds, on="mic", how="left", validate="m:1")
    beyond = priced.filter(pl.col("date") > pl.col("last"), pl.col("date").dt.weekday() <= LAST_WEEKDAY)
    doubt = beyond.join(opened, on=keys, how="anti").join(listed, on=keys, how="anti")
    first = doubt.group_by("mic").agg(pl.col("date").min().alias("_doubt"))
    limited = opened.join(first, on="mic", how="left", validate="m:1", maintain_order="left")
    kept = ~pl.col("beyond") | pl.col("_doubt").is_null() | (pl.col("date") < pl.col("_doubt"))
    return limited.filter(kept).drop("_doubt")


def is_beyond() -> pl.Expr:
    """Mark dates after the calendar's end or before its beginning."""
    return (pl.col("date") > pl.col("last")).fill_null(value=False) | (pl.col("date") < pl.col("first")).fill_null(
        value=False
    )


def _complete(candidates: pl.DataFrame, rows: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """Keep candidates whose security has a price on every listed session of its span a week before and after."""
    if candidates.is_empty():
        return candidates
    rows = rows.join(candidates, on="symbol", how="semi")
    around = candidates.select(
        "symbol", "mic", pl.col("date").alias("day"), (pl.col("date") - COMPLETE_DAYS).alias("since"),
        (pl.col("date") + COMPLETE_DAYS).alias("until"),
    ).join(_first_and_last(rows, "symbol"), on="symbol", how="left", validate="m:1")  # fmt: skip
    sessions = listed.select(pl.col("mic").alias("exchange"), "date")
    due = around.join_where(
        sessions,
        pl.col("mic") == pl.col("exchange"),
        pl.col("date") >= pl.max_horizontal("since", "first"),
        pl.col("date") <= pl.min_horizontal("until", "last"),
    )
    incomplete = due.join(rows, on=["symbol", "date"], how="anti").select("symbol", pl.col("day").alias("date"))
    return candidates.join(incomplete, on=["symbol", "date"], how="anti")


def _closures(closed: pl.DataFrame) -> pl.DataFrame:
    """Describe closures of sessions that the library lists."""
    symbols = pl.col("due") + pl.col("due_benchmarks")
    count = pl.when(symbols > 1).then(pl.format("none of its {} symbols traded", symbols))
    untraded = pl.when(pl.col("new") == 0).then(
        pl.concat_str(pl.lit("; "), count.otherwise(pl.lit("its only symbol did not trade")))
    )
    stated = pl.when("shut").then(pl.format("; calendar_overrides has none ({})", "occasion"))
    detail = pl.concat_str(pl.lit("calendar lists a session"), untraded, stated, ignore_nulls=True)
    return closed.filter(~pl.col("added")).select(
        "mic", "date", pl.lit("closed").alias("action"), detail.alias("detail"), symbols.alias("symbols"),
        pl.lit(value=False).alias("beyond"),
    )  # fmt: skip


def _openings(opened: pl.DataFrame, bounds: pl.DataFrame) -> pl.DataFrame:
    """Describe sessions that the prices show."""
    frame = opened.join(bounds, on="mic", how="left", validate="m:1")
    traded = pl.format("; {} securities and a benchmark have new closes", "symbols")
    return frame.select(
        "mic", "date", pl.lit("opened").alias("action"), pl.concat_str(calendar_says(), traded).alias("detail"),
        "symbols", "beyond",
    )  # fmt: skip


def calendar_says() -> pl.Expr:
    """Say in words why a date is no session of the calendar; needs its bounds."""
    ended = pl.col("date") > pl.col("last")
    begun = pl.col("date") >= pl.col("first")
    return (
        pl.when(ended)
        .then(pl.format("calendar ends on {}", "last"))
        .when(~begun)
        .then(pl.format("calendar begins on {}", "first"))
        .otherwise(pl.lit("calendar has no session"))
    )


def _stated_sessions(kept: pl.DataFrame) -> pl.DataFrame:
    """Describe sessions that embedded overrides add and on which the exchange has a new price."""
    return kept.filter("added").select(
        "mic", "date", pl.lit("opened").alias("action"),
        pl.format("calendar has no session; calendar_overrides has one ({})", "occasion").alias("detail"),
        pl.col("new").alias("symbols"), pl.lit(value=False).alias("beyond"),
    )  # fmt: skip


def _contradicted(kept: pl.DataFrame) -> pl.DataFrame:
    """Describe sessions that embedded overrides close and the prices keep."""
    detail = pl.format("calendar_overrides has no session ({}); {} symbols have prices", "occasion", "priced")
    return kept.filter("shut").select(
        "mic", "date", pl.lit("kept").alias("action"), detail.alias("detail"),
        pl.col("priced").alias("symbols"), pl.lit(value=False).alias("beyond"),
    )  # fmt: skip


def prices_on_closed_days(traded: TradedSessions, securities: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """Find prices of securities on days that are no session of their exchange.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, close, mic, beyond, why``: `beyond` where the calendar has ended or not begun, `why` in words.
    """
    sessions, bounds = (traded.by_exchange(name, securities) for name in ("sessions", "bounds"))
    days = prices["date"].unique()
    # a day that is a session of every exchange needs no second look
    common = sessions.group_by("date").agg(pl.col("mic").n_unique().alias("n")).filter(
        pl.col("n") == sessions["mic"].n_unique()
    )  # fmt: skip
    doubtful = days.filter(~days.is_in(common["date"].implode()))
    own = prices.filter(pl.col("date").is_in(doubtful.implode())).join(
        securities.select("symbol", "mic"), on="symbol", how="inner", validate="m:1"
    )
    stray = own.join(sessions, on=["mic", "date"], how="anti").join(bounds, on="mic", how="left", validate="m:1")
    return stray.select(
        "symbol", "date", "close", "mic", is_beyond().alias("beyond"), calendar_says().alias("why")
    ).sort("symbol", "date")


def calendar_repairs(traded: TradedSessions, securities: pl.DataFrame, on_closed_days: pl.DataFrame) -> pl.DataFrame:
    """Record closed and opened sessions and ignored prices as ``mic, date, action, detail``; see `Market.repairs`."""
    symbols = pl.col("symbol").sort().str.join(", ").alias("symbols")
    ignored = on_closed_days.group_by("mic", "date", "why").agg(symbols)
    detail = pl.format("{}; prices of {} ignored", "why", "symbols").alias("detail")
    columns = ["mic", "date", "action", "detail"]
    return pl.concat(
        [
            traded.by_exchange("changes", securities).select(columns),
            ignored.with_columns(pl.lit("ignored_prices").alias("action"), detail).select(columns),
        ]
    ).sort("mic", "date", "action")


def calendar_notes(
    traded: TradedSessions, securities: pl.DataFrame, on_closed_days: pl.DataFrame, *, has_overrides: bool
) -> list[str]:
    """Describe sessions added to the calendars, and their ends, for readers of results; `has_overrides` the user's."""
    notes = ["sessions follow the calendar_overrides that were handed in"] if has_overrides else []
    opened = traded.by_exchange("changes", securities).filter(pl.col("action") == "opened")
    for (mic,), days in opened.filter(~pl.col("beyond")).partition_by("mic", as_dict=True, maintain_order=True).items():
        names = days["date"].cast(pl.String).to_list()
        notes.append(f"sessions of {mic} that its calendar lacks: {text.listed(names, quoted=False)}")
    added = opened.filter("beyond")
    unused = on_closed_days.filter("beyond").select("mic", "date").unique()
    bounds = traded.by_exchange("bounds", securities)
    for mic in sorted({*added["mic"], *unused["mic"]}):
        here = pl.col("mic") == mic
        first, last = bounds.filter(here).select("first", "last").row(0)
        notes.append(
            f"the calendar of {mic} covers {first} to {last or 'no end'}: outside of it {added.filter(here).height} "
            f"days are sessions by the prices, and prices of {unused.filter(here).height} days are not used; upgrade "
            "exchange_calendars"
        )
    return notes
