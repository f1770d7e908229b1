"""Run `eventstudy` on a price file: returns by pandas, as a wide CSV file, its only input.

It could compute returns of prices itself, but divides a change by the later price.
"""

import tempfile
from pathlib import Path

import file_given
from eventstudy import Multiple, Single
from file_given import BENCHMARK


def load(folder):
    returns = file_given.wide_returns(folder).iloc[1:]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "returns.csv"
        returns.to_csv(path, date_format="%Y-%m-%d")
        Single.import_returns(str(path))


def estimate(given, events):
    listed = [
        {"event_date": date.to_numpy(), "security_ticker": symbol, "market_ticker": BENCHMARK}
        for symbol, date in zip(events["symbol"], events["date"], strict=True)
    ]
    return Multiple.from_list(
        listed, Single.market_model, event_window=(-5, 5), estimation_size=240, buffer_size=5, ignore_errors=False
    ).CAR


file_given.answer(load, estimate)
