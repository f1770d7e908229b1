"""`marketimpact run --excel`: all tables as one workbook."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.workbooks import read_workbook
from tests.command import marketimpact

SMALL = (
    '[study]\nmodel = "mean_adjusted"\nevent_window = [-1, 1]\n'
    '[announcements]\nfile = "mine.xlsx"\n'
    '[[groups]]\nname = "Both"\nsymbols = ["NVDA", "688256.SS"]\n'
)  # fmt: skip


def test_run_reads_and_writes_workbooks(tmp_path: Path) -> None:
    for name in ("xlsxwriter", "fastexcel"):
        pytest.importorskip(name, reason=f"{name}, of the extra excel, is not installed")
    own = pl.DataFrame(
        {
            "announcement_id": ["first", "second"],
            "announced_at": ["2025-08-12T12:45:00+08:00", "2025-04-15T17:22:59-04:00"],
            "stance": ["restrictive"] * 2, "headline": ["=1+1", "An announcement"], "targets": ["NVDA; 688256.SS"] * 2,
        }
    )  # fmt: skip
    own.write_excel(tmp_path / "mine.xlsx", worksheet="announcements")
    prices = mi.SamplePrices().read(["NVDA", "^GSPC", "688256.SS", "000300.SS"]).frame
    prices.select("symbol", "date", "close").write_excel(tmp_path / "prices.xlsx", worksheet="prices")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    done = marketimpact("run", "small.toml", "--prices", "prices.xlsx", "--excel", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "CSV, Parquet and tables.xlsx" in done.stdout
    raw = (tmp_path / "out" / "tables.xlsx").read_bytes()
    for table in ("car", "events", "tests"):
        written = pl.read_parquet(tmp_path / "out" / f"{table}.parquet")
        sheet = read_workbook(raw, "tables.xlsx", table)
        assert sheet.height == written.height
        assert sheet["simulated"].all()
    assert sheet.height
    assert "SIMULATED PRICES" in read_workbook(raw, "tables.xlsx", "about")["value"][0]
    assert not (tmp_path / "out" / "tables.xlsx").read_bytes().count(b"<f>")


def test_without_the_writer_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    done = marketimpact("run", "h20", "--excel", cwd=tmp_path)
    assert done.returncode == 1
    assert "needs the package xlsxwriter, which is not installed" in done.stderr
    assert not (tmp_path / "out").exists()
