"""Read the columns of extracts of CRSP and Compustat, in the ways their vendors and WRDS write them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl

from marketimpact.core.day_table import are_midnights
from marketimpact.core.frames import FrameLike, to_polars
from marketimpact.core.layouts import Layout
from marketimpact.core.text import listed
from marketimpact.core.type_advice import Kind
from marketimpact.errors import DataError
from marketimpact.sources.files.opened_file import load_file
from marketimpact.sources.files.price_rows import type_error

__all__ = ["coded_numbers", "dates", "identifiers", "numbers", "read_extract"]

#: How WRDS writes dates in CSV files, besides the ways that name a day ambiguously.
DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%d%b%Y")
#: Columns that a message lists.
COLUMNS_LISTED = 20


def read_extract(
    extract: FrameLike | str | Path, label: str, names: Mapping[str, str], required: Collection[str]
) -> pl.DataFrame:
    """Read an extract, with the names of its columns in lower case.

    Parameters
    ----------
    extract : FrameLike, str or pathlib.Path
        A frame, or a CSV, Parquet or Excel file.
    label : str
        Name of the extract in messages.
    names : mapping of str to str
        Other spellings -> column, all in lower case.
    required : collection of str
        Columns that must be there.

    Raises
    ------
    DataError
        For a file that cannot be read, an extract without rows, a column that is absent or there twice.
    """
    if isinstance(extract, str | Path):
        table = load_file(Path(extract).expanduser(), "prices")
    else:
        table = to_polars(extract, label, Layout((), "date", reads_text=True))
    spelt = [name.strip().lower() for name in table.columns]
    renamed = [names.get(name, name) for name in spelt]
    if twice := sorted({name for name in renamed if renamed.count(name) > 1}):
        raise DataError(f"{label} has more than one column {listed(twice)}, in any case of letters. Keep one of each.")
    if lacking := [name for name in required if name not in renamed]:
        raise DataError(
            f"{label} lacks the column{'s' if len(lacking) > 1 else ''} {listed(lacking)}; it has "
            f"{listed(table.columns, limit=COLUMNS_LISTED)}. Ask the database for what is missing, or rename columns."
        )
    if table.is_empty():
        raise DataError(f"{label} has no rows. Check the file, or the query that made it.")
    return table.rename(dict(zip(table.columns, renamed, strict=True)))


def _require_cells(column: pl.Series, kind: Kind, label: str) -> None:
    """Stop at a column of lists, times and other types that are neither text nor numbers."""
    is_text = isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum)
    if not (is_text or column.dtype.is_numeric() or column.dtype == pl.Null):
        raise type_error(column, kind, label)


def identifiers(column: pl.Series, label: str, *, digits: int = 0) -> pl.Series:
    """Write identifiers, such as PERMNOs, as text, with zeros in front up to `digits`; refuse what is none."""
    _require_cells(column, "text", label)
    if column.dtype.is_numeric():
        whole = column.cast(pl.Int64, strict=False)
        texts = pl.select(pl.when(whole.cast(pl.Float64) == column.cast(pl.Float64)).then(whole.cast(pl.String)))
        cells = texts.to_series()
    else:
        cells = column.cast(pl.String).str.strip_chars().str.replace(r"\.0$", "")
    is_number = cells.str.contains(r"^\d+$").fill_null(value=False)
    if not is_number.all():
        shown = column.filter(~is_number)
        raise DataError(
            f"{label}: {column.name} is no whole number in {len(shown)} rows, the first {shown[0]!r}. Correct or drop "
            "these rows."
        )
    return cells.str.zfill(digits).alias(column.name)


def dates(column: pl.Series, label: str) -> pl.Series:
    """Parse dates: of their type, 20240131 as text or number, 2024-01-31 or 31JAN2024."""
    if column.dtype == pl.Date:
        return column
    if are_midnights(column):
        return column.dt.date()
    _require_cells(column, "dates", label)
    texts = column.cast(pl.Int64, strict=False) if column.dtype.is_numeric() else column
    texts = texts.cast(pl.String).str.strip_chars()
    parsed = [texts.str.to_date(written, strict=False) for written in DATE_FORMATS]
    found = pl.select(pl.coalesce(parsed)).to_series().alias(column.name)
    if found.null_count():
        shown = column.filter(found.is_null())
        raise DataError(
            f"{label}: {column.name} is no date in {len(shown)} rows, the first {str(shown[0])[:60]!r}. Write dates "
            "2024-01-31, 20240131 or 31JAN2024: of 01/02/2024 the month is not known."
        )
    return found


def numbers(column: pl.Series, label: str) -> pl.Series:
    """Parse numbers; empty cells and SAS's missing value ``.`` are null."""
    return coded_numbers(column, label, (), ())[0]


def coded_numbers(
    column: pl.Series, label: str, letters: Collection[str], codes: Collection[float]
) -> tuple[pl.Series, pl.Series]:
    """Parse numbers among which codes say why there is none.

    Parameters
    ----------
    column : polars.Series
        Numbers, or text.
    label : str
        Name of the extract in messages.
    letters : collection of str
        Codes in letters, which SAS writes with a point before them.
    codes : collection of float
        Codes that are numbers.

    Returns
    -------
    numbers : polars.Series
        Null where there is a code.
    codes : polars.Series
        The code as text, else null.

    Raises
    ------
    DataError
        For text that is neither a number nor a code.
    """
    _require_cells(column, "numbers", label)
    texts = column.cast(pl.String).str.strip_chars()
    letter = texts.str.strip_prefix(".").str.to_uppercase()
    letter = pl.select(pl.when(letter.is_in(list(letters))).then(letter)).to_series()
    is_blank = texts.is_null() | texts.is_in(["", "."]) | (texts.str.to_lowercase() == "nan")
    cells = column if column.dtype.is_numeric() else texts
    values = cells.cast(pl.Float64, strict=False).fill_nan(None)
    unreadable = column.filter(values.is_null() & letter.is_null() & ~is_blank.fill_null(value=True))
    if len(unreadable):
        known = f" or a code ({listed(sorted(letters), limit=len(letters), quoted=False)})" if letters else ""
        raise DataError(
            f"{label}: {column.name} is no number{known} in {len(unreadable)} rows, the first "
            f"{str(unreadable[0])[:60]!r}. Correct these cells, or leave them empty."
        )
    is_code = values.is_in([float(code) for code in codes])
    number_code = pl.select(pl.when(is_code).then(values.cast(pl.Int64, strict=False).cast(pl.String))).to_series()
    found = pl.select(pl.coalesce(letter, number_code)).to_series()
    kept = pl.select(pl.when(found.is_null()).then(values)).to_series()
    return kept.alias(column.name), found.alias(f"{column.name}_code")
