"""The wheel: small, with all it needs and nothing else, and of use to a typed program that never saw this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from mypy import api
from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT

MOST_BYTES = 5_000_000
#: Folders of the repository -> where the wheel keeps them.
KEPT = {"marketimpact": "marketimpact", "data": "marketimpact/data", "studies": "marketimpact/studies"}
CONSUMER = """\
import polars as pl
import marketimpact as mi

market = mi.Market.load(mi.securities(), mi.SamplePrices())
events = mi.align(mi.announcements().filter(pl.col("stance") == "restrictive"), market)
result = mi.EventStudy(event_window=(-1, 1)).run(events, market)
reveal_type(result)
reveal_type(result.where(pl.col("role") == "foundry").test(0, 1))
reveal_type(result.show.test(0, 1))
reveal_type(result.by("role").car(0, 1))
mi.EventStudy(min_observations="many")
result.caar(0, "one")
"""
SEEN = {
    7: 'Revealed type is "marketimpact.study.result.StudyResult"',
    8: 'Revealed type is "polars.dataframe.frame.DataFrame"',
    9: 'Revealed type is "marketimpact.display.tables.Table"',
    10: 'Revealed type is "polars.dataframe.frame.DataFrame"',
    11: 'Argument "min_observations" to "EventStudy" has incompatible type "str"',
    12: 'Argument 2 to "caar" of "StudyResult" has incompatible type "str"',
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the wheel, and borrows what it depends on."""
    folder = tmp_path_factory.mktemp("an environment")
    venv.create(folder, with_pip=False)
    interpreter = folder / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    zipfile.ZipFile(wheel).extractall(site)
    # a path named there is searched, the editable installation named within it is not
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return interpreter


def run(interpreter: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [interpreter, *arguments], cwd=interpreter.parent, env=plain, capture_output=True, text=True, check=False
    )


def test_it_is_small(wheel):
    assert wheel.stat().st_size < MOST_BYTES


def test_it_holds_what_it_must_and_nothing_else(wheel):
    expected = {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, inside in KEPT.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected
    for needed in ("py.typed", "data/announcements.csv", "studies/h20.toml", "studies/study.schema.json",
                   "report/template.html.j2", "cli/template.toml"):  # fmt: skip
        assert f"marketimpact/{needed}" in names


def test_it_says_how_to_start_and_what_it_needs(wheel):
    held = zipfile.ZipFile(wheel)
    about = {name.split("/", 1)[1]: name for name in held.namelist() if ".dist-info/" in name}
    assert {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"} == set(about)
    assert "marketimpact = marketimpact.cli:main" in held.read(about["entry_points.txt"]).decode().splitlines()
    needs = [line.split(": ", 1)[1] for line in held.read(about["METADATA"]).decode().splitlines() if ": " in line
             and line.startswith("Requires-Dist")]  # fmt: skip
    always = {need.split(">=")[0] for need in needs if "extra ==" not in need}
    assert {"polars", "statsmodels", "great-tables"} <= always
    assert not always & {"pytest", "jupyterlab", "arch", "dask", "typst", "duckdb", "mypy"}


def test_it_works_where_this_folder_is_not(elsewhere):
    asked = "import marketimpact as mi; print(mi.__file__); print(mi.announcements().height, mi.SamplePrices())"
    done = run(elsewhere, "-c", asked)
    where, told = done.stdout.splitlines()
    assert Path(where).is_relative_to(elsewhere.parent.parent)
    assert int(told.split()[0]) > 50
    # as the console entry point calls it
    done = run(
        elsewhere, "-c", "import sys; from marketimpact.cli import main; sys.argv = ['marketimpact', '--help']; main()"
    )
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


def test_a_typed_program_sees_the_types(elsewhere, tmp_path, monkeypatch):
    """A program outside the package gets type errors for wrong arguments and results."""
    monkeypatch.chdir(tmp_path)  # mypy would take this tree for the program's own
    program = tmp_path / "consumer.py"
    program.write_text(CONSUMER, encoding="utf-8")
    cache = ROOT / ".cache" / "mypy_of_a_consumer"  # types of polars and numpy need to be read only once
    options = ["--strict", "--config-file=", f"--cache-dir={cache}", f"--python-executable={elsewhere}"]
    told, failed, code = api.run([*options, str(program)])
    assert (code, failed) == (1, "")
    for line, words in SEEN.items():
        assert any(f"consumer.py:{line}: " in said and words in said for said in told.splitlines()), told
    assert "Found 2 errors" in told


def test_pins_can_be_installed_on_the_oldest_python_that_is_promised():
    """Debian 12 has Python 3.11.2: a pin that asks for 3.11.5 stops its users with a conflict that names neither."""
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    looked, refused = 0, {}
    for held in distributions():
        if pins.get(held.metadata["Name"]) == held.version and (asks := held.metadata.get("Requires-Python")):
            looked += 1
            if f"{promised}.0" not in SpecifierSet(asks):
                refused[held.metadata["Name"]] = asks
    assert looked > 50
    assert refused == {}
