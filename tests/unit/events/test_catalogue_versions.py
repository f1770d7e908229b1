"""Versions of the embedded chronology against their files."""

from __future__ import annotations

import csv
import hashlib
from datetime import date

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
