"""The documentation site builds strictly, and no page of it asks another host for anything to show itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

#: What a browser fetches without being asked: scripts, styles, images, fonts.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*?\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon|dns-prefetch))[^>]*\bhref=["']?(?:https?:)?//""",
    re.IGNORECASE,
)
STYLE_FETCHES = re.compile(r"""url\(["']?(?:https?:)?//|@import\s+["'](?:https?:)?//""", re.IGNORECASE)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_nothing_is_fetched_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 80
    for page in pages:
        assert not FETCHED.search(page.read_text(encoding="utf-8")), page.name
    for style in site.rglob("*.css"):
        assert not STYLE_FETCHES.search(style.read_text(encoding="utf-8")), style.name


def test_the_reference_has_the_public_names(site):
    text = (site / "reference.html").read_text(encoding="utf-8")
    for name in ("EventStudy", "Market", "StudyResult", "align", "write_report"):
        assert f"marketimpact.{name}" in text or f"{name}</span>" in text, name


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


def test_the_python_of_get_started_runs():
    text = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict = {}
    for block in blocks:
        exec(compile(block, "start.md", "exec"), names)
    assert names["result"].events.height == 2
