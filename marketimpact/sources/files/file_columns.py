"""Name the columns of a price file, and say what to do about those that are absent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from marketimpact.core.text import closest_name, listed
from marketimpact.core.type_advice import how_to_reshape
from marketimpact.errors import DataError
from marketimpact.sources.protocol import BARS

__all__ = [
    "KNOWN",
    "ORIGINS",
    "PAYOUTS",
    "TEXTS",
    "UNADJUSTED",
    "USED",
    "lacking_columns",
    "lacking_error",
    "similar_column",
]

NUMBERS = ("close", "adj_close", "volume", *BARS)
KNOWN = ("symbol", "date", *NUMBERS, "delisted")
#: Columns that only the checks of prices read.
TEXTS, PAYOUTS, UNADJUSTED = ("currency",), ("dividend", "split"), ("unadjusted_close",)
#: Columns with the origin of a row; a change within a symbol is a break in its series.
ORIGINS = ("adjustment", "source")
#: Names of these columns in other programs, in lower case without punctuation.
SYNONYMS = {
    "symbol": ("symbol", "symbols", "ticker", "tickers", "tic", "ric", "code", "secid", "instrument"),
    "date": ("date", "day", "datetime", "timestamp", "tradedate", "tradingday", "index"),
    "close": ("close", "closeprice", "closingprice", "price", "prc", "pxlast", "last", "settle"),
    "adj_close": ("adjclose", "adjustedclose", "adjcloseprice", "closeadj", "adjustedprice"),
    "open": ("open", "openprice", "openingprice", "openprc", "pxopen", "prcod"),
}
#: Every column that is read.
USED = (*KNOWN, *TEXTS, *PAYOUTS, *UNADJUSTED, *ORIGINS)


def lacking_columns(present: Sequence[str]) -> list[str]:
    """List what a price file lacks: symbol, date, or any close."""
    lacking = [name for name in ("symbol", "date") if name not in present]
    return lacking if {"close", "adj_close"} & set(present) else [*lacking, "close"]


def lacking_error(frame: pl.DataFrame, lacking: Sequence[str], source: str) -> DataError:
    """Build the error for absent columns, with their likely names in the file."""
    candidates = [*lacking, "adj_close"] if "close" in lacking else lacking
    renames = {match: name for name in candidates for match in [similar_column(name, frame.columns)] if match}
    names = ", ".join("'close' or 'adj_close'" if name == "close" else repr(name) for name in lacking)
    return DataError(
        f"{source} lacks the column{'s' if len(lacking) > 1 else ''} {names}; it has "
        f"{listed(frame.columns, limit=20)}. {_column_advice(frame, lacking, renames)}"
    )


def _column_advice(frame: pl.DataFrame, lacking: Sequence[str], renames: Mapping[str, str]) -> str:
    """Say what to do about columns that are absent."""
    returns = next((name for name in frame.columns if name.lower() in ("ret", "return", "returns")), None)
    if returns is not None and "close" in lacking:
        return f"It has returns ({returns!r}), which need no prices: give them to Market.from_returns."
    if not renames and (reshape := how_to_reshape(frame, lacking)):
        return reshape
    advice = f"Rename with .rename({dict(renames)})." if renames else "One row per symbol and date is needed."
    if "symbol" in lacking and "symbol" not in renames.values():
        advice += " Downloads with a file per symbol are read from their folder by FolderPrices."
    return advice


def similar_column(name: str, present: Sequence[str]) -> str | None:
    """Find the column that is most likely `name`, by synonyms and then by spelling; None if there is none."""
    letters = {re.sub(r"[^a-z]", "", column.lower()): column for column in reversed(present) if column not in KNOWN}
    for synonym in SYNONYMS[name]:
        if synonym in letters:
            return letters[synonym]
    match = closest_name(name.replace("_", ""), letters, cutoff=0.8)
    return letters[match] if match else None
