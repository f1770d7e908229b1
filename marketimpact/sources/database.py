"""Read prices from a table or a query of a database, over a connection that the user opened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from marketimpact.core import limits
from marketimpact.core.chunks import chunks
from marketimpact.core.text import first_line, listed
from marketimpact.errors import DataError, SourceError, SpecificationError
from marketimpact.sources.database_drivers import (
    driver_errors,
    fetch_frame,
    is_sqlalchemy,
    placeholders,
    quote_name,
)
from marketimpact.sources.files.price_rows import (
    NUMBERS,
    adjustment_notes,
    no_symbols_error,
    parse_rows,
    require_columns,
    require_readable,
    use_adjusted_close,
)
from marketimpact.sources.protocol import PriceTable, check_range, check_symbols, price_table, within

__all__ = ["DatabasePrices"]

LISTING = ("currency", "time_zone")
KNOWN = ("symbol", "date", *NUMBERS, *LISTING)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DatabasePrices:
    """Prices from a table, of which only the requested symbols and dates are read, or from a query.

    Columns are those of `FilePrices`: `symbol`, `date`, `close` or `adj_close` or both, and perhaps
    `volume`, `unadjusted_close`, `dividend`, `split`, `currency`, `time_zone`. Where `adj_close` is given
    it is the close that returns are computed from, and `close` becomes `unadjusted_close`.

    Parameters
    ----------
    connection : object
        An open connection of a driver that follows PEP 249 (duckdb, sqlite3, psycopg, ADBC), or an engine
        or connection of SQLAlchemy. It stays open; the user closes it.
    table : str, optional
        A table or view, perhaps with its schema before a dot. Names are quoted, and symbols and dates are bound
        as parameters, so that neither can change the statement.
    query : str, optional
        A statement instead of a `table`. It is run unchanged, and all its rows are read.

    Raises
    ------
    SpecificationError
        Unless exactly one of `table` and `query` is given, and `connection` is one.

    Examples
    --------
    >>> import sqlite3
    >>> connection = sqlite3.connect(":memory:")
    >>> _ = connection.execute("create table prices (symbol text, date text, close real)")
    >>> _ = connection.execute("insert into prices values ('NVDA', '2024-01-02', 48.17)")
    >>> DatabasePrices(connection, "prices").read(["NVDA", "AMD"]).missing
    ('AMD',)
    >>> connection.close()
    """

    connection: Any
    table: str | None = None
    query: str | None = None

    def __post_init__(self) -> None:
        if (self.table is None) == (self.query is None):
            raise SpecificationError(
                "DatabasePrices reads one table or one query. Give exactly one of table= and query=."
            )
        for name, value in (("table", self.table), ("query", self.query)):
            if value is not None and (not isinstance(value, str) or not value.strip() or "\0" in value):
                raise SpecificationError(f"{name}={value!r} is not the text of a {name}. Give non-empty text.")
        if not hasattr(self.connection, "cursor") and not is_sqlalchemy(self.connection):
            type_name = type(self.connection).__name__
            raise SpecificationError(
                f"connection is of type {type_name}, which is no open connection. Give one, such as "
                "duckdb.connect(...), sqlite3.connect(...) or sqlalchemy.create_engine(...)."
            )

    def __repr__(self) -> str:
        return f"DatabasePrices({self.table!r})" if self.table else "DatabasePrices(query)"

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Read prices of `symbols` from the database.

        Parameters
        ----------
        symbols : sequence of str
            Symbols as spelt in the table.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            With `listings` where there is a currency or a time zone. Symbols without rows are in `missing`.

        Raises
        ------
        SpecificationError
            If no symbol is requested, or the bounds are not in order.
        DataError
            If the database refuses the table or query, a column is lacking, a row of a requested symbol
            breaks the contract, or a symbol has two currencies.
        SourceError
            If there is no row of the symbols on the requested dates; `retryable` where the database failed
            after it had shown the table.
        """
        requested = check_symbols(symbols)
        check_range(first, last)
        source = repr(self)
        raw = self._run_query() if self.query else self._select(requested, first, last)
        if raw.is_empty():
            raise self._no_rows_error(requested)
        rows = parse_rows(raw, source).with_columns(raw.select(name for name in LISTING if name in raw.columns))
        requested_rows = rows.filter(pl.col("symbol").is_in(requested))
        if requested_rows.is_empty():
            raise no_symbols_error(rows["symbol"].drop_nulls().to_list(), requested, source)
        chosen = within(requested_rows, first, last)
        require_readable(chosen, source)
        listings = _listings(chosen, source)
        prices = use_adjusted_close(chosen).drop("unreadable", *LISTING, strict=False)
        return price_table(
            prices, requested=requested, source=source, notes=adjustment_notes(chosen), listings=listings
        )

    def _no_rows_error(self, requested: Sequence[str]) -> SourceError:
        """Build the error for no row of the requested symbols."""
        advice = "Check their spelling." if self.table else "The query gives no row."
        message = f"{self!r} has no rows of {listed(list(requested))} on the requested dates. {advice}"
        return SourceError(message, source=repr(self), symbols=requested, retryable=False)

    def _run_query(self) -> pl.DataFrame:
        """Run the user's query."""
        try:
            return fetch_frame(self.connection, str(self.query))
        except driver_errors(self.connection) as error:
            raise DataError(f"The database refused the query: {first_line(error)}. Correct it.") from error

    def _select(self, requested: Sequence[str], first: date | None, last: date | None) -> pl.DataFrame:
        """Read the rows of the table, `limits.SYMBOLS_PER_STATEMENT` symbols at a time."""
        source = repr(self)
        table = ".".join(quote_name(self.connection, part) for part in str(self.table).split("."))
        day = quote_name(self.connection, "date")
        try:
            shown = fetch_frame(self.connection, f"SELECT * FROM {table} WHERE 1 = 0")
            require_columns(shown, source)
            earliest = fetch_frame(self.connection, f"SELECT MIN({day}) AS earliest FROM {table}")
        except driver_errors(self.connection) as error:
            raise DataError(f"{source}: the database does not show that table ({first_line(error)}).") from error
        names = [name for name in KNOWN if name in shown.columns]
        columns = ", ".join(quote_name(self.connection, name) for name in names)
        bounds = _bounds(earliest.item() if earliest.shape == (1, 1) else None, first, last)
        pieces = []
        for rows in chunks(len(requested), limits.SYMBOLS_PER_STATEMENT):
            batch = requested[rows]
            values = [*batch, *(value for _, value in bounds)]
            marks = placeholders(self.connection, len(values))
            where = [f"{quote_name(self.connection, 'symbol')} IN ({', '.join(marks[: len(batch)])})"]
            where += [f"{day} {sign} {mark}" for (sign, _), mark in zip(bounds, marks[len(batch) :], strict=True)]
            statement = f"SELECT {columns} FROM {table} WHERE {' AND '.join(where)}"
            try:
                pieces.append(fetch_frame(self.connection, statement, values))
            except driver_errors(self.connection) as error:
                message = f"{source}: the database failed ({first_line(error)})."
                raise SourceError(message, source=source, symbols=requested, retryable=True) from error
        return _united(pieces)


def _united(pieces: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate rows; a column whose type differs between pieces becomes text, as within one."""
    dtypes = {name: {piece[name].dtype for piece in pieces} - {pl.Null()} for name in pieces[0].columns}
    mixed = [name for name, found in dtypes.items() if len(found) > 1]
    return pl.concat((piece.with_columns(pl.col(mixed).cast(pl.String)) for piece in pieces), how="vertical_relaxed")


def _bounds(earliest: object, first: date | None, last: date | None) -> list[tuple[str, object]]:
    """Return operators and values that bound the date column, as ISO text or as dates.

    Text of another form cannot be compared; then all dates are read, and refused as unreadable.
    """
    if isinstance(earliest, str) and re.match(r"[12]\d{3}-\d{2}-\d{2}", earliest):
        is_text = True
    elif isinstance(earliest, date):  # includes datetime
        is_text = False
    else:
        return []
    bounds: list[tuple[str, object]] = []
    if first is not None:
        bounds.append((">=", first.isoformat() if is_text else first))
    if last is not None and last < date.max:
        after = last + timedelta(days=1)  # a timestamp at midnight of `last` counts
        bounds.append(("<", after.isoformat() if is_text else after))
    return bounds


def _listings(chosen: pl.DataFrame, source: str) -> pl.DataFrame | None:
    """Collect the currency and time zone of each symbol, where the rows have them."""
    present = [name for name in LISTING if name in chosen.columns]
    if not present:
        return None
    distinct = chosen.group_by("symbol").agg(pl.col(present).drop_nulls().unique().sort()).sort("symbol")
    for name in present:
        ambiguous = distinct.filter(pl.col(name).list.len() > 1)
        if ambiguous.height:
            symbol, values = ambiguous.select("symbol", name).row(0)
            raise DataError(
                f"{source}: {symbol!r} has more than one {name}: {listed(values)}. Keep one listing's rows."
            )
    single = [pl.col(name).list.first().cast(pl.String).alias(name) for name in present]
    empty = [pl.lit(None, pl.String).alias(name) for name in LISTING if name not in present]
    return distinct.select("symbol", *single, *empty).select("symbol", *LISTING)
