"""Run public event-study packages, each in an environment of its own that is made once and cached.

No time without equal results: their CARs are compared with ours first. What cannot be installed, run or compared has
the reason instead of a time.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from platformdirs import user_cache_path

from benchmarks.simulated import WINDOW, Panel

HERE = Path(__file__).parent
#: Sums of a few returns in double precision; all three packages keep doubles, a CSV file prints them in full.
TOLERANCE = 1e-10
INSTALL_SECONDS, RUN_SECONDS = 900, 240


class UnavailableError(Exception):
    """Reason why a package has no time."""


@dataclass(frozen=True)
class Package:
    """Name, version, requirements and runner of a package.

    Attributes
    ----------
    name : str
        In the table.
    pins : str
        File of exact versions in `pins/`.
    runner : str
        File in `runners/`, and its argument.
    window : tuple of int
        Sessions that its CAR sums.
    dates : bool
        Whether it wants all events of a date at once.
    events : int
        How many take it a few seconds, about.
    timed : str
        What its seconds are spent on.
    """

    name: str
    pins: str
    runner: tuple[str, ...]
    window: tuple[int, int]
    dates: bool
    events: int
    timed: str

    def rows(self, panel: Panel) -> Any:
        """Select the events it is given."""
        return panel.of_few_dates(self.events) if self.dates else panel.of_few_firms(self.events)


#: `event_period=10` is the one length that does not crash, see the runner.
EVEN = (-5, 4)
PACKAGES = (
    Package(
        "eventstudy 0.1a12",
        "eventstudy.txt",
        ("eventstudy_multiple.py",),
        WINDOW,
        dates=False,
        events=5000,
        timed="`Multiple.from_list`: market model, CAR, t of the mean that takes events for independent",
    ),
    Package(
        "ffjr-eventstudies 0.2.0",
        "ffjr-eventstudies.txt",
        ("ffjr_multiple.py",),
        WINDOW,
        dates=False,
        events=3000,
        timed="`MultipleEvents.from_list`: the same",
    ),
    Package(
        "py-event-studies 0.3.0",
        "py-event-studies.txt",
        ("py_event_studies_compute.py",),
        EVEN,
        dates=True,
        events=1000,
        timed="`compute` of each date: seven models and k-means of peers, with one number of clusters instead of nine; "
        "no tests",
    ),
    Package(
        "py-event-studies 0.3.0, its kernel alone",
        "py-event-studies.txt",
        ("py_event_studies_compute.py", "kernel"),
        EVEN,
        dates=True,
        events=1000,
        timed="its compiled regressions of the market model, without the package around them",
    ),
)


class Pinned(Protocol):
    """A program with a file of exact versions in `pins/`."""

    @property
    def name(self) -> str: ...
    @property
    def pins(self) -> str: ...


def environment(package: Pinned) -> Path:
    """Return the Python of the package's environment, and make it if needed.

    Raises
    ------
    UnavailableError
        When it cannot be installed, with pip's last word.
    """
    pins = (HERE / "pins" / package.pins).read_text(encoding="utf-8")
    which = hashlib.sha256(f"{sys.version}{pins}".encode()).hexdigest()[:12]
    folder = user_cache_path("marketimpact") / "benchmarks" / f"{Path(package.pins).stem}-{which}"
    python, made = folder / "bin" / "python", folder / "made"
    if made.exists():
        return python
    print(f"making an environment for {package.name} ...", file=sys.stderr)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    _do([sys.executable, "-m", "venv", "--clear", str(folder)], INSTALL_SECONDS, "not installed")
    _do([*install, "--requirement", str(HERE / "pins" / package.pins)], INSTALL_SECONDS, "not installed")
    made.touch()
    return python


def cars_of(package: Package, part: Panel) -> dict[str, Any]:
    """Run the package on the events: ``cars``, and seconds of the first and second time, ``first, wall``.

    Raises
    ------
    UnavailableError
        When it cannot be installed, fails, or takes too long.
    """
    python = environment(package)
    name, *argument = package.runner
    with tempfile.TemporaryDirectory() as folder:
        data, answer = Path(folder) / "data.npz", Path(folder) / "answer.npz"
        part.save(data)
        run([str(python), str(HERE / "runners" / name), str(data), str(answer), *argument])
        with np.load(answer) as found:
            return {name: found[name] for name in found.files}


def compared(theirs: Any, ours: Any) -> float:
    """Return the largest difference of two sets of CARs.

    Raises
    ------
    UnavailableError
        When one has a CAR that the other has not, or they differ by more than `TOLERANCE`.
    """
    if len(theirs) != len(ours):
        raise UnavailableError(f"gives {len(theirs):,} CARs for {len(ours):,} events")
    lost, apart = np.isnan(theirs) & ~np.isnan(ours), ~np.isnan(theirs) & np.isnan(ours)
    if lost.any():
        raise UnavailableError(f"no CAR for {lost.sum():,} of {len(ours):,} events, of which a study has one")
    if apart.any():
        raise UnavailableError(f"CARs for {apart.sum():,} of {len(ours):,} events that cannot be estimated")
    worst = float(np.nanmax(np.abs(theirs - ours)))
    if worst > TOLERANCE:
        raise UnavailableError(f"its CARs differ from ours by up to {worst:.1g}")
    return worst


def measured(package: Package, panel: Panel, cars: dict[tuple[int, int], Any]) -> dict[str, Any]:
    """Return a row of the table: seconds and difference, or the reason why there are none.

    Parameters
    ----------
    package : Package
        Which.
    panel : Panel
        All events.
    cars : dict of tuple to (events,) array
        Our CARs of the whole panel, by window.
    """
    rows = package.rows(panel)
    row: dict[str, Any] = {"part": package.name, "measured": len(rows)}
    try:
        found = cars_of(package, panel.part(rows))
        worst = compared(found["cars"], cars[package.window][rows])
    except UnavailableError as reason:
        return row | {"reason": str(reason)}
    return row | {"wall": float(found["wall"]), "first": float(found["first"]), "difference": worst}


def run(command: list[str]) -> None:
    """Run a runner.

    Raises
    ------
    UnavailableError
        When it fails or takes too long.
    """
    _do(command, RUN_SECONDS, "fails")


def _do(command: list[str], seconds: int, failed: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{failed}: took longer than {seconds} s") from None
    if done.returncode:
        raise UnavailableError(f"{failed}: {last_word(done.stderr) or f'exit code {done.returncode}'}")


def last_word(stderr: str) -> str:
    """Return the error that ended a program on one line, from its name on, or the last line where none is named."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and "WARNING" not in line]
    named = [at for at, line in enumerate(lines) if re.match(r"[\w.]*(Error|Exception|ERROR)\b", line)]
    return " ".join(lines[named[-1] if named else -1 :])[:200]
