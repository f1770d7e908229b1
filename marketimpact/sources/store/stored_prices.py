"""Read prices through the store: fetch only what it lacks, and pin what was read as a snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from marketimpact.core.schema import known_zone
from marketimpact.core.text import listed
from marketimpact.errors import SourceError, SpecificationError
from marketimpact.sources.protocol import (
    BARS,
    PriceSource,
    PriceTable,
    check_range,
    check_symbols,
    price_table,
    within,
)
from marketimpact.sources.store.files import lock_directory
from marketimpact.sources.store.index import SERIES, Entry, Update
from marketimpact.sources.store.layout import has_known_format
from marketimpact.sources.store.store import PriceStore

__all__ = ["StoredPrices"]

#: Readings that are tried while other processes replace the same prices.
ATTEMPTS = 5
#: Sessions fetched again with every later fetch, to detect a readjusted history.
OVERLAP = 5
#: Relative difference above which two closes are different prices.
TOLERANCE = 1e-6
#: Why the whole history of a symbol is fetched again.
READJUSTED = "its history has been readjusted since the last fetch"
WITHOUT_OPENS = "its stored rows have no opens"
#: A fetch time further ahead of now than this is from a wrong clock.
CLOCK_TOLERANCE = timedelta(hours=1)
#: Longest delay of a vendor's latest bars; a longer gap is in the symbol's own trading.
MAX_DELAY = timedelta(days=7)
#: Start for sources without one; it is before any price.
BEGINNING = date(1900, 1, 1)
#: Hours from UTC to the zone in which a day ends last.
LAST_ZONE = timedelta(hours=12)
#: As `datetime.date.weekday` counts: Monday is 0.
PYTHON_SATURDAY = 5
OUTCOMES = {
    "symbol": pl.String, "outcome": pl.String, "rows": pl.Int64, "cause": pl.String, "retryable": pl.Boolean,
    "tries": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredPrices:
    """Prices from a store that fills itself from another source.

    Parameters
    ----------
    source : PriceSource, optional
        Source of prices that the store lacks, such as ``YahooPrices()``. None reads from the store only.
    store : PriceStore, optional
        The store; by default in the user's cache directory.
    snapshot : str, optional
        Name, or first characters of the name, of an earlier reading, which is read again exactly, without a
        source. It is in the record of a report and in ``marketimpact store ls``.
    vendor : str, optional
        Name that separates prices of different sources; by default the class of `source`, or
        ``"YahooPrices"`` without one.

    Notes
    -----
    Only dates after the stored ones are fetched, with five sessions of overlap: where their closes differ, or a
    dividend or split came since, the whole symbol is fetched again, since its adjusted history has changed.
    The exchange's current day never counts as stored.

    Examples
    --------
    >>> import marketimpact as mi
    >>> mi.StoredPrices(mi.YahooPrices(start="2023-01-01"))
    StoredPrices(YahooPrices)
    """

    source: PriceSource | None = None
    store: PriceStore = field(default_factory=PriceStore)
    snapshot: str | None = None
    vendor: str = ""

    def __post_init__(self) -> None:
        if self.snapshot is not None and self.source is not None:
            raise SpecificationError(
                "snapshot= reads stored prices only, so source= would not be used. Give one of them."
            )
        for name in ("snapshot", "vendor"):
            if not isinstance(getattr(self, name), str) and not (name == "snapshot" and self.snapshot is None):
                raise SpecificationError(f"{name}={getattr(self, name)!r} is not a name. Give text.")
        if self.source is not None and not callable(getattr(self.source, "read", None)):
            raise SpecificationError(f"source={self.source!r} has no read(). Give a source, such as YahooPrices().")
        if not isinstance(self.store, PriceStore):
            raise SpecificationError(f"store={self.store!r} is not a PriceStore. Give PriceStore(directory).")
        if not self.vendor:
            name = "YahooPrices" if self.source is None else type(self.source).__name__
            object.__setattr__(self, "vendor", name)

    def __repr__(self) -> str:
        """Leave out the path."""
        return f"StoredPrices({'snapshot ' + self.snapshot if self.snapshot else self.vendor})"

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Read prices of `symbols`, fetched where they are not stored, and pin a snapshot.

        Parameters
        ----------
        symbols : sequence of str
            Symbols as spelt by the source.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            `snapshot` is the name of this reading. Symbols that could not be fetched are in `missing`, or, where
            older rows are stored, in a note; `outcomes` has one row per symbol.

        Raises
        ------
        SpecificationError
            If no symbol is requested, the bounds are not in order, or there is no such snapshot.
        SourceError
            If no symbol has prices, or other processes kept replacing them.
        DataError
            If the store cannot be written, or is damaged and there is no source.
        """
        requested = check_symbols(symbols)
        check_range(first, last)
        if self.snapshot is not None:
            name = self.store.full_name(self.snapshot)
            return self._table(name, self.store.manifest(name), requested, first, last)
        has_known_format(self.store.directory)  # before a lock file is written into a folder of other files
        for _ in range(ATTEMPTS):
            if (table := self._read_and_pin(requested, first, last)) is not None:
                return table
        raise SourceError(
            f"Other processes replaced the stored prices of {listed(requested)} during each of {ATTEMPTS} readings. "
            "Read them again once those have ended.",
            source=repr(self),
            symbols=requested,
            retryable=True,
        )

    def _read_and_pin(self, requested: Sequence[str], first: date | None, last: date | None) -> PriceTable | None:
        """Fetch what the store lacks, and pin a snapshot; None if another process replaced what was to be kept."""
        log = _FetchLog()
        work = _Work() if self.source is None else self._fetch(requested, first, last, log)
        with lock_directory(self.store.directory):  # one lock, so that this reading holds its own rows
            if self.source is not None:
                self.store.commit(self.vendor, work.updates, work.damaged)
            if not work.is_covered(self._entries(requested)):
                return None
            manifest = {"vendor": self.vendor, **self._manifest(requested, first, last, log)}
            table = self._table(self.store.name_of(manifest), manifest, requested, first, last, log=log, rows=work.rows)
            self.store.pin(manifest)  # once it is known that it can be read
        return table

    def _entries(self, requested: Sequence[str]) -> dict[str, Entry]:
        """Return the index's entries of the requested symbols."""
        return {s: e for (v, s), e in self.store.index().items() if v == self.vendor and s in requested}

    def _fetch(self, requested: Sequence[str], first: date | None, last: date | None, log: _FetchLog) -> _Work:
        """Fetch what the store lacks of the requested symbols and dates."""
        start = first or _own_start(self.source)
        with lock_directory(self.store.directory):
            entries = self._entries(requested)
            stored = {symbol: self.store.current_rows(entry) for symbol, entry in entries.items()}
        work = _Work(damaged=[symbol for symbol, rows in stored.items() if rows is None])
        work.rows = {entries[symbol].file: rows for symbol, rows in stored.items() if rows is not None}
        refetch, fetch_from = _plan(requested, entries, stored, log, start=start, last=last)
        files = {symbol: entry.file for symbol, entry in entries.items()}
        for symbol, update in self._ask(fetch_from, last, log, files, stored):
            if update is None:  # no longer fits what the source gives: fetch all of it
                refetch[symbol] = (min(start, entries[symbol].covered[0]), _last_finished_day(None, last))
            else:
                work.updates.append(update)
        for since in sorted({span[0] for span in refetch.values()}):
            names = [symbol for symbol, span in refetch.items() if span[0] == since]
            until = None if last is None else max(last, *(refetch[symbol][1] for symbol in names))
            asked = self._ask(dict.fromkeys(names, since), until, log, files, {})
            work.updates += [update for _, update in asked if update is not None]
        kept = {symbol: entry.covered for symbol, entry in entries.items() if symbol not in refetch}
        work.spans |= {symbol: (start, end if last is None else min(end, last)) for symbol, (_, end) in kept.items()}
        return work

    def _ask(
        self,
        since: Mapping[str, date],
        last: date | None,
        log: _FetchLog,
        files: Mapping[str, str],
        stored: Mapping[str, pl.DataFrame | None],
    ) -> Iterator[tuple[str, Update | None]]:
        """Fetch symbols with the same first date together; yield None for one whose history was readjusted."""
        assert self.source is not None  # checked by the caller
        for begin in sorted(set(since.values())):
            names = [symbol for symbol, day in since.items() if day == begin]
            try:
                table = self.source.read(names, None if begin == BEGINNING else begin, last)
            except SourceError as error:
                for symbol in names:
                    log.add(symbol, "error" if error.retryable else "none", 0, str(error), retryable=error.retryable)
                log.failures.append(error)
                continue
            if table.simulated:
                raise SpecificationError(
                    f"{table.source} gives simulated prices, which must not mix with real ones. Use it "
                    "without the store."
                )
            log.notes += [note for note in table.notes if note not in log.notes]
            notes = tuple(note for note in table.notes if not any(symbol in note for symbol in table.missing))
            log.add_table(table)
            rows = _store_rows(table)
            for symbol in names:
                fetched = rows.filter(pl.col("symbol") == symbol)
                if fetched.is_empty():
                    continue
                old = stored.get(symbol)
                if old is not None and (reason := _reason_to_fetch_all(old, fetched)):
                    log.notes.append(f"{symbol} was fetched again: {reason}.")
                    yield symbol, None
                    continue
                zone = fetched["time_zone"].drop_nulls()
                until = max(_covered_until(fetched, _last_finished_day(zone[0] if len(zone) else None, last)), begin)
                base = files.get(symbol)
                yield symbol, Update(symbol, fetched, begin, until, replaces=old is None, notes=notes, base=base)

    def _manifest(
        self, requested: Sequence[str], first: date | None, last: date | None, log: _FetchLog
    ) -> dict[str, Any]:
        """Build the manifest of this reading; call it with the lock held."""
        entries = self._entries(requested)
        if not entries:
            raise self._no_prices_error(requested, log)
        stale = [s for s in requested if s in entries and s in log.result and log.result[s][0] != "rows"]
        stored_notes = [note for symbol in requested if symbol in entries for note in entries[symbol].notes]
        notes = list(dict.fromkeys((*stored_notes, *log.notes)))
        if stale:
            notes.append(f"Could not be updated, so as stored: {listed(stale)}.")
        return {
            "asked": list(requested),
            "first": None if first is None else str(first),
            "last": None if last is None else str(last),
            "files": {symbol: entry.file for symbol, entry in entries.items()},
            "missing": [symbol for symbol in requested if symbol not in entries],
            "notes": [*notes, *self._ends(entries, last)],
        }

    def _ends(self, entries: Mapping[str, Entry], last: date | None) -> list[str]:
        """Note symbols whose stored prices end before the requested dates, where there is no source."""
        if self.source is not None or last is None:
            return []
        short = sorted(s for s, e in entries.items() if e.covered[1] < last)
        return [f"Stored only up to a day before {last}: {listed(short)}."] if short else []

    def _table(
        self,
        name: str,
        manifest: Mapping[str, Any],
        requested: Sequence[str],
        first: date | None,
        last: date | None,
        *,
        log: _FetchLog | None = None,
        rows: Mapping[str, pl.DataFrame] | None = None,
    ) -> PriceTable:
        """Read a manifest's rows, without a lock: data files never change, and a store may be read-only.

        `rows` are those of files read before, which are not read again while they are there.
        """
        files = [manifest["files"][symbol] for symbol in requested if symbol in manifest["files"]]
        known = {} if rows is None else rows
        frames = [known[file] if file in known and self.store.has(file) else self.store.series(file) for file in files]
        if not frames:
            raise SourceError(
                f"Snapshot {name} holds no prices of {listed(requested)}; "
                f"it holds {listed(sorted(manifest['files']))}.",
                source=f"StoredPrices(snapshot={name!r})",
                symbols=requested,
                retryable=False,
            )
        history = _without_empty_bars(pl.concat(frames))
        notes = [*manifest["notes"], *_snapshot_notes(manifest, requested, first, last)]
        sources = history["source"].drop_nulls().unique().sort().to_list()
        listings = history.group_by("symbol", maintain_order=True).agg(
            pl.col("currency").drop_nulls().last(), pl.col("time_zone").drop_nulls().last()
        )
        return price_table(
            within(history, first, last),
            requested=requested,
            source=f"{'; '.join(sources)}; snapshot {name}",
            notes=notes,
            listings=listings.sort("symbol"),
            outcomes=None if log is None else log.frame(requested),
            snapshot=name,
        )

    def _no_prices_error(self, requested: Sequence[str], log: _FetchLog) -> SourceError:
        """Return the source's own error, or one for an empty store."""
        if log.failures:
            return log.failures[0]
        advice = "Fetch them with: marketimpact fetch." if self.source is None else "Check the symbols and the dates."
        return SourceError(
            f"The price store holds no prices of {listed(requested)} from {self.vendor}. {advice}",
            source=repr(self),
            symbols=requested,
            retryable=False,
        )


@dataclass(slots=True)
class _Work:
    """New rows, damaged symbols, and the dates and rows of files when they were planned with."""

    updates: list[Update] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    spans: dict[str, tuple[date, date]] = field(default_factory=dict)
    rows: dict[str, pl.DataFrame] = field(default_factory=dict)

    def is_covered(self, entries: Mapping[str, Entry]) -> bool:
        """Return whether the entries still cover the dates planned with; another process may have replaced them."""
        return all(
            symbol in entries and entries[symbol].covered[0] <= start and entries[symbol].covered[1] >= end
            for symbol, (start, end) in self.spans.items()
        )


@dataclass(slots=True)
class _FetchLog:
    """Outcome of a fetch by symbol, notes, and errors."""

    result: dict[str, tuple[str, int, str | None, bool, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[SourceError] = field(default_factory=list)

    def add(
        self, symbol: str, outcome: str, rows: int, cause: str | None, *, retryable: bool = False, tries: int = 1
    ) -> None:
        """Record the outcome of one symbol."""
        self.result[symbol] = (outcome, rows, cause, retryable, tries)

    def add_table(self, table: PriceTable) -> None:
        """Record the source's outcomes, or derive them from its rows."""
        if table.outcomes is not None:
            for row in table.outcomes.iter_rows(named=True):
                self.result[row["symbol"]] = (
                    row["outcome"], row["rows"], row["cause"], bool(row["retryable"]), row["tries"],
                )  # fmt: skip
            return
        for (symbol,), part in table.frame.group_by("symbol"):
            self.add(str(symbol), "rows", part.height, None)
        for symbol in table.missing:
            self.add(symbol, "none", 0, "the source has no prices of it")

    def frame(self, requested: Sequence[str]) -> pl.DataFrame:
        """Return the outcomes in the order requested."""
        rows = [(symbol, *self.result[symbol]) for symbol in requested if symbol in self.result]
        return pl.DataFrame(rows, schema=OUTCOMES, orient="row")


def _plan(
    requested: Sequence[str],
    entries: Mapping[str, Entry],
    stored: Mapping[str, pl.DataFrame | None],
    log: _FetchLog,
    *,
    start: date,
    last: date | None,
) -> tuple[dict[str, tuple[date, date]], dict[str, date]]:
    """Decide what to fetch: symbol -> all of a date range, and symbol -> first date of an update."""
    refetch: dict[str, tuple[date, date]] = {}
    fetch_from: dict[str, date] = {}
    for symbol in requested:
        entry, rows = entries.get(symbol), stored.get(symbol)
        end = _last_finished_day(None if entry is None else entry.time_zone, last)
        if entry is not None and datetime.fromisoformat(entry.fetched_at) > _now() + CLOCK_TOLERANCE:
            log.notes.append(f"{symbol} was fetched again: its stored fetch time is later than now.")
            refetch[symbol] = (min(start, entry.covered[0]), end)
        elif entry is None or rows is None:
            refetch[symbol] = (start, end)
        elif entry.covered[0] > start:
            refetch[symbol] = (start, max(end, entry.covered[1]))
        elif entry.covered[1] < end:
            fetch_from[symbol] = _overlap(rows, entry.covered[1])
        else:
            log.add(symbol, "rows", rows.height, "stored; nothing was fetched", tries=0)
    return refetch, fetch_from


def _own_start(source: object) -> date:
    """Return the first date that a source reads by default."""
    start = getattr(source, "start", None)
    if isinstance(start, datetime):
        return start.date()
    if isinstance(start, str):
        with suppress(ValueError):  # text of another form says nothing on where prices begin
            return date.fromisoformat(start)
    return start if isinstance(start, date) else BEGINNING


def _now() -> datetime:
    return datetime.now(UTC)


def _last_finished_day(zone: str | None, last: date | None) -> date:
    """Return the last day that is over on the exchange, or `last` if earlier."""
    now = _now()
    today = (now.astimezone(ZoneInfo(zone)) if zone and known_zone(zone) else now - LAST_ZONE).date()
    yesterday = today - timedelta(days=1)
    return yesterday if last is None else min(last, yesterday)


def _covered_until(rows: pl.DataFrame, until: date) -> date:
    """Return the last date that the rows cover: days with a bar still to come do not count."""
    end = rows.drop_nulls("close")["date"].max()
    if not isinstance(end, date) or until - end > MAX_DELAY or _now().date() - until > MAX_DELAY:
        return until
    days = (end + timedelta(days=k) for k in range(1, (until - end).days + 1))
    late = next((day for day in days if day.weekday() < PYTHON_SATURDAY), None)
    return until if late is None else late - timedelta(days=1)


def _overlap(rows: pl.DataFrame, covered_to: date) -> date:
    """Return the date from which to fetch, `OVERLAP` sessions before the end of stored rows."""
    dates = rows.drop_nulls("close")["date"].sort().tail(OVERLAP)
    return dates[0] if len(dates) else covered_to


def _reason_to_fetch_all(old: pl.DataFrame, new: pl.DataFrame) -> str:
    """Return why stored rows do not fit fetched ones: another adjustment, or no opens; empty text if they do."""
    both = old.join(new, on="date", suffix="_new", how="inner").drop_nulls(["close", "close_new"])
    if _is_readjusted(old, new, both):
        return READJUSTED
    return WITHOUT_OPENS if both["open_new"].count() and not old["open"].count() else ""


def _is_readjusted(old: pl.DataFrame, new: pl.DataFrame, both: pl.DataFrame) -> bool:
    """Return whether stored prices are adjusted to another basis than fetched ones, given the rows of both."""
    moved = (both["close_new"] / both["close"] - 1.0).abs() > TOLERANCE
    if bool(moved.any()) or both.is_empty():
        return True
    end = old.drop_nulls("close")["date"].max()
    later = new.filter(pl.col("date") > end)
    return bool(later.select(pl.any_horizontal(pl.col("dividend", "split").is_not_null()).any()).item())


def _without_empty_bars(history: pl.DataFrame) -> pl.DataFrame:
    """Drop opens, highs and lows of which there is none, so that prices stored without them stay as they were."""
    return history.drop(name for name in BARS if not history[name].count())


def _store_rows(table: PriceTable) -> pl.DataFrame:
    """Return a table's rows with all columns of the store."""
    frame = table.frame
    if table.listings is not None:
        frame = frame.join(
            table.listings.select("symbol", "currency", "time_zone"), on="symbol", how="left", validate="m:1"
        )
    known = {"fetched_at": _now(), "source": table.source}
    return frame.select(
        pl.col(c) if c in frame.columns else pl.lit(known.get(c), dtype=dtype).alias(c) for c, dtype in SERIES.items()
    )


def _snapshot_notes(
    manifest: Mapping[str, Any], requested: Sequence[str], first: date | None, last: date | None
) -> list[str]:
    """Note requested symbols and dates that are outside the snapshot."""
    notes = []
    absent = [symbol for symbol in requested if symbol not in manifest["asked"]]
    if absent:
        notes.append(f"Not in the snapshot: {listed(absent)}.")
    begin, end = (None if manifest[k] is None else date.fromisoformat(manifest[k]) for k in ("first", "last"))
    if (begin is not None and (first is None or first < begin)) or (end is not None and (last is None or last > end)):
        span = f"{begin or 'the beginning'} to {end or 'the day it was made'}"
        notes.append(f"The snapshot was made for {span}; prices of other dates may be missing.")
    return notes
