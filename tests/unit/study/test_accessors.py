"""Tables to read and charts of a result: what they show, what they say beneath, and that frames stay frames."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.display import charts, tables
from marketimpact.display.tables import Table
from marketimpact.study import tests_table
from tests.conftest import golden

HOSTILE = '<img src=x onerror="alert(1)">{{7*7}}**b**'
QUESTIONS = {"car", "caar", "test", "single_tests", "attrition", "estimates", "regress"}


@pytest.fixture(scope="module")
def result(golden_market, golden_study) -> mi.StudyResult:
    """Firms and dates that repeat, and an event that falls out."""
    events = golden("events_mixed")
    lost = events.head(1).with_columns(event_id=pl.lit("lost"), symbol=pl.lit("nobody"))
    return golden_study.run(pl.concat([events, lost]), golden_market)


@pytest.fixture(scope="module")
def one_date(golden_market, golden_study) -> mi.StudyResult:
    """Firms of one date, for which several tests are valid."""
    return golden_study.run(golden("events_clustered"), golden_market)


def read(table: Table) -> tuple[list[str], list[list[str]], list[str]]:
    """Headings, cells and notes of the HTML, as a reader sees them."""
    text = table._repr_html_()
    cut = [[html.unescape(cell) for cell in re.findall(r"<td[^>]*gt_row[^>]*>(.*?)</td>", row, flags=re.S)] for row in
           re.findall(r"<tr>(.*?)</tr>", text, flags=re.S)]  # fmt: skip
    headings = re.findall(r"<th[^>]*gt_col_heading[^>]*>(.*?)</th>", text, flags=re.S)
    notes = re.findall(r'<span class="gt_from_md">(.*?)</span>', text, flags=re.S)
    return [html.unescape(h) for h in headings], [row for row in cut if row], [html.unescape(note) for note in notes]


def test_frames_stay_plain_frames(result):
    for frame in (result.test(0, 1), result.attrition, result.car(0, 1), result.caar(), result.estimates):
        assert type(frame) is pl.DataFrame
    table = result.show.test(0, 1)
    assert type(table.frame) is pl.DataFrame
    assert table.frame.equals(result.test(0, 1))


def test_cells_are_the_frame_rounded(result):
    headings, rows, notes = read(result.show.car(0, 1))
    frame = result.car(0, 1)
    assert len(rows) == frame.height
    assert "n_days (sessions)" in headings
    assert "scar (sd)" in headings
    for cells, row in zip(rows, frame.iter_rows(named=True), strict=True):
        shown = dict(zip(headings, cells, strict=True))
        assert (shown["symbol"], shown["date"]) == (row["symbol"], str(row["date"]))
        assert shown["car"] == f"{100 * row['car']:+.2f}%".replace("-", "−")
        assert shown["se"] == f"{100 * row['se']:.2f}%"
        assert shown["p"] == ("<0.001" if row["p"] < 0.001 else f"{row['p']:.3f}")
        assert shown["flags"] == (row["flags"] or "–")
    hidden = len(frame.columns) - len(headings)
    assert notes[-1] == (f"{hidden} more columns in .frame." if hidden > 1 else "1 more column in .frame.")


def test_every_test_is_shown_with_every_word_of_its_notes_where_invalid_ones_are_asked_for(result):
    headings, rows, notes = read(result.show.test(0, 1, invalid=True))
    frame = result.test(0, 1)
    at = {name: headings.index(name) for name in ("test", "valid", "p", "note")}
    assert [row[at["test"]].removesuffix(" (primary)") for row in rows] == frame["test"].to_list()
    assert [row[at["valid"]] for row in rows] == ["yes" if valid else "no" for valid in frame["valid"]]
    for cells, p in zip(rows, frame["p_value"], strict=True):
        assert cells[at["p"]] == ("–" if np.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}")
    of_all = {note.removeprefix("all: ") for note in notes if note.startswith("all: ")}
    told = dict(note.split(": ", 1) for note in notes if note.split(":")[0].isdigit())
    for cells, note in zip(rows, frame["note"], strict=True):
        clauses = {clause.strip() for clause in (note or "").split(";") if clause.strip()}
        marks = [mark for mark in cells[at["note"]].split(", ") if mark]
        assert {told[mark] for mark in marks} | of_all == clauses


def test_the_primary_test_and_valid_robustness_tests_are_shown_and_the_others_folded(one_date):
    headings, rows, notes = read(one_date.show.test(0, 1))
    frame = one_date.test(0, 1)
    shown = frame.filter(pl.col("role") != "other", (pl.col("role") == "primary") | pl.col("valid"))
    assert 1 < shown.height <= 6
    assert [row[headings.index("test")].removesuffix(" (primary)") for row in rows] == shown["test"].to_list()
    assert [row[headings.index("test")].endswith(" (primary)") for row in rows] == [True] + [False] * (len(rows) - 1)
    assert "valid" not in headings
    for cells, row in zip(rows, shown.iter_rows(named=True), strict=True):
        told = dict(zip(headings, cells, strict=True))
        assert told["events"] == str(row["n_events"])
        if row["ci_low"] is not None:
            ends = [float(end.replace("−", "-").rstrip("%")) for end in told["95% interval"].split(" to ")]
            assert ends == pytest.approx([100 * row["ci_low"], 100 * row["ci_high"]], abs=0.00501)
            assert told["minimum detectable effect"] == f"{100 * row['effect_mde']:.2f}%"
            assert told["effect"] == f"{100 * row['effect']:+.2f}%".replace("-", "−")
    folded = next(note for note in notes if note.startswith("Not valid here: "))
    for row in frame.filter(~pl.col("valid"), pl.col("role") != "primary").iter_rows(named=True):
        assert row["test"] in folded
        assert f"{row['p_value']:.3f}" not in folded
    assert "p = " not in folded


def test_named_tests_are_all_shown_and_invalid_ones_have_no_p(result):
    names = ["bmp_kp", "cross_sectional_t", "patell"]
    headings, rows, _ = read(result.show.test(0, 1, tests=names))
    frame = result.test(0, 1, tests=names)
    assert not frame["valid"].all()
    assert len(rows) == 3
    for cells, valid in zip(rows, frame["valid"], strict=True):
        told = dict(zip(headings, cells, strict=True))
        assert (told["p"] == "–") == (told["95% interval"] == "–") == (not valid)


def test_a_one_sided_test_has_one_end(result):
    chosen = {"tests": ["bmp_kp"], "invalid": True}
    headings, rows, _ = read(result.show.test(0, 1, alternative="greater", **chosen))
    low = result.test(0, 1, tests=["bmp_kp"], alternative="greater")["ci_low"].item()
    assert rows[0][headings.index("95% interval")] == f"{100 * low:+.2f}% or more".replace("-", "−")
    headings, rows, _ = read(result.show.test(0, 1, alternative="less", **chosen))
    assert rows[0][headings.index("95% interval")].startswith("up to ")


def test_text_has_what_the_notebook_has(result):
    shown = repr(result.show.test(0, 1, invalid=True))
    flat = re.sub(r"\s+", " ", shown)
    for row in result.test(0, 1).iter_rows(named=True):
        assert row["test"] in shown
        assert f"{row['n_events']}" in shown
    assert "Interval, p and minimum detectable effect" in flat
    assert "…" not in shown


def test_a_long_table_says_that_it_is_cut_and_long_text_is_not():
    frame = pl.DataFrame({"event_id": [f"e{n}" for n in range(tables.MOST_ROWS + 5)], "detail": ["word " * 80] * 65})
    table = Table(frame)
    _, rows, notes = read(table)
    assert len(rows) == tables.MOST_ROWS
    assert notes == [f"{tables.MOST_ROWS} rows of {frame.height} are shown; .frame holds them all."]
    assert repr(table).split().count("word") == 80 * tables.MOST_ROWS
    assert all(cell.count("word") == 80 for _, cell in rows)


def test_numbers_without_a_unit_keep_three_digits_and_align():
    frame = pl.DataFrame(
        {
            "omega": [1.234e-6, None, -4.5e-6],
            "count": [12345, None, -3],
            "whole": [9.0, float("nan"), 239.0],
            "p_holm": [0.5, None, 1e-9],
            "day": [date(2025, 8, 12), None, None],
            "firms": [["A", "B"], [], None],
            "se": [0.25, 0.5, 1.0],
        }
    )
    _, rows, _ = read(Table(frame))
    assert [row[0] for row in rows] == ["0.00000123", "–", "−0.00000450"]
    assert [row[1] for row in rows] == ["12,345", "–", "−3"]
    assert [row[2] for row in rows] == ["9", "–", "239"]
    assert [row[3] for row in rows] == ["0.500", "–", "<0.001"]
    assert [row[4] for row in rows] == ["2025-08-12", "–", "–"]
    assert [row[5] for row in rows] == ["A, B", "", "–"]
    assert [row[6] for row in rows] == ["0.250", "0.500", "1.000"]  # no abnormal return beside it: no percentage


def test_returns_that_are_no_fractions_are_no_percentages():
    frame = pl.DataFrame({"tau": [0], "car": [0.1234], "se": [0.05]})
    _, rows, notes = read(Table(frame, unit="log volume"))
    assert rows == [["0", "0.123", "0.0500"]]
    assert notes == ["Returns are log volumes, not fractions."]
    assert read(Table(frame))[1] == [["0", "+12.34%", "5.00%"]]


def test_a_curve_shows_its_reasons_whole(golden_market):
    curve = mi.specification_curve(
        golden("events_mixed"), golden_market, models=[mi.MarketModel(), mi.FactorModel(("oil",))]
    )
    shown = html.unescape(curve._repr_html_())
    assert all(reason in shown for reason in curve.reasons()["reason"])
    ran = Table(curve.summary())
    shares = [row[ran.frame.columns.index("share_of_all")] for row in read(ran)[1]]
    assert shares == [f"{100 * share:.2f}%" for share in curve.summary()["share_of_all"]]


def test_names_from_outside_stay_text_and_the_same_table_has_the_same_bytes():
    frame = pl.DataFrame({HOSTILE: [HOSTILE], "note": [HOSTILE]})
    table = Table(frame, HOSTILE, (HOSTILE,), footnotes="note")
    shown = table._repr_html_()
    assert "<img" not in shown
    assert "<b>" not in shown
    assert html.unescape(shown).count(HOSTILE) == 5
    assert shown == Table(frame, HOSTILE, (HOSTILE,), footnotes="note")._repr_html_()
    assert HOSTILE in repr(table)


def test_attrition_counts_reasons(result, golden_study, golden_market):
    assert result.show.attrition().title == "2 events could not be used: too_few_observations 1, unknown_symbol 1"
    whole = golden_study.run(result.events.select("event_id", "symbol", "date"), golden_market)
    assert whole.show.attrition().title == "Every event was used"
    assert "reason" in repr(whole.show.attrition())


def test_groups_are_shown_with_their_names(result):
    grouped = result.by("date")
    headings, rows, _ = read(grouped.show.caar(0, 0))
    assert headings[0] == "date"
    assert [row[0] for row in rows] == [str(day) for day in sorted(result.events["date"].unique())]
    assert read(grouped.show.test(0, 0, tests=["bmp"]))[0][:2] == ["date", "test"]
    assert repr(grouped).splitlines()[0].startswith("Grouped by date")
    many = result.by("event_id")
    assert repr(many).splitlines()[-1] == f"  and {result.events.height - 20} more"


def test_a_group_column_called_role_leaves_the_role_of_tests(golden_market, golden_study):
    events = golden("events_mixed").with_columns(pl.col("symbol").str.slice(0, 2).alias("role"))
    grouped = golden_study.run(events, golden_market).by("role")
    assert grouped.test(0, 0)["test_role"].unique().sort().to_list() == ["other", "primary", "robustness"]
    headings, rows, _ = read(grouped.show.test(0, 0))
    assert headings[:2] == ["role", "primary test"]
    assert [row[0] for row in rows] == events["role"].unique().sort().to_list()


def test_a_group_is_one_row_of_its_primary_test(golden_market, golden_study):
    """Firms of one or two events; the counts of robustness tests are taken from the frame."""
    grouped = golden_study.run(golden("events_mixed"), golden_market).by("symbol")
    table = grouped.show.test(0, 0)
    headings, rows, notes = read(table)
    shown = [dict(zip(headings, row, strict=True)) for row in rows]
    n_valid = 0
    for told, (_, part) in zip(shown, grouped.groups(), strict=True):
        tests = part.test(0, 0)
        row = tests.filter(role="primary").row(0, named=True)
        assert (told["primary test"], told["events"]) == (row["test"], str(row["n_events"]))
        robust = tests.filter(pl.col("role") == "robustness", "valid")
        if not row["valid"]:
            continue
        agree = robust.filter((pl.col("p_value") < 0.05) == (row["p_value"] < 0.05)).height
        assert told["robustness"] == (f"{agree} of {robust.height} agree" if robust.height else "none valid")
        n_valid += 1
    assert n_valid > 5
    assert len([note for note in notes if note[0].isdigit()]) <= 5
    assert table.frame.equals(grouped.test(0, 0))


def test_a_group_whose_primary_test_is_not_valid_has_the_reason(golden_market, golden_study):
    """Four firms of one date that moved apart by 30%: no test of their mean is valid."""
    events = golden("events_mixed").with_columns(pl.lit("all").alias("group"))
    date = events.group_by("date").len().sort("len", "date")["date"][-1]
    result = golden_study.run(events.filter(pl.col("date") == date).head(4), golden_market)
    window = result.estimation.event_window
    apart = np.where(np.arange(4)[:, None] % 2, 0.3, -0.3) * (result.estimation.taus == 0)
    moved = replace(result.estimation, stored_event_window=replace(window, ar=window.ar + apart))
    grouped = replace(result, estimation=moved).by("group")
    headings, (row,), _ = read(grouped.show.test(0, 0))
    told = dict(zip(headings, row, strict=True))
    assert told["primary test"] == "filtered_placebo_t"
    assert told["95% interval"].startswith("not valid: assumes unchanged variance, but CARs vary")
    assert len(told["95% interval"]) <= 60
    assert told["p"] == told["minimum detectable effect"] == "–"


def test_groups_that_do_not_fit_are_counted(result):
    parts = [(pl.DataFrame({"n": [n] * 12}), result.test(0, 0)) for n in range(tables.MOST_ROWS + 3)]
    view = tests_table.group_lines(parts, "simple")
    shown = Table(result.test(0, 0), columns=view.columns, shown=view.rows, footnotes="note")
    assert view.rows.height == tables.MOST_ROWS + 3
    assert f"3 of {tables.MOST_ROWS + 3} rows are not shown; .shown has them all." in " ".join(read(shown)[2])
    assert result.where(pl.lit(value=False)).by("date").show.test(0, 0).frame.is_empty()


def test_notes_of_tests_hold_what_judges_a_row(one_date):
    trivia = ("average correlation", "placebo blocks", "smallest possible p", "no rise is seen", "portfolios, one per")
    whole, brief = (" ".join(read(one_date.show.test(0, 1, invalid=asked))[2]) for asked in (True, False))
    assert sum(words in whole for words in trivia) >= 3
    assert not any(words in brief for words in trivia)
    assert "One date: a common effect cannot be distinguished from a common shock." in brief
    assumed = "assumes that the event did not raise the variance"
    assert (assumed in brief) == any(
        assumed in row["note"]
        for row in one_date.test(0, 1).filter((pl.col("role") != "other") & pl.col("valid")).iter_rows(named=True)
    )


def test_any_frame_about_the_result(result):
    frame = result.car(0, 1).select("event_id", "car")
    assert result.show(frame, "Mine").title == "Mine"
    with pytest.raises(mi.SpecificationError, match="given a StudyResult"):
        result.show(result)
    with pytest.raises(mi.SpecificationError, match="the frame has event_id, car"):
        result.show(frame, columns=["colour"])


def test_simulated_prices_are_called_so():
    market = mi.Market.load(mi.securities().filter(pl.col("symbol") == "NVDA"), mi.SamplePrices())
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["NVDA"] * 2, "date": [date(2025, 8, 12)] * 2})
    result = mi.EventStudy().run(events, market)
    for table in (
        result.show.test(0, 1),
        result.show.car(0, 1),
        result.show.attrition(),
        result.by("date").show.caar(),
    ):
        assert "SIMULATED PRICES" in " ".join(read(table)[2])
        assert "SIMULATED PRICES" in repr(table)
    for chart in (result.plot(), result.plot.firms(0, 1)):
        assert "simulated prices" in charts.to_svg(chart)


def test_completion_offers_the_questions(result):
    offered = {name for name in dir(result) if not name.startswith("_")}
    assert offered >= QUESTIONS
    assert {"show", "plot", "where", "by", "signed", "clustered", "inspect", "regress"} <= offered
    assert {name for name in dir(result.show) if not name.startswith("_")} == QUESTIONS
    assert {name for name in dir(result.plot) if not name.startswith("_")} == {"path", "firms"}
    assert set(dir(mi)) == set(mi.__all__) | {name for name in dir(mi) if name.startswith("__")}
    assert ".test(0, 1)" in repr(result.show)
    assert ".firms(" in repr(result.plot)


def test_firms_are_drawn_by_size_with_their_intervals(result):
    spec = result.plot.firms(0, 1, level=0.9).to_dict()
    given = [*spec.get("datasets", {}).values(), *(layer["data"].get("values", []) for layer in spec["layer"])]
    rows = max(given, key=len)
    frame = result.car(0, 1)
    assert [row["car"] for row in rows] == sorted(frame["car"].to_list(), reverse=True)
    assert {row["label"] for row in rows} == set(frame["event_id"])  # firms repeat, so events name the rows
    for wrong, said in (({"by": "colour"}, "by='colour'"), ({"level": 1.0}, "between 0 and 1")):
        with pytest.raises(mi.SpecificationError, match=said):
            result.plot.firms(0, 1, **wrong)
    with pytest.raises(mi.SpecificationError, match="nothing to draw"):
        result.where(pl.col("event_id") == "none").plot.firms(0, 1)
