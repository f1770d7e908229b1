"""The embedded announcements against their sources, and the strict reading of a user's files."""

from __future__ import annotations

import csv
import zoneinfo
from datetime import UTC, date, datetime, time
from pathlib import Path

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.errors import DataError
from marketimpact.events import calendars
from tests.conftest import SHARED

SEED = "2025-08-12-beijing-discourages-h20"
H20_CAMPAIGN = "2025-08-h20-deal-and-discouragement"
BROAD = {"^GSPC", "^HSI", "000300.SS", "^TWII", "^KS11", "^N225", "^AEX", "^FCHI", "^GDAXI"}


@pytest.fixture(scope="module")
def embedded() -> pl.DataFrame:
    return mi.announcements(recalled=True)


@pytest.fixture(scope="module")
def universe() -> pl.DataFrame:
    return mi.securities()


def fact(frame: pl.DataFrame, announcement_id: str) -> dict:
    return frame.row(by_predicate=pl.col("announcement_id") == announcement_id, named=True)


def local_date(row: dict) -> date:
    return row["announced_at"].astimezone(zoneinfo.ZoneInfo(row["time_zone"])).date()


class TestEmbeddedAnnouncements:
    def test_the_seed_event(self, embedded):
        row = fact(embedded, SEED)
        assert row["announced_at"] == datetime(2025, 8, 12, 4, 45, tzinfo=UTC)
        assert row["time_precision"] == "hour"
        assert row["time_zone"] == "Asia/Shanghai"
        # 11:30 to 14:30 in Beijing
        assert row["not_before"] == datetime(2025, 8, 12, 3, 30, tzinfo=UTC)
        assert row["not_after"] == datetime(2025, 8, 12, 6, 30, tzinfo=UTC)
        assert row["campaign_id"] == H20_CAMPAIGN
        assert row["stance"] == "restrictive"
        assert row["verification"] == "seen"
        assert {"NVDA", "688256.SS", "0981.HK"} <= set(row["targets"])

    def test_an_edgar_stamp_is_kept_to_the_second(self, embedded):
        # the filing's header says 20231017172714 in New York, on daylight saving time
        row = fact(embedded, "2023-10-17-nvidia-8k-a800-h800")
        assert row["announced_at"] == datetime(2023, 10, 17, 21, 27, 14, tzinfo=UTC)
        assert row["time_precision"] == "minute"

    @pytest.mark.parametrize(
        ("announcement_id", "zone"),
        [
            ("2019-06-29-g20-huawei-relief", "Asia/Tokyo"),
            ("2025-10-30-busan-no-blackwell", "Asia/Seoul"),
            ("2025-05-12-geneva-truce", "Europe/Zurich"),
            ("2023-06-30-nl-regulation", "Europe/Amsterdam"),
            ("2026-01-13-china-special-circumstances", "America/New_York"),
        ],
    )
    def test_the_zone_is_that_of_the_place_whose_date_it_is(self, embedded, announcement_id, zone):
        assert fact(embedded, announcement_id)["time_zone"] == zone

    def test_nothing_scheduled_or_guessed(self, embedded):
        # the reading of 28 November 2026 found nothing later that a page documents
        assert max(map(local_date, embedded.iter_rows(named=True))) == date(2026, 9, 3)
        assert min(map(local_date, embedded.iter_rows(named=True))) == date(2018, 2, 8)

    def test_a_date_only_announcement_carries_no_clock(self, embedded):
        days = embedded.filter(pl.col("time_precision") == "day").rows(named=True)
        assert days
        for row in days:
            local = row["announced_at"].astimezone(zoneinfo.ZoneInfo(row["time_zone"]))
            assert local.time() == time(0, 0), row["announcement_id"]

    def test_identifiers_begin_with_the_local_date_or_that_of_the_stamp(self, embedded):
        # an identifier stays when a date is corrected: this report came in the evening before, in New York
        corrected = {"2023-10-31-wsj-order-cancellations"}
        odd = {
            row["announcement_id"]
            for row in embedded.iter_rows(named=True)
            if row["announcement_id"][:10] not in (local_date(row).isoformat(), row["announced_at"].date().isoformat())
        }
        assert odd == corrected
        stamps = embedded.filter(
            pl.col("announced_at").dt.date().cast(pl.String) == pl.col("announcement_id").str.head(10)
        )
        assert stamps.filter(pl.col("time_precision") != "day").height > 0

    def test_results_come_after_the_close_of_new_york(self, embedded):
        results = embedded.filter(pl.col("announcement_id").str.ends_with("-nvda-earnings"))
        assert results.height == 35
        closes = calendars.sessions(["XNYS"], date(2018, 1, 2), date(2026, 8, 27))["close"]
        assert set(results["not_before"]) <= set(closes)
        assert (results["not_before"] < results["announced_at"]).all()

    def test_before_the_open_is_a_bound(self, embedded):
        # "Before the US open": 09:30 in New York, winter time
        row = fact(embedded, "2019-01-28-nvda-preannouncement")
        assert row["not_after"] == datetime(2019, 1, 28, 14, 30, tzinfo=UTC)

    def test_public_before_is_a_bound(self, embedded):
        # a page stamped 14:58 in India
        row = fact(embedded, "2024-04-12-china-telecom-cpu-phaseout")
        assert row["not_after"] == datetime(2024, 4, 12, 9, 28, tzinfo=UTC)

    def test_a_stamp_to_the_minute_needs_no_bound(self, embedded):
        stamped = embedded.filter(pl.col("time_precision") == "minute")
        assert stamped["not_before"].null_count() == stamped["not_after"].null_count() == stamped.height > 20

    def test_where_two_stamps_disagree_the_row_keeps_both(self, embedded):
        # a post decoded to 01:51:10 UTC by a file of unknown origin, the FT feed at 02:52:27 UTC
        row = fact(embedded, "2025-07-14-h20-resumption")
        assert row["time_precision"] == "hour"
        assert row["not_before"] == datetime(2025, 7, 15, 1, 51, 10, tzinfo=UTC)
        assert row["not_after"] == datetime(2025, 7, 15, 2, 52, 27, tzinfo=UTC)
        assert "01:51:10" in row["notes"]
        assert "02:52:27" in row["notes"]

    def test_weak_rows_say_so(self, embedded):
        low = embedded.filter(pl.col("confidence") == "low")
        assert set(low["announcement_id"]) == {
            "2025-11-26-bytedance-nvidia-barred",
            "2026-05-15-china-blocks-5090dv2",
            "2026-06-23-memory-selloff",
        }
        assert low["notes"].str.to_lowercase().str.contains("weak").all()

    def test_what_was_recalled_has_no_address(self, embedded):
        recalled = embedded.filter(pl.col("verification") == "recalled")
        assert recalled["source_url"].null_count() == recalled.height
        read = embedded.filter(pl.col("verification") != "recalled")
        assert read["source_url"].str.starts_with("http").all()

    def test_confounders_are_flagged_and_policy_takes_a_stance(self, embedded):
        assert embedded["is_confounder"].null_count() == 0
        assert 0 < embedded["is_confounder"].sum() < embedded.height
        assert fact(embedded, "2025-01-27-deepseek-shock")["is_confounder"]

    def test_sorted_by_instant_and_identifier(self, embedded):
        order = embedded.select("announced_at", "announcement_id").rows()
        assert order == sorted(order)

    def test_announcements_named_in_the_text_exist(self, embedded):
        named = (
            pl.concat([embedded["confounders"], embedded["anticipation"]])
            .str.extract_all(r"\b20\d\d-\d\d-\d\d-[a-z0-9][a-z0-9\-]+")
            .explode()
            .drop_nulls()
        )
        assert len(named) > 50
        assert set(named) <= set(embedded["announcement_id"])


class TestEmbeddedCampaigns:
    def test_the_days_of_the_h20_deal_are_one_campaign(self, embedded):
        members = embedded.filter(pl.col("campaign_id") == H20_CAMPAIGN)
        assert set(members["announcement_id"]) == {
            "2025-08-08-h20-licences-issued",
            "2025-08-10-15pct-revenue-share",
            "2025-08-11-trump-confirms-deal",
            SEED,
        }
        dates = [local_date(row) for row in members.iter_rows(named=True)]
        assert (min(dates), max(dates)) == (date(2025, 8, 8), date(2025, 8, 12))

    def test_spans(self):
        spans = {row["campaign_id"]: (row["first"], row["last"]) for row in mi.campaigns().iter_rows(named=True)}
        assert sorted(spans.values()) == [
            (date(2019, 5, 15), date(2019, 5, 20)),
            (date(2025, 8, 8), date(2025, 8, 12)),
            (date(2025, 8, 21), date(2025, 8, 22)),
            (date(2025, 9, 12), date(2025, 9, 18)),
            (date(2025, 10, 9), date(2025, 10, 13)),
            (date(2026, 1, 13), date(2026, 1, 16)),
            (date(2026, 5, 13), date(2026, 5, 21)),
        ]
        assert spans[H20_CAMPAIGN] == (date(2025, 8, 8), date(2025, 8, 12))

    def test_members_lie_in_the_span_and_are_no_confounders(self, embedded):
        spans = {row["campaign_id"]: (row["first"], row["last"]) for row in mi.campaigns().iter_rows(named=True)}
        members = embedded.drop_nulls("campaign_id")
        assert set(members["campaign_id"]) == set(spans)
        assert members["campaign_id"].value_counts()["count"].min() >= 2
        assert not members["is_confounder"].any()
        for row in members.iter_rows(named=True):
            first, last = spans[row["campaign_id"]]
            assert first <= local_date(row) <= last, row["announcement_id"]


class TestEmbeddedSecurities:
    def test_every_target_is_a_security(self, embedded, universe):
        assert set(embedded["targets"].explode().drop_nulls()) <= set(universe["symbol"])

    def test_the_benchmark_is_broad_and_one_per_exchange(self, universe):
        assert set(universe["benchmark"]) == BROAD
        assert (universe["benchmark"] != universe["symbol"]).all()
        per_exchange = universe.group_by("mic").agg(pl.col("benchmark").n_unique())
        assert per_exchange["benchmark"].max() == 1

    def test_the_sector_proxy_is_another_symbol(self, universe):
        assert universe["sector_proxy"].null_count() == 0
        assert (universe["sector_proxy"] != universe["benchmark"]).all()
        assert not set(universe["sector_proxy"]) & {"^SOX", "000688.SS"}
        assert universe["sector_proxy"].str.contains(r"^[A-Z0-9]+(\.[A-Z]+)?$").all()

    @pytest.mark.parametrize(
        ("symbol", "limit"),
        [
            ("688256.SS", 0.20),
            ("300474.SZ", 0.20),
            ("600584.SS", 0.10),
            ("002371.SZ", 0.10),
            ("2330.TW", 0.10),
            ("5347.TWO", 0.10),
            ("005930.KS", 0.30),
            ("NVDA", None),
            ("0981.HK", None),
            ("8035.T", None),
            ("ASML.AS", None),
        ],
    )
    def test_price_limits(self, universe, symbol, limit):
        row = universe.row(by_predicate=pl.col("symbol") == symbol, named=True)
        assert row["price_limit"] == limit

    @pytest.mark.parametrize(
        ("one", "other"),
        [("BABA", "9988.HK"), ("0981.HK", "688981.SS"), ("1347.HK", "688347.SS"), ("TSM", "2330.TW")],
    )
    def test_dual_listings(self, universe, one, other):
        pairs = dict(universe.select("symbol", "dual_listing").rows())
        assert pairs[one] == other

    def test_dual_listings_are_mutual(self, universe):
        pairs = dict(universe.drop_nulls("dual_listing").select("symbol", "dual_listing").rows())
        assert all(pairs[other] == one for one, other in pairs.items())

    def test_every_exchange_has_a_calendar(self, universe):
        assert set(universe["mic"]) <= set(calendars.EXCHANGES)


@pytest.fixture
def written(tmp_path):
    """Write a CSV and give its path."""

    def write(text: str | bytes, name: str = "mine.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refused(path, read=mi.announcements) -> DataError:
    with pytest.raises(DataError) as error:
        read(path)
    return error.value


MINIMAL = "announcement_id,announced_at,stance,headline,time_zone,targets\n"


class TestOwnFile:
    def test_the_fewest_columns(self, written):
        path = written("announcement_id,announced_at,stance,headline\na,2025-08-12T12:45:00+08:00,mixed,Hm\n")
        row = mi.announcements(path).row(0, named=True)
        assert row["announced_at"] == datetime(2025, 8, 12, 4, 45, tzinfo=UTC)
        assert row["time_precision"] == "minute"
        assert row["is_confounder"] is False
        assert row["targets"] is None

    @pytest.mark.parametrize(
        "cell",
        [
            "2025-08-12T04:45:00Z",
            "2025-08-12T04:45Z",
            "2025-08-12 12:45+08:00",
            "2025-08-12T12:45:00+0800",
            "2025-08-12T00:45:00.000-04:00",
            "  2025-08-12T04:45:00Z ",
        ],
    )
    def test_iso_8601_with_an_offset(self, written, cell):
        frame = mi.announcements(written(f"{MINIMAL}a,{cell},mixed,Hm,,\n"))
        assert frame["announced_at"].item() == datetime(2025, 8, 12, 4, 45, tzinfo=UTC)
        assert frame["time_precision"].item() == "minute"

    def test_a_plain_date_begins_in_its_zone(self, written):
        rows = (
            "a,2025-08-12,mixed,Hm,Asia/Shanghai,\n"
            "b,2025-08-12,mixed,Hm,America/New_York,\n"
            "c,2025-01-12,mixed,Hm,America/New_York,\n"
            "d,2024-04-26,mixed,Hm,Africa/Cairo,\n"  # its clocks went forward at midnight
        )
        frame = mi.announcements(written(MINIMAL + rows)).sort("announcement_id")
        assert frame["announced_at"].to_list() == [
            datetime(2025, 8, 11, 16, tzinfo=UTC),
            datetime(2025, 8, 12, 4, tzinfo=UTC),
            datetime(2025, 1, 12, 5, tzinfo=UTC),
            datetime(2024, 4, 25, 22, tzinfo=UTC),
        ]
        assert set(frame["time_precision"]) == {"day"}

    @pytest.mark.parametrize("cell", ["NVDA; 0981.HK ;", '"NVDA, 0981.HK"', '" NVDA,;0981.HK,"', '"NVDA\n0981.HK"'])
    def test_targets_are_split_and_trimmed(self, written, cell):
        frame = mi.announcements(written(f"{MINIMAL}a,2025-08-12T04:45Z,mixed,Hm,,{cell}\n"))
        assert frame["targets"].to_list() == [["NVDA", "0981.HK"]]

    @pytest.mark.parametrize(
        ("cell", "zone", "instant"),
        [
            ("2025-08-12 12:45", "Asia/Shanghai", datetime(2025, 8, 12, 4, 45, tzinfo=UTC)),
            ("2025-08-12T12:45:30.5", "Asia/Shanghai", datetime(2025, 8, 12, 4, 45, 30, 500000, tzinfo=UTC)),
            ("2025-08-12 8:45", "America/New_York", datetime(2025, 8, 12, 12, 45, tzinfo=UTC)),
            ("2025-01-13 08:45", "America/New_York", datetime(2025, 1, 13, 13, 45, tzinfo=UTC)),
            ("2025-08-12T12:45+08:00", "America/New_York", datetime(2025, 8, 12, 4, 45, tzinfo=UTC)),
        ],
    )
    def test_a_local_time_is_read_in_its_zone_unless_it_has_an_offset(self, written, cell, zone, instant):
        rows = f"a,{cell},mixed,Hm,{zone},\nb,{cell},mixed,Hm,{zone},\n"
        frame = mi.announcements(written(MINIMAL + rows))
        assert frame["announced_at"].to_list() == [instant, instant]
        assert set(frame["time_precision"]) == {"minute"}

    def test_a_frame_of_local_times_gives_what_csv_gives(self, written):
        rows = "a,2025-08-12 12:45,mixed,Hm,Asia/Shanghai,\nb,2025-08-12 12:45,mixed,Hm,America/New_York,\n"
        from_file = mi.announcements(written(MINIMAL + rows))
        given = {
            "announcement_id": ["a", "b"],
            "announced_at": [datetime(2025, 8, 12, 12, 45)] * 2,
            "stance": ["mixed"] * 2,
            "headline": ["Hm"] * 2,
            "time_zone": ["Asia/Shanghai", "America/New_York"],
        }
        for unit in ("ms", "us", "ns"):
            frame = pl.DataFrame(given).with_columns(pl.col("announced_at").cast(pl.Datetime(unit)))
            assert mi.announcements(frame).select(*given).equals(from_file.select(*given))

    def test_a_frame_of_naive_midnights_holds_dates(self):
        frame = pl.DataFrame(
            {
                "announcement_id": ["a"],
                "announced_at": [datetime(2025, 8, 12)],
                "stance": ["mixed"],
                "headline": ["Hm"],
                "time_zone": ["Asia/Shanghai"],
            }
        )
        row = mi.announcements(frame).row(0, named=True)
        assert (row["announced_at"], row["time_precision"]) == (datetime(2025, 8, 11, 16, tzinfo=UTC), "day")

    @pytest.mark.parametrize("zone", [None, "Asia/Shanghai"])
    def test_a_midnight_among_clock_times_is_a_date_unless_its_precision_is_given(self, zone):
        """Workbooks and pandas have one type for dates and for times, so a date is its midnight."""
        frame = pl.DataFrame(
            {
                "announcement_id": ["a", "b", "b2"],
                "announced_at": [datetime(2025, 8, 11, 12, 45), datetime(2025, 8, 12), datetime(2025, 8, 12)],
                "stance": ["mixed"] * 3,
                "headline": ["Hm"] * 3,
                "time_zone": ["Asia/Shanghai"] * 3,
            }
        )
        if zone:
            frame = frame.with_columns(pl.col("announced_at").dt.replace_time_zone(zone))
        assert mi.announcements(frame)["time_precision"].to_list() == ["minute", "day", "day"]
        text = frame.with_columns(pl.col("announced_at").dt.to_string("%Y-%m-%d %H:%M:%S"))
        assert mi.announcements(text)["time_precision"].to_list() == ["minute", "day", "day"]
        known = frame.with_columns(time_precision=pl.lit("minute"))
        read = mi.announcements(known)
        assert read["time_precision"].to_list() == ["minute"] * 3
        assert read["announced_at"][1] == datetime(2025, 8, 11, 16, tzinfo=UTC)

    def test_a_column_of_clock_times_and_a_zone_without_summer_are_pointed_out(self, written):
        text = "announcement_id,announced_at,time,stance,headline,time_zone\n"
        text += "a,2025-06-12,15:30,mixed,Hm,EST\nb,2025-06-12,15:30,mixed,Hm,EST\n"
        with pytest.warns(mi.MarketImpactWarning) as told:
            frame = mi.announcements(written(text))
        assert [str(each.message).split(": ", 1)[1][:30] for each in told] == [
            "column 'time' is kept, but not",
            "time_zone EST has no daylight ",
        ]
        assert set(frame["time_precision"]) == {"day"}

    @pytest.mark.parametrize(
        ("cell", "zone", "instant", "not_before", "not_after"),
        [
            # 16:00 and 09:30 in New York, on daylight saving time; the exchange closed at 13:00 on 3 July 2025
            ("2025-05-28 AMC", "America/New_York", "2025-05-28T20:00", "2025-05-28T20:00", "2025-05-29T04:00"),
            ("2025-05-28 bmo", "America/New_York", "2025-05-28T13:29", "2025-05-28T04:00", "2025-05-28T13:30"),
            ("2025-07-03 after close", "America/New_York", "2025-07-03T17:00", "2025-07-03T17:00", "2025-07-04T04:00"),
            (
                "2025-08-12, before market open",
                "Asia/Shanghai",
                "2025-08-12T01:29",
                "2025-08-11T16:00",
                "2025-08-12T01:30",
            ),
            ("2025-08-12 AMC", "Asia/Hong_Kong", "2025-08-12T08:00", "2025-08-12T08:00", "2025-08-12T16:00"),
        ],
    )
    def test_before_the_open_and_after_the_close(self, written, cell, zone, instant, not_before, not_after):
        rows = f'a,"{cell}",mixed,Hm,{zone},\nb,"{cell}",mixed,Hm,{zone},\n'
        frame = mi.announcements(written(MINIMAL + rows))
        expected = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (instant, not_before, not_after)]
        assert frame.select("announced_at", "not_before", "not_after").rows() == [tuple(expected)] * 2
        assert set(frame["time_precision"]) == {"hour"}

    def test_a_missing_header_is_explained_for_the_file(self, written):
        error = refused(written("announcement_id,announced_at,Stance,title\na,2025-08-12T04:45Z,mixed,Hm\n"))
        assert "In the file's header rename 'Stance' to 'stance' and add 'headline'." in str(error)

    def test_further_columns_are_kept(self, written):
        path = written("announcement_id,announced_at,stance,headline,mine\na,2025-08-12T04:45Z,mixed,Hm,7\n")
        assert mi.announcements(path)["mine"].to_list() == ["7"]

    def test_a_byte_order_mark_quotes_and_blank_lines(self, written):
        text = f'\ufeff{MINIMAL}\r\na,2025-08-12T04:45Z,mixed,"One, two",,\r\n\r\n'
        assert mi.announcements(written(text))["headline"].to_list() == ["One, two"]

    def test_sorted_by_instant_and_identifier(self, written):
        rows = "b,2025-08-12T04:45Z,mixed,Hm,,\na,2025-08-12T04:45Z,mixed,Hm,,\nc,2025-08-11T04:45Z,mixed,Hm,,\n"
        assert mi.announcements(written(MINIMAL + rows))["announcement_id"].to_list() == ["c", "a", "b"]

    def test_a_path_may_be_text(self, written):
        path = written(f"{MINIMAL}a,2025-08-12T04:45Z,mixed,Hm,,\n")
        assert mi.announcements(str(path)).height == 1

    def test_parquet_gives_what_csv_gives(self, tmp_path):
        mi.announcements().write_parquet(tmp_path / "mine.parquet")
        assert mi.announcements(tmp_path / "mine.parquet").equals(mi.announcements())

    def test_a_frame_gives_what_csv_gives(self):
        assert mi.announcements(mi.announcements().reverse()).equals(mi.announcements())
        assert mi.securities(mi.securities()).equals(mi.securities())
        assert mi.campaigns(mi.campaigns()).equals(mi.campaigns())

    def test_a_frame_of_dates(self):
        frame = pl.DataFrame(
            {
                "announcement_id": ["a"],
                "announced_at": [date(2025, 8, 12)],
                "stance": ["mixed"],
                "headline": ["Hm"],
                "time_zone": ["Asia/Shanghai"],
            }
        )
        row = mi.announcements(frame).row(0, named=True)
        assert (row["announced_at"], row["time_precision"]) == (datetime(2025, 8, 11, 16, tzinfo=UTC), "day")

    def test_own_securities_and_campaigns(self, written):
        frame = mi.securities(written("symbol,mic,price_limit,listed_on\nX,XHKG,0.1,2020-02-29\n"))
        assert frame.select("price_limit", "listed_on").row(0) == (0.1, date(2020, 2, 29))
        path = written("campaign_id,title,first,last\nc,T,2025-08-08,2025-08-12\n")
        assert mi.campaigns(path)["last"].item() == date(2025, 8, 12)


class TestRefusedCells:
    @pytest.mark.parametrize(
        ("cells", "rule"),
        [
            ("2025-08-12T12:45:00,,time_zone=", "announced_at|no_offset"),
            ("2025-08-12 12:45,,time_zone=", "announced_at|no_offset"),
            ("1990-09-16 01:30,,", "announced_at|clock_change"),
            ("2025-10-01 AMC,,", "announced_at|no_session_of_word"),
            ("2025-08-12 BMO,,time_zone=", "announced_at|no_session_of_word"),
            ("2025-08-12 noon,,", "announced_at|no_session_of_word"),
            ("2025-02-30 12:45,,", "announced_at|unreadable_instant"),
            ("tomorrow,,", "announced_at|unreadable_instant"),
            ("2025-02-30,,", "announced_at|unreadable_instant"),
            ("12.08.2025,,", "announced_at|unreadable_instant"),
            ("2025-08-12T25:00Z,,", "announced_at|unreadable_instant"),
            (",minute,", "announced_at|nullability"),
            ("2025-08-12,minute,", "announced_at|no_clock"),
            ("2025-08-12T12:45:00+08:00,day,", "day_has_no_clock"),
            ("2025-08-12,day,not_before=2025-08-12", "not_before|unreadable_instant"),
            ("2025-08-12,day,not_after=2025-08-12T10:61", "not_after|unreadable_instant"),
            ("2025-08-12,day,source_date=12 August", "source_date|unreadable_date"),
            ("2025-08-12,day,is_confounder=perhaps", "is_confounder|unreadable_truth"),
            ("2025-08-12,day,time_zone=Asia/Beijing", "time_zone_known"),
            ("2025-08-12,day,time_zone=", "day_needs_time_zone"),
            ("2025-08-12,day,stance=n/a", "stance_allowed"),
            ("2025-08-12,day,headline=", "headline|nullability"),
        ],
    )
    def test_each_is_counted_once_with_its_row(self, tmp_path, cells, rule):
        instant, precision, other = cells.split(",", 2)
        good = {
            "announcement_id": "good",
            "announced_at": "2025-08-12",
            "time_precision": "day",
            "stance": "mixed",
            "headline": "Hm",
            "time_zone": "Asia/Shanghai",
            "not_before": "",
            "not_after": "",
            "source_date": "",
            "is_confounder": "",
        }
        column, _, value = other.partition("=")
        bad = good | {
            "announcement_id": "bad",
            "announced_at": instant,
            "time_precision": precision or "minute",
        }
        bad |= {column: value} if column else {}
        with (tmp_path / "mine.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(good))
            writer.writeheader()
            writer.writerows([good, bad])
        error = refused(tmp_path / "mine.csv")
        assert error.counts == {rule: 1}
        assert error.rows["row"].to_list() == [2]
        assert "mine.csv" in str(error)

    def test_unreadable_cells_and_broken_rules_come_together(self, written):
        rows = (
            "a,2025-08-12T12:45:00,mixed,Hm,,\n"
            "a,soon,mixed,Hm,,\n"
            "c,2025-08-12,bad,,Asia/Shanghai,\n"
            "d,,mixed,Hm,Mars/Base,\n"
        )
        error = refused(written(MINIMAL + rows))
        assert error.counts == {
            "announced_at|no_offset": 1,
            "announced_at|unreadable_instant": 1,
            "announced_at|nullability": 1,
            "primary_key (announcement_id)": 2,
            "stance_allowed": 1,
            "headline|nullability": 1,
            "time_zone_known": 1,
        }
        assert error.rows["row"].to_list() == [1, 2, 3, 4]
        assert "announced_at=soon" in str(error)
        assert "2025-08-12T12:45:00+08:00" in str(error), "the message shows how to write it"

    def test_the_rule_without_a_clock_says_what_to_write(self, written):
        text = "announcement_id,announced_at,time_precision,stance,headline,time_zone\n"
        text += "a,2025-08-12T12:45:00+08:00,day,mixed,Hm,Asia/Shanghai\n"
        assert "must not have a clock time" in str(refused(written(text)))

    def test_numbers_and_dates_of_securities(self, written):
        path = written("symbol,mic,price_limit,listed_on\nX,XHKG,10%,1.2.2020\nY,XHKG,-0.1,\n")
        error = refused(path, mi.securities)
        assert error.counts == {
            "price_limit|unreadable_number": 1,
            "listed_on|unreadable_date": 1,
            "price_limit|min_exclusive": 1,
        }

    def test_a_naive_column_is_refused_with_the_way_out(self):
        frame = mi.announcements().with_columns(pl.col("announced_at").dt.replace_time_zone(None))
        assert "replace_time_zone" in str(refused(frame))


class TestRefusedFiles:
    @pytest.mark.parametrize("read", [mi.announcements, mi.securities, mi.campaigns])
    def test_missing(self, tmp_path, read):
        message = str(refused(tmp_path / "none.csv", read))
        assert "none.csv" in message
        assert "no such file" in message

    @pytest.mark.parametrize("name", ["mine.xls", "mine", "mine.csv.gz"])
    def test_another_extension(self, written, name):
        message = str(refused(written("x", name)))
        assert name in message
        assert ".csv, .parquet and .xlsx" in message

    def test_a_folder(self, tmp_path):
        (tmp_path / "mine.csv").mkdir()
        assert "folder" in str(refused(tmp_path / "mine.csv"))

    def test_a_name_that_no_file_can_have(self):
        assert "no such file" in str(refused("a\0b.csv"))

    @pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "cp1252"])
    def test_not_utf_8(self, written, encoding):
        text = f"{MINIMAL}a,2025-08-12T04:45Z,mixed,Café 芯片,,\n"
        message = str(refused(written(text.encode(encoding, "replace"))))
        assert "UTF-8" in message
        assert "mine.csv" in message

    @pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", " , \n"])
    def test_empty(self, written, text):
        assert "empty" in str(refused(written(text)))

    def test_no_rows(self, written):
        message = str(refused(written(MINIMAL)))
        assert "has no rows" in message
        assert "mine.csv" in message

    def test_a_missing_column(self, written):
        message = str(refused(written("announcement_id,announced_at\na,2025-08-12\n")))
        assert "lacks the columns 'stance', 'headline'" in message

    def test_a_repeated_column(self, written):
        assert "twice" in str(refused(written("a,b,a\n1,2,3\n")))

    def test_ragged_rows_are_counted_by_line(self, written):
        rows = "a,2025-08-12T04:45Z,mixed,One, two,,\nb,2025-08-12,mixed\nc,2025-08-12T04:45Z,mixed,Hm,,\n"
        error = refused(written(MINIMAL + rows))
        assert error.counts == {"ragged_rows": 2}
        assert "line 2: 7 cells" in str(error)
        assert "line 3: 3 cells" in str(error)

    def test_an_open_quote(self, written):
        assert "not CSV" in str(refused(written(f'{MINIMAL}a,"2025-08-12\n')))

    def test_not_parquet(self, written):
        message = str(refused(written(b"PAR1 not really PAR1", "mine.parquet")))
        assert "Parquet" in message
        assert "mine.parquet" in message

    @pytest.mark.parametrize("seed", range(20))
    @pytest.mark.parametrize("name", ["mine.csv", "mine.parquet"])
    def test_byte_soup(self, written, name, seed):
        # a small generator of our own: the same bytes on every machine
        state, soup = seed + 1, bytearray()
        for _ in range(400):
            state = (state * 1103515245 + 12345) % 2**31
            soup.append(state >> 16 & (0x7F if seed % 2 else 0xFF))
        refused(written(bytes(soup), name))

    @pytest.mark.parametrize("thing", [7, [1], {"a": [1]}])
    def test_neither_path_nor_frame(self, thing):
        assert "give the path" in str(refused(thing))

    def test_pandas_frames_get_advice(self):
        pandas = pytest.importorskip("pandas")
        message = str(refused(pandas.DataFrame({"Stance": ["mixed"], "headline": ["h"]})))
        assert "a pandas DataFrame with 1 row, columns 'Stance', 'headline' and the index unnamed" in message
        assert "Rename with .rename(columns={'Stance': 'stance'})" in message


@pytest.mark.shared
def test_the_embedded_rows_are_those_of_the_draft(embedded, universe):
    drafts = SHARED / "data"
    if not (drafts / "announcements_draft.csv").exists():
        pytest.skip("needs ../shared/data/announcements_draft.csv, which is not part of the repository")
    draft = pl.read_csv(drafts / "announcements_draft.csv", infer_schema=False)
    past = draft.filter(pl.col("announced_at").str.slice(0, 10) <= "2026-06-24")
    assert set(past["event_id"]) == set(mi.announcements(version="2026.06", recalled=True)["announcement_id"])
    assert set(past["event_id"]) < set(embedded["announcement_id"])
    listed = pl.read_csv(drafts / "securities_draft.csv", infer_schema=False)
    assert listed["ticker"].to_list() == universe["symbol"].to_list()


class TestSimilarColumnNames:
    @pytest.mark.parametrize("name", ["target", "Targets", "argets", " targets"])
    def test_a_column_that_is_close_to_an_optional_one_gives_a_warning(self, name):
        own = pl.DataFrame(
            {
                "announcement_id": ["2024-01-08-rule"],
                "announced_at": ["2024-01-08T14:30:00Z"],
                "time_zone": ["America/New_York"],
                "headline": ["A rule"],
                "stance": ["restrictive"],
                name: ["NVDA;AMD"],
            }
        )
        with pytest.warns(
            mi.MarketImpactWarning, match=rf"column '{name}' is kept, but not used\. Rename it to 'targets'"
        ):
            frame = mi.announcements(own)
        assert frame[name].to_list() == ["NVDA;AMD"]

    def test_columns_of_ones_own_are_not(self):
        own = mi.securities().with_columns(pl.lit(1.0).alias("size"), pl.lit("x").alias("remark"))
        assert {"size", "remark"} <= set(mi.securities(own).columns)
