"""The specification, the result and its questions, and what they answer to bad input."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import marketimpact as mi
from tests.conftest import golden


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    """Five dates, firms that repeat, a column of the caller's own."""
    frame = golden("events_mixed")
    return frame.with_columns(
        pl.col("event_id").str.slice(0, 2).alias("wave"), pl.col("symbol").str.slice(0, 2).alias("region")
    )


@pytest.fixture(scope="module")
def result(golden_market, golden_study, events) -> mi.StudyResult:
    return golden_study.run(events, golden_market)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimation_window": (-11, -250)}, "is reversed"),
        ({"event_window": (5, -5)}, "is reversed"),
        ({"estimation_window": (-250, -5)}, "reaches into event_window"),
        ({"estimation_window": (-250, -10)}, "reaches into event_window"),
        ({"event_window": (1.5, 2)}, "whole numbers"),
        ({"event_window": 5}, "give two sessions"),
        ({"min_observations": 3}, "must lie between 7"),
        ({"min_observations": 500}, "must lie between"),
        ({"model": mi.MarketModel}, "with brackets"),
        ({"model": "market_model"}, "is not a model value"),
    ],
)
def test_a_wrong_specification_raises_when_it_is_built(options, message):
    with pytest.raises(mi.SpecificationError, match=message):
        mi.EventStudy(**options)


def test_but_changes_a_copy():
    study = mi.EventStudy()
    other = study.but(event_window=(-1, 1))
    assert (study.event_window, other.event_window) == ((-10, 10), (-1, 1))
    with pytest.raises(mi.SpecificationError, match="no option event_windw"):
        study.but(event_windw=(-1, 1))


@pytest.mark.parametrize("factors", ["sox", (), ("sox", "sox")])
def test_wrong_factors_are_refused(factors):
    with pytest.raises(mi.SpecificationError):
        mi.FactorModel(factors)


def test_a_factor_the_market_lacks_is_named(events):
    market = mi.Market.from_returns(golden("returns"), golden("market"))
    with pytest.raises(
        mi.SpecificationError, match="ff3 needs the factors mktrf, smb, hml, rf; this market has market"
    ):
        mi.EventStudy(model=mi.FamaFrench3(), estimation_window=(-200, -11)).run(events, market)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: pl.concat([f, f.head(1)]), "must not repeat"),
        (lambda f: f.drop("symbol"), "lacks the column 'symbol'"),
        (lambda f: f.head(0), "has no rows"),
        (lambda f: f.with_columns(pl.col("date").cast(pl.String)), "must be Date"),
        (lambda f: f.with_columns(pl.lit(None, dtype=pl.String).alias("event_id")), "must not be empty"),
    ],
)
def test_broken_events_are_refused_at_the_door(golden_market, golden_study, events, change, message):
    with pytest.raises(mi.DataError, match=message):
        golden_study.run(change(events), golden_market)


def test_events_that_cannot_be_used_are_explained(golden_market, golden_study, events):
    odd = pl.DataFrame(
        {
            "event_id": ["before", "after", "stranger", "undated", "early"],
            "symbol": ["US01", "US01", "ZZZ", "US01", "US01"],
            "date": [date(2021, 1, 4), date(2024, 1, 4), date(2023, 1, 4), None, date(2022, 2, 1)],
        }
    )
    result = golden_study.run(pl.concat([events.select(odd.columns), odd]), golden_market)
    reasons = dict(result.attrition.select("event_id", "reason").iter_rows())
    assert reasons == {
        "M2_07": "too_few_observations",
        "after": "after_data",
        "before": "before_data",
        "early": "too_few_observations",
        "stranger": "unknown_symbol",
        "undated": "no_date",
    }
    assert set(result.events["event_id"]).isdisjoint(reasons)


def test_attrition_is_that_of_the_events_that_meet_a_condition(golden_market, golden_study, events):
    odd = events.head(3).with_columns(
        event_id=pl.Series(["undated", "stranger", "after"]),
        symbol=pl.Series(["US01", "ZZZ", "US01"]),
        date=pl.Series([None, date(2023, 1, 4), date(2024, 1, 4)], dtype=pl.Date),
        region=pl.Series(["US", None, "CN"]),
        note=pl.Series(["x", "y", "z"]),
    )
    result = golden_study.run(pl.concat([events, odd], how="diagonal"), golden_market)

    def unused(condition: pl.Expr) -> list[str]:
        return result.where(condition).attrition["event_id"].to_list()

    assert unused(pl.lit(value=True)) == ["M2_07", "after", "stranger", "undated"]
    assert unused(pl.col("region") == "US") == ["undated"]
    assert unused(pl.col("region").is_null()) == ["stranger"]
    assert unused(pl.col("note") == "z") == ["after"]
    assert unused(pl.col("mic").is_null()) == ["stranger"]
    assert unused(pl.col("date") > date(2023, 12, 31)) == ["after"]
    assert unused(pl.col("date_given").is_null()) == ["undated"]
    assert "not used" not in repr(result.where(pl.col("wave") == "M5"))
    # a condition on all events is one on used and unused ones together
    every = pl.concat([result.events.select("event_id"), result.unused.select("event_id")])
    assert unused(pl.col("event_id").rank() > every.height - 3) == sorted(every["event_id"])[-3:]
    signed = result.where(pl.col("note").is_null()).signed({"US": 1, "CN": 1, "TW": -1}, by="region")
    assert signed.where(pl.col("direction") == 1).attrition.is_empty()
    groups = {values[0]: group for values, group in result.by("region").groups()}
    assert groups["US"].attrition["event_id"].to_list() == ["undated"]


def test_singular_regressors_and_constant_returns_are_attrition(golden_study):
    market = golden("market").with_columns(pl.lit(0.01).alias("ret"))
    events = golden("events_clustered").head(3)
    flat = golden_study.run(events, mi.Market.from_returns(golden("returns"), market))
    assert flat.attrition["reason"].to_list() == ["singular_regressors"] * 3
    still = golden("returns").with_columns(pl.lit(0.001).alias("ret"))
    result = golden_study.run(events, mi.Market.from_returns(still, golden("market")))
    assert result.attrition["reason"].to_list() == ["no_variation"] * 3
    assert result.events.height == 0
    assert "not used: 3" in repr(result)


def test_a_study_in_which_nothing_is_left_still_answers(golden_market, golden_study):
    events = pl.DataFrame({"event_id": ["a"], "symbol": ["ZZZ"], "date": [date(2023, 1, 4)]})
    result = golden_study.run(events, golden_market)
    assert result.abnormal_returns.height == 0
    assert result.car(-1, 1).height == 0
    assert result.caar()["n_events"].to_list() == [0] * 11
    tests = result.test(0, 0)
    assert tests["statistic"].is_nan().all()
    assert not tests["valid"].any()


def test_one_event_only(golden_market, golden_study, events):
    result = golden_study.run(events.head(1), golden_market)
    tests = {row["test"]: row for row in result.test(0, 0).iter_rows(named=True)}
    assert tests["portfolio_regression"]["p_value"] == pytest.approx(result.car(0, 0)["p"].item(), rel=1e-9)
    for name in ("bmp", "bmp_kp", "cross_sectional_t", "grank_t"):
        assert tests[name]["statistic"] != tests[name]["statistic"]  # nan
        assert "at least 2 events" in tests[name]["note"]
        assert tests[name]["valid"] is False
    assert tests["generalized_sign"]["valid"] is False


def test_a_window_outside_the_event_window_is_refused(result):
    with pytest.raises(mi.SpecificationError, match="reaches outside"):
        result.car(-6, 0)
    with pytest.raises(mi.SpecificationError, match="is reversed"):
        result.test(1, -1)


def test_unknown_names_are_refused_with_the_known_ones(result):
    with pytest.raises(mi.SpecificationError, match="There are: bmp_kp"):
        result.test(0, 0, tests=["students"])
    with pytest.raises(mi.SpecificationError, match="is no column of the events"):
        result.by("colour")
    with pytest.raises(mi.SpecificationError, match="Events are named like M1_01"):
        result.inspect("nope")
    with pytest.raises(mi.SpecificationError, match="was not used: too_few_observations"):
        result.inspect("M2_07")


def test_own_columns_travel_and_groups_ask_the_same_question(result, events):
    car = result.car(-1, 1)
    assert {"wave", "region"} <= set(car.columns)
    assert car.height == result.events.height == 39
    groups = result.by("wave").test(0, 0, tests=["bmp"])
    for row in groups.iter_rows(named=True):
        alone = result.where(pl.col("wave") == row["wave"]).test(0, 0, tests=["bmp"])
        assert_frame_equal(groups.filter(pl.col("wave") == row["wave"]).drop("wave"), alone, check_exact=True)
    assert groups["wave"].to_list() == ["M1", "M2", "M3", "M4", "M5"]
    path = result.by("wave", "region").caar(-1, 1)
    assert path.columns[:3] == ["wave", "region", "tau"]


def test_caar_is_the_mean_of_cars_and_the_band_knows_what_is_shared(result, golden_market, golden_study):
    path = result.caar(-2, 2)
    for row in path.iter_rows(named=True):
        assert row["caar"] == pytest.approx(result.car(-2, row["tau"])["car"].mean(), abs=1e-15)
    # two of the dates are three days apart
    assert set(path["band"]) == {"forecast error of portfolios, scaled by the spread of SCARs"}
    alone = golden_study.run(golden("events_unclustered"), golden_market).caar(0, 0).row(0, named=True)
    assert alone["band"] == "spread over dates"
    car = golden_study.run(golden("events_unclustered"), golden_market).car(0, 0)["car"]
    assert alone["se"] == pytest.approx(car.std() / len(car) ** 0.5)
    with pytest.raises(mi.SpecificationError, match="level"):
        result.caar(level=95)


def test_a_path_on_a_base_is_0_there_and_cumulates_both_ways(golden_market, golden_study):
    result = golden_study.run(golden("events_unclustered"), golden_market)
    path = result.caar(-3, 3, base=-1)
    assert path["tau"].to_list() == list(range(-3, 4))
    wide = result.abnormal_returns.pivot("tau", index="event_id", values="ar").drop("event_id")
    for tau, value in path.select("tau", "caar").iter_rows():
        days, sign = (range(0, tau + 1), 1) if tau > -1 else (range(tau + 1, 0), -1)
        ar = wide.select(map(str, days)).to_numpy() if days else np.zeros((1, 1))
        cars = np.nansum(ar[~np.isnan(ar).all(axis=1)], axis=1)
        assert value == pytest.approx(sign * cars.mean(), abs=1e-15)
    for tau, start, end in ((2, 0, 2), (-3, -2, -1)):
        row, alone = path.row(tau + 3, named=True), result.caar(start, end).row(-1, named=True)
        assert (row["se"], row["n_events"]) == (alone["se"], alone["n_events"])
        assert row["ci_high"] - row["caar"] == pytest.approx(alone["ci_high"] - alone["caar"], rel=1e-12)
    assert path.row(2, named=True)["ci_low"] == path.row(2, named=True)["ci_high"] == 0
    grouped = result.by("event_id").caar(-2, 0, base=-1)
    assert grouped.filter(tau=-1)["caar"].unique().to_list() == [0]
    with pytest.raises(mi.SpecificationError, match=r"base=4 is not a session of the path from -3 to 3\. Give one"):
        result.caar(-3, 3, base=4)


def test_validity_follows_the_events(golden_market, golden_study):
    """methods.md section 6: what a shared date does to each test."""
    shared = golden_study.run(golden("events_clustered"), golden_market).test(0, 0)
    valid = dict(shared.select("test", "valid").iter_rows())
    assert valid["bmp_kp"]
    assert not valid["grank_t"]
    assert "8 to 9 of 100 samples" in shared.filter(pl.col("test") == "grank_t")["note"].item()
    for name in ("bmp", "patell_scar", "cross_sectional_t", "generalized_sign"):
        assert not valid[name]
        assert "share days" in shared.filter(pl.col("test") == name)["note"].item()
    assert all("cannot be distinguished from a common shock" in note for note in shared["note"])
    assert shared["valid"].to_list() == sorted(shared["valid"], reverse=True)
    assert shared["test"][0] == "bmp_kp"
    assert shared["role"].to_list().count("primary") == 1
    separate = golden_study.run(golden("events_unclustered"), golden_market).test(0, 0)
    assert {"cross_sectional_t", "bmp", "bmp_kp"} <= set(separate.filter("valid")["test"])
    assert not any("common shock" in note for note in separate["note"])


def test_repr_is_the_answer(result, golden_market, golden_study):
    text = repr(result)
    assert "market_model, estimated over [-200, -11]" in text
    assert "39 events" in text
    assert "not used: 1 (too_few_observations 1)" in text
    assert "SIMULATED" not in text
    one_date = repr(golden_study.run(golden("events_clustered"), golden_market))
    assert "no test can distinguish a common effect" in one_date
    assert "<table" in result._repr_html_()


def test_names_in_the_notebook_are_escaped(golden_market, golden_study):
    nasty = golden("events_clustered").head(2).with_columns(pl.lit("<script>x</script>").alias("note"))
    assert "<script>" not in golden_study.run(nasty, golden_market)._repr_html_()


def test_the_record_has_no_clock_and_no_path(golden_market, golden_study, events):
    one = golden_study.run(events, golden_market).record
    assert one == golden_study.run(events.reverse(), golden_market).record
    assert one["study"] == repr(golden_study)
    assert len(one["market_sha256"]) == len(one["events_sha256"]) == 64
    moved = events.with_columns(pl.col("date").dt.offset_by("1d"))
    assert golden_study.run(moved, golden_market).record["events_sha256"] != one["events_sha256"]
    assert not any("/" in value for value in one.values())


def test_registries_can_be_read():
    assert {"mean_adjusted", "market_adjusted", "market_model", "factor_model", "ff3", "dimson_lag1"} <= set(mi.MODELS)
    assert "bmp_kp" in mi.TESTS
    for name, test in mi.TESTS.items():
        assert test.name == name
        assert test.null
        assert test.distribution
        assert test.source


def test_two_dates_in_one_cluster_are_not_called_one_date(golden_market, golden_study, events):
    """Two waves that a study clusters as one, and two dates whose windows are connected."""
    two_waves = events.filter(pl.col("wave").is_in(["M1", "M2"])).with_columns(pl.lit("all").alias("campaign"))
    clustered = golden_study.run(two_waves, golden_market).clustered("campaign")
    assert clustered.events["date"].n_unique() == 2
    notes = [note for note in clustered.test(0, 1, tests="all")["note"] if note]
    assert any("one cluster of 2 dates" in note for note in notes)
    assert not [note for note in notes if "one date" in note and "needs one date" not in note]
    one_date = golden_study.run(two_waves.filter(pl.col("wave") == "M1"), golden_market).test(0, 1, tests="all")
    assert one_date["note"].str.contains("one date").any()
