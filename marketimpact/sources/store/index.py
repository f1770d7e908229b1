"""What the price store knows of one symbol: its entry in the index, its rows, and how new ones join them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from marketimpact.sources.store.files import digest

__all__ = [
    "SERIES",
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
]

#: Columns of every data file.
SERIES: Mapping[str, Any] = {
    "symbol": pl.String, "date": pl.Date, "close": pl.Float64, "volume": pl.Float64, "unadjusted_close": pl.Float64,
    "dividend": pl.Float64, "split": pl.Float64, "currency": pl.String, "time_zone": pl.String,
    "fetched_at": pl.Datetime("us", "UTC"), "source": pl.String,
}  # fmt: skip
#: What a data file is called; a store from elsewhere may say anything.
DATA_FILE = re.compile(r"prices/[^/\\]+/[^/\\]+/[0-9a-f]{64}\.parquet")


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index says of one symbol: its current file, and which dates were asked for."""

    vendor: str
    symbol: str
    file: str
    covered_from: str
    covered_to: str
    fetched_at: str
    time_zone: str | None
    rows: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """Rows of one symbol to keep, and the dates they are all of; `replaces` where older rows no longer hold.

    `base` is the file that was current when they were asked for. While it still is, these rows are the later ones
    whatever the clock said; otherwise another writer came between, and the later fetch of each date wins.
    """

    symbol: str
    frame: pl.DataFrame
    covered_from: date
    covered_to: date
    replaces: bool
    notes: tuple[str, ...] = ()
    base: str | None = None


def dump_index(entries: Iterable[Entry]) -> bytes:
    """An index as bytes, with the hash of what it says."""
    series = [asdict(entry) for entry in entries]
    return dump_json({"series": series, "sha256": digest(dump_json(series))})


def parse_index(content: bytes) -> dict[tuple[str, str], Entry]:
    """Entries of an index by vendor and symbol.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is damaged.
    """
    held = json.loads(content)
    if digest(dump_json(held["series"])) != held["sha256"]:
        raise ValueError("it does not match its hash")
    entries = [Entry(**{**each, "notes": tuple(each["notes"])}) for each in held["series"]]
    if not all(is_data_file(entry.file) for entry in entries):
        raise ValueError("it names a file outside of the store")
    return {(entry.vendor, entry.symbol): entry for entry in entries}


def is_data_file(file: str) -> bool:
    """Whether a name is one that the store gives to its data files."""
    return DATA_FILE.fullmatch(file) is not None and ".." not in file.split("/")


def dump_json(content: Any) -> bytes:
    """JSON, the same bytes for the same content."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")


def dump_parquet(frame: pl.DataFrame, told: Mapping[str, str]) -> bytes:
    """A frame as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata=dict(told))
    return buffer.getvalue()


def make_entry(file: str, rows: pl.DataFrame, told: Mapping[str, str]) -> Entry:
    """What the index says of a data file."""
    last = rows["fetched_at"].max()
    zones = rows["time_zone"].drop_nulls()
    return Entry(
        vendor=told["vendor"],
        symbol=told["symbol"],
        file=file,
        covered_from=told["covered_from"],
        covered_to=told["covered_to"],
        fetched_at=last.isoformat() if isinstance(last, datetime) else datetime.fromtimestamp(0, UTC).isoformat(),
        time_zone=zones[-1] if len(zones) else None,
        rows=rows.height,
        notes=tuple(json.loads(told["notes"])),
    )


def merge_rows(old: pl.DataFrame, update: Update, *, latest: bool) -> pl.DataFrame:
    """Old and new rows, for one date the new one where it is the `latest`, else the one fetched later.

    A refetch leaves of the old ones only what was fetched after it.
    """
    new = update.frame.select(pl.col(c).cast(kind) for c, kind in SERIES.items())
    if update.replaces and new.height:
        old = old.clear() if latest else old.filter(pl.col("fetched_at") > new["fetched_at"].max())
    both = pl.concat([old, new])
    if not latest:
        both = both.sort("date", "fetched_at", maintain_order=True)
    return both.unique("date", keep="last", maintain_order=True)


def join_coverage(held: tuple[date, date], update: Update) -> tuple[date, date]:
    """Dates that were asked for, as one stretch; of two with a gap between them the later one."""
    new = (update.covered_from, update.covered_to)
    if update.replaces:
        return new
    if new[0].toordinal() > held[1].toordinal() + 1 or held[0].toordinal() > new[1].toordinal() + 1:
        return max(held, new, key=lambda span: span[1])
    return min(held[0], new[0]), max(held[1], new[1])
