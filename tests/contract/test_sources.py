"""The contract of price sources, checked for each: one entry in `SOURCES` per source."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import polars as pl
import pytest
import sqlalchemy
import yfinance
from yfinance import base, cache
from yfinance.data import SingletonMeta

import marketimpact as mi
from marketimpact.core.fingerprint import fingerprint
from marketimpact.core.resources import resource
from marketimpact.sources.protocol import BARS, PriceTable
from tests.contract import vendors
from tests.contract.vendors import DISTANCES
from tests.peer.yahoo import Listing, YahooPeer, requests_session

COLUMNS = ["symbol", "date", "close", "volume"]
DAYS = [date(2024, 1, day) for day in (8, 9, 10, 11)]
A, B = "300750.SZ", "688981.SS"


def invented() -> pl.DataFrame:
    """Two symbols on the same four dates; a day without a close, a day without a volume."""
    return pl.DataFrame(
        {
            "symbol": [A] * 4 + [B] * 4,
            "date": DAYS * 2,
            "close": [152.33, 151.2, None, 155.875, 48.1, 47.95, 48.3, 49.005],
            "volume": [120_000.0, 98_700.0, 0.0, 101_000.0, 5_000.0, None, 7_300.0, 6_100.0],
        }
    )


def simulated() -> pl.DataFrame:
    with resource("data", "sample", "prices.parquet").open("rb") as file:
        prices = pl.read_parquet(file)
    return prices.filter(pl.col("symbol").is_in(["NVDA", "0981.HK"])).select(COLUMNS).sort("symbol", "date")


@dataclass(frozen=True)
class Entry:
    """A source over given facts, in a folder that it may write to.

    Parameters
    ----------
    make
        The source that holds `facts`; what it yields after is closed at the end of the test.
    facts
        Rows the source is to hold; a source with rows of its own states them.
    fixed
        Whether the source has rows of its own, so that their order cannot be changed.
    """

    name: str
    make: Callable[[Path, pl.DataFrame], Any]
    facts: Callable[[], pl.DataFrame] = invented
    fixed: bool = False


def csv_file(folder: Path, facts: pl.DataFrame) -> mi.FilePrices:
    facts.write_csv(folder / "prices.csv")
    return mi.FilePrices(folder / "prices.csv")


def parquet_file(folder: Path, facts: pl.DataFrame) -> mi.FilePrices:
    facts.write_parquet(folder / "prices.parquet")
    return mi.FilePrices(folder / "prices.parquet")


def in_duckdb(_: Path, facts: pl.DataFrame) -> Iterator[mi.DatabasePrices]:
    with duckdb.connect() as connection:
        further = "".join(f", {name} double" for name in facts.columns[4:])
        connection.execute(f"create table prices (symbol varchar, date date, close double, volume double{further})")
        connection.executemany(f"insert into prices values ({', '.join('?' * facts.width)})", facts.rows())
        yield mi.DatabasePrices(connection, "prices")


def in_sqlite(folder: Path, facts: pl.DataFrame) -> Iterator[mi.DatabasePrices]:
    connection = sqlite3.connect(folder / "prices.db")
    further = "".join(f", {name} real" for name in facts.columns[4:])
    connection.execute(f"create table prices (symbol text, date text, close real, volume real{further})")
    rows = facts.with_columns(pl.col("date").cast(pl.String)).rows()
    connection.executemany(f"insert into prices values ({', '.join('?' * facts.width)})", rows)
    yield mi.DatabasePrices(connection, "prices")
    connection.close()


def in_sqlalchemy(folder: Path, facts: pl.DataFrame) -> Iterator[mi.DatabasePrices]:
    for source in in_sqlite(folder, facts):
        source.connection.commit()
        engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'prices.db'}")
        yield mi.DatabasePrices(engine, "prices")
        engine.dispose()


def queried(folder: Path, facts: pl.DataFrame) -> Iterator[mi.DatabasePrices]:
    for source in in_sqlite(folder, facts):
        yield mi.DatabasePrices(source.connection, query="select * from prices where close is null or close < 1e9")


def folder_of(layout: Callable[[Path, pl.DataFrame], Path]) -> Callable[[Path, pl.DataFrame], mi.FolderPrices]:
    return lambda folder, facts: mi.FolderPrices(layout(folder / "files", facts))


def stored(folder: Path, facts: pl.DataFrame) -> mi.StoredPrices:
    return mi.StoredPrices(mi.FilePrices(facts), mi.PriceStore(folder / "store"))


def with_volumes() -> pl.DataFrame:
    """The same rows as yfinance gives them: an unknown volume is 0, a day without a close has none."""
    return invented().with_columns(pl.when(pl.col("close").is_not_null()).then(pl.col("volume").fill_null(0.0)))


def from_yahoo(folder: Path, facts: pl.DataFrame) -> Iterator[mi.YahooPrices]:
    """The unmodified yfinance against a server on loopback, its state of the process set aside."""
    listings = {
        symbol: Listing(
            "Asia/Shanghai", "CNY", part.select("date", "close", pl.col("close").alias("adj"), "volume").rows()
        )
        for (symbol,), part in facts.sort("date").group_by("symbol")
    }
    with (
        YahooPeer(listings).running() as server,
        patch.object(SingletonMeta, "_instances", {}),
        patch.object(cache._TzCacheManager, "_tz_cache", None),
        patch.object(cache._CookieCacheManager, "_Cookie_cache", None),
        patch.object(base, "_tz_info_fetch_ctr", 5),
    ):
        yfinance.set_tz_cache_location(str(folder))
        yield mi.YahooPrices(start="2023-01-01", session=requests_session(server.port), tries=1, pause=0)


def stored_from_yahoo(folder: Path, facts: pl.DataFrame) -> Iterator[mi.StoredPrices]:
    for source in from_yahoo(folder, facts):
        yield mi.StoredPrices(source, mi.PriceStore(folder / "store"))


#: Add a source here.
SOURCES = [
    Entry("FilePrices, CSV", csv_file),
    Entry("FilePrices, Parquet", parquet_file),
    Entry("FilePrices, frame", lambda _, facts: mi.FilePrices(facts)),
    Entry("FolderPrices, Yahoo", folder_of(vendors.yahoo)),
    Entry("FolderPrices, yfinance", folder_of(vendors.yfinance)),
    Entry("FolderPrices, Stooq", folder_of(vendors.stooq)),
    Entry("FolderPrices, Stooq bulk", folder_of(vendors.stooq_bulk)),
    Entry("FolderPrices, Eastmoney", folder_of(vendors.eastmoney)),
    Entry("FolderPrices, Sina", folder_of(vendors.sina)),
    Entry("AksharePrices", lambda _, facts: mi.AksharePrices(vendors.akshare_frames(facts), adjust="qfq")),
    Entry("DatabasePrices, duckdb", in_duckdb),
    Entry("DatabasePrices, sqlite", in_sqlite),
    Entry("DatabasePrices, SQLAlchemy", in_sqlalchemy),
    Entry("DatabasePrices, query", queried),
    Entry("StoredPrices", stored),
    Entry("YahooPrices, a peer", from_yahoo, with_volumes, fixed=True),
    Entry("StoredPrices over YahooPrices, a peer", stored_from_yahoo, with_volumes, fixed=True),
    Entry("SamplePrices", lambda *_: mi.SamplePrices(), simulated, fixed=True),
]


@pytest.fixture(params=SOURCES, ids=lambda entry: entry.name)
def entry(request) -> Entry:
    return request.param


@pytest.fixture
def made(entry, tmp_path) -> Iterator[Callable[[pl.DataFrame], Any]]:
    """Make the source of an entry, as often as a test likes."""
    open_ones = []

    def make(facts: pl.DataFrame) -> Any:
        folder = tmp_path / f"home{len(open_ones)}"
        folder.mkdir()
        source = entry.make(folder, facts)
        if isinstance(source, Iterator):
            open_ones.append(source)
            return next(source)
        open_ones.append(iter(()))
        return source

    yield make
    for each in open_ones:
        assert next(each, None) is None


@pytest.fixture
def facts(entry) -> pl.DataFrame:
    return entry.facts()


@pytest.fixture
def source(made, facts) -> Any:
    return made(facts)


@pytest.fixture
def symbols(facts) -> list[str]:
    return facts["symbol"].unique().sort().to_list()


def core(table: PriceTable) -> pl.DataFrame:
    """What every source has; some add unadjusted closes, dividends and splits."""
    return table.frame.select(COLUMNS)


# --- rows


def test_the_same_facts_give_the_same_rows(source, facts, symbols):
    table = source.read(symbols)
    assert core(table).rows() == facts.sort("symbol", "date").rows()
    assert fingerprint(core(table)) == fingerprint(facts)


def test_the_frame_is_as_the_protocol_says(source, symbols):
    frame = source.read(symbols).frame
    wanted = {"symbol": pl.String, "date": pl.Date, "close": pl.Float64, "volume": pl.Float64}
    assert dict(list(frame.schema.items())[:4]) == wanted
    assert set(frame.columns) - set(wanted) <= {"unadjusted_close", "dividend", "split", *BARS}
    assert frame.equals(frame.sort("symbol", "date"))
    assert not frame.select("symbol", "date").is_duplicated().any()
    assert (frame["close"].drop_nulls() > 0).all()


def test_opens_highs_and_lows_are_on_the_basis_of_the_unadjusted_close(entry, made, facts, symbols):
    if entry.name == "SamplePrices":
        pytest.skip("The sample has rows of its own; tests/unit/sources/test_simulation.py checks its opens.")
    given = facts.with_columns((pl.col("close") + distance).alias(name) for name, distance in DISTANCES.items())
    frame = made(given).read(symbols).frame
    has_unadjusted = "unadjusted_close" in frame.columns and frame["unadjusted_close"].count() > 0
    basis = frame["unadjusted_close" if has_unadjusted else "close"]
    assert basis.count() == facts["close"].count()
    for name, distance in DISTANCES.items():
        assert frame[name].dtype == pl.Float64
        assert frame[name].to_list() == (basis + distance).to_list()


def test_the_order_of_rows_and_symbols_changes_nothing(entry, made, facts, symbols):
    table = made(facts).read(symbols)
    other = facts if entry.fixed else facts.sample(fraction=1.0, shuffle=True, seed=3)
    assert made(other).read(symbols[::-1]).fingerprint == table.fingerprint
    assert table.fingerprint == fingerprint(table.frame)


def test_reading_twice_gives_the_same(source, symbols):
    first, second = source.read(symbols), source.read(symbols)
    assert first.fingerprint == second.fingerprint
    assert first.frame.equals(second.frame)
    assert (first.notes, first.source, first.missing) == (second.notes, second.source, second.missing)


def test_a_symbol_requested_twice_is_read_once(source, symbols):
    once, twice = source.read(symbols), source.read([*symbols, *symbols])
    assert twice.fingerprint == once.fingerprint
    assert source.read(["ABSENT", symbols[0], "ABSENT"]).missing == ("ABSENT",)


def test_only_requested_rows_are_read(source, facts, symbols):
    table = source.read(symbols[:1])
    assert core(table).rows() == facts.filter(pl.col("symbol") == symbols[0]).sort("date").rows()


# --- bounds


def test_bounds_are_included(source, facts, symbols):
    days = facts["date"].unique().sort()
    first, last = days[1], days[2]
    wanted = facts.filter(pl.col("date").is_between(first, last)).sort("symbol", "date")
    assert core(source.read(symbols, first, last)).rows() == wanted.rows()
    assert core(source.read(symbols, first)).height == facts.filter(pl.col("date") >= first).height
    assert core(source.read(symbols, None, last)).height == facts.filter(pl.col("date") <= last).height
    assert set(source.read(symbols, last, last).frame["date"]) == {last}
    assert core(source.read(symbols, date.min, date.max)).height == facts.height


# --- what is not there


def test_missing_symbols_are_listed_in_the_order_requested(source, symbols):
    table = source.read(["ZZZ", *symbols, "AAA"])
    assert table.missing == ("ZZZ", "AAA")
    assert set(table.frame["symbol"]) == set(symbols)


@pytest.mark.parametrize("case", ["unknown symbols", "other dates"])
def test_nothing_at_all_is_a_source_error(source, symbols, case):
    asked = ["ZZZ", "AAA", "ZZZ"] if case == "unknown symbols" else symbols
    first = None if case == "unknown symbols" else date(2090, 1, 1)
    with pytest.raises(mi.SourceError) as caught:
        source.read(asked, first)
    assert caught.value.symbols == tuple(dict.fromkeys(asked))
    assert caught.value.retryable is False
    assert caught.value.source
    assert asked[0] in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (([],), "symbols is empty"),
        (("NVDA",), "letter by letter"),
        ((["NVDA", ""],), "'' is not a symbol"),
        (([None],), "None is not a symbol"),
        ((["NVDA"], "2024-01-08"), "first='2024-01-08' is not a date"),
        ((["NVDA"], None, datetime(2024, 1, 8)), "last=datetime"),
        ((["NVDA"], DAYS[1], DAYS[0]), "lies after"),
    ],
)
def test_a_question_that_cannot_be_is_refused(source, asked, words):
    with pytest.raises(mi.SpecificationError, match=words):
        source.read(*asked)


HOSTILE = ["NVDA'; DROP TABLE prices; --", '"', "%", "../etc/passwd", "\0", "💥", "a,b", "*"]


def test_hostile_symbols_are_missing_or_refused_and_harm_nothing(source, facts, symbols):
    try:
        assert source.read([*HOSTILE, *symbols]).missing == tuple(HOSTILE)
    except mi.SpecificationError as error:  # of a source that knows how its symbols are spelt
        assert repr(HOSTILE[0]) in str(error)
    assert core(source.read(symbols)).height == facts.height


# --- what is said


def test_no_path_of_the_machine_is_said(source, symbols, tmp_path):
    table = source.read([*symbols, "ABSENT"])
    said = [repr(source), table.source, *table.notes]
    assert table.source
    for text in said:
        assert str(tmp_path) not in text
        assert "/" not in text.replace("://", "").replace(" / ", "")


def test_the_market_loads(source, facts, symbols):
    """Returns of the first security, on its exchange's sessions."""
    mic = "XSHE" if symbols[0] == A else "XHKG"
    firms = pl.DataFrame({"symbol": symbols[:1], "mic": [mic], "benchmark": symbols[1:]})
    market = mi.Market.load(firms, source, last=facts["date"].min() + timedelta(days=3))
    closes = dict(facts.filter(pl.col("symbol") == symbols[0]).select("date", "close").iter_rows())
    found = market.panel.drop_nulls("ret").select("date", "ret").rows()
    before = {day: max(d for d in closes if d < day) for day, _ in found}
    assert len(found) >= 1
    assert [ret for _, ret in found] == pytest.approx([closes[d] / closes[before[d]] - 1 for d, _ in found], abs=1e-15)


def test_sources_and_tables_are_frozen(source, symbols):
    for each in fields(source):
        with pytest.raises(AttributeError):
            setattr(source, each.name, None)
    with pytest.raises(AttributeError):
        source.read(symbols).source = "elsewhere"
