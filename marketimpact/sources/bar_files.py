"""Read intraday bars from files, folders, Parquet data sets or a frame."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from marketimpact.core import csv_reader, limits
from marketimpact.core.frames import FrameLike, is_frame, to_polars
from marketimpact.core.layouts import BARS
from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import DataError, SourceError, SpecificationError
from marketimpact.sources.bar_columns import check_columns, find_columns, parse_bars
from marketimpact.sources.bar_json import parse_json
from marketimpact.sources.files.opened_file import readable
from marketimpact.sources.files.price_rows import is_true
from marketimpact.sources.files.ticker_symbols import market_symbol
from marketimpact.sources.protocol import check_symbols

__all__ = ["BarFiles", "BarSource", "BarTable"]

SUFFIXES = (".parquet", ".csv", ".txt")
#: Read where it is named itself: folders have other JSON files too.
JSON = ".json"
#: Symbols of exchanges whose vendors count volume in lots.
LOT_SUFFIXES = (".SS", ".SZ")
#: Column that marks simulated bars, as in files of prices.
MARKER = "simulated"


@dataclass(frozen=True, eq=False)
class BarTable:
    """Bars as a source has them.

    Attributes
    ----------
    rows : polars.LazyFrame
        ``symbol, clock, start, open, high, low, close, volume``: `clock` is the stamp as written, without zone;
        `start` (UTC) the instant that the source states, null where it states no zone. Any order.
    source : str
        Name for citation; never a path of this machine.
    stamps : {"start", "end"} or None
        What the stamps are of, where the source says so.
    time_zone : str or None
        Zone of `clock`, where the source says so; it replaces `start`.
    simulated : bool
        Whether the bars are simulated.
    notes : tuple of str
        Facts that matter for reading results from these bars.
    folder : object
        Holds a temporary folder that `rows` are read from; it is removed with this object.
    """

    rows: pl.LazyFrame
    source: str
    stamps: Literal["start", "end"] | None = None
    time_zone: str | None = None
    simulated: bool = False
    notes: tuple[str, ...] = ()
    folder: object = field(default=None, repr=False)

    def instants(self) -> pl.LazyFrame:
        """Return the rows with the clock read in the zone that was stated for it; else with the source's instants."""
        if self.time_zone is None:
            return self.rows
        local = pl.col("clock").dt.replace_time_zone(self.time_zone, ambiguous="earliest", non_existent="null")
        return self.rows.with_columns(local.dt.convert_time_zone("UTC").alias("start"))


class BarSource(Protocol):
    """Any object with this `read_bars`; no base class is needed."""

    def read_bars(self, symbols: Sequence[str]) -> BarTable:
        """Read the bars of `symbols`."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BarFiles:
    """Intraday bars from a file, a folder of files, a Parquet data set or a frame.

    Parameters
    ----------
    bars : str, pathlib.Path or FrameLike
        A ``.parquet``, ``.csv`` or ``.txt`` file, a folder of them, read with its subfolders, a ``.json`` file of
        records or of Alpha Vantage, or a frame. Columns are recognised by their usual names (``timestamp``,
        ``Datetime``, ``o``, ``vol``, ...), as are CSV files of ``yfinance.download``. Without a column of symbols the
        file's name is the symbol (``NVDA.csv``, ``NVDA_5m.csv``), or a folder ``symbol=NVDA``. Parquet files are
        scanned, never read whole; text of more than 64 MB is parsed file by file to Parquet files in a temporary
        folder, which goes when the bars go.
    symbol : str, optional
        Whose bars a file without a column of symbols has.
    columns : mapping of str to str, or sequence of str, optional
        Name in the file -> ``symbol, start, open, high, low, close, volume``; or the names of a CSV without a header,
        in order.
    time_zone : str, optional
        IANA name of the zone whose clock the stamps show. Needed for stamps without a zone; where they state
        one, this replaces it, for files that label local time as UTC.
    stamps : {"start", "end"}, optional
        Whether a stamp is the start or the end of its bar; found from the exchange's hours by default.
    lot : int, optional
        Shares in one unit of volume, such as 100 for vendors of Shanghai and Shenzhen; by default 1, and for symbols
        of these two a note says that it was assumed.

    Notes
    -----
    Nothing is guessed in silence: `Bars.load` refuses stamps without a zone and names the zone that fits the
    exchange's hours.

    Examples
    --------
    >>> frame = pl.DataFrame({"t": ["2025-05-07T15:40:00-04:00"], "o": [1.0], "h": [1.2], "l": [0.9], "c": [1.1]})
    >>> BarFiles(frame, symbol="NVDA").read_bars(["NVDA"]).rows.select("symbol", "start", "close").collect().row(0)
    ('NVDA', datetime.datetime(2025, 5, 7, 19, 40, tzinfo=zoneinfo.ZoneInfo(key='UTC')), 1.1)
    """

    bars: str | Path | FrameLike
    symbol: str | None = None
    columns: Mapping[str, str] | Sequence[str] | None = None
    time_zone: str | None = None
    stamps: Literal["start", "end"] | None = None
    lot: int | None = None

    def __post_init__(self) -> None:
        bars: object = self.bars
        if self.lot is not None and (isinstance(self.lot, bool) or not isinstance(self.lot, int) or self.lot < 1):
            raise SpecificationError(f"lot={self.lot!r} is no number of shares. Give a whole number, such as 100.")
        check_columns(self.columns)
        if self.stamps not in (None, "start", "end"):
            raise SpecificationError(f"stamps={self.stamps!r} is not possible. Give 'start', 'end' or None.")
        if self.time_zone is not None:
            check_zone(self.time_zone)
        if isinstance(bars, str | Path):
            return
        if not is_frame(bars):
            raise SpecificationError(f"BarFiles takes a path or a frame, not {type(bars).__name__}.")
        if not isinstance(bars, pl.LazyFrame):
            object.__setattr__(self, "bars", to_polars(bars, "bars", BARS))

    def __repr__(self) -> str:
        if isinstance(self.bars, str | Path):
            return f"BarFiles({Path(os.path.abspath(self.bars)).name!r})"  # noqa: PTH100  # the name of "." is empty
        return "BarFiles(frame)"

    def read_bars(self, symbols: Sequence[str]) -> BarTable:
        """Read the bars of `symbols`; Parquet files are only opened.

        Parameters
        ----------
        symbols : sequence of str
            Yahoo symbols.

        Returns
        -------
        BarTable

        Raises
        ------
        DataError
            If a file is absent, unreadable or empty, lacks a column, or has a cell that is no stamp or number.
        SourceError
            If no file has bars of these symbols.
        """
        requested = check_symbols(symbols)
        if self.symbol is not None and self.symbol not in requested:
            raise SourceError(
                f"{self!r} was said to have bars of symbol={self.symbol!r}, and {listed(requested)} was asked for."
                f"{did_you_mean(self.symbol, requested)} Give both the same spelling.",
                source=repr(self), symbols=requested, retryable=False,
            )  # fmt: skip
        if not isinstance(self.bars, str | Path):
            parts = [self._parsed(self._frame(), "bars", self.symbol)]
            notes: list[str] = []
            folder = None
        else:
            parts, notes, folder = self._files(Path(self.bars).expanduser(), requested)
        if not parts:
            raise SourceError(
                f"{self!r} has no file of {listed(requested)}. {' '.join(notes)}",
                source=repr(self), symbols=requested, retryable=False,
            )  # fmt: skip
        rows = pl.concat([rows for rows, _ in parts]).filter(pl.col("symbol").is_in(list(requested)))
        simulated = any(simulated for _, simulated in parts)
        if self.lot is not None:
            rows = rows.with_columns(pl.col("volume") * self.lot)
        elif names := _counted_in_lots(rows, requested):
            notes.append(
                f"Volume of {listed(names)} was taken for shares; vendors there state it in lots of 100 as a rule. "
                "If so, say BarFiles(..., lot=100)."
            )
        return BarTable(rows, repr(self), self.stamps, self.time_zone, simulated, tuple(notes), folder)

    def _frame(self) -> pl.LazyFrame:
        return self.bars.lazy() if isinstance(self.bars, pl.DataFrame | pl.LazyFrame) else pl.LazyFrame()

    def _files(
        self, path: Path, requested: Sequence[str]
    ) -> tuple[list[tuple[pl.LazyFrame, bool]], list[str], _Folder | None]:
        """Open a file, or the files of a folder; files of other symbols are counted in a note."""
        files = _paths(path)
        n_bytes = sum(file.stat().st_size for file in files if file.suffix.lower() != ".parquet")
        folder = _Folder() if n_bytes > limits.BAR_TEXT_BYTES else None
        parts, others = [], []
        for file in files:
            with readable(file):
                raw = _scan(file, self.columns)
                symbol = self.symbol or _symbol_of(file, path)
                has_column = _has_symbols(raw, self.columns)
                if not has_column and self.symbol is None and len(files) > 1 and symbol not in requested:
                    others.append(file.name)
                    continue
                alone = symbol if self.symbol or symbol in requested else None
                rows, simulated = self._parsed(raw, file.name, None if has_column and not self.symbol else alone)
                if folder is not None and file.suffix.lower() != ".parquet":
                    rows = folder.laid_out(rows.filter(pl.col("symbol").is_in(list(requested))))
                parts.append((rows, simulated))
        notes = [f"Not read, since no requested symbol is in their names: {listed(others)}."] if others else []
        return parts, notes, folder

    def _parsed(self, raw: pl.LazyFrame, label: str, symbol: str | None) -> tuple[pl.LazyFrame, bool]:
        """Recognise the columns of one file and parse its rows; also whether it says that they are simulated."""
        with readable(label):
            if raw.head(1).collect(engine="in-memory").is_empty():
                raise DataError(f"{label} has no rows. Check the file, or the filter that made it.")
            present = raw.collect_schema().names()
            stated = self.columns if isinstance(self.columns, Mapping) else MappingProxyType({})
            raw = _joined_stamps(raw, present, stated)
            found = find_columns(raw.collect_schema().names(), stated, label, has_symbol=symbol is not None)
            marked = MARKER in present and raw.select(is_true(MARKER).any()).collect(engine="in-memory").item()
            return parse_bars(raw, found, symbol, label), bool(marked)


class _Folder:
    """A temporary folder of Parquet files, removed with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="marketimpact-bars-"))
        self.count = 0
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def laid_out(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Write rows to a file, and scan it."""
        path = self.path / f"{self.count:06d}.parquet"
        self.count += 1
        rows.collect(engine="in-memory").write_parquet(path)
        return pl.scan_parquet(path)


def _counted_in_lots(rows: pl.LazyFrame, requested: Sequence[str]) -> list[str]:
    """List the symbols with volume that may be in lots, not shares."""
    names = [name for name in requested if name.endswith(LOT_SUFFIXES)]
    if not names:
        return []
    own = rows.filter(pl.col("symbol").is_in(names), pl.col("volume") > 0)
    found: list[str] = own.select(pl.col("symbol").unique().sort()).collect(engine="streaming")["symbol"].to_list()
    return found


def check_zone(name: object) -> None:
    """Raise SpecificationError for what is no IANA time zone."""
    try:
        ZoneInfo(name)  # type: ignore[arg-type]
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise SpecificationError(
            f"time_zone={name!r} is no IANA time zone. Give one such as 'America/New_York' or 'UTC'."
        ) from error


def _paths(path: Path) -> list[Path]:
    """List the files of a folder that can be read, or the one file."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not files:
            raise DataError(f"{path} has no {', '.join(SUFFIXES)} file. Check the path.")
        return files
    if not path.is_file():
        raise DataError(f"There is no file {path}. Check the path; relative paths start at the working directory.")
    if path.suffix.lower() not in (*SUFFIXES, JSON):
        raise DataError(
            f"{path} ends in {path.suffix!r}, which is not read here. Give {', '.join((*SUFFIXES, JSON))}; give "
            "anything else as a frame."
        )
    return [path]


def _scan(file: Path, columns: Mapping[str, str] | Sequence[str] | None) -> pl.LazyFrame:
    """Open a Parquet file, or parse a CSV as text."""
    if file.suffix.lower() == ".parquet":
        return pl.scan_parquet(file, hive_partitioning=False)
    try:
        if file.suffix.lower() == JSON:
            return parse_json(file.read_bytes(), file.name).lazy()
        text = csv_reader.decode_text(file.read_bytes(), file.name)
    except OSError as error:
        raise DataError(f"{file.name} cannot be opened ({error.strerror or error}).") from error
    if columns is not None and not isinstance(columns, Mapping):
        return csv_reader.parse_table(text, file.name, names=list(columns)).lazy()
    if several := _yfinance_names(text, file.name):
        names, symbol = several
        return csv_reader.parse_table(text, file.name, names=names, skip=3).lazy().with_columns(symbol=pl.lit(symbol))
    table = csv_reader.parse_table(text, file.name)
    unnamed = [name for name in table.columns if not name]  # row numbers that pandas wrote
    return table.drop(unnamed).lazy()


def _yfinance_names(text: str, label: str) -> tuple[list[str], str] | None:
    """Read the header of `yfinance.download(...).to_csv()` with one ticker; None for other files."""
    records = csv_reader.first_records(text, 3)
    if len(records) < 3 or records[0][0] != "Price" or records[1][0] != "Ticker":
        return None
    tickers = set(records[1][1:])
    if len(tickers) > 1:
        raise DataError(
            f"{label} has columns of several tickers: {listed(sorted(tickers))}. Stack them to one row per symbol and "
            "stamp, or download one ticker per file."
        )
    return ["start", *records[0][1:]], market_symbol(tickers.pop())


def _has_symbols(raw: pl.LazyFrame, columns: Mapping[str, str] | Sequence[str] | None) -> bool:
    stated = columns if isinstance(columns, Mapping) else {}
    if "symbol" in stated.values():
        return True
    try:
        found = find_columns(raw.collect_schema().names(), {}, "", has_symbol=True)
    except DataError:
        return "symbol" in raw.collect_schema().names()
    return "symbol" in found


def _symbol_of(file: Path, root: Path) -> str:
    """Take the symbol from a folder ``symbol=NVDA``, else from the file's name up to the first underscore."""
    for part in file.relative_to(root).parts[:-1] if root.is_dir() else ():
        key, _, value = part.partition("=")
        if key == "symbol" and value:
            return value
    whole = market_symbol(file.stem)
    return whole if "_" not in file.stem else market_symbol(file.stem.split("_")[0])


def _joined_stamps(raw: pl.LazyFrame, present: Sequence[str], stated: Mapping[str, str]) -> pl.LazyFrame:
    """Join a column of dates and one of times of day, as text, to one of stamps."""
    lower = {name.lower().strip("<>"): name for name in present}
    if "start" in stated.values() or not {"date", "time"} <= set(lower) or "start" in present:
        return raw
    date, time = lower["date"], lower["time"]
    types = raw.collect_schema()
    if types[date] not in (pl.String, pl.Date) or types[time] not in (pl.String, pl.Time):
        return raw
    first = raw.select(pl.col(date).cast(pl.String).first()).collect(engine="in-memory").item() or ""
    if ":" in first:
        return raw
    stamp = pl.concat_str(pl.col(date).cast(pl.String), pl.col(time).cast(pl.String), separator=" ")
    return raw.with_columns(stamp.alias("start")).drop(date, time)
