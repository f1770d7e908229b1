"""Prices from a folder of CSV files, one per symbol, as vendors lay them out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources.files.price_rows import (
    adjustment_notes,
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
    (`close` is the adjusted close, `unadjusted_close` the other), Stooq's CSVs and bulk files, AkShare's
    frames with Chinese or English columns. A symbol is what the file says of itself, else the name of the
    file: ``NVDA.csv``, ``aapl.us.txt`` (AAPL), ``981.hk.csv`` (0981.HK), ``6920.jp.txt`` (6920.T),
    ``sh600519.csv`` (600519.SS). A file of six digits is a share in China where its columns are Chinese or
    Sina's, and has to be renamed elsewhere, since Korea writes its codes so too.

    Volumes in AkShare's Chinese layout are lots of 100 shares for mainland listings, and are converted.

    Parameters
    ----------
    path : str or pathlib.Path
        A folder, with folders in it or not, or one file; ``.csv`` and ``.txt`` are looked at.

    Examples
    --------
    >>> FolderPrices("downloads/yahoo")
    FolderPrices('yahoo')
    """

    path: str | Path

    def __post_init__(self) -> None:
        given: object = self.path
        if not isinstance(given, str | Path) or not str(given) or "\0" in str(given):
            raise SpecificationError(f"FolderPrices takes the path of a folder or a file, not {given!r}.")

    def __repr__(self) -> str:
        # abspath: the name of "." is empty
        return f"FolderPrices({Path(os.path.abspath(self.path)).name!r})"  # noqa: PTH100

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Prices of `symbols` from their files; the files of others are not read beyond their header.

        Parameters
        ----------
        symbols : sequence of str
            Symbols as Yahoo writes them.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            Symbols without a file are in `missing`; the notes name files that are no prices, and the
            basis of the closes.

        Raises
        ------
        SpecificationError
            If no symbol is asked for, or the bounds enclose nothing.
        DataError
            If there is no such folder, two files hold one symbol, or the file of a symbol asked for has
            an unknown layout or a row that breaks the rules.
        SourceError
            If no symbol asked for has a file, or a row on the dates asked for.
        """
        asked = check_symbols(symbols)
        check_range(first, last)
        files = [inspect_file(path) for path in _paths(Path(self.path).expanduser())]
        if len(files) == 1 and files[0].problem:
            raise files[0].problem
        chosen = _files_by_symbol(files, asked)
        if not chosen:
            raise no_symbols_error([name for file in files for name in file.symbols], asked, repr(self))
        pieces: list[pl.DataFrame] = []
        notes: dict[str, list[str]] = {}
        for file, mine in chosen:
            rows, said = read_rows(file, mine)
            require_readable(rows, file.path.name)
            pieces.append(use_adjusted_close(rows).drop("unreadable"))
            for note in (*said, *adjustment_notes(rows)):
                notes.setdefault(note, []).extend(mine)
        every = pl.concat(pieces, how="diagonal")
        frame = within(every, first, last)
        told = [f"{note.rstrip('.')}: {listed(sorted(names))}." for note, names in notes.items()]
        if empty := sorted(set(every["symbol"]) - set(frame["symbol"])):
            told.append(f"Known, but without a row on the dates asked for: {listed(empty)}.")
        if strange := [file.path.name for file in files if file.problem]:
            told.append(f"Not read, of no layout known here or of a name that does not tell: {listed(strange)}.")
        return price_table(frame, asked=asked, source=repr(self), notes=told)


def _paths(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"There is no folder or file {path}. Relative paths start at the working directory.")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise DataError(f"{path} holds no {' or '.join(SUFFIXES)} file. Hand in Parquet with FilePrices.")
    return files


def _files_by_symbol(files: Sequence[PriceFile], asked: Sequence[str]) -> list[tuple[PriceFile, list[str]]]:
    """The files of the symbols asked for, each with those it holds; refuses two files of one symbol."""
    of: dict[str, list[PriceFile]] = {}
    for file in files:
        for symbol in set(file.symbols).intersection(asked):
            of.setdefault(symbol, []).append(file)
    for symbol, claimants in of.items():
        for file in claimants:
            if file.problem:
                raise file.problem
        if len(claimants) > 1:
            names = listed([file.path.name for file in claimants])
            raise DataError(f"{symbol!r} is in more than one file: {names}. Keep one of them.")
    return [(file, mine) for file in files if (mine := [s for s in file.symbols if s in of])]
