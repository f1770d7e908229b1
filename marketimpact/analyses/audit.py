"""Contamination audit: other news around each event, and results with and without contaminated events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.analyses.confounding import Relation, announcement_sessions, nearby_sessions, within_scope
from marketimpact.core import schema
from marketimpact.core.arguments import require
from marketimpact.core.arrays import NO_DAY
from marketimpact.core.frames import FrameLike, to_polars
from marketimpact.core.layouts import FOUND
from marketimpact.errors import DataError, SpecificationError
from marketimpact.estimation.estimates import by_session
from marketimpact.estimation.windows import check_window
from marketimpact.events.catalogue import announcements as embedded
from marketimpact.inference import SignificanceTest
from marketimpact.study.result import StudyResult

__all__ = ["EVENT", "FINDINGS", "SAMPLES", "audit", "with_and_without"]

#: The closed list of what an audit finds.
FINDINGS = {
    "announcement": "another policy announcement",
    "earnings": "results of the firm itself",
    "confounder": "another announcement marked is_confounder, or results of another firm",
    "price_limit": "a close at the daily price limit",
    "no_return": "a session without a return, as in a suspension",
    "index_shock": "a benchmark return beyond the usual of the estimation window",
}
#: The two windows searched.
EVENT, ESTIMATION = "event window", "estimation window"
#: The samples of `with_and_without`.
SAMPLES = ("all", "clean", "contaminated only")
_COLUMNS = {
    "event_id": pl.String, "symbol": pl.String, "kind": pl.String, "relation": pl.String, "where": pl.String,
    "first": pl.Date, "last": pl.Date, "n_days": pl.Int64, "what": pl.String,
}  # fmt: skip


def audit(
    result: StudyResult,
    announcements: FrameLike | None = None,
    *,
    window: tuple[int, int] = (0, 1),
    near: int = 3,
    scope: Relation = "any",
    sector: str = "role",
    own_campaign: bool = True,
    shock: float = 0.99,
) -> pl.DataFrame:
    """Find what else may have moved the events of a result, in their windows and where they were estimated.

    Parameters
    ----------
    result : StudyResult
        The study.
    announcements : FrameLike, optional
        Other news; the embedded chronology by default. Also events with ``event_id, symbol, date``, of which each
        row counts as naming its symbol (the only form for a market made from returns). A frame without rows
        leaves announcements out of the audit.
    window : tuple of int
        The event window searched, in sessions from day 0.
    near : int
        An estimation day counts when it lies within so many sessions of an announcement's day 0.
    scope : {"security", "sector", "campaign", "any"}
        How near an announcement must come to the security to be a finding; each includes those before it.
    sector : str
        Column of the market's securities that names the sector.
    own_campaign : bool
        Whether other announcements of the campaign of the event's own announcement are findings.
    shock : float
        Share of the estimation window's absolute benchmark returns that an index shock exceeds.

    Returns
    -------
    polars.DataFrame
        ``event_id, symbol, kind, relation, where, first, last, n_days, what``, sorted. `kind` is from
        `FINDINGS`; `relation` says how near an announcement comes (`RELATIONS`), null for the others; `where`
        is *event window*, with one row per announcement, or *estimation window*, with one row per kind
        and relation. `first` and `last` are the first and last session concerned, `n_days` how many there are,
        `what` an id, or words.

    Raises
    ------
    DataError
        For broken announcements.
    SpecificationError
        For a wrong option, or announcements with times and a market made from returns.

    Notes
    -----
    The event's own announcement is no finding; it is recognised by ``announcement_id`` or, without one, by
    `event_id`. An announcement with an uncertain day 0 is a finding where any admissible session lies in the
    window. Days the study excludes (``EventStudy(exclude=...)``) are no estimation days. With
    ``shock=0.99`` one ordinary day in a hundred counts as a shock too; shocks of the estimation window
    are not listed, since there they are 1% by definition.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> result = mi.EventStudy().run(mi.align(h20, market), market)
    >>> found = mi.audit(result, window=(-5, 1), scope="security").filter(pl.col("symbol") == "NVDA")
    >>> found.filter(pl.col("where") == "event window")["what"].to_list()[0]
    '2025-08-06-100pct-chip-tariff'
    """
    require(result, "StudyResult", "result")
    window = check_window(window, "window")
    if not 0 < shock < 1:
        raise SpecificationError(f"shock={shock!r} must lie between 0 and 1, such as 0.99.")
    values = result.estimation
    taus = np.arange(window[0], window[1] + 1)
    event = _event_days(result, values.problem.dates(window), taus)
    estimation = _estimation_days(result)
    others = embedded() if announcements is None else announcements
    sessions = announcement_sessions(
        others, result.market, event.select("symbol").unique().sort("symbol"), sector=sector
    )
    in_event_window = _other_announcements(
        result, event, nearby_sessions(sessions, result.market, 0), own_campaign=own_campaign
    )
    near_estimation = _other_announcements(
        result, estimation, nearby_sessions(sessions, result.market, near), own_campaign=own_campaign
    )
    keys = ["event_id", "symbol", "kind", "relation"]
    ids = pl.col("announcement_id").unique().sort()
    frames = [
        _finding_rows(within_scope(in_event_window, scope), [*keys, "announcement_id"], EVENT).rename(
            {"announcement_id": "what"}
        ),
        _finding_rows(within_scope(near_estimation, scope), keys, ESTIMATION, ids.str.join("; ").alias("what")),
        *_price_limits(result, event, estimation),
        *_without_return(event, estimation),
        _shocks(event, estimation, shock),
    ]
    frame = pl.concat(part.select(pl.col(c).cast(kind) for c, kind in _COLUMNS.items()) for part in frames)
    # "event window" goes first
    return frame.sort("event_id", "where", "kind", "relation", "first", "what", descending=[False, True, *[False] * 4])


def with_and_without(
    result: StudyResult,
    found: FrameLike,
    window: tuple[int, int] = (0, 1),
    *,
    tests: Sequence[str | SignificanceTest] | Literal["all"] | None = None,
) -> pl.DataFrame:
    """Test the events of a result with and without those that an audit found contaminated.

    Parameters
    ----------
    result : StudyResult
        The study.
    found : FrameLike
        The frame from `audit`, or a selection of its rows: an event is contaminated when it has a row whose
        `where` is *event window*.
    window : tuple of int
        The window tested.
    tests : sequence of str or SignificanceTest, or "all", optional
        As for `StudyResult.test`.

    Returns
    -------
    polars.DataFrame
        ``sample, caar`` and the columns of `StudyResult.test`, one row per sample (*all, clean,
        contaminated only*) and test. `caar` is the mean CAR, a fraction; null, with a note in each row,
        for a sample without events.

    Raises
    ------
    DataError
        When `found` lacks ``event_id`` or ``where``, or names events the result does not have.

    Notes
    -----
    Leaving out unusual events is a choice made after seeing the data: show the three samples side by side. Events
    at a price limit moved by that much; a clean sample without them is selected on the outcome, so leave
    ``price_limit`` rows out of `found`.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> year = mi.announcements().filter(pl.col("announced_at").dt.year() == 2023, ~pl.col("is_confounder"))
    >>> result = mi.EventStudy().run(mi.align(year, market), market)
    >>> found = mi.audit(result, scope="security")
    >>> mi.with_and_without(result, found, (0, 1), tests=["bmp_kp"])["sample"].to_list()
    ['all', 'clean', 'contaminated only']
    """
    require(result, "StudyResult", "result")
    first, last = check_window(window, "window")
    found = to_polars(found, "found", FOUND)
    if not (found.is_empty() and {"event_id", "where"} <= set(found.columns)):
        found = schema.check(schema.Found, found, "found")
    unknown = found.join(result.events, on="event_id", how="anti")
    if unknown.height:
        raise DataError(
            f"found has {unknown.height} rows of events this result does not have, such as "
            f"{unknown['event_id'][0]!r}. Audit this result: mi.audit(result).",
            rows=unknown,
        )
    contaminated = found.filter(pl.col("where") == EVENT)["event_id"].unique()
    is_contaminated = pl.col("event_id").is_in(contaminated.implode())
    samples = zip(SAMPLES, (result, result.where(~is_contaminated), result.where(is_contaminated)), strict=True)
    return pl.concat(
        sample.test(first, last, tests=tests).select(
            pl.lit(name).alias("sample"),
            pl.lit(sample.car(first, last)["car"].mean(), dtype=pl.Float64).alias("caar"),
            pl.all(),
        )
        for name, sample in samples
    )


def _estimation_days(result: StudyResult) -> pl.DataFrame:
    values = result.estimation
    days = _event_days(result, values.estimation_dates, None)
    if values.settings.excluded is None:
        return days
    excluded = result.market.select("symbol", "date").filter(pl.Series(values.settings.excluded))
    return days.join(excluded, on=["symbol", "date"], how="anti")


def _event_days(result: StudyResult, dates: NDArray[np.int64], taus: NDArray[np.int64] | None) -> pl.DataFrame:
    """Build ``event_id, symbol, tau, date, session, ret, market``: one row per event and session of its calendar."""
    taus = np.zeros(dates.shape[1], dtype=np.int64) if taus is None else taus
    tau = pl.Series("tau", np.tile(taus, len(dates)))
    frame = by_session(result.events, dates).insert_column(2, tau).filter(pl.Series(dates.ravel() != NO_DAY))
    panel = result.market.select("symbol", "date", "session", "ret", "market")
    return frame.join(panel, on=["symbol", "date"], how="left", validate="m:1", maintain_order="left")


def _other_announcements(
    result: StudyResult, days: pl.DataFrame, hits: pl.DataFrame, *, own_campaign: bool
) -> pl.DataFrame:
    """Find days of events on which another announcement than their own falls, one row per day and announcement."""
    columns = [c for c in ("announcement_id", "campaign_id") if c in result.events.columns]
    own = result.events.select("event_id", *[pl.col(c).alias(f"own_{c}") for c in columns])
    for column in ("own_announcement_id", "own_campaign_id"):
        if column not in own.columns:
            own = own.with_columns(pl.lit(None, pl.String).alias(column))
    hits_on_days = days.join(hits.drop("date"), on=["symbol", "session"], how="inner").join(
        own, on="event_id", how="left", validate="m:1"
    )
    is_own = (pl.col("announcement_id") == pl.col("own_announcement_id")).fill_null(value=False) | (
        pl.col("announcement_id") == pl.col("event_id")
    )
    same_campaign = (pl.col("campaign_id") == pl.col("own_campaign_id")).fill_null(value=False)
    others = hits_on_days.filter(~is_own if own_campaign else ~is_own & ~same_campaign)
    nearest = pl.when(same_campaign & (pl.col("relation") == "any")).then(pl.lit("campaign")).otherwise("relation")
    return others.with_columns(nearest.alias("relation"))


def _finding_rows(days: pl.DataFrame, keys: list[str], where: str, *more: pl.Expr) -> pl.DataFrame:
    """Make one row per finding, with the days it concerns."""
    return (
        days.group_by(keys)
        .agg(
            pl.col("date").min().alias("first"),
            pl.col("date").max().alias("last"),
            pl.col("date").n_unique().cast(pl.Int64).alias("n_days"),
            *more,
        )
        .with_columns(pl.lit(where).alias("where"))
    )


def _market_finding(days: pl.DataFrame, kind: str, where: str, what: pl.Expr) -> pl.DataFrame:
    marked = days.with_columns(pl.lit(kind).alias("kind"), pl.lit(None, pl.String).alias("relation"))
    return _finding_rows(marked, ["event_id", "symbol", "kind", "relation"], where, what.alias("what"))


def _taus_text() -> pl.Expr:
    return pl.col("tau").sort().cast(pl.String).str.join(", ")


def _price_limits(result: StudyResult, event: pl.DataFrame, estimation: pl.DataFrame) -> list[pl.DataFrame]:
    hits = result.market.limit_hits.select("symbol", "date", "side")
    sides = pl.col("side").unique().sort().str.join(" and ")
    in_event_window, in_estimation = (
        days.join(hits, on=["symbol", "date"], how="inner", validate="m:1") for days in (event, estimation)
    )
    return [
        _market_finding(
            in_event_window, "price_limit", EVENT, pl.format("at the {} price limit on {}", sides, _taus_text())
        ),
        _market_finding(in_estimation, "price_limit", ESTIMATION, pl.format("at the {} price limit", sides)),
    ]


def _without_return(event: pl.DataFrame, estimation: pl.DataFrame) -> list[pl.DataFrame]:
    in_event_window, in_estimation = event.filter(pl.col("ret").is_null()), estimation.filter(pl.col("ret").is_null())
    return [
        _market_finding(in_event_window, "no_return", EVENT, pl.format("no return on {}", _taus_text())),
        _market_finding(in_estimation, "no_return", ESTIMATION, pl.lit("no return")),
    ]


def _shocks(event: pl.DataFrame, estimation: pl.DataFrame, shock: float) -> pl.DataFrame:
    thresholds = estimation.group_by("event_id").agg(
        pl.col("market").abs().quantile(shock, interpolation="linear").alias("usual")
    )
    beyond = event.join(thresholds, on="event_id", how="left", validate="m:1").filter(
        pl.col("market").abs() > pl.col("usual")
    )
    what = pl.format(
        "benchmark {}% on {}, beyond {}% either way",
        (100 * pl.col("market").sort_by("tau")).round(2).cast(pl.String).str.join("%, "),
        _taus_text(),
        (100 * pl.col("usual").first()).round(2),
    )
    return _market_finding(beyond, "index_shock", EVENT, what)
