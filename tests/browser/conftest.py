"""A report of the embedded study in a real browser."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import marketimpact as mi
from marketimpact import report
from marketimpact.cli.study_file import read_study

NASTY = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"


@pytest.fixture(scope="session")
def address(once, h20) -> str:
    first = h20.events["announcement_id"].min()
    headline = pl.when(pl.col("announcement_id") == first).then(pl.lit(NASTY)).otherwise("headline").alias("headline")

    def write(folder: Path) -> None:
        result = mi.EventStudy().run(h20.events.with_columns(headline), h20.result.market)
        curve = read_study("h20").curve(h20, mi.SamplePrices())
        options = {"group": "group", "chronology": h20.chronology, "curve": curve.curve, "joint": curve.joint}
        report.write_report(result, folder / "report.html", **options)

    return (once("browser", write) / "report.html").as_uri()


def watched(browser, address, **options):
    """A page, its console messages and its requests."""
    tab = browser.new_context(**options).new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    tab.goto(address)
    return tab, said


def opened(browser, address, **options):
    """The same of a report, with its charts drawn and the folds of its announcements open."""
    tab, said = watched(browser, address, **options)
    tab.evaluate("document.querySelectorAll('#moved, #reached, #around, #paths').forEach(part => "
                 "part.querySelectorAll('details').forEach(fold => { fold.open = true; }))")  # fmt: skip
    if options.get("java_script_enabled", True):
        charts = tab.locator("figure").count()
        tab.wait_for_function(
            f"document.querySelectorAll('.live:not([hidden]) svg').length === {charts}", timeout=60_000
        )
    return tab, said
