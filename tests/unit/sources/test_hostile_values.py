"""AkShare's frames and rows of databases with keys, columns and values of every type."""

import datetime as dt
import sqlite3
import sys
import uuid
from collections import namedtuple
from decimal import Decimal
from types import ModuleType

import numpy as np
import pandas as pd
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core import limits
from marketimpact.core.python_columns import python_column

MON, TUE = dt.date(2024, 1, 8), dt.date(2024, 1, 9)
FAR = dt.timezone(dt.timedelta(hours=14))
VALUES = [
    None, True, 0, -1, 1.5, float("nan"), float("inf"), 1e308, 10**400, 2**63, "", "x", "688981", "2024-01-08",
    "0000-01-01", "\ud800", "a\0b", b"x", bytearray(b"x"), memoryview(b"x"), MON, dt.date.min, dt.date.max,
    dt.datetime(2024, 1, 8), dt.datetime(2024, 1, 8, tzinfo=dt.UTC), dt.datetime(1, 1, 1, tzinfo=FAR), dt.time(5),
    dt.timedelta(1), Decimal("1.5"), Decimal("NaN"), Decimal("sNaN"), Decimal("1e999"), 1j, [1], (1,), {}, {"a": 1},
    object(), uuid.UUID(int=5), ValueError, pd.NaT, pd.NA, np.float64(1), np.int64(3), np.datetime64("NaT"),
    pd.Timestamp("2024-01-08"), pd.Period("2024-01"), pl.Series([1]), pd.Series([1]),
]  # fmt: skip
REFUSED = (mi.DataError, mi.SourceError, mi.SpecificationError)
EASTMONEY = {"日期": [MON, TUE], "开盘": [7.9, 8.0], "收盘": [8.0, 8.2], "成交量": [100, 200], "成交额": [8e4, 1.6e5]}
SINA = {"date": [MON, TUE], "open": [7.9, 8.0], "close": [8.0, 8.2], "volume": [1e4, 2e4], "amount": [8e4, 1.6e5]}


def akshare(frames, adjust="none", **options):
    return mi.AksharePrices(frames, adjust=adjust, **options).read(["688981.SS"]).frame


def refused_or_right(read):
    """Return whether a reading is refused with advice; otherwise its closes are some of the two in the fixtures."""
    try:
        frame = read()
    except REFUSED as error:
        assert str(error)
        assert type(error).__module__.startswith("marketimpact")
        return True
    assert set(frame["symbol"]) == {"688981.SS"}
    return False


def test_every_key_that_is_no_text_is_refused_with_advice():
    frame = pd.DataFrame(EASTMONEY)
    for key in VALUES:
        if not isinstance(key, str | Decimal) and key.__hash__ is not None:  # Decimal("sNaN") is no key
            with pytest.raises(mi.SpecificationError, match="is not text, so it may lack leading zeros"):
                akshare({key: frame})
    for key, advice in [(1, "'000001'"), (np.int64(600519), "'600519'"), (None, "six digits"), (1.0, "six digits")]:
        with pytest.raises(mi.SpecificationError, match=f"Give .*{advice}"):
            akshare({key: frame})
    for key in ("\ud800", "a\0b", "x"):
        with pytest.raises(mi.DataError, match="no code of six digits"):
            akshare({key: frame})


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_no_frame_is_refused(value):
    assert refused_or_right(lambda: akshare(value))
    assert refused_or_right(lambda: akshare({"688981": value}))
    assert refused_or_right(lambda: akshare({"688981": pd.DataFrame(EASTMONEY)}, value))
    assert refused_or_right(lambda: akshare({"688981": pd.DataFrame(EASTMONEY)}, volume_unit=value)) or value is None


@pytest.mark.parametrize("base", [EASTMONEY, SINA], ids=["eastmoney", "sina"])
def test_a_value_of_any_type_in_a_frame_is_refused_or_right(base):
    for value in VALUES:
        for column in [*base, "股票代码"]:
            for values in ([value, value], [value, base.get(column, ["", "688981"])[1]]):
                cells = pd.Series([None, None], dtype=object)
                cells.iloc[0], cells.iloc[1] = [value], [values[1]]
                frame = pd.DataFrame(base)
                frame[column] = pd.Series([cell[0] for cell in cells], dtype=object)
                refused_or_right(lambda frame=frame: akshare({"688981": frame}))
                refused_or_right(lambda frame=frame: akshare(frame))


FRAME = pd.DataFrame(EASTMONEY)
ROWS = pl.DataFrame(EASTMONEY)
SHAPES = {
    "empty": FRAME.head(0), "no columns": pd.DataFrame(), "columns twice": pd.concat([FRAME, FRAME], axis=1),
    "close twice": pd.concat([FRAME, FRAME[["收盘"]]], axis=1), "two levels": pd.concat({"a": FRAME}, axis=1),
    "numbered columns": pd.DataFrame(np.ones((2, 5))),
    "a column without name": FRAME.rename(columns={"收盘": None}), "a series": FRAME["收盘"], "the class": pd.DataFrame,
    "groups": FRAME.groupby("日期"), "an array": np.ones(3), "columns": EASTMONEY,
    "empty polars": ROWS.head(0), "no columns in polars": pl.DataFrame(),
    "struct": ROWS.with_columns(收盘=pl.struct("收盘")), "list": ROWS.with_columns(成交量=pl.concat_list("成交量")),
    "objects": pl.DataFrame({**EASTMONEY, "收盘": pl.Series([1, 2], dtype=pl.Object)}),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_of_another_shape_is_refused(shape):
    assert refused_or_right(lambda: akshare(SHAPES[shape]))
    assert refused_or_right(lambda: akshare({"688981": SHAPES[shape]}))


@pytest.mark.parametrize(
    "frame",
    [
        ROWS.lazy(), FRAME.set_index(["日期", "开盘"]),
        FRAME.set_index("日期"), FRAME.set_index("日期", drop=False), FRAME.convert_dtypes(),
        FRAME.astype({"收盘": "category"}), FRAME.astype({"收盘": pd.SparseDtype("float64")}),
        FRAME.assign(收盘=[Decimal("8"), Decimal("8.2")]), FRAME.assign(收盘=["8", 8.2]),
        ROWS.with_columns(pl.col("收盘").cast(pl.Decimal(20, 2))),
    ],
)  # fmt: skip
def test_a_frame_that_says_the_same_otherwise_is_read(frame):
    assert akshare({"688981": frame})["close"].to_list() == [8.0, 8.2]


# --- databases -----------------------------------------------------------------------------------------


class OddError(Exception):
    """The error of the driver below."""


DRIVER = ModuleType("odd_driver")
DRIVER.paramstyle, DRIVER.Error = "qmark", OddError
NAMES = ["symbol", "date", "close", "volume", "currency", "time_zone"]
ROW = ("NVDA", "2024-01-08", 1.5, 10, "USD", "America/New_York")


class Connection:
    """A PEP 249 connection and cursor that answers every statement with given rows."""

    def __init__(self, rows, names=NAMES, earliest=((ROW[1],),)):
        self.rows, self.names, self.earliest = rows, names, earliest

    def cursor(self):
        return self

    def execute(self, statement, values=()):
        self.asks_earliest, self.asks_columns = "MIN(" in statement, "1 = 0" in statement
        if isinstance(self.rows, OddError):
            raise self.rows

    @property
    def description(self):
        return [("earliest",)] if self.asks_earliest else [(name,) for name in self.names]

    def fetchall(self):
        return self.earliest if self.asks_earliest else [] if self.asks_columns else self.rows

    def close(self):
        pass


Connection.__module__ = "odd_driver"


@pytest.fixture(autouse=True)
def driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "odd_driver", DRIVER)


def database(*connection, first=MON, last=TUE, **names):
    for asked in ({"query": "select"}, {"table": "prices"}):
        yield lambda asked=asked: mi.DatabasePrices(Connection(*connection, **names), **asked).read(
            ["NVDA"], first, last
        )


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_of_any_type_from_a_database_is_refused_or_right(value):
    for column in range(len(ROW)):
        odd = (*ROW[:column], value, *ROW[column + 1 :])
        for rows in (
            [odd],
            [odd, ("NVDA", "2024-01-09", *ROW[2:])],
            [ROW, (*odd[:1], odd[1] if column == 1 else "2024-01-09", *odd[2:])],
        ):
            for read in database(rows):
                try:
                    assert set(read().frame["symbol"]) == {"NVDA"}
                except REFUSED as error:
                    assert str(error)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_rows_and_names_of_any_type_are_refused_or_right(value):
    readings = [
        *database(value),
        *database([value]),
        *database([ROW], earliest=value),
        *database([ROW], [*NAMES[:5], value]),
    ]
    readings += [*database([ROW], earliest=[(value,)]), *database([ROW], earliest=[])]
    for read in readings:
        try:
            assert read().frame["close"].to_list() == [1.5]
        except REFUSED as error:
            assert str(error)


@pytest.mark.parametrize(
    "row", [dict(zip(NAMES, ROW, strict=True)), list(ROW), namedtuple("Row", NAMES)(*ROW), np.array(ROW, dtype=object)]
)
def test_rows_of_every_usual_kind_are_read(row):
    for read in database([row]):
        assert read().frame.row(0) == ("NVDA", MON, 1.5, 10.0)


def test_columns_of_one_name_are_refused_with_advice():
    for read in database([ROW], ["symbol", "date", "close", "close", "currency", "time_zone"]):
        with pytest.raises(mi.DataError, match=r"columns more than once: 'close'. Select each once"):
            read()


def test_the_error_of_a_driver_is_an_error_with_advice():
    for read in database(OddError("no such table")):
        with pytest.raises(mi.DataError, match="no such table"):
            read()


def test_batches_of_other_types_are_united_as_one_would_be(monkeypatch):
    rows = [
        ("AMD", "2024-01-08", 1.5),
        ("MU", "2024-01-08", "2.5"),
        ("NVDA", "2024-01-08", "n/a"),
        ("TSM", "2024-01-08", 3),
    ]
    connection = sqlite3.connect(":memory:")
    connection.execute("create table prices (symbol, date, close)")
    connection.executemany("insert into prices values (?, ?, ?)", rows)
    for size in (1, 2, 500):
        monkeypatch.setattr(limits, "SYMBOLS_PER_STATEMENT", size)
        source = mi.DatabasePrices(connection, "prices")
        assert source.read(["AMD", "MU", "TSM"]).frame["close"].to_list() == [1.5, 2.5, 3.0]
        with pytest.raises(mi.DataError, match="NVDA on 2024-01-08: close 'n/a'"):
            source.read(["AMD", "MU", "NVDA", "TSM"])
    connection.close()


def test_text_that_is_not_unicode_is_no_crash():
    connection = sqlite3.connect(":memory:")
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    connection.execute("create table prices (symbol text, date text, close real)")
    connection.execute(
        "insert into prices values (cast(x'ff41' as text), '2024-01-08', 1.5), ('NVDA', '2024-01-08', 2.5)"
    )
    assert mi.DatabasePrices(connection, query="select * from prices").read(["NVDA"]).frame["close"].to_list() == [2.5]
    connection.close()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, Decimal("3.5"), None, np.int64(4)], pl.Series([1.0, 2.5, 3.5, None, 4.0])),
        ([1, 10**400], pl.Series(["1", str(10**400)])),
        ([MON, None], pl.Series([MON, None])),
        ([MON, "2024-01-09"], pl.Series(["2024-01-08", "2024-01-09"])),
        ([True, 1], pl.Series(["True", "1"])),
        ([True, None], pl.Series([True, None])),
        ([dt.datetime(1, 1, 1, tzinfo=FAR)], pl.Series(["0001-01-01 00:00:00+14:00"])),
        ([None, None], pl.Series([None, None], dtype=pl.Null)),
        ([], pl.Series([], dtype=pl.Null)),
    ],
)
def test_a_column_has_the_type_that_holds_its_values(values, expected):
    assert python_column("", values).equals(expected, check_dtypes=True)
