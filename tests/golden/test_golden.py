"""Every golden row of the models and tests that exist, at the tolerance the golden README states."""

from __future__ import annotations

import math
import re

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.inference import adjust, mean_correlation, sq_test
from tests.conftest import WITH_ARGUMENTS, golden

SETS = ("clustered", "unclustered", "mixed")
#: GARCH models have a golden file of their own.
MODELS = {name: make() for name, make in mi.MODELS.items() if name not in (*WITH_ARGUMENTS, "garch11", "egarch11")}
#: The README's tolerance where the reference iterates to its own precision.
LOOSE = {"huber": 1e-6}
WINDOWS = ("0:0", "-1:1", "0:5", "-5:5")
#: The README's tolerance; the files carry 12 significant digits.
RELATIVE = 1e-9
#: Below this a figure is rounding noise of numbers of order one, and relative error says nothing.
ABSOLUTE = 1e-13


def close(ours: float | None, theirs: float | None, relative: float = RELATIVE) -> bool:
    if ours is None or theirs is None:
        return ours is None and theirs is None
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    return math.isclose(ours, theirs, rel_tol=relative, abs_tol=ABSOLUTE)


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
    theirs, tolerance = expected("ar", events, model), LOOSE.get(model, RELATIVE)
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
        wrong = [r for r in both.iter_rows(named=True) if not close(r[f"{column}_ours"], r[column], tolerance)]
        assert wrong == [], column
    assert (both["date"] == both["date_ours"]).all()
    assert (both["symbol"] == both["symbol_ours"]).all()


@pytest.mark.parametrize(("events", "model"), [c for c in CASES if expected("car", *c).height])
def test_cumulative_abnormal_returns(results, events, model):
    theirs, tolerance = expected("car", events, model), LOOSE.get(model, RELATIVE)
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
            assert [r for r in both.iter_rows(named=True) if not close(r[mine], r[gold], tolerance)] == [], (
                window,
                mine,
            )
        compared += both.height
    assert compared == theirs.drop_nulls("car").height >= 80


@pytest.mark.parametrize(("events", "model"), [c for c in CASES if expected("car", *c).height])
def test_coefficients(results, events, model):
    theirs = expected("car", events, model).unique("event_id").select("event_id", "n_est", "s", "coef")
    tolerance = LOOSE.get(model, RELATIVE)
    both = theirs.join(results[events, model].estimates, on="event_id", how="left", validate="1:1")
    names = [
        c
        for c in results[events, model].estimates.columns
        if c == "alpha" or (c.startswith("beta") and c != "beta_dimson")
    ]
    assert both.height == theirs.height > 20
    for row in both.iter_rows(named=True):
        assert row["n_obs"] == row["n_est"]
        assert close(row["sigma"], row["s"], tolerance)
        if model != "market_adjusted":  # its slope is imposed, so the file's "coefficients" are not estimates
            given = [float(value) for value in str(row["coef"]).split()]
            assert len(given) == len(names)
            assert all(close(row[name], value, tolerance) for name, value in zip(names, given, strict=True))


#: Resampling with a seed of our own: the README's tolerance is four Monte Carlo standard errors.
MONTE_CARLO = "residual_bootstrap"
#: The reference program enumerates sign patterns and leaves more than twelve dates out; we draw patterns there.
ENUMERATED = ("sign_flip_date", "wild_cluster")


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("events", "model"), [c for c in CASES if expected("tests", *c).height])
def test_tests_over_events(results, events, model, window):
    first, last = map(int, window.split(":"))
    theirs = expected("tests", events, model).filter(pl.col("win") == window)
    assert theirs.height >= 35
    ours = {r["test"]: r for r in results[events, model].test(first, last, tests=list(mi.TESTS)).iter_rows(named=True)}
    assert set(theirs["test"]) <= set(ours)
    for row in theirs.iter_rows(named=True):
        mine = ours[row["test"]]
        assert mine["n_events"] == row["n"], row["test"]
        if row["test"] in ENUMERATED and events == "unclustered":
            assert row["stat"] is None
            continue
        for name, gold in (("estimate", "estimate"), ("se", "se")):
            if row[gold] is not None:
                assert close(mine[name], float(row[gold])), (row["test"], name)
        assert close(mine["statistic"], math.nan if row["stat"] is None else float(row["stat"])), row["test"]
        if row["test"] == MONTE_CARLO:
            assert abs(mine["p_value"] - float(row["p"])) <= 4 * float(row["extra"])
        else:
            assert close(mine["p_value"], math.nan if row["p"] is None else float(row["p"])), row["test"]
        if row["df"] is not None:  # an F has two: numerator;denominator
            assert mine["df"] == float(str(row["df"]).split(";")[-1]), row["test"]


#: What the golden files' last column holds, and how our note says it.
EXTRA = {
    "bmp_kp": r"average correlation (-?[\d.]+)",
    "patell_kp": r"average correlation (-?[\d.]+)",
    "grank_t_r": r"average correlation (-?[\d.]+)",
    "skew_hall": r"skewness (-?[\d.]+)",
    "generalized_sign": r"expected share of positive CARs ([\d.]+)",
    "sign": r"exact binomial p ([\d.e-]+)",
    "wilcoxon": r"exact p ([\d.e-]+)",
    "rank_blocks": r"(\d+) blocks",
    "placebo_caar": r"(\d+) placebo blocks",
    "sign_flip_date": r"(\d+) dates",
}


@pytest.mark.parametrize("events", ["clustered", "mixed"])
@pytest.mark.parametrize("test", list(EXTRA))
def test_what_notes_say(results, events, test):
    compared = 0
    for row in expected("tests", events, "market_model").filter(pl.col("test") == test).iter_rows(named=True):
        first, last = map(int, row["win"].split(":"))
        note = results[events, "market_model"].test(first, last, tests=[test])["note"].item()
        said = re.search(EXTRA[test], note)
        assert said, note
        assert math.isclose(float(said[1]), float(row["extra"]), rel_tol=1e-3, abs_tol=6e-4)
        compared += 1
    assert compared == len(WINDOWS)


@pytest.mark.parametrize("events", SETS)
def test_single_events_and_multiple_testing(results, events):
    theirs = golden("single_day0").filter(pl.col("set") == events)
    sample = results[events, "market_model"].sample(0, 0)
    share, p, _ = sq_test(sample)
    car = results[events, "market_model"].car(0, 0).drop_nulls("car")
    assert car["event_id"].to_list() == theirs["event_id"].to_list()
    columns = {"ar": car["car"], "rank_share": share, "p": p, "t_p": car["p"]}
    columns |= {f"t_p_{method}": adjust(car["p"].to_numpy(), method) for method in ("holm", "bh", "by")}
    for name, values in columns.items():
        assert all(close(ours, gold) for ours, gold in zip(values, theirs[name], strict=True)), name


@pytest.mark.parametrize("events", SETS)
def test_mean_correlation(results, events):
    for row in golden("mean_correlation").filter(pl.col("set") == events).iter_rows(named=True):
        first, last = map(int, row["win"].split(":"))
        sample = results[events, "market_model"].sample(first, last)
        assert close(mean_correlation(sample).value, row["r_bar_overlap"])
        assert sample.n == row["n"]


def test_attrition(results):
    theirs = golden("dropped").filter(pl.col("model").is_in(list(MODELS)))
    assert theirs.height == 15
    for row in theirs.iter_rows(named=True):
        ours = results[row["set"], row["model"]].attrition
        assert ours["event_id"].to_list() == [row["event_id"]]
        assert ours["reason"].to_list() == ["too_few_observations"]
        assert ours["detail"][0].startswith(row["reason"])


def test_every_golden_model_exists_but_those_named():
    """What the golden files have and we do not: nothing is left out silently."""
    names = set().union(*(golden(f"{kind}_{events}")["model"] for kind in ("ar", "car") for events in SETS))
    assert names <= set(MODELS)
    assert len(names) == 16
