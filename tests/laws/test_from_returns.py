"""Returns in any order of rows become the panel that a plain loop makes of them."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import marketimpact as mi
from benchmarks.simulated import ESTIMATION, WINDOW, panel
from marketimpact.core import limits
from marketimpact.market.grid_panel import GridPanel
from marketimpact.market.panel import FramePanel

FIRST = date(2024, 2, 26)
NAMES = [
    "AMD",
    "NVDA",
    "2330.TW",
    "a name of more than twelve letters",
    "another name of more than twelve letters",
    "Ü",
]
ORDERS = ("symbol", "date", "none", "broken")
Cells = dict[tuple[str, date], float | None]
Row = tuple[str, date, float | None]
any_return = st.one_of(st.none(), st.floats(-0.5, 0.5))


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[date], Cells]:
    """Dates with gaps between them, and returns of some symbols on some or all of them."""
    days = [FIRST + timedelta(days=n) for n in sorted(draw(st.sets(st.integers(0, 30), min_size=1, max_size=7)))]
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    whole = draw(st.booleans())
    cells = {(name, day): draw(any_return) for name in names for day in days if whole or draw(st.integers(0, 3))}
    return days, cells or {(names[0], days[0]): None}


def rows_in(order: str, cells: Cells, seed: int) -> list[Row]:
    """The rows by symbol, by date, in no order, or by symbol with one run broken in the middle."""
    rows = [(name, day, ret) for (name, day), ret in cells.items()]  # by symbol as drawn, which is in no order
    if order == "date":
        return sorted(rows, key=lambda row: (row[1], row[0]))
    if order == "none":
        random.Random(seed).shuffle(rows)
    if order == "broken":
        cut = random.Random(seed).randrange(len(rows))
        rows = rows[cut:] + rows[:cut]
    return rows


def frame_of(rows: list[Row], chunk: int | None = None) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date, "ret": pl.Float64}, orient="row")
    return frame if chunk is None else pl.concat(frame.iter_slices(chunk), rechunk=False)


def benchmark_of(days: list[date]) -> pl.DataFrame:
    return pl.DataFrame({"date": days, "ret": [0.001 * n for n in range(len(days))]}).reverse()


def framed_market(market: mi.Market) -> mi.Market:
    """The same market with its panel as a frame."""
    benchmarks = market.securities.select("symbol", "benchmark")
    return replace(market, return_panel=FramePanel.from_frame(market.panel, benchmarks))


def plain(days: list[date], cells: Cells) -> pl.DataFrame:
    """The panel by a loop over symbols and sessions."""
    rows = [
        (name, "SESSIONS", number, day, cells.get((name, day)), 0.001 * number)
        for name in sorted({name for name, _ in cells})
        for number, day in enumerate(days)
    ]
    types = {"symbol": pl.String, "mic": pl.String, "session": pl.Int64, "date": pl.Date}
    return pl.DataFrame(rows, schema=types | {"ret": pl.Float64, "market": pl.Float64}, orient="row")


@settings(max_examples=150, deadline=None)
@given(
    drawn=markets(),
    order=st.sampled_from(ORDERS),
    seed=st.integers(0, 10**6),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 8])),
    chunk=st.one_of(st.none(), st.integers(1, 5)),
)
def test_panel_is_that_of_a_plain_loop(
    drawn: tuple[list[date], Cells], order: str, seed: int, sizes: tuple[int, int, int], chunk: int | None
) -> None:
    days, cells = drawn
    with pytest.MonkeyPatch.context() as patch:  # so that a few rows are many slices, read by runs or row by row
        for name, size in zip(("SYMBOL_CHUNK_ROWS", "RETURN_CHUNK_ROWS", "LONG_RUN_ROWS"), sizes, strict=True):
            patch.setattr(limits, name, size)
        market = mi.Market.from_returns(frame_of(rows_in(order, cells, seed), chunk), benchmark_of(days))
    assert_frame_equal(market.panel, plain(days, cells), check_exact=True)
    held = {name: [day for day in days if cells.get((name, day)) is not None] for name in {name for name, _ in cells}}
    spans = [(name, min(found), max(found)) for name, found in sorted(held.items()) if found]
    assert market.spans.rows() == spans
    assert (
        market.fingerprint
        == mi.Market.from_returns(frame_of(rows_in("symbol", cells, 0)), benchmark_of(days)).fingerprint
    )


@settings(max_examples=60, deadline=None)
@given(drawn=markets(), order=st.sampled_from(ORDERS), seed=st.integers(0, 10**6), size=st.integers(1, 9))
def test_a_repeated_row_is_refused_in_any_order(
    drawn: tuple[list[date], Cells], order: str, seed: int, size: int
) -> None:
    days, cells = drawn
    rows = rows_in(order, cells, seed)
    rows.insert(seed % (len(rows) + 1), rows[seed % len(rows)])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SYMBOL_CHUNK_ROWS", "RETURN_CHUNK_ROWS", "LONG_RUN_ROWS"):
            patch.setattr(limits, name, size)
        with pytest.raises(mi.DataError, match=r"must not repeat.*2 rows"):
            mi.Market.from_returns(frame_of(rows), benchmark_of(days))


@pytest.mark.parametrize(
    "letters",
    ["AAABBBAAA", "AAAABB", "ABBBBB"],
    ids=["a block twice", "a block that runs on into the next", "a block that begins in the one before"],
)
def test_blocks_of_all_dates_that_are_not_one_per_symbol_are_refused(letters: str) -> None:
    """The dates alone look as if every symbol had each of them once."""
    days = [FIRST + timedelta(days=n) for n in range(3)]
    rows: list[Row] = [(name, days[n % 3], 0.01 * n) for n, name in enumerate(letters)]
    repeated = sum(rows[n][:2] in [row[:2] for row in rows[:n] + rows[n + 1 :]] for n in range(len(rows)))
    assert repeated
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "LONG_RUN_ROWS", 1)
        with pytest.raises(mi.DataError, match=rf"must not repeat.*{repeated} rows"):
            mi.Market.from_returns(frame_of(rows), benchmark_of(days))


@settings(max_examples=60, deadline=None)
@given(
    drawn=markets(),
    order=st.sampled_from(ORDERS),
    seed=st.integers(0, 10**6),
    away=st.sampled_from([-(10**6), -5000, -1, 31, 5000, 10**6]),
    ret=any_return,
)
def test_strangers_are_refused_with_their_rows_unless_empty(
    drawn: tuple[list[date], Cells], order: str, seed: int, away: int, ret: float | None
) -> None:
    days, cells = drawn
    day = min(max(FIRST.toordinal() + away, date.min.toordinal()), date.max.toordinal())
    stranger: Row = (NAMES[seed % len(NAMES)], date.fromordinal(day), ret)
    rows = rows_in(order, cells, seed)
    rows.insert(seed % (len(rows) + 1), stranger)
    frame = frame_of(rows)
    if ret is not None:
        with pytest.raises(mi.DataError, match="has 1 rows on dates that the benchmark lacks") as caught:
            mi.Market.from_returns(frame, benchmark_of(days))
        assert caught.value.rows.rows() == [stranger]
    else:  # a symbol may be known by such a row alone
        known = cells if any(name == stranger[0] for name, _ in cells) else cells | {(stranger[0], days[0]): None}
        assert_frame_equal(mi.Market.from_returns(frame, benchmark_of(days)).panel, plain(days, known))


@pytest.fixture(scope="module")
def frames() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Simulated: 500,000 returns by symbol and date, none missing; firms and dates of events repeat."""
    return panel(5_000, sessions=10_000).frames()


def by_symbol(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


def backwards(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("symbol", descending=True, maintain_order=True)


def by_date(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("date", "symbol")


def in_no_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sample(fraction=1, shuffle=True, seed=1)


@pytest.mark.parametrize(("order", "most"), [(by_symbol, 1.5), (backwards, 1.5), (by_date, 3.0), (in_no_order, 3.0)])
def test_a_market_takes_little_more_than_its_returns(
    frames: tuple[pl.DataFrame, ...], order: Callable[[pl.DataFrame], pl.DataFrame], most: float
) -> None:
    """As numpy counts: the returns once; where rows stand in no order the place of each and a mark beside it."""
    rows, benchmark = order(frames[0]), frames[1]
    mi.Market.from_returns(rows, benchmark)  # what is imported once does not count
    tracemalloc.start()
    try:
        market = mi.Market.from_returns(rows, benchmark)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert market.column("ret").nbytes == 8 * rows.height
    assert held < 1.1 * 8 * rows.height
    assert peak < most * 8 * rows.height
    assert market.fingerprint == mi.Market.from_returns(*frames[:2]).fingerprint


def test_a_study_makes_no_column_that_it_does_not_read(
    frames: tuple[pl.DataFrame, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symbols, sessions and dates of every row, as columns, would be most of a market's memory."""
    market = mi.Market.from_returns(*frames[:2])
    wanted = mi.EventStudy(estimation_window=ESTIMATION, event_window=WINDOW).run(frames[2], framed_market(market))

    def refuse(*given: Any) -> pl.DataFrame:
        raise AssertionError(f"the panel was asked for {given}")

    monkeypatch.setattr(GridPanel, "to_frame", refuse)
    found = mi.EventStudy(estimation_window=ESTIMATION, event_window=WINDOW).run(frames[2], market)
    assert_frame_equal(found.car(*WINDOW), wanted.car(*WINDOW), check_exact=True)
    assert_frame_equal(found.test(*WINDOW), wanted.test(*WINDOW), check_exact=True)
    assert market.limit_hits.is_empty()


def test_a_grid_describes_itself_as_its_frame_does() -> None:
    """The same market as a frame, so that every answer is read off the rows."""
    days = [FIRST + timedelta(days=n) for n in range(4)]
    rows: list[Row] = [("B", days[0], 0.1), ("A", days[2], -0.2), ("B", days[3], 0.3), ("A", days[3], 0.01)]
    holed = pl.DataFrame({"date": days, "ret": [0.01, None, 0.02, -0.01]})
    silent = pl.DataFrame({"date": days, "ret": [None] * 4}, schema_overrides={"ret": pl.Float64})
    factors = pl.DataFrame({"date": [days[0], days[2]], "smb": [0.002, -0.003]})
    for benchmark in (holed, silent):
        market = mi.Market.from_returns(frame_of(rows), benchmark, factors)
        framed = framed_market(market)
        for name in ("panel_securities", "session_numbers", "since_trade"):
            assert_frame_equal(getattr(market, name), getattr(framed, name))
        assert market.panel_securities["has_benchmark"].equals(framed.panel_securities.sort("symbol")["has_benchmark"])
        assert market.panel_securities["has_benchmark"].to_list() == [benchmark is not silent] * 2
        assert (
            market.days.tolist()
            == framed.days.tolist()
            == [day.toordinal() - date(1970, 1, 1).toordinal() for day in days] * 2
        )
        assert market.panel["smb"].to_list() == [0.002, None, -0.003, None] * 2
        for name in ("ret", "market", "smb", "market_since_trade"):
            assert pl.Series(market.column(name)).equals(pl.Series(framed.column(name)))
        assert market.select("mic").equals(market.panel.select("mic"))
        assert market.panel_columns == tuple(market.panel.columns)


def test_a_market_does_not_change_with_the_array_it_was_made_of() -> None:
    """Polars reads arrays of numpy in place, and simulations write the next draw into the same array."""
    numbers = pl.Series([0.01, 0.02, 0.03]).to_numpy().copy()
    days = [FIRST + timedelta(days=n) for n in range(3)]
    market = mi.Market.from_returns(
        pl.DataFrame({"symbol": ["A"] * 3, "date": days, "ret": numbers}), benchmark_of(days)
    )
    numbers[:] = 0.5
    assert market.column("ret").tolist() == market.panel["ret"].to_list() == [0.01, 0.02, 0.03]
    with pytest.raises(ValueError, match="read-only"):
        market.column("ret")[0] = 0.5
