"""Group differences by value: plain numpy and scipy on the groups' mean CARs, thresholds from both sides."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.oneway import anova_oneway

import marketimpact as mi
from marketimpact.events import calendars
from tests.reference.test_contrasts import DAYS, LONG, SHORT, STUDY, events_on, market_of


@pytest.fixture(scope="module")
def study() -> mi.StudyResult:
    """Nine firms in three groups, hit by each of 17 announcements whose windows lie apart."""
    return STUDY.run(events_on(range(220, 390, 10)), market_of(31))


def first(result: mi.StudyResult, n: int) -> mi.StudyResult:
    """The study of the first n announcements."""
    return result.where(pl.col("announcement_id").is_in([f"A{k}" for k in range(n)]))


def group_means(result: mi.StudyResult) -> np.ndarray:
    """Mean CAR of the groups a, b, c, announcement by announcement, (G, 3)."""
    car = result.car(0, 1).group_by("announcement_id", "group").agg(pl.col("car").mean())
    wide = car.pivot("group", index="announcement_id", values="car")
    return wide.sort("announcement_id").select("a", "b", "c").to_numpy()


@pytest.mark.parametrize("n", [3, 6, 7, 17])
def test_hotelling_is_the_textbook_f(study, n):
    """T2 = G d' S^-1 d of the differences from the first group, F = (G - K) / (K (G - 1)) T2 on K and G - K."""
    part = first(study, n)
    means = group_means(part)
    gaps = means[:, 1:] - means[:, :1]
    k = gaps.shape[1]
    centre = gaps.mean(axis=0)
    t2 = n * centre @ np.linalg.inv(np.cov(gaps.T, ddof=1)) @ centre
    f = (n - k) / (k * (n - 1)) * t2
    row = mi.equal_effects(part, "group", 0, 1).row(by_predicate=pl.col("test") == "hotelling", named=True)
    assert (row["statistic"], row["p_value"]) == pytest.approx((f, stats.f.sf(f, k, n - k)), rel=1e-9)
    assert (row["df"], row["n_announcements"]) == (n - k, n)
    assert row["estimate"] == pytest.approx(np.ptp(means.mean(axis=0)), rel=1e-9)
    # k + 5 announcements make it hold
    assert row["valid"] == (n >= k + 5)


def test_hotelling_needs_more_announcements_than_differences(study):
    row = mi.equal_effects(first(study, 2), "group", 0, 1).row(by_predicate=pl.col("test") == "hotelling", named=True)
    assert np.isnan(row["statistic"])
    assert "needs more announcements than differences" in row["note"]


def test_equality_of_two_groups_is_the_square_of_their_difference():
    """F(1, df) from forecast errors is t(df) squared: the same variance, the same p."""
    study = STUDY.run(events_on(range(220, 390, 10)), market_of(32))
    pair = first(study, 7).where(pl.col("group").is_in(["a", "b"]))
    apart = mi.differences(pair, LONG, SHORT, 0, 1)
    se = np.sqrt((apart["se"].to_numpy() ** 2).sum()) / 7
    t = apart["difference"].mean() / se
    row = mi.equal_effects(pair, "group", 0, 1).row(by_predicate=pl.col("test") == "forecast_error", named=True)
    df = apart["df"].min()
    assert "no rise is seen" in row["note"]
    assert row["statistic"] == pytest.approx(t**2, rel=1e-9)
    assert row["df"] == df
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-8)


def own_noise(sd: float, groups: str = "abc", seed: int = 3) -> tuple[mi.StudyResult, np.ndarray, np.ndarray]:
    """One announcement on which the firms of some groups move by themselves; ratio and own variance of groups a, b.

    The variance implied is that of statsmodels' forecasts: firm by firm, and of each group's mean return.
    """
    market = market_of(41, firms=12)
    drawn = np.maximum(np.random.default_rng(seed).normal(0, sd, 12), -0.9)
    moves = {f"F{i}": move * ("abc"[i % 3] in groups) for i, move in enumerate(drawn.tolist())}
    panel = market.panel.select("symbol", "date", "ret", "market").with_columns(
        pl.when(pl.col("date") == DAYS[300]).then(pl.col("symbol").replace_strict(moves)).otherwise(0.0).alias("move")
    )
    returns = panel.select("symbol", "date", (pl.col("ret") + pl.col("move")).alias("ret"))
    benchmark = panel.select("date", pl.col("market").alias("ret")).unique("date").sort("date")
    result = STUDY.run(events_on([300], firms=12), mi.Market.from_returns(returns, benchmark))

    def forecast(symbols: list[str]) -> tuple[float, float]:
        """Abnormal return of the mean of these firms on day 0, and its variance."""
        y = returns.filter(pl.col("symbol").is_in(symbols)).group_by("date").agg(pl.col("ret").mean()).sort("date")
        x = sm.add_constant(benchmark["ret"].to_numpy())
        fit = sm.OLS(y["ret"].to_numpy()[100:290], x[100:290]).fit()
        there = fit.get_prediction(x[300:301])
        return y["ret"][300] - there.predicted_mean[0], there.se_obs[0] ** 2

    seen, implied = np.zeros(2), np.zeros(2)
    for k in range(2):
        group = [f"F{i}" for i in range(k, 12, 3)]
        one = np.array([forecast([symbol]) for symbol in group])
        seen[k] = ((one[:, 0] - one[:, 0].mean()) ** 2).sum()
        implied[k] = one[:, 1].sum() - len(group) * forecast(group)[1]
    # four firms a group: three degrees of freedom, a quarter of the own variance of one in that of the mean
    return result, seen / implied, implied / 3 / 4


@pytest.mark.parametrize("groups", ["a", "ab"])
def test_a_rise_within_a_group_scales_its_own_variance(groups):
    """Its own part times its ratio; what is shared times the smaller where both rose; Welch and Satterthwaite's df."""
    result, ratio, own = own_noise(0.04, groups)
    assert (ratio > 2).tolist() == [True, groups == "ab"]
    common = min(ratio) if groups == "ab" else 1.0
    scale = np.where(ratio > 2, ratio, common)
    plain = mi.differences(result, LONG, SHORT, 0, 0).row(0, named=True)
    se = np.sqrt(common * (plain["se"] ** 2 - own.sum()) + scale @ own)
    parts, on = np.array([scale[0] * own[0], 0.0]), np.array([3, 3 if groups == "ab" else plain["df"]])
    parts[1] = scale[1] * own[1] if groups == "ab" else 0.0
    parts[np.argmin(scale)] += se**2 - parts.sum()
    df = se**4 / (parts**2 / on).sum()
    row = mi.difference(result, LONG, SHORT, 0, 0).row(0, named=True)
    assert (row["test"], row["valid"]) == ("forecast_error", True)
    assert (row["se"], row["statistic"], row["df"]) == pytest.approx((se, plain["difference"] / se, df), rel=1e-8)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(row["statistic"]), df), rel=1e-8)
    assert stats.nct.sf(stats.t.ppf(0.975, df), df, row["mde"] / se) == pytest.approx(0.8, abs=1e-6)
    assert f"windows imply: long {ratio[0]:.1f} (3 degrees of freedom)" in row["note"]
    assert (f", short {ratio[1]:.1f} (3 degrees of freedom)" in row["note"]) == (groups == "ab")
    pair = result.where(pl.col("group").is_in(["a", "b"]))
    equal = mi.equal_effects(pair, "group", 0, 0).row(0, named=True)
    assert equal["statistic"] == pytest.approx(row["statistic"] ** 2, rel=1e-8)
    assert (equal["df"], equal["valid"]) == (pytest.approx(df), True)
    assert equal["p_value"] == pytest.approx(row["p_value"], rel=1e-8)


def test_equality_of_three_groups_that_rose_is_welchs_test():
    """Own variances far larger than what is shared: Welch's F of unequal variances, up to estimated correlations."""
    result, _, _ = own_noise(0.3)
    car = result.car(0, 0)
    samples = [car.filter(pl.col("group") == group)["car"].to_numpy() for group in "abc"]
    theirs = anova_oneway(samples, use_var="unequal", welch_correction=True)
    row = mi.equal_effects(result, "group", 0, 0).row(0, named=True)
    assert (row["statistic"], row["df"]) == pytest.approx((theirs.statistic, theirs.df_denom), rel=0.05)


def test_a_spread_that_did_not_rise_never_lowers_the_forecast_error():
    """Without own moves the spread within groups is what forecast errors imply, and these stay as they are."""
    result, ratio, _ = own_noise(0.0)
    assert max(ratio) < 1.5
    plain = mi.differences(result, LONG, SHORT, 0, 0).row(0, named=True)
    row = mi.difference(result, LONG, SHORT, 0, 0).row(0, named=True)
    assert (row["se"], row["p_value"], row["mde"]) == pytest.approx((plain["se"], plain["p"], plain["mde"]), rel=1e-12)
    assert "no rise is seen within groups" in row["note"]


@pytest.mark.parametrize("n", [4, 5, 6])
def test_five_announcements_make_a_t_and_six_a_test_of_signs(study, n):
    rows = {r["test"]: r for r in mi.difference(first(study, n), LONG, SHORT, 0, 1).iter_rows(named=True)}
    assert rows["date_means_t"]["valid"] == (n >= 5)
    assert rows["sign_flip"]["valid"] == (n >= 6)
    means = group_means(first(study, n))
    theirs = stats.ttest_1samp(means[:, 0] - means[:, 1], 0)
    row = rows["date_means_t"]
    assert (row["statistic"], row["p_value"], row["df"]) == pytest.approx((theirs.statistic, theirs.pvalue, n - 1))


@pytest.mark.parametrize("n", [15, 16, 17])
def test_sign_patterns_are_all_of_them_or_seeded_draws(study, n):
    """Up to 16 announcements every pattern counts once; with more, 65,536 draws and the one observed."""
    means = group_means(first(study, n))
    gap = means[:, 0] - means[:, 1]
    seen = abs(gap.sum()) * (1 - 1e-12)
    if n <= 16:
        bits = np.array(np.meshgrid(*[[-1.0, 1.0]] * n, indexing="ij")).reshape(n, -1)
        p = (np.abs(gap @ bits) >= seen).mean()
    else:
        drawn = np.random.default_rng(0).choice([-1.0, 1.0], size=(65_536, n))
        p = (1 + (np.abs(drawn @ gap) >= seen).sum()) / 65_537
    rows = mi.difference(first(study, n), LONG, SHORT, 0, 1)
    assert rows.row(by_predicate=pl.col("test") == "sign_flip", named=True)["p_value"] == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize(("days", "apart"), [(2, True), (1, False)])
def test_windows_that_meet_on_one_day_are_not_apart(days, apart):
    """Windows of two sessions two sessions apart do not meet, one session apart they share a day."""
    result = STUDY.run(events_on([300, 320, 340, 360, 360 + days]), market_of(32))
    rows = {r["test"]: r for r in mi.difference(result, LONG, SHORT, 0, 1).iter_rows(named=True)}
    assert rows["date_means_t"]["valid"] == apart


def test_a_group_on_two_exchanges_counts_its_members_alike():
    """Three firms in New York and one in Tokyo are four members, not two halves."""
    rng = np.random.default_rng(9)
    home = {"N0": "XNAS", "N1": "XNAS", "N2": "XNAS", "N3": "XNAS", "T0": "XTKS", "T1": "XTKS", "T2": "XTKS"}
    listed = calendars.sessions(["XNAS", "XTKS"], date(2024, 1, 2), date(2024, 12, 31))
    frames = []
    for symbol, mic in {**home, "^N": "XNAS", "^T": "XTKS"}.items():
        days = listed.filter(pl.col("mic") == mic)["date"]
        closes = 100 * np.cumprod(1 + rng.normal(0, 0.01, len(days)))
        frames.append(pl.DataFrame({"symbol": symbol, "date": days, "close": closes}))
    firms = pl.DataFrame({"symbol": list(home), "mic": list(home.values()), "benchmark": [f"^{s[0]}" for s in home]})
    market = mi.Market.load(firms, mi.FilePrices(pl.concat(frames)))
    rows = [(f"{day}:{s}", s, day, str(day)) for day in (date(2024, 9, 10), date(2024, 10, 22)) for s in home]
    events = pl.DataFrame(rows, schema=["event_id", "symbol", "date", "announcement_id"], orient="row")
    result = mi.EventStudy(estimation_window=(-120, -11), event_window=(-2, 2)).run(events, market)
    long, short = ["N0", "N1", "N2", "T0"], ["N3", "T1", "T2"]
    ours = mi.differences(result, pl.col("symbol").is_in(long), pl.col("symbol").is_in(short), 0, 1)
    car = result.car(0, 1)
    for row in ours.iter_rows(named=True):
        own = car.filter(pl.col("announcement_id") == row["announcement_id"])
        one, other = (own.filter(pl.col("symbol").is_in(group))["car"].mean() for group in (long, short))
        assert (row["car_long"], row["car_short"]) == pytest.approx((one, other), rel=1e-9)
        assert row["difference"] == pytest.approx(one - other, rel=1e-9)
        assert (row["n_long"], row["n_short"]) == (4, 3)


def turbulent(
    rng: np.random.Generator,
    sizes: tuple[int, ...] = (6, 6),
    *,
    dates: int = 1,
    own: float = 1.0,
    first_own: float = 1.0,
    lognormal: float = 0.0,
    volatility: float = 1.0,
    effect: float = 0.0,
) -> mi.StudyResult:
    """Groups of firms of one factor, t5, 240 sessions of estimation.

    On event days the own variance is `own` times as large, `first_own` times that in the first group, or by a
    lognormal factor for each firm; all volatility is `volatility` times as large from ten sessions before the first;
    `effect` is that of the first group.
    """
    on = [250 + 22 * k for k in range(dates)]
    n_days, firms, t5 = on[-1] + 1, sum(sizes), np.sqrt(0.6)
    days = [date(2020, 1, 1) + timedelta(day) for day in range(n_days)]
    benchmark, factor = 0.011 * t5 * rng.standard_t(5, n_days), 0.013 * t5 * rng.standard_t(5, n_days)
    beta, loading, sd = (rng.uniform(*ends, (firms, 1)) for ends in ((0.7, 1.5), (0.5, 1.2), (0.012, 0.028)))
    shocks = sd * t5 * rng.standard_t(5, (firms, n_days))
    shocks[:, on] *= np.sqrt(own) * np.exp(lognormal * rng.normal(size=(firms, dates)))
    shocks[: sizes[0], on] *= np.sqrt(first_own)
    scale = np.where(np.arange(n_days) >= on[0] - 10, volatility, 1.0)
    returns = (beta * benchmark + loading * factor + shocks) * scale
    returns[: sizes[0], on] += effect
    names, groups = [f"F{i:02d}" for i in range(firms)], np.repeat(list("abcd"[: len(sizes)]), sizes).tolist()
    frame = pl.DataFrame(
        {"symbol": np.repeat(names, n_days), "date": days * firms, "ret": np.maximum(returns, -0.9).ravel()}
    )
    rows = [(f"{k}:{s}", s, days[on[k]], f"A{k}", groups[i]) for k in range(dates) for i, s in enumerate(names)]
    schema = ["event_id", "symbol", "date", "announcement_id", "group"]
    market = mi.Market.from_returns(frame, pl.DataFrame({"date": days, "ret": benchmark * scale}))
    study = mi.EventStudy(estimation_window=(-250, -11), event_window=(-10, 0))
    return study.run(pl.DataFrame(rows, schema=schema, orient="row"), market)


def rates(samples: int, **options: object) -> tuple[float, float]:
    """Rejections at 5% given valid, of `difference` and `equal_effects`; both must be valid in nine of ten samples."""
    rng, rejected, valid = np.random.default_rng(31), np.zeros(2), np.zeros(2)
    for _ in range(samples):
        result = turbulent(rng, **options)
        frames = mi.difference(result, LONG, SHORT, 0, 0), mi.equal_effects(result, "group", 0, 0)
        for k, row in enumerate(
            frame.row(by_predicate=pl.col("test") == "forecast_error", named=True) for frame in frames
        ):
            valid[k] += row["valid"]
            rejected[k] += row["valid"] and row["p_value"] < 0.05
    assert (valid > 0.9 * samples).all()
    return tuple(rejected / valid)


TREATED = {"sizes": (4, 24), "first_own": 4.0}
RAISED = [
    TREATED,
    {"own": 3.0},
    {"lognormal": 1.0},
    {"own": 3.0, "dates": 3},
    TREATED | {"dates": 3},
    {"sizes": (3, 24), "first_own": 4.0},
    {"sizes": (2, 24), "first_own": 4.0, "dates": 3},
    {"sizes": (4, 4, 4), "first_own": 4.0},
    {"sizes": (4, 4, 4), "own": 3.0},
    {"volatility": 2.0},
    {},
]


@pytest.mark.parametrize(
    "options",
    [*RAISED[:1], *(pytest.param(options, marks=pytest.mark.slow) for options in RAISED)],
    ids=str,
)
def test_differences_keep_their_size_where_the_announcement_raises_the_variance(options, request):
    """No effect; 0.22 to 0.30 by forecast errors, 0.23 where groups were scaled alike; two Monte Carlo errors."""
    samples = 600 if request.node.get_closest_marker("slow") else 80
    assert max(rates(samples, **options)) < 0.075 + 2 * np.sqrt(0.075 * 0.925 / samples)


@pytest.mark.slow
def test_a_calm_difference_is_found_most_times_that_forecast_errors_find_it():
    """An effect of 3% in one group of six: 0.62 of samples against 0.72, measured over 4,000."""
    rng, found = np.random.default_rng(32), np.zeros(2)
    for _ in range(600):
        result = turbulent(rng, effect=0.03)
        plain = mi.differences(result, LONG, SHORT, 0, 0)["p"][0]
        found += np.array([mi.difference(result, LONG, SHORT, 0, 0)["p_value"][0] < 0.05, plain < 0.05])
    assert found[0] > 0.8 * found[1]


@pytest.mark.parametrize(
    ("sizes", "dates", "valid"), [((2, 6), 1, False), ((1, 6), 3, False), ((3, 6), 1, True), ((2, 6), 2, True)]
)
def test_a_group_that_cannot_show_a_rise_is_not_valid_on_few_dates(sizes, dates, valid):
    """Two degrees of freedom are the fewest: of two firms on one date 0.25 of true nulls are rejected after a rise."""
    result = turbulent(np.random.default_rng(36), sizes, dates=dates)
    named = mi.difference(result, LONG, SHORT, 0, 0), mi.equal_effects(result, "group", 0, 0)
    for name, frame in zip(("long", "a"), named, strict=True):
        row = frame.row(by_predicate=pl.col("test") == "forecast_error", named=True)
        assert row["valid"] == valid
        assert (f"not valid: too few firms in {name} to show a rise of the variance" in row["note"]) != valid
        assert (f"in {name}, too small, none can be seen" in row["note"]) != valid


@pytest.mark.parametrize("volatility", [1.0, 3.0])
def test_one_firm_against_one_is_not_valid_on_one_date(volatility):
    result = turbulent(np.random.default_rng(33), (1, 1), volatility=volatility)
    why = "recent variance is " if volatility > 1 else "too few firms in "
    for frame in (mi.difference(result, LONG, SHORT, 0, 0), mi.equal_effects(result, "group", 0, 0)):
        row = frame.row(by_predicate=pl.col("test") == "forecast_error", named=True)
        assert not row["valid"]
        assert "did not raise the variance, which groups this small cannot show" in row["note"]
        assert row["note"].startswith(f"not valid: {why}")


def test_one_firm_against_one_is_valid_over_five_dates_that_scatter_as_implied():
    row = mi.difference(turbulent(np.random.default_rng(37), (1, 1), dates=5), LONG, SHORT, 0, 0)
    assert row["valid"][row["test"].to_list().index("forecast_error")]


def test_equality_is_not_valid_where_dates_scatter_more(study):
    """Effects of group a that differ by announcement: weighted squares of the differences about their mean."""
    days, moves = range(220, 390, 10), np.random.default_rng(35).normal(0, 0.03, 17)
    effect = {("a", day): float(move) for day, move in zip(days, moves, strict=True)}
    result = STUDY.run(events_on(days), market_of(31, effect=effect)).where(pl.col("group").is_in(["a", "b"]))
    apart = mi.differences(result, LONG, SHORT, 0, 1)
    gap, weight = apart["difference"].to_numpy(), 1 / apart["se"].to_numpy() ** 2
    ratio = (weight @ (gap - np.average(gap, weights=weight)) ** 2) / 16
    assert stats.chi2.sf(16 * ratio, 16) < 1e-6
    for frame in (mi.difference(result, LONG, SHORT, 0, 1), mi.equal_effects(result, "group", 0, 1)):
        row = frame.row(by_predicate=pl.col("test") == "forecast_error", named=True)
        assert row["note"].startswith(
            f"not valid: differences vary {ratio:.1f} times as much as the estimation windows"
        )
        assert not row["valid"]
    calm = mi.equal_effects(study, "group", 0, 1)
    # three groups, seventeen dates: their own spread comes first
    assert calm["test"].to_list() == ["hotelling", "forecast_error"]
    assert calm["valid"].all()
