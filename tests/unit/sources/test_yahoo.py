"""Yahoo prices: valid options and symbols, and yfinance's process-wide state. Faults: test_yahoo_faults.py."""

import logging
import threading
from datetime import date, datetime
from types import SimpleNamespace

import pandas as pd
import peewee
import pytest
import requests
import yfinance
from curl_cffi import requests as curl

from marketimpact.errors import SourceError, SpecificationError
from marketimpact.sources import YahooPrices
from marketimpact.sources.yahoo import client as yahoo_client
from marketimpact.sources.yahoo import source as yahoo
from marketimpact.sources.yahoo.bars import YahooFailure, parse_bars

NAN = float("nan")


@pytest.fixture
def ticker(monkeypatch):
    """A stand-in for yfinance.Ticker: what it raises, and the requests it got."""
    state = SimpleNamespace(error=RuntimeError("not foreseen"), asked=[])

    class Ticker:
        def __init__(self, symbol, session=None):
            self.symbol, self.session = symbol, session

        def history(self, **options):
            state.asked.append((self.symbol, options))
            assert yfinance.config.debug.hide_exceptions is False
            assert logging.getLogger("yfinance").level == logging.CRITICAL
            raise state.error

    monkeypatch.setattr(yfinance, "Ticker", Ticker)
    monkeypatch.setattr(yahoo, "_sleep", lambda seconds: None)
    return state


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize(("error", "raised"), [(RuntimeError("not foreseen"), RuntimeError), (OSError(), SourceError)])
def test_the_settings_of_yfinance_are_put_back(ticker, monkeypatch, hidden, error, raised):
    monkeypatch.setitem(yfinance.config.debug.data, "hide_exceptions", hidden)
    monkeypatch.setattr(logging.getLogger("yfinance"), "level", logging.INFO)
    ticker.error = error
    with pytest.raises(raised):
        YahooPrices(session=requests.Session()).read(["NVDA"])
    assert yfinance.config.debug.hide_exceptions is hidden
    assert logging.getLogger("yfinance").level == logging.INFO


def test_the_question_has_both_bounds_and_no_adjustment_of_theirs(ticker):
    day = date(2024, 1, 8)
    source = YahooPrices(start="2023-05-01", session=requests.Session(), tries=1)
    for bounds in ((None, None), (day, day)):
        with pytest.raises(RuntimeError):
            source.read(["NVDA", "NVDA"], *bounds)
    (_, plain), (_, bounded) = ticker.asked
    assert (plain["start"], plain["end"]) == (date(2023, 5, 1), None)
    assert (bounded["start"], bounded["end"]) == (day, date(2024, 1, 9))
    assert (plain["auto_adjust"], plain["actions"], plain["keepna"]) == (False, True, True)


def test_a_cache_on_disk_that_fails_is_reported_and_tried_again(ticker):
    ticker.error = peewee.OperationalError("database is locked")
    with pytest.raises(SourceError, match=r"its cache on disk .OperationalError: database is locked") as caught:
        YahooPrices(session=requests.Session()).read(["NVDA"])
    assert caught.value.retryable
    assert len(ticker.asked) == 3


def test_the_usual_session_is_the_one_of_yfinance_and_is_kept():
    session = yahoo_client._default_session()
    assert isinstance(session, curl.Session)
    assert yahoo_client._default_session() is session


def test_a_proxy_set_in_yfinance_reaches_the_session():
    session = requests.Session()
    witness = yahoo_client._RecordingSession(session, lambda: 1.0)
    witness.proxies = {"https": "http://127.0.0.1:1"}
    assert session.proxies == witness.proxies == {"https": "http://127.0.0.1:1"}


def test_no_request_is_sent_after_the_deadline():
    class Session(requests.Session):
        def request(self, method, url, **options):
            raise AssertionError("sent")

    with pytest.raises(TimeoutError, match="no time is left"):
        yahoo_client._RecordingSession(Session(), lambda: 0.0).get(
            "https://query2.finance.yahoo.com/v8/finance/chart/NVDA"
        )


def test_a_question_waits_for_the_one_before_no_longer_than_its_deadline(ticker):
    with yahoo_client._one_at_a_time, pytest.raises(SourceError, match=r"no answer before the deadline of 0\.1 s"):
        YahooPrices(deadline=0.1).read(["NVDA"])
    for thread in threading.enumerate():
        if thread.name == "YahooPrices":
            thread.join()
    assert ticker.asked == []


def test_a_client_whose_clock_is_a_millisecond_ahead_meets_the_same_deadline(monkeypatch):
    asked = []

    def fetch(symbol, first, last, session, seconds_left):
        asked.append(symbol)
        clock[0] = options.deadline - 0.001  # curl counts whole milliseconds
        raise YahooFailure("the network failed (Timeout)", retryable=True)

    clock, options = [0.0], YahooPrices(deadline=1)
    monkeypatch.setattr(yahoo, "monotonic", lambda: clock[0])
    answers = yahoo.fetch_all(options, fetch, ["AMD", "2330.TW"], date(2024, 3, 1), None)
    assert [(answer.failure.cause[:40], answer.tries) for answer in answers] == [
        ("no answer before the deadline of 1 s", 1),
        ("not requested: the deadline of 1 s had p", 0),
    ]
    assert asked == ["AMD"]


@pytest.mark.parametrize(("zone", "cause"), [(None, "dates without a time zone"), ("Asia/Taipei", "no bars between")])
def test_a_frame_without_what_is_needed(zone, cause):
    days = ["2024-01-08"] if zone is None else []
    bars = pd.DataFrame({"Close": [1.0] * len(days)}, index=pd.DatetimeIndex(days).tz_localize(zone))
    with pytest.raises(YahooFailure, match=cause) as caught:
        parse_bars("2330.TW", bars, {}, date(2024, 1, 1), None)
    assert caught.value.retryable is (zone is None)


@pytest.mark.parametrize("symbol", ["NVDA", "2330.TW", "^GSPC", "BRK-B", "TWD=X", "M&M.NS", "000001.SS"])
def test_symbols_of_yahoo(ticker, symbol):
    with pytest.raises(RuntimeError):
        YahooPrices(session=requests.Session()).read([symbol])
    assert [asked for asked, _ in ticker.asked] == [symbol]


@pytest.mark.parametrize(
    ("symbols", "words"),
    [
        ([], "symbols is empty"),
        ("NVDA", "letter by letter"),
        (["nvda"], r"'nvda' cannot be a Yahoo symbol.*Write 'NVDA'"),
        (["NVDA/../x"], "cannot be a Yahoo symbol"),
        (["NVDA AMD"], "cannot be a Yahoo symbol"),
        (["NVDA\n"], r"Write 'NVDA'"),
        (["US67066G1040"], "is an ISIN"),
    ],
)
def test_symbols_that_cannot_be(ticker, symbols, words):
    with pytest.raises(SpecificationError, match=words):
        YahooPrices().read(symbols)
    assert ticker.asked == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "1 May"}, "start='1 May' is not an ISO date"),
        ({"start": 2023}, "first=2023"),
        ({"start": datetime(2023, 1, 1)}, "first=datetime"),
        ({"deadline": 0}, "is not a time"),
        ({"deadline": NAN}, "is not a time"),
        ({"deadline": float("inf")}, "is not a time"),
        ({"pause": -1}, "pause=-1 is not a time"),
        ({"pause": NAN}, "pause=nan is not a time"),
        ({"tries": 0}, "tries=0 is not a count"),
        ({"tries": 2.5}, "tries=2.5 is not a count"),
        ({"batch": True}, "batch=True is not a count"),
        ({"session": "proxy.example:80"}, r"session='proxy.example:80' has no request\(\)"),
        ({"session": SimpleNamespace(request=print, cache={})}, "session caches answers"),
    ],
)
def test_a_source_that_cannot_be(options, words):
    with pytest.raises(SpecificationError, match=words):
        YahooPrices(**options)


def test_a_last_before_the_start():
    with pytest.raises(SpecificationError, match="lies after"):
        YahooPrices(start="2023-01-01").read(["NVDA"], last=date(2022, 1, 1))
