"""Moves around announcements in intraday bars: a point where the minute is known, a range where it is not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arguments import require
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.frames import FrameLike
from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import SpecificationError
from marketimpact.events import catalogue
from marketimpact.events.alignment import admissible
from marketimpact.market.bar_quotes import has_split, split_note, splits_of
from marketimpact.market.bar_windows import (
    STALE,
    BarWindows,
    instants_of,
    microseconds,
    quotes_at,
    returns_of,
    synchronous_returns,
    window_note,
    windows_at,
)
from marketimpact.market.bars import Bars, BarSeries
from marketimpact.sources.bar_columns import UTC_TIME

__all__ = ["Pair", "PairSplits", "bar_moves", "chosen_symbols", "pairs_of_series", "read_instants"]

#: Columns of the answer, with their types.
COLUMNS: dict[str, Any] = {
    "announcement_id": pl.String, "symbol": pl.String, "mic": pl.String, "earliest": UTC_TIME, "latest": UTC_TIME,
    "is_point": pl.Boolean, "waits": pl.Boolean, "starts_at": UTC_TIME, "quote_before": UTC_TIME,
    "quote_after": UTC_TIME, "n_bars": pl.Int64, "largest_bar": pl.Float64, "ret": pl.Float64, "ret_low": pl.Float64,
    "ret_high": pl.Float64, "benchmark": pl.String, "benchmark_ret": pl.Float64, "excess": pl.Float64,
    "excess_low": pl.Float64, "excess_high": pl.Float64, "note": pl.String,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Bars of a security and of its benchmark, None where it has none; `lacking` names a benchmark without bars."""

    own: BarSeries
    benchmark: BarSeries | None
    lacking: str | None = None

    @property
    def note(self) -> str:
        """Say that the benchmark that was named has no bars; empty where it has, or none was named."""
        return f"no bars of the benchmark {self.lacking}: nothing is subtracted" if self.lacking else ""


@dataclass(frozen=True, slots=True, eq=False)
class PairSplits:
    """Jumps like splits in the bars of a security and of its benchmark: rows of the bars that open after one."""

    pair: Pair
    own: Ints
    benchmark: Ints

    @classmethod
    def of(cls, pair: Pair) -> PairSplits:
        """Look for the jumps of a pair."""
        other = np.empty(0, dtype=np.int64) if pair.benchmark is None else splits_of(pair.benchmark)
        return cls(pair, splits_of(pair.own), other)

    def between(self, windows: BarWindows) -> NDArray[np.bool_]:
        """Mark windows with such a jump between their quotes, in the security or the benchmark."""
        found = has_split(self.own, windows.first, windows.last)
        if self.pair.benchmark is not None and len(self.benchmark):
            found |= has_split(self.benchmark, *self._rows_of_benchmark(self.pair.benchmark, windows))
        return found

    def note(self, windows: BarWindows, row: int = 0) -> str:
        """Say where such a jump lies between the quotes of one window; empty where there is none."""
        notes = [split_note(self.pair.own, self.own, int(windows.first[row]), int(windows.last[row]))]
        if self.pair.benchmark is not None and len(self.benchmark):
            first, last = self._rows_of_benchmark(self.pair.benchmark, windows)
            notes.append(split_note(self.pair.benchmark, self.benchmark, int(first[row]), int(last[row])))
        return "; ".join(filter(None, notes))

    def _rows_of_benchmark(self, benchmark: BarSeries, windows: BarWindows) -> tuple[Ints, Ints]:
        end = self.pair.own.end
        return quotes_at(benchmark, end[windows.first]), quotes_at(benchmark, end[windows.last])


def bar_moves(
    announcements: FrameLike,
    bars: Bars,
    before: str | timedelta = "10min",
    after: str | timedelta = "20min",
    *,
    benchmark: str | None = None,
    symbols: Collection[str] | None = None,
) -> pl.DataFrame:
    """Measure the moves of securities in windows around announcements.

    Parameters
    ----------
    announcements : FrameLike
        What `marketimpact.announcements` takes or returns: a table of one's own is read by it here, unlike by `align`.
    bars : Bars
        What `Bars.load` returns.
    before, after : str or datetime.timedelta
        From where to where: ``"10min"``, ``"90s"``, ``"1h"``. The default is the tight window of Gürkaynak, Sack and
        Swanson (2005); their wide one is 15 and 45 minutes.
    benchmark : str, optional
        Symbol whose return is subtracted; by default the `benchmark` of each security, where it has bars.
    symbols : collection of str, optional
        Securities; all with bars by default, the benchmarks left out.

    Returns
    -------
    polars.DataFrame
        One row per announcement and security: ``announcement_id, symbol, mic, earliest, latest, is_point, waits,
        starts_at, quote_before, quote_after, n_bars, largest_bar, ret, ret_low, ret_high, benchmark, benchmark_ret,
        excess, excess_low, excess_high, note``. Instants are UTC, returns fractions. `quote_before` and `quote_after`
        are the ends of the bars whose closes are used: the last that ended at or before ``instant - before``, and at or
        before ``starts_at + after``. `starts_at` is the instant, or, where the security did not trade then (`waits`),
        the start of the next bar, so that the move has the gap in it. `largest_bar` is the largest return from one
        close to the next in the window, in absolute terms. Where the instant is known only to the hour, the day or by
        bounds, `ret` and `excess` are null, and the lowest and highest over every admissible instant are given. `note`
        says why there is no return, that trading stopped in the window, how much older than its end the last quote is,
        that a jump like a split lies in it, or that the benchmark has no bars.

    Raises
    ------
    SpecificationError
        For a length that is none, or a symbol or benchmark without bars.
    DataError
        For broken announcements.

    Notes
    -----
    The benchmark's return is taken between the two quotes of the security, so that both cover the same minutes.
    A return is that of last trades: with thin bars the quote before may be old; `quote_before` shows it. Where the
    quote after is older than half the window from `starts_at` on, though trading was on and a bar is missing, as in a
    halt, there is no return; where it is older than a tenth, `note` says how old.

    Examples
    --------
    >>> import marketimpact as mi
    >>> stamps = pl.datetime_range(pl.datetime(2025, 5, 7, 13, 30), pl.datetime(2025, 5, 7, 19, 55), "5m", eager=True)
    >>> price = pl.Series([100.0] * 74 + [103.0] * 4)
    >>> frame = pl.DataFrame({"symbol": "NVDA", "start": stamps.dt.replace_time_zone("UTC"), "open": price,
    ...                       "high": price, "low": price, "close": price, "volume": [1e6] * 78})
    >>> bars = mi.Bars.load(pl.DataFrame({"symbol": ["NVDA"], "mic": ["XNAS"]}), mi.BarFiles(frame))
    >>> news = pl.DataFrame({"announcement_id": ["rule"], "announced_at": ["2025-05-07T19:41:00Z"],
    ...                      "stance": ["permissive"], "headline": ["Rule is rescinded"]})
    >>> mi.bar_moves(news, bars, "0min", "10min").select("symbol", pl.col("ret").round(4), "n_bars").row(0)
    ('NVDA', 0.03, 2)
    """
    require(bars, "Bars", "bars")
    lengths = microseconds("before", before), microseconds("after", after, least=1)
    instants = read_instants(announcements)
    rows: list[tuple[object, ...]] = []
    for pair in pairs_of_series(bars, chosen_symbols(bars, benchmark, symbols), benchmark):
        rows += _rows(pair, instants, lengths)
    return pl.DataFrame(rows, schema=COLUMNS, orient="row").sort("announcement_id", "symbol")


def read_instants(announcements: FrameLike) -> pl.DataFrame:
    """Return ``announcement_id, earliest, latest``: microseconds since 1970, equal where the minute is known."""
    facts = catalogue.announcements(announcements)
    bounds = [c for c in ("not_before", "not_after") if c not in facts.columns]
    known = admissible(facts.with_columns(pl.lit(None, UTC_TIME).alias(c) for c in bounds))
    return known.select(
        "announcement_id", *(pl.Series(name, instants_of(known[name])) for name in ("earliest", "latest"))
    ).sort("earliest", "announcement_id")


def chosen_symbols(bars: object, benchmark: str | None, symbols: Collection[str] | None) -> list[str]:
    """List the securities to measure; by default all with bars that are no benchmark."""
    if not isinstance(bars, Bars):
        raise SpecificationError(f"bars is a {type(bars).__name__}. Give what mi.Bars.load returns.")
    known = bars.grid["symbol"].to_list()
    if isinstance(symbols, str):
        raise SpecificationError(f"symbols={symbols!r} is text. Give a list: [{symbols!r}].")
    if symbols is not None and not isinstance(symbols, Collection):
        raise SpecificationError(f"symbols={symbols!r} is no list of symbols. Give one, such as ['NVDA'].")
    if symbols is not None and not len(symbols):
        raise SpecificationError("symbols=[] names no security. Leave it out for all, or give a list such as ['NVDA'].")
    own = [] if symbols is None else list(symbols)
    for name in [*own, *([benchmark] if benchmark else [])]:
        if name not in known:
            raise SpecificationError(
                f"There are no bars of {name!r}.{did_you_mean(str(name), known)} There are those of {listed(known)}."
            )
    others = {benchmark} if benchmark else set(bars.listings["benchmark"].drop_nulls())
    return own or [name for name in known if name not in others] or known


def pairs_of_series(bars: Bars, symbols: Collection[str], benchmark: str | None) -> Iterator[Pair]:
    """Yield the bars of each security with those of its benchmark, which stay in memory."""
    known = set(bars.grid["symbol"])
    own = dict(bars.listings.select("symbol", "benchmark").iter_rows())
    names = {symbol: benchmark or own.get(symbol) for symbol in symbols}
    needed = {name for symbol, name in names.items() if name in known and name != symbol}
    benchmarks = {series.symbol: series for series in bars.series(sorted(n for n in needed if n))} if needed else {}
    for series in bars.series(symbols):
        name = names[series.symbol]
        other = benchmarks.get(name) if name and name != series.symbol else None
        yield Pair(series, other, name if name not in known else None)


def _rows(pair: Pair, instants: pl.DataFrame, lengths: tuple[int, int]) -> Iterator[tuple[object, ...]]:
    """Measure one security around all announcements; the windows of known instants are computed together."""
    own, name = pair.own, pair.benchmark.symbol if pair.benchmark else None
    windows = windows_at(own, instants["earliest"].to_numpy(), *lengths)
    returns, others = returns_of(own, windows), _benchmark_returns(pair, windows)
    splits = PairSplits.of(pair)
    for k, (announcement_id, earliest, latest) in enumerate(instants.iter_rows()):
        head = (announcement_id, own.symbol, own.hours.mic, earliest, latest, earliest == latest)
        if earliest == latest:
            ret, other = _number(returns[k]), _number(others[k])
            excess = _number(returns[k] - others[k])
            quotes = _quotes(own, windows, k)
            jump = splits.note(windows, k) if ret is not None else ""
            is_alone = name is not None and ret is not None and other is None
            lacking = f"{name} has no bar in the window, or an old one: nothing is subtracted" if is_alone else ""
            note = "; ".join(filter(None, (window_note(windows, lengths[1], k), jump, lacking, pair.note)))
            yield (
                *head, bool(windows.waits[k]), *quotes, ret, ret, ret, name, other, excess, excess, excess, note,
            )  # fmt: skip
            continue
        ranges = windows_at(own, _candidates(own, earliest, latest, *lengths), *lengths)
        possible = returns_of(own, ranges)
        beyond = _range(possible - _benchmark_returns(pair, ranges))
        notes = _notes_of_range(possible, ranges, splits), pair.note
        yield (
            *head, *(None,) * 7, *_range(possible), name, None, None, *beyond, "; ".join(filter(None, notes)),
        )  # fmt: skip


def _benchmark_returns(pair: Pair, windows: BarWindows) -> Floats:
    if pair.benchmark is None:
        return np.full(len(windows.instant), np.nan)
    return synchronous_returns(pair.benchmark, pair.own, windows)


def _candidates(series: BarSeries, earliest: int, latest: int, before: int, after: int) -> Ints:
    """List instants between bounds that stand for all: the quotes change nowhere else."""
    reach = series.start[
        slice(*np.searchsorted(series.start, [earliest - before - after - 1, latest + before + after]))
    ]
    ends = series.end[slice(*np.searchsorted(series.end, [earliest - before - after - 1, latest + before + after]))]
    hours = series.hours
    edges = np.concatenate([hours.opens, hours.closes, hours.break_starts, hours.break_ends])
    moments = np.concatenate([ends + before, ends - after, ends, reach, edges, [earliest, latest]])
    return np.unique(moments[(moments >= earliest) & (moments <= latest)])


def _range(values: Floats) -> tuple[float | None, float | None]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (None, None)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _notes_of_range(ret: Floats, windows: BarWindows, splits: PairSplits) -> str:
    """Say that the instant gives a range, and what weakens it."""
    is_known = np.isfinite(ret)
    if not is_known.any():
        return "no admissible instant has bars around it"
    notes = ["the instant is not known to the minute: a range"]
    if (windows.status == STALE).any():
        notes.append("without instants whose last quote is older than half the window after")
    if len(crossed := np.flatnonzero(is_known & splits.between(windows))):
        notes.append(splits.note(windows, int(crossed[0])))
    return "; ".join(notes)


def _quotes(series: BarSeries, windows: BarWindows, k: int) -> tuple[object, ...]:
    """Return ``starts_at, quote_before, quote_after, n_bars, largest_bar`` of one window, null where it has none.

    The largest bar is the largest return from one close to the next.
    """
    start, first, last = int(windows.start[k]), int(windows.first[k]), int(windows.last[k])
    if windows.status[k]:
        return start, None, None, None, None
    steps = series.close[first + 1 : last + 1] / series.close[first:last] - 1.0
    largest = float(steps[np.abs(steps).argmax()])
    return start, int(series.end[first]), int(series.end[last]), last - first, largest
