"""Align announcements with sessions: day 0 on each security's own exchange.

Day 0 is the first session whose close is after the announcement. Before the open, during the session and in the
lunch break it is that session; at or after the close, on a holiday or a weekend it is the next one (or, on request,
the one before a closed day). A date-only announcement has no time of day: its day 0 follows from the issuer's working
hours, with a grade of certainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, Protocol

import polars as pl

from marketimpact.core import schema
from marketimpact.core.arguments import require
from marketimpact.core.closed_day import ClosedDay, check_closed_day
from marketimpact.core.frames import FrameLike
from marketimpact.core.own_columns import keep_own_columns
from marketimpact.errors import DataError, SpecificationError

__all__ = ["admissible", "align"]

#: Largest distance of the true time from one known "to the hour".
HOUR_TOLERANCE = timedelta(minutes=30)
#: Local hours (start, end) in which a date-only announcement was likely made.
WORKING_HOURS = (8, 18)

_INSTANT = pl.Datetime("us", "UTC")
_COMPUTED = (
    "event_id", "symbol", "date", "day0_certainty", "day0_earliest", "day0_latest", "day0_doubt", "phase",
    "day0_leg", "day0_leg_certainty", "align_reason", "align_detail",
)  # fmt: skip
_FROM_SECURITIES = (
    "mic", "board", "currency", "name", "country", "role", "benchmark", "sector_proxy", "price_limit",
    "dual_listing", "policy_group", "business",
)  # fmt: skip


class _HasSessions(Protocol):
    @property
    def securities(self) -> pl.DataFrame: ...
    @property
    def sessions(self) -> pl.DataFrame: ...


def align(
    announcements: FrameLike,
    market: _HasSessions,
    *,
    symbols: Sequence[str] | Literal["all"] | None = None,
    close_buffer_minutes: int = 0,
    closed_day: ClosedDay = "next",
) -> pl.DataFrame:
    """Find day 0 of every (announcement, security) pair.

    Parameters
    ----------
    announcements : FrameLike
        See `marketimpact.announcements`.
    market : Market
        Its securities and their exchanges' sessions.
    symbols : sequence of str or "all", optional
        Securities to pair with each announcement; by default those in its ``targets``.
    close_buffer_minutes : int
        Announcements within this many minutes before the close count for the next session, for closing
        auctions that no longer take orders. 0 by default.
    closed_day : {"next", "previous"}
        Session that is day 0 of an announcement on a weekend or holiday of the exchange: the next one, which is the
        first to price it, or, on request, the one before. The one before closed without the news; use it only to
        follow a study that did so.

    Returns
    -------
    polars.DataFrame
        One row per event, sorted by `event_id` (``announcement_id:symbol``). ``date`` is day 0;
        ``day0_certainty`` is *sure* (every admissible time falls on this session), *likely* (every
        time in the issuer's working hours, 08:00 to 18:00, does) or *assumed* (the neighbouring
        session is possible); ``day0_earliest`` and ``day0_latest`` bound it. Where prices and the calendar
        disagree between the announcement and day 0 (closed, opened or unpriced sessions, ignored prices), it is
        at most *likely*, and ``day0_doubt`` says why. ``phase`` is the state of
        the exchange (*pre_open, in_session, lunch_break, post_close, closed_day*), null when the time of day
        is unknown. ``day0_leg`` is the first part of day 0's return with the news: *overnight* (previous close to
        open) where it came at or before the open, *day* (open to close) where it came later, the lunch break
        included; ``day0_leg_certainty`` grades it as ``day0_certainty`` does day 0, and is never better. Null where
        day 0 closed before the news (``closed_day="previous"``).
        A pair without a day 0 keeps its row, with ``date`` null and the reason in ``align_reason`` and
        ``align_detail``: `EventStudy.run` moves it to attrition.
        The announcement's and the security's columns follow. Columns of your own announcements that are named like
        one of these are kept with ``_event`` after their names, with a warning.

    Raises
    ------
    DataError
        If announcements break their contract, or none has a target.
    SpecificationError
        For a market made from returns, whose sessions have no times, or a negative buffer.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> mi.align(h20, market).filter(pl.col("symbol") == "NVDA").select("symbol", "date", "phase").row(0)
    ('NVDA', datetime.date(2025, 8, 12), 'pre_open')
    """
    if not (hasattr(market, "sessions") and hasattr(market, "securities")):
        require(market, "Market", "market")
    if close_buffer_minutes < 0:
        raise SpecificationError(f"close_buffer_minutes={close_buffer_minutes} is negative; use 0 or more.")
    check_closed_day(closed_day)
    if market.sessions["close"].null_count():
        raise SpecificationError(
            "This market was made from returns: its sessions have dates but no opening hours, so announcements cannot "
            "be aligned. Give EventStudy.run a frame with event_id, symbol and date instead."
        )
    announcements = schema.check(schema.Announcements, announcements, "announcements")
    sessions = market.sessions.with_columns(
        pl.col("close").alias("official_close"),
        pl.col("close") - timedelta(minutes=close_buffer_minutes),
    )
    pairs = _pairs(announcements, symbols, market.securities)
    securities = market.securities.select("symbol", *[c for c in _FROM_SECURITIES if c in market.securities.columns])
    announcements = keep_own_columns(announcements, {*_COMPUTED, *securities.columns}, "announcements")
    frame = (
        pairs.join(admissible(announcements), on="announcement_id", how="left", validate="m:1")
        .join(securities, on="symbol", how="left", validate="m:1")
        .with_columns(pl.format("{}:{}", "announcement_id", "symbol").alias("event_id"))
    )
    for instant, session in (
        ("instant", "date"),
        ("earliest", "day0_earliest"),
        ("latest", "day0_latest"),
        ("work_start", "_work_first"),
        ("work_end", "_work_last"),
    ):
        frame = _first_session(frame, sessions, instant, session)
        if closed_day == "previous":
            frame = _on_closed_days(frame, sessions, instant, session)
    frame = _with_doubt(_with_certainty(_with_legs(frame, sessions)), sessions, market)
    frame = _with_phase(_with_leg_certainty(frame), sessions)
    return _arrange(_with_reasons(frame, sessions, market), announcements)


def _pairs(announcements: pl.DataFrame, symbols: Sequence[str] | str | None, securities: pl.DataFrame) -> pl.DataFrame:
    """Pair each announcement with its targets, or with the symbols given."""
    if symbols is None:
        pairs = (
            announcements.select("announcement_id", pl.col("targets").alias("symbol"))
            .explode("symbol")
            .drop_nulls()
            .unique(maintain_order=True)
        )
        if pairs.is_empty():
            raise DataError(
                "No announcement has a target, so there is nothing to align. Fill the column 'targets' (NVDA;0981.HK), "
                'or name securities: symbols=["NVDA", "0981.HK"] or "all" in Python, --symbols NVDA,0981.HK in a '
                "shell, [[groups]] in a study file."
            )
        return pairs
    if isinstance(symbols, str) and symbols != "all":
        raise SpecificationError(
            f'symbols={symbols!r} is text, not a list. Give a list, such as ["{symbols}"], or "all".'
        )
    chosen = securities["symbol"] if isinstance(symbols, str) else pl.Series("symbol", list(symbols), pl.String)
    if chosen.is_empty():
        raise SpecificationError("symbols is empty, so there is nothing to align. Give at least one symbol.")
    return announcements.select("announcement_id").join(
        chosen.unique(maintain_order=True).to_frame("symbol"), how="cross"
    )


def admissible(announcements: pl.DataFrame) -> pl.DataFrame:
    """Bound the time at which each announcement can have been made.

    Returns
    -------
    polars.DataFrame
        ``announcement_id, time_precision, instant, earliest, latest, work_start, work_end``, UTC; for a
        date-only announcement `instant` is the start of the issuer's working day.
    """
    exact = announcements.filter(pl.col("time_precision") != "day")
    tolerance = pl.when(pl.col("time_precision") == "hour").then(HOUR_TOLERANCE).otherwise(timedelta(0))
    known = exact.select(
        "announcement_id",
        "time_precision",
        pl.col("announced_at").alias("instant"),
        pl.coalesce("not_before", pl.col("announced_at") - tolerance).alias("earliest"),
        pl.coalesce("not_after", pl.col("announced_at") + tolerance).alias("latest"),
    ).with_columns(pl.col("earliest").alias("work_start"), pl.col("latest").alias("work_end"))
    days = announcements.filter(pl.col("time_precision") == "day").partition_by("time_zone", as_dict=True)
    return pl.concat([known, *(_local_day(part, str(zone)) for (zone,), part in days.items())])


def _local_day(announcements: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Bound date-only announcements of one time zone by their day and its working hours."""
    midnight = pl.col("announced_at").dt.convert_time_zone(zone)
    start, end = WORKING_HOURS
    bounds = announcements.select(
        "announcement_id",
        "time_precision",
        pl.coalesce("not_before", "announced_at").alias("earliest"),
        pl.coalesce("not_after", _utc(midnight.dt.offset_by("1d")) - timedelta(microseconds=1)).alias("latest"),
        _utc(midnight.dt.replace(hour=start)).alias("work_start"),
        _utc(midnight.dt.replace(hour=end)).alias("work_end"),
    )
    # where the known bounds exclude the working hours, the bounds are used instead
    work_start = pl.max_horizontal("work_start", "earliest")
    work_end = pl.min_horizontal("work_end", "latest")
    clipped = bounds.with_columns(
        pl.when(work_start <= work_end).then(work_start).otherwise("earliest").alias("work_start"),
        pl.when(work_start <= work_end).then(work_end).otherwise("latest").alias("work_end"),
    )
    return clipped.select(
        "announcement_id",
        "time_precision",
        pl.col("work_start").alias("instant"),
        "earliest",
        "latest",
        "work_start",
        "work_end",
    )


def _utc(instant: pl.Expr) -> pl.Expr:
    return instant.dt.convert_time_zone("UTC").cast(_INSTANT)


def _first_session(frame: pl.DataFrame, sessions: pl.DataFrame, instant: str, name: str) -> pl.DataFrame:
    """Add the first session whose close is strictly after `instant`; null outside the calendar."""
    start = sessions.group_by("mic").agg(pl.col("open").min().alias("_calendar_start"))
    closes = sessions.select("mic", "close", pl.col("date").alias(name)).sort("close")
    joined = (
        frame.sort(instant)
        .join_asof(
            closes,
            left_on=instant,
            right_on="close",
            by="mic",
            strategy="forward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .drop("close")
        .join(start, on="mic", how="left", validate="m:1")
    )
    inside = pl.col(instant) >= pl.col("_calendar_start")
    return joined.with_columns(pl.when(inside).then(name).alias(name)).drop("_calendar_start")


def _on_closed_days(frame: pl.DataFrame, sessions: pl.DataFrame, instant: str, name: str) -> pl.DataFrame:
    """Replace the first session after an instant by the last one before it where the exchange was shut that day."""
    days = sessions.select("mic", pl.col("date").alias("_previous")).sort("_previous")
    dated = _with_local_date(frame, sessions, instant, "_local_date").sort("_local_date")
    joined = dated.join_asof(
        days, left_on="_local_date", right_on="_previous", by="mic", strategy="backward", check_sortedness=False
    )
    is_shut = (pl.col("_previous") < pl.col("_local_date")) & pl.col(name).is_not_null()
    return joined.with_columns(pl.when(is_shut).then("_previous").otherwise(name).alias(name)).drop(
        "_previous", "_local_date"
    )


def _with_legs(frame: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Add `day0_leg`, and in ``_leg_certainty`` how certain it is if day 0 is.

    Sessions and legs follow one another in time, so two instants in one leg have every instant between them there.
    """
    legs = {
        leg: _leg_of(frame, sessions, instant, session)
        for instant, session, leg in (
            ("instant", "date", "day0_leg"),
            ("earliest", "day0_earliest", "_leg_earliest"),
            ("latest", "day0_latest", "_leg_latest"),
            ("work_start", "_work_first", "_leg_work_start"),
            ("work_end", "_work_last", "_leg_work_end"),
        )
    }
    one_leg = (pl.col("day0_earliest") == pl.col("day0_latest")) & (pl.col("_leg_earliest") == pl.col("_leg_latest"))
    one_work_leg = (
        (pl.col("time_precision") == "day")
        & (pl.col("_work_first") == pl.col("_work_last"))
        & (pl.col("_leg_work_start") == pl.col("_leg_work_end"))
    )
    certainty = (
        pl.when(pl.col("day0_leg").is_null())
        .then(None)
        .when(one_leg)
        .then(pl.lit("sure"))
        .when(one_work_leg)
        .then(pl.lit("likely"))
        .otherwise(pl.lit("assumed"))
    )
    added = frame.with_columns(leg.alias(name) for name, leg in legs.items())
    return added.with_columns(certainty.alias("_leg_certainty")).drop(list(legs)[1:])


def _leg_of(frame: pl.DataFrame, sessions: pl.DataFrame, instant: str, session: str) -> pl.Series:
    """Return the leg of a session in which an instant falls; null for one after the session's close."""
    hours = sessions.select("mic", pl.col("date").alias(session), "open", "official_close")
    joined = frame.select("mic", instant, session).join(
        hours, on=["mic", session], how="left", validate="m:1", maintain_order="left"
    )
    leg = (
        pl.when(pl.col(instant) <= pl.col("open"))
        .then(pl.lit("overnight"))
        .when(pl.col(instant) < pl.col("official_close"))
        .then(pl.lit("day"))
    )
    return joined.select(leg).to_series()


def _with_leg_certainty(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `day0_leg_certainty`: that of the leg, but no better than that of day 0."""
    grades = pl.Enum(["sure", "likely", "assumed"])
    is_worse = pl.col("day0_certainty").cast(grades) > pl.col("_leg_certainty").cast(grades)
    capped = pl.when(is_worse).then("day0_certainty").otherwise("_leg_certainty")
    return frame.with_columns(capped.alias("day0_leg_certainty")).drop("_leg_certainty")


def _with_certainty(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `day0_certainty`: *sure*, *likely* or *assumed*, as `align` documents."""
    one_session = pl.col("day0_earliest") == pl.col("day0_latest")
    working_day = (pl.col("_work_first") == pl.col("_work_last")) & (pl.col("time_precision") == "day")
    return frame.with_columns(
        pl.when(pl.col("date").is_null())
        .then(None)
        .when(one_session)
        .then(pl.lit("sure"))
        .when(working_day)
        .then(pl.lit("likely"))
        .otherwise(pl.lit("assumed"))
        .alias("day0_certainty")
    ).drop("_work_first", "_work_last", "work_start", "work_end")


def _with_doubt(frame: pl.DataFrame, sessions: pl.DataFrame, market: _HasSessions) -> pl.DataFrame:
    """Add `day0_doubt`, and lower *sure* to *likely* where prices and the calendar disagree before or on day 0."""
    doubtful = _doubtful_days(market).rename({"mic": "_mic", "date": "_day"})
    dated = _with_local_date(frame, sessions, "earliest", "_from")
    spans = dated.select("event_id", "mic", "_from", pl.max_horizontal("date", "day0_latest").alias("_until"))
    doubts = (
        spans.join_where(
            doubtful,
            pl.col("mic") == pl.col("_mic"),
            pl.col("_day") >= pl.col("_from"),
            pl.col("_day") <= pl.col("_until"),
        )
        .sort("event_id", "_day", "_doubt")
        .group_by("event_id", maintain_order=True)
        .agg(pl.col("_doubt").str.join("; ").alias("day0_doubt"))
    )
    is_doubtful = (pl.col("day0_certainty") == "sure") & pl.col("day0_doubt").is_not_null()
    return frame.join(doubts, on="event_id", how="left", validate="m:1").with_columns(
        pl.when(is_doubtful).then(pl.lit("likely")).otherwise("day0_certainty").alias("day0_certainty"),
        pl.when(pl.col("date").is_not_null()).then("day0_doubt").alias("day0_doubt"),
    )


def _doubtful_days(market: _HasSessions) -> pl.DataFrame:
    """Return ``mic, date, _doubt``: days on which prices and the calendar disagree, in words."""
    columns = {"mic": pl.String, "date": pl.Date}
    empty = pl.DataFrame(schema={**columns, "detail": pl.String})
    unpriced = getattr(market, "unpriced_sessions", empty).select(
        *columns, pl.lit("no security of the exchange has a price").alias("detail")
    )
    repaired = getattr(market, "repairs", empty).select(*columns, "detail")
    doubt = pl.format("{}: {}", "date", "detail").alias("_doubt")
    return pl.concat([repaired, unpriced]).select(*columns, doubt)


def _with_local_date(frame: pl.DataFrame, sessions: pl.DataFrame, instant: str, name: str) -> pl.DataFrame:
    """Add the exchange's local date of an instant, null for an unknown exchange."""
    zones = sessions.select("mic", "exchange_time_zone").unique()
    joined = frame.join(zones, on="mic", how="left", validate="m:1")
    parts = [
        part.with_columns(
            (pl.col(instant).dt.convert_time_zone(str(zone)).dt.date() if zone else pl.lit(None, pl.Date)).alias(name)
        )
        for (zone,), part in joined.partition_by("exchange_time_zone", as_dict=True).items()
    ]
    return pl.concat(parts).drop("exchange_time_zone")


def _with_phase(frame: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Add `phase`, the state of the exchange at the instant, null where the time of day is unknown."""
    hours = sessions.select(
        "mic", pl.col("date").alias("_local_date"), "open", "break_start", "break_end", "official_close"
    )
    instant = pl.col("instant")
    phase = (
        pl.when((pl.col("time_precision") == "day") | pl.col("date").is_null())
        .then(None)
        .when(pl.col("open").is_null())
        .then(pl.lit("closed_day"))
        .when(instant < pl.col("open"))
        .then(pl.lit("pre_open"))
        .when(instant >= pl.col("official_close"))
        .then(pl.lit("post_close"))
        .when(instant.is_between(pl.col("break_start"), pl.col("break_end"), closed="left"))
        .then(pl.lit("lunch_break"))
        .otherwise(pl.lit("in_session"))
    )
    return (
        _with_local_date(frame, sessions, "instant", "_local_date")
        .join(hours, on=["mic", "_local_date"], how="left", validate="m:1")
        .with_columns(phase.alias("phase"))
        .drop("_local_date", "open", "break_start", "break_end", "official_close")
    )


def _with_reasons(frame: pl.DataFrame, sessions: pl.DataFrame, market: _HasSessions) -> pl.DataFrame:
    """Add `align_reason` and `align_detail` to pairs without a day 0."""
    span = sessions.group_by("mic").agg(pl.col("date").min().alias("_first"), pl.col("date").max().alias("_last"))
    missing = list(getattr(market, "missing", ()))
    day = pl.col("instant").dt.date()
    return (
        frame.join(span, on="mic", how="left", validate="m:1")
        .with_columns(
            pl.when(pl.col("date").is_not_null())
            .then(None)
            .when(pl.col("symbol").is_in(missing))
            .then(pl.lit("no_prices"))
            .when(pl.col("mic").is_null())
            .then(pl.lit("unknown_symbol"))
            .when(day < pl.col("_first"))
            .then(pl.lit("before_data"))
            .otherwise(pl.lit("after_data"))
            .alias("align_reason")
        )
        .with_columns(
            pl.when(pl.col("align_reason").is_null())
            .then(None)
            .when(pl.col("align_reason") == "no_prices")
            .then(pl.lit("the price source has no prices of this security"))
            .when(pl.col("align_reason") == "unknown_symbol")
            .then(pl.lit("the market's securities do not name this symbol"))
            .otherwise(pl.format("announced {}, sessions run from {} to {}", day, "_first", "_last"))
            .alias("align_detail")
        )
        .drop("_first", "_last")
    )


def _arrange(frame: pl.DataFrame, announcements: pl.DataFrame) -> pl.DataFrame:
    """Join the announcements' own columns and order columns and rows."""
    facts = announcements.drop("targets")
    joined = frame.drop("instant", "earliest", "latest", "time_precision").join(
        facts, on="announcement_id", how="left", validate="m:1"
    )
    first = ["event_id", "announcement_id", *_COMPUTED[1:]]
    return joined.select(*first, pl.exclude(*first)).sort("event_id")
