"""Answers written as they are produced: the rows of one run, whatever the files."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import marketimpact as mi
from tests.conftest import golden, golden_events
from tests.unit.estimation.test_executors import STUDY


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    """All events of the golden market, and one of a stranger."""
    stranger = pl.DataFrame({"event_id": ["zz"], "symbol": ["ZZZ"], "date": [golden("market")["date"][300]]})
    return pl.concat([golden_events(), stranger])


@pytest.mark.parametrize("size", [1, 17, 1000])
def test_what_is_written_is_what_one_run_gives(golden_market, events, tmp_path, size):
    events = events.sample(20, seed=3) if size == 1 else events
    whole = STUDY.run(events, golden_market)
    with ThreadPoolExecutor(2) as threads:
        attrition = mi.write_study(
            STUDY, events.reverse(), golden_market, tmp_path, events_per_file=size, executor=threads
        )
    assert len(list((tmp_path / "estimates").iterdir())) == -(-events.height // size)
    for name, key in (("abnormal_returns", ["event_id", "tau"]), ("estimates", ["event_id"])):
        written = pl.scan_parquet(tmp_path / name / "*.parquet").collect().sort(key)
        assert_frame_equal(written, getattr(whole, name).sort(key), check_exact=True)
    assert_frame_equal(attrition, whole.attrition)
    assert_frame_equal(pl.read_parquet(tmp_path / "attrition.parquet"), whole.attrition)
    assert json.loads((tmp_path / "record.json").read_text()) == whole.record


def test_the_same_bytes_from_memory_and_from_disk(golden_market, events, tmp_path):
    mi.write_study(STUDY, events, golden_market, tmp_path / "one", events_per_file=30)
    scanned = golden_market.to_dataset(tmp_path / "returns")
    mi.write_study(STUDY, events.reverse(), scanned, tmp_path / "two", events_per_file=30, memory="1 MB")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) > 6
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_what_cannot_be_is_refused(golden_market, events, tmp_path):
    with pytest.raises(mi.SpecificationError, match="events_per_file=0"):
        mi.write_study(STUDY, events, golden_market, tmp_path, events_per_file=0)
    with pytest.raises(mi.DataError, match="must not repeat"):
        mi.write_study(STUDY, pl.concat([events, events]), golden_market, tmp_path / "new")
    (tmp_path / "old").touch()
    with pytest.raises(mi.DataError, match="is not empty"):
        mi.write_study(STUDY, events, golden_market, tmp_path)
