"""The documentation site in a real browser, opened from disk: quiet, searchable, and as wide as a phone."""

from __future__ import annotations

import pytest

from tests.browser.conftest import watched

#: A page of every kind.
PAGES = (
    "index", "start", "gallery", "tests/index", "tests/bmp_kp", "models/index", "procedures/cross_market",
    "howto/own_prices", "howto/paper_tables", "notebooks/01_h20", "notebooks/04_specification_curve",
    "notebooks/08_minute_bars", "data_model", "findings/policy", "findings/minutes", "size_and_power", "compare",
    "reference/study", "changelog",
)  # fmt: skip

#: The first words of tables of parameters, results and errors that have to be scrolled.
WIDE_TABLES = """
  [...document.querySelectorAll(".doc-contents .md-typeset__scrollwrap")]
    .filter(frame => frame.scrollWidth > frame.clientWidth).map(frame => frame.innerText.slice(0, 80))
"""


def opened(browser, site, page, **options):
    return watched(browser, (site / f"{page}.html").as_uri(), **options)


@pytest.mark.parametrize(("width", "pages"), [(375, "**/*.html"), (1280, "*.html"), (1280, "reference/*.html")])
def test_no_page_is_wider_than_the_screen(browser, site, width, pages):
    """Tables, charts and outputs scroll by themselves, or fit; those of parameters in the reference fit."""
    tab = browser.new_page(viewport={"width": width, "height": 800})
    wide, wide_tables = {}, {}
    for page in sorted(path for path in site.glob(pages) if "repository" not in path.parts):
        name = page.relative_to(site).as_posix()
        tab.goto(page.as_uri())
        if (found := tab.evaluate("document.documentElement.scrollWidth")) > width:
            wide[name] = found
        if found := tab.evaluate(WIDE_TABLES):
            wide_tables[name] = found
    tab.close()
    assert wide == {}
    assert wide_tables == {}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_quiet_and_its_pictures_load(browser, site, page):
    tab, said = opened(browser, site, page, viewport={"width": 375, "height": 800})
    broken = tab.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
    assert broken == []
    assert said == []
    tab.context.close()


def test_search_finds_a_test_from_disk(browser, site):
    tab, said = opened(browser, site, "index", viewport={"width": 1280, "height": 800})
    tab.locator("input.md-search__input").fill("cross-correlation")  # at once: the search takes "cross-" as a bad query
    found = tab.locator(".md-search-result__link").first
    found.wait_for(timeout=20_000)
    assert "cross-correlation" in found.inner_text()
    assert said == []


def test_a_chart_and_a_table_of_a_notebook_are_seen(browser, site):
    tab, _ = opened(browser, site, "notebooks/01_h20", viewport={"width": 1280, "height": 800})
    assert tab.locator("img.drawn").count() == 2
    assert tab.locator(".output table").count() > 5
    assert "SIMULATED prices: Nvidia" in tab.locator("pre.output").last.inner_text()
