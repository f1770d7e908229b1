"""Differences between groups against statsmodels, and their size on simulated markets."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.multivariate.multivariate_ols import MultivariateLS

import marketimpact as mi

DAYS = [date(2024, 1, 1) + timedelta(days=i) for i in range(420)]
LONG, SHORT = pl.col("group") == "a", pl.col("group") == "b"


def market_of(seed, *, firms=9, effect=None, shock=0.01):
    """A benchmark, firms in three groups with a shock they all share, and effects by (group, day index)."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0, 0.01, len(DAYS))
    common = rng.normal(0, shock, len(DAYS))
    frames = []
    for i in range(firms):
        ret = (0.5 + i / 10) * market + common + rng.normal(0, 0.01 + 0.002 * (i % 3), len(DAYS))
        for (group, day), size in (effect or {}).items():
            if "abc"[i % 3] == group:
                ret[day] += size
        frames.append(pl.DataFrame({"date": DAYS, "symbol": f"F{i}", "ret": ret}))
    return mi.Market.from_returns(pl.concat(frames), pl.DataFrame({"date": DAYS, "ret": market}))


def events_on(days, firms=9, skip=()):
    rows = [
        (f"A{k}:F{i}", f"F{i}", DAYS[day], f"A{k}", "abc"[i % 3])
        for k, day in enumerate(days)
        for i in range(firms)
        if (k, i) not in skip
    ]
    return pl.DataFrame(rows, schema=["event_id", "symbol", "date", "announcement_id", "group"], orient="row")


STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(-2, 2))


def mean_return(market, symbols):
    panel = market.panel.filter(pl.col("symbol").is_in(symbols))
    return panel.group_by("date").agg(pl.col("ret").mean(), pl.col("market").first()).sort("date")


def test_a_difference_is_the_regression_of_the_long_short_return():
    market = market_of(1)
    result = STUDY.run(events_on([300]), market)
    ours = mi.differences(result, LONG, SHORT, 0, 1).row(0, named=True)
    a, b = (mean_return(market, [f"F{i}" for i in range(k, 9, 3)]) for k in (0, 1))
    span = slice(100, 290)
    y = (a["ret"] - b["ret"]).to_numpy()
    x = a["market"].to_numpy()
    rows = np.r_[np.arange(100, 290), 300, 301]
    dummies = np.column_stack([rows == 300, rows == 301]).astype(float)
    fitted = sm.OLS(y[rows], np.column_stack([np.ones(len(rows)), x[rows], dummies])).fit()
    both = fitted.t_test([0, 0, 1, 1])
    assert span.stop - span.start == 190
    assert ours["difference"] == pytest.approx(float(both.effect[0]), rel=1e-9)
    assert ours["se"] == pytest.approx(float(np.ravel(both.sd)[0]), rel=1e-9)
    assert ours["p"] == pytest.approx(float(np.ravel(both.pvalue)[0]), rel=1e-8)
    assert stats.nct.sf(stats.t.ppf(0.975, 188), 188, ours["mde"] / ours["se"]) == pytest.approx(0.8, abs=1e-6)
    assert (ours["n_long"], ours["n_short"], ours["df"]) == (3, 3, 188)


def test_equality_on_one_date_is_the_multivariate_regression():
    """Wilks' test that the event day's coefficient is the same for three group portfolios."""
    market = market_of(4)
    result = STUDY.run(events_on([300]), market)
    ours = mi.equal_effects(result, "group", 0, 0).row(0, named=True)
    means = [mean_return(market, [f"F{i}" for i in range(k, 9, 3)]) for k in range(3)]
    rows = np.r_[np.arange(100, 290), 300]
    y = np.column_stack([m["ret"].to_numpy()[rows] for m in means])
    x = np.column_stack([np.ones(len(rows)), means[0]["market"].to_numpy()[rows], rows == 300]).astype(float)
    contrast = np.array([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]).T
    table = MultivariateLS(y, x).fit().mv_test([("same", np.array([[0.0, 0.0, 1.0]]), contrast)])
    wilks = table.results["same"]["stat"].loc["Wilks' lambda"]
    assert ours["statistic"] == pytest.approx(float(wilks["F Value"]), rel=1e-8)
    assert ours["p_value"] == pytest.approx(float(wilks["Pr > F"]), rel=1e-7)
    assert ours["df"] == float(wilks["Den DF"])


def test_over_announcements_the_spread_decides():
    market = market_of(14)
    result = STUDY.run(events_on([240, 260, 280, 300, 320, 340, 360]), market)
    each = mi.differences(result, LONG, SHORT, 0, 1)
    rows = {r["test"]: r for r in mi.difference(result, LONG, SHORT, 0, 1).iter_rows(named=True)}
    t = stats.ttest_1samp(each["difference"].to_numpy(), 0)
    assert rows["date_means_t"]["statistic"] == pytest.approx(t.statistic, rel=1e-10)
    assert rows["date_means_t"]["p_value"] == pytest.approx(t.pvalue, rel=1e-9)
    assert rows["date_means_t"]["valid"]
    permuted = stats.permutation_test(
        (each["difference"].to_numpy(),), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert rows["sign_flip"]["p_value"] == pytest.approx(permuted.pvalue, abs=1e-12)
    # windows apart and no rise within groups: the pooled variance is the mean of the announcements' own, over 7
    assert "no rise is seen" in rows["forecast_error"]["note"]
    assert rows["forecast_error"]["se"] == pytest.approx(np.sqrt((each["se"].to_numpy() ** 2).sum()) / 7, rel=1e-9)


@pytest.mark.parametrize("markets", [30, pytest.param(60, marks=pytest.mark.slow)])
def test_forecast_errors_do_not_hold_where_differences_scatter_more(markets):
    """Share of markets in which scatter is seen: 5% where nothing raised the variance, most where it was tripled."""
    days = [240, 255, 270, 285, 300, 315, 330, 345]
    seen = {1.0: 0, 3.0: 0}
    for seed in range(markets):
        rng = np.random.default_rng(seed)
        noise = {("a", day): float(rng.normal(0, 0.018)) for day in days}
        for ratio, effect in ((1.0, {}), (3.0, noise)):
            result = STUDY.run(events_on(days), market_of(2000 + seed, effect=effect))
            tests = {r["test"]: r for r in mi.difference(result, LONG, SHORT, 0, 0).iter_rows(named=True)}
            assert tests["date_means_t"]["valid"]
            seen[ratio] += not tests["forecast_error"]["valid"]
            if not tests["forecast_error"]["valid"]:
                assert "not valid: differences vary" in tests["forecast_error"]["note"]
                assert tests["forecast_error"] is not next(iter(tests.values()))
    assert abs(seen[1.0] / markets - 0.05) < 3 * np.sqrt(0.05 * 0.95 / markets)
    assert seen[3.0] > 0.8 * markets


def test_windows_with_common_days_are_no_separate_draws():
    result = STUDY.run(events_on([240, 241, 280, 300, 320, 340, 360]), market_of(4))
    rows = {r["test"]: r for r in mi.difference(result, LONG, SHORT, 0, 1).iter_rows(named=True)}
    assert not rows["date_means_t"]["valid"]
    assert "days in common" in rows["date_means_t"]["note"]
    few = {
        r["test"]: r
        for r in mi.difference(result.where(pl.col("date") > DAYS[300]), LONG, SHORT, 0, 1).iter_rows(named=True)
    }
    assert "needs 5 announcements, here are 3" in few["date_means_t"]["note"]


def test_the_effect_put_in_is_found_and_the_common_shock_cancels():
    days = [240, 260, 280, 300, 320, 340]
    effect = {("a", day): -0.03 for day in days} | {("b", day): 0.02 for day in days}
    result = STUDY.run(events_on(days), market_of(5, effect=effect, shock=0.03))
    tests = mi.difference(result, LONG, SHORT, 0, 0)
    # six dates: their own spread comes first
    assert tests["test"].to_list() == ["date_means_t", "sign_flip", "forecast_error"]
    row = tests.row(by_predicate=pl.col("test") == "forecast_error", named=True)
    assert abs(row["estimate"] + 0.05) < 3 * row["se"]
    # the shock of 3% a day would give each group a standard error of 1.2% over six dates
    assert row["se"] < 0.006
    assert row["p_value"] < 1e-6
    equal = mi.equal_effects(result, "group", 0, 0)
    assert (equal["p_value"] < 0.01).all()


@pytest.mark.parametrize("markets", [60, pytest.param(250, marks=pytest.mark.slow)])
def test_size_of_difference_and_equality(markets):
    """Markets with a shared shock and no effect: rejections at 5% within three standard errors."""
    rejected = np.zeros(3)
    for seed in range(markets):
        result = STUDY.run(events_on([300, 320, 340, 360, 380]), market_of(1000 + seed))
        pooled = mi.difference(result, LONG, SHORT, 0, 0).sort("test")["p_value"]
        equal = mi.equal_effects(result, "group", 0, 0).sort("test")["p_value"]
        # date_means_t, forecast_error; equality from forecast errors (Hotelling needs seven dates)
        rejected += np.array([pooled[0], pooled[1], equal[0]]) <= 0.05
    assert (np.abs(rejected / markets - 0.05) < 3 * np.sqrt(0.05 * 0.95 / markets)).all()


def test_groups_that_cannot_be_compared_are_reported():
    result = STUDY.run(events_on([300, 320], skip={(1, 1), (1, 4), (1, 7)}), market_of(6))
    with pytest.raises(mi.SpecificationError, match="in more than one group"):
        mi.differences(result, LONG, pl.col("symbol").is_in(["F0", "F1"]), 0, 0)
    with pytest.raises(mi.SpecificationError, match="No announcement hit all groups"):
        mi.difference(result, LONG, pl.col("group") == "d", 0, 0)
    with pytest.raises(mi.SpecificationError, match="no column of the events"):
        mi.equal_effects(result, "colour", 0, 0)
    assert "1 announcements that did not hit every group" in mi.difference(result, LONG, SHORT, 0, 0)["note"][0]


def mirrored(seed=7):
    rng = np.random.default_rng(seed)
    rows, effect = [], {}
    for k, day in enumerate(range(230, 400, 12)):
        by = ("US", "CN")[k % 2]
        for i in range(9):
            country = "US" if i < 4 else "CN" if i < 8 else "JP"
            rows.append((f"A{k}:F{i}", f"F{i}", DAYS[day], f"A{k}", by, country, f"C{k // 8}" if k < 2 else None))
        effect[("a", day)] = float(rng.normal(0, 0.002))
    schema = ["event_id", "symbol", "date", "announcement_id", "jurisdiction", "country", "campaign_id"]
    return STUDY.run(pl.DataFrame(rows, schema=schema, orient="row"), market_of(seed, effect=effect))


def test_the_mirror_is_welchs_t_over_clusters():
    result = mirrored()
    table = mi.mirror(result, 0, 1)
    car = result.car(0, 1)
    for side, same in (("at home", True), ("across", False)):
        means = {}
        for who in ("US", "CN"):
            part = car.filter((pl.col("jurisdiction") == who) & pl.col("country").is_in(["US", "CN"]))
            part = part.filter((pl.col("country") == who) == same)
            key = pl.coalesce("campaign_id", "announcement_id")
            means[who] = part.group_by(key.alias("k")).agg(pl.col("car").mean())["car"].to_numpy()
        theirs = stats.ttest_ind(means["US"], means["CN"], equal_var=False)
        row = table.row(by_predicate=(pl.col("side") == side) & (pl.col("steps_by") == "US - CN"), named=True)
        assert row["t"] == pytest.approx(theirs.statistic, rel=1e-9)
        assert row["df"] == pytest.approx(theirs.df, rel=1e-9)
        assert row["p"] == pytest.approx(theirs.pvalue, rel=1e-8)
        one = table.row(by_predicate=(pl.col("side") == side) & (pl.col("steps_by") == "CN"), named=True)
        plain = stats.ttest_1samp(means["CN"], 0)
        assert (one["t"], one["p"]) == pytest.approx((plain.statistic, plain.pvalue), rel=1e-9)
        assert "15 events of firms of other countries left out" in row["note"]


def test_a_campaign_of_both_sides_is_named():
    # A0 by the United States and A1 by China are one campaign
    notes = mi.mirror(mirrored(), 0, 1).filter(pl.col("steps_by") == "US - CN")["note"]
    assert all("steps by both sides, which t takes as independent: 1" in note for note in notes)
    # announcements are twelve sessions apart: windows of thirteen meet
    assert not any("days in common" in note for note in notes)
    wide = STUDY.but(event_window=(-2, 12)).run(mirrored().events.drop("date_given", "mic"), mirrored().market)
    met = mi.mirror(wide, 0, 12).filter(pl.col("steps_by") == "US - CN")["note"]
    assert all("windows of clusters have days in common" in note for note in met)


def test_a_mirror_needs_both_sides():
    result = mirrored()
    with pytest.raises(mi.SpecificationError, match="the events are of steps by US"):
        mi.mirror(result.where(pl.col("jurisdiction") == "US"), 0, 1)
    with pytest.raises(mi.SpecificationError, match="needs the events' columns"):
        mi.mirror(STUDY.run(events_on([300]), market_of(8)), 0, 0)


def test_policy_groups_are_declared_in_the_data():
    firms = mi.securities()
    held = dict(firms.select("symbol", "policy_group").iter_rows())
    assert held["NVDA"] == "restricted_seller"
    assert held["688256.SS"] == "domestic_substitute"
    assert held["0981.HK"] == "domestic_foundry"
    assert held["AMAT"] == "foreign_toolmaker"
    assert held["2330.TW"] == "foreign_foundry"
    assert firms["policy_group"].null_count() == 0
    own = mi.securities(pl.DataFrame({"symbol": ["X"], "mic": ["XNAS"]}))
    assert "policy_group" not in own.columns


@pytest.mark.parametrize(("n_us", "n_cn"), [(4, 5), (5, 4), (5, 5), (6, 5)])
def test_a_mirror_needs_five_clusters_on_either_side(n_us, n_cn):
    steps = ["US"] * n_us + ["CN"] * n_cn
    rows = [
        (f"A{k:02d}:F{i}", f"F{i}", DAYS[230 + 14 * k], f"A{k:02d}", by, "US" if i < 3 else "CN")
        for k, by in enumerate(steps)
        for i in range(6)
    ]
    names = ["event_id", "symbol", "date", "announcement_id", "jurisdiction", "country"]
    result = STUDY.run(pl.DataFrame(rows, schema=names, orient="row"), market_of(9, firms=6))
    for row in mi.mirror(result, 0, 1).iter_rows(named=True):
        if row["steps_by"] in ("US", "CN"):
            n = {"US": n_us, "CN": n_cn}[row["steps_by"]]
            assert row["n_clusters"] == n
            assert row["note"] == (f"only {n} clusters; at least 5 are needed" if n < 5 else None)
        else:
            assert row["n_clusters"] == n_us + n_cn
            assert row["note"] == ("fewer than 5 clusters on one side" if min(n_us, n_cn) < 5 else None)
