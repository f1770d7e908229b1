"""Check intraday bars and report findings; nothing is filled or changed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats, Ints
from marketimpact.market.checks.findings import ERROR, NOTE, SCHEMA, WARNING, Finding

__all__ = ["BAR_FINDINGS", "check_bars", "finding", "impossible_volume", "split_rows"]

BAR_FINDINGS: dict[str, Finding] = {
    found.name: found
    for found in (
        Finding("conflicting_bars", ERROR, "stamps with bars that contradict each other",
                "Find out which source is right, and read its bars only."),
        Finding("impossible_bar", ERROR,
                "bars that cannot be: prices not above zero, not finite, a high below; volume negative or infinite",
                "Compare with another source and correct or leave out the bar."),
        Finding("doubtful_zone", WARNING, "stamps that do not fit the exchange's hours in the zone stated",
                "Compare the opening with another source."),
        Finding("doubtful_stamps", WARNING, "stamps that do not fit the exchange's hours as the starts or ends stated",
                "What you stated was used. Compare the opening with another source."),
        Finding("repeated_bars", WARNING, "exact repeats of a bar", "One of each is used."),
        Finding("empty_bars", WARNING, "bars without a price", "They are left out."),
        Finding("overlapping_bars", WARNING, "bars that begin before another one has ended, off the grid of that day",
                "They are left out: two series in one file, or unfinished bars of live downloads."),
        Finding("off_grid", WARNING, "stamps off the grid of the others",
                "Two grids in one file, or the unfinished bar of a live download."),
        Finding("split_like_jump", WARNING, "jumps that look like a split the bars were not adjusted for",
                "Windows over that instant are wrong: use adjusted bars."),
        Finding("bad_print", WARNING, "bars with a price far from those beside it that the next takes back",
                "Compare with another source; highs and lows are not used for moves."),
        Finding("copied_bars", WARNING, "bars without volume that repeat the close before",
                "Filled forward, as a rule: remove them, since they pass for bars with trades."),
        Finding("volume_break", WARNING, "lasting steps of the daily volume by a factor of five",
                "Two venues or units in one file, as a rule."),
        Finding("thin_bars", WARNING, "symbols that lack more than a tenth of their bars within the sessions they have",
                "One venue's prints, or a share that trades rarely: the last quote may be old."),
        Finding("hours_without_bars", WARNING, "bars that begin after the opening, or end before the close, as a rule",
                "The source leaves out these minutes: quotes there are those of before, moves end early."),
        Finding("partial_last_session", WARNING, "last sessions that end early", "Fetch the day again."),
        Finding("end_stamps", NOTE, "symbols whose stamps are ends of bars", "They were moved to the starts."),
        Finding("stamps_assumed", NOTE, "symbols whose hours do not show whether stamps are starts or ends",
                "Taken for starts: say so with BarFiles(..., stamps='start') or 'end'."),
        Finding("missing_session", NOTE, "sessions without a bar", "A hole in the source, or a suspension."),
        Finding("short_session", NOTE, "sessions with less than half of the usual bars",
                "An early close, or bars that the source has lost."),
        Finding("halt", NOTE, "pauses within a session", "A halt, or bars that the source has lost."),
        Finding("zero_volume", NOTE, "bars within sessions without volume",
                "Volume is unknown there, or nothing traded."),
        Finding("regular_hours_only", NOTE, "symbols without bars outside the regular hours",
                "News outside them meets the next opening."),
    )
}  # fmt: skip
_MINUTE = 60_000_000
_FIVE_DAYS = 5 * 24 * 60 * _MINUTE
#: A pause in a session is a halt from this many minutes, and bars, on.
HALT_MINUTES, HALT_BARS = 10, 3
#: Bars miss the opening or the close from this many minutes on, as a rule if on more than this share of sessions.
EDGE_MINUTES, AS_A_RULE = 5, 0.1
#: A log return between bars of this size looks like a split, at a ratio of whole numbers.
SPLIT = 0.4
#: A price this far from both neighbours is a bad print.
BAD_PRINT = 0.04


def finding(symbol: str | None, name: str, day: object, value: float, detail: str) -> pl.DataFrame:
    """Build one finding, its advice at the end of `detail`."""
    kind = BAR_FINDINGS[name]
    row = (symbol, day, name, kind.severity, float(value), f"{detail}. {kind.advice}")
    return pl.DataFrame([row], schema=SCHEMA, orient="row")


def impossible_volume(bars: pl.DataFrame, symbol: str) -> pl.DataFrame | None:
    """Find bars with a negative or infinite volume, which would weigh in every other check; None without any."""
    wrong = bars.filter((pl.col("volume") < 0) | pl.col("volume").is_infinite()).sort("clock")
    if wrong.is_empty():
        return None
    first = f"first {wrong['volume'][0]:g} at {wrong['clock'][0]:%Y-%m-%d %H:%M}, as stamped"
    words = f"{wrong.height} bars with a volume that cannot be, negative or infinite, {first}"
    return finding(symbol, "impossible_bar", wrong["clock"][0].date(), wrong.height, words)


def check_bars(bars: pl.DataFrame, sessions: pl.DataFrame, symbol: str, interval: int) -> Iterator[pl.DataFrame]:
    """Look for problems in the bars of one symbol.

    Parameters
    ----------
    bars : polars.DataFrame
        ``start, open, high, low, close, volume, date, in_session``, sorted, one row per stamp.
    sessions : polars.DataFrame
        ``date, open, break_start, break_end, close`` of its exchange from the first to the last day of the bars.
    symbol : str
        Whose bars.
    interval : int
        Microseconds of a bar.
    """
    for check in _CHECKS:
        yield from check(bars, sessions, symbol, interval)


Found = Iterator[pl.DataFrame]


def _counted(rows: pl.DataFrame, symbol: str, name: str, words: str, day: str = "date") -> Found:
    """Report rows as one finding: how many, and the first."""
    if rows.height:
        first = rows.row(0, named=True)
        example = f"{first['start']:%Y-%m-%d %H:%M} UTC" if "start" in first else f"{first[day]}"
        yield finding(symbol, name, first[day], rows.height, f"{rows.height} {words}, first {example}")


def _impossible(bars: pl.DataFrame, _sessions: pl.DataFrame, symbol: str, _interval: int) -> Found:
    prices = ("open", "high", "low", "close")
    slack = 1e-6 * pl.col("close").abs()
    wrong = pl.any_horizontal((pl.col(name) <= 0) | pl.col(name).is_infinite() for name in prices)
    wrong |= pl.col("high") < pl.max_horizontal("open", "low", "close") - slack
    wrong |= pl.col("low") > pl.min_horizontal("open", "close") + slack
    yield from _counted(bars.filter(wrong), symbol, "impossible_bar", "bars with prices that cannot be")


def _off_grid(bars: pl.DataFrame, sessions: pl.DataFrame, symbol: str, interval: int) -> Found:
    """Count the grid of a session from its opening and from the end of its break."""
    step = min(interval, 60 * _MINUTE)
    hours = sessions.select("date", session_open="open", break_end="break_end")
    after_break = pl.col("in_session") & (pl.col("start") >= pl.col("break_end")).fill_null(value=False)
    anchor = pl.when(after_break).then("break_end").when("in_session").then("session_open").dt.epoch("us").fill_null(0)
    phased = bars.join(hours, on="date", how="left", validate="m:1", maintain_order="left").with_columns(
        phase=(pl.col("start").dt.epoch("us") - anchor) % step
    )
    odd = phased.filter(pl.col("phase") != pl.col("phase").mode().min().over("in_session"))
    yield from _counted(odd, symbol, "off_grid", f"of {bars.height} stamps off the grid of {interval // _MINUTE} min")


def split_rows(start: Ints, opened: Floats, close: Floats) -> Ints:
    """Find the rows of bars that open after a jump by about 1.5, 2, 3, ... that stays: bars not adjusted for a split.

    Parameters
    ----------
    start : (T,) array
        Microseconds since 1970, sorted.
    opened, close : (T,) arrays
        First and last prices of the bars.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.abs(np.log(opened[1:] / close[:-1]))
        rows = np.flatnonzero(moves > SPLIT * 0.9) + 1
        ratio = np.exp(moves[rows - 1])
        near = ((np.abs(ratio - np.rint(ratio)) < 0.15 * ratio) & (np.rint(ratio) >= 2)) | (np.abs(ratio - 1.5) < 0.1)
        # a bad print comes back in the next bar, a split does not
        after = np.minimum(rows + 1, len(close) - 1)
        is_back = (after > rows) & (np.abs(np.log(close[after] / close[rows - 1])) < SPLIT / 2)
    near &= start[rows] - start[rows - 1] < _FIVE_DAYS  # after a hole prices may have moved
    return np.asarray(rows[near & ~is_back])


def _jumps(bars: pl.DataFrame, _sessions: pl.DataFrame, symbol: str, _interval: int) -> Found:
    arrays = bars["start"].to_physical().to_numpy(), bars["open"].to_numpy(), bars["close"].to_numpy()
    splits = bars[split_rows(*arrays)]
    yield from _counted(splits, symbol, "split_like_jump", "jumps between bars by about a ratio of splits")


def _bad_prints(bars: pl.DataFrame, _sessions: pl.DataFrame, symbol: str, _interval: int) -> Found:
    body = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    wick = pl.max_horizontal(pl.col("high") / body[0], body[1] / pl.col("low")).log() > BAD_PRINT
    before = (pl.col("close") / pl.col("close").shift(1)).log()
    after = (pl.col("close").shift(-1) / pl.col("close")).log()
    spike = (before.abs() > BAD_PRINT) & (after.abs() > BAD_PRINT) & ((before + after).abs() < 0.2 * before.abs())
    odd = bars.filter((wick | spike).fill_null(value=False))
    yield from _counted(odd, symbol, "bad_print", f"bars with a price more than {BAD_PRINT:.0%} from its neighbours")


def _copies(bars: pl.DataFrame, _sessions: pl.DataFrame, symbol: str, _interval: int) -> Found:
    has_volume = bars.group_by("in_session").agg(pl.col("volume").max()).filter(pl.col("volume") > 0)["in_session"]
    known = bars.filter(pl.col("in_session").is_in(has_volume.implode()))  # elsewhere volume is not reported at all
    flat = pl.all_horizontal(pl.col(name) == pl.col("close") for name in ("open", "high", "low"))
    copied = known.filter((pl.col("volume") == 0) & flat & (pl.col("close") == pl.col("close").shift(1)))
    yield from _counted(copied, symbol, "copied_bars", "bars without volume that repeat the close before")
    zero = known.filter((pl.col("volume") == 0) & pl.col("in_session"))
    yield from _counted(zero, symbol, "zero_volume", "bars within sessions without volume")


def _volume_breaks(bars: pl.DataFrame, _sessions: pl.DataFrame, symbol: str, _interval: int) -> Found:
    days = (
        bars.filter("in_session").group_by("date").agg(pl.col("volume").sum()).filter(pl.col("volume") > 0).sort("date")
    )
    if days.height < 10:
        return
    level = pl.col("volume").log()
    before, after = level.rolling_median(5), level.reverse().rolling_median(5).reverse().shift(-1)
    steps = days.with_columns(step=(after - before).abs().fill_null(0.0))
    # its neighbours show a step too: the largest within a week on both sides stands for them
    peak = (pl.col("step") > 1.6) & (pl.col("step") >= pl.col("step").rolling_max(11, min_samples=1, center=True))
    peak &= (pl.col("step") != pl.col("step").shift(1)).fill_null(value=True)
    yield from _counted(steps.filter(peak), symbol, "volume_break", "lasting steps of the daily volume")


def _gaps(bars: pl.DataFrame, sessions: pl.DataFrame, symbol: str, interval: int) -> Found:
    own = bars.filter("in_session")
    if own.is_empty():
        return
    counts = sessions.join(own.group_by("date").agg(n=pl.len(), last=pl.col("start").max()), on="date", how="left")
    counts = counts.sort("date").with_columns(pl.col("n").fill_null(0))
    yield from _counted(counts.filter(pl.col("n") == 0), symbol, "missing_session", "sessions without a bar")
    usual = float(counts.filter(pl.col("n") > 0)["n"].median() or 0)  # type: ignore[arg-type]
    short = counts.filter(pl.col("n") > 0, pl.col("n") < usual / 2)
    yield from _counted(short, symbol, "short_session", f"sessions with less than half of {usual:.0f} bars")
    last = counts.tail(1)
    if last["last"][0] is not None and (last["close"][0] - last["last"][0]).total_seconds() * 1e6 > 2 * interval:
        words = f"the last session, {last['date'][0]}, ends {last['last'][0]:%H:%M} UTC, before its close"
        yield finding(symbol, "partial_last_session", last["date"][0], 1.0, words)
    spans = counts.filter(pl.col("n") > 0)
    length = (pl.col("close") - pl.col("open")).dt.total_microseconds()
    pause = (pl.col("break_end") - pl.col("break_start")).dt.total_microseconds().fill_null(0)
    expected = float(spans.select(((length - pause) / interval).sum()).item())
    share = 1.0 - own.height / expected
    if share > 0.1:
        yield finding(symbol, "thin_bars", None, share, f"{share:.0%} of the bars within its sessions are missing")
    else:
        yield from _halts(own, sessions, symbol, interval)


def _edges(bars: pl.DataFrame, sessions: pl.DataFrame, symbol: str, interval: int) -> Found:
    """Report bars that begin after the opening, or end before the close, on more than a tenth of the sessions."""
    end = pl.col("start") + pl.duration(microseconds=interval)
    hours = sessions.select("date", opens="open", closes="close")
    touching = bars.join(hours, on="date", how="inner", validate="m:1").filter(
        pl.col("start") < pl.col("closes"), end > pl.col("opens")
    )
    spans = touching.group_by("date", "opens", "closes").agg(first=pl.col("start").min(), last=end.max()).sort("date")
    gaps = spans.select(
        "date",
        begin=(pl.col("first") - pl.col("opens")).dt.total_minutes(),
        end=(pl.col("closes") - pl.col("last")).dt.total_minutes(),
    )
    words, dates = [], []
    for name, edge in (("begin", "after the opening"), ("end", "before the close")):
        lacking = gaps.filter(pl.col(name) >= EDGE_MINUTES)
        if lacking.height > AS_A_RULE * gaps.height:
            usual = int(np.median(lacking[name]))
            words.append(f"{name} {usual} minutes {edge} on {lacking.height} of {gaps.height} sessions")
            dates += lacking["date"].to_list()
    if words:
        n = len(set(dates))
        yield finding(symbol, "hours_without_bars", min(dates), n, f"the bars {' and '.join(words)}")


def _halts(own: pl.DataFrame, sessions: pl.DataFrame, symbol: str, interval: int) -> Found:
    """Report pauses within sessions, but for the exchange's own break."""
    gap = (pl.col("start") - pl.col("start").shift(1)).dt.total_microseconds() - interval
    paused = own.with_columns(gap=gap, before=pl.col("start").shift(1)).filter(
        pl.col("date") == pl.col("date").shift(1), pl.col("gap") >= max(HALT_MINUTES * _MINUTE, HALT_BARS * interval)
    )
    breaks = sessions.select("date", "break_start", "break_end")
    joined = paused.join(breaks, on="date", how="left", validate="m:1")
    in_break = (pl.col("before") < pl.col("break_end")) & (pl.col("start") >= pl.col("break_end"))
    ended = pl.col("before") + pl.duration(microseconds=interval)  # the bar before the pause
    halts = joined.filter(~in_break.fill_null(value=False)).with_columns(start=ended).sort("start")
    words = f"pauses of {max(HALT_MINUTES, HALT_BARS * interval // _MINUTE)} minutes or more within a session"
    yield from _counted(halts, symbol, "halt", words)


def _hours(bars: pl.DataFrame, _sessions: pl.DataFrame, symbol: str, _interval: int) -> Found:
    outside = 1.0 - float(bars["in_session"].mean() or 0.0)  # type: ignore[arg-type]
    if outside < 0.02:
        yield finding(
            symbol, "regular_hours_only", None, outside, f"{outside:.1%} of the bars lie outside the sessions"
        )


_CHECKS: tuple[Callable[[pl.DataFrame, pl.DataFrame, str, int], Found], ...] = (
    _impossible, _off_grid, _jumps, _bad_prints, _copies, _volume_breaks, _gaps, _edges, _hours,
)  # fmt: skip
