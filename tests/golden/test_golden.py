"""Every golden row of the models and tests that exist, at the tolerance the golden README states."""

from __future__ import annotations

import math

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.inference import mean_correlation
from tests.conftest import golden

SETS = ("clustered", "unclustered", "mixed")
MODELS = {
    "market_model": mi.MarketModel(),
    "market_adjusted": mi.MarketAdjusted(),
    "mean_adjusted": mi.MeanAdjusted(),
    "ff3": mi.FamaFrench3(),
    "market_plus_sox": mi.FactorModel(("market", "sox")),
}
WINDOWS = ("0:0", "-1:1", "0:5", "-5:5")
#: The README's tolerance; the files carry 12 significant digits.
RELATIVE = 1e-9
#: Below this a figure is rounding noise of numbers of order one, and relative error says nothing.
ABSOLUTE = 1e-13


def close(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is None and theirs is None
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    return math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


@pytest.fixture(scope="module")
def results(golden_market, golden_study):
    return {
        (events, name): golden_study.but(model=model).run(golden(f"events_{events}"), golden_market)
        for events in SETS
        for name, model in MODELS.items()
    }


def expected(kind: str, events: str, model: str) -> pl.DataFrame:
    return golden(f"{kind}_{events}").filter(pl.col("model") == model)


CASES = [(e, m) for e in SETS for m in MODELS if expected("ar", e, m).height or expected("car", e, m).height]


@pytest.mark.parametrize(("events", "model"), [c for c in CASES if expected("ar", *c).height])
def test_abnormal_returns(results, events, model):
    theirs = expected("ar", events, model)
    ours = results[events, model].abnormal_returns
    both = theirs.join(
        ours,
        left_on=["event_id", "offset"],
        right_on=["event_id", "tau"],
        how="left",
        suffix="_ours",
        validate="1:1",
    )
    assert both.height == theirs.height >= 250
    for column in ("ar", "se", "sar"):
        wrong = [r for r in both.iter_rows(named=True) if not close(r[f"{column}_ours"], r[column])]
        assert wrong == [], column
    assert (both["date"] == both["date_ours"]).all()
    assert (both["symbol"] == both["symbol_ours"]).all()


@pytest.mark.parametrize(("events", "model"), [c for c in CASES if expected("car", *c).height])
def test_cumulative_abnormal_returns(results, events, model):
    theirs = expected("car", events, model)
    compared = 0
    for window in WINDOWS:
        first, last = map(int, window.split(":"))
        ours = results[events, model].car(first, last).drop_nulls("car")
        part = theirs.filter(pl.col("win") == window).drop_nulls("car")
        assert set(ours["event_id"]) == set(part["event_id"])
        both = part.join(ours, on="event_id", how="left", suffix="_ours", validate="1:1")
        for mine, gold in (
            ("car_ours", "car"), ("se", "se_exact"), ("t_ours", "t"), ("p_ours", "p"), ("bhar_ours", "bhar"),
            ("n_days_ours", "n_days"), ("df_ours", "df"),
        ):  # fmt: skip
            assert [r for r in both.iter_rows(named=True) if not close(r[mine], r[gold])] == [], (
                window,
                mine,
            )
        compared += both.height
    assert compared == theirs.drop_nulls("car").height >= 80


@pytest.mark.parametrize(("events", "model"), [c for c in CASES if expected("car", *c).height])
def test_coefficients(results, events, model):
    theirs = expected("car", events, model).unique("event_id").select("event_id", "n_est", "s", "coef")
    both = theirs.join(results[events, model].estimates, on="event_id", how="left", validate="1:1")
    names = [c for c in results[events, model].estimates.columns if c == "alpha" or c.startswith("beta")]
    assert both.height == theirs.height > 20
    for row in both.iter_rows(named=True):
        assert row["n_obs"] == row["n_est"]
        assert close(row["sigma"], row["s"])
        if model != "market_adjusted":  # its slope is imposed, so the file's "coefficients" are not estimates
            given = [float(value) for value in str(row["coef"]).split()]
            assert len(given) == len(names)
            assert all(close(row[name], value) for name, value in zip(names, given, strict=True))


@pytest.mark.parametrize("test", list(mi.TESTS))
@pytest.mark.parametrize(("events", "model"), [c for c in CASES if expected("tests", *c).height])
def test_tests_over_events(results, events, model, test):
    theirs = expected("tests", events, model).filter(pl.col("test") == test)
    if theirs.is_empty():
        # the golden program offers the portfolio regression for one date only
        assert test == "portfolio_regression"
        assert events != "clustered"
        return
    assert theirs.height == len(WINDOWS)
    for row in theirs.iter_rows(named=True):
        first, last = map(int, row["win"].split(":"))
        ours = results[events, model].test(first, last, tests=[test]).row(0, named=True)
        for mine, gold in (("estimate", "estimate"), ("statistic", "stat"), ("p_value", "p")):
            assert close(ours[mine], float(row[gold])), (row["win"], mine, ours[mine], row[gold])
        assert ours["n_events"] == row["n"]
        if row["df"] is not None:
            assert ours["df"] == float(row["df"])
        if row["se"] is not None:
            assert close(ours["se"], float(row["se"]))


@pytest.mark.parametrize("events", SETS)
def test_mean_correlation(results, events):
    for row in golden("mean_correlation").filter(pl.col("set") == events).iter_rows(named=True):
        first, last = map(int, row["win"].split(":"))
        sample = results[events, "market_model"].sample(first, last)
        assert close(mean_correlation(sample).value, row["r_bar_overlap"])
        assert sample.n == row["n"]


def test_attrition(results):
    theirs = golden("dropped").filter(pl.col("model").is_in(list(MODELS)))
    assert theirs.height == 12
    for row in theirs.iter_rows(named=True):
        ours = results[row["set"], row["model"]].attrition
        assert ours["event_id"].to_list() == [row["event_id"]]
        assert ours["reason"].to_list() == ["too_few_observations"]
        assert ours["detail"][0].startswith(row["reason"])
