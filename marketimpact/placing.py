"""Day 0 among the sessions of each event's security. What has none becomes attrition."""

from __future__ import annotations

import polars as pl

from marketimpact import schema
from marketimpact.market import Market

__all__ = ["ATTRITION", "LOCATION", "REASONS", "place"]

#: The closed list of reasons why an event cannot be used.
REASONS = {
    "unknown_symbol": "the market does not know the security",
    "no_prices": "the price source has no prices of the security",
    "no_date": "the event has no date",
    "before_data": "day 0 lies before the security's first price",
    "after_data": "day 0 lies after the security's last price",
    "other_listing": "the firm's other listing stands for it",
    "no_benchmark": "the security's benchmark has no prices",
    "too_few_observations": "the estimation window has fewer complete sessions than min_observations",
    "no_event_returns": "no session of the event window has a return",
    "singular_regressors": "a regressor is constant or a combination of the others in the estimation window",
    "no_variation": "the return does not vary around the model in the estimation window",
}
#: Where an event's day 0 sits in the market's panel.
LOCATION = ("first_row", "n_sessions", "day0")
ATTRITION = {"event_id": pl.String, "reason": pl.String, "detail": pl.String}


def place(events: pl.DataFrame, market: Market) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find every event's day 0 among its security's sessions.

    Returns
    -------
    placed : polars.DataFrame
        The usable events sorted by `event_id`, ``date`` moved to the next session where it was no
        session (``date_given`` keeps what was given), with ``first_row``, ``n_sessions`` and
        ``day0``, the session's number.
    attrition : polars.DataFrame
        ``event_id, reason, detail`` of the others.
    """
    events = schema.check(schema.Events, events, "events").sort("event_id")
    clash = {"date_given", "mic", "first_session", *LOCATION}.intersection(events.columns)
    rows = market.first_rows.join(market.spans, on="symbol", how="left", validate="1:1")
    frame = (
        events.drop(clash)
        .rename({"date": "date_given"})
        .join(rows, on="symbol", how="left", validate="m:1", maintain_order="left")
    )
    sessions = market.numbered
    frame = (
        frame.with_row_index("_order")
        .sort("date_given", nulls_last=True)
        .join_asof(
            sessions.rename({"session": "day0"}),
            left_on="date_given",
            right_on="date",
            by="mic",
            strategy="forward",
            coalesce=False,
            check_sortedness=False,
        )
        .sort("_order")
        .drop("_order")
    )
    reason = (
        pl.when(pl.col("mic").is_null())
        .then(pl.lit("unknown_symbol"))
        .when(pl.col("date_given").is_null())
        .then(pl.lit("no_date"))
        .when(pl.col("date_given") < pl.col("first"))
        .then(pl.lit("before_data"))
        .when(pl.col("date").is_null() | (pl.col("date") > pl.col("last")))
        .then(pl.lit("after_data"))
    )
    detail = (
        pl.when(pl.col("mic").is_null())
        .then(pl.format("no returns of {} in this market", "symbol"))
        .when(pl.col("date_given").is_null())
        .then(pl.lit("date is empty"))
        .otherwise(pl.format("day 0 is {}, prices run from {} to {}", "date_given", "first", "last"))
    )
    if {"align_reason", "align_detail"} <= set(events.columns):
        detail = pl.coalesce("align_detail", detail)
        reason = pl.coalesce("align_reason", reason)  # type: ignore[assignment]
    frame = frame.with_columns(reason.alias("_reason"), detail.alias("_detail"))
    dropped = frame.filter(pl.col("_reason").is_not_null()).select(
        "event_id", pl.col("_reason").alias("reason"), pl.col("_detail").alias("detail")
    )
    kept = frame.filter(pl.col("_reason").is_null()).drop("_reason", "_detail", "first", "last")
    lead = ["event_id", "symbol", "date", "date_given"]
    return kept.select(*lead, pl.exclude(lead)), dropped.cast(ATTRITION)  # type: ignore[arg-type]
