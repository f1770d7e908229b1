"""The README names every model and test; that its blocks run is in test_blocks."""

from __future__ import annotations

import pytest

import marketimpact as mi
from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["models", "tests"])
def test_readme_names_every_model_and_test(name):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for key in {"models": mi.MODELS, "tests": mi.TESTS}[name]:
        assert f"`{key}`" in text
