"""Options take whole numbers of numpy as well as Python's, and no True, text or 2.0."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.memory import memory_budget
from marketimpact.estimation.executors import ExecutionOptions
from marketimpact.estimation.windows import check_window

DONORS = ("MSFT", "ORCL", "DELL")
COUNTS = {
    "components": lambda n: mi.StatisticalFactors(DONORS, components=n),
    "min_observations": lambda n: mi.EventStudy(min_observations=n * 30),
    "windows": lambda n: mi.EventStudy(estimation_window=(-100 * n, -11 * n), event_window=(-n, n)),
    "window": lambda n: check_window((-n, n), "window"),
    "chunk": lambda n: ExecutionOptions(chunk=n),
    "memory": memory_budget,
    "tries": lambda n: mi.YahooPrices(tries=n, batch=n),
    "lot": lambda n: mi.BarFiles("bars", lot=n).lot,
    "minutes": lambda n: mi.SampleBars(["NVDA"], minutes=n).minutes,
}


@pytest.mark.parametrize("name", COUNTS)
def test_whole_numbers_of_numpy_are_taken_and_others_are_not(name):
    for given in (np.int64(2), np.int32(2)):
        assert COUNTS[name](given) == COUNTS[name](2)
    for wrong in (2.5, np.float64(2.0)):
        with pytest.raises(mi.SpecificationError):
            COUNTS[name](wrong)


@pytest.mark.parametrize("name", ["components", "chunk", "memory", "tries", "lot", "minutes"])
def test_true_is_no_count(name):
    with pytest.raises(mi.SpecificationError):
        COUNTS[name](True)


def test_a_model_is_written_with_numbers_of_python():
    """Records and registrations hold the settings as they are written."""
    factors = mi.StatisticalFactors(DONORS, components=np.int64(2))
    assert repr(factors) == repr(mi.StatisticalFactors(DONORS, components=2))
    for given in (np.float64(0.5), np.float32(0.5)):
        assert repr(mi.RidgePeers(DONORS, penalty=given)) == repr(mi.RidgePeers(DONORS, penalty=0.5))
    assert repr(mi.RidgePeers(DONORS, penalty=1)).endswith("penalty=1, allow=(), match_sessions=False)")
    study = mi.EventStudy(min_observations=np.int64(70))
    assert type(study.min_observations) is int


def test_options_of_analyses_take_whole_numbers_of_numpy(sample_market):
    """A firm repeats, and a date."""
    frame = pl.DataFrame({
        "event_id": ["a", "b", "c"], "symbol": ["NVDA", "AMD", "NVDA"],
        "date": [date(2025, 8, 12), date(2025, 8, 12), date(2025, 5, 20)],
    })  # fmt: skip
    result = mi.EventStudy(event_window=(-3, 3)).run(frame, sample_market)
    one, two = np.int64(1), np.int64(2)
    assert mi.factor_alarm(result, components=one).table.equals(mi.factor_alarm(result, components=1).table)
    assert mi.day0_sensitivity(result, (0, 1), shifts=(-one, 0 * one, one)).equals(
        mi.day0_sensitivity(result, (0, 1), shifts=(-1, 0, 1))
    )
    size = pl.DataFrame({"symbol": ["NVDA", "AMD", "TXN", "DELL"], "size": [4.0, 3.0, 2.0, 1.0]})
    pair = [mi.matched_controls(frame, sample_market, ["TXN", "DELL"], size, n_matches=n).table for n in (two, 2)]
    assert pair[0].equals(pair[1])
    with pytest.raises(mi.SpecificationError, match=r"n_matches=1\.5: give a whole number"):
        mi.matched_controls(frame, sample_market, ["TXN", "DELL"], size, n_matches=1.5)
    assert mi.exposures(as_of="2025-08-12", all_rows=True, max_age_days=np.int64(800)).equals(
        mi.exposures(as_of="2025-08-12", all_rows=True, max_age_days=800)
    )
