"""Check days of prices: repeated, missing, on closed days, stale, shifted, without volume, unfinished."""

from __future__ import annotations

import polars as pl

from marketimpact.core.schema.vocabulary import HIGHEST_PRICE, LOWEST_PRICE
from marketimpact.core.symbol_rows import keep_rows, neighbour, of_symbols
from marketimpact.market.checks.findings import finding_rows
from marketimpact.market.checks.prepare import CheckedPrices, is_placed
from marketimpact.market.trading_rules import HAS_VOLUME
from marketimpact.sources.protocol import BARS

__all__ = [
    "beyond_calendars",
    "broken_rows",
    "closed_days",
    "copied_rows",
    "copies",
    "gaps",
    "last_rows",
    "opened_sessions",
    "repeated_rows",
    "shifted_dates",
    "stale_runs",
    "unlisted_closures",
]

#: Rows of one symbol and date are repeats when they agree in all of these columns.
COMPARED_COLUMNS = ("close", "unadjusted_close", "volume", "dividend", "split", "currency")
#: A gap of this many sessions is reported as a suspension rather than as missing days.
SUSPENDED = 3
#: A run of one close is reported when its probability by chance in a symbol of as many rows is below this.
STALE_CHANCE = 0.001
#: Fewest rows of a stale run, and the largest share of unchanged closes that is taken as usual for a symbol.
STALE_ROWS, STALE_SHARE = 5, 0.3
#: A run whose volumes all differ was traded; it is reported only from this length on.
STALE_TRADED = 20
#: The dates of a month are a day off when it has this many rows on one day of the weekend, and at most
#: this share of as many on the working day at the other end of the week.
MIN_WEEKEND_ROWS, MAX_SHARE_AT_OTHER_END = 2, 0.34
#: As polars counts weekdays, by ISO 8601: Monday is 1.
ISO_SATURDAY = 6
WEEK_ENDS = {"sat": ISO_SATURDAY, "sun": 7, "mon": 1, "fri": 5}
#: A last row is unfinished when its volume is below this part of the smallest of this many rows before it, of which at
#: least so many are needed.
MAX_UNFINISHED_SHARE, VOLUME_WINDOW_ROWS, MIN_VOLUME_ROWS = 0.5, 60, 20


def repeated_rows(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find dates that a symbol has more than once: identical rows, or rows that differ."""
    same = pl.col("symbol").eq_missing(pl.col("symbol").shift(1)) & (pl.col("date") == pl.col("date").shift(1))
    again = rows.raw.select(same.fill_null(value=False)).to_series()
    keyed = rows.raw.filter(again | again.shift(-1, fill_value=False))
    compared = [name for name in (*COMPARED_COLUMNS, *BARS) if name in keyed.columns]
    groups = keyed.group_by("symbol", "date").agg(
        pl.len().alias("n"),
        pl.col("close").min().alias("low"),
        pl.col("close").max().alias("high"),
        (pl.struct(compared).n_unique() > 1).alias("conflict"),
    )
    conflict = pl.format("{} rows of one date that differ; closes from {} to {}", "n", "low", "high")
    return [
        finding_rows(groups.filter("conflict"), "conflicting_rows", pl.col("n"), conflict),
        finding_rows(
            groups.filter(~pl.col("conflict")), "repeated_rows", pl.col("n"), pl.format("the same row {} times", "n")
        ),
    ]


def broken_rows(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find unreadable cells, prices out of range, total losses, and rows without a price (one finding per symbol)."""
    unreadable = rows.raw.filter(pl.col("unreadable").is_not_null()) if "unreadable" in rows.given else rows.raw.clear()
    in_range = pl.col("close").is_between(LOWEST_PRICE, HIGHEST_PRICE)
    wrong = rows.raw.filter(~in_range, pl.col("close").is_not_null(), ~pl.col("total_loss"))
    lost = rows.raw.filter("total_loss")
    volume = rows.raw.filter(~(pl.col("volume").is_finite() & (pl.col("volume") >= 0)))
    unplaced = rows.raw.filter(~is_placed().fill_null(value=False), pl.col("unreadable").is_null())
    where = pl.format("symbol {}, date {}", *(pl.col(c).cast(pl.String).fill_null("empty") for c in ("symbol", "date")))
    without_price = rows.raw.filter(pl.col("close").is_null(), pl.col("unreadable").is_null())
    counted = without_price.group_by("symbol").agg(
        pl.col("date").min(), pl.len().alias("n"), pl.col("date").max().alias("last")
    )
    return [
        finding_rows(unreadable, "unreadable_value", pl.lit(None), pl.format("cannot be read: {}", "unreadable")),
        finding_rows(volume, "unreadable_value", pl.lit(None), pl.format("cannot be read: volume {}", "volume")),
        finding_rows(unplaced, "unreadable_value", pl.lit(None), pl.format("no price can have {}", where)),
        finding_rows(lost, "total_loss", pl.col("close"), pl.lit("a last close of 0 of a delisted symbol")),
        finding_rows(wrong, "non_positive_price", pl.col("close"), pl.format("a close of {}", "close")),
        finding_rows(counted, "empty_price", pl.col("n"), pl.format("{} rows without a price, to {}", "n", "last")),
    ]


def closed_days(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find prices on days the exchange was shut; where no exchange is known, on weekends."""
    weekend = pl.col("date").dt.weekday() >= ISO_SATURDAY
    shut = (
        rows.priced.lazy()
        .with_columns((pl.col("close") == neighbour("close")).fill_null(value=False).alias("same"))
        .filter(pl.coalesce(~pl.col("on_session"), weekend), ~pl.col("beyond"))
        .collect(engine="in-memory")
    )
    shut = rows.with_facts(shut, "calendar").with_columns((~pl.col("same")).sum().over("calendar", "date").alias("new"))
    where = pl.coalesce(pl.format("when {} was shut", "calendar"), pl.lit("a weekend"))
    close = pl.when("same").then(pl.lit("the close before again")).otherwise(pl.lit("a new close"))
    many = pl.col("calendar").is_not_null() & (pl.col("new") > 1)
    doubt = pl.when(many).then(
        pl.format("; {} symbols have a new close there that day, so the calendar may be wrong", "new")
    ).otherwise(pl.lit(""))  # fmt: skip
    detail = pl.concat_str(close, pl.lit(" on a "), pl.col("date").dt.to_string("%A"), pl.lit(", "), where, doubt)
    return [finding_rows(shut, "closed_day_price", pl.col("close"), detail)]


def shifted_dates(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find months with rows on one day of the weekend and hardly any at the other end of the week."""
    day = pl.col("date").dt.weekday()
    on_weekends = rows.priced.filter(day >= ISO_SATURDAY)["symbol"]
    doubtful = of_symbols(rows.priced.select("symbol", "date"), on_weekends)
    months = doubtful.group_by("symbol", pl.col("date").dt.truncate("1mo").alias("month")).agg(
        pl.col("date").min(),
        *[(day == number).sum().alias(name) for name, number in WEEK_ENDS.items()],
    )
    early = (pl.col("sun") >= MIN_WEEKEND_ROWS) & (pl.col("fri") <= MAX_SHARE_AT_OTHER_END * pl.col("sun"))
    late = (pl.col("sat") >= MIN_WEEKEND_ROWS) & (pl.col("mon") <= MAX_SHARE_AT_OTHER_END * pl.col("sat"))
    detail = pl.when(early).then(
        pl.format("{} rows on Sundays and {} on Fridays this month: dates look a day early", "sun", "fri")
    ).otherwise(
        pl.format("{} rows on Saturdays and {} on Mondays this month: dates look a day late", "sat", "mon")
    )  # fmt: skip
    value = pl.when(early).then(-1).otherwise(1)
    return [finding_rows(months.filter(early | late), "shifted_dates", value, detail)]


def gaps(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find runs of sessions without a price between a symbol's first and last, each with its length."""
    days = rows.sessions.select(pl.col("mic").alias("calendar"), "session", "date")
    session = pl.col("session").cast(pl.Int64)
    missing = (
        rows.with_facts(rows.traded.filter(pl.col("gap") > 0), "calendar")
        .select("symbol", "calendar", "gap", (session - pl.col("gap")).alias("session"), (session - 1).alias("end"))
        .join(days, on=["calendar", "session"], how="left", validate="m:1")
        .join(days.rename({"session": "end", "date": "last"}), on=["calendar", "end"], how="left", validate="m:1")
    )  # fmt: skip
    short, long = missing.filter(pl.col("gap") < SUSPENDED), missing.filter(pl.col("gap") >= SUSPENDED)
    detail = pl.format("no price on {} session(s) of {}, to {}", "gap", "calendar", "last")
    return [
        finding_rows(short, "missing_day", pl.col("gap"), detail),
        finding_rows(long, "suspension", pl.col("gap"), detail),
    ]


def copies(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find closes without volume: runs of copies of the close before, and new closes."""
    has_volume = ((pl.col("volume") > 0).fill_null(value=False).mean() >= HAS_VOLUME).over("symbol")
    doubtful = of_symbols(rows.priced, rows.priced.filter((pl.col("volume") == 0) | pl.col("copied"))["symbol"])
    sessions = doubtful.filter(pl.col("on_session").fill_null(value=True)).with_columns(
        pl.col("copied").rle_id().over("symbol").alias("run"), has_volume.alias("has_volume")
    )
    runs = _runs(sessions.filter("copied"))
    close = pl.col("close").round(4)
    copied = pl.format("{} close(s) of {} without volume, to {}, as on the session before", "n", close, "last")
    untraded = sessions.filter(~pl.col("copied"), pl.col("has_volume"), pl.col("volume") == 0)
    return [
        finding_rows(runs, "copied_close", pl.col("n"), copied),
        finding_rows(untraded, "zero_volume", pl.col("close"), pl.format("a new close of {} with volume zero", close)),
    ]


def copied_rows(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find rows of open days that repeat both close and volume; those without volume are `copies`."""
    shut = pl.coalesce(~pl.col("on_session"), pl.col("date").dt.weekday() >= ISO_SATURDAY)
    same = [pl.col(name) == neighbour(name) for name in ("close", "volume")]
    again = rows.priced.select((pl.all_horizontal(same) & (pl.col("volume") > 0)).alias("again")).to_series()
    doubtful = of_symbols(rows.priced.with_columns(again), rows.priced.filter(again)["symbol"])
    frame = doubtful.with_columns(pl.col("again").rle_id().over("symbol").alias("run"))
    detail = pl.format("{} row(s), to {}, with the close and the volume of the row before", "n", "last")
    return [finding_rows(_runs(frame.filter("again", ~shut)), "copied_row", pl.col("n"), detail)]


def unlisted_closures(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find sessions that the calendar lists and on which the exchange was shut."""
    return [_changed_sessions(rows, "unlisted_closure", pl.col("action") == "closed")]


def opened_sessions(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find days that the calendar does not list and on which the exchange traded."""
    return [_changed_sessions(rows, "opened_session", pl.col("action") == "opened", ~pl.col("beyond"))]


def _changed_sessions(rows: CheckedPrices, name: str, *which: pl.Expr) -> pl.DataFrame:
    days = rows.changes.filter(*which).with_columns(pl.lit(None, pl.String).alias("symbol"))
    return finding_rows(days, name, pl.col("symbols"), pl.format("{}: {}", "mic", "detail"))


def beyond_calendars(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find calendars that end before the prices, or begin after them."""
    opened = rows.changes.filter("beyond").select(pl.col("mic").alias("calendar"), "date", opened=pl.lit(value=True))
    days = (
        rows.with_facts(rows.priced.filter("beyond", ~pl.col("copied")), "calendar")
        .select("calendar", "date", "on_session")
        .unique()
        .join(opened, on=["calendar", "date"], how="left", validate="1:1")
        .filter(pl.col("opened") | ~pl.col("on_session"))  # others are named by the user
    )
    counted = (
        days.group_by("calendar")
        .agg(pl.col("date").min(), pl.len().alias("n"), pl.col("opened").sum())
        .join(rows.bounds, left_on="calendar", right_on="mic", how="left", validate="m:1")
        .with_columns(pl.lit(None, pl.String).alias("symbol"), (pl.col("n") - pl.col("opened")).alias("unused"))
        .with_columns(pl.col("first", "last").cast(pl.String).fill_null("no end"))
    )
    detail = pl.format(
        "{} covers {} to {}, and there are prices of {} days outside: {} are taken for sessions, {} are not used",
        "calendar", "first", "last", "n", "opened", "unused",
    )  # fmt: skip
    return [finding_rows(counted, "beyond_calendar", pl.col("n"), detail)]


def stale_runs(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find runs of one close that are too long for the symbol's usual share of unchanged closes."""
    unchanged = pl.col("close") == neighbour("close")
    is_run = pl.all_horizontal(unchanged.shift(n) for n in range(STALE_ROWS - 1)).fill_null(value=False)
    doubtful = of_symbols(rows.traded, rows.traded.filter(is_run)["symbol"])
    frame = doubtful.with_columns(
        pl.col("close").rle_id().over("symbol").alias("run"),
        (pl.col("ret") == 0).mean().over("symbol").clip(0.001, STALE_SHARE).alias("share"),
        pl.len().over("symbol").alias("rows"),
        (pl.int_range(pl.len()).over("symbol") == 0).alias("begins"),
    )
    # after the first close a run of n has n - 1 unchanged ones
    longest = 1 + (pl.col("rows") / STALE_CHANCE).log() / -pl.col("share").log()
    frame = frame.with_columns(longest.clip(lower_bound=STALE_ROWS).alias("longest"))
    traded = (pl.col("volume") > 0).fill_null(value=False).all() & (pl.col("volume").n_unique() == pl.len())
    runs = _runs(frame, pl.col("longest").first(), pl.col("begins").first(), traded.alias("traded"))
    runs = runs.filter(~pl.col("traded") | (pl.col("n") >= STALE_TRADED))
    detail = pl.concat_str(
        pl.format("{} closes of {} in a row, to {}", "n", pl.col("close").round(4), "last"),
        pl.when("begins").then(pl.lit(", from the first row on: filled backward?")).otherwise(pl.lit("")),
    )
    return [finding_rows(runs.filter(pl.col("n") >= pl.col("longest")), "stale_run", pl.col("n"), detail)]


def last_rows(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find last rows whose volume is far below any of the weeks before, on a session of full length."""
    volume = pl.col("volume")
    before = volume.slice(0, pl.len() - 1).tail(VOLUME_WINDOW_ROWS)
    last = (
        keep_rows(rows.traded.select("symbol", "date", "session", "volume"), volume > 0)
        .group_by("symbol", maintain_order=True)
        .agg(
            pl.col("date", "session").last(),
            volume.last(),
            pl.when(before.len() >= MIN_VOLUME_ROWS).then(before.min()).alias("least"),
        )
    )
    short = rows.sessions.select(pl.col("mic").alias("calendar"), "date", "short")
    last = rows.with_facts(last, "calendar").join(
        short, on=["calendar", "date"], how="left", validate="m:1", maintain_order="left"
    )
    few = last.filter(volume < MAX_UNFINISHED_SHARE * pl.col("least"), ~pl.col("short").fill_null(value=False))
    share = volume / pl.col("least")
    detail = pl.format("the last row's volume is {} of the smallest of the rows before it", share.round(2))
    return [finding_rows(few, "partial_last_day", share, detail)]


def _runs(frame: pl.DataFrame, *others: pl.Expr) -> pl.DataFrame:
    """Aggregate each run to one row: its first date, last date and number of rows."""
    return frame.group_by("symbol", "run", maintain_order=True).agg(
        pl.col("date").first(),
        pl.col("date").last().alias("last"),
        pl.col("close").first(),
        pl.len().cast(pl.Int64).alias("n"),
        *others,
    )
