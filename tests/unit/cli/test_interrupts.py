"""Ctrl-C ends the command with one line and exit code 130, whatever it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.command import ENTRY, ROOT


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize("seconds", [1.0, 2.0, 4.0, 7.0])
def test_ctrl_c_is_one_line(tmp_path, seconds):
    script = tmp_path / "marketimpact"
    script.write_text(f"{ENTRY}\n")
    process = subprocess.Popen(
        [sys.executable, str(script), "run", "studies/h20.toml", "--out", str(tmp_path / "out")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors.decode()) == (130, "Interrupted.\n")
    assert not (tmp_path / "out").exists()
