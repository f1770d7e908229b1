"""Order of the exchanges that could react to an announcement, and each one's first reaction."""

from __future__ import annotations

import polars as pl

from marketimpact.core.arguments import require
from marketimpact.errors import DataError, SpecificationError
from marketimpact.events.alignment import admissible
from marketimpact.study.result import StudyResult

__all__ = ["reaction_order"]

_KEYS = ["announcement_id", "mic"]


def reaction_order(
    result: StudyResult, *, window: tuple[int, int] = (0, 0), test: str = "portfolio_regression"
) -> pl.DataFrame:
    """Order markets by when they could first react to each announcement, with their first reaction.

    Parameters
    ----------
    result : StudyResult
        Of events that `align` made.
    window : tuple of int
        Sessions the reaction is summed over; the first session by default.
    test : str
        Test of each market's mean, by its name in `marketimpact.TESTS`. The default is exact for the firms of one
        market and date under normal returns.

    Returns
    -------
    polars.DataFrame
        ``announcement_id, order, mic, reacts_at, reacts_earliest, reacts_latest, session, closes_at, n_events,
        caar, se, statistic, p_value, mde, valid, note``, sorted by announcement and real time. `reacts_at` is the
        first instant (UTC) at which the exchange traded on or after the announcement: its own instant where it
        was open, else the next opening, after a break or of the next session. `reacts_earliest` and
        `reacts_latest` bound it where the time is not known to the minute. An announcement with only a date has
        ``reacts_at`` and ``order`` null, and its markets are sorted by their bounds: where these overlap the order is
        not known. `session` is day 0 of most of the market's events and `closes_at` its close. `caar` and `mde`, the
        minimum detectable effect of the test, are fractions; `se` is in the unit of the test's estimate. No price in
        `caar` is earlier than `closes_at` of its first session.

    Raises
    ------
    DataError
        For events without announcements, or a result without events.
    SpecificationError
        For a market without trading hours.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> result = mi.EventStudy().run(mi.align(h20, market), market)
    >>> mi.reaction_order(result).select("order", "mic", "reacts_at").rows()[0][1]
    'XHKG'
    """
    require(result, "StudyResult", "result")
    events = result.events
    if events.is_empty():
        raise DataError("No event of this result could be used; its attrition says why.")
    lacking = {"announcement_id", "announced_at", "time_precision", "time_zone"}.difference(events.columns)
    if lacking:
        raise DataError(f"The events lack {', '.join(sorted(lacking))}; make them with marketimpact.align.")
    if result.market.sessions["close"].null_count():
        raise SpecificationError(
            "This market was made from returns: its sessions have no trading hours to order by. Use Market.load."
        )
    listings = events.select("event_id", "announcement_id", "symbol", "date").join(
        result.market.panel_securities.select("symbol", "mic"),
        on="symbol",
        how="left",
        validate="m:1",
        maintain_order="left",
    )
    markets = listings.group_by(_KEYS).agg(pl.col("date").mode().min().alias("session"))
    first_trades = _first_trades(markets, _announcement_times(events), result.market.sessions)
    markets_tested = first_trades.join(
        _market_tests(result, listings, window, test), on=_KEYS, how="left", validate="1:1"
    )
    rank = pl.col("reacts_at").rank("min").over("announcement_id").cast(pl.Int64)
    ordered = markets_tested.with_columns(rank.alias("order")).sort(
        "announcement_id", "reacts_at", "reacts_earliest", "reacts_latest", "closes_at", "mic", nulls_last=True
    )
    columns = [
        "announcement_id",
        "order",
        "mic",
        "reacts_at",
        "reacts_earliest",
        "reacts_latest",
        "session",
        "closes_at",
    ]
    return ordered.select(*columns, "n_events", "caar", "se", "statistic", "p_value", "mde", "valid", "note")


def _announcement_times(events: pl.DataFrame) -> pl.DataFrame:
    """Bound the instant of each announcement (UTC); `reacts_at` is null where only the date is known."""
    bounds = [c for c in ("not_before", "not_after") if c not in events.columns]
    facts = (
        events.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias(c) for c in bounds)
        .select("announcement_id", "announced_at", "time_precision", "time_zone", "not_before", "not_after")
        .unique("announcement_id", maintain_order=True)
    )
    known = pl.col("time_precision") != "day"
    return admissible(facts).select(
        "announcement_id", pl.when(known).then("instant").alias("reacts_at"),
        pl.col("earliest").alias("reacts_earliest"), pl.col("latest").alias("reacts_latest"),
    )  # fmt: skip


def _first_trades(markets: pl.DataFrame, moments: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Find when each market first traded after the announcement and its bounds, and when its session closed."""
    frame = markets.join(moments, on="announcement_id", how="left", validate="m:1")
    clock = sessions.select("mic", "open", "break_start", "break_end", pl.col("close").alias("_close")).sort("_close")
    for name in ("reacts_at", "reacts_earliest", "reacts_latest"):
        instant = pl.col(name)
        in_break = instant.is_between(pl.col("break_start"), pl.col("break_end"), closed="left").fill_null(value=False)
        traded = pl.when(in_break).then("break_end").otherwise(pl.max_horizontal(instant, "open"))
        frame = (
            frame.sort(name, nulls_last=True)
            .join_asof(
                clock, left_on=name, right_on="_close", by="mic", strategy="forward", allow_exact_matches=False,
                check_sortedness=False,
            )
            .with_columns(pl.when(instant.is_not_null()).then(traded).alias(name))
            .drop("open", "break_start", "break_end", "_close")
        )  # fmt: skip
    closes = sessions.select("mic", pl.col("date").alias("session"), pl.col("close").alias("closes_at"))
    return frame.join(closes, on=["mic", "session"], how="left", validate="m:1")


def _market_tests(result: StudyResult, listings: pl.DataFrame, window: tuple[int, int], test: str) -> pl.DataFrame:
    """Test the mean CAR of every announcement and market, one row each."""
    rows = []
    for key, part in listings.partition_by(_KEYS, as_dict=True, maintain_order=True).items():
        market_result = result.where(pl.col("event_id").is_in(part["event_id"].to_list()))
        caar = pl.lit(market_result.car(*window)["car"].mean(), pl.Float64).alias("caar")
        tested = market_result.test(*window, tests=[test]).select(
            "n_events", caar, "se", "statistic", "p_value", pl.col("effect_mde").alias("mde"), "valid", "note",
        )  # fmt: skip
        rows.append(tested.select(*(pl.lit(v).alias(c) for c, v in zip(_KEYS, key, strict=True)), pl.all()))
    return pl.concat(rows)
