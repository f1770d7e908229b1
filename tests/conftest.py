"""Fixtures every test may use. The golden market repeats firms and repeats dates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock
from hypothesis import settings

import marketimpact as mi
from marketimpact.cli.study_file import StudyRun, read_study
from tests.command import in_a_process

#: Models that are made with arguments: factors, or donors.
WITH_ARGUMENTS = ("factor_model", "peer_mean", "statistical_factors", "ridge_peers")
ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden" / "data"
SHARED = ROOT.parent / "shared"
# no test is timed: a busy machine is no failure
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def _has_latex() -> bool:
    """Say whether pdflatex and the packages of the tables are installed."""
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    packages = ["booktabs.sty", "longtable.sty", "array.sty", "geometry.sty", "graphicx.sty"]
    return subprocess.run(["kpsewhich", *packages], capture_output=True, check=False).returncode == 0


NEEDS_PDFLATEX = pytest.mark.skipif(
    not _has_latex(), reason="needs pdflatex with booktabs (Debian: texlive-latex-recommended), which is not installed"
)


@cache
def golden(name: str) -> pl.DataFrame:
    """A golden file as it stands."""
    return pl.read_csv(GOLDEN / f"{name}.csv", try_parse_dates=True, infer_schema_length=None)


def golden_events() -> pl.DataFrame:
    """Every event of the golden files; firms and dates repeat, some cannot be used."""
    names = ("events_mixed", "events_clustered", "events_unclustered")
    return pl.concat(
        golden(name).select(pl.format("{}-{}", pl.lit(name), "event_id").alias("event_id"), "symbol", "date")
        for name in names
    )


@pytest.fixture(scope="session")
def golden_market() -> mi.Market:
    """30 securities, 380 sessions, suspensions, late listings, missing days."""
    return mi.Market.from_returns(golden("returns"), golden("market"), golden("factors"))


@pytest.fixture(scope="session")
def golden_study() -> mi.EventStudy:
    """The settings the golden files' README states."""
    return mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5), min_observations=60)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real prices beside the checkout; absent on most machines."""
    if not (SHARED / "data" / "prices.parquet").exists():
        pytest.skip("needs ../shared/data, the real prices, which are not part of the repository")
    return SHARED


@pytest.fixture(scope="session")
def sample_market() -> mi.Market:
    """Every embedded security with the simulated prices."""
    return mi.Market.load(mi.securities(), mi.SamplePrices())


@pytest.fixture(scope="session")
def h20() -> StudyRun:
    """The embedded study on simulated prices, without its report."""
    return read_study("h20").run(mi.SamplePrices())


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], Any]], Path]:
    """Make a folder by name once for all workers: the first worker makes it, the others wait and read it."""
    base = tmp_path_factory.getbasetemp()
    shared_by_workers = base.parent if "popen-" in base.name else base

    def make_once(name: str, make: Callable[[Path], Any]) -> Path:
        folder = shared_by_workers / name
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                unfinished = folder.with_suffix(".part")
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return make_once


@pytest.fixture(scope="session")
def h20_folders(once) -> tuple[Path, Path]:
    """Outputs of the embedded study from two processes with other hash seeds: by its file, by its name."""

    def run(folder: Path, seed: str, *words: str) -> None:
        folder.mkdir()
        # run from the folder itself: nothing of the checkout may be needed there
        done = in_a_process("run", *words, "--out", "h20", cwd=folder, PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        assert "SIMULATED PRICES" in done.stdout

    def run_twice(folder: Path) -> None:
        run(folder / "by file", "1", str(ROOT / "studies" / "h20.toml"))
        run(folder / "by name", "2")

    folder = once("h20", run_twice)
    return folder / "by file" / "h20", folder / "by name" / "h20"


@pytest.fixture(scope="session")
def site(once) -> Path:
    """The documentation site: the one that MARKETIMPACT_SITE names, or one built once for all workers."""
    if built := os.environ.get("MARKETIMPACT_SITE"):
        folder = ROOT / built
        assert (folder / "index.html").is_file(), f"MARKETIMPACT_SITE={built} holds no site; make docs builds one"
        return folder

    def build(folder: Path) -> None:
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return once("site", build)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium, which the tests that need a real browser share."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
