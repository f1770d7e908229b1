"""The format of Kenneth French's daily files: a CSV, perhaps zipped, in percent."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError

__all__ = ["FACTORS", "join_factors", "parse_factors", "read_file"]

FACTORS = ("mktrf", "smb", "hml", "rmw", "cma", "mom", "rf")
#: His codes for a day without a value.
MISSING = (-99.99, -999.0)
#: Days between the middle two of neighbouring dates, above which a file is weekly.
DAILY_GAP = 5
NOT_DAILY = " That is no daily file, which is needed: on his site the name of one ends in '_daily'."


def read_file(path: Path) -> bytes:
    """The bytes of a file, or a `DataError` that says why not."""
    try:
        return path.read_bytes()
    except OSError as error:
        cause = f"cannot be read ({error.strerror}). Relative paths start at the working directory."
        raise DataError(f"{path} {cause}") from error


def parse_factors(raw: bytes, label: str) -> pl.DataFrame:
    """Factors of one file.

    Parameters
    ----------
    raw : bytes
        A CSV in his format, or a zip of one.
    label : str
        What messages call the file.

    Returns
    -------
    polars.DataFrame
        `date` and one Float64 column of decimals per factor, his missing codes empty; sorted by date.

    Raises
    ------
    DataError
        If the file is of another format or not daily, repeats a date, or has a value that is no number.
    """
    return _decimals(_parse_table(_decode(raw, label), label), label)


def join_factors(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """The columns of both on the days of `left`; refuses a factor that both have."""
    shared = [name for name in right.columns if name in left.columns and name != "date"]
    if shared:
        raise DataError(f"Two of the files hold {listed(shared)}, which may differ. Leave out one of them.")
    return left.join(right, on="date", how="left", validate="1:1", maintain_order="left")


def _decode(raw: bytes, label: str) -> str:
    if raw.startswith(b"PK"):  # by content: a browser may have unpacked or renamed it
        raw = _unzip(raw, label)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _unzip(raw: bytes, label: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            members = [name for name in members if not name.startswith("__MACOSX/")]  # what macOS adds
            if len(members) != 1:
                held = listed(members or archive.namelist()) or "nothing"
                what = "several CSVs" if members else "no CSV"
                raise DataError(f"{label} is a zip with {what}: {held}. Hand in one of his files.")
            return archive.read(members[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(f"{label} is a broken zip: {error}. Download it again.") from error


def _parse_table(text: str, label: str) -> pl.DataFrame:
    """The one table of a file, as text."""
    lines = text.splitlines()
    head = next((at for at, line in enumerate(lines) if re.match(r"\s*,.*[A-Za-z]", line)), None)
    if head is None:
        start = next((line for line in lines if line.strip()), "")[:60]
        raise DataError(
            f"{label} has no line of column names that begins with a comma, such as ,Mkt-RF,SMB,HML,RF; it "
            f"begins {start!r}. Hand in his CSV or zip as it was downloaded."
        )
    columns = _columns(lines[head], label)
    rows: list[list[str]] = []
    end = head
    for at, line in enumerate(lines[head + 1 :], start=head + 1):
        cells = [cell.strip() for cell in line.split(",")]
        if not re.match(r"\d", cells[0]):
            continue
        if not re.fullmatch(r"\d{8}", cells[0]):
            raise DataError(f"{label}: line {at + 1} begins {cells[0]!r}, not with a day such as 20250131.{NOT_DAILY}")
        if rows and at != end + 1:
            raise DataError(f"{label} holds several tables: rows go on in line {at + 1}. Hand in a file of factors.")
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            raise DataError(f"{label}: line {at + 1} has other columns than {', '.join(columns)}. Download it again.")
        rows.append(cells[: len(columns)])
        end = at
    if not rows:
        raise DataError(f"{label} has no row below its column names. Download it again.")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _columns(line: str, label: str) -> list[str]:
    names = [re.sub(r"[^a-z]", "", cell.lower()) for cell in line.rstrip(", \t").split(",")[1:]]
    names = ["mom" if name == "wml" else name for name in names]
    if strange := [name for name in names if name not in FACTORS]:
        raise DataError(f"{label} has columns that are no factors known here: {listed(strange)}. Known: {FACTORS}.")
    if len(set(names)) < len(names):
        raise DataError(f"{label} has a column twice: {line.strip()!r}. Download it again.")
    return ["date", *names]


def _decimals(texts: pl.DataFrame, label: str) -> pl.DataFrame:
    """Dates and decimals, sorted; every date once."""
    names = texts.columns[1:]
    percent = pl.col(names).cast(pl.Float64, strict=False)
    frame = texts.select(pl.col("date").str.to_date("%Y%m%d", strict=False), percent)
    unread = pl.any_horizontal(
        frame["date"].is_null(),
        *(~frame[name].is_finite().fill_null(value=False) & (texts[name] != "") for name in names),
    )
    wrong = texts.filter(unread)
    if not wrong.is_empty():
        raise DataError(
            f"{label} has values that are no date or number, such as in {wrong.row(0)}. Download it again.",
            counts={"unreadable": wrong.height},
            rows=wrong,
        )
    repeated = frame.filter(frame["date"].is_duplicated()).sort("date")
    if not repeated.is_empty():
        raise DataError(
            f"{label} repeats dates, such as {repeated['date'][0]}. Keep one row each.",
            counts={"repeated dates": repeated.height},
            rows=repeated,
        )
    frame = frame.sort("date")
    gaps = frame["date"].diff().dt.total_days().drop_nulls().sort()
    # One gap may be a long holiday; the middle one of two or more is a weekend at most.
    if gaps.len() > 1 and gaps[(gaps.len() - 1) // 2] > DAILY_GAP:
        raise DataError(f"{label} has dates a week apart or more.{NOT_DAILY}")
    value = pl.col(names)
    return frame.with_columns(pl.when(~value.is_in(MISSING)).then(value / 100.0))
