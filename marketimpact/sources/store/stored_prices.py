"""Prices through the store: only what is missing is asked for, and what was read can be read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import SourceError, SpecificationError
from marketimpact.sources.protocol import PriceSource, PriceTable, check_range, check_symbols, price_table, within
from marketimpact.sources.store.files import lock_directory
from marketimpact.sources.store.index import SERIES, Entry, Update
from marketimpact.sources.store.layout import has_known_format
from marketimpact.sources.store.store import PriceStore

__all__ = ["StoredPrices"]

#: Sessions asked for again with every later fetch, to see whether the history has been adjusted since.
OVERLAP = 5
#: Closes that differ by more than this share are not the same price.
TOLERANCE = 1e-6
#: A stored price whose time of fetching lies this far ahead was fetched by a wrong clock.
CLOCK_TOLERANCE = timedelta(hours=1)
#: Vendors may be late with the bars of the last days; a longer gap is one of the symbol's own.
MAX_DELAY = timedelta(days=7)
#: Before any price, for sources without a start of their own.
BEGINNING = date(1900, 1, 1)
#: The zone in which a day ends last: a day that is over there is over everywhere.
LAST_ZONE = timedelta(hours=12)
SATURDAY = 5
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
        Who is asked for what the store lacks, such as ``YahooPrices()``. None: nobody; the store must have it.
    store : PriceStore, optional
        Where prices are kept; in the user's cache directory by default.
    snapshot : str, optional
        Read exactly what a former reading gave, and ask nobody. The name, or its first letters, as in the
        record of a report and in ``marketimpact store ls``.
    vendor : str, optional
        Under which name prices are kept apart from those of other sources; the class of `source` by default,
        ``"YahooPrices"`` without one.

    Notes
    -----
    Only dates after those held are asked for, with five sessions more: when their closes differ from those held, or a
    dividend or split came since, the whole symbol is fetched again, since adjusted history has changed.
    The exchange's current day never counts as held.

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
            raise SpecificationError("snapshot= asks nobody, so source= has no use beside it. Give one of them.")
        if not self.vendor:
            name = "YahooPrices" if self.source is None else type(self.source).__name__
            object.__setattr__(self, "vendor", name)

    def __repr__(self) -> str:
        """Without a path."""
        return f"StoredPrices({'snapshot ' + self.snapshot if self.snapshot else self.vendor})"

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Prices of `symbols`, fetched where they are not held, and a snapshot of them.

        Parameters
        ----------
        symbols : sequence of str
            As the source spells them.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            `snapshot` names what was read. Symbols that could not be fetched are in `missing`, or, where older
            rows are held, in a note; `outcomes` says of each what came of asking.

        Raises
        ------
        SpecificationError
            If no symbol is asked for, the bounds enclose nothing, or there is no such snapshot.
        SourceError
            If no symbol has prices.
        DataError
            If the store cannot be written, or is damaged and nobody may be asked.
        """
        asked = check_symbols(symbols)
        check_range(first, last)
        if self.snapshot is not None:
            name = self.store.full_name(self.snapshot)
            return self._table(name, self.store.manifest(name), asked, first, last)
        has_known_format(self.store.directory)  # before a lock is put into somebody else's folder
        told = _FetchLog()
        if self.source is not None:
            self._fetch(asked, first, last, told)
        with lock_directory(self.store.directory):
            held = {"vendor": self.vendor, **self._manifest(asked, first, last, told)}
            table = self._table(self.store.name_of(held), held, asked, first, last, told=told)
            self.store.pin(held)  # once it is known that it can be read
        return table

    def _fetch(self, asked: Sequence[str], first: date | None, last: date | None, told: _FetchLog) -> None:
        """Bring the store up to what is asked for."""
        start = first or _own_start(self.source)
        with lock_directory(self.store.directory):
            entries = {s: e for (v, s), e in self.store.index().items() if v == self.vendor and s in asked}
            held = {symbol: self.store.whole(entry) for symbol, entry in entries.items()}
        damaged = [symbol for symbol, rows in held.items() if rows is None]
        whole: dict[str, tuple[date, date]] = {}
        tails: dict[str, date] = {}
        for symbol in asked:
            end = _last_finished_day(entries[symbol].time_zone if symbol in entries else None, last)
            rows = held.get(symbol)
            ahead = symbol in entries and datetime.fromisoformat(entries[symbol].fetched_at) > _now() + CLOCK_TOLERANCE
            if ahead:
                told.notes.append(f"{symbol} was fetched anew: what was held says it was fetched later than now.")
            if ahead:
                whole[symbol] = (min(start, date.fromisoformat(entries[symbol].covered_from)), end)
            elif rows is None or date.fromisoformat(entries[symbol].covered_from) > start:
                known = date.fromisoformat(entries[symbol].covered_to) if rows is not None else end
                whole[symbol] = (start, max(end, known))
            elif date.fromisoformat(entries[symbol].covered_to) < end:
                tails[symbol] = _overlap(rows, date.fromisoformat(entries[symbol].covered_to))
            else:
                told.came(symbol, "rows", rows.height, "held; nothing was asked for", tries=0)
        updates = []
        files = {symbol: entry.file for symbol, entry in entries.items()}
        for symbol, update in self._ask(tails, last, told, files, held):
            if update is None:  # adjusted since: all of it
                whole[symbol] = (
                    min(start, date.fromisoformat(entries[symbol].covered_from)),
                    _last_finished_day(None, last),
                )
            else:
                updates.append(update)
        for since in sorted({span[0] for span in whole.values()}):
            names = [symbol for symbol, span in whole.items() if span[0] == since]
            until = None if last is None else max(last, *(whole[symbol][1] for symbol in names))
            updates += [u for _, u in self._ask(dict.fromkeys(names, since), until, told, files, {}) if u is not None]
        self.store.commit(self.vendor, updates, damaged)

    def _ask(
        self,
        since: Mapping[str, date],
        last: date | None,
        told: _FetchLog,
        files: Mapping[str, str],
        held: Mapping[str, pl.DataFrame | None],
    ) -> Iterator[tuple[str, Update | None]]:
        """Ask the source, symbols of one first date together; None where held rows no longer hold."""
        assert self.source is not None  # the caller looked
        for begin in sorted(set(since.values())):
            names = [symbol for symbol, day in since.items() if day == begin]
            try:
                table = self.source.read(names, None if begin == BEGINNING else begin, last)
            except SourceError as error:
                for symbol in names:
                    told.came(symbol, "error" if error.retryable else "none", 0, str(error), retryable=error.retryable)
                told.failures.append(error)
                continue
            if table.simulated:
                raise SpecificationError(
                    f"{table.source} gives simulated prices, which are not kept among real ones. Use it without "
                    "the store."
                )
            told.notes += [note for note in table.notes if note not in told.notes]
            kept = tuple(note for note in table.notes if not any(symbol in note for symbol in table.missing))
            told.outcomes(table)
            rows = _store_rows(table)
            for symbol in names:
                got = rows.filter(pl.col("symbol") == symbol)
                if got.is_empty():
                    continue
                old = held.get(symbol)
                if old is not None and _is_readjusted(old, got):
                    told.notes.append(f"{symbol} was fetched anew: its history has been adjusted since the last time.")
                    yield symbol, None
                    continue
                zone = got["time_zone"].drop_nulls()
                until = max(_covered_until(got, _last_finished_day(zone[0] if len(zone) else None, last)), begin)
                base = files.get(symbol)
                yield symbol, Update(symbol, got, begin, until, replaces=old is None, notes=kept, base=base)

    def _manifest(self, asked: Sequence[str], first: date | None, last: date | None, told: _FetchLog) -> dict[str, Any]:
        """What this reading rests on; only for who holds the lock."""
        entries = {s: e for (v, s), e in self.store.index().items() if v == self.vendor and s in asked}
        if not entries:
            raise self._nothing(asked, told)
        stale = [s for s in asked if s in entries and s in told.result and told.result[s][0] != "rows"]
        held = [note for symbol in asked if symbol in entries for note in entries[symbol].notes]
        notes = list(dict.fromkeys((*held, *told.notes)))
        if stale:
            notes.append(f"Not brought up to date, so as they were held: {', '.join(stale)}.")
        return {
            "asked": list(asked),
            "first": None if first is None else str(first),
            "last": None if last is None else str(last),
            "files": {symbol: entry.file for symbol, entry in entries.items()},
            "missing": [symbol for symbol in asked if symbol not in entries],
            "notes": [*notes, *self._ends(entries, last)],
        }

    def _ends(self, entries: Mapping[str, Entry], last: date | None) -> list[str]:
        """Where held prices end before what was asked for, when nobody was asked."""
        if self.source is not None or last is None:
            return []
        short = sorted(s for s, e in entries.items() if date.fromisoformat(e.covered_to) < last)
        return [f"Held only up to a day before {last}: {', '.join(short)}."] if short else []

    def _table(
        self,
        name: str,
        held: Mapping[str, Any],
        asked: Sequence[str],
        first: date | None,
        last: date | None,
        *,
        told: _FetchLog | None = None,
    ) -> PriceTable:
        """Rows of a snapshot. No lock: its files never change, and a store may be read-only."""
        frames = [self.store.series(held["files"][symbol]) for symbol in asked if symbol in held["files"]]
        if not frames:
            raise SourceError(
                f"Snapshot {name} holds no prices of {listed(asked)}; it holds {listed(sorted(held['files']))}.",
                source=f"StoredPrices(snapshot={name!r})",
                symbols=asked,
                retryable=False,
            )
        rows = pl.concat(frames)
        notes = [*held["notes"], *_snapshot_notes(held, asked, first, last)]
        sources = rows["source"].drop_nulls().unique().sort().to_list()
        listings = rows.group_by("symbol", maintain_order=True).agg(
            pl.col("currency").drop_nulls().last(), pl.col("time_zone").drop_nulls().last()
        )
        return price_table(
            within(rows, first, last),
            asked=asked,
            source=f"{'; '.join(sources)}; snapshot {name}",
            notes=notes,
            listings=listings.sort("symbol"),
            outcomes=None if told is None else told.frame(asked),
            snapshot=name,
        )

    def _nothing(self, asked: Sequence[str], told: _FetchLog) -> SourceError:
        if told.failures:
            return told.failures[0]
        advice = "Fetch them: marketimpact fetch ..." if self.source is None else "Check the symbols and the dates."
        return SourceError(
            f"The price store holds no prices of {listed(asked)} from {self.vendor}. {advice}",
            source=repr(self),
            symbols=asked,
            retryable=False,
        )


@dataclass(slots=True)
class _FetchLog:
    """What came of asking, symbol by symbol, and what a reader should know."""

    result: dict[str, tuple[str, int, str | None, bool, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[SourceError] = field(default_factory=list)

    def came(
        self, symbol: str, outcome: str, rows: int, cause: str | None, *, retryable: bool = False, tries: int = 1
    ) -> None:
        self.result[symbol] = (outcome, rows, cause, retryable, tries)

    def outcomes(self, table: PriceTable) -> None:
        """Take over what the source says of each symbol, or what can be seen."""
        if table.outcomes is not None:
            for row in table.outcomes.iter_rows(named=True):
                self.result[row["symbol"]] = (
                    row["outcome"], row["rows"], row["cause"], bool(row["retryable"]), row["tries"],
                )  # fmt: skip
            return
        for (symbol,), part in table.frame.group_by("symbol"):
            self.came(str(symbol), "rows", part.height, None)
        for symbol in table.missing:
            self.came(symbol, "none", 0, "the source has no prices of it")

    def frame(self, asked: Sequence[str]) -> pl.DataFrame:
        rows = [(symbol, *self.result[symbol]) for symbol in asked if symbol in self.result]
        return pl.DataFrame(rows, schema=OUTCOMES, orient="row")


def _own_start(source: object) -> date:
    """The first date a source reads when not told one."""
    start = getattr(source, "start", None)
    if isinstance(start, str):
        return date.fromisoformat(start)
    return start if isinstance(start, date) else BEGINNING


def _now() -> datetime:
    return datetime.now(UTC)


def _last_finished_day(zone: str | None, last: date | None) -> date:
    """The last day that is over on the exchange, or `last` where that is earlier."""
    now = _now()
    today = (now.astimezone(ZoneInfo(zone)) if zone else now - LAST_ZONE).date()
    yesterday = today - timedelta(days=1)
    return yesterday if last is None else min(last, yesterday)


def _covered_until(rows: pl.DataFrame, until: date) -> date:
    """The last date that a vendor has spoken of: a bar that is late is asked for again."""
    end = rows.drop_nulls("close")["date"].max()
    if not isinstance(end, date) or until - end > MAX_DELAY or _now().date() - until > MAX_DELAY:
        return until
    days = (end + timedelta(days=k) for k in range(1, (until - end).days + 1))
    late = next((day for day in days if day.weekday() < SATURDAY), None)
    return until if late is None else late - timedelta(days=1)


def _overlap(rows: pl.DataFrame, covered_to: date) -> date:
    """From where to ask: some sessions before the end of what is held."""
    dates = rows.drop_nulls("close")["date"].sort().tail(OVERLAP)
    return dates[0] if len(dates) else covered_to


def _is_readjusted(old: pl.DataFrame, new: pl.DataFrame) -> bool:
    """Whether prices held are on another basis than those just fetched."""
    both = old.join(new, on="date", suffix="_new", how="inner").drop_nulls(["close", "close_new"])
    moved = (both["close_new"] / both["close"] - 1.0).abs() > TOLERANCE
    if bool(moved.any()) or both.is_empty():
        return True
    end = old.drop_nulls("close")["date"].max()
    later = new.filter(pl.col("date") > end)
    return bool(later.select(pl.any_horizontal(pl.col("dividend", "split").is_not_null()).any()).item())


def _store_rows(table: PriceTable) -> pl.DataFrame:
    """A table's rows with all columns of the store."""
    frame = table.frame
    if table.listings is not None:
        frame = frame.join(
            table.listings.select("symbol", "currency", "time_zone"), on="symbol", how="left", validate="m:1"
        )
    known = {"fetched_at": _now(), "source": table.source}
    return frame.select(
        pl.col(c) if c in frame.columns else pl.lit(known.get(c), dtype=kind).alias(c) for c, kind in SERIES.items()
    )


def _snapshot_notes(held: Mapping[str, Any], asked: Sequence[str], first: date | None, last: date | None) -> list[str]:
    """What is asked of a snapshot beyond what it was made of."""
    notes = []
    others = [symbol for symbol in asked if symbol not in held["asked"]]
    if others:
        notes.append(f"Not in the snapshot: {', '.join(others)}.")
    begin, end = (None if held[k] is None else date.fromisoformat(held[k]) for k in ("first", "last"))
    if (begin is not None and (first is None or first < begin)) or (end is not None and (last is None or last > end)):
        span = f"{begin or 'the beginning'} to {end or 'the day it was made'}"
        notes.append(f"The snapshot was made for {span}; prices of other dates may be missing.")
    return notes
