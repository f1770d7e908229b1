"""Programs of notebooks and pages, run without a network, written as Markdown with what they print and draw.

`make docs` runs them and says which. A run is kept in `.cache/docs` under a hash of the programs, the package, its data
and what is installed, so that nothing is run twice.
"""

from __future__ import annotations

import hashlib
import html
import logging
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".cache" / "docs"
#: Files that outputs depend on besides the programs.
INPUTS = ("marketimpact/**/*.py", "data/**/*.*", "studies/*.toml")
#: The head of a page whose Python blocks are run.
RUN = re.compile(r"---\n(?:.*\n)*?run: true\n(?:.*\n)*?---\n")
BLOCK = re.compile(r"^```python\n(.*?)^```$\n?", flags=re.DOTALL | re.MULTILINE)
#: polars writes a style into every table; the site has its own.
STYLE = re.compile(r"<style>.*?</style>\s*", flags=re.DOTALL)
#: The title of a chart, which is its alternative text; lines of it are elements of their own.
TITLE = re.compile(r"role-title-text.*?<text[^>]*>(.*?)</text>", flags=re.DOTALL)
#: Cells of text that need lines of their own.
LONG = re.compile(r"<td>([^<]{45})")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
TIMEOUT = 600
#: Runs that this process needed.
USED: set[Path] = set()
#: mkdocs prints what its loggers are told.
LOG = logging.getLogger("mkdocs.executed")


def from_notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook's page, and the pictures it shows by name."""
    return written(run(nbformat.read(path, as_version=4), path.name), path.stem)


def from_page(markdown: str, stem: str) -> tuple[str, dict[str, bytes]]:
    """A page whose Python blocks were run in order, each followed by what it gave."""
    return written(run(programs_of(markdown), f"{stem}.md"), stem)


def programs_of(markdown: str) -> Any:
    """A page as a notebook: a cell for each Python block and for each text between."""
    make = (nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell)
    cells = [make[n % 2](text.strip("\n")) for n, text in enumerate(BLOCK.split(markdown))]
    return nbformat.v4.new_notebook(cells=cells)


def is_run(page: Path) -> bool:
    """Say whether the head of a page holds `run: true`."""
    return bool(RUN.match(page.read_text(encoding="utf-8")))


def run_side_by_side(notebooks: list[Path], pages: list[Path]) -> None:
    """Run notebooks and pages whose outputs are not kept yet, as many at a time as there are cores, and say so."""
    programs = {path: nbformat.read(path, as_version=4) for path in notebooks}
    programs |= {page: programs_of(page.read_text(encoding="utf-8")) for page in pages}
    needed = {path: program for path, program in programs.items() if not place(program).exists()}
    LOG.info(
        f"Programs of {len(notebooks)} notebooks and {len(pages)} pages: {len(needed)} to run, "
        f"{len(programs) - len(needed)} unchanged, with outputs in {os.path.relpath(KEPT, ROOT)}"
    )
    if not needed:
        return
    at_a_time = min(os.cpu_count() or 1, len(needed))
    LOG.info(f"Running {at_a_time} at a time; all of them take some minutes ...")
    with ThreadPoolExecutor(at_a_time) as pool:
        runs = {pool.submit(run, program, path.name): path.name for path, program in needed.items()}
        for number, each in enumerate(as_completed(runs), 1):
            each.result()
            LOG.info(f"{number} of {len(needed)}: {runs[each]} has run")
    LOG.info(f"Outputs are kept in {os.path.relpath(KEPT, ROOT)}: the next build runs only what has changed")


def place(notebook: Any) -> Path:
    """Where a run of the notebook is kept."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    name = hashlib.sha256("\0".join([inputs(), *sources]).encode()).hexdigest()[:24]
    return KEPT / f"{name}.ipynb"


def run(notebook: Any, what: str) -> Any:
    """The notebook with outputs: from an earlier run of the same, or from a run now. An error names `what`."""
    kept = place(notebook)
    USED.add(kept)
    if kept.exists():
        outputs = [cell.outputs for cell in nbformat.read(kept, as_version=4).cells if cell.cell_type == "code"]
        for cell, given in zip((c for c in notebook.cells if c.cell_type == "code"), outputs, strict=True):
            cell.outputs = given
        return notebook
    try:
        execute(notebook)
    except CellExecutionError as error:
        error.add_note(f"This happened in {what}.")
        raise
    KEPT.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(f".{os.getpid()}")
    nbformat.write(notebook, unfinished)
    unfinished.replace(kept)  # two builds at once do not read halves
    return notebook


def forget_others() -> None:
    """Remove what is kept of other programs and of an older package."""
    for kept in set(KEPT.glob("*.ipynb")) - USED:
        kept.unlink(missing_ok=True)


def execute(notebook: Any, **further: str) -> None:
    """Run the notebook in a folder of its own, on this tree's package; `further` goes into its environment."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # no prices but the simulated ones, whatever the environment says
    environment = {name: value for name, value in os.environ.items() if name != "MARKETIMPACT_PRICES"}
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=ERROR"],
        )
        client.execute(env=environment | {"PYTHONPATH": path, "PYTHONHASHSEED": "0"} | further)


@cache
def inputs() -> str:
    """Hash of everything that outputs depend on besides the programs: the package, its data, what is installed."""
    paths = sorted({path for pattern in INPUTS for path in ROOT.glob(pattern) if path.is_file()})
    parts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    installed = sorted(f"{found.name} {found.version}" for found in distributions() if found.name != "marketimpact")
    return hashlib.sha256("\n".join([*parts, *installed, sys.version]).encode()).hexdigest()


def written(notebook: Any, stem: str) -> tuple[str, dict[str, bytes]]:
    """Markdown of a notebook that was run, and its pictures by name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            said = shown(output, stem, pictures)
            if said:
                parts.append(said)
    return "\n\n".join(parts) + "\n", pictures


def shown(output: Any, stem: str, pictures: dict[str, bytes]) -> str:
    """One output: a picture, a table or text. Progress goes to stderr, or leaves nothing; it is left out."""
    if output.output_type == "stream":
        return text(output.text) if output.name == "stdout" else ""
    data = output.data
    if "image/svg+xml" in data:
        name = f"{stem}_{len(pictures) + 1}.svg"
        pictures[name] = data["image/svg+xml"].encode()
        return f"![{title_of(data['image/svg+xml']) or 'chart'}]({name}){{.drawn}}"
    if "text/html" in data:
        inside = LONG.sub(r'<td class="long">\1', STYLE.sub("", data["text/html"])).replace("\n\n", "\n").strip()
        return f'<div class="output" tabindex="0">\n{inside}\n</div>' if inside else ""
    return text(data.get("text/plain", ""))


def title_of(svg: str) -> str:
    """Title of a chart in one line; that of several plots stands after theirs."""
    lines = re.sub(r"<[^>]*>", " ", "".join(TITLE.findall(svg)[-1:]))
    return " ".join(html.unescape(lines).split())


def text(said: str) -> str:
    """Text as it stands."""
    plain = COLOUR.sub("", said).strip("\n")
    return f'<pre class="output" tabindex="0">{html.escape(plain)}</pre>' if plain else ""
