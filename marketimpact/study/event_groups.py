"""Cluster, exchange, firm and sign of each event, and residuals aligned by placebo announcement."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from marketimpact.core.arrays import Ints
from marketimpact.core.factorize import factorize
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.core.own_columns import unknown_column
from marketimpact.errors import SpecificationError
from marketimpact.estimation.estimates import Estimates
from marketimpact.events.exchange_clocks import ExchangeClock
from marketimpact.inference import align_placebo_days
from marketimpact.market.market import Market

__all__ = [
    "aligned_residuals",
    "clusters",
    "direction_signs",
    "exchanges",
    "firm_numbers",
    "listed_twice",
    "securities_of",
]


def clusters(events: pl.DataFrame, column: str | None = None) -> Ints:
    """Code the cluster of each event, (N,): announcements, or days 0 where events have no announcement.

    With `column`, clusters are the values of that column, where an event has one.
    """
    own = "announcement_id" if "announcement_id" in events.columns else "date"
    if column is None:
        return factorize(events[own]).codes
    named = pl.coalesce(pl.format("value {}", pl.col(column).cast(pl.String)), pl.format("without: {}", own))
    return factorize(events.select(named.alias(column)).to_series()).codes


def securities_of(events: pl.DataFrame, market: Market) -> Ints:
    """Look up the row of each event's security among the market's `panel_securities`, (N,)."""
    return events["symbol"].cast(pl.Enum(market.panel_securities["symbol"])).to_physical().to_numpy().astype(np.int64)


def exchanges(security: Ints, market: Market) -> tuple[Ints, tuple[ExchangeClock, ...]]:
    """Code the exchange of each event's security, (N,), and return the clock of each code.

    Exchanges with the same sessions, such as XNAS and XNYS, count as one.
    """
    number_of: dict[str, int] = {}
    clocks: list[ExchangeClock] = []
    for mic, clock in sorted(market.clocks.items()):
        same = [k for k, known in enumerate(clocks) if _same(clock, known)]
        number_of[mic] = same[0] if same else len(clocks)
        clocks += [] if same else [clock]
    number = market.panel_securities["mic"].replace_strict(number_of, return_dtype=pl.Int64).to_numpy()
    return number.astype(np.int64)[security], tuple(clocks)


def _same(one: ExchangeClock, other: ExchangeClock) -> bool:
    return np.array_equal(one.dates, other.dates) and np.array_equal(one.closes, other.closes, equal_nan=True)


def firm_numbers(security: Ints, market: Market) -> Ints:
    """Code the firm of each event's security, (N,); two listings of which one names the other are one firm."""
    return factorize(market.panel_securities["symbol"].replace(market.firms)).codes[security]


def listed_twice(events: pl.DataFrame, market: Market) -> list[str]:
    """List symbols of firms with both listings among the events of one announcement (or day), by firm."""
    own = "announcement_id" if "announcement_id" in events.columns else "date"
    firm = events.select("symbol", own, pl.Series("firm", firm_numbers(securities_of(events, market), market)))
    both = firm.filter(pl.col("symbol").n_unique().over("firm", own) > 1)
    pairs = both.group_by("firm").agg(pl.col("symbol").unique().sort().str.join(" and "))
    return pairs["symbol"].sort().to_list()


def aligned_residuals(estimates: Estimates) -> LazyMatrix:
    """Align the residuals of all events, a column for each placebo announcement, (N, M); see `align_placebo_days`."""
    events = estimates.events
    exchange, clocks = exchanges(estimates.positions.security, estimates.market)
    return align_placebo_days(
        estimates.residual_rows,
        estimates.date_rows,
        day0=events["date"].to_physical().to_numpy().astype("int64"),
        announcement=clusters(events),
        exchange=exchange,
        clocks=clocks,
    )


def direction_signs(events: pl.DataFrame, directions: Mapping[str, int], by: str) -> pl.Series:
    """Find the direction of each event, 1 or -1, (N,), from its value in the column `by`; see `StudyResult.signed`."""
    if not isinstance(directions, Mapping):
        raise SpecificationError(
            f"signed() was given {_described(directions)}; it needs a direction, 1 or -1, for every value of a column: "
            'signed({"restrictive": 1, "permissive": -1}, by="stance"). For a condition of your own make a column of '
            "the events first and name it in by=."
        )
    if not isinstance(by, str) or by not in events.columns:
        raise unknown_column(f"by={by!r}", by, events.columns)
    wrong = {value: sign for value, sign in directions.items() if sign not in (1, -1)}
    if wrong:
        raise SpecificationError(f"directions has {wrong}; a direction is 1 or -1.")
    unnamed = events.filter(~pl.col(by).is_in(list(directions)).fill_null(value=False))
    if unnamed.height:
        values = ", ".join(map(repr, unnamed[by].unique().sort().to_list()))
        raise SpecificationError(
            f"{unnamed.height} events have {by} {values}, which directions does not name. Give each a direction, or "
            f"leave them out: result.where(pl.col({by!r}).is_in({sorted(directions)})).signed(...)."
        )
    return events[by].replace_strict(dict(directions), return_dtype=pl.Int64)


def _described(value: object) -> str:
    """Describe an argument for a message without printing a frame."""
    return f"the expression {value}" if isinstance(value, pl.Expr) else f"a value of type {type(value).__name__}"
