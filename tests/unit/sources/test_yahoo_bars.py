"""Intraday bars of Yahoo: its limits before a request, and the unmodified yfinance against a server on loopback."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.events import calendars
from marketimpact.sources.yahoo import client as yahoo_client
from marketimpact.sources.yahoo.intraday import LIMITS
from tests.peer.yahoo import CurlSession, Listing, YahooPeer
from tests.unit.sources.test_yahoo_faults import fresh_yfinance, waits  # noqa: F401  # fixtures

NEW_YORK = ZoneInfo("America/New_York")
TODAY = datetime.now(UTC).date()


def last_sessions(n: int) -> list[date]:
    """The last sessions in New York before yesterday, the oldest first."""
    sessions = calendars.sessions(["XNYS"], TODAY - timedelta(days=40), TODAY - timedelta(days=2))
    days = sessions.filter(pl.col("date") <= TODAY - timedelta(days=2))["date"].sort()
    return days.to_list()[-n:]


def listing(days: list[date], minutes: int = 5, extra: list[datetime] | None = None) -> Listing:
    """Bars from 09:30 on each day, with the hours of trading that Yahoo states."""
    opens = [datetime(day.year, day.month, day.day, 9, 30, tzinfo=NEW_YORK) for day in days]
    stamps = [opened + timedelta(minutes=minutes * k) for opened in opens for k in range(3)]
    live = [(at, 100.0 + k, 100.0 + k, 10 + k) for k, at in enumerate([*stamps, *(extra or [])])]
    periods = [
        [{"timezone": "EST", "gmtoffset": -18000, "start": int(at.timestamp()), "end": int(at.timestamp()) + 23_400}]
        for at in opens
    ]
    return Listing("America/New_York", "USD", [], live=live, meta={"tradingPeriods": periods})


@pytest.mark.parametrize(("interval", "back"), [("1m", 30), ("2m", 60), ("5m", 60), ("15m", 60), ("1h", 730)])
def test_days_that_yahoo_does_not_keep_are_refused_before_a_request(interval, back):
    with pytest.raises(mi.SpecificationError, match=f"further back than Yahoo keeps bars of {interval}: {back} days"):
        mi.YahooBars(interval, start=TODAY - timedelta(days=back))
    assert mi.YahooBars(interval, start=TODAY - timedelta(days=back - 1)).interval == interval


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"interval": "30m"}, "none of Yahoo's intraday intervals"),
        ({"interval": "1d"}, "none of Yahoo's intraday intervals"),
        ({"start": "yesterday"}, "not an ISO date"),
        ({"start": TODAY, "end": TODAY - timedelta(days=1)}, "lies before"),
        ({"tries": 0}, "not a count"),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(mi.SpecificationError, match=words):
        mi.YahooBars(**options)


def test_bars_are_those_of_the_server_with_instants_and_local_clocks(waits):  # noqa: F811
    days = last_sessions(2)
    with YahooPeer({"NVDA": listing(days), "AMD": listing(days[:1])}).running() as peer:
        table = mi.YahooBars("5m", session=CurlSession(peer.port)).read_bars(["NVDA", "AMD", "GONE"])
    rows = table.rows.collect().sort("symbol", "start")
    assert rows["symbol"].to_list() == ["AMD"] * 3 + ["NVDA"] * 6
    opened = datetime(days[0].year, days[0].month, days[0].day, 9, 30, tzinfo=NEW_YORK)
    assert rows["start"][0] == opened
    assert rows["clock"][0] == opened.replace(tzinfo=None)
    assert rows.filter(pl.col("symbol") == "NVDA")["close"].to_list() == [100.0 + k for k in range(6)]
    assert (table.stamps, table.simulated) == ("start", False)
    assert any("GONE" in note for note in table.notes)


def test_a_bar_under_way_is_left_out_with_a_note(waits):  # noqa: F811
    days = last_sessions(1)
    now = datetime.now(UTC).replace(microsecond=0)
    with YahooPeer({"NVDA": listing(days, extra=[now])}).running() as peer:
        table = mi.YahooBars("5m", prepost=True, session=CurlSession(peer.port)).read_bars(["NVDA"])
    assert table.rows.collect().height == 3
    assert any("may change: left out: NVDA (1)" in note for note in table.notes)


def test_minutes_are_requested_in_spans_of_a_week(waits):  # noqa: F811
    with YahooPeer({"NVDA": listing(last_sessions(15), minutes=1)}).running() as peer:
        table = mi.YahooBars("1m", session=CurlSession(peer.port)).read_bars(["NVDA"])
        asked = [query for path, query in peer.seen if path.endswith("NVDA") and query["interval"] == ["1m"]]
    spans = [int(query["period2"][0]) - int(query["period1"][0]) for query in asked]
    assert len(asked) == 5
    assert max(spans) <= LIMITS["1m"][1] * 86_400
    assert table.rows.collect().height == 45


def test_nothing_at_all_is_a_source_error(waits):  # noqa: F811
    with YahooPeer({}).running() as peer, pytest.raises(mi.SourceError, match="gave no bars"):
        mi.YahooBars("5m", session=CurlSession(peer.port)).read_bars(["GONE"])


def test_loaded_bars_meet_the_hours_of_their_exchange(waits):  # noqa: F811
    with YahooPeer({"NVDA": listing(last_sessions(3))}).running() as peer:
        source = mi.YahooBars("5m", session=CurlSession(peer.port))
        bars = mi.Bars.load(pl.DataFrame({"symbol": ["NVDA"], "mic": ["XNAS"]}), source)
    assert bars.grid.select("interval_minutes", "n_bars", "extended_share").row(0) == (5.0, 9, 0.0)


def test_the_client_names_the_interval_as_yahoo_does():
    assert {f"{minutes}m" for minutes, _, _ in LIMITS.values()} == {"1m", "2m", "5m", "15m", "60m"}
    assert yahoo_client.VERSION
