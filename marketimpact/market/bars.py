"""Intraday bars: read from a source, judged by each exchange's hours, and handed out symbol by symbol."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import limits
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.frames import FrameLike
from marketimpact.core.text import did_you_mean, listed
from marketimpact.core.threads import map_in_threads
from marketimpact.errors import DataError, SourceError, SpecificationError
from marketimpact.events import calendars, catalogue
from marketimpact.market.bar_checks import BAR_FINDINGS, check_bars, finding, impossible_volume
from marketimpact.market.bar_ends import bar_ends, bar_starts, length_by_prices, overlapping_bars
from marketimpact.market.bar_stamps import Hours, bar_interval, find_stamps, other_length, zone_doubt
from marketimpact.market.checks.findings import ERROR, no_findings
from marketimpact.sources.bar_columns import BAR_COLUMNS, PRICES, UTC_TIME
from marketimpact.sources.bar_files import BarSource, BarTable

__all__ = ["BarSeries", "Bars"]

_MINUTE = 60_000_000
#: A symbol with longer bars has no intraday ones.
LONGEST_BAR = 4 * 60 * _MINUTE
_GRID: dict[str, Any] = {
    "symbol": pl.String, "mic": pl.String, "interval_minutes": pl.Float64, "stamps": pl.String, "first": UTC_TIME,
    "last": UTC_TIME, "n_bars": pl.Int64, "n_sessions": pl.Int64, "extended_share": pl.Float64,
}  # fmt: skip
_STAMPS: dict[str, Any] = {"symbol": pl.String, "start": UTC_TIME}
#: Bars of which more than this share overlap are refused.
MOST_OVERLAPPING = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class BarSeries:
    """Bars of one symbol as arrays; instants are microseconds since 1970, UTC.

    Attributes
    ----------
    symbol : str
        Whose bars.
    start, end : (T,) arrays
        Of each bar: the end is one interval on, or at the opening, the close or the break that it runs into.
    close, open, volume : (T,) arrays
        Prices, and shares (NaN where unknown).
    regular : (T,) array
        Whether the bar begins in a session.
    hours : Hours
        Sessions of the exchange.
    interval : int
        Usual length of a bar, microseconds.
    """

    symbol: str
    start: Ints
    end: Ints
    open: Floats
    close: Floats
    volume: Floats
    regular: NDArray[np.bool_]
    hours: Hours
    interval: int


@dataclass(frozen=True, eq=False, repr=False)
class Bars:
    """Intraday bars of several symbols and exchanges; made by `Bars.load`.

    Attributes
    ----------
    listings : polars.DataFrame
        ``symbol, mic, benchmark`` of the symbols with bars.
    grid : polars.DataFrame
        One row per symbol: ``symbol, mic, interval_minutes, stamps, first, last, n_bars, n_sessions,
        extended_share``: `stamps` says whether the source's stamps were starts or ends, `extended_share` the share of
        bars outside the regular hours.
    findings : polars.DataFrame
        ``symbol, date, finding, severity, value, detail``, worst first, as those of `check_prices`: what is doubtful.
        Nothing was filled.
    sessions : polars.DataFrame
        ``mic, date, open, break_start, break_end, close, exchange_time_zone`` over the days of the bars.
    source : str
        Name of the source, for citation.
    simulated : bool
        Whether the bars are simulated.
    missing : tuple of str
        Symbols of the securities without a bar.
    notes : tuple of str
        Facts that matter for reading results.
    """

    listings: pl.DataFrame
    grid: pl.DataFrame
    findings: pl.DataFrame
    sessions: pl.DataFrame
    source: str
    simulated: bool
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    rows: pl.LazyFrame = field(repr=False)
    folder: object = field(default=None, repr=False)  # of files that `rows` are read from, where it is temporary
    left_out: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_STAMPS), repr=False)  # overlapping bars

    def __repr__(self) -> str:
        first, last = (instant.date() for instant in (min(self.grid["first"]), max(self.grid["last"])))
        return (
            f"Bars({self.grid.height} symbols, {self.grid['n_bars'].sum():,} bars, {first} to {last}, "
            f"{self.findings.height} findings, {self.source}{', simulated' if self.simulated else ''})"
        )

    @classmethod
    def load(cls, securities: FrameLike, source: BarSource) -> Bars:
        """Load the bars of securities, and judge them by the hours of their exchanges.

        Parameters
        ----------
        securities : FrameLike
            ``symbol, mic`` and perhaps `benchmark` and `sector_proxy`, whose bars are read too where the source has
            them; as `marketimpact.securities` returns them.
        source : BarSource
            `BarFiles`, or any object with `read_bars`.

        Returns
        -------
        Bars
            Exact repeats, bars without a price and bars that overlap others are left out and reported; stamps of ends
            are moved to the starts.

        Raises
        ------
        DataError
            For stamps without a zone, or that do not fit the exchange's hours (the message names the zone that
            fits); for bars of one stamp that contradict each other, impossible prices or volume, bars of more than four
            hours, days with bars of another length than the others have, or many bars that overlap.
        SourceError
            If the source has no bars of these symbols.

        Examples
        --------
        >>> import marketimpact as mi
        >>> stamps = ["2025-05-07T13:30Z", "2025-05-07T13:35Z", "2025-05-07T13:40Z"]
        >>> frame = pl.DataFrame({"symbol": "NVDA", "start": stamps, "open": [1.0, 1.1, 1.2], "high": [1.2, 1.3, 1.3],
        ...                       "low": [0.9, 1.0, 1.1], "close": [1.1, 1.2, 1.3], "volume": [9.0, 8.0, 7.0]})
        >>> securities = pl.DataFrame({"symbol": ["NVDA"], "mic": ["XNAS"]})
        >>> mi.Bars.load(securities, mi.BarFiles(frame)).grid.select("symbol", "interval_minutes", "n_bars").row(0)
        ('NVDA', 5.0, 3)
        """
        if not hasattr(source, "read_bars"):
            raise SpecificationError(
                f"Bars.load takes a source of bars, not {type(source).__name__}. Give mi.BarFiles(path or frame)."
            )
        own = catalogue.securities(securities)
        listings = _listings(own)
        table = source.read_bars(listings["symbol"].to_list())
        rows = table.instants()
        span = pl.col("clock").min().alias("first"), pl.col("clock").max().alias("last")
        counted = rows.group_by("symbol").agg(pl.len().alias("n_bars"), *span).sort("symbol")
        counts: pl.DataFrame = counted.collect(engine="streaming")
        if counts.is_empty():
            names = listings["symbol"].to_list()
            raise SourceError(
                f"{table.source} has no bars of {listed(names)}. Check the symbols, upper and lower case too.",
                source=table.source, symbols=names, retryable=False,
            )  # fmt: skip
        known = listings.filter(pl.col("symbol").is_in(counts["symbol"].implode()))
        sessions = _sessions(known, counts)
        return _Loading(table, rows, known, sessions, frozenset(own["symbol"])).bars(counts, listings)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All bars, ``symbol, start, open, high, low, close, volume``, sorted; read whole."""
        return self._read(self.grid["symbol"].to_list()).select(BAR_COLUMNS)

    def series(self, symbols: Collection[str] | None = None) -> Iterator[BarSeries]:
        """Yield the bars of each symbol as arrays; symbols are read some at a time, so that memory is bounded.

        Raises
        ------
        SpecificationError
            For a symbol without bars.
        """
        if isinstance(symbols, str):
            raise SpecificationError(f"symbols={symbols!r} is text. Give a list: [{symbols!r}].")
        chosen = self.grid if symbols is None else self.grid.filter(pl.col("symbol").is_in(list(symbols)))
        absent = [name for name in symbols or () if name not in set(self.grid["symbol"])]
        if absent:
            raise SpecificationError(
                f"There are no bars of {absent[0]!r}.{did_you_mean(absent[0], self.grid['symbol'])} "
                f"There are those of {listed(self.grid['symbol'].to_list())}."
            )
        for batch in _batches(chosen.select("symbol", "n_bars")):
            frame = self._read(batch)
            for (symbol,), part in frame.partition_by("symbol", as_dict=True, maintain_order=True).items():
                yield self._series(str(symbol), part)

    def _read(self, symbols: Sequence[str]) -> pl.DataFrame:
        """Read the bars of some symbols, sorted, one row per stamp."""
        own = _rows_of(self.rows, symbols)
        bars = _unique(own.drop_nulls(PRICES))
        if self.left_out["symbol"].is_in(list(symbols)).any():
            bars = bars.join(self.left_out, on=["symbol", "start"], how="anti", maintain_order="left")
        ends = self.grid.filter(pl.col("stamps") == "end", pl.col("symbol").is_in(list(symbols)))
        if ends.is_empty():
            return bars
        parts = bars.partition_by("symbol", maintain_order=True)
        return pl.concat([self._at_starts(part) if part["symbol"][0] in ends["symbol"] else part for part in parts])

    def _at_starts(self, part: pl.DataFrame) -> pl.DataFrame:
        return _at_starts(part, *self._hours_and_interval(str(part["symbol"][0])))

    def _hours_and_interval(self, symbol: str) -> tuple[Hours, int]:
        row = self.grid.row(by_predicate=pl.col("symbol") == symbol, named=True)
        return Hours.of(self.sessions, row["mic"]), int(row["interval_minutes"] * _MINUTE)

    def _series(self, symbol: str, part: pl.DataFrame) -> BarSeries:
        hours, interval = self._hours_and_interval(symbol)
        start = part["start"].to_physical().to_numpy()
        ends = bar_ends(start, hours, interval)
        volume = part["volume"].fill_null(np.nan).to_numpy()
        prices = part["open"].to_numpy(), part["close"].to_numpy()
        return BarSeries(symbol, start, ends, *prices, volume, hours.inside(start), hours, interval)


@dataclass(frozen=True, slots=True)
class _Loading:
    """Bars being judged: the table of the source, its instants, listings, sessions, and symbols with a row."""

    table: BarTable
    rows: pl.LazyFrame
    listings: pl.DataFrame
    sessions: pl.DataFrame
    own: frozenset[str]

    def bars(self, counts: pl.DataFrame, requested: pl.DataFrame) -> Bars:
        """Judge the symbols some at a time."""
        grid: list[tuple[object, ...]] = []
        findings, left_out = [no_findings()], [pl.DataFrame(schema=_STAMPS)]
        for batch in _batches(counts):
            parts = _rows_of(self.rows, batch).partition_by("symbol", as_dict=True)
            named = [(str(symbol), part) for (symbol,), part in parts.items()]
            for row, found, overlapping in map_in_threads(self._judged, named):
                grid.append(row)
                findings += found
                left_out.append(overlapping)
        found_all = _sorted_findings(pl.concat(findings))
        missing = tuple(name for name in requested["symbol"] if name not in set(counts["symbol"]))
        return Bars(
            listings=self.listings, grid=pl.DataFrame(grid, schema=_GRID, orient="row").sort("symbol"),
            findings=found_all, sessions=self.sessions, source=self.table.source, simulated=self.table.simulated,
            missing=missing, notes=self.table.notes, rows=self.rows.drop("clock"),
            folder=self.table.folder, left_out=pl.concat(left_out),
        )  # fmt: skip

    def _judged(self, one: tuple[str, pl.DataFrame]) -> tuple[tuple[object, ...], list[pl.DataFrame], pl.DataFrame]:
        """Judge the bars of one symbol: its row of the grid, its findings, and the stamps that are left out."""
        symbol, part = one
        mic = self.listings.row(by_predicate=pl.col("symbol") == symbol, named=True)["mic"]
        hours = Hours.of(self.sessions, mic)
        priced = part.drop_nulls(PRICES).sort("clock")
        found = []
        if (wrong := impossible_volume(priced, symbol)) is not None:
            _raise_errors(wrong, self.table.source)
        if empty := part.height - priced.height:
            found.append(finding(symbol, "empty_bars", None, empty, f"{empty} bars without a price"))
        interval = bar_interval(priced["clock"])
        if interval is None or interval > LONGEST_BAR:
            length = "fewer than two bars" if interval is None else f"bars {interval / 3.6e9:.1f} hours apart"
            raise DataError(f"{self.table.source}: {symbol} has {length}. Give intraday bars, of four hours at most.")
        if self.table.time_zone is not None and (absent := priced["start"].null_count()):
            raise DataError(
                f"{self.table.source}: {absent} stamps of {symbol} do not exist in {self.table.time_zone}, whose clock "
                "was set forward over them. State the zone whose clock they show."
            )
        doubt = zone_doubt(priced, hours, interval, self.table.stamps, symbol)
        if doubt and symbol not in self.own:
            doubt = (
                f"{symbol} has no row of its own in the securities, so it was taken for one of {mic}. If it trades "
                f"elsewhere, give it a row with its mic. Else: {doubt}"
            )
        if doubt and self.table.time_zone is None:
            raise DataError(f"{self.table.source}: {doubt}")
        if doubt:
            found.append(finding(symbol, "doubtful_zone", None, 1.0, doubt.rstrip(".")))
        _raise_other_length(priced["start"], hours, interval, symbol, self.table.source)
        stamps, shown = find_stamps(priced["start"].sort(), hours, interval)
        stated = self.table.stamps or stamps
        found += _stamp_findings(symbol, self.table.stamps, stamps, shown=shown)
        bars = _unique(priced)
        found += _repeats(priced, bars, symbol, self.table.source)
        _raise_longer(bars, hours, interval, symbol, self.table.source)
        overlapping = _overlapping(bars, hours, interval, stated)
        if overlapping.height:
            found.append(_overlap_finding(overlapping, bars.height, symbol, interval, self.table.source))
            bars = bars.join(overlapping, on="start", how="anti", maintain_order="left")
        if stated == "end":
            bars = _at_starts(bars, hours, interval)
        dated = _dated(bars, hours)
        days = pl.col("date").is_between(dated["date"].min(), dated["date"].max())
        found += check_bars(dated, self.sessions.filter(pl.col("mic") == mic, days), symbol, interval)
        for frame in found:
            _raise_errors(frame, self.table.source)
        return _grid_row(dated, symbol, mic, interval, stated), found, overlapping.select(*_STAMPS)


def _raise_longer(bars: pl.DataFrame, hours: Hours, interval: int, symbol: str, source: str) -> None:
    """Raise DataError for bars that are longer than the distance of their stamps."""
    prices = bars["open"].to_numpy(), bars["close"].to_numpy()
    length = length_by_prices(bars["start"].to_physical().to_numpy(), *prices, hours, interval)
    if length > 1:
        minutes = interval / _MINUTE
        raise DataError(
            f"{source}: {symbol} has bars every {minutes:g} minutes that are {length * minutes:g} minutes long, as "
            "their closes are the opens of that much later. So they overlap: two series in one file, or a window that "
            "moves. Load each series by itself, or of moving windows those that follow each other.",
            counts={"overlapping_bars": bars.height},
        )


def _overlapping(bars: pl.DataFrame, hours: Hours, interval: int, stamps: str) -> pl.DataFrame:
    """Find the bars that overlap others, of bars sorted by their stamps."""
    instants = bars["start"].to_physical().to_numpy()
    if stamps == "end":
        return bars.filter(pl.Series(overlapping_bars(-instants[::-1], hours.mirrored(), interval)[::-1]))
    return bars.filter(pl.Series(overlapping_bars(instants, hours, interval)))


def _overlap_finding(overlapping: pl.DataFrame, n: int, symbol: str, interval: int, source: str) -> pl.DataFrame:
    """Report bars that overlap others; raise DataError for many, of which it is not known which ones are right."""
    stamps = overlapping["start"]
    some = listed([f"{stamp:%Y-%m-%d %H:%M:%S}" for stamp in stamps], limit=3, quoted=False)
    words = f"{len(stamps)} of {n} bars overlap others of {interval / _MINUTE:g} minutes, stamped {some} UTC"
    if len(stamps) > MOST_OVERLAPPING * n:
        raise DataError(
            f"{source}: {symbol}: {words}. Load the bars of each series by themselves, and give stamps of the starts "
            "or ends of bars, not of trades.",
            counts={"overlapping_bars": len(stamps)}, rows=overlapping,
        )  # fmt: skip
    return finding(symbol, "overlapping_bars", stamps[0].date(), len(stamps), words)


def _raise_other_length(start: pl.Series, hours: Hours, interval: int, symbol: str, source: str) -> None:
    """Raise DataError for bars of several lengths: the longer ones would seem to end before they do."""
    lengths, n = other_length(start, hours, interval)
    if n:
        raise DataError(
            f"{source}: {symbol} has {lengths}. A symbol has bars of one length: load the days of each length by "
            "themselves, or resample the shorter bars to the longer ones.",
            counts={"mixed_lengths": n},
        )


def _grid_row(dated: pl.DataFrame, symbol: str, mic: str, interval: int, stamps: str) -> tuple[object, ...]:
    """Describe the bars of one symbol: a row of the grid."""
    inside = dated.filter("in_session")
    span = dated["start"].min(), dated["start"].max()
    extended = 1.0 - inside.height / dated.height
    return symbol, mic, interval / _MINUTE, stamps, *span, dated.height, inside["date"].n_unique(), extended


def _dated(bars: pl.DataFrame, hours: Hours) -> pl.DataFrame:
    """Add the exchange's local date of each bar, and whether it begins in a session."""
    return bars.with_columns(
        date=pl.col("start").dt.convert_time_zone(hours.zone).dt.date(),
        in_session=pl.Series(hours.inside(bars["start"].to_physical().to_numpy())),
    )


def _listings(securities: pl.DataFrame) -> pl.DataFrame:
    """List the securities, and their benchmarks and sector proxies on the same exchange."""
    named = [securities.select("symbol", "mic", _benchmark(securities))]
    for column in ("benchmark", "sector_proxy"):
        if column in securities.columns:
            others = securities.select(
                pl.col(column).alias("symbol"), "mic", pl.lit(None, pl.String).alias("benchmark")
            )
            named.append(others.drop_nulls("symbol"))
    return pl.concat(named).unique("symbol", keep="first", maintain_order=True)


def _benchmark(securities: pl.DataFrame) -> pl.Expr:
    return pl.col("benchmark") if "benchmark" in securities.columns else pl.lit(None, pl.String).alias("benchmark")


def _sessions(listings: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    first, last = min(counts["first"]), max(counts["last"])
    mics = listings["mic"].unique().to_list()
    applied = calendars.overrides_by_calendar()
    return calendars.sessions(mics, first.date(), last.date(), applied, as_far_as_known=True)


def _rows_of(rows: pl.LazyFrame, symbols: Sequence[str]) -> pl.DataFrame:
    """Read the rows of some symbols; the bounds let Parquet skip row groups of others."""
    name = pl.col("symbol")
    return rows.filter(name.is_between(pl.lit(min(symbols)), pl.lit(max(symbols))), name.is_in(list(symbols))).collect(
        engine="in-memory"
    )


def _batches(counts: pl.DataFrame) -> Iterator[list[str]]:
    """Group symbols so that their bars fit in memory together."""
    part = (pl.col("n_bars").cum_sum() - pl.col("n_bars")) // limits.BAR_ROWS_AT_ONCE
    for frame in counts.with_columns(part=part).partition_by("part", maintain_order=True):
        yield frame["symbol"].to_list()


def _at_starts(bars: pl.DataFrame, hours: Hours, interval: int) -> pl.DataFrame:
    """Move stamps of ends to the starts, in sorted bars of one symbol, one row per stamp."""
    start = bar_starts(bars["start"].to_physical().to_numpy(), hours, interval)
    return bars.with_columns(pl.Series("start", start, dtype=pl.Int64).cast(UTC_TIME))


def _unique(bars: pl.DataFrame) -> pl.DataFrame:
    """Sort bars by symbol and start, exact repeats once."""
    ordered = bars.sort("symbol", "start")
    repeated = (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("start") == pl.col("start").shift(1))
    return ordered.filter(~repeated.fill_null(value=False))


def _repeats(priced: pl.DataFrame, bars: pl.DataFrame, symbol: str, source: str) -> list[pl.DataFrame]:
    """Report exact repeats; raise for bars of one stamp that contradict each other."""
    lost = priced.height - bars.height
    if not lost:
        return []
    values = priced.drop("clock").unique()
    conflicts = values.filter(pl.col("start").is_duplicated()).sort("start")
    if conflicts.height:
        n = conflicts["start"].n_unique()
        _raise_errors(
            finding(symbol, "conflicting_bars", conflicts["start"][0].date(), n,
                    f"{n} stamps of {symbol} have bars that differ, first {conflicts['start'][0]:%Y-%m-%d %H:%M} UTC"),
            source, conflicts,
        )  # fmt: skip
    return [finding(symbol, "repeated_bars", None, lost, f"{lost} exact repeats of a bar")]


def _raise_errors(findings: pl.DataFrame, source: str, rows: pl.DataFrame | None = None) -> None:
    errors = findings.filter(pl.col("severity") == ERROR)
    if errors.height:
        row = errors.row(0, named=True)
        raise DataError(
            f"{source}: {row['symbol']}: {row['detail']}", counts={row["finding"]: int(row["value"])}, rows=rows
        )


def _stamp_findings(
    symbol: str, stated: Literal["start", "end"] | None, found: str, *, shown: bool
) -> list[pl.DataFrame]:
    if stated is not None and shown and stated != found:
        where = "the close and not at the opening" if found == "end" else "the opening and not at the close"
        words = f"stamps were stated to be {stated}s of bars, and stand at {where}"
        return [finding(symbol, "doubtful_stamps", None, 1.0, words)]
    if stated is None and found == "end":
        return [finding(symbol, "end_stamps", None, 1.0, "stamps stand at the close and not at the opening")]
    if stated is None and not shown:
        return [finding(symbol, "stamps_assumed", None, 1.0, "stamps stand at both ends of its hours, or at neither")]
    return []


def _sorted_findings(findings: pl.DataFrame) -> pl.DataFrame:
    order = {name: n for n, name in enumerate(BAR_FINDINGS)}
    rank = pl.col("finding").replace_strict(order, return_dtype=pl.Int64)
    return findings.sort(rank, "symbol", "date", nulls_last=True)
