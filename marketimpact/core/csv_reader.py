"""CSV files as tables of text: strict, complete, and never guessed at.

Other readers fill short rows with nothing, rename columns that repeat and read UTF-16 as letters with
gaps; each of these makes a wrong frame that looks right.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence

import polars as pl

from marketimpact.errors import DataError

__all__ = ["decoded", "first_records", "otherwise_divided", "table"]

#: How many ragged rows a message shows.
SHOWN = 5


def decoded(raw: bytes, what: str, *, encoding: str = "utf-8-sig", whole: bool = True) -> str:
    """The text of a file: UTF-8, with or without a byte order mark, where nothing else is said.

    Where the bytes are not the `whole` file, the last character may be cut.

    Raises
    ------
    DataError
        For another encoding, or NUL characters, which only UTF-16 and binary files have.
    """
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw, final=whole)
    except UnicodeDecodeError as error:
        wanted = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise DataError(
            f"{what}: not {wanted} (byte {error.start}). Save it as 'CSV UTF-8', or convert it first."
        ) from error
    if "\0" in text:
        raise DataError(f"{what}: holds NUL characters, so it is no CSV in UTF-8. Save it as 'CSV UTF-8'.")
    return text


def first_records(text: str, count: int) -> list[list[str]]:
    """Up to `count` first records that are not blank, cells stripped; what cannot be parsed ends them."""
    records: list[list[str]] = []
    try:
        for cells in csv.reader(io.StringIO(text, newline="")):
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                records.append(stripped)
            if len(records) == count:
                break
    except csv.Error:
        pass  # `table` refuses the file, with the line
    return records


def table(text: str, what: str, *, names: Sequence[str] = (), skip: int = 0) -> pl.DataFrame:
    """Every cell as text without surrounding spaces, an empty one as null.

    Parameters
    ----------
    text : str
        Comma-separated, cells perhaps in double quotes; blank lines are passed over.
    what : str
        What the file is, for messages.
    names : sequence of str, optional
        Names of the columns; those of the first record by default.
    skip : int
        How many records stand above the rows when `names` are given.

    Returns
    -------
    polars.DataFrame
        String columns, one row per record.

    Raises
    ------
    DataError
        If there is nothing, a name repeats, a row is longer or shorter than the header, or a quote
        is not closed.
    """
    lines, records = _records(text, what)
    if not records:
        raise DataError(f"{what}: the file is empty. The first line must name the columns.")
    if problem := otherwise_divided(records[0], what):
        raise problem
    header = list(names) or [name.strip() for name in records[0]]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{what}: the header names {', '.join(map(repr, repeated))} twice. Rename or drop one.")
    if unseen := [name for name in header if not names and not name.isprintable()]:
        raise DataError(f"{what}: the header has characters that do not show, in {unseen[0]!r}. Type that name anew.")
    above = skip if names else 1
    lines, records = lines[above:], records[above:]
    _refuse_ragged(lines, records, len(header), what)
    columns = [
        pl.Series(name, [cells[at].strip() or None for cells in records], dtype=pl.String)
        for at, name in enumerate(header)
    ]
    return pl.DataFrame(columns)


def _records(text: str, what: str) -> tuple[list[int], list[list[str]]]:
    """The records that are not blank, and the number of the line that each ends on."""
    lines, records = [], []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                lines.append(reader.line_num)
                records.append(cells)
    except csv.Error as error:
        raise DataError(f"{what}: line {reader.line_num} is not CSV ({error}).") from error
    return lines, records


def otherwise_divided(header: Sequence[str], what: str) -> DataError | None:
    """The error for a header whose cells no comma divides; spreadsheets with a decimal comma write semicolons."""
    divider = next((sign for sign in (";", "\t", "|") if len(header) == 1 and sign in header[0].strip()), None)
    if divider is None:
        return None
    return DataError(
        f"{what}: cells are divided by {divider!r}, not by commas. Save it with commas between cells and points in "
        "numbers (1234.5); nothing is guessed here."
    )


def _refuse_ragged(lines: list[int], records: list[list[str]], width: int, what: str) -> None:
    ragged = [(line, len(cells)) for line, cells in zip(lines, records, strict=True) if len(cells) != width]
    if not ragged:
        return
    shown = [f"  line {line}: {count} cells" for line, count in ragged[:SHOWN]]
    more = len(ragged) - len(shown)
    raise DataError(
        f"{what}: {len(ragged)} row{'s' if len(ragged) > 1 else ''} of another length than the header, "
        f"which has {width} cells. Quote cells that contain a comma.\n"
        + "\n".join(shown + ([f"  ... and {more} more"] if more else [])),
        counts={"ragged_rows": len(ragged)},
    )
