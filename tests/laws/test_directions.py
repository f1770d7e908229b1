"""Turned abnormal returns and one-sided p-values, against the same study on turned returns."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

import marketimpact as mi
from tests.conftest import golden

DETERMINISTIC = ["bmp_kp", "patell_kp", "portfolio_regression", "crude_dependence", "placebo_caar", "grank_t",
                 "cross_sectional_t", "wild_cluster", "mvrm_average_F", "residual_bootstrap"]  # fmt: skip


@pytest.fixture(scope="module")
def events():
    frame = pl.concat([golden("events_mixed"), golden("events_clustered")])
    # a security keeps one direction, so that the same can be had by turning its returns
    return frame.with_columns(
        pl.when(pl.col("symbol").str.slice(-1).is_in(["1", "3", "5", "7"])).then(pl.lit("permissive"))
        .otherwise(pl.lit("restrictive")).alias("stance")
    )  # fmt: skip


@pytest.mark.parametrize("model", [mi.MarketModel(), mi.FamaFrench3(), mi.Dimson(1, 0), mi.MeanAdjusted()])
def test_turning_events_is_turning_the_returns_of_their_securities(golden_market, golden_study, events, model):
    turned_symbols = events.filter(pl.col("stance") == "permissive")["symbol"].unique().to_list()
    factors = golden("factors").with_columns(rf=pl.lit(0.0))
    plain = mi.Market.from_returns(golden("returns"), golden("market"), factors)
    flipped = mi.Market.from_returns(
        golden("returns").with_columns(
            pl.when(pl.col("symbol").is_in(turned_symbols)).then(-pl.col("ret")).otherwise("ret").alias("ret")
        ),
        golden("market"),
        factors,
    )
    study = golden_study.but(model=model)
    ours = study.run(events, plain).signed({"restrictive": 1, "permissive": -1})
    theirs = study.run(events, flipped)
    keys = ["car", "se", "t", "p", "scar"]
    np.testing.assert_allclose(
        ours.car(-1, 1).select(keys).to_numpy().astype(float),
        theirs.car(-1, 1).select(keys).to_numpy().astype(float),
        rtol=1e-10,
        atol=1e-14,
    )
    ours_tests = ours.test(-1, 1, tests=DETERMINISTIC).sort("test")
    their_tests = theirs.test(-1, 1, tests=DETERMINISTIC).sort("test")
    for column in ("statistic", "p_value"):
        np.testing.assert_allclose(ours_tests[column].to_numpy(), their_tests[column].to_numpy(), rtol=1e-8)


def test_every_event_turned_turns_the_answer(golden_market, golden_study, events):
    result = golden_study.run(events, golden_market)
    turned = result.signed({"restrictive": -1, "permissive": -1})
    assert turned.events["direction"].unique().to_list() == [-1]
    one, other = result.test(0, 1).sort("test"), turned.test(0, 1).sort("test")
    plain = [t for t in one["test"] if t not in ("grank_t", "generalized_sign")]
    for name in plain:
        a, b = (t.row(by_predicate=pl.col("test") == name, named=True) for t in (one, other))
        assert b["statistic"] == pytest.approx(-a["statistic"], rel=1e-9)
        assert b["p_value"] == pytest.approx(a["p_value"], rel=1e-9)
    assert turned.car(0, 1)["bhar"].null_count() == turned.events.height
    back = turned.signed({"restrictive": -1, "permissive": -1})
    assert back.car(0, 1)["car"].equals(result.car(0, 1)["car"])


def test_what_is_put_in_is_turned_too(sample_market):
    market = sample_market
    events = mi.align(mi.announcements().filter(pl.col("stance").is_in(["restrictive", "permissive"])), market)
    result = mi.EventStudy().run(events, market)
    plain, turned = result.car(0, 1), result.signed({"restrictive": 1, "permissive": -1}).car(0, 1)
    sign = turned["direction"].to_numpy()
    np.testing.assert_array_equal(turned["true_car"].to_numpy(), plain["true_car"].to_numpy() * sign)


def test_a_direction_must_be_said(golden_market, golden_study, events):
    result = golden_study.run(events, golden_market)
    with pytest.raises(mi.SpecificationError, match="'restrictive', which directions does not name"):
        result.signed({"permissive": 1})
    with pytest.raises(mi.SpecificationError, match="a direction is 1 or -1"):
        result.signed({"permissive": 0.5, "restrictive": 1})
    with pytest.raises(mi.SpecificationError, match="no column of the events"):
        result.signed({"permissive": 1}, by="direction")
    with pytest.raises(mi.SpecificationError, match=r"given the expression .*stance.*needs a direction, 1 or -1"):
        result.signed(pl.col("stance") == "permissive")
    with pytest.raises(mi.SpecificationError, match="no column of the events"):
        result.signed({"permissive": 1}, by=pl.col("stance"))


def test_one_sided_p_values(golden_market, golden_study, events):
    result = golden_study.run(events, golden_market)
    both, up, down = (
        {r["test"]: r for r in result.test(0, 0, tests="all", alternative=a).iter_rows(named=True)}
        for a in ("two-sided", "greater", "less")
    )
    spoken = [name for name in both if not np.isnan(both[name]["p_value"])]
    assert len(spoken) > 30
    for name in spoken:
        sides = mi.TESTS[name].sides
        if sides == "none":
            assert np.isnan(up[name]["p_value"])
            assert "no direction" in up[name]["note"]
        elif sides == "symmetric":
            towards = up if both[name]["statistic"] > 0 else down
            assert towards[name]["p_value"] == pytest.approx(both[name]["p_value"] / 2)
            assert up[name]["p_value"] + down[name]["p_value"] == pytest.approx(1)
    # drawn distributions: the two tails overlap in the draws that equal the statistic and in the one added to each
    for name in ("placebo_caar", "residual_bootstrap"):
        assert 1 <= up[name]["p_value"] + down[name]["p_value"] < 1.02
    with pytest.raises(mi.SpecificationError, match="two-sided"):
        result.test(0, 0, alternative="up")


def test_a_test_of_one_direction_sees_smaller_effects(golden_market, golden_study, events):
    result = golden_study.run(events, golden_market)
    for alternative, beyond in (("two-sided", 0.975), ("greater", 0.95), ("less", 0.95)):
        rows = result.test(0, 0, tests=["patell_kp", "bmp_kp"], alternative=alternative).iter_rows(named=True)
        for row in rows:
            dist = stats.norm() if row["df"] is None else stats.t(row["df"])
            shift, critical = row["mde"] / row["se"], dist.ppf(beyond)
            power = stats.norm.sf(critical - shift) if row["df"] is None else stats.nct.sf(critical, row["df"], shift)
            assert power == pytest.approx(0.8, abs=1e-6)


def test_one_sided_normal_p_is_scipys(golden_market, golden_study, events):
    row = golden_study.run(events, golden_market).test(0, 0, tests=["patell_kp"], alternative="less").row(0, named=True)
    assert row["p_value"] == pytest.approx(stats.norm.cdf(row["statistic"]), rel=1e-12)


@pytest.mark.parametrize("model", [mi.MarketModel(), mi.MarketAdjusted(), mi.MeanAdjusted()])
def test_a_turned_event_is_expected_to_move_the_other_way(golden_market, golden_study, events, model):
    """Return, expectation and abnormal return of every event turned: those of a market with all returns turned."""
    turned = golden_study.but(model=model).run(events, golden_market).signed({"restrictive": -1, "permissive": -1})
    down = [f.with_columns(-pl.col("ret")) for f in (golden("returns"), golden("market"))]
    theirs = golden_study.but(model=model).run(events, mi.Market.from_returns(*down))
    ours = turned.abnormal_returns
    assert ours.select("event_id", "tau").equals(theirs.abnormal_returns.select("event_id", "tau"))
    for column in ("ret", "expected", "ar", "se", "sar"):
        np.testing.assert_allclose(
            ours[column].to_numpy(), theirs.abnormal_returns[column].to_numpy(), rtol=1e-10, atol=1e-14, err_msg=column
        )
    # the days are the same ones whether they were looked up before or after
    np.testing.assert_allclose(ours["expected"] + ours["ar"], ours["ret"], rtol=1e-10, atol=1e-15)


def test_only_what_is_turned_does_not_compound(golden_market, golden_study, events):
    """The buy-and-hold return of the others is a plain product over the days."""
    result = golden_study.run(events, golden_market).signed({"restrictive": 1, "permissive": -1})
    car = result.car(-2, 3)
    days = result.abnormal_returns.filter(pl.col("tau").is_between(-2, 3)).drop_nulls("ar")
    for row in car.iter_rows(named=True):
        own = days.filter(pl.col("event_id") == row["event_id"])
        if row["direction"] == -1:
            assert row["bhar"] is None
        else:
            want = np.prod(1 + own["ret"].to_numpy()) - np.prod(1 + own["expected"].to_numpy())
            assert row["bhar"] == pytest.approx(want, rel=1e-9, abs=1e-14)
    assert 0 < car["bhar"].null_count() < car.height
