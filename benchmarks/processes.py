"""Run parts of the benchmarks in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

#: Seconds after which a process is ended; what it measured until then counts.
PATIENCE = 420


def child(
    module: str, *arguments: str, environment: dict[str, str] | None = None, patience: float = PATIENCE
) -> list[dict[str, Any]]:
    """Return the rows that a fresh interpreter measured; the last has the reason where it did not finish."""
    command = [sys.executable, "-m", module, *arguments]
    reason = None
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=patience, env=os.environ | (environment or {})
        )
        printed = done.stdout
        if done.returncode:
            reason = why(done.returncode, done.stderr.decode())
    except subprocess.TimeoutExpired as late:
        printed, reason = late.stdout or b"", f"ended after {patience:g} s"
    rows = [json.loads(line) for line in printed.decode().splitlines() if line.endswith("}")]
    return rows if reason is None else [*rows, {"part": "the rest", "reason": reason}]


def why(code: int, stderr: str) -> str:
    """Say why a process failed: the signal that ended it, or the last line it wrote."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}{', as when memory runs out' if name == 'SIGKILL' else ''}"
    lines = stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {code}"


def one(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one row of a process that must not fail."""
    if "reason" in rows[-1]:
        raise RuntimeError(f"A part of the benchmark failed: {rows[-1]['reason']}")
    return rows[0]


def seconds_of(command: list[str], times: int) -> list[float]:
    """Return wall seconds of fresh interpreters with these arguments."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
        taken.append(time.perf_counter() - start)
    return taken


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
