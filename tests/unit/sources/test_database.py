"""Prices from tables and queries of databases: statements, types and failures."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime

import duckdb
import pytest
import sqlalchemy

import marketimpact as mi

MON, TUE, WED = date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10)
ROWS = [(s, d, c) for s, c in (("NVDA", 50.0), ("AMD", 100.0)) for d in (MON, TUE, WED)]


@pytest.fixture
def duck():
    with duckdb.connect() as connection:
        connection.execute("create table prices (symbol varchar, date date, close double)")
        connection.executemany("insert into prices values (?, ?, ?)", ROWS)
        yield connection


@pytest.fixture
def lite():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table prices (symbol text, date text, close real)")
    connection.executemany("insert into prices values (?, ?, ?)", [(s, str(d), c) for s, d, c in ROWS])
    yield connection
    connection.close()


def test_only_what_is_wanted_is_read_and_values_are_bound(lite):
    seen = []
    lite.set_trace_callback(seen.append)
    hostile = "NVDA'; DROP TABLE prices; --"
    table = mi.DatabasePrices(lite, "prices").read(["NVDA", hostile], TUE, TUE)
    assert table.frame.select("symbol", "date").rows() == [("NVDA", TUE)]
    assert table.missing == (hostile,)
    assert seen[-1] == (
        'SELECT "symbol", "date", "close" FROM "prices" WHERE "symbol" IN '
        "('NVDA', 'NVDA''; DROP TABLE prices; --') AND \"date\" >= '2024-01-09' AND \"date\" < '2024-01-10'"
    )
    assert lite.execute("select count(*) from prices").fetchone() == (6,)


@pytest.mark.parametrize("name", ['odd "name"', "prices; drop table prices", "select", "a b", "größe"])
def test_a_table_of_any_name(lite, name):
    quoted = name.replace('"', '""')
    lite.execute(f'create table "{quoted}" as select * from prices')
    assert mi.DatabasePrices(lite, name).read(["NVDA", "AMD"]).frame.height == 6
    with pytest.raises(mi.DataError, match="does not show that table"):
        mi.DatabasePrices(lite, f"{name}x").read(["NVDA"])


def test_a_schema_before_a_dot(duck):
    assert mi.DatabasePrices(duck, "main.prices").read(["NVDA"]).frame.height == 3


def test_more_symbols_than_a_statement_takes(lite):
    names = [f"S{n}" for n in range(1201)]
    lite.executemany("insert into prices values (?, '2024-01-08', 1)", [(n,) for n in names])
    table = mi.DatabasePrices(lite, "prices").read(["ABSENT", *names, "NVDA"])
    assert (table.frame.height, table.missing) == (1204, ("ABSENT",))


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_dates_of_every_type(duck, kind):
    duck.execute("set timezone = 'UTC'")
    duck.execute(f"create table typed as select symbol, date::{kind} as date, close from prices")
    table = mi.DatabasePrices(duck, "typed").read(["NVDA", "AMD"], TUE, WED)
    assert table.frame["date"].to_list() == [TUE, WED] * 2


def test_a_time_of_day_is_refused(duck):
    duck.execute("create table late as select symbol, date + interval 16 hour as date, close from prices")
    with pytest.raises(mi.DataError, match=r"3 rows with a value .* date '2024-01-08 16:00"):
        mi.DatabasePrices(duck, "late").read(["NVDA"], MON, WED)


def test_dates_of_another_form_are_refused_rather_than_compared(lite):
    lite.execute("update prices set date = '08.01.2024' where symbol = 'NVDA'")
    with pytest.raises(mi.DataError, match=r"date '08\.01\.2024'"):
        mi.DatabasePrices(lite, "prices").read(["NVDA"], date(2024, 1, 1), WED)


def test_a_number_column_with_one_text_in_it(lite):
    lite.execute("update prices set close = 'n/a' where symbol = 'NVDA' and date = '2024-01-10'")
    with pytest.raises(mi.DataError, match=r"1 row with a value .* NVDA on 2024-01-10: close 'n/a'"):
        mi.DatabasePrices(lite, "prices").read(["NVDA", "AMD"])
    assert mi.DatabasePrices(lite, "prices").read(["AMD"]).frame["close"].to_list() == [100.0] * 3


def test_what_else_a_table_says(duck):
    duck.execute(
        "create table full_ as select symbol, date, close, close * 0.9 as adj_close, 0.25 as dividend, 0.0 as split, "
        "10::decimal(10, 2) as volume, 'USD' as currency, 7 as other from prices"
    )
    table = mi.DatabasePrices(duck, "full_").read(["NVDA", "AMD"])
    assert table.frame.row(0) == ("AMD", MON, 90.0, 10.0, 100.0, 0.25, None)
    assert table.frame.columns[4:] == ["unadjusted_close", "dividend", "split"]
    assert table.listings.rows() == [("AMD", "USD", None), ("NVDA", "USD", None)]
    duck.execute("update full_ set currency = 'HKD' where symbol = 'AMD' and date = '2024-01-08'")
    with pytest.raises(mi.DataError, match="'AMD' has more than one currency: 'HKD', 'USD'"):
        mi.DatabasePrices(duck, "full_").read(["AMD"])


def test_a_query_is_the_users_own(duck, lite):
    source = mi.DatabasePrices(duck, query="select ticker as symbol, day as date, px as close from t where px % 2 = 0")
    duck.execute("create table t as select symbol as ticker, date as day, close as px from prices")
    table = source.read(["NVDA"], TUE)
    assert table.frame.height == 2
    assert table.source == "DatabasePrices(query)"
    with pytest.raises(mi.DataError, match="refused the query"):
        mi.DatabasePrices(lite, query="selec").read(["NVDA"])
    with pytest.raises(mi.SourceError, match=r"none of the requested symbols: 'AMDD'.*mean 'AMD'"):
        source.read(["AMDD"])


@pytest.mark.parametrize("columns", ["symbol, close", "date, close", "symbol, date"])
def test_a_column_too_few(duck, columns):
    duck.execute(f"create table few as select {columns} from prices")
    with pytest.raises(mi.DataError, match=r"lacks .*; it has 'symbol'|lacks symbol; it has 'date', 'close'"):
        mi.DatabasePrices(duck, "few").read(["NVDA"])


def test_sqlalchemy_connections_and_failures(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'p.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("create table prices (symbol text, date date, close real)")
        connection.exec_driver_sql("insert into prices values ('NVDA', '2024-01-08', 50)")
        connection.exec_driver_sql("insert into prices values ('NVDA', '2024-01-09', 51)")
        assert mi.DatabasePrices(connection, "prices").read(["NVDA"]).frame.height == 2
    with pytest.raises(mi.DataError, match="no such table: absent"):
        mi.DatabasePrices(engine, "absent").read(["NVDA"])
    engine.dispose()


def test_a_failure_after_the_table_was_shown_may_pass(lite):
    class Flaky:
        """The connection, failing from the third statement on."""

        calls = 0

        def cursor(self):
            Flaky.calls += 1
            if Flaky.calls > 2:
                raise sqlite3.OperationalError("database is locked")
            return lite.cursor()

    Flaky.__module__ = "sqlite3"
    with pytest.raises(mi.SourceError, match="database is locked") as caught:
        mi.DatabasePrices(Flaky(), "prices").read(["NVDA"])
    assert caught.value.retryable is True
    assert caught.value.symbols == ("NVDA",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Give exactly one of table= and query="),
        ({"table": "a", "query": "b"}, "Give exactly one of table= and query="),
        ({"table": " "}, "table=' '"),
        ({"table": "a\0b"}, "is not the text of a table"),
        ({"query": 3}, "query=3"),
    ],
)
def test_a_source_that_cannot_be(lite, options, words):
    with pytest.raises(mi.SpecificationError, match=words):
        mi.DatabasePrices(lite, **options)


def test_no_connection():
    with pytest.raises(mi.SpecificationError, match="of type str, which is no open connection"):
        mi.DatabasePrices("sqlite:///prices.db", "prices")


def test_the_bounds_of_a_timestamp_include_its_midnight(duck):
    duck.execute("create table stamps (symbol varchar, date timestamp, close double)")
    duck.execute(
        "insert into stamps values ('NVDA', ?, 1), ('NVDA', ?, 2)", [datetime(2024, 1, 8), datetime(2024, 1, 9)]
    )
    assert mi.DatabasePrices(duck, "stamps").read(["NVDA"], MON, MON).frame["close"].to_list() == [1.0]
    assert mi.DatabasePrices(duck, "stamps").read(["NVDA"], None, date.max).frame.height == 2
