"""Every cell of the chronology that changed since its first version, against the line of evidence behind it."""

from __future__ import annotations

import csv

import pytest

from tests.conftest import ROOT, SHARED

DATA = ROOT / "data"
READING = SHARED / "data" / "catalogue"
#: Columns whose changes follow from the line on the verification, and the remarks.
DERIVED = ("source_title", "source_publisher", "source_url", "source_date", "notes")
VERIFICATIONS = {"seen", "partly_seen", "recalled"}
UNKNOWN = "unknown origin"


def rows(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def now() -> dict[str, dict[str, str]]:
    return {row["announcement_id"]: row for row in rows(DATA / "announcements.csv")}


@pytest.fixture(scope="module")
def before() -> dict[str, dict[str, str]]:
    return {row["announcement_id"]: row for row in rows(DATA / "versions" / "announcements-2026.06.csv")}


@pytest.fixture(scope="module")
def evidence() -> list[dict[str, str]]:
    return rows(DATA / "evidence.csv")


@pytest.fixture(scope="module")
def reading():
    if not READING.exists():
        pytest.skip("needs ../shared/data/catalogue, which is not part of the repository")
    return READING


def test_each_changed_cell_has_one_line(now, before, evidence):
    lines = {}
    for line in evidence:
        if line["use"] == "cell":
            lines.setdefault((line["announcement_id"], line["field"]), []).append(line)
    changed = 0
    for key, old in before.items():
        for column, cell in now[key].items():
            was = old.get(column, "")
            if column in DERIVED or cell == was:
                continue
            changed += 1
            assert [(line["value_before"], line["value_now"]) for line in lines[key, column]] == [(was, cell)]
    assert changed > 200


def test_each_line_in_use_is_the_cell(now, before, evidence):
    for line in evidence:
        key, field = line["announcement_id"], line["field"]
        if line["use"] != "cell":
            continue
        if field == "row":
            assert key not in before
        else:
            assert now[key][field] == line["value_now"], (key, field)
            assert line["value_before"] == before.get(key, {}).get(field, "")


def test_a_new_announcement_has_its_line_and_none_is_gone(now, before, evidence):
    added = [line["announcement_id"] for line in evidence if line["field"] == "row"]
    assert sorted(added) == sorted(set(now) - set(before))
    assert set(before) <= set(now)


def test_sources_are_those_of_the_reading(now, before, evidence):
    read = {
        line["announcement_id"]: line
        for line in evidence
        if line["field"] in ("verification", "row") and line["use"] == "cell"
    }
    for key, row in now.items():
        sources = {column: row[column] for column in DERIVED[:4]}
        if sources != {column: before.get(key, {}).get(column) for column in DERIVED[:4]}:
            assert sources == {column: read[key][column] for column in DERIVED[:4]}, key


def test_a_first_report_is_the_clock(now, evidence):
    reports = [line for line in evidence if line["field"] == "first_reported_at"]
    for line in reports:
        row = now[line["announcement_id"]]
        if line["confidence"] in ("high", "medium"):
            assert row["announced_at"] == row["first_reported_at"] == line["value_now"]
            assert (row["time_precision"], row["date_seen"]) == ("minute", "true")
            assert row["not_before"] == row["not_after"] == ""
        else:
            assert (line["use"], row["first_reported_at"]) == ("low_confidence", "")
    assert {line["confidence"] for line in reports} == {"high", "medium", "low"}


def test_bounds_are_the_tightest_and_memory_does_not_tighten(now, before, evidence):
    for field, tightest in (("not_after", min), ("not_before", max)):
        for key, row in now.items():
            lines = [line for line in evidence if (line["announcement_id"], line["field"]) == (key, field)]
            if row["time_precision"] == "minute" or not lines:
                continue
            known = [line["value_now"] for line in lines if line["use"] != "from_memory"]
            known += [before[key][field]] * bool(key in before and before[key][field])
            assert row[field] == (tightest(known) if known else ""), (key, field)


def test_a_source_of_unknown_origin_is_not_in_use(now, evidence):
    unknown = [line for line in evidence if UNKNOWN in line["source_publisher"]]
    assert unknown
    assert {line["use"] for line in unknown} == {"from_memory"}
    for line in unknown:
        assert UNKNOWN in now[line["announcement_id"]]["notes"]


def test_words_of_the_columns(evidence):
    assert {line["use"] for line in evidence} == {"cell", "superseded", "from_memory", "low_confidence"}
    assert {line["basis"] for line in evidence} == {"reading", "clock", "own_source", "new_row"}
    assert {line["verification"] for line in evidence} <= VERIFICATIONS
    assert all(line["evidence"].strip().endswith((".", ")")) for line in evidence)


class TestAgainstTheReading:
    """Against the files of the second reading, which are not part of the repository."""

    pytestmark = pytest.mark.shared

    def test_first_reports_and_bounds(self, reading, now):
        first = set()
        for stamp in rows(reading / "clocks.csv"):
            row, at = now[stamp["announcement_id"]], stamp["instant_utc"]
            if stamp["bound"] == "first_report" and stamp["confidence"] in ("high", "medium"):
                first.add(stamp["announcement_id"])
                assert row["announced_at"] == row["first_reported_at"] == at
                assert row["time_precision"] == "minute"
        for stamp in rows(reading / "clocks.csv"):
            row, at = now[stamp["announcement_id"]], stamp["instant_utc"]
            if stamp["bound"] != "not_after" or stamp["announcement_id"] in first:
                continue
            if UNKNOWN in stamp["where_seen"]:
                assert row["not_after"] != at
            else:
                assert row["not_after"] <= at
                assert row["announced_at"] <= row["not_after"]

    def test_corrections(self, reading, now):
        clocks = {stamp["announcement_id"] for stamp in rows(reading / "clocks.csv")}
        checked = 0
        for change in rows(reading / "verified.csv"):
            key, field, cell = change["announcement_id"], change["field"], change["new"]
            if UNKNOWN in change["source_publisher"] and key == "2025-12-08-trump-h200-approval":
                assert now[key]["verification"] == "partly_seen"
            elif field in ("official_at", "effective_at"):
                assert cell.startswith(now[key][field])  # the first date where there are several
                assert now[key][field]
            elif field == "official_document" and "(recalled)" in cell:
                assert not now[key][field]
            elif not (key in clocks and field in ("announced_at", "time_precision", "not_before", "not_after")):
                assert now[key][field] == cell, (key, field)
                checked += 1
        assert checked > 100

    def test_new_rows_came_in_as_they_are(self, reading, now, before):
        clocks = {stamp["announcement_id"] for stamp in rows(reading / "clocks.csv")}
        added = rows(reading / "new_rows.csv")
        assert {row["announcement_id"] for row in added} == set(now) - set(before)
        for row in added:
            if row["announcement_id"] not in clocks:
                assert now[row["announcement_id"]] == row
