"""No cell, heading or name in a CSV is computed by a spreadsheet, whatever its type."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from marketimpact.core.csv_writer import csv_text

FORMULAS = ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "|cmd", "%x"]


def cells(frame: pl.DataFrame) -> tuple[list[str], list[dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(csv_text(frame), newline=""))
    return list(reader.fieldnames or ()), list(reader)


@pytest.mark.parametrize(
    "kind", [pl.String, pl.Categorical, pl.Enum(FORMULAS), pl.List(pl.String)], ids=["text", "category", "enum", "list"]
)
def test_text_of_every_type_is_kept_from_being_a_formula(kind):
    column = pl.Series("a", FORMULAS)
    column = pl.Series("a", [[each] for each in FORMULAS]) if kind == pl.List(pl.String) else column.cast(kind)
    _, rows = cells(column.to_frame())
    assert [row["a"] for row in rows] == ["'" + each for each in FORMULAS]


def test_headings_are_kept_from_being_formulas():
    names, rows = cells(pl.DataFrame({"=a": [1], "@b": [2], "car": [3]}))
    assert names == ["'=a", "'@b", "car"]
    assert rows == [{"'=a": "1", "'@b": "2", "car": "3"}]


def test_numbers_and_plain_text_stay():
    texts = ["-0.5", "+1e-5", "^GSPC", "0981.HK", None]
    _, rows = cells(pl.DataFrame({"text": texts, "number": [-1.5, 2.0, -3.0, 4.0, None]}))
    assert [row["text"] for row in rows] == ["-0.5", "+1e-5", "^GSPC", "0981.HK", ""]
    assert [row["number"] for row in rows] == ["-1.5", "2.0", "-3.0", "4.0", ""]


def test_every_type_of_column_is_written():
    frame = pl.DataFrame(
        {
            "numbers": [[1, None], []],
            "nested": [[["=a"]], None],
            "struct": [{"a": 1, "b": "=x"}, None],
            "date": [date(2025, 8, 12)] * 2,
            "wait": [timedelta(hours=1)] * 2,
            "raw": [b"=x", None],
            "nothing": [None, None],
            "object": pl.Series([{1}, "=x"], dtype=pl.Object),
        }
    )
    _, rows = cells(frame)
    assert rows[0] == {
        "numbers": "1;", "nested": '[["=a"]]', "struct": '{"a": 1, "b": "=x"}', "date": "2025-08-12",
        "wait": "1:00:00", "raw": "b'=x'", "nothing": "", "object": "{1}",
    }  # fmt: skip
    assert rows[1]["object"] == "'=x"
