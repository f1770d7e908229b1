"""A real browser, and a report of the seed study in it."""

from __future__ import annotations

import shutil

import polars as pl
import pytest

import marketimpact as mi
from marketimpact import report
from marketimpact.cli.study_file import read_study

NASTY = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="package")
def address(tmp_path_factory) -> str:
    plan = read_study("h20")
    answer = plan.run(mi.SamplePrices())
    first = answer.events["announcement_id"].min()
    headline = pl.when(pl.col("announcement_id") == first).then(pl.lit(NASTY)).otherwise("headline").alias("headline")
    result = mi.EventStudy().run(answer.events.with_columns(headline), answer.result.market)
    curve = plan.curve(answer, mi.SamplePrices())
    path = tmp_path_factory.mktemp("browser") / "report.html"
    return report.write_report(
        result, path, group="group", chronology=answer.chronology, curve=curve.curve, joint=curve.joint
    ).as_uri()


@pytest.fixture(scope="package")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def watched(browser, address, **options):
    """A page, and everything that it said or asked for."""
    tab = browser.new_context(**options).new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    tab.goto(address)
    return tab, said


def opened(browser, address, **options):
    """The same of a report, with its charts drawn."""
    tab, said = watched(browser, address, **options)
    if options.get("java_script_enabled", True):
        charts = tab.locator("figure").count()
        tab.wait_for_function(
            f"document.querySelectorAll('.live:not([hidden]) svg').length === {charts}", timeout=60_000
        )
    return tab, said
