"""The page on sources: its examples run, in order, and it names every source."""

from __future__ import annotations

import re
import sqlite3

import polars as pl

import marketimpact as mi
from tests.conftest import ROOT
from tests.contract import vendors
from tests.contract.test_sources import COLUMNS, invented

PAGE = ROOT / "docs" / "sources" / "README.md"


def test_the_examples_run_and_agree(tmp_path, monkeypatch):
    facts = invented()
    facts.write_csv(tmp_path / "prices.csv")
    vendors.stooq(tmp_path / "downloads", facts)
    connection = sqlite3.connect(tmp_path / "prices.db")
    connection.execute("create table prices (symbol text, date text, close real, volume real)")
    rows = facts.with_columns(pl.col("date").cast(pl.String)).rows()
    connection.executemany("insert into prices values (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    tables = []
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
        tables.append(names["table"])
    for table in (tables[0], tables[1], tables[3], names["same"]):
        assert table.frame.select(COLUMNS).rows() == facts.rows()
    assert tables[2].frame["volume"].to_list() == [5000.0, 7300.0]


def test_every_source_has_its_row():
    text = PAGE.read_text(encoding="utf-8")
    sources = [name for name in mi.__all__ if name.endswith("Prices")]
    assert len(sources) >= 6
    for name in sources:
        assert f"| `{name}" in text, name


def test_what_the_page_points_at_exists():
    for target in re.findall(r"\]\(([^)#\s]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).is_file(), target
