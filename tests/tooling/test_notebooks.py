"""Every notebook runs from top to bottom, on simulated and on real prices, and holds what it gives on simulated ones.

The build of the site runs notebooks on simulated prices; what they gave is kept in `.cache/docs` and read here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
import pytest

from docs import executed, notebooks
from marketimpact.display.formats import SIMULATED_CHART
from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: jupyter's own warnings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
#: Those that are about real prices where these are at hand.
ON_PRICES = [path for path in NOTEBOOKS if path.stem[:2] in {"01", "02", "03", "04"}]
#: What else the answer of a notebook must say.
ANSWERS = {
    "01_h20": ("Nvidia",),
    "05_your_own_data": ("12 events of 12 were used",),
    "08_minute_bars": ("3 firms moved by -", "more than usual at that time of day", "0981.HK could trade"),
    "06_validity": ("bmp, one date", "bmp_kp, one date", "does not keep its size here"),
}
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    stems = [
        "01_h20",
        "02_campaigns",
        "03_mirror",
        "04_specification_curve",
        "05_your_own_data",
        "06_validity",
        "07_scaling",
        "08_minute_bars",
    ]
    assert [path.stem for path in NOTEBOOKS] == stems


@every_notebook
def test_stored_outputs_are_those_of_the_code(path: Path, site: Path):
    stored = notebooks.code_cells(nbformat.read(path, as_version=4))
    now = notebooks.code_cells(notebooks.with_outputs(path))
    for old, new in zip(stored, now, strict=True):
        assert notebooks.words(old.outputs) == notebooks.words(new.outputs), f"cell {old.id}: make notebooks"


@every_notebook
def test_stored_outputs_are_of_simulated_prices_and_say_so(path: Path):
    notebook = nbformat.read(path, as_version=4)
    assert "**simulated**" in notebook.cells[0].source
    outputs = [output for cell in notebooks.code_cells(notebook) for output in cell.outputs]
    assert outputs
    charts = [output.data["image/svg+xml"] for output in outputs if "image/svg+xml" in output.get("data", {})]
    assert all(SIMULATED_CHART in chart for chart in charts)


@every_notebook
def test_nothing_stored_is_about_one_machine(path: Path):
    text = path.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert tempfile.gettempdir() not in text
    notebook = nbformat.read(path, as_version=4)
    counts = [cell.execution_count for cell in notebooks.code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert notebook.metadata.language_info == {"name": "python"}
    for cell in notebooks.code_cells(notebook):
        assert not cell.metadata, "no clock"
        assert not [output for output in cell.outputs if output.get("name") == "stderr"]


def test_the_words_of_outputs_are_what_a_reader_sees():
    given = [
        {"text/plain": "CAAR +4.8%"},
        {"image/svg+xml": "<svg><path d='M0'/><text x='1'>R&amp;D +4.8%</text></svg>", "text/plain": "a chart"},
        {"text/html": "<style>td {color: red}</style><td id='a'>p = 0.004</td>", "text/plain": "a table"},
    ]
    outputs = [nbformat.v4.new_output("display_data", data=data) for data in given]
    printed = nbformat.v4.new_output("stream", text="12 events\nused\n")
    assert notebooks.words([printed, *outputs]) == "12 events used CAAR +4.8% R&D +4.8% p = 0.004"


@every_notebook
def test_the_notebook_runs(path: Path, site: Path):
    notebook = nbformat.read(path, as_version=4)
    answer = _last_output(executed.run(notebook, path.name))
    assert answer
    assert all(line.startswith("SIMULATED") for line in answer)
    assert all(words in "\n".join(answer) for words in ANSWERS.get(path.stem, ()))


@pytest.mark.shared
@pytest.mark.parametrize("path", ON_PRICES, ids=lambda path: path.stem)
def test_on_real_prices_nothing_is_called_simulated(path: Path, shared: Path):
    notebook = nbformat.read(path, as_version=4)
    executed.execute(notebook, MARKETIMPACT_PRICES=str(shared.resolve() / "data" / "prices.parquet"))
    answer = _last_output(notebook)
    assert answer
    assert "simulated" not in " ".join(answer).lower()


def _last_output(notebook: nbformat.NotebookNode) -> list[str]:
    """Lines that the last code cell prints, which state the finding."""
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    return "".join(output.text for output in last.outputs if output.get("name") == "stdout").splitlines()
