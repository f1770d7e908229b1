"""Frames of pandas in the shapes people have, and what is said of those that cannot be read."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from marketimpact.core import layouts
from marketimpact.core.frames import to_pandas, to_polars
from marketimpact.errors import DataError

DAYS = [date(2024, 1, 2), date(2024, 1, 3)]
INDEX = pd.DatetimeIndex(DAYS, name="Date")
#: Closes and volumes of two tickers as `yfinance.download` gives them.
DOWNLOAD = pd.DataFrame(
    [[138.6, 48.2, 10.0, 20.0], [135.3, np.nan, 11.0, 21.0]],
    index=INDEX,
    columns=pd.MultiIndex.from_product([["Close", "Volume"], ["AMD", "NVDA"]], names=["Price", "Ticker"]),
)
LONG = pl.DataFrame(
    {
        "date": DAYS * 2,
        "symbol": ["AMD", "AMD", "NVDA", "NVDA"],
        "close": [138.6, 135.3, 48.2, None],
        "volume": [10.0, 11.0, 20.0, 21.0],
    }
)
RETURNS = pd.DataFrame({"AMD": [np.nan, 0.01], "NVDA": [0.02, -0.01]}, index=INDEX)


def read(frame: object, layout: layouts.Layout = layouts.PRICES) -> pl.DataFrame:
    return to_polars(frame, "frame", layout)


def test_a_polars_frame_passes_as_it_is() -> None:
    assert read(LONG) is LONG


def test_pandas_and_pyarrow_are_imported_only_with_a_frame_of_theirs() -> None:
    code = (
        "import sys, polars as pl, marketimpact as mi; from marketimpact.core.frames import to_polars;"
        "from marketimpact.core.layouts import PRICES;"
        "to_polars(pl.DataFrame({'a': [1]}), 'prices', PRICES); to_polars(pl.LazyFrame({'a': [1]}), 'prices', PRICES);"
        "print(sorted({'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


class TestShapes:
    @pytest.mark.parametrize(
        "frame",
        [
            DOWNLOAD,
            DOWNLOAD.swaplevel(axis=1).sort_index(axis=1),  # group_by="ticker"
            DOWNLOAD.rename_axis(columns=[None, None]),
            DOWNLOAD.rename_axis(None),
        ],
        ids=["price first", "ticker first", "levels without names", "index without a name"],
    )
    def test_columns_of_two_levels_become_rows(self, frame: pd.DataFrame) -> None:
        assert_frame_equal(read(frame), LONG)

    def test_a_stacked_download_is_the_same(self) -> None:
        stacked = DOWNLOAD.stack(level="Ticker", future_stack=True)
        assert_frame_equal(read(stacked).sort("symbol", "date"), LONG)

    def test_adjusted_closes_and_payouts_of_a_download_keep_their_meaning(self) -> None:
        columns = pd.MultiIndex.from_product([["Adj Close", "Close", "Dividends", "Stock Splits"], ["AMD"]])
        frame = pd.DataFrame([[1.0, 2.0, 0.1, 0.0]], index=INDEX[:1], columns=columns)
        expected = {"date": DAYS[0], "symbol": "AMD", "adj_close": 1.0, "close": 2.0, "dividend": 0.1, "split": 0.0}
        assert read(frame).rows(named=True) == [expected]

    def test_closes_beside_dividends_without_an_adjusted_close_are_adjusted(self) -> None:
        history = pd.DataFrame(
            {"Open": 1.0, "Close": [2.0, 2.1], "Dividends": [0.0, 0.1], "Stock Splits": 0.0, "symbol": "AMD"},
            index=INDEX,
        )
        assert read(history)["adj_close"].to_list() == [2.0, 2.1]
        assert "close" not in read(history).columns
        stated = history.assign(**{"Adj Close": [1.9, 2.1]})
        assert read(stated).select("adj_close", "close").rows() == [(1.9, 2.0), (2.1, 2.1)]

    def test_the_bars_of_one_ticker_need_its_name(self) -> None:
        bars = DOWNLOAD.xs("AMD", axis=1, level="Ticker").assign(symbol="AMD")
        assert_frame_equal(read(bars), LONG.filter(pl.col("symbol") == "AMD"), check_column_order=False)

    def test_tickers_with_other_fields_keep_them(self) -> None:
        columns = pd.MultiIndex.from_tuples([("Close", "AMD"), ("Close", "NVDA"), ("Volume", "NVDA")])
        frame = pd.DataFrame([[1.0, 2.0, 3.0]], index=INDEX[:1], columns=columns)
        assert read(frame).rows() == [(DAYS[0], "AMD", 1.0, None), (DAYS[0], "NVDA", 2.0, 3.0)]

    @pytest.mark.parametrize("columns", [["AMD", "NVDA"], [10107, 14593]])
    @pytest.mark.parametrize(
        "index", [INDEX, INDEX.rename(None), INDEX.to_period("D"), pd.Index(DAYS), INDEX.tz_localize("Asia/Tokyo")]
    )
    def test_a_matrix_becomes_rows_with_its_empty_cells(self, columns: list[object], index: pd.Index) -> None:
        rows = read(RETURNS.set_axis(columns, axis=1).set_axis(index), layouts.RETURNS)
        first, second = map(str, columns)
        dates = rows["date"].dt.date() if rows["date"].dtype != pl.Date else rows["date"]
        assert dates.to_list() == DAYS * 2
        assert rows.select("symbol", "ret").rows() == [(first, None), (first, 0.01), (second, 0.02), (second, -0.01)]

    @pytest.mark.parametrize(
        ("series", "expected"),
        [
            (RETURNS["NVDA"].rename(None), {"date": DAYS, "ret": [0.02, -0.01]}),
            (RETURNS["NVDA"].rename("ret"), {"date": DAYS, "ret": [0.02, -0.01]}),
            (RETURNS["NVDA"].rename("^GSPC"), {"date": DAYS, "symbol": ["^GSPC"] * 2, "ret": [0.02, -0.01]}),
        ],
    )
    def test_a_series_is_a_benchmark_of_its_name(self, series: pd.Series, expected: dict) -> None:
        assert_frame_equal(read(series, layouts.BENCHMARK), pl.DataFrame(expected))

    def test_an_empty_cell_beside_other_benchmarks_is_no_session(self) -> None:
        rows = read(RETURNS.assign(gone=np.nan), layouts.BENCHMARK)
        assert rows.rows() == [
            (DAYS[1], "AMD", 0.01), (DAYS[0], "NVDA", 0.02), (DAYS[1], "NVDA", -0.01),
            (DAYS[0], "gone", None), (DAYS[1], "gone", None),
        ]  # fmt: skip

    def test_an_index_of_text_is_the_key(self) -> None:
        shares = pd.Series({"NVDA": 2.4e10, "AMD": 1.6e9}, name="shares")
        assert read(shares, layouts.SHARES).rows() == [("NVDA", 2.4e10), ("AMD", 1.6e9)]

    def test_an_index_of_dates_is_the_time_of_announcements(self) -> None:
        frame = pd.DataFrame({"announcement_id": ["a"], "stance": ["mixed"], "headline": ["h"]}, index=INDEX[:1])
        assert read(frame, layouts.ANNOUNCEMENTS)["announced_at"].to_list() == DAYS[:1]

    def test_nothing_of_an_index_is_lost(self) -> None:
        frame = pd.DataFrame({"event_id": ["a"], "symbol": ["AMD"], "date": DAYS[:1]}, index=["note"])
        assert read(frame, layouts.EVENTS)["index"].to_list() == ["note"]

    def test_row_numbers_are_left_out(self) -> None:
        frame = to_pandas(LONG)[lambda rows: rows["symbol"] == "NVDA"]
        assert frame.index.to_list() == [2, 3]
        assert read(frame).columns == LONG.columns


class TestColumns:
    def test_missing_cells_of_every_kind_are_null(self) -> None:
        frame = pd.DataFrame(
            {
                "float": [1.5, np.nan], "int": pd.array([1, None], "Int64"), "bool": pd.array([True, None], "boolean"),
                "text": ["a", None], "category": pd.Categorical(["a", None]),
                "time": [pd.Timestamp(2024, 1, 2, 9), None], "date": [pd.Timestamp(2024, 1, 2), None],
                "object": [None, "a"], "list": [["a", "b"], None],
            }
        )  # fmt: skip
        assert read(frame, layouts.Layout(())).rows(named=True) == [
            {
                "float": 1.5, "int": 1, "bool": True, "text": "a", "category": "a", "time": datetime(2024, 1, 2, 9),
                "date": DAYS[0], "object": None, "list": ["a", "b"],
            },
            dict.fromkeys(frame.columns) | {"object": "a"},
        ]  # fmt: skip

    def test_what_is_changed_later_does_not_change_what_was_read(self) -> None:
        frame = pd.DataFrame({"float": [1.0, 2.0], "int": [1, 2], "truth": [True, False], "text": ["a", "b"]})
        table = read(frame, layouts.Layout(()))
        frame.loc[0] = [9.0, 9, False, "z"]
        assert table.row(0) == (1.0, 1, True, "a")

    def test_large_whole_numbers_keep_every_digit(self) -> None:
        frame = pd.DataFrame({"a": [2**53 + 1], "b": pd.array([2**53 + 1], "Int64")})
        assert read(frame, layouts.Layout(())).row(0) == (2**53 + 1, 2**53 + 1)

    def test_times_keep_their_zone_and_their_instant(self) -> None:
        instant = datetime(2025, 8, 12, 4, 45, tzinfo=UTC)
        times = pd.Series([pd.Timestamp(instant)])
        frame = pd.DataFrame(
            {"named": times.dt.tz_convert("Asia/Shanghai"), "fixed": pd.to_datetime(["2025-08-12T12:45:00+08:00"])}
        )
        table = read(frame, layouts.Layout(()))
        assert table.schema["named"].time_zone == "Asia/Shanghai"
        assert table.row(0) == (instant, instant)

    def test_there_and_back(self) -> None:
        frame = pl.DataFrame(
            {
                "event_id": ["a", None], "date": [DAYS[0], None], "n_days": [3, None], "car": [0.01, None],
                "valid": [True, None], "announced_at": [datetime(2025, 8, 12, 4, 45, tzinfo=UTC), None],
                "targets": [["NVDA", "AMD"], None],
            }
        )  # fmt: skip
        assert_frame_equal(read(to_pandas(frame), layouts.Layout(())), frame)


AMD = DOWNLOAD.xs("AMD", axis=1, level=1)
SPELT = to_pandas(LONG).rename(columns={"symbol": "Symbols"})
TWICE = pd.concat([RETURNS, RETURNS], axis=1)
UNREADABLE = {
    "one security": (AMD, layouts.PRICES, "'symbol'", r'name it with \.assign\(symbol="NVDA"\)'),
    "prices for returns": (DOWNLOAD, layouts.RETURNS, "'ret'", r"These are prices: .*pct_change\(\)"),
    "closes for a benchmark": (AMD, layouts.BENCHMARK, "'ret'", r"pct_change\(\)"),
    "turned": (RETURNS.T, layouts.RETURNS, "'date'", r"Its columns are dates: turn it with \.T"),
    "text index": (RETURNS.set_axis(["2024-01-02", "2024-01-03"]), layouts.RETURNS, "'date'", r"pd\.to_datetime"),
    "text dates": (
        to_pandas(LONG).astype({"date": str}), layouts.PRICES, "holds text, such as '2024-01-02'",
        r"frame\['date'\] = pd",
    ),
    "named text index": (
        RETURNS.set_axis(pd.Index(["2024-01-02", "2024-01-03"], name="date")), layouts.RETURNS, "'ret'",
        r"Its index is text: frame\.index = pd\.to_datetime",
    ),
    "dates beside": (RETURNS.reset_index(), layouts.RETURNS, "'date'", r"\.set_index\('Date'\)"),
    "spelt otherwise": (SPELT, layouts.PRICES, "'symbol'", "'Symbols': 'symbol'"),
    "levels": (DOWNLOAD, layouts.FACTORS, "not one of fields", r'frame\["Close"\]'),
    "columns twice": (TWICE, layouts.RETURNS, "more than once: 'AMD'", "Keep one of each"),
    "index twice": (
        pd.DataFrame({"date": DAYS}, index=INDEX[::-1].rename("date")), layouts.DAYS, "both 'date', and differ",
        "reset_index",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("frame", "layout", "why", "advice"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_pandas_frame_that_cannot_be_read_says_what_it_is_and_what_to_do(
    frame: pd.DataFrame, layout: layouts.Layout, why: str, advice: str
) -> None:
    given = "frame: a pandas DataFrame with . rows?, columns .* index .*"
    with pytest.raises(DataError, match=f"(?s){given}{why}.*{advice}"):
        read(frame, layout)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (None, "not NoneType"), ({"a": [1]}, r"not dict\. Make a frame of it: pl\.DataFrame"),
        (np.zeros((2, 2)), "not ndarray"), (pl.Series([1]), "not polars Series"),
        ("prices.csv", r"not str\. If it is the path of a file, read it first, with pl\.read_csv"),
    ],
)  # fmt: skip
def test_what_is_no_frame_is_refused(thing: object, message: str) -> None:
    with pytest.raises(DataError, match=f"frame must be a frame of polars, pandas or pyarrow, {message}"):
        read(thing)


def test_the_path_of_events_names_their_reader() -> None:
    with pytest.raises(DataError, match=r"events must be a frame .*, not str\. .* read it first, with mi\.read_events"):
        to_polars("events.xlsx", "events", layouts.EVENTS)


def test_an_arrow_stream_of_something_else_is_refused() -> None:
    class OneColumn:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return pl.Series([1, 2]).__arrow_c_stream__(requested_schema)

    with pytest.raises(DataError, match=r"a OneColumn of .* cannot be read as a table .* Give a table with named"):
        read(OneColumn())
