"""Tests of announcements in intraday bars, each against the same clock on past days."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from marketimpact.analyses.bar_placebo import PastDays, Volatility, past_days, spans_of
from marketimpact.core.arguments import require
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.frames import FrameLike
from marketimpact.core.whole_numbers import is_whole
from marketimpact.errors import SpecificationError
from marketimpact.inference.same_clock import SameClock, same_clock
from marketimpact.market.bar_moves import Pair, chosen_symbols, pairs_of_series, read_instants
from marketimpact.market.bar_windows import UTC_TIME, microseconds
from marketimpact.market.bars import Bars

__all__ = ["LEAST_DAYS", "UNKNOWN_INSTANT", "bar_tests", "check_days", "tests_of_pairs", "why_untested"]

#: Past days that a test needs: with fewer no rank is below 5%.
LEAST_DAYS = 20
UNKNOWN_INSTANT = "the instant is not known to the minute: bar_moves gives a range"
#: A firm joins the mean of an instant with at least this share of the past days of the firm with most.
LEAST_SHARE = 0.8
#: Share of past days without a usable window from which a note warns of thin bars.
THIN = 0.2
_COLUMNS: dict[str, Any] = {
    "announcement_id": pl.String, "mic": pl.String, "symbol": pl.String, "n_firms": pl.Int64, "starts_at": UTC_TIME,
    "waits": pl.Boolean, "ret": pl.Float64, "benchmark": pl.String, "benchmark_ret": pl.Float64, "beta": pl.Float64,
    "ar": pl.Float64, "se": pl.Float64, "ci_low": pl.Float64, "ci_high": pl.Float64, "statistic": pl.Float64,
    "df": pl.Float64, "p_value": pl.Float64, "rank_p": pl.Float64, "mde": pl.Float64, "n_days": pl.Int64,
    "variance_ratio": pl.Float64, "note": pl.String,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """One firm, or the mean of several, around one announcement, and what is needed of its past days."""

    announcement_id: str
    mic: str
    symbol: str | None
    n_firms: int
    benchmark: str | None
    start: int
    waits: bool
    days: Ints
    returns: Floats
    other: Floats
    volatility: Floats
    usable: NDArray[np.bool_]
    problem: str
    notes: tuple[str, ...]


def bar_tests(
    announcements: FrameLike,
    bars: Bars,
    before: str | timedelta = "10min",
    after: str | timedelta = "20min",
    *,
    benchmark: str | None = None,
    symbols: Collection[str] | None = None,
    days: int = 120,
) -> pl.DataFrame:
    """Test abnormal returns around announcements against the same clock window on past days.

    Parameters
    ----------
    announcements, bars, before, after, benchmark, symbols
        As for `bar_moves`.
    days : int
        Past sessions to compare with, at most; at least 20 must have the window.

    Returns
    -------
    polars.DataFrame
        One row per announcement and security, and one (`symbol` null) per announcement and exchange for the mean of
        `n_firms` securities that start at one instant: ``announcement_id, mic, symbol, n_firms, starts_at, waits, ret,
        benchmark, benchmark_ret, beta, ar, se, ci_low, ci_high, statistic, df, p_value, rank_p, mde, n_days,
        variance_ratio, note``. Returns are fractions. `ar` is the return beyond what the benchmark's return over the
        same minutes explains, by a market model of the past windows; `se` its standard error of forecast, the interval
        (95%) and `p_value` of a t distribution; `rank_p` the share of windows, the event's too, that are at least as
        unusual; `mde` the minimum detectable effect (80% power, 5% level). `variance_ratio` is the volatility known
        before the window over that of the past days, squared. `note` says why there is no test, or what weakens it.

    Raises
    ------
    SpecificationError
        For a length or number of days that is none, or a symbol or benchmark without bars.
    DataError
        For broken announcements.

    Notes
    -----
    The null is that the window is one like those of the past days, given its volatility known before. Volatility
    has a U shape over the day: windows of one clock share it. It also changes from day to day: each window is
    weighted by the mean absolute return of bars before it, half over one session, half over five. `rank_p` needs no
    normality, so jumps in past windows do not distort it; its smallest value is ``1 / (n_days + 1)``. Use `p_value`
    and the interval for size, `rank_p` for whether. Securities at one instant share its shock, so their mean is
    tested against its own past, never as independent. Where trading stops in the window, as on a half day, past
    windows end at that clock too. Past windows in which trading stopped earlier, whose last quote is older than half of
    them, or with a jump like a split or another announcement in them (anywhere between its bounds, where it is not
    known to the minute) are left out. An instant not known to the minute has no test: see the range of
    `bar_moves`.

    Examples
    --------
    >>> import marketimpact as mi
    >>> bars = mi.Bars.load(mi.securities(), mi.SampleBars(["NVDA", "^GSPC"]))
    >>> news = pl.DataFrame({"announcement_id": ["rule"], "announced_at": ["2025-05-07T18:30:00Z"],
    ...                      "stance": ["restrictive"], "headline": ["A rule"]})
    >>> mi.bar_tests(news, bars, "0min", "30min", days=60).select("symbol", "benchmark", "n_days").row(0)
    ('NVDA', '^GSPC', 60)
    """
    require(bars, "Bars", "bars")
    lengths = microseconds("before", before), microseconds("after", after, least=1)
    check_days(days)
    instants = read_instants(announcements)
    pairs = pairs_of_series(bars, chosen_symbols(bars, benchmark, symbols), benchmark)
    return tests_of_pairs(pairs, instants, lengths, days)


def tests_of_pairs(pairs: Iterable[Pair], instants: pl.DataFrame, lengths: tuple[int, int], days: int) -> pl.DataFrame:
    """Test the securities of pairs around instants; see `bar_tests`.

    Parameters
    ----------
    pairs : iterable of Pair
        Bars of each security and of its benchmark.
    instants : polars.DataFrame
        ``announcement_id, earliest, latest``, as of `read_instants`.
    lengths : (int, int)
        Microseconds before and after.
    days : int
        Past sessions, at most.
    """
    news = spans_of(instants)
    moments, earliest = instants.rows(), instants["earliest"].to_numpy()
    units = [
        _unit(pair, moment, past)
        for pair in pairs
        for moment, past in zip(
            moments, past_days(pair, Volatility(pair.own), earliest, lengths, days=days, news=news), strict=True
        )
    ]
    rows = [_row(unit) for unit in [*units, *_means(units)]]
    frame = pl.DataFrame(rows, schema=_COLUMNS, orient="row")
    return frame.sort("announcement_id", "mic", "symbol", nulls_last=True)


def _unit(pair: Pair, moment: tuple[str, int, int], past: PastDays) -> _Unit:
    """Gather what the test of one security around one announcement needs."""
    announcement_id, earliest, latest = moment
    return _Unit(
        announcement_id, pair.own.hours.mic, pair.own.symbol, 1, pair.benchmark.symbol if pair.benchmark else None,
        int(past.windows.start[0]), bool(past.windows.waits[0]), past.windows.start, past.returns, past.benchmark,
        past.volatility, past.usable, why_untested(past) if earliest == latest else UNKNOWN_INSTANT,
        tuple(filter(None, (past.note, pair.note))),
    )  # fmt: skip


def check_days(days: object) -> None:
    """Raise SpecificationError for a number of past days that allows no test."""
    if not is_whole(days) or days < LEAST_DAYS:
        raise SpecificationError(
            f"days={days!r} is no number of past sessions that allows a test. Give {LEAST_DAYS} or more."
        )


def why_untested(past: PastDays) -> str:
    """Say why a window cannot be tested; empty where it can."""
    if past.windows.status[0]:
        return past.note
    if not np.isfinite(past.volatility[0]):
        return "less than half a session of bars before the window"
    n = int(past.usable[1:].sum())
    if n < LEAST_DAYS:
        return f"needs {LEAST_DAYS} past sessions with the same window, here are {n}"
    return ""


def _means(units: list[_Unit]) -> Iterator[_Unit]:
    """Average the firms of one announcement and exchange that start at one instant, day by day."""
    groups: dict[tuple[str, str, int], list[_Unit]] = {}
    for unit in units:
        if not unit.problem:
            groups.setdefault((unit.announcement_id, unit.mic, unit.start), []).append(unit)
    for (announcement_id, mic, start), firms in groups.items():
        most = max(int(firm.usable.sum()) for firm in firms)
        own = [firm for firm in firms if firm.usable.sum() >= LEAST_SHARE * most]
        if len(own) < 2:
            continue
        days = own[0].days[own[0].usable]
        for firm in own[1:]:
            days = np.intersect1d(days, firm.days[firm.usable])
        days = np.concatenate([[start], days[days != start][::-1]])
        rows = [_rows_of(firm.days, days) for firm in own]
        returns, other, volatility = (
            np.mean([getattr(firm, name)[r] for firm, r in zip(own, rows, strict=True)], axis=0)
            for name in ("returns", "other", "volatility")
        )
        names = {firm.benchmark for firm in own}
        label = names.pop() if len(names) == 1 else "several"
        few = len(days) - 1 < LEAST_DAYS
        problem = f"the firms share {len(days) - 1} past sessions, fewer than {LEAST_DAYS}" if few else ""
        usable = np.ones(len(days), dtype=np.bool_)
        yield _Unit(
            announcement_id, mic, None, len(own), label, start, own[0].waits, days, returns, other, volatility, usable,
            problem, tuple(dict.fromkeys(note for firm in own for note in firm.notes)),
        )  # fmt: skip


def _rows_of(days: Ints, chosen: Ints) -> Ints:
    order = np.argsort(days)
    return np.asarray(order[np.searchsorted(days, chosen, sorter=order)])


def _row(unit: _Unit) -> tuple[object, ...]:
    """Test one unit: a row of the answer."""
    head = (unit.announcement_id, unit.mic, unit.symbol, unit.n_firms, unit.start, unit.waits)
    if unit.problem:
        return (*head, *(None,) * (len(_COLUMNS) - len(head) - 1), unit.problem)
    keep = unit.usable
    has_benchmark = bool(np.isfinite(unit.other[0]) and np.ptp(unit.other[keep]) > 0)
    scale = unit.volatility[keep]
    if not np.ptp(unit.returns[keep]) > 0:
        return (*head, *(None,) * (len(_COLUMNS) - len(head) - 1), "the price moved in no past window")
    found = same_clock(unit.returns[keep], unit.other[keep] if has_benchmark else None, scale)
    ratio = float(scale[0] ** 2 / np.mean(scale[1:] ** 2))
    other = (unit.benchmark, float(unit.other[0]), found.beta) if has_benchmark else (None, None, None)
    return (*head, float(unit.returns[0]), *other, *_numbers(found), ratio, _note(unit, has_benchmark=has_benchmark))


def _numbers(found: SameClock) -> tuple[object, ...]:
    """Return ``ar, se, ci_low, ci_high, statistic, df, p_value, rank_p, mde, n_days``."""
    reach = float(scipy.special.stdtrit(found.df, 0.975))
    mde = found.se * (reach + float(scipy.special.stdtrit(found.df, 0.8)))
    interval = found.ar - reach * found.se, found.ar + reach * found.se
    return (
        found.ar, found.se, *interval, found.statistic, found.df, found.p_value, found.rank_p, mde, found.n_days,
    )  # fmt: skip


def _note(unit: _Unit, *, has_benchmark: bool) -> str:
    notes = list(unit.notes)
    if unit.benchmark is not None and not has_benchmark:
        notes.append(f"{unit.benchmark} has no bar in the window, an old one, or never moved: nothing is subtracted")
    lost = 1.0 - float(unit.usable[1:].mean())
    if lost > THIN:
        notes.append(f"{lost:.0%} of past sessions have no usable window: thin bars, holes, or other announcements")
    return "; ".join(notes)
