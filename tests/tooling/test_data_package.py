"""data/datapackage.json against the files that it describes."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from datetime import date, datetime, time

import pytest

from docs.data_package import DATA, codebook, package

#: Type of a field -> a function that reads a cell, or raises ValueError.
READ = {
    "string": str,
    "list": lambda cell: cell.split(";"),
    "date": date.fromisoformat,
    "time": lambda cell: time.fromisoformat(cell.zfill(5)),
    "number": float,
    "integer": int,
    "boolean": {"true": True, "false": False}.__getitem__,
    "datetime": lambda cell: datetime.strptime(cell, "%Y-%m-%dT%H:%M:%SZ"),
}
WRITTEN = json.loads((DATA / "datapackage.json").read_text(encoding="utf-8"))


def rows(resource) -> list[dict[str, str]]:
    with (DATA / resource["path"]).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_is_as_the_script_writes_it():
    assert package() == WRITTEN, "run: python docs/data_package.py"


def test_every_csv_file_of_the_folder_is_a_resource():
    files = {path.relative_to(DATA).as_posix() for path in DATA.rglob("*.csv")}
    assert {resource["path"] for resource in WRITTEN["resources"]} == files


def test_names_and_what_the_format_asks_for():
    names = [resource["name"] for resource in WRITTEN["resources"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9._-]+", name) for name in [WRITTEN["name"], *names])
    assert WRITTEN["licenses"][0]["name"] == "CC-BY-4.0"
    assert f'version: "{WRITTEN["version"]}"' in (DATA / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {WRITTEN['version']} (" in (DATA / "CHANGES.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("resource", WRITTEN["resources"], ids=lambda resource: resource["name"])
class TestResource:
    def test_size_and_hash(self, resource):
        raw = (DATA / resource["path"]).read_bytes()
        assert resource["hash"] == f"sha256:{hashlib.sha256(raw).hexdigest()}"
        assert resource["bytes"] == len(raw)
        assert resource["rows"] == len(rows(resource)) > 0

    def test_fields_and_types(self, resource):
        table, fields = rows(resource), resource["schema"]["fields"]
        assert [field["name"] for field in fields] == list(table[0])
        for field in fields:
            assert field["type"] in READ
            assert field["description"].strip()
            cells = [row[field["name"]] for row in table]
            for cell in filter(None, cells):
                READ[field["type"]](cell)
            constraints = field.get("constraints", {})
            assert all(cells) or not constraints.get("required")
            assert set(cells) - {""} <= set(constraints.get("enum", cells))

    def test_the_key_does_not_repeat(self, resource):
        keys = resource["schema"].get("primaryKey")
        if keys:
            found = [tuple(row[name] for name in keys) for row in rows(resource)]
            assert len(set(found)) == len(found)


def test_the_codebook_has_no_column_that_is_gone():
    columns = {
        (resource["name"], field["name"]) for resource in WRITTEN["resources"] for field in resource["schema"]["fields"]
    }
    assert {pair for pair in codebook() if pair[0] in {name for name, _ in columns}} <= columns
