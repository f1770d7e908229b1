"""Filtered placebo tests and columns against loops in plain numpy, and where they are undefined.

Simulated returns of a few firms, each with two events, several on one date.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

import marketimpact as mi
from marketimpact.inference import volatility_filter

DAYS = 620
FIRST = date(2015, 1, 1)
CALENDAR = [FIRST + timedelta(day) for day in range(DAYS)]
FIRMS = ["A", "B", "C", "D"]
#: Day 0 by firm: one date of all, another of two of them.
DATES = {firm: [300] for firm in FIRMS}
DATES["A"] = DATES["B"] = [300, 560]
DECAY, LONG_RUN = 0.5 ** (1 / 3), 1 / 3


def returns(seed: int = 3, calm: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw returns of four firms with a common factor and a volatility that wanders, (4, DAYS), and the benchmark."""
    rng = np.random.default_rng(seed)
    volatility = np.exp(0.4 * np.sin(np.arange(DAYS) / 30.0)) * calm
    factor, market = rng.standard_t(5, DAYS), rng.normal(0.0, 0.01, DAYS)
    own = rng.standard_t(5, (len(FIRMS), DAYS))
    return market + 0.01 * volatility * (0.6 * factor + own), market


def result_of(
    ret: np.ndarray, market: np.ndarray, *, window: tuple[int, int] = (-2, 5), gone: dict[str, list[int]] | None = None,
    **options: object,
) -> mi.StudyResult:  # fmt: skip
    gone = gone or {}
    frame = pl.DataFrame({
        "symbol": np.repeat(FIRMS, DAYS), "date": CALENDAR * len(FIRMS), "ret": ret.ravel(),
    }).filter(~pl.any_horizontal(pl.lit(False), *(
        (pl.col("symbol") == firm) & pl.col("date").is_in([CALENDAR[day] for day in days])
        for firm, days in gone.items()
    )))  # fmt: skip
    events = pl.DataFrame(
        [(f"{firm}{day}", firm, CALENDAR[day]) for firm, days in DATES.items() for day in days],
        schema=["event_id", "symbol", "date"], orient="row",
    )  # fmt: skip
    loaded = mi.Market.from_returns(frame, pl.DataFrame({"date": CALENDAR, "ret": market}))
    return mi.EventStudy(event_window=window, **options).run(events, loaded)


def abnormal(ret: np.ndarray, market: np.ndarray, day0: int) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Regress one firm: abnormal returns of all days, sigma, design of all days, inverse of its moments."""
    x = np.column_stack([np.ones(DAYS), market])
    inside = slice(day0 - 250, day0 - 10)
    inverse = np.linalg.inv(x[inside].T @ x[inside])
    e = ret - x @ inverse @ x[inside].T @ ret[inside]
    return e, float((e[inside] ** 2).sum() / 238), x, inverse


def known_before(e: np.ndarray, session: int, first: int) -> float:
    """Average the absolute values of the sessions from `first` to before `session`, halving weights every three."""
    past = np.abs(e[first:session])
    weight = DECAY ** np.arange(len(past))[::-1]
    return float("nan") if weight.sum() * (1 - DECAY) < 0.7 else float(weight @ past / weight.sum())


def with_long_run(level: float, usual: float) -> float:
    """Move a level below the usual one a third of the way back to it."""
    return level if level >= usual else (1 - LONG_RUN) * level + LONG_RUN * usual


def filtered(e: np.ndarray, day0: int, window: tuple[int, int]) -> tuple[float, float, list[float]]:
    """Ratio of variances, volatility before the event, and standardised sums over blocks of estimation days."""
    length, lag, start = window[1] - window[0] + 1, max(window[0], 0), day0 - 250
    usual, blocks = np.abs(e[start : day0 - 10]).mean(), []
    for first in range(start, day0 - 10 - length + 1):
        level = known_before(e, first - lag, start) if first - lag >= start else float("nan")
        blocks.append(e[first : first + length].sum() / with_long_run(level, usual) / np.sqrt(length))
    evening = day0 + min(window[0], 0)
    now = known_before(e, evening, evening - 40)
    return (now / usual) ** 2, with_long_run(now, usual), blocks


@pytest.mark.parametrize("window", [(0, 0), (-2, 1), (2, 5)])
def test_columns_of_single_events_are_those_of_a_plain_loop(window):
    ret, market = returns()
    car = result_of(ret, market).car(*window).sort("event_id")
    length = window[1] - window[0] + 1
    for row in car.iter_rows(named=True):
        day0 = CALENDAR.index(row["date"])
        e, _, x, inverse = abnormal(ret[FIRMS.index(row["symbol"])], market, day0)
        ratio, level, blocks = filtered(e, day0, window)
        z = np.array([block for block in blocks if np.isfinite(block)])
        days = slice(day0 + window[0], day0 + window[1] + 1)
        load = x[days].sum(axis=0)
        relative = load @ inverse @ load / length
        usual = (e[day0 - 250 : day0 - 10] ** 2).mean()
        se = np.sqrt(length * (level**2 * (z**2).mean() / (1 - length / 240) + relative * usual))
        df = len(z) * 3 * length / (2 * length**2 + 1) - 1
        total = e[days].sum()
        half = stats.t.ppf(0.975, df) * se
        expected = (ratio, se, 2 * stats.t.sf(abs(total / se), df), total - half, total + half)
        names = ("variance_ratio", "se_filtered", "p_filtered", "ci_low_filtered", "ci_high_filtered")
        assert_allclose([row[name] for name in names], expected, rtol=1e-8)


def test_the_mean_of_several_dates_is_that_of_a_plain_loop():
    ret, market = returns()
    outcome = {row["test"]: row for row in result_of(ret, market).test(
        0, 1, tests=["filtered_placebo_t", "filtered_placebo_rank"]).iter_rows(named=True)}  # fmt: skip
    blocks, usual, error, cars = np.zeros(239), 0.0, [], []
    for day0, firms in ((300, FIRMS), (560, ["A", "B"])):
        rows = [abnormal(ret[FIRMS.index(firm)], market, day0) for firm in firms]
        mean = np.mean([e for e, *_ in rows], axis=0)
        _, level, z = filtered(mean, day0, (0, 1))
        blocks += len(firms) / 6 * level * np.sqrt(2 / (1 - 2 / 240)) * np.array(z)
        usual += (len(firms) / 6) ** 2 * 2 * (mean[day0 - 250 : day0 - 10] ** 2).mean()
        for e, _, x, inverse in rows:
            load = x[day0 : day0 + 2].sum(axis=0)
            error.append(load @ inverse @ load / 2)
            cars.append(e[day0 : day0 + 2].sum())
    blocks = blocks[np.isfinite(blocks)]
    se, estimate = np.sqrt((blocks**2).mean() + usual * np.mean(error)), np.mean(cars)
    df = len(blocks) * 6 / 9 - 1
    t = outcome["filtered_placebo_t"]
    assert_allclose([t["estimate"], t["se"], t["df"]], [estimate, se, df], rtol=1e-6)
    assert_allclose(t["p_value"], 2 * stats.t.sf(abs(estimate / se), df), rtol=1e-6)
    half = stats.t.ppf(0.975, df) * se
    assert_allclose([t["ci_low"], t["ci_high"]], [estimate - half, estimate + half], rtol=1e-6)
    drawn = blocks * se / np.sqrt((blocks**2).mean())
    p = (1 + (np.abs(drawn) >= abs(estimate)).sum()) / (1 + len(drawn))
    rank = outcome["filtered_placebo_rank"]
    assert rank["p_value"] == pytest.approx(p)
    # the interval holds the effects that the same ranks do not reject
    accepted = [c for c in np.linspace(estimate - 0.1, estimate + 0.1, 4001)
                if (1 + (np.abs(drawn) >= abs(estimate - c)).sum()) / (1 + len(drawn)) >= 0.05]  # fmt: skip
    assert_allclose([rank["ci_low"], rank["ci_high"]], [min(accepted), max(accepted)], atol=5.1e-5)


def test_one_event_has_the_same_numbers_in_every_view():
    result = result_of(*returns()).where(pl.col("event_id") == "A560")
    car = result.car(0, 1).row(0, named=True)
    test = result.test(0, 1, tests=["filtered_placebo_t"]).row(0, named=True)
    single = result.single_tests(0, 1).row(0, named=True)
    band = result.caar(0, 1).row(-1, named=True)
    assert test["role"] == "primary"
    assert_allclose(
        [test["p_value"], test["ci_low"], test["se"], single["p_filtered"], band["se"], band["ci_low"]],
        [car["p_filtered"], car["ci_low_filtered"], car["se_filtered"], car["p_filtered"], car["se_filtered"],
         car["ci_low_filtered"]],
        rtol=1e-12,
    )  # fmt: skip
    assert mi.power(result, 0, 1)["se"][0] == pytest.approx(car["se_filtered"], rel=1e-12)


def test_romano_wolf_of_filtered_statistics_is_its_step_down_by_hand():
    ret, market = returns()
    result = result_of(ret, market).where(pl.col("date") == CALENDAR[300])
    frame = result.single_tests(0, 0).sort("event_id")
    observed, draws = [], []
    for row in frame.iter_rows(named=True):
        e, *_ = abnormal(ret[FIRMS.index(row["symbol"])], market, 300)
        z = np.array(filtered(e, 300, (0, 0))[2])
        draws.append(z / np.sqrt(np.nanmean(z**2)))
        observed.append(abs(row["car"] / row["se_filtered"]))
    drawn = np.abs(np.array(draws)[:, np.isfinite(draws[0])])
    order, running, expected = np.argsort(observed)[::-1], 0.0, np.empty(len(observed))
    for step, place in enumerate(order):
        most = drawn[order[step:]].max(axis=0)
        running = max(running, (1 + (most >= observed[place]).sum()) / (1 + len(most)))
        expected[place] = running
    assert_allclose(frame["p_romano_wolf_filtered"], expected, rtol=1e-12)


def test_an_effect_leaves_ratio_and_standard_error_as_they_are():
    ret, market = returns()
    moved = ret.copy()
    moved[:, 300:303] += 0.2
    moved[:2, 560:563] -= 0.2
    names = ["variance_ratio", "se_filtered"]
    assert result_of(ret, market).car(0, 2).select(names).equals(result_of(moved, market).car(0, 2).select(names))


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.01, 100.0), seed=st.integers(0, 1000))
def test_p_values_do_not_depend_on_the_unit_of_returns(scale, seed):
    rng = np.random.default_rng(seed)
    residuals, recent = rng.standard_t(5, (3, 120)), rng.standard_t(5, (3, 40))
    one, other = (volatility_filter.filter_series(c * residuals, c * recent, 2) for c in (1.0, scale))
    assert_allclose(other.variance_ratio, one.variance_ratio, rtol=1e-9)
    assert_allclose(other.volatility, scale * one.volatility, rtol=1e-9)
    assert_allclose(other.blocks, one.blocks, rtol=1e-9)


@pytest.mark.parametrize(("length", "lag"), [(1, 0), (5, 0), (3, 2), (60, 0), (300, 0)])
def test_the_compiled_loop_is_the_plain_one(length, lag):
    rng = np.random.default_rng(1)
    residuals, recent = rng.standard_t(5, (12, 240)), rng.standard_t(5, (12, 40))
    residuals[3, 50:60], residuals[4], recent[6], recent[7, -1] = np.nan, np.nan, np.nan, np.nan
    residuals[5], residuals[8, 100:150], recent[9] = 0.0, 0.0, 0.0
    recent[10] *= 0.01
    plain = volatility_filter._block_moments(residuals, recent, length, lag)
    compiled = volatility_filter._compiled_block_moments(residuals, recent, length, lag)
    assert_allclose(compiled, plain, rtol=1e-10)


def test_a_market_that_stands_still_has_a_third_of_its_usual_volatility():
    rng = np.random.default_rng(2)
    residuals = rng.standard_t(5, (1, 240))
    still = volatility_filter.filter_series(residuals, 1e-6 * rng.standard_t(5, (1, 40)), 1)
    assert still.variance_ratio[0] < 1e-9
    assert still.volatility[0] == pytest.approx(np.abs(residuals).mean() / 3, rel=1e-4)


def undefined(result: mi.StudyResult, event: str, words: str) -> None:
    """Check that an event has no filtered number in any view, with the reason where there is a note."""
    part = result.where(pl.col("event_id") == event)
    car = part.car(0, 1).row(0, named=True)
    assert car["car"] is not None
    assert [car[name] for name in ("se_filtered", "p_filtered", "ci_low_filtered", "ci_high_filtered")] == [None] * 4
    single = part.single_tests(0, 1).row(0, named=True)
    assert (single["valid_filtered"], single["p_filtered"]) == (False, None)
    assert words in single["note"]
    row = part.test(0, 1, tests=["filtered_placebo_t", "filtered_placebo_rank", "portfolio_regression"]).rows_by_key(
        "test", named=True, unique=True
    )
    for name in ("filtered_placebo_t", "filtered_placebo_rank"):
        assert np.isnan(row[name]["statistic"])
        assert not row[name]["valid"]
        assert words in row[name]["note"]
    assert row["portfolio_regression"]["role"] == "primary"


def test_a_suspension_until_the_evening_before_leaves_the_volatility_unknown():
    result = result_of(*returns(), gone={"A": list(range(545, 560))})
    undefined(result, "A560", "volatility before the window is unknown")
    assert result.car(0, 1).filter(pl.col("event_id") == "A560")["variance_ratio"][0] is None
    # one session missing is no suspension
    ratio = result_of(*returns(), gone={"A": [559]}).car(0, 1).filter(pl.col("event_id") == "A560")["variance_ratio"]
    assert ratio[0] > 0


@pytest.mark.parametrize("model", [mi.MarketModel(), mi.MeanAdjusted(), mi.MarketAdjusted()], ids=lambda m: m.name)
def test_prices_that_do_not_move_leave_the_volatility_unknown(model):
    """Stale for ten sessions; abnormal returns are then those of the benchmark, and not zero."""
    ret, market = returns()
    ret[0, 550:560] = 0.0
    undefined(result_of(ret, market, model=model), "A560", "volatility before the window is unknown")
    ret[0, 550:559] = 0.01
    assert (
        result_of(ret, market, model=model).car(0, 1).filter(pl.col("event_id") == "A560")["p_filtered"][0] is not None
    )


def test_excluded_days_are_no_part_of_the_volatility_before_the_event():
    ret, market = returns()
    jump = ret.copy()
    jump[0, 556] += 0.6
    days = pl.DataFrame({"symbol": ["A"], "date": [CALENDAR[556]]})
    plain, left_out = (result_of(each, market, exclude=days).car(0, 1) for each in (ret, jump))
    assert_allclose(left_out["se_filtered"], plain["se_filtered"], rtol=1e-12)
    assert result_of(jump, market).car(0, 1)["se_filtered"][1] > 1.5 * plain["se_filtered"][1]


def test_a_date_of_which_most_firms_were_suspended_lately_has_no_filtered_mean():
    """The mean of one firm varies more than that of four."""
    gone = {firm: list(range(288, 300)) for firm in FIRMS[:3]}
    part = result_of(*returns(), gone=gone).where(pl.col("date") == CALENDAR[300])
    row = part.test(0, 1, tests=["filtered_placebo_t"]).row(0, named=True)
    assert np.isnan(row["statistic"])
    assert "volatility before the window is unknown" in row["note"]
    both = result_of(*returns(), gone=gone).test(0, 1, tests=["filtered_placebo_t"])["note"][0]
    assert "of 1 of 2 dates" in both


def test_families_are_drawn_from_blocks_that_all_firms_have():
    gone = {"A": list(range(50, 180))}
    result = result_of(*returns(), gone=gone).where(pl.col("date") == CALENDAR[300])
    frame = result.single_tests(0, 0)
    observed, draws = [], []
    for row in frame.iter_rows(named=True):
        ret, market = returns()
        if row["symbol"] == "A":
            first = 180
            x = np.column_stack([np.ones(DAYS), market])
            inside = slice(first, 290)
            e = ret[0] - x @ np.linalg.lstsq(x[inside], ret[0][inside], rcond=None)[0]
        else:
            e, *_ = abnormal(ret[FIRMS.index(row["symbol"])], market, 300)
            first = 50
        usual = np.abs(e[first:290]).mean()
        z = np.array([e[day] / with_long_run(known_before(e, day, first), usual) for day in range(first, 290)])
        draws.append((z / np.sqrt(np.nanmean(z**2)))[-110:])
        observed.append(abs(row["car"] / row["se_filtered"]))
    drawn = np.abs(np.array(draws))
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    largest = int(np.argmax(observed))
    expected = (1 + (drawn.max(axis=0) >= observed[largest]).sum()) / (1 + drawn.shape[1])
    assert frame["p_romano_wolf_filtered"][largest] == pytest.approx(expected)


def test_a_return_since_the_last_trade_has_the_variance_of_its_sessions():
    """Sessions 1 to 9 without a trade: the return of the tenth spans ten."""
    ret, market = returns()
    result = result_of(ret, market, window=(0, 10), gone={"A": list(range(561, 570))}, model=mi.TradeToTrade())
    row = result.car(0, 10).filter(pl.col("event_id") == "A560").row(0, named=True)
    whole = result_of(ret, market, window=(0, 10), model=mi.TradeToTrade()).car(0, 10)
    full = whole.filter(pl.col("event_id") == "A560").row(0, named=True)
    assert row["n_days"] == 2
    assert row["se_filtered"] == pytest.approx(full["se_filtered"], rel=0.05)


def test_few_estimation_days_give_no_number():
    result = result_of(*returns(), estimation_window=(-50, -11), min_observations=30)
    assert result.car(0, 0)["p_filtered"].null_count() == 0
    undefined(result_of(*returns(), estimation_window=(-45, -11), min_observations=30), "A560", "at least 30 blocks")
    long = result_of(*returns(), estimation_window=(-130, -11), window=(0, 55))
    row = long.where(pl.col("event_id") == "A560").test(0, 55, tests=["filtered_placebo_t"]).row(0, named=True)
    assert "59 blocks of 56 sessions, which overlap, leave less than one degree of freedom" in row["note"]


def test_a_gap_of_zero_uses_the_last_estimation_days():
    ret, market = returns()
    row = result_of(ret, market, estimation_window=(-250, -1), window=(0, 1)).car(0, 0).row(0, named=True)
    x = np.column_stack([np.ones(DAYS), market])
    inside = slice(50, 300)
    e = ret[0] - x @ np.linalg.lstsq(x[inside], ret[0][inside], rcond=None)[0]
    now = known_before(e, 300, 260)
    assert row["variance_ratio"] == pytest.approx((now / np.abs(e[inside]).mean()) ** 2, rel=1e-8)


def test_interval_and_p_agree_in_every_event():
    car = result_of(*returns(seed=8)).car(0, 1)
    excludes = (car["ci_low_filtered"] > 0) | (car["ci_high_filtered"] < 0)
    assert excludes.to_list() == (car["p_filtered"] < 0.05).to_list()
