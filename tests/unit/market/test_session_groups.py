"""Returns on several calendars: each exchange or benchmark keeps its own sessions."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import marketimpact as mi
from tests.unit.market.drawn_returns import at, firm_returns, index_returns, rows, series, weekdays

N = 300
STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(-2, 2))
CALENDARS = {"XHKG": "^HSI", "XNYS": "^NY"}


def sessions_of(seed: int) -> list[date]:
    """300 of 312 weekdays: every exchange has holidays of its own."""
    closed = np.random.default_rng(seed).choice(np.arange(1, 311), 12, replace=False)
    return [day for k, day in enumerate(weekdays(N + 12)) if k not in closed]


def part(number: int, mic: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns and benchmark of one exchange."""
    days, index = sessions_of(number), index_returns(number)
    names = [f"F{k:02}" for k in range(number, 12, 2)]
    keys = {"mic": pl.lit(mic), "symbol": pl.lit(CALENDARS[mic])}
    returns = rows(firm_returns(index, 7 + number, 6), days, names)
    return returns.with_columns(mic=keys["mic"], benchmark=keys["symbol"]), series(index, days).with_columns(**keys)


PARTS = [part(number, mic) for number, mic in enumerate(CALENDARS)]
RETURNS = pl.concat([returns for returns, _ in PARTS]).sample(fraction=1, shuffle=True, seed=3)
BENCHMARK = pl.concat([benchmark for _, benchmark in PARTS])
FACTORS = pl.DataFrame({"date": weekdays(N + 12)}).with_columns(
    smb=pl.Series(np.random.default_rng(9).normal(0.0, 0.005, N + 12))
)
COMMON = sorted(set(sessions_of(0)) & set(sessions_of(1)))
EVENTS = pl.DataFrame(
    [(f"{day}:{name}", name, day) for day in COMMON[240:260:12] for name in sorted(RETURNS["symbol"].unique())],
    schema=["event_id", "symbol", "date"],
    orient="row",
)


@pytest.fixture(scope="module")
def both() -> mi.Market:
    return mi.Market.from_returns(RETURNS, BENCHMARK, FACTORS)


@pytest.mark.parametrize("model", [mi.MarketModel(), mi.FactorModel(("market", "smb")), mi.Dimson()])
def test_every_group_is_what_it_is_alone(both, model) -> None:
    result = STUDY.but(model=model).run(EVENTS, both)
    assert result.attrition.is_empty()
    for returns, benchmark in PARTS:
        own = pl.col("symbol").is_in(returns["symbol"].unique().implode())
        market = mi.Market.from_returns(returns.drop("mic", "benchmark"), benchmark.select("date", "ret"), FACTORS)
        alone = STUDY.but(model=model).run(EVENTS.filter(own), market)
        for name in ("car", "abnormal_returns", "estimates"):
            of_both = result.car(-1, 1) if name == "car" else getattr(result, name)
            of_one = alone.car(-1, 1) if name == "car" else getattr(alone, name)
            keys = [c for c in ("mic",) if c in of_one.columns]
            assert_frame_equal(of_both.filter(own).drop(keys), of_one.drop(keys), check_exact=True)


def test_cars_are_those_of_numpy_on_each_calendar(both) -> None:
    result = STUDY.run(EVENTS, both)
    for returns, benchmark in PARTS:
        days = benchmark["date"].to_list()
        for event in EVENTS.filter(pl.col("symbol").is_in(returns["symbol"].unique().implode())).iter_rows(named=True):
            y, x = returns.filter(pl.col("symbol") == event["symbol"])["ret"].to_numpy(), benchmark["ret"].to_numpy()
            day0 = days.index(event["date"])
            before, now = slice(day0 - 200, day0 - 10), slice(day0 - 1, day0 + 2)
            design = np.column_stack([np.ones(190), x[before]])
            coefficients, left, *_ = np.linalg.lstsq(design, y[before], rcond=None)
            later = np.column_stack([np.ones(3), x[now]])
            total = later.sum(axis=0)
            variance = left[0] / 188 * (3 + total @ np.linalg.inv(design.T @ design) @ total)
            row = result.car(-1, 1).row(by_predicate=pl.col("event_id") == event["event_id"], named=True)
            assert row["car"] == pytest.approx((y[now] - later @ coefficients).sum(), rel=1e-10)
            assert row["se"] == pytest.approx(np.sqrt(variance), rel=1e-10)


def test_securities_and_sessions_name_their_exchange_and_benchmark(both) -> None:
    named = both.securities.sort("symbol").rows()
    assert named == [(f"F{k:02}", *list(CALENDARS.items())[k % 2]) for k in range(12)]
    for number, mic in enumerate(CALENDARS):
        own = both.sessions.filter(pl.col("mic") == mic)
        assert own["date"].to_list() == sessions_of(number)
        assert own["close"].null_count() == N
    assert "matched by date" in both.notes[-1]
    with pytest.raises(mi.SpecificationError, match="made from returns"):
        mi.align(mi.announcements().head(1), both, symbols="all")


@pytest.mark.parametrize(
    ("given", "referred", "mics"),
    [
        (["mic"], ["mic"], ["XHKG", "XNYS"]),
        (["symbol"], ["benchmark"], ["SESSIONS ^HSI", "SESSIONS ^NY"]),
        (["mic", "symbol"], ["mic"], ["XHKG", "XNYS"]),
        (["mic", "symbol"], ["benchmark"], ["XHKG", "XNYS"]),
        (["mic", "symbol"], ["mic", "benchmark"], ["XHKG", "XNYS"]),
    ],
)
def test_either_column_or_both_divide_returns(both, given, referred, mics) -> None:
    benchmark = BENCHMARK.select("date", "ret", *given)
    market = mi.Market.from_returns(RETURNS.select("symbol", "date", "ret", *referred), benchmark, FACTORS)
    assert market.securities["mic"].unique().sort().to_list() == mics
    assert_frame_equal(market.panel.drop("mic"), both.panel.drop("mic"), check_exact=True)
    of_categories = [frame.with_columns(pl.col(pl.String).cast(pl.Categorical)) for frame in (RETURNS, benchmark)]
    assert mi.Market.from_returns(*of_categories, FACTORS).fingerprint == market.fingerprint
    assert mi.Market.from_returns(RETURNS.lazy(), benchmark.lazy(), FACTORS).fingerprint == market.fingerprint


def test_one_benchmark_with_a_name_needs_no_column_in_returns() -> None:
    returns, benchmark = PARTS[0]
    plain = mi.Market.from_returns(returns.select("symbol", "date", "ret"), benchmark.select("date", "ret"))
    named = mi.Market.from_returns(returns.select("symbol", "date", "ret"), benchmark)
    assert named.securities.select("mic", "benchmark").unique().rows() == [("XHKG", "^HSI")]
    assert named.fingerprint == plain.fingerprint
    assert_frame_equal(named.panel.drop("mic"), plain.panel.drop("mic"), check_exact=True)
    with pytest.raises(mi.DataError, match="have no benchmark: none has mic 'XNYS'"):
        mi.Market.from_returns(RETURNS, benchmark)


def test_two_benchmarks_of_an_exchange_share_its_sessions() -> None:
    returns, benchmark = PARTS[1]
    other = benchmark.tail(250).with_columns(pl.lit("^SOX").alias("symbol"), pl.col("ret") * 1.5)
    chips = pl.col("symbol").is_in(["F01", "F03"])
    named = returns.with_columns(pl.when(chips).then(pl.lit("^SOX")).otherwise("benchmark").alias("benchmark"))
    market = mi.Market.from_returns(named, pl.concat([benchmark, other]))
    assert market.sessions["date"].to_list() == sessions_of(1)
    known = market.panel.drop_nulls("market").group_by("symbol").len().sort("symbol")
    assert known["len"].to_list() == [250, 250, 300, 300, 300, 300]
    with pytest.raises(mi.DataError, match=r"fit more than one benchmark\. Add the column 'benchmark'"):
        mi.Market.from_returns(named.drop("benchmark"), pl.concat([benchmark, other]))
    noted = mi.Market.from_returns(returns, pl.concat([benchmark, other]))
    assert "benchmarks without returns are left out: XNYS ^SOX" in noted.notes


WRONG = {
    "no column": (RETURNS.drop("mic", "benchmark"), BENCHMARK, "has no column 'mic' or 'benchmark'"),
    "another exchange": (
        RETURNS.with_columns(pl.col("mic").replace("XNYS", "XTAI")), BENCHMARK, "no benchmark: none has mic 'XTAI'",
    ),
    "two exchanges": (
        RETURNS.with_columns(mic=pl.when(pl.int_range(pl.len()) == 4).then(pl.lit("XTAI")).otherwise("mic")),
        BENCHMARK, "more than one value of 'mic'",
    ),
    "an empty exchange": (
        RETURNS.with_columns(mic=pl.when(pl.col("symbol") == "F00").then(None).otherwise("mic")), BENCHMARK,
        "returns of F00 have no benchmark",
    ),
    "an empty benchmark": (
        RETURNS, BENCHMARK.with_columns(symbol=pl.when(pl.int_range(pl.len()) == 4).then(None).otherwise("symbol")),
        "'symbol' is empty in 1 rows",
    ),
    "a date twice": (RETURNS, pl.concat([BENCHMARK, BENCHMARK.head(1)]), r"benchmark XHKG \^HSI breaks 1 rule"),
    "a return twice": (pl.concat([RETURNS, RETURNS.head(1)]), BENCHMARK, "returns breaks 1 rule"),
    "other dates": (RETURNS, BENCHMARK.filter(pl.int_range(pl.len()) > 4), r"the benchmark XHKG \^HSI lacks"),
    "a percent benchmark": (
        RETURNS, BENCHMARK.with_columns(ret=pl.when(pl.col("mic") == "XNYS").then(18 * pl.col("ret")).otherwise("ret")),
        r"benchmark XNYS \^NY has a median",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("returns", "benchmark", "message"), WRONG.values(), ids=WRONG)
def test_what_is_ambiguous_is_refused(returns, benchmark, message) -> None:
    with pytest.raises(mi.DataError, match=message):
        mi.Market.from_returns(returns, benchmark)


def test_a_dataset_keeps_the_groups(both, tmp_path) -> None:
    scanned = both.to_dataset(tmp_path / "groups")
    assert (scanned.notes, scanned.fingerprint) == (both.notes, both.fingerprint)
    one, other = STUDY.run(EVENTS, both), STUDY.run(EVENTS, scanned)
    assert_frame_equal(one.car(-1, 1), other.car(-1, 1), check_exact=True)
    assert_frame_equal(one.test(-1, 1, tests="all"), other.test(-1, 1, tests="all"))


def test_tests_and_analyses_run_over_both_calendars(both) -> None:
    result = STUDY.run(EVENTS, both)
    assert result.test(-1, 1, tests="all").height > 20
    # one portfolio per date: sessions without opening hours are matched by date
    assert result.test(-1, 1, tests=["date_means_t"])["df"].item() == 1
    assert mi.calendar_time(EVENTS, both, (-1, 1)).portfolio.height == 6
    assert mi.abnormal_volatility(result).car(0, 0).height == EVENTS.height
    assert mi.synthetic_control(EVENTS.head(1), both, ["F04", "F06", "F08"], estimation_window=(-200, -11)).table.height


# --- securities that lack sessions ------------------------------------------------------------------


def thinned(symbol: str, gone: list[int]) -> pl.DataFrame:
    returns, _ = PARTS[0]
    days = [sessions_of(0)[k] for k in gone]
    return returns.filter(~((pl.col("symbol") == symbol) & pl.col("date").is_in(days)))


def load(returns: pl.DataFrame, **options: bool) -> mi.Market:
    return mi.Market.from_returns(returns, PARTS[0][1].select("date", "ret"), **options)


def test_a_security_on_another_calendar_is_refused_unless_allowed() -> None:
    days = weekdays(N + 12)
    index = index_returns(5, N + 12)
    every_day = series(index, days)
    with pytest.raises(mi.DataError, match=r"12 securities lack more than 2%.*F\d\d \(1[12] of 31\d\).* and 7 more"):
        mi.Market.from_returns(RETURNS, every_day)
    market = mi.Market.from_returns(RETURNS, every_day, allow_missing_sessions=True)
    assert "12 securities lack more than 2% of the sessions of their lives" in market.notes


def test_seven_absent_sessions_of_300_are_too_many_and_six_are_not() -> None:
    scattered = list(range(10, 150, 20))
    assert len(scattered) == 7
    load(thinned("F00", scattered[:6]))
    with pytest.raises(mi.DataError, match=r"1 securities lack .*: F00 \(7 of 300\)\.") as caught:
        load(thinned("F00", scattered))
    assert caught.value.rows.rows() == [("F00", 7, 300)]
    assert load(thinned("F00", scattered), allow_missing_sessions=True).notes


def test_suspensions_stated_gaps_and_days_before_listing_do_not_count() -> None:
    load(thinned("F00", list(range(60))))  # listed late
    load(thinned("F00", list(range(240, 300))))  # delisted
    load(thinned("F00", list(range(100, 110))))  # a suspension of ten sessions
    with pytest.raises(mi.DataError, match="F00"):
        load(thinned("F00", list(range(100, 109))))
    stated = PARTS[0][0].with_columns(
        ret=pl.when((pl.col("symbol") == "F00") & (pl.col("date").dt.weekday() == 5)).then(None).otherwise("ret")
    )
    assert load(stated).notes == ()
    assert load(at(stated, 0, "ret", None)).notes == ()


def test_days_on_which_the_benchmark_has_no_return_do_not_count() -> None:
    days = weekdays(N + 12)
    index = np.where([day in sessions_of(0) for day in days], 0.001, np.nan) * np.arange(1, N + 13) % 0.03
    every_weekday = series(index, days).with_columns(pl.col("ret").fill_nan(None))
    returns = PARTS[0][0].select("symbol", "date", "ret")
    assert mi.Market.from_returns(returns, every_weekday).panel.height == 6 * (N + 12)
