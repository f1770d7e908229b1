"""Read prices from a Parquet, CSV or Excel file, or from a frame in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import FrameLike, is_frame, to_polars
from marketimpact.core.layouts import PRICES
from marketimpact.core.symbol_rows import sort_rows
from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources.files.file_columns import USED, lacking_columns, lacking_error
from marketimpact.sources.files.file_rows import (
    add_further_columns,
    basis_notes,
    check_types,
    open_notes,
    parse_prices,
    rows_in_doubt,
)
from marketimpact.sources.files.opened_file import readable, scan_file
from marketimpact.sources.files.price_rows import is_true, n_rows_text, no_symbols_error, require_readable
from marketimpact.sources.protocol import (
    BARS,
    COLUMNS,
    EXTRA_COLUMNS,
    PriceTable,
    absent_symbols,
    check_range,
    check_symbols,
    checked_rows,
    within,
)

__all__ = ["FilePrices"]

#: Column that marks simulated prices, so that no report of them passes for real.
MARKER = "simulated"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FilePrices:
    """Long prices from a file or a frame: one row per symbol and date.

    Parameters
    ----------
    prices : str, pathlib.Path or FrameLike
        A `.parquet`, `.csv` or `.xlsx` file, or a frame (polars, pandas, pyarrow), with the columns `symbol`,
        `date` (ISO in a CSV), `close` or `adj_close` or both, and perhaps `volume`, and `open`, `high` and `low` on
        the basis of `close`; other columns are ignored. Where `adj_close` is given it is used, and `close` where
        `adj_close` is empty, with a note of the count. Of a
        symbol without any, `Market.load` makes total returns of `close` and the columns `dividend` (per share, on
        the ex-date) and `split` (new shares for one), unless it has an `unadjusted_close` beside it. With
        a column `delisted` true a symbol's last close may be 0, a total loss. With a column `simulated` true
        the prices are marked as simulated in everything that is made of them, as are those of the embedded sample.
        Of pandas also a matrix of closes, dates as index and symbols as columns, and what `yfinance.download` gives.
    drop_repeats : bool, default False
        Whether exact repeats of a row are dropped, rather than refused.
    delisted : collection of str
        Symbols whose last close may be 0; `Market.load` adds those of its securities.

    Examples
    --------
    >>> from datetime import date
    >>> frame = pl.DataFrame({"symbol": ["NVDA"], "date": [date(2024, 1, 2)], "close": [48.17]})
    >>> FilePrices(frame).read(["NVDA", "AMD"]).missing
    ('AMD',)
    """

    prices: str | Path | FrameLike
    drop_repeats: bool = False
    delisted: Collection[str] = ()

    def __post_init__(self) -> None:
        prices: object = self.prices
        if isinstance(prices, str | Path):
            return
        if not is_frame(prices):
            raise SpecificationError(f"FilePrices takes a path or a frame, not {type(prices).__name__}.")
        object.__setattr__(self, "prices", to_polars(prices, "prices", PRICES))

    def __repr__(self) -> str:
        if isinstance(self.prices, str | Path):
            return f"FilePrices({Path(self.prices).name!r})"
        return "FilePrices(frame)"

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Read prices of `symbols` from the file.

        Only rows of the requested symbols must satisfy the contract; broken rows of others are counted in a note.

        Parameters
        ----------
        symbols : sequence of str
            Symbols as spelt in the file.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            Symbols absent from the file are in `missing`.

        Raises
        ------
        SpecificationError
            If no symbol is requested, or the bounds are not in order.
        DataError
            If the file is absent, of another type, unreadable or empty, lacks a column, or has a row of a
            requested symbol that breaks the contract, such as a repeated date or a price not above zero.
        SourceError
            If none of the symbols is in the file, or none on the requested dates.
        """
        return self.read_with_rows(symbols, first, last)[0]

    def read_with_rows(
        self, symbols: Sequence[str], first: date | None = None, last: date | None = None
    ) -> tuple[PriceTable, pl.DataFrame]:
        """Read the file once, for both the table of `read` and the rows of `rows`, sorted by symbol and date."""
        requested = check_symbols(symbols)
        check_range(first, last)
        file, source = self._scan(), repr(self)
        known, raw, others = self._select(file, requested, first, last)
        if not known.intersection(requested):
            raise no_symbols_error(sorted(known), requested, source)
        prices = parse_prices(raw, source, list(self.delisted))
        require_readable(within(prices, first, last), source)
        rows = within(add_further_columns(prices, raw), first, last)
        given = {*prices.columns}
        if given & {*BARS}:
            given |= {*rows.columns} & {"unadjusted_close"}  # the basis of open, high and low
        columns = [*COLUMNS, *(name for name in EXTRA_COLUMNS if name in given)]
        unique, priced = rows, within(prices, first, last)
        if self.drop_repeats:
            unique, priced = (
                frame.unique(prices.columns, keep="first", maintain_order=True) for frame in (rows, priced)
            )
        checked = checked_rows(unique, columns, requested, source)
        notes = (
            *basis_notes(priced, file.collect_schema().names()),
            *open_notes(file.collect_schema().names()),
            *_range_notes(known.intersection(requested), checked),
            *_broken_notes(parse_prices(others, source, list(self.delisted))),
        )
        table = PriceTable(
            frame=checked.select(columns),
            source=source,
            simulated=_is_simulated(file, requested),
            missing=absent_symbols(checked, requested),
            notes=notes,
        )
        return table, sort_rows(rows) if self.drop_repeats else checked

    def _select(
        self, file: pl.LazyFrame, requested: Sequence[str], first: date | None, last: date | None
    ) -> tuple[set[str], pl.DataFrame, pl.DataFrame]:
        """Read the symbols of the file, the rows of requested ones, and rows of others that may be broken."""
        used, symbol = _used(file), pl.col("symbol").cast(pl.String)
        with readable(self.prices):
            names = used.select(symbol.unique()).collect(engine="in-memory")["symbol"]
            if set(names).issubset(requested):
                own, others = used, used.clear()
            else:
                is_requested = symbol.is_in(requested).fill_null(value=False)
                own, others = used.filter(is_requested), rows_in_doubt(used.filter(~is_requested))
            # rows of other days may be left unread where every date is one
            own = within(own, first, last) if used.collect_schema()["date"] == pl.Date else own
            return set(names.drop_nulls()), own.collect(engine="in-memory"), others.collect(engine="in-memory")

    def rows(
        self, symbols: Sequence[str] | None = None, first: date | None = None, last: date | None = None
    ) -> pl.DataFrame:
        """Read every row, parsed but not checked, as `check_prices` needs them.

        Parameters
        ----------
        symbols : sequence of str, optional
            Symbols as spelt in the file; all by default.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        polars.DataFrame
            ``symbol, date, close`` (the close that returns are computed from), ``volume``, ``unadjusted_close``
            (the close where adj_close is given too), ``from_adjusted``, ``unreadable`` (the first cell that is no
            date or number), and where the file has them ``open, high, low, currency, dividend, split`` and
            ``origin``, its columns `adjustment` and `source` joined.
        """
        file = self._scan()
        with readable(self.prices):
            raw = _used(file).collect(engine="in-memory")
        frame = add_further_columns(parse_prices(raw, repr(self), list(self.delisted)), raw)
        if symbols is not None:
            frame = frame.filter(pl.col("symbol").is_in(list(symbols)))
        return within(frame, first, last)

    def rows_as_given(self, symbols: Sequence[str]) -> pl.DataFrame:
        """Read the rows of `symbols` as the file has them, with the columns that are used and no others."""
        file = self._scan()
        names = [name for name in file.collect_schema().names() if name in (*USED, MARKER)]
        is_requested = pl.col("symbol").cast(pl.String).is_in(check_symbols(symbols)).fill_null(value=False)
        with readable(self.prices):
            return file.select(names).filter(is_requested).collect(engine="in-memory")

    def _scan(self) -> pl.LazyFrame:
        """Open the file; raise DataError without rows or columns of prices."""
        source = repr(self)
        with readable(self.prices):
            file = self._open()
            if file.head(1).collect(engine="in-memory").is_empty():
                raise DataError(f"{source} has no rows. Check the file, or the filter that made it.")
            present = file.collect_schema().names()
            if lacking := lacking_columns(present):
                raise lacking_error(file.collect(engine="in-memory"), lacking, source)
            check_types(file, source)
        return file

    def _open(self) -> pl.LazyFrame:
        """Open the file or frame as it is."""
        if isinstance(self.prices, str | Path):
            return scan_file(Path(self.prices).expanduser(), "prices")
        return to_polars(self.prices, "prices", PRICES).lazy()


def _used(file: pl.LazyFrame) -> pl.LazyFrame:
    """Select the columns that are read."""
    return file.select(name for name in file.collect_schema().names() if name in USED)


def _is_simulated(file: pl.LazyFrame, requested: Sequence[str]) -> bool:
    """Return whether a column `simulated` is true for any row of the requested symbols."""
    if MARKER not in file.collect_schema().names():
        return False
    own = file.filter(pl.col("symbol").cast(pl.String).is_in(requested).fill_null(value=False))
    return bool(own.select(is_true(MARKER).any()).collect(engine="in-memory").item())


def _range_notes(known: Collection[str], chosen: pl.DataFrame) -> list[str]:
    """Note symbols whose rows are all outside the requested dates."""
    empty = sorted(set(known) - set(chosen["symbol"].unique()))
    return [f"Known, but without a row on the requested dates: {listed(empty)}."] if empty else []


def _broken_notes(other_rows: pl.DataFrame) -> list[str]:
    """Note the number of rows of other symbols that break the contract."""
    readable = other_rows.filter(pl.col("unreadable").is_null())
    broken = other_rows.height - readable.height
    if not readable.is_empty():
        try:
            schema.check(schema.Prices, readable, "prices")
        except DataError as error:
            broken += readable.height if error.rows is None else error.rows.height
    return [f"{n_rows_text(broken)} of symbols not requested break the rules of prices."] if broken else []
