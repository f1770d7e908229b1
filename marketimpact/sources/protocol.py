"""What every source of prices promises: a `PriceTable`, whatever the prices come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

import polars as pl

from marketimpact.core import schema
from marketimpact.core.fingerprint import fingerprint
from marketimpact.core.text import listed
from marketimpact.errors import SourceError, SpecificationError

__all__ = [
    "PriceSource",
    "PriceTable",
    "check_range",
    "check_symbols",
    "price_table",
    "within",
]

COLUMNS = ("symbol", "date", "close", "volume")
#: What a source keeps beside them where it has it.
EXTRA_COLUMNS = ("unadjusted_close", "dividend", "split")


@dataclass(frozen=True, slots=True, eq=False)
class PriceTable:
    """Prices as a source gave them, with what a reader must know about them.

    Attributes
    ----------
    frame : polars.DataFrame
        `symbol` (String), `date` (Date, the exchange's own session), `close` (Float64, in the currency
        of the listing, the price returns are computed from: adjusted where the source has such a
        price; empty on a day without one), `volume` (Float64, shares, may be empty). One row per
        (symbol, date), sorted by it. Where the source has them also `unadjusted_close` (Float64, not
        adjusted for dividends), `dividend` (Float64, per share, currency of the listing, on the ex-date)
        and `split` (Float64, new shares per old share, on the day it takes effect).
    source : str
        What a reader should cite. Never a path of a machine.
    fingerprint : str
        SHA-256 of the content of `frame`, in hex, as `fingerprint` computes it.
    simulated : bool
        Whether the prices are made up.
    missing : tuple of str
        Symbols asked for and not had, in the order asked.
    notes : tuple of str
        What a reader should know about these prices.
    truth : polars.DataFrame or None
        For simulated prices, the effect put in: `symbol`, `date`, `abnormal_return` (fraction).
    listings : polars.DataFrame or None
        What the source says of each symbol it has: `symbol`, `currency`, `time_zone` (IANA name of the
        exchange's), any of them empty.
    outcomes : polars.DataFrame or None
        For a source that asks symbol by symbol, what came of each: `symbol`, `outcome` ("rows", "none"
        or "error"), `rows`, `cause`, `retryable`, `tries`, in the order asked.
    snapshot : str or None
        For prices from a store, the name under which the same rows can be read again.
    """

    frame: pl.DataFrame
    source: str
    fingerprint: str
    simulated: bool
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    truth: pl.DataFrame | None = None
    listings: pl.DataFrame | None = None
    outcomes: pl.DataFrame | None = None
    snapshot: str | None = None


class PriceSource(Protocol):
    """Anything with this `read`; no base class is needed."""

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Prices of `symbols` from `first` to `last`, both included; `None` is no bound."""
        ...


def check_symbols(symbols: Sequence[str]) -> tuple[str, ...]:
    """The symbols asked for, each once, in the order asked.

    Raises
    ------
    SpecificationError
        If there is none, or one is not a name.

    Examples
    --------
    >>> asked_symbols(["NVDA", "2330.TW", "NVDA"])
    ('NVDA', '2330.TW')
    """
    if isinstance(symbols, str):
        raise SpecificationError(
            f"symbols is the text {symbols!r}, which would be read letter by letter. Write [{symbols!r}]."
        )
    names = tuple(dict.fromkeys(symbols))
    if not names:
        raise SpecificationError("symbols is empty: there is nothing to read. Name at least one symbol.")
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if wrong:
        raise SpecificationError(f"{wrong[0]!r} is no symbol. Symbols are non-empty text, such as 'NVDA'.")
    return names


def check_range(first: date | None, last: date | None) -> None:
    """Refuse bounds that are no dates or enclose nothing."""
    for name, bound in (("first", first), ("last", last)):
        if bound is not None and (not isinstance(bound, date) or isinstance(bound, datetime)):
            raise SpecificationError(f"{name} is {bound!r}. Give a datetime.date, or None for no bound.")
    if first is not None and last is not None and first > last:
        raise SpecificationError(f"first {first} lies after last {last}: no date is between. Swap them.")


def within(frame: pl.DataFrame, first: date | None, last: date | None) -> pl.DataFrame:
    """The rows of `frame` whose `date` lies from `first` to `last`, both included.

    A row without a date stays, so that the check at the door sees it.
    """
    if first is not None:
        frame = frame.filter((pl.col("date") >= first).fill_null(value=True))
    if last is not None:
        frame = frame.filter((pl.col("date") <= last).fill_null(value=True))
    return frame


def price_table(
    frame: pl.DataFrame,
    *,
    asked: Sequence[str],
    source: str,
    notes: Sequence[str] = (),
    simulated: bool = False,
    truth: pl.DataFrame | None = None,
    listings: pl.DataFrame | None = None,
    outcomes: pl.DataFrame | None = None,
    snapshot: str | None = None,
) -> PriceTable:
    """Check, sort and fingerprint what a source read.

    The other arguments are the attributes of `PriceTable`.

    Raises
    ------
    DataError
        If a row breaks `schema.Prices`.
    SourceError
        If there is no row at all.
    """
    if frame.is_empty():
        raise SourceError(
            f"{source} has no prices of {listed(list(asked))} on the dates asked for.",
            source=source,
            symbols=tuple(asked),
            retryable=False,
        )
    given = [name for name in EXTRA_COLUMNS if name in frame.columns]
    frame = (
        schema.check(schema.Prices, frame, f"prices of {source} (rows counted among those asked for)")
        .select(*COLUMNS, *given)
        .sort("symbol", "date")
    )
    found = set(frame["symbol"].unique())
    return PriceTable(
        frame=frame,
        source=source,
        fingerprint=fingerprint(frame),
        simulated=simulated,
        missing=tuple(symbol for symbol in asked if symbol not in found),
        notes=tuple(notes),
        truth=truth,
        listings=listings,
        outcomes=outcomes,
        snapshot=snapshot,
    )
