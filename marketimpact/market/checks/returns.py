"""Find problems in returns handed in: zeros in place of missing ones, benchmarks made of the sample, total losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import numpy as np
import polars as pl

from marketimpact.core.arrays import Bools, Floats, row_parts, runs
from marketimpact.core.text import listed
from marketimpact.market.checks.findings import SCHEMA, finding_rows, no_findings
from marketimpact.market.plausibility import HIGHEST, LOWEST

__all__ = ["check_returns"]

#: Share of a security's returns that are exactly zero from which zeros were probably filled in: Asian small caps, bound
#: by their ticks, have 0.05 to 0.1. One day of the week is 0.2.
ZERO_SHARE = 0.18
MIN_ZEROS = 10
#: Least number of zero returns in a row that are a run, and the chance of a longest run as long in such a history.
MIN_RUN = 5
RUN_CHANCE = 1e-5
#: Sessions from which a benchmark is compared with the sample.
MIN_SESSIONS = 20
#: Root mean square difference, relative to the benchmark's own, below which two series are the same but for rounding.
SAME = 1e-3
#: Securities with a return of exactly zero on one day that is no chance, whatever the benchmark did.
MANY_ZEROS = 4
#: Securities up to which a benchmark is taken apart into the returns of some of them, and sessions for each of them.
MOST_SECURITIES, SESSIONS_EACH = 200, 3

#: A step is so many standard deviations, the median of the next three moves at most so many, and the benchmark moves by
#: no more than this part of it; the median of an absolute normal is so many standard deviations.
STEP_SIGMAS, CALM_SIGMAS, MAX_BENCHMARK_SHARE, MEDIAN_OF_NORMAL = 15.0, 4.0, 0.25, 0.6745

_Row = tuple[str | None, date | None, float, str]


def check_returns(symbols: pl.Series, days: pl.DataFrame, ret: Floats) -> pl.DataFrame:
    """Find problems in returns of securities that share sessions; the frame is that of `check_prices`.

    Parameters
    ----------
    symbols : polars.Series
        (S,)
    days : polars.DataFrame
        ``date, ret`` of the benchmark; T rows.
    ret : (S, T) array
        Returns, NaN where missing.
    """
    market, dates = days["ret"].to_numpy(), days["date"]
    parts = [
        _findings("implausible_return", _large_steps(symbols, dates, market, ret)),
        _findings("zero_returns", _zero_returns(symbols, dates, ret)),
        _findings("zero_returns", _zero_returns(pl.Series(["benchmark"]), dates, market[None, :])),
        _findings("zero_day", _zero_days(dates, market, ret)),
        _findings("benchmark_of_sample", _benchmark_of_sample(symbols, dates, market, ret)),
        _findings("after_total_loss", _after_total_loss(symbols, dates, ret)),
    ]
    return pl.concat([no_findings(), *parts])


def _findings(name: str, rows: Iterator[_Row]) -> pl.DataFrame:
    """Make findings of rows: symbol, date, value, detail."""
    schema = {"symbol": SCHEMA["symbol"], "date": SCHEMA["date"], "value": pl.Float64, "detail": pl.String}
    frame = pl.DataFrame(list(rows), schema=schema, orient="row")
    return finding_rows(frame, name, pl.col("value"), pl.col("detail"))


def _large_steps(symbols: pl.Series, dates: pl.Series, market: Floats, ret: Floats) -> Iterator[_Row]:
    """Find returns that halve or double a price, far beyond what the security and its benchmark do, and calm after.

    Beyond a factor of three `Market.implausible` has them.
    """
    with np.errstate(divide="ignore"):
        move = np.nan_to_num(np.log1p(market), neginf=0.0)
    for row, day in _cells(ret, lambda part: ((part >= 1.0) & (part <= HIGHEST)) | ((part <= -0.5) & (part >= LOWEST))):
        with np.errstate(divide="ignore", invalid="ignore"):
            own = np.log1p(ret[row])
        size = np.abs(own - move)
        usual = float(np.nanmedian(np.where(np.isfinite(size), size, np.nan))) / MEDIAN_OF_NORMAL
        after = size[day + 1 : day + 4]
        after = after[np.isfinite(after)]
        calm = not len(after) or float(np.median(after)) <= CALM_SIGMAS * usual
        quiet = abs(move[day]) <= MAX_BENCHMARK_SHARE * abs(own[day])
        if usual > 0 and size[day] > STEP_SIGMAS * usual and calm and quiet:
            detail = f"a return of {ret[row, day]:+.1%}, {size[day] / usual:.0f} times its usual daily range"
            yield symbols[row], dates[day], float(ret[row, day]), detail


def _cells(ret: Floats, condition: Callable[[Floats], Bools]) -> Iterator[tuple[int, int]]:
    """Yield row and column of the returns that meet a condition, read some securities at a time."""
    for start, part in row_parts(ret):
        for row, day in zip(*np.nonzero(condition(part)), strict=True):
            yield start + int(row), int(day)


def _zero_returns(symbols: pl.Series, dates: pl.Series, ret: Floats) -> Iterator[_Row]:
    """Find securities with many zero returns, or a run of them that their other returns do not explain."""
    n_zeros = np.concatenate([(part == 0.0).sum(axis=1) for _, part in row_parts(ret)])
    for row in np.flatnonzero(n_zeros >= MIN_RUN).tolist():
        present = ~np.isnan(ret[row])
        zero, days = ret[row, present] == 0.0, np.flatnonzero(present)
        count, n = int(n_zeros[row]), len(zero)
        if count >= MIN_ZEROS and count > ZERO_SHARE * n:
            detail = f"{count} of {n} returns are exactly zero ({count / n:.0%})"
            yield symbols[row], dates[int(days[zero.argmax()])], float(count), detail
            continue
        first, length = _longest_run(zero)
        others = (count - length + 1) / (n - length + 1)
        if length >= MIN_RUN and n * others**length < RUN_CHANCE:
            begin, end = dates[int(days[first])], dates[int(days[first + length - 1])]
            yield symbols[row], begin, float(length), f"{length} zero returns in a row, {begin} to {end}"


def _longest_run(flags: Bools) -> tuple[int, int]:
    """Return where the longest run of True begins, and its length."""
    begins, ends = runs(flags)
    longest = int((ends - begins).argmax())
    return int(begins[longest]), int(ends[longest] - begins[longest])


def _zero_days(dates: pl.Series, market: Floats, ret: Floats) -> Iterator[_Row]:
    """Find days on which every return is exactly zero, of a few securities where the benchmark does not move either."""
    is_quiet = np.isnan(market) | (market == 0.0)
    n_returns, n_zeros = np.zeros(len(market), dtype=np.int64), np.zeros(len(market), dtype=np.int64)
    for _, part in row_parts(ret):
        n_returns += (~np.isnan(part)).sum(axis=0)
        n_zeros += (part == 0.0).sum(axis=0)
    is_zero = (n_returns == n_zeros) & (n_zeros >= np.where(is_quiet, 1, MANY_ZEROS))
    for day in np.flatnonzero(is_zero).tolist():
        moved = "has no return" if np.isnan(market[day]) else "has a return of zero"
        benchmark = moved if is_quiet[day] else f"has one of {market[day]:.2%}"
        yield (
            None,
            dates[day],
            float(n_zeros[day]),
            f"all {n_zeros[day]} returns are zero and the benchmark {benchmark}",
        )


def _benchmark_of_sample(symbols: pl.Series, dates: pl.Series, market: Floats, ret: Floats) -> Iterator[_Row]:
    """Find a benchmark that is the return of one security, the mean of all or a fixed portfolio of some of them."""
    known = ~np.isnan(market)
    size = float(np.sqrt(np.mean(market[known] ** 2))) if known.sum() >= MIN_SESSIONS else 0.0
    if size == 0.0 or len(np.unique(market[known])) < MIN_SESSIONS:
        return
    first = dates[int(known.argmax())]
    same = [row for row in _candidates(ret, market, SAME * size) if _is_same(ret[row], market, size)]
    for row in same:
        yield symbols[row], first, 1.0, f"the benchmark is the return of {symbols[row]} itself"
    if same or len(ret) < 2:
        return
    if _is_same(_mean_return(ret), market, size):
        n = len(ret)
        yield None, first, float(n), f"the benchmark is the equal-weighted mean of all {n} securities"
        return
    members = _members(ret, market, size)
    if len(members):
        names = listed([symbols[row] for row in members], quoted=False)
        detail = f"the benchmark is a fixed portfolio of {len(members)} of the {len(ret)} securities: {names}"
        yield None, first, float(len(members)), detail


def _candidates(ret: Floats, market: Floats, least: float) -> list[int]:
    """List the securities that a few sessions do not tell from the benchmark, whose distance is at most `least`."""
    known = np.flatnonzero(~np.isnan(market))
    some = known[:: max(len(known) // MIN_SESSIONS, 1)]
    is_far = (np.abs(ret[:, some] - market[some]) > least * np.sqrt(len(market))).any(axis=1)
    return np.flatnonzero(~is_far).tolist()


def _is_same(one: Floats, market: Floats, size: float) -> bool:
    """Return whether a series is the benchmark but for rounding, on all days that both have."""
    both = ~(np.isnan(one) | np.isnan(market))
    if both.sum() < MIN_SESSIONS:
        return False
    return bool(np.sqrt(np.mean((one[both] - market[both]) ** 2)) <= SAME * size)


def _mean_return(ret: Floats) -> Floats:
    """Average the returns of every day, (T,), some securities at a time; NaN without any."""
    total, count = np.zeros(ret.shape[1]), np.zeros(ret.shape[1])
    for _, part in row_parts(ret):
        present = ~np.isnan(part)
        total += np.where(present, part, 0.0).sum(axis=0)
        count += present.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _members(ret: Floats, market: Floats, size: float) -> list[int]:
    """Find securities of which the benchmark is a portfolio with fixed weights, none negative; empty without any."""
    if len(ret) > MOST_SECURITIES:
        return []
    step = max(len(market) // max(SESSIONS_EACH * len(ret), 10 * MIN_SESSIONS), 1)
    ret, market = ret[:, ::step], market[::step]
    usable = np.flatnonzero(np.isnan(ret).mean(axis=1) < 0.1)
    complete = ~(np.isnan(market) | np.isnan(ret[usable]).any(axis=0))
    if not len(usable) or complete.sum() < max(2 * len(usable), MIN_SESSIONS):
        return []
    x, y = ret[usable][:, complete].T, market[complete]
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    is_portfolio = abs(weights.sum() - 1.0) < SAME and weights.min() > -SAME
    if not is_portfolio or np.sqrt(np.mean((y - x @ weights) ** 2)) > SAME * size:
        return []
    return [int(row) for row in usable[weights > SAME]]


def _after_total_loss(symbols: pl.Series, dates: pl.Series, ret: Floats) -> Iterator[_Row]:
    """Find securities with returns after one of -1."""
    lost_rows = np.concatenate([(part == -1.0).any(axis=1) for _, part in row_parts(ret)])
    for row in np.flatnonzero(lost_rows).tolist():
        lost = int((ret[row] == -1.0).argmax())
        later = int((~np.isnan(ret[row, lost + 1 :])).sum())
        if later:
            yield symbols[row], dates[lost], float(later), f"{later} returns after the total loss on {dates[lost]}"
