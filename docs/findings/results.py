"""Remake the tables and figures of every page of findings from a file of prices, and list what changed.

    make results PRICES=FILE
    make results PRICES=FILE PAGES="h20 policy"

PRICES is a long Parquet or CSV file with date, symbol and close or adj_close. Tables stand between
``<!-- table: NAME -->`` and ``<!-- end -->``; the rest of a page is written by hand. No price is written anywhere.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import marketimpact as mi
from docs.findings import brown_warner, exposure, h20, legs, policy
from docs.findings.changes import BLOCK, Change, changes, outdated

HERE = Path(__file__).parent
#: The page that each module makes, by its name without the ending.
PAGES = {"h20": h20, "policy": policy, "legs": legs, "exposure": exposure, "brown_warner": brown_warner}
NO_FILE = "No file of prices was given, and pages of findings are made from real ones. Write: make results PRICES=FILE"


def remake(prices: mi.FilePrices, pages: Sequence[str] = tuple(PAGES), folder: Path = HERE) -> Iterator[str]:
    """Replace the tables and figures of some pages of `folder`; write which numbers changed, page by page."""
    for name in pages:
        with warnings.catch_warnings():  # what a file lacks is told on the pages
            warnings.simplefilter("ignore", mi.MarketImpactWarning)
            tables, figures = PAGES[name].remake(prices)
        yield rewrite(folder / f"{name}.md", tables, figures)


def rewrite(path: Path, tables: Mapping[str, str], figures: Mapping[str, str]) -> str:
    """Replace the tables of a page and the figures beside it; return which numbers changed."""
    page, found = replaced(path.read_text(encoding="utf-8"), tables, path.name)
    redrawn = [file for file, svg in figures.items() if f"({file})" in page and _write(path.parent / file, svg)]
    path.write_text(page, encoding="utf-8")
    return "\n".join(report(path.name, page, found, redrawn))


def replaced(page: str, tables: Mapping[str, str], name: str) -> tuple[str, dict[str, list[Change]]]:
    """Replace the tables of a page, and list the changes of each."""
    there = [block[2] for block in BLOCK.finditer(page)]
    if sorted(there) != sorted(tables):
        odd = ", ".join(sorted(set(there) ^ set(tables)) or there)
        raise LookupError(f"{name} and its module do not have the same tables: {odd}. Add or remove <!-- table: -->.")
    found = {block[2]: changes(block[3], tables[block[2]]) for block in BLOCK.finditer(page)}
    return BLOCK.sub(lambda block: f"{block[1]}{tables[block[2]]}{block[4]}", page), found


def report(name: str, page: str, found: Mapping[str, list[Change]], redrawn: list[str]) -> Iterator[str]:
    """Write the changes of a page, and the sentences to read again."""
    changed = {table: some for table, some in found.items() if some}
    if not changed and not redrawn:
        yield f"{name}: no number changed"
        return
    yield f"{name}:"
    for table, some in changed.items():
        yield f"  {table}"
        yield from (f"    {change}" for change in some)
    yield from (f"  {file} is drawn anew" for file in redrawn)
    sentences = list(outdated(page, [change for some in changed.values() for change in some]))
    if sentences:
        yield "  Prose that quotes a figure which changed; read it again:"
        yield from (f"    {sentence}" for sentence in sentences)


def _write(path: Path, text: str) -> bool:
    """Write a file, and say whether it changed."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def main(arguments: Sequence[str]) -> None:
    prices, *pages = arguments or [""]
    if not prices:
        raise SystemExit(NO_FILE)
    if unknown := [name for name in pages if name not in PAGES]:
        raise SystemExit(f"{', '.join(unknown)}: there are no such pages of findings. There are {', '.join(PAGES)}.")
    try:
        for text in remake(mi.FilePrices(prices), pages or tuple(PAGES)):
            print(text, flush=True)
    except mi.MarketImpactError as error:
        raise SystemExit(f"The pages of findings cannot be made: {error}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
