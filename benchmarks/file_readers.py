"""Run other programs from a price file to CARs, each in an environment of its own, as `packages` does from returns.

No time without equal results: their CARs are compared with ours first.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.packages import HERE, UnavailableError, compared, environment, run


@dataclass(frozen=True)
class FileReader:
    """Name, exact versions and runner of a program that gets a price file.

    Attributes
    ----------
    name : str
        In the table.
    pins : str
        File of exact versions in `pins/`.
    runner : str
        File in `runners/`.
    events : int
        How many of the first events it estimates; its time for all of them follows.
    even : bool
        Whether its CAR sums (-5, 4) rather than (-5, 5).
    timed : str
        What its seconds are spent on.
    """

    name: str
    pins: str
    runner: str
    events: int
    timed: str
    even: bool = False


FILE_READERS = (
    FileReader(
        "pandas, statsmodels loop",
        "pandas-statsmodels.txt",
        "pandas_statsmodels_file.py",
        events=1000,
        timed="`read_parquet`, `pivot`, `pct_change`, one `sm.OLS` per event; no tests",
    ),
    FileReader(
        "eventstudy 0.1a12",
        "eventstudy.txt",
        "eventstudy_file.py",
        events=1000,
        timed="returns by pandas, written as the wide CSV file that it reads, `Multiple.from_list`",
    ),
    FileReader(
        "ffjr-eventstudies 0.2.0",
        "ffjr-eventstudies.txt",
        "ffjr_file.py",
        events=1000,
        timed="returns by pandas as a wide frame, `MultipleEvents.from_list`",
    ),
    FileReader(
        "py-event-studies 0.3.0",
        "py-event-studies.txt",
        "py_event_studies_file.py",
        events=500,
        timed="returns by pandas, written as a file like CRSP's that it reads, `compute` of each date; no tests",
        even=True,
    ),
)


def measured(reader: FileReader, folder: Path) -> dict[str, Any]:
    """Return a row of the table: seconds of loading and of so many events, peak and difference, or the reason why not.

    `folder` has the files of `price_file.hand_over`, and our CARs.
    """
    row: dict[str, Any] = {"part": reader.name}
    if not (folder / "cars.npz").exists():
        return row | {"reason": "there are no CARs of ours to compare with"}
    with np.load(folder / "cars.npz") as ours:
        cars = ours["even" if reader.even else "whole"][: reader.events]
    row["measured"] = len(cars)
    try:
        python = environment(reader)
        with tempfile.TemporaryDirectory() as scratch:
            answer = Path(scratch) / "answer.npz"
            script = str(HERE / "runners" / reader.runner)
            run([str(python), script, str(folder), str(answer), str(len(cars))])
            with np.load(answer) as found:
                difference = compared(found["cars"], cars)
                numbers = {name: float(found[name]) for name in ("load", "estimate", "peak")}
    except UnavailableError as reason:
        return row | {"reason": str(reason)}
    return row | numbers | {"difference": difference}
