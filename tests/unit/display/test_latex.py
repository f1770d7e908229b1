"""Tables as LaTeX: readable headings, signs that pdflatex has, stars only when asked for, nothing lost unnoticed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.display.headings import heading
from marketimpact.display.latex import MOST_ROWS_ON_A_PAGE, escape
from marketimpact.display.tables import Table
from tests.conftest import NEEDS_PDFLATEX, golden

HOSTILE = r"100% of $x_1 & #2 ~^{a} \input{/etc/passwd} | <b> [l] \"q\" −5 × ≤ ² ° † ‡ … “a” ‘b’ Łódź ą đ ħ ŋ ß ﬁ ǔ 中"
#: Every printable sign below those that become a plain letter or a question mark.
LETTERS = "".join(chr(code) for code in range(0x21, 0x180) if chr(code).isprintable())


@pytest.fixture(scope="module")
def result(golden_market, golden_study) -> mi.StudyResult:
    """Firms and dates that repeat."""
    return golden_study.run(golden("events_mixed"), golden_market)


@pytest.fixture(scope="module")
def one_date(golden_market, golden_study) -> mi.StudyResult:
    """Firms of one date, whose mean abnormal return differs from zero."""
    return golden_study.run(golden("events_clustered"), golden_market)


def test_letters_that_the_fonts_lack_are_pointed_out():
    table = Table(pl.DataFrame({"firm": ["台积电", "Übung", "?"], "n": [1, 2, 2]}))
    with pytest.warns(mi.MarketImpactWarning, match="default fonts of pdflatex lack 台电积, written as question marks"):
        assert "Übung" in table.to_latex()


def compile_document(body: str, folder: Path, preamble: str = "", *options: str) -> str:
    """Compile a document with the packages that the tables name; the log."""
    packages = sorted({name for given in re.findall(r"^% needs \\usepackage\{(.*)\}$", body, flags=re.M)
                       for name in given.split(",")})  # fmt: skip
    uses = rf"\usepackage{{{','.join(packages)}}}" if packages else ""
    document = folder / "paper.tex"
    lines = [r"\documentclass{article}", preamble, uses, r"\begin{document}", body, r"\end{document}"]
    document.write_text("\n".join(lines), encoding="utf-8")
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", *options, document.name]
    done = subprocess.run(run, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:].decode("latin-1")
    return (folder / "paper.log").read_text(encoding="latin-1")


def overfull(log: str) -> list[float]:
    return [float(width) for width in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]


def test_text_has_no_sign_that_pdflatex_lacks_or_that_tex_would_run():
    written = escape(HOSTILE)
    assert max(map(ord, written)) < 0x180
    assert r"\input" not in written.replace(r"\textbackslash{}input", "")
    assert written.startswith(r"100\% of \$x\_1 \& \#2 \textasciitilde{}\textasciicircum{}\{a\}")
    assert escape("−5") == "$-$5"
    assert escape("ǔ ﬁ 中") == "u fi ?"


def test_headings_are_words_and_no_column_names(result):
    with pytest.warns(mi.MarketImpactWarning, match="do not fit the page"):
        written = result.show.car(0, 1).to_latex()
    head = written.partition(r"\toprule")[2].partition(r"\midrule")[0]
    assert "CAR" in head
    assert "95\\% CI" in " ".join(head.split())
    for name in ("ci_low", "p_filtered", "n_days", "ci\\_low", "p\\_filtered", "n\\_days"):
        assert name not in written
    assert [heading(name) for name in ("n_days", "r2", "my_score")] == ["Sessions", "R²", "My score"]


def test_cells_are_those_of_the_table(result):
    frame = result.car(0, 1).select("event_id", "symbol", "car", "p")
    table = result.show(frame, "CARs")
    rows = re.findall(r"^(.*) \\\\$", table.to_latex().partition(r"\midrule")[2].partition(r"\bottomrule")[0], re.M)
    assert len(rows) == frame.height
    for written, row in zip(rows, frame.iter_rows(named=True), strict=True):
        car = f"{100 * row['car']:+.2f}\\%".replace("-", "$-$")
        p = r"\textless{}0.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
        assert written == f"{row['event_id'].replace('_', chr(92) + '_')} & {row['symbol']} & {car} & {p}"
    assert "*" not in table.to_latex()


def test_stars_are_of_the_valid_p_values_and_their_levels_are_said():
    frame = pl.DataFrame(
        {
            "event_id": list("abcdef"),
            "car": [0.01] * 6,
            "p_filtered": [0.2, 0.0999, 0.0499, 0.00999, 0.001, None],
            "valid_filtered": [True, True, True, True, False, True],
        }
    )
    table = Table(frame, columns=("event_id", "car"))
    cells = dict(re.findall(r"^(\w) & \+1\.00\\%(.*) \\\\$", table.to_latex(stars=True), flags=re.M))
    assert {name: cell.count("*") for name, cell in cells.items()} == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 0, "f": 0}
    note = r"* p (filtered) \textless{} 0.10, ** p (filtered) \textless{} 0.05, *** p (filtered) \textless{} 0.01"
    assert f"{note}, where p is valid." in table.to_latex(stars=True)
    assert "*" not in table.to_latex()
    assert note in Table(frame.drop("valid_filtered")).to_latex(stars=True)


def test_stars_without_p_values_are_refused():
    with pytest.raises(mi.SpecificationError, match="no column of this table has p-values"):
        Table(pl.DataFrame({"car": [0.1]})).to_latex(stars=True)
    named = Table(pl.DataFrame({"gap": [0.1], "p_gap": [0.02]}), p_columns=(("gap", "p_gap", ""),))
    assert r"\rlap{$^{**}$}" in named.to_latex(stars=True)
    assert r"* p \textless{} 0.10" in named.to_latex(stars=True)


@pytest.mark.filterwarnings("ignore:to_latex. left out minimum detectable effect")
def test_tests_have_stars_only_where_they_are_valid(one_date):
    table = one_date.show.test(0, 0, invalid=True)
    frame = one_date.test(0, 0)
    expected = [
        ""
        if not row["valid"] or row["p_value"] != row["p_value"]
        else "*" * sum(row["p_value"] < a for a in (0.1, 0.05, 0.01))
        for row in frame.iter_rows(named=True)
    ]
    assert set(frame["valid"]) == {True, False}
    written = table.to_latex(stars=True)
    assert any(expected)
    rows = re.findall(r"^(.*) \\\\$", written.partition(r"\midrule")[2].partition(r"\bottomrule")[0], flags=re.M)
    assert [len("".join(re.findall(r"\^\{(\*+)\}", row))) for row in rows] == [len(stars) for stars in expected]


def test_what_is_for_a_session_of_python_is_not_in_a_paper(result):
    shown = repr(result.show.test(0, 1))
    written = result.show.test(0, 1).to_latex()
    assert "invalid=True" in shown
    for words in ("invalid=True", ".frame", "show.test"):
        assert words not in written
    assert "Effect: abnormal return that the test estimates" in " ".join(written.split())


def test_caption_label_and_headings_are_the_users(result):
    table = result.show(result.car(0, 1).select("symbol", "car"), "Mine")
    written = table.to_latex(caption="Reactions & more", label="tab:car", headings={"car": "CAR[0, 1]"})
    assert r"\caption{Reactions \& more}\label{tab:car}" in written
    assert "CAR{[}0, 1{]}" in written
    assert r"\caption{Mine}" in table.to_latex()
    assert r"\caption" not in table.to_latex(caption="")
    with pytest.raises(mi.SpecificationError, match=r"headings=\['colour'\]: the table shows symbol, car"):
        table.to_latex(headings={"colour": "x"})
    with pytest.raises(mi.SpecificationError, match="label="):
        table.to_latex(label=r"a}\input{b")


def test_a_long_table_has_every_row_over_pages():
    frame = pl.DataFrame({"event_id": [f"e{n}" for n in range(200)], "car": [0.01] * 200})
    written = Table(frame, "Long").to_latex()
    assert written.count("+1.00") == 200
    assert written.count(r"\begin{longtable}") == written.count(r"\end{longtable}") == 1
    assert "longtable" in written.splitlines()[0]
    assert "longtable" not in Table(frame.head(MOST_ROWS_ON_A_PAGE)).to_latex()


def test_columns_that_do_not_fit_are_named_and_left_out():
    frame = pl.DataFrame({f"number{n}": [123456.789] for n in range(12)})
    with pytest.warns(mi.MarketImpactWarning, match=r"left out number\d+, .*number11.*result.show\(frame, columns"):
        written = Table(frame).to_latex()
    assert "Number11" not in written
    assert 3 < written.partition(r"\toprule")[2].count("Number") < 12


def test_a_long_text_that_all_rows_repeat_is_a_note():
    band = "forecast error of portfolios, scaled"
    frame = pl.DataFrame({"tau": [0, 1], "caar": [0.1, 0.2], "band": [band] * 2, "note": ["", ""], "side": ["up"] * 2})
    written = Table(frame, footnotes="note").to_latex()
    assert written.count(band) == 1
    assert rf"\emph{{Notes:}} Band: {band}." in written
    assert "Session & CAAR & Side" in written
    assert Table(frame.head(1)).to_latex().count(" & ") == 8  # one row: heading and cells of all five columns


def test_notes_are_about_the_columns_shown():
    frame = pl.DataFrame({"car": [0.1], "p_holm": [0.2]})
    written = Table(frame, notes=("p_holm, p_bh: corrected", "p_by: another", "p_holm and p_by differ")).to_latex()
    assert "p (Holm): corrected." in written
    assert "p (Holm) and p (Benjamini-Yekutieli) differ." in written


def test_simulated_prices_and_other_units_are_called_so(sample_market):
    events = mi.align(mi.announcements().filter(pl.col("announcement_id").str.contains("beijing")), sample_market)
    simulated = mi.EventStudy().run(events, sample_market)
    assert "SIMULATED PRICES" in simulated.show(simulated.car(0, 1).select("event_id", "car")).to_latex()
    assert "log volumes" in Table(pl.DataFrame({"car": [0.1]}), unit="log volume").to_latex()


@NEEDS_PDFLATEX
@pytest.mark.parametrize("preamble", ["", r"\usepackage[T1]{fontenc}"])
def test_every_letter_compiles(tmp_path, preamble):
    lines = [escape(sign) + r"\par" for sign in [*LETTERS, HOSTILE]]
    log = compile_document("\n".join(lines), tmp_path, preamble, "-draftmode")  # fonts of T1 may be missing
    assert "Missing character" not in log


@NEEDS_PDFLATEX
@pytest.mark.filterwarnings("ignore::marketimpact.MarketImpactWarning")
def test_tables_compile_with_the_default_fonts_and_fit_the_page(result, tmp_path):
    hostile = pl.DataFrame({"name": [HOSTILE] * 2, "car": [0.1, -0.2], "p": [0.2, 0.001]})
    tables = [
        result.show.car(0, 1), result.show.test(0, 1), result.show.test(0, 1, invalid=True),
        result.show.single_tests(0, 1), result.by("date").show.test(0, 1), Table(hostile, HOSTILE, (HOSTILE,)),
    ]  # fmt: skip
    texts = [table.to_latex(stars=True, label=f"tab:{n}") for n, table in enumerate(tables)]
    texts += [result.show.caar().to_latex(), result.show.attrition().to_latex(), result.show.estimates().to_latex()]
    texts.append(Table(pl.concat([hostile] * 100), "long").to_latex())
    log = compile_document("\n\n".join(texts), tmp_path)
    assert "Missing character" not in log
    assert max(overfull(log), default=0.0) < 1, overfull(log)  # a point is less than a quarter of a letter
