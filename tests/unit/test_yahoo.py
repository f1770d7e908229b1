"""Yahoo prices, against a stand-in for yfinance.Ticker."""

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pandas as pd
import polars as pl
import pytest
import yfinance
from yfinance.exceptions import (
    YFDataException,
    YFPricesMissingError,
    YFRateLimitError,
    YFTzMissingError,
)

from marketimpact.errors import SourceError, SpecificationError
from marketimpact.sources import YahooPrices, yahoo

MON, TUE, WED = date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10)
NAN = float("nan")


def bars(zone="America/New_York", days=("2024-01-08", "2024-01-09"), adjusted=(50.0, 51.0), volume=7):
    index = pd.DatetimeIndex(days, name="Date").tz_localize(zone)
    frame = {
        "Open": 1.0,
        "High": 1.0,
        "Low": 1.0,
        "Close": 2.0,
        "Adj Close": list(adjusted),
        "Volume": volume,
    }
    return pd.DataFrame(frame, index=index)


@pytest.fixture
def answers(monkeypatch):
    """What Yahoo has: symbol -> bars, or the error it raises; and the questions it was asked."""
    known, asked = {}, []

    class Ticker:
        def __init__(self, symbol):
            self.symbol = symbol

        def history(self, **options):
            asked.append((self.symbol, options))
            assert yfinance.config.debug.hide_exceptions is False
            answer = known.get(self.symbol, YFTzMissingError(self.symbol))
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(yfinance, "Ticker", Ticker)
    monkeypatch.setattr(yahoo, "_now", lambda: datetime(2024, 6, 1, tzinfo=UTC))
    known["asked"] = asked
    return known


def http_error(status):
    error = OSError(f"HTTP Error {status}")
    error.response = SimpleNamespace(status_code=status)
    return error


def test_adjusted_closes_on_the_dates_of_each_exchange(answers):
    answers |= {"NVDA": bars(), "2330.TW": bars(zone="Asia/Taipei", adjusted=(580.0, 585.0), volume=9)}
    table = YahooPrices().read(["NVDA", "2330.TW"])
    assert table.frame.rows() == [
        ("2330.TW", MON, 580.0, 9.0),
        ("2330.TW", TUE, 585.0, 9.0),
        ("NVDA", MON, 50.0, 7.0),
        ("NVDA", TUE, 51.0, 7.0),
    ]
    assert table.frame.schema["close"] == pl.Float64
    assert (table.missing, table.notes, table.simulated) == ((), (), False)
    version = yfinance.__version__
    assert table.source == f"YahooPrices() (Yahoo Finance through yfinance {version}, adjusted close)"


def test_the_question_has_both_bounds_and_no_adjustment_of_theirs(answers):
    answers["NVDA"] = bars()
    YahooPrices(start="2023-05-01").read(["NVDA"])
    YahooPrices().read(["NVDA", "NVDA"], MON, MON)
    (_, plain), (_, bounded) = answers["asked"]
    assert (plain["start"], plain["end"]) == (date(2023, 5, 1), None)
    assert (bounded["start"], bounded["end"]) == (MON, TUE)
    assert (plain["auto_adjust"], plain["timeout"]) == (False, 10.0)


def test_bars_outside_the_bounds_are_left_out(answers):
    answers["NVDA"] = bars()
    assert YahooPrices().read(["NVDA"], MON, MON).frame["date"].to_list() == [MON]


def test_unsorted_bars_are_sorted(answers):
    answers["NVDA"] = bars(days=("2024-01-09", "2024-01-08"))
    assert YahooPrices().read(["NVDA"]).frame.select("date", "close").rows() == [(MON, 51.0), (TUE, 50.0)]


@pytest.mark.parametrize("nothing", [NAN, 0.0, float("inf")])
def test_a_close_that_is_none_is_left_empty_and_noted(answers, nothing):
    answers |= {"NVDA": bars(adjusted=(nothing, 51.0)), "AMD": bars(adjusted=(100.0, nothing))}
    table = YahooPrices().read(["NVDA", "AMD"])
    assert table.frame["close"].to_list() == [100.0, None, None, 51.0]
    assert table.notes == ("No close, or none above zero: left empty: NVDA (1), AMD (1).",)


@pytest.mark.parametrize(
    ("now", "kept"),
    [
        (datetime(2024, 1, 9, 20, 0, tzinfo=UTC), [("2330.TW", MON), ("2330.TW", TUE), ("NVDA", MON)]),
        (datetime(2024, 1, 9, 5, 0, tzinfo=UTC), [("2330.TW", MON), ("NVDA", MON)]),
        (datetime(2024, 1, 9, 4, 59, tzinfo=UTC), [("2330.TW", MON)]),
        (datetime(2024, 1, 9, 15, 59, tzinfo=UTC), [("2330.TW", MON), ("NVDA", MON)]),
    ],
)
def test_the_bar_of_the_current_day_there_is_dropped(answers, monkeypatch, now, kept):
    answers |= {"NVDA": bars(), "2330.TW": bars(zone="Asia/Taipei")}
    monkeypatch.setattr(yahoo, "_now", lambda: now)
    table = YahooPrices().read(["NVDA", "2330.TW"])
    assert table.frame.select("symbol", "date").rows() == kept
    assert table.notes[0].startswith("The bar of the current day is left out, its session may be open: NVDA")


def test_only_a_partial_bar_is_no_price(answers, monkeypatch):
    answers |= {"NVDA": bars(), "AMD": bars(days=("2024-01-09",), adjusted=(100.0,))}
    monkeypatch.setattr(yahoo, "_now", lambda: datetime(2024, 1, 9, 20, tzinfo=UTC))
    table = YahooPrices().read(["NVDA", "AMD"])
    assert table.missing == ("AMD",)
    assert table.notes[0].endswith("may be open: NVDA, AMD.")
    assert table.notes[1] == "Missing, Yahoo has no prices (no bar of a past day has a close): AMD."


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (YFTzMissingError("XYZ"), "Missing, Yahoo has no prices (no timezone found): XYZ."),
        (
            YFPricesMissingError("XYZ", "", yahoo_reason="No data found, symbol may be delisted"),
            "Missing, Yahoo has no prices (No data found, symbol may be delisted): XYZ.",
        ),
        (http_error(404), "Missing, Yahoo has no prices (HTTP 404): XYZ."),
        (bars(days=(), adjusted=()), "Missing, Yahoo has no prices (no bars between the dates): XYZ."),
        (
            bars(adjusted=(NAN, NAN)),
            "Missing, Yahoo has no prices (no bar of a past day has a close): XYZ.",
        ),
        (
            bars(zone=None),
            "Missing, the answer could not be read (dates without a time zone): XYZ.",
        ),
        (http_error(502), "Missing, Yahoo failed (HTTP 502); may go through later: XYZ."),
        (YFDataException("down"), "Missing, Yahoo failed (down); may go through later: XYZ."),
        (
            ConnectionResetError("reset"),
            "Missing, the network failed (ConnectionResetError); may go through later: XYZ.",
        ),
        (
            KeyError("timestamp"),
            "Missing, the answer could not be read (KeyError: 'timestamp'); may go through later: XYZ.",
        ),
        (
            bars().drop(columns="Adj Close"),
            "Missing, the answer could not be read (KeyError: 'Adj Close'); may go through later: XYZ.",
        ),
    ],
)
def test_a_symbol_without_prices_is_missing_with_its_cause(answers, answer, note):
    answers |= {"NVDA": bars(), "XYZ": answer}
    table = YahooPrices().read(["XYZ", "NVDA"])
    assert table.frame["symbol"].to_list() == ["NVDA", "NVDA"]
    assert table.missing == ("XYZ",)
    assert table.notes[-1] == note


def test_half_of_the_symbols_fail(answers):
    answers |= {"NVDA": bars(), "AMD": TimeoutError(), "TSM": bars(), "MU": TimeoutError()}
    table = YahooPrices().read(["NVDA", "AMD", "TSM", "MU"])
    assert table.frame["symbol"].unique().sort().to_list() == ["NVDA", "TSM"]
    assert table.missing == ("AMD", "MU")
    assert table.notes == ("Missing, the network failed (TimeoutError); may go through later: AMD, MU.",)


@pytest.mark.parametrize("limit", [YFRateLimitError(), http_error(429)])
def test_a_rate_limit_ends_the_asking(answers, limit):
    answers |= {"NVDA": bars(), "AMD": limit, "TSM": bars()}
    table = YahooPrices().read(["NVDA", "AMD", "TSM"])
    assert [symbol for symbol, _ in answers["asked"]] == ["NVDA", "AMD"]
    assert table.missing == ("AMD", "TSM")
    (note,) = table.notes
    assert note.startswith("Missing, Yahoo limits the rate of requests")
    assert note.endswith("may go through later: AMD, TSM.")


def test_the_deadline_ends_the_asking(answers, monkeypatch):
    answers |= {"NVDA": bars(), "AMD": bars(), "TSM": bars()}
    clock = iter([0.0, 0.0, 26.0, 31.0, 32.0])
    monkeypatch.setattr(yahoo, "monotonic", lambda: next(clock))
    table = YahooPrices(deadline=30).read(["NVDA", "AMD", "TSM"])
    assert [(symbol, options["timeout"]) for symbol, options in answers["asked"]] == [
        ("NVDA", 10.0),
        ("AMD", 4.0),
    ]
    assert table.missing == ("TSM",)
    assert "the deadline of 30 s had passed" in table.notes[0]


@pytest.mark.parametrize(
    ("answer", "retryable", "words"),
    [
        (YFTzMissingError("XYZ"), False, "no timezone found.*Check the symbols on Yahoo Finance"),
        (YFRateLimitError(), True, "limits the rate.*ask again later"),
        (ConnectionError(), True, "the network failed .ConnectionError.*Check the network"),
    ],
)
def test_nothing_at_all_is_an_error(answers, answer, retryable, words):
    answers |= {"XYZ": answer, "ABC": answer}
    with pytest.raises(SourceError, match=words) as caught:
        YahooPrices().read(["XYZ", "ABC"])
    assert caught.value.retryable is retryable
    assert caught.value.symbols == ("XYZ", "ABC")
    assert caught.value.source == "YahooPrices()"


@pytest.mark.parametrize("hidden", [True, False])
def test_the_setting_of_yfinance_is_put_back(answers, monkeypatch, hidden):
    monkeypatch.setitem(yfinance.config.debug.data, "hide_exceptions", hidden)
    answers["NVDA"] = bars()
    YahooPrices().read(["NVDA"])
    with pytest.raises(SourceError):
        YahooPrices().read(["XYZ"])
    answers["AMD"] = RuntimeError("not foreseen")
    with pytest.raises(RuntimeError):
        YahooPrices().read(["AMD"])
    assert yfinance.config.debug.hide_exceptions is hidden


@pytest.mark.parametrize("symbol", ["NVDA", "2330.TW", "^GSPC", "BRK-B", "TWD=X", "M&M.NS", "000001.SS"])
def test_symbols_of_yahoo(answers, symbol):
    answers[symbol] = bars()
    assert YahooPrices().read([symbol]).frame["symbol"].to_list() == [symbol, symbol]


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
def test_symbols_that_cannot_be(answers, symbols, words):
    with pytest.raises(SpecificationError, match=words):
        YahooPrices().read(symbols)
    assert answers["asked"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "1 May"}, "start='1 May' is no ISO date"),
        ({"start": 2023}, "first is 2023"),
        ({"deadline": 0}, "leaves no time"),
        ({"deadline": NAN}, "leaves no time"),
    ],
)
def test_a_source_that_cannot_be(options, words):
    with pytest.raises(SpecificationError, match=words):
        YahooPrices(**options)


def test_a_last_before_the_start():
    with pytest.raises(SpecificationError, match="lies after"):
        YahooPrices(start="2023-01-01").read(["NVDA"], last=date(2022, 1, 1))
