"""Sources of prices: the protocol, files and the sample."""

import hashlib
import json
import struct
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from marketimpact.core import fingerprint as core_fingerprint
from marketimpact.core.fingerprint import fingerprint_in_order
from marketimpact.errors import DataError, SourceError, SpecificationError
from marketimpact.sources import FilePrices, SamplePrices, fingerprint, sample
from tests.conftest import SHARED

MON, TUE, WED = date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10)

CSV = """date,symbol,close,adj_close,volume,currency
2024-01-09,NVDA,53.1,52.9,410,USD
2024-01-08,NVDA,52.2,52.0,640,USD
2024-01-08,0700.HK,290.2,280.1,,HKD
2024-01-10,NVDA,54.3,54.1,533,USD
2024-01-09,0700.HK,293.0,282.8,12,HKD
"""


def frame_of(**columns):
    base = {
        "symbol": ["NVDA", "NVDA", "AMD", "AMD"],
        "date": [MON, TUE, MON, TUE],
        "close": [50.0, 51.0, 100.0, 101.0],
    }
    return pl.DataFrame(base | columns, strict=False)


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(CSV)
    return path


# --- what is read


def test_a_csv_is_read_adjusted_and_sorted(csv):
    table = FilePrices(csv).read(["NVDA", "0700.HK"])
    assert table.frame.rows() == [
        ("0700.HK", MON, 280.1, None, 290.2),
        ("0700.HK", TUE, 282.8, 12.0, 293.0),
        ("NVDA", MON, 52.0, 640.0, 52.2),
        ("NVDA", TUE, 52.9, 410.0, 53.1),
        ("NVDA", WED, 54.1, 533.0, 54.3),
    ]
    assert table.frame.schema == pl.Schema(
        {"symbol": pl.String, "date": pl.Date} | dict.fromkeys(["close", "volume", "unadjusted_close"], pl.Float64)
    )
    assert table.source == "FilePrices('prices.csv')"
    assert (table.simulated, table.missing, table.notes, table.truth) == (False, (), (), None)


def test_digits_stay_a_symbol(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("symbol,date,close\n0700,2024-01-08,1\n0700,2024-01-09,2\n2330,2024-01-08,3\n")
    assert FilePrices(path).read(["0700"]).frame["symbol"].to_list() == ["0700", "0700"]


def test_parquet_csv_and_frame_agree(csv, tmp_path):
    raw = pl.read_csv(csv, try_parse_dates=True)
    raw.reverse().write_parquet(tmp_path / "other.parquet")
    asked = ["NVDA", "0700.HK"]
    tables = [FilePrices(given).read(asked) for given in (csv, tmp_path / "other.parquet", raw)]
    assert len({table.fingerprint for table in tables}) == 1
    assert [table.source for table in tables] == [
        "FilePrices('prices.csv')",
        "FilePrices('other.parquet')",
        "FilePrices(frame)",
    ]


def test_bounds_are_included_and_missing_symbols_named(csv):
    table = FilePrices(csv).read(["AMD", "NVDA", "0700.HK", "NVDA"], TUE, WED)
    assert table.frame.select("symbol", "date").rows() == [("0700.HK", TUE), ("NVDA", TUE), ("NVDA", WED)]
    assert table.missing == ("AMD",)
    late = FilePrices(csv).read(["NVDA", "0700.HK"], WED)
    assert late.missing == ("0700.HK",)
    assert late.notes == ("Known, but without a row on the requested dates: '0700.HK'.",)


def test_no_path_of_a_machine_is_shown(csv):
    assert repr(FilePrices(csv)) == repr(FilePrices(str(csv))) == "FilePrices('prices.csv')"


def test_timestamps_at_midnight_keep_their_local_date():
    seoul = ZoneInfo("Asia/Seoul")
    frame = frame_of(date=[datetime(2024, 1, day, tzinfo=seoul) for day in (8, 9, 8, 9)])
    frame = frame.with_columns(pl.col("date").dt.convert_time_zone("Asia/Seoul"))
    assert FilePrices(frame).read(["AMD"]).frame["date"].to_list() == [MON, TUE]


def test_a_csv_of_pandas_timestamps_keeps_its_dates(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("date,symbol,close\n2024-01-08 00:00:00-05:00,NVDA,1\n2024-01-09 00:00:00,NVDA,2\n")
    assert FilePrices(path).read(["NVDA"]).frame["date"].to_list() == [MON, TUE]


# --- which price


def test_close_fills_in_and_a_mixed_basis_is_named():
    frame = pl.DataFrame(
        {
            "symbol": ["A", "A", "B", "B", "C", "C"],
            "date": [MON, TUE] * 3,
            "close": [10.0, 11.0, 20.0, 21.0, 30.0, None],
            "adj_close": [9.0, None, None, None, 29.0, None],
        }
    )
    table = FilePrices(frame).read(["A", "B", "C"])
    assert table.frame["close"].to_list() == [9.0, 11.0, 20.0, 21.0, 29.0, None]
    filled, mixed = table.notes
    assert filled == "adj_close is empty on 3 rows: close is used there."
    assert mixed.startswith("adj_close and close are mixed within 'A': ")


def test_many_mixed_symbols_are_cut_to_five():
    names = list("ABCDEFG")
    frame = pl.DataFrame(
        {
            "symbol": names * 2,
            "date": [MON] * 7 + [TUE] * 7,
            "close": [1.0] * 14,
            "adj_close": [1.0] * 7 + [None] * 7,
        }
    )
    assert "within 'A', 'B', 'C', 'D', 'E' and 2 more:" in FilePrices(frame).read(names).notes[1]


def test_adjusted_close_alone_is_enough():
    frame = frame_of().rename({"close": "adj_close"})
    table = FilePrices(frame).read(["NVDA"])
    assert (table.frame["close"].to_list(), table.notes) == ([50.0, 51.0], ())


def test_close_alone_is_noted_with_a_likely_column():
    (note,) = FilePrices(frame_of()).read(["NVDA"]).notes
    assert note == "There is no adj_close: close is used as given, adjusted or not."
    (note,) = FilePrices(frame_of(**{"Adj Close": [1.0] * 4})).read(["NVDA"]).notes
    assert note.endswith("If column 'Adj Close' is one, rename it to 'adj_close'.")


# --- opens, highs and lows


def test_opens_are_on_the_basis_of_the_unadjusted_close_of_the_file():
    frame = frame_of(open=[49.0, -1.0, 0.0, None], unadjusted_close=[100.0, 101.0, 102.0, 103.0])
    table = FilePrices(frame).read(["NVDA", "AMD"]).frame
    assert table.columns == ["symbol", "date", "close", "volume", "unadjusted_close", "open"]
    rows = table.select("symbol", "date", "unadjusted_close", "open").rows()
    assert rows == sorted(frame.select("symbol", "date", "unadjusted_close", "open").rows(), key=lambda row: row[:2])
    assert FilePrices(frame.drop("open")).read(["NVDA"]).frame.columns == ["symbol", "date", "close", "volume"]


def test_an_open_under_another_name_is_noted():
    (*_, note) = FilePrices(frame_of(Open=[1.0] * 4)).read(["NVDA"]).notes
    assert note == "There is no open. If column 'Open' is one, rename it to 'open'."
    assert not [n for n in FilePrices(frame_of(open=[1.0] * 4, Open=[1.0] * 4)).read(["NVDA"]).notes if "open" in n]


def test_an_unreadable_open_is_refused(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("symbol,date,close,open\nNVDA,2024-01-08,1,n/a\nNVDA,2024-01-09,2,\nAMD,2024-01-08,3,0\n")
    message = r"1 row with a value that is no date or number, such as NVDA on 2024-01-08: open 'n/a'"
    with pytest.raises(DataError, match=message):
        FilePrices(path).read(["NVDA"])
    assert FilePrices(path).read(["AMD"]).frame["open"].to_list() == [0.0]


# --- what is refused


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"close": [50.0, 0.0, 1.0, 1.0]}, "close must be above zero: 1 row"),
        ({"close": [50.0, -1.0, 1.0, 1.0]}, "close must be above zero: 1 row"),
        ({"close": [float("nan"), 1.0, 1.0, 1.0]}, "close must not be NaN"),
        ({"close": [float("inf"), 1.0, 1.0, 1.0]}, "close must be finite: 1 row"),
        ({"date": [MON, MON, MON, TUE]}, "the key must not repeat (symbol + date): 2 rows"),
        ({"date": [None, MON, MON, TUE]}, "date must not be empty: 1 row"),
        ({"volume": [-1.0, 1.0, 1.0, 1.0]}, "volume must not be negative: 1 row"),
        ({"open": [float("inf"), 1.0, 1.0, 1.0]}, "open must be finite: 1 row"),
    ],
)
def test_broken_rows_are_refused_only_where_requested(columns, words):
    source = FilePrices(frame_of(**columns))
    with pytest.raises(DataError) as caught:
        source.read(["NVDA"], MON, TUE)
    assert words in str(caught.value)
    table = source.read(["AMD"])
    assert table.frame.height == 2
    assert table.notes[-1].endswith("of symbols not requested break the rules of prices.")


def test_broken_rows_of_others_are_counted(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(
        "symbol,date,adj_close\nNVDA,2024-01-08,1\nNVDA,2024-01-09,2\n"
        "AMD,2024-01-08,n/a\nAMD,08.01.2024,1\nAMD,2024-01-09,-4\n,2024-01-09,1\nAMD,2024-01-10,3\n"
    )
    assert FilePrices(path).read(["NVDA"]).notes == ("4 rows of symbols not requested break the rules of prices.",)
    with pytest.raises(
        DataError, match=r"2 rows with a value .* AMD on 2024-01-08: adj_close 'n/a'; AMD: date '08.01.2024'"
    ):
        FilePrices(path).read(["AMD"])


def test_text_on_other_dates_stops_nothing(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(
        "symbol,date,close\nNVDA,2024-01-08,1\nAMD,2024-01-08,3\nNVDA,2024-01-09,2\nAMD,2024-01-09,xxx\n"
        "NVDA,2024-01-10,xxx\n"
    )
    assert FilePrices(path).read(["NVDA", "AMD"], last=MON).frame["close"].to_list() == [3.0, 1.0]
    with pytest.raises(DataError, match="such as AMD on 2024-01-09: close 'xxx'; NVDA on 2024-01-10: close 'xxx'"):
        FilePrices(path).read(["NVDA", "AMD"])


@pytest.mark.parametrize(
    ("renames", "words"),
    [
        ({"close": "Close"}, r"lacks the column 'close' or 'adj_close'.*rename\(\{'Close': 'close'\}\)"),
        ({"close": "Adj Close"}, r"rename\(\{'Adj Close': 'adj_close'\}\)"),
        ({"symbol": "ticker"}, r"lacks the column 'symbol'; it has .*rename\(\{'ticker': 'symbol'\}\)"),
        (
            {"symbol": "Symbl", "date": "Date"},
            r"columns 'symbol', 'date'; .*\{'Symbl': 'symbol', 'Date'",
        ),
        ({"date": "x"}, r"lacks the column 'date'; it has 'symbol', 'x', 'close'\. One row per symbol"),
    ],
)
def test_a_missing_column_is_named_with_the_likely_one(renames, words):
    with pytest.raises(DataError, match=words):
        FilePrices(frame_of().rename(renames)).read(["NVDA"])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"date": ["2024-01-08"] * 4}, "column 'date' has type String, must hold dates"),
        ({"close": ["1"] * 4}, "column 'close' has type String, must hold numbers"),
        ({"symbol": [1, 1, 2, 2]}, "column 'symbol' has type Int64, must hold text"),
        ({"volume": [True] * 4}, "column 'volume' has type Boolean, must hold numbers"),
        ({"open": [True] * 4}, "column 'open' has type Boolean, must hold numbers"),
    ],
)
def test_a_wrong_type_is_refused(columns, words):
    with pytest.raises(DataError, match=words):
        FilePrices(frame_of(**columns)).read(["NVDA"])


def test_a_time_of_day_is_refused():
    frame = frame_of(date=[datetime(2024, 1, 8, 16), datetime(2024, 1, 9), MON, TUE])
    with pytest.raises(DataError, match=r"1 row with a value .* NVDA: date '2024-01-08 16:00"):
        FilePrices(frame).read(["NVDA"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.parquet", None, "There is no file"),
        ("prices.xls", b"PK", r"ends in '.xls', which is not read here"),
        ("prices", b"", "ends in ''"),
        ("broken.parquet", b"PAR1 no parquet PAR1", "cannot be read as parquet"),
        ("half.csv", b"date\n\xff\xfe\x81\n", "not UTF-8"),
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"symbol,date,close\n", "has no rows"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        FilePrices(tmp_path / name).read(["NVDA"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbol;date;close\nNVDA;2024-01-08;48.1\n", r"separated by ';', not by commas\. Save it with commas"),
        ("symbol;date;close\nNVDA;08.01.2024;48,1\n", r"separated by ';', not by commas\. Save it with commas"),
        ("symbol\tdate\tclose\nNVDA\t2024-01-08\t48.1\n", r"separated by '\\t', not by commas"),
        ("symbol,date,close\nNVDA,08.01.2024,48.1\n", r"date '08\.01\.2024'\. Write dates 2024-01-31"),
        ("symbol,date,close\nNVDA,01/08/2024,48.1\n", r"date '01/08/2024'\. Write dates 2024-01-31"),
        ('symbol,date,close\nNVDA,2024-01-08,"1,048.10"\n', r"close '1,048\.10'\. .* numbers 1234\.5"),
        ("symbol,date,close\nNVDA,2024-01-08,$48.1\n", r"close '\$48\.1'"),
        ("\n \n", "the file is empty"),
        ("symbol,date,close\n", "has no rows"),
        (
            "Date,Close,Adj Close\n2024-01-08,48.1,48.0\n",
            r"a file per symbol are read from their folder by FolderPrices",
        ),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_of_another_country_or_program_is_refused_with_what_to_do(tmp_path, text, words, mark):
    path = tmp_path / "prices.csv"
    path.write_text(mark + text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        FilePrices(path).read(["NVDA"])


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match=r"is a folder\. FolderPrices reads one"):
        FilePrices(tmp_path).read(["NVDA"])


def test_an_empty_frame_and_another_object():
    with pytest.raises(DataError, match="has no rows"):
        FilePrices(frame_of().clear()).read(["NVDA"])
    with pytest.raises(SpecificationError, match="FilePrices takes a path or a frame, not dict"):
        FilePrices({"symbol": ["NVDA"]})


def test_none_of_the_symbols(csv):
    with pytest.raises(SourceError, match=r"none of the requested symbols: 'nvda', 'XYZ'.*mean 'NVDA'") as caught:
        FilePrices(csv).read(["nvda", "XYZ"])
    assert (caught.value.source, caught.value.symbols) == ("FilePrices('prices.csv')", ("nvda", "XYZ"))
    assert caught.value.retryable is False
    assert "It has 2: '0700.HK', 'NVDA'." in str(caught.value)


def test_no_row_between_the_bounds(csv):
    with pytest.raises(SourceError, match="no prices of 'NVDA' on the requested dates"):
        FilePrices(csv).read(["NVDA"], date(2030, 1, 1))


@pytest.mark.parametrize("source", [FilePrices(frame_of()), SamplePrices()])
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (([],), "symbols is empty"),
        (("NVDA",), "letter by letter"),
        (([""],), "'' is not a symbol"),
        ((["NVDA"], "2024-01-08"), "first='2024-01-08' is not a date"),
        ((["NVDA"], None, datetime(2024, 1, 8)), "last=datetime"),
        ((["NVDA"], TUE, MON), "lies after"),
    ],
)
def test_a_question_that_cannot_be(source, asked, words):
    with pytest.raises(SpecificationError, match=words):
        source.read(*asked)


# --- fingerprint

BOTH = pytest.mark.parametrize("function", [fingerprint, fingerprint_in_order])


def test_a_fingerprint_is_the_sha256_of_the_sorted_bytes():
    frame = pl.DataFrame({"symbol": ["NVDA", "AMD"], "close": [None, 1.0]})
    head = json.dumps([[["close", "float"], ["symbol", "text"]], 2]).encode()
    one, zero = struct.pack("<d", 1.0), struct.pack("<q", 0)
    # Columns by name, each after its flags of emptiness; AMD has a close, so its row is first.
    parts = [
        zero + struct.pack("<q", 1),
        one + zero,
        zero + zero,
        struct.pack("<qq", 3, 4),
        b"AMDNVDA",
    ]
    expected = hashlib.sha256(head + b"".join(struct.pack("<q", len(part)) + part for part in parts))
    assert fingerprint(frame) == expected.hexdigest()


def test_a_fingerprint_ignores_order_chunks_and_widths():
    frame = pl.DataFrame(
        {
            "text": ["a", "a", "b", None],
            "day": [MON, MON, TUE, None],
            "number": [0.1, 0.1, float("nan"), None],
            "count": [1, 1, 2, None],
            "flag": [True, True, False, None],
            "at": [datetime(2024, 1, 8, tzinfo=UTC)] * 2 + [datetime(2024, 1, 9, tzinfo=UTC), None],
            "targets": [["HBM", "GPU"], ["HBM", "GPU"], [], None],
        }
    )
    wanted = fingerprint(frame)
    assert len(wanted) == 64
    assert fingerprint(frame.sample(fraction=1.0, shuffle=True, seed=7)) == wanted
    assert fingerprint(frame.select(reversed(frame.columns))) == wanted
    assert fingerprint(pl.concat([frame[2:], frame[:2]], rechunk=False)) == wanted
    assert fingerprint(frame.cast({"count": pl.Int32, "text": pl.Categorical})) == wanted


@pytest.mark.parametrize(
    "change",
    [
        pl.Series("close", [50.0, 51.0, 100.0, 101.00000000000001]),
        pl.Series("close", [50.0, 51.0, 101.0, 100.0]),
        pl.Series("close", [50.0, 51.0, 100.0, None]),
        pl.Series("close", [50, 51, 100, 101]),
        pl.Series("symbol", ["NVDA", "NVDA", "AMD", "AM"]),
        pl.Series("symbol", ["NVDA", "NVDA", "AMD", None]),
        pl.Series("extra", [1, 1, 1, 1]),
        pl.Series("date", [MON, TUE, MON, WED]),
    ],
)
@BOTH
def test_a_fingerprint_sees_any_change(function, change):
    assert function(frame_of().with_columns(change)) != function(frame_of())


def test_a_fingerprint_in_order_ignores_columns_chunks_and_widths_and_sees_the_order_of_rows(monkeypatch):
    frame = frame_of()
    wanted = fingerprint_in_order(frame)
    assert fingerprint_in_order(frame.select(reversed(frame.columns))) == wanted
    assert fingerprint_in_order(pl.concat([frame[:1], frame[1:]], rechunk=False)) == wanted
    assert fingerprint_in_order(frame.with_columns(pl.col("symbol").cast(pl.Categorical))) == wanted
    assert fingerprint_in_order(frame.reverse()) != wanted
    monkeypatch.setattr(core_fingerprint, "SLICE_ROWS", 3)
    sliced = fingerprint_in_order(frame)
    assert fingerprint_in_order(pl.concat([frame[:2], frame[2:]], rechunk=False)) == sliced


@BOTH
def test_a_fingerprint_distinguishes_empty_from_null(function):
    def of(*values, dtype):
        return function(pl.DataFrame({"x": pl.Series(values, dtype=dtype)}))

    assert of("", dtype=pl.String) != of(None, dtype=pl.String)
    assert of(0.0, dtype=pl.Float64) != of(None, dtype=pl.Float64)
    assert of(["a", "b"], dtype=pl.List(pl.String)) != of(["ab"], dtype=pl.List(pl.String))
    assert of("ab", "c", dtype=pl.String) != of("a", "bc", dtype=pl.String)
    assert fingerprint(pl.DataFrame({"x": ["a"]})) != fingerprint(pl.DataFrame({"x": ["a", "a"]}))
    assert fingerprint(pl.DataFrame()) == fingerprint(pl.DataFrame())
    with pytest.raises(DataError, match="Column 'x' has type Struct"):
        fingerprint(pl.DataFrame({"x": [{"a": 1}]}))


# --- the sample


@pytest.fixture
def small_sample(tmp_path, monkeypatch):
    frame_of(volume=[5.0, None, 7.0, 8.0]).reverse().write_parquet(tmp_path / "prices.parquet")
    pl.DataFrame(
        {"symbol": ["NVDA", "AMD", "NVDA"], "date": [TUE, TUE, MON], "abnormal_return": [-0.02, 0.01, 0.0]}
        | {"abnormal_overnight": [-0.02, 0.0, 0.0]}
    ).write_parquet(tmp_path / "truth.parquet")
    monkeypatch.setattr(sample, "resource", lambda *parts: tmp_path / parts[-1])
    return tmp_path


def test_the_sample_says_that_it_is_simulated(small_sample):
    table = SamplePrices().read(["NVDA", "XYZ"], TUE)
    assert table.frame.rows() == [("NVDA", TUE, 51.0, None)]
    assert table.truth.rows() == [("NVDA", TUE, -0.02, -0.02)]
    assert table.simulated is True
    assert table.source == repr(SamplePrices()) == "SamplePrices() (simulated)"
    assert table.missing == ("XYZ",)
    assert "simulated" in table.notes[0]


def test_the_truth_is_sorted_and_only_of_the_requested_symbols(small_sample):
    assert SamplePrices().read(["NVDA"]).truth.rows() == [("NVDA", MON, 0.0, 0.0), ("NVDA", TUE, -0.02, -0.02)]


def test_the_sample_without_the_symbols(small_sample):
    with pytest.raises(SourceError, match=r"none of the requested symbols: 'XYZ'. It has 2: 'AMD', 'NVDA'"):
        SamplePrices().read(["XYZ"])


def test_a_truth_without_its_column(small_sample):
    pl.DataFrame({"symbol": ["NVDA"], "date": [MON]}).write_parquet(small_sample / "truth.parquet")
    with pytest.raises(DataError, match="lacks 'abnormal_return', 'abnormal_overnight'"):
        SamplePrices().read(["NVDA"])


def test_the_embedded_sample():
    table = SamplePrices().read(["NVDA", "^GSPC"])
    assert table.missing == ()
    assert table.frame["close"].null_count() < table.frame.height
    assert table.truth.columns == ["symbol", "date", "abnormal_return", "abnormal_overnight"]


# --- real prices


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not part of the repository")
def test_the_shared_prices():
    source = FilePrices(SHARED / "data" / "prices.parquet")
    table = source.read(["NVDA", "INTC", "TSM", "005930.KS", "XYZ"], date(2016, 1, 1), date(2026, 8, 21))
    assert table.missing == ("XYZ",)
    assert table.frame["close"].min() > 0
    assert table.notes[0] == "adj_close is empty on 2457 rows: close is used there."
    assert table.notes[1].startswith("adj_close and close are mixed within 'INTC', 'TSM': ")
