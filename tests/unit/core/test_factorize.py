"""Kinds of values against numpy's, whatever their spread."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from marketimpact.core.factorize import factorize, rows_by_code, split_at

near = st.lists(st.integers(-20, 20), max_size=60)
far = st.lists(st.sampled_from([-(2**62), -5, 0, 3, 2**40, 2**62]), max_size=60)


@given(near | far)
def test_kinds_are_those_of_numpy(values):
    values = np.array(values, dtype=np.int64)
    kinds, first, place, size = np.unique(values, return_index=True, return_inverse=True, return_counts=True)
    found = factorize(values)
    for got, want in zip(found, (kinds, place, size, first), strict=True):
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, want)
    assert [rows.tolist() for rows in rows_by_code(found)] == [
        np.flatnonzero(values == kind).tolist() for kind in kinds
    ]


@given(st.lists(st.sampled_from(["b", "a", "", "Z", "ü"]), max_size=30))
def test_text_is_numbered_in_its_order(values):
    want = np.unique(np.array(values, dtype=object), return_inverse=True)[1] if values else []
    np.testing.assert_array_equal(factorize(pl.Series(values, dtype=pl.String)).place, want)


def test_dates_are_numbered_in_their_order():
    days = pl.Series(["2020-03-01", "1969-12-31", "2020-03-01", "1969-12-30"]).str.to_date()
    assert factorize(days).place.tolist() == [2, 1, 2, 0]


def test_pieces_end_where_told():
    cut = split_at(np.arange(5), np.array([2, 2, 5]))
    assert [part.tolist() for part in cut] == [[0, 1], [], [2, 3, 4]]
