"""Bars collected in the store: nothing lost, nothing replaced in silence, whole files or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import marketimpact as mi
from tests.conftest import ROOT

FIRST = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
FIVE = timedelta(minutes=5)


def week(first: int, last: int, *, factor: float = 1.0, symbols: tuple[str, ...] = ("NVDA", "AMD")) -> mi.BarFiles:
    """Bars number `first` to before `last` of each symbol: closes 100, 101, ... times a factor."""
    rows = [(name, FIRST + k * FIVE, (100.0 + k) * factor, 10.0 + k) for name in symbols for k in range(first, last)]
    frame = pl.DataFrame(rows, schema=["symbol", "start", "close", "volume"], orient="row")
    prices = frame.with_columns(pl.col("close").alias(name) for name in ("open", "high", "low"))
    return mi.BarFiles(prices, stamps="start")


@pytest.fixture
def store(tmp_path):
    return mi.PriceStore(tmp_path / "store")


def collected(store: mi.PriceStore, source: mi.BarFiles | None, **options) -> mi.sources.BarTable:
    return mi.StoredBars(source, store, vendor="test 5m", **options).read_bars(["NVDA", "AMD"])


def closes(table: mi.sources.BarTable, symbol: str = "NVDA") -> list[float]:
    return table.rows.collect().filter(pl.col("symbol") == symbol).sort("start")["close"].to_list()


def files(store: mi.PriceStore) -> list:
    return sorted(store.directory.rglob("bars/**/*.parquet"))


def test_weeks_that_overlap_are_one_history(store):
    for first, last in ((0, 6), (4, 10), (8, 12)):
        table = collected(store, week(first, last))
    assert closes(table) == closes(table, "AMD") == [100.0 + k for k in range(12)]
    assert not table.notes
    assert closes(collected(store, None)) == closes(table)
    assert len(files(store)) == 6
    assert store.verify().is_empty()


def test_what_is_stored_already_adds_no_file(store):
    collected(store, week(0, 6))
    before = [(path, path.read_bytes()) for path in files(store)]
    collected(store, week(0, 6, factor=1.0 + 1e-9))
    assert [(path, path.read_bytes()) for path in files(store)] == before


@pytest.mark.parametrize(("keep", "used"), [("first", 105.0), ("last", 10.5)])
def test_bars_that_differ_are_both_kept_and_reported(store, keep, used):
    collected(store, week(0, 6))
    table = collected(store, week(5, 7, factor=0.1), keep=keep)
    assert closes(table)[5:] == [used, pytest.approx(10.6)]
    assert any("2 stored bars of 'AMD', 'NVDA'" in note and f"the {keep} are used" in note for note in table.notes)
    conflicts = mi.StoredBars(None, store, vendor="test 5m", keep=keep).conflicts(["NVDA"])
    assert conflicts["close"].to_list() == [105.0, pytest.approx(10.5)]
    assert conflicts["is_used"].to_list() == [keep == "first", keep == "last"]
    again = collected(store, week(5, 7, factor=0.1), keep=keep)  # known by now: no third version
    assert closes(again) == closes(table)
    assert mi.StoredBars(None, store, vendor="test 5m").conflicts(["NVDA"]).height == 2


@pytest.mark.parametrize("keep", ["first", "last"])
def test_of_two_bars_in_one_fetch_that_differ_one_is_used(store, keep):
    both = mi.BarFiles(pl.concat([week(0, 2).bars, week(0, 2, factor=0.1).bars]), stamps="start")
    table = collected(store, both, keep=keep)
    conflicts = mi.StoredBars(None, store, vendor="test 5m", keep=keep).conflicts(["NVDA"])
    assert conflicts.height == 4
    assert conflicts.filter("is_used")["close"].to_list() == closes(table)


def test_a_volume_that_was_corrected_is_a_conflict_too(store):
    collected(store, week(0, 3))
    source = week(0, 3)
    collected(store, mi.BarFiles(source.bars.with_columns(volume=pl.lit(None, pl.Float64)), stamps="start"))
    conflicts = mi.StoredBars(None, store, vendor="test 5m").conflicts(["NVDA"])
    assert conflicts["volume"].to_list() == [10.0, None, 11.0, None, 12.0, None]


@pytest.mark.parametrize(("stored", "given"), [(5, 1), (1, 5), (5, 15)])
def test_bars_of_another_length_are_refused_and_nothing_is_written(store, stored, given):
    def spaced(minutes: int, symbols: tuple[str, ...]) -> mi.BarFiles:
        number = (pl.col("start") - FIRST) / FIVE
        frame = week(0, 40, symbols=symbols).bars.with_columns(
            start=FIRST + number.cast(pl.Int64) * pl.duration(minutes=minutes)
        )
        return mi.BarFiles(frame, stamps="start")

    collected(store, spaced(stored, ("NVDA",)))
    before = files(store)
    words = f"has {stored}-minute bars of NVDA under the name 'test 5m', and .* has {given}-minute bars. .* Give the"
    with pytest.raises(mi.SpecificationError, match=words):
        collected(store, spaced(given, ("AMD", "NVDA")))
    assert files(store) == before
    mi.StoredBars(spaced(given, ("AMD", "NVDA")), store, vendor="other").read_bars(["NVDA", "AMD"])
    assert len(files(store)) == 3


def test_a_few_bars_with_a_hole_are_of_no_other_length(store):
    collected(store, week(0, 20))
    hole = week(20, 23).bars.filter(pl.col("start") != FIRST + 21 * FIVE)
    table = collected(store, mi.BarFiles(hole, stamps="start"))
    assert closes(table) == [*(100.0 + k for k in range(21)), 122.0]


def test_bars_and_prices_live_in_one_store(store):
    collected(store, week(0, 6))
    assert store.symbols().is_empty()
    assert store.prune() == 0
    assert closes(collected(store, None)) == [100.0 + k for k in range(6)]


def test_a_source_that_fails_leaves_what_is_stored(store):
    class Failing:
        def read_bars(self, symbols):
            raise mi.SourceError("no network", source="Failing", symbols=symbols, retryable=True)

    with pytest.raises(mi.SourceError, match="no network"):
        collected(store, Failing())
    collected(store, week(0, 6))
    table = collected(store, Failing())
    assert closes(table) == [100.0 + k for k in range(6)]
    assert "Nothing was fetched (no network); bars are as stored." in table.notes


def test_a_damaged_file_is_set_aside_and_its_bars_come_again(store):
    collected(store, week(0, 6))
    collected(store, week(6, 9))
    damaged = files(store)[-1]
    content = bytearray(damaged.read_bytes())
    content[40] ^= 1
    damaged.write_bytes(content)
    assert store.verify()["what"].to_list() == ["bars"]
    with pytest.warns(mi.MarketImpactWarning, match="stored bars is damaged; it is set aside"):
        table = collected(store, week(6, 9))
    assert closes(table) == closes(table, "AMD") == [100.0 + k for k in range(9)]
    assert len(list((store.directory / "set_aside").iterdir())) == 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (mi.SampleBars(["NVDA"]), "simulated bars"),
        (mi.BarFiles(week(0, 3).bars), "does not say that its stamps are starts"),
        (mi.BarFiles(week(0, 3).bars, stamps="end"), "does not say that its stamps are starts"),
    ],
)
def test_bars_that_must_not_be_stored(store, source, words):
    with pytest.raises(mi.SpecificationError, match=words):
        collected(store, source)
    assert files(store) == []


def test_stamps_without_a_zone_are_refused_and_stored_when_it_is_said(store):
    naive = week(0, 3).bars.with_columns(
        pl.col("start").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    )
    with pytest.raises(mi.DataError, match="stamps have no time zone"):
        collected(store, mi.BarFiles(naive, stamps="start"))
    collected(store, mi.BarFiles(naive, stamps="start", time_zone="America/New_York"))
    assert collected(store, None).rows.collect()["start"].min() == FIRST


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": None, "vendor": ""}, "Give vendor="),
        ({"vendor": ""}, r"BarFiles\(frame\) does not say whose bars .* Give vendor=, .* 'BarFiles IBKR 5m'"),
        ({"source": 3}, "has no read_bars"),
        ({"keep": "best"}, "Give 'first' or 'last'"),
        ({"store": "folder"}, "is not a PriceStore"),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(mi.SpecificationError, match=words):
        mi.StoredBars(**{"source": week(0, 1), "vendor": "test 5m", **options})


def test_vendors_are_kept_apart_and_named_by_their_interval(store):
    collected(store, week(0, 6))
    with pytest.raises(mi.SourceError, match="has no bars of 'NVDA' from YahooBars 1m"):
        mi.StoredBars(None, store, vendor="YahooBars 1m").read_bars(["NVDA"])
    assert mi.StoredBars(mi.YahooBars("1m"), store).vendor == "YahooBars 1m"


WRITER = """
import sys, tests.unit.sources.test_stored_bars as t, marketimpact as mi
store = mi.PriceStore(sys.argv[1])
for k in range(int(sys.argv[2]), 10_000):
    t.collected(store, t.week(k, k + 3))
    print(k, flush=True)
"""


def test_killed_writers_lose_no_bar_that_was_confirmed(store):
    confirmed, env = 0, {**os.environ, "PYTHONPATH": str(ROOT)}
    for pause in (0.0, 0.003, 0.007):
        command = [sys.executable, "-c", WRITER, str(store.directory), str(confirmed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as writer:
            for _ in range(4):
                confirmed = int(writer.stdout.readline())
            time.sleep(pause)
            writer.send_signal(signal.SIGKILL)
            confirmed = max([confirmed, *(int(line) for line in writer.stdout.read().split())])
    table = collected(store, None)
    assert closes(table)[: confirmed + 3] == [100.0 + k for k in range(confirmed + 3)]
    assert closes(table, "AMD")[: confirmed + 3] == [100.0 + k for k in range(confirmed + 3)]
    assert store.verify().is_empty()
