"""Notes on data: only those of days that the windows of the events use."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.report.data_quality import doubtful_symbols, findings_table, findings_used, notes_used, repairs_used

#: Hong Kong was shut on 1 September 2023, a day that its calendar lists.
SHUT = date(2023, 9, 1)
DAY0 = date(2025, 8, 12)


@pytest.fixture(scope="module")
def market() -> mi.Market:
    symbols = ["0700.HK", "NVDA", "AMD"]
    return mi.Market.load(mi.securities().filter(pl.col("symbol").is_in(symbols)), mi.SamplePrices())


def run(market: mi.Market, day0: dict[str, date]) -> mi.StudyResult:
    events = pl.DataFrame({"event_id": list(day0), "symbol": list(day0), "date": list(day0.values())})
    return mi.EventStudy(estimation_window=(-120, -11)).run(events, market)


def doubted(market: mi.Market, *rows: tuple[str | None, date]) -> mi.Market:
    """The same market with warnings about some days."""
    findings = pl.DataFrame(
        [(symbol, day, "conflicting_rows", "warning", 1.0, "a step.") for symbol, day in rows],
        schema=market.findings.schema,
        orient="row",
    )
    return replace(market, findings=findings)


@pytest.mark.parametrize(("day0", "used"), [(date(2023, 9, 14), True), (DAY0, False)])
def test_repairs_of_calendars_are_those_of_the_windows(market, day0, used):
    result = run(market, {"0700.HK": day0, "NVDA": date(2023, 9, 14)})
    assert SHUT in market.repairs["date"]
    assert (SHUT in repairs_used(result)["date"]) is used


def test_findings_are_those_of_the_windows_of_the_security_or_its_benchmark(market):
    early = date(2024, 3, 5)
    made = doubted(
        market, ("NVDA", DAY0), ("NVDA", early), ("AMD", DAY0), ("^GSPC", DAY0), ("^HSI", DAY0), (None, early)
    )
    result = run(made, {"NVDA": DAY0, "0700.HK": early})
    kept = findings_used(result).select("symbol", "date").rows()
    assert kept == [("NVDA", DAY0), ("^GSPC", DAY0), (None, early)]
    assert doubtful_symbols(result) == "NVDA"
    table = findings_table(result)
    assert {row.cells[0].text for row in table.rows} == {"NVDA", "^GSPC", "–"}
    assert "3 more are of days outside the windows of these events." in table.note


def test_nothing_is_told_of_days_outside_the_windows(market):
    made = doubted(market, ("NVDA", date(2024, 3, 5)))
    result = run(made, {"NVDA": DAY0})
    assert findings_table(result) is None
    assert notes_used(result) == list(market.notes)
    told = notes_used(run(doubted(market, ("NVDA", DAY0)), {"NVDA": DAY0}))
    assert len(told) == len(market.notes) + 1


def test_no_event_uses_no_day(market):
    result = run(market, {"NVDA": DAY0}).where(pl.lit(value=False))
    assert repairs_used(result).is_empty()
    assert findings_used(result)["date"].drop_nulls().is_empty()
