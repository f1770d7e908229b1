"""The specification curve: rows are what single studies say, nothing is dropped, placebo draws are as they claim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import marketimpact as mi
from marketimpact.analyses.specification_curve.joint_test import compare
from marketimpact.analyses.specification_curve.placebo_days import (
    PlaceboDays,
    draw_shifts,
    placebo_residuals,
    with_forecast_variance,
)
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.display import charts
from marketimpact.display import curve_chart as curvechart
from marketimpact.display.formats import short_percent
from marketimpact.inference import sample as sample_module
from tests.conftest import golden

MODELS = {"line": mi.MarketModel(), "adjusted": mi.MarketAdjusted(), "three": mi.FamaFrench3()}
ESTIMATION = [(-200, -11), (-120, -21)]
WINDOWS = [(0, 0), (-1, 1), (-5, 5)]
FILTERS = {"all": pl.lit(value=True), "some": pl.col("symbol") > "S05", "nobody": pl.col("symbol") == "nobody"}
TESTS = ["bmp_kp", "cross_sectional_t", "grank_t", "portfolio_regression"]


@pytest.fixture(scope="module")
def curve(golden_market):
    return mi.specification_curve(
        golden("events_clustered"),
        golden_market,
        models=MODELS,
        estimation_windows=ESTIMATION,
        event_windows=WINDOWS,
        filters=FILTERS,
        tests=TESTS,
    )


def by_number(curve):
    return curve.frame.sort("specification")


def test_every_combination_is_a_row_in_the_order_of_its_estimate(curve):
    assert curve.frame.height == 3 * 2 * 3 * 3 * 4
    assert sorted(curve.frame["specification"]) == list(range(216))
    names = ["model", "estimation_window", "event_window", "benchmark", "filter", "test"]
    assert not curve.frame.select(names).is_duplicated().any()
    found = curve.frame["estimate"].drop_nulls()
    assert found.is_sorted()
    assert curve.frame["estimate"].head(len(found)).null_count() == 0


@pytest.mark.parametrize("seed", range(12))
def test_a_row_is_what_the_single_study_says(curve, golden_market, seed):
    row = curve.frame.sample(1, seed=seed).row(0, named=True)
    estimation, first, last = eval(row["estimation_window"]), *eval(row["event_window"])
    study = mi.EventStudy(MODELS[row["model"]], tuple(estimation), (-5, 5))
    part = study.run(golden("events_clustered"), golden_market).where(FILTERS[row["filter"]])
    said = part.test(first, last, tests=[row["test"]]).row(0, named=True)
    if said["n_events"] == 0:
        assert row["reason"]
        assert row["p_value"] is row["estimate"] is None
        return
    band = part.caar(first, last).row(-1, named=True)
    assert [row[k] for k in ("statistic", "p_value", "valid", "n_events")] == [
        said[k] for k in ("statistic", "p_value", "valid", "n_events")
    ]
    assert row["estimate"] == band["caar"]
    numbers = [row[k] for k in ("ci_low", "ci_high", "mde")]
    if said["ci_low"] is None:
        assert row["note"].endswith("this test has no interval: that of the CAAR's band is given")
        assert [row["se"], *numbers] == [band[k] for k in ("se", "ci_low", "ci_high", "mde")]
    else:
        assert row["note"] == said["note"]
        assert numbers == [said[k] for k in ("ci_low", "ci_high", "effect_mde")]
        assert (row["ci_low"] <= 0 <= row["ci_high"]) == (row["p_value"] >= 0.05)
    assert (row["z"] > 0) == (said["estimate"] > 0)
    assert bool(row["reason"]) is not row["valid"]


def test_the_sample_market_gives_the_same_numbers_with_two_benchmarks(sample_market):
    market, proxy = sample_market, mi.Market.load(mi.securities(), mi.SamplePrices(), benchmark="sector_proxy")
    events = mi.align(mi.announcements().filter(pl.col("announced_at").dt.year() >= 2025), market)
    filters = {"all": pl.lit(value=True), "restrictive": pl.col("stance") == "restrictive"}
    made = mi.specification_curve(
        events, market, event_windows=[(0, 1), (-2, 2)], benchmarks={"proxy": proxy}, filters=filters
    )
    for row in made.frame.iter_rows(named=True):
        on = proxy if row["benchmark"] == "proxy" else market
        part = mi.EventStudy(event_window=(-2, 2)).run(events, on).where(filters[row["filter"]])
        said = part.test(*eval(row["event_window"]), tests=["bmp_kp"]).row(0, named=True)
        assert (row["statistic"], row["p_value"]) == (said["statistic"], said["p_value"])
    assert "SIMULATED" in repr(made)
    assert "simulated prices" in charts.to_svg(made.plot())


def test_what_cannot_be_run_is_a_row_with_its_reason(golden_market, curve):
    made = mi.specification_curve(
        golden("events_clustered"),
        golden_market,
        models=[mi.MarketModel(), mi.FactorModel(("oil",))],
        estimation_windows=[(-200, -11), (-60, -20), (-100, 3)],
        event_windows=[(0, 0)],
    )
    failed = made.frame.filter(pl.col("estimate").is_null())
    assert made.frame.height == 6
    assert failed.height == 5
    assert not failed["valid"].any()
    told = "\n".join(failed["reason"])
    for words in ("needs the factor oil", "min_observations=60", "reaches into event_window"):
        assert words in told
    assert made.reasons()["n"].sum() == 5
    nobody = curve.frame.filter(pl.col("filter") == "nobody")
    assert set(nobody["reason"]) == {"no usable event meets the filter"}


def test_a_summary_counts_what_the_frame_holds(curve):
    frame, (ran, valid) = curve.frame, curve.summary().to_dicts()
    held = frame.filter(pl.col("p_value").is_not_null())
    assert ran["n"] == held.height
    assert valid["n"] == frame["valid"].sum()
    assert ran["median"] == pytest.approx(np.median(held["estimate"].to_numpy()))
    assert ran["significant_negative"] * ran["n"] == pytest.approx(
        sum(p < 0.05 and z < 0 for p, z in held.select("p_value", "z").iter_rows())
    )
    assert curve.reasons()["n"].sum() + valid["n"] == frame.height
    assert ran["n"] + curve.reasons().filter(pl.col("status") == "failed")["n"].sum() == frame.height
    assert len(repr(curve).splitlines()) <= 7
    assert "<table" in curve._repr_html_()


def ask(market, **options):
    return mi.specification_curve(golden("events_clustered"), market, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"models": []}, "models is empty"),
        ({"models": [mi.MarketModel]}, "with brackets"),
        ({"models": [mi.MarketModel(), mi.MarketModel()]}, "more than once"),
        ({"event_windows": (0, 1)}, "give a list of windows"),
        ({"event_windows": [(1, 0)]}, "reversed"),
        ({"estimation_windows": [(-200, -11), (-200, -11)]}, "more than once"),
        ({"benchmarks": {"sector": "sector_proxy"}}, "is no Market"),
        ({"filters": {}}, "filters is empty"),
        ({"filters": {"x": pl.col("stance") == "y"}}, "is no condition"),
        ({"filters": {"x": pl.col("symbol")}}, "is no condition"),
        ({"tests": ["t"]}, "No test called"),
        ({"level": 1.0}, "between 0 and 1"),
    ],
)
def test_wrong_choices_are_refused_at_the_door(golden_market, options, words):
    with pytest.raises(mi.SpecificationError, match=words):
        ask(golden_market, **options)


def test_a_broken_frame_is_refused(golden_market):
    with pytest.raises(mi.DataError):
        mi.specification_curve(golden("events_clustered").drop("date"), golden_market)


def test_a_condition_that_is_one_literal_keeps_every_event(golden_market, golden_study):
    result = golden_study.run(golden("events_clustered"), golden_market)
    assert result.where(pl.lit(value=True)).events.height == result.events.height > 1
    assert result.where(pl.lit(value=False)).events.height == 0


def test_curves_can_be_drawn_at_any_size(curve):
    svg = charts.to_svg(curve.plot())
    ran = curve.frame.drop_nulls("estimate")["estimate"]
    above, failed = (ran > 0).sum(), 216 - len(ran)
    for words in (f"could not be run: {failed} of 216 specifications", "test not valid", "[-120, -21]", "three"):
        assert words in svg
    title = " ".join(curve.plot().to_dict()["title"]["text"])
    count = f"{above} of {len(ran)} specifications lie above zero"
    if 2 * above < len(ran):
        count = f"{(ran < 0).sum()} of {len(ran)} specifications lie below zero"
    assert title == f"{count}, with a median of {short_percent(float(np.median(ran)))}"
    compact = curve.plot(compact=True).to_dict()["vconcat"]
    assert len(compact) == 2  # the curve, and what is significant
    strokes = [
        panel["layer"][0] for panel in curve.plot().to_dict()["vconcat"] if panel["layer"][0]["mark"]["type"] == "tick"
    ]
    assert len(strokes) == 6  # result, model, estimation window, event window, filter, test
    one = curve.frame.filter(pl.col("estimate").is_not_null()).head(1)
    none = curve.frame.filter(pl.col("estimate").is_null()).head(3)
    for few in (one, none):
        assert charts.to_svg(
            curvechart.specification_curve(few, ["model", "filter"], title="<b>", simulated=False)
        ).startswith("<svg")


# the joint test


def test_the_same_seed_gives_the_same_test_whatever_the_order_of_rows(golden_market):
    events = golden("events_clustered")
    options = {"event_windows": [(0, 0), (-1, 1)], "estimation_windows": [(-200, -11)]}
    first, second = (
        mi.specification_curve(frame, golden_market, **options).joint_test(draws=30, seed=3)
        for frame in (events, events.reverse())
    )
    assert_frame_equal(first.frame, second.frame)
    other = mi.specification_curve(events, golden_market, **options).joint_test(draws=30, seed=4)
    assert not first.frame.equals(other.frame)


def test_p_values_count_the_placebo_curves(curve):
    found = curve.joint_test(draws=40, seed=1)
    rows = {row["statistic"]: row for row in found.frame.iter_rows(named=True)}
    high = sum(value >= rows["share significant"]["observed"] for value in found.share)
    assert rows["share significant"]["p_value"] == pytest.approx((1 + high) / (1 + found.draws))
    for name, drawn in (("median effect", found.median), ("mean z", found.mean_z)):
        observed = rows[name]["observed"]
        tails = [1 + sum(value >= observed for value in drawn), 1 + sum(value <= observed for value in drawn)]
        assert rows[name]["p_value"] == pytest.approx(min(1.0, 2 * min(tails) / (1 + found.draws)))
    used = curve.frame.filter(pl.col("p_value").is_not_null(), pl.col("test") != "portfolio_regression")
    assert found.n_specifications == used.height
    assert found.left_out == used.height // 3
    assert rows["median effect"]["observed"] == pytest.approx(np.median(used["estimate"].to_numpy()))
    assert rows["mean z"]["observed"] == pytest.approx(used["z"].mean())


def test_ties_count_against_the_observed_curve():
    """Two specifications and four placebo curves, counted by hand; 1.96 is the critical value."""
    observed_estimate, observed_z = np.array([0.01, 0.03]), np.array([2.5, 0.5])  # median 2%, share 1/2, mean z 1.5
    estimate = np.array([[0.02, 0.02], [0.05, 0.03], [-0.01, -0.03], [0.0, 0.01]])  # medians 2%, 4%, -2%, 0.5%
    z = np.array([[2.0, 1.0], [2.1, 2.2], [-2.0, 1.0], [-2.5, 0.0]])  # 1/2, 1, 1/2, 0 and 1.5, 2.15, -.5, -1.25
    shifts = PlaceboDays(pl.Series(["a"]), np.zeros((4, 1), dtype=np.int64), (-9, -1), 3, np.array([4]), 0.0, 0.0)
    found = compare(observed_estimate, observed_z, estimate, z, shifts, seed=0, left_out=0).frame
    assert found["observed"].to_list() == pytest.approx([0.02, 0.5, 1.5])
    # medians: 2 of 4 as high, 3 of 4 as low; shares: 3 of 4 as high; means: 2 of 4 as high, 3 of 4 as low
    assert found["p_value"].to_list() == pytest.approx([1.0, 4 / 5, 1.0])
    far = compare(observed_estimate + 0.1, observed_z + 2.0, estimate, z, shifts, seed=0, left_out=0).frame
    assert far["p_value"].to_list() == pytest.approx([2 / 5, 2 / 5, 2 / 5])


def test_every_test_that_does_not_refit_can_be_moved(golden_market):
    slow = ("bootstrap", "wild", "sign_flip")
    names = [name for name in mi.TESTS if not any(word in name for word in slow)]
    events = golden("events_clustered")
    found = mi.specification_curve(
        events, golden_market, estimation_windows=[(-200, -11)], event_windows=[(0, 1)], tests=names
    ).joint_test(draws=20)
    refitting = [name for name in names if mi.TESTS[name].refits]
    assert found.left_out <= len(refitting)
    assert found.n_specifications >= len(names) - len(refitting) - 3
    assert np.isfinite(found.mean_z).all()


def estimates_of(market, estimation):
    result = mi.EventStudy(estimation_window=estimation, event_window=(-1, 1)).run(golden("events_clustered"), market)
    return result, result.estimation


def test_events_of_one_date_move_together_and_stay_inside_every_estimation_window(golden_market):
    results = [estimates_of(golden_market, window) for window in ESTIMATION]
    shifts = draw_shifts([values for _, values in results], np.unique(golden_market.days), 50, 7)
    result, values = results[0]
    assert shifts.event_ids.to_list() == result.events["event_id"].to_list()
    for day in result.events["date"].unique():
        rows = np.flatnonzero((result.events["date"] == day).to_numpy())
        moved = shifts.day0[:, rows]
        together = (moved == moved[:, :1]).mean()
        assert together == 1.0 if not shifts.moved_alone else together > 0.9
        sessions = values.estimation_dates[rows[0]]
        first, last = sessions[200 - 120 + 1], sessions[200 - 21 - 1]  # one session of room on either side
        assert moved.min() >= first
        assert moved.max() <= last
    assert len(np.unique(shifts.day0[:, 0])) > 10


def test_a_placebo_scar_is_a_residual_sum_over_its_own_standard_error(golden_market):
    result, values = estimates_of(golden_market, (-200, -11))
    shifts = draw_shifts([values], np.unique(golden_market.days), 25, 7)
    moved = placebo_residuals(values, shifts, [(-1, 1)])
    scar = moved.scar(4, (-1, 1), np.arange(result.events.height))
    returns = golden("returns").join(golden("market").rename({"ret": "rm"}), on="date", how="right")
    checked = 0
    for row, (event_id, symbol) in enumerate(result.events.select("event_id", "symbol").iter_rows()):
        own = returns.filter(pl.col("symbol") == symbol)
        window = pl.DataFrame({"day": values.estimation_dates[row]}).select(pl.col("day").cast(pl.Int32).cast(pl.Date))
        frame = window.join(own, left_on="day", right_on="date", how="left").with_row_index("n").drop_nulls("ret")
        x = np.column_stack([np.ones(frame.height), frame["rm"]])
        y = frame["ret"].to_numpy()
        hat = x @ np.linalg.inv(x.T @ x) @ x.T
        residual = y - hat @ y
        sigma2 = residual @ residual / (len(y) - 2)
        day0 = int(np.searchsorted(values.estimation_dates[row], shifts.day0[4, row]))
        block = frame["n"].is_between(day0 - 1, day0 + 1).to_numpy().astype(float)
        if not block.any():
            continue
        expected = block @ residual / np.sqrt(sigma2 * (block.sum() - block @ hat @ block))
        assert scar[row] == pytest.approx(expected, rel=1e-8), event_id
        checked += 1
    assert checked > 10


@pytest.mark.parametrize("length", [1, 5, 12])
def test_placebo_sums_spread_as_far_as_a_sum_from_outside(length):
    """4,000 series of 80 days, no constant estimated: the variance about the stretch's mean, inside and outside."""
    rng = np.random.default_rng(12)
    days = rng.normal(size=(4000, 80))
    sums = np.lib.stride_tricks.sliding_window_view(days, length, axis=1).sum(axis=2) / length**0.5
    outside = rng.normal(size=4000)
    wide = with_forecast_variance(sums, slice(0, 80), np.full(4000, 80), np.zeros(4000), length)
    mean = sums.mean(axis=1)
    assert wide.mean(axis=1) == pytest.approx(mean)
    assert wide.var(axis=1).mean() == pytest.approx((outside - mean).var(), rel=0.06)


def test_one_chain_takes_each_place_once(golden_market):
    events = golden("events_clustered")
    day = events["date"].mode().min()
    made = mi.specification_curve(
        events.filter(pl.col("date") == day), golden_market, estimation_windows=[(-200, -11)], event_windows=[(0, 0)]
    )
    found = made.joint_test(draws=5000)
    assert found.n_chains == 1
    assert 20 <= found.draws <= 190
    assert "one chain" in repr(found)


def test_no_common_stretch_no_joint_test(golden_market):
    made = ask(golden_market, estimation_windows=[(-200, -110), (-100, -11)], event_windows=[(0, 0)])
    with pytest.raises(mi.SpecificationError, match="share the sessions"):
        made.joint_test()
    with pytest.raises(mi.SpecificationError, match="draw at least one"):
        made.joint_test(draws=0)
    failed = ask(golden_market, models=[mi.FactorModel(("oil",))], event_windows=[(0, 0)])
    with pytest.raises(mi.SpecificationError, match="No specification could be run"):
        failed.joint_test()
    with pytest.raises(mi.SpecificationError, match="needs returns of the market again"):
        ask(golden_market, estimation_windows=[(-200, -11)], tests=["portfolio_regression"]).joint_test()


def test_placebo_curves_filter_the_estimation_window_of_a_specification_once(golden_market, monkeypatch):
    curve = mi.specification_curve(
        golden("events_clustered"), golden_market, event_windows=[(0, 0), (-1, 1)], tests=["filtered_placebo_t"]
    )
    filtered = []
    once = sample_module.filtered_dates
    monkeypatch.setattr(sample_module, "filtered_dates", lambda sample: filtered.append(sample) or once(sample))
    joint = curve.joint_test(draws=20, seed=3)
    assert joint.draws == 20
    assert len(filtered) == 2


@pytest.mark.parametrize("test", ["filtered_placebo_t", "bmp_kp", "grank_t"])
def test_a_placebo_sample_is_the_sample_with_other_abnormal_returns(golden_study, golden_market, test):
    sample = golden_study.run(golden("events_clustered"), golden_market).sample(-1, 1)
    rng = np.random.default_rng(5)
    values = sample.car, sample.event_ar.to_array(), sample.recent_ar.to_array()
    car, ar, recent = (0.02 * rng.standard_normal(v.shape) for v in values)
    moved = sample.with_abnormal_returns(car, ar, ar, recent)
    pool = replace(sample.pool, event_ar=LazyMatrix.of(ar))
    plain = replace(sample, car=car, event_ar=LazyMatrix.of(ar), recent_ar=LazyMatrix.of(recent), pool=pool)
    assert str(mi.TESTS[test].run(moved)) == str(mi.TESTS[test].run(plain))
    assert str(mi.TESTS[test].run(moved)) != str(mi.TESTS[test].run(sample))


def test_a_benchmark_without_prices_is_the_reason_given(sample_market):
    """Not that no event meets the filter: it does, and was lost for want of a benchmark."""
    events = mi.align(
        mi.announcements().filter(pl.col("announcement_id").str.contains("discourages-h20")), sample_market
    )
    events = events.filter(pl.col("symbol") == "NVDA")
    firm = mi.securities().filter(pl.col("symbol") == "NVDA").with_columns(pl.lit("^NONE").alias("benchmark"))
    prices = mi.FilePrices(mi.SamplePrices().read(["NVDA"]).frame)
    with pytest.warns(mi.MarketImpactWarning):
        bare = mi.Market.load(firm, prices)
    curve = mi.specification_curve(
        events, sample_market, models={"m": mi.MarketModel()}, estimation_windows=[(-200, -11)],
        event_windows=[(0, 0)], benchmarks={"own": sample_market, "none": bare}, tests=["filtered_placebo_t"],
    )  # fmt: skip
    reasons = curve.frame.filter(pl.col("estimate").is_null())["reason"].unique().to_list()
    assert reasons == ["no usable event: the security's benchmark has no prices"]
