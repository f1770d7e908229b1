"""Compute the tables of policy.md."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

import marketimpact as mi
from docs.findings.cells import VARIANCE_COLUMNS, p_value, percent, record, table, unsigned, variance_cells
from marketimpact.display.formats import interval
from marketimpact.inference import adjust
from marketimpact.study.headline import Headline, headline

PRIMARY = (0, 1)
#: Columns of the name of a primary test and of `primary_cells`.
PRIMARY_COLUMNS = ("primary test", "effect", "95% interval", "detectable", "p")
GROUPS = ["restricted_seller", "foreign_toolmaker", "foreign_foundry", "domestic_substitute", "domestic_foundry",
          "domestic_toolmaker", "domestic_buyer"]  # fmt: skip
#: Sanctions on Chinese technology firms before the paper of Allen (2021), by its title.
SANCTIONS = ["2018-04-16-zte-denial-order", "2019-05-15-huawei-entity-list-announced", "2020-05-15-huawei-fdpr",
             "2020-08-17-huawei-fdpr-expanded", "2020-12-18-smic-entity-list"]  # fmt: skip
PHONE, DAY0 = "2023-08-29-huawei-mate60", (0, 0)


def study(market: mi.Market) -> mi.StudyResult:
    """Run every policy announcement whose session is sure, on every security with prices, each firm once."""
    policy = mi.announcements().filter(~pl.col("is_confounder") & pl.col("stance").is_in(["restrictive", "permissive"]))
    return run(policy.filter(pl.col("confidence") != "low"), market)


def phone(market: mi.Market) -> mi.StudyResult:
    """Run the same study on the phone of August 2023, which is no policy announcement."""
    return run(mi.announcements().filter(announcement_id=PHONE), market)


def run(announcements: pl.DataFrame, market: mi.Market) -> mi.StudyResult:
    events = mi.align(announcements, market, symbols="all")
    sure = events.filter(pl.col("day0_earliest") == pl.col("day0_latest"))
    single = mi.one_listing(sure, market.securities, prefer=["XHKG", "XNAS", "XNYS", "XTAI"])
    dated = single.with_columns(pl.col("announced_at").dt.year().alias("year"))
    return mi.EventStudy(event_window=(-10, 20)).run(dated, market)


def own_campaign(result: mi.StudyResult) -> mi.StudyResult:
    return result.clustered("campaign_id")


def cells_of_groups(result: mi.StudyResult) -> Iterator[tuple[list[str], mi.StudyResult]]:
    """Yield the names and the events of each group under the steps of one side, of two announcements or more."""
    for stance in ("restrictive", "permissive"):
        for who in ("US", "CN"):
            for group in GROUPS:
                part = result.where(
                    (pl.col("stance") == stance) & (pl.col("jurisdiction") == who) & (pl.col("policy_group") == group)
                )
                if part.events.height >= 5 and part.events["announcement_id"].n_unique() > 1:
                    yield [f"{who} {stance}", group.replace("_", " ")], part


def groups_table(result: mi.StudyResult) -> str:
    rows, p = [], []
    for names, part in cells_of_groups(result):
        test, car = headline(part.test(*PRIMARY)), part.car(*PRIMARY)["car"]
        p.append(np.nan if test.p is None else test.p)
        counts = [str(part.events["announcement_id"].n_unique()), str(car.count())]
        rows.append([*names, *counts, percent(car.mean()), test.test, *primary_cells(test)])
    tested = ~np.isnan(p)
    holm = np.full(len(p), np.nan)
    holm[tested] = adjust(np.array(p)[tested], "holm")
    for row, adjusted in zip(rows, holm, strict=True):
        row.append(p_value(adjusted))
    return table(["steps", "group", "announcements", "events", "CAAR [0, 1]", *PRIMARY_COLUMNS, "p (Holm)"], rows)


def variances_table(result: mi.StudyResult) -> str:
    """Put the constant variance beside the one known the evening before, group by group."""
    rows = [
        [*names, percent(part.car(*PRIMARY)["car"].mean()), *variance_cells(part, PRIMARY)]
        for names, part in cells_of_groups(result)
    ]
    return table(["steps", "group", "CAAR [0, 1]", *VARIANCE_COLUMNS], rows)


def primary_cells(test: Headline) -> list[str]:
    """Write effect, interval, detectable effect and p of a primary test."""
    if not test.valid:
        return [percent(test.effect), f"not valid: {test.why_not}", "", ""]
    ends = interval(test.low, test.high).replace("−", "-")
    return [percent(test.effect), ends, unsigned(test.mde), p_value(test.p)]


def years_table(result: mi.StudyResult) -> str:
    """Tabulate effects by stance, jurisdiction, year and group; cells of one announcement are not tested."""
    rows, p, places = [], [], []
    for (stance, who, year), steps in result.by("stance", "jurisdiction", "year").groups():
        counts = steps.events["announcement_id"].n_unique(), steps.events["date"].n_unique()
        row = [f"{who} {stance}", str(year), f"{counts[0]} ({counts[1]})"]
        for group in GROUPS:
            part = steps.where(pl.col("policy_group") == group)
            if not part.car(*PRIMARY)["car"].count():
                row.append("")
                continue
            test = headline(part.test(*PRIMARY))
            car = part.car(*PRIMARY)["car"]
            row.append(f"{percent(car.mean())} ({car.count()}; {unsigned(test.mde) or 'unknown'})")
            if part.events["announcement_id"].n_unique() > 1 and test.p is not None:
                p.append(test.p)
                places.append((len(rows), len(row) - 1))
        rows.append(row)
    holm = adjust(np.array(p, dtype=float), "holm")
    for (line, column), raw, adjusted in zip(places, p, holm, strict=True):
        mark = " (a)" if adjusted < 0.05 else " *" if raw < 0.05 else ""
        rows[line][column] += mark
    sides = ["US restrictive", "CN restrictive", "US permissive", "CN permissive"]
    order = sorted(rows, key=lambda row: (sides.index(row[0]) if row[0] in sides else len(sides), row[0], row[1]))
    count = f"\n{len(p)} cells tested, {sum(x < 0.05 for x in p)} of them below 0.05, {sum(holm < 0.05)} after Holm.\n"
    return table(["steps", "year", "announcements (dates)", *[g.replace("_", " ") for g in GROUPS]], order) + count


def targets_of(result: mi.StudyResult) -> mi.StudyResult:
    """Select events of securities that their announcement names."""
    named = mi.announcements().select("announcement_id", pl.col("targets").alias("symbol")).explode("symbol")
    pairs = named.select(pl.concat_str("announcement_id", pl.lit(":"), "symbol"))["announcement_id"]
    return result.where(pl.col("event_id").is_in(pairs.implode()))


def published_table(result: mi.StudyResult, launch: mi.StudyResult) -> str:
    """Put printed figures beside those of our firms: policy steps in `result`, the phone of August 2023 in `launch`."""
    abroad = ["restricted_seller", "foreign_toolmaker"]
    cases = [
        ("ZTE banned, 2018-04-16: US suppliers named", "-3.33% (median, tier 1)", PRIMARY,
         targets_of(result).where(pl.col("announcement_id") == "2018-04-16-zte-denial-order")),
        ("the same: US chip and tool makers at large", "", PRIMARY,
         result.where((pl.col("announcement_id") == "2018-04-16-zte-denial-order")
                      & pl.col("policy_group").is_in(abroad) & (pl.col("country") == "US"))),
        ("ZTE reprieve, 2018-05-13: US chip and tool makers", "+1.56% (median, tier 1 US)", PRIMARY,
         result.where((pl.col("announcement_id") == "2018-05-13-trump-zte-reprieve")
                      & pl.col("policy_group").is_in(abroad) & (pl.col("country") == "US"))),
        ("Huawei listed, 2019-05-15: US suppliers named", "-2.20% (sanctions on Chinese technology firms)", PRIMARY,
         targets_of(result).where((pl.col("announcement_id") == "2019-05-15-huawei-entity-list-announced")
                                  & (pl.col("country") == "US"))),
        ("sanctions to 2020: US firms named", "-2.20%", PRIMARY,
         targets_of(result).where(pl.col("announcement_id").is_in(SANCTIONS) & (pl.col("country") == "US"))),
        ("entity listings: US firms named, 20 sessions", "about -2.5% (recalled, not seen)", (0, 20),
         targets_of(result).where((pl.col("instrument") == "entity_list") & (pl.col("stance") == "restrictive")
                                  & (pl.col("country") == "US"))),
        ("Huawei's phone, 2023-08-29, day 0: Chinese toolmakers", "+1.62% (median, SMIC suppliers)", DAY0,
         launch.where(pl.col("policy_group") == "domestic_toolmaker")),
        ("the same: Chinese designers of chips", "+2.52% (median, SMIC customers)", DAY0,
         launch.where(pl.col("policy_group") == "domestic_substitute")),
        ("the same: Chinese foundries", "", DAY0, launch.where(pl.col("policy_group") == "domestic_foundry")),
        ("the same: all three", "+1.53% (median, Huawei suppliers)", DAY0,
         launch.where(pl.col("policy_group").is_in(["domestic_toolmaker", "domestic_substitute",
                                                    "domestic_foundry"]))),
    ]  # fmt: skip
    rows = []
    for name, theirs, window, part in cases:
        frame = part.car(*window).drop_nulls("car")
        if frame.is_empty():
            rows.append([name, theirs, "no firm of ours with a sure session", *[""] * 8])
            continue
        test = headline(part.test(*window))
        firms = ", ".join(sorted(set(frame["symbol"])))
        rows.append([name, theirs, percent(frame["car"].mean()), percent(float(frame["car"].median())),
                     str(frame["date"].n_unique()), test.test, *primary_cells(test),
                     f"{frame.height}: {firms}"])  # fmt: skip
    head = ["event", "published", "our mean", "our median", "dates", *PRIMARY_COLUMNS, "events"]
    return table(head, rows)


def chinese_rounds(result: mi.StudyResult) -> str:
    """Tabulate the entity listings that Lu and Ma study: first rounds negative for Chinese manufacturers, then less."""
    listed = result.where(
        (pl.col("instrument") == "entity_list")
        & (pl.col("stance") == "restrictive")
        & (pl.col("jurisdiction") == "US")
        & (pl.col("country") == "CN")
    )
    rows = []
    for (name,), part in listed.by("announcement_id").groups():
        path = part.caar(*PRIMARY).row(-1, named=True)
        test = headline(part.test(*PRIMARY))
        rows.append([str(name), str(path["n_events"]), percent(path["caar"]), test.test, *primary_cells(test)])
    return table(["entity listing", "Chinese firms", "CAAR [0, 1]", *PRIMARY_COLUMNS], rows)


def apart(result: mi.StudyResult) -> mi.StudyResult:
    """Keep the first of announcements within five days of each other, so that no windows overlap."""
    first, last = [], None
    dated = result.events.select("announcement_id", "announced_at").unique().sort("announced_at", "announcement_id")
    for name, instant in dated.iter_rows():
        if last is None or (instant - last).days > 5:
            first.append(name)
            last = instant
    return result.where(pl.col("announcement_id").is_in(first))


def contrasts_table(result: mi.StudyResult) -> str:
    """Tabulate sellers less substitutes; the years of a split that was seen in the data have no p-values."""
    by_us, by_cn = (pl.col("jurisdiction") == who for who in ("US", "CN"))
    restrictive, permissive = (pl.col("stance") == stance for stance in ("restrictive", "permissive"))
    early = pl.col("announced_at").dt.year() < 2024
    seller, substitute = (pl.col("policy_group") == g for g in ("restricted_seller", "domestic_substitute"))
    american = result.where(restrictive & by_us)
    rows = []
    for name, part, planned in (
        ("US restrictive", american, True),
        ("US restrictive, first of those within five days", apart(american), True),
        ("the same, to 2023", apart(american.where(early)), False),
        ("the same, from 2024", apart(american.where(~early)), False),
        ("CN restrictive", result.where(restrictive & by_cn), True),
        ("US permissive", result.where(permissive & by_us), True),
    ):
        tests = {r["test"]: r for r in mi.difference(part, seller, substitute, *PRIMARY).iter_rows(named=True)}
        row = tests["forecast_error"]
        p = [tests[t] for t in ("forecast_error", "date_means_t", "sign_flip")]
        written = [p_value(t["p_value"]) if t["valid"] else "not valid" for t in p] if planned else ["no test"] * 3
        rows.append([name, str(row["n_announcements"]), percent(row["estimate"]), unsigned(row["se"]),
                     unsigned(row["mde"]), *written])  # fmt: skip
    head = ["steps", "announcements", "sellers less substitutes, CAR [0, 1]", "se", "detectable"]
    return table([*head, "p (forecast error)", "p (t over dates)", "p (sign patterns)"], rows)


def mirror_table(result: mi.StudyResult) -> str:
    restrictive = result.where(pl.col("stance") == "restrictive")
    made = mi.mirror(restrictive, *PRIMARY)
    rows = [
        [r["side"], r["steps_by"], str(r["n_clusters"]), str(r["n_events"]), percent(r["mean_car"]), unsigned(r["se"]),
         unsigned(r["mde"]), p_value(r["p"])]
        for r in made.iter_rows(named=True)
    ]  # fmt: skip
    notes = "; ".join(made["note"].drop_nulls().unique(maintain_order=True))
    head = ["the firm is", "steps by", "clusters", "events", "mean CAR [0, 1]", "se", "detectable", "p"]
    return table(head, rows) + f"\n{notes}.\n"


def clean_table(result: mi.StudyResult) -> str:
    rows = []
    for group in ("restricted_seller", "domestic_substitute"):
        part = result.where(
            (pl.col("stance") == "restrictive") & (pl.col("jurisdiction") == "US") & (pl.col("policy_group") == group)
        )
        found = mi.audit(part).filter((pl.col("where") == "event window") & (pl.col("relation") == "security"))
        both = mi.with_and_without(part, found, PRIMARY)
        hit = pl.col("event_id").is_in(found["event_id"].implode())
        for sample, chosen in (("all", pl.lit(True)), ("clean", ~hit), ("contaminated only", hit)):
            car = part.where(chosen).car(*PRIMARY).drop_nulls("car")
            test = headline(both.filter(sample=sample))
            rows.append([group.replace("_", " "), sample, str(car.height), str(car["date"].n_unique()),
                         percent(car["car"].mean()), test.test, *primary_cells(test)])  # fmt: skip
    return table(["group", "sample", "events", "dates", "CAAR [0, 1]", *PRIMARY_COLUMNS], rows)


def remake(prices: mi.FilePrices) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the tables of the page by name; it has no figures."""
    market = mi.Market.load(mi.securities(), prices)
    result = study(market)
    tables = {
        "groups": groups_table(result),
        "variances": variances_table(result),
        "years": years_table(result),
        "published": published_table(result, phone(market)),
        "entity listings": chinese_rounds(result),
        "sellers less substitutes": contrasts_table(result),
        "mirror": mirror_table(result),
        "contaminated": clean_table(result),
        "record": record(result),
    }
    return tables, {}
