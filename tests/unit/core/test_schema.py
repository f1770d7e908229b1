"""Checks of frames against their contracts: every broken rule is counted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from marketimpact.core import schema
from marketimpact.core.schema import vocabulary
from marketimpact.errors import DataError

INSTANT = pl.Datetime("us", "UTC")


def one(**changed) -> pl.DataFrame:
    """A single sound announcement, changed where the test says so."""
    row = {
        "announcement_id": "a",
        "announced_at": datetime(2025, 8, 12, 4, 45, tzinfo=UTC),
        "time_precision": "minute",
        "stance": "restrictive",
        "headline": "Something happened",
        "time_zone": "Asia/Shanghai",
        **changed,
    }
    return pl.DataFrame(row, schema_overrides={"not_before": INSTANT, "not_after": INSTANT})


def broken(frame: pl.DataFrame, contract=schema.Announcements) -> dict[str, int]:
    with pytest.raises(DataError) as refused:
        schema.check(contract, frame, "announcements")
    return refused.value.counts


def test_a_sound_frame_comes_back_with_its_own_columns_and_the_optional_ones():
    checked = schema.check(schema.Announcements, one(mine=3), "announcements")
    assert checked["mine"].to_list() == [3]
    assert checked["targets"].dtype == pl.List(pl.String)
    assert checked["targets"].null_count() == 1


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"announcement_id": "two words"}, "announcement_id|regex"),
        ({"headline": ""}, "headline|min_length"),
        ({"time_precision": "second"}, "time_precision_allowed"),
        ({"stance": "n/a"}, "stance_allowed"),
        ({"verification": "own_knowledge"}, "verification_allowed"),
        ({"confidence": "sure"}, "confidence_allowed"),
        ({"anticipated": "maybe"}, "anticipated_allowed"),
        ({"time_zone": "Asia/Beijing"}, "time_zone_known"),
        ({"time_precision": "day"}, "day_has_no_clock"),
        ({"not_before": datetime(2025, 8, 12, 5, 0, tzinfo=UTC)}, "bounds_in_order"),
        ({"not_after": datetime(2025, 8, 12, 4, 0, tzinfo=UTC)}, "bounds_in_order"),
        ({"targets": [["NVDA", None]]}, "targets|inner_nullability"),
    ],
)
def test_each_rule_is_counted_by_name_and_its_row_is_kept(change, rule):
    frame = pl.concat([one(announcement_id="sound"), one(**change)], how="diagonal")
    with pytest.raises(DataError) as refused:
        schema.check(schema.Announcements, frame, "announcements")
    assert refused.value.counts == {rule: 1}
    assert refused.value.rows["row"].to_list() == [2]


def test_all_rules_are_reported_at_once():
    frame = one(stance="bad", confidence="bad", time_zone="bad", time_precision="bad")
    assert broken(frame) == {
        "stance_allowed": 1,
        "confidence_allowed": 1,
        "time_zone_known": 1,
        "time_precision_allowed": 1,
    }


def test_every_rule_has_a_meaning_in_words():
    rules = {
        name
        for contract in (schema.Announcements, schema.Campaigns, schema.Securities, schema.Returns)
        for name in dir(contract)
        if name.endswith(("_allowed", "_order", "_itself", "needs_time_zone", "_minus_one"))
    }
    assert rules
    assert rules <= set(vocabulary.MEANING)


def test_the_message_shows_the_key_and_the_columns_at_fault():
    with pytest.raises(DataError, match=r"row 1: announcement_id=a.*stance=bad"):
        schema.check(schema.Announcements, one(stance="bad"), "announcements")


def test_only_the_first_rows_are_printed_but_all_are_kept():
    frame = pl.concat([one(announcement_id=f"a{i}", stance="bad") for i in range(7)])
    with pytest.raises(DataError, match=r"7 rows[\s\S]*and 2 more") as refused:
        schema.check(schema.Announcements, frame, "announcements")
    assert refused.value.rows.height == 7


def test_a_repeated_key_counts_both_rows():
    assert broken(pl.concat([one(), one()])) == {"primary_key (announcement_id)": 2}


class TestDateOnly:
    """A date-only announcement is the beginning of its local day, and nothing else."""

    @pytest.mark.parametrize(
        ("instant", "zone"),
        [
            (datetime(2025, 8, 11, 16, 0, tzinfo=UTC), "Asia/Shanghai"),
            (datetime(2025, 8, 12, 4, 0, tzinfo=UTC), "America/New_York"),
            (datetime(2025, 1, 12, 5, 0, tzinfo=UTC), "America/New_York"),
            # Cairo put its clocks forward at midnight of 26 April 2024: that day began at 01:00, UTC+3
            (datetime(2024, 4, 25, 22, 0, tzinfo=UTC), "Africa/Cairo"),
        ],
    )
    def test_local_midnight_is_accepted(self, instant, zone):
        given = one(announced_at=instant, time_zone=zone, time_precision="day")
        row = schema.check(schema.Announcements, given, "it").row(0, named=True)
        assert (row["announced_at"], row["time_zone"], row["time_precision"]) == (instant, zone, "day")

    def test_midnight_elsewhere_is_a_clock(self):
        midnight_in_shanghai = datetime(2025, 8, 11, 16, 0, tzinfo=UTC)
        frame = one(announced_at=midnight_in_shanghai, time_zone="Asia/Tokyo", time_precision="day")
        assert broken(frame) == {"day_has_no_clock": 1}

    def test_the_zone_is_needed(self):
        frame = one(time_precision="day", time_zone=pl.Series([None], dtype=pl.String))
        assert broken(frame) == {"day_needs_time_zone": 1}

    def test_bounds_narrow_the_day(self):
        begins = datetime(2025, 8, 11, 16, 0, tzinfo=UTC)
        frame = one(
            announced_at=begins,
            time_precision="day",
            not_before=begins + timedelta(hours=9),
            not_after=begins + timedelta(hours=12),
        )
        assert schema.check(schema.Announcements, frame, "it").height == 1

    @pytest.mark.parametrize(("before", "after"), [(26, None), (None, -1), (12, 9)])
    def test_bounds_that_miss_the_day_or_cross_are_refused(self, before, after):
        begins = datetime(2025, 8, 11, 16, 0, tzinfo=UTC)
        frame = one(
            announced_at=begins,
            time_precision="day",
            not_before=None if before is None else begins + timedelta(hours=before),
            not_after=None if after is None else begins + timedelta(hours=after),
        )
        assert broken(frame) == {"bounds_in_order": 1}


class TestTypes:
    def test_another_zone_becomes_utc(self):
        frame = one().with_columns(pl.col("announced_at").dt.convert_time_zone("Asia/Shanghai"))
        checked = schema.check(schema.Announcements, frame, "it")
        assert checked["announced_at"].item() == datetime(2025, 8, 12, 4, 45, tzinfo=UTC)

    def test_a_naive_instant_is_refused_with_the_way_out(self):
        frame = one(announced_at=datetime(2025, 8, 12, 12, 45))
        with pytest.raises(DataError, match=r"without a time zone[\s\S]*replace_time_zone"):
            schema.check(schema.Announcements, frame, "it")

    def test_text_where_a_number_belongs_is_refused(self):
        frame = pl.DataFrame({"symbol": ["A"], "date": [date(2025, 8, 12)], "close": ["12.5"]})
        with pytest.raises(DataError, match="column 'close' has type String, must be Float64"):
            schema.check(schema.Prices, frame, "prices")

    def test_a_missing_column_names_what_is_there(self):
        with pytest.raises(DataError, match="lacks the column 'mic'; it has 'symbol'"):
            schema.check(schema.Securities, pl.DataFrame({"symbol": ["A"]}), "securities")

    @pytest.mark.parametrize("frame", [{"symbol": []}, [1], None])
    def test_only_frames_come_in(self, frame):
        with pytest.raises(DataError, match="must be a frame of polars, pandas or pyarrow"):
            schema.check(schema.Securities, frame, "securities")

    def test_no_rows(self):
        frame = pl.DataFrame(schema={"symbol": pl.String, "mic": pl.String})
        with pytest.raises(DataError, match="securities has no rows"):
            schema.check(schema.Securities, frame, "securities")


def test_a_security_is_not_its_own_benchmark():
    frame = pl.DataFrame({"symbol": ["^HSI"], "mic": ["XHKG"], "benchmark": ["^HSI"]})
    assert broken(frame, schema.Securities) == {"benchmark_is_not_itself": 1}


def test_a_campaign_does_not_end_before_it_begins():
    frame = pl.DataFrame(
        {"campaign_id": ["c"], "title": ["t"], "first": [date(2025, 8, 12)], "last": [date(2025, 8, 8)]}
    )
    assert broken(frame, schema.Campaigns) == {"dates_in_order": 1}


@pytest.mark.parametrize(("name", "known"), [("Asia/Shanghai", True), ("Asia/Beijing", False), ("", False)])
def test_known_zone(name, known):
    assert schema.known_zone(name) is known
