"""Workbooks of Excel, read and written."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.workbooks import read_workbook, workbook_bytes

xlsxwriter = pytest.importorskip("xlsxwriter", reason="xlsxwriter, of the extra excel, is not installed")
pytest.importorskip("fastexcel", reason="fastexcel, of the extra excel, is not installed")


def workbook(**sheets: list[list[Any]]) -> bytes:
    """Write rows as cells of their type; text that begins with "=" is a formula with the result after "->"."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    formats = {kind: book.add_format({"num_format": text}) for kind, text in
               ((date, "yyyy-mm-dd"), (datetime, "yyyy-mm-dd hh:mm:ss"), (time, "hh:mm"))}  # fmt: skip
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if type(cell) in formats:
                    sheet.write_datetime(row, column, cell, formats[type(cell)])
                elif isinstance(cell, str) and cell.startswith("="):
                    formula, _, result = cell.partition("->")
                    sheet.write_formula(row, column, formula, None, float(result) if result.isdigit() else result)
                elif cell is not None:
                    sheet.write(row, column, cell)
    book.close()
    return buffer.getvalue()


def read(**sheets: list[list[Any]]) -> pl.DataFrame:
    return read_workbook(workbook(**sheets), "mine.xlsx", "events")


class TestRead:
    def test_cells_keep_their_type(self) -> None:
        table = read(Sheet1=[
            ["text", "number", "day", "moment", "clock", "truth", "code", "iso"],
            ["a", 1 / 3, date(2024, 1, 2), datetime(2024, 1, 2, 9, 30), time(9, 30), True, "0700", "2024-01-02"],
            [" b ", 2, date(2024, 1, 3), datetime(2024, 1, 3), time(15), False, "0981", None],
        ])  # fmt: skip
        assert table.rows() == [
            ("a", 1 / 3, date(2024, 1, 2), datetime(2024, 1, 2, 9, 30), time(9, 30), True, "0700", date(2024, 1, 2)),
            ("b", 2.0, date(2024, 1, 3), datetime(2024, 1, 3), time(15), False, "0981", None),
        ]

    def test_a_column_that_mixes_types_is_text_without_loss(self) -> None:
        table = read(events=[["a", "b"], ["000660", 5], [700, "x"], [None, date(2024, 1, 2)]])
        assert table.rows() == [("000660", "5"), ("700", "x"), (None, "2024-01-02")]

    def test_empty_rows_and_columns_are_left_out(self) -> None:
        table = read(events=[["a", None, "b"], [1, None, 2], [None, None, None], [3, " ", 4]])
        assert table.rows(named=True) == [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]

    def test_a_formula_with_a_result_is_its_result(self) -> None:
        assert read(events=[["a"], ["=1+1->2"]]).item() == 2.0

    def test_the_sheet_named_like_the_table_is_read(self) -> None:
        assert read(notes=[["x"], [1]], Events=[["a"], [2]]).rows(named=True) == [{"a": 2.0}]
        assert read(notes=[], other=[["a"], [2]]).rows(named=True) == [{"a": 2.0}]

    @pytest.mark.parametrize(
        ("sheets", "message"),
        [
            ({"a": [["x"]], "b": [["y"]]}, r"has the sheets 'a', 'b', and none is named 'events'\. Rename"),
            ({"a": []}, "has no cells"),
            ({"a": [["My events", None], ["event_id", "date"]]}, r"sheet 'a': column 2 has cells, but no name in the"),
            ({"a": [["x", "x"], [1, 2]]}, "the first row names 'x' twice"),
            ({"a": [["x", "y"], [1, "=1/0->#DIV/0!"], [2, "=NA()->#N/A"]]}, r"2 cells with an error: B2 \(#DIV/0!\)"),
            ({"a": [["x"], ["=A3->"], [1]]}, "1 cell with a formula without a result: A2"),
        ],
    )  # fmt: skip
    def test_what_would_be_lost_or_guessed_is_refused(self, sheets: dict[str, list], message: str) -> None:
        with pytest.raises(mi.DataError, match=message):
            read(**sheets)

    def test_errors_are_seen_in_files_of_other_programs(self) -> None:
        """Some write elements with a prefix, or in the namespace of the strict standard."""
        plain = workbook(a=[["x"], ["=NA()->#N/A"]])
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(plain)) as old, zipfile.ZipFile(buffer, "w") as new:
            for name in old.namelist():
                part = old.read(name)
                if name.startswith("xl/worksheets/"):
                    part = re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", part).replace(b" xmlns=", b" xmlns:x=")
                new.writestr(name, part)
        with pytest.raises(mi.DataError, match=r"1 cell with an error: A2 \(#N/A\)"):
            read_workbook(buffer.getvalue(), "mine.xlsx", "events")

    @pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"symbol,date\n", b"\0" * 99])
    def test_another_file_is_refused(self, raw: bytes) -> None:
        with pytest.raises(mi.DataError, match=r"mine\.xlsx is no readable workbook: .* Save it as \.xlsx again"):
            read_workbook(raw, "mine.xlsx", "events")


class TestDoors:
    """Files of the user's: each firm and each date is there twice."""

    EVENTS = (
        ("event_id", "symbol", "date", "size"),
        ("a", "NVDA", date(2024, 6, 3), 1.5), ("b", "AMD", date(2024, 6, 3), 2.5),
        ("c", "NVDA", date(2024, 9, 3), 3.5), ("d", "AMD", date(2024, 9, 3), 4.5),
    )  # fmt: skip

    def test_events_of_every_kind_of_file_are_the_same(self, tmp_path: Path) -> None:
        frame = pl.DataFrame(list(self.EVENTS[1:]), schema=list(self.EVENTS[0]), orient="row")
        (tmp_path / "e.xlsx").write_bytes(workbook(events=[list(row) for row in self.EVENTS], notes=[["ours"]]))
        frame.write_csv(tmp_path / "e.csv")
        frame.write_parquet(tmp_path / "e.parquet")
        for name in ("e.xlsx", "e.csv", "e.parquet"):
            assert mi.read_events(tmp_path / name).equals(frame)

    def test_announcements(self, tmp_path: Path) -> None:
        (tmp_path / "a.xlsx").write_bytes(workbook(Sheet1=[
            ["announcement_id", "announced_at", "stance", "headline", "time_zone", "targets", "is_confounder"],
            ["day", date(2025, 8, 12), "restrictive", "A day", "Asia/Shanghai", "NVDA; AMD", False],
            ["minute", "2025-08-12T12:45:00+08:00", "mixed", "A minute", None, "NVDA", True],
        ]))  # fmt: skip
        table = mi.announcements(tmp_path / "a.xlsx")
        columns = ("announcement_id", "announced_at", "time_precision", "targets", "is_confounder")
        assert table.select(columns).rows() == [
            ("day", datetime(2025, 8, 11, 16, tzinfo=UTC), "day", ["NVDA", "AMD"], False),
            ("minute", datetime(2025, 8, 12, 4, 45, tzinfo=UTC), "minute", ["NVDA"], True),
        ]

    def test_prices(self, tmp_path: Path) -> None:
        rows = [["symbol", "date", "close"], ["NVDA", date(2024, 6, 3), 115.0], ["AMD", date(2024, 6, 3), 163.5],
                ["NVDA", date(2024, 6, 4), 116.4], ["AMD", date(2024, 6, 4), 159.9]]  # fmt: skip
        (tmp_path / "p.xlsx").write_bytes(workbook(prices=rows))
        table = mi.FilePrices(tmp_path / "p.xlsx").read(["AMD"])
        assert table.frame.select("date", "close").rows() == [(date(2024, 6, 3), 163.5), (date(2024, 6, 4), 159.9)]

    def test_calendar_overrides(self, tmp_path: Path) -> None:
        rows = [["mic", "date", "open"], ["XKRX", date(2024, 11, 14), time(10)], ["XKRX", date(2024, 11, 15), None]]
        (tmp_path / "c.xlsx").write_bytes(workbook(calendar_overrides=rows))
        assert mi.calendar_overrides(tmp_path / "c.xlsx")["open"].to_list() == [time(10), None]


class TestWrite:
    def test_a_table_comes_back(self) -> None:
        table = pl.DataFrame({
            "event_id": ["a", "b"], "date": [date(2024, 1, 2), None], "car": [1 / 3, -0.5], "n_days": [3, None],
            "valid": [True, False], "note": ["0700", None],
        })  # fmt: skip
        raw = workbook_bytes({"car": table}, {"study": "EventStudy()"})
        assert read_workbook(raw, "out.xlsx", "car").equals(table.with_columns(pl.col("n_days").cast(pl.Float64)))
        assert read_workbook(raw, "out.xlsx", "about").rows() == [("study", "EventStudy()")]

    def test_the_same_tables_are_the_same_bytes(self) -> None:
        table = pl.DataFrame({"a": ["x"], "b": [1.5]})
        assert workbook_bytes({"a": table}, {}) == workbook_bytes({"a": table}, {})

    def test_what_excel_has_no_type_for_is_text(self) -> None:
        table = pl.DataFrame({
            "instant": [datetime(2025, 8, 12, 4, 45, tzinfo=UTC)], "early": [date(1789, 1, 1)], "list": [["a", "b"]],
            "undefined": [float("nan")], "infinite": [float("-inf")], "clock": [time(9, 30)],
        })  # fmt: skip
        raw = workbook_bytes({"t": table}, {})
        openpyxl = pytest.importorskip("openpyxl", reason="openpyxl, a second reader of workbooks, is not installed")
        cells = [cell.value for cell in openpyxl.load_workbook(io.BytesIO(raw))["t"][2]]
        assert cells == ["2025-08-12T04:45:00.000000Z", "1789-01-01", "a;b", "nan", "-inf", "09:30:00"]

    @pytest.mark.parametrize(
        "text", ["=1+1", '=HYPERLINK("http://x")', "+1+1", "-1+1", "@SUM(1)", "\t=1", "|cmd", "%x"]
    )
    def test_no_cell_and_no_heading_is_a_formula(self, text: str) -> None:
        openpyxl = pytest.importorskip("openpyxl", reason="openpyxl, a second reader of workbooks, is not installed")
        raw = workbook_bytes({"t": pl.DataFrame({text: [text, "plain"]})}, {"study": text})
        book = openpyxl.load_workbook(io.BytesIO(raw))
        for sheet in (book["t"], book["about"]):
            cells = [cell for row in sheet.iter_rows() for cell in row if cell.value is not None]
            assert {cell.data_type for cell in cells} == {"s"}
            assert not [cell.value for cell in cells if cell.value[0] in "=+-@|%\t"]

    def test_simulated_prices_are_marked_on_every_sheet(self) -> None:
        raw = workbook_bytes({"a": pl.DataFrame({"x": [1, 2]})}, {"study": "s"}, "SIMULATED PRICES")
        assert read_workbook(raw, "out.xlsx", "about").row(0) == ("notice", "SIMULATED PRICES")
        assert read_workbook(raw, "out.xlsx", "a")["simulated"].to_list() == [True, True]

    def test_what_excel_cannot_hold_is_refused(self) -> None:
        with pytest.raises(mi.DataError, match=r"table t has 1,048,576 rows .* a sheet of Excel holds 1,048,575"):
            workbook_bytes({"t": pl.DataFrame({"a": pl.zeros(1_048_576, eager=True)})}, {})
        with pytest.raises(mi.DataError, match="text of more than 32,767 characters in 'a'"):
            workbook_bytes({"t": pl.DataFrame({"a": ["x" * 32_768]})}, {})
