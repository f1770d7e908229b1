"""Find day 0 among the sessions of each event's security; an event without one becomes a row of attrition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from marketimpact.core import schema
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.closed_day import ClosedDay
from marketimpact.core.factorize import stable_argsort
from marketimpact.core.frames import FrameLike
from marketimpact.core.own_columns import is_label_type, keep_own_columns
from marketimpact.errors import DataError
from marketimpact.estimation.attrition import ATTRITION
from marketimpact.market.market import Market

__all__ = ["EventPositions", "locate_day0"]

#: Columns that say which events belong together.
LABELS = ("announcement_id", "campaign_id")
#: Columns in which `align` says why an event has no day 0.
ALIGN_REASONS = ("align_reason", "align_detail")
#: Working columns of `locate_day0`.
_WORKING = ("_first", "_last", "_first_row", "_n_sessions", "_day0", "_security")


@dataclass(frozen=True, eq=False)
class EventPositions:
    """Positions of day 0 of N events in the market's return panel.

    Attributes
    ----------
    first_row, n_sessions : (N,) arrays of int
        First row of the event's security, and its number of rows.
    day0 : (N,) array of int
        Sessions from `first_row` to day 0.
    security : (N,) array of int
        Row of the event's security among the market's `panel_securities`.
    sign : (N,) array
        +1, or -1 for an event whose returns are multiplied by -1.
    estimation : (N, 2) array of int or None
        First and last session of each event's own estimation window; None where all have that of the settings.
    """

    first_row: Ints
    n_sessions: Ints
    day0: Ints
    security: Ints
    sign: Floats
    estimation: Ints | None = None

    @cached_property
    def memory_order(self) -> Ints:
        """Events by (security, day 0), which is the order of the panel's rows, (N,)."""
        by_day = stable_argsort(self.day0)
        return by_day[stable_argsort(self.security[by_day])]

    def __len__(self) -> int:
        """Count the events."""
        return len(self.day0)

    def take(self, rows: Ints | slice) -> EventPositions:
        """Return the positions of some of the events."""
        return EventPositions(
            self.first_row[rows],
            self.n_sessions[rows],
            self.day0[rows],
            self.security[rows],
            self.sign[rows],
            None if self.estimation is None else self.estimation[rows],
        )

    @property
    def estimation_differs(self) -> bool:
        """Check whether the estimation windows of events differ."""
        return self.estimation is not None and bool((self.estimation != self.estimation[:1]).any())


def locate_day0(
    events: FrameLike, market: Market, closed_day: ClosedDay = "next"
) -> tuple[pl.DataFrame, EventPositions, pl.DataFrame]:
    """Find every event's day 0 among its security's sessions.

    Returns
    -------
    events : polars.DataFrame
        The usable events sorted by `event_id`, ``date`` moved to the next (or the previous) session where it was no
        session (``date_given`` keeps what was given), with the security's ``mic``.
    positions : EventPositions
        Positions of these events, row by row, each with sign +1.
    attrition : polars.DataFrame
        ``event_id, reason, detail`` of the others.
    """
    events = schema.check(schema.Events, events, "events")
    _check_labels(events)
    # a column without any value may come without a type, as from pandas
    events = events.with_columns(pl.col(c).cast(pl.String) for c in ALIGN_REASONS if events.schema.get(c) == pl.Null)
    if not events["event_id"].is_sorted():
        events = events.sort("event_id")
    frame = _with_security(events, market)
    frame = frame.with_columns(*_sessions_of_dates(frame, market, closed_day))
    unusable = _without_day0(frame)
    dropped = frame.filter(unusable)
    usable = frame.filter(~unusable) if dropped.height else frame
    lead = ["event_id", "symbol", "date", "date_given"]
    return usable.select(*lead, pl.exclude(*lead, *_WORKING)), _positions(usable), _attrition(dropped)


def _check_labels(events: pl.DataFrame) -> None:
    """Stop at labels of announcements that are no text, number or date: nothing could be grouped by them."""
    for name in LABELS:
        kind = events.schema.get(name, pl.String())
        if not is_label_type(kind):
            raise DataError(f"events: {name!r} has type {kind}, must hold text. Drop the column, or make text of it.")


def _with_security(events: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Add exchange, rows and span of prices of each event's security; null for unknown symbols."""
    securities = market.panel_securities.with_row_index("_security").join(
        market.spans, on="symbol", how="left", validate="1:1"
    )
    working = {"first_row": "_first_row", "n_sessions": "_n_sessions", "first": "_first", "last": "_last"}
    securities = securities.select("symbol", "mic", "_security", *working).rename(working)
    taken = ["date_given", "mic", *(name for name in ALIGN_REASONS if events.schema.get(name, pl.String) != pl.String)]
    own = keep_own_columns(_without_repeats(events, securities), taken, "events", stacklevel=6)
    given = own.rename({"date": "date_given"})
    return given.join(securities, on="symbol", how="left", validate="m:1", maintain_order="left")


def _without_repeats(events: pl.DataFrame, securities: pl.DataFrame) -> pl.DataFrame:
    """Drop ``mic`` where it is the securities', and ``date_given`` of an earlier run: both are computed anew."""
    repeated = []
    if isinstance(events.schema.get("mic"), pl.String | pl.Categorical | pl.Enum | pl.Null):
        pairs = events.select("symbol", pl.col("mic").cast(pl.String).alias("own")).unique()
        known = pairs.join(securities.select("symbol", "mic"), on="symbol", how="left", validate="m:1")
        same = (pl.col("own") == pl.col("mic")).fill_null(value=True)
        repeated += ["mic"] if known.select(same.all()).item() else []
    if events.schema.get("date_given") == pl.Date:
        forward, back = (pl.col("date_given") <= pl.col("date")), (pl.col("date_given") >= pl.col("date"))
        moved = [direction.fill_null(value=True).all().alias(name) for name, direction in (("a", forward), ("b", back))]
        repeated += ["date_given"] if any(events.select(moved).row(0)) else []
    return events.drop(repeated)


def _sessions_of_dates(frame: pl.DataFrame, market: Market, closed_day: ClosedDay) -> list[pl.Series]:
    """Return date and number of the session of `date_given`, or of the one next to it, on each row's exchange.

    Both are null where the exchange has no session on or after `date_given`.
    """
    sessions = market.session_numbers.sort("mic", "date")
    mics = pl.Enum(sessions["mic"].unique().sort())
    exchange_of_security = market.panel_securities["mic"].cast(mics).to_physical().cast(pl.Int64)
    exchange = exchange_of_security.gather(frame["_security"]).fill_null(-1).to_numpy()
    days = sessions["date"].to_physical().to_numpy().astype(np.int64)
    low, span = int(days.min()), int(days.max() - days.min()) + 2
    # one number for exchange and day: no exchange has a session on the last day of its stretch
    given = frame["date_given"].to_physical().cast(pl.Int64).fill_null(low + span).to_numpy()
    requested = exchange * span + np.clip(given - low, 0, span - 1)
    session_exchange = sessions["mic"].cast(mics).to_physical().to_numpy().astype(np.int64)
    numbers = session_exchange * span + (days - low)
    index = np.searchsorted(numbers, requested)
    exists = pl.when(pl.Series(np.append(session_exchange, -2)[index] == exchange))
    index = np.minimum(index, len(days) - 1)
    if closed_day == "previous":
        before = np.maximum(index - 1, 0)
        is_shut = (numbers[index] > requested) & (session_exchange[before] == exchange)
        index = np.where(is_shut, before, index)
    columns = pl.DataFrame({"date": days[index].astype(np.int32), "_day0": sessions["session"].to_numpy()[index]})
    return columns.select(exists.then(pl.col("date").cast(pl.Date)), exists.then("_day0")).get_columns()


def _without_day0(frame: pl.DataFrame) -> pl.Series:
    """Mark the events whose day 0 is unknown or lies outside the security's prices."""
    given, day0 = pl.col("date_given"), pl.col("date")
    missing = pl.col("mic").is_null() | given.is_null() | (given < pl.col("_first")) | day0.is_null()
    # a security without any return has no span
    missing = (missing | (day0 > pl.col("_last"))).fill_null(value=False)
    if set(ALIGN_REASONS) <= set(frame.columns):
        missing |= pl.col("align_reason").is_not_null()
    return frame.select(missing.alias("unusable")).to_series()


def _positions(usable: pl.DataFrame) -> EventPositions:
    names = ("_first_row", "_n_sessions", "_day0", "_security")
    first_row, n_sessions, day0, security = (usable[name].to_numpy().astype(np.int64) for name in names)
    return EventPositions(first_row, n_sessions, day0, security, np.ones(usable.height))


def _attrition(dropped: pl.DataFrame) -> pl.DataFrame:
    """Find the first reason that applies to each event without a day 0."""
    reason = (
        pl.when(pl.col("mic").is_null())
        .then(pl.lit("unknown_symbol"))
        .when(pl.col("date_given").is_null())
        .then(pl.lit("no_date"))
        .when(pl.col("date_given") < pl.col("_first"))
        .then(pl.lit("before_data"))
        .otherwise(pl.lit("after_data"))
    )
    detail = (
        pl.when(pl.col("mic").is_null())
        .then(pl.format("no returns of {} in this market", "symbol"))
        .when(pl.col("date_given").is_null())
        .then(pl.lit("date is empty"))
        .otherwise(pl.format("day 0 is {}, prices run from {} to {}", "date_given", "_first", "_last"))
    )
    if set(ALIGN_REASONS) <= set(dropped.columns):
        detail = pl.coalesce("align_detail", detail)
        reason = pl.coalesce("align_reason", reason)
    return dropped.select("event_id", reason.alias("reason"), detail.alias("detail")).cast(ATTRITION)  # type: ignore[arg-type]
