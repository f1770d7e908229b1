"""Exchanges that are open at other hours: expected values are facts of the calendars or written by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

import marketimpact as mi
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.events import calendars
from marketimpact.events.exchange_clocks import ExchangeClock, hardly_overlapping, sessions_of_the_same_news
from marketimpact.inference.placebo_alignment import align_placebo_days
from tests.conftest import golden

NEW_YORK, TAIPEI = "XNYS", "XTAI"
H20 = "2025-08-12-beijing-discourages-h20"


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def clock(mic: str, first: str, last: str) -> ExchangeClock:
    frame = calendars.sessions([mic], date.fromisoformat(first), date.fromisoformat(last)).filter(
        pl.col("date").is_between(date.fromisoformat(first), date.fromisoformat(last))
    )
    hours = {"XNYS": (14.5, 21.0), "XSHG": (1.5, 7.0), "XTAI": (1.0, 5.5), "XHKG": (1.5, 8.0), "XLON": (8.0, 16.5)}
    instants = frame["close"].dt.epoch("s").to_numpy() / 3600.0
    return ExchangeClock(frame["date"].to_physical().to_numpy().astype(np.int64), instants, *hours[mic])


def linked_dates(one: ExchangeClock, other: ExchangeClock, which: int, **how: bool) -> set[tuple[str, str]]:
    dates = (
        [str(np.datetime64(d, "D"))[5:] for d in part.tolist()]
        for part in sessions_of_the_same_news(one, other, **how)[which]
    )
    return set(zip(*dates, strict=True))


class TestLinks:
    def test_new_york_shares_the_night_with_shanghai_today_and_the_day_with_shanghai_tomorrow(self):
        one, other = clock("XNYS", "2025-08-11", "2025-08-14"), clock("XSHG", "2025-08-11", "2025-08-14")
        assert linked_dates(one, other, 0) == {("08-12", "08-12"), ("08-13", "08-13"), ("08-14", "08-14")}
        assert linked_dates(one, other, 1) == {("08-12", "08-13"), ("08-13", "08-14")}

    def test_the_first_session_after_a_holiday_has_heard_all_of_it(self):
        # Shanghai was shut from 2025-01-28 to 2025-02-04
        one, other = clock("XNYS", "2025-01-24", "2025-02-06"), clock("XSHG", "2025-01-24", "2025-02-06")
        heard = {s for s, t in linked_dates(one, other, 1) if t == "02-05"}
        assert heard == {"01-27", "01-28", "01-29", "01-30", "01-31", "02-03", "02-04"}
        assert {s for s, t in linked_dates(one, other, 0) if t == "02-05"} == {"02-05"}

    def test_by_date_a_session_is_linked_with_the_dates_it_makes_up_for(self):
        # Taipei opened again on 2025-02-03
        one, other = clock("XTAI", "2025-01-20", "2025-02-06"), clock("XSHG", "2025-01-20", "2025-02-06")
        assert {s for s, t in linked_dates(one, other, 0, by_date=True) if t == "02-06"} == {"02-06"}
        both = linked_dates(one, other, 0, by_date=True) | linked_dates(one, other, 1, by_date=True)
        assert {s for s, t in both if t == "02-05"} == {"02-03", "02-04", "02-05"}

    def test_hours_in_common_decide_who_is_apart(self):
        clocks = [clock(mic, "2025-08-11", "2025-08-14") for mic in ("XNYS", "XSHG", "XHKG", "XLON")]
        expected = [[False, True, True, True], [True, False, False, True], [True, False, False, True], [True] * 3]
        assert hardly_overlapping(clocks)[:3].tolist() == expected[:3]
        assert hardly_overlapping(clocks)[3].tolist() == [True, True, True, False]

    def test_sessions_without_clocks_are_never_apart(self):
        silent = ExchangeClock(np.arange(5), np.full(5, np.nan), np.nan, np.nan)
        assert not hardly_overlapping([silent, silent]).any()


class TestSideBySide:
    """New York's day 0 is 2025-02-06, Shanghai's 2025-02-07; a column is one New York close."""

    one, other = clock("XNYS", "2025-01-20", "2025-02-07"), clock("XSHG", "2025-01-20", "2025-02-07")

    def placed(self, day0: tuple[str, str], announcement: tuple[int, int] = (1, 1)) -> np.ndarray:
        dates = np.array(
            [[day(f"2025-02-0{d}") for d in (3, 4, 5)], [day(d) for d in ("2025-01-27", "2025-02-05", "2025-02-06")]]
        )
        return align_placebo_days(
            LazyMatrix.of(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])),
            LazyMatrix.of(dates),
            day0=np.array([day(d) for d in day0]),
            announcement=np.array(announcement),
            exchange=np.array([0, 1]),
            clocks=(self.one, self.other),
        ).to_array()

    def test_each_new_york_close_meets_the_next_in_shanghai_once(self):
        # the closes of 3 and 4 February both come before Shanghai's reopening on the 5th: the last one keeps it
        found = self.placed(("2025-02-06", "2025-02-07"))
        np.testing.assert_array_equal(found, [[1.0, 2.0, 3.0], [np.nan, 20.0, 30.0]])

    def test_announcements_apart_and_days_of_ones_own_stay_in_event_time(self):
        for found in (self.placed(("2025-02-06", "2025-02-07"), (1, 2)), self.placed(("2025-02-05", "2025-02-07"))):
            np.testing.assert_array_equal(found, [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])


@pytest.fixture(scope="module")
def two_markets() -> mi.Market:
    """One firm and one index in New York and in Taipei; Taipei is shut from 2025-01-23 to 2025-02-02."""
    frames = []
    for mic, symbols in ((NEW_YORK, ("US", "^US")), (TAIPEI, ("TW", "^TW"))):
        listed = calendars.sessions([mic], date(2025, 1, 15), date(2025, 2, 7))
        days = listed.filter(pl.col("date").is_between(date(2025, 1, 15), date(2025, 2, 7)))["date"]
        # the n-th return is n per cent in New York and -n per cent in Taipei
        sign = 1.0 if mic == NEW_YORK else -1.0
        closes = 100.0 * np.cumprod([1.0, *(1.0 + sign * n / 100.0 for n in range(1, len(days)))])
        frames += [pl.DataFrame({"symbol": [s] * len(days), "date": days, "close": closes}) for s in symbols]
    securities = pl.DataFrame({"symbol": ["US", "TW"], "mic": [NEW_YORK, TAIPEI], "benchmark": ["^US", "^TW"]})
    return mi.Market.load(securities, mi.FilePrices(pl.concat(frames)))


class TestForeignFactor:
    def values(self, market: mi.Market, symbol: str, name: str) -> dict[str, float | None]:
        frame = market.panel.filter(pl.col("symbol") == symbol).drop_nulls("ret")
        return {str(d)[5:]: v for d, v in frame.select("date", name).iter_rows()}

    def test_taipei_sees_new_yorks_day_before_and_after_a_holiday_all_of_it(self, two_markets):
        found = self.values(two_markets.with_factor("ny", "US"), "TW", "ny")
        # New York's sessions from 2025-01-15: 15, 16, 17, 21, 22, 23, ...; the 20th was a holiday
        assert found["01-17"] == pytest.approx(0.01)
        assert found["01-20"] == pytest.approx(0.02)
        assert found["01-21"] == 0.0
        assert found["01-22"] == pytest.approx(0.03)
        away = np.prod([1 + n / 100 for n in range(4, 12)]) - 1  # 22 to 31 January, eight sessions
        assert found["02-03"] == pytest.approx(away)
        assert found["02-04"] == pytest.approx(0.12)

    def test_new_york_sees_taipei_of_the_same_date(self, two_markets):
        found = self.values(two_markets.with_factor("tw", "^TW"), "US", "tw")
        assert found["01-16"] == pytest.approx(-0.01)
        assert found["01-21"] == pytest.approx((1 - 0.03) * (1 - 0.04) - 1)  # Taipei's 20th and 21st
        assert found["01-24"] == 0.0

    def test_a_series_that_closes_at_the_same_instant_is_seen_on_the_day(self, two_markets):
        market = two_markets.with_factor("own", "US")
        returns = self.values(market, "US", "ret")
        assert self.values(market, "US", "own") == pytest.approx(returns)
        assert len(set(returns.values())) == len(returns) > 10

    def test_no_factor_holds_news_to_come(self, two_markets):
        returns = two_markets.panel.filter(pl.col("symbol") == "US").select("date", "ret").drop_nulls()
        later = returns.with_columns(
            pl.when(pl.col("date") >= date(2025, 2, 4)).then(0.5).otherwise("ret").alias("ret")
        )
        plain, other = (
            self.values(two_markets.with_factor("ny", frame, mic=NEW_YORK), "TW", "ny") for frame in (returns, later)
        )
        assert {d for d in plain if plain[d] != other[d]} == {"02-05", "02-06", "02-07"}

    def test_a_missing_return_is_missing_where_it_is_seen(self, two_markets):
        returns = two_markets.panel.filter(pl.col("symbol") == "US").select("date", "ret").drop_nulls()
        found = self.values(
            two_markets.with_factor("ny", returns.filter(pl.col("date") != date(2025, 2, 4)), mic=NEW_YORK), "TW", "ny"
        )
        # the first price has no return: Taipei would have seen it on the 16th
        assert [d for d, v in found.items() if v is None] == ["01-16", "02-05"]

    def test_models_take_it_unlagged(self, two_markets):
        market = two_markets.with_factor("ny", "^US")
        assert market.factors == ("ny",)
        assert market.fingerprint != two_markets.fingerprint
        assert "ny" in market.columns

    @pytest.mark.parametrize(
        ("given", "mic", "message"),
        [
            ("XX", None, "neither a security"),
            ("^US", TAIPEI, "nor a benchmark on XTAI"),
            (pl.DataFrame({"date": [date(2025, 2, 4)], "ret": [0.1]}), None, "name it, such as mic"),
        ],
    )
    def test_unknown_sources_are_refused(self, two_markets, given, mic, message):
        with pytest.raises(mi.SpecificationError, match=message):
            two_markets.with_factor("f", given, mic=mic)

    def test_names_taken_dates_without_session_and_markets_without_clock_are_refused(self, two_markets):
        with pytest.raises(mi.SpecificationError, match="already"):
            two_markets.with_factor("ret", "US")
        sunday = pl.DataFrame({"date": [date(2025, 2, 2)], "ret": [0.1]})
        with pytest.raises(mi.DataError, match="without a session"):
            two_markets.with_factor("f", sunday, mic=NEW_YORK)
        with pytest.raises(mi.SpecificationError, match="no clocks"):
            mi.Market.from_returns(golden("returns"), golden("market")).with_factor("f", "US01")


@pytest.fixture(scope="module")
def h20_events(sample_market) -> pl.DataFrame:
    return mi.align(mi.announcements().filter(pl.col("announcement_id") == H20), sample_market)


class TestOneListing:
    def test_the_preferred_listing_stays_and_the_other_is_reported(self, sample_market, h20_events):
        kept = mi.one_listing(h20_events, sample_market.securities, prefer=["XSHG", "XTAI"])
        result = mi.EventStudy().run(kept, sample_market)
        assert result.attrition.rows() == [
            (f"{H20}:0981.HK", "other_listing", "688981.SS of the same firm is kept"),
            (f"{H20}:1347.HK", "other_listing", "688347.SS of the same firm is kept"),
        ]
        assert "two listings" not in result.test(0, 0, tests=["bmp_kp"])["note"].item()

    def test_both_listings_counted_are_named_in_every_row(self, sample_market, h20_events):
        # 1347.HK counts only where 688347.SS has a return: the sample suspends it from 18 August
        notes = mi.EventStudy().run(h20_events, sample_market).test(0, 0)["note"]
        assert all("two listings of 2 firms count as separate events" in note for note in notes)

    def test_contrasts_and_the_mirror_name_firms_that_count_twice(self, sample_market, h20_events):
        both = mi.EventStudy().run(h20_events, sample_market)
        one = mi.EventStudy().run(mi.one_listing(h20_events, sample_market.securities, prefer=["XHKG"]), sample_market)
        foundry, seller = (pl.col("policy_group") == g for g in ("domestic_foundry", "restricted_seller"))
        pairs = "0981.HK and 688981.SS, 1347.HK and 688347.SS count"
        assert pairs in mi.difference(both, foundry, seller, 0, 0)["note"][0]
        assert pairs in mi.equal_effects(both, "policy_group", 0, 0)["note"][0]
        assert "both listings" not in mi.difference(one, foundry, seller, 0, 0)["note"][0]
        # two sides are needed: AMD and NVDA take the other step
        turned = pl.when(pl.col("country") == "US").then(pl.lit("US")).otherwise("jurisdiction")
        for result, told in ((both, True), (one, False)):
            mixed = replace(
                result,
                estimation=replace(result.estimation, events=result.events.with_columns(turned.alias("jurisdiction"))),
            )
            note = mi.mirror(mixed, 0, 0).filter(pl.col("steps_by") == "US - CN")["note"]
            assert all((pairs in text) == told for text in note)

    def test_a_symbol_may_be_preferred_and_a_listing_without_day_0_does_not_count(self, sample_market, h20_events):
        named = mi.one_listing(h20_events, sample_market.securities, prefer=["0981.HK", "1347.HK"])
        left = named.filter(pl.col("align_reason") == "other_listing")["symbol"].to_list()
        assert left == ["688347.SS", "688981.SS"]
        absent = pl.col("symbol").str.ends_with(".HK")
        alone = h20_events.with_columns(pl.when(absent).then(None).otherwise("date").alias("date"))
        kept = mi.one_listing(alone, sample_market.securities, prefer=["XHKG"])
        assert "other_listing" not in kept["align_reason"]

    def test_what_does_not_decide_is_refused(self, sample_market, h20_events):
        with pytest.raises(mi.SpecificationError, match=r"does not decide between 0981.HK and 688981.SS"):
            mi.one_listing(h20_events, sample_market.securities, prefer=["XNYS"])
        with pytest.raises(mi.SpecificationError, match="give a list"):
            mi.one_listing(h20_events, sample_market.securities, prefer="XHKG")
        with pytest.raises(mi.DataError, match="announcement_id"):
            mi.one_listing(h20_events.drop("announcement_id"), sample_market.securities, prefer=["XHKG"])
        with pytest.raises(mi.DataError, match="dual_listing"):
            mi.one_listing(h20_events, sample_market.securities.drop("dual_listing"), prefer=["XHKG"])


def announced(identifier: str, at: datetime, **facts: object) -> dict[str, object]:
    return {
        "announcement_id": identifier, "announced_at": at, "time_precision": "minute", "stance": "restrictive",
        "headline": "news", "time_zone": "Asia/Shanghai",
        "targets": ["NVDA", "688981.SS", "0981.HK", "2330.TW"], **facts,
    }  # fmt: skip


@pytest.fixture(scope="module")
def reactions(sample_market) -> pl.DataFrame:
    facts = [
        announced("break", datetime(2025, 8, 12, 4, 45, tzinfo=UTC)),
        announced("evening", datetime(2025, 8, 14, 13, 0, tzinfo=UTC)),
        announced("open", datetime(2025, 8, 13, 2, 15, tzinfo=UTC)),
        announced("undated", datetime(2025, 8, 18, 16, 0, tzinfo=UTC), time_precision="day"),
    ]
    result = mi.EventStudy().run(mi.align(pl.DataFrame(facts), sample_market), sample_market)
    return mi.reaction_order(result)


def test_tests_that_reject_too_often_across_exchanges_apart_say_so(sample_market, h20_events):
    result = mi.EventStudy().run(h20_events, sample_market)
    told = {}
    for last in (0, 1):
        found = result.test(0, last, tests=["residual_bootstrap", "placebo_bmp", "bmp_kp"])
        told[last] = set(found.filter(pl.col("note").str.contains("hardly open together"))["test"])
    assert told == {0: set(), 1: {"residual_bootstrap"}}


class TestReactionOrder:
    def order(self, reactions: pl.DataFrame, identifier: str) -> list[tuple[int | None, str, str]]:
        part = reactions.filter(pl.col("announcement_id") == identifier)
        return [(n, mic, f"{at:%d %H:%M}") for n, mic, at in part.select("order", "mic", "reacts_at").iter_rows()]

    def test_an_open_exchange_reacts_at_once(self, reactions):
        found = self.order(reactions, "open")
        assert {mic for n, mic, at in found if (n, at) == (1, "13 02:15")} == {"XSHG", "XHKG", "XTAI"}
        assert found[-1] == (4, "XNAS", "13 13:30")

    def test_a_break_ends_first_and_taipei_has_none(self, reactions):
        # 12:45 in Shanghai: Shanghai and Hong Kong resume at 13:00 local, Taipei trades until 13:30
        assert self.order(reactions, "break") == [
            (1, "XTAI", "12 04:45"), (2, "XSHG", "12 05:00"), (2, "XHKG", "12 05:00"), (4, "XNAS", "12 13:30"),
        ]  # fmt: skip

    def test_in_the_evening_new_york_is_first_and_asia_opens_the_next_day(self, reactions):
        assert self.order(reactions, "evening") == [
            (1, "XNAS", "14 13:30"), (2, "XTAI", "15 01:00"), (3, "XSHG", "15 01:30"), (3, "XHKG", "15 01:30"),
        ]  # fmt: skip

    def test_a_date_alone_gives_bounds_and_no_order(self, reactions):
        part = reactions.filter(pl.col("announcement_id") == "undated")
        assert part["order"].null_count() == part["reacts_at"].null_count() == 4
        bounds = {row[0]: row[1:] for row in part.select("mic", "reacts_earliest", "reacts_latest").iter_rows()}
        # all of 19 August in Shanghai: 18 August 16:00 to 19 August 16:00 UTC
        assert bounds["XNAS"] == (datetime(2025, 8, 18, 16, tzinfo=UTC), datetime(2025, 8, 19, 15, 59, 59, 999999, UTC))
        assert bounds["XTAI"] == (datetime(2025, 8, 19, 1, tzinfo=UTC), datetime(2025, 8, 20, 1, tzinfo=UTC))

    def test_a_single_firms_row_is_its_own_t(self, reactions, sample_market):
        facts = pl.DataFrame([announced("open", datetime(2025, 8, 13, 2, 15, tzinfo=UTC))])
        cars = mi.EventStudy().run(mi.align(facts, sample_market), sample_market).car(0, 0)
        own = cars.filter(pl.col("symbol") == "2330.TW").row(0, named=True)
        row = reactions.filter(pl.col("announcement_id") == "open", pl.col("mic") == "XTAI").row(0, named=True)
        assert (row["n_events"], row["caar"]) == (1, pytest.approx(own["car"]))
        assert row["statistic"] == pytest.approx(own["t"])
        assert row["p_value"] == pytest.approx(own["p"])
        # 80 of 100 samples of the noncentral t lie beyond the critical value
        shift = row["mde"] / row["se"]
        assert stats.nct.sf(stats.t.ppf(0.975, own["df"]), own["df"], shift) == pytest.approx(0.8, abs=1e-6)

    def test_events_without_announcements_or_clocks_are_refused(self, sample_market):
        events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["NVDA", "NVDA"], "date": [date(2025, 8, 12)] * 2})
        with pytest.raises(mi.DataError, match="announced_at"):
            mi.reaction_order(mi.EventStudy().run(events, sample_market))


@pytest.fixture(scope="module")
def campaigns(golden_market, golden_study) -> mi.StudyResult:
    events = golden("events_mixed").with_columns(
        pl.col("date").cast(pl.String).alias("announcement_id"),
        pl.when(pl.col("date") < pl.col("date").median()).then(pl.lit("early")).alias("campaign_id"),
    )
    return golden_study.run(events, golden_market)


class TestClusters:
    def test_campaigns_are_clusters_and_what_has_none_keeps_its_announcement(self, campaigns):
        events = campaigns.events
        alone = events.filter(pl.col("campaign_id").is_null())["announcement_id"].n_unique()
        assert campaigns.clustered("campaign_id").sample(0, 0).n_clusters == 1 + alone
        assert campaigns.sample(0, 0).n_clusters == events["announcement_id"].n_unique()

    @pytest.mark.parametrize("column", ["announcement_id", "campaign_id", "symbol"])
    def test_cluster_t_is_statsmodels_over_the_same_groups(self, campaigns, column):
        chosen = campaigns.clustered(column)
        row = chosen.test(0, 0, tests=["cluster_t"]).row(0, named=True)
        cars = chosen.car(0, 0)
        own = pl.coalesce(pl.col(column), pl.col("announcement_id"))
        groups = cars.select(own).to_series().rank("dense").to_numpy()
        fit = sm.OLS(cars["car"].to_numpy(), np.ones(cars.height)).fit(cov_type="cluster", cov_kwds={"groups": groups})
        assert row["statistic"] == pytest.approx(fit.tvalues[0], rel=1e-9)
        assert row["df"] == len(set(groups)) - 1

    def test_notes_name_the_column_and_strangers_are_refused(self, campaigns):
        note = campaigns.clustered("campaign_id").test(0, 0, tests=["wild_cluster"])["note"].item()
        assert "clusters (campaign_id), here are" in note
        with pytest.raises(mi.SpecificationError, match="campaign"):
            campaigns.clustered("campaigns")

    def test_groups_and_conditions_keep_the_clusters(self, campaigns):
        chosen = campaigns.clustered("symbol")
        assert (
            chosen.where(pl.col("symbol").is_not_null()).sample(0, 0).n_clusters
            == campaigns.events["symbol"].n_unique()
        )


@pytest.mark.parametrize(
    ("at", "shanghai", "new_york"),
    [
        # Shanghai closes at 07:00 UTC, breaks from 03:30 to 05:00, and opens at 01:30
        (datetime(2025, 8, 13, 6, 59, tzinfo=UTC), "13 06:59", "13 13:30"),
        (datetime(2025, 8, 13, 7, 0, tzinfo=UTC), "14 01:30", "13 13:30"),
        (datetime(2025, 8, 13, 3, 29, tzinfo=UTC), "13 03:29", "13 13:30"),
        (datetime(2025, 8, 13, 3, 30, tzinfo=UTC), "13 05:00", "13 13:30"),
        (datetime(2025, 8, 13, 5, 0, tzinfo=UTC), "13 05:00", "13 13:30"),
        (datetime(2025, 8, 13, 1, 29, tzinfo=UTC), "13 01:30", "13 13:30"),
        # New York closes at 20:00 UTC
        (datetime(2025, 8, 13, 20, 0, tzinfo=UTC), "14 01:30", "14 13:30"),
    ],
)
def test_a_market_reacts_when_it_trades_again(sample_market, at, shanghai, new_york):
    announcement = pl.DataFrame([announced("edge", at, targets=["NVDA", "688981.SS"])])
    table = mi.reaction_order(mi.EventStudy().run(mi.align(announcement, sample_market), sample_market))
    found = {mic: f"{moment:%d %H:%M}" for mic, moment in table.select("mic", "reacts_at").iter_rows()}
    assert found == {"XSHG": shanghai, "XNAS": new_york}
