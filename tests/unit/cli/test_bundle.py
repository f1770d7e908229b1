"""Replication packages: what is in them, that they repeat, and that a change is reported."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from importlib.metadata import requires, version
from pathlib import Path

import polars as pl
import pytest
from packaging.requirements import Requirement

import marketimpact as mi
from marketimpact.cli import rerun
from marketimpact.cli.bundle import lock_text, locked_versions, zip_bytes
from marketimpact.cli.source_hash import source_origin, source_sha256
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
#: Firms, their benchmarks, and the fund for the legs of American sessions (data/securities.csv).
SYMBOLS = ["NVDA", "^GSPC", "688256.SS", "000300.SS", "SPY"]
COLUMNS = ["symbol", "date", "close", "volume", "open"]
WORDS = ("bundle", "s.toml", "--prices", "prices.parquet", "--registered", "s.registration.toml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A registered study, its prices, and its package."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "s.toml").write_text(STUDY, encoding="utf-8")
    (folder / "mine.csv").write_text(OWN, encoding="utf-8")
    sample_file(folder / "prices.parquet")
    assert marketimpact("register", "s.toml", "--prices", "prices.parquet", cwd=folder).returncode == 0
    done = marketimpact(*WORDS, "--out", "one.zip", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "then python rerun.py --prices FILE" in done.stdout
    return folder


def sample_file(path: Path) -> None:
    """Write prices of the sample, with a column and a broken row that a report speaks of and no package lists."""
    prices = mi.SamplePrices().read([*SYMBOLS, "AMD"]).frame.select(COLUMNS)
    broken = (pl.col("symbol") == "AMD") & (pl.col("date") == pl.date(2025, 3, 14))
    frame = prices.with_columns(
        pl.when(broken).then(-1.0).otherwise("close").alias("close"), pl.lit(1.0).alias("adjusted close")
    )
    assert frame.filter(pl.col("close") < 0).height == 1
    frame.write_parquet(path)


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
    assert sorted(manifest["prices"]["columns"]) == sorted(COLUMNS)
    assert manifest["prices"]["missing"] == []
    assert manifest["prices"]["source"] == "FilePrices('prices.parquet')"
    assert (place / "study" / "s.toml").read_text(encoding="utf-8") == STUDY
    readme = (place / "README.md").read_text(encoding="utf-8")
    for heading in ("Data availability and provenance", "Computational requirements", "Instructions", "Tables and"):
        assert f"## {heading}" in readme
    for word in (
        manifest["prices"]["sha256"],
        manifest["registration"]["sha256"],
        "`outputs/car_by_leg` (.csv, .parquet)",
        "the author's own file, mine.csv, in `study`. `study` has the author's files, `catalogue` the embedded ones",
    ):
        assert word in " ".join(readme.split())
    assert readme.count("the report, with all of them") == 1
    assert not (place / "catalogue" / "announcements.csv").exists()
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


def test_prices_of_exactly_what_is_listed_repeat_every_byte(folder, tmp_path):
    place = unpacked(folder, tmp_path / "package")
    listed = json.loads((place / "manifest.json").read_text(encoding="utf-8"))["prices"]
    readme = " ".join((place / "README.md").read_text(encoding="utf-8").split())
    assert f"| symbols | {', '.join(listed['symbols'])} |" in readme
    assert f"| columns | {', '.join(f'`{name}`' for name in listed['columns'])} |" in readme
    assert f"| span | {listed['first']} to {listed['last']} |" in readme
    span = [pl.lit(listed[name]).str.to_date() for name in ("first", "last")]
    prices = pl.read_parquet(folder / "prices.parquet")
    cut = prices.filter(pl.col("symbol").is_in(listed["symbols"]), pl.col("date").is_between(*span))
    assert cut.height < prices.height
    cut.select(listed["columns"]).write_parquet(tmp_path / "prices.parquet")
    done = repeated(place, "--prices", str(tmp_path / "prices.parquet"))
    assert (done.returncode, "Everything is the same, byte for byte." in done.stdout) == (0, True), done.stdout


def test_a_folder_of_prices_is_listed_by_its_files(folder, tmp_path):
    """Beside the firms' files lies one that cannot be read, of which a report of the whole folder speaks."""
    (tmp_path / "vendor").mkdir()
    for symbol in SYMBOLS:
        rows = mi.SamplePrices().read([symbol]).frame
        given = rows.select(Date="date", Open="open", Close="close", Volume="volume")
        given.write_csv(tmp_path / "vendor" / f"{symbol}.csv")
    (tmp_path / "vendor" / "notes.txt").write_text("not prices\n", encoding="utf-8")
    for name in ("s.toml", "mine.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    done = marketimpact("bundle", "s.toml", "--prices", "vendor", "--out", "one.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    place = unpacked(tmp_path, tmp_path / "package")
    listed = json.loads((place / "manifest.json").read_text(encoding="utf-8"))["prices"]
    assert listed["files"] == sorted(f"{symbol}.csv" for symbol in SYMBOLS)
    (tmp_path / "vendor" / "notes.txt").unlink()
    done = repeated(place, "--prices", str(tmp_path / "vendor"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_snapshot_of_a_store_is_repeated_by_its_name(folder, tmp_path):
    for name in ("s.toml", "mine.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    prices = pl.read_parquet(folder / "prices.parquet").filter(pl.col("symbol") != "SPY")
    store = mi.PriceStore(tmp_path / "store")
    snapshot = mi.StoredPrices(mi.FilePrices(prices), store).read(SYMBOLS).snapshot
    words = ("--snapshot", snapshot, "--store", str(tmp_path / "store"))
    done = marketimpact("bundle", "s.toml", *words, "--out", "one.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "then python rerun.py --snapshot NAME" in done.stdout
    place = unpacked(tmp_path, tmp_path / "package")
    listed = json.loads((place / "manifest.json").read_text(encoding="utf-8"))["prices"]
    assert (listed["kind"], listed["missing"]) == ("store", ["SPY"])
    assert snapshot in listed["source"]
    readme = (place / "README.md").read_text(encoding="utf-8")
    assert "python rerun.py --snapshot NAME" in readme
    assert str(tmp_path) not in readme
    done = repeated(place, *words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_symbols_without_prices_are_listed_as_such(folder, tmp_path):
    """The benchmark of one firm and the fund of the other have no row; the model needs neither."""
    for name in ("s.toml", "mine.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    prices = pl.read_parquet(folder / "prices.parquet")
    prices.filter(~pl.col("symbol").is_in(["000300.SS", "SPY"])).write_parquet(tmp_path / "prices.parquet")
    done = marketimpact("bundle", "s.toml", "--prices", "prices.parquet", "--out", "one.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "No prices of the benchmark 000300.SS" in done.stderr
    place = unpacked(tmp_path, tmp_path / "package")
    listed = json.loads((place / "manifest.json").read_text(encoding="utf-8"))["prices"]
    assert (listed["symbols"], listed["missing"]) == (["688256.SS", "NVDA", "^GSPC"], ["000300.SS", "SPY"])
    assert "| without prices | 000300.SS, SPY |" in (place / "README.md").read_text(encoding="utf-8")


def test_outputs_of_an_earlier_rerun_are_not_compared(folder, tmp_path):
    place = unpacked(folder, tmp_path / "package")
    assert repeated(place, "--prices", str(folder / "prices.parquet")).returncode == 0
    assert (place / "rerun" / "car_by_leg.csv").is_file()
    pl.read_parquet(folder / "prices.parquet").drop("open").write_parquet(tmp_path / "prices.parquet")
    done = repeated(place, "--prices", str(tmp_path / "prices.parquet"))
    assert "outputs/car_by_leg.csv was not written" in done.stdout, done.stdout
    assert "outputs/car_by_leg.parquet was not written" in done.stdout


def test_a_table_that_only_the_rerun_writes_is_named():
    told = {"tables": {"car": "rerun/car.parquet", "car_by_leg": "rerun/car_by_leg.parquet"}}
    files = {"outputs/car.csv": "0" * 64, "outputs/car.parquet": "0" * 64}
    assert "car_by_leg was written, and is not in the package" in rerun._compare_outputs(files, told)


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
    assert "prices that may not be handed on: FilePrices('prices.parquet'), 5 symbols" in done.stdout
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


def test_the_lock_file_can_be_installed():
    """marketimpact itself is on no index, so that pip would stop at a line of it."""
    lines = lock_text(locked_versions()).splitlines()
    names = [Requirement(line).name for line in lines if not line.startswith("#")]
    assert "polars" in names
    assert "marketimpact" not in names
    assert f"# marketimpact=={version('marketimpact')} is not below" in "\n".join(lines)


def test_the_source_hash_tells_copies_of_one_version_apart(folder, tmp_path):
    """A wheel has the data inside the package; a checkout beside it, perhaps with Windows' line ends."""

    def own(place: Path) -> str:
        command = "from marketimpact.cli.source_hash import source_sha256; print(source_sha256())"
        done = subprocess.run(
            [sys.executable, "-c", command], cwd=place, env={**os.environ, "PYTHONPATH": str(place)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "marketimpact", tmp_path / "marketimpact", ignore=ignored)
    for name in ("data", "studies"):
        shutil.copytree(ROOT / name, tmp_path / "marketimpact" / name, ignore=ignored)
    module = tmp_path / "marketimpact" / "errors.py"
    text = module.read_bytes()
    module.write_bytes(text.replace(b"\n", b"\r\n"))
    assert own(tmp_path) == source_sha256()
    module.write_bytes(text + b"# changed\n")
    assert own(tmp_path) != source_sha256()
    with zipfile.ZipFile(folder / "one.zip") as package:
        manifest = json.loads(package.read("manifest.json"))
        readme = package.read("README.md").decode()
    assert manifest["marketimpact_source"] == {"sha256": source_sha256()}
    assert f"the source hash `{source_sha256()}`" in " ".join(readme.split())
    assert "Ask whoever handed you this package for the copy that was used." in " ".join(readme.split())
    assert rerun._other_source(source_sha256()) == []
    assert rerun._other_source("0" * 64) == [
        f"marketimpact of source 000000000000 was used, here it is {source_sha256()[:12]}: another copy, whatever its "
        "version"
    ]


def test_an_address_and_a_commit_of_the_metadata_are_named(monkeypatch):
    class Installed:
        metadata = Message()

        def read_text(self, name):
            assert name == "direct_url.json"
            return '{"url": "file:///home/me/marketimpact", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}'

    Installed.metadata["Project-URL"] = "Repository, https://example.org/marketimpact"
    monkeypatch.setattr("marketimpact.cli.source_hash.distribution", lambda name: Installed())
    assert source_origin() == {"url": "https://example.org/marketimpact", "commit": "abc123"}


def test_a_zip_has_no_clock():
    one, other = zip_bytes({"b": b"2", "a": b"1"}), zip_bytes({"a": b"1", "b": b"2"})
    assert one == other


def test_other_versions_are_named():
    lock = f"# Python 3\npolars=={version('polars')}\nnumpy==0.0.1\nno-such-package==1.0\n"
    assert rerun._other_versions(lock) == [
        f"numpy 0.0.1 was used, here it is {version('numpy')}",
        "no-such-package 1.0 was used, here it is not installed",
    ]
