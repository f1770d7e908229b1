"""How vendors lay out a CSV of daily prices: recognised by the header, never by the file's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from marketimpact.core import csv_reader
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
    """One layout.

    Attributes
    ----------
    name : str
        What messages call it.
    columns : mapping of str to str
        Column of the file, lower case -> what it is here.
    others : frozenset of str
        Further columns it may have, which are not used.
    needs : frozenset of str
        Columns without which it is not this layout.
    """

    name: str
    columns: Mapping[str, str]
    others: frozenset[str] = field(default_factory=frozenset)
    needs: frozenset[str] = field(default_factory=frozenset)

    def fits(self, header: Sequence[str]) -> bool:
        """Whether a header is of this layout, and has nothing that it does not know."""
        return self.needs <= set(header) <= {*self.columns, *self.others, ""}

    def shown(self) -> str:
        """Its columns for a message."""
        return f"{self.name}: {', '.join(name for name in (*self.columns, *sorted(self.others)))}"


def _format(name: str, columns: dict[str, str], others: str, needs: Sequence[str]) -> VendorFormat:
    return VendorFormat(name, MappingProxyType(columns), frozenset(others.split()), frozenset(needs))


_BARS = "open high low"
YAHOO = _format(
    "Yahoo",
    {
        "date": "date",
        "close": "close",
        "adj_close": "adj_close",
        "volume": "volume",
        "dividends": "dividend",
        "stock_splits": "split",
    },
    f"{_BARS} capital_gains",
    ["date", "close", "adj_close"],
)
STOOQ_BULK = _format(
    "Stooq bulk",
    {"<ticker>": "symbol", "<date>": "date", "<close>": "close", "<vol>": "volume"},
    "<per> <time> <open> <high> <low> <openint>",
    ["<ticker>", "<per>", "<date>", "<close>"],
)
AKSHARE = _format(
    "AkShare, Eastmoney",
    {"股票代码": "symbol", "代码": "symbol", "日期": "date", "收盘": "close", "成交量": "volume"},
    "名称 股票名称 开盘 最高 最低 成交额 振幅 涨跌幅 涨跌额 换手率",
    ["日期", "收盘"],
)
#: `amount` is money here; Tencent's frames, which have an amount and no volume, mean lots by it.
SINA = _format(
    "AkShare, Sina",
    {"date": "date", "close": "close", "volume": "volume"},
    f"{_BARS} amount outstanding_share turnover",
    ["date", "close", "outstanding_share"],
)
PLAIN = _format(
    "date, close, volume (Stooq, yfinance with auto_adjust, AkShare in English)",
    {"date": "date", "close": "close", "volume": "volume", "dividends": "dividend", "stock_splits": "split"},
    f"{_BARS} amount capital_gains",
    ["date", "close"],
)
VENDOR_FORMATS = (YAHOO, STOOQ_BULK, AKSHARE, SINA, PLAIN)
#: The two or three header rows of `yfinance.download(...).to_csv()`: what, whose, and the name of the index.
YFINANCE = "yfinance.download: rows Price and Ticker (or unnamed), then Date"


def normalise_name(name: str) -> str:
    """A column's name as dialects write it: "Adj Close" and "adj_close" are the same."""
    return name.strip().lower().replace(" ", "_")


def find_format(header: Sequence[str]) -> VendorFormat | None:
    """The dialect of one header row, if one fits."""
    return next(
        (dialect for dialect in VENDOR_FORMATS if dialect.fits([normalise_name(name) for name in header])), None
    )


def require_format(header: Sequence[str], what: str) -> VendorFormat:
    """The dialect of one header row, or a `DataError` that shows it and what is understood."""
    dialect = find_format(header)
    if dialect is None:
        raise unknown_format_error(header, what)
    return dialect


def unknown_format_error(header: Sequence[str], what: str) -> DataError:
    """The error for a header that no dialect fits."""
    if problem := csv_reader.delimiter_error(header, what):
        return problem
    understood = "\n".join(f"  - {dialect.shown()}" for dialect in VENDOR_FORMATS)
    return DataError(
        f"{what}: the header {', '.join(map(repr, header[:20])) or 'is absent; it'} is of no layout known here.\n"
        f"Understood, in any order and case:\n{understood}\n  - {YFINANCE}\n"
        "Rename or drop the columns in question, or hand in one long file with FilePrices."
    )
