"""The simulated market against its specification: true effects, price limits, suspensions, randomness."""

import hashlib
import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from marketimpact.core.resources import resource
from marketimpact.errors import DataError, SpecificationError
from marketimpact.events.calendars import sessions
from marketimpact.sources.simulated_series import round_to_cents
from marketimpact.sources.simulation import role_class, simulate

#: exchange_calendars uses what pandas will change
pytestmark = pytest.mark.filterwarnings("ignore:(Series.values|DatetimeIndex.weekday):DeprecationWarning")

FIRST, LAST = date(2023, 1, 2), date(2025, 12, 31)
H20 = "2025-08-12-beijing-discourages-h20"

SECURITIES = pl.DataFrame(
    [
        ("NVDA", "XNAS", "USD", "US", "gpu_designer", "^GSPC", "SOXX", None, None),
        ("688256.SS", "XSHG", "CNY", "CN", "ai_chip_designer", "000300.SS", "588200.SS", 0.2, None),
        ("688041.SS", "XSHG", "CNY", "CN", "cpu_gpu_designer", "000300.SS", "588200.SS", 0.2, None),
        ("688981.SS", "XSHG", "CNY", "CN", "foundry", "000300.SS", "588200.SS", 0.2, date(2020, 7, 16)),
        ("688729.SS", "XSHG", "CNY", "CN", "equipment", "000300.SS", "588200.SS", 0.2, date(2025, 7, 8)),
        ("600745.SS", "XSHG", "CNY", "CN", "idm_power", "000300.SS", "512480.SS", 0.1, None),
        ("002371.SZ", "XSHE", "CNY", "CN", "equipment", "000300.SS", "159995.SZ", 0.1, None),
        ("0981.HK", "XHKG", "HKD", "CN", "foundry", "^HSI", "3033.HK", None, None),
        ("9988.HK", "XHKG", "HKD", "CN", "hyperscaler", "^HSI", "3033.HK", None, None),
        ("6082.HK", "XHKG", "HKD", "CN", "gpu_designer", "^HSI", "3033.HK", None, date(2026, 1, 2)),
        ("2330.TW", "XTAI", "TWD", "TW", "foundry", "^TWII", "0052.TW", 0.1, None),
        ("5347.TWO", "ROCO", "TWD", "TW", "foundry", "^TWII", "0052.TW", 0.1, None),
        ("META", "XNAS", "USD", "US", "hyperscaler", "^GSPC", "SOXX", None, None),
    ],
    schema={
        "symbol": pl.String, "mic": pl.String, "currency": pl.String, "country": pl.String, "role": pl.String,
        "benchmark": pl.String, "sector_proxy": pl.String, "price_limit": pl.Float64, "listed_on": pl.Date,
    },
    orient="row",
)  # fmt: skip


def announcement(name, when, targets, *, jurisdiction="US", stance="restrictive", **more):
    return {
        "announcement_id": name, "announced_at": when, "time_precision": "hour", "stance": stance,
        "headline": name, "time_zone": "America/New_York", "jurisdiction": jurisdiction, "targets": targets,
        "is_confounder": False,
    } | more  # fmt: skip


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


ANNOUNCEMENTS = pl.DataFrame(
    [
        # 12:45 in Shanghai, in the lunch break
        announcement(
            H20,
            utc(2025, 8, 12, 4, 45),
            ["NVDA", "688256.SS", "688041.SS", "688981.SS", "0981.HK", "9988.HK", "NOBODY"],
            jurisdiction="CN",
        ),
        # 17:00 in New York, a Monday
        announcement("evening", utc(2024, 12, 2, 22), ["NVDA", "688981.SS", "002371.SZ", "9988.HK", "META"]),
        # 16:00 in New York: the close itself is too late
        announcement("at-close", utc(2025, 1, 15, 21), ["NVDA"], stance="permissive"),
        # a Saturday in Golden Week, as the instant at which it begins in Shanghai
        announcement(
            "golden-week",
            utc(2025, 10, 3, 16),
            ["NVDA", "2330.TW", "0981.HK", "688256.SS"],
            jurisdiction="CN",
            time_precision="day",
            time_zone="Asia/Shanghai",
        ),
        # 11:00 in Hong Kong, which typhoon Saola had shut
        announcement(
            "typhoon", utc(2023, 9, 1, 3), ["0981.HK", "688981.SS"], jurisdiction="CN", stance="permissive"
        ),
        # Sunday evening before a suspension
        announcement("seizure", utc(2025, 10, 12, 18), ["600745.SS"], jurisdiction="NL"),
        announcement("mixed", utc(2025, 5, 13, 14), ["NVDA"], stance="mixed"),
        announcement("silent", utc(2025, 5, 14, 14), ["NVDA"], stance="none"),
        announcement("results", utc(2025, 5, 28, 20, 20), ["NVDA"], stance="none", is_confounder=True),
        # before the listing, and before the first session
        announcement("too-early", utc(2025, 6, 2, 3), ["688729.SS"]),
        announcement("before-all", utc(2022, 12, 1, 3), ["NVDA"]),
    ]
)  # fmt: skip

#: symbol -> {date: abnormal return}, by hand from the table of effects and the exchanges' holidays.
EXPECTED = {
    (H20, "NVDA"): {date(2025, 8, 12): -0.010},
    (H20, "688256.SS"): {date(2025, 8, 12): 0.220},
    (H20, "688041.SS"): {date(2025, 8, 12): 0.060},
    (H20, "688981.SS"): {date(2025, 8, 12): 0.030},
    (H20, "0981.HK"): {date(2025, 8, 12): 0.030},
    (H20, "9988.HK"): {date(2025, 8, 12): -0.005},
    ("evening", "NVDA"): {date(2024, 12, 3): -0.014, date(2024, 12, 4): -0.006},
    ("evening", "688981.SS"): {date(2024, 12, 3): -0.0175, date(2024, 12, 4): -0.0075},
    ("evening", "002371.SZ"): {date(2024, 12, 3): 0.014, date(2024, 12, 4): 0.006},
    ("evening", "9988.HK"): {date(2024, 12, 3): -0.007, date(2024, 12, 4): -0.003},
    ("evening", "META"): {date(2024, 12, 3): 0.0, date(2024, 12, 4): 0.0},
    ("at-close", "NVDA"): {date(2025, 1, 16): 0.007, date(2025, 1, 17): 0.003},
    ("golden-week", "NVDA"): {date(2025, 10, 6): -0.007, date(2025, 10, 7): -0.003},
    ("golden-week", "2330.TW"): {date(2025, 10, 7): -0.007, date(2025, 10, 8): -0.003},
    ("golden-week", "0981.HK"): {date(2025, 10, 6): 0.021, date(2025, 10, 8): 0.009},
    ("golden-week", "688256.SS"): {date(2025, 10, 9): 0.028, date(2025, 10, 10): 0.012},
    ("typhoon", "0981.HK"): {date(2023, 9, 4): -0.0105, date(2023, 9, 5): -0.0045},
    ("typhoon", "688981.SS"): {date(2023, 9, 1): -0.0105, date(2023, 9, 4): -0.0045},
    ("seizure", "600745.SS"): {date(2025, 10, 13): -0.0175, date(2025, 10, 14): -0.0075},
    ("mixed", "NVDA"): {date(2025, 5, 13): 0.0, date(2025, 5, 14): 0.0},
}


@pytest.fixture(scope="module")
def calendar():
    return sessions(SECURITIES["mic"].unique(), FIRST, LAST)


@pytest.fixture(scope="module")
def market(calendar):
    return simulate(SECURITIES, ANNOUNCEMENTS, calendar, FIRST, LAST)


@pytest.fixture(scope="module")
def quiet(calendar):
    """A market in which nothing moves but what is put in."""
    return simulate(SECURITIES, ANNOUNCEMENTS, calendar, FIRST, LAST, noise=0.0)


@pytest.fixture(scope="module")
def long_market():
    first, last = date(2008, 1, 2), date(2025, 12, 31)
    firms = SECURITIES.filter(pl.col("symbol").is_in(["NVDA", "688256.SS"])).with_columns(
        price_limit=pl.lit(None, pl.Float64)
    )
    return simulate(firms, pl.DataFrame(), sessions(["XNAS", "XSHG"], first, last), first, last)


def closes(market, symbol):
    return dict(market.prices.filter(pl.col("symbol") == symbol).select("date", "close").iter_rows())


def returns(market, symbol):
    frame = market.prices.filter(pl.col("symbol") == symbol)
    return frame.select("date", ret=pl.col("close") / pl.col("close").shift() - 1).drop_nulls()


def limit_price(previous, limit, sign):
    exact = Decimal(str(previous)) * (1 + sign * Decimal(str(limit)))
    return float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


def test_same_seed_same_market(market, calendar):
    again = simulate(SECURITIES.reverse(), ANNOUNCEMENTS.reverse(), calendar.reverse(), FIRST, LAST)
    assert_frame_equal(again.prices, market.prices, check_exact=True)
    assert_frame_equal(again.truth, market.truth, check_exact=True)


def test_another_seed_another_market(market, calendar):
    other = simulate(SECURITIES, ANNOUNCEMENTS, calendar, FIRST, LAST, seed=1)
    assert (other.prices["close"] != market.prices["close"]).mean() > 0.99
    policy = pl.col("announcement_id") != "results"
    assert_frame_equal(other.truth.filter(policy), market.truth.filter(policy))


def test_one_more_security_changes_no_other_series(market, calendar):
    fewer = SECURITIES.filter(~pl.col("symbol").is_in(["META", "688041.SS"]))
    smaller = simulate(fewer, ANNOUNCEMENTS, calendar, FIRST, LAST)
    kept = smaller.prices["symbol"].unique()
    assert kept.len() == market.prices["symbol"].n_unique() - 2
    assert_frame_equal(smaller.prices, market.prices.filter(pl.col("symbol").is_in(kept.to_list())))
    assert_frame_equal(smaller.truth, market.truth.filter(pl.col("symbol").is_in(kept.to_list())))


def test_a_later_end_changes_nothing_before(market, calendar):
    end = date(2024, 6, 28)
    shorter = simulate(SECURITIES, ANNOUNCEMENTS, calendar, FIRST, end)
    assert_frame_equal(shorter.prices, market.prices.filter(pl.col("date") <= end))
    assert_frame_equal(shorter.truth, market.truth.filter(pl.col("date") <= end))


def test_prices_hold_every_series_on_its_own_sessions(market, calendar):
    listed = SECURITIES.filter(pl.col("symbol") != "6082.HK")  # lists after the end
    named = set(listed["symbol"]) | set(listed["benchmark"]) | set(listed["sector_proxy"])
    assert set(market.prices["symbol"]) == named
    assert market.prices.schema == {
        "symbol": pl.String, "date": pl.Date, "close": pl.Float64, "volume": pl.Float64, "open": pl.Float64
    }  # fmt: skip
    assert market.prices.equals(market.prices.sort("symbol", "date"))
    assert not market.prices.select("symbol", "date").is_duplicated().any()
    nvda = calendar.filter(pl.col("mic") == "XNAS", pl.col("date").is_between(FIRST, LAST))
    assert list(closes(market, "NVDA")) == nvda["date"].to_list() == list(closes(market, "^GSPC"))


def test_closes_are_cents_and_volumes_whole(market):
    close = market.prices["close"].to_numpy()
    assert (close > 0).all()
    assert np.array_equal(close, np.round(close, 2))
    index = market.prices["symbol"].is_in(SECURITIES["benchmark"].to_list())
    assert market.prices.filter(index)["volume"].is_null().all()
    volume = market.prices.filter(~index)["volume"]
    assert volume.null_count() == 0
    assert (volume > 0).all()
    assert (volume == volume.round()).all()


def test_moments_of_the_benchmarks(long_market):
    # sd of 1.1% in New York; 0.4 * 1.1% of it and an own 1.0% in Shanghai. 18 years, heavy tails.
    for symbol, sd in (("^GSPC", 0.0110), ("000300.SS", (0.4**2 * 0.011**2 + 0.010**2) ** 0.5)):
        ret = returns(long_market, symbol)["ret"].to_numpy()
        assert ret.std() == pytest.approx(sd, rel=0.15)
        centred = ret - ret.mean()
        assert (centred**4).mean() / (centred**2).mean() ** 2 > 4.0
        squares = centred**2
        assert np.corrcoef(squares[1:], squares[:-1])[0, 1] > 0.05


def test_asia_follows_the_previous_new_york_session(long_market):
    new_york, shanghai = returns(long_market, "^GSPC"), returns(long_market, "000300.SS")
    before = shanghai.join_asof(new_york, on="date", strategy="backward", allow_exact_matches=False)
    same = shanghai.join(new_york, on="date", validate="1:1")
    lagged = before.drop_nulls().select(pl.corr("ret", "ret_right")).item()
    contemporaneous = same.select(pl.corr("ret", "ret_right")).item()
    # 0.4 * 1.1% / 1.09% = 0.40, were no session ever missed
    assert 0.3 < lagged < 0.5
    assert abs(contemporaneous) < 0.1


def test_firms_load_on_benchmark_and_sector(long_market):
    firm, base = returns(long_market, "NVDA"), returns(long_market, "^GSPC")
    both = firm.join(base, on="date", validate="1:1")
    beta = both.select(pl.cov("ret", "ret_right") / pl.col("ret_right").var()).item()
    assert 0.6 < beta < 1.6
    residual = both.with_columns(ret=pl.col("ret") - beta * pl.col("ret_right"))
    proxy = returns(long_market, "SOXX").join(base, on="date", validate="1:1")
    sector = proxy.select("date", sector=pl.col("ret") - pl.col("ret_right"))
    assert sector["sector"].std() == pytest.approx((0.013**2 + 0.003**2) ** 0.5, rel=0.15)
    k = residual.join(sector, on="date", validate="1:1").select(pl.cov("ret", "sector") / pl.col("sector").var())
    assert 0.4 < k.item() < 1.3


def test_limits_are_never_exceeded_and_sometimes_reached(market):
    reached = 0
    for symbol, limit in (
        SECURITIES.filter(pl.col("price_limit").is_not_null(), pl.col("symbol") != "688729.SS")
        .select("symbol", "price_limit")
        .iter_rows()
    ):
        path = list(closes(market, symbol).values())
        for previous, close in pairwise(path):
            low, high = limit_price(previous, limit, -1), limit_price(previous, limit, 1)
            assert low <= close <= high
            reached += close in (low, high)
    assert reached > 5


def test_the_rest_of_a_capped_move_comes_the_next_session(quiet):
    path = closes(quiet, "688256.SS")
    before = path[date(2025, 8, 11)]
    assert path[date(2025, 8, 12)] == limit_price(before, 0.2, 1)
    assert path[date(2025, 8, 13)] == pytest.approx(before * 1.22, abs=0.011)
    assert path[date(2025, 8, 14)] == path[date(2025, 8, 13)]


def test_limit_prices_round_half_up():
    # 10.05 * 1.1 = 11.055 and 1.15 * 1.1 = 1.265 exactly, though not in binary
    assert round_to_cents(np.array([10.05 * 1.1, 1.15 * 1.1, 11.0549])).tolist() == [11.06, 1.27, 11.05]


@pytest.mark.parametrize(("day", "capped"), [(date(2025, 7, 9), False), (date(2025, 8, 6), True)])
def test_the_first_five_sessions_after_listing_are_free(calendar, day, capped):
    jump = announcement("jump", datetime(day.year, day.month, day.day, 3, tzinfo=UTC), ["688729.SS"])
    effects = {("US", "restrictive", "substitute"): 0.5}
    market = simulate(SECURITIES, pl.DataFrame([jump]), calendar, FIRST, LAST, noise=0.0, effects=effects)
    path = closes(market, "688729.SS")
    before = [close for date_, close in path.items() if date_ < day][-1]
    assert path[day] == (limit_price(before, 0.2, 1) if capped else pytest.approx(before * 1.35, abs=0.011))


def test_truth_is_what_the_table_says(market):
    put_in = {}
    for row in market.truth.filter(pl.col("announcement_id") != "results").iter_rows(named=True):
        key = (row["announcement_id"], row["symbol"])
        put_in.setdefault(key, {})[row["date"]] = row["abnormal_return"]
    assert put_in.keys() == EXPECTED.keys()
    for key, moves in EXPECTED.items():
        assert put_in[key] == pytest.approx(moves, abs=1e-15), key


def test_nothing_is_put_in_on_the_day_of_listing(calendar):
    news = pl.DataFrame([announcement("debut", utc(2025, 7, 8, 3), ["688729.SS"])])
    truth = simulate(SECURITIES, news, calendar, FIRST, LAST).truth
    assert truth.rows() == [("688729.SS", date(2025, 7, 9), "debut", pytest.approx(0.3 * 0.02), 0.0)]


def test_a_confounder_jumps_once(market):
    jump = market.truth.filter(pl.col("announcement_id") == "results")
    assert jump.select("symbol", "date").rows() == [("NVDA", date(2025, 5, 29))]
    assert 0.0 < abs(jump["abnormal_return"].item()) < 0.15


def test_confounders_have_mean_zero(calendar):
    many = [announcement(f"results-{i}", utc(2024, 3, 4, 15), ["NVDA"], is_confounder=True) for i in range(400)]
    truth = simulate(SECURITIES, pl.DataFrame(many), calendar, FIRST, LAST, noise=0.0).truth
    jumps = truth["abnormal_return"].to_numpy()
    assert len(jumps) == 400
    assert jumps.std() == pytest.approx(0.03, rel=0.15)
    assert abs(jumps.mean()) < 4 * 0.03 / 20


def test_without_noise_returns_are_the_truth(quiet):
    summed = quiet.truth.group_by("symbol", "date").agg(pl.col("abnormal_return").sum())
    limited = ["688256.SS", "600745.SS"]  # capped, and suspended: their own tests
    moved = (
        quiet.prices.with_columns(previous=pl.col("close").shift().over("symbol", order_by="date"))
        .filter(~pl.col("symbol").is_in(limited), pl.col("previous").is_not_null())
        .join(summed, on=["symbol", "date"], how="left", validate="1:1")
        .with_columns(pl.col("abnormal_return").fill_null(0.0))
    )
    off = moved["close"] - moved["previous"] * (1 + moved["abnormal_return"])
    assert off.abs().max() <= 0.01 + 1e-9  # both closes are rounded to 0.01
    assert moved.filter(pl.col("abnormal_return") != 0.0).height > 20


#: (announcement, symbol) -> whether the effect on day 0 is overnight, by hand from the exchanges' hours.
OVERNIGHT = {
    (H20, "NVDA"): True,  # 00:45 in New York
    (H20, "688256.SS"): False,  # in the lunch break
    (H20, "688041.SS"): False,
    (H20, "688981.SS"): False,
    (H20, "0981.HK"): False,
    (H20, "9988.HK"): False,
    ("evening", "NVDA"): True,
    ("evening", "688981.SS"): True,
    ("evening", "002371.SZ"): True,
    ("evening", "9988.HK"): True,
    ("at-close", "NVDA"): True,
    ("golden-week", "NVDA"): True,  # noon of a Saturday stands for its time
    ("golden-week", "2330.TW"): True,
    ("golden-week", "0981.HK"): True,
    ("golden-week", "688256.SS"): True,
    ("typhoon", "0981.HK"): True,  # the next session is on Monday
    ("typhoon", "688981.SS"): False,  # 11:00 in Shanghai
    ("seizure", "600745.SS"): True,
}


def test_the_overnight_part_of_the_truth_is_by_the_hours_of_the_exchange(market):
    overnight = {}
    for row in market.truth.filter(pl.col("announcement_id") != "results").iter_rows(named=True):
        key = (row["announcement_id"], row["symbol"])
        overnight.setdefault(key, {})[row["date"]] = row["abnormal_overnight"]
    for key, is_overnight in OVERNIGHT.items():
        day0, *later = sorted(EXPECTED[key])
        assert overnight[key][day0] == pytest.approx(EXPECTED[key][day0] if is_overnight else 0.0, abs=1e-15), key
        assert [overnight[key][day] for day in later] == [0.0] * len(later)


def legs(market, symbol):
    """Overnight and day returns in plain arrays: shape (n,) each, without the first session."""
    frame = market.prices.filter(pl.col("symbol") == symbol)
    close, first = frame["close"].to_numpy(), frame["open"].to_numpy()
    return first[1:] / close[:-1] - 1, close[1:] / first[1:] - 1, frame["date"][1:].to_list()


@pytest.mark.parametrize("symbol", ["NVDA", "688981.SS", "002371.SZ", "0981.HK", "9988.HK", "2330.TW"])
def test_without_noise_legs_are_the_truth(quiet, symbol):
    overnight, day, dates = legs(quiet, symbol)
    frame = quiet.truth.filter(pl.col("symbol") == symbol).group_by("date").agg(pl.col("^abnormal.*$").sum())
    true = {row[0]: row[1:] for row in frame.select("date", "abnormal_overnight", "abnormal_return").iter_rows()}
    expected = [true.get(date_, (0.0, 0.0)) for date_ in dates]
    close = dict(quiet.prices.filter(pl.col("symbol") == symbol).select("date", "close").iter_rows())
    tick = 0.011 / min(close.values())
    assert overnight == pytest.approx([night for night, _ in expected], abs=tick)
    assert day == pytest.approx([(1 + both) / (1 + night) - 1 for night, both in expected], abs=tick)
    assert sum(night != 0.0 for night, _ in expected) + sum(both != night for night, both in expected) > 0


def test_the_overnight_part_has_its_share_and_no_memory(long_market):
    """18 years: the sd of a variance ratio of heavy tails is a few percent."""
    for symbol in ("^GSPC", "NVDA"):
        overnight, day, _ = legs(long_market, symbol)
        session = (1 + overnight) * (1 + day) - 1
        assert overnight.std() / session.std() == pytest.approx(0.6, abs=0.05)
        assert abs(np.corrcoef(overnight, day)[0, 1]) < 0.1
    firm, index = legs(long_market, "NVDA")[0], legs(long_market, "^GSPC")[0]
    beta = np.cov(firm, index)[0, 1] / index.var()
    assert 0.6 < beta < 1.6


def test_what_new_york_did_is_overnight_in_shanghai(long_market):
    new_york = returns(long_market, "^GSPC")
    overnight, day, dates = legs(long_market, "000300.SS")
    shanghai = pl.DataFrame({"date": dates, "overnight": overnight, "day": day})
    both = shanghai.join_asof(new_york, on="date", strategy="backward", allow_exact_matches=False).drop_nulls()
    assert both.select(pl.corr("overnight", "ret")).item() > 0.4
    assert abs(both.select(pl.corr("day", "ret")).item()) < 0.1


def test_opens_are_within_the_limits_of_the_day(calendar):
    """35% on the evening before, 15% on the day itself: locked at the limit, and the rest at the next open."""
    news = pl.DataFrame([announcement("jump", utc(2025, 8, 5, 22), ["688256.SS", "688041.SS", "688256.SS"])])
    effects = {("US", "restrictive", "substitute"): 0.5}
    for noise in (0.0, 1.0):
        market = simulate(SECURITIES, news, calendar, FIRST, LAST, noise=noise, effects=effects)
        for symbol in ("688256.SS", "688041.SS", "002371.SZ"):
            limit = 0.1 if symbol == "002371.SZ" else 0.2
            frame = market.prices.filter(pl.col("symbol") == symbol)
            for previous, first in zip(frame["close"][:-1], frame["open"][1:], strict=True):
                assert limit_price(previous, limit, -1) <= first <= limit_price(previous, limit, 1)
        frame = market.prices.filter(pl.col("symbol") == "688256.SS")
        before, locked, after = frame.filter(
            pl.col("date").is_in([date(2025, 8, 5), date(2025, 8, 6), date(2025, 8, 7)])
        ).rows(named=True)
        assert locked["open"] == locked["close"] == limit_price(before["close"], 0.2, 1)
        assert after["open"] > locked["close"] * 1.05
        opens = market.prices["open"].to_numpy()
        assert np.array_equal(opens, np.round(opens, 2))


def test_funds_of_legs_follow_their_benchmark_and_change_nothing_else(market, calendar):
    is_american = pl.col("benchmark") == "^GSPC"
    named = SECURITIES.with_columns(
        leg_benchmark=pl.when(is_american).then(pl.lit("SPY")).when(pl.col("mic") == "XHKG").then(pl.lit("2800.HK"))
    )
    more = simulate(named, ANNOUNCEMENTS, calendar, FIRST, LAST)
    funds = pl.col("symbol").is_in(["SPY", "2800.HK"])
    assert_frame_equal(more.prices.filter(~funds), market.prices, check_exact=True)
    assert_frame_equal(more.truth, market.truth, check_exact=True)
    for fund, index in (("SPY", "^GSPC"), ("2800.HK", "^HSI")):
        for of_fund, of_index in zip(legs(more, fund)[:2], legs(more, index)[:2], strict=True):
            assert (of_fund - of_index).std() < 0.0005
    assert more.prices.filter(funds)["volume"].null_count() == 0


def test_sessions_without_opens_are_refused(calendar):
    with pytest.raises(SpecificationError, match="sessions lacks open"):
        simulate(SECURITIES, ANNOUNCEMENTS, calendar.drop("open"), FIRST, LAST)


def test_truth_lies_on_sessions_of_the_right_exchange(market, calendar):
    homes = SECURITIES.select("symbol", "mic")
    placed = market.truth.join(homes, on="symbol", validate="m:1")
    assert placed.join(calendar, on=["mic", "date"], how="semi").height == market.truth.height
    assert not market.truth.select("symbol", "date", "announcement_id").is_duplicated().any()


def test_suspended_days_have_no_row(market, quiet, calendar):
    shanghai = calendar.filter(pl.col("mic") == "XSHG", pl.col("date").is_between(FIRST, LAST))["date"]
    for symbol, first, last in (
        ("688041.SS", date(2025, 5, 26), date(2025, 6, 9)),
        ("600745.SS", date(2025, 10, 13), date(2025, 10, 17)),
    ):
        traded = [day for day in shanghai if not first <= day <= last]
        assert len(traded) < len(shanghai)
        assert list(closes(market, symbol)) == traded
    # the news of the suspension shows when trading resumes
    path = closes(quiet, "600745.SS")
    moved = path[date(2025, 10, 10)] * (1 - 0.0175) * (1 - 0.0075)
    assert path[date(2025, 10, 20)] == pytest.approx(moved, abs=0.011)


def test_closures_have_no_row_on_the_whole_exchange(market, calendar):
    for day, symbols in (
        (date(2023, 9, 1), ["0981.HK", "9988.HK", "^HSI", "3033.HK"]),
        (date(2023, 9, 8), ["0981.HK", "9988.HK", "^HSI", "3033.HK"]),
        (date(2024, 10, 31), ["2330.TW", "5347.TWO", "^TWII", "0052.TW"]),
    ):
        present = market.prices.filter(pl.col("date") == day)["symbol"].to_list()
        assert not set(present) & set(symbols)
        assert "688981.SS" in present
    mended = simulate(SECURITIES, ANNOUNCEMENTS, calendar, FIRST, LAST, closures={})
    assert date(2023, 9, 1) in closes(mended, "0981.HK")


def test_no_price_before_listing(market):
    assert next(iter(closes(market, "688729.SS"))) == date(2025, 7, 8)
    assert not closes(market, "6082.HK")
    volume = market.prices.filter(pl.col("symbol") == "688729.SS")["volume"]
    assert volume[0] < 20 * volume.median()


def test_role_classes():
    assert role_class("memory", "KR") == "foreign_seller"
    assert role_class("foundry", "TW") == "foreign_seller"
    assert role_class("hyperscaler", "US") == "other"
    assert role_class("hyperscaler", "CN") == "buyer"
    assert role_class("idm_power", "CN") == "foundry"
    assert role_class("equipment", "CN") == "substitute"
    assert role_class(None, None) == "foreign_seller"


def test_nothing_announced_nothing_put_in(calendar):
    market = simulate(SECURITIES, pl.DataFrame(), calendar, FIRST, LAST, noise=0.0)
    assert market.truth.is_empty()
    assert market.truth.columns == ["symbol", "date", "announcement_id", "abnormal_return", "abnormal_overnight"]
    assert set(market.prices.group_by("symbol").agg(pl.col("close").n_unique())["close"]) == {1}


def test_what_cannot_be_is_refused(calendar):
    with pytest.raises(SpecificationError, match="run forward"):
        simulate(SECURITIES, ANNOUNCEMENTS, calendar, LAST, FIRST)
    with pytest.raises(SpecificationError, match="noise"):
        simulate(SECURITIES, ANNOUNCEMENTS, calendar, FIRST, LAST, noise=-1.0)
    with pytest.raises(DataError, match="XTAI"):
        simulate(SECURITIES, ANNOUNCEMENTS, calendar.filter(pl.col("mic") != "XTAI"), FIRST, LAST)
    taiwan = SECURITIES.filter(pl.col("mic") == "XTAI")
    with pytest.raises(DataError, match="XNYS"):
        simulate(taiwan, ANNOUNCEMENTS, calendar.filter(pl.col("mic") == "XTAI"), FIRST, LAST)


@pytest.fixture(scope="module")
def sample():
    return {name: pl.read_parquet(resource("data", "sample", f"{name}.parquet")) for name in ("prices", "truth")}


def test_the_readme_remakes_the_sample(sample, tmp_path, monkeypatch):
    readme = resource("data", "sample", "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    (tmp_path / "data" / "sample").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "README.md", "exec"), {})
    for name, keys in (("prices", ["symbol", "date"]), ("truth", ["symbol", "date", "announcement_id"])):
        made = pl.read_parquet(tmp_path / "data" / "sample" / f"{name}.parquet")
        assert_frame_equal(made.select(keys), sample[name].select(keys))
        assert_frame_equal(made, sample[name], rel_tol=1e-12, abs_tol=0.0)


#: Of the sample before it had opens: SHA-256 of its closes as little-endian floats.
CLOSES_BEFORE = "cf5570746b577c17d277f76a130e518f56b003aae292894b4c3539718ea51e7b"


def test_opens_and_funds_left_the_closes_of_the_sample_as_they_were(sample):
    closes = sample["prices"].filter(~pl.col("symbol").is_in(["SPY", "2800.HK"]))["close"]
    assert hashlib.sha256(closes.to_numpy().astype("<f8").tobytes()).hexdigest() == CLOSES_BEFORE


def test_the_sample_says_that_it_is_simulated():
    readme = resource("data", "sample", "README.md").read_text(encoding="utf-8")
    assert "SIMULATED" in readme.splitlines()[0]


def test_cambricon_closes_limit_up_in_the_sample(sample):
    path = sample["prices"].filter(pl.col("symbol") == "688256.SS")
    close = dict(path.select("date", "close").iter_rows())
    assert close[date(2025, 8, 12)] == limit_price(close[date(2025, 8, 11)], 0.2, 1)
