"""Every model and test has a page that says what the registry says, and every page stands in the navigation."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import marketimpact as mi
from docs import data_model, formulas
from tests.conftest import ROOT

DOCS = ROOT / "docs"
SECTIONS = ["Formula", "Assumes", "Do not use", "Source", "Other programs", "Agreement"]
FOLDERS = ("tests", "models", "procedures")
PAGES = sorted(p for folder in FOLDERS for p in (DOCS / folder).glob("*.md") if p.stem != "README")
ALL = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "data").rglob("*.md"), *DOCS.rglob("*.md")])
MODEL_ROWS = ["regressors", "degrees of freedom", "variance of the forecast error", "how to write it"]
#: A file, perhaps with a test in it, in backticks.
PATH = re.compile(r"`([\w./-]+\.(?:py|md))(?:::(\w+))?`")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def page_id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def named(folder: str) -> set[str]:
    return {path.stem for path in PAGES if path.parent.name == folder}


def rows(content: str) -> dict[str, list[str]]:
    """Cells of every table row, by the first cell without its link."""
    found = {}
    for line in content.splitlines():
        if line.startswith("| ") and line != "| | |":
            first, *others = [cell.strip() for cell in line.strip("|").split(" | ")]
            found[re.sub(r"\[(.*?)\]\(.*?\)", r"\1", first)] = others
    return found


def levels(holds: mi.inference.Holds) -> list[str]:
    return [holds.separate, holds.event_variance, holds.shared_date, holds.both]


@cache
def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(text(path))) if isinstance(node, ast.FunctionDef)}


def test_tests_have_pages_and_pages_have_tests():
    assert named("tests") == set(mi.TESTS)


def test_models_have_pages():
    assert set(mi.MODELS) == named("models")


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_a_page_has_its_sections_in_order(path):
    content = text(path)
    lines = content.splitlines()
    assert lines[0].startswith("# ")
    assert lines[2] == f"`{path.stem}`"
    assert lines[4:6] == ["| | |", "|---|---|"]
    parts = re.split(r"^## (.+)$", content, flags=re.MULTILINE)
    assert parts[1::2] == SECTIONS
    assert all(len(part.strip()) > 5 for part in parts[2::2])


@pytest.mark.parametrize("name", list(mi.TESTS))
def test_the_table_of_a_test_is_the_registry(name):
    test, content = mi.TESTS[name], text(DOCS / "tests" / f"{name}.md")
    holds = test.holds
    expected = {
        "null": test.null,
        "estimate": test.estimate,
        "distribution": test.distribution,
        "separate dates": holds.separate,
        "separate dates, own variance raised": holds.event_variance,
        "shared dates": holds.shared_date,
        "shared dates, own variance raised": holds.both,
    }
    if holds.min_events != 1:
        expected["fewest events"] = str(holds.min_events)
    if holds.min_clusters != 1:
        expected["fewest dates"] = str(holds.min_clusters)
    found = {key: cells[0] for key, cells in rows(content).items()}
    needs = ["no days in common"] * holds.clusters_apart + ["similar sizes"] * holds.clusters_alike
    if needs:
        expected["dates need"] = ", ".join(needs)
    if holds.assumes:
        expected["assumes"] = (
            f"{', '.join(sorted(holds.assumes))} ([checked for the events](../primary_test.md#not-valid))"
        )
    assert found == expected
    source = content.split("## Source")[1].split("## Other programs")[0]
    assert test.source.lower() in source.lower()


@pytest.mark.parametrize("name", list(mi.MODELS))
def test_what_a_model_page_says_to_write_is_that_model(name):
    found = rows(text(DOCS / "models" / f"{name}.md"))
    assert list(found) == MODEL_ROWS
    written = re.fullmatch(r"`(.+)`", found["how to write it"][0])
    assert written
    model = eval(written[1], {"mi": mi})
    lost = found["degrees of freedom"][0]
    if name == "factor_model":  # as many as there are factors
        assert isinstance(model, mi.FactorModel)
        assert lost == "M - 1 - number of factors"
    elif name in mi.models.PEER_MODELS:  # as many as there are components, or coefficients
        assert isinstance(model, mi.MODELS[name])
        assert lost.startswith("M - ")
    else:
        assert model == mi.MODELS[name]()
        assert re.match(r"M - (\d+)", lost)[1] == str(model.design.n_parameters)


@pytest.mark.parametrize("path", ALL, ids=page_id)
def test_what_a_page_points_at_exists(path):
    content = text(path)
    if path in PAGES:
        for file, function in PATH.findall(content):
            assert (ROOT / file).is_file(), file
            if function:
                assert function in functions(ROOT / file), function
    for target in LINK.findall(content):
        assert target.startswith("https://") or (path.parent / target).is_file(), target


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_index_names_every_page_once(folder):
    linked = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\)", text(DOCS / folder / "README.md"), flags=re.MULTILINE)
    assert all(name == target for name, target in linked)
    assert sorted(name for name, _ in linked) == sorted(named(folder))


def test_the_index_agrees_with_the_registry():
    found = rows(text(DOCS / "tests" / "README.md"))
    for name, test in mi.TESTS.items():
        assert found[name] == [test.null, test.distribution, *levels(test.holds)], name
    found = rows(text(DOCS / "models" / "README.md"))
    for name in named("models"):
        page = rows(text(DOCS / "models" / f"{name}.md"))
        cells = [page[key][0] for key in ("regressors", "degrees of freedom", "how to write it")]
        assert found[name] == cells, name


def test_the_navigation_sorts_pages_as_the_indices_do():
    for folder in FOLDERS:
        listed = re.findall(rf"^ +- {folder}/(\w+)\.md$", text(ROOT / "mkdocs.yml"), flags=re.MULTILINE)
        linked = re.findall(r"^\| \[(\w+)\]\(\w+\.md\)", text(DOCS / folder / "README.md"), flags=re.MULTILINE)
        assert listed == ["README", *linked]


def test_the_reference_has_every_public_name_once():
    named_there = re.findall(
        r"^::: marketimpact\.(\w+)$",
        "\n".join(text(path) for path in sorted((DOCS / "reference").glob("*.md"))),
        flags=re.MULTILINE,
    )
    assert sorted(named_there) == sorted(mi.__all__)


@pytest.mark.parametrize("path", [path for path in PAGES if "$$" in text(path)], ids=page_id)
def test_a_displayed_formula_is_typeset(path):
    content = text(path)
    typeset = formulas.typeset(content)
    assert "$$" not in typeset
    assert typeset.count("<math") == content.count("$$") / 2
    assert not re.search(r"<m[a-z]+>\\\\", typeset)  # a command that was not understood
    for words in ("\\frac", "\\mathit", "\\sum", "\\sqrt"):
        assert words not in typeset


def source_section(path: Path) -> str:
    return text(path).partition("## Source\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("path", [p for p in [*PAGES, DOCS / "primary_test.md"] if "## Source" in text(p)], ids=page_id)
def test_a_work_named_as_a_source_has_its_full_reference_there(path):
    prose, _, _ = source_section(path).partition("\n* ")
    listed = set(re.findall(r"^\* .+$", source_section(path), flags=re.MULTILINE))
    assert listed <= set(text(DOCS / "references.md").splitlines())
    years = {
        year
        for group in re.findall(r"[a-z] \(((?:18|19|20)\d\d(?:(?:, | and )\d{4})*)\)", prose)
        for year in re.findall(r"\d{4}", group)
    }
    assert years == {re.search(r"\((\d{4})\)", line)[1] for line in listed}


def test_every_reference_is_named_on_a_page():
    listed = re.findall(r"^\* .+$", text(DOCS / "references.md"), flags=re.MULTILINE)
    assert len(set(listed)) == len(listed)
    pages = "\n".join(source_section(path) for path in [*PAGES, DOCS / "primary_test.md"])
    assert [line for line in listed if line not in pages] == []


def test_the_data_model_is_that_of_the_code():
    content, facts = text(data_model.PAGE), data_model.facts()
    tables, said = data_model.sections(content), data_model.meanings(content)
    assert set(tables) == set(facts)
    for name, found in facts.items():
        assert tables[name] == data_model.table(name, found, said[name]), f"{name}: python docs/tables.py"
        assert all(said[name][column] for column, *_ in found), f"{name}: a column without its meaning"


def test_the_data_model_notices_a_column_that_is_new_or_renamed():
    content = text(data_model.PAGE)
    rows_there = data_model.facts()["Prices"]
    said = data_model.meanings(content)["Prices"]
    renamed = [("ticker", *rows_there[0][1:]), *rows_there[1:]]
    for changed in (renamed, [*rows_there, ("bid", "number", "optional")], rows_there[1:]):
        assert data_model.table("Prices", changed, said) != data_model.sections(content)["Prices"]
