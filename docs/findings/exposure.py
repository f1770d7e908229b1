"""Compute the tables of exposure.md."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl

import marketimpact as mi
from docs.findings.cells import p_value, percent, table, unsigned
from docs.findings.regimes import NOMINAL, RATIO_EDGES, RATIO_NAMES, rate
from marketimpact.display.formats import interval
from marketimpact.inference import adjust

WINDOW = (0, 1)
#: Roles of makers of chips, of their tools, and of servers.
ROLES = (
    "gpu_designer", "cpu_foundry", "ai_asic_designer", "mobile_chip_designer", "rf_chip_designer", "ai_edge_designer",
    "memory", "analog", "analog_power", "analog_auto", "foundry", "equipment", "server",
)  # fmt: skip
TOOLS, CHINA = "makes_tools", "china_revenue_share"
#: Every how many ordinary days slopes are computed: for the main table (1 uses every day), of these for other windows,
#: and for GLS, which takes ten times as long.
STEP, STEP_VARIANT, STEP_SLOW = 1, 2, 8
#: p-values of `ExposureSlope.frame`, and what the tables call them.
P_VALUES = {"hc1_p": "HC1", "p_value": "z", "p_rank": "rank", "p_filtered": "filtered"}
#: What else is tried on ordinary days: title, settings of `mi.exposure_slope`.
VARIANTS = (
    ("one session", {"window": (0, 0)}),
    ("two sessions", {"window": (0, 1)}),
    ("five sessions", {"window": (0, 4)}),
    ("two sessions, abnormal returns", {"window": (0, 1), "abnormal": True}),
    ("two sessions, GLS", {"window": (0, 1), "method": "gls"}),
)
SIDES = (("US restrictive", "US", "restrictive"), ("US permissive", "US", "permissive"),
         ("CN restrictive", "CN", "restrictive"))  # fmt: skip
CALENDAR_DAYS_APART = 5
HEAD = ("announcement", "firms", "slope", "usual", "difference, 95%", "p", "p (Holm)", "detectable", "variance ratio",
        "z: p", "rank: p", "HC1: p (not valid)")  # fmt: skip


def remake(prices: mi.FilePrices) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the tables of the page by name; it has no figures."""
    market = load(prices)
    events = announced(market)
    days = ordinary_days(market)
    main = outcomes(market, days, {"window": WINDOW})
    tables = {
        "days": days_table(market, main),
        "size": size_table(main),
        "variants": variants_table(market, days),
    }
    slopes = {name: slopes_of(market, events, name) for name in (TOOLS, CHINA)}
    tables["toolmakers"], tables["china"] = (slopes_table(slopes[name]) for name in (TOOLS, CHINA))
    tables["legs"] = legs_table(market, events)
    tables["means"] = means_table(market, events)
    return tables, {}


def load(prices: mi.FilePrices) -> mi.Market:
    """Load the firms of the page, with a column that is 1 for makers of chip equipment."""
    firms = mi.securities().filter(pl.col("mic").is_in(["XNAS", "XNYS"]), pl.col("role").is_in(ROLES))
    return mi.Market.load(firms.with_columns((pl.col("role") == "equipment").alias(TOOLS)), prices)


def announced(market: mi.Market) -> pl.DataFrame:
    """Align the announcements of the rule whose day 0 is sure, on every firm."""
    policy = mi.announcements().filter(
        ~pl.col("is_confounder"), pl.col("stance").is_in(["restrictive", "permissive"]), pl.col("confidence") != "low"
    )
    events = mi.align(policy, market, symbols="all")
    return events.filter(pl.col("day0_earliest") == pl.col("day0_latest"))


def ordinary_days(market: mi.Market) -> pl.Series:
    """List the sessions whose window touches no day 0, sure or not, of any announcement, confounders among them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mi.MarketImpactWarning)
        known = mi.align(mi.announcements(), market, symbols="all").drop_nulls("date")
    sessions = market.panel.select("date").unique().sort("date")["date"]
    number = {day: n for n, day in enumerate(sessions)}
    touched: set[int] = set()
    for first, last in known.select("day0_earliest", "day0_latest").unique().drop_nulls().rows():
        hit = [number[day] for day in (first, last) if day in number]
        touched |= {n + shift for n in range(min(hit), max(hit) + 1) for shift in (-1, 0, 1)} if hit else set()
    free = [day for n, day in enumerate(sessions) if n not in touched]
    return pl.Series("date", free, dtype=pl.Date)


def outcomes(market: mi.Market, days: pl.Series, settings: Mapping[str, object], step: int = 1) -> pl.DataFrame:
    """Compute the slope on the tools dummy for every ordinary day: columns of `ExposureSlope.frame` and ``date``."""
    some = (
        days.gather_every(STEP * step).to_frame().with_columns(pl.col("date").cast(pl.String).alias("announcement_id"))
    )
    events = some.join(market.panel_securities.select("symbol"), how="cross").with_columns(
        pl.format("{}:{}", "date", "symbol").alias("event_id")
    )
    found = slopes_of(market, events, TOOLS, settings)
    return found.with_columns(pl.col("announcement_id").str.to_date().alias("date")) if found.height else found


def days_table(market: mi.Market, main: pl.DataFrame) -> str:
    """Say which firms and days were used."""
    firms = ", ".join(sorted(market.panel_securities["symbol"]))
    row = [firms, f"{main['n_firms'].min()} to {main['n_firms'].max()}", str(main.height), str(main["date"].min()),
           str(main["date"].max())]  # fmt: skip
    return table(["firms", "firms with returns", "ordinary days", "first", "last"], [row])


def size_table(main: pl.DataFrame) -> str:
    """Tabulate rejections by the variance of the slope known the evening before, and how often slopes are found."""
    parts = [("all days", main)]
    edges = (-np.inf, *RATIO_EDGES, np.inf)
    for name, low, high in zip(RATIO_NAMES, edges[:-1], edges[1:], strict=True):
        parts.append(
            (f"variance ratio {name}", main.filter(pl.col("variance_ratio").is_between(low, high, closed="right")))
        )
    rows = []
    for name, part in parts:
        if part.is_empty():
            continue
        cells = [rate(part.select("date", p=column)) for column in P_VALUES]
        valid = [rate(part.filter(flag).select("date", p=p))
                 for flag, p in (("valid", "p_value"), ("valid_filtered", "p_filtered"))]  # fmt: skip
        rows.append([name, str(part.height), *cells, *valid, *power_cells(part)])
    head = ["the evening before", "days", *P_VALUES.values(), "z where valid", "filtered where valid",
            "z finds its detectable slope", "filtered finds its detectable slope"]  # fmt: skip
    return table(head, rows)


def power_cells(part: pl.DataFrame) -> list[str]:
    """Add the detectable slope to each day's, of either sign, and count how often it is found.

    A slope planted on the event's days alone changes nothing in the past, so that only the estimate moves.
    """
    cells = []
    for ending in ("", "_filtered"):
        deviation, mde = pl.col("slope") - pl.col("past_mean"), pl.col(f"mde{ending}")
        half = (pl.col(f"ci_high{ending}") - pl.col(f"ci_low{ending}")) / 2
        shares = [part.select(((deviation + sign * mde).abs() > half).mean()).item() for sign in (1, -1)]
        cells.append("" if None in shares else f"{np.mean(shares):.0%}")
    return cells


def variants_table(market: mi.Market, days: pl.Series) -> str:
    """Tabulate rejections of other windows, returns and methods, and their median detectable slope."""
    rows = []
    for title, settings in VARIANTS:
        slow = "method" in settings
        part = outcomes(market, days, settings, STEP_SLOW if slow else STEP_VARIANT)
        if part.is_empty():
            continue
        cells = [rate(part.select("date", p=column)) for column in P_VALUES]
        mde = [unsigned(part[name].median()) for name in ("mde", "mde_filtered")]  # type: ignore[arg-type]
        rows.append([title, str(part.height), *cells, *mde])
    return table(["slope of", "days", *P_VALUES.values(), "detectable: z", "detectable: filtered"], rows)


def slopes_of(
    market: mi.Market, events: pl.DataFrame, exposure: str, settings: Mapping[str, object] = MappingProxyType({})
) -> pl.DataFrame:
    """Compute the slope of every announcement that has one: ``announcement_id`` and `ExposureSlope.frame`."""
    with warnings.catch_warnings():  # bases differ: the page says so
        warnings.simplefilter("ignore", mi.MarketImpactWarning)
        try:
            found = mi.exposure_slope(market, events, exposure, **{"window": WINDOW, **settings})  # type: ignore[arg-type]
        except mi.DataError:  # no two announcements have eight firms with the exposure
            return pl.DataFrame()
    if isinstance(found, mi.ExposureSlopes):
        return found.slopes
    return found.frame.with_columns(pl.lit(found.announcement).alias("announcement_id"))


def slopes_table(slopes: pl.DataFrame) -> str:
    """Tabulate the slope of every announcement with Holm's correction over them."""
    if slopes.is_empty():
        return table(HEAD, [])
    tested = slopes["p_filtered"].fill_null(np.nan).to_numpy()
    holm = np.full(len(tested), np.nan)
    holm[~np.isnan(tested)] = adjust(tested[~np.isnan(tested)], "holm")
    rows = []
    for row, adjusted in zip(slopes.iter_rows(named=True), holm, strict=True):
        mark, filtered = ("" if row[name] else " (not valid)" for name in ("valid", "valid_filtered"))
        ratio = row["variance_ratio"]
        rows.append([
            row["announcement_id"], str(row["n_firms"]), percent(row["slope"]), percent(row["past_mean"]),
            ends(row["ci_low_filtered"], row["ci_high_filtered"]), p_value(row["p_filtered"]) + filtered,
            p_value(adjusted), unsigned(row["mde_filtered"]), "" if ratio is None else f"{ratio:.2f}",
            p_value(row["p_value"]) + mark, p_value(row["p_rank"]) + mark, p_value(row["hc1_p"]),
        ])  # fmt: skip
    counts = [int((p < NOMINAL).sum()) for p in (tested, holm, slopes["p_value"], slopes["hc1_p"])]
    return table(HEAD, rows) + (
        f"\n{len(rows)} announcements. p below 0.05: filtered {counts[0]}, after Holm {counts[1]}; z {counts[2]}; "
        f"HC1 {counts[3]}.\n"
    )


def legs_table(market: mi.Market, events: pl.DataFrame) -> str:
    """Tabulate the slope of toolmakers over the night and the day of session 0; empty without opening prices."""
    head = ["announcement", "night: slope", "p", "detectable", "day: slope", "p", "detectable"]
    frames = []
    with warnings.catch_warnings():  # benchmarks without opens, which raw returns do not need
        warnings.simplefilter("ignore", mi.MarketImpactWarning)
        for leg in ("overnight", "day"):
            try:
                slopes = slopes_of(market.legs(leg), events, TOOLS, {"window": (0, 0)})
            except mi.SpecificationError:
                return table(head, [])
            if slopes.is_empty():
                return table(head, [])
            frames.append(slopes)
    names = sorted(set(frames[0]["announcement_id"]) & set(frames[1]["announcement_id"]))
    rows = []
    for name in names:
        cells = [name]
        for slopes in frames:
            row = slopes.row(by_predicate=pl.col("announcement_id") == name, named=True)
            mark = "" if row["valid_filtered"] else " (not valid)"
            cells += [percent(row["slope"]), p_value(row["p_filtered"]) + mark, unsigned(row["mde_filtered"])]
        rows.append(cells)
    counts = [f"{int((s['p_filtered'] < NOMINAL).sum())} before Holm, {after_holm(s)} after" for s in frames]
    return table(head, rows) + f"\np below 0.05: night {counts[0]}; day {counts[1]}.\n"


def after_holm(slopes: pl.DataFrame) -> int:
    """Count the announcements whose filtered p stays below 0.05 after Holm's correction."""
    tested = slopes["p_filtered"].drop_nulls().to_numpy()
    return int((adjust(tested, "holm") < NOMINAL).sum())


def ends(low: float | None, high: float | None) -> str:
    return "undefined" if low is None or high is None else interval(low, high).replace("−", "-")


def apart(events: pl.DataFrame) -> Sequence[str]:
    """List the first of announcements within five days of each other."""
    kept, last = [], None
    dated = events.select("announcement_id", "announced_at").unique().sort("announced_at", "announcement_id")
    for name, instant in dated.iter_rows():
        if last is None or (instant - last).days > CALENDAR_DAYS_APART:
            kept.append(name)
            last = instant
    return kept


def means_table(market: mi.Market, events: pl.DataFrame) -> str:
    """Tabulate the mean slope over the announcements of one side and stance."""
    rows = []
    for exposure in (TOOLS, CHINA):
        for title, who, stance in SIDES:
            part = events.filter(pl.col("jurisdiction") == who, pl.col("stance") == stance)
            part = part.filter(pl.col("announcement_id").is_in(apart(part)))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", mi.MarketImpactWarning)
                    found = mi.exposure_slope(market, part, exposure, WINDOW)
            except mi.MarketImpactError:
                continue
            if isinstance(found, mi.ExposureSlopes):
                rows += [mean_cells(exposure, title, row) for row in found.frame.iter_rows(named=True)]
    return table(["exposure", "steps", "announcements", "test", "mean slope", "95% interval", "p", "detectable"], rows)


def mean_cells(exposure: str, title: str, row: dict[str, object]) -> list[str]:
    low, high, note = row["ci_low"], row["ci_high"], "" if row["valid"] else " (not valid)"
    return [exposure, title, str(row["n_dates"]), str(row["test"]), percent(row["slope"]), ends(low, high) + note,
            p_value(row["p_value"]), unsigned(row["mde"])]  # type: ignore[arg-type]  # fmt: skip
