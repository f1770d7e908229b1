"""Remake the tables and figures of every page of findings from a file of prices, and list what changed.

    make results PRICES=FILE
    make results PRICES=FILE PAGES="h20 policy"
    make results PRICES=FILE BARS=FOLDER

PRICES is a long Parquet or CSV file with date, symbol and close or adj_close. BARS is a folder of intraday bars, from
which the page of minutes is made; without it that page stays as it is. Tables stand between
``<!-- table: NAME -->`` and ``<!-- end -->``; the rest of a page is written by hand. No price is written anywhere.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import marketimpact as mi
from docs.findings import brown_warner, exposure, h20, legs, peers, policy
from docs.findings.changes import BLOCK, Change, changes, outdated

HERE = Path(__file__).parent
#: The page that each module makes, by its name without the ending.
PAGES = {
    "h20": h20, "policy": policy, "legs": legs, "exposure": exposure, "brown_warner": brown_warner, "peers": peers,
}  # fmt: skip
#: The page that is made from bars.
MINUTES = "minutes"
NO_FILE = "No file of prices was given, and pages of findings are made from real ones. Write: make results PRICES=FILE"
WITH_BARS = "make results PRICES=FILE BARS=FOLDER"


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
    parser = argparse.ArgumentParser(prog="docs.findings.results")
    parser.add_argument("prices", nargs="?", default="")
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--bars", type=Path)
    given = parser.parse_args(arguments)
    if not given.prices:
        raise SystemExit(NO_FILE)
    check_pages(given.pages, given.bars)
    try:
        for text in remake(mi.FilePrices(given.prices), [page for page in given.pages or PAGES if page in PAGES]):
            print(text, flush=True)
        if given.bars is not None and (not given.pages or MINUTES in given.pages):
            from docs.findings import minutes  # noqa: PLC0415 - it imports this module

            minutes.main(str(given.bars))
    except mi.MarketImpactError as error:
        raise SystemExit(f"The pages of findings cannot be made: {error}") from None


def check_pages(pages: Sequence[str], bars: Path | None) -> None:
    """Stop where a page is unknown, or the page of minutes is asked for without bars."""
    if unknown := [name for name in pages if name not in (*PAGES, MINUTES)]:
        known = ", ".join((*PAGES, MINUTES))
        raise SystemExit(f"{', '.join(unknown)}: there are no such pages of findings. There are {known}.")
    if MINUTES in pages and bars is None:
        raise SystemExit(f"The page {MINUTES} is made from bars, and no folder of bars was given. Write: {WITH_BARS}")
    if bars is not None and not bars.is_dir():
        raise SystemExit(f"There is no folder {bars} of bars. Write: {WITH_BARS}")


if __name__ == "__main__":
    main(sys.argv[1:])
