"""Configure mkdocs besides `mkdocs.yml`: pages made from other files, programs run, links out of `docs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import executed
import formulas
import thumbnails
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
#: Page -> the file of the repository that it is.
ELSEWHERE = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "chronology.md": "data/README.md",
    "chronology_changes.md": "data/CHANGES.md",
    "chronology_licence.md": "data/LICENSE.md",
    "sample_prices.md": "data/sample/README.md",
}
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
#: A page of `docs` that a notebook names.
NAMED = re.compile(r"`docs/([\w/]+\.md)`")
#: Where files of the repository that a page links to stand in the site.
COPIES = "repository"


def on_files(files: Files, config: Any) -> Files:
    """Add notebooks and pages that live outside `docs`."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    executed.run_side_by_side(notebooks, [page for page in (ROOT / "docs").rglob("*.md") if executed.is_run(page)])
    for notebook in notebooks:
        uri = f"notebooks/{notebook.stem}.md"
        markdown, pictures = executed.from_notebook(notebook)
        note = (
            f"\n\n[{notebook.name}]({notebook.name}), run when this site was built, on simulated data."
            " Download it, or open it with `make lab`.\n"
        )
        head, rest = markdown.split("\n", 1)
        files.append(File.generated(config, uri, content=head + note + rest))
        copy = f"notebooks/{notebook.name}"
        files.append(File.generated(config, copy, abs_src_path=str(notebook)))
        _add(pictures, uri, config, files)
    for uri, name in ELSEWHERE.items():
        files.append(File.generated(config, uri, content=(ROOT / name).read_text(encoding="utf-8")))
    executed.LOG.info(f"Writing {len(files.documentation_pages())} pages ...")
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Run the programs of a page with `run: true`, typeset formulas, point links to other files of the repository."""
    markdown = formulas.typeset(markdown)
    if page.meta.get("run"):
        markdown, pictures = executed.from_page(markdown, Path(page.file.src_uri).stem)
        _add(pictures, page.file.src_uri, config, files)
    if page.meta.get("thumbnails"):
        markdown = thumbnails.with_thumbnails(markdown)
    folder = (ROOT / ELSEWHERE.get(page.file.src_uri, f"docs/{page.file.src_uri}")).parent
    if page.file.src_uri.startswith("notebooks/"):
        return NAMED.sub(r"[\g<0>](../\1)", markdown)

    def led(match: re.Match[str]) -> str:
        target = _led(folder / match[2], page.file.src_uri, config, files)
        return f"{match[1]}{target or match[2]}{match[3]}"

    return LINK.sub(led, markdown)


def on_post_build(config: Any) -> None:
    """Keep of earlier runs only what this build needed, and say where the site begins."""
    executed.forget_others()
    executed.LOG.info(f"To read the site, open {Path(config.site_dir) / 'index.html'}")


def _led(target: Path, uri: str, config: Any, files: Files) -> str | None:
    """Where a link to a file of the repository leads in the site; None where it is right as it stands."""
    resolved = target.resolve()
    if not resolved.is_file() or not resolved.is_relative_to(ROOT):
        return None
    name = resolved.relative_to(ROOT).as_posix()
    page = {name: uri for uri, name in ELSEWHERE.items()}.get(name)
    if name.startswith("docs/"):
        page = name.removeprefix("docs/")
    elif name.startswith("notebooks/"):
        page = name.replace(".ipynb", ".md")
    elif page is None:
        page = f"{COPIES}/{name}"
        if page not in files.src_uris:
            files.append(File.generated(config, page, abs_src_path=str(resolved)))
    return "../" * uri.count("/") + page


def _add(pictures: dict[str, bytes], uri: str, config: Any, files: Files) -> None:
    folder = uri.rpartition("/")[0]
    for name, content in pictures.items():
        files.append(File.generated(config, f"{folder}/{name}" if folder else name, content=content))
