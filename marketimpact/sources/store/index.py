"""Read and write the price store's index, and merge new rows of a symbol with stored ones."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from marketimpact.sources.protocol import BARS
from marketimpact.sources.store.files import SAFE_NAME, digest

__all__ = [
    "SERIES",
    "UNREADABLE",
    "Entry",
    "Update",
    "dump_index",
    "dump_json",
    "dump_parquet",
    "is_data_file",
    "join_coverage",
    "make_entry",
    "merge_rows",
    "parse_index",
    "parse_manifest",
    "read_rows",
]

#: Columns of every data file.
SERIES: Mapping[str, Any] = {
    "symbol": pl.String, "date": pl.Date, "close": pl.Float64, "volume": pl.Float64, "unadjusted_close": pl.Float64,
    "dividend": pl.Float64, "split": pl.Float64, "currency": pl.String, "time_zone": pl.String,
    "fetched_at": pl.Datetime("us", "UTC"), "source": pl.String, **dict.fromkeys(BARS, pl.Float64),
}  # fmt: skip
#: Columns of data files of the first format, which had no opens, highs and lows.
FIRST_SERIES = {name: dtype for name, dtype in SERIES.items() if name not in BARS}
#: Names of data files; an index from elsewhere may contain any text.
DATA_FILE = re.compile(rf"prices/{SAFE_NAME}/{SAFE_NAME}/[0-9a-f]{{64}}\.parquet")
#: Errors for JSON of another shape than we write.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
#: Rows of a symbol that an index may state.
MAX_ROWS = 2**31


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry of the index for one symbol: its current file and the dates it covers."""

    vendor: str
    symbol: str
    file: str
    covered_from: str
    covered_to: str
    fetched_at: str
    time_zone: str | None
    rows: int
    notes: tuple[str, ...] = ()

    @property
    def covered(self) -> tuple[date, date]:
        """Return the first and last date that the file covers."""
        return date.fromisoformat(self.covered_from), date.fromisoformat(self.covered_to)


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """New rows of one symbol for the store.

    Attributes
    ----------
    symbol : str
        The symbol.
    frame : polars.DataFrame
        Rows with the columns of `SERIES`.
    covered_from, covered_to : datetime.date
        Dates that the rows cover.
    replaces : bool
        Whether they replace stored rows instead of joining them.
    notes : tuple of str
        Notes of the source.
    base : str or None
        File that was current when the rows were requested. If it still is, these rows are the latest; otherwise
        another process has written since, and for each date the later fetch is kept.
    """

    symbol: str
    frame: pl.DataFrame
    covered_from: date
    covered_to: date
    replaces: bool
    notes: tuple[str, ...] = ()
    base: str | None = None


def dump_index(entries: Iterable[Entry]) -> bytes:
    """Serialise an index, with a hash of its content."""
    series = [asdict(entry) for entry in entries]
    return dump_json({"series": series, "sha256": digest(dump_json(series))})


def parse_index(content: bytes) -> dict[tuple[str, str], Entry]:
    """Parse an index to entries by vendor and symbol.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError, RecursionError
        If it is damaged; see `UNREADABLE`.
    """
    index = json.loads(content)
    if digest(dump_json(index["series"])) != index["sha256"]:
        raise ValueError("it does not match its hash")
    entries = [_entry(fields) for fields in index["series"]]
    return {(entry.vendor, entry.symbol): entry for entry in entries}


def _entry(fields: Mapping[str, Any]) -> Entry:
    """Build an entry; raise ValueError or TypeError where a field has another type or form than we write."""
    entry = Entry(**{**fields, "notes": tuple(_texts(fields["notes"]))})
    _texts([entry.vendor, entry.symbol, entry.file, *([] if entry.time_zone is None else [entry.time_zone])])
    if not is_data_file(entry.file):
        raise ValueError("it names a file outside of the store")
    if _date(entry.covered_from) > _date(entry.covered_to):
        raise ValueError("its dates are not in order")
    if datetime.fromisoformat(entry.fetched_at).isoformat() != entry.fetched_at or entry.fetched_at[-6:] != "+00:00":
        raise ValueError("a fetch time is not in UTC")
    if type(entry.rows) is not int or not 0 <= entry.rows <= MAX_ROWS:
        raise ValueError("a number of rows is no count")
    return entry


def _texts(values: Any) -> list[str]:
    """Return a list of texts; raise ValueError for anything else."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("a value that should be text is not")
    "".join(values).encode()  # raises UnicodeEncodeError, a ValueError, for half a character
    return values


def _date(text: str) -> date:
    """Parse a date as we write it; raise ValueError or TypeError for others."""
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError(f"{text!r} is not a date such as 2024-01-31")
    return date.fromisoformat(text)


def parse_manifest(content: bytes) -> dict[str, Any]:
    """Parse the manifest of a snapshot.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError, RecursionError
        If it has other fields or types than we write; see `UNREADABLE`.
    """
    manifest = json.loads(content)
    _texts([manifest["vendor"], *manifest["files"], *manifest["files"].values()])
    for name in ("asked", "missing", "notes"):
        _texts(manifest[name])
    for name in ("first", "last"):
        if manifest[name] is not None:
            _date(manifest[name])
    return dict(manifest)


def is_data_file(file: str) -> bool:
    """Return whether a path is that of a data file inside the store."""
    return DATA_FILE.fullmatch(file) is not None


def read_rows(content: bytes) -> pl.DataFrame:
    """Read the rows of a data file, of any format; raise ValueError where it is another file than we write."""
    try:
        rows = pl.read_parquet(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise ValueError("it is no Parquet file") from error
    if dict(rows.schema) == FIRST_SERIES:
        return rows.with_columns(pl.lit(None, SERIES[name]).alias(name) for name in BARS)
    if dict(rows.schema) != dict(SERIES):
        raise ValueError("it has other columns")
    return rows


def dump_json(content: Any) -> bytes:
    """Serialise to JSON with the same bytes for the same content."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")


def dump_parquet(frame: pl.DataFrame, metadata: Mapping[str, str]) -> bytes:
    """Serialise a frame as a Parquet file with metadata."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata=dict(metadata))
    return buffer.getvalue()


def make_entry(file: str, rows: pl.DataFrame, metadata: Mapping[str, str]) -> Entry:
    """Build the entry of a data file from its rows and metadata; raise as `parse_index` for those of another file."""
    last = rows["fetched_at"].max()
    zones = rows["time_zone"].drop_nulls()
    return _entry(
        {
            "vendor": metadata["vendor"],
            "symbol": metadata["symbol"],
            "file": file,
            "covered_from": metadata["covered_from"],
            "covered_to": metadata["covered_to"],
            "fetched_at": (last if isinstance(last, datetime) else datetime.fromtimestamp(0, UTC)).isoformat(),
            "time_zone": zones[-1] if len(zones) else None,
            "rows": rows.height,
            "notes": json.loads(metadata["notes"]),
        }
    )


def merge_rows(old: pl.DataFrame, update: Update, *, latest: bool) -> pl.DataFrame:
    """Merge old and new rows; for each date the new row is kept if it is the `latest`, else the one fetched later.

    An update that replaces keeps of the old rows only those fetched after it.
    """
    new = update.frame.select(pl.col(c).cast(dtype) for c, dtype in SERIES.items())
    if update.replaces and new.height:
        old = old.clear() if latest else old.filter(pl.col("fetched_at") > new["fetched_at"].max())
    both = pl.concat([old, new])
    if not latest:
        both = both.sort("date", "fetched_at", maintain_order=True)
    return both.unique("date", keep="last", maintain_order=True)


def join_coverage(covered: tuple[date, date], update: Update) -> tuple[date, date]:
    """Join two covered date ranges to one; of two with a gap between them, return the later."""
    new = (update.covered_from, update.covered_to)
    if update.replaces:
        return new
    if new[0].toordinal() > covered[1].toordinal() + 1 or covered[0].toordinal() > new[1].toordinal() + 1:
        return max(covered, new, key=lambda span: span[1])
    return min(covered[0], new[0]), max(covered[1], new[1])
