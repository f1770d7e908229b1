"""Paths of prices around announcements in intraday bars, and which listing moved first."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.analyses.bar_path_results import BarPath, outside_band
from marketimpact.analyses.bar_placebo import PastDays, Volatility, past_days, spans_of
from marketimpact.analyses.bars import UNKNOWN_INSTANT, check_days, why_untested
from marketimpact.core.arguments import require
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.frames import FrameLike, to_polars
from marketimpact.core.layouts import BAR_PATH
from marketimpact.core.text import listed
from marketimpact.core.whole_numbers import is_number
from marketimpact.errors import DataError, SpecificationError
from marketimpact.inference.same_clock import path_band
from marketimpact.market.bar_moves import Pair, chosen_symbols, pairs_of_series, read_instants
from marketimpact.market.bar_quotes import has_split, quote_ages, split_note, splits_of, trading_until
from marketimpact.market.bar_windows import UTC_TIME, microseconds, quotes_at
from marketimpact.market.bars import Bars, BarSeries

__all__ = ["bar_path", "first_movers"]

_MINUTE = 60_000_000
#: Points of a path, at most.
MOST_POINTS = 2_000
_COLUMNS: dict[str, Any] = {
    "announcement_id": pl.String, "symbol": pl.String, "mic": pl.String, "starts_at": UTC_TIME, "minute": pl.Float64,
    "at": UTC_TIME, "ret": pl.Float64, "ar": pl.Float64, "point_low": pl.Float64, "point_high": pl.Float64,
    "band_low": pl.Float64, "band_high": pl.Float64, "p_value": pl.Float64, "n_days": pl.Int64, "quote_at": UTC_TIME,
    "note": pl.String,
}  # fmt: skip
#: Columns that are null at points with an old quote; columns that `first_movers` needs not.
_MAY_LACK = ("ar", "point_low", "point_high", "band_low", "band_high", "p_value")
_EXTRA = ("quote_at", "note")
_ATTRITION: dict[str, Any] = {"announcement_id": pl.String, "symbol": pl.String, "note": pl.String}
_ORDER: dict[str, Any] = {
    "announcement_id": pl.String, "order": pl.Int64, "symbol": pl.String, "mic": pl.String, "starts_at": UTC_TIME,
    "moved_at": UTC_TIME, "minutes": pl.Float64, "ar": pl.Float64, "p_value": pl.Float64,
}  # fmt: skip


def bar_path(
    announcements: FrameLike,
    bars: Bars,
    first: str | timedelta = "-60min",
    last: str | timedelta = "240min",
    *,
    step: str | timedelta = "5min",
    benchmark: str | None = None,
    symbols: Collection[str] | None = None,
    days: int = 120,
    level: float = 0.05,
) -> BarPath:
    """Follow prices around announcements, with the band of the same clock on past days.

    Parameters
    ----------
    announcements, bars, benchmark, symbols, days
        As for `bar_tests`.
    first, last : str or datetime.timedelta
        From where to where, counted from the instant, or from the first bar that trades after it.
    step : str or datetime.timedelta
        Between points of the path.
    level : float
        Share of past paths that leave the band somewhere on a side of the instant.

    Returns
    -------
    BarPath
        Its `frame` has one row per announcement, security and point: ``announcement_id, symbol, mic, starts_at,
        minute, at, ret, ar, point_low, point_high, band_low, band_high, p_value, n_days, quote_at, note``. `ret` is
        the last quote at or before `at` over that at `starts_at`, less one, `quote_at` the end of its bar; `ar` is
        beyond the benchmark, by a market model of past days. Between `point_low` and `point_high` lie past paths at
        that minute, between `band_low` and `band_high` whole past paths on that side of the instant, but for `level`
        of them; both are around zero. `p_value` is the share of paths, the event's too, with as large an excursion on
        that side. `ar` and bands are null where a bar is missing and the last quote is older than `step`, as in a
        halt; no band counts such points. `note` says so, that trading stopped before the end, that a jump like a split
        lies in the path, or that the benchmark has no bars. Announcements whose instant is not known to the minute,
        those with fewer than 20 past days, and those with a quote at the end older than half the path after are in
        `attrition`, with the reason. `plot` draws the path of one announcement with its band.

    Raises
    ------
    SpecificationError
        For lengths, levels or symbols that are none.

    Notes
    -----
    Bands rank whole paths, so that many points are no multiple tests. After the close the last quote stays, of past
    days that of the same clock, also where they closed later; past days that closed earlier are left out.

    Examples
    --------
    >>> import marketimpact as mi
    >>> bars = mi.Bars.load(mi.securities(), mi.SampleBars(["NVDA", "^GSPC"]))
    >>> news = pl.DataFrame({"announcement_id": ["rule"], "announced_at": ["2025-05-07T15:30:00Z"],
    ...                      "stance": ["restrictive"], "headline": ["A rule"]})
    >>> path = mi.bar_path(news, bars, step="30min", days=60)
    >>> path.frame["minute"].to_list()[:4]
    [-60.0, -30.0, 0.0, 30.0]
    """
    require(bars, "Bars", "bars")
    points = _points(first, last, step)
    check_days(days)
    if not is_number(level) or not 0.0 < level < 1.0:
        raise SpecificationError(f"level={level!r} is no share of paths. Give one between 0 and 1, such as 0.05.")
    instants = read_instants(announcements)
    exact = instants.filter(pl.col("earliest") == pl.col("latest"))
    unknown = instants.filter(pl.col("earliest") != pl.col("latest"))["announcement_id"].to_list()
    news = spans_of(instants)
    frames: list[pl.DataFrame] = [pl.DataFrame(schema=_COLUMNS)]
    attrition: list[tuple[str, str, str]] = []
    for pair in pairs_of_series(bars, chosen_symbols(bars, benchmark, symbols), benchmark):
        attrition += [(announcement_id, pair.own.symbol, UNKNOWN_INSTANT) for announcement_id in unknown]
        windows = _past(pair, exact["earliest"].to_numpy(), points, days=days, news=news)
        for announcement_id, past in zip(exact["announcement_id"], windows, strict=True):
            if problem := why_untested(past):
                attrition.append((announcement_id, pair.own.symbol, problem))
            else:
                frames.append(_path(pair, past, points, announcement_id, level))
    return BarPath(
        pl.concat(frames).sort("announcement_id", "symbol", "minute"),
        pl.DataFrame(attrition, schema=_ATTRITION, orient="row").sort("announcement_id", "symbol"),
        level, bars.simulated,
    )  # fmt: skip


def _points(first: object, last: object, step: object) -> Ints:
    """List the points of a path in microseconds; zero is one of them."""
    low, high = microseconds("first", first, least=-(10**12)), microseconds("last", last, least=1)
    size = microseconds("step", step, least=1)
    if low > 0:
        raise SpecificationError(f"first={first!r} lies after the announcement. Give '0min' or a negative length.")
    before, after = -low // size, high // size
    if not after or before + after > MOST_POINTS:
        raise SpecificationError(f"step={step!r} gives {before + after} points. Give 1 to {MOST_POINTS}.")
    return np.arange(-before, after + 1, dtype=np.int64) * size


def _past(pair: Pair, instants: Ints, points: Ints, *, days: int, news: tuple[Ints, Ints]) -> Iterator[PastDays]:
    """Find the window of each whole path and its past days.

    The quote at the instant is the last one there, and the volatility that known before the path.
    """
    volatility, splits = Volatility(pair.own), splits_of(pair.own)
    for past in past_days(pair, volatility, instants, (0, int(points[-1])), days=days, news=news):
        rows = np.maximum(quotes_at(pair.own, past.windows.start + points[0]), 0)
        known = volatility.before(rows, volatility.session_bars(rows[:1]))
        usable = past.usable & np.isfinite(known)
        usable[1:] &= ~has_split(splits, rows, past.windows.first)[1:]
        note = split_note(pair.own, splits, int(rows[0]), int(past.windows.first[0]))
        yield replace(past, volatility=known, usable=usable, note="; ".join(filter(None, (past.note, note))))


def _path(pair: Pair, past: PastDays, points: Ints, announcement_id: str, level: float) -> pl.DataFrame:
    """Follow one security around one announcement; after trading stopped every path keeps its last quote."""
    start = past.windows.start[past.usable]
    reached = np.minimum(points, past.windows.closed[0]) if past.windows.stop[0] else points
    paths = _cumulative(pair.own, start, reached)
    at, step = start[0] + reached, int(points[1] - points[0])
    rows, is_old = _old_quotes(pair.own, at, step)
    other = None
    if pair.benchmark is not None and np.isfinite(past.benchmark[0]):
        other = _cumulative(pair.benchmark, start, reached)
        is_old |= _old_quotes(pair.benchmark, at, step)[1]
    found = {name: np.full(len(points), np.nan) for name in ("ar", "point_high", "band_high", "p_value")}
    for side in (points <= 0, points > 0):
        fresh = side & ~is_old
        if not fresh.any():
            continue
        band = path_band(
            paths[:, fresh], None if other is None else other[:, fresh], past.volatility[past.usable], level
        )
        found["ar"][fresh], found["point_high"][fresh], found["band_high"][fresh] = (
            band.ar, band.pointwise, band.half_width,
        )  # fmt: skip
        found["p_value"][side] = band.p_value
    notes = past.note, _note_of_old(is_old), pair.note
    values = {
        "announcement_id": announcement_id, "symbol": pair.own.symbol, "mic": pair.own.hours.mic,
        "starts_at": int(start[0]), "minute": points / _MINUTE, "at": start[0] + points, "ret": paths[0],
        "n_days": len(start) - 1, "quote_at": pair.own.end[rows], "note": "; ".join(filter(None, notes)),
        "point_low": -found["point_high"], "band_low": -found["band_high"], **found,
    }  # fmt: skip
    return pl.DataFrame(values).select(
        (pl.col(name).fill_nan(None) if name in _MAY_LACK else pl.col(name)).cast(dtype)
        for name, dtype in _COLUMNS.items()
    )


def _old_quotes(series: BarSeries, instants: Ints, step: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Find the row of the last quote at points of a path, and whether a bar is missing and it is older than a step."""
    rows = np.maximum(quotes_at(series, instants), 0)
    reach, _ = trading_until(series, instants, rows)
    return rows, np.asarray(quote_ages(series, reach, rows) > step)


def _note_of_old(is_old: NDArray[np.bool_]) -> str:
    n = int(is_old.sum())
    return f"no abnormal return at {n} of {len(is_old)} points: a halt, a hole or few trades" if n else ""


def _cumulative(series: BarSeries, start: Ints, points: Ints) -> Floats:
    """Compute returns from the quote at each start to that at each point, (K + 1, T)."""
    base = series.close[np.maximum(quotes_at(series, start), 0)]
    rows = np.maximum(quotes_at(series, start[:, None] + points[None, :]), 0)
    return np.asarray(series.close[rows] / base[:, None] - 1.0)


def first_movers(path: BarPath | FrameLike) -> pl.DataFrame:
    """Order listings by when they left the band of past paths: which exchange, share or receipt moved first.

    Parameters
    ----------
    path : BarPath or FrameLike
        What `bar_path` returns, or its `frame`, whole or filtered.

    Returns
    -------
    polars.DataFrame
        One row per announcement and security: ``announcement_id, order, symbol, mic, starts_at, moved_at, minutes, ar,
        p_value``. `moved_at` is the first point after `starts_at` at which the path lies outside the band of whole past
        paths, `minutes` from the announcement's first listing to trade, `ar` the abnormal return there; null, with no
        `order`, where it stays inside. `moved_at` is no earlier than the end of the bar that shows the move.

    Raises
    ------
    DataError
        For a frame without the columns of `bar_path`, or with other values in them.

    Notes
    -----
    A listing that is closed cannot move: compare `starts_at`. One that trades thinly shows a move late. That none
    left its band is no sign that nothing happened: see the `mde` of `bar_tests`.

    Examples
    --------
    >>> import marketimpact as mi
    >>> from datetime import UTC, datetime
    >>> at = datetime(2025, 5, 7, 15, 30, tzinfo=UTC)
    >>> source = mi.SampleBars(["NVDA", "AMD", "^GSPC"], effects={("NVDA", at): -0.04})
    >>> news = pl.DataFrame({"announcement_id": ["rule"], "announced_at": [at], "stance": ["restrictive"],
    ...                      "headline": ["A rule"]})
    >>> path = mi.bar_path(news, mi.Bars.load(mi.securities(), source), days=60)
    >>> mi.first_movers(path).select("order", "symbol", "minutes").row(0)
    (1, 'NVDA', 5.0)
    """
    frame = path.frame if isinstance(path, BarPath) else _read(to_polars(path, "path", BAR_PATH))
    keys = ["announcement_id", "symbol", "mic", "starts_at"]
    after = frame.filter(pl.col("minute") > 0)
    moved = outside_band(frame)
    rows = after.unique(keys, keep="first").select(*keys, "p_value")
    found = rows.join(moved.select(*keys, pl.col("at").alias("moved_at"), "ar"), on=keys, how="left", validate="1:1")
    began = pl.col("starts_at").min().over("announcement_id")
    return (
        found.with_columns(
            minutes=(pl.col("moved_at") - began).dt.total_seconds() / 60.0,
            order=pl.col("moved_at").rank("min").over("announcement_id").cast(pl.Int64),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in _ORDER.items())
        .sort("announcement_id", "moved_at", "starts_at", "symbol", nulls_last=True)
    )


def _read(path: pl.DataFrame) -> pl.DataFrame:
    """Read a frame as one of `bar_path`.

    Raises
    ------
    DataError
        For columns that are absent or hold something else.
    """
    needed = {name: kind for name, kind in _COLUMNS.items() if name not in _EXTRA}
    lacking = [name for name in needed if name not in path.columns]
    if lacking:
        raise DataError(f"path lacks {listed(lacking, quoted=False)}. Give what mi.bar_path returns.")
    odd = [name for name, kind in needed.items() if not _fits(path.schema[name], kind)]
    if odd:
        raise DataError(
            f"path: {odd[0]} is of type {path.schema[odd[0]]}, not {_COLUMNS[odd[0]]}. Give what mi.bar_path returns."
        )
    return path.select(pl.col(name).cast(kind) for name, kind in needed.items())


def _fits(given: pl.DataType, wanted: Any) -> bool:
    """Check whether values of one type are all values of another: texts, numbers, instants with a zone."""
    if given == pl.Null:
        return True
    if wanted == pl.String:
        return given in (pl.String, pl.Categorical, pl.Enum)
    if isinstance(wanted, pl.Datetime):
        return isinstance(given, pl.Datetime) and given.time_zone is not None
    return given.is_numeric()
