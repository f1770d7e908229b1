"""Compute the tables and figures of h20.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

import marketimpact as mi
from docs.findings.cells import VARIANCE_COLUMNS, p_value, percent, record, table, unsigned, variance_cells
from marketimpact.cli.study_file import read_study
from marketimpact.display import charts
from marketimpact.display.formats import interval, short_percent
from marketimpact.study.headline import headline
from marketimpact.study.summary import path_measure

SEED = "2025-08-12-beijing-discourages-h20"
PRIMARY = (0, 1)


def groups_table(result: mi.StudyResult) -> str:
    rows = []
    for (announcement, group), part in result.by("announcement_id", "group").groups():
        for window in (PRIMARY, (0, 0)):
            tests = part.test(*window)
            car = part.car(*window)["car"]
            effect = [str(car.count()), percent(car.mean())]
            rows.append([announcement, str(group), str(list(window)), *effect, *primary_cells(tests)])
    head = ["announcement", "group", "window", "events", "CAAR", "primary test", "effect", "95% interval", "p"]
    return table([*head, "detectable", "robustness"], rows)


def primary_cells(tests: pl.DataFrame) -> list[str]:
    """Write the primary test with its effect, interval, p and detectable effect, and the robustness tests."""
    told = headline(tests)
    if told is None:
        return ["none", "", "", "", "", ""]
    if not told.valid:
        return [told.test, percent(told.effect), f"not valid: {told.why_not}", "", "", told.robustness]
    ends = interval(told.low, told.high).replace("−", "-")
    return [told.test, percent(told.effect), ends, p_value(told.p), unsigned(told.mde), told.robustness]


def variances_table(result: mi.StudyResult) -> str:
    """Put the constant variance beside the one known the evening before, group by group."""
    rows = [
        [announcement, str(group), str(list(window)), percent(part.car(*window)["car"].mean()),
         *variance_cells(part, window)]
        for (announcement, group), part in result.by("announcement_id", "group").groups()
        for window in (PRIMARY, (0, 0))
    ]  # fmt: skip
    return table(["announcement", "group", "window", "CAAR", *VARIANCE_COLUMNS], rows)


def firms_table(result: mi.StudyResult) -> str:
    part = result.where(pl.col("announcement_id") == SEED)
    day = part.abnormal_returns.filter(pl.col("tau") == 0).select("event_id", pl.col("ret", "ar").name.suffix("_0"))
    frame = part.single_tests(*PRIMARY).join(part.car(*PRIMARY).select("event_id", "se"), on="event_id")
    frame = frame.join(day, on="event_id").join(part.events.select("event_id", "group", "name"), on="event_id")
    rows = [
        [str(r["group"]), r["name"], r["symbol"], percent(r["ret_0"]), percent(r["ar_0"]), percent(r["car"]),
         p_value(r["p"]) + ("" if r["valid_t"] else " (not valid)"), *filtered_cells(r)]
        for r in frame.sort("group", "car", descending=[False, True]).iter_rows(named=True)
    ]  # fmt: skip
    head = ["group", "firm", "symbol", "return day 0", "AR day 0", "CAR [0, 1]", "p (constant variance)"]
    return table([*head, "variance ratio", "95% interval", "p", "p (Romano-Wolf)"], rows)


def filtered_cells(row: dict[str, Any]) -> list[str]:
    """Write ratio, interval, p and p of the family, from the variance known the evening before."""
    if row["p_filtered"] is None:
        return ["", row["note"], "", ""]
    ends = interval(row["ci_low_filtered"], row["ci_high_filtered"]).replace("−", "-")
    ratio = f"{row['variance_ratio']:.2f}"
    return [ratio, ends, p_value(row["p_filtered"]), p_value(row["p_romano_wolf_filtered"])]


def days_table(result: mi.StudyResult) -> str:
    """Average abnormal returns of each group on each date around the seed announcement."""
    part = result.where(pl.col("announcement_id") == SEED)
    frame = part.abnormal_returns.join(part.events.select("event_id", "group"), on="event_id")
    days = frame.filter(pl.col("tau").is_between(-6, 10)).group_by("date", "group").agg(pl.col("ar").mean())
    wide = days.pivot("group", index="date", values="ar").sort("date")
    names = [str(g) for g in part.events["group"].unique().sort()]
    return table(
        ["date", *names],
        [[str(r["date"]), *[percent(r[n]) for n in names]] for r in wide.iter_rows(named=True)],
    )


def robustness_table(prices: mi.FilePrices) -> str:
    """Estimate the seed announcement under other models, estimation windows and benchmarks."""
    plan = read_study("h20")
    rows = []
    for name, model, window, benchmark in (
        ("market model, 240 sessions", mi.MarketModel(), (-250, -11), "benchmark"),
        ("market model, 70 sessions", mi.MarketModel(), (-80, -11), "benchmark"),
        ("market-adjusted", mi.MarketAdjusted(), (-250, -11), "benchmark"),
        ("mean-adjusted", mi.MeanAdjusted(), (-250, -11), "benchmark"),
        ("market model on the sector proxy", mi.MarketModel(), (-250, -11), "sector_proxy"),
    ):
        changed = replace(
            plan,
            study=plan.study.but(model=model, estimation_window=window),
            benchmark=benchmark,
            ids=(SEED,),
        )
        result = changed.run(prices).result
        for (group,), part in result.by("group").groups():
            car = part.caar(*PRIMARY).row(-1, named=True)
            test, _, ends, p, *_ = primary_cells(part.test(*PRIMARY))
            rows.append([name, str(group), str(car["n_events"]), percent(car["caar"]), test, ends, p])
    return table(["specification", "group", "events", "CAAR [0, 1]", "primary test", "95% interval", "p"], rows)


def record_table(result: mi.StudyResult) -> str:
    """Tabulate the record of the study, and what was left out or repaired."""
    market = result.market
    counts = {"not used": result.attrition.height, "repairs": market.repairs.height}
    return record(result, {**counts, "notes": "; ".join(market.notes)})


def firms_figure(result: mi.StudyResult) -> str:
    """Draw every firm at the seed announcement, rounded to 0.1%, as the brief does: SVG."""
    made = mi.brief(result.where(pl.col("announcement_id") == SEED), title="The reaction to 12 August 2025, by firm")
    rounded = made.firms.with_columns(pl.col("car", "low", "high", "car_day0").round(3))
    return charts.to_svg(replace(made, firms=rounded).chart())


def figures(result: mi.StudyResult) -> dict[str, str]:
    """Draw the firms and the path of the CAAR of each group at the seed announcement: SVG by file name."""
    paths = result.where(pl.col("announcement_id") == SEED).by("group").caar(-10, 10, base=-1)
    paths = paths.with_columns(pl.col("caar", "ci_low", "ci_high").round(3))
    ends = paths.filter(tau=10).select("group", "caar").iter_rows()
    titles = {group: f"{group}\n{short_percent(caar)} from session −1 to 10" for group, caar in ends}
    return {"h20_firms.svg": firms_figure(result)} | {
        "h20_" + name.lower().replace(" ", "_").replace("-", "_") + ".svg": charts.to_svg(chart)
        for name, chart in charts.caar_paths(
            paths, by="group", titles=titles, subtitle=path_measure(-1), simulated=False
        )
    }


def remake(prices: mi.FilePrices) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the tables of the page by name, and its figures by file name."""
    result = read_study("h20").run(prices).result
    tables = {
        "groups": groups_table(result),
        "variances": variances_table(result),
        "firms": firms_table(result),
        "days": days_table(result),
        "robustness": robustness_table(prices),
        "record": record_table(result),
    }
    return tables, figures(result)
