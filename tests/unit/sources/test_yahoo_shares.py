"""Share counts through the unmodified yfinance, against a server on loopback."""

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import repeat

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.analyses.dollar_effect import _with_shares
from marketimpact.sources.yahoo import source as yahoo
from tests.peer.yahoo import CurlSession, Listing, Reply, YahooPeer, failure, requests_session
from tests.unit.sources.test_yahoo_faults import (
    FRI,
    MON,
    NEW_YORK,
    START,
    TAIPEI,
    THU,
    TUE,
    fresh_yfinance,  # noqa: F401  # a fixture for every test
)


def at(day, hour=15):
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


#: Four for one on TUE; Yahoo still reports the old count on that day.
NVIDIA = replace(NEW_YORK, shares={at(THU): 100.0, at(MON): 101.0, at(TUE): 101.0, at(date(2024, 3, 13)): 404.0})
TSMC = replace(TAIPEI, shares={at(THU, 20): 50.0})
GOOD = {"NVDA": NVIDIA, "2330.TW": TSMC, "^GSPC": NEW_YORK}


@pytest.fixture
def peer(monkeypatch):
    monkeypatch.setattr(yahoo, "_sleep", lambda _: None)
    with YahooPeer(GOOD).running() as server:
        yield server


def source(peer, new_session=CurlSession, **options):
    return mi.YahooPrices(start=START, session=new_session(peer.port), **options)


@pytest.mark.parametrize("new_session", [CurlSession, requests_session], ids=["curl", "requests"])
def test_counts_are_on_the_basis_of_closes(peer, new_session):
    """By hand: four times the counts before the split, nothing for a count that the split has not reached."""
    table = source(peer, new_session).shares(["NVDA", "2330.TW"])
    nvidia = table.filter(pl.col("symbol") == "NVDA")
    assert nvidia["date"].to_list() == [THU, MON, TUE, date(2024, 3, 13)]
    assert nvidia["reported"].to_list() == [100.0, 101.0, 101.0, 404.0]
    assert nvidia["shares"].to_list() == [400.0, 404.0, None, 404.0]
    assert nvidia["note"].to_list() == [None, None, f"still the count before the split of {TUE}", None]
    # 20:00 by UTC is the next day in Taipei.
    assert table.filter(pl.col("symbol") == "2330.TW").rows() == [("2330.TW", FRI, 50.0, 50.0, None)]


def test_a_symbol_without_counts_is_reported(peer):
    table = source(peer).shares(["NVDA", "^GSPC", "GONE"])
    notes = dict(table.filter(pl.col("shares").is_null() & pl.col("date").is_null()).select("symbol", "note").rows())
    assert notes == {
        "^GSPC": "Yahoo has no share counts",
        "GONE": "Yahoo has no prices (HTTP 404: No data found, symbol may be delisted)",
    }
    with pytest.raises(mi.SourceError, match=r"no share counts.*GONE") as caught:
        source(peer).shares(["GONE"])
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (failure(429), "limits the rate"),
        (failure(500), "HTTP 500"),
        (Reply(body='{"timeseries":{"res'), "could not be read"),
        (Reply(body="<html></html>", kind="text/html"), "could not be read"),
        (Reply(manner="dropped"), "network failed"),
    ],
    ids=["limited", "failed", "truncated", "page", "dropped"],
)
def test_passing_faults_are_tried_again(peer, reply, cause):
    peer.share_scripts["NVDA"] = iter([reply] * 2)
    assert source(peer, requests_session, tries=3).shares(["NVDA"])["shares"].count() == 3
    peer.share_scripts["NVDA"] = repeat(reply)
    with pytest.raises(mi.SourceError, match=cause) as caught:
        source(peer, requests_session, tries=2).shares(["NVDA"])
    assert caught.value.retryable


def test_bounds_and_symbols_are_checked(peer):
    assert source(peer).shares(["NVDA"], FRI, MON)["date"].to_list() == [MON]
    with pytest.raises(mi.SpecificationError, match="cannot be a Yahoo symbol"):
        source(peer).shares(["nvda"])
    with pytest.raises(mi.SourceError, match="none above zero"):
        peer.listings["ZERO"] = Listing("America/New_York", "USD", NEW_YORK.bars, shares={at(THU): 0.0})
        source(peer).shares(["ZERO"])


def test_counts_go_into_dollar_effects(peer):
    """A frame with empty counts and notes is taken as it is; the empty one gives way to the count before."""
    shares = source(peer).shares(["NVDA", "^GSPC"])

    frame = pl.DataFrame({"_order": [0], "symbol": ["NVDA"], "_begin": [date(2024, 3, 13)]})
    closes = pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date, "unadjusted_close": pl.Float64})
    assert _with_shares(frame, shares, closes, None)["shares"].to_list() == [404.0]
