"""Returns on the sessions of a grid equal those of a plain loop."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketimpact.market.price_panel import price_panel
from marketimpact.market.session_returns import SessionGrid

FIRST = date(2024, 1, 1)
#: Days of two exchanges; the second is shut on some days of the first and open on others.
SESSIONS = pl.DataFrame(
    [("XA", day) for day in range(12)] + [("XB", day) for day in (0, 1, 2, 5, 6, 7, 8, 13)],
    schema={"mic": pl.String, "day": pl.Int64},
    orient="row",
).select("mic", (pl.lit(FIRST) + pl.duration(days="day")).cast(pl.Date).alias("date"))
EXCHANGE = {"A1": "XA", "A2": "XA", "B1": "XB", "B2": "XB"}
#: Closes by symbol and day: absent, empty, a price, and a total loss at the end.
CLOSES = st.fixed_dictionaries(
    {
        name: st.dictionaries(st.integers(0, 14), st.one_of(st.none(), st.floats(0.5, 100)), max_size=14)
        for name in (*EXCHANGE, "^I")
    }
)


def prices_of(closes: dict[str, dict[int, float | None]], *, lost: bool = False) -> pl.DataFrame:
    rows = [(name, FIRST + timedelta(days=day), close) for name, own in closes.items() for day, close in own.items()]
    if lost:
        rows.append(("A1", FIRST + timedelta(days=15), None))
        rows += [("A2", FIRST + timedelta(days=11), 0.0)] if 11 not in closes["A2"] else []
    frame = pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date, "close": pl.Float64}, orient="row")
    return frame.sort("symbol", "date").with_columns(volume=pl.col("close") * 2)


def expected_returns(prices: pl.DataFrame, symbol: str, mic: str) -> tuple[list[float], list[float]]:
    """Compute returns and returns since the last trade by a loop over the sessions."""
    closes = {day: close for name, day, close, _ in prices.iter_rows() if name == symbol and close is not None}
    ret, since, last, before = [], [], None, None
    for day in SESSIONS.filter(pl.col("mic") == mic)["date"]:
        close = closes.get(day)
        ret.append(np.nan if close is None or before is None else close / before - 1.0)
        if close == 0 and last is not None and last > 0:
            ret[-1] = -1.0
        since.append(np.nan if close is None or last is None else close / last - 1.0)
        before, last = close, last if close is None else close
    return ret, since


@settings(deadline=None)
@given(CLOSES, st.booleans())
def test_returns_on_sessions_equal_a_loop_over_them(closes, lost):
    prices = prices_of(closes, lost=lost)
    grid = SessionGrid(pl.Series(list(EXCHANGE)), pl.Series(list(EXCHANGE.values())), SESSIONS)
    ret, since = grid.place_returns(grid.on_sessions(prices))
    expected = [expected_returns(prices, symbol, mic) for symbol, mic in EXCHANGE.items()]
    np.testing.assert_array_equal(ret, np.concatenate([own for own, _ in expected]))
    np.testing.assert_array_equal(since, np.concatenate([own for _, own in expected]))


@settings(deadline=None)
@given(CLOSES)
def test_a_panel_has_the_benchmarks_returns_of_each_exchange_and_the_factors_of_each_date(closes):
    prices = prices_of(closes)
    securities = pl.DataFrame({"symbol": list(EXCHANGE), "mic": list(EXCHANGE.values())}).with_columns(
        benchmark=pl.when(pl.col("symbol") != "B2").then(pl.lit("^I"))
    )
    factors = SESSIONS.select(pl.col("date").unique().sort()).with_row_index("n").select("date", hml=pl.col("n") / 100)
    panel = price_panel(securities, SESSIONS, prices, factors.head(9), "benchmark").panel
    frame = panel.to_frame()
    assert frame.columns == [
        "symbol",
        "mic",
        "session",
        "date",
        "ret",
        "market",
        "hml",
        "ret_since_trade",
        "close",
        "volume",
    ]
    assert frame.select("symbol", "session").equals(
        frame.select("symbol", "session").unique().sort("symbol", "session")
    )
    for symbol, mic in EXCHANGE.items():
        own = frame.filter(pl.col("symbol") == symbol)
        market = expected_returns(prices, "^I", mic)[0]
        assert own["market"].to_list() == [None if np.isnan(r) or symbol == "B2" else r for r in market]
    joined = frame.join(factors.head(9), on="date", how="left", maintain_order="left")
    assert joined["hml"].equals(joined["hml_right"].alias("hml"), null_equal=True)
    stated = frame.join(prices, on=["symbol", "date"], how="left", maintain_order="left")
    assert stated["close"].equals(stated["close_right"].alias("close"), null_equal=True)
    assert stated["volume"].equals(stated["volume_right"].alias("volume"), null_equal=True)
    assert panel.sessions.sort("mic", "date").select("mic", "date").equals(SESSIONS)
    shares = panel.securities.select("symbol", "series_of_benchmark", "has_benchmark")
    assert shares["series_of_benchmark"].to_list()[:2] == [0, 0]
    assert shares["series_of_benchmark"].to_list()[2] != shares["series_of_benchmark"].to_list()[3]


def test_a_symbol_of_another_exchange_and_a_strange_day_are_in_no_row():
    grid = SessionGrid(pl.Series(["A1"]), pl.Series(["XA"]), SESSIONS)
    prices = prices_of({"A1": {3: 5.0, 14: 6.0}, "B1": {0: 1.0, 1: 2.0}})
    assert grid.on_sessions(prices).select("symbol", "session", "row").rows() == [("A1", 3, 3)]
    assert grid.place(grid.on_sessions(prices), grid.on_sessions(prices)["close"])[3] == pytest.approx(5.0)
