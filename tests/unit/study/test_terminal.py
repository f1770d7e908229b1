"""A terminal of 80 columns shows the primary window by announcement and group, and tables that fit."""

from __future__ import annotations

import re

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.display.charts import MOST_PATHS
from marketimpact.display.formats import percent
from marketimpact.display.text_table import Column, fitting, text_lines
from marketimpact.study.group_lines import group_lines
from tests.conftest import golden

H20 = "2025-08-12-beijing-discourages-h20"


@pytest.fixture(scope="module")
def result(h20) -> mi.StudyResult:
    return h20.result


def shown_effects(text: str) -> list[tuple[str, ...]]:
    """Group, events, day 0 and primary window of every line that has them."""
    lines = [line for line in text.splitlines() if re.match(r"  \S.*%", line)]
    return [(line[2:28].strip(), *line[28:].split()[:3]) for line in lines]


def test_the_first_lines_are_the_primary_window_by_announcement_and_group(result):
    lines = repr(result).splitlines()
    assert lines[0].endswith("[SIMULATED PRICES]")
    assert lines[1].split() == ["mean", "abnormal", "return", "events", "day", "0", "[0,", "1]", "95%", "interval", "p"]
    wanted = []
    for _, announcement in result.by("announcement_id").groups():
        for (group,), part in announcement.by("group").groups():
            marks = []
            for window in ((0, 0), (0, 1)):
                row = part.test(*window).filter(role="primary").row(0, named=True)
                mark = "*" if row["valid"] and row["p_value"] < 0.05 else ""
                marks.append(f"{part.car(*window)['car'].mean():+.1%}".replace("-", "−") + mark)
            wanted.append((group[:25], str(part.events.height), *marks))
    assert shown_effects(repr(result)) == wanted


def test_an_interval_of_another_mean_has_a_line_that_says_so(result):
    lines = repr(result).splitlines()
    named = 0
    for _, announcement in result.by("announcement_id").groups():
        for (group,), part in announcement.by("group").groups():
            row = part.test(0, 1).filter(role="primary").row(0, named=True)
            effect, caar = (
                f"{value:+.1%}".replace("-", "−") for value in (row["effect"], part.car(0, 1)["car"].mean())
            )
            if row["valid"] and effect != caar:
                start = f"  {group}"
                (at,) = [n for n, line in enumerate(lines) if line.startswith(start) and f" {caar} " in line]
                assert lines[at + 1] == f"    interval and p of the mean CAR weighted by 1/se: {effect}"
                named += 1
    assert named == sum("weighted by 1/se" in line for line in lines) > 0


def test_everything_fits_80_columns(result):
    one = result.where(pl.col("announcement_id") == H20)
    tables = [
        result, one, result.by("group"), result.show.test(0, 1), result.by("group").show.test(0, 1),
        one.show.car(0, 1), result.show.car(0, 1), result.show.caar(-2, 2), one.show.single_tests(0, 1),
        one.show.estimates(), result.show.attrition(), result.show(result.test(0, 1)),
    ]  # fmt: skip
    for table in tables:
        assert max(map(len, repr(table).splitlines())) <= 80, repr(table)


def test_what_does_not_fit_is_named_and_numbers_stay_whole(result):
    table = result.where(pl.col("announcement_id") == H20).show.car(0, 1)
    text = repr(table)
    for value in table.frame["car"]:
        assert percent(value) in text
    left_out = " ".join(text.split()).split("Too wide for 80 columns, in .frame: ")[1].rstrip(".").split(", ")
    heads = " ".join(text.splitlines()[:6])
    assert "variance_ratio" in left_out
    assert "car" not in left_out
    assert "variance" not in heads
    assert "variance_ratio: " not in text  # nor a note on what is not shown


def test_columns_are_dropped_by_name_first_then_from_the_end():
    columns = [Column(name, name, ["123456789"], numeric=True) for name in ("a", "b", "c", "d")]
    assert [column.name for column in fitting(columns, 33, first_dropped=["b"])] == ["a", "c", "d"]
    assert [column.name for column in fitting(columns, 22, first_dropped=["b"])] == ["a", "c"]
    assert [column.name for column in fitting(columns, 3)] == ["a", "b"]  # two always stay
    assert text_lines(columns[:1], 80) == ["        a", "─────────", "123456789"]


def test_long_texts_wrap_and_headings_break_after_underscores():
    columns = [Column("t", "a text", ["one two three four five six"], numeric=False),
               Column("n", "ci_high_filtered", ["+1.00%"], numeric=True)]  # fmt: skip
    lines = text_lines(columns, 25)
    assert max(map(len, lines)) <= 25
    assert lines[-1].strip() == "four five six" or "six" in lines[-1]
    assert any(line.endswith("filtered") for line in lines)


def test_one_event_is_not_one_events(result):
    one = result.where((pl.col("announcement_id") == H20) & (pl.col("symbol") == "NVDA"))
    assert "1 event, 1 security, 1 day-0 date" in repr(one)
    assert not re.search(r"\b1 events", repr(one).split("selected by")[0] + repr(one.by("group")))


def test_where_says_what_it_left_out(result):
    limited = result.where(pl.col("price_limit") > 0)
    n_empty = result.events["price_limit"].null_count()
    assert limited.selected_from == (51, n_empty)
    assert f"selected by where: {limited.events.height} of 51 events; the condition is empty for {n_empty} events" in (
        repr(limited)
    )
    again = limited.where(pl.col("symbol") == "688256.SS")
    assert f"selected by where: 3 of {limited.events.height} events\n" in repr(again) + "\n"
    assert "selected by where" not in repr(result)
    assert result.where(pl.lit(value=True)).selected_from == (51, 0)


def test_announcements_beyond_a_dozen_are_pooled_and_counted(golden_market, golden_study):
    events = golden("events_mixed").with_columns(pl.col("event_id").alias("announcement_id"))
    pooled = golden_study.run(events, golden_market)
    n = pooled.events.height
    text = repr(pooled)
    assert f"{n} announcements are pooled: result.by('announcement_id') takes them apart" in " ".join(text.split())
    assert shown_effects(text)[0][:2] == ("All firms", str(n))


def test_dates_that_are_days_of_one_window_are_not_called_separate(result):
    """The mainland's day 0 of one announcement is the session after another's in New York."""
    pooled = result.where(pl.lit(value=True)).show.test(0, 1).frame
    assert pooled.height
    two = result.where(pl.col("announcement_id") != "2025-07-14-h20-resumption")
    from marketimpact.study.headline import date_caveat  # noqa: PLC0415

    assert "connected by common days" in date_caveat(two.sample(0, 1))
    caveat = date_caveat(result.sample(0, 0))
    assert caveat.startswith("3 day-0 dates, of which some are days of one window: they count as 2 separate dates, and")


def test_groups_are_drawn_beside_each_other(result):
    chart = result.by("group").plot()
    spec = chart.to_dict(validate=False)
    names = [" ".join(panel["title"]["text"]) for panel in spec["concat"]]
    assert names == [str(name) for (name,), _ in result.by("group").groups()]
    assert chart._repr_mimebundle_()["image/svg+xml"].startswith("<svg")
    assert "simulated prices" in str(spec["title"]["subtitle"])
    scales = {str(layer["encoding"]["y"]["scale"]["domain"]) for panel in spec["concat"] for layer in panel["layer"]
              if layer["encoding"].get("y", {}).get("field") == "caar"}  # fmt: skip
    assert len(scales) == 1


def test_of_many_groups_those_with_most_events_are_drawn(golden_market, golden_study):
    events = golden("events_mixed")
    result = golden_study.run(events, golden_market)
    result = golden_study.run(events.with_columns(pl.col("event_id").alias("label")), golden_market)
    spec = result.by("label").plot(0, 1).to_dict(validate=False)
    assert len(spec["concat"]) == MOST_PATHS
    assert f"{MOST_PATHS} of {result.events.height} groups: those with most events" in spec["title"]["subtitle"]


def test_lines_of_no_groups_are_none():
    assert group_lines(pl.DataFrame(), ((0, 1),)) == []
