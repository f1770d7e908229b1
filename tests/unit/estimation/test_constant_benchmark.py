"""A benchmark without variation identifies no beta: its events go to attrition, in every model that estimates one."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import marketimpact as mi
from marketimpact.core import limits
from tests.conftest import WITH_ARGUMENTS
from tests.unit.market.drawn_returns import (
    DAYS,
    N_DAYS,
    NAMES,
    events,
    factors,
    firm_returns,
    index_returns,
    rows,
    series,
)

STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(-2, 2))
INDEX = index_returns()
PATH = 100.0 * 1.0001 ** np.arange(N_DAYS + 1)
CONSTANT = {
    "zero": np.zeros(N_DAYS),
    "0.003": np.full(N_DAYS, 0.003),
    "-0.0007": np.full(N_DAYS, -0.0007),
    "a ratio of prices": PATH[1:] / PATH[:-1] - 1.0,
    "a mean": np.full((30, N_DAYS), 0.003).mean(axis=0) + np.random.default_rng(0).normal(0.0, 1e-19, N_DAYS),
    "rounding of 0.1": 0.003 + np.random.default_rng(1).choice([-1.0, 0.0, 1.0], N_DAYS) * np.spacing(0.003),
}
#: Models that read the benchmark and estimate a slope on it.
WITH_SLOPE = [
    name
    for name, model in mi.MODELS.items()
    if name not in WITH_ARGUMENTS
    and not model().design.imposed
    and {"market", "market_since_trade"} & {term.column for term in model().design.regressors}
]


def market(benchmark: np.ndarray, names: list[str] = NAMES) -> mi.Market:
    ret = firm_returns(INDEX, n_firms=len(names))
    return mi.Market.from_returns(rows(ret, names=names), series(benchmark), factors())


def model_of(name: str) -> mi.models.Model:
    return mi.MODELS[name]()


def test_the_models_with_a_slope_are_most() -> None:
    assert {"market_model", "capm", "capm_restricted", "scholes_williams", "dimson_1_1", "huber", "theil_sen",
            "trade_to_trade", "garch11", "egarch11", "market_plus_sox"} <= set(WITH_SLOPE)  # fmt: skip


@pytest.mark.parametrize("name", WITH_SLOPE)
@pytest.mark.parametrize("benchmark", CONSTANT.values(), ids=CONSTANT)
def test_a_constant_benchmark_is_a_reason_in_every_model(name: str, benchmark: np.ndarray) -> None:
    result = STUDY.but(model=model_of(name)).run(events(), market(benchmark))
    assert result.attrition["reason"].unique().to_list() == ["singular_regressors"]
    assert result.attrition.height == events().height
    assert "constant" in result.attrition["detail"][0]


def test_a_benchmark_that_is_only_subtracted_may_be_constant() -> None:
    result = STUDY.but(model=mi.MarketAdjusted()).run(events(), market(CONSTANT["0.003"]))
    day0 = result.abnormal_returns.filter(pl.col("tau") == 0, pl.col("event_id") == "260:F00")["ar"].item()
    assert day0 == pytest.approx(firm_returns(INDEX)[0, 260] - 0.003)


@pytest.mark.filterwarnings("ignore:The variance model of", "ignore:EGARCH's persistence is negative")
@pytest.mark.parametrize("name", WITH_SLOPE)
def test_only_the_events_whose_window_is_constant_go(name: str) -> None:
    quiet = np.where(np.arange(N_DAYS) < 252, 0.003, INDEX)
    mixed = events(days=(262, 285))
    result = STUDY.but(model=model_of(name), estimation_window=(-90, -11)).run(mixed, market(quiet))
    gone = set(result.attrition.filter(pl.col("reason") == "singular_regressors")["event_id"])
    assert gone == {event for event in mixed["event_id"] if event.startswith("262")}


@pytest.mark.filterwarnings("ignore:The variance model of", "ignore:EGARCH's persistence is negative")
@pytest.mark.parametrize("name", [name for name in WITH_SLOPE if name != "egarch11"])
def test_a_small_but_real_variation_is_none_of_it(name: str) -> None:
    small = 1e-4 * INDEX  # a standard deviation of 1e-6
    result = STUDY.but(model=model_of(name)).run(events(days=(275,)), market(small))
    assert result.attrition.is_empty()


def test_plain_and_compiled_paths_agree(monkeypatch) -> None:
    names = [f"F{k:03}" for k in range(100)]
    quiet = np.where(np.arange(N_DAYS) < 255, CONSTANT["a ratio of prices"], INDEX)
    mixed = events(days=(262, 285), names=names)
    data = market(quiet, names)
    for model in (mi.MarketModel(), mi.Capm(), mi.CapmRestricted(), mi.FactorModel(("market", "smb")), mi.Dimson()):
        found = []
        for least in (1, 10**9):
            monkeypatch.setattr(limits, "COMPILED_FIT_EVENTS", least)
            monkeypatch.setattr(limits, "COMPILED_FIT_EVENTS_ONCE_LOADED", least)
            found.append(STUDY.but(model=model, estimation_window=(-90, -11)).run(mixed, data))
        one, other = found
        assert_frame_equal(one.attrition, other.attrition)
        assert one.attrition.height == 100
        assert_frame_equal(one.estimates, other.estimates, check_exact=True)


def test_constant_factors_are_no_regressors() -> None:
    flat = factors().with_columns(pl.lit(0.0021).alias("smb"))
    data = mi.Market.from_returns(rows(firm_returns(INDEX)), series(INDEX), flat)
    for model in (mi.FamaFrench3(), mi.FamaFrench5(), mi.Carhart(), mi.FactorModel(("market", "smb"))):
        assert STUDY.but(model=model).run(events(), data).attrition["reason"].unique().to_list() == [
            "singular_regressors"
        ]
    with pytest.raises(mi.DataError, match="constant or collinear"):
        mi.calendar_time(events(), data, (0, 5), factors=("smb",))
    assert len(DAYS) == N_DAYS


@pytest.mark.filterwarnings("ignore:The variance model of", "ignore:EGARCH's persistence is negative")
# trade-to-trade returns have no constant: there the benchmark is collinear with the sessions, relative to 1e-10
@pytest.mark.parametrize("name", [name for name in WITH_SLOPE if name != "trade_to_trade"])
def test_rounding_of_prices_in_single_precision_is_no_variation(name: str) -> None:
    """A cash index until ten sessions before the event, a real one from then on."""
    prices = (100 * 1.0001 ** np.arange(N_DAYS + 1)).astype(np.float32)
    cash = (prices[1:] / prices[:-1] - 1).astype(np.float64)
    mixed = np.where(np.arange(N_DAYS) < 265, cash, INDEX)
    result = STUDY.but(model=model_of(name)).run(events(days=(275,)), market(mixed))
    assert result.attrition["reason"].unique().to_list() == ["singular_regressors"]
