"""The programs of the gallery run as they stand on the page, and their charts draw."""

from __future__ import annotations

import ast
import re

import polars as pl

import marketimpact as mi
from docs import thumbnails
from marketimpact.display import charts
from tests.conftest import ROOT


def test_every_program_of_the_gallery_runs_and_every_chart_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    drawn = 0
    for program in re.findall(r"```python\n(.*?)```", page, flags=re.S):
        *body, last = ast.parse(program).body
        exec(compile(ast.Module(body, []), "gallery", "exec"), names)
        if not isinstance(last, ast.Expr):
            exec(compile(ast.Module([last], []), "gallery", "exec"), names)
            continue
        shown = eval(compile(ast.Expression(last.value), "gallery", "eval"), names)
        if hasattr(shown, "to_dict"):
            assert "simulated prices" in charts.to_svg(shown)
            drawn += 1
    assert drawn == 8
    assert (tmp_path / "report.html").exists()


def test_thumbnails_lead_to_the_sections_of_their_charts():
    page = (
        "# Charts\n\nWords.\n\n![before](page_1.svg){.drawn}\n\n## Mean & path\n\n![a](page_2.svg){.drawn}\n\n"
        "![over [0, 1]](page_3.svg){.drawn}\n\n## No chart\n\nWords.\n\n"
        "## The firms\n\n![over [0, 1]](page_4.svg){.drawn}\n"
    )
    title, opening, small, rest = thumbnails.with_thumbnails(page).split("\n\n", 3)
    assert [title, opening, rest] == page.split("\n\n", 2)
    assert re.findall(r'href="(.*?)"><img src="(.*?)".*>(.*)</a>', small) == [
        ("#mean-path", "page_2.svg", "Mean &amp; path"),
        ("#the-firms", "page_4.svg", "The firms"),
    ]


def test_the_site_shows_a_thumbnail_of_every_chart(site):
    page = (site / "gallery.html").read_text(encoding="utf-8")
    small = re.findall(r'<a href="#([^"]+)"><img src="([^"]+)"', page)
    assert len(small) == 8
    for section, picture in small:
        assert f'id="{section}"' in page
        assert (site / picture).is_file()


def test_a_study_shows_its_settings_in_a_notebook():
    shown = mi.EventStudy(event_window=(-3, 7))._repr_html_()
    assert "(-3, 7)" in shown
    assert "MarketModel" in shown


def test_a_result_shows_the_primary_and_valid_robustness_tests(golden_market, golden_study):
    from tests.conftest import golden  # noqa: PLC0415

    result = golden_study.run(golden("events_mixed"), golden_market)
    shown = result._repr_html_()
    table = result.test(0, 1)  # the window that a result shows
    valid = table.filter("valid", pl.col("role") != "other")
    assert valid.height
    for row in valid.iter_rows(named=True):
        assert f"{row['p_value']:.3f}" in shown
    not_valid = table.filter(~pl.col("valid"))
    assert not_valid.height
    for row in not_valid.iter_rows(named=True):
        assert row["test"] in shown
