"""Yahoo prices through the unmodified yfinance, against a server on loopback that fails as Yahoo does."""

import json
import sys
import threading
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime, time
from itertools import repeat

import polars as pl
import pytest
import yfinance
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yfinance import base, cache
from yfinance.data import SingletonMeta

from marketimpact.errors import SourceError
from marketimpact.sources import YahooPrices
from marketimpact.sources.yahoo import bars as yahoo_bars
from marketimpact.sources.yahoo import source as yahoo
from marketimpact.sources.yahoo.client import RATE_LIMITED
from tests.peer.yahoo import INVALID_CRUMB, CurlSession, Listing, Reply, YahooPeer, failure, requests_session

NAN = float("nan")
START = date(2024, 3, 1)
THU, FRI, MON, TUE = date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11), date(2024, 3, 12)
#: Clocks went forward in New York between FRI and MON. Dividend on MON, four new shares for one on TUE.
NEW_YORK = Listing(
    "America/New_York",
    "USD",
    [(THU, 100.0, 98.0, 10), (FRI, 101.0, 99.0, 11), (MON, 100.5, 100.5, 12), (TUE, 102.0, 102.0, 13)],
    dividends={MON: 2.0},
    splits={TUE: (4, 1)},
)
TAIPEI = Listing("Asia/Taipei", "TWD", [(FRI, 780.0, 770.0, 5), (MON, 790.0, 780.0, 6)], opens=time(9))
SHANGHAI = Listing("Asia/Shanghai", "CNY", [(FRI, 20.0, 20.0, 7), (MON, 21.0, 21.0, 8)])
HONG_KONG = Listing("Asia/Hong_Kong", "HKD", [(FRI, 30.0, 29.0, 9), (MON, 31.0, 30.0, 1)])
#: Opens on the evening before by UTC.
AUCKLAND = Listing("Pacific/Auckland", "NZD", [(FRI, 5.0, 5.0, 2), (MON, 6.0, 6.0, 3)], opens=time(10))
GOOD = {"NVDA": NEW_YORK, "2330.TW": TAIPEI}
GOOD_ROWS = {"NVDA": 4, "2330.TW": 2}

TRUNCATED = Reply(body='{"chart":{"result":[{"meta":{"currency":"USD"')
PAGE = Reply(body="<html><body>Sorry</body></html>", kind="text/html")
CUT, DROPPED = Reply(body='{"chart":' * 99, manner="cut"), Reply(manner="dropped")
NO_START = {"code": "Bad Request", "description": "Data doesn't exist for startDate = 1709269200"}
UNKNOWN_CAUSE = "Yahoo has no prices (HTTP 404: No data found, symbol may be delisted)"
NO_START_CAUSE = "Yahoo has no prices (HTTP 400: Data doesn't exist for startDate = 1709269200)"
NO_JSON = "the answer could not be read (JSONDecodeError: Expecting value: line 1 column 1 (char 0))"
#: Waits between tries in seconds: least and most, for rate limits and for the rest.
LIMITED, PASSING = [(4, 5), (8, 9)], [(1, 2), (2, 3)]


@pytest.fixture(autouse=True)
def fresh_yfinance(monkeypatch, tmp_path):
    """Session, cookie, crumb, answers and caches on disk of yfinance anew: all are one per process."""
    monkeypatch.setattr(SingletonMeta, "_instances", {})
    monkeypatch.setattr(cache._TzCacheManager, "_tz_cache", None)
    monkeypatch.setattr(cache._CookieCacheManager, "_Cookie_cache", None)
    monkeypatch.setattr(base, "_tz_info_fetch_ctr", 0)
    yfinance.set_tz_cache_location(str(tmp_path))
    yield
    for thread in threading.enumerate():
        if thread.name == "YahooPrices":
            thread.join()  # it would go on using yfinance in the next test


@pytest.fixture
def waits(monkeypatch):
    """Seconds that would have been waited."""
    waited = []
    monkeypatch.setattr(yahoo, "_sleep", waited.append)
    return waited


@pytest.fixture(params=[CurlSession, requests_session], ids=["curl", "requests"])
def new_session(request):
    return request.param


@pytest.fixture
def peer():
    with YahooPeer(GOOD).running() as server:
        yield server


def source(peer, new_session=CurlSession, **options):
    return YahooPrices(start=START, session=new_session(peer.port), **options)


def outcomes(table):
    return {row["symbol"]: tuple(row.values())[1:] for row in table.outcomes.iter_rows(named=True)}


def test_good_prices_of_five_exchanges(peer, new_session):
    peer.listings |= {"688981.SS": SHANGHAI, "0700.HK": HONG_KONG, "AIR.NZ": AUCKLAND}
    table = source(peer, new_session).read(["NVDA", "2330.TW", "688981.SS", "0700.HK", "AIR.NZ"])
    columns = ["symbol", "date", "close", "volume", "unadjusted_close", "dividend", "split"]
    assert table.frame.columns == [*columns, "open", "high", "low"]
    assert table.frame.select(columns).rows() == [
        ("0700.HK", FRI, 29.0, 9.0, 30.0, None, None),
        ("0700.HK", MON, 30.0, 1.0, 31.0, None, None),
        ("2330.TW", FRI, 770.0, 5.0, 780.0, None, None),
        ("2330.TW", MON, 780.0, 6.0, 790.0, None, None),
        ("688981.SS", FRI, 20.0, 7.0, 20.0, None, None),
        ("688981.SS", MON, 21.0, 8.0, 21.0, None, None),
        ("AIR.NZ", FRI, 5.0, 2.0, 5.0, None, None),
        ("AIR.NZ", MON, 6.0, 3.0, 6.0, None, None),
        ("NVDA", THU, 98.0, 10.0, 100.0, None, None),
        ("NVDA", FRI, 99.0, 11.0, 101.0, None, None),
        ("NVDA", MON, 100.5, 12.0, 100.5, 2.0, None),
        ("NVDA", TUE, 102.0, 13.0, 102.0, None, 4.0),
    ]
    assert set(table.frame.schema.values()) == {pl.String, pl.Date, pl.Float64}
    assert table.listings.rows() == [
        ("0700.HK", "HKD", "Asia/Hong_Kong"),
        ("2330.TW", "TWD", "Asia/Taipei"),
        ("688981.SS", "CNY", "Asia/Shanghai"),
        ("AIR.NZ", "NZD", "Pacific/Auckland"),
        ("NVDA", "USD", "America/New_York"),
    ]
    assert table.outcomes.row(0) == ("NVDA", "rows", 4, None, False, 1)
    assert (table.missing, table.notes, table.simulated, table.outcomes.height) == ((), (), False, 5)
    assert table.source == f"YahooPrices() (Yahoo Finance through yfinance {yfinance.__version__}, adjusted close)"


def test_bounds_are_sessions_of_the_exchange_and_both_included(peer, new_session):
    peer.listings |= {"AIR.NZ": AUCKLAND}
    table = source(peer, new_session).read(["NVDA", "AIR.NZ"], FRI, MON)
    assert table.frame.select("symbol", "date").rows() == [
        ("AIR.NZ", FRI),
        ("AIR.NZ", MON),
        ("NVDA", FRI),
        ("NVDA", MON),
    ]


def test_the_time_zone_is_requested_once_and_the_bars_each_time(peer, new_session):
    prices = source(peer, new_session)
    prices.read(["NVDA"])
    prices.read(["NVDA"])
    assert peer.charts("NVDA") == 3


def test_the_cookie_and_the_crumb_are_fetched(peer, new_session):
    peer.demand_crumb = True
    table = source(peer, new_session).read(["NVDA", "2330.TW"])
    assert outcomes(table) == {"NVDA": ("rows", 4, None, False, 1), "2330.TW": ("rows", 2, None, False, 1)}
    assert "/v1/test/getcrumb" in [path for path, _ in peer.seen]


@pytest.mark.parametrize(
    ("script", "requests", "tries", "outcome", "cause", "spans"),
    [
        # After a status from 400 on, yfinance itself asks once more within a try.
        ([failure(429)], 3, 1, "rows", None, []),
        ([failure(429)] * 2, 4, 2, "rows", None, LIMITED[:1]),
        ([None, failure(429), failure(429)], 4, 2, "rows", None, LIMITED[:1]),
        (repeat(failure(429)), 6, 3, "error", RATE_LIMITED, LIMITED),
        ([failure(500)], 3, 1, "rows", None, []),
        ([failure(500)] * 2, 4, 2, "rows", None, PASSING[:1]),
        ([None, failure(503), failure(503)], 4, 2, "rows", None, PASSING[:1]),
        (repeat(failure(500)), 6, 3, "error", "Yahoo failed (HTTP 500)", PASSING),
        (repeat(failure(502, NO_START)), 6, 3, "error", "Yahoo failed (HTTP 502)", PASSING),
        (repeat(failure(401, INVALID_CRUMB)), 6, 3, "error", "Yahoo failed (HTTP 401)", PASSING),
        (
            repeat(failure(400, NO_START)),
            2,
            1,
            "none",
            NO_START_CAUSE,
            [],
        ),
        (
            repeat(failure(404)),
            6,
            3,
            "error",
            "the answer could not be read (HTTP 404, not from the price service)",
            PASSING,
        ),
        ([TRUNCATED], 3, 2, "rows", None, PASSING[:1]),
        (
            repeat(TRUNCATED),
            3,
            3,
            "error",
            "the answer could not be read (JSONDecodeError: Expecting ',' delimiter: line 1 column 46 (char 45))",
            PASSING,
        ),
        ([None, PAGE], 3, 2, "rows", None, PASSING[:1]),
        (repeat(PAGE), 3, 3, "error", NO_JSON, PASSING),
        (repeat(Reply()), 3, 3, "error", "the answer could not be read (KeyError: 'chart')", PASSING),
        ([None, CUT], 3, 2, "rows", None, PASSING[:1]),
        ([DROPPED], 3, 2, "rows", None, PASSING[:1]),
    ],
)
def test_a_fault_of_one_symbol(peer, waits, new_session, script, requests, tries, outcome, cause, spans):
    peer.listings["AMD"] = NEW_YORK
    peer.script("AMD", script)
    table = source(peer, new_session).read(["NVDA", "2330.TW", "AMD"])
    rows = 4 if outcome == "rows" else 0
    assert outcomes(table) == {
        "NVDA": ("rows", 4, None, False, 1),
        "2330.TW": ("rows", 2, None, False, 1),
        "AMD": (outcome, rows, cause, outcome == "error", tries),
    }
    assert peer.charts("AMD") == requests
    assert len(waits) == len(spans)
    assert all(least <= wait <= most for wait, (least, most) in zip(waits, spans, strict=True))
    assert table.missing == (() if rows else ("AMD",))
    again = "; may succeed later" if outcome == "error" else ""
    assert table.notes == (() if rows else (f"Missing, {cause}{again}: AMD.",))


@pytest.mark.parametrize(
    ("reply", "by_curl", "by_requests"),
    [(CUT, "IncompleteRead", "ChunkedEncodingError"), (DROPPED, "ConnectionError", "ConnectionError")],
)
def test_a_connection_that_ends_each_time(peer, waits, new_session, reply, by_curl, by_requests):
    peer.script("AMD", repeat(reply))
    table = source(peer, new_session).read(["AMD", "NVDA"])
    error = by_curl if new_session is CurlSession else by_requests
    assert outcomes(table) == {
        "AMD": ("error", 0, f"the network failed ({error})", True, 3),
        "NVDA": ("rows", 4, None, False, 1),
    }
    assert (peer.charts("AMD"), len(waits)) == (3, 2)


def test_unknown_symbols_are_not_requested_again(peer, waits, new_session):
    # The first two unknown symbols of a process are reported otherwise by yfinance than later ones.
    unknown = ["XYZ", "ABC.TW", "QQQQQ"]
    table = source(peer, new_session).read([*unknown, "NVDA"])
    assert {symbol: outcomes(table)[symbol] for symbol in unknown} == dict.fromkeys(
        unknown, ("none", 0, UNKNOWN_CAUSE, False, 1)
    )
    assert [peer.charts(symbol) for symbol in unknown] == [2, 2, 2]
    assert waits == []
    assert table.notes == (f"Missing, {UNKNOWN_CAUSE}: XYZ, ABC.TW, QQQQQ.",)


def test_half_of_the_symbols_fail_and_the_others_are_kept(peer, waits):
    peer.listings |= {"TSM": NEW_YORK}
    peer.script("AMD", repeat(failure(500)))
    table = source(peer, tries=2).read(["NVDA", "AMD", "TSM", "XYZ"])
    assert table.frame["symbol"].unique().sort().to_list() == ["NVDA", "TSM"]
    assert table.missing == ("AMD", "XYZ")
    assert [row[1] for row in table.outcomes.rows()] == ["rows", "error", "rows", "none"]
    assert table.notes == (
        "Missing, Yahoo failed (HTTP 500); may succeed later: AMD.",
        f"Missing, {UNKNOWN_CAUSE}: XYZ.",
    )
    assert (peer.charts("AMD"), len(waits)) == (4, 1)


def test_a_lasting_rate_limit_ends_the_asking(peer, waits):
    peer.script("AMD", repeat(failure(429)))
    table = source(peer, batch=1).read(["NVDA", "AMD", "2330.TW", "TSM"])
    closed = ("error", 0, f"not requested, since {RATE_LIMITED}", True, 0)
    assert outcomes(table) == {
        "NVDA": ("rows", 4, None, False, 1),
        "AMD": ("error", 0, RATE_LIMITED, True, 3),
        "2330.TW": closed,
        "TSM": closed,
    }
    assert (peer.charts("2330.TW"), peer.charts("TSM")) == (0, 0)
    assert len(waits) == 3  # the pause before AMD, then between its tries
    assert table.notes[1] == f"Missing, {closed[2]}; may succeed later: 2330.TW, TSM."


def test_no_network_is_noticed(waits, new_session):
    with YahooPeer(GOOD).running() as gone:
        prices = source(gone, new_session)
    with pytest.raises(SourceError, match=r"'NVDA', 'AMD', 'TSM': the network failed .ConnectionError") as caught:
        prices.read(["NVDA", "AMD", "TSM", "MU"])
    assert "'MU': not requested, since 3 symbols in a row had no answer from the network. Check" in str(caught.value)
    assert caught.value.retryable
    assert caught.value.symbols == ("NVDA", "AMD", "TSM", "MU")
    assert caught.value.source == "YahooPrices()"
    assert len(waits) == 6


def test_only_unknown_symbols_is_an_error_that_will_not_pass(peer):
    with pytest.raises(SourceError, match=r"'XYZ', 'ABC': Yahoo has no prices .*Check the symbols") as caught:
        source(peer).read(["XYZ", "ABC"])
    assert not caught.value.retryable


@pytest.mark.parametrize("manner", ["silent", "dripping"])
def test_the_deadline_holds_and_what_came_before_is_kept(peer, waits, new_session, manner):
    # Nothing but the deadline ends a dripping answer where the timeout is one between two bytes.
    peer.script("AMD", repeat(Reply(body=" " * 9999, manner=manner)))
    table = source(peer, new_session, deadline=1).read(["NVDA", "AMD", "2330.TW"])
    assert outcomes(table) == {
        "NVDA": ("rows", 4, None, False, 1),
        "AMD": ("error", 0, "no answer before the deadline of 1 s", True, 1),
        "2330.TW": (
            "error",
            0,
            "not requested: the deadline of 1 s had passed. Give YahooPrices more",
            True,
            0,
        ),
    }
    assert (peer.charts("AMD"), peer.charts("2330.TW")) == (1, 0)


def test_the_deadline_holds_when_even_the_cookie_is_not_answered(peer, waits, new_session):
    peer.mute = True
    with pytest.raises(SourceError, match=r"no answer before the deadline of 0\.3 s") as caught:
        source(peer, new_session, deadline=0.3).read(["NVDA"])
    assert caught.value.retryable
    assert len(peer.seen) == 1


def test_no_try_is_begun_that_would_come_after_the_deadline(peer, waits):
    peer.script("AMD", repeat(failure(429)))
    with pytest.raises(SourceError, match="limits the rate"):
        source(peer, deadline=3).read(["AMD"])
    assert (peer.charts("AMD"), waits) == (2, [])


def test_batches_are_polite(peer, waits):
    peer.listings |= dict.fromkeys(["AMD", "MU", "TSM"], NEW_YORK)
    source(peer, batch=2, pause=1.5).read(["NVDA", "AMD", "MU", "TSM", "2330.TW"])
    assert waits == [1.5, 1.5]


def test_rows_out_of_order_are_sorted(peer):
    peer.listings["AMD"] = replace(TAIPEI, bars=TAIPEI.bars[::-1])
    table = source(peer).read(["AMD", "NVDA"])
    assert table.frame.filter(symbol="AMD")["date"].to_list() == [FRI, MON]
    assert table.notes == ()


def test_a_day_given_twice_alike_is_kept_once_and_noted(peer):
    peer.listings["AMD"] = replace(NEW_YORK, bars=[NEW_YORK.bars[1], *NEW_YORK.bars])
    table = source(peer).read(["AMD", "NVDA"])
    assert table.frame.filter(symbol="AMD").drop("symbol").equals(table.frame.filter(symbol="NVDA").drop("symbol"))
    assert table.notes == ("Days that Yahoo gave twice with the same close, kept once: AMD (1).",)


@pytest.mark.parametrize("day", [FRI, TUE])
def test_a_day_given_twice_differently_is_left_empty_and_noted(peer, day):
    peer.listings["AMD"] = replace(NEW_YORK, bars=[*NEW_YORK.bars, (day, 55.0, 55.0, 1)])
    table = source(peer).read(["AMD", "NVDA"])
    amd, nvda = (table.frame.filter(symbol=symbol) for symbol in ("AMD", "NVDA"))
    at = nvda["date"].to_list().index(day)
    expected = nvda["close"].to_list()
    expected[at] = None
    assert amd["close"].to_list() == expected
    assert amd.row(at)[2:5] == (None, None, None)
    assert table.notes == (
        "Days that Yahoo gave twice with different closes: left empty: AMD (1).",
        "No close, or none above zero: left empty: AMD (1).",
    )


@pytest.mark.parametrize("nothing", [None, NAN, 0.0, float("inf"), 1e308, 1e-300])
def test_a_close_that_is_none_is_left_empty_and_noted(peer, nothing):
    peer.listings["AMD"] = replace(
        TAIPEI, bars=[(FRI, nothing, nothing, None), (MON, 790.0, 780.0, 6), (TUE, nothing, nothing, 0)]
    )
    peer.listings["MU"] = replace(TAIPEI, bars=[(FRI, 780.0, 770.0, 5), (MON, 790.0, nothing, 6)])
    table = source(peer).read(["AMD", "MU"])
    assert table.frame.select("symbol", "date", "close", "volume", "unadjusted_close").rows() == [
        ("AMD", FRI, None, None, None),
        ("AMD", MON, 780.0, 6.0, 790.0),
        ("AMD", TUE, None, None, None),
        ("MU", FRI, 770.0, 5.0, 780.0),
        ("MU", MON, None, 6.0, 790.0),
    ]
    assert table.notes == ("No close, or none above zero: left empty: AMD (2), MU (1).",)


def test_a_symbol_without_any_close_is_missing(peer):
    peer.listings["AMD"] = replace(TAIPEI, bars=[(FRI, None, None, None), (MON, 0.0, 0.0, 0)])
    table = source(peer).read(["AMD", "NVDA"])
    assert outcomes(table)["AMD"] == ("none", 0, "Yahoo has no prices (no bar of a past day has a close)", False, 1)
    assert table.missing == ("AMD",)


def test_a_symbol_without_bars_between_the_dates_is_missing(peer):
    peer.listings["AMD"] = replace(TAIPEI, bars=[(date(2020, 1, 2), 1.0, 1.0, 1)])
    table = source(peer).read(["AMD", "NVDA"], FRI, MON)
    outcome, rows, cause, retryable, tries = outcomes(table)["AMD"]
    assert (outcome, rows, retryable, tries) == ("none", 0, False, 1)
    assert cause.startswith("Yahoo has no prices (no price data found")


@pytest.mark.parametrize(
    ("now", "kept"),
    [
        (datetime(2024, 3, 12, 14, tzinfo=UTC), [THU, FRI, MON]),
        (datetime(2024, 3, 13, 3, 59, tzinfo=UTC), [THU, FRI, MON]),
        (datetime(2024, 3, 13, 4, 0, tzinfo=UTC), [THU, FRI, MON, TUE]),
    ],
)
def test_the_live_bar_of_the_day_there_is_no_close(peer, monkeypatch, now, kept):
    monkeypatch.setattr(yahoo_bars, "_now", lambda: now)
    live = (datetime(2024, 3, 12, 14, tzinfo=UTC), 102.0, 102.0, 4)
    peer.listings["NVDA"] = replace(NEW_YORK, bars=NEW_YORK.bars[:3], live=[live])
    table = source(peer).read(["NVDA", "2330.TW"])
    assert table.frame.filter(symbol="NVDA")["date"].to_list() == kept
    left_out = ("The bar of the current day is left out, its session may be open: NVDA.",)
    assert table.notes == (() if TUE in kept else left_out)


def test_prices_without_adjustment_are_reported(peer):
    peer.listings["^GSPC"] = replace(TAIPEI, adjusted=False)
    table = source(peer).read(["^GSPC", "NVDA"])
    assert table.frame.filter(symbol="^GSPC")["close"].to_list() == [780.0, 790.0]
    assert table.notes == ("Yahoo gave no adjusted close: close is adjusted for splits only: ^GSPC.",)


def test_dividends_in_another_currency_are_left_empty(peer):
    peer.listings["AMD"] = replace(NEW_YORK, dividend_currency="EUR")
    peer.listings["NVDA"] = replace(NEW_YORK, dividend_currency="USD")
    table = source(peer).read(["AMD", "NVDA"])
    assert table.frame.filter(symbol="AMD")["dividend"].null_count() == 4
    assert table.frame.filter(symbol="NVDA")["dividend"].to_list() == [None, None, 2.0, None]
    assert table.notes == ("Dividends in another currency than the prices: left empty: AMD (EUR).",)


@pytest.mark.parametrize(("prices", "dividend"), [("GBP", "USD"), ("GBP", "GBP"), ("USD", "GBP"), ("USD", "USD")])
def test_dividends_are_kept_in_the_currency_of_the_prices_alone(peer, prices, dividend):
    peer.listings["AMD"] = replace(NEW_YORK, currency=prices, dividend_currency=dividend)
    table = source(peer).read(["AMD"])
    kept = table.frame["dividend"].drop_nulls().to_list()
    assert kept == ([2.0] if prices == dividend else [])
    note = f"Dividends in another currency than the prices: left empty: AMD ({dividend})."
    assert (note in table.notes) == (prices != dividend)


def test_a_dividend_on_a_day_without_a_bar_is_reported(peer):
    sunday = date(2024, 3, 10)
    peer.listings["AMD"] = replace(NEW_YORK, dividends={sunday: 2.0})
    table = source(peer).read(["AMD", "NVDA"])
    assert table.frame.filter(pl.col("dividend") > 0).select("symbol", "date").rows() == [("AMD", FRI), ("NVDA", MON)]
    assert table.notes == ("A dividend or split on a day without a bar stands on the bar before: AMD (2024-03-10).",)


VALUES = [None, "", 0, -1, 1e30, 1e308, NAN, float("inf"), "x", [], {}, [None], True, 2**63, -(2**63), 2**70,
          "Mars/Base", {"a": 1}, [[1]]]  # fmt: skip
BODIES = ["null", "[]", "{}", '{"chart":null}', '{"chart":{"result":null,"error":null}}', "[" * 9999, '""', "0", "\0",
          '{"chart":{"result":[],"error":null}}']  # fmt: skip


def places(content, path=()):
    """Every place in JSON, as keys from the top."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def charts(draw):
    """A good chart of which some values are others, or gone; now and then something else altogether."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(BODIES))
    content = NEW_YORK.chart("NVDA", 0, 2**40)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(list(places(content))))
        holder = content
        for key in above:
            holder = holder[key]
        if draw(st.integers(0, 2)) == 0:
            del holder[last]
        else:
            holder[last] = deepcopy(draw(st.sampled_from(VALUES)))  # the next step may change what is put in here
        if not content:
            break
    return json.dumps(content)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(charts(), min_size=4, max_size=4))
def test_whatever_shape_an_answer_has_it_costs_no_other_symbol(peer, waits, bodies):
    peer.listings["AMD"] = NEW_YORK
    peer.script("NVDA", [Reply(body=body) for body in bodies])
    table = source(peer, tries=1).read(["NVDA", "AMD"])
    assert outcomes(table)["AMD"][:2] == ("rows", 4)
    assert outcomes(table)["NVDA"][0] in {"rows", "none", "error"}
    closes = table.frame.filter(pl.col("symbol") == "NVDA")["close"].drop_nulls()
    assert closes.is_finite().all()
    assert (closes > 0).all()


def test_two_reads_at_once_do_not_meet(peer):
    with YahooPeer({"NVDA": SHANGHAI}).running() as other:
        tables = {}

        def read(name, server):
            tables[name] = source(server).read(["NVDA", "XYZ"])

        threads = [threading.Thread(target=read, args=pair) for pair in [("one", peer), ("other", other)]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert tables["one"].listings["currency"].to_list() == ["USD"]
    assert tables["other"].listings["currency"].to_list() == ["CNY"]
    assert tables["one"].missing == tables["other"].missing == ("XYZ",)
    assert yfinance.config.debug.hide_exceptions is True


@pytest.mark.parametrize(
    ("wanted", "terminal", "shown"),
    [(None, False, False), (None, True, True), (True, False, True), (False, True, False)],
)
def test_the_progress_bar_goes_to_stderr(peer, capsys, monkeypatch, wanted, terminal, shown):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    source(peer, progress=wanted).read(["NVDA", "2330.TW"])
    out, err = capsys.readouterr()
    assert out == ""
    assert ("Yahoo Finance" in err) is shown
