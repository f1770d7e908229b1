"""Sessions near announcements, and how closely each announcement concerns each security."""

from __future__ import annotations

from typing import Literal

import polars as pl

from marketimpact.core import schema
from marketimpact.core.arguments import require
from marketimpact.core.frames import FrameLike, to_polars
from marketimpact.core.layouts import ANNOUNCEMENTS_OR_EVENTS
from marketimpact.errors import DataError, SpecificationError
from marketimpact.events.alignment import align
from marketimpact.market.market import Market

__all__ = ["RELATIONS", "Relation", "announcement_sessions", "contaminated_days", "nearby_sessions", "within_scope"]

Relation = Literal["security", "sector", "campaign", "any"]
#: How an announcement can concern a security, the nearest first; the closed list of relations.
RELATIONS: dict[Relation, str] = {
    "security": "it names the security, or the firm's other listing, among its targets",
    "sector": "it names another security of the same sector",
    "campaign": "it belongs to the campaign of the event's own announcement",
    "any": "none of these; it is on the list",
}
_SCHEMA = {
    "symbol": pl.String, "announcement_id": pl.String, "campaign_id": pl.String, "kind": pl.String,
    "relation": pl.String, "from_session": pl.Int64, "to_session": pl.Int64,
}  # fmt: skip


def contaminated_days(
    announcements: FrameLike,
    market: Market,
    *,
    near: int = 3,
    scope: Literal["security", "sector", "any"] = "security",
    sector: str = "role",
) -> pl.DataFrame:
    """Find sessions near announcements, for ``EventStudy(exclude=...)``.

    Parameters
    ----------
    announcements : FrameLike
        See `marketimpact.announcements`; or events with ``event_id, symbol, date``, of which each row counts
        as naming its symbol (the only form for a market made from returns, which has no trading hours).
    market : Market
        Securities and sessions.
    near : int
        Sessions of the security's own exchange before and after day 0 that count too.
    scope : {"security", "sector", "any"}
        Which announcements count for a security: those that name it (or its other listing), those that
        name one of its sector too, or all.
    sector : str
        Column of the market's securities that names the sector.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, n_announcements, announcements``, one row per security and session, sorted; the last
        are ids, joined by "; ". Where day 0 is uncertain every admissible session counts.

    Raises
    ------
    DataError
        For broken announcements.
    SpecificationError
        For a negative `near`, an unknown `scope` or `sector`.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> days = mi.contaminated_days(h20, market, near=1)
    >>> days.filter(pl.col("symbol") == "NVDA")["date"].to_list()
    [datetime.date(2025, 8, 11), datetime.date(2025, 8, 12), datetime.date(2025, 8, 13)]
    >>> study = mi.EventStudy(exclude=days)
    """
    require(market, "Market", "market")
    if scope not in ("security", "sector", "any"):
        raise SpecificationError(f"scope={scope!r}: days have no campaign; choose 'security', 'sector' or 'any'.")
    symbols = market.panel_securities.select("symbol")
    hits = within_scope(announcement_sessions(announcements, market, symbols, sector=sector), scope)
    return (
        nearby_sessions(hits, market, near)
        .group_by("symbol", "date")
        .agg(
            pl.col("announcement_id").n_unique().cast(pl.Int64).alias("n_announcements"),
            pl.col("announcement_id").unique().sort().str.join("; ").alias("announcements"),
        )
        .sort("symbol", "date")
    )


def within_scope(hits: pl.DataFrame, scope: Relation) -> pl.DataFrame:
    """Keep the announcements that concern the security at least as closely as `scope`."""
    if scope not in RELATIONS:
        raise SpecificationError(f"scope={scope!r}: choose one of {', '.join(RELATIONS)}.")
    order = list(RELATIONS)
    return hits.filter(pl.col("relation").is_in(order[: order.index(scope) + 1]))


def announcement_sessions(
    announcements: FrameLike, market: Market, symbols: pl.DataFrame, *, sector: str
) -> pl.DataFrame:
    """Locate every announcement on the sessions of every security.

    Returns
    -------
    polars.DataFrame
        ``symbol, announcement_id, campaign_id, kind, relation, from_session, to_session``: the earliest and
        the latest admissible day 0, as numbers of the security's sessions. Announcements outside the
        market's sessions are not in it.
    """
    announcements = to_polars(announcements, "announcements", ANNOUNCEMENTS_OR_EVENTS)
    if announcements.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    if {"symbol", "date"} <= set(announcements.columns):
        rows = _rows_of_events(announcements, symbols)
    else:
        announcements = schema.check(schema.Announcements, announcements, "announcements")
        rows = _with_relation(
            align(announcements, market, symbols=symbols["symbol"].to_list()), announcements, market, sector
        )
    rows = rows.with_columns(
        pl.coalesce("day0_earliest", "date", "day0_latest").alias("_from"),
        pl.coalesce("day0_latest", "date", "day0_earliest").alias("_to"),
    ).drop_nulls("_from")
    rows = rows.join(market.panel_securities.select("symbol", "mic"), on="symbol", how="inner", validate="m:1")
    for day, session in (("_from", "from_session"), ("_to", "to_session")):
        rows = _session_on_or_after(rows, market, day, session)
    return rows.drop_nulls("from_session").with_columns(pl.col("to_session").fill_null(pl.col("from_session"))).select(
        pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items()
    )  # fmt: skip


def nearby_sessions(hits: pl.DataFrame, market: Market, near: int) -> pl.DataFrame:
    """List announcements, securities and sessions up to `near` sessions away, with ``session`` and ``date``."""
    if isinstance(near, bool) or not isinstance(near, int) or near < 0:
        raise SpecificationError(f"near={near!r}: give a number of sessions, 0 or more.")
    ranges = hits.with_columns(
        pl.int_ranges(pl.col("from_session") - near, pl.col("to_session") + near + 1).alias("session")
    )
    sessions = market.select("symbol", "session", "date")
    return ranges.explode("session", empty_as_null=True, keep_nulls=True).join(
        sessions, on=["symbol", "session"], how="inner", validate="m:1"
    )


def _rows_of_events(events: pl.DataFrame, symbols: pl.DataFrame) -> pl.DataFrame:
    """Take events with a date as announcements that each name their own security."""
    if "announcement_id" not in events.columns and "event_id" not in events.columns:
        raise DataError("announcements has symbol and date, but neither announcement_id nor event_id to name a row by.")
    id_column = "announcement_id" if "announcement_id" in events.columns else "event_id"
    complete = events.with_columns(
        pl.lit(None, dtype=dtype).alias(column)
        for column, dtype in {
            "campaign_id": pl.String, "instrument": pl.String, "is_confounder": pl.Boolean,
            "day0_earliest": pl.Date, "day0_latest": pl.Date,
        }.items()
        if column not in events.columns
    )  # fmt: skip
    return (
        complete.join(symbols.select("symbol").unique(), on="symbol", how="semi")
        .with_columns(pl.col(id_column).alias("announcement_id"), pl.lit("security").alias("relation"))
        .with_columns(_kind().alias("kind"))
    )


def _with_relation(aligned: pl.DataFrame, announcements: pl.DataFrame, market: Market, sector: str) -> pl.DataFrame:
    """Classify how closely each announcement concerns each security (`RELATIONS`)."""
    securities = market.securities
    if sector not in securities.columns:
        raise SpecificationError(
            f"sector={sector!r} is no column of the market's securities: {', '.join(securities.columns)}."
        )
    named = announcements.select("announcement_id", pl.col("targets").alias("symbol")).explode(
        "symbol", empty_as_null=True, keep_nulls=True
    )
    named = named.drop_nulls().unique()
    other = _listings(securities)
    firms = pl.concat([named, named.join(other, on="symbol", how="inner").select("announcement_id", symbol="listing")])
    sectors = named.join(securities.select("symbol", pl.col(sector).alias("_sector")), on="symbol", how="inner")
    own_sector = securities.select("symbol", pl.col(sector).alias("_sector"))
    frame = (
        aligned.join(_with_flag(firms.unique(), "_named"), on=["announcement_id", "symbol"], how="left", validate="m:1")
        .join(own_sector, on="symbol", how="left", validate="m:1")
        .join(
            _with_flag(sectors.drop("symbol").drop_nulls().unique(), "_near"),
            on=["announcement_id", "_sector"],
            how="left",
            validate="m:1",
        )
    )
    relation = (
        pl.when(pl.col("_named").is_not_null())
        .then(pl.lit("security"))
        .when(pl.col("_near").is_not_null())
        .then(pl.lit("sector"))
        .otherwise(pl.lit("any"))
    )
    return frame.with_columns(relation.alias("relation")).with_columns(_kind().alias("kind"))


def _kind() -> pl.Expr:
    earnings = (pl.col("instrument") == "earnings") & (pl.col("relation") == "security")
    # results of another firm are no policy, only a confounder
    confounds = pl.col("is_confounder") | (pl.col("instrument") == "earnings")
    return (
        pl.when(earnings)
        .then(pl.lit("earnings"))
        .when(confounds)
        .then(pl.lit("confounder"))
        .otherwise(pl.lit("announcement"))
    )


def _listings(securities: pl.DataFrame) -> pl.DataFrame:
    """Pair the listings of the same firm, both ways: ``symbol, listing``."""
    if "dual_listing" not in securities.columns:
        return pl.DataFrame(schema={"symbol": pl.String, "listing": pl.String})
    known = securities.select("symbol", pl.col("dual_listing").alias("listing")).drop_nulls()
    return pl.concat([known, known.select(symbol="listing", listing="symbol")]).unique()


def _with_flag(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    return frame.with_columns(pl.lit(value=True).alias(name))


def _session_on_or_after(rows: pl.DataFrame, market: Market, day: str, name: str) -> pl.DataFrame:
    """Find the first session of the security's exchange on or after `day`, by its number; null after the last."""
    sessions = market.session_numbers.rename({"session": name, "date": "_day"})
    return rows.sort(day).join_asof(
        sessions.sort("_day"),
        left_on=day,
        right_on="_day",
        by="mic",
        strategy="forward",
        check_sortedness=False,
    ).drop("_day")  # fmt: skip
