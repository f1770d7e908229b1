"""Read tables from Excel workbooks, and write tables to one; both need packages of the extra ``excel``."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from importlib import import_module
from typing import Any
from xml.etree import ElementTree

import polars as pl

from marketimpact.core.csv_writer import flat_frame, safe_text
from marketimpact.core.day_table import are_midnights
from marketimpact.core.text import first_line, listed
from marketimpact.errors import DataError, SpecificationError

__all__ = ["read_workbook", "require_writer", "workbook_bytes"]

#: Rows and columns of a sheet, and characters of a cell.
MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS = 1_048_576, 16_384, 32_767
#: Excel has no earlier dates without an error of its calendar.
FIRST_DATE = date(1900, 3, 1)
#: Day on which a cell with a time of day alone is read.
NO_DAY = date(1899, 12, 31)
#: A cell of a sheet: its attributes and what is in it; a formula; a value. Some programs write a prefix, as in x:c.
CELL = re.compile(rb"<(?:\w+:)?c\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?c>)", re.DOTALL)
FORMULA_OR_ERROR = re.compile(rb't="e"|<(?:\w+:)?f[ />]')
VALUE = re.compile(rb"<(?:\w+:)?(?:v|is)\b[^>]*>(.+?)</", re.DOTALL)
#: Midnight after a date, and the day before a time of day, in cells of a column that mixes types.
MIDNIGHT, TIME_ONLY = r"^(\d{4}-\d{2}-\d{2}) 00:00:00$", r"^1899-12-31 (\d{2}:\d{2}:\d{2})$"
ISO_DATE = r"^\d{4}-\d{2}-\d{2}$"


def read_workbook(raw: bytes, label: str, table: str) -> pl.DataFrame:
    """Read the sheet of a workbook that is named like the table, or its only one.

    Cells keep their type: dates are dates, numbers numbers. Rows and columns without any cell are left out.

    Parameters
    ----------
    raw : bytes
        An ``.xlsx`` file.
    label : str
        Name of the file in messages.
    table : str
        Name of the table, such as "announcements".

    Raises
    ------
    SpecificationError
        Where fastexcel is not installed.
    DataError
        For a file that is no workbook, several sheets of other names, a column without a name or with that of another,
        a cell with an error such as #N/A, and a formula that no spreadsheet has computed.
    """
    fastexcel = _package("fastexcel", "Reading")
    # it writes a warning for every empty column
    logging.getLogger("fastexcel").setLevel(logging.ERROR)
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        raise DataError(f"{label} is no readable workbook: its content is of another kind. Save it as .xlsx again.")
    try:
        workbook = fastexcel.read_excel(raw)
        sheets = {name: workbook.load_sheet(name, schema_sample_rows=None) for name in workbook.sheet_names}
    except fastexcel.FastExcelError as error:
        raise DataError(f"{label} is no readable workbook: {first_line(error)}. Save it as .xlsx again.") from error
    name = _choose_sheet({name: sheet.width for name, sheet in sheets.items()}, label, table)
    where = f"{label}, sheet {name!r}"
    _refuse_errors(raw, name, where)
    header = workbook.load_sheet(name, header_row=None, n_rows=1, dtypes="string").to_polars().row(0)
    rows = _with_names(sheets[name].to_polars(), header, where)
    filled = rows.filter(~pl.all_horizontal(pl.all().is_null()))
    return filled.with_columns(_typed(filled[name]) for name in filled.columns)


def _package(name: str, what: str) -> Any:
    """Import a package of the extra, or say which one is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise SpecificationError(
            f"{what} Excel workbooks needs the package {name}, which is not installed: "
            "pip install 'marketimpact[excel]'. CSV and Parquet need nothing."
        ) from error


def _choose_sheet(widths: Mapping[str, int], label: str, table: str) -> str:
    """Return the sheet named like the table, in any case, or the only one with cells."""
    used = [name for name, width in widths.items() if width]
    named = [name for name in used if name.strip().lower() == table]
    if len(named or used) == 1:
        return (named or used)[0]
    if not used:
        raise DataError(f"{label} has no cells. Check that it is the right file.")
    raise DataError(
        f"{label} has the sheets {listed(used)}, and none is named {table!r}. Rename the one to read to {table!r}."
    )


def _with_names(rows: pl.DataFrame, header: tuple[str | None, ...], where: str) -> pl.DataFrame:
    """Name the columns by the first row, without empty columns; text without surrounding spaces, empty as null."""
    stripped = pl.col(pl.String).str.strip_chars()
    rows = rows.with_columns(pl.when(stripped != "").then(stripped).name.keep())
    names = [(name or "").strip() for name in header]
    kept = [k for k, name in enumerate(names) if name or rows.to_series(k).count()]
    if unnamed := [k for k in kept if not names[k]]:
        raise DataError(
            f"{where}: column {unnamed[0] + 1} has cells, but no name in the first row. The first row must name the "
            "columns: delete titles above it, and notes beside the table."
        )
    used = [names[k] for k in kept]
    if repeated := sorted({name for name in used if used.count(name) > 1}):
        raise DataError(f"{where}: the first row names {listed(repeated)} twice. Rename or delete one.")
    return pl.DataFrame([rows.to_series(k).alias(names[k]) for k in kept])


def _typed(column: pl.Series) -> pl.Series:
    """Make dates of midnights and of text such as 2024-01-31, and times of cells without a day."""
    if are_midnights(column):
        return column.dt.date()
    if isinstance(column.dtype, pl.Datetime) and bool((column.dt.date() == NO_DAY).all()):
        return column.dt.time()
    if column.dtype != pl.String:
        return column
    texts = column.str.replace(MIDNIGHT, "$1").str.replace(TIME_ONLY, "$1")
    dates = texts.str.to_date("%Y-%m-%d", strict=False)
    is_dated = bool(texts.str.contains(ISO_DATE).all()) and dates.null_count() == texts.null_count() < len(texts)
    return dates if is_dated else texts


def _refuse_errors(raw: bytes, name: str, where: str) -> None:
    """Stop at cells that the reader would leave empty: errors, and formulas without a result."""
    found: dict[str, list[str]] = {"an error": [], "a formula without a result": []}
    for attributes, content in _cells(raw, name):
        reference = re.search(rb'\br="([A-Z]+\d+)"', attributes)
        shown, value = reference.group(1).decode() if reference else "?", VALUE.search(content)
        if b't="e"' in attributes:
            found["an error"].append(f"{shown} ({value.group(1).decode() if value else '?'})")
        elif FORMULA_OR_ERROR.search(content) and value is None:
            found["a formula without a result"].append(shown)
    for what, cells in found.items():
        if cells:
            raise DataError(
                f"{where}: {len(cells)} cell{'s' if len(cells) > 1 else ''} with {what}: "
                f"{listed(cells, quoted=False)}. Correct them, or leave them empty, and save the workbook again."
            )


def _cells(raw: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield attributes and content of the cells of a sheet, if any of them may be an error or a formula."""
    with zipfile.ZipFile(io.BytesIO(raw)) as parts:
        sheet = parts.read(_sheet_part(parts, name))
    if FORMULA_OR_ERROR.search(sheet):
        for cell in CELL.finditer(sheet):
            yield cell.group(1), cell.group(2) or b""


def _sheet_part(parts: zipfile.ZipFile, name: str) -> str:
    """Find the part of the file that holds a sheet, whichever of the two namespaces of Excel the file is in."""
    sheets = [each.attrib for each in ElementTree.fromstring(parts.read("xl/workbook.xml")).findall(".//{*}sheet")]
    attributes = next(each for each in sheets if each.get("name") == name)
    identity = next(value for key, value in attributes.items() if key.endswith("}id"))
    links = ElementTree.fromstring(parts.read("xl/_rels/workbook.xml.rels"))
    target = next(str(link.get("Target")) for link in links if link.get("Id") == identity)
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def require_writer() -> None:
    """Check, before minutes of work, that the package that writes workbooks is there."""
    _package("xlsxwriter", "Writing")


def workbook_bytes(tables: Mapping[str, pl.DataFrame], about: Mapping[str, str], notice: str = "") -> bytes:
    """Write tables as a workbook, one sheet each after a sheet *about*; the same tables give the same bytes.

    No cell is computed: text that a spreadsheet would take for a formula begins with an apostrophe, as in the CSV
    files. Dates are dates, instants text in UTC, lists joined by ``;``, a number that is not finite text.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        Name of the sheet -> its table.
    about : mapping of str to str
        Rows of the first sheet: what the tables are made of.
    notice : str
        What to say of simulated prices: then the first sheet begins with it, and every table has a column
        ``simulated`` that is true.

    Raises
    ------
    SpecificationError
        Where xlsxwriter is not installed.
    DataError
        For a table or a text that is larger than Excel allows.
    """
    xlsxwriter = _package("xlsxwriter", "Writing")
    buffer = io.BytesIO()
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False, "in_memory": True}
    workbook = xlsxwriter.Workbook(buffer, options)
    # no clock goes into a result
    workbook.set_properties({"created": datetime(1980, 1, 1, tzinfo=UTC)})
    bold, days = workbook.add_format({"bold": True}), workbook.add_format({"num_format": "yyyy-mm-dd"})
    lines = [*([("notice", notice)] if notice else []), *about.items()]
    rows = pl.DataFrame(lines, schema={"what": pl.String, "value": pl.String}, orient="row")
    for name, table in {"about": rows, **tables}.items():
        marked = table.with_columns(pl.lit(value=True).alias("simulated")) if notice and name != "about" else table
        _write_sheet(workbook.add_worksheet(name), _cell_frame(marked, name), bold, days)
    workbook.close()
    return buffer.getvalue()


def _cell_frame(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """Write values as Excel can hold them; refuse what it cannot."""
    if table.height >= MOST_ROWS or table.width > MOST_COLUMNS:
        raise DataError(
            f"The table {name} has {table.height:,} rows and {table.width:,} columns; a sheet of Excel holds "
            f"{MOST_ROWS - 1:,} and {MOST_COLUMNS:,}. Write it as Parquet, such as with mi.write_study, or keep fewer "
            "events."
        )
    flat = flat_frame(table)
    cells = flat.with_columns(_cells_of(flat[column]) for column in flat.columns)
    for column in cells.columns:
        if cells.schema[column] == pl.String and (cells[column].str.len_chars() > MOST_CHARACTERS).any():
            raise DataError(
                f"The table {name} has a text of more than {MOST_CHARACTERS:,} characters in {column!r}, which a cell "
                "of Excel cannot hold. Shorten it, or use the CSV or Parquet file."
            )
    return cells


def _cells_of(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind == pl.String:
        escaped: pl.Series = safe_text(column)
        return escaped
    if isinstance(kind, pl.Datetime):
        if kind.time_zone is None:
            return column.dt.to_string("iso:strict")
        return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).dt.to_string("iso:strict") + "Z"
    if kind == pl.Time:
        return column.dt.to_string("%H:%M:%S")
    return column


def _write_sheet(sheet: Any, table: pl.DataFrame, bold: Any, days: Any) -> None:
    """Write the headings, and every cell by its type."""
    headings = safe_text(pl.Series(table.columns, dtype=pl.String))
    for k, (heading, column) in enumerate(zip(headings, table.iter_columns(), strict=True)):
        sheet.write_string(0, k, heading, bold)
        write = _writer(sheet, column.dtype, days)
        for row, value in enumerate(column, start=1):
            if value is not None:
                write(row, k, value)
    sheet.freeze_panes(1, 0)


def _writer(sheet: Any, kind: pl.DataType, days: Any) -> Any:
    """Return the function that writes a cell of a column of this type."""

    def number(row: int, column: int, value: float) -> None:
        finite = abs(value) < float("inf")
        (sheet.write_number if finite else sheet.write_string)(row, column, value if finite else str(value))

    def day(row: int, column: int, value: date) -> None:
        if value < FIRST_DATE:
            sheet.write_string(row, column, value.isoformat())
        else:
            sheet.write_datetime(row, column, value, days)

    if kind == pl.Boolean:
        return sheet.write_boolean
    if kind == pl.Date:
        return day
    return number if kind.is_numeric() else sheet.write_string
