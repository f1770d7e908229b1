"""Run `ffjr-eventstudies` on a price file: returns by pandas as a wide frame."""

import file_given
from eventstudies import MultipleEvents, SingleEvent
from file_given import BENCHMARK


def load(folder):
    returns = file_given.wide_returns(folder).iloc[1:]
    SingleEvent.import_returns(dataframe=returns)


def estimate(given, events):
    listed = [
        {"event_date": date.to_numpy(), "ticker": symbol, "mkt_idx": BENCHMARK}
        for symbol, date in zip(events["symbol"], events["date"], strict=True)
    ]
    found = MultipleEvents.from_list(
        listed, SingleEvent.MarketModel, event_window=(-5, 5), est_size=240, buffer_size=5, ignore_errors=False
    )
    return [event.CAR[-1] for event in found.sample]


file_given.answer(load, estimate)
