"""Run `py-event-studies` on a price file: a file like CRSP's with returns by pandas, one `compute` per date.

As in `py_event_studies_compute`, its event window is (-5, 4), and what it wants of a stock beside returns is invented.
"""

import tempfile
from pathlib import Path

import file_given
import numpy as np
import pandas as pd
import py_event_studies as pes
from file_given import BENCHMARK

#: Position of the market model among the seven it fits.
MARKET_MODEL = 4


def load(folder):
    returns = file_given.wide_returns(folder).iloc[1:]
    market = returns.pop(BENCHMARK)
    days = returns.index.strftime("%Y%m%d").astype(np.int32)
    crsp = returns.set_axis(days).set_axis(range(returns.shape[1]), axis="columns")
    crsp = crsp.melt(ignore_index=False, var_name="PERMNO", value_name="RET").rename_axis("date").reset_index()
    crsp = crsp.dropna().assign(PRC=100.0, PRIMEXCH="N", SICCD=3674)
    crsp["PERMNO"] = crsp["PERMNO"].astype(np.int64)
    crsp["vwretd"] = crsp["date"].map(market.set_axis(days))
    pes.update_config(estim_period=240, delta_estim_event_period=5, cluster_num_list=[5])
    invented = np.random.default_rng(5).normal(0, 1, (len(days), 4))
    factors = pd.DataFrame(invented, index=pd.Index(days, name="date"), columns=["smb", "hml", "rmw", "cma"])
    with tempfile.TemporaryDirectory() as scratch:
        crsp.to_parquet(Path(scratch) / "crsp.parquet")
        pes.load_data(str(Path(scratch) / "crsp.parquet"), no_cache=True)
        factors.reset_index().to_parquet(Path(scratch) / "factors.parquet")
        pes.load_ff_factors(str(Path(scratch) / "factors.parquet"))
        pes.clear_cache()  # it keeps a copy of every file beside its own source
    return {symbol: number for number, symbol in enumerate(returns.columns)}


def estimate(numbers, events):
    cars = pd.Series(np.nan, index=events.index)
    for date, of_date in events.groupby("date"):
        found = pes.compute(date.strftime("%Y%m%d"), [numbers[symbol] for symbol in of_date["symbol"]])
        cars[of_date.index] = found.event_residuals[0, MARKET_MODEL].sum(axis=0)
    return cars


file_given.answer(load, estimate)
