"""What tests assume, checked for events: diagnostics against plain numpy, reasons and the primary test against designs.

Samples come from tests/size/situations.py, which repeat dates, and firms where a situation says so.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import marketimpact as mi
from marketimpact.inference import SampleStructure, primary_test, structure
from marketimpact.inference.reasons import violated
from tests.size.situations import SITUATIONS


@cache
def result_of(key: str, seed: int = 1) -> mi.StudyResult:
    drawn = SITUATIONS[key].draw(np.random.default_rng(seed))
    return drawn.study.run(drawn.events, drawn.market)


def facts_of(key: str, seed: int = 1) -> SampleStructure:
    return structure(result_of(key, seed).sample(*SITUATIONS[key].window))


def rows_of(key: str, seed: int = 1, **options) -> dict[str, dict]:
    table = result_of(key, seed).test(*SITUATIONS[key].window, **options)
    return {row["test"]: row for row in table.iter_rows(named=True)}


def series(key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised residuals (N, M), those of the 40 sessions before the window (N, 40), day 0 (N,), by regression."""
    situation, result = SITUATIONS[key], result_of(key)
    panel = result.market.select("symbol", "date", "ret", "market").sort("symbol", "date")
    days = panel["date"].unique().sort().to_list()
    wide = {symbol[0]: part for symbol, part in panel.partition_by("symbol", as_dict=True).items()}
    first, last = situation.estimation
    z, recent, day0 = [], [], []
    for symbol, date in result.events.select("symbol", "date").iter_rows():
        at = days.index(date)
        ret, market = wide[symbol]["ret"].to_numpy(), wide[symbol]["market"].to_numpy()
        x = np.column_stack([np.ones_like(market), market])
        inside = slice(at + first, at + last + 1)
        beta = np.linalg.lstsq(x[inside], ret[inside], rcond=None)[0]
        e = ret - x @ beta
        sigma = np.sqrt((e[inside] ** 2).sum() / (last - first - 1))
        z.append(e[inside] / sigma)
        begin = at + situation.window[0]
        recent.append(e[begin - 40 : begin] / sigma)
        day0.append(at)
    return np.array(z), np.array(recent), np.array(day0)


def by_date(values: np.ndarray, day0: np.ndarray) -> np.ndarray:
    return np.array([values[day0 == day].mean(axis=0) for day in np.unique(day0)])


@pytest.mark.parametrize("key", ["calm_6x4", "calm_same_firms"])
def test_moments_and_recent_variance_are_those_of_plain_numpy(key):
    z, recent, day0 = series(key)
    found = facts_of(key).diagnostics
    for moments, values in ((found.event_moments, z), (found.date_moments, by_date(z, day0))):
        variance = (values**2).mean()
        assert moments.skewness == pytest.approx((values**3).mean() / variance**1.5, rel=1e-9, abs=1e-12)
        assert moments.excess_kurtosis == pytest.approx((values**4).mean() / variance**2 - 3, rel=1e-9)
        rho = (values[:, 1:] * values[:, :-1]).sum() / (values**2).sum()
        assert moments.autocorrelation == pytest.approx(rho, rel=1e-9)
        inflation = 1 + 2 * sum((1 - lag / 5) * rho**lag for lag in range(1, 5))
        assert moments.variance_inflation(5) == pytest.approx(inflation, rel=1e-9)
    weight = 0.5 ** (np.arange(40)[::-1] / 5)
    means = by_date(z, day0), by_date(recent, day0)
    for variance, (values, late) in (
        (found.recent_variance_of_events, (z, recent)), (found.recent_variance_of_dates, means),
    ):  # fmt: skip
        size = np.abs(values).mean(axis=1, keepdims=True)
        daily = (np.abs(late) / size).mean(axis=0)
        root = (weight * daily).sum() / weight.sum()
        assert variance.ratio == pytest.approx(root**2, rel=1e-9)
        spread = (np.abs(values) / size).mean(axis=0).std(ddof=1)
        error = spread * np.sqrt((weight**2).sum() / weight.sum() ** 2 + 1 / values.shape[1])
        assert variance.z == pytest.approx((root - 1) / error, rel=1e-9)


@pytest.mark.parametrize("key", ["9", "9b", "calm_10x5"])
def test_common_errors_of_estimation_have_the_variance_of_their_loadings(key):
    """The loading of every shock (security, date) on the mean CAR, and the quadratic form in their covariance."""
    situation, result = SITUATIONS[key], result_of(key)
    sample, days = result.sample(*situation.window), result.market.days
    lowest, width = int(days.min()), int(days.max() - days.min()) + 1
    symbols = {name: row for row, name in enumerate(result.events["symbol"].unique().sort())}
    full = np.zeros((len(symbols), width))
    window_only, own = np.zeros_like(full), {}
    residuals, dates, window = (
        part.to_array() for part in (sample.residuals, sample.residual_dates, sample.window_dates)
    )
    for i, (symbol, date) in enumerate(result.events.select("symbol", "date").iter_rows()):
        row, weight = symbols[symbol], sample.sigma[i] / sample.n
        used = dates[i][~np.isnan(residuals[i])] - lowest
        alone = own.setdefault(date, np.zeros_like(full))
        for load in (full, alone):
            load[row, used] -= weight * sample.length / len(used)
        for load in (full, window_only):
            load[row, window[i] - lowest] += weight
    rows = [i for i, s in enumerate(result.events["symbol"]) if s not in result.events["symbol"][:i].to_list()]
    z = np.full((len(rows), width), np.nan)
    for k, i in enumerate(rows):
        z[k, dates[i] - lowest] = residuals[i] / sample.sigma[i]
    n = (~np.isnan(z)).sum(axis=0)
    total, squares = np.nansum(z, axis=0), np.nansum(z**2, axis=0)
    r = (total**2 - squares).sum() / (n * (n - 1)).sum()

    def variance(load: np.ndarray) -> float:
        return (1 - r) * (load**2).sum() + r * (load.sum(axis=0) ** 2).sum()

    apart = variance(window_only) + sum(variance(load) for load in own.values())
    assert sample.estimation_inflation == pytest.approx(variance(full) / apart, rel=1e-9)


def test_common_errors_have_the_closed_form_for_two_windows_of_one_security():
    """Cov = L^2 s^2 (c - 1{inside}) / T: one firm, two dates 30 apart, five sessions."""
    situation = SITUATIONS["calm_same_firms"]
    drawn = situation.draw(np.random.default_rng(3))
    first = drawn.events.filter(pl.col("symbol") == "S00").sort("date").head(2)
    study = mi.EventStudy(estimation_window=(-250, -11), event_window=(0, 4))
    found = study.run(first, drawn.market).sample(0, 4).estimation_inflation
    length, days = 5, 240
    # the second estimation window begins 30 sessions later and holds the first window
    covariance = length**2 * ((days - 30) / days - 1.0) / days
    variance = length * (1 + length / days)
    sigma = study.run(first, drawn.market).sample(0, 4).sigma
    expected = 1 + 2 * covariance * sigma[0] * sigma[1] / (variance * (sigma**2).sum())
    assert found == pytest.approx(expected, rel=1e-9)


def test_portfolio_regression_over_dates_has_the_variance_of_common_errors():
    row, sample = rows_of("9")["portfolio_regression"], result_of("9").sample(-5, 5)
    portfolios = sample.portfolios()
    share = portfolios.n_events / portfolios.n_events.sum()
    apart = ((share * portfolios.se) ** 2).sum()
    assert row["se"] == pytest.approx(np.sqrt(apart * sample.estimation_inflation), rel=1e-9)
    assert "common errors of estimation make the variance 1.3" in row["note"]
    assert row["valid"]


def test_the_variance_test_allows_for_fat_tails():
    facts = facts_of("calm_one_date_24")
    n, kurtosis = facts.n_events, facts.diagnostics.event_moments.excess_kurtosis
    df = 2 / (2 / (n - 1) + kurtosis / n)
    assert facts.variance_p == pytest.approx(stats.chi2.sf(df * facts.variance_ratio, df), rel=1e-9)
    assert np.isnan(facts_of("calm_1").variance_p)


#: Situation, sample, assumption that does not hold, words of the reason.
NOT_MET = [
    ("14", "recent variance", "recent variance is"),
    ("2", "recent variance", "times that of the estimation window"),
    ("own_2", "recent variance", "of that of the estimation window"),
    ("24_04", "one direction", "opposite directions on one factor"),
    ("10_one_date", "little skewness", "are too few for a t test"),
    ("10c", "symmetry", "assumes symmetric abnormal returns"),
    ("7", "windows apart", "enter the windows of different dates at different sessions"),
    ("8b", "many blocks", "240 estimation days are too few (needs 1240)"),
    ("13", "no autocorrelation", "serial_correlation=True"),
    ("11", "no lead or lag", "respond a session later"),
    ("9", "own estimation errors", "share estimation days"),
    ("calm_4x6", "usual common shock", "which 4 dates cannot show (needs 30)"),
    ("calm_4x6", "proportional shocks", "which 4 dates cannot show (needs 30)"),
]


def assumptions(name: str) -> frozenset:
    """An assumption, by which a t test over events is told from one over dates."""
    return frozenset({name, "proportional shocks"} if name == "little skewness" else {name})


@pytest.mark.parametrize(("key", "assumption", "words"), NOT_MET)
def test_an_assumption_that_does_not_hold_is_named_in_most_samples(key, assumption, words):
    reasons = [violated(assumptions(assumption), facts_of(key, seed)) for seed in range(1, 6)]
    found = [reason for reason in reasons if reason]
    assert len(found) >= 3
    assert all(words in reason[-1] for reason in found)


@pytest.mark.parametrize(("key", "assumption"), [(key, name) for key, name, _ in NOT_MET if key != "calm_4x6"])
def test_no_reason_is_given_in_most_calm_samples(key, assumption):
    calm = "calm_24_dates_L5" if len(SITUATIONS[key].sizes) > 1 else "calm_one_date_24_L5"
    reasons = [violated(assumptions(assumption), facts_of(calm, seed)) for seed in range(1, 6)]
    assert sum(map(bool, reasons)) <= 1


def test_a_recent_ratio_without_data_gives_no_reason():
    """A security that trades first at the end of the gap: no recent session has an abnormal return."""
    situation = SITUATIONS["calm_one_date_8"]
    drawn = situation.draw(np.random.default_rng(4))
    panel = drawn.market.select("symbol", "date", "ret")
    day0 = drawn.events["date"][0]
    days = panel["date"].unique().sort().to_list()
    gone = days[days.index(day0) - 40 : days.index(day0)]
    benchmark = drawn.market.select("date", "market").rename({"market": "ret"}).unique("date").sort("date")
    market = mi.Market.from_returns(panel.filter(~pl.col("date").is_in(gone)), benchmark)
    facts = structure(drawn.study.run(drawn.events, market).sample(0, 0))
    assert np.isnan(facts.diagnostics.recent_variance_of_dates.ratio)
    assert violated(frozenset({"recent variance", "proportional shocks"}), facts) == []


PRIMARY = {
    "calm_1": "filtered_placebo_t", "calm_one_date_4": "filtered_placebo_t", "calm_one_date_8": "bmp_kp",
    "calm_one_date_24": "bmp_kp", "calm_2x12": "date_means_t", "calm_6x4": "date_means_t",
    "calm_24_dates": "date_means_t", "7": "bmp_kp", "9": "portfolio_regression",
    "9b": "portfolio_regression", "24_04": "filtered_placebo_t", "10_one_date": "filtered_placebo_t",
    "4": "filtered_placebo_t", "one_x2_10_L21": "filtered_placebo_t", "calm_1_L21": "filtered_placebo_t",
    "14": "bmp_kp",
}  # fmt: skip


@pytest.mark.parametrize("key", PRIMARY)
def test_the_rule_chooses_the_primary_test(key):
    chosen = [primary_test(facts_of(key, seed)).name for seed in range(1, 6)]
    assert chosen.count(PRIMARY[key]) >= 3
    table = result_of(key).test(*SITUATIONS[key].window)
    assert table["role"].to_list().count("primary") == 1
    assert table["role"][0] == "primary"
    assert table["test"][0] == chosen[0]
    assert (table["role"] == "robustness").sum() == 6


@pytest.mark.parametrize("key", ["8a", "9", "own_5"])
def test_of_long_windows_and_dates_that_depend_the_ratio_decides(key):
    """Outside [2/3, 1.5] the variance known the evening before, inside that of the estimation window."""
    names = set()
    for seed in range(1, 9):
        facts = facts_of(key, seed)
        name = primary_test(facts).name
        ratio = facts.sample.filtered_mean.variance_ratio
        if name in ("portfolio_regression", "filtered_placebo_t"):
            assert (name == "filtered_placebo_t") == (not 2 / 3 <= ratio <= 1.5)
        names.add(name)
    assert names & {"portfolio_regression", "filtered_placebo_t", "bmp_kp"}


@pytest.mark.parametrize("key", ["4", "14", "calm_one_date_8"])
def test_the_recent_common_shock_decides_between_the_spread_of_events_and_of_days(key):
    for seed in range(1, 9):
        facts = facts_of(key, seed)
        rose = facts.diagnostics.recent_common_share.ratio > 1.5
        assert primary_test(facts).name == ("filtered_placebo_t" if rose else "bmp_kp")


@pytest.mark.parametrize("key", ["calm_1", "calm_one_date_24", "calm_6x4", "7", "9"])
def test_the_primary_test_does_not_depend_on_abnormal_returns_of_the_events(key):
    situation = SITUATIONS[key]
    moved = situation.with_effect(-0.1).draw(np.random.default_rng(1))
    after = structure(moved.study.run(moved.events, moved.market).sample(*situation.window))
    assert primary_test(after) == primary_test(facts_of(key))


@pytest.mark.parametrize("key", ["calm_1", "calm_one_date_24", "calm_one_date_4", "calm_6x4", "7", "9"])
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_interval_and_p_value_of_a_row_agree(key, alternative):
    for seed in range(1, 6):
        for name, row in rows_of(key, seed, alternative=alternative).items():
            ends = row["ci_low"], row["ci_high"]
            if ends == (None, None):
                assert row["effect_mde"] is None
                continue
            low, high = (sign * np.inf if end is None else end for sign, end in zip((-1, 1), ends, strict=True))
            assert (low < 0 < high) == (row["p_value"] >= 0.05), name
            assert low <= row["effect"] <= high


def test_effects_are_in_returns_and_their_intervals_are_those_of_the_test():
    result = result_of("calm_one_date_24")
    car, rows = result.car(0, 0), rows_of("calm_one_date_24")
    weight = 1 / car["se"].to_numpy()
    effect = float(weight @ car["car"].to_numpy() / weight.sum())
    row = rows["bmp_kp"]
    assert row["effect"] == pytest.approx(effect, rel=1e-9)
    half = stats.t.ppf(0.975, 23) * row["se"] / weight.mean()
    assert_allclose([row["ci_low"], row["ci_high"]], [effect - half, effect + half], rtol=1e-9)
    assert row["effect_mde"] == pytest.approx(row["mde"] / weight.mean(), rel=1e-9)
    portfolio = rows["portfolio_regression"]
    assert portfolio["effect"] == pytest.approx(car["car"].mean(), rel=1e-9)
    assert rows["grank_t"]["effect"] is None


def test_the_band_has_the_variance_of_the_primary_test():
    """One date: pairwise covariances of forecast errors, times the spread of SCARs; several: the spread of means."""
    z, _, _ = series("calm_one_date_24")
    car = result_of("calm_one_date_24").car(0, 0)
    se, scar = car["se"].to_numpy(), car["scar"].to_numpy()
    correlation = np.corrcoef(z)
    variance = se @ correlation @ se / len(se) ** 2
    r = correlation[np.triu_indices_from(correlation, 1)].mean()
    path = result_of("calm_one_date_24").caar(0, 0).row(0, named=True)
    # the portfolio has one variance of coefficients where pairs have each their own: they differ in the fifth digit
    assert path["se"] == pytest.approx(np.sqrt(variance) * scar.std(ddof=1) / np.sqrt(1 - r), rel=1e-3)
    half = stats.t.ppf(0.975, len(se) - 1) * path["se"]
    assert_allclose([path["ci_low"], path["ci_high"]], [path["caar"] - half, path["caar"] + half], rtol=1e-9)
    result = result_of("own_6")
    means = result.car(0, 0).group_by("date").agg(pl.col("car").mean())
    path = result.caar(0, 0).row(0, named=True)
    assert path["band"] == "spread over dates"
    assert path["se"] == pytest.approx(means["car"].std() / np.sqrt(3), rel=1e-9)
    assert path["mde"] == pytest.approx(rows_of("own_6")["date_means_t"]["effect_mde"], rel=1e-9)
    half = stats.t.ppf(0.975, 2) * path["se"]
    assert path["ci_high"] - path["caar"] == pytest.approx(half, rel=1e-9)


def test_common_errors_of_a_security_cancel_where_one_event_counts_negatively():
    """The same two windows, the second with -1: the covariance changes its sign."""
    drawn = SITUATIONS["calm_same_firms"].draw(np.random.default_rng(3))
    first = drawn.events.filter(pl.col("symbol") == "S00").sort("date").head(2)
    events = first.with_columns(pl.Series("side", ["up", "down"]))
    result = mi.EventStudy(estimation_window=(-250, -11), event_window=(0, 4)).run(events, drawn.market)
    plain = result.sample(0, 4).estimation_inflation
    signed = result.signed({"up": 1, "down": -1}, by="side").sample(0, 4).estimation_inflation
    assert signed - 1 == pytest.approx(1 - plain, rel=1e-9)
    assert plain < 1 < signed


def test_announcements_of_one_day_are_one_cluster():
    drawn = SITUATIONS["calm_6x4"].draw(np.random.default_rng(1))
    last = drawn.events["date"].max()
    half = (
        pl.when((pl.col("date") == last) & (pl.int_range(pl.len()) % 2 == 0)).then(pl.lit(" too")).otherwise(pl.lit(""))
    )
    events = drawn.events.with_columns(pl.format("{}{}", pl.col("date").cast(pl.String), half).alias("announcement_id"))
    assert events["announcement_id"].n_unique() == 7
    result = drawn.study.run(events, drawn.market)
    facts = structure(result.sample(0, 0))
    assert facts.n_clusters == 6
    assert not facts.clusters_overlap
    assert primary_test(facts).name == primary_test(facts_of("calm_6x4")).name


def test_few_dates_in_one_cluster_of_the_user_are_still_few_dates():
    drawn = SITUATIONS["calm_6x4"].draw(np.random.default_rng(1))
    result = drawn.study.run(drawn.events.with_columns(pl.lit("all").alias("campaign")), drawn.market)
    rows = {row["test"]: row for row in result.clustered("campaign").test(0, 0).iter_rows(named=True)}
    assert not rows["bmp_kp"]["valid"]
    assert "which 6 dates cannot show (needs 30): cluster events" in rows["bmp_kp"]["note"]


def test_recent_variance_does_not_see_the_effect():
    situation = SITUATIONS["calm_one_date_8"]
    for effect in (0.0, 0.2):
        drawn = situation.with_effect(effect).draw(np.random.default_rng(5))
        study = mi.EventStudy(estimation_window=(-250, -11), event_window=(-3, 0))
        sample = study.run(drawn.events, drawn.market).sample(0, 0)
        assert_allclose(sample.recent_ar.to_array()[:, -3:], sample.event_ar.to_array()[:, :3], rtol=1e-12)


def test_a_window_after_day_0_has_the_same_recent_sessions():
    drawn = SITUATIONS["4"].draw(np.random.default_rng(2))
    panel = drawn.market.select("symbol", "date", "ret")
    day0 = drawn.events["date"][0]
    later = panel.filter(pl.col("date") == day0).with_columns(pl.col("date").dt.offset_by("1d"))
    benchmark = drawn.market.select("date", "market").rename({"market": "ret"}).unique("date").sort("date")
    next_day = benchmark.tail(1).with_columns(pl.col("date").dt.offset_by("1d"))
    market = mi.Market.from_returns(pl.concat([panel, later]), pl.concat([benchmark, next_day]))
    result = mi.EventStudy(estimation_window=(-250, -11), event_window=(0, 1)).run(drawn.events, market)
    same = (result.sample(*window).recent_ar.to_array() for window in ((0, 0), (1, 1)))
    assert np.array_equal(*same, equal_nan=True)


def test_identical_returns_have_no_spread():
    drawn = SITUATIONS["calm_one_date_8"].draw(np.random.default_rng(6))
    panel = drawn.market.select("symbol", "date", "ret")
    one = panel.filter(pl.col("symbol") == "S00").select("date", "ret")
    same = pl.concat(one.with_columns(pl.lit(f"S0{i}").alias("symbol")) for i in range(8))
    benchmark = drawn.market.select("date", "market").rename({"market": "ret"}).unique("date").sort("date")
    result = drawn.study.run(drawn.events, mi.Market.from_returns(same, benchmark))
    row = result.test(0, 0, tests=["bmp_kp"]).row(0, named=True)
    assert np.isnan(row["p_value"])
    assert row["note"]


def test_a_correlation_that_is_not_known_leaves_the_portfolio():
    drawn = SITUATIONS["calm_one_date_8"].draw(np.random.default_rng(7))
    study = mi.EventStudy(estimation_window=(-30, -11), event_window=(0, 0), min_observations=10)
    result = study.run(drawn.events, drawn.market)
    assert primary_test(structure(result.sample(0, 0))).name == "portfolio_regression"
    assert np.isfinite(result.test(0, 0)["p_value"][0])


def test_models_of_changing_variance_have_no_recent_variance_to_change():
    drawn = SITUATIONS["2"].draw(np.random.default_rng(1))
    study = mi.EventStudy(
        estimation_window=(-250, -11), event_window=(0, 0), model=mi.Garch(forecast_from="event_window_start")
    )
    sample = study.run(drawn.events, drawn.market).sample(0, 0)
    assert sample.changing_variance
    assert sample.knows_recent_variance
    assert violated(frozenset({"recent variance"}), structure(sample)) == []


WINDOWS = [((0, 2), (0, 0), True), ((-10, 2), (0, 0), False), ((-10, 2), (-10, -9), True), ((0, 2), (1, 2), True)]


@pytest.mark.parametrize(("event_window", "window", "known"), WINDOWS)
def test_a_garch_forecast_knows_the_recent_variance_if_it_starts_the_evening_before(event_window, window, known):
    drawn = replace(SITUATIONS["2"], window=(0, 2)).draw(np.random.default_rng(1))
    model = mi.Garch(forecast_from="event_window_start")
    study = mi.EventStudy(estimation_window=(-240, -11), event_window=event_window, model=model)
    assert study.run(drawn.events, drawn.market).sample(*window).knows_recent_variance == known


def test_announcements_whose_windows_share_days_are_one_cluster():
    """The third and the fourth of six dates are 3 sessions apart: their windows of five sessions share days."""
    situation = SITUATIONS["calm_6x4"]
    drawn = replace(situation, offsets=(0, 30, 60, 63, 90, 120), window=(-2, 2)).draw(np.random.default_rng(1))
    named = drawn.events.with_columns(pl.col("date").cast(pl.String).alias("announcement_id"))
    study = mi.EventStudy(estimation_window=(-250, -11), event_window=(-2, 2))
    facts = structure(study.run(named, drawn.market).sample(-2, 2))
    assert (facts.n_clusters, facts.clusters_overlap) == (5, False)
    assert structure(study.run(named, drawn.market).sample(0, 0)).n_clusters == 6
    by_date = structure(study.run(drawn.events, drawn.market).sample(-2, 2))
    assert (by_date.n_clusters, by_date.clusters_overlap) == (6, True)
