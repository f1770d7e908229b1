"""Compute the tables of legs.md: reactions in the first leg that had the news, beside whole sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

import marketimpact as mi
from docs.findings import regimes
from docs.findings.cells import p_value, percent, table, unsigned
from docs.findings.policy import primary_cells
from marketimpact.inference import adjust
from marketimpact.study.headline import Headline, headline

STUDY = mi.EventStudy(event_window=(0, 1))
WINDOW = (0, 0)
LEGS = ("session", "overnight", "day")
NEW_YORK = ("XNAS", "XNYS")
#: Fewest firms with a return.
LEAST_FIRMS = 3
LEVEL = 0.05
APRIL, APRIL_FIRMS = "2025-04-15-nvidia-8k-h20", ("NVDA", "AMD")
#: Firms of the regimes that have opens from 2016 on.
LONG_FIRMS = ("AMD", "AVGO", "INTC", "MU", "NVDA")
#: One in so many days is run for the rates of legs.
EVERY_DAY = 5


@dataclass(frozen=True, slots=True)
class LegTest:
    """The group's primary test in the first leg with the news, and in the whole session."""

    day: date
    leg: str
    announcements: list[str]
    part: mi.StudyResult
    session: mi.StudyResult
    first: Headline
    whole: Headline


def clocked() -> pl.DataFrame:
    """Select policy announcements with a clock to the minute or hour."""
    policy = mi.announcements().filter(~pl.col("is_confounder") & pl.col("stance").is_in(["restrictive", "permissive"]))
    return policy.filter(pl.col("confidence") != "low", pl.col("time_precision") != "day")


def sure_events(market: mi.Market, **options: object) -> pl.DataFrame:
    """Pair announcements with securities where the first leg with the news is sure."""
    return mi.align(clocked(), market, **options).filter(pl.col("day0_leg_certainty") == "sure")


def sellers(prices: mi.FilePrices) -> mi.CarByLeg:
    """Run the study of the rule on each leg: restricted sellers listed in New York."""
    chosen = (pl.col("policy_group") == "restricted_seller") & pl.col("mic").is_in(NEW_YORK)
    market = mi.Market.load(mi.securities().filter(chosen), prices)
    return mi.car_by_leg(STUDY, sure_events(market, symbols="all"), market, WINDOW)


def leg_tests(found: mi.CarByLeg) -> list[LegTest]:
    """Test every first leg of a session once, with all announcements that it had the news of."""
    session = found.results["session"].events
    tests = []
    for (day, leg), own in session.sort("announced_at").group_by("date", "day0_leg", maintain_order=True):
        names = own["announcement_id"].unique(maintain_order=True).to_list()
        one = pl.col("announcement_id") == names[0]
        part, whole = found.results[str(leg)].where(one), found.results["session"].where(one)
        if part.car(*WINDOW)["car"].count() >= LEAST_FIRMS:
            outcomes = headline(part.test(*WINDOW)), headline(whole.test(*WINDOW))
            tests.append(LegTest(day, str(leg), names, part, whole, *outcomes))  # type: ignore[arg-type]
    return sorted(tests, key=lambda test: (test.day, test.leg == "day"))


def holm(tests: list[LegTest]) -> np.ndarray:
    """Correct the p-values of the first legs for their number; NaN where there is none."""
    p = np.array([np.nan if test.first.p is None else test.first.p for test in tests])
    corrected = np.full(len(p), np.nan)
    corrected[~np.isnan(p)] = adjust(p[~np.isnan(p)], "holm")
    return corrected


def tests_table(tests: list[LegTest], found: mi.CarByLeg) -> str:
    """Tabulate the test of each first leg beside that of the whole session."""
    raw = dict(found.frame.select(pl.concat_str("event_id", "leg", separator="|"), "raw").iter_rows())
    rows = []
    for test, corrected in zip(tests, holm(tests), strict=True):
        events = test.part.car(*WINDOW).drop_nulls("car")
        moves = [raw[f"{event}|{test.leg}"] for event in events["event_id"]]
        is_hidden = corrected < LEVEL and (test.whole.p is None or test.whole.p > LEVEL)
        rows.append([
            str(test.day), test.leg, ", ".join(test.announcements), str(events.height), percent(float(np.mean(moves))),
            percent(events["car"].mean()), test.first.test, *primary_cells(test.first), p_value(corrected),
            percent(test.session.car(*WINDOW)["car"].mean()),
            p_value(test.whole.p) if test.whole.valid else "not valid", "yes" if is_hidden else "",
        ])  # fmt: skip
    head = ["day 0", "first leg", "announcements", "firms", "raw", "CAAR", "primary test", "effect", "95% interval",
            "detectable", "p", "p (Holm)", "session: CAAR", "session: p", "hidden"]  # fmt: skip
    corrected = holm(tests)
    tested = corrected[~np.isnan(corrected)]
    count = f"\n{len(tests)} first legs, {len(tested)} with a valid test, {int((tested < LEVEL).sum())} after Holm.\n"
    return table(head, rows) + count


def choices_table(prices: mi.FilePrices) -> str:
    """Tabulate the legs of 16 April 2025 by benchmark: CAR and t of a forecast error."""
    rows = []
    for benchmark in ("SPY", "^GSPC", "^SOX"):
        firms = mi.securities().filter(pl.col("symbol").is_in(APRIL_FIRMS))
        named = firms.with_columns(pl.lit(benchmark).alias("benchmark"), pl.lit(None, pl.String).alias("leg_benchmark"))
        market = mi.Market.load(named, prices)
        one = clocked().filter(pl.col("announcement_id") == APRIL)
        events = mi.align(one, market, symbols=list(APRIL_FIRMS))
        found = mi.car_by_leg(STUDY, events, market, WINDOW).frame
        for firm in APRIL_FIRMS:
            legs = {row["leg"]: row for row in found.filter(pl.col("symbol") == firm).iter_rows(named=True)}
            rows.append([firm, benchmark, *(_car_cell(legs[leg]) for leg in LEGS)])
    return table(["firm", "benchmark", *LEGS], rows)


def _car_cell(row: dict[str, float | None]) -> str:
    return "no opens" if row["car"] is None else f"{percent(row['car'])} (t {row['t']:+.1f})"


def named_table(prices: mi.FilePrices) -> str:
    """Tabulate the firms that announcements name, in the first leg with the news and in the session."""
    market = mi.Market.load(mi.securities(), prices)
    found = mi.car_by_leg(STUDY, sure_events(market), market, WINDOW).frame
    first = found.filter(pl.col("leg") == pl.col("day0_leg")).drop_nulls("car")
    whole = found.filter(pl.col("leg") == "session").select("event_id", "raw", "car", "p_filtered")
    rows = [
        [str(row["date"]), row["leg"], row["announcement_id"], row["symbol"], percent(row["raw"]), percent(row["car"]),
         unsigned(row["se"]), p_value(row["p_filtered"]), percent(row["raw_right"]), percent(row["car_right"]),
         p_value(row["p_filtered_right"])]
        for row in first.join(whole, on="event_id", validate="1:1").sort("date", "event_id").iter_rows(named=True)
    ]  # fmt: skip
    head = ["day 0", "first leg", "announcement", "firm", "raw", "CAR", "se", "p (filtered)", "session: raw",
            "session: CAR", "session: p (filtered)"]  # fmt: skip
    return table(head, rows)


def sd_table(found: mi.CarByLeg) -> str:
    """Tabulate the median residual standard deviation of each leg over the events."""
    rows = []
    for leg in LEGS:
        estimates = found.results[leg].estimates
        rows.append(
            [leg, str(estimates.height), unsigned(estimates["sigma"].median()), f"{estimates['beta'].median():.2f}"]
        )
    return table(["leg", "events", "residual standard deviation (median)", "beta (median)"], rows)


def regime_tables(prices: mi.FilePrices) -> dict[str, str]:
    """Compute rejection rates of legs on all days by what was known the evening before, as regimes.py does."""
    firms = mi.securities().filter(pl.col("symbol").is_in(LONG_FIRMS))
    market = mi.Market.load(firms, prices)
    found = {}
    for leg in ("overnight", "day"):
        panel = market.legs(leg).panel.drop_nulls(["ret", "market"])
        group, single = regimes.outcomes(panel, EVERY_DAY)
        vix = regimes.evening_vix(prices, group["date"].unique().sort())
        for name, outcome, unit, tests in (
            ("group", group, "days", (*regimes.GROUP_TESTS, regimes.PRIMARY)),
            ("firms", single, "firm days", regimes.FIRM_TESTS),
        ):
            own = outcome.filter(window=str(list(WINDOW))).join(vix, on="date", how="left")
            found[f"{name} {leg}"] = regimes.regimes_table(own, unit, tests)
    return found


def remake(prices: mi.FilePrices) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the tables of the page by name; it has no figures."""
    found = sellers(prices)
    tables = {
        "tests": tests_table(leg_tests(found), found),
        "deviations": sd_table(found),
        "benchmarks": choices_table(prices),
        "named": named_table(prices),
    }
    return tables | regime_tables(prices), {}
