"""All tables of a result, as a workbook and as pandas frames."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.workbooks import read_workbook
from tests.conftest import golden

NAMES = [
    "tests", "car", "caar", "estimates", "abnormal_returns", "events", "attrition", "findings", "price_repairs",
]  # fmt: skip
HOSTILE = '=HYPERLINK("http://example.org")'


@pytest.fixture(scope="module")
def result(golden_market: mi.Market, golden_study: mi.EventStudy) -> mi.StudyResult:
    """Events that repeat firms and dates, with columns of the user's own that are named like those of the tables."""
    events = golden("events_mixed").with_columns(pl.lit(HOSTILE).alias("remark"), pl.lit(7).alias("first"))
    assert events["symbol"].is_duplicated().any()
    assert events["date"].is_duplicated().any()
    return golden_study.run(events, golden_market)


def test_to_pandas_needs_no_pyarrow_and_keeps_every_value(result: mi.StudyResult) -> None:
    tables = result.to_pandas(windows=[(0, 1), (-5, 5)])
    assert list(tables) == NAMES
    car = tables["car"]
    assert car["first"].unique().tolist() == [0, -5]
    assert (car["first_event"] == 7).all()
    expected = result.car(-5, 5)
    wide = car[car["last"] == 5].reset_index(drop=True)
    pd.testing.assert_series_equal(wide["car"], pd.Series(expected["car"].to_numpy(), name="car"))
    assert wide["event_id"].tolist() == expected["event_id"].to_list()
    assert wide["date"].dt.date.tolist() == expected["date"].to_list()


def test_the_default_windows_are_day_0_and_the_primary_window(result: mi.StudyResult) -> None:
    tests = result.to_pandas()["tests"]
    assert list(dict.fromkeys(zip(tests["first"], tests["last"], strict=True))) == [(0, 0), (0, 1)]


@pytest.mark.parametrize("windows", [[], [(0, 99)], [(1, 0)]])
def test_windows_that_cannot_be_are_refused(result: mi.StudyResult, windows: list[tuple[int, int]]) -> None:
    with pytest.raises(mi.SpecificationError, match="window"):
        result.to_pandas(windows=windows)


@pytest.fixture(scope="module")
def path(result: mi.StudyResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("xlsxwriter", "fastexcel"):
        pytest.importorskip(name, reason=f"{name}, of the extra excel, is not installed")
    return result.to_excel(tmp_path_factory.mktemp("excel") / "new" / "result.xlsx", windows=[(0, 1)])


class TestWorkbook:
    def test_every_table_has_a_sheet(self, path: Path, result: mi.StudyResult) -> None:
        raw = path.read_bytes()
        read = {name: read_workbook(raw, "result.xlsx", name) for name in ("tests", "car", "abnormal_returns")}
        assert read["abnormal_returns"].height == result.abnormal_returns.height
        # Excel keeps 15 digits, the file 16
        assert read["car"]["car"].to_numpy() == pytest.approx(
            result.car(0, 1)["car"].to_numpy(), rel=1e-15, nan_ok=True
        )
        p_values = result.test(0, 1)["p_value"].to_numpy()
        assert read["tests"]["p_value"].to_numpy() == pytest.approx(p_values, rel=1e-15, nan_ok=True)
        record = dict(read_workbook(raw, "result.xlsx", "about").rows())
        assert record.items() >= result.record.items()

    def test_no_cell_is_a_formula(self, path: Path) -> None:
        openpyxl = pytest.importorskip("openpyxl", reason="openpyxl, a second reader of workbooks, is not installed")
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()))
        assert book.sheetnames == ["about", *NAMES]
        cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
        assert "f" not in {cell.data_type for cell in cells}
        assert f"'{HOSTILE}" in {cell.value for cell in cells}

    def test_the_same_result_gives_the_same_bytes(self, path: Path, result: mi.StudyResult, tmp_path: Path) -> None:
        again = result.to_excel(tmp_path / "again.xlsx", windows=[(0, 1)])
        assert again.read_bytes() == path.read_bytes()

    def test_a_result_without_events_has_its_sheets(self, path: Path, result: mi.StudyResult, tmp_path: Path) -> None:
        none = result.where(pl.lit(value=False)).to_excel(tmp_path / "none.xlsx")
        assert none.exists()

    @pytest.mark.parametrize("name", ["result.xls", "result", "result.csv"])
    def test_another_kind_of_file_is_refused(self, result: mi.StudyResult, tmp_path: Path, name: str) -> None:
        with pytest.raises(mi.SpecificationError, match=f"'{name}' does not end in .xlsx. Name the workbook"):
            result.to_excel(tmp_path / name)
