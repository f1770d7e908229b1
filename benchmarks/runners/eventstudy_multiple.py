"""Run `eventstudy`: returns from a CSV file, its only input; `Multiple.from_list` over the events.

Its estimation window ends `buffer_size` sessions before the event window.
"""

import tempfile
from pathlib import Path

import handed
import numpy as np
import pandas as pd
from eventstudy import Multiple, Single

panel = handed.read()
table = pd.DataFrame(panel.returns, columns=panel.symbols)
table.insert(0, "date", panel.dates.astype("datetime64[s]"))
table["market"] = panel.market
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "returns.csv"
    table.to_csv(path, index=False, date_format="%Y-%m-%d")
    Single.import_returns(str(path))
events = [
    {"event_date": np.datetime64(day, "ns"), "security_ticker": symbol, "market_ticker": "market"}
    for day, symbol in zip(panel.dates[panel.session], panel.symbols[panel.firm], strict=True)
]


def estimate():
    return Multiple.from_list(
        events,
        Single.market_model,
        event_window=(-5, 5),
        estimation_size=240,
        buffer_size=5,
        ignore_errors=False,
    ).CAR


handed.answer(estimate)
