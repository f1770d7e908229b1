"""List the columns of each frame for the tables of the data model, which docs/tables.py writes and a test compares.

What a column means is written by hand in the page; its name, type and whether it is needed come from here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

import marketimpact as mi
from marketimpact.core import schema
from marketimpact.estimation.attrition import REASONS

PAGE = Path(__file__).parent / "data_model.md"
CONTRACTS = (
    "Announcements", "Campaigns", "Securities", "CalendarOverrides", "Prices", "Returns", "Benchmark", "Events",
    "SymbolDays", "Exposures", "ShareCounts",
)  # fmt: skip
TYPES = {
    pl.String: "text", pl.Date: "date", pl.Float64: "number", pl.Int64: "whole number", pl.Boolean: "true or false",
    pl.Datetime("us", "UTC"): "instant", pl.List(pl.String): "list of text",
    pl.Time: "time of day",
}  # fmt: skip
HEADS = {
    3: "| column | type | needed | what |\n| --- | --- | --- | --- |",
    2: "| column | type | what |\n| --- | --- | --- |",
    "EventStudy": "| setting | default | what |\n| --- | --- | --- |",
    "Attrition reasons": "| reason | what |\n| --- | --- |",
}
ROW = re.compile(r"^\| `(\w+)` \|(?:.*\|)? (.*) \|$", flags=re.MULTILINE)


def facts() -> dict[str, list[tuple[str, ...]]]:
    """Map each table's name to its rows without meanings: column, type and, for frames handed in, whether needed."""
    found = {name: contract(getattr(schema, name)) for name in CONTRACTS}
    found |= {name: [(c, TYPES[t]) for c, t in frame.schema.items()] for name, frame in answers().items()}
    study = mi.EventStudy()
    found["EventStudy"] = [(f.name, f"`{getattr(study, f.name)!r}`") for f in dataclasses.fields(study)]
    found["Attrition reasons"] = [(name,) for name in REASONS]
    return found


def contract(frame: type[schema.dy.Schema]) -> list[tuple[str, ...]]:
    """List the columns of a frame that a researcher hands in."""
    keys = frame.primary_key()
    rows = []
    for name, column in frame.columns().items():
        needed = "key" if name in keys else "optional" if column.nullable else "yes"
        if column.metadata == schema.PRESENT:
            needed = "yes, cells may be empty"
        rows.append((name, TYPES[column.dtype], needed))
    return rows


def answers() -> Mapping[str, pl.DataFrame]:
    """Return frames that the package gives, from a small study on the simulated prices."""
    firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "0981.HK"]))
    market = mi.Market.load(firms, mi.SamplePrices())
    news = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    events = mi.align(news, market, symbols="all")
    result = mi.EventStudy().run(events, market)
    return {
        "Market.panel": market.panel,
        "Market.sessions": market.sessions,
        "Market.repairs": market.repairs,
        "Market.findings": market.findings,
        "align": events[:, : events.columns.index("align_detail") + 1],
        "StudyResult.estimates": result.estimates,
        "StudyResult.abnormal_returns": result.abnormal_returns,
        "StudyResult.car": result.car(0, 1)[:, : result.car(0, 1).columns.index("true_car") + 1],
        "StudyResult.caar": result.caar(),
        "StudyResult.test": result.test(0, 1),
        "StudyResult.single_tests": result.single_tests(0, 1),
        "StudyResult.attrition": result.attrition,
    }


def sections(text: str) -> dict[str, str]:
    """Map the name of each table to its lines."""
    parts = re.split(r"<!-- table: (.+?) -->\n", text)
    return {name: part.split("<!-- end -->")[0] for name, part in zip(parts[1::2], parts[2::2], strict=True)}


def meanings(text: str) -> dict[str, dict[str, str]]:
    """Map the name of each table and column to its meaning on the page."""
    return {name: dict(ROW.findall(table)) for name, table in sections(text).items()}


def table(name: str, rows: list[tuple[str, ...]], column_meanings: Mapping[str, str]) -> str:
    """Write a table of the page."""
    head = HEADS.get(name) or HEADS[len(rows[0])]
    lines = [" | ".join([f"| `{column}`", *others, f"{column_meanings.get(column, '')} |"]) for column, *others in rows]
    return "\n".join([head, *lines]) + "\n"


def write() -> None:
    """Write names, types and defaults into the page; what they mean stays."""
    text = PAGE.read_text(encoding="utf-8")
    written, found = meanings(text), facts()
    for name, old in sections(text).items():
        text = text.replace(
            f"<!-- table: {name} -->\n{old}", f"<!-- table: {name} -->\n{table(name, found[name], written[name])}"
        )
    PAGE.write_text(text, encoding="utf-8")
