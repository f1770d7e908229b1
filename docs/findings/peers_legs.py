"""Compute the table of peers.md on legs: detectable effects of the first leg with the news, with and without donors."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

import marketimpact as mi
from docs.findings.cells import table
from docs.findings.peer_groups import STUDY, cells, detectable_effects, sure_events

#: Name -> whether donors are in the model, whether the return is that of the first leg alone, window.
DESIGNS = {
    "session": (False, False, (0, 1)),
    "session, peers": (True, False, (0, 1)),
    "day 0": (False, False, (0, 0)),
    "first leg": (False, True, (0, 0)),
    "first leg, peers": (True, True, (0, 0)),
}
LEGS = ("overnight", "day")
#: Fewest announcements for which a median is shown.
FEWEST = 5
ROW = {"group": pl.String, "leg": pl.String, "announcement": pl.String, "design": pl.String, "mde": pl.Float64}


def detectable(market: mi.Market) -> pl.DataFrame:
    """Compute the detectable effect of every group, announcement and design, for the same events."""
    by_leg = {leg: market.legs(leg) for leg in LEGS}
    events = sure_events(market).filter(pl.col("day0_leg_certainty") == "sure")
    rows: list[tuple[str, str, str, str, float | None]] = []
    for group, own, donors in cells(market):
        for leg in LEGS:
            given = events.filter(pl.col("symbol").is_in(own), pl.col("day0_leg") == leg)
            if given.height and _have_legs(by_leg[leg], own):
                rows += [(group, leg, *row) for row in _of_leg(given, market, by_leg[leg], donors)]
    return pl.DataFrame(rows, schema=ROW, orient="row").drop_nulls("mde")


def _have_legs(market: mi.Market, symbols: list[str]) -> bool:
    """Check whether any of the securities has a return of this leg."""
    return market.panel.filter(pl.col("symbol").is_in(symbols))["ret"].count() > 0


def _of_leg(
    events: pl.DataFrame, sessions: mi.Market, leg: mi.Market, donors: list[str]
) -> Iterator[tuple[str, str, float | None]]:
    """Yield announcement, design and detectable effect of events with one first leg."""
    results = {}
    for design, (with_donors, is_leg, _) in DESIGNS.items():
        model = mi.StatisticalFactors(donors) if with_donors else mi.MarketModel()
        results[design] = STUDY.but(model=model).run(events, leg if is_leg else sessions)
    windows = {design: window for design, (_, _, window) in DESIGNS.items()}
    for announcement, design, _, mde in detectable_effects(results, windows):
        yield announcement, design, mde


def detectable_table(found: pl.DataFrame) -> str:
    """Tabulate the median detectable effect over sessions, and the median change of every other design."""
    first, *others = DESIGNS
    head = ["group", "first leg", "announcements", "session [0, 1]", *(f"change, {design}" for design in others)]
    if found.is_empty():
        return table(head, [])
    wide = found.pivot("design", index=["group", "leg", "announcement"], values="mde").drop_nulls()
    changes = [(pl.col(design) / pl.col(first) - 1.0).median().alias(design) for design in others]
    counted = wide.group_by("group", "leg", maintain_order=True).agg(pl.len(), pl.col(first).median(), *changes)
    rows = [
        [row["group"], row["leg"], str(row["len"]), f"{row[first]:.2%}", *(f"{row[d]:+.0%}" for d in others)]
        for row in counted.filter(pl.col("len") >= FEWEST).sort("leg", descending=True, maintain_order=True).to_dicts()
    ]
    return table(head, rows)
