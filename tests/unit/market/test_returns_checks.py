"""Findings about returns handed in: zeros for missing returns, benchmarks made of the sample, total losses."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from tests.unit.market.drawn_returns import (
    DAYS,
    N_DAYS,
    NAMES,
    at,
    events,
    firm_returns,
    index_returns,
    rows,
    series,
)

INDEX = index_returns()
RET = firm_returns(INDEX)


def findings(ret: np.ndarray, benchmark: np.ndarray = INDEX, **options: bool) -> pl.DataFrame:
    market = mi.Market.from_returns(rows(ret), series(benchmark).with_columns(pl.col("ret").fill_nan(None)), **options)
    for name in market.findings["finding"].unique():
        assert any(note.startswith(f"{name}: ") for note in market.notes)
        assert "warnings about prices" in repr(market)
    return market.findings


def with_zeros(days: np.ndarray, firm: int = 3) -> np.ndarray:
    changed = RET.copy()
    changed[firm, days] = 0.0
    return changed


def test_ordinary_returns_have_no_finding() -> None:
    assert findings(RET).is_empty()
    ticks = np.where(np.random.default_rng(3).random(RET.shape) < 0.12, 0.0, RET)
    assert findings(ticks).is_empty()


def test_zeros_in_place_of_missing_returns_are_found() -> None:
    days = np.random.default_rng(3).choice(N_DAYS, 100, replace=False)
    row = findings(with_zeros(days)).row(0, named=True)
    assert (row["symbol"], row["finding"], row["severity"], row["value"]) == ("F03", "zero_returns", "warning", 100.0)
    assert row["date"] == DAYS[days.min()]
    assert "100 of 300 returns are exactly zero (33%)" in row["detail"]


def test_a_run_of_zeros_is_found_where_other_returns_do_not_explain_it() -> None:
    row = findings(with_zeros(np.arange(40, 46))).row(0, named=True)
    assert (row["finding"], row["value"], row["date"]) == ("zero_returns", 6.0, DAYS[40])
    assert findings(with_zeros(np.arange(40, 44))).is_empty()


def test_days_that_nobody_traded_are_found() -> None:
    ret, benchmark = RET.copy(), INDEX.copy()
    ret[:, [50, 51, 60]] = 0.0
    benchmark[50], benchmark[51] = 0.0, np.nan
    found = findings(ret, benchmark).filter(pl.col("finding") == "zero_day")
    assert found.select("date", "value", "symbol").rows() == [(DAYS[day], 12.0, None) for day in (50, 51, 60)]
    few = findings(ret[:3], benchmark).filter(pl.col("finding") == "zero_day")  # of three firms zero can be chance
    assert found.height == few.height + 1


@pytest.mark.parametrize(
    ("benchmark", "n", "words"),
    [
        (RET.mean(axis=0), 12, "equal-weighted mean of all 12 securities"),
        (RET[2:6].mean(axis=0), 4, "fixed portfolio of 4 of the 12 securities: F02, F03, F04, F05"),
        (RET[[1, 7]].T @ [0.7, 0.3], 2, "fixed portfolio of 2 of the 12"),
        (np.round(RET.mean(axis=0), 6), 12, "equal-weighted mean"),
        (RET[5], 1, "the return of F05 itself"),
        (np.round(RET[5], 6), 1, "the return of F05 itself"),
    ],
)
def test_a_benchmark_made_of_the_sample_is_found(benchmark: np.ndarray, n: int, words: str) -> None:
    row = findings(RET, benchmark).row(0, named=True)
    assert (row["finding"], row["value"]) == ("benchmark_of_sample", n)
    assert words in row["detail"]


def test_the_mean_of_those_that_have_a_return_is_found_and_an_index_is_not() -> None:
    holed = np.where(np.random.default_rng(8).random(RET.shape) < 0.1, np.nan, RET)
    assert findings(holed, np.nanmean(holed, axis=0))["finding"].to_list() == ["benchmark_of_sample"]
    value = np.cumprod(1.0 + RET, axis=1) * np.arange(1, 13)[:, None]
    drifting = (value[:, :-1] * RET[:, 1:]).sum(axis=0) / value[:, :-1].sum(axis=0)
    assert findings(RET, np.append(0.001, drifting)).is_empty()
    assert findings(RET, RET.mean(axis=0) + 0.002 * np.random.default_rng(2).normal(size=N_DAYS)).is_empty()


def test_each_calendar_is_checked_against_its_own_benchmark() -> None:
    first, other = rows(RET[:6], names=NAMES[:6]), rows(RET[6:], names=NAMES[6:])
    returns = pl.concat([first.with_columns(mic=pl.lit("XTAI")), other.with_columns(mic=pl.lit("XHKG"))])
    benchmark = pl.concat(
        [series(INDEX).with_columns(mic=pl.lit("XTAI")), series(RET[6:].mean(axis=0)).with_columns(mic=pl.lit("XHKG"))]
    )
    found = mi.Market.from_returns(returns, benchmark).findings
    assert found["detail"].item().startswith("the benchmark is the equal-weighted mean of all 6 securities")


# --- total loss -----------------------------------------------------------------------------------------

STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(-2, 2))


def lost(day: int, *, later: float = np.nan) -> np.ndarray:
    ret = RET.copy()
    ret[0, day], ret[0, day + 1 :] = -1.0, later
    return ret


@pytest.mark.parametrize("model", [mi.MarketModel(), mi.MeanAdjusted(), mi.TradeToTrade()])
def test_a_total_loss_is_in_car_and_bhar(model) -> None:
    market = mi.Market.from_returns(rows(lost(260)), series(INDEX))
    result = STUDY.but(model=model).run(events(), market)
    row = result.car(0, 0).row(by_predicate=pl.col("event_id") == "260:F00", named=True)
    expected = result.abnormal_returns.filter(pl.col("event_id") == "260:F00", pl.col("tau") == 0)["expected"].item()
    assert row["car"] == pytest.approx(-1.0 - expected)
    assert row["bhar"] == pytest.approx(0.0 - (1.0 + expected))
    assert market.findings.is_empty()


def test_returns_after_a_total_loss_are_found() -> None:
    row = findings(lost(260, later=0.01)).filter(pl.col("finding") == "after_total_loss").row(0, named=True)
    assert (row["symbol"], row["date"], row["value"]) == ("F00", DAYS[260], float(N_DAYS - 261))


def test_a_total_loss_has_no_log_return() -> None:
    for returns, benchmark in ((rows(lost(260)), series(INDEX)), (rows(RET), at(series(INDEX), 260, "ret", -1.0))):
        market = mi.Market.from_returns(returns, benchmark)
        with pytest.raises(mi.DataError, match=rf"no log return: F00 on {DAYS[260]}") as caught:
            market.in_logs()
        assert (caught.value.rows["date"] == DAYS[260]).all()


def test_below_minus_one_stays_an_error() -> None:
    for wrong in (-1.0000001, -2.0):
        with pytest.raises(mi.DataError, match=r"must be above -1, or -1 for a total loss"):
            mi.Market.from_returns(at(rows(RET), 40, "ret", wrong), series(INDEX))


def test_a_foreign_series_that_lost_everything_is_missing_later(sample_market) -> None:
    days = sample_market.sessions.filter(pl.col("mic") == "XNYS")["date"].sort()
    ret = np.where(np.arange(len(days)) == 300, -1.0, 0.001)
    market = sample_market.with_factor("abroad", pl.DataFrame({"date": days, "ret": ret}), mic="XNYS")
    values = market.column("abroad")
    assert np.nanmin(values) == -1.0
    assert not np.isinf(values).any()
    late = market.panel.filter(pl.col("date") > days[302])
    assert late["abroad"].null_count() == late.height


def test_local_holidays_filled_with_zeros_are_found_whatever_the_benchmark_did() -> None:
    days = np.random.default_rng(5).choice(N_DAYS, 16, replace=False)
    filled = RET.copy()
    filled[:, days] = 0.0
    found = findings(filled).filter(pl.col("finding") == "zero_day")
    assert found["date"].to_list() == sorted(DAYS[day] for day in days)
    assert found["value"].unique().to_list() == [len(NAMES)]


def test_one_day_of_the_week_without_trade_is_found() -> None:
    """A fifth of the returns of one firm, and of the benchmark."""
    weekly = np.arange(4, N_DAYS, 5)
    assert findings(with_zeros(weekly))["finding"].to_list() == ["zero_returns"]
    quiet = INDEX.copy()
    quiet[weekly] = 0.0
    found = findings(RET, quiet)
    assert found.select("symbol", "finding").row(0) == ("benchmark", "zero_returns")


@pytest.mark.parametrize("kept", [np.arange(0, N_DAYS, 11), np.arange(N_DAYS)[np.arange(N_DAYS) // 10 % 2 == 0]])
def test_returns_of_weeks_or_of_every_second_fortnight_are_no_suspensions(kept: np.ndarray) -> None:
    days = [DAYS[day] for day in kept]
    thin = pl.concat([rows(RET[1:], names=NAMES[1:]), rows(RET[:1, kept], days, NAMES[:1])])
    with pytest.raises(mi.DataError, match=f"1 securities lack more than 2%.*{NAMES[0]}"):
        mi.Market.from_returns(thin, series(INDEX))
