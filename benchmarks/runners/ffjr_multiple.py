"""Run `ffjr-eventstudies`: returns as a wide frame, `MultipleEvents.from_list` over the events.

Its estimation window ends `buffer_size` sessions before the event window. It calls its returns logarithmic and uses
them as they are, so simple returns give simple sums.
"""

import handed
import numpy as np
import pandas as pd
from eventstudies import MultipleEvents, SingleEvent

panel = handed.read()
table = pd.DataFrame(panel.returns, columns=panel.symbols)
table.insert(0, "date", panel.dates.astype("datetime64[s]"))
table["market"] = panel.market
SingleEvent.import_returns(dataframe=table)
events = [
    {"event_date": np.datetime64(day, "ns"), "ticker": symbol, "mkt_idx": "market"}
    for day, symbol in zip(panel.dates[panel.session], panel.symbols[panel.firm], strict=True)
]


def estimate():
    found = MultipleEvents.from_list(
        events, SingleEvent.MarketModel, event_window=(-5, 5), est_size=240, buffer_size=5, ignore_errors=False
    )
    return [event.CAR[-1] for event in found.sample]


handed.answer(estimate)
