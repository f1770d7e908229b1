"""What each event belongs to: its cluster, its exchange, its firm, its placebo announcements."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core.factorize import numbered
from marketimpact.core.lazy_matrix import Rowwise
from marketimpact.estimation.estimates import Estimates
from marketimpact.estimation.windows import Ints
from marketimpact.events.dual_listings import firms
from marketimpact.events.exchange_clocks import Clock
from marketimpact.inference import side_by_side
from marketimpact.market.market import Market

__all__ = ["clusters", "exchanges", "firm_numbers", "listed_twice", "placebo_residuals", "securities_of"]


def clusters(events: pl.DataFrame, column: str | None = None) -> Ints:
    """Number of each event's announcement, or of its day 0 where events have no announcement, (N,).

    With `column` of its value there, where it has one.
    """
    own = "announcement_id" if "announcement_id" in events.columns else "date"
    if column is None:
        return numbered(events[own]).place
    named = pl.coalesce(pl.format("value {}", pl.col(column).cast(pl.String)), pl.format("without: {}", own))
    return numbered(events.select(named.alias(column)).to_series()).place


def securities_of(events: pl.DataFrame, market: Market) -> Ints:
    """Row of each event's security among the market's `first_rows`, (N,)."""
    return events["symbol"].cast(pl.Enum(market.first_rows["symbol"])).to_physical().to_numpy().astype(np.int64)


def exchanges(security: Ints, market: Market) -> tuple[Ints, tuple[Clock, ...]]:
    """Number of the exchange of each event's security, (N,), and the clocks that the numbers stand for.

    Exchanges with the same sessions, such as XNAS and XNYS, count as one.
    """
    number_of: dict[str, int] = {}
    clocks: list[Clock] = []
    for mic, clock in sorted(market.clocks.items()):
        same = [k for k, known in enumerate(clocks) if _same(clock, known)]
        number_of[mic] = same[0] if same else len(clocks)
        clocks += [] if same else [clock]
    number = market.first_rows["mic"].replace_strict(number_of, return_dtype=pl.Int64).to_numpy()
    return number.astype(np.int64)[security], tuple(clocks)


def _same(one: Clock, other: Clock) -> bool:
    return np.array_equal(one.dates, other.dates) and np.array_equal(one.closes, other.closes, equal_nan=True)


def firm_numbers(security: Ints, market: Market) -> Ints:
    """Number of the firm of each event's security, (N,); two listings of which one names the other are one."""
    return numbered(market.first_rows["symbol"].replace(firms(market.securities))).place[security]


def listed_twice(events: pl.DataFrame, market: Market) -> list[str]:
    """Symbols of firms of which one announcement (or day) has both listings among the events, by firm."""
    own = "announcement_id" if "announcement_id" in events.columns else "date"
    firm = events.select("symbol", own, pl.Series("firm", firm_numbers(securities_of(events, market), market)))
    both = firm.filter(pl.col("symbol").n_unique().over("firm", own) > 1)
    pairs = both.group_by("firm").agg(pl.col("symbol").unique().sort().str.join(" and "))
    return pairs["symbol"].sort().to_list()


def placebo_residuals(estimates: Estimates, market: Market) -> Rowwise:
    """Residuals of all events, a column for each placebo announcement, (N, M); see `side_by_side`."""
    events = estimates.events
    exchange, clocks = exchanges(estimates.location.security, market)
    return side_by_side(
        estimates.residual_rows,
        estimates.date_rows,
        day0=events["date"].to_physical().to_numpy().astype("int64"),
        announcement=clusters(events),
        exchange=exchange,
        clocks=clocks,
    )
