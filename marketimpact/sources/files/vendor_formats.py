"""Recognise a vendor's layout of daily prices by the header of its CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import polars as pl

from marketimpact.core import csv_reader
from marketimpact.core.text import listed
from marketimpact.errors import DataError

__all__ = [
    "AKSHARE",
    "SINA",
    "STOOQ_BULK",
    "VENDOR_FORMATS",
    "VendorFormat",
    "find_format",
    "normalise_name",
    "require_format",
    "unknown_format_error",
]


@dataclass(frozen=True, slots=True)
class VendorFormat:
    """Columns of one vendor's CSV of daily prices.

    Attributes
    ----------
    name : str
        Name in messages.
    columns : mapping of str to str
        Column of the file, lower case -> column of prices.
    unused : frozenset of str
        Further columns it may have; they are not used.
    needs : frozenset of str
        Columns that identify the layout.
    """

    name: str
    columns: Mapping[str, str]
    unused: frozenset[str] = field(default_factory=frozenset)
    needs: frozenset[str] = field(default_factory=frozenset)

    def fits(self, header: Sequence[str]) -> bool:
        """Return whether a normalised header has the needed columns and no unknown ones."""
        return self.needs <= set(header) <= {*self.columns, *self.unused, ""}

    def translate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Select the columns of prices under their names here."""
        names = {name: self.columns.get(normalise_name(name)) for name in frame.columns}
        twice = [name for name, own in names.items() if own is not None and list(names.values()).count(own) > 1]
        if twice:
            raise DataError(f"The columns {listed(twice)} are one and the same. Keep one of them.")
        return frame.select(
            pl.col(vendor_name).alias(own_name) for vendor_name, own_name in names.items() if own_name is not None
        )

    def describe(self) -> str:
        """Return its name and columns for a message."""
        return f"{self.name}: {', '.join(name for name in (*self.columns, *sorted(self.unused)))}"


def _format(name: str, columns: dict[str, str], unused: str, needs: Sequence[str]) -> VendorFormat:
    """Build a format; `unused` are separated by spaces."""
    return VendorFormat(name, MappingProxyType(columns), frozenset(unused.split()), frozenset(needs))


_BARS = {"open": "open", "high": "high", "low": "low"}
YAHOO = _format(
    "Yahoo",
    {
        "date": "date",
        "close": "close",
        "adj_close": "adj_close",
        "volume": "volume",
        "dividends": "dividend",
        "stock_splits": "split",
        **_BARS,
    },
    "capital_gains",
    ["date", "close", "adj_close"],
)
STOOQ_BULK = _format(
    "Stooq bulk",
    {"<ticker>": "symbol", "<date>": "date", "<close>": "close", "<vol>": "volume"}
    | {f"<{name}>": name for name in _BARS},
    "<per> <time> <openint>",
    ["<ticker>", "<per>", "<date>", "<close>"],
)
AKSHARE = _format(
    "AkShare, Eastmoney",
    {"股票代码": "symbol", "代码": "symbol", "日期": "date", "收盘": "close", "成交量": "volume"}
    | {"开盘": "open", "最高": "high", "最低": "low"},
    "名称 股票名称 成交额 振幅 涨跌幅 涨跌额 换手率",
    ["日期", "收盘"],
)
#: `amount` is turnover here; Tencent's frames have an amount in lots and no volume, and are not recognised.
SINA = _format(
    "AkShare, Sina",
    {"date": "date", "close": "close", "volume": "volume", **_BARS},
    "amount outstanding_share turnover",
    ["date", "close", "outstanding_share"],
)
PLAIN = _format(
    "date, close, volume (Stooq, yfinance with auto_adjust, AkShare in English)",
    {"date": "date", "close": "close", "volume": "volume", "dividends": "dividend", "stock_splits": "split", **_BARS},
    "amount capital_gains",
    ["date", "close"],
)
VENDOR_FORMATS = (YAHOO, STOOQ_BULK, AKSHARE, SINA, PLAIN)
#: Header rows of `yfinance.download(...).to_csv()`: price column, ticker, name of the index.
YFINANCE = "yfinance.download: rows Price and Ticker (or unnamed), then Date"


def normalise_name(name: str) -> str:
    """Normalise a column's name: "Adj Close" becomes "adj_close"."""
    return name.strip().lower().replace(" ", "_")


def find_format(header: Sequence[str]) -> VendorFormat | None:
    """Return the format that fits a header row, or None."""
    names = [normalise_name(name) for name in header]
    return next((known for known in VENDOR_FORMATS if known.fits(names)), None)


def require_format(header: Sequence[str], label: str) -> VendorFormat:
    """Return the format that fits a header row, or raise a `DataError` that lists the known ones."""
    vendor_format = find_format(header)
    if vendor_format is None:
        raise unknown_format_error(header, label)
    return vendor_format


def unknown_format_error(header: Sequence[str], label: str) -> DataError:
    """Build the error for a header that fits no format."""
    if error := csv_reader.delimiter_error(header, label):
        return error
    known = "\n".join(f"  - {vendor_format.describe()}" for vendor_format in VENDOR_FORMATS)
    return DataError(
        f"{label}: the header {', '.join(map(repr, header[:20])) or 'is absent; it'} is of no layout known here.\n"
        f"Known layouts, in any order and case:\n{known}\n  - {YFINANCE}\n"
        "Rename or drop the other columns, or read one long file with FilePrices."
    )
