"""Read CSV files strictly, as tables of text.

Other readers fill short rows with null, rename repeated columns and decode UTF-16 as letters with gaps: each
gives a wrong frame without an error. This reader refuses such files.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError

__all__ = ["decode_text", "delimiter_error", "first_records", "parse_table"]

#: Number of ragged rows that a message shows.
ROWS_SHOWN = 5
#: Quotes join lines to records; other spaces than these two are stripped by Python alone.
NOT_PLAIN = re.compile(r"[^!#-~ \t\n]")


def decode_text(raw: bytes, label: str, *, encoding: str = "utf-8-sig", complete: bool = True) -> str:
    """Decode a file's bytes strictly, by default as UTF-8 with or without a byte order mark.

    Parameters
    ----------
    raw : bytes
        The file, or its beginning.
    label : str
        Name of the file in messages.
    encoding : str
        Name of a Python codec.
    complete : bool
        Whether `raw` is the complete file; otherwise a last character that is cut off is left out.

    Raises
    ------
    DataError
        If the bytes are of another encoding, or have NUL characters, as UTF-16 and binary files do.
    """
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw, final=complete)
    except UnicodeDecodeError as error:
        expected = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise DataError(
            f"{label}: not {expected} (byte {error.start}). Save it as 'CSV UTF-8', or give "
            f"the frame that pandas reads: pd.read_csv(path, encoding='cp1252')."
        ) from error
    if "\0" in text:
        raise DataError(f"{label}: has NUL characters, so it is not CSV in UTF-8. Save it as 'CSV UTF-8'.")
    return text


def first_records(text: str, count: int) -> list[list[str]]:
    """Return up to `count` leading records that are not blank, cells stripped; they end at a line that is not CSV."""
    records: list[list[str]] = []
    try:
        for cells in csv.reader(io.StringIO(text, newline="")):
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                records.append(stripped)
            if len(records) == count:
                break
    except csv.Error:
        pass  # `parse_table` refuses the file and names the line
    return records


def parse_table(text: str, label: str, *, names: Sequence[str] = (), skip: int = 0) -> pl.DataFrame:
    """Parse CSV into text columns, cells without surrounding spaces, empty ones null.

    Parameters
    ----------
    text : str
        Comma-separated, with double quotes where needed; blank lines are ignored.
    label : str
        Name of the file in messages.
    names : sequence of str, optional
        Names of the columns; by default the first record.
    skip : int
        Number of records above the rows when `names` are given.

    Returns
    -------
    polars.DataFrame
        String columns, one row per record.

    Raises
    ------
    DataError
        If the file is empty, a name repeats, a row is longer or shorter than the header, or a quote is not closed.
    """
    n_header = skip if names else 1
    plain = _plain_lines(text)
    if plain is not None:
        first = next(csv.reader(plain.head(1)), [])
        header = _header(first, names, label)
        if (table := _split(plain.slice(n_header), header)) is not None:
            return table
    lines, records = _records(text, label)
    header = _header(records[0] if records else [], names, label)
    lines, records = lines[n_header:], records[n_header:]
    _refuse_ragged(lines, records, len(header), label)
    columns = [
        pl.Series(name, [cells[column].strip() or None for cells in records], dtype=pl.String)
        for column, name in enumerate(header)
    ]
    return pl.DataFrame(columns)


def _header(record: Sequence[str], names: Sequence[str], label: str) -> list[str]:
    """Return the names of the columns, by default those of the first record; refuse names that cannot be."""
    if not record:
        raise DataError(f"{label}: the file is empty. The first line must name the columns.")
    if error := delimiter_error(record, label):
        raise error
    header = list(names) or [name.strip() for name in record]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{label}: the header names {listed(repeated)} twice. Rename or drop one.")
    if unprintable := [name for name in header if not names and not name.isprintable()]:
        raise DataError(f"{label}: the header has invisible characters in {unprintable[0]!r}. Type that name again.")
    return header


def _plain_lines(text: str) -> pl.Series | None:
    """Split text without quotes and control characters into its lines, blank ones left out; None for other text.

    A record of such text is a line: polars splits it in a tenth of the time that the module `csv` takes.
    """
    text = text.replace("\r\n", "\n")
    if NOT_PLAIN.search(text):
        return None
    lines = pl.Series(text.split("\n"))
    if lines.str.len_bytes().max() >= csv.field_size_limit():  # type: ignore[operator]
        return None
    return lines.filter(lines.str.contains("[^, \t]"))


def _split(lines: pl.Series, header: Sequence[str]) -> pl.DataFrame | None:
    """Split lines at their commas; None where one has another number of cells than the header, or a column no name."""
    if "" in header or (lines.str.count_matches(",", literal=True) != len(header) - 1).any():
        return None
    cells = lines.str.split_exact(",", len(header) - 1).struct.rename_fields(header).struct.unnest()
    stripped = pl.all().str.strip_chars(" \t")
    return cells.select(pl.when(stripped != "").then(stripped))


def _records(text: str, label: str) -> tuple[list[int], list[list[str]]]:
    """Return the line number on which each record ends, and the records; blank ones are left out."""
    lines, records = [], []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                lines.append(reader.line_num)
                records.append(cells)
    except csv.Error as error:
        raise DataError(f"{label}: line {reader.line_num} is not CSV ({error}). Correct that line.") from error
    return lines, records


def delimiter_error(header: Sequence[str], label: str) -> DataError | None:
    """Return the error for a header delimited by semicolons, tabs or bars instead of commas, else None."""
    delimiter = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0].strip()), None)
    if delimiter is None:
        return None
    return DataError(
        f"{label}: cells are separated by {delimiter!r}, not by commas. Save it with commas between cells and points "
        "in numbers (1234.5), save it as a workbook (.xlsx), or give the frame that pandas reads: "
        f"pd.read_csv(path, sep={delimiter!r}, decimal=',')."
    )


def _refuse_ragged(lines: list[int], records: list[list[str]], width: int, label: str) -> None:
    """Raise DataError if a record has more or fewer cells than the header."""
    ragged = [(line, len(cells)) for line, cells in zip(lines, records, strict=True) if len(cells) != width]
    if not ragged:
        return
    shown = [f"  line {line}: {count} cells" for line, count in ragged[:ROWS_SHOWN]]
    more = len(ragged) - len(shown)
    raise DataError(
        f"{label}: {len(ragged)} row{'s' if len(ragged) > 1 else ''} of another length than the header, "
        f"which has {width} cells. Quote cells that contain a comma.\n"
        + "\n".join(shown + ([f"  ... and {more} more"] if more else [])),
        counts={"ragged_rows": len(ragged)},
    )
