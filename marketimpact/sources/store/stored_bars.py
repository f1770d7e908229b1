"""Collect intraday bars in the price store: what was fetched stays, and later bars that differ are kept beside it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, MarketImpactWarning, SourceError, SpecificationError
from marketimpact.sources.bar_columns import PRICES, UTC_TIME
from marketimpact.sources.bar_files import BarSource, BarTable
from marketimpact.sources.protocol import check_symbols
from marketimpact.sources.store.files import (
    digest,
    lock_directory,
    remove_unfinished,
    safe_name,
    set_aside,
    write_atomic,
)
from marketimpact.sources.store.index import dump_parquet
from marketimpact.sources.store.layout import bar_files, has_known_format, intact_bars, own_path, write_format
from marketimpact.sources.store.store import PriceStore

__all__ = ["StoredBars"]

_VALUES = (*PRICES, "volume")
#: Columns of every file of bars.
STORED: dict[str, Any] = {
    "symbol": pl.String, "clock": pl.Datetime("us"), "start": UTC_TIME, **dict.fromkeys(_VALUES, pl.Float64),
    "fetched_at": UTC_TIME, "source": pl.String,
}  # fmt: skip
#: Relative difference up to which two values are the same.
TOLERANCE = 1e-6
#: A length of bars is known from so many distances, of which at least this share is the same.
FEWEST_STEPS, USUAL = 5, 0.5
_CONFLICTS: dict[str, Any] = {
    "symbol": pl.String, "start": UTC_TIME, "fetched_at": UTC_TIME, **dict.fromkeys(_VALUES, pl.Float64),
    "is_used": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredBars:
    """Intraday bars collected in a store, fetch by fetch.

    Yahoo keeps bars of one minute for 30 days only. Read them through the store every week, and all that was ever
    fetched stays.

    Parameters
    ----------
    source : BarSource, optional
        Source of bars, such as ``YahooBars("1m")``. None reads from the store only.
    store : PriceStore, optional
        The store; by default in the user's cache directory, beside prices.
    vendor : str, optional
        Name that separates bars of different sources and intervals; by default the class of `source` and its
        interval, such as ``"YahooBars 1m"``. Needed without a source, and for one that has no interval, such as
        `BarFiles`.
    keep : {"first", "last"}
        Which of two fetches of one bar that differ is used; both stay in the store.

    Notes
    -----
    Every fetch adds one file with the bars that are new, and those that differ from the stored ones by more than a
    millionth; files are never changed or removed. A split makes all later fetches differ from the earlier ones, since
    vendors adjust for it: see `conflicts`. Bars of another length than the stored ones of a symbol are refused. Whole
    files appear at once, under the store's lock, so that a killed process leaves none half.

    Examples
    --------
    >>> import marketimpact as mi
    >>> mi.StoredBars(mi.YahooBars("1m"))
    StoredBars('YahooBars 1m')
    """

    source: BarSource | None = None
    store: PriceStore = field(default_factory=PriceStore)
    vendor: str = ""
    keep: Literal["first", "last"] = "first"

    def __post_init__(self) -> None:
        if self.source is not None and not callable(getattr(self.source, "read_bars", None)):
            raise SpecificationError(f"source={self.source!r} has no read_bars(). Give one, such as YahooBars('1m').")
        if not isinstance(self.store, PriceStore):
            raise SpecificationError(f"store={self.store!r} is not a PriceStore. Give PriceStore(directory).")
        if self.keep not in ("first", "last"):
            raise SpecificationError(f"keep={self.keep!r} is not possible. Give 'first' or 'last'.")
        if not isinstance(self.vendor, str):
            raise SpecificationError(f"vendor={self.vendor!r} is not a name. Give text.")
        if not self.vendor:
            if self.source is None:
                raise SpecificationError(
                    "Without source= the store does not know whose bars to read. Give vendor=, such as 'YahooBars 1m'."
                )
            kind, interval = type(self.source).__name__, getattr(self.source, "interval", None)
            if not isinstance(interval, str) or not interval:
                raise SpecificationError(
                    f"{self.source!r} does not say whose bars it has and of which length, which must not mix in the "
                    f"store. Give vendor=, a name for both, such as '{kind} IBKR 5m'."
                )
            object.__setattr__(self, "vendor", f"{kind} {interval}")

    def __repr__(self) -> str:
        """Leave out the path."""
        return f"StoredBars({self.vendor!r})"

    def read_bars(self, symbols: Sequence[str]) -> BarTable:
        """Fetch bars, add the new ones to the store, and return all that are stored.

        Parameters
        ----------
        symbols : sequence of str
            Symbols as spelt by the source.

        Returns
        -------
        BarTable
            Notes say where stored bars of a stamp differ, and what could not be fetched.

        Raises
        ------
        SourceError
            If nothing is stored of the symbols, and the source has nothing either.
        DataError
            If the store cannot be written, or the source states no instants.
        SpecificationError
            For simulated bars, stamps of ends, and bars of another length than those stored.
        """
        requested = check_symbols(symbols)
        notes: list[str] = []
        failure: SourceError | None = None
        has_known_format(self.store.directory)  # before a lock file is written into a folder of other files
        if self.source is not None:
            try:
                table = self.source.read_bars(requested)
            except SourceError as error:
                failure = error
                notes.append(f"Nothing was fetched ({error}); bars are as stored.")
            else:
                notes += table.notes
                self._add(_fetched(table))
        frame = self._rows(requested)
        if frame.is_empty():
            raise failure or SourceError(
                f"The store has no bars of {listed(requested)} from {self.vendor}. Give a source to fetch them from.",
                source=repr(self), symbols=requested, retryable=False,
            )  # fmt: skip
        chosen = _chosen(frame, self.keep)
        if chosen.height < frame.height:
            differing = frame.filter(pl.struct("symbol", "start").is_duplicated())
            n = differing.n_unique(["symbol", "start"])
            names = listed(differing["symbol"].unique().sort().to_list())
            notes.append(
                f"{n} stored bars of {names} were fetched again with other values, since the vendor corrected them or "
                f"adjusted them for a split: the {self.keep} are used. See StoredBars.conflicts."
            )
        sources = "; ".join(frame["source"].unique().sort())
        rows = chosen.select("symbol", "clock", "start", *_VALUES).lazy()
        return BarTable(rows, f"{self!r} ({sources})", stamps="start", notes=tuple(notes))

    def conflicts(self, symbols: Sequence[str]) -> pl.DataFrame:
        """List stored bars of one stamp that differ.

        Returns
        -------
        polars.DataFrame
            ``symbol, start, fetched_at, open, high, low, close, volume, is_used``, each version of a bar a row.
        """
        frame = self._rows(check_symbols(symbols)).with_columns(pl.int_range(pl.len()).alias("row"))
        used = _chosen(frame, self.keep)["row"]
        marked = frame.filter(pl.struct("symbol", "start").is_duplicated())
        columns = marked.select(
            *[name for name in _CONFLICTS if name != "is_used"], pl.col("row").is_in(used.implode()).alias("is_used")
        )
        return columns.sort("symbol", "start", "fetched_at")

    def _add(self, fetched: pl.DataFrame) -> None:
        """Add to the store what it has not: one new file a symbol, whole or not at all."""
        directory = self.store.directory
        with lock_directory(directory):
            write_format(directory)
            parts = {str(symbol): part for (symbol,), part in fetched.partition_by("symbol", as_dict=True).items()}
            remove_unfinished([directory / self._folder(symbol) for symbol in parts])
            known = {symbol: self._rows([symbol]) for symbol in parts}
            for symbol, part in parts.items():
                self._check_length(part, known[symbol])
            for symbol, part in parts.items():
                folder = self._folder(symbol)
                files = bar_files(directory / folder)
                new = _unknown(part, known[symbol])
                if new.is_empty():
                    continue
                content = dump_parquet(new, {"vendor": self.vendor, "symbol": symbol})
                number = 1 + max((int(file.name[:6]) for file in files), default=0)
                write_atomic(own_path(directory, f"{folder}/{number:06d}-{digest(content)}.parquet"), content)

    def _check_length(self, fetched: pl.DataFrame, stored: pl.DataFrame) -> None:
        """Raise SpecificationError for fetched bars of one symbol that are longer or shorter than the stored ones."""
        new, known = _length(fetched), _length(stored)
        if new is None or known is None or new == known:
            return
        raise SpecificationError(
            f"The store has {known:g}-minute bars of {fetched['symbol'][0]} under the name {self.vendor!r}, and "
            f"{fetched['source'][0]} has {new:g}-minute bars. They must not mix: the close of a longer bar is a later "
            f"price. Give the latter another name, such as vendor='{self.vendor} {new:g}m'."
        )

    def _folder(self, symbol: str) -> str:
        return f"bars/{safe_name(self.vendor)}/{safe_name(symbol)}"

    def _rows(self, symbols: Sequence[str]) -> pl.DataFrame:
        """Read all stored rows of symbols, in the order they were fetched."""
        directory = self.store.directory
        own_path(directory, "bars")
        parts = [pl.DataFrame(schema=STORED)]
        for symbol in symbols:
            folder = self._folder(symbol)
            own_path(directory, folder)
            parts += [rows for file in bar_files(directory / folder) if (rows := _read(file, directory)) is not None]
        return pl.concat(parts)


def _fetched(table: BarTable) -> pl.DataFrame:
    """Return the rows of a source with all columns of the store; raise for those that must not be stored."""
    if table.simulated:
        raise SpecificationError(
            f"{table.source} gives simulated bars, which must not mix with real ones. Use it without the store."
        )
    if table.stamps != "start":
        raise SpecificationError(
            f"{table.source} does not say that its stamps are starts of bars, so bars of two fetches might be mixed "
            "up. Say so, such as BarFiles(..., stamps='start')."
        )
    rows = table.instants().drop_nulls(list(PRICES)).collect(engine="in-memory")
    if absent := rows["start"].null_count():
        raise DataError(
            f"{table.source}: {absent} stamps have no time zone, so their instants are not known. Say it, such as "
            "BarFiles(..., time_zone='America/New_York')."
        )
    known = rows.with_columns(fetched_at=pl.lit(_now(), UTC_TIME), source=pl.lit(table.source))
    return known.select(pl.col(name).cast(dtype) for name, dtype in STORED.items()).sort("symbol", "start")


def _length(rows: pl.DataFrame) -> float | None:
    """Find the length of one symbol's bars, minutes: their usual distance; None where no distance is usual."""
    steps = rows["start"].unique().sort().diff().drop_nulls()
    counts = steps.value_counts(sort=True)
    if len(steps) < FEWEST_STEPS or counts["count"][0] < USUAL * len(steps):
        return None
    return float(counts["start"][0].total_seconds() / 60)


def _now() -> datetime:
    return datetime.now(UTC)


def _unknown(fetched: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return fetched rows that are not stored: new stamps, and values that no stored version of the stamp has."""
    row = pl.int_range(pl.len()).alias("row")
    fetched = fetched.unique(["start", *_VALUES], keep="first", maintain_order=True).with_columns(row)
    both = fetched.join(stored.select("start", *_VALUES), on="start", suffix="_stored")
    same = pl.all_horizontal(
        ((pl.col(name) - pl.col(f"{name}_stored")).abs() <= TOLERANCE * pl.col(name).abs())
        | pl.col(name).eq_missing(pl.col(f"{name}_stored"))
        for name in _VALUES
    )
    known = both.filter(same.fill_null(value=False))["row"]
    return fetched.filter(~pl.col("row").is_in(known.implode())).drop("row")


def _chosen(frame: pl.DataFrame, keep: Literal["first", "last"]) -> pl.DataFrame:
    """Take one version of each bar, of rows in the order they were fetched."""
    return frame.unique(["symbol", "start"], keep=keep, maintain_order=True).sort("symbol", "start")


def _read(file: Path, directory: Path) -> pl.DataFrame | None:
    """Read one file after a check of its hash; set a damaged one aside with a warning."""
    content = intact_bars(file)
    if content is not None:
        rows = pl.read_parquet(io.BytesIO(content))
        if dict(rows.schema) == STORED:
            return rows
    own_path(directory, "set_aside")
    aside = set_aside(file, directory)
    warnings.warn(
        f"A file of stored bars is damaged; it is set aside as {aside.name}. Its bars are fetched again where the "
        "vendor still has them.",
        MarketImpactWarning,
        stacklevel=5,
    )
    return None
