"""Every block of the page on scaling that needs no cluster runs, in order, in one namespace."""

from __future__ import annotations

import re

import polars as pl
import pytest

from tests.conftest import ROOT

pytest.importorskip("distributed", reason="needs the extra marketimpact[dask]")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # dask's own
def test_the_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(found) == 4
    names: dict[str, object] = {"__name__": "__main__"}
    for block in found:
        exec(compile(block, "scaling.md", "exec"), names)
    written = pl.scan_parquet("answer/abnormal_returns/*.parquet").collect()
    assert written["event_id"].n_unique() == names["result"].events.height > 50
    assert names["by_date"]["len"].sum() == names["result"].events.height


def test_blocks_that_need_a_cluster_are_python():
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    found = re.findall(r"```py\n(.*?)```", text, flags=re.DOTALL)
    assert len(found) == 2
    for block in found:
        compile(block, "scaling.md", "exec")
