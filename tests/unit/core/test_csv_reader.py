"""Plain text is split by polars, other text by the module `csv`: both give the same table."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketimpact.core import csv_reader
from marketimpact.errors import DataError

CELLS = st.text(alphabet=st.sampled_from("aB1.-# \t'|"), max_size=4)
LINES = st.lists(st.lists(CELLS, min_size=1, max_size=4).map(",".join), max_size=8)


def answer(text: str, **options: object) -> pl.DataFrame | str:
    try:
        return csv_reader.parse_table(text, "x.csv", **options)
    except DataError as error:
        return str(error)


def same(one: pl.DataFrame | str, other: pl.DataFrame | str) -> bool:
    return one.equals(other) if isinstance(one, pl.DataFrame) and isinstance(other, pl.DataFrame) else one == other


@settings(deadline=None, max_examples=300)
@given(LINES, st.sampled_from(["a,b,c", "a", "a, b", "", "a,a", "a;b", " ,x"]), st.sampled_from(["\n", "\r\n"]))
def test_both_ways_to_read_give_one_table(lines, header, end):
    text = end.join([header, *lines])
    fast = answer(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_reader, "_plain_lines", lambda text: None)
        assert same(fast, answer(text))


@settings(deadline=None)
@given(LINES)
def test_both_ways_agree_where_the_names_are_given(lines):
    text = "\n".join(["one,two", "u,v", *lines])
    fast = answer(text, names=["p", "q"], skip=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_reader, "_plain_lines", lambda text: None)
        assert same(fast, answer(text, names=["p", "q"], skip=2))


def test_rows_of_a_plain_file_are_no_python_objects(monkeypatch):
    monkeypatch.setattr(csv_reader, "_records", lambda text, label: pytest.fail("read line by line"))
    text = "symbol,date,close\n" + "A,2024-01-02,1.5\n" * 50 + "\n , ,\n" + "B , 2024-01-02,\n"
    table = csv_reader.parse_table(text, "x.csv")
    assert table.height == 51
    assert table.row(-1) == ("B", "2024-01-02", None)


@pytest.mark.parametrize("text", ['a,b\n"x, y",1\n', "a,b\nü,1\n", "a,b\rx,1\r", "a,b\nx\x0b,1\n"])
def test_quotes_and_other_letters_are_read_by_the_module_csv(text):
    table = csv_reader.parse_table(text, "x.csv")
    assert table.shape == (1, 2)
    assert table["b"].to_list() == ["1"]
