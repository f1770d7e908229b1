"""Every Python block of the README runs, in order, in one namespace."""

from __future__ import annotations

import re

import pytest

import marketimpact as mi
from tests.conftest import ROOT


def blocks() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_readme_blocks_run():
    found = blocks()
    assert len(found) == 2
    names: dict[str, object] = {}
    for block in found:
        exec(compile(block, "README.md", "exec"), names)
    assert names["result"].events.height > 100
    assert names["mine"].height == 2


@pytest.mark.parametrize("name", ["models", "tests"])
def test_readme_names_every_model_and_test(name):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for key in {"models": mi.MODELS, "tests": mi.TESTS}[name]:
        assert f"`{key}`" in text
