"""Every test is run by `make test` or `make test-docs`."""

from __future__ import annotations

import shutil
import subprocess
import tomllib

import pytest

from tests.conftest import ROOT


def test_every_folder_of_tests_belongs_to_a_target():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    by_default = {folder.removeprefix("tests/") for folder in options["testpaths"]}
    assert "pytest -n auto tests/tooling tests/browser\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
    found = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    assert found == by_default | {"tooling", "browser"}


def test_a_change_must_pass_both():
    last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1].split()
    assert last[0] == "make"
    assert {"lint", "types", "layers", "docs", "test", "test-docs"} <= set(last)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(("target", "lacks"), [("lowest", "UV="), ("other-python", "OTHER_PYTHON=")])
def test_targets_that_need_more_than_the_package_say_so_and_pass(target, lacks):
    answer = subprocess.run(["make", target, lacks], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{target}: skipped, since" in answer.stdout
    assert "$(MAKE) lowest other-python\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
