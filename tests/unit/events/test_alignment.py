"""Day 0, from facts: exchange hours, holidays, half days and clock changes as the exchanges publish them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.events import calendars
from tests.conftest import golden

FIRMS = pl.DataFrame(
    {
        "symbol": ["NVDA", "688256.SS", "002371.SZ", "0981.HK", "8035.T", "2330.TW", "005930.KS", "ASML.AS"],
        "mic": ["XNAS", "XSHG", "XSHE", "XHKG", "XTKS", "XTAI", "XKRX", "XAMS"],
    }
)


class Exchanges:
    """Securities and sessions without prices."""

    def __init__(self, first: date, last: date) -> None:
        self.securities = FIRMS
        self.sessions = calendars.sessions(FIRMS["mic"], first, last)


@pytest.fixture(scope="module")
def exchanges() -> Exchanges:
    return Exchanges(date(2023, 1, 2), date(2026, 3, 31))


def announcement(instant: str, precision: str = "minute", zone: str | None = None, **more) -> pl.DataFrame:
    row = {
        "announcement_id": "a",
        "announced_at": datetime.fromisoformat(instant).astimezone(UTC),
        "time_precision": precision,
        "stance": "restrictive",
        "headline": "x",
        "time_zone": zone,
        "targets": FIRMS["symbol"].to_list(),
        **more,
    }
    return pl.DataFrame([row], schema_overrides={"announced_at": pl.Datetime("us", "UTC"), "time_zone": pl.String})


def day0(exchanges, instant: str, symbol: str, **options) -> tuple[str, str | None]:
    events = mi.align(announcement(instant), exchanges, symbols=[symbol], **options)
    row = events.row(0, named=True)
    return row["date"].isoformat(), row["phase"]


@pytest.mark.parametrize(
    ("instant", "symbol", "session", "phase"),
    [
        # the seed case: 12:45 in Beijing is both exchanges' lunch break and before New York opens
        ("2025-08-12T12:45+08:00", "688256.SS", "2025-08-12", "lunch_break"),
        ("2025-08-12T12:45+08:00", "0981.HK", "2025-08-12", "lunch_break"),
        ("2025-08-12T12:45+08:00", "NVDA", "2025-08-12", "pre_open"),
        # Shanghai's lunch starts at 11:30, Hong Kong's at 12:00, Tokyo's at 11:30
        ("2025-08-12T11:45+08:00", "688256.SS", "2025-08-12", "lunch_break"),
        ("2025-08-12T11:45+08:00", "0981.HK", "2025-08-12", "in_session"),
        ("2025-08-13T11:45+09:00", "8035.T", "2025-08-13", "lunch_break"),
        # the close itself is already the next session's
        ("2025-08-12T14:59:59+08:00", "688256.SS", "2025-08-12", "in_session"),
        ("2025-08-12T15:00+08:00", "688256.SS", "2025-08-13", "post_close"),
        ("2025-08-12T15:00+08:00", "002371.SZ", "2025-08-13", "post_close"),
        ("2025-08-12T15:00+08:00", "0981.HK", "2025-08-12", "in_session"),
        ("2025-08-12T16:00+08:00", "0981.HK", "2025-08-13", "post_close"),
        # a Friday 16:30 release in New York is Monday everywhere
        ("2025-08-08T16:30-04:00", "NVDA", "2025-08-11", "post_close"),
        ("2025-08-08T16:30-04:00", "688256.SS", "2025-08-11", "closed_day"),
        # a 09:00 release in New York is that day there and the next session in Asia
        ("2025-08-12T09:00-04:00", "NVDA", "2025-08-12", "pre_open"),
        ("2025-08-12T09:00-04:00", "688256.SS", "2025-08-13", "post_close"),
        ("2025-08-12T09:00-04:00", "2330.TW", "2025-08-13", "post_close"),
        ("2025-08-12T09:00-04:00", "005930.KS", "2025-08-13", "post_close"),
        ("2025-08-12T09:00-04:00", "ASML.AS", "2025-08-12", "in_session"),
        # weekend, and Golden Week, which Hong Kong does not share
        ("2025-08-10T17:00-04:00", "NVDA", "2025-08-11", "closed_day"),
        ("2025-10-01T12:00+08:00", "688256.SS", "2025-10-09", "closed_day"),
        ("2025-10-01T12:00+08:00", "0981.HK", "2025-10-02", "closed_day"),
        # Thanksgiving Friday closes at 13:00 in New York
        ("2025-11-28T12:59-05:00", "NVDA", "2025-11-28", "in_session"),
        ("2025-11-28T13:00-05:00", "NVDA", "2025-12-01", "post_close"),
        # 20:30 UTC is before the close in winter and after it in summer (clocks changed on 2025-03-09)
        ("2025-03-07T20:30+00:00", "NVDA", "2025-03-07", "in_session"),
        ("2025-03-10T20:30+00:00", "NVDA", "2025-03-11", "post_close"),
        # Tokyo closed at 15:00 until 2024-11-01 and closes at 15:30 since 2024-11-05
        ("2024-11-01T15:10+09:00", "8035.T", "2024-11-05", "post_close"),
        ("2024-11-05T15:10+09:00", "8035.T", "2024-11-05", "in_session"),
    ],
)
def test_day_0(exchanges, instant, symbol, session, phase):
    assert day0(exchanges, instant, symbol) == (session, phase)


@pytest.mark.parametrize(
    ("instant", "symbol", "session", "leg"),
    [
        # at the open it is still the opening auction's; a minute later the session trades on it
        ("2025-08-12T09:30-04:00", "NVDA", "2025-08-12", "overnight"),
        ("2025-08-12T09:31-04:00", "NVDA", "2025-08-12", "day"),
        ("2025-08-12T15:59-04:00", "NVDA", "2025-08-12", "day"),
        ("2025-08-12T16:00-04:00", "NVDA", "2025-08-13", "overnight"),
        # the 8-K on the H20 licence, 17:22:59 in New York: its first session was the next one, overnight everywhere
        ("2025-04-15T17:22:59-04:00", "NVDA", "2025-04-16", "overnight"),
        ("2025-04-15T17:22:59-04:00", "688256.SS", "2025-04-16", "overnight"),
        # 12:45 in Beijing: lunch break in Shanghai and Hong Kong, the night before in New York
        ("2025-08-12T12:45+08:00", "688256.SS", "2025-08-12", "day"),
        ("2025-08-12T12:45+08:00", "0981.HK", "2025-08-12", "day"),
        ("2025-08-12T12:45+08:00", "NVDA", "2025-08-12", "overnight"),
        # a Friday evening, a holiday and a half day
        ("2025-08-08T16:30-04:00", "688256.SS", "2025-08-11", "overnight"),
        ("2025-10-01T12:00+08:00", "688256.SS", "2025-10-09", "overnight"),
        ("2025-11-28T12:59-05:00", "NVDA", "2025-11-28", "day"),
        ("2025-11-28T13:00-05:00", "NVDA", "2025-12-01", "overnight"),
    ],
)
def test_the_first_leg_with_the_news(exchanges, instant, symbol, session, leg):
    row = mi.align(announcement(instant), exchanges, symbols=[symbol]).row(0, named=True)
    assert (row["date"].isoformat(), row["day0_leg"], row["day0_leg_certainty"]) == (session, leg, "sure")


@pytest.mark.parametrize(
    ("midnight", "zone", "symbol", "leg", "certainty"),
    [
        # 08:00 to 18:00 in New York holds its open: either leg
        ("2025-09-29T00:00-04:00", "America/New_York", "NVDA", "overnight", "assumed"),
        # ... and is the night before Shanghai's next session; before 03:00 it was within Shanghai's own
        ("2025-09-29T00:00-04:00", "America/New_York", "688256.SS", "overnight", "likely"),
        # a Chinese working day ends before New York opens
        ("2025-07-31T00:00+08:00", "Asia/Shanghai", "NVDA", "overnight", "likely"),
        ("2025-07-31T00:00+08:00", "Asia/Shanghai", "688256.SS", "overnight", "assumed"),
        # a Sunday is before the open of Monday, whatever the hour
        ("2025-08-10T00:00+08:00", "Asia/Shanghai", "688256.SS", "overnight", "sure"),
    ],
)
def test_the_leg_of_a_date_has_the_certainty_of_its_hours(exchanges, midnight, zone, symbol, leg, certainty):
    row = mi.align(announcement(midnight, "day", zone), exchanges, symbols=[symbol]).row(0, named=True)
    assert (row["day0_leg"], row["day0_leg_certainty"]) == (leg, certainty)


def test_an_hour_around_the_open_leaves_the_leg_open(exchanges):
    """To the hour means 30 minutes either way: 09:45 may have been 09:15, before the open."""
    row = mi.align(announcement("2025-08-12T09:45-04:00", "hour"), exchanges, symbols=["NVDA"]).row(0, named=True)
    assert (row["day0_certainty"], row["day0_leg"], row["day0_leg_certainty"]) == ("sure", "day", "assumed")


def test_a_session_that_closed_before_the_news_has_no_leg_with_it(exchanges):
    events = mi.align(announcement("2025-08-10T17:00-04:00"), exchanges, symbols=["NVDA"], closed_day="previous")
    assert events.select("date", "day0_leg", "day0_leg_certainty").row(0) == (date(2025, 8, 8), None, None)


def test_a_pair_without_a_day_0_has_no_leg(exchanges):
    events = mi.align(announcement("2029-08-10T17:00-04:00"), exchanges, symbols=["NVDA", "8035.T"])
    assert events["date"].null_count() == events["day0_leg"].null_count() == events["day0_leg_certainty"].null_count()
    assert events["day0_leg"].null_count() == 2


def test_a_close_buffer_moves_the_closing_auction_to_the_next_session(exchanges):
    assert day0(exchanges, "2025-08-12T14:58+08:00", "688256.SS")[0] == "2025-08-12"
    assert day0(exchanges, "2025-08-12T14:58+08:00", "688256.SS", close_buffer_minutes=3)[0] == "2025-08-13"


@pytest.mark.parametrize(
    ("midnight", "zone", "symbol", "session", "certainty", "earliest", "latest"),
    [
        # an American date: New York's own session or the next; Asia's next session if made in working hours
        (
            "2025-09-29T00:00-04:00",
            "America/New_York",
            "NVDA",
            "2025-09-29",
            "assumed",
            "2025-09-29",
            "2025-09-30",
        ),
        (
            "2025-09-29T00:00-04:00",
            "America/New_York",
            "688256.SS",
            "2025-09-30",
            "likely",
            "2025-09-29",
            "2025-09-30",
        ),
        # a Chinese date: Shanghai's own session or the next; New York's of that date if in working hours
        (
            "2025-07-31T00:00+08:00",
            "Asia/Shanghai",
            "688256.SS",
            "2025-07-31",
            "assumed",
            "2025-07-31",
            "2025-08-01",
        ),
        (
            "2025-07-31T00:00+08:00",
            "Asia/Shanghai",
            "NVDA",
            "2025-07-31",
            "likely",
            "2025-07-30",
            "2025-07-31",
        ),
        # a Sunday in China is Monday in both, whatever the hour
        (
            "2025-08-10T00:00+08:00",
            "Asia/Shanghai",
            "688256.SS",
            "2025-08-11",
            "sure",
            "2025-08-11",
            "2025-08-11",
        ),
        ("2025-08-10T00:00+08:00", "Asia/Shanghai", "NVDA", "2025-08-11", "sure", "2025-08-11", "2025-08-11"),
    ],
)
def test_a_date_has_no_clock(exchanges, midnight, zone, symbol, session, certainty, earliest, latest):
    events = mi.align(announcement(midnight, "day", zone), exchanges, symbols=[symbol])
    row = events.row(0, named=True)
    assert row["date"].isoformat() == session
    assert row["day0_certainty"] == certainty
    assert (row["day0_earliest"].isoformat(), row["day0_latest"].isoformat()) == (earliest, latest)
    assert row["phase"] is None


def test_known_bounds_sharpen_a_date(exchanges):
    """Known to have come after New York's close, a date is the next session there."""
    close = datetime(2025, 9, 29, 20, 0, tzinfo=UTC)
    events = mi.align(
        announcement("2025-09-29T00:00-04:00", "day", "America/New_York").with_columns(
            pl.lit(datetime(2025, 9, 29, 4, 0, tzinfo=UTC)).alias("announced_at").dt.cast_time_unit("us")
        ),
        exchanges,
        symbols=["NVDA"],
    )
    assert events["day0_certainty"].item() == "assumed"
    bounded = announcement("2025-09-29T00:00-04:00", "day", "America/New_York").with_columns(
        pl.lit(close).dt.cast_time_unit("us").alias("not_before")
    )
    row = mi.align(bounded, exchanges, symbols=["NVDA"]).row(0, named=True)
    assert (row["date"], row["day0_certainty"]) == (date(2025, 9, 30), "sure")


def test_an_hour_near_the_close_is_not_sure(exchanges):
    row = mi.align(announcement("2025-08-12T15:45-04:00", "hour"), exchanges, symbols=["NVDA"]).row(0, named=True)
    assert (row["date"], row["day0_certainty"]) == (date(2025, 8, 12), "assumed")
    assert row["day0_latest"] == date(2025, 8, 13)
    row = mi.align(announcement("2025-08-12T12:00-04:00", "hour"), exchanges, symbols=["NVDA"]).row(0, named=True)
    assert row["day0_certainty"] == "sure"


def test_every_pair_gets_a_row_and_targets_are_the_default(exchanges):
    events = mi.align(announcement("2025-08-12T12:45+08:00"), exchanges)
    assert events["symbol"].to_list() == sorted(FIRMS["symbol"])
    assert events["event_id"].to_list() == [f"a:{symbol}" for symbol in sorted(FIRMS["symbol"])]
    assert mi.align(announcement("2025-08-12T12:45+08:00"), exchanges, symbols="all").height == FIRMS.height


def test_what_cannot_be_placed_keeps_its_row_and_says_why(exchanges):
    late = announcement("2031-08-12T12:45+08:00", targets=["NVDA", "NOPE"])
    rows = {row["symbol"]: row for row in mi.align(late, exchanges).iter_rows(named=True)}
    assert rows["NVDA"]["date"] is None
    assert rows["NVDA"]["align_reason"] == "after_data"
    assert rows["NOPE"]["align_reason"] == "unknown_symbol"
    early = mi.align(announcement("2001-08-13T12:45+08:00"), exchanges, symbols=["NVDA"]).row(0, named=True)
    assert early["align_reason"] == "before_data"
    assert early["date"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": None}, "No announcement has a target"),
        ({"stance": "harsh"}, "stance must be one of restrictive"),
        ({"time_precision": "week"}, "time_precision must be one of minute"),
    ],
)
def test_broken_announcements_are_refused(exchanges, change, message):
    frame = announcement("2025-08-12T12:45+08:00")
    frame = frame.with_columns(pl.lit(v, dtype=frame.schema[k]).alias(k) for k, v in change.items())
    with pytest.raises(mi.DataError, match=message):
        mi.align(frame, exchanges)


@pytest.mark.parametrize(
    ("instant", "symbol", "following", "previous"),
    [
        # 9 and 10 August 2025 were a weekend; 4 July 2025 a Friday without a session in New York
        ("2025-08-10T10:00-04:00", "NVDA", "2025-08-11", "2025-08-08"),
        ("2025-07-04T10:00-04:00", "NVDA", "2025-07-07", "2025-07-03"),
        # the same hour was in the session of Hong Kong's neighbours, and in its own
        ("2025-07-04T10:00+08:00", "0981.HK", "2025-07-04", "2025-07-04"),
        # 1 to 8 October 2025 were Golden Week in Shanghai, 1 and 7 October holidays in Hong Kong
        ("2025-10-07T10:00+08:00", "688256.SS", "2025-10-09", "2025-09-30"),
        ("2025-10-07T10:00+08:00", "0981.HK", "2025-10-08", "2025-10-06"),
        # after the close of a session the next session is the first that can react, on request too
        ("2025-08-08T18:00-04:00", "NVDA", "2025-08-11", "2025-08-11"),
    ],
)
def test_the_session_before_a_closed_day_on_request(exchanges, instant, symbol, following, previous):
    assert day0(exchanges, instant, symbol)[0] == following
    assert day0(exchanges, instant, symbol, closed_day="previous")[0] == previous


def test_a_date_on_a_closed_day_may_move_back(exchanges):
    events = mi.align(
        announcement("2025-08-10T00:00-04:00", "day", "America/New_York"),
        exchanges, symbols=["NVDA"], closed_day="previous",
    )  # fmt: skip
    columns = ("date", "day0_earliest", "day0_latest", "day0_certainty")
    assert events.select(columns).row(0) == (*[date(2025, 8, 8)] * 3, "sure")


def test_naive_timestamps_are_refused(exchanges):
    naive = announcement("2025-08-12T12:45+08:00").with_columns(pl.col("announced_at").dt.replace_time_zone(None))
    with pytest.raises(mi.DataError, match="without a time zone"):
        mi.align(naive, exchanges)


def test_bad_options_are_refused(exchanges, golden_market):
    one = announcement("2025-08-12T12:45+08:00")
    with pytest.raises(mi.SpecificationError, match="choose 'next' or 'previous'"):
        mi.align(one, exchanges, closed_day="before")
    with pytest.raises(mi.SpecificationError, match="Give a list"):
        mi.align(one, exchanges, symbols="NVDA")
    with pytest.raises(mi.SpecificationError, match="symbols is empty"):
        mi.align(one, exchanges, symbols=[])
    with pytest.raises(mi.SpecificationError, match="negative"):
        mi.align(one, exchanges, close_buffer_minutes=-1)
    with pytest.raises(mi.SpecificationError, match="made from returns"):
        mi.align(one, golden_market)


def test_unknown_exchange_is_refused():
    with pytest.raises(mi.DataError, match="No calendar for the exchange XXXX"):
        calendars.sessions(["XXXX"], date(2024, 1, 1), date(2024, 2, 1))


def test_a_calendar_that_ends_says_so():
    with pytest.raises(mi.DataError, match="calendar of XSHG ends"):
        calendars.sessions(["XSHG"], date(2024, 1, 1), date(2099, 1, 1))


def test_golden_dates_that_are_no_session_move_forward(golden_market, golden_study):
    """2023-01-15 is a Sunday."""
    result = golden_study.run(golden("events_clustered"), golden_market)
    assert result.events["date"].unique().to_list() == [date(2023, 1, 16)]
    assert result.events["date_given"].unique().to_list() == [date(2023, 1, 15)]


@pytest.mark.shared
def test_known_clocks_agree_with_an_independent_computation(shared):
    """The draft chronology carries first sessions worked out by another program.

    Where the clock is known they must agree; where only the date is, the draft used a placeholder
    clock, so its session must lie within our bounds.
    """
    draft = pl.read_csv(shared / "data" / "announcements_draft.csv", infer_schema=False)
    firms = pl.DataFrame({"symbol": ["nyse", "sse", "hkex"], "mic": ["XNYS", "XSHG", "XHKG"]})
    market = Exchanges(date(2018, 1, 2), date(2026, 7, 1))
    market.securities = firms
    market.sessions = calendars.sessions(firms["mic"], date(2018, 1, 2), date(2026, 7, 1))
    ours = mi.align(mi.announcements(version="2026.06", recalled=True), market, symbols="all")
    theirs = pl.concat(
        draft.select(
            pl.col("event_id").alias("announcement_id"),
            pl.lit(name).alias("symbol"),
            pl.col(f"first_{name}_session").str.to_date().alias("first_session"),
        )
        for name in firms["symbol"]
    )
    both = ours.join(theirs, on=["announcement_id", "symbol"], how="left", validate="1:1")
    known = both.filter(pl.col("time_precision") != "day")
    assert known.height == 237
    assert known.filter(pl.col("date") != pl.col("first_session")).is_empty()
    dated = both.filter(pl.col("time_precision") == "day")
    outside = dated.filter(~pl.col("first_session").is_between(pl.col("day0_earliest"), pl.col("day0_latest")))
    assert dated.height == 366
    assert outside.is_empty()


# --- thresholds from both sides ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "session", "certainty"),
    [
        # New York closes at 16:00; an hour is known within thirty minutes
        ("15:15", "2025-08-12", "sure"),
        ("15:29", "2025-08-12", "sure"),
        ("15:30", "2025-08-12", "assumed"),
        ("15:40", "2025-08-12", "assumed"),
        ("16:20", "2025-08-13", "assumed"),
        ("16:29", "2025-08-13", "assumed"),
        ("16:30", "2025-08-13", "sure"),
        ("16:45", "2025-08-13", "sure"),
    ],
)
def test_an_hour_is_known_within_thirty_minutes(exchanges, at, session, certainty):
    events = mi.align(announcement(f"2025-08-12T{at}-04:00", "hour"), exchanges, symbols=["NVDA"])
    assert (events["date"].item().isoformat(), events["day0_certainty"].item()) == (session, certainty)


@pytest.mark.parametrize(
    ("zone", "offset", "local_close", "certainty"),
    [
        # Amsterdam closes at 17:30 in winter, 16:30 UTC
        ("Europe/Amsterdam", "+01:00", "17:30", "assumed"),
        ("Europe/Athens", "+02:00", "18:30", "likely"),
        ("America/Los_Angeles", "-08:00", "08:30", "assumed"),
        ("America/Anchorage", "-09:00", "07:30", "likely"),
    ],
)
def test_working_hours_are_eight_to_eighteen(exchanges, zone, offset, local_close, certainty):
    """A close within the issuer's working hours leaves two sessions, one outside of them leaves one."""
    events = mi.align(announcement(f"2025-01-14T00:00{offset}", "day", zone), exchanges, symbols=["ASML.AS"])
    row = events.row(0, named=True)
    assert row["day0_certainty"] == certainty, local_close
    assert row["date"] == (date(2025, 1, 15) if local_close < "08:00" else date(2025, 1, 14))


class Shanghai:
    """One security and its exchange's sessions; other calendars take long to build."""

    securities = FIRMS.filter(pl.col("mic") == "XSHG")

    def __init__(self, first: date, last: date) -> None:
        self.sessions = calendars.sessions(["XSHG"], first, last)


def test_golden_week_at_the_end_of_the_prices_has_a_session_after_it():
    """Shanghai is shut from 2025-10-01 to 2025-10-08; prices end the day before."""
    ending = Shanghai(date(2025, 1, 2), date(2025, 9, 30))
    assert day0(ending, "2025-10-01T12:00+08:00", "688256.SS") == ("2025-10-09", "closed_day")
    assert day0(ending, "2025-09-30T15:00+08:00", "688256.SS") == ("2025-10-09", "post_close")
    assert day0(ending, "2025-09-30T14:59+08:00", "688256.SS") == ("2025-09-30", "in_session")


def test_spring_festival_at_the_beginning_of_the_prices_has_a_session_before_it():
    """Shanghai opened on 2025-02-05 after 2025-01-27; calendars reach back beyond the first price."""
    listed = calendars.sessions(["XSHG"], date(2025, 2, 5), date(2025, 3, 31))
    assert date(2025, 1, 27) in listed["date"].to_list()
