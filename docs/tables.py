"""Write the tables of the pages and of the index from the registries: python docs/tables.py.

Text is written by hand; the tables follow the code. `tests/tooling/test_pages.py` checks that they do.
"""

from __future__ import annotations

import re
from pathlib import Path

import data_model

import marketimpact as mi

DOCS = Path(__file__).parent


def facts(name: str) -> dict[str, str]:
    """Return the rows of a test's page."""
    test = mi.TESTS[name]
    holds = test.holds
    rows = {
        "null": test.null,
        "estimate": test.estimate,
        "distribution": test.distribution,
        "separate dates": holds.separate,
        "separate dates, own variance raised": holds.event_variance,
        "shared dates": holds.shared_date,
        "shared dates, own variance raised": holds.both,
    }
    if holds.min_events != 1:
        rows["fewest events"] = str(holds.min_events)
    if holds.min_clusters != 1:
        rows["fewest dates"] = str(holds.min_clusters)
    needs = ["no days in common"] * holds.clusters_apart + ["similar sizes"] * holds.clusters_alike
    if needs:
        rows["dates need"] = ", ".join(needs)
    if holds.assumes:
        rows["assumes"] = f"{', '.join(sorted(holds.assumes))} ([checked for the events](../primary_test.md#not-valid))"
    return rows


def index_row(name: str) -> str:
    """Write a row of the index."""
    test = mi.TESTS[name]
    holds = test.holds
    cells = [test.null, test.distribution, holds.separate, holds.event_variance, holds.shared_date, holds.both]
    return f"| [{name}]({name}.md) | " + " | ".join(cells) + " |"


def write_pages() -> None:
    """Replace the table of every test's page."""
    for name in mi.TESTS:
        path = DOCS / "tests" / f"{name}.md"
        table = "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts(name).items())])
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"\| \| \|\n(?:\|.*\n)+", table + "\n", text, count=1), encoding="utf-8")


def write_index() -> None:
    """Replace the rows of the table of tests, wherever each stands."""
    path = DOCS / "tests" / "README.md"
    text = path.read_text(encoding="utf-8")
    row = re.compile(r"^\| \[(\w+)\]\(\w+\.md\).*$", flags=re.MULTILINE)
    path.write_text(row.sub(lambda found: index_row(found[1]), text), encoding="utf-8")


if __name__ == "__main__":
    write_pages()
    write_index()
    data_model.write()
