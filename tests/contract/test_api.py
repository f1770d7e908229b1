"""The names that others write against: house.md section 3, as far as it goes."""

from __future__ import annotations

from importlib.metadata import version

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.inference import DEFAULT_TESTS, ON_REQUEST
from tests.conftest import WITH_ARGUMENTS

COLUMNS = {
    "estimates": ["event_id", "alpha", "beta", "sigma", "n_obs", "r2"],
    "abnormal_returns": ["event_id", "symbol", "date", "tau", "ret", "expected", "ar", "se", "sar"],
    "attrition": ["event_id", "reason", "detail"],
}


@pytest.fixture(scope="module")
def market(sample_market) -> mi.Market:
    return sample_market


@pytest.fixture(scope="module")
def result(market) -> mi.StudyResult:
    events = mi.align(mi.announcements().filter(pl.col("stance") == "restrictive"), market)
    study = mi.EventStudy(model=mi.MarketModel(), estimation_window=(-250, -11), event_window=(-10, 10))
    return study.run(events, market)


@pytest.mark.parametrize("question", list(COLUMNS))
def test_frames_have_their_columns(result, question):
    frame = getattr(result, question)
    assert isinstance(frame, pl.DataFrame)
    assert set(COLUMNS[question]) <= set(frame.columns)


def test_long_frame_is_keyed_by_event_and_tau(result):
    frame = result.abnormal_returns
    assert frame.schema["tau"] == pl.Int64
    assert not frame.select("event_id", "tau").is_duplicated().any()
    assert frame.select("event_id", "tau").equals(frame.select("event_id", "tau").sort("event_id", "tau"))


def test_a_study_file_is_read_and_run():
    plan = mi.read_study("h20")
    assert isinstance(plan.study, mi.EventStudy)
    assert plan.windows[0] == (0, 1)
    assert plan.symbols()
    assert plan.study.event_window[0] <= 0 <= plan.study.event_window[1]
    assert isinstance(plan.run(mi.SamplePrices()).result, mi.StudyResult)
    assert mi.__version__ == version("marketimpact")


def test_questions(result, tmp_path):
    assert {"n_days", "car", "se", "t", "df", "p", "scar", "bhar", "role", "stance"} <= set(result.car(-1, 1).columns)
    path = result.caar(-10, 10)
    assert {"tau", "aar", "caar", "se", "ci_low", "ci_high", "n_events"} <= set(path.columns)
    assert path["tau"].to_list() == list(range(-10, 11))
    tests = result.test(-1, 1)
    assert {"test", "null", "estimate", "statistic", "df", "p_value", "n_events", "valid", "note"} <= set(tests.columns)
    on_request = {test.name for test in ON_REQUEST}
    assert set(tests["test"]) == {test.name for test in DEFAULT_TESTS}
    assert result.where(pl.col("role") == "foundry").test(0, 1).height == len(DEFAULT_TESTS)
    assert "role" in result.by("role").caar().columns
    event_id = result.events["event_id"][0]
    assert result.inspect(event_id).nobs > 60
    few = result.where(pl.col("announcement_id").str.starts_with("2025-08"))
    assert set(few.test(-1, 1, tests="all")["test"]) == set(mi.TESTS) - on_request
    assert mi.write_report(few, tmp_path / "deep" / "report.html").exists()
    assert result.plot().to_dict()


def test_announcement_events_are_named(result):
    event_id = "2025-08-12-beijing-discourages-h20:NVDA"
    assert event_id in result.events["event_id"].to_list()


def test_every_aligned_event_is_used_or_explained(market, result):
    events = mi.align(mi.announcements().filter(pl.col("stance") == "restrictive"), market)
    assert events.height == result.events.height + result.attrition.height
    assert "before_data" in result.attrition["reason"].to_list()  # 2018 lies before the sample begins


def test_but_changes_the_model_only(result, market):
    study = mi.EventStudy(event_window=(-1, 1)).but(model=mi.MeanAdjusted())
    assert study.event_window == (-1, 1)
    assert study.model == mi.MeanAdjusted()


def test_registries_hold_what_the_names_say():
    for name, make in mi.MODELS.items():
        if name in WITH_ARGUMENTS:
            continue
        model = make()
        assert model.name in (name, "factor_model(market sox)")
        assert model.design.n_parameters >= 1


def test_true_effects_stand_beside_estimates_on_simulated_prices(result):
    car = result.car(0, 1)
    assert "true_car" in car.columns
    held = car.filter(pl.col("true_car") != 0)
    assert held.height > 50
    # the estimates scatter around the truth by their own standard error
    error = ((held["car"] - held["true_car"]) / held["se"]).drop_nulls()
    assert abs(error.mean()) < 3 / len(error) ** 0.5 * 3
