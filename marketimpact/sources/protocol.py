"""Define the interface of price sources and the table of prices that they return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Protocol, TypeVar

import polars as pl

from marketimpact.core import schema
from marketimpact.core.fingerprint import fingerprint
from marketimpact.core.symbol_rows import is_repeated_key, sort_rows
from marketimpact.core.text import listed
from marketimpact.errors import DataError, SourceError, SpecificationError

__all__ = [
    "BARS",
    "COLUMNS",
    "EXTRA_COLUMNS",
    "PriceSource",
    "PriceTable",
    "absent_symbols",
    "check_range",
    "check_symbols",
    "checked_rows",
    "price_table",
    "within",
]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

COLUMNS = ("symbol", "date", "close", "volume")
#: Further columns, where the source has them.
EXTRA_COLUMNS = ("unadjusted_close", "dividend", "split", "delisted", "open", "high", "low")
#: Those of a session's first, highest and lowest price.
BARS = ("open", "high", "low")


@dataclass(frozen=True, eq=False)
class PriceTable:
    """Prices from a source, with notes on their origin and adjustment.

    Attributes
    ----------
    frame : polars.DataFrame
        `symbol` (String), `date` (Date, the exchange's own session), `close` (Float64, in the currency
        of the listing, the price returns are computed from: adjusted where the source has such a
        price; empty on a day without one), `volume` (Float64, shares, may be empty). One row per
        (symbol, date), sorted by it. Where the source has them also `unadjusted_close` (Float64, not
        adjusted for dividends), `dividend` (Float64, per share, currency of the listing, on the ex-date)
        and `split` (Float64, new shares per old share, on the day it takes effect); `Market.load` makes total
        returns of these two for symbols without an `unadjusted_close`. With `delisted` (Boolean) true a symbol's
        last close may be 0, a total loss. `open`, `high` and `low` (Float64) are the session's first, highest and
        lowest price on the basis of `unadjusted_close` where the row has one, else of `close`; they may be empty,
        and what is wrong with them is a finding of `check_prices`, not an error.
    source : str
        Name of the source for citation; never a path of this machine.
    simulated : bool
        Whether the prices are simulated.
    missing : tuple of str
        Requested symbols without prices, in the order requested.
    notes : tuple of str
        Facts that matter for reading results from these prices.
    truth : polars.DataFrame or None
        For simulated prices, the true effect: `symbol`, `date`, `abnormal_return` (fraction), and perhaps
        `abnormal_overnight`, the part of it before the open.
    listings : polars.DataFrame or None
        Listing of each symbol: `symbol`, `currency`, `time_zone` (IANA name, of the exchange), null where
        unknown.
    outcomes : polars.DataFrame or None
        For a source that fetches symbol by symbol, one row each: `symbol`, `outcome` ("rows", "none"
        or "error"), `rows`, `cause`, `retryable`, `tries`, in the order requested.
    snapshot : str or None
        For prices from a store, the name under which the same rows can be read again.
    """

    frame: pl.DataFrame
    source: str
    simulated: bool
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    truth: pl.DataFrame | None = None
    listings: pl.DataFrame | None = None
    outcomes: pl.DataFrame | None = None
    snapshot: str | None = None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content of `frame`, in hex, as `fingerprint` computes it."""
        return fingerprint(self.frame)


class PriceSource(Protocol):
    """Any object with this `read`; no base class is needed."""

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Read prices of `symbols` from `first` to `last`, both included; `None` is no bound."""
        ...


def check_symbols(symbols: Sequence[str]) -> tuple[str, ...]:
    """Return the requested symbols without repeats, in their order.

    Raises
    ------
    SpecificationError
        If there is none, or one is not non-empty text.

    Examples
    --------
    >>> check_symbols(["NVDA", "2330.TW", "NVDA"])
    ('NVDA', '2330.TW')
    """
    if isinstance(symbols, str):
        raise SpecificationError(
            f"symbols={symbols!r} is text, which would be read letter by letter. Give a list: [{symbols!r}]."
        )
    names = tuple(dict.fromkeys(symbols))
    if not names:
        raise SpecificationError("symbols is empty, so there is nothing to read. Give at least one symbol.")
    invalid = [name for name in names if not isinstance(name, str) or not name]
    if invalid:
        raise SpecificationError(f"{invalid[0]!r} is not a symbol. Give non-empty text, such as 'NVDA'.")
    return names


def check_range(first: date | None, last: date | None) -> None:
    """Raise SpecificationError for bounds that are not dates or not in order."""
    for name, bound in (("first", first), ("last", last)):
        if bound is not None and (not isinstance(bound, date) or isinstance(bound, datetime)):
            raise SpecificationError(f"{name}={bound!r} is not a date. Give a datetime.date, or None for no bound.")
    if first is not None and last is not None and first > last:
        raise SpecificationError(f"first {first} lies after last {last}, so no date is between them. Swap them.")


def within(frame: Frame, first: date | None, last: date | None) -> Frame:
    """Filter rows to dates from `first` to `last`, both included.

    A row without a date stays, so that the contract's check reports it.
    """
    if first is not None:
        frame = frame.filter((pl.col("date") >= first).fill_null(value=True))
    if last is not None:
        frame = frame.filter((pl.col("date") <= last).fill_null(value=True))
    return frame


def price_table(
    frame: pl.DataFrame,
    *,
    requested: Sequence[str],
    source: str,
    notes: Sequence[str] = (),
    simulated: bool = False,
    truth: pl.DataFrame | None = None,
    listings: pl.DataFrame | None = None,
    outcomes: pl.DataFrame | None = None,
    snapshot: str | None = None,
) -> PriceTable:
    """Check, sort and fingerprint rows of prices.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows as in `PriceTable.frame`, in any order.
    requested : sequence of str
        Requested symbols.
    source, notes, simulated, truth, listings, outcomes, snapshot
        Attributes of `PriceTable`.

    Raises
    ------
    DataError
        If a row breaks `schema.Prices`.
    SourceError
        If there is no row at all.
    """
    extra = [name for name in EXTRA_COLUMNS if name in frame.columns]
    rows = checked_rows(frame, [*COLUMNS, *extra], requested, source)
    return PriceTable(
        frame=rows.select(*COLUMNS, *extra),
        source=source,
        simulated=simulated,
        missing=absent_symbols(rows, requested),
        notes=tuple(notes),
        truth=truth,
        listings=listings,
        outcomes=outcomes,
        snapshot=snapshot,
    )


def absent_symbols(rows: pl.DataFrame, requested: Sequence[str]) -> tuple[str, ...]:
    """Return the requested symbols without a row."""
    present = set(rows["symbol"].unique())
    return tuple(symbol for symbol in requested if symbol not in present)


def checked_rows(frame: pl.DataFrame, columns: Sequence[str], requested: Sequence[str], source: str) -> pl.DataFrame:
    """Check the columns of prices, and sort all columns by symbol and date; see `price_table` for the errors."""
    if frame.is_empty():
        raise SourceError(
            f"{source} has no prices of {listed(list(requested))} on the requested dates. Check symbols and dates.",
            source=source,
            symbols=tuple(requested),
            retryable=False,
        )
    label, prices = (
        f"prices of {source} (rows counted among those requested)",
        frame.select(c for c in columns if c in frame.columns),
    )
    # a repeated key shows in sorted rows; to search for it among unsorted ones takes longer than all other rules
    try:
        checked = schema.check(schema.PriceRows, prices, label).select(columns)
    except DataError:
        schema.check(schema.Prices, prices, label)  # reports every broken rule at once
        raise
    rows = sort_rows(frame.with_columns(checked))
    if rows.select(is_repeated_key().any()).item():
        schema.check(schema.Prices, prices, label)  # raises
    return rows
