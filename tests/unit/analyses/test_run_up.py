"""Run-up beside effect, day 0 moved, and bounds that hold whichever admissible day is the true one."""

from __future__ import annotations

from datetime import date
from itertools import product

import numpy as np
import polars as pl
import pytest
from scipy import stats

import marketimpact as mi
from tests.conftest import golden
from tests.unit.market.small_market import announcements, market

A1, A2, NYA, NYB = "600001.SS", "600002.SS", "NYA", "NYB"
STUDY = mi.EventStudy(estimation_window=(-80, -11), event_window=(-5, 5), min_observations=30)
#: The 4th of March in Shanghai, and the 10th of April: the dates, and no clocks.
DATED = announcements(
    {"id": "march", "at": "2025-03-03T16:00Z", "precision": "day", "zone": "Asia/Shanghai", "targets": [A1, A2, NYA]},
    {"id": "april", "at": "2025-04-09T16:00Z", "precision": "day", "zone": "Asia/Shanghai", "targets": [A1, NYB]},
)
#: What each can have been, by the clocks: Shanghai's day begins at 16:00Z, five hours before New York's close;
#: Shanghai closes at 07:00Z. Shanghai on its later day and New York on its earlier one cannot be.
MARCH = [
    {A1: date(2025, 3, 4), A2: date(2025, 3, 4), NYA: date(2025, 3, 3)},
    {A1: date(2025, 3, 4), A2: date(2025, 3, 4), NYA: date(2025, 3, 4)},
    {A1: date(2025, 3, 5), A2: date(2025, 3, 5), NYA: date(2025, 3, 4)},
]
APRIL = [
    {A1: date(2025, 4, 10), NYB: date(2025, 4, 9)},
    {A1: date(2025, 4, 10), NYB: date(2025, 4, 10)},
    {A1: date(2025, 4, 11), NYB: date(2025, 4, 10)},
]


@pytest.fixture(scope="module")
def result(golden_market, golden_study) -> mi.StudyResult:
    return golden_study.run(golden("events_mixed"), golden_market)


def test_run_up_effect_and_sum_are_the_windows_questions(result):
    table = mi.run_up(result, (0, 1), (-5, -1))
    assert table["part"].to_list() == ["run-up", "effect", "sum"]
    assert table.select("first", "last").rows() == [(-5, -1), (0, 1), (-5, 1)]
    assert table["test"].n_unique() == 1
    # each event's CAR by hand, from the abnormal returns of the days that have one
    daily = result.abnormal_returns.drop_nulls("ar")
    for row in table.iter_rows(named=True):
        cars = daily.filter(pl.col("tau").is_between(row["first"], row["last"])).group_by("event_id").agg(pl.sum("ar"))
        assert row["caar"] == pytest.approx(cars["ar"].mean(), rel=1e-12)
        assert (row["ci_low"] <= 0 <= row["ci_high"]) == (row["p_value"] >= 0.05)
        said = result.test(row["first"], row["last"], tests=[row["test"]]).row(0, named=True)
        for ours, theirs in (("statistic", "statistic"), ("p_value", "p_value"), ("mde", "effect_mde")):
            assert row[ours] == said[theirs]
        assert [row["ci_low"], row["ci_high"]] == pytest.approx([said["ci_low"], said["ci_high"]], rel=1e-9)
        # half of a 90% interval over that of a 95% interval, Student's t or normal
        wide, narrow = (stats.t.ppf(q, said["df"] or np.inf) for q in (0.975, 0.95))
        ten = mi.run_up(result, (0, 1), (-5, -1), level=0.9).filter(pl.col("part") == row["part"]).row(0, named=True)
        shares = (ten["ci_high"] - ten["ci_low"]) / (row["ci_high"] - row["ci_low"])
        assert shares == pytest.approx(narrow / wide, rel=1e-9)


def test_a_planted_run_up_is_distinguished_from_the_effect(tmp_path):
    planted = {(A1, date(2025, 3, 3)): 0.03, (A1, date(2025, 3, 5)): 0.05, (NYA, date(2025, 3, 3)): 0.03}
    planted |= {(NYA, date(2025, 3, 5)): 0.05}
    quiet = market(tmp_path, planted=planted, noise=0.001)
    known = announcements({"id": "a", "at": "2025-03-05T03:00Z", "targets": [A1, NYA]})
    table = mi.run_up(STUDY.run(mi.align(known, quiet), quiet))
    np.testing.assert_allclose(table["caar"], [0.03, 0.05, 0.08], atol=0.006)


def test_one_primary_test_stands_for_all_windows(result):
    whole = result.test(-5, 1).filter(role="primary")["test"].item()
    assert mi.run_up(result, (0, 1), (-5, -1))["test"].unique().to_list() == [whole]
    aligned = result.test(0, 0).filter(role="primary")["test"].item()
    assert mi.day0_sensitivity(result, (0, 0), shifts=(-2, 0, 2))["test"].unique().to_list() == [aligned]


def test_chosen_tests_are_run_on_every_part(result):
    table = mi.run_up(result, tests=["bmp", "sign"])
    assert table.select("part", "test").rows() == [(p, t) for p in ("run-up", "effect", "sum") for t in ("bmp", "sign")]


def test_windows_that_do_not_meet_are_refused(result):
    with pytest.raises(mi.SpecificationError, match="must meet"):
        mi.run_up(result, (0, 1), (-5, -2))
    with pytest.raises(mi.SpecificationError, match="reaches outside"):
        mi.run_up(result, (0, 1), (-30, -1))
    with pytest.raises(mi.SpecificationError, match="between 0 and 1"):
        mi.run_up(result, level=1.0)


def test_a_moved_day_0_is_a_moved_window(result, golden_market, golden_study):
    table = mi.day0_sensitivity(result, (0, 0), shifts=(-2, 0, 2))
    assert table.select("shift", "first", "last").rows() == [(-2, -2, -2), (0, 0, 0), (2, 2, 2)]
    assert table["test"].n_unique() == 1
    daily = result.abnormal_returns.group_by("tau").agg(pl.col("ar").mean())
    by_hand = dict(daily.iter_rows())
    for shift, caar in table.select("shift", "caar").iter_rows():
        assert caar == pytest.approx(by_hand[shift], rel=1e-12)
    unmoved = table.filter(pl.col("shift") == 0).row(0, named=True)
    assert unmoved["mde"] == result.test(0, 0, tests=[unmoved["test"]])["effect_mde"].item() > 0


@pytest.mark.parametrize("shifts", [(), (0.5,), (True,)])
def test_wrong_shifts_are_refused(result, shifts):
    with pytest.raises(mi.SpecificationError, match="whole numbers"):
        mi.day0_sensitivity(result, shifts=shifts)


def test_a_shift_outside_the_event_window_is_refused(result):
    with pytest.raises(mi.SpecificationError, match="reaches outside"):
        mi.day0_sensitivity(result, (0, 1), shifts=(0, 5))


@pytest.mark.parametrize("case", range(3))
def test_bounds_hold_the_truth_whichever_day_is_the_true_one(tmp_path, case):
    truth = 0.05
    real = [(symbol, day, truth) for symbol, day in {**MARCH[case]}.items()]
    real += [(symbol, day, truth) for symbol, day in APRIL[2 - case].items()]
    quiet = market(tmp_path, planted={(symbol, day): size for symbol, day, size in real}, noise=0.001)
    bounds = mi.day0_bounds(STUDY, mi.align(DATED, quiet), quiet, (0, 0))
    assert bounds.n_combinations == 9
    assert bounds.events["n_days0"].to_list() == [2] * 5
    error = 0.003
    assert (bounds.events["car_max"] > truth - error).all()
    assert (bounds.events["car_min"] < error).all()  # the other day has nothing
    caar = dict(bounds.caar.select("case", "caar").iter_rows())
    assert caar["lowest CAAR"] < truth - error < caar["highest CAAR"] < truth + error
    aligned = caar["as aligned"]
    assert caar["lowest CAAR"] <= aligned <= caar["highest CAAR"]


SCATTERED = {(A1, date(2025, 3, 5)): 0.03, (NYA, date(2025, 3, 4)): -0.06, (NYB, date(2025, 4, 10)): 0.04}
#: Where two of March's three have no return on the later days, the largest sum is not the largest mean.
UNEVEN = {(A1, date(2025, 3, 4)): 0.02, (A2, date(2025, 3, 4)): 0.02, (NYA, date(2025, 3, 3)): 0.02}
UNEVEN |= {(A1, date(2025, 3, 5)): 0.05, (NYB, date(2025, 4, 10)): 0.04}
LOST = ((A2, date(2025, 3, 5)), (NYA, date(2025, 3, 4)))


@pytest.mark.parametrize(("planted", "untraded"), [(SCATTERED, ()), (SCATTERED, LOST), (UNEVEN, LOST)])
def test_bounds_are_those_of_every_combination_tried_by_hand(tmp_path, planted, untraded):
    prices = market(tmp_path, planted=planted, untraded=untraded)
    events = mi.align(DATED, prices)
    bounds = mi.day0_bounds(STUDY, events, prices, (0, 0), test="bmp")
    tried = []
    for march, april in product(MARCH, APRIL):
        days = pl.DataFrame(
            [(f"march:{s}", d) for s, d in march.items()] + [(f"april:{s}", d) for s, d in april.items()],
            schema=["event_id", "day"],
            orient="row",
        )
        moved = events.join(days, on="event_id", validate="1:1").with_columns(pl.col("day").alias("date")).drop("day")
        run = STUDY.run(moved, prices)
        tried.append((run.car(0, 0)["car"].mean(), run.test(0, 0, tests=["bmp"])["p_value"][0]))
    caars, p_values = zip(*tried, strict=True)
    got = {row["case"]: row for row in bounds.caar.iter_rows(named=True)}
    assert bounds.tested_all
    assert got["lowest CAAR"]["caar"] == pytest.approx(min(caars), rel=1e-9)
    assert got["highest CAAR"]["caar"] == pytest.approx(max(caars), rel=1e-9)
    assert got["lowest p"]["p_value"] == pytest.approx(min(p_values), rel=1e-9)
    assert got["highest p"]["p_value"] == pytest.approx(max(p_values), rel=1e-9)
    plain = STUDY.run(events, prices)
    assert got["as aligned"]["caar"] == pytest.approx(plain.car(0, 0)["car"].mean(), rel=1e-12)
    assert got["as aligned"]["p_value"] == pytest.approx(plain.test(0, 0, tests=["bmp"])["p_value"][0], rel=1e-12)


def test_the_range_of_each_event_is_that_of_its_runs(tmp_path):
    prices = market(tmp_path, untraded=((A2, date(2025, 3, 5)),))
    events = mi.align(DATED, prices)
    bounds = mi.day0_bounds(STUDY, events, prices, (0, 0))
    runs = []
    for offset in (0, 1):
        day = pl.lit(offset) * (pl.col("day0_latest") - pl.col("day0_earliest")) + pl.col("day0_earliest")
        runs.append(STUDY.run(events.with_columns(day.alias("date")), prices).car(0, 0).sort("event_id"))
    both = [run["car"].to_list() for run in runs]
    lost = [row["event_id"] for row in bounds.events.iter_rows(named=True) if row["n_used"] == 1]
    assert lost == ["march:600002.SS"]
    for position, row in enumerate(bounds.events.iter_rows(named=True)):
        cars = [cars[position] for cars in both if cars[position] is not None]
        assert (row["car_min"], row["car_max"]) == pytest.approx((min(cars), max(cars)), rel=1e-9)
        assert row["p_min"] <= row["p"] <= row["p_max"]
        if row["event_id"] in lost:
            assert row["note"] == "no CAR on 1 of 2 days 0"


def test_with_many_combinations_the_extremes_alone_are_tested(tmp_path):
    days = ["2025-02-09", "2025-02-16", "2025-02-23", "2025-03-02", "2025-03-09", "2025-03-16", "2025-03-23"]
    many = announcements(
        *[
            {"id": f"a{d}", "at": f"{d}T16:00Z", "precision": "day", "zone": "Asia/Shanghai", "targets": [A1, NYA]}
            for d in days
        ]
    )
    prices = market(tmp_path)
    bounds = mi.day0_bounds(STUDY, mi.align(many, prices), prices, (0, 0))
    # of a Monday in Shanghai only New York's session of that Monday is admissible: two cases each
    assert bounds.n_combinations == 2**7
    assert not bounds.tested_all
    assert bounds.caar["case"].to_list() == ["as aligned", "lowest CAAR", "highest CAAR"]
    caar = bounds.caar["caar"]
    # free of one another, so the lowest and highest of each announcement add up
    assert caar[1] < caar[0] <= caar[2]


def test_a_known_clock_leaves_nothing_open(tmp_path):
    prices = market(tmp_path)
    known = announcements({"id": "a", "at": "2025-03-05T03:00Z", "targets": [A1, NYA]})
    bounds = mi.day0_bounds(STUDY, mi.align(known, prices), prices)
    assert bounds.n_combinations == 1
    assert bounds.caar["caar"].n_unique() == 1
    assert (bounds.events["car_min"] == bounds.events["car_max"]).all()


def test_what_cannot_be_used_is_explained(tmp_path):
    prices = market(tmp_path, untraded=tuple((A1, date(2024, 6, 3 + d)) for d in range(4)))
    odd = announcements(
        {"id": "march", "at": "2025-03-03T16:00Z", "precision": "day", "zone": "Asia/Shanghai", "targets": [A1, NYA]},
        {"id": "early", "at": "2024-07-03T16:00Z", "precision": "day", "zone": "Asia/Shanghai", "targets": [A1]},
        {"id": "gone", "at": "2026-07-03T16:00Z", "precision": "day", "zone": "Asia/Shanghai", "targets": [A1, "ZZ"]},
    )
    bounds = mi.day0_bounds(STUDY, mi.align(odd, prices), prices)
    assert bounds.attrition.select("event_id", "reason").rows() == [
        ("early:600001.SS", "too_few_observations"),
        ("gone:600001.SS", "after_data"),
        ("gone:ZZ", "unknown_symbol"),
    ]
    assert bounds.events["event_id"].to_list() == [
        "early:600001.SS", "gone:600001.SS", "gone:ZZ", "march:600001.SS", "march:NYA",
    ]  # fmt: skip
    with pytest.raises(mi.DataError, match="lacks announcement_id, day0_earliest, day0_latest"):
        mi.day0_bounds(STUDY, pl.DataFrame({"event_id": ["a"], "symbol": [A1], "date": [date(2025, 3, 4)]}), prices)
    with pytest.raises(mi.DataError, match="No event has a CAR"):
        gone = mi.align(odd.filter(pl.col("announcement_id") == "early"), prices)
        mi.day0_bounds(STUDY, gone, prices)
