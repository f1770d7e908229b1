"""Without the packages of the extra ``excel``, workbooks say which one is missing."""

from __future__ import annotations

import sys

import pytest

import marketimpact as mi
from marketimpact.core.workbooks import read_workbook, workbook_bytes


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fastexcel", "xlsxwriter"):
        monkeypatch.setitem(sys.modules, name, None)
    advice = r"which is not installed: pip install 'marketimpact\[excel\]'"
    with pytest.raises(mi.SpecificationError, match=f"Reading Excel workbooks needs the package fastexcel, {advice}"):
        read_workbook(b"", "mine.xlsx", "events")
    with pytest.raises(mi.SpecificationError, match=f"Writing Excel workbooks needs the package xlsxwriter, {advice}"):
        workbook_bytes({}, {})
