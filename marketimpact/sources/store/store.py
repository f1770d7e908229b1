"""The price store on disk: immutable files, one index, snapshots that name what was read."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, MarketImpactWarning, SpecificationError
from marketimpact.sources.store.files import (
    digest,
    lock_directory,
    read_content,
    remove_unfinished,
    safe_name,
    set_aside,
    write_atomic,
)
from marketimpact.sources.store.index import (
    SERIES,
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
)
from marketimpact.sources.store.layout import FORMAT, has_known_format, require_known_format, write_format

__all__ = ["SERIES", "Entry", "PriceStore", "Update"]

#: Letters of a snapshot's name.
NAME_LENGTH = 16
EMPTY_STORE = "The price store holds nothing yet. marketimpact fetch fills it."
_DAMAGE = {"what": pl.String, "symbol": pl.String, "file": pl.String, "problem": pl.String}


def _cache() -> Path:
    from platformdirs import user_cache_path  # noqa: PLC0415  # only who uses the store pays for it

    return user_cache_path("marketimpact") / "prices"


@dataclass(frozen=True, slots=True)
class PriceStore:
    """Prices kept on disk, so that a study can be run again on the same rows.

    Parameters
    ----------
    directory : str or pathlib.Path, optional
        Where; the user's cache directory by default.

    Notes
    -----
    Every version of a symbol's history is one Parquet file that never changes, named by the SHA-256 of its
    bytes, which is checked whenever it is read. An index says which version is current; replacing it is the moment at
    which a write counts. Writers take turns by a file lock. See ``docs/sources/store.md``.
    """

    directory: Path = field(default_factory=_cache)

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Path(self.directory).expanduser())

    def __repr__(self) -> str:
        """No path: it would travel into reports."""
        return "PriceStore()"

    def symbols(self) -> pl.DataFrame:
        """``vendor, symbol, rows, covered_from, covered_to, fetched_at, time_zone, file`` of what is held."""
        entries = sorted(self.index().values(), key=lambda e: (e.vendor, e.symbol))
        kinds = {"covered_from": pl.Date, "covered_to": pl.Date, "fetched_at": pl.Datetime("us", "UTC")}
        columns = ["vendor", "symbol", "rows", "covered_from", "covered_to", "fetched_at", "time_zone", "file"]
        frame = pl.DataFrame(
            [{c: getattr(e, c) for c in columns} for e in entries],
            schema=dict.fromkeys(columns, pl.String) | {"rows": pl.Int64},
        )
        return frame.select(
            pl.col(c).str.to_datetime(time_unit="us", time_zone="UTC") if c == "fetched_at"
            else pl.col(c).str.to_date() if c in kinds else c
            for c in columns
        )  # fmt: skip

    def snapshots(self) -> pl.DataFrame:
        """``snapshot, vendor, symbols, first, last, missing``: what was read, under the names it can be read by.

        Of a damaged one only the name is there, and a warning says so.
        """
        has_known_format(self.directory)
        rows: list[tuple[Any, ...]] = []
        for name in self._snapshot_names():
            try:
                held = self.manifest(name)
            except DataError as error:
                warnings.warn(str(error), MarketImpactWarning, stacklevel=2)
                rows.append((name, *[None] * 5))
                continue
            rows.append((name, held["vendor"], len(held["files"]), held["first"], held["last"], len(held["missing"])))
        kinds = dict.fromkeys(("snapshot", "vendor", "symbols", "first", "last", "missing"), pl.String)
        return pl.DataFrame(rows, schema=kinds | {"symbols": pl.Int64, "missing": pl.Int64}, orient="row")

    def verify(self) -> pl.DataFrame:
        """``what, symbol, file, problem``: files that are damaged or gone; empty when all is well. Changes nothing."""
        found: list[tuple[str, str | None, str, str]] = []
        if not has_known_format(self.directory) and (self.directory / "format.json").exists():
            found.append(("format", None, "format.json", "is damaged; it is made anew with the next fetch"))
        entries, problem = self._index()
        if problem:
            found.append(("index", None, "index.json", f"is damaged ({problem}); it is made anew from the files"))
        wanted = {(e.file, e.symbol, "current") for e in entries.values()}
        for name in self._snapshot_names():
            try:
                held = self.manifest(name)
            except DataError as error:
                found.append(("snapshot", None, f"{name}.json", str(error)))
                continue
            wanted |= {(file, symbol, f"snapshot {name}") for symbol, file in held["files"].items()}
        for file, symbol, what in sorted(wanted):
            problem = self._content(file)[1]
            # a writer may have replaced it meanwhile
            if problem and (what != "current" or any(file == e.file for e in self._index()[0].values())):
                found.append((what, symbol, file, problem))
        return pl.DataFrame(found, schema=_DAMAGE, orient="row")

    def export(self, path: str | Path, symbols: Sequence[str] | None = None, *, vendor: str | None = None) -> Path:
        """Write current rows as one Parquet or CSV file that `FilePrices` reads.

        Columns ``symbol, date, close, adj_close, volume, dividend, split, currency``: `close` is not adjusted for
        dividends, `adj_close` is.

        Raises
        ------
        DataError
            If nothing is held, a symbol is not, two vendors hold it, or the file cannot be written.
        """
        target = Path(path).expanduser()
        if target.suffix.lower() not in (".parquet", ".csv"):
            raise SpecificationError(f"{target.name!r}: export writes .parquet or .csv.")
        with lock_directory(self.directory):
            frame = self._current(symbols, vendor)
        frame = frame.select(
            "symbol", "date", pl.col("unadjusted_close").alias("close"), pl.col("close").alias("adj_close"),
            "volume", "dividend", "split", "currency",
        )  # fmt: skip
        write_atomic(
            target, dump_parquet(frame, {}) if target.suffix.lower() == ".parquet" else frame.write_csv().encode()
        )
        return target

    def _current(self, symbols: Sequence[str] | None, vendor: str | None) -> pl.DataFrame:
        """Current rows of symbols that one vendor holds."""
        entries = self.index()
        held = {(e.vendor, e.symbol) for e in entries.values() if vendor in (None, e.vendor)}
        wanted = sorted({s for _, s in held}) if symbols is None else list(symbols)
        lacking = sorted(set(wanted) - {s for _, s in held})
        if lacking or not wanted:
            raise DataError(f"The store holds no prices of {listed(lacking)}." if lacking else EMPTY_STORE)
        twice = sorted(s for s in wanted if sum(s == symbol for _, symbol in held) > 1)
        if twice:
            raise DataError(f"More than one vendor's prices of {listed(twice)} are held; say which with vendor=.")
        return pl.concat(self.series(entries[key].file) for key in sorted(held) if key[1] in wanted).sort(
            "symbol", "date"
        )

    def forget(self, snapshot: str) -> None:
        """Drop a snapshot; its files go with the next `prune` where nothing else needs them."""
        with lock_directory(self.directory):
            self._snapshot_path(snapshot).unlink()

    def prune(self) -> int:
        """Remove files that are neither current nor in a snapshot, and what dead writers left; count them."""
        with lock_directory(self.directory):
            has_known_format(self.directory)
            keep = {e.file for e in self.index().values()}
            for name in self._snapshot_names():
                keep |= set(self.manifest(name)["files"].values())
            gone = [p for p in self._data_files() if p.relative_to(self.directory).as_posix() not in keep]
            for path in gone:
                path.unlink()
            return len(gone) + remove_unfinished(self.directory)

    def index(self) -> dict[tuple[str, str], Entry]:
        """Current files by vendor and symbol; rebuilt from the files, with a warning, where it is damaged."""
        has_known_format(self.directory)
        entries, problem = self._index()
        if problem:
            aside = set_aside(self.directory / "index.json", self.directory)
            warnings.warn(
                f"The index of the price store was damaged ({problem}); it is set aside as {aside.name} and made anew "
                "from the files.",
                MarketImpactWarning,
                stacklevel=3,
            )
        return entries

    def _index(self) -> tuple[dict[tuple[str, str], Entry], str]:
        """Current files, and what is wrong with the index; empty where nothing is."""
        content = read_content(self.directory / "index.json")
        if content is None:
            return self._rebuilt(), ""
        try:
            return parse_index(content), ""
        except ValueError as error:
            return self._rebuilt(), str(error).partition("\n")[0]
        except (KeyError, TypeError, AttributeError) as error:
            return self._rebuilt(), type(error).__name__

    def series(self, file: str) -> pl.DataFrame:
        """Rows of a data file, after checking its hash.

        Raises
        ------
        DataError
            If it is gone or damaged.
        """
        content, problem = self._content(file)
        if problem:
            raise DataError(
                f"Stored prices {problem} ({file}). marketimpact fetch gets current ones; a snapshot that needs this "
                "very file cannot be read any more."
            )
        return pl.read_parquet(io.BytesIO(content))

    def whole(self, entry: Entry) -> pl.DataFrame | None:
        """Rows of a current file; a damaged one is set aside with a warning, None then stands for it."""
        content, problem = self._content(entry.file)
        if not problem:
            return pl.read_parquet(io.BytesIO(content))
        path = self.directory / entry.file
        where = f"; it is set aside as {set_aside(path, self.directory).name}" if path.exists() else ""
        warnings.warn(
            f"The stored prices of {entry.symbol} {problem}{where} and are fetched again where that is possible.",
            MarketImpactWarning,
            stacklevel=4,
        )
        return None

    def commit(self, vendor: str, updates: Iterable[Update], damaged: Iterable[str] = ()) -> None:
        """Keep rows: united with what is held, the later fetch winning; `damaged` symbols leave the index.

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
                    held = entries.get(key)
                    entries[key] = self._keep(vendor, update, held, written)
                    if held is not None and held.file != entries[key].file:
                        replaced.append(held.file)
            except DataError:
                for path in written:  # nothing names them yet, and the disk may be full
                    path.unlink(missing_ok=True)
                raise
            write_atomic(self.directory / "index.json", dump_index(entries[k] for k in sorted(entries)))
            self._drop_unpinned(replaced)

    def name_of(self, manifest: Mapping[str, Any]) -> str:
        """What a snapshot of a manifest is called: the hash of its content."""
        return digest(_snapshot(manifest))[:NAME_LENGTH]

    def pin(self, manifest: Mapping[str, Any]) -> str:
        """Keep a manifest for ever, under its name."""
        content, name = _snapshot(manifest), self.name_of(manifest)
        path = self.directory / "snapshots" / f"{name}.json"
        held = read_content(path)
        if held is not None and held != content:
            aside = set_aside(path, self.directory)
            warnings.warn(
                f"Snapshot {name} was damaged; it is set aside as {aside.name} and written anew.",
                MarketImpactWarning,
                stacklevel=3,
            )
        if held != content:
            write_atomic(path, content)
        return name

    def manifest(self, snapshot: str) -> dict[str, Any]:
        """What a snapshot holds.

        Raises
        ------
        SpecificationError
            If there is no such snapshot, or more than one begins so.
        DataError
            If it is damaged or was written by a later version.
        """
        path = self._snapshot_path(snapshot)
        content = read_content(path) or b""
        if digest(content)[:NAME_LENGTH] != path.stem:
            raise DataError(
                f"Snapshot {path.stem} is damaged: its content does not match its name. It cannot be read any more; "
                f"drop it with: marketimpact store prune --forget {path.stem}"
            )
        held: dict[str, Any] = json.loads(content)
        require_known_format(held.get("format"), f"Snapshot {path.stem}")
        return held

    def full_name(self, snapshot: str) -> str:
        """The whole name of the one snapshot that begins so."""
        return self._snapshot_path(snapshot).stem

    def _snapshot_path(self, snapshot: str) -> Path:
        has_known_format(self.directory)
        known = self._snapshot_names()
        meant = [name for name in known if name.startswith(snapshot)] if snapshot.isalnum() else []
        if len(meant) != 1:
            what = f"{len(meant)} snapshots begin with" if meant else "no snapshot is called"
            raise SpecificationError(
                f"In the price store {what} {snapshot!r}. It has {len(known)}: {listed(known) or 'none'}. "
                "List them with: marketimpact store ls"
            )
        return self.directory / "snapshots" / f"{meant[0]}.json"

    def _snapshot_names(self) -> list[str]:
        return sorted(path.stem for path in (self.directory / "snapshots").glob("*.json"))

    def _keep(self, vendor: str, update: Update, held: Entry | None, written: list[Path]) -> Entry:
        """Write the united rows of one symbol as a new file, and add it to those `written`."""
        old = self.whole(held) if held is not None else None
        rows, covered = update.frame, (update.covered_from, update.covered_to)
        if old is not None and held is not None:
            rows = merge_rows(old, update, latest=held.file == update.base)
            covered = join_coverage(
                (date.fromisoformat(held.covered_from), date.fromisoformat(held.covered_to)), update
            )
        notes = update.notes
        if held is not None and old is not None and not update.replaces:
            notes = tuple(dict.fromkeys((*held.notes, *notes)))
        rows = rows.select(pl.col(c).cast(kind) for c, kind in SERIES.items()).sort("date")
        told = {
            "vendor": vendor,
            "symbol": update.symbol,
            "covered_from": f"{covered[0]}",
            "covered_to": f"{covered[1]}",
            "notes": json.dumps(notes),
        }
        content = dump_parquet(rows, told)
        file = f"prices/{safe_name(vendor)}/{safe_name(update.symbol)}/{digest(content)}.parquet"
        if not (self.directory / file).exists():
            write_atomic(self.directory / file, content)
            written.append(self.directory / file)
        return make_entry(file, rows, told)

    def _drop_unpinned(self, files: Sequence[str]) -> None:
        if not files:
            return
        pinned = set()
        for name in self._snapshot_names():
            # a damaged snapshot must not stop a write; verify tells of it
            pinned |= set(_files_of(read_content(self.directory / "snapshots" / f"{name}.json") or b""))
        for file in files:
            if file not in pinned:
                (self.directory / file).unlink(missing_ok=True)

    def _rebuilt(self) -> dict[tuple[str, str], Entry]:
        """The index made from the files: of each symbol the one fetched last, then the one with most rows."""
        entries: dict[tuple[str, str], Entry] = {}
        for path in self._data_files():
            file = path.relative_to(self.directory).as_posix()
            content, problem = self._content(file)
            if problem:
                continue
            entry = make_entry(
                file, pl.read_parquet(io.BytesIO(content)), pl.read_parquet_metadata(io.BytesIO(content))
            )
            known = entries.get((entry.vendor, entry.symbol))
            if known is None or (entry.fetched_at, entry.rows) > (known.fetched_at, known.rows):
                entries[entry.vendor, entry.symbol] = entry
        return entries

    def _data_files(self) -> Iterable[Path]:
        return sorted((self.directory / "prices").glob("*/*/*.parquet"))

    def _content(self, file: str) -> tuple[bytes, str]:
        """The bytes of a data file, and what is wrong with it; empty where nothing is."""
        if not is_data_file(file):
            return b"", "are not where the store keeps its files"
        try:
            content = read_content(self.directory / file)
        except DataError as error:
            return b"", f"cannot be read ({error})"
        if content is None:
            return b"", "are gone: the file is not there"
        whole = digest(content) == Path(file).stem
        return content, "" if whole else "are damaged: the file does not match its hash"


def _snapshot(manifest: Mapping[str, Any]) -> bytes:
    return dump_json({"format": FORMAT, **manifest})


def _files_of(manifest: bytes) -> list[str]:
    try:
        return list(json.loads(manifest)["files"].values())
    except (ValueError, KeyError, AttributeError, TypeError):
        return []
