"""Groups, donors and events that the tables of peers.md share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

import marketimpact as mi
from docs.findings.policy import GROUPS

STUDY = mi.EventStudy(event_window=(0, 1))
TEST = "filtered_placebo_t"
#: Name of a model -> the model with donors; the second is the primary peer model.
MODELS = {
    "market model": lambda donors: mi.MarketModel(),
    "statistical factors": mi.StatisticalFactors,
    "peer mean": mi.PeerMean,
    "ridge": mi.RidgePeers,
}
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
    for announcement, name, part, row in announcement_tests(results, windows):
        yield announcement, name, part.events.height, row["effect_mde"]


def announcement_tests(
    results: Mapping[str, mi.StudyResult], windows: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[str, str, mi.StudyResult, dict[str, Any]]]:
    """Yield announcement, name of the result, its events and the row of `TEST`, for the events that all results have.

    Announcements whose events have several days 0 are left out.
    """
    shared = with_same_events(results)
    names = sorted({name for result in shared.values() for name in result.events["announcement_id"]})
    for announcement in names:
        for name, result in shared.items():
            part = result.where(pl.col("announcement_id") == announcement)
            if part.events["date"].n_unique() == 1:
                yield announcement, name, part, part.test(*windows[name], tests=[TEST]).row(0, named=True)


def with_same_events(results: Mapping[str, mi.StudyResult]) -> dict[str, mi.StudyResult]:
    """Keep the events that all results have."""
    kept = set.intersection(*(set(result.events["event_id"]) for result in results.values()))
    return {name: result.where(pl.col("event_id").is_in(list(kept))) for name, result in results.items()}
