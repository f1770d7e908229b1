"""Files of bars: columns, stamps, symbols and what is refused."""

from __future__ import annotations

import gc
import json
from datetime import UTC, datetime

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core import limits

PRICES = {"open": [1.0, 1.1], "high": [1.2, 1.2], "low": [0.9, 1.0], "close": [1.1, 1.05], "volume": [5.0, 6.0]}
FIRST = datetime(2025, 5, 7, 13, 30, tzinfo=UTC)


def starts(source: mi.BarFiles, symbol: str = "NVDA") -> list[datetime]:
    return source.read_bars([symbol]).rows.collect()["start"].to_list()


@pytest.mark.parametrize(
    "stamp",
    [
        "2025-05-07 13:30:00+00:00", "2025-05-07T13:30:00Z", "2025-05-07 09:30:00-0400",
        "2025-05-07T09:30:00.000-04:00", "2025-05-07 13:30 UTC", "20250507 21:30:00+08:00",
        "1746624600", "1746624600000", "1746624600000000",
    ],
)  # fmt: skip
def test_a_stamp_with_a_zone_is_that_instant(stamp):
    frame = pl.DataFrame({"symbol": ["NVDA"] * 2, "timestamp": [stamp] * 2, **PRICES})
    assert starts(mi.BarFiles(frame)) == [FIRST, FIRST]


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_epochs_of_every_unit(scale):
    frame = pl.DataFrame({"symbol": ["NVDA"] * 2, "ts": [1746624600 * scale, 1746624900 * scale], **PRICES})
    assert starts(mi.BarFiles(frame))[0] == FIRST


def test_a_stamp_without_a_zone_has_no_instant_but_its_clock():
    frame = pl.DataFrame({"symbol": ["NVDA"] * 2, "Date": ["2025-05-07"] * 2, "Time": ["09:30", "09:35"], **PRICES})
    rows = mi.BarFiles(frame).read_bars(["NVDA"]).rows.collect()
    assert rows["start"].null_count() == 2
    assert rows["clock"].to_list() == [datetime(2025, 5, 7, 9, 30), datetime(2025, 5, 7, 9, 35)]


def test_symbols_from_a_column_a_name_a_folder_and_as_said(tmp_path):
    frame = pl.DataFrame({"start": ["2025-05-07T13:30Z", "2025-05-07T13:35Z"], **PRICES})
    (tmp_path / "symbol=AMD").mkdir()
    frame.write_csv(tmp_path / "NVDA_5m.csv")
    frame.with_columns(pl.col("start").str.to_datetime("%Y-%m-%dT%H:%MZ", time_zone="UTC")).write_parquet(
        tmp_path / "symbol=AMD" / "part-0.parquet"
    )
    frame.with_columns(ticker=pl.lit("688981.SH")).write_csv(tmp_path / "all.csv")
    table = mi.BarFiles(tmp_path).read_bars(["NVDA", "AMD", "688981.SS"])
    assert sorted(table.rows.collect()["symbol"].to_list()) == ["688981.SS"] * 2 + ["AMD"] * 2 + ["NVDA"] * 2
    only = mi.BarFiles(tmp_path).read_bars(["AMD"])
    assert only.rows.collect().height == 2
    assert "NVDA_5m.csv" in only.notes[0]
    assert starts(mi.BarFiles(tmp_path / "NVDA_5m.csv", symbol="SMH"), "SMH") == [FIRST, FIRST.replace(minute=35)]


def test_a_file_of_yfinance_download_is_recognised(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text(
        "Price,Close,High,Low,Open,Volume\nTicker,NVDA,NVDA,NVDA,NVDA,NVDA\nDatetime,,,,,\n"
        "2025-05-07 13:30:00+00:00,1.1,1.2,0.9,1.0,5\n"
    )
    row = mi.BarFiles(path).read_bars(["NVDA"]).rows.collect().row(0, named=True)
    assert (row["start"], row["open"], row["close"]) == (FIRST, 1.0, 1.1)


@pytest.mark.parametrize(
    ("changes", "options", "part"),
    [
        ({"Open": [1.0, 1.0]}, {}, "several columns that could be 'open'"),
        ({"close": ["1,1", "1.2"]}, {}, "close '1,1' is not a number. 1 of 2 rows"),
        ({"start": ["2025-05-07", "2025-05-08"]}, {}, "is not a stamp with a time of day"),
        ({"start": [datetime(2025, 5, 7).date()] * 2}, {}, "dates without a time of day"),
        ({"symbol": None}, {}, "lacks 'symbol'"),
        ({"low": None}, {}, "lacks 'low'"),
        ({}, {"columns": {"bar": "start"}}, "has no column 'bar'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(changes, options, part):
    columns = {"symbol": ["NVDA"] * 2, "start": ["2025-05-07T13:30Z"] * 2, **PRICES} | changes
    frame = pl.DataFrame({name: values for name, values in columns.items() if values is not None})
    with pytest.raises(mi.DataError) as error:
        mi.BarFiles(frame, **options).read_bars(["NVDA"])
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"stamps": "middle"}, "stamps='middle'"),
        ({"time_zone": "Eastern"}, "time_zone='Eastern'"),
        ({"columns": {"t": "begin"}}, "maps to 'begin'"),
        ({"columns": "start"}, "is no mapping"),
    ],
)
def test_an_impossible_option_is_refused_when_it_is_given(options, part):
    with pytest.raises(mi.SpecificationError) as error:
        mi.BarFiles("bars.csv", **options)
    assert part in str(error.value)


@pytest.mark.parametrize("name", ["absent.csv", "bars.json", "empty.csv", "broken.parquet", "headless.csv"])
def test_files_that_are_no_bars(tmp_path, name):
    texts = {
        "bars.json": "{}",
        "empty.csv": "",
        "broken.parquet": "PAR1",
        "headless.csv": "2025-05-07 13:30Z,1,1,1,1,1\n",
    }
    if name in texts:
        (tmp_path / name).write_text(texts[name])
    with pytest.raises(mi.DataError) as error:
        mi.BarFiles(tmp_path / name, symbol="NVDA").read_bars(["NVDA"])
    assert name in str(error.value)


def test_no_file_of_the_symbols(tmp_path):
    for name in ("AMD", "MU"):
        pl.DataFrame({"start": ["2025-05-07T13:30Z"] * 2, **PRICES}).write_csv(tmp_path / f"{name}.csv")
    with pytest.raises(mi.SourceError, match="has no file of 'NVDA'"):
        mi.BarFiles(tmp_path).read_bars(["NVDA"])


def test_no_frame_and_no_path():
    with pytest.raises(mi.SpecificationError, match="a path or a frame, not int"):
        mi.BarFiles(3)


STAMPS = ["2025-05-07T13:30:00Z", "2025-05-07T13:35:00Z"]


def test_volume_in_lots_is_shares_once_it_is_said():
    frame = pl.DataFrame({"symbol": "688981.SH", "timestamp": STAMPS, **PRICES})
    assumed, said = (mi.BarFiles(frame, lot=lot).read_bars(["688981.SS"]) for lot in (None, 100))
    assert assumed.rows.collect()["volume"].to_list() == [5.0, 6.0]
    assert any("lots of 100" in note for note in assumed.notes)
    assert said.rows.collect()["volume"].to_list() == [500.0, 600.0]
    assert not said.notes
    elsewhere = pl.DataFrame({"symbol": "NVDA", "timestamp": STAMPS, **PRICES})
    assert not mi.BarFiles(elsewhere).read_bars(["NVDA", "688981.SS"]).notes


@pytest.mark.parametrize("lot", [0, -100, 1.5, True, "100"])
def test_a_lot_that_is_no_number_of_shares(lot):
    with pytest.raises(mi.SpecificationError, match="no number of shares"):
        mi.BarFiles(pl.DataFrame({"symbol": "NVDA", "timestamp": STAMPS, **PRICES}), lot=lot)


def alpha_vantage(
    path, zone: str = "US/Eastern", stamps: tuple[str, ...] = ("2025-05-07 09:35:00", "2025-05-07 09:30:00")
):
    bars = {
        stamp: {f"{n}. {name}": str(values[k]) for n, (name, values) in enumerate(PRICES.items(), start=1)}
        for k, stamp in enumerate(stamps)
    }
    facts = {"1. Information": "Intraday (5min)", "2. Symbol": "NVDA", "6. Time Zone": zone}
    path.write_text(json.dumps({"Meta Data": facts, "Time Series (5min)": bars}))
    return path


def test_an_answer_of_alpha_vantage_has_its_symbol_and_zone(tmp_path):
    rows = mi.BarFiles(alpha_vantage(tmp_path / "daily_prices.json")).read_bars(["NVDA"]).rows.collect()
    assert rows.sort("start").select("start", "close").rows()[0] == (FIRST, 1.05)


def test_an_answer_in_an_unknown_zone_needs_it_said(tmp_path):
    path = alpha_vantage(tmp_path / "daily_prices.json", zone="Local")
    assert starts(mi.BarFiles(path)) == [None, None]
    table = mi.BarFiles(path, time_zone="America/New_York").read_bars(["NVDA"])
    assert table.instants().collect()["start"].min() == FIRST


def test_a_list_of_records_is_read(tmp_path):
    path = tmp_path / "NVDA.json"
    rows = [{"t": stamp, "o": 1.0, "h": 1.2, "l": 0.9, "c": 1.1, "v": 5} for stamp in STAMPS]
    path.write_text(json.dumps(rows))
    assert starts(mi.BarFiles(path))[0] == FIRST


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "neither a list of records nor"),
        ('{"results": []}', "Its keys are 'results'"),
        ('{"Time Series (5min)": {"2025-05-07 09:30:00": 3}}', "not one record per stamp"),
        ('[{"t": 1}, {"t": [2]}]', "make no table"),
        ('[{"t": "2025-05-07T13:30:00Z", "o": "x", "h": 1, "l": 1, "c": 1}]', "is not a number"),
    ],
)
def test_json_that_has_no_bars(tmp_path, text, words):
    path = tmp_path / "NVDA.json"
    path.write_text(text)
    with pytest.raises(mi.DataError, match=words):
        mi.BarFiles(path).read_bars(["NVDA"])


def long_frame(symbols: tuple[str, ...] = ("AMD", "NVDA", "688981.SH")) -> pl.DataFrame:
    return pl.concat(pl.DataFrame({"symbol": name, "timestamp": STAMPS, **PRICES}) for name in symbols)


@pytest.mark.parametrize("requested", [["NVDA"], ["NVDA", "688981.SS"]])
def test_a_filter_on_symbols_reaches_parquet_unless_their_names_change(tmp_path, requested):
    stamp = pl.col("timestamp").str.to_datetime(time_zone="UTC")
    has_shanghai = "688981.SS" in requested
    frame = long_frame() if has_shanghai else long_frame(("AMD", "NVDA"))
    frame.with_columns(stamp).write_parquet(tmp_path / "bars.parquet")
    rows = mi.BarFiles(tmp_path / "bars.parquet").read_bars(requested).rows
    assert rows.collect()["symbol"].unique().sort().to_list() == sorted(requested)
    plan = rows.filter(pl.col("symbol").is_between(pl.lit("NVDA"), pl.lit("NVDA"))).explain()
    assert ("FILTER" in plan) is has_shanghai  # else the scan itself selects, by row group


def test_much_text_is_laid_out_in_a_folder_that_goes_with_the_bars(tmp_path, monkeypatch):
    for name, part in long_frame(("AMD", "NVDA")).partition_by("symbol", as_dict=True).items():
        part.drop("symbol").write_csv(tmp_path / f"{name[0]}.csv")
    symbols = ["NVDA", "AMD", "TSM"]
    plain = mi.BarFiles(tmp_path).read_bars(symbols)
    monkeypatch.setattr(limits, "BAR_TEXT_BYTES", 0)
    table = mi.BarFiles(tmp_path).read_bars(symbols)
    assert plain.folder is None
    assert table.rows.collect().equals(plain.rows.collect())
    assert len(list(table.folder.path.iterdir())) == 2
    path = table.folder.path
    del table
    gc.collect()
    assert not path.exists()
