"""The report in its other formats: the same words and tables, text that stays text, the same bytes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import marketimpact as mi
from marketimpact import report
from marketimpact.cli import app
from marketimpact.report.figures import _noise
from marketimpact.report.markdown_latex import Pages, as_markdown
from tests.conftest import NEEDS_PDFLATEX

NASTY = r"100% of $x_1 & #2 ~^{a} \input{/etc/passwd} | <b>*bold*</b> `code` [l](x) #read(`q`) −5 ‡ 中"


@pytest.fixture(scope="module")
def result(h20) -> mi.StudyResult:
    events = h20.events.filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    return mi.EventStudy().run(events.with_columns(pl.lit(NASTY).alias("headline")), h20.result.market)


@pytest.fixture(scope="module")
def written(result, tmp_path_factory):
    pytest.importorskip("typst", reason="needs typst: pip install 'marketimpact[pdf]'")
    folder = tmp_path_factory.mktemp("formats")
    paths = [folder / f"report.{kind}" for kind in ("html", "md", "tex", "pdf")]
    told = report.report_content(result, group="group")
    return dict(zip(("html", "md", "tex", "pdf"), report.write_reports(told, paths), strict=True))


def test_markdown_has_tables_of_equal_rows_and_no_markup_from_outside(written):
    text = written["md"].read_text(encoding="utf-8")
    assert "SIMULATED PRICES" in text
    assert "<b>" not in text
    assert r"\*bold\*" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


def test_markdown_has_windows_in_plain_brackets_and_no_links_from_outside(written):
    text = written["md"].read_text(encoding="utf-8")
    assert "[0, 1]" in text
    assert r"\[0, 1\]" not in text
    for said in ("[0, 1](https://x.example)", "[0, 1][a]", "[0, 1]: https://x.example", "[a](https://x.example)"):
        page = Pages("t", said, simulated=False, sections=[])
        escaped = said.replace("[", r"\[").replace("]", r"\]")
        assert escaped in as_markdown(page)


def test_tex_is_balanced_and_escapes_what_tex_would_run(written):
    text = written["tex"].read_text(encoding="utf-8")
    assert r"\input" not in text.replace("inputenc", "").replace(r"\textbackslash{}input", "")
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == text.count(r"\bottomrule") > 3
    bare = re.sub(r"\\[\\{}%&#$_]", "", text)
    assert bare.count("{") == bare.count("}")


def test_the_charts_of_tex_lie_beside_it_and_are_those_of_the_other_formats(written, result, tmp_path):
    text = written["tex"].read_text(encoding="utf-8")
    used = re.findall(r"\\includegraphics\[[^\]]*\]\{([^}]*)\}", text)
    there = sorted(path.relative_to(written["tex"].parent) for path in written["tex"].parent.glob("report-charts/*"))
    assert sorted(map(Path, used)) == there
    assert len(used) == written["html"].read_text(encoding="utf-8").count("<figure") > 3
    charts = [(written["tex"].parent / name).read_bytes() for name in used]
    assert all(chart.startswith(b"\x89PNG") for chart in charts)
    again = report.write_report(result, tmp_path / "my report_2.tex", group="group")
    names = [path.name for path in tmp_path.iterdir()]
    assert sorted(names) == ["my report_2.tex", "my-report-2-charts"]
    assert "my-report-2-charts/chart1.png" in again.read_text(encoding="utf-8")
    assert [(tmp_path / "my-report-2-charts" / Path(name).name).read_bytes() for name in used] == charts


@NEEDS_PDFLATEX
def test_tex_compiles_in_its_folder(written, tmp_path):
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"-output-directory={tmp_path}", "report.tex"]
    done = subprocess.run(run, cwd=written["tex"].parent, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
    wide = re.findall(r"Overfull \\hbox \(([\d.]+)pt", (tmp_path / "report.log").read_text(encoding="latin-1"))
    assert max(map(float, wide), default=0.0) < 5  # nothing sticks out of its column


def test_a_pdf_is_the_same_bytes_twice(written, result, tmp_path):
    again = report.write_report(result, tmp_path / "again.pdf", group="group")
    assert again.read_bytes() == written["pdf"].read_bytes()
    assert again.read_bytes().startswith(b"%PDF")


def test_a_pdf_without_typst_says_what_to_install(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(mi.SpecificationError, match=r"marketimpact\[pdf\]"):
        report.write_report(result, tmp_path / "r.pdf")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused_before_any_work(tmp_path):
    done = CliRunner().invoke(app, ["run", "h20", "--out", str(tmp_path / "o"), "--format", "html,doc"])
    assert done.exit_code == 2
    assert not (tmp_path / "o").exists()


def test_the_noise_is_the_scatter_of_the_groups_mean(result):
    group = result.where(pl.col("group") == "Chinese foundries")
    means = []
    for day in range(group.estimation.residuals.shape[1]):
        held = [value for value in group.estimation.residuals[:, day] if value == value]
        means += [sum(held) / len(held)] if held else []
    centre = sum(means) / len(means)
    by_hand = (sum((mean - centre) ** 2 for mean in means) / (len(means) - 1)) ** 0.5
    assert _noise(group) == pytest.approx(by_hand, rel=1e-10)
