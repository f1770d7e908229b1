"""The price store on disk: immutable files, one index, snapshots that name what was read."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.errors import DataError, MarketImpactWarning, SpecificationError
from marketimpact.sources.protocol import listed
from marketimpact.sources.store_files import digest, locked, safe_name, set_aside, sweep, write_whole

__all__ = ["SERIES", "Entry", "PriceStore", "Update"]

#: Version of what is written. A store of a later one is refused.
FORMAT = 1
#: Columns of every data file.
SERIES: Mapping[str, Any] = {
    "symbol": pl.String, "date": pl.Date, "close": pl.Float64, "volume": pl.Float64, "unadjusted_close": pl.Float64,
    "dividend": pl.Float64, "split": pl.Float64, "currency": pl.String, "time_zone": pl.String,
    "fetched_at": pl.Datetime("us", "UTC"), "source": pl.String,
}  # fmt: skip
#: Letters of a snapshot's name.
SNAPSHOT = 16
_DAMAGE = {"what": pl.String, "symbol": pl.String, "file": pl.String, "problem": pl.String}


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
    """Rows of one symbol to keep, and the dates they are all of; `replaces` where older rows no longer hold."""

    symbol: str
    frame: pl.DataFrame
    covered_from: date
    covered_to: date
    replaces: bool
    notes: tuple[str, ...] = ()


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
        """``snapshot, vendor, symbols, first, last, missing``: what was read, under the names it can be read by."""
        rows = []
        for path in sorted((self.directory / "snapshots").glob("*.json")):
            held = self.manifest(path.stem)
            rows.append(
                (path.stem, held["vendor"], len(held["files"]), held["first"], held["last"], len(held["missing"]))
            )
        kinds = ["snapshot", "vendor", "symbols", "first", "last", "missing"]
        return pl.DataFrame(
            rows, schema=kinds, orient="row", schema_overrides={"symbols": pl.Int64, "missing": pl.Int64}
        )

    def verify(self) -> pl.DataFrame:
        """``what, symbol, file, problem``: files that are damaged or gone; empty when all is well. Changes nothing."""
        self._demand_format()
        found: list[tuple[str, str | None, str, str]] = []
        wanted = {(e.file, e.symbol, "current") for e in self.index().values()}
        for path in sorted((self.directory / "snapshots").glob("*.json")):
            try:
                held = self.manifest(path.stem)
            except DataError as error:
                found.append(("snapshot", None, path.name, str(error)))
                continue
            wanted |= {(file, symbol, f"snapshot {path.stem}") for symbol, file in held["files"].items()}
        for file, symbol, what in sorted(wanted):
            problem = self._problem(file)
            if problem:
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
        with locked(self.directory):
            frame = self._current(symbols, vendor)
        frame = frame.select(
            "symbol", "date", pl.col("unadjusted_close").alias("close"), pl.col("close").alias("adj_close"),
            "volume", "dividend", "split", "currency",
        )  # fmt: skip
        write_whole(target, _parquet(frame, {}) if target.suffix.lower() == ".parquet" else frame.write_csv().encode())
        return target

    def _current(self, symbols: Sequence[str] | None, vendor: str | None) -> pl.DataFrame:
        """Current rows of symbols that one vendor holds."""
        entries = self.index()
        held = {(e.vendor, e.symbol) for e in entries.values() if vendor in (None, e.vendor)}
        wanted = sorted({s for _, s in held}) if symbols is None else list(symbols)
        lacking = sorted(set(wanted) - {s for _, s in held})
        if lacking or not wanted:
            raise DataError(f"The store holds no prices of {listed(lacking)}." if lacking else "The store is empty.")
        twice = sorted(s for s in wanted if sum(s == symbol for _, symbol in held) > 1)
        if twice:
            raise DataError(f"More than one vendor's prices of {listed(twice)} are held; say which with vendor=.")
        return pl.concat(self.series(entries[key].file) for key in sorted(held) if key[1] in wanted).sort(
            "symbol", "date"
        )

    def forget(self, snapshot: str) -> None:
        """Drop a snapshot; its files go with the next `prune` where nothing else needs them."""
        with locked(self.directory):
            self._snapshot_path(snapshot).unlink()

    def prune(self) -> int:
        """Remove files that are neither current nor in a snapshot, and what dead writers left; count them."""
        with locked(self.directory):
            self._demand_format()
            keep = {e.file for e in self.index().values()}
            for path in (self.directory / "snapshots").glob("*.json"):
                keep |= set(self.manifest(path.stem)["files"].values())
            gone = [p for p in self._data_files() if p.relative_to(self.directory).as_posix() not in keep]
            for path in gone:
                path.unlink()
            return len(gone) + sweep(self.directory)

    def index(self) -> dict[tuple[str, str], Entry]:
        """Current files by vendor and symbol; rebuilt from the files, with a warning, where it is damaged."""
        self._demand_format()
        path = self.directory / "index.json"
        try:
            content = json.loads(path.read_bytes())
            return {(e["vendor"], e["symbol"]): Entry(**{**e, "notes": tuple(e["notes"])}) for e in content["series"]}
        except FileNotFoundError:
            return self._rebuilt() if any(True for _ in self._data_files()) else {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            aside = set_aside(path, self.directory)
            warnings.warn(
                f"The index of the price store was damaged ({type(error).__name__}); it is set aside as {aside.name} "
                "and made anew from the files.",
                MarketImpactWarning,
                stacklevel=3,
            )
            return self._rebuilt()

    def series(self, file: str) -> pl.DataFrame:
        """Rows of a data file, after checking its hash.

        Raises
        ------
        DataError
            If it is gone or damaged.
        """
        problem = self._problem(file)
        if problem:
            raise DataError(f"{file} of the price store {problem}.")
        return pl.read_parquet(io.BytesIO((self.directory / file).read_bytes()))

    def whole(self, entry: Entry) -> pl.DataFrame | None:
        """Rows of a current file; a damaged one is set aside with a warning, None then stands for it."""
        problem = self._problem(entry.file)
        if not problem:
            return pl.read_parquet(io.BytesIO((self.directory / entry.file).read_bytes()))
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
        with locked(self.directory):
            self._demand_format()
            if not (self.directory / "format.json").exists():
                write_whole(self.directory / "format.json", _json({"format": FORMAT}))
            entries = self.index()
            for symbol in damaged:
                entries.pop((vendor, symbol), None)
            replaced = []
            for update in updates:
                key = (vendor, update.symbol)
                held = entries.get(key)
                entries[key] = self._keep(vendor, update, held)
                if held is not None and held.file != entries[key].file:
                    replaced.append(held.file)
            write_whole(self.directory / "index.json", _json({"series": [asdict(entries[k]) for k in sorted(entries)]}))
            self._drop_unpinned(replaced)

    def pin(self, vendor: str, manifest: Mapping[str, Any]) -> str:
        """Keep a manifest for ever; its name is the hash of its content."""
        content = _json({"format": FORMAT, "vendor": vendor, **manifest})
        name = digest(content)[:SNAPSHOT]
        path = self.directory / "snapshots" / f"{name}.json"
        if not path.exists():
            write_whole(path, content)
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
        content = path.read_bytes()
        if digest(content)[:SNAPSHOT] != path.stem:
            raise DataError(f"Snapshot {path.stem} is damaged: its content does not match its name.")
        held: dict[str, Any] = json.loads(content)
        _demand_known(held.get("format"), f"snapshot {path.stem}")
        return held

    def full_name(self, snapshot: str) -> str:
        """The whole name of the one snapshot that begins so."""
        return self._snapshot_path(snapshot).stem

    def _snapshot_path(self, snapshot: str) -> Path:
        known = sorted(p.stem for p in (self.directory / "snapshots").glob("*.json"))
        meant = [name for name in known if name.startswith(snapshot)] if snapshot.isalnum() else []
        if len(meant) != 1:
            what = f"{len(meant)} snapshots begin with" if meant else "no snapshot is called"
            raise SpecificationError(
                f"In the price store {what} {snapshot!r}. It has {len(known)}: {listed(known) or 'none'}. "
                "List them with: marketimpact store ls"
            )
        return self.directory / "snapshots" / f"{meant[0]}.json"

    def _keep(self, vendor: str, update: Update, held: Entry | None) -> Entry:
        """Write the united rows of one symbol as a new file."""
        old = self.whole(held) if held is not None else None
        rows, covered = update.frame, (update.covered_from, update.covered_to)
        if old is not None and held is not None:
            rows = _united(old, update)
            covered = _joined((date.fromisoformat(held.covered_from), date.fromisoformat(held.covered_to)), update)
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
        content = _parquet(rows, told)
        file = f"prices/{safe_name(vendor)}/{safe_name(update.symbol)}/{digest(content)}.parquet"
        if not (self.directory / file).exists():
            write_whole(self.directory / file, content)
        return _entry(file, rows, told)

    def _drop_unpinned(self, files: Sequence[str]) -> None:
        if not files:
            return
        pinned = set()
        for path in (self.directory / "snapshots").glob("*.json"):
            # a damaged snapshot must not stop a write; verify tells of it
            pinned |= set(_files_of(path.read_bytes()))
        for file in files:
            if file not in pinned:
                (self.directory / file).unlink(missing_ok=True)

    def _rebuilt(self) -> dict[tuple[str, str], Entry]:
        """The index made from the files: of each symbol the one fetched last, then the one with most rows."""
        entries: dict[tuple[str, str], Entry] = {}
        for path in self._data_files():
            file = path.relative_to(self.directory).as_posix()
            if self._problem(file):
                continue
            content = io.BytesIO(path.read_bytes())
            entry = _entry(file, pl.read_parquet(content), pl.read_parquet_metadata(content))
            known = entries.get((entry.vendor, entry.symbol))
            if known is None or (entry.fetched_at, entry.rows) > (known.fetched_at, known.rows):
                entries[entry.vendor, entry.symbol] = entry
        return entries

    def _data_files(self) -> Iterable[Path]:
        return sorted((self.directory / "prices").glob("*/*/*.parquet"))

    def _problem(self, file: str) -> str:
        """What is wrong with a data file; empty where nothing is."""
        path = self.directory / file
        try:
            return "" if digest(path.read_bytes()) == path.stem else "are damaged: the file does not match its hash"
        except FileNotFoundError:
            return "are gone: the file is not there"
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"

    def _demand_format(self) -> None:
        try:
            content = json.loads((self.directory / "format.json").read_bytes())
        except FileNotFoundError:
            return
        except ValueError:
            return  # rewritten with the next commit; the files carry what matters
        _demand_known(content.get("format") if isinstance(content, dict) else None, f"The price store {self.directory}")


def _demand_known(version: object, what: str) -> None:
    if isinstance(version, int) and version > FORMAT:
        raise DataError(
            f"{what} was written by a newer version of marketimpact (format {version}; this one knows {FORMAT}). "
            "Upgrade marketimpact, or use another directory."
        )


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")


def _files_of(manifest: bytes) -> list[str]:
    try:
        return list(json.loads(manifest)["files"].values())
    except (ValueError, KeyError, AttributeError, TypeError):
        return []


def _parquet(frame: pl.DataFrame, told: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata=dict(told))
    return buffer.getvalue()


def _entry(file: str, rows: pl.DataFrame, told: Mapping[str, str]) -> Entry:
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


def _united(old: pl.DataFrame, update: Update) -> pl.DataFrame:
    """Old and new rows, for one date the one fetched later; a refetch leaves only what was fetched after it."""
    new = update.frame.select(pl.col(c).cast(kind) for c, kind in SERIES.items())
    if update.replaces and new.height:
        old = old.filter(pl.col("fetched_at") > new["fetched_at"].max())
    both = pl.concat([old, new])
    return both.sort("date", "fetched_at", maintain_order=True).unique("date", keep="last", maintain_order=True)


def _joined(held: tuple[date, date], update: Update) -> tuple[date, date]:
    """Dates that were asked for, as one stretch; of two with a gap between them the later one."""
    new = (update.covered_from, update.covered_to)
    if update.replaces:
        return new
    if new[0].toordinal() > held[1].toordinal() + 1 or held[0].toordinal() > new[1].toordinal() + 1:
        return max(held, new, key=lambda span: span[1])
    return min(held[0], new[0]), max(held[1], new[1])
