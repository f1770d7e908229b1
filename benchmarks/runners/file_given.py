"""Measure a runner that begins with a price file, in a package's environment: numpy and pandas, which reads the file.

python RUNNER FOLDER ANSWER.npz NUMBER

FOLDER has `prices.parquet` and `events.parquet`; the first NUMBER events are estimated.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

BENCHMARK = "^MARKET"


def resident(what):
    """Return the bytes of this process in memory: VmRSS now, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def wide_returns(folder):
    """Read the file and return simple returns, dates x symbols; NaN on a day without a price and on the next one."""
    prices = pd.read_parquet(folder / "prices.parquet", columns=["symbol", "date", "close"])
    prices["date"] = pd.to_datetime(prices["date"])
    return prices.pivot(index="date", columns="symbol", values="close").pct_change(fill_method=None)


def answer(load, estimate):
    """Load and estimate twice; write CARs, the seconds of the second time, and the peak of memory above the imports."""
    folder, number = Path(sys.argv[1]), int(sys.argv[3])
    events = pd.read_parquet(folder / "events.parquet").head(number)
    events["date"] = pd.to_datetime(events["date"])
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    seconds, peak = {}, 0
    for _ in range(2):
        start = time.perf_counter()
        given = load(folder)
        loaded = time.perf_counter()
        cars = estimate(given, events)
        seconds = {"load": loaded - start, "estimate": time.perf_counter() - loaded}
        peak = peak or resident("VmHWM") - before
        del given
    np.savez(sys.argv[2], cars=np.asarray(cars, dtype=float), peak=peak, **seconds)
