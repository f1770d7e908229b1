"""Read prices from a folder of vendors' CSV files, one per symbol."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources.files.price_rows import (
    adjustment_notes,
    drop_counted_payouts,
    no_symbols_error,
    require_readable,
    use_adjusted_close,
)
from marketimpact.sources.files.vendor_csv import PriceFile, inspect_file, read_rows
from marketimpact.sources.protocol import PriceTable, check_range, check_symbols, price_table, within

__all__ = ["FolderPrices"]

SUFFIXES = (".csv", ".txt")


@dataclass(frozen=True, slots=True, repr=False)
class FolderPrices:
    """Prices from a folder of CSV files, one per symbol, or from one such file.

    The layout of each file is recognised by its header: Yahoo's download and yfinance's CSVs
    (`close` is the adjusted close), Stooq's CSVs and bulk files, AkShare's frames with Chinese or English
    columns. The symbol is that in the file, else it follows from the file's name: ``NVDA.csv``,
    ``aapl.us.txt`` (AAPL), ``981.hk.csv`` (0981.HK), ``6920.jp.txt`` (6920.T),
    ``sh600519.csv`` (600519.SS). A name of six digits is a code in China where the columns are Chinese or
    Sina's; elsewhere it is refused, since Korean codes have six digits too.

    yfinance's histories with `Dividends` and `Stock Splits` and no `Adj Close` have adjusted closes as a rule: their
    dividends are used (see `Market.load`) only where the closes fall by them.

    Volumes in AkShare's Chinese layout are lots of 100 shares for mainland listings, and are converted.

    Parameters
    ----------
    path : str or pathlib.Path
        A folder, read with its subfolders, or one file; only ``.csv`` and ``.txt`` are read.
    delisted : collection of str
        Symbols whose last close may be 0, a total loss; `Market.load` adds those of its securities.

    Examples
    --------
    >>> FolderPrices("downloads/yahoo")
    FolderPrices('yahoo')
    """

    path: str | Path
    delisted: Collection[str] = ()

    def __post_init__(self) -> None:
        path: object = self.path
        if not isinstance(path, str | Path) or not str(path) or "\0" in str(path):
            raise SpecificationError(f"FolderPrices({path!r}) is not possible. Give the path of a folder or a file.")

    def __repr__(self) -> str:
        # abspath: the name of "." is empty
        return f"FolderPrices({Path(os.path.abspath(self.path)).name!r})"  # noqa: PTH100

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Read prices of `symbols` from their files; of other files only the header is read.

        Parameters
        ----------
        symbols : sequence of str
            Yahoo symbols.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            Symbols without a file are in `missing`; notes list files that were not read and the
            adjustment of the closes.

        Raises
        ------
        SpecificationError
            If no symbol is requested, or the bounds are not in order.
        DataError
            If there is no such folder, two files have one symbol, or the file of a requested symbol has an
            unknown layout or a row that breaks the contract.
        SourceError
            If no requested symbol has a file, or a row on the requested dates.
        """
        requested = check_symbols(symbols)
        check_range(first, last)
        files, chosen = self._select(requested)
        pieces: list[pl.DataFrame] = []
        notes: dict[str, list[str]] = {}
        known: set[str] = set()
        for file, file_symbols in chosen:
            rows, file_notes = read_rows(file, file_symbols)
            known.update(rows["symbol"].unique())
            # other dates neither stop a study nor change what is read of these
            rows = within(rows, first, last)
            require_readable(rows, file.path.name)
            rows, counted = drop_counted_payouts(rows)
            pieces.append(use_adjusted_close(rows).drop("unreadable"))
            for note in (*file_notes, *counted, *adjustment_notes(rows)):
                notes.setdefault(note, []).extend(file_symbols)
        frame = pl.concat(pieces, how="diagonal")
        if self.delisted:
            frame = frame.with_columns(pl.col("symbol").is_in(list(self.delisted)).alias("delisted"))
        texts = [f"{note.rstrip('.')}: {listed(sorted(names))}." for note, names in notes.items()]
        if empty := sorted(known - set(frame["symbol"].unique())):
            texts.append(f"Known, but without a row on the requested dates: {listed(empty)}.")
        if unread := [file.path.name for file in files if file.problem]:
            texts.append(f"Not read, since their layout or the symbol of their name is unknown: {listed(unread)}.")
        return price_table(frame, requested=requested, source=repr(self), notes=texts)

    def files(self, symbols: Sequence[str]) -> list[Path]:
        """List the files that `symbols` are read from; see `read` for the errors."""
        return [file.path for file, _ in self._select(check_symbols(symbols))[1]]

    def _select(self, requested: Sequence[str]) -> tuple[list[PriceFile], list[tuple[PriceFile, list[str]]]]:
        """Inspect all files, and find those of the requested symbols."""
        files = [inspect_file(path) for path in _paths(Path(self.path).expanduser())]
        if len(files) == 1 and files[0].problem:
            raise files[0].problem
        chosen = _files_by_symbol(files, requested)
        if not chosen:
            raise no_symbols_error([name for file in files for name in file.symbols], requested, repr(self))
        return files, chosen


def _paths(path: Path) -> list[Path]:
    """List the CSV files at a path; raise DataError where there is none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(
            f"There is no folder or file {path}. Check the path; relative paths start at the working directory."
        )
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise DataError(f"{path} holds no {' or '.join(SUFFIXES)} file. Read Parquet with FilePrices.")
    return files


def _files_by_symbol(files: Sequence[PriceFile], requested: Sequence[str]) -> list[tuple[PriceFile, list[str]]]:
    """Find the file of each requested symbol, and raise DataError for two files of one symbol."""
    files_of: dict[str, list[PriceFile]] = {}
    for file in files:
        for symbol in set(file.symbols).intersection(requested):
            files_of.setdefault(symbol, []).append(file)
    for symbol, matches in files_of.items():
        for file in matches:
            if file.problem:
                raise file.problem
        if len(matches) > 1:
            names = listed([file.path.name for file in matches])
            raise DataError(f"{symbol!r} is in more than one file: {names}. Keep one of them.")
    return [(file, symbols) for file in files if (symbols := [s for s in file.symbols if s in files_of])]
