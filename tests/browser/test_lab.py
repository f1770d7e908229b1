"""JupyterLab as `make lab` opens it, in a real browser: charts, tables, errors and completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import nbformat
import pytest

from tests.conftest import ROOT

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
pytest.importorskip("jupyterlab", reason="needs JupyterLab: pip install -e '.[notebooks]'")
pytestmark = pytest.mark.slow
#: A page that is still busy after so many milliseconds will not come to an end.
PATIENCE = 120_000
CELLS = [
    "import polars as pl\nimport marketimpact as mi\n"
    "market = mi.Market.load(mi.securities().filter(pl.col('symbol').is_in(['NVDA', 'AMD'])), mi.SamplePrices())\n"
    "events = mi.align(mi.announcements().filter(pl.col('stance') == 'restrictive'), market, symbols='all')\n"
    "result = mi.EventStudy().run(events, market)\nresult",
    "result.show.attrition()",
    "result.plot.firms(0, 1)",
    "result.plot()",
    "result.car(-20, 30)",
    "",
]
OPTIONS = ["--no-browser", "--allow-root", "--IdentityProvider.token=", "--port=0", "--LabApp.news_url=None"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> str:
    """Address of a JupyterLab on a folder with a space in its name, which runs this tree's package."""
    folder = tmp_path_factory.mktemp("lab") / "my notebooks"
    folder.mkdir()
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "mine.ipynb")
    own = {
        name: str(folder.parent / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    log = folder.parent / "server.log"
    with log.open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *OPTIONS, f"--ServerApp.root_dir={folder}"],
            env={**os.environ, **own, "PYTHONPATH": str(ROOT)},
            cwd=folder,
            stderr=said,
        )
    while not (found := re.search(r"http://localhost:\d+/lab", log.read_text())):
        assert server.poll() is None, log.read_text()
        time.sleep(0.2)
    yield found.group(0)
    server.terminate()
    server.wait(30)


def _run(page, number):
    """Run a cell; a kernel that is not ready loses the first request."""
    cell = page.locator(".jp-CodeCell").nth(number)
    prompt = cell.locator(".jp-InputPrompt")
    for _ in range(30):
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(1_000)
        if prompt.inner_text().strip() != "[ ]:":
            break
    sync_api.expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=PATIENCE)


@pytest.fixture(scope="module")
def page(lab, browser):
    """The notebook with every cell run."""
    page = browser.new_page(viewport={"width": 1280, "height": 4000})  # all cells at once: others are not drawn
    page.outside = []
    page.on("request", lambda asked: page.outside.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(f"{lab}/tree/mine.ipynb?reset", timeout=PATIENCE)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=PATIENCE)
    for number in range(len(CELLS) - 1):
        _run(page, number)
    yield page
    page.close()


def output(page, number):
    return page.locator(".jp-CodeCell").nth(number).locator(".jp-OutputArea")


def test_a_result_is_words_and_a_table(page):
    said = output(page, 0).inner_text()
    assert "StudyResult: market_model" in said
    assert "SIMULATED PRICES" in said
    assert output(page, 0).locator("table tbody tr").count() >= 12


def test_tables_are_as_wide_as_the_notebook(page):
    room = page.locator(".jp-Notebook").first.bounding_box()
    for table in output(page, 1).locator("table").all():
        box = table.bounding_box()
        assert box["x"] + box["width"] <= room["x"] + room["width"]
    assert "events could not be used" in output(page, 1).inner_text()


@pytest.mark.parametrize("number", [2, 3])
def test_charts_are_drawn(page, number):
    picture = output(page, number).locator("img, svg").first
    assert picture.bounding_box()["height"] > 200
    assert "Javascript Error" not in output(page, number).inner_text()


def test_an_error_is_short(page):
    lines = output(page, 4).inner_text().strip().splitlines()
    assert lines[0].startswith("SpecificationError: window (-20, 30) reaches outside the study's event_window")
    assert lines[-1].strip() == "line 1: result.car(-20, 30)"
    assert len(lines) <= 4


def test_completion_shows_the_questions(page):
    page.locator(".jp-CodeCell").nth(5).locator(".cm-content").click()
    page.keyboard.type("result.")
    page.keyboard.press("Tab")
    page.locator(".jp-Completer-item").first.wait_for(timeout=PATIENCE)
    offered = {item.strip() for item in page.locator(".jp-Completer-item .jp-Completer-match").all_inner_texts()}
    assert {"car", "caar", "test", "show", "plot", "where", "attrition"} <= offered
    assert not {"estimation", "rows", "held", "sample"} & offered


def test_nothing_is_requested_from_the_network(page):
    assert [url for url in page.outside if not re.match(r"https?://localhost:", url)] == []
