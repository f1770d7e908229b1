"""What every source of prices promises: a `PriceTable`, whatever the prices come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

import numpy as np
import polars as pl

from marketimpact.core import schema
from marketimpact.errors import DataError, SourceError, SpecificationError

__all__ = [
    "PriceSource",
    "PriceTable",
    "asked_range",
    "asked_symbols",
    "fingerprint",
    "listed",
    "price_table",
    "within",
]

COLUMNS = ("symbol", "date", "close", "volume")
#: What a source keeps beside them where it has it.
EXTRA_COLUMNS = ("unadjusted_close", "dividend", "split")
#: How many names a message or a note lists before it says how many more there are.
NAMES_SHOWN = 5


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


def asked_symbols(symbols: Sequence[str]) -> tuple[str, ...]:
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


def asked_range(first: date | None, last: date | None) -> None:
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


def listed(names: Sequence[str]) -> str:
    """Up to five names for a sentence, and how many more there are.

    Examples
    --------
    >>> listed(["NVDA", "AMD"])
    "'NVDA', 'AMD'"
    """
    shown = ", ".join(repr(name) for name in names[:NAMES_SHOWN])
    return shown + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")


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


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 of a frame's content, in hex.

    The same rows give the same fingerprint whatever the order of rows and columns, the chunks, the
    file they came from or the machine. Numbers count to the last bit; the width of an integer or a
    float type does not. Integers must fit 64 signed bits.

    Parameters
    ----------
    frame : polars.DataFrame
        Text, categories, booleans, integers, floats, dates, timestamps, durations, and lists of text
        or numbers; any of them may be empty.

    Raises
    ------
    DataError
        For a column of another type.

    Examples
    --------
    >>> one = pl.DataFrame({"symbol": ["AMD", "NVDA"], "close": [100.0, 120.5]})
    >>> fingerprint(one) == fingerprint(one.reverse().select("close", "symbol"))
    True
    """
    kinds, plain = {}, {}
    for name in sorted(frame.columns):
        kinds[name], values = _plain(frame[name])
        # The emptiness of a value is kept beside it, so that no value can stand for it.
        plain[f"{name}\0empty"] = frame[name].is_null().cast(pl.Int64)
        plain[name] = values.fill_null("" if values.dtype == pl.String else 0)
    digest = hashlib.sha256(json.dumps([sorted(kinds.items()), frame.height]).encode())
    ordered = pl.DataFrame(plain)
    if plain:
        # Every value is an integer or a text here, so rows that tie are the same to the last bit.
        # nothing is sorted by marks of emptiness that no row has
        ordered = ordered.sort([name for name in plain if not name.endswith("\0empty") or ordered[name].max()])
    for column in ordered.iter_columns():
        for part in _parts(column):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()


def _plain(values: pl.Series) -> tuple[str, pl.Series]:
    """A column's kind, and its values as Int64 or String without loss."""
    dtype = values.dtype
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return "text", values.cast(pl.String)
    if dtype.is_integer():
        return "integer", values.cast(pl.Int64)
    if dtype.is_float():
        return "float", _bits(values)
    if dtype in (pl.Boolean, pl.Null):
        return str(dtype), values.cast(pl.Int64)
    if dtype.is_temporal():
        return str(dtype), values.to_physical().cast(pl.Int64)
    if isinstance(dtype, pl.List) and (dtype.inner == pl.String or dtype.inner.is_numeric()):
        texts = [None if row is None else json.dumps(row) for row in values.to_list()]
        return str(dtype), pl.Series(values.name, texts, dtype=pl.String)
    raise DataError(f"Column {values.name!r} has type {dtype}, which has no fingerprint. Drop it, or cast it to text.")


def _bits(values: pl.Series) -> pl.Series:
    numbers = values.cast(pl.Float64).fill_null(0.0).to_numpy().astype(np.float64, copy=True)
    numbers[np.isnan(numbers)] = np.nan  # NaN has many bit patterns; they mean the same
    return pl.Series(values.name, numbers.view(np.int64))


def _parts(column: pl.Series) -> tuple[bytes, ...]:
    if column.dtype != pl.String:
        return (column.to_numpy().astype("<i8").tobytes(),)
    lengths = column.str.len_bytes().to_numpy().astype("<i8").tobytes()
    return lengths, column.str.join().item().encode()
