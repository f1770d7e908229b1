"""Factorize against numpy's `unique`, whatever the range of values; securities that share a benchmark."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from marketimpact.core.factorize import factorize, rows_by_code, split_at
from marketimpact.market.shared_series import FEW, MOST, first_alike

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


def test_securities_of_one_benchmark_share_its_rows():
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=20), rng.normal(size=20)
    one[3] = np.nan
    late = one.copy()
    late[-1] += 1e-12  # the last number differs, and only that
    column = np.concatenate([one, other, one, late, one[:12], other, one[:12]])
    first = np.array([0, 20, 40, 60, 80, 92, 112])
    length = np.array([20, 20, 20, 20, 12, 20, 12])
    assert first_alike(column, first, length).tolist() == [0, 20, 0, 60, 80, 20, 80]


def test_too_many_series_are_not_compared():
    n, width = MOST + 3, FEW + 1
    column = np.random.default_rng(2).normal(size=(n, width))
    column[-1] = column[0]  # among the first, so it is still found
    column[-2] = column[-3]  # not among those that are compared with
    firsts = np.arange(n) * width
    found = first_alike(column.ravel(), firsts, np.full(n, width))
    assert found[-1] == 0
    assert found[-2] == firsts[-2]
    np.testing.assert_array_equal(found[:MOST], firsts[:MOST])
