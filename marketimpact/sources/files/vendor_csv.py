"""Read one vendor's CSV of prices: its symbols, from its first lines, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from marketimpact.core import csv_reader, limits
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

#: Shares per lot on the mainland exchanges.
LOT = 100.0
#: 日期 in the encoding of Chinese Windows.
GBK_DATE = "日期".encode("gbk")
#: Words that yfinance and Yahoo's site write for a missing value.
NULL_WORDS = ("null", "nan", "NaN", "None")
SUFFIXES = (".SS", ".SZ", ".BJ", ".KS", ".KQ")


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A CSV file of prices and the symbols in it.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    symbols : tuple of str
        Its Yahoo symbols; where there is a `problem`, those that its name may stand for.
    format : VendorFormat or None
        Its layout; None for a file of `yfinance.download`.
    columns : tuple of (str, str)
        For a file of `yfinance.download`, price column and ticker of each column.
    problem : DataError or None
        Why it cannot be read.
    """

    path: Path
    symbols: tuple[str, ...]
    format: VendorFormat | None = None
    columns: tuple[tuple[str, str], ...] = ()
    problem: DataError | None = None


def inspect_file(path: Path) -> PriceFile:
    """Find symbols and layout of a file from its first lines."""
    guess = ashare_symbol(path.stem) or market_symbol(path.stem)
    try:
        with path.open("rb") as file:
            lines = [file.readline(limits.VENDOR_LINE_BYTES) for _ in range(limits.VENDOR_HEAD_LINES)]
        head = _decode(b"".join(lines), path.name, complete=False)
        records = csv_reader.first_records(head, 4)
        if columns := _yfinance_columns(records):
            symbols = dict.fromkeys(market_symbol(ticker) for _, ticker in columns if ticker)
            return PriceFile(path, tuple(symbols), columns=columns)
        vendor_format = require_format(records[0] if records else [], path.name)
        return PriceFile(path, (_symbol(path, vendor_format, records),), vendor_format)
    except OSError as error:
        problem = DataError(f"{path.name} cannot be opened ({error.strerror or error}). Check its permissions.")
    except DataError as error:
        problem = error
    digits = path.stem.strip()
    possible = tuple(digits + suffix for suffix in SUFFIXES) if is_bare_number(digits) else (guess,)
    return PriceFile(path, possible, problem=problem)


def read_rows(file: PriceFile, symbols: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """Read the rows of `symbols` as `parse_rows` gives them, with notes."""
    label = file.path.name
    try:
        text = _decode(file.path.read_bytes(), label, complete=True)
    except OSError as error:
        raise DataError(f"{label} cannot be opened ({error.strerror or error}).") from error
    if file.format is None:
        return _yfinance_rows(file, text, symbols), []
    raw = csv_reader.parse_table(text, label)
    try:
        prices = file.format.translate(raw)
    except DataError as error:
        raise DataError(f"{label}: {error}") from error
    _require_one_daily_symbol(raw, prices, file)
    rows = parse_rows(_without_null_words(prices.with_columns(symbol=pl.lit(symbols[0]))), label)
    return _in_shares(rows, file)


def _decode(raw: bytes, label: str, *, complete: bool) -> str:
    """Decode UTF-8, or GBK where the header has 日期 in GBK, whose bytes are invalid UTF-8."""
    encoding = "gb18030" if GBK_DATE in raw.split(b"\n", 1)[0] else "utf-8-sig"
    return csv_reader.decode_text(raw, label, encoding=encoding, complete=complete)


def _symbol(path: Path, vendor_format: VendorFormat, records: Sequence[Sequence[str]]) -> str:
    """Take the symbol from the first row, else from the file's name."""
    names = [vendor_format.columns.get(normalise_name(name)) for name in records[0]]
    column = names.index("symbol") if "symbol" in names else None
    if column is not None and len(records) > 1:
        code = records[1][column] if column < len(records[1]) else ""
        if vendor_format is STOOQ_BULK:
            return market_symbol(code)
        return _ashare(code, path)
    if is_bare_number(path.stem):
        if vendor_format in (AKSHARE, SINA):
            return _ashare(path.stem, path)
        raise DataError(
            f"{path.name}: six digits are a code in China or in Korea, and this layout does not show which. "
            f"Rename the file, such as {path.stem}.SZ.csv, {path.stem}.SS.csv or {path.stem}.KS.csv."
        )
    if vendor_format is AKSHARE and path.stem.isdigit() and len(path.stem) == 5:
        return market_symbol(f"{path.stem.lstrip('0')}.HK")  # AkShare's stock_hk_hist writes 00981
    return ashare_symbol(path.stem) or market_symbol(path.stem)


def _ashare(code: str, path: Path) -> str:
    """Convert a mainland code to a Yahoo symbol, or raise DataError."""
    symbol = ashare_symbol(code)
    if symbol is None:
        raise DataError(
            f"{path.name}: {code!r} is no code of six digits in Shanghai, Shenzhen or Beijing. Write codes as "
            "text, so that they keep leading zeros, or add the exchange, such as sh600519."
        )
    return symbol


def _require_one_daily_symbol(raw: pl.DataFrame, prices: pl.DataFrame, file: PriceFile) -> None:
    """Raise DataError for a file of several symbols or of bars that are not daily."""
    if "symbol" in prices.columns and prices["symbol"].n_unique() > 1:
        names = listed(prices["symbol"].unique().drop_nulls().sort().to_list())
        raise DataError(
            f"{file.path.name} has rows of several symbols or of none: {names}. Split it into one file each."
        )
    for column in raw.columns:
        not_daily = []
        if normalise_name(column) == "<per>":
            not_daily = raw.filter(pl.col(column).fill_null("") != "D")[column].to_list()
        elif normalise_name(column) == "<time>":
            not_daily = raw.filter(pl.col(column).str.contains("[^0]"))[column].to_list()
        if not_daily:
            raise DataError(
                f"{file.path.name}: {column} is {not_daily[0]!r}, so these are not daily bars. Download daily ones."
            )


def _without_null_words(frame: pl.DataFrame) -> pl.DataFrame:
    """Replace words for a missing value by null."""
    names = [name for name in frame.columns if name not in ("symbol", "date")]
    return frame.with_columns(pl.when(~pl.col(name).is_in(NULL_WORDS)).then(pl.col(name)).alias(name) for name in names)


def _in_shares(rows: pl.DataFrame, file: PriceFile) -> tuple[pl.DataFrame, list[str]]:
    """Convert volumes in lots to shares, with notes."""
    notes = []
    symbol = file.symbols[0]
    mainland = symbol.endswith((".SS", ".SZ", ".BJ"))
    if mainland and is_index_or_share(file.path.stem) and symbol.endswith(".SZ"):
        notes.append("Taken as the share in Shenzhen; the index of Shanghai with that number is sh000...")
    if file.format is AKSHARE and mainland and "volume" in rows.columns:
        rows = rows.with_columns(pl.col("volume") * LOT)
        notes.append(f"Volume is taken to be in lots, and multiplied by {LOT:g}")
    return rows, notes


def _yfinance_columns(records: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """Return price column and ticker of each column of a `yfinance.download` file; empty for other files."""
    if len(records) < 3 or records[2][0] != "Date" or any(records[2][1:]):
        return ()
    first, second = records[0], records[1]
    if {first[0], second[0]} <= {"Price", "Ticker", ""} and len(first) == len(second) == len(records[2]):
        names = (second, first) if first[0] == "Ticker" else (first, second)
        return (("Date", ""), *zip(names[0][1:], names[1][1:], strict=True))
    return ()


def _yfinance_rows(file: PriceFile, text: str, symbols: Sequence[str]) -> pl.DataFrame:
    """Parse a `yfinance.download` file to rows of `symbols`."""
    label = file.path.name
    names = [f"{column}\n{ticker}" for column, ticker in file.columns]
    raw = csv_reader.parse_table(text, label, names=names, skip=3)
    pieces = []
    for symbol in symbols:
        columns = {f"{c}\n{t}": c for c, t in file.columns if t and market_symbol(t) == symbol}
        if len(set(columns.values())) < len(columns):
            raise DataError(f"{label} has columns of {symbol!r} twice. Download it again.")
        piece = raw.select("Date\n", *columns).rename({"Date\n": "Date", **columns})
        rows = _without_null_words(require_format(piece.columns, label).translate(piece))
        # several tickers share the rows: one is empty on a day on which only others traded
        prices = [name for name in rows.columns if name != "date"]
        traded = rows.filter(~pl.all_horizontal(pl.col(prices).is_null()))
        pieces.append(parse_rows(traded.with_columns(symbol=pl.lit(symbol)), label))
    return pl.concat(pieces, how="diagonal")
