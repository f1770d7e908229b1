"""Exchange rates at both doors: `Market.in_currency` and `dollar_effect`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from tests.unit.market.drawn_returns import at

FIRST, N = date(2023, 1, 2), 900
DAYS = [FIRST + timedelta(days=k) for k in range(N)]
RATES = pl.DataFrame(
    {
        "date": DAYS * 2,
        "currency": ["HKD"] * N + ["TWD"] * N,
        "rate": np.exp(np.random.default_rng(1).normal(0.0, 0.003, 2 * N).cumsum() * 0.2) * 0.12,
    }
)
LATE = 600  # a row of HKD


@pytest.fixture(scope="module")
def result() -> mi.StudyResult:
    firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "0981.HK", "2330.TW"]))
    table = mi.SamplePrices().read([*firms["symbol"], *firms["benchmark"].unique()]).frame
    both = table.select("symbol", "date", "close", pl.col("close").alias("adj_close"), "volume")
    market = mi.Market.load(firms, mi.FilePrices(both))
    events = [(f"{day}:{name}", name, day) for day in (DAYS[500], DAYS[LATE]) for name in firms["symbol"]]
    frame = pl.DataFrame(events, schema=["event_id", "symbol", "date"], orient="row")
    return mi.EventStudy(event_window=(-2, 2)).run(frame, market)


SHARES = pl.DataFrame({"symbol": ["NVDA", "0981.HK", "2330.TW"], "shares": [10.0, 20.0, 30.0]})


def converted(result: mi.StudyResult, rates: pl.DataFrame) -> object:
    return result.market.in_currency("USD", rates)


def valued(result: mi.StudyResult, rates: pl.DataFrame) -> object:
    return mi.dollar_effect(result, 0, 1, shares=SHARES, rates=rates)


def with_own(rate: float) -> pl.DataFrame:
    return pl.concat([RATES, pl.DataFrame({"date": DAYS[:1], "currency": ["USD"], "rate": [rate]})])


def from_day(day: int, factor: float) -> pl.DataFrame:
    later = (pl.col("date") >= DAYS[day]) & (pl.col("currency") == "HKD")
    return RATES.with_columns(pl.when(later).then(pl.col("rate") * factor).otherwise("rate").alias("rate"))


WRONG = {
    "zero": (at(RATES, LATE, "rate", 0.0), "HKD on .*not a number above zero"),
    "negative": (at(RATES, LATE, "rate", -0.13), "is not a number above zero"),
    "infinite": (at(RATES, LATE, "rate", float("inf")), "is not a number above zero"),
    "not a number": (at(RATES, LATE, "rate", float("nan")), "is not a number above zero"),
    "enormous": (RATES.with_columns(pl.lit(1e308).alias("rate")), "is not a number above zero"),
    "two values": (pl.concat([RATES, RATES[LATE:LATE + 1].with_columns(rate=pl.lit(0.2))]), "more than one row"),
    "pence": (from_day(LATE, 100.0), "three times the one before"),
    "pounds": (from_day(LATE, 0.01), "a third of it"),
    "one misplaced point": (at(RATES, LATE, "rate", 1.2), "three times the one before"),
    "the other way round": (from_day(LATE, 60.0), "three times"),
    "another unit after a gap": (
        from_day(LATE, 100.0).filter(~pl.col("date").is_between(DAYS[LATE - 90], DAYS[LATE])),
        "three times",
    ),
    "text": (RATES.with_columns(rate=pl.lit("many")), "'many' is not a number"),
    "no rows": (RATES.clear(), "rates has no rows"),
    "no column": (RATES.drop("currency"), "rates lacks currency"),
    "no currency": (pl.concat([RATES, RATES[:1].with_columns(currency=pl.lit(None, pl.String))]), "no currency"),
    "own rate": (with_own(1.1), "USD to itself and not 1"),
    "no frame": ({"rate": 1.0}, "rates must be a frame of polars, pandas or pyarrow, not dict"),
}  # fmt: skip


@pytest.mark.parametrize("door", [converted, valued])
@pytest.mark.parametrize(("rates", "message"), WRONG.values(), ids=WRONG)
def test_rates_that_cannot_be_are_refused(result, door: Callable, rates: pl.DataFrame, message: str) -> None:
    with pytest.raises(mi.DataError, match=message):
        door(result, rates)


@pytest.mark.parametrize("door", [converted, valued])
def test_rates_in_any_order_with_empty_cells_and_an_own_rate_of_one_pass(result, door: Callable) -> None:
    door(result, with_own(1.0))
    door(result, at(RATES, LATE, "rate", None).sample(fraction=1, shuffle=True, seed=1))
    door(result, RATES.with_columns(pl.col("date").cast(pl.String)))


@pytest.mark.parametrize("factor", [0.45, 0.6, 2.2])
def test_a_devaluation_is_a_warning_and_a_note_and_moves_returns(result, factor: float) -> None:
    rates = from_day(LATE, factor)
    with pytest.warns(mi.MarketImpactWarning, match=f"HKD on {DAYS[LATE]}"):
        market = result.market.in_currency("USD", rates)
    assert any(f"HKD on {DAYS[LATE]}" in note for note in market.notes)
    with pytest.warns(mi.MarketImpactWarning, match="HKD"):
        mi.dollar_effect(result, 0, 1, shares=SHARES, rates=rates)
    day = next(d for d in market.panel.filter(pl.col("symbol") == "0981.HK")["date"] if d >= DAYS[LATE])
    before = result.market.panel.filter(pl.col("symbol") == "0981.HK", pl.col("date") == day)["ret"].item()
    after = market.panel.filter(pl.col("symbol") == "0981.HK", pl.col("date") == day)["ret"].item()
    assert (1 + after) / (1 + before) == pytest.approx(factor, rel=0.01)


def test_returns_lost_for_lack_of_a_rate_are_counted(result) -> None:
    gap = pl.col("date").is_between(DAYS[400], DAYS[430])
    market = result.market.in_currency("USD", RATES.filter(~gap))
    lost = market.panel["ret"].null_count() - result.market.panel["ret"].null_count()
    assert lost > 20
    assert f"{lost} returns are missing for lack of an exchange rate at most five days old" in market.notes


@pytest.mark.parametrize("count", [0.0, -1.0, float("inf"), float("nan"), 1e308, 1e-308])
def test_shares_that_are_no_count_are_refused_at_both_doors(result, count: float) -> None:
    shares = at(SHARES, 1, "shares", count)
    for door in (result.market.volumes, lambda given: mi.dollar_effect(result, 0, 1, shares=given, rates=RATES)):
        with pytest.raises(mi.DataError, match=r"not above zero and finite, the first of 0981\.HK"):
            door(shares)
        with pytest.raises(mi.DataError, match="more than one row"):
            door(pl.concat([SHARES, SHARES]))


@pytest.mark.parametrize("currency", [None, "", 5])
def test_a_currency_that_is_none_is_refused(currency):
    with pytest.raises(mi.SpecificationError, match="is no currency"):
        mi.Market.load(mi.securities(), mi.SamplePrices()).in_currency(currency, pl.DataFrame())
