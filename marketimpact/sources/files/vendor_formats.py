"""How vendors lay out a CSV of daily prices: recognised by the header, never by the file's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from marketimpact.core import csv_reader
from marketimpact.errors import DataError

__all__ = ["AKSHARE", "DIALECTS", "SINA", "STOOQ_BULK", "Dialect", "normal", "recognise", "recognised", "unknown"]


@dataclass(frozen=True, slots=True)
class Dialect:
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


def _dialect(name: str, columns: dict[str, str], others: str, needs: Sequence[str]) -> Dialect:
    return Dialect(name, MappingProxyType(columns), frozenset(others.split()), frozenset(needs))


_BARS = "open high low"
YAHOO = _dialect(
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
STOOQ_BULK = _dialect(
    "Stooq bulk",
    {"<ticker>": "symbol", "<date>": "date", "<close>": "close", "<vol>": "volume"},
    "<per> <time> <open> <high> <low> <openint>",
    ["<ticker>", "<per>", "<date>", "<close>"],
)
AKSHARE = _dialect(
    "AkShare, Eastmoney",
    {"股票代码": "symbol", "代码": "symbol", "日期": "date", "收盘": "close", "成交量": "volume"},
    "名称 股票名称 开盘 最高 最低 成交额 振幅 涨跌幅 涨跌额 换手率",
    ["日期", "收盘"],
)
#: `amount` is money here; Tencent's frames, which have an amount and no volume, mean lots by it.
SINA = _dialect(
    "AkShare, Sina",
    {"date": "date", "close": "close", "volume": "volume"},
    f"{_BARS} amount outstanding_share turnover",
    ["date", "close", "outstanding_share"],
)
PLAIN = _dialect(
    "date, close, volume (Stooq, yfinance with auto_adjust, AkShare in English)",
    {"date": "date", "close": "close", "volume": "volume", "dividends": "dividend", "stock_splits": "split"},
    f"{_BARS} amount capital_gains",
    ["date", "close"],
)
DIALECTS = (YAHOO, STOOQ_BULK, AKSHARE, SINA, PLAIN)
#: The two or three header rows of `yfinance.download(...).to_csv()`: what, whose, and the name of the index.
YFINANCE = "yfinance.download: rows Price and Ticker (or unnamed), then Date"


def normal(name: str) -> str:
    """A column's name as dialects write it: "Adj Close" and "adj_close" are the same."""
    return name.strip().lower().replace(" ", "_")


def recognised(header: Sequence[str]) -> Dialect | None:
    """The dialect of one header row, if one fits."""
    return next((dialect for dialect in DIALECTS if dialect.fits([normal(name) for name in header])), None)


def recognise(header: Sequence[str], what: str) -> Dialect:
    """The dialect of one header row, or a `DataError` that shows it and what is understood."""
    dialect = recognised(header)
    if dialect is None:
        raise unknown(header, what)
    return dialect


def unknown(header: Sequence[str], what: str) -> DataError:
    """The error for a header that no dialect fits."""
    if problem := csv_reader.delimiter_error(header, what):
        return problem
    understood = "\n".join(f"  - {dialect.shown()}" for dialect in DIALECTS)
    return DataError(
        f"{what}: the header {', '.join(map(repr, header[:20])) or 'is absent; it'} is of no layout known here.\n"
        f"Understood, in any order and case:\n{understood}\n  - {YFINANCE}\n"
        "Rename or drop the columns in question, or hand in one long file with FilePrices."
    )
