"""Two ways to the same numbers: compiled kernels for many events, arrays for few. Not one bit may differ."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact import fitting
from marketimpact.inference import rowwise

SESSIONS, SYMBOLS, EVENTS = 320, 12, 60
DAYS = [date(2021, 1, 1) + timedelta(n) for n in range(SESSIONS)]
MODELS = [
    mi.MarketModel(),
    mi.MeanAdjusted(),
    mi.MarketAdjusted(),
    mi.ComparisonPeriodMean(),
    mi.Capm(),
    mi.CapmRestricted(),
    mi.FamaFrench3(),
    mi.Dimson(),
    mi.ScholesWilliams(),
    mi.TradeToTrade(),
]


@pytest.fixture(scope="module")
def world() -> tuple[pl.DataFrame, mi.Market]:
    """Simulated: days missing, securities listed late, events near both ends; firms and dates repeat."""
    rng = np.random.default_rng(3)
    factors = rng.normal(0, 0.01, (SESSIONS, 3))
    returns = rng.uniform(0.5, 1.5, (SYMBOLS, 1)) * factors[:, 0] + rng.normal(0, 0.02, (SYMBOLS, SESSIONS))
    returns[rng.random(returns.shape) < 0.02] = np.nan
    returns[:2, :150] = np.nan
    names = [f"S{k:02d}" for k in range(SYMBOLS)]
    frame = pl.DataFrame(
        {"symbol": np.repeat(names, SESSIONS), "date": DAYS * SYMBOLS, "ret": returns.ravel()},
        schema_overrides={"symbol": pl.String},
    ).with_columns(pl.col("ret").fill_nan(None))
    known = {name: factors[:, k] for k, name in enumerate(("mktrf", "smb", "hml"))}
    market = mi.Market.from_returns(
        frame,
        pl.DataFrame({"date": DAYS, "ret": factors[:, 0]}),
        pl.DataFrame({"date": DAYS, **known, "rf": np.full(SESSIONS, 1e-4)}),
    )
    day = rng.choice([35, 60, 200, 201, 250, 310, SESSIONS - 1], EVENTS)
    events = pl.DataFrame(
        {
            "event_id": [f"E{k:03d}" for k in range(EVENTS)],
            "symbol": [names[k % SYMBOLS] for k in range(EVENTS)],
            "date": [DAYS[k] for k in day],
        }
    )
    return events, market


def run(world: tuple[pl.DataFrame, mi.Market], model: mi.models.Model, **options: object) -> mi.StudyResult:
    events, market = world
    study = mi.EventStudy(
        model=model, estimation_window=(-150, -11), event_window=(-3, 3), min_observations=30, **options
    )
    return study.run(events, market)


def assert_same_bits(one: mi.StudyResult, other: mi.StudyResult) -> None:
    a, b = one.estimates_, other.estimates_
    for name in fitting.DAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in a.fit.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(a.fit, name), getattr(b.fit, name), err_msg=name)
    np.testing.assert_array_equal(a.residuals, b.residuals)
    assert one.attrition.equals(other.attrition)


@pytest.mark.parametrize("model", MODELS, ids=[model.name for model in MODELS])
def test_kernels_and_arrays_give_the_same_bits(world, model, monkeypatch):
    few = run(world, model)
    assert few.events.height > 20
    assert few.attrition.height > 3
    assert np.isnan(few.estimates_.ar).any()
    assert np.isnan(few.estimates_.residuals).any()
    monkeypatch.setattr(fitting, "MANY", 0)
    monkeypatch.setattr(fitting, "CHUNK", 1)
    assert_same_bits(few, run(world, model))


def test_excluded_days_are_excluded_in_both(world, monkeypatch):
    events, market = world
    days = mi.contaminated_days(events, market, near=2)
    few = run(world, mi.MarketModel(), exclude=days)
    assert (few.estimates_.fit.n_obs < run(world, mi.MarketModel()).estimates_.fit.n_obs.max()).any()
    monkeypatch.setattr(fitting, "MANY", 0)
    monkeypatch.setattr(fitting, "CHUNK", 1)
    assert_same_bits(few, run(world, mi.MarketModel(), exclude=days))


@pytest.mark.parametrize("window", [(0, 0), (-1, 2)])
def test_tests_do_not_depend_on_how_residuals_are_read(world, window, monkeypatch):
    """All tests but those that draw, with seven events at a time and nothing kept, against all at once."""
    whole = run(world, mi.MarketModel()).test(*window, tests="all")
    monkeypatch.setattr(rowwise, "CHUNK", 7)
    monkeypatch.setattr(rowwise, "KEPT", 0)
    read = run(world, mi.MarketModel()).test(*window, tests="all")
    assert read["test"].to_list() == whole["test"].to_list()
    for name in ("statistic", "p_value"):
        np.testing.assert_allclose(read[name].to_numpy(), whole[name].to_numpy(), rtol=1e-9, err_msg=name)
    assert whole["statistic"].is_not_nan().sum() > 25
