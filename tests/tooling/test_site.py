"""The documentation site builds strictly, and no page of it needs another host."""

from __future__ import annotations

import re

import pytest

import marketimpact as mi
from tests.conftest import ROOT

#: What a browser fetches by itself: scripts, styles, images, fonts.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*?\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon|dns-prefetch))[^>]*\bhref=["']?(?:https?:)?//""",
    re.IGNORECASE,
)
STYLE_FETCHES = re.compile(r"""url\(["']?(?:https?:)?//|@import\s+["'](?:https?:)?//""", re.IGNORECASE)
HEADING = re.compile(r"<h([1-6])\b[^>]*>(.*?)</h\1>", flags=re.DOTALL)
MARKUP = re.compile(r"<[^>]*>")
#: What Markdown leaves in a heading that it did not understand.
LEFT_OVER = re.compile(r"\*\*|\]\(|`|\{[.#:]")


def test_nothing_is_fetched_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 120
    for page in pages:
        assert not FETCHED.search(page.read_text(encoding="utf-8")), page.name
    for style in site.rglob("*.css"):
        assert not STYLE_FETCHES.search(style.read_text(encoding="utf-8")), style.name


def test_every_page_has_one_title_plain_headings_and_its_pictures(site):
    """`repository` holds copies of files, which are no pages."""
    for page in (path for path in site.rglob("*.html") if "repository" not in path.parts):
        text, name = page.read_text(encoding="utf-8"), page.relative_to(site).as_posix()
        headings = [(int(level), MARKUP.sub("", words)) for level, words in HEADING.findall(text)]
        assert [level for level, _ in headings].count(1) == 1, name
        for _, words in headings:
            assert words.replace("¶", "").strip(), name
            assert not LEFT_OVER.search(words), f"{name}: {words}"
        for picture in re.findall(r"<img\b[^>]*>", text):
            assert " alt=" in picture, f"{name}: {picture}"
            source = re.search(r'\bsrc="([^"]*)"', picture)[1]
            assert source.startswith("data:") or (page.parent / source).is_file(), f"{name}: {source}"


def test_strict_is_not_undone_by_quiet():
    """With --quiet mkdocs counts no warnings, so that nothing is strict."""
    for name in ("Makefile", "tests/conftest.py"):
        line = next(line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if "mkdocs" in line)
        assert "--strict" in line
        assert "--quiet" not in line


def test_the_reference_has_the_public_names(site):
    pages = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    for name in mi.__all__:
        assert f'id="marketimpact.{name}"' in pages, name
    modules = re.findall(r'doc-object doc-module"', pages)
    assert len(modules) == 1, "the package only: a name stands for a module of the same name"


def test_notebooks_and_pages_show_what_they_give(site):
    story = (site / "notebooks" / "01_h20.html").read_text(encoding="utf-8")
    assert "SIMULATED prices: Nvidia" in story
    assert (site / "notebooks" / "01_h20.ipynb").is_file()
    gallery = (site / "gallery.html").read_text(encoding="utf-8")
    drawn = re.findall(r'<img alt="([^"]+)"[^>]*src="(gallery_\d\.svg)"', gallery)
    assert len(drawn) == 8
    for words, picture in drawn:
        assert words != "chart"
        assert "simulated prices" in (site / picture).read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs" / "howto").glob("*.md")):
        if "```python" in page.read_text(encoding="utf-8"):
            assert 'class="output"' in (site / "howto" / f"{page.stem}.html").read_text(encoding="utf-8"), page.name


def test_pages_from_elsewhere_are_these_files(site):
    for page, file in (("changelog", "CHANGELOG.md"), ("contributing", "CONTRIBUTING.md")):
        headings = re.findall(r"^#+ ([\w ]+)$", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
        told = (site / f"{page}.html").read_text(encoding="utf-8")
        assert headings, file
        assert [words for words in headings if words not in told] == [], file
    assert "announcements.csv" in (site / "chronology.html").read_text(encoding="utf-8")
    assert (site / "repository" / "studies" / "h20.toml").read_bytes() == (ROOT / "studies" / "h20.toml").read_bytes()


@pytest.mark.parametrize(
    "planted",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/a.css">',
        '<link href="https://fonts.example" rel="preconnect">',
        "<img alt='x' src=https://img.example/a.png>",
    ],
)
def test_a_planted_fetch_is_found(planted):
    assert FETCHED.search(planted)
