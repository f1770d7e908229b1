"""Parse Kenneth French's daily files: CSV in percent, perhaps zipped."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path

import polars as pl

from marketimpact.core.text import first_line, listed
from marketimpact.errors import DataError
from marketimpact.sources.bounded_requests import MAX_BYTES

__all__ = ["FACTORS", "join_factors", "parse_factors", "read_file"]

FACTORS = ("mktrf", "smb", "hml", "rmw", "cma", "mom", "rf")
#: Errors of zipfile and zlib for damaged archives: names, offsets, methods, checksums, passwords.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, LookupError, OverflowError)
#: Compressions whose output can be bounded; French's site has no other.
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: Codes for a day without a value.
MISSING = (-99.99, -999.0)
#: Median gap between dates, in days, above which a file is weekly.
DAILY_GAP = 5
NOT_DAILY = " It is not a daily file. Use one whose name on Kenneth French's site ends in '_daily'."


def read_file(path: Path) -> bytes:
    """Read a file's bytes, or raise DataError; one that is no regular file may have no end."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} cannot be read: it is no file. Give the CSV or zip of Kenneth French's site.")
    try:
        if path.stat().st_size <= MAX_BYTES:
            return path.read_bytes()
    except (OSError, ValueError) as error:
        cause = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise DataError(f"{path} {cause}. Relative paths start at the working directory.") from error
    raise _size_error(str(path))


def parse_factors(raw: bytes, label: str) -> pl.DataFrame:
    """Parse the factors of one file.

    Parameters
    ----------
    raw : bytes
        A CSV in the format of Kenneth French's site, or a zip of one.
    label : str
        Name of the file in messages.

    Returns
    -------
    polars.DataFrame
        `date` and one Float64 column of decimals per factor, missing codes as null; sorted by date.

    Raises
    ------
    DataError
        If the file is of another format or not daily, repeats a date, or has a value that is no number.
    """
    return _decimals(_parse_table(_decode(raw, label), label), label)


def join_factors(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Join the columns of both on the days of `left`; raise DataError for a factor in both."""
    shared = [name for name in right.columns if name in left.columns and name != "date"]
    if shared:
        raise DataError(f"Two of the files have {listed(shared)}, which may differ. Leave out one of them.")
    return left.join(right, on="date", how="left", validate="1:1", maintain_order="left")


def _decode(raw: bytes, label: str) -> str:
    """Decode a CSV or a zip of one."""
    if len(raw) > MAX_BYTES:
        raise _size_error(label)
    if raw.startswith(b"PK"):  # a zip by its content, since a browser may have unpacked or renamed it
        raw = _unzip(raw, label)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _size_error(label: str) -> DataError:
    """Build the error for a file that is too large."""
    return DataError(
        f"{label} is larger than {MAX_BYTES / 1e6:g} MB, and French's files are at most 2. Give one file of his site."
    )


def _unzip(raw: bytes, label: str) -> bytes:
    """Return the one CSV in a zip, or raise DataError."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return _read_member(archive, _one_csv(archive, label), label)
    except DataError:
        raise
    except ZIP_ERRORS as error:
        raise DataError(f"{label} is a broken zip: {first_line(error)}. Download it again.") from error


def _one_csv(archive: zipfile.ZipFile, label: str) -> zipfile.ZipInfo:
    """Return the one CSV of an archive, or raise DataError."""
    members = [member for member in archive.infolist() if member.filename.lower().endswith(".csv")]
    members = [member for member in members if not member.filename.startswith("__MACOSX/")]  # what macOS adds
    if len(members) != 1:
        names = listed([member.filename for member in members] or archive.namelist()) or "nothing"
        count = "several CSVs" if members else "no CSV"
        raise DataError(f"{label} is a zip with {count}: {names}. Give one file of Kenneth French's site.")
    return members[0]


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, label: str) -> bytes:
    """Unpack a member, no further than the size that it states; raise DataError for a large one."""
    if member.file_size > MAX_BYTES:
        raise _size_error(f"{member.filename!r} in {label}")
    if member.compress_type not in COMPRESSIONS:
        raise DataError(f"{label} is a zip with another compression than deflate. Unpack it, and give the CSV.")
    with archive.open(member) as file:
        return file.read(MAX_BYTES)


def _parse_table(text: str, label: str) -> pl.DataFrame:
    """Find the one table of a file and return it as text columns."""
    lines = text.splitlines()
    header = next((number for number, line in enumerate(lines) if re.match(r"\s*,.*[A-Za-z]", line)), None)
    if header is None:
        start = next((line for line in lines if line.strip()), "")[:60]
        raise DataError(
            f"{label} has no line of column names that begins with a comma, such as ,Mkt-RF,SMB,HML,RF; it "
            f"begins {start!r}. Give the CSV or zip as downloaded."
        )
    columns = _columns(lines[header], label)
    rows: list[list[str]] = []
    end = header
    for number, line in enumerate(lines[header + 1 :], start=header + 1):
        cells = [cell.strip() for cell in line.split(",")]
        if not re.match(r"\d", cells[0]):
            continue
        if not re.fullmatch(r"\d{8}", cells[0]):
            raise DataError(
                f"{label}: line {number + 1} begins {cells[0]!r}, not with a day such as 20250131.{NOT_DAILY}"
            )
        if rows and number != end + 1:
            raise DataError(f"{label} has several tables: rows continue in line {number + 1}. Give a file of factors.")
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            raise DataError(
                f"{label}: line {number + 1} has other columns than {', '.join(columns)}. Download it again."
            )
        rows.append(cells[: len(columns)])
        end = number
    if not rows:
        raise DataError(f"{label} has no row below its column names. Download it again.")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _columns(line: str, label: str) -> list[str]:
    """Parse the header; raise DataError for unknown or repeated factors."""
    names = [re.sub(r"[^a-z]", "", cell.lower()) for cell in line.rstrip(", \t").split(",")[1:]]
    names = ["mom" if name == "wml" else name for name in names]
    if unknown := [name for name in names if name not in FACTORS]:
        raise DataError(
            f"{label} has columns that are no known factors: {listed(unknown)}. Known: {', '.join(FACTORS)}."
        )
    if len(set(names)) < len(names):
        raise DataError(f"{label} has a column twice: {line.strip()!r}. Download it again.")
    return ["date", *names]


def _decimals(texts: pl.DataFrame, label: str) -> pl.DataFrame:
    """Parse dates and percent to decimals, sorted by date; raise DataError for unreadable values or repeated dates."""
    names = texts.columns[1:]
    percent = pl.col(names).cast(pl.Float64, strict=False)
    day = pl.when(pl.col("date").str.contains(r"^[12]\d{7}$")).then("date").str.to_date("%Y%m%d", strict=False)
    frame = texts.select(day.alias("date"), percent)
    is_unreadable = pl.any_horizontal(
        frame["date"].is_null(),
        *(~frame[name].is_finite().fill_null(value=False) & (texts[name] != "") for name in names),
    )
    unreadable = texts.filter(is_unreadable)
    if not unreadable.is_empty():
        raise DataError(
            f"{label} has values that are no date or number, such as in {unreadable.row(0)}. Download it again.",
            counts={"unreadable": unreadable.height},
            rows=unreadable,
        )
    repeated = frame.filter(frame["date"].is_duplicated()).sort("date")
    if not repeated.is_empty():
        raise DataError(
            f"{label} repeats dates, such as {repeated['date'][0]}. Keep one row per date.",
            counts={"repeated dates": repeated.height},
            rows=repeated,
        )
    frame = frame.sort("date")
    gaps = frame["date"].diff().dt.total_days().drop_nulls().sort()
    # one gap may be a long holiday; the median of several in a daily file is at most a weekend
    if gaps.len() > 1 and gaps[(gaps.len() - 1) // 2] > DAILY_GAP:
        raise DataError(f"{label} has dates a week apart or more.{NOT_DAILY}")
    value = pl.col(names)
    return frame.with_columns(pl.when(~value.is_in(MISSING)).then(value / 100.0))
