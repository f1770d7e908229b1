"""The command line as a user types it: in this process, or in one of its own where a process is the point."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from marketimpact.cli import main

ROOT = Path(__file__).parents[1]
#: What the console entry point of the package does.
ENTRY = "from marketimpact.cli import main; main()"


@dataclass(frozen=True)
class Finished:
    """Exit code and output of a command."""

    returncode: int
    stdout: str
    stderr: str


def marketimpact(*words: str, cwd: Path = ROOT) -> Finished:
    """Run `marketimpact *words` in this process, from the folder `cwd`."""
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.object(sys, "argv", ["marketimpact", *words]),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return Finished(code, stdout.getvalue(), stderr.getvalue())


def in_a_process(*words: str, cwd: Path = ROOT, **environment: str) -> Finished:
    """Run `marketimpact *words` in a process of its own."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", ENTRY, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)
