"""Store in every notebook what it gives on simulated prices: make notebooks.

Whoever reads a notebook without running it then sees its results. `tests/tooling/test_notebooks.py` compares what is
stored with what the code gives now.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from docs import executed

NOTEBOOKS = executed.ROOT / "notebooks"
#: Texts of a chart, and everything of a table that is no text.
SVG_TEXT = re.compile(r"<text[^>]*>(.*?)</text>", flags=re.DOTALL)
MARKUP = re.compile(r"<style>.*?</style>|<[^>]*>", flags=re.DOTALL)


def with_outputs(path: Path) -> Any:
    """A notebook with what its code gives on simulated prices: no clock, and no progress, which leaves no words."""
    given = executed.run(nbformat.read(path, as_version=4), path.name)
    notebook = nbformat.read(path, as_version=4)
    for number, (cell, ran) in enumerate(zip(code_cells(notebook), code_cells(given), strict=True), 1):
        cell.execution_count = number
        cell.outputs = [each for each in ran.outputs if each.get("name") != "stderr" and words([each])]
    return notebook


def code_cells(notebook: Any) -> list[Any]:
    """Cells with code, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words(outputs: Sequence[Any]) -> str:
    """List the words and numbers that a reader sees in the outputs of a cell: text, tables, charts."""
    texts = []
    for output in outputs:
        data = output.get("data", {})
        if "image/svg+xml" in data:
            texts.append(MARKUP.sub(" ", " ".join(SVG_TEXT.findall(data["image/svg+xml"]))))
        elif "text/html" in data:
            texts.append(MARKUP.sub(" ", data["text/html"]))
        else:
            texts.append(data.get("text/plain", output.get("text", "")))
    return " ".join(html.unescape(" ".join(texts)).split())


def main() -> None:
    logging.basicConfig(format="%(message)s")
    executed.LOG.setLevel(logging.INFO)
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    executed.run_side_by_side(paths, [])
    for path in paths:
        nbformat.write(with_outputs(path), path)


if __name__ == "__main__":
    main()
