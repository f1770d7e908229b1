"""China revenue shares as they were known before a date, and what a table of them must not contain."""

from __future__ import annotations

import csv
import re
import warnings
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core.schema.vocabulary import PERIOD_TYPES
from marketimpact.events.exposures import EXPOSURE_REASONS, warn_of_mixed_bases
from tests.conftest import ROOT, SHARED

EXPOSURES = SHARED / "data" / "exposures" / "exposures.csv"
H20 = date(2025, 8, 12)


def look_up(as_of: date | str, **options: object) -> pl.DataFrame:
    """Look up without the warning of firms left out, which has tests of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mi.MarketImpactWarning)
        return mi.exposures(as_of, **options)


def share_of(symbol: str, as_of: date | str, **options: object) -> float | None:
    row = look_up(as_of, **options).filter(pl.col("symbol") == symbol)
    return row["china_revenue_share"].item() if row.height else None


@pytest.fixture
def own() -> pl.DataFrame:
    """A table of one's own: a firm repeats, and so does a period end."""
    return pl.DataFrame({
        "symbol": ["AAA", "AAA", "AAA", "BBB", "BBB"],
        "period_end": [date(y, m, d) for y, m, d in
                       [(2023, 12, 31), (2024, 12, 31), (2025, 6, 30), (2024, 12, 31), (2024, 6, 30)]],
        "period_type": ["FY", "FY", "H1", "FY", "FY"],
        "china_revenue_share": [0.1, 0.2, 0.3, 0.4, 0.5],
        "filed_on": [date(2024, 2, 20), date(2025, 2, 20), date(2025, 8, 1), None, None],
    })  # fmt: skip


class TestAsOf:
    @pytest.mark.parametrize(
        ("as_of", "share"),
        [
            # filed on 2025-02-26, recast by customer headquarters on 2026-02-25
            (date(2025, 2, 26), 0.1692),
            (date(2025, 2, 27), 0.1311),
            (H20, 0.1311),
            (date(2026, 2, 25), 0.1311),
            (date(2026, 2, 26), 0.0911),
        ],
    )
    def test_nvidia_by_what_was_filed_before(self, as_of, share):
        assert share_of("NVDA", as_of) == share

    def test_text_is_a_date(self):
        assert look_up("2025-08-12").equals(look_up(H20))

    def test_a_recast_from_memory_is_not_dated_before_its_filing(self):
        """AMD without Taiwan was first published in February 2020; 90 days after 2018 would be too early."""
        rows = mi.exposures("2019-06-28", all_rows=True).filter(
            pl.col("symbol") == "AMD", pl.col("fiscal_year") == 2018
        )
        assert dict(rows.select("region", "public_on").rows()) == {
            "greater_china": date(2018, 12, 29) + timedelta(days=90),
            "china_and_hong_kong": date(2020, 2, 4),
        }
        assert share_of("AMD", "2019-06-28") == 0.3886
        assert share_of("AMD", "2020-06-30") == 0.2579

    def test_without_a_filing_day_a_report_is_public_after_ninety_days(self, own):
        last = date(2024, 12, 31) + timedelta(days=90)
        assert share_of("BBB", last, path=own) == 0.5
        assert share_of("BBB", last + timedelta(days=1), path=own) == 0.4

    def test_every_row_against_a_plain_loop(self):
        """Choose by hand, for several dates, from the file as it stands."""
        with (ROOT / "data" / "exposures.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        listings = {"2330.TW": "TSM", "ASML.AS": "ASML", "688981.SS": "0981.HK"}
        for as_of in (date(2018, 4, 16), date(2020, 5, 15), date(2023, 10, 17), H20, date(2026, 9, 1)):
            best: dict[str, tuple[date, date, float]] = {}
            for row in table:
                end = date.fromisoformat(row["period_end"])
                filed = date.fromisoformat(row["filed_on"])
                public = filed if row["filed_on_verification"] == "seen" else max(filed, end + timedelta(days=90))
                readable = row["verification"] == "seen" and row["total_verification"] in {"seen", "stated"}
                if not (readable and row["period_type"] == "FY" and row["china_revenue_share"]):
                    continue
                if public < as_of and as_of - end <= timedelta(days=730):
                    found = (end, public, float(row["china_revenue_share"]))
                    best[row["symbol"]] = max(best.get(row["symbol"], found), found)
            expected = {symbol: share for symbol, (*_, share) in best.items()}
            expected |= {twin: expected[symbol] for twin, symbol in listings.items() if symbol in expected}
            assert dict(look_up(as_of).select("symbol", "china_revenue_share").rows()) == expected

    @pytest.mark.parametrize("period_types", [("FY",), ("FY", "H1", "Q")])
    def test_a_newer_period_left_out_against_a_plain_loop(self, period_types):
        for as_of in (date(2020, 5, 15), date(2023, 10, 17), H20, date(2026, 9, 1)):
            table = mi.exposures(as_of, all_rows=True, period_types=period_types).to_dicts()
            listings = {"2330.TW": "TSM", "ASML.AS": "ASML", "688981.SS": "0981.HK"}
            for row in look_up(as_of, period_types=period_types).iter_rows(named=True):
                firm = listings.get(row["symbol"], row["symbol"])
                newer = [
                    other["period_end"]
                    for other in table
                    if listings.get(other["symbol"], other["symbol"]) == firm
                    and not other["used"]
                    and other["public_on"] < as_of
                    and other["period_type"] in period_types
                    and other["period_end"] > row["period_end"]
                ]
                assert row["newer_left_out"] == max(newer, default=None)

    def test_the_warning_names_the_firms_of_which_an_older_year_is_used(self, own):
        left_out = look_up(H20).filter(pl.col("newer_left_out").is_not_null())
        assert {"AMD": date(2024, 12, 28), "QCOM": date(2024, 9, 29)}.items() <= dict(
            left_out.select("symbol", "newer_left_out").rows()
        ).items()
        message = f"an older year is used for {', '.join(left_out['symbol'])} since the newer one was not read"
        with pytest.warns(mi.MarketImpactWarning, match=message):
            mi.exposures(H20)
        years = own.filter(pl.col("period_type") == "FY").with_columns(
            verification=pl.Series(["seen", "recalled", "seen", "seen"]),
            basis=pl.Series(["shipment", "shipment", "as_stated", "shipment"]),
        )
        message = (
            "before 2025-09-01: 2 firms have a China revenue share; an older year is used for AAA since the newer one "
            "was not read; an older year is used for BBB since the newer one has another basis"
        )
        with pytest.warns(mi.MarketImpactWarning, match=message):
            rows = mi.exposures("2025-09-01", path=years, bases=["shipment"])
        assert rows["newer_left_out"].to_list() == [date(2024, 12, 31)] * 2

    @pytest.mark.parametrize("as_of", ["12/08/2025", "2025-08", None, 2025, datetime(2025, 8, 12, 4, 45)])
    def test_what_is_no_date_is_refused(self, as_of):
        with pytest.raises(mi.SpecificationError, match=r"as_of=.* is not a date\. "):
            mi.exposures(as_of)


class TestWhichRows:
    def test_only_what_was_read_is_used(self):
        used = look_up(H20)
        assert set(used["verification"]) == {"seen"}
        assert set(used["total_verification"]) <= {"seen", "stated"}
        assert set(used["period_type"]) == {"FY"}
        assert used["china_revenue_share"].is_between(0, 1).all()
        assert used["symbol"].is_unique().all()

    def test_rows_from_memory_on_request(self):
        assert share_of("MRVL", H20) is None
        assert share_of("MRVL", H20, recalled=True) == 0.43
        # Broadcom's total of 2020 is from memory
        assert share_of("AVGO", "2021-06-30") is None
        assert share_of("AVGO", "2021-06-30", recalled=True) == 0.3269

    def test_part_years_serve_firms_without_a_full_year(self):
        assert share_of("000660.KS", H20) is None
        assert share_of("000660.KS", H20, period_types=["FY", "H1"]) == 0.298
        assert share_of("NVDA", H20, period_types=["FY", "Q"]) == 0.1311
        assert share_of("NVDA", H20, period_types=["Q", "FY"]) == 0.1253

    def test_old_rows_are_left_out(self):
        assert share_of("SWKS", H20) is None
        assert share_of("SWKS", H20, max_age_days=None) == 0.83

    def test_one_basis(self):
        kept = look_up(H20, bases=["shipment"])
        assert set(kept["basis"]) == {"shipment"}
        assert {"AMAT", "KLAC", "LRCX", "ASML"} <= set(kept["symbol"])

    def test_both_listings_have_the_share_of_the_firm(self):
        rows = look_up(H20).filter(pl.col("symbol").is_in(["TSM", "2330.TW"]))
        assert rows["china_revenue_share"].to_list() == [0.1146, 0.1146]
        assert rows["recorded_as"].to_list() == ["TSM", "TSM"]
        assert look_up(H20).filter(pl.col("symbol") == "NVDA")["recorded_as"].item() == "NVDA"

    def test_a_listing_keeps_a_row_of_its_own(self, own):
        both = own.filter(pl.col("period_type") == "FY").with_columns(
            pl.col("symbol").replace({"AAA": "TSM", "BBB": "2330.TW"})
        )
        rows = mi.exposures("2025-09-01", path=both)
        assert rows.select("symbol", "china_revenue_share", "recorded_as").rows() == [
            ("2330.TW", 0.4, "2330.TW"), ("TSM", 0.2, "TSM"),
        ]  # fmt: skip

    def test_every_row_has_its_reason(self):
        rows = mi.exposures(H20, all_rows=True)
        assert rows.height == pl.read_csv(ROOT / "data" / "exposures.csv").height
        assert (rows["used"] == rows["reason"].is_null()).all()
        assert set(rows["reason"].drop_nulls()) <= set(EXPOSURE_REASONS)
        reason = {(r["symbol"], str(r["period_end"]), r["period_type"], r["basis"]): r["reason"]
                  for r in rows.iter_rows(named=True)}  # fmt: skip
        assert reason["NVDA", "2025-01-26", "FY", "billing_location"] is None
        assert reason["NVDA", "2025-01-26", "FY", "customer_headquarters"] == "not_public"
        assert reason["NVDA", "2024-01-28", "FY", "billing_location"] == "superseded"
        assert reason["NVDA", "2025-04-27", "Q", "billing_location"] == "period_type"
        assert reason["MRVL", "2025-02-01", "FY", "shipment"] == "recalled"
        assert reason["AMD", "2024-12-28", "FY", "billing_location"] == "total_recalled"
        assert reason["SMCI", "2025-06-30", "FY", "as_stated"] == "no_china_share"
        assert reason["SWKS", "2017-09-29", "FY", "shipment"] == "too_old"
        only = mi.exposures(H20, all_rows=True, bases=["shipment"])
        assert "basis" in set(only.filter(pl.col("symbol") == "NVDA")["reason"])

    def test_the_warning_counts_the_firms_left_out(self):
        rows = mi.exposures(H20, all_rows=True)
        used, left_out = rows.filter("used")["symbol"].n_unique(), rows["symbol"].n_unique()
        message = rf"before 2025-08-12: {used} firms .* {left_out - used} have rows but none"
        with pytest.warns(mi.MarketImpactWarning, match=message):
            mi.exposures(H20)

    def test_row_order_changes_nothing(self):
        table = pl.read_csv(ROOT / "data" / "exposures.csv", infer_schema_length=None)
        shuffled = table.sample(fraction=1.0, shuffle=True, seed=5).with_columns(
            pl.col("period_end", "filed_on").cast(str)
        )
        for as_of in ("2020-05-15", "2026-09-01"):
            assert look_up(as_of, path=shuffled, recalled=True).equals(look_up(as_of, recalled=True))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"period_types": "FY"}, "give a list with some of FY"),
            ({"period_types": []}, "give a list with some of FY"),
            ({"period_types": ["fy"]}, "'fy' is none of FY"),
            ({"bases": ["shipments"]}, "Did you mean 'shipment'"),
            ({"period_types": None}, "give a list with some of FY"),
            ({"bases": {"shipment"}}, "give a list with some of billing_location"),
            ({"max_age_days": 0}, "give a whole number of days from 1"),
            ({"max_age_days": "730"}, "give a whole number of days from 1"),
            ({"max_age_days": float("nan")}, "give a whole number of days from 1"),
        ],
    )
    def test_unknown_choices_are_refused(self, options, message):
        with pytest.raises(mi.SpecificationError, match=message):
            mi.exposures(H20, **options)


class TestOwnTable:
    def test_the_fewest_columns(self, own):
        few = own.select("symbol", "period_end", "china_revenue_share").filter(own["period_type"] == "FY")
        rows = mi.exposures("2025-06-30", path=few)
        assert rows["china_revenue_share"].to_list() == [0.2, 0.4]
        assert rows["basis"].to_list() == [None, None]

    def test_columns_of_its_own_are_kept(self, own):
        table = own.with_columns(sector=pl.Series(["x", "y", "y", "z", "z"]), reason=pl.lit("mine"))
        with pytest.warns(mi.MarketImpactWarning, match="'reason' as 'reason_event'"):
            rows = mi.exposures("2025-09-01", path=table)
        assert rows.select("symbol", "sector", "reason_event").rows() == [("AAA", "y", "mine"), ("BBB", "z", "mine")]

    def test_files_give_what_a_frame_gives(self, own, tmp_path: Path):
        own.write_csv(tmp_path / "mine.csv")
        own.write_parquet(tmp_path / "mine.parquet")
        expected = mi.exposures("2025-09-01", path=own)
        assert mi.exposures("2025-09-01", path=tmp_path / "mine.csv").equals(expected)
        assert mi.exposures("2025-09-01", path=str(tmp_path / "mine.parquet")).equals(expected)

    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            ("china_revenue_share", 12.5, r"between 0 and 1 \(percent: divide by 100\): 1 row"),
            ("china_revenue_share", -0.1, "between 0 and 1"),
            ("china_revenue_share", float("nan"), "must not be NaN"),
            ("us_revenue_share", 0.95, "together must not be above 1"),
            ("filed_on", date(2024, 12, 30), "filed_on must not be before period_end: 1 row"),
            ("basis", "invoice", "basis must be one of billing_location"),
            ("region", "asia", "region must be one of china"),
            ("period_type", "year", "period_type must be one of FY"),
            ("verification", "yes", "verification must be one of seen"),
            ("total_verification", "yes", "total_verification must be one of seen, stated"),
            ("filed_on_verification", "yes", "filed_on_verification must be one of seen"),
            ("symbol", "", "symbol must not be empty"),
        ],
    )
    def test_broken_rows_are_counted(self, own, column, value, message):
        rows = own.to_dicts()
        rows[1][column] = value
        table = pl.DataFrame(rows, infer_schema_length=None)
        with pytest.raises(mi.DataError, match=message) as error:
            mi.exposures(H20, path=table)
        assert error.value.rows["row"].to_list() == [2]

    def test_a_repeated_row_is_refused(self, own):
        twice = pl.concat([own, own.head(1).with_columns(china_revenue_share=pl.lit(0.9))])
        with pytest.raises(mi.DataError, match=r"must not repeat: 2 rows"):
            mi.exposures(H20, path=twice)

    def test_years_are_whole_numbers(self, own):
        years = own.with_columns(fiscal_year=pl.Series([2023.0, 2024.0, None, 2024.0, 2024.0]))
        assert mi.exposures("2025-09-01", path=years)["fiscal_year"].to_list() == [2024, 2024]
        with pytest.raises(mi.DataError, match=r"'fiscal_year' must hold whole numbers, but has 2024\.5"):
            mi.exposures(H20, path=years.with_columns(pl.col("fiscal_year") + 0.5).slice(1, 1))

    def test_dates_of_sources_are_days_or_years(self, own):
        for dates in ([date(2025, 3, 1)] * 5, [2025] * 5, ["2025-03"] * 5):
            rows = mi.exposures("2025-09-01", path=own.with_columns(source_date=pl.Series(dates)))
            assert rows["source_date"].to_list() == [str(dates[0])] * 2

    def test_what_a_file_lacks_is_named(self, own):
        with pytest.raises(mi.DataError, match="lacks the column 'china_revenue_share'"):
            mi.exposures(H20, path=own.drop("china_revenue_share"))
        with pytest.raises(mi.DataError, match="no such file"):
            mi.exposures(H20, path="nowhere.csv")

    def test_percent_text_is_refused(self, tmp_path: Path):
        file = tmp_path / "mine.csv"
        file.write_text("symbol,period_end,china_revenue_share\nAAA,2024-12-31,12%\nAAA,2023-12-31,0.1\n")
        with pytest.raises(mi.DataError, match="china_revenue_share is not a number: 1 row"):
            mi.exposures(H20, path=file)


class TestMixedBases:
    def test_several_bases_are_named(self):
        rows = look_up(H20)
        with pytest.warns(
            mi.MarketImpactWarning, match=r"slope: revenue shares of different bases are pooled: shipment"
        ):
            warn_of_mixed_bases(rows, "slope")

    def test_one_basis_gives_no_warning(self):
        warn_of_mixed_bases(look_up(H20, bases=["shipment"]), "slope")
        warn_of_mixed_bases(pl.DataFrame({"symbol": ["A", "B"]}), "slope")

    def test_china_with_and_without_taiwan(self):
        rows = look_up("2019-06-28", bases=["billing_location"])
        assert set(rows["region"]) == {"greater_china", "china_and_hong_kong"}
        with pytest.warns(mi.MarketImpactWarning, match="1 include Taiwan"):
            warn_of_mixed_bases(rows, "slope")


class TestEmbeddedTable:
    def test_nothing_of_unknown_origin_counts_as_read(self):
        table = mi.exposures(H20, all_rows=True)
        unknown = table.filter(pl.col("source_title").str.starts_with("recalled:"))
        assert set(unknown["verification"]) == {"recalled"}
        assert table.filter(pl.col("verification") == "seen")["source_title"].null_count() == 0
        assert table.filter(pl.col("verification") == "seen", pl.col("source_url").is_null()).is_empty()

    def test_shares_are_the_amounts_of_the_notes(self):
        """Where a row notes the amount and the total, its share is their ratio."""
        pattern = r"^([\d.]+) of ([\d.]+) \(filing currency"
        noted = mi.exposures(H20, all_rows=True).select(
            "china_revenue_share", amounts=pl.col("notes").str.extract_groups(pattern)
        ).unnest("amounts").drop_nulls("1")  # fmt: skip
        assert noted.height > 100
        assert (noted["1"].cast(float) / noted["2"].cast(float) - noted["china_revenue_share"]).abs().max() < 6e-5

    @pytest.mark.shared
    @pytest.mark.skipif(not EXPOSURES.exists(), reason="needs ../shared/data/exposures, which is not here")
    def test_no_row_of_the_reading_was_lost_or_changed(self):
        read = pl.read_csv(EXPOSURES, infer_schema_length=None)
        key = ["symbol", "period_type", "period_end", "filed_on", "china_revenue_share", "us_revenue_share",
               "verification", "filed_on_verification"]  # fmt: skip
        kept = mi.exposures(H20, all_rows=True).with_columns(pl.col("period_end", "filed_on").cast(str))
        # only the restated figure of 2017 was read, which was published with the report of 2018
        restated = (pl.col("symbol") == "ASML") & (pl.col("fiscal_year").cast(str) == "2017")
        read = read.with_columns(filed_on=pl.when(restated).then(pl.lit("2019-02-06")).otherwise("filed_on"))
        assert kept.height == read.height
        assert kept.select(key).sort(key).equals(read.select(key).sort(key))


class TestReadme:
    """Read what data/README.md says of the two tables."""

    @pytest.mark.parametrize("name", ["exposures", "shares"])
    def test_every_column_has_its_meaning_and_rows_are_counted(self, name):
        page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
        table = pl.read_csv(ROOT / "data" / f"{name}.csv", infer_schema_length=None)
        section = page.split(f"\n## {name}.csv\n")[1].split("\n## ")[0]
        cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
        assert set(re.findall(r"`(\w+)`", " ".join(cells))) == set(table.columns)
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}.csv` |"))
        assert f"| {table.height} |" in row
        assert f" {table['symbol'].n_unique()} " in row
        counts = dict(table["verification"].value_counts().rows())
        assert f"{counts['seen']} rows are `seen`" in section
        assert f"{counts['recalled']} `recalled`" in section

    def test_how_many_rows_may_be_used(self):
        page = (ROOT / "data" / "README.md").read_text(encoding="utf-8").replace("\n", " ")
        rows = mi.exposures("2199-01-01", all_rows=True, max_age_days=None, period_types=PERIOD_TYPES)
        usable = rows.filter(pl.col("reason").is_null() | (pl.col("reason") == "superseded"))
        firms = usable.filter(pl.col("period_type") == "FY")["symbol"].n_unique()
        assert f"{usable.height} rows may be used by default, full years of {firms} firms among them" in page
