"""Read the input and write the output of a runner, in a package's environment: numpy and the standard library only.

python RUNNER DATA.npz ANSWER.npz [ARGUMENT]
"""

import sys
import time
from types import SimpleNamespace

import numpy as np


def read():
    """Read the panel: returns (sessions, firms), market, dates (datetime64[D]), symbols, firm and session of events."""
    with np.load(sys.argv[1]) as data:
        return SimpleNamespace(**{name: data[name] for name in data.files})


def argument():
    return sys.argv[3] if len(sys.argv) > 3 else None


def answer(estimate):
    """Do the work twice, write CARs in the order of the events and the seconds of both times."""
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        cars = estimate()
        seconds.append(time.perf_counter() - start)
    np.savez(sys.argv[2], cars=np.asarray(cars, dtype=float), first=seconds[0], wall=seconds[1])
