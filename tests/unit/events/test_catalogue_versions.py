"""Versions of the embedded chronology against their files."""

from __future__ import annotations

import csv
import hashlib
import re
from datetime import UTC, date, datetime
from typing import ClassVar

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.errors import SpecificationError
from marketimpact.events.catalogue_versions import CURRENT_VERSION
from tests.conftest import ROOT


def file_of(version: str):
    old = ROOT / "data" / "versions" / f"announcements-{version}.csv"
    return old if old.exists() else ROOT / "data" / "announcements.csv"


def test_each_version_is_its_file():
    versions = mi.catalogue_versions()
    assert versions.columns == ["version", "date", "n_rows", "sha256", "changes"]
    assert versions.height == 1 + len(list((ROOT / "data" / "versions").iterdir()))
    for row in versions.iter_rows(named=True):
        path = file_of(row["version"])
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        with path.open(encoding="utf-8", newline="") as file:
            written = {line["announcement_id"]: line for line in csv.DictReader(file)}
        assert row["n_rows"] == len(written)
        read = mi.announcements(version=row["version"])
        assert set(read["announcement_id"]) <= set(written)
        assert dict(read.select("announcement_id", "headline").iter_rows()) == {
            key: written[key]["headline"] for key in read["announcement_id"]
        }


def test_versions_are_in_order_and_the_last_one_is_current():
    versions = mi.catalogue_versions()
    assert versions["version"].to_list() == sorted(set(versions["version"]))
    assert versions["date"].is_sorted()
    assert versions["version"][-1] == CURRENT_VERSION
    assert mi.announcements().equals(mi.announcements(version=CURRENT_VERSION))


def test_the_first_version_is_frozen():
    # the file as it was committed on 23 November 2026
    versions = mi.catalogue_versions()
    assert versions.select("version", "date").row(0) == ("2026.06", date(2026, 11, 23))
    row = mi.announcements(version="2026.06").filter(announcement_id="2025-04-15-nvidia-8k-h20")
    assert row["time_precision"].to_list() == ["hour"]


@pytest.mark.parametrize("version", ["2026.6", "", "latest", 2026.06])
def test_an_unknown_version_is_refused_with_those_known(version):
    with pytest.raises(SpecificationError, match=r"Its versions are 2026\.06, 2026\.11"):
        mi.announcements(version=version)


def test_a_version_does_not_go_with_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("announcement_id,announced_at,stance,headline\na,2025-08-12T04:45Z,mixed,H\n", encoding="utf-8")
    for own in (path, pl.read_csv(path)):
        with pytest.raises(SpecificationError, match="one of the two"):
            mi.announcements(own, version="2026.06")


class TestFromMemory:
    def test_policy_from_memory_is_left_out_and_confounders_from_memory_stay(self):
        for version in mi.catalogue_versions()["version"]:
            every = mi.announcements(version=version, recalled=True)
            read = mi.announcements(version=version)
            left_out = every.join(read, on="announcement_id", how="anti")
            assert left_out.height > 0
            assert set(left_out["verification"]) == {"recalled"}
            assert not left_out["is_confounder"].any()
            assert read.filter(verification="recalled")["is_confounder"].all()
            assert read.filter(verification="recalled").height > 0

    def test_ones_own_announcements_are_never_left_out(self, tmp_path):
        own = mi.announcements(recalled=True).filter(verification="recalled", is_confounder=False)
        own.write_parquet(tmp_path / "own.parquet")
        assert mi.announcements(own).height == own.height > 0
        assert mi.announcements(tmp_path / "own.parquet").height == own.height


class TestOfficialDates:
    ROW: ClassVar = {"announcement_id": "a", "announced_at": "2025-08-12T04:45Z", "stance": "mixed", "headline": "H"}

    @pytest.mark.parametrize(
        ("cell", "read"),
        [
            ("2025-08-12", "2025-08-12"),
            ("2025-04-15T21:22:59Z", "2025-04-15T21:22:59Z"),
            ("2025-04-15T17:22-04:00", "2025-04-15T17:22-04:00"),
            (date(2025, 8, 12), "2025-08-12"),
            (datetime(2025, 8, 12), "2025-08-12"),
            (datetime(2025, 4, 15, 21, 22, 59, tzinfo=UTC), "2025-04-15T21:22:59Z"),
        ],
    )
    @pytest.mark.parametrize("column", ["official_at", "effective_at"])
    def test_a_date_or_an_instant(self, column, cell, read):
        assert mi.announcements(pl.DataFrame([{**self.ROW, column: cell}]))[column].to_list() == [read]

    @pytest.mark.parametrize("cell", ["12/08/2025", "2025-02-30", "2025-08-12 12:45", "August", "2025-08-12T25:00Z"])
    @pytest.mark.parametrize("column", ["official_at", "effective_at"])
    def test_anything_else_is_refused(self, column, cell):
        with pytest.raises(mi.DataError, match=f"{column} must be a date, such as 2025-08-12, or an instant") as error:
            mi.announcements(pl.DataFrame([{**self.ROW, column: cell}]))
        assert error.value.counts == {f"{column}_is_iso": 1}

    def test_a_first_report_is_an_instant(self):
        row = {**self.ROW, "first_reported_at": "2025-08-12T04:45:00+08:00"}
        read = mi.announcements(pl.DataFrame([row]))["first_reported_at"].to_list()
        assert read == [datetime(2025, 8, 11, 20, 45, tzinfo=UTC)]


def test_the_page_counts_the_rows_of_each_version():
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    counted = dict(re.findall(r"^\| ([\w ]+) \| (\d+ \| \d+) \|$", page, flags=re.MULTILINE))
    found = {}
    for version in ("2026.06", "2026.11"):
        with file_of(version).open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        words = [word for line in lines for word in (line["verification"], line["time_precision"])]
        dated = [line for line in lines if line["time_precision"] == "day"]
        confounders = sum(line["is_confounder"] == "true" for line in lines)
        found[version] = {
            "all": len(lines),
            "policy": len(lines) - confounders,
            "confounders": confounders,
            **{word: words.count(word) for word in set(words)},
            "day with a bound": sum(bool(line["not_before"] or line["not_after"]) for line in dated),
        }
    assert counted == {name: f"{count} | {found['2026.11'][name]}" for name, count in found["2026.06"].items()}
