"""Open a Parquet, CSV or Excel file of rows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from marketimpact.core import csv_reader
from marketimpact.core.text import first_line
from marketimpact.core.workbooks import read_workbook
from marketimpact.errors import DataError

__all__ = ["load_file", "readable", "scan_file"]


def scan_file(path: Path, table: str) -> pl.LazyFrame:
    """Open a Parquet file, read a CSV file with every value as text, or the sheet `table` of a workbook.

    Raise DataError if it is not readable.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path} is a folder. FolderPrices reads one with a file per symbol.")
    if suffix not in (".parquet", ".csv", ".xlsx"):
        raise DataError(
            f"{path} ends in {suffix!r}, which is not read here. Give .parquet, .csv or "
            ".xlsx; give anything else as a frame."
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
        return csv_reader.parse_table(csv_reader.decode_text(raw, str(path)), str(path)).lazy()
    if suffix == ".xlsx":
        return read_workbook(raw, str(path), table).lazy()
    return pl.scan_parquet(io.BytesIO(raw))


@contextmanager
def readable(file: object) -> Iterator[None]:
    """Turn an error of polars into a DataError while a Parquet file is read; other things than paths have no such."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if not isinstance(file, str | Path):
            raise
        # damaged files make polars panic as often as raise
        path = Path(file).expanduser()
        raise DataError(f"{path} cannot be read as parquet: {first_line(error)}. Write the file again.") from error


def load_file(path: Path, table: str) -> pl.DataFrame:
    """Read a file that `scan_file` opens."""
    with readable(path):
        return scan_file(path, table).collect(engine="in-memory")
