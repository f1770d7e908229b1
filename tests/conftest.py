"""Fixtures every test may use. The golden market repeats firms and repeats dates."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

import marketimpact as mi

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden" / "data"
SHARED = ROOT.parent / "shared"


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
def site(tmp_path_factory) -> Path:
    """The documentation site, built once for all processes that test."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "popen-" in base.name else base) / "site"  # xdist's workers share their parent
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            made = folder.with_suffix(".part")
            command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(made)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            made.rename(folder)
    return folder
