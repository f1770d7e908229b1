"""Prices from a Parquet or CSV file, or from a frame in memory."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from marketimpact.core import csv_reader, schema
from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources.files.price_rows import (
    cast_value,
    n_rows_text,
    no_symbols_error,
    parse_value,
    require_readable,
    type_error,
)
from marketimpact.sources.protocol import PriceTable, check_range, check_symbols, price_table, within

__all__ = ["FilePrices"]

NUMBERS = ("close", "adj_close", "volume")
KNOWN = ("symbol", "date", *NUMBERS)
#: Columns that only the checks of prices look at.
TEXTS, FURTHER_NUMBERS = ("currency",), ("dividend", "split")
#: Columns that say where a row comes from; a change within a symbol is a seam.
ORIGINS = ("adjustment", "source")
#: What other programs call these columns, in lower case without punctuation.
SYNONYMS = {
    "symbol": ("symbol", "symbols", "ticker", "tickers", "tic", "ric", "code", "secid", "instrument"),
    "date": ("date", "day", "datetime", "timestamp", "tradedate", "tradingday", "index"),
    "close": ("close", "closeprice", "closingprice", "price", "prc", "pxlast", "last", "settle"),
    "adj_close": ("adjclose", "adjustedclose", "adjcloseprice", "closeadj", "adjustedprice"),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FilePrices:
    """Long prices from a file or a frame: one row per symbol and date.

    Parameters
    ----------
    prices : str, pathlib.Path or polars.DataFrame
        A `.parquet` or `.csv` file, or a frame, with the columns `symbol`, `date` (ISO in a CSV),
        `close` or `adj_close` or both, and perhaps `volume`; other columns are ignored. Where
        `adj_close` is given it is used; `close` fills in where `adj_close` is empty, which a note counts.
    drop_repeats : bool, default False
        Whether rows that say the same as another are dropped, rather than refused.

    Examples
    --------
    >>> from datetime import date
    >>> frame = pl.DataFrame({"symbol": ["NVDA"], "date": [date(2024, 1, 2)], "close": [48.17]})
    >>> FilePrices(frame).read(["NVDA", "AMD"]).missing
    ('AMD',)
    """

    prices: str | Path | pl.DataFrame
    drop_repeats: bool = False

    def __post_init__(self) -> None:
        given: object = self.prices
        if not isinstance(given, str | Path | pl.DataFrame):
            kind = type(given)
            hint = " Convert it with pl.from_pandas(...)." if kind.__module__.startswith("pandas") else ""
            raise SpecificationError(f"FilePrices takes a path or a polars frame, not {kind.__name__}.{hint}")

    def __repr__(self) -> str:
        if isinstance(self.prices, pl.DataFrame):
            return "FilePrices(frame)"
        return f"FilePrices({Path(self.prices).name!r})"

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Prices of `symbols` from the file.

        Only rows of the symbols asked for must be in order; broken rows of others are counted in a note.

        Parameters
        ----------
        symbols : sequence of str
            Symbols as the file spells them.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            Symbols the file does not have are in `missing`.

        Raises
        ------
        SpecificationError
            If no symbol is asked for, or the bounds enclose nothing.
        DataError
            If the file is absent, of another kind, unreadable or empty, lacks a column, or has a row of
            a symbol asked for that breaks the rules: a repeated date, a price that is no positive number.
        SourceError
            If none of the symbols is in the file, or none on the dates asked for.
        """
        asked = check_symbols(symbols)
        check_range(first, last)
        source = repr(self)
        raw = self._load()
        frame = _parse_rows(_require_columns(raw, source), source)
        mine = pl.col("symbol").is_in(asked).fill_null(value=False)
        ours, others = frame.filter(mine), frame.filter(~mine)
        if ours.is_empty():
            raise no_symbols_error(frame["symbol"].drop_nulls().to_list(), asked, source)
        require_readable(ours, source)
        if self.drop_repeats:
            ours = ours.unique(maintain_order=True)
        chosen = within(ours, first, last)
        notes = (*_basis_notes(chosen, raw.columns), *_range_notes(ours, chosen), *_broken_notes(others))
        return price_table(chosen, asked=asked, source=source, notes=notes)

    def rows(
        self, symbols: Sequence[str] | None = None, first: date | None = None, last: date | None = None
    ) -> pl.DataFrame:
        """Every row as the file has it, typed but not refused: what `check_prices` looks at.

        Parameters
        ----------
        symbols : sequence of str, optional
            Symbols as the file spells them; all by default.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        polars.DataFrame
            ``symbol, date, close`` (the close that returns are computed from), ``volume``, ``unadjusted_close``
            (the close where adj_close is given too), ``from_adjusted``, ``unreadable`` (the first cell that is no
            date or number), and where the file has them ``currency, dividend, split`` and ``origin``, what its
            columns `adjustment` and `source` say.
        """
        source = repr(self)
        raw = self._load()
        frame = _parse_rows(_require_columns(raw, source), source)
        further = [pl.col(c).cast(pl.String).str.strip_chars().replace("", None) for c in TEXTS if c in raw.columns]
        further += [_number(c) for c in FURTHER_NUMBERS if c in raw.columns]
        if origins := [pl.col(c).cast(pl.String) for c in ORIGINS if c in raw.columns]:
            further.append(pl.concat_str(origins, separator=", ", ignore_nulls=True).alias("origin"))
        frame = pl.concat([frame, raw.select(further)], how="horizontal")
        if symbols is not None:
            frame = frame.filter(pl.col("symbol").is_in(list(symbols)))
        return within(frame, first, last)

    def _load(self) -> pl.DataFrame:
        frame = self.prices if isinstance(self.prices, pl.DataFrame) else load_file(Path(self.prices).expanduser())
        if frame.is_empty():
            raise DataError(f"{self!r} has no rows. Check the file, or the filter that made it.")
        return frame


def load_file(path: Path) -> pl.DataFrame:
    """The rows of a Parquet file, or of a CSV file with every value as text; broken ones are a `DataError`."""
    kind = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path} is a folder. FolderPrices reads one with a file per symbol.")
    if kind not in (".parquet", ".csv"):
        raise DataError(
            f"{path} ends in {kind!r}, which is not read here. Give .parquet or .csv; "
            "hand in anything else as a polars frame."
        )
    if not path.is_file():
        raise DataError(f"There is no file {path}. Relative paths start at the working directory.")
    try:
        # One open file: reading by path opens it several times, and fails while another replaces it.
        with path.open("rb") as file:
            raw = file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be opened ({error.strerror or error}).") from error
    if kind == ".csv":
        # Everything as text: inferred types would turn the symbol 0700 into 700.
        return csv_reader.parse_table(csv_reader.decode_text(raw, str(path)), str(path))
    try:
        return pl.read_parquet(io.BytesIO(raw))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # Damaged files make polars panic as often as raise.
        cause = str(error).strip().partition("\n")[0]
        raise DataError(f"{path} cannot be read as parquet: {cause}. Write the file again.") from error


def _require_columns(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """The columns that prices need, or a message that names them and what the file calls them."""
    found = frame.columns
    lacking = [name for name in ("symbol", "date") if name not in found]
    if "close" not in found and "adj_close" not in found:
        lacking.append("close")
    if not lacking:
        return frame.select(name for name in KNOWN if name in found)
    wanted = [*lacking, "adj_close"] if "close" in lacking else lacking
    renames = {near: name for name in wanted for near in [_similar_column(name, found)] if near}
    what = ", ".join("'close' or 'adj_close'" if name == "close" else repr(name) for name in lacking)
    advice = f"Rename with .rename({renames})." if renames else "One row per symbol and date is needed."
    if "symbol" in lacking and "symbol" not in renames.values():
        advice += " Downloads with a file per symbol are read from their folder by FolderPrices."
    raise DataError(
        f"{source} lacks the column{'s' if len(lacking) > 1 else ''} {what}; "
        f"it has {', '.join(map(repr, found))}. {advice}"
    )


def _similar_column(wanted: str, found: Sequence[str]) -> str | None:
    """The column most likely meant by `wanted`, if one is."""
    bare = {re.sub(r"[^a-z]", "", name.lower()): name for name in reversed(found) if name not in KNOWN}
    for synonym in SYNONYMS[wanted]:
        if synonym in bare:
            return bare[synonym]
    alike = difflib.get_close_matches(wanted.replace("_", ""), bare, n=1, cutoff=0.8)
    return bare[alike[0]] if alike else None


def _parse_rows(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """Types of `Prices`, the price chosen, and what stays unreadable, row by row.

    Adds `from_adjusted` (whether the row has an adjusted close), and `unreadable`: the first value of
    the row that is no date or number, as "column 'text'", else empty.
    """
    texts = all(dtype == pl.String for dtype in frame.dtypes)
    expressions = {"symbol": pl.col("symbol").cast(pl.String)}
    for name in frame.columns[1:]:
        expressions[name] = parse_value(name) if texts else cast_value(frame[name], source)
    if not isinstance(frame["symbol"].dtype, pl.String | pl.Categorical | pl.Enum):
        raise type_error(frame["symbol"], "text", source)
    lost = [
        pl.when(value.is_null() & pl.col(name).is_not_null()).then(
            pl.format("{} '{}'", pl.lit(name), pl.col(name).cast(pl.String))
        )
        for name, value in expressions.items()
    ]
    frame = frame.with_columns(
        *(value.alias(name) for name, value in expressions.items()), unreadable=pl.coalesce(lost)
    )
    if "adj_close" not in frame.columns:
        return frame.with_columns(from_adjusted=pl.lit(None, dtype=pl.Boolean))
    given = pl.col("adj_close")
    chosen = pl.coalesce("adj_close", "close") if "close" in frame.columns else given
    if "close" in frame.columns:
        frame = frame.with_columns(unadjusted_close=pl.col("close"))
    return frame.with_columns(from_adjusted=given.is_not_null(), close=chosen).drop("adj_close")


def _number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64, strict=False)


def _basis_notes(chosen: pl.DataFrame, found: Sequence[str]) -> list[str]:
    """Where `close` stands in for the adjusted close; worst where one symbol has both."""
    priced = chosen.filter(pl.col("close").is_not_null())
    if priced.is_empty():
        return []
    adjusted = priced["from_adjusted"]
    if adjusted.null_count():
        near = _similar_column("adj_close", found)
        hint = f" If column {near!r} is one, rename it to 'adj_close'." if near else ""
        return [f"There is no adj_close: close is used as given, adjusted or not.{hint}"]
    if adjusted.all():
        return []
    notes = [f"adj_close is empty on {n_rows_text(priced.height - int(adjusted.sum()))}: close is used there."]
    bases = priced.group_by("symbol").agg(pl.col("from_adjusted").n_unique().alias("bases"))
    mixed = bases.filter(pl.col("bases") > 1)["symbol"].sort().to_list()
    if mixed:
        notes.append(
            f"adj_close and close are mixed within {listed(mixed)}: a return from one to the other is wrong "
            "by the adjustment. Fill in adj_close, or leave close empty there."
        )
    return notes


def _range_notes(ours: pl.DataFrame, chosen: pl.DataFrame) -> list[str]:
    empty = sorted(set(ours["symbol"].unique()) - set(chosen["symbol"].unique()))
    return [f"Known, but without a row on the dates asked for: {listed(empty)}."] if empty else []


def _broken_notes(others: pl.DataFrame) -> list[str]:
    """Count the rows of other symbols that would have been refused."""
    readable = others.filter(pl.col("unreadable").is_null())
    broken = others.height - readable.height
    if not readable.is_empty():
        try:
            schema.check(schema.Prices, readable, "prices")
        except DataError as error:
            broken += readable.height if error.rows is None else error.rows.height
    return [f"{n_rows_text(broken)} of symbols not asked for break the rules of prices."] if broken else []
