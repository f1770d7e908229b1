"""The README leads with findings that its page of findings has; that its blocks run is in test_blocks."""

from __future__ import annotations

import re

import marketimpact as mi
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_number_of_the_first_findings_stands_on_their_page():
    lead = README.split("![")[0].split("\n\n")[2]
    page = (ROOT / "docs" / "findings" / "h20.md").read_text(encoding="utf-8")
    numbers = re.findall(r"[+−]?\d+\.\d+%?", lead)
    assert len(numbers) > 10
    for number in numbers:
        assert number.lstrip("+−") in page, number


def test_the_site_begins_with_the_same_findings_chart_and_command():
    _, lead, chart, command, *_ = (ROOT / "docs" / "README.md").read_text(encoding="utf-8").split("\n\n")
    assert lead.startswith(README.split("![")[0].split("\n\n")[2])
    assert "h20_firms.svg" in chart
    assert command.splitlines()[1].startswith("marketimpact brief")


def test_the_chart_comes_before_the_commands_and_these_before_the_method():
    places = [README.index(part) for part in ("h20_firms.svg", "marketimpact brief", "make report", "primary_test.md")]
    assert places == sorted(places)


def test_the_table_of_contents_is_short_and_counts_models():
    table = README.split("## What is here")[1].split("\n\n")[1]
    assert len(table.splitlines()) <= 12
    assert f"[{len(mi.MODELS)}](docs/models/README.md)" in table
