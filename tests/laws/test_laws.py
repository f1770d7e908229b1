"""Laws that hold whatever the data: each is checked on drawn subsets, orders and shifts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import marketimpact as mi
from tests.conftest import golden

MODELS = [
    mi.Capm(),
    mi.ScholesWilliams(),
    mi.Dimson(lags=2),
    mi.Huber(),
    mi.MarketModel(),
    mi.MarketAdjusted(),
    mi.MeanAdjusted(),
    mi.FamaFrench3(),
    mi.FactorModel(("market", "sox")),
]
model = st.sampled_from(MODELS)
window = st.tuples(st.integers(-5, 5), st.integers(-5, 5)).map(sorted).map(tuple)
few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    """All three golden sets at once: firms repeat, dates repeat."""
    frame = pl.concat([golden(f"events_{name}") for name in ("clustered", "unclustered", "mixed")])
    assert frame["symbol"].is_duplicated().any()
    assert frame["date"].is_duplicated().any()
    return frame


@few
@given(model=model, window=window)
def test_car_is_the_sum_of_abnormal_returns(golden_market, golden_study, events, model, window):
    result = golden_study.but(model=model).run(events, golden_market)
    first, last = window
    summed = (
        result.abnormal_returns.filter(pl.col("tau").is_between(first, last))
        .group_by("event_id")
        .agg(pl.col("ar").sum(), pl.col("ar").count().alias("n"))
        .sort("event_id")
    )
    car = result.car(first, last)
    assert car["event_id"].equals(summed["event_id"])
    assert car["n_days"].to_list() == summed["n"].to_list()
    held = car["n_days"] > 0
    np.testing.assert_allclose(car["car"].filter(held), summed["ar"].filter(held), rtol=0, atol=1e-15)
    assert car["car"].filter(~held).null_count() == (~held).sum()


@settings(few, max_examples=5)
@given(model=model, seed=st.integers(0, 2**32 - 1))
def test_row_order_changes_no_bit(golden_market, golden_study, events, model, seed):
    study = golden_study.but(model=model)
    shuffled = mi.Market.from_returns(
        golden("returns").sample(fraction=1, shuffle=True, seed=seed),
        golden("market").sample(fraction=1, shuffle=True, seed=seed),
        golden("factors").sample(fraction=1, shuffle=True, seed=seed),
    )
    one = study.run(events, golden_market)
    other = study.run(events.sample(fraction=1, shuffle=True, seed=seed), shuffled)
    for question in ("abnormal_returns", "estimates", "attrition"):
        assert_frame_equal(getattr(one, question), getattr(other, question), check_exact=True)
    assert_frame_equal(one.test(-1, 1, tests="all"), other.test(-1, 1, tests="all"), check_exact=True)
    assert_frame_equal(one.caar(), other.caar(), check_exact=True)
    assert one.record == other.record


@few
@given(model=model, data=st.data())
def test_chunking_changes_no_bit(golden_market, golden_study, events, model, data):
    study = golden_study.but(model=model)
    ids = events["event_id"].to_list()
    chosen = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=8, unique=True))
    whole = study.run(events, golden_market)
    part = study.run(events.filter(pl.col("event_id").is_in(chosen)), golden_market)
    for question in ("abnormal_returns", "estimates", "attrition"):
        mine = getattr(part, question)
        assert_frame_equal(getattr(whole, question).filter(pl.col("event_id").is_in(chosen)), mine, check_exact=True)
    assert part.events.height + part.attrition.height == len(chosen)


@few
@given(model=model, cut=st.integers(0, 60))
def test_nothing_after_the_window_changes_anything_inside_it(golden_market, golden_study, model, cut):
    """Returns after the last event window are replaced; nothing before may move by a bit."""
    events = golden("events_clustered")
    sessions = golden("market")["date"]
    day0 = sessions.filter(sessions >= events["date"][0])[0]
    position = sessions.index_of(day0)
    end = sessions[min(position + 5 + cut, len(sessions) - 1)]
    after = pl.col("date") > end

    def spoil(frame: pl.DataFrame) -> pl.DataFrame:
        numbers = [c for c in frame.columns if c not in ("date", "symbol")]
        return frame.with_columns(pl.when(after).then(pl.col(c) * -3.0 + 0.01).otherwise(c).alias(c) for c in numbers)

    spoiled = mi.Market.from_returns(spoil(golden("returns")), spoil(golden("market")), spoil(golden("factors")))
    study = golden_study.but(model=model)
    one, other = study.run(events, golden_market), study.run(events, spoiled)
    assert_frame_equal(one.abnormal_returns, other.abnormal_returns, check_exact=True)
    assert_frame_equal(one.test(-1, 1), other.test(-1, 1), check_exact=True)


VARIANCE_MODELS = [(mi.Garch, "events_clustered"), (mi.Egarch, "events_mixed")]


@pytest.mark.filterwarnings("ignore:The variance model of", "ignore:EGARCH's persistence is negative")
@pytest.mark.parametrize(("model", "name"), VARIANCE_MODELS, ids=["garch11", "egarch11"])
def test_a_variance_forecast_from_the_event_window_uses_the_gap_and_nothing_later(golden_study, model, name):
    """Returns are replaced from the first session of the event window on, and from the session before it on."""
    pytest.importorskip("arch")
    events = golden(name).filter(pl.col("date") == pl.col("date").first()).head(6)
    sessions = golden("market")["date"]
    day0 = sessions.index_of(sessions.filter(sessions >= events["date"][0])[0])
    study = golden_study.but(model=model(forecast_from="event_window_start"))

    def ran(first: int) -> mi.StudyResult:
        spoiled = pl.when(pl.col("date") >= sessions[day0 + first]).then(pl.col("ret") * -3.0 + 0.01).otherwise("ret")
        returns, market = (golden(part).with_columns(spoiled.alias("ret")) for part in ("returns", "market"))
        return study.run(events, mi.Market.from_returns(returns, market))

    unspoiled, in_window, in_gap = ran(6), ran(-5), ran(-6)
    assert_frame_equal(unspoiled.estimates, in_window.estimates, check_exact=True)
    se = [each.abnormal_returns.select("event_id", "tau", "se") for each in (unspoiled, in_window)]
    assert_frame_equal(*se, check_exact=True)
    assert (unspoiled.abnormal_returns["ar"] != in_window.abnormal_returns["ar"]).any()
    has_variance = unspoiled.estimates["omega"].is_not_null()
    assert has_variance.sum() >= 3
    assert ((unspoiled.estimates["h_next"] != in_gap.estimates["h_next"]) | ~has_variance).all()


@pytest.mark.filterwarnings("ignore:The variance model of", "ignore:EGARCH's persistence is negative")
@pytest.mark.parametrize(("model", "name"), VARIANCE_MODELS, ids=["garch11", "egarch11"])
def test_without_a_gap_a_variance_forecast_starts_where_estimation_ends(golden_market, golden_study, model, name):
    pytest.importorskip("arch")
    events, study = golden(name).head(4), golden_study.but(event_window=(-10, 5))
    one, other = (
        study.but(model=model(forecast_from=start)).run(events, golden_market)
        for start in ("estimation_end", "event_window_start")
    )
    for question in ("abnormal_returns", "estimates", "attrition"):
        assert_frame_equal(getattr(one, question), getattr(other, question), check_exact=True)
    assert_frame_equal(one.test(-1, 1, tests="all"), other.test(-1, 1, tests="all"), check_exact=True)


@few
@given(power=st.integers(-8, 8))
def test_scale_cancels_in_sar(golden_market, golden_study, events, power):
    """Scaling every return by a power of two is exact, so SAR and SCAR must not move by a bit."""
    scale = 2.0**power
    small = min(scale, 0.5)  # keeps simple returns above -1
    shrink = pl.col("ret") * small
    scaled = mi.Market.from_returns(golden("returns").with_columns(shrink), golden("market").with_columns(shrink))
    one = golden_study.run(events, golden_market)
    other = golden_study.run(events, scaled)
    np.testing.assert_array_equal(one.abnormal_returns["sar"].to_numpy(), other.abnormal_returns["sar"].to_numpy())
    np.testing.assert_array_equal(one.car(-1, 1)["scar"].to_numpy(), other.car(-1, 1)["scar"].to_numpy())


@few
@given(window=window)
def test_every_event_is_used_or_explained(golden_market, golden_study, events, window):
    strangers = pl.DataFrame(
        {
            "event_id": ["X1", "X2", "X3"],
            "symbol": ["NOPE", "US01", "US01"],
            "date": ["2022-06-01", "1999-01-04", "2031-01-02"],
        }
    ).with_columns(pl.col("date").str.to_date())
    result = golden_study.run(pl.concat([events, strangers]), golden_market)
    assert sorted([*result.events["event_id"], *result.attrition["event_id"]]) == sorted(
        [*events["event_id"], "X1", "X2", "X3"]
    )
    reasons = dict(result.attrition.select("event_id", "reason").iter_rows())
    assert (reasons["X1"], reasons["X2"], reasons["X3"]) == ("unknown_symbol", "before_data", "after_data")
    assert result.car(*window).height == result.events.height
