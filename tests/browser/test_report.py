"""The report in a real browser: quiet, self-contained, alive, and as wide as a phone."""

from __future__ import annotations

import polars as pl
import pytest

from tests.browser.conftest import NASTY, opened


def test_it_opens_without_a_word_and_without_a_request(browser, address):
    tab, said = opened(browser, address)
    assert said == []
    assert tab.locator(".live:visible").count() == tab.locator("figure").count() > 10
    assert tab.locator(".still:visible").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_a_phone(browser, address, scheme):
    tab, _ = opened(browser, address, viewport={"width": 375, "height": 800}, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375


def test_hovering_a_firm_shows_its_numbers(browser, address):
    tab, _ = opened(browser, address)
    tab.locator("#moved figure").first.locator(".live .mark-symbol.role-mark path").first.hover()
    told = tab.locator("#vg-tooltip-element.visible")
    told.wait_for(timeout=5000)
    assert "NVIDIA (NVDA)" in told.inner_text()
    assert "%" in told.inner_text()


def test_a_click_picks_a_firm_out(browser, address):
    tab, _ = opened(browser, address)
    dots = tab.locator("#moved figure").first.locator(".live .mark-symbol.role-mark path")
    before = dots.evaluate_all("marks => marks.map(mark => getComputedStyle(mark).opacity)")
    assert set(before) == {"1"}
    dots.nth(1).click()
    tab.wait_for_timeout(300)
    after = dots.evaluate_all("marks => marks.map(mark => getComputedStyle(mark).opacity)")
    assert after.count("1") == 1
    assert float(min(after)) < 0.5


def test_a_headline_with_markup_stays_text(browser, address):
    tab, _ = opened(browser, address)
    assert tab.title() == "Event study"
    assert tab.locator("img, b").count() == 0
    assert tab.get_by_text(NASTY, exact=True).count() > 2


def test_without_scripts_the_pictures_stay(browser, address):
    tab, _ = opened(browser, address, java_script_enabled=False)
    assert tab.locator(".still:visible").count() == tab.locator("figure").count() > 10


def test_print_shows_pictures_and_folded_tables(browser, address):
    tab, _ = opened(browser, address)
    tab.emulate_media(media="print")
    assert tab.locator(".live:visible").count() == 0
    assert tab.locator(".still:visible").count() == tab.locator("figure").count()
    assert tab.locator("details table").first.evaluate("table => table.checkVisibility({contentVisibilityAuto: true})")


def test_a_table_is_saved_from_the_page(browser, address, tmp_path):
    tab, _ = opened(browser, address)
    tab.locator("#data summary").click()
    with tab.expect_download() as caught:
        tab.locator("a[download='estimates.parquet']").click()
    caught.value.save_as(tmp_path / "estimates.parquet")
    assert {"event_id", "alpha", "beta"} <= set(pl.read_parquet(tmp_path / "estimates.parquet").columns)


def test_the_keyboard_reaches_summary_tables_and_folds(browser, address):
    tab, _ = opened(browser, address)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the summary"
    fold = tab.locator("#tests summary").first
    fold.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#tests details[open]").count() == 1
