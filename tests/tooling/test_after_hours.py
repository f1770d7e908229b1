"""The page of after-hours news quotes the table of the findings."""

from __future__ import annotations

from docs.findings.changes import BLOCK
from tests.conftest import ROOT


def test_the_table_of_benchmarks_is_that_of_the_findings():
    findings = (ROOT / "docs" / "findings" / "legs.md").read_text(encoding="utf-8")
    table = next(block[3] for block in BLOCK.finditer(findings) if block[2] == "benchmarks")
    assert table in (ROOT / "docs" / "howto" / "after_hours_news.md").read_text(encoding="utf-8")
