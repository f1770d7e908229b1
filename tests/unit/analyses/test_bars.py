"""Tests of announcements in bars, against plain loops over simulated bars with known effects."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

import marketimpact as mi
from marketimpact.analyses.bar_placebo import LONGEST_AGE, Volatility, past_days, past_instants
from marketimpact.display.formats import SIMULATED_CHART, SIMULATED_TABLE
from marketimpact.market.bar_moves import Pair, pairs_of_series
from marketimpact.market.bar_windows import returns_of, synchronous_returns, windows_at
from tests.unit.market.test_bar_moves import news

NEW_YORK = ZoneInfo("America/New_York")
SYMBOLS = ["NVDA", "AMD", "INTC", "^GSPC", "0981.HK", "688981.SS", "^HSI", "000300.SS"]
AT = datetime(2025, 5, 7, 15, 30, tzinfo=UTC)
NIGHT = datetime(2025, 6, 10, 3, 0, tzinfo=UTC)
EFFECTS = {
    ("NVDA", AT): -0.03,
    ("AMD", AT): -0.03,
    ("INTC", AT): -0.03,
    ("0981.HK", NIGHT): 0.04,
    ("NVDA", NIGHT): 0.05,
}
FIRST, LAST = date(2024, 12, 2), date(2025, 6, 30)


@pytest.fixture(scope="module")
def bars() -> mi.Bars:
    listed = mi.securities()["benchmark"].unique()
    chosen = [symbol for symbol in SYMBOLS if symbol in mi.securities()["symbol"] or symbol in listed]
    return mi.Bars.load(mi.securities(), mi.SampleBars(chosen, FIRST, LAST, effects=EFFECTS))


def loop(frame: pl.DataFrame, symbol: str, before: int, after: int) -> dict[date, float]:
    """Return of the window around 11:30 in New York on every day, by a plain loop."""
    returns = {}
    own = frame.filter(pl.col("symbol") == symbol).with_columns(end=pl.col("start") + timedelta(minutes=5))
    ends, closes = own["end"].to_list(), own["close"].to_list()
    for day in own["start"].dt.convert_time_zone("America/New_York").dt.date().unique().sort():
        clock = datetime(day.year, day.month, day.day, 11, 30, tzinfo=NEW_YORK).astimezone(UTC)
        early = [c for e, c in zip(ends, closes, strict=True) if e <= clock - timedelta(minutes=before)]
        late = [c for e, c in zip(ends, closes, strict=True) if e <= clock + timedelta(minutes=after)]
        if early and late:
            returns[day] = late[-1] / early[-1] - 1.0
    return returns


def test_one_window_is_the_regression_of_a_plain_loop(bars):
    row = mi.bar_tests(news(["2025-05-07T15:30:00Z"]), bars, "10min", "20min", symbols=["NVDA"], days=60).row(
        0, named=True
    )
    own, other = (loop(bars.frame, symbol, 10, 20) for symbol in ("NVDA", "^GSPC"))
    days = [day for day in sorted(own) if day < AT.date()][-60:]
    series = next(iter(bars.series(["NVDA"])))
    size = np.abs(np.log(series.close / series.open))
    scale = []
    for day in (*days, AT.date()):
        clock = datetime(day.year, day.month, day.day, 11, 20, tzinfo=NEW_YORK)
        n = int((series.end <= clock.timestamp() * 1e6).sum())
        scale.append(0.5 * size[n - 78 : n].mean() + 0.5 * size[n - 390 : n].mean())
    x = sm.add_constant(np.array([other[day] for day in days]))
    past = sm.WLS([own[day] for day in days], x, weights=np.array(scale[:-1]) ** -2).fit()
    expected = past.params @ [1.0, other[AT.date()]]
    assert row["n_days"] == 60
    assert row["ret"] == pytest.approx(own[AT.date()], rel=1e-12)
    assert row["benchmark_ret"] == pytest.approx(other[AT.date()], rel=1e-9)
    assert row["beta"] == pytest.approx(past.params[1], rel=1e-8)
    assert row["ar"] == pytest.approx(own[AT.date()] - expected, rel=1e-8)
    se = np.sqrt(
        past.scale * scale[-1] ** 2 + np.array([1.0, other[AT.date()]]) @ past.cov_params() @ [1.0, other[AT.date()]]
    )
    assert row["se"] == pytest.approx(se, rel=1e-8)
    assert row["variance_ratio"] == pytest.approx(scale[-1] ** 2 / np.mean(np.square(scale[:-1])), rel=1e-9)


def test_the_volatility_before_a_bar_knows_no_later_bar(bars):
    series = next(iter(bars.series(["NVDA"])))
    rows = np.array([10, 77, 389, 500])
    known = Volatility(series).before(rows, 78)
    size = np.abs(np.log(series.close / series.open))
    assert np.isnan(known[0])
    assert known[3] == pytest.approx(0.5 * size[423:501].mean() + 0.5 * size[111:501].mean())
    assert Volatility(series).session_bars(rows).tolist() == [11, 78, 78, 78]


def test_bars_after_the_window_change_no_test(bars):
    """Later days have bars before 16:30 UTC only, and a jump; with and without them the test is the same."""
    at, until = datetime(2025, 4, 1, 15, 30, tzinfo=UTC), datetime(2025, 4, 1, 15, 50, tzinfo=UTC)
    kept = bars.frame.filter(pl.col("symbol").is_in(["NVDA", "^GSPC"]))
    thinned = kept.filter((pl.col("start") < until) | (pl.col("start").dt.time() < time(16, 30)))
    later = thinned.with_columns(
        pl.when(pl.col("start") < until).then(name).otherwise(pl.col(name) * 0.7).alias(name)
        for name in ("open", "high", "low", "close")
    )
    dated = news([at.isoformat(), (at - timedelta(days=1)).isoformat()])
    ended = kept.filter(pl.col("start") < until)
    found = [
        mi.bar_tests(dated, mi.Bars.load(mi.securities(), mi.BarFiles(frame)), symbols=["NVDA"], days=60)
        for frame in (ended, later, kept)
    ]
    assert found[0]["se"].null_count() == 0
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])


def plain_session_bars(own, row: int) -> int:
    """Bars of a usual session: the median over the days before that of a row; the bars up to it without one."""
    zone = ZoneInfo(own.hours.zone)
    days = [datetime.fromtimestamp(start / 1e6, zone).date() for start in own.start]
    counts = [days.count(day) for day in sorted(set(days)) if day < days[row]]
    return round(float(np.median(counts))) if counts else row + 1


def plain_past_days(pair: Pair, volatility: Volatility, instant: int, before: int, after: int, news: np.ndarray):
    """One announcement at a time: returns, the benchmark's, volatility, and whether each window is usable."""
    own = pair.own
    event = windows_at(own, np.array([instant]), before, after)
    session_bars = int(volatility.session_bars(event.first)[0])
    if instant % 7 == 0:  # slow
        assert session_bars == plain_session_bars(own, int(event.first[0]))
    if event.closed[0] >= 0:
        after = int(event.closed[0])
    past = past_instants(own, int(event.start[0]), 60)
    local = datetime.fromtimestamp(instant / 1e6, UTC).astimezone(ZoneInfo(own.hours.zone))
    pause = {"XHKG": (12, 0), "XSHG": (11, 30)}.get(own.hours.mic, (13, 0))
    resumes = event.start[0] - instant
    in_break = pause <= (local.hour, local.minute) < (13, 0) and resumes <= 90 * 60_000_000
    gap = resumes + before if in_break and event.waits[0] else 0
    placebo = windows_at(own, past, gap if event.waits[0] else before, after)
    parts = []
    for windows in (event, placebo):
        ret = returns_of(own, windows)
        other = np.full(len(ret), np.nan)
        if pair.benchmark is not None:
            other = synchronous_returns(pair.benchmark, own, windows)
        opened, closed = own.end[windows.first], own.end[windows.last]
        has_news = np.array(
            [((news >= a) & (news <= b)).any() for a, b in zip(opened, closed, strict=True)], dtype=bool
        )
        age = windows.instant - before - opened
        known = volatility.before(windows.first, session_bars)
        parts.append((ret, other, known, has_news, age, windows.waits, windows.closed))
    (ret0, other0, known0, _, age0, _, _), (ret, other, known, has_news, age, waits, closed) = parts
    usable = np.isfinite(ret) & np.isfinite(known) & ~waits & ~has_news & (closed < 0)
    if not event.waits[0]:
        usable &= age <= max(age0[0], LONGEST_AGE, 2 * own.interval)
    if np.isfinite(other0[0]):
        usable &= np.isfinite(other)
    first = np.isfinite(ret0) & np.isfinite(known0)
    joined = [np.concatenate(both) for both in ((ret0, ret), (other0, other), (known0, known), (first, usable))]
    return [event.start[0], *joined]


@pytest.mark.parametrize("lengths", [(10, 20), (0, 240), (90, 5)])
def test_all_announcements_at_once_are_those_one_at_a_time_to_the_last_bit(bars, lengths):
    before, after = (60_000_000 * minutes for minutes in lengths)
    hours = pl.datetime_range(FIRST, LAST, "11h37m", time_unit="us", time_zone="UTC", eager=True)
    instants = np.sort(hours.to_physical().to_numpy())  # nights, weekends, breaks, before the first bar, after the last
    news = instants[::40]
    for pair in pairs_of_series(bars, ["NVDA", "0981.HK", "688981.SS", "^GSPC"], None):
        volatility = Volatility(pair.own)
        found = past_days(pair, volatility, instants, (before, after), days=60, news=(news, news))
        for instant, past in zip(instants, found, strict=True):
            start, *expected = plain_past_days(pair, volatility, int(instant), before, after, news)
            assert past.windows.start[0] == start
            for mine, theirs in zip(
                (past.returns, past.benchmark, past.volatility, past.usable), expected, strict=True
            ):
                assert np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")


def test_known_effects_are_found_for_firms_and_for_their_mean(bars):
    found = mi.bar_tests(news(["2025-05-07T15:30:00Z"]), bars, "0min", "30min", symbols=["NVDA", "AMD", "INTC"])
    mean = found.filter(pl.col("symbol").is_null()).row(0, named=True)
    assert mean["n_firms"] == 3
    assert mean["ret"] == pytest.approx(found["ret"].head(3).mean(), rel=1e-12)
    for row in found.iter_rows(named=True):
        assert row["ci_low"] < -0.03 < row["ci_high"]
        assert row["rank_p"] == pytest.approx(1 / (row["n_days"] + 1))
    assert mean["se"] < found["se"].head(3).min()


def test_news_at_night_meets_the_next_bar_and_its_past_has_the_night_too(bars):
    found = mi.bar_tests(news(["2025-06-10T03:00:00Z"]), bars, "10min", "30min", symbols=["NVDA"], days=60).row(
        0, named=True
    )
    assert found["waits"]
    assert found["starts_at"] == datetime(2025, 6, 10, 13, 30, tzinfo=UTC)
    assert found["n_days"] == 60
    rows = bars.frame.filter(pl.col("symbol") == "NVDA").with_columns(
        day=pl.col("start").dt.convert_time_zone("America/New_York").dt.date()
    )
    daily = rows.group_by("day", maintain_order=True).agg(pl.col("close").last(), early=pl.col("close").get(5))
    night = (daily["early"] / daily["close"].shift(1) - 1.0).drop_nulls()
    assert found["se"] == pytest.approx(float(night.std()), rel=0.4)
    assert found["ret"] == pytest.approx(daily.with_columns(r=pl.col("early") / pl.col("close").shift(1) - 1).filter(
        pl.col("day") == date(2025, 6, 10))["r"].item(), rel=1e-12)  # fmt: skip


def test_past_windows_with_another_announcement_are_left_out(bars):
    earlier = ["2025-05-06T15:35:00Z", "2025-05-05T15:35:00Z", "2025-05-02T19:00:00Z"]
    alone = mi.bar_tests(news(["2025-05-07T15:30:00Z"]), bars, symbols=["NVDA"], days=40)
    among = mi.bar_tests(news(["2025-05-07T15:30:00Z", *earlier]), bars, symbols=["NVDA"], days=40)
    assert alone["n_days"].item() == 40
    assert among.filter(pl.col("announcement_id") == "n0")["n_days"].item() == 38


@pytest.mark.parametrize("clock", ["04:00", "04:30"])
def test_news_in_the_break_of_hong_kong_has_past_windows_over_the_break(bars, clock):
    """From 12:00 to 13:00 in Hong Kong nothing trades: from the quote 10 minutes before, to 20 after 13:00."""
    at = datetime.fromisoformat(f"2025-05-14T{clock}:00Z")
    row = mi.bar_tests(news([at.isoformat()]), bars, symbols=["0981.HK"], days=60).row(0, named=True)
    first, last = min(at - timedelta(minutes=10), at.replace(hour=4, minute=0)), at.replace(hour=5, minute=20)
    own = bars.frame.filter(pl.col("symbol") == "0981.HK").with_columns(end=pl.col("start") + timedelta(minutes=5))

    def ret(day: date) -> float:
        rows = own.filter(pl.col("end").dt.date() == day).select("end", "close")
        early, late = (rows.filter(pl.col("end").dt.time() == t.time())["close"] for t in (first, last))
        return late.item() / early.item() - 1.0 if len(early) and len(late) else np.nan

    assert row["waits"]
    assert row["starts_at"] == at.replace(hour=5, minute=0)
    assert row["note"] == ""
    assert row["ret"] == pytest.approx(ret(at.date()), rel=1e-12)
    days = own["end"].dt.date().unique().sort().to_list()
    returns = [ret(day) for day in days if day < at.date()][-60:]
    assert row["n_days"] == int(np.isfinite(returns).sum())
    pair = next(pairs_of_series(bars, ["0981.HK"], None))
    instant = np.array([round(at.timestamp() * 1e6)])
    (past,) = past_days(
        pair, Volatility(pair.own), instant, (600_000_000, 1_200_000_000), days=60, news=(instant, instant)
    )
    assert past.returns[1:][::-1] == pytest.approx(returns, rel=1e-12, nan_ok=True)
    path = mi.bar_path(news([at.isoformat()]), bars, symbols=["0981.HK"], days=60, last="60min")
    assert path.frame["starts_at"].unique().to_list() == [at.replace(hour=5, minute=0)]


def test_bars_that_end_in_the_window_have_no_test_and_no_path(bars):
    cut = bars.frame.filter(pl.col("symbol") == "NVDA", pl.col("start") < datetime(2025, 6, 27, 18, 5, tzinfo=UTC))
    ended = mi.Bars.load(mi.securities(), mi.BarFiles(cut))
    dated = news(["2025-06-27T18:00:00Z"])
    row = mi.bar_tests(dated, ended, "10min", "120min").row(0, named=True)
    assert row["note"] == "the bars end before the window does"
    assert row["ret"] is row["rank_p"] is None
    path = mi.bar_path(dated, ended, last="120min")
    assert path.frame.is_empty()
    assert path.attrition["note"].to_list() == ["the bars end before the window does"]


def test_a_half_day_that_closes_in_the_window_keeps_its_return_and_says_so():
    half = date(2025, 7, 3)  # New York closed at 13:00
    bars = mi.Bars.load(mi.securities(), mi.SampleBars(["NVDA", "AMD"], FIRST, date(2025, 7, 11)))
    found = mi.bar_tests(news([f"{half}T16:50:00Z"]), bars, "10min", "20min", symbols=["NVDA", "AMD"])
    words = "the session closed after 10 minutes; no bars of the benchmark ^GSPC: nothing is subtracted"
    assert set(found["note"]) == {words}
    assert found.height == 3
    assert found["ret"].null_count() == found["rank_p"].null_count() == 0


HALF_DAY = date(2025, 7, 3)  # New York closed at 13:00, 17:00 UTC


@pytest.fixture(scope="module")
def to_july() -> mi.Bars:
    """Bars over a half day; days of five weeks before it are whole."""
    return mi.Bars.load(mi.securities(), mi.SampleBars(["NVDA", "AMD", "^GSPC"], FIRST, date(2025, 7, 18)))


@pytest.mark.parametrize("after", ["10min", "20min", "120min", "300min"])
def test_a_window_that_the_close_cuts_is_compared_with_past_windows_as_short(to_july, after):
    """News at 16:55 and 16:50 UTC, the close at 17:00: past windows of 5 and 10 minutes, whatever was asked for."""
    at = [f"{HALF_DAY}T16:55:00Z", f"{HALF_DAY}T16:50:00Z"]
    found = mi.bar_tests(news(at), to_july, "0min", after, symbols=["NVDA", "AMD"], days=40)
    cut = found.filter(pl.col("announcement_id") == "n0")
    whole = mi.bar_tests(news(at[:1]), to_july, "0min", "5min", symbols=["NVDA", "AMD"], days=40)
    assert whole["note"].to_list() == ["", "", ""]
    assert cut["note"].to_list() == ["the session closed after 5 minutes"] * 3
    assert cut["n_days"].to_list() == [40, 40, 40]
    assert cut.drop("note").equals(whole.drop("note"))


@pytest.mark.parametrize("after", ["20min", "120min"])
def test_extended_hours_after_an_early_close_are_not_compared_with_sessions(to_july, after):
    """Bars follow the close of 13:00 for four hours; the test ends at the close, as without them."""
    own = to_july.frame.filter(pl.col("start").dt.date() == HALF_DAY, pl.col("start").dt.hour() == 16)
    later = pl.concat([own.with_columns(pl.col("start") + timedelta(hours=k)) for k in (1, 2, 3, 4)])
    extended = mi.Bars.load(mi.securities(), mi.BarFiles(pl.concat([to_july.frame, later])))
    at = news([f"{HALF_DAY}T16:55:00Z", "2025-07-16T16:50:00Z"])
    options = {"symbols": ["NVDA", "AMD"], "days": 40}
    found, plain = (mi.bar_tests(at, bars, "0min", after, **options) for bars in (extended, to_july))
    early = pl.col("announcement_id") == "n0"
    assert found.filter(early).equals(plain.filter(early))
    assert found.filter(early)["note"].to_list() == ["the session closed after 5 minutes"] * 3
    assert found["n_days"].to_list() == plain["n_days"].to_list() == [40, 40, 40, 39, 39, 39]


def test_past_days_that_closed_in_the_window_are_left_out(to_july):
    """Of the 12 sessions before 2025-07-16 one closed at 13:00, in a window from 12:50 to 13:10 in New York."""
    at = ["2025-07-16T16:50:00Z", "2025-07-16T16:20:00Z"]
    found = mi.bar_tests(news(at), to_july, "10min", "20min", symbols=["NVDA", "AMD"], days=40)
    assert found.filter(pl.col("announcement_id") == "n0")["n_days"].to_list() == [39, 39, 39]
    assert found.filter(pl.col("announcement_id") == "n1")["n_days"].to_list() == [40, 40, 40]
    path = mi.bar_path(news(at), to_july, "0min", "60min", symbols=["NVDA", "AMD"], days=40)
    assert path.frame["n_days"].unique().to_list() == [39]


def test_a_path_on_a_half_day_stays_with_its_band_where_the_close_left_it(to_july):
    at = news([f"{HALF_DAY}T16:40:00Z", f"{HALF_DAY}T16:40:00Z"])
    options = {"symbols": ["NVDA", "AMD"], "days": 40}
    long = mi.bar_path(at, to_july, "-60min", "240min", **options).frame
    short = mi.bar_path(at, to_july, "-60min", "20min", **options).frame
    shared = long.filter(pl.col("minute") <= 20)
    assert shared.drop("note").equals(short.drop("note"))
    assert short["note"].unique().to_list() == [""]
    assert long["note"].unique().to_list() == ["the session closed after 20 minutes"]
    for (_, _), part in (
        long.filter(pl.col("minute") >= 20).partition_by("announcement_id", "symbol", as_dict=True).items()
    ):
        for name in ("ret", "ar", "band_low", "band_high", "point_high", "quote_at"):
            assert part[name].n_unique() == 1, name
        assert part["quote_at"][0] == datetime(2025, 7, 3, 17, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def halted(bars) -> mi.Bars:
    """NVDA has no bars that start from 15:30 to 16:05 UTC on the day of the news, and opens 20% lower."""
    at = pl.col("start").is_between(AT, AT + timedelta(minutes=35)) & (pl.col("symbol") == "NVDA")
    moved = (pl.col("symbol") == "NVDA") & (pl.col("start") > AT)
    lower = bars.frame.filter(pl.col("symbol").is_in(["NVDA", "AMD", "^GSPC"]), ~at).with_columns(
        pl.when(moved).then(pl.col(name) * 0.8).otherwise(name) for name in ("open", "high", "low", "close")
    )
    return mi.Bars.load(mi.securities(), mi.BarFiles(lower))


def test_a_halt_on_the_news_has_no_test_and_no_path_in_it(halted):
    dated = news(["2025-05-07T15:29:00Z", "2025-05-06T15:29:00Z"])
    found = mi.bar_tests(dated, halted, symbols=["NVDA", "AMD"], days=40)
    words = "the last quote is {} minutes older than the end of the window, more than half of it"
    own = (pl.col("announcement_id") == "n0") & (pl.col("symbol") == "NVDA")
    assert found.filter(own)["note"].item().startswith(words.format(19))
    assert found.filter(own).select("ret", "ar", "se", "rank_p").row(0) == (None,) * 4
    assert found.filter(~own)["rank_p"].null_count() == 0
    path = mi.bar_path(dated, halted, "-10min", "30min", symbols=["NVDA", "AMD"], days=40)
    assert path.attrition.select("announcement_id", "symbol").rows() == [("n0", "NVDA")]
    assert path.attrition["note"].item().startswith(words.format(29))


def test_a_path_over_a_halt_has_no_abnormal_return_in_it(halted):
    """Points each 10 minutes from 15:29; the quote of 15:30 is older than that from 15:49 to 16:09."""
    dated = news(["2025-05-07T15:29:00Z", "2025-05-06T15:29:00Z"])
    path = mi.bar_path(dated, halted, "-10min", "60min", step="10min", symbols=["NVDA", "AMD"], days=40)
    own = path.frame.filter(pl.col("announcement_id") == "n0", pl.col("symbol") == "NVDA")
    lacking = ("ar", "point_low", "point_high", "band_low", "band_high")
    for name in lacking:
        assert own.filter(pl.col(name).is_null())["minute"].to_list() == [20.0, 30.0, 40.0], name
    still = own.filter(pl.col("minute").is_in([10.0, 20.0, 30.0, 40.0]))
    assert still["quote_at"].unique().to_list() == [AT]
    assert still["ret"].n_unique() == 1
    assert own["note"].unique().to_list() == ["no abnormal return at 3 of 8 points: a halt, a hole or few trades"]
    assert own.filter(pl.col("minute") > 0)["p_value"].unique().to_list() == [pytest.approx(1 / 40)]
    rest = path.frame.join(own, on=["announcement_id", "symbol", "minute"], how="anti")
    assert rest.select(*lacking).null_count().row(0) == (0,) * 5
    assert rest["note"].unique().to_list() == [""]
    assert "1 path with a note (see .frame)" in repr(path)
    first = mi.first_movers(path).filter(pl.col("announcement_id") == "n0", pl.col("symbol") == "NVDA")
    assert first["moved_at"].item() == datetime(2025, 5, 7, 16, 19, tzinfo=UTC)
    drawn = path.plot("n0", symbols=["NVDA"]).to_dict()
    lines = [layer for layer in drawn["layer"] if layer["mark"]["type"] == "line"]
    assert [row["minute"] for row in lines[0]["data"]["values"]] == [-10.0, 0.0, 10.0, 50.0, 60.0]


def test_an_announcement_of_a_day_or_an_hour_leaves_out_the_past_windows_it_can_have_come_in(bars):
    """The day of 2025-05-06, and an hour either side of 16:20 on 2025-05-02: of 40 past windows two are left out."""
    vague = pl.DataFrame(
        {
            "announcement_id": ["exact", "day", "hour", "later"],
            "announced_at": ["2025-05-07T15:30Z", "2025-05-06T04:00Z", "2025-05-02T16:20Z", "2025-05-05T18:00Z"],
            "time_precision": ["minute", "day", "hour", "hour"],
            "time_zone": ["America/New_York"] * 4, "stance": ["restrictive"] * 4, "headline": ["A rule"] * 4,
        }
    )  # fmt: skip
    found = mi.bar_tests(vague, bars, "10min", "20min", symbols=["NVDA", "AMD"], days=40)
    assert found.filter(pl.col("announcement_id") == "exact")["n_days"].to_list() == [38, 38, 38]
    path = mi.bar_path(vague, bars, "-10min", "20min", symbols=["NVDA", "AMD"], days=40)
    assert path.frame["n_days"].unique().to_list() == [38]


@pytest.mark.parametrize("split", ["NVDA", "^GSPC"])
def test_past_windows_over_a_jump_like_a_split_are_left_out_and_the_event_has_a_note(bars, split):
    """News before the opening of the split and three sessions later: a tenth of the price from 2025-05-07 on."""
    cut = (pl.col("symbol") == split) & (pl.col("start") < datetime(2025, 5, 7, tzinfo=UTC))
    kept = bars.frame.filter(pl.col("symbol").is_in(["NVDA", "AMD", "^GSPC"]))
    unadjusted = kept.with_columns(
        pl.when(cut).then(pl.col(name) * 10).otherwise(name) for name in ("open", "high", "low", "close")
    )
    dated = news(["2025-05-07T12:00:00Z", "2025-05-12T12:00:00Z"])
    options = {"symbols": ["NVDA"], "days": 40}
    bad = mi.Bars.load(mi.securities(), mi.BarFiles(unadjusted))
    found = mi.bar_tests(dated, bad, **options)
    words = f"{split} jumps like a split at 2025-05-07 13:30 UTC: if it is one, use adjusted bars"
    assert found["note"].to_list() == [words, ""]
    assert found["n_days"].to_list() == [40, 39]
    right = mi.bar_tests(dated, mi.Bars.load(mi.securities(), mi.BarFiles(kept)), **options)
    assert found["se"][1] == pytest.approx(right["se"][1], rel=0.2)
    path = mi.bar_path(dated, bad, "0min", "60min", **options)
    assert path.frame.select("announcement_id", "note", "n_days").unique(maintain_order=True).rows() == [
        ("n0", words, 40), ("n1", "", 39),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dated", "note"),
    [
        (news(["2025-05-07T15:30:00Z"], time_precision=["hour"]), "not known to the minute"),
        (news(["2024-12-12T16:00:00Z"]), "needs 20 past sessions"),
        (news(["2026-05-07T15:30:00Z"]), "no bar after"),
    ],
)
def test_no_test_has_its_reason(bars, dated, note):
    row = mi.bar_tests(dated, bars, symbols=["NVDA"]).row(0, named=True)
    assert note in row["note"]
    assert row["rank_p"] is None
    assert row["se"] is None


def test_row_order_of_the_source_changes_nothing(bars):
    shuffled = bars.frame.filter(pl.col("symbol").is_in(["NVDA", "^GSPC"])).sample(fraction=1.0, shuffle=True, seed=1)
    again = mi.Bars.load(mi.securities(), mi.BarFiles(shuffled))
    dated = news(["2025-05-07T15:30:00Z", "2025-05-14T15:30:00Z"])
    options = {"symbols": ["NVDA"], "days": 60}
    assert mi.bar_tests(dated, again, **options).equals(mi.bar_tests(dated, bars, **options))


def test_the_path_of_prices_is_that_of_a_plain_loop(bars):
    path = mi.bar_path(news(["2025-05-07T15:30:00Z"]), bars, step="20min", symbols=["NVDA"], days=60)
    rows = bars.frame.filter(pl.col("symbol") == "NVDA").with_columns(end=pl.col("start") + timedelta(minutes=5))

    def quote(at: datetime) -> float:
        return rows.filter(pl.col("end") <= at)["close"].tail(1).item()

    assert path.frame["minute"].to_list() == [float(m) for m in range(-60, 241, 20)]
    for row in path.frame.iter_rows(named=True):
        at = AT + timedelta(minutes=row["minute"])
        assert row["at"] == at
        assert row["ret"] == pytest.approx(quote(at) / quote(AT) - 1.0, abs=1e-12)
        assert row["band_low"] == -row["band_high"]
        assert row["point_high"] <= row["band_high"] + 1e-12
    after = path.frame.filter(pl.col("minute") > 0)
    assert (after["ar"] < after["band_low"]).any()
    assert after["p_value"].unique().to_list() == [pytest.approx(1 / 61)]


def test_the_listing_that_was_hit_first_moves_first(bars):
    path = mi.bar_path(news(["2025-06-10T03:00:00Z"]), bars, symbols=["NVDA", "0981.HK", "AMD"], days=60)
    order = mi.first_movers(path)
    assert order.select("order", "symbol").rows()[:2] == [(1, "0981.HK"), (2, "NVDA")]
    first = order.row(0, named=True)
    assert first["moved_at"] == NIGHT + timedelta(minutes=5)
    assert first["minutes"] == 5.0
    assert order.row(1, named=True)["moved_at"] >= datetime(2025, 6, 10, 13, 35, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "part"),
    [({"days": 5}, "days=5"), ({"days": 60.0}, "days=60.0"), ({"days": True}, "days=True")],
)
def test_too_few_days_are_refused(bars, options, part):
    for analysis in (mi.bar_tests, mi.bar_path):
        with pytest.raises(mi.SpecificationError, match=part):
            analysis(news(["2025-05-07T15:30:00Z"]), bars, **options)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"first": "10min"}, "lies after"),
        ({"step": "1s"}, "points"),
        ({"level": 5}, "level=5"),
        ({"last": "0min"}, "too short"),
    ],
)
def test_paths_that_cannot_be_are_refused(bars, options, part):
    with pytest.raises(mi.SpecificationError, match=part):
        mi.bar_path(news(["2025-05-07T15:30:00Z"]), bars, **options)


@pytest.fixture(scope="module")
def path(bars) -> mi.BarPath:
    return mi.bar_path(news(["2025-05-07T15:30:00Z", "2025-05-14T15:30:00Z"]), bars, step="15min", symbols=[
        "NVDA", "AMD", "INTC"], days=60)  # fmt: skip


def test_a_chart_of_a_path_states_which_left_the_band(path):
    chart = path.plot("n0").to_dict()
    assert [plot["title"]["text"] for plot in chart["concat"]] == ["AMD", "INTC", "NVDA"]
    first = mi.first_movers(path).filter(pl.col("announcement_id") == "n0", pl.col("order") == 1)
    assert first["minutes"].unique().to_list() == [15.0]
    assert "".join(chart["title"]["text"]).startswith(f"3 of 3 leave the band of past days, first {first['symbol'][0]}")
    assert SIMULATED_CHART in chart["title"]["subtitle"]
    assert chart["title"]["subtitle"][-1] == "n0"
    one = path.plot("n0", symbols=["NVDA"]).to_dict()["title"]["text"]
    assert " ".join(one).startswith("NVDA leaves the band of past days after 15 minutes, at −")
    assert "concat" not in path.plot("n0", symbols=["NVDA"], compact=True).to_dict()


def test_a_chart_without_effects_says_that_all_stay(path):
    stayed = mi.first_movers(path).filter(pl.col("announcement_id") == "n1", pl.col("order").is_null())
    one = path.plot("n1", symbols=[stayed["symbol"][0]]).to_dict()["title"]["text"]
    assert " ".join(one) == f"{stayed['symbol'][0]} stays inside the band of past days"


@pytest.mark.parametrize(
    ("announcement", "symbols", "part"),
    [(None, None, "2 announcements have a path. Name one of 'n0', 'n1'"), ("n00", None, "Did you mean 'n0'"),
     ("n0", ["NVDAA"], "Did you mean 'NVDA'"), ("n0", "NVDA", "is text"), ("n0", ["TSM"], "has no path here")],
)  # fmt: skip
def test_charts_that_cannot_be_are_refused(path, announcement, symbols, part):
    with pytest.raises(mi.SpecificationError, match=part):
        path.plot(announcement, symbols=symbols)


def test_a_path_describes_itself(path):
    lines = repr(path).splitlines()
    assert lines[0] == "BarPath: 6 paths of 21 points, band of 95%"
    assert "NVDA: outside after 15 minutes" in repr(path)
    assert lines[-1].strip() == SIMULATED_TABLE
    assert "BarPath: 6 paths" in path._repr_html_()


@pytest.mark.parametrize(
    ("options", "part"),
    [({"minutes": 7}, "minutes=7"), ({"first": date(2025, 2, 1), "last": date(2025, 1, 1)}, "Swap them"),
     ({"symbols": ["NVDAA"]}, "Did you mean 'NVDA'"), ({"effects": {("AMD", AT): 0.1}}, "is not among"),
     ({"effects": {("NVDA", datetime(2025, 5, 7, 15)): 0.1}}, "has no time zone")],
)  # fmt: skip
def test_samples_that_cannot_be_are_refused(options, part):
    with pytest.raises(mi.SpecificationError, match=part):
        mi.SampleBars(**{"symbols": ["NVDA"], **options})


def test_simulated_bars_say_so_and_have_the_effects_stated(bars):
    assert bars.simulated
    assert "simulated" in repr(bars)
    plain = mi.Bars.load(mi.securities(), mi.SampleBars(["NVDA"], FIRST, LAST)).frame
    moved = bars.frame.filter(pl.col("symbol") == "NVDA")
    steps = np.log(moved["close"].to_numpy() / plain["close"].to_numpy())
    assert np.unique(np.round(np.diff(steps, prepend=0.0), 9))[[0, -1]] == pytest.approx(np.log([0.97, 1.05]))
