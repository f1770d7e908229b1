"""Every printed cell of docs/replications is met from the authors' data, and the pages say what was met."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from docs.findings.changes import BLOCK
from docs.replications import goldsmith_pinkham_lyu, incerti, replicate
from docs.replications.printed import compared, counts
from tests.conftest import ROOT, SHARED

PAGES = ROOT / "docs" / "replications"
DATA = SHARED / "replications"
HEAD = ("printed", "ours", "difference", "state")


@cache
def rows(page: str) -> list[dict[str, str]]:
    """The rows of the table of all cells, by column."""
    blocks = {block[2]: block[3] for block in BLOCK.finditer((PAGES / f"{page}.md").read_text(encoding="utf-8"))}
    head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in blocks["cells"].splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines]


def cell(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(value for name, value in row.items() if name not in HEAD)


def tolerance(printed: str) -> float:
    """Half a unit of the last printed digit."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2]) + 1e-9


def data_of(module) -> Path:
    folder = DATA / module.FOLDER
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/replications/{module.FOLDER}, data of the paper, not part of the repository")
    return folder


@pytest.fixture(scope="module")
def ours_incerti() -> dict[tuple[str, ...], float]:
    cells = incerti.replicated(data_of(incerti))
    return {(row["event"], row["window"], row["what"]): row["ours"] for row in cells.iter_rows(named=True)}


@pytest.fixture(scope="module")
def ours_simulated() -> dict[tuple[str, ...], float]:
    cells = goldsmith_pinkham_lyu.replicated(data_of(goldsmith_pinkham_lyu))
    letters = {name: title[0] for name, title in goldsmith_pinkham_lyu.PANELS.items()}
    return {
        (letters[row["panel"]], row["estimator"], row["periods"], row["statistic"]): row["ours"]
        for row in cells.iter_rows(named=True)
    }


@pytest.mark.shared
@pytest.mark.parametrize("row", rows("incerti"), ids=lambda row: "-".join(cell(row)))
def test_a_printed_cell_of_incerti_and_incerti_is_met(row, ours_incerti):
    assert ours_incerti[cell(row)] == pytest.approx(float(row["printed"]), abs=tolerance(row["printed"]))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    "row",
    [row for row in rows("goldsmith_pinkham_lyu") if row["state"] != "open"],
    ids=lambda row: "-".join(cell(row)),
)
def test_a_printed_cell_of_goldsmith_pinkham_and_lyu_is_met(row, ours_simulated):
    assert ours_simulated[cell(row)] == pytest.approx(float(row["printed"]), abs=tolerance(row["printed"]))


@pytest.mark.parametrize("page", list(replicate.PAGES))
def test_a_page_says_of_each_cell_what_its_numbers_say(page):
    for row in rows(page):
        if not row["ours"]:
            assert row["state"] == "open", row
            continue
        # ours is written with one digit more than printed
        difference = abs(float(row["ours"]) - float(row["printed"]))
        is_met = difference <= tolerance(row["printed"]) + 0.5 * 10.0 ** -len(row["ours"].partition(".")[2])
        assert row["state"] == ("met" if is_met else "differs"), row


def test_the_summary_counts_the_cells_of_the_pages():
    summary = (PAGES / "README.md").read_text(encoding="utf-8")
    for page in replicate.PAGES:
        states = [row["state"] for row in rows(page)]
        counted = [str(len(states)), *(str(states.count(state)) for state in ("met", "differs", "open"))]
        assert f"({page}.md) | {' | '.join(counted)} |" in summary


def test_a_cell_is_met_by_half_a_unit_of_its_last_digit():
    cells = compared(pl.DataFrame({"printed": [0.10, 0.10, 0.10], "ours": [0.105, 0.1051, None], "part": "a"}), 2)
    assert cells["state"].to_list() == ["met", "differs", "open"]
    assert counts(cells, "part", "part").splitlines()[2:] == ["| a | 3 | 1 | 1 | 1 |", "| all | 3 | 1 | 1 | 1 |"]


def test_without_data_pages_stay_as_they_are(tmp_path):
    for path in PAGES.glob("*.md"):
        shutil.copy(path, tmp_path)
    said = list(replicate.remake(tmp_path / "none", tmp_path))
    assert said[:2] == [
        f"{page}.md: left as it is, since there is no folder {module.FOLDER} in {tmp_path / 'none'}"
        for page, module in replicate.PAGES.items()
    ]
    assert said[2] == "README.md: no number changed"
    assert (tmp_path / "incerti.md").read_text() == (PAGES / "incerti.md").read_text()


@pytest.mark.parametrize(("given", "words"), [([], "No folder was given"), (["nowhere"], "There is no folder nowhere")])
def test_a_folder_that_is_not_there_is_refused(given, words):
    with pytest.raises(SystemExit, match=words):
        replicate.main(given)
