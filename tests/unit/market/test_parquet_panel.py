"""A market on disk: the same numbers as the one in memory, a chunk of securities read at a time."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import marketimpact as mi
from marketimpact.market import parquet_panel
from tests.conftest import ROOT, golden, golden_events
from tests.unit.estimation.test_executors import STUDY, assert_same


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return golden_events()


@pytest.fixture(scope="module")
def scanned(golden_market, tmp_path_factory) -> mi.Market:
    return golden_market.to_dataset(tmp_path_factory.mktemp("data") / "golden")


def test_a_scanned_market_is_the_market(golden_market, scanned):
    assert scanned.return_panel.on_disk
    assert not golden_market.return_panel.on_disk
    assert_frame_equal(scanned.panel, golden_market.panel, check_exact=True)
    for name in parquet_panel.FRAMES:
        left, right = getattr(scanned, name), getattr(golden_market, name)
        assert (left is None and right is None) or left.equals(right), name
    for name in parquet_panel.FACTS:
        assert getattr(scanned, name) == getattr(golden_market, name), name
    assert scanned.panel_securities.equals(golden_market.panel_securities)
    assert scanned.session_numbers.sort("mic", "date").equals(golden_market.session_numbers.sort("mic", "date"))
    assert np.array_equal(scanned.days, golden_market.days)
    assert np.array_equal(scanned.column("ret"), golden_market.column("ret"), equal_nan=True)
    assert repr(scanned) == repr(golden_market)


def test_any_reader_of_partitioned_parquet_can_read_it(golden_market, scanned):
    frame = pl.scan_parquet(scanned.return_panel.folder / "symbol=*" / "*.parquet", hive_partitioning=True).collect()
    read = frame.select(golden_market.panel.columns).sort("symbol", "session")
    assert_frame_equal(read, golden_market.panel, check_exact=True)


STUDIES = [
    STUDY,
    STUDY.but(model=mi.Carhart()),
    STUDY.but(missing="trade_to_trade"),
    STUDY.but(exclude=golden("events_mixed").select("symbol", pl.col("date").dt.offset_by("-30d"))),
]


@pytest.mark.parametrize("study", STUDIES, ids=["market_model", "carhart", "trade_to_trade", "exclude"])
@pytest.mark.parametrize("options", [{}, {"chunk": 9}, {"memory": "300 kB"}], ids=str)
def test_a_study_of_it_has_the_same_bytes(golden_market, scanned, events, study, options):
    assert_same(study.run(events, golden_market), study.run(events, scanned, **options))


def test_workers_read_it_by_path(golden_market, scanned, events):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        result = STUDY.run(events, scanned, executor=pool, chunk=20)
    assert_same(STUDY.run(events, golden_market), result)
    assert result.test(-1, 1).equals(STUDY.run(events, golden_market).test(-1, 1))
    assert result.car(-1, 1).equals(STUDY.run(events, golden_market).car(-1, 1))


def test_no_security_outside_the_chunk_is_read(scanned, events, monkeypatch):
    asked: list[list[str]] = []
    real = parquet_panel.read_columns

    def watching(folder, symbols, columns):
        asked.append(list(symbols))
        return real(folder, symbols, columns)

    monkeypatch.setattr(parquet_panel, "read_columns", watching)
    few = events.filter(pl.col("symbol").is_in(events["symbol"].unique().sort().head(3).to_list()))
    STUDY.run(few, mi.Market.scan(scanned.return_panel.folder), chunk=2)
    assert {symbol for symbols in asked for symbol in symbols} == set(few["symbol"])
    assert max(map(len, asked)) <= 2


def test_prices_of_many_exchanges_and_price_limits(sample_market, tmp_path):
    market = sample_market
    scanned = market.to_dataset(tmp_path / "sample")
    events = mi.align(mi.announcements(), scanned)
    assert_frame_equal(events, mi.align(mi.announcements(), market))
    one, other = mi.EventStudy().run(events, market), mi.EventStudy().run(events, scanned)
    assert_same(one, other)
    assert one.car(0, 1).equals(other.car(0, 1))
    assert other.market.simulated
    assert_frame_equal(scanned.panel, market.panel, check_exact=True)


def test_names_that_no_folder_can_have(tmp_path):
    returns = golden("returns").with_columns(pl.col("symbol").str.replace("US", "^A/ü="))
    market = mi.Market.from_returns(returns, golden("market"))
    scanned = market.to_dataset(tmp_path / "odd")
    assert scanned.panel.equals(market.panel)
    read = pl.scan_parquet(tmp_path / "odd" / "symbol=*" / "*.parquet", hive_partitioning=True).collect()
    assert set(read["symbol"]) == set(returns["symbol"])


def test_some_securities_at_a_time_are_the_same_market(golden_market, events, tmp_path):
    symbols = golden("returns")["symbol"].unique().sort(descending=True).to_list()
    for first in range(0, len(symbols), 7):
        part = golden("returns").filter(pl.col("symbol").is_in(symbols[first : first + 7]))
        market = mi.Market.from_returns(part, golden("market"), golden("factors"))
        scanned = market.to_dataset(tmp_path / "grown", append=first > 0)
    assert scanned.panel.equals(golden_market.panel)
    one, other = STUDY.run(events, golden_market), STUDY.run(events, scanned)
    assert one.abnormal_returns.equals(other.abnormal_returns)
    assert one.attrition.equals(other.attrition)
    assert one.test(-1, 1).equals(other.test(-1, 1))


def test_what_parts_say_of_one_benchmark_is_said_once(tmp_path):
    few = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "AMD", "INTC", "MU"])).sort("symbol")
    whole = mi.Market.load(few, mi.SamplePrices())
    mi.Market.load(few.head(2), mi.SamplePrices()).to_dataset(tmp_path / "parts")
    grown = mi.Market.load(few.tail(2), mi.SamplePrices()).to_dataset(tmp_path / "parts", append=True)
    assert grown.panel.equals(whole.panel)
    for name in ("securities", "sessions", "spans"):
        assert getattr(grown, name).equals(getattr(whole, name)), name
    key = ["symbol", "date", "abnormal_return"]
    assert grown.truth.select(key).sort(key).equals(whole.truth.select(key).sort(key))


def test_a_change_gives_a_market_in_memory(scanned, golden_market):
    logs = scanned.in_logs()
    assert not logs.return_panel.on_disk
    assert logs.panel.equals(golden_market.in_logs().panel)


def test_what_does_not_fit_is_refused(golden_market, tmp_path):
    folder = tmp_path / "full"
    with pytest.raises(mi.DataError, match="full holds no market"):
        mi.Market.scan(folder)
    golden_market.to_dataset(folder)
    with pytest.raises(mi.DataError, match="Name an empty folder, or write append=True"):
        golden_market.to_dataset(folder)
    with pytest.raises(mi.DataError, match="already; add securities that are new"):
        golden_market.to_dataset(folder, append=True)
    without = mi.Market.from_returns(golden("returns"), golden("market"))
    with pytest.raises(mi.DataError, match="has the columns"):
        without.to_dataset(folder, append=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(mi.DataError, match="is not empty and holds no market"):
        golden_market.to_dataset(tmp_path / "other", append=True)


def test_parts_that_number_sessions_differently_are_refused(tmp_path):
    days = golden("market")["date"].sort()
    one = golden("returns").filter(pl.col("symbol") < "US10")
    two = golden("returns").filter(pl.col("symbol") >= "US10", pl.col("date") > days[10])
    mi.Market.from_returns(one, golden("market")).to_dataset(tmp_path / "two")
    with pytest.raises(mi.DataError, match="number the sessions of an exchange differently"):
        late = mi.Market.from_returns(two, golden("market").filter(pl.col("date") > days[10]))
        late.to_dataset(tmp_path / "two", append=True)


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_broken_file_is_named(golden_market, events, tmp_path, harm):
    scanned = golden_market.to_dataset(tmp_path / "broken")
    path = next((tmp_path / "broken").glob(f"symbol={events['symbol'][0]}/*.parquet"))
    path.unlink()
    if harm == "damaged":
        path.write_bytes(b"PAR1 but no more")
    with pytest.raises(mi.DataError, match=f"{events['symbol'][0]}: its file .* cannot be read"):
        STUDY.run(events, scanned)


def test_nothing_in_it_names_a_path(scanned):
    for path in (scanned.return_panel.folder / "_market").glob("*/facts.json"):
        assert not any("/" in str(value) for value in json.loads(path.read_text()).values())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce RLIMIT_DATA")
def test_a_study_of_four_times_the_memory_it_is_allowed_finishes(tmp_path):
    """2.5 GB of dates and returns under a hard limit of 640 MB; the panel itself does not fit."""
    command = [sys.executable, "-m", "benchmarks.larger_than_memory", "640", str(tmp_path)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "limit 640 MB, panel 134 M rows, 2560 MB as read" in told
    assert "53688 events" in told
    assert "exit code 0" not in told
