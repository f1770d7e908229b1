"""Groups, donors and events that the tables of peers.md share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

import marketimpact as mi
from docs.findings.policy import GROUPS

STUDY = mi.EventStudy(event_window=(0, 1))
TEST = "filtered_placebo_t"
#: Exchanges of the same hours.
HOURS = [("XNAS", "XNYS"), ("XHKG",), ("XSHG", "XSHE"), ("XKRX",), ("XTAI",), ("XTKS",)]
#: Fewest donors with prices that a group on exchanges of the same hours needs.
FEWEST_DONORS = 3


def cells(market: mi.Market) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield group and exchanges, the group's securities and its donors."""
    for group in GROUPS:
        for mics in HOURS:
            listed = market.securities.filter(pl.col("mic").is_in(mics))
            own = listed.filter(pl.col("policy_group") == group)["symbol"].to_list()
            donors = listed.filter(pl.col("policy_group") != group)["symbol"].to_list()
            if own and len(donors) >= FEWEST_DONORS:
                yield f"{group.replace('_', ' ')} ({'/'.join(mics)})", own, donors


def sure_events(market: mi.Market) -> pl.DataFrame:
    """Select events of policy announcements whose session is sure, each firm once."""
    policy = mi.announcements().filter(~pl.col("is_confounder") & pl.col("stance").is_in(["restrictive", "permissive"]))
    events = mi.align(policy.filter(pl.col("confidence") != "low"), market, symbols="all")
    sure = events.filter(pl.col("day0_earliest") == pl.col("day0_latest"))
    return mi.one_listing(sure, market.securities, prefer=["XHKG", "XNAS", "XNYS", "XTAI"])


def detectable_effects(
    results: Mapping[str, mi.StudyResult], windows: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[str, str, int, float | None]]:
    """Yield announcement, name of the result, events and detectable effect, for the events that all results have."""
    kept = set.intersection(*(set(result.events["event_id"]) for result in results.values()))
    events = pl.concat(result.events.select("event_id", "announcement_id") for result in results.values())
    for announcement in sorted(set(events["announcement_id"])):
        condition = (pl.col("announcement_id") == announcement) & pl.col("event_id").is_in(list(kept))
        for name, result in results.items():
            part = result.where(condition)
            if part.events.height and part.events["date"].n_unique() == 1:
                mde = part.test(*windows[name], tests=[TEST])["effect_mde"].item()
                yield announcement, name, part.events.height, mde
