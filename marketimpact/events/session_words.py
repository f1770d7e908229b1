"""Read "before the open" and "after the close" as instants on the exchange of an announcement's time zone."""

from __future__ import annotations

import polars as pl

from marketimpact.events import calendars
from marketimpact.events.contract_files import start_in_zone

__all__ = ["resolve_session_words"]

#: What vendors of earnings dates write, in lower case.
OPEN_WORDS = ("bmo", "before open", "before market open", "before the open")
CLOSE_WORDS = ("amc", "after close", "after market close", "after the close")
#: Time zone -> the exchange whose opening and closing times the words mean.
EXCHANGE_OF_ZONE = {
    "America/New_York": "XNYS",
    "Asia/Shanghai": "XSHG",
    "Asia/Hong_Kong": "XHKG",
    "Asia/Taipei": "XTAI",
    "Asia/Seoul": "XKRX",
    "Asia/Tokyo": "XTKS",
    "Europe/Amsterdam": "XAMS",
    "Europe/Paris": "XPAR",
    "Europe/Berlin": "XETR",
    "Europe/London": "XLON",
}
_DAY_AND_WORD = r"^((?:19|20)\d{2}-\d{2}-\d{2})[T ,]*([a-z ]+)$"
_MINUTE = pl.duration(minutes=1)


def resolve_session_words(raw: pl.DataFrame) -> pl.DataFrame:
    """Replace the words in `announced_at` by instants, with the bounds that they mean.

    *After the close* is the closing time, and bounded by the end of that day; *before the open* is the minute before
    the opening, and bounded by the beginning of that day. Hours of single days, such as half days, are the
    exchange's own. A word stays as it is where the time zone has no exchange, or the exchange no session that day.

    Parameters
    ----------
    raw : polars.DataFrame
        Texts ``announced_at, time_zone, time_precision`` and, where they are given, ``not_before, not_after``.
    """
    absent = [name for name in ("not_before", "not_after") if name not in raw.columns]
    texts = raw.with_columns(pl.lit(None, pl.String).alias(name) for name in absent).with_row_index("_row")
    word = pl.col("announced_at").str.to_lowercase().str.extract(_DAY_AND_WORD, 2).str.strip_chars()
    words = texts.filter(word.is_in([*OPEN_WORDS, *CLOSE_WORDS])).with_columns(
        word.is_in(OPEN_WORDS).alias("is_before_open"),
        pl.col("time_zone").replace_strict(EXCHANGE_OF_ZONE, default=None, return_dtype=pl.String).alias("mic"),
        pl.col("announced_at").str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).alias("date"),
    )
    known = words.drop_nulls(["mic", "date"])
    if known.is_empty():
        return raw
    found = known.join(_hours(known), on=["mic", "date"], how="inner", validate="m:1").select(
        "_row",
        _text(pl.when("is_before_open").then(pl.col("open") - _MINUTE).otherwise("close")).alias("announced_at"),
        pl.coalesce("not_before", _text(pl.when("is_before_open").then("day_start").otherwise("close"))),
        pl.coalesce("not_after", _text(pl.when("is_before_open").then("open").otherwise("day_end"))),
        pl.coalesce("time_precision", pl.lit("hour")),
    )
    return texts.update(found, on="_row").drop("_row")


def _hours(days: pl.DataFrame) -> pl.DataFrame:
    """Return ``mic, date, open, close, day_start, day_end`` of the exchanges' sessions, UTC."""
    dates = days["date"].sort()
    overrides = calendars.overrides_by_calendar()
    sessions = calendars.sessions(days["mic"].unique(), dates[0], dates[-1], overrides, as_far_as_known=True)
    parts = [
        part.with_columns(
            start_in_zone((pl.col("date") + pl.duration(days=days_on)).cast(pl.Datetime("us")), str(zone)).alias(name)
            for name, days_on in (("day_start", 0), ("day_end", 1))
        )
        for (zone,), part in sessions.partition_by("exchange_time_zone", as_dict=True).items()
    ]
    return pl.concat(parts).select("mic", "date", "open", "close", "day_start", "day_end")


def _text(instant: pl.Expr) -> pl.Expr:
    return instant.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
