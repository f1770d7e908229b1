"""Factorize against numpy's `unique`, whatever the range of values."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from marketimpact.core.factorize import factorize, rows_by_code, split_at

near = st.lists(st.integers(-20, 20), max_size=60)
far = st.lists(st.sampled_from([-(2**62), -5, 0, 3, 2**40, 2**62]), max_size=60)


@given(near | far)
def test_codes_are_those_of_numpy(values):
    values = np.array(values, dtype=np.int64)
    distinct, first, codes, counts = np.unique(values, return_index=True, return_inverse=True, return_counts=True)
    factorized = factorize(values)
    for got, want in zip(factorized, (distinct, codes, counts, first), strict=True):
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, want)
    assert [rows.tolist() for rows in rows_by_code(factorized)] == [
        np.flatnonzero(values == value).tolist() for value in distinct
    ]


@given(st.lists(st.sampled_from(["b", "a", "", "Z", "ü"]), max_size=30))
def test_text_codes_are_in_alphabetical_order(values):
    want = np.unique(np.array(values, dtype=object), return_inverse=True)[1] if values else []
    np.testing.assert_array_equal(factorize(pl.Series(values, dtype=pl.String)).codes, want)


def test_date_codes_are_in_calendar_order():
    days = pl.Series(["2020-03-01", "1969-12-31", "2020-03-01", "1969-12-30"]).str.to_date()
    assert factorize(days).codes.tolist() == [2, 1, 2, 0]


def test_parts_end_at_the_given_positions():
    parts = split_at(np.arange(5), np.array([2, 2, 5]))
    assert [part.tolist() for part in parts] == [[0, 1], [], [2, 3, 4]]
