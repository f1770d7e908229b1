"""Two ways to the same numbers: compiled kernels for many events, arrays for few. Not one bit may differ."""

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.stats import rankdata

import marketimpact as mi
from marketimpact.core import limits
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.estimation.fit import EventWindow
from marketimpact.events import calendars
from marketimpact.inference.correlation.missing_days import (
    BY_DATE_ALONE,
    BlockRequest,
    ResidualBlocks,
    sum_correlations,
)
from marketimpact.inference.correlation.standardised import PatternSums, dot_products, standardised_sums
from marketimpact.inference.families import ranks

SESSIONS, SYMBOLS, EVENTS = 320, 12, 60
DAYS = [date(2021, 1, 1) + timedelta(n) for n in range(SESSIONS)]
MODELS = [
    mi.MarketModel(),
    mi.MeanAdjusted(),
    mi.MarketAdjusted(),
    mi.ComparisonPeriodMean(),
    mi.Capm(),
    mi.CapmRestricted(),
    mi.FamaFrench3(),
    mi.Dimson(),
    mi.ScholesWilliams(),
    mi.TradeToTrade(),
]


@pytest.fixture(scope="module")
def world() -> tuple[pl.DataFrame, mi.Market]:
    """Simulated: days missing, securities listed late, events near both ends; firms and dates repeat."""
    rng = np.random.default_rng(3)
    factors = rng.normal(0, 0.01, (SESSIONS, 3))
    returns = rng.uniform(0.5, 1.5, (SYMBOLS, 1)) * factors[:, 0] + rng.normal(0, 0.02, (SYMBOLS, SESSIONS))
    returns[rng.random(returns.shape) < 0.02] = np.nan
    returns[:2, :150] = np.nan
    names = [f"S{k:02d}" for k in range(SYMBOLS)]
    frame = pl.DataFrame(
        {"symbol": np.repeat(names, SESSIONS), "date": DAYS * SYMBOLS, "ret": returns.ravel()},
        schema_overrides={"symbol": pl.String},
    ).with_columns(pl.col("ret").fill_nan(None))
    known = {name: factors[:, k] for k, name in enumerate(("mktrf", "smb", "hml"))}
    market = mi.Market.from_returns(
        frame,
        pl.DataFrame({"date": DAYS, "ret": factors[:, 0]}),
        pl.DataFrame({"date": DAYS, **known, "rf": np.full(SESSIONS, 1e-4)}),
    )
    day = rng.choice([35, 60, 200, 201, 250, 310, SESSIONS - 1], EVENTS)
    events = pl.DataFrame(
        {
            "event_id": [f"E{k:03d}" for k in range(EVENTS)],
            "symbol": [names[k % SYMBOLS] for k in range(EVENTS)],
            "date": [DAYS[k] for k in day],
        }
    )
    return events, market


def run(world: tuple[pl.DataFrame, mi.Market], model: mi.models.Model, **options: object) -> mi.StudyResult:
    events, market = world
    study = mi.EventStudy(
        model=model, estimation_window=(-150, -11), event_window=(-3, 3), min_observations=30, **options
    )
    result = study.run(events, market)
    assert (
        result.estimation.event_window.ar.shape[0] == result.estimation.residuals.shape[0]
    )  # both are kept from here on
    return result


@pytest.fixture
def way(monkeypatch):
    """Sets which way is taken: 10**9 for arrays, 0 for kernels."""

    def take(kernels_from: int) -> None:
        monkeypatch.setattr(limits, "COMPILED_FIT_EVENTS", kernels_from)
        monkeypatch.setattr(limits, "COMPILED_FIT_EVENTS_ONCE_LOADED", kernels_from)

    return take


def assert_same_bits(one: mi.StudyResult, other: mi.StudyResult) -> None:
    a, b = one.estimation, other.estimation
    for name in EventWindow.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(a.event_window, name), getattr(b.event_window, name), err_msg=name)
    np.testing.assert_array_equal(a.present, b.present)
    np.testing.assert_array_equal(a.present, ~np.isnan(a.ar))
    for name in a.fit.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(a.fit, name), getattr(b.fit, name), err_msg=name)
    np.testing.assert_array_equal(a.residuals, b.residuals)
    assert one.attrition.equals(other.attrition)


@pytest.mark.parametrize("model", MODELS, ids=[model.name for model in MODELS])
def test_kernels_and_arrays_give_the_same_bits(world, model, way):
    way(10**9)
    few = run(world, model)
    assert few.events.height > 20
    assert few.attrition.height > 3
    assert np.isnan(few.estimation.ar).any()
    assert np.isnan(few.estimation.residuals).any()
    way(0)
    assert_same_bits(few, run(world, model))


@pytest.mark.filterwarnings("ignore:The variance model of")
def test_a_variance_carried_through_the_gap_is_the_same_either_way(world, way):
    """The gap's abnormal returns, of events and of portfolios, by arrays and by kernels."""
    pytest.importorskip("arch")
    model = mi.Garch(forecast_from="event_window_start")
    way(10**9)
    few = run(world, model)
    assert few.estimates["omega"].count() > 5
    portfolios = few.test(0, 1, tests=["portfolio_regression", "date_means_t"])
    way(0)
    many = run(world, model)
    assert_same_bits(few, many)
    assert portfolios.equals(many.test(0, 1, tests=["portfolio_regression", "date_means_t"]))


@pytest.mark.parametrize("window", [(0, 0), (-3, 3), (-1, 2)])
@pytest.mark.parametrize("model", MODELS, ids=[model.name for model in MODELS])
def test_cars_straight_from_the_market_are_those_of_the_days(world, model, window, way):
    """Sums that are made without the days of the event window, against those of the days; not one bit differs."""
    events, market = world
    study = mi.EventStudy(model=model, estimation_window=(-150, -11), event_window=(-3, 3), min_observations=30)
    way(10**9)
    few = study.run(events, market)
    want, sums = few.car(*window), few.estimation.car_sums(slice(window[0] + 3, window[1] + 4))
    assert want["n_days"].n_unique() > 1 or window == (0, 0)
    way(0)
    many = study.run(events, market)
    rows = many.estimation.ar_rows.rows(slice(0, many.events.height))
    assert "event_window" not in vars(many.estimation)
    found = many.estimation.car_sums(slice(window[0] + 3, window[1] + 4))
    for name, one, other in zip(sums._fields, sums, found, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert many.car(*window).equals(want)
    np.testing.assert_array_equal(rows, few.estimation.ar)


def test_excluded_days_are_excluded_in_both(world, way):
    events, market = world
    way(10**9)
    days = mi.contaminated_days(events, market, near=2)
    few = run(world, mi.MarketModel(), exclude=days)
    assert (few.estimation.fit.n_obs < run(world, mi.MarketModel()).estimation.fit.n_obs.max()).any()
    way(0)
    assert_same_bits(few, run(world, mi.MarketModel(), exclude=days))


@pytest.mark.parametrize("window", [(0, 0), (-1, 2)])
def test_tests_do_not_depend_on_how_residuals_are_read(world, window, monkeypatch):
    """All tests but those that draw, with seven events at a time and nothing kept, against all at once."""
    at_once = run(world, mi.MarketModel()).test(*window, tests="all")
    monkeypatch.setattr(limits, "LAZY_CHUNK_ROWS", 7)
    monkeypatch.setattr(limits, "LAZY_KEPT_VALUES", 0)
    monkeypatch.setattr(limits, "COMPILED_FROM_ROWS", 7)
    read = run(world, mi.MarketModel()).test(*window, tests="all")
    assert read["test"].to_list() == at_once["test"].to_list()
    for name in ("statistic", "p_value"):
        np.testing.assert_allclose(read[name].to_numpy(), at_once[name].to_numpy(), rtol=1e-9, err_msg=name)
    assert at_once["statistic"].is_not_nan().sum() > 25


@pytest.fixture
def rows() -> np.ndarray:
    """Simulated: more rows than are added up at a time, some days missing, some rows with ties."""
    rng = np.random.default_rng(11)
    values = rng.normal(size=(700, 83))
    values[rng.random(values.shape) < 0.05] = np.nan
    values[5] = np.round(values[5])
    values[6, :3] = 0.0, -0.0, 1.0
    values[7, 1] = np.nextafter(values[7, 0], 9.0)
    values[8] = np.nan
    values[9, 4] = -values[8, 4]  # NaN of either sign
    return values


def test_sums_by_day_are_the_same_bits_compiled(rows, monkeypatch):
    arrays = LazyMatrix.of(rows).day_sums(5)
    complete = np.stack([rows[:, d : 79 + d] for d in range(5)]).sum(axis=0)
    np.testing.assert_allclose(arrays.total, np.nansum(rows, axis=0), rtol=1e-12)
    np.testing.assert_allclose(arrays.run_total, np.nansum(complete, axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(arrays.run_count, np.isfinite(complete).sum(axis=0))
    np.testing.assert_array_equal(arrays.positive, [sum(v > 0 for v in row) for row in rows])
    monkeypatch.setattr(limits, "COMPILED_FROM_ROWS", 700)
    compiled = LazyMatrix.of(rows).day_sums(5)
    for name in ("total", "count", "run_total", "run_count", "positive"):
        np.testing.assert_array_equal(getattr(compiled, name), getattr(arrays, name), err_msg=name)


@pytest.mark.parametrize("compiled", [False, True])
def test_ranks_are_those_of_scipy(rows, compiled, monkeypatch):
    monkeypatch.setattr(limits, "COMPILED_FROM_ROWS", 0 if compiled else 10**9)
    ranked, n_days = ranks._ranks(rows)  # the one place where both ways meet
    want = rankdata(rows, axis=1, nan_policy="omit")
    np.testing.assert_array_equal(ranked, want)
    np.testing.assert_array_equal(n_days[:, 0], np.isfinite(rows).sum(axis=1))
    scores, _ = ranks._ranks(rows, scored=True)
    np.testing.assert_array_equal(scores, want / (n_days + 1.0) - 0.5)


@pytest.mark.parametrize("compiled", [False, True])
def test_standardised_sums_are_those_of_a_loop(rows, compiled):
    """On all days, on some of which one counts twice, on those that another day pattern has, and on too few."""
    values = np.nan_to_num(rows[:40])
    values[3] = 2.0  # does not vary
    width = values.shape[1]
    days = np.arange(100, 100 + width)
    twice = np.r_[10:21, 20:60]
    others = [days, days[:0], np.r_[60:140, 141:170:2], days[:5]]
    places = [np.arange(width), twice, np.flatnonzero(np.isin(days, others[2])), np.arange(5)]
    residuals = np.column_stack([values[:, ::-1], np.full(len(values), np.nan)])  # as read: other order, a day more
    others[1] = twice
    columns, linked = np.arange(width)[::-1], [False, True, False, False]
    patterns = [PatternSums(rows, days, columns, others, linked) for rows in (np.arange(30), np.arange(30, 40))]
    sums = standardised_sums(patterns, residuals, compiled=compiled)
    np.testing.assert_array_equal(sums.n_events, [28, 28, 28, 0, 10, 10, 10, 0])
    first, second = np.split(np.arange(8), 2)
    crossed = dot_products(sums, first, sums, second, compiled=compiled)
    totals = [sums.flat[low:high] for low, high in pairwise(sums.ends)]
    np.testing.assert_allclose(crossed, [a @ b for a, b in zip(totals[:4], totals[4:], strict=True)], rtol=1e-12)
    assert not totals[3].any()
    totals = [a + b for a, b in zip(totals[:4], totals[4:], strict=True)]
    for summed, place in zip(totals[:3], places, strict=False):
        want = np.zeros(len(place))
        for row in np.delete(values, [3, 8], axis=0)[:, place]:
            want += (row - row.mean()) / np.linalg.norm(row - row.mean())
        np.testing.assert_allclose(summed, want, rtol=1e-9, atol=1e-12)


def blocks_of(*blocks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> ResidualBlocks:
    """Blocks of rows as read, the columns that hold their days in order, and the day pattern of each row."""
    values, columns, groups = zip(*blocks, strict=True)
    days = [np.arange(len(each)) if len(each) == values[0].shape[1] else each for each in columns]
    return ResidualBlocks(
        np.concatenate(values),
        np.concatenate(groups),
        np.cumsum([0, *map(len, values)]),
        np.concatenate(days),
        np.concatenate(columns),
        np.cumsum([0, *map(len, columns)]),
        np.array([each.max() + 1 for each in groups]),
    )


@pytest.mark.parametrize("same", [False, True])
def test_correlations_of_rows_that_miss_different_days_are_those_of_pandas(rows, same):
    """Days missing here and there, one row that does not vary and one without days, both ways."""
    x, y = rows[:12], rows[:12] if same else rows[20:33]
    here = np.r_[5:60, 70:80]
    days = np.arange(x.shape[1])
    whose, whose_there = (
        np.repeat([0, 1], [5, 7]),
        np.repeat([0, 1], [5, 7]) if same else np.repeat([0, 1, 2], [4, 1, 8]),
    )
    ours = blocks_of((x, here, whose))
    # the second of two blocks, whose columns are in another order, as read
    theirs = ours if same else blocks_of((rows[:3], here, np.arange(3)), (y[:, ::-1], days[::-1], whose_there))
    every = pd.DataFrame(np.concatenate([x, y])[:, here].T).corr(min_periods=30).to_numpy(copy=True)[:12, 12:]
    if same:
        np.fill_diagonal(every, np.nan)
    for compiled in (False, True):
        request = BlockRequest(ours, 0, theirs, np.array([0 if same else 1]), BY_DATE_ALONE)
        sums = sum_correlations(request, compiled=compiled)
        n_there = int(theirs.n_groups[-1])
        for a, b, total, used in zip(*np.divmod(np.arange(2 * n_there), n_there), *sums, strict=True):
            own = every[np.ix_(whose == a, whose_there == b)]
            half = 2.0 if same and a == b else 1.0
            assert used == np.isfinite(own).sum() / half
            assert used > 0
            np.testing.assert_allclose(total, np.nansum(own) / half, rtol=1e-9, atol=1e-12)


# --- edges: windows that end one session before, at and after the rows of a security ------------------


@pytest.fixture(scope="module")
def edges(world) -> tuple[pl.DataFrame, mi.Market]:
    """Every day 0 whose event window ends, or estimation window begins, within two sessions of the rows' ends."""
    _, market = world
    near = [*range(148, 153), *range(SESSIONS - 6, SESSIONS)]
    rows = [(f"{day}:S{k:02d}", f"S{k:02d}", DAYS[day]) for day in near for k in (3, 4, 11)]
    return pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row"), market


@pytest.mark.parametrize("model", [mi.MarketModel(), mi.MeanAdjusted(), mi.Dimson(), mi.FamaFrench3()])
def test_windows_at_the_ends_of_a_security_s_rows_read_no_neighbour(edges, model, way):
    events, market = edges
    study = mi.EventStudy(model=model, estimation_window=(-150, -11), event_window=(-3, 3), min_observations=30)
    way(10**9)
    few = study.run(events, market).estimation
    way(0)
    many = study.run(events, market).estimation
    everyone = slice(0, len(events))
    np.testing.assert_array_equal(many.ar_rows.rows(everyone), few.ar)
    np.testing.assert_array_equal(many.residual_rows.rows(everyone), few.residuals)
    assert_same_bits(study.run(events, market), study.run(events, market))
    # a day outside of the calendar has no abnormal return: the returns of S03 and the last security are whole there
    returns = market.panel.filter(pl.col("symbol") == "S03").sort("session")["ret"].to_list()
    for row, (symbol, day) in enumerate(few.events.select("symbol", "date").iter_rows()):
        if symbol == "S03":
            at = DAYS.index(day)
            want = [at + tau < SESSIONS and returns[at + tau] is not None for tau in range(-3, 4)]
            beyond = [at + tau >= SESSIONS for tau in range(-3, 4)]
            assert np.isnan(many.ar_rows.rows(everyone)[row])[beyond].all()
            if not model.design.columns or model.name == "market_model":
                np.testing.assert_array_equal(~np.isnan(few.ar[row]), want)


def test_events_of_one_date_with_other_benchmarks_share_no_products(way, tmp_path):
    """Two benchmarks on one exchange, the same sessions: each beta is numpy's on the security's own benchmark."""
    rng = np.random.default_rng(8)
    listed = calendars.sessions(["XNAS"], date(2022, 1, 3), date(2023, 3, 31))["date"].to_list()
    moves = {name: rng.normal(0, 0.01, len(listed)) for name in ("^1", "^2", "A", "B", "C", "D")}
    own = {"A": "^1", "B": "^2", "C": "^1", "D": "^2"}
    for k, (name, index) in enumerate(own.items()):
        moves[name] = (0.6 + 0.3 * k) * moves[index] + moves[name]
    prices = pl.concat(
        pl.DataFrame({"symbol": name, "date": listed, "close": 100 * np.cumprod(1 + ret)})
        for name, ret in moves.items()
    )
    firms = pl.DataFrame({"symbol": list(own), "mic": "XNAS", "benchmark": list(own.values())})
    market = mi.Market.load(firms, mi.FilePrices(prices))
    # whether sorted by firm or by benchmark, two of one day and different benchmarks follow one another
    dated = [("A", 240), ("A", 250), ("B", 250), ("B", 260), ("C", 250), ("D", 250)]
    rows = [(f"{name}{day}", name, listed[day]) for name, day in dated]
    events = pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")
    study = mi.EventStudy(estimation_window=(-150, -11), event_window=(-3, 3))
    for model in (mi.Dimson(), mi.MarketModel()):
        way(10**9)
        few = study.but(model=model).run(events, market)
        way(0)
        many = study.but(model=model).run(events, market)
        assert_same_bits(few, many)
    close = dict(prices.group_by("symbol").agg("close").iter_rows())
    at = {name: np.diff(np.array(values)) / np.array(values)[:-1] for name, values in close.items()}
    for row in many.estimates.join(events.select("event_id", "date"), on="event_id").iter_rows(named=True):
        last = listed.index(row["date"]) - 11  # returns begin on the second session
        span = slice(last - 140, last)
        beta = np.polyfit(at[own[row["symbol"]]][span], at[row["symbol"]][span], 1)[0]
        assert row["beta"] == pytest.approx(beta, rel=1e-9)


@pytest.mark.parametrize("unexplained", [1e-2, 2e-3, 5e-4, 1e-6, 1e-8, 1e-10])
def test_a_close_fit_keeps_its_digits(way, unexplained):
    """1 - R2 from a hundredth down to 1e-10: sigma is that of statsmodels, whichever way it is computed."""
    rng = np.random.default_rng(2)
    index = rng.normal(0.0005, 0.01, 200)
    noise = rng.normal(0, 0.01 * np.sqrt(unexplained), (3, 200))
    returns = np.array([[0.8], [1.0], [1.3]]) * index + noise
    frame = pl.DataFrame({"symbol": np.repeat(list("ABC"), 200), "date": DAYS[:200] * 3, "ret": returns.ravel()})
    market = mi.Market.from_returns(frame, pl.DataFrame({"date": DAYS[:200], "ret": index}))
    events = pl.DataFrame(
        {"event_id": list("abcd"), "symbol": list("ABCA"), "date": [DAYS[k] for k in [180] * 3 + [190]]}
    )
    study = mi.EventStudy(estimation_window=(-150, -11), event_window=(-3, 3))
    for kernels_from in (10**9, 0):
        way(kernels_from)
        sigma = study.run(events, market).estimates["sigma"].to_list()
        for row, (firm, day) in enumerate([(0, 180), (1, 180), (2, 180), (0, 190)]):
            span = slice(day - 150, day - 10)
            theirs = sm.OLS(returns[firm, span], sm.add_constant(index[span])).fit()
            assert sigma[row] / np.sqrt(theirs.scale) == pytest.approx(1.0, abs=1e-9)


# --- thirty common days make a correlation ---------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True])
def test_a_correlation_takes_thirty_common_days(rows, compiled):
    """29, 30 and 31 days that two rows share, where rows have one pattern of days and where each has its own."""
    values = np.nan_to_num(rows[:6], nan=0.5)
    days = np.arange(values.shape[1])
    sets = [days[10 : 10 + n] for n in (29, 30, 31)]
    patterns = [PatternSums(own, days, days, sets, [False] * 3) for own in (np.arange(4), np.arange(4, 6))]
    sums = standardised_sums(patterns, values.copy(), compiled=compiled)
    np.testing.assert_array_equal(sums.n_events, [0, 4, 4, 0, 2, 2])
    crossed = dot_products(sums, np.arange(3), sums, np.arange(3, 6), compiled=compiled)
    for k, own in enumerate(sets):
        every = np.corrcoef(values[:, own])[:4, 4:].sum() if len(own) >= 30 else 0.0
        assert crossed[k] == pytest.approx(every, rel=1e-9, abs=1e-12)
    # one row has the first forty days, the others so many of them and some that it has not
    apart = np.full((4, 80), np.nan)
    apart[0, :40] = values[0, :40]
    for row, n in enumerate((29, 30, 31), start=1):
        apart[row, 40 - n :] = values[row, 40 - n : 80]
    block = blocks_of((apart, np.arange(80), np.array([0, 1, 1, 1])))
    total, used = sum_correlations(BlockRequest(block, 0, block, np.array([0]), BY_DATE_ALONE), compiled=compiled)
    want = [np.corrcoef(apart[0, 40 - n : 40], apart[row, 40 - n : 40])[0, 1] for row, n in ((2, 30), (3, 31))]
    assert total[1] == pytest.approx(sum(want), rel=1e-9)  # pattern 0 with pattern 1
    assert used[1] == 2
