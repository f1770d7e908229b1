"""AkShare's frames: codes, adjustment, lots."""

from __future__ import annotations

from datetime import date

import pandas as pd
import polars as pl
import pytest

import marketimpact as mi

MON, TUE = date(2024, 1, 8), date(2024, 1, 9)


def eastmoney(**columns):
    base = {
        "日期": [MON, TUE],
        "开盘": [7.9, 8.0],
        "收盘": [8.0, 8.2],
        "成交量": [100, 200],
        "成交额": [80_000.0, 164_000.0],
    }
    return pd.DataFrame(base | columns)


def sina(**columns):
    base = {"date": [MON, TUE], "open": [7.9, 8.0], "close": [8.0, 8.2], "volume": [10_000.0, 20_000.0],
            "amount": [80_000.0, 164_000.0], "outstanding_share": [1e9] * 2, "turnover": [0.1] * 2}  # fmt: skip
    return pd.DataFrame(base | columns)


def read(frames, symbols=("688981.SS",), **options):
    return mi.AksharePrices(frames, **{"adjust": "qfq", **options}).read(list(symbols))


@pytest.mark.parametrize("make", [eastmoney, sina])
def test_both_layouts_give_shares(make):
    table = read({"688981": make(), "sz300750": make()}, ["688981.SS", "300750.SZ"])
    assert table.frame.select("symbol", "date", "close", "volume").rows() == [
        ("300750.SZ", MON, 8.0, 10_000.0),
        ("300750.SZ", TUE, 8.2, 20_000.0),
        ("688981.SS", MON, 8.0, 10_000.0),
        ("688981.SS", TUE, 8.2, 20_000.0),
    ]
    assert table.source == "AksharePrices(2 frames, adjust='qfq')"
    assert ("Volume is taken to be in lots, and multiplied by 100." in table.notes) == (make is eastmoney)
    assert table.listings.row(0) == ("300750.SZ", "CNY", "Asia/Shanghai")


def test_one_frame_with_codes_in_polars_or_pandas():
    frame = pd.concat([eastmoney(股票代码="688981"), eastmoney(股票代码="300750")])
    once = read(frame, ["688981.SS", "300750.SZ"])
    columns = {name: frame[name].to_list() for name in frame.columns}
    assert read(pl.DataFrame(columns), ["688981.SS", "300750.SZ"]).fingerprint == once.fingerprint
    assert once.frame.height == 4


def test_dates_of_every_kind_pandas_has():
    wanted = read({"688981": eastmoney()}).fingerprint
    for dates in ([str(MON), str(TUE)], [pd.Timestamp(MON), pd.Timestamp(TUE)], ["20240108", "20240109"]):
        assert read({"688981": eastmoney(日期=dates)}).fingerprint == wanted
    assert read({"688981": eastmoney().set_index("日期")}).fingerprint == wanted


def test_the_frames_are_copied():
    frame = eastmoney()
    source = mi.AksharePrices({"688981": frame}, adjust="qfq")
    before = source.read(["688981.SS"]).fingerprint
    frame["收盘"] = 1.0
    assert source.read(["688981.SS"]).fingerprint == before


def test_the_adjustment_is_stated_and_travels():
    with pytest.raises(TypeError, match="adjust"):
        mi.AksharePrices({"688981": eastmoney()})
    for wrong in ("", None, "forward"):
        with pytest.raises(mi.SpecificationError, match="is not an adjustment"):
            read({"688981": eastmoney()}, adjust=wrong)
    none = read({"688981": eastmoney()}, adjust="none")
    assert none.frame["unadjusted_close"].to_list() == none.frame["close"].to_list() == [8.0, 8.2]
    assert none.notes[0].startswith("Not adjusted: ")
    back = read({"688981": eastmoney()}, adjust="hfq")
    assert "adjust='hfq'" in back.source
    assert back.notes[0].startswith("Backward-adjusted (hfq)")
    assert any(note.startswith("Eastmoney adjusts by adding and subtracting") for note in back.notes)


def test_turnover_shows_a_wrong_unit():
    with pytest.raises(mi.DataError, match=r"about 100, so volumes are not in units of 1 shares"):
        read({"688981": eastmoney()}, adjust="none", volume_unit="shares")
    with pytest.raises(mi.DataError, match=r"about 1, so volumes are not in units of 100 shares"):
        read({"688981": sina()}, adjust="none", volume_unit="lots")
    assert read({"688981": eastmoney()}, volume_unit="shares").frame["volume"].to_list() == [100.0, 200.0]
    with pytest.raises(mi.SpecificationError, match="volume_unit='hands'"):
        read({"688981": eastmoney()}, volume_unit="hands")


def test_a_share_is_distinguished_from_the_index_of_its_number():
    table = read({"000001": eastmoney(), "sh000001": eastmoney()}, ["000001.SZ", "000001.SS"])
    assert table.frame.height == 4
    assert "Taken as shares in Shenzhen, not as indices of Shanghai (sh000...): '000001'." in table.notes


@pytest.mark.parametrize(
    ("frames", "error", "words"),
    [
        ({1: eastmoney()}, mi.SpecificationError, "code 1 is not text, so it may lack leading zeros. Give '000001'"),
        ({"1": eastmoney()}, mi.DataError, "'1' is no code of six digits"),
        (eastmoney(股票代码=1), mi.DataError, "numbers lose leading zeros"),
        (eastmoney(股票代码=["688981", "1"]), mi.DataError, "'1' is no code"),
        (eastmoney(股票代码=["688981", None]), mi.DataError, "None is no code"),
        (eastmoney(), mi.DataError, "has no column of codes"),
        ({"688981": eastmoney(股票代码="688012")}, mi.DataError, "rows of other codes: '688012'"),
        ({"688981": eastmoney().rename(columns={"收盘": "价格"})}, mi.DataError, "'价格'.*of no layout"),
        ({"688981": eastmoney(收盘=["8", "x"])}, mi.DataError, "688981.SS on 2024-01-09: close 'x'"),
        ({"688981": eastmoney(收盘=[8.0, -0.05])}, mi.DataError, "1 closes at or below zero.*subtracts dividends"),
        ({"688981": eastmoney(日期=[MON, MON])}, mi.DataError, "the key must not repeat"),
        ({}, mi.SpecificationError, "frames is empty"),
        ({"688981": [1, 2]}, mi.SpecificationError, "of '688981': .* not list"),
        ("688981.csv", mi.SpecificationError, "not str"),
    ],
)  # fmt: skip
def test_what_is_refused(frames, error, words):
    with pytest.raises(error, match=words):
        read(frames)


def test_shares_of_class_b_are_quoted_in_dollars():
    table = read({"900901": eastmoney(), "200002": eastmoney()}, ["900901.SS", "200002.SZ"])
    assert table.listings.rows() == [("200002.SZ", "HKD", "Asia/Shanghai"), ("900901.SS", "USD", "Asia/Shanghai")]
