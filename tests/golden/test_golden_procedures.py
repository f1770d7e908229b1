"""Golden rows of changing variance, calendar-time portfolios and synthetic control: every row of each file."""

from __future__ import annotations

import math
import warnings

import polars as pl
import pytest

import marketimpact as mi
from tests.conftest import GOLDEN, golden

#: The README's tolerance for GARCH: two optimisers agree no further.
GARCH = 1e-4
#: A likelihood no lower than the file's, but for the same tolerance.
RELATIVE = 1e-9


@pytest.fixture(scope="module", params=["garch11", "egarch11"])
def changing(request, golden_market, golden_study):
    pytest.importorskip("arch")
    rows = golden("garch").filter(pl.col("model") == request.param)
    events = golden("events_clustered").filter(pl.col("event_id").is_in(rows["event_id"].unique().to_list()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "EGARCH's persistence is negative in 3 of 6", mi.MarketImpactWarning)
        result = golden_study.but(model=mi.MODELS[request.param]()).run(events, golden_market)
    return request.param, rows, result


def test_garch_likelihood_is_no_worse_than_the_files(changing):
    name, rows, result = changing
    theirs = rows.unique("event_id").sort("event_id")["nll"].to_list()
    ours = result.estimates.sort("event_id")["nll"].to_list()
    assert len(ours) == len(theirs) == 6
    assert all(mine <= gold * (1 + 1e-6) for mine, gold in zip(ours, theirs, strict=True))
    if name == "garch11":
        assert all(math.isclose(mine, gold, rel_tol=1e-9) for mine, gold in zip(ours, theirs, strict=True))


def test_garch_coefficients_variances_and_abnormal_returns(changing):
    """Where both stand on the same maximum; EGARCH has several, and ours is then the higher one."""
    name, rows, result = changing
    nll = result.estimates.select("event_id", pl.col("nll").alias("nll_ours"))
    both = rows.join(nll, on="event_id", validate="m:1").join(
        result.abnormal_returns, left_on=["event_id", "offset"], right_on=["event_id", "tau"], suffix="_ours"
    )
    assert both.height == rows.height == 66
    same = both.filter((pl.col("nll_ours") / pl.col("nll") - 1).abs() < 1e-6)
    higher = both.filter(pl.col("nll_ours") < pl.col("nll") * (1 - 1e-6))
    assert same.height + higher.height == 66
    assert same.height == (66 if name == "garch11" else 44)
    for row in same.iter_rows(named=True):
        if row["ar"] is None:  # a day without a return has a variance in the file; we give it no standard error
            assert row["ar_ours"] is None
            continue
        # an abnormal return next to zero is a difference of larger numbers: a hundred-thousandth of its own noise
        assert math.isclose(row["ar_ours"], row["ar"], rel_tol=GARCH, abs_tol=0.1 * GARCH * row["se"])
        assert math.isclose(row["se"] ** 2, row["h"], rel_tol=GARCH)


def test_garch_parameters(changing):
    name, rows, result = changing
    parameters = ("omega", "arch", "garch") if name == "garch11" else ("omega", "arch", "leverage", "garch")
    gold = {row["event_id"]: row for row in rows.unique("event_id").iter_rows(named=True)}
    compared = 0
    for row in result.estimates.iter_rows(named=True):
        theirs = gold[row["event_id"]]
        if not math.isclose(row["nll"], theirs["nll"], rel_tol=1e-6):
            continue
        # EGARCH's omega is that of 100 R in the file: ln h moves by a constant
        shift = (1 - row["garch"]) * math.log(100.0**2) if name == "egarch11" else 0.0
        ours = [row["alpha"], row["beta"], row["omega"] + shift, *(row[p] for p in parameters[1:])]
        given = [float(value) for value in f"{theirs['coef']} {theirs['garch']}".split()]
        # coefficients are flatter than the likelihood: ten times its tolerance, and the file has 8 digits
        assert all(math.isclose(a, b, rel_tol=10 * GARCH, abs_tol=1e-7) for a, b in zip(ours, given, strict=True))
        compared += 1
    assert compared == (6 if name == "garch11" else 4)


PORTFOLIOS = pl.read_csv(GOLDEN / "calendar_time.csv").rows(named=True)


@pytest.mark.filterwarnings("ignore:errors='wls' takes the firms:marketimpact.MarketImpactWarning")
@pytest.mark.parametrize(
    "row", PORTFOLIOS, ids=[f"{r['set']}-{r['win']}-{r['factors']}-{r['se_type']}" for r in PORTFOLIOS]
)
def test_calendar_time(golden_market, row):
    found = mi.calendar_time(
        golden(f"events_{row['set']}"),
        golden_market,
        tuple(int(end) for end in row["win"].split(":")),
        factors=tuple(row["factors"].split()),
        excess=True,
        errors={"hac5": "hac"}.get(row["se_type"], row["se_type"]),
        lags=5,
    )
    assert (found.df, found.n_days) == (row["df"], row["n_days"])
    for ours, theirs in zip((found.alpha, found.se, found.t, found.p_value), ("alpha", "se", "t", "p"), strict=True):
        assert math.isclose(ours, row[theirs], rel_tol=RELATIVE)


def test_synthetic_control(golden_market):
    theirs = golden("synthetic_control")
    donors = theirs["donors"][0].split()
    events = golden("events_clustered").filter(pl.col("event_id").is_in(theirs["event_id"].to_list()))
    found = mi.synthetic_control(events, golden_market, donors, estimation_window=(-200, -11), event_window=(0, 0))
    assert theirs.height == found.table.height == 4
    for row in theirs.iter_rows(named=True):
        ours = found.table.row(by_predicate=pl.col("event_id") == row["event_id"], named=True)
        # weights have six digits in the file, and its solver stops at about 1e-4
        assert math.isclose(ours["pre_rmse"], row["rmse"], rel_tol=1e-6)
        assert math.isclose(ours["car"], row["ar0"], abs_tol=1e-6)
        weights = found.weights.filter(pl.col("event_id") == row["event_id"])["weight"].to_list()
        given = [float(value) for value in row["weights"].split()]
        assert all(math.isclose(a, b, abs_tol=1e-4) for a, b in zip(weights, given, strict=True))
