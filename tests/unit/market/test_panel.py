"""Frame, grid and Parquet hold the same return panel; securities of one benchmark share its numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import marketimpact as mi
from marketimpact.market.grid_panel import GridPanel
from marketimpact.market.panel import FramePanel, ReturnPanel
from marketimpact.market.parquet_panel import ParquetPanel

DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(4)]
BENCHMARK = pl.DataFrame({"date": DAYS, "ret": [0.01, None, 0.02, -0.01]})
FACTORS = pl.DataFrame({"date": DAYS[1:], "smb": [0.002, -0.003, 0.001], "rf": [0.0001] * 3})
RETURNS = pl.DataFrame(
    [("B", DAYS[0], 0.1), ("A", DAYS[2], -0.2), ("C", DAYS[1], 0.3), ("B", DAYS[3], 0.02), ("A", DAYS[3], 0.01)],
    schema={"symbol": pl.String, "date": pl.Date, "ret": pl.Float64},
    orient="row",
)


@pytest.fixture(scope="module")
def sample() -> mi.Market:
    return mi.Market.load(mi.securities(), mi.SamplePrices())


@pytest.fixture(scope="module")
def panels(tmp_path_factory: pytest.TempPathFactory) -> list[ReturnPanel]:
    """One panel held in three ways."""
    market = mi.Market.from_returns(RETURNS, BENCHMARK, FACTORS)
    frame = FramePanel.from_frame(market.panel, market.securities.select("symbol", "benchmark"))
    parquet = market.to_dataset(tmp_path_factory.mktemp("panel") / "data").return_panel
    assert isinstance(market.return_panel, GridPanel)
    assert isinstance(parquet, ParquetPanel)
    return [market.return_panel, frame, parquet]


def read_series(panel: ReturnPanel, column: str) -> np.ndarray:
    """Numbers of every row, by the begins of each security."""
    numbers, begins = panel.series(column)
    rows = zip(begins.tolist(), panel.securities["n_sessions"].to_list(), strict=True)
    return np.concatenate([numbers[begin : begin + length] for begin, length in rows])


def test_the_three_ways_agree(panels):
    first = panels[0]
    for panel in panels:
        assert panel.columns == first.columns
        assert_frame_equal(panel.securities, first.securities)
        assert_frame_equal(panel.sessions, first.sessions)
        assert_frame_equal(panel.to_frame(), first.to_frame(), check_exact=True)
        assert_frame_equal(panel.to_frame(["date", "mic"]), first.to_frame(["date", "mic"]))
        for column in ("ret", "market", "smb", "rf"):
            np.testing.assert_array_equal(panel.values(column), first.values(column))
            np.testing.assert_array_equal(read_series(panel, column), panel.values(column))
        days, begins = panel.dates()
        assert [days[begin] for begin in begins] == [(DAYS[0] - date(1970, 1, 1)).days] * 3


@pytest.mark.parametrize("rows", [[0, 2], [1], [0, 1, 2]])
def test_some_securities_are_those_rows_of_the_panel(panels, rows):
    columns = ("date", "ret", "market", "smb")
    for panel in panels:
        part = panel.take(np.array(rows), columns)
        symbols = panel.securities["symbol"][rows]
        assert part.securities["symbol"].to_list() == symbols.to_list()
        wanted = panel.to_frame(["symbol", "mic", "session", *columns]).filter(pl.col("symbol").is_in(symbols))
        for kept in (part, part.load().take(np.arange(len(rows)), columns)):
            found = kept.load().to_frame(wanted.columns)
            assert_frame_equal(found, wanted, check_exact=True)
        loaded = part.load()
        np.testing.assert_array_equal(read_series(loaded, "market"), wanted["market"].to_numpy())
        np.testing.assert_array_equal(read_series(loaded, "ret"), wanted["ret"].to_numpy())


def assert_series_are_columns(market: mi.Market, columns: tuple[str, ...]) -> None:
    for column in columns:
        np.testing.assert_array_equal(read_series(market.return_panel, column), market.column(column), err_msg=column)


def n_series(market: mi.Market, column: str) -> int:
    return len(set(market.series(column)[1].tolist()))


def test_securities_of_one_exchange_and_benchmark_share_its_returns(sample):
    assert_series_are_columns(sample, ("market", "ret", "close"))
    pairs = sample.securities.select("mic", "benchmark").unique()
    assert n_series(sample, "market") == pairs.height < sample.securities.height
    assert n_series(sample, "ret") == sample.securities.height


def test_factors_are_shared_by_exchange(sample):
    market = sample.with_factor("new_york", "^GSPC", mic="XNYS")
    assert_series_are_columns(market, ("market", "new_york"))
    assert n_series(market, "new_york") == market.panel_securities["mic"].n_unique()
    assert n_series(market, "market") == n_series(sample, "market")


def test_a_benchmark_in_two_currencies_is_two_series(sample):
    days = sample.sessions["date"].unique().sort()
    rates = pl.DataFrame({"date": days, "rate": [1.0 + 0.01 * (n % 7) for n in range(len(days))]})
    others = sample.securities.filter(pl.col("currency") != "USD")["currency"].unique()
    rates = pl.concat([rates.with_columns(currency=pl.lit(c)) for c in others])
    # half of the securities of each exchange are quoted in dollars already
    dollars = pl.int_range(pl.len()) % 2 == 0
    mixed = sample.securities.with_columns(pl.when(dollars).then(pl.lit("USD")).otherwise("currency").alias("currency"))
    converted = replace(sample, securities=mixed).in_currency("USD", rates)
    assert_series_are_columns(converted, ("market",))
    assert n_series(converted, "market") > n_series(sample, "market")
    assert n_series(converted.in_logs(), "market") == n_series(converted, "market")
    assert_series_are_columns(converted.in_logs(), ("market",))


def test_volumes_have_a_market_of_their_own(sample):
    volumes = sample.volumes()
    assert_series_are_columns(volumes, ("market",))
    assert n_series(volumes, "market") == volumes.panel_securities.height


def test_securities_of_two_parts_of_a_dataset_share_nothing(tmp_path):
    """The benchmark of a later part may be another one under the same name."""
    for first, symbols in ((True, ["A", "C"]), (False, ["B"])):
        part = RETURNS.filter(pl.col("symbol").is_in(symbols))
        benchmark = BENCHMARK if first else BENCHMARK.with_columns(pl.lit(0.05).alias("ret"))
        scanned = mi.Market.from_returns(part, benchmark).to_dataset(tmp_path / "grown", append=not first)
    assert scanned.panel_securities["symbol"].to_list() == ["A", "B", "C"]
    assert_series_are_columns(scanned, ("market",))
    assert scanned.series("market")[1].tolist() == [0, 4, 0]
    assert scanned.panel.filter(pl.col("symbol") == "B")["market"].to_list() == [0.05] * 4


def test_a_benchmark_without_returns_is_known(panels):
    silent = BENCHMARK.with_columns(pl.lit(None, pl.Float64).alias("ret"))
    market = mi.Market.from_returns(RETURNS, silent)
    framed = FramePanel.from_frame(market.panel)
    assert market.panel_securities["has_benchmark"].to_list() == [False] * 3
    assert framed.securities["has_benchmark"].to_list() == [False] * 3
    assert panels[1].securities["has_benchmark"].all()


def test_some_securities_are_a_smaller_market(golden_market):
    """What `Market.take` keeps fits together, and says what it is of."""
    symbols = golden_market.panel_securities["symbol"]
    smaller = golden_market.take(np.array([2, 0]), ("date", "ret", "market"))
    taken = symbols.gather([2, 0]).to_list()
    assert smaller.panel_securities["symbol"].to_list() == taken
    assert sorted(smaller.securities["symbol"]) == sorted(smaller.spans["symbol"]) == sorted(taken)
    assert smaller.factors == ()
    assert (smaller.source, smaller.fingerprint) == (golden_market.source, golden_market.fingerprint)
    assert "2 securities on" in repr(smaller)
    assert "None" not in repr(smaller)
