"""Regressions on revenue shares say when their bases differ."""

from __future__ import annotations

import warnings
from datetime import date

import polars as pl
import pytest

import marketimpact as mi

FORMULA = "car ~ china_revenue_share"


@pytest.fixture(scope="module")
def result(sample_market: mi.Market) -> mi.StudyResult:
    """Six firms on four dates, with their exposures before the first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mi.MarketImpactWarning)
        shares = mi.exposures("2025-01-10").select("symbol", "china_revenue_share", "basis", "region")
    firms = ["NVDA", "AMAT", "LRCX", "KLAC", "MU", "ASML"]
    days = [date(2025, 1, 14), date(2025, 3, 25), date(2025, 6, 10), date(2025, 8, 12)]
    rows = [(f"{d}:{s}", s, d, str(d)) for d in days for s in firms]
    events = pl.DataFrame(rows, schema=["event_id", "symbol", "date", "announcement_id"], orient="row")
    joined = events.join(shares, on="symbol", how="left", validate="m:1")
    return mi.EventStudy(event_window=(-2, 2)).run(joined, sample_market)


def messages_of(result: mi.StudyResult, formula: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result.regress(formula, (0, 1))
    return [str(warning.message) for warning in caught]


def test_mixed_bases_are_named_once_a_firm(result):
    mixed = [text for text in messages_of(result, FORMULA) if "different bases" in text]
    assert len(mixed) == 1
    assert "shipment (4), billing_location (1), customer_headquarters (1)" in mixed[0]


def test_one_basis_and_other_regressors_say_nothing(result):
    shipped = result.where(pl.col("basis") == "shipment")
    for some, formula in ((shipped, FORMULA), (result, "car ~ basis")):
        assert not [text for text in messages_of(some, formula) if "different bases" in text]
