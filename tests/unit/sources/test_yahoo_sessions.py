"""Yahoo prices from servers that send no end of headers or bytes, redirect elsewhere, or answer for another symbol."""

import json
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import repeat

import pytest
import yfinance
from yfinance import cache
from yfinance.data import SingletonMeta

from marketimpact.errors import SourceError
from marketimpact.sources import YahooPrices, bounded_requests
from marketimpact.sources.yahoo import client
from marketimpact.sources.yahoo import source as yahoo
from tests.peer.yahoo import CurlSession, Listing, Reply, YahooPeer, requests_session

FRI, MON = date(2024, 3, 8), date(2024, 3, 11)
NEW_YORK = Listing("America/New_York", "USD", [(FRI, 100.0, 98.0, 10), (MON, 101.0, 99.0, 11)], dividends={MON: 0.5})
TAIPEI = Listing("Asia/Taipei", "TWD", [(FRI, 780.0, 770.0, 5)], shares={datetime(2024, 3, 8, tzinfo=UTC): 9.0})


@pytest.fixture(autouse=True)
def fresh_yfinance(monkeypatch, tmp_path):
    """Session, cookie, answers and caches on disk of yfinance anew, no waits between tries, a small bound."""
    monkeypatch.setattr(SingletonMeta, "_instances", {})
    monkeypatch.setattr(cache._TzCacheManager, "_tz_cache", None)
    monkeypatch.setattr(cache._CookieCacheManager, "_Cookie_cache", None)
    yfinance.set_tz_cache_location(str(tmp_path))
    monkeypatch.setattr(yahoo, "_sleep", lambda _: None)
    for module in (client, bounded_requests):
        monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)


@pytest.fixture
def short_requests(monkeypatch):
    monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)


@pytest.fixture(params=[CurlSession, requests_session], ids=["curl", "requests"])
def session(request, peer):
    return request.param(peer.port)


@pytest.fixture
def peer():
    with YahooPeer({"AMD": NEW_YORK, "NVDA": NEW_YORK, "2330.TW": TAIPEI}).running() as server:
        yield server


def read(session, symbols=("AMD", "NVDA", "2330.TW"), **options):
    return YahooPrices(start=FRI, session=session, **{"tries": 1, **options}).read(list(symbols))


def outcomes(table):
    return dict(zip(table.outcomes["symbol"], table.outcomes["outcome"], strict=True))


def cause(table, symbol="AMD"):
    return dict(table.outcomes.select("symbol", "cause").rows())[symbol]


@pytest.mark.parametrize("manner", ["dripping headers", "dripping", "endless", "silent"])
def test_an_answer_without_end_costs_no_other_symbol_and_no_later_read(peer, session, short_requests, manner):
    peer.script("AMD", [Reply(body="{}" * 99, manner=manner)])
    first = read(session)
    assert outcomes(first) == {"AMD": "error", "NVDA": "rows", "2330.TW": "rows"}
    assert first.outcomes["retryable"].to_list() == [True, False, False]
    assert outcomes(read(session)) == {"AMD": "rows", "NVDA": "rows", "2330.TW": "rows"}
    assert peer.sent < 50_000_000


def test_a_body_above_the_bound_is_not_kept(peer):
    peer.script("AMD", [Reply(body="[" + "0," * 600_000 + "0]")])
    assert cause(read(requests_session(peer.port))) == "Yahoo failed (the answer is larger than 1 MB)"


def test_a_cookie_without_end_is_given_up(peer, session, short_requests):
    peer.reply, good = lambda path, *rest: Reply(manner="endless") if path == "/" else good(path, *rest), peer.reply
    assert outcomes(read(session)) == {"AMD": "rows", "NVDA": "rows", "2330.TW": "rows"}


def test_abandoned_requests_end_by_themselves(peer, short_requests):
    peer.script("AMD", [Reply(body="{}" * 99, manner="endless")])
    read(requests_session(peer.port))
    for thread in threading.enumerate():
        if thread.name == "bounded request":
            thread.join(5)
            assert not thread.is_alive()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_refused_before_a_request(peer, session, status):
    with YahooPeer({"AMD": NEW_YORK}).running() as other:
        location = f"http://127.0.0.1:{other.port}/v8/finance/chart/AMD"
        peer.script("AMD", [Reply(status, location=location)])
        table = read(session)
        assert other.seen == []
    assert outcomes(table) == {"AMD": "error", "NVDA": "rows", "2330.TW": "rows"}
    assert "redirected to '127.0.0.1', which is not Yahoo" in cause(table)
    assert outcomes(read(session))["AMD"] == "rows"


@pytest.mark.parametrize(
    "location",
    ["https://yahoo.com.evil.example/x", "https://evil-yahoo.com/", "http://query1.finance.yahoo.com/", "ftp://yahoo.com/",
     "//evil.example/x", "https://yahoo.com@evil.example/", "javascript:1", "https://[::1/"],
)  # fmt: skip
def test_only_hosts_of_yahoo_over_https_are_redirected_to(peer, session, location):
    peer.script("AMD", [Reply(302, location=location)])
    assert outcomes(read(session)) == {"AMD": "error", "NVDA": "rows", "2330.TW": "rows"}


@pytest.mark.parametrize("location", ["https://query1.finance.yahoo.com/v8/finance/chart/AMD", "/v8/finance/chart/AMD"])
def test_a_redirect_within_yahoo_is_followed(peer, session, location):
    peer.script("AMD", [Reply(302, location=location)])
    assert read(session).frame.filter(symbol="AMD")["close"].to_list() == [98.0, 99.0]


def test_a_redirect_without_end_is_given_up(peer, session):
    peer.script("AMD", repeat(Reply(302, location="/v8/finance/chart/AMD")))
    table = read(session)
    assert outcomes(table) == {"AMD": "error", "NVDA": "rows", "2330.TW": "rows"}
    assert "redirected more than 10 times" in cause(table)


def named(listing, symbol):
    return Reply(body=json.dumps(listing.chart(symbol, 0, 2**40)))


def test_prices_of_another_symbol_are_refused_and_leave_nothing_behind(peer, session):
    peer.script("AMD", repeat(named(TAIPEI, "2330.TW")))
    table = read(session)
    assert outcomes(table) == {"AMD": "error", "NVDA": "rows", "2330.TW": "rows"}
    assert cause(table) == "Yahoo failed (the answer is of another security, '2330.TW')"
    peer.scripts.clear()
    later = read(session)
    assert later.frame.filter(symbol="AMD")["close"].to_list() == [98.0, 99.0]
    assert dict(later.listings.select("symbol", "time_zone").rows())["AMD"] == "America/New_York"


def test_prices_of_another_symbol_are_requested_again(peer, session):
    peer.script("AMD", [named(TAIPEI, "2330.TW")])
    assert read(session, tries=2).outcomes.row(0) == ("AMD", "rows", 2, None, False, 2)


@pytest.mark.parametrize(
    ("requested", "answered"),
    [("^GSPC", "^gspc"), ("^GSPC", "%5EGSPC"), ("BRK-B", "brk-b"), ("USDTWD=X", "TWD=X"), ("TWD=X", "USDTWD=X"),
     ("M&M.NS", "M&M.NS"), ("EURUSD=X", "EURUSD=X"), ("000001.SS", "000001.SS"), ("AMD", None)],
)  # fmt: skip
def test_spellings_of_one_symbol_are_the_same(peer, session, requested, answered):
    peer.script(requested, repeat(named(NEW_YORK, answered)))
    assert read(session, [requested]).frame["close"].to_list() == [98.0, 99.0]


@pytest.mark.parametrize(
    ("requested", "answered"),
    [("^GSPC", "GSPC"), ("GSPC", "^GSPC"), ("2330.TW", "2330.TWO"), ("BRK-B", "BRK-A"), ("TWD=X", "JPY=X"),
     ("EURTWD=X", "TWD=X"), ("AMD", 5), ("AMD", ["AMD", "MU"]), ("AMD", "")],
)  # fmt: skip
def test_other_symbols_are_not(peer, session, requested, answered):
    peer.script(requested, repeat(named(NEW_YORK, answered)))
    with pytest.raises(SourceError, match="another security"):
        read(session, [requested])


def test_share_counts_of_another_symbol_are_refused(peer, session):
    wrong = json.dumps(TAIPEI.counts("NVDA", 0, 2**40))
    peer.share_scripts["2330.TW"] = iter([Reply(body=wrong)])
    source = YahooPrices(start=FRI, session=session, tries=2)
    assert source.shares(["2330.TW"])["reported"].to_list() == [9.0]
    peer.share_scripts["2330.TW"] = repeat(Reply(body=wrong))
    with pytest.raises(SourceError, match="another security, 'NVDA'"):
        source.shares(["2330.TW"])


STAMPS = [
    -(10**11),
    -62135596801,
    253402300800,
    10**12,
    10**15,
    2**62,
    -(2**62),
    2**63,
    -(2**63),
    10**30,
    1e20,
    -9223372037,
]


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("place", ["first bar", "last bar", "all bars", "dividend"])
def test_instants_that_are_no_dates_cost_no_other_symbol(peer, stamp, place):
    chart = replace(NEW_YORK, bars=[*NEW_YORK.bars, (date(2024, 3, 12), 102.0, 100.0, 12)]).chart("AMD", 0, 2**40)
    result = chart["chart"]["result"][0]
    bars = {"first bar": [0], "last bar": [-1], "all bars": [0, 1, 2], "dividend": []}[place]
    for bar in bars:
        result["timestamp"][bar] = stamp
    if not bars:
        next(iter(result["events"]["dividends"].values()))["date"] = stamp
    peer.script("AMD", repeat(Reply(body=json.dumps(chart))))
    table = read(CurlSession(peer.port))
    assert (outcomes(table)["NVDA"], outcomes(table)["2330.TW"]) == ("rows", "rows")
    closes = table.frame.filter(symbol="AMD")["close"].drop_nulls().to_list()
    left_out = any(note.startswith("Bars, dividends or splits before 1900 or in the future") for note in table.notes)
    assert (cause(table) is None and left_out) or (outcomes(table)["AMD"] != "rows" and not closes)
