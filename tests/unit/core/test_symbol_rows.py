"""Sorted rows, neighbours and days looked up by position equal sort, window functions and joins of polars."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketimpact.core.day_table import DayTable, day_numbers
from marketimpact.core.symbol_rows import codes, is_repeated_key, keep_rows, neighbour, owners, sort_rows

SYMBOLS = st.one_of(st.none(), st.sampled_from(["B", "A", "^I", "a", "0700.HK", "é"]))
DATES = st.one_of(st.none(), st.dates(date(1800, 1, 1), date(2100, 1, 1)))
ROWS = st.lists(st.tuples(SYMBOLS, DATES), max_size=40)


def frame_of(rows: list[tuple[str | None, date | None]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date}, orient="row")
    return frame.with_row_index("given").with_columns(close=pl.col("given").cast(pl.Float64) % 7)


@settings(deadline=None)
@given(ROWS)
def test_rows_are_sorted_as_by_polars_with_ties_in_their_order(rows):
    frame = frame_of(rows)
    assert sort_rows(frame).equals(frame.sort("symbol", "date", maintain_order=True))


@settings(deadline=None)
@given(ROWS)
def test_sorted_rows_are_returned_as_they_are(rows):
    frame = frame_of(rows).drop_nulls().sort("symbol", "date", maintain_order=True)
    assert sort_rows(frame) is frame or frame.height < 2


def test_categories_are_sorted_by_their_text():
    frame = frame_of([("B", date(2024, 1, 3)), ("A", date(2024, 1, 4)), ("A", date(2024, 1, 3))])
    assert sort_rows(frame.with_columns(pl.col("symbol").cast(pl.Categorical)))["given"].to_list() == [2, 1, 0]


@settings(deadline=None)
@given(ROWS, st.sampled_from([-3, -1, 1, 2]))
def test_neighbours_are_those_of_a_window_function(rows, distance):
    frame = frame_of(rows).drop_nulls("symbol").sort("symbol", "date", maintain_order=True)
    expected = frame.select(pl.col("close").shift(-distance).over("symbol"))
    assert frame.select(neighbour("close", distance)).equals(expected)


@settings(deadline=None)
@given(ROWS)
def test_repeated_keys_are_those_of_is_duplicated(rows):
    frame = frame_of(rows).drop_nulls().sort("symbol", "date", maintain_order=True)
    expected = frame.select(~pl.struct("symbol", "date").is_first_distinct()).to_series()
    assert frame.select(is_repeated_key()).to_series().to_list() == expected.to_list()


def test_a_frame_of_which_all_rows_stay_is_not_copied():
    frame = frame_of([("A", date(2024, 1, 3)), ("A", date(2024, 1, 4)), ("B", date(2024, 1, 3))])
    assert keep_rows(frame, pl.col("close") >= 0) is frame
    assert keep_rows(frame, pl.col("close") > 0, pl.col("date").is_not_null())["given"].to_list() == [1, 2]
    assert keep_rows(frame, pl.lit(None, pl.Boolean) | (pl.col("close") > 1))["given"].to_list() == [2]


def test_symbols_are_numbered_in_their_order():
    symbols = pl.Series(["A", "A", "C", "D", "D"])
    assert owners(symbols).tolist() == [0, 0, 1, 2, 2]
    assert codes(pl.Series(["D", None, "A", "x"]), pl.Series(["A", "D"])).tolist() == [1, -1, 0, -1]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.floats(-5, 5)), max_size=30))
def test_a_day_table_answers_as_a_join_does(rows):
    first = date(2024, 1, 1)
    table = pl.DataFrame(rows, schema={"series": pl.Int64, "day": pl.Int64, "value": pl.Float64}, orient="row")
    table = table.unique(["series", "day"], keep="last", maintain_order=True)
    dates = [first + timedelta(days=day) for day in table["day"]]
    series, days = table["series"].to_numpy(), day_numbers(pl.Series(dates, dtype=pl.Date))
    made = DayTable.of(series, days, table["value"].to_numpy(), n_series=3, missing=np.nan)
    asked = [(who, first + timedelta(days=day)) for who in (-1, 0, 1, 2) for day in (-4000, -1, 0, 7, 30, 31, 9000)]
    expected = {(who, day): value for who, day, value in zip(series, dates, table["value"], strict=True)}
    answers = made.at(np.array([who for who, _ in asked]), day_numbers(pl.Series([day for _, day in asked])))
    assert answers == pytest.approx([expected.get(key, np.nan) for key in asked], nan_ok=True)
