"""Day 0 among the sessions of each event's security. What has none becomes attrition."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import polars as pl

from marketimpact.core import schema
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.factorize import stable_argsort
from marketimpact.estimation.attrition import ATTRITION
from marketimpact.market.market import Market

__all__ = ["LOCATION", "locate_day0"]

#: Where an event's day 0 sits in the market's panel.
LOCATION = ("_first_row", "_n_sessions", "_day0", "_security")


def locate_day0(events: pl.DataFrame, market: Market) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find every event's day 0 among its security's sessions.

    Returns
    -------
    placed : polars.DataFrame
        The usable events sorted by `event_id`, ``date`` moved to the next session where it was no
        session (``date_given`` keeps what was given), with ``_first_row``, ``_n_sessions``, ``_day0``, the
        session's number, and ``_security``, the security's row among the market's `first_rows`.
    attrition : polars.DataFrame
        ``event_id, reason, detail`` of the others.
    """
    events = schema.check(schema.Events, events, "events")
    if not events["event_id"].is_sorted():
        events = events.sort("event_id")
    clash = {"date_given", "mic", "_first", "_last", *LOCATION}.intersection(events.columns)
    rows = market.first_rows.with_row_index("_security").join(market.spans, on="symbol", how="left", validate="1:1")
    own = {"first_row": "_first_row", "n_sessions": "_n_sessions", "first": "_first", "last": "_last"}
    rows = rows.select("symbol", "mic", "_security", *own).rename(own)  # events may have columns of such names
    frame = (
        events.drop(clash)
        .rename({"date": "date_given"})
        .join(rows, on="symbol", how="left", validate="m:1", maintain_order="left")
    )
    frame = frame.with_columns(*_next_sessions(frame, market))
    given, day0 = pl.col("date_given"), pl.col("date")
    lost = pl.col("mic").is_null() | given.is_null() | (given < pl.col("_first")) | day0.is_null()
    lost = (lost | (day0 > pl.col("_last"))).fill_null(value=False)  # a security without any return has no span
    if {"align_reason", "align_detail"} <= set(frame.columns):
        lost |= pl.col("align_reason").is_not_null()
    dropped = frame.filter(lost)
    kept = frame.filter(~lost) if dropped.height else frame
    lead = ["event_id", "symbol", "date", "date_given"]
    return kept.select(*lead, pl.exclude(*lead, "_first", "_last")), _attrition(dropped)


def _next_sessions(frame: pl.DataFrame, market: Market) -> list[pl.Series]:
    """Date and number of the first session on or after `date_given` on each row's exchange, null where none is."""
    sessions = market.numbered.sort("mic", "date")
    mics = pl.Enum(sessions["mic"].unique().sort())
    home = market.first_rows["mic"].cast(mics).to_physical().cast(pl.Int64).gather(frame["_security"]).fill_null(-1)
    days = sessions["date"].to_physical().to_numpy().astype(np.int64)
    low, span = int(days.min()), int(days.max() - days.min()) + 2
    # one number for exchange and day: no exchange has a session on the last day of its stretch
    given = frame["date_given"].to_physical().cast(pl.Int64).fill_null(low + span).to_numpy()
    wanted = home.to_numpy() * span + np.clip(given - low, 0, span - 1)
    own = sessions["mic"].cast(mics).to_physical().to_numpy().astype(np.int64)
    place = np.searchsorted(own * span + (days - low), wanted)
    found = np.append(own, -2)[place] == home.to_numpy()
    next_one = np.minimum(place, len(days) - 1)
    columns = pl.DataFrame({"date": days[next_one].astype(np.int32), "_day0": sessions["session"].to_numpy()[next_one]})
    there = pl.when(pl.Series(found))
    return columns.select(there.then(pl.col("date").cast(pl.Date)), there.then("_day0")).get_columns()


def _attrition(dropped: pl.DataFrame) -> pl.DataFrame:
    """First reason that applies to each event without a day 0."""
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
    if {"align_reason", "align_detail"} <= set(dropped.columns):
        detail = pl.coalesce("align_detail", detail)
        reason = pl.coalesce("align_reason", reason)
    return dropped.select("event_id", reason.alias("reason"), detail.alias("detail")).cast(ATTRITION)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class EventPositions:
    """Where N events lie in the market's panel.

    Attributes
    ----------
    first_row, n_sessions : (N,) arrays of int
        First row of the event's security, and how many it has.
    day0 : (N,) array of int
        Sessions from there to day 0.
    security : (N,) array of int
        Row of the event's security among the market's `first_rows`.
    sign : (N,) array
        +1, or -1 for an event whose returns are counted the other way round.
    """

    first_row: Ints
    n_sessions: Ints
    day0: Ints
    security: Ints
    sign: Floats

    @classmethod
    def of(cls, placed: pl.DataFrame) -> EventPositions:
        """Of placed events, each counted as it is."""
        names = ("_first_row", "_n_sessions", "_day0", "_security")
        first_row, n_sessions, day0, security = (placed[name].to_numpy().astype(np.int64) for name in names)
        return cls(first_row, n_sessions, day0, security, np.ones(placed.height))

    @cached_property
    def in_memory(self) -> Ints:
        """Events in the order of the market's rows, which is that of its memory, (N,)."""
        by_day = stable_argsort(self.day0)
        return by_day[stable_argsort(self.security[by_day])]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.day0)

    def take(self, rows: Ints | slice) -> EventPositions:
        """Those of some of the events."""
        return EventPositions(*(getattr(self, part.name)[rows] for part in fields(EventPositions)))
