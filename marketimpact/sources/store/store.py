"""Keep prices on disk: immutable data files, one index, and snapshots of what was read."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.core.csv_writer import csv_text
from marketimpact.core.text import first_line, listed
from marketimpact.errors import DataError, MarketImpactWarning, SpecificationError
from marketimpact.sources.protocol import BARS
from marketimpact.sources.store.files import (
    digest,
    lock_directory,
    read_content,
    remove_file,
    remove_unfinished,
    safe_name,
    set_aside,
    write_atomic,
)
from marketimpact.sources.store.index import (
    SERIES,
    UNREADABLE,
    Entry,
    Update,
    dump_index,
    dump_json,
    dump_parquet,
    is_data_file,
    join_coverage,
    make_entry,
    merge_rows,
    parse_index,
    parse_manifest,
    read_rows,
)
from marketimpact.sources.store.layout import (
    FORMAT,
    NAME_LENGTH,
    bar_files,
    data_files,
    has_known_format,
    intact_bars,
    links,
    own_folders,
    own_path,
    require_known_format,
    snapshot_names,
    write_format,
)

__all__ = ["SERIES", "Entry", "PriceStore", "Update"]

EMPTY_STORE = "The price store is empty. Fill it with: marketimpact fetch."
_DAMAGE = {"what": pl.String, "symbol": pl.String, "file": pl.String, "problem": pl.String}


def _cache() -> Path:
    """Return the default directory."""
    from platformdirs import user_cache_path  # noqa: PLC0415  # needed only with a store

    return user_cache_path("marketimpact") / "prices"


@dataclass(frozen=True, slots=True)
class PriceStore:
    """Prices kept on disk, so that a study can be run again on the same rows.

    Parameters
    ----------
    directory : str or pathlib.Path, optional
        Directory; the user's cache directory by default.

    Notes
    -----
    Every version of a symbol's history is one Parquet file that never changes, named by the SHA-256 of its
    bytes, which is checked at every read. An index lists the current versions; replacing it atomically completes a
    write. A file lock admits one writer at a time. Symbolic links in the directory are not followed, and files of
    other names are not touched. See ``docs/sources/store.md``.
    """

    directory: Path = field(default_factory=_cache)

    def __post_init__(self) -> None:
        try:
            directory = Path(self.directory).expanduser()
        except (TypeError, RuntimeError) as error:
            raise SpecificationError(f"directory={self.directory!r} is no folder ({error}). Give a path.") from error
        if "\0" in str(directory):
            raise SpecificationError(f"directory={self.directory!r} has a null character. Give the path of a folder.")
        object.__setattr__(self, "directory", directory)

    def __repr__(self) -> str:
        """Leave out the path, since it would appear in reports."""
        return "PriceStore()"

    def symbols(self) -> pl.DataFrame:
        """List stored symbols: ``vendor, symbol, rows, covered_from, covered_to, fetched_at, time_zone, file``."""
        entries = sorted(self.index().values(), key=lambda e: (e.vendor, e.symbol))
        dtypes = {"covered_from": pl.Date, "covered_to": pl.Date, "fetched_at": pl.Datetime("us", "UTC")}
        columns = ["vendor", "symbol", "rows", "covered_from", "covered_to", "fetched_at", "time_zone", "file"]
        frame = pl.DataFrame(
            [{c: getattr(e, c) for c in columns} for e in entries],
            schema=dict.fromkeys(columns, pl.String) | {"rows": pl.Int64},
        )
        return frame.select(
            pl.col(c).str.to_datetime(time_unit="us", time_zone="UTC") if c == "fetched_at"
            else pl.col(c).str.to_date() if c in dtypes else c
            for c in columns
        )  # fmt: skip

    def snapshots(self) -> pl.DataFrame:
        """List snapshots: ``snapshot, vendor, symbols, first, last, missing``.

        A damaged one has only its name, with a warning.
        """
        has_known_format(self.directory)
        rows: list[tuple[Any, ...]] = []
        for name in snapshot_names(self.directory):
            try:
                manifest = self._manifest(name)
            except DataError as error:
                warnings.warn(str(error), MarketImpactWarning, stacklevel=2)
                rows.append((name, *[None] * 5))
                continue
            rows.append(
                (
                    name,
                    manifest["vendor"],
                    len(manifest["files"]),
                    manifest["first"],
                    manifest["last"],
                    len(manifest["missing"]),
                )
            )
        dtypes = dict.fromkeys(("snapshot", "vendor", "symbols", "first", "last", "missing"), pl.String)
        return pl.DataFrame(rows, schema=dtypes | {"symbols": pl.Int64, "missing": pl.Int64}, orient="row")

    def verify(self) -> pl.DataFrame:
        """List damaged or absent files and links, ``what, symbol, file, problem``, without a change to the store."""
        problems: list[tuple[str, str | None, str, str]] = []
        if not has_known_format(self.directory) and (self.directory / "format.json").exists():
            problems.append(("format", None, "format.json", "is damaged; the next fetch writes it again"))
        entries, problem = self._index()
        if problem:
            problems.append(("index", None, "index.json", f"is damaged ({problem}); it is rebuilt from the files"))
        uses = {(e.file, e.symbol, "current") for e in entries.values()}
        problems += [
            ("link", None, link, "is a symbolic link, which is not followed") for link in links(self.directory)
        ]
        for name in snapshot_names(self.directory):
            try:
                manifest = self._manifest(name)
            except DataError as error:
                problems.append(("snapshot", None, f"{name}.json", str(error)))
                continue
            uses |= {(file, symbol, f"snapshot {name}") for symbol, file in manifest["files"].items()}
        for file, symbol, use in sorted(uses):
            problem = self._rows(file)[1]
            # another process may have replaced a current file since
            if problem and (use != "current" or any(file == e.file for e in self._index()[0].values())):
                problems.append((use, symbol, file, problem))
        for path in (path for folder in own_folders(self.directory) for path in bar_files(folder)):
            if intact_bars(path) is None:
                file = path.relative_to(self.directory).as_posix()
                problems.append(("bars", None, file, "are damaged: the file does not match its hash"))
        return pl.DataFrame(problems, schema=_DAMAGE, orient="row")

    def export(self, path: str | Path, symbols: Sequence[str] | None = None, *, vendor: str | None = None) -> Path:
        """Write current rows as one Parquet or CSV file that `FilePrices` reads.

        Columns ``symbol, date, close, adj_close, volume, dividend, split, currency``: `close` is not adjusted for
        dividends, `adj_close` is. With ``open, high, low`` on the basis of `close` where any is stored.

        Raises
        ------
        DataError
            If the store is empty, lacks a symbol, has it of two vendors, or the file cannot be written.
        """
        target = Path(path).expanduser()
        if target.suffix.lower() not in (".parquet", ".csv"):
            raise SpecificationError(
                f"{target.name!r} is neither Parquet nor CSV. Give a name that ends in .parquet or .csv."
            )
        has_known_format(self.directory)  # before a lock file is written into a folder of other files
        with lock_directory(self.directory):
            frame = self._current(symbols, vendor)
        frame = frame.select(
            "symbol", "date", pl.col("unadjusted_close").alias("close"), pl.col("close").alias("adj_close"),
            "volume", "dividend", "split", "currency", *(name for name in BARS if frame[name].count()),
        )  # fmt: skip
        write_atomic(
            target, dump_parquet(frame, {}) if target.suffix.lower() == ".parquet" else csv_text(frame).encode()
        )
        return target

    def _current(self, symbols: Sequence[str] | None, vendor: str | None) -> pl.DataFrame:
        """Read the current rows of symbols, each of one vendor."""
        entries = self.index()
        stored = {(e.vendor, e.symbol) for e in entries.values() if vendor in (None, e.vendor)}
        requested = sorted({s for _, s in stored}) if symbols is None else list(symbols)
        lacking = sorted(set(requested) - {s for _, s in stored})
        if lacking or not requested:
            raise DataError(
                f"The store holds no prices of {listed(lacking)}. Fetch them first." if lacking else EMPTY_STORE
            )
        ambiguous = sorted(s for s in requested if sum(s == symbol for _, symbol in stored) > 1)
        if ambiguous:
            raise DataError(
                f"More than one vendor's prices of {listed(ambiguous)} are stored. Choose one with vendor=."
            )
        return pl.concat(self.series(entries[key].file) for key in sorted(stored) if key[1] in requested).sort(
            "symbol", "date"
        )

    def forget(self, snapshot: str) -> None:
        """Delete a snapshot; the next `prune` removes files that nothing else needs."""
        path = self._snapshot_path(snapshot)  # before a lock file is written into a folder of other files
        with lock_directory(self.directory):
            remove_file(path)

    def prune(self) -> int:
        """Remove files that are neither current nor in a snapshot, and unfinished ones; return their number.

        Files and folders of other names, and symbolic links, stay.
        """
        has_known_format(self.directory)  # before a lock file is written into a folder of other files
        with lock_directory(self.directory):
            keep = {e.file for e in self.index().values()}
            for name in snapshot_names(self.directory):
                keep |= set(self._manifest(name)["files"].values())
            unused = [p for p in data_files(self.directory) if p.relative_to(self.directory).as_posix() not in keep]
            for path in unused:
                remove_file(path)
            return len(unused) + remove_unfinished(own_folders(self.directory))

    def index(self) -> dict[tuple[str, str], Entry]:
        """Read the index, current files by vendor and symbol; rebuild it, with a warning, where it is damaged."""
        has_known_format(self.directory)
        entries, problem = self._index()
        if problem:
            aside = self._set_aside("index.json")
            warnings.warn(
                f"The index of the price store was damaged ({problem}); it is set aside as {aside.name} and rebuilt "
                "from the files.",
                MarketImpactWarning,
                stacklevel=3,
            )
        return entries

    def _index(self) -> tuple[dict[tuple[str, str], Entry], str]:
        """Read or rebuild the index, and describe what is wrong with it; empty text if nothing is."""
        content = read_content(own_path(self.directory, "index.json"))
        if content is None:
            return self._rebuilt(), ""
        try:
            return parse_index(content), ""
        except ValueError as error:
            return self._rebuilt(), first_line(error)
        except UNREADABLE as error:
            return self._rebuilt(), type(error).__name__

    def has(self, file: str) -> bool:
        """Check whether a data file is there, whatever it holds."""
        return is_data_file(file) and own_path(self.directory, file).is_file()

    def series(self, file: str) -> pl.DataFrame:
        """Read the rows of a data file after a check of its hash.

        Raises
        ------
        DataError
            If it is absent or damaged.
        """
        rows, problem = self._rows(file)
        if rows is None:
            raise DataError(
                f"Stored prices {problem} ({file}), so snapshots with this file cannot be read. Fetch current prices "
                "with: marketimpact fetch."
            )
        return rows

    def current_rows(self, entry: Entry) -> pl.DataFrame | None:
        """Read the rows of a current file; set a damaged one aside with a warning, and return None."""
        rows, problem = self._rows(entry.file)
        if rows is not None:
            return rows
        path = own_path(self.directory, entry.file)
        moved = f"; it is set aside as {self._set_aside(entry.file).name}" if path.exists() else ""
        warnings.warn(
            f"The stored prices of {entry.symbol} {problem}{moved} and are fetched again where that is possible.",
            MarketImpactWarning,
            stacklevel=4,
        )
        return None

    def commit(self, vendor: str, updates: Iterable[Update], damaged: Iterable[str] = ()) -> None:
        """Merge rows into the store, the later fetch of a date being kept; drop `damaged` symbols from the index.

        Raises
        ------
        DataError
            If the directory cannot be written, is full, or belongs to a later version.
        """
        with lock_directory(self.directory):
            write_format(self.directory)
            entries = self.index()
            for symbol in damaged:
                entries.pop((vendor, symbol), None)
            replaced: list[str] = []
            written: list[Path] = []
            try:
                for update in updates:
                    key = (vendor, update.symbol)
                    entry = entries.get(key)
                    entries[key] = self._write_rows(vendor, update, entry, written)
                    if entry is not None and entry.file != entries[key].file:
                        replaced.append(entry.file)
            except DataError:
                for path in written:  # not yet in the index, and the disk may be full
                    remove_file(path)
                raise
            write_atomic(own_path(self.directory, "index.json"), dump_index(entries[k] for k in sorted(entries)))
            self._drop_unpinned(replaced)

    def name_of(self, manifest: Mapping[str, Any]) -> str:
        """Return the name of a manifest's snapshot: the hash of its content."""
        return digest(_snapshot(manifest))[:NAME_LENGTH]

    def pin(self, manifest: Mapping[str, Any]) -> str:
        """Write a manifest as a snapshot under its name."""
        content, name = _snapshot(manifest), self.name_of(manifest)
        path = own_path(self.directory, f"snapshots/{name}.json")
        stored = read_content(path)
        if stored is not None and stored != content:
            aside = self._set_aside(f"snapshots/{name}.json")
            warnings.warn(
                f"Snapshot {name} was damaged; it is set aside as {aside.name} and written again.",
                MarketImpactWarning,
                stacklevel=3,
            )
        if stored != content:
            write_atomic(path, content)
        return name

    def manifest(self, snapshot: str) -> dict[str, Any]:
        """Read the manifest of a snapshot.

        Raises
        ------
        SpecificationError
            If no snapshot has that name, or more than one starts with it.
        DataError
            If it is damaged or was written by a later version.
        """
        return self._manifest(self._snapshot_path(snapshot).stem)

    def _manifest(self, name: str) -> dict[str, Any]:
        """Read the manifest of the snapshot with this full name."""
        content = read_content(own_path(self.directory, f"snapshots/{name}.json")) or b""
        advice = f"It cannot be read; delete it with: marketimpact store prune --forget {name}"
        if digest(content)[:NAME_LENGTH] != name:
            raise DataError(f"Snapshot {name} is damaged: its content does not match its name. {advice}")
        try:
            version = json.loads(content).get("format")
        except UNREADABLE:
            version = None
        require_known_format(version, f"Snapshot {name}")
        try:
            return parse_manifest(content)
        except UNREADABLE as error:
            raise DataError(
                f"Snapshot {name} is damaged: it has other content than this package writes. {advice}"
            ) from error

    def full_name(self, snapshot: str) -> str:
        """Complete the first characters of a snapshot's name."""
        return self._snapshot_path(snapshot).stem

    def _snapshot_path(self, snapshot: str) -> Path:
        """Find the one snapshot whose name starts so, or raise SpecificationError."""
        has_known_format(self.directory)
        known = snapshot_names(self.directory)
        is_name = isinstance(snapshot, str) and snapshot.isalnum()
        matches = [name for name in known if name.startswith(snapshot)] if is_name else []
        if len(matches) != 1:
            fault = f"{len(matches)} snapshots start with" if matches else "no snapshot is called"
            raise SpecificationError(
                f"In the price store {fault} {snapshot!r}. It has {len(known)}: {listed(known) or 'none'}. "
                "List them with: marketimpact store ls"
            )
        return self.directory / "snapshots" / f"{matches[0]}.json"

    def _write_rows(self, vendor: str, update: Update, entry: Entry | None, written: list[Path]) -> Entry:
        """Write the merged rows of one symbol as a new file, and append it to `written`."""
        old = self.current_rows(entry) if entry is not None else None
        rows, covered = update.frame, (update.covered_from, update.covered_to)
        if old is not None and entry is not None:
            rows = merge_rows(old, update, latest=entry.file == update.base)
            covered = join_coverage(entry.covered, update)
        notes = update.notes
        if entry is not None and old is not None and not update.replaces:
            notes = tuple(dict.fromkeys((*entry.notes, *notes)))
        rows = rows.select(pl.col(c).cast(dtype) for c, dtype in SERIES.items()).sort("date")
        metadata = {
            "vendor": vendor,
            "symbol": update.symbol,
            "covered_from": f"{covered[0]}",
            "covered_to": f"{covered[1]}",
            "notes": json.dumps(notes),
        }
        content = dump_parquet(rows, metadata)
        file = f"prices/{safe_name(vendor)}/{safe_name(update.symbol)}/{digest(content)}.parquet"
        path = own_path(self.directory, file)
        if not path.is_file():
            write_atomic(path, content)
            written.append(path)
        return make_entry(file, rows, metadata)

    def _drop_unpinned(self, files: Sequence[str]) -> None:
        """Delete replaced files that no snapshot needs."""
        if not files:
            return
        pinned = set()
        for name in snapshot_names(self.directory):
            # a damaged snapshot must not stop a write; verify reports it
            pinned |= _files_of(read_content(own_path(self.directory, f"snapshots/{name}.json")) or b"")
        for file in files:
            if file not in pinned:
                remove_file(own_path(self.directory, file))

    def _rebuilt(self) -> dict[tuple[str, str], Entry]:
        """Rebuild the index from the data files: of each symbol the one fetched last, then with most rows."""
        entries: dict[tuple[str, str], Entry] = {}
        for path in data_files(self.directory):
            file = path.relative_to(self.directory).as_posix()
            content, problem = self._content(file)
            if problem:
                continue
            try:
                entry = make_entry(file, read_rows(content), pl.read_parquet_metadata(io.BytesIO(content)))
            except UNREADABLE:
                continue  # a file that this package did not write
            known = entries.get((entry.vendor, entry.symbol))
            if known is None or (entry.fetched_at, entry.rows) > (known.fetched_at, known.rows):
                entries[entry.vendor, entry.symbol] = entry
        return entries

    def _set_aside(self, file: str) -> Path:
        own_path(self.directory, "set_aside")
        return set_aside(own_path(self.directory, file), self.directory)

    def _rows(self, file: str) -> tuple[pl.DataFrame | None, str]:
        """Read the rows of a data file, or describe what is wrong with it."""
        content, problem = self._content(file)
        if problem:
            return None, problem
        try:
            return read_rows(content), ""
        except ValueError as error:
            return None, f"are not as this package writes them: {error}"

    def _content(self, file: str) -> tuple[bytes, str]:
        """Read the bytes of a data file, and describe what is wrong with it; empty text if nothing is."""
        if not is_data_file(file):
            return b"", "are not where the store keeps its files"
        try:
            content = read_content(own_path(self.directory, file))
        except DataError as error:
            return b"", f"cannot be read ({error})"
        if content is None:
            return b"", "are gone: the file does not exist"
        is_intact = digest(content) == Path(file).stem
        return content, "" if is_intact else "are damaged: the file does not match its hash"


def _snapshot(manifest: Mapping[str, Any]) -> bytes:
    """Serialise a snapshot."""
    return dump_json({"format": FORMAT, **manifest})


def _files_of(manifest: bytes) -> set[str]:
    """Return the files of a snapshot, also of a later version; none if it is damaged."""
    try:
        return {file for file in json.loads(manifest)["files"].values() if isinstance(file, str)}
    except UNREADABLE:
        return set()
