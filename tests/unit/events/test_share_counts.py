"""Shares outstanding as they were known before a date, and the splits between counts."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.events.share_counts import SHARE_REASONS, check_counts, known_splits, load_counts
from tests.conftest import ROOT, SHARED

COUNTS = SHARED / "data" / "exposures" / "shares.csv"
H20 = date(2025, 8, 12)


@pytest.fixture
def own() -> pl.DataFrame:
    """A table of one's own; a firm and a date repeat, AAA splits two for one in 2024, MMM merges."""
    return pl.DataFrame({
        "symbol": ["AAA", "AAA", "AAA", "MMM", "MMM"],
        "date": [date(2023, 6, 30), date(2024, 1, 31), date(2024, 6, 30), date(2024, 1, 31), date(2024, 9, 30)],
        "shares_outstanding": [100.0, 98.0, 190.0, 50.0, 80.0],
        "split_factor_since": [2.0, 2.0, 1.0, 1.0, 1.0],
        "filed_on": [date(2023, 7, 20), date(2024, 2, 20), date(2024, 7, 20), date(2024, 2, 20), None],
        "valid_until": [None, None, None, date(2024, 8, 1), None],
    })  # fmt: skip


def last(rows: pl.DataFrame, symbol: str) -> tuple[date, float] | None:
    found = rows.filter(pl.col("symbol") == symbol).select("date", "shares").rows()
    return found[0] if found else None


class TestAsOf:
    def test_the_count_public_before_the_date(self, own):
        assert last(mi.shares("2024-07-21", path=own), "AAA") == (date(2024, 6, 30), 190.0)
        assert last(mi.shares("2024-07-20", path=own), "AAA") == (date(2024, 1, 31), 196.0)

    def test_a_merger_paid_in_shares_ends_a_count(self, own):
        assert last(mi.shares("2024-08-01", path=own), "MMM") == (date(2024, 1, 31), 50.0)
        public = date(2024, 9, 30) + timedelta(days=90)
        with pytest.warns(
            mi.MarketImpactWarning, match="1 firms have a count of shares, 1 have rows but none.*no longer"
        ):
            assert last(mi.shares(public, path=own), "MMM") is None
        assert last(mi.shares(public + timedelta(days=1), path=own), "MMM") == (date(2024, 9, 30), 80.0)

    def test_a_count_is_too_old_after_four_hundred_days(self, own):
        end = date(2024, 6, 30) + timedelta(days=400)
        assert last(mi.shares(end, path=own), "AAA") == (date(2024, 6, 30), 190.0)
        rows = mi.shares(end + timedelta(days=1), path=own, all_rows=True)
        assert dict(rows.filter(pl.col("symbol") == "AAA").select("date", "reason").rows()) == {
            date(2023, 6, 30): "too_old", date(2024, 1, 31): "too_old", date(2024, 6, 30): "too_old",
        }  # fmt: skip

    def test_the_embedded_counts_against_a_plain_loop(self):
        with (ROOT / "data" / "shares.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        for as_of in (date(2019, 5, 16), date(2022, 1, 31), H20, date(2026, 8, 21)):
            latest: dict[str, tuple[date, float]] = {}
            for row in table:
                day = date.fromisoformat(row["date"])
                public = date.fromisoformat(row["filed_on"]) if row["filed_on"] else day + timedelta(days=90)
                if row["verification"] == "seen" and public < as_of:
                    units = float(row["shares_current_basis"]) / float(row["shares_per_unit"])
                    latest[row["symbol"]] = max(latest.get(row["symbol"], (day, units)), (day, units))
            expected = {s: found for s, found in latest.items() if (as_of - found[0]).days <= 400}
            rows = mi.shares(as_of, all_rows=True).filter("used")
            assert {s: (d, n) for s, d, n in rows.select("symbol", "date", "shares").rows()} == expected

    def test_every_row_has_its_reason(self):
        rows = mi.shares("2022-06-30", all_rows=True)
        assert rows.height == load_counts(None).height
        assert (rows["used"] == rows["reason"].is_null()).all()
        assert set(rows["reason"].drop_nulls()) <= set(SHARE_REASONS)
        amd = rows.filter(pl.col("symbol") == "AMD", pl.col("date") == date(2022, 1, 28))
        assert amd["reason"].item() == "no_longer_valid"

    def test_without_a_date_every_count_that_was_read(self):
        rows = mi.shares()
        assert set(rows["verification"]) == {"seen"}
        assert not rows.select("symbol", "date").is_duplicated().any()
        assert mi.shares(recalled=True).height == load_counts(None).height
        with pytest.raises(mi.SpecificationError, match="as_of=None is not a date"):
            mi.shares(all_rows=True)


class TestUnits:
    def test_an_adr_stands_for_five_shares(self):
        rows = mi.shares(recalled=True).filter(pl.col("date") == date(2025, 12, 31))
        count = dict(rows.select("symbol", "shares").rows())
        assert count["TSM"] == pytest.approx(25.932e9 / 5)
        assert count["2330.TW"] == 25.932e9

    def test_splits_lie_between_counts(self, own):
        assert known_splits(check_counts(own, "shares")).rows() == [("AAA", date(2024, 1, 31), date(2024, 6, 30), 2.0)]

    def test_a_split_after_the_last_count_lies_before_the_day_until_which_splits_are_known(self, own):
        early = own.filter(pl.col("date") < date(2024, 6, 1))
        expected = [("AAA", date(2024, 1, 31), date(2026, 11, 28), 2.0)]
        assert known_splits(check_counts(early, "shares")).rows() == expected
        new = early.filter(pl.col("symbol") == "AAA").with_columns(pl.col("date", "filed_on").dt.offset_by("4y"))
        assert known_splits(check_counts(new, "shares")).rows() == [("AAA", date(2028, 1, 31), None, 2.0)]

    @pytest.mark.parametrize(
        ("symbol", "day", "ratio"),
        [
            ("NVDA", date(2021, 7, 20), 4.0), ("NVDA", date(2024, 6, 10), 10.0), ("LRCX", date(2024, 10, 3), 10.0),
            ("AVGO", date(2024, 7, 15), 10.0), ("SMCI", date(2024, 10, 1), 10.0), ("8035.T", date(2023, 4, 1), 3.0),
        ],
    )  # fmt: skip
    def test_known_splits_of_the_embedded_counts(self, symbol, day, ratio):
        found = known_splits(load_counts(None)).filter(
            pl.col("symbol") == symbol, pl.col("before") < day, pl.col("after") >= day
        )
        assert found["ratio"].to_list() == [ratio]


class TestRefused:
    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            ("shares_outstanding", 0.0, "shares_outstanding must be above zero: 1 row"),
            ("shares_outstanding", float("inf"), "must be finite"),
            ("split_factor_since", -1.0, "split_factor_since must be above zero"),
            ("shares_current_basis", 98.0, "must be shares_outstanding times split_factor_since: 1 row"),
            ("filed_on", date(2024, 1, 30), "filed_on must not be before date"),
            ("valid_until", date(2024, 1, 31), "valid_until must be after date"),
            ("verification", "yes", "verification must be one of seen"),
            ("date", date(2023, 6, 30), r"the key must not repeat \(symbol \+ date\): 2 rows"),
        ],
    )
    def test_broken_rows_are_counted(self, own, column, value, message):
        rows = own.to_dicts()
        rows[1][column] = value
        with pytest.raises(mi.DataError, match=message):
            mi.shares(path=pl.DataFrame(rows, infer_schema_length=None))

    def test_files_give_what_a_frame_gives(self, own, tmp_path: Path):
        own.write_csv(tmp_path / "mine.csv")
        own.write_parquet(tmp_path / "mine.parquet")
        assert mi.shares(path=tmp_path / "mine.csv").equals(mi.shares(path=own))
        assert mi.shares(path=str(tmp_path / "mine.parquet")).equals(mi.shares(path=own))
        with pytest.raises(mi.DataError, match="lacks the column 'shares_outstanding'"):
            mi.shares(path=own.drop("shares_outstanding"))


class TestEmbeddedTable:
    def test_nothing_of_unknown_origin_counts_as_read(self):
        table = load_counts(None)
        unknown = table.filter(pl.col("source_title").str.starts_with("recalled:"))
        assert set(unknown["verification"]) == {"recalled"}
        assert table.filter(pl.col("verification") == "seen", pl.col("source_url").is_null()).is_empty()

    @pytest.mark.shared
    @pytest.mark.skipif(not COUNTS.exists(), reason="needs ../shared/data/exposures, which is not here")
    def test_no_count_of_the_reading_was_lost_or_changed(self):
        key = ["symbol", "date", "shares_outstanding", "split_factor_since", "shares_current_basis"]
        read = pl.read_csv(COUNTS, infer_schema_length=None).select(key).cast(dict.fromkeys(key[2:], pl.Float64))
        # the ordinary shares of two firms are listed at home and in New York
        kept = load_counts(None).filter(~pl.col("symbol").is_in(["2330.TW", "ASML.AS"]))
        assert kept.with_columns(pl.col("date").cast(str)).select(key).sort(key).equals(read.sort(key))
