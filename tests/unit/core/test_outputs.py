"""All files of a run come together, or none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.outputs import write_together
from tests.command import ROOT


def test_files_come_together_and_others_stay(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "a.txt").write_text("before")
    with write_together(tmp_path) as aside:
        (aside / "a.txt").write_text("after")
        (aside / "part").mkdir()
        (aside / "part" / "b.txt").write_text("b")
        assert (tmp_path / "a.txt").read_text() == "before"
    found = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"old.txt": "old", "a.txt": "after", "part/b.txt": "b"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_stops_the_writing_leaves_everything_as_it_was(tmp_path, error):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(error), write_together(tmp_path) as aside:
        (aside / "a.txt").write_text("after")
        raise error
    with pytest.raises(error), write_together(tmp_path / "new" / "folder"):
        raise error
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "before")]


def test_a_folder_that_is_a_file_is_an_error_that_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(mi.DataError, match="file cannot be written"), write_together(tmp_path / "file"):
        pass


FULL = """
import resource, sys
import polars as pl
import marketimpact as mi
from tests.conftest import golden, golden_events
market = mi.Market.from_returns(golden("returns"), golden("market"), golden("factors"))
study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5), min_observations=60)
events = golden_events()
result = study.run(events, market)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))  # the next larger file fails as on a full disk
try:
    {call}
except mi.DataError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("report.html", 'mi.write_report(result, sys.argv[1] + "/report.html")'),
        ("panel", 'market.to_dataset(sys.argv[1] + "/panel")'),
        ("study", 'mi.write_study(study, events, market, sys.argv[1] + "/study", events_per_file=30)'),
    ],
)
def test_a_full_disk_leaves_nothing_behind(tmp_path, name, call):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(call=call), str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout
    assert list(Path(tmp_path).iterdir()) == [], name


def test_a_run_replaces_report_and_tables_together(tmp_path, monkeypatch):
    """The report is written first; a table that cannot be written leaves the earlier report."""
    from marketimpact.cli import studies  # noqa: PLC0415
    from tests.command import marketimpact  # noqa: PLC0415
    from tests.unit.cli.test_cli import SMALL  # noqa: PLC0415

    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    study = str(tmp_path / "small.toml")
    assert marketimpact("run", study, "--out", str(tmp_path), "--format", "md").returncode == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_: pl.DataFrame) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(studies, "csv_text", full)
    done = marketimpact("run", study, "--out", str(tmp_path), "--format", "md,html")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "No space left on device" in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
