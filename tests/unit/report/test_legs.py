"""Legs in briefs and reports: means by group, dashes with their reasons, and nothing without opens."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

import marketimpact as mi
from marketimpact import report
from marketimpact.report.leg_table import CAPTION
from marketimpact.report.sections import sections

SYMBOLS = ["NVDA", "AMD", "688256.SS", "0981.HK"]
IDS = ["2025-08-12-beijing-discourages-h20", "2025-08-10-15pct-revenue-share"]


class WithoutOpens:
    """The sample as a source without opens gives it."""

    def read(self, symbols, first=None, last=None):
        table = mi.SamplePrices().read(symbols, first, last)
        return type(table)(**{**vars(table), "frame": table.frame.drop("open")})


def study_of(source: object, **columns: pl.Expr) -> mi.StudyResult:
    market = mi.Market.load(mi.securities().filter(pl.col("symbol").is_in(SYMBOLS)), source)
    chosen = mi.announcements().filter(pl.col("announcement_id").is_in(IDS))
    events = mi.align(chosen, market, symbols=SYMBOLS).with_columns(group="country", **columns)
    return mi.EventStudy().run(events, market)


@pytest.fixture(scope="module")
def result() -> mi.StudyResult:
    return study_of(mi.SamplePrices())


@pytest.fixture(scope="module")
def brief(result) -> mi.Brief:
    return mi.brief(result)


def test_means_of_groups_are_those_of_the_events(result, brief):
    """By plain closes and opens of the sample, without the package's legs."""
    prices = mi.SamplePrices().read(SYMBOLS).frame
    prices = prices.with_columns(before=pl.col("close").shift(1).over("symbol"))
    plain = {
        "session": pl.col("close") / pl.col("before") - 1,
        "overnight": pl.col("open") / pl.col("before") - 1,
        "day": pl.col("close") / pl.col("open") - 1,
    }
    own = result.events.join(prices, on=["symbol", "date"], how="left", validate="m:1").with_columns(**plain)
    assert brief.legs is not None
    frame = brief.legs.frame
    ids = result.events.sort("announced_at")["announcement_id"].unique(maintain_order=True).to_list()
    for row in frame.iter_rows(named=True):
        part = own.filter(pl.col("announcement_id") == ids[row["announcement"] - 1], pl.col("group") == row["group"])
        assert row["n_events"] == part.height
        has_leg = part if row["leg"] != "overnight" else part.filter(pl.col("day0_leg") == "overnight")
        assert row["n_legs"] == has_leg.height
        expected = has_leg[row["leg"]].mean()
        assert row["ret"] == (None if expected is None else pytest.approx(expected, abs=1e-12))
    assert frame["leg"].unique(maintain_order=True).to_list() == ["session", "overnight", "day"]
    assert frame.filter(pl.col("leg") == "overnight")["n_legs"].to_list().count(0) == 1  # China on 12 August


def test_a_leg_before_the_news_is_a_dash_with_its_reason(brief):
    table = brief.legs.table()
    (row,) = [row for row in table.rows if row.cells[0].text == "2. CN"]
    assert [cell.text for cell in row.cells][3] == "–"
    assert "Without overnight (CN; 2 events): the news came after the open of day 0." in table.note
    assert "against 000300.SS, 2800.HK, SPY; the open of an index (000300.SS) can be stale" in table.note


def test_every_format_and_the_terminal_have_the_legs(result, brief, tmp_path):
    assert "overnight" in repr(brief)
    assert all(len(line) <= 80 for line in repr(brief).splitlines())
    assert CAPTION in brief.html()
    for name in ("report.html", "report.md", "report.tex"):
        text = mi.write_report(result, tmp_path / name).read_text(encoding="utf-8")
        assert CAPTION in text
    tables = report.tables(result)
    assert tables["car_by_leg"].height == 3 * result.events.height
    chosen = tables["car_by_leg"].filter(pl.col("symbol") == "NVDA", pl.col("leg") == "overnight")
    assert chosen["se"].null_count() == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_the_csv_of_the_brief_has_the_legs_of_every_event(result, sign, tmp_path):
    """Returns by plain closes and opens; abnormal ones have the sign of the result."""
    made = mi.brief(result.signed(dict.fromkeys(result.events["group"].unique(), sign), by="group"))
    made.save(tmp_path / "brief.csv")
    rows = pl.read_csv(tmp_path / "brief.csv", infer_schema_length=None, try_parse_dates=True)
    prices = mi.SamplePrices().read(SYMBOLS).frame.with_columns(before=pl.col("close").shift(1).over("symbol"))
    own = rows.join(prices, on=["symbol", "date"], how="left", validate="m:1")
    plain = {"session": own["close"] / own["before"], "overnight": own["open"] / own["before"],
             "day": own["close"] / own["open"]}  # fmt: skip
    of_legs = report.tables(result)["car_by_leg"]
    for leg, ratio in plain.items():
        has_leg = own[f"ret_{leg}_leg"].is_not_null()
        assert (own[f"ret_{leg}_leg"] - (ratio - 1)).abs().drop_nulls().max() < 1e-12
        cars = own.select("event_id").join(of_legs.filter(pl.col("leg") == leg), on="event_id", how="left")["car"]
        assert has_leg.to_list() == cars.is_not_null().to_list()
        assert (own[f"car_{leg}_leg"] - sign * cars).abs().drop_nulls().max() < 1e-12
    late = rows.filter(pl.col("ret_overnight_leg").is_null())
    assert late.height == 2
    assert all("overnight: the window has no overnight leg after the news" in note for note in late["legs_note"])
    assert not {name for name in mi.brief(study_of(WithoutOpens())).firms.columns if name.endswith("_leg")}


def test_a_firm_without_opens_is_a_reason(result):
    class Partly:
        def read(self, symbols, first=None, last=None):
            table = mi.SamplePrices().read(symbols, first, last)
            own = pl.when(pl.col("symbol") != "AMD").then("open").alias("open")
            return type(table)(**{**vars(table), "frame": table.frame.with_columns(own)})

    made = mi.brief(study_of(Partly()))
    assert "Without overnight and day (US; 2 events): too_few_observations: the security has no usable opens: 0" in (
        made.legs.table().note
    )
    lacking = made.firms.filter(pl.col("symbol") == "AMD")
    assert lacking["ret_session_leg"].null_count() == 0
    assert lacking["ret_day_leg"].null_count() == lacking.height == 2
    assert all("day: too_few_observations: the security has no usable opens" in note for note in lacking["legs_note"])


def test_benchmark_and_absence_of_legs_are_chosen(result, tmp_path):
    content = report.report_content(result, legs="benchmark")
    note = report.brief_of(content).legs.table().note
    assert "against 000300.SS, ^GSPC, ^HSI; the open of an index (000300.SS, ^GSPC, ^HSI) can be stale" in note
    without = report.report_content(result, legs="none")
    assert report.brief_of(without).legs is None
    assert "car_by_leg" not in report.report_tables(without)
    with pytest.raises(mi.SpecificationError, match=r"legs='fund': choose from 'leg_benchmark', 'benchmark', 'none'"):
        mi.write_report(result, tmp_path / "report.html", legs="fund")


def test_without_opens_nothing_changes(result):
    bare = study_of(WithoutOpens())
    made = mi.brief(bare)
    assert made.legs is None
    assert "overnight" not in repr(made)
    assert "car_by_leg" not in report.tables(bare)
    assert bare.market.fingerprint != result.market.fingerprint
    assert bare.car(0, 1).equals(result.car(0, 1))


def test_an_unknown_leg_is_a_dash(result):
    unknown = study_of(mi.SamplePrices(), day0_leg=pl.lit(None, pl.String))
    table = mi.brief(unknown).legs.table()
    assert {cell.text for row in table.rows for cell in row.cells[3:]} == {"–"}
    assert "not known whether the news came before or after the open of day 0" in table.note


@pytest.mark.parametrize("case", ["event window", "volumes", "own events"])
def test_results_that_have_no_legs_have_reports(result, case):
    market = result.market
    if case == "event window":
        other = mi.EventStudy(event_window=(1, 5)).run(result.events, market)
    elif case == "volumes":
        other = mi.EventStudy(model=mi.MeanAdjusted()).run(result.events, market.volumes())
    else:
        other = mi.EventStudy().run(result.events.select("event_id", "symbol", "date"), market)
    content = report.report_content(other)
    assert content.legs is None
    assert sections(content)


def test_news_in_the_session_has_no_overnight_leg(result):
    """Eleven o'clock in New York: one event, one row, one dash."""
    row = {
        "announcement_id": "own", "announced_at": datetime(2025, 8, 12, 15, 0, tzinfo=UTC), "time_precision": "minute",
        "stance": "none", "headline": "Eleven in New York", "targets": ["NVDA"],
    }  # fmt: skip
    events = mi.align(pl.DataFrame([row]).with_columns(pl.col("announced_at").cast(pl.Datetime("us", "UTC"))),
                      result.market)  # fmt: skip
    made = mi.brief(mi.EventStudy().run(events, result.market))
    assert [cell.text for cell in made.legs.table().rows[0].cells][3] == "–"
