"""Replication packages: what is in them, that they repeat, and that a change is reported."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.cli import rerun
from marketimpact.cli.bundle import locked_versions, zip_bytes
from tests.command import Finished, marketimpact
from tests.conftest import ROOT

#: Two firms at two announcements of one's own: firms and dates repeat.
STUDY = """title = "Two firms"
[study]
model = "mean_adjusted"
event_window = [-1, 1]
[announcements]
file = "mine.csv"
[registration]
smallest_effect = 0.02
[report]
windows = [[0, 1]]
"""
OWN = (
    "announcement_id,announced_at,stance,headline,targets\n"
    "a,2025-07-15T12:45+08:00,permissive,First,NVDA;688256.SS\n"
    "b,2025-08-12T12:45+08:00,restrictive,Second,NVDA;688256.SS\n"
)
SYMBOLS = ["NVDA", "^GSPC", "688256.SS", "000300.SS"]
WORDS = ("bundle", "s.toml", "--prices", "prices.parquet", "--registered", "s.registration.toml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A registered study, its prices, and its package."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "s.toml").write_text(STUDY, encoding="utf-8")
    (folder / "mine.csv").write_text(OWN, encoding="utf-8")
    mi.SamplePrices().read(SYMBOLS).frame.write_parquet(folder / "prices.parquet")
    assert marketimpact("register", "s.toml", "--prices", "prices.parquet", cwd=folder).returncode == 0
    done = marketimpact(*WORDS, "--out", "one.zip", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "then python rerun.py --prices FILE" in done.stdout
    return folder


def unpacked(folder: Path, place: Path) -> Path:
    with zipfile.ZipFile(folder / "one.zip") as package:
        package.extractall(place)
    return place


def repeated(place: Path, *words: str) -> Finished:
    """Run the one command of the package, as its reader does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "rerun.py", *words],
        cwd=place, env=environment, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    return Finished(done.returncode, done.stdout, done.stderr)


def test_the_package_has_everything_but_prices(folder, tmp_path):
    place = unpacked(folder, tmp_path)
    names = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert {
        "README.md", "manifest.json", "requirements.lock", "rerun.py", "registration.toml", "study/s.toml",
        "study/mine.csv", "catalogue/securities.csv", "catalogue/README.md", "outputs/report.html", "outputs/tests.csv",
    } <= names  # fmt: skip
    assert not any("prices.parquet" in name for name in names)
    manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["files"]) == names - {"manifest.json"}
    for name, sha256 in manifest["files"].items():
        assert hashlib.sha256((place / name).read_bytes()).hexdigest() == sha256, name
    assert manifest["prices"]["symbols"] == sorted(SYMBOLS)
    assert manifest["prices"]["source"] == "FilePrices('prices.parquet')"
    assert (place / "study" / "s.toml").read_text(encoding="utf-8") == STUDY
    readme = (place / "README.md").read_text(encoding="utf-8")
    for heading in ("Data availability and provenance", "Computational requirements", "Instructions", "Tables and"):
        assert f"## {heading}" in readme
    for word in (manifest["prices"]["sha256"], manifest["registration"]["sha256"], "`outputs/tests` (.csv, .parquet)"):
        assert word in readme
    for path in place.rglob("*"):
        assert not path.is_file() or str(folder).encode() not in path.read_bytes(), path


def test_the_same_study_gives_the_same_package(folder):
    assert marketimpact(*WORDS, "--out", "two.zip", cwd=folder).returncode == 0
    assert (folder / "two.zip").read_bytes() == (folder / "one.zip").read_bytes()


def test_one_command_repeats_the_study(folder, tmp_path):
    place = unpacked(folder, tmp_path)
    done = repeated(place, "--prices", str(folder / "prices.parquet"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything is the same, byte for byte." in done.stdout


def test_changed_prices_and_files_are_reported(folder, tmp_path):
    place = unpacked(folder, tmp_path / "unpacked")
    prices = pl.read_parquet(folder / "prices.parquet")
    day = prices.filter(pl.col("symbol") == "NVDA", pl.col("date") == pl.date(2025, 8, 12))
    assert day.height == 1
    changed = pl.col("close") * pl.when((pl.col("symbol") == "NVDA") & (pl.col("date") == day["date"].item())).then(
        1.01
    ).otherwise(1.0)
    prices.with_columns(changed.alias("close")).write_parquet(tmp_path / "other.parquet")
    with (place / "catalogue" / "securities.csv").open("a", encoding="utf-8") as file:
        file.write("\n")
    (place / "catalogue" / "README.md").unlink()
    done = repeated(place, "--prices", str(tmp_path / "other.parquet"))
    assert done.returncode == 1
    for line in (
        "catalogue/README.md is missing",
        "catalogue/securities.csv was changed after it was handed over",
        "other prices: fingerprint",
        "their name is FilePrices('other.parquet'), not FilePrices('prices.parquet')",
        "outputs/car.csv differs, first in line",
        "outputs/report.html differs",
        "The results differ.",
    ):
        assert line in done.stdout, done.stdout + done.stderr
    assert "outputs/estimates.csv" not in done.stdout  # the changed day is in no estimation window


def test_without_prices_the_command_says_where_they_come_from(folder, tmp_path):
    done = repeated(unpacked(folder, tmp_path))
    assert done.returncode == 1
    assert "prices that may not be handed on: FilePrices('prices.parquet'), 4 symbols" in done.stdout
    assert not (tmp_path / "rerun").exists()


@pytest.mark.parametrize(
    ("change", "words", "code", "message"),
    [
        ({}, ("--out", "b.tar"), 2, "must end in .zip"),
        ({}, ("--out", "there.zip"), 1, "there.zip exists already"),
        ({}, ("--out", "s.toml/b.zip"), 1, "s.toml is no folder"),
        ({}, ("--out", "b.zip", "--exploratory"), 2, "--exploratory goes with --registered"),
        ({}, ("--out", "b.zip", "--registered", "none.toml"), 1, "There is no registration 'none.toml'"),
        ({}, ("--out", "b.zip", "--prices", "none.parquet"), 1, "There is no file none.parquet"),
        ({'"mine.csv"': '"../mine.csv"'}, ("--out", "b.zip"), 1, "not in the folder of the study file"),
        ({'"mine.csv"': '"other.csv"'}, ("--out", "b.zip"), 1, "other.csv"),
    ],
)
def test_what_cannot_be_packed_is_one_message(tmp_path, change, words, code, message):
    text = STUDY
    for before, after in change.items():
        text = text.replace(before, after)
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    (tmp_path / "mine.csv").write_text(OWN, encoding="utf-8")
    (tmp_path / "there.zip").touch()
    done = marketimpact("bundle", "s.toml", *words, cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"s.toml", "mine.csv", "there.zip"}


def test_the_lock_file_has_every_dependency_at_its_version():
    lines = dict(line.split("==") for line in locked_versions())
    assert lines["marketimpact"] == version("marketimpact")
    direct = [text for text in requires("marketimpact") if "extra ==" not in text]
    for text in direct:
        name = text.split(">")[0].split(";")[0].strip().lower().replace("_", "-")
        assert lines[name] == version(name)
    assert "patsy" in lines  # of statsmodels, not of marketimpact itself
    assert "pytest" not in lines
    assert "arch" not in lines
    assert "arch" in dict(line.split("==") for line in locked_versions({"garch"}))


def test_a_zip_has_no_clock():
    one, other = zip_bytes({"b": b"2", "a": b"1"}), zip_bytes({"a": b"1", "b": b"2"})
    assert one == other


def test_other_versions_are_named():
    lock = f"# Python 3\npolars=={version('polars')}\nnumpy==0.0.1\nno-such-package==1.0\n"
    assert rerun._other_versions(lock) == [
        f"numpy 0.0.1 was used, here it is {version('numpy')}",
        "no-such-package 1.0 was used, here it is not installed",
    ]
