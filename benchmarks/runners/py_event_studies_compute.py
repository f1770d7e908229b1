"""Run `py-event-studies`: a file like CRSP's, one `compute` per date; its kernel alone with the argument `kernel`.

Its event window is symmetric in name only: `event_period=10`, the one length that does not crash, is sessions -5 to 4.
Without Fama-French factors its kernel does not compile, so that factors are invented; the market model uses none.
"""

import tempfile
from pathlib import Path

import handed
import numpy as np
import pandas as pd
import py_event_studies as pes
from py_event_studies import _calibration

ESTIMATION, GAP, BEFORE, AFTER = 240, 5, 5, 5
#: Position of the market model among the seven it fits.
MARKET_MODEL = 4

panel = handed.read()
sessions, firms = panel.returns.shape
numbers = np.char.replace(np.datetime_as_string(panel.dates, "D"), "-", "").astype(np.int32)
crsp = pd.DataFrame(
    {
        "PERMNO": np.repeat(np.arange(firms), sessions),
        "date": np.tile(numbers, firms),
        "RET": panel.returns.T.ravel(),
        "vwretd": np.tile(panel.market, firms),
        # dearer than 5, one exchange, one industry: what it wants of a stock before it takes it
        "PRC": 100.0,
        "PRIMEXCH": "N",
        "SICCD": 3674,
    }
)
invented = np.random.default_rng(5).normal(0, 1, (sessions, 4))
pes.update_config(estim_period=ESTIMATION, delta_estim_event_period=GAP, cluster_num_list=[5])
with tempfile.TemporaryDirectory() as folder:
    crsp.to_parquet(Path(folder) / "crsp.parquet")
    pes.load_data(str(Path(folder) / "crsp.parquet"), no_cache=True)
    factors = pd.DataFrame(invented, index=pd.Index(numbers, name="date"), columns=["smb", "hml", "rmw", "cma"])
    factors.reset_index().to_parquet(Path(folder) / "factors.parquet")
    pes.load_ff_factors(str(Path(folder) / "factors.parquet"))
    pes.clear_cache()  # it keeps a copy of every file beside its own source
of_dates = [(day, np.flatnonzero(panel.session == day)) for day in dict.fromkeys(panel.session.tolist())]


def computed():
    cars = np.full(len(panel.firm), np.nan)
    for day, rows in of_dates:
        found = pes.compute(str(numbers[day]), panel.firm[rows].tolist())
        cars[rows] = found.event_residuals[0, MARKET_MODEL].sum(axis=0)
    return cars


def kernel():
    """Run regressions of the market model by its kernel, without the package around it."""
    store, cars = pes.data_store, np.full(len(panel.firm), np.nan)
    for day, rows in of_dates:
        before = slice(day - BEFORE - GAP - ESTIMATION, day - BEFORE - GAP)
        around = slice(day - BEFORE, day + AFTER)
        shapes = [(part.stop - part.start, len(rows)) for part in (before, around)]
        residuals = [np.zeros(shape) for shape in (*shapes, *shapes)]
        none = [np.zeros(shape[::-1]) for shape in shapes]
        returns = [store.ret_array_c[:, part] for part in (before, around)]
        market = [store.vwretd_arr[part] for part in (before, around)]
        _calibration.make_ptf_reg(*residuals, *returns, panel.firm[rows], *none, *market, use_cluster=False)
        cars[rows] = residuals[1].sum(axis=0)
    return cars


handed.answer(kernel if handed.argument() == "kernel" else computed)
