"""Put each event's reaction to the news side by side: in whole sessions, overnight and in the day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import polars as pl

from marketimpact.core import schema
from marketimpact.core.arguments import require
from marketimpact.core.frames import FrameLike
from marketimpact.core.layouts import EVENTS
from marketimpact.core.own_columns import keep_own_columns
from marketimpact.core.text import listed
from marketimpact.display.formats import SIMULATED_TABLE
from marketimpact.display.tables import Table
from marketimpact.errors import DataError, SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.market.legs import DAY_RETURN
from marketimpact.market.market import Market
from marketimpact.models import TradeToTrade
from marketimpact.study.result import StudyResult

if TYPE_CHECKING:
    from marketimpact.study.event_study import EventStudy

__all__ = ["CarByLeg", "car_by_leg", "has_legs"]

LEGS = ("session", "overnight", "day")
#: Columns of `CarByLeg.frame` before those of the events.
COLUMNS = (
    "event_id", "symbol", "leg", "first", "last", "n_legs", "raw", "car", "se", "t", "df", "p", "variance_ratio",
    "p_filtered", "note",
)  # fmt: skip
#: Columns in which `align` says in which leg the news came.
DAY0_LEG, CERTAINTY = "day0_leg", "day0_leg_certainty"


@dataclass(frozen=True, slots=True, repr=False)
class CarByLeg:
    """Reactions of each event in whole sessions, overnight and in the day.

    Attributes
    ----------
    frame : polars.DataFrame
        ``event_id, symbol, leg, first, last, n_legs, raw, car, se, t, df, p, variance_ratio, p_filtered, note`` and the
        events' own columns; three rows per event, *session*, *overnight*, *day*. `raw` is the compounded return and
        `car` the cumulative abnormal one, fractions, over the `n_legs` legs from session `first` to `last` that have
        one; the others are as in `StudyResult.car`. `note` says why a number is empty, and what is uncertain.
    window : (int, int)
        The window, in sessions.
    results : dict of str to StudyResult
        The study on each leg, for tests, groups and plots: ``results["overnight"].test(0, 0)``. A window that begins
        at 0 has the overnight leg of day 0 in it, whenever the news came.
    """

    frame: pl.DataFrame
    window: tuple[int, int]
    results: Mapping[str, StudyResult] = field(repr=False)

    @property
    def show(self) -> Table:
        """The frame as a table to read."""
        simulated = self.results["session"].market.simulated
        # ids of events are long: a security says as much where each has one event
        name = "symbol" if self.frame["symbol"].n_unique() == self.frame["event_id"].n_unique() else "event_id"
        return Table(
            self.frame,
            f"Return and CAR by leg over {list(self.window)}",
            notes=(
                *([SIMULATED_TABLE] if simulated else ()),
                "overnight: previous close to open; day: open to close; session: both. p: two-sided from t(df).",
            ),
            columns=(name, "leg", "n_legs", "raw", "car", "se", "t", "p", "p_filtered", "note"),
            footnotes="note",
            unit=self.results["session"].market.unit,
            dropped_first=("p_filtered", "n_legs", "se"),
            rules=tuple(range(len(LEGS), self.frame.height, len(LEGS))),
        )

    def __repr__(self) -> str:
        """Show the table as text."""
        return repr(self.show)

    def _repr_html_(self) -> str:
        return self.show._repr_html_()


def has_legs(result: StudyResult) -> bool:
    """Check whether the events of a result can be run on each leg of day 0.

    Returns
    -------
    bool
        False without opens, for another unit than simple returns, for returns of one leg, without `day0_leg`, where
        the event window leaves out day 0, and for trade-to-trade returns.
    """
    market, (first, last) = result.market, result.estimation.settings.event
    has_opens = DAY_RETURN in market.panel_columns and not market.benchmark_legs.is_empty()
    is_whole = market.unit == "simple" and market.leg is None and not isinstance(result.model, TradeToTrade)
    return has_opens and is_whole and DAY0_LEG in result.events.columns and first <= 0 <= last


def car_by_leg(
    study: EventStudy,
    events: FrameLike,
    market: Market | Mapping[str, Market],
    window: tuple[int, int] = (0, 1),
    *,
    benchmark: Literal["leg_benchmark", "benchmark"] = "leg_benchmark",
) -> CarByLeg:
    """Estimate each event in whole sessions, in overnight legs and in day legs, against the same benchmarks.

    Parameters
    ----------
    study : EventStudy
        Run on each leg; its event window holds `window`.
    events : FrameLike
        What `align` returns, or events of your own with a column ``day0_leg``: *overnight* where the news came at or
        before the open of day 0, *day* where it came later. ``day0_leg_certainty`` may say how certain that is.
    market : Market or dict of str to Market
        Prices with opens; or markets of your own for *session*, *overnight* and *day*, such as what `Market.legs` gives
        with factors of each leg, or `Market.from_returns` of returns of each leg.
    window : tuple of int
        Sessions from 0 on over which returns are summed. For sessions before the news see `results`.
    benchmark : {"leg_benchmark", "benchmark"}
        As in `Market.legs`.

    Returns
    -------
    CarByLeg

    Notes
    -----
    News that came after the open is not in the overnight leg of day 0, so the overnight window of such an event begins
    at session 1; over (0, 0) it is empty, with a note. The whole session has both legs of day 0 in any case, as a study
    of daily closes has. Where ``day0_leg`` is empty both legs are, since either may have come before the news. A leg's
    standard error is estimated from the same leg of earlier sessions. CARs of the two legs add up to about that of the
    session: each leg has coefficients of its own, and simple returns compound.

    Raises
    ------
    SpecificationError
        For a window that begins before day 0 or lies outside the study's; a market that `Market.legs` refuses; markets
        that are not one per leg, of simple returns.
    DataError
        For events without ``day0_leg`` where the window begins at 0, or with another value in it.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-04-15-nvidia-8k-h20")
    >>> legs = mi.car_by_leg(mi.EventStudy(), mi.align(h20, market), market, (0, 0))
    >>> legs.frame.filter(pl.col("symbol") == "NVDA")["leg"].to_list()
    ['session', 'overnight', 'day']
    """
    require(study, "EventStudy", "study")
    if not isinstance(market, Mapping):
        require(market, "Market", "market")
    first, last = check_window(window, "window")
    if first < 0:
        raise SpecificationError(
            f"window=({first}, {last}) begins before day 0: legs are those with the news. Begin at 0 or later; for a "
            "run-up use study.run(events, market.legs('overnight')).car(...)."
        )
    given = keep_own_columns(schema.as_frame(events, "events", EVENTS), {*COLUMNS[2:]}, "events")
    legs = _legs_of_day0(given, needed=first == 0)
    markets = _markets(market, benchmark)
    results = {leg: study.run(given, markets[leg]) for leg in LEGS}
    rows = pl.concat([_rows(results[leg], legs, leg, (first, last)) for leg in LEGS])
    order = pl.col("leg").cast(pl.Enum(LEGS))
    own = given.drop("symbol")
    frame = rows.sort("event_id", order).join(own, on="event_id", how="left", validate="m:1", maintain_order="left")
    return CarByLeg(frame, (first, last), results)


def _legs_of_day0(events: pl.DataFrame, *, needed: bool) -> pl.DataFrame:
    """Check and return ``event_id, symbol, day0_leg, day0_leg_certainty``; the leg is *any* where it plays no part."""
    checked = schema.check(schema.Events, events, "events")
    certainty = pl.col(CERTAINTY).cast(pl.String) if CERTAINTY in checked.columns else pl.lit(None, pl.String)
    if not needed:
        return checked.select("event_id", "symbol", pl.lit("any").alias(DAY0_LEG), certainty.alias(CERTAINTY))
    if DAY0_LEG not in checked.columns:
        raise DataError(
            f"events lacks {DAY0_LEG}: in which leg of day 0 the news came. mi.align returns it; for events of your "
            "own add it, 'overnight' for news at or before the open and 'day' for later news."
        )
    frame = checked.select("event_id", "symbol", pl.col(DAY0_LEG).cast(pl.String), certainty.alias(CERTAINTY))
    other = frame.filter(~pl.col(DAY0_LEG).is_in(LEGS[1:]))
    if other.height:
        values = listed(other[DAY0_LEG].unique().sort().to_list())
        raise DataError(
            f"events: {DAY0_LEG} is {values} in {other.height} rows. Write 'overnight' or 'day', or leave it empty "
            "where it is not known.",
            rows=other,
        )
    return frame


def _markets(market: Market | Mapping[str, Market], benchmark: str) -> dict[str, Market]:
    """Return the market of each leg."""
    if isinstance(market, Market):
        return {leg: market.legs(leg, benchmark=benchmark) for leg in LEGS}  # type: ignore[arg-type]
    if set(market) != set(LEGS):
        given = listed(sorted(map(str, market)))
        raise SpecificationError(f"market is {given}. Give one Market, or a dict with one for each of {listed(LEGS)}.")
    if benchmark != "leg_benchmark":
        raise SpecificationError(f"benchmark={benchmark!r} chooses among those of one Market; these have their own.")
    if odd := [leg for leg in LEGS if market[leg].unit != "simple"]:
        raise SpecificationError(f"market[{odd[0]!r}] holds {market[odd[0]].unit} returns. Give simple returns.")
    return {leg: market[leg] for leg in LEGS}


def _rows(result: StudyResult, legs: pl.DataFrame, leg: str, window: tuple[int, int]) -> pl.DataFrame:
    """Compute the rows of one leg, one per event."""
    first, last = window
    is_late = (pl.col(DAY0_LEG) == "day").fill_null(value=False)
    begins = pl.when(is_late & pl.lit(leg == "overnight")).then(first + 1).otherwise(first)
    planned = legs.with_columns(begins.cast(pl.Int64).alias("first"), pl.lit(last, pl.Int64).alias("last"))
    parts = [_window_rows(result, planned, (begin, last)) for begin in (first, first + 1) if begin <= last]
    reasons = result.attrition.select("event_id", pl.format("{}: {}", "reason", "detail").alias("_reason"))
    joined = (
        planned.join(pl.concat(parts), on=["event_id", "first"], how="left", validate="1:1")
        .join(reasons, on="event_id", how="left", validate="1:1")
        .with_columns(pl.lit(leg).alias("leg"))
    )
    numbers = ("n_legs", "raw", "car", "se", "t", "df", "p", "variance_ratio", "p_filtered")
    unknown = pl.col(DAY0_LEG).is_null() & pl.lit(leg != "session")
    return joined.with_columns(
        *(pl.when(~unknown).then(name).alias(name) for name in numbers), _notes(leg, unknown).alias("note")
    ).select(COLUMNS)


def _window_rows(result: StudyResult, planned: pl.DataFrame, window: tuple[int, int]) -> pl.DataFrame:
    """Compute returns and CARs over one window, of the events whose window it is."""
    ids = planned.filter(pl.col("first") == window[0])["event_id"]
    chosen = result.where(pl.col("event_id").is_in(ids.implode()))
    cars = chosen.car(*window).select(
        "event_id", pl.lit(window[0], pl.Int64).alias("first"), pl.col("n_days").alias("n_legs"), "car", "se", "t",
        "df", "p", "variance_ratio", "p_filtered", "flags",
    )  # fmt: skip
    returns = chosen.abnormal_returns.filter(pl.col("tau").is_between(*window), pl.col("ar").is_not_null())
    raw = returns.group_by("event_id").agg(((1.0 + pl.col("ret")).product() - 1.0).alias("raw"))
    return cars.join(raw, on="event_id", how="left", validate="1:1", maintain_order="left")


def _notes(leg: str, unknown: pl.Expr) -> pl.Expr:
    """Write why a number is empty and what is uncertain; null where there is nothing to say."""
    is_late = pl.col(DAY0_LEG) == "day"
    clauses = [pl.col("_reason")]
    if leg == "overnight":
        lacks = is_late & (pl.col("first") > pl.col("last"))
        clauses.append(pl.when(lacks).then(pl.lit("the window has no overnight leg after the news")))
        left_out = pl.lit("the overnight leg of day 0 came before the news and is left out")
        clauses.append(pl.when(is_late & ~lacks).then(left_out))
    if leg == "session":
        clauses.append(pl.when(is_late).then(pl.lit("has the overnight leg of day 0, which came before the news")))
    else:
        clauses.append(
            pl.when(unknown).then(pl.lit("day0_leg is empty: the legs of day 0 may have come before the news"))
        )
        doubt = pl.format("the leg of day 0 with the news is {}, no more: it may be the other one", CERTAINTY)
        is_doubtful = pl.col(CERTAINTY).is_in(["likely", "assumed"]) & ~unknown & (pl.col(DAY0_LEG) != "any")
        clauses.append(pl.when(is_doubtful).then(doubt))
    text = pl.concat_str(*clauses, pl.col("flags"), separator="; ", ignore_nulls=True)
    return pl.when(text != "").then(text)
