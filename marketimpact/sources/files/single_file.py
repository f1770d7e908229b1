"""Read prices from a Parquet or CSV file, or from a frame in memory."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from marketimpact.core import csv_reader, schema
from marketimpact.core.text import closest_name, first_line, listed
from marketimpact.core.type_advice import how_to_reshape
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources.files.price_rows import (
    cast_value,
    is_true,
    n_rows_text,
    no_symbols_error,
    parse_value,
    require_readable,
    type_error,
)
from marketimpact.sources.protocol import PriceTable, check_range, check_symbols, price_table, within

__all__ = ["FilePrices"]

NUMBERS = ("close", "adj_close", "volume")
KNOWN = ("symbol", "date", *NUMBERS, "delisted")
#: Columns that only the checks of prices read.
TEXTS, FURTHER_NUMBERS = ("currency",), ("dividend", "split")
#: Columns with the origin of a row; a change within a symbol is a break in its series.
ORIGINS = ("adjustment", "source")
#: Names of these columns in other programs, in lower case without punctuation.
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
        `adj_close` is given it is used, and `close` where `adj_close` is empty, with a note of the count. Of a
        symbol without any, `Market.load` makes total returns of `close` and the columns `dividend` (per share, on
        the ex-date) and `split` (new shares for one), unless it has an `unadjusted_close` beside it. With
        a column `delisted` true a symbol's last close may be 0, a total loss.
    drop_repeats : bool, default False
        Whether exact repeats of a row are dropped, rather than refused.
    delisted : collection of str
        Symbols whose last close may be 0; `Market.load` adds those of its securities.

    Examples
    --------
    >>> from datetime import date
    >>> frame = pl.DataFrame({"symbol": ["NVDA"], "date": [date(2024, 1, 2)], "close": [48.17]})
    >>> FilePrices(frame).read(["NVDA", "AMD"]).missing
    ('AMD',)
    """

    prices: str | Path | pl.DataFrame
    drop_repeats: bool = False
    delisted: Collection[str] = ()

    def __post_init__(self) -> None:
        prices: object = self.prices
        if not isinstance(prices, str | Path | pl.DataFrame):
            prices_type = type(prices)
            hint = " Convert it with pl.from_pandas(...)." if prices_type.__module__.startswith("pandas") else ""
            raise SpecificationError(f"FilePrices takes a path or a polars frame, not {prices_type.__name__}.{hint}")

    def __repr__(self) -> str:
        if isinstance(self.prices, pl.DataFrame):
            return "FilePrices(frame)"
        return f"FilePrices({Path(self.prices).name!r})"

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Read prices of `symbols` from the file.

        Only rows of the requested symbols must satisfy the contract; broken rows of others are counted in a note.

        Parameters
        ----------
        symbols : sequence of str
            Symbols as spelt in the file.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            Symbols absent from the file are in `missing`.

        Raises
        ------
        SpecificationError
            If no symbol is requested, or the bounds are not in order.
        DataError
            If the file is absent, of another type, unreadable or empty, lacks a column, or has a row of a
            requested symbol that breaks the contract, such as a repeated date or a price not above zero.
        SourceError
            If none of the symbols is in the file, or none on the requested dates.
        """
        requested = check_symbols(symbols)
        check_range(first, last)
        return self._table(*self._parse(), requested, first, last)

    def read_with_rows(
        self, symbols: Sequence[str], first: date | None = None, last: date | None = None
    ) -> tuple[PriceTable, pl.DataFrame]:
        """Read the file once, for both the table of `read` and the rows of `rows`."""
        requested = check_symbols(symbols)
        check_range(first, last)
        raw, frame = self._parse()
        return self._table(raw, frame, requested, first, last), _all_columns(raw, frame, requested, first, last)

    def _table(
        self, raw: pl.DataFrame, frame: pl.DataFrame, requested: Sequence[str], first: date | None, last: date | None
    ) -> PriceTable:
        """Check the parsed rows of the requested symbols, and add the notes on them."""
        source = repr(self)
        is_requested = pl.col("symbol").is_in(requested).fill_null(value=False)
        requested_rows, other_rows = frame.filter(is_requested), frame.filter(~is_requested)
        if requested_rows.is_empty():
            raise no_symbols_error(frame["symbol"].drop_nulls().to_list(), requested, source)
        require_readable(requested_rows, source)
        if self.drop_repeats:
            requested_rows = requested_rows.unique(maintain_order=True)
        chosen = within(requested_rows, first, last)
        notes = (*_basis_notes(chosen, raw.columns), *_range_notes(requested_rows, chosen), *_broken_notes(other_rows))
        return price_table(chosen, requested=requested, source=source, notes=notes)

    def rows(
        self, symbols: Sequence[str] | None = None, first: date | None = None, last: date | None = None
    ) -> pl.DataFrame:
        """Read every row, parsed but not checked, as `check_prices` needs them.

        Parameters
        ----------
        symbols : sequence of str, optional
            Symbols as spelt in the file; all by default.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        polars.DataFrame
            ``symbol, date, close`` (the close that returns are computed from), ``volume``, ``unadjusted_close``
            (the close where adj_close is given too), ``from_adjusted``, ``unreadable`` (the first cell that is no
            date or number), and where the file has them ``currency, dividend, split`` and ``origin``, its
            columns `adjustment` and `source` joined.
        """
        raw, frame = self._parse()
        return _all_columns(raw, frame, symbols, first, last)

    def _parse(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Load the file as it is, and parse its columns of prices."""
        raw, source = self._load(), repr(self)
        frame = _parse_rows(_require_columns(raw, source), source)
        if not self.delisted and "delisted" not in frame.columns:
            return raw, frame
        stated = pl.col("delisted") if "delisted" in frame.columns else pl.lit(value=False)
        return raw, frame.with_columns((stated | pl.col("symbol").is_in(list(self.delisted))).alias("delisted"))

    def _load(self) -> pl.DataFrame:
        """Load the frame or file as it is; raise DataError without rows."""
        frame = self.prices if isinstance(self.prices, pl.DataFrame) else load_file(Path(self.prices).expanduser())
        if frame.is_empty():
            raise DataError(f"{self!r} has no rows. Check the file, or the filter that made it.")
        return frame


def load_file(path: Path) -> pl.DataFrame:
    """Read a Parquet file, or a CSV file with every value as text; raise DataError if it is not readable."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path} is a folder. FolderPrices reads one with a file per symbol.")
    if suffix not in (".parquet", ".csv"):
        raise DataError(
            f"{path} ends in {suffix!r}, which is not read here. Give .parquet or .csv; "
            "give anything else as a polars frame."
        )
    if not path.is_file():
        raise DataError(f"There is no file {path}. Check the path; relative paths start at the working directory.")
    try:
        # opened once: polars opens a path several times, which fails while another process replaces the file
        with path.open("rb") as file:
            raw = file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be opened ({error.strerror or error}).") from error
    if suffix == ".csv":
        # all text: inferred types would turn the symbol 0700 into 700
        return csv_reader.parse_table(csv_reader.decode_text(raw, str(path)), str(path))
    try:
        return pl.read_parquet(io.BytesIO(raw))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # damaged files make polars panic as often as raise
        raise DataError(f"{path} cannot be read as parquet: {first_line(error)}. Write the file again.") from error


def _require_columns(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """Select the columns of prices; raise DataError with their likely names in the file."""
    present = frame.columns
    lacking = [name for name in ("symbol", "date") if name not in present]
    if "close" not in present and "adj_close" not in present:
        lacking.append("close")
    if not lacking:
        return frame.select(name for name in KNOWN if name in present)
    candidates = [*lacking, "adj_close"] if "close" in lacking else lacking
    renames = {match: name for name in candidates for match in [_similar_column(name, present)] if match}
    names = ", ".join("'close' or 'adj_close'" if name == "close" else repr(name) for name in lacking)
    raise DataError(
        f"{source} lacks the column{'s' if len(lacking) > 1 else ''} {names}; it has {listed(present, limit=20)}. "
        f"{_column_advice(frame, lacking, renames)}"
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


def _similar_column(name: str, present: Sequence[str]) -> str | None:
    """Find the column that is most likely `name`, by synonyms and then by spelling; None if there is none."""
    letters = {re.sub(r"[^a-z]", "", column.lower()): column for column in reversed(present) if column not in KNOWN}
    for synonym in SYNONYMS[name]:
        if synonym in letters:
            return letters[synonym]
    match = closest_name(name.replace("_", ""), letters, cutoff=0.8)
    return letters[match] if match else None


def _parse_rows(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """Parse columns and choose the close that returns are computed from.

    Adds `from_adjusted` (whether the row has an adjusted close), and `unreadable`: the first value of the row that is
    no date or number, as "column 'text'", else null.
    """
    if "delisted" in frame.columns:
        frame = frame.with_columns(is_true("delisted"))
    columns = [name for name in frame.columns if name != "delisted"]
    is_text = all(frame[name].dtype == pl.String for name in columns)
    expressions = {"symbol": pl.col("symbol").cast(pl.String)}
    for name in columns[1:]:
        expressions[name] = parse_value(name) if is_text else cast_value(frame[name], source)
    if not isinstance(frame["symbol"].dtype, pl.String | pl.Categorical | pl.Enum):
        raise type_error(frame["symbol"], "text", source)
    unreadable = [
        pl.when(value.is_null() & pl.col(name).is_not_null()).then(
            pl.format("{} '{}'", pl.lit(name), pl.col(name).cast(pl.String))
        )
        for name, value in expressions.items()
    ]
    frame = frame.with_columns(
        *(value.alias(name) for name, value in expressions.items()), unreadable=pl.coalesce(unreadable)
    )
    if "adj_close" not in frame.columns:
        return frame.with_columns(from_adjusted=pl.lit(None, dtype=pl.Boolean))
    adj_close = pl.col("adj_close")
    close = pl.coalesce("adj_close", "close") if "close" in frame.columns else adj_close
    if "close" in frame.columns:
        frame = frame.with_columns(unadjusted_close=pl.col("close"))
    return frame.with_columns(from_adjusted=adj_close.is_not_null(), close=close).drop("adj_close")


def _all_columns(
    raw: pl.DataFrame, frame: pl.DataFrame, symbols: Sequence[str] | None, first: date | None, last: date | None
) -> pl.DataFrame:
    """Add to parsed rows the columns that only the checks use, and filter symbols and dates; see `FilePrices.rows`."""
    texts = [c for c in TEXTS if c in raw.columns]
    further = [pl.col(name).cast(pl.String).str.strip_chars().replace("", None) for name in texts]
    numbers = [c for c in (*FURTHER_NUMBERS, "unadjusted_close") if c in raw.columns and c not in frame.columns]
    further += [_number(raw[name]) for name in numbers]
    unreadable = [_unreadable_number(raw[name]) for name in FURTHER_NUMBERS if name in numbers]
    further.append((pl.coalesce(unreadable) if unreadable else pl.lit(None, pl.String)).alias("_payout"))
    if origins := [pl.col(c).cast(pl.String) for c in ORIGINS if c in raw.columns]:
        further.append(pl.concat_str(origins, separator=", ", ignore_nulls=True).alias("origin"))
    names = [*texts, *numbers, "_payout", *(["origin"] if origins else [])]
    frame = pl.concat([frame, raw.with_columns(further).select(names)], how="horizontal")
    frame = _with_basis(frame, states_both="unadjusted_close" in numbers)
    if symbols is not None:
        frame = frame.filter(pl.col("symbol").is_in(list(symbols)))
    return within(frame, first, last)


def _with_basis(frame: pl.DataFrame, *, states_both: bool) -> pl.DataFrame:
    """Mark closes with an unadjusted one beside them as adjusted, and unreadable payouts of symbols without any."""
    if states_both:
        both = pl.col("unadjusted_close").is_not_null().any().over("symbol")
        frame = frame.with_columns(pl.when(both).then(pl.lit(value=True)).alias("from_adjusted"))
    adjusted = pl.col("from_adjusted").fill_null(value=False).any().over("symbol")
    cell = pl.coalesce("unreadable", pl.when(~adjusted).then("_payout"))
    return frame.with_columns(cell.alias("unreadable")).drop("_payout")


def _number(values: pl.Series) -> pl.Expr:
    """Cast a column to float, null where it is no number."""
    if values.dtype == pl.String:
        return parse_value(values.name)
    return pl.col(values.name).cast(pl.Float64, strict=False)


def _unreadable_number(values: pl.Series) -> pl.Expr:
    """Name a cell that is no number, as "column 'text'"; null for others and for blanks."""
    text = pl.col(values.name).cast(pl.String).str.strip_chars()
    return pl.when(_number(values).is_null() & (text != "")).then(pl.format("{} '{}'", pl.lit(values.name), text))


def _basis_notes(chosen: pl.DataFrame, present: Sequence[str]) -> list[str]:
    """Note rows on which `close` replaces the adjusted close, and symbols that have both."""
    priced = chosen.filter(pl.col("close").is_not_null())
    if priced.is_empty():
        return []
    adjusted = priced["from_adjusted"]
    if adjusted.null_count():
        if set(FURTHER_NUMBERS) & set(present) and "unadjusted_close" not in present:
            return ["There is no adj_close: close makes the returns, with the dividends and splits stated beside it."]
        match = _similar_column("adj_close", present)
        hint = f" If column {match!r} is one, rename it to 'adj_close'." if match else ""
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


def _range_notes(requested_rows: pl.DataFrame, chosen: pl.DataFrame) -> list[str]:
    """Note symbols whose rows are all outside the requested dates."""
    empty = sorted(set(requested_rows["symbol"].unique()) - set(chosen["symbol"].unique()))
    return [f"Known, but without a row on the requested dates: {listed(empty)}."] if empty else []


def _broken_notes(other_rows: pl.DataFrame) -> list[str]:
    """Note the number of rows of other symbols that break the contract."""
    readable = other_rows.filter(pl.col("unreadable").is_null())
    broken = other_rows.height - readable.height
    if not readable.is_empty():
        try:
            schema.check(schema.Prices, readable, "prices")
        except DataError as error:
            broken += readable.height if error.rows is None else error.rows.height
    return [f"{n_rows_text(broken)} of symbols not requested break the rules of prices."] if broken else []
