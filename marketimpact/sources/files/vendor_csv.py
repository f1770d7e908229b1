"""One CSV of prices: whose it is, by its first lines, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from marketimpact.core import csv_reader
from marketimpact.core.text import listed
from marketimpact.errors import DataError
from marketimpact.sources.files.price_rows import parse_rows
from marketimpact.sources.files.ticker_symbols import ashare_symbol, is_bare_number, is_index_or_share, market_symbol
from marketimpact.sources.files.vendor_formats import (
    AKSHARE,
    SINA,
    STOOQ_BULK,
    VendorFormat,
    normalise_name,
    require_format,
)

__all__ = ["PriceFile", "inspect_file", "read_rows"]

#: Lines in which header and first row of a file are looked for, and the most bytes of one of them.
HEAD, LINE = 8, 1_000_000
#: Shares of a lot on the mainland exchanges.
LOT = 100.0
#: 日期 in the encoding of Chinese Windows.
GBK_DATE = "日期".encode("gbk")
#: How yfinance says "none on this day" and Yahoo's site "no price".
NULL_WORDS = ("null", "nan", "NaN", "None")
SUFFIXES = (".SS", ".SZ", ".BJ", ".KS", ".KQ")


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A file and the symbols it holds, or may hold where there is a `problem`.

    `columns` names the columns of a file of several header rows: what, and whose.
    """

    path: Path
    symbols: tuple[str, ...]
    dialect: VendorFormat | None = None
    columns: tuple[tuple[str, str], ...] = ()
    problem: DataError | None = None


def inspect_file(path: Path) -> PriceFile:
    """Look at the first lines of a file."""
    guess = ashare_symbol(path.stem) or market_symbol(path.stem)
    try:
        with path.open("rb") as file:
            head = _decode(b"".join(file.readline(LINE) for _ in range(HEAD)), path.name, whole=False)
        records = csv_reader.first_records(head, 4)
        if columns := _yfinance_columns(records):
            whose = dict.fromkeys(market_symbol(ticker) for _, ticker in columns if ticker)
            return PriceFile(path, tuple(whose), columns=columns)
        dialect = require_format(records[0] if records else [], path.name)
        return PriceFile(path, (_symbol(path, dialect, records),), dialect)
    except OSError as error:
        problem = DataError(f"{path.name} cannot be opened ({error.strerror or error}).")
    except DataError as error:
        problem = error
    digits = path.stem.strip()
    meant = tuple(digits + place for place in SUFFIXES) if is_bare_number(digits) else (guess,)
    return PriceFile(path, meant, problem=problem)


def read_rows(file: PriceFile, symbols: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """The typed rows of `symbols`, with `unreadable`, and what a reader should know about them."""
    what = file.path.name
    try:
        text = _decode(file.path.read_bytes(), what, whole=True)
    except OSError as error:
        raise DataError(f"{what} cannot be opened ({error.strerror or error}).") from error
    if file.dialect is None:
        return _yfinance_rows(file, text, symbols), []
    raw = csv_reader.parse_table(text, what)
    renamed = {
        name: file.dialect.columns[normalise_name(name)]
        for name in raw.columns
        if normalise_name(name) in file.dialect.columns
    }
    here = raw.select(list(renamed)).rename(renamed)
    _require_one_daily_symbol(raw, here, file)
    rows = parse_rows(_without_null_words(here.with_columns(symbol=pl.lit(symbols[0]))), what)
    return _in_shares(rows, file)


def _decode(raw: bytes, what: str, *, whole: bool) -> str:
    """UTF-8, or GBK where the header says 日期 in it, in bytes that UTF-8 cannot have."""
    encoding = "gb18030" if GBK_DATE in raw.split(b"\n", 1)[0] else "utf-8-sig"
    return csv_reader.decode_text(raw, what, encoding=encoding, complete=whole)


def _symbol(path: Path, dialect: VendorFormat, records: Sequence[Sequence[str]]) -> str:
    """Whose the file is: what its first row says, else what it is called."""
    said = next((name for name in records[0] if dialect.columns.get(normalise_name(name)) == "symbol"), None)
    if said is not None and len(records) > 1:
        at = records[0].index(said)
        code = records[1][at] if at < len(records[1]) else ""
        if dialect is STOOQ_BULK:
            return market_symbol(code)
        return _ashare(code, path)
    if is_bare_number(path.stem):
        if dialect in (AKSHARE, SINA):
            return _ashare(path.stem, path)
        raise DataError(
            f"{path.name}: six digits name a share in China or in Korea, and this layout does not say which. "
            f"Rename the file, such as {path.stem}.SZ.csv, {path.stem}.SS.csv or {path.stem}.KS.csv."
        )
    if dialect is AKSHARE and path.stem.isdigit() and len(path.stem) == 5:
        return market_symbol(f"{path.stem.lstrip('0')}.HK")  # stock_hk_hist writes 00981
    return ashare_symbol(path.stem) or market_symbol(path.stem)


def _ashare(code: str, path: Path) -> str:
    symbol = ashare_symbol(code)
    if symbol is None:
        raise DataError(
            f"{path.name}: {code!r} is no code of six digits in Shanghai, Shenzhen or Beijing. A code that lost its "
            "zeros cannot be told from others: read it as text. Or name the exchange, such as sh600519."
        )
    return symbol


def _require_one_daily_symbol(raw: pl.DataFrame, here: pl.DataFrame, file: PriceFile) -> None:
    """A file holds one symbol, by the day."""
    if "symbol" in here.columns and here["symbol"].n_unique() > 1:
        names = listed(here["symbol"].unique().drop_nulls().sort().to_list())
        raise DataError(f"{file.path.name} holds rows of several symbols or of none: {names}. Split it, one each.")
    for column in raw.columns:
        wrong = []
        if normalise_name(column) == "<per>":
            wrong = raw.filter(pl.col(column).fill_null("") != "D")[column].to_list()
        elif normalise_name(column) == "<time>":
            wrong = raw.filter(pl.col(column).str.contains("[^0]"))[column].to_list()
        if wrong:
            raise DataError(f"{file.path.name}: {column} is {wrong[0]!r}, so these are no daily bars. Download those.")


def _without_null_words(frame: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in frame.columns if name not in ("symbol", "date")]
    return frame.with_columns(pl.when(~pl.col(name).is_in(NULL_WORDS)).then(pl.col(name)).alias(name) for name in names)


def _in_shares(rows: pl.DataFrame, file: PriceFile) -> tuple[pl.DataFrame, list[str]]:
    notes = []
    symbol = file.symbols[0]
    mainland = symbol.endswith((".SS", ".SZ", ".BJ"))
    if mainland and is_index_or_share(file.path.stem) and symbol.endswith(".SZ"):
        notes.append("Taken for the share in Shenzhen; the index of Shanghai with that number is sh000...")
    if file.dialect is AKSHARE and mainland and "volume" in rows.columns:
        rows = rows.with_columns(pl.col("volume") * LOT)
        notes.append(f"Volume is taken to be in lots, and multiplied by {LOT:g}")
    return rows, notes


def _yfinance_columns(records: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """What and whose each column is, where the header has the three rows of `yfinance.download`."""
    if len(records) < 3 or records[2][0] != "Date" or any(records[2][1:]):
        return ()
    first, second = records[0], records[1]
    if {first[0], second[0]} <= {"Price", "Ticker", ""} and len(first) == len(second) == len(records[2]):
        names = (second, first) if first[0] == "Ticker" else (first, second)
        return (("Date", ""), *zip(names[0][1:], names[1][1:], strict=True))
    return ()


def _yfinance_rows(file: PriceFile, text: str, symbols: Sequence[str]) -> pl.DataFrame:
    what = file.path.name
    names = [f"{column}\n{ticker}" for column, ticker in file.columns]
    raw = csv_reader.parse_table(text, what, names=names, skip=3)
    pieces = []
    for symbol in symbols:
        own = {f"{c}\n{t}": c for c, t in file.columns if t and market_symbol(t) == symbol}
        if len(set(own.values())) < len(own):
            raise DataError(f"{what} has columns of {symbol!r} twice. Download it again.")
        piece = raw.select("Date\n", *own).rename({"Date\n": "Date", **own})
        dialect = require_format(piece.columns, what)
        renamed = {
            name: dialect.columns[normalise_name(name)]
            for name in piece.columns
            if normalise_name(name) in dialect.columns
        }
        here = piece.select(list(renamed)).rename(renamed).with_columns(symbol=pl.lit(symbol))
        here = _without_null_words(here)
        # Several tickers share the rows: a day on which only another one traded is empty.
        prices = [name for name in here.columns if name not in ("symbol", "date")]
        pieces.append(parse_rows(here.filter(~pl.all_horizontal(pl.col(prices).is_null())), what))
    return pl.concat(pieces, how="diagonal")
