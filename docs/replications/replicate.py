"""Compute published tables again from their authors' data, cell by cell.

    make replicate REPLICATIONS=FOLDER

FOLDER holds a folder of data for each paper, as the pages describe it. None of it is copied: the pages have printed
cells, which are facts of a publication, and ours beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from docs.findings.cells import table
from docs.findings.changes import BLOCK
from docs.findings.results import rewrite
from docs.replications import goldsmith_pinkham_lyu, incerti
from docs.replications.printed import STATES

HERE = Path(__file__).parent
#: The page that each module makes.
PAGES = {"incerti": incerti, "goldsmith_pinkham_lyu": goldsmith_pinkham_lyu}
#: Pages elsewhere that have a table from the same data, and what makes it.
OTHER_PAGES = {"../procedures/factor_alarm": goldsmith_pinkham_lyu}


def remake(data: Path, folder: Path = HERE) -> Iterator[str]:
    """Replace the tables of the pages whose data is there, then the summary; write what changed or is missing."""
    for name, module in PAGES.items():
        if not (data / module.FOLDER).is_dir():
            yield f"{name}.md: left as it is, since there is no folder {module.FOLDER} in {data}"
            continue
        yield rewrite(folder / f"{name}.md", *module.remake(data))
    for name, module in OTHER_PAGES.items():
        if (data / module.FOLDER).is_dir():
            yield rewrite(folder / f"{name}.md", *module.remake_alarm(data))
    yield rewrite(folder / "README.md", {"summary": summary(folder)}, {})


def summary(folder: Path) -> str:
    """Count the cells of every page by state."""
    rows = [[f"[{_title(folder, name)}]({name}.md)", *totals(folder / f"{name}.md")] for name in PAGES]
    return table(["paper", "cells", *STATES], rows)


def totals(page: Path) -> list[str]:
    """Return the last row of a page's table of counts."""
    return _last_row(_blocks(page)["counts"])[1:]


def _last_row(block: str) -> list[str]:
    return [cell.strip() for cell in block.strip().splitlines()[-1].strip("|").split("|")]


def _blocks(page: Path) -> Mapping[str, str]:
    return {block[2]: block[3] for block in BLOCK.finditer(page.read_text(encoding="utf-8"))}


def _title(folder: Path, name: str) -> str:
    return (folder / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def main(arguments: Sequence[str]) -> None:
    data = Path(arguments[0]) if arguments and arguments[0] else None
    if data is None or not data.is_dir():
        given = "No folder was given" if data is None else f"There is no folder {data}"
        raise SystemExit(f"{given}; published tables are computed from their authors' data. "
                         "Write: make replicate REPLICATIONS=FOLDER")  # fmt: skip
    for text in remake(data):
        print(text, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
