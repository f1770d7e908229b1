"""Draw the rooms of the package from the layers in pyproject.toml: python docs/architecture.py.

Writes `architecture.svg` and, as its text source, `architecture.txt`. `tests/contract/test_architecture.py` compares
both files with what this script draws.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

DOCS = Path(__file__).parent
#: What each room holds: one entry a line of its box.
CAPTIONS = {
    "cli": ("commands, study files in TOML",),
    "report": ("a result as HTML, PDF, Markdown, LaTeX",),
    "analyses": ("procedures beside the study",),
    "study": ("EventStudy runs, StudyResult answers",),
    "estimation": ("positions, design matrices, fits, abnormal returns",),
    "market": ("prices to returns,", "the return panel"),
    "inference": ("tests, their validity,", "correlations"),
    "models": ("models of the", "normal return"),
    "events": ("announcements", "to events"),
    "sources": ("who supplies", "prices, factors"),
    "core": ("frame contracts, arrays,", "threads, memory, text"),
    "display": ("charts and tables", "from frames"),
    "errors": ("every exception and warning",),
}
WIDTH, MARGIN, GAP, RULE = 400, 4, 8, 26
NAME, CAPTION = 18, 16
STYLE = (
    "rect{fill:#e8eef7;stroke:#5b7aa8;rx:4px}"
    "text{font-family:system-ui,sans-serif;font-size:12px;fill:#26323f;text-anchor:middle}"
    ".room{font-size:14px;font-weight:600}"
    "path{fill:none;stroke:#6b7f99;stroke-width:2px}"
)


def layers() -> list[list[str]]:
    """Rooms of each layer, the highest first, as the contract of import-linter lists them."""
    settings = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    return [[room.strip().rpartition(".")[2] for room in layer.split("|")] for layer in contract["layers"]]


def text(rooms: list[list[str]]) -> str:
    """Write the rooms as text: a line per layer, and below it what each of its rooms holds."""
    lines = ["A room imports from the lines below its own. Rooms of one line do not import each other.", ""]
    for layer in rooms:
        lines.append(" | ".join(layer))
        lines += [f"    {room}: {' '.join(CAPTIONS[room])}" for room in layer]
    return "\n".join(lines) + "\n"


def svg(rooms: list[list[str]]) -> str:
    """Draw the rooms as boxes, a row per layer, with an arrow down the left side."""
    boxes, top = [], MARGIN
    for layer in rooms:
        height = NAME + CAPTION * max(len(CAPTIONS[room]) for room in layer) + 8
        width = (WIDTH - RULE - MARGIN - GAP * (len(layer) - 1)) / len(layer)
        boxes += [_box(room, RULE + n * (width + GAP), top, width, height) for n, room in enumerate(layer)]
        top += height + GAP
    bottom = top - GAP
    title = "The rooms of marketimpact. A room imports from the rows below its own only."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + MARGIN}" '
            f'width="{WIDTH}" height="{bottom + MARGIN}" role="img">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            f'<path d="M12 {MARGIN}V{bottom - 1}M6 {bottom - 9}L12 {bottom - 1}L18 {bottom - 9}"/>',
            *boxes,
            "</svg>\n",
        ]
    )


def _box(room: str, left: float, top: int, width: float, height: int) -> str:
    middle = f"{left + width / 2:.1f}"
    captions = [
        f'<text x="{middle}" y="{top + NAME + CAPTION * (n + 1) - 2}">{caption}</text>'
        for n, caption in enumerate(CAPTIONS[room])
    ]
    return "\n".join(
        [
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}"/>',
            f'<text class="room" x="{middle}" y="{top + NAME - 1}">{room}</text>',
            *captions,
        ]
    )


def files() -> dict[Path, str]:
    """Return what each file holds."""
    rooms = layers()
    return {DOCS / "architecture.svg": svg(rooms), DOCS / "architecture.txt": text(rooms)}


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, encoding="utf-8")
