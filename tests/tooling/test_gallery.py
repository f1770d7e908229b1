"""The programs of the gallery run as they stand on the page, and their charts draw."""

from __future__ import annotations

import ast
import re

import polars as pl

import marketimpact as mi
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
    assert drawn == 6
    assert (tmp_path / "report.html").exists()


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
