"""Folders of vendors' CSVs: names, layouts, units, and what is refused."""

from __future__ import annotations

from datetime import date

import pytest

import marketimpact as mi
from marketimpact.sources.files.ticker_symbols import ashare_symbol, market_symbol

MON, TUE = date(2024, 1, 8), date(2024, 1, 9)
COLUMNS = ["symbol", "date", "close", "volume", "unadjusted_close"]
YAHOO = "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-08,1,3,1,2.5,2.4,100\n2024-01-09,1,3,1,2.75,2.64,200\n"
PLAIN = "Date,Open,High,Low,Close,Volume\n2024-01-08,1,3,1,2.5,100\n2024-01-09,1,3,1,2.75,200\n"
CHINESE = "日期,开盘,收盘,最高,最低,成交量,成交额\n2024-01-08,1,2.5,3,1,100,25000\n2024-01-09,1,2.75,3,1,200,55000\n"
BULK = (
    "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
    "{0},D,20240108,000000,1,3,1,2.5,100,0\n{0},D,20240109,000000,1,3,1,2.75,200,0\n"
)


@pytest.fixture
def folder(tmp_path):
    def fill(**files: str | bytes):
        for name, content in files.items():
            path = tmp_path / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return mi.FolderPrices(tmp_path)

    return fill


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("aapl.us", "AAPL"), ("NVDA.US", "NVDA"), ("981.HK", "0981.HK"), ("700.hk", "0700.HK"), ("9988.HK", "9988.HK"),
        ("6920.JP", "6920.T"), ("nvda_us_d", "NVDA"), ("brk-b.us", "BRK-B"), ("2330.TW", "2330.TW"), ("^spx", "^SPX"),
        ("asml.uk", "ASML.L"), ("005930.KS", "005930.KS"), ("nvda", "NVDA"),
    ],
)  # fmt: skip
def test_tickers_of_other_vendors(written, symbol):
    assert market_symbol(written) == symbol


@pytest.mark.parametrize(
    ("code", "symbol"),
    [
        ("600519", "600519.SS"), ("688981", "688981.SS"), ("sh600519", "600519.SS"), ("SH.600519", "600519.SS"),
        ("600519.SH", "600519.SS"), ("600519.ss", "600519.SS"), ("000001", "000001.SZ"), ("sh000001", "000001.SS"),
        ("sz000001", "000001.SZ"), ("300750", "300750.SZ"), ("301269", "301269.SZ"), ("002371", "002371.SZ"),
        ("430047", "430047.BJ"), ("835185", "835185.BJ"), ("920001", "920001.BJ"), ("bj920001", "920001.BJ"),
        ("900901", "900901.SS"), ("200002", "200002.SZ"), ("399001", "399001.SZ"), ("512480", "512480.SS"),
        ("1", None), ("00700", None), ("sh600519.SZ", None), ("６００５１９", None), ("110001", None), ("", None),
    ],
)  # fmt: skip
def test_codes_of_the_mainland(code, symbol):
    assert ashare_symbol(code) == symbol


def test_yahoo_gives_both_closes(folder):
    table = folder(NVDA__csv=YAHOO, AMD__csv=YAHOO).read(["NVDA", "AMD"])
    assert table.frame.columns == ["symbol", "date", "close", "volume", "unadjusted_close", "open", "high", "low"]
    assert table.frame.select(COLUMNS).rows()[:2] == [("AMD", MON, 2.4, 100.0, 2.5), ("AMD", TUE, 2.64, 200.0, 2.75)]
    assert table.notes == ()


def test_dividends_and_splits_are_kept_where_they_happen(folder):
    text = (
        "Date,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits\n"
        "2024-01-08 00:00:00-05:00,1,3,1,2.5,2.4,100,0.0,0.0\n2024-01-09 00:00:00-05:00,1,3,1,2.75,2.64,200,0.04,10.0\n"
    )
    frame = folder(NVDA__csv=text, AMD__csv=text).read(["NVDA"]).frame
    assert frame.select("date", "dividend", "split").rows() == [(MON, None, None), (TUE, 0.04, 10.0)]


def test_an_empty_adjusted_close_is_not_filled_in(folder):
    table = folder(NVDA__csv=YAHOO.replace("2.64", "null")).read(["NVDA"])
    assert table.frame["close"].to_list() == [2.4, None]
    assert table.notes == ("The adjusted close is empty on 1 row with a close: no price is used there: 'NVDA'.",)


@pytest.mark.parametrize(("what", "whose"), [("Price", "Ticker"), ("", "")])
def test_the_three_header_rows_of_yfinance(folder, what, whose):
    first_row = f"{what},Adj Close,Adj Close,Close,Close,Volume,Volume"
    second = f"{whose},NVDA,AMD,NVDA,AMD,NVDA,AMD"
    days = "2024-01-08,2.4,,2.5,,100,\n2024-01-09,2.64,7.1,2.75,7.2,200,50\n"
    table = folder(**{"all.csv": f"{first_row}\n{second}\nDate,,,,,,\n{days}"}).read(["NVDA", "AMD"])
    assert table.frame.rows() == [
        ("AMD", TUE, 7.1, 50.0, 7.2),
        ("NVDA", MON, 2.4, 100.0, 2.5),
        ("NVDA", TUE, 2.64, 200.0, 2.75),
    ]


def test_the_bulk_file_says_whose_it_is(folder):
    source = folder(**{"deep/a.txt": BULK.format("981.HK"), "deep/b.txt": BULK.format("6920.JP"), "c.txt": PLAIN})
    assert source.read(["0981.HK", "6920.T"]).frame["close"].to_list() == [2.5, 2.75] * 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",D,20240109", ",60,20240109", "'60', so these are not daily bars"),
        ("20240109,000000", "20240109,153000", "'153000', so these are not daily bars"),
        ("981.HK,D,20240109", "982.HK,D,20240109", "rows of several symbols"),
        ("20240109", "20240139", "date '20240139'"),
    ],
)
def test_a_bulk_file_of_something_else(folder, old, new, words):
    with pytest.raises(mi.DataError, match=words):
        folder(a__txt=BULK.format("981.HK").replace(old, new)).read(["0981.HK"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_lots_of_the_mainland_become_shares(folder, encoding):
    table = folder(**{"600519.csv": CHINESE.encode(encoding), "000001.csv": CHINESE.encode(encoding)}).read(
        ["600519.SS", "000001.SZ"]
    )
    assert table.frame["volume"].to_list() == [10_000.0, 20_000.0] * 2
    said = " ".join(table.notes)
    assert "in lots, and multiplied by 100: '000001.SZ', '600519.SS'." in said
    assert "Taken as the share in Shenzhen" in said


def test_volumes_of_hong_kong_and_of_sina_are_shares(folder):
    sina = "date,open,high,low,close,volume,amount,outstanding_share,turnover\n2024-01-08,1,3,1,2.5,100,1,1,1\n"
    table = folder(**{"00981.csv": CHINESE, "600519.csv": sina}).read(["0981.HK", "600519.SS"])
    assert table.frame["volume"].to_list() == [100.0, 200.0, 100.0]


def test_six_digits_that_two_countries_share(folder):
    source = folder(**{"000660.csv": PLAIN, "000660.KS.csv": PLAIN, "NVDA.csv": PLAIN})
    with pytest.raises(mi.DataError, match=r"in China or in Korea.*000660\.KS\.csv"):
        source.read(["000660.KS"])
    assert source.read(["NVDA"]).notes[-1].endswith("unknown: '000660.csv'.")


def test_two_files_of_one_symbol(folder):
    with pytest.raises(mi.DataError, match=r"'AAPL' is in more than one file: 'AAPL.csv', 'aapl.us.csv'"):
        folder(AAPL__csv=PLAIN, **{"aapl.us.csv": PLAIN}).read(["AAPL"])


@pytest.mark.parametrize(
    "header",
    ["Date,Close,Adj Close,Currency", "date,last", "日期,close", "symbol,date,close", "Volume", "<TICKER>,<DATE>"],
)  # fmt: skip
def test_an_unknown_header_is_shown_with_what_is_understood(folder, header):
    cells = ",".join(["1"] * len(header.split(",")))
    source = folder(NVDA__csv=f"{header}\n{cells}\n", AMD__csv=PLAIN)
    with pytest.raises(mi.DataError) as caught:
        source.read(["NVDA"])
    for word in (*header.split(","), "Yahoo", "Stooq bulk", "AkShare", "<ticker>", "日期"):
        assert word in str(caught.value)
    assert "'NVDA.csv'" in source.read(["AMD"]).notes[-1]


def test_one_file(tmp_path):
    path = tmp_path / "aapl.us.txt"
    path.write_text(PLAIN)
    table = mi.FolderPrices(path).read(["AAPL"])
    assert table.source == "FolderPrices('aapl.us.txt')"
    assert table.notes == ("There is no adjusted close: close is used as given, adjusted or not: 'AAPL'.",)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(mi.DataError, match="of no layout known here"):
        mi.FolderPrices(path).read(["MSFT"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PLAIN.replace("2.75", "n/a"), "NVDA on 2024-01-09: close 'n/a'"),
        (PLAIN.replace("2024-01-09", "09.01.2024"), "NVDA: date '09.01.2024'"),
        (PLAIN.replace("2.75", "-2.75"), "close must be above zero: 1 row"),
        (PLAIN.replace("2024-01-09", "2024-01-08"), "the key must not repeat"),
        (PLAIN.replace(",200", ""), "1 row of another length than the header"),
        (PLAIN.replace("2.75", '"2.75'), "is not CSV"),
        (PLAIN.encode("utf-16"), "not UTF-8"),
        (PLAIN.encode() + b"\0", "NUL characters"),
        ("", "the header is absent"),
        (PLAIN.replace(",", ";"), "separated by ';', not by commas"),
    ],
)
def test_a_broken_file_matters_where_it_is_requested(folder, content, words):
    source = folder(NVDA__csv=content, AMD__csv=PLAIN)
    with pytest.raises(mi.DataError, match=words):
        source.read(["NVDA", "AMD"])
    assert source.read(["AMD"]).frame.height == 2


def test_no_folder_and_nothing_in_it(tmp_path):
    with pytest.raises(mi.DataError, match="There is no folder or file"):
        mi.FolderPrices(tmp_path / "absent").read(["NVDA"])
    with pytest.raises(mi.DataError, match=r"holds no .csv or .txt file"):
        mi.FolderPrices(tmp_path).read(["NVDA"])
    for wrong in ("", None, 3, "a\0b"):
        with pytest.raises(mi.SpecificationError, match="path of a folder"):
            mi.FolderPrices(wrong)


def test_a_column_that_is_there_twice_in_other_letters_is_an_error(tmp_path):
    (tmp_path / "NVDA.csv").write_text("Date,DATE,Close,Volume\n2024-01-02,2024-01-03,48.1,100\n")
    with pytest.raises(mi.DataError, match=r"NVDA\.csv: The columns 'Date', 'DATE' are one and the same"):
        mi.FolderPrices(tmp_path).read(["NVDA"])
