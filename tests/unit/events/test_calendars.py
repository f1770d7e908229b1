"""Calendars: exchanges that are known, overrides that the library lacks, frames that are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import exchange_calendars as xc
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.events import calendars
from marketimpact.events.exchange_names import NAMES
from marketimpact.sources.french.factors import REGIONS

#: The installed pandas cannot build these.
BROKEN = {"ASEX", "XBEL", "XBSE", "XCYS", "XTAE"}
#: Their sessions begin on the evening before their date, or they belong to no exchange.
NOT_TAKEN = {"24/5", "24/7", "CMES", "IEPA", "us_futures"}


def library_days(name: str, first: date, last: date) -> dict[date, tuple[time, time]]:
    """Sessions of exchange_calendars with local opening and closing time."""
    calendar = xc.get_calendar(name, start=first, end=last)
    local = [calendar.schedule[column].dt.tz_convert(calendar.tz) for column in ("open", "close")]
    return {day.date(): (a.time(), b.time()) for day, a, b in zip(calendar.schedule.index, *local, strict=True)}


def hours(mic: str, day: date, own: pl.DataFrame | None = None) -> tuple[str, str] | None:
    """Local opening and closing time of a session; None where there is none."""
    frame = calendars.sessions([mic], day, day, calendars.overrides_by_calendar(own)).filter(date=day)
    if frame.is_empty():
        return None
    zone = frame["exchange_time_zone"].item()
    clock = frame.select(pl.col("open", "close").dt.convert_time_zone(zone).dt.strftime("%H:%M"))
    return clock.row(0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_stock_exchange_of_the_library_is_taken():
    names = set(xc.get_calendar_names(include_aliases=False))
    assert names - set(calendars.EXCHANGES.values()) == NOT_TAKEN
    assert set(calendars.EXCHANGES) <= set(NAMES)
    days = (date(2025, 3, 3), date(2025, 3, 14))
    for name in sorted(set(calendars.EXCHANGES.values()) - BROKEN):
        ours = calendars.sessions([name], *days).filter(pl.col("date").is_between(*days))["date"].to_list()
        assert ours == list(library_days(name, *days)), name


@pytest.mark.parametrize("mic", ["XNGS", "XNMS", "XNCM", "XNIM", "ARCX", "BATS", "XASE", "XPSE", "IEXG", "XCIS"])
def test_segments_keep_the_calendar_of_their_exchange(mic):
    assert calendars.EXCHANGES[mic] == "XNYS"
    assert mic in REGIONS["US"].split()
    assert hours(mic, date(2025, 11, 28)) == ("09:30", "13:00")


def test_every_exchange_of_a_region_has_a_calendar():
    assert {mic for mics in REGIONS.values() for mic in mics.split()} <= set(calendars.EXCHANGES)


def test_an_unknown_exchange_is_named_with_the_closest_known_one():
    with pytest.raises(mi.DataError, match=r"No calendar for the exchange XHKX\. Did you mean 'XHKG'\?") as caught:
        calendars.sessions(["XHKX"], date(2024, 1, 1), date(2024, 2, 1))
    assert str(caught.value).count(",") < 8


def test_a_calendar_that_cannot_be_built_says_so():
    with pytest.raises(mi.DataError, match="calendar of XTAE cannot be built with the installed exchange_calendars"):
        calendars.sessions(["XTAE"], date(2024, 1, 1), date(2024, 2, 1))


def test_a_calendar_is_built_once_for_its_sessions_and_once_for_its_ends(monkeypatch):
    calendars._bounds.cache_clear()
    calendars._calendar.cache_clear()
    built, build = [], calendars._built
    monkeypatch.setattr(calendars, "_built", lambda *names: built.append(names) or build(*names))
    for _ in range(3):
        calendars.sessions(["XNAS", "XHKG"], date(2024, 3, 1), date(2024, 6, 3))
    assert len(built) == len(set(built)) == 4


def test_a_calendar_ends_where_it_ends():
    days = calendars.sessions(["XSHG"], date(2026, 12, 1), date(2027, 2, 1), as_far_as_known=True)["date"]
    assert days.max() == date(2026, 12, 31)
    later = calendars.sessions(["XSHG"], date(2027, 1, 4), date(2027, 2, 1), as_far_as_known=True)["date"]
    assert later.max() == date(2026, 12, 31)
    earlier = calendars.sessions(["XTKS"], date(1996, 1, 4), date(1996, 2, 1), as_far_as_known=True)["date"]
    assert earlier.min() == date(1997, 1, 6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_embedded_override_repeats_the_library():
    table = mi.calendar_overrides()
    assert table["source"].null_count() == 0
    for row in table.iter_rows(named=True):
        known = library_days(row["mic"], date(row["date"].year, 1, 2), date(row["date"].year, 12, 31))
        listed = known.get(row["date"])
        if row["is_session"] and listed is not None:
            assert (row["open"], row["close"]) != (None, None), row
            assert listed != (row["open"], row["close"]), row
        else:
            assert row["is_session"] == (listed is None), row


@pytest.mark.parametrize(
    ("mic", "day", "clock"),
    [
        ("XTAI", date(2018, 12, 22), ("09:00", "13:30")),
        ("ROCO", date(2018, 3, 31), ("09:00", "13:30")),
        ("XBOM", date(2020, 2, 1), ("09:15", "15:30")),
        ("XNSE", date(2025, 2, 1), ("09:15", "15:30")),
        ("XNSE", date(2024, 11, 1), ("18:00", "19:00")),
        ("XKRX", date(2024, 11, 14), ("10:00", "16:30")),
        ("XKOS", date(2022, 11, 17), ("10:00", "16:30")),
        # the library has the first day of Korea's year and Hong Kong's half days itself
        ("XKRX", date(2025, 1, 2), ("10:00", "15:30")),
        ("XHKG", date(2024, 12, 24), ("09:30", "12:00")),
        ("XHKG", date(2023, 9, 1), None),
        ("XTAI", date(2024, 10, 31), None),
        ("XTAI", date(2018, 12, 29), None),
    ],
)
def test_special_days(mic, day, clock):
    assert hours(mic, day) == clock


def test_an_exam_day_in_korea_ends_at_half_past_four():
    """News at 16:00 reaches Seoul on the exam day itself."""

    class Seoul:
        securities = pl.DataFrame({"symbol": ["005930.KS"], "mic": ["XKRX"]})
        sessions = calendars.sessions(
            ["XKRX"], date(2024, 11, 1), date(2024, 11, 29), calendars.overrides_by_calendar()
        )

    for day, session in ((13, 14), (14, 14)):
        announcement = pl.DataFrame(
            {"announcement_id": ["a"], "announced_at": [datetime(2024, 11, day, 7, 0, tzinfo=UTC)],
             "time_precision": ["minute"], "stance": ["restrictive"], "headline": ["x"]}
        ).with_columns(pl.col("announced_at").dt.cast_time_unit("us"))  # fmt: skip
        assert mi.align(announcement, Seoul(), symbols="all")["date"].item() == date(2024, 11, session)


def test_a_users_rows_win_over_the_embedded_ones():
    own = pl.DataFrame(
        {"mic": ["XKRX", "XTAI"], "date": ["2024-11-14", "2018-12-22"], "open": [time(11, 0), None],
         "is_session": [True, False]}
    )  # fmt: skip
    assert hours("XKRX", date(2024, 11, 14), own) == ("11:00", "15:30")
    assert hours("XTAI", date(2018, 12, 22), own) is None
    assert hours("XTAI", date(2018, 3, 31), own) == ("09:00", "13:30")


def test_a_break_outside_the_stated_hours_goes():
    own = pl.DataFrame({"mic": ["XSHG", "XSHG"], "date": ["2016-01-07", "2016-01-08"], "close": ["09:59", "14:00"]})
    frame = calendars.sessions(["XSHE"], date(2016, 1, 7), date(2016, 1, 8), calendars.overrides_by_calendar(own))
    breaks = frame.filter(pl.col("date").is_between(date(2016, 1, 7), date(2016, 1, 8)))["break_start"]
    assert [value is None for value in breaks] == [True, False]


def test_usual_hours_are_those_of_the_time():
    """Tokyo closes at 15:30 since 2024-11-05."""
    own = pl.DataFrame({"mic": ["XTKS", "XTKS"], "date": [date(2024, 10, 5), date(2024, 12, 7)]})
    assert hours("XTKS", date(2024, 10, 5), own) == ("09:00", "15:00")
    assert hours("XTKS", date(2024, 12, 7), own) == ("09:00", "15:30")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"mic": ["XTAI"]}, "lacks the column 'date'"),
        ({"mic": ["XTAJ"], "date": ["2024-01-06"]}, "calendar_overrides: No calendar for the exchange XTAJ"),
        ({"mic": ["XTAI"] * 2, "date": ["2024-01-06"] * 2}, "must not repeat"),
        ({"mic": ["XTAI", "ROCO"], "date": ["2024-01-06"] * 2, "open": ["09:00", "10:00"]}, "says two things"),
        ({"mic": ["XTAI"], "date": ["2024-01-06"], "open": ["13:00"], "close": ["9:00"]}, "close must be later"),
        ({"mic": ["XTAI"], "date": ["2024-01-06"], "open": ["16:00"]}, "close before it opens"),
        ({"mic": ["XTAI"], "date": ["2024-01-06"], "open": ["9 am"]}, "is not a time of day"),
        ({"mic": ["XTAI"], "date": ["2024-01-06"], "open": ["24:30"]}, "is not a time of day"),
        ({"mic": ["XTAI"], "date": ["06/01/2024"]}, "is not a date"),
        ({"mic": ["XTAI"], "date": ["2024-01-06"], "is_session": ["perhaps"]}, "must be true or false"),
        ({"mic": ["XTAI"], "date": ["2024-01-06"], "is_session": [False], "open": ["09:00"]}, "must not have open"),
        ({"mic": [None], "date": ["2024-01-06"]}, "mic must not be empty"),
    ],
)
def test_wrong_overrides_are_refused(columns, message):
    frame = pl.DataFrame(columns, schema_overrides={"mic": pl.String})
    with pytest.raises(mi.DataError, match=message):
        hours("XTAI", date(2024, 1, 6), frame)
