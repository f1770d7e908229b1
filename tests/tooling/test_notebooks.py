"""Every notebook runs from top to bottom, on simulated and on real prices, and is committed without outputs.

The build of the site runs notebooks on simulated prices; what they gave is kept in `.cache/docs` and read here.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from docs import executed
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
    ]
    assert [path.stem for path in NOTEBOOKS] == stems


@every_notebook
def test_outputs_are_stripped(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)


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
    return "".join(output.get("text", "") for output in last.outputs).splitlines()
