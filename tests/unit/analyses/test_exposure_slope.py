"""Exposure slopes against plain loops of least squares, statsmodels and the package's filtered test."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import scipy
import statsmodels.api as sm

import marketimpact as mi
from marketimpact.display.charts import to_svg

N, SESSIONS, DAY = 14, 620, 590
DAYS = [date(2022, 1, 3) + timedelta(n) for n in range(SESSIONS)]
SYMBOLS = [f"F{n:02d}" for n in range(N)]
PAST, GAP = 250, 10
RNG = np.random.default_rng(11)
EXPOSURE = np.round(RNG.uniform(0.0, 0.6, N), 3)
SIZE = np.round(RNG.normal(0.0, 1.0, N), 3)
WEIGHT = RNG.uniform(0.5, 3.0, N)
MARKET = 0.01 * RNG.standard_t(5, SESSIONS)
#: Heavy tails, betas, a factor that loads on the exposure, and volatility that moves slowly.
VOLATILITY = np.exp(0.3 * np.sin(np.arange(SESSIONS) / 40.0))
RETURNS = (
    np.outer(0.8 + EXPOSURE, MARKET)
    + np.outer(EXPOSURE, 0.02 * VOLATILITY * RNG.standard_t(4, SESSIONS))
    + 0.01 * RNG.standard_t(4, (N, SESSIONS))
)
#: Firms without a return now and then, one of them on a session of the event of another announcement.
MISSING = np.zeros((N, SESSIONS), dtype=bool)
MISSING[3, 400:420] = MISSING[5, 350] = MISSING[7, 440:442] = True


def exposures(**columns: object) -> pl.DataFrame:
    return pl.DataFrame({"symbol": SYMBOLS, "exposure": EXPOSURE, **columns})


def market_of(returns: np.ndarray, missing: np.ndarray = MISSING) -> mi.Market:
    rows = [(DAYS[t], SYMBOLS[n], None if missing[n, t] else float(returns[n, t]))
            for n in range(N) for t in range(SESSIONS)]  # fmt: skip
    frame = pl.DataFrame(rows, schema={"date": pl.Date, "symbol": pl.String, "ret": pl.Float64}, orient="row")
    return mi.Market.from_returns(frame, pl.DataFrame({"date": DAYS, "ret": MARKET}))


@pytest.fixture(scope="module")
def market() -> mi.Market:
    return market_of(RETURNS)


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    """Six announcements, two of them on one date; every firm repeats."""
    days = [560, 566, 572, 580, 590, 590]
    return pl.DataFrame(
        {
            "event_id": [f"a{k}:{symbol}" for k in range(len(days)) for symbol in SYMBOLS],
            "announcement_id": [f"a{k}" for k in range(len(days)) for _ in SYMBOLS],
            "symbol": SYMBOLS * len(days),
            "date": [DAYS[day] for day in days for _ in SYMBOLS],
        }
    )


def values(missing: np.ndarray = MISSING) -> np.ndarray:
    return np.where(missing, np.nan, RETURNS)


def plain_slopes(y: np.ndarray, x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Least squares by numpy on the firms that have a return, constant left out."""
    keep = ~np.isnan(y)
    root = np.sqrt(np.ones(keep.sum()) if weights is None else weights[keep])
    design = np.column_stack([np.ones(keep.sum()), x[keep]])
    return np.linalg.lstsq(design * root[:, None], y[keep] * root, rcond=None)[0][1:]


def plain_past(day: int, length: int, past: int, x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Slopes of the windows of the past one by one, (L, K)."""
    ret, found = values(), []
    for k in range(past // length):
        last = day - GAP - k * length  # the session after the window
        found.append(plain_slopes(ret[:, last - length : last].sum(axis=1), x, weights))
    return np.array(found[::-1])


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_z_and_rank_are_those_of_a_loop_over_the_past(market, length, weighted):
    weights = WEIGHT if weighted else None
    given = exposures(weight=WEIGHT)
    found = mi.exposure_slope(
        market, DAYS[DAY], given, (0, length - 1), columns="exposure", weights="weight" if weighted else None
    )
    row = found.frame.row(0, named=True)
    x = EXPOSURE[:, None]
    slope = plain_slopes(values()[:, DAY : DAY + length].sum(axis=1), x, weights)[0]
    past = plain_past(DAY, length, PAST, x, weights)[:, 0]
    count = len(past)
    z = (slope - past.mean()) / (past.std(ddof=1) * np.sqrt(1 + 1 / count))
    everything = np.abs(np.append(past, slope) - past.mean())
    assert found.past["slope"].to_numpy() == pytest.approx(past, rel=1e-9)
    assert (row["slope"], row["z"], row["df"]) == pytest.approx((slope, z, count - 1), rel=1e-9)
    assert row["p_value"] == pytest.approx(2 * scipy.stats.t.sf(abs(z), count - 1), rel=1e-9)
    assert row["p_rank"] == (everything >= everything[-1]).sum() / (count + 1)
    assert (row["n_firms"], row["n_past"]) == (N, count)


def test_the_minimum_detectable_slope_has_a_power_of_80_percent(market):
    row = mi.exposure_slope(market, DAYS[DAY], exposures()).frame.row(0, named=True)
    for name in ("", "_filtered"):
        se, df = row[f"se{name}"], row["df_filtered"] if name else row["df"]
        power = scipy.stats.nct.sf(scipy.stats.t.isf(0.025, df), df, row[f"mde{name}"] / se)
        assert power == pytest.approx(0.80, abs=1e-6)
        low, high = row[f"ci_low{name}"], row[f"ci_high{name}"]
        assert (low + high) / 2 == pytest.approx(row["slope"] - row["past_mean"], rel=1e-9)
        assert (high - low) / 2 == pytest.approx(scipy.stats.t.isf(0.025, df) * se, rel=1e-9)


def test_several_exposures_are_one_regression(market):
    found = mi.exposure_slope(market, DAYS[DAY], exposures(size=SIZE), columns=["exposure", "size"])
    x = np.column_stack([EXPOSURE, SIZE])
    slope = plain_slopes(values()[:, DAY : DAY + 2].sum(axis=1), x)
    past = plain_past(DAY, 2, PAST, x)
    assert found.frame["regressor"].to_list() == ["exposure", "size"]
    assert found.frame["slope"].to_numpy() == pytest.approx(slope, rel=1e-9)
    assert found.frame["past_mean"].to_numpy() == pytest.approx(past.mean(axis=0), rel=1e-8)
    assert found.frame["se"].to_numpy() == pytest.approx(
        past.std(axis=0, ddof=1) * np.sqrt(1 + 1 / len(past)), rel=1e-9
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_hc1_is_that_of_statsmodels(market, weighted):
    given = exposures(weight=WEIGHT)
    found = mi.exposure_slope(market, DAYS[DAY], given, columns="exposure", weights="weight" if weighted else None)
    y = RETURNS[:, DAY : DAY + 2].sum(axis=1)
    model = sm.WLS(y, sm.add_constant(EXPOSURE), weights=WEIGHT if weighted else np.ones(N))
    assert found.frame["hc1_p"][0] == pytest.approx(model.fit(cov_type="HC1", use_t=True).pvalues[1], rel=1e-9)
    assert found.frame.columns[-1] == "hc1_p"
    assert "(not valid on one date)" in " ".join(repr(found).split())


@pytest.mark.parametrize("length", [1, 2])
def test_the_filter_is_that_of_the_filtered_test_of_the_slopes_portfolio(length):
    """The daily slope is the return of a portfolio: its own mean-adjusted study gives the same p."""
    complete = market_of(RETURNS, np.zeros_like(MISSING))
    row = mi.exposure_slope(complete, DAYS[DAY], exposures(), (0, length - 1)).frame.row(0, named=True)
    daily = np.array([plain_slopes(RETURNS[:, t], EXPOSURE[:, None])[0] for t in range(SESSIONS)])
    portfolio = mi.Market.from_returns(
        pl.DataFrame({"date": DAYS, "symbol": "slope", "ret": daily}), pl.DataFrame({"date": DAYS, "ret": MARKET})
    )
    event = pl.DataFrame({"event_id": ["a"], "symbol": ["slope"], "date": [DAYS[DAY]]})
    study = mi.EventStudy(
        model=mi.MeanAdjusted(), estimation_window=(-GAP - PAST, -GAP - 1), event_window=(0, length - 1)
    )
    car = study.run(event, portfolio).car(0, length - 1).row(0, named=True)
    assert row["slope"] - row["past_mean"] == pytest.approx(car["car"], rel=1e-9)
    assert row["variance_ratio"] == pytest.approx(car["variance_ratio"], rel=1e-9)
    assert row["p_filtered"] == pytest.approx(car["p_filtered"], rel=1e-2)


def plain_market_models(day: int, length: int) -> np.ndarray:
    """Abnormal returns summed over a window, the market model of each firm from the 250 sessions before the gap."""
    ret, found = values(), np.full(N, np.nan)
    for n in range(N):
        before = slice(day - GAP - 250, day - GAP)
        keep = ~np.isnan(ret[n, before])
        design = np.column_stack([np.ones(keep.sum()), MARKET[before][keep]])
        alpha, beta = np.linalg.lstsq(design, ret[n, before][keep], rcond=None)[0]
        found[n] = (ret[n, day : day + length] - alpha - beta * MARKET[day : day + length]).sum()
    return found


def test_abnormal_returns_are_those_of_a_market_model_before_each_window(market):
    found = mi.exposure_slope(market, DAYS[DAY], exposures(), abnormal=True, past=60)
    event = plain_market_models(DAY, 2)
    assert found.firms["ret"].to_numpy() == pytest.approx(event, rel=1e-8)
    starts = [DAY - GAP - 2 * k for k in range(30, 0, -1)]
    past = np.array([plain_slopes(plain_market_models(start, 2), EXPOSURE[:, None])[0] for start in starts])
    assert found.past["slope"].to_numpy() == pytest.approx(past, rel=1e-8)
    assert found.frame["slope"][0] == pytest.approx(plain_slopes(event, EXPOSURE[:, None])[0], rel=1e-8)


def plain_gls(day: int, length: int, *, abnormal: bool) -> float:
    """GLS by statsmodels; the covariance by the correlation's leading components, written again."""
    ret = values()
    y = plain_market_models(day, length) if abnormal else ret[:, day : day + length].sum(axis=1)
    keep = ~np.isnan(y)
    before = slice(day - GAP - 250, day - GAP)
    past = ret[keep, before]
    complete = ~np.isnan(past).any(axis=0)
    past = past[:, complete]
    if abnormal:
        design = sm.add_constant(MARKET[before][complete])
        past = np.array([sm.OLS(own, design).fit().resid for own in past])
    n, sessions = past.shape
    correlation, sd = np.corrcoef(past), past.std(axis=1, ddof=1)
    eigenvalues, vectors = np.linalg.eigh(correlation)
    edge = (1 + np.sqrt(n / sessions)) ** 2
    count = max(1, min((eigenvalues > edge).sum(), n // 4))
    shared = sum(eigenvalues[-k] * np.outer(vectors[:, -k], vectors[:, -k]) for k in range(1, count + 1))
    own = np.diag(correlation) - np.diag(shared)
    covariance = np.outer(sd, sd) * (shared + np.diag(np.maximum(own, 0.1 * own.mean())))
    return sm.GLS(y[keep], sm.add_constant(EXPOSURE[keep]), sigma=covariance).fit().params[1]


@pytest.mark.parametrize("abnormal", [False, True])
def test_gls_weighs_by_the_covariance_before_each_window(market, abnormal):
    found = mi.exposure_slope(market, DAYS[DAY], exposures(), method="gls", abnormal=abnormal, past=60)
    assert found.frame["slope"][0] == pytest.approx(plain_gls(DAY, 2, abnormal=abnormal), rel=1e-7)
    starts = [DAY - GAP - 2 * k for k in range(30, 0, -1)]
    past = [plain_gls(start, 2, abnormal=abnormal) for start in starts]
    assert found.past["slope"].to_numpy() == pytest.approx(past, rel=1e-7)


@pytest.mark.parametrize("method", ["ols", "gls"])
def test_scale_and_level_of_an_exposure_change_no_test(market, method):
    """A slope per percent is a hundredth of one per unit; a shock to all firms alike is none."""
    plain = mi.exposure_slope(market, DAYS[DAY], exposures(), method=method, past=60)
    scaled = mi.exposure_slope(
        market, DAYS[DAY], exposures().with_columns(pl.col("exposure") * 100 + 7), method=method, past=60
    )
    moved = RETURNS.copy()
    moved[:, DAY] += 0.2
    shocked = mi.exposure_slope(market_of(moved), DAYS[DAY], exposures(), method=method, past=60)
    names = ["z", "p_value", "p_rank", "p_filtered"]
    for other, unit in ((scaled, 100.0), (shocked, 1.0)):
        assert other.frame.select(names).row(0) == pytest.approx(plain.frame.select(names).row(0), rel=1e-6)
        assert other.frame["slope"][0] * unit == pytest.approx(plain.frame["slope"][0], rel=1e-6)


def test_a_planted_slope_is_added_to_the_estimate(market):
    moved = RETURNS.copy()
    moved[:, DAY] += 0.3 * EXPOSURE
    plain, planted = (mi.exposure_slope(each, DAYS[DAY], exposures()) for each in (market, market_of(moved)))
    assert planted.frame["slope"][0] - plain.frame["slope"][0] == pytest.approx(0.3, abs=1e-9)
    assert planted.frame["p_value"][0] < plain.frame["p_value"][0]


def test_the_path_is_the_slope_of_every_session(market):
    path = mi.exposure_slope(market, DAYS[DAY], exposures()).path(-3, 4)
    daily = [plain_slopes(values()[:, DAY + tau], EXPOSURE[:, None])[0] for tau in range(-3, 5)]
    past = plain_past(DAY, 1, PAST, EXPOSURE[:, None])[:, 0]
    sums = plain_past(DAY, 3, PAST, EXPOSURE[:, None])[:, 0]
    assert path["tau"].to_list() == list(range(-3, 5))
    assert path["slope"].to_numpy() == pytest.approx(daily, rel=1e-9)
    assert path["cumulative"].to_numpy() == pytest.approx(np.cumsum(daily), rel=1e-9)
    for column, spread, low, high in (("slope", past, "ci_low", "ci_high"),
                                      ("cumulative", sums, "cumulative_low", "cumulative_high")):  # fmt: skip
        half = scipy.stats.t.isf(0.025, len(spread) - 1) * spread.std(ddof=1) * np.sqrt(1 + 1 / len(spread))
        row = path.row(2, named=True)
        assert row[low] == pytest.approx(row[column] - spread.mean() - half, rel=1e-8)
        assert row[high] == pytest.approx(row[column] - spread.mean() + half, rel=1e-8)


def test_excluded_days_are_left_out_of_the_past_and_never_of_the_event(market):
    gone = [*range(DAY - 60, DAY - 50), DAY]
    days = pl.DataFrame({"symbol": SYMBOLS * len(gone), "date": [DAYS[t] for t in gone for _ in SYMBOLS]})
    plain, without = (mi.exposure_slope(market, DAYS[DAY], exposures(), (0, 0), exclude=each) for each in (None, days))
    assert without.frame["slope"][0] == plain.frame["slope"][0]
    assert plain.frame["n_past"][0] - without.frame["n_past"][0] == 10
    assert without.past.filter(pl.col("slope").is_null())["tau"].to_list() == list(range(-60, -50))
    assert any("240 of 250 windows" in note for note in without.notes)


# --- several dates ----------------------------------------------------------------------------------------------------


def test_the_mean_over_dates_is_fama_and_macbeths(market, events):
    apart = events.filter(pl.col("announcement_id") != "a5")
    found = mi.exposure_slope(market, apart, exposures(), (0, 1))
    slopes = [plain_slopes(values()[:, t : t + 2].sum(axis=1), EXPOSURE[:, None])[0] for t in (560, 566, 572, 580, 590)]
    theirs = scipy.stats.ttest_1samp(slopes, 0.0)
    row = found.frame.row(by_predicate=pl.col("test") == "fama_macbeth", named=True)
    assert found.slopes["slope"].to_list() == pytest.approx(slopes, rel=1e-9)
    assert (row["statistic"], row["p_value"]) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)
    assert (row["n_dates"], row["df"], row["valid"]) == (5, 4, True)


def test_fama_macbeth_agrees_with_linearmodels(market, events):
    panel = pytest.importorskip("linearmodels.panel.model")
    pd = pytest.importorskip("pandas")
    apart = events.filter(pl.col("announcement_id") != "a5")
    found = mi.exposure_slope(market, apart, exposures(), (0, 0))
    firms = found.firms.with_columns(pl.lit(1.0).alias("const"))
    index = pd.MultiIndex.from_arrays([firms["symbol"].to_list(), pd.to_datetime(firms["date"].to_list())])
    frame = pd.DataFrame({name: firms[name].to_list() for name in ("ret", "const", "exposure")}, index=index)
    theirs = panel.FamaMacBeth(frame["ret"], frame[["const", "exposure"]]).fit(cov_type="unadjusted", debiased=True)
    row = found.frame.row(by_predicate=pl.col("test") == "fama_macbeth", named=True)
    assert row["slope"] == pytest.approx(theirs.params["exposure"], rel=1e-9)
    assert row["se"] == pytest.approx(theirs.std_errors["exposure"], rel=1e-9)


def test_the_mean_is_compared_with_all_dates_moved_alike(market, events):
    found = mi.exposure_slope(market, events, exposures(), (0, 1))
    days = (560, 566, 572, 580, 590, 590)
    past = np.mean([plain_past(day, 2, PAST, EXPOSURE[:, None])[:, 0] for day in days], axis=0)
    mean = np.mean([plain_slopes(values()[:, t : t + 2].sum(axis=1), EXPOSURE[:, None])[0] for t in days])
    z = (mean - past.mean()) / (past.std(ddof=1) * np.sqrt(1 + 1 / len(past)))
    rows = {row["test"]: row for row in found.frame.iter_rows(named=True)}
    assert rows["past_z"]["statistic"] == pytest.approx(z, rel=1e-8)
    everything = np.abs(np.append(past, mean) - past.mean())
    assert rows["past_rank"]["p_value"] == (everything >= everything[-1]).sum() / (len(past) + 1)
    assert not rows["fama_macbeth"]["valid"]
    assert "overlap" in rows["fama_macbeth"]["note"]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_pooled_slope_has_effects_of_dates_and_clusters_by_date(market, events, weighted):
    """Frisch and Waugh by dummies of dates; the sandwich by sums of scores over dates."""
    given = exposures(weight=WEIGHT)
    found = mi.exposure_slope(market, events, given, columns="exposure", weights="weight" if weighted else None)
    row = found.frame.row(by_predicate=pl.col("test") == "pooled", named=True)
    days = (560, 566, 572, 580, 590, 590)
    w = np.tile(WEIGHT if weighted else np.ones(N), len(days))
    y = np.concatenate([RETURNS[:, t : t + 2].sum(axis=1) for t in days]) * np.sqrt(w)
    dummies = np.kron(np.eye(len(days)), np.ones((N, 1))) * np.sqrt(w)[:, None]
    x = np.tile(EXPOSURE, len(days)) * np.sqrt(w)
    slope = np.linalg.lstsq(np.column_stack([x, dummies]), y, rcond=None)[0][0]
    left = x - dummies @ np.linalg.lstsq(dummies, x, rcond=None)[0]
    residual = (y - dummies @ np.linalg.lstsq(dummies, y, rcond=None)[0]) - slope * left
    scores = (left * residual).reshape(len(days), N).sum(axis=1)
    groups, count = len(days), len(y)
    factor = groups / (groups - 1) * (count - 1) / (count - 1)
    se = np.sqrt(factor * (scores**2).sum()) / (left**2).sum()
    assert (row["slope"], row["se"]) == pytest.approx((slope, se), rel=1e-9)
    assert row["p_value"] == pytest.approx(2 * scipy.stats.t.sf(abs(slope / se), groups - 1), rel=1e-9)
    assert "clustered by date needs 20" in row["note"]


def test_exposures_may_differ_between_announcements(market, events):
    two = events.filter(pl.col("announcement_id").is_in(["a0", "a3"]))
    values_by_date = pl.concat(
        [
            exposures(announcement_id=["a0"] * N),
            exposures(announcement_id=["a3"] * N).with_columns(exposure=pl.Series(SIZE)),
        ]
    )
    found = mi.exposure_slope(market, two, values_by_date, (0, 0))
    slopes = [plain_slopes(RETURNS[:, t], x[:, None])[0] for t, x in ((560, EXPOSURE), (580, SIZE))]
    assert found.slopes["slope"].to_list() == pytest.approx(slopes, rel=1e-9)


def test_an_announcement_without_a_slope_is_listed(market, events):
    early = events.filter(pl.col("announcement_id") == "a0").with_columns(
        pl.lit("early").alias("announcement_id"),
        pl.format("early:{}", "symbol").alias("event_id"),
        date=pl.lit(DAYS[40]),
    )
    found = mi.exposure_slope(market, pl.concat([events, early]), exposures())
    assert found.slopes["announcement_id"].n_unique() == 6
    row = found.attrition.filter(pl.col("reason") == "no_slope").row(0, named=True)
    assert row["announcement_id"] == "early"
    assert "Load a longer span" in row["detail"]


# --- firms ------------------------------------------------------------------------------------------------------------


def test_each_firm_has_its_own_day_0(market):
    days = [DAY if n % 2 else DAY - 3 for n in range(N)]
    events = pl.DataFrame({"event_id": SYMBOLS, "symbol": SYMBOLS, "announcement_id": ["a"] * N,
                           "date": [DAYS[day] for day in days]})  # fmt: skip
    found = mi.exposure_slope(market, events, exposures(), (0, 0), past=60)
    y = np.array([RETURNS[n, day] for n, day in enumerate(days)])
    assert found.frame["slope"][0] == pytest.approx(plain_slopes(y, EXPOSURE[:, None])[0], rel=1e-9)
    last = np.array([RETURNS[n, day - GAP - 1] for n, day in enumerate(days)])
    assert found.past["slope"][-1] == pytest.approx(plain_slopes(last, EXPOSURE[:, None])[0], rel=1e-9)


def test_firms_without_exposure_or_return_are_listed_and_never_zero(market):
    missing = MISSING.copy()
    missing[2, DAY] = True
    missing[4, DAY - 200 : DAY - 20] = True
    given = pl.DataFrame({"symbol": [*SYMBOLS, "ABROAD"], "exposure": [None, np.nan, *EXPOSURE[2:], 0.5]}, strict=False)
    found = mi.exposure_slope(market_of(RETURNS, missing), DAYS[DAY], given)
    assert dict(found.attrition.select("symbol", "reason").rows()) == {
        "F00": "no_exposure", "F01": "no_exposure", "F02": "no_event_return", "F04": "short_past",
        "ABROAD": "unknown_symbol",
    }  # fmt: skip
    used = [n for n in range(N) if n not in (0, 1, 2, 4)]
    assert found.firms["symbol"].to_list() == [SYMBOLS[n] for n in used]
    y = RETURNS[used, DAY : DAY + 2].sum(axis=1)
    assert found.frame["slope"][0] == pytest.approx(plain_slopes(y, EXPOSURE[used, None])[0], rel=1e-9)
    assert "2 no_exposure" in repr(found)


def test_a_firm_with_an_implausible_return_is_listed():
    moved = RETURNS.copy()
    moved[6, DAY - 100] = 4.0
    market = market_of(moved)
    found = mi.exposure_slope(market, DAYS[DAY], exposures())
    row = found.attrition.row(0, named=True)
    assert (row["symbol"], row["reason"]) == ("F06", "implausible_return")
    assert "accept=[('F06'" in row["detail"]


def test_a_date_without_a_session_is_the_next_one_with_a_note(sample_market):
    firms = sample_market.securities.filter(pl.col("mic").is_in(["XNAS", "XNYS"]))
    given = firms.select("symbol", (pl.col("role") == "equipment").alias("makes_tools"))
    saturday, monday = (mi.exposure_slope(sample_market, day, given) for day in ("2025-08-16", "2025-08-18"))
    assert saturday.frame.equals(monday.frame)
    assert "no session on 2025-08-16: day 0 of 45 firms is 2025-08-18" in saturday.notes
    assert not any("no session" in note for note in monday.notes)


def test_names_are_looked_up_in_events_then_securities(sample_market):
    firms = sample_market.securities.filter(pl.col("mic").is_in(["XNAS", "XNYS"]))
    made = firms.with_columns((pl.col("role") == "equipment").alias("makes_tools"))
    market = mi.Market.load(made, mi.SamplePrices())
    by_name = mi.exposure_slope(market, "2025-08-12", "makes_tools")
    by_frame = mi.exposure_slope(market, "2025-08-12", made.select("symbol", "makes_tools"))
    assert by_name.frame.equals(by_frame.frame)
    announced = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    events = mi.align(announced, market, symbols="all").with_columns(makes_tools=pl.col("symbol").str.len_chars())
    own = mi.exposure_slope(market, events, "makes_tools")
    assert own.firms["makes_tools"].to_list() == [float(len(symbol)) for symbol in own.firms["symbol"]]


@pytest.mark.filterwarnings("ignore:china_revenue_share:marketimpact.MarketImpactWarning")
def test_shares_of_revenue_are_those_public_before_each_announcement(sample_market):
    american = sample_market.securities.filter(pl.col("mic").is_in(["XNAS", "XNYS"]))
    sample_market = mi.Market.load(american, mi.SamplePrices())
    found = mi.exposure_slope(sample_market, "2025-08-12", "china_revenue_share")
    with pytest.warns(mi.MarketImpactWarning, match="rows but none"):
        known = mi.exposures("2025-08-12").filter(pl.col("symbol").is_in(found.firms["symbol"].implode()))
    assert (
        found.firms.select("symbol", "china_revenue_share").rows()
        == known.select("symbol", "china_revenue_share").sort("symbol").rows()
    )
    assert found.firms["public_on"].max() < date(2025, 8, 12)
    assert any("different bases" in note for note in found.notes)


def with_public_on(column: str, day: date, *, door: str) -> mi.ExposureSlope:
    """Run a slope on 12 August 2025 whose exposure, with a day of publication, comes by one of three doors."""
    firms = mi.securities().filter(pl.col("mic").is_in(["XNAS", "XNYS"]))
    known = firms.with_columns((pl.col("role") == "equipment").alias("makes_tools"), pl.lit(day).alias(column))
    in_securities = mi.Market.load(known if door == "securities" else firms, mi.SamplePrices())
    if door == "securities":
        return mi.exposure_slope(in_securities, "2025-08-12", "makes_tools")
    if door == "frame":
        return mi.exposure_slope(in_securities, "2025-08-12", known.select("symbol", "makes_tools", column))
    announced = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    events = mi.align(announced, in_securities, symbols="all")
    with_exposure = events.join(known.select("symbol", "makes_tools", column), on="symbol", validate="m:1")
    return mi.exposure_slope(in_securities, with_exposure, "makes_tools")


@pytest.mark.parametrize("column", ["public_on", "filed_on"])
@pytest.mark.parametrize(
    ("door", "label"), [("frame", "exposure"), ("events", "events"), ("securities", r"market\.sec")]
)
def test_no_door_takes_an_exposure_that_was_public_too_late(door, label, column):
    announced = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    day = announced["announced_at"].dt.date().item()
    for late in (day, date(2025, 8, 20)):
        with pytest.raises(mi.DataError, match=rf"^{label}.* values became public .* on {late} \({column}\)"):
            with_public_on(column, late, door=door)
    found = with_public_on(column, day - timedelta(days=1), door=door)
    assert found.firms.height == 45
    assert found.firms[column].unique().to_list() == [day - timedelta(days=1)]


@pytest.mark.filterwarnings("ignore:china_revenue_share:marketimpact.MarketImpactWarning")
def test_one_listing_of_a_firm_is_used_where_shares_are_looked_up(sample_market):
    found = mi.exposure_slope(sample_market, "2025-08-12", "china_revenue_share")
    assert {"TSM", "ASML"} <= set(found.firms["symbol"])
    others = found.attrition.filter(reason="other_listing").select("symbol", "detail").rows()
    assert others == [
        ("2330.TW", "another listing of the firm is used (TSM)"),
        ("ASML.AS", "another listing of the firm is used (ASML)"),
    ]
    assert "_recorded_as" not in found.firms.columns
    kept = sample_market.securities.filter(~pl.col("symbol").is_in(["2330.TW", "ASML.AS"]))
    alone = mi.exposure_slope(mi.Market.load(kept, mi.SamplePrices()), "2025-08-12", "china_revenue_share")
    assert found.firms["symbol"].to_list() == alone.firms["symbol"].to_list()


@pytest.mark.filterwarnings("ignore:china_revenue_share:marketimpact.MarketImpactWarning")
def test_the_listing_with_returns_is_used():
    symbols = {*mi.securities()["symbol"], *mi.securities()["benchmark"].drop_nulls()}
    prices = mi.SamplePrices().read(sorted(symbols)).frame
    is_gone = (pl.col("symbol") == "TSM") & (pl.col("date") >= date(2025, 8, 1))
    closes = prices.filter(~is_gone).select("symbol", "date", "close", "volume", adj_close="close")
    market = mi.Market.load(mi.securities(), mi.FilePrices(closes))
    found = mi.exposure_slope(market, "2025-08-12", "china_revenue_share")
    assert {"2330.TW", "ASML"} <= set(found.firms["symbol"])
    assert "TSM" not in found.firms["symbol"]


def test_announcements_of_one_date_count_once_and_have_no_spread(market, events):
    found = mi.exposure_slope(market, events, exposures(), (0, 1))
    assert found.frame["n_dates"].unique().to_list() == [5]
    assert found.slopes.height == 6
    same = events.filter(pl.col("announcement_id").is_in(["a4", "a5"]))
    rows = {row["test"]: row for row in mi.exposure_slope(market, same, exposures()).frame.iter_rows(named=True)}
    for test in ("fama_macbeth", "pooled"):
        assert [rows[test][name] for name in ("se", "statistic", "p_value", "ci_low", "mde")] == [None] * 5
        assert (rows[test]["n_dates"], rows[test]["valid"]) == (1, False)
        assert "the same slope on every date" in rows[test]["note"]
    assert rows["past_z"]["p_value"] is not None


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"past": 59}, mi.SpecificationError, r"past=59: give a whole number of sessions, 60 or more"),
        ({"past": 60, "window": (0, 4)}, mi.SpecificationError, "holds 12 windows of 5 sessions; 20 are needed"),
        ({"past": 250.0}, mi.SpecificationError, "past=250.0"),
        ({"gap": -1}, mi.SpecificationError, "gap=-1"),
        ({"gap": 0, "window": (2, 3)}, mi.SpecificationError, "the past would hold day 0"),
        ({"method": "wls"}, mi.SpecificationError, "choose 'ols', or 'gls'"),
        ({"method": "gls", "weights": "w"}, mi.SpecificationError, "weights='w' with method='gls'"),
        ({"estimation": 20}, mi.SpecificationError, "estimation=20"),
        ({"abnormal": "yes"}, mi.SpecificationError, "abnormal='yes'"),
        ({"window": (1, 0)}, mi.SpecificationError, "reversed"),
        ({"date_or_events": "12.8.2025"}, mi.SpecificationError, "is no date"),
        ({"date_or_events": 20250812}, mi.SpecificationError, "is no date"),
        ({"date_or_events": date(2010, 1, 4)}, mi.DataError, "No firm has a day 0"),
        ({"date_or_events": DAYS[60]}, mi.DataError, "Load a longer span"),
        ({"date_or_events": pl.DataFrame({"symbol": ["F00"]})}, mi.DataError, "lacks 'event_id', 'date'"),
        ({"exposure": "exposre"}, mi.SpecificationError, "'exposre' is no column"),
        ({"exposure": []}, mi.SpecificationError, "give a frame"),
        ({"exposure": 3}, mi.SpecificationError, "give a frame"),
        ({"columns": "exposre"}, mi.SpecificationError, "Did you mean 'exposure'"),
        ({"exposure": exposures(size=SIZE)}, mi.SpecificationError, r"2 columns of numbers .* columns=\["),
        ({"exposure": exposures().head(7)}, mi.DataError, "7 firms have exposures and returns; a slope needs 8"),
        ({"exposure": exposures().vstack(exposures().head(1))}, mi.DataError, "F00 twice"),
        ({"exposure": exposures().with_columns(exposure=0.3)}, mi.DataError, "is 0.3 for all 14 firms"),
        ({"exposure": exposures(), "columns": ["exposure", "exposure"]}, mi.SpecificationError, "columns="),
        (
            {"exposure": exposures(twice=2 * EXPOSURE + 1), "columns": ["exposure", "twice"]},
            mi.DataError, "'twice' is a combination",
        ),
        ({"exposure": exposures(role=["a"] * N), "columns": "role"}, mi.SpecificationError, "an exposure is a number"),
        ({"exposure": exposures().with_columns(exposure=np.inf)}, mi.DataError, "infinite"),
        ({"exposure": exposures().with_columns(exposure=None)}, mi.SpecificationError, "no column of numbers among"),
        (
            {"exposure": exposures(w=[0.0, *WEIGHT[1:]]), "columns": "exposure", "weights": "w"},
            mi.DataError, "not positive",
        ),
        ({"exposure": exposures(public_on=[DAYS[DAY]] * N)}, mi.DataError, "14 values became public"),
        ({"exposure": exposures(filed_on=["2020"] * N)}, mi.DataError, "must hold dates"),
        ({"exposure": exposures().rename({"exposure": "ret"})}, mi.SpecificationError, "'ret' is the name of a column"),
        ({"exposure": exposures().rename({"exposure": "_x"})}, mi.SpecificationError, "Rename the exposure"),
        ({"exposure": exposures().clear()}, mi.DataError, "0 rows"),
        ({"exposure": exposures().drop("symbol")}, mi.DataError, "the column 'symbol'"),
    ],
)  # fmt: skip
def test_bad_input_says_what_to_do(market, change, error, message):
    given = {"date_or_events": DAYS[DAY], "exposure": exposures(), **change}
    with pytest.raises(error, match=message):
        mi.exposure_slope(market, given.pop("date_or_events"), given.pop("exposure"), **given)


def test_a_short_past_is_used_with_a_note(market):
    found = mi.exposure_slope(market, DAYS[100], exposures())
    assert found.frame["n_past"][0] == 45
    assert any("45 of 125 windows" in note for note in found.notes)


def test_gls_needs_sessions_before_every_window(market):
    with pytest.raises(mi.DataError, match="up to 250 before each to estimate from"):
        mi.exposure_slope(market, DAYS[120], exposures(), method="gls")
    found = mi.exposure_slope(market, DAYS[250], exposures(), method="gls")
    assert found.frame["n_past"][0] < 125
    assert any(f"{found.frame['n_past'][0]} of 125 windows" in note for note in found.notes)


def test_a_firm_counts_once(market, events):
    twice = events.filter(pl.col("announcement_id") == "a0")
    twice = pl.concat([twice, twice.head(1).with_columns(event_id=pl.lit("again"))])
    with pytest.raises(mi.DataError, match="F00 has two events of a0"):
        mi.exposure_slope(market, twice, exposures())


def test_two_listings_of_a_firm_are_refused(sample_market):
    given = sample_market.securities.select("symbol", pl.col("symbol").str.len_chars().alias("letters"))
    with pytest.raises(mi.SpecificationError, match="two listings of one firm"):
        mi.exposure_slope(sample_market, "2025-08-12", given)


def test_an_exposure_published_the_day_before_may_be_used(market):
    known = exposures(public_on=[DAYS[DAY - 1]] * N)
    assert (
        mi.exposure_slope(market, DAYS[DAY], known)
        .frame["slope"]
        .equals(mi.exposure_slope(market, DAYS[DAY], exposures()).frame["slope"])
    )


def test_a_path_does_not_begin_in_the_past(market):
    found = mi.exposure_slope(market, DAYS[DAY], exposures())
    with pytest.raises(mi.SpecificationError, match="the past ends in session -11"):
        found.path(-11, 0)
    with pytest.raises(mi.SpecificationError, match="regressor='size' is none of 'exposure'"):
        found.plot("size")


# --- what a reader sees -----------------------------------------------------------------------------------------------


def test_charts_and_tables_say_that_prices_are_simulated(sample_market):
    firms = sample_market.securities.filter(pl.col("mic").is_in(["XNAS", "XNYS"]))
    given = firms.select("symbol", (pl.col("role") == "equipment").alias("makes_tools"))
    one = mi.exposure_slope(sample_market, "2025-08-12", given)
    announced = mi.announcements().filter(pl.col("announced_at").dt.year() == 2025, ~pl.col("is_confounder")).head(4)
    several = mi.exposure_slope(sample_market, mi.align(announced, sample_market, symbols="all"), given)
    for found in (one, several):
        assert "SIMULATED PRICES" in repr(found)
        assert "SIMULATED PRICES" in found._repr_html_()
        assert "simulated prices" in to_svg(found.plot())
    assert "makes_tools" in to_svg(one.plot("makes_tools"))
    assert all(name in to_svg(several.plot()) for name in announced["announcement_id"])


def test_a_changed_variance_makes_z_and_rank_not_valid():
    moved = RETURNS.copy()
    moved[:, DAY - 15 :] *= 4.0
    found = mi.exposure_slope(market_of(moved), DAYS[DAY], exposures())
    row = found.frame.row(0, named=True)
    assert row["variance_ratio"] > 1.5
    assert not row["valid"]
    assert "read p_filtered" in row["note"]
    assert row["p_filtered"] > row["p_value"]
    assert row["valid_filtered"]


def test_after_very_calm_days_the_filtered_p_is_not_valid():
    moved = RETURNS.copy()
    moved[:, DAY - 30 :] *= 0.3
    row = mi.exposure_slope(market_of(moved), DAYS[DAY], exposures()).frame.row(0, named=True)
    assert row["variance_ratio"] < 0.5
    assert row["valid"]
    assert not row["valid_filtered"]
    assert "read p_value and p_rank" in row["note"]


def test_firms_of_several_exchanges_are_told_how_far_their_past_lies_apart(sample_market):
    one_listing = sample_market.securities.filter(pl.col("dual_listing").is_null())
    given = one_listing.select("symbol", (pl.col("country") == "CN").alias("in_china"))
    found = mi.exposure_slope(sample_market, "2025-08-12", given)
    assert any("calendar days apart" in note for note in found.notes)
